//! Step 3: an authenticated device asks for its configuration; a permit leads to step 4.

mod permit;

use jiff::Timestamp;

pub use permit::{Configured, IssuedAccess};

use super::{check_known, evidence_of};
use crate::claim::{Claim, ClaimSubject, Strength};
use crate::commit::Commit;
use crate::credential::{Credential, CredentialStatus, MAX_HELD};
use crate::decide::enrol::active;
use crate::decide::wish::{Wish, WishKind};
use crate::decide::{Outcome, advance, device_entry};
use crate::device::Device;
use crate::ids::{CredentialId, DeviceId, Digest, ManufacturerId, OwnerId};
use crate::journal::{Action, Actor, ActorKind, Evidence, Reason};
use crate::lifecycle::{Event, State};
use crate::manufacturer::Manufacturer;
use crate::policy::{Answer, Verdict};
use crate::refusal::Refusal;
use crate::voucher::VoucherRecord;
use crate::wifi::{
    AccessCredential, AccessKind, Assurance, BootstrappingKey, DeviceRole, Given, Holdings,
    Network, Standing,
};

/// Of what a device says of itself, this many claims are kept.
const MAX_SAID: usize = 16;

/// And of each this many characters.
const MAX_SAID_LENGTH: usize = 1024;

/// This many connectors of a device stay good when it shows one of them. Who shows its bootstrapping key
/// ends them all.
const MAX_BY_CONNECTOR: usize = 16;

/// How the device proved who it is.
#[derive(Debug, Clone, Copy)]
pub enum Proof<'a> {
    /// With its bootstrapping key.
    Bootstrapping {
        /// The key.
        key: &'a BootstrappingKey,
        /// What was proved, and to whom.
        assurance: Assurance,
    },
    /// With the connector it has. One that has run out is good for this: getting a newer one is what
    /// the device is here for. It is good for a connector and no more ([`Assurance::Connector`]).
    Connector(&'a AccessCredential),
}

/// A configuration request, and what is known about the device.
#[derive(Debug, Clone, Copy)]
pub struct ConfigureFacts<'a> {
    /// The time.
    pub now: Timestamp,
    /// This owner.
    pub owner: OwnerId,
    /// How the device proved who it is.
    pub proof: Proof<'a>,
    /// The bootstrapping key by which a device that shows its connector was given it, if that key is
    /// still known.
    pub label: Option<&'a BootstrappingKey>,
    /// The device.
    pub device: &'a Device,
    /// Its manufacturer, when somebody named one that is known.
    pub manufacturer: Option<&'a Manufacturer>,
    /// SHA-256 of the request as the device wrote it (the JSON).
    pub request_sha256: Digest,
    /// What it asks to be; none for a role that nobody is configured for here.
    pub role: Option<DeviceRole>,
    /// What it says of itself, by the protocol's names for it: `name`, `mudurl` and the like. Kept
    /// as claims of the device's own.
    pub said: &'a [(&'a str, &'a str)],
    /// Every network of this site.
    pub networks: &'a [Network],
    /// What it holds already.
    pub holdings: &'a Holdings,
    /// Whose the key is that it wants certified, if anybody's is.
    pub key_holder: Option<DeviceId>,
    /// Its certificates that count ([`Credential::counts`]).
    pub certificates: &'a [Credential],
    /// The record of what a person said, under the name that
    /// [`approval_id`](crate::decide::approval_id) computes.
    pub approval: Option<&'a VoucherRecord>,
    /// Since when the device is this owner's; needed where there is an approval. What a person
    /// was asked before that was about another time.
    pub owned_since: Option<Timestamp>,
    /// What policy says.
    pub verdict: &'a Verdict,
}

impl Proof<'_> {
    /// The hash of the key that the device proved.
    #[must_use]
    pub const fn key(&self) -> Digest {
        match self {
            Self::Bootstrapping { key, .. } => key.id,
            Self::Connector(access) => match access.kind {
                AccessKind::Connector {
                    net_access_key_sha256,
                    ..
                } => net_access_key_sha256,
                AccessKind::Passphrase { .. } => Digest::ZERO,
            },
        }
    }
}

