//! Steps 3 to 5: an authenticated device asks for its configuration.

use jiff::{SignedDuration, Timestamp};

use super::{asked_since, check_known, denied_lately, evidence_of};
use crate::claim::{Claim, ClaimSubject, Strength};
use crate::commit::{Change, Commit, Guard};
use crate::credential::{Credential, CredentialStatus};
use crate::decide::voucher::within;
use crate::decide::{
    Decision, IssuedCertificate, MAX_RETRY_AFTER, Outcome, PENDING_WINDOW, advance, device_entry,
    put_device, touched,
};
use crate::device::Device;
use crate::ids::{CredentialId, DeviceId, Digest, OwnerId, VoucherId};
use crate::journal::{Action, Actor, ActorKind, Evidence, Reason};
use crate::lifecycle::{Event, State};
use crate::manufacturer::Manufacturer;
use crate::policy::{Answer, Verdict};
use crate::refusal::Refusal;
use crate::voucher::{VoucherRecord, VoucherStatus};
use crate::wifi::{
    self, AccessCredential, AccessKind, Assurance, BootstrappingKey, DeviceRole, Given, Holdings,
    Network, SealedPassphrase, Standing,
};

/// What a request that waits says of its form.
const MEDIA_TYPE: &str = "dpp";

/// Of what a device says of itself, this many claims are kept.
const MAX_SAID: usize = 16;

/// And of each this many characters.
const MAX_SAID_LENGTH: usize = 1024;

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
    /// Its certificates that are active.
    pub certificates: &'a [Credential],
    /// The record of what a person said, under the name that [`approval_id`] computes.
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

/// The name of the record of what a person said about this device's wish to be configured, and
/// what stands in it for the digest of a request: each try of the device with this key is the
/// same wish. A yes to one key is none to another ([`Proof::key`]).
#[must_use]
pub fn approval_id(device: DeviceId, key: Digest) -> (VoucherId, Digest) {
    let request = Digest::of_parts(&[b"vouchsafe configuration request\0", &device.0, &key.0]);
    (VoucherId::new(device, request), request)
}

/// Leave to configure one device for one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigurePermit {
    device: Device,
    next: Device,
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

/// What the caller made under a permit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IssuedAccess {
    /// A connector was signed.
    Connector {
        /// Drawn at random: 32 hexadecimal digits.
        id: CredentialId,
        /// SHA-256 of the SubjectPublicKeyInfo of its `netAccessKey`.
        net_access_key_sha256: Digest,
        /// `kid` of the C-sign key.
        signed_by: String,
        /// When it runs out.
        expires_at: Option<Timestamp>,
    },
    /// A passphrase was drawn and sealed.
    Passphrase {
        /// Drawn at random: 32 hexadecimal digits.
        id: CredentialId,
        /// By which the access point finds it.
        identifier: String,
        /// The passphrase, sealed.
        sealed: SealedPassphrase,
    },
    /// A certificate was signed.
    Certificate {
        /// The certificate.
        issued: IssuedCertificate,
        /// SHA-256 of the certificate request (DER).
        request_sha256: Digest,
        /// SHA-256 of the SubjectPublicKeyInfo that was certified.
        key_spki_sha256: Digest,
    },
}

