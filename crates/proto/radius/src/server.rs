//! The authentication server: Access-Requests in, challenges and decisions out.
//!
//! 1. A request with an identity and no State opens a conversation; its State names it from now on.
//! 2. Challenges carry EAP-TLS to and fro ([`crate::method`]).
//! 3. When the peer is proved, the server asks its caller: [`Step::Decide`] with a [`Question`].
//! 4. [`Server::grant`] goes on. Unless the question was the last one, last words are exchanged, and
//!    the server asks again: between the two the world may have changed.
//! 5. After the last grant the acceptance leaves, with segment, time limit, class and keys.
//!    [`Server::refuse`] refuses instead.
//!
//! **Contract.** Each call takes what happened and gives all that is to be done; nothing is queued
//! inside. Call [`Server::expire`] from time to time: it forgets conversations that were given up,
//! and old answers. A datagram seen before gets the answer it got before, byte for byte
//! (RFC 5080 §2.2.2).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use vouchsafe_trust::{Certificate, Path, Verified};

use crate::attribute::{self, VENDOR_MICROSOFT};
use crate::eap::{self, Body};
use crate::error::{Error, Misuse, Refusal, TlsFailure};
use crate::fragment::FragmentSize;
use crate::identity::check_identity;
use crate::method::{
    Confirmed, Confirming, Granted, Handshaking, Invited, Next, Proved, Refusing, start,
};
use crate::packet::{Code, Draft, Packet};
use crate::shared::Shared;
use crate::station::Station;
use crate::tls::{Acceptor, Proof, Version};

/// Limits of a server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most conversations at a time, about 12 kB each; one more ends the oldest.
    pub conversations: usize,
    /// How long a conversation may take.
    pub conversation: SignedDuration,
    /// Most answers that are kept for repeated datagrams, at most 4 kB each.
    pub answers: usize,
    /// How long an answer is kept (RFC 5080 §2.2.2: 5 to 30 seconds).
    pub answer: SignedDuration,
    /// Largest fragment that is sent.
    pub fragment: FragmentSize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            conversations: 4096,
            conversation: SignedDuration::from_secs(30),
            answers: 8192,
            answer: SignedDuration::from_secs(10),
            fragment: FragmentSize::default(),
        }
    }
}

/// Who sent a datagram: the caller's number of the client whose secret it shares, and the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The client, from the caller's table.
    pub client: u32,
    /// IPv6 address, or IPv4 mapped into it.
    pub address: [u8; 16],
    /// UDP port; 0 on a stream.
    pub port: u16,
}

/// Random octets for one call; never the same ones twice.
#[derive(Clone, Copy)]
pub struct Entropy(pub [u8; 20]);

impl Entropy {
    fn state(&self) -> StateKey {
        let mut state = [0; 16];
        state.copy_from_slice(&self.0[..16]);
        state
    }

    /// Two salts that differ.
    fn salts(&self) -> [[u8; 2]; 2] {
        let [.., a, b, c, d] = self.0;
        if [a | 0x80, b] == [c | 0x80, d] {
            [[a, b], [c, d ^ 1]]
        } else {
            [[a, b], [c, d]]
        }
    }
}

/// What the caller does next.
#[derive(Debug)]
pub enum Step {
    /// Send this to where the datagram came from.
    Send(Vec<u8>, Sent),
    /// Decide, then call [`Server::grant`] or [`Server::refuse`].
    Decide(Box<Question>),
    /// Send nothing: the datagram proves nothing, or is a duplicate of one in the works.
    Discard(Error),
}

/// What a sent datagram means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The conversation goes on.
    Challenge,
    /// An answer that was given before.
    Repeated,
    /// The station may come in.
    Accept,
    /// The station may not come in.
    Reject(Box<Rejection>),
    /// The server is alive (RFC 5997 §3).
    Alive,
}

/// Who was refused and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Why.
    pub reason: Error,
    /// Whom the station said to be; empty when it did not come so far.
    pub identity: String,
    /// Where it tried.
    pub station: Station,
}

