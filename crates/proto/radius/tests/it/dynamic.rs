//! Disconnect and change of authorization, in both directions.

use vouchsafe_radius::dynamic::{
    Arrival, Change, EVENT_WINDOW, MAX_REMEMBERED, Order, Outcome, Receiver, SESSION_NOT_FOUND,
    Target,
};
use vouchsafe_radius::{
    Code, Draft, Error, Malformed, Origin, Packet, Refusal, Segment, Shared, attribute,
};
use vouchsafe_trust::Secret;

use crate::world::{later, now, origin, shared};

fn order() -> Order {
    Order {
        change: Change::Disconnect,
        target: Target {
            calling_station: Some("02-00-00-00-00-01".to_owned()),
            ..Target::default()
        },
    }
}

fn refused(receiver: &mut Receiver, datagram: &[u8]) -> Error {
    receiver
        .receive(now(), origin(), &shared(), datagram)
        .unwrap_err()
}

fn draft() -> Draft {
    Draft::new(Code::DisconnectRequest, 1).with(attribute::CALLING_STATION_ID, b"02-00-00-00-00-01")
}

fn timed(draft: Draft, at: jiff::Timestamp) -> Draft {
    let seconds = u32::try_from(at.as_second()).unwrap();
    draft.with_integer(attribute::EVENT_TIMESTAMP, seconds)
}

/// RFC 5176 §2
#[test]
fn an_order_is_received_and_its_outcome_comes_back() {
    let mut receiver = Receiver::default();
    let moved = Order {
        change: Change::Move(Segment::new("quarantine").unwrap()),
        ..order()
    };
    for (identifier, order) in [(1, order()), (2, moved)] {
        let (datagram, sent) = order.datagram(&shared(), identifier, now()).unwrap();
        let arrival = receiver.receive(now(), origin(), &shared(), &datagram);
        let Arrival::Fresh(received) = arrival.unwrap() else {
            panic!("not fresh");
        };
        assert_eq!(*received.change(), order.change);
        assert_eq!(received.station().mac, Some([2, 0, 0, 0, 0, 1]));
        let answer = received.acknowledge(&mut receiver, now(), &shared());
        let answer = answer.unwrap();
        assert_eq!(sent.outcome(&shared(), &answer), Ok(Outcome::Done));

        // Sent again because the answer was lost: the same answer, nothing done twice.
        let arrival = receiver.receive(later(2), origin(), &shared(), &datagram);
        let Arrival::Repeated(again) = arrival.unwrap() else {
            panic!("done twice");
        };
        assert_eq!(again, answer);
    }
}

#[test]
fn a_session_that_is_not_there_is_named_so() {
    let mut receiver = Receiver::default();
    let (datagram, sent) = order().datagram(&shared(), 1, now()).unwrap();
    let arrival = receiver.receive(now(), origin(), &shared(), &datagram);
    let Arrival::Fresh(received) = arrival.unwrap() else {
        panic!("not fresh");
    };
    let answer = received.refuse(&mut receiver, now(), &shared(), SESSION_NOT_FOUND);
    let answer = answer.unwrap();
    assert_eq!(Packet::parse(&answer).unwrap().code(), Code::DisconnectNak);
    assert_eq!(sent.outcome(&shared(), &answer), Ok(Outcome::NoSuchSession));

    let other = Shared::new(Secret::new(b"another secret".to_vec()));
    let wrong_secret = sent.outcome(&other, &answer).unwrap_err();
    assert_eq!(wrong_secret, Refusal::AuthenticatorWrong.into());
    let (_, unrelated) = order().datagram(&shared(), 2, now()).unwrap();
    let unmatched = unrelated.outcome(&shared(), &answer).unwrap_err();
    assert_eq!(unmatched, Refusal::ResponseUnmatched.into());
}

/// RFC 5176 §6.3: a replayed Disconnect ends nobody's session a second time.
#[test]
fn a_replayed_order_is_refused() {
    let mut receiver = Receiver::default();
    let (datagram, _) = order().datagram(&shared(), 1, now()).unwrap();
    let arrival = receiver.receive(now(), origin(), &shared(), &datagram);
    let Arrival::Fresh(received) = arrival.unwrap() else {
        panic!("not fresh");
    };
    received
        .acknowledge(&mut receiver, now(), &shared())
        .unwrap();
    // From elsewhere, within the window.
    let elsewhere = Origin {
        port: 41_000,
        ..origin()
    };
    let replayed = receiver.receive(later(5), elsewhere, &shared(), &datagram);
    assert_eq!(replayed.unwrap_err(), Refusal::Replayed.into());
    // From anywhere, after the window.
    let after = later(EVENT_WINDOW.as_secs() + 1);
    let stale = receiver.receive(after, origin(), &shared(), &datagram);
    assert_eq!(stale.unwrap_err(), Refusal::EventTimestampStale.into());
}

