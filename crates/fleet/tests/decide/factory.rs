//! The factory line and the sales desk.

use vouchsafe_fleet::decide::wifi::ImportKey;
use vouchsafe_fleet::decide::*;
use vouchsafe_fleet::wifi;
use vouchsafe_fleet::*;

use crate::world::*;

pub(crate) fn station() -> Actor {
    Actor::new(ActorKind::Factory, "line 1")
}

pub(crate) fn line<'a>(actor: &'a Actor, serial: &'a str) -> ProvisionFacts<'a> {
    ProvisionFacts {
        now: at(-DAY),
        actor,
        manufacturer: MAKER,
        serial,
        model: Some("lamp"),
        mud_url: None,
        key_origin: KeyOrigin::Device,
        key_spki_sha256: birth_key(),
        existing: None,
        key_holder: None,
        bootstrapping: None,
    }
}

#[test]
fn a_bootstrapping_key_is_recorded_with_the_identity() {
    let station = station();
    let key = wifi::KeyFacts {
        id: Digest::of(b"bootstrapping key"),
        chirp_hash: Digest::of(b"chirp"),
        curve: "P-256",
        uri: "DPP:V:2;K:AAAA;;",
    };
    let with_key = ProvisionFacts {
        bootstrapping: Some(wifi_key(key, None)),
        ..line(&station, "A-1")
    };
    let outcome = accepted(&provision(&with_key)).issue(b"birth certificate".to_vec());
    let made = accepted(&outcome);
    assert_eq!(
        actions(&outcome.commit),
        ["provisioned", "bootstrapping-key-added"]
    );
    let stored = put_key(&outcome.commit).unwrap();
    assert_eq!((stored.device, stored.uri.as_str()), (made.id, key.uri));

    // The same request again gets the same answer, and adds nothing.
    let again = ProvisionFacts {
        existing: Some(&made),
        bootstrapping: Some(wifi_key(key, Some(&stored))),
        ..with_key
    };
    let outcome = provision(&again);
    assert!(matches!(outcome.decision, Decision::Replay(_)));
    assert!(outcome.commit.is_empty());
    // A label that is made later is added.
    let later = ProvisionFacts {
        bootstrapping: Some(wifi_key(key, None)),
        ..again
    };
    assert!(put_key(&provision(&later).commit).is_some());
    // The key of one device is no other's.
    let other = ProvisionFacts {
        bootstrapping: Some(wifi_key(key, Some(&stored))),
        key_spki_sha256: Digest::of(b"another key"),
        ..line(&station, "A-2")
    };
    refused(&provision(&other), Refusal::KeyOfAnotherDevice);
}

fn wifi_key<'a>(
    key: wifi::KeyFacts<'a>,
    known: Option<&'a wifi::BootstrappingKey>,
) -> ImportKey<'a> {
    ImportKey { key, known }
}

fn put_key(commit: &Commit) -> Option<wifi::BootstrappingKey> {
    commit.changes.iter().find_map(|change| match change {
        Change::Wifi(wifi::Change::PutKey(key)) => Some((**key).clone()),
        _ => None,
    })
}

#[test]
fn one_identity_for_one_serial_number() {
    let station = station();
    let facts = line(&station, "A-1");
    let outcome = accepted(&provision(&facts)).issue(b"birth certificate".to_vec());
    let made = accepted(&outcome);
    assert_eq!(made.state, State::Provisioned);
    assert_eq!(actions(&outcome.commit), ["provisioned"]);

    let again = ProvisionFacts {
        existing: Some(&made),
        key_holder: Some(made.id),
        ..facts
    };
    let Decision::Replay(answer) = provision(&again).decision else {
        panic!()
    };
    assert_eq!(answer.body, b"birth certificate");
    let second = ProvisionFacts {
        existing: Some(&made),
        key_spki_sha256: Digest::of(b"another key"),
        ..facts
    };
    refused(&provision(&second), Refusal::SerialTaken);
    let stolen = ProvisionFacts {
        key_holder: Some(made.id),
        ..line(&station, "A-2")
    };
    refused(&provision(&stolen), Refusal::KeyOfAnotherDevice);
}