/// A proved peer asks to come in.
pub struct Question {
    key: StateKey,
    origin: Origin,
    request: Packet,
    response: u8,
    identity: String,
    station: Station,
    stage: Stage,
}

enum Stage {
    /// The handshake is over.
    Handshake(Box<Proved>),
    /// The last words were heard.
    Last(Box<Proof>),
}

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Question")
            .field("identity", &self.identity)
            .field("station", &self.station)
            .field("last", &self.is_last())
            .finish_non_exhaustive()
    }
}

impl Question {
    fn proof(&self) -> &Proof {
        match &self.stage {
            Stage::Handshake(proved) => &proved.proof,
            Stage::Last(proof) => proof,
        }
    }

    /// The peer's path, leaf first.
    pub fn path(&self) -> &Verified<Path> {
        &self.proof().path
    }

    /// The peer's certificate.
    pub fn certificate(&self) -> Option<&Certificate> {
        self.path().leaf()
    }

    /// The TLS version spoken.
    pub fn version(&self) -> Version {
        self.proof().version
    }

    /// Whether an earlier handshake was resumed. The certificate was proved again all the same.
    pub fn is_resumed(&self) -> bool {
        self.proof().resumed
    }

    /// Whom the peer said to be, before it proved anything.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Where it wants to come in.
    pub fn station(&self) -> &Station {
        &self.station
    }

    /// Who asks.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether a grant lets the peer in at once. The caller records the session under the same lock under
    /// which it decided, so that whoever cuts the device off finds it.
    pub fn is_last(&self) -> bool {
        match &self.stage {
            Stage::Handshake(proved) => proved.is_last(),
            Stage::Last(_) => true,
        }
    }
}

/// The segment that a station is put into: the name or number of a VLAN (RFC 3580 §3.31).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment(String);

impl Segment {
    /// 1 to 249 octets that begin with a printable character: less than 0x20 would be read as a tag
    /// (RFC 2868 §3.6).
    ///
    /// # Errors
    ///
    /// Another length, or control characters.
    pub fn new(name: &str) -> Result<Self, Error> {
        if name.is_empty() || name.len() > 249 || name.chars().any(char::is_control) {
            return Err(Misuse::SegmentName.into());
        }
        Ok(Self(name.to_owned()))
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The three attributes of RFC 3580 §3.31; their tag octets are zero.
    pub(crate) fn write(&self, draft: Draft) -> Draft {
        draft
            .with_integer(attribute::TUNNEL_TYPE, 13)
            .with_integer(attribute::TUNNEL_MEDIUM_TYPE, 6)
            .with(attribute::TUNNEL_PRIVATE_GROUP_ID, self.0.as_bytes())
    }
}

/// With what a station comes in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// The name under which the access point shows and accounts the station; the certificate's, not the
    /// one that was announced.
    pub name: Option<String>,
    /// Where it is put; the port's own segment without.
    pub segment: Option<Segment>,
    /// After how many seconds it must prove itself again.
    pub session_seconds: Option<u32>,
    /// What comes back in accounting, 1 to 253 octets.
    pub class: Option<Vec<u8>>,
}

/// A number by which conversations can be shared out among several servers: all requests of one
/// conversation have the same, and so has each repetition of a request. Nothing is proved by it.
pub fn lane(datagram: &[u8]) -> u8 {
    let Ok(request) = Packet::parse(datagram) else {
        return 0;
    };
    let state = request.attribute(attribute::STATE);
    let named = state.and_then(|state| state.value.first().copied());
    named.unwrap_or_else(|| first_lane(&request))
}

/// Where a conversation begins: its State will say the same.
fn first_lane(request: &Packet) -> u8 {
    let [first, ..] = *request.authenticator();
    first
}

type StateKey = [u8; 16];
type AnswerKey = (Origin, u8, [u8; 16]);

struct Conversation {
    client: u32,
    begun: Timestamp,
    identity: String,
    /// Of the request that awaits its response.
    identifier: u8,
    state: State,
}

