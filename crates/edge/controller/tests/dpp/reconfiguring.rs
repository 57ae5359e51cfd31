//! Devices that show their connector: another network, a newer connector, or no.

use jiff::SignedDuration;
use vouchsafe_dpp::announcement::{EnrolleeIdentity, ReconfigurationAnnouncement};
use vouchsafe_dpp::configuration::{Configured, ConnectionStatus};
use vouchsafe_dpp::connector::VerifiedConnector;
use vouchsafe_dpp::object::ConnectorCredential;
use vouchsafe_dpp::reconfiguration::Device;
use vouchsafe_dpp::{Curve, PrivateKey, Status};
use vouchsafe_fleet::wifi::{Assurance, DeviceRole, NetworkCredential};
use vouchsafe_fleet::{Action, State};

use crate::peer::{Joined, entropy, station};
use crate::world::{Enrollee, World};

/// What a device remembers of its configuration.
#[derive(Clone)]
struct Memory {
    credential: ConnectorCredential,
    connector: VerifiedConnector,
    key: PrivateKey,
}

impl Memory {
    fn of(world: &World, configured: &Configured) -> Self {
        let credential = configured.objects()[0].credential.connector().unwrap();
        let key = configured.authenticated().own_protocol_key().clone();
        Self {
            credential: credential.clone(),
            connector: credential.verify(key.public(), world.now()).unwrap(),
            key,
        }
    }

    /// Announces itself to the controller that it knows, and proves its key.
    async fn announce(self, world: &World) -> Option<Joined> {
        let privacy_key = self.credential.privacy_key.as_ref().unwrap();
        let seed: [u8; 96] = vouchsafe_keystore::random::bytes();
        let identity = EnrolleeIdentity::from_seed(Curve::P256, &seed).unwrap();
        let announcement = ReconfigurationAnnouncement::new(
            &self.credential.c_sign,
            privacy_key,
            &identity,
            self.key.curve(),
            &seed,
        )
        .unwrap();
        let mut wire = world.connect().await;
        wire.send(&announcement.write().unwrap()).await;
        let request = wire.receive().await?;
        let device = Device {
            connector: self.connector,
            key: self.key,
            c_sign: self.credential.c_sign,
        };
        let status = ConnectionStatus {
            result: Status::NoAccessPoint,
            ssid: None,
            channel_list: None,
        };
        let now = world.now();
        let (response, waiting) = device.answer(&request, &status, &entropy(), now).unwrap();
        wire.send(&response).await;
        let confirm = wire.receive().await?;
        let authenticated = waiting.handle(&confirm).unwrap().authenticated;
        Some(Joined::new(wire, authenticated))
    }
}

async fn onboarded(world: &World) -> (vouchsafe_fleet::DeviceId, Memory) {
    let enrollee = Enrollee::new(Curve::P256);
    let id = world.claim(&enrollee, DeviceRole::Station, "plant").await;
    let configured = enrollee.announce(world).await.configured(&station()).await;
    world.until_confirmed(id).await;
    (id, Memory::of(world, &configured))
}

/// §6.5: a person means the device for another network, and it comes by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_moved_to_another_network_without_being_touched() {
    let world = World::new().await;
    world
        .network("annex", NetworkCredential::Connector, false)
        .await;
    let (id, memory) = onboarded(&world).await;
    world.assign(id, "annex").await;
    let joined = memory.announce(&world).await.unwrap();
    let configured = joined.configured(&station()).await;
    assert_eq!(configured.objects()[0].ssid.text(), Some("annex"));
    world.until_confirmed(id).await;
    let holdings = world.holdings(id).await;
    let given = holdings.standing.unwrap().given.unwrap();
    assert_eq!(given.network, "annex");
    assert_eq!(given.assurance, Assurance::Connector);
    let now = world.now();
    let current = holdings.access.iter().filter(|one| one.is_current(now));
    assert_eq!(
        current.count(),
        2,
        "the one that was shown, and the new one"
    );
    let journal = world.journal(id).await;
    assert!(
        journal
            .iter()
            .any(|entry| entry.action == Action::CredentialRenewed)
    );
    // And again, with what it got now.
    let memory = Memory::of(&world, &configured);
    memory
        .announce(&world)
        .await
        .unwrap()
        .configured(&station())
        .await;
}

/// §6.5: whoever has overheard a connector can show it, again and again. The device that it was made for
/// comes with the newer one that it got since, and is served.
#[tokio::test(flavor = "multi_thread")]
async fn who_shows_an_old_connector_takes_nothing_from_the_device() {
    let world = World::new().await;
    let (id, old) = onboarded(&world).await;
    let overheard = old.clone();
    let joined = old.announce(&world).await.unwrap();
    let newer = Memory::of(&world, &joined.configured(&station()).await);
    world.until_confirmed(id).await;
    for _ in 0..2 {
        let joined = overheard.clone().announce(&world).await.unwrap();
        joined.configured(&station()).await;
    }
    newer
        .announce(&world)
        .await
        .unwrap()
        .configured(&station())
        .await;
}

