//! RFC 8995 §5.5–§5.8 at the MASA.

use vouchsafe_fleet::audit::MAX_AUDIT_EVENTS;
use vouchsafe_fleet::decide::*;
use vouchsafe_fleet::*;

use crate::world::*;

fn voucher() -> IssuedVoucher {
    IssuedVoucher {
        body: b"the voucher".to_vec(),
        media_type: "application/voucher-cms+json".to_owned(),
        expires_on: None,
    }
}

#[test]
fn rfc8995_5_5_3_a_revoked_registrar_is_refused_first() {
    let device = device(State::Transferred);
    let requester = Requester {
        revoked: true,
        ..requester(OWNER)
    };
    for policy in OwnershipPolicy::ALL {
        let facts = MasaVoucherFacts {
            device: None,
            ..masa_facts(at(0), *policy, &device, requester)
        };
        refused(&masa_voucher(&facts), Refusal::RegistrarRevoked);
    }
}

#[test]
fn rfc8995_5_5_4_an_unknown_device_and_a_blocked_owner_are_refused() {
    let device = device(State::Transferred);
    let facts = MasaVoucherFacts {
        device: None,
        ..masa_facts(at(0), OwnershipPolicy::AuditOnly, &device, requester(OWNER))
    };
    refused(&masa_voucher(&facts), Refusal::UnknownDevice);
    let mut blocked = owner(OWNER);
    blocked.blocked = Some("fraud".to_owned());
    let requester = Requester {
        known: Some(&blocked),
        ..requester(OWNER)
    };
    refused(
        &masa_voucher(&masa_facts(
            at(0),
            OwnershipPolicy::AuditOnly,
            &device,
            requester,
        )),
        Refusal::OwnerBlocked,
    );
}

/// RFC 8995 §5.8: the log is read by owners that are served, and by nobody who never was one.
#[test]
fn rfc8995_5_8_a_blocked_owner_reads_no_audit_log() {
    let device = device(State::Transferred);
    let mut blocked = owner(OWNER);
    blocked.blocked = Some("fraud".to_owned());
    let ownerships = [ownership(OWNER, Some(at(0)))];
    let read = |known| {
        audit_log_read(&AuditLogFacts {
            now: at(1),
            requester: Requester {
                known,
                ..requester(OWNER)
            },
            device: Some(&device),
            ownerships: &ownerships,
            request_sha256: Digest::of(b"registrar request 1"),
        })
    };
    accepted(&read(None));
    refused(&read(Some(&blocked)), Refusal::OwnerBlocked);
}

#[test]
fn a_device_that_is_retired_while_its_voucher_is_signed_gets_none() {
    let (alice, before) = (person(), device(State::Transferred));
    let facts = masa_facts(at(0), OwnershipPolicy::AuditOnly, &before, requester(OWNER));
    let signed = accepted(&masa_voucher(&facts)).issue(voucher());
    let mut world = World::default();
    world.devices.insert(before.id, before.clone());
    let retired = retire(&operate(at(0), &alice, &before, &[]));
    world.commit(&retired.commit).unwrap();
    assert!(matches!(
        world.commit(&signed.commit),
        Err(Guard::DeviceVersion { .. })
    ));
}

#[test]
fn a_retired_device_gets_no_voucher() {
    let device = device(State::Retired);
    refused(
        &masa_voucher(&masa_facts(
            at(0),
            OwnershipPolicy::AuditOnly,
            &device,
            requester(OWNER),
        )),
        Refusal::DeviceRetired,
    );
}

/// RFC 8995 §5.5.4: who knows a serial number and never had the device does not become its owner,
/// not even a customer who may otherwise get vouchers without nonce.
#[test]
fn rfc8995_5_5_4_the_first_who_comes_brings_the_device() {
    let device = device(State::Provisioned);
    let customer = owner(OWNER);
    let requester = Requester {
        known: Some(&customer),
        ..requester(OWNER)
    };
    let facts = MasaVoucherFacts {
        nonceless_allowed: true,
        prior_request_required: false,
        prior_request: false,
        proximity: false,
        nonce: None,
        ..masa_facts(at(0), OwnershipPolicy::FirstCome, &device, requester)
    };
    refused(&masa_voucher(&facts), Refusal::PriorRequestMissing);
    let owned = ownership(OWNER, None);
    accepted(&masa_voucher(&MasaVoucherFacts {
        current: Some(&owned),
        ..facts
    }));
}

