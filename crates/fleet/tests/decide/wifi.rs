//! Devices that come in by Wi-Fi Easy Connect: announced, configured, refused, revoked.

use jiff::SignedDuration;
use vouchsafe_fleet::commit::{Change, Guard};
use vouchsafe_fleet::credential::MAX_HELD;
use vouchsafe_fleet::decide::wifi::*;
use vouchsafe_fleet::decide::{
    ApprovalFacts, Decision, IssuedCertificate, OperateFacts, WishKind, approval_id, approve,
    deny_approval, quarantine, release, restore, retire, revoke_access,
};
use vouchsafe_fleet::wifi::*;
use vouchsafe_fleet::*;

use crate::wifi_facts::*;
use crate::world::*;

/// Refused before anything was proved: only what is remembered of it changes.
#[track_caller]
fn turned_away(facts: &AnnouncementFacts<'_>, expected: Refusal) -> Commit {
    let outcome = announcement(facts);
    assert_eq!(outcome.refusal(), Some(expected));
    assert!(outcome.commit.guards.is_empty());
    let only_remembered = |change: &Change| {
        matches!(
            change,
            Change::Wifi(vouchsafe_fleet::wifi::Change::PutAnnouncement(_))
        )
    };
    assert!(outcome.commit.changes.iter().all(only_remembered));
    outcome.commit
}

