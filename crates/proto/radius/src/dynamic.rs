//! Dynamic authorization (RFC 5176): ending a session, or changing it, from the server's side.
//!
//! 1. [`Order::datagram`] makes the request; the caller sends it, the same bytes again when no answer
//!    comes.
//! 2. On the other side [`Receiver::receive`] proves it: secret, Event-Timestamp, not seen before.
//! 3. That side acts and answers with [`Received::acknowledge`] or [`Received::refuse`].
//! 4. [`Sent::outcome`] reads the answer.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use crate::attribute;
use crate::error::{Error, Malformed, Refusal};
use crate::packet::{Code, Draft, Packet};
use crate::server::{Origin, Segment};
use crate::shared::Shared;
use crate::station::Station;

/// How far an Event-Timestamp may be from now (RFC 5176 §6.3).
pub const EVENT_WINDOW: SignedDuration = SignedDuration::from_secs(300);

/// Most requests that are remembered to tell a repetition from a replay.
pub const MAX_REMEMBERED: usize = 4096;

/// What is to become of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It ends (Disconnect-Request).
    Disconnect,
    /// The station is put elsewhere (CoA-Request). Not every access point can do that.
    Move(Segment),
}

/// Which session is meant: each part that is given must fit (RFC 5176 §3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// The station, as the access point wrote it in Calling-Station-Id.
    pub calling_station: Option<String>,
    /// The session, as the access point named it in Acct-Session-Id.
    pub session: Option<String>,
    /// The access point's name for itself (NAS-Identifier), where it wants to see it.
    pub access_point: Option<String>,
}

/// A request to an access point.
#[derive(Clone, Debug)]
pub struct Order {
    /// What is to happen.
    pub change: Change,
    /// To which session.
    pub target: Target,
}

/// A request that is under way.
#[derive(Clone, Debug)]
pub struct Sent {
    change: Code,
    identifier: u8,
    authenticator: [u8; 16],
}

/// What the access point answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// There is no such session: as good as done, for a Disconnect.
    NoSuchSession,
    /// Not done, with the Error-Cause (RFC 5176 §3.5).
    NotDone(Option<u32>),
}

impl Order {
    /// The datagram.
    ///
    /// # Errors
    ///
    /// No session is named, or the attributes do not fit.
    pub fn datagram(
        &self,
        shared: &Shared,
        identifier: u8,
        now: Timestamp,
    ) -> Result<(Vec<u8>, Sent), Error> {
        let target = &self.target;
        if target.calling_station.is_none() && target.session.is_none() {
            return Err(Refusal::DeviceNotNamed.into());
        }
        let change = match &self.change {
            Change::Disconnect => Code::DisconnectRequest,
            Change::Move(_) => Code::CoaRequest,
        };
        let mut draft = Draft::new(change, identifier);
        let names = [
            (attribute::NAS_IDENTIFIER, &target.access_point),
            (attribute::CALLING_STATION_ID, &target.calling_station),
            (attribute::ACCT_SESSION_ID, &target.session),
        ];
        for (kind, value) in names {
            if let Some(value) = value {
                draft = draft.with(kind, value.as_bytes());
            }
        }
        if let Change::Move(segment) = &self.change {
            draft = segment.write(draft);
        }
        let seconds = u32::try_from(now.as_second()).unwrap_or(u32::MAX);
        draft = draft.with_integer(attribute::EVENT_TIMESTAMP, seconds);
        let datagram = shared.finish_digest_request(draft)?;
        let authenticator = *Packet::parse(&datagram)?.authenticator();
        let sent = Sent {
            change,
            identifier,
            authenticator,
        };
        Ok((datagram, sent))
    }
}

impl Sent {
    /// Reads the answer.
    ///
    /// # Errors
    ///
    /// It is not the answer to this request, or not from who shares the secret: wait on.
    pub fn outcome(&self, shared: &Shared, datagram: &[u8]) -> Result<Outcome, Error> {
        let packet = Packet::parse(datagram)?;
        if packet.identifier() != self.identifier {
            return Err(Refusal::ResponseUnmatched.into());
        }
        shared.check_response(&packet, &self.authenticator)?;
        let cause = packet.integer(attribute::ERROR_CAUSE);
        match (self.change, packet.code()) {
            (Code::DisconnectRequest, Code::DisconnectAck) | (Code::CoaRequest, Code::CoaAck) => {
                Ok(Outcome::Done)
            }
            (Code::DisconnectRequest, Code::DisconnectNak) | (Code::CoaRequest, Code::CoaNak) => {
                Ok(match cause {
                    Some(SESSION_NOT_FOUND) => Outcome::NoSuchSession,
                    cause => Outcome::NotDone(cause),
                })
            }
            _ => Err(Refusal::CodeUnexpected.into()),
        }
    }
}

/// Error-Cause "Session Context Not Found" (RFC 5176 §3.5).
pub const SESSION_NOT_FOUND: u32 = 503;
/// Error-Cause "Unsupported Attribute".
pub const UNSUPPORTED_ATTRIBUTE: u32 = 401;
/// Error-Cause "Administratively Prohibited".
pub const PROHIBITED: u32 = 501;

