//! How a device comes into its owner's inventory: by its manufacturer's record, or by hand.

use jiff::Timestamp;

use super::wifi::{ImportKey, Labelled, Occasion, import_key, merge};
use super::{Decision, Outcome, advance, device_entry, put_device, touched};
use crate::commit::{Change, Commit, Guard};
use crate::device::{Device, KeyOrigin, MAX_SERIAL};
use crate::ids::{DeviceId, Digest, ManufacturerId, OwnerId};
use crate::journal::{Action, Actor, ChainHead, Entry, Evidence, Sealed, Subject, verify_chain};
use crate::lifecycle::{Event, State};
use crate::manifest::ManifestDevice;
use crate::owner::{Ownership, OwnershipBasis};
use crate::refusal::Refusal;

/// One device of a manifest whose signature was proved to be its manufacturer's.
#[derive(Debug, Clone, Copy)]
pub struct ImportFacts<'a> {
    /// The time.
    pub now: Timestamp,
    /// Who imports.
    pub actor: &'a Actor,
    /// This owner.
    pub owner: OwnerId,
    /// To whom the manifest says the devices were sold.
    pub sold_to: OwnerId,
    /// Whose manifest it is.
    pub manufacturer: ManufacturerId,
    /// SHA-256 of the signed manifest.
    pub manifest_sha256: Digest,
    /// The device's line in it.
    pub line: &'a ManifestDevice,
    /// The device's row, if it has one.
    pub existing: Option<&'a Device>,
    /// The end of its journal here.
    pub head: ChainHead,
    /// Its bootstrapping key, where the line has one that can be read.
    pub key: Option<ImportKey<'a>>,
    /// The device that has that key now, where it is another one.
    pub labelled: Option<Labelled<'a>>,
}

/// Takes a device into the inventory as its manufacturer's record describes it. Its journal
/// goes on where the factory's ends.
///
/// A device that is claimed already and has the same birth key is accepted without a change,
/// so that a manifest can be imported twice.
pub fn import(facts: &ImportFacts<'_>) -> Outcome<Device> {
    let id = DeviceId::new(facts.manufacturer, &facts.line.serial);
    let entry = Entry::new(
        Subject::Device(id),
        Action::Imported,
        facts.actor.clone(),
        facts.now,
    )
    .on(Evidence::new("manifest", facts.manifest_sha256));
    match try_import(facts, id, &entry) {
        Ok(mut outcome) => {
            if let (Decision::Accept(device), Some(key)) = (&mut outcome.decision, &facts.key) {
                let occasion = Occasion {
                    now: facts.now,
                    actor: facts.actor,
                    manifest: facts.manifest_sha256,
                };
                if let Some(labelled) = &facts.labelled
                    && let Some(merged) =
                        merge(&mut outcome.commit, device, key, labelled, occasion)
                {
                    *device = merged;
                    return outcome;
                }
                let unchanged = outcome.commit.is_empty();
                import_key(&mut outcome.commit, key, device, facts.actor, facts.now);
                if unchanged && !outcome.commit.is_empty() {
                    let device = device.clone();
                    put_device(&mut outcome.commit, &device, touched(&device, facts.now));
                }
            }
            outcome
        }
        Err(refusal) => {
            // Nothing may be written in front of a factory journal that may still come.
            let site = Entry {
                subject: Subject::Site,
                action: Action::RequestRefused,
                ..entry
            };
            Outcome::refuse(refusal, &[], site.with("device", id))
        }
    }
}