/// What is stored and may leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// The device as it is now.
    pub device: Device,
    /// What it was given.
    pub given: Given,
    /// Its access credentials from now on.
    pub access: Vec<AccessCredential>,
    /// Its certificate, if it got one.
    pub certificate: Option<Credential>,
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
    let said = facts
        .approval
        .filter(|record| asked_since(record, facts.owned_since));
    let approved = said.filter(|record| {
        record.status == VoucherStatus::Approved
            && within(record.updated_at, facts.now, PENDING_WINDOW)
    });
    // What policy denies stays denied even when a person said yes to an earlier state of things.
    let segment = match &facts.verdict.answer {
        Answer::Deny => return Err((Refusal::PolicyDenied, &facts.verdict.reasons)),
        Answer::Wait { .. } if denied_lately(said, facts.now) => {
            return Err(plain(Refusal::ApprovalDenied));
        }
        Answer::Wait { retry_after } if approved.is_none() => {
            return Ok(wait(facts, actor, *retry_after));
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
    // A connector that was shown stays good: somebody else may have shown it, and its owner comes yet.
    let replaced = |access: &&AccessCredential| {
        access.status == CredentialStatus::Active && Some(&access.id) != shown.as_ref()
    };
    let permit = ConfigurePermit {
        device: facts.device.clone(),
        next,
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
            called: facts
                .said
                .iter()
                .find(|(name, _)| *name == "name")
                .map(|(_, text)| text.chars().take(64).collect()),
            certificate: None,
            at: facts.now,
            confirmed_at: None,
        },
        network: network.clone(),
        standing: facts.holdings.standing.clone(),
        superseded_access: facts
            .holdings
            .access
            .iter()
            .filter(replaced)
            .map(|access| access.id.clone())
            .collect(),
        shown,
        superseded: facts
            .certificates
            .iter()
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

/// What the device says of itself, within bounds.
fn claims(facts: &ConfigureFacts<'_>) -> Vec<Claim> {
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

fn wait(
    facts: &ConfigureFacts<'_>,
    actor: &Actor,
    retry_after: SignedDuration,
) -> Outcome<ConfigurePermit> {
    let mut commit = Commit::default();
    let asked_already = facts.approval.is_some_and(|record| {
        record.status == VoucherStatus::AwaitingApproval
            && asked_since(record, facts.owned_since)
            && within(record.requested_at, facts.now, PENDING_WINDOW)
    });
    // A device that asks again writes nothing.
    if !asked_already {
        ask_a_person(facts, &mut commit);
        let mut entry = device_entry(facts.device, Action::ApprovalAsked, actor, facts.now)
            .with("method", "dpp")
            .with("assurance", assurance(facts));
        entry.evidence = evidence(facts);
        entry.reasons.clone_from(&facts.verdict.reasons);
        commit.entries.push(entry);
    }
    Outcome {
        decision: Decision::Wait {
            retry_after: retry_after.clamp(SignedDuration::from_secs(1), MAX_RETRY_AFTER),
            reasons: facts.verdict.reasons.clone(),
        },
        commit,
    }
}

fn ask_a_person(facts: &ConfigureFacts<'_>, commit: &mut Commit) {
    let (id, request_sha256) = approval_id(facts.device.id, facts.proof.key());
    let version = match facts.approval {
        Some(record) => {
            commit.guards.push(Guard::VoucherVersion {
                id,
                expected: record.version,
            });
            record.version.saturating_add(1)
        }
        None => {
            commit.guards.push(Guard::VoucherAbsent { id });
            1
        }
    };
    commit
        .changes
        .push(Change::PutVoucher(Box::new(VoucherRecord {
            id,
            device: facts.device.id,
            owner: Some(facts.owner),
            request_sha256,
            nonce: None,
            status: VoucherStatus::AwaitingApproval,
            assertion: None,
            media_type: MEDIA_TYPE.to_owned(),
            voucher: None,
            expires_on: None,
            reason: None,
            segment: None,
            requested_at: facts.now,
            updated_at: facts.now,
            version,
        })));
}

impl ConfigurePermit {
    /// The device that may be configured.
    #[must_use]
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// The network it may be configured for, which says what to make.
    #[must_use]
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// As what.
    #[must_use]
    pub const fn role(&self) -> DeviceRole {
        self.role
    }

    /// The segment the device belongs to, if there is one.
    #[must_use]
    pub fn segment(&self) -> Option<&str> {
        self.next.segment.as_deref()
    }

    /// Step 4: what the device gets exists; store it before it leaves. What it had before is
    /// superseded, and access points forget it.
    pub fn issue(self, issued: Vec<IssuedAccess>) -> Outcome<Configured> {
        let mut commit = Commit::default();
        self.guard(&mut commit);
        let mut configured = Configured {
            device: self.next.clone(),
            given: self.given.clone(),
            access: Vec::new(),
            certificate: None,
        };
        let mut evidence = self.evidence.clone();
        for one in issued {
            match self.credential(one) {
                Issued::Access(access) => {
                    commit
                        .changes
                        .push(Change::Wifi(wifi::Change::PutAccess(Box::new(
                            access.clone(),
                        ))));
                    configured.access.push(access);
                }
                Issued::Certificate(credential) => {
                    self.certify(&mut commit, &credential);
                    evidence.push(Evidence::new(
                        "certificate",
                        Digest::of(&credential.certificate_der),
                    ));
                    configured.given.certificate = Some(credential.id.clone());
                    configured.certificate = Some(credential);
                }
            }
        }
        for id in &self.superseded_access {
            commit
                .changes
                .push(Change::Wifi(wifi::Change::SetAccessStatus {
                    id: id.clone(),
                    status: CredentialStatus::Superseded,
                }));
        }
        let standing = Standing {
            device: self.device.id,
            wanted: self.standing.and_then(|standing| standing.wanted),
            given: Some(configured.given.clone()),
            updated_at: self.now,
        };
        commit
            .changes
            .push(Change::Wifi(wifi::Change::PutStanding(Box::new(standing))));
        for claim in self.claims {
            commit.changes.push(Change::PutClaim(Box::new(claim)));
        }
        let actor = Actor::new(ActorKind::Device, &self.device.serial);
        for action in self.actions {
            let mut entry = device_entry(&self.device, action, &actor, self.now)
                .with("method", "dpp")
                .with("assurance", self.given.assurance);
            entry.evidence.clone_from(&evidence);
            if matches!(action, Action::CredentialIssued | Action::CredentialRenewed) {
                entry.reasons.clone_from(&self.reasons);
                entry = entry
                    .with("network", &self.network.name)
                    .with("network-version", self.network.version)
                    .with("role", self.role);
                for access in &configured.access {
                    entry = entry.with(access.kind.as_str(), &access.id);
                }
                if let Some(credential) = &configured.certificate {
                    entry = entry.with("certificate", &credential.id);
                }
            }
            commit.entries.push(entry);
        }
        Outcome::accept(configured, commit)
    }

    /// What must still be so: device, network, key, approval, and what is superseded.
    fn guard(&self, commit: &mut Commit) {
        put_device(commit, &self.device, self.next.clone());
        commit.guards.push(Guard::Wifi(wifi::Guard::NetworkVersion {
            name: self.network.name.clone(),
            expected: self.network.version,
        }));
        if let Some((id, expected)) = self.key {
            commit
                .guards
                .push(Guard::Wifi(wifi::Guard::KeyVersion { id, expected }));
        }
        for id in self.superseded_access.iter().chain(&self.shown) {
            commit
                .guards
                .push(Guard::Wifi(wifi::Guard::AccessActive { id: id.clone() }));
        }
        if let Some(record) = &self.approval {
            commit.guards.push(Guard::VoucherVersion {
                id: record.id,
                expected: record.version,
            });
            commit
                .changes
                .push(Change::PutVoucher(Box::new(VoucherRecord {
                    status: VoucherStatus::Used,
                    updated_at: self.now,
                    version: record.version.saturating_add(1),
                    ..record.clone()
                })));
        }
    }

    fn credential(&self, issued: IssuedAccess) -> Issued {
        let access = |id, kind, expires_at| {
            Issued::Access(AccessCredential {
                id,
                device: self.device.id,
                network: self.network.name.clone(),
                kind,
                expires_at,
                status: CredentialStatus::Active,
                issued_at: self.now,
                confirmed_at: None,
            })
        };
        match issued {
            IssuedAccess::Connector {
                id,
                net_access_key_sha256,
                signed_by,
                expires_at,
            } => access(
                id,
                AccessKind::Connector {
                    net_access_key_sha256,
                    signed_by,
                },
                expires_at,
            ),
            IssuedAccess::Passphrase {
                id,
                identifier,
                sealed,
            } => access(id, AccessKind::Passphrase { identifier, sealed }, None),
            IssuedAccess::Certificate {
                issued,
                request_sha256,
                key_spki_sha256,
            } => Issued::Certificate(Credential {
                id: issued.id,
                device: self.device.id,
                spki_sha256: key_spki_sha256,
                request_sha256,
                not_before: issued.not_before,
                not_after: issued.not_after,
                status: CredentialStatus::Active,
                issued_at: self.now,
                confirmed_at: None,
                certificate_der: issued.der,
            }),
        }
    }

    /// A certificate is held to the same guards as one from EST.
    fn certify(&self, commit: &mut Commit, credential: &Credential) {
        commit.guards.push(Guard::KeyUnused {
            spki_sha256: credential.spki_sha256,
            device: self.device.id,
        });
        commit.guards.push(Guard::RequestUnanswered {
            device: self.device.id,
            request_sha256: credential.request_sha256,
        });
        for id in &self.superseded {
            commit
                .guards
                .push(Guard::CredentialActive { id: id.clone() });
            commit.changes.push(Change::SetCredentialStatus {
                id: id.clone(),
                status: CredentialStatus::Superseded,
            });
        }
        commit
            .changes
            .push(Change::PutCredential(Box::new(credential.clone())));
    }
}

enum Issued {
    Access(AccessCredential),
    Certificate(Credential),
}

/// What a device reports about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportStage {
    /// Whether it takes the configuration (Configuration Result).
    Configuration,
    /// Whether it got into the network (Connection Status Result).
    Connection,
}

impl ReportStage {
    const fn message(self) -> &'static str {
        match self {
            Self::Configuration => "configuration-result",
            Self::Connection => "connection-status",
        }
    }
}

/// What a device says of its configuration, in a message that only it can have made.
#[derive(Debug, Clone, Copy)]
pub struct ConfiguredFacts<'a> {
    /// The time.
    pub now: Timestamp,
    /// The device.
    pub device: &'a Device,
    /// What it holds.
    pub holdings: &'a Holdings,
    /// What it was given in the exchange that it reports on.
    pub given: &'a Given,
    /// The access credentials that belong to that.
    pub access: &'a [CredentialId],
    /// What it reports about.
    pub stage: ReportStage,
    /// Whether that worked.
    pub success: bool,
    /// What it says, such as the name of a status.
    pub said: &'a str,
    /// SHA-256 of the message.
    pub message_sha256: Digest,
}

