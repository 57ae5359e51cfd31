//! Curves, points and keys: what is refused, and what the parts have in common.

use aws_lc_rs::agreement::{self, ECDH_P256, ECDH_P384, ECDH_P521};
use vouchsafe_dpp::{
    Agreement, BootstrappingKey, BootstrappingPublicKey, Curve, Error, Point, PrivateKey,
};
use vouchsafe_trust::Secret;

use crate::world::{World, entropy, key, protocol_key, reason};

#[test]
fn a_point_off_its_curve_is_refused() {
    for curve in Curve::AVAILABLE {
        let mut raw = protocol_key(curve, 3).public().raw_xy().to_vec();
        *raw.last_mut().unwrap() ^= 1;
        assert_eq!(
            reason(Point::from_raw_xy(curve, &raw)),
            "point-off-curve",
            "{curve}"
        );
        let zeros = vec![0; raw.len()];
        assert_eq!(
            reason(Point::from_raw_xy(curve, &zeros)),
            "point-off-curve",
            "{curve}"
        );
        let beyond = vec![0xff; raw.len()];
        assert_eq!(
            reason(Point::from_raw_xy(curve, &beyond)),
            "point-off-curve",
            "{curve}"
        );
    }
}

#[test]
fn a_point_of_another_length_is_refused() {
    for curve in Curve::AVAILABLE {
        let raw = protocol_key(curve, 3).public().raw_xy().to_vec();
        for length in [0, 1, raw.len() - 1] {
            assert_eq!(
                reason(Point::from_raw_xy(curve, &raw[..length])),
                "point-length"
            );
        }
        let longer = [raw.as_slice(), &[0]].concat();
        assert_eq!(reason(Point::from_raw_xy(curve, &longer)), "point-length");
        // The identity is one octet in SEC 1, and no public key (SEC 1 §3.2.2.1).
        assert_eq!(reason(Point::from_sec1(curve, &[0])), "point-length");
    }
}

#[test]
fn the_curve_without_implementation_is_refused_by_name() {
    let curve = Curve::Bp512;
    assert!(!curve.is_available());
    assert_eq!(
        reason(Point::from_raw_xy(curve, &[1; 128])),
        "curve-unavailable"
    );
    assert_eq!(reason(Point::generator(curve)), "curve-unavailable");
    assert_eq!(
        reason(PrivateKey::from_seed(curve, &[1; 80])),
        "curve-unavailable"
    );
    assert_eq!(
        reason(PrivateKey::from_bytes(curve, &[1; 64])),
        "curve-unavailable"
    );
    // Its SubjectPublicKeyInfo is known for what it is.
    let head = "305a301406072a8648ce3d020106092b240303020801010d034200";
    let spki = [hex::decode(head).unwrap(), vec![2; 65]].concat();
    assert_eq!(
        reason(BootstrappingPublicKey::from_spki_der(&spki)),
        "curve-unavailable"
    );
}

#[test]
fn the_arithmetic_of_points_and_keys_agrees() {
    for curve in Curve::AVAILABLE {
        let one = protocol_key(curve, 3);
        let two = protocol_key(curve, 4);
        let sum = one.add_scalar(&two).unwrap();
        assert_eq!(
            *sum.public(),
            one.public().add(two.public()).unwrap(),
            "{curve}"
        );
        assert_eq!(
            one.public()
                .subtract(two.public())
                .unwrap()
                .add(two.public())
                .unwrap(),
            *one.public()
        );
        assert_eq!(
            reason(one.public().subtract(one.public())),
            "point-at-infinity"
        );
        let product = one.multiply(two.public()).unwrap();
        assert_eq!(product, two.multiply(one.public()).unwrap());
        assert_eq!(product.x(), one.agree_x(two.public()).unwrap().expose());
        let generator = Point::generator(curve).unwrap();
        assert_eq!(one.multiply(&generator).unwrap(), *one.public());
        let compressed = one.public().to_compressed();
        assert_eq!(Point::from_sec1(curve, &compressed).unwrap(), *one.public());
        let both = Point::both_with_x(curve, one.public().x()).unwrap();
        assert!(both.contains(one.public()) && both.contains(&one.public().negate().unwrap()));
    }
}

#[test]
fn keys_of_different_curves_do_not_mix() {
    let one = protocol_key(Curve::P256, 3);
    let two = protocol_key(Curve::Bp256, 3);
    assert_eq!(reason(one.agree_x(two.public())), "curve-mismatch");
    assert_eq!(reason(one.multiply(two.public())), "curve-mismatch");
    assert_eq!(reason(one.add_scalar(&two)), "curve-mismatch");
    assert_eq!(reason(one.public().add(two.public())), "curve-mismatch");
}

