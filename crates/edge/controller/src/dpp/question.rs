//! A configuration request of a device that proved who it is: facts, decision, and what is made of
//! it (steps 3 and 4 of [`decide::wifi`](vouchsafe_fleet::decide::wifi)).

use vouchsafe_dpp::object::{NetRole, RequestObject};
use vouchsafe_fleet::decide::wifi::{
    self, ConfigureFacts, ConfigurePermit, ConfiguredFacts, Proof, ReportStage,
};
use vouchsafe_fleet::decide::{self, Outcome, Strangers, WishKind, approval_id};
use vouchsafe_fleet::policy::{Method, Onboarding, RequestKind};
use vouchsafe_fleet::wifi::{Assurance, DeviceRole, Given, MAX_NETWORKS};
use vouchsafe_fleet::{
    Actor, ActorKind, CredentialId, Device, DeviceId, Digest, Evidence, Reason, Refusal,
};

use super::credential::{self, Asked, Made};
use super::failure::Failure;
use crate::controller::{Controller, Fault};

/// What the device proved.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shown {
    /// Its bootstrapping key, by the key's hash.
    Bootstrapping {
        /// The hash.
        key: Digest,
        /// And what besides.
        assurance: Assurance,
    },
    /// The `netAccessKey` of the connector it has, by the key's hash.
    Connector(Digest),
}

/// What stays the same while a request is decided.
#[derive(Debug)]
pub(super) struct Question<'a> {
    pub(super) controller: &'a Controller,
    pub(super) device: DeviceId,
    pub(super) shown: Shown,
    /// What the device says of itself.
    pub(super) request: &'a RequestObject,
    /// SHA-256 of the request as it was written.
    pub(super) request_sha256: Digest,
    pub(super) asked: &'a Asked,
}

/// What a device may report on later. Kept while it is waited for, so it is no more than that needs.
#[derive(Debug, Clone)]
pub(super) struct Reportable {
    device: DeviceId,
    given: Given,
    access: Vec<CredentialId>,
}

/// What may leave.
#[derive(Debug)]
pub(super) enum Granted {
    /// It is stored.
    Configured(Made, Box<Reportable>),
    /// The network has certificates, and the device has not asked for one. Nothing is stored.
    CertificateRequestNeeded,
}

impl Question<'_> {
    /// Decides, makes what the permit allows, and commits. What comes back is durable.
    ///
    /// # Errors
    /// [`Failure::Fault`]; [`Failure::Refused`] when there is nothing to make that this device could
    /// use, which the journal has.
    pub(super) async fn settle(&self) -> Result<Outcome<Granted>, Failure> {
        let settled = self
            .controller
            .settle_as(async || {
                Ok::<_, Failure>(match self.decide().await?.or_other() {
                    Ok((permit, commit)) if self.lacks_request(&permit) => {
                        Outcome::accept(Granted::CertificateRequestNeeded, commit)
                    }
                    Ok((permit, _)) => {
                        let made = credential::make(self.controller, &permit, self.asked).await?;
                        grant(permit, made)
                    }
                    Err(other) => other,
                })
            })
            .await;
        if let Err(Failure::Refused(reasons)) = &settled
            && let Some(reason) = reasons.first()
        {
            self.note(reason.clone()).await?;
        }
        settled
    }

    fn lacks_request(&self, permit: &ConfigurePermit) -> bool {
        permit.network().gives_certificate() && self.asked.certificate_request.is_none()
    }

    async fn decide(&self) -> Result<Outcome<ConfigurePermit>, Fault> {
        let controller = self.controller;
        let store = &controller.store;
        let Some(device) = store.device(self.device).await? else {
            return Ok(Outcome::nobody(Refusal::UnknownDevice));
        };
        let holdings = store.active_holdings(device.id).await?;
        let given = holdings.standing.as_ref().and_then(|it| it.given.as_ref());
        let label = match self.shown {
            Shown::Bootstrapping { key, .. } => Some(key),
            Shown::Connector(_) => given.and_then(|given| given.key),
        };
        let key = match label {
            Some(label) => store.bootstrapping_key(label).await?,
            None => None,
        };
        let access = match self.shown {
            Shown::Bootstrapping { .. } => None,
            Shown::Connector(key) => store.connector_by_key(key).await?,
        };
        let proof = match (self.shown, &key, &access) {
            (Shown::Bootstrapping { assurance, .. }, Some(key), _) => {
                Proof::Bootstrapping { key, assurance }
            }
            (Shown::Connector(_), _, Some(access)) => Proof::Connector(access),
            // It was removed meanwhile.
            _ => return Ok(Outcome::nobody(Refusal::UnknownBootstrappingKey)),
        };
        let role = role(self.request);
        let said = said(self.request);
        let mutual = match self.shown {
            Shown::Bootstrapping { assurance, .. } => assurance == Assurance::Mutual,
            Shown::Connector(_) => false,
        };
        let verdict = controller
            .dpp_verdict(
                RequestKind::Configure,
                &device,
                Onboarding {
                    method: Method::Dpp,
                    mutual,
                    role,
                    said: &said,
                },
            )
            .await?;
        let manufacturers = controller.manufacturers.current();
        let manufacturer = manufacturers.manufacturer(device.manufacturer);
        let most = u32::try_from(MAX_NETWORKS).unwrap_or(u32::MAX);
        let networks = store.networks(None, most).await?;
        let now = controller.clock.now();
        let key_holder = match &self.asked.certificate_request {
            Some(request) => {
                store
                    .key_holder(Digest(request.public_key().sha256()))
                    .await?
            }
            None => None,
        };
        let certificates = store.credentials_that_count(device.id, now).await?;
        let (wish, _) = approval_id(WishKind::Configuration, device.id, proof.key());
        let approval = store.voucher(wish).await?;
        let owned_since = controller.owned_since(device.id, approval.as_ref()).await?;
        Ok(wifi::configure(&ConfigureFacts {
            now,
            owner: controller.owner,
            proof,
            label: key.as_ref(),
            device: &device,
            manufacturer: manufacturer.map(|known| &known.record),
            request_sha256: self.request_sha256,
            role,
            said: &said,
            networks: &networks,
            holdings: &holdings,
            key_holder,
            certificates: &certificates,
            approval: approval.as_ref(),
            owned_since,
            verdict: &verdict,
        }))
    }

    /// Writes down that the device was told no, for a reason that is no policy's.
    async fn note(&self, reason: Reason) -> Result<(), Fault> {
        let evidence = Evidence::new("configuration-request", self.request_sha256);
        note(self.controller, self.device, reason, evidence).await
    }
}

