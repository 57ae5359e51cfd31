//! `[radius.radsec]` in `gate.toml`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// RADIUS over TLS.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RadsecConfig {
    /// Where connections arrive; the registered port is 2083.
    pub listen: SocketAddr,
    /// Who may connect.
    #[serde(rename = "client")]
    pub clients: Vec<RadsecClientConfig>,
}

/// One RadSec client: known by its very certificate, or by a name in one that an authority vouches for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RadsecClientConfig {
    /// A name for people, by which its sessions are kept; no other client has it.
    pub name: String,
    /// The SHA-256 of its certificate: `sha256:` and 64 hexadecimal digits.
    pub certificate: Option<String>,
    /// A DNS name or the common name in its certificate.
    pub host: Option<String>,
    /// The authority of that certificate, PEM; the domain CA without. A certificate of the domain CA must
    /// be one for servers as well, which those of devices never are.
    pub anchor: Option<PathBuf>,
    /// Whether it moves a session to another segment when it is asked (CoA-Request, RFC 5176).
    #[serde(default)]
    pub coa: bool,
}

impl RadsecConfig {
    pub(crate) fn resolve(&mut self, dir: &Path) {
        for anchor in self.clients.iter_mut().filter_map(|it| it.anchor.as_mut()) {
            *anchor = dir.join(&*anchor);
        }
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        for client in &self.clients {
            let name = &client.name;
            match (&client.certificate, &client.host, &client.anchor) {
                (Some(text), None, None) if fingerprint(text).is_some() => {}
                (Some(_), None, None) => {
                    return Err(format!("`{name}`: certificate is sha256: and 64 digits"));
                }
                (None, Some(host), _) if !host.is_empty() => {}
                _ => {
                    let problem = "either certificate, or host with or without anchor";
                    return Err(format!("radius.radsec.client `{name}`: {problem}"));
                }
            }
        }
        Ok(())
    }
}

/// The fingerprint that is written so.
pub(super) fn fingerprint(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix("sha256:")?.replace(':', "");
    hex::decode(digits).ok()?.try_into().ok()
}
