//! Network namespaces, with the real programs in them: hostapd, wpa_supplicant, nftables.
//!
//! ```text
//!  device-1 ── p1 ┐
//!                 ├ bridge ── up0 ── uplink (the service)      gateway holds p1, p2, the bridge and up0
//!  device-2 ── p2 ┘
//! ```
//!
//! The gate, hostapd and the bridge run in the gateway's namespace; each device in its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::world::{Device, PATIENCE, SECRET, Site};

/// Whether a test of wired ports must be skipped. With `CI` set that is a failure.
pub(crate) fn is_missing() -> bool {
    let supplicant = ["wpa_supplicant", "wpa_cli"];
    let gateway = ["hostapd", "hostapd_cli", "nft", "ip", "python3"];
    is_root_missing_or(&[&gateway[..], &supplicant].concat())
}

/// Whether a test that needs these programs, and root, must be skipped.
pub(crate) fn is_root_missing_or(tools: &[&str]) -> bool {
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let mut tools = tools.iter();
    let absent = tools.find(|tool| Command::new(tool).arg("-V").output().is_err());
    let why = match absent {
        Some(tool) => tool,
        None if !is_root => "root",
        None => return false,
    };
    assert!(std::env::var_os("CI").is_none(), "no {why}");
    eprintln!("skipped: no {why}");
    true
}

pub(crate) fn ip(arguments: &str) {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {said}");
}

/// A program that ends with the test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn python(namespace: &str, text: &str) -> Command {
    let mut command = inside(namespace, "python3");
    command.args(["-c", text]);
    command
}

pub(crate) fn inside(namespace: &str, program: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace, program]);
    command
}

/// Starts a program that says what it does in a file.
pub(crate) fn start(mut command: Command, log: &Path) -> Running {
    let log = std::fs::File::create(log).unwrap();
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    Running(command.spawn().unwrap())
}

/// Network namespaces that go with the test.
pub(crate) struct Namespaces(Vec<String>);

impl Namespaces {
    /// With nothing but loopback in each.
    pub(crate) fn add(names: &[&str]) -> Self {
        let namespaces = Self(names.iter().map(|name| (*name).to_owned()).collect());
        for namespace in &namespaces.0 {
            ip(&format!("netns add {namespace}"));
            ip(&format!("-n {namespace} link set lo up"));
        }
        namespaces
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in &self.0 {
            let _ = Command::new("ip").args(["netns", "del", name]).output();
        }
    }
}

/// The service behind the uplink: it sends back whatever comes.
const SERVICE: &str = "
import socketserver
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(64):
            self.request.sendall(data)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
import threading
for port in (7777, 7778):
    threading.Thread(target=Server(('10.77.0.100', port), Echo).serve_forever).start()
";

/// A device that asks once: whether an answer comes within a second.
const ASK: &str = "
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=1) as flow:
    flow.sendall(b'?')
    assert flow.recv(1) == b'?'
";

/// A device that keeps one connection and writes down each answer.
const LIVE: &str = "
import socket, time
with socket.create_connection(('10.77.0.100', 7777), timeout=30) as flow:
    while True:
        flow.sendall(b'?')
        assert flow.recv(1) == b'?'
        print('answer', flush=True)
        time.sleep(0.01)
";

/// A device's connection to the service, an answer a line.
pub(crate) struct Flow {
    _running: Running,
    log: PathBuf,
}

impl Flow {
    /// How often it was answered.
    pub(crate) fn answers(&self) -> usize {
        std::fs::read_to_string(&self.log).unwrap().lines().count()
    }
}

/// hostapd at these ports, one configuration each.
fn hostapd(gateway: &str, site: &Site, ports: &[usize]) -> Running {
    let mut command = inside(gateway, "hostapd");
    for number in ports {
        let path = site.path(&format!("hostapd{number}.conf"));
        let text = format!(
            "interface=p{number}\ndriver=wired\nieee8021x=1\nuse_pae_group_addr=1\n\
             ctrl_interface={}\nnas_identifier=p{number}\nown_ip_addr=127.0.0.1\n\
             auth_server_addr=127.0.0.1\nauth_server_port=1812\nauth_server_shared_secret={SECRET}\n\
             acct_server_addr=127.0.0.1\nacct_server_port=1813\nacct_server_shared_secret={SECRET}\n",
            site.path("hostapd").display()
        );
        std::fs::write(&path, text).unwrap();
        command.arg(path);
    }
    start(command, &site.path("hostapd.log"))
}

/// Namespaces, links, hostapd for two ports, and a gate in the gateway.
pub(crate) struct Net {
    tag: String,
    _service: Running,
    hostapd: Running,
    gate: Running,
    events: PathBuf,
    _namespaces: Namespaces,
}

pub(crate) const MACS: [&str; 2] = ["02:00:00:00:00:01", "02:00:00:00:00:02"];

impl Net {
    pub(crate) fn new(site: &Site) -> Self {
        Self::with(site, "")
    }

