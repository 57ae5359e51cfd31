//! What every handler works with: the store, the clock, the authority, the policy.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Mutex, Semaphore, watch};
use vouchsafe_api::DppController;
use vouchsafe_brski::Compatibility;
use vouchsafe_fleet::decide::{MAX_STRANGERS, Outcome, Strangers};
use vouchsafe_fleet::policy::{Address, Input, Onboarding, Policy, RequestKind, Verdict};
use vouchsafe_fleet::{
    Answer, Claim, ClaimSubject, Commit, Device, DeviceId, Manufacturer, OwnerId, Reason, Refusal,
    Strength, VoucherRecord,
};
use vouchsafe_home::HomeError;
use vouchsafe_net::{Clock, ReloadableIdentity};
use vouchsafe_store::{ClaimsAbout, CommitError, Conflict, ReadError, Store};
use vouchsafe_trust::{Anchors, Authority};

use crate::api::events::MAX_STREAMS;
use crate::catalogue::Manufacturers;
use crate::config::Config;
use crate::dpp::{Codes, Keys};
use crate::est::Requirements;
use crate::gate::{Gates, has_segment};
use crate::home::Home;
use crate::metrics::Counted;
use crate::registrar::Proofs;
use crate::review::Reviews;
use crate::revocation::Lists;

/// How often a decision is made anew when others were faster.
const MAX_ATTEMPTS: usize = 8;

/// Manufacturers read at once.
const PAGE: u32 = 500;

/// Claims about one device that policy gets to see. One with more is denied.
const MAX_CLAIMS: u32 = 1000;

/// The network owner's side. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Controller(Arc<Inner>);

/// The parts, all of which may be used from many tasks.
#[derive(Debug)]
pub struct Inner {
    /// State and journal.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// The configuration it was started with.
    pub config: Config,
    /// Who this owner is.
    pub owner: OwnerId,
    /// The domain CA.
    pub authority: Authority,
    /// The domain CA as the anchor of this owner's own certificates.
    pub domain: Anchors,
    /// What the registrar shows to devices and MASAs.
    pub registrar: ReloadableIdentity,
    /// Who made the devices.
    pub manufacturers: Manufacturers,
    /// What a certificate request must hold (RFC 7030 §4.5).
    pub requirements: Requirements,
    /// Which variants of BRSKI are spoken.
    pub compatibility: Compatibility,
    /// The controller's own keys for Wi-Fi Easy Connect.
    pub dpp: Keys,
    /// Codes that people have told devices.
    pub codes: Codes,
    /// What was proved about open connections.
    pub(crate) proofs: Proofs,
    /// When it started.
    pub started_at: Timestamp,
    /// True once it is told to stop: what would go on for ever ends then.
    pub stopping: watch::Sender<bool>,
    /// Event streams that may still begin.
    pub(crate) streams: Arc<Semaphore>,
    /// What was revoked.
    pub(crate) lists: Lists,
    /// When the store was counted for measurements.
    pub(crate) counted: Counted,
    /// Devices in service about which policy is to be asked again.
    pub(crate) reviews: Reviews,
    /// The desired state of network admission, and who waits for it.
    pub(crate) gates: Gates,
    /// Whoever replaces the policy.
    pub(crate) policy_turn: Mutex<()>,
    /// Whoever makes a checkpoint.
    pub(crate) checkpoint_turn: Mutex<()>,
    /// Where devices really reach it; known once it listens.
    registrar_url: OnceLock<String>,
    policy: RwLock<Arc<Policy>>,
    /// Where the Wi-Fi Easy Connect controller is; known while it listens.
    dpp_controller: RwLock<Option<DppController>>,
    /// What the configuration itself claims about every device.
    standing_claims: Vec<Claim>,
}

/// Why the controller cannot do what was asked, for reasons of its own.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// State could not be read.
    #[error("state cannot be read: {0}")]
    Read(#[from] ReadError),
    /// State could not be written.
    #[error("state cannot be written: {0}")]
    Commit(CommitError),
    /// Others were faster, again and again.
    #[error("too many changes at once; try again")]
    Contended,
    /// The data folder or the configuration is at fault.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A policy cannot be used.
    #[error("policy: {0}")]
    Policy(#[from] vouchsafe_fleet::policy::PolicyError),
    /// The registrar's or the CA's key failed.
    #[error("signing failed: {0}")]
    Sign(String),
}

impl Fault {
    /// Whether one row is at fault, and others may be read.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(self, Self::Read(ReadError::Damaged { .. }))
    }
}

