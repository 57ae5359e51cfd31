//! How devices find the controller by mDNS (RFC 6763): the registrar as
//! `_brski-registrar._tcp.local` (RFC 8995 appendix B), the listener for Wi-Fi Easy Connect as
//! `_dpp._tcp.local`. Nobody has registered the latter; its TXT record has the hash of the
//! controller's bootstrapping key as `pkhash`, in hexadecimal digits, which is how an access point
//! names a controller. It is a hint like all of mDNS: who has the wrong hash is refused in the
//! exchange.
//!
//! A network without multicast is no reason not to serve: devices may be configured, or find the
//! registrar by a proxy. Then a warning is all.

use std::net::SocketAddr;

use vouchsafe_fleet::OwnerId;
use vouchsafe_net::{AnnouncedService, Announcement};

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
