//! Wired ports: who comes in, who is cut off, and what becomes of both when a program dies.

use std::process::Command;

use vouchsafe_gate::Event;

use crate::net::{MACS, Net, ip, is_missing};
use crate::world::{Device, Site};

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
    let flow = net.flow(&site, 1);
    let before = net.lines().len();
    site.publish(Vec::new(), &[&device]);
    net.until_event(before, &["cut-off", "camera-17", "filter"]);
    let count = flow.answers();
    assert!(!net.reaches(1), "cut off and still there");
    // One answer may have been written down late.
    assert!(flow.answers() <= count + 1, "the live connection goes on");

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
