//! The policy: who may come in, in Rego.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::DeviceState;

/// What a policy answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// Comes in.
    Allow,
    /// Waits for a person.
    Wait,
    /// Stays out.
    Deny,
}

/// The policy in force. Has an ETag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Policy {
    /// The text, Rego.
    pub rego: String,
    /// SHA-256 of the text, hexadecimal; the journal names decisions by it.
    pub sha256: String,
    /// Since when it is in force.
    pub updated_at: Timestamp,
    /// The token that put it there, or `default`.
    pub updated_by: String,
    /// Grows with each change, 0 before the first; the ETag.
    pub version: i64,
}

/// A new policy to be put in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutPolicy {
    /// The text, Rego; at most 1 MiB.
    pub rego: String,
    /// Why; goes into the journal. 1 to 500 characters.
    pub reason: String,
}

/// A policy to be read, and nothing more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckPolicy {
    /// The text, Rego; at most 1 MiB.
    pub rego: String,
}

/// Whether a policy can be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyCheck {
    /// Whether it could be put in force.
    pub ok: bool,
    /// What is wrong with it.
    pub faults: Vec<PolicyFault>,
}

/// Something wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyFault {
    /// The line, from 1, when it can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// What is wrong.
    pub message: String,
}

/// A policy to be tried on the devices there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DryRunPolicy {
    /// The text, Rego; at most 1 MiB.
    pub rego: String,
}

/// What a policy would change if it were in force now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DryRun {
    /// Devices asked about.
    pub evaluated: u64,
    /// Devices that are in and would be cut off.
    pub cut_off: u64,
    /// Devices whose answer would be another one.
    pub changed: u64,
    /// The first of the changed ones, those cut off before the others; at most
    /// [`DryRun::MAX_CHANGES`].
    pub changes: Vec<DryRunChange>,
}

impl DryRun {
    /// Changed devices that are reported one by one at most.
    pub const MAX_CHANGES: usize = 1000;
}

/// One device whose answer would be another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DryRunChange {
    /// The device (id).
    pub device: String,
    /// Its serial number.
    pub serial: String,
    /// Where it stands.
    pub state: DeviceState,
    /// The answer of the policy in force.
    pub now: Decision,
    /// The answer of the policy that was tried.
    pub then: Decision,
    /// Its reasons, codes.
    pub reasons: Vec<String>,
}
