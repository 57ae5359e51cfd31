//! A maker, owners, and a device in a folder.

use std::path::Path;
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use vouchsafe_agent::birth::{Birth, DEFAULT_KEYS, DeviceFile, FOLDER};
use vouchsafe_agent::{Agent, AgentError, Config, Event, Events, Record, Status};
use vouchsafe_keystore::{Algorithm, KeyStore, StoreUri, generate_pkcs8};
use vouchsafe_net::Clock;
use vouchsafe_trust::{
    Anchors, Authority, Certificate, Name, Profile, Signer, SoftwareSigner, Validity, oid,
};

pub(crate) const SERIAL: &str = "JADA-0001";

/// A certificate chain with the key of its first certificate.
#[derive(Clone)]
pub(crate) struct Holder {
    pub(crate) chain: Vec<Certificate>,
    pub(crate) signer: Arc<dyn Signer>,
}

/// Makes devices and speaks for them.
pub(crate) struct Maker {
    pub(crate) authority: Authority,
    pub(crate) masa: Holder,
}

impl Maker {
    pub(crate) fn new() -> Self {
        let authority = root(&Profile::manufacturer_root(
            Name::common("manufacturer").unwrap(),
        ));
        let masa = issue(
            &authority,
            &Profile::voucher_signer(Name::common("masa").unwrap()),
            years(5),
        );
        Self { authority, masa }
    }

    pub(crate) fn anchors(&self) -> Anchors {
        Anchors::one(self.authority.certificate().clone())
    }

    /// The maker's root and, for COSE, the voucher signer.
    pub(crate) fn voucher_anchors(&self) -> Vec<Certificate> {
        vec![
            self.authority.certificate().clone(),
            self.masa.chain[0].clone(),
        ]
    }

    /// A device with its key in a sealed file.
    pub(crate) fn device(&self) -> Device {
        let dir = TempDir::new().unwrap();
        self.device_in(dir, DEFAULT_KEYS)
    }

    pub(crate) fn device_in(&self, dir: TempDir, key_store: &str) -> Device {
        let folder = dir.path().join(FOLDER);
        std::fs::create_dir_all(&folder).unwrap();
        let mut uri: StoreUri = key_store.parse().unwrap();
        uri.resolve_from(&folder);
        let keys = KeyStore::open_uri(&uri).unwrap();
        let signer = keys.create("idevid", Algorithm::EcdsaP256).unwrap();
        let subject =
            Name::new(&[(oid::COMMON_NAME, "sensor"), (oid::SERIAL_NUMBER, SERIAL)]).unwrap();
        let profile = Profile::idevid(subject, Some("masa.example")).unwrap();
        let before = now() - SignedDuration::from_hours(24);
        let idevid = self
            .authority
            .issue(
                &profile,
                signer.public_key(),
                &serial(&*signer),
                Validity::without_end(before),
            )
            .unwrap();
        let device = DeviceFile {
            serial: SERIAL.to_owned(),
            model: Some("sensor".to_owned()),
            key_store: key_store.to_owned(),
            key_label: "idevid".to_owned(),
            dpp_uri: None,
            dpp_key: None,
        };
        Birth::write(dir.path(), &device, &[idevid], &self.voucher_anchors()).unwrap();
        Device {
            dir,
            config: Config {
                mdns: false,
                retry_first: 0,
                retry_longest: 3600,
                ..Config::default()
            },
            clock: Clock::system(),
            uri,
        }
    }
}

/// A domain with one registrar identity.
pub(crate) struct Owner {
    pub(crate) authority: Authority,
    pub(crate) registrar: Holder,
}

impl Owner {
    pub(crate) fn new(name: &str) -> Self {
        let authority = root(&Profile::domain_ca(Name::common(name).unwrap()));
        let registrar = issue(
            &authority,
            &Profile::registrar(Name::common("registrar").unwrap(), &["localhost"]),
            years(2),
        );
        Self {
            authority,
            registrar,
        }
    }
}

