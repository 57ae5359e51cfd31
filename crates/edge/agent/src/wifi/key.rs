//! The device's bootstrapping key: made at the factory or by the device itself, in the birth folder
//! for life.
//!
//! | file | what |
//! | --- | --- |
//! | `birth/device.toml` | `dpp_uri`: the text on the label, with the public half |
//! | `birth/dpp.key` | the private half: one big-endian number, sealed under the sealing key of the key store |

use std::path::Path;
use std::sync::Arc;

use vouchsafe_dpp::uri::BootstrappingUri;
use vouchsafe_dpp::{Agreement as _, BootstrappingKey, Curve, PrivateKey};
use vouchsafe_keystore::{Sealer, StoreUri, random};
use vouchsafe_trust::Secret;

use crate::birth::{Birth, FOLDER};
use crate::error::LocalError;

/// The private half in the birth folder.
pub(crate) const FILE: &str = "dpp.key";

/// The label under which it is sealed.
const SEALED_AS: &str = "dpp";

/// The highest version of the protocol that a URI of ours announces.
const VERSION: u8 = 2;

/// The device's bootstrapping key. Blocks.
pub(crate) fn of(dir: &Path, birth: &Birth) -> Result<Arc<BootstrappingKey>, LocalError> {
    let folder = dir.join(FOLDER);
    let absent = |why: &str| LocalError::damaged(&folder.join("device.toml"), why);
    let uri = birth.device.dpp_uri.as_deref().ok_or_else(|| {
        absent("it names no bootstrapping key (dpp_uri), which Wi-Fi Easy Connect begins with")
    })?;
    let uri = BootstrappingUri::parse(uri).map_err(|error| absent(&error.to_string()))?;
    let file = folder.join(FILE);
    if !file.exists() {
        let why = "it is not there: bootstrapping keys are kept in this file, not in hardware";
        return Err(LocalError::damaged(&file, why));
    }
    let scalar = Sealer::beside(&birth.keys)?.read(&file, SEALED_AS)?;
    let key = PrivateKey::from_bytes(uri.key().curve(), scalar.expose())
        .map_err(|error| LocalError::damaged(&file, error))?;
    let key = BootstrappingKey::new(key);
    if key.public_key() != uri.key() {
        return Err(LocalError::damaged(&file, "it is not the key of the label"));
    }
    Ok(Arc::new(key))
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
    let mut uri = BootstrappingUri::new(key.public_key().clone());
    uri.version = Some(VERSION);
    uri.information = Some(format!("SN={serial}"));
    // A serial number that a URI cannot hold is left out, not cut.
    if uri.check().is_err() {
        uri.information = None;
    }
    Ok(uri.to_string())
}
