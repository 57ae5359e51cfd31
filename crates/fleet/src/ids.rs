//! Names that two organisations compute alike without asking each other, so that a device's
//! journal can travel with it.

use aws_lc_rs::digest::{Context, SHA256};

use crate::Error;

/// A SHA-256 digest. Written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// 32 zero bytes: what the first entry of a journal chain has in front of it.
    pub const ZERO: Self = Self([0; 32]);

    /// SHA-256 of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::of_parts(&[bytes])
    }

    /// SHA-256 of the concatenation of `parts`.
    #[must_use]
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut context = Context::new(&SHA256);
        for part in parts {
            context.update(part);
        }
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.finish().as_ref());
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads 64 lower-case hexadecimal digits.
    ///
    /// # Errors
    /// [`Error::BadIdentifier`] for anything else.
    pub fn parse(text: &str) -> Result<Self, Error> {
        from_hex::<32>(text).map(Self).ok_or(Error::BadIdentifier {
            what: "Digest",
            digits: 64,
        })
    }
}

/// Declares a name of 16 bytes, written as 32 lower-case hexadecimal digits.
macro_rules! identifier {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// The 16 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }

            /// Reads 32 lower-case hexadecimal digits.
            ///
            /// # Errors
            /// [`Error::BadIdentifier`] for anything else.
            pub fn parse(text: &str) -> Result<Self, Error> {
                from_hex::<16>(text)
                    .map(Self)
                    .ok_or(Error::BadIdentifier { what: stringify!($name), digits: 32 })
            }
        }
        text_forms!($name);
    };
}

macro_rules! text_forms {
    ($name:ident) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write_hex(&self.0, f)
            }
        }
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "("))?;
                write_hex(&self.0, f)?;
                f.write_str(")")
            }
        }
        impl std::str::FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self, Error> {
                Self::parse(text)
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

text_forms!(Digest);

identifier! {
    /// A manufacturer: the first 16 bytes of SHA-256 over the SubjectPublicKeyInfo of the trust
    /// anchor of its IDevIDs.
    ManufacturerId
}
identifier! {
    /// A device: the first 16 bytes of SHA-256 over `vouchsafe device`, its manufacturer's name
    /// and its serial number, separated by zero bytes. One that is known by its bootstrapping key
    /// alone is named after that key ([`DeviceId::of_bootstrapping_key`]).
    DeviceId
}
identifier! {
    /// A network owner: the first 16 bytes of SHA-256 over the SubjectPublicKeyInfo of its
    /// domain CA.
    OwnerId
}
identifier! {
    /// A voucher request and what became of it: the first 16 bytes of SHA-256 over the device's
    /// name and the digest of the request.
    VoucherId
}
identifier! {
    /// A gate: the first 16 bytes of SHA-256 over `vouchsafe gate`, a zero byte, and its name.
    GateId
}
identifier! {
    /// An API token, drawn at random by the caller. Not the secret.
    TokenId
}

/// A certificate's serial number in lower-case hexadecimal, unique under one authority.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct CredentialId(pub String);

impl CredentialId {
    /// The hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for CredentialId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

impl ManufacturerId {
    /// Of a device whose manufacturer nobody named: 16 zero bytes, which is nobody's key.
    pub const NONE: Self = Self([0; 16]);

    /// The manufacturer whose IDevID trust anchor has this DER SubjectPublicKeyInfo.
    #[must_use]
    pub fn of_anchor(spki_der: &[u8]) -> Self {
        Self(first_half(Digest::of(spki_der)))
    }
}

impl DeviceId {
    /// The device with this serial number (the `serialNumber` of the IDevID's subject, RFC 8995
    /// §2.3.1) of this manufacturer.
    #[must_use]
    pub fn new(manufacturer: ManufacturerId, serial: &str) -> Self {
        let manufacturer = manufacturer.to_string();
        Self(first_half(Digest::of_parts(&[
            b"vouchsafe device\0",
            manufacturer.as_bytes(),
            b"\0",
            serial.as_bytes(),
        ])))
    }

    /// The device of which only its bootstrapping key is known: the first 16 bytes of SHA-256 over
    /// `vouchsafe bootstrapping key`, a zero byte, and the key's hash (SHA-256 of its
    /// SubjectPublicKeyInfo).
    #[must_use]
    pub fn of_bootstrapping_key(key: Digest) -> Self {
        Self(first_half(Digest::of_parts(&[
            b"vouchsafe bootstrapping key\0",
            &key.0,
        ])))
    }
}

impl GateId {
    /// The gate of this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(first_half(Digest::of_parts(&[
            b"vouchsafe gate\0",
            name.as_bytes(),
        ])))
    }
}

