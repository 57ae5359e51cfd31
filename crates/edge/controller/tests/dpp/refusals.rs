//! What is refused, and what is written down about it: each with the forged message.

use vouchsafe_dpp::announcement::presence;
use vouchsafe_dpp::configuration::Outcome;
use vouchsafe_dpp::object::{NetRole, RequestObject};
use vouchsafe_dpp::{Agreement as _, Curve, Error, Status, csr};
use vouchsafe_fleet::wifi::{DeviceRole, NetworkCredential};
use vouchsafe_fleet::{Action, Digest, State};
use vouchsafe_trust::{Name, RequestContent, SoftwareSigner, oid};

use crate::peer::station;
use crate::world::{Enrollee, World};

/// §6.2: a chirp of nobody known gets no answer; it is remembered, and matched once the URI is
/// there.
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_chirp_gets_silence_and_is_remembered_until_its_uri_comes() {
    let world = World::new().await;
    let enrollee = Enrollee::new(Curve::P256);
    for _ in 0..3 {
        let mut wire = enrollee.chirp(&world).await;
        assert_eq!(wire.receive().await, None);
    }
    let chirp = Digest(*enrollee.public().chirp_hash());
    let store = &world.controller.store;
    let seen = store
        .announcement(chirp, world.now())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(seen.code, "unknown-bootstrapping-key");
    let site = world.site_journal().await;
    let site = site.iter();
    let written = site.filter(|entry| entry.action == Action::UnknownSeen);
    assert_eq!(written.count(), 1, "once, however often it chirps");
    let id = world.claim(&enrollee, DeviceRole::Station, "plant").await;
    enrollee.announce(&world).await.configured(&station()).await;
    world.until_confirmed(id).await;
}

/// §6.3.2: a request for another key than the controller's.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_another_controller_gets_silence() {
    let world = World::new().await;
    let enrollee = Enrollee::new(Curve::P256);
    world.claim(&enrollee, DeviceRole::Station, "plant").await;
    let (mut request, _) = enrollee.request(&world);
    let hash = *world.controller.dpp.bootstrapping().public_key().hash();
    let at = request.windows(32).position(|part| part == hash).unwrap();
    request[at] ^= 1;
    let mut wire = world.connect().await;
    wire.send(&request).await;
    assert_eq!(wire.receive().await, None);
}

/// §6.3.3: a request whose wrapped part does not open under the controller's key.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_does_not_open_is_journaled_and_gets_silence() {
    let world = World::new().await;
    let enrollee = Enrollee::new(Curve::P256);
    let id = world.claim(&enrollee, DeviceRole::Station, "plant").await;
    let (mut request, _) = enrollee.request(&world);
    *request.last_mut().unwrap() ^= 1;
    let mut wire = world.connect().await;
    wire.send(&request).await;
    assert_eq!(wire.receive().await, None);
    assert_eq!(world.last_reasons(id).await, ["unwrap-failed"]);
}

/// A recorded call, sent again: the confirm in it does not fit the new response.
#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_call_ends_at_its_confirm() {
    use vouchsafe_dpp::authentication::Progress;
    let world = World::new().await;
    let enrollee = Enrollee::new(Curve::P256);
    let id = world.claim(&enrollee, DeviceRole::Station, "plant").await;
    let (request, waiting) = enrollee.request(&world);
    let mut wire = world.connect().await;
    wire.send(&request).await;
    let response = wire.receive().await.unwrap();
    let Progress::Done { confirm, .. } = waiting.handle(&response).unwrap() else {
        panic!("told to wait");
    };
    drop(wire);
    let mut again = world.connect().await;
    again.send(&request).await;
    again.receive().await.expect("it looks like a new call");
    again.send(&confirm).await;
    assert_eq!(again.receive().await, None);
    assert_eq!(world.last_reasons(id).await, ["unwrap-failed"]);
    assert_eq!(world.device(id).await.state, State::Claimed);
}

/// A device that is known and belongs to nobody here: its maker's manifest told of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_was_given_up_gets_silence_and_a_line_in_its_journal() {
    let world = World::new().await;
    let enrollee = Enrollee::new(Curve::P256);
    let id = world.claim(&enrollee, DeviceRole::Station, "plant").await;
    world.release(id).await;
    let mut wire = enrollee.chirp(&world).await;
    assert_eq!(wire.receive().await, None);
    assert_eq!(world.last_reasons(id).await, ["device-released"]);
}

