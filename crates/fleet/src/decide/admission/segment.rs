//! Segments.

use jiff::Timestamp;

use crate::admission::{self, MAX_SEGMENTS, Segment};
use crate::commit::{Change, Commit, Guard};
use crate::decide::Outcome;
use crate::journal::{Action, Actor, Entry, Subject};
use crate::refusal::Refusal;

/// A segment that a person describes.
#[derive(Debug, Clone, Copy)]
pub struct SegmentFacts<'a> {
    /// The time.
    pub now: Timestamp,
    /// Who describes it.
    pub actor: &'a Actor,
    /// The segment of that name, if there is one.
    pub existing: Option<&'a Segment>,
    /// How many segments there are.
    pub count: usize,
}

/// Makes a new segment. `wanted`'s version and times are set here.
pub fn put_segment(facts: &SegmentFacts<'_>, wanted: Segment) -> Outcome<Segment> {
    let refusal = match facts.existing {
        Some(_) => Some(Refusal::SegmentExists),
        None if facts.count >= MAX_SEGMENTS => Some(Refusal::TooManySegments),
        None => None,
    };
    write(facts, wanted, refusal)
}

/// Changes a segment. Gates put that in force at once.
pub fn change_segment(facts: &SegmentFacts<'_>, wanted: Segment) -> Outcome<Segment> {
    let refusal = facts.existing.is_none().then_some(Refusal::SegmentUnknown);
    write(facts, wanted, refusal)
}

fn write(facts: &SegmentFacts<'_>, wanted: Segment, refusal: Option<Refusal>) -> Outcome<Segment> {
    let before = facts.existing;
    let expected = before.map_or(0, |segment| segment.version);
    let segment = Segment {
        version: expected.saturating_add(1),
        created_at: before.map_or(facts.now, |segment| segment.created_at),
        updated_at: facts.now,
        ..wanted
    };
    let name: String = segment.name.chars().take(64).collect();
    let entry = Entry::new(
        Subject::Site,
        Action::SegmentChanged,
        facts.actor.clone(),
        facts.now,
    )
    .with("segment", name);
    if let Some(refusal) = refusal.or_else(|| segment.check().err()) {
        let entry = Entry {
            action: Action::RequestRefused,
            ..entry
        };
        return Outcome::refuse(refusal, &[], entry);
    }
    let mut entry = entry.with("version", segment.version);
    if let Some(vlan) = segment.vlan {
        entry = entry.with("vlan", vlan);
    }
    if let Some(reach) = &segment.reach {
        entry = entry.with("destinations", reach.len());
    }
    let commit = Commit {
        guards: vec![Guard::Admission(admission::Guard::SegmentVersion {
            name: segment.name.clone(),
            expected,
        })],
        changes: vec![Change::Admission(admission::Change::PutSegment(Box::new(
            segment.clone(),
        )))],
        entries: vec![entry],
    };
    Outcome::accept(segment, commit)
}

/// Removes a segment that no device and no network is meant for, and that is not the last: while
/// nobody has described one, policy may name any, and gates confine nobody by it. `other` is one that stays.
pub fn remove_segment(
    now: Timestamp,
    actor: &Actor,
    segment: &Segment,
    other: Option<&Segment>,
    in_use: bool,
) -> Outcome<()> {
    let entry = Entry::new(Subject::Site, Action::SegmentRemoved, actor.clone(), now)
        .with("segment", &segment.name);
    let refuse = |refusal| {
        let entry = Entry {
            action: Action::RequestRefused,
            ..entry.clone()
        };
        Outcome::refuse(refusal, &[], entry)
    };
    if in_use {
        return refuse(Refusal::SegmentInUse);
    }
    let Some(other) = other.filter(|other| other.name != segment.name) else {
        return refuse(Refusal::LastSegment);
    };
    let unused = admission::Guard::SegmentUnused {
        name: segment.name.clone(),
    };
    // Of two that remove the last two, one decides anew.
    let stays = admission::Guard::SegmentVersion {
        name: other.name.clone(),
        expected: other.version,
    };
    let commit = Commit {
        guards: vec![Guard::Admission(unused), Guard::Admission(stays)],
        changes: vec![Change::Admission(admission::Change::RemoveSegment {
            name: segment.name.clone(),
            expected: segment.version,
        })],
        entries: vec![entry],
    };
    Outcome::accept((), commit)
}
