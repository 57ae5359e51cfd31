//! Networks, and which device is meant for which.

use jiff::Timestamp;

use crate::admission::{self, Segment};
use crate::commit::{Change, Commit, Guard};
use crate::decide::{Outcome, device_entry, in_inventory, put_device, touched, wrong_state};
use crate::device::Device;
use crate::ids::OwnerId;
use crate::journal::{Action, Actor, Entry, Reason, Subject};
use crate::refusal::Refusal;
use crate::wifi::{self, MAX_NETWORKS, Network, Standing};

/// A network that a person describes.
#[derive(Debug, Clone, Copy)]
pub struct NetworkFacts<'a> {
    /// The time.
    pub now: Timestamp,
    /// Who describes it.
    pub actor: &'a Actor,
    /// The network of that name, if there is one.
    pub existing: Option<&'a Network>,
    /// How many networks there are.
    pub count: usize,
    /// The segments that are described. While there are none a network may name any.
    pub segments: &'a [Segment],
}

/// Makes a new network. `wanted`'s version and times are set here.
pub fn put_network(facts: &NetworkFacts<'_>, wanted: Network) -> Outcome<Network> {
    let refusal = match facts.existing {
        Some(_) => Some(Refusal::NetworkExists),
        None if facts.count >= MAX_NETWORKS => Some(Refusal::TooManyNetworks),
        None => None,
    };
    write(facts, wanted, refusal)
}

/// Changes a network. Devices keep what they have until they are configured anew.
pub fn change_network(facts: &NetworkFacts<'_>, wanted: Network) -> Outcome<Network> {
    let refusal = facts.existing.is_none().then_some(Refusal::NetworkUnknown);
    write(facts, wanted, refusal)
}

fn write(facts: &NetworkFacts<'_>, wanted: Network, refusal: Option<Refusal>) -> Outcome<Network> {
    let before = facts.existing;
    let network = Network {
        version: before
            .map_or(0, |network| network.version)
            .saturating_add(1),
        created_at: before.map_or(facts.now, |network| network.created_at),
        updated_at: facts.now,
        ..wanted
    };
    let name: String = network.name.chars().take(64).collect();
    let entry = site_entry(facts.now, facts.actor, Action::NetworkChanged).with("network", name);
    let segment = named_segment(facts.segments, &network);
    let refusal = refusal.or_else(|| network.check().err());
    if let Some(refusal) = refusal.or(segment.err()) {
        let entry = Entry {
            action: Action::RequestRefused,
            ..entry
        };
        return Outcome::refuse(refusal, &[], entry);
    }
    let mut entry = entry
        .with("ssid", &network.ssid)
        .with("credential", network.credential)
        .with("fallback", network.fallback)
        .with("version", network.version);
    if let Some(segment) = &network.segment {
        entry = entry.with("segment", segment);
    }
    let mut guards = vec![Guard::Wifi(wifi::Guard::NetworkVersion {
        name: network.name.clone(),
        expected: before.map_or(0, |network| network.version),
    })];
    if let Ok(Some(segment)) = segment {
        // Who removes it at the same moment and this decision cannot both be right.
        guards.push(Guard::Admission(admission::Guard::SegmentVersion {
            name: segment.name.clone(),
            expected: segment.version,
        }));
    }
    let commit = Commit {
        guards,
        changes: vec![Change::Wifi(wifi::Change::PutNetwork(Box::new(
            network.clone(),
        )))],
        entries: vec![entry],
    };
    Outcome::accept(network, commit)
}

/// The segment that a network leads to, where it is described.
fn named_segment<'a>(
    segments: &'a [Segment],
    network: &Network,
) -> Result<Option<&'a Segment>, Refusal> {
    let Some(name) = &network.segment else {
        return Ok(None);
    };
    match segments.iter().find(|segment| segment.name == *name) {
        None if !segments.is_empty() => Err(Refusal::SegmentUnknown),
        found => Ok(found),
    }
}

