//! Keys that agree on secrets, wherever they live.

use aws_lc_rs::agreement::{ECDH_P256, ECDH_P384, PrivateKey, UnparsedPublicKey, agree};
use vouchsafe_keystore::{Algorithm, Error, KeyAgreement, KeyStore};

use crate::file::Place;

pub(crate) const CURVES: [Algorithm; 2] = [Algorithm::EcdsaP256, Algorithm::EcdsaP384];

/// Both ways to the secret of this key and another end in one place.
pub(crate) fn agrees(key: &dyn KeyAgreement) {
    let curve = match key.algorithm() {
        Algorithm::EcdsaP256 => &ECDH_P256,
        _ => &ECDH_P384,
    };
    let other = PrivateKey::generate(curve).unwrap();
    let public = other.compute_public_key().unwrap();
    let there = key.agree_x(public.as_ref()).unwrap();
    let peer = UnparsedPublicKey::new(curve, key.public_point());
    let here = agree(&other, peer, (), |shared| Ok(shared.to_vec())).unwrap();
    assert!(there.ct_eq(&here));
}

/// What every place has in common.
pub(crate) fn is_a_place_for_agreements(open: &dyn Fn() -> KeyStore) {
    let store = open();
    for algorithm in CURVES {
        let label = format!("dpp-{}", algorithm.name());
        let made = store.create_agreement(&label, algorithm).unwrap();
        let loaded = open().load_agreement(&label).unwrap();
        assert_eq!(made.public_point(), loaded.public_point());
        assert_eq!(loaded.algorithm(), algorithm);
        // Often enough that a secret with a leading zero would be among them now and then.
        (0..20).for_each(|_| agrees(&*loaded));
        assert!(matches!(
            store.create_agreement(&label, algorithm),
            Err(Error::LabelExists { .. })
        ));
        // A point that is not on the curve gives nothing away (SEC 1 §3.2.2.1).
        let mut off = loaded.public_point().to_vec();
        *off.last_mut().unwrap() ^= 1;
        assert!(loaded.agree_x(&off).is_err());
        assert!(loaded.agree_x(&[]).is_err());
        assert!(store.list().unwrap().contains(&label));
        store.delete(&label).unwrap();
        assert!(matches!(
            store.load_agreement(&label),
            Err(Error::NotFound { .. })
        ));
    }
    assert!(matches!(
        store.create_agreement("k", Algorithm::Ed25519),
        Err(Error::AlgorithmUnsupported { .. })
    ));
}

/// In hardware a key has one purpose.
pub(crate) fn keeps_purposes_apart(store: &KeyStore) {
    store.create("signs", Algorithm::EcdsaP256).unwrap();
    assert!(store.load_agreement("signs").is_err());
    store
        .create_agreement("agrees", Algorithm::EcdsaP256)
        .unwrap();
    assert!(store.load("agrees").is_err());
}

#[test]
fn keys_in_sealed_files_agree() {
    let place = Place::new();
    is_a_place_for_agreements(&|| place.open());
}