/// Leave to configure one device for one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigurePermit {
    device: Device,
    next: Device,
    manufacturer: Option<(ManufacturerId, u64)>,
    actions: Vec<Action>,
    network: Network,
    role: DeviceRole,
    given: Given,
    standing: Option<Standing>,
    superseded_access: Vec<CredentialId>,
    shown: Option<CredentialId>,
    superseded: Vec<CredentialId>,
    key: Option<(Digest, u64)>,
    approval: Option<VoucherRecord>,
    claims: Vec<Claim>,
    evidence: Vec<Evidence>,
    reasons: Vec<Reason>,
    now: Timestamp,
}

/// Step 3: whether the device is configured, and for which network.
pub fn configure(facts: &ConfigureFacts<'_>) -> Outcome<ConfigurePermit> {
    let actor = Actor::new(ActorKind::Device, &facts.device.serial);
    match try_configure(facts, &actor) {
        Ok(outcome) => outcome,
        Err((refusal, more)) => {
            let mut entry = device_entry(facts.device, Action::RequestRefused, &actor, facts.now);
            entry.evidence = evidence(facts);
            Outcome::refuse(refusal, more, entry.with("assurance", assurance(facts)))
        }
    }
}

type Refused<'a> = (Refusal, &'a [Reason]);

fn try_configure<'a>(
    facts: &ConfigureFacts<'a>,
    actor: &Actor,
) -> Result<Outcome<ConfigurePermit>, Refused<'a>> {
    let plain = |refusal| (refusal, [].as_slice());
    let role = check(facts).map_err(plain)?;
    let wish = wish(facts);
    let approved = wish.approved();
    // What policy denies stays denied even when a person said yes to an earlier state of things.
    let segment = match &facts.verdict.answer {
        Answer::Deny => return Err((Refusal::PolicyDenied, &facts.verdict.reasons)),
        Answer::Wait { .. } if wish.denied_lately() => {
            return Err(plain(Refusal::ApprovalDenied));
        }
        Answer::Wait { retry_after } if approved.is_none() => {
            return Ok(wish.ask(*retry_after, &facts.verdict.reasons, || {
                let action = Action::ApprovalAsked;
                let mut entry = device_entry(facts.device, action, actor, facts.now)
                    .with("method", "dpp")
                    .with("assurance", assurance(facts));
                entry.evidence = evidence(facts);
                entry
            }));
        }
        Answer::Wait { .. } => None,
        Answer::Allow { segment } => segment.clone(),
    };
    let segment = approved
        .and_then(|record| record.segment.clone())
        .or(segment)
        .or_else(|| facts.device.segment.clone());
    let network = choose(facts, segment.as_deref()).map_err(plain)?;
    if role == DeviceRole::AccessPoint && !network.gives_connector() {
        return Err(plain(Refusal::NetworkNotForRole));
    }
    let secret = network.gives_passphrase() || network.gives_certificate();
    if secret && matches!(facts.proof, Proof::Connector(_)) {
        return Err(plain(Refusal::ConnectorNotEnough));
    }
    if kept(facts) >= MAX_BY_CONNECTOR {
        return Err(plain(Refusal::TooManyConnectors));
    }
    let is_others = facts.key_holder.is_some_and(|it| it != facts.device.id);
    if network.gives_certificate() && is_others {
        return Err(plain(Refusal::KeyOfAnotherDevice));
    }
    if network.gives_certificate() && facts.certificates.len() >= MAX_HELD {
        return Err(plain(Refusal::TooManyCredentials));
    }
    let mut next = facts.device.clone();
    let mut actions = Vec::new();
    for event in steps(facts) {
        let (after, action) = advance(&next, *event, actor, facts.now).map_err(plain)?;
        next = after;
        actions.push(action);
    }
    next.version = facts.device.version.saturating_add(1);
    next.segment = segment;
    let shown = match facts.proof {
        Proof::Connector(access) => Some(access.id.clone()),
        Proof::Bootstrapping { .. } => None,
    };
    let permit = ConfigurePermit {
        device: facts.device.clone(),
        next,
        manufacturer: facts.manufacturer.map(Manufacturer::seen),
        actions,
        role,
        given: Given {
            network: network.name.clone(),
            network_version: network.version,
            role,
            key: match facts.proof {
                Proof::Bootstrapping { key, .. } => Some(key.id),
                Proof::Connector(_) => given_before(facts).and_then(|given| given.key),
            },
            assurance: assurance(facts),
            called: called(facts),
            certificate: None,
            certified_by: given_before(facts)
                .map(|given| given.certified_by.clone())
                .unwrap_or_default(),
            at: facts.now,
            confirmed_at: None,
        },
        network: network.clone(),
        standing: facts.holdings.standing.clone(),
        superseded_access: facts
            .holdings
            .access
            .iter()
            .filter(|access| replaced(&facts.proof, access))
            .map(|access| access.id.clone())
            .collect(),
        shown,
        superseded: active(facts.certificates)
            .map(|credential| credential.id.clone())
            .collect(),
        key: match facts.proof {
            Proof::Bootstrapping { key, .. } => Some((key.id, key.version)),
            Proof::Connector(_) => None,
        },
        approval: approved.cloned(),
        claims: claims(facts),
        evidence: evidence(facts),
        reasons: facts.verdict.reasons.clone(),
        now: facts.now,
    };
    Ok(Outcome::accept(permit, Commit::default()))
}

