//! Keys in SoftHSM2. The library reads its configuration from the environment, so each test runs
//! again in a process of its own, which has a token of its own.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::{env, fs};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::object::{Attribute, AttributeInfo, AttributeType, ObjectClass};
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;
use vouchsafe_keystore::{
    Algorithm, Error, HardwareProblem, KeyStore, StoreKind, find_module, generate_pkcs8,
    sign_off_thread,
};

use crate::agreement::{is_a_place_for_agreements, keeps_purposes_apart};
use crate::file::signs;
use crate::peer;
use crate::secrets::assert_absent;

const PIN: &str = "planted-pin-4711";
const TOKEN: &str = "test token";

struct Place {
    module: PathBuf,
    pin_file: PathBuf,
}

impl Place {
    fn address(&self) -> String {
        self.address_of(TOKEN)
    }

    fn address_of(&self, token: &str) -> String {
        let (module, pin_file) = (self.module.display(), self.pin_file.display());
        format!("pkcs11:module={module};token={token};pin-file={pin_file}")
    }

    fn open(&self) -> KeyStore {
        KeyStore::open(&self.address()).unwrap()
    }

    fn problem(&self, address: &str) -> HardwareProblem {
        match KeyStore::open(address).unwrap_err() {
            Error::Hardware { problem, .. } => problem,
            other => panic!("{other}"),
        }
    }
}

/// In the child: the token. In the parent: makes it, runs the child, gives nothing.
fn token(test: &str) -> Option<Place> {
    let Some(module) = find_module("softhsm2") else {
        peer::skip("softhsm2");
        return None;
    };
    if let Some(folder) = env::var_os("VOUCHSAFE_TEST_TOKEN") {
        return Some(Place {
            module,
            pin_file: PathBuf::from(folder).join("pin"),
        });
    }
    if peer::missing(&["softhsm2-util"]) {
        return None;
    }
    let folder = TempDir::new().unwrap();
    let (tokens, configuration) = (folder.path().join("tokens"), folder.path().join("conf"));
    fs::create_dir(&tokens).unwrap();
    let text = format!(
        "directories.tokendir = {}\nlog.level = ERROR\n",
        tokens.display()
    );
    fs::write(&configuration, text).unwrap();
    let pin_file = folder.path().join("pin");
    fs::write(&pin_file, format!("{PIN}\n")).unwrap();
    fs::set_permissions(&pin_file, fs::Permissions::from_mode(0o600)).unwrap();
    let made = Command::new("softhsm2-util")
        .args([
            "--init-token",
            "--free",
            "--label",
            TOKEN,
            "--so-pin",
            "87654321",
            "--pin",
            PIN,
        ])
        .env("SOFTHSM2_CONF", &configuration)
        .stdout(Stdio::null())
        .status();
    assert!(made.unwrap().success());
    let child = Command::new(env::current_exe().unwrap())
        .args(["--exact", &format!("token::{test}"), "--nocapture"])
        .env("SOFTHSM2_CONF", &configuration)
        .env("VOUCHSAFE_TEST_TOKEN", folder.path())
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    let errors = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{output}\n{errors}");
    assert!(output.contains("1 passed"), "{output}");
    None
}

#[test]
fn keys_are_made_in_the_token_and_agree() {
    let Some(place) = token("keys_are_made_in_the_token_and_agree") else {
        return;
    };
    is_a_place_for_agreements(&|| place.open());
    keeps_purposes_apart(&place.open());
    // The secrets are gone from the token's session, and the key does not come out.
    let pkcs11 = Pkcs11::new(&place.module).unwrap();
    let _ = pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
    let slots = pkcs11.get_slots_with_token().unwrap();
    let slot = slots
        .into_iter()
        .find(|slot| pkcs11.get_token_info(*slot).unwrap().label() == TOKEN)
        .unwrap();
    let session = pkcs11.open_rw_session(slot).unwrap();
    let _ = session.login(UserType::User, Some(&AuthPin::new(PIN.to_owned().into())));
    let of_class = |class| session.find_objects(&[Attribute::Class(class)]).unwrap();
    assert!(of_class(ObjectClass::SECRET_KEY).is_empty());
    for key in of_class(ObjectClass::PRIVATE_KEY) {
        let value = session
            .get_attribute_info(key, &[AttributeType::Value])
            .unwrap();
        assert!(matches!(value[..], [AttributeInfo::Sensitive]), "{value:?}");
    }
}

