//! Devices: the inventory, and what people do with it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{DeviceAddress, DeviceAdmission, DeviceClaim, DeviceWifi, Enforcement};

/// Where a device stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceState {
    /// Has its birth credential; still the manufacturer's.
    Provisioned,
    /// Sold; the buyer has not claimed it.
    Transferred,
    /// This site says it is ours; it may onboard.
    Claimed,
    /// Has asked for a voucher and is on its way in.
    Onboarding,
    /// Holds a credential of this domain.
    Onboarded,
    /// Kept apart; its credential stays, its access does not.
    Quarantined,
    /// Given up for another owner.
    Released,
    /// At the end of its life.
    Retired,
}

/// One device of the inventory. Has an ETag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Device {
    /// 32 hexadecimal digits; the same at the manufacturer and at every owner.
    pub id: String,
    /// The manufacturer's id; 32 hexadecimal digits.
    pub manufacturer: String,
    /// The serial number in its birth certificate's subject (X.520 serialNumber).
    pub serial: String,
    /// The manufacturer's name of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Where it stands in its life.
    pub state: DeviceState,
    /// The owner's id, when it has one; 32 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The network segment it was admitted to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// SHA-256 of its birth certificate (DER), hexadecimal; known once imported or seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idevid_sha256: Option<String>,
    /// Where its usage description is (RFC 8520).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mud_url: Option<String>,
    /// How its birth key came to be, as the manufacturer recorded it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_origin: Option<String>,
    /// Why it stands where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether it waits for a person to approve or deny it.
    pub waiting: bool,
    /// What it has to do with Wi-Fi; not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wifi: Option<DeviceWifi>,
    /// Where it is on the network; not in lists, and absent where no gate ever saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admission: Option<DeviceAdmission>,
    /// The MAC addresses that are claimed for it; not in lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<DeviceAddress>,
    /// All that policy gets to see of what is claimed, its silence included; not in lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<DeviceClaim>,
    /// How far a change has come; only in the answer to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforcement: Option<Enforcement>,
    /// Number of entries in its journal.
    pub journal_length: i64,
    /// When it came into the inventory.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Grows by one with each change; the ETag.
    pub version: i64,
}

/// Narrows the list of devices; all given conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceFilter {
    /// Only devices in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<DeviceState>,
    /// Only devices of this manufacturer (id).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<String>,
    /// Only the devices with exactly this serial number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Only devices in this segment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// Only devices that wait for a person (`true`), or only those that do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<bool>,
}

/// One device that is said to be ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The manufacturer's id; 32 hexadecimal digits. Only a device that is claimed with its MAC address may be
    /// of nobody.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub manufacturer: String,
    /// The serial number; 1 to 64 bytes.
    pub serial: String,
    /// The manufacturer's name of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The segment it shall go to, if policy leaves it open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// The MAC address by which it may come in, where policy says so. Weak: anybody can copy it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Why, or on which paper; goes into the journal. At most 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Many devices at once, as JSON. The same columns make the CSV form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportDevices {
    /// The devices; at most 100,000.
    pub devices: Vec<ImportDevice>,
}

/// A manufacturer's signed manifest with what it takes to believe it. The bare manifest
/// (`application/cms`) does too, where the manufacturer is known already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportManifest {
    /// The manifest as it came: CMS SignedData (DER), in base64.
    pub manifest: String,
    /// Trust anchors of what the manufacturer signs, PEM, obtained apart from the manifest. They
    /// make a manufacturer known that was not, which only the role admin may do; the anchors of its
    /// birth certificates are in the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchors_pem: Option<String>,
}

/// One line of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportDevice {
    /// The manufacturer's id; 32 hexadecimal digits.
    pub manufacturer: String,
    /// The serial number; 1 to 64 bytes.
    pub serial: String,
    /// The manufacturer's name of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// SHA-256 of the birth certificate (DER), hexadecimal. When given, a device that shows another
    /// certificate is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idevid_sha256: Option<String>,
    /// The segment it shall go to, if policy leaves it open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
}

/// What became of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportResult {
    /// Devices that are claimed now and were not before.
    pub claimed: u64,
    /// Devices that were ours already.
    pub unchanged: u64,
    /// Devices that were refused.
    pub refused: u64,
    /// The first of the refused ones, at most [`ImportResult::MAX_REFUSED`].
    pub refusals: Vec<RefusedLine>,
    /// The manufacturer that signed the manifest (id), when it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<String>,
    /// What the caller should know besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<Warning>,
}

impl ImportResult {
    /// Refused lines that are reported one by one at most.
    pub const MAX_REFUSED: usize = 100;
}

/// Why one device of an import was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedLine {
    /// The line of the CSV, or the index in the list; from 1.
    pub line: u64,
    /// The serial number, as far as it could be read.
    pub serial: String,
    /// A stable code, `kebab-case`.
    pub code: String,
    /// The same for people.
    pub detail: String,
}

/// Something that worked and deserves a look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Warning {
    /// A stable code, `kebab-case`.
    pub code: String,
    /// The same for people.
    pub detail: String,
}

/// A change with the reason for it: deny, quarantine, restore, retire.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reasoned {
    /// Why; goes into the journal. 1 to 500 characters.
    pub reason: String,
}

/// A person lets a waiting device in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Approve {
    /// Why; goes into the journal. 1 to 500 characters.
    pub reason: String,
    /// The segment it shall go to, if policy leaves it open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
}

/// The device leaves this owner: its credentials are revoked, and it can no longer be claimed here
/// without a new import.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Why; goes into the journal. 1 to 500 characters.
    pub reason: String,
    /// The next owner's id, when it is known; goes into the journal that travels with the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_owner: Option<String>,
}

/// A device that was given up, and the proof for its manufacturer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Released {
    /// The device as it stands now.
    pub device: Device,
    /// The statement that this owner gives it up, signed by the registrar: CMS SignedData (DER),
    /// in base64. `vouchsafe manufacturer release` reads it.
    /// Absent after a dry run.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub statement: String,
}
