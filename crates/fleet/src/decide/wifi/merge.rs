//! A device that was claimed by its label, and that its manufacturer names now.
//!
//! Its manifest is signed by a manufacturer that somebody decided to trust, and says which
//! bootstrapping key has which serial number. Where the device that is named after that key has
//! nothing yet but the word of whoever claimed it, both are one:
//!
//! 1. The device of the manifest gets the key, the role, segment and network that a person gave the
//!    other one, and what was claimed of it, each under its own issuer.
//! 2. The other one leaves the inventory. Its journal stays, and each of the two journals names the
//!    other device.
//!
//! Anything that speaks against it leaves a conflict to a person: `docs/decisions/0024`.

use jiff::Timestamp;

use super::claim::{ImportKey, forget_announced, guard_key};
use super::evidence_of;
use super::network::meant_for;
use crate::admission::ClaimedAddress;
use crate::claim::{Claim, ClaimSubject};
use crate::commit::{Change, Commit};
use crate::credential::Credential;
use crate::decide::{advance, device_entry, put_device};
use crate::device::Device;
use crate::ids::{DeviceId, Digest, ManufacturerId};
use crate::journal::{Action, Actor, Evidence};
use crate::lifecycle::{Event, State};
use crate::owner::Ownership;
use crate::wifi::{self, BootstrappingKey, Holdings, Standing};

/// What is known of a device that has the key of a manifest's device, and of that device's keys.
#[derive(Debug, Clone, Copy)]
pub struct Labelled<'a> {
    /// The device that has the key now.
    pub device: &'a Device,
    /// What it holds by Wi-Fi Easy Connect.
    pub holdings: &'a Holdings,
    /// Its certificates, whatever became of them.
    pub certificates: &'a [Credential],
    /// Its MAC addresses.
    pub addresses: &'a [ClaimedAddress],
    /// What was claimed of it.
    pub claims: &'a [Claim],
    /// Its ownership that has not ended.
    pub ownership: Option<&'a Ownership>,
    /// All its bootstrapping keys.
    pub keys: &'a [BootstrappingKey],
    /// The bootstrapping keys of the device that the manifest names.
    pub other_keys: &'a [BootstrappingKey],
    /// Where that device stands with Wi-Fi.
    pub other_holdings: &'a Holdings,
}

/// When, who, and on which paper.
#[derive(Debug, Clone, Copy)]
pub(in crate::decide) struct Occasion<'a> {
    pub now: Timestamp,
    pub actor: &'a Actor,
    /// SHA-256 of the signed manifest.
    pub manifest: Digest,
}

/// Makes one device of two: `device`, which the commit brings in or which is there already, and the
/// one that was claimed by its label. None when anything speaks against it; then nothing is added.
pub(in crate::decide) fn merge(
    commit: &mut Commit,
    device: &Device,
    given: &ImportKey<'_>,
    labelled: &Labelled<'_>,
    occasion: Occasion<'_>,
) -> Option<Device> {
    let known = given.known?;
    if !agree(device, known, labelled) {
        return None;
    }
    let Occasion {
        now,
        actor,
        manifest,
    } = occasion;
    let evidence = [Evidence::new("manifest", manifest), evidence_of(known)];
    let (mut left, action) = advance(labelled.device, Event::Merge, actor, now).ok()?;
    let mut merged = device.clone();
    merged.segment = merged.segment.or_else(|| labelled.device.segment.clone());
    merged.model = merged.model.or_else(|| labelled.device.model.clone());
    merged.mud_url = merged.mud_url.or_else(|| labelled.device.mud_url.clone());
    store_merged(commit, device, &merged, now);
    left.reason = Some(format!("merged into {}", device.id));
    put_device(commit, labelled.device, left);
    if let Some(ownership) = labelled.ownership {
        commit.changes.push(Change::PutOwnership(Ownership {
            until: Some(now),
            ..ownership.clone()
        }));
    }
    guard_key(commit, known.id, Some(known));
    let key = BootstrappingKey {
        device: device.id,
        updated_at: now,
        version: known.version.saturating_add(1),
        ..known.clone()
    };
    commit
        .changes
        .push(Change::Wifi(wifi::Change::PutKey(Box::new(key))));
    forget_announced(commit, known);
    take_over(commit, device, labelled, now);
    let mut joined = device_entry(device, Action::DeviceMerged, actor, now)
        .with("claimed-as", labelled.device.id)
        .with("serial-there", &labelled.device.serial)
        .with("source-there", known.source)
        .with("claimed-there-at", labelled.device.created_at)
        .with("role", known.role);
    joined.evidence = evidence.to_vec();
    let mut gone = device_entry(labelled.device, action, actor, now)
        .with("merged-into", device.id)
        .with("manufacturer", device.manufacturer)
        .with("serial", &device.serial);
    gone.evidence = evidence.to_vec();
    commit.entries.extend([joined, gone]);
    Some(merged)
}

/// Whether nothing speaks against it.
fn agree(device: &Device, known: &BootstrappingKey, labelled: &Labelled<'_>) -> bool {
    let label = labelled.device;
    let named_after_key =
        label.id == DeviceId::of_bootstrapping_key(known.id) && known.device == label.id;
    let alone = |keys: &[BootstrappingKey]| keys.iter().all(|key| key.id == known.id);
    let nothing_given = |holdings: &Holdings| {
        let given = holdings
            .standing
            .as_ref()
            .and_then(|row| row.given.as_ref());
        given.is_none() && holdings.access.is_empty()
    };
    named_after_key
        && known.conflict.is_none()
        && label.manufacturer == ManufacturerId::NONE
        && label.state == State::Claimed
        && label.owner.is_some()
        && label.owner == device.owner
        && device.state == State::Claimed
        && alone(labelled.keys)
        && labelled.other_keys.is_empty()
        && nothing_given(labelled.holdings)
        && nothing_given(labelled.other_holdings)
        && labelled.certificates.is_empty()
        && labelled.addresses.is_empty()
}

/// The device's row as it is now, in the change that brings it in or in one of its own.
fn store_merged(commit: &mut Commit, device: &Device, merged: &Device, now: Timestamp) {
    let row = commit.changes.iter_mut().find_map(|change| match change {
        Change::PutDevice(row) if row.id == device.id => Some(row),
        _ => None,
    });
    match row {
        Some(row) => **row = merged.clone(),
        None => {
            let after = Device {
                version: device.version.saturating_add(1),
                updated_at: now,
                ..merged.clone()
            };
            put_device(commit, device, after);
        }
    }
}

/// The network that a person meant the one for is the other's, unless that has one; and what was
/// claimed of the one is claimed of the other.
fn take_over(commit: &mut Commit, device: &Device, labelled: &Labelled<'_>, now: Timestamp) {
    let there = labelled.other_holdings.standing.as_ref();
    let wanted = labelled.holdings.standing.as_ref();
    if let Some(network) = wanted.and_then(|row| row.wanted.as_ref())
        && there.is_none_or(|row| row.wanted.is_none())
    {
        let standing = meant_for(device, there, network, now);
        let change = wifi::Change::PutStanding(Box::new(standing));
        commit.changes.push(Change::Wifi(change));
    }
    if wanted.is_some() {
        let nothing = Standing::nothing(labelled.device.id, now);
        let change = wifi::Change::PutStanding(Box::new(nothing));
        commit.changes.push(Change::Wifi(change));
    }
    for claim in labelled.claims {
        let claim = Claim {
            subject: ClaimSubject::Device { id: device.id },
            ..claim.clone()
        };
        commit.changes.push(Change::PutClaim(Box::new(claim)));
    }
}
