//! The manufacturer's configuration: one TOML file in its data folder, every key optional, unknown
//! keys refused.
//!
//! Relative paths are taken from the folder that holds the file, so a data folder can be moved.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};
use vouchsafe_fleet::decide::OwnershipPolicy;
use vouchsafe_home::{ConfigError, Period};
use vouchsafe_keystore::Algorithm;

/// Everything a manufacturer can set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The manufacturer's name; stands in certificates and manifests. 1 to 64 characters.
    pub name: String,
    /// Where registrars find the MASA; goes into every birth certificate (RFC 8995 §2.3.2):
    /// `host`, `host:port` or a whole URL.
    pub masa_url: String,
    /// The MASA's listener.
    pub masa: ListenerConfig,
    /// The factory line's listener.
    pub line: ListenerConfig,
    /// Where state is kept.
    pub store: StoreConfig,
    /// Where private keys are kept.
    pub keys: KeysConfig,
    /// What birth certificates look like.
    pub idevid: IdevidConfig,
    /// To whom the MASA gives vouchers.
    pub ownership: OwnershipConfig,
    /// What the MASA asks of requests, and what it answers.
    pub vouchers: VoucherConfig,
    /// How much anybody may ask.
    pub rates: RateConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: "My company".to_owned(),
            masa_url: "localhost:9444".to_owned(),
            masa: ListenerConfig::on_port(9444),
            line: ListenerConfig::on_port(9445),
            store: StoreConfig::default(),
            keys: KeysConfig::default(),
            idevid: IdevidConfig::default(),
            ownership: OwnershipConfig::default(),
            vouchers: VoucherConfig::default(),
            rates: RateConfig::default(),
        }
    }
}

/// `[masa]` and `[line]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerConfig {
    /// Address and port; port 0 lets the kernel choose.
    pub listen: SocketAddr,
    /// DNS names and IP addresses in the listener's certificate.
    #[serde(default = "local_names")]
    pub names: Vec<String>,
    /// Open connections at most; the one idle longest makes room. 64 to 1,000,000.
    #[serde(default = "usual_connections")]
    pub max_connections: usize,
}

impl ListenerConfig {
    fn on_port(port: u16) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], port)),
            names: local_names(),
            max_connections: usual_connections(),
        }
    }
}

fn local_names() -> Vec<String> {
    vec!["localhost".to_owned(), "127.0.0.1".to_owned()]
}

const fn usual_connections() -> usize {
    4096
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
    /// The algorithm of the manufacturer's own keys: `ecdsa-p256`, `ecdsa-p384` or `ed25519`.
    pub algorithm: String,
}

impl Default for KeysConfig {
    fn default() -> Self {
        Self {
            store: "file:keys".to_owned(),
            algorithm: Algorithm::default().name().to_owned(),
        }
    }
}

/// `[idevid]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IdevidConfig {
    /// Where the usage description of a device is (RFC 8520), unless the model has its own below.
    /// Empty leaves the extension out.
    pub mud_url: String,
    /// Usage descriptions by model.
    pub mud_urls: BTreeMap<String, String>,
    /// The hardware type of a hardwareModuleName (RFC 4108 §5) as a dotted OID; empty leaves the
    /// name out.
    pub hardware_type: String,
}

/// `[ownership]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OwnershipConfig {
    /// `verified`, `first-come` or `audit-only`.
    pub policy: OwnershipPolicy,
    /// Other policies for some models.
    pub models: BTreeMap<String, OwnershipPolicy>,
}

impl Default for OwnershipConfig {
    fn default() -> Self {
        Self {
            policy: OwnershipPolicy::Verified,
            models: BTreeMap::new(),
        }
    }
}

impl OwnershipConfig {
    /// The policy for a model.
    #[must_use]
    pub fn of_model(&self, model: Option<&str>) -> OwnershipPolicy {
        model
            .and_then(|model| self.models.get(model))
            .copied()
            .unwrap_or(self.policy)
    }
}

/// `[vouchers]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VoucherConfig {
    /// Issue vouchers without nonce to known owners (RFC 8995 §5.5.1): such a voucher can be used
    /// without asking anybody until it ends.
    pub nonceless: bool,
    /// How long a voucher without nonce is valid. 1m to 3650d.
    pub lifetime: Period,
    /// How long a voucher without nonce will be renewed (RFC 8366 §5.3); `0s` promises nothing.
    pub renewal: Period,
    /// Refuse requests that are older. 1m to 30d.
    pub max_age: Period,
    /// How far a registrar's clock may run ahead. At most 1d.
    pub skew: Period,
    /// Refuse requests that do not hold the device's own signed request.
    pub require_device_request: bool,
    /// Refuse registrars whose certificate names a revocation list that was not handed in here
    /// (RFC 8995 §5.5.3).
    pub require_revocation_list: bool,
}

impl Default for VoucherConfig {
    fn default() -> Self {
        Self {
            nonceless: false,
            lifetime: Period::from_secs(14 * 86_400),
            renewal: Period::from_secs(0),
            max_age: Period::from_secs(3_600),
            skew: Period::from_secs(300),
            require_device_request: false,
            require_revocation_list: false,
        }
    }
}

/// `[rates]`: requests a minute, as an average; a tenth of a minute's worth may come at once, or
/// ten, whichever is more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateConfig {
    /// From one address. 1 to 1,000,000,000.
    pub per_address: u32,
    /// From one owner. 1 to 1,000,000,000.
    pub per_owner: u32,
    /// From one line station. 1 to 1,000,000,000.
    pub per_station: u32,
}

