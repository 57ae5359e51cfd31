//! How a device gets its Wi-Fi configuration, and what it does with it.
//!
//! 1. A configuration that is there and has not ended is handed to the supplicant, once a start.
//! 2. Otherwise, or when a person asks for it, controllers are asked over TCP, those configured before those that mDNS shows; then
//!    the device announces itself over the air, where it drives a supplicant.
//!    A device that was configured before shows its connector first, and its label's key where that
//!    does not help.
//! 3. What comes is made durable before the controller hears that it was taken.
//! 4. The supplicant gets it and tries it, and a controller that asked for it hears how that went.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use vouchsafe_dpp::Status;
use vouchsafe_dpp::uri::BootstrappingUri;
use vouchsafe_keystore::Sealer;

use super::again::Before;
use super::code::{self, Code};
use super::configuration::Configuration;
use super::enrollee::{self, Parameters, Reporter, Seen};
use super::{Progress, WifiError, given, key};
use crate::config::DppConfig;
use crate::device::Device;
use crate::error::LocalError;
use crate::event::Event;
use crate::folder::STATE;
use crate::keys::blocking;
use crate::supplicant::air::{self, AirKey, FROM_AIR};
use crate::supplicant::{Control, access_point, hand_over};

/// How long a supplicant may take to join a network before the device goes on without waiting.
const JOINING: Duration = Duration::from_secs(30);

/// And how long where a controller waits to hear of it: it must be told before it goes.
const REPORTING: Duration = Reporter::PATIENCE.saturating_sub(Duration::from_secs(3));

/// A configuration, and who wants to hear how joining goes with it.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) configuration: Configuration,
    pub(crate) reporter: Option<Reporter>,
}

impl From<Configuration> for Fresh {
    fn from(configuration: Configuration) -> Self {
        Self {
            configuration,
            reporter: None,
        }
    }
}

/// The configuration in force; none when there is none, or a connector of it has ended.
pub(crate) async fn in_force(device: &Device) -> Result<Option<Configuration>, LocalError> {
    let (state, keys) = (state(device), device.birth.keys.clone());
    let read = blocking(move || Configuration::read(&state, &Sealer::beside(&keys)?)).await??;
    let now = device.now();
    Ok(read.filter(|configuration| {
        let ended = |network: &super::configuration::Network| {
            let connector = network.connector.as_ref();
            connector.is_some_and(|one| one.expires.is_some_and(|end| end <= now))
        };
        !configuration.networks.iter().any(ended)
    }))
}

/// What the device was configured with before, whether or not it has ended, as far as a controller
/// can know it again by that.
pub(crate) async fn before(device: &Device) -> Result<Option<Before>, LocalError> {
    let (state, keys) = (state(device), device.birth.keys.clone());
    let read = blocking(move || Configuration::read(&state, &Sealer::beside(&keys)?)).await??;
    Ok(read.as_ref().and_then(Before::of))
}

