//! Whose a bootstrapping key is, and what a network may be.

use vouchsafe_fleet::admission::{Guard as SegmentGuard, Segment};
use vouchsafe_fleet::commit::Guard;
use vouchsafe_fleet::decide::wifi::*;
use vouchsafe_fleet::decide::{Decision, ImportFacts, import};
use vouchsafe_fleet::wifi::*;
use vouchsafe_fleet::*;

use crate::intake::{import_facts, made_and_sold};
use crate::wifi_facts::*;
use crate::world::*;

fn claim_facts(actor: &Actor) -> ClaimUriFacts<'_> {
    ClaimUriFacts {
        now: at(0),
        actor,
        owner: OWNER,
        key: key_facts(),
        role: DeviceRole::Station,
        source: KeySource::Person,
        identity: None,
        label: None,
        model: None,
        mud_url: None,
        segment: None,
        network: None,
        existing: None,
        standing: None,
        known: None,
        reasons: &[],
        runs_devices: true,
    }
}

/// Whoever has another key of a device in service comes in as that device, so who only brings devices adds none.
#[test]
fn a_key_for_a_device_in_service_is_added_by_who_runs_devices() {
    let alice = person();
    let network = network("home", NetworkCredential::Connector);
    let here = device(State::Onboarded);
    let brings = ClaimUriFacts {
        identity: Some((here.manufacturer, here.serial.as_str())),
        existing: Some(&here),
        runs_devices: false,
        ..claim_facts(&alice)
    };
    refused(&claim_uri(&brings), Refusal::ActorMayNot);
    let known = accepted(&claim_uri(&ClaimUriFacts {
        runs_devices: true,
        ..brings
    }))
    .key;
    // The same list once more changes nothing; another network for it does.
    let again = ClaimUriFacts {
        known: Some(&known),
        ..brings
    };
    accepted(&claim_uri(&again));
    let elsewhere = ClaimUriFacts {
        network: Some(&network),
        ..again
    };
    refused(&claim_uri(&elsewhere), Refusal::ActorMayNot);
    let as_another = ClaimUriFacts {
        role: DeviceRole::AccessPoint,
        ..again
    };
    refused(&claim_uri(&as_another), Refusal::ActorMayNot);
    let claimed = device(State::Claimed);
    accepted(&claim_uri(&ClaimUriFacts {
        existing: Some(&claimed),
        ..brings
    }));
}

#[test]
fn a_label_alone_makes_a_device_known() {
    let alice = person();
    let network = network("home", NetworkCredential::Connector);
    let facts = ClaimUriFacts {
        network: Some(&network),
        ..claim_facts(&alice)
    };
    let outcome = claim_uri(&facts);
    let claimed = accepted(&outcome);
    assert_eq!(claimed.device.id, DeviceId::of_bootstrapping_key(key_id()));
    assert_eq!(claimed.device.manufacturer, ManufacturerId::NONE);
    assert!(claimed.device.serial.starts_with("dpp-"));
    assert_eq!(claimed.device.state, State::Claimed);
    assert_eq!(
        actions(&outcome.commit),
        ["claimed", "bootstrapping-key-added", "network-assigned"]
    );
    let mut world = World::default();
    world
        .wifi
        .networks
        .insert("home".to_owned(), network.clone());
    // It announced itself before.
    for hash in [key_id(), chirp()] {
        let verdict = deny();
        let seen = AnnouncementFacts {
            hash,
            ..announced(None, &verdict)
        };
        world.commit(&announcement(&seen).commit).unwrap();
    }
    assert_eq!(world.wifi.announcements.len(), 2);
    world.commit(&outcome.commit).unwrap();
    assert!(world.wifi.announcements.is_empty(), "the riddle is solved");
    world.verify();

    // Once more changes nothing, for whoever names the device in either way.
    let device = world.devices[&claimed.device.id].clone();
    let again = ClaimUriFacts {
        existing: Some(&device),
        standing: world.wifi.standings.get(&device.id),
        known: Some(&claimed.key),
        ..facts
    };
    let outcome = claim_uri(&again);
    assert!(!accepted(&outcome).changed && outcome.commit.is_empty());
    // Another role is a change, and says so.
    let other = claim_uri(&ClaimUriFacts {
        role: DeviceRole::AccessPoint,
        ..again
    });
    assert_eq!(accepted(&other).key.role, DeviceRole::AccessPoint);
    assert_eq!(other.commit.entries[0].data["role"], "access-point");
    // What people call it stands for the serial number.
    let named = claim_uri(&ClaimUriFacts {
        label: Some("lamp 3"),
        ..facts
    });
    assert_eq!(accepted(&named).device.serial, "lamp 3");
    let url = "https://example.com/lamp";
    let described = claim_uri(&ClaimUriFacts {
        mud_url: Some(url),
        ..facts
    });
    assert_eq!(accepted(&described).device.mud_url.as_deref(), Some(url));
    let mut then = World::default();
    then.wifi
        .networks
        .insert("home".to_owned(), network.clone());
    then.commit(&described.commit).unwrap();
    assert_eq!(
        then.devices[&claimed.device.id].mud_url.as_deref(),
        Some(url)
    );
    let unnameable = claim_uri(&ClaimUriFacts {
        label: Some("\n"),
        ..facts
    });
    refused(&unnameable, Refusal::BadSerial);
}

