//! Devices that come in by their MAC address.
//!
//! 1. Somebody says that an address is a device's. An address belongs to one device; who claims it for a
//!    second one is refused, and nobody comes in by it until a person settles that.
//! 2. Policy is asked, with the method `mac`. Only a yes that says in so many words that it counts by address
//!    is one; one that does not say `always` ends where the device holds a certificate.
//! 3. Each change of the answer stands in the device's journal, and gates hear of it.

use jiff::Timestamp;

use crate::admission::{
    self, AddressConflict, AddressGrant, ClaimedAddress, GRANT_LIFETIME, MAX_ADDRESSES, MacAddress,
};
use crate::commit::{Change, Commit, Guard};
use crate::decide::{Outcome, device_entry, in_inventory, wrong_state};
use crate::device::Device;
use crate::journal::{Action, Actor, Entry, Evidence, Reason, Subject};
use crate::lifecycle::State;
use crate::policy::{Answer, ByAddress, Verdict};
use crate::refusal::Refusal;

/// An address that somebody says is a device's.
#[derive(Debug, Clone, Copy)]
pub struct ClaimAddressFacts<'a> {
    /// The time.
    pub now: Timestamp,
    /// Who says so.
    pub actor: &'a Actor,
    /// The device.
    pub device: &'a Device,
    /// The address.
    pub mac: MacAddress,
    /// What is known of the address.
    pub known: Option<&'a ClaimedAddress>,
    /// How many addresses the device has.
    pub count: usize,
    /// Why.
    pub reasons: &'a [Reason],
}

/// Step 1. Claiming an address again for the device that has it settles a contradiction.
pub fn claim_address(facts: &ClaimAddressFacts<'_>) -> Outcome<ClaimedAddress> {
    match try_claim(facts) {
        Ok(outcome) => outcome,
        Err(refusal) => {
            let entry = Entry::new(
                Subject::Site,
                Action::RequestRefused,
                facts.actor.clone(),
                facts.now,
            )
            .with("device", facts.device.id)
            .with("mac", facts.mac);
            let mut outcome = Outcome::refuse(refusal, &others(facts), entry);
            if refusal == Refusal::AddressConflict
                && let Some(known) = facts.known
            {
                mark(&mut outcome.commit, facts, known);
            }
            outcome
        }
    }
}

fn try_claim(facts: &ClaimAddressFacts<'_>) -> Result<Outcome<ClaimedAddress>, Refusal> {
    if !facts.mac.is_of_a_station() {
        return Err(Refusal::BadAddress);
    }
    if !in_inventory(facts.device.state) {
        return Err(wrong_state(facts.device.state));
    }
    let address = match facts.known {
        Some(known) if known.device != facts.device.id => return Err(Refusal::AddressConflict),
        Some(known) if known.conflict.is_none() => return Ok(Outcome::nothing(known.clone())),
        Some(known) => ClaimedAddress {
            conflict: None,
            updated_at: facts.now,
            version: known.version.saturating_add(1),
            ..known.clone()
        },
        None if facts.count >= MAX_ADDRESSES => return Err(Refusal::TooManyAddresses),
        None => ClaimedAddress {
            mac: facts.mac,
            device: facts.device.id,
            by: facts.actor.name.clone(),
            conflict: None,
            grant: None,
            reasons: Vec::new(),
            claimed_at: facts.now,
            updated_at: facts.now,
            version: 1,
        },
    };
    let action = match facts.known {
        Some(_) => Action::AddressSettled,
        None => Action::AddressClaimed,
    };
    let mut entry = device_entry(facts.device, action, facts.actor, facts.now);
    entry.reasons = facts.reasons.to_vec();
    let mut commit = Commit::default();
    put(&mut commit, facts.known, &address, entry);
    Ok(Outcome::accept(address, commit))
}

/// Whose the address is, for whoever is refused it.
fn others(facts: &ClaimAddressFacts<'_>) -> Vec<Reason> {
    let other = facts.known.filter(|known| known.device != facts.device.id);
    let reason = other.map(|known| {
        Reason::new(
            "claimed-for",
            format!(
                "{} was claimed for the device {} by {}.",
                known.mac, known.device, known.by
            ),
            "owner policy",
        )
    });
    reason.into_iter().chain(facts.reasons.to_vec()).collect()
}

/// Keeps a contradiction with the address, once for each device that is named.
fn mark(commit: &mut Commit, facts: &ClaimAddressFacts<'_>, known: &ClaimedAddress) {
    let before = known.conflict.as_ref();
    if before.is_some_and(|before| before.device == facts.device.id) {
        return;
    }
    let address = ClaimedAddress {
        conflict: Some(AddressConflict {
            device: facts.device.id,
            by: facts.actor.name.clone(),
            at: facts.now,
        }),
        grant: None,
        updated_at: facts.now,
        version: known.version.saturating_add(1),
        ..known.clone()
    };
    let entry = Entry::new(
        Subject::Device(known.device),
        Action::AddressConflict,
        facts.actor.clone(),
        facts.now,
    )
    .with("claimed-for", facts.device.id);
    put(commit, Some(known), &address, entry);
}

/// Takes an address away from its device.
pub fn remove_address(
    now: Timestamp,
    actor: &Actor,
    address: &ClaimedAddress,
    reason: &Reason,
) -> Outcome<()> {
    let mut commit = Commit::default();
    let reasons = [reason.clone()];
    remove_address_into(&mut commit, now, actor, address, &reasons);
    Outcome::accept((), commit)
}

