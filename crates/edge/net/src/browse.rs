//! What finding services by mDNS and announcing them have in common.

use std::net::{SocketAddr, SocketAddrV6};

use mdns_sd::{IfKind, ResolvedService, ScopedIp, ServiceDaemon};

/// Limits mDNS to these interfaces: their names, `loopback`, or `all`. Unless it is told so, it uses all,
/// loopback included.
///
/// # Errors
/// The daemon has ended.
pub fn limit_to(daemon: &ServiceDaemon, interfaces: &[String]) -> Result<(), mdns_sd::Error> {
    if interfaces.iter().any(|name| name == "all") {
        return Ok(());
    }
    daemon.disable_interface(IfKind::All)?;
    for name in interfaces {
        match name.as_str() {
            "loopback" => {
                daemon.enable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6])?;
            }
            name => daemon.enable_interface(name)?,
        }
    }
    Ok(())
}

/// Where a service that was found can be called, at most `most` places. IPv4 first: it needs no zone, and the
/// order does not depend on the announcement.
pub fn places_of(service: &ResolvedService, most: usize) -> Vec<SocketAddr> {
    let port = service.get_port();
    let mut places: Vec<SocketAddr> = service
        .get_addresses()
        .iter()
        .map(|address| match address {
            ScopedIp::V6(scoped) => {
                let scope = scoped.scope_id().index;
                SocketAddrV6::new(*scoped.addr(), port, 0, scope).into()
            }
            address => SocketAddr::new(address.to_ip_addr(), port),
        })
        .filter(|it| port != 0 && !it.ip().is_unspecified() && !it.ip().is_multicast())
        .collect();
    places.sort();
    places.truncate(most);
    places
}
