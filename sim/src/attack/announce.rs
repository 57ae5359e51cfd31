//! An announcement by mDNS (RFC 6762, RFC 8995 appendix B), on loopback only: an attacker in a
//! demo has no business on a real network.

use anyhow::Context as _;
use mdns_sd::{IfKind, ServiceDaemon, ServiceInfo};

/// What registrars are announced as.
const SERVICE: &str = "_brski-registrar._tcp.local.";

/// Withdrawn with [`Announcement::withdraw`].
pub(super) struct Announcement {
    daemon: ServiceDaemon,
    name: String,
}

impl Announcement {
    /// Announces a registrar at 127.0.0.1, before all others if it were for its priority.
    pub(super) fn registrar(instance: &str, host: &str, port: u16) -> anyhow::Result<Self> {
        let daemon = ServiceDaemon::new().context("mDNS")?;
        daemon.disable_interface(IfKind::All).context("mDNS")?;
        daemon
            .enable_interface(IfKind::LoopbackV4)
            .context("mDNS")?;
        let nothing: &[(&str, &str)] = &[];
        let mut info = ServiceInfo::new(SERVICE, instance, host, "127.0.0.1", port, nothing)
            .context("mDNS")?;
        info.set_requires_probe(false);
        let name = info.get_fullname().to_owned();
        daemon.register(info).context("mDNS")?;
        Ok(Self { daemon, name })
    }

    /// Says goodbye.
    pub(super) async fn withdraw(self) {
        if let Ok(done) = self.daemon.unregister(&self.name) {
            let _ = done.recv_async().await;
        }
        let _ = self.daemon.shutdown();
    }
}
