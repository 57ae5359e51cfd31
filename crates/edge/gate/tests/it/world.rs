//! A domain CA, a gate with its folder, devices, and a station that comes in over UDP.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use tokio::sync::oneshot;
use vouchsafe_api::{AdmittedCredential as Admitted, DesiredState as Document};
use vouchsafe_gate::{Event, Events, GateError, Recorded};
use vouchsafe_keystore::{Algorithm, KeyStore, generate_pkcs8};
use vouchsafe_net::Clock;
use vouchsafe_radius::{
    Answer, Client, Code, Connector, FragmentSize, Peer, PeerStep, Shared, Trust, attribute,
};
use vouchsafe_trust::{
    Anchors, Authority, Certificate, CrlContent, Name, Profile, Revocation, RevocationReason,
    RevokedCertificate, Secret, Signer, SoftwareSigner, Validity, oid,
};

pub(crate) const SECRET: &str = "one secret for the tests";

/// How long anything may take on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes
}

pub(crate) fn serial() -> [u8; 16] {
    random::<16>().map(|octet| octet & 0x7f | 1)
}

pub(crate) fn now() -> Timestamp {
    Clock::system().now()
}

pub(crate) fn validity() -> Validity {
    Validity::new(
        now() - SignedDuration::from_hours(1),
        now() + SignedDuration::from_hours(24 * 30),
    )
}

/// A device with its certificate.
#[derive(Clone)]
pub(crate) struct Device {
    pub(crate) id: String,
    pub(crate) certificate: Certificate,
    pub(crate) pkcs8: Vec<u8>,
}

impl Device {
    pub(crate) fn admitted(&self) -> Admitted {
        Admitted {
            credential: self.certificate.serial_hex(),
            device: self.id.clone(),
            segment: None,
            expires_at: now() + SignedDuration::from_hours(1),
        }
    }
}

/// A site: its CA, and the folder of its gate.
pub(crate) struct Site {
    pub(crate) authority: Arc<Authority>,
    pub(crate) folder: TempDir,
    version: u64,
}

