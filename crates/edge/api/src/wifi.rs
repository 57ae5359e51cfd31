//! Wi-Fi Easy Connect: networks, bootstrapping keys, and what was announced.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Code, Problem};

use crate::{CredentialState, Device, RevocationReason};

/// Which sort of credential the devices of a network get. Each device gets its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkCredential {
    /// A connector signed by this site (`dpp`).
    Connector,
    /// A certificate of the domain CA, for EAP-TLS (`dot1x`).
    Certificate,
    /// A password for SAE (`sae`).
    Sae,
    /// A passphrase for WPA2-Personal (`psk`).
    Psk,
}

/// A Wi-Fi network. Has an ETag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Network {
    /// How it is named here; 1 to 64 lower-case letters, digits and hyphens.
    pub name: String,
    /// 1 to 32 bytes.
    pub ssid: String,
    /// What its devices get.
    pub credential: NetworkCredential,
    /// Whether they get a password of their own besides, for the next weaker method.
    pub fallback: bool,
    /// Only devices that policy puts into this segment belong here; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// Days for which a connector counts; absent: until it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_days: Option<u32>,
    /// The name in the authentication server's certificate, for networks with certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// When it came into being.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Grows by one with each change; the ETag.
    pub version: i64,
}

/// What a network is, or shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutNetwork {
    /// How it is named here; 1 to 64 lower-case letters, digits and hyphens. Never changes.
    pub name: String,
    /// 1 to 32 bytes.
    pub ssid: String,
    /// What its devices get.
    pub credential: NetworkCredential,
    /// Whether they get a password of their own besides, for the next weaker method: SAE beside a
    /// connector, WPA2-Personal beside SAE.
    #[serde(default)]
    pub fallback: bool,
    /// Only devices that policy puts into this segment belong here; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// Days for which a connector counts, 1 to 3660; absent: until it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_days: Option<u32>,
    /// The name in the authentication server's certificate, for networks with certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
}

/// What a device is in its network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceRole {
    /// A station.
    #[default]
    Station,
    /// An access point.
    AccessPoint,
}

/// How a bootstrapping key came here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeySource {
    /// With a manufacturer's signed manifest.
    Manifest,
    /// A person gave it.
    Person,
    /// In a list of many.
    Import,
    /// From an order system, by SCIM.
    Scim,
}

/// A device's public bootstrapping key. Who has the URI can try to take the device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BootstrappingKey {
    /// SHA-256 of the key (SubjectPublicKeyInfo), 64 hexadecimal digits.
    pub id: String,
    /// By which the device announces itself, 64 hexadecimal digits.
    pub chirp_hash: String,
    /// The curve, as JOSE names it.
    pub curve: String,
    /// The bootstrapping URI.
    pub uri: String,
    /// Whose key it is (id).
    pub device: String,
    /// As what the device may be configured.
    pub role: DeviceRole,
    /// How it came here.
    pub source: KeySource,
    /// The claim that it is another device's key, until a person settles it. While it stands, the
    /// device does not come in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<KeyConflict>,
    /// When it came here.
    pub added_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Grows by one with each change; the ETag.
    pub version: i64,
}

/// A claim that contradicts what is known of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyConflict {
    /// For which device the key was claimed as well (id).
    pub device: String,
    /// That device's serial number, as the claim says.
    pub serial: String,
    /// How the claim came.
    pub source: KeySource,
    /// Who made it.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// A bootstrapping URI to be taken in, and with it the device, unless that is here already.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimByUri {
    /// The URI: the text of the device's label, beginning with `DPP:`.
    pub uri: String,
    /// The manufacturer's id, 32 hexadecimal digits; needs `serial`. Without it, the device is named
    /// after its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<String>,
    /// The serial number, 1 to 64 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// The manufacturer's name of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// As what it may be configured; by default a station.
    #[serde(default)]
    pub role: DeviceRole,
    /// The segment it shall go to, if policy leaves it open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// The network it is meant for (name); absent: the one that fits its segment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Why, or on which paper; goes into the journal. At most 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A device that is ours now, and its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClaimedByUri {
    /// The device.
    pub device: Device,
    /// Its key.
    pub key: BootstrappingKey,
    /// When it last announced itself, where it did so before anybody knew its key. It goes on
    /// doing so, and is answered next time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced_at: Option<Timestamp>,
}

/// Many bootstrapping URIs at once, as JSON. The same columns make the CSV form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportKeys {
    /// The URIs; at most 100,000.
    pub keys: Vec<ClaimByUri>,
}

/// Narrows the list of bootstrapping keys; all given conditions must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFilter {
    /// Only those of this device (id).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Only those that are claimed for a second device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflicts: Option<bool>,
}

/// Settles whose a bootstrapping key is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettleKey {
    /// The device (id): the present one, or the one of the conflict.
    pub device: String,
    /// Why; goes into the journal. 1 to 500 characters.
    pub reason: String,
}

