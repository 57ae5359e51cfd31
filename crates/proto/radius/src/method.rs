//! EAP-TLS on the server's side (RFC 5216 §2.1, RFC 9190 §2.1).
//!
//! 1. [`Invited`]: the start went out, the peer's ClientHello is awaited.
//! 2. [`Handshaking`]: flights go to and fro, each in one or more fragments.
//! 3. [`Proved`]: the peer's certificate and key are proved. Whoever holds it decides.
//! 4. [`Confirming`]: the last words go out: in TLS 1.2 the server's Finished, in TLS 1.3 the octet
//!    that says the handshake went well. A resumed TLS 1.2 handshake has none.
//! 5. [`Refusing`]: instead, an alert goes out; the peer's answer is awaited, so that it learns why.
//!
//! A state is consumed by what comes in. An error ends the conversation.

use jiff::Timestamp;

use crate::eap::TlsMessage;
use crate::error::{Error, Refusal};
use crate::fragment::{FragmentSize, Incoming, Outgoing, Received};
use crate::tls::{Acceptor, Proof, TlsServer, Version};

/// Most responses that a peer may send in one conversation: 64 KiB each way in fragments of 1000
/// octets is 132. Smaller fragments serve shorter flights.
pub(crate) const MAX_ROUNDS: u16 = 160;

/// The message that invites the peer to begin (RFC 5216 §2.1.1).
pub(crate) fn start() -> Vec<u8> {
    TlsMessage {
        start: true,
        ..TlsMessage::ACKNOWLEDGEMENT
    }
    .encode()
}

/// What comes after a response.
pub(crate) enum Next {
    /// Send this and go on.
    Handshaking(Box<Handshaking>, Vec<u8>),
    /// Decide.
    Proved(Box<Proved>),
    /// Send this, then give up.
    Refusing(Refusing, Vec<u8>),
}

/// The peer was invited. Nothing is kept for it yet.
pub(crate) struct Invited {
    pub(crate) size: FragmentSize,
}

impl Invited {
    pub(crate) fn handle(
        self,
        acceptor: &Acceptor,
        now: Timestamp,
        data: &[u8],
    ) -> Result<Next, Error> {
        let handshaking = Handshaking {
            tls: acceptor.connection(now)?,
            incoming: Incoming::default(),
            outgoing: None,
            size: self.size,
            rounds: 0,
        };
        Box::new(handshaking).handle(now, data)
    }
}

/// Flights go to and fro.
pub(crate) struct Handshaking {
    tls: TlsServer,
    incoming: Incoming,
    outgoing: Option<Outgoing>,
    size: FragmentSize,
    rounds: u16,
}

impl Handshaking {
    pub(crate) fn handle(mut self: Box<Self>, now: Timestamp, data: &[u8]) -> Result<Next, Error> {
        count(&mut self.rounds)?;
        let message = from_peer(data)?;
        if let Some(next) = next_fragment(self.outgoing.as_mut(), &message)? {
            return Ok(Next::Handshaking(self, next));
        }
        self.outgoing = None;
        if message.is_acknowledgement() && !self.incoming.is_begun() {
            return Err(Refusal::AcknowledgementUnexpected.into());
        }
        let flight = match self.incoming.take(&message)? {
            Received::Partly => {
                let go_on = TlsMessage::ACKNOWLEDGEMENT.encode();
                return Ok(Next::Handshaking(self, go_on));
            }
            Received::Flight(flight) => flight,
        };
        if let Err(reason) = self.tls.take(now, &flight) {
            return refuse(self, reason);
        }
        if self.tls.is_finished() {
            return match self.tls.proof(now) {
                Ok(proof) => Ok(Next::Proved(Box::new(Proved {
                    tls: self.tls,
                    proof,
                    size: self.size,
                    rounds: self.rounds,
                }))),
                Err(reason) => Err(reason),
            };
        }
        let mut outgoing = Outgoing::new(self.tls.flight()?, self.size);
        // A handshake that is not over and has nothing to say would wait for ever.
        let first = outgoing.next().ok_or(Refusal::AcknowledgementUnexpected)?;
        self.outgoing = Some(outgoing);
        Ok(Next::Handshaking(self, first))
    }
}