/// Step 5: the device reports. A no changes nothing: its next try gets it something newer.
pub fn configured(facts: &ConfiguredFacts<'_>) -> Outcome<()> {
    let actor = Actor::new(ActorKind::Device, &facts.device.serial);
    let mut commit = Commit::default();
    let action = if facts.success {
        Action::EnrolmentConfirmed
    } else {
        Action::EnrolmentFailed
    };
    let said: String = facts.said.chars().take(512).collect();
    if facts.stage == ReportStage::Connection {
        commit
            .changes
            .push(Change::PutClaim(Box::new(connection(facts, &said))));
    }
    let mut entry = device_entry(facts.device, action, &actor, facts.now)
        .on(Evidence::new(facts.stage.message(), facts.message_sha256))
        .with("method", "dpp");
    entry = entry.with("network", &facts.given.network);
    let standing = facts.holdings.standing.as_ref();
    // Another exchange may have given it something newer meanwhile.
    let current = standing.and_then(|standing| {
        let given = standing.given.as_ref()?;
        (given.at == facts.given.at && given.confirmed_at.is_none()).then_some((standing, given))
    });
    if facts.success {
        if let Some((standing, given)) = current {
            put_device(&mut commit, facts.device, touched(facts.device, facts.now));
            confirm(&mut commit, facts, standing, given);
        }
    } else {
        entry = entry.because(Reason::new("device-said", said, "Wi-Fi Easy Connect 3.0"));
    }
    commit.entries.push(entry);
    Outcome::accept((), commit)
}

