//! `voucher` on messages that others published.

use std::path::PathBuf;

use serde_json::Value;

use crate::world::{Ran, World};

/// The folder of published examples, or `None` after saying so; with `CI` set its absence is a
/// failure.
fn vectors() -> Option<PathBuf> {
    match std::env::var_os("VOUCHSAFE_VECTORS") {
        Some(folder) => Some(PathBuf::from(folder)),
        None if std::env::var_os("CI").is_some() => panic!("VOUCHSAFE_VECTORS is not set"),
        None => {
            println!("skipped: no vectors");
            None
        }
    }
}

fn show(world: &World, file: &std::path::Path) -> Value {
    world.json(&format!("voucher show {}", file.display()))
}

fn verify(world: &World, arguments: &str) -> (Ran, Value) {
    let ran = world.run(&format!("voucher verify {arguments} --output json"));
    let report = serde_json::from_str(&ran.out).unwrap();
    (ran, report)
}

fn broken(report: &Value) -> Vec<&str> {
    let checks = report["checks"].as_array().unwrap().iter();
    checks
        .filter(|check| check["outcome"] == "broken")
        .map(|check| check["code"].as_str().unwrap())
        .collect()
}

#[test]
fn the_voucher_of_rfc_8995_c_is_shown_whole() {
    let Some(vectors) = vectors() else { return };
    let world = World::new();
    let file = vectors.join("rfc8995/voucher_00-D0-E5-F2-00-02.b64");
    let shown = show(&world, &file);
    assert_eq!(shown["kind"], "voucher");
    assert_eq!(shown["fields"]["serial-number"], "00-D0-E5-F2-00-02");
    assert!(shown["named-certificate"]["subject"].is_string());
    let text = world.run(&format!("voucher show {}", file.display())).out;
    for word in [
        "00-D0-E5-F2-00-02",
        "it pins",
        "signer",
        "nothing of this is verified",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn a_registrar_s_request_is_shown_with_the_pledge_s_inside() {
    let Some(vectors) = vectors() else { return };
    let world = World::new();
    let file = vectors.join("rfc8995/parboiled_vr_00-D0-E5-F2-00-02.b64");
    let shown = show(&world, &file);
    assert_eq!(shown["kind"], "registrar-voucher-request");
    assert_eq!(shown["prior"]["kind"], "pledge-voucher-request");
    let request = vectors.join("jws-voucher/pvr.jws.json");
    assert_eq!(show(&world, &request)["kind"], "pledge-voucher-request");
    let hex = std::fs::read_to_string(vectors.join("cbrski/voucher.hex")).unwrap();
    let hex: String = hex.split_ascii_whitespace().collect();
    let file = world.write("voucher.cbor", hex::decode(hex).unwrap());
    assert_eq!(show(&world, &file)["kind"], "voucher");
}

#[test]
fn the_voucher_of_rfc_8995_c_verifies_and_each_lie_about_it_is_named() {
    let Some(vectors) = vectors() else { return };
    let world = World::new();
    let folder = vectors.join("rfc8995");
    let voucher = folder.join("voucher_00-D0-E5-F2-00-02.b64");
    let masa = folder.join("masa.crt");
    let shown = show(&world, &voucher);
    let at = shown["fields"]["created-on"].as_str().unwrap();
    let nonce = shown["fields"]["nonce"].as_str().unwrap();
    let good = format!(
        "{} --anchor {} --at {at}",
        voucher.display(),
        masa.display()
    );

    let (ran, report) = verify(
        &world,
        &format!("{good} --nonce {nonce} --serial 00-D0-E5-F2-00-02"),
    );
    assert_eq!(broken(&report), [""; 0], "{}", ran.out);
    assert_eq!((ran.code, &report["ok"]), (2, &true.into()));
    assert_eq!(report["complete"], false);
    let whole = format!(
        "{good} --nonce {nonce} --serial 00-D0-E5-F2-00-02 --registrar-chain {}",
        folder.join("jrc_prime256v1.crt").display()
    );
    let (ran, report) = verify(&world, &whole);
    assert_eq!(
        (ran.code, &report["complete"]),
        (0, &true.into()),
        "{}",
        ran.out
    );
    let text = world.run(&format!("voucher verify {whole}")).out;
    assert!(text.contains("the voucher is good"), "{text}");

    let other = verify(
        &world,
        &format!("{good} --nonce bm90LXRoZS1ub25jZQ== --serial X"),
    );
    assert_eq!(other.0.code, 1);
    assert_eq!(
        broken(&other.1),
        ["voucher-other-serial", "voucher-wrong-nonce"]
    );

    let stranger = folder.join("jrc_prime256v1.crt");
    let arguments = format!(
        "{} --anchor {} --at {at}",
        voucher.display(),
        stranger.display()
    );
    let (ran, report) = verify(&world, &arguments);
    assert_eq!(ran.code, 1);
    assert_eq!(broken(&report).len(), 1, "{}", ran.out);

    let chain = format!(
        "{good} --registrar-chain {}",
        folder.join("vendor.crt").display()
    );
    assert_eq!(broken(&verify(&world, &chain).1), ["voucher-pin-mismatch"]);

    let text = world.run(&format!("voucher verify {good}")).out;
    assert!(
        text.contains("✓ it is signed by the manufacturer"),
        "{text}"
    );
    assert!(text.contains("not checked: no nonce was given"), "{text}");
    // It may be another device's voucher.
    assert!(!text.contains("is good"), "{text}");
    assert!(
        text.contains("nobody checked: it is for this device;"),
        "{text}"
    );
}

#[test]
fn an_altered_voucher_is_refused_for_its_signature() {
    let Some(vectors) = vectors() else { return };
    let world = World::new();
    let folder = vectors.join("jws-voucher");
    let text = std::fs::read_to_string(folder.join("voucher.jws.json")).unwrap();
    let mut document: Value = serde_json::from_str(&text).unwrap();
    let payload = document["payload"].as_str().unwrap().replacen('a', "b", 1);
    document["payload"] = payload.into();
    let file = world.write("altered.json", document.to_string());
    let anchor = folder.join("masa-chain.pem");
    let arguments = format!("{} --anchor {}", file.display(), anchor.display());
    assert_eq!(verify(&world, &arguments).0.code, 1);
}

#[test]
fn what_is_no_voucher_is_refused_by_name() {
    let world = World::new();
    world.write("noise", "\u{1b}[2J no voucher at all");
    assert_eq!(world.refused("voucher show noise", 1), "encoding-unknown");
    world.write("empty", "");
    world.refused("voucher show empty", 1);
    world.refused("voucher show absent", 2);
}
