//! Wired ports whose components fail: hostapd starts anew, the packet filter is flushed, the gate is
//! killed. Whatever happened, it ends in the same state, and nobody passes who may not.
//!
//! ```text
//!  device ── p1 ┐
//!               ├ bridge ── up0 ── uplink (the service)     gateway holds p1, p2, the bridge and up0
//!  nobody ── p2 ┘
//! ```

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vouchsafe_sim::wifi::hostap::{Hostap, Kind, Setup};
use vouchsafe_sim::wired::{self, space::Space};

use crate::gate::SECRET;
use crate::process::{PATIENCE, Process};
use crate::tools;
use crate::world::{Controller, Device, Manufacturer, Place};

const SERVICE: &str = "10.77.0.100:7777";

/// How often something is looked at.
const PAUSE: Duration = Duration::from_millis(100);

/// The namespaces and who is in them.
struct Hall<'a> {
    place: &'a Place,
    gateway: Space,
    _uplink: Space,
    devices: [Space; 2],
    hostapd: Option<[Hostap; 2]>,
    gate: Option<Process>,
    /// What the gate said before it was ready.
    early: VecDeque<Value>,
    _service: Process,
}

impl<'a> Hall<'a> {
    fn open(place: &'a Place, owner: &Controller<'_>) -> Self {
        let simulator = simulator(place);
        let space = || Space::new(&simulator).unwrap();
        let (gateway, uplink, devices) = (space(), space(), [space(), space()]);
        gateway
            .ip(&format!(
                "link add br0 type bridge forward_delay 0\n\
                 link set br0 up\n\
                 link add up0 type veth peer name eth0 netns {}\n\
                 link set up0 master br0\n\
                 link set up0 up\n",
                uplink.id()
            ))
            .unwrap();
        uplink
            .ip("addr add 10.77.0.100/24 dev eth0\nlink set eth0 up\n")
            .unwrap();
        for (number, device) in (1..).zip(&devices) {
            let link = format!(
                "link add p{number} type veth peer name eth0 netns {}\n\
                 link set p{number} master br0\n\
                 link set p{number} up\n",
                device.id()
            );
            gateway.ip(&link).unwrap();
            let address = format!(
                "link set eth0 address 02:00:00:00:00:0{number}\n\
                 addr add 10.77.0.{number}/24 dev eth0\n\
                 link set eth0 up\n"
            );
            device.ip(&address).unwrap();
        }
        let mut service = inside(&uplink, &simulator);
        service.args(["talk", "serve", SERVICE]);
        let mut service = Process::start("service", service, &place.logs());
        service.json_with("ready");
        let mut hall = Self {
            place,
            gateway,
            _uplink: uplink,
            devices,
            hostapd: None,
            gate: None,
            early: VecDeque::new(),
            _service: service,
        };
        hall.start_hostapd();
        let dir = place.make("hall");
        let home = owner.dir.display();
        let mut settings = format!(
            "[identity]\nchain = \"{home}/api.pem\"\nkeys = \"file:{home}/keys\"\nlabel = \"api\"\n\
             [state]\nanchor = \"{home}/domain-ca.pem\"\nfile = \"{home}/desired.json\"\n\
             [radius]\nlisten = \"127.0.0.1:1812\"\naccounting = \"127.0.0.1:1813\"\n\
             [[radius.client]]\nname = \"hall\"\naddress = \"127.0.0.1\"\nsecret_file = \"secret\"\n\
             [wired]\nuplinks = [\"up0\"]\n"
        );
        for port in ["p1", "p2"] {
            let control = hall.folder(port).join("control").join(port);
            settings.push_str(&format!(
                "[[wired.port]]\ninterface = \"{port}\"\ncontrol = \"{}\"\n",
                control.display()
            ));
        }
        fs::write(dir.join("gate.toml"), settings).unwrap();
        fs::write(dir.join("secret"), SECRET).unwrap();
        hall.start_gate();
        hall
    }

    fn folder(&self, port: &str) -> PathBuf {
        self.place.path(&format!("hostapd-{port}"))
    }

