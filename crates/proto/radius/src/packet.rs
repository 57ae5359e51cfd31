//! RADIUS packets (RFC 2865 §3): read, looked into, made.

use crate::attribute::{self, Attribute, MAX_VALUE};
use crate::error::{Error, Malformed, Misuse};

/// Most octets in a packet (RFC 2865 §3).
pub const MAX_PACKET: usize = 4096;

/// Octets before the first attribute: code, identifier, length, authenticator.
pub const HEADER: usize = 20;

/// What a packet is (RFC 2865 §3, RFC 2866 §3, RFC 5176 §3, RFC 5997 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Code {
    /// 1
    AccessRequest,
    /// 2
    AccessAccept,
    /// 3
    AccessReject,
    /// 4
    AccountingRequest,
    /// 5
    AccountingResponse,
    /// 11
    AccessChallenge,
    /// 12
    StatusServer,
    /// 40
    DisconnectRequest,
    /// 41
    DisconnectAck,
    /// 42
    DisconnectNak,
    /// 43
    CoaRequest,
    /// 44
    CoaAck,
    /// 45
    CoaNak,
    /// Any other number.
    Other(u8),
}

impl Code {
    /// The number on the wire.
    pub fn number(self) -> u8 {
        match self {
            Self::AccessRequest => 1,
            Self::AccessAccept => 2,
            Self::AccessReject => 3,
            Self::AccountingRequest => 4,
            Self::AccountingResponse => 5,
            Self::AccessChallenge => 11,
            Self::StatusServer => 12,
            Self::DisconnectRequest => 40,
            Self::DisconnectAck => 41,
            Self::DisconnectNak => 42,
            Self::CoaRequest => 43,
            Self::CoaAck => 44,
            Self::CoaNak => 45,
            Self::Other(number) => number,
        }
    }

    /// The code with this number.
    pub fn from_number(number: u8) -> Self {
        match number {
            1 => Self::AccessRequest,
            2 => Self::AccessAccept,
            3 => Self::AccessReject,
            4 => Self::AccountingRequest,
            5 => Self::AccountingResponse,
            11 => Self::AccessChallenge,
            12 => Self::StatusServer,
            40 => Self::DisconnectRequest,
            41 => Self::DisconnectAck,
            42 => Self::DisconnectNak,
            43 => Self::CoaRequest,
            44 => Self::CoaAck,
            45 => Self::CoaNak,
            other => Self::Other(other),
        }
    }
}

/// A packet whose lengths were checked; nothing else about it is proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    bytes: Vec<u8>,
    code: Code,
    identifier: u8,
    authenticator: [u8; 16],
}

impl Packet {
    /// Reads one datagram. Octets after the packet's own Length are padding and are dropped
    /// (RFC 2865 §3).
    ///
    /// # Errors
    ///
    /// Shorter than 20 octets or than its Length; a Length beyond [`MAX_PACKET`]; an attribute that
    /// is shorter than its header or sticks out of the packet.
    pub fn parse(datagram: &[u8]) -> Result<Self, Error> {
        let [code, identifier, high, low, ..] = *datagram else {
            return Err(Malformed::PacketTooShort.into());
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length > MAX_PACKET {
            return Err(Malformed::PacketTooLong.into());
        }
        let bytes = datagram.get(..length).ok_or(Malformed::PacketTooShort)?;
        let authenticator = bytes
            .get(4..HEADER)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(Malformed::PacketTooShort)?;
        let mut rest = bytes.get(HEADER..).unwrap_or_default();
        while !rest.is_empty() {
            let (_, after) = split_attribute(rest).ok_or(Malformed::AttributeLength)?;
            rest = after;
        }
        Ok(Self {
            bytes: bytes.to_vec(),
            code: Code::from_number(code),
            identifier,
            authenticator,
        })
    }

    /// The packet as it came, without padding.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it is.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Which request of its sender it is.
    pub fn identifier(&self) -> u8 {
        self.identifier
    }

    /// The authenticator: random in a request for access, a proof elsewhere.
    pub fn authenticator(&self) -> &[u8; 16] {
        &self.authenticator
    }

    /// All attributes in their order.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'_>> {
        let mut rest = self.bytes.get(HEADER..).unwrap_or_default();
        std::iter::from_fn(move || {
            let (attribute, after) = split_attribute(rest)?;
            rest = after;
            Some(attribute)
        })
    }