/// How joining went, as policy gets to see it: the device's own word.
fn connection(facts: &ConfiguredFacts<'_>, said: &str) -> Claim {
    Claim {
        issuer: "device".to_owned(),
        subject: ClaimSubject::Device {
            id: facts.device.id,
        },
        kind: "said-connection".to_owned(),
        value: said.to_owned().into(),
        strength: Strength::Stated,
        issued_at: facts.now,
        expires_at: None,
        evidence: Some(facts.message_sha256),
        signature: None,
    }
}

fn confirm(commit: &mut Commit, facts: &ConfiguredFacts<'_>, standing: &Standing, given: &Given) {
    let mine = |access: &&AccessCredential| {
        access.status == CredentialStatus::Active && facts.access.contains(&access.id)
    };
    for access in facts.holdings.access.iter().filter(mine) {
        commit
            .changes
            .push(Change::Wifi(wifi::Change::ConfirmAccess {
                id: access.id.clone(),
                at: facts.now,
            }));
    }
    let standing = Standing {
        given: Some(Given {
            confirmed_at: Some(facts.now),
            ..given.clone()
        }),
        updated_at: facts.now,
        ..standing.clone()
    };
    commit
        .changes
        .push(Change::Wifi(wifi::Change::PutStanding(Box::new(standing))));
    if let Some(id) = &given.certificate {
        commit
            .guards
            .push(Guard::CredentialActive { id: id.clone() });
        commit.changes.push(Change::ConfirmCredential {
            id: id.clone(),
            at: facts.now,
        });
    }
}
