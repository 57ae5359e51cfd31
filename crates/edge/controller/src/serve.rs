//! Listeners, certificate renewal and shutdown.
//!
//! 1. [`serve`] opens the store, puts the [`Controller`] together and binds the listeners: for
//!    devices, for people and programs, and where it is switched on for Wi-Fi Easy Connect.
//! 2. The caller is told where they really listen ([`Ready`]).
//! 3. Every minute the certificates are looked at: what has lived two thirds of its life, or was
//!    replaced on disk, is taken into use without a restart; and with PostgreSQL, what other replicas
//!    changed about manufacturers, policy and signing keys.
//! 4. When told to stop, no connection is accepted, requests in flight finish, the store closes.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;
use vouchsafe_home::HomeError;
use vouchsafe_net::{BindError, ClientAuth, Clock, Limits, Origin, Server, ServerOptions};
use vouchsafe_store::{OpenError, Store, StoreConfig};

use crate::controller::{Controller, Fault};
use crate::discovery;
use crate::dpp;
use crate::gate::DesiredStates;
use crate::home::Home;
use crate::review;
use crate::revocation;

/// How often certificates are looked at.
const RENEWAL_CHECK: Duration = Duration::from_secs(60);

/// Largest body a device may send, in bytes (RFC 8995 sets no limit).
pub(crate) const DEVICE_BODY_BYTES: usize = 128 * 1024;

/// Where the controller listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ready {
    /// Always `controller`.
    pub ready: &'static str,
    /// The registrar's address for devices.
    pub registrar: String,
    /// The API's address.
    pub api: String,
    /// Address and port for Wi-Fi Easy Connect, where it is switched on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dpp: Option<String>,
}

/// Why the controller did not start, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// A listener cannot be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// What is stored cannot be used.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Serves until `stop` is ready. `ready` is called once both listeners are bound.
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
    crate::metrics::begin();
    // 1
    let home = Home::open(dir, &clock)?;
    let store = Store::open(StoreConfig::from_url(&home.store_url())?).await?;
    let controller = Controller::new(&home, store, clock.clone()).await?;

    let mut devices = ServerOptions::new(
        "registrar",
        controller.registrar.clone(),
        ClientAuth::Optional,
    );
    devices.limits = Limits {
        connections: home.config.registrar.max_connections,
        // Each route has its own limit below this one.
        body_bytes: crate::gate::MAX_REPORT,
        ..Limits::default()
    };
    devices.clock = clock.clone();
    let devices = Server::bind(home.config.registrar.listen, devices).await?;

    let api_identity = vouchsafe_net::ReloadableIdentity::new(home.api_identity()?);
    let mut api = ServerOptions::new("api", api_identity.clone(), ClientAuth::None);
    api.limits.body_bytes = vouchsafe_api::route::IMPORT_LIMIT;
    api.clock = clock;
    let api = Server::bind(home.config.api.listen, api).await?;
    let dpp = match &home.config.dpp {
        config if config.enabled => Some(dpp::Listener::bind(config.listen)?),
        _ => None,
    };
    // 2
    let registrar_config = &home.config.registrar;
    let registrar = url(devices.local_addr(), &registrar_config.names);
    controller.listens_at(registrar.clone());
    let announcement = registrar_config.announce.then(|| {
        let port = devices.local_addr();
        discovery::announce(
            discovery::REGISTRAR,
            port,
            &registrar_config.announce_on,
            controller.owner,
            &[],
        )
    });
    let flooding = registrar_config.announce.then(|| {
        let interfaces = registrar_config.announce_on.clone();
        tokio::spawn(discovery::flood(devices.local_addr(), interfaces))
    });
    let dpp_address = dpp.as_ref().map(dpp::Listener::local_addr);
    let dpp_announcement = match dpp_address {
        Some(address) => {
            show_dpp(&controller, address);
            let config = &home.config.dpp;
            let pkhash = dpp::key_sha256(&controller.dpp);
            config.announce.then(|| {
                discovery::announce(
                    discovery::DPP,
                    address,
                    &config.announce_on,
                    controller.owner,
                    &[("pkhash", &pkhash)],
                )
            })
        }
        None => None,
    };
    ready(&Ready {
        ready: "controller",
        registrar,
        api: url(api.local_addr(), &home.config.api.names),
        dpp: dpp_address.map(|address| address.to_string()),
    });

    let stopped = controller.stopping.subscribe();
    let access_files = home.config.dpp.access_point_files.as_ref().map(|folder| {
        let files = dpp::AccessFiles::new(controller.clone(), home.dir.join(folder));
        tokio::spawn(files.keep())
    });
    let state_file = home.config.gate.state_file.as_ref();
    let state_file = state_file.map(|file| home.dir.join(file));
    let desired_state = DesiredStates::new(controller.clone(), state_file);
    let desired_state = Some(tokio::spawn(desired_state.keep()));
    let renewal = tokio::spawn(renew(
        home,
        controller.clone(),
        api_identity,
        dpp_address,
        stopped.clone(),
    ));
    let reviews = tokio::spawn(review::keep(controller.clone()));
    let device_router = crate::device_router(controller.clone());
    let api_router = crate::api::routes(&controller).with_state(controller.clone());
    // Tasks of their own: a thread that accepts goes on with the connection, and wakes no other for it.
    let mut listeners = JoinSet::new();
    listeners.spawn(devices.serve(device_router, told(stopped.clone())));
    listeners.spawn(api.serve(api_router, told(stopped.clone())));
    if let Some(listener) = dpp {
        listeners.spawn(listener.serve(controller.clone(), told(stopped)));
    }
    let stop = async {
        stop.await;
        // Devices look elsewhere from now on.
        if let Some(flooding) = flooding {
            flooding.abort();
        }
        for announcement in [announcement, dpp_announcement] {
            if let Some(announcement) = announcement.flatten() {
                announcement.withdraw().await;
            }
        }
        controller.stopping.send_replace(true);
    };
    // 4
    let (cut, ()) = tokio::join!(listeners.join_all(), stop);
    let cut: u64 = cut.into_iter().sum();
    if cut > 0 {
        tracing::warn!(connections = cut, "cut at shutdown");
    }
    for writer in [access_files, desired_state].into_iter().flatten() {
        // It stops by itself, and what it writes is whole.
        let _ = writer.await;
    }
    renewal.abort();
    // It stops between two devices.
    let _ = reviews.await;
    controller.store.close().await;
    Ok(())
}

