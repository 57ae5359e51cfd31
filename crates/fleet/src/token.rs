//! API tokens and the roles they carry.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{Digest, TokenId};
use crate::text::text_enum;

text_enum! {
    /// What the bearer of a token may do.
    pub enum Role {
        /// Everything, including tokens, policy and manufacturers.
        Admin = "admin",
        /// Devices: approve, quarantine, release, revoke.
        Operator = "operator",
        /// Claim devices and watch them arrive.
        Installer = "installer",
        /// Read everything, change nothing.
        Auditor = "auditor",
        /// A factory line station: provision devices.
        DeviceLine = "device-line",
    }
}

/// An API token. Its secret is not here, only the digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its name for listing and revoking.
    pub id: TokenId,
    /// Name for people; stands in the journal as the actor.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// SHA-256 of the secret.
    pub secret_sha256: Digest,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends; none means when revoked.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl Token {
    /// Whether it counts at `now`.
    #[must_use]
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}