/// Removes a network that no device is meant for or has a credential of.
pub fn remove_network(
    now: Timestamp,
    actor: &Actor,
    network: &Network,
    in_use: bool,
) -> Outcome<()> {
    let entry = site_entry(now, actor, Action::NetworkRemoved).with("network", &network.name);
    if in_use {
        let entry = Entry {
            action: Action::RequestRefused,
            ..entry
        };
        return Outcome::refuse(Refusal::NetworkInUse, &[], entry);
    }
    let commit = Commit {
        guards: vec![Guard::Wifi(wifi::Guard::NetworkUnused {
            name: network.name.clone(),
        })],
        changes: vec![Change::Wifi(wifi::Change::RemoveNetwork {
            name: network.name.clone(),
            expected: network.version,
        })],
        entries: vec![entry],
    };
    Outcome::accept((), commit)
}

/// A device that a person means for a network.
#[derive(Debug, Clone, Copy)]
pub struct AssignFacts<'a> {
    /// The time.
    pub now: Timestamp,
    /// Who says so.
    pub actor: &'a Actor,
    /// This owner.
    pub owner: OwnerId,
    /// The device.
    pub device: &'a Device,
    /// Its standing, if there is one.
    pub standing: Option<&'a Standing>,
    /// The network's name.
    pub name: &'a str,
    /// The network of that name, if there is one.
    pub network: Option<&'a Network>,
    /// Why.
    pub reasons: &'a [Reason],
}

/// Means a device for a network. It gets it when it is configured next: at once when it
/// announces itself for reconfiguration.
pub fn assign_network(facts: &AssignFacts<'_>) -> Outcome<Standing> {
    let refusal = match (facts.device.state, facts.network) {
        (state, _) if !in_inventory(state) => Some(wrong_state(state)),
        _ if facts.device.owner != Some(facts.owner) => Some(Refusal::OtherOwner),
        (_, None) => Some(Refusal::NetworkUnknown),
        (_, Some(_)) => None,
    };
    let name: String = facts.name.chars().take(64).collect();
    if let Some(refusal) = refusal {
        let entry = device_entry(facts.device, Action::RequestRefused, facts.actor, facts.now)
            .with("network", name);
        return Outcome::refuse(refusal, &[], entry);
    }
    let standing = meant_for(facts.device, facts.standing, &name, facts.now);
    let mut commit = Commit::default();
    put_device(&mut commit, facts.device, touched(facts.device, facts.now));
    if let Some(network) = facts.network {
        commit.guards.push(Guard::Wifi(wifi::Guard::NetworkVersion {
            name: network.name.clone(),
            expected: network.version,
        }));
    }
    commit
        .changes
        .push(Change::Wifi(wifi::Change::PutStanding(Box::new(
            standing.clone(),
        ))));
    let mut entry = device_entry(
        facts.device,
        Action::NetworkAssigned,
        facts.actor,
        facts.now,
    )
    .with("network", name);
    if let Some(before) = facts.standing.and_then(|standing| standing.wanted.as_ref()) {
        entry = entry.with("network-before", before);
    }
    entry.reasons = facts.reasons.to_vec();
    commit.entries.push(entry);
    Outcome::accept(standing, commit)
}

/// The standing of a device that shall get this network.
pub(super) fn meant_for(
    device: &Device,
    standing: Option<&Standing>,
    network: &str,
    now: Timestamp,
) -> Standing {
    Standing {
        wanted: Some(network.to_owned()),
        updated_at: now,
        ..standing
            .cloned()
            .unwrap_or_else(|| Standing::nothing(device.id, now))
    }
}

/// A person puts another key in force that signs connectors. The caller has made it, and uses it once
/// this is durable.
pub fn replace_signing_key(
    now: Timestamp,
    actor: &Actor,
    kid: &str,
    reasons: &[Reason],
) -> Outcome<()> {
    let mut entry = site_entry(now, actor, Action::SigningKeyReplaced).with("kid", kid);
    entry.reasons = reasons.to_vec();
    let commit = Commit {
        entries: vec![entry],
        ..Commit::default()
    };
    Outcome::accept((), commit)
}

pub(super) fn site_entry(now: Timestamp, actor: &Actor, action: Action) -> Entry {
    Entry::new(Subject::Site, action, actor.clone(), now)
}
