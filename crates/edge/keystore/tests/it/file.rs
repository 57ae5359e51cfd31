//! Sealed files: whole, private, bound to their label, and never lost.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;
use vouchsafe_keystore::{
    Algorithm, Error, KeyStore, Permissions, SealedProblem, Sealer, SealingKeyProblem, StoreKind,
    generate_pkcs8, sign_off_thread,
};
use vouchsafe_trust::Signer;

const ALGORITHMS: [Algorithm; 3] = [
    Algorithm::EcdsaP256,
    Algorithm::EcdsaP384,
    Algorithm::Ed25519,
];

pub(crate) struct Place {
    folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
        }
    }

    pub(crate) fn keys(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    pub(crate) fn sealing_key(&self) -> PathBuf {
        self.folder.path().join("elsewhere/sealing.key")
    }

    pub(crate) fn address(&self) -> String {
        format!(
            "file:{}?sealing-key={}",
            self.keys().display(),
            self.sealing_key().display()
        )
    }

    pub(crate) fn open(&self) -> KeyStore {
        KeyStore::open(&self.address()).unwrap()
    }

    pub(crate) fn key(&self, label: &str) -> PathBuf {
        self.keys().join(format!("{label}.key"))
    }
}

pub(crate) fn signs(signer: &dyn Signer) {
    let signature = signer.sign(b"message").unwrap();
    signer
        .public_key()
        .verify(signer.algorithm(), b"message", &signature)
        .unwrap();
    assert!(
        signer
            .public_key()
            .verify(signer.algorithm(), b"massage", &signature)
            .is_err()
    );
}

fn sealed_problem(result: Result<Arc<dyn Signer>, Error>) -> SealedProblem {
    match result.unwrap_err() {
        Error::Sealed { problem, .. } => problem,
        other => panic!("{other}"),
    }
}

