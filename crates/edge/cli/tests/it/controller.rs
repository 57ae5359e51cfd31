//! The client commands against a controller that really listens.

use crate::world::{Server, World};

const INIT: &str = "init --dir c --name Plant --set registrar.listen=127.0.0.1:0 \
     --set api.listen=127.0.0.1:0 --set registrar.announce=false";

fn running(world: &World) -> Server<'_> {
    world.json(INIT);
    world.serve("serve --dir c --ready-file ready.json")
}

/// A manufacturer that sold to the controller in `c`; its manifest is `a.cms`.
fn bought(world: &World) -> &'static str {
    world.json("manufacturer init --dir m --name Acme");
    world.json("manufacturer --dir m provision A-1 A-2 --out births");
    world.json("manufacturer --dir m owner add Plant --domain-ca c/domain-ca.pem");
    world.json("manufacturer --dir m sell A-1 A-2 --to Plant");
    world.json("manufacturer --dir m manifest --owner Plant --out a.cms");
    "import manifest a.cms --anchor m/root-ca.pem --anchor m/masa-ca.pem --dir c"
}

#[test]
fn the_ready_line_says_where_and_sigterm_ends_well() {
    let world = World::new();
    let server = running(&world);
    for file in ["c/ready.json", "ready.json"] {
        let text = std::fs::read_to_string(world.path(file)).unwrap();
        let ready: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(ready, server.ready, "{file}");
    }
    assert_eq!(world.json("status --dir c")["role"], "admin");
    assert_eq!(server.stop(), 0);
    assert!(!world.path("c/ready.json").exists());
    world.refused("status --dir c", 3);
}

