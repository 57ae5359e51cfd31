//! `gate.toml` in the gate's folder. Unknown keys are refused; relative paths are taken from the folder.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::GateError;
use crate::join_proxy::JoinProxyConfig;
use crate::link::LinkConfig;
use crate::radsec::RadsecConfig;

/// Largest configuration that is read, in octets.
const MAX_CONFIG: u64 = 1024 * 1024;

/// Longest name of an interface (the kernel's IFNAMSIZ, without its end).
const MAX_INTERFACE: usize = 15;

/// The whole configuration.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The gate's controller. With it, identity, anchor and desired state come from there.
    #[serde(default)]
    pub link: Option<LinkConfig>,
    /// Who the gate is, where it has no link.
    #[serde(default)]
    pub identity: Option<IdentityConfig>,
    /// Whom it lets in.
    #[serde(default)]
    pub state: StateConfig,
    /// The RADIUS server.
    #[serde(default)]
    pub radius: RadiusConfig,
    /// Wired ports of this machine, where it has some.
    #[serde(default)]
    pub wired: Option<WiredConfig>,
    /// The deny set of routed traffic, where this machine routes that of its devices.
    #[serde(default)]
    pub routed: Option<RoutedConfig>,
    /// Wi-Fi of this machine.
    #[serde(default)]
    pub wifi: Vec<WifiConfig>,
    /// The way of new devices to the registrar.
    #[serde(default)]
    pub join_proxy: Option<JoinProxyConfig>,
}

/// The gate's own certificate, which devices check before they show theirs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityConfig {
    /// The chain, PEM, leaf first.
    pub chain: PathBuf,
    /// The key store: `file:DIR?sealing-key=FILE`, `pkcs11:…` or `tpm:…`.
    pub keys: String,
    /// The key's label in it.
    #[serde(default = "default_label")]
    pub label: String,
}

/// Where the desired state comes from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StateConfig {
    /// The domain CA, PEM, where the gate has no link. What the state says of certificates counts only
    /// under it.
    pub anchor: Option<PathBuf>,
    /// The file in which a controller of this machine puts the desired state, where the gate has no link; a
    /// newer one takes effect at once.
    pub file: Option<PathBuf>,
    /// After how many seconds without news from the controller nobody new comes in.
    pub longest_age: u32,
}

impl Default for StateConfig {
    fn default() -> Self {
        Self {
            anchor: None,
            file: None,
            longest_age: 7 * 24 * 3600,
        }
    }
}

/// The RADIUS server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RadiusConfig {
    /// Where requests for access arrive.
    pub listen: SocketAddr,
    /// Where accounting arrives.
    pub accounting: SocketAddr,
    /// Where orders of others arrive, Disconnect- and CoA-Requests, if they do (RFC 5176; port 3799 is
    /// registered).
    pub dynamic: Option<SocketAddr>,
    /// Longest time until a device must prove itself again, in seconds.
    pub session_seconds: u32,
    /// Access points, switches and other gates.
    #[serde(rename = "client")]
    pub clients: Vec<ClientConfig>,
    /// RADIUS over TLS, where it is wanted.
    pub radsec: Option<RadsecConfig>,
}

impl Default for RadiusConfig {
    fn default() -> Self {
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Self {
            listen: SocketAddr::new(any, 1812),
            accounting: SocketAddr::new(any, 1813),
            dynamic: None,
            session_seconds: 3600,
            clients: Vec::new(),
            radsec: None,
        }
    }
}

/// One RADIUS client.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientConfig {
    /// A name for people, by which its sessions are kept; no other client has it.
    pub name: String,
    /// Its address, or the network that it may call from: `10.0.0.2`, `10.0.0.0/24`.
    pub address: String,
    /// The file with the secret that it shares with the gate; white space around it is not part of it.
    pub secret_file: PathBuf,
    /// Where it takes Disconnect-Requests (RFC 5176), if it does.
    #[serde(default)]
    pub disconnect: Option<SocketAddr>,
    /// Whether it takes CoA-Requests there too, and then moves a session to another segment. One that does
    /// not is asked to end it.
    #[serde(default)]
    pub coa: bool,
    /// Whether it may give orders about sessions of this gate, at `radius.dynamic`.
    #[serde(default)]
    pub orders: bool,
    /// Whether it may ask for stations that show nothing but their MAC address (MAC authentication bypass).
    /// They come in only where the desired state names them.
    #[serde(default)]
    pub mac: bool,
}

