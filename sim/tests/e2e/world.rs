//! One test's world: a manufacturer, owners and devices, each a process with a folder of its own.
//!
//! Everything lies in one temporary folder, `XDG_CONFIG_HOME` included, and every listener has port
//! 0. What must keep one address over restarts (the MASA is named in birth certificates) stands
//! behind a [`Relay`].

use std::ffi::OsStr;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;
use vouchsafe_fleet::DeviceId;
use vouchsafe_net::Origin;
use vouchsafe_store::{Store, StoreConfig};

use crate::api::Api;
use crate::process::{Ended, Killer, PATIENCE, Process};
use crate::relay::Relay;

/// The temporary folder of a test.
pub(crate) struct Place {
    folder: TempDir,
    /// How much our programs log.
    log: &'static str,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::logging("info")
    }

    /// A folder whose programs log so much.
    pub(crate) fn logging(log: &'static str) -> Self {
        let mut folder = tempfile::Builder::new();
        let folder = folder.prefix("vouchsafe-e2e-").tempdir().unwrap();
        Self { folder, log }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    /// An empty folder in it.
    pub(crate) fn make(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// Where programs' outputs are kept.
    pub(crate) fn logs(&self) -> PathBuf {
        self.path("logs")
    }

    /// One of our programs, as seen from this folder: nothing of the machine's own settings.
    pub(crate) fn program(&self, name: &str) -> Command {
        let mut command = Command::new(program(name));
        for (variable, _) in std::env::vars() {
            if variable.starts_with("VOUCHSAFE_") {
                command.env_remove(variable);
            }
        }
        command
            .current_dir(self.root())
            .env("HOME", self.root())
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("VOUCHSAFE_LOG", self.log);
        command
    }

    /// Runs a program that must succeed.
    pub(crate) fn run(&self, name: &str, command: Command) -> Ended {
        let shown = format!("{command:?}");
        let ended = Process::run(name, command, &self.logs());
        assert!(ended.success(), "{shown}: {}", ended.said());
        ended
    }
}

/// A built program: beside this test's own executable.
fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let folder = own.parent().and_then(Path::parent).unwrap();
    let path = folder.join(name);
    assert!(
        path.exists(),
        "{} is not built: run `cargo build --workspace --bins` (`cargo xtask test` does) first",
        path.display()
    );
    path
}

/// A manufacturer with its MASA.
pub(crate) struct Manufacturer<'a> {
    place: &'a Place,
    pub(crate) dir: PathBuf,
    pub(crate) relay: Relay,
    server: Option<Process>,
}

impl<'a> Manufacturer<'a> {
    /// Makes the data folder; `settings` are `KEY=VALUE` of its configuration.
    pub(crate) fn init(place: &'a Place, settings: &[&str]) -> Self {
        let relay = Relay::tcp();
        let dir = place.path("maker");
        let maker = Self {
            place,
            dir,
            relay,
            server: None,
        };
        let url = format!("masa_url=127.0.0.1:{}", maker.relay.port());
        let ours = [
            "name=Lamps Ltd",
            &url,
            "masa.listen=127.0.0.1:0",
            "line.listen=127.0.0.1:0",
        ];
        let mut arguments = vec!["init"];
        for setting in ours.iter().chain(settings) {
            arguments.extend(["--set", setting]);
        }
        maker.command(&arguments);
        maker
    }

    /// Makes the data folder and starts the MASA.
    pub(crate) fn start(place: &'a Place, settings: &[&str]) -> Self {
        let mut maker = Self::init(place, settings);
        maker.serve();
        maker
    }

    /// Starts the MASA, again if need be.
    pub(crate) fn serve(&mut self) {
        let mut command = self.place.program("vouchsafe");
        command
            .arg("--dir")
            .arg(&self.dir)
            .args(["manufacturer", "serve"]);
        let mut server = Process::start("masa", command, &self.place.logs());
        let ready = server.json_with("ready");
        self.relay.leads_to(address(&ready["masa"]));
        self.server = Some(server);
    }