/// Sends the alert that rustls has ready, if it has one; a peer that sent one itself needs none.
fn refuse(mut handshaking: Box<Handshaking>, reason: Error) -> Result<Next, Error> {
    let alert = handshaking.tls.flight().unwrap_or_default();
    let mut outgoing = Outgoing::new(alert, handshaking.size);
    match outgoing.next() {
        Some(first) => {
            let rounds = handshaking.rounds;
            let refusing = Refusing {
                outgoing,
                reason,
                rounds,
            };
            Ok(Next::Refusing(refusing, first))
        }
        None => Err(reason),
    }
}

/// The handshake is over, and this is who the peer is.
pub(crate) struct Proved {
    tls: TlsServer,
    pub(crate) proof: Proof,
    size: FragmentSize,
    rounds: u16,
}

/// What is left to do once the peer may come in.
pub(crate) enum Granted {
    /// Nothing.
    Complete(Box<Proof>),
    /// Send this, and await the peer's acknowledgement.
    Confirming(Box<Confirming>, Vec<u8>),
}

impl Proved {
    /// Whether the last words are already said, so that a grant lets the peer in.
    pub(crate) fn is_last(&self) -> bool {
        self.proof.version == Version::Tls12 && self.proof.resumed
    }

    pub(crate) fn grant(mut self) -> Result<Granted, Error> {
        if self.proof.version == Version::Tls13 {
            self.tls.write_indication()?;
        }
        let mut outgoing = Outgoing::new(self.tls.flight()?, self.size);
        Ok(match outgoing.next() {
            None => Granted::Complete(Box::new(self.proof)),
            Some(first) => {
                let confirming = Confirming {
                    proof: self.proof,
                    outgoing,
                    rounds: self.rounds,
                };
                Granted::Confirming(Box::new(confirming), first)
            }
        })
    }
}

/// The last words are on their way.
pub(crate) struct Confirming {
    proof: Proof,
    outgoing: Outgoing,
    rounds: u16,
}

/// What comes after an acknowledgement.
pub(crate) enum Confirmed {
    /// Send this and go on.
    Confirming(Box<Confirming>, Vec<u8>),
    /// All was said and heard.
    Complete(Box<Proof>),
}

impl Confirming {
    pub(crate) fn handle(mut self: Box<Self>, data: &[u8]) -> Result<Confirmed, Error> {
        count(&mut self.rounds)?;
        let message = from_peer(data)?;
        if let Some(next) = next_fragment(Some(&mut self.outgoing), &message)? {
            return Ok(Confirmed::Confirming(self, next));
        }
        // In TLS 1.2 a peer that distrusts our Finished sends an alert here.
        if !message.is_acknowledgement() {
            return Err(Refusal::FragmentUnexpected.into());
        }
        Ok(Confirmed::Complete(Box::new(self.proof)))
    }
}

/// An alert is on its way.
pub(crate) struct Refusing {
    outgoing: Outgoing,
    reason: Error,
    rounds: u16,
}

impl Refusing {
    /// Either the rest of the alert, or the reason at last. What the peer says no longer matters.
    pub(crate) fn handle(mut self) -> Result<(Self, Vec<u8>), Error> {
        count(&mut self.rounds)?;
        match self.outgoing.next() {
            Some(next) => Ok((self, next)),
            None => Err(self.reason),
        }
    }
}

fn count(rounds: &mut u16) -> Result<(), Error> {
    *rounds += 1;
    if *rounds > MAX_ROUNDS {
        return Err(Refusal::TooManyRounds.into());
    }
    Ok(())
}

/// A peer never sends a start (RFC 5216 §3.2).
fn from_peer(data: &[u8]) -> Result<TlsMessage<'_>, Error> {
    let message = TlsMessage::parse(data)?;
    if message.start {
        return Err(Refusal::StartUnexpected.into());
    }
    Ok(message)
}

/// While fragments are left, only an acknowledgement may come, and it fetches the next one.
fn next_fragment(
    outgoing: Option<&mut Outgoing>,
    message: &TlsMessage<'_>,
) -> Result<Option<Vec<u8>>, Error> {
    match outgoing {
        Some(outgoing) if outgoing.is_unfinished() => {
            if !message.is_acknowledgement() {
                return Err(Refusal::FragmentUnexpected.into());
            }
            Ok(outgoing.next())
        }
        _ => Ok(None),
    }
}