fn try_import(
    facts: &ImportFacts<'_>,
    id: DeviceId,
    entry: &Entry,
) -> Result<Outcome<Device>, Refusal> {
    let line = facts.line;
    check_serial(&line.serial)?;
    if facts.sold_to != facts.owner {
        return Err(Refusal::NotOurs);
    }
    let mut commit = Commit::default();
    let base = match facts.existing {
        Some(device) => {
            if differs(device.idevid_spki_sha256, Some(line.idevid_spki_sha256)) {
                return Err(Refusal::IdevidKeyDiffers);
            }
            match device.state {
                State::Released => {}
                State::Retired => return Err(Refusal::DeviceRetired),
                _ => return Ok(Outcome::accept(device.clone(), commit)),
            }
            commit.guards.push(Guard::DeviceVersion {
                id,
                expected: device.version,
            });
            touched(device, facts.now)
        }
        None => {
            adopt(facts, id, &mut commit)?;
            commit.guards.push(Guard::DeviceAbsent { id });
            new_device(id, facts.manufacturer, &line.serial, facts.now)
        }
    };
    let mut device = Device {
        model: line.model.clone().or(base.model),
        state: State::Transferred,
        owner: Some(facts.owner),
        idevid_sha256: Some(line.idevid_sha256),
        idevid_spki_sha256: Some(line.idevid_spki_sha256),
        mud_url: line.mud_url.clone().or(base.mud_url),
        key_origin: line.key_origin,
        reason: None,
        ..base
    };
    commit.entries.push(entry.clone());
    let (mut claimed, action) = advance(&device, Event::Claim, facts.actor, facts.now)?;
    claimed.version = device.version;
    device = claimed;
    commit
        .entries
        .push(device_entry(&device, action, facts.actor, facts.now));
    commit
        .changes
        .push(Change::PutDevice(Box::new(device.clone())));
    commit
        .changes
        .push(ownership(&device, facts.owner, facts.now));
    Ok(Outcome::accept(device, commit))
}

/// Checks the factory's journal and puts it in front of ours.
fn adopt(facts: &ImportFacts<'_>, id: DeviceId, commit: &mut Commit) -> Result<(), Refusal> {
    let chain: &[Sealed] = &facts.line.journal;
    let subject = Subject::Device(id);
    let head = verify_chain(subject, chain, None).map_err(|_| Refusal::JournalBroken)?;
    if head.seq == 0 {
        return Ok(());
    }
    if facts.head == head {
        return Ok(());
    }
    if facts.head != ChainHead::EMPTY {
        return Err(Refusal::JournalBroken);
    }
    let sold_to_us = chain
        .iter()
        .rev()
        .filter_map(|sealed| sealed.entry().ok())
        .find(|entry| matches!(entry.action, Action::Sold | Action::Released))
        .is_some_and(|entry| {
            entry.action == Action::Sold
                && entry.data.get("owner") == Some(&facts.owner.to_string())
        });
    if !sold_to_us {
        return Err(Refusal::JournalIncomplete);
    }
    commit.guards.push(Guard::JournalHead {
        subject,
        expected: ChainHead::EMPTY,
    });
    commit.changes.push(Change::AdoptJournal {
        subject,
        chain: chain.to_vec(),
    });
    Ok(())
}

/// A device that a person takes into the inventory, through the API or from a CSV file.
#[derive(Debug, Clone, Copy)]
pub struct ClaimFacts<'a> {
    /// The time.
    pub now: Timestamp,
    /// Who claims.
    pub actor: &'a Actor,
    /// This owner.
    pub owner: OwnerId,
    /// Whose device it is.
    pub manufacturer: ManufacturerId,
    /// Its serial number.
    pub serial: &'a str,
    /// Its model, when known.
    pub model: Option<&'a str>,
    /// The segment it shall go to, if policy leaves that open.
    pub segment: Option<&'a str>,
    /// SHA-256 of its birth certificate, when known: then a device that shows another is refused.
    pub idevid_sha256: Option<Digest>,
    /// The device's row, if it has one.
    pub existing: Option<&'a Device>,
}

/// Takes a device into the inventory on a person's word.
pub fn claim(facts: &ClaimFacts<'_>) -> Outcome<Device> {
    claim_as(facts, DeviceId::new(facts.manufacturer, facts.serial))
}

