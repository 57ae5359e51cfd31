//! The listener: one connection, one task, one session.
//!
//! 1. [`Listener::bind`] listens; access points and devices can connect from now on.
//! 2. [`Listener::serve`] gives each connection a place among a bounded number, and a task.
//! 3. When told to stop it accepts no more, and sessions under way have [`GRACE`] to end.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use vouchsafe_net::BindError;

use super::places::Places;
use super::session;
use super::wire::Wire;
use crate::controller::Controller;

/// Connections that the kernel holds for us before we accept them.
const BACKLOG: u32 = 1024;

/// Pause after a failed accept, for example while no file descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// How long sessions may go on after the shutdown signal.
const GRACE: Duration = Duration::from_secs(20);

/// A bound listener for Wi-Fi Easy Connect over TCP.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    addr: SocketAddr,
}

impl Listener {
    /// Step 1: listens on `addr`; port 0 takes a free one.
    ///
    /// # Errors
    /// The address is taken or not ours.
    pub fn bind(addr: SocketAddr) -> Result<Self, BindError> {
        let failed = |source| BindError::Listen { addr, source };
        let socket = match addr {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }
        .map_err(failed)?;
        socket.set_reuseaddr(true).map_err(failed)?;
        socket.bind(addr).map_err(failed)?;
        let listener = socket.listen(BACKLOG).map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, addr })
    }

    /// The address really listened on.
    pub const fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Steps 2 and 3. Returns how many sessions had to be cut.
    pub async fn serve(self, controller: Controller, shutdown: impl Future<Output = ()>) -> u64 {
        let places = Places::new(controller.config.dpp.max_sessions);
        let (over, is_over) = watch::channel(false);
        // Every session holds a clone; the channel closes with the last one.
        let (alive, mut all_gone) = mpsc::channel::<()>(1);
        tracing::info!(name = "dpp", addr = %self.addr, "listening");
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = shutdown.as_mut() => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => admit(
                        stream,
                        peer,
                        &controller,
                        &places,
                        Ending { over: is_over.clone(), alive: alive.clone() },
                    ),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        places.make_room();
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
        drop((self.listener, alive, is_over));
        let mut cut = 0;
        if tokio::time::timeout(GRACE, all_gone.recv()).await.is_err() {
            cut = over.receiver_count() as u64;
            let _ = over.send(true);
            all_gone.recv().await;
        }
        tracing::info!(name = "dpp", addr = %self.addr, "closed");
        cut
    }
}

/// How a session learns that the grace is over, and tells that it ended.
struct Ending {
    over: watch::Receiver<bool>,
    alive: mpsc::Sender<()>,
}

fn admit(
    stream: TcpStream,
    peer: SocketAddr,
    controller: &Controller,
    places: &std::sync::Arc<Places>,
    ending: Ending,
) {
    metrics::counter!("vouchsafe_dpp_connections_total").increment(1);
    let Some((place, cut)) = places.admit() else {
        tracing::warn!(%peer, "no room for a session: all are with devices that proved a key");
        metrics::counter!("vouchsafe_dpp_cuts_total").increment(1);
        return;
    };
    let controller = controller.clone();
    tokio::spawn(async move {
        let Ending { mut over, alive } = ending;
        let _open = Open::new();
        let wire = Wire::new(stream, Some(cut));
        tokio::select! {
            () = session::run(controller, wire, peer, place) => {}
            _ = over.wait_for(|over| *over) => {}
        }
        drop(alive);
    });
}

/// Counts a session while it lives, also when its task panics.
struct Open;

impl Open {
    fn new() -> Self {
        metrics::gauge!("vouchsafe_dpp_sessions_open").increment(1.0);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!("vouchsafe_dpp_sessions_open").decrement(1.0);
    }
}
