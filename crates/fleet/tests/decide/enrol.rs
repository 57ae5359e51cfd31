//! RFC 7030 §4.2 and RFC 8995 §5.9.

use jiff::SignedDuration;
use vouchsafe_fleet::commit::Change;
use vouchsafe_fleet::credential::MAX_HELD;
use vouchsafe_fleet::decide::*;
use vouchsafe_fleet::*;

use crate::world::*;

fn required() -> Manufacturer {
    maker(ManufacturerTrust::VoucherRequired)
}

#[test]
fn rfc8995_5_9_no_credential_without_a_voucher() {
    let (maker, allow) = (required(), allow());
    let device_onboarding = device(State::Onboarding);
    refused(
        &enrol(&enrol_facts(at(0), &maker, &device(State::Claimed), &allow)),
        Refusal::NoVoucherYet,
    );
    let facts = enrol_facts(at(0), &maker, &device_onboarding, &allow);
    refused(&enrol(&facts), Refusal::NoVoucherYet);
    for status in VoucherStatus::ALL {
        let voucher = record(*status, at(0));
        let outcome = enrol(&EnrolFacts {
            voucher: Some(&voucher),
            ..facts
        });
        match status {
            VoucherStatus::Issued | VoucherStatus::Accepted => {
                accepted(&outcome);
                assert!(outcome.commit.is_empty());
            }
            VoucherStatus::Rejected => refused(&outcome, Refusal::VoucherRejected),
            _ => refused(&outcome, Refusal::NoVoucherYet),
        }
    }
}

#[test]
fn a_plain_est_manufacturer_needs_none_but_policy_is_asked() {
    let (maker, device) = (maker(ManufacturerTrust::PlainEst), device(State::Claimed));
    let (allow, wait, deny) = (allow(), wait(), deny());
    let permit = accepted(&enrol(&enrol_facts(at(0), &maker, &device, &allow)));
    let outcome = permit.issue(issued(1, at(0)));
    assert_eq!(
        actions(&outcome.commit),
        ["onboarding-started", "credential-issued"]
    );
    let waiting = enrol(&enrol_facts(at(0), &maker, &device, &wait));
    assert!(matches!(waiting.decision, Decision::Wait { .. }));
    assert_eq!(actions(&waiting.commit), ["approval-asked"]);
    refused(
        &enrol(&enrol_facts(at(0), &maker, &device, &deny)),
        Refusal::PolicyDenied,
    );
}

/// Asked once for each wish, answered once, good for one certificate.
#[test]
fn without_a_voucher_a_person_is_asked_where_policy_says_so() {
    let (maker, here, wait) = (
        maker(ManufacturerTrust::PlainEst),
        device(State::Claimed),
        wait(),
    );
    let mut world = World::with(&maker);
    world.devices.insert(here.id, here.clone());
    let facts = EnrolFacts {
        owned_since: Some(at(0)),
        ..enrol_facts(at(0), &maker, &here, &wait)
    };
    let (id, _) = approval_id(WishKind::Certificate, here.id, facts.identity.key());
    world.commit(&enrol(&facts).commit).unwrap();
    let asked = world.vouchers[&id].clone();
    let again = enrol(&EnrolFacts {
        approval: Some(&asked),
        ..facts
    });
    assert!(matches!(again.decision, Decision::Wait { .. }));
    assert!(again.commit.is_empty());

    let alice = person();
    let answer = |record, segment| ApprovalFacts {
        now: at(60),
        actor: &alice,
        device: &here,
        record: Some(record),
        segment,
        comment: None,
    };
    let no = match deny_approval(&answer(&asked, None)).decision {
        Decision::Accept(record) => record,
        other => panic!("{other:?}"),
    };
    let denied = EnrolFacts {
        now: at(70),
        approval: Some(&no),
        ..facts
    };
    refused(&enrol(&denied), Refusal::ApprovalDenied);

    let yes = accepted(&approve(&answer(&asked, Some("office"))));
    for (stale, why) in [
        (
            at(60) + PENDING_WINDOW + SignedDuration::from_secs(1),
            "too long ago",
        ),
        (at(70), "before it was released and claimed again"),
    ] {
        let outcome = enrol(&EnrolFacts {
            now: stale,
            approval: Some(&yes),
            owned_since: (stale > at(70)).then(|| at(0)).or(Some(at(65))),
            ..facts
        });
        assert!(matches!(outcome.decision, Decision::Wait { .. }), "{why}");
    }
    let answered = approve(&answer(&asked, Some("office"))).commit;
    assert_eq!(
        answered.entries[0].evidence[0].kind,
        "wish-for-a-certificate"
    );
    world.commit(&answered).unwrap();
    let permit = accepted(&enrol(&EnrolFacts {
        now: at(70),
        approval: Some(&yes),
        ..facts
    }));
    assert_eq!(permit.segment(), Some("office"));
    world
        .commit(&permit.issue(issued(1, at(70))).commit)
        .unwrap();
    assert_eq!(world.vouchers[&id].status, VoucherStatus::Used);
}