#[test]
fn a_label_adds_a_key_to_a_device_that_is_here() {
    let alice = person();
    let here = device(State::Onboarded);
    let facts = ClaimUriFacts {
        identity: Some((MAKER, "A-1")),
        existing: Some(&here),
        ..claim_facts(&alice)
    };
    let outcome = claim_uri(&facts);
    let touched = accepted(&outcome).device;
    assert_eq!(
        (touched.state, touched.version),
        (here.state, here.version + 1)
    );
    assert_eq!(actions(&outcome.commit), ["bootstrapping-key-added"]);
    let mut foreign = here.clone();
    foreign.owner = Some(OTHER);
    refused(
        &claim_uri(&ClaimUriFacts {
            existing: Some(&foreign),
            ..facts
        }),
        Refusal::OtherOwner,
    );
    let retired = device(State::Retired);
    refused(
        &claim_uri(&ClaimUriFacts {
            existing: Some(&retired),
            ..facts
        }),
        Refusal::DeviceRetired,
    );
    // A device that was released is claimed again, by the same or the next owner.
    let mut released = device(State::Released);
    released.owner = None;
    let key = key();
    let facts = ClaimUriFacts {
        identity: None,
        existing: Some(&released),
        known: Some(&key),
        ..facts
    };
    let again = claim_uri(&facts);
    let claimed = accepted(&again);
    assert_eq!(
        (claimed.device.state, claimed.device.owner),
        (State::Claimed, Some(OWNER))
    );
    assert_eq!(claimed.device.serial, "A-1");
}

#[test]
fn a_uri_that_cannot_be_kept_is_refused() {
    let alice = person();
    let long = "x".repeat(MAX_URI + 1);
    for uri in ["", &long] {
        let facts = ClaimUriFacts {
            key: KeyFacts { uri, ..key_facts() },
            ..claim_facts(&alice)
        };
        refused(&claim_uri(&facts), Refusal::BadBootstrappingKey);
    }
}

