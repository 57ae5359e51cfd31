//! A device that was configured before shows its connector in place of its bootstrapping key (Wi-Fi
//! Easy Connect 3.0 §6.5).
//!
//! 1. Reconfiguration Announcement: the device names the signing key that it trusts. It may be one
//!    that was replaced.
//! 2. Reconfiguration Authentication Request: we show a connector of our own, by that key.
//! 3. Response: the device shows its connector and proves its key. One that has run out is good
//!    enough, since a newer one is what the device is here for.
//! 4. Confirm; then the device asks for its configuration as any other.

use std::sync::Arc;

use vouchsafe_dpp::announcement::ReconfigurationAnnouncement;
use vouchsafe_dpp::authentication::{Authenticated, Entropy};
use vouchsafe_dpp::connector::VerifiedConnector;
use vouchsafe_dpp::reconfiguration::{Configurator, ConfiguratorConnector};
use vouchsafe_dpp::{BootstrappingPublicKey, Error, Refusal};
use vouchsafe_fleet::{DeviceId, Digest, Evidence, ManufacturerId, Reason, decide};
use vouchsafe_keystore::random;

use super::configure::Proved;
use super::credential::address;
use super::failure::{Failure, reason};
use super::keys::Ring;
use super::question::Shown;
use super::session::Session;
use crate::controller::Fault;

impl Session {
    /// Steps 1 to 4.
    pub(super) async fn meet_again(
        &mut self,
        frame: &[u8],
    ) -> Result<(Box<Authenticated>, Proved), Failure> {
        // 1
        let announcement = ReconfigurationAnnouncement::read(frame)?;
        let ring = self.controller.dpp.ring();
        // 2
        let own = self.own_connector(&ring, &announcement).await?;
        let configurator = Configurator {
            own: &own,
            anchors: ring.all().map(|key| key.c_sign.public().clone()).collect(),
        };
        let [transaction] = random::bytes();
        let (request, waiting) = configurator.start(transaction, &Entropy::new(random::bytes()))?;
        self.wire.send(&request).await?;
        // 3
        let response = self.wire.receive().await?;
        let met = match waiting.handle(&response) {
            Ok(met) => Box::new(met),
            Err(error) => {
                Box::pin(self.note_stranger(&response, reason(&error))).await?;
                return Err(error.into());
            }
        };
        let shown = shown(&met.device);
        let Some(access) = self.controller.store.connector_by_key(shown).await? else {
            let reason = vouchsafe_fleet::Refusal::CredentialUnknown.reason();
            Box::pin(self.note_stranger(&response, reason.clone())).await?;
            return Err(Failure::Refused(vec![reason]));
        };
        let mac = address(&self.controller, access.device).await?;
        // 4. Whoever has seen the connector gets this far, so the place is none of a device's.
        self.wire.send(&met.confirm).await?;
        let proved = Proved {
            device: access.device,
            shown: Shown::Connector(shown),
            mac,
        };
        Ok((Box::new(met.authenticated), proved))
    }

    /// Writes down that whoever announced itself showed no connector of ours, as of any stranger:
    /// once a day for each reason and each way it comes by, and within the bound of all.
    async fn note_stranger(&self, response: &[u8], reason: Reason) -> Result<(), Fault> {
        let controller = &self.controller;
        let now = controller.clock.now();
        let name = format!("{} {}", reason.code, self.via);
        let stranger = DeviceId::new(ManufacturerId::NONE, &name);
        let strangers = controller.strangers(stranger, now).await?;
        let evidence = vec![Evidence::new("dpp-message", Digest::of(response))];
        let commit =
            decide::refused_stranger(now, stranger, &self.via, strangers, reason, evidence);
        controller.commit(commit).await.map_err(Fault::Commit)
    }

    /// Our own connector by the key that the announcement names, signed off the reactor.
    async fn own_connector(
        &self,
        ring: &Arc<Ring>,
        announcement: &ReconfigurationAnnouncement,
    ) -> Result<ConfiguratorConnector, Failure> {
        let (curve, named) = (announcement.curve, announcement.c_sign_key_hash);
        let unknown = || Error::from(Refusal::CSignKey);
        let key = ring.named(&named).ok_or_else(unknown)?;
        if let Some(kept) = key.kept_connector(curve) {
            return Ok(kept.clone());
        }
        let (ring, now) = (Arc::clone(ring), self.controller.clock.now());
        let making = tokio::task::spawn_blocking(move || {
            let key = ring.named(&named).ok_or_else(unknown)?;
            key.own_connector(curve, now)
        });
        let made = making.await;
        Ok(made.map_err(|error| Fault::Sign(error.to_string()))??)
    }
}

/// By which key the device is known.
fn shown(connector: &VerifiedConnector) -> Digest {
    let key = connector.content().net_access_key.clone();
    Digest(*BootstrappingPublicKey::new(key).hash())
}
