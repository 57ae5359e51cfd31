//! One model of voucher and voucher request for the three encodings (RFC 8366 §5, RFC 8995 §3).

use jiff::Timestamp;
use serde::Serialize;

use crate::error::{Error, Malformed, Refusal};
use crate::leaf::{Leaf, Leaves, Value};

/// Shortest nonce in bytes (RFC 8366 §5.3, YANG `length "8..32"`).
pub const NONCE_MIN: usize = 8;
/// Longest nonce in bytes (RFC 8366 §5.3, YANG `length "8..32"`).
pub const NONCE_MAX: usize = 32;

/// How sure the signer is of the domain that it names (RFC 8366 §5.3, RFC 8366bis §8.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Assertion {
    /// The MASA verified the ownership. Number 0.
    Verified,
    /// The MASA logged the claim. Number 1.
    Logged,
    /// The MASA saw proof that the pledge was near this registrar. Number 2.
    Proximity,
    /// The same through an agent (BRSKI-PRM). Number 3.
    AgentProximity,
}

impl Assertion {
    /// The YANG name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Logged => "logged",
            Self::Proximity => "proximity",
            Self::AgentProximity => "agent-proximity",
        }
    }

    /// The number that CBOR carries (RFC 8366bis §8.5).
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Verified => 0,
            Self::Logged => 1,
            Self::Proximity => 2,
            Self::AgentProximity => 3,
        }
    }

    /// The assertion of this YANG name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|assertion| assertion.name() == name)
    }

    /// The assertion of this number.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|assertion| u64::from(assertion.number()) == number)
    }

    const ALL: [Self; 4] = [
        Self::Verified,
        Self::Logged,
        Self::Proximity,
        Self::AgentProximity,
    ];
}

/// A nonce exactly as it was received: JSON carries text, CBOR bytes.
///
/// Text in the wild is base64, base64url without padding or something that only looks like
/// it, so the text is what is copied, compared and logged; decoding serves the length rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Nonce {
    /// As in JSON.
    Text(String),
    /// As in CBOR.
    Bytes(Vec<u8>),
}

impl Nonce {
    /// A fresh nonce from 8 to 32 random bytes, as text for the JSON encodings and as bytes for CBOR.
    ///
    /// # Errors
    /// [`Error::Misuse`] for another length.
    pub fn fresh(random: &[u8], encoding: Encoding) -> Result<Self, Error> {
        if !(NONCE_MIN..=NONCE_MAX).contains(&random.len()) {
            return Err(crate::error::Misuse::NonceLength.into());
        }
        Ok(match encoding {
            Encoding::CmsJson | Encoding::JwsJson => Self::Text(crate::base64::encode(random)),
            Encoding::CoseCbor => Self::Bytes(random.to_vec()),
        })
    }

    /// The text for logs and the audit log: as received, or base64 of the bytes.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Bytes(bytes) => crate::base64::encode(bytes),
        }
    }

    /// The bytes meant: decoded if the text is base64 of either alphabet, else the text's own.
    #[must_use]
    pub fn octets(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => crate::base64::decode_any(text.as_bytes())
                .unwrap_or_else(|| text.as_bytes().to_vec()),
            Self::Bytes(bytes) => bytes.clone(),
        }
    }

    /// Whether two nonces are the same: as written, or by their bytes where the encodings differ.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::Text(_), Self::Bytes(_)) | (Self::Bytes(_), Self::Text(_)) => {
                self.octets() == other.octets()
            }
        }
    }

    /// RFC 8366 §5.3: 8 to 32 bytes.
    ///
    /// # Errors
    /// [`Refusal::NonceTooShort`] and [`Refusal::NonceTooLong`].
    pub fn check_length(&self) -> Result<(), Refusal> {
        let length = match self {
            Self::Text(text) => crate::base64::decoded_length(text.as_bytes()),
            Self::Bytes(bytes) => bytes.len(),
        };
        if length < NONCE_MIN {
            return Err(Refusal::NonceTooShort);
        }
        if length > NONCE_MAX {
            return Err(Refusal::NonceTooLong);
        }
        Ok(())
    }
}

/// The three ways to write and sign a voucher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// JSON in CMS SignedData (RFC 8366 §5.4).
    CmsJson,
    /// JSON in a JWS (draft-ietf-anima-jws-voucher).
    JwsJson,
    /// CBOR in COSE_Sign1 (draft-ietf-anima-constrained-voucher).
    CoseCbor,
}

impl Encoding {
    /// All of them, the one of RFC 8995 first.
    pub const ALL: [Self; 3] = [Self::CmsJson, Self::JwsJson, Self::CoseCbor];