#[test]
fn private_keys_outside_their_range_are_refused() {
    for curve in Curve::AVAILABLE {
        let length = curve.coordinate_length();
        for bytes in [
            vec![0; length],
            vec![0xff; length],
            vec![1; length - 1],
            vec![1; length + 1],
        ] {
            assert_eq!(
                reason(PrivateKey::from_bytes(curve, &bytes)),
                "private-key-malformed",
                "{curve}"
            );
        }
        let short = vec![1; curve.seed_length() - 1];
        assert_eq!(
            reason(PrivateKey::from_seed(curve, &short)),
            "entropy-short"
        );
        assert_eq!(
            reason(PrivateKey::from_seed(curve, &vec![0; length + 8])),
            "entropy-short"
        );
        let stored = protocol_key(curve, 3).to_bytes();
        assert_eq!(
            PrivateKey::from_bytes(curve, stored.expose()).unwrap(),
            protocol_key(curve, 3)
        );
    }
}

#[test]
fn a_wide_seed_is_reduced_modulo_the_order() {
    // The order of P-256 plus 5 is 5.
    let order = "00000000000000000ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632556";
    let seed = hex::decode(&order[1..]).unwrap();
    let key = PrivateKey::from_seed(Curve::P256, &seed).unwrap();
    let mut five = [0; 32];
    five[31] = 5;
    assert_eq!(key.to_bytes().expose(), five);
}

#[test]
fn secrets_do_not_print() {
    let key = key(Curve::P256, 7);
    let digits = hex::encode(key.private().to_bytes().expose());
    let printed = format!("{key:?}");
    assert!(!printed.contains(&digits[..16]), "{printed}");
}

#[test]
fn an_uncompressed_public_key_names_the_same_key() {
    for curve in Curve::AVAILABLE {
        let key = key(curve, 7);
        let spki = key.public_key().spki_der();
        let again = BootstrappingPublicKey::from_spki_der(&spki).unwrap();
        assert_eq!(&again, key.public_key());
        let pkcs8 = key.private().to_pkcs8_der();
        let sec1 = key.private().to_sec1_der();
        for der in [pkcs8, sec1] {
            let uncompressed = key.public_key().point().to_uncompressed();
            assert_eq!(
                &der.expose()[der.len() - uncompressed.len()..],
                uncompressed
            );
        }
        for length in 0..spki.len() {
            let cut = BootstrappingPublicKey::from_spki_der(&spki[..length]);
            assert_eq!(
                reason(cut),
                "public-key-malformed",
                "{curve} cut at {length}"
            );
        }
    }
}

/// A key in a device that gives no more than the x coordinate.
struct Token(BootstrappingKey);

impl Agreement for Token {
    fn public_key(&self) -> &BootstrappingPublicKey {
        self.0.public_key()
    }

    fn agree_x(&self, peer: &Point) -> Result<Secret, Error> {
        self.0.agree_x(peer)
    }
}

#[test]
fn a_device_that_gives_only_x_reaches_the_same_sum() {
    for curve in Curve::AVAILABLE {
        for number in 3..7 {
            let software = key(curve, number);
            let protocol = protocol_key(curve, number + 10);
            let peer = protocol_key(curve, number + 20);
            let expected = software.agree_x_with_sum(&protocol, peer.public()).unwrap();
            let token = Token(software);
            let found = token.agree_x_with_sum(&protocol, peer.public()).unwrap();
            assert!(found.ct_eq(expected.expose()), "{curve} {number}");
        }
    }
}

/// The library's own key counts where its curve is that of the exchange, and is the same key as ever.
#[test]
fn a_protocol_key_made_beforehand_counts_on_its_own_curve() {
    for (curve, algorithm) in [
        (Curve::P256, &ECDH_P256),
        (Curve::P384, &ECDH_P384),
        (Curve::P521, &ECDH_P521),
    ] {
        let stored = protocol_key(curve, 5);
        let made = agreement::PrivateKey::from_private_key(algorithm, stored.to_bytes().expose());
        let made = PrivateKey::from_agreement_key(made.unwrap()).unwrap();
        assert_eq!(made, stored);
        assert_eq!(made.public(), stored.public());
        let peer = protocol_key(curve, 6);
        let agreed = made.agree_x(peer.public()).unwrap();
        assert!(agreed.ct_eq(peer.agree_x(made.public()).unwrap().expose()));
        for used in [Curve::P256, Curve::P384, Curve::P521] {
            let world = World::new(used, true);
            let accepted = world.accept(&world.request()).unwrap();
            let entropy = entropy(22).with_protocol_key(made.clone());
            let peer = world.initiator_key();
            let own = world.responder_key();
            let (response, _) = accepted
                .respond(&own, Some(peer.public_key()), &entropy)
                .unwrap();
            let contains = |key: &PrivateKey| {
                let raw = key.public().raw_xy();
                response.windows(raw.len()).any(|window| window == raw)
            };
            assert_eq!(contains(&made), used == curve);
            assert_eq!(contains(&world.responder_protocol_key()), used != curve);
        }
    }
    let other = agreement::PrivateKey::generate(&agreement::X25519).unwrap();
    assert_eq!(
        reason(PrivateKey::from_agreement_key(other)),
        "curve-unknown"
    );
}
