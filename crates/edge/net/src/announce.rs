//! Announcing a service by mDNS (RFC 6762, RFC 6763).
//!
//! A network without multicast is no reason not to serve: a warning is all.

use std::net::SocketAddr;
use std::time::Duration;

use mdns_sd::{ServiceDaemon, ServiceInfo};

use crate::browse::limit_to;

/// How long the farewell may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// What is announced.
#[derive(Debug, Clone, Copy)]
pub struct AnnouncedService<'a> {
    /// The service's type, such as `_brski-registrar._tcp.local.`
    pub service: &'a str,
    /// Where it listens; without an address all of the interfaces' own.
    pub addr: SocketAddr,
    /// Names of interfaces, `loopback`, or `all`.
    pub interfaces: &'a [String],
    /// What it calls itself, one label. The port is added: several may run on one machine.
    pub name: &'a str,
    /// The TXT record.
    pub text: &'a [(&'a str, &'a str)],
}

/// A service that is announced until it is withdrawn.
pub struct Announcement {
    daemon: ServiceDaemon,
    name: String,
}

impl Announcement {
    /// Announces a service; nothing where mDNS does not work, with a warning.
    pub fn begin(announced: AnnouncedService<'_>) -> Option<Self> {
        match Self::try_begin(announced) {
            Ok(announcement) => Some(announcement),
            Err(error) => {
                tracing::warn!(%error, service = announced.service, "not announced by mDNS");
                None
            }
        }
    }

    fn try_begin(announced: AnnouncedService<'_>) -> Result<Self, mdns_sd::Error> {
        let AnnouncedService {
            service,
            addr,
            interfaces,
            name,
            text,
        } = announced;
        let daemon = ServiceDaemon::new()?;
        limit_to(&daemon, interfaces)?;
        let instance = format!("Vouchsafe {name} {}", addr.port());
        let host = format!("vouchsafe-{name}-{}.local.", addr.port());
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
    pub async fn withdraw(self) {
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
