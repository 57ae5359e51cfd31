//! Registrars, proxies and Wi-Fi Easy Connect controllers by mDNS (RFC 8995 appendix B, RFC 6762, RFC
//! 6763), and proxies by GRASP (RFC 8995 §4.1.1).
//!
//! All that comes is anybody's claim: it is bounded in number, names are not used (a candidate is an
//! address and a port), and who is really there shows in the voucher.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mdns_sd::{ResolvedService, ServiceDaemon, ServiceEvent};
use tokio::time::{Instant, timeout_at};
use vouchsafe_brski::grasp::{Address, Flood, GROUP, MAX_MESSAGE, PORT, PROXY};
use vouchsafe_net::{Neighbours, Origin, limit_to, places_of};

use crate::candidate::{Candidate, Found, MAX_CANDIDATES};
use crate::error::LocalError;

/// What registrars and proxies are announced as.
const SERVICES: [&str; 2] = ["_brski-registrar._tcp.local.", "_brski-proxy._tcp.local."];

/// Once the first is found, others may follow for this long.
const FOLLOWERS: Duration = Duration::from_secs(1);

/// How often each way of looking asks whether another has found somebody.
const GLANCE: Duration = Duration::from_millis(200);

/// The most addresses of one service that are tried.
const MAX_ADDRESSES: usize = 4;

/// What controllers for Wi-Fi Easy Connect are announced as.
const CONTROLLERS: &str = "_dpp._tcp.local.";

/// Looks for registrars other than the `known`, at most for `window`.
pub(crate) async fn browse(
    interface: &str,
    window: Duration,
    known: &[Origin],
) -> Result<Vec<Candidate>, LocalError> {
    let [registrars, proxies] = SERVICES;
    let end = End::after(window);
    let (found, flooded) = tokio::join!(
        look(interface, &end, known, registrars, Some(proxies)),
        floods(interface, &end, known),
    );
    let mut found = found?;
    crate::candidate::add(&mut found, flooded);
    Ok(found)
}

/// When a search ends, for all who take part in it.
struct End(Mutex<Instant>);

impl End {
    fn after(window: Duration) -> Self {
        Self(Mutex::new(Instant::now() + window))
    }

    /// Somebody was found: others may follow, and then it is over.
    fn soon(&self) {
        let mut at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *at = (*at).min(Instant::now() + FOLLOWERS);
    }

