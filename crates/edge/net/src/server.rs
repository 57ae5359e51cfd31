//! The accept loop: TLS in front of an axum router, with bounds on what anybody can take.
//!
//! A client that goes away in the middle of a request cancels its handler at the next `await`; what
//! must not be left half done is handed to a task or a store that finishes it.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;

use crate::clock::Clock;
use crate::config::{ClientAuth, Configurations};
use crate::connection::{self, Shared, Stage};
use crate::identity::ReloadableIdentity;
use crate::limits::Limits;
use crate::stats::{Cut, Stats};
use crate::stream::Metered;
use crate::tls::TlsVersions;

/// Connections that the kernel holds for us before we accept them.
const BACKLOG: u32 = 4096;

/// Pause after a failed accept, for example while no file descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Connection ids are unique over all listeners of the process.
static NEXT_CONNECTION: AtomicU64 = AtomicU64::new(1);

/// What a listener is and asks for.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Name in counters and logs, such as `registrar`.
    pub name: &'static str,
    /// What it presents; may be replaced while it serves.
    pub identity: ReloadableIdentity,
    /// What it asks of its clients.
    pub client_auth: ClientAuth,
    /// Its bounds.
    pub limits: Limits,
    /// TLS versions it accepts.
    pub versions: TlsVersions,
    /// Whether clients may resume sessions. Only effective without client certificates.
    pub resumption: bool,
    /// The time by which certificates are judged.
    pub clock: Clock,
}

impl ServerOptions {
    /// Default limits, TLS 1.2 and 1.3, no resumption, the machine's clock.
    pub fn new(
        name: &'static str,
        identity: impl Into<ReloadableIdentity>,
        client_auth: ClientAuth,
    ) -> Self {
        Self {
            name,
            identity: identity.into(),
            client_auth,
            limits: Limits::default(),
            versions: TlsVersions::default(),
            resumption: false,
            clock: Clock::system(),
        }
    }
}

/// A bound listener: clients can connect from now on, and are served once [`Server::serve`] runs.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    addr: SocketAddr,
    options: ServerOptions,
    configurations: Configurations,
    stats: Stats,
}

/// Why a listener could not be bound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}")]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The identity does not work in TLS.
    #[error("the TLS configuration does not work: {0}")]
    Tls(String),
}

impl Server {
    /// Listens on `addr`; port 0 takes a free one, see [`Server::local_addr`].
    ///
    /// # Errors
    ///
    /// The address is taken or not ours, or the identity cannot be used.
    pub async fn bind(addr: SocketAddr, options: ServerOptions) -> Result<Self, BindError> {
        let configurations = Configurations::new(
            options.identity.clone(),
            &options.client_auth,
            options.versions,
            options.resumption,
            options.clock.clone(),
        );
        // A configuration that cannot be made is found now and not by the first client.
        configurations
            .current()
            .map_err(|error| BindError::Tls(error.to_string()))?;
        let (listener, addr) = listen(addr).map_err(|source| BindError::Listen { addr, source })?;
        let stats = Stats::new(options.name);
        Ok(Self {
            listener,
            addr,
            options,
            configurations,
            stats,
        })
    }

    /// The address really listened on.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// The counters of this listener.
    pub fn stats(&self) -> Stats {
        self.stats.clone()
    }

    /// Serves `router` until `shutdown` is ready; then accepts no more, lets requests in flight
    /// finish for at most [`Limits::grace`], and returns how many connections had to be cut.
    ///
    /// Every request carries a [`Peer`](crate::Peer) extension. The body limit is
    /// [`Limits::body_bytes`] (axum's own default is switched off; a route may set a smaller one).
    pub async fn serve(self, router: Router, shutdown: impl Future<Output = ()>) -> u64 {
        let Self {
            listener,
            addr,
            options,
            configurations,
            stats,
        } = self;
        let shared = Arc::new(Shared {
            handshakes: Semaphore::new(options.limits.handshakes.max(1)),
            registry: Arc::default(),
            stats: stats.clone(),
            configurations,
            router: router.layer(DefaultBodyLimit::disable()),
            limits: Arc::new(options.limits),
        });
        let (stage, stages) = watch::channel(Stage::Serving);
        // Every connection holds a clone; the channel closes with the last one.
        let (alive, mut all_gone) = mpsc::channel::<()>(1);
        tracing::info!(name = options.name, %addr, "listening");
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = shutdown.as_mut() => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, addr)) => admit(stream, addr, &shared, &stages, &alive),
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept a connection");
                        shared.registry.make_room();
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
        drop((listener, alive));
        let before = stats.cuts(Cut::GraceOver);
        let _ = stage.send(Stage::Draining);
        if timeout(shared.limits.grace, all_gone.recv()).await.is_err() {
            let _ = stage.send(Stage::Over);
            all_gone.recv().await;
        }
        tracing::info!(name = options.name, %addr, "closed");
        stats.cuts(Cut::GraceOver) - before
    }
}

fn listen(addr: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = if addr.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    let listener = socket.listen(BACKLOG)?;
    let addr = listener.local_addr()?;
    Ok((listener, addr))
}

fn admit(
    stream: TcpStream,
    addr: SocketAddr,
    shared: &Arc<Shared>,
    stages: &watch::Receiver<Stage>,
    alive: &mpsc::Sender<()>,
) {
    // An answer is one small write; waiting to fill a segment would only delay it.
    let _ = stream.set_nodelay(true);
    let connection_id = NEXT_CONNECTION.fetch_add(1, Ordering::Relaxed);
    let (wire, meter) = Metered::new(stream);
    let Some(place) = shared
        .registry
        .admit(connection_id, meter, shared.limits.connections)
    else {
        shared.stats.cut(Cut::NoRoom);
        return;
    };
    let open = Open::new(shared.stats.clone(), alive.clone());
    let (shared, stages) = (shared.clone(), stages.clone());
    tokio::spawn(async move {
        let _open = open;
        connection::run(wire, addr, connection_id, place, shared, stages).await;
    });
}

/// Counts a connection while it lives, also when its task panics.
struct Open {
    stats: Stats,
    _alive: mpsc::Sender<()>,
}

impl Open {
    fn new(stats: Stats, alive: mpsc::Sender<()>) -> Self {
        stats.opened();
        Self {
            stats,
            _alive: alive,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.stats.closed();
    }
}
