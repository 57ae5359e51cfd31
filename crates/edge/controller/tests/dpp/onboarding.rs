//! Devices that come in, whichever way and with whichever credential.

use jiff::SignedDuration;
use vouchsafe_dpp::connector::{CSignPublicKey, Connector};
use vouchsafe_dpp::object::{Akm, NetRole, RequestObject};
use vouchsafe_dpp::{Curve, Status};
use vouchsafe_fleet::wifi::{Assurance, DeviceRole, NetworkCredential};
use vouchsafe_fleet::{Action, State};

use crate::peer::station;
use crate::world::{Enrollee, World};

/// The exchange of every network of connectors, on every curve that there is: §6.2, §6.3, §6.4.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_announces_itself_gets_a_connector_of_its_own() {
    let world = World::new().await;
    for curve in Curve::AVAILABLE {
        let enrollee = Enrollee::new(curve);
        let id = world.claim(&enrollee, DeviceRole::Station, "plant").await;
        let joined = enrollee.announce(&world).await;
        let configured = joined.configured(&station()).await;
        let [object] = configured.objects() else {
            panic!("one network");
        };
        assert_eq!(object.ssid.text(), Some("plant"));
        assert_eq!(object.credential.akm(), Akm::Dpp);
        let connector = object.credential.connector().unwrap();
        let own = configured.authenticated().own_protocol_key().public();
        let verified = connector.verify(own, world.now()).unwrap();
        assert_eq!(verified.content().groups[0].id, "plant");
        assert_eq!(verified.content().groups[0].role, NetRole::Station);
        world.until_confirmed(id).await;
        assert_eq!(world.device(id).await.state, State::Onboarded);
        let holdings = world.holdings(id).await;
        let given = holdings.standing.unwrap().given.unwrap();
        assert_eq!(given.assurance, Assurance::ResponderOnly);
        assert_eq!(given.called.as_deref(), Some("lamp"));
        assert_eq!(holdings.access.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_calls_proves_itself_and_so_do_we() {
    let world = World::new().await;
    let enrollee = Enrollee::new(Curve::P256);
    let id = world
        .claim(&enrollee, DeviceRole::AccessPoint, "plant")
        .await;
    let joined = enrollee.call(&world).await;
    let object = RequestObject::new("ap", NetRole::AccessPoint);
    let configured = joined.configured(&object).await;
    let connector = configured.objects()[0].credential.connector().unwrap();
    let own = configured.authenticated().own_protocol_key().public();
    let verified = connector.verify(own, world.now()).unwrap();
    assert_eq!(verified.content().groups[0].role, NetRole::AccessPoint);
    world.until_confirmed(id).await;
    let given = world.holdings(id).await.standing.unwrap().given.unwrap();
    assert_eq!(given.assurance, Assurance::Mutual);
    assert_eq!(given.role, DeviceRole::AccessPoint);
}

/// A device that comes again gets something newer, and what it had no longer counts.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_was_reset_gets_another_credential_and_only_that_counts() {
    let world = World::new().await;
    let enrollee = Enrollee::new(Curve::P256);
    let id = world.claim(&enrollee, DeviceRole::Station, "plant").await;
    for _ in 0..2 {
        let joined = enrollee.announce(&world).await;
        joined.configured(&station()).await;
        world.until_confirmed(id).await;
    }
    let access = world.holdings(id).await.access;
    let now = world.now();
    let current: Vec<_> = access.iter().filter(|one| one.is_current(now)).collect();
    assert_eq!(current.len(), 1, "{access:?}");
    let issued = world.journal(id).await;
    let issued = issued.iter();
    let issued = issued.filter(|entry| entry.action == Action::CredentialIssued);
    assert_eq!(issued.count(), 2);
}

/// Each device its own passphrase, and each in the access points' file only while it counts.
#[tokio::test(flavor = "multi_thread")]
async fn a_passphrase_is_one_devices_own_and_is_in_the_access_points_file() {
    let world = World::with(|config| config.dpp.access_point_files = Some("hostapd".into())).await;
    world.network("yard", NetworkCredential::Sae, true).await;
    let [one, other] = [Enrollee::new(Curve::P256), Enrollee::new(Curve::P256)];
    let mut passphrases = Vec::new();
    let mut ids = Vec::new();
    for enrollee in [&one, &other] {
        let id = world.claim(enrollee, DeviceRole::Station, "yard").await;
        let configured = enrollee.announce(&world).await.configured(&station()).await;
        let credential = &configured.objects()[0].credential;
        assert_eq!(credential.akm(), Akm::PskSae);
        passphrases.push(
            credential
                .password()
                .unwrap()
                .expose_text()
                .unwrap()
                .to_owned(),
        );
        world.until_confirmed(id).await;
        ids.push(id);
    }
    assert_ne!(passphrases[0], passphrases[1]);
    let sae = world.dir.path().join("hostapd/yard.sae_password");
    let psk = world.dir.path().join("hostapd/yard.wpa_psk");
    let lines = |number: usize| {
        format!(
            "{}|mac={}",
            passphrases[number],
            enrollee_mac([&one, &other][number])
        )
    };
    world
        .until_file(&sae, |text| {
            text.contains(&lines(0)) && text.contains(&lines(1))
        })
        .await;
    world
        .until_file(&psk, |text| {
            text.contains(&passphrases[0]) && text.contains(&passphrases[1])
        })
        .await;
    world.revoke(ids[0]).await;
    world
        .until_file(&sae, |text| {
            !text.contains(&passphrases[0]) && text.contains(&lines(1))
        })
        .await;
    world
        .until_file(&psk, |text| !text.contains(&passphrases[0]))
        .await;

    // One file that cannot be written keeps nobody in the others, and is made good soon.
    std::fs::remove_file(&sae).unwrap();
    std::fs::create_dir_all(sae.join("in the way")).unwrap();
    world.revoke(ids[1]).await;
    world
        .until_file(&psk, |text| !text.contains(&passphrases[1]))
        .await;
    std::fs::remove_dir_all(&sae).unwrap();
    world
        .until_file(&sae, |text| !text.contains(&passphrases[1]))
        .await;
}

fn enrollee_mac(enrollee: &Enrollee) -> String {
    let mac = enrollee.mac.unwrap();
    let digits: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(":")
}

/// A person decides while the device comes back (§6.4.3).
#[tokio::test(flavor = "multi_thread")]
async fn a_device_waits_for_a_person_and_gets_in_without_being_touched() {
    let world = World::with(|config| config.policy.ask_a_person = true).await;
    let enrollee = Enrollee::new(Curve::P256);
    let id = world.claim(&enrollee, DeviceRole::Station, "plant").await;
    let joined = enrollee.announce(&world).await;
    let asking = tokio::spawn(async move { joined.configured(&station()).await });
    world.until(async || world.waits(id).await).await;
    assert!(!asking.is_finished());
    world.approve(id).await;
    let configured = asking.await.unwrap();
    assert_eq!(configured.objects().len(), 1);
    world.until_confirmed(id).await;
}

/// Its URI comes in while it is kept waiting (§6.3.3: response pending).
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_calls_before_its_uri_is_known_is_kept_waiting_and_gets_in() {
    use vouchsafe_dpp::authentication::Progress;
    let world = World::new().await;
    let enrollee = Enrollee::new(Curve::P256);
    let mut wire = world.connect().await;
    let (request, waiting) = enrollee.request(&world);
    wire.send(&request).await;
    let response = wire.receive().await.unwrap();
    let Progress::Pending(waiting) = waiting.handle(&response).unwrap() else {
        panic!("let in without a claim");
    };
    let hash = vouchsafe_fleet::Digest(*enrollee.public().hash());
    let store = &world.controller.store;
    let seen = store.announcement(hash, world.now()).await.unwrap();
    assert_eq!(seen.unwrap().code, "unknown-bootstrapping-key");
    let id = world.claim(&enrollee, DeviceRole::Station, "plant").await;
    let response = wire.receive().await.unwrap();
    let Progress::Done {
        confirm,
        authenticated,
    } = waiting.handle(&response).unwrap()
    else {
        panic!("still waiting");
    };
    wire.send(&confirm).await;
    let joined = crate::peer::Joined::new(wire, authenticated);
    joined.configured(&station()).await;
    world.until_confirmed(id).await;
}

/// A signing key that was replaced: what it signed stays good, new devices get the new one.
#[tokio::test(flavor = "multi_thread")]
async fn connectors_come_from_the_newest_signing_key() {
    let world = World::new().await;
    let connector = async || {
        let enrollee = Enrollee::new(Curve::P256);
        world.claim(&enrollee, DeviceRole::Station, "plant").await;
        let joined = enrollee.announce(&world).await;
        let configured = joined.configured(&station()).await;
        let credential = configured.objects()[0]
            .credential
            .connector()
            .unwrap()
            .clone();
        credential.connector
    };
    let before = connector().await;
    world.rotate(world.now() + SignedDuration::from_secs(1));
    let after = connector().await;
    let ring = world.controller.dpp.ring();
    let kid = |signer: &dyn vouchsafe_trust::Signer| CSignPublicKey::of_signer(signer).unwrap();
    let [new, old] = [&ring.current, &ring.older[0]].map(|key| kid(key.c_sign.signer().as_ref()));
    let verify = |connector: &Connector, key: &CSignPublicKey| {
        connector
            .verify(std::slice::from_ref(key), world.now())
            .is_ok()
    };
    assert!(verify(&before, &old) && !verify(&before, &new));
    assert!(verify(&after, &new) && !verify(&after, &old));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_rejects_its_configuration_is_heard() {
    use vouchsafe_dpp::configuration::Outcome;
    let world = World::new().await;
    let enrollee = Enrollee::new(Curve::P256);
    let id = world.claim(&enrollee, DeviceRole::Station, "plant").await;
    let (mut wire, outcome) = enrollee.announce(&world).await.ask(&station()).await;
    let Ok(Outcome::Configured(configured)) = outcome else {
        panic!("{outcome:?}");
    };
    let result = configured.result(Status::ConfigurationRejected).unwrap();
    wire.send(&result).await;
    world
        .until(async || {
            let journal = world.journal(id).await;
            journal
                .iter()
                .any(|entry| entry.action == Action::EnrolmentFailed)
        })
        .await;
    assert_eq!(world.last_reasons(id).await, ["device-said"]);
}
