//! A maker that nobody here knows. Its device is a perfect one, and its MASA would gladly vouch.
//!
//! 1. A factory root, and a MASA that listens and counts who calls.
//! 2. A birth folder for one device, whose certificate names that MASA.
//! 3. Each call is said at once, and the sum at the end: a registrar that calls a MASA only
//!    because a stranger's certificate says so can be sent anywhere.

use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::json;
use tokio::net::TcpListener;
use vouchsafe_keystore::{Algorithm, KeyStore, StoreUri, write_file};
use vouchsafe_net::Clock;
use vouchsafe_trust::{Certificate, Name, Profile, Validity, oid};

use super::pretender::{self, Pretender};
use super::{say, told_to_stop};

/// What the maker makes.
#[derive(Debug, clap::Args)]
pub struct UnknownMaker {
    /// The device's folder, as `vouchsafe-agent --dir` takes it; made here.
    #[arg(long)]
    dir: PathBuf,
    /// The device's serial number.
    #[arg(long)]
    serial: String,
}

impl UnknownMaker {
    pub(super) async fn run(&self) -> anyhow::Result<()> {
        let now = Clock::system().now();
        // 1
        let factory = Pretender::new("Nobody Inc", Profile::manufacturer_root, now)?;
        let vouching = Pretender::new("Nobody Inc MASA", Profile::domain_ca, now)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let masa = listener.local_addr()?.to_string();
        // 2
        let subject = Name::new(&[
            (oid::ORGANIZATION, "Nobody Inc"),
            (oid::SERIAL_NUMBER, &self.serial),
        ])?;
        let signer = {
            let mut address: StoreUri = KEY_STORE.parse()?;
            address.resolve_from(&self.dir.join("birth"));
            KeyStore::open_uri(&address)?.create(KEY_LABEL, Algorithm::EcdsaP256)?
        };
        let idevid = factory.authority.issue(
            &Profile::idevid(subject, Some(&masa))?,
            signer.public_key(),
            &pretender::random()?,
            Validity::without_end(now),
        )?;
        let chain = [idevid, factory.authority.certificate().clone()];
        self.write("idevid.pem", &pem(&chain))?;
        self.write("masa-anchors.pem", &vouching.authority.certificate().pem())?;
        let device: toml::Table = [
            ("serial", self.serial.as_str()),
            ("model", "no-name sensor"),
            ("key_store", KEY_STORE),
            ("key_label", KEY_LABEL),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.into()))
        .collect();
        self.write("device.toml", &device.to_string())?;
        say(&json!({ "ready": "unknown-maker", "masa": format!("https://{masa}") }));
        // 3
        let mut calls = 0_u64;
        let counting = async {
            loop {
                if listener.accept().await.is_ok() {
                    calls += 1;
                    say(&json!({ "event": "masa-called", "calls": calls }));
                }
            }
        };
        tokio::select! {
            () = counting => {}
            () = told_to_stop() => {}
        }
        say(&json!({ "event": "masa-calls", "calls": calls }));
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.dir.join("birth").join(name);
        write_file(&path, text.as_bytes()).with_context(|| format!("writing {}", path.display()))
    }
}

const KEY_STORE: &str = "file:keys?sealing-key=sealing.key";
const KEY_LABEL: &str = "idevid";

fn pem(certificates: &[Certificate]) -> String {
    certificates.iter().map(Certificate::pem).collect()
}