/// Step 2, one controller: the configuration is durable and the controller knows. With `before`, the
/// device shows what it was given then.
pub(crate) async fn ask(
    device: &Device,
    config: &DppConfig,
    address: SocketAddr,
    before: Option<&Before>,
) -> Result<Fresh, WifiError> {
    let code = match (before, &config.controller_uri) {
        (None, None) => with_code(device, code::usable).await?,
        _ => None,
    };
    let by_code = code.is_some();
    let parameters = Parameters {
        before: before.cloned(),
        code,
        ..parameters(device, config).await?
    };
    let controller = address.to_string();
    let (tried, known) = (AtomicBool::new(false), AtomicBool::new(false));
    let seen = |step: Seen| match step {
        Seen::Authenticated {
            mutual, version, ..
        } => device.tell(Event::WifiAuthenticated {
            controller: controller.clone(),
            mutual,
            version,
        }),
        Seen::ComeBack { milliseconds } => device.tell(Event::WifiWaiting {
            controller: controller.clone(),
            milliseconds,
        }),
        Seen::Sent {
            message: enrollee::FIRST_BY_CODE,
            ..
        } => tried.store(true, Ordering::Relaxed),
        Seen::CodeKnown => known.store(true, Ordering::Relaxed),
        step => tracing::debug!(controller, ?step, "enrolling"),
    };
    if by_code {
        // Before it is made: who takes the power away has guessed all the same.
        with_code(device, |state, sealer| code::count(state, sealer, true)).await?;
    }
    let offered = enrollee::enrol(address, &parameters, device.now(), &seen).await;
    if by_code && known.load(Ordering::Relaxed) {
        with_code(device, |state, _| code::forget(state)).await?;
    } else if by_code && !tried.load(Ordering::Relaxed) {
        with_code(device, |state, sealer| code::count(state, sealer, false)).await?;
    }
    let offer = offered?;
    let configuration = match given::configuration(&offer, &controller, device.now()) {
        Ok(configuration) => configuration,
        Err(error) => {
            // It is refused, whether or not the controller hears of it.
            let _ = offer.reject().await;
            return Err(error);
        }
    };
    // 3
    let configuration = keep(device, configuration).await?;
    let reporter = match offer.accept().await {
        Ok(reporter) => reporter,
        Err(error) => {
            // The device has what it needs; the controller may wonder until it sees it.
            tracing::warn!(%error, "the controller did not hear that the configuration was taken");
            None
        }
    };
    Ok(Fresh {
        configuration,
        reporter,
    })
}

/// Step 2, over the air.
pub(crate) async fn announce(
    device: &Device,
    config: &DppConfig,
    patience: Duration,
) -> Result<Configuration, WifiError> {
    let parameters = parameters(device, config).await?;
    let key = bootstrapping_key(device).await?;
    let private = key.private().ok_or_else(|| LocalError::Config {
        key: "dpp.air",
        why: "the bootstrapping key is in the key store and cannot be given to the supplicant"
            .to_owned(),
    })?;
    let der = private.to_sec1_der();
    let channels = channels(device);
    let own = AirKey {
        curve: private.curve().jwk_name(),
        key: &der,
        channels: &channels,
        controller_uri: config.controller_uri.as_deref(),
        name: &parameters.name,
        mud_url: parameters.mud_url.as_deref(),
    };
    let mut control = Control::open(&config.supplicant_socket()?).await?;
    let tell = |progress: Progress| match progress {
        Progress::Announced => device.tell(Event::WifiAnnounced),
        Progress::Authenticated { mutual } => device.tell(Event::WifiAuthenticated {
            controller: FROM_AIR.to_owned(),
            mutual,
            version: 2,
        }),
        Progress::Failed { said } => tracing::warn!(said, "an exchange over the air failed"),
    };
    let deadline = Instant::now() + patience;
    let given = air::enrol(&mut control, &own, device.now(), deadline, &tell).await?;
    // 3
    Ok(keep(device, given).await?)
}

/// Steps 1 and 4: the supplicant has the networks, and is in one of them if it can; or `hostapd` has
/// its own. Without a supplicant nobody can say how joining goes.
pub(crate) async fn hand(
    device: &Device,
    config: &DppConfig,
    fresh: Fresh,
) -> Result<(), WifiError> {
    let Fresh {
        configuration,
        reporter,
    } = fresh;
    if let Some(socket) = &config.hostapd {
        let mut control = Control::open(socket).await?;
        let networks = access_point::hand_over(&mut control, &configuration).await?;
        device.tell(Event::WifiHandedOver { networks });
        return Ok(());
    }
    if config.supplicant.is_none() {
        return Ok(());
    }
    let mut control = Control::open(&config.supplicant_socket()?).await?;
    let networks = hand_over::hand_over(&mut control, &configuration)
        .await?
        .len();
    device.tell(Event::WifiHandedOver { networks });
    let patience = JOINING.min(Duration::from_secs(config.patience.into()));
    let patience = match &reporter {
        None => patience,
        Some(_) => patience.min(REPORTING),
    };
    let joined = hand_over::connected(&mut control, Instant::now() + patience).await?;
    if let Ok(ssid) = &joined {
        device.tell(Event::WifiJoined { ssid: ssid.clone() });
    }
    if let Some(reporter) = reporter {
        let tried = configuration.networks.first();
        let tried = tried.map(|network| network.ssid.as_slice());
        let result = joined.err().unwrap_or(Status::Ok);
        if let Err(error) = reporter.report(result, tried).await {
            tracing::warn!(%error, "the controller did not hear how joining went");
        }
    }
    Ok(())
}

