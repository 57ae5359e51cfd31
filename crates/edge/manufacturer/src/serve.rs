//! The listeners of a manufacturer.
//!
//! 1. [`serve`] opens the data folder and its store and binds the MASA, the line and the desk's
//!    socket.
//! 2. The caller is told where they really listen ([`Ready`]).
//! 3. Every minute the listeners' certificates are looked at: what has lived two thirds of its life
//!    is renewed without a restart.
//! 4. When told to stop, no connection is accepted, requests in flight finish, the store closes.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use axum::routing::get;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde::Serialize;
use tokio::sync::watch;
use vouchsafe_home::HomeError;
use vouchsafe_net::{
    BindError, ClientAuth, Clock, Identity, Limits, ReloadableIdentity, Server, ServerOptions,
};
use vouchsafe_trust::Anchors;

use crate::config::ListenerConfig;
use crate::desk;
use crate::factory::{Factory, FactoryError, off_thread};
use crate::line::Line;
use crate::masa::Masa;

/// How often certificates are looked at.
const RENEWAL_CHECK: Duration = Duration::from_secs(60);

/// Largest body that is read, in bytes: a revocation list of some 20,000 entries.
pub(crate) const BODY_BYTES: usize = 1024 * 1024;

/// Where the manufacturer listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ready {
    /// Always `manufacturer`.
    pub ready: &'static str,
    /// The MASA's address.
    pub masa: String,
    /// The factory line's address.
    pub line: String,
}

/// Why the manufacturer did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The data folder or the store cannot be used.
    #[error(transparent)]
    Factory(#[from] FactoryError),
    /// A listener cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
}

impl From<HomeError> for ServeError {
    fn from(error: HomeError) -> Self {
        Self::Factory(error.into())
    }
}

/// Serves until `stop` is ready. `ready` is called once the listeners are bound.
///
/// # Errors
/// [`ServeError`], before anything was served.
pub async fn serve(
    dir: &Path,
    clock: Clock,
    ready: impl FnOnce(&Ready),
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    vouchsafe_net::raise_open_files_limit();
    let factory = Factory::open(dir, clock).await?;
    let served = run(factory.clone(), ready, stop).await;
    factory.close().await;
    served
}

async fn run(
    factory: Factory,
    ready: impl FnOnce(&Ready),
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let config = factory.home.config.clone();
    // 1
    let masa_identity = ReloadableIdentity::new(factory.home.masa_identity()?);
    let masa = bind(
        factory.clock.clone(),
        "masa",
        config.masa,
        masa_identity.clone(),
        ClientAuth::Optional,
    )
    .await?;
    let line_identity = ReloadableIdentity::new(factory.home.line_identity()?);
    let stations = Anchors::one(factory.home.line.certificate().clone());
    let line = bind(
        factory.clock.clone(),
        "line",
        config.line,
        line_identity.clone(),
        ClientAuth::Required(stations),
    )
    .await?;
    let desk = desk::Listener::bind(&factory)?;
    // 2
    ready(&Ready {
        ready: "manufacturer",
        masa: format!("https://{}", masa.local_addr()),
        line: format!("https://{}", line.local_addr()),
    });
    let (stopping, stopped) = watch::channel(false);
    let wait = |mut stopped: watch::Receiver<bool>| async move {
        // An error means that the sender is gone, which is a reason to stop as well.
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let metrics = metrics_recorder();
    let renewal = renew(
        factory.clone(),
        masa_identity,
        line_identity,
        wait(stopped.clone()),
    );
    let masa_routes = Masa::new(factory.clone()).routes();
    let line_routes = Line::new(factory.clone()).routes().route(
        "/metrics",
        get(move || async move { metrics.map_or_else(String::new, PrometheusHandle::render) }),
    );
    let masa = masa.serve(masa_routes, wait(stopped.clone()));
    let line = line.serve(line_routes, wait(stopped.clone()));
    let desk = desk.serve(factory.clone(), wait(stopped.clone()));
    let stop = async {
        stop.await;
        let _ = stopping.send(true);
    };
    // 4
    tokio::join!(masa, line, desk, renewal, stop);
    Ok(())
}

async fn bind(
    clock: Clock,
    name: &'static str,
    config: ListenerConfig,
    identity: ReloadableIdentity,
    client_auth: ClientAuth,
) -> Result<Server, BindError> {
    let mut options = ServerOptions::new(name, identity, client_auth);
    options.limits = Limits {
        connections: config.max_connections,
        body_bytes: BODY_BYTES,
        ..Limits::default()
    };
    options.clock = clock;
    Server::bind(config.listen, options).await
}

/// Counters of this process, for the line listener: it is inside the factory, the MASA is not.
fn metrics_recorder() -> Option<&'static PrometheusHandle> {
    static HANDLE: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let made = HANDLE.get_or_init(|| {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        // Another recorder was set before: it has the counters, and we have nothing to show.
        metrics::set_global_recorder(recorder).ok().map(|()| handle)
    });
    made.as_ref()
}

/// Step 3.
async fn renew(
    factory: Factory,
    masa: ReloadableIdentity,
    line: ReloadableIdentity,
    stop: impl Future<Output = ()>,
) {
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = stop.as_mut() => return,
            () = tokio::time::sleep(RENEWAL_CHECK) => {}
        }
        let here = factory.clone();
        let both = off_thread(move || {
            let home = &here.home;
            Ok::<_, HomeError>((home.masa_identity()?, home.line_identity()?))
        });
        match both.await {
            Ok(Ok((new_masa, new_line))) => {
                replace(&masa, new_masa);
                replace(&line, new_line);
            }
            Ok(Err(error)) => tracing::error!(%error, "a certificate cannot be renewed"),
            Err(error) => tracing::error!(%error, "a certificate cannot be renewed"),
        }
    }
}

fn replace(present: &ReloadableIdentity, next: Identity) {
    if next.chain().first() != present.current().chain().first() {
        present.replace(next);
    }
}
