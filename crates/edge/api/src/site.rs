//! This domain, other owners, and how the controller is doing.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{DeviceState, Role};

/// This domain: what a manufacturer needs to sell to us and a device ends up trusting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Site {
    /// Our id as an owner; 32 hexadecimal digits, from the key of the domain CA.
    pub owner: String,
    /// What people call this site.
    pub name: String,
    /// The domain CA's certificate, PEM. This is what vouchers pin and manufacturers know us by.
    pub domain_ca_pem: String,
    /// The registrar's certificate, PEM.
    pub registrar_pem: String,
    /// Where devices reach the registrar: `https://host:port`.
    pub registrar_url: String,
}

/// An owner: us, or somebody a device went to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Owner {
    /// 32 hexadecimal digits, from the key of its domain CA.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Its domain CA's certificate, PEM.
    pub domain_ca_pem: String,
    /// Whether this is us.
    pub this_site: bool,
    /// When it became known.
    pub created_at: Timestamp,
}

/// Another owner to be known by name, for releases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddOwner {
    /// What people call it; 1 to 100 characters.
    pub name: String,
    /// Its domain CA's certificate, PEM.
    pub domain_ca_pem: String,
}

/// How the controller is doing, for people; `readyz` is for machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// When it started.
    pub started_at: Timestamp,
    /// The engine behind the store: `sqlite` or `postgresql`.
    pub store: String,
    /// Devices, by state; states without devices are left out.
    pub devices: Vec<StateCount>,
    /// Devices that wait for a person.
    pub waiting: u64,
    /// Position of the newest journal entry; 0 when there is none.
    pub journal_position: i64,
    /// Digest of the policy in force; SHA-256, hexadecimal.
    pub policy_sha256: String,
    /// Until when the newest revocation list counts; none before the first was made. It is renewed at half
    /// of its life; one that ran out lets nobody in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crl_next_update: Option<Timestamp>,
    /// The role of the token that asked.
    pub role: Role,
}

/// How many devices are in one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StateCount {
    /// The state.
    pub state: DeviceState,
    /// How many.
    pub count: u64,
}
