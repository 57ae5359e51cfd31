//! The manifest: what a manufacturer hands to the buyer of its devices, so that the buyer's
//! controller knows them before they knock.
//!
//! 1. The manufacturer fills a [`Manifest`] from its records and signs its JSON (CMS); the
//!    signature is the caller's business.
//! 2. The buyer verifies the signature against the anchor it was given, and only then calls
//!    [`Manifest::read`], which checks that the content agrees with itself: the names are those
//!    of the anchors and serial numbers, and each journal is whole.
//! 3. `decide` turns each device into an inventory entry whose journal goes on where the
//!    factory's ended.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vouchsafe_trust::Certificate;

use crate::device::{KeyOrigin, MAX_SERIAL};
use crate::ids::{DeviceId, Digest, ManufacturerId, OwnerId};
use crate::journal::{JournalError, Sealed, Subject, verify_chain};
use crate::manufacturer::IdevidRules;

/// What `format` says in this version.
pub const MANIFEST_FORMAT: &str = "vouchsafe-manifest/1";

/// Largest manifest in bytes that is read; a larger delivery is split into several.
pub const MAX_MANIFEST: usize = 64 * 1024 * 1024;

/// What a manufacturer says of devices that it sold to one owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`MANIFEST_FORMAT`].
    pub format: String,
    /// Who made the devices.
    pub manufacturer: ManifestManufacturer,
    /// Who bought them.
    pub owner: ManifestOwner,
    /// When it was made.
    pub created_at: Timestamp,
    /// The devices.
    pub devices: Vec<ManifestDevice>,
}

/// The manufacturer's part: all that a registrar needs to trust its devices and its MASA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestManufacturer {
    /// Computed from the first anchor.
    pub id: ManufacturerId,
    /// Name for people.
    pub name: String,
    /// Trust anchors of its IDevIDs, DER in base64.
    #[serde(with = "crate::text::base64_list")]
    pub anchors: Vec<Vec<u8>>,
    /// Where its MASA is; none means where each IDevID says.
    pub masa_url: Option<String>,
    /// Trust anchors of its vouchers and of its MASA's TLS certificate, DER in base64.
    #[serde(with = "crate::text::base64_list")]
    pub masa_anchors: Vec<Vec<u8>>,
    /// Departures from RFC 5280 in its IDevIDs.
    #[serde(default)]
    pub idevid_rules: IdevidRules,
}

/// The buyer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestOwner {
    /// Computed from the domain CA's key.
    pub id: OwnerId,
    /// Name for people.
    pub name: String,
}

/// One device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestDevice {
    /// The `serialNumber` of the IDevID's subject, 1 to [`MAX_SERIAL`] bytes.
    pub serial: String,
    /// Model name.
    pub model: Option<String>,
    /// SHA-256 of the IDevID certificate (DER).
    pub idevid_sha256: Digest,
    /// SHA-256 of the IDevID's SubjectPublicKeyInfo (DER).
    pub idevid_spki_sha256: Digest,
    /// How the birth key was made.
    pub key_origin: KeyOrigin,
    /// Where its usage description is (RFC 8520).
    pub mud_url: Option<String>,
    /// Its Wi-Fi Easy Connect bootstrapping URI, where it has a bootstrapping key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpp_uri: Option<String>,
    /// Its journal so far, from the first entry.
    pub journal: Vec<Sealed>,
}

/// Why a manifest was refused, though its signature holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// It is over [`MAX_MANIFEST`] bytes.
    #[error(
        "the manifest has {found} bytes, over the limit of {MAX_MANIFEST}: ask for it in parts"
    )]
    TooLarge {
        /// Its size in bytes.
        found: usize,
    },
    /// It is no JSON of this form.
    #[error("the manifest cannot be read: {message}")]
    Malformed {
        /// What the reader said.
        message: String,
    },
    /// It has another format or version.
    #[error("the manifest says its format is {found:?}; this program reads {MANIFEST_FORMAT}")]
    Format {
        /// What it says (at most 64 characters).
        found: String,
    },
    /// It is for somebody else.
    #[error("the manifest is for owner {found} ({name}), not for this one ({expected})")]
    OtherOwner {
        /// Whom it is for.
        found: OwnerId,
        /// That owner's name, as the manufacturer writes it.
        name: String,
        /// Who reads it.
        expected: OwnerId,
    },
    /// There is no anchor, or the manufacturer's name is not that of the first one.
    #[error("the manifest's manufacturer id is not that of its first anchor")]
    ManufacturerId,
    /// A serial number is empty or too long.
    #[error("device {index} of the manifest has no serial number of 1 to {MAX_SERIAL} bytes")]
    Serial {
        /// Which device, from 0.
        index: usize,
    },
    /// A serial number stands twice.
    #[error("serial number {serial} stands twice in the manifest")]
    Twice {
        /// Which.
        serial: String,
    },
    /// A journal is not whole.
    #[error("the journal of device {serial} does not verify: {error}")]
    Journal {
        /// Whose.
        serial: String,
        /// What is wrong.
        error: JournalError,
    },
}