    /// The media type that is written.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::CmsJson => "application/voucher-cms+json",
            Self::JwsJson => "application/voucher-jws+json",
            Self::CoseCbor => "application/voucher+cose",
        }
    }

    /// The usual end of a file's name, without the dot.
    #[must_use]
    pub fn file_extension(self) -> &'static str {
        match self {
            Self::CmsJson => "vcj",
            Self::JwsJson => "vjj",
            Self::CoseCbor => "vch",
        }
    }

    /// Reads a Content-Type; parameters and case do not matter, the older COSE name is known.
    #[must_use]
    pub fn from_media_type(text: &str) -> Option<Self> {
        let essence = text.split(';').next().unwrap_or(text).trim();
        MEDIA_TYPES
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(essence))
            .map(|(_, encoding)| *encoding)
    }

    /// What to answer with: the first acceptable encoding, `otherwise` if all are acceptable or
    /// the header is absent, `None` if none is (RFC 8995 §5.6).
    #[must_use]
    pub fn from_accept(accept: Option<&str>, otherwise: Self) -> Option<Self> {
        let Some(accept) = accept else {
            return Some(otherwise);
        };
        let mut wildcard = false;
        let mut first = None;
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let essence = parts.next().unwrap_or_default();
            let refused = parts.any(|parameter| {
                parameter.split_once('=').is_some_and(|(name, weight)| {
                    name.trim().eq_ignore_ascii_case("q")
                        && weight
                            .trim()
                            .parse::<f32>()
                            .is_ok_and(|weight| weight <= 0.0)
                })
            });
            if refused {
                continue;
            }
            if essence == "*/*" || essence.eq_ignore_ascii_case("application/*") {
                wildcard = true;
            } else if let Some(encoding) = Self::from_media_type(essence) {
                if encoding == otherwise {
                    return Some(otherwise);
                }
                first = first.or(Some(encoding));
            }
        }
        if wildcard { Some(otherwise) } else { first }
    }

    /// Guesses from the first byte: CMS is a SEQUENCE, JWS an object, COSE a tag or an array.
    #[must_use]
    pub fn detect(bytes: &[u8]) -> Option<Self> {
        match bytes.iter().find(|byte| !byte.is_ascii_whitespace())? {
            0x30 => Some(Self::CmsJson),
            b'{' => Some(Self::JwsJson),
            0xd2 | 0x84 | 0xd8 => Some(Self::CoseCbor),
            _ => None,
        }
    }
}

/// Media types as read, newest names first (registrations as of November 2026).
const MEDIA_TYPES: [(&str, Encoding); 4] = [
    ("application/voucher-cms+json", Encoding::CmsJson),
    ("application/voucher-jws+json", Encoding::JwsJson),
    ("application/voucher+cose", Encoding::CoseCbor),
    ("application/voucher-cose+cbor", Encoding::CoseCbor),
];

/// A field that the model has no place for: ignored by the rules, shown to people.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OtherField {
    /// Its name, or its SID where the tables know none.
    pub name: String,
    /// Its value; bytes as base64.
    pub value: serde_json::Value,
}

/// A voucher (RFC 8366 §5.3): the manufacturer's word to a device about who owns it.
#[derive(Debug, Clone, PartialEq)]
pub struct Voucher {
    /// When the MASA made it.
    pub created_on: Timestamp,
    /// When it ends; only without a nonce.
    pub expires_on: Option<Timestamp>,
    /// How sure the MASA is.
    pub assertion: Assertion,
    /// The device's serial number, as in its certificate.
    pub serial_number: String,
    /// DER of an OCTET STRING that holds the AKI extension's value (RFC 8366bis §6.1).
    pub idevid_issuer: Option<Vec<u8>>,
    /// DER of the certificate that the device shall trust.
    pub pinned_domain_cert: Option<Vec<u8>>,
    /// DER of the public key that the device shall trust.
    pub pinned_domain_pubk: Option<Vec<u8>>,
    /// SHA-256 of the public key's DER.
    pub pinned_domain_pubk_sha256: Option<Vec<u8>>,
    /// Whether the device must check revocation on the domain's certificates.
    pub domain_cert_revocation_checks: Option<bool>,
    /// The pledge's nonce.
    pub nonce: Option<Nonce>,
    /// Until when the MASA means to renew.
    pub last_renewal_date: Option<Timestamp>,
    /// Where the device finds further configuration (RFC 8366bis).
    pub additional_configuration_url: Option<String>,
    /// The domain name of the EST server after a cloud redirect (RFC 8366bis).
    pub est_domain: Option<String>,
    /// What else it says.
    pub other: Vec<OtherField>,
}

