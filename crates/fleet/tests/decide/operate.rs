//! Quarantine, release, retirement, revocation.

use vouchsafe_fleet::decide::*;
use vouchsafe_fleet::*;

use crate::world::*;

#[test]
fn quarantine_keeps_the_credential_and_restore_undoes_it() {
    let (alice, device) = (person(), device(State::Onboarded));
    let credentials = [credential(1, at(0))];
    let outcome = quarantine(&operate(at(1), &alice, &device, &credentials));
    let cut_off = accepted(&outcome);
    assert_eq!(cut_off.state, State::Quarantined);
    assert_eq!(outcome.commit.changes.len(), 1);
    let restored = accepted(&restore(&operate(at(2), &alice, &cut_off, &credentials)));
    assert_eq!(restored.state, State::Onboarded);
    let bare = accepted(&restore(&operate(at(2), &alice, &cut_off, &[])));
    assert_eq!(bare.state, State::Claimed);
    refused(
        &restore(&operate(at(2), &alice, &device, &credentials)),
        Refusal::WrongState,
    );
}

#[test]
fn a_person_takes_over_what_policy_cut_off_and_policy_takes_over_nothing() {
    let device = device(State::Quarantined);
    let alice = person();
    let outcome = quarantine(&operate(at(1), &alice, &device, &[]));
    assert_eq!(accepted(&outcome).state, State::Quarantined);
    let newest = outcome.commit.entries.last().unwrap();
    assert_eq!(cut_off_by(newest), Some(ActorKind::Person));
    let policy = Actor::new(ActorKind::Policy, "p");
    refused(
        &quarantine(&operate(at(2), &policy, &device, &[])),
        Refusal::ActorMayNot,
    );
}

#[test]
fn a_device_may_not_restore_itself() {
    let device = device(State::Quarantined);
    let itself = Actor::new(ActorKind::Device, "A-1");
    refused(
        &restore(&operate(at(0), &itself, &device, &[])),
        Refusal::ActorMayNot,
    );
}

#[test]
fn release_and_retirement_revoke_and_end_ownership() {
    let (alice, device) = (person(), device(State::Onboarded));
    let credentials = [credential(1, at(0)), credential(2, at(0))];
    let owned = ownership(OWNER, None);
    let facts = OperateFacts {
        ownership: Some(&owned),
        ..operate(at(1), &alice, &device, &credentials)
    };
    for (outcome, state, action) in [
        (release(&facts), State::Released, "released"),
        (retire(&facts), State::Retired, "retired"),
    ] {
        assert_eq!(accepted(&outcome).state, state);
        assert_eq!(accepted(&outcome).owner, None);
        assert_eq!(
            actions(&outcome.commit),
            [action, "credential-revoked", "credential-revoked"]
        );
        let mut world = World::default();
        world.devices.insert(device.id, device.clone());
        world.ownerships.push(owned.clone());
        for credential in &credentials {
            world
                .credentials
                .insert(credential.id.clone(), credential.clone());
        }
        world.commit(&outcome.commit).unwrap();
        assert!(world.active(device.id).is_empty());
        assert_eq!(world.current(device.id), None);
    }
}

#[test]
fn a_credential_is_revoked_once_and_only_its_own_device_is_named() {
    let (alice, device) = (person(), device(State::Onboarded));
    let facts = operate(at(1), &alice, &device, &[]);
    let outcome = revoke(
        &facts,
        &credential(1, at(0)),
        RevocationReason::KeyCompromise,
    );
    let revoked = accepted(&outcome);
    refused(
        &revoke(&facts, &revoked, RevocationReason::KeyCompromise),
        Refusal::CredentialNotActive,
    );
    let mut foreign = credential(1, at(0));
    foreign.device = DeviceId([9; 16]);
    refused(
        &revoke(&facts, &foreign, RevocationReason::KeyCompromise),
        Refusal::CredentialOfAnother,
    );
}

#[test]
fn two_operators_that_race_do_not_both_win() {
    let (alice, device) = (person(), device(State::Onboarded));
    let facts = operate(at(1), &alice, &device, &[]);
    let mut world = World::default();
    world.devices.insert(device.id, device.clone());
    let (one, two) = (release(&facts), quarantine(&facts));
    world.commit(&one.commit).unwrap();
    assert_eq!(
        world.commit(&two.commit),
        Err(Guard::DeviceVersion {
            id: device.id,
            expected: device.version
        })
    );
}

