//! A served site, a client for it, and a manufacturer that signs manifests.

use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use http::{Method, Request, Response, header};
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tokio::sync::oneshot;
use vouchsafe_api::{BearerToken, Client, ClientError, Code, CreateToken, Role, Transport};
use vouchsafe_controller::config::Config;
use vouchsafe_controller::{Home, Ready, ServeError, initialise, serve};
use vouchsafe_fleet::journal::{Action, Actor, ActorKind, ChainHead, Entry, Sealed};
use vouchsafe_fleet::manifest::{
    MANIFEST_FORMAT, Manifest, ManifestDevice, ManifestManufacturer, ManifestOwner,
};
use vouchsafe_fleet::{DeviceId, Digest, IdevidRules, KeyOrigin, ManufacturerId, OwnerId, Subject};
use vouchsafe_net::{Clock, Connector, ConnectorOptions, Origin, Pool, PoolLimits, ServerTrust};
use vouchsafe_store::{Store, StoreConfig};
use vouchsafe_trust::cms::{self, ID_DATA, SignOptions};
use vouchsafe_trust::{
    Anchors, Authority, Certificate, Name, Profile, Signer, SoftwareSigner, Validity, oid,
};

pub struct World {
    pub dir: TempDir,
    pub ready: Ready,
    pub secret: String,
    pub anchors: Anchors,
    pool: Arc<Pool>,
    stop: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<Result<(), ServeError>>>,
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(configure: impl FnOnce(&mut Config)) -> Self {
        Self::prepared(configure, async |_, _| {}).await
    }

    /// A site whose store holds something before it is served.
    pub async fn prepared(
        configure: impl FnOnce(&mut Config),
        fill: impl AsyncFnOnce(&Home, &Store),
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.keys.store = "file:keys?sealing-key=sealing.key".to_owned();
        config.registrar.listen = "127.0.0.1:0".parse().unwrap();
        config.api.listen = "127.0.0.1:0".parse().unwrap();
        config.registrar.announce = false;
        configure(&mut config);
        let home = initialise(dir.path(), &config, &Clock::system())
            .await
            .unwrap();
        let address = StoreConfig::from_url(&home.store_url()).unwrap();
        let store = Store::open(address).await.unwrap();
        fill(&home, &store).await;
        store.close().await;
        let secret = std::fs::read_to_string(home.token_file()).unwrap();
        let anchors = Anchors::one(home.authority.certificate().clone());
        Self::serve(dir, secret.trim().to_owned(), anchors).await
    }

    async fn serve(dir: TempDir, secret: String, anchors: Anchors) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let (say, ready) = oneshot::channel();
        let path = dir.path().to_owned();
        let served = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(serve(
                &path,
                Clock::system(),
                |ready| say.send(ready.clone()).unwrap(),
                async { drop(stopped.await) },
            ))
        });
        let ready: Ready = ready.await.expect("the controller listens");
        let options = ConnectorOptions::new(ServerTrust::Anchors(anchors.clone()));
        let pool = Pool::new(Connector::new(options), PoolLimits::default());
        Self {
            dir,
            ready,
            secret,
            anchors,
            pool: Arc::new(pool),
            stop: Some(stop),
            served: Some(served),
        }
    }

    /// Stops the controller as SIGTERM would, and waits until it is gone.
    pub async fn shut_down(&mut self) {
        drop(self.stop.take());
        let served = self.served.take().unwrap();
        let ended = tokio::task::spawn_blocking(move || served.join());
        ended.await.unwrap().unwrap().unwrap();
    }

    /// The same data folder, served anew.
    pub async fn restarted(mut self) -> Self {
        self.shut_down().await;
        Self::serve(self.dir, self.secret, self.anchors).await
    }

    pub fn admin(&self) -> Client<Wire> {
        self.client(Some(&self.secret))
    }

    pub fn client(&self, secret: Option<&str>) -> Client<Wire> {
        Client::new(
            self.wire(),
            secret.map(|text| BearerToken::new(text).unwrap()),
        )
    }

    pub fn wire(&self) -> Wire {
        Wire {
            pool: Arc::clone(&self.pool),
            origin: self.ready.api.parse().unwrap(),
        }
    }

    /// A client with a token of this role.
    pub async fn role(&self, role: Role) -> Client<Wire> {
        self.client(Some(&self.token(role).await))
    }

    /// The secret of a new token with this role.
    pub async fn token(&self, role: Role) -> String {
        let create = CreateToken {
            name: format!("test {role}"),
            role,
            expires_in_days: None,
        };
        self.admin().create_token(&create).await.unwrap().secret
    }

    /// A request without the typed client.
    pub async fn raw(
        &self,
        method: Method,
        path: &str,
        secret: Option<&str>,
        headers: &[(header::HeaderName, &str)],
        body: impl Into<Bytes>,
    ) -> Response<Bytes> {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(secret) = secret {
            request = request.header(header::AUTHORIZATION, format!("Bearer {secret}"));
        }
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let request = request.body(body.into()).unwrap();
        self.wire().send(request).await.unwrap()
    }
}

/// Requests to the API's listener.
#[derive(Clone)]
pub struct Wire {
    pool: Arc<Pool>,
    origin: Origin,
}

impl Transport for Wire {
    type Error = vouchsafe_net::ClientError;

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Self::Error> {
        self.pool.request(&self.origin, request).await
    }
}

/// The code of the problem that an operation ended with.
pub fn code<T: std::fmt::Debug>(
    answer: Result<T, ClientError<vouchsafe_net::ClientError>>,
) -> Code {
    match answer {
        Err(ClientError::Problem(problem)) => problem.code,
        other => panic!("expected a problem, got {other:?}"),
    }
}