fn sealing_key_problem(result: Result<KeyStore, Error>) -> SealingKeyProblem {
    match result.unwrap_err() {
        Error::SealingKey { problem, .. } => problem,
        other => panic!("{other}"),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn keys_of_every_algorithm_outlive_the_process_and_sign() {
    let place = Place::new();
    assert_eq!(place.open().kind(), StoreKind::File);
    for algorithm in ALGORITHMS {
        let made = place.open().create(algorithm.name(), algorithm).unwrap();
        let loaded = place.open().load(algorithm.name()).unwrap();
        assert_eq!(made.public_key(), loaded.public_key());
        assert_eq!(loaded.algorithm(), algorithm.signature_algorithm());
        assert!(!loaded.may_block());
        signs(&*loaded);
    }
    assert_eq!(
        place.open().list().unwrap(),
        ["ecdsa-p256", "ecdsa-p384", "ed25519"]
    );
}

#[test]
fn only_the_owner_can_read_anything() {
    let place = Place::new();
    place.open().create("k", Algorithm::EcdsaP256).unwrap();
    assert_eq!(mode(&place.keys()), 0o700);
    assert_eq!(mode(&place.key("k")), 0o600);
    assert_eq!(mode(&place.sealing_key()), 0o600);
}

#[test]
fn an_existing_label_is_never_overwritten() {
    let place = Place::new();
    let store = place.open();
    store.create("k", Algorithm::EcdsaP256).unwrap();
    let before = fs::read(place.key("k")).unwrap();
    let other = generate_pkcs8(Algorithm::Ed25519).unwrap();
    assert!(matches!(
        store.create("k", Algorithm::EcdsaP384),
        Err(Error::LabelExists { .. })
    ));
    assert!(matches!(
        store.import("k", other.expose()),
        Err(Error::LabelExists { .. })
    ));
    assert_eq!(fs::read(place.key("k")).unwrap(), before);
}

#[test]
fn import_takes_pkcs8_and_nothing_else() {
    let place = Place::new();
    let store = place.open();
    for algorithm in ALGORITHMS {
        let key = generate_pkcs8(algorithm).unwrap();
        signs(&*store.import(algorithm.name(), key.expose()).unwrap());
        let cut = &key.expose()[..key.len() - 1];
        assert!(matches!(
            store.import("cut", cut),
            Err(Error::NotAPrivateKey { .. })
        ));
    }
    assert!(matches!(
        store.import("bad", b""),
        Err(Error::NotAPrivateKey { .. })
    ));
    assert!(!store.list().unwrap().contains(&"bad".to_owned()));
}

#[test]
fn a_deleted_key_is_gone_and_absence_is_named() {
    let place = Place::new();
    let store = place.open();
    store.create("k", Algorithm::EcdsaP256).unwrap();
    store.delete("k").unwrap();
    assert!(matches!(store.load("k"), Err(Error::NotFound { .. })));
    assert!(matches!(store.delete("k"), Err(Error::NotFound { .. })));
    assert!(store.list().unwrap().is_empty());
    for label in ["", "../k", "a/b"] {
        assert!(matches!(
            store.create(label, Algorithm::EcdsaP256),
            Err(Error::Label { .. })
        ));
        assert!(matches!(store.load(label), Err(Error::Label { .. })));
        assert!(matches!(store.delete(label), Err(Error::Label { .. })));
    }
}

#[test]
fn swapped_files_are_refused() {
    let place = Place::new();
    let store = place.open();
    store.create("a", Algorithm::EcdsaP256).unwrap();
    store.create("b", Algorithm::EcdsaP256).unwrap();
    let (a, b) = (
        fs::read(place.key("a")).unwrap(),
        fs::read(place.key("b")).unwrap(),
    );
    fs::write(place.key("a"), &b).unwrap();
    assert_eq!(
        sealed_problem(store.load("a")),
        SealedProblem::WrongLabel {
            found: "key/b".into()
        }
    );
    // With the label in the header changed to match, the seal itself does not fit.
    let mut forged = b.clone();
    let position = forged
        .windows(5)
        .position(|window| window == b"key/b")
        .unwrap();
    forged[position + 4] = b'a';
    fs::write(place.key("a"), &forged).unwrap();
    assert_eq!(sealed_problem(store.load("a")), SealedProblem::Damaged);
    fs::write(place.key("a"), &a).unwrap();
    signs(&*store.load("a").unwrap());
}

#[test]
fn every_truncation_is_named_and_the_file_left_alone() {
    let place = Place::new();
    let store = place.open();
    store.create("k", Algorithm::EcdsaP256).unwrap();
    let whole = fs::read(place.key("k")).unwrap();
    for length in 0..whole.len() {
        fs::write(place.key("k"), &whole[..length]).unwrap();
        let problem = sealed_problem(store.load("k"));
        assert!(
            matches!(problem, SealedProblem::Truncated { have, need } if have == length && need > length),
            "{length}: {problem:?}"
        );
        assert_eq!(fs::read(place.key("k")).unwrap(), whole[..length]);
    }
    fs::write(place.key("k"), [&whole[..], b"x"].concat()).unwrap();
    assert_eq!(
        sealed_problem(store.load("k")),
        SealedProblem::TrailingBytes { extra: 1 }
    );
    fs::write(place.key("k"), vec![0; 1_000_000]).unwrap();
    assert!(matches!(
        sealed_problem(store.load("k")),
        SealedProblem::TooLong { .. }
    ));
    assert_eq!(store.list().unwrap(), ["k"]);
}

#[test]
fn every_flipped_bit_is_refused() {
    let sealer = Sealer::new(&[1; 32]).unwrap();
    let sealed = sealer.seal("label", b"secret").unwrap();
    assert!(sealer.unseal("label", &sealed).unwrap().ct_eq(b"secret"));
    for bit in 0..sealed.len() * 8 {
        let mut flipped = sealed.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let problem = match sealer.unseal("label", &flipped).unwrap_err() {
            Error::Sealed { problem, .. } => problem,
            other => panic!("{other}"),
        };
        match bit / 8 {
            0..5 => assert_eq!(problem, SealedProblem::NotSealed),
            5 => assert!(matches!(problem, SealedProblem::Version(_))),
            6 => assert_eq!(problem, SealedProblem::Damaged),
            7..15 => assert!(matches!(problem, SealedProblem::WrongSealingKey { .. })),
            37.. => assert_eq!(problem, SealedProblem::Damaged),
            // Nonce, label length, label and length: damage of any name.
            _ => {}
        }
    }
}

#[test]
fn the_same_secret_seals_differently_each_time_and_only_up_to_its_limit() {
    let sealer = Sealer::new(&[1; 32]).unwrap();
    assert_ne!(
        sealer.seal("l", b"s").unwrap(),
        sealer.seal("l", b"s").unwrap()
    );
    let most = vec![7; vouchsafe_keystore::MAX_SECRET_BYTES];
    let sealed = sealer.seal(&"l".repeat(255), &most).unwrap();
    assert_eq!(sealed.len(), vouchsafe_keystore::MAX_SEALED_BYTES);
    assert!(
        sealer
            .unseal(&"l".repeat(255), &sealed)
            .unwrap()
            .ct_eq(&most)
    );
    assert!(sealer.seal("l", &[&most[..], b"x"].concat()).is_err());
    assert!(matches!(sealer.seal("", b"s"), Err(Error::Label { .. })));
    assert!(matches!(
        sealer.seal(&"l".repeat(256), b"s"),
        Err(Error::Label { .. })
    ));
}

#[test]
fn another_sealing_key_is_told_apart_from_damage() {
    let place = Place::new();
    place.open().create("k", Algorithm::EcdsaP256).unwrap();
    let kept = fs::read(place.sealing_key()).unwrap();
    fs::remove_file(place.sealing_key()).unwrap();
    Sealer::open(&place.sealing_key(), Permissions::OwnerOnly).unwrap();
    let problem = sealed_problem(place.open().load("k"));
    assert!(
        matches!(problem, SealedProblem::WrongSealingKey { .. }),
        "{problem:?}"
    );
    fs::write(place.sealing_key(), kept).unwrap();
    signs(&*place.open().load("k").unwrap());
}

#[test]
fn a_lost_sealing_key_is_not_replaced_while_sealed_files_wait_for_it() {
    let place = Place::new();
    place.open().create("k", Algorithm::EcdsaP256).unwrap();
    fs::remove_file(place.sealing_key()).unwrap();
    let opened = KeyStore::open(&place.address());
    assert_eq!(sealing_key_problem(opened), SealingKeyProblem::Missing);
    assert!(!place.sealing_key().exists());
}

#[test]
fn a_sealing_key_that_others_can_read_is_refused_unless_the_address_says_otherwise() {
    let place = Place::new();
    place.open().create("k", Algorithm::EcdsaP256).unwrap();
    for mode in [0o640, 0o604, 0o620, 0o644, 0o777] {
        fs::set_permissions(place.sealing_key(), fs::Permissions::from_mode(mode)).unwrap();
        let opened = KeyStore::open(&place.address());
        assert_eq!(
            sealing_key_problem(opened),
            SealingKeyProblem::Permissions { mode }
        );
        let any = KeyStore::open(&format!("{}&permissions=any", place.address())).unwrap();
        signs(&*any.load("k").unwrap());
    }
    fs::set_permissions(place.sealing_key(), fs::Permissions::from_mode(0o400)).unwrap();
    signs(&*place.open().load("k").unwrap());
}

#[test]
fn a_damaged_sealing_key_is_named_and_left_alone() {
    let place = Place::new();
    place.open().create("k", Algorithm::EcdsaP256).unwrap();
    let whole = fs::read(place.sealing_key()).unwrap();
    for contents in [
        &whole[..0],
        &whole[..whole.len() / 2],
        &whole[..whole.len() - 1],
        &[b'x'; 999],
    ] {
        fs::write(place.sealing_key(), contents).unwrap();
        let opened = KeyStore::open(&place.address());
        assert_eq!(sealing_key_problem(opened), SealingKeyProblem::Damaged);
        assert_eq!(fs::read(place.sealing_key()).unwrap(), contents);
    }
    let text = String::from_utf8(whole).unwrap().replace(" v1 ", " v2 ");
    fs::write(place.sealing_key(), text).unwrap();
    let opened = KeyStore::open(&place.address());
    assert_eq!(
        sealing_key_problem(opened),
        SealingKeyProblem::Version("v2".into())
    );
}

#[test]
fn what_a_crashed_writer_left_is_no_key_and_goes_away() {
    let place = Place::new();
    place.open().create("k", Algorithm::EcdsaP256).unwrap();
    let leftover = place.keys().join(".unfinished-0123456789abcdef");
    fs::write(&leftover, b"VSE").unwrap();
    let store = place.open();
    assert_eq!(store.list().unwrap(), ["k"]);
    assert!(!leftover.exists());
    signs(&*store.load("k").unwrap());
}

#[test]
fn of_many_that_create_one_label_exactly_one_wins() {
    let place = Place::new();
    let address = place.address();
    let keys: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                // Each opens the store itself, so the sealing key is created in a race too.
                scope.spawn(|| KeyStore::open(&address)?.create("k", Algorithm::EcdsaP256))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let (won, lost): (Vec<_>, Vec<_>) = keys.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    assert!(
        lost.iter()
            .all(|result| matches!(result, Err(Error::LabelExists { .. })))
    );
    let stored = place.open().load("k").unwrap();
    assert_eq!(stored.public_key(), won[0].as_ref().unwrap().public_key());
}

#[test]
fn of_many_that_create_a_sealing_key_all_end_up_with_the_same() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("sealing.key");
    let ids: Vec<_> = std::thread::scope(|scope| {
        let open = || {
            Sealer::open(&path, Permissions::OwnerOnly)
                .unwrap()
                .key_id()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]));
    // The sealing key and nothing else was left behind.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn other_secrets_seal_into_files_that_are_replaced_whole() {
    let folder = TempDir::new().unwrap();
    let sealer = Sealer::new(&[9; 32]).unwrap();
    let path = folder.path().join("token");
    sealer.write(&path, "api token", b"first").unwrap();
    sealer.write(&path, "api token", b"second").unwrap();
    assert!(sealer.read(&path, "api token").unwrap().ct_eq(b"second"));
    assert_eq!(mode(&path), 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_signer_that_does_not_block_signs_from_async_code() {
    let place = Place::new();
    let signer = place.open().create("k", Algorithm::EcdsaP256).unwrap();
    let signature = sign_off_thread(signer.clone(), b"message".to_vec())
        .await
        .unwrap();
    signer
        .public_key()
        .verify(signer.algorithm(), b"message", &signature)
        .unwrap();
}
