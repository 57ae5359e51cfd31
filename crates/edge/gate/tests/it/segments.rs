//! Segments at wired ports: a quarantined device reaches its remediation and nothing else, without a new
//! proof; a station that the state names by its address; what stands after the filter was emptied.

use jiff::SignedDuration;
use vouchsafe_api::gate::{AdmittedStation, Destination, SegmentDefinition, TransportProtocol};

use crate::net::{MACS, Net, ip, is_missing, python, start};
use crate::world::{Site, now};

const SERVICE: &str = "10.77.0.100";
const REMEDIATION: u16 = 7778;

fn quarantine() -> SegmentDefinition {
    SegmentDefinition {
        name: "quarantine".to_owned(),
        vlan: None,
        reach: Some(vec![Destination {
            network: SERVICE.to_owned(),
            protocol: Some(TransportProtocol::Tcp),
            port: Some(REMEDIATION),
        }]),
    }
}

/// A join proxy's stand-in at the gateway.
const GATEWAY: &str = "
import socketserver, threading
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(64):
            self.request.sendall(data)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
for port in (8995, 8996):
    threading.Thread(target=Server(('10.77.0.200', port), Echo).serve_forever).start()
";

/// Whoever asks for an address is answered, and anybody else who comes to that port.
const ADDRESSES: &str = "
import socket
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as served:
    served.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    served.bind(('', 67))
    while True:
        data, (address, port) = served.recvfrom(64)
        served.sendto(data, (address, port))
";

/// Whether an answer comes to what a device sends from the port of DHCP clients.
const ASK_FOR_ADDRESS: &str = "
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    asking.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'eth0')
    asking.bind(('', 68))
    asking.settimeout(1)
    asking.sendto(b'?', (sys.argv[1], 67))
    asking.recv(1)
";

fn is_answered(net: &Net, address: &str) -> bool {
    let asked = python(&net.device(1), ASK_FOR_ADDRESS)
        .arg(address)
        .output();
    asked.unwrap().status.success()
}

/// RFC 2131 §4.4.5: who was given an address may ask everybody for it again. A way to one host by that port
/// would lead out of the quarantine.
#[test]
fn a_quarantined_device_gets_an_address_and_no_way_out_by_that() {
    if is_missing() {
        return;
    }
    let mut site = Site::new();
    let device = site.device("camera-17");
    let publish = |site: &mut Site, segment: &str| {
        let mut admitted = device.admitted();
        admitted.segment = Some(segment.to_owned());
        let mut document = site.document(vec![admitted], &[]);
        document.segments = vec![quarantine()];
        site.publish_document(&document);
    };
    publish(&mut site, "cameras");
    let net = Net::new(&site);
    net.until_event(0, &["ready"]);
    let _addresses = start(
        python(&net.uplink(), ADDRESSES),
        &site.path("addresses.log"),
    );
    let _supplicant = net.supplicant(&site, 1, &device);
    net.until("a way to the service", |net| net.reaches(1));
    net.until("an answer", |net| is_answered(net, SERVICE));
    let before = net.lines().len();
    publish(&mut site, "quarantine");
    net.until_event(before, &["station-moved", MACS[0], "quarantine"]);
    assert!(is_answered(&net, "255.255.255.255"), "no address");
    assert!(!is_answered(&net, SERVICE), "a way out");
}

/// A segment that begins to confine confines whoever is in it, also who proved nothing, before the version
/// is said to be in force.
#[test]
fn a_segment_that_gets_a_list_confines_who_is_in_it() {
    if is_missing() {
        return;
    }
    let mut site = Site::new();
    let publish = |site: &mut Site, segments: Vec<SegmentDefinition>| {
        let mut document = site.document(Vec::new(), &[]);
        document.segments = segments;
        document.stations = vec![AdmittedStation {
            mac: MACS[0].to_owned(),
            device: "printer-3".to_owned(),
            segment: Some("quarantine".to_owned()),
            expires_at: now() + SignedDuration::from_hours(1),
        }];
        site.publish_document(&document);
    };
    publish(&mut site, Vec::new());
    let net = Net::new(&site);
    net.until("a way for the named station", |net| net.reaches(1));
    let before = net.lines().len();
    publish(&mut site, vec![quarantine()]);
    net.until_event(before, &["station-moved", MACS[0], "quarantine"]);
    assert!(!net.reaches(1), "confined, and at the service");
    assert!(net.reaches_at(1, SERVICE, REMEDIATION));
    // And back.
    publish(&mut site, Vec::new());
    net.until("a way to the service", |net| net.reaches(1));
}

