//! Credentials of this domain (LDevIDs).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Enforcement;

/// Whether a credential counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialState {
    /// The device's current one, or one of them while it renews.
    Active,
    /// Replaced by a newer one that the device has shown.
    Superseded,
    /// Taken back.
    Revoked,
}

/// Why a credential was taken back (RFC 5280 §5.3.1, those that make sense here).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RevocationReason {
    /// No reason given.
    Unspecified,
    /// The private key is, or may be, in other hands.
    KeyCompromise,
    /// The device has another owner or task.
    AffiliationChanged,
    /// Replaced.
    Superseded,
    /// The device is out of use.
    CessationOfOperation,
    /// The privilege was taken away.
    PrivilegeWithdrawn,
}

/// A certificate of this domain, without any key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Credential {
    /// The certificate's serial number, hexadecimal.
    pub id: String,
    /// The device it was issued to (id).
    pub device: String,
    /// Whether it counts.
    pub state: CredentialState,
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// SHA-256 of its public key (SPKI), hexadecimal.
    pub spki_sha256: String,
    /// First moment of its validity.
    pub not_before: Timestamp,
    /// Last moment of its validity.
    pub not_after: Timestamp,
    /// When it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// Why it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation_reason: Option<RevocationReason>,
    /// How far taking it back has come; only in the answer to that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforcement: Option<Enforcement>,
}

/// Narrows the list of credentials; all given conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialFilter {
    /// Only those of this device (id).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Only those in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<CredentialState>,
}

/// Takes a credential, or all active credentials of a device, back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    /// The reason that the CRL and OCSP will show.
    pub revocation_reason: RevocationReason,
    /// Why; goes into the journal. 1 to 500 characters.
    pub reason: String,
}
