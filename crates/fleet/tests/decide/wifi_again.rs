//! What must not outlive its time: approvals, credentials by a key that was another's, reports on
//! what was replaced, and standings as they were before.

use vouchsafe_fleet::commit::Guard;
use vouchsafe_fleet::decide::wifi::*;
use vouchsafe_fleet::decide::{ApprovalFacts, Decision, WishKind, approval_id, approve};
use vouchsafe_fleet::wifi::*;
use vouchsafe_fleet::*;

use crate::wifi_facts::*;
use crate::world::*;

/// A world with one device, its label, and one network.
fn world(state: State) -> (World, Device, Network) {
    let (before, home) = (device(state), network("home", NetworkCredential::Connector));
    let mut world = World::default();
    world.devices.insert(before.id, before.clone());
    world.wifi.networks.insert("home".to_owned(), home.clone());
    world.wifi.keys.insert(key_id(), key());
    (world, before, home)
}

fn configure_in(
    world: &mut World,
    device: DeviceId,
    home: &Network,
    made: Vec<IssuedAccess>,
    now: i64,
) -> Configured {
    let (key, verdict) = (world.wifi.keys[&key_id()].clone(), allow());
    let (row, holdings) = (world.devices[&device].clone(), world.wifi.holdings(device));
    let networks = [home.clone()];
    let facts = ConfigureFacts {
        now: at(now),
        holdings: &holdings,
        ..configure_facts(&key, &row, &networks, &verdict)
    };
    let outcome = accepted(&configure(&facts)).issue(made);
    world.commit(&outcome.commit).unwrap();
    accepted(&outcome)
}

#[test]
fn a_claim_that_races_a_configuration_erases_nothing() {
    let (alice, other) = (person(), network("yard", NetworkCredential::Connector));
    let (mut world, before, home) = world(State::Claimed);
    world.wifi.networks.insert("yard".to_owned(), other.clone());
    let key = key();
    // Somebody means it for another network while it is being configured.
    let claim = claim_uri(&ClaimUriFacts {
        now: at(1),
        actor: &alice,
        owner: OWNER,
        key: key_facts(),
        role: DeviceRole::Station,
        source: KeySource::Person,
        identity: Some((MAKER, "A-1")),
        label: None,
        model: None,
        mud_url: None,
        segment: None,
        network: Some(&other),
        existing: Some(&before),
        standing: None,
        known: Some(&key),
        reasons: &[],
        runs_devices: true,
    });
    configure_in(&mut world, before.id, &home, vec![connector(1)], 1);
    assert!(world.commit(&claim.commit).is_err(), "decided anew");
    let standing = &world.wifi.standings[&before.id];
    assert_eq!(standing.given.as_ref().unwrap().network, "home");
}

#[test]
fn an_approval_is_for_one_key_and_ends_with_the_ownership() {
    let (alice, verdict) = (person(), wait());
    let (mut world, before, home) = world(State::Claimed);
    let (key, networks) = (key(), [home]);
    let facts = configure_facts(&key, &before, &networks, &verdict);
    world.commit(&configure(&facts).commit).unwrap();
    let (id, _) = approval_id(WishKind::Configuration, before.id, key.id);
    let yes = approve(&ApprovalFacts {
        now: at(60),
        actor: &alice,
        device: &before,
        record: Some(&world.vouchers[&id]),
        segment: None,
        comment: None,
    });
    world.commit(&yes.commit).unwrap();
    let approved = world.vouchers[&id].clone();
    let with_yes = ConfigureFacts {
        now: at(70),
        approval: Some(&approved),
        ..facts
    };
    assert!(matches!(configure(&with_yes).decision, Decision::Accept(_)));

    // It was released and claimed again in between: a person is asked anew.
    let again = configure(&ConfigureFacts {
        owned_since: Some(at(65)),
        ..with_yes
    });
    assert!(matches!(again.decision, Decision::Wait { .. }));
    assert_eq!(actions(&again.commit), ["approval-asked"]);
    world.commit(&again.commit).unwrap();
    assert_eq!(world.vouchers[&id].status, VoucherStatus::AwaitingApproval);
    // A no of that time is over as well.
    let mut denied = approved.clone();
    denied.status = VoucherStatus::Denied;
    let door = |owned_since| {
        let denied = Known {
            approval: Some(&denied),
            owned_since,
            ..known(&key, &before)
        };
        let seen = AnnouncementFacts {
            now: at(70),
            ..announced(Some(denied), &verdict)
        };
        announcement(&seen).refusal()
    };
    assert_eq!(door(Some(at(0))), Some(Refusal::ApprovalDenied));
    assert_eq!(door(Some(at(65))), None);

    // Another key of the same device, or its connector, is another wish.
    let other = approval_id(
        WishKind::Configuration,
        before.id,
        Digest::of(b"a second label"),
    );
    assert_ne!(other.0, id);
}

