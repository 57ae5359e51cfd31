//! RFC 8995 §5.2–§5.8 at the registrar.

use vouchsafe_fleet::decide::*;
use vouchsafe_fleet::*;

use crate::world::*;

fn required() -> Manufacturer {
    maker(ManufacturerTrust::VoucherRequired)
}

#[test]
fn rfc8995_5_3_an_unknown_manufacturer_is_refused_and_only_seen() {
    let (maker, device, deny) = (required(), device(State::Claimed), deny());
    let shown = ShownManufacturer {
        anchor_der: b"an anchor",
        id: ManufacturerId([9; 16]),
        name: "CN=Stranger",
        masa_url: Some("https://masa.stranger.example"),
    };
    let facts = VoucherRequestFacts {
        manufacturer: None,
        shown: Some(shown),
        device: None,
        ..request(at(0), &maker, &device, &deny)
    };
    let outcome = voucher_request(&facts);
    assert_eq!(outcome.refusal(), Some(Refusal::UnknownManufacturer));
    let mut world = World::default();
    world.commit(&outcome.commit).unwrap();
    // No device, no voucher record: there is nothing a MASA could be asked with.
    assert!(world.devices.is_empty() && world.vouchers.is_empty());
    assert_eq!(world.sightings.len(), 1);
    let seen = &world.manufacturers[&shown.id];
    assert_eq!(seen.trust, ManufacturerTrust::Seen);
    assert!(seen.masa_anchors.is_empty());
    world.verify();
}

#[test]
fn strangers_cannot_make_the_store_grow_without_bound() {
    let (maker, device, deny) = (required(), device(State::Claimed), deny());
    for strangers in [
        Strangers {
            seen: true,
            remembered: 1,
        },
        Strangers {
            seen: false,
            remembered: MAX_STRANGERS,
        },
    ] {
        let facts = VoucherRequestFacts {
            device: None,
            strangers,
            ..request(at(0), &maker, &device, &deny)
        };
        let outcome = voucher_request(&facts);
        assert_eq!(outcome.refusal(), Some(Refusal::UnknownDevice));
        assert!(outcome.commit.is_empty());
    }
}

#[test]
fn rfc8995_5_4_no_word_goes_to_a_masa_that_is_not_trusted() {
    let (device, allow) = (device(State::Claimed), allow());
    for (trust, refusal) in [
        (ManufacturerTrust::Unknown, Refusal::UnknownManufacturer),
        (ManufacturerTrust::Seen, Refusal::ManufacturerNotTrusted),
        (ManufacturerTrust::PlainEst, Refusal::MasaNotTrusted),
        (ManufacturerTrust::Blocked, Refusal::ManufacturerBlocked),
    ] {
        let maker = maker(trust);
        refused(
            &voucher_request(&request(at(0), &maker, &device, &allow)),
            refusal,
        );
    }
    let mut maker = required();
    maker.masa_anchors.clear();
    refused(
        &voucher_request(&request(at(0), &maker, &device, &allow)),
        Refusal::MasaNotTrusted,
    );
}

#[test]
fn rfc8995_5_3_a_device_is_refused_in_every_state_but_three() {
    let (maker, allow) = (required(), allow());
    for (state, refusal) in [
        (State::Provisioned, Refusal::NotClaimed),
        (State::Transferred, Refusal::NotClaimed),
        (State::Quarantined, Refusal::DeviceQuarantined),
        (State::Released, Refusal::DeviceReleased),
        (State::Retired, Refusal::DeviceRetired),
    ] {
        let device = device(state);
        refused(
            &voucher_request(&request(at(0), &maker, &device, &allow)),
            refusal,
        );
    }
    let mut device = device(State::Claimed);
    device.owner = Some(OTHER);
    refused(
        &voucher_request(&request(at(0), &maker, &device, &allow)),
        Refusal::OtherOwner,
    );
}

#[test]
fn rfc8995_2_3_another_birth_key_is_refused() {
    let (maker, device, allow) = (required(), device(State::Claimed), allow());
    let facts = VoucherRequestFacts {
        idevid_spki_sha256: Digest::of(b"another key"),
        ..request(at(0), &maker, &device, &allow)
    };
    refused(&voucher_request(&facts), Refusal::IdevidKeyDiffers);
}

#[test]
fn what_policy_denies_is_refused_with_its_reasons_even_after_approval() {
    let (maker, device, deny) = (required(), device(State::Claimed), deny());
    let approved = record(VoucherStatus::Approved, at(0));
    for record in [None, Some(&approved)] {
        let facts = VoucherRequestFacts {
            record,
            ..request(at(1), &maker, &device, &deny)
        };
        let outcome = voucher_request(&facts);
        refused(&outcome, Refusal::PolicyDenied);
        assert_eq!(outcome.commit.entries[0].reasons[1].code, "too-old");
    }
}

