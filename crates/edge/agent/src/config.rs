//! `agent.toml` in the agent's folder: every key optional, unknown keys refused.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use vouchsafe_brski::Encoding;
use vouchsafe_brski::networks::Network;
use vouchsafe_brski::pledge::NoncelessVouchers;
use vouchsafe_dpp::object::NetRole;
use vouchsafe_dpp::uri::{BootstrappingUri, Host};
use vouchsafe_keystore::Algorithm;
use vouchsafe_net::Origin;

use crate::birth::read;
use crate::error::LocalError;
use crate::supplicant::open::{Sought, SsidPattern};
use crate::supplicant::realm::Realm;

/// What an operator or a maker can set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Registrars to try, `https://HOST:PORT`, before those that mDNS finds.
    pub registrars: Vec<String>,
    /// Look for registrars by mDNS (RFC 8995 appendix B).
    pub mdns: bool,
    /// Where: `all`, `loopback`, or the name of an interface.
    pub mdns_interface: String,
    /// How vouchers are asked for.
    pub voucher: VoucherForm,
    /// What to think of a voucher that answers no nonce (RFC 8995 §7.2).
    pub nonceless: Nonceless,
    /// Whether the device's clock can be relied on. A clock that is behind the birth certificate
    /// never is.
    pub clock: ClockTrust,
    /// How far the clocks of device and manufacturer may differ, in seconds, with a trusted clock.
    pub clock_skew: u32,
    /// `ecdsa-p256`, `ecdsa-p384` or `ed25519`, where the domain does not say.
    pub key_algorithm: String,
    /// Whether requests are bound to their connection (RFC 7030 §3.5).
    pub channel_binding: ChannelBinding,
    /// First pause after a network failed, in seconds; it doubles with each failure.
    pub retry_first: u32,
    /// Longest pause, in seconds.
    pub retry_longest: u32,
    /// How long to look for registrars before those found are tried, in milliseconds.
    pub discovery_window: u32,
    /// Wi-Fi Easy Connect; a device without this section does not do it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dpp: Option<DppConfig>,
    /// The network that the device comes into with the credential from BRSKI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkConfig>,
}

/// `[network]`: 802.1X with EAP-TLS, by the credential that the device got when it joined its domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// The control socket of `wpa_supplicant`, such as `/run/wpa_supplicant/eth0`.
    pub supplicant: PathBuf,
    /// A device that comes in over the air looks for open networks with such names, and asks its
    /// registrar there which network its certificate opens: `BRSKI%*`, one `*` for anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onboarding_ssid: Option<String>,
    /// The same of open networks that announce this realm (IEEE 802.11u), such as `eap.arpa`, whatever their
    /// names; they are tried first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onboarding_realm: Option<String>,
    /// The Wi-Fi network, by WPA3-Enterprise, where it is known beforehand. Without this and the keys
    /// above, a wired port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssid: Option<String>,
    /// The DNS name that the network's server must have, or be below, where it is known beforehand;
    /// any server of the domain without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// After how many seconds a device at a wired port proves itself again: a port tells nobody that it was
    /// closed.
    #[serde(default = "prove_again")]
    pub prove_again: u32,
    /// What the device says of itself before TLS protects it (RFC 9190 §2.1.8): a realm, and no name.
    #[serde(default = "anonymous")]
    pub identity: String,
}

fn prove_again() -> u32 {
    300
}

fn anonymous() -> String {
    "@vouchsafe".to_owned()
}

impl NetworkConfig {
    /// By which open networks the device finds its way in, where it comes over the air.
    pub(crate) fn way_in(&self) -> Option<Sought> {
        let sought = Sought {
            realm: self.onboarding_realm.as_deref().and_then(Realm::parse),
            names: self.onboarding_ssid.as_deref().and_then(SsidPattern::parse),
        };
        (sought.realm.is_some() || sought.names.is_some()).then_some(sought)
    }

    fn comes_over_the_air(&self) -> bool {
        self.onboarding_ssid.is_some() || self.onboarding_realm.is_some()
    }

    /// Whether the registrar has to tell which network the certificate opens.
    pub(crate) fn must_be_told(&self) -> bool {
        self.ssid.is_none() && self.comes_over_the_air()
    }

