//! What gates are to do: the desired state of network admission.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Who may come in, as a whole. Whoever is not in it may not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DesiredState {
    /// Grows with every change; a gate refuses one that is older than what it had.
    pub version: u64,
    /// When it was written.
    pub issued_at: Timestamp,
    /// Revocation lists of the domain CA, DER in base64.
    pub revocation_lists: Vec<String>,
    /// The credentials that open the network.
    pub admitted: Vec<AdmittedCredential>,
}

/// A credential that opens the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdmittedCredential {
    /// The certificate's serial number, lower-case hexadecimal.
    pub credential: String,
    /// Whose it is: the device's id.
    pub device: String,
    /// Where the device belongs; the port's own segment without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// Until when the decision counts.
    pub expires_at: Timestamp,
}