/// A voucher request, the pledge's or the registrar's (RFC 8995 §3).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VoucherRequest {
    /// When it was made; a pledge without clock leaves it out.
    pub created_on: Option<Timestamp>,
    /// Wished end of a voucher without nonce.
    pub expires_on: Option<Timestamp>,
    /// `proximity` in a pledge's request.
    pub assertion: Option<Assertion>,
    /// The device's serial number.
    pub serial_number: String,
    /// DER of an OCTET STRING that holds the AKI extension's value (RFC 8366bis §6.1).
    pub idevid_issuer: Option<Vec<u8>>,
    /// A certificate to pin, asked for; not honoured here.
    pub pinned_domain_cert: Option<Vec<u8>>,
    /// Asks for revocation checks.
    pub domain_cert_revocation_checks: Option<bool>,
    /// The pledge's nonce.
    pub nonce: Option<Nonce>,
    /// Wished renewal.
    pub last_renewal_date: Option<Timestamp>,
    /// The pledge's signed request as received, or the voucher to renew.
    pub prior_signed_voucher_request: Option<Vec<u8>>,
    /// DER of the first certificate that the registrar showed to the pledge.
    pub proximity_registrar_cert: Option<Vec<u8>>,
    /// DER of that certificate's public key (constrained pledges).
    pub proximity_registrar_pubk: Option<Vec<u8>>,
    /// SHA-256 of that public key's DER (constrained pledges).
    pub proximity_registrar_pubk_sha256: Option<Vec<u8>>,
    /// What else it says.
    pub other: Vec<OtherField>,
}

impl Voucher {
    pub(crate) fn from_leaves(mut leaves: Leaves) -> Result<Self, Error> {
        Ok(Self {
            created_on: leaves
                .take_date(Leaf::CreatedOn)
                .ok_or(Malformed::CreatedOnMissing)?,
            expires_on: leaves.take_date(Leaf::ExpiresOn),
            assertion: leaves
                .take_assertion(Leaf::Assertion)
                .ok_or(Malformed::AssertionMissing)?,
            serial_number: serial_number(&mut leaves)?,
            idevid_issuer: leaves.take_bytes(Leaf::IdevidIssuer),
            pinned_domain_cert: leaves.take_bytes(Leaf::PinnedDomainCert),
            pinned_domain_pubk: leaves.take_bytes(Leaf::PinnedDomainPubk),
            pinned_domain_pubk_sha256: leaves.take_bytes(Leaf::PinnedDomainPubkSha256),
            domain_cert_revocation_checks: leaves.take_bool(Leaf::DomainCertRevocationChecks),
            nonce: leaves.take_nonce(Leaf::Nonce),
            last_renewal_date: leaves.take_date(Leaf::LastRenewalDate),
            additional_configuration_url: leaves.take_text(Leaf::AdditionalConfigurationUrl),
            est_domain: leaves.take_text(Leaf::EstDomain),
            other: leaves.into_other(),
        })
    }

    pub(crate) fn leaves(&self) -> Vec<(Leaf, Value<'_>)> {
        let mut leaves = Vec::with_capacity(8);
        leaves.push((Leaf::Assertion, Value::Assertion(self.assertion)));
        leaves.push((Leaf::CreatedOn, Value::Date(self.created_on)));
        push_bool(
            &mut leaves,
            Leaf::DomainCertRevocationChecks,
            self.domain_cert_revocation_checks,
        );
        push_date(&mut leaves, Leaf::ExpiresOn, self.expires_on);
        push_bytes(&mut leaves, Leaf::IdevidIssuer, &self.idevid_issuer);
        push_date(&mut leaves, Leaf::LastRenewalDate, self.last_renewal_date);
        push_nonce(&mut leaves, &self.nonce);
        push_bytes(
            &mut leaves,
            Leaf::PinnedDomainCert,
            &self.pinned_domain_cert,
        );
        push_bytes(
            &mut leaves,
            Leaf::PinnedDomainPubk,
            &self.pinned_domain_pubk,
        );
        push_bytes(
            &mut leaves,
            Leaf::PinnedDomainPubkSha256,
            &self.pinned_domain_pubk_sha256,
        );
        leaves.push((Leaf::SerialNumber, Value::Text(&self.serial_number)));
        push_text(
            &mut leaves,
            Leaf::AdditionalConfigurationUrl,
            &self.additional_configuration_url,
        );
        push_text(&mut leaves, Leaf::EstDomain, &self.est_domain);
        leaves
    }
}

