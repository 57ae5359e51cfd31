//! The whole agent: from its birth folder to a configuration that it keeps.

use std::sync::Arc;

use mdns_sd::{IfKind, ServiceDaemon, ServiceInfo};
use vouchsafe_agent::{
    AgentError, Code, Config, DppConfig, Event, Events, LocalError, Status as Shown, WifiError,
};
use vouchsafe_dpp::uri::BootstrappingUri;
use vouchsafe_dpp::{Agreement as _, BootstrappingKey, Curve, Status};
use vouchsafe_keystore::Sealer;

use super::controller::{CODE, Controller, Keys, Manner, key};
use super::hostap::Supplicant;
use crate::world::{Device, Maker};

/// A device with a bootstrapping key in its birth folder, as the factory puts it there.
fn device() -> (Device, BootstrappingKey) {
    let device = Maker::new().device();
    let key = key(Curve::P256);
    put_key(&device, &key, &key);
    (device, key)
}

/// `labelled` on the label, `kept` in the folder.
fn put_key(device: &Device, labelled: &BootstrappingKey, kept: &BootstrappingKey) {
    let folder = device.dir.path().join("birth");
    Sealer::beside(&device.uri)
        .unwrap()
        .write(
            &folder.join("dpp.key"),
            "dpp",
            kept.private().to_bytes().expose(),
        )
        .unwrap();
    let uri = BootstrappingUri::new(labelled.public_key().clone());
    let file = folder.join("device.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let kept: String = text
        .lines()
        .filter(|line| !line.starts_with("dpp_uri"))
        .fold(String::new(), |text, line| text + line + "\n");
    std::fs::write(&file, format!("{kept}dpp_uri = \"{uri}\"\n")).unwrap();
}

fn told(device: &mut Device, controllers: &[&Controller]) {
    device.config = Config {
        dpp: Some(DppConfig {
            controllers: controllers
                .iter()
                .map(|one| one.address.to_string())
                .collect(),
            mdns: false,
            ..DppConfig::default()
        }),
        ..device.config.clone()
    };
}

async fn run(device: &Device) -> (Result<Shown, AgentError>, Vec<Event>) {
    let (result, told) = device.run_told().await;
    (result, told.all())
}

#[tokio::test]
async fn a_device_is_configured_keeps_it_and_shows_it() {
    let (mut device, key) = device();
    let controller = Controller::start(Manner::Honest, key.public_key()).await;
    told(&mut device, &[&controller]);
    let (status, events) = run(&device).await;
    let status = status.unwrap();
    assert_eq!(controller.result().await, Some(Status::Ok));
    let configured = |event: &Event| matches!(event, Event::WifiConfigured { .. });
    assert!(events.iter().any(configured), "{events:?}");
    assert_eq!(status.state, "onboarded");
    let wifi = status.wifi.as_ref().unwrap();
    assert_eq!(wifi.networks[0].ssid, "plant");
    assert_eq!(wifi.networks[0].akm, "dpp+sae");
    let shown = format!("{status} {}", serde_json::to_string(&status).unwrap());
    assert!(shown.contains("plant"));
    assert!(!shown.contains("correct horse"));
    // Nobody listens any more, and nobody needs to.
    let (again, events) = run(&device).await;
    assert_eq!(again.unwrap().wifi, status.wifi);
    assert!(!events.iter().any(configured));
    // The passphrase is in no file of the device.
    for entry in walk(device.dir.path()) {
        let contents = std::fs::read(&entry).unwrap();
        let text = String::from_utf8_lossy(&contents);
        assert!(!text.contains("correct horse"), "{}", entry.display());
    }
    let agent = device.agent(Events::ignored()).await;
    agent.reset().await.unwrap();
    let status = agent.status().unwrap();
    assert_eq!((status.state, &status.wifi), ("new", &None));
    assert!(status.dpp_uri.is_some(), "the birth folder stays");
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(walk(&path)),
            false => files.push(path),
        }
    }
    files
}

