//! A manufacturer in a temporary folder, its MASA listening, and owners who ask it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use vouchsafe_brski::pledge::{NoncelessVouchers, PledgeRequest, VoucherRules, verify_voucher};
use vouchsafe_brski::registrar::{
    PledgeRequestRules, PledgeVoucherRequest, RegistrarRequest, verify_pledge_request,
};
use vouchsafe_brski::{Compatibility, Encoding, Error, Nonce, Voucher, idevid};
use vouchsafe_fleet::{Actor, ActorKind, Owner, OwnerId, Subject};
use vouchsafe_keystore::{Algorithm, KeyStore, StoreUri, generate_pkcs8};
use vouchsafe_manufacturer::masa::Masa;
use vouchsafe_manufacturer::{Config, Factory, KEY_LABEL, KEY_STORE, MadeHere, init};
use vouchsafe_net::{
    ClientAuth, Clock, Connector, ConnectorOptions, Identity, Origin, Server, ServerOptions,
    ServerTrust,
};
use vouchsafe_trust::{
    Anchors, Authority, Certificate, IdevidRules, Name, Profile, Signer, SoftwareSigner, Validity,
    Verified,
};

pub(crate) const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// A data folder and what works in it.
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) clock: Clock,
    pub(crate) factory: Factory,
    pub(crate) compatibility: Compatibility,
}

pub(crate) fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

pub(crate) fn actor() -> Actor {
    Factory::actor("tests")
}

pub(crate) fn config() -> Config {
    let mut config = Config {
        name: "Lamp Works".to_owned(),
        masa_url: "masa.example".to_owned(),
        ..Config::default()
    };
    config.keys.store = "file:keys?sealing-key=sealing.key".to_owned();
    config.masa.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.line.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(adjust: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::fixed(now());
        let mut config = config();
        adjust(&mut config);
        init(&folder.path().join("maker"), &config, &clock).unwrap();
        let factory = Factory::open(&folder.path().join("maker"), clock.clone())
            .await
            .unwrap();
        Self {
            folder,
            clock,
            factory,
            compatibility: Compatibility::default(),
        }
    }

    /// The same data folder, opened by another process so to speak.
    pub(crate) async fn reopen(self) -> Self {
        self.factory.close().await;
        let Self {
            folder,
            clock,
            compatibility,
            ..
        } = self;
        let factory = Factory::open(&folder.path().join("maker"), clock.clone())
            .await
            .unwrap();
        Self {
            folder,
            clock,
            factory,
            compatibility,
        }
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.folder.path().join("maker")
    }

    /// A device with the key in its birth folder.
    pub(crate) async fn device(&self, serial: &str) -> Device {
        let folder = self.folder.path().join("births").join(serial);
        self.factory
            .provision_made_here(
                &actor(),
                MadeHere {
                    serial,
                    model: Some("lamp"),
                    algorithm: Algorithm::EcdsaP256,
                    bootstrapping: None,
                    mac: None,
                },
                &folder,
            )
            .await
            .unwrap();
        Device::open(&folder)
    }

    pub(crate) async fn owner(&self, domain: &Domain) -> Owner {
        self.factory
            .add_owner(&actor(), &domain.name, domain.authority.certificate())
            .await
            .unwrap()
    }

    /// A device sold to an owner.
    pub(crate) async fn sold(&self, serial: &str, domain: &Domain) -> Device {
        let device = self.device(serial).await;
        let owner = self.owner(domain).await;
        self.factory.sell(&actor(), serial, &owner).await.unwrap();
        device
    }

    pub(crate) async fn serve(&self) -> Serving {
        let identity = self.factory.home.masa_identity().unwrap();
        let mut options = ServerOptions::new("masa", identity, ClientAuth::Optional);
        options.clock = self.clock.clone();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::bind(any, options).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let address = server.local_addr();
        let routes = Masa::new(self.factory.clone()).routes();
        let served = tokio::spawn(server.serve(routes, async move {
            let _ = stopped.await;
        }));
        Serving {
            address,
            anchors: self.factory.home.masa_anchors.clone(),
            clock: self.clock.clone(),
            stop: Some(stop),
            served,
        }
    }

    /// What the registrar of `domain` sends to the MASA after `device` asked it.
    pub(crate) fn request(&self, device: &Device, domain: &Domain, encoding: Encoding) -> Vec<u8> {
        let nonce = fresh_nonce(encoding);
        self.request_with(device, domain, encoding, &nonce)
    }

    pub(crate) fn request_with(
        &self,
        device: &Device,
        domain: &Domain,
        encoding: Encoding,
        nonce: &Nonce,
    ) -> Vec<u8> {
        let pledge = self.pledge(device, domain, encoding, nonce);
        self.sign(
            &RegistrarRequest::for_pledge(&pledge, self.clock.now()),
            domain,
        )
    }

    pub(crate) fn sign(&self, request: &RegistrarRequest, domain: &Domain) -> Vec<u8> {
        request
            .sign(&domain.chain, &*domain.signer, &self.compatibility)
            .unwrap()
    }

    pub(crate) fn pledge(
        &self,
        device: &Device,
        domain: &Domain,
        encoding: Encoding,
        nonce: &Nonce,
    ) -> Verified<PledgeVoucherRequest> {
        let request = PledgeRequest {
            idevid_chain: &device.chain[..1],
            nonce,
            created_on: Some(self.clock.now()),
            registrar: &domain.chain[0],
        }
        .sign(encoding, &*device.signer, &self.compatibility)
        .unwrap();
        let path = idevid::verify_device_chain(
            &device.chain,
            &self.factory.anchors,
            &IdevidRules::default(),
            self.clock.now(),
        )
        .unwrap();
        let rules = PledgeRequestRules {
            device: &path,
            presented: &domain.chain,
            now: self.clock.now(),
            skew: SKEW,
            compatibility: &self.compatibility,
        };
        verify_pledge_request(&request, encoding, &rules).unwrap()
    }

    /// What the device thinks of a voucher.
    pub(crate) fn at_device(
        &self,
        device: &Device,
        bytes: &[u8],
        encoding: Encoding,
        nonce: Option<&Nonce>,
    ) -> Result<Verified<Voucher>, Error> {
        let rules = VoucherRules {
            masa: &device.masa_anchors,
            idevid: &device.chain[0],
            nonce,
            now: Some(self.clock.now()),
            skew: SKEW,
            nonceless: NoncelessVouchers::WithClock,
            compatibility: &self.compatibility,
        };
        verify_voucher(bytes, encoding, &rules)
    }

    /// Actions in the device's journal.
    pub(crate) async fn journal(&self, serial: &str) -> Vec<String> {
        let device = self.factory.device(serial).await.unwrap();
        self.actions(Subject::Device(device.id)).await
    }

    pub(crate) async fn actions(&self, subject: Subject) -> Vec<String> {
        let page = self.factory.store.journal(subject, 0, 1000).await.unwrap();
        page.iter()
            .map(|positioned| {
                let entry = positioned.sealed.entry().unwrap();
                match entry.reasons.first() {
                    Some(reason) => format!("{} {}", entry.action, reason.code),
                    None => entry.action.to_string(),
                }
            })
            .collect()
    }
}

