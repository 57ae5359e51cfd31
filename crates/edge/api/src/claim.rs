//! What is said of a device: claims that policy judges, and MAC addresses by which it may come in.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A MAC address that is claimed for a device. Weak: anybody can copy it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceAddress {
    /// The address, `00:1b:63:84:45:e6`.
    pub mac: String,
    /// Who claimed it, by name.
    pub by: String,
    /// When.
    pub claimed_at: Timestamp,
    /// Whether the device may come in by it.
    pub admitted: bool,
    /// Where that leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// Until when that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Why it may, or may not: stable codes.
    pub reasons: Vec<String>,
    /// The other device for which it was claimed (id), until a person settles that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<String>,
}

/// A MAC address that is a device's. For the device that has it already this settles a contradiction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimAddress {
    /// Twelve hexadecimal digits, as `00:1b:63:84:45:e6`, `00-1b-63-84-45-e6` or `001b.6384.45e6`.
    pub mac: String,
    /// Why, or on which paper; goes into the journal. At most 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A MAC address that is no longer a device's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveAddress {
    /// The address.
    pub mac: String,
    /// Why; goes into the journal. 1 to 500 characters.
    pub reason: String,
}

/// Something that is claimed about a device, its model, its manufacturer or its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceClaim {
    /// Who says so.
    pub issuer: String,
    /// About whom: `device`, `model`, `manufacturer`, `owner`.
    pub subject: String,
    /// What is claimed.
    pub kind: String,
    /// The value.
    pub value: serde_json::Value,
    /// What it rests on: `signed`, `observed`, `observed-weak`, `stated`.
    pub strength: String,
    /// When it was made.
    pub issued_at: Timestamp,
    /// When it stops counting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// What a person states of a device. It replaces what was stated of the same kind before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StateClaim {
    /// What is claimed: 1 to 64 lower-case letters, digits and hyphens, such as `admit-by-mac`.
    pub kind: String,
    /// The value, at most 1024 bytes as JSON; absent or null takes the statement back.
    #[serde(default)]
    pub value: serde_json::Value,
    /// When it stops counting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Why; goes into the journal. 1 to 500 characters.
    pub reason: String,
}
