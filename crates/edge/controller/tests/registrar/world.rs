//! A site with its registrar behind TLS, a manufacturer with its MASA, and devices.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use axum::Extension;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::post;
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tokio::sync::oneshot;
use vouchsafe_brski::masa::{
    Pin, ProximityMismatch, RegistrarRequestRules, RegistrarTrust, VoucherTerms, issue_voucher,
    verify_registrar_request,
};
use vouchsafe_brski::pledge::PledgeRequest;
use vouchsafe_brski::{
    Compatibility, Encoding, Nonce, PATH_REQUEST_VOUCHER, PATH_VOUCHER_STATUS, est,
};
use vouchsafe_controller::config::Config;
use vouchsafe_controller::{Controller, Home, device_router, initialise};
use vouchsafe_fleet::decide::{self, ClaimFacts, OperateFacts};
use vouchsafe_fleet::{
    Action, Actor, ActorKind, Credential, Device, DeviceId, Entry, IdevidRules, Manufacturer,
    ManufacturerId, ManufacturerTrust, Outcome, Subject, VoucherRecord,
};
use vouchsafe_net::{
    ClientAuth, Clock, Connection, Connector, ConnectorOptions, Identity, Origin, Peer, Server,
    ServerOptions, ServerTrust,
};
use vouchsafe_store::{Store, StoreConfig};
use vouchsafe_trust::{
    Anchors, Authority, Certificate, CertificateRequest, IdevidRules as PathIdevidRules, Name,
    Profile, RequestContent, Revocation, Signer, SoftwareSigner, SubjectAltName, Validity, oid,
};

pub const SERIAL: &str = "JADA-0001";

/// What a device reports when all is well (RFC 8995 §5.7, §5.9.4).
pub const ACCEPTED: &[u8] = br#"{"version":1,"status":true,"reason":"ok","reason-context":{}}"#;

pub struct World {
    pub clock: Clock,
    pub controller: Controller,
    pub registrar: Origin,
    pub maker: Maker,
    _dir: TempDir,
    _stops: Vec<oneshot::Sender<()>>,
}

/// A manufacturer with a MASA that counts who asks it.
pub struct Maker {
    pub authority: Authority,
    pub id: ManufacturerId,
    pub masa: Arc<Masa>,
    pub masa_url: String,
}

pub struct Masa {
    authority: Authority,
    chain: Vec<Certificate>,
    signer: Arc<dyn Signer>,
    clock: Clock,
    asked: AtomicUsize,
    /// Status and body that it gives in place of a voucher.
    pub says: Mutex<Option<(u16, Vec<u8>)>>,
    /// It thinks for as long as somebody holds this for writing.
    pub thinking: tokio::sync::RwLock<()>,
}

impl Masa {
    /// What its devices are born with: the root, and for COSE the signer itself.
    pub fn anchors(&self) -> Anchors {
        Anchors::new(self.chain.iter().rev().cloned().collect()).unwrap()
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// From now on it gives this answer to everybody.
    pub fn say(&self, status: u16, body: &[u8]) {
        *self.says.lock().unwrap() = Some((status, body.to_vec()));
    }

    /// From now on it issues vouchers.
    pub fn recover(&self) {
        *self.says.lock().unwrap() = None;
    }
}

#[derive(Clone)]
pub struct Birth {
    pub chain: Vec<Certificate>,
    pub signer: Arc<dyn Signer>,
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A site whose inventory holds [`SERIAL`], with a configuration of one's own.
    pub async fn with(configure: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let mut config = Config::default();
        config.keys.store = "file:keys?sealing-key=sealing.key".to_owned();
        configure(&mut config);
        initialise(dir.path(), &config, &clock).await.unwrap();
        let home = Home::open(dir.path(), &clock).unwrap();
        let store = Store::open(StoreConfig::from_url(&home.store_url()).unwrap())
            .await
            .unwrap();
        let controller = Controller::new(&home, store, clock.clone()).await.unwrap();

        let options = ServerOptions::new(
            "registrar",
            controller.registrar.clone(),
            ClientAuth::Optional,
        );
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), options)
            .await
            .unwrap();
        let registrar = Origin::new("127.0.0.1", server.local_addr().port());
        let (stop, stopped) = oneshot::channel::<()>();
        let router = device_router(controller.clone());
        tokio::spawn(server.serve(router, async { drop(stopped.await) }));