#[test]
fn one_key_for_two_devices_is_a_conflict_that_people_see_and_settle() {
    let alice = person();
    let (one, key) = (device(State::Claimed), key());
    let mut world = World::default();
    world.devices.insert(one.id, one.clone());
    world.wifi.keys.insert(key.id, key.clone());
    let mut two = device(State::Claimed);
    two.id = DeviceId::new(MAKER, "B-1");
    two.serial = "B-1".to_owned();
    world.devices.insert(two.id, two.clone());
    let facts = ClaimUriFacts {
        identity: Some((MAKER, "B-1")),
        existing: Some(&two),
        known: Some(&key),
        ..claim_facts(&alice)
    };
    let outcome = claim_uri(&facts);
    assert_eq!(outcome.refusal(), Some(Refusal::BootstrappingKeyConflict));
    assert_eq!(
        actions(&outcome.commit),
        ["request-refused", "bootstrapping-key-conflict"]
    );
    assert_eq!(outcome.commit.entries[1].subject, Subject::Device(one.id));
    world.commit(&outcome.commit).unwrap();
    let marked = world.wifi.keys[&key.id].clone();
    assert_eq!(marked.device, one.id, "the device that has it keeps it");
    let conflict = marked.conflict.clone().unwrap();
    assert_eq!((conflict.device, conflict.by.as_str()), (two.id, "alice"));
    // The same contradiction is kept once.
    let again = claim_uri(&ClaimUriFacts {
        known: Some(&marked),
        ..facts
    });
    assert_eq!(again.refusal(), Some(Refusal::BootstrappingKeyConflict));
    assert!(again.commit.changes.is_empty());

    let settle = |key, device| {
        settle_key(&SettleKeyFacts {
            now: at(1),
            actor: &alice,
            key,
            device,
            present: &one,
            holdings: Holdings::NONE,
            certificates: &[],
            reasons: &[],
        })
    };
    let mut third = device(State::Claimed);
    third.id = DeviceId([9; 16]);
    refused(&settle(&marked, &third), Refusal::NothingPending);
    refused(&settle(&key, &one), Refusal::NothingPending);
    let kept = accepted(&settle(&marked, &one));
    assert_eq!((kept.device, kept.conflict), (one.id, None));
    let outcome = settle(&marked, &two);
    let moved = accepted(&outcome);
    assert_eq!((moved.device, moved.conflict), (two.id, None));
    assert_eq!(
        actions(&outcome.commit),
        ["bootstrapping-key-settled", "bootstrapping-key-removed"]
    );
    assert_eq!(outcome.commit.entries[1].subject, Subject::Device(one.id));
    world.commit(&outcome.commit).unwrap();
    world.verify();
}

#[test]
fn a_key_can_be_taken_away() {
    let (alice, here, key) = (person(), device(State::Claimed), key());
    let outcome = remove_key(&RemoveKeyFacts {
        now: at(0),
        actor: &alice,
        key: &key,
        device: &here,
        reasons: &[],
    });
    assert_eq!(actions(&outcome.commit), ["bootstrapping-key-removed"]);
    let mut world = World::default();
    world.wifi.keys.insert(key.id, key.clone());
    world.commit(&outcome.commit).unwrap();
    assert!(world.wifi.keys.is_empty());
}

#[test]
fn a_manifest_brings_the_key_with_the_device() {
    let (alice, (_, line)) = (person(), made_and_sold(OWNER));
    let given = ImportKey {
        key: key_facts(),
        known: None,
    };
    let facts = ImportFacts {
        key: Some(given),
        ..import_facts(&alice, &line)
    };
    let outcome = import(&facts);
    let device = accepted(&outcome);
    assert_eq!(
        actions(&outcome.commit),
        ["imported", "claimed", "bootstrapping-key-added"]
    );
    let mut world = World::default();
    world.commit(&outcome.commit).unwrap();
    let key = world.wifi.keys[&key_id()].clone();
    assert_eq!((key.device, key.source), (device.id, KeySource::Manifest));

    // The same manifest again changes nothing; one that has the key now and had none before adds it.
    let stored = world.devices[&device.id].clone();
    let again = ImportFacts {
        existing: Some(&stored),
        head: world.head(Subject::Device(device.id)),
        ..facts
    };
    let known = Some(ImportKey {
        known: Some(&key),
        ..given
    });
    assert!(
        import(&ImportFacts {
            key: known,
            ..again
        })
        .commit
        .is_empty()
    );
    let late = import(&again);
    assert_eq!(actions(&late.commit), ["bootstrapping-key-added"]);
    assert!(matches!(
        late.commit.guards.last(),
        Some(Guard::DeviceVersion { .. })
    ));

    // A key that somebody claimed for another device before: the device comes in, the key waits.
    let other = BootstrappingKey {
        device: DeviceId([9; 16]),
        ..key
    };
    let facts = ImportFacts {
        key: Some(ImportKey {
            known: Some(&other),
            ..given
        }),
        ..import_facts(&alice, &line)
    };
    let outcome = import(&facts);
    assert!(matches!(outcome.decision, Decision::Accept(_)));
    assert_eq!(
        actions(&outcome.commit),
        ["imported", "claimed", "bootstrapping-key-conflict"]
    );
}

