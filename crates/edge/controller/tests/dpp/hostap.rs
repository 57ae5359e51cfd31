//! Debian's `wpa_supplicant` and `hostapd` as devices, without a radio.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use vouchsafe_dpp::Agreement as _;
use vouchsafe_dpp::uri::BootstrappingUri;
use vouchsafe_fleet::wifi::{Assurance, DeviceRole, NetworkCredential};
use vouchsafe_fleet::{DeviceId, Digest, State};

use crate::world::{PATIENCE, World};

/// One program with its control socket; it ends with the value.
struct Hostap {
    child: Child,
    dir: TempDir,
    cli: PathBuf,
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")])
        .map(|folder| folder.join(program))
        .find(|file| file.is_file());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "no {program}");
        println!("skipped: no {program}");
    }
    found
}

impl Hostap {
    fn start(program: &str, cli: &str, settings: &str) -> Option<Self> {
        let (program, cli) = (find(program)?, find(cli)?);
        let dir = tempfile::tempdir().unwrap();
        let control = dir.path().join("control");
        let configuration = dir.path().join("configuration");
        let settings = format!("ctrl_interface={}\n{settings}\n", control.display());
        std::fs::write(&configuration, settings).unwrap();
        let mut command = Command::new(&program);
        if program.ends_with("wpa_supplicant") {
            command.args(["-Dnone", "-ilo", "-c"]);
        }
        let child = command
            .arg(&configuration)
            .args(["-dd", "-K", "-t"])
            .arg("-f")
            .arg(dir.path().join("log"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let hostap = Self { child, dir, cli };
        hostap.until(|| control.join("lo").exists());
        Some(hostap)
    }

    fn station() -> Option<Self> {
        Self::start("wpa_supplicant", "wpa_cli", "dpp_config_processing=1")
    }

    fn access_point() -> Option<Self> {
        Self::start("hostapd", "hostapd_cli", "interface=lo\ndriver=none")
    }

    fn ask(&self, words: &str) -> String {
        let answer = Command::new(&self.cli)
            .arg("-p")
            .arg(self.dir.path().join("control"))
            .args(["-i", "lo", "raw"])
            .args(words.split(' '))
            .output()
            .unwrap();
        let answer = String::from_utf8(answer.stdout).unwrap();
        assert!(!answer.starts_with("FAIL"), "{words}: {answer}");
        answer.trim().to_owned()
    }

    fn log(&self) -> String {
        let log = std::fs::read(self.dir.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    fn until(&self, done: impl Fn() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !done() {
            assert!(Instant::now() < end, "{}", self.events());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for an event whose line holds this text.
    fn hears(&self, text: &str) {
        self.until(|| self.log().contains(text));
    }

    fn events(&self) -> String {
        let log = self.log();
        let lines = log.lines().filter(|line| line.contains("DPP"));
        let lines: Vec<&str> = lines.collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// A bootstrapping key of its own: its number, and what it says of itself.
    fn bootstrap(&self, options: &str) -> (String, String) {
        let own = self.ask(&format!("DPP_BOOTSTRAP_GEN type=qrcode{options}"));
        let uri = self.ask(&format!("DPP_BOOTSTRAP_GET_URI {own}"));
        (own, uri)
    }

    /// Calls the controller as an enrollee.
    fn join(&self, world: &World, own: &str) {
        let peer = self.ask(&format!("DPP_QR_CODE {}", controller_uri(world)));
        let (ip, port) = (world.addr.ip(), world.addr.port());
        self.ask(&format!(
            "DPP_AUTH_INIT peer={peer} own={own} role=enrollee neg_freq=2437 tcp_addr={ip} \
             tcp_port={port}"
        ));
    }
}

impl Drop for Hostap {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn controller_uri(world: &World) -> String {
    let own = world.controller.dpp.bootstrapping();
    let mut uri = BootstrappingUri::new(own.public_key().clone());
    uri.version = Some(2);
    uri.to_string()
}

async fn claim(world: &World, uri: &str, role: DeviceRole, network: &str) -> DeviceId {
    let key = BootstrappingUri::parse(uri).unwrap();
    world.claim_uri(uri, key.key(), role, network).await
}

/// Waits until the device confirmed what it was given.
async fn confirmed(world: &World, id: DeviceId) {
    let end = Instant::now() + PATIENCE;
    loop {
        let standing = world.holdings(id).await.standing;
        if standing.is_some_and(|standing| {
            standing
                .given
                .is_some_and(|given| given.confirmed_at.is_some())
        }) {
            return;
        }
        assert!(Instant::now() < end, "{:?}", world.journal(id).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supplicant_that_calls_gets_a_connector() {
    let world = World::new().await;
    let Some(station) = Hostap::station() else {
        return;
    };
    let (own, uri) = station.bootstrap("");
    let id = claim(&world, &uri, DeviceRole::Station, "plant").await;
    station.join(&world, &own);
    station.hears("DPP-AUTH-DIRECTION mutual=1");
    station.hears("DPP-CONF-RECEIVED");
    station.hears("DPP-CONNECTOR ");
    confirmed(&world, id).await;
    assert_eq!(world.device(id).await.state, State::Onboarded);
    let holdings = world.holdings(id).await;
    assert_eq!(holdings.access.len(), 1);
    let given = holdings.standing.unwrap().given.unwrap();
    assert_eq!(given.assurance, Assurance::Mutual);
    let _ = (Digest::ZERO, NetworkCredential::Sae, Hostap::access_point);
}
