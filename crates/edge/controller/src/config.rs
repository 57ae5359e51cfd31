//! The controller's configuration: one TOML file in its data folder, every key optional, unknown
//! keys refused.
//!
//! Relative paths are taken from the folder that holds the file, so a data folder can be moved.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vouchsafe_dpp::uri::Host;
pub use vouchsafe_home::{ConfigError, Period};

/// Longest URL that goes into certificates, in bytes.
const MAX_URL: usize = 200;

/// Everything an operator can set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What people call this site; shown in the console and in certificates. 1 to 64 characters.
    pub name: String,
    /// Where devices reach the registrar.
    pub registrar: RegistrarConfig,
    /// Where people and programs reach the API.
    pub api: ApiConfig,
    /// Where state is kept.
    pub store: StoreConfig,
    /// Where private keys are kept.
    pub keys: KeysConfig,
    /// What the certificates of this domain look like.
    pub ldevid: LdevidConfig,
    /// How enrolment behaves.
    pub est: EstConfig,
    /// How manufacturers' services are called.
    pub masa: MasaConfig,
    /// Who decides.
    pub policy: PolicyConfig,
    /// Wi-Fi Easy Connect.
    pub dpp: DppConfig,
    /// Network admission.
    pub gate: GateConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: "My site".to_owned(),
            registrar: RegistrarConfig::default(),
            api: ApiConfig::default(),
            store: StoreConfig::default(),
            keys: KeysConfig::default(),
            ldevid: LdevidConfig::default(),
            est: EstConfig::default(),
            masa: MasaConfig::default(),
            policy: PolicyConfig::default(),
            dpp: DppConfig::default(),
            gate: GateConfig::default(),
        }
    }
}

/// `[gate]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GateConfig {
    /// Where the desired state is written for the gate on this machine; it is not when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_file: Option<PathBuf>,
    /// The segment into which a device in quarantine comes; without a segment of this name it does not
    /// come in at all.
    pub quarantine_segment: String,
}

impl Default for GateConfig {
    fn default() -> Self {
        Self {
            state_file: None,
            quarantine_segment: "quarantine".to_owned(),
        }
    }
}

/// `[registrar]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistrarConfig {
    /// Address and port; port 0 lets the kernel choose.
    pub listen: SocketAddr,
    /// Announce `_brski-registrar._tcp` by mDNS (RFC 8995 appendix B).
    pub announce: bool,
    /// Interfaces the announcement uses: names, or `all`, or `loopback`.
    pub announce_on: Vec<String>,
    /// DNS names and IP addresses in the registrar's own certificate.
    pub names: Vec<String>,
    /// Open connections at most; the one idle longest makes room. 64 to 1,000,000.
    pub max_connections: usize,
}

impl Default for RegistrarConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8443)),
            announce: true,
            announce_on: vec!["all".to_owned()],
            names: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
            max_connections: 4096,
        }
    }
}

/// `[api]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiConfig {
    /// Address and port; port 0 lets the kernel choose.
    pub listen: SocketAddr,
    /// DNS names and IP addresses in the API's certificate.
    pub names: Vec<String>,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9443)),
            names: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
        }
    }
}

/// `[store]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// `sqlite:FILE` or `postgres://…`.
    pub url: String,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            url: "sqlite:store.db".to_owned(),
        }
    }
}

/// `[keys]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeysConfig {
    /// `file:DIR`, `pkcs11:…` or `tpm:…`, as the key store reads it.
    pub store: String,
}

impl Default for KeysConfig {
    fn default() -> Self {
        Self {
            store: "file:keys".to_owned(),
        }
    }
}

/// `[ldevid]`: the certificates that this domain issues to devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LdevidConfig {
    /// How long a device certificate lives, for example `365d`. 10 seconds to 10 years.
    pub lifetime: Period,
    /// `O=` of the subject; empty leaves it out.
    pub organization: String,
    /// Put `serial@domain` into a subjectAltName, where a domain is given.
    pub domain: String,
    /// Where others reach this site's `/pki`, for example `http://pki.example`: the certificates then
    /// say where their revocation list and the OCSP responder are. Empty leaves both out.
    pub pki_url: String,
}