/// A manufacturer.
pub struct Maker {
    pub authority: Authority,
    pub id: ManufacturerId,
    pub signer_chain: Vec<Certificate>,
    pub signer: Arc<dyn Signer>,
}

impl Maker {
    pub fn new(name: &str) -> Self {
        let profile = Profile::manufacturer_root(Name::common(name).unwrap());
        let authority = Authority::self_signed(&profile, &[1; 16], years(30), new_key()).unwrap();
        let signer = new_key();
        let leaf = authority
            .issue(
                &Profile::voucher_signer(Name::common("MASA").unwrap()),
                signer.public_key(),
                &[2; 16],
                years(5),
            )
            .unwrap();
        let root = authority.certificate().clone();
        Self {
            id: ManufacturerId::of_anchor(root.public_key().spki_der()),
            signer_chain: vec![leaf, root],
            authority,
            signer,
        }
    }

    /// As a site knows it that trusts it.
    pub fn trusted(&self) -> vouchsafe_fleet::Manufacturer {
        let anchors = vec![self.authority.certificate().der().to_vec()];
        vouchsafe_fleet::Manufacturer {
            id: self.id,
            name: "Maker".to_owned(),
            anchors: anchors.clone(),
            masa_url: None,
            masa_anchors: anchors,
            trust: vouchsafe_fleet::ManufacturerTrust::VoucherRequired,
            idevid_rules: vouchsafe_fleet::IdevidRules::default(),
            version: 1,
            created_at: Timestamp::now(),
            updated_at: Timestamp::now(),
        }
    }

    pub fn root_pem(&self) -> String {
        self.authority.certificate().pem()
    }

    pub fn device_id(&self, serial: &str) -> String {
        DeviceId::new(self.id, serial).to_string()
    }

    /// What was provisioned and sold to `owner`.
    pub fn manifest(&self, owner: OwnerId, serials: &[String]) -> Manifest {
        let root = self.authority.certificate().der().to_vec();
        Manifest {
            format: MANIFEST_FORMAT.to_owned(),
            manufacturer: ManifestManufacturer {
                id: self.id,
                name: "Maker".to_owned(),
                anchors: vec![root.clone()],
                masa_url: None,
                masa_anchors: vec![root],
                idevid_rules: IdevidRules::default(),
            },
            owner: ManifestOwner {
                id: owner,
                name: "Buyer".to_owned(),
            },
            created_at: Timestamp::now(),
            devices: serials
                .iter()
                .map(|serial| self.line(owner, serial))
                .collect(),
        }
    }

    fn line(&self, owner: OwnerId, serial: &str) -> ManifestDevice {
        let subject = Subject::Device(DeviceId::new(self.id, serial));
        let line = Actor::new(ActorKind::Factory, "line 1");
        let made = Entry::new(subject, Action::Provisioned, line, Timestamp::now());
        let sales = Actor::new(ActorKind::Manufacturer, "sales");
        let sold = Entry::new(subject, Action::Sold, sales, Timestamp::now()).with("owner", owner);
        let made = Sealed::seal(&ChainHead::EMPTY, &made);
        let head = ChainHead {
            seq: made.seq,
            hash: made.hash,
        };
        ManifestDevice {
            serial: serial.to_owned(),
            model: Some("Sensor".to_owned()),
            idevid_sha256: Digest::of(serial.as_bytes()),
            idevid_spki_sha256: Digest::of(format!("key of {serial}").as_bytes()),
            key_origin: KeyOrigin::Factory,
            mud_url: None,
            dpp_uri: None,
            journal: vec![made, Sealed::seal(&head, &sold)],
        }
    }

    pub fn sign(&self, manifest: &Manifest) -> Vec<u8> {
        self.sign_as(manifest, &self.signer_chain, &*self.signer)
    }

    pub fn sign_as(
        &self,
        manifest: &Manifest,
        chain: &[Certificate],
        signer: &dyn Signer,
    ) -> Vec<u8> {
        let options = SignOptions {
            content_type: ID_DATA,
            certificates: chain,
            signing_time: None,
        };
        cms::sign(&serde_json::to_vec(manifest).unwrap(), &options, signer).unwrap()
    }

    /// A device's birth certificate and its key.
    pub fn birth(&self, serial: &str) -> (Vec<Certificate>, Arc<dyn Signer>) {
        let name = Name::new(&[(oid::SERIAL_NUMBER, serial)]).unwrap();
        self.issue(&Profile::idevid(name, None).unwrap())
    }

    /// The certificate of a TLS listener, and its key.
    pub fn listener(&self) -> (Vec<Certificate>, Arc<dyn Signer>) {
        let name = Name::common("masa.example").unwrap();
        self.issue(&Profile::tls_server(name, &["masa.example"]))
    }

    fn issue(&self, profile: &Profile) -> (Vec<Certificate>, Arc<dyn Signer>) {
        let signer = new_key();
        let validity = Validity::without_end(past());
        let leaf = self
            .authority
            .issue(profile, signer.public_key(), &[9; 16], validity)
            .unwrap();
        (vec![leaf, self.authority.certificate().clone()], signer)
    }
}

pub fn new_key() -> Arc<dyn Signer> {
    let key = aws_lc_rs::signature::EcdsaKeyPair::generate_pkcs8(
        &aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1_SIGNING,
        &aws_lc_rs::rand::SystemRandom::new(),
    )
    .unwrap();
    Arc::new(SoftwareSigner::from_pkcs8_der(key.as_ref()).unwrap())
}

fn past() -> Timestamp {
    Timestamp::now() - SignedDuration::from_hours(1)
}

fn years(count: i64) -> Validity {
    Validity::new(
        past(),
        past() + SignedDuration::from_hours(24 * 365 * count),
    )
}