#[test]
fn keys_are_made_in_the_token_and_sign() {
    let Some(place) = token("keys_are_made_in_the_token_and_sign") else {
        return;
    };
    let store = place.open();
    assert_eq!(store.kind(), StoreKind::Pkcs11);
    for algorithm in [Algorithm::EcdsaP256, Algorithm::EcdsaP384] {
        let label = algorithm.name();
        let made = store.create(label, algorithm).unwrap();
        let loaded = place.open().load(label).unwrap();
        assert_eq!(made.public_key(), loaded.public_key());
        assert_eq!(loaded.algorithm(), algorithm.signature_algorithm());
        assert!(loaded.may_block());
        // Often enough to meet r and s with leading zeros.
        (0..300).for_each(|_| signs(&*loaded));
        assert!(matches!(
            store.create(label, algorithm),
            Err(Error::LabelExists { .. })
        ));
    }
    assert_eq!(store.list().unwrap(), ["ecdsa-p256", "ecdsa-p384"]);
    store.delete("ecdsa-p256").unwrap();
    assert!(matches!(
        store.load("ecdsa-p256"),
        Err(Error::NotFound { .. })
    ));
    assert!(matches!(
        store.delete("ecdsa-p256"),
        Err(Error::NotFound { .. })
    ));
    assert_eq!(store.list().unwrap(), ["ecdsa-p384"]);
    assert!(matches!(
        store.create("e", Algorithm::Ed25519),
        Err(Error::AlgorithmUnsupported {
            algorithm: Algorithm::Ed25519,
            ..
        })
    ));
    let outside = generate_pkcs8(Algorithm::EcdsaP256).unwrap();
    let imported = store.import("i", outside.expose());
    assert!(matches!(imported, Err(Error::ImportUnsupported { .. })));
}

#[test]
fn the_private_half_cannot_be_read_out() {
    let Some(place) = token("the_private_half_cannot_be_read_out") else {
        return;
    };
    place.open().create("k", Algorithm::EcdsaP256).unwrap();
    let pkcs11 = Pkcs11::new(&place.module).unwrap();
    let slot = pkcs11.get_slots_with_initialized_token().unwrap()[0];
    let session = pkcs11.open_ro_session(slot).unwrap();
    // Logged in already: the login belongs to the process.
    let login = session.login(UserType::User, Some(&AuthPin::new(PIN.into())));
    assert!(login.is_err() || login.is_ok());
    let keys = session
        .find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)])
        .unwrap();
    assert_eq!(keys.len(), 1);
    let value = session
        .get_attribute_info(keys[0], &[AttributeType::Value])
        .unwrap();
    assert!(matches!(value[0], AttributeInfo::Sensitive), "{value:?}");
    let stated = [AttributeType::Extractable, AttributeType::NeverExtractable];
    let stated = session.get_attributes(keys[0], &stated).unwrap();
    assert_eq!(
        stated,
        [
            Attribute::Extractable(false),
            Attribute::NeverExtractable(true)
        ]
    );
}

#[test]
fn lost_sessions_and_logins_come_back_by_themselves() {
    let Some(place) = token("lost_sessions_and_logins_come_back_by_themselves") else {
        return;
    };
    let store = place.open();
    let signer = store.create("k", Algorithm::EcdsaP256).unwrap();
    let pkcs11 = Pkcs11::new(&place.module).unwrap();
    let slot = pkcs11.get_slots_with_initialized_token().unwrap()[0];
    for _ in 0..3 {
        // The login goes, the sessions stay.
        pkcs11.open_ro_session(slot).unwrap().logout().unwrap();
        signs(&*signer);
        // All sessions go; the module runs.
        Pkcs11::new(&place.module).unwrap().finalize().unwrap();
        let arguments = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
        pkcs11.initialize(arguments).unwrap();
        assert_eq!(store.list().unwrap(), ["k"]);
        signs(&*signer);
    }
}

#[test]
fn a_module_shut_down_and_started_again_is_met_with_a_new_login() {
    let Some(place) = token("a_module_shut_down_and_started_again_is_met_with_a_new_login") else {
        return;
    };
    let signer = place.open().create("k", Algorithm::EcdsaP256).unwrap();
    Pkcs11::new(&place.module).unwrap().finalize().unwrap();
    signs(&*signer);
}