impl Default for LdevidConfig {
    fn default() -> Self {
        Self {
            lifetime: Period::from_secs(365 * 86_400),
            organization: String::new(),
            domain: String::new(),
            pki_url: String::new(),
        }
    }
}

/// `[est]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub struct EstConfig {
    /// Make private keys for devices that ask (`serverkeygen`, RFC 7030 §4.4). Off: a key that was
    /// never on the network cannot leak there.
    pub server_key_generation: bool,
    /// Refuse a request whose challengePassword is not the RFC 9266 exporter of its connection.
    pub require_channel_binding: bool,
    /// Refuse renewal by a device that shows its birth certificate in place of its LDevID.
    pub refuse_idevid_renewal: bool,
}

/// `[masa]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MasaConfig {
    /// Connections kept open to each MASA. 1 to 256.
    pub connections: usize,
    /// How long one answer may take.
    pub timeout: Period,
    /// Ask for the audit log of every device before it may enrol (RFC 8995 §5.8).
    pub check_audit_log: bool,
}

impl Default for MasaConfig {
    fn default() -> Self {
        Self {
            connections: 16,
            timeout: Period::from_secs(15),
            check_audit_log: false,
        }
    }
}

/// `[policy]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
pub struct PolicyConfig {
    /// A Rego file that takes the place of the built-in policy until one is set by the API.
    pub file: Option<PathBuf>,
    /// Ask a person before a device joins: the device waits, the API lists it.
    pub ask_a_person: bool,
    /// Refuse a device that comes in by Wi-Fi Easy Connect without checking this network's own key:
    /// whoever read its label first could have taken it.
    pub require_mutual: bool,
}

/// `[dpp]`: Wi-Fi Easy Connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DppConfig {
    /// Listen for access points and devices. Off: a site without Wi-Fi has no port open for it.
    pub enabled: bool,
    /// Address and port; access points that are told no port take 8908. Port 0 lets the kernel
    /// choose.
    pub listen: SocketAddr,
    /// Announce `_dpp._tcp` by mDNS.
    pub announce: bool,
    /// Interfaces the announcement uses: names, or `all`, or `loopback`.
    pub announce_on: Vec<String>,
    /// `HOST` or `HOST:PORT` that stands in the controller's own URI, for devices that dial it;
    /// empty leaves it out.
    pub host: String,
    /// Sessions at most; beyond it one that nobody answered for yet makes room. 16 to 100,000.
    pub max_sessions: usize,
    /// How long a device that dials in is kept waiting while its own URI is not known here yet.
    /// 0 to 5 minutes; `0s` refuses it at once.
    pub wait_for_uri: Period,
    /// How long a signing key that was replaced is kept, so that devices that know no other can be
    /// reconfigured. 1 minute to 10 years.
    pub signing_key_overlap: Period,
    /// Where files with each device's own passphrase are written for hostapd; none are when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_point_files: Option<PathBuf>,
}

impl Default for DppConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            listen: SocketAddr::from(([0, 0, 0, 0], 8908)),
            announce: true,
            announce_on: vec!["all".to_owned()],
            host: String::new(),
            max_sessions: 4096,
            wait_for_uri: Period::from_secs(60),
            signing_key_overlap: Period::from_secs(90 * 86_400),
            access_point_files: None,
        }
    }
}