impl Site {
    pub(crate) fn new() -> Self {
        let profile = Profile::domain_ca(Name::common("Domain CA").unwrap());
        let key = generate(Algorithm::EcdsaP256);
        let signer = SoftwareSigner::from_pkcs8_der(&key).unwrap();
        let authority =
            Authority::self_signed(&profile, &serial(), validity(), Arc::new(signer)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let site = Self {
            authority: Arc::new(authority),
            folder,
            version: 0,
        };
        site.furnish();
        site
    }

    /// Certificate, key, secret, anchor.
    fn furnish(&self) {
        let dir = self.folder.path();
        let address = self.keys();
        let store = KeyStore::open(&address).unwrap();
        let key = store.create("gate", Algorithm::EcdsaP256).unwrap();
        let profile = Profile::tls_server(Name::common("gate").unwrap(), &["gate.example"]);
        let leaf = self
            .authority
            .issue(&profile, key.public_key(), &serial(), validity())
            .unwrap();
        let anchor = self.authority.certificate().pem();
        std::fs::write(dir.join("gate.pem"), leaf.pem() + &anchor).unwrap();
        std::fs::write(dir.join("anchor.pem"), anchor).unwrap();
        std::fs::write(dir.join("secret"), format!("{SECRET}\n")).unwrap();
    }

    fn keys(&self) -> String {
        let dir = self.folder.path();
        let sealing = dir.join("sealing.key");
        format!(
            "file:{}?sealing-key={}",
            dir.join("keys").display(),
            sealing.display()
        )
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes `gate.toml` with something more at its end.
    pub(crate) fn configure(&self, listen: &str, more: &str) {
        let keys = self.keys();
        let text = format!(
            "[identity]\nchain = \"gate.pem\"\nkeys = \"{keys}\"\n\
             [state]\nanchor = \"anchor.pem\"\nfile = \"desired.json\"\n\
             [radius]\nlisten = \"{listen}\"\naccounting = \"{}\"\n{more}",
            listen.replace("1812", "1813")
        );
        std::fs::write(self.path("gate.toml"), text).unwrap();
    }

    pub(crate) fn device(&self, id: &str) -> Device {
        let name = Name::new(&[(oid::SERIAL_NUMBER, id)]).unwrap();
        self.issue(id, &Profile::ldevid(name, Vec::new()))
    }

    pub(crate) fn issue(&self, id: &str, profile: &Profile) -> Device {
        let pkcs8 = generate(Algorithm::EcdsaP256);
        let signer = SoftwareSigner::from_pkcs8_der(&pkcs8).unwrap();
        let certificate = self
            .authority
            .issue(profile, signer.public_key(), &serial(), validity())
            .unwrap();
        Device {
            id: id.to_owned(),
            certificate,
            pkcs8,
        }
    }

    /// What the controller would write next.
    pub(crate) fn document(&mut self, admitted: Vec<Admitted>, revoked: &[&Device]) -> Document {
        self.document_at(admitted, revoked, now() - SignedDuration::from_secs(5))
    }

    /// The same, with a list that is good from some time on.
    pub(crate) fn document_from(&mut self, admitted: Vec<Admitted>, from: Timestamp) -> Document {
        self.document_at(admitted, &[], from)
    }

    fn document_at(
        &mut self,
        admitted: Vec<Admitted>,
        revoked: &[&Device],
        this_update: Timestamp,
    ) -> Document {
        self.version += 1;
        let entries: Vec<_> = revoked
            .iter()
            .map(|device| RevokedCertificate {
                serial: device.certificate.serial().to_vec(),
                at: now(),
                reason: RevocationReason::KeyCompromise,
            })
            .collect();
        let content = CrlContent {
            number: self.version,
            this_update,
            next_update: now() + SignedDuration::from_hours(24),
            entries: &entries,
        };
        let list = self.authority.crl(&content).unwrap();
        Document {
            version: self.version,
            issued_at: now(),
            revocation_lists: vec![STANDARD.encode(list.der())],
            admitted,
            segments: Vec::new(),
            stations: Vec::new(),
        }
    }

    pub(crate) fn publish(&mut self, admitted: Vec<Admitted>, revoked: &[&Device]) {
        let document = self.document(admitted, revoked);
        self.publish_document(&document);
    }

    /// Whole or not at all, as the controller writes it.
    pub(crate) fn publish_document(&self, document: &Document) {
        let next = self.path("desired.json.next");
        std::fs::write(&next, serde_json::to_vec(document).unwrap()).unwrap();
        std::fs::rename(next, self.path("desired.json")).unwrap();
    }

    pub(crate) fn start(&self) -> Gate {
        self.start_at(Clock::system())
    }

    /// A gate that goes by this clock.
    pub(crate) fn start_at(&self, clock: Clock) -> Gate {
        Gate::start(self.folder.path(), clock)
    }

    pub(crate) fn connector(&self, device: &Device) -> Connector {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(device.pkcs8.clone()));
        let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
        let chain = vec![CertificateDer::from(device.certificate.der().to_vec())];
        let key = Arc::new(rustls::sign::CertifiedKey::new(chain, signer));
        let trust = Trust {
            anchors: Anchors::one(self.authority.certificate().clone()),
            revocation: Revocation::NotChecked,
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        Connector::new(provider, key, trust, None)
    }
}

pub(crate) fn generate(algorithm: Algorithm) -> Vec<u8> {
    generate_pkcs8(algorithm).unwrap().expose().to_vec()
}

/// A gate that runs; it ends when this is dropped.
pub(crate) struct Gate {
    events: Receiver<Recorded>,
    /// What happened before it was ready.
    early: RefCell<VecDeque<Event>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<Result<(), GateError>>>,
    pub(crate) access: SocketAddr,
    pub(crate) accounting: SocketAddr,
    pub(crate) radsec: Option<SocketAddr>,
    pub(crate) dynamic: Option<SocketAddr>,
}

impl Gate {
    fn start(dir: &Path, clock: Clock) -> Self {
        let (tell, events) = channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let dir = dir.to_owned();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let events = Events::new(move |recorded| {
                let _ = tell.send(recorded);
            });
            let stopped = async {
                let _ = stopped.await;
            };
            runtime.block_on(vouchsafe_gate::run(&dir, clock, events, stopped))
        });
        let nowhere = "0.0.0.0:0".parse().unwrap();
        let mut gate = Self {
            events,
            early: RefCell::default(),
            stop: Some(stop),
            thread: Some(thread),
            access: nowhere,
            accounting: nowhere,
            radsec: None,
            dynamic: None,
        };
        loop {
            let recorded = gate
                .events
                .recv_timeout(PATIENCE)
                .expect("a gate that is ready");
            match recorded.event {
                Event::Ready {
                    radius,
                    accounting,
                    radsec,
                    dynamic,
                } => {
                    gate.dynamic = dynamic.map(|address| address.parse().unwrap());
                    gate.radsec = radsec.map(|address| address.parse().unwrap());
                    gate.access = radius.parse().unwrap();
                    gate.accounting = accounting.parse().unwrap();
                    return gate;
                }
                event => gate.early.get_mut().push_back(event),
            }
        }
    }

