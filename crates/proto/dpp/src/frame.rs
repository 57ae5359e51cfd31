//! DPP action frames, from the action field on: the octets that follow the length over TCP, and the
//! category on the air (Wi-Fi Easy Connect 3.0 §8.2).
//!
//! `09 50 6f 9a 1a 01 type attributes`: vendor-specific public action, the Wi-Fi Alliance's number,
//! DPP, crypto suite 1. Six octets, from that number to the type, are bound into every wrap.

use zeroize::Zeroizing;

use crate::attribute::{AttributeId, Attributes, put};
use crate::error::{Error, Malformed, Misuse, Refusal};
use crate::wrap::{unwrap, wrap};

/// Longest frame that is read or written: what a relay forwards.
pub const MAX_FRAME_LENGTH: usize = 65_535;

/// The action field of a vendor-specific public action frame (IEEE 802.11-2020 §9.6.7.1).
pub const VENDOR_SPECIFIC: u8 = 9;

/// Octets before the attributes.
const HEADER_LENGTH: usize = 7;

macro_rules! frame_types {
    ($($variant:ident = $number:literal, $name:literal;)*) => {
        /// What a frame is (Wi-Fi Easy Connect 3.0 §8.2.1, table 47).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum FrameType {
            $(#[doc = concat!($name, ".")] $variant,)*
        }

        impl FrameType {
            /// The number on the wire.
            #[must_use]
            pub fn number(self) -> u8 {
                match self { $(Self::$variant => $number),* }
            }

            /// The type of a number, when it is known.
            #[must_use]
            pub fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }
        }

        impl std::fmt::Display for FrameType {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $(Self::$variant => $name),* })
            }
        }
    };
}

frame_types! {
    AuthenticationRequest = 0, "Authentication Request";
    AuthenticationResponse = 1, "Authentication Response";
    AuthenticationConfirm = 2, "Authentication Confirm";
    PeerDiscoveryRequest = 5, "Peer Discovery Request";
    PeerDiscoveryResponse = 6, "Peer Discovery Response";
    PkexVersion1Request = 7, "PKEX Version 1 Exchange Request";
    PkexExchangeResponse = 8, "PKEX Exchange Response";
    PkexCommitRevealRequest = 9, "PKEX Commit-Reveal Request";
    PkexCommitRevealResponse = 10, "PKEX Commit-Reveal Response";
    ConfigurationResult = 11, "Configuration Result";
    ConnectionStatusResult = 12, "Connection Status Result";
    PresenceAnnouncement = 13, "Presence Announcement";
    ReconfigurationAnnouncement = 14, "Reconfiguration Announcement";
    ReconfigurationAuthenticationRequest = 15, "Reconfiguration Authentication Request";
    ReconfigurationAuthenticationResponse = 16, "Reconfiguration Authentication Response";
    ReconfigurationAuthenticationConfirm = 17, "Reconfiguration Authentication Confirm";
    PkexExchangeRequest = 18, "PKEX Exchange Request";
    PushButtonAnnouncement = 19, "Push Button Presence Announcement";
    PushButtonAnnouncementResponse = 20, "Push Button Presence Announcement Response";
    PrivatePeerIntroductionQuery = 21, "Private Peer Introduction Query";
    PrivatePeerIntroductionNotify = 22, "Private Peer Introduction Notify";
    PrivatePeerIntroductionUpdate = 23, "Private Peer Introduction Update";
}

/// One action frame, read.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    frame_type: FrameType,
    header: &'a [u8],
    attributes: Attributes<'a>,
}

impl<'a> Frame<'a> {
    /// Reads a frame and its attributes; refuses one of another kind or of unknown type.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_FRAME_LENGTH {
            return Err(Malformed::TooLarge.into());
        }
        let (head, attributes) = bytes
            .split_first_chunk::<HEADER_LENGTH>()
            .ok_or(Malformed::Frame)?;
        let [VENDOR_SPECIFIC, 0x50, 0x6f, 0x9a, 0x1a, 1, number] = *head else {
            return Err(Malformed::Frame.into());
        };
        Ok(Self {
            frame_type: FrameType::from_number(number).ok_or(Malformed::Frame)?,
            header: head.get(1..).unwrap_or_default(),
            attributes: Attributes::read(attributes)?,
        })
    }

    /// Reads a frame that must be of one type: [`Refusal::Unexpected`] otherwise.
    pub fn expect(bytes: &'a [u8], frame_type: FrameType) -> Result<Self, Error> {
        let frame = Self::read(bytes)?;
        if frame.frame_type != frame_type {
            return Err(Refusal::Unexpected.into());
        }
        Ok(frame)
    }

    /// What the frame is.
    #[must_use]
    pub fn frame_type(&self) -> FrameType {
        self.frame_type
    }

    /// The six octets that every wrap covers.
    #[must_use]
    pub fn header(&self) -> &'a [u8] {
        self.header
    }

    /// The attributes in clear.
    #[must_use]
    pub fn attributes(&self) -> &Attributes<'a> {
        &self.attributes
    }

    /// Opens the wrapped data; its tag covers the header and everything before it.
    pub fn unwrap(&self, key: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let associated = [self.header, self.attributes.before_wrapped()];
        unwrap(key, &associated, self.attributes.wrapped()?)
    }
}

/// The beginning of a frame, for attributes to be [`put`] behind it.
#[must_use]
pub fn begin(frame_type: FrameType) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(&[
        VENDOR_SPECIFIC,
        0x50,
        0x6f,
        0x9a,
        0x1a,
        1,
        frame_type.number(),
    ]);
    out
}

/// Ends a frame with `clear` as its wrapped data.
pub fn seal(mut frame: Vec<u8>, key: &[u8], clear: &[u8]) -> Result<Vec<u8>, Error> {
    let (header, attributes) = frame
        .get(1..)
        .and_then(|covered| covered.split_at_checked(HEADER_LENGTH - 1))
        .ok_or(Misuse::Oversize)?;
    let wrapped = wrap(key, &[header, attributes], clear)?;
    put(&mut frame, AttributeId::WrappedData, &wrapped)?;
    if frame.len() > MAX_FRAME_LENGTH {
        return Err(Misuse::Oversize.into());
    }
    Ok(frame)
}
