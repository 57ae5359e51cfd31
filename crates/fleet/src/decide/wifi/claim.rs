//! Whose a bootstrapping key is.
//!
//! A key belongs to one device. Who claims it for a second one is refused, and the contradiction
//! is kept with the key: until a person settles it, the device does not come in.

use jiff::Timestamp;

use super::evidence_of;
use super::network::meant_for;
use crate::commit::{Change, Commit, Guard};
use crate::credential::{Credential, RevocationReason};
use crate::decide::intake::claim_as;
use crate::decide::operate::{revoke_access_into, revoke_into};
use crate::decide::{
    ClaimFacts, Decision, OperateFacts, Outcome, device_entry, in_inventory, put_device, touched,
};
use crate::device::Device;
use crate::ids::{DeviceId, Digest, ManufacturerId, OwnerId};
use crate::journal::{Action, Actor, Entry, Evidence, Reason, Subject};
use crate::lifecycle::State;
use crate::refusal::Refusal;
use crate::wifi::{
    self, BootstrappingKey, DeviceRole, Holdings, KeyConflict, KeyFacts, KeySource, MAX_URI,
    Network, Standing,
};

/// Longest MUD URL in characters (RFC 8520 §10 allows 255 on the wire).
const MAX_MUD_URL: usize = 255;

/// A bootstrapping URI that somebody hands in, and what is known about it.
#[derive(Debug, Clone, Copy)]
pub struct ClaimUriFacts<'a> {
    /// The time.
    pub now: Timestamp,
    /// Who hands it in.
    pub actor: &'a Actor,
    /// This owner.
    pub owner: OwnerId,
    /// What the URI says.
    pub key: KeyFacts<'a>,
    /// As what the device may be configured.
    pub role: DeviceRole,
    /// How it came.
    pub source: KeySource,
    /// Whose device it is and its serial number, when they are known.
    pub identity: Option<(ManufacturerId, &'a str)>,
    /// What stands for the serial number of a device that is named after its key, where somebody
    /// said something.
    pub label: Option<&'a str>,
    /// Its model, when known.
    pub model: Option<&'a str>,
    /// Where its usage description is (RFC 8520), when known.
    pub mud_url: Option<&'a str>,
    /// The segment it shall go to, if policy leaves that open.
    pub segment: Option<&'a str>,
    /// The network it is meant for, if one was named.
    pub network: Option<&'a Network>,
    /// The row of the device that [`device_of`] names, if it has one.
    pub existing: Option<&'a Device>,
    /// That device's standing, if it has one.
    pub standing: Option<&'a Standing>,
    /// The row of this key, if it has one.
    pub known: Option<&'a BootstrappingKey>,
    /// Why, or on which paper.
    pub reasons: &'a [Reason],
    /// Whether whoever claims may change a device in service, as another key for it does: who has that key
    /// comes in as the device.
    pub runs_devices: bool,
}

/// A key that is known now, and its device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedKey {
    /// The device.
    pub device: Device,
    /// Its key.
    pub key: BootstrappingKey,
    /// Whether anything is new.
    pub changed: bool,
}

/// Which device a URI is about: the one with this manufacturer and serial number; else the one
/// that has the key already; else one that is named after the key.
#[must_use]
pub fn device_of(
    identity: Option<(ManufacturerId, &str)>,
    key: Digest,
    known: Option<&BootstrappingKey>,
) -> DeviceId {
    match (identity, known) {
        (Some((manufacturer, serial)), _) => DeviceId::new(manufacturer, serial),
        (None, Some(known)) => known.device,
        (None, None) => DeviceId::of_bootstrapping_key(key),
    }
}

/// Takes a device into the inventory by its bootstrapping URI, or adds the key to one that is
/// there.
pub fn claim_uri(facts: &ClaimUriFacts<'_>) -> Outcome<ClaimedKey> {
    let id = device_of(facts.identity, facts.key.id, facts.known);
    match try_claim(facts, id) {
        Ok(outcome) => outcome,
        Err(refusal) => {
            let entry = refusal_of(facts.key.id, facts.actor, facts.now).with("device", id);
            let mut outcome = Outcome::refuse(refusal, facts.reasons, entry);
            if refusal == Refusal::BootstrappingKeyConflict
                && let Some(known) = facts.known
            {
                let claim = conflict(facts, id);
                mark(&mut outcome.commit, known, claim, facts.actor, facts.now);
            }
            outcome
        }
    }
}

/// A device is claimed for a network that was removed since a person named it. It must not get into another.
pub fn network_gone(
    now: Timestamp,
    actor: &Actor,
    key: Digest,
    network: &str,
    reasons: &[Reason],
) -> Outcome<ClaimedKey> {
    let entry = refusal_of(key, actor, now).with("network", network);
    Outcome::refuse(Refusal::NetworkUnknown, reasons, entry)
}