#[test]
fn a_policy_that_cannot_be_read_does_not_come_into_force() {
    let alice = person();
    refused(
        &put_policy(at(0), &alice, None, "package nonsense ("),
        Refusal::PolicyUnreadable,
    );
    let text = vouchsafe_fleet::policy::DEFAULT_POLICY;
    // The clock went back, and still the one that was put last is the latest.
    let later = put_policy(at(0), &alice, Some(at(60)), text);
    let Change::PutPolicy(record) = &later.commit.changes[0] else {
        panic!("no policy");
    };
    assert!(record.since > at(60));
    let outcome = put_policy(at(0), &alice, None, text);
    assert_eq!(actions(&outcome.commit), ["policy-changed"]);
}

#[test]
fn tokens_manufacturers_and_owners_are_journaled() {
    let alice = person();
    let token = Token {
        id: TokenId([3; 16]),
        name: "ci".to_owned(),
        role: Role::Auditor,
        secret_sha256: Digest::of(b"secret"),
        created_at: at(0),
        expires_at: None,
        revoked_at: None,
    };
    let made = create_token(at(0), &alice, token);
    assert_eq!(actions(&made.commit), ["token-created"]);
    assert!(!made.commit.entries[0].canonical_text().contains("secret"));
    let token = accepted(&made);
    let gone = accepted(&revoke_token(at(1), &alice, &token, None));
    assert!(!gone.is_valid(at(1)));
    let again = revoke_token(at(2), &alice, &gone, None);
    refused(&again, Refusal::TokenRevoked);

    // The last administrator's token stays; one that ran out is nobody's loss.
    let root = Token {
        role: Role::Admin,
        expires_at: Some(at(9)),
        ..token
    };
    let last = revoke_token(at(3), &alice, &root, None);
    refused(&last, Refusal::LastAdministrator);
    let other = TokenId([4; 16]);
    let with_another = revoke_token(at(3), &alice, &root, Some(other));
    accepted(&with_another);
    let stays = Guard::TokenValid {
        id: other,
        at: at(3),
    };
    assert_eq!(with_another.commit.guards, [stays]);
    accepted(&revoke_token(at(9), &alice, &root, None));

    let seen = maker(ManufacturerTrust::Seen);
    let outcome = put_manufacturer(
        at(1),
        &alice,
        Some(&seen),
        maker(ManufacturerTrust::VoucherRequired),
    );
    assert_eq!(accepted(&outcome).version, 2);
    assert_eq!(outcome.commit.entries[0].data["trust-before"], "seen");
    let outcome = put_owner(at(1), &alice, None, owner(OWNER));
    assert_eq!(actions(&outcome.commit), ["owner-changed"]);
}

#[test]
fn a_request_that_fails_a_protocol_rule_is_journaled_where_it_belongs() {
    let device = device(State::Claimed);
    let reason = Reason::new(
        "proximity-mismatch",
        "It names another registrar.",
        "RFC 8995 §5.2",
    );
    let who = Actor::new(ActorKind::Device, "A-1");
    let full = Strangers {
        seen: false,
        remembered: MAX_STRANGERS,
    };
    let write = |device, strangers| {
        refused_request(
            at(0),
            who.clone(),
            device,
            strangers,
            reason.clone(),
            vec![],
        )
    };
    let known = write(Some(&device), full);
    assert_eq!(known.entries[0].subject, Subject::Device(device.id));
    let stranger = write(None, Strangers::default());
    assert_eq!(stranger.entries[0].subject, Subject::Site);
    assert!(write(None, full).is_empty());
}

#[test]
fn a_request_of_nobody_is_journaled_once_and_remembered() {
    let name = DeviceId::new(ManufacturerId([0; 16]), "A-1");
    let write = |strangers| {
        let reason = Reason::new("unsigned", "It is not signed.", "RFC 8995 §5.2");
        refused_stranger(at(0), name, "A-1", strangers, reason, vec![])
    };
    let first = write(Strangers::default());
    assert_eq!(first.entries[0].reasons[0].code, "unsigned");
    assert!(matches!(&first.changes[..], [Change::PutSighting(seen)] if seen.device == name));
    let again = Strangers {
        seen: true,
        remembered: 1,
    };
    assert!(write(again).is_empty());
}
