//! The birth folder: everything a device is born with and keeps for life.
//!
//! | file | what |
//! | --- | --- |
//! | `idevid.pem` | the birth certificate, then its issuers |
//! | `masa-anchors.pem` | whose vouchers the device believes |
//! | `device.toml` | `serial`, `model`, `key_store`, `key_label`; written last |
//! | `keys/`, `sealing.key` | the private key, where the factory made it |
//! | `dpp.key` | the bootstrapping key for Wi-Fi Easy Connect, sealed, where it has one |
//! | `dpp-hostap.key` | the same in clear for hostap, where that was asked for |
//!
//! A key that the factory made lies in the folder together with what seals it: the folder is the
//! secret, to be put into one device and wiped here.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vouchsafe_fleet::Refusal;
use vouchsafe_home::write_chain;
use vouchsafe_keystore::{Algorithm, KeyStore, StoreUri, write_file};
use vouchsafe_trust::{Certificate, PublicKey, Secret, Signer};

use crate::bootstrapping::{Bootstrapping, LabelOf, PRIVATE_KEY_FILE};
use crate::factory::FactoryError;
use crate::sales::refused;

/// Where the key of a device born at the factory is, seen from its birth folder.
pub const KEY_STORE: &str = "file:keys?sealing-key=sealing.key";

/// The label of the birth key in its store.
pub const KEY_LABEL: &str = "idevid";

/// `device.toml`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceFile {
    /// The serial number of the birth certificate's subject.
    pub serial: String,
    /// The model, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Address of the key store; relative paths are taken from the birth folder.
    pub key_store: String,
    /// The birth key's label in it.
    pub key_label: String,
    /// The URI of its bootstrapping key, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dpp_uri: Option<String>,
}

/// What goes into a birth folder, beside the key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Birth<'a> {
    pub(crate) serial: &'a str,
    pub(crate) model: Option<&'a str>,
    /// Leaf first.
    pub(crate) chain: &'a [Certificate],
    pub(crate) masa_anchors: &'a [Certificate],
    pub(crate) dpp_uri: Option<&'a str>,
}

/// The folder of a device below `parent`. Serial numbers come from lists and requests, so one that
/// would lead anywhere else is refused.
///
/// # Errors
/// [`FactoryError::Refused`] with `bad-serial`.
pub fn birth_folder(parent: &Path, serial: &str) -> Result<PathBuf, FactoryError> {
    let mut components = Path::new(serial).components();
    match (components.next(), components.next()) {
        (Some(Component::Normal(name)), None) if name == serial => Ok(parent.join(serial)),
        _ => Err(refused(Refusal::BadSerial)),
    }
}

/// The folder's key; made when there is none, so that a run that was broken off goes on with the
/// key that it may have had certified. Blocks.
pub(crate) fn key(folder: &Path, algorithm: Algorithm) -> Result<Arc<dyn Signer>, FactoryError> {
    let keys = key_store(folder)?;
    match keys.load(KEY_LABEL) {
        Err(vouchsafe_keystore::Error::NotFound { .. }) => Ok(keys.create(KEY_LABEL, algorithm)?),
        other => Ok(other?),
    }
}

/// The folder's birth key as [`key`] gives it, and the URI of its bootstrapping key where it gets
/// one. Blocks.
pub(crate) fn keys(
    folder: &Path,
    algorithm: Algorithm,
    bootstrapping: Option<&Bootstrapping>,
    label: LabelOf<'_>,
) -> Result<(PublicKey, Option<String>), FactoryError> {
    let Some(wanted) = bootstrapping else {
        return Ok((key(folder, algorithm)?.public_key().clone(), None));
    };
    if wanted.birth_key {
        let made_before = !folder.join(PRIVATE_KEY_FILE).exists();
        if made_before
            && key_store(folder)?
                .list()?
                .iter()
                .any(|one| one == KEY_LABEL)
        {
            return Err(FactoryError::Bootstrapping(
                "this birth folder has a key already, which cannot become the bootstrapping key"
                    .to_owned(),
            ));
        }
    }
    let made = wanted.key_of(folder, algorithm, label)?;
    if wanted.birth_key {
        put_key(folder, &made.as_birth_key()?.0)?;
    }
    let birth_key = key(folder, algorithm)?.public_key().clone();
    Ok((birth_key, Some(made.uri)))
}

/// Puts a key made before into the folder, unless it is there already. Blocks.
pub(crate) fn put_key(folder: &Path, pkcs8: &Secret) -> Result<(), FactoryError> {
    match key_store(folder)?.import(KEY_LABEL, pkcs8.expose()) {
        Ok(_) | Err(vouchsafe_keystore::Error::LabelExists { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Writes the rest of the folder, the description last: a folder that has it is whole. Blocks.
pub(crate) fn write(folder: &Path, birth: &Birth<'_>) -> Result<(), FactoryError> {
    write_chain(&folder.join("idevid.pem"), birth.chain)?;
    write_chain(&folder.join("masa-anchors.pem"), birth.masa_anchors)?;
    let description = DeviceFile {
        serial: birth.serial.to_owned(),
        model: birth.model.map(str::to_owned),
        key_store: KEY_STORE.to_owned(),
        key_label: KEY_LABEL.to_owned(),
        dpp_uri: birth.dpp_uri.map(str::to_owned),
    };
    let description = toml::to_string_pretty(&description).unwrap_or_default();
    write_file(&folder.join("device.toml"), description.as_bytes())?;
    Ok(())
}

fn key_store(folder: &Path) -> Result<KeyStore, FactoryError> {
    let mut address: StoreUri = KEY_STORE.parse().map_err(vouchsafe_keystore::Error::from)?;
    address.resolve_from(folder);
    Ok(KeyStore::open_uri(&address)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_does_not_lead_out_of_the_folder() {
        let out = Path::new("/births");
        assert_eq!(birth_folder(out, "A-1").unwrap(), Path::new("/births/A-1"));
        for serial in ["../x", "/etc/x", "a/b", "..", ".", "", "a/", "./a"] {
            assert!(birth_folder(out, serial).is_err(), "{serial:?}");
        }
    }
}
