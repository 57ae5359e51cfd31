//! Attributes: little-endian identifier and length, then the value (Wi-Fi Easy Connect 3.0 §8.1).
//!
//! A message is read once as a whole, and whatever is wrong with its form is found then: an attribute
//! that ends beyond the message, one that stands there twice, one behind the wrapped data. Attributes
//! that are not known are skipped, as the specification asks of every version.

use crate::error::{AttributeFault, Error, Malformed, Misuse};
use crate::status::Status;
use crate::wrap::TAG_LENGTH;

/// Most attributes that one message or wrapped part may have; the largest real one has nine.
pub const MAX_ATTRIBUTES: usize = 32;

macro_rules! attribute_ids {
    ($($variant:ident = $number:literal, $name:literal;)*) => {
        /// What an attribute is (Wi-Fi Easy Connect 3.0 §8.1.1, table 31).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum AttributeId {
            $(#[doc = concat!($name, ".")] $variant,)*
        }

        impl AttributeId {
            /// The number on the wire.
            #[must_use]
            pub fn number(self) -> u16 {
                match self { $(Self::$variant => $number),* }
            }

            /// The attribute of a number, when it is known.
            #[must_use]
            pub fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }

            /// The name in the specification.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

attribute_ids! {
    Status = 0x1000, "DPP Status";
    InitiatorBootstrappingKeyHash = 0x1001, "Initiator Bootstrapping Key Hash";
    ResponderBootstrappingKeyHash = 0x1002, "Responder Bootstrapping Key Hash";
    InitiatorProtocolKey = 0x1003, "Initiator Protocol Key";
    WrappedData = 0x1004, "Wrapped Data";
    InitiatorNonce = 0x1005, "Initiator Nonce";
    InitiatorCapabilities = 0x1006, "Initiator Capabilities";
    ResponderNonce = 0x1007, "Responder Nonce";
    ResponderCapabilities = 0x1008, "Responder Capabilities";
    ResponderProtocolKey = 0x1009, "Responder Protocol Key";
    InitiatorAuthenticatingTag = 0x100a, "Initiator Authenticating Tag";
    ResponderAuthenticatingTag = 0x100b, "Responder Authenticating Tag";
    ConfigurationObject = 0x100c, "DPP Configuration Object";
    Connector = 0x100d, "DPP Connector";
    ConfigurationRequestObject = 0x100e, "DPP Configuration Request Object";
    BootstrappingKey = 0x100f, "Bootstrapping Key";
    FiniteCyclicGroup = 0x1012, "Finite Cyclic Group";
    EncryptedKey = 0x1013, "Encrypted Key";
    EnrolleeNonce = 0x1014, "Enrollee Nonce";
    CodeIdentifier = 0x1015, "Code Identifier";
    TransactionId = 0x1016, "Transaction ID";
    BootstrappingInfo = 0x1017, "Bootstrapping Info";
    Channel = 0x1018, "Channel";
    ProtocolVersion = 0x1019, "Protocol Version";
    EnvelopedData = 0x101a, "DPP Enveloped Data";
    SendConnectionStatus = 0x101b, "SendConnStatus";
    ConnectionStatus = 0x101c, "DPP Connection Status";
    ReconfigurationFlags = 0x101d, "Reconfiguration Flags";
    CSignKeyHash = 0x101e, "C-sign Key Hash";
    CsrAttributesRequest = 0x101f, "CSR Attributes Request";
    ANonce = 0x1020, "A-NONCE";
    EPrimeId = 0x1021, "E'-id";
    ConfiguratorNonce = 0x1022, "Configurator Nonce";
}

impl std::fmt::Display for AttributeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The attributes of one message, read and in order.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a> {
    bytes: &'a [u8],
    /// How many octets stand before the wrapped data, or all of them.
    before_wrapped: usize,
}

impl<'a> Attributes<'a> {
    /// Reads the attributes of a message or of a wrapped part.
    ///
    /// Refuses truncation at any octet, more than [`MAX_ATTRIBUTES`], anything behind the wrapped
    /// data, and known attributes given twice; only configuration objects may be several.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut rest = bytes;
        let mut seen: u64 = 0;
        let mut count = 0;
        let mut before_wrapped = bytes.len();
        while !rest.is_empty() {
            count += 1;
            if count > MAX_ATTRIBUTES {
                return Err(Malformed::TooManyAttributes.into());
            }
            let (number, _, behind) = split(rest).ok_or(Malformed::Attribute)?;
            if let Some(id) = AttributeId::from_number(number) {
                let bit = 1_u64 << (number & 0x3f);
                if seen & bit != 0 && id != AttributeId::ConfigurationObject {
                    let fault = AttributeFault::Duplicate;
                    return Err(Error::Attribute { id, fault });
                }
                seen |= bit;
                if id == AttributeId::WrappedData {
                    before_wrapped = bytes.len() - rest.len();
                    if !behind.is_empty() {
                        return Err(Malformed::AfterWrappedData.into());
                    }
                }
            }
            rest = behind;
        }
        Ok(Self {
            bytes,
            before_wrapped,
        })
    }

    /// The value of `id`, the first one where it is repeated.
    #[must_use]
    pub fn find(&self, id: AttributeId) -> Option<&'a [u8]> {
        self.all(id).next()
    }

    /// All values of `id`, in their order.
    pub fn all(&self, id: AttributeId) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let wanted = id.number();
        self.iter()
            .filter(move |(number, _)| *number == wanted)
            .map(|(_, value)| value)
    }

    /// Number and value of each attribute, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &'a [u8])> + use<'a> {
        let mut rest = self.bytes;
        std::iter::from_fn(move || {
            let (number, value, behind) = split(rest)?;
            rest = behind;
            Some((number, value))
        })
    }

    /// The value of `id`; refused when missing.
    pub fn require(&self, id: AttributeId) -> Result<&'a [u8], Error> {
        self.find(id).ok_or(Error::Attribute {
            id,
            fault: AttributeFault::Missing,
        })
    }

    /// The value of `id`; refused when missing or not of `length` octets.
    pub fn require_length(&self, id: AttributeId, length: usize) -> Result<&'a [u8], Error> {
        let value = self.require(id)?;
        if value.len() == length {
            Ok(value)
        } else {
            Err(wrong_length(id))
        }
    }

    /// The value of `id` as an array of its length; refused when missing.
    pub fn require_array<const N: usize>(&self, id: AttributeId) -> Result<[u8; N], Error> {
        <[u8; N]>::try_from(self.require(id)?).map_err(|_| wrong_length(id))
    }

    /// The value of `id` as an array of its length, when it is there.
    pub fn find_array<const N: usize>(&self, id: AttributeId) -> Result<Option<[u8; N]>, Error> {
        match self.find(id) {
            Some(value) => match <[u8; N]>::try_from(value) {
                Ok(value) => Ok(Some(value)),
                Err(_) => Err(wrong_length(id)),
            },
            None => Ok(None),
        }
    }

    /// The status, when it is one of those defined.
    pub fn status(&self) -> Result<Status, Error> {
        let [number] = self.require_array(AttributeId::Status)?;
        Status::from_number(number).ok_or_else(|| crate::Refusal::Status.into())
    }

    /// The wrapped data; refused when missing or shorter than its tag.
    pub fn wrapped(&self) -> Result<&'a [u8], Error> {
        let value = self.require(AttributeId::WrappedData)?;
        if value.len() < TAG_LENGTH {
            return Err(wrong_length(AttributeId::WrappedData));
        }
        Ok(value)
    }

    /// The octets of all attributes before the wrapped data: what its tag also covers.
    #[must_use]
    pub fn before_wrapped(&self) -> &'a [u8] {
        self.bytes.get(..self.before_wrapped).unwrap_or_default()
    }

    /// All octets.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

fn wrong_length(id: AttributeId) -> Error {
    Error::Attribute {
        id,
        fault: AttributeFault::Length,
    }
}

/// The first attribute's number and value, and what is behind it.
fn split(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (id, rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (value, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    Some((u16::from_le_bytes(*id), value, rest))
}

/// Appends one attribute; refuses a value longer than its length field can say.
pub fn put(out: &mut Vec<u8>, id: AttributeId, value: &[u8]) -> Result<(), Error> {
    let length = u16::try_from(value.len()).map_err(|_| Error::from(Misuse::Oversize))?;
    out.extend_from_slice(&id.number().to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(value);
    Ok(())
}