/// Wired ports, joined by a bridge of this machine.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WiredConfig {
    /// The RADIUS client that the ports' hostapd is, by its name. Needed where there is more than one.
    #[serde(default)]
    pub client: Option<String>,
    /// What a port without a proved device lets through to this machine.
    #[serde(default)]
    pub onboarding: Option<OnboardingConfig>,
    /// The packet filter's table.
    #[serde(default = "default_table")]
    pub table: String,
    /// Interfaces of the bridge behind which no devices are.
    pub uplinks: Vec<String>,
    /// The ports.
    #[serde(rename = "port")]
    pub ports: Vec<PortConfig>,
}

/// The onboarding network: all that a device reaches before it has proved itself, which is this machine
/// only. mDNS, GRASP and IPv6 neighbour discovery belong to it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OnboardingConfig {
    /// TCP ports of this machine; the join proxy's without.
    pub ports: Option<Vec<u16>>,
    /// Whether a DHCP server of this machine is reached too.
    pub dhcp: bool,
}

/// Interfaces behind which devices are, and from which this machine routes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoutedConfig {
    /// The packet filter's table.
    #[serde(default = "default_table")]
    pub table: String,
    /// Their names.
    pub interfaces: Vec<String>,
}

/// One network of this machine's hostapd.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WifiConfig {
    /// The interface.
    pub interface: String,
    /// hostapd's control socket for it.
    pub control: PathBuf,
    /// The RADIUS client that its hostapd is, by its name, on a network with 802.1X: a station without a
    /// session is thrown out.
    #[serde(default)]
    pub client: Option<String>,
    /// Its NAS-Identifier; the interface's name without.
    #[serde(default)]
    pub access_point: Option<String>,
    /// `wpa_psk_file`, on a network with passphrases: hostapd reads it again when it changed.
    #[serde(default)]
    pub passphrases: Option<PathBuf>,
}

/// One wired port with its authenticator.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortConfig {
    /// The interface; also the NAS-Identifier of its hostapd.
    pub interface: String,
    /// hostapd's control socket for it.
    pub control: PathBuf,
}

impl Config {
    /// Reads `gate.toml` in `dir`.
    ///
    /// # Errors
    /// The file cannot be read, or holds what is not understood.
    pub fn read(dir: &Path) -> Result<Self, GateError> {
        let path = dir.join("gate.toml");
        let text = read_text(&path, MAX_CONFIG)?;
        let mut config: Self =
            toml::from_str(&text).map_err(|error| GateError::content(&path, error.message()))?;
        config.resolve(dir);
        config
            .check()
            .map_err(|problem| GateError::content(&path, problem))?;
        Ok(config)
    }

    fn resolve(&mut self, dir: &Path) {
        let chain = self.identity.iter_mut().map(|it| &mut it.chain);
        let state = self.state.anchor.iter_mut().chain(&mut self.state.file);
        if let Some(radsec) = &mut self.radius.radsec {
            radsec.resolve(dir);
        }
        let secrets = self.radius.clients.iter_mut().map(|it| &mut it.secret_file);
        for path in chain.chain(state).chain(secrets) {
            *path = dir.join(&*path);
        }
        for wifi in &mut self.wifi {
            wifi.control = dir.join(&wifi.control);
            if let Some(file) = &mut wifi.passphrases {
                *file = dir.join(&*file);
            }
        }
        for port in self.wired.iter_mut().flat_map(|wired| &mut wired.ports) {
            port.control = dir.join(&port.control);
        }
    }

