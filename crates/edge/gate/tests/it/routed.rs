//! A gateway that routes: whoever is cut off is dropped ahead of connection tracking.
//!
//! ```text
//!  device-1 ── p1  gateway  up0 ── uplink (the service)
//! ```

use crate::wired::{MACS, Net, inside, is_missing, python, start};
use crate::world::Site;

/// One connection through the gateway, an answer a line.
const LIVE: &str = "
import socket, time
with socket.create_connection(('10.77.0.100', 7777), timeout=30) as flow:
    while True:
        flow.sendall(b'?')
        assert flow.recv(1) == b'?'
        print('answer', flush=True)
        time.sleep(0.01)
";

/// What makes a live flow survive whatever allowed it.
const ESTABLISHED: &str = "
add table inet site
add chain inet site forward { type filter hook forward priority 0; policy drop; }
add rule inet site forward ct state established,related accept
add rule inet site forward iifname \"p1\" accept
";

#[test]
fn a_live_flow_through_the_gateway_ends_when_its_device_is_cut_off() {
    if is_missing() {
        return;
    }
    let mut site = Site::new();
    let device = site.device("camera-17");
    site.publish(vec![device.admitted()], &[]);
    let mut net = Net::routed(&site);
    let rules = site.path("site.nft");
    std::fs::write(&rules, ESTABLISHED).unwrap();
    let loaded = inside(&net.gateway(), "nft").arg("-f").arg(&rules).status();
    assert!(loaded.unwrap().success());
    net.until_event(0, &["ready"]);
    let _supplicant = net.supplicant(&site, 1, &device);
    net.until_event(0, &["accepted", "camera-17", "\"p1\""]);
    let flow_log = site.path("flow");
    let _flow = start(python(&net.device(1), LIVE), &flow_log);
    let answers = || std::fs::read_to_string(&flow_log).unwrap().lines().count();
    net.until("a live connection", |_| answers() > 5);

    let before = net.lines().len();
    site.publish(Vec::new(), &[&device]);
    net.until_event(before, &["cut-off", "camera-17", "filter"]);
    let count = answers();
    assert!(!net.reaches(1), "cut off and still there");
    assert!(answers() <= count + 1, "the live connection goes on");

    // Somebody throws the packet filter away, while nothing else happens.
    let flushed = inside(&net.gateway(), "nft")
        .args(["flush", "ruleset"])
        .status();
    assert!(flushed.unwrap().success());
    net.until("the deny set again", |net| {
        let listed = inside(&net.gateway(), "nft")
            .args(["list", "set", "inet", "vouchsafe", "denied"])
            .output();
        String::from_utf8_lossy(&listed.unwrap().stdout).contains(MACS[0])
    });
    assert!(!net.reaches(1), "forgotten with the packet filter");

    // A restart of the gate forgets nothing, and a new proof by a new certificate ends it.
    net.restart_gate(&site);
    let renewed = site.device("camera-17");
    let before = net.lines().len();
    site.publish(vec![renewed.admitted()], &[&device]);
    net.until_event(before, &["state-in-force"]);
    assert!(net.lines().iter().any(|line| line.contains(MACS[0])));
}