#[test]
fn a_network_is_what_can_be_carried_out() {
    let alice = person();
    let facts = NetworkFacts {
        now: at(0),
        actor: &alice,
        existing: None,
        count: 0,
        segments: &[],
    };
    let plain = network("home", NetworkCredential::Connector);
    let outcome = put_network(&facts, plain.clone());
    assert_eq!(accepted(&outcome).version, 1);
    assert_eq!(actions(&outcome.commit), ["network-changed"]);
    let broken: [&dyn Fn(&mut Network); 10] = [
        &|it| it.name.clear(),
        &|it| it.name = "Home".to_owned(),
        &|it| it.name = "a".repeat(65),
        &|it| it.ssid.clear(),
        &|it| it.ssid = "é".repeat(17),
        &|it| it.ssid = "a\0b".to_owned(),
        &|it| it.lifetime_days = Some(0),
        &|it| it.server_name = Some("radius.example".to_owned()),
        &|it| {
            it.credential = NetworkCredential::Psk;
            it.fallback = true;
        },
        &|it| {
            it.credential = NetworkCredential::Certificate;
            it.server_name = Some("with space".to_owned());
        },
    ];
    for change in broken {
        let mut wanted = plain.clone();
        change(&mut wanted);
        refused(&put_network(&facts, wanted), Refusal::BadNetwork);
    }
    let existing = NetworkFacts {
        existing: Some(&plain),
        ..facts
    };
    refused(
        &put_network(&existing, plain.clone()),
        Refusal::NetworkExists,
    );
    refused(
        &change_network(&facts, plain.clone()),
        Refusal::NetworkUnknown,
    );
    let changed = accepted(&change_network(
        &existing,
        network("home", NetworkCredential::Sae),
    ));
    assert_eq!((changed.version, changed.created_at), (2, plain.created_at));
    let full = NetworkFacts {
        count: MAX_NETWORKS,
        ..facts
    };
    refused(&put_network(&full, plain.clone()), Refusal::TooManyNetworks);

    // It leads to a segment that is described, once any is, and stays so until it is written.
    let lamps = Segment {
        name: "lamps".to_owned(),
        vlan: None,
        reach: None,
        version: 4,
        created_at: at(0),
        updated_at: at(0),
    };
    let leads = |name: &str| Network {
        segment: Some(name.to_owned()),
        ..plain.clone()
    };
    let described = NetworkFacts {
        segments: std::slice::from_ref(&lamps),
        ..facts
    };
    let lost = put_network(&described, leads("cameras"));
    refused(&lost, Refusal::SegmentUnknown);
    accepted(&put_network(&facts, leads("cameras")));
    let outcome = put_network(&described, leads("lamps"));
    accepted(&outcome);
    let stays = Guard::Admission(SegmentGuard::SegmentVersion {
        name: "lamps".to_owned(),
        expected: 4,
    });
    assert!(outcome.commit.guards.contains(&stays), "{outcome:?}");

    refused(
        &remove_network(at(0), &alice, &plain, true),
        Refusal::NetworkInUse,
    );
    let mut world = World::default();
    world.wifi.networks.insert("home".to_owned(), plain.clone());
    let gone = remove_network(at(0), &alice, &plain, false);
    world.commit(&gone.commit).unwrap();
    assert!(world.wifi.networks.is_empty());
}
