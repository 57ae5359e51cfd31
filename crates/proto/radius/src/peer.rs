//! EAP-TLS on the station's side: what a supplicant does.
//!
//! 1. To an identity request it answers with its identity.
//! 2. To a start it answers with a ClientHello; then flights go to and fro.
//! 3. When the server is proved and the handshake is over it acknowledges, in TLS 1.3 after the octet
//!    that says the handshake went well (RFC 9190 §2.1.1), and awaits success.
//! 4. A server that it does not believe hears an alert, and the failure that follows ends it.
//!
//! Any other method is answered with a Nak that asks for EAP-TLS, and once EAP-TLS runs not at all.

use jiff::Timestamp;

use crate::eap::{self, Body, TlsMessage};
use crate::error::{Error, Refusal};
use crate::fragment::{FragmentSize, Incoming, Outgoing, Received};
use crate::tls::{Connector, Proof, TlsPeer, Version};

/// Most requests that a server may send in one conversation.
const MAX_ROUNDS: u16 = 160;

/// A station that wants to come in.
pub struct Peer {
    connector: Connector,
    identity: String,
    size: FragmentSize,
    rounds: u16,
    last: Option<(u8, Vec<u8>)>,
    state: State,
}

enum State {
    Idle,
    Handshaking(Box<Running>),
    /// The handshake is over and, where the version has it, the indication was heard.
    Finished(Box<Proof>),
    /// We said why we do not go on.
    Refusing(Outgoing, Error),
}

struct Running {
    tls: TlsPeer,
    incoming: Incoming,
    outgoing: Option<Outgoing>,
}

/// What comes after a packet of the server.
pub enum PeerStep {
    /// Send this.
    Respond(Box<Peer>, Vec<u8>),
    /// The packet was not for us; go on waiting.
    Ignore(Box<Peer>),
    /// In, with these keys.
    Done(Box<Proof>),
}

impl Peer {
    /// A peer that will call itself `identity` before anything is proved: `@realm` keeps its name from
    /// those who listen (RFC 9190 §2.1.8).
    pub fn new(connector: Connector, identity: &str, size: FragmentSize) -> Self {
        Self {
            connector,
            identity: identity.to_owned(),
            size,
            rounds: 0,
            last: None,
            state: State::Idle,
        }
    }

    /// Takes an EAP packet of the server.
    ///
    /// # Errors
    ///
    /// The server refused us or cannot be believed; the conversation is over.
    pub fn handle(mut self: Box<Self>, now: Timestamp, packet: &[u8]) -> Result<PeerStep, Error> {
        let request = match eap::Packet::parse(packet) {
            Ok(eap::Packet::Request(request)) => request,
            Ok(eap::Packet::Success(_)) => return self.success(),
            Ok(eap::Packet::Failure(_)) => return Err(self.failure()),
            // RFC 3748 §4: anything else is dropped without a word.
            Ok(eap::Packet::Response(_)) | Err(_) => return Ok(PeerStep::Ignore(self)),
        };
        if let Some((identifier, answer)) = &self.last
            && *identifier == request.identifier
        {
            let answer = answer.clone();
            return Ok(PeerStep::Respond(self, answer));
        }
        self.rounds += 1;
        if self.rounds > MAX_ROUNDS {
            return Err(Refusal::TooManyRounds.into());
        }
        let (method, data) = match request.method {
            eap::IDENTITY => (eap::IDENTITY, self.identity.clone().into_bytes()),
            eap::TLS => match self.tls(now, request.data)? {
                Some(data) => (eap::TLS, data),
                None => return Ok(PeerStep::Ignore(self)),
            },
            _ if matches!(self.state, State::Idle) => (eap::NAK, vec![eap::TLS]),
            _ => return Ok(PeerStep::Ignore(self)),
        };
        let response = eap::Packet::Response(Body {
            identifier: request.identifier,
            method,
            data: &data,
        });
        let answer = response.encode();
        self.last = Some((request.identifier, answer.clone()));
        Ok(PeerStep::Respond(self, answer))
    }

