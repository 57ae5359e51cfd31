//! A device, as its owner's controller or its manufacturer knows it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{DeviceId, Digest, ManufacturerId, OwnerId};
use crate::lifecycle::State;
use crate::text::text_enum;

text_enum! {
    /// How the key of the birth certificate came into being, as the factory recorded it.
    pub enum KeyOrigin {
        /// Nobody said.
        Unknown = "unknown",
        /// Made inside the device; only a request for a certificate left it.
        Device = "device",
        /// Made inside a hardware store of the device.
        Hardware = "hardware",
        /// Made by the factory and put into the device.
        Factory = "factory",
    }
}

/// A device. The controller and the manufacturer each keep their own row of the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Computed from manufacturer and serial number.
    pub id: DeviceId,
    /// Who made it.
    pub manufacturer: ManufacturerId,
    /// The `serialNumber` of the IDevID's subject (RFC 8995 §2.3.1); at most
    /// [`MAX_SERIAL`](crate::device::MAX_SERIAL) bytes.
    pub serial: String,
    /// Model name, when known.
    pub model: Option<String>,
    /// Where it is in its life.
    pub state: State,
    /// At the controller: this owner. At the manufacturer: to whom it was sold last.
    pub owner: Option<OwnerId>,
    /// Network segment given by policy.
    pub segment: Option<String>,
    /// SHA-256 of the IDevID certificate (DER), when seen.
    pub idevid_sha256: Option<Digest>,
    /// SHA-256 of the IDevID's SubjectPublicKeyInfo (DER), when seen.
    pub idevid_spki_sha256: Option<Digest>,
    /// The IDevID certificate itself (DER), where it is kept.
    #[serde(with = "crate::text::base64_option", default)]
    pub idevid_der: Option<Vec<u8>>,
    /// Where its usage description is (RFC 8520).
    pub mud_url: Option<String>,
    /// How the birth key was made.
    pub key_origin: KeyOrigin,
    /// Grows by one with each change; [`Guard::DeviceVersion`](crate::Guard) checks it.
    pub version: u64,
    /// Number of the last journal entry, 0 when there is none. **Owned by the store**, which
    /// seals entries: a decision copies it, and the store ignores the copy.
    pub journal_seq: u64,
    /// Hash of the last journal entry. Owned by the store, like `journal_seq`.
    pub journal_head: Digest,
    /// Why it is in this state, where that needs saying (quarantined, retired).
    pub reason: Option<String>,
    /// When this row came into being.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// Longest serial number in bytes (X.520 `ub-serial-number`).
pub const MAX_SERIAL: usize = 64;
