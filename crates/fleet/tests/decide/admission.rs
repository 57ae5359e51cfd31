//! Segments, gates and sessions: what is refused by name, and changes nothing but the journal.

use jiff::SignedDuration;
use vouchsafe_fleet::admission::{Gate, GateCredential, MAX_GATES, MAX_SEGMENTS, Segment, Session};
use vouchsafe_fleet::decide::admission::{
    SegmentFacts, add_gate, end_session, known_gate, put_segment, remove_gate,
};
use vouchsafe_fleet::*;

use crate::world::{at, device, person};

fn segment() -> Segment {
    Segment {
        name: "cameras".to_owned(),
        vlan: Some(20),
        reach: None,
        version: 0,
        created_at: at(0),
        updated_at: at(0),
    }
}

fn refused<D: std::fmt::Debug>(outcome: &Outcome<D>, refusal: Refusal) {
    assert_eq!(outcome.accepted().err(), Some(refusal));
    assert!(outcome.commit.changes.is_empty());
    assert_eq!(outcome.commit.entries.len(), 1);
    assert_eq!(outcome.commit.entries[0].action, Action::RequestRefused);
}

#[test]
fn a_segment_is_described_once_and_there_are_not_too_many() {
    let actor = person();
    let facts = SegmentFacts {
        now: at(0),
        actor: &actor,
        existing: None,
        count: MAX_SEGMENTS - 1,
    };
    assert!(put_segment(&facts, segment()).accepted().is_ok());
    let full = SegmentFacts {
        count: MAX_SEGMENTS,
        ..facts
    };
    refused(&put_segment(&full, segment()), Refusal::TooManySegments);
    let known = segment();
    let known = SegmentFacts {
        existing: Some(&known),
        ..facts
    };
    refused(&put_segment(&known, segment()), Refusal::SegmentExists);
}

#[test]
fn a_gate_is_added_once_and_there_are_not_too_many() {
    let actor = person();
    let token = Digest([7; 32]);
    let add =
        |existing: Option<&Gate>, count| add_gate(at(0), &actor, existing, count, "north", token);
    let added = add(None, MAX_GATES - 1);
    let gate = added.accepted().unwrap().unwrap().clone();
    refused(&add(None, MAX_GATES), Refusal::TooManyGates);
    refused(&add(Some(&gate), 1), Refusal::GateExists);
    let removed = remove_gate(at(0), &actor, &gate, &[]);
    let removed = removed.accepted().unwrap().unwrap();
    assert!(add(Some(removed), 1).accepted().is_ok(), "it may come anew");
}

/// RFC 5280 §4.1.2.5
#[test]
fn a_gate_whose_certificate_is_over_is_no_gate() {
    let actor = person();
    let added = add_gate(at(0), &actor, None, 0, "north", Digest([7; 32]));
    let gate = added.accepted().unwrap().unwrap();
    let credential = GateCredential {
        id: CredentialId("05".to_owned()),
        gate: "north".to_owned(),
        sha256: Digest([8; 32]),
        not_after: at(60),
        revoked_at: None,
    };
    let asked = |seconds| known_gate(at(seconds), Some(gate), &credential).err();
    assert_eq!(asked(60), None);
    assert_eq!(asked(61), Some(Refusal::GateExpired));
    let revoked = GateCredential {
        revoked_at: Some(at(1)),
        ..credential.clone()
    };
    let late = at(0) + SignedDuration::from_hours(1);
    let asked = known_gate(late, Some(gate), &revoked);
    assert_eq!(asked.err(), Some(Refusal::GateRevoked));
    let other = GateCredential {
        gate: "south".to_owned(),
        ..credential
    };
    assert_eq!(
        known_gate(at(0), Some(gate), &other).err(),
        Some(Refusal::GateUnknown)
    );
}

#[test]
fn a_session_that_is_over_is_not_ended_again() {
    let actor = person();
    let mut session = Session {
        id: Session::id_of("north", "1"),
        gate: "north".to_owned(),
        device: device(State::Onboarded).id,
        credential: None,
        station: None,
        access_point: "hall".to_owned(),
        segment: None,
        since: at(0),
        until: at(600),
        seen: at(1),
        ended: None,
        octets: (0, 0),
    };
    let why = Reason::new("asked", "somebody asked", "");
    let ended = end_session(at(2), &actor, &session, &why);
    assert_eq!(ended.commit.entries[0].action, Action::SessionEnded);
    session.ended = Some(at(3));
    let again = end_session(at(4), &actor, &session, &why);
    refused(&again, Refusal::SessionUnknown);
}
