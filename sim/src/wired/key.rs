//! A device's key as its supplicant needs it, where the key is in a sealed file of the device.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use vouchsafe_keystore::{Sealer, StoreUri};

/// The key with this label of the device whose agent's folder this is: PKCS#8, DER.
///
/// # Errors
/// The device has no such key, or keeps it where it does not leave.
pub fn private_key(dir: &Path, label: &str) -> anyhow::Result<Vec<u8>> {
    let birth = dir.join("birth");
    let file: toml::Table = fs::read_to_string(birth.join("device.toml"))?.parse()?;
    let keys = file.get("key_store").and_then(toml::Value::as_str);
    let mut keys: StoreUri = keys.context("no key store")?.parse()?;
    keys.resolve_from(&birth);
    let StoreUri::File { folder, .. } = &keys else {
        bail!("the key does not leave its store");
    };
    let sealed = fs::read(folder.join(format!("{label}.key")))?;
    let key = Sealer::beside(&keys)?.unseal(&format!("key/{label}"), &sealed)?;
    Ok(key.expose().to_vec())
}