    /// With something more at the end of `gate.toml`.
    pub(crate) fn with(site: &Site, more: &str) -> Self {
        let tag = format!("vg{}", std::process::id());
        let (gateway, uplink) = (format!("{tag}g"), format!("{tag}u"));
        let devices = [1, 2].map(|number| format!("{tag}{number}"));
        let namespaces = Namespaces::add(&[&gateway, &uplink, &devices[0], &devices[1]]);
        ip(&format!(
            "-n {gateway} link add br0 type bridge forward_delay 0"
        ));
        ip(&format!("-n {gateway} link set br0 up"));
        ip(&format!(
            "-n {gateway} link add up0 type veth peer name eth0 netns {uplink}"
        ));
        ip(&format!("-n {gateway} link set dev up0 master br0 up"));
        ip(&format!("-n {uplink} addr add 10.77.0.100/24 dev eth0"));
        ip(&format!("-n {uplink} link set eth0 up"));
        for (number, mac) in (1..).zip(MACS) {
            let device = format!("{tag}{number}");
            ip(&format!(
                "-n {gateway} link add p{number} type veth peer name eth0 netns {device}"
            ));
            ip(&format!(
                "-n {gateway} link set dev p{number} master br0 up"
            ));
            ip(&format!("-n {device} link set eth0 address {mac}"));
            ip(&format!(
                "-n {device} addr add 10.77.0.{number}/24 dev eth0"
            ));
            ip(&format!("-n {device} link set eth0 up"));
        }
        site.configure(
            "127.0.0.1:1812",
            &format!(
                "[[radius.client]]\nname = \"hostapd\"\naddress = \"127.0.0.1\"\nsecret_file = \"secret\"\n\
                 [wired]\nuplinks = [\"up0\"]\n\
                 [[wired.port]]\ninterface = \"p1\"\ncontrol = \"hostapd/p1\"\n\
                 [[wired.port]]\ninterface = \"p2\"\ncontrol = \"hostapd/p2\"\n{more}"
            ),
        );
        let events = site.path("events");
        let gate = Self::start_gate(&gateway, site.folder.path(), &events);
        Self {
            _service: start(python(&uplink, SERVICE), &site.path("service.log")),
            hostapd: hostapd(&gateway, site, &[1, 2]),
            gate,
            tag,
            events,
            _namespaces: namespaces,
        }
    }

