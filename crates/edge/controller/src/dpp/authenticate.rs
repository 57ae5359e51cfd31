//! Step 3: device and controller authenticate each other (Wi-Fi Easy Connect 3.0 §6.3).
//!
//! The controller calls a device that announced itself, or that it dials:
//!
//! 1. Authentication Request, to the key of the device's label.
//! 2. Authentication Response: the device has that key. It may ask for patience first, while
//!    somebody gives it our key.
//! 3. Authentication Confirm.
//!
//! A device calls the controller by the controller's own key:
//!
//! 1. Authentication Request, which names the device's key. It opens, so its sender has our URI.
//! 2. The device's key is known: the response asks the device to prove it. It is not known: the
//!    device is told to wait, for as long as configuration says, and its label can be read meanwhile.
//! 3. Authentication Confirm: the device has its key.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::agreement;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep, sleep_until};
use vouchsafe_dpp::authentication::{
    Authenticated, AuthenticationRequest, Entropy, Initiator, InitiatorParameters, PENDING_SECONDS,
    Progress, Responder, Role, Roles, VERSION,
};
use vouchsafe_dpp::uri::BootstrappingUri;
use vouchsafe_dpp::{Agreement, Curve, Error, PrivateKey};
use vouchsafe_fleet::wifi::{Assurance, BootstrappingKey};
use vouchsafe_fleet::{DeviceId, Digest, Refusal};
use vouchsafe_keystore::random;

use super::configure::Proved;
use super::failure::Failure;
use super::knock::Knock;
use super::question::Shown;
use super::session::Session;
use super::wire::Ended;
use crate::controller::Fault;

/// We configure, and nobody configures us.
const ROLES: Roles = Roles::Only(Role::Configurator);

/// How often a key that is waited for is looked up without being woken.
const POLL: Duration = Duration::from_secs(5);

/// A device that called was answered, and has to confirm.
#[derive(Debug)]
pub(super) struct Answered {
    knock: Knock,
    waiting: Box<Responder>,
    device: DeviceId,
    /// By which it is to be known.
    key: Digest,
    mac: Option<[u8; 6]>,
}

impl Session {
    /// Calls the device with this key.
    pub(super) async fn call(
        &mut self,
        knock: &Knock,
        key: &BootstrappingKey,
    ) -> Result<(Box<Authenticated>, Proved), Failure> {
        let uri = read_uri(key)?;
        let own: Arc<dyn Agreement> = self.controller.dpp.bootstrapping();
        // 1
        let (request, waiting) = Initiator::start(
            InitiatorParameters {
                // A key of another curve would be no use to the device.
                own: (own.public_key().curve() == uri.key().curve()).then_some(own),
                peer: uri.key(),
                roles: ROLES,
                version: VERSION,
                channel: None,
                require_mutual: false,
            },
            &entropy(uri.key().curve()),
        )?;
        let mut waiting = Box::new(waiting);
        self.wire.send(&request).await?;
        // 2
        loop {
            let frame = self.wire.receive().await?;
            match waiting.handle(&frame) {
                Ok(Progress::Pending(again)) => {
                    self.wire.allow(Duration::from_secs(PENDING_SECONDS));
                    *waiting = again;
                }
                Ok(Progress::Done {
                    confirm,
                    authenticated,
                }) => {
                    // 3
                    self.proved(key.device);
                    self.wire.send(&confirm).await?;
                    let proved = proved(&authenticated, key.device, key.id, uri.mac);
                    return Ok((Box::new(authenticated), proved));
                }
                Err(error) => return Err(self.fail(knock, &frame, error).await),
            }
        }
    }