/// RFC 7468 §6: the list comes as text, and in a file as it is.
#[test]
fn a_manufacturer_takes_the_revocation_list_as_the_controller_gives_it() {
    let world = World::new();
    let server = running(&world);
    world.json("manufacturer init --dir m --name Acme");
    world.json("manufacturer --dir m owner add Plant --domain-ca c/domain-ca.pem");
    let pem = world.json("cert crl --dir c")["crl_pem"].clone();
    world.write("list.pem", pem.as_str().unwrap());
    world.json("cert crl --out list.crl --dir c");
    for newer in [true, false] {
        let taken = world.json("manufacturer --dir m owner crl list.pem");
        assert_eq!(taken["newer"], newer);
    }
    world.json("manufacturer --dir m owner crl list.crl");
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_device_is_imported_kept_apart_let_back_and_given_up() {
    let world = World::new();
    let server = running(&world);
    let import = bought(&world);
    assert_eq!(world.json(&format!("{import} --dry-run"))["claimed"], 2);
    assert_eq!(
        world.json("device list --dir c")["items"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    assert_eq!(world.json(import)["claimed"], 2);
    let again = world.json(import);
    assert_eq!(
        (&again["claimed"], &again["unchanged"]),
        (&0.into(), &2.into())
    );

    let device = world.json("device show A-1 --dir c");
    assert_eq!(device["state"], "claimed");
    let id = device["id"].as_str().unwrap();
    assert_eq!(
        world.json(&format!("device show {id} --dir c"))["serial"],
        "A-1"
    );
    assert_eq!(world.json("maker list --dir c")["items"][0]["name"], "Acme");
    world.refused("device restore A-1 --reason x --dir c", 6);
    world.refused("device retire A-1 --reason x --if-version 99 --dir c", 6);
    assert_eq!(world.refused("device show A-9 --dir c", 5), "not-found");

    let would = world.json("device release A-1 --reason sold --dry-run --dir c");
    assert_eq!(would["device"]["state"], "released");
    assert!(would.get("statement").is_none(), "{would}");
    let still = world.json("device show A-1 --dir c");
    assert_ne!(still["state"], "released");
    let released = world.json("device release A-1 --reason sold --statement st.cms --dir c");
    assert_eq!(released["device"]["state"], "released");
    let would = "manufacturer --dir m release --statement st.cms --dry-run";
    for _ in 0..2 {
        assert_eq!(world.json(would)["devices"][0]["state"], "released");
    }
    world.json("manufacturer --dir m release --statement st.cms");
    let journal = world.json("device journal A-1 --dir c");
    assert_eq!(journal["entries"][0]["action"], "provisioned");
    assert_eq!(world.json("journal verify --dir c")["ok"], true);
    let all = world.json("journal list --all --dir c");
    let some = world.json("journal list --since 1 --limit 2 --dir c");
    assert_eq!(some["entries"][0], all["entries"][1]);
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_manifest_is_refused_on_another_maker_s_word() {
    let world = World::new();
    let server = running(&world);
    bought(&world);
    world.json("manufacturer init --dir n --name Rogue");
    let import = "import manifest a.cms --anchor n/root-ca.pem --anchor n/masa-ca.pem --dir c";
    assert_eq!(world.refused(import, 1), "manifest-refused");
    drop(server);
}

#[test]
fn a_list_with_a_bad_line_says_which_and_ends_with_1() {
    let world = World::new();
    let server = running(&world);
    world.json("manufacturer init --dir m --name Acme");
    let maker = world.json("maker add Acme --anchor m/root-ca.pem --dir c");
    let id = maker["id"].as_str().unwrap();
    let long = "A".repeat(65);
    let list = format!("manufacturer,serial\n{id},A-1\n{id},{long}\n");
    world.write("list.csv", list);
    let ran = world.run("import csv list.csv --dir c --output json");
    let result: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(ran.code, 1, "{}", ran.out);
    assert_eq!(
        (&result["claimed"], &result["refused"]),
        (&1.into(), &1.into())
    );
    assert_eq!(result["refusals"][0]["serial"], long);
    drop(server);
}

#[test]
fn a_token_does_what_its_role_may_and_nothing_after_it_is_revoked() {
    let world = World::new();
    let server = running(&world);
    // A secret is told once: where its file cannot be, no token is made.
    let nowhere = "token create eve --role auditor --secret-file nowhere/eve.token --dir c";
    assert_eq!(world.refused(nowhere, 2), "file");
    let tokens = world.json("token list --dir c");
    assert_eq!(tokens["items"].as_array().unwrap().len(), 1);
    let made = world.json("token create eve --role auditor --secret-file eve.token --dir c");
    assert!(made.get("secret").is_none());
    let id = made["token"]["id"].as_str().unwrap();
    world.json("device list --token-file eve.token --dir c");
    let create = "token create x --role admin --token-file eve.token --dir c";
    assert_eq!(world.refused(create, 4), "forbidden");
    world.json(&format!("token revoke {id} --dir c"));
    let list = "device list --token-file eve.token --dir c";
    assert_eq!(world.refused(list, 4), "unauthenticated");
    drop(server);
}

#[test]
fn address_ca_and_token_also_come_from_the_environment() {
    let world = World::new();
    let server = running(&world);
    let api = server.ready["api"].as_str().unwrap();
    let environment = [
        ("VOUCHSAFE_API", api),
        ("VOUCHSAFE_CA", "c/domain-ca.pem"),
        ("VOUCHSAFE_TOKEN_FILE", "c/admin.token"),
    ];
    assert_eq!(world.run_with("status", &environment).code, 0);
    assert_eq!(world.run_with("status", &environment[..2]).code, 4);
    let other = world.run_with("status --ca d/domain-ca.pem", &environment);
    assert_eq!(other.code, 2, "there is no such file");
    world.json("init --dir d");
    let other = world.run_with("status --ca d/domain-ca.pem", &environment);
    assert_eq!(other.code, 3, "another domain's CA: {}", other.err);
    drop(server);
}

#[test]
fn a_policy_is_checked_tried_and_put_in_force() {
    let world = World::new();
    let server = running(&world);
    world.json(bought(&world));
    let rego = world.json("policy show --dir c")["rego"]
        .as_str()
        .unwrap()
        .to_owned();
    world.write("same.rego", format!("{rego}\n# reviewed\n"));
    world.write("broken.rego", "package vouchsafe\nallow {{{");
    assert_eq!(world.json("policy check same.rego --dir c")["ok"], true);
    assert_eq!(world.run("policy check broken.rego --dir c").code, 1);
    assert_eq!(world.json("policy dry-run same.rego --dir c")["changed"], 0);
    world.json("policy set same.rego --reason review --dir c");
    let set = "policy set broken.rego --reason x --dir c";
    assert_eq!(world.refused(set, 1), "policy-refused");
    drop(server);
}

#[test]
fn nothing_secret_is_ever_said() {
    let world = World::new();
    world.json(INIT);
    let server = world.serve("serve --dir c --log trace");
    world.json(bought(&world));
    world.json("token create eve --role admin --secret-file eve.token --dir c");
    for line in [
        "device list --log trace --dir c",
        "token list --log trace --dir c",
        "status --log trace --log-format json --dir c",
        "site --log trace --dir c --token-file eve.token",
        "manufacturer --dir m --log trace provision A-3 --out births",
        "manufacturer --dir m --log trace device show A-1",
        "config show --dir c",
    ] {
        assert_eq!(world.run(line).code, 0, "{line}");
    }
    assert_eq!(server.stop(), 0);
    let said = world.said();
    assert!(said.len() > 10_000, "the log was read");
    let mut secrets = 0;
    for file in files(&world.path("")) {
        let name = file.file_name().unwrap().to_str().unwrap();
        let is_secret = name.ends_with(".token") || name.ends_with(".key");
        if !is_secret {
            continue;
        }
        let bytes = std::fs::read(&file).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let forms = [text.trim().to_owned(), hex::encode(&bytes), base64(&bytes)];
        for form in forms.iter().filter(|form| form.len() >= 16) {
            assert!(!said.contains(form.as_str()), "{}", file.display());
        }
        secrets += 1;
    }
    assert!(secrets >= 8, "{secrets}");
    assert!(!said.contains("PRIVATE KEY"));
}

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(bytes)
}
