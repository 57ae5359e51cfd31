//! The leaves of the voucher modules as one table: names, SIDs, kinds of value.
//!
//! JSON and CBOR differ only in how a leaf is named and how its value is written, so both
//! readers fill [`Leaves`] and both writers take `(Leaf, Value)` pairs.

use jiff::Timestamp;

use crate::error::Malformed;
use crate::voucher::{Assertion, Nonce, OtherField};

/// Which of the two YANG modules a document follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Module {
    Voucher,
    Request,
}

impl Module {
    /// The name of the one top-level member (RFC 8366 §5.3, RFC 8995 §3).
    pub(crate) fn top_level_name(self) -> &'static str {
        match self {
            Self::Voucher => "ietf-voucher:voucher",
            Self::Request => "ietf-voucher-request:voucher",
        }
    }

    pub(crate) fn from_top_level_name(name: &str) -> Option<Self> {
        [Self::Voucher, Self::Request]
            .into_iter()
            .find(|module| module.top_level_name() == name)
    }
}

/// A leaf that the model knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Leaf {
    Assertion,
    CreatedOn,
    DomainCertRevocationChecks,
    ExpiresOn,
    IdevidIssuer,
    LastRenewalDate,
    Nonce,
    PinnedDomainCert,
    PinnedDomainPubk,
    PinnedDomainPubkSha256,
    PriorSignedVoucherRequest,
    ProximityRegistrarCert,
    ProximityRegistrarPubk,
    ProximityRegistrarPubkSha256,
    SerialNumber,
    AdditionalConfigurationUrl,
    EstDomain,
}

/// What kind of value a leaf has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Bytes,
    Date,
    Bool,
    Assertion,
    Nonce,
}

const LEAVES: [(Leaf, &str, Kind); 17] = [
    (Leaf::Assertion, "assertion", Kind::Assertion),
    (Leaf::CreatedOn, "created-on", Kind::Date),
    (
        Leaf::DomainCertRevocationChecks,
        "domain-cert-revocation-checks",
        Kind::Bool,
    ),
    (Leaf::ExpiresOn, "expires-on", Kind::Date),
    (Leaf::IdevidIssuer, "idevid-issuer", Kind::Bytes),
    (Leaf::LastRenewalDate, "last-renewal-date", Kind::Date),
    (Leaf::Nonce, "nonce", Kind::Nonce),
    (Leaf::PinnedDomainCert, "pinned-domain-cert", Kind::Bytes),
    (Leaf::PinnedDomainPubk, "pinned-domain-pubk", Kind::Bytes),
    (
        Leaf::PinnedDomainPubkSha256,
        "pinned-domain-pubk-sha256",
        Kind::Bytes,
    ),
    (
        Leaf::PriorSignedVoucherRequest,
        "prior-signed-voucher-request",
        Kind::Bytes,
    ),
    (
        Leaf::ProximityRegistrarCert,
        "proximity-registrar-cert",
        Kind::Bytes,
    ),
    (
        Leaf::ProximityRegistrarPubk,
        "proximity-registrar-pubk",
        Kind::Bytes,
    ),
    (
        Leaf::ProximityRegistrarPubkSha256,
        "proximity-registrar-pubk-sha256",
        Kind::Bytes,
    ),
    (Leaf::SerialNumber, "serial-number", Kind::Text),
    (
        Leaf::AdditionalConfigurationUrl,
        "additional-configuration-url",
        Kind::Text,
    ),
    (Leaf::EstDomain, "est-domain", Kind::Text),
];

impl Leaf {
    /// The YANG name.
    pub(crate) fn name(self) -> &'static str {
        LEAVES.get(self as usize).map_or("", |(_, name, _)| name)
    }

    pub(crate) fn kind(self) -> Kind {
        LEAVES
            .get(self as usize)
            .map_or(Kind::Text, |(_, _, kind)| *kind)
    }

    /// The leaf of this name; a module's prefix in front is accepted (RFC 7951 §4).
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let bare = name
            .strip_prefix("ietf-voucher-request:")
            .or_else(|| name.strip_prefix("ietf-voucher:"))
            .unwrap_or(name);
        LEAVES
            .iter()
            .find(|(_, known, _)| *known == bare)
            .map(|(leaf, _, _)| *leaf)
    }
}

