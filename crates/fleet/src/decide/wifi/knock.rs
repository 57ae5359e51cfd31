//! Step 1: a device shows a hash of its bootstrapping key, and nothing is proved.

use jiff::Timestamp;

use super::check_known;
use crate::commit::{Change, Commit};
use crate::decide::wish::{Wish, WishKind};
use crate::decide::{Decision, Outcome, device_entry};
use crate::device::Device;
use crate::ids::{Digest, OwnerId};
use crate::journal::{Action, Actor, ActorKind, Entry, Evidence, Reason, Subject};
use crate::manufacturer::Manufacturer;
use crate::policy::{Answer, Verdict};
use crate::refusal::Refusal;
use crate::voucher::VoucherRecord;
use crate::wifi::{
    self, ANNOUNCEMENT_MEMORY, ANNOUNCEMENT_REFRESH, Announcement, BootstrappingKey, HashForm,
    MAX_ANNOUNCEMENTS,
};

/// A hash that somebody showed, and what is known about it.
#[derive(Debug, Clone, Copy)]
pub struct AnnouncementFacts<'a> {
    /// The time.
    pub now: Timestamp,
    /// This owner.
    pub owner: OwnerId,
    /// The hash.
    pub hash: Digest,
    /// What it is the hash of.
    pub form: HashForm,
    /// The relay or device it came from, as the network names it.
    pub via: Option<&'a str>,
    /// The key with this hash, and its device, when they are known.
    pub known: Option<Known<'a>>,
    /// What policy says; not asked for unknown keys, so their callers pass a denial.
    pub verdict: &'a Verdict,
    /// What is remembered of this hash.
    pub seen: Option<&'a Announcement>,
    /// How many announcements of unknown keys are remembered.
    pub remembered: u32,
}

/// A known bootstrapping key and what hangs on it.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The key.
    pub key: &'a BootstrappingKey,
    /// Its device.
    pub device: &'a Device,
    /// The device's manufacturer, when somebody named one that is known.
    pub manufacturer: Option<&'a Manufacturer>,
    /// The record of what a person said about this device, under the name that
    /// [`approval_id`](crate::decide::approval_id) computes.
    pub approval: Option<&'a VoucherRecord>,
    /// Since when the device is this owner's; needed where there is an approval.
    pub owned_since: Option<Timestamp>,
}

/// Step 1: whether it is worth while to authenticate with whoever showed this hash.
///
/// A device that waits for a person is let through: only once it has proved its key may it appear
/// in anybody's list.
pub fn announcement(facts: &AnnouncementFacts<'_>) -> Outcome<()> {
    match judge(facts) {
        Ok(()) => Outcome::accept((), Commit::default()),
        Err((refusal, more)) => {
            let mut reasons = vec![refusal.reason()];
            reasons.extend_from_slice(more);
            let note = Note {
                now: facts.now,
                hash: facts.hash,
                form: facts.form,
                via: facts.via,
                known: facts.known.map(|known| (known.key, known.device)),
                seen: facts.seen,
                remembered: facts.remembered,
            };
            let commit = note.write(reasons.clone(), Vec::new());
            Outcome {
                decision: Decision::Refuse { refusal, reasons },
                commit,
            }
        }
    }
}

fn judge<'a>(facts: &AnnouncementFacts<'a>) -> Result<(), (Refusal, &'a [Reason])> {
    let plain = |refusal| (refusal, [].as_slice());
    let Some(known) = facts.known else {
        return Err(plain(Refusal::UnknownBootstrappingKey));
    };
    check_known(
        Some(known.key),
        known.device,
        known.manufacturer,
        facts.owner,
    )
    .map_err(plain)?;
    if facts.verdict.answer == Answer::Deny {
        return Err((Refusal::PolicyDenied, &facts.verdict.reasons));
    }
    let wish = Wish {
        now: facts.now,
        owner: facts.owner,
        kind: WishKind::Configuration,
        device: known.device,
        key: known.key.id,
        record: known.approval,
        owned_since: known.owned_since,
    };
    if matches!(facts.verdict.answer, Answer::Wait { .. }) && wish.denied_lately() {
        return Err(plain(Refusal::ApprovalDenied));
    }
    Ok(())
}

/// A run of the protocol that broke a rule before the device was proved to be anybody.
#[derive(Debug, Clone)]
pub struct FailedFacts<'a> {
    /// The time.
    pub now: Timestamp,
    /// The hash with which it began.
    pub hash: Digest,
    /// What it is the hash of.
    pub form: HashForm,
    /// The relay or device it came from, as the network names it.
    pub via: Option<&'a str>,
    /// The key with this hash and its device, when they are known.
    pub known: Option<(&'a BootstrappingKey, &'a Device)>,
    /// What is remembered of this hash.
    pub seen: Option<&'a Announcement>,
    /// How many announcements of unknown keys are remembered.
    pub remembered: u32,
    /// The rule: its code, sentence and section.
    pub reason: Reason,
    /// The messages it rests on.
    pub evidence: Vec<Evidence>,
}

