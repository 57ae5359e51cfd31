//! After BRSKI: the device comes into its owner's network with the credential that it got there.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use vouchsafe_keystore::{Sealer, StoreUri};
use vouchsafe_trust::Secret;

use crate::birth::pem;
use crate::config::NetworkConfig;
use crate::device::Device;
use crate::error::LocalError;
use crate::event::Event;
use crate::folder::Credential;
use crate::keys::blocking;
use crate::supplicant::{Control, SupplicantError, member};

/// Longest wait of a device that runs once, for its network to take it.
const PATIENCE: Duration = Duration::from_secs(30);

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
    let member = member::Member {
        chain: pem(&credential.chain),
        key: private_key(device, &credential.stored.label).await?,
        anchors: pem(credential.anchors.certificates()),
    };
    match give(config, &member).await {
        Ok(is_in) => {
            handed.set(Some(credential));
            device.tell(Event::NetworkJoined {
                credential: credential.leaf.serial_hex(),
                ssid: config.ssid.clone(),
                is_in,
            });
        }
        Err(error) => device.tell(Event::NetworkFailed {
            code: error.code(),
            text: error.to_string(),
        }),
    }
    Ok(())
}

async fn give(config: &NetworkConfig, member: &member::Member) -> Result<bool, SupplicantError> {
    let mut control = Control::open(&config.supplicant).await?;
    member::hand_over(&mut control, config, member).await?;
    member::came_in(&mut control, tokio::time::Instant::now() + PATIENCE).await
}

/// Makes the supplicant come in again whenever it was cut off. When it ends, what it was given is gone,
/// and so is this.
pub(crate) async fn keep(config: &NetworkConfig, handed: &Handed) {
    let kept = async {
        let mut control = Control::open(&config.supplicant).await?;
        member::keep(&mut control).await
    };
    let ended: Result<(), SupplicantError> = kept.await;
    if let Err(error) = ended {
        tracing::warn!(%error, "the supplicant has ended");
    }
    handed.set(None);
    tokio::time::sleep(AGAIN).await;
}

/// Takes the credential away from the supplicant.
pub(crate) async fn take_back(config: &NetworkConfig) -> Result<(), SupplicantError> {
    let mut control = Control::open(&config.supplicant).await?;
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