fn refusal_of(key: Digest, actor: &Actor, now: Timestamp) -> Entry {
    Entry::new(Subject::Site, Action::RequestRefused, actor.clone(), now)
        .on(Evidence::new("bootstrapping-key", key))
}

/// The network that the device is meant for from now on, if that is another one.
fn meant<'a>(facts: &ClaimUriFacts<'a>) -> Option<&'a Network> {
    let wanted = facts.standing.and_then(|standing| standing.wanted.as_ref());
    facts
        .network
        .filter(|network| wanted != Some(&network.name))
}

fn try_claim(facts: &ClaimUriFacts<'_>, id: DeviceId) -> Result<Outcome<ClaimedKey>, Refusal> {
    if facts.key.uri.is_empty() || facts.key.uri.len() > MAX_URI {
        return Err(Refusal::BadBootstrappingKey);
    }
    if facts.known.is_some_and(|known| known.device != id) {
        return Err(Refusal::BootstrappingKeyConflict);
    }
    let here = facts.existing.filter(|device| in_inventory(device.state));
    let (mut device, mut commit) = match facts.existing {
        Some(device) if here.is_some() => {
            if device.owner != Some(facts.owner) {
                return Err(Refusal::OtherOwner);
            }
            let is_known = facts.known.is_some_and(|known| known.role == facts.role);
            let is_new = !is_known || meant(facts).is_some();
            if is_new && device.state != State::Claimed && !facts.runs_devices {
                return Err(Refusal::ActorMayNot);
            }
            (device.clone(), Commit::default())
        }
        existing => {
            let placeholder = facts.serial();
            let (manufacturer, serial) = match (facts.identity, existing) {
                (Some(identity), _) => identity,
                (None, Some(device)) => (device.manufacturer, device.serial.as_str()),
                (None, None) => (ManufacturerId::NONE, placeholder.as_str()),
            };
            let claim = ClaimFacts {
                now: facts.now,
                actor: facts.actor,
                owner: facts.owner,
                manufacturer,
                serial,
                model: facts.model,
                segment: facts.segment,
                idevid_sha256: None,
                existing,
            };
            let outcome = claim_as(&claim, id);
            match outcome.decision {
                Decision::Accept(device) => with_mud_url(facts, device, outcome.commit),
                Decision::Refuse { refusal, .. } => return Err(refusal),
                Decision::Wait { .. } | Decision::Replay(_) => return Err(Refusal::WrongState),
            }
        }
    };
    let key = put_key(&mut commit, facts, &device);
    if let Some(network) = meant(facts) {
        let standing = meant_for(&device, facts.standing, &network.name, facts.now);
        commit
            .changes
            .push(Change::Wifi(wifi::Change::PutStanding(Box::new(standing))));
        commit.guards.push(Guard::Wifi(wifi::Guard::NetworkVersion {
            name: network.name.clone(),
            expected: network.version,
        }));
        commit.entries.push(
            device_entry(&device, Action::NetworkAssigned, facts.actor, facts.now)
                .with("network", &network.name),
        );
    }
    if let Some(entry) = commit.entries.first_mut() {
        entry.reasons.extend_from_slice(facts.reasons);
    }
    let changed = !commit.is_empty();
    if let Some(here) = here.filter(|_| changed) {
        // It may be getting something right now, which a standing as it was before would erase.
        device = touched(here, facts.now);
        put_device(&mut commit, here, device.clone());
    }
    Ok(Outcome::accept(
        ClaimedKey {
            device,
            key,
            changed,
        },
        commit,
    ))
}

impl ClaimUriFacts<'_> {
    /// The serial number, or what stands for it.
    fn serial(&self) -> String {
        let said = self.identity.map(|(_, serial)| serial).or(self.label);
        match said {
            Some(said) => said.chars().take(64).collect(),
            None => {
                let key = self.key.id.to_string();
                format!("dpp-{}", key.get(..16).unwrap_or_default())
            }
        }
    }
}

/// A device that is taken in gets the usage description that came with its label.
fn with_mud_url(
    facts: &ClaimUriFacts<'_>,
    mut device: Device,
    mut commit: Commit,
) -> (Device, Commit) {
    if let Some(url) = facts.mud_url {
        device.mud_url = Some(url.chars().take(MAX_MUD_URL).collect());
        for change in &mut commit.changes {
            if let Change::PutDevice(row) = change {
                row.mud_url.clone_from(&device.mud_url);
            }
        }
    }
    (device, commit)
}

