//! A manufacturer from its first folder to a signed manifest.

use crate::world::World;

fn made() -> World {
    let world = World::new();
    world.json(
        "manufacturer init --dir m --name Acme --set masa.listen=127.0.0.1:0 --set line.listen=127.0.0.1:0",
    );
    world.json("init --dir c --name Plant");
    world.json("init --dir d --name Other");
    world.json("manufacturer --dir m owner add Plant --domain-ca c/domain-ca.pem");
    world.json("manufacturer --dir m owner add Other --domain-ca d/domain-ca.pem");
    world
}

#[test]
fn devices_are_made_sold_listed_and_put_into_a_manifest() {
    let world = made();
    let made = world.json("manufacturer --dir m provision A-1 A-2 --model lamp --out births");
    assert_eq!(made["devices"][1]["serial"], "A-2");
    for file in [
        "idevid.pem",
        "masa-anchors.pem",
        "device.toml",
        "keys/idevid.key",
    ] {
        assert!(world.path("births/A-1").join(file).exists(), "{file}");
    }
    let sold = world.json("manufacturer --dir m sell A-1 --to Plant");
    assert_eq!(sold["devices"][0]["state"], "transferred");
    let manifest = world.json("manufacturer --dir m manifest --owner Plant --out a.cms");
    assert_eq!(manifest["devices"], 1);
    assert_eq!(
        std::fs::read(world.path("a.cms")).unwrap()[0],
        0x30,
        "CMS in DER"
    );
    let listed = world.json("manufacturer --dir m device list --owner Plant");
    assert_eq!(listed["devices"].as_array().unwrap().len(), 1);
    let shown = world.json("manufacturer --dir m device show A-1");
    assert_eq!(shown["ownerships"][0]["basis"], "sale");
    let journal = world.json("manufacturer --dir m --output json journal show A-1".trim_end());
    assert_eq!(journal["entries"].as_array().unwrap().len(), 2);
    assert_eq!(
        world.json("manufacturer --dir m journal verify")["ok"],
        true
    );
}

#[test]
fn a_device_that_is_sold_is_not_sold_to_another() {
    let world = made();
    world.json("manufacturer --dir m provision A-1 --out births");
    world.json("manufacturer --dir m sell A-1 --to Plant --dry-run");
    let before = world.json("manufacturer --dir m device show A-1");
    assert_eq!(before["device"]["state"], "provisioned");
    world.json("manufacturer --dir m sell A-1 --to Plant");
    world.refused("manufacturer --dir m sell A-1 --to Other", 1);
    world.refused("manufacturer --dir m sell A-1 --to Other --dry-run", 1);
    world.refused("manufacturer --dir m sell A-1 --to Nobody", 5);
    world.refused("manufacturer --dir m sell A-9 --to Plant", 5);
    world.json("manufacturer --dir m release A-1 --reason returned --dry-run");
    let still = world.json("manufacturer --dir m device show A-1");
    assert_eq!(still["device"]["state"], "transferred");
    world.json("manufacturer --dir m release A-1 --reason returned");
    world.refused("manufacturer --dir m release A-1 --reason x --dry-run", 1);
    world.json("manufacturer --dir m sell A-1 --to Other");
}

#[test]
fn a_batch_that_is_run_again_makes_nothing_twice() {
    let world = made();
    let batch =
        "manufacturer --dir m provision --count 25 --prefix B- --bundle b.bin --sealing-key b.key";
    assert_eq!(world.json(batch)["made"], 25);
    let again = world.json(batch);
    assert_eq!(
        (&again["made"], &again["passed_over"]),
        (&0.into(), &25.into())
    );
    world.json(
        "manufacturer --dir m export B-000007 --bundle b.bin --sealing-key b.key --out births",
    );
    assert!(world.path("births/B-000007/device.toml").exists());
}

#[test]
fn a_serial_number_cannot_lead_out_of_the_folder() {
    let world = made();
    world.refused("manufacturer --dir m provision ../../evil --out births", 2);
    world.refused(
        "manufacturer --dir m provision --count 1 --prefix ../evil --out births",
        2,
    );
    assert!(!world.path("births").exists());
}

#[test]
fn orders_are_carried_out_while_the_masa_serves() {
    let world = made();
    let server = world.serve("manufacturer --dir m serve --ready-file ready.json");
    assert_eq!(server.ready["ready"], "manufacturer");
    for address in ["masa", "line"] {
        assert!(
            server.ready[address]
                .as_str()
                .unwrap()
                .starts_with("https://127.0.0.1:")
        );
    }
    assert!(world.path("ready.json").exists());
    world.json("manufacturer --dir m provision A-1 --out births");
    assert!(world.path("births/A-1/device.toml").exists());
    world.json("manufacturer --dir m sell A-1 --to Plant");
    assert_eq!(
        world.refused("manufacturer --dir m sell A-9 --to Plant", 5),
        "not-found"
    );
    world.refused("manufacturer --dir m sell A-1 --to Other", 1);
    assert_eq!(server.stop(), 0);
}

#[test]
fn an_error_is_the_same_whether_or_not_the_masa_serves() {
    let world = made();
    world.write("noise", "no statement at all");
    let line = "manufacturer --dir m";
    let errors = || {
        [
            world.refused(&format!("{line} release --statement noise"), 1),
            world.refused(&format!("{line} owner crl noise"), 2),
            world.refused(&format!("{line} sell A-9 --to Plant"), 5),
        ]
    };
    let here = errors();
    assert_eq!(here, ["not-proven", "usage", "not-found"]);
    let server = world.serve("manufacturer --dir m serve");
    assert_eq!(errors(), here);
    assert_eq!(server.stop(), 0);
}

#[test]
fn labels_are_drawn_in_three_forms() {
    let world = made();
    world.json("manufacturer --dir m provision A-1 A-2 --out births");
    world.json("manufacturer --dir m label A-1 --png a.png");
    world.json("manufacturer --dir m label A-1 --svg a.svg");
    let sheet = world.json("manufacturer --dir m label A-1 A-2 --pdf a.pdf");
    assert!(sheet["labels"][1].as_str().unwrap().contains("serial=A-2"));
    for (file, start) in [("a.png", "\u{89}PNG"), ("a.svg", "<svg"), ("a.pdf", "%PDF")] {
        let bytes = std::fs::read(world.path(file)).unwrap();
        let start: Vec<u8> = start
            .chars()
            .map(|c| u8::try_from(u32::from(c)).unwrap())
            .collect();
        assert!(bytes.starts_with(&start), "{file}");
    }
    world.refused("manufacturer --dir m label A-1 A-2 --png a.png", 2);
}

#[test]
fn a_line_station_gets_a_folder_once() {
    let world = made();
    world.json("manufacturer --dir m line-station line-7 --out station");
    assert!(world.path("station/station.pem").exists());
    let again = world.refused("manufacturer --dir m line-station line-7 --out station", 6);
    assert_eq!(again, "data-folder-exists");
}