#[test]
fn two_stations_that_race_for_one_serial_number_do_not_both_win() {
    let station = station();
    let other = ProvisionFacts {
        key_spki_sha256: Digest::of(b"another key"),
        ..line(&station, "A-1")
    };
    let one = accepted(&provision(&line(&station, "A-1"))).issue(vec![1]);
    let two = accepted(&provision(&other)).issue(vec![2]);
    let mut world = World::default();
    world.commit(&one.commit).unwrap();
    assert!(matches!(
        world.commit(&two.commit),
        Err(Guard::DeviceAbsent { .. })
    ));
}

#[test]
fn rfc8995_2_3_1_a_serial_number_is_short_and_printable() {
    let station = station();
    for serial in ["", "A\n1", "Ä1", &"x".repeat(65)] {
        refused(&provision(&line(&station, serial)), Refusal::BadSerial);
    }
    accepted(&provision(&line(&station, &"x".repeat(64))));
}

#[test]
fn only_the_factory_gives_identities() {
    let device = Actor::new(ActorKind::Device, "A-1");
    refused(&provision(&line(&device, "A-1")), Refusal::WrongState);
}

#[test]
fn a_device_has_one_owner_at_a_time() {
    let (alice, made) = (person(), device(State::Provisioned));
    let (buyer, other) = (owner(OWNER), owner(OTHER));
    let facts = SellFacts {
        now: at(0),
        actor: &alice,
        device: &made,
        owner: &buyer,
        current: None,
    };
    let outcome = sell(&facts);
    let sold = accepted(&outcome);
    assert_eq!((sold.state, sold.owner), (State::Transferred, Some(OWNER)));
    insta::assert_snapshot!(pretty(&outcome.commit));

    let owned = ownership(OWNER, None);
    let twice = SellFacts {
        device: &sold,
        current: Some(&owned),
        ..facts
    };
    assert!(sell(&twice).commit.is_empty());
    let elsewhere = SellFacts {
        owner: &other,
        ..twice
    };
    refused(&sell(&elsewhere), Refusal::AlreadySold);
    refused(&release_ownership(&elsewhere, None), Refusal::OtherOwner);
    refused(&release_ownership(&facts, None), Refusal::NotSold);

    let given_back = accepted(&release_ownership(&twice, None));
    assert_eq!(given_back.state, State::Released);
    let resold = sell(&SellFacts {
        device: &given_back,
        owner: &other,
        ..facts
    });
    assert_eq!(accepted(&resold).owner, Some(OTHER));
}

/// A device that its owner gave up and bought again is not taken away by the statement of the first
/// time, which others have seen, nor by one that is dated ahead to be used so.
#[test]
fn a_release_statement_ends_the_ownership_it_was_made_in_and_no_other() {
    let (alice, buyer, sold) = (person(), owner(OWNER), device(State::Transferred));
    let again = Ownership {
        since: at(DAY),
        ..ownership(OWNER, None)
    };
    let facts = SellFacts {
        now: at(2 * DAY),
        actor: &alice,
        device: &sold,
        owner: &buyer,
        current: Some(&again),
    };
    for stated_at in [at(DAY - 1), at(2 * DAY + HOUR)] {
        refused(
            &release_ownership(&facts, Some(stated_at)),
            Refusal::StatementOutOfTime,
        );
    }
    for stated_at in [None, Some(at(DAY)), Some(at(2 * DAY))] {
        accepted(&release_ownership(&facts, stated_at));
    }
}

#[test]
fn a_blocked_owner_and_a_retired_device_are_not_sold() {
    let (alice, made, buyer) = (person(), device(State::Provisioned), owner(OWNER));
    let mut blocked = buyer.clone();
    blocked.blocked = Some("does not pay".to_owned());
    let retired = device(State::Retired);
    let facts = |device, owner| SellFacts {
        now: at(0),
        actor: &alice,
        device,
        owner,
        current: None,
    };
    refused(&sell(&facts(&retired, &buyer)), Refusal::DeviceRetired);
    refused(&sell(&facts(&made, &blocked)), Refusal::OwnerBlocked);
}