    /// A gateway with one device at p1, which routes; hostapd at p1, and no bridge.
    pub(crate) fn routed(site: &Site) -> Self {
        let tag = format!("vg{}", std::process::id());
        let (gateway, uplink, device) = (format!("{tag}g"), format!("{tag}u"), format!("{tag}1"));
        let namespaces = Namespaces::add(&[&gateway, &uplink, &device]);
        let links = [("up0", &uplink, "10.77.0"), ("p1", &device, "10.78.0")];
        for (name, peer, network) in links {
            ip(&format!(
                "-n {gateway} link add {name} type veth peer name eth0 netns {peer}"
            ));
            ip(&format!("-n {gateway} addr add {network}.1/24 dev {name}"));
            ip(&format!("-n {gateway} link set {name} up"));
            if name == "p1" {
                ip(&format!("-n {peer} link set eth0 address {}", MACS[0]));
            }
            ip(&format!("-n {peer} addr add {network}.100/24 dev eth0"));
            ip(&format!("-n {peer} link set eth0 up"));
            ip(&format!("-n {peer} route add default via {network}.1"));
        }
        let forward = inside(&gateway, "sh")
            .args(["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
            .status();
        assert!(forward.unwrap().success());
        site.configure(
            "127.0.0.1:1812",
            "[[radius.client]]\nname = \"hostapd\"\naddress = \"127.0.0.1\"\nsecret_file = \"secret\"\n\
             [routed]\ninterfaces = [\"p1\"]\n",
        );
        let events = site.path("events");
        let gate = Self::start_gate(&gateway, site.folder.path(), &events);
        Self {
            _service: start(python(&uplink, SERVICE), &site.path("service.log")),
            hostapd: hostapd(&gateway, site, &[1]),
            gate,
            tag,
            events,
            _namespaces: namespaces,
        }
    }

    fn start_gate(gateway: &str, dir: &Path, events: &Path) -> Running {
        let mut gate = inside(gateway, env!("CARGO_BIN_EXE_vouchsafe-gate"));
        let out = std::fs::File::options()
            .create(true)
            .append(true)
            .open(events)
            .unwrap();
        let log = std::fs::File::create(events.with_extension("log")).unwrap();
        // A test may put programs of its own in front.
        let path = std::env::var("PATH").unwrap_or_default();
        gate.env("PATH", format!("{}:{path}", dir.join("bin").display()))
            .arg("--dir")
            .arg(dir)
            .args(["--output", "json", "--log", "debug"])
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(log);
        Running(gate.spawn().unwrap())
    }

    pub(crate) fn restart_gate(&mut self, site: &Site) {
        // SIGKILL: it had no time to say good-bye.
        let _ = self.gate.0.kill();
        let _ = self.gate.0.wait();
        let gateway = format!("{}g", self.tag);
        let before = self.lines().len();
        self.gate = Self::start_gate(&gateway, site.folder.path(), &self.events);
        self.until_event(before, &["ready"]);
    }

    /// hostapd ends, and says good-bye to nobody.
    pub(crate) fn kill_hostapd(&mut self) {
        let _ = self.hostapd.0.kill();
        let _ = self.hostapd.0.wait();
    }

    pub(crate) fn start_hostapd(&mut self, site: &Site) {
        self.hostapd = hostapd(&self.gateway(), site, &[1, 2]);
    }

    /// hostapd reads its configuration again.
    pub(crate) fn reload_hostapd(&self, site: &Site) {
        for port in ["p1", "p2"] {
            let said = inside(&self.gateway(), "hostapd_cli")
                .arg("-p")
                .arg(site.path("hostapd"))
                .args(["-i", port, "reload"])
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&said.stdout).into_owned();
            assert!(said.contains("OK"), "{said}");
        }
    }

    /// The device begins anew: `wpa_supplicant` does not by itself.
    pub(crate) fn reassociate(&self, site: &Site, number: usize) {
        let _ = inside(&self.device(number), "wpa_cli")
            .arg("-p")
            .arg(site.path(&format!("supplicant{number}")))
            .args(["-i", "eth0", "reassociate"])
            .output();
    }

    pub(crate) fn gateway(&self) -> String {
        format!("{}g", self.tag)
    }

    pub(crate) fn uplink(&self) -> String {
        format!("{}u", self.tag)
    }

    pub(crate) fn device(&self, number: usize) -> String {
        format!("{}{number}", self.tag)
    }

    /// A supplicant with this device's certificate.
    pub(crate) fn supplicant(&self, site: &Site, number: usize, device: &Device) -> Running {
        let file = |name: &str| site.path(&format!("{}-{name}", device.id));
        std::fs::write(file("cert.pem"), device.certificate.pem()).unwrap();
        std::fs::write(file("key.der"), &device.pkcs8).unwrap();
        let network = format!(
            "ctrl_interface={}\nap_scan=0\neapol_version=2\nnetwork={{\n key_mgmt=IEEE8021X\n eapol_flags=0\n \
             eap=TLS\n identity=\"@site\"\n ca_cert=\"{}\"\n client_cert=\"{}\"\n private_key=\"{}\"\n \
             phase1=\"tls_disable_tlsv1_3=0\"\n}}\n",
            site.path(&format!("supplicant{number}")).display(),
            site.path("anchor.pem").display(),
            file("cert.pem").display(),
            file("key.der").display()
        );
        std::fs::write(file("wpa.conf"), network).unwrap();
        let mut command = inside(&self.device(number), "wpa_supplicant");
        command
            .args(["-D", "wired", "-i", "eth0", "-c"])
            .arg(file("wpa.conf"));
        start(command, &file("wpa.log"))
    }

    /// A live connection of the device to the service.
    pub(crate) fn flow(&self, site: &Site, number: usize) -> Flow {
        let log = site.path(&format!("flow{number}"));
        let flow = Flow {
            _running: start(python(&self.device(number), LIVE), &log),
            log,
        };
        self.until("a live connection", |_| flow.answers() > 5);
        flow
    }

    /// Somebody throws the whole packet filter away.
    pub(crate) fn flush_ruleset(&self) {
        let flushed = inside(&self.gateway(), "nft")
            .args(["flush", "ruleset"])
            .status();
        assert!(flushed.unwrap().success());
    }

    /// What `nft list` says at the gateway.
    pub(crate) fn listed(&self, what: &[&str]) -> String {
        let listed = inside(&self.gateway(), "nft")
            .arg("list")
            .args(what)
            .output();
        String::from_utf8_lossy(&listed.unwrap().stdout).into_owned()
    }

    /// Whether the device reaches the service behind the uplink.
    pub(crate) fn reaches(&self, number: usize) -> bool {
        self.reaches_at(number, "10.77.0.100", 7777)
    }

    /// Whether the device gets an answer there.
    pub(crate) fn reaches_at(&self, number: usize, address: &str, port: u16) -> bool {
        python(&self.device(number), ASK)
            .args([address, &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.events).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    pub(crate) fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so(self) {
            if Instant::now() > end {
                panic!("no {what}\n{}\n{}", self.lines().join("\n"), self.logs());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The ends of all logs.
    fn logs(&self) -> String {
        let folder = std::fs::read_dir(self.events.parent().unwrap()).unwrap();
        let mut text = String::new();
        for file in folder.map(|entry| entry.unwrap().path()) {
            if file.extension().is_some_and(|extension| extension == "log") {
                let log = std::fs::read_to_string(&file).unwrap_or_default();
                let lines: Vec<_> = log.lines().collect();
                let end = lines.len().saturating_sub(30);
                text += &format!("-- {}\n{}\n", file.display(), lines[end..].join("\n"));
            }
        }
        text
    }

    pub(crate) fn until_event(&self, after: usize, words: &[&str]) {
        self.until(&words.join(" "), |net| {
            net.lines()
                .iter()
                .skip(after)
                .any(|line| words.iter().all(|word| line.contains(word)))
        });
    }
}