    fn check(&self) -> Result<(), String> {
        let routed = self
            .routed
            .iter()
            .flat_map(|it| it.interfaces.iter().chain([&it.table]));
        for name in routed.chain(self.wifi.iter().map(|it| &it.interface)) {
            if !is_interface(name) {
                return Err(format!("`{name}` is no name of an interface or table"));
            }
        }
        if self
            .wifi
            .iter()
            .any(|it| it.client.is_some() == it.passphrases.is_some())
        {
            return Err("wifi: a network has either `client` or `passphrases`".to_owned());
        }
        if self.radius.session_seconds == 0 {
            return Err("radius.session_seconds is at least 1".to_owned());
        }
        self.check_names()?;
        self.check_orders()?;
        self.check_source()?;
        if let Some(radsec) = &self.radius.radsec {
            radsec.check()?;
        }
        if let Some(join_proxy) = &self.join_proxy {
            join_proxy.check(self.link.is_some())?;
        }
        let Some(wired) = &self.wired else {
            return Ok(());
        };
        let ports = wired.ports.iter().map(|port| &port.interface);
        for interface in wired.uplinks.iter().chain(ports).chain([&wired.table]) {
            if !is_interface(interface) {
                return Err(format!("`{interface}` is no name of an interface or table"));
            }
        }
        Ok(())
    }
}

impl Config {
    /// Sessions go by their client's name.
    fn check_names(&self) -> Result<(), String> {
        let radsec = self.radius.radsec.iter().flat_map(|it| &it.clients);
        let names = self.radius.clients.iter().map(|it| &it.name);
        let mut seen = BTreeSet::new();
        for name in names.chain(radsec.map(|it| &it.name)) {
            if !seen.insert(name) {
                return Err(format!("two RADIUS clients are called `{name}`"));
            }
        }
        Ok(())
    }

    /// Whoever gives orders has somewhere to give them, and whoever takes them too.
    fn check_orders(&self) -> Result<(), String> {
        for client in &self.radius.clients {
            let name = &client.name;
            if client.coa && client.disconnect.is_none() {
                return Err(format!("radius.client `{name}`: coa needs disconnect"));
            }
            if client.orders && self.radius.dynamic.is_none() {
                return Err(format!(
                    "radius.client `{name}`: orders needs radius.dynamic"
                ));
            }
        }
        Ok(())
    }

    /// Identity, anchor and state come from the link or from files, not from both.
    fn check_source(&self) -> Result<(), String> {
        let files = [
            ("[identity]", self.identity.is_some()),
            ("state.anchor", self.state.anchor.is_some()),
            ("state.file", self.state.file.is_some()),
        ];
        match &self.link {
            Some(link) => {
                link.origin()?;
                match files.into_iter().find(|(_, is_there)| *is_there) {
                    Some((key, _)) => Err(format!("{key} has no meaning beside [link]")),
                    None => Ok(()),
                }
            }
            None => match files.into_iter().find(|(_, is_there)| !is_there) {
                Some((key, _)) => Err(format!("{key} is missing, and there is no [link]")),
                None => Ok(()),
            },
        }
    }
}

/// Whether a text can be the name of an interface, or of a table: these words go into the packet filter's
/// own language.
pub(crate) fn is_interface(name: &str) -> bool {
    let fine = |each: char| each.is_ascii_alphanumeric() || "-_.".contains(each);
    !name.is_empty() && name.len() <= MAX_INTERFACE && name.chars().all(fine)
}

/// The text of a file of at most `most` octets.
pub(crate) fn read_text(path: &Path, most: u64) -> Result<String, GateError> {
    let length = fs::metadata(path)
        .map_err(|source| GateError::file(path, source))?
        .len();
    if length > most {
        let problem = format!("larger than {most} octets");
        return Err(GateError::content(path, problem));
    }
    fs::read_to_string(path).map_err(|source| GateError::file(path, source))
}

fn default_label() -> String {
    "gate".to_owned()
}

fn default_table() -> String {
    "vouchsafe".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kept sessions would go by the first one.
    #[test]
    fn no_two_clients_have_the_same_name() {
        let dir = tempfile::tempdir().unwrap();
        let read = |second: &str| {
            let client = |name: &str| {
                format!(
                    "[[radius.client]]\nname = \"{name}\"\naddress = \"127.0.0.1\"\n\
                     secret_file = \"secret\"\n"
                )
            };
            let link = "[link]\ncontroller = \"https://registrar.example\"\n";
            let text = format!("{link}{}{}", client("hall"), client(second));
            fs::write(dir.path().join("gate.toml"), text).unwrap();
            Config::read(dir.path()).map(|_| ())
        };
        read("yard").unwrap();
        let refused = read("hall").unwrap_err().to_string();
        assert!(
            refused.contains("two RADIUS clients are called `hall`"),
            "{refused}"
        );
    }
}