/// A value to write.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Text(&'a str),
    Bytes(&'a [u8]),
    Date(Timestamp),
    Bool(bool),
    Assertion(Assertion),
    Nonce(&'a Nonce),
}

/// A value that was read.
#[derive(Debug, Clone)]
pub(crate) enum Read {
    Text(String),
    Bytes(Vec<u8>),
    Date(Timestamp),
    Bool(bool),
    Assertion(Assertion),
    Nonce(Nonce),
}

/// The most fields without a place in the model that are kept. Each is compared with all before
/// it, and a message of single letters would have thousands.
pub(crate) const MAX_OTHER: usize = 64;

/// The leaves of one document, each at most once.
#[derive(Debug, Default)]
pub(crate) struct Leaves {
    known: [Option<Read>; LEAVES.len()],
    other: Vec<OtherField>,
}

impl Leaves {
    pub(crate) fn put(&mut self, leaf: Leaf, value: Read) -> Result<(), Malformed> {
        match self.known.get_mut(leaf as usize) {
            Some(slot @ None) => {
                *slot = Some(value);
                Ok(())
            }
            Some(Some(_)) | None => Err(Malformed::DuplicateField),
        }
    }

    pub(crate) fn put_other(
        &mut self,
        name: String,
        value: serde_json::Value,
    ) -> Result<(), Malformed> {
        if self.other.iter().any(|field| field.name == name) {
            return Err(Malformed::DuplicateField);
        }
        if self.other.len() >= MAX_OTHER {
            return Err(Malformed::TooManyFields);
        }
        self.other.push(OtherField { name, value });
        Ok(())
    }

    pub(crate) fn into_other(self) -> Vec<OtherField> {
        let mut other = self.other;
        // A leaf of the sister module (a pin in a request, say) is known by name and has no place.
        for ((_, name, _), value) in LEAVES.iter().zip(self.known) {
            if let Some(value) = value {
                other.push(OtherField {
                    name: (*name).to_owned(),
                    value: value.into_json(),
                });
            }
        }
        other
    }

    pub(crate) fn take_text(&mut self, leaf: Leaf) -> Option<String> {
        match self.take(leaf) {
            Some(Read::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn take_bytes(&mut self, leaf: Leaf) -> Option<Vec<u8>> {
        match self.take(leaf) {
            Some(Read::Bytes(bytes)) => Some(bytes),
            _ => None,
        }
    }

    pub(crate) fn take_date(&mut self, leaf: Leaf) -> Option<Timestamp> {
        match self.take(leaf) {
            Some(Read::Date(date)) => Some(date),
            _ => None,
        }
    }

    pub(crate) fn take_bool(&mut self, leaf: Leaf) -> Option<bool> {
        match self.take(leaf) {
            Some(Read::Bool(flag)) => Some(flag),
            _ => None,
        }
    }

    pub(crate) fn take_assertion(&mut self, leaf: Leaf) -> Option<Assertion> {
        match self.take(leaf) {
            Some(Read::Assertion(assertion)) => Some(assertion),
            _ => None,
        }
    }

    pub(crate) fn take_nonce(&mut self, leaf: Leaf) -> Option<Nonce> {
        match self.take(leaf) {
            Some(Read::Nonce(nonce)) => Some(nonce),
            _ => None,
        }
    }

    fn take(&mut self, leaf: Leaf) -> Option<Read> {
        self.known.get_mut(leaf as usize).and_then(Option::take)
    }
}

impl Read {
    fn into_json(self) -> serde_json::Value {
        match self {
            Self::Text(text) => text.into(),
            Self::Bytes(bytes) => crate::base64::encode(&bytes).into(),
            Self::Date(date) => date_text(date).into(),
            Self::Bool(flag) => flag.into(),
            Self::Assertion(assertion) => assertion.name().into(),
            Self::Nonce(nonce) => nonce.to_text().into(),
        }
    }
}

/// RFC 3339 in UTC with milliseconds, as every published example writes it.
pub(crate) fn date_text(date: Timestamp) -> String {
    format!("{date:.3}")
}

/// Reads an RFC 3339 date and time with any offset. "9999-12-31T23:59:59Z" means no end
/// (RFC 5280 §4.1.2.5) and becomes the last time there is.
pub(crate) fn date_from_text(text: &str) -> Result<Timestamp, Malformed> {
    text.parse().or_else(|_| {
        let civil = text
            .get(..19)
            .filter(|civil| civil.starts_with("9999-12-3"));
        match civil.map(str::parse::<jiff::civil::DateTime>) {
            Some(Ok(_)) => Ok(Timestamp::MAX),
            _ => Err(Malformed::Date),
        }
    })
}