/// The key as it is now; written when anything about it is new.
fn put_key(commit: &mut Commit, facts: &ClaimUriFacts<'_>, device: &Device) -> BootstrappingKey {
    let key = match facts.known {
        Some(known) if known.role == facts.role => return known.clone(),
        Some(known) => BootstrappingKey {
            role: facts.role,
            updated_at: facts.now,
            version: known.version.saturating_add(1),
            ..known.clone()
        },
        None => new_key(&facts.key, facts.role, facts.source, device.id, facts.now),
    };
    write_key(commit, facts.known, &key, device, facts.actor, facts.now);
    key
}

fn new_key(
    key: &KeyFacts<'_>,
    role: DeviceRole,
    source: KeySource,
    device: DeviceId,
    now: Timestamp,
) -> BootstrappingKey {
    BootstrappingKey {
        id: key.id,
        chirp_hash: key.chirp_hash,
        curve: key.curve.to_owned(),
        uri: key.uri.to_owned(),
        device,
        role,
        source,
        conflict: None,
        added_at: now,
        updated_at: now,
        version: 1,
    }
}

fn write_key(
    commit: &mut Commit,
    known: Option<&BootstrappingKey>,
    key: &BootstrappingKey,
    device: &Device,
    actor: &Actor,
    now: Timestamp,
) {
    guard_key(commit, key.id, known);
    commit
        .changes
        .push(Change::Wifi(wifi::Change::PutKey(Box::new(key.clone()))));
    forget_announced(commit, key);
    commit.entries.push(
        device_entry(device, Action::BootstrappingKeyAdded, actor, now)
            .on(evidence_of(key))
            .with("role", key.role)
            .with("source", key.source)
            .with("curve", &key.curve),
    );
}

/// What was announced before is no riddle any more.
pub(super) fn forget_announced(commit: &mut Commit, key: &BootstrappingKey) {
    for hash in [key.id, key.chirp_hash] {
        commit
            .changes
            .push(Change::Wifi(wifi::Change::ForgetAnnouncement { hash }));
    }
}

pub(super) fn guard_key(commit: &mut Commit, id: Digest, known: Option<&BootstrappingKey>) {
    commit.guards.push(Guard::Wifi(wifi::Guard::KeyVersion {
        id,
        expected: known.map_or(0, |known| known.version),
    }));
}

fn conflict(facts: &ClaimUriFacts<'_>, device: DeviceId) -> KeyConflict {
    KeyConflict {
        device,
        serial: facts.serial(),
        source: facts.source,
        by: facts.actor.name.clone(),
        at: facts.now,
    }
}

/// Keeps a contradiction with the key, once for each device that is named.
fn mark(
    commit: &mut Commit,
    known: &BootstrappingKey,
    claim: KeyConflict,
    actor: &Actor,
    now: Timestamp,
) {
    if known
        .conflict
        .as_ref()
        .is_some_and(|before| before.device == claim.device)
    {
        return;
    }
    guard_key(commit, known.id, Some(known));
    commit.entries.push(
        Entry::new(
            Subject::Device(known.device),
            Action::BootstrappingKeyConflict,
            actor.clone(),
            now,
        )
        .on(evidence_of(known))
        .because(Refusal::BootstrappingKeyConflict.reason())
        .with("claimed-for", claim.device)
        .with("serial", &claim.serial)
        .with("source", claim.source),
    );
    let marked = BootstrappingKey {
        conflict: Some(claim),
        updated_at: now,
        version: known.version.saturating_add(1),
        ..known.clone()
    };
    commit
        .changes
        .push(Change::Wifi(wifi::Change::PutKey(Box::new(marked))));
}

/// The bootstrapping key that a manifest gives one of its devices.
#[derive(Debug, Clone, Copy)]
pub struct ImportKey<'a> {
    /// What the URI says.
    pub key: KeyFacts<'a>,
    /// The row of this key, if it has one.
    pub known: Option<&'a BootstrappingKey>,
}

/// Adds to the import of a device that its key is known now, or that it is claimed for another
/// device as well.
pub(in crate::decide) fn import_key(
    commit: &mut Commit,
    given: &ImportKey<'_>,
    device: &Device,
    actor: &Actor,
    now: Timestamp,
) {
    match given.known {
        Some(known) if known.device == device.id => {}
        Some(known) => {
            let claim = KeyConflict {
                device: device.id,
                serial: device.serial.clone(),
                source: KeySource::Manifest,
                by: actor.name.clone(),
                at: now,
            };
            mark(commit, known, claim, actor, now);
        }
        None if given.key.uri.len() > MAX_URI => {}
        None => {
            let key = new_key(
                &given.key,
                DeviceRole::Station,
                KeySource::Manifest,
                device.id,
                now,
            );
            write_key(commit, None, &key, device, actor, now);
        }
    }
}

/// A bootstrapping key that a person takes away.
#[derive(Debug, Clone, Copy)]
pub struct RemoveKeyFacts<'a> {
    /// The time.
    pub now: Timestamp,
    /// Who takes it away.
    pub actor: &'a Actor,
    /// The key.
    pub key: &'a BootstrappingKey,
    /// Its device.
    pub device: &'a Device,
    /// Why.
    pub reasons: &'a [Reason],
}