/// What policy is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    /// What the device wants.
    pub(crate) request: RequestKind,
    /// The device.
    pub(crate) device: &'a Device,
    /// Its manufacturer, where that is known.
    pub(crate) manufacturer: Option<&'a Manufacturer>,
    /// How it comes in, or came in.
    pub(crate) onboarding: Option<Onboarding<'a>>,
    /// By which MAC address.
    pub(crate) address: Option<Address>,
}

impl std::ops::Deref for Controller {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Controller {
    /// Puts the parts together and loads what is kept in memory: manufacturers and policy.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn new(home: &Home, store: Store, clock: Clock) -> Result<Self, Fault> {
        let now = clock.now();
        let config = home.config.clone();
        let policy = match store.policy().await? {
            Some(record) => Policy::load(&record.text)?,
            None => match &config.policy.file {
                Some(file) => {
                    let path = home.dir.join(file);
                    let text = std::fs::read_to_string(&path)
                        .map_err(|source| HomeError::Read { path, source })?;
                    Policy::load(&text)?
                }
                None => Policy::load(vouchsafe_fleet::policy::DEFAULT_POLICY)?,
            },
        };
        let controller = Self(Arc::new(Inner {
            owner: home.owner,
            authority: home.authority.clone(),
            domain: Anchors::one(home.authority.certificate().clone()),
            registrar: ReloadableIdentity::new(home.registrar_identity()?),
            manufacturers: Manufacturers::default(),
            requirements: Requirements::new(&config)
                .map_err(|error| Fault::Sign(error.to_string()))?,
            compatibility: Compatibility::default(),
            dpp: home.dpp_keys()?,
            codes: Codes::default(),
            proofs: Proofs::default(),
            started_at: now,
            stopping: watch::Sender::new(false),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            lists: Lists::default(),
            counted: Counted::default(),
            reviews: Reviews::default(),
            gates: Gates::default(),
            policy_turn: Mutex::default(),
            checkpoint_turn: Mutex::default(),
            registrar_url: OnceLock::new(),
            policy: RwLock::new(Arc::new(policy)),
            dpp_controller: RwLock::default(),
            standing_claims: standing_claims(&config, home.owner, now),
            config,
            store,
            clock,
        }));
        controller.reload_manufacturers().await?;
        crate::gate::reload_segments(&controller).await?;
        Ok(controller)
    }

    /// Takes the manufacturers from the store anew. Where one of them is trusted otherwise than before,
    /// whoever decided that, all devices in service are looked at again.
    ///
    /// # Errors
    /// [`Fault::Read`].
    pub async fn reload_manufacturers(&self) -> Result<(), Fault> {
        let mut records = Vec::new();
        while records.len() % PAGE as usize == 0 {
            let after = records.last().map(|record: &Manufacturer| record.id);
            let page = self.store.manufacturers(after, PAGE).await?;
            if page.is_empty() {
                break;
            }
            records.extend(page);
        }
        let manufacturers = &self.manufacturers;
        if manufacturers.replace(records, &self.registrar, &self.config.masa) {
            self.reviews.everything();
        }
        Ok(())
    }

    /// Where devices reach the registrar: `https://host:port`; empty before it listens.
    pub fn registrar_url(&self) -> &str {
        self.registrar_url.get().map_or("", String::as_str)
    }

    /// Says where devices reach the registrar. The first word counts.
    pub(crate) fn listens_at(&self, url: String) {
        self.registrar_url.get_or_init(|| url);
    }