/// The side that receives requests. It remembers the ones it answered, for as long as their timestamps
/// count.
#[derive(Debug, Default)]
pub struct Receiver {
    answered: VecDeque<Remembered>,
}

#[derive(Debug)]
struct Remembered {
    origin: Origin,
    authenticator: [u8; 16],
    at: Timestamp,
    answer: Vec<u8>,
}

/// What a datagram was.
#[derive(Debug)]
pub enum Arrival {
    /// A request: act, then answer.
    Fresh(Box<Received>),
    /// The very bytes that were answered before, from the same place: send the same answer.
    Repeated(Vec<u8>),
}

/// A proved request.
#[derive(Debug)]
pub struct Received {
    origin: Origin,
    request: Packet,
    change: Change,
}

impl Receiver {
    /// Proves a datagram.
    ///
    /// # Errors
    ///
    /// Not a Disconnect- or CoA-Request, not from who shares the secret, no Event-Timestamp or one
    /// further than [`EVENT_WINDOW`] from `now`, a request from elsewhere that was answered before, or no
    /// session named: no answer.
    pub fn receive(
        &mut self,
        now: Timestamp,
        origin: Origin,
        shared: &Shared,
        datagram: &[u8],
    ) -> Result<Arrival, Error> {
        let request = Packet::parse(datagram)?;
        let change = match request.code() {
            Code::DisconnectRequest => Change::Disconnect,
            Code::CoaRequest => {
                let segment = request.text(attribute::TUNNEL_PRIVATE_GROUP_ID);
                Change::Move(Segment::new(segment.ok_or(Malformed::AttributeValue)?)?)
            }
            _ => return Err(Refusal::CodeUnexpected.into()),
        };
        shared.check_digest_request(&request)?;
        let at = request
            .only(attribute::EVENT_TIMESTAMP)?
            .ok_or(Refusal::EventTimestampMissing)?
            .time()
            .ok_or(Malformed::AttributeValue)?;
        if at.duration_since(now).abs() > EVENT_WINDOW {
            return Err(Refusal::EventTimestampStale.into());
        }
        // Twice the window: a request may be dated that far ahead of its arrival.
        while self
            .answered
            .front()
            .is_some_and(|oldest| now.duration_since(oldest.at) > EVENT_WINDOW + EVENT_WINDOW)
        {
            self.answered.pop_front();
        }
        let known = self
            .answered
            .iter()
            .find(|known| known.authenticator == *request.authenticator());
        match known {
            Some(known) if known.origin == origin => Ok(Arrival::Repeated(known.answer.clone())),
            Some(_) => Err(Refusal::Replayed.into()),
            None => {
                let station = Station::of(&request);
                if station.mac.is_none() && station.session.is_none() {
                    return Err(Refusal::DeviceNotNamed.into());
                }
                Ok(Arrival::Fresh(Box::new(Received {
                    origin,
                    request,
                    change,
                })))
            }
        }
    }

    fn remember(&mut self, now: Timestamp, received: &Received, answer: &[u8]) {
        if self.answered.len() >= MAX_REMEMBERED {
            self.answered.pop_front();
        }
        self.answered.push_back(Remembered {
            origin: received.origin,
            authenticator: *received.request.authenticator(),
            at: now,
            answer: answer.to_vec(),
        });
    }
}

impl Received {
    /// What is to happen.
    pub fn change(&self) -> &Change {
        &self.change
    }

    /// To which session.
    pub fn station(&self) -> Station {
        Station::of(&self.request)
    }

    /// The answer that it was done.
    ///
    /// # Errors
    ///
    /// The request's Proxy-State does not fit an answer.
    pub fn acknowledge(
        &self,
        receiver: &mut Receiver,
        now: Timestamp,
        shared: &Shared,
    ) -> Result<Vec<u8>, Error> {
        let code = match self.change {
            Change::Disconnect => Code::DisconnectAck,
            Change::Move(_) => Code::CoaAck,
        };
        self.answer(
            receiver,
            now,
            shared,
            Draft::new(code, self.request.identifier()),
        )
    }

    /// The answer that it was not done, with the Error-Cause.
    ///
    /// # Errors
    ///
    /// The request's Proxy-State does not fit an answer.
    pub fn refuse(
        &self,
        receiver: &mut Receiver,
        now: Timestamp,
        shared: &Shared,
        cause: u32,
    ) -> Result<Vec<u8>, Error> {
        let code = match self.change {
            Change::Disconnect => Code::DisconnectNak,
            Change::Move(_) => Code::CoaNak,
        };
        let draft =
            Draft::new(code, self.request.identifier()).with_integer(attribute::ERROR_CAUSE, cause);
        self.answer(receiver, now, shared, draft)
    }

    fn answer(
        &self,
        receiver: &mut Receiver,
        now: Timestamp,
        shared: &Shared,
        draft: Draft,
    ) -> Result<Vec<u8>, Error> {
        let answer = shared.finish_response(draft, &self.request)?;
        receiver.remember(now, self, &answer);
        Ok(answer)
    }
}
