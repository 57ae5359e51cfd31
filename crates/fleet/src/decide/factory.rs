//! The factory line and the sales desk.
//!
//! 1. A line station asks for an identity ([`provision`]): one per serial number.
//! 2. The manufacturer's CA signs; [`ProvisionPermit::issue`] makes the record.
//! 3. The device is sold ([`sell`]), and perhaps comes back ([`release_ownership`]).

use jiff::{SignedDuration, Timestamp};

use super::intake::{check_serial, new_device};
use super::wifi::{ImportKey, import_key};
use super::{Outcome, StoredAnswer, advance, device_entry, put_device};
use crate::commit::{Change, Commit, Guard};
use crate::device::{Device, KeyOrigin};
use crate::ids::{DeviceId, Digest, ManufacturerId, OwnerId};
use crate::journal::{Action, Actor, Entry, Evidence, Subject};
use crate::lifecycle::{Event, State, transition};
use crate::owner::{Owner, Ownership, OwnershipBasis};
use crate::refusal::Refusal;
use crate::wifi::{KeyFacts, MAX_URI};

/// A request for an identity. If it came as a CSR, its signature is proved.
#[derive(Debug, Clone, Copy)]
pub struct ProvisionFacts<'a> {
    /// The time.
    pub now: Timestamp,
    /// The line station, or who else asks.
    pub actor: &'a Actor,
    /// This manufacturer.
    pub manufacturer: ManufacturerId,
    /// The serial number.
    pub serial: &'a str,
    /// Model, when there is one.
    pub model: Option<&'a str>,
    /// Where the device's usage description will be (RFC 8520).
    pub mud_url: Option<&'a str>,
    /// How the key was made.
    pub key_origin: KeyOrigin,
    /// SHA-256 of the key's SubjectPublicKeyInfo.
    pub key_spki_sha256: Digest,
    /// The device with this serial number, if there is one.
    pub existing: Option<&'a Device>,
    /// The device that has this key, if one has.
    pub key_holder: Option<DeviceId>,
    /// The bootstrapping key for Wi-Fi Easy Connect that goes onto its label, if it gets one.
    pub bootstrapping: Option<ImportKey<'a>>,
}

/// Leave to sign one birth certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvisionPermit {
    device: Device,
    actor: Actor,
    bootstrapping: Option<LabelKey>,
}

/// A bootstrapping key that outlives the facts it came with.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LabelKey {
    id: Digest,
    chirp_hash: Digest,
    curve: String,
    uri: String,
}

impl LabelKey {
    fn facts(&self) -> KeyFacts<'_> {
        KeyFacts {
            id: self.id,
            chirp_hash: self.chirp_hash,
            curve: &self.curve,
            uri: &self.uri,
        }
    }
}

/// Step 1: whether this serial number gets an identity with this key. The same key again gets
/// the same certificate again, if it was kept; a bootstrapping key that comes with it then is added
/// to the record.
pub fn provision(facts: &ProvisionFacts<'_>) -> Outcome<ProvisionPermit> {
    let id = DeviceId::new(facts.manufacturer, facts.serial);
    match try_provision(facts, id) {
        Ok(outcome) => outcome,
        Err(refusal) => {
            let subject = facts
                .existing
                .map_or(Subject::Site, |device| Subject::Device(device.id));
            let entry = Entry::new(
                subject,
                Action::RequestRefused,
                facts.actor.clone(),
                facts.now,
            )
            .with("device", id)
            .with("key", facts.key_spki_sha256);
            Outcome::refuse(refusal, &[], entry)
        }
    }
}