    fn at(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What comes before the end, which others may bring nearer meanwhile. `next` loses nothing when it is
    /// dropped and called again.
    async fn before<T, F: Future<Output = T>>(&self, mut next: impl FnMut() -> F) -> Option<T> {
        loop {
            let at = self.at();
            let glance = Instant::now() + GLANCE;
            match timeout_at(at.min(glance), next()).await {
                Ok(came) => return Some(came),
                Err(_) if at <= glance => return None,
                Err(_) => {}
            }
        }
    }

    /// As [`End::before`], a neighbour's datagram.
    async fn before_datagram(
        &self,
        neighbours: &Neighbours,
        buffer: &mut [u8],
    ) -> Option<std::io::Result<(usize, SocketAddrV6)>> {
        loop {
            let at = self.at();
            let glance = Instant::now() + GLANCE;
            match timeout_at(at.min(glance), neighbours.receive(buffer)).await {
                Ok(came) => return Some(came),
                Err(_) if at <= glance => return None,
                Err(_) => {}
            }
        }
    }
}

/// Proxies that tell of themselves by GRASP. A proxy is on this very link (RFC 8995 §4.1.1), so its address
/// must be too.
async fn floods(interface: &str, end: &End, known: &[Origin]) -> Vec<Candidate> {
    let mut found = Vec::new();
    let joined = Neighbours::join(Ipv6Addr::from(GROUP), PORT, &[interface.to_owned()]);
    let neighbours = match joined {
        Ok(neighbours) => neighbours,
        Err(error) => {
            tracing::debug!(%error, "proxies are not looked for by GRASP");
            return found;
        }
    };
    // One octet more than a message may have, so that a longer one is seen to be.
    let mut buffer = vec![0; MAX_MESSAGE + 1];
    while found.len() < MAX_CANDIDATES {
        let Some(Ok((length, from))) = end.before_datagram(&neighbours, &mut buffer).await else {
            break;
        };
        let Ok(flood) = Flood::from_bytes(buffer.get(..length).unwrap_or_default()) else {
            continue;
        };
        let mut new = proxies(&flood, from);
        new.retain(|candidate| !known.contains(&candidate.origin));
        if !new.is_empty() {
            crate::candidate::add(&mut found, new);
            end.soon();
        }
    }
    found
}

fn proxies(flood: &Flood, from: SocketAddrV6) -> Vec<Candidate> {
    let places = flood.places.iter().filter(|place| place.is_of(PROXY));
    let places = places.filter(|_| flood.time_to_live > 0);
    let candidates = places.filter_map(|place| {
        let Address::V6(octets) = place.address else {
            return None;
        };
        let address = Ipv6Addr::from(octets);
        address.is_unicast_link_local().then(|| {
            let addr = SocketAddrV6::new(address, place.port, 0, from.scope_id());
            Candidate {
                origin: Origin::from(SocketAddr::from(addr)),
                addr: Some(addr.into()),
                found: Found::Flooded,
            }
        })
    });
    candidates.take(MAX_ADDRESSES).collect()
}

/// Looks for controllers for Wi-Fi Easy Connect, at most for `window`.
pub(crate) async fn controllers(
    interface: &str,
    window: Duration,
) -> Result<Vec<Candidate>, LocalError> {
    look(interface, &End::after(window), &[], CONTROLLERS, None).await
}

async fn look(
    interface: &str,
    end: &End,
    known: &[Origin],
    service: &str,
    other: Option<&str>,
) -> Result<Vec<Candidate>, LocalError> {
    let failed = |error: mdns_sd::Error| LocalError::Discovery(error.to_string());
    let daemon = ServiceDaemon::new().map_err(failed)?;
    limit_to(&daemon, &[interface.to_owned()]).map_err(failed)?;
    let first = daemon.browse(service).map_err(failed)?;
    let second = other
        .map(|service| daemon.browse(service))
        .transpose()
        .map_err(failed)?;
    let mut found = Vec::new();
    while found.len() < MAX_CANDIDATES {
        let next = || async {
            let of_other = async {
                match &second {
                    Some(events) => events.recv_async().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = first.recv_async() => event,
                event = of_other => event,
            }
        };
        match end.before(next).await {
            Some(Ok(ServiceEvent::ServiceResolved(service))) => {
                let mut new = candidates(&service);
                new.retain(|candidate| !known.contains(&candidate.origin));
                if !new.is_empty() {
                    crate::candidate::add(&mut found, new);
                    end.soon();
                }
            }
            Some(Ok(_)) => {}
            // Nothing more will come.
            Some(Err(_)) | None => break,
        }
    }
    let _ = daemon.shutdown();
    Ok(found)
}

fn candidates(service: &ResolvedService) -> Vec<Candidate> {
    places_of(service, MAX_ADDRESSES)
        .into_iter()
        .map(|addr| Candidate {
            origin: Origin::from(addr),
            addr: Some(addr),
            found: Found::Discovered,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from() -> SocketAddrV6 {
        SocketAddrV6::new("fe80::1".parse().unwrap(), PORT, 0, 4)
    }

    fn v6(text: &str) -> Address {
        Address::V6(text.parse::<Ipv6Addr>().unwrap().octets())
    }

    /// RFC 8995 §4.1.1: a proxy's locator is its link-local address.
    #[test]
    fn a_flooded_proxy_is_called_on_the_link_that_it_was_heard_on_and_nowhere_else() {
        let found = proxies(&Flood::of_proxy(1, v6("fe80::2"), 4443), from());
        let addr = found[0].addr.unwrap();
        assert_eq!(addr.to_string(), "[fe80::2%4]:4443");
        for elsewhere in [v6("2001:db8::1"), v6("::1"), Address::V4([192, 0, 2, 1])] {
            assert!(proxies(&Flood::of_proxy(1, elsewhere, 4443), from()).is_empty());
        }
        // Taken back; and not a proxy.
        let mut flood = Flood::of_proxy(1, v6("fe80::2"), 4443);
        flood.time_to_live = 0;
        assert!(proxies(&flood, from()).is_empty());
        assert!(proxies(&Flood::of_registrar(1, v6("fe80::2"), 4443), from()).is_empty());
    }
}