enum State {
    Invited(Invited),
    Handshaking(Box<Handshaking>),
    Confirming(Box<Confirming>),
    Refusing(Refusing),
    /// The caller has the question.
    Deciding,
}

/// The authentication server.
pub struct Server {
    limits: Limits,
    acceptor: Arc<Acceptor>,
    conversations: BTreeMap<StateKey, Conversation>,
    /// Oldest first; names conversations that may be gone.
    order: VecDeque<(Timestamp, StateKey)>,
    answers: BTreeMap<AnswerKey, Arc<[u8]>>,
    answer_order: VecDeque<(Timestamp, AnswerKey)>,
}

impl Server {
    /// A server without conversations.
    pub fn new(acceptor: Arc<Acceptor>, limits: Limits) -> Self {
        Self {
            limits,
            acceptor,
            conversations: BTreeMap::new(),
            order: VecDeque::new(),
            answers: BTreeMap::new(),
            answer_order: VecDeque::new(),
        }
    }

    /// From now on handshakes begin with other keys, anchors or lists. Those under way end as they
    /// began, and then meet the caller's decision.
    pub fn replace_acceptor(&mut self, acceptor: Arc<Acceptor>) {
        self.acceptor = acceptor;
    }

    /// How many conversations are open.
    pub fn conversations(&self) -> usize {
        self.conversations.len()
    }

    /// Takes a datagram from a client with which `shared` is shared.
    pub fn handle(
        &mut self,
        now: Timestamp,
        origin: Origin,
        shared: &Shared,
        datagram: &[u8],
        entropy: Entropy,
    ) -> Step {
        let request = match open(shared, datagram) {
            Ok(request) => request,
            Err(error) => return Step::Discard(error),
        };
        let answer_key = (origin, request.identifier(), *request.authenticator());
        if let Some(answer) = self.answers.get(&answer_key) {
            return Step::Send(answer.to_vec(), Sent::Repeated);
        }
        let step = match request.code() {
            Code::StatusServer => alive(shared, &request),
            _ => self.converse(now, origin, shared, &request, entropy),
        };
        if let Step::Send(answer, _) = &step {
            self.keep(now, answer_key, answer);
        }
        step
    }

    /// Lets the peer in, or on: see [`Question::is_last`].
    pub fn grant(
        &mut self,
        now: Timestamp,
        shared: &Shared,
        question: Question,
        grant: &Grant,
        entropy: Entropy,
    ) -> Step {
        let Question {
            key,
            origin,
            request,
            response,
            identity,
            station,
            stage,
        } = question;
        let granted = match stage {
            Stage::Last(proof) => Ok(Granted::Complete(proof)),
            Stage::Handshake(proved) => proved.grant(),
        };
        let step = match granted {
            Ok(Granted::Complete(proof)) => {
                self.conversations.remove(&key);
                accept(shared, &request, response, &proof, grant, entropy)
            }
            Ok(Granted::Confirming(confirming, message)) => self.challenge(
                shared,
                &request,
                key,
                State::Confirming(confirming),
                &message,
            ),
            Err(reason) => self.reject(shared, &request, key, response, reason, identity, station),
        };
        if let Step::Send(answer, _) = &step {
            let answer_key = (origin, request.identifier(), *request.authenticator());
            self.keep(now, answer_key, answer);
        }
        step
    }

    /// Does not let the peer in. The reason is for the caller's own log; nothing of it goes out.
    pub fn refuse(
        &mut self,
        now: Timestamp,
        shared: &Shared,
        question: Question,
        reason: Error,
    ) -> Step {
        let Question {
            key,
            origin,
            request,
            response,
            identity,
            station,
            ..
        } = question;
        let answer_key = (origin, request.identifier(), *request.authenticator());
        let step = self.reject(shared, &request, key, response, reason, identity, station);
        if let Step::Send(answer, _) = &step {
            self.keep(now, answer_key, answer);
        }
        step
    }

