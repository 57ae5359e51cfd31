//! A manufacturer and a site for measurements, each serving in a process of its own, and devices
//! that are claimed and have not onboarded yet.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, bail, ensure};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::{Request, StatusCode, header};
use tempfile::TempDir;
use vouchsafe_controller::Home;
use vouchsafe_controller::config::Config as SiteConfig;
use vouchsafe_fleet::decide::{self, ClaimFacts};
use vouchsafe_fleet::{Actor, ActorKind, Commit, KeyOrigin, ManufacturerId};
use vouchsafe_manufacturer::{Config as MakerConfig, Factory, ManifestOptions, NewDevice};
use vouchsafe_net::{Clock, Connection, Connector, ConnectorOptions, Origin, ServerTrust};
use vouchsafe_store::{Store, StoreConfig};
use vouchsafe_trust::{
    Anchors, Certificate, CertificateRequest, Name, RequestContent, Signer, SoftwareSigner, oid,
};

use super::pledge::Pledge;

/// Devices provisioned and sold at the same time.
const TOGETHER: usize = 256;

/// Devices put into the inventory in one transaction.
const FILL_TOGETHER: usize = 2000;

/// Where keys lie in either data folder; nothing is left outside.
pub(super) const KEYS: &str = "file:keys?sealing-key=sealing.key";

/// Two serving processes and the devices between them.
pub(crate) struct World {
    pub(crate) registrar: Origin,
    pub(crate) pledges: Vec<Pledge>,
    api: Origin,
    token: String,
    domain_ca: Certificate,
    masa: Process,
    controller: Process,
    // Last, so that the folder goes after the processes.
    _dir: TempDir,
}

/// A serving process, ended with this value.
pub(super) struct Process {
    child: Child,
    /// Held open: whoever serves until its input ends goes on.
    input: Option<ChildStdin>,
}

impl World {
    /// A site with `devices` claimed devices that can onboard, and `others` that are only there.
    pub(crate) async fn new(bin_dir: &Path, devices: usize, others: usize) -> anyhow::Result<Self> {
        Self::build(bin_dir, devices, async |home, clock| {
            fill(home, others, clock).await
        })
        .await
    }

    /// The same, where `fill` puts something into the site's store before anybody serves.
    pub(super) async fn build(
        bin_dir: &Path,
        devices: usize,
        fill: impl AsyncFnOnce(&Home, &Clock) -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("vouchsafe-bench-")
            .tempdir()?;
        let (maker, site) = (dir.path().join("maker"), dir.path().join("site"));
        let clock = Clock::system();

        let mut config = SiteConfig {
            name: "Bench".to_owned(),
            ..SiteConfig::default()
        };
        config.keys.store = KEYS.to_owned();
        config.registrar.listen = "127.0.0.1:0".parse()?;
        config.registrar.announce = false;
        config.api.listen = "127.0.0.1:0".parse()?;
        config.masa.connections = 64;
        let home = vouchsafe_controller::initialise(&site, &config, &clock).await?;
        fill(&home, &clock).await?;
        let domain_ca = read_certificate(&site.join("domain-ca.pem"))?;

        let (pledges, manifest) = make_devices(&maker, &domain_ca, devices, &clock).await?;
        let binary = bin_dir.join("vouchsafe");
        let masa = Process::start(&binary, &["manufacturer", "serve"], &maker)?.0;
        let (controller, ready) = Process::start(&binary, &["serve"], &site)?;
        let api = origin(&ready, "api")?;
        let world = Self {
            registrar: origin(&ready, "registrar")?,
            pledges,
            api,
            token: std::fs::read_to_string(site.join("admin.token"))?
                .trim()
                .to_owned(),
            domain_ca,
            masa,
            controller,
            _dir: dir,
        };
        world.import(&maker, &manifest).await?;
        Ok(world)
    }

    /// A connection to the API, and how a request on it begins.
    pub(crate) async fn api(&self) -> anyhow::Result<Connection> {
        let anchors = Anchors::one(self.domain_ca.clone());
        let mut options = ConnectorOptions::new(ServerTrust::Anchors(anchors));
        options.response_timeout = std::time::Duration::from_secs(300);
        Ok(Connector::new(options).connect(&self.api).await?)
    }

    /// What goes into `Authorization`.
    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }

    async fn import(&self, maker: &Path, manifest: &[u8]) -> anyhow::Result<()> {
        // What proves birth certificates, and what proves the manifest itself.
        let mut anchors = std::fs::read_to_string(maker.join("root-ca.pem"))?;
        anchors.push_str(&std::fs::read_to_string(maker.join("masa-ca.pem"))?);
        let body = serde_json::json!({
            "manifest": STANDARD.encode(manifest),
            "anchors_pem": anchors,
        });
        let request = Request::post("/api/v1/imports/manifest")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, self.bearer())
            .body(Bytes::from(body.to_string()))?;
        let answer = self.api().await?.request(request).await?;
        if answer.status() != StatusCode::OK {
            bail!(
                "import: {} {}",
                answer.status(),
                String::from_utf8_lossy(answer.body())
            );
        }
        Ok(())
    }

    /// The controller is gone from now on.
    pub(super) fn end_controller(&mut self) {
        self.controller.end();
    }

    /// The controller's and the MASA's process ids.
    pub(crate) fn pids(&self) -> [u32; 2] {
        [self.controller.id(), self.masa.id()]
    }
}