    /// Steps 1 and 2 with a device that calls.
    pub(super) async fn answer(
        &mut self,
        knock: Knock,
        request: &AuthenticationRequest,
        frame: &[u8],
    ) -> Result<Answered, Failure> {
        let own = self.controller.dpp.bootstrapping();
        // 1
        let accepted = match Responder::accept(request, &*own, ROLES, VERSION) {
            Ok(accepted) => accepted,
            Err(error) => return Err(self.fail(&knock, frame, error).await),
        };
        // 2
        let patience = self.controller.config.dpp.wait_for_uri.duration();
        let key = match Box::pin(knock.decide(&self.controller)).await? {
            Ok(key) => key,
            Err(refused)
                if refused.refusal == Refusal::UnknownBootstrappingKey && !patience.is_zero() =>
            {
                self.wire.send(&accepted.pending()?).await?;
                self.wait_for_key(&knock, patience).await?
            }
            Err(refused) => return Err(Failure::Refused(refused.reasons)),
        };
        let uri = read_uri(&key)?;
        let curve = own.public_key().curve();
        let (response, waiting) = match accepted.respond(&*own, Some(uri.key()), &entropy(curve)) {
            Ok(responded) => responded,
            Err(error) => return Err(self.fail(&knock, frame, error).await),
        };
        self.wire.send(&response).await?;
        Ok(Answered {
            knock,
            waiting: Box::new(waiting),
            device: key.device,
            key: key.id,
            mac: uri.mac,
        })
    }

    /// Step 3 with a device that calls.
    pub(super) async fn hear_confirm(
        &mut self,
        answered: Answered,
    ) -> Result<(Box<Authenticated>, Proved), Failure> {
        let Answered {
            knock,
            waiting,
            device,
            key,
            mac,
        } = answered;
        let confirm = self.wire.receive().await?;
        match waiting.handle(&confirm) {
            Ok(authenticated) => {
                self.proved(device);
                let proved = proved(&authenticated, device, key, mac);
                Ok((Box::new(authenticated), proved))
            }
            Err(error) => Err(Box::pin(self.fail(&knock, &confirm, error)).await),
        }
    }

    /// Waits until somebody brings the device's URI.
    async fn wait_for_key(
        &mut self,
        knock: &Knock,
        patience: Duration,
    ) -> Result<BootstrappingKey, Failure> {
        let controller = self.controller.clone();
        let mut wake = controller.store.subscribe();
        self.wire.allow(patience);
        let until = Instant::now() + patience;
        loop {
            if knock.key(&controller).await?.is_some() {
                let decided = Box::pin(knock.decide(&controller)).await?;
                return decided.map_err(|refused| Failure::Refused(refused.reasons));
            }
            tokio::select! {
                // There is nothing for it to say meanwhile, but it may go away.
                frame = self.wire.receive() => {
                    frame?;
                    return Err(Error::from(vouchsafe_dpp::Refusal::Unexpected).into());
                }
                woken = wake.recv() => if matches!(woken, Err(RecvError::Closed)) {
                    return Err(Ended::Closed.into());
                },
                () = sleep(POLL) => {}
                () = sleep_until(until) => {
                    let reason = Refusal::UnknownBootstrappingKey.reason();
                    return Err(Failure::Refused(vec![reason]));
                }
            }
        }
    }
}

/// Random octets for one authentication, and on the curve of nearly every device the protocol key as
/// well: made here, it costs half.
fn entropy(curve: Curve) -> Entropy {
    let entropy = Entropy::new(random::bytes());
    if curve != Curve::P256 {
        return entropy;
    }
    let made = agreement::PrivateKey::generate(&agreement::ECDH_P256);
    match made.map(PrivateKey::from_agreement_key) {
        Ok(Ok(key)) => entropy.with_protocol_key(key),
        // The octets are enough.
        _ => entropy,
    }
}

/// What the device has proved by its bootstrapping key, and whether we proved ours.
fn proved(
    authenticated: &Authenticated,
    device: DeviceId,
    key: Digest,
    mac: Option<[u8; 6]>,
) -> Proved {
    Proved {
        device,
        shown: Shown::Bootstrapping {
            key,
            assurance: match authenticated.mutual() {
                true => Assurance::Mutual,
                false => Assurance::ResponderOnly,
            },
        },
        mac,
    }
}

/// A URI that was read before it was stored.
pub(super) fn read_uri(key: &BootstrappingKey) -> Result<BootstrappingUri, Fault> {
    BootstrappingUri::parse(&key.uri).map_err(|error| Fault::Sign(error.to_string()))
}
