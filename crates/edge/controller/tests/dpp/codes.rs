//! Devices without a label, whom somebody told a code (§5.6).

use std::sync::Arc;

use jiff::SignedDuration;
use vouchsafe_controller::dpp::Grant;
use vouchsafe_dpp::authentication::{
    Initiator as Caller, InitiatorParameters, Progress, Role, Roles,
};
use vouchsafe_dpp::pkex::{Initiator, PkexBinding, PkexCode, Tries};
use vouchsafe_dpp::{Agreement, Curve};
use vouchsafe_fleet::wifi::{Assurance, DeviceRole, NetworkCredential};
use vouchsafe_fleet::{Action, Reason};

use crate::peer::{Joined, entropy, station};
use crate::world::{Enrollee, Wire, World, admin};

const CODE: &str = "seven silver spoons";

fn say(world: &World) {
    say_for(world, "plant", true);
}

fn say_for(world: &World, network: &str, runs_devices: bool) {
    let code = PkexCode::new(Some("bench"), CODE).unwrap();
    let grant = Grant {
        role: DeviceRole::Station,
        network: Some(network.to_owned()),
        label: Some("bench 7".to_owned()),
        actor: admin(),
        reasons: vec![Reason::new(
            "person",
            "a device without a label",
            "owner policy",
        )],
        runs_devices,
    };
    assert!(
        world
            .controller
            .codes
            .add(code, grant, world.now())
            .is_some()
    );
}

/// A device that guesses: its connection, and what it could send as the proof.
async fn begin(world: &World, enrollee: &Enrollee, code: &str) -> (Wire, Option<Reveal>) {
    let own: Arc<dyn Agreement> = Arc::new(enrollee.key.clone());
    let code = PkexCode::new(Some("bench"), code).unwrap();
    let mut tries = Tries::default();
    let (request, waiting) =
        Initiator::start(own, code, PkexBinding::Versions, &mut tries, &entropy()).unwrap();
    let mut wire = world.connect().await;
    wire.send(&request).await;
    let Some(response) = wire.receive().await else {
        return (wire, None);
    };
    let (commit, waiting) = waiting.handle(&response).unwrap();
    (wire, Some(Reveal { commit, waiting }))
}

struct Reveal {
    commit: Vec<u8>,
    waiting: vouchsafe_dpp::pkex::AwaitReveal,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_knows_the_code_comes_in_as_one_whose_label_was_read() {
    let world = World::new().await;
    say(&world);
    let enrollee = Enrollee::new(Curve::P256);
    let (mut wire, reveal) = begin(&world, &enrollee, CODE).await;
    let Reveal { commit, waiting } = reveal.unwrap();
    wire.send(&commit).await;
    let response = wire.receive().await.unwrap();
    let controller = waiting.handle(&response, &mut Tries::default()).unwrap();
    let own: Arc<dyn Agreement> = Arc::new(enrollee.key.clone());
    let parameters = InitiatorParameters {
        own: Some(own),
        peer: &controller,
        roles: Roles::Only(Role::Enrollee),
        version: 3,
        channel: None,
        require_mutual: true,
    };
    let (request, waiting) = Caller::start(parameters, &entropy()).unwrap();
    wire.send(&request).await;
    let response = wire.receive().await.unwrap();
    let Progress::Done {
        confirm,
        authenticated,
    } = waiting.handle(&response).unwrap()
    else {
        panic!("told to wait");
    };
    wire.send(&confirm).await;
    Joined::new(wire, authenticated)
        .configured(&station())
        .await;
    let hash = vouchsafe_fleet::Digest(*enrollee.public().hash());
    let key = world
        .controller
        .store
        .bootstrapping_key(hash)
        .await
        .unwrap()
        .unwrap();
    world.until_confirmed(key.device).await;
    assert_eq!(world.device(key.device).await.serial, "bench 7");
    let given = world
        .holdings(key.device)
        .await
        .standing
        .unwrap()
        .given
        .unwrap();
    assert_eq!(given.assurance, Assurance::Mutual);
    // A code is good for one device.
    let (_, again) = begin(&world, &Enrollee::new(Curve::P256), CODE).await;
    assert!(again.is_none());
}

/// §5.6.2: after five wrong guesses nobody gets in with it, not even with the right one.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_guesses_use_up_a_code() {
    let world = World::new().await;
    say(&world);
    for _ in 0..Tries::LIMIT {
        let enrollee = Enrollee::new(Curve::P256);
        let (mut wire, reveal) = begin(&world, &enrollee, "another code").await;
        wire.send(&reveal.unwrap().commit).await;
        assert_eq!(wire.receive().await, None);
        let hash = vouchsafe_fleet::Digest(*enrollee.public().hash());
        let known = world
            .controller
            .store
            .bootstrapping_key(hash)
            .await
            .unwrap();
        assert!(known.is_none());
    }
    let (_, late) = begin(&world, &Enrollee::new(Curve::P256), CODE).await;
    assert!(late.is_none());
    // Each is in the journal, with how many are left.
    let journal = world.site_journal().await;
    let guesses: Vec<&str> = journal
        .iter()
        .filter(|entry| entry.reasons.iter().any(|it| it.code == "pkex-code-wrong"))
        .map(|entry| entry.data["guesses-left"].as_str())
        .collect();
    assert_eq!(guesses, ["4", "3", "2", "1", "0"]);
}