/// The supplicant forgets our networks.
pub(crate) async fn take_back(config: &DppConfig) -> Result<usize, WifiError> {
    if config.supplicant.is_none() {
        return Ok(0);
    }
    let mut control = Control::open(&config.supplicant_socket()?).await?;
    Ok(hand_over::take_back(&mut control).await?)
}

/// The device shall try this code.
pub(crate) async fn take_code(device: &Device, code: Code) -> Result<(), LocalError> {
    with_code(device, move |state, sealer| code::put(state, sealer, &code)).await
}

async fn with_code<T: Send + 'static>(
    device: &Device,
    work: impl FnOnce(&Path, &Sealer) -> Result<T, LocalError> + Send + 'static,
) -> Result<T, LocalError> {
    let (state, keys) = (state(device), device.birth.keys.clone());
    blocking(move || work(&state, &Sealer::beside(&keys)?)).await?
}

async fn keep(device: &Device, given: Configuration) -> Result<Configuration, LocalError> {
    let (state, keys) = (state(device), device.birth.keys.clone());
    let kept = blocking(move || {
        given.write(&state, &Sealer::beside(&keys)?)?;
        Ok::<_, LocalError>(given)
    })
    .await??;
    device.tell(Event::WifiConfigured {
        from: kept.from.clone(),
        mutual: kept.mutual,
        networks: kept
            .networks
            .iter()
            .map(|network| String::from_utf8_lossy(&network.ssid).into_owned())
            .collect(),
    });
    Ok(kept)
}

async fn parameters(device: &Device, config: &DppConfig) -> Result<Parameters, WifiError> {
    let birth = &device.birth.device;
    let name = config.name.clone().or_else(|| birth.model.clone());
    let controller = match &config.controller_uri {
        None => None,
        Some(uri) => Some(BootstrappingUri::parse(uri)?.key().clone()),
    };
    Ok(Parameters {
        key: bootstrapping_key(device).await?.agreement(),
        controller,
        before: None,
        code: None,
        name: name.unwrap_or_else(|| birth.serial.clone()),
        serial: birth.serial.clone(),
        mud_url: device.birth.idevid()?.mud_url().map(str::to_owned),
        role: config.role.net_role(),
        version: config.version,
        patience: Duration::from_secs(config.patience.into()),
    })
}

/// The channels of the device's label, as the supplicant reads them.
fn channels(device: &Device) -> String {
    let uri = device.birth.device.dpp_uri.as_deref().unwrap_or_default();
    let channels = BootstrappingUri::parse(uri).map_or_else(|_| Vec::new(), |uri| uri.channels);
    let named: Vec<String> = channels
        .iter()
        .map(|channel| format!("{}/{}", channel.operating_class, channel.number))
        .collect();
    named.join(",")
}

async fn bootstrapping_key(device: &Device) -> Result<key::OwnKey, LocalError> {
    let (dir, birth) = (device.folder.dir().to_owned(), device.birth.clone());
    blocking(move || key::of(&dir, &birth)).await?
}

fn state(device: &Device) -> PathBuf {
    device.folder.dir().join(STATE)
}
