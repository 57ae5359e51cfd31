//! The credential that a device got when it onboarded opens the network, and nothing else does: the
//! manufacturer, the controller, the agent and the gate as processes, a station and an access point
//! played by the test.

use std::fs;
use std::time::Instant;

use serde_json::{Value, json};
use vouchsafe_keystore::StoreUri;

use crate::gate::{Attempt, Gate, attempt, birth, comes_in, credential, eapol_test, enrol};
use crate::process::PATIENCE;
use crate::tools;
use crate::world::{Controller, Device, Manufacturer, Place};

fn settle(owner: &Controller<'_>, serial: &str, step: &str, body: &Value) {
    let api = owner.api();
    let id = api.device(serial)["id"].as_str().unwrap().to_owned();
    api.post(&format!("/api/v1/devices/{id}/{step}"), body);
}

#[test]
fn what_a_device_got_when_it_onboarded_opens_the_network_and_ends_with_its_trust() {
    let place = Place::new();
    let maker = Manufacturer::start(&place, &[]);
    let state = "gate.state_file=gate/desired.json";
    let mut owner = Controller::start(&place, "owner", &[state]);
    let devices = maker.provision_all(&["L-1", "L-2"]);
    owner.buy(&maker, &["L-1", "L-2"]);
    let mut gate = Gate::start(&place, &owner);

    // A birth certificate opens nothing, before as after.
    let [first, second] = [&devices[0], &devices[1]];
    assert!(!comes_in(&gate, &owner, &birth(first), "02-00-00-00-00-01"));
    gate.event(&["refused", "unknown-issuer"]);
    for device in &devices {
        device.onboard(&owner.registrar());
    }
    gate.event(&["state-in-force", "\"admitted\":2"]);
    let macs = ["02-00-00-00-00-01", "02-00-00-00-00-02"];
    let known = [credential(first), credential(second)];
    assert!(comes_in(&gate, &owner, &known[0], macs[0]));
    assert!(comes_in(&gate, &owner, &known[1], macs[1]));
    assert!(!comes_in(&gate, &owner, &birth(first), macs[0]));

    // The controller is gone: known devices still get in. It returns, and is heard.
    owner.kill();
    assert!(comes_in(&gate, &owner, &known[0], macs[0]));
    owner.serve();

    let reason = json!({ "reason": "the test says so" });
    // Quarantined: the live session ends at the access point, and the device stays out until restored.
    settle(&owner, "L-1", "quarantine", &reason);
    assert_eq!(gate.end_session(), Some([2, 0, 0, 0, 0, 1]));
    let cut = gate.event(&["cut-off", "access-point"]);
    println!("cut off after {} ms", cut["milliseconds"]);
    assert!(!comes_in(&gate, &owner, &known[0], macs[0]));
    gate.event(&["refused", "not-admitted"]);
    assert!(comes_in(&gate, &owner, &known[1], macs[1]));
    settle(&owner, "L-1", "restore", &reason);
    gate.event(&["state-in-force", "\"admitted\":2"]);
    assert!(comes_in(&gate, &owner, &known[0], macs[0]));

    // Revoked: out for good.
    let revoke = json!({ "reason": "the test says so", "revocation_reason": "key-compromise" });
    settle(&owner, "L-2", "revoke", &revoke);
    assert_eq!(gate.end_session(), Some([2, 0, 0, 0, 0, 2]));
    gate.event(&["cut-off"]);
    assert!(!comes_in(&gate, &owner, &known[1], macs[1]));
    gate.event(&["refused", "certificate-revoked"]);
}

/// `vouchsafe serve --gate`: one process is controller and gate, and both end together.
#[test]
fn a_site_on_one_machine_lets_devices_in_and_cuts_them_off() {
    let place = Place::new();
    let maker = Manufacturer::start(&place, &[]);
    let state = "gate.state_file=gate/desired.json";
    let mut owner = Controller::start(&place, "owner", &[state]);
    let devices = maker.provision_all(&["L-1", "L-2"]);
    owner.buy(&maker, &["L-1", "L-2"]);
    for device in &devices {
        device.onboard(&owner.registrar());
    }
    let mut gate = Gate::start_within(&place, &mut owner);
    let macs = ["02-00-00-00-00-01", "02-00-00-00-00-02"];
    let known = [credential(&devices[0]), credential(&devices[1])];
    // The gate is there as soon as it has a state, perhaps one from between the two; only its log tells.
    let end = Instant::now() + PATIENCE;
    for (credential, mac) in known.iter().zip(macs) {
        while !comes_in(&gate, &owner, credential, mac) {
            assert!(Instant::now() < end, "the gate lets nobody in");
        }
    }
    assert!(!comes_in(&gate, &owner, &birth(&devices[0]), macs[0]));
    if tools::have(&["eapol_test"]) {
        let (success, said) = eapol_test(&place, &gate, &owner, &devices[1]);
        assert!(success, "{said}");
    }

    let revoke = json!({ "reason": "the test says so", "revocation_reason": "key-compromise" });
    settle(&owner, "L-1", "revoke", &revoke);
    assert_eq!(gate.end_session(), Some([2, 0, 0, 0, 0, 1]));
    assert!(!comes_in(&gate, &owner, &known[0], macs[0]));
    assert!(comes_in(&gate, &owner, &known[1], macs[1]));

    // Known devices get in after a restart, too, and the revoked one does not.
    owner.stop();
    owner.serve_with_gate(&place.path("gate"));
    let end = Instant::now() + PATIENCE;
    while !comes_in(&gate, &owner, &known[1], macs[1]) {
        assert!(Instant::now() < end, "the gate lets nobody in");
    }
    assert!(!comes_in(&gate, &owner, &known[0], macs[0]));
}

