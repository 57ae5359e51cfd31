//! No secret in any output, log, store, journal, backup or answer (invariant 6).
//!
//! A whole life is lived: factory, sale, onboarding, renewal, tokens, refusals, revocation, release,
//! with logs as talkative as they get. Then every private key is unsealed and every token collected, and
//! everything that anybody wrote, printed or answered is searched for them, in every spelling.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use vouchsafe_api::route::{Access, Method, ROUTES};
use vouchsafe_keystore::{Permissions, Sealer};

use crate::api::Api;
use crate::world::{Controller, Device, Manufacturer, Place};

/// No file below `root`, outside `except`, holds this secret.
pub(crate) fn assert_nowhere(root: &Path, except: &Path, name: &str, secret: &[u8]) {
    let secret = Secret::new(name, secret);
    for (path, contents) in files(root) {
        let found = !path.starts_with(except) && secret.is_in(&contents);
        assert!(!found, "{name} is in {}", path.display());
    }
}

/// A secret in every spelling that is searched for.
struct Secret {
    name: String,
    spellings: Vec<Vec<u8>>,
}

impl Secret {
    fn new(name: impl Into<String>, bytes: &[u8]) -> Self {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut spellings = vec![
            bytes.to_vec(),
            hex.to_uppercase().into_bytes(),
            hex.into_bytes(),
            URL_SAFE_NO_PAD.encode(bytes).into_bytes(),
        ];
        // In the middle of something longer, base64 looks different at each of three offsets; the
        // outer characters also hold neighbours' bits.
        for offset in 0..3 {
            let mut shifted = vec![0; offset];
            shifted.extend_from_slice(bytes);
            let text = STANDARD_NO_PAD.encode(shifted);
            spellings.push(text.as_bytes()[4.min(offset * 4)..text.len() - 2].to_vec());
        }
        Self {
            name: name.into(),
            spellings,
        }
    }