#[test]
fn an_allowed_request_is_stored_before_it_is_forwarded() {
    let (maker, device, allow) = (required(), device(State::Claimed), allow());
    let outcome = voucher_request(&request(at(0), &maker, &device, &allow));
    let forward = accepted(&outcome);
    assert_eq!(forward.record.status, VoucherStatus::AwaitingMasa);
    assert_eq!(forward.device.state, State::Onboarding);
    assert_eq!(forward.device.segment.as_deref(), Some("lamps"));
    assert_eq!(
        actions(&outcome.commit),
        ["onboarding-started", "voucher-requested"]
    );
    insta::assert_snapshot!(pretty(&outcome.commit));
}

#[test]
fn a_reset_device_begins_again() {
    let (maker, device, allow) = (required(), device(State::Onboarded), allow());
    let outcome = voucher_request(&request(at(0), &maker, &device, &allow));
    assert_eq!(accepted(&outcome).device.state, State::Onboarding);
    assert_eq!(
        actions(&outcome.commit),
        ["onboarding-restarted", "voucher-requested"]
    );
}

#[test]
fn rfc8995_5_6_a_waiting_request_may_be_resent_for_four_days() {
    let (maker, device, wait) = (required(), device(State::Claimed), wait());
    let first = voucher_request(&request(at(0), &maker, &device, &wait));
    let Decision::Wait { retry_after, .. } = first.decision else {
        panic!("{first:?}")
    };
    assert_eq!(retry_after, MAX_RETRY_AFTER);
    assert_eq!(actions(&first.commit), ["approval-asked"]);

    let waiting = record(VoucherStatus::AwaitingApproval, at(0));
    let later = |now| {
        voucher_request(&VoucherRequestFacts {
            record: Some(&waiting),
            ..request(now, &maker, &device, &wait)
        })
    };
    let again = later(at(4 * DAY));
    assert!(matches!(again.decision, Decision::Wait { .. }));
    assert!(again.commit.is_empty());
    refused(&later(at(4 * DAY + 1)), Refusal::PendingTooLong);
}

#[test]
fn a_person_lets_a_waiting_request_pass_or_not() {
    let (maker, device, wait) = (required(), device(State::Claimed), wait());
    let (alice, waiting) = (person(), record(VoucherStatus::AwaitingApproval, at(0)));
    let facts = ApprovalFacts {
        now: at(10),
        actor: &alice,
        device: &device,
        record: Some(&waiting),
        segment: Some("guests"),
        comment: Some("seen it on my desk"),
    };
    let yes = approve(&facts);
    assert_eq!(actions(&yes.commit), ["approved"]);
    let approved = accepted(&yes);
    let forward = accepted(&voucher_request(&VoucherRequestFacts {
        record: Some(&approved),
        ..request(at(20), &maker, &device, &wait)
    }));
    assert_eq!(forward.record.segment.as_deref(), Some("guests"));

    let no = accepted(&deny_approval(&facts));
    let facts_again = VoucherRequestFacts {
        record: Some(&no),
        ..request(at(20), &maker, &device, &wait)
    };
    refused(&voucher_request(&facts_again), Refusal::ApprovalDenied);
    for settled in [None, Some(&approved), Some(&no)] {
        let facts = ApprovalFacts {
            record: settled,
            ..facts
        };
        refused(&approve(&facts), Refusal::NothingPending);
        refused(&deny_approval(&facts), Refusal::NothingPending);
    }
}

/// Released and claimed again, the device is a new one to whoever decides: a yes of the time before is none.
#[test]
fn what_was_approved_before_a_device_was_claimed_again_is_over() {
    let (maker, device, allow, wait) = (required(), device(State::Claimed), allow(), wait());
    for status in [
        VoucherStatus::AwaitingApproval,
        VoucherStatus::Approved,
        VoucherStatus::AwaitingMasa,
    ] {
        let asked = record(status, at(0));
        for (owned_since, verdict) in [(Some(at(5)), &wait), (None, &wait), (Some(at(5)), &allow)] {
            let outcome = voucher_request(&VoucherRequestFacts {
                record: Some(&asked),
                owned_since,
                ..request(at(10), &maker, &device, verdict)
            });
            refused(&outcome, Refusal::Replayed);
        }
    }
}