/// Nor its place: the device that shows its label's key is not cut for who shows its connector.
#[tokio::test(flavor = "multi_thread")]
async fn who_shows_a_connector_takes_no_place_from_the_device() {
    let world = World::new().await;
    let enrollee = Enrollee::new(Curve::P256);
    let id = world.claim(&enrollee, DeviceRole::Station, "plant").await;
    let configured = enrollee.announce(&world).await.configured(&station()).await;
    world.until_confirmed(id).await;
    let overheard = Memory::of(&world, &configured);
    let joined = enrollee.announce(&world).await;
    let mut open = Vec::new();
    for _ in 0..5 {
        open.push(overheard.clone().announce(&world).await.unwrap());
    }
    joined.configured(&station()).await;
}

/// A device that knows a signing key that was replaced gets a connector of the new one.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_of_a_replaced_signing_key_comes_over_to_the_new_one() {
    let world = World::new().await;
    let (id, memory) = onboarded(&world).await;
    let later = world.now() + SignedDuration::from_secs(1);
    world.rotate(later);
    let before = memory.credential.c_sign.kid().to_owned();
    let joined = memory.announce(&world).await.unwrap();
    let configured = joined.configured(&station()).await;
    let connector = configured.objects()[0].credential.connector().unwrap();
    assert_ne!(connector.c_sign.kid(), before);
    world.until_confirmed(id).await;
}

/// What was taken back opens nothing, not even the way to something newer.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_connector_is_no_way_to_another_one() {
    let world = World::new().await;
    let (id, memory) = onboarded(&world).await;
    world.revoke(id).await;
    let joined = memory.announce(&world).await.unwrap();
    assert_eq!(joined.refused(&station()).await, Status::ConfigureFailure);
    assert_eq!(world.last_reasons(id).await, ["credential-revoked"]);
}

/// §6.5: a connector is seen in clear, and who has seen it can take part in its name. No secret is
/// given for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_connector_is_no_way_to_a_passphrase_or_a_certificate() {
    let world = World::new().await;
    let kinds = [
        ("sae", NetworkCredential::Sae),
        ("office", NetworkCredential::Certificate),
    ];
    let (id, memory) = onboarded(&world).await;
    let mut memory = Some(memory);
    for (name, kind) in kinds {
        world.network(name, kind, false).await;
        world.assign(id, name).await;
        let shown = memory.take().unwrap();
        memory = Some(Memory {
            credential: shown.credential.clone(),
            connector: shown.connector.clone(),
            key: shown.key.clone(),
        });
        let joined = shown.announce(&world).await.unwrap();
        assert_eq!(joined.refused(&station()).await, Status::ConfigureFailure);
        assert_eq!(world.last_reasons(id).await, ["connector-not-enough"]);
        assert_eq!(world.holdings(id).await.access.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_in_quarantine_is_not_reconfigured() {
    let world = World::new().await;
    let (id, memory) = onboarded(&world).await;
    world.quarantine(id).await;
    let joined = memory.announce(&world).await.unwrap();
    assert_eq!(joined.refused(&station()).await, Status::ConfigureFailure);
    assert_eq!(world.last_reasons(id).await, ["device-quarantined"]);
    assert_eq!(world.device(id).await.state, State::Quarantined);
}

/// §6.5.2: an announcement to another configurator gets silence.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_of_another_owner_gets_silence() {
    let [world, other] = [World::new().await, World::new().await];
    let (_, memory) = onboarded(&other).await;
    assert!(memory.announce(&world).await.is_none());
}

/// §6.5.3: somebody has the device's connector, which is public, and not its key.
#[tokio::test(flavor = "multi_thread")]
async fn a_connector_without_its_key_is_refused() {
    let world = World::new().await;
    let (id, mut memory) = onboarded(&world).await;
    memory.key = PrivateKey::from_seed(Curve::P256, &[99; 96]).unwrap();
    let again = Memory {
        credential: memory.credential.clone(),
        connector: memory.connector.clone(),
        key: memory.key.clone(),
    };
    assert!(memory.announce(&world).await.is_none());
    assert_eq!(world.device(id).await.state, State::Onboarded);
    // The site's journal has it, and once however often it is tried.
    assert!(again.announce(&world).await.is_none());
    let journal = world.site_journal().await;
    let refused = journal
        .iter()
        .filter(|entry| entry.action == Action::RequestRefused);
    assert_eq!(refused.count(), 1);
}
