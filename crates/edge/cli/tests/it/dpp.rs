//! Wi-Fi Easy Connect from the label to the inventory.

use serde_json::Value;

use crate::world::{Server, World};

const INIT: &str = "init --dir c --name Plant --set registrar.listen=127.0.0.1:0 \
     --set api.listen=127.0.0.1:0 --set registrar.announce=false --set dpp.enabled=true \
     --set dpp.listen=127.0.0.1:0 --set dpp.announce=false";

/// The example of the specification's appendix: a key, and what else a label may say.
const URI: &str = "DPP:C:81/6;M:5254005828e5;I:SN=4774LH2b4044;V:2;\
     K:MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgADURzxmttZoIRIPWGoQMV00XHWCAQIhXruVWOz0NjlkIA=;;";

fn running(world: &World) -> Server<'_> {
    world.json(INIT);
    world.serve("serve --dir c")
}

#[test]
fn a_label_is_explained_field_by_field() {
    let world = World::new();
    let shown = world.json(&format!("dpp show {URI}"));
    assert_eq!(shown["strict"], true);
    let names: Vec<&str> = shown["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|field| field["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["C", "M", "I", "V", "K"]);
    assert_eq!(shown["key"]["curve"], "P-256");
    assert_eq!(shown["key"]["sha256"].as_str().unwrap().len(), 64);
    assert_ne!(shown["key"]["sha256"], shown["key"]["chirp_sha256"]);
    let text = world.run(&format!("dpp show {URI}")).out;
    assert!(
        text.contains("2437 MHz") && text.contains("chirp hash"),
        "{text}"
    );
}

#[test]
fn a_label_that_breaks_a_rule_is_told_which() {
    let world = World::new();
    for (uri, code) in [
        ("dpp", "uri-scheme"),
        ("DPP:V:2;;", "uri-without-key"),
        ("DPP:M:5254;K:AA;;", "uri-mac"),
        ("DPP:V:2;V:2;K:AA;;", "uri-field-twice"),
    ] {
        let ran = world.run(&format!("dpp show {uri} --output json"));
        assert_eq!(ran.code, 1, "{uri}");
        let shown: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(shown["broken"]["code"], code, "{uri}");
        assert!(shown["key"].is_null());
    }
    // What people paste is taken, and said to be out of the grammar.
    let lower = URI.replace("DPP:", "dpp:").replace(";;", "");
    let shown = world.json(&format!("dpp show {lower}"));
    assert_eq!(shown["strict"], false);
    assert!(shown["key"].is_object() && shown["broken"].is_object());
    assert_eq!(world.run("dpp show").code, 2);
    assert_eq!(world.refused("dpp show --qr absent.png", 2), "file");
}

#[test]
fn a_factory_label_is_photographed_and_claims_the_device() {
    let world = World::new();
    world.json("manufacturer init --dir m --name Acme");
    let made =
        "manufacturer --dir m provision A-1 --dpp --dpp-channels 81/6 --mac 52:54:00:58:28:e5";
    world.json(&format!("{made} --out births"));
    world.json("manufacturer --dir m label A-1 --png a.png");
    let uri = world.json("manufacturer --dir m device show A-1")["dpp_uri"].clone();
    let uri = uri.as_str().unwrap();
    assert!(
        uri.starts_with("DPP:C:81/6;M:5254005828e5;I:SN=A-1;V:2;K:"),
        "{uri}"
    );
    assert_eq!(world.json("dpp show --qr a.png")["uri"], uri);
    world.json("manufacturer --dir m label A-1 --png who.png --identity");
    assert_eq!(world.refused("dpp show --qr who.png", 1), "not-dpp");

    let server = running(&world);
    let added = world.json("network add plant --ssid Plant --segment floor --dir c");
    assert_eq!(added["credential"], "connector");
    world.refused("network add plant --ssid Other --dir c", 6);
    let changed = world.json("network add plant --ssid Plant2 --credential sae --change --dir c");
    assert_eq!(changed["version"], 2);
    assert_eq!(
        world.json("network list --dir c")["items"][0]["ssid"],
        "Plant2"
    );
    world.json("network add guests --ssid Guests --dir c");
    world.json("network remove guests --dir c");
    assert_eq!(world.refused("network show guests --dir c", 5), "not-found");

    let claimed = world.json("device claim --qr a.png --network plant --dir c");
    assert_eq!(claimed["key"]["uri"], uri);
    assert_eq!(claimed["device"]["state"], "claimed");
    let id = claimed["device"]["id"].as_str().unwrap();
    let keys = world.json(&format!("dpp key list --device {id} --dir c"));
    assert_eq!(keys["items"][0]["id"], claimed["key"]["id"]);
    let text = world.run(&format!("device show {id} --dir c")).out;
    assert!(text.contains("meant for network  plant"), "{text}");
    world.refused("network remove plant --dir c", 6);
    world.json("network add other --ssid Other --dir c");
    let reconfigure = format!("device reconfigure {id} --network other --reason moved --dir c");
    assert_eq!(world.json(&reconfigure)["wifi"]["wanted"], "other");
    world.refused("device claim --dpp-uri DPP:;; --dir c", 2);
    assert_eq!(world.run("device claim --dir c").code, 2);

    let shown = world.json("dpp controller --address 192.0.2.1 --dir c");
    let pkhash = shown["key_sha256"].as_str().unwrap();
    let line = format!("dpp_controller=ipaddr=192.0.2.1 pkhash={pkhash}");
    assert_eq!(shown["hostapd"], line);
    assert_eq!(server.stop(), 0);
}