    /// How access points and devices reach the Wi-Fi Easy Connect controller, while it listens.
    pub fn dpp_controller(&self) -> Option<DppController> {
        self.dpp_controller
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Says how they reach it; anew when its signing keys change.
    pub fn set_dpp_controller(&self, shown: DppController) {
        *self
            .dpp_controller
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(shown);
    }

    /// The policy in force.
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another policy in force in this process; storing it is the caller's business.
    pub fn set_policy(&self, policy: Policy) {
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
        self.reviews.everything();
    }

    /// What policy says of a device now, on all claims about it.
    ///
    /// # Errors
    /// [`Fault::Read`].
    pub async fn verdict(
        &self,
        request: RequestKind,
        device: Option<&Device>,
        manufacturer: &Manufacturer,
    ) -> Result<Verdict, Fault> {
        let Some(device) = device else {
            // Strangers are refused before policy is asked.
            return Ok(Verdict::failed("the device is in no inventory"));
        };
        let question = Question {
            request,
            device,
            manufacturer: Some(manufacturer),
            onboarding: Some(Onboarding::BRSKI),
            address: None,
        };
        self.evaluate(question).await
    }

    /// What policy says of a device that comes in by Wi-Fi Easy Connect. Its manufacturer may be
    /// unknown.
    ///
    /// # Errors
    /// [`Fault::Read`].
    pub async fn dpp_verdict(
        &self,
        request: RequestKind,
        device: &Device,
        onboarding: Onboarding<'_>,
    ) -> Result<Verdict, Fault> {
        let catalogue = self.manufacturers.current();
        let manufacturer = catalogue.manufacturer(device.manufacturer);
        let question = Question {
            request,
            device,
            manufacturer: manufacturer.map(|known| &known.record),
            onboarding: Some(onboarding),
            address: None,
        };
        self.evaluate(question).await
    }

    /// What policy says on all claims about the device. It is remembered when that must be asked for again,
    /// and held against what there is: a segment that nobody described is no answer.
    pub(crate) async fn evaluate(&self, question: Question<'_>) -> Result<Verdict, Fault> {
        let device = question.device;
        let ClaimsAbout { claims, is_whole } = self.claims_about(device).await?;
        if !is_whole {
            return Ok(denied(question.request, Refusal::TooManyClaims.reason()));
        }
        let verdict = self.policy().evaluate(&Input {
            now: self.clock.now(),
            request: question.request,
            device: Some(device),
            manufacturer: question.manufacturer,
            onboarding: question.onboarding,
            address: question.address,
            claims: &claims,
        });
        // A device in service stays in its segment, whatever policy names now.
        let moves = question.request != RequestKind::Review || question.address.is_some();
        if let Answer::Allow {
            segment: Some(segment),
        } = &verdict.answer
            && moves
            && !has_segment(self, segment).await?
        {
            let text =
                format!("Policy names the segment `{segment}`, and there is none of this name.");
            let reason = Reason::new(Refusal::SegmentUnknown.code(), text, "owner policy");
            return Ok(denied(question.request, reason));
        }
        let result = match verdict.answer {
            Answer::Allow { .. } => "allow",
            Answer::Wait { .. } => "wait",
            Answer::Deny => "deny",
        };
        count_decision(question.request, result);
        if let Some(at) = verdict.ask_again_at {
            self.reviews.at(device.id, at, self.clock.now());
        }
        Ok(verdict)
    }

    /// Since when a device is this owner's. Asked only where there is an approval: most have none.
    ///
    /// # Errors
    /// [`Fault::Read`].
    pub(crate) async fn owned_since(
        &self,
        device: DeviceId,
        approval: Option<&VoucherRecord>,
    ) -> Result<Option<Timestamp>, Fault> {
        if approval.is_none() {
            return Ok(None);
        }
        let ownership = self.store.current_ownership(device).await?;
        Ok(ownership.map(|ownership| ownership.since))
    }

    /// What is claimed about a device, its model, its manufacturer and its owner. Who judges by it must see that
    /// it is all.
    ///
    /// # Errors
    /// [`Fault::Read`].
    pub async fn claims_about(&self, device: &Device) -> Result<ClaimsAbout, Fault> {
        let subjects = subjects(device, self.owner);
        let now = self.clock.now();
        let read = self
            .store
            .claims_about(device.id, &subjects, now, MAX_CLAIMS);
        let mut about = read.await?;
        about.claims.extend_from_slice(&self.standing_claims);
        Ok(about)
    }

    /// Whether a device holds a certificate of this domain that counts.
    pub(crate) async fn holds_credential(&self, device: DeviceId) -> Result<bool, Fault> {
        let now = self.clock.now();
        let credentials = self.store.credentials_that_count(device, now).await?;
        Ok(!credentials.is_empty())
    }

    /// Takes the policy from the store anew, where another replica may have put it.
    ///
    /// # Errors
    /// [`Fault::Read`], or [`Fault::Policy`]; then the old one stays in force.
    pub async fn reload_policy(&self) -> Result<(), Fault> {
        if let Some(record) = self.store.policy().await?
            && record.id != self.policy().id()
        {
            self.set_policy(Policy::load(&record.text)?);
        }
        Ok(())
    }

    /// What is remembered of a stranger of this name, and of strangers in all.
    ///
    /// # Errors
    /// [`Fault::Read`].
    pub async fn strangers(&self, id: DeviceId, now: Timestamp) -> Result<Strangers, Fault> {
        Ok(Strangers {
            seen: self.store.sighting(id, now).await?.is_some(),
            remembered: self.store.sightings_count(now, MAX_STRANGERS).await?,
        })
    }

    /// Loads facts, decides, and commits; when somebody else was faster, begins anew. What
    /// comes back is durable.
    ///
    /// # Errors
    /// [`Fault`] of the store, or [`Fault::Contended`].
    pub async fn settle<D, F, A>(&self, attempt: A) -> Result<Outcome<D>, Fault>
    where
        A: FnMut() -> F,
        F: Future<Output = Result<Outcome<D>, Fault>>,
    {
        self.settle_as(attempt).await
    }

    /// [`Controller::settle`] for attempts that fail in other ways as well.
    ///
    /// # Errors
    /// As the attempt, and as [`Controller::settle`].
    pub async fn settle_as<D, E, F, A>(&self, mut attempt: A) -> Result<Outcome<D>, E>
    where
        E: From<Fault>,
        A: FnMut() -> F,
        F: Future<Output = Result<Outcome<D>, E>>,
    {
        for _ in 0..MAX_ATTEMPTS {
            let mut outcome = attempt().await?;
            match self.commit(std::mem::take(&mut outcome.commit)).await {
                Ok(()) => return Ok(outcome),
                Err(CommitError::Conflict(conflict)) => {
                    tracing::debug!(?conflict, "decided anew");
                    // Decided on what memory says of it, which is older.
                    if matches!(conflict, Conflict::ManufacturerVersion) {
                        self.reload_manufacturers().await?;
                    }
                }
                Err(error) => return Err(Fault::Commit(error).into()),
            }
        }
        Err(Fault::Contended.into())
    }

    /// Makes a commit durable; an empty one costs nothing.
    ///
    /// # Errors
    /// As the store says.
    pub async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        if commit.is_empty() {
            return Ok(());
        }
        self.store.commit(commit).await.map(|_| ())
    }
}