    /// Takes an EAP-TLS message and gives the answer to it, if it deserves one.
    fn tls(&mut self, now: Timestamp, data: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let message = TlsMessage::parse(data)?;
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Idle if message.start => {
                let running = Box::new(Running {
                    tls: self.connector.connection(now)?,
                    incoming: Incoming::default(),
                    outgoing: None,
                });
                self.send_flight(running).map(Some)
            }
            State::Idle => Ok(None),
            _ if message.start => Err(Refusal::StartUnexpected.into()),
            State::Handshaking(running) => self.handshake(now, running, &message).map(Some),
            state @ State::Finished(_) => {
                // Nothing more is due; an alert that came too late changes nothing that was proved.
                self.state = state;
                Err(Refusal::FragmentUnexpected.into())
            }
            State::Refusing(mut outgoing, reason) => match outgoing.next() {
                Some(next) => {
                    self.state = State::Refusing(outgoing, reason);
                    Ok(Some(next))
                }
                None => Err(reason),
            },
        }
    }

    fn handshake(
        &mut self,
        now: Timestamp,
        mut running: Box<Running>,
        message: &TlsMessage<'_>,
    ) -> Result<Vec<u8>, Error> {
        if let Some(outgoing) = &mut running.outgoing
            && outgoing.is_unfinished()
        {
            if !message.is_acknowledgement() {
                return Err(Refusal::FragmentUnexpected.into());
            }
            let next = outgoing.next().ok_or(Refusal::AcknowledgementUnexpected)?;
            self.state = State::Handshaking(running);
            return Ok(next);
        }
        running.outgoing = None;
        if message.is_acknowledgement() && !running.incoming.is_begun() {
            return Err(Refusal::AcknowledgementUnexpected.into());
        }
        let flight = match running.incoming.take(message)? {
            Received::Partly => {
                self.state = State::Handshaking(running);
                return Ok(TlsMessage::ACKNOWLEDGEMENT.encode());
            }
            Received::Flight(flight) => flight,
        };
        match running.tls.take(now, &flight) {
            Ok(data) => {
                let indicated = match (running.tls.version(), data.as_slice()) {
                    (Some(Version::Tls13), [0]) => true,
                    (Some(Version::Tls12), []) => running.tls.is_finished(),
                    (_, []) => false,
                    _ => return Err(Refusal::FragmentUnexpected.into()),
                };
                if indicated {
                    let proof = running.tls.proof(now)?;
                    return self.finish(running, proof);
                }
                self.send_flight(running)
            }
            Err(reason) => {
                let alert = running.tls.flight().unwrap_or_default();
                let mut outgoing = Outgoing::new(alert, self.size);
                // RFC 5216 §2.1.3: where the server sent the alert, it awaits that we heard it.
                let first = outgoing
                    .next()
                    .unwrap_or_else(|| TlsMessage::ACKNOWLEDGEMENT.encode());
                self.state = State::Refusing(outgoing, reason);
                Ok(first)
            }
        }
    }

    /// The last word: our Finished where a TLS 1.2 session was resumed, nothing otherwise.
    fn finish(&mut self, mut running: Box<Running>, proof: Proof) -> Result<Vec<u8>, Error> {
        let flight = running.tls.flight()?;
        self.state = State::Finished(Box::new(proof));
        if flight.is_empty() {
            return Ok(TlsMessage::ACKNOWLEDGEMENT.encode());
        }
        // CCS and Finished together are shorter than any fragment.
        let mut outgoing = Outgoing::new(flight, FragmentSize::default());
        outgoing
            .next()
            .ok_or_else(|| Refusal::AcknowledgementUnexpected.into())
    }

    fn send_flight(&mut self, mut running: Box<Running>) -> Result<Vec<u8>, Error> {
        let mut outgoing = Outgoing::new(running.tls.flight()?, self.size);
        let first = outgoing
            .next()
            .unwrap_or_else(|| TlsMessage::ACKNOWLEDGEMENT.encode());
        running.outgoing = Some(outgoing);
        self.state = State::Handshaking(running);
        Ok(first)
    }

    /// RFC 9190 §2.1.1, RFC 3748 §4.2: success counts only after the handshake proved the server.
    fn success(self) -> Result<PeerStep, Error> {
        match self.state {
            State::Finished(proof) => Ok(PeerStep::Done(proof)),
            _ => Err(Refusal::SuccessTooEarly.into()),
        }
    }

    fn failure(self) -> Error {
        match self.state {
            State::Refusing(_, reason) => reason,
            _ => Refusal::FailureByServer.into(),
        }
    }
}