/// A device as it comes out of the factory.
pub(crate) struct Device {
    pub(crate) chain: Vec<Certificate>,
    pub(crate) signer: Arc<dyn Signer>,
    pub(crate) masa_anchors: Anchors,
}

impl Device {
    pub(crate) fn open(folder: &std::path::Path) -> Self {
        let pem = |name| std::fs::read_to_string(folder.join(name)).unwrap();
        let mut address: StoreUri = KEY_STORE.parse().unwrap();
        address.resolve_from(folder);
        Self {
            chain: Certificate::many_from_pem(&pem("idevid.pem")).unwrap(),
            signer: KeyStore::open_uri(&address)
                .unwrap()
                .load(KEY_LABEL)
                .unwrap(),
            masa_anchors: Anchors::new(
                Certificate::many_from_pem(&pem("masa-anchors.pem")).unwrap(),
            )
            .unwrap(),
        }
    }
}

/// An owner: a domain CA and a registrar.
pub(crate) struct Domain {
    pub(crate) name: String,
    pub(crate) authority: Authority,
    /// The registrar's certificate, then the domain CA.
    pub(crate) chain: Vec<Certificate>,
    pub(crate) signer: Arc<dyn Signer>,
}

impl Domain {
    pub(crate) fn new(name: &str) -> Self {
        Self::with(name, |_| {}, years(2))
    }

    pub(crate) fn with(name: &str, adjust: impl FnOnce(&mut Profile), validity: Validity) -> Self {
        let signer = key();
        let profile = Profile::domain_ca(Name::common(name).unwrap());
        let serial = serial(&*signer);
        let authority = Authority::self_signed(&profile, &serial, years(20), signer).unwrap();
        Self::of(name, authority, adjust, validity)
    }