    /// Forgets what is too old at `now`. Gives the time of the next call that will find something.
    pub fn expire(&mut self, now: Timestamp) -> Option<Timestamp> {
        let is_old = |at: &Timestamp, lifetime| now.duration_since(*at) >= lifetime;
        while let Some((begun, key)) = self.order.front() {
            let gone = self
                .conversations
                .get(key)
                .is_none_or(|conversation| conversation.begun != *begun);
            if !gone && !is_old(begun, self.limits.conversation) {
                break;
            }
            if let Some((_, key)) = self.order.pop_front()
                && !gone
            {
                self.conversations.remove(&key);
            }
        }
        while let Some((at, _)) = self.answer_order.front() {
            if !is_old(at, self.limits.answer) {
                break;
            }
            if let Some((_, key)) = self.answer_order.pop_front() {
                self.answers.remove(&key);
            }
        }
        let oldest = self.order.front().map(|(at, _)| at);
        let conversation = oldest.and_then(|at| at.checked_add(self.limits.conversation).ok());
        let oldest = self.answer_order.front().map(|(at, _)| at);
        let answer = oldest.and_then(|at| at.checked_add(self.limits.answer).ok());
        [conversation, answer].into_iter().flatten().min()
    }

    fn converse(
        &mut self,
        now: Timestamp,
        origin: Origin,
        shared: &Shared,
        request: &Packet,
        entropy: Entropy,
    ) -> Step {
        let message = match request.eap_message() {
            Ok(Some(message)) => message,
            Ok(None) => return rejected(shared, request, None, Refusal::NoEapMessage.into()),
            Err(error) => return Step::Discard(error),
        };
        // RFC 3748 §4.1: what is not a response to the last request is dropped without a word, so that
        // nobody can end a conversation from outside.
        let response = match eap::Packet::parse(&message) {
            Ok(eap::Packet::Response(response)) => response,
            Ok(_) => return Step::Discard(Refusal::EapCodeUnexpected.into()),
            Err(error) => return Step::Discard(error),
        };
        let state = match request.only(attribute::STATE) {
            Ok(state) => state,
            Err(error) => return Step::Discard(error),
        };
        match state {
            None => self.begin(now, origin, shared, request, response, entropy),
            Some(state) => self.go_on(now, origin, shared, request, response, state.value),
        }
    }

    /// Step 1.
    fn begin(
        &mut self,
        now: Timestamp,
        origin: Origin,
        shared: &Shared,
        request: &Packet,
        response: Body<'_>,
        entropy: Entropy,
    ) -> Step {
        let identity = match response.method {
            eap::IDENTITY => eap::identity(response.data),
            _ => Err(Refusal::StateMissing.into()),
        };
        let identity = match identity {
            Ok(identity) => identity.to_owned(),
            Err(reason) => return rejected(shared, request, Some(response.identifier), reason),
        };
        if self.conversations.len() >= self.limits.conversations {
            self.end_oldest();
        }
        let mut key = entropy.state();
        if let Some(first) = key.first_mut() {
            *first = first_lane(request);
        }
        let mtu = request.integer(attribute::FRAMED_MTU);
        let invited = Invited {
            size: self.limits.fragment.within_mtu(mtu),
        };
        self.order.push_back((now, key));
        self.conversations.insert(
            key,
            Conversation {
                client: origin.client,
                begun: now,
                identity,
                identifier: response.identifier,
                state: State::Deciding,
            },
        );
        self.challenge(shared, request, key, State::Invited(invited), &start())
    }

