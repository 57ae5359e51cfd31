//! What an access point does: it carries EAP between the station and the server, in Access-Requests.
//!
//! The caller sends the datagram of [`Client::request`] again, byte for byte, when no answer comes.

use crate::attribute;
use crate::error::{Error, Refusal};
use crate::packet::{Code, Draft, Packet};
use crate::shared::Shared;

/// One station's conversation with a server.
pub struct Client {
    shared: Shared,
    attributes: Vec<(u8, Vec<u8>)>,
    state: Option<Vec<u8>>,
}

/// A request whose answer is awaited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    identifier: u8,
    authenticator: [u8; 16],
}

/// What the server said. It was proved to come from who shares the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Accept, reject or challenge.
    pub code: Code,
    /// The EAP packet for the station.
    pub eap: Option<Vec<u8>>,
    /// The whole packet.
    pub packet: Packet,
}

impl Client {
    /// A conversation whose requests all carry `attributes`: User-Name, Calling-Station-Id and so on.
    pub fn new(shared: Shared, attributes: Vec<(u8, Vec<u8>)>) -> Self {
        Self {
            shared,
            attributes,
            state: None,
        }
    }

    /// The request that carries the station's EAP packet. `authenticator` is random.
    ///
    /// # Errors
    ///
    /// The attributes do not fit a packet.
    pub fn request(
        &self,
        identifier: u8,
        eap: &[u8],
        authenticator: [u8; 16],
    ) -> Result<(Vec<u8>, Open), Error> {
        let mut draft = Draft::new(Code::AccessRequest, identifier);
        for (kind, value) in &self.attributes {
            draft = draft.with(*kind, value);
        }
        draft = draft.with_eap(eap);
        if let Some(state) = &self.state {
            draft = draft.with(attribute::STATE, state);
        }
        let datagram = self.shared.finish_access_request(draft, &authenticator)?;
        let open = Open {
            identifier,
            authenticator,
        };
        Ok((datagram, open))
    }

    /// Takes a datagram of the server.
    ///
    /// # Errors
    ///
    /// It is not the answer to `open`, or not from who shares the secret: wait on for the true one.
    pub fn answer(&mut self, open: &Open, datagram: &[u8]) -> Result<Answer, Error> {
        let packet = Packet::parse(datagram)?;
        if packet.identifier() != open.identifier {
            return Err(Refusal::ResponseUnmatched.into());
        }
        let code = packet.code();
        if !matches!(
            code,
            Code::AccessAccept | Code::AccessReject | Code::AccessChallenge
        ) {
            return Err(Refusal::CodeUnexpected.into());
        }
        self.shared.check_response(&packet, &open.authenticator)?;
        let state = packet.only(attribute::STATE)?;
        self.state = state.map(|state| state.value.to_vec());
        Ok(Answer {
            code,
            eap: packet.eap_message()?,
            packet,
        })
    }

    /// Checks that an acceptance carries the keys that the station has.
    ///
    /// # Errors
    ///
    /// Keys are missing, do not decrypt, or are other ones.
    pub fn check_keys(&self, open: &Open, accept: &Answer, msk: &[u8]) -> Result<(), Error> {
        let keys = self
            .shared
            .session_keys(&accept.packet, &open.authenticator)?;
        let mut halves = msk.chunks(32);
        for key in keys {
            if !halves.next().is_some_and(|half| key.ct_eq(half)) {
                return Err(Refusal::KeyMissing.into());
            }
        }
        Ok(())
    }
}