/// RFC 7030 §4.2.2: what policy lets wait is not renewed, and the credential stays what it is.
#[test]
fn a_renewal_waits_where_policy_says_so() {
    let (maker, here, wait) = (required(), device(State::Onboarded), wait());
    let present = credential(1, at(0));
    let facts = EnrolFacts {
        identity: EnrolIdentity::Credential(&present),
        held: std::slice::from_ref(&present),
        owned_since: Some(at(0)),
        ..enrol_facts(at(10), &maker, &here, &wait)
    };
    let waiting = enrol(&facts);
    assert!(matches!(waiting.decision, Decision::Wait { .. }));
    assert_eq!(actions(&waiting.commit), ["approval-asked"]);
    let [Change::PutVoucher(record)] = waiting.commit.changes.as_slice() else {
        panic!("{:?}", waiting.commit);
    };
    let (id, _) = approval_id(WishKind::Certificate, here.id, present.spki_sha256);
    assert_eq!(record.id, id);
    // A yes to being configured, or to another key, is none to this.
    assert_ne!(
        id,
        approval_id(WishKind::Configuration, here.id, present.spki_sha256).0
    );
    assert_ne!(
        id,
        approval_id(WishKind::Certificate, here.id, birth_key()).0
    );
}

#[test]
fn a_blocked_manufacturer_gets_no_credentials() {
    let maker = maker(ManufacturerTrust::Blocked);
    let (device, allow) = (device(State::Onboarding), allow());
    refused(
        &enrol(&enrol_facts(at(0), &maker, &device, &allow)),
        Refusal::ManufacturerBlocked,
    );
}

#[test]
fn a_key_belongs_to_one_device() {
    let (maker, device, allow) = (required(), device(State::Onboarding), allow());
    let voucher = record(VoucherStatus::Accepted, at(0));
    let facts = EnrolFacts {
        voucher: Some(&voucher),
        key_holder: Some(DeviceId([9; 16])),
        ..enrol_facts(at(0), &maker, &device, &allow)
    };
    refused(&enrol(&facts), Refusal::KeyOfAnotherDevice);
    // The guard says the same to whoever was a moment too late.
    let permit = accepted(&enrol(&EnrolFacts {
        key_holder: None,
        ..facts
    }));
    let outcome = permit.issue(issued(1, at(0)));
    let mut world = World::with(&maker);
    world.devices.insert(device.id, device.clone());
    let mut thief = credential(7, at(0));
    thief.device = DeviceId([9; 16]);
    thief.spki_sha256 = facts.key_spki_sha256;
    world.credentials.insert(thief.id.clone(), thief);
    assert!(matches!(
        world.commit(&outcome.commit),
        Err(Guard::KeyUnused { .. })
    ));
}