    /// The first event that `wanted` recognizes; those before it are passed over.
    pub(crate) fn until<T>(&self, what: &str, wanted: impl Fn(&Event) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        let mut passed = Vec::new();
        while let Some(event) = self.early.borrow_mut().pop_front() {
            match wanted(&event) {
                Some(found) => return found,
                None => passed.push(event),
            }
        }
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(recorded) = self.events.recv_timeout(left) else {
                panic!("no {what} after {passed:?}");
            };
            match wanted(&recorded.event) {
                Some(found) => return found,
                None => passed.push(recorded.event),
            }
        }
    }

    pub(crate) fn until_in_force(&self) -> (u64, usize) {
        self.until("state in force", |event| match event {
            Event::StateInForce {
                version, ending, ..
            } => Some((*version, *ending)),
            _ => None,
        })
    }

    pub(crate) fn until_refused(&self) -> String {
        self.until("refusal", |event| match event {
            Event::Refused { reason, .. } => Some(reason.clone()),
            _ => None,
        })
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.unwrap().unwrap();
            }
        }
    }
}

/// What a station says of itself.
pub(crate) fn attributes(access_point: &str, mac: &str) -> Vec<(u8, Vec<u8>)> {
    vec![
        (attribute::USER_NAME, b"anonymous".to_vec()),
        (attribute::NAS_IDENTIFIER, access_point.as_bytes().to_vec()),
        (attribute::CALLING_STATION_ID, mac.as_bytes().to_vec()),
        (attribute::ACCT_SESSION_ID, b"session-1".to_vec()),
    ]
}

/// A station's whole attempt over UDP: the server's last answer.
pub(crate) fn come_in(
    site: &Site,
    gate: &Gate,
    device: &Device,
    access_point: &str,
    mac: &str,
) -> Answer {
    let shared = Shared::new(Secret::new(SECRET.into()));
    let client = Client::new(shared, attributes(access_point, mac));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(gate.access).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    carry(site, device, client, |request| exchange(&socket, request))
}

/// A station's whole attempt, its requests carried by `ask`: the server's last answer, the keys compared.
pub(crate) fn carry(
    site: &Site,
    device: &Device,
    mut client: Client,
    mut ask: impl FnMut(&[u8]) -> Vec<u8>,
) -> Answer {
    let connector = site.connector(device);
    let mut peer = Box::new(Peer::new(connector, "@site", FragmentSize::default()));
    let mut eap = vec![1, 0, 0, 5, 1];
    for identifier in 0..=u8::MAX {
        let response = match peer.handle(now(), &eap) {
            Ok(PeerStep::Respond(next, response)) => {
                peer = next;
                response
            }
            Ok(_) => panic!("the device has nothing to say"),
            Err(error) => panic!("the device gives up: {error}"),
        };
        let (request, open) = client.request(identifier, &response, random()).unwrap();
        let answer = client.answer(&open, &ask(&request)).unwrap();
        match answer.code {
            Code::AccessChallenge => eap = answer.eap.unwrap(),
            Code::AccessAccept => {
                let Ok(PeerStep::Done(proof)) = peer.handle(now(), answer.eap.as_ref().unwrap())
                else {
                    panic!("accepted too early");
                };
                let msk = proof.keys.msk.expose();
                client.check_keys(&open, &answer, msk).unwrap();
                return answer;
            }
            _ => return answer,
        }
    }
    panic!("no end");
}

/// Sends until something comes back.
pub(crate) fn exchange(socket: &UdpSocket, datagram: &[u8]) -> Vec<u8> {
    let end = Instant::now() + PATIENCE;
    let mut buffer = [0; 4096];
    while Instant::now() < end {
        socket.send(datagram).unwrap();
        if let Ok(length) = socket.recv(&mut buffer) {
            return buffer[..length].to_vec();
        }
    }
    panic!("no answer");
}