    /// Runs `vouchsafe manufacturer …` on the data folder; its JSON.
    pub(crate) fn command(&self, arguments: &[&str]) -> Value {
        let mut command = self.place.program("vouchsafe");
        command
            .args(["--output", "json", "--dir"])
            .arg(&self.dir)
            .arg("manufacturer");
        command.args(arguments);
        let ended = self.place.run("manufacturer", command);
        serde_json::from_str(&ended.stdout).unwrap_or(Value::Null)
    }

    /// Makes a device with its key in its folder.
    pub(crate) fn provision(&self, serial: &str) -> Device<'a> {
        self.provision_all(&[serial]).remove(0)
    }

    /// Makes devices.
    pub(crate) fn provision_all(&self, serials: &[&str]) -> Vec<Device<'a>> {
        let births = self.place.make("births");
        let out = births.to_str().unwrap();
        self.command(&[&["provision", "--model", "lamp", "--out", out], serials].concat());
        let device = |serial: &&str| {
            let device = Device::new(self.place, serial);
            fs::create_dir_all(device.dir()).unwrap();
            fs::rename(births.join(serial), device.dir().join("birth")).unwrap();
            device
        };
        serials.iter().map(device).collect()
    }

    /// Gives an identity to a device that made its own key; `out/SERIAL` gets its birth files.
    /// Only while the MASA does not run.
    pub(crate) fn provision_request(&self, serial: &str, request: &Path, out: &Path) {
        let (request, out) = (request.to_str().unwrap(), out.to_str().unwrap());
        self.command(&["provision", serial, "--csr", request, "--out", out]);
    }

    /// Makes an owner known by its domain CA.
    pub(crate) fn add_owner(&self, name: &str, domain_ca: &Path) {
        self.command(&[
            "owner",
            "add",
            name,
            "--domain-ca",
            domain_ca.to_str().unwrap(),
        ]);
    }

    /// Sells devices.
    pub(crate) fn sell(&self, serials: &[&str], owner: &str) {
        self.command(&[&["sell"], serials, &["--to", owner]].concat());
    }

    /// The signed manifest of what an owner bought.
    pub(crate) fn manifest(&self, owner: &str) -> Vec<u8> {
        let file = self.place.path(&format!("{owner}.manifest"));
        self.command(&[
            "manifest",
            "--owner",
            owner,
            "--out",
            file.to_str().unwrap(),
        ]);
        fs::read(file).unwrap()
    }

    /// What a buyer is given apart from manifests: the root of birth certificates, which makes the
    /// manufacturer's id, and the root of what the MASA signs.
    pub(crate) fn anchors(&self) -> String {
        self.file("root-ca.pem") + &self.file("masa-ca.pem")
    }

    /// Who can end the MASA from another thread.
    pub(crate) fn killer(&self) -> Killer {
        self.server.as_ref().unwrap().killer()
    }

    /// Takes the MASA's life.
    pub(crate) fn kill(&mut self) {
        self.server.take().unwrap().kill();
    }

    /// Ends the MASA in order.
    pub(crate) fn stop(&mut self) {
        let ended = self.server.take().unwrap().terminate();
        assert!(ended.success(), "{}", ended.said());
    }

    /// The nonces of the vouchers that were issued for a device, from the MASA's audit log. Only
    /// while the MASA does not run.
    pub(crate) fn nonces(&self, device: &Value) -> Vec<String> {
        let device = DeviceId::parse(device["id"].as_str().unwrap()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let events = runtime.block_on(async {
            let store = Store::open(StoreConfig::sqlite(&self.dir.join("store.db")))
                .await
                .unwrap();
            let (events, _) = store.audit_log(device).await.unwrap();
            store.close().await;
            events
        });
        events.into_iter().filter_map(|event| event.nonce).collect()
    }

    /// The journal of a device as it stands here: the entries as they were hashed.
    pub(crate) fn journal(&self, serial: &str) -> Vec<Value> {
        let page = self.command(&["journal", "show", serial]);
        let entries = page["entries"]
            .as_array()
            .unwrap_or_else(|| panic!("{page}"));
        let read = |sealed: &Value| serde_json::from_str(sealed["text"].as_str().unwrap()).unwrap();
        entries.iter().map(read).collect()
    }

    /// Every chain of the journal is whole.
    pub(crate) fn verify_journal(&self) {
        let verification = self.command(&["journal", "verify"]);
        assert_eq!(verification["ok"], true, "{verification}");
    }

    /// One of its public files.
    pub(crate) fn file(&self, name: &str) -> String {
        fs::read_to_string(self.dir.join(name)).unwrap()
    }
}