impl Manifest {
    /// Step 2: reads and checks a manifest whose signature holds, for this `owner`.
    ///
    /// # Errors
    /// [`ManifestError`] for the first fault.
    pub fn read(json: &[u8], owner: OwnerId) -> Result<Self, ManifestError> {
        if json.len() > MAX_MANIFEST {
            return Err(ManifestError::TooLarge { found: json.len() });
        }
        let manifest: Self =
            serde_json::from_slice(json).map_err(|error| ManifestError::Malformed {
                message: error.to_string(),
            })?;
        if manifest.format != MANIFEST_FORMAT {
            let found = manifest.format.chars().take(64).collect();
            return Err(ManifestError::Format { found });
        }
        if manifest.owner.id != owner {
            return Err(ManifestError::OtherOwner {
                found: manifest.owner.id,
                name: manifest.owner.name.clone(),
                expected: owner,
            });
        }
        manifest.check_devices()?;
        Ok(manifest)
    }

    /// The device's name under this manufacturer.
    #[must_use]
    pub fn device_id(&self, device: &ManifestDevice) -> DeviceId {
        DeviceId::new(self.manufacturer.id, &device.serial)
    }

    fn check_devices(&self) -> Result<(), ManifestError> {
        let anchor = self
            .manufacturer
            .anchors
            .first()
            .ok_or(ManifestError::ManufacturerId)?;
        let anchor = Certificate::from_der(anchor).map_err(|_| ManifestError::ManufacturerId)?;
        if ManufacturerId::of_anchor(anchor.public_key().spki_der()) != self.manufacturer.id {
            return Err(ManifestError::ManufacturerId);
        }
        let mut serials = std::collections::BTreeSet::new();
        for (index, device) in self.devices.iter().enumerate() {
            if device.serial.is_empty() || device.serial.len() > MAX_SERIAL {
                return Err(ManifestError::Serial { index });
            }
            if !serials.insert(device.serial.as_str()) {
                return Err(ManifestError::Twice {
                    serial: device.serial.clone(),
                });
            }
            let subject = Subject::Device(self.device_id(device));
            verify_chain(subject, &device.journal, None).map_err(|error| {
                ManifestError::Journal {
                    serial: device.serial.clone(),
                    error,
                }
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;
    use crate::journal::{Action, Actor, ActorKind, ChainHead, Entry};

    /// A self-signed P-256 certificate, made for these tests.
    const ANCHOR: &str = "MIIBgTCCASegAwIBAgIUCMrkqWNHY6999JaCJYDoG+DmT4owCgYIKoZIzj0EAwIwFTETMBEGA1UEAwwKVGVzdCBtYWtlcjAgFw0yNjExMjIyMDM3NTBaGA8yMTI2MTAyOTIwMzc1MFowFTETMBEGA1UEAwwKVGVzdCBtYWtlcjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABGShBjRmK5sEvmtrDZvECTbJwmLT+1dZtbn1H23sFXIfvsSLAXwHgvZLA4gZ7ysFoCCW7Ht7kLIqPoqpH5cMkYqjUzBRMB0GA1UdDgQWBBSl+6rE0V8ZNGJoFG8S01V+RyqutTAfBgNVHSMEGDAWgBSl+6rE0V8ZNGJoFG8S01V+RyqutTAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIQDB67zn0zeDbMM+jRJeQWPbP5FZs/VGtVct+bQcNl4WDAIgZcyX9tPGv3RxOWUbLu1JNWpM61YbMteTPU436oSEh8c=";

    fn manifest() -> Manifest {
        let anchor = base64::engine::general_purpose::STANDARD
            .decode(ANCHOR)
            .unwrap();
        let spki = Certificate::from_der(&anchor).unwrap();
        let manufacturer = ManufacturerId::of_anchor(spki.public_key().spki_der());
        let id = DeviceId::new(manufacturer, "A-1");
        let entry = Entry::new(
            Subject::Device(id),
            Action::Provisioned,
            Actor::new(ActorKind::Factory, "line 1"),
            Timestamp::UNIX_EPOCH,
        );
        Manifest {
            format: MANIFEST_FORMAT.to_owned(),
            manufacturer: ManifestManufacturer {
                id: manufacturer,
                name: "Maker".to_owned(),
                anchors: vec![anchor],
                masa_url: None,
                masa_anchors: vec![],
                idevid_rules: IdevidRules::default(),
            },
            owner: ManifestOwner {
                id: OwnerId([7; 16]),
                name: "Buyer".to_owned(),
            },
            created_at: Timestamp::UNIX_EPOCH,
            devices: vec![ManifestDevice {
                serial: "A-1".to_owned(),
                model: None,
                idevid_sha256: Digest::of(b"certificate"),
                idevid_spki_sha256: Digest::of(b"key"),
                key_origin: KeyOrigin::Factory,
                mud_url: None,
                dpp_uri: None,
                journal: vec![Sealed::seal(&ChainHead::EMPTY, &entry)],
            }],
        }
    }

    fn read(manifest: &Manifest) -> Result<Manifest, ManifestError> {
        Manifest::read(&serde_json::to_vec(manifest).unwrap(), OwnerId([7; 16]))
    }

    #[test]
    fn a_sound_manifest_is_read_back() {
        assert_eq!(read(&manifest()).unwrap(), manifest());
    }

    #[test]
    fn another_owners_manifest_is_refused() {
        let json = serde_json::to_vec(&manifest()).unwrap();
        let error = Manifest::read(&json, OwnerId([8; 16])).unwrap_err();
        assert!(matches!(error, ManifestError::OtherOwner { .. }), "{error}");
    }

    #[test]
    fn an_altered_journal_is_refused_by_name() {
        let mut forged = manifest();
        forged.devices[0].journal[0].text = forged.devices[0].journal[0]
            .text
            .replace("line 1", "line 2");
        let error = read(&forged).unwrap_err();
        assert_eq!(
            error,
            ManifestError::Journal {
                serial: "A-1".to_owned(),
                error: JournalError::Altered { seq: 1 }
            }
        );
    }

    #[test]
    fn a_journal_of_another_device_is_refused() {
        let mut forged = manifest();
        forged.devices[0].serial = "A-2".to_owned();
        assert!(matches!(
            read(&forged).unwrap_err(),
            ManifestError::Journal {
                error: JournalError::Foreign { seq: 1 },
                ..
            }
        ));
    }

    #[test]
    fn a_serial_twice_or_empty_is_refused() {
        let mut twice = manifest();
        twice.devices.push(twice.devices[0].clone());
        assert!(matches!(
            read(&twice).unwrap_err(),
            ManifestError::Twice { .. }
        ));
        let mut empty = manifest();
        empty.devices[0].serial.clear();
        assert_eq!(
            read(&empty).unwrap_err(),
            ManifestError::Serial { index: 0 }
        );
    }

    #[test]
    fn a_borrowed_manufacturer_name_is_refused() {
        let mut forged = manifest();
        forged.manufacturer.id = ManufacturerId([9; 16]);
        assert_eq!(read(&forged).unwrap_err(), ManifestError::ManufacturerId);
    }

    #[test]
    fn unknown_fields_formats_and_truncations_are_refused() {
        let json = serde_json::to_vec(&manifest()).unwrap();
        for end in 0..json.len() {
            assert!(Manifest::read(&json[..end], OwnerId([7; 16])).is_err());
        }
        let mut other = manifest();
        other.format = "vouchsafe-manifest/2".to_owned();
        assert!(matches!(
            read(&other).unwrap_err(),
            ManifestError::Format { .. }
        ));
    }
}