/// RFC 9190 §2.1.1, RFC 5216 §5.3: whoever shows a device's certificate as a network is no network. A device
/// that plays the gate is believed by nobody, since no device gets serverAuth.
#[test]
fn a_device_that_plays_the_gate_is_believed_by_nobody() {
    let place = Place::new();
    let maker = Manufacturer::start(&place, &[]);
    let state = "gate.state_file=gate/desired.json";
    let owner = Controller::start(&place, "owner", &[state]);
    let devices = maker.provision_all(&["L-1", "L-2"]);
    owner.buy(&maker, &["L-1", "L-2"]);
    for device in &devices {
        device.onboard(&owner.registrar());
    }
    let [honest, rogue] = [&devices[0], &devices[1]];
    let mut genuine = Gate::start(&place, &owner);
    genuine.event(&["state-in-force", "\"admitted\":2"]);
    let mut played = Gate::start_as(&place, &owner, "played", &identity_of(rogue), "");
    played.event(&["state-in-force", "\"admitted\":2"]);

    let known = credential(honest);
    let mac = "02-00-00-00-00-01";
    assert_eq!(attempt(&genuine, &owner, &known, mac), Attempt::In);
    match attempt(&played, &owner, &known, mac) {
        Attempt::Distrusts(why) => println!("distrusted: {why}"),
        other => panic!("{other:?}"),
    }
    if !tools::have(&["eapol_test"]) {
        return;
    }
    let (success, said) = eapol_test(&place, &genuine, &owner, honest);
    assert!(success, "{said}");
    let (success, said) = eapol_test(&place, &played, &owner, honest);
    assert!(!success, "a supplicant believed a device: {said}");
    assert!(said.contains("purpose"), "for another reason: {said}");
}

/// The settings of a gate that shows a device's certificate.
fn identity_of(device: &Device<'_>) -> String {
    let dir = device.dir();
    let stored = fs::read_to_string(dir.join("state/credential.json")).unwrap();
    let stored: Value = serde_json::from_str(&stored).unwrap();
    let chain = dir.join("chain.pem");
    fs::write(&chain, stored["chain"].as_str().unwrap()).unwrap();
    let file = fs::read_to_string(dir.join("birth/device.toml")).unwrap();
    let file: toml::Table = file.parse().unwrap();
    let mut keys: StoreUri = file["key_store"].as_str().unwrap().parse().unwrap();
    keys.resolve_from(&dir.join("birth"));
    let StoreUri::File {
        folder,
        sealing_key: Some(sealing_key),
        ..
    } = keys
    else {
        panic!("{keys:?}");
    };
    format!(
        "chain = \"{}\"\nkeys = \"file:{}?sealing-key={}\"\nlabel = \"{}\"\n",
        chain.display(),
        folder.display(),
        sealing_key.display(),
        stored["label"].as_str().unwrap()
    )
}

/// A desired state that was put aside while a device was trusted brings it back neither at once nor over a
/// restart.
#[test]
fn yesterdays_desired_state_brings_nobody_back() {
    let place = Place::new();
    let maker = Manufacturer::start(&place, &[]);
    let state = "gate.state_file=gate/desired.json";
    let mut owner = Controller::start(&place, "owner", &[state]);
    let devices = maker.provision_all(&["L-1"]);
    owner.buy(&maker, &["L-1"]);
    devices[0].onboard(&owner.registrar());
    let mut gate = Gate::start(&place, &owner);
    gate.event(&["state-in-force", "\"admitted\":1"]);
    let known = credential(&devices[0]);
    let mac = "02-00-00-00-00-01";
    assert!(comes_in(&gate, &owner, &known, mac));
    let file = owner.dir.join("gate/desired.json");
    let yesterday = fs::read(&file).unwrap();
    let revoke = json!({ "reason": "the test says so", "revocation_reason": "key-compromise" });
    settle(&owner, "L-1", "revoke", &revoke);
    gate.end_session();
    gate.event(&["cut-off"]);

    // The controller says nothing more, and somebody puts the old state in its place.
    owner.kill();
    let put_back = || {
        let next = file.with_extension("replayed");
        fs::write(&next, &yesterday).unwrap();
        fs::rename(next, &file).unwrap();
    };
    put_back();
    gate.event(&["state-refused", "state-older"]);
    assert!(!comes_in(&gate, &owner, &known, mac));
    let mut gate = gate.restart(&place);
    gate.event(&["state-refused", "state-older"]);
    assert!(!comes_in(&gate, &owner, &known, mac));
    // It returns, and writes a newer one.
    owner.serve();
    gate.event(&["state-in-force", "\"admitted\":0"]);
    assert!(!comes_in(&gate, &owner, &known, mac));
}