/// Of a renewal and a revocation that race, the later one sees the earlier: no credential follows
/// from a revoked one, none stops being revoked, and none is overlooked.
#[test]
fn a_renewal_and_a_revocation_that_race_see_each_other() {
    let (maker, device, allow, alice) = (required(), device(State::Onboarded), allow(), person());
    let present = credential(7, at(0));
    let active = [present.clone()];
    let facts = EnrolFacts {
        identity: EnrolIdentity::Credential(&present),
        held: &active,
        ..enrol_facts(at(1), &maker, &device, &allow)
    };
    let mut world = World::with(&maker);
    world.devices.insert(device.id, device.clone());
    world
        .credentials
        .insert(present.id.clone(), present.clone());
    let renewal = || accepted(&enrol(&facts)).issue(issued(8, at(1)));
    let further = || {
        let facts = EnrolFacts { held: &[], ..facts };
        accepted(&enrol(&facts)).issue(issued(8, at(1)))
    };
    let revocation = revoke(
        &operate(at(1), &alice, &device, &active),
        &present,
        RevocationReason::KeyCompromise,
    );

    world.commit(&revocation.commit).unwrap();
    // Also one that would replace nothing: what it rests on is gone.
    for late in [renewal(), further()] {
        assert!(matches!(
            world.commit(&late.commit),
            Err(Guard::DeviceVersion { .. })
        ));
    }
    assert!(matches!(
        world.credentials[&present.id].status,
        CredentialStatus::Revoked { .. }
    ));

    world
        .credentials
        .insert(present.id.clone(), present.clone());
    world.devices.insert(device.id, device.clone());
    world.commit(&renewal().commit).unwrap();
    assert!(matches!(
        world.commit(&revocation.commit),
        Err(Guard::DeviceVersion { .. })
    ));
}

/// Blocked elsewhere a moment ago, of which whoever decides knows nothing yet.
#[test]
fn nothing_is_issued_on_what_a_manufacturer_was_before() {
    let (maker, device, allow) = (required(), device(State::Onboarded), allow());
    let present = credential(7, at(0));
    let facts = EnrolFacts {
        identity: EnrolIdentity::Credential(&present),
        ..enrol_facts(at(1), &maker, &device, &allow)
    };
    let permit = accepted(&enrol(&facts)).issue(issued(8, at(1)));
    let mut world = World::with(&Manufacturer {
        trust: ManufacturerTrust::Blocked,
        version: maker.version + 1,
        ..maker.clone()
    });
    world.devices.insert(device.id, device.clone());
    assert_eq!(
        world.commit(&permit.commit),
        Err(Guard::ManufacturerVersion {
            id: maker.id,
            expected: maker.version
        })
    );
}

/// A credential that was replaced gets a successor only while the one that replaced it counts:
/// who revokes the newer one does not mean to bring back the older.
#[test]
fn a_superseded_credential_gets_nothing_after_its_successor_was_revoked() {
    let (maker, device, allow) = (required(), device(State::Onboarded), allow());
    let mut old = credential(1, at(0));
    old.status = CredentialStatus::Superseded;
    let ask = |held: &[Credential]| {
        enrol(&EnrolFacts {
            identity: EnrolIdentity::Credential(&old),
            held,
            ..enrol_facts(at(1), &maker, &device, &allow)
        })
    };
    accepted(&ask(&[credential(2, at(0))]));
    refused(&ask(&[]), Refusal::CredentialSuperseded);
}

/// What nobody can list nobody can revoke. A request that was answered still gets its answer.
#[test]
fn a_device_holds_no_more_certificates_than_can_be_revoked() {
    let (maker, device, allow) = (required(), device(State::Onboarded), allow());
    let present = credential(1, at(0));
    let mut held: Vec<Credential> = (0..MAX_HELD)
        .map(|number| credential(u8::try_from(number).unwrap(), at(0)))
        .collect();
    let ask = |held: &[Credential], answered| {
        enrol(&EnrolFacts {
            identity: EnrolIdentity::Credential(&present),
            held,
            answered,
            ..enrol_facts(at(1), &maker, &device, &allow)
        })
    };
    refused(&ask(&held, None), Refusal::TooManyCredentials);
    let again = ask(&held, Some(&present));
    assert!(matches!(again.decision, Decision::Replay(_)));
    held.pop();
    accepted(&ask(&held, None));
}