#[tokio::test]
async fn the_next_controller_is_tried_when_one_gives_nothing() {
    let (mut device, key) = device();
    let bad = Controller::start(Manner::ForeignKey, key.public_key()).await;
    let good = Controller::start(Manner::Certificate, key.public_key()).await;
    told(&mut device, &[&bad, &good]);
    let (status, events) = run(&device).await;
    let status = status.unwrap();
    let left = events.iter().find_map(|event| match event {
        Event::NetworkPutAside { code, .. } => Some(*code),
        _ => None,
    });
    assert_eq!(left, Some("connector-foreign-key"));
    let wifi = status.wifi.unwrap();
    assert_eq!(wifi.from, good.address.to_string());
    assert!(wifi.networks[0].certificate);
    let results: Vec<&str> = status
        .attempts
        .iter()
        .map(|end| end.result.as_str())
        .collect();
    assert_eq!(results, ["connector-foreign-key", "configured"]);
}

#[tokio::test]
async fn what_is_refused_leaves_nothing_behind() {
    let (mut device, key) = device();
    let controller = Controller::start(Manner::WrongSigner, key.public_key()).await;
    told(&mut device, &[&controller]);
    let (status, _) = run(&device).await;
    let error = status.unwrap_err();
    assert!(
        matches!(error, AgentError::Wifi(WifiError::Protocol(_))),
        "{error}"
    );
    assert!(!device.dir.path().join("state/wifi.json").exists());
}

#[tokio::test]
async fn a_label_of_another_key_or_none_is_an_error_of_the_device() {
    let (mut device, key) = device();
    let controller = Controller::start(Manner::Honest, key.public_key()).await;
    told(&mut device, &[&controller]);
    let other = super::controller::key(Curve::P256);
    put_key(&device, &other, &key);
    let (status, _) = run(&device).await;
    let error = status.unwrap_err();
    assert!(
        matches!(error, AgentError::Local(LocalError::Damaged { .. })),
        "{error}"
    );
    std::fs::remove_file(device.dir.path().join("birth/dpp.key")).unwrap();
    let (status, _) = run(&device).await;
    assert!(status.unwrap_err().to_string().contains("dpp.key"));
}

