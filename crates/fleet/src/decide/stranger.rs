//! Those who are in no inventory, and requests that fail before any decision.
//!
//! Anybody can make certificates and knock, so what a stranger can write is bounded: each one
//! is journaled once in [`STRANGER_MEMORY`], and at most [`MAX_STRANGERS`] of them.

use jiff::{SignedDuration, Timestamp};

use super::Outcome;
use crate::commit::{Change, Commit, Guard, Sighting};
use crate::device::Device;
use crate::ids::{DeviceId, ManufacturerId};
use crate::journal::{Action, Actor, ActorKind, Entry, Evidence, Reason, Subject};
use crate::manufacturer::{IdevidRules, Manufacturer, ManufacturerTrust};
use crate::refusal::Refusal;

/// For how long a stranger is remembered, and counts against [`MAX_STRANGERS`].
pub const STRANGER_MEMORY: SignedDuration = SignedDuration::from_hours(24);

/// Most strangers remembered, and so journaled, in [`STRANGER_MEMORY`].
pub const MAX_STRANGERS: u32 = 1000;

/// Of a stranger's serial number, this many characters are kept.
const MAX_SERIAL: usize = 64;

/// What is remembered of strangers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Strangers {
    /// This one is remembered already.
    pub seen: bool,
    /// How many are remembered.
    pub remembered: u32,
}

impl Strangers {
    /// Whether this one may still be written down.
    #[must_use]
    pub const fn has_room(&self) -> bool {
        !self.seen && self.remembered < MAX_STRANGERS
    }
}

/// The manufacturer a stranger says it has: the top of the chain it presented. Nothing is
/// proved about it.
#[derive(Debug, Clone, Copy)]
pub struct ShownManufacturer<'a> {
    /// The top certificate, DER.
    pub anchor_der: &'a [u8],
    /// Its name, computed from that certificate's key.
    pub id: ManufacturerId,
    /// The certificate's subject as text.
    pub name: &'a str,
    /// The MASA that the device's certificate names. It is written down and not contacted.
    pub masa_url: Option<&'a str>,
}

/// A stranger at the door.
pub(super) struct Stranger<'a> {
    pub now: Timestamp,
    pub device: DeviceId,
    pub serial: &'a str,
    pub manufacturer: Option<ManufacturerId>,
    pub shown: Option<ShownManufacturer<'a>>,
    pub strangers: Strangers,
    pub evidence: Evidence,
}

/// Refuses a stranger, and writes that down if there is room. A manufacturer that was not known
/// becomes known as seen, so that an administrator finds it in the list.
pub(super) fn refuse<D>(refusal: Refusal, stranger: &Stranger<'_>) -> Outcome<D> {
    let serial: String = stranger.serial.chars().take(MAX_SERIAL).collect();
    let entry = Entry::new(
        Subject::Site,
        Action::UnknownSeen,
        Actor::new(ActorKind::Device, serial.clone()),
        stranger.now,
    )
    .with("device", stranger.device)
    .on(stranger.evidence.clone());
    let mut outcome = Outcome::refuse(refusal, &[], entry);
    if !stranger.strangers.has_room() {
        outcome.commit = Commit::default();
        return outcome;
    }
    outcome.commit.changes.push(sighting(
        stranger.now,
        stranger.device,
        stranger.manufacturer,
        serial,
    ));
    if let Some(shown) = stranger.shown {
        see_manufacturer(&mut outcome.commit, &shown, stranger.now);
    }
    outcome
}

pub(super) fn sighting(
    now: Timestamp,
    device: DeviceId,
    manufacturer: Option<ManufacturerId>,
    serial: String,
) -> Change {
    Change::PutSighting(Sighting {
        device,
        manufacturer,
        serial,
        at: now,
        expires_at: now
            .saturating_add(STRANGER_MEMORY)
            .unwrap_or(Timestamp::MAX),
    })
}

fn see_manufacturer(commit: &mut Commit, shown: &ShownManufacturer<'_>, now: Timestamp) {
    commit.guards.push(Guard::ManufacturerVersion {
        id: shown.id,
        expected: 0,
    });
    commit
        .changes
        .push(Change::PutManufacturer(Box::new(Manufacturer {
            id: shown.id,
            name: shown.name.chars().take(128).collect(),
            anchors: vec![shown.anchor_der.to_vec()],
            masa_url: shown.masa_url.map(|url| url.chars().take(1024).collect()),
            masa_anchors: Vec::new(),
            trust: ManufacturerTrust::Seen,
            idevid_rules: IdevidRules::default(),
            version: 1,
            created_at: now,
            updated_at: now,
        })));
    commit.entries.push(
        Entry::new(
            Subject::Manufacturer(shown.id),
            Action::ManufacturerChanged,
            Actor::new(ActorKind::System, "registrar"),
            now,
        )
        .with("trust", ManufacturerTrust::Seen),
    );
}

/// A request that failed a protocol rule before its sender could prove to be anybody. Like any
/// stranger it is written down once in [`STRANGER_MEMORY`], and only while there is room, because
/// such requests cost their sender nothing. `device` is the name that the stranger would have.
#[must_use]
pub fn refused_stranger(
    now: Timestamp,
    device: DeviceId,
    serial: &str,
    strangers: Strangers,
    reason: Reason,
    evidence: Vec<Evidence>,
) -> Commit {
    let serial: String = serial.chars().take(MAX_SERIAL).collect();
    let actor = Actor::new(ActorKind::Device, serial.clone());
    let mut commit = refused_request(now, actor, None, strangers, reason, evidence);
    if !commit.is_empty() {
        commit.changes.push(sighting(now, device, None, serial));
    }
    commit
}

/// A request that failed a protocol rule before there was anything to decide. `reason` carries
/// the rule's code, sentence and section; with a device whose identity is proved the entry
/// goes to its journal, else to the site's as far as there is room for strangers.
#[must_use]
pub fn refused_request(
    now: Timestamp,
    actor: Actor,
    device: Option<&Device>,
    strangers: Strangers,
    reason: Reason,
    evidence: Vec<Evidence>,
) -> Commit {
    let subject = device.map_or(Subject::Site, |device| Subject::Device(device.id));
    let mut entry = Entry::new(subject, Action::RequestRefused, actor, now).because(reason);
    entry.evidence = evidence;
    let mut commit = Commit::default();
    if device.is_some() || strangers.has_room() {
        commit.entries.push(entry);
    }
    commit
}
