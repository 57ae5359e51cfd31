//! Wired ports: hostapd, wpa_supplicant and nftables in network namespaces.
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

use vouchsafe_gate::Event;

use crate::world::{Device, PATIENCE, SECRET, Site};

/// Whether the test must be skipped. With `CI` set that is a failure.
pub(crate) fn is_missing() -> bool {
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    let tools = [
        "hostapd",
        "wpa_supplicant",
        "wpa_cli",
        "hostapd_cli",
        "nft",
        "ip",
        "python3",
    ];
    let absent = tools
        .into_iter()
        .find(|tool| Command::new(tool).arg("-V").output().is_err());
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
struct Namespaces(Vec<String>);

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
import socket, sys, time
with socket.create_connection(('10.77.0.100', 7777), timeout=30) as flow:
    while True:
        flow.sendall(b'?')
        assert flow.recv(1) == b'?'
        print('answer', flush=True)
        time.sleep(0.01)
";

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
        let ends = ["g", "u", "1", "2"].map(|end| format!("{tag}{end}"));
        let namespaces = Namespaces(ends.to_vec());
        for namespace in &namespaces.0 {
            ip(&format!("netns add {namespace}"));
            ip(&format!("-n {namespace} link set lo up"));
        }
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
        let namespaces = Namespaces(vec![gateway.clone(), uplink.clone(), device.clone()]);
        for namespace in &namespaces.0 {
            ip(&format!("netns add {namespace}"));
            ip(&format!("-n {namespace} link set lo up"));
        }
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
    fn reload_hostapd(&self, site: &Site) {
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
    fn reassociate(&self, site: &Site, number: usize) {
        let _ = inside(&self.device(number), "wpa_cli")
            .arg("-p")
            .arg(site.path(&format!("supplicant{number}")))
            .args(["-i", "eth0", "reassociate"])
            .output();
    }

    pub(crate) fn gateway(&self) -> String {
        format!("{}g", self.tag)
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

#[test]
fn a_wired_device_comes_in_is_cut_off_and_a_copied_address_helps_nobody() {
    if is_missing() {
        return;
    }
    let mut site = Site::new();
    let device = site.device("camera-17");
    site.publish(vec![device.admitted()], &[]);
    let mut net = Net::new(&site);
    net.until_event(0, &["ready"]);

    // Nothing passes before the device proves itself.
    assert!(!net.reaches(1));
    let _supplicant = net.supplicant(&site, 1, &device);
    net.until_event(0, &["accepted", "camera-17", "\"p1\""]);
    net.until_event(0, &["port-opened", "p1", MACS[0]]);
    net.until("a way to the service", |net| net.reaches(1));

    // The same address on another port, without a proof of its own.
    let thief = net.device(2);
    ip(&format!("-n {thief} link set eth0 down"));
    ip(&format!("-n {thief} link set eth0 address {}", MACS[0]));
    ip(&format!("-n {thief} link set eth0 up"));
    for _ in 0..3 {
        assert!(!net.reaches(2), "a copied address came through");
    }
    ip(&format!("-n {thief} link set eth0 down"));
    net.until("a way to the service still", |net| net.reaches(1));

    // The gate is killed and comes back: the device stays in.
    net.restart_gate(&site);
    net.until("a way to the service after a restart", |net| net.reaches(1));

    // Revoked: the live connection ends.
    let flow_log = site.path("flow");
    let _flow = start(python(&net.device(1), LIVE), &flow_log);
    let answers = || std::fs::read_to_string(&flow_log).unwrap().lines().count();
    net.until("a live connection", |_| answers() > 5);
    let before = net.lines().len();
    site.publish(Vec::new(), &[&device]);
    net.until_event(before, &["cut-off", "camera-17", "filter"]);
    let count = answers();
    assert!(!net.reaches(1), "cut off and still there");
    // One answer may have been written down late.
    assert!(answers() <= count + 1, "the live connection goes on");
    let line = net
        .lines()
        .into_iter()
        .find(|line| line.contains("cut-off"));
    eprintln!("{}", line.unwrap());

    // It tries again and hears why not.
    let before = net.lines().len();
    net.reassociate(&site, 1);
    net.until_event(before, &["refused", "certificate-revoked"]);
    assert!(!net.reaches(1));

    // Trusted again, by another certificate. (At the port where it failed, hostapd holds still for a
    // minute, so it moves to the other one.)
    let renewed = site.device("camera-17");
    let before = net.lines().len();
    site.publish(vec![renewed.admitted()], &[&device]);
    ip(&format!("-n {thief} link set eth0 address {}", MACS[1]));
    ip(&format!("-n {thief} link set eth0 up"));
    let _supplicant = net.supplicant(&site, 2, &renewed);
    net.until_event(before, &["accepted", "camera-17", "\"p2\""]);
    net.until("a way back to the service", |net| net.reaches(2));
}

/// `nft`, but for transactions that deny whom a file names.
const BROKEN_NFT: &str = "#!/bin/sh
if [ \"$1\" = -f ]; then
    text=$(cat)
    if [ -f @DIR@/broken ] && printf %s \"$text\" | grep -q \"denied {.*$(cat @DIR@/broken)\"; then
        echo broken >&2
        exit 1
    fi
    printf '%s\\n' \"$text\" | @NFT@ \"$@\"
    exit
fi
exec @NFT@ \"$@\"
";

/// One that the packet filter does not take keeps no other in, and is told of until it is out.
#[test]
fn a_cut_that_fails_stops_no_other_and_is_tried_again() {
    if is_missing() {
        return;
    }
    let mut site = Site::new();
    let nft = Command::new("sh").args(["-c", "command -v nft"]).output();
    let nft = String::from_utf8(nft.unwrap().stdout).unwrap();
    let text = BROKEN_NFT
        .replace("@DIR@", &site.folder.path().display().to_string())
        .replace("@NFT@", nft.trim());
    std::fs::create_dir(site.path("bin")).unwrap();
    std::fs::write(site.path("bin/nft"), text).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(site.path("bin/nft"), executable).unwrap();
    let devices = ["one", "two"].map(|id| site.device(id));
    site.publish(devices.iter().map(Device::admitted).collect(), &[]);
    let net = Net::new(&site);
    net.until_event(0, &["ready"]);
    let _supplicants = [1, 2].map(|number| net.supplicant(&site, number, &devices[number - 1]));
    net.until("a way for both", |net| net.reaches(1) && net.reaches(2));
    std::fs::write(site.path("broken"), MACS[1]).unwrap();
    let before = net.lines().len();
    site.publish(Vec::new(), &[&devices[0], &devices[1]]);
    net.until_event(before, &["filter-failed", MACS[1]]);
    net.until_event(before, &["cut-off", "one", "filter"]);
    assert!(!net.reaches(1), "cut off and still there");
    let is_out = |line: &String| line.contains("cut-off") && line.contains("two");
    assert!(!net.lines().iter().any(is_out), "confirmed, and not out");
    std::fs::remove_file(site.path("broken")).unwrap();
    net.until_event(before, &["cut-off", "two", "filter"]);
    assert!(!net.reaches(2), "cut off and still there");
}

/// Without its authenticator nobody vouches for who is at a port: it closes, and opens by a new proof only. A
/// reload is nothing of the kind, or the same.
#[test]
fn hostapd_dies_comes_back_and_is_reloaded() {
    if is_missing() {
        return;
    }
    let mut site = Site::new();
    let device = site.device("camera-17");
    site.publish(vec![device.admitted()], &[]);
    let mut net = Net::new(&site);
    net.until_event(0, &["ready"]);
    let _supplicant = net.supplicant(&site, 1, &device);
    net.until("a way to the service", |net| net.reaches(1));
    let before = net.lines().len();
    net.kill_hostapd();
    net.until_event(before, &["port-closed", "p1", MACS[0]]);
    assert!(!net.reaches(1), "nobody vouches for it");
    net.start_hostapd(&site);
    net.until("a way to the service after a restart of hostapd", |net| {
        net.reassociate(&site, 1);
        net.reaches(1)
    });
    net.reload_hostapd(&site);
    net.until("a way to the service after a reload of hostapd", |net| {
        let is_there = net.reaches(1);
        if !is_there {
            net.reassociate(&site, 1);
        }
        is_there
    });
    // And it is cut off at the new one as at the old.
    let before = net.lines().len();
    site.publish(Vec::new(), &[&device]);
    net.until_event(before, &["cut-off", "camera-17", "filter"]);
    assert!(!net.reaches(1), "cut off and still there");
}

/// The events that the test looks for are the gate's own words.
#[test]
fn events_are_written_as_the_test_reads_them() {
    let event = Event::PortOpened {
        port: "p1".to_owned(),
        station: MACS[0].to_owned(),
    };
    let text = serde_json::to_string(&event).unwrap();
    assert!(
        text.contains("port-opened") && text.contains("p1"),
        "{text}"
    );
}
