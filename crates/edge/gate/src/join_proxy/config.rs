//! `[join_proxy]` in `gate.toml`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;

use super::circuits::Bounds;

/// Most interfaces with devices.
const MAX_INTERFACES: usize = 1024;

/// The way of new devices to the registrar.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JoinProxyConfig {
    /// Where devices arrive, on each of `interfaces`. With port 0 each interface gets a port of its own;
    /// the announcement tells it.
    pub listen: SocketAddr,
    /// Interfaces with devices: names, `loopback`, or `all`.
    pub interfaces: Vec<String>,
    /// The registrar, `HOST:PORT`. Without it: the controller of the gate's link, if it has one, and whoever
    /// announces itself on `discover_on`.
    pub registrar: Option<String>,
    /// Interfaces on which registrars are looked for: names, `loopback`, or `all`. Anybody on such an
    /// interface may lead devices to a place that they will refuse; where devices are, do not look.
    pub discover_on: Vec<String>,
    /// Whether devices are told of it.
    pub announce: bool,
    /// Most circuits at a time.
    pub circuits: usize,
    /// Most circuits of one address at a time.
    pub circuits_per_address: usize,
    /// Most octets of a circuit, both ways together.
    pub octets: u64,
    /// Longest silence of a circuit, in seconds. A device that waits for a person keeps its connection, and
    /// asks once a minute (RFC 8995 §5.6).
    pub idle_seconds: u32,
    /// Longest life of a circuit, in seconds.
    pub total_seconds: u32,
}

impl Default for JoinProxyConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 8995),
            interfaces: vec!["all".to_owned()],
            registrar: None,
            discover_on: Vec::new(),
            announce: true,
            circuits: 256,
            circuits_per_address: 4,
            octets: 4 * 1024 * 1024,
            idle_seconds: 120,
            total_seconds: 3600,
        }
    }
}

impl JoinProxyConfig {
    /// Checks what the types do not say; `has_link` is whether the gate has a link to its controller.
    pub(crate) fn check(&self, has_link: bool) -> Result<(), String> {
        let wrong = |key: &str, why: &str| Err(format!("join_proxy.{key} {why}"));
        if self.interfaces.is_empty() || self.interfaces.len() > MAX_INTERFACES {
            return wrong("interfaces", "names 1 to 1024 interfaces");
        }
        for name in self.interfaces.iter().chain(&self.discover_on) {
            if !crate::config::is_interface(name) {
                return wrong(
                    "interfaces",
                    &format!("`{name}` is no name of an interface"),
                );
            }
        }
        if let Some(registrar) = &self.registrar {
            let port = registrar.rsplit_once(':').and_then(|(host, port)| {
                let port = port.parse::<u16>().ok()?;
                (!host.is_empty()).then_some(port)
            });
            if port.is_none_or(|port| port == 0) {
                return wrong("registrar", &format!("`{registrar}` is not HOST:PORT"));
            }
        } else if !has_link && self.discover_on.is_empty() {
            return wrong(
                "registrar",
                "is needed where there is no link and `discover_on` names no interface",
            );
        }
        let numbers = [
            ("circuits", self.circuits == 0),
            ("circuits_per_address", self.circuits_per_address == 0),
            ("octets", self.octets == 0),
            ("idle_seconds", self.idle_seconds == 0),
            ("total_seconds", self.total_seconds == 0),
        ];
        match numbers.into_iter().find(|(_, is_zero)| *is_zero) {
            Some((key, _)) => wrong(key, "is at least 1"),
            None => Ok(()),
        }
    }

    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            circuits: self.circuits,
            per_address: self.circuits_per_address,
            octets: self.octets,
            idle: Duration::from_secs(self.idle_seconds.into()),
            total: Duration::from_secs(self.total_seconds.into()),
        }
    }
}
