//! What people, and policy, do to devices that are in the inventory.

use jiff::Timestamp;

use super::admission::remove_address_into;
use super::{Outcome, advance, device_entry, put_device, touched};
use crate::admission::ClaimedAddress;
use crate::commit::{Change, Commit, Guard};
use crate::credential::{Credential, CredentialStatus, RevocationReason};
use crate::device::Device;
use crate::journal::{Action, Actor, Evidence, Reason};
use crate::lifecycle::Event;
use crate::owner::Ownership;
use crate::refusal::Refusal;
use crate::wifi::{self, AccessCredential, Holdings, Standing};

/// A device, and what somebody wants done to it.
#[derive(Debug, Clone, Copy)]
pub struct OperateFacts<'a> {
    /// The time.
    pub now: Timestamp,
    /// Who wants it.
    pub actor: &'a Actor,
    /// The device.
    pub device: &'a Device,
    /// Its credentials that are not revoked.
    pub credentials: &'a [Credential],
    /// What it holds by Wi-Fi Easy Connect.
    pub wifi: &'a Holdings,
    /// The MAC addresses that are claimed for it.
    pub addresses: &'a [ClaimedAddress],
    /// Its ownership that has not ended, if there is one.
    pub ownership: Option<&'a Ownership>,
    /// Why.
    pub reasons: &'a [Reason],
    /// On which evidence.
    pub evidence: &'a [Evidence],
}

/// Cuts the device off; its credentials stay, so that it can be restored. While it is in quarantine
/// they open nothing: access points hear of those alone whose device is onboarded.
pub fn quarantine(facts: &OperateFacts<'_>) -> Outcome<Device> {
    operate(facts, Event::Quarantine, None)
}

/// Lets the device in again. One that was cut off before it had a credential must onboard.
pub fn restore(facts: &OperateFacts<'_>) -> Outcome<Device> {
    let has_credential = facts
        .credentials
        .iter()
        .map(|credential| credential.status)
        .chain(facts.wifi.access.iter().map(|access| access.status))
        .any(|status| status == CredentialStatus::Active);
    let event = if has_credential {
        Event::Restore
    } else {
        Event::Readmit
    };
    operate(facts, event, None)
}

/// Gives the device up: its credentials are revoked, and its ownership ends.
pub fn release(facts: &OperateFacts<'_>) -> Outcome<Device> {
    operate(
        facts,
        Event::Release,
        Some(RevocationReason::AffiliationChanged),
    )
}

/// Takes the device out of service for good: its credentials are revoked, its ownership ends.
pub fn retire(facts: &OperateFacts<'_>) -> Outcome<Device> {
    operate(
        facts,
        Event::Retire,
        Some(RevocationReason::CessationOfOperation),
    )
}

/// Revokes one credential, without a word about the device.
pub fn revoke(
    facts: &OperateFacts<'_>,
    credential: &Credential,
    reason: RevocationReason,
) -> Outcome<Credential> {
    let refusal = if credential.device != facts.device.id {
        Some(Refusal::CredentialOfAnother)
    } else if credential.status.is_revoked() {
        Some(Refusal::CredentialNotActive)
    } else {
        None
    };
    if let Some(refusal) = refusal {
        let entry = device_entry(facts.device, Action::RequestRefused, facts.actor, facts.now)
            .with("credential", &credential.id);
        return Outcome::refuse(refusal, &[], entry);
    }
    let mut commit = Commit::default();
    // The device may be getting a further credential right now, by the one that is revoked: each of the two
    // changes the device, so that one of them decides anew and sees the other.
    let next = touched(facts.device, facts.now);
    put_device(&mut commit, facts.device, next);
    if credential.status == CredentialStatus::Active {
        commit.guards.push(Guard::CredentialActive {
            id: credential.id.clone(),
        });
    }
    let revoked = revoke_into(&mut commit, facts, credential, reason);
    Outcome::accept(revoked, commit)
}

/// Revokes one access credential, without a word about the device.
pub fn revoke_access(
    facts: &OperateFacts<'_>,
    access: &AccessCredential,
    reason: RevocationReason,
) -> Outcome<AccessCredential> {
    let refusal = if access.device != facts.device.id {
        Some(Refusal::CredentialOfAnother)
    } else if access.status.is_revoked() {
        Some(Refusal::CredentialNotActive)
    } else {
        None
    };
    if let Some(refusal) = refusal {
        let entry = device_entry(facts.device, Action::RequestRefused, facts.actor, facts.now)
            .with("credential", &access.id);
        return Outcome::refuse(refusal, &[], entry);
    }
    let mut commit = Commit::default();
    let next = touched(facts.device, facts.now);
    put_device(&mut commit, facts.device, next);
    if access.status == CredentialStatus::Active {
        commit.guards.push(Guard::Wifi(wifi::Guard::AccessActive {
            id: access.id.clone(),
        }));
    }
    let revoked = revoke_access_into(&mut commit, facts, access, reason);
    Outcome::accept(revoked, commit)
}

