//! `[link]` in `gate.toml`.

use serde::Deserialize;
use vouchsafe_net::Origin;

/// Where the enrolled key is kept where nothing else is said.
pub const DEFAULT_KEYS: &str = "file:keys?sealing-key=sealing.key";

/// The gate's controller, on another machine or on this one.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkConfig {
    /// The registrar's address, `https://host:port`.
    pub controller: String,
    /// The key store of the enrolled key: `file:DIR?sealing-key=FILE`, `pkcs11:…` or `tpm:…`.
    #[serde(default = "default_keys")]
    pub keys: String,
}

impl LinkConfig {
    /// Whom to call.
    pub(crate) fn origin(&self) -> Result<Origin, String> {
        self.controller
            .parse()
            .map_err(|error: vouchsafe_net::OriginError| format!("link.controller: {error}"))
    }
}

fn default_keys() -> String {
    DEFAULT_KEYS.to_owned()
}