/// RFC 5176 §6.3: an order dated ahead does not outlive its memory.
#[test]
fn an_order_dated_ahead_cannot_be_replayed_when_its_time_comes() {
    let mut receiver = Receiver::default();
    let ahead = timed(draft(), later(EVENT_WINDOW.as_secs()));
    let datagram = shared().finish_digest_request(ahead).unwrap();
    let arrival = receiver.receive(now(), origin(), &shared(), &datagram);
    let Arrival::Fresh(received) = arrival.unwrap() else {
        panic!("not fresh");
    };
    received
        .acknowledge(&mut receiver, now(), &shared())
        .unwrap();
    let last = later(2 * EVENT_WINDOW.as_secs());
    let arrival = receiver.receive(last, origin(), &shared(), &datagram);
    assert!(matches!(arrival, Ok(Arrival::Repeated(_))), "{arrival:?}");
}

/// RFC 5176 §6.3
#[test]
fn an_order_without_a_time_or_with_a_wrong_one_is_refused() {
    let mut receiver = Receiver::default();
    let none = shared().finish_digest_request(draft()).unwrap();
    let missing = refused(&mut receiver, &none);
    assert_eq!(missing, Refusal::EventTimestampMissing.into());
    // A clock that is wrong by a day, either way.
    for day in [-86_400, 86_400] {
        let datagram = shared().finish_digest_request(timed(draft(), later(day)));
        let stale = refused(&mut receiver, &datagram.unwrap());
        assert_eq!(stale, Refusal::EventTimestampStale.into());
    }
    let twice = timed(timed(draft(), now()), later(1));
    let datagram = shared().finish_digest_request(twice).unwrap();
    let twice = refused(&mut receiver, &datagram);
    assert_eq!(twice, Malformed::AttributeTwice.into());
}

/// RFC 5176 §3
#[test]
fn an_order_that_proves_nothing_or_names_nobody_is_refused() {
    let mut receiver = Receiver::default();
    let other = Shared::new(Secret::new(b"another secret".to_vec()));
    let (datagram, _) = order().datagram(&other, 1, now()).unwrap();
    let wrong_secret = refused(&mut receiver, &datagram);
    assert_eq!(wrong_secret, Refusal::AuthenticatorWrong.into());
    let (mut datagram, _) = order().datagram(&shared(), 1, now()).unwrap();
    let last = datagram.len() - 1;
    datagram[last] ^= 1;
    let altered = refused(&mut receiver, &datagram);
    assert_eq!(altered, Refusal::AuthenticatorWrong.into());

    let nobody = timed(Draft::new(Code::DisconnectRequest, 1), now());
    let datagram = shared().finish_digest_request(nobody).unwrap();
    let nobody = refused(&mut receiver, &datagram);
    assert_eq!(nobody, Refusal::DeviceNotNamed.into());
    let order = Order {
        target: Target::default(),
        ..order()
    };
    let unnamed = order.datagram(&shared(), 1, now()).unwrap_err();
    assert_eq!(unnamed, Refusal::DeviceNotNamed.into());
    let access = Draft::new(Code::AccountingRequest, 1);
    let datagram = shared().finish_digest_request(access).unwrap();
    let other_kind = refused(&mut receiver, &datagram);
    assert_eq!(other_kind, Refusal::CodeUnexpected.into());
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut receiver = Receiver::default();
    for number in 0..=MAX_REMEMBERED {
        let session = format!("{number}");
        let draft = Draft::new(Code::DisconnectRequest, 1)
            .with(attribute::ACCT_SESSION_ID, session.as_bytes());
        let datagram = shared().finish_digest_request(timed(draft, now()));
        let arrival = receiver.receive(now(), origin(), &shared(), &datagram.unwrap());
        let Ok(Arrival::Fresh(received)) = arrival else {
            panic!("not fresh");
        };
        received
            .acknowledge(&mut receiver, now(), &shared())
            .unwrap();
    }
}
