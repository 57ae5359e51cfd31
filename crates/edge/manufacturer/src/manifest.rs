//! The manifest: what the buyer's controller needs to know its devices before they knock.
//!
//! 1. The devices that this owner has now are read page by page, each with its journal.
//! 2. The JSON is signed by the voucher signer (CMS): it verifies against `masa-ca.pem`, which no
//!    device's key leads to.
//! 3. What would grow over the reader's limit is split: each part says where the next begins.

use vouchsafe_fleet::manifest::{
    MANIFEST_FORMAT, MAX_MANIFEST, Manifest, ManifestDevice, ManifestManufacturer, ManifestOwner,
};
use vouchsafe_fleet::{Device, Owner, Refusal, Sealed, State, Subject};
use vouchsafe_store::{DeviceFilter, DeviceKey};
use vouchsafe_trust::{Certificate, cms};

use crate::factory::{Factory, FactoryError, off_thread};
use crate::sales::refused;

/// Devices read at once.
const PAGE: u32 = 256;

/// Journal entries read at once.
const ENTRIES: u32 = 512;

/// A part is closed when its devices take this many bytes; the rest is headroom for one device.
const PART: usize = MAX_MANIFEST / 4 * 3;

/// What goes into a manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ManifestOptions {
    /// The MASA's address, where the one in the birth certificates does not hold.
    pub masa_url: Option<String>,
    /// Only the devices behind this one: the `next` of the part before.
    pub after: Option<DeviceKey>,
}

/// A signed manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedManifest {
    /// CMS SignedData over the JSON.
    pub bytes: Vec<u8>,
    /// How many devices it lists.
    pub devices: usize,
    /// Where the next part begins; none when this was the last.
    pub next: Option<DeviceKey>,
}

impl Factory {
    /// Makes the manifest of what an owner bought and has not given up.
    ///
    /// # Errors
    /// [`FactoryError`]; [`FactoryError::Refused`] with `owner-blocked`.
    pub async fn manifest(
        &self,
        owner: &Owner,
        options: &ManifestOptions,
    ) -> Result<SignedManifest, FactoryError> {
        if owner.blocked.is_some() {
            return Err(refused(Refusal::OwnerBlocked));
        }
        // 1
        let filter = DeviceFilter {
            owner: Some(owner.id),
            state: Some(State::Transferred),
            ..DeviceFilter::default()
        };
        let mut devices = Vec::new();
        let mut size = 0;
        let mut after = options.after.clone();
        let next = 'parts: loop {
            let page = self.store.devices(&filter, after.as_ref(), PAGE).await?;
            let full = page.len() == PAGE as usize;
            for device in page {
                after = Some(DeviceKey::of(&device));
                let device = self.listed(device).await?;
                size += weight(&device);
                devices.push(device);
                if size >= PART {
                    break 'parts after;
                }
            }
            if !full {
                break None;
            }
        };
        // 2
        let listed = devices.len();
        let manifest = Manifest {
            format: MANIFEST_FORMAT.to_owned(),
            manufacturer: ManifestManufacturer {
                id: self.home.id,
                name: self.home.config.name.clone(),
                anchors: ders(self.anchors.certificates()),
                masa_url: options.masa_url.clone(),
                masa_anchors: ders(self.home.masa_anchors.certificates()),
                idevid_rules: vouchsafe_fleet::IdevidRules::default(),
            },
            owner: ManifestOwner {
                id: owner.id,
                name: owner.name.clone(),
            },
            created_at: self.clock.now(),
            devices,
        };
        let factory = self.clone();
        let bytes = off_thread(move || factory.sign_document(&manifest)).await??;
        Ok(SignedManifest {
            bytes,
            devices: listed,
            next,
        })
    }

    fn sign_document(&self, manifest: &Manifest) -> Result<Vec<u8>, FactoryError> {
        let content = serde_json::to_vec(manifest).map_err(|error| FactoryError::List {
            line: 0,
            message: error.to_string(),
        })?;
        Ok(cms::sign(
            &content,
            &cms::SignOptions {
                content_type: cms::ID_DATA,
                certificates: &self.home.voucher_chain,
                signing_time: Some(manifest.created_at),
            },
            &*self.home.voucher_signer,
        )?)
    }

    async fn listed(&self, device: Device) -> Result<ManifestDevice, FactoryError> {
        let mut journal: Vec<Sealed> = Vec::new();
        loop {
            let seq = journal.last().map_or(0, |sealed| sealed.seq);
            let page = self
                .store
                .journal(Subject::Device(device.id), seq, ENTRIES)
                .await?;
            let full = page.len() == ENTRIES as usize;
            journal.extend(page.into_iter().map(|positioned| positioned.sealed));
            if !full {
                break;
            }
        }
        let dpp_uri = self.dpp_uri(device.id).await?;
        Ok(ManifestDevice {
            serial: device.serial,
            model: device.model,
            idevid_sha256: device
                .idevid_sha256
                .unwrap_or(vouchsafe_fleet::Digest::ZERO),
            idevid_spki_sha256: device
                .idevid_spki_sha256
                .unwrap_or(vouchsafe_fleet::Digest::ZERO),
            key_origin: device.key_origin,
            mud_url: device.mud_url,
            dpp_uri,
            journal,
        })
    }
}

/// About how many bytes of JSON a device takes; quotes in its journal's texts are escaped.
fn weight(device: &ManifestDevice) -> usize {
    let journal: usize = device
        .journal
        .iter()
        .map(|sealed| sealed.text.len() + sealed.text.matches('"').count() + 200)
        .sum();
    let uri = device.dpp_uri.as_ref().map_or(0, String::len);
    journal + device.serial.len() + uri + 600
}

fn ders(certificates: &[Certificate]) -> Vec<Vec<u8>> {
    certificates
        .iter()
        .map(|certificate| certificate.der().to_vec())
        .collect()
}
