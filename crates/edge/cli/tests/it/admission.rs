//! Segments, gates and sessions, and how far a change of a device's standing has come.

use std::os::unix::fs::PermissionsExt as _;

use crate::world::{Server, World};

const INIT: &str = "init --dir c --name Plant --set registrar.listen=127.0.0.1:0 \
     --set api.listen=127.0.0.1:0 --set registrar.announce=false";

fn running(world: &World) -> Server<'_> {
    world.json(INIT);
    world.serve("serve --dir c")
}

#[test]
fn a_segment_is_described_described_anew_and_removed() {
    let world = World::new();
    let server = running(&world);
    let set = "segment set lamps --vlan 20 --reach 10.0.0.7,tcp,443 --reach 10.1.0.0/16 --dir c";
    let made = world.json(set);
    assert_eq!((&made["version"], &made["vlan"]), (&1.into(), &20.into()));
    assert_eq!(made["reach"][0]["port"], 443);
    let text = world.run("segment show lamps --dir c").out;
    assert!(text.contains("10.0.0.7,tcp,443 10.1.0.0/16"), "{text}");
    // What is not said is taken away.
    let changed = world.json("segment set lamps --dir c");
    assert_eq!(changed["version"], 2);
    assert!(changed["vlan"].is_null() && changed["reach"].is_null());
    let nothing = world.json("segment set lamps --reach-nothing --dir c");
    assert_eq!(nothing["reach"].as_array().unwrap().len(), 0);
    let listed = world.json("segment list --dir c");
    let names = listed["items"].as_array().unwrap().iter();
    assert!(names.clone().any(|one| one["name"] == "lamps"), "{listed}");
    // While there is one, policy can name no other: the last stays.
    let last = world.refused("segment remove lamps --dir c", 6);
    assert_eq!(last, "lifecycle-refused");
    world.json("segment set halls --vlan 21 --dir c");
    world.json("segment remove lamps --dir c");
    assert_eq!(world.refused("segment show lamps --dir c", 5), "not-found");
    for wrong in [
        "segment set lamps --vlan 4095 --dir c",
        "segment set lamps --reach 10.0.0.7,sctp --dir c",
        "segment set lamps --reach 10.0.0.7 --reach-nothing --dir c",
    ] {
        assert_eq!(world.run(wrong).code, 2, "{wrong}");
    }
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_gate_is_added_with_a_token_that_is_shown_once() {
    let world = World::new();
    let server = running(&world);
    let added = world.json("gate add hall --dir c");
    assert_eq!(added["gate"]["state"], "invited");
    let token = added["token"].as_str().unwrap().to_owned();
    let fingerprint = added["fingerprint"].as_str().unwrap();
    assert_eq!(fingerprint.len(), "sha256:".len() + 64);
    assert_eq!(world.refused("gate add hall --dir c", 6), "already-exists");
    // Another one goes to a file and nowhere else.
    let ran = world.run("gate token hall --token-out hall.token --dir c --output json");
    assert_eq!(ran.code, 0, "{}", ran.err);
    let file = world.path("hall.token");
    let another = std::fs::read_to_string(&file).unwrap().trim().to_owned();
    assert_ne!(another, token);
    assert!(!ran.out.contains(&another) && ran.out.contains(fingerprint));
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = world.run("gate list --dir c").out;
    assert!(text.contains("hall") && text.contains("invited"), "{text}");
    assert!(!text.contains(&token) && !text.contains(&another));
    assert_eq!(world.json("gate show hall --dir c")["name"], "hall");
    world.json("gate remove hall --dir c");
    assert_eq!(world.refused("gate show nowhere --dir c", 5), "not-found");
    let sessions = world.json("session list --gate hall --current --dir c");
    assert!(sessions["items"].as_array().unwrap().is_empty());
    let end = "session end 00112233445566778899aabbccddeeff --reason moved --dir c";
    assert_eq!(world.refused(end, 5), "not-found");
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_cut_off_tells_how_far_it_has_come() {
    let world = World::new();
    let server = running(&world);
    let claim = "device claim --manufacturer 00112233445566778899aabbccddeeff --serial A-1 --dir c";
    world.json(claim);
    let revoked = world.json("device revoke A-1 --reason stolen --wait 0 --dir c");
    let reached = &revoked["enforcement"];
    assert!(reached["confirmed"].is_array() && reached["waiting"].is_array());
    let retired = world.run("device retire A-1 --reason broken --dir c");
    assert_eq!(retired.code, 0, "{}", retired.err);
    assert!(retired.out.contains("in force"), "{}", retired.out);
    assert!(
        retired.out.contains("certificates by EST  shut"),
        "{}",
        retired.out
    );
    // It is about a change, not about the device.
    assert!(world.json("device show A-1 --dir c")["enforcement"].is_null());
    let too_long = "device retire A-1 --reason broken --wait 31 --dir c";
    assert_eq!(world.run(too_long).code, 2);
    assert_eq!(server.stop(), 0);
}