#[test]
fn the_same_request_gets_the_same_answer_inside_the_window_only() {
    let (maker, device, allow) = (required(), device(State::Onboarding), allow());
    let answered = record(VoucherStatus::Issued, at(0));
    let again = |now| {
        voucher_request(&VoucherRequestFacts {
            record: Some(&answered),
            ..request(now, &maker, &device, &allow)
        })
    };
    let replay = again(at(HOUR));
    let Decision::Replay(answer) = &replay.decision else {
        panic!("{replay:?}")
    };
    assert_eq!(answer.body, b"the voucher");
    assert!(replay.commit.is_empty());
    refused(&again(at(HOUR + 1)), Refusal::Replayed);
}

#[test]
fn rfc8995_5_2_a_nonce_is_good_for_one_request() {
    let (maker, device, allow) = (required(), device(State::Claimed), allow());
    let other = record(VoucherStatus::Issued, at(0));
    let facts = VoucherRequestFacts {
        request_sha256: Digest::of(b"request 2"),
        same_nonce: Some(&other),
        ..request(at(1), &maker, &device, &allow)
    };
    refused(&voucher_request(&facts), Refusal::NonceReused);
}

#[test]
fn a_settled_request_stays_settled() {
    let (maker, device, allow) = (required(), device(State::Claimed), allow());
    for (status, refusal) in [
        (VoucherStatus::Denied, Refusal::ApprovalDenied),
        (VoucherStatus::Refused, Refusal::MasaRefused),
        (VoucherStatus::Rejected, Refusal::VoucherRejected),
    ] {
        let settled = record(status, at(0));
        let facts = VoucherRequestFacts {
            record: Some(&settled),
            ..request(at(1), &maker, &device, &allow)
        };
        refused(&voucher_request(&facts), refusal);
    }
}

#[test]
fn after_a_crash_the_resent_request_goes_on() {
    let (maker, device, allow) = (required(), device(State::Onboarding), allow());
    let sent = record(VoucherStatus::AwaitingMasa, at(0));
    let outcome = voucher_request(&VoucherRequestFacts {
        record: Some(&sent),
        ..request(at(60), &maker, &device, &allow)
    });
    assert_eq!(accepted(&outcome).record.version, 2);
    assert_eq!(actions(&outcome.commit), ["voucher-requested"]);
}

#[test]
fn two_requests_with_one_nonce_that_race_are_one_too_many() {
    let (maker, device, allow) = (required(), device(State::Claimed), allow());
    let first = request(at(0), &maker, &device, &allow);
    let second = VoucherRequestFacts {
        request_sha256: Digest::of(b"request 2"),
        ..first
    };
    let mut world = World::default();
    world.devices.insert(device.id, device.clone());
    let (one, two) = (voucher_request(&first), voucher_request(&second));
    world.commit(&one.commit).unwrap();
    assert!(world.commit(&two.commit).is_err());
    assert_eq!(world.vouchers.len(), 1);
}

#[test]
fn rfc8995_5_6_a_voucher_arrives() {
    let (device, sent) = (
        device(State::Onboarding),
        record(VoucherStatus::AwaitingMasa, at(0)),
    );
    let outcome = voucher_answer_of(&device, &sent, None);
    let stored = accepted(&outcome);
    assert_eq!(stored.status, VoucherStatus::Issued);
    assert_eq!(stored.voucher.as_deref(), Some(b"the voucher".as_slice()));
    assert_eq!(actions(&outcome.commit), ["voucher-obtained"]);
    assert_eq!(
        voucher_answer_of(&device, &stored, None).refusal(),
        Some(Refusal::NothingPending)
    );
}

/// The segment a device was claimed for is its own unless the person who approves gives another.
#[test]
fn an_approval_without_a_segment_keeps_the_devices_own() {
    let (maker, wait) = (required(), wait());
    let mut claimed = device(State::Claimed);
    claimed.segment = Some("cellar".to_owned());
    for (given, expected) in [(None, "cellar"), (Some("attic"), "attic")] {
        let mut approved = record(VoucherStatus::Approved, at(0));
        approved.segment = given.map(str::to_owned);
        let sent = accepted(&voucher_request(&VoucherRequestFacts {
            record: Some(&approved),
            ..request(at(1), &maker, &claimed, &wait)
        }));
        assert_eq!(sent.device.segment.as_deref(), Some(expected));
    }
}

