//! Clocks that are wrong, keys in a token, registrars found by mDNS, files that are damaged.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::Arc;

use jiff::SignedDuration;
use mdns_sd::{IfKind, ServiceDaemon, ServiceInfo};
use tempfile::TempDir;
use vouchsafe_agent::{AgentError, ClockTrust, Event, Events, Failure, LocalError};
use vouchsafe_brski::Refusal;
use vouchsafe_keystore::find_module;
use vouchsafe_net::Clock;

use crate::registrar::Registrar;
use crate::world::Maker;

const HOUR: i64 = 3_600_000;

#[tokio::test]
async fn a_clock_from_before_the_device_was_made_is_set_by_the_voucher_rfc8995_2_6_1() {
    let maker = Arc::new(Maker::new());
    let registrar = Registrar::start(&maker, "domain").await;
    let mut device = maker.device().towards(&[&registrar]);
    device.clock = Clock::shifted(-20 * 365 * 24 * HOUR);
    let status = device.run().await.unwrap();
    assert_eq!(status.state, "onboarded");
    assert!(
        status.credential.unwrap().reported,
        "the report's TLS is judged by the right time"
    );
    device.assert_whole();
    // Once the clock is set, what the voucher taught is no longer needed.
    device.clock = Clock::system();
    assert_eq!(device.status().state, "onboarded");
}

#[tokio::test]
async fn a_clock_that_its_maker_does_not_trust_may_be_years_ahead() {
    let maker = Arc::new(Maker::new());
    let registrar = Registrar::start(&maker, "domain").await;
    let mut device = maker.device().towards(&[&registrar]);
    device.clock = Clock::shifted(40 * 365 * 24 * HOUR);
    device.config.clock = ClockTrust::Untrusted;
    assert_eq!(device.run().await.unwrap().state, "onboarded");
    // The correction is remembered: nothing is due.
    let calls = registrar.called().len();
    device.run().await.unwrap();
    assert_eq!(registrar.called().len(), calls);
}

#[tokio::test]
async fn with_a_trusted_clock_that_is_behind_a_voucher_is_from_the_future_rfc8366_5_3() {
    let maker = Arc::new(Maker::new());
    let registrar = Registrar::start(&maker, "domain").await;
    let mut device = maker.device().towards(&[&registrar]);
    device.clock = Clock::shifted(-2 * HOUR);
    device.config.clock_skew = 60;
    match device.run().await.unwrap_err() {
        AgentError::NothingWorked {
            last: Failure::Refused(error),
            ..
        } => {
            assert_eq!(error.refusal(), Some(Refusal::VoucherFromFuture));
        }
        other => panic!("{other}"),
    }
    device.assert_whole();
}

/// A registrar that is announced on the loopback interface, until this is shut down.
fn announced(registrar: &Registrar) -> ServiceDaemon {
    let daemon = ServiceDaemon::new().unwrap();
    daemon.disable_interface(IfKind::All).unwrap();
    daemon.enable_interface(IfKind::LoopbackV4).unwrap();
    let name = format!("test-{}", registrar.addr.port());
    let service = ServiceInfo::new(
        "_brski-registrar._tcp.local.",
        &name,
        &format!("{name}.local."),
        "127.0.0.1",
        registrar.addr.port(),
        None::<std::collections::HashMap<String, String>>,
    );
    daemon.register(service.unwrap()).unwrap();
    daemon
}

/// Somebody else's registrar on the link refuses the device, and wants to be left alone for hours: ours may be
/// switched on any moment.
#[tokio::test]
async fn one_that_refuses_does_not_keep_a_device_from_looking_for_others() {
    let maker = Arc::new(Maker::new());
    let registrar = Registrar::start(&maker, "neighbour").await;
    registrar.set(|behaviour| behaviour.voucher_status = Some(403));
    let daemon = announced(&registrar);
    let mut device = maker.device();
    device.config.mdns = true;
    device.config.mdns_interface = "loopback".to_owned();
    (device.config.retry_first, device.config.retry_longest) = (7200, 7200);
    let (told, mut sleeps) = tokio::sync::mpsc::unbounded_channel();
    let events = Events::new(move |record| {
        if let Event::Sleeping { until } = record.event {
            let _ = told.send(until);
        }
    });
    let agent = device.agent(events).await;
    let run = tokio::spawn(async move { agent.run().await });
    let until = sleeps.recv().await.unwrap();
    assert!(until <= device.clock.now() + SignedDuration::from_mins(1));
    run.abort();
    let _ = (run.await, daemon.shutdown());
    assert!(registrar.called().contains(&"requestvoucher".to_owned()));
}