    /// Steps 2 to 4.
    fn go_on(
        &mut self,
        now: Timestamp,
        origin: Origin,
        shared: &Shared,
        request: &Packet,
        response: Body<'_>,
        state: &[u8],
    ) -> Step {
        let found = StateKey::try_from(state).ok().and_then(|key| {
            let conversation = self.conversations.get_mut(&key)?;
            (conversation.client == origin.client).then_some((key, conversation))
        });
        let Some((key, conversation)) = found else {
            let reason = Refusal::StateUnknown.into();
            return rejected(shared, request, Some(response.identifier), reason);
        };
        if response.identifier != conversation.identifier {
            return Step::Discard(Refusal::EapIdentifierUnexpected.into());
        }
        let identity = conversation.identity.clone();
        let state = std::mem::replace(&mut conversation.state, State::Deciding);
        if response.method != eap::TLS {
            let reason = match response.method {
                eap::NAK => Refusal::MethodDowngrade,
                _ => Refusal::MethodChanged,
            };
            let station = Station::of(request);
            let (id, reason) = (response.identifier, reason.into());
            return self.reject(shared, request, key, id, reason, identity, station);
        }
        let asked = match state {
            State::Deciding => return Step::Discard(Refusal::Replayed.into()),
            State::Invited(invited) => invited
                .handle(&self.acceptor, now, response.data)
                .map(Asked::from_handshake),
            State::Handshaking(handshaking) => handshaking
                .handle(now, response.data)
                .map(Asked::from_handshake),
            State::Confirming(confirming) => {
                confirming
                    .handle(response.data)
                    .map(|confirmed| match confirmed {
                        Confirmed::Confirming(next, message) => {
                            Asked::Challenge(State::Confirming(next), message)
                        }
                        Confirmed::Complete(proof) => Asked::Decision(Stage::Last(proof)),
                    })
            }
            State::Refusing(refusing) => refusing
                .handle()
                .map(|(next, message)| Asked::Challenge(State::Refusing(next), message)),
        };
        let station = Station::of(request);
        let asked = asked.and_then(|asked| {
            if let Asked::Decision(Stage::Handshake(proved)) = &asked {
                let leaf = proved.proof.path.leaf().ok_or(TlsFailure::NoCertificate)?;
                check_identity(&identity, leaf)?;
            }
            Ok(asked)
        });
        match asked {
            Ok(Asked::Challenge(state, message)) => {
                self.challenge(shared, request, key, state, &message)
            }
            Ok(Asked::Decision(stage)) => Step::Decide(Box::new(Question {
                key,
                origin,
                request: request.clone(),
                response: response.identifier,
                identity,
                station,
                stage,
            })),
            Err(reason) => {
                let id = response.identifier;
                self.reject(shared, request, key, id, reason, identity, station)
            }
        }
    }

    fn challenge(
        &mut self,
        shared: &Shared,
        request: &Packet,
        key: StateKey,
        state: State,
        data: &[u8],
    ) -> Step {
        let Some(conversation) = self.conversations.get_mut(&key) else {
            return Step::Discard(Refusal::StateUnknown.into());
        };
        conversation.identifier = conversation.identifier.wrapping_add(1);
        conversation.state = state;
        let body = Body {
            identifier: conversation.identifier,
            method: eap::TLS,
            data,
        };
        let draft = Draft::new(Code::AccessChallenge, request.identifier())
            .with_eap(&eap::Packet::Request(body).encode())
            .with(attribute::STATE, &key);
        finish(shared, draft, request, Sent::Challenge)
    }

    #[allow(clippy::too_many_arguments)] // all of them are the request, taken apart
    fn reject(
        &mut self,
        shared: &Shared,
        request: &Packet,
        key: StateKey,
        response: u8,
        reason: Error,
        identity: String,
        station: Station,
    ) -> Step {
        self.conversations.remove(&key);
        let rejection = Rejection {
            reason,
            identity,
            station,
        };
        let draft = failure(request, Some(response));
        finish(shared, draft, request, Sent::Reject(Box::new(rejection)))
    }

    fn end_oldest(&mut self) {
        while let Some((begun, key)) = self.order.pop_front() {
            let same = |conversation: &Conversation| conversation.begun == begun;
            if self.conversations.get(&key).is_some_and(same) {
                self.conversations.remove(&key);
                return;
            }
        }
    }

