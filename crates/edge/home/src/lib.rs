//! The data folder of a service, as controller and manufacturer have one: a configuration written last, so
//! that a folder that has it is whole; private keys in their store; certificates as PEM beside it.
//!
//! 1. [`read_config`] reads and checks `config.toml`.
//! 2. [`key_store`] and [`store_url`] take relative addresses from the folder, so that it can be moved.
//! 3. [`key`], [`read_chain`] and [`write_chain`] open what is there and make what is missing.
//! 4. [`server_identity`] gives a listener its certificate, made anew before it ends.

mod config;
mod error;
mod identity;
mod period;

use std::path::Path;
use std::sync::Arc;

use vouchsafe_keystore::{Algorithm, KeyStore, StoreUri, write_file};
use vouchsafe_trust::{Certificate, Signer};

pub use config::{CONFIG_FILE, ConfigError, read_config};
pub use error::HomeError;
pub use identity::{BACKDATE, ServerIdentity, renewal_time, server_identity, validity};
pub use period::Period;

/// The key store's address, relative paths taken from the data folder.
///
/// # Errors
/// [`HomeError::Keys`] for what is no address.
pub fn key_store(dir: &Path, address: &str) -> Result<StoreUri, HomeError> {
    let mut address: StoreUri = address.parse().map_err(vouchsafe_keystore::Error::from)?;
    address.resolve_from(dir);
    Ok(address)
}

/// The store's address, a relative file taken from the data folder.
#[must_use]
pub fn store_url(dir: &Path, url: &str) -> String {
    match url.strip_prefix("sqlite:") {
        Some(file) if !file.starts_with('/') => format!("sqlite:{}", dir.join(file).display()),
        _ => url.to_owned(),
    }
}

/// The key of this label, made if there is none.
///
/// # Errors
/// [`HomeError::Keys`].
pub fn key(
    keys: &KeyStore,
    label: &str,
    algorithm: Algorithm,
) -> Result<Arc<dyn Signer>, HomeError> {
    match keys.load(label) {
        Err(vouchsafe_keystore::Error::NotFound { .. }) => Ok(keys.create(label, algorithm)?),
        other => Ok(other?),
    }
}

/// Reads the certificates of a PEM file.
///
/// # Errors
/// [`HomeError::Read`], [`HomeError::Certificate`].
pub fn read_chain(path: &Path) -> Result<Vec<Certificate>, HomeError> {
    let pem = std::fs::read_to_string(path).map_err(|source| HomeError::Read {
        path: path.to_owned(),
        source,
    })?;
    Certificate::many_from_pem(&pem).map_err(|source| HomeError::Certificate {
        path: path.to_owned(),
        source,
    })
}

/// Writes certificates as PEM, whole or not at all. What is the same already is left as it is, so that a
/// read-only folder can be opened.
///
/// # Errors
/// [`HomeError::Keys`], which names the file.
pub fn write_chain(path: &Path, chain: &[Certificate]) -> Result<(), HomeError> {
    let pem: String = chain.iter().map(Certificate::pem).collect();
    if std::fs::read(path).is_ok_and(|present| present == pem.as_bytes()) {
        return Ok(());
    }
    Ok(write_file(path, pem.as_bytes())?)
}