#[test]
fn a_configuration_that_cannot_work_is_refused_with_its_key() {
    for (text, key) in [
        ("controllers = [\"192.0.2.1:0\"]", "dpp.controllers"),
        ("controllers = [\"a b\"]", "dpp.controllers"),
        ("controller_uri = \"DPP:V:2;;\"", "dpp.controller_uri"),
        ("air = true", "dpp.air"),
        ("hostapd = \"/run/hostapd/wlan0\"", "dpp.hostapd"),
        ("version = 4", "dpp.version"),
        ("name = \"\"", "dpp.name"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("agent.toml"), format!("[dpp]\n{text}\n")).unwrap();
        let error = Config::read(dir.path()).unwrap_err().to_string();
        assert!(error.contains(key), "{text}: {error}");
    }
    let unknown = tempfile::tempdir().unwrap();
    std::fs::write(unknown.path().join("agent.toml"), "[dpp]\nsurprise = 1\n").unwrap();
    assert!(Config::read(unknown.path()).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_supplicant_gets_what_was_given_and_gives_it_back_at_a_reset() {
    let Some(supplicant) = Supplicant::start() else {
        return;
    };
    let (mut device, key) = device();
    let controller = Controller::start(Manner::Honest, key.public_key()).await;
    told(&mut device, &[&controller]);
    let dpp = device.config.dpp.as_mut().unwrap();
    dpp.supplicant = Some(supplicant.socket.clone());
    // Without a radio it never joins, and is not waited for.
    dpp.patience = 1;
    let (status, events) = run(&device).await;
    status.unwrap();
    assert!(
        events.contains(&Event::WifiHandedOver { networks: 1 }),
        "{events:?}"
    );
    assert_eq!(supplicant.ask("GET_NETWORK 0 ssid"), "\"plant\"");
    assert_eq!(supplicant.ask("GET_NETWORK 0 key_mgmt"), "SAE DPP");
    // The next start hands over what was kept.
    supplicant.done("REMOVE_NETWORK all");
    run(&device).await.0.unwrap();
    assert_eq!(supplicant.ask("LIST_NETWORKS").lines().count(), 2);
    device.agent(Events::ignored()).await.reset().await.unwrap();
    assert_eq!(supplicant.ask("LIST_NETWORKS").lines().count(), 1);
}

#[tokio::test]
async fn a_supplicant_that_is_gone_does_not_cost_the_configuration() {
    let (mut device, key) = device();
    let controller = Controller::start(Manner::Honest, key.public_key()).await;
    told(&mut device, &[&controller]);
    let nowhere = device.dir.path().join("nowhere");
    device.config.dpp.as_mut().unwrap().supplicant = Some(nowhere);
    let (status, _) = run(&device).await;
    let error = status.unwrap_err();
    assert!(
        matches!(error, AgentError::Wifi(WifiError::Supplicant(_))),
        "{error}"
    );
    assert_eq!(controller.result().await, Some(Status::Ok));
    assert!(device.has("wifi.json"));
}

#[tokio::test]
async fn a_controller_is_found_by_mdns_on_loopback() {
    let (mut device, key) = device();
    let controller = Controller::start(Manner::Honest, key.public_key()).await;
    told(&mut device, &[]);
    let config = device.config.dpp.as_mut().unwrap();
    config.mdns = true;
    device.config.mdns_interface = "loopback".to_owned();
    device.config.discovery_window = 60_000;
    let daemon = ServiceDaemon::new().unwrap();
    daemon.disable_interface(IfKind::All).unwrap();
    daemon.enable_interface(IfKind::LoopbackV4).unwrap();
    let name = format!("test-{}", controller.address.port());
    let service = ServiceInfo::new(
        "_dpp._tcp.local.",
        &name,
        &format!("{name}.local."),
        "127.0.0.1",
        controller.address.port(),
        None::<std::collections::HashMap<String, String>>,
    );
    daemon.register(service.unwrap()).unwrap();
    // Other tests may announce controllers of their own, which do not know this device.
    let mut wifi = None;
    for _ in 0..20 {
        wifi = run(&device).await.0.ok().and_then(|status| status.wifi);
        if wifi.is_some() {
            break;
        }
    }
    assert_eq!(wifi.unwrap().from, controller.address.to_string());
    let _ = daemon.shutdown();
}

#[tokio::test]
async fn a_device_comes_again_by_its_connector() {
    let (mut device, key) = device();
    let keys = Keys::new();
    let first = Controller::start_with(Manner::Honest, key.public_key(), Arc::clone(&keys)).await;
    told(&mut device, &[&first]);
    let before = run(&device).await.0.unwrap().wifi.unwrap();
    let second = Controller::start_with(Manner::Honest, key.public_key(), Arc::clone(&keys)).await;
    told(&mut device, &[&second]);
    let status = device
        .agent(Events::ignored())
        .await
        .reconfigure()
        .await
        .unwrap();
    assert_eq!(second.result().await, Some(Status::Ok));
    let after = status.wifi.unwrap();
    assert_ne!(after.from, before.from);
    assert!(
        after.mutual,
        "both have shown a connector of the same owner"
    );
    let last = status.attempts.last().unwrap();
    assert_eq!(last.result, "reconfigured");
}

#[tokio::test]
async fn wifi_easy_connect_6_5_3_only_a_configurator_reconfigures() {
    let (mut device, key) = device();
    let keys = Keys::new();
    let first = Controller::start_with(Manner::Honest, key.public_key(), Arc::clone(&keys)).await;
    told(&mut device, &[&first]);
    run(&device).await.0.unwrap();
    // A station of the same owner has a connector too; another owner cannot read who announces.
    for (manner, keys, code) in [
        (Manner::OtherRole, Arc::clone(&keys), "connector-role"),
        (Manner::Honest, Keys::new(), "controller-closed"),
    ] {
        let pretender = Controller::start_with(manner, key.public_key(), keys).await;
        told(&mut device, &[&pretender]);
        let agent = device.agent(Events::ignored()).await;
        assert!(agent.reconfigure().await.is_err());
        let status = agent.status().unwrap();
        let results: Vec<&str> = status
            .attempts
            .iter()
            .map(|end| end.result.as_str())
            .collect();
        assert!(results.contains(&code), "{results:?}");
        // What it had it keeps.
        assert_eq!(status.wifi.unwrap().from, first_address(&status.attempts));
    }
}

fn first_address(attempts: &[vouchsafe_agent::folder::AttemptEnd]) -> String {
    let configured = attempts.iter().find(|end| end.result == "configured");
    configured.unwrap().registrar.clone()
}

/// A supplicant that takes every command, and is in a network or looks for one.
fn supplicant(path: &std::path::Path, state: &'static str) -> std::thread::JoinHandle<()> {
    let socket = std::os::unix::net::UnixDatagram::bind(path).unwrap();
    socket
        .set_read_timeout(Some(std::time::Duration::from_secs(60)))
        .unwrap();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65536];
        // It ends when nobody asks any more, or with the test.
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let command = std::str::from_utf8(&buffer[..length]).unwrap();
            let reply = match command.split(' ').next().unwrap() {
                "END" => return,
                "ADD_NETWORK" => "7\n".to_owned(),
                "LIST_NETWORKS" => "network id / ssid / bssid / flags\n".to_owned(),
                "PING" => "PONG\n".to_owned(),
                "STATUS" => format!("wpa_state={state}\nssid=plant\n"),
                _ => "OK\n".to_owned(),
            };
            // Whoever asked may have gone.
            let _ = socket.send_to_addr(reply.as_bytes(), &from);
        }
    })
}

