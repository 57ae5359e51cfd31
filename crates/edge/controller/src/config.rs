//! The controller's configuration: one TOML file in its data folder, every key optional, unknown
//! keys refused.
//!
//! Relative paths are taken from the folder that holds the file, so a data folder can be moved.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use vouchsafe_dpp::uri::Host;

/// Longest URL that goes into certificates, in bytes.
const MAX_URL: usize = 200;

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML, or holds a key or a value that is not known.
    #[error("{path}: {message}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, column and what was expected.
        message: String,
    },
    /// The values are well-formed but make no sense together.
    #[error("{key}: {message}")]
    Value {
        /// The key, dotted.
        key: &'static str,
        /// What is wrong and what would be right.
        message: String,
    },
}

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

/// A length of time written as people do: `90s`, `15m`, `12h`, `365d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(Duration);

impl Period {
    /// A period of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// The same as the standard library has it.
    pub const fn duration(self) -> Duration {
        self.0
    }

    /// Reads `NUMBER` and one of `s`, `m`, `h`, `d`.
    ///
    /// # Errors
    /// A sentence that says what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is not a length of time: write 90s, 15m, 12h or 365d");
        let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = text.split_at(split);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let scale = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return Err(wrong()),
        };
        number
            .checked_mul(scale)
            .map(Self::from_secs)
            .ok_or_else(wrong)
    }
}

impl std::fmt::Display for Period {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.0.as_secs();
        for (scale, unit) in [(86_400, "d"), (3_600, "h"), (60, "m")] {
            if seconds >= scale && seconds.is_multiple_of(scale) {
                return write!(f, "{}{unit}", seconds / scale);
            }
        }
        write!(f, "{seconds}s")
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl Config {
    /// Reads and checks `config.toml`.
    ///
    /// # Errors
    /// [`ConfigError`], which names the line or the key.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        let config: Self = toml::from_str(&text).map_err(|error| ConfigError::Syntax {
            path: path.to_owned(),
            message: error.to_string(),
        })?;
        config.check()?;
        Ok(config)
    }

    /// Checks what the types alone cannot.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for the first value that is out of range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let value = |key, message: &str| {
            Err(ConfigError::Value {
                key,
                message: message.to_owned(),
            })
        };
        if self.name.is_empty() || self.name.chars().count() > 64 {
            return value("name", "must have 1 to 64 characters");
        }
        if !(64..=1_000_000).contains(&self.registrar.max_connections) {
            return value(
                "registrar.max_connections",
                "must lie between 64 and 1000000",
            );
        }
        if self.registrar.names.is_empty() {
            return value(
                "registrar.names",
                "needs a name: devices look for one in the certificate",
            );
        }
        if self.api.names.is_empty() {
            return value("api.names", "needs a name: clients check it");
        }
        let lifetime = self.ldevid.lifetime.duration().as_secs();
        if !(10..=3_650 * 86_400).contains(&lifetime) {
            return value("ldevid.lifetime", "must lie between 10s and 3650d");
        }
        let url = self.ldevid.pki_url.as_str();
        let rest = url.strip_prefix("http://").or(url.strip_prefix("https://"));
        let is_fine = url.len() <= MAX_URL
            && rest.is_some_and(|rest| {
                !rest.is_empty() && rest.chars().all(|each| each.is_ascii_graphic())
            });
        if !url.is_empty() && !is_fine {
            return value("ldevid.pki_url", "must be an http or https URL, or empty");
        }
        if !(1..=256).contains(&self.masa.connections) {
            return value("masa.connections", "must lie between 1 and 256");
        }
        if !(1..=300).contains(&self.masa.timeout.duration().as_secs()) {
            return value("masa.timeout", "must lie between 1s and 300s");
        }
        self.dpp.check()?;
        if !self.store.url.starts_with("sqlite:") && !self.store.url.starts_with("postgres") {
            return value("store.url", "must start with sqlite: or postgres://");
        }
        Ok(())
    }

    /// The file as `vouchsafe init` writes it.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).unwrap_or_default()
    }
}

impl DppConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let value = |key, message: &str| {
            Err(ConfigError::Value {
                key,
                message: message.to_owned(),
            })
        };
        let years = 3_650 * 86_400;
        let seconds = |period: Period| period.duration().as_secs();
        if !(16..=100_000).contains(&self.max_sessions) {
            return value("dpp.max_sessions", "must lie between 16 and 100000");
        }
        if seconds(self.wait_for_uri) > 300 {
            return value("dpp.wait_for_uri", "must lie between 0s and 300s");
        }
        if !(60..=years).contains(&seconds(self.signing_key_overlap)) {
            return value("dpp.signing_key_overlap", "must lie between 60s and 3650d");
        }
        if !self.host.is_empty() && self.host.parse::<Host>().is_err() {
            return value("dpp.host", "must be HOST or HOST:PORT, as a URI has it");
        }
        Ok(())
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
    fn periods_are_read_and_written_as_people_write_them() {
        for text in ["90s", "15m", "12h", "365d"] {
            assert_eq!(Period::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "d", "5", "5w", "-1d", "99999999999999999999d"] {
            assert!(Period::parse(text).is_err(), "{text}");
        }
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