    /// Ends both if they run, without a word, and starts them.
    fn start_hostapd(&mut self) {
        self.hostapd = None;
        let within = self.gateway.words();
        let start = |port: &str| {
            let settings = [
                "ieee8021x=1".to_owned(),
                "use_pae_group_addr=1".to_owned(),
                format!("nas_identifier={port}"),
                "own_ip_addr=127.0.0.1".to_owned(),
                "auth_server_addr=127.0.0.1".to_owned(),
                "auth_server_port=1812".to_owned(),
                format!("auth_server_shared_secret={SECRET}"),
            ];
            let setup = Setup {
                within: &within,
                ..Setup::wired(Kind::AccessPoint, port, &settings)
            };
            Hostap::start(port, &self.folder(port), setup).unwrap()
        };
        self.hostapd = Some(["p1", "p2"].map(start));
    }

    /// Takes its life if it runs, and starts it.
    fn start_gate(&mut self) {
        if let Some(gate) = self.gate.take() {
            gate.kill();
        }
        let program = self.place.program("vouchsafe-gate");
        let mut command = inside(&self.gateway, program.get_program().as_ref());
        command.envs(
            program
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        command.args(["--output", "json", "--dir"]);
        command.arg(self.place.path("hall"));
        let mut gate = Process::start("gate", command, &self.place.logs());
        self.early = gate.until_json_with("radius").into();
        self.gate = Some(gate);
    }

    fn event(&mut self, words: &[&str]) -> Value {
        while let Some(early) = self.early.pop_front() {
            if words.iter().all(|word| early.to_string().contains(word)) {
                return early;
            }
        }
        let gate = self.gate.as_mut().unwrap();
        let fits = |line: &str| words.iter().all(|word| line.contains(word));
        serde_json::from_str(&gate.line(&words.join(" "), fits)).unwrap()
    }

    /// Whether an answer comes from the service.
    fn reaches(&self, device: usize) -> bool {
        let mut command = inside(&self.devices[device], &simulator(self.place));
        command.args(["talk", "ask", SERVICE]);
        tools::run(&mut command, b"").0
    }

    fn reaches_soon(&self, device: usize) {
        let end = Instant::now() + PATIENCE;
        while !self.reaches(device) {
            assert!(Instant::now() < end, "device {device} stays out");
        }
    }

    /// The packet filter as it is.
    fn filter(&self) -> String {
        let mut command = inside(&self.gateway, "nft".as_ref());
        command.args(["list", "ruleset"]);
        String::from_utf8(tools::output(&mut command, b"")).unwrap()
    }

    /// The supplicant of a device at the first port, which knows no network.
    fn supplicant(&self, device: &Device<'_>) -> Hostap {
        let within = self.devices[0].words();
        let settings = ["ap_scan=0", "eapol_version=2"].map(str::to_owned);
        let setup = Setup {
            within: &within,
            ..Setup::wired(Kind::Station, "eth0", &settings)
        };
        Hostap::start("supplicant", &self.supplicant_folder(device), setup).unwrap()
    }

    fn supplicant_folder(&self, device: &Device<'_>) -> PathBuf {
        self.place.path(&format!("supplicant-{}", device.serial))
    }

    /// Its agent, which gives the supplicant what the device has; `more` are settings of `[network]`.
    fn agent(&self, device: &Device<'_>, more: &str) -> Process {
        let socket = self.supplicant_folder(device).join("control/eth0");
        let settings = format!(
            "mdns = false\n[network]\nprove_again = 5\nsupplicant = \"{}\"\n{more}",
            socket.display()
        );
        fs::write(device.dir().join("agent.toml"), settings).unwrap();
        let program = device.command(&["run"]);
        let mut command = inside(&self.devices[0], program.get_program().as_ref());
        command.args(program.get_args());
        let variables = program.get_envs();
        command.envs(variables.filter_map(|(name, value)| Some((name, value?))));
        Process::start(&device.serial, command, &self.place.logs())
    }
}

fn simulator(place: &Place) -> PathBuf {
    place.program("vouchsafe-sim").get_program().into()
}

fn inside(space: &Space, program: &Path) -> Command {
    let mut words = space.words().into_iter();
    let mut command = Command::new(words.next().unwrap());
    command.args(words).arg(program);
    command
}

#[test]
fn whichever_component_starts_anew_it_ends_in_the_same_state() {
    let missing = wired::missing();
    if !missing.is_empty() {
        tools::skip(&format!("wired ports need {}", missing.join(", ")));
        return;
    }
    let place = Place::new();
    let maker = Manufacturer::start(&place, &[]);
    let owner = Controller::start(&place, "owner", &["gate.state_file=desired.json"]);
    let devices = maker.provision_all(&["L-1"]);
    owner.buy(&maker, &["L-1"]);
    devices[0].onboard(&owner.registrar());
    let mut hall = Hall::open(&place, &owner);
    hall.event(&["state-in-force", "\"admitted\":1"]);
    assert!(!hall.reaches(0));
    let _supplicant = hall.supplicant(&devices[0]);
    let mut agent = hall.agent(&devices[0], "");
    agent.line("its way in", |line| line.contains("network-joined"));
    hall.event(&["port-opened", "p1"]);
    hall.reaches_soon(0);

    // The filter is flushed: the gate puts it back, the device stays in, and the other one out.
    let mut flush = inside(&hall.gateway, "nft".as_ref());
    tools::output(flush.args(["flush", "ruleset"]), b"");
    let end = Instant::now() + PATIENCE;
    while !hall.filter().contains("02:00:00:00:00:01") {
        assert!(Instant::now() < end, "the filter stays away");
        std::thread::sleep(PAUSE);
    }
    assert!(!hall.reaches(1), "nobody is in at p2");
    hall.reaches_soon(0);

    // The gate is killed while a session lives.
    hall.start_gate();
    hall.reaches_soon(0);
    assert!(!hall.reaches(1), "nobody is in at p2");

    // hostapd starts anew and knows nobody: the port is closed until the device has proved itself again.
    hall.start_hostapd();
    hall.event(&["port-closed", "p1"]);
    // The agent sees that it is out, and asks again.
    hall.event(&["port-opened", "p1"]);
    hall.reaches_soon(0);

    // What must go goes, after all of that.
    let api = owner.api();
    let id = api.device("L-1")["id"].as_str().unwrap().to_owned();
    let revoke = json!({ "reason": "the test says so", "revocation_reason": "key-compromise" });
    api.post(&format!("/api/v1/devices/{id}/revoke"), &revoke);
    hall.event(&["cut-off", "p1"]);
    assert!(!hall.reaches(0), "cut off and still there");
}

/// RFC 5216 §5.2, §5.3: whoever answers at a port is no network of the device's unless its certificate is the
/// domain's, and has the name that the device was given. By Debian's supplicant, as the agent sets it up.
#[test]
fn a_port_whose_server_is_not_the_domains_or_has_another_name_gets_nothing_of_the_device() {
    let missing = wired::missing();
    if !missing.is_empty() {
        tools::skip(&format!("wired ports need {}", missing.join(", ")));
        return;
    }
    let place = Place::new();
    let maker = Manufacturer::start(&place, &[]);
    let owner = Controller::start(&place, "owner", &["gate.state_file=desired.json"]);
    let other = Controller::start(&place, "other", &[]);
    let devices = maker.provision_all(&["L-1", "L-2"]);
    owner.buy(&maker, &["L-1"]);
    other.buy(&maker, &["L-2"]);
    devices[0].onboard(&owner.registrar());
    devices[1].onboard(&other.registrar());
    let mut hall = Hall::open(&place, &owner);
    hall.event(&["state-in-force", "\"admitted\":1"]);
    let elsewhere = "server_name = \"elsewhere.example\"\n";
    for (device, more, why) in [
        (&devices[0], elsewhere, "omain"),
        (&devices[1], "", "self-signed certificate"),
    ] {
        let supplicant = hall.supplicant(device);
        let agent = hall.agent(device, more);
        let said = supplicant.wait("CTRL-EVENT-EAP-TLS-CERT-ERROR").unwrap();
        assert!(said.contains(why), "refused for another reason: {said}");
        assert!(!hall.reaches(0), "{} is in", device.serial);
        agent.kill();
    }
    // The right name, or none, opens the port to the one that belongs here.
    let _supplicant = hall.supplicant(&devices[0]);
    let mut agent = hall.agent(&devices[0], "server_name = \"localhost\"\n");
    agent.line("its way in", |line| line.contains("network-joined"));
    hall.reaches_soon(0);
}
