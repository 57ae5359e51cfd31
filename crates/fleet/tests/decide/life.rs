//! One device's whole life at two organisations' stores, and the journal it leaves.

use vouchsafe_fleet::decide::*;
use vouchsafe_fleet::*;

use crate::intake::{import_facts, made_and_sold, manifest_line};
use crate::world::*;

/// Voucher request, answer, acceptance, enrolment and confirmation, each committed.
fn onboard(world: &mut World, id: DeviceId, round: u8, start: i64) {
    let (maker, verdict) = (maker(ManufacturerTrust::VoucherRequired), allow());
    let (nonce, request_sha256) = (format!("nonce-{round}"), Digest::of(&[round, 0]));
    let device = world.devices[&id].clone();
    let outcome = voucher_request(&VoucherRequestFacts {
        nonce: &nonce,
        request_sha256,
        ..request(at(start), &maker, &device, &verdict)
    });
    world.commit(&outcome.commit).unwrap();

    let sent = accepted(&outcome).record;
    let device = world.devices[&id].clone();
    let outcome = voucher_answer(&crate::world::voucher_answer_facts(
        at(start + 1),
        &device,
        &sent,
    ));
    world.commit(&outcome.commit).unwrap();

    let record = accepted(&outcome);
    let outcome = voucher_status(&VoucherStatusFacts {
        now: at(start + 2),
        device: &device,
        record: Some(&record),
        accepted: true,
        reason: None,
        message_sha256: Digest::of(b"status"),
    });
    world.commit(&outcome.commit).unwrap();

    world.manufacturers.insert(maker.id, maker.clone());
    let (voucher, active) = (world.vouchers[&record.id].clone(), world.active(id));
    let permit = accepted(&enrol(&EnrolFacts {
        voucher: Some(&voucher),
        held: &active,
        request_sha256: Digest::of(&[round, 1]),
        key_spki_sha256: Digest::of(&[round, 2]),
        ..enrol_facts(at(start + 3), &maker, &device, &verdict)
    }));
    let outcome = permit.issue(issued(round, at(start + 3)));
    world.commit(&outcome.commit).unwrap();

    let (device, credential) = (world.devices[&id].clone(), accepted(&outcome));
    let outcome = enrol_status(&EnrolStatusFacts {
        now: at(start + 4),
        device: &device,
        shown: Some(&credential),
        success: true,
        reason: None,
        message_sha256: Digest::of(b"enrol status"),
    });
    world.commit(&outcome.commit).unwrap();
}

#[test]
fn from_the_factory_to_a_second_owner() {
    let alice = person();
    let (mut factory, line) = made_and_sold(OWNER);
    let mut first = World::default();
    let outcome = import(&import_facts(&alice, &line));
    first.commit(&outcome.commit).unwrap();
    let id = accepted(&outcome).id;

    onboard(&mut first, id, 1, 100);
    assert_eq!(first.devices[&id].state, State::Onboarded);
    // Reset, and onboarded again: one credential counts.
    onboard(&mut first, id, 2, 200);
    assert_eq!(first.active(id).len(), 1);

    // Released here, given back to the manufacturer, sold on.
    let (device, credentials, owned) = (
        first.devices[&id].clone(),
        first.active(id),
        first.current(id),
    );
    let outcome = release(&OperateFacts {
        ownership: owned.as_ref(),
        ..operate(at(300), &alice, &device, &credentials)
    });
    first.commit(&outcome.commit).unwrap();
    first.verify();
    for (owner_id, now, back) in [(OWNER, 301, true), (OTHER, 302, false)] {
        let (device, current, owner) = (
            factory.devices[&id].clone(),
            factory.current(id),
            owner(owner_id),
        );
        let facts = SellFacts {
            now: at(now),
            actor: &alice,
            device: &device,
            owner: &owner,
            current: current.as_ref(),
        };
        let outcome = if back {
            release_ownership(&facts, None)
        } else {
            sell(&facts)
        };
        factory.commit(&outcome.commit).unwrap();
    }

    // The first owner cannot claim it any more: the MASA knows whose it is.
    let (device, current, known) = (
        factory.devices[&id].clone(),
        factory.current(id),
        owner(OWNER),
    );
    let refusal = masa_voucher(&MasaVoucherFacts {
        current: current.as_ref(),
        ..masa_facts(
            at(400),
            OwnershipPolicy::Verified,
            &device,
            Requester {
                known: Some(&known),
                ..requester(OWNER)
            },
        )
    });
    refused(&refusal, Refusal::OtherOwner);

    // The second owner can, and its journal holds the whole factory story.
    let line = manifest_line(&factory, id);
    let outcome = import(&ImportFacts {
        now: at(500),
        owner: OTHER,
        sold_to: OTHER,
        ..import_facts(&alice, &line)
    });
    let mut second = World::default();
    second.commit(&outcome.commit).unwrap();
    second.verify();
    factory.verify();

    let story: Vec<String> = first.journal[&Subject::Device(id)]
        .iter()
        .map(|sealed| {
            let entry = sealed.entry().unwrap();
            format!(
                "{:>3} {:<21} {}",
                sealed.seq, entry.action, entry.actor.kind
            )
        })
        .collect();
    insta::assert_snapshot!(story.join("\n"));
}
