//! A device that can reach nothing but the join proxy onboards through it (RFC 8995 §4).

use std::fs;

use serde_json::Value;

use crate::process::Process;
use crate::world::{Controller, Device, Manufacturer, Place};

/// A gate that is a join proxy on loopback, to `registrar`; and where the proxy is.
fn gate(place: &Place, name: &str, owner: &Controller<'_>, join_proxy: &str) -> (Process, String) {
    let dir = place.make(name);
    let home = owner.dir.display();
    let text = format!(
        "[identity]\nchain = \"{home}/api.pem\"\nkeys = \"file:{home}/keys\"\nlabel = \"api\"\n\
         [state]\nanchor = \"{home}/domain-ca.pem\"\nfile = \"{home}/gate/desired.json\"\n\
         [radius]\nlisten = \"127.0.0.1:0\"\naccounting = \"127.0.0.1:0\"\n\
         [join_proxy]\nlisten = \"127.0.0.1:0\"\ninterfaces = [\"loopback\"]\n{join_proxy}"
    );
    fs::write(dir.join("gate.toml"), text).unwrap();
    let mut command = place.program("vouchsafe-gate");
    command.arg("--dir").arg(&dir).args(["--output", "json"]);
    let mut process = Process::start(name, command, &place.logs());
    let ready = process.json_with("join_proxy");
    let proxy = format!("https://{}", ready["join_proxy"].as_str().unwrap());
    (process, proxy)
}

/// The certificate that the device signed for as that of the registrar it saw is the registrar's own:
/// the device proved proximity, and the registrar's journal says so.
fn assert_proximity(owner: &Controller<'_>, serial: &str) {
    let api = owner.api();
    let journal = api.journal(&api.device(serial));
    let is_proximate = |entry: &Value| {
        let text: Value = serde_json::from_str(entry["text"].as_str().unwrap()).unwrap();
        text["data"]["assertion"] == "proximity"
    };
    assert!(journal.iter().any(is_proximate), "{journal:?}");
}

fn registrar_of(ended: &[Value]) -> String {
    let onboarded = ended.iter().find(|event| event["event"] == "onboarded");
    onboarded.unwrap()["registrar"].as_str().unwrap().to_owned()
}

#[test]
fn a_whole_onboarding_passes_the_join_proxy_and_nothing_ends_tls_there() {
    let place = Place::new();
    let maker = Manufacturer::start(&place, &[]);
    let owner = Controller::start(&place, "owner", &[]);
    let devices = maker.provision_all(&["L-1", "L-2"]);
    owner.buy(&maker, &["L-1", "L-2"]);
    let to = owner.registrar().replace("https://", "");
    let settings = format!("registrar = \"{to}\"\nannounce = false\n");
    let (mut gate, proxy) = gate(&place, "gate", &owner, &settings);

    let ended = devices[0].run_once(&proxy);
    assert!(ended.success(), "{}", ended.said());
    assert_eq!(registrar_of(&ended.json_lines()), proxy);
    owner.assert_onboarded_once("L-1");
    assert_proximity(&owner, "L-1");
    let circuit = gate.json_with("octets");
    assert!(circuit["octets"].as_u64().unwrap() > 1000, "{circuit}");

    // Without the proxy there is no way, and none of it was kept open by anything else.
    gate.terminate();
    let ended = devices[1].run_once(&proxy);
    assert!(!ended.success(), "{}", ended.said());
    assert_eq!(owner.api().device("L-2")["state"], "claimed");
}

#[test]
fn a_device_finds_the_join_proxy_by_mdns() {
    let place = Place::new();
    let maker = Manufacturer::start(&place, &[]);
    let owner = Controller::start(&place, "owner", &[]);
    let devices = maker.provision_all(&["L-1"]);
    owner.buy(&maker, &["L-1"]);
    let to = owner.registrar().replace("https://", "");
    let settings = format!("registrar = \"{to}\"\n");
    let (_gate, proxy) = gate(&place, "gate", &owner, &settings);
    let device: &Device<'_> = &devices[0];
    fs::write(
        device.dir().join("agent.toml"),
        "mdns_interface = \"loopback\"\n",
    )
    .unwrap();
    let command = device.command(&["run", "--once"]);
    let ended = Process::run("L-1", command, &place.logs());
    assert!(ended.success(), "{}", ended.said());
    assert_eq!(registrar_of(&ended.json_lines()), proxy);
    assert_proximity(&owner, "L-1");
}