#[tokio::test]
async fn a_registrar_is_found_by_mdns_on_loopback_rfc8995_b() {
    let maker = Arc::new(Maker::new());
    let registrar = Registrar::start(&maker, "domain").await;
    let daemon = announced(&registrar);
    let mut device = maker.device();
    device.config.mdns = true;
    device.config.mdns_interface = "loopback".to_owned();
    let (status, told) = device.run_told().await;
    let _ = daemon.shutdown();
    assert_eq!(
        status.unwrap().credential.unwrap().registrar,
        registrar.url()
    );
    assert!(
        told.all()
            .iter()
            .any(|event| matches!(event, Event::Connected { found: "mdns", .. }))
    );
}

#[tokio::test]
async fn a_damaged_file_is_named_and_left_as_it_is() {
    let maker = Arc::new(Maker::new());
    let registrar = Registrar::start(&maker, "domain").await;
    let device = maker.device().towards(&[&registrar]);
    device.run().await.unwrap();
    let file = device.path().join("state/credential.json");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    match device.run().await.unwrap_err() {
        AgentError::Local(LocalError::Damaged { path, .. }) => assert_eq!(path, file),
        other => panic!("{other}"),
    }
    assert_eq!(fs::read(&file).unwrap().len(), whole.len() / 2);
    device.agent(Events::ignored()).await.reset().await.unwrap();
    device.run().await.unwrap();
    device.assert_whole();
}

/// SoftHSM2 reads its configuration from the environment, so the test runs again in a process that
/// has a token of its own.
#[test]
fn a_device_with_its_keys_in_a_token_joins_renews_and_is_reset() {
    const TEST: &str = "places::a_device_with_its_keys_in_a_token_joins_renews_and_is_reset";
    const FOLDER: &str = "VOUCHSAFE_TEST_TOKEN";
    let installed = Command::new("softhsm2-util")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    if find_module("softhsm2").is_none() || installed.is_err() {
        assert!(std::env::var_os("CI").is_none(), "no softhsm2");
        println!("skipped: no softhsm2");
        return;
    }
    if let Some(folder) = std::env::var_os(FOLDER) {
        return in_token(&folder.into_string().unwrap());
    }
    let folder = TempDir::new().unwrap();
    let (tokens, conf) = (folder.path().join("tokens"), folder.path().join("conf"));
    fs::create_dir(&tokens).unwrap();
    let text = format!(
        "directories.tokendir = {}\nlog.level = ERROR\n",
        tokens.display()
    );
    fs::write(&conf, text).unwrap();
    let pin = folder.path().join("pin");
    fs::write(&pin, "4711\n").unwrap();
    fs::set_permissions(&pin, fs::Permissions::from_mode(0o600)).unwrap();
    let made = Command::new("softhsm2-util")
        .args([
            "--init-token",
            "--free",
            "--label",
            "device",
            "--so-pin",
            "8765",
            "--pin",
            "4711",
        ])
        .env("SOFTHSM2_CONF", &conf)
        .stdout(Stdio::null())
        .status();
    assert!(made.unwrap().success());
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", TEST, "--nocapture"])
        .env("SOFTHSM2_CONF", &conf)
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success(),
        "{output}\n{}",
        String::from_utf8_lossy(&child.stderr)
    );
    assert!(output.contains("1 passed"), "{output}");
}

#[tokio::main(flavor = "current_thread")]
async fn in_token(folder: &str) {
    let maker = Arc::new(Maker::new());
    let registrar = Registrar::start(&maker, "domain").await;
    registrar.set(|behaviour| {
        behaviour.validity = (
            SignedDuration::from_hours(-20),
            SignedDuration::from_hours(4),
        );
    });
    let key_store = format!("pkcs11:module=softhsm2;token=device;pin-file={folder}/pin");
    let device = maker
        .device_in(TempDir::new().unwrap(), &key_store)
        .towards(&[&registrar]);
    assert_eq!(device.run().await.unwrap().state, "renewal-due");
    device.assert_whole();
    let (status, _) = device.run_told().await;
    status.unwrap();
    assert_eq!(registrar.issued(), 2);
    device.assert_whole();
    device.agent(Events::ignored()).await.reset().await.unwrap();
    assert_eq!(device.keys(), ["idevid"]);
}
