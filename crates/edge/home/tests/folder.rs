//! The data folder: what is kept, what is made anew, and what is said of a file that is no good.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use tempfile::TempDir;
use vouchsafe_home::{
    ConfigError, HomeError, ServerIdentity, key, key_store, read_chain, read_config, renewal_time,
    server_identity, store_url, validity, write_chain,
};
use vouchsafe_keystore::{Algorithm, KeyStore, random};
use vouchsafe_trust::{Authority, Certificate, Name, Profile, SubjectAltName};

struct World {
    folder: TempDir,
    keys: KeyStore,
    authority: Authority,
    now: Timestamp,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = key_store(folder.path(), "file:keys?sealing-key=sealing.key").unwrap();
        let keys = KeyStore::open_uri(&address).unwrap();
        let now = "2026-11-01T00:00:00Z".parse().unwrap();
        Self {
            authority: authority(&keys, "ca", now),
            folder,
            keys,
            now,
        }
    }

    fn wanted<'a>(&'a self, names: &'a [String]) -> ServerIdentity<'a> {
        ServerIdentity {
            dir: self.folder.path(),
            label: "api",
            keys: &self.keys,
            algorithm: Algorithm::EcdsaP256,
            authority: &self.authority,
            organization: "Harbour House",
            common_name: "api",
            names,
            profile: |subject| Profile::tls_server(subject, &[]),
            now: self.now,
        }
    }
}

fn authority(keys: &KeyStore, label: &str, now: Timestamp) -> Authority {
    let profile = Profile::domain_ca(Name::common(label).unwrap());
    let lifetime = validity(now, SignedDuration::from_hours(24 * 3650));
    let signer = key(keys, label, Algorithm::EcdsaP256).unwrap();
    Authority::self_signed(&profile, &random::serial(), lifetime, signer).unwrap()
}

fn leaf(wanted: &ServerIdentity<'_>) -> Certificate {
    let identity = server_identity(wanted).unwrap();
    let stored = read_chain(&wanted.dir.join("api.pem")).unwrap();
    assert_eq!(identity.chain().as_ref(), stored.as_slice());
    stored[0].clone()
}

#[test]
fn a_listeners_certificate_is_kept_until_something_of_it_is_over() {
    let world = World::new();
    let names = ["house.example".to_owned(), "192.0.2.7".to_owned()];
    let wanted = world.wanted(&names);
    let first = leaf(&wanted);
    assert_eq!(
        first.subject_alt_names().unwrap(),
        [
            SubjectAltName::Dns("house.example".to_owned()),
            SubjectAltName::Ip(vec![192, 0, 2, 7])
        ]
    );
    assert_eq!(leaf(&wanted), first);

    let late = renewal_time(&first);
    let second = SignedDuration::from_secs(1);
    let still = ServerIdentity {
        now: late - second,
        ..wanted
    };
    assert_eq!(leaf(&still), first);
    let renewed = leaf(&ServerIdentity {
        now: late,
        ..wanted
    });
    assert_ne!(renewed, first);
    assert!(renewed.not_after() > first.not_after());

    let elsewhere = leaf(&world.wanted(&names[..1]));
    assert_ne!(elsewhere.serial(), renewed.serial());

    // Of another authority with the same name it is no good, whatever it says.
    let other = authority(&world.keys, "other", world.now);
    let reissued = leaf(&ServerIdentity {
        authority: &other,
        ..world.wanted(&names[..1])
    });
    assert_ne!(reissued.serial(), elsewhere.serial());
}

#[test]
fn a_damaged_certificate_file_is_made_anew_for_a_listener_and_named_elsewhere() {
    let world = World::new();
    let names = ["house.example".to_owned()];
    let wanted = world.wanted(&names);
    let first = leaf(&wanted);
    let file = world.folder.path().join("api.pem");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    assert_ne!(leaf(&wanted), first);

    std::fs::write(&file, "-----BEGIN CERTIFICATE-----\nAAAA\n").unwrap();
    let error = read_chain(&file).unwrap_err();
    assert!(matches!(&error, HomeError::Certificate { path, .. } if *path == file));
    let absent = world.folder.path().join("absent.pem");
    let error = read_chain(&absent).unwrap_err();
    assert!(error.to_string().contains("absent.pem"), "{error}");
}

#[test]
fn what_is_the_same_already_is_not_written() {
    let world = World::new();
    let file = world.folder.path().join("ca.pem");
    write_chain(&file, world.authority.chain()).unwrap();
    let written = || std::fs::metadata(&file).unwrap().modified().unwrap();
    let before = written();
    write_chain(&file, world.authority.chain()).unwrap();
    assert_eq!(written(), before);
}

#[test]
fn a_key_is_made_once() {
    let world = World::new();
    let made = key(&world.keys, "api", Algorithm::EcdsaP384).unwrap();
    let again = key(&world.keys, "api", Algorithm::Ed25519).unwrap();
    assert_eq!(made.public_key(), again.public_key());
}

#[test]
fn relative_addresses_are_taken_from_the_folder() {
    let dir = Path::new("/srv/house");
    assert_eq!(
        store_url(dir, "sqlite:store.db"),
        "sqlite:/srv/house/store.db"
    );
    assert_eq!(
        store_url(dir, "sqlite:/var/store.db"),
        "sqlite:/var/store.db"
    );
    assert_eq!(store_url(dir, "postgres://db/house"), "postgres://db/house");
    let error = key_store(dir, "nowhere").unwrap_err();
    assert!(matches!(error, HomeError::Keys(_)), "{error}");
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    name: String,
}

#[test]
fn a_configuration_that_is_wrong_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    let read = || read_config::<Settings>(&file);
    let error = read().unwrap_err();
    assert!(matches!(error, ConfigError::Read { .. }), "{error}");
    for (text, said) in [
        ("name = \"a\"\nnmae = \"b\"\n", "nmae"),
        ("name = ", "line 1"),
        ("", "name"),
    ] {
        std::fs::write(&file, text).unwrap();
        let error = read().unwrap_err();
        assert!(matches!(error, ConfigError::Syntax { .. }), "{error}");
        assert!(error.to_string().contains(said), "{error}");
    }
    std::fs::write(&file, "name = \"a\"\n").unwrap();
    assert_eq!(read().unwrap().name, "a");
}
