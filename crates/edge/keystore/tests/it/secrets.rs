//! A planted private key, PIN and sealing key must not show in anything that prints.

use std::fs;
use std::path::Path;

use vouchsafe_keystore::{
    Algorithm, BundleWriter, KeyStore, Permissions, SealedBundle, Sealer, StoreUri, generate_pkcs8,
};

use crate::file::Place;

const PLANTED: &[u8] = b"planted-private-scalar-32-bytes!";

/// Fails when `text` holds the secret as bytes, text, hexadecimal, a list of numbers or base64.
pub(crate) fn assert_absent(secret: &[u8], text: &str) {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let list = format!("{secret:?}");
    let list = list.trim_matches(['[', ']']);
    let lower = text.to_lowercase();
    assert!(
        !text
            .as_bytes()
            .windows(secret.len())
            .any(|window| window == secret),
        "{text}"
    );
    assert!(!lower.contains(&hex) && !lower.contains(list), "{text}");
    if let Ok(secret) = std::str::from_utf8(secret) {
        assert!(!text.contains(secret), "{text}");
    }
}

/// A P-256 private key whose scalar is the planted text: a minimal PKCS#8 (RFC 5958, RFC 5915).
fn planted_pkcs8() -> Vec<u8> {
    let mut der = vec![
        0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
        0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x27, 0x30, 0x25,
        0x02, 0x01, 0x01, 0x04, 0x20,
    ];
    der.extend_from_slice(PLANTED);
    der
}

fn files_below(folder: &Path, found: &mut Vec<Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        } else {
            found.push(fs::read(path).unwrap());
        }
    }
}

#[test]
fn a_planted_key_shows_in_no_output_no_error_and_no_file() {
    let place = Place::new();
    let store = place.open();
    let key = planted_pkcs8();
    let mut printed = Vec::new();
    let signer = store.import("planted", &key).unwrap();
    printed.push(format!("{signer:?} {:?}", store.load("planted").unwrap()));
    printed.push(format!("{store:?} {:?}", store.list().unwrap()));
    let mut say = |error: vouchsafe_keystore::Error| printed.push(format!("{error} {error:?}"));
    say(store.import("planted", &key).unwrap_err());
    say(store.import("cut", &key[..key.len() - 1]).unwrap_err());
    say(store
        .import(&String::from_utf8_lossy(&key[..5]), &key)
        .unwrap_err());
    let sealed = fs::read(place.key("planted")).unwrap();
    for length in [0, 4, 20, sealed.len() - 1] {
        fs::write(place.key("planted"), &sealed[..length]).unwrap();
        say(store.load("planted").unwrap_err());
    }
    let mut flipped = sealed.clone();
    *flipped.last_mut().unwrap() ^= 1;
    fs::write(place.key("planted"), &flipped).unwrap();
    say(store.load("planted").unwrap_err());
    fs::write(place.key("planted"), &sealed).unwrap();

    let sealer = Sealer::open(&place.sealing_key(), Permissions::OwnerOnly).unwrap();
    let bundle = place.keys().join("bundle");
    let mut writer = BundleWriter::open(&bundle, &sealer).unwrap();
    writer.append("planted", &key).unwrap();
    writer.sync().unwrap();
    let reader = SealedBundle::open(&bundle, &sealer).unwrap();
    let read = reader.read("planted").unwrap();
    assert!(read.ct_eq(&key));
    printed.push(format!("{writer:?} {reader:?} {sealer:?} {read:?}"));
    printed.push(format!(
        "{:?}",
        generate_pkcs8(Algorithm::EcdsaP256).unwrap()
    ));
    for text in &printed {
        assert_absent(PLANTED, text);
    }

    let sealing_key = fs::read_to_string(place.sealing_key()).unwrap();
    let sealing_key = sealing_key
        .trim_end()
        .rsplit(' ')
        .next()
        .unwrap()
        .as_bytes();
    for text in &printed {
        assert_absent(&sealing_key[..40], text);
    }
    let mut files = Vec::new();
    files_below(&place.keys(), &mut files);
    assert!(files.len() >= 3);
    for file in files {
        assert_absent(PLANTED, &String::from_utf8_lossy(&file));
        assert_absent(&sealing_key[..40], &String::from_utf8_lossy(&file));
    }
}

#[test]
fn a_secret_that_got_into_an_address_is_not_repeated() {
    for address in [
        "planted-private-scalar-32-bytes!",
        "pkcs11:module=m;token=t;pin=planted-private-scalar-32-bytes!",
        "pkcs11:module=m;token=t;pin-value=planted-private-scalar-32-bytes!",
        "pkcs11:module=m;token=t;pass=planted-private-scalar-32-bytes!",
        "file:k?planted-private-scalar-32-bytes!",
        "file:k?permissions=planted-private-scalar-32-bytes!",
        "planted-private-scalar-32-bytes!:x",
    ] {
        let error = KeyStore::open(address).unwrap_err();
        assert_absent(PLANTED, &format!("{error} {error:?}"));
        let problem = address.parse::<StoreUri>().unwrap_err();
        assert_absent(PLANTED, &format!("{problem} {problem:?}"));
    }
}