impl Config {
    /// Reads and checks `config.toml`.
    ///
    /// # Errors
    /// [`ConfigError`], which names the line or the key.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let config: Self = vouchsafe_home::read_config(path)?;
        config.check()?;
        Ok(config)
    }

    /// Checks what the types alone cannot.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for the first value that is out of range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let check = ConfigError::unless;
        let name_fits = (1..=64).contains(&self.name.chars().count());
        check(name_fits, "name", "must have 1 to 64 characters")?;
        check(
            (64..=1_000_000).contains(&self.registrar.max_connections),
            "registrar.max_connections",
            "must lie between 64 and 1000000",
        )?;
        check(
            !self.registrar.names.is_empty(),
            "registrar.names",
            "needs a name: devices look for one in the certificate",
        )?;
        check(
            !self.api.names.is_empty(),
            "api.names",
            "needs a name: clients check it",
        )?;
        check(
            (10..=3_650 * 86_400).contains(&self.ldevid.lifetime.seconds()),
            "ldevid.lifetime",
            "must lie between 10s and 3650d",
        )?;
        let url = self.ldevid.pki_url.as_str();
        let rest = url.strip_prefix("http://").or(url.strip_prefix("https://"));
        let is_url = url.len() <= MAX_URL
            && rest.is_some_and(|rest| {
                !rest.is_empty() && rest.chars().all(|each| each.is_ascii_graphic())
            });
        check(
            url.is_empty() || is_url,
            "ldevid.pki_url",
            "must be an http or https URL, or empty",
        )?;
        check(
            (1..=256).contains(&self.masa.connections),
            "masa.connections",
            "must lie between 1 and 256",
        )?;
        check(
            (1..=300).contains(&self.masa.timeout.seconds()),
            "masa.timeout",
            "must lie between 1s and 300s",
        )?;
        self.dpp.check()?;
        check(
            self.store.url.starts_with("sqlite:") || self.store.url.starts_with("postgres"),
            "store.url",
            "must start with sqlite: or postgres://",
        )
    }

    /// The file as `vouchsafe init` writes it.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).unwrap_or_default()
    }
}

impl DppConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let check = ConfigError::unless;
        check(
            (16..=100_000).contains(&self.max_sessions),
            "dpp.max_sessions",
            "must lie between 16 and 100000",
        )?;
        check(
            self.wait_for_uri.seconds() <= 300,
            "dpp.wait_for_uri",
            "must lie between 0s and 300s",
        )?;
        check(
            (60..=3_650 * 86_400).contains(&self.signing_key_overlap.seconds()),
            "dpp.signing_key_overlap",
            "must lie between 60s and 3650d",
        )?;
        check(
            self.host.is_empty() || self.host.parse::<Host>().is_ok(),
            "dpp.host",
            "must be HOST or HOST:PORT, as a URI has it",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_an_error_that_names_it() {
        let error = toml::from_str::<Config>("[registrar]\nlissten = \"0.0.0.0:1\"\n").unwrap_err();
        assert!(error.to_string().contains("lissten"), "{error}");
    }

    #[test]
    fn the_defaults_survive_a_round_trip() {
        let config = Config::default();
        assert_eq!(toml::from_str::<Config>(&config.to_toml()).unwrap(), config);
        config.check().unwrap();
    }

    #[test]
    fn a_host_that_no_uri_can_hold_is_named() {
        let mut config = Config::default();
        for good in [
            "",
            "192.0.2.7",
            "dpp.example.com:8908",
            "[2001:db8::7]:8908",
        ] {
            config.dpp.host = good.to_owned();
            config.check().unwrap();
        }
        for bad in ["a;b", "host:0", "two words", "host:port"] {
            config.dpp.host = bad.to_owned();
            let error = config.check().unwrap_err().to_string();
            assert!(error.starts_with("dpp.host"), "{bad}: {error}");
        }
    }

    #[test]
    fn an_address_for_revocation_is_a_url() {
        let mut config = Config::default();
        for good in ["", "http://pki.example", "https://[2001:db8::7]:9443/site"] {
            config.ldevid.pki_url = good.to_owned();
            config.check().unwrap();
        }
        for bad in [
            "pki.example",
            "ftp://pki",
            "http://",
            "http://two words",
            "http://é",
        ] {
            config.ldevid.pki_url = bad.to_owned();
            let error = config.check().unwrap_err().to_string();
            assert!(error.starts_with("ldevid.pki_url"), "{bad}: {error}");
        }
    }

    #[test]
    fn values_out_of_range_are_named() {
        let mut config = Config::default();
        config.ldevid.lifetime = Period::from_secs(1);
        assert!(
            config
                .check()
                .unwrap_err()
                .to_string()
                .starts_with("ldevid.lifetime")
        );
    }
}