/// [`claim`] of a device whose name is known: one that is not named after manufacturer and serial
/// number, but after its bootstrapping key.
pub(super) fn claim_as(facts: &ClaimFacts<'_>, id: DeviceId) -> Outcome<Device> {
    let entry = Entry::new(
        Subject::Device(id),
        Action::Claimed,
        facts.actor.clone(),
        facts.now,
    );
    match try_claim(facts, id, &entry) {
        Ok(outcome) => outcome,
        Err(refusal) => {
            let entry = Entry {
                subject: Subject::Site,
                action: Action::RequestRefused,
                ..entry
            };
            Outcome::refuse(refusal, &[], entry.with("device", id))
        }
    }
}

fn try_claim(
    facts: &ClaimFacts<'_>,
    id: DeviceId,
    entry: &Entry,
) -> Result<Outcome<Device>, Refusal> {
    check_serial(facts.serial)?;
    let mut commit = Commit::default();
    let mut device = match facts.existing {
        Some(device) => {
            if matches!(
                device.state,
                State::Claimed | State::Onboarding | State::Onboarded | State::Quarantined
            ) {
                return Err(Refusal::AlreadyClaimed);
            }
            let (next, _) = advance(device, Event::Claim, facts.actor, facts.now)?;
            commit.guards.push(Guard::DeviceVersion {
                id,
                expected: device.version,
            });
            next
        }
        None => {
            crate::lifecycle::transition(None, Event::Claim, facts.actor.kind)
                .map_err(|_| Refusal::WrongState)?;
            commit.guards.push(Guard::DeviceAbsent { id });
            new_device(id, facts.manufacturer, facts.serial, facts.now)
        }
    };
    device.state = State::Claimed;
    device.owner = Some(facts.owner);
    device.reason = None;
    if let Some(model) = facts.model {
        device.model = Some(model.to_owned());
    }
    if let Some(segment) = facts.segment {
        device.segment = Some(segment.to_owned());
    }
    if let Some(expected) = facts.idevid_sha256 {
        if differs(device.idevid_sha256, Some(expected)) {
            // Another birth certificate may have another key; the one shown last decides.
            device.idevid_spki_sha256 = None;
        }
        device.idevid_sha256 = Some(expected);
    }
    commit
        .entries
        .push(entry.clone().with("serial", &device.serial));
    commit
        .changes
        .push(Change::PutDevice(Box::new(device.clone())));
    commit
        .changes
        .push(ownership(&device, facts.owner, facts.now));
    Ok(Outcome::accept(device, commit))
}

pub(super) fn new_device(
    id: DeviceId,
    manufacturer: ManufacturerId,
    serial: &str,
    now: Timestamp,
) -> Device {
    Device {
        id,
        manufacturer,
        serial: serial.to_owned(),
        model: None,
        state: State::Provisioned,
        owner: None,
        segment: None,
        idevid_sha256: None,
        idevid_spki_sha256: None,
        idevid_der: None,
        mud_url: None,
        key_origin: KeyOrigin::Unknown,
        version: 1,
        journal_seq: 0,
        journal_head: Digest::ZERO,
        reason: None,
        created_at: now,
        updated_at: now,
    }
}

/// RFC 8995 §2.3.1: the serial number is an X520SerialNumber, a printable string.
pub(super) fn check_serial(serial: &str) -> Result<(), Refusal> {
    let printable = serial.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if serial.is_empty() || serial.len() > MAX_SERIAL || !printable {
        return Err(Refusal::BadSerial);
    }
    Ok(())
}

fn ownership(device: &Device, owner: OwnerId, now: Timestamp) -> Change {
    Change::PutOwnership(Ownership {
        device: device.id,
        owner,
        basis: OwnershipBasis::Inventory,
        since: now,
        until: None,
    })
}

/// Both known and not the same.
pub(super) fn differs(known: Option<Digest>, shown: Option<Digest>) -> bool {
    matches!((known, shown), (Some(known), Some(shown)) if known != shown)
}