fn try_provision(
    facts: &ProvisionFacts<'_>,
    id: DeviceId,
) -> Result<Outcome<ProvisionPermit>, Refusal> {
    check_serial(facts.serial)?;
    if facts.key_holder.is_some_and(|holder| holder != id) {
        return Err(Refusal::KeyOfAnotherDevice);
    }
    if let Some(given) = &facts.bootstrapping {
        if given.known.is_some_and(|known| known.device != id) {
            return Err(Refusal::KeyOfAnotherDevice);
        }
        if given.key.uri.len() > MAX_URI {
            return Err(Refusal::BadBootstrappingKey);
        }
    }
    if let Some(existing) = facts.existing {
        let same_key = existing.idevid_spki_sha256 == Some(facts.key_spki_sha256);
        return match &existing.idevid_der {
            Some(der) if same_key => {
                let mut outcome = Outcome::replay(StoredAnswer {
                    media_type: String::new(),
                    body: der.clone(),
                });
                if let Some(given) = &facts.bootstrapping {
                    let commit = &mut outcome.commit;
                    import_key(commit, given, existing, facts.actor, facts.now);
                }
                Ok(outcome)
            }
            _ => Err(Refusal::SerialTaken),
        };
    }
    let edge =
        transition(None, Event::Provision, facts.actor.kind).map_err(|_| Refusal::WrongState)?;
    let device = Device {
        model: facts.model.map(str::to_owned),
        state: edge.to,
        idevid_spki_sha256: Some(facts.key_spki_sha256),
        mud_url: facts.mud_url.map(str::to_owned),
        key_origin: facts.key_origin,
        ..new_device(id, facts.manufacturer, facts.serial, facts.now)
    };
    let permit = ProvisionPermit {
        device,
        actor: facts.actor.clone(),
        bootstrapping: facts.bootstrapping.as_ref().map(|given| LabelKey {
            id: given.key.id,
            chirp_hash: given.key.chirp_hash,
            curve: given.key.curve.to_owned(),
            uri: given.key.uri.to_owned(),
        }),
    };
    Ok(Outcome::accept(permit, Commit::default()))
}

impl ProvisionPermit {
    /// The device that gets its identity.
    #[must_use]
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// Step 2: the birth certificate exists; store the record before it leaves.
    pub fn issue(self, idevid_der: Vec<u8>) -> Outcome<Device> {
        let mut device = self.device;
        let sha256 = Digest::of(&idevid_der);
        device.idevid_sha256 = Some(sha256);
        device.idevid_der = Some(idevid_der);
        // By the hundred thousand: no room is taken that is not filled.
        let mut guards = Vec::with_capacity(2);
        guards.push(Guard::DeviceAbsent { id: device.id });
        if let Some(spki_sha256) = device.idevid_spki_sha256 {
            guards.push(Guard::KeyUnused {
                spki_sha256,
                device: device.id,
            });
        }
        let entry = Entry {
            evidence: vec![Evidence::new("idevid", sha256)],
            ..device_entry(&device, Action::Provisioned, &self.actor, device.created_at)
        };
        let entry = entry
            .with("serial", &device.serial)
            .with("key-origin", device.key_origin);
        let mut commit = Commit {
            guards,
            changes: vec![Change::PutDevice(Box::new(device.clone()))],
            entries: vec![entry],
        };
        if let Some(key) = &self.bootstrapping {
            let given = ImportKey {
                key: key.facts(),
                known: None,
            };
            let now = device.created_at;
            import_key(&mut commit, &given, &device, &self.actor, now);
        }
        Outcome::accept(device, commit)
    }
}

/// A device and its buyer, or its owner who gives it back.
#[derive(Debug, Clone, Copy)]
pub struct SellFacts<'a> {
    /// The time.
    pub now: Timestamp,
    /// Who records it.
    pub actor: &'a Actor,
    /// The device.
    pub device: &'a Device,
    /// The owner.
    pub owner: &'a Owner,
    /// The ownership that has not ended, if there is one.
    pub current: Option<&'a Ownership>,
}

