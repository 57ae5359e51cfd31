//! Registrars, proxies and Wi-Fi Easy Connect controllers by mDNS (RFC 8995 appendix B, RFC 6762, RFC
//! 6763).
//!
//! All that comes is anybody's claim: it is bounded in number, names are not used (a candidate is an
//! address and a port), and who is really there shows in the voucher.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use mdns_sd::{IfKind, ResolvedService, ScopedIp, ServiceDaemon, ServiceEvent};
use tokio::time::{Instant, timeout_at};
use vouchsafe_net::Origin;

use crate::candidate::{Candidate, Found, MAX_CANDIDATES};
use crate::error::LocalError;

/// What registrars and proxies are announced as.
const SERVICES: [&str; 2] = ["_brski-registrar._tcp.local.", "_brski-proxy._tcp.local."];

/// Once the first is found, others may follow for this long.
const FOLLOWERS: Duration = Duration::from_secs(1);

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
    look(interface, window, known, registrars, Some(proxies)).await
}

/// Looks for controllers for Wi-Fi Easy Connect, at most for `window`.
pub(crate) async fn controllers(
    interface: &str,
    window: Duration,
) -> Result<Vec<Candidate>, LocalError> {
    look(interface, window, &[], CONTROLLERS, None).await
}

async fn look(
    interface: &str,
    window: Duration,
    known: &[Origin],
    service: &str,
    other: Option<&str>,
) -> Result<Vec<Candidate>, LocalError> {
    let failed = |error: mdns_sd::Error| LocalError::Discovery(error.to_string());
    let daemon = ServiceDaemon::new().map_err(failed)?;
    select(&daemon, interface).map_err(failed)?;
    let first = daemon.browse(service).map_err(failed)?;
    let second = other
        .map(|service| daemon.browse(service))
        .transpose()
        .map_err(failed)?;
    let mut deadline = Instant::now() + window;
    let mut found = Vec::new();
    while found.len() < MAX_CANDIDATES {
        let of_other = async {
            match &second {
                Some(events) => events.recv_async().await,
                None => std::future::pending().await,
            }
        };
        let next = async {
            tokio::select! {
                event = first.recv_async() => event,
                event = of_other => event,
            }
        };
        match timeout_at(deadline, next).await {
            Ok(Ok(ServiceEvent::ServiceResolved(service))) => {
                let mut new = candidates(&service);
                new.retain(|candidate| !known.contains(&candidate.origin));
                if !new.is_empty() {
                    crate::candidate::add(&mut found, new);
                    deadline = deadline.min(Instant::now() + FOLLOWERS);
                }
            }
            Ok(Ok(_)) => {}
            // Nothing more will come.
            Ok(Err(_)) | Err(_) => break,
        }
    }
    let _ = daemon.shutdown();
    Ok(found)
}

/// mDNS uses all interfaces, loopback included, unless it is told otherwise.
fn select(daemon: &ServiceDaemon, interface: &str) -> Result<(), mdns_sd::Error> {
    match interface {
        "all" => Ok(()),
        "loopback" => {
            daemon.disable_interface(IfKind::All)?;
            daemon.enable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6])
        }
        name => {
            daemon.disable_interface(IfKind::All)?;
            daemon.enable_interface(name)
        }
    }
}

fn candidates(service: &ResolvedService) -> Vec<Candidate> {
    let port = service.get_port();
    if port == 0 {
        return Vec::new();
    }
    let mut addresses: Vec<SocketAddr> = service
        .get_addresses()
        .iter()
        .map(|address| match address {
            ScopedIp::V6(scoped) => {
                let scope = scoped.scope_id().index;
                SocketAddrV6::new(*scoped.addr(), port, 0, scope).into()
            }
            address => SocketAddr::new(address.to_ip_addr(), port),
        })
        .filter(|addr| usable(addr.ip()))
        .collect();
    // IPv4 first: it needs no zone, and the order does not depend on the announcement.
    addresses.sort();
    addresses
        .into_iter()
        .take(MAX_ADDRESSES)
        .map(|addr| Candidate {
            origin: Origin::from(addr),
            addr: Some(addr),
            found: Found::Discovered,
        })
        .collect()
}

fn usable(address: IpAddr) -> bool {
    !address.is_unspecified() && !address.is_multicast()
}
