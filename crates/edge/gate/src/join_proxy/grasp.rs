//! GRASP (RFC 8990): the proxy tells neighbours where it is (RFC 8995 §4.1.1), and hears where registrars
//! are (§4.3).
//!
//! Floods are nobody's word. The proxy tells only of itself; what it hears counts only on interfaces where
//! the configuration says that one may look, is bounded in number, and ends with its time.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use vouchsafe_brski::grasp::{Address, Flood, GROUP, JOIN_REGISTRAR, MAX_MESSAGE, PORT};
use vouchsafe_net::Neighbours;

use super::find::{MAX_FOUND, Target};
use crate::random;

/// How often the proxy tells where it is. Pledges that have just been plugged in wait for it.
const TELL: Duration = Duration::from_secs(5);

/// How often what was heard is looked through for what has ended.
const LOOK: Duration = Duration::from_secs(10);

/// How long a flood counts at most, whatever it says: registrars tell of themselves once a minute, and
/// nobody shall keep the room for longer.
const LONGEST: Duration = Duration::from_secs(180);

/// How long to wait for a network that is not there yet.
const AGAIN: Duration = Duration::from_secs(10);

/// Tells of a proxy at `port` on the interfaces until dropped.
pub(super) async fn tell(interfaces: Vec<String>, port: u16) {
    loop {
        match Neighbours::join(Ipv6Addr::from(GROUP), PORT, &interfaces) {
            Ok(neighbours) => {
                for link in neighbours.links() {
                    let session = random::bytes().map_or(0, u32::from_be_bytes);
                    let address = Address::V6(link.address.octets());
                    let flood = Flood::of_proxy(session, address, port);
                    if let Err(error) = neighbours.send(link, &flood.to_bytes()).await {
                        tracing::debug!(interface = link.interface, %error, "no flood");
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "no flood"),
        }
        sleep(TELL).await;
    }
}

/// Keeps `found` in agreement with what registrars tell, until dropped.
pub(super) async fn hear(interfaces: Vec<String>, found: watch::Sender<Vec<Target>>) {
    loop {
        match Neighbours::join(Ipv6Addr::from(GROUP), PORT, &interfaces) {
            Ok(neighbours) => follow(&neighbours, &found).await,
            Err(error) => tracing::debug!(%error, "registrars are not heard of by GRASP"),
        }
        sleep(AGAIN).await;
    }
}

async fn follow(neighbours: &Neighbours, found: &watch::Sender<Vec<Target>>) {
    let mut heard: BTreeMap<Target, Instant> = BTreeMap::new();
    // One octet more than a message may have, so that a longer one is seen to be.
    let mut buffer = vec![0; MAX_MESSAGE + 1];
    loop {
        let came = match timeout(LOOK, neighbours.receive(&mut buffer)).await {
            Ok(Ok((length, from))) => buffer.get(..length).map(|bytes| (bytes, from)),
            Ok(Err(error)) => {
                tracing::debug!(%error, "registrars are not heard of by GRASP");
                return;
            }
            Err(_) => None,
        };
        let now = Instant::now();
        heard.retain(|_, until| *until > now);
        if let Some((bytes, from)) = came
            && let Ok(flood) = Flood::from_bytes(bytes)
        {
            let until = now + Duration::from_millis(flood.time_to_live.into()).min(LONGEST);
            for place in flood.places.iter().filter(|it| it.is_of(JOIN_REGISTRAR)) {
                let Some(target) = target(place.address, place.port, from) else {
                    continue;
                };
                if flood.time_to_live == 0 {
                    heard.remove(&target);
                } else if heard.len() < MAX_FOUND || heard.contains_key(&target) {
                    heard.insert(target, until);
                }
            }
        }
        let all: Vec<_> = heard.keys().cloned().collect();
        found.send_if_modified(|found| {
            let is_new = *found != all;
            *found = all;
            is_new
        });
    }
}

/// A link-local address counts on the link that the flood came by.
fn target(address: Address, port: u16, from: SocketAddrV6) -> Option<Target> {
    let address: SocketAddr = match address {
        Address::V4(octets) => SocketAddr::new(Ipv4Addr::from(octets).into(), port),
        Address::V6(octets) => {
            let address = Ipv6Addr::from(octets);
            let scope = if address.is_unicast_link_local() {
                from.scope_id()
            } else {
                0
            };
            SocketAddrV6::new(address, port, 0, scope).into()
        }
    };
    let ip = address.ip();
    let can_be_called = !ip.is_unspecified() && !ip.is_multicast() && !ip.is_loopback();
    can_be_called.then_some(Target::At(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_called_from_here_is_a_registrar() {
        let from = SocketAddrV6::new("fe80::1".parse().unwrap(), PORT, 0, 3);
        let v6 = |text: &str| Address::V6(text.parse::<Ipv6Addr>().unwrap().octets());
        let found = target(v6("fe80::2"), 8443, from).unwrap();
        assert_eq!(found.to_string(), "[fe80::2%3]:8443");
        let found = target(v6("2001:db8::2"), 8443, from).unwrap();
        assert_eq!(found.to_string(), "[2001:db8::2]:8443");
        // Nobody makes the gate call itself, or everybody.
        for wrong in [
            v6("::1"),
            v6("::"),
            v6("ff02::1"),
            Address::V4([127, 0, 0, 1]),
        ] {
            assert_eq!(target(wrong, 8443, from), None);
        }
    }
}