        let (maker, stop_masa) = Maker::new("Maker", &clock).await;
        let world = Self {
            clock,
            controller,
            registrar,
            maker,
            _dir: dir,
            _stops: vec![stop, stop_masa],
        };
        world.trust_maker(ManufacturerTrust::VoucherRequired).await;
        world.claim(SERIAL).await;
        world
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub async fn trust_maker(&self, trust: ManufacturerTrust) {
        self.change_maker(|maker| maker.trust = trust).await;
    }

    /// Changes what is known about the manufacturer; without a change its MASA is trusted.
    pub async fn change_maker(&self, change: impl FnOnce(&mut Manufacturer)) {
        let store = &self.controller.store;
        let existing = store.manufacturer(self.maker.id).await.unwrap();
        let now = self.now();
        let mut wanted = Manufacturer {
            id: self.maker.id,
            name: "Maker".to_owned(),
            anchors: vec![self.maker.authority.certificate().der().to_vec()],
            masa_url: Some(self.maker.masa_url.clone()),
            masa_anchors: vec![self.maker.authority.certificate().der().to_vec()],
            trust: ManufacturerTrust::VoucherRequired,
            idevid_rules: IdevidRules::default(),
            version: 0,
            created_at: now,
            updated_at: now,
        };
        change(&mut wanted);
        let outcome = decide::put_manufacturer(now, &admin(), existing.as_ref(), wanted);
        self.controller.commit(outcome.commit).await.unwrap();
        self.controller.reload_manufacturers().await.unwrap();
    }

    pub async fn claim(&self, serial: &str) {
        let outcome = decide::claim(&ClaimFacts {
            now: self.now(),
            actor: &admin(),
            owner: self.controller.owner,
            manufacturer: self.maker.id,
            serial,
            model: None,
            segment: None,
            idevid_sha256: None,
            existing: None,
        });
        self.controller.commit(outcome.commit).await.unwrap();
    }

    pub fn id(&self, serial: &str) -> DeviceId {
        DeviceId::new(self.maker.id, serial)
    }

    /// All that is stored about a device, apart from the journal.
    pub async fn state(&self, serial: &str) -> State {
        let id = self.id(serial);
        let store = &self.controller.store;
        let mut device = store.device(id).await.unwrap();
        if let Some(device) = &mut device {
            // The journal is compared by itself.
            device.journal_seq = 0;
            device.journal_head = vouchsafe_fleet::Digest::ZERO;
        }
        State {
            device,
            vouchers: store.vouchers(id).await.unwrap(),
            credentials: store.credentials(id).await.unwrap(),
        }
    }

    /// A chain, oldest first.
    pub async fn journal(&self, subject: Subject) -> Vec<Entry> {
        let chain = self
            .controller
            .store
            .journal(subject, 0, 5000)
            .await
            .unwrap();
        chain
            .iter()
            .map(|entry| entry.sealed.entry().unwrap())
            .collect()
    }

    /// What was done with a device, oldest first.
    pub async fn actions(&self, serial: &str) -> Vec<Action> {
        let chain = self.journal(Subject::Device(self.id(serial))).await;
        chain.into_iter().map(|entry| entry.action).collect()
    }

    /// How things stand before somebody tries what must be refused.
    pub async fn before(&self, serial: &str) -> Before {
        Before {
            serial: serial.to_owned(),
            state: self.state(serial).await,
            position: self.controller.store.position(),
            asked: self.maker.masa.asked(),
        }
    }