/// Whether what the device holds ends with the configuration that it gets now. Anybody who has seen a
/// connector can show it (§6.5), so on its word nothing ends that the device's owner may be using: not the
/// connector itself, no passphrase, and no other connector that was reported to work.
fn replaced(proof: &Proof<'_>, access: &AccessCredential) -> bool {
    access.status == CredentialStatus::Active
        && match proof {
            Proof::Bootstrapping { .. } => true,
            Proof::Connector(shown) => {
                let is_connector = matches!(access.kind, AccessKind::Connector { .. });
                is_connector && access.confirmed_at.is_none() && access.id != shown.id
            }
        }
}

/// How many connectors stay good beside the one that the device gets for its connector.
fn kept(facts: &ConfigureFacts<'_>) -> usize {
    let Proof::Connector(_) = facts.proof else {
        return 0;
    };
    let access = facts.holdings.access.iter();
    access
        .filter(|access| matches!(access.kind, AccessKind::Connector { .. }))
        .filter(|access| access.status == CredentialStatus::Active)
        .filter(|access| !replaced(&facts.proof, access))
        .count()
}

/// What the device calls itself, if it is sure to be the device.
fn called(facts: &ConfigureFacts<'_>) -> Option<String> {
    if let Proof::Connector(_) = facts.proof {
        return given_before(facts)?.called.clone();
    }
    let (_, name) = facts.said.iter().find(|(name, _)| *name == "name")?;
    Some(name.chars().take(64).collect())
}

/// Who it is, and as what it may come in.
fn check(facts: &ConfigureFacts<'_>) -> Result<DeviceRole, Refusal> {
    let allowed = match facts.proof {
        Proof::Bootstrapping { key, assurance } => {
            if !matches!(assurance, Assurance::ResponderOnly | Assurance::Mutual) {
                return Err(Refusal::DeviceUnproved);
            }
            check_known(Some(key), facts.device, facts.manufacturer, facts.owner)?;
            key.role
        }
        Proof::Connector(access) => {
            if access.device != facts.device.id {
                return Err(Refusal::CredentialOfAnother);
            }
            check_known(facts.label, facts.device, facts.manufacturer, facts.owner)?;
            match access.status {
                CredentialStatus::Active => {}
                CredentialStatus::Superseded => return Err(Refusal::CredentialSuperseded),
                CredentialStatus::Revoked { .. } => return Err(Refusal::CredentialRevoked),
            }
            given_before(facts).map_or(DeviceRole::Station, |given| given.role)
        }
    };
    if facts.role != Some(allowed) {
        return Err(Refusal::RoleDiffers);
    }
    Ok(allowed)
}