#[test]
fn the_verified_policy_gives_to_the_buyer_alone() {
    let device = device(State::Transferred);
    let (buyer, other) = (owner(OWNER), owner(OTHER));
    let owned = ownership(OWNER, None);
    let ask = |owner: Option<&Owner>, id, current| {
        let requester = Requester {
            known: owner,
            ..requester(id)
        };
        masa_voucher(&MasaVoucherFacts {
            current,
            ..masa_facts(at(0), OwnershipPolicy::Verified, &device, requester)
        })
    };
    accepted(&ask(Some(&buyer), OWNER, Some(&owned)));
    refused(&ask(Some(&other), OTHER, Some(&owned)), Refusal::OtherOwner);
    refused(&ask(Some(&other), OTHER, None), Refusal::NotSold);
    refused(&ask(None, OTHER, None), Refusal::OwnerUnknown);
}

#[test]
fn two_registrars_race_under_first_come_and_the_loser_learns_why() {
    let device = device(State::Provisioned);
    let mut world = World::default();
    world.devices.insert(device.id, device.clone());
    let facts = |id: OwnerId| MasaVoucherFacts {
        nonce: Some(if id == OWNER {
            ("nonce-1", "nonce-1")
        } else {
            ("nonce-2", "nonce-2")
        }),
        request_sha256: Digest::of(id.as_bytes()),
        ..masa_facts(at(0), OwnershipPolicy::FirstCome, &device, requester(id))
    };
    let one = accepted(&masa_voucher(&facts(OWNER))).issue(voucher());
    let two = accepted(&masa_voucher(&facts(OTHER))).issue(voucher());
    assert_eq!(actions(&one.commit), ["sold", "voucher-issued"]);
    world.commit(&one.commit).unwrap();
    assert!(world.commit(&two.commit).is_err());
    assert_eq!(world.audit.len(), 1);

    let (device, current) = (world.devices[&device.id].clone(), world.current(device.id));
    let again = masa_voucher(&MasaVoucherFacts {
        device: Some(&device),
        current: current.as_ref(),
        ..facts(OTHER)
    });
    refused(&again, Refusal::OtherOwner);
    world.verify();
}

#[test]
fn the_audit_only_policy_gives_to_anybody_and_remembers_each_once() {
    let device = device(State::Provisioned);
    let ask = |owned_once| {
        let facts = MasaVoucherFacts {
            owned_once,
            ..masa_facts(at(0), OwnershipPolicy::AuditOnly, &device, requester(OTHER))
        };
        accepted(&masa_voucher(&facts)).issue(voucher()).commit
    };
    let remembered = |commit: &Commit| {
        commit
            .changes
            .iter()
            .any(|it| matches!(it, Change::PutOwnership(_)))
    };
    assert!(remembered(&ask(false)));
    assert!(!remembered(&ask(true)));
    insta::assert_snapshot!(pretty(&ask(false)));
}

#[test]
fn rfc8995_5_5_5_only_a_proved_proximity_is_asserted() {
    let device = device(State::Transferred);
    let owned = ownership(OWNER, None);
    let assertion = |policy, proximity| {
        let facts = MasaVoucherFacts {
            proximity,
            current: Some(&owned),
            ..masa_facts(at(0), policy, &device, requester(OWNER))
        };
        accepted(&masa_voucher(&facts)).assertion()
    };
    assert_eq!(assertion(OwnershipPolicy::Verified, true), "proximity");
    assert_eq!(assertion(OwnershipPolicy::Verified, false), "verified");
    assert_eq!(assertion(OwnershipPolicy::FirstCome, false), "logged");
    assert_eq!(assertion(OwnershipPolicy::AuditOnly, false), "logged");
}

#[test]
fn rfc8995_5_5_5_the_devices_own_request_must_be_there() {
    let device = device(State::Provisioned);
    let facts = MasaVoucherFacts {
        prior_request: false,
        ..masa_facts(at(0), OwnershipPolicy::AuditOnly, &device, requester(OWNER))
    };
    refused(&masa_voucher(&facts), Refusal::PriorRequestMissing);
}

#[test]
fn rfc8995_5_5_1_nonceless_is_for_known_owners_where_it_is_allowed() {
    let (device, buyer) = (device(State::Provisioned), owner(OWNER));
    for (allowed, known, ok) in [
        (false, None, false),
        (false, Some(&buyer), false),
        (true, None, false),
        (true, Some(&buyer), true),
    ] {
        let requester = Requester {
            known,
            ..requester(OWNER)
        };
        let outcome = masa_voucher(&MasaVoucherFacts {
            nonce: None,
            nonceless_allowed: allowed,
            ..masa_facts(at(0), OwnershipPolicy::AuditOnly, &device, requester)
        });
        if ok {
            accepted(&outcome);
        } else {
            refused(&outcome, Refusal::NoncelessForbidden);
        }
    }
}