/// A code that a person tells a device, for want of a label (PKEX).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddCode {
    /// The code, 6 to 256 bytes. It is good for one device.
    pub code: String,
    /// By which the device names the code, 1 to 80 bytes; absent: it names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// As what the device may be configured; by default a station.
    #[serde(default)]
    pub role: DeviceRole,
    /// The network it is meant for (name); absent: the one that fits its segment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// What stands for its serial number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Why; goes into the journal when the device comes. 1 to 500 characters.
    pub reason: String,
}

/// A code that is good now. The code itself is never shown again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceCode {
    /// Names it as long as it is good.
    pub id: u64,
    /// By which the device names the code; absent: it names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// As what the device may be configured.
    pub role: DeviceRole,
    /// The network it is meant for (name).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// What stands for its serial number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Who said it.
    pub said_by: String,
    /// Until then.
    pub expires_at: Timestamp,
    /// Wrong guesses that are left.
    pub guesses_left: u32,
}

/// Calls a device that listens on TCP.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CallDevice {
    /// `HOST` or `HOST:PORT`; absent takes what its URI says (`H:`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// A device that showed itself and whose key nobody knows. Nothing is proved about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Announcement {
    /// The hash it showed, 64 hexadecimal digits: a chirp hash or a key's id.
    pub hash: String,
    /// Whether it is a `chirp` hash or that of a `key`.
    pub form: String,
    /// The relay or device it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// When it was first seen.
    pub first_at: Timestamp,
    /// When it was last seen, to the minute.
    pub last_at: Timestamp,
}

/// Means a device for a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reconfigure {
    /// The network (name).
    pub network: String,
    /// Why; goes into the journal. 1 to 500 characters.
    pub reason: String,
}

/// What a device has to do with Wi-Fi.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceWifi {
    /// Its bootstrapping keys, at most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<DeviceKey>,
    /// The network a person meant it for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
    /// What it was configured for last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<GivenNetwork>,
    /// What it said of itself when it was configured, by the protocol's names for it. Nothing of it
    /// is proved.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub said: BTreeMap<String, String>,
    /// Its connectors and passwords, without anything secret; the latest 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<AccessCredential>,
    /// Why it was not let in when it last showed itself, as far as that is remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<RefusedAttempt>,
}

/// A bootstrapping key of a device, without its URI.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceKey {
    /// SHA-256 of the key, 64 hexadecimal digits.
    pub id: String,
    /// The curve, as JOSE names it.
    pub curve: String,
    /// As what the device may be configured.
    pub role: DeviceRole,
    /// How it came here.
    pub source: KeySource,
    /// Whether it is claimed for a second device.
    pub conflict: bool,
}

/// A configuration as it was given to a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GivenNetwork {
    /// The network (name).
    pub network: String,
    /// The network's version at that time.
    pub network_version: i64,
    /// As what the device was configured.
    pub role: DeviceRole,
    /// What was proved: `responder-only` (the device proved the key on its label) or `mutual`.
    pub assurance: String,
    /// The name the device gives itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<String>,
    /// The certificate it got (serial number), where it got one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// When.
    pub at: Timestamp,
    /// When the device said that it took the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<Timestamp>,
}

/// A connector or a password of a device, without anything secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccessCredential {
    /// 32 hexadecimal digits.
    pub id: String,
    /// `connector` or `passphrase`.
    pub kind: String,
    /// The network (name).
    pub network: String,
    /// Whether it counts.
    pub state: CredentialState,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    /// Why it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation_reason: Option<RevocationReason>,
}

/// An attempt that did not get in. Whoever knows the device's label could have made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedAttempt {
    /// Why: a stable code.
    pub code: String,
    /// When, to the minute.
    pub at: Timestamp,
    /// The relay or device it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
}

/// How access points and devices reach the Wi-Fi Easy Connect controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DppController {
    /// Its bootstrapping URI: what a device is given so that both prove themselves.
    pub uri: String,
    /// SHA-256 of its bootstrapping key, 64 hexadecimal digits: the `pkhash` of hostapd's
    /// `dpp_controller`.
    pub key_sha256: String,
    /// The curve, as JOSE names it.
    pub curve: String,
    /// Where it listens: address and port.
    pub listen: String,
    /// The key ids (`kid`) of the keys that sign connectors, the present one first.
    pub signing_keys: Vec<String>,
}

/// A device as an order system provisions it: the SCIM core schema for devices with the extension
/// for Wi-Fi Easy Connect (RFC 9944).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScimDevice {
    /// Names of the schemas; the two that are read here must be among them.
    pub schemas: Vec<String>,
    /// Given by this site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What the order system calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Whether the device shall be let in.
    pub active: bool,
    /// Where its usage description is (RFC 8520).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mud_url: Option<String>,
    /// The extension for Wi-Fi Easy Connect.
    #[serde(
        rename = "urn:ietf:params:scim:schemas:extension:dpp:2.0:Device",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub dpp: Option<ScimDpp>,
    /// About this record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<ScimMeta>,
}

