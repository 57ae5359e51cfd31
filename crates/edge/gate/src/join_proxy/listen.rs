//! The doors: sockets where devices arrive, and what becomes of each arrival.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::circuit::{self, End};
use super::circuits::{NoRoom, Room};
use super::config::JoinProxyConfig;
use super::{Door, Shared, Target};
use crate::error::GateError;
use crate::event::Event;

/// Arrivals that the kernel keeps for us.
const BACKLOG: u32 = 256;

/// How long a registrar may take to answer a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// How long to wait when the machine has no more sockets.
const EXHAUSTED: Duration = Duration::from_millis(200);

/// Refusals are told at most this often.
const TELL: Duration = Duration::from_secs(1);

/// One socket for each interface, or one for all.
pub(super) fn doors(config: &JoinProxyConfig) -> Result<Vec<Door>, GateError> {
    if config.interfaces.iter().any(|name| name == "all") {
        return door(config.listen, "all").map(|door| vec![door]);
    }
    let names = config.interfaces.iter();
    names.map(|name| door(config.listen, name)).collect()
}

fn door(address: SocketAddr, interface: &str) -> Result<Door, GateError> {
    let failed = |source| GateError::Socket {
        address: format!("{address} on {interface}"),
        source,
    };
    let bound = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        socket.set_reuseaddr(true)?;
        match interface {
            "all" => {}
            "loopback" => socket.bind_device(Some(b"lo"))?,
            name => socket.bind_device(Some(name.as_bytes()))?,
        }
        socket.bind(address)?;
        let listener = socket.listen(BACKLOG)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    let (listener, address) = bound().map_err(failed)?;
    Ok(Door {
        listener,
        address,
        interface: interface.to_owned(),
    })
}

/// Serves one door until dropped.
pub(super) async fn serve(shared: Arc<Shared>, door: Door) {
    let mut circuits = JoinSet::new();
    let mut refusals = Refusals::default();
    loop {
        while circuits.try_join_next().is_some() {}
        let (near, from) = match door.listener.accept().await {
            Ok(arrival) => arrival,
            Err(error) => {
                tracing::warn!(%error, "a device cannot be accepted");
                tokio::time::sleep(EXHAUSTED).await;
                continue;
            }
        };
        match shared.circuits.enter(from.ip(), Instant::now()) {
            Ok(room) => {
                circuits.spawn(one(shared.clone(), near, from, room));
            }
            Err(why) => refusals.tell(&shared, from.ip(), why),
        }
    }
}

/// Refusals since they were last told: whoever is refused often does not fill the log.
#[derive(Default)]
struct Refusals {
    told: Option<Instant>,
    count: u64,
}

impl Refusals {
    fn tell(&mut self, shared: &Shared, from: IpAddr, why: NoRoom) {
        self.count += 1;
        let now = Instant::now();
        if self
            .told
            .is_some_and(|told| now.duration_since(told) < TELL)
        {
            return;
        }
        let event = Event::CircuitRefused {
            from: from.to_canonical().to_string(),
            reason: why.code(),
            count: self.count,
        };
        shared.events.tell(shared.clock.now(), event);
        self.told = Some(now);
        self.count = 0;
    }
}

async fn one(shared: Arc<Shared>, near: TcpStream, from: SocketAddr, room: Room) {
    let _ = near.set_nodelay(true);
    let targets = shared.registrars.borrow().clone();
    let end = match reach(&targets).await {
        Some(far) => circuit::carry(near, far, &room.activity, shared.circuits.bounds()).await,
        None => End::NoRegistrar,
    };
    let event = Event::Circuit {
        from: from.ip().to_canonical().to_string(),
        octets: room.activity.octets(),
        ended: end.code(),
    };
    drop(room);
    shared.events.tell(shared.clock.now(), event);
}

/// The first registrar that answers.
async fn reach(targets: &[Target]) -> Option<TcpStream> {
    for target in targets {
        match timeout(CONNECT, target.connect()).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                return Some(stream);
            }
            Ok(Err(error)) => tracing::warn!(%target, %error, "the registrar cannot be reached"),
            Err(_) => tracing::warn!(%target, "the registrar does not answer"),
        }
    }
    None
}