    fn check(&self) -> Result<(), LocalError> {
        let wrong = |key, why: &str| {
            let why = why.to_owned();
            Err(LocalError::Config { key, why })
        };
        let plain = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
        if self.ssid.is_some() || self.server_name.is_some() {
            let known = Network {
                ssid: self.ssid.clone().unwrap_or_else(|| "any".to_owned()),
                server_name: self.server_name.clone(),
            };
            if let Err(error) = known.check() {
                return wrong("network", &error.to_string());
            }
        }
        if self.server_name.is_some() && self.must_be_told() {
            return wrong(
                "network.server_name",
                "is told by the registrar, like the SSID",
            );
        }
        if let Some(pattern) = &self.onboarding_ssid
            && SsidPattern::parse(pattern).is_none()
        {
            let why = "must be text of 1 to 32 octets, with one * at most, and more than that";
            return wrong("network.onboarding_ssid", why);
        }
        if let Some(realm) = &self.onboarding_realm
            && Realm::parse(realm).is_none()
        {
            let why = "must be a realm, such as eap.arpa";
            return wrong("network.onboarding_realm", why);
        }
        if !plain(&self.identity) || self.identity.contains('"') {
            return wrong("network.identity", "must be text, without quotes");
        }
        Ok(())
    }
}

/// `[dpp]`: how the device gets its Wi-Fi configuration. With it, and without registrars to try
/// (`registrars` empty, `mdns` off), the device does nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DppConfig {
    /// Controllers to try over TCP, `ADDRESS:PORT`, before those that mDNS finds.
    pub controllers: Vec<String>,
    /// Look for controllers by mDNS (`_dpp._tcp`), where `mdns_interface` says.
    pub mdns: bool,
    /// The controller's bootstrapping URI. With it the device begins authentication, and both prove
    /// themselves; a configuration from anybody else is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller_uri: Option<String>,
    /// The control socket of `wpa_supplicant`, such as `/run/wpa_supplicant/wlan0`: it gets the
    /// networks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supplicant: Option<PathBuf>,
    /// The control socket of `hostapd`, such as `/run/hostapd/wlan0`: it gets the network of a device
    /// that is an access point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostapd: Option<PathBuf>,
    /// Announce the device over the air too, through that supplicant.
    pub air: bool,
    /// As what the device wants to be configured.
    pub role: WifiRole,
    /// What the device calls itself; its model when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The highest version of the protocol to speak, 1 to 3.
    pub version: u8,
    /// For how many seconds to come back while nobody has decided.
    pub patience: u32,
}

impl Default for DppConfig {
    fn default() -> Self {
        Self {
            controllers: Vec::new(),
            mdns: true,
            controller_uri: None,
            supplicant: None,
            hostapd: None,
            air: false,
            role: WifiRole::Station,
            name: None,
            version: vouchsafe_dpp::authentication::VERSION,
            patience: 60,
        }
    }
}

/// What a device is in its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WifiRole {
    /// A station.
    Station,
    /// An access point.
    AccessPoint,
}

impl WifiRole {
    pub(crate) fn net_role(self) -> NetRole {
        match self {
            Self::Station => NetRole::Station,
            Self::AccessPoint => NetRole::AccessPoint,
        }
    }
}

impl DppConfig {
    fn check(&self) -> Result<(), LocalError> {
        let wrong = |key, why: String| Err(LocalError::Config { key, why });
        for named in &self.controllers {
            if named.parse::<Host>().is_err() {
                let why = format!("{named:?} is no ADDRESS:PORT");
                return wrong("dpp.controllers", why);
            }
        }
        if let Some(uri) = &self.controller_uri
            && let Err(error) = BootstrappingUri::parse(uri)
        {
            return wrong("dpp.controller_uri", error.to_string());
        }
        if self.air && self.supplicant.is_none() {
            let why = "needs dpp.supplicant, through which the device announces itself".to_owned();
            return wrong("dpp.air", why);
        }
        if self.hostapd.is_some() && self.role != WifiRole::AccessPoint {
            let why = "is for a device that is an access point (dpp.role)".to_owned();
            return wrong("dpp.hostapd", why);
        }
        if !(1..=vouchsafe_dpp::authentication::VERSION).contains(&self.version) {
            return wrong("dpp.version", "must be 1, 2 or 3".to_owned());
        }
        let plain = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
        if self.name.as_deref().is_some_and(|name| !plain(name)) {
            return wrong("dpp.name", "must be text".to_owned());
        }
        Ok(())
    }