    /// The answer says `status` and names `code`; nothing has changed but the device's journal,
    /// by one entry with that reason; and the MASA was asked nothing.
    pub async fn assert_refused(
        &self,
        before: &Before,
        answer: &Response<Bytes>,
        status: u16,
        code: &str,
    ) -> Entry {
        assert_answer(answer, status, code);
        let serial = &before.serial;
        assert_eq!(self.state(serial).await, before.state, "nothing changed");
        assert_eq!(
            self.controller.store.position(),
            before.position + 1,
            "one entry"
        );
        assert_eq!(self.maker.masa.asked(), before.asked, "no word to the MASA");
        let chain = self.journal(Subject::Device(self.id(serial))).await;
        let last = chain.last().unwrap().clone();
        assert_eq!(last.action, Action::RequestRefused);
        assert_eq!(last.reasons[0].code, code);
        assert!(!last.reasons[0].section.is_empty());
        assert!(
            said(answer).contains(&last.reasons[0].section),
            "{}",
            said(answer)
        );
        last
    }

    /// Does something to a device of the inventory, as an administrator would.
    pub async fn operate(
        &self,
        serial: &str,
        operation: impl Fn(&OperateFacts<'_>) -> Outcome<Device>,
    ) {
        let state = self.state(serial).await;
        let device = self.controller.store.device(self.id(serial)).await.unwrap();
        let outcome = operation(&OperateFacts {
            now: self.now(),
            actor: &admin(),
            device: &device.unwrap(),
            credentials: &state.credentials,
            wifi: vouchsafe_fleet::wifi::Holdings::NONE,
            addresses: &[],
            ownership: None,
            reasons: &[],
            evidence: &[],
        });
        assert!(outcome.refusal().is_none(), "{outcome:?}");
        self.controller.commit(outcome.commit).await.unwrap();
    }

    /// All journals verify.
    pub async fn assert_sound(&self) {
        let report = self.controller.store.verify_journals().await.unwrap();
        assert!(report.is_sound(), "{report:?}");
    }

    pub async fn connect(&self, who: Option<&Birth>) -> Connection {
        let mut options = ConnectorOptions::new(ServerTrust::Provisional);
        if let Some(who) = who {
            let identity = Identity::new(who.chain.clone(), who.signer.clone()).unwrap();
            options = options.with_identity(identity);
        }
        Connector::new(options)
            .connect(&self.registrar)
            .await
            .unwrap()
    }

    /// A connection and the good request that belongs to it.
    pub async fn request(&self, who: &Birth, encoding: Encoding) -> (Connection, Vec<u8>) {
        let line = self.connect(Some(who)).await;
        let request = self.signed_request(who, &line, &fresh_nonce(encoding), encoding);
        (line, request)
    }

    pub fn signed_request(
        &self,
        who: &Birth,
        line: &Connection,
        nonce: &Nonce,
        encoding: Encoding,
    ) -> Vec<u8> {
        PledgeRequest {
            idevid_chain: &who.chain,
            nonce,
            created_on: Some(self.now()),
            registrar: &line.server_chain()[0],
        }
        .sign(encoding, &*who.signer, &Compatibility::default())
        .unwrap()
    }

    /// A device of the inventory with a voucher that it accepted, and its connection.
    pub async fn with_voucher(&self, who: &Birth) -> Connection {
        let (mut line, request) = self.request(who, Encoding::CmsJson).await;
        let answer = ask(&mut line, &request, Encoding::CmsJson).await;
        assert_eq!(answer.status(), 200, "{}", said(&answer));
        let answer = send(&mut line, PATH_VOUCHER_STATUS, "application/json", ACCEPTED).await;
        assert_eq!(answer.status(), 200, "{}", said(&answer));
        line
    }

    /// An onboarded device: its credential as an identity.
    pub async fn onboarded(&self, who: &Birth) -> Birth {
        let mut line = self.with_voucher(who).await;
        let key = new_key();
        let serial = who.chain[0].subject_serial_number().unwrap().to_owned();
        let answer = enroll(&mut line, "simpleenroll", &csr(&serial, &*key)).await;
        assert_eq!(answer.status(), 200, "{}", said(&answer));
        let chain = est::parse_certs_only(answer.body()).unwrap();
        Birth { chain, signer: key }
    }
}

/// How things stood for one device.
pub struct Before {
    serial: String,
    state: State,
    position: u64,
    asked: usize,
}

impl Before {
    /// What was stored.
    pub fn state(&self) -> &State {
        &self.state
    }
}

/// What is stored about one device.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    pub device: Option<Device>,
    pub vouchers: Vec<VoucherRecord>,
    pub credentials: Vec<Credential>,
}

