//! Debian's `wpa_supplicant` and `hostapd` as devices, without a radio.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use vouchsafe_dpp::Agreement as _;
use vouchsafe_dpp::uri::BootstrappingUri;
use vouchsafe_fleet::wifi::{Assurance, DeviceRole, NetworkCredential};
use vouchsafe_fleet::{DeviceId, State};

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
    world.until_confirmed(id).await;
    assert_eq!(world.device(id).await.state, State::Onboarded);
    let holdings = world.holdings(id).await;
    assert_eq!(holdings.access.len(), 1);
    let given = holdings.standing.unwrap().given.unwrap();
    assert_eq!(given.assurance, Assurance::Mutual);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_point_is_configured_as_one() {
    let world = World::new().await;
    let Some(access_point) = Hostap::access_point() else {
        return;
    };
    let (own, uri) = access_point.bootstrap("");
    let id = claim(&world, &uri, DeviceRole::AccessPoint, "plant").await;
    access_point.join(&world, &own);
    access_point.hears("DPP-CONF-RECEIVED");
    access_point.hears("DPP-CONNECTOR ");
    world.until_confirmed(id).await;
    let given = world.holdings(id).await.standing.unwrap().given.unwrap();
    assert_eq!(given.role, DeviceRole::AccessPoint);
}

/// Each sort of credential, as the supplicant understands it.
#[tokio::test(flavor = "multi_thread")]
async fn a_supplicant_takes_each_sort_of_passphrase() {
    let world = World::new().await;
    let Some(station) = Hostap::station() else {
        return;
    };
    let rows = [
        ("sae-only", NetworkCredential::Sae, false, "sae"),
        ("sae-psk", NetworkCredential::Sae, true, "psk+sae"),
        ("psk-only", NetworkCredential::Psk, false, "psk"),
        ("dpp-sae", NetworkCredential::Connector, true, "dpp+sae"),
    ];
    for (number, (network, credential, fallback, akm)) in rows.into_iter().enumerate() {
        world.network(network, credential, fallback).await;
        let (own, uri) = station.bootstrap(&format!(" mac=02000000000{number}"));
        let id = claim(&world, &uri, DeviceRole::Station, network).await;
        station.join(&world, &own);
        let taken = format!("DPP-CONFOBJ-AKM {akm}\n");
        station.hears(&taken);
        station.until(|| station.log().matches("DPP-CONFOBJ-PASS ").count() == number + 1);
        world.until_confirmed(id).await;
    }
}

/// §6.4.2: a request for a certificate, bound to the exchange, and the certificate in a bag.
#[tokio::test(flavor = "multi_thread")]
async fn a_supplicant_gets_a_certificate_for_its_own_request() {
    let world = World::new().await;
    let Some(station) = Hostap::station() else {
        return;
    };
    world
        .network("office", NetworkCredential::Certificate, false)
        .await;
    let (own, uri) = station.bootstrap("");
    let id = claim(&world, &uri, DeviceRole::Station, "office").await;
    station.join(&world, &own);
    station.hears("DPP-CONFOBJ-AKM dot1x");
    station.hears("DPP-CERTBAG ");
    world.until_confirmed(id).await;
    let credentials = world.controller.store.credentials(id).await.unwrap();
    assert_eq!(credentials.len(), 1);
}

/// §6.3.3: the supplicant waits while somebody brings its URI.
#[tokio::test(flavor = "multi_thread")]
async fn a_supplicant_waits_until_its_uri_is_known() {
    let world = World::new().await;
    let Some(station) = Hostap::station() else {
        return;
    };
    let (own, uri) = station.bootstrap("");
    station.join(&world, &own);
    station.hears("DPP-RESPONSE-PENDING");
    let id = claim(&world, &uri, DeviceRole::Station, "plant").await;
    station.hears("DPP-CONF-RECEIVED");
    world.until_confirmed(id).await;
}

/// §6.4.3: the supplicant comes back until a person has said yes.
#[tokio::test(flavor = "multi_thread")]
async fn a_supplicant_comes_back_until_a_person_has_decided() {
    let world = World::with(|config| config.policy.ask_a_person = true).await;
    let Some(station) = Hostap::station() else {
        return;
    };
    let (own, uri) = station.bootstrap("");
    let id = claim(&world, &uri, DeviceRole::Station, "plant").await;
    station.join(&world, &own);
    world.until(async || world.waits(id).await).await;
    world.approve(id).await;
    station.hears("DPP-CONF-RECEIVED");
    world.until_confirmed(id).await;
}

/// The other direction: the device listens, and a person has it called.
#[tokio::test(flavor = "multi_thread")]
async fn a_supplicant_that_listens_is_called() {
    let world = World::new().await;
    let Some(station) = Hostap::station() else {
        return;
    };
    let port = free_port();
    station.ask(&format!(
        "DPP_CONTROLLER_START role=enrollee tcp_port={port}"
    ));
    let (_, uri) = station.bootstrap("");
    let id = claim(&world, &uri, DeviceRole::Station, "plant").await;
    let key = world.key_of(id).await;
    let host = format!("127.0.0.1:{port}").parse().unwrap();
    vouchsafe_controller::dpp::call(&world.controller, &key, Some(host))
        .await
        .unwrap();
    station.hears("DPP-CONF-RECEIVED");
    world.until_confirmed(id).await;
    let given = world.holdings(id).await.standing.unwrap().given.unwrap();
    assert_eq!(given.assurance, Assurance::ResponderOnly);
}

/// All curves that Debian's program and this one have in common.
#[tokio::test(flavor = "multi_thread")]
async fn a_supplicant_that_listens_with_another_curve_is_called() {
    let world = World::new().await;
    let Some(station) = Hostap::station() else {
        return;
    };
    let port = free_port();
    station.ask(&format!(
        "DPP_CONTROLLER_START role=enrollee tcp_port={port}"
    ));
    for (number, curve) in ["P-384", "P-521", "BP-256", "BP-384"].iter().enumerate() {
        let (_, uri) = station.bootstrap(&format!(" curve={curve}"));
        let id = claim(&world, &uri, DeviceRole::Station, "plant").await;
        let key = world.key_of(id).await;
        let host = format!("127.0.0.1:{port}").parse().unwrap();
        vouchsafe_controller::dpp::call(&world.controller, &key, Some(host))
            .await
            .unwrap();
        station.until(|| station.log().matches("DPP-CONF-RECEIVED").count() > number);
        world.until_confirmed(id).await;
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