#[test]
fn whoever_loses_a_key_loses_what_it_was_given_by_it() {
    let alice = person();
    let (mut world, before, home) = world(State::Claimed);
    let configured = configure_in(&mut world, before.id, &home, vec![connector(1)], 1);
    let mut two = device(State::Claimed);
    two.id = DeviceId::new(MAKER, "B-1");
    two.serial = "B-1".to_owned();
    world.devices.insert(two.id, two.clone());
    world.wifi.keys.insert(key_id(), disputed());
    let (present, holdings) = (
        world.devices[&before.id].clone(),
        world.wifi.holdings(before.id),
    );
    let key = disputed();
    let certificates = [credential(7, at(1))];
    let facts = SettleKeyFacts {
        now: at(9),
        actor: &alice,
        key: &key,
        device: &two,
        present: &present,
        holdings: &holdings,
        certificates: &certificates,
        reasons: &[],
    };
    let outcome = settle_key(&facts);
    assert_eq!(
        actions(&outcome.commit),
        [
            "bootstrapping-key-settled",
            "bootstrapping-key-removed",
            "credential-revoked"
        ],
        "the certificate came by another way"
    );
    let guarded = |id| {
        outcome.commit.guards.iter().any(
            |guard| matches!(guard, Guard::DeviceVersion { id: guarded, .. } if *guarded == id),
        )
    };
    assert!(guarded(before.id) && guarded(two.id));
    world.commit(&outcome.commit).unwrap();
    world.verify();
    let status = world.wifi.access[&configured.access[0].id].status;
    assert!(matches!(
        status,
        CredentialStatus::Revoked {
            reason: RevocationReason::PrivilegeWithdrawn,
            ..
        }
    ));
    assert_eq!(world.wifi.standings[&before.id].given, None);

    // A certificate that came by the key goes as well, also when it was renewed since.
    let mut by_certificate = holdings.clone();
    let standing = by_certificate.standing.as_mut().unwrap();
    standing.given.as_mut().unwrap().certified_by = vec![key_id()];
    let outcome = settle_key(&SettleKeyFacts {
        holdings: &by_certificate,
        ..facts
    });
    let revoked = |outcome: &vouchsafe_fleet::decide::Outcome<BootstrappingKey>| {
        let all = actions(&outcome.commit);
        all.iter().filter(|it| **it == "credential-revoked").count()
    };
    assert_eq!(revoked(&outcome), 2);
    // What it was given by another key stays.
    let mut by_another = holdings.clone();
    let standing = by_another.standing.as_mut().unwrap();
    standing.given.as_mut().unwrap().key = Some(Digest::of(b"a second label"));
    let outcome = settle_key(&SettleKeyFacts {
        holdings: &by_another,
        ..facts
    });
    assert_eq!(revoked(&outcome), 0);
    // But not the certificate that came by this one before.
    let given = by_another.standing.as_mut().unwrap().given.as_mut();
    given.unwrap().certified_by = vec![Digest::of(b"a second label"), key_id()];
    let outcome = settle_key(&SettleKeyFacts {
        holdings: &by_another,
        ..facts
    });
    assert_eq!(revoked(&outcome), 1);
    let put = |change: &vouchsafe_fleet::Change| {
        matches!(
            change,
            vouchsafe_fleet::Change::Wifi(vouchsafe_fleet::wifi::Change::PutStanding(_))
        )
    };
    assert!(!outcome.commit.changes.iter().any(put));
    // And so it does where the device keeps its key.
    let kept = settle_key(&SettleKeyFacts {
        device: &present,
        ..facts
    });
    assert_eq!(revoked(&kept), 0);
}

#[test]
fn a_report_confirms_what_it_is_about_and_nothing_else() {
    let (mut world, before, home) = world(State::Claimed);
    let first = configure_in(&mut world, before.id, &home, vec![connector(1)], 1);
    let second = configure_in(&mut world, before.id, &home, vec![connector(2)], 2);
    let report = |world: &World, about: &Configured| {
        let (row, holdings) = (
            world.devices[&before.id].clone(),
            world.wifi.holdings(before.id),
        );
        configured(&ConfiguredFacts {
            now: at(5),
            device: &row,
            holdings: &holdings,
            given: &about.given,
            access: &[about.access[0].id.clone()],
            stage: ReportStage::Configuration,
            success: true,
            said: "ok",
            message_sha256: Digest::of(b"result"),
        })
        .commit
    };
    // The first exchange was slower to end than the second.
    let late = report(&world, &first);
    assert_eq!(actions(&late), ["enrolment-confirmed"]);
    world.commit(&late).unwrap();
    let confirmed = |world: &World, configured: &Configured| {
        world.wifi.access[&configured.access[0].id].confirmed_at
    };
    assert_eq!(confirmed(&world, &first), None);
    assert_eq!(confirmed(&world, &second), None, "nobody said so");
    let commit = report(&world, &second);
    world.commit(&commit).unwrap();
    assert_eq!(confirmed(&world, &second), Some(at(5)));
}

#[test]
fn a_wrong_guess_at_a_code_is_written_down() {
    let commit = code_guessed(GuessFacts {
        now: at(0),
        said_by: "alice",
        label: Some("lamp 3"),
        via: "192.0.2.7",
        left: 4,
        reason: Reason::new("pkex-code-wrong", "Another code.", "Wi-Fi Easy Connect 3.0"),
        evidence: Evidence::new("dpp-message", Digest::of(b"guess")),
    });
    assert_eq!(actions(&commit), ["request-refused"]);
    let entry = &commit.entries[0];
    assert_eq!(
        (entry.subject, entry.actor.kind),
        (Subject::Site, ActorKind::Device)
    );
    assert_eq!(entry.data["code-said-by"], "alice");
    assert_eq!(entry.data["guesses-left"], "4");
    assert_eq!(entry.reasons[0].code, "pkex-code-wrong");
    assert!(commit.changes.is_empty());
}
