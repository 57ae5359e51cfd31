//! A second implementation as judge (`judge/*.py`): it shares no line with ours.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::process::{Ended, Process};
use crate::tools::{have, openssl, python};
use crate::world::{Controller, Device, Manufacturer, Place};

/// A script of the judge.
fn script(python: &Path, name: &str) -> Command {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/judge");
    let mut command = Command::new(python);
    command.arg("-B").arg(scripts.join(name));
    command
}

/// A device with its key in a plain file, and an identity that the factory gave to its request.
pub(crate) struct Stranger {
    pub(crate) folder: PathBuf,
    serial: String,
}

impl Stranger {
    /// Born while the MASA does not run: then the factory's desk takes requests.
    pub(crate) fn born(place: &Place, maker: &Manufacturer<'_>, serial: &str) -> Self {
        let strangers = place.make("strangers");
        let folder = place.make(&format!("strangers/{serial}"));
        let subject = format!("/serialNumber={serial}");
        let curve = [
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ];
        let files = [
            "-keyout",
            "birth.key",
            "-out",
            "birth.csr",
            "-subj",
            &subject,
        ];
        openssl(
            &folder,
            &[&["req", "-new"], &curve[..], &files].concat(),
            b"",
        );
        maker.provision_request(serial, &folder.join("birth.csr"), &strangers);
        Self {
            folder,
            serial: serial.to_owned(),
        }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

fn pledge(
    python: &Path,
    place: &Place,
    stranger: &Stranger,
    owner: &Controller<'_>,
    spoil: Option<&str>,
) -> Ended {
    let mut command = script(python, "pledge.py");
    command.args([
        "--host",
        "127.0.0.1",
        "--port",
        &owner.relay.port().to_string(),
    ]);
    command
        .arg("--birth-chain")
        .arg(stranger.file("idevid.pem"));
    command.arg("--birth-key").arg(stranger.file("birth.key"));
    command
        .arg("--masa-anchors")
        .arg(stranger.file("masa-anchors.pem"));
    command.arg("--out").arg(&stranger.folder);
    if let Some(spoil) = spoil {
        command.args(["--spoil", spoil]);
    }
    Process::run("pledge", command, &place.logs())
}

#[test]
fn a_pledge_of_other_making_completes_a_whole_run_against_our_registrar_and_masa() {
    let Some(python) = python() else { return };
    if !have(&["openssl"]) {
        return;
    }
    let place = Place::new();
    let mut maker = Manufacturer::init(&place, &[]);
    let stranger = Stranger::born(&place, &maker, "P-1");
    maker.serve();
    let owner = Controller::start(&place, "owner", &[]);
    owner.buy(&maker, &["P-1"]);
    let ended = pledge(&python, &place, &stranger, &owner, None);
    assert!(ended.success(), "{}", ended.said());
    let steps = ended.json_lines();
    let voucher = steps.iter().find(|step| step["step"] == "voucher").unwrap();
    assert_eq!(voucher["assertion"], "proximity", "RFC 8995 §5.5.5");
    assert_eq!(steps.last().unwrap()["step"], "done");
    owner.assert_onboarded_once(&stranger.serial);
    let api = owner.api();
    let device = api.device("P-1");
    // RFC 8995 §5.7 and §5.9.4: what the pledge reported is in the journal.
    let actions: Vec<Value> = api
        .journal(&device)
        .iter()
        .map(|entry| entry["action"].clone())
        .collect();
    for action in ["voucher-accepted", "enrolment-confirmed"] {
        assert!(actions.contains(&action.into()), "{action}: {actions:?}");
    }
    api.verify_journal();
    maker.verify_journal();
}

#[test]
fn a_spoilt_request_of_other_making_is_refused_for_the_named_reason() {
    let Some(python) = python() else { return };
    if !have(&["openssl"]) {
        return;
    }
    let place = Place::new();
    let mut maker = Manufacturer::init(&place, &[]);
    let stranger = Stranger::born(&place, &maker, "P-2");
    maker.serve();
    let owner = Controller::start(&place, "owner", &[]);
    owner.buy(&maker, &["P-2"]);
    let before = maker.relay.connections();
    for (spoil, reason, section) in [
        ("serial", "serial-mismatch", "RFC 8995 §5.5"),
        ("nonce", "nonce-missing", "RFC 8995 §5.2"),
        ("proximity", "proximity-not-ours", "RFC 8995 §5.2"),
    ] {
        let ended = pledge(&python, &place, &stranger, &owner, Some(spoil));
        assert_eq!(ended.status.code(), Some(3), "{spoil}: {}", ended.said());
        let refused = ended.json_lines().pop().unwrap();
        let text = refused["text"].as_str().unwrap();
        assert!(
            text.contains(reason) && text.contains(section),
            "{spoil}: {refused}"
        );
        let api = owner.api();
        let device = api.device("P-2");
        assert_eq!(device["state"], "claimed", "{spoil}: nothing changes");
        assert!(api.credentials(&device).is_empty());
        let last = api.journal(&device).pop().unwrap();
        assert_eq!(last["action"], "request-refused", "{spoil}: {last}");
        assert!(
            last["text"].as_str().unwrap().contains(reason),
            "{spoil}: {last}"
        );
    }
    assert_eq!(
        maker.relay.connections(),
        before,
        "nothing goes to the MASA"
    );
}

#[test]
fn our_agent_completes_a_whole_run_against_a_registrar_of_other_making_and_our_masa() {
    let Some(python) = python() else { return };
    if !have(&["openssl"]) {
        return;
    }
    let place = Place::new();
    let maker = Manufacturer::start(&place, &[]);
    let device = maker.provision("P-3");
    let domain = place.make("judge");
    let mut make = script(&python, "registrar.py");
    make.arg("--make-domain").arg("--out").arg(&domain);
    place.run("judge", make);
    maker.add_owner("judge", &domain.join("domain-ca.pem"));
    maker.sell(&["P-3"], "judge");

    let mut serve = script(&python, "registrar.py");
    serve.args([
        "--masa",
        &format!("https://127.0.0.1:{}", maker.relay.port()),
    ]);
    serve
        .arg("--masa-anchors")
        .arg(maker.dir.join("masa-ca.pem"));
    serve
        .arg("--maker-anchors")
        .arg(maker.dir.join("root-ca.pem"));
    serve.arg("--out").arg(&domain);
    let mut registrar = Process::start("judge", serve, &place.logs());
    let port = registrar.json_with("ready")["ready"].as_u64().unwrap();
    device.onboard(&format!("https://127.0.0.1:{port}"));

    // In the order of RFC 8995 §5: voucher, its status, enrolment, and its status with the LDevID.
    let said: Vec<Value> = ["masa", "voucher_status", "enrolled", "enrollstatus"]
        .iter()
        .map(|step| {
            let line = registrar.line(step, |line| line.contains(&format!("\"step\": \"{step}\"")));
            serde_json::from_str(&line).unwrap()
        })
        .collect();
    assert_eq!(said[0]["status"], 200, "{said:?}");
    assert_eq!(said[1]["status"]["status"], true, "{said:?}");
    assert_eq!(said[2]["serial"], "P-3", "{said:?}");
    assert_eq!(said[3]["status"]["status"], true, "{said:?}");
    assert!(
        said[3]["issuer"]
            .as_str()
            .unwrap()
            .contains("Judge domain CA"),
        "{said:?}"
    );
    let ldevid = device.dir().join("state/ldevid.pem");
    let anchor = domain.join("domain-ca.pem");
    let (anchor, ldevid) = (anchor.to_str().unwrap(), ldevid.to_str().unwrap());
    openssl(place.root(), &["verify", "-CAfile", anchor, ldevid], b"");
    maker.verify_journal();
}

/// Keeps a device without an agent out of the other tests' way.
#[test]
fn a_registrar_of_other_making_gets_no_voucher_for_what_it_did_not_buy() {
    let Some(python) = python() else { return };
    if !have(&["openssl"]) {
        return;
    }
    let place = Place::new();
    let maker = Manufacturer::start(&place, &[]);
    let device: Device<'_> = maker.provision("P-4");
    let domain = place.make("judge");
    let mut make = script(&python, "registrar.py");
    make.arg("--make-domain").arg("--out").arg(&domain);
    place.run("judge", make);
    maker.add_owner("judge", &domain.join("domain-ca.pem"));
    let mut serve = script(&python, "registrar.py");
    serve.args([
        "--masa",
        &format!("https://127.0.0.1:{}", maker.relay.port()),
    ]);
    serve
        .arg("--masa-anchors")
        .arg(maker.dir.join("masa-ca.pem"));
    serve
        .arg("--maker-anchors")
        .arg(maker.dir.join("root-ca.pem"));
    serve.arg("--out").arg(&domain);
    let mut registrar = Process::start("judge", serve, &place.logs());
    let port = registrar.json_with("ready")["ready"].as_u64().unwrap();
    let ended = device.run_once(&format!("https://127.0.0.1:{port}"));
    assert!(!ended.success(), "{}", ended.said());
    let line = registrar.line("masa", |line| line.contains("\"step\": \"masa\""));
    let said: Value = serde_json::from_str(&line).unwrap();
    // RFC 8995 §5.5.4: the owner does not own this device.
    assert!(
        (400..500).contains(&said["status"].as_u64().unwrap()),
        "{said}"
    );
    assert!(
        said["text"].as_str().unwrap().contains("not-sold"),
        "{said}"
    );
}