/// An owner's controller.
pub(crate) struct Controller<'a> {
    place: &'a Place,
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
    /// In front of the registrar.
    pub(crate) relay: Relay,
    direct: Option<SocketAddr>,
    api: Option<String>,
    server: Option<Process>,
}

impl<'a> Controller<'a> {
    /// Makes the data folder at `dir`; `settings` are `KEY=VALUE` of its configuration.
    pub(crate) fn init(place: &'a Place, name: &str, settings: &[&str]) -> Self {
        Self::init_at(place, name, place.path(name), settings)
    }

    /// As [`Controller::init`], somewhere else.
    pub(crate) fn init_at(place: &'a Place, name: &str, dir: PathBuf, settings: &[&str]) -> Self {
        let ours = [
            "registrar.listen=127.0.0.1:0",
            "registrar.announce=false",
            "api.listen=127.0.0.1:0",
        ];
        let mut command = place.program("vouchsafe");
        command
            .args(["--output", "json", "--dir"])
            .arg(&dir)
            .args(["init", "--name", name]);
        for setting in ours.iter().chain(settings) {
            command.args(["--set", setting]);
        }
        place.run("init", command);
        let name = name.to_owned();
        Self {
            place,
            name,
            dir,
            relay: Relay::tcp(),
            direct: None,
            api: None,
            server: None,
        }
    }

    /// Makes the data folder and starts it.
    pub(crate) fn start(place: &'a Place, name: &str, settings: &[&str]) -> Self {
        let mut controller = Self::init(place, name, settings);
        controller.serve();
        controller
    }

    /// Starts it, again if need be.
    pub(crate) fn serve(&mut self) {
        self.serve_with(&[]);
    }

    /// The same, with the gate in this folder.
    pub(crate) fn serve_with_gate(&mut self, gate: &Path) {
        self.serve_with(&["--gate".as_ref(), gate.as_ref()]);
    }

    fn serve_with(&mut self, more: &[&OsStr]) {
        let mut command = self.place.program("vouchsafe");
        command.arg("--dir").arg(&self.dir).arg("serve").args(more);
        let mut server = Process::start(&self.name, command, &self.place.logs());
        let ready = server.json_with("ready");
        let registrar = address(&ready["registrar"]);
        self.relay.leads_to(registrar);
        self.direct = Some(registrar);
        self.api = Some(ready["api"].as_str().unwrap().to_owned());
        self.server = Some(server);
    }

    /// Its API, as its first administrator.
    pub(crate) fn api(&self) -> Api {
        let token = fs::read_to_string(self.dir.join("admin.token")).unwrap();
        self.api_with(&token)
    }

    /// Its API with some token.
    pub(crate) fn api_with(&self, token: &str) -> Api {
        let ca = fs::read_to_string(self.domain_ca()).unwrap();
        Api::new(self.api.as_ref().unwrap(), &ca, token)
    }

    pub(crate) fn api_url(&self) -> &str {
        self.api.as_ref().unwrap()
    }

    pub(crate) fn domain_ca(&self) -> PathBuf {
        self.dir.join("domain-ca.pem")
    }

    /// The address of its registrar; stays the same over restarts.
    pub(crate) fn registrar(&self) -> String {
        format!("https://127.0.0.1:{}", self.relay.port())
    }

    /// Where the registrar really listens, until it is started again.
    pub(crate) fn direct(&self) -> SocketAddr {
        self.direct.unwrap()
    }

