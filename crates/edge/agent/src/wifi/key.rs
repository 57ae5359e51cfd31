//! The device's bootstrapping key: made at the factory or by the device itself, and kept for life.
//!
//! | place | what |
//! | --- | --- |
//! | `birth/device.toml` | `dpp_uri`: the text on the label, with the public half |
//! | `birth/dpp.key` | the private half: one big-endian number, sealed under the sealing key of the key store |
//! | the key store | or, where `device.toml` says `dpp_key`, the private half under that label: in a token or a TPM it never leaves |

use std::path::Path;
use std::sync::Arc;

use vouchsafe_dpp::uri::BootstrappingUri;
use vouchsafe_dpp::{
    Agreement, BootstrappingKey, BootstrappingPublicKey, Curve, Error, Misuse, Point, PrivateKey,
};
use vouchsafe_keystore::{Algorithm, KeyAgreement, KeyStore, Sealer, StoreUri, random};
use vouchsafe_trust::Secret;

use crate::birth::{Birth, FOLDER};
use crate::error::LocalError;

/// The private half in the birth folder.
pub(crate) const FILE: &str = "dpp.key";

/// The label under which it is sealed.
const SEALED_AS: &str = "dpp";

/// The highest version of the protocol that a URI of ours announces.
const VERSION: u8 = 2;

/// The device's bootstrapping key, where it is.
#[derive(Debug, Clone)]
pub(crate) enum OwnKey {
    /// In memory, from a sealed file.
    InFile(Arc<BootstrappingKey>),
    /// In the key store.
    InStore(Arc<StoredKey>),
}

impl OwnKey {
    /// For an exchange of our own.
    pub(crate) fn agreement(&self) -> Arc<dyn Agreement> {
        match self {
            Self::InFile(key) => Arc::<BootstrappingKey>::clone(key),
            Self::InStore(key) => Arc::<StoredKey>::clone(key),
        }
    }

    /// The private half, for a supplicant that speaks the protocol itself; none where it cannot
    /// leave.
    pub(crate) fn private(&self) -> Option<&PrivateKey> {
        match self {
            Self::InFile(key) => Some(key.private()),
            Self::InStore(_) => None,
        }
    }
}

/// A bootstrapping key that agrees where it is.
#[derive(Debug)]
pub(crate) struct StoredKey {
    public: BootstrappingPublicKey,
    key: Arc<dyn KeyAgreement>,
}

impl StoredKey {
    fn new(key: Arc<dyn KeyAgreement>) -> Result<Self, Error> {
        let curve = match key.algorithm() {
            Algorithm::EcdsaP384 => Curve::P384,
            _ => Curve::P256,
        };
        let point = Point::from_sec1(curve, key.public_point())?;
        Ok(Self {
            public: BootstrappingPublicKey::new(point),
            key,
        })
    }
}

impl Agreement for StoredKey {
    fn public_key(&self) -> &BootstrappingPublicKey {
        &self.public
    }

    fn agree_x(&self, peer: &Point) -> Result<Secret, Error> {
        self.key.agree_x(peer.to_uncompressed()).map_err(|error| {
            tracing::warn!(%error, "the bootstrapping key does not agree");
            Misuse::KeyDevice.into()
        })
    }
}

/// The device's bootstrapping key. Blocks.
pub(crate) fn of(dir: &Path, birth: &Birth) -> Result<OwnKey, LocalError> {
    let folder = dir.join(FOLDER);
    let device_file = folder.join("device.toml");
    let absent = |why: &str| LocalError::damaged(&device_file, why);
    let uri = birth.device.dpp_uri.as_deref().ok_or_else(|| {
        absent("it names no bootstrapping key (dpp_uri), which Wi-Fi Easy Connect begins with")
    })?;
    let uri = BootstrappingUri::parse(uri).map_err(|error| absent(&error.to_string()))?;
    let file = folder.join(FILE);
    let (key, from) = match &birth.device.dpp_key {
        Some(label) => {
            let key = KeyStore::open_uri(&birth.keys)?.load_agreement(label)?;
            let key = StoredKey::new(key).map_err(|error| absent(&error.to_string()))?;
            (OwnKey::InStore(Arc::new(key)), &device_file)
        }
        None if !file.exists() => {
            let why = "it is not there, and device.toml names no key of the key store (dpp_key)";
            return Err(LocalError::damaged(&file, why));
        }
        None => {
            let scalar = Sealer::beside(&birth.keys)?.read(&file, SEALED_AS)?;
            let key = PrivateKey::from_bytes(uri.key().curve(), scalar.expose())
                .map_err(|error| LocalError::damaged(&file, error))?;
            (OwnKey::InFile(Arc::new(BootstrappingKey::new(key))), &file)
        }
    };
    if key.agreement().public_key() != uri.key() {
        let why = "the bootstrapping key is not that of the label";
        return Err(LocalError::damaged(from, why));
    }
    Ok(key)
}

/// Makes a bootstrapping key in a birth folder, unless a run that was broken off made it, and gives
/// its URI. Blocks.
pub(crate) fn make(
    folder: &Path,
    keys: &StoreUri,
    curve: Curve,
    serial: &str,
) -> Result<String, LocalError> {
    let file = folder.join(FILE);
    let sealer = Sealer::beside(keys)?;
    let failed = |error| LocalError::damaged(&file, error);
    let private = if file.exists() {
        PrivateKey::from_bytes(curve, sealer.read(&file, SEALED_AS)?.expose()).map_err(failed)?
    } else {
        let seed = Secret::new(random::bytes::<80>().to_vec());
        let private = PrivateKey::from_seed(curve, seed.expose()).map_err(failed)?;
        sealer.write(&file, SEALED_AS, private.to_bytes().expose())?;
        private
    };
    let key = BootstrappingKey::new(private);
    Ok(uri(key.public_key(), serial))
}

/// Makes a bootstrapping key in the key store, unless a run that was broken off made it, and gives its
/// URI. Blocks.
pub(crate) fn make_in_store(
    keys: &StoreUri,
    label: &str,
    curve: Curve,
    serial: &str,
) -> Result<String, LocalError> {
    let algorithm = match curve {
        Curve::P256 => Algorithm::EcdsaP256,
        Curve::P384 => Algorithm::EcdsaP384,
        other => {
            return Err(LocalError::Config {
                key: "dpp",
                why: format!("key stores have no keys on {other}: P-256 or P-384"),
            });
        }
    };
    let store = KeyStore::open_uri(keys)?;
    let key = match store.load_agreement(label) {
        Err(vouchsafe_keystore::Error::NotFound { .. }) => {
            store.create_agreement(label, algorithm)?
        }
        loaded => loaded?,
    };
    let key = StoredKey::new(key).map_err(|error| LocalError::Config {
        key: "dpp",
        why: error.to_string(),
    })?;
    Ok(uri(key.public_key(), serial))
}

fn uri(key: &BootstrappingPublicKey, serial: &str) -> String {
    let mut uri = BootstrappingUri::new(key.clone());
    uri.version = Some(VERSION);
    uri.information = Some(format!("SN={serial}"));
    // A serial number that a URI cannot hold is left out, not cut.
    if uri.check().is_err() {
        uri.information = None;
    }
    uri.to_string()
}
