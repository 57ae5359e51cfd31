//! How access points and devices know this controller: its URI, and the hash of its key.

use std::net::SocketAddr;

use vouchsafe_api::DppController;
use vouchsafe_dpp::authentication::VERSION;
use vouchsafe_dpp::uri::BootstrappingUri;
use vouchsafe_dpp::{Agreement as _, Error};

use super::keys::Keys;
use crate::config::DppConfig;

/// What people give to access points and devices, for a listener at `listen`.
///
/// # Errors
/// [`Error`] for a configured host that no URI can hold.
pub(crate) fn shown(
    keys: &Keys,
    config: &DppConfig,
    listen: SocketAddr,
) -> Result<DppController, Error> {
    let own = keys.bootstrapping();
    let public = own.public_key();
    let mut uri = BootstrappingUri::new(public.clone());
    uri.version = Some(VERSION);
    if !config.host.is_empty() {
        uri.host = Some(config.host.parse()?);
    }
    let ring = keys.ring();
    let signing_keys = ring
        .all()
        .map(|key| key.c_sign.public().kid().to_owned())
        .collect();
    Ok(DppController {
        uri: uri.to_string(),
        key_sha256: key_sha256(keys),
        curve: public.curve().jwk_name().to_owned(),
        listen: listen.to_string(),
        signing_keys,
    })
}

/// The `pkhash` of hostapd's `dpp_controller`, in hexadecimal digits.
pub(crate) fn key_sha256(keys: &Keys) -> String {
    let own = keys.bootstrapping();
    let hash = own.public_key().hash();
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
