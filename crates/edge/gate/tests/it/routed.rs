//! A gateway that routes: whoever is cut off is dropped ahead of connection tracking.
//!
//! ```text
//!  device-1 ── p1  gateway  up0 ── uplink (the service)
//! ```

use crate::net::{MACS, Net, inside, is_missing};
use crate::world::Site;

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
    let flow = net.flow(&site, 1);

    let before = net.lines().len();
    site.publish(Vec::new(), &[&device]);
    net.until_event(before, &["cut-off", "camera-17", "filter"]);
    let count = flow.answers();
    assert!(!net.reaches(1), "cut off and still there");
    assert!(flow.answers() <= count + 1, "the live connection goes on");

    // Somebody throws the packet filter away, while nothing else happens.
    net.flush_ruleset();
    net.until("the deny set again", |net| {
        let listed = net.listed(&["set", "inet", "vouchsafe", "denied"]);
        listed.contains(MACS[0])
    });
    assert!(!net.reaches(1), "forgotten with the packet filter");

    // A restart of the gate forgets nothing, also of who was confirmed to be out.
    net.restart_gate(&site);
    let is_denied = |net: &Net| {
        let listed = net.listed(&["set", "inet", "vouchsafe", "denied"]);
        listed.contains(MACS[0])
    };
    assert!(is_denied(&net) && !net.reaches(1), "forgotten by a restart");

    // That it may come in again is not enough: it has to.
    let renewed = site.device("camera-17");
    let before = net.lines().len();
    site.publish(vec![renewed.admitted()], &[&device]);
    net.until_event(before, &["state-in-force"]);
    assert!(is_denied(&net) && !net.reaches(1));
}