/// Ready once it is time to stop.
async fn told(mut stopped: watch::Receiver<bool>) {
    while !*stopped.borrow_and_update() {
        // An error means that the sender is gone, which is a reason to stop as well.
        if stopped.changed().await.is_err() {
            return;
        }
    }
}

/// How others reach a listener: its address, or its first name where it listens on all addresses.
fn url(addr: SocketAddr, names: &[String]) -> String {
    match names.first() {
        Some(name) if addr.ip().is_unspecified() => Origin::new(name, addr.port()).to_string(),
        _ => Origin::from(addr).to_string(),
    }
}

/// Step 3.
async fn renew(
    home: Home,
    controller: Controller,
    api: vouchsafe_net::ReloadableIdentity,
    dpp: Option<SocketAddr>,
    mut stopped: watch::Receiver<bool>,
) {
    let home = std::sync::Arc::new(home);
    loop {
        tokio::select! {
            () = tokio::time::sleep(RENEWAL_CHECK) => {}
            _ = stopped.changed() => return,
        }
        let home = std::sync::Arc::clone(&home);
        let looked = tokio::task::spawn_blocking(move || {
            Ok::<_, HomeError>((home.registrar_identity()?, home.api_identity()?))
        })
        .await;
        match looked {
            Ok(Ok((registrar, served))) => {
                // The listeners make a new TLS configuration only for another certificate.
                if registrar.chain() != controller.registrar.current().chain() {
                    controller.registrar.replace(registrar);
                }
                if served.chain() != api.current().chain() {
                    api.replace(served);
                }
            }
            Ok(Err(error)) => tracing::error!(%error, "certificates cannot be renewed"),
            Err(error) => tracing::error!(%error, "the look at certificates ended"),
        }
        revocation::watch(&controller).await;
        if let Err(error) = controller.reload_manufacturers().await {
            tracing::error!(%error, "manufacturers cannot be read");
        }
        if let Err(error) = controller.reload_policy().await {
            tracing::error!(%error, "the policy cannot be read");
        }
        let (keys, now) = (controller.dpp.clone(), controller.clock.now());
        match tokio::task::spawn_blocking(move || keys.refresh(now)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "signing keys cannot be read"),
            Err(error) => tracing::error!(%error, "the look at signing keys ended"),
        }
        if let Some(address) = dpp {
            show_dpp(&controller, address);
        }
    }
}

/// Lets the API say how access points and devices know the listener at `address`.
fn show_dpp(controller: &Controller, address: SocketAddr) {
    match dpp::shown(&controller.dpp, &controller.config.dpp, address) {
        Ok(shown) => controller.set_dpp_controller(shown),
        Err(error) => tracing::error!(%error, "this controller has no URI"),
    }
}