    fn is_in(&self, haystack: &[u8]) -> bool {
        self.spellings
            .iter()
            .any(|needle| contains(haystack, needle))
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    let Some(first) = needle.first() else {
        return false;
    };
    let mut rest = haystack;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        if rest[at..].starts_with(needle) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

#[test]
fn no_secret_of_a_whole_life_is_in_anything_that_was_written_printed_or_answered() {
    let place = Place::logging("trace");
    let maker = Manufacturer::start(&place, &[]);
    // With Wi-Fi Easy Connect, so that there are its keys too.
    let wifi = [
        "dpp.enabled=true",
        "dpp.listen=127.0.0.1:0",
        "dpp.announce=false",
    ];
    let mut owner = Controller::start(&place, "owner", &wifi);
    let other = Controller::start(&place, "other", &wifi);
    let devices = maker.provision_all(&["S-1", "S-2", "S-3"]);
    owner.buy(&maker, &["S-1", "S-2"]);
    let mut secrets = Vec::new();
    live(&maker, &owner, &other, &devices, &mut secrets);

    let mut answers = BTreeMap::new();
    for controller in [&owner, &other] {
        collect_answers(&controller.api(), &controller.name, &mut answers);
    }
    // A backup is a copy of the files while the program runs.
    let backup = place.make("backup");
    for entry in fs::read_dir(&owner.dir).unwrap().map(Result::unwrap) {
        if entry.file_name().to_string_lossy().starts_with("store.db") {
            fs::copy(entry.path(), backup.join(entry.file_name())).unwrap();
        }
    }
    answers.insert(
        "maker's journal".to_owned(),
        maker.journal("S-1")[0].to_string().into_bytes(),
    );
    maker.verify_journal();
    owner.stop();

    let files = files(place.root());
    unseal(&files, &mut secrets);
    for controller in [&owner, &other] {
        let token = fs::read_to_string(controller.dir.join("admin.token")).unwrap();
        secrets.push(Secret::new("first token", token.trim().as_bytes()));
    }
    let keys = secrets
        .iter()
        .filter(|it| it.name.ends_with(".key"))
        .count();
    assert!(
        keys >= 15,
        "too few keys were found for this to mean anything: {keys}"
    );

    // A search that finds nothing must be able to find.
    let known = fs::read(maker.dir.join("masa.pem")).unwrap();
    let der = known.split(|byte| *byte == b'\n').nth(1).unwrap();
    assert!(Secret::new("", &STANDARD.decode(der).unwrap()).is_in(&known));

    let mut searched = 0;
    for (place, contents) in files.iter().filter(|(path, _)| !may_hold_secrets(path)) {
        searched += contents.len();
        for secret in &secrets {
            assert!(
                !secret.is_in(contents),
                "{} is in {}",
                secret.name,
                place.display()
            );
        }
    }
    for (place, contents) in &answers {
        for secret in &secrets {
            assert!(!secret.is_in(contents), "{} is in {place}", secret.name);
        }
    }
    println!(
        "{} secrets, {searched} bytes of files, {} answers",
        secrets.len(),
        answers.len()
    );
}

/// A gate that was added, and has not come yet.
const GATE: &str = "hall";

/// All that can happen to devices.
fn live(
    maker: &Manufacturer<'_>,
    owner: &Controller<'_>,
    other: &Controller<'_>,
    devices: &[Device<'_>],
    secrets: &mut Vec<Secret>,
) {
    let api = owner.api();
    for role in ["operator", "auditor"] {
        let made = api.post("/api/v1/tokens", &json!({ "name": role, "role": role }));
        let secret = made["secret"].as_str().unwrap();
        secrets.push(Secret::new(
            format!("token of the {role}"),
            secret.as_bytes(),
        ));
        // In use, in a refusal, and with a letter wrong, as people mistype it.
        let theirs = owner.api_with(secret);
        theirs.get("/api/v1/devices");
        let refused = theirs.call("POST", "/api/v1/tokens", "application/json", b"{}");
        assert_eq!(refused.status, 403, "{}", refused.text());
        let wrong = owner
            .api_with(&format!("{secret}x"))
            .call("GET", "/api/v1/devices", "", b"");
        assert_eq!(wrong.status, 401, "{}", wrong.text());
    }
    let invited = api.post("/api/v1/gates", &json!({ "name": GATE }));
    let token = invited["token"].as_str().unwrap();
    secrets.push(Secret::new(
        "token of the gate".to_owned(),
        token.as_bytes(),
    ));
    for device in &devices[..2] {
        device.onboard(&owner.registrar());
    }
    // Not sold: refused. And then another owner's.
    assert!(!devices[2].run_once(&owner.registrar()).success());
    other.buy(maker, &["S-3"]);
    devices[2].onboard(&other.registrar());
    let place = devices[0].place();
    place.run("S-1", devices[0].command(&["renew"]));
    place.run("S-1", devices[0].command(&["status"]));
    let id = api.device("S-2")["id"].as_str().unwrap().to_owned();
    let revoke = json!({ "revocation_reason": "key-compromise", "reason": "a test" });
    api.post(&format!("/api/v1/devices/{id}/revoke"), &revoke);
    api.post(
        &format!("/api/v1/devices/{id}/release"),
        &json!({ "reason": "sold on" }),
    );
    for owner in [owner, other] {
        owner.api().post("/api/v1/journal/checkpoint", &json!({}));
    }
    api.verify_journal();
    place.run("S-1", devices[0].command(&["reset"]));
    devices[0].onboard(&owner.registrar());
}

/// What an administrator can read.
fn collect_answers(api: &Api, name: &str, answers: &mut BTreeMap<String, Vec<u8>>) {
    let devices = api.get("/api/v1/devices")["items"]
        .as_array()
        .unwrap()
        .clone();
    let credentials = api.get("/api/v1/credentials")["items"]
        .as_array()
        .unwrap()
        .clone();
    let makers = api.get("/api/v1/manufacturers")["items"]
        .as_array()
        .unwrap()
        .clone();
    let gates: Vec<Value> = api.get("/api/v1/gates")["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|gate| json!({ "id": gate["name"] }))
        .collect();
    for route in ROUTES.iter().filter(|route| route.method == Method::Get) {
        if route.path.contains("events") || route.path.contains("ocsp") {
            continue;
        }
        let things = match route.path.split('/').nth(3) {
            _ if !route.path.contains('{') => vec![json!({ "id": "" })],
            Some("devices") => devices.clone(),
            Some("credentials") => credentials.clone(),
            Some("manufacturers") => makers.clone(),
            // There are none here; the tests of Wi-Fi Easy Connect look for their secrets.
            Some("networks" | "bootstrapping-keys" | "Devices") => Vec::new(),
            Some("gates") => gates.clone(),
            // Nothing in them is secret.
            Some("segments" | "sessions" | "Schemas" | "ResourceTypes") => Vec::new(),
            _ => panic!("how is {} asked?", route.path),
        };
        for thing in things {
            let path = route.path.replace("{id}", thing["id"].as_str().unwrap());
            let answer = api.call("GET", &path, "", b"");
            assert!(
                answer.status < 300 || route.access == Access::Open,
                "{path}: {}",
                answer.text()
            );
            answers.insert(format!("{name}: GET {path}"), answer.body);
        }
    }
}

/// Every file of the world.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

/// Where a secret in clear belongs: sealing keys, and the file of the first token.
fn may_hold_secrets(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name == "sealing.key" || name == "admin.token")
}

/// Opens every sealed key with whichever sealing key opens it, and collects those too.
fn unseal(files: &BTreeMap<PathBuf, Vec<u8>>, secrets: &mut Vec<Secret>) {
    let sealing: Vec<&PathBuf> = files
        .keys()
        .filter(|path| path.file_name().is_some_and(|it| it == "sealing.key"))
        .collect();
    assert!(!sealing.is_empty());
    let sealers: Vec<Sealer> = sealing
        .iter()
        .map(|path| Sealer::open_existing(path, Permissions::OwnerOnly).unwrap())
        .collect();
    for path in sealing {
        // One line; its longest word is the key.
        let text = fs::read_to_string(path).unwrap();
        let key = text
            .split_whitespace()
            .max_by_key(|word| word.len())
            .unwrap();
        secrets.push(Secret::new(path.display().to_string(), key.as_bytes()));
    }
    let is_key =
        |path: &&PathBuf| path.extension().is_some_and(|it| it == "key") && !may_hold_secrets(path);
    for path in files.keys().filter(is_key) {
        let label = path.file_stem().unwrap().to_str().unwrap();
        let label = format!("key/{label}");
        let opened = sealers
            .iter()
            .find_map(|sealer| sealer.read(path, &label).ok());
        let opened = opened.unwrap_or_else(|| panic!("{} opens with no key", path.display()));
        // The whole key, and the number alone that makes it private.
        let pkcs8 = opened.expose();
        let name = path.display().to_string();
        secrets.push(Secret::new(name.clone(), pkcs8));
        secrets.push(Secret::new(name, scalar(pkcs8)));
    }
}

/// The private number of a P-256 key in PKCS#8: an OCTET STRING of 32 bytes (RFC 5915 §3).
pub(crate) fn scalar(pkcs8: &[u8]) -> &[u8] {
    let at = pkcs8
        .windows(2)
        .position(|it| it == [4, 32])
        .expect("a P-256 key");
    &pkcs8[at + 2..at + 34]
}
