//! A credential of a device: the certificate its owner's CA issued.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{CredentialId, DeviceId, Digest};
use crate::text::text_enum;

text_enum! {
    /// Why a certificate was revoked (RFC 5280 §5.3.1).
    pub enum RevocationReason {
        /// No reason given.
        Unspecified = "unspecified",
        /// The private key may be known to others.
        KeyCompromise = "key-compromise",
        /// The device belongs to somebody else now.
        AffiliationChanged = "affiliation-changed",
        /// A newer credential took its place.
        Superseded = "superseded",
        /// The device left service.
        CessationOfOperation = "cessation-of-operation",
        /// The right was withdrawn.
        PrivilegeWithdrawn = "privilege-withdrawn",
    }
}

impl RevocationReason {
    /// The CRLReason number (RFC 5280 §5.3.1).
    #[must_use]
    pub const fn crl_reason(self) -> u8 {
        match self {
            Self::Unspecified => 0,
            Self::KeyCompromise => 1,
            Self::AffiliationChanged => 3,
            Self::Superseded => 4,
            Self::CessationOfOperation => 5,
            Self::PrivilegeWithdrawn => 9,
        }
    }
}

/// Whether a credential counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum CredentialStatus {
    /// It counts.
    Active,
    /// A newer one took its place; it still ends at its own notAfter.
    Superseded,
    /// It was withdrawn and stands in the CRL.
    Revoked {
        /// Why.
        reason: RevocationReason,
        /// When.
        at: Timestamp,
    },
}

impl CredentialStatus {
    /// The stable word for the status, without reason and time.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Superseded => "superseded",
            Self::Revoked { .. } => "revoked",
        }
    }

    /// Whether trust in it was ended.
    #[must_use]
    pub const fn is_revoked(&self) -> bool {
        matches!(self, Self::Revoked { .. })
    }

    /// The status from its stored parts: the word, and for `revoked` reason and time.
    ///
    /// # Errors
    /// [`Error::UnknownText`](crate::Error::UnknownText) when the parts make no status.
    pub fn from_parts(
        word: &str,
        reason: Option<RevocationReason>,
        at: Option<Timestamp>,
    ) -> Result<Self, crate::Error> {
        match (word, reason, at) {
            ("active", _, _) => Ok(Self::Active),
            ("superseded", _, _) => Ok(Self::Superseded),
            ("revoked", Some(reason), Some(at)) => Ok(Self::Revoked { reason, at }),
            (other, _, _) => Err(crate::text::unknown_text("CredentialStatus", other)),
        }
    }
}

/// A device's credential (LDevID).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// The certificate's serial number.
    pub id: CredentialId,
    /// Whose it is.
    pub device: DeviceId,
    /// The certificate, DER.
    #[serde(with = "crate::text::base64_bytes")]
    pub certificate_der: Vec<u8>,
    /// SHA-256 of its SubjectPublicKeyInfo; one key belongs to one device.
    pub spki_sha256: Digest,
    /// SHA-256 of the request it answers: the same request gets the same certificate again.
    pub request_sha256: Digest,
    /// Start of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
    /// Whether it counts.
    pub status: CredentialStatus,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When the device reported that it works (RFC 8995 §5.9.4).
    pub confirmed_at: Option<Timestamp>,
}

/// Most certificates of a device that count at the same time ([`Credential::counts`]). A device renews twice in a
/// certificate's life; one that asks without end would hold more than anybody can revoke.
pub const MAX_HELD: usize = 64;

impl Credential {
    /// Whether the device may still use it: not revoked, and not over. One that was superseded counts
    /// until its end, since the device may not have got the newer one.
    #[must_use]
    pub fn counts(&self, now: Timestamp) -> bool {
        !self.status.is_revoked() && self.not_after > now
    }
}
