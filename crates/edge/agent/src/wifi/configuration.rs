//! What the device was given by Wi-Fi Easy Connect, and how it keeps it.
//!
//! One file, `state/wifi.json`, replaced at once. Its secrets (passphrases, PSKs, private keys) are
//! sealed one by one under the sealing key of the device's key store; the rest is public, and is what
//! `status` shows.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vouchsafe_keystore::{Sealer, write_file};
use vouchsafe_trust::Secret;

use crate::birth::read;
use crate::error::LocalError;

/// The most networks of one configuration.
pub(crate) const MAX_NETWORKS: usize = 8;

/// The file's name in `state/`.
const FILE: &str = "wifi.json";

/// A configuration, its secrets open.
#[derive(Debug)]
pub(crate) struct Configuration {
    /// When it was given, by the device's clock.
    pub(crate) at: Timestamp,
    /// By whom: the controller's address, or `air`.
    pub(crate) from: String,
    /// Whether the network proved its own bootstrapping key as well.
    pub(crate) mutual: bool,
    /// The protocol's version that both sides spoke.
    pub(crate) version: u8,
    /// The networks, as they came: the first is preferred.
    pub(crate) networks: Vec<Network>,
}

/// A network and what opens it.
#[derive(Debug)]
pub(crate) struct Network {
    /// 1 to 32 bytes.
    pub(crate) ssid: Vec<u8>,
    /// The methods it may be joined by, as the configuration object names them: `psk`, `sae`, `dpp`,
    /// `dot1x`, joined by `+`.
    pub(crate) akm: String,
    /// A passphrase, for PSK and SAE.
    pub(crate) passphrase: Option<Secret>,
    /// By which the access point finds the passphrase (SAE password identifier).
    pub(crate) identifier: Option<String>,
    /// A PSK of 32 bytes, where there is no passphrase.
    pub(crate) psk: Option<Secret>,
    /// A connector, for DPP.
    pub(crate) connector: Option<Connector>,
    /// A certificate, for 802.1X.
    pub(crate) certificate: Option<Certificate>,
}

/// A connector with its key (Wi-Fi Easy Connect 3.0 §4.2).
#[derive(Debug)]
pub(crate) struct Connector {
    /// As it came, compact JWS.
    pub(crate) text: String,
    /// The configurator's key, SubjectPublicKeyInfo (DER).
    pub(crate) csign: Vec<u8>,
    /// The key for the privacy of reconfiguration, SubjectPublicKeyInfo (DER).
    pub(crate) pp_key: Option<Vec<u8>>,
    /// The private half of its `netAccessKey`, ECPrivateKey (RFC 5915) DER.
    pub(crate) net_access_key: Secret,
    /// When it ends.
    pub(crate) expires: Option<Timestamp>,
}

/// A certificate with its key.
#[derive(Debug)]
pub(crate) struct Certificate {
    /// Leaf first, PEM.
    pub(crate) chain: String,
    /// Its private key, PKCS#8 DER.
    pub(crate) key: Secret,
    /// The CA of the authentication server, PEM; absent when the server's own name must do.
    pub(crate) server_ca: Option<String>,
    /// The name in the authentication server's certificate.
    pub(crate) server_name: Option<String>,
}

/// What was given, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WifiStatus {
    /// When it was given.
    pub at: Timestamp,
    /// By whom: the controller's address, or `air`.
    pub from: String,
    /// Whether the network proved its own bootstrapping key as well.
    pub mutual: bool,
    /// The protocol's version.
    pub version: u8,
    /// The networks.
    pub networks: Vec<WifiNetworkStatus>,
}