    /// Another registrar of the same domain.
    pub(crate) fn of(
        name: &str,
        authority: Authority,
        adjust: impl FnOnce(&mut Profile),
        validity: Validity,
    ) -> Self {
        let subject = Name::common(&format!("{name} registrar")).unwrap();
        let mut profile = Profile::registrar(subject, &["registrar.example"]);
        adjust(&mut profile);
        let signer = key();
        let serial = serial(&*signer);
        let leaf = authority
            .issue(&profile, signer.public_key(), &serial, validity)
            .unwrap();
        Self {
            name: name.to_owned(),
            chain: vec![leaf, authority.certificate().clone()],
            authority,
            signer,
        }
    }

    pub(crate) fn id(&self) -> OwnerId {
        OwnerId::of_domain_ca(self.authority.certificate().public_key().spki_der())
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity::new(self.chain.clone(), self.signer.clone()).unwrap()
    }
}

/// A MASA that listens.
pub(crate) struct Serving {
    pub(crate) address: SocketAddr,
    anchors: Anchors,
    clock: Clock,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<u64>,
}

impl Serving {
    /// Sends a registrar's request over a connection of its own.
    pub(crate) async fn ask(
        &self,
        path: &str,
        domain: Option<&Domain>,
        encoding: Encoding,
        body: Vec<u8>,
    ) -> Answer {
        let request = Request::post(path)
            .header("content-type", encoding.media_type())
            .body(Bytes::from(body))
            .unwrap();
        self.send(domain, request).await
    }

    pub(crate) async fn voucher(
        &self,
        domain: &Domain,
        encoding: Encoding,
        body: Vec<u8>,
    ) -> Answer {
        let path = vouchsafe_brski::PATH_REQUEST_VOUCHER;
        self.ask(path, Some(domain), encoding, body).await
    }

    pub(crate) async fn audit_log(
        &self,
        domain: &Domain,
        encoding: Encoding,
        body: Vec<u8>,
    ) -> Answer {
        let path = vouchsafe_brski::PATH_REQUEST_AUDIT_LOG;
        self.ask(path, Some(domain), encoding, body).await
    }

    pub(crate) async fn send(&self, domain: Option<&Domain>, request: Request<Bytes>) -> Answer {
        let mut options = ConnectorOptions::new(ServerTrust::Anchors(self.anchors.clone()));
        if let Some(domain) = domain {
            options = options.with_identity(domain.identity());
        }
        options.clock = self.clock.clone();
        let origin = Origin::new("localhost", self.address.port());
        let mut connection = Connector::new(options)
            .connect_at(self.address, &origin)
            .await
            .unwrap();
        Answer(connection.request(request).await.unwrap())
    }

    pub(crate) async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        self.served.await.unwrap();
    }
}

#[derive(Debug)]
pub(crate) struct Answer(pub(crate) Response<Bytes>);

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.0.status().as_u16()
    }

    pub(crate) fn media_type(&self) -> &str {
        self.0.headers()["content-type"].to_str().unwrap()
    }

    pub(crate) fn body(&self) -> &[u8] {
        self.0.body()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(self.0.body()).unwrap()
    }

    /// The code of the first reason.
    pub(crate) fn reason(&self) -> &str {
        assert_eq!(self.media_type(), "text/plain; charset=utf-8");
        self.text().split(':').next().unwrap()
    }

    #[track_caller]
    pub(crate) fn refused(&self, status: u16, reason: &str) {
        assert_eq!(
            (self.status(), self.reason()),
            (status, reason),
            "{}",
            self.text()
        );
    }
}

pub(crate) fn fresh_nonce(encoding: Encoding) -> Nonce {
    let random: [u8; 16] = vouchsafe_keystore::random::bytes();
    Nonce::fresh(&random, encoding).unwrap()
}

pub(crate) fn key() -> Arc<dyn Signer> {
    let key = generate_pkcs8(Algorithm::EcdsaP256).unwrap();
    Arc::new(SoftwareSigner::from_pkcs8_der(key.expose()).unwrap())
}

pub(crate) fn serial(signer: &dyn Signer) -> [u8; 16] {
    let mut serial: [u8; 16] = signer.public_key().sha256()[..16].try_into().unwrap();
    serial[0] = serial[0] & 0x7f | 0x40;
    serial
}

pub(crate) fn years(count: i64) -> Validity {
    let before = now() - SignedDuration::from_hours(24);
    Validity::new(before, now() + SignedDuration::from_hours(24 * 365 * count))
}

pub(crate) fn station() -> Actor {
    Actor::new(ActorKind::Factory, "station 1")
}
