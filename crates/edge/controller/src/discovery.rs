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
use std::time::Duration;

use mdns_sd::{IfKind, ServiceDaemon, ServiceInfo};
use vouchsafe_fleet::OwnerId;

/// The registrar (RFC 8995 §8.7).
pub(crate) const REGISTRAR: &str = "_brski-registrar._tcp.local.";

/// The listener for Wi-Fi Easy Connect.
pub(crate) const DPP: &str = "_dpp._tcp.local.";

/// How long the farewell may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// A service that is announced until it is withdrawn.
pub(crate) struct Announcement {
    daemon: ServiceDaemon,
    name: String,
}

impl Announcement {
    /// Announces a service that listens on `addr`. `interfaces` are names of interfaces,
    /// `loopback`, or `all`; `text` goes into the TXT record.
    pub(crate) fn begin(
        service: &'static str,
        addr: SocketAddr,
        interfaces: &[String],
        owner: OwnerId,
        text: &[(&str, &str)],
    ) -> Option<Self> {
        match Self::try_begin(service, addr, interfaces, owner, text) {
            Ok(announcement) => Some(announcement),
            Err(error) => {
                tracing::warn!(%error, service, "not announced by mDNS");
                None
            }
        }
    }

    fn try_begin(
        service: &'static str,
        addr: SocketAddr,
        interfaces: &[String],
        owner: OwnerId,
        text: &[(&str, &str)],
    ) -> Result<Self, mdns_sd::Error> {
        let daemon = ServiceDaemon::new()?;
        if !interfaces.iter().any(|name| name == "all") {
            daemon.disable_interface(IfKind::All)?;
            for name in interfaces {
                match name.as_str() {
                    "loopback" => {
                        daemon.enable_interface(IfKind::LoopbackV4)?;
                        daemon.enable_interface(IfKind::LoopbackV6)?;
                    }
                    name => daemon.enable_interface(name)?,
                }
            }
        }
        // Several controllers may be on one link, and several on one machine: the names differ by
        // owner and port, so that none has to give way.
        let owner = owner.to_string();
        let short: String = owner.chars().take(8).collect();
        let instance = format!("Vouchsafe {short} {}", addr.port());
        let host = format!("vouchsafe-{short}-{}.local.", addr.port());
        let addresses = match addr.ip().is_unspecified() {
            true => String::new(),
            false => addr.ip().to_string(),
        };
        let mut service =
            ServiceInfo::new(service, &instance, &host, addresses, addr.port(), text)?;
        if addr.ip().is_unspecified() {
            service = service.enable_addr_auto();
        }
        // The names are unique by construction; probing would cost devices most of a second.
        service.set_requires_probe(false);
        let name = service.get_fullname().to_owned();
        daemon.register(service)?;
        tracing::info!(%name, "announced");
        Ok(Self { daemon, name })
    }

    /// Says farewell, so that devices do not come to a door that is shut.
    pub(crate) async fn withdraw(self) {
        let farewell = async {
            if let Ok(done) = self.daemon.unregister(&self.name) {
                let _ = done.recv_async().await;
            }
            if let Ok(done) = self.daemon.shutdown() {
                let _ = done.recv_async().await;
            }
        };
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
    }
}

impl std::fmt::Debug for Announcement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Announcement")
            .field("name", &self.name)
            .finish()
    }
}