/// All that a claim about a device can be about besides the device.
fn subjects(device: &Device, owner: OwnerId) -> Vec<ClaimSubject> {
    let manufacturer = device.manufacturer;
    let model = device.model.clone().map(|model| ClaimSubject::Model {
        manufacturer,
        model,
    });
    [
        ClaimSubject::Manufacturer { id: manufacturer },
        ClaimSubject::Owner { id: owner },
    ]
    .into_iter()
    .chain(model)
    .collect()
}

/// What is said without asking policy.
fn denied(request: RequestKind, reason: Reason) -> Verdict {
    count_decision(request, "deny");
    Verdict {
        answer: Answer::Deny,
        reasons: vec![reason],
        ask_again_at: None,
        by_address: None,
    }
}

fn count_decision(request: RequestKind, result: &'static str) {
    let request = request.as_str();
    metrics::counter!("vouchsafe_decisions_total", "request" => request, "result" => result)
        .increment(1);
}

fn standing_claims(config: &Config, owner: OwnerId, now: Timestamp) -> Vec<Claim> {
    let policy = &config.policy;
    [
        ("approval-required", policy.ask_a_person),
        ("mutual-required", policy.require_mutual),
    ]
    .into_iter()
    .filter(|(_, claimed)| *claimed)
    .map(|(kind, _)| Claim {
        issuer: "configuration".to_owned(),
        subject: ClaimSubject::Owner { id: owner },
        kind: kind.to_owned(),
        value: serde_json::Value::Bool(true),
        strength: Strength::Stated,
        issued_at: now
            .saturating_sub(SignedDuration::from_hours(1))
            .unwrap_or(now),
        expires_at: None,
        evidence: None,
        signature: None,
    })
    .collect()
}
