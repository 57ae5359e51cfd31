//! After BRSKI: the device comes into its owner's network with the credential that it got there.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use vouchsafe_brski::networks::Network;
use vouchsafe_keystore::{Sealer, StoreUri};
use vouchsafe_trust::Secret;

use crate::birth::pem;
use crate::config::NetworkConfig;
use crate::device::Device;
use crate::error::LocalError;
use crate::event::Event;
use crate::folder::Credential;
use crate::keys::blocking;
use crate::supplicant::member::{Member, Place};
use crate::supplicant::{Control, SupplicantError, member, open};

/// Longest wait of a device that runs once, for its network to take it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Tries in a row that lead nowhere, some six minutes, after which a device looks whether its registrar lets
/// it in anew.
const TRIES: u32 = 6;

/// How long to leave a supplicant alone that is not there.
const AGAIN: Duration = Duration::from_secs(10);

/// Which credential the supplicant was given since this start.
#[derive(Debug, Default)]
pub(crate) struct Handed(Mutex<Option<String>>);

impl Handed {
    fn is(&self, credential: &Credential) -> bool {
        let handed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        handed.as_deref() == Some(&*credential.leaf.serial_hex())
    }

    fn set(&self, credential: Option<&Credential>) {
        let mut handed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *handed = credential.map(|it| it.leaf.serial_hex());
    }
}

/// Gives the supplicant the credential in force, unless it has it. A supplicant that is not there yet is
/// no reason to give up what the device has; it is tried again.
pub(crate) async fn hand_over(
    device: &Device,
    config: &NetworkConfig,
    credential: &Credential,
    handed: &Handed,
) -> Result<(), LocalError> {
    if handed.is(credential) {
        return Ok(());
    }
    let Some(place) = place(config, credential) else {
        return Ok(());
    };
    let member = Member {
        identity: config.identity.clone(),
        chain: pem(&credential.chain),
        key: private_key(device, &credential.stored.label).await?,
        anchors: pem(credential.anchors.certificates()),
    };
    match give(config, &place, &member).await {
        Ok(status) => {
            handed.set(Some(credential));
            device.tell(Event::NetworkJoined {
                credential: credential.leaf.serial_hex(),
                ssid: ssid(&place, status.as_deref()),
                is_in: status.is_some(),
            });
        }
        Err(error) => device.tell(Event::NetworkFailed {
            code: error.code(),
            text: error.to_string(),
        }),
    }
    Ok(())
}

/// Where the credential opens something: what is configured counts before what was told.
fn place(config: &NetworkConfig, credential: &Credential) -> Option<Place> {
    if let Some(ssid) = &config.ssid {
        return Some(Place::Air(vec![Network {
            ssid: ssid.clone(),
            server_name: config.server_name.clone(),
        }]));
    }
    if !config.must_be_told() {
        return Some(Place::Port(config.server_name.clone()));
    }
    let told = credential.stored.networks.clone().unwrap_or_default();
    (!told.is_empty()).then_some(Place::Air(told))
}

/// The network that the device is in, or wants to be in.
fn ssid(place: &Place, status: Option<&str>) -> Option<String> {
    let Place::Air(networks) = place else {
        return None;
    };
    let said = |status: &str| {
        let mut lines = status.lines();
        lines.find_map(|line| line.strip_prefix("ssid=").map(str::to_owned))
    };
    let first = || networks.first().map(|network| network.ssid.clone());
    status.and_then(said).or_else(first)
}

async fn give(
    config: &NetworkConfig,
    place: &Place,
    member: &Member,
) -> Result<Option<String>, SupplicantError> {
    let mut control = Control::open(&config.supplicant).await?;
    member::hand_over(&mut control, place, member).await?;
    member::came_in(&mut control, tokio::time::Instant::now() + PATIENCE).await
}

/// Makes the supplicant come in again whenever it was cut off. It ends with the supplicant, and then what
/// that was given is gone; or, where there is another way in, when the device was kept out for long, and
/// then it says so.
pub(crate) async fn keep(config: &NetworkConfig, handed: &Handed) -> bool {
    let tries = config.way_in().map(|_| TRIES);
    let is_port = config.ssid.is_none() && tries.is_none();
    let again = is_port.then(|| Duration::from_secs(config.prove_again.max(1).into()));
    let kept = async {
        let mut control = Control::open(&config.supplicant).await?;
        member::keep(&mut control, tries, again).await
    };
    let ended: Result<(), SupplicantError> = kept.await;
    let Err(error) = ended else {
        return true;
    };
    tracing::warn!(%error, "the supplicant has ended");
    handed.set(None);
    tokio::time::sleep(AGAIN).await;
    false
}

/// Takes the credential away from the supplicant.
pub(crate) async fn take_back(config: &NetworkConfig) -> Result<(), SupplicantError> {
    let mut control = Control::open(&config.supplicant).await?;
    open::leave(&mut control).await?;
    member::take_back(&mut control).await.map(drop)
}

/// The key as the supplicant needs it. One in a token or a TPM stays there.
async fn private_key(device: &Device, label: &str) -> Result<Secret, LocalError> {
    let (keys, label) = (device.birth.keys.clone(), label.to_owned());
    let StoreUri::File { folder, .. } = &keys else {
        let why = "the device's key is in hardware and does not leave it: give the supplicant its \
                   engine, and leave this section out";
        return Err(LocalError::Config {
            key: "network",
            why: why.to_owned(),
        });
    };
    let path = folder.join(format!("{label}.key"));
    let read = blocking(move || Sealer::beside(&keys)?.read(&path, &format!("key/{label}")));
    Ok(read.await??)
}