    /// Who can end it from another thread.
    pub(crate) fn killer(&self) -> Killer {
        self.server.as_ref().unwrap().killer()
    }

    /// Takes its life.
    pub(crate) fn kill(&mut self) {
        self.server.take().unwrap().kill();
    }

    /// Ends it in order.
    pub(crate) fn stop(&mut self) {
        let ended = self.server.take().unwrap().terminate();
        assert!(ended.success(), "{}", ended.said());
    }

    /// Becomes the owner of these devices, by sale and manifest.
    pub(crate) fn buy(&self, maker: &Manufacturer<'_>, serials: &[&str]) {
        maker.add_owner(&self.name, &self.domain_ca());
        maker.sell(serials, &self.name);
        let imported = self
            .api()
            .import(&maker.manifest(&self.name), &maker.anchors());
        assert_eq!(imported["claimed"], serials.len(), "{imported}");
    }

    /// The device is in, with one credential and no more, and every step is in the journal.
    pub(crate) fn assert_onboarded_once(&self, serial: &str) {
        let api = self.api();
        let device = api.device(serial);
        assert_eq!(device["state"], "onboarded", "{device}");
        let credentials = api.credentials(&device);
        assert_eq!(credentials.len(), 1, "issued twice: {credentials:?}");
        assert_eq!(credentials[0]["state"], "active");
        let journal = api.journal(&device);
        let issued = journal
            .iter()
            .filter(|entry| entry["action"] == "credential-issued");
        assert_eq!(issued.count(), 1, "{journal:#?}");
    }
}

/// A device: its agent's folder.
#[derive(Clone)]
pub(crate) struct Device<'a> {
    place: &'a Place,
    pub(crate) serial: String,
}

impl<'a> Device<'a> {
    /// A device whose folder somebody else fills.
    pub(crate) fn new(place: &'a Place, serial: &str) -> Self {
        Self {
            place,
            serial: serial.to_owned(),
        }
    }

    pub(crate) fn place(&self) -> &'a Place {
        self.place
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.place.path(&format!("devices/{}", self.serial))
    }

    /// `vouchsafe-agent run --once` towards this registrar.
    pub(crate) fn agent(&self, registrar: &str) -> Command {
        let mut command = self.command(&["run", "--once", "--no-mdns", "--registrar"]);
        command.arg(registrar);
        command
    }

    /// `vouchsafe-agent …` on its folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.program("vouchsafe-agent");
        command
            .args(["--output", "json", "--dir"])
            .arg(self.dir())
            .args(arguments);
        command
    }

    /// Starts the agent.
    pub(crate) fn start(&self, registrar: &str) -> Process {
        Process::start(&self.serial, self.agent(registrar), &self.place.logs())
    }

    /// Tries to come in, once.
    pub(crate) fn run_once(&self, registrar: &str) -> Ended {
        self.start(registrar).end_of_itself()
    }

    /// Comes in, or the test fails.
    pub(crate) fn onboard(&self, registrar: &str) {
        let ended = self.run_once(registrar);
        assert!(ended.success(), "{}: {}", self.serial, ended.said());
        let events = ended.json_lines();
        assert!(
            events.iter().any(|event| event["event"] == "onboarded"),
            "{}: {}",
            self.serial,
            ended.said()
        );
    }
}

/// Waits for the agent's end. When it is asked for patience it is switched off instead: that is
/// what users do, and tests cannot wait.
pub(crate) fn impatiently(mut agent: Process) -> Ended {
    let deadline = Instant::now() + PATIENCE;
    while let Some(line) = agent.next(deadline) {
        let event: Value = serde_json::from_str(&line).unwrap_or_default();
        if event["event"] == "waiting" || event["code"] == "not-yet" {
            return agent.kill();
        }
    }
    agent.end_of_itself()
}

/// The socket address in a ready line.
fn address(url: &Value) -> SocketAddr {
    let origin: Origin = url
        .as_str()
        .unwrap_or_else(|| panic!("{url}"))
        .parse()
        .unwrap();
    origin.authority().parse().unwrap()
}
