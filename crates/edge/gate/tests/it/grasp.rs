//! GRASP between a gate and its neighbour, in two network namespaces with one link between them.

use std::net::Ipv6Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use vouchsafe_brski::grasp::{Address, Flood, PROXY, TIME_TO_LIVE};

use crate::net::{Namespaces, Running, inside, ip, is_root_missing_or, start};
use crate::world::{PATIENCE, Site};

/// The neighbour: it floods what it is given until it ends, and prints every flood that it hears.
const NEIGHBOUR: &str = "
import socket, struct, sys
link = socket.if_nametoindex('eth0')
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(('::', 7017))
group = socket.inet_pton(socket.AF_INET6, 'ff02::13')
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group + struct.pack('@I', link))
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
s.settimeout(0.2)
while True:
    try:
        s.sendto(bytes.fromhex(sys.argv[1]), ('ff02::13', 7017, 0, link))
    except OSError:
        pass
    try:
        heard, _ = s.recvfrom(4096)
        print(heard.hex(), flush=True)
    except TimeoutError:
        pass
";

/// Two namespaces that go with the test, with a link between them.
struct Pair {
    names: [String; 2],
    _namespaces: Namespaces,
}

impl Pair {
    fn new() -> Self {
        let names = ["g", "n"].map(|end| format!("gr{}{end}", std::process::id()));
        let [gate, neighbour] = &names;
        let namespaces = Namespaces::add(&[gate, neighbour]);
        ip(&format!(
            "-n {gate} link add v0 type veth peer name eth0 netns {neighbour}"
        ));
        ip(&format!("-n {gate} link set v0 up"));
        ip(&format!("-n {neighbour} link set eth0 up"));
        Self {
            names,
            _namespaces: namespaces,
        }
    }

    /// Starts a program in one of them; its output goes to a file.
    fn start(&self, place: usize, words: &[&str], out: &Path) -> Running {
        let mut command = inside(&self.names[place], words[0]);
        command.args(&words[1..]);
        start(command, out)
    }
}

/// The first line in a file that is wanted.
fn line<T>(what: &str, file: &Path, wanted: impl Fn(&str) -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        let text = std::fs::read_to_string(file).unwrap();
        if let Some(found) = text.lines().find_map(&wanted) {
            return found;
        }
        assert!(Instant::now() < end, "no {what}: {text}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_proxy_hears_of_a_registrar_and_only_then_tells_of_itself() {
    if is_root_missing_or(&["ip", "python3"]) {
        return;
    }
    let site = Site::new();
    site.configure(
        "127.0.0.1:0",
        "[join_proxy]\nlisten = \"[::]:0\"\ninterfaces = [\"v0\"]\ndiscover_on = [\"v0\"]\n",
    );
    let pair = Pair::new();
    let (events, heard) = (site.path("events"), site.path("heard"));
    let folder = site.folder.path().to_str().unwrap();
    let gate = env!("CARGO_BIN_EXE_vouchsafe-gate");
    let _gate = pair.start(0, &[gate, "--dir", folder, "--output", "json"], &events);
    let event = |what: &'static str, name: &'static str| {
        move |line: &str| {
            let event: Value = serde_json::from_str(line).ok()?;
            (event["event"] == what).then(|| event[name].clone())
        }
    };
    let proxy = line("proxy", &events, event("join-proxy-ready", "join_proxy"));
    let proxy: std::net::SocketAddr = proxy.as_str().unwrap().parse().unwrap();
    // Nobody leads anywhere yet.
    let none = line(
        "registrars",
        &events,
        event("join-proxy-registrars", "registrars"),
    );
    assert_eq!(none, Value::Array(Vec::new()));

    let registrar: Ipv6Addr = "2001:db8::7".parse().unwrap();
    let flood = Flood::of_registrar(7, Address::V6(registrar.octets()), 8443);
    let flood: String = flood
        .to_bytes()
        .iter()
        .map(|it| format!("{it:02x}"))
        .collect();
    let _neighbour = pair.start(1, &["python3", "-c", NEIGHBOUR, &flood], &heard);
    let known = line("registrar", &events, |line| {
        let known = event("join-proxy-registrars", "registrars")(line)?;
        known.as_array().unwrap().first().cloned()
    });
    assert_eq!(known, "[2001:db8::7]:8443");

    let flood = line("flood", &heard, |line| {
        let bytes = (0..line.len()).step_by(2);
        let bytes: Vec<u8> = bytes
            .map_while(|at| u8::from_str_radix(line.get(at..at + 2)?, 16).ok())
            .collect();
        Flood::from_bytes(&bytes).ok()
    });
    let place = &flood.places[0];
    assert!(place.is_of(PROXY));
    assert_eq!((place.loop_count, flood.time_to_live), (1, TIME_TO_LIVE));
    assert_eq!(place.port, proxy.port());
    // RFC 8995 §4.1.1: its own address on this link.
    let Address::V6(octets) = place.address else {
        panic!("{place:?}");
    };
    assert!(Ipv6Addr::from(octets).is_unicast_link_local());
}