/// A network, without what opens it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WifiNetworkStatus {
    /// Its SSID; bytes that are no text are replaced.
    pub ssid: String,
    /// Which methods it may be joined by.
    pub akm: String,
    /// Whether there is a connector, and when it ends.
    pub connector: bool,
    /// When the connector ends.
    pub expires: Option<Timestamp>,
    /// Whether there is a certificate.
    pub certificate: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    at: Timestamp,
    from: String,
    mutual: bool,
    version: u8,
    networks: Vec<StoredNetwork>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredNetwork {
    /// Base64.
    ssid: String,
    akm: String,
    /// Sealed secrets, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    passphrase: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identifier: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    psk: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    connector: Option<StoredConnector>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<StoredCertificate>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredConnector {
    text: String,
    csign: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pp_key: Option<String>,
    /// Sealed.
    net_access_key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredCertificate {
    chain: String,
    /// Sealed.
    key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server_ca: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server_name: Option<String>,
}

impl Configuration {
    /// Writes it below `state`; when this returns, it is durable. Blocks.
    pub(crate) fn write(&self, state: &Path, sealer: &Sealer) -> Result<(), LocalError> {
        let mut networks = Vec::with_capacity(self.networks.len());
        for (index, network) in self.networks.iter().enumerate() {
            let seal = |name: &str, secret: &Secret| {
                let sealed = sealer.seal(&label(index, name), secret.expose())?;
                Ok::<_, LocalError>(STANDARD.encode(sealed))
            };
            let connector = network.connector.as_ref().map(|connector| {
                Ok::<_, LocalError>(StoredConnector {
                    text: connector.text.clone(),
                    csign: STANDARD.encode(&connector.csign),
                    pp_key: connector.pp_key.as_ref().map(|key| STANDARD.encode(key)),
                    net_access_key: seal("net-access-key", &connector.net_access_key)?,
                    expires: connector.expires,
                })
            });
            let certificate = network.certificate.as_ref().map(|certificate| {
                Ok::<_, LocalError>(StoredCertificate {
                    chain: certificate.chain.clone(),
                    key: seal("key", &certificate.key)?,
                    server_ca: certificate.server_ca.clone(),
                    server_name: certificate.server_name.clone(),
                })
            });
            let sealed = |name, secret: &Option<Secret>| {
                secret.as_ref().map(|secret| seal(name, secret)).transpose()
            };
            networks.push(StoredNetwork {
                ssid: STANDARD.encode(&network.ssid),
                akm: network.akm.clone(),
                passphrase: sealed("passphrase", &network.passphrase)?,
                identifier: network.identifier.clone(),
                psk: sealed("psk", &network.psk)?,
                connector: connector.transpose()?,
                certificate: certificate.transpose()?,
            });
        }
        let stored = Stored {
            at: self.at,
            from: self.from.clone(),
            mutual: self.mutual,
            version: self.version,
            networks,
        };
        let path = file(state);
        let text = serde_json::to_vec_pretty(&stored)
            .map_err(|error| LocalError::damaged(&path, error))?;
        Ok(write_file(&path, &text)?)
    }

    /// Reads it back and opens its secrets; none when there is none. Blocks.
    pub(crate) fn read(state: &Path, sealer: &Sealer) -> Result<Option<Self>, LocalError> {
        let path = file(state);
        let Some(stored) = stored(&path)? else {
            return Ok(None);
        };
        let decode = |text: &str| {
            STANDARD
                .decode(text)
                .map_err(|error| LocalError::damaged(&path, error))
        };
        let mut networks = Vec::with_capacity(stored.networks.len());
        for (index, network) in stored.networks.into_iter().enumerate() {
            let open = |name: &str, text: &str| {
                let sealed = decode(text)?;
                Ok::<_, LocalError>(sealer.unseal(&label(index, name), &sealed)?)
            };
            let opened = |name, text: &Option<String>| {
                text.as_ref().map(|text| open(name, text)).transpose()
            };
            let connector = network.connector.map(|connector| {
                Ok::<_, LocalError>(Connector {
                    net_access_key: open("net-access-key", &connector.net_access_key)?,
                    csign: decode(&connector.csign)?,
                    pp_key: connector.pp_key.as_deref().map(decode).transpose()?,
                    text: connector.text,
                    expires: connector.expires,
                })
            });
            let certificate = network.certificate.map(|certificate| {
                Ok::<_, LocalError>(Certificate {
                    key: open("key", &certificate.key)?,
                    chain: certificate.chain,
                    server_ca: certificate.server_ca,
                    server_name: certificate.server_name,
                })
            });
            networks.push(Network {
                ssid: decode(&network.ssid)?,
                akm: network.akm,
                passphrase: opened("passphrase", &network.passphrase)?,
                identifier: network.identifier.clone(),
                psk: opened("psk", &network.psk)?,
                connector: connector.transpose()?,
                certificate: certificate.transpose()?,
            });
        }
        Ok(Some(Self {
            at: stored.at,
            from: stored.from,
            mutual: stored.mutual,
            version: stored.version,
            networks,
        }))
    }
}

/// What was given, without opening any secret; none when nothing was. Blocks.
pub(crate) fn status(state: &Path) -> Result<Option<WifiStatus>, LocalError> {
    let path = file(state);
    let Some(stored) = stored(&path)? else {
        return Ok(None);
    };
    let mut networks = Vec::with_capacity(stored.networks.len());
    for network in stored.networks {
        let ssid = STANDARD
            .decode(&network.ssid)
            .map_err(|error| LocalError::damaged(&path, error))?;
        networks.push(WifiNetworkStatus {
            ssid: String::from_utf8_lossy(&ssid).into_owned(),
            akm: network.akm,
            connector: network.connector.is_some(),
            expires: network.connector.and_then(|connector| connector.expires),
            certificate: network.certificate.is_some(),
        });
    }
    Ok(Some(WifiStatus {
        at: stored.at,
        from: stored.from,
        mutual: stored.mutual,
        version: stored.version,
        networks,
    }))
}

fn stored(path: &Path) -> Result<Option<Stored>, LocalError> {
    if !path.exists() {
        return Ok(None);
    }
    let stored: Stored =
        serde_json::from_str(&read(path)?).map_err(|error| LocalError::damaged(path, error))?;
    if stored.networks.len() > MAX_NETWORKS {
        let why = format!("it lists more than {MAX_NETWORKS} networks");
        return Err(LocalError::damaged(path, why));
    }
    Ok(Some(stored))
}

fn file(state: &Path) -> PathBuf {
    state.join(FILE)
}

/// A sealed secret belongs to its place: moved to another, it does not open.
fn label(network: usize, name: &str) -> String {
    format!("wifi.{network}.{name}")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    pub(crate) fn everything() -> Configuration {
        Configuration {
            at: "2026-11-23T00:00:00Z".parse().unwrap(),
            from: "192.0.2.1:8908".to_owned(),
            mutual: true,
            version: 2,
            networks: vec![
                Network {
                    ssid: b"plant".to_vec(),
                    akm: "dpp+sae".to_owned(),
                    passphrase: Some(secret("correct horse")),
                    identifier: Some("lamp-3".to_owned()),
                    psk: None,
                    connector: Some(Connector {
                        text: "e30.e30.AA".to_owned(),
                        csign: vec![0x30, 1],
                        pp_key: Some(vec![0x30, 2]),
                        net_access_key: secret("net access key"),
                        expires: None,
                    }),
                    certificate: None,
                },
                Network {
                    ssid: vec![0xff, b'"', b'\n'],
                    akm: "dot1x".to_owned(),
                    passphrase: None,
                    identifier: None,
                    psk: Some(secret("0123456789abcdef0123456789abcdef")),
                    connector: None,
                    certificate: Some(Certificate {
                        chain: "chain".to_owned(),
                        key: secret("private key"),
                        server_ca: Some("ca".to_owned()),
                        server_name: Some("radius.example".to_owned()),
                    }),
                },
            ],
        }
    }

    /// RFC 5216 §5.3: without an authority any server would pass, whatever name it shows.
    #[test]
    fn a_network_whose_server_nobody_vouches_for_is_not_used() {
        let mut network = everything().networks.swap_remove(1);
        assert_eq!(network.check(), Ok(()));
        network.akm = "sae+dot1x".to_owned();
        network.passphrase = Some(secret("correct horse"));
        network.certificate.as_mut().unwrap().server_ca = None;
        let refused = network.check().unwrap_err();
        assert_eq!(refused.code(), "configuration-server-authority");
    }

    #[test]
    fn what_was_given_comes_back_and_its_secrets_are_in_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let sealer = Sealer::new(&[7; 32]).unwrap();
        assert!(Configuration::read(dir.path(), &sealer).unwrap().is_none());
        let given = everything();
        given.write(dir.path(), &sealer).unwrap();
        let back = Configuration::read(dir.path(), &sealer).unwrap().unwrap();
        assert_eq!(back.networks.len(), 2);
        for (back, given) in back.networks.iter().zip(&given.networks) {
            assert_eq!((&back.ssid, &back.akm), (&given.ssid, &given.akm));
            let open = |secret: &Option<Secret>| secret.as_ref().map(|s| s.expose().to_vec());
            assert_eq!(open(&back.passphrase), open(&given.passphrase));
            assert_eq!(open(&back.psk), open(&given.psk));
        }
        let key = back.networks[0].connector.as_ref().unwrap();
        assert_eq!(key.net_access_key.expose(), b"net access key");
        let text = std::fs::read_to_string(dir.path().join(FILE)).unwrap();
        for planted in [
            "correct horse",
            "net access key",
            "private key",
            "0123456789",
        ] {
            assert!(!text.contains(planted));
            assert!(!text.contains(&STANDARD.encode(planted)));
        }
        let status = status(dir.path()).unwrap().unwrap();
        assert_eq!(status.networks[0].ssid, "plant");
        assert!(status.networks[1].certificate);
    }

    #[test]
    fn a_secret_moved_to_another_place_does_not_open() {
        let dir = tempfile::tempdir().unwrap();
        let sealer = Sealer::new(&[7; 32]).unwrap();
        everything().write(dir.path(), &sealer).unwrap();
        let path = dir.path().join(FILE);
        let mut stored: serde_json::Value =
            serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        stored["networks"][1]["psk"] = stored["networks"][0]["passphrase"].clone();
        std::fs::write(&path, serde_json::to_vec(&stored).unwrap()).unwrap();
        assert!(Configuration::read(dir.path(), &sealer).is_err());
    }
}
