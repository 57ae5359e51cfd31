//! Bootstrapping keys: by which a device is known before it has anything else.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{DeviceId, Digest};
use crate::text::text_enum;

/// Longest URI that is kept, in bytes: what the largest QR code holds.
pub const MAX_URI: usize = 2953;

text_enum! {
    /// What a device is in its network. A person or a manifest says it when the key comes in; a
    /// device that asks for more is refused, else any lamp could become an access point.
    pub enum DeviceRole {
        /// A station (`sta`).
        Station = "station",
        /// An access point (`ap`).
        AccessPoint = "access-point",
    }
}

text_enum! {
    /// How a bootstrapping key came here.
    pub enum KeySource {
        /// With a manufacturer's signed manifest.
        Manifest = "manifest",
        /// A person gave it: text or picture of a label.
        Person = "person",
        /// In a list of many.
        Import = "import",
        /// From an order system, by SCIM (RFC 9944).
        Scim = "scim",
    }
}

/// A device's public bootstrapping key as it is known here. Who reads the URI can try to take the
/// device, so it is shown to those only who may see devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootstrappingKey {
    /// SHA-256 of the key's SubjectPublicKeyInfo with a compressed point (DER).
    pub id: Digest,
    /// SHA-256 of `chirp` and the same bytes: how the device announces itself.
    pub chirp_hash: Digest,
    /// The curve, as JOSE names it.
    pub curve: String,
    /// The bootstrapping URI.
    pub uri: String,
    /// Whose key it is.
    pub device: DeviceId,
    /// As what the device may be configured.
    pub role: DeviceRole,
    /// How it came here.
    pub source: KeySource,
    /// The later claim that this is another device's key, until a person settles it.
    pub conflict: Option<KeyConflict>,
    /// When it came here.
    pub added_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Grows by one with each change.
    pub version: u64,
}

/// A claim that contradicts what is known of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyConflict {
    /// For which device the key was claimed as well.
    pub device: DeviceId,
    /// That device's serial number, as the claim says.
    pub serial: String,
    /// How the claim came.
    pub source: KeySource,
    /// Who made it, by name.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// What a bootstrapping URI says; reading it is the caller's business.
#[derive(Debug, Clone, Copy)]
pub struct KeyFacts<'a> {
    /// SHA-256 of the SubjectPublicKeyInfo.
    pub id: Digest,
    /// SHA-256 of `chirp` and the SubjectPublicKeyInfo.
    pub chirp_hash: Digest,
    /// The curve, as JOSE names it.
    pub curve: &'a str,
    /// The URI, at most [`MAX_URI`] bytes.
    pub uri: &'a str,
}
