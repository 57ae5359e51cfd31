//! The Authentication Request as it arrives: what a stranger says of itself.

use crate::attribute::AttributeId;
use crate::error::Error;
use crate::frame::{Frame, FrameType};

/// An Authentication Request, read and not believed: every value is a claim until
/// [`super::Responder::accept`] has opened it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthenticationRequest {
    pub(super) frame: Vec<u8>,
    responder_hash: [u8; 32],
    initiator_hash: [u8; 32],
    pub(super) version: Option<[u8; 1]>,
    channel: Option<[u8; 2]>,
}

impl AuthenticationRequest {
    /// Reads the frame (Wi-Fi Easy Connect 3.0 §6.3.2); refuses what has another type or form, or
    /// lacks an attribute.
    pub fn read(frame: &[u8]) -> Result<Self, Error> {
        let read = Frame::expect(frame, FrameType::AuthenticationRequest)?;
        let attributes = read.attributes();
        attributes.require(AttributeId::InitiatorProtocolKey)?;
        attributes.wrapped()?;
        Ok(Self {
            responder_hash: attributes.require_array(AttributeId::ResponderBootstrappingKeyHash)?,
            initiator_hash: attributes.require_array(AttributeId::InitiatorBootstrappingKeyHash)?,
            version: attributes.find_array(AttributeId::ProtocolVersion)?,
            channel: attributes.find_array(AttributeId::Channel)?,
            frame: frame.to_vec(),
        })
    }

    /// Whom it is for: the hash of a responder's bootstrapping key.
    #[must_use]
    pub fn responder_hash(&self) -> &[u8; 32] {
        &self.responder_hash
    }

    /// Whom it says it is from: the hash of the initiator's bootstrapping key. An initiator without
    /// one of its own sends the hash of a key made for the occasion.
    #[must_use]
    pub fn initiator_hash(&self) -> &[u8; 32] {
        &self.initiator_hash
    }

    /// The highest version that the initiator speaks; 1 says nothing about it.
    #[must_use]
    pub fn version(&self) -> u8 {
        self.version.map_or(1, |[version]| version)
    }

    /// Operating class and channel on which the initiator wants to go on; meaningless over TCP.
    #[must_use]
    pub fn channel(&self) -> Option<[u8; 2]> {
        self.channel
    }
}