/// One key, two devices.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_claimed_twice_lets_nobody_in() {
    let world = World::new().await;
    let enrollee = Enrollee::new(Curve::P256);
    let id = world.claim(&enrollee, DeviceRole::Station, "plant").await;
    let outcome = world.claim_for_another(&enrollee).await;
    assert_eq!(
        outcome.refusal(),
        Some(vouchsafe_fleet::Refusal::BootstrappingKeyConflict)
    );
    world.controller.commit(outcome.commit).await.unwrap();
    let mut wire = enrollee.chirp(&world).await;
    assert_eq!(wire.receive().await, None);
    assert_eq!(world.last_reasons(id).await, ["bootstrapping-key-conflict"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_in_quarantine_gets_silence() {
    let world = World::new().await;
    let enrollee = Enrollee::new(Curve::P256);
    let id = world.claim(&enrollee, DeviceRole::Station, "plant").await;
    enrollee.announce(&world).await.configured(&station()).await;
    world.until_confirmed(id).await;
    world.quarantine(id).await;
    let mut wire = enrollee.chirp(&world).await;
    assert_eq!(wire.receive().await, None);
    assert_eq!(world.last_reasons(id).await, ["device-quarantined"]);
}

/// A lamp that asks to be an access point, and a device that asks to be a configurator.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_gets_no_other_role_than_the_one_it_was_claimed_for() {
    let world = World::new().await;
    for role in [NetRole::AccessPoint, NetRole::Configurator] {
        let enrollee = Enrollee::new(Curve::P256);
        let id = world.claim(&enrollee, DeviceRole::Station, "plant").await;
        let joined = enrollee.announce(&world).await;
        let status = joined.refused(&RequestObject::new("lamp", role)).await;
        assert_eq!(status, Status::ConfigureFailure);
        assert_eq!(world.last_reasons(id).await, ["role-differs"]);
        assert!(world.holdings(id).await.access.is_empty());
    }
}

/// §6.3.4: who announces somebody else's key cannot answer the call.
#[tokio::test(flavor = "multi_thread")]
async fn who_chirps_for_another_device_is_found_out() {
    use vouchsafe_dpp::authentication::{AuthenticationRequest, Responder, Role, Roles, VERSION};
    let world = World::new().await;
    let [victim, thief] = [Enrollee::new(Curve::P256), Enrollee::new(Curve::P256)];
    let id = world.claim(&victim, DeviceRole::Station, "plant").await;
    let mut wire = world.connect().await;
    wire.send(&presence(&victim.public()).unwrap()).await;
    let request = wire.receive().await.unwrap();
    let read = AuthenticationRequest::read(&request).unwrap();
    let roles = Roles::Only(Role::Enrollee);
    assert!(Responder::accept(&read, &thief.key, roles, VERSION).is_err());
    // Its own request, sent back.
    wire.send(&request).await;
    assert_eq!(wire.receive().await, None);
    assert_eq!(world.last_reasons(id).await, ["message-unexpected"]);
    assert_eq!(world.device(id).await.state, State::Claimed);
}

/// §6.4.2: a certificate request that was made for another exchange.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_request_of_another_exchange_is_refused() {
    let world = World::new().await;
    world
        .network("office", NetworkCredential::Certificate, false)
        .await;
    let enrollee = Enrollee::new(Curve::P256);
    let id = world.claim(&enrollee, DeviceRole::Station, "office").await;
    let other = enrollee.announce(&world).await;
    let signer = SoftwareSigner::from_pkcs8_der(
        vouchsafe_keystore::generate_pkcs8(vouchsafe_keystore::Algorithm::EcdsaP256)
            .unwrap()
            .expose(),
    )
    .unwrap();
    let content = RequestContent::new(Name::new(&[(oid::COMMON_NAME, "lamp")]).unwrap());
    let foreign = csr::build(other.side.authenticated(), &content, &signer).unwrap();
    let (wire, outcome) = enrollee.announce(&world).await.ask(&station()).await;
    let Ok(Outcome::CertificateRequestNeeded { side, .. }) = outcome else {
        panic!("{outcome:?}");
    };
    let mut object = station();
    object.certificate_request = Some(foreign);
    let asked = crate::peer::Joined { wire, side };
    match asked.ask(&object).await.1 {
        Err(Error::Peer(status)) => assert_eq!(status, Status::CertificateRequestBad),
        other => panic!("{other:?}"),
    }
    assert_eq!(
        world.last_reasons(id).await,
        ["challenge-password-mismatch"]
    );
    assert!(
        world
            .controller
            .store
            .credentials(id)
            .await
            .unwrap()
            .is_empty()
    );

    // And one of this exchange gets its certificate, once.
    let (wire, outcome) = enrollee.announce(&world).await.ask(&station()).await;
    let Ok(Outcome::CertificateRequestNeeded { side, .. }) = outcome else {
        panic!("{outcome:?}");
    };
    object.certificate_request = Some(csr::build(side.authenticated(), &content, &signer).unwrap());
    let asked = crate::peer::Joined { wire, side };
    let configured = asked.configured(&object).await;
    let enterprise = configured.objects()[0].credential.enterprise().unwrap();
    assert_eq!(enterprise.certificates().unwrap().len(), 2);
    world.until_confirmed(id).await;
    let credentials = world.controller.store.credentials(id).await.unwrap();
    assert_eq!(credentials.len(), 1);

    // The key is this device's now, and nobody else's.
    let thief = Enrollee::new(Curve::P256);
    let id = world.claim(&thief, DeviceRole::Station, "office").await;
    let (wire, outcome) = thief.announce(&world).await.ask(&station()).await;
    let Ok(Outcome::CertificateRequestNeeded { side, .. }) = outcome else {
        panic!("{outcome:?}");
    };
    object.certificate_request = Some(csr::build(side.authenticated(), &content, &signer).unwrap());
    let asked = crate::peer::Joined { wire, side };
    let refused = asked.ask(&object).await.1;
    assert!(matches!(refused, Err(Error::Peer(_))), "{refused:?}");
    assert_eq!(world.last_reasons(id).await, ["key-of-another-device"]);
}