impl Process {
    /// Starts a server and waits for its ready line.
    pub(super) fn start(
        binary: &Path,
        command: &[&str],
        dir: &Path,
    ) -> anyhow::Result<(Self, serde_json::Value)> {
        let mut program = Command::new(binary);
        program.args(command).arg("--dir").arg(dir);
        Self::start_with(program, "")
    }

    /// The same for any program, which reads `input` first.
    pub(super) fn start_with(
        mut command: Command,
        input: &str,
    ) -> anyhow::Result<(Self, serde_json::Value)> {
        let name = format!("{command:?}");
        let mut child = command
            .env("VOUCHSAFE_LOG", "warn")
            // With it every error that a library makes and drops draws a backtrace.
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{name} cannot be started"))?;
        let output = child.stdout.take().context("no output")?;
        let mut process = Self {
            input: child.stdin.take(),
            child,
        };
        if let Some(pipe) = &mut process.input {
            pipe.write_all(input.as_bytes())?;
        }
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let ready = serde_json::from_str(&line)
            .with_context(|| format!("{name} did not say where it listens: {line:?}"))?;
        Ok((process, ready))
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// Provisions, sells and lists devices; their keys stay in memory.
async fn make_devices(
    dir: &Path,
    domain_ca: &Certificate,
    devices: usize,
    clock: &Clock,
) -> anyhow::Result<(Vec<Pledge>, Vec<u8>)> {
    // The address goes into every birth certificate, so it must be known before anybody listens.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port();
    let mut config = MakerConfig {
        name: "Maker".to_owned(),
        ..MakerConfig::default()
    };
    config.masa_url = format!("127.0.0.1:{port}");
    config.masa.listen = format!("127.0.0.1:{port}").parse()?;
    config.line.listen = "127.0.0.1:0".parse()?;
    config.keys.store = KEYS.to_owned();
    // The measurement itself is one owner at one address.
    config.rates.per_address = 100_000_000;
    config.rates.per_owner = 100_000_000;
    vouchsafe_manufacturer::init(dir, &config, clock)?;
    let factory = Factory::open(dir, clock.clone()).await?;
    let station = Actor::new(ActorKind::Factory, "bench");
    let sales = Actor::new(ActorKind::Manufacturer, "bench");
    let owner = factory.add_owner(&sales, "Bench", domain_ca).await?;
    let (maker, station, sales, buyer) = (&factory, &station, &sales, &owner);
    let pledges = stream::iter(0..devices)
        .map(|index| async move {
            let serial = format!("BENCH-{index:07}");
            let (key, request) = certificate_request(&serial)?;
            let device = NewDevice {
                serial: serial.clone(),
                model: Some("bench".to_owned()),
                key_origin: KeyOrigin::Device,
                dpp_uri: None,
            };
            let identity = maker.provision_from_csr(station, &device, &request).await?;
            maker.sell(sales, &serial, buyer).await?;
            anyhow::Ok(Pledge {
                chain: identity.chain,
                signer: std::sync::Arc::new(key),
                masa: Anchors::new(identity.masa_anchors)?,
            })
        })
        .buffer_unordered(TOGETHER)
        .try_collect()
        .await?;
    let manifest = factory
        .manifest(&owner, &ManifestOptions::default())
        .await?;
    ensure!(
        manifest.devices == devices,
        "the manifest lists {} devices",
        manifest.devices
    );
    factory.close().await;
    Ok((pledges, manifest.bytes))
}

fn certificate_request(serial: &str) -> anyhow::Result<(SoftwareSigner, Vec<u8>)> {
    let key = new_key()?;
    let name = Name::new(&[(oid::SERIAL_NUMBER, serial)])?;
    let request = CertificateRequest::build(&RequestContent::new(name), &key)?;
    Ok((key, request))
}

/// A P-256 key in memory.
pub(crate) fn new_key() -> anyhow::Result<SoftwareSigner> {
    let made = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)
        .ok()
        .and_then(|pair| pair.to_pkcs8v1().ok())
        .context("no key could be made")?;
    let key = SoftwareSigner::from_pkcs8_der(made.as_ref())?;
    ensure!(!key.may_block(), "a software key that blocks");
    Ok(key)
}

/// Puts devices of some other maker into the inventory, as an import does it.
async fn fill(home: &Home, others: usize, clock: &Clock) -> anyhow::Result<()> {
    let store = Store::open(StoreConfig::from_url(&home.store_url())?).await?;
    let actor = Actor::new(ActorKind::Person, "bench");
    let maker = ManufacturerId::of_anchor(b"another maker");
    let mut number = 0;
    while number < others {
        let mut all = Commit::default();
        for _ in 0..FILL_TOGETHER.min(others - number) {
            let outcome = decide::claim(&ClaimFacts {
                now: clock.now(),
                actor: &actor,
                owner: home.owner,
                manufacturer: maker,
                serial: &format!("OTHER-{number:07}"),
                model: None,
                idevid_sha256: None,
                segment: None,
                existing: None,
            });
            all.guards.extend(outcome.commit.guards);
            all.changes.extend(outcome.commit.changes);
            all.entries.extend(outcome.commit.entries);
            number += 1;
        }
        store.commit(all).await?;
    }
    store.close().await;
    Ok(())
}

pub(super) fn origin(ready: &serde_json::Value, name: &str) -> anyhow::Result<Origin> {
    let address = ready
        .get(name)
        .and_then(|value| value.as_str())
        .context("no address")?;
    Ok(Origin::from_uri(&address.parse()?)?)
}

pub(super) fn read_certificate(path: &Path) -> anyhow::Result<Certificate> {
    Ok(Certificate::from_pem(&std::fs::read_to_string(path)?)?)
}