/// Silence counts: a gate that has not heard of its controller for too long lets nobody new in, and goes on
/// as soon as it hears of it.
#[test]
fn without_word_from_the_controller_for_too_long_nobody_new_comes_in() {
    let place = Place::new();
    let maker = Manufacturer::start(&place, &[]);
    let state = "gate.state_file=gate/desired.json";
    let mut owner = Controller::start(&place, "owner", &[state]);
    let devices = maker.provision_all(&["L-1"]);
    owner.buy(&maker, &["L-1"]);
    devices[0].onboard(&owner.registrar());
    let home = owner.dir.display().to_string();
    let identity =
        format!("chain = \"{home}/api.pem\"\nkeys = \"file:{home}/keys\"\nlabel = \"api\"\n");
    let age = "longest_age = 5\n";
    let mut gate = Gate::start_as(&place, &owner, "gate", &identity, age);
    gate.event(&["state-in-force", "\"admitted\":1"]);
    let known = credential(&devices[0]);
    let mac = "02-00-00-00-00-01";
    owner.kill();
    let end = Instant::now() + PATIENCE;
    while comes_in(&gate, &owner, &known, mac) {
        assert!(Instant::now() < end, "an old state is believed for ever");
    }
    gate.event(&["refused", "desired-state-stale"]);
    owner.serve();
    gate.event(&["state-in-force", "\"admitted\":1"]);
    assert!(comes_in(&gate, &owner, &known, mac));
}

/// A gate on another machine: its token is good once and only for whom the fingerprint proves, what it confirms is
/// in the answer and in the journal, and when trust in it ends it hears nothing more.
#[test]
fn a_gate_enrols_once_confirms_what_it_did_and_hears_nothing_when_trust_in_it_ends() {
    let place = Place::new();
    let maker = Manufacturer::start(&place, &[]);
    let mut owner = Controller::start(&place, "owner", &[]);
    let devices = maker.provision_all(&["L-1"]);
    owner.buy(&maker, &["L-1"]);
    let api = owner.api();
    let invited = api.post("/api/v1/gates", &json!({ "name": "hall" }));
    let token = invited["token"].as_str().unwrap();
    let right = format!("sha256:{}", invited["domain_ca_sha256"].as_str().unwrap());

    // A controller that is not the one of the fingerprint does not even see the token.
    let other = format!("sha256:{}", "0".repeat(64));
    let refused = enrol(&place, &owner, "hall", token, &other);
    assert!(!refused.success(), "{}", refused.said());
    let guessed = enrol(&place, &owner, "guesser", &"A".repeat(43), &right);
    assert!(
        guessed.said().contains("gate-token-unknown"),
        "{}",
        guessed.said()
    );
    let enrolled = enrol(&place, &owner, "hall", token, &right);
    assert!(enrolled.success(), "{}", enrolled.said());
    let again = enrol(&place, &owner, "finder", token, &right);
    assert!(
        !again.success() && again.said().contains("gate-token-used"),
        "{}",
        again.said()
    );

    let mut gate = Gate::start_linked(&place, &owner, "hall");
    gate.event(&["link-up"]);
    devices[0].onboard(&owner.registrar());
    gate.event(&["state-in-force", "\"admitted\":1"]);
    let known = credential(&devices[0]);
    let mac = "02-00-00-00-00-01";
    assert!(comes_in(&gate, &owner, &known, mac));
    // Without its controller, and with it again.
    owner.kill();
    assert!(comes_in(&gate, &owner, &known, mac));
    gate.event(&["link-down"]);
    owner.serve();
    gate.event(&["link-up"]);

    let api = owner.api();
    let device = api.device("L-1");
    let path = format!(
        "/api/v1/devices/{}/revoke?wait=30",
        device["id"].as_str().unwrap()
    );
    let revoke = json!({ "reason": "the test says so", "revocation_reason": "key-compromise" });
    let revoked = std::thread::spawn(move || api.post(&path, &revoke));
    assert_eq!(gate.end_session(), Some([2, 0, 0, 0, 0, 1]));
    let answer = revoked.join().unwrap();
    assert_eq!(
        answer["enforcement"]["confirmed"][0]["gate"], "hall",
        "{answer}"
    );
    assert_eq!(answer["enforcement"]["waiting"], json!([]), "{answer}");
    assert!(!comes_in(&gate, &owner, &known, mac));
    let api = owner.api();
    let journal = api.journal(&device);
    let cut = |entry: &&Value| entry["action"] == "cut-off";
    assert!(journal.iter().any(|entry| cut(&entry)), "{journal:#?}");
    api.verify_journal();

    let removed = api.call("DELETE", "/api/v1/gates/hall", "application/json", b"");
    assert!((200..300).contains(&removed.status), "{}", removed.text());
    gate.event(&["link-down", "gate-revoked"]);
}