    /// The control socket.
    pub(crate) fn supplicant_socket(&self) -> Result<PathBuf, LocalError> {
        self.supplicant.clone().ok_or_else(|| LocalError::Config {
            key: "dpp.supplicant",
            why: "names no control socket".to_owned(),
        })
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            registrars: Vec::new(),
            mdns: true,
            mdns_interface: "all".to_owned(),
            voucher: VoucherForm::Cms,
            nonceless: Nonceless::WithClock,
            clock: ClockTrust::Trusted,
            clock_skew: 24 * 3600,
            key_algorithm: Algorithm::default().name().to_owned(),
            channel_binding: ChannelBinding::WhenAsked,
            retry_first: 5,
            retry_longest: 3600,
            discovery_window: 10_000,
            dpp: None,
            network: None,
        }
    }
}

/// The encoding of voucher requests and vouchers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VoucherForm {
    /// JSON in CMS (RFC 8366).
    Cms,
    /// JSON in JWS.
    Jws,
    /// CBOR in COSE. The MASA's own certificate must be among the anchors.
    Cose,
}

impl VoucherForm {
    /// The same for messages.
    pub fn encoding(self) -> Encoding {
        match self {
            Self::Cms => Encoding::CmsJson,
            Self::Jws => Encoding::JwsJson,
            Self::Cose => Encoding::CoseCbor,
        }
    }
}

/// What to do about vouchers without nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nonceless {
    /// Accept them if there is a trusted clock to hold their end against.
    WithClock,
    /// Accept them always.
    Always,
    /// Never.
    Refuse,
}

impl Nonceless {
    pub(crate) fn rule(self) -> NoncelessVouchers {
        match self {
            Self::WithClock => NoncelessVouchers::WithClock,
            Self::Always => NoncelessVouchers::Always,
            Self::Refuse => NoncelessVouchers::Refuse,
        }
    }
}

/// Whether the device knows the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClockTrust {
    /// It does.
    Trusted,
    /// It does not: the voucher's nonce proves freshness, and its creation time becomes the
    /// device's time (RFC 8995 §2.6.1).
    Untrusted,
}

/// When a request carries the channel binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChannelBinding {
    /// When csrattrs ask for it. Otherwise a request whose answer was lost can be repeated to the
    /// letter, and the same certificate comes back.
    WhenAsked,
    /// Always.
    Always,
}

impl Config {
    /// Reads `dir/agent.toml`; the defaults when there is none.
    ///
    /// # Errors
    /// [`LocalError::Damaged`] and [`LocalError::Config`].
    pub fn read(dir: &Path) -> Result<Self, LocalError> {
        let path = dir.join("agent.toml");
        if !path.exists() {
            return Ok(Self::default());
        }
        let config: Self =
            toml::from_str(&read(&path)?).map_err(|error| LocalError::damaged(&path, error))?;
        config.check()?;
        Ok(config)
    }

    /// Checks what the types do not say.
    ///
    /// # Errors
    /// [`LocalError::Config`] with the key.
    pub fn check(&self) -> Result<(), LocalError> {
        self.origins()?;
        self.algorithm()?;
        if let Some(dpp) = &self.dpp {
            dpp.check()?;
        }
        if let Some(network) = &self.network {
            network.check()?;
        }
        if self.retry_first > self.retry_longest {
            let why = "must not be more than retry_longest".to_owned();
            return Err(LocalError::Config {
                key: "retry_first",
                why,
            });
        }
        Ok(())
    }

    /// Whether the device shall join a domain: it is told of Wi-Fi alone where it has a section
    /// `[dpp]` and no way to find a registrar.
    pub(crate) fn wants_domain(&self) -> bool {
        self.dpp.is_none() || self.mdns || !self.registrars.is_empty()
    }

    pub(crate) fn origins(&self) -> Result<Vec<Origin>, LocalError> {
        let parse = |text: &String| {
            text.parse::<Origin>().map_err(|error| LocalError::Config {
                key: "registrars",
                why: error.to_string(),
            })
        };
        self.registrars.iter().map(parse).collect()
    }

    pub(crate) fn algorithm(&self) -> Result<Algorithm, LocalError> {
        self.key_algorithm
            .parse()
            .map_err(
                |error: vouchsafe_keystore::UnknownAlgorithm| LocalError::Config {
                    key: "key_algorithm",
                    why: error.to_string(),
                },
            )
    }

    pub(crate) fn skew(&self) -> jiff::SignedDuration {
        jiff::SignedDuration::from_secs(self.clock_skew.into())
    }

    pub(crate) fn window(&self) -> Duration {
        Duration::from_millis(self.discovery_window.into())
    }
}