/// Writes down that a device that proved who it is was told no.
///
/// # Errors
/// [`Fault`].
pub(super) async fn note(
    controller: &Controller,
    device: DeviceId,
    reason: Reason,
    evidence: Evidence,
) -> Result<(), Fault> {
    let Some(device) = controller.store.device(device).await? else {
        return Ok(());
    };
    let commit = decide::refused_request(
        controller.clock.now(),
        Actor::new(ActorKind::Device, &device.serial),
        Some(&device),
        Strangers::default(),
        reason,
        vec![evidence],
    );
    controller.commit(commit).await.map_err(Fault::Commit)
}

/// A report of a device on what it was given.
#[derive(Debug)]
pub(super) struct Report<'a> {
    /// What it was given.
    pub(super) on: &'a Reportable,
    pub(super) stage: ReportStage,
    pub(super) success: bool,
    /// What it says, such as the name of a status.
    pub(super) said: &'a str,
    /// The message.
    pub(super) message: &'a [u8],
}

impl Report<'_> {
    /// Commits it.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) async fn settle(&self, controller: &Controller) -> Result<(), Fault> {
        let store = &controller.store;
        controller
            .settle(async || {
                let Some(device): Option<Device> = store.device(self.on.device).await? else {
                    return Ok::<_, Fault>(Outcome::nobody(Refusal::UnknownDevice));
                };
                let holdings = store.active_holdings(device.id).await?;
                Ok(wifi::configured(&ConfiguredFacts {
                    now: controller.clock.now(),
                    device: &device,
                    holdings: &holdings,
                    given: &self.on.given,
                    access: &self.on.access,
                    stage: self.stage,
                    success: self.success,
                    said: self.said,
                    message_sha256: Digest::of(self.message),
                }))
            })
            .await
            .map(|_| ())
    }
}

fn grant(permit: ConfigurePermit, made: Made) -> Outcome<Granted> {
    permit.issue(made.issued.clone()).map(|configured| {
        let reportable = Reportable {
            device: configured.device.id,
            given: configured.given,
            access: configured.access.into_iter().map(|it| it.id).collect(),
        };
        Granted::Configured(made, Box::new(reportable))
    })
}

/// Nobody is made a configurator by the network it joins.
fn role(request: &RequestObject) -> Option<DeviceRole> {
    match request.role {
        NetRole::Station => Some(DeviceRole::Station),
        NetRole::AccessPoint => Some(DeviceRole::AccessPoint),
        NetRole::Configurator => None,
    }
}

/// What the device says of itself, as policy gets to see it.
fn said(request: &RequestObject) -> Vec<(&str, &str)> {
    let mut said = vec![("name", request.name.as_str())];
    if let Some(url) = &request.mud_url {
        said.push(("mudurl", url));
    }
    said
}