/// Step 3: records a sale. The same sale twice changes nothing.
pub fn sell(facts: &SellFacts<'_>) -> Outcome<Device> {
    match try_transfer(facts, OwnershipBasis::Sale) {
        Ok((device, commit)) => Outcome::accept(device, commit),
        Err(refusal) => {
            let entry = device_entry(facts.device, Action::RequestRefused, facts.actor, facts.now)
                .with("owner", facts.owner.id);
            Outcome::refuse(refusal, &[], entry)
        }
    }
}

pub(super) fn try_transfer(
    facts: &SellFacts<'_>,
    basis: OwnershipBasis,
) -> Result<(Device, Commit), Refusal> {
    let mut commit = Commit::default();
    if let Some(current) = facts.current {
        return if current.owner == facts.owner.id {
            Ok((facts.device.clone(), commit))
        } else {
            Err(Refusal::AlreadySold)
        };
    }
    if facts.owner.blocked.is_some() {
        return Err(Refusal::OwnerBlocked);
    }
    let (mut device, action) = advance(facts.device, Event::Transfer, facts.actor, facts.now)?;
    device.owner = Some(facts.owner.id);
    commit.guards.push(Guard::CurrentOwner {
        device: device.id,
        expected: None,
    });
    put_device(&mut commit, facts.device, device.clone());
    commit.changes.push(Change::PutOwnership(Ownership {
        device: device.id,
        owner: facts.owner.id,
        basis,
        since: facts.now,
        until: None,
    }));
    commit.entries.push(
        device_entry(&device, action, facts.actor, facts.now)
            .with("owner", facts.owner.id)
            .with("owner-name", &facts.owner.name)
            .with("basis", basis),
    );
    Ok((device, commit))
}

/// How far an owner's clock may run ahead of the manufacturer's when it dates a statement.
const STATEMENT_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// Step 3: the owner gives the device up, so that it can be sold again. `stated_at` is the date of
/// the owner's signed statement, if there is one: a statement ends the ownership during which it
/// was made and none that came later, even of the same owner.
pub fn release_ownership(facts: &SellFacts<'_>, stated_at: Option<Timestamp>) -> Outcome<Device> {
    let refuse = |refusal| {
        let entry = device_entry(facts.device, Action::RequestRefused, facts.actor, facts.now)
            .with("owner", facts.owner.id);
        Outcome::refuse(refusal, &[], entry)
    };
    let Some(current) = facts.current else {
        return refuse(Refusal::NotSold);
    };
    if current.owner != facts.owner.id {
        return refuse(Refusal::OtherOwner);
    }
    let outside = |stated_at: Timestamp| {
        stated_at < current.since || stated_at.duration_since(facts.now) > STATEMENT_SKEW
    };
    if stated_at.is_some_and(outside) {
        return refuse(Refusal::StatementOutOfTime);
    }
    let (mut device, action) = match advance(facts.device, Event::Release, facts.actor, facts.now) {
        Ok(advanced) => advanced,
        Err(refusal) => return refuse(refusal),
    };
    device.owner = None;
    let mut commit = Commit::default();
    commit.guards.push(Guard::CurrentOwner {
        device: device.id,
        expected: Some(current.owner),
    });
    put_device(&mut commit, facts.device, device.clone());
    commit.changes.push(Change::PutOwnership(Ownership {
        until: Some(facts.now),
        ..current.clone()
    }));
    commit
        .entries
        .push(device_entry(&device, action, facts.actor, facts.now).with("owner", facts.owner.id));
    Outcome::accept(device, commit)
}

/// Whether the device may still get vouchers.
pub(super) const fn in_service(device: &Device) -> Result<(), Refusal> {
    match device.state {
        State::Retired => Err(Refusal::DeviceRetired),
        _ => Ok(()),
    }
}

/// The owner that a registrar's chain names, when the MASA has no record of it.
pub(super) fn new_owner(id: OwnerId, name: &str, now: Timestamp) -> Owner {
    Owner {
        id,
        name: name.chars().take(128).collect(),
        domain_ca_der: None,
        blocked: None,
        created_at: now,
        updated_at: now,
    }
}