impl Default for RateConfig {
    fn default() -> Self {
        Self {
            per_address: 60_000,
            per_owner: 60_000,
            per_station: 6_000,
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
        let url_fits = !self.masa_url.is_empty()
            && self.masa_url.len() <= 256
            && self.masa_url.bytes().all(|byte| byte.is_ascii_graphic());
        check(
            url_fits,
            "masa_url",
            "must be a host name, host:port or URL: registrars find the MASA by it",
        )?;
        let named = "needs a name: clients check it";
        check(!self.masa.names.is_empty(), "masa.names", named)?;
        check(!self.line.names.is_empty(), "line.names", named)?;
        let connections =
            |listener: &ListenerConfig| (64..=1_000_000).contains(&listener.max_connections);
        let between = "must lie between 64 and 1000000";
        check(connections(&self.masa), "masa.max_connections", between)?;
        check(connections(&self.line), "line.max_connections", between)?;
        let store_fits =
            self.store.url.starts_with("sqlite:") || self.store.url.starts_with("postgres");
        check(
            store_fits,
            "store.url",
            "must start with sqlite: or postgres://",
        )?;
        let algorithm = self.keys.algorithm.parse::<Algorithm>();
        check(
            algorithm.is_ok(),
            "keys.algorithm",
            "must be ecdsa-p256, ecdsa-p384 or ed25519",
        )?;
        check(
            self.hardware_type().is_ok(),
            "idevid.hardware_type",
            "must be a dotted object identifier such as 1.3.6.1.4.1.99999.1, or empty",
        )?;
        let vouchers = &self.vouchers;
        check(
            (60..=3_650 * 86_400).contains(&vouchers.lifetime.seconds()),
            "vouchers.lifetime",
            "must lie between 1m and 3650d",
        )?;
        check(
            (60..=30 * 86_400).contains(&vouchers.max_age.seconds()),
            "vouchers.max_age",
            "must lie between 1m and 30d",
        )?;
        check(
            vouchers.skew.seconds() <= 86_400,
            "vouchers.skew",
            "must be at most 1d",
        )?;
        let rate = |rate: u32| (1..=1_000_000_000).contains(&rate);
        let rates = &self.rates;
        let between = "must lie between 1 and 1000000000";
        check(rate(rates.per_address), "rates.per_address", between)?;
        check(rate(rates.per_owner), "rates.per_owner", between)?;
        check(rate(rates.per_station), "rates.per_station", between)
    }

    /// The algorithm of the manufacturer's own keys.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.keys.algorithm.parse().unwrap_or_default()
    }

    /// Where the usage description of this model is, if anywhere.
    #[must_use]
    pub fn mud_url(&self, model: Option<&str>) -> Option<&str> {
        let idevid = &self.idevid;
        model
            .and_then(|model| idevid.mud_urls.get(model))
            .or(Some(&idevid.mud_url))
            .map(String::as_str)
            .filter(|url| !url.is_empty())
    }

    /// The hardware type, if one is set.
    pub(crate) fn hardware_type(&self) -> Result<Option<vouchsafe_trust::Oid>, ()> {
        match self.idevid.hardware_type.as_str() {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| ()),
        }
    }

    /// The file as `vouchsafe manufacturer init` writes it.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_an_error_that_names_it() {
        for (text, key) in [
            ("[masa]\nlissten = \"0.0.0.0:1\"\n", "lissten"),
            ("[vouchers]\nnonceles = true\n", "nonceles"),
            ("nam = \"x\"\n", "nam"),
        ] {
            let error = toml::from_str::<Config>(text).unwrap_err();
            assert!(error.to_string().contains(key), "{error}");
        }
    }

    #[test]
    fn the_defaults_survive_a_round_trip() {
        let config = Config::default();
        assert_eq!(toml::from_str::<Config>(&config.to_toml()).unwrap(), config);
        config.check().unwrap();
    }

    #[test]
    fn values_out_of_range_are_named() {
        let named = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.check().unwrap_err().to_string()
        };
        assert!(named(|c| c.name.clear()).starts_with("name:"));
        assert!(named(|c| c.masa_url.clear()).starts_with("masa_url:"));
        assert!(named(|c| c.keys.algorithm = "rsa".to_owned()).starts_with("keys.algorithm:"));
        assert!(named(|c| c.rates.per_owner = 0).starts_with("rates.per_owner:"));
        assert!(named(|c| c.vouchers.lifetime = Period::from_secs(1)).contains("lifetime"));
        assert!(named(|c| c.idevid.hardware_type = "x".to_owned()).contains("hardware_type"));
    }

    #[test]
    fn a_model_may_have_its_own_policy_and_description() {
        let mut config = Config::default();
        config
            .ownership
            .models
            .insert("lamp".to_owned(), OwnershipPolicy::FirstCome);
        config
            .idevid
            .mud_urls
            .insert("lamp".to_owned(), "https://example.com/lamp".to_owned());
        assert_eq!(
            config.ownership.of_model(Some("lamp")),
            OwnershipPolicy::FirstCome
        );
        assert_eq!(
            config.ownership.of_model(Some("door")),
            OwnershipPolicy::Verified
        );
        assert_eq!(config.ownership.of_model(None), OwnershipPolicy::Verified);
        assert_eq!(
            config.mud_url(Some("lamp")),
            Some("https://example.com/lamp")
        );
        assert_eq!(config.mud_url(None), None);
    }
}