#[test]
fn the_same_request_is_certified_once() {
    let (maker, device, allow) = (required(), device(State::Onboarded), allow());
    let done = credential(1, at(0));
    let again = |now| {
        enrol(&EnrolFacts {
            answered: Some(&done),
            ..enrol_facts(now, &maker, &device, &allow)
        })
    };
    let Decision::Replay(answer) = again(at(HOUR)).decision else {
        panic!()
    };
    assert_eq!(answer.body, done.certificate_der);
    refused(&again(at(HOUR + 1)), Refusal::Replayed);
    let mut revoked = done.clone();
    revoked.status = CredentialStatus::Revoked {
        reason: RevocationReason::KeyCompromise,
        at: at(1),
    };
    let facts = EnrolFacts {
        answered: Some(&revoked),
        ..enrol_facts(at(2), &maker, &device, &allow)
    };
    refused(&enrol(&facts), Refusal::CredentialRevoked);
}

#[test]
fn two_answers_to_one_request_that_race_are_one_too_many() {
    let (maker, device, allow) = (required(), device(State::Onboarding), allow());
    let voucher = record(VoucherStatus::Accepted, at(0));
    let facts = EnrolFacts {
        voucher: Some(&voucher),
        ..enrol_facts(at(0), &maker, &device, &allow)
    };
    let one = accepted(&enrol(&facts)).issue(issued(1, at(0)));
    let two = accepted(&enrol(&facts)).issue(issued(2, at(0)));
    let mut world = World::with(&maker);
    world.devices.insert(device.id, device.clone());
    world.commit(&one.commit).unwrap();
    assert!(world.commit(&two.commit).is_err());
    assert_eq!(world.credentials.len(), 1);
}

#[test]
fn rfc7030_4_2_2_renewal_supersedes() {
    let (maker, device, allow) = (required(), device(State::Onboarded), allow());
    let old = credential(1, at(0));
    let active = [old.clone()];
    let facts = EnrolFacts {
        identity: EnrolIdentity::Credential(&old),
        held: &active,
        ..enrol_facts(at(60 * DAY), &maker, &device, &allow)
    };
    let outcome = accepted(&enrol(&facts)).issue(issued(2, at(60 * DAY)));
    assert_eq!(actions(&outcome.commit), ["credential-renewed"]);
    assert!(
        outcome
            .commit
            .changes
            .contains(&Change::SetCredentialStatus {
                id: old.id.clone(),
                status: CredentialStatus::Superseded,
            })
    );
    insta::assert_snapshot!(pretty(&outcome.commit));
}

#[test]
fn a_credential_that_does_not_count_renews_nothing() {
    let (maker, device, allow) = (required(), device(State::Onboarded), allow());
    let good = credential(1, at(0));
    let mut successor = credential(2, at(DAY));
    successor.confirmed_at = Some(at(DAY));
    let active = [successor];
    let try_with = |credential: &Credential, now| {
        enrol(&EnrolFacts {
            identity: EnrolIdentity::Credential(credential),
            held: &active,
            ..enrol_facts(now, &maker, &device, &allow)
        })
    };
    let mut revoked = good.clone();
    revoked.status = CredentialStatus::Revoked {
        reason: RevocationReason::KeyCompromise,
        at: at(1),
    };
    refused(&try_with(&revoked, at(2)), Refusal::CredentialRevoked);
    let mut superseded = good.clone();
    superseded.status = CredentialStatus::Superseded;
    refused(&try_with(&superseded, at(2)), Refusal::CredentialSuperseded);
    refused(&try_with(&good, at(90 * DAY)), Refusal::CredentialExpired);
    let mut foreign = good;
    foreign.device = DeviceId([9; 16]);
    refused(&try_with(&foreign, at(2)), Refusal::CredentialOfAnother);
}