/// Revokes all credentials of a device, and forgets the MAC addresses by which it might come in. One that was onboarded is so no longer: it stays in the
/// inventory, and must onboard before it may come in again. A device without credentials that is not
/// onboarded is in the wanted state already.
pub fn revoke_all(facts: &OperateFacts<'_>, reason: RevocationReason) -> Outcome<Device> {
    let mut commit = Commit::default();
    let has_none =
        facts.credentials.is_empty() && facts.wifi.access.is_empty() && facts.addresses.is_empty();
    let next = match advance(facts.device, Event::Revoke, facts.actor, facts.now) {
        Ok((mut next, _)) => {
            next.reason = facts.reasons.first().map(|reason| reason.text.clone());
            next
        }
        // Elsewhere in its life only its credentials change.
        Err(_) if has_none => return Outcome::nothing(facts.device.clone()),
        Err(_) => touched(facts.device, facts.now),
    };
    put_device(&mut commit, facts.device, next.clone());
    for credential in facts.credentials {
        revoke_into(&mut commit, facts, credential, reason);
    }
    for access in &facts.wifi.access {
        revoke_access_into(&mut commit, facts, access, reason);
    }
    remove_addresses(&mut commit, facts);
    if commit.entries.is_empty() {
        let action = Action::CredentialRevoked;
        let mut entry = device_entry(facts.device, action, facts.actor, facts.now);
        entry.reasons = facts.reasons.to_vec();
        commit.entries.push(entry);
    }
    Outcome::accept(next, commit)
}

fn operate(
    facts: &OperateFacts<'_>,
    event: Event,
    revocation: Option<RevocationReason>,
) -> Outcome<Device> {
    let (mut next, action) = match advance(facts.device, event, facts.actor, facts.now) {
        Ok(advanced) => advanced,
        Err(refusal) => {
            let entry = device_entry(facts.device, Action::RequestRefused, facts.actor, facts.now)
                .with("asked", event);
            return Outcome::refuse(refusal, &[], entry);
        }
    };
    let mut commit = Commit::default();
    next.reason = match event {
        Event::Restore | Event::Readmit => None,
        _ => facts.reasons.first().map(|reason| reason.text.clone()),
    };
    if revocation.is_some() {
        next.owner = None;
        next.segment = None;
    }
    put_device(&mut commit, facts.device, next.clone());
    let mut entry = device_entry(facts.device, action, facts.actor, facts.now);
    entry.reasons = facts.reasons.to_vec();
    entry.evidence = facts.evidence.to_vec();
    commit.entries.push(entry);
    if let Some(reason) = revocation {
        for credential in facts.credentials {
            revoke_into(&mut commit, facts, credential, reason);
        }
        for access in &facts.wifi.access {
            revoke_access_into(&mut commit, facts, access, reason);
        }
        remove_addresses(&mut commit, facts);
        if facts.wifi.standing.is_some() {
            let standing = Standing::nothing(facts.device.id, facts.now);
            let change = wifi::Change::PutStanding(Box::new(standing));
            commit.changes.push(Change::Wifi(change));
        }
        if let Some(ownership) = facts.ownership {
            commit.changes.push(Change::PutOwnership(Ownership {
                until: Some(facts.now),
                ..ownership.clone()
            }));
        }
    }
    Outcome::accept(next, commit)
}

/// Nobody comes in by the device's addresses any more.
fn remove_addresses(commit: &mut Commit, facts: &OperateFacts<'_>) {
    for address in facts.addresses {
        remove_address_into(commit, facts.now, facts.actor, address, facts.reasons);
    }
}

pub(super) fn revoke_into(
    commit: &mut Commit,
    facts: &OperateFacts<'_>,
    credential: &Credential,
    reason: RevocationReason,
) -> Credential {
    let status = CredentialStatus::Revoked {
        reason,
        at: facts.now,
    };
    commit.changes.push(Change::SetCredentialStatus {
        id: credential.id.clone(),
        status,
    });
    let mut entry = device_entry(
        facts.device,
        Action::CredentialRevoked,
        facts.actor,
        facts.now,
    )
    .with("credential", &credential.id)
    .with("revocation-reason", reason);
    entry.reasons = facts.reasons.to_vec();
    entry.evidence = facts.evidence.to_vec();
    commit.entries.push(entry);
    Credential {
        status,
        ..credential.clone()
    }
}

pub(super) fn revoke_access_into(
    commit: &mut Commit,
    facts: &OperateFacts<'_>,
    access: &AccessCredential,
    reason: RevocationReason,
) -> AccessCredential {
    let status = CredentialStatus::Revoked {
        reason,
        at: facts.now,
    };
    commit
        .changes
        .push(Change::Wifi(wifi::Change::SetAccessStatus {
            id: access.id.clone(),
            status,
        }));
    let mut entry = device_entry(
        facts.device,
        Action::CredentialRevoked,
        facts.actor,
        facts.now,
    )
    .with("credential", &access.id)
    .with("kind", access.kind.as_str())
    .with("network", &access.network)
    .with("revocation-reason", reason);
    entry.reasons = facts.reasons.to_vec();
    entry.evidence = facts.evidence.to_vec();
    commit.entries.push(entry);
    AccessCredential {
        status,
        ..access.clone()
    }
}
