//! A device shows that it knows a code, and its bootstrapping key with it (Wi-Fi Easy Connect 3.0
//! §5.6, version 2: the one that works over TCP).
//!
//! 1. Exchange Request and Response, Commit-Reveal Request: the device knows the code.
//! 2. It is claimed in the name of the person who said the code; that is committed.
//! 3. Commit-Reveal Response: our own key. The device then calls us on the same connection.

use vouchsafe_dpp::authentication::Entropy;
use vouchsafe_dpp::pkex::ExchangeRequest;
use vouchsafe_dpp::uri::BootstrappingUri;
use vouchsafe_dpp::{BootstrappingPublicKey, Error};
use vouchsafe_fleet::decide::Decision;
use vouchsafe_fleet::decide::wifi::{self, ClaimUriFacts, GuessFacts};
use vouchsafe_fleet::wifi::{KeyFacts, KeySource};
use vouchsafe_fleet::{Digest, Evidence};
use vouchsafe_keystore::random;

use super::codes::{Good, Grant, Missed};
use super::failure::{Failure, reason};
use super::session::Session;
use crate::controller::{Controller, Fault};

impl Session {
    /// Steps 1 to 3; what comes back is the device's next frame.
    pub(super) async fn exchange_keys(&mut self, frame: &[u8]) -> Result<Vec<u8>, Failure> {
        // 1
        let controller = self.controller.clone();
        let request = ExchangeRequest::read(frame)?;
        let own = controller.dpp.bootstrapping();
        let entropy = Entropy::new(random::bytes());
        let now = controller.clock.now();
        let (response, exchange) = match controller.codes.answer(&request, own, &entropy, now) {
            Ok(answered) => answered,
            Err(error) => return Err(self.decline(error).await),
        };
        self.wire.send(&response).await?;
        let commit = self.wire.receive().await?;
        let now = controller.clock.now();
        let (reveal, key, grant) = match controller.codes.reveal(exchange, &commit, now) {
            Ok(revealed) => revealed,
            Err(Missed { error, code }) => {
                if let Some(code) = code {
                    Box::pin(self.note_guess(&code, &commit, &error)).await?;
                }
                return Err(self.decline(error).await);
            }
        };
        // 2
        Box::pin(claim(&controller, &key, &grant)).await?;
        // 3
        self.wire.send(&reveal).await?;
        Ok(self.wire.receive().await?)
    }

    /// Writes down that somebody did not know the code.
    async fn note_guess(&self, code: &Good, frame: &[u8], error: &Error) -> Result<(), Fault> {
        let commit = wifi::code_guessed(GuessFacts {
            now: self.controller.clock.now(),
            said_by: &code.said_by,
            label: code.label.as_deref(),
            via: &self.via,
            left: code.left().into(),
            reason: reason(error),
            evidence: Evidence::new("dpp-message", Digest::of(frame)),
        });
        self.controller.commit(commit).await.map_err(Fault::Commit)
    }
}

async fn claim(
    controller: &Controller,
    key: &BootstrappingPublicKey,
    grant: &Grant,
) -> Result<(), Failure> {
    let store = &controller.store;
    let uri = BootstrappingUri::new(key.clone()).to_string();
    let id = Digest(*key.hash());
    let outcome = controller
        .settle(async || {
            let network = match &grant.network {
                Some(name) => match store.network(name).await? {
                    None => {
                        let (now, actor) = (controller.clock.now(), &grant.actor);
                        return Ok(wifi::network_gone(now, actor, id, name, &grant.reasons));
                    }
                    found => found,
                },
                None => None,
            };
            let known = store.bootstrapping_key(id).await?;
            let device = wifi::device_of(None, id, known.as_ref());
            let existing = store.device(device).await?;
            let holdings = store.holdings(device).await?;
            Ok::<_, Fault>(wifi::claim_uri(&ClaimUriFacts {
                now: controller.clock.now(),
                actor: &grant.actor,
                owner: controller.owner,
                key: KeyFacts {
                    id,
                    chirp_hash: Digest(*key.chirp_hash()),
                    curve: key.curve().jwk_name(),
                    uri: &uri,
                },
                role: grant.role,
                source: KeySource::Person,
                identity: None,
                label: grant.label.as_deref(),
                model: None,
                mud_url: None,
                segment: None,
                network: network.as_ref(),
                existing: existing.as_ref(),
                standing: holdings.standing.as_ref(),
                known: known.as_ref(),
                reasons: &grant.reasons,
                runs_devices: grant.runs_devices,
            }))
        })
        .await?;
    match outcome.decision {
        Decision::Refuse { reasons, .. } => Err(Failure::Refused(reasons)),
        _ => Ok(()),
    }
}
