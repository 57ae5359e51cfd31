//! How devices find the controller by mDNS (RFC 6763): the registrar as
//! `_brski-registrar._tcp.local` (RFC 8995 appendix B), the listener for Wi-Fi Easy Connect as
//! `_dpp._tcp.local`. Nobody has registered the latter; its TXT record has the hash of the
//! controller's bootstrapping key as `pkhash`, in hexadecimal digits, which is how an access point
//! names a controller. It is a hint like all of mDNS: who has the wrong hash is refused in the
//! exchange.
//!
//! A network without multicast is no reason not to serve: devices may be configured, or find the
//! registrar by a proxy. Then a warning is all.
//!
//! The registrar also floods `AN_join_registrar` by GRASP (RFC 8995 §4.3), for join proxies. It is not
//! signed, and no more than a hint either.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use vouchsafe_brski::grasp::{Address, Flood, GROUP, PORT};
use vouchsafe_fleet::OwnerId;
use vouchsafe_net::{AnnouncedService, Announcement, Neighbours};

/// The registrar (RFC 8995 §8.7).
pub(crate) const REGISTRAR: &str = "_brski-registrar._tcp.local.";

/// The listener for Wi-Fi Easy Connect.
pub(crate) const DPP: &str = "_dpp._tcp.local.";

/// Announces a service of the controller that listens on `addr`. `interfaces` are names of interfaces,
/// `loopback`, or `all`; `text` goes into the TXT record.
pub(crate) fn announce(
    service: &'static str,
    addr: SocketAddr,
    interfaces: &[String],
    owner: OwnerId,
    text: &[(&str, &str)],
) -> Option<Announcement> {
    // Several controllers may be on one link, and several on one machine: the names differ by
    // owner and port, so that none has to give way.
    let owner = owner.to_string();
    let short: String = owner.chars().take(8).collect();
    Announcement::begin(AnnouncedService {
        service,
        addr,
        interfaces,
        name: &short,
        text,
    })
}

/// How often a registrar tells of itself (RFC 8995 §4.3: not more often than once a minute).
const FLOOD: Duration = Duration::from_secs(60);

/// How long to wait for a network that is not there yet.
const AGAIN: Duration = Duration::from_secs(10);

/// Floods where the registrar is, by GRASP, on each of the interfaces, until dropped.
pub(crate) async fn flood(addr: SocketAddr, interfaces: Vec<String>) {
    loop {
        let pause = match flood_once(addr, &interfaces).await {
            Ok(()) => FLOOD,
            Err(error) => {
                tracing::debug!(%error, "not announced by GRASP");
                AGAIN
            }
        };
        tokio::time::sleep(pause).await;
    }
}

async fn flood_once(addr: SocketAddr, interfaces: &[String]) -> std::io::Result<()> {
    let neighbours = Neighbours::join(Ipv6Addr::from(GROUP), PORT, interfaces)?;
    for link in neighbours.links() {
        let address = match addr.ip() {
            IpAddr::V4(address) if !address.is_unspecified() => Address::V4(address.octets()),
            IpAddr::V6(address) if !address.is_unspecified() => Address::V6(address.octets()),
            // An IPv4 socket is not to be reached at the link's address.
            IpAddr::V4(_) => continue,
            IpAddr::V6(_) => Address::V6(link.address.octets()),
        };
        let session = u32::from_be_bytes(vouchsafe_keystore::random::bytes());
        let flood = Flood::of_registrar(session, address, addr.port());
        neighbours.send(link, &flood.to_bytes()).await?;
    }
    Ok(())
}