/// Step 2, failed: what the journal says about it. Empty when it said so already a moment ago: a
/// false start costs its sender nothing.
#[must_use]
pub fn attempt_failed(facts: FailedFacts<'_>) -> Commit {
    let note = Note {
        now: facts.now,
        hash: facts.hash,
        form: facts.form,
        via: facts.via,
        known: facts.known,
        seen: facts.seen,
        remembered: facts.remembered,
    };
    note.write(vec![facts.reason], facts.evidence)
}

/// Somebody who was asked for a code that a person had said, and did not know it.
#[derive(Debug, Clone)]
pub struct GuessFacts<'a> {
    /// The time.
    pub now: Timestamp,
    /// Who said the code, by name.
    pub said_by: &'a str,
    /// What stands for the serial number of the device that it was said to, if anything.
    pub label: Option<&'a str>,
    /// The relay or device the guess came from, as the network names it.
    pub via: &'a str,
    /// Wrong guesses that are left before the code is none any more.
    pub left: u32,
    /// The rule: its code, sentence and section.
    pub reason: Reason,
    /// The message it rests on.
    pub evidence: Evidence,
}

/// A wrong guess at a code. Each is journaled: a person said the code, and it allows a few.
#[must_use]
pub fn code_guessed(facts: GuessFacts<'_>) -> Commit {
    let via: String = facts.via.chars().take(128).collect();
    let actor = Actor::new(ActorKind::Device, via.clone());
    let mut entry = Entry::new(Subject::Site, Action::RequestRefused, actor, facts.now)
        .because(facts.reason)
        .on(facts.evidence)
        .with("via", via)
        .with("code-said-by", facts.said_by)
        .with("guesses-left", facts.left);
    if let Some(label) = facts.label {
        entry = entry.with("label", label.chars().take(64).collect::<String>());
    }
    Commit {
        entries: vec![entry],
        ..Commit::default()
    }
}

/// Something to be written down about somebody who proved nothing.
struct Note<'a> {
    now: Timestamp,
    hash: Digest,
    form: HashForm,
    via: Option<&'a str>,
    known: Option<(&'a BootstrappingKey, &'a Device)>,
    seen: Option<&'a Announcement>,
    remembered: u32,
}

impl Note<'_> {
    fn write(&self, reasons: Vec<Reason>, evidence: Vec<Evidence>) -> Commit {
        let mut commit = Commit::default();
        let code = reasons.first().map_or("", |reason| reason.code.as_str());
        let since = |then: Timestamp| self.now.duration_since(then);
        let seen = self.seen.filter(|seen| self.now < seen.expires_at);
        let journal = match seen {
            None if self.known.is_none() && self.remembered >= MAX_ANNOUNCEMENTS => return commit,
            None => true,
            Some(seen) if since(seen.last_at) < ANNOUNCEMENT_REFRESH => return commit,
            Some(seen) => seen.code != code && since(seen.journaled_at) >= ANNOUNCEMENT_REFRESH,
        };
        let announcement = Announcement {
            hash: self.hash,
            form: self.form,
            device: self.known.map(|(_, device)| device.id),
            code: code.to_owned(),
            via: self.via.map(|via| via.chars().take(128).collect()),
            first_at: seen.map_or(self.now, |seen| seen.first_at),
            last_at: self.now,
            journaled_at: match seen {
                Some(seen) if !journal => seen.journaled_at,
                _ => self.now,
            },
            expires_at: self
                .now
                .saturating_add(ANNOUNCEMENT_MEMORY)
                .unwrap_or(Timestamp::MAX),
        };
        commit
            .changes
            .push(Change::Wifi(wifi::Change::PutAnnouncement(Box::new(
                announcement,
            ))));
        if journal {
            commit.entries.push(self.entry(reasons, evidence));
        }
        commit
    }

    fn entry(&self, reasons: Vec<Reason>, evidence: Vec<Evidence>) -> Entry {
        let mut entry = match self.known {
            Some((key, device)) => {
                let actor = Actor::new(ActorKind::Device, &device.serial);
                device_entry(device, Action::RequestRefused, &actor, self.now)
                    .on(super::evidence_of(key))
            }
            None => {
                let actor = Actor::new(ActorKind::Device, self.hash.to_string());
                Entry::new(Subject::Site, Action::UnknownSeen, actor, self.now)
            }
        };
        entry = entry.with("announced", self.form).with("hash", self.hash);
        if let Some(via) = self.via {
            entry = entry.with("via", via.chars().take(128).collect::<String>());
        }
        entry.reasons = reasons;
        entry.evidence.extend(evidence);
        entry
    }
}
