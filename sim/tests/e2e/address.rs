//! A device that knows no 802.1X comes in by its MAC address, where policy says so: the controller, the gate
//! and `radclient` in the place of a switch, as processes.

use std::time::Instant;

use serde_json::{Value, json};

use crate::gate::{Gate, by_address, comes_in, credential, enrol};
use crate::process::PATIENCE;
use crate::tools;
use crate::world::{Controller, Manufacturer, Place};

const MAC: &str = "00-1B-63-84-45-E6";

/// Asks until the gate has heard of it.
fn until(gate: &Gate, answer: &str) -> String {
    let end = Instant::now() + PATIENCE;
    loop {
        let said = by_address(gate, MAC, 1, "User-Password");
        if said.contains(answer) {
            return said;
        }
        assert!(Instant::now() < end, "no {answer}: {said}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

fn linked(place: &Place, owner: &Controller<'_>) -> Gate {
    let api = owner.api();
    let invited = api.post("/api/v1/gates", &json!({ "name": "hall" }));
    let fingerprint = format!("sha256:{}", invited["domain_ca_sha256"].as_str().unwrap());
    let token = invited["token"].as_str().unwrap();
    let enrolled = enrol(place, owner, "hall", token, &fingerprint);
    assert!(enrolled.success(), "{}", enrolled.said());
    let mut gate = Gate::start_linked_for(place, owner, "hall", "mac = true\n");
    gate.event(&["link-up"]);
    gate
}

fn state(owner: &Controller<'_>, id: &str, value: &Value) -> Value {
    owner.api().post(
        &format!("/api/v1/devices/{id}/claims"),
        &json!({ "kind": "admit-by-mac", "value": value, "reason": "it knows no 802.1X" }),
    )
}

#[test]
fn a_device_comes_in_by_its_address_as_long_as_policy_says_so() {
    if !tools::have(&["radclient"]) {
        return;
    }
    let place = Place::new();
    let mut owner = Controller::start(&place, "owner", &[]);
    let mut gate = linked(&place, &owner);
    let claim = json!({ "serial": "P-1", "mac": MAC, "reason": "a printer of 2009" });
    let device = owner.api().post("/api/v1/devices", &claim);
    let id = device["id"].as_str().unwrap().to_owned();
    assert_eq!(device["addresses"][0]["admitted"], false, "{device}");
    let said = by_address(&gate, MAC, 1, "User-Password");
    assert!(said.contains("Received Access-Reject"), "{said}");
    gate.event(&["refused", "not-admitted"]);

    let device = state(&owner, &id, &json!("without-credential"));
    assert_eq!(device["addresses"][0]["admitted"], true, "{device}");
    let said = until(&gate, "Received Access-Accept");
    assert!(said.contains("Tunnel-Private-Group-Id"), "{said}");
    assert!(
        said.contains("devices") && said.contains("Session-Timeout"),
        "{said}"
    );
    let said = by_address(&gate, MAC, 1, "CHAP-Password");
    assert!(said.contains("Received Access-Accept"), "{said}");
    // Another station does not, nor anybody while the name is another than the address.
    let said = by_address(&gate, "00-1B-63-00-00-01", 2, "User-Password");
    assert!(said.contains("Received Access-Reject"), "{said}");

    // The controller hears of the session, and that nothing was proved.
    let end = Instant::now() + PATIENCE;
    let session = loop {
        let page = owner.api().get(&format!("/api/v1/sessions?device={id}"));
        if let Some(session) = page["items"].get(0) {
            break session.clone();
        }
        assert!(Instant::now() < end, "no session");
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    assert!(session.get("credential").is_none(), "{session}");
    assert_eq!(session["station"], "00:1b:63:84:45:e6");

    // Without its controller.
    owner.kill();
    let said = by_address(&gate, MAC, 1, "User-Password");
    assert!(said.contains("Received Access-Accept"), "{said}");
    owner.serve();

    // Quarantined: off the switch, confirmed and journaled; restored; and its word taken back.
    let path = format!("/api/v1/devices/{id}/quarantine?wait=30");
    let api = owner.api();
    let answer =
        std::thread::spawn(move || api.post(&path, &json!({ "reason": "it prints by itself" })));
    assert_eq!(
        gate.end_session(),
        Some([0x00, 0x1b, 0x63, 0x84, 0x45, 0xe6])
    );
    let answer = answer.join().unwrap();
    assert_eq!(
        answer["enforcement"]["confirmed"][0]["gate"], "hall",
        "{answer}"
    );
    let said = by_address(&gate, MAC, 1, "User-Password");
    assert!(said.contains("Received Access-Reject"), "{said}");
    let path = format!("/api/v1/devices/{id}/restore");
    owner.api().post(&path, &json!({ "reason": "mended" }));
    until(&gate, "Received Access-Accept");
    let api = owner.api();
    let journal = api.journal(&device);
    let cut = |entry: &&Value| entry["action"] == "cut-off";
    assert!(journal.iter().any(|entry| cut(&entry)), "{journal:#?}");
    let taken = state(&owner, &id, &Value::Null);
    assert_eq!(taken["addresses"][0]["admitted"], false, "{taken}");
    assert!(gate.end_session().is_some());
    let said = by_address(&gate, MAC, 1, "User-Password");
    assert!(said.contains("Received Access-Reject"), "{said}");
    owner.api().verify_journal();
}

/// Whoever could prove itself must: its address opens nothing from its first certificate on.
#[test]
fn a_device_with_a_certificate_comes_in_by_that_and_not_by_its_address() {
    if !tools::have(&["radclient"]) {
        return;
    }
    let place = Place::new();
    let maker = Manufacturer::start(&place, &[]);
    let owner = Controller::start(&place, "owner", &[]);
    let devices = maker.provision_all(&["L-1"]);
    owner.buy(&maker, &["L-1"]);
    let mut gate = linked(&place, &owner);
    let api = owner.api();
    let id = api.device("L-1")["id"].as_str().unwrap().to_owned();
    api.post(
        &format!("/api/v1/devices/{id}/addresses"),
        &json!({ "mac": MAC, "reason": "printed on its back" }),
    );
    state(&owner, &id, &json!("without-credential"));
    until(&gate, "Received Access-Accept");

    devices[0].onboard(&owner.registrar());
    gate.event(&["state-in-force", "\"admitted\":1"]);
    assert!(gate.end_session().is_some());
    let said = by_address(&gate, MAC, 1, "User-Password");
    assert!(said.contains("Received Access-Reject"), "{said}");
    assert!(comes_in(&gate, &owner, &credential(&devices[0]), MAC));
    // Also where policy would let it: 802.1X wins over the address.
    state(&owner, &id, &json!("always"));
    gate.event(&["state-in-force"]);
    let said = by_address(&gate, MAC, 1, "User-Password");
    assert!(said.contains("Received Access-Reject"), "{said}");
    gate.event(&["refused", "station-proved-elsewhere"]);
}