impl Maker {
    pub async fn new(name: &str, clock: &Clock) -> (Self, oneshot::Sender<()>) {
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
        let masa = Arc::new(Masa {
            chain: vec![leaf, authority.certificate().clone()],
            authority: authority.clone(),
            signer,
            clock: clock.clone(),
            asked: AtomicUsize::new(0),
            says: Mutex::new(None),
            thinking: tokio::sync::RwLock::new(()),
        });
        let key = new_key();
        let mut profile = Profile::tls_server(Name::common("MASA").unwrap(), &[]);
        profile.subject_alt_names = vec![SubjectAltName::Ip(vec![127, 0, 0, 1])];
        let leaf = authority
            .issue(&profile, key.public_key(), &[3; 16], years(5))
            .unwrap();
        let identity = Identity::new(vec![leaf], key).unwrap();
        let options = ServerOptions::new("masa", identity, ClientAuth::Optional);
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), options)
            .await
            .unwrap();
        let masa_url = format!("127.0.0.1:{}", server.local_addr().port());
        let router = axum::Router::new()
            .route(PATH_REQUEST_VOUCHER, post(masa_answers))
            .with_state(masa.clone());
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(server.serve(router, async { drop(stopped.await) }));
        let id = ManufacturerId::of_anchor(authority.certificate().public_key().spki_der());
        (
            Self {
                authority,
                id,
                masa,
                masa_url,
            },
            stop,
        )
    }

    pub fn device(&self, serial: &str) -> Birth {
        let name = Name::new(&[(oid::SERIAL_NUMBER, serial)]).unwrap();
        let profile = Profile::idevid(name, Some(&self.masa_url)).unwrap();
        let signer = new_key();
        let leaf = self
            .authority
            .issue(
                &profile,
                signer.public_key(),
                &[9; 16],
                Validity::without_end(past()),
            )
            .unwrap();
        Birth {
            chain: vec![leaf],
            signer,
        }
    }
}

async fn masa_answers(
    Shared(masa): Shared<Arc<Masa>>,
    Extension(peer): Extension<Peer>,
    body: Bytes,
) -> axum::response::Response {
    masa.asked.fetch_add(1, Ordering::SeqCst);
    let _thought = masa.thinking.read().await;
    if let Some((status, body)) = masa.says.lock().unwrap().clone() {
        return (StatusCode::from_u16(status).unwrap(), body).into_response();
    }
    let anchors = Anchors::one(masa.authority.certificate().clone());
    let encoding = Encoding::detect(&body).unwrap();
    let compatibility = Compatibility::default();
    let request = verify_registrar_request(
        &body,
        encoding,
        &RegistrarRequestRules {
            registrar: RegistrarTrust::Presented,
            tls_client: peer.certificate(),
            manufacturer: &anchors,
            idevid: &PathIdevidRules::default(),
            devices: &[],
            vouchers: &anchors,
            revocation: &Revocation::NotChecked,
            now: masa.clock.now(),
            max_age: SignedDuration::from_hours(1),
            skew: SignedDuration::from_mins(5),
            proximity_mismatch: ProximityMismatch::Refuse,
            compatibility: &compatibility,
        },
    );
    let request = match request {
        Ok(request) => request,
        Err(error) => return (StatusCode::FORBIDDEN, error.to_string()).into_response(),
    };
    let terms = VoucherTerms {
        created_on: masa.clock.now(),
        lifetime: SignedDuration::from_mins(20),
        ownership_verified: false,
        pin: Pin::LowestCa,
        last_renewal: None,
    };
    let issued = issue_voucher(
        &request,
        &terms,
        encoding,
        &masa.chain,
        &*masa.signer,
        &compatibility,
    )
    .unwrap();
    (
        [(header::CONTENT_TYPE, encoding.media_type())],
        issued.bytes,
    )
        .into_response()
}

