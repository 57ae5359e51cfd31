//! A hash that somebody shows: who is meant, and whether it is worth while to answer.

use jiff::Timestamp;
use vouchsafe_fleet::decide::wifi::{self, AnnouncementFacts, FailedFacts, Known};
use vouchsafe_fleet::decide::{Decision, Outcome, WishKind, approval_id};
use vouchsafe_fleet::policy::{Method, Onboarding, RequestKind, Verdict};
use vouchsafe_fleet::wifi::{Announcement, BootstrappingKey, HashForm, MAX_ANNOUNCEMENTS};
use vouchsafe_fleet::{Device, Digest, Evidence, Reason, Refusal};

use crate::controller::{Controller, Fault};

/// Who shows a hash, and from where.
#[derive(Debug, Clone)]
pub(super) struct Knock {
    /// The hash.
    pub(super) hash: Digest,
    /// What it is the hash of.
    pub(super) form: HashForm,
    /// The access point that relays it, or the device itself.
    pub(super) via: String,
}

/// What is known of a hash.
#[derive(Debug)]
struct Seen {
    known: Option<(BootstrappingKey, Device)>,
    announced: Option<Announcement>,
    remembered: u32,
}

impl Knock {
    /// The bootstrapping key that is meant, when it is known.
    ///
    /// # Errors
    /// [`Fault::Read`].
    pub(super) async fn key(
        &self,
        controller: &Controller,
    ) -> Result<Option<BootstrappingKey>, Fault> {
        let store = &controller.store;
        Ok(match self.form {
            HashForm::Chirp => store.bootstrapping_key_by_chirp(self.hash).await?,
            HashForm::Key => store.bootstrapping_key(self.hash).await?,
        })
    }

    /// The key that is meant, if its device may come in. A refusal is written down.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) async fn decide(
        &self,
        controller: &Controller,
    ) -> Result<Result<BootstrappingKey, Refused>, Fault> {
        let outcome = controller
            .settle(async || {
                let now = controller.clock.now();
                let seen = self.look(controller, now).await?;
                let Outcome { decision, commit } = self.judge(controller, &seen, now).await?;
                let decision = match (decision, seen.known) {
                    (Decision::Accept(()), Some((key, _))) => Decision::Accept(key),
                    (Decision::Refuse { refusal, reasons }, _) => {
                        Decision::Refuse { refusal, reasons }
                    }
                    // Nobody is let through, or told to wait, of whom nothing is known.
                    _ => return Ok(Outcome::nobody(Refusal::UnknownBootstrappingKey)),
                };
                Ok::<_, Fault>(Outcome { decision, commit })
            })
            .await?;
        match outcome.decision {
            Decision::Accept(key) => Ok(Ok(key)),
            Decision::Refuse { refusal, reasons } => Ok(Err(Refused { refusal, reasons })),
            Decision::Wait { reasons, .. } => Ok(Err(Refused {
                refusal: Refusal::NothingPending,
                reasons,
            })),
            Decision::Replay(_) => Ok(Err(Refused {
                refusal: Refusal::Replayed,
                reasons: Vec::new(),
            })),
        }
    }

    async fn judge(
        &self,
        controller: &Controller,
        seen: &Seen,
        now: Timestamp,
    ) -> Result<Outcome<()>, Fault> {
        let facts = AnnouncementFacts {
            now,
            owner: controller.owner,
            hash: self.hash,
            form: self.form,
            via: Some(&self.via),
            known: None,
            verdict: &Verdict::failed("the device is in no inventory"),
            seen: seen.announced.as_ref(),
            remembered: seen.remembered,
        };
        let Some((key, device)) = &seen.known else {
            return Ok(wifi::announcement(&facts));
        };
        let onboarding = Onboarding {
            method: Method::Dpp,
            // Nothing is proved yet, and both may still prove themselves.
            mutual: true,
            role: Some(key.role),
            said: &[],
        };
        let verdict = controller
            .dpp_verdict(RequestKind::Configure, device, onboarding)
            .await?;
        let (wish, _) = approval_id(WishKind::Configuration, device.id, key.id);
        let approval = controller.store.voucher(wish).await?;
        let owned_since = controller.owned_since(device.id, approval.as_ref()).await?;
        let manufacturer = controller.manufacturers.current();
        let manufacturer = manufacturer.manufacturer(device.manufacturer);
        Ok(wifi::announcement(&AnnouncementFacts {
            known: Some(Known {
                key,
                device,
                manufacturer: manufacturer.map(|known| &known.record),
                approval: approval.as_ref(),
                owned_since,
            }),
            verdict: &verdict,
            ..facts
        }))
    }

    /// Writes down that a run of the protocol broke a rule before the device was proved.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) async fn failed(
        &self,
        controller: &Controller,
        reason: Reason,
        evidence: Vec<Evidence>,
    ) -> Result<(), Fault> {
        let now = controller.clock.now();
        let seen = self.look(controller, now).await?;
        let commit = wifi::attempt_failed(FailedFacts {
            now,
            hash: self.hash,
            form: self.form,
            via: Some(&self.via),
            known: seen.known.as_ref().map(|(key, device)| (key, device)),
            seen: seen.announced.as_ref(),
            remembered: seen.remembered,
            reason,
            evidence,
        });
        controller.commit(commit).await.map_err(Fault::Commit)
    }

    async fn look(&self, controller: &Controller, now: Timestamp) -> Result<Seen, Fault> {
        let store = &controller.store;
        let known = match self.key(controller).await? {
            Some(key) => store.device(key.device).await?.map(|device| (key, device)),
            None => None,
        };
        let announced = store.announcement(self.hash, now).await?;
        let remembered = match (&known, &announced) {
            (None, None) => store.unmatched_count(now, MAX_ANNOUNCEMENTS).await?,
            _ => 0,
        };
        Ok(Seen {
            known,
            announced,
            remembered,
        })
    }
}

/// Who shows the hash gets no answer.
#[derive(Debug)]
pub(super) struct Refused {
    /// The reason that decided.
    pub(super) refusal: Refusal,
    /// It and any others, for people.
    pub(super) reasons: Vec<Reason>,
}