/// §6.4.5: whether a device got in is known when it has tried.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_that_asks_hears_how_joining_went() {
    let cases = [
        ("COMPLETED", Status::Ok),
        ("SCANNING", Status::NoAccessPoint),
        ("4WAY_HANDSHAKE", Status::AuthenticationFailure),
    ];
    for (state, expected) in cases {
        let (mut device, key) = device();
        let controller = Controller::start(Manner::AsksForJoining, key.public_key()).await;
        told(&mut device, &[&controller]);
        let path = device.dir.path().join("wlan0");
        let thread = supplicant(&path, state);
        let dpp = device.config.dpp.as_mut().unwrap();
        dpp.supplicant = Some(path.clone());
        dpp.patience = 1;
        run(&device).await.0.unwrap();
        assert_eq!(controller.result().await, Some(expected), "{state}");
        let end = std::os::unix::net::UnixDatagram::unbound().unwrap();
        end.send_to(b"END", &path).unwrap();
        thread.join().unwrap();
    }
}

/// §5.6: neither side has a label of the other, and both prove their keys all the same.
#[tokio::test]
async fn a_device_that_was_told_the_code_is_configured_by_it() {
    let (mut device, key) = device();
    let controller = Controller::start(Manner::Honest, key.public_key()).await;
    told(&mut device, &[&controller]);
    let code = Code::new(Some("bench"), CODE).unwrap();
    device
        .agent(Events::ignored())
        .await
        .take_code(code)
        .await
        .unwrap();
    let file = device.dir.path().join("state/code.sealed");
    assert!(file.exists());
    let (status, events) = run(&device).await;
    assert!(status.unwrap().wifi.unwrap().mutual);
    assert_eq!(controller.result().await, Some(Status::Ok));
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::WifiAuthenticated { mutual: true, .. }))
    );
    assert!(!file.exists(), "a code is good once");
}

/// §5.6.2: whoever answers has one guess a try, and there are five.
#[tokio::test]
async fn a_device_does_not_try_its_code_for_ever() {
    let (mut device, key) = device();
    let code = Code::new(Some("bench"), "another code").unwrap();
    let agent = device.agent(Events::ignored()).await;
    agent.take_code(code).await.unwrap();
    drop(agent);
    // Nobody is there: that is no try.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    told(&mut device, &[]);
    device.config.dpp.as_mut().unwrap().controllers = vec![address.to_string()];
    run(&device).await.0.unwrap_err();
    for _ in 0..5 {
        let controller = Controller::start(Manner::Honest, key.public_key()).await;
        told(&mut device, &[&controller]);
        run(&device).await.0.unwrap_err();
        assert_eq!(controller.result().await, None);
    }
    // Now it announces itself as a device without a code does.
    let controller = Controller::start(Manner::Honest, key.public_key()).await;
    told(&mut device, &[&controller]);
    run(&device).await.0.unwrap();
    assert_eq!(controller.result().await, Some(Status::Ok));
}