fn remembered(commit: &Commit) -> Announcement {
    match &commit.changes[..] {
        [Change::Wifi(vouchsafe_fleet::wifi::Change::PutAnnouncement(seen))] => (**seen).clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_claimed_device_that_announces_itself_is_worth_authenticating_with() {
    let (key, verdict) = (key(), allow());
    for state in [State::Claimed, State::Onboarding, State::Onboarded] {
        let device = device(state);
        let outcome = announcement(&announced(Some(known(&key, &device)), &verdict));
        assert_eq!(outcome.decision, Decision::Accept(()));
        assert!(outcome.commit.is_empty(), "nothing is proved");
    }
}

#[test]
fn an_unknown_key_is_remembered_once_and_within_bounds() {
    let verdict = deny();
    let facts = announced(None, &verdict);
    let first = turned_away(&facts, Refusal::UnknownBootstrappingKey);
    let seen = remembered(&first);
    assert_eq!(actions(&first), ["unknown-seen"]);
    assert_eq!(first.entries[0].subject, Subject::Site);
    assert_eq!(
        (seen.device, seen.via.as_deref()),
        (None, Some("192.0.2.7:4711"))
    );

    // It chirps on: nothing within a minute, then only the time, and no entry.
    let soon = AnnouncementFacts {
        now: at(30),
        seen: Some(&seen),
        ..facts
    };
    assert!(turned_away(&soon, Refusal::UnknownBootstrappingKey).is_empty());
    let later = AnnouncementFacts {
        now: at(90),
        ..soon
    };
    let again = turned_away(&later, Refusal::UnknownBootstrappingKey);
    assert!(again.entries.is_empty());
    let again = remembered(&again);
    assert_eq!(
        (again.first_at, again.last_at, again.journaled_at),
        (at(0), at(90), at(0))
    );

    // A crowd of inventions leaves nothing behind once there is no room.
    let crowd = AnnouncementFacts {
        remembered: MAX_ANNOUNCEMENTS,
        seen: None,
        ..facts
    };
    assert!(turned_away(&crowd, Refusal::UnknownBootstrappingKey).is_empty());
    // What is remembered already is still kept up.
    let crowd = AnnouncementFacts {
        remembered: MAX_ANNOUNCEMENTS,
        ..later
    };
    assert!(!turned_away(&crowd, Refusal::UnknownBootstrappingKey).is_empty());
}

#[test]
fn who_may_not_come_in_is_turned_away_at_the_door() {
    let (plain, disputed, yes, no) = (key(), disputed(), allow(), deny());
    let table = [
        (State::Transferred, Refusal::NotClaimed),
        (State::Provisioned, Refusal::NotClaimed),
        (State::Quarantined, Refusal::DeviceQuarantined),
        (State::Released, Refusal::DeviceReleased),
        (State::Retired, Refusal::DeviceRetired),
    ];
    for (state, expected) in table {
        let device = device(state);
        let commit = turned_away(&announced(Some(known(&plain, &device)), &yes), expected);
        assert_eq!(actions(&commit), ["request-refused"]);
        assert_eq!(commit.entries[0].subject, Subject::Device(device.id));
        assert_eq!(commit.entries[0].evidence[0].sha256, key_id());
    }
    let here = device(State::Claimed);
    let mut foreign = here.clone();
    foreign.owner = Some(OTHER);
    turned_away(
        &announced(Some(known(&plain, &foreign)), &yes),
        Refusal::OtherOwner,
    );
    turned_away(
        &announced(Some(known(&disputed, &here)), &yes),
        Refusal::BootstrappingKeyConflict,
    );
    let mut borrowed = plain.clone();
    borrowed.device = DeviceId([9; 16]);
    turned_away(
        &announced(Some(known(&borrowed, &here)), &yes),
        Refusal::KeyOfAnotherDevice,
    );
    let blocked = maker(ManufacturerTrust::Blocked);
    let blocked = Known {
        manufacturer: Some(&blocked),
        ..known(&plain, &here)
    };
    turned_away(
        &announced(Some(blocked), &yes),
        Refusal::ManufacturerBlocked,
    );
    let commit = turned_away(
        &announced(Some(known(&plain, &here)), &no),
        Refusal::PolicyDenied,
    );
    assert_eq!(
        commit.entries[0].reasons[1].code, "too-old",
        "policy's own reasons follow"
    );
}

#[test]
fn a_replayed_chirp_fills_no_journal() {
    let (key, verdict) = (key(), allow());
    let quarantined = device(State::Quarantined);
    let facts = announced(Some(known(&key, &quarantined)), &verdict);
    let seen = remembered(&turned_away(&facts, Refusal::DeviceQuarantined));
    // The same refusal an hour later is known.
    let later = AnnouncementFacts {
        now: at(HOUR),
        seen: Some(&seen),
        ..facts
    };
    assert!(
        turned_away(&later, Refusal::DeviceQuarantined)
            .entries
            .is_empty()
    );
    // Another one is news, but not twice within a minute.
    let retired = device(State::Retired);
    let other = AnnouncementFacts {
        known: Some(known(&key, &retired)),
        ..later
    };
    assert_eq!(turned_away(&other, Refusal::DeviceRetired).entries.len(), 1);
    let soon = AnnouncementFacts {
        now: at(59),
        ..other
    };
    assert!(turned_away(&soon, Refusal::DeviceRetired).is_empty());
    // After a day it is written down again.
    let next_day = AnnouncementFacts {
        now: at(DAY + 1),
        ..later
    };
    assert_eq!(
        turned_away(&next_day, Refusal::DeviceQuarantined)
            .entries
            .len(),
        1
    );
}

#[test]
fn a_failed_authentication_is_written_down_within_the_same_bounds() {
    let (key, device) = (key(), device(State::Claimed));
    let facts = FailedFacts {
        now: at(0),
        hash: chirp(),
        form: HashForm::Chirp,
        via: None,
        known: Some((&key, &device)),
        seen: None,
        remembered: 0,
        reason: Reason::new(
            "bad-authentication",
            "It does not fit.",
            "Wi-Fi Easy Connect 3.0",
        ),
        evidence: vec![Evidence::new(
            "authentication-response",
            Digest::of(b"frame"),
        )],
    };
    let commit = attempt_failed(facts.clone());
    assert_eq!(actions(&commit), ["request-refused"]);
    assert_eq!(commit.entries[0].evidence.len(), 2);
    let seen = remembered(&commit);
    assert_eq!(seen.code, "bad-authentication");
    let again = FailedFacts {
        now: at(30),
        seen: Some(&seen),
        ..facts.clone()
    };
    assert!(attempt_failed(again).is_empty());
    let stranger = FailedFacts {
        known: None,
        remembered: MAX_ANNOUNCEMENTS,
        ..facts
    };
    assert!(attempt_failed(stranger).is_empty());
}

#[test]
fn a_device_is_configured_with_credentials_of_its_own() {
    let (key, verdict) = (key(), allow());
    let mut with_both = network("home", NetworkCredential::Connector);
    with_both.fallback = true;
    let networks = [with_both];
    let mut world = World::default();
    world
        .devices
        .insert(device(State::Claimed).id, device(State::Claimed));
    world
        .wifi
        .networks
        .insert("home".to_owned(), networks[0].clone());
    world.wifi.keys.insert(key.id, key.clone());
    let before = device(State::Claimed);
    let permit = accepted(&configure(&configure_facts(
        &key, &before, &networks, &verdict,
    )));
    assert!(permit.network().gives_connector() && permit.network().gives_passphrase());
    assert_eq!(permit.segment(), Some("lamps"));
    let outcome = permit.issue(vec![connector(1), passphrase(1)]);
    world.commit(&outcome.commit).unwrap();
    world.verify();
    assert_eq!(
        actions(&outcome.commit),
        ["onboarding-started", "credential-issued"]
    );
    let entry = &outcome.commit.entries[1];
    assert_eq!(entry.data["assurance"], "responder-only");
    assert_eq!(entry.data["network"], "home");
    assert_eq!(
        entry.evidence[0],
        Evidence::new("bootstrapping-key", key_id())
    );
    assert!(entry.data.contains_key("connector") && entry.data.contains_key("passphrase"));
    // A sealed passphrase stays out of the journal and of whatever is printed.
    let sealed = "c2VhbGVkLCBhbmQgbm90IGZvciBwcmludA==";
    for entry in &outcome.commit.entries {
        assert!(!entry.canonical_text().contains(sealed));
    }
    assert!(!format!("{outcome:?}").contains("sealed, and"));
    let after = world.devices[&before.id].clone();
    assert_eq!(after.state, State::Onboarded);
    let holdings = world.wifi.holdings(before.id);
    assert_eq!(holdings.access.len(), 2);
    let given = holdings.standing.clone().unwrap().given.unwrap();
    assert_eq!(
        (given.network.as_str(), given.called.as_deref()),
        ("home", Some("lamp"))
    );

    // What it says of itself is kept as its own claim.
    let said: Vec<_> = outcome
        .commit
        .changes
        .iter()
        .filter_map(|change| match change {
            Change::PutClaim(claim) => Some((claim.issuer.as_str(), claim.kind.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(said, [("device", "said-name"), ("device", "said-mudurl")]);

    // Step 5: the device says that it took it.
    let then = accepted(&outcome);
    let access: Vec<CredentialId> = then.access.iter().map(|it| it.id.clone()).collect();
    let report = ConfiguredFacts {
        now: at(5),
        device: &after,
        holdings: &holdings,
        given: &then.given,
        access: &access,
        stage: ReportStage::Configuration,
        success: true,
        said: "ok",
        message_sha256: Digest::of(b"result"),
    };
    let outcome = configured(&report);
    assert_eq!(actions(&outcome.commit), ["enrolment-confirmed"]);
    world.commit(&outcome.commit).unwrap();
    let holdings = world.wifi.holdings(before.id);
    assert!(
        holdings
            .access
            .iter()
            .all(|it| it.confirmed_at == Some(at(5)))
    );
    let standing = holdings.standing.clone().unwrap();
    assert_eq!(standing.given.unwrap().confirmed_at, Some(at(5)));

    // A no is written down with what the device said, and changes nothing.
    let after = &world.devices[&before.id];
    let no = ConfiguredFacts {
        success: false,
        said: "no-ap",
        stage: ReportStage::Connection,
        holdings: &holdings,
        device: after,
        ..report
    };
    let outcome = configured(&no);
    assert_eq!(actions(&outcome.commit), ["enrolment-failed"]);
    assert_eq!(outcome.commit.entries[0].reasons[0].text, "no-ap");
    // Policy may make of it what it wants; nothing else changes.
    match &outcome.commit.changes[..] {
        [Change::PutClaim(claim)] => {
            assert_eq!(
                (claim.kind.as_str(), &claim.value),
                ("said-connection", &"no-ap".into())
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_authenticated_device_that_may_not_come_in_is_refused() {
    let (plain, verdict) = (key(), allow());
    let networks = [network("home", NetworkCredential::Connector)];
    for (state, expected) in [
        (State::Transferred, Refusal::NotClaimed),
        (State::Quarantined, Refusal::DeviceQuarantined),
        (State::Released, Refusal::DeviceReleased),
        (State::Retired, Refusal::DeviceRetired),
    ] {
        let device = device(state);
        refused(
            &configure(&configure_facts(&plain, &device, &networks, &verdict)),
            expected,
        );
    }
    let here = device(State::Claimed);
    let facts = configure_facts(&plain, &here, &networks, &verdict);
    let mut foreign = here.clone();
    foreign.owner = Some(OTHER);
    refused(
        &configure(&ConfigureFacts {
            device: &foreign,
            ..facts
        }),
        Refusal::OtherOwner,
    );
    let disputed = disputed();
    refused(
        &configure(&configure_facts(&disputed, &here, &networks, &verdict)),
        Refusal::BootstrappingKeyConflict,
    );
    let blocked = maker(ManufacturerTrust::Blocked);
    refused(
        &configure(&ConfigureFacts {
            manufacturer: Some(&blocked),
            ..facts
        }),
        Refusal::ManufacturerBlocked,
    );
    let no = deny();
    let outcome = configure(&ConfigureFacts {
        verdict: &no,
        ..facts
    });
    refused(&outcome, Refusal::PolicyDenied);
    assert_eq!(outcome.commit.entries[0].reasons[1].code, "too-old");
}

/// A device that dialled a controller whose key it knew, and proved none of its own, is anybody.
#[test]
fn a_device_that_proved_no_key_is_refused() {
    let (key, here, verdict) = (key(), device(State::Claimed), allow());
    let networks = [network("home", NetworkCredential::Connector)];
    let facts = ConfigureFacts {
        proof: Proof::Bootstrapping {
            key: &key,
            assurance: Assurance::NetworkOnly,
        },
        ..configure_facts(&key, &here, &networks, &verdict)
    };
    refused(&configure(&facts), Refusal::DeviceUnproved);
}

#[test]
fn a_station_cannot_become_an_access_point_by_asking() {
    let (station, here, verdict) = (key(), device(State::Claimed), allow());
    let networks = [network("home", NetworkCredential::Connector)];
    let facts = configure_facts(&station, &here, &networks, &verdict);
    for role in [Some(DeviceRole::AccessPoint), None] {
        refused(
            &configure(&ConfigureFacts { role, ..facts }),
            Refusal::RoleDiffers,
        );
    }
    let access_point = BootstrappingKey {
        role: DeviceRole::AccessPoint,
        ..station
    };
    let facts = ConfigureFacts {
        role: Some(DeviceRole::AccessPoint),
        ..configure_facts(&access_point, &here, &networks, &verdict)
    };
    assert_eq!(accepted(&configure(&facts)).role(), DeviceRole::AccessPoint);
    for credential in [
        NetworkCredential::Sae,
        NetworkCredential::Psk,
        NetworkCredential::Certificate,
    ] {
        let networks = [network("home", credential)];
        let facts = ConfigureFacts {
            networks: &networks,
            ..facts
        };
        refused(&configure(&facts), Refusal::NetworkNotForRole);
    }
}

#[test]
fn the_network_is_the_one_meant_or_the_only_one_that_fits() {
    let (key, here, verdict) = (key(), device(State::Claimed), allow());
    let of_segment = |name: &str, segment: Option<&str>| Network {
        segment: segment.map(str::to_owned),
        ..network(name, NetworkCredential::Connector)
    };
    let choose = |networks: &[Network], wanted: Option<&str>| {
        let mut standing = Standing::nothing(here.id, at(0));
        standing.wanted = wanted.map(str::to_owned);
        let holdings = Holdings {
            standing: Some(standing),
            access: Vec::new(),
        };
        let facts = ConfigureFacts {
            holdings: &holdings,
            ..configure_facts(&key, &here, networks, &verdict)
        };
        configure(&facts)
    };
    // Policy says the segment is `lamps`.
    let all = [
        of_segment("any", None),
        of_segment("lamps", Some("lamps")),
        of_segment("office", Some("office")),
    ];
    assert_eq!(accepted(&choose(&all, None)).network().name, "lamps");
    assert_eq!(accepted(&choose(&all[..1], None)).network().name, "any");
    assert_eq!(
        accepted(&choose(&all, Some("office"))).network().name,
        "office"
    );
    refused(&choose(&all[2..], None), Refusal::NoNetwork);
    refused(&choose(&[], None), Refusal::NoNetwork);
    refused(&choose(&all, Some("gone")), Refusal::NoNetwork);
    let two = [of_segment("one", None), of_segment("two", None)];
    refused(&choose(&two, None), Refusal::NetworkAmbiguous);
    assert_eq!(accepted(&choose(&two, Some("two"))).network().name, "two");
}

#[test]
fn a_person_decides_late_and_once() {
    let (key, here, verdict) = (key(), device(State::Claimed), wait());
    let networks = [network("home", NetworkCredential::Connector)];
    let mut world = World::default();
    world.devices.insert(here.id, here.clone());
    world
        .wifi
        .networks
        .insert("home".to_owned(), networks[0].clone());
    world.wifi.keys.insert(key.id, key.clone());
    let (id, _) = approval_id(WishKind::Configuration, here.id, key.id);
    let facts = configure_facts(&key, &here, &networks, &verdict);
    let outcome = configure(&facts);
    assert!(matches!(outcome.decision, Decision::Wait { .. }));
    assert_eq!(actions(&outcome.commit), ["approval-asked"]);
    world.commit(&outcome.commit).unwrap();
    // It asks again: nothing is written.
    let record = world.vouchers[&id].clone();
    let again = configure(&ConfigureFacts {
        approval: Some(&record),
        ..facts
    });
    assert!(matches!(again.decision, Decision::Wait { .. }));
    assert!(again.commit.is_empty());
    // What waits is let through at the door.
    let waiting = Known {
        approval: Some(&record),
        ..known(&key, &here)
    };
    assert_eq!(
        announcement(&announced(Some(waiting), &verdict)).refusal(),
        None
    );

    let alice = person();
    let settle = |record, segment| ApprovalFacts {
        now: at(60),
        actor: &alice,
        device: &here,
        record: Some(record),
        segment,
        comment: Some("it is ours"),
    };
    let yes = approve(&settle(&record, Some("office")));
    let asked = &yes.commit.entries[0].evidence[0];
    assert_eq!(asked.kind, "wish-to-be-configured");
    assert_eq!(asked.sha256, record.request_sha256);
    world.commit(&yes.commit).unwrap();
    let record = world.vouchers[&id].clone();
    let permit = accepted(&configure(&ConfigureFacts {
        now: at(70),
        approval: Some(&record),
        ..facts
    }));
    assert_eq!(permit.segment(), Some("office"));
    world
        .commit(&permit.issue(vec![connector(1)]).commit)
        .unwrap();
    assert_eq!(world.vouchers[&id].status, VoucherStatus::Used);
    // The yes was for once: a device that was reset is asked about again.
    let onboarded = world.devices[&here.id].clone();
    let record = world.vouchers[&id].clone();
    let again = configure(&ConfigureFacts {
        now: at(80),
        device: &onboarded,
        approval: Some(&record),
        ..facts
    });
    assert!(matches!(again.decision, Decision::Wait { .. }));
    world.commit(&again.commit).unwrap();

    // A no holds for a day, at the door as well.
    let record = world.vouchers[&id].clone();
    let no = deny_approval(&settle(&record, None));
    world.commit(&no.commit).unwrap();
    let record = world.vouchers[&id].clone();
    let denied = ConfigureFacts {
        now: at(100),
        device: &onboarded,
        approval: Some(&record),
        ..facts
    };
    refused(&configure(&denied), Refusal::ApprovalDenied);
    let denied_at_door = Known {
        approval: Some(&record),
        ..known(&key, &onboarded)
    };
    turned_away(
        &AnnouncementFacts {
            now: at(100),
            ..announced(Some(denied_at_door), &verdict)
        },
        Refusal::ApprovalDenied,
    );
    let next_day = configure(&ConfigureFacts {
        now: at(2 * DAY),
        ..denied
    });
    assert_eq!(actions(&next_day.commit), ["approval-asked"]);
    // What policy denies stays denied whatever a person said.
    let mut said_yes = record.clone();
    said_yes.status = VoucherStatus::Approved;
    let never = deny();
    refused(
        &configure(&ConfigureFacts {
            approval: Some(&said_yes),
            verdict: &never,
            ..denied
        }),
        Refusal::PolicyDenied,
    );
    // An old yes is none.
    let old = ConfigureFacts {
        now: at(9 * DAY),
        approval: Some(&said_yes),
        ..denied
    };
    assert!(matches!(configure(&old).decision, Decision::Wait { .. }));
}

/// A yes to Wi-Fi is no voucher.
#[test]
fn an_approval_by_key_opens_no_est() {
    use vouchsafe_fleet::decide::{EnrolFacts, enrol};
    let (maker, verdict) = (maker(ManufacturerTrust::VoucherRequired), allow());
    let onboarding = device(State::Onboarding);
    let used = record(VoucherStatus::Used, at(0));
    let facts = EnrolFacts {
        voucher: Some(&used),
        ..enrol_facts(at(1), &maker, &onboarding, &verdict)
    };
    refused(&enrol(&facts), Refusal::NoVoucherYet);
}

/// RFC 8995 §5.3: a birth certificate needs somebody who stands behind it; a credential of ours
/// does not.
#[test]
fn only_a_credential_of_ours_renews_without_a_manufacturer() {
    use vouchsafe_fleet::decide::{EnrolFacts, EnrolIdentity, enrol};
    let (maker, verdict) = (maker(ManufacturerTrust::VoucherRequired), allow());
    let onboarded = device(State::Onboarded);
    let facts = EnrolFacts {
        manufacturer: None,
        ..enrol_facts(at(1), &maker, &onboarded, &verdict)
    };
    refused(&enrol(&facts), Refusal::UnknownManufacturer);
    let ours = credential(1, at(0));
    let facts = EnrolFacts {
        identity: EnrolIdentity::Credential(&ours),
        ..facts
    };
    assert_eq!(enrol(&facts).refusal(), None);
}

#[test]
fn a_reset_device_comes_in_again_and_what_it_had_is_superseded() {
    let (key, verdict) = (key(), allow());
    let networks = [network("home", NetworkCredential::Sae)];
    let mut world = World::default();
    let before = device(State::Claimed);
    world.devices.insert(before.id, before.clone());
    world
        .wifi
        .networks
        .insert("home".to_owned(), networks[0].clone());
    world.wifi.keys.insert(key.id, key.clone());
    let first = accepted(&configure(&configure_facts(
        &key, &before, &networks, &verdict,
    )));
    world
        .commit(&first.issue(vec![passphrase(1)]).commit)
        .unwrap();

    let onboarded = world.devices[&before.id].clone();
    let holdings = world.wifi.holdings(before.id);
    let facts = ConfigureFacts {
        holdings: &holdings,
        ..configure_facts(&key, &onboarded, &networks, &verdict)
    };
    let permit = accepted(&configure(&facts));
    let outcome = permit.clone().issue(vec![passphrase(2)]);
    assert_eq!(
        actions(&outcome.commit),
        ["onboarding-restarted", "credential-issued"]
    );
    world.commit(&outcome.commit).unwrap();
    let active: Vec<_> = world
        .wifi
        .access
        .values()
        .filter(|it| it.status == CredentialStatus::Active)
        .collect();
    assert_eq!(active.len(), 1, "one device, one passphrase");
    // Whoever was slower decides anew.
    assert!(
        world
            .commit(&permit.issue(vec![passphrase(3)]).commit)
            .is_err()
    );
}

#[test]
fn a_device_is_reconfigured_by_its_connector_for_the_network_a_person_names() {
    let (key, verdict, alice) = (key(), allow(), person());
    let networks = [
        network("home", NetworkCredential::Connector),
        network("other", NetworkCredential::Connector),
    ];
    let mut world = World::default();
    let before = device(State::Claimed);
    world.devices.insert(before.id, before.clone());
    for network in &networks {
        world
            .wifi
            .networks
            .insert(network.name.clone(), network.clone());
    }
    world.wifi.keys.insert(key.id, key.clone());
    let assign = |world: &World, name: &str| {
        assign_network(&AssignFacts {
            now: at(0),
            actor: &alice,
            owner: OWNER,
            device: &world.devices[&before.id],
            standing: world.wifi.standings.get(&before.id),
            name,
            network: world.wifi.networks.get(name),
            reasons: &[],
        })
    };
    world.commit(&assign(&world, "home").commit).unwrap();
    let holdings = world.wifi.holdings(before.id);
    let claimed = world.devices[&before.id].clone();
    let facts = ConfigureFacts {
        holdings: &holdings,
        ..configure_facts(&key, &claimed, &networks, &verdict)
    };
    let first = accepted(&configure(&facts));
    world
        .commit(&first.issue(vec![connector(1)]).commit)
        .unwrap();

    refused(&assign(&world, "nowhere"), Refusal::NetworkUnknown);
    let outcome = assign(&world, "other");
    assert_eq!(actions(&outcome.commit), ["network-assigned"]);
    assert_eq!(outcome.commit.entries[0].data["network-before"], "home");
    world.commit(&outcome.commit).unwrap();
    let holdings = world.wifi.holdings(before.id);
    assert!(
        holdings.standing.clone().unwrap().given.is_some(),
        "it keeps what it has"
    );
    let onboarded = world.devices[&before.id].clone();
    let shown = holdings.access[0].clone();
    // The connector has run out meanwhile, which is why the device is here.
    let by_connector = ConfigureFacts {
        now: at(5000),
        proof: Proof::Connector(&shown),
        device: &onboarded,
        holdings: &holdings,
        ..facts
    };
    let permit = accepted(&configure(&by_connector));
    assert_eq!(permit.network().name, "other");
    let outcome = permit.issue(vec![connector(2)]);
    assert_eq!(actions(&outcome.commit), ["credential-renewed"]);
    assert_eq!(outcome.commit.entries[0].data["assurance"], "connector");
    assert_eq!(outcome.commit.entries[0].evidence[0].kind, "net-access-key");
    world.commit(&outcome.commit).unwrap();

    // The connector that was shown stays good, since somebody else may have shown it. One that was
    // replaced is good for nothing; neither is a revoked one, or another's.
    let mut superseded = world.wifi.access[&shown.id].clone();
    assert_eq!(superseded.status, CredentialStatus::Active);
    superseded.status = CredentialStatus::Superseded;
    let by = |access| ConfigureFacts {
        proof: Proof::Connector(access),
        ..by_connector
    };
    refused(&configure(&by(&superseded)), Refusal::CredentialSuperseded);
    let mut revoked = shown.clone();
    revoked.status = CredentialStatus::Revoked {
        reason: RevocationReason::KeyCompromise,
        at: at(0),
    };
    refused(&configure(&by(&revoked)), Refusal::CredentialRevoked);
    let mut foreign = shown.clone();
    foreign.device = DeviceId([9; 16]);
    refused(&configure(&by(&foreign)), Refusal::CredentialOfAnother);

    // Nor does anything else end on its word that the device's owner may be using: its newer connector, or
    // its passphrase. What nobody reported to work does, and there is a bound.
    let now_held = world.wifi.holdings(before.id);
    let newer = now_held.access.iter().find(|it| it.id != shown.id).unwrap();
    let mut confirmed = newer.clone();
    confirmed.confirmed_at = Some(at(1));
    let mut passphrase = newer.clone();
    passphrase.id = CredentialId("p".repeat(32));
    passphrase.kind = AccessKind::Passphrase {
        identifier: "label".to_owned(),
        sealed: SealedPassphrase(vec![1]),
    };
    let superseded_by = |others: Vec<AccessCredential>| {
        let mut holdings = now_held.clone();
        holdings.access = [vec![shown.clone()], others].concat();
        let facts = ConfigureFacts {
            holdings: &holdings,
            said: &[("name", "another"), ("mudurl", "https://example.org/")],
            ..by_connector
        };
        let outcome = configure(&facts);
        let commit = outcome
            .accepted()?
            .cloned()
            .unwrap()
            .issue(vec![connector(3)])
            .commit;
        assert!(
            !commit
                .changes
                .iter()
                .any(|it| matches!(it, Change::PutClaim(_))),
            "what it says of itself is nobody's word"
        );
        let ended = commit
            .changes
            .into_iter()
            .filter_map(|change| match change {
                Change::Wifi(vouchsafe_fleet::wifi::Change::SetAccessStatus { id, .. }) => Some(id),
                _ => None,
            });
        Ok(ended.collect::<Vec<_>>())
    };
    let others = vec![confirmed.clone(), passphrase];
    assert_eq!(superseded_by(others), Ok(Vec::new()));
    assert_eq!(
        superseded_by(vec![newer.clone()]),
        Ok(vec![newer.id.clone()])
    );
    assert!(superseded_by(vec![confirmed.clone(); 14]).is_ok());
    assert_eq!(
        superseded_by(vec![confirmed; 15]),
        Err(Refusal::TooManyConnectors)
    );

    // Two devices are claimed by the key that it came by, or the key is another's now.
    let disputed = disputed();
    let mut given_away = key.clone();
    given_away.device = DeviceId([9; 16]);
    for (label, expected) in [
        (&disputed, Refusal::BootstrappingKeyConflict),
        (&given_away, Refusal::KeyOfAnotherDevice),
    ] {
        let facts = ConfigureFacts {
            label: Some(label),
            ..by_connector
        };
        refused(&configure(&facts), expected);
    }

    // §6.5: whoever has seen a connector can take part in its name, so nothing secret is given for it.
    for (credential, fallback) in [
        (NetworkCredential::Certificate, false),
        (NetworkCredential::Sae, false),
        (NetworkCredential::Psk, false),
        (NetworkCredential::Connector, true),
    ] {
        let mut secret = network("other", credential);
        secret.fallback = fallback;
        let networks = [secret];
        let facts = ConfigureFacts {
            networks: &networks,
            ..by_connector
        };
        refused(&configure(&facts), Refusal::ConnectorNotEnough);
    }

    // Only what is in service is meant for anything.
    for (state, expected) in [
        (State::Released, Refusal::DeviceReleased),
        (State::Retired, Refusal::DeviceRetired),
    ] {
        let mut gone = World::default();
        gone.devices.insert(before.id, device(state));
        refused(&assign(&gone, "home"), expected);
    }
    let mut foreign = World::default();
    let mut device = device(State::Claimed);
    device.owner = Some(OTHER);
    foreign.devices.insert(before.id, device);
    refused(&assign(&foreign, "home"), Refusal::OtherOwner);
}

#[test]
fn a_certificate_by_wifi_is_held_to_the_guards_of_est() {
    let (key, verdict) = (key(), allow());
    let networks = [network("office", NetworkCredential::Certificate)];
    let mut world = World::default();
    let before = device(State::Claimed);
    world.devices.insert(before.id, before.clone());
    world
        .wifi
        .networks
        .insert("office".to_owned(), networks[0].clone());
    world.wifi.keys.insert(key.id, key.clone());
    let old = credential(7, at(0));
    world.credentials.insert(old.id.clone(), old.clone());
    let certificates = [old.clone()];
    let facts = ConfigureFacts {
        certificates: &certificates,
        ..configure_facts(&key, &before, &networks, &verdict)
    };
    let many: Vec<Credential> = (0..MAX_HELD)
        .map(|number| credential(u8::try_from(number).unwrap(), at(0)))
        .collect();
    let full = configure(&ConfigureFacts {
        certificates: &many,
        ..facts
    });
    refused(&full, Refusal::TooManyCredentials);
    let permit = accepted(&configure(&facts));
    let certificate = |number: u8| IssuedAccess::Certificate {
        issued: IssuedCertificate {
            id: CredentialId(format!("{number:02x}")),
            der: vec![number; 8],
            not_before: at(0),
            not_after: at(0) + SignedDuration::from_hours(24),
        },
        request_sha256: Digest::of(b"csr"),
        key_spki_sha256: Digest::of(b"certified key"),
    };
    let outcome = permit.issue(vec![certificate(1)]);
    world.commit(&outcome.commit).unwrap();
    assert_eq!(
        world.credentials[&old.id].status,
        CredentialStatus::Superseded
    );
    let standing = world.wifi.standings[&before.id].clone();
    let given = standing.given.clone().unwrap();
    assert_eq!(given.certificate, Some(CredentialId("01".to_owned())));
    assert_eq!(given.certified_by, [key.id]);
    // Meant for a network without certificates, and configured by another key, it is still known.
    let elsewhere = [network("elsewhere", NetworkCredential::Connector)];
    let (other, holdings) = (
        BootstrappingKey {
            id: Digest::of(b"another label"),
            ..key.clone()
        },
        Holdings {
            standing: Some(Standing {
                wanted: Some("elsewhere".to_owned()),
                ..standing
            }),
            ..Holdings::default()
        },
    );
    let onboarded = world.devices[&before.id].clone();
    let later = accepted(&configure(&ConfigureFacts {
        holdings: &holdings,
        ..configure_facts(&other, &onboarded, &elsewhere, &verdict)
    }));
    let later = accepted(&later.issue(vec![connector(3)]));
    assert_eq!(later.given.certificate, None);
    assert_eq!(later.given.certified_by, [key.id]);
    // The same key for another device, or the same request again, is stopped by its guard.
    let mut twin = device(State::Claimed);
    twin.id = DeviceId([7; 16]);
    twin.serial = "A-2".to_owned();
    world.devices.insert(twin.id, twin.clone());
    let mut twin_key = key.clone();
    twin_key.device = twin.id;
    let facts = configure_facts(&twin_key, &twin, &networks, &verdict);
    let permit = accepted(&configure(&facts));
    let lost = world.commit(&permit.issue(vec![certificate(2)]).commit);
    assert!(matches!(lost, Err(Guard::KeyUnused { .. })), "{lost:?}");
}

#[test]
fn quarantine_suspends_and_release_and_retirement_revoke() {
    let (key, verdict, alice) = (key(), allow(), person());
    let mut both = network("home", NetworkCredential::Connector);
    both.fallback = true;
    let networks = [both];
    let mut world = World::default();
    let before = device(State::Claimed);
    world.devices.insert(before.id, before.clone());
    world
        .wifi
        .networks
        .insert("home".to_owned(), networks[0].clone());
    world.wifi.keys.insert(key.id, key.clone());
    let permit = accepted(&configure(&configure_facts(
        &key, &before, &networks, &verdict,
    )));
    world
        .commit(&permit.issue(vec![connector(1), passphrase(1)]).commit)
        .unwrap();

    let why = [Reason::new("person", "it talks too much", "owner policy")];
    let onboarded = world.devices[&before.id].clone();
    let holdings = world.wifi.holdings(before.id);
    let facts = OperateFacts {
        wifi: &holdings,
        reasons: &why,
        ..operate(at(9), &alice, &onboarded, &[])
    };
    let suspended = quarantine(&facts);
    assert_eq!(actions(&suspended.commit), ["quarantined"]);
    world.commit(&suspended.commit).unwrap();
    // With a credential it is let in again as it was.
    let quarantined = world.devices[&before.id].clone();
    let back = restore(&OperateFacts {
        device: &quarantined,
        ..facts
    });
    assert_eq!(accepted(&back).state, State::Onboarded);

    for (end, state, reason) in [
        (
            release as fn(&OperateFacts<'_>) -> _,
            State::Released,
            "affiliation-changed",
        ),
        (retire, State::Retired, "cessation-of-operation"),
    ] {
        let outcome = end(&OperateFacts {
            device: &quarantined,
            ..facts
        });
        let device: Device = accepted(&outcome);
        assert_eq!(device.state, state);
        let revoked: Vec<_> = outcome
            .commit
            .entries
            .iter()
            .filter(|entry| entry.action == Action::CredentialRevoked)
            .collect();
        assert_eq!(revoked.len(), 2, "connector and passphrase");
        assert!(
            revoked
                .iter()
                .all(|entry| entry.data["revocation-reason"] == reason)
        );
        assert!(revoked.iter().all(|entry| entry.reasons == why));
        let mut then = World {
            devices: world.devices.clone(),
            wifi: crate::wifi_world::Wifi {
                access: world.wifi.access.clone(),
                standings: world.wifi.standings.clone(),
                ..Default::default()
            },
            ..World::default()
        };
        then.commit(&outcome.commit).unwrap();
        assert!(then.wifi.holdings(before.id).access.is_empty());
        assert_eq!(then.wifi.standings[&before.id].given, None);
    }
}

#[test]
fn one_access_credential_can_be_revoked_and_not_twice() {
    let alice = person();
    let onboarded = device(State::Onboarded);
    let access = AccessCredential {
        id: CredentialId("ab".to_owned()),
        device: onboarded.id,
        network: "home".to_owned(),
        kind: AccessKind::Connector {
            net_access_key_sha256: Digest::of(b"key"),
            signed_by: "kid".to_owned(),
        },
        expires_at: None,
        status: CredentialStatus::Active,
        issued_at: at(0),
        confirmed_at: None,
    };
    let facts = operate(at(1), &alice, &onboarded, &[]);
    let revoked = accepted(&revoke_access(
        &facts,
        &access,
        RevocationReason::KeyCompromise,
    ));
    refused(
        &revoke_access(&facts, &revoked, RevocationReason::KeyCompromise),
        Refusal::CredentialNotActive,
    );
    let foreign = AccessCredential {
        device: DeviceId([9; 16]),
        ..access
    };
    refused(
        &revoke_access(&facts, &foreign, RevocationReason::KeyCompromise),
        Refusal::CredentialOfAnother,
    );
}

#[test]
fn a_lost_device_without_credentials_must_begin_anew() {
    let alice = person();
    let quarantined = device(State::Quarantined);
    let back = restore(&operate(at(1), &alice, &quarantined, &[]));
    assert_eq!(accepted(&back).state, State::Claimed);
}

/// Every combination of what can be so: a device is configured only when all of it speaks for that,
/// and whoever would be refused later is not called to authenticate for nothing.
#[test]
fn nobody_is_configured_unless_everything_speaks_for_it() {
    let networks = [network("home", NetworkCredential::Connector)];
    let verdicts = [allow(), wait(), deny()];
    let makers: Vec<_> = ManufacturerTrust::ALL.iter().map(|it| maker(*it)).collect();
    let makers = || makers.iter().map(Some).chain([None]);
    let mut configured = 0;
    for state in State::ALL {
        for owner in [Some(OWNER), Some(OTHER), None] {
            let mut device = device(*state);
            device.owner = owner;
            for key in [key(), disputed()] {
                for (verdict, maker) in verdicts
                    .iter()
                    .flat_map(|verdict| makers().map(move |maker| (verdict, maker)))
                {
                    let known = Known {
                        manufacturer: maker,
                        ..known(&key, &device)
                    };
                    let called = announcement(&announced(Some(known), verdict)).refusal();
                    for assurance in Assurance::ALL {
                        for role in [
                            None,
                            Some(DeviceRole::Station),
                            Some(DeviceRole::AccessPoint),
                        ] {
                            let facts = ConfigureFacts {
                                proof: Proof::Bootstrapping {
                                    key: &key,
                                    assurance: *assurance,
                                },
                                manufacturer: maker,
                                role,
                                ..configure_facts(&key, &device, &networks, verdict)
                            };
                            let outcome = configure(&facts);
                            let here = matches!(
                                state,
                                State::Claimed | State::Onboarding | State::Onboarded
                            ) && owner == Some(OWNER)
                                && key.conflict.is_none()
                                && maker.is_none_or(|it| it.trust != ManufacturerTrust::Blocked);
                            let proved =
                                matches!(assurance, Assurance::ResponderOnly | Assurance::Mutual)
                                    && role == Some(DeviceRole::Station);
                            let allowed = matches!(verdict.answer, Answer::Allow { .. });
                            let accepted = matches!(outcome.decision, Decision::Accept(_));
                            assert_eq!(accepted, here && proved && allowed, "{facts:?}");
                            if !accepted && !matches!(outcome.decision, Decision::Wait { .. }) {
                                refused(&outcome, outcome.refusal().unwrap());
                            }
                            assert_eq!(
                                called.is_none(),
                                here && verdict.answer != Answer::Deny,
                                "{facts:?}"
                            );
                            configured += u32::from(accepted);
                        }
                    }
                }
            }
        }
    }
    // Three states, five sorts of manufacturer and two degrees of proof.
    assert_eq!(configured, 3 * 5 * 2);
}