/// An access point could not find this device's SAE password.
#[tokio::test(flavor = "multi_thread")]
async fn a_station_without_an_address_gets_no_password_that_nobody_could_find() {
    let world = World::new().await;
    world.network("yard", NetworkCredential::Sae, false).await;
    let mut enrollee = Enrollee::new(Curve::P256);
    enrollee.mac = None;
    let id = world.claim(&enrollee, DeviceRole::Station, "yard").await;
    let status = enrollee.announce(&world).await.refused(&station()).await;
    assert_eq!(status, Status::ConfigureFailure);
    assert_eq!(world.last_reasons(id).await, ["station-address-unknown"]);
    // One that knows identifiers gets one.
    let mut object = station();
    object.capabilities = vouchsafe_dpp::object::CAPABILITY_SAE_PASSWORD_IDENTIFIER;
    let configured = enrollee.announce(&world).await.configured(&object).await;
    let password = configured.objects()[0].credential.password().unwrap();
    assert!(password.identifier().is_some());
}

/// The store is gone: nobody gets anything, and nothing is said.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_store_nobody_is_answered() {
    let world = World::new().await;
    let enrollee = Enrollee::new(Curve::P256);
    world.claim(&enrollee, DeviceRole::Station, "plant").await;
    let joined = enrollee.announce(&world).await;
    world.controller.store.close().await;
    let crate::peer::Joined { mut wire, side } = joined;
    let (request, _) = side
        .request(&station(), &vouchsafe_keystore::random::bytes())
        .unwrap();
    wire.send(&request).await;
    assert_eq!(wire.receive().await, None);
    let mut wire = enrollee.chirp(&world).await;
    assert_eq!(wire.receive().await, None);
}

/// The answer was committed and never arrived: the device comes again and gets something usable, and
/// what nobody received no longer counts.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_never_got_its_answer_comes_again() {
    let world = World::new().await;
    let enrollee = Enrollee::new(Curve::P256);
    let id = world.claim(&enrollee, DeviceRole::Station, "plant").await;
    let crate::peer::Joined { mut wire, side } = enrollee.announce(&world).await;
    let (request, _) = side
        .request(&station(), &vouchsafe_keystore::random::bytes())
        .unwrap();
    wire.send(&request).await;
    drop(wire);
    world
        .until(async || !world.holdings(id).await.access.is_empty())
        .await;
    let configured = enrollee.announce(&world).await.configured(&station()).await;
    world.until_confirmed(id).await;
    let now = world.now();
    let access = world.holdings(id).await.access;
    let current: Vec<_> = access.iter().filter(|one| one.is_current(now)).collect();
    assert_eq!(current.len(), 1);
    let own = configured.authenticated().own_protocol_key().public();
    let connector = configured.objects()[0].credential.connector().unwrap();
    connector.verify(own, now).unwrap();
}
