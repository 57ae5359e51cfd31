//! Who shares a secret with the gate.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use vouchsafe_radius::{RADSEC_SECRET, Shared};
use vouchsafe_trust::Secret;

use crate::config::{ClientConfig, RadiusConfig, WifiConfig, WiredConfig, read_text};
use crate::error::GateError;

/// Shortest secret, in octets. MD5 gives no more than it gets (RFC 6614 §1).
const MIN_SECRET: usize = 16;

/// Largest file with a secret, in octets.
const MAX_SECRET_FILE: u64 = 4096;

/// The RADIUS clients; a client's number is its place.
#[derive(Debug)]
pub(crate) struct Clients(Vec<RadiusClient>);

/// One of them.
#[derive(Debug)]
pub(crate) struct RadiusClient {
    pub(crate) name: String,
    pub(crate) shared: Shared,
    pub(crate) disconnect: Option<SocketAddr>,
    /// Whether it moves sessions when it is asked.
    pub(crate) coa: bool,
    /// Whether it may give orders about sessions.
    pub(crate) orders: bool,
    /// Whether it may ask for stations that show nothing but their MAC address.
    pub(crate) mac: bool,
    /// From where it may call over UDP; nowhere, when it comes over TLS.
    network: Option<Network>,
}

impl RadiusClient {
    /// Whether it comes over RadSec.
    pub(crate) fn is_over_tls(&self) -> bool {
        self.network.is_none()
    }
}

impl Clients {
    /// Those over UDP first, then those over TLS.
    pub(crate) fn read(config: &RadiusConfig) -> Result<Self, GateError> {
        let radsec = config.radsec.iter().flat_map(|radsec| &radsec.clients);
        let over_tls = radsec.map(|client| {
            Ok(RadiusClient {
                name: client.name.clone(),
                shared: Shared::new(Secret::new(RADSEC_SECRET.to_vec())),
                disconnect: None,
                coa: client.coa,
                orders: false,
                mac: false,
                network: None,
            })
        });
        let clients = config.clients.iter().map(read_client).chain(over_tls);
        clients.collect::<Result<_, _>>().map(Self)
    }

    /// Who may call from `address`: the most exact entry.
    pub(crate) fn find(&self, address: IpAddr) -> Option<(u32, &RadiusClient)> {
        let address = mapped(address);
        (0..)
            .zip(&self.0)
            .filter_map(|(number, client)| Some((number, client, client.network?)))
            .filter(|(_, _, network)| network.contains(address))
            .max_by_key(|(_, _, network)| network.length)
            .map(|(number, client, _)| (number, client))
    }

    /// Who asks for the wired ports of this machine: another client that calls itself like a port must not
    /// open it.
    pub(crate) fn of_ports(&self, config: &WiredConfig) -> Result<u32, GateError> {
        let wrong = |problem: String| Err(GateError::content("gate.toml", problem));
        if let Some(name) = &config.client {
            return match self.named(name) {
                Some(number) => Ok(number),
                None => wrong(format!("wired.client: there is no RADIUS client `{name}`")),
            };
        }
        let mut clients = self.all().filter(|(_, client)| !client.is_over_tls());
        match (clients.next(), clients.next()) {
            (Some((number, _)), None) => Ok(number),
            _ => wrong("wired.client is missing: which RADIUS client has the ports?".to_owned()),
        }
    }

    /// Who asks for a Wi-Fi of this machine, if that has 802.1X.
    pub(crate) fn of_wifi(&self, config: &WifiConfig) -> Result<Option<u32>, GateError> {
        let Some(name) = &config.client else {
            return Ok(None);
        };
        let number = self.named(name).ok_or_else(|| {
            let problem = format!("wifi.client: there is no RADIUS client `{name}`");
            GateError::content("gate.toml", problem)
        })?;
        Ok(Some(number))
    }

    /// The number of the client of this name.
    pub(crate) fn named(&self, name: &str) -> Option<u32> {
        let (number, _) = self.all().find(|(_, client)| client.name == name)?;
        Some(number)
    }

    pub(crate) fn number(&self, number: u32) -> Option<&RadiusClient> {
        self.0.get(usize::try_from(number).ok()?)
    }

    /// The numbers of those that move sessions when they are asked.
    pub(crate) fn movers(&self) -> BTreeSet<u32> {
        let movers = self.all().filter(|(_, client)| client.coa);
        movers.map(|(number, _)| number).collect()
    }

    /// Each with its number.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u32, &RadiusClient)> {
        (0..).zip(&self.0)
    }
}

fn read_client(config: &ClientConfig) -> Result<RadiusClient, GateError> {
    let path = &config.secret_file;
    let text = Secret::new(read_text(path, MAX_SECRET_FILE)?.into_bytes());
    let secret = text.expose().trim_ascii();
    if secret.len() < MIN_SECRET {
        let problem = format!("the secret has less than {MIN_SECRET} octets");
        return Err(GateError::content(path, problem));
    }
    let network = Network::parse(&config.address).ok_or_else(|| {
        let problem = format!("`{}` is no address or network", config.address);
        GateError::content("gate.toml", problem)
    })?;
    Ok(RadiusClient {
        name: config.name.clone(),
        shared: Shared::new(Secret::new(secret.to_vec())),
        disconnect: config.disconnect,
        coa: config.coa,
        orders: config.orders,
        mac: config.mac,
        network: Some(network),
    })
}

/// A network, as IPv6 whatever it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    prefix: u128,
    length: u8,
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u8>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let (shift, most) = if address.is_ipv4() {
            (96, 32)
        } else {
            (0, 128)
        };
        let length = length.unwrap_or(most);
        if length > most {
            return None;
        }
        let length = shift + length;
        let prefix = u128::from(mapped(address)) & mask(length);
        Some(Self { prefix, length })
    }

    fn contains(self, address: Ipv6Addr) -> bool {
        u128::from(address) & mask(self.length) == self.prefix
    }
}

fn mask(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}

/// IPv4 as IPv6, so that a socket for both sees one form.
pub(crate) fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_its_own_addresses() {
        let holds = |network: &str, address: &str| {
            let address = mapped(address.parse().unwrap());
            Network::parse(network).unwrap().contains(address)
        };
        assert!(holds("10.0.0.0/24", "10.0.0.77"));
        assert!(!holds("10.0.0.0/24", "10.0.1.77"));
        assert!(holds("10.0.0.2", "::ffff:10.0.0.2"));
        assert!(!holds("10.0.0.2", "10.0.0.3"));
        assert!(holds("0.0.0.0/0", "192.0.2.1") && !holds("0.0.0.0/0", "2001:db8::1"));
        assert!(holds("2001:db8::/32", "2001:db8::1") && holds("::/0", "192.0.2.1"));
        for text in ["10.0.0.0/33", "gate", "10.0.0.0/", "::/129"] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
