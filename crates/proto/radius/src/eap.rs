//! EAP packets (RFC 3748 §4) and the framing of EAP-TLS (RFC 5216 §3).

use crate::error::{Error, Malformed};

/// Identity (RFC 3748 §5.1).
pub const IDENTITY: u8 = 1;
/// Nak (RFC 3748 §5.3.1).
pub const NAK: u8 = 3;
/// EAP-TLS (RFC 5216 §3).
pub const TLS: u8 = 13;

/// Most octets of an identity: it must fit into User-Name (RFC 2865 §5.1).
pub const MAX_IDENTITY: usize = 253;

const LENGTH_INCLUDED: u8 = 0x80;
const MORE_FRAGMENTS: u8 = 0x40;
const START: u8 = 0x20;

/// An EAP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// Code 1: from the server.
    Request(Body<'a>),
    /// Code 2: from the peer.
    Response(Body<'a>),
    /// Code 3, with the identifier of the last response.
    Success(u8),
    /// Code 4, with the identifier of the last response.
    Failure(u8),
}

/// What a request or a response holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Body<'a> {
    /// Ties a response to its request.
    pub identifier: u8,
    /// The method, such as [`TLS`].
    pub method: u8,
    /// What the method defines.
    pub data: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a packet. Octets after its own Length are padding of the link (RFC 3748 §4).
    ///
    /// # Errors
    ///
    /// Shorter than four octets or than its Length; a code other than 1 to 4; a request or response
    /// without type.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let [code, identifier, high, low, ..] = *bytes else {
            return Err(Malformed::EapLength.into());
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let body = bytes.get(4..length).ok_or(Malformed::EapLength)?;
        match code {
            1 | 2 => {
                let (method, data) = body.split_first().ok_or(Malformed::EapTypeMissing)?;
                let body = Body {
                    identifier,
                    method: *method,
                    data,
                };
                Ok(if code == 1 {
                    Self::Request(body)
                } else {
                    Self::Response(body)
                })
            }
            3 | 4 if !body.is_empty() => Err(Malformed::EapLength.into()),
            3 => Ok(Self::Success(identifier)),
            4 => Ok(Self::Failure(identifier)),
            _ => Err(Malformed::EapCode.into()),
        }
    }

    /// The packet's bytes. Data beyond 65,530 octets is cut off; nothing here comes near.
    pub fn encode(&self) -> Vec<u8> {
        let (code, identifier, body) = match self {
            Self::Request(body) => (1, body.identifier, Some(body)),
            Self::Response(body) => (2, body.identifier, Some(body)),
            Self::Success(identifier) => (3, *identifier, None),
            Self::Failure(identifier) => (4, *identifier, None),
        };
        let mut out = vec![code, identifier, 0, 4];
        if let Some(body) = body {
            out.push(body.method);
            let most = usize::from(u16::MAX) - 5;
            out.extend_from_slice(body.data.get(..most).unwrap_or(body.data));
            let length = u16::try_from(out.len()).unwrap_or(u16::MAX);
            if let Some(place) = out.get_mut(2..4) {
                place.copy_from_slice(&length.to_be_bytes());
            }
        }
        out
    }
}

/// The identity in a response: text of at most [`MAX_IDENTITY`] octets, possibly empty.
///
/// # Errors
///
/// Not UTF-8, holds control characters, or too long.
pub fn identity(data: &[u8]) -> Result<&str, Error> {
    let text = std::str::from_utf8(data).map_err(|_| Malformed::EapIdentity)?;
    if text.len() > MAX_IDENTITY || text.chars().any(char::is_control) {
        return Err(Malformed::EapIdentity.into());
    }
    Ok(text)
}

/// One EAP-TLS message (RFC 5216 §3.1): flags, perhaps the whole length, a piece of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsMessage<'a> {
    /// S: the server invites to begin.
    pub start: bool,
    /// M: more fragments follow.
    pub more: bool,
    /// L: octets of all fragments together.
    pub length: Option<u32>,
    /// This fragment.
    pub data: &'a [u8],
}

impl<'a> TlsMessage<'a> {
    /// Reads the data of an EAP packet of type [`TLS`]. Reserved flags are ignored (RFC 5216 §3.1).
    ///
    /// # Errors
    ///
    /// No flags, or L without a length.
    pub fn parse(data: &'a [u8]) -> Result<Self, Error> {
        let (flags, rest) = data.split_first().ok_or(Malformed::EapTlsFlags)?;
        let (length, data) = if flags & LENGTH_INCLUDED == 0 {
            (None, rest)
        } else {
            let (length, data) = rest
                .split_first_chunk::<4>()
                .ok_or(Malformed::EapTlsFlags)?;
            (Some(u32::from_be_bytes(*length)), data)
        };
        Ok(Self {
            start: flags & START != 0,
            more: flags & MORE_FRAGMENTS != 0,
            length,
            data,
        })
    }

    /// The message's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut flags = 0;
        if self.start {
            flags |= START;
        }
        if self.more {
            flags |= MORE_FRAGMENTS;
        }
        if self.length.is_some() {
            flags |= LENGTH_INCLUDED;
        }
        let mut out = vec![flags];
        if let Some(length) = self.length {
            out.extend(length.to_be_bytes());
        }
        out.extend_from_slice(self.data);
        out
    }

    /// An empty message: "go on" (RFC 5216 §2.1.5).
    pub const ACKNOWLEDGEMENT: TlsMessage<'static> = TlsMessage {
        start: false,
        more: false,
        length: None,
        data: &[],
    };

    /// Whether this is "go on".
    pub fn is_acknowledgement(&self) -> bool {
        !self.start && !self.more && self.data.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let message = TlsMessage {
            start: false,
            more: true,
            length: Some(4000),
            data: &[1, 2, 3],
        };
        let data = message.encode();
        assert_eq!(TlsMessage::parse(&data), Ok(message));
        let packet = Packet::Request(Body {
            identifier: 7,
            method: TLS,
            data: &data,
        });
        assert_eq!(Packet::parse(&packet.encode()), Ok(packet));
        assert_eq!(Packet::parse(&[3, 9, 0, 4]), Ok(Packet::Success(9)));
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        let refused = |bytes: &[u8]| Packet::parse(bytes).unwrap_err();
        assert_eq!(refused(&[1, 2, 0]), Malformed::EapLength.into());
        assert_eq!(refused(&[1, 2, 0, 3]), Malformed::EapLength.into());
        assert_eq!(refused(&[1, 2, 0, 6, 13]), Malformed::EapLength.into());
        assert_eq!(refused(&[1, 2, 0, 4]), Malformed::EapTypeMissing.into());
        assert_eq!(refused(&[4, 2, 0, 5, 1]), Malformed::EapLength.into());
        assert_eq!(refused(&[5, 2, 0, 5, 1]), Malformed::EapCode.into());
        assert_eq!(
            TlsMessage::parse(&[]).unwrap_err(),
            Malformed::EapTlsFlags.into()
        );
        assert_eq!(
            TlsMessage::parse(&[0x80, 0, 0, 1]).unwrap_err(),
            Malformed::EapTlsFlags.into()
        );
        assert_eq!(
            identity(&[0xff]).unwrap_err(),
            Malformed::EapIdentity.into()
        );
        assert_eq!(
            identity(b"a\0b").unwrap_err(),
            Malformed::EapIdentity.into()
        );
        assert_eq!(
            identity(&[b'a'; 254]).unwrap_err(),
            Malformed::EapIdentity.into()
        );
    }
}
