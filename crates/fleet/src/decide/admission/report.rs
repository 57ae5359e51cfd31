//! What gates report: which version is in force, sessions, and whom they cut off.

use jiff::Timestamp;

use crate::admission::{self, GateCredential, MAX_REPORTED, Session, Standing};
use crate::commit::{Change, Commit, Guard};
use crate::decide::Outcome;
use crate::ids::DeviceId;
use crate::journal::{Action, Actor, ActorKind, Entry, Reason, Subject};
use crate::refusal::Refusal;

/// A device that had to go, and is gone, as its gate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutOff {
    /// Which device.
    pub device: DeviceId,
    /// The station's MAC address.
    pub station: Option<String>,
    /// Where.
    pub access_point: String,
    /// When it was confirmed.
    pub at: Timestamp,
    /// From the gate's decision to the confirmation.
    pub milliseconds: u64,
    /// Who confirmed.
    pub confirmed_by: String,
}

/// A report.
#[derive(Debug, Clone, Copy)]
pub struct ReportFacts<'a> {
    /// The time.
    pub now: Timestamp,
    /// The gate (name), proved.
    pub gate: &'a str,
    /// The certificate that it proved, as it stands now.
    pub credential: &'a GateCredential,
    /// What was taken of it before.
    pub before: Option<&'a Standing>,
    /// The report's number.
    pub number: u64,
    /// Whether the gate began anew: whatever it told before is over unless it tells it again.
    pub first: bool,
    /// The version that it says is in force.
    pub in_force: Option<u64>,
    /// Sessions that are new, or of which something is.
    pub sessions: &'a [Session],
    /// Who is gone. Devices that are not in the inventory are the caller's to leave out.
    pub cut_offs: &'a [CutOff],
}

/// Takes a report. One whose number was taken before changes nothing, and is fine. One that was under way
/// while the gate enrolled anew comes under a certificate that was revoked since, and does not count.
pub fn take_report(facts: &ReportFacts<'_>) -> Outcome<()> {
    let is_too_much = facts.sessions.len() > MAX_REPORTED || facts.cut_offs.len() > MAX_REPORTED;
    let is_anothers = facts
        .sessions
        .iter()
        .any(|session| session.gate != facts.gate);
    if is_too_much || is_anothers {
        return Outcome::nobody(Refusal::BadReport);
    }
    if facts
        .before
        .is_some_and(|before| facts.number <= before.number)
    {
        return Outcome::nothing(());
    }
    if facts.credential.revoked_at.is_some() {
        return Outcome::nobody(Refusal::GateRevoked);
    }
    // What was in force before says nothing about a gate that began anew.
    let before = facts.before.filter(|_| !facts.first);
    let in_force = facts
        .in_force
        .or_else(|| before.and_then(|before| before.in_force));
    let mut commit = Commit {
        guards: vec![Guard::Admission(admission::Guard::GateCredentialGood {
            id: facts.credential.id.clone(),
        })],
        ..Commit::default()
    };
    commit
        .changes
        .push(Change::Admission(admission::Change::PutStanding(
            Standing {
                gate: facts.gate.to_owned(),
                number: facts.number,
                in_force,
                at: facts.now,
            },
        )));
    if facts.first {
        commit
            .changes
            .push(Change::Admission(admission::Change::EndSessions {
                gate: facts.gate.to_owned(),
                at: facts.now,
            }));
    }
    for session in facts.sessions {
        let mut session = Box::new(session.clone().cut());
        // A gate's clock may be ahead, and nobody was seen in the future. What is forgotten is counted from
        // the end.
        session.since = session.since.min(facts.now);
        session.seen = session.seen.min(facts.now);
        session.ended = session
            .ended
            .map(|ended| ended.clamp(session.since, facts.now));
        commit
            .changes
            .push(Change::Admission(admission::Change::PutSession(session)));
    }
    let actor = Actor::new(ActorKind::Gate, facts.gate);
    for cut_off in facts.cut_offs {
        let subject = Subject::Device(cut_off.device);
        let mut entry = Entry::new(subject, Action::CutOff, actor.clone(), facts.now)
            .with("gate", facts.gate)
            .with("access-point", admission::short(&cut_off.access_point))
            .with("milliseconds", cut_off.milliseconds)
            .with("confirmed-at", cut_off.at)
            .with("confirmed-by", admission::short(&cut_off.confirmed_by));
        if let Some(station) = &cut_off.station {
            entry = entry.with("station", admission::short(station));
        }
        commit.entries.push(entry);
    }
    Outcome::accept((), commit)
}

/// A person ends a session; the device may begin another.
pub fn end_session(
    now: Timestamp,
    actor: &Actor,
    session: &Session,
    reason: &Reason,
) -> Outcome<()> {
    let mut entry = Entry::new(
        Subject::Device(session.device),
        Action::SessionEnded,
        actor.clone(),
        now,
    )
    .with("session", &session.id)
    .with("gate", &session.gate);
    if session.ended.is_some() {
        entry.action = Action::RequestRefused;
        return Outcome::refuse(Refusal::SessionUnknown, &[], entry);
    }
    entry.reasons.push(reason.clone());
    let commit = Commit {
        entries: vec![entry],
        ..Commit::default()
    };
    Outcome::accept((), commit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::Decision;
    use crate::ids::{CredentialId, Digest};

    fn facts(credential: &GateCredential) -> ReportFacts<'_> {
        ReportFacts {
            now: Timestamp::UNIX_EPOCH,
            gate: "hall",
            credential,
            before: None,
            number: 40,
            first: false,
            in_force: None,
            sessions: &[],
            cut_offs: &[],
        }
    }

    /// The gate enrolled anew while the report was under way: its number must not count.
    #[test]
    fn a_report_under_a_certificate_that_was_revoked_since_leaves_nothing() {
        let mut credential = GateCredential {
            id: CredentialId("01".to_owned()),
            gate: "hall".to_owned(),
            sha256: Digest::ZERO,
            not_after: Timestamp::MAX,
            revoked_at: None,
        };
        let taken = take_report(&facts(&credential));
        let good = admission::Guard::GateCredentialGood {
            id: credential.id.clone(),
        };
        assert_eq!(taken.commit.guards, [Guard::Admission(good)]);
        credential.revoked_at = Some(Timestamp::UNIX_EPOCH);
        let refused = take_report(&facts(&credential));
        assert!(refused.commit.is_empty());
        let Decision::Refuse { refusal, .. } = refused.decision else {
            panic!("taken");
        };
        assert_eq!(refusal, Refusal::GateRevoked);
    }
}
