//! Network admission as people see it: segments, gates, sessions, and what a cut-off reached.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::gate::Destination;

/// A part of the network. Has an ETag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Segment {
    /// How it is named here; 1 to 32 lower-case letters, digits and hyphens.
    pub name: String,
    /// Its VLAN, 1 to 4094, where access points know it by number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// All that its devices reach; absent: everything behind the uplinks; empty: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<Vec<Destination>>,
    /// When it came into being.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Grows by one with each change; the ETag.
    pub version: i64,
}

/// What a segment is, or shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutSegment {
    /// How it is named here; 1 to 32 lower-case letters, digits and hyphens. Never changes.
    pub name: String,
    /// Its VLAN, 1 to 4094, where access points know it by number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan: Option<u16>,
    /// All that its devices reach, at most 256 destinations; absent: everything behind the uplinks;
    /// empty: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<Vec<Destination>>,
}

/// Where a gate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum GateState {
    /// It has a token, and no certificate yet.
    Invited,
    /// It has a certificate of this domain.
    Enrolled,
    /// Trust in it has ended.
    Removed,
}

/// A gate: what lets devices in, on a machine of its own. Has an ETag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Gate {
    /// How it is named here, and in its certificate; 1 to 63 lower-case letters, digits and hyphens.
    pub name: String,
    /// Where it stands.
    pub state: GateState,
    /// Until when its token can be used; absent once it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_expires_at: Option<Timestamp>,
    /// The serial number of its certificate, hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// When that certificate ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_ends_at: Option<Timestamp>,
    /// The version of the desired state that it said is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_force: Option<u64>,
    /// The version that it should have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<u64>,
    /// When it last reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported_at: Option<Timestamp>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Grows by one with each change; the ETag.
    pub version: i64,
}

/// A gate to be added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddGate {
    /// How it is named here, and in its certificate; 1 to 63 lower-case letters, digits and hyphens.
    pub name: String,
}

/// A gate and the token with which it enrols, shown once: the store keeps only its digest.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GateInvitation {
    /// The gate.
    pub gate: Gate,
    /// What `vouchsafe-gate enrol --token-file` reads. Good once, for 24 hours.
    pub token: String,
    /// SHA-256 of the domain CA's certificate (DER), 64 hexadecimal digits: by it the gate knows its
    /// controller.
    pub domain_ca_sha256: String,
}

impl std::fmt::Debug for GateInvitation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("GateInvitation")
            .field("gate", &self.gate)
            .field("token", &"..")
            .field("domain_ca_sha256", &self.domain_ca_sha256)
            .finish()
    }
}

/// A device at an access point, as its gate says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// 32 hexadecimal digits.
    pub id: String,
    /// The gate (name).
    pub gate: String,
    /// Whose it is: the device's id.
    pub device: String,
    /// The certificate's serial number. Without one the station came in by its MAC address, which
    /// anybody can copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// The station's MAC address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub station: Option<String>,
    /// What the access point calls itself; the port, at the gate's own.
    pub access_point: String,
    /// Where the device was put.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// When it began.
    pub since: Timestamp,
    /// Until when without a new proof.
    pub until: Timestamp,
    /// When the device was last heard of.
    pub seen: Timestamp,
    /// When it ended, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// Octets from the device.
    pub octets_from: u64,
    /// Octets to the device.
    pub octets_to: u64,
}

/// Narrows the list of sessions; all given conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionFilter {
    /// Only those of this device (id).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Only those at this gate (name).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<String>,
    /// Only those in this segment (name).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// Only those that have ended (`true`), or only those that have not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<bool>,
}

/// How far a change of a device's standing has come, when the answer was given. What is not confirmed
/// goes on by itself: the desired state says it until it is so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Enforcement {
    /// The version of the desired state that says it; absent where no gate is served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Gates where it is in force, and no session says otherwise any longer.
    pub confirmed: Vec<Confirmation>,
    /// Gates that have not said so yet (names).
    pub waiting: Vec<String>,
    /// Whether EST still gives the device certificates.
    pub est_open: bool,
    /// Whether Wi-Fi Easy Connect still gives the device credentials.
    pub dpp_open: bool,
    /// The number of the revocation list that names what was revoked; OCSP says so from the commit on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crl_number: Option<u64>,
}

/// A gate that confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Confirmation {
    /// The gate (name).
    pub gate: String,
    /// From the commit to the confirmation, in milliseconds.
    pub milliseconds: u64,
}

/// Where a device is, and was, on the network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceAdmission {
    /// When a gate first saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<Timestamp>,
    /// When a gate last saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// Octets from the device, in all its sessions, those that are kept no longer among them.
    pub octets_from: u64,
    /// Octets to the device.
    pub octets_to: u64,
    /// Its newest sessions, at most 10, the newest first.
    pub sessions: Vec<Session>,
}

/// How long the answer may wait for gates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitQuery {
    /// Seconds, 0 to 30; by default 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<u32>,
}