    /// The first attribute of this kind.
    pub fn attribute(&self, kind: u8) -> Option<Attribute<'_>> {
        self.attributes().find(|attribute| attribute.kind == kind)
    }

    /// The attribute of this kind, which may stand only once.
    ///
    /// # Errors
    ///
    /// It stands twice.
    pub fn only(&self, kind: u8) -> Result<Option<Attribute<'_>>, Error> {
        let mut all = self.attributes().filter(|attribute| attribute.kind == kind);
        let first = all.next();
        if all.next().is_some() {
            return Err(Malformed::AttributeTwice.into());
        }
        Ok(first)
    }

    /// The text of an attribute, if it is there and readable.
    pub fn text(&self, kind: u8) -> Option<&str> {
        self.attribute(kind)?.text()
    }

    /// The number in an attribute, if it is there and has four octets.
    pub fn integer(&self, kind: u8) -> Option<u32> {
        self.attribute(kind)?.integer()
    }

    /// The EAP packet of all EAP-Message attributes; `None` when there is none.
    ///
    /// # Errors
    ///
    /// The attributes are not consecutive (RFC 3579 §3.1).
    pub fn eap_message(&self) -> Result<Option<Vec<u8>>, Error> {
        let mut message: Option<Vec<u8>> = None;
        let mut ended = false;
        for attribute in self.attributes() {
            if attribute.kind != attribute::EAP_MESSAGE {
                ended = message.is_some();
                continue;
            }
            if ended {
                return Err(Malformed::EapNotConsecutive.into());
            }
            message
                .get_or_insert_default()
                .extend_from_slice(attribute.value);
        }
        Ok(message)
    }

    /// The value of a vendor's attribute.
    pub fn vendor(&self, vendor: u32, kind: u8) -> Option<&[u8]> {
        self.attributes()
            .filter(|attribute| attribute.kind == attribute::VENDOR_SPECIFIC)
            .filter_map(|attribute| attribute.vendor())
            .find_map(|(of, number, value)| (of == vendor && number == kind).then_some(value))
    }

    /// The whole bytes with the sixteen octets at `offset` replaced, for computing authenticators.
    pub(crate) fn with_octets(&self, offset: usize, octets: &[u8; 16]) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        if let Some(place) = bytes.get_mut(offset..offset + 16) {
            place.copy_from_slice(octets);
        }
        bytes
    }

    /// Where the value of the only attribute of this kind begins, if it has sixteen octets.
    pub(crate) fn offset_of_sixteen(&self, kind: u8) -> Result<Option<usize>, Error> {
        let Some(attribute) = self.only(kind)? else {
            return Ok(None);
        };
        if attribute.value.len() != 16 {
            return Err(Malformed::AttributeValue.into());
        }
        let mut offset = HEADER;
        for each in self.attributes() {
            if each.kind == kind {
                return Ok(Some(offset + 2));
            }
            offset += 2 + each.value.len();
        }
        Ok(None)
    }
}

fn split_attribute(bytes: &[u8]) -> Option<(Attribute<'_>, &[u8])> {
    let [kind, length, ..] = *bytes else {
        return None;
    };
    let (whole, rest) = bytes.split_at_checked(usize::from(length))?;
    let value = whole.get(2..)?;
    Some((Attribute { kind, value }, rest))
}

/// A packet in the making. Its authenticators are filled in last, by [`crate::Shared`].
#[derive(Clone, Debug)]
pub struct Draft {
    code: Code,
    bytes: Vec<u8>,
    full: Option<Misuse>,
}

impl Draft {
    /// A packet without attributes, its authenticator zero.
    pub fn new(code: Code, identifier: u8) -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend([code.number(), identifier, 0, 0]);
        bytes.extend([0; 16]);
        Self {
            code,
            bytes,
            full: None,
        }
    }

    /// What it will be.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Adds an attribute. A value that is too long, or one too many, shows when the packet is finished.
    #[must_use]
    pub fn with(mut self, kind: u8, value: &[u8]) -> Self {
        let room = self.bytes.len() + 2 + value.len() <= MAX_PACKET;
        match u8::try_from(value.len() + 2) {
            Ok(length) if room => {
                self.bytes.extend([kind, length]);
                self.bytes.extend_from_slice(value);
            }
            Ok(_) => self.full = Some(Misuse::PacketFull),
            Err(_) => self.full = Some(Misuse::AttributeTooLong),
        }
        self
    }

    /// Adds a number.
    #[must_use]
    pub fn with_integer(self, kind: u8, value: u32) -> Self {
        self.with(kind, &value.to_be_bytes())
    }

    /// Adds an EAP packet in as many attributes as it needs (RFC 3579 §3.1).
    #[must_use]
    pub fn with_eap(self, message: &[u8]) -> Self {
        message.chunks(MAX_VALUE).fold(self, |draft, piece| {
            draft.with(attribute::EAP_MESSAGE, piece)
        })
    }

    /// Adds an attribute of a vendor, alone in its Vendor-Specific (RFC 2865 §5.26).
    #[must_use]
    pub fn with_vendor(self, vendor: u32, kind: u8, value: &[u8]) -> Self {
        let length = u8::try_from(value.len() + 2).unwrap_or(u8::MAX);
        let mut whole = vendor.to_be_bytes().to_vec();
        whole.extend([kind, length]);
        whole.extend_from_slice(value);
        self.with(attribute::VENDOR_SPECIFIC, &whole)
    }

    /// Puts a Message-Authenticator, its value still to come, before all attributes: before anything
    /// that an attacker chose (RFC 3579 §3.2 lets it stand anywhere).
    #[must_use]
    pub(crate) fn with_message_authenticator(mut self) -> Self {
        let attributes = self.bytes.split_off(HEADER);
        let mut draft = self.with(attribute::MESSAGE_AUTHENTICATOR, &[0; 16]);
        draft.bytes.extend(attributes);
        if draft.bytes.len() > MAX_PACKET {
            draft.full = Some(Misuse::PacketFull);
        }
        draft
    }

    /// Adds the Proxy-State attributes of `request`, in their order (RFC 2865 §5.33).
    #[must_use]
    pub(crate) fn with_proxy_state_of(self, request: &Packet) -> Self {
        request
            .attributes()
            .filter(|attribute| attribute.kind == attribute::PROXY_STATE)
            .fold(self, |draft, each| draft.with(each.kind, each.value))
    }

    /// The bytes with their length filled in and `authenticator` in its place.
    pub(crate) fn sealed(mut self, authenticator: &[u8; 16]) -> Result<Vec<u8>, Error> {
        if let Some(misuse) = self.full {
            return Err(misuse.into());
        }
        let length = u16::try_from(self.bytes.len()).map_err(|_| Misuse::PacketFull)?;
        if let Some(place) = self.bytes.get_mut(2..4) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        if let Some(place) = self.bytes.get_mut(4..HEADER) {
            place.copy_from_slice(authenticator);
        }
        Ok(self.bytes)
    }
}