#[test]
fn an_old_credential_counts_until_its_successor_works() {
    let (maker, device, allow) = (required(), device(State::Onboarded), allow());
    let mut old = credential(1, at(0));
    old.status = CredentialStatus::Superseded;
    let unconfirmed = [credential(2, at(DAY))];
    accepted(&enrol(&EnrolFacts {
        identity: EnrolIdentity::Credential(&old),
        held: &unconfirmed,
        ..enrol_facts(at(DAY + 1), &maker, &device, &allow)
    }));
}

#[test]
fn the_birth_certificate_renews_only_where_policy_lets_it() {
    let (maker, device, allow) = (required(), device(State::Onboarded), allow());
    let facts = enrol_facts(at(0), &maker, &device, &allow);
    refused(&enrol(&facts), Refusal::IdevidReenrolForbidden);
    let permit = accepted(&enrol(&EnrolFacts {
        idevid_reenrol: true,
        ..facts
    }));
    let outcome = permit.issue(issued(2, at(0)));
    assert_eq!(
        outcome.commit.entries[0].data["proved-by"],
        "birth-certificate"
    );
}

#[test]
fn a_device_that_is_cut_off_or_gone_enrols_nothing() {
    let (maker, allow) = (required(), allow());
    let old = credential(1, at(0));
    for (state, refusal) in [
        (State::Quarantined, Refusal::DeviceQuarantined),
        (State::Released, Refusal::DeviceReleased),
        (State::Retired, Refusal::DeviceRetired),
    ] {
        let device = device(state);
        let facts = enrol_facts(at(0), &maker, &device, &allow);
        refused(&enrol(&facts), refusal);
        let facts = EnrolFacts {
            identity: EnrolIdentity::Credential(&old),
            ..facts
        };
        refused(&enrol(&facts), refusal);
    }
}

#[test]
fn rfc8995_5_9_4_a_success_counts_when_the_credential_proves_it() {
    let device = device(State::Onboarded);
    let new = credential(1, at(0));
    let report_at = |now, shown, success| {
        enrol_status(&EnrolStatusFacts {
            now,
            device: &device,
            shown,
            success,
            reason: Some("clock"),
            message_sha256: Digest::of(b"status"),
        })
    };
    let report = |shown, success| report_at(at(5), shown, success);
    let proved = report(Some(&new), true);
    assert!(matches!(
        proved.commit.changes[..],
        [Change::ConfirmCredential { .. }]
    ));
    let unproved = report(None, true);
    assert!(unproved.commit.changes.is_empty());
    assert_eq!(
        unproved.commit.entries[0].data["client-certificate"],
        "not-matched"
    );
    let failed = report(None, false);
    assert_eq!(actions(&failed.commit), ["enrolment-failed"]);
    let mut confirmed = new.clone();
    confirmed.confirmed_at = Some(at(1));
    assert!(report(Some(&confirmed), true).commit.is_empty());

    // One that was replaced brings no news, but may say that its successor does not work.
    let mut replaced = new.clone();
    replaced.status = CredentialStatus::Superseded;
    assert!(report(Some(&replaced), true).commit.is_empty());
    let failed = report(Some(&replaced), false);
    assert_eq!(actions(&failed.commit), ["enrolment-failed"]);
    let mut revoked = new.clone();
    revoked.status = CredentialStatus::Revoked {
        at: at(2),
        reason: RevocationReason::KeyCompromise,
    };
    for success in [true, false] {
        refused(&report(Some(&revoked), success), Refusal::CredentialRevoked);
        let late = report_at(new.not_after, Some(&new), success);
        refused(&late, Refusal::CredentialExpired);
    }
}