/// [`remove_address`] as a part of something greater.
pub(in crate::decide) fn remove_address_into(
    commit: &mut Commit,
    now: Timestamp,
    actor: &Actor,
    address: &ClaimedAddress,
    reasons: &[Reason],
) {
    commit
        .changes
        .push(Change::Admission(admission::Change::RemoveAddress {
            mac: address.mac,
            expected: address.version,
        }));
    let subject = Subject::Device(address.device);
    let entry = Entry::new(subject, Action::AddressRemoved, actor.clone(), now);
    let mut entry = entry.with("mac", address.mac);
    entry.reasons = reasons.to_vec();
    commit.entries.push(entry);
}

/// What policy says of a device that comes in by an address.
#[derive(Debug, Clone, Copy)]
pub struct JudgeAddressFacts<'a> {
    /// The time.
    pub now: Timestamp,
    /// The policy.
    pub actor: &'a Actor,
    /// Its digest.
    pub policy: &'a Evidence,
    /// The device.
    pub device: &'a Device,
    /// The address.
    pub address: &'a ClaimedAddress,
    /// Whether the device holds a certificate of this domain that counts.
    pub holds_credential: bool,
    /// What policy said, asked with the method `mac`.
    pub verdict: &'a Verdict,
}

/// Steps 2 and 3. None when all stays as it is. What a device in quarantine had it keeps: gates hear of
/// the quarantine itself.
#[must_use]
pub fn judge_address(facts: &JudgeAddressFacts<'_>) -> Option<Outcome<ClaimedAddress>> {
    let before = facts.address;
    if !in_inventory(facts.device.state) || facts.device.state == State::Quarantined {
        return None;
    }
    let (grant, reasons) = match grant(facts) {
        Ok(grant) => (Some(grant), facts.verdict.reasons.clone()),
        Err(refusal) => {
            let of_policy = facts.verdict.reasons.iter().cloned();
            let all = [refusal.reason()].into_iter().chain(of_policy);
            (None, all.collect())
        }
    };
    if reasons == before.reasons && is_as_good(before.grant.as_ref(), grant.as_ref(), facts) {
        return None;
    }
    let after = ClaimedAddress {
        grant,
        reasons: reasons.clone(),
        updated_at: facts.now,
        version: before.version.saturating_add(1),
        ..before.clone()
    };
    let action = match after.grant {
        Some(_) => Action::AddressAdmitted,
        None => Action::AddressRefused,
    };
    let entry = device_entry(facts.device, action, facts.actor, facts.now);
    let mut entry = entry.on(facts.policy.clone());
    if let Some(grant) = &after.grant {
        entry = entry.with("expires", grant.expires_at);
        if let Some(segment) = &grant.segment {
            entry = entry.with("segment", segment);
        }
    }
    entry.reasons = reasons;
    let mut commit = Commit::default();
    commit.guards.push(Guard::DeviceVersion {
        id: facts.device.id,
        expected: facts.device.version,
    });
    put(&mut commit, Some(before), &after, entry);
    Some(Outcome::accept(after, commit))
}

fn grant(facts: &JudgeAddressFacts<'_>) -> Result<AddressGrant, Refusal> {
    if facts.address.conflict.is_some() {
        return Err(Refusal::AddressConflict);
    }
    let Answer::Allow { segment } = &facts.verdict.answer else {
        return Err(Refusal::PolicyDenied);
    };
    let by_address = facts.verdict.by_address;
    let despite_credential = by_address.ok_or(Refusal::AddressNotAllowed)? == ByAddress::Always;
    if facts.holds_credential && !despite_credential {
        return Err(Refusal::CredentialHeld);
    }
    let longest = facts.now.saturating_add(GRANT_LIFETIME);
    let longest = longest.unwrap_or(Timestamp::MAX);
    let end = facts.verdict.ask_again_at.unwrap_or(longest).min(longest);
    if end <= facts.now {
        // Its time is up before it begins.
        return Err(Refusal::PolicyDenied);
    }
    Ok(AddressGrant {
        segment: segment.clone().or_else(|| facts.device.segment.clone()),
        expires_at: end,
        despite_credential,
    })
}

/// Whether the one before says the same, and will for long enough.
fn is_as_good(
    before: Option<&AddressGrant>,
    after: Option<&AddressGrant>,
    facts: &JudgeAddressFacts<'_>,
) -> bool {
    let (Some(before), Some(after)) = (before, after) else {
        return before.is_none() && after.is_none();
    };
    let goes_on = facts.verdict.ask_again_at.is_none()
        && facts.now.duration_until(before.expires_at) > GRANT_LIFETIME / 2;
    before.segment == after.segment
        && before.despite_credential == after.despite_credential
        && (goes_on || before.expires_at == after.expires_at)
}

fn put(commit: &mut Commit, before: Option<&ClaimedAddress>, after: &ClaimedAddress, entry: Entry) {
    commit
        .guards
        .push(Guard::Admission(admission::Guard::AddressVersion {
            mac: after.mac,
            expected: before.map_or(0, |before| before.version),
        }));
    let change = admission::Change::PutAddress(Box::new(after.clone()));
    commit.changes.push(Change::Admission(change));
    commit.entries.push(entry.with("mac", after.mac));
}