/// Removes a bootstrapping key. What its device was given by it stays.
pub fn remove_key(facts: &RemoveKeyFacts<'_>) -> Outcome<()> {
    let mut entry = device_entry(
        facts.device,
        Action::BootstrappingKeyRemoved,
        facts.actor,
        facts.now,
    )
    .on(evidence_of(facts.key));
    entry.reasons = facts.reasons.to_vec();
    let commit = Commit {
        guards: Vec::new(),
        changes: vec![Change::Wifi(wifi::Change::RemoveKey {
            id: facts.key.id,
            expected: facts.key.version,
        })],
        entries: vec![entry],
    };
    Outcome::accept((), commit)
}

/// A contradiction that a person settles.
#[derive(Debug, Clone, Copy)]
pub struct SettleKeyFacts<'a> {
    /// The time.
    pub now: Timestamp,
    /// Who settles it.
    pub actor: &'a Actor,
    /// The key.
    pub key: &'a BootstrappingKey,
    /// Whose it is said to be: its present device, or the one of the contradiction.
    pub device: &'a Device,
    /// The device that has it now.
    pub present: &'a Device,
    /// What that device holds by Wi-Fi Easy Connect.
    pub holdings: &'a Holdings,
    /// That device's certificates that are active.
    pub certificates: &'a [Credential],
    /// Why.
    pub reasons: &'a [Reason],
}

/// Settles whose a bootstrapping key is. A device that loses it loses what it was given by it as
/// well: whoever has the key has that, and is another device.
pub fn settle_key(facts: &SettleKeyFacts<'_>) -> Outcome<BootstrappingKey> {
    let key = facts.key;
    let other = key.conflict.as_ref().map(|conflict| conflict.device);
    let entry = device_entry(
        facts.device,
        Action::BootstrappingKeySettled,
        facts.actor,
        facts.now,
    )
    .on(evidence_of(key));
    if other.is_none() || (facts.device.id != key.device && other != Some(facts.device.id)) {
        let entry = Entry {
            action: Action::RequestRefused,
            ..entry
        };
        return Outcome::refuse(Refusal::NothingPending, facts.reasons, entry);
    }
    let settled = BootstrappingKey {
        device: facts.device.id,
        conflict: None,
        updated_at: facts.now,
        version: key.version.saturating_add(1),
        ..key.clone()
    };
    let mut commit = Commit::default();
    guard_key(&mut commit, key.id, Some(key));
    put_device(&mut commit, facts.device, touched(facts.device, facts.now));
    commit
        .changes
        .push(Change::Wifi(wifi::Change::PutKey(Box::new(
            settled.clone(),
        ))));
    let mut entries = vec![entry];
    if facts.device.id != key.device {
        // The device that loses the key hears of it in its own journal.
        entries.push(
            device_entry(
                facts.present,
                Action::BootstrappingKeyRemoved,
                facts.actor,
                facts.now,
            )
            .on(evidence_of(key))
            .with("belongs-to", facts.device.id),
        );
    }
    for mut entry in entries {
        entry.reasons = facts.reasons.to_vec();
        commit.entries.push(entry);
    }
    if facts.device.id != key.device {
        lose(&mut commit, facts);
    }
    Outcome::accept(settled, commit)
}

/// Ends what the present device was given by the key.
fn lose(commit: &mut Commit, facts: &SettleKeyFacts<'_>) {
    let present = facts.present;
    put_device(commit, present, touched(present, facts.now));
    let standing = facts.holdings.standing.as_ref();
    let Some((standing, given)) =
        standing.and_then(|standing| Some((standing, standing.given.as_ref()?)))
    else {
        return;
    };
    let is_latest = given.key == Some(facts.key.id);
    let evidence = [evidence_of(facts.key)];
    let operate = OperateFacts {
        now: facts.now,
        actor: facts.actor,
        device: present,
        credentials: facts.certificates,
        wifi: facts.holdings,
        addresses: &[],
        ownership: None,
        reasons: facts.reasons,
        evidence: &evidence,
    };
    let reason = RevocationReason::PrivilegeWithdrawn;
    // One that was renewed since is another certificate, and as little this device's.
    if given.certified_by.contains(&facts.key.id) {
        for certificate in facts.certificates {
            revoke_into(commit, &operate, certificate, reason);
        }
    }
    if !is_latest {
        return;
    }
    for access in &facts.holdings.access {
        revoke_access_into(commit, &operate, access, reason);
    }
    let standing = Standing {
        given: None,
        updated_at: facts.now,
        ..standing.clone()
    };
    commit
        .changes
        .push(Change::Wifi(wifi::Change::PutStanding(Box::new(standing))));
}