#[test]
fn a_request_is_answered_once_and_a_nonce_used_once() {
    let device = device(State::Transferred);
    let facts = masa_facts(at(0), OwnershipPolicy::AuditOnly, &device, requester(OWNER));
    let stored = accepted(&accepted(&masa_voucher(&facts)).issue(voucher()));
    let again = |now| {
        masa_voucher(&MasaVoucherFacts {
            now,
            record: Some(&stored),
            ..facts
        })
    };
    let Decision::Replay(answer) = again(at(HOUR)).decision else {
        panic!()
    };
    assert_eq!(answer.body, b"the voucher");
    refused(&again(at(HOUR + 1)), Refusal::Replayed);
    let other = MasaVoucherFacts {
        same_nonce: Some(&stored),
        request_sha256: Digest::of(b"another"),
        ..facts
    };
    refused(&masa_voucher(&other), Refusal::NonceReused);
}

#[test]
fn a_stored_answer_is_not_given_to_a_former_owner() {
    let device = device(State::Transferred);
    let stored = record(VoucherStatus::Issued, at(0));
    let now_others = ownership(OTHER, None);
    let facts = MasaVoucherFacts {
        record: Some(&stored),
        current: Some(&now_others),
        ..masa_facts(at(1), OwnershipPolicy::Verified, &device, requester(OWNER))
    };
    refused(&masa_voucher(&facts), Refusal::OtherOwner);
}

#[test]
fn rfc8995_5_8_1_a_full_log_drops_what_tells_least() {
    let device = device(State::Provisioned);
    let event = |number: usize, domain: &str, nonce: bool| AuditEvent {
        device: device.id,
        at: at(number as i64),
        domain_id: domain.to_owned(),
        nonce: nonce.then(|| format!("n{number}")),
        assertion: "logged".to_owned(),
        truncated: 0,
    };
    let mut log: Vec<_> = (0..MAX_AUDIT_EVENTS)
        .map(|number| event(number, &format!("domain {number}"), true))
        .collect();
    let dropped = |log: &[AuditEvent]| {
        let facts = MasaVoucherFacts {
            audit: log,
            ..masa_facts(
                at(5000),
                OwnershipPolicy::AuditOnly,
                &device,
                requester(OWNER),
            )
        };
        let commit = accepted(&masa_voucher(&facts)).issue(voucher()).commit;
        commit.changes.into_iter().find_map(|change| match change {
            Change::TruncateAudit { drop, counters, .. } => Some((drop[0].clone(), counters)),
            _ => None,
        })
    };
    assert_eq!(dropped(&log[1..]), None);
    let (oldest, counters) = dropped(&log).unwrap();
    assert_eq!((oldest, counters.arbitrary), (log[0].clone(), 1));
    log[700] = event(700, "domain 800", true);
    let (twin, counters) = dropped(&log).unwrap();
    assert_eq!((twin, counters.nonced_duplicates), (log[700].clone(), 1));
    // A nonceless event is no duplicate of a nonced one.
    log[700] = event(700, "domain 800", false);
    assert_eq!(dropped(&log).unwrap().1.arbitrary, 1);
}

#[test]
fn rfc8995_5_8_present_and_former_owners_read_the_log() {
    let device = device(State::Transferred);
    let history = [ownership(OTHER, Some(at(1))), ownership(OWNER, None)];
    let read = |id, revoked, device| {
        audit_log_read(&AuditLogFacts {
            now: at(2),
            requester: Requester {
                revoked,
                ..requester(id)
            },
            device,
            ownerships: &history,
            request_sha256: Digest::of(b"audit request"),
        })
    };
    for id in [OWNER, OTHER] {
        let outcome = read(id, false, Some(&device));
        assert_eq!(actions(&outcome.commit), ["audit-log-read"]);
    }
    let never = OwnerId([0xcc; 16]);
    refused(&read(never, false, Some(&device)), Refusal::NeverOwner);
    refused(&read(OWNER, true, Some(&device)), Refusal::RegistrarRevoked);
    refused(&read(OWNER, false, None), Refusal::UnknownDevice);
}