impl ScimDevice {
    /// The core schema for devices (RFC 9944).
    pub const CORE: &'static str = "urn:ietf:params:scim:schemas:core:2.0:Device";
    /// The extension for Wi-Fi Easy Connect (RFC 9944).
    pub const DPP: &'static str = "urn:ietf:params:scim:schemas:extension:dpp:2.0:Device";
}

/// The extension for Wi-Fi Easy Connect (RFC 9944).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScimDpp {
    /// Version of the protocol.
    pub dpp_version: u32,
    /// How the key was obtained, such as `QR`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bootstrapping_method: Vec<String>,
    /// The public bootstrapping key: SubjectPublicKeyInfo (DER), in base64. Read, never answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bootstrap_key: Option<String>,
    /// The radio's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_mac_address: Option<String>,
    /// Where it listens: pairs of operating class and channel.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_channel: Vec<String>,
    /// The serial number on its label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<String>,
}

/// About a SCIM record (RFC 7643 §3.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScimMeta {
    /// `Device`.
    pub resource_type: String,
    /// When it came here.
    pub created: Timestamp,
    /// When it last changed.
    pub last_modified: Timestamp,
    /// Where it is.
    pub location: String,
}

/// Which part of a list of SCIM records (RFC 7644 §3.4.2.4).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScimQuery {
    /// The first record, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_index: Option<i64>,
    /// Records at most; 0 only counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<i64>,
    /// Only those of which this holds (RFC 7644 §3.4.2.2): `eq`, joined by `and`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

impl ScimQuery {
    /// Most records of one answer.
    pub const MAX_COUNT: u64 = 200;
}

/// A change of a SCIM record (RFC 7644 §3.5.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScimPatch {
    /// [`ScimPatch::SCHEMA`].
    pub schemas: Vec<String>,
    /// What to do, in this order.
    #[serde(rename = "Operations")]
    pub operations: Vec<ScimOperation>,
}

impl ScimPatch {
    /// The schema of a change.
    pub const SCHEMA: &'static str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

    /// The change that lets a device in, or keeps it out.
    #[must_use]
    pub fn active(active: bool) -> Self {
        Self {
            schemas: vec![Self::SCHEMA.to_owned()],
            operations: vec![ScimOperation {
                op: "replace".to_owned(),
                path: Some("active".to_owned()),
                value: Some(active.into()),
            }],
        }
    }
}

/// One operation of a change (RFC 7644 §3.5.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScimOperation {
    /// `add`, `replace` or `remove`.
    pub op: String,
    /// Which attribute; none means that `value` names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What it shall be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<serde_json::Value>,
}

/// A part of a list of SCIM records (RFC 7644 §3.4.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScimList {
    /// [`ScimList::SCHEMA`].
    pub schemas: Vec<String>,
    /// How many there are.
    pub total_results: u64,
    /// The number of the first one here.
    pub start_index: u64,
    /// How many are here.
    pub items_per_page: u64,
    /// The records.
    #[serde(rename = "Resources")]
    pub resources: Vec<ScimDevice>,
}

impl ScimList {
    /// The schema of a list.
    pub const SCHEMA: &'static str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
}

/// An error as order systems read it (RFC 7644 §3.12).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScimError {
    /// [`ScimError::SCHEMA`].
    pub schemas: Vec<String>,
    /// The HTTP status, as text.
    pub status: String,
    /// Which kind of error it is, where the RFC has a word for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scim_type: Option<String>,
    /// For people.
    pub detail: String,
}

impl ScimError {
    /// The schema of an error.
    pub const SCHEMA: &'static str = "urn:ietf:params:scim:api:messages:2.0:Error";

    /// What a problem is in this form.
    #[must_use]
    pub fn of(problem: &Problem) -> Self {
        let scim_type = match problem.code {
            Code::BadRequest => Some("invalidValue"),
            Code::AlreadyExists => Some("uniqueness"),
            _ => None,
        };
        let detail = match &problem.next_step {
            Some(next) => format!("{}; {next}", problem.detail),
            None => problem.detail.to_string(),
        };
        Self {
            schemas: vec![Self::SCHEMA.to_owned()],
            status: problem.status.to_string(),
            scim_type: scim_type.map(str::to_owned),
            detail,
        }
    }

    /// The problem that it says.
    #[must_use]
    pub fn problem(&self) -> Problem {
        let code = match (self.status.as_str(), self.scim_type.as_deref()) {
            ("400", _) => Code::BadRequest,
            ("401", _) => Code::Unauthenticated,
            ("403", _) => Code::Forbidden,
            ("404", _) => Code::NotFound,
            ("405", _) => Code::MethodNotAllowed,
            ("409", Some("uniqueness")) => Code::AlreadyExists,
            ("409", _) => Code::Conflict,
            ("412", _) => Code::PreconditionFailed,
            ("413", _) => Code::TooLarge,
            ("415", _) => Code::UnsupportedMediaType,
            ("429", _) => Code::TooManyRequests,
            ("503", _) => Code::Unavailable,
            _ => Code::Internal,
        };
        Problem::new(code, self.detail.as_str())
    }
}