#[test]
fn more_threads_than_sessions_all_get_their_signature() {
    let Some(place) = token("more_threads_than_sessions_all_get_their_signature") else {
        return;
    };
    let signer = place.open().create("k", Algorithm::EcdsaP256).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..48 {
            scope.spawn(|| (0..10).for_each(|_| signs(&*signer)));
        }
    });
}

#[test]
fn a_blocking_signer_leaves_the_event_loop_free() {
    let Some(place) = token("a_blocking_signer_leaves_the_event_loop_free") else {
        return;
    };
    let signer = place.open().create("k", Algorithm::EcdsaP256).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let signatures: Vec<_> = (0..8u8)
            .map(|number| tokio::spawn(sign_off_thread(Arc::clone(&signer), vec![number])))
            .collect();
        for (number, signature) in (0u8..).zip(signatures) {
            let signature = signature.await.unwrap().unwrap();
            signer
                .public_key()
                .verify(signer.algorithm(), &[number], &signature)
                .unwrap();
        }
    });
}

#[test]
fn a_key_deleted_elsewhere_is_unavailable_not_a_crash() {
    let Some(place) = token("a_key_deleted_elsewhere_is_unavailable_not_a_crash") else {
        return;
    };
    let signer = place.open().create("k", Algorithm::EcdsaP256).unwrap();
    place.open().delete("k").unwrap();
    signer.sign(b"message").unwrap_err();
    signer.sign(b"message").unwrap_err();
}

#[test]
fn what_is_missing_or_wrong_is_named_and_the_pin_never_printed() {
    let Some(place) = token("what_is_missing_or_wrong_is_named_and_the_pin_never_printed") else {
        return;
    };
    let store = place.open();
    let signer = store.create("k", Algorithm::EcdsaP256).unwrap();
    let mut printed = vec![format!("{store:?} {signer:?}")];

    assert_eq!(
        place.problem(&place.address_of("absent")),
        HardwareProblem::TokenMissing
    );
    let no_module = "pkcs11:module=/nowhere/lib.so;token=t;pin-file=p".to_owned();
    let with_pin = no_module.replace("=p", &format!("={}", place.pin_file.display()));
    assert!(matches!(
        place.problem(&with_pin),
        HardwareProblem::Module { .. }
    ));
    assert!(matches!(KeyStore::open(&no_module), Err(Error::Io { .. })));

    let mut try_pin = |contents: &str, mode: u32| {
        fs::write(&place.pin_file, contents).unwrap();
        fs::set_permissions(&place.pin_file, fs::Permissions::from_mode(mode)).unwrap();
        let error = KeyStore::open(&place.address()).map(drop);
        if let Err(error) = &error {
            printed.push(format!("{error} {error:?}"));
        }
        error
    };
    let mut problem = |contents: &str, mode| match try_pin(contents, mode) {
        Err(Error::Hardware { problem, .. }) => problem,
        other => panic!("{other:?}"),
    };
    for contents in ["", "\n", "planted-pin-4711\nmore\n", &"p".repeat(300)] {
        assert_eq!(problem(contents, 0o600), HardwareProblem::PinFile);
    }
    assert_eq!(
        problem(PIN, 0o644),
        HardwareProblem::PinFilePermissions { mode: 0o644 }
    );
    try_pin(&format!("{PIN}\n"), 0o400).unwrap();
    for text in &printed {
        assert_absent(PIN.as_bytes(), text);
    }
}

#[test]
fn a_refused_pin_is_not_tried_again_until_the_token_locks() {
    let Some(place) = token("a_refused_pin_is_not_tried_again_until_the_token_locks") else {
        return;
    };
    // Before anything logs in: a login elsewhere in the process would cover for a wrong PIN.
    fs::write(&place.pin_file, "planted-pin-0815").unwrap();
    let error = KeyStore::open(&place.address()).unwrap_err();
    assert!(matches!(
        &error,
        Error::Hardware {
            problem: HardwareProblem::PinWrong,
            ..
        }
    ));
    assert_absent(b"planted-pin-0815", &format!("{error} {error:?}"));
    fs::write(&place.pin_file, PIN).unwrap();
    signs(&*place.open().create("k", Algorithm::EcdsaP256).unwrap());
}
