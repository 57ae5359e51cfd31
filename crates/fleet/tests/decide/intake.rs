//! Manifests and manual claims.

use vouchsafe_fleet::decide::*;
use vouchsafe_fleet::*;

use crate::factory::{line, station};
use crate::world::*;

/// A device made and sold to `buyer`, as the manufacturer's store has it.
pub(crate) fn made_and_sold(buyer: OwnerId) -> (World, ManifestDevice) {
    let (station, alice) = (station(), person());
    let mut world = World::default();
    let outcome = accepted(&provision(&line(&station, "A-1"))).issue(b"birth certificate".to_vec());
    world.commit(&outcome.commit).unwrap();
    let made = accepted(&outcome);
    let buyer = owner(buyer);
    let outcome = sell(&SellFacts {
        now: at(-DAY + 1),
        actor: &alice,
        device: &made,
        owner: &buyer,
        current: None,
    });
    world.commit(&outcome.commit).unwrap();
    let line = manifest_line(&world, made.id);
    (world, line)
}

pub(crate) fn manifest_line(world: &World, id: DeviceId) -> ManifestDevice {
    let device = &world.devices[&id];
    ManifestDevice {
        serial: device.serial.clone(),
        model: device.model.clone(),
        idevid_sha256: device.idevid_sha256.unwrap(),
        idevid_spki_sha256: device.idevid_spki_sha256.unwrap(),
        key_origin: device.key_origin,
        mud_url: device.mud_url.clone(),
        dpp_uri: None,
        journal: world.journal[&Subject::Device(id)].clone(),
    }
}

pub(crate) fn import_facts<'a>(actor: &'a Actor, line: &'a ManifestDevice) -> ImportFacts<'a> {
    ImportFacts {
        now: at(0),
        actor,
        owner: OWNER,
        sold_to: OWNER,
        manufacturer: MAKER,
        manifest_sha256: Digest::of(b"manifest"),
        line,
        existing: None,
        head: ChainHead::EMPTY,
        key: None,
        labelled: None,
    }
}

#[test]
fn an_imported_device_continues_its_factory_journal() {
    let (alice, (_, line)) = (person(), made_and_sold(OWNER));
    let outcome = import(&import_facts(&alice, &line));
    let device = accepted(&outcome);
    assert_eq!(device.state, State::Claimed);
    let mut world = World::default();
    world.commit(&outcome.commit).unwrap();
    world.verify();
    let chain: Vec<_> = world.journal[&Subject::Device(device.id)]
        .iter()
        .map(|sealed| sealed.entry().unwrap().action.as_str())
        .collect();
    assert_eq!(chain, ["provisioned", "sold", "imported", "claimed"]);

    // The same manifest again changes nothing.
    let again = import(&ImportFacts {
        existing: Some(&device),
        head: world.head(Subject::Device(device.id)),
        ..import_facts(&alice, &line)
    });
    assert!(accepted(&again) == device && again.commit.is_empty());
}

#[test]
fn a_manifest_for_somebody_else_is_refused() {
    let (alice, (_, line)) = (person(), made_and_sold(OTHER));
    let facts = ImportFacts {
        sold_to: OTHER,
        ..import_facts(&alice, &line)
    };
    refused(&import(&facts), Refusal::NotOurs);
    // The manifest says it is ours, but the journal tells of another sale.
    refused(
        &import(&import_facts(&alice, &line)),
        Refusal::JournalIncomplete,
    );
}

#[test]
fn an_altered_factory_journal_is_refused() {
    let (alice, (_, line)) = (person(), made_and_sold(OWNER));
    let mut altered = line.clone();
    altered.journal[0].text = altered.journal[0].text.replace("line 1", "line 2");
    refused(
        &import(&import_facts(&alice, &altered)),
        Refusal::JournalBroken,
    );
    let mut headless = line.clone();
    headless.journal.remove(0);
    refused(
        &import(&import_facts(&alice, &headless)),
        Refusal::JournalBroken,
    );
    let mut cut = line;
    cut.journal.pop();
    refused(
        &import(&import_facts(&alice, &cut)),
        Refusal::JournalIncomplete,
    );
}

#[test]
fn a_manifest_cannot_swap_the_key_of_a_known_device_or_wake_a_retired_one() {
    let (alice, (_, line)) = (person(), made_and_sold(OWNER));
    let mut known = device(State::Claimed);
    known.idevid_spki_sha256 = Some(Digest::of(b"another key"));
    let facts = ImportFacts {
        existing: Some(&known),
        ..import_facts(&alice, &line)
    };
    refused(&import(&facts), Refusal::IdevidKeyDiffers);
    let retired = device(State::Retired);
    let facts = ImportFacts {
        existing: Some(&retired),
        ..facts
    };
    refused(&import(&facts), Refusal::DeviceRetired);
}

#[test]
fn a_person_claims_a_device_once() {
    let alice = person();
    let facts = ClaimFacts {
        now: at(0),
        actor: &alice,
        owner: OWNER,
        manufacturer: MAKER,
        serial: "A-1",
        model: None,
        segment: None,
        idevid_sha256: None,
        existing: None,
    };
    let outcome = claim(&facts);
    let claimed = accepted(&outcome);
    assert_eq!(
        (claimed.state, claimed.owner),
        (State::Claimed, Some(OWNER))
    );
    assert_eq!(actions(&outcome.commit), ["claimed"]);
    let again = ClaimFacts {
        existing: Some(&claimed),
        ..facts
    };
    refused(&claim(&again), Refusal::AlreadyClaimed);
    refused(
        &claim(&ClaimFacts {
            serial: "",
            ..facts
        }),
        Refusal::BadSerial,
    );
    let retired = device(State::Retired);
    refused(
        &claim(&ClaimFacts {
            existing: Some(&retired),
            ..facts
        }),
        Refusal::DeviceRetired,
    );
    let released = device(State::Released);
    accepted(&claim(&ClaimFacts {
        existing: Some(&released),
        ..facts
    }));
    let itself = Actor::new(ActorKind::Device, "A-1");
    refused(
        &claim(&ClaimFacts {
            actor: &itself,
            ..facts
        }),
        Refusal::WrongState,
    );
}

#[test]
fn a_birth_certificate_given_by_hand_is_held_against_the_device() {
    let alice = person();
    let facts = ClaimFacts {
        now: at(0),
        actor: &alice,
        owner: OWNER,
        manufacturer: MAKER,
        serial: "A-1",
        model: None,
        segment: Some("sensors"),
        idevid_sha256: Some(vouchsafe_fleet::Digest::of(b"another certificate")),
        existing: None,
    };
    let outcome = claim(&facts);
    let claimed = accepted(&outcome);
    assert_eq!(claimed.segment.as_deref(), Some("sensors"));
    let (maker, allow) = (maker(ManufacturerTrust::VoucherRequired), allow());
    refused(
        &voucher_request(&request(at(0), &maker, &claimed, &allow)),
        Refusal::IdevidKeyDiffers,
    );
}