impl VoucherRequest {
    pub(crate) fn from_leaves(mut leaves: Leaves) -> Result<Self, Error> {
        Ok(Self {
            created_on: leaves.take_date(Leaf::CreatedOn),
            expires_on: leaves.take_date(Leaf::ExpiresOn),
            assertion: leaves.take_assertion(Leaf::Assertion),
            serial_number: serial_number(&mut leaves)?,
            idevid_issuer: leaves.take_bytes(Leaf::IdevidIssuer),
            pinned_domain_cert: leaves.take_bytes(Leaf::PinnedDomainCert),
            domain_cert_revocation_checks: leaves.take_bool(Leaf::DomainCertRevocationChecks),
            nonce: leaves.take_nonce(Leaf::Nonce),
            last_renewal_date: leaves.take_date(Leaf::LastRenewalDate),
            prior_signed_voucher_request: leaves.take_bytes(Leaf::PriorSignedVoucherRequest),
            proximity_registrar_cert: leaves.take_bytes(Leaf::ProximityRegistrarCert),
            proximity_registrar_pubk: leaves.take_bytes(Leaf::ProximityRegistrarPubk),
            proximity_registrar_pubk_sha256: leaves.take_bytes(Leaf::ProximityRegistrarPubkSha256),
            other: leaves.into_other(),
        })
    }

    pub(crate) fn leaves(&self) -> Vec<(Leaf, Value<'_>)> {
        let mut leaves = Vec::with_capacity(8);
        if let Some(assertion) = self.assertion {
            leaves.push((Leaf::Assertion, Value::Assertion(assertion)));
        }
        push_date(&mut leaves, Leaf::CreatedOn, self.created_on);
        push_bool(
            &mut leaves,
            Leaf::DomainCertRevocationChecks,
            self.domain_cert_revocation_checks,
        );
        push_date(&mut leaves, Leaf::ExpiresOn, self.expires_on);
        push_bytes(&mut leaves, Leaf::IdevidIssuer, &self.idevid_issuer);
        push_date(&mut leaves, Leaf::LastRenewalDate, self.last_renewal_date);
        push_nonce(&mut leaves, &self.nonce);
        push_bytes(
            &mut leaves,
            Leaf::PinnedDomainCert,
            &self.pinned_domain_cert,
        );
        push_bytes(
            &mut leaves,
            Leaf::PriorSignedVoucherRequest,
            &self.prior_signed_voucher_request,
        );
        push_bytes(
            &mut leaves,
            Leaf::ProximityRegistrarCert,
            &self.proximity_registrar_cert,
        );
        push_bytes(
            &mut leaves,
            Leaf::ProximityRegistrarPubkSha256,
            &self.proximity_registrar_pubk_sha256,
        );
        push_bytes(
            &mut leaves,
            Leaf::ProximityRegistrarPubk,
            &self.proximity_registrar_pubk,
        );
        leaves.push((Leaf::SerialNumber, Value::Text(&self.serial_number)));
        leaves
    }
}

fn serial_number(leaves: &mut Leaves) -> Result<String, Malformed> {
    leaves
        .take_text(Leaf::SerialNumber)
        .filter(|serial| !serial.is_empty())
        .ok_or(Malformed::SerialMissing)
}

fn push_text<'a>(leaves: &mut Vec<(Leaf, Value<'a>)>, leaf: Leaf, text: &'a Option<String>) {
    if let Some(text) = text {
        leaves.push((leaf, Value::Text(text)));
    }
}

fn push_bytes<'a>(leaves: &mut Vec<(Leaf, Value<'a>)>, leaf: Leaf, bytes: &'a Option<Vec<u8>>) {
    if let Some(bytes) = bytes {
        leaves.push((leaf, Value::Bytes(bytes)));
    }
}

fn push_date(leaves: &mut Vec<(Leaf, Value<'_>)>, leaf: Leaf, date: Option<Timestamp>) {
    if let Some(date) = date {
        leaves.push((leaf, Value::Date(date)));
    }
}

fn push_bool(leaves: &mut Vec<(Leaf, Value<'_>)>, leaf: Leaf, flag: Option<bool>) {
    if let Some(flag) = flag {
        leaves.push((leaf, Value::Bool(flag)));
    }
}

fn push_nonce<'a>(leaves: &mut Vec<(Leaf, Value<'a>)>, nonce: &'a Option<Nonce>) {
    if let Some(nonce) = nonce {
        leaves.push((Leaf::Nonce, Value::Nonce(nonce)));
    }
}