/// The identifier is sent in clear, so a stranger who knows nothing else must not use up the code.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_no_point_is_no_guess() {
    let world = World::new().await;
    say(&world);
    let enrollee = Enrollee::new(Curve::P256);
    let own: Arc<dyn Agreement> = Arc::new(enrollee.key.clone());
    let code = PkexCode::new(Some("bench"), "another code").unwrap();
    let mut tries = Tries::default();
    let (mut request, _) =
        Initiator::start(own, code, PkexBinding::Versions, &mut tries, &entropy()).unwrap();
    // The hidden key comes last.
    let hidden = request.len() - 64;
    request[hidden..].fill(0);
    for _ in 0..=Tries::LIMIT {
        let mut wire = world.connect().await;
        wire.send(&request).await;
        assert_eq!(wire.receive().await, None);
    }
    assert_eq!(world.controller.codes.list(world.now())[0].guessed, 0);
    let (mut wire, reveal) = begin(&world, &enrollee, CODE).await;
    wire.send(&reveal.unwrap().commit).await;
    assert!(wire.receive().await.is_some());
}

/// A code stands for the rights of who said it, and for the network that they named and no other.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_gives_no_more_than_who_said_it_may() {
    let world = World::new().await;
    world
        .network("annex", NetworkCredential::Connector, false)
        .await;
    let enrollee = Enrollee::new(Curve::P256);
    let id = world.claim(&enrollee, DeviceRole::Station, "plant").await;
    enrollee.announce(&world).await.configured(&station()).await;
    world.until_confirmed(id).await;
    for (device, network) in [(&enrollee, "annex"), (&Enrollee::new(Curve::P256), "gone")] {
        say_for(&world, network, false);
        let (mut wire, reveal) = begin(&world, device, CODE).await;
        wire.send(&reveal.unwrap().commit).await;
        assert!(wire.receive().await.is_none(), "{network}");
    }
    let standing = world.holdings(id).await.standing.unwrap();
    assert_eq!(standing.wanted.as_deref(), Some("plant"));
    let site = world.site_journal().await;
    let refused = site
        .iter()
        .filter(|entry| entry.action == Action::RequestRefused)
        .map(|entry| entry.reasons[0].code.clone());
    let refused: Vec<_> = refused.collect();
    assert_eq!(refused, ["actor-may-not", "network-unknown"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_end_and_have_names_of_their_own() {
    let world = World::new().await;
    say(&world);
    let code = || PkexCode::new(Some("bench"), CODE).unwrap();
    let grant = Grant {
        role: DeviceRole::Station,
        network: None,
        label: None,
        actor: admin(),
        reasons: Vec::new(),
        runs_devices: true,
    };
    let codes = &world.controller.codes;
    assert!(codes.add(code(), grant.clone(), world.now()).is_none());
    let listed = codes.list(world.now());
    let [said] = &listed[..] else {
        panic!("{listed:?}");
    };
    assert_eq!(said.identifier.as_deref(), Some("bench"));
    assert_eq!((said.label.as_deref(), said.left()), (Some("bench 7"), 5));
    assert!(!format!("{:?}", codes).contains(CODE));
    // One that was taken back is said anew.
    assert!(codes.remove(said.id, world.now()) && !codes.remove(said.id, world.now()));
    assert!(codes.add(code(), grant.clone(), world.now()).is_some());
    let later = world.now() + SignedDuration::from_mins(11);
    assert!(codes.add(code(), grant, later).is_some());
}