fn given_before<'a>(facts: &ConfigureFacts<'a>) -> Option<&'a Given> {
    let holdings: &'a Holdings = facts.holdings;
    holdings.standing.as_ref()?.given.as_ref()
}

const fn wish<'a>(facts: &ConfigureFacts<'a>) -> Wish<'a> {
    Wish {
        now: facts.now,
        owner: facts.owner,
        kind: WishKind::Configuration,
        device: facts.device,
        key: facts.proof.key(),
        record: facts.approval,
        owned_since: facts.owned_since,
    }
}

/// What the proof is worth.
const fn assurance(facts: &ConfigureFacts<'_>) -> Assurance {
    match facts.proof {
        Proof::Bootstrapping { assurance, .. } => assurance,
        Proof::Connector(_) => Assurance::Connector,
    }
}

fn evidence(facts: &ConfigureFacts<'_>) -> Vec<Evidence> {
    let proof = match facts.proof {
        Proof::Bootstrapping { key, .. } => evidence_of(key),
        Proof::Connector(_) => Evidence::new("net-access-key", facts.proof.key()),
    };
    vec![
        proof,
        Evidence::new("configuration-request", facts.request_sha256),
    ]
}

/// What the device says of itself, within bounds. Who only showed a connector may be another.
fn claims(facts: &ConfigureFacts<'_>) -> Vec<Claim> {
    if let Proof::Connector(_) = facts.proof {
        return Vec::new();
    }
    let plain = |name: &&(&str, &str)| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !name.0.is_empty() && name.0.len() <= 32 && name.0.bytes().all(plain)
    };
    let said = facts.said.iter().filter(plain).take(MAX_SAID);
    said.map(|(name, text)| Claim {
        issuer: "device".to_owned(),
        subject: ClaimSubject::Device {
            id: facts.device.id,
        },
        kind: format!("said-{name}"),
        value: text
            .chars()
            .take(MAX_SAID_LENGTH)
            .collect::<String>()
            .into(),
        strength: Strength::Stated,
        issued_at: facts.now,
        expires_at: None,
        evidence: Some(facts.request_sha256),
        signature: None,
    })
    .collect()
}

/// The network a person named for the device; else the only one that fits its segment; else the
/// only one that is for any segment.
fn choose<'a>(facts: &ConfigureFacts<'a>, segment: Option<&str>) -> Result<&'a Network, Refusal> {
    let standing = facts.holdings.standing.as_ref();
    if let Some(wanted) = standing.and_then(|standing| standing.wanted.as_ref()) {
        return facts
            .networks
            .iter()
            .find(|network| network.name == *wanted)
            .ok_or(Refusal::NoNetwork);
    }
    let only = |wanted: Option<&str>| {
        let mut fitting = facts
            .networks
            .iter()
            .filter(move |network| network.segment.as_deref() == wanted);
        match (fitting.next(), fitting.next()) {
            (Some(_), Some(_)) => Err(Refusal::NetworkAmbiguous),
            (one, _) => Ok(one),
        }
    };
    let fitting = match segment {
        Some(_) => only(segment)?,
        None => None,
    };
    match fitting {
        Some(network) => Ok(network),
        None => only(None)?.ok_or(Refusal::NoNetwork),
    }
}

/// Which life-cycle steps this takes.
fn steps(facts: &ConfigureFacts<'_>) -> &'static [Event] {
    match (facts.device.state, facts.proof) {
        (State::Onboarding, _) => &[Event::Enrol],
        (State::Onboarded, Proof::Connector(_)) => &[Event::Renew],
        (State::Onboarded, Proof::Bootstrapping { .. }) => &[Event::Restart, Event::Enrol],
        // From elsewhere there is no such step, and the life cycle says so.
        (_, _) => &[Event::Begin, Event::Enrol],
    }
}