impl OwnerId {
    /// The owner whose domain CA has this DER SubjectPublicKeyInfo.
    #[must_use]
    pub fn of_domain_ca(spki_der: &[u8]) -> Self {
        Self(first_half(Digest::of(spki_der)))
    }
}

impl VoucherId {
    /// The record of the voucher request with this digest from this device.
    #[must_use]
    pub fn new(device: DeviceId, request: Digest) -> Self {
        Self(first_half(Digest::of_parts(&[&device.0, &request.0])))
    }
}

fn first_half(digest: Digest) -> [u8; 16] {
    let mut half = [0; 16];
    for (to, from) in half.iter_mut().zip(digest.0) {
        *to = from;
    }
    half
}

fn write_hex(bytes: &[u8], f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
    // Names are written many times for each request, so without the machinery that formats numbers.
    for bytes in bytes.chunks(32) {
        let mut digits = [0; 64];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        let digits = digits.get(..2 * bytes.len()).unwrap_or_default();
        f.write_str(str::from_utf8(digits).map_err(|_| std::fmt::Error)?)?;
    }
    Ok(())
}

const fn digit(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        _ => b'a' + nibble - 10,
    }
}

/// Exactly `2 * N` lower-case digits: one name has one spelling.
pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(bytes)
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_compute_the_same_device_name() {
        let manufacturer = ManufacturerId::of_anchor(b"key");
        assert_eq!(manufacturer.to_string(), "2c70e12b7a0646f92279f427c7b38e73");
        // SHA-256 over the documented bytes, computed by another program.
        assert_eq!(
            DeviceId::new(manufacturer, "A-1").to_string(),
            "30687e8062bc3fd6303c2aaace364ff3"
        );
    }

    #[test]
    fn a_serial_number_cannot_reach_into_another_manufacturer() {
        let one = ManufacturerId([1; 16]);
        let two = ManufacturerId([2; 16]);
        assert_ne!(DeviceId::new(one, "A-1"), DeviceId::new(two, "A-1"));
        assert_ne!(DeviceId::new(one, "A-1"), DeviceId::new(one, "A-10"));
    }

    #[test]
    fn a_device_known_by_its_key_has_a_name_of_its_own() {
        let key = Digest::of(b"key");
        // SHA-256 over the documented bytes, computed by another program.
        assert_eq!(
            DeviceId::of_bootstrapping_key(key).to_string(),
            "8257088e0237d1d99311f43d6eb0e36b"
        );
        assert_ne!(
            DeviceId::of_bootstrapping_key(key),
            DeviceId::of_bootstrapping_key(Digest::ZERO)
        );
    }

    #[test]
    fn a_name_has_one_spelling() {
        let id = DeviceId([0xab; 16]);
        let text = id.to_string();
        assert_eq!(DeviceId::parse(&text), Ok(id));
        for wrong in [&text.to_uppercase(), &text[1..], &format!("{text}0"), "é"] {
            assert!(DeviceId::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{text}\""));
        assert_eq!(
            serde_json::from_str::<DeviceId>(&format!("\"{text}\"")).unwrap(),
            id
        );
    }
}