    fn keep(&mut self, now: Timestamp, key: AnswerKey, answer: &[u8]) {
        if self.answers.insert(key, answer.into()).is_some() {
            return;
        }
        self.answer_order.push_back((now, key));
        if self.answer_order.len() > self.limits.answers
            && let Some((_, oldest)) = self.answer_order.pop_front()
        {
            self.answers.remove(&oldest);
        }
    }
}

/// What a response led to.
enum Asked {
    Challenge(State, Vec<u8>),
    Decision(Stage),
}

impl Asked {
    fn from_handshake(next: Next) -> Self {
        match next {
            Next::Handshaking(state, message) => {
                Self::Challenge(State::Handshaking(state), message)
            }
            Next::Refusing(state, message) => Self::Challenge(State::Refusing(state), message),
            Next::Proved(proved) => Self::Decision(Stage::Handshake(proved)),
        }
    }
}

fn open(shared: &Shared, datagram: &[u8]) -> Result<Packet, Error> {
    let request = Packet::parse(datagram)?;
    if !matches!(request.code(), Code::AccessRequest | Code::StatusServer) {
        return Err(Refusal::CodeUnexpected.into());
    }
    shared.check_access_request(&request)?;
    Ok(request)
}

fn alive(shared: &Shared, request: &Packet) -> Step {
    let draft = Draft::new(Code::AccessAccept, request.identifier());
    finish(shared, draft, request, Sent::Alive)
}

/// Step 5. RFC 2548 §2.4: what the access point receives with is the first half of the MSK.
fn accept(
    shared: &Shared,
    request: &Packet,
    response: u8,
    proof: &Proof,
    grant: &Grant,
    entropy: Entropy,
) -> Step {
    let mut draft = Draft::new(Code::AccessAccept, request.identifier())
        .with_eap(&eap::Packet::Success(response).encode());
    if let Some(name) = &grant.name {
        draft = draft.with(attribute::USER_NAME, name.as_bytes());
    }
    if let Some(class) = &grant.class {
        draft = draft.with(attribute::CLASS, class);
    }
    if let Some(seconds) = grant.session_seconds {
        // RFC 3580 §3.17: at its end the station proves itself again instead of being thrown out.
        draft = draft
            .with_integer(attribute::SESSION_TIMEOUT, seconds)
            .with_integer(attribute::TERMINATION_ACTION, 1);
    }
    if let Some(segment) = &grant.segment {
        draft = segment.write(draft);
    }
    // An access point that wants the name asks for it with an empty one.
    if request.attribute(attribute::EAP_KEY_NAME).is_some() {
        draft = draft.with(attribute::EAP_KEY_NAME, &proof.keys.session_id);
    }
    let halves = proof.keys.msk.expose().as_chunks::<32>().0;
    let kinds = [attribute::MS_MPPE_RECV_KEY, attribute::MS_MPPE_SEND_KEY];
    for ((half, kind), salt) in halves.iter().zip(kinds).zip(entropy.salts()) {
        let hidden = shared.hide_key(half, request.authenticator(), salt);
        draft = draft.with_vendor(VENDOR_MICROSOFT, kind, &hidden);
    }
    finish(shared, draft, request, Sent::Accept)
}

fn rejected(shared: &Shared, request: &Packet, response: Option<u8>, reason: Error) -> Step {
    let rejection = Rejection {
        reason,
        identity: String::new(),
        station: Station::of(request),
    };
    let draft = failure(request, response);
    finish(shared, draft, request, Sent::Reject(Box::new(rejection)))
}

/// RFC 3579 §2.6.5: no text beside the EAP failure.
fn failure(request: &Packet, response: Option<u8>) -> Draft {
    let draft = Draft::new(Code::AccessReject, request.identifier());
    match response {
        Some(identifier) => draft.with_eap(&eap::Packet::Failure(identifier).encode()),
        None => draft,
    }
}

fn finish(shared: &Shared, draft: Draft, request: &Packet, sent: Sent) -> Step {
    match shared.finish_response(draft, request) {
        Ok(datagram) => Step::Send(datagram, sent),
        Err(error) => Step::Discard(error),
    }
}