/// The status, and the reason's code at the beginning of the text.
pub fn assert_answer(answer: &Response<Bytes>, status: u16, code: &str) {
    let text = said(answer);
    assert_eq!(answer.status(), status, "{text}");
    assert!(
        text.starts_with(&format!("{code}: ")),
        "{code} expected: {text}"
    );
    let kind = &answer.headers()[header::CONTENT_TYPE];
    assert!(kind.to_str().unwrap().starts_with("text/plain"), "{kind:?}");
}

pub async fn ask(line: &mut Connection, body: &[u8], encoding: Encoding) -> Response<Bytes> {
    send(line, PATH_REQUEST_VOUCHER, encoding.media_type(), body).await
}

pub async fn enroll(line: &mut Connection, operation: &str, csr: &[u8]) -> Response<Bytes> {
    let path = format!("{}/{operation}", est::PATH);
    send(
        line,
        &path,
        est::MEDIA_TYPE_REQUEST,
        est::encode_body(csr).as_bytes(),
    )
    .await
}

pub async fn send(line: &mut Connection, path: &str, kind: &str, body: &[u8]) -> Response<Bytes> {
    let request = Request::post(path)
        .header(header::CONTENT_TYPE, kind)
        .body(Bytes::copy_from_slice(body))
        .unwrap();
    line.request(request).await.unwrap()
}

pub async fn fetch(line: &mut Connection, path: &str) -> Response<Bytes> {
    let request = Request::get(path).body(Bytes::new()).unwrap();
    let answer = line.request(request).await.unwrap();
    assert_eq!(answer.status(), 200, "{}", said(&answer));
    answer
}

pub fn said(answer: &Response<Bytes>) -> String {
    String::from_utf8_lossy(answer.body()).into_owned()
}

pub fn csr(serial: &str, key: &dyn Signer) -> Vec<u8> {
    let name = Name::new(&[(oid::SERIAL_NUMBER, serial)]).unwrap();
    CertificateRequest::build(&RequestContent::new(name), key).unwrap()
}

/// A request for the subject of a present certificate.
pub fn csr_of(certificate: &Certificate, key: &dyn Signer) -> Vec<u8> {
    CertificateRequest::build(&RequestContent::new(certificate.subject().clone()), key).unwrap()
}

pub fn fresh_nonce(encoding: Encoding) -> Nonce {
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).unwrap();
    Nonce::fresh(&random, encoding).unwrap()
}

pub fn new_key() -> Arc<dyn Signer> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let der = pair.to_pkcs8v1().unwrap();
    Arc::new(SoftwareSigner::from_pkcs8_der(der.as_ref()).unwrap())
}

pub fn admin() -> Actor {
    Actor::new(ActorKind::Person, "admin")
}

pub fn past() -> Timestamp {
    "2020-01-01T00:00:00Z".parse().unwrap()
}

pub fn years(count: i64) -> Validity {
    let end = past()
        .saturating_add(SignedDuration::from_hours(24 * 365 * (count + 10)))
        .unwrap();
    Validity::new(past(), end)
}
