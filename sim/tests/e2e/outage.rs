//! The ground gives way under a controller: its disk is full, its database gone. It says so, does
//! nothing by halves, and when the ground is back the device completes.

mod postgres;

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::kill::insist;
use crate::tools::skip;
use crate::world::{Controller, Manufacturer, Place, impatiently};

/// What an agent says to an answer with status 503; to 202 it says that it is waiting.
const UNAVAILABLE: &str = "\"code\":\"not-yet\"";

/// Devices that try before the test gives up on filling the disk.
const ATTEMPTS: usize = 8;

/// Onboardings in which the database is lost, each three turns later than the one before.
const TURNS: usize = 16;

/// A file system of a few megabytes; unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: PathBuf) -> Option<Self> {
        let root = fs::read_to_string("/proc/self/status").is_ok_and(|status| {
            status
                .lines()
                .any(|line| line.split_whitespace().take(3).eq(["Uid:", "0", "0"]))
        });
        if !root {
            println!("skipped: only root can mount a small disk");
            return None;
        }
        fs::create_dir_all(&at).unwrap();
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=6m", "tmpfs"])
            .arg(&at);
        if !mount.status().is_ok_and(|status| status.success()) {
            skip("root may not mount a small disk here");
            return None;
        }
        Some(Self(at))
    }

    /// Takes all the room that is left.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = File::create(&path).unwrap();
        let mut piece = vec![0; 64 * 1024];
        while !piece.is_empty() {
            match file.write(&piece) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => {
                    piece.truncate(piece.len() / 2);
                }
                Err(error) => panic!("{error}"),
            }
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn with_a_full_disk_nothing_is_half_done_and_with_room_the_device_completes() {
    let place = Place::new();
    let Some(disk) = SmallDisk::mount(place.path("small")) else {
        return;
    };
    let maker = Manufacturer::start(&place, &[]);
    let dir = place.path("small/owner");
    let mut owner = Controller::init_at(&place, "owner", dir, &[]);
    owner.serve();
    let serials: Vec<String> = (0..ATTEMPTS).map(|number| format!("D-{number}")).collect();
    let serials: Vec<&str> = serials.iter().map(String::as_str).collect();
    let devices = maker.provision_all(&serials);
    owner.buy(&maker, &serials);
    let filler = disk.fill();

    // What is in the store's own files already may take another entry or two.
    let refused = devices
        .iter()
        .find(|device| !impatiently(device.start(&owner.registrar())).success());
    let refused = refused.expect("a full disk is felt");
    let answer = owner.api().call(
        "POST",
        "/api/v1/tokens",
        "application/json",
        json!({ "name": "one more", "role": "auditor" })
            .to_string()
            .as_bytes(),
    );
    assert_eq!(answer.status, 507, "{}", answer.text());
    assert_eq!(answer.json()["code"], "storage-full");
    let device = owner.api().device(&refused.serial);
    assert!(
        device["state"] == "claimed" || device["state"] == "onboarding",
        "{device}"
    );
    assert!(owner.api().credentials(&device).is_empty(), "half done");
    let events = events(&place, &refused.serial);
    assert!(events.contains(UNAVAILABLE), "{events}");
    owner.api().verify_journal();

    fs::remove_file(filler).unwrap();
    insist(refused, &owner.registrar());
    owner.assert_onboarded_once(&refused.serial);
    owner.api().verify_journal();
    maker.verify_journal();
    owner.stop();
}

#[test]
fn without_its_database_a_controller_says_so_and_with_it_the_device_completes() {
    let Some(cluster) = postgres::Cluster::find_or_start() else {
        return;
    };
    let place = Place::new();
    let sockets = place.make("database");
    let (wire, url) = cluster.behind_a_relay(&sockets);
    let maker = Manufacturer::start(&place, &[]);
    let mut owner = Controller::init(&place, "owner", &[&format!("store.url={url}")]);
    owner.serve();
    let devices = maker.provision_all(&["Q-1", "Q-2"]);
    owner.buy(&maker, &["Q-1", "Q-2"]);
    devices[0].onboard(&owner.registrar());

    let gone = wire.interrupt();
    let ended = impatiently(devices[1].start(&owner.registrar()));
    assert!(!ended.success(), "{}", ended.said());
    let said = ended.said();
    assert!(said.contains(UNAVAILABLE), "{said}");
    let answer = owner.api().call("GET", "/readyz", "text/plain", b"");
    assert_eq!(answer.status, 503, "{}", answer.text());
    let answer = owner.api().call("GET", "/healthz", "text/plain", b"");
    assert_eq!(
        answer.status,
        200,
        "the process itself is well: {}",
        answer.text()
    );
    let answer = owner
        .api()
        .call("GET", "/api/v1/devices", "application/json", b"");
    assert_eq!(answer.status, 503, "{}", answer.text());

    wire.resume(gone);
    insist(&devices[1], &owner.registrar());
    for device in &devices {
        owner.assert_onboarded_once(&device.serial);
    }
    owner.api().verify_journal();
    owner.stop();
}

/// Each device loses the controller's database at another turn of the conversation with it, before
/// the answer passes: also that to COMMIT, so that nobody knows whether it was done.
#[test]
fn a_database_lost_before_any_of_its_answers_leaves_nothing_half_done_or_done_twice() {
    let Some(cluster) = postgres::Cluster::find_or_start() else {
        return;
    };
    let place = Place::new();
    let sockets = place.make("database");
    let (wire, url) = cluster.behind_a_relay(&sockets);
    let maker = Manufacturer::start(&place, &[]);
    let mut owner = Controller::init(&place, "owner", &[&format!("store.url={url}")]);
    owner.serve();
    let serials: Vec<String> = (0..TURNS).map(|number| format!("T-{number:02}")).collect();
    let serials: Vec<&str> = serials.iter().map(String::as_str).collect();
    let devices = maker.provision_all(&serials);
    owner.buy(&maker, &serials);
    let mut felt = 0;
    for (number, device) in devices.iter().enumerate() {
        // Those that are kept are cut by the trap, so most turns belong to this onboarding.
        wire.trap(3 * number as u64, || {});
        insist(device, &owner.registrar());
        felt += u32::from(wire.has_sprung());
        owner.assert_onboarded_once(&device.serial);
    }
    assert!(felt > 4, "the database was lost in {felt} onboardings only");
    println!("the database was lost in {felt} of {TURNS} onboardings");
    owner.api().verify_journal();
    maker.verify_journal();
    owner.stop();
}

/// All that a device ever printed.
fn events(place: &Place, serial: &str) -> String {
    let is_its = |path: &Path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(serial))
    };
    let files = fs::read_dir(place.logs())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    files
        .filter(|path| is_its(path))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect()
}