/// RFC 8995 §5.6: a voucher that arrives after its device was cut off or given up goes no further.
#[test]
fn rfc8995_5_6_a_voucher_for_a_device_that_is_no_longer_ours_is_not_handed_on() {
    let sent = record(VoucherStatus::AwaitingMasa, at(0));
    for (state, refusal) in [
        (State::Quarantined, Refusal::DeviceQuarantined),
        (State::Released, Refusal::DeviceReleased),
        (State::Retired, Refusal::DeviceRetired),
    ] {
        let outcome = voucher_answer_of(&device(state), &sent, None);
        assert_eq!(outcome.refusal(), Some(refusal));
        assert_eq!(actions(&outcome.commit), ["voucher-refused"]);
        assert!(matches!(
            &outcome.commit.changes[..],
            [Change::PutVoucher(record)] if record.status == VoucherStatus::Refused
                && record.voucher.is_none()
        ));
    }
    let mut sold = device(State::Claimed);
    sold.owner = Some(OTHER);
    let outcome = voucher_answer_of(&sold, &sent, None);
    assert_eq!(outcome.refusal(), Some(Refusal::OtherOwner));

    // Who decided on what was stored before the change finds out when it stores.
    let before = device(State::Onboarding);
    let outcome = voucher_answer_of(&before, &sent, None);
    let mut world = World::default();
    world.vouchers.insert(sent.id, sent.clone());
    world.devices.insert(before.id, before.clone());
    let released = release(&operate(at(0), &person(), &before, &[]));
    world.commit(&released.commit).unwrap();
    assert!(matches!(
        world.commit(&outcome.commit),
        Err(Guard::DeviceVersion { .. })
    ));
}

#[test]
fn rfc8995_5_6_a_masa_refuses() {
    let (device, sent) = (
        device(State::Onboarding),
        record(VoucherStatus::AwaitingMasa, at(0)),
    );
    let outcome = voucher_answer_of(
        &device,
        &sent,
        Some(MasaAnswer::Refused {
            status: 403,
            explanation: "another owner",
        }),
    );
    assert_eq!(outcome.refusal(), Some(Refusal::MasaRefused));
    assert_eq!(actions(&outcome.commit), ["voucher-refused"]);
    assert_eq!(outcome.commit.entries[0].reasons[1].text, "another owner");
    let mut world = World::default();
    world.devices.insert(device.id, device.clone());
    world.vouchers.insert(sent.id, sent.clone());
    world.commit(&outcome.commit).unwrap();
    assert_eq!(world.devices[&device.id].state, State::Claimed);
    assert_eq!(world.vouchers[&sent.id].status, VoucherStatus::Refused);
}

#[test]
fn rfc8995_5_8_3_an_audit_log_the_owner_does_not_accept_refuses() {
    let (device, sent) = (
        device(State::Onboarding),
        record(VoucherStatus::AwaitingMasa, at(0)),
    );
    let reasons = [Reason::new(
        "other-domain",
        "Another domain had it.",
        "owner policy",
    )];
    let outcome = voucher_answer_of(
        &device,
        &sent,
        Some(MasaAnswer::AuditLog {
            reasons: &reasons,
            log_sha256: Digest::of(b"log"),
        }),
    );
    assert_eq!(outcome.refusal(), Some(Refusal::AuditLogUnacceptable));
    assert_eq!(outcome.commit.entries[0].actor.kind, ActorKind::Policy);
}

#[test]
fn rfc8995_5_7_the_device_reports() {
    let device = device(State::Onboarding);
    let issued = record(VoucherStatus::Issued, at(0));
    let report = |record, accepted| {
        voucher_status(&VoucherStatusFacts {
            now: at(5),
            device: &device,
            record,
            accepted,
            reason: Some("pin does not match"),
            message_sha256: Digest::of(b"status"),
        })
    };
    assert_eq!(
        actions(&report(Some(&issued), true).commit),
        ["voucher-accepted"]
    );
    let rejected = report(Some(&issued), false);
    assert_eq!(actions(&rejected.commit), ["voucher-rejected"]);
    assert_eq!(
        rejected.commit.entries[0].reasons[0].text,
        "pin does not match"
    );
    let done = record(VoucherStatus::Accepted, at(0));
    assert!(report(Some(&done), true).commit.is_empty());
    refused(&report(None, true), Refusal::NothingPending);
}

fn voucher_answer_of(
    device: &Device,
    sent: &VoucherRecord,
    other: Option<MasaAnswer<'_>>,
) -> Outcome<VoucherRecord> {
    let facts = crate::world::voucher_answer_facts(at(1), device, sent);
    vouchsafe_fleet::decide::voucher_answer(&VoucherAnswerFacts {
        answer: other.unwrap_or(facts.answer),
        ..facts
    })
}
