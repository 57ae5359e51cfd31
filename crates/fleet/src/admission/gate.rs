//! A gate: what lets devices in, on a machine of its own.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::segment::is_label;
use crate::ids::{CredentialId, Digest, GateId};
use crate::refusal::Refusal;

/// Most gates of one site, removed ones included.
pub const MAX_GATES: usize = 10_000;

/// For how long a token can be used.
pub const TOKEN_LIFETIME: SignedDuration = SignedDuration::from_hours(24);

/// Most certificates of one gate that count at once. A gate renews once in each one's life.
pub const MAX_GATE_CREDENTIALS: usize = 16;

/// Longest name in bytes: it is a label of a DNS name in the gate's certificate.
const MAX_NAME: usize = 63;

/// A gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// 1 to 63 bytes of lower-case letters, digits and hyphens; the CN of its certificate.
    pub name: String,
    /// The token that was made last.
    pub token: GateToken,
    /// Its certificate, once it has one.
    pub credential: Option<CredentialId>,
    /// When that ends.
    pub credential_ends_at: Option<Timestamp>,
    /// When trust in it ended.
    pub removed_at: Option<Timestamp>,
    /// Grows by one with each change.
    pub version: u64,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// By which a gate enrols, once. The token is not here, only its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateToken {
    /// SHA-256 of the token.
    pub sha256: Digest,
    /// Until when it can be used.
    pub expires_at: Timestamp,
    /// When it was used.
    pub used_at: Option<Timestamp>,
}

/// A certificate that a gate got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateCredential {
    /// The certificate's serial number.
    pub id: CredentialId,
    /// The gate (name).
    pub gate: String,
    /// SHA-256 of the certificate (DER).
    pub sha256: Digest,
    /// Its last moment.
    pub not_after: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl Gate {
    /// How the journal names it.
    #[must_use]
    pub fn id(&self) -> GateId {
        GateId::new(&self.name)
    }

    /// Whether the name is one that a certificate can hold.
    ///
    /// # Errors
    /// [`Refusal::BadGate`].
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        if is_label(&self.name, MAX_NAME) {
            Ok(())
        } else {
            Err(Refusal::BadGate)
        }
    }
}

impl GateToken {
    /// Whether the digest of a token that was shown is this one's. Takes the same time whatever differs.
    #[must_use]
    pub fn is(&self, shown: &Digest) -> bool {
        verify_slices_are_equal(self.sha256.as_bytes(), shown.as_bytes()).is_ok()
    }

    /// Whether it can be used at `now`.
    ///
    /// # Errors
    /// [`Refusal::GateTokenUsed`] or [`Refusal::GateTokenExpired`].
    pub fn usable(&self, now: Timestamp) -> Result<(), Refusal> {
        if self.used_at.is_some() {
            Err(Refusal::GateTokenUsed)
        } else if self.expires_at <= now {
            Err(Refusal::GateTokenExpired)
        } else {
            Ok(())
        }
    }
}
