//! The join proxy (RFC 8995 §4): how a device that nobody knows yet reaches the registrar, and nothing
//! else.
//!
//! 1. The registrar is known: by configuration, by the gate's link, or because it announces itself on
//!    interfaces where no devices are ([`find`]).
//! 2. Only then the proxy announces itself to devices, as `_brski-proxy._tcp` (RFC 8995 appendix B) and
//!    as `AN_Proxy` by GRASP (§4.1.1).
//! 3. A device connects. [`Circuits`](circuits::Circuits) says whether there is room.
//! 4. The proxy connects to the registrar, whatever the device wants, and carries octets both ways
//!    ([`circuit`]) until one of the bounds is met.
//!
//! It is a circuit proxy over TCP (§4.1): nothing ends TLS here, so the certificate that a device sees and
//! names in its request is the registrar's own. That announcements of registrars are not signed costs
//! nothing but time: who is really there shows in the voucher.

mod circuit;
mod circuits;
mod config;
mod find;
mod grasp;
mod listen;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use vouchsafe_net::{AnnouncedService, Announcement, Clock};

use crate::error::GateError;
use crate::event::{Event, Events};
use circuits::Circuits;

pub use config::JoinProxyConfig;
pub(crate) use find::{Registrars, Target};

/// What devices look for (RFC 8995 §8.7).
const SERVICE: &str = "_brski-proxy._tcp.local.";

/// How long circuits may go on while the gate stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// A proxy that runs.
pub(crate) struct JoinProxy {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// One socket where devices arrive.
struct Door {
    listener: TcpListener,
    address: SocketAddr,
    interface: String,
}

/// What the parts share.
pub(crate) struct Shared {
    config: JoinProxyConfig,
    circuits: Circuits,
    registrars: watch::Receiver<Vec<Target>>,
    clock: Clock,
    events: Events,
}

impl JoinProxy {
    /// Binds its sockets, and serves. `link` is where the gate's controller is, if it has a link.
    ///
    /// # Errors
    /// A socket cannot be bound.
    pub(crate) fn begin(
        config: JoinProxyConfig,
        link: Option<Target>,
        clock: Clock,
        events: Events,
    ) -> Result<Self, GateError> {
        let doors = listen::doors(&config)?;
        for door in &doors {
            let event = Event::JoinProxyReady {
                join_proxy: door.address.to_string(),
                interface: door.interface.clone(),
            };
            events.tell(clock.now(), event);
        }
        let registrars = Registrars::begin(&config, link);
        let shared = Arc::new(Shared {
            circuits: Circuits::new(config.bounds()),
            registrars: registrars.known(),
            config,
            clock,
            events,
        });
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(run(shared, registrars, doors, stopped));
        Ok(Self { stop, task })
    }

    /// Withdraws the announcement and ends what is open.
    pub(crate) async fn end(mut self) {
        self.stop.send_replace(true);
        let ended = tokio::time::timeout(FAREWELL, &mut self.task).await;
        if ended.is_err() {
            self.task.abort();
        }
    }
}

async fn run(
    shared: Arc<Shared>,
    registrars: Registrars,
    doors: Vec<Door>,
    mut stopped: watch::Receiver<bool>,
) {
    let places: Vec<_> = doors
        .iter()
        .map(|door| (door.address, door.interface.clone()))
        .collect();
    let mut tasks = JoinSet::new();
    for door in doors {
        tasks.spawn(listen::serve(shared.clone(), door));
    }
    let mut known = shared.registrars.clone();
    let mut announced: Vec<Announcement> = Vec::new();
    let mut floods = JoinSet::new();
    loop {
        let targets = known.borrow_and_update().clone();
        let event = Event::JoinProxyRegistrars {
            registrars: targets.iter().map(ToString::to_string).collect(),
        };
        shared.events.tell(shared.clock.now(), event);
        if targets.is_empty() {
            floods.abort_all();
            withdraw(&mut announced).await;
        } else if announced.is_empty() && shared.config.announce {
            announced = places.iter().filter_map(announce).collect();
            for (address, interface) in places.iter().filter(|it| it.0.is_ipv6()) {
                floods.spawn(grasp::tell(vec![interface.clone()], address.port()));
            }
        }
        tokio::select! {
            changed = known.changed() => if changed.is_err() { break },
            _ = stopped.wait_for(|stop| *stop) => break,
        }
    }
    floods.shutdown().await;
    withdraw(&mut announced).await;
    tasks.shutdown().await;
    registrars.end().await;
}

fn announce((addr, interface): &(SocketAddr, String)) -> Option<Announcement> {
    Announcement::begin(AnnouncedService {
        service: SERVICE,
        addr: *addr,
        interfaces: std::slice::from_ref(interface),
        name: "proxy",
        text: &[],
    })
}

async fn withdraw(announced: &mut Vec<Announcement>) {
    for each in announced.drain(..) {
        each.withdraw().await;
    }
}
