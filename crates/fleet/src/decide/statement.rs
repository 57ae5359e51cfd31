//! What a person states of a device, for policy to judge.

use jiff::Timestamp;

use super::{Outcome, device_entry, in_inventory, wrong_state};
use crate::claim::{Claim, ClaimSubject, Strength};
use crate::commit::{Change, Commit};
use crate::device::Device;
use crate::journal::{Action, Actor, Reason};
use crate::refusal::Refusal;

/// The issuer of all that people state: a later statement replaces an earlier one, whoever made it. The
/// journal knows who.
pub const PERSON: &str = "person";

/// Most statements of one device that count at once.
pub const MAX_STATEMENTS: usize = 64;

/// Longest kind, in bytes.
const MAX_KIND: usize = 64;

/// Longest value, in bytes of JSON.
const MAX_VALUE: usize = 1024;

/// A statement.
#[derive(Debug, Clone, Copy)]
pub struct StatementFacts<'a> {
    /// The time.
    pub now: Timestamp,
    /// Who makes it.
    pub actor: &'a Actor,
    /// Of which device.
    pub device: &'a Device,
    /// What is claimed: lower-case letters, digits and hyphens.
    pub kind: &'a str,
    /// The value; null takes the statement back.
    pub value: &'a serde_json::Value,
    /// When it stops counting; none means when it is replaced.
    pub expires_at: Option<Timestamp>,
    /// What [`PERSON`] has stated of this kind, if anything.
    pub before: Option<&'a Claim>,
    /// How many statements of [`PERSON`] about the device have not run out.
    pub count: usize,
    /// Why.
    pub reason: &'a Reason,
}

/// States something, or takes it back. Taking back what nobody stated changes nothing.
pub fn state(facts: &StatementFacts<'_>) -> Outcome<()> {
    let before = facts.before.filter(|claim| !claim.has_run_out(facts.now));
    let takes_back = facts.value.is_null();
    let is_past = facts.expires_at.is_some_and(|end| end <= facts.now);
    let refusal = if !is_kind(facts.kind) || facts.value.to_string().len() > MAX_VALUE || is_past {
        Some(Refusal::BadStatement)
    } else if !in_inventory(facts.device.state) {
        Some(wrong_state(facts.device.state))
    } else if before.is_none() && !takes_back && facts.count >= MAX_STATEMENTS {
        Some(Refusal::TooManyStatements)
    } else {
        None
    };
    let entry = device_entry(facts.device, Action::Stated, facts.actor, facts.now);
    if let Some(refusal) = refusal {
        let mut entry = entry;
        entry.action = Action::RequestRefused;
        return Outcome::refuse(refusal, &[], entry);
    }
    if takes_back && before.is_none() {
        return Outcome::nothing(());
    }
    let mut entry = entry.with("kind", facts.kind).with("value", facts.value);
    entry.reasons.push(facts.reason.clone());
    // What was taken back is one that has run out, and goes with the others that have: the journal keeps it.
    let expires_at = if takes_back {
        Some(facts.now)
    } else {
        facts.expires_at
    };
    let subject = ClaimSubject::Device {
        id: facts.device.id,
    };
    let claim = Claim {
        issuer: PERSON.to_owned(),
        subject: subject.clone(),
        kind: facts.kind.to_owned(),
        value: facts.value.clone(),
        strength: Strength::Stated,
        issued_at: facts.now,
        expires_at,
        evidence: None,
        signature: None,
    };
    let commit = Commit {
        changes: vec![
            Change::PutClaim(Box::new(claim)),
            Change::ForgetClaims {
                subject,
                issuer: PERSON.to_owned(),
                ended_by: facts.now,
            },
        ],
        entries: vec![entry],
        ..Commit::default()
    };
    Outcome::accept((), commit)
}

fn is_kind(kind: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MAX_KIND).contains(&kind.len()) && kind.bytes().all(is_word)
}