#[test]
fn a_quarantined_device_reaches_its_remediation_and_nothing_else() {
    if is_missing() {
        return;
    }
    let mut site = Site::new();
    let device = site.device("camera-17");
    let admitted = |segment: Option<&str>| {
        let mut admitted = device.admitted();
        admitted.segment = segment.map(str::to_owned);
        admitted
    };
    let mut document = site.document(vec![admitted(Some("cameras"))], &[]);
    document.segments = vec![quarantine()];
    site.publish_document(&document);
    let mut net = Net::with(&site, "[wired.onboarding]\nports = [8995]\n");
    net.until_event(0, &["ready"]);
    let address = "addr add 10.77.0.200/24 dev br0";
    ip(&format!("-n {} {address}", net.gateway()));
    let _proxy = start(python(&net.gateway(), GATEWAY), &site.path("gateway.log"));

    // The onboarding network: the join proxy at the gateway, nothing else there, nothing behind it.
    net.until("the join proxy", |net| {
        net.reaches_at(1, "10.77.0.200", 8995)
    });
    assert!(
        !net.reaches_at(1, "10.77.0.200", 8996),
        "another port of the gateway"
    );
    assert!(!net.reaches(1) && !net.reaches_at(1, SERVICE, REMEDIATION));

    let _supplicant = net.supplicant(&site, 1, &device);
    net.until("a way to the service", |net| net.reaches(1));

    let flow = net.flow(&site, 1);

    // In place: no second proof is asked for.
    let before = net.lines().len();
    let mut document = site.document(vec![admitted(Some("quarantine"))], &[]);
    document.segments = vec![quarantine()];
    site.publish_document(&document);
    net.until_event(before, &["station-moved", MACS[0], "quarantine"]);
    let count = flow.answers();
    assert!(!net.reaches(1), "quarantined, and at the service");
    assert!(
        net.reaches_at(1, SERVICE, REMEDIATION),
        "no way to remediation"
    );
    assert!(flow.answers() <= count + 1, "the live connection goes on");
    let lines = net.lines();
    let since = lines.iter().skip(before);
    assert!(
        !since
            .clone()
            .any(|line| line.contains("accepted") || line.contains("cut-off"))
    );

    // A restart of the gate changes nothing of it.
    net.restart_gate(&site);
    net.until("remediation", |net| net.reaches_at(1, SERVICE, REMEDIATION));
    assert!(!net.reaches(1), "the service after a restart");

    // Restored.
    let mut document = site.document(vec![admitted(Some("cameras"))], &[]);
    document.segments = vec![quarantine()];
    site.publish_document(&document);
    net.until("a way back to the service", |net| net.reaches(1));

    // Somebody throws the whole packet filter away. Without it the bridge is open; soon it is not.
    net.flush_ruleset();
    net.until("the table again", |net| {
        net.listed(&["tables"]).contains("vouchsafe")
    });
    net.until("a way to the service still", |net| net.reaches(1));
    assert!(!net.reaches(2), "a stranger");
}

#[test]
fn a_station_that_the_state_names_comes_in_by_its_address_until_it_is_not_named() {
    if is_missing() {
        return;
    }
    let mut site = Site::new();
    site.publish(Vec::new(), &[]);
    let net = Net::new(&site);
    net.until_event(0, &["ready"]);
    // It says something now and then, so that the bridge sees it.
    assert!(!net.reaches(1) && !net.reaches(2));
    let mut document = site.document(Vec::new(), &[]);
    document.stations = vec![AdmittedStation {
        mac: MACS[0].to_owned(),
        device: "printer-3".to_owned(),
        segment: None,
        expires_at: now() + SignedDuration::from_hours(1),
    }];
    site.publish_document(&document);
    net.until("a way for the named station", |net| net.reaches(1));
    net.until_event(0, &["accepted", "printer-3", "\"p1\""]);
    assert!(!net.reaches(2), "another station");
    let before = net.lines().len();
    site.publish(Vec::new(), &[]);
    net.until_event(before, &["cut-off", "printer-3", "filter"]);
    assert!(!net.reaches(1), "not named any more");
}