/// What a person calls a device stands for the serial number that nobody vouches for.
#[test]
fn a_label_may_come_with_a_name_and_no_manufacturer() {
    let world = World::new();
    let server = running(&world);
    let claim = format!("device claim --dpp-uri {URI} --serial bench-7 --dir c");
    let claimed = world.json(&claim);
    assert_eq!(claimed["device"]["serial"], "bench-7");
    // Without a label it takes both.
    assert_eq!(world.run("device claim --serial bench-8 --dir c").code, 2);
    // It says no address at which it listens.
    let key = claimed["key"]["id"].as_str().unwrap();
    world.refused(&format!("dpp call {key} --dir c"), 2);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = nobody.local_addr().unwrap();
    drop(nobody);
    world.refused(&format!("dpp call {key} --host {host} --dir c"), 6);
    assert_eq!(server.stop(), 0);
}

#[test]
fn codes_are_said_listed_and_taken_back_and_never_shown() {
    const CODE: &str = "seven-silver-spoons";
    let world = World::new();
    let server = running(&world);
    world.json("network add plant --ssid Plant --dir c");
    world.write("code.txt", format!("{CODE}\n"));
    let add = "dpp code add --file code.txt --identifier bench --label bench-7 --network plant \
         --reason unlabelled --dir c";
    let added = world.json(add);
    assert_eq!(
        (&added["identifier"], &added["guesses_left"]),
        (&"bench".into(), &5.into())
    );
    world.refused(add, 6);
    let ran = world.run("dpp code list --dir c");
    assert!(
        ran.out.contains("bench-7") && !ran.out.contains(CODE),
        "{}",
        ran.out
    );
    let id = &added["id"];
    world.json(&format!("dpp code remove {id} --dir c"));
    assert_eq!(
        world.refused(&format!("dpp code remove {id} --dir c"), 5),
        "not-found"
    );
    let listed = world.json("dpp code list --dir c");
    assert!(listed["items"].as_array().unwrap().is_empty());
    world.write("short.txt", "short\n");
    world.refused(
        "dpp code add --file short.txt --reason unlabelled --dir c",
        2,
    );
    assert_eq!(server.stop(), 0);
}

#[test]
fn another_key_signs_connectors_and_the_one_before_stays() {
    let world = World::new();
    let server = running(&world);
    let before = world.json("dpp controller --dir c");
    let after = world.json("dpp rotate --reason yearly --dir c");
    let kids = |shown: &Value| shown["signing_keys"].as_array().unwrap().clone();
    assert_eq!(kids(&after).len(), 2);
    assert_eq!(kids(&after)[1], kids(&before)[0]);
    assert_eq!(
        after["key_sha256"], before["key_sha256"],
        "labels and access points stay"
    );
    assert_eq!(world.run("dpp rotate --dir c").code, 2);
    assert_eq!(server.stop(), 0);
}

#[test]
fn labels_are_imported_by_the_list() {
    let world = World::new();
    let server = running(&world);
    world.write(
        "keys.csv",
        format!("uri,model\n{URI},lamp\nDPP:V:2;;,bad\n"),
    );
    let ran = world.run("import keys keys.csv --dir c --output json");
    assert_eq!(ran.code, 1, "{}", ran.err);
    let result: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (&result["claimed"], &result["refused"]),
        (&1.into(), &1.into())
    );
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_probe_says_what_a_controller_does() {
    let world = World::new();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = gone.local_addr().unwrap().port();
    drop(gone);
    let ran = world.run(&format!("dpp probe 127.0.0.1:{port} --output json"));
    assert_eq!(ran.code, 1);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["failure"]["code"], "controller-unreachable");

    let server = running(&world);
    let shown = world.json("dpp controller --dir c");
    let listens = shown["listen"].as_str().unwrap();
    // Nobody has claimed this probe.
    let ran = world.run(&format!("dpp probe {listens} --output json"));
    assert_eq!(ran.code, 1);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["steps"][0]["step"], "connected");
    assert!(report["failure"]["code"].is_string(), "{report}");
    // A device that is claimed is offered its network.
    world.json("manufacturer init --dir m --name Acme");
    world.json("manufacturer --dir m provision birth --dpp --out device");
    world.json("manufacturer --dir m label birth --png label.png");
    world.json("network add plant --ssid Plant --dir c");
    world.json("device claim --qr label.png --network plant --dir c");
    let report = world.json(&format!(
        "dpp probe {listens} --device device --accept --wait 30"
    ));
    assert_eq!(report["offer"]["networks"][0]["ssid"], "Plant", "{report}");
    assert_eq!(report["offer"]["networks"][0]["akm"], "dpp");
    let announced = world.json("dpp announcements --dir c");
    assert_eq!(announced["items"].as_array().unwrap().len(), 1);
    // Both sides prove themselves to each other when the device knows the controller's URI.
    let uri = shown["uri"].as_str().unwrap();
    let mutual = format!("dpp probe {listens} --device device --controller-uri {uri} --accept");
    assert_eq!(world.json(&mutual)["offer"]["mutual"], true);
    assert_eq!(server.stop(), 0);
}