/// A device that may be run again and again.
pub(crate) struct Device {
    pub(crate) dir: TempDir,
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) uri: StoreUri,
}

/// What an agent told.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<Vec<Record>>>);

impl Told {
    pub(crate) fn events(&self) -> Events {
        let told = self.clone();
        Events::new(move |record| told.0.lock().unwrap().push(record.clone()))
    }

    /// The names of the events, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        self.all()
            .iter()
            .map(|event| {
                serde_json::to_value(event).unwrap()["event"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect()
    }

    pub(crate) fn all(&self) -> Vec<Event> {
        self.0
            .lock()
            .unwrap()
            .iter()
            .map(|record| record.event.clone())
            .collect()
    }
}

impl Device {
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn towards(mut self, registrars: &[&crate::registrar::Registrar]) -> Self {
        self.config.registrars = registrars.iter().map(|each| each.url()).collect();
        self
    }

    pub(crate) async fn agent(&self, events: Events) -> Agent {
        Agent::open(self.path(), self.config.clone(), self.clock.clone(), events)
            .await
            .unwrap()
    }

    /// Runs a fresh agent once.
    pub(crate) async fn run(&self) -> Result<Status, AgentError> {
        self.agent(Events::ignored()).await.run_once().await
    }

    pub(crate) async fn run_told(&self) -> (Result<Status, AgentError>, Told) {
        let told = Told::default();
        let result = self.agent(told.events()).await.run_once().await;
        (result, told)
    }

    pub(crate) fn status(&self) -> Status {
        vouchsafe_agent::status(self.path(), &self.clock).unwrap()
    }

    /// The labels in its key store.
    pub(crate) fn keys(&self) -> Vec<String> {
        KeyStore::open_uri(&self.uri).unwrap().list().unwrap()
    }

    pub(crate) fn has(&self, file: &str) -> bool {
        self.path().join("state").join(file).exists()
    }

    /// Nothing half: one operational key for one credential, or neither, and nothing outstanding.
    pub(crate) fn assert_whole(&self) {
        let status = self.status();
        let labels = self.keys();
        match status.credential {
            Some(credential) => {
                assert_eq!(labels, vec!["idevid".to_owned(), credential.key]);
                assert!(self.has("ldevid.pem") && self.has("domain-ca.pem"));
            }
            None => {
                assert_eq!(labels, vec!["idevid".to_owned()]);
                assert!(
                    !self.has("ldevid.pem"),
                    "a certificate without a credential"
                );
            }
        }
        assert!(!self.has("pending.json"), "a request is still outstanding");
    }
}

pub(crate) fn now() -> Timestamp {
    Clock::system().now()
}

pub(crate) fn years(count: i64) -> Validity {
    let before = now() - SignedDuration::from_hours(24 * 30);
    Validity::new(before, now() + SignedDuration::from_hours(24 * 365 * count))
}

/// Distinct without another random number: the first bytes of a fresh key's hash.
pub(crate) fn serial(signer: &dyn Signer) -> [u8; 16] {
    serial_of(&signer.public_key().sha256())
}

pub(crate) fn serial_of(digest: &[u8]) -> [u8; 16] {
    let mut serial: [u8; 16] = digest[..16].try_into().unwrap();
    serial[0] = serial[0] & 0x3f | 0x40;
    serial
}

fn key() -> Arc<dyn Signer> {
    let pkcs8 = generate_pkcs8(Algorithm::EcdsaP256).unwrap();
    Arc::new(SoftwareSigner::from_pkcs8_der(pkcs8.expose()).unwrap())
}

fn root(profile: &Profile) -> Authority {
    let signer = key();
    Authority::self_signed(profile, &serial(&*signer), years(20), signer).unwrap()
}

pub(crate) fn issue(authority: &Authority, profile: &Profile, validity: Validity) -> Holder {
    let signer = key();
    let leaf = authority
        .issue(profile, signer.public_key(), &serial(&*signer), validity)
        .unwrap();
    Holder {
        chain: vec![leaf, authority.certificate().clone()],
        signer,
    }
}
