//! What a peer says first, before anything is known of it.
//!
//! 1. [`Opening::read`]: the first frame of a connection, as claims.
//! 2. The caller looks up what it knows of the key that is named.
//! 3. For an [`AuthenticationRequest`]: [`crate::authentication::Responder::accept`].
//!    For an announcement: [`crate::authentication::Initiator::start`] with the key whose chirp hash it is.

use crate::attribute::AttributeId;
use crate::authentication::AuthenticationRequest;
use crate::error::{Error, Refusal};
use crate::frame::{Frame, FrameType};

/// The first frame of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Opening {
    /// The peer begins authentication.
    AuthenticationRequest(AuthenticationRequest),
    /// An enrollee makes itself heard: whoever knows its key may begin authentication (Wi-Fi Easy
    /// Connect 3.0 §6.2).
    PresenceAnnouncement {
        /// [`crate::BootstrappingPublicKey::chirp_hash`] of the enrollee's key.
        chirp_hash: [u8; 32],
    },
    /// An enrollee that was configured asks for a new configuration (Wi-Fi Easy Connect 3.0 §6.5.2);
    /// the frame is for [`crate::reconfiguration`].
    ReconfigurationAnnouncement {
        /// SHA-256 of the C-sign key under which it was configured.
        c_sign_key_hash: [u8; 32],
        /// The whole frame.
        frame: Vec<u8>,
    },
    /// PKEX begins (Wi-Fi Easy Connect 3.0 §5.6); the frame is for [`crate::pkex`].
    Pkex {
        /// Version 1 or 2 of PKEX.
        frame_type: FrameType,
        /// The whole frame.
        frame: Vec<u8>,
    },
}

impl Opening {
    /// Reads the first frame. Refuses what nobody can begin with ([`Refusal::Unexpected`]), GAS
    /// frames included, and what is malformed.
    pub fn read(frame: &[u8]) -> Result<Self, Error> {
        if crate::gas::GasMessage::is_gas(frame) {
            return Err(Refusal::Unexpected.into());
        }
        let read = Frame::read(frame)?;
        let attributes = read.attributes();
        match read.frame_type() {
            FrameType::AuthenticationRequest => Ok(Self::AuthenticationRequest(
                AuthenticationRequest::read(frame)?,
            )),
            FrameType::PresenceAnnouncement => Ok(Self::PresenceAnnouncement {
                chirp_hash: attributes.require_array(AttributeId::ResponderBootstrappingKeyHash)?,
            }),
            FrameType::ReconfigurationAnnouncement => Ok(Self::ReconfigurationAnnouncement {
                c_sign_key_hash: attributes.require_array(AttributeId::CSignKeyHash)?,
                frame: frame.to_vec(),
            }),
            frame_type @ (FrameType::PkexVersion1Request | FrameType::PkexExchangeRequest) => {
                Ok(Self::Pkex {
                    frame_type,
                    frame: frame.to_vec(),
                })
            }
            _ => Err(Refusal::Unexpected.into()),
        }
    }
}
