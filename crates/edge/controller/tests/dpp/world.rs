//! A site with its listener, and devices with bootstrapping keys.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use vouchsafe_controller::config::Config;
use vouchsafe_controller::dpp::{AccessFiles, Listener};
use vouchsafe_controller::{Controller, Home, initialise};
use vouchsafe_dpp::uri::BootstrappingUri;
use vouchsafe_dpp::{
    Agreement as _, BootstrappingKey, BootstrappingPublicKey, Curve, PrivateKey, tcp,
};
use vouchsafe_fleet::decide::wifi::{self, AssignFacts, ClaimUriFacts, NetworkFacts};
use vouchsafe_fleet::decide::{
    self, ApprovalFacts, OperateFacts, WishKind, approval_id, approve, revoke_access,
};
use vouchsafe_fleet::wifi::BootstrappingKey as BootstrappingRecord;
use vouchsafe_fleet::wifi::{
    DeviceRole, Holdings, KeyFacts, KeySource, Network, NetworkCredential,
};
use vouchsafe_fleet::{
    Actor, ActorKind, Device, DeviceId, Digest, Entry, ManufacturerId, Outcome, RevocationReason,
    Subject, VoucherRecord, VoucherStatus,
};
use vouchsafe_net::Clock;
use vouchsafe_store::{KeyFilter, Store, StoreConfig};

/// Longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct World {
    pub clock: Clock,
    pub controller: Controller,
    pub addr: SocketAddr,
    pub dir: TempDir,
    stop: Option<oneshot::Sender<()>>,
    served: Option<tokio::task::JoinHandle<u64>>,
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A site with one network of connectors, and a configuration of one's own.
    pub async fn with(configure: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let mut config = Config::default();
        config.keys.store = "file:keys?sealing-key=sealing.key".to_owned();
        configure(&mut config);
        initialise(dir.path(), &config, &clock).await.unwrap();
        let (controller, addr, stop, served) = start(&dir, &clock).await;
        let world = Self {
            clock,
            controller,
            addr,
            dir,
            stop: Some(stop),
            served: Some(served),
        };
        world
            .network("plant", NetworkCredential::Connector, false)
            .await;
        world
    }

    /// Stops the listener in good order and says how many sessions it had to cut.
    pub async fn stop(&mut self) -> u64 {
        drop(self.stop.take());
        self.controller.stopping.send_replace(true);
        let served = self.served.take().unwrap();
        tokio::time::timeout(PATIENCE, served)
            .await
            .unwrap()
            .unwrap()
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Describes a network; its SSID is its name.
    pub async fn network(&self, name: &str, credential: NetworkCredential, fallback: bool) {
        let now = self.now();
        let wanted = Network {
            name: name.to_owned(),
            ssid: name.to_owned(),
            credential,
            fallback,
            segment: None,
            lifetime_days: None,
            server_name: None,
            version: 0,
            created_at: now,
            updated_at: now,
        };
        let facts = NetworkFacts {
            now,
            actor: &admin(),
            existing: None,
            count: 0,
            segments: &[],
        };
        self.commit(wifi::put_network(&facts, wanted)).await;
    }

    /// Somebody hands in the URI of a device, for a network.
    pub async fn claim(&self, enrollee: &Enrollee, role: DeviceRole, network: &str) -> DeviceId {
        self.claim_uri(&enrollee.uri(), &enrollee.public(), role, network)
            .await
    }

    pub async fn claim_uri(
        &self,
        uri: &str,
        key: &BootstrappingPublicKey,
        role: DeviceRole,
        network: &str,
    ) -> DeviceId {
        let store = &self.controller.store;
        let id = Digest(*key.hash());
        let known = store.bootstrapping_key(id).await.unwrap();
        let device = wifi::device_of(None, id, known.as_ref());
        let existing = store.device(device).await.unwrap();
        let holdings = store.holdings(device).await.unwrap();
        let network = store.network(network).await.unwrap();
        let facts = ClaimUriFacts {
            now: self.now(),
            actor: &admin(),
            owner: self.controller.owner,
            key: KeyFacts {
                id,
                chirp_hash: Digest(*key.chirp_hash()),
                curve: key.curve().jwk_name(),
                uri,
            },
            role,
            source: KeySource::Person,
            identity: None,
            label: None,
            model: None,
            mud_url: None,
            segment: None,
            network: network.as_ref(),
            existing: existing.as_ref(),
            standing: holdings.standing.as_ref(),
            known: known.as_ref(),
            reasons: &[],
            runs_devices: true,
        };
        self.commit(wifi::claim_uri(&facts)).await;
        device
    }

    /// Somebody hands in the same URI for another device.
    pub async fn claim_for_another(&self, enrollee: &Enrollee) -> Outcome<wifi::ClaimedKey> {
        let key = enrollee.public();
        let id = Digest(*key.hash());
        let known = self.controller.store.bootstrapping_key(id).await.unwrap();
        wifi::claim_uri(&ClaimUriFacts {
            now: self.now(),
            actor: &admin(),
            owner: self.controller.owner,
            key: KeyFacts {
                id,
                chirp_hash: Digest(*key.chirp_hash()),
                curve: key.curve().jwk_name(),
                uri: &enrollee.uri(),
            },
            role: DeviceRole::Station,
            source: KeySource::Person,
            identity: Some((ManufacturerId([7; 16]), "another")),
            label: None,
            model: None,
            mud_url: None,
            segment: None,
            network: None,
            existing: None,
            standing: None,
            known: known.as_ref(),
            reasons: &[],
            runs_devices: true,
        })
    }

    /// The device's bootstrapping key as it is stored.
    pub async fn key_of(&self, id: DeviceId) -> BootstrappingRecord {
        let filter = KeyFilter {
            device: Some(id),
            conflicts: false,
        };
        let store = &self.controller.store;
        store
            .bootstrapping_keys(&filter, None, 1)
            .await
            .unwrap()
            .remove(0)
    }

    pub async fn commit<D: std::fmt::Debug>(&self, outcome: Outcome<D>) {
        assert!(outcome.refusal().is_none(), "{:?}", outcome.decision);
        self.controller.commit(outcome.commit).await.unwrap();
    }

    pub async fn device(&self, id: DeviceId) -> Device {
        self.controller.store.device(id).await.unwrap().unwrap()
    }

    pub async fn holdings(&self, id: DeviceId) -> Holdings {
        self.controller.store.holdings(id).await.unwrap()
    }

    /// What the journal says about a device.
    pub async fn journal(&self, id: DeviceId) -> Vec<Entry> {
        self.entries(Subject::Device(id)).await
    }

    /// What the journal says about the site.
    pub async fn site_journal(&self) -> Vec<Entry> {
        self.entries(Subject::Site).await
    }

    async fn entries(&self, subject: Subject) -> Vec<Entry> {
        let store = &self.controller.store;
        let chain = store.journal(subject, 0, 5000).await.unwrap();
        chain
            .iter()
            .map(|entry| entry.sealed.entry().unwrap())
            .collect()
    }

    /// The codes of the reasons of the last entry about a device.
    pub async fn last_reasons(&self, id: DeviceId) -> Vec<String> {
        let journal = self.journal(id).await;
        let last = journal.last().unwrap();
        last.reasons
            .iter()
            .map(|reason| reason.code.clone())
            .collect()
    }

    /// Waits until something is so.
    pub async fn until(&self, holds: impl AsyncFn() -> bool) {
        let wait = async {
            while !holds().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .expect("it becomes so");
    }

    /// Waits until the device has confirmed what it was given last.
    pub async fn until_confirmed(&self, id: DeviceId) {
        self.until(async || {
            let standing = self.holdings(id).await.standing;
            let given = standing.and_then(|standing| standing.given);
            given.is_some_and(|given| given.confirmed_at.is_some())
        })
        .await;
    }

    pub async fn until_file(&self, path: &Path, holds: impl Fn(&str) -> bool) {
        self.until(async || holds(&std::fs::read_to_string(path).unwrap_or_default()))
            .await;
    }

    /// Whether a person is asked about a device.
    pub async fn waits(&self, id: DeviceId) -> bool {
        let record = self.wish(id).await;
        record.is_some_and(|record| record.status == VoucherStatus::AwaitingApproval)
    }

    /// What a person was asked about a device with one label.
    async fn wish(&self, id: DeviceId) -> Option<VoucherRecord> {
        let store = &self.controller.store;
        let filter = KeyFilter {
            device: Some(id),
            conflicts: false,
        };
        let keys = store.bootstrapping_keys(&filter, None, 2).await.unwrap();
        let [key] = &keys[..] else {
            panic!("{} labels", keys.len());
        };
        store
            .voucher(approval_id(WishKind::Configuration, id, key.id).0)
            .await
            .unwrap()
    }

    /// A person says yes.
    pub async fn approve(&self, id: DeviceId) {
        let device = self.device(id).await;
        let record = self.wish(id).await;
        self.commit(approve(&ApprovalFacts {
            now: self.now(),
            actor: &admin(),
            device: &device,
            record: record.as_ref(),
            segment: None,
            comment: None,
        }))
        .await;
    }

    /// A person takes back what a device has.
    pub async fn revoke(&self, id: DeviceId) {
        let credentials = self.controller.store.credentials(id).await.unwrap();
        let holdings = self.holdings(id).await;
        for access in &holdings.access {
            let device = self.device(id).await;
            let facts = OperateFacts {
                now: self.now(),
                actor: &admin(),
                device: &device,
                credentials: &credentials,
                wifi: &holdings,
                addresses: &[],
                ownership: None,
                reasons: &[],
                evidence: &[],
            };
            let outcome = revoke_access(&facts, access, RevocationReason::KeyCompromise);
            self.commit(outcome).await;
        }
    }

    /// A person means a device for another network.
    pub async fn assign(&self, id: DeviceId, name: &str) {
        let device = self.device(id).await;
        let holdings = self.holdings(id).await;
        let network = self.controller.store.network(name).await.unwrap();
        let facts = AssignFacts {
            now: self.now(),
            actor: &admin(),
            owner: self.controller.owner,
            device: &device,
            standing: holdings.standing.as_ref(),
            name,
            network: network.as_ref(),
            reasons: &[],
        };
        self.commit(wifi::assign_network(&facts)).await;
    }

    /// Another signing key comes into force.
    pub fn rotate(&self, now: Timestamp) {
        self.controller.dpp.make(now).unwrap();
        self.controller.dpp.refresh(now).unwrap();
    }

    /// Its owner gives a device up.
    pub async fn release(&self, id: DeviceId) {
        self.operate(id, decide::release).await;
    }

    /// A device is cut off.
    pub async fn quarantine(&self, id: DeviceId) {
        self.operate(id, decide::quarantine).await;
    }

    async fn operate(&self, id: DeviceId, what: impl Fn(&OperateFacts<'_>) -> Outcome<Device>) {
        let device = self.device(id).await;
        let wifi = self.holdings(id).await;
        self.commit(what(&OperateFacts {
            now: self.now(),
            actor: &admin(),
            device: &device,
            credentials: &[],
            wifi: &wifi,
            addresses: &[],
            ownership: None,
            reasons: &[],
            evidence: &[],
        }))
        .await;
    }

    pub async fn connect(&self) -> Wire {
        Wire(TcpStream::connect(self.addr).await.unwrap())
    }
}

async fn start(
    dir: &TempDir,
    clock: &Clock,
) -> (
    Controller,
    SocketAddr,
    oneshot::Sender<()>,
    tokio::task::JoinHandle<u64>,
) {
    let home = Home::open(dir.path(), clock).unwrap();
    let store = Store::open(StoreConfig::from_url(&home.store_url()).unwrap())
        .await
        .unwrap();
    let controller = Controller::new(&home, store, clock.clone()).await.unwrap();
    let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = listener.local_addr();
    if let Some(folder) = &home.config.dpp.access_point_files {
        let files = AccessFiles::new(controller.clone(), dir.path().join(folder));
        tokio::spawn(files.keep());
    }
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(listener.serve(controller.clone(), async { drop(stopped.await) }));
    (controller, addr, stop, served)
}

pub fn admin() -> Actor {
    Actor::new(ActorKind::Person, "admin")
}

/// A connection to the listener.
pub struct Wire(pub TcpStream);

impl Wire {
    pub async fn send(&mut self, frame: &[u8]) {
        self.0
            .write_all(&tcp::encode(frame).unwrap())
            .await
            .unwrap();
    }

    /// The next frame; none when the controller closed.
    pub async fn receive(&mut self) -> Option<Vec<u8>> {
        let read = async {
            let mut length = [0; tcp::LENGTH_FIELD];
            self.0.read_exact(&mut length).await.ok()?;
            let mut frame = vec![0; tcp::frame_length(length).unwrap()];
            self.0.read_exact(&mut frame).await.ok()?;
            Some(frame)
        };
        tokio::time::timeout(PATIENCE, read)
            .await
            .expect("an answer or an end")
    }
}

/// A device that wants to be configured.
#[derive(Clone)]
pub struct Enrollee {
    pub key: BootstrappingKey,
    pub mac: Option<[u8; 6]>,
}

impl Enrollee {
    /// Another one each time.
    pub fn new(curve: Curve) -> Self {
        static NUMBER: AtomicU8 = AtomicU8::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let key = PrivateKey::from_seed(curve, &[number; 96]).unwrap();
        Self {
            key: BootstrappingKey::new(key),
            mac: Some([2, 0, 0, 0, 0, number]),
        }
    }

    pub fn public(&self) -> BootstrappingPublicKey {
        self.key.public_key().clone()
    }

    pub fn uri(&self) -> String {
        let mut uri = BootstrappingUri::new(self.public());
        uri.mac = self.mac;
        uri.version = Some(3);
        uri.to_string()
    }
}
