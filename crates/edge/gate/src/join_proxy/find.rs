//! Which registrars there are: the configured one, that of the link, or those that announce themselves
//! as `_brski-registrar._tcp` (RFC 8995 appendix B) or by GRASP (§4.3) where the configuration says that one
//! may look.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use mdns_sd::{ResolvedService, ServiceDaemon, ServiceEvent};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use vouchsafe_net::{limit_to, places_of};

use super::config::JoinProxyConfig;
use super::grasp;

/// What registrars are announced as (RFC 8995 §8.7).
const SERVICE: &str = "_brski-registrar._tcp.local.";

/// Most registrars that are kept in mind; announcements are anybody's.
pub(super) const MAX_FOUND: usize = 8;

/// Most addresses of one of them.
const MAX_ADDRESSES: usize = 4;

/// Where a registrar is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// `HOST:PORT`, looked up at each connection.
    Named(String),
    /// An address.
    At(SocketAddr),
}

impl Target {
    pub(crate) fn named(host: &str, port: u16) -> Self {
        match host.parse() {
            Ok(address) => Self::At(SocketAddr::new(address, port)),
            Err(_) => Self::Named(format!("{host}:{port}")),
        }
    }

    pub(super) async fn connect(&self) -> std::io::Result<TcpStream> {
        match self {
            Self::Named(name) => TcpStream::connect(name).await,
            Self::At(address) => TcpStream::connect(address).await,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::At(address) => address.fmt(f),
        }
    }
}

/// The registrars that are known now.
pub(crate) struct Registrars {
    known: watch::Sender<Vec<Target>>,
    daemon: Option<ServiceDaemon>,
    tasks: JoinSet<()>,
}

impl Registrars {
    /// The configured one if there is one; else that of the link and those that are found.
    pub(crate) fn begin(config: &JoinProxyConfig, link: Option<Target>) -> Self {
        let given: Vec<_> = match &config.registrar {
            Some(name) => vec![Target::Named(name.clone())],
            None => link.into_iter().collect(),
        };
        let known = watch::Sender::new(given.clone());
        let mut registrars = Self {
            known,
            daemon: None,
            tasks: JoinSet::new(),
        };
        if config.registrar.is_none() && !config.discover_on.is_empty() {
            registrars.look(given, &config.discover_on);
        }
        registrars
    }

    fn look(&mut self, given: Vec<Target>, interfaces: &[String]) {
        let by_mdns = watch::Sender::new(Vec::new());
        let by_grasp = watch::Sender::new(Vec::new());
        let both = (by_mdns.subscribe(), by_grasp.subscribe());
        match browse(interfaces) {
            Ok((daemon, events)) => {
                self.daemon = Some(daemon);
                self.tasks.spawn(follow(events, by_mdns));
            }
            Err(error) => tracing::warn!(%error, "registrars are not looked for by mDNS"),
        }
        self.tasks.spawn(grasp::hear(interfaces.to_vec(), by_grasp));
        self.tasks.spawn(join(given, both, self.known.clone()));
    }

    pub(crate) fn known(&self) -> watch::Receiver<Vec<Target>> {
        self.known.subscribe()
    }

    /// Looks no longer.
    pub(crate) async fn end(mut self) {
        self.tasks.shutdown().await;
        if let Some(daemon) = self.daemon
            && let Ok(done) = daemon.shutdown()
        {
            let _ = done.recv_async().await;
        }
    }
}

/// Those given first, then those that mDNS and GRASP find.
async fn join(
    given: Vec<Target>,
    (mut by_mdns, mut by_grasp): (watch::Receiver<Vec<Target>>, watch::Receiver<Vec<Target>>),
    known: watch::Sender<Vec<Target>>,
) {
    loop {
        let mut all = given.clone();
        for found in [by_mdns.borrow_and_update(), by_grasp.borrow_and_update()] {
            for target in found.iter() {
                if !all.contains(target) {
                    all.push(target.clone());
                }
            }
        }
        known.send_if_modified(|known| {
            let is_new = *known != all;
            *known = all;
            is_new
        });
        // One that has ended brings nothing more; the other still may.
        let changed = tokio::select! {
            Ok(()) = by_mdns.changed() => true,
            Ok(()) = by_grasp.changed() => true,
            else => false,
        };
        if !changed {
            return;
        }
    }
}

fn browse(
    interfaces: &[String],
) -> Result<(ServiceDaemon, mdns_sd::Receiver<ServiceEvent>), mdns_sd::Error> {
    let daemon = ServiceDaemon::new()?;
    limit_to(&daemon, interfaces)?;
    let events = daemon.browse(SERVICE)?;
    Ok((daemon, events))
}

/// Keeps `known` in agreement with what mDNS announces.
async fn follow(events: mdns_sd::Receiver<ServiceEvent>, known: watch::Sender<Vec<Target>>) {
    let mut found: BTreeMap<String, Vec<Target>> = BTreeMap::new();
    while let Ok(event) = events.recv_async().await {
        match event {
            ServiceEvent::ServiceResolved(service) => {
                let name = service.get_fullname().to_owned();
                if found.len() < MAX_FOUND || found.contains_key(&name) {
                    found.insert(name, targets(&service));
                }
            }
            ServiceEvent::ServiceRemoved(_, name) => {
                found.remove(&name);
            }
            _ => continue,
        }
        let all: Vec<_> = found.values().flatten().cloned().collect();
        known.send_if_modified(|known| {
            let is_new = *known != all;
            *known = all;
            is_new
        });
    }
}

fn targets(service: &ResolvedService) -> Vec<Target> {
    let places = places_of(service, MAX_ADDRESSES);
    places.into_iter().map(Target::At).collect()
}
