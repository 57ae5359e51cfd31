//! ECDSA as connectors carry it: r and s at full length, one behind the other (RFC 7518 §3.4).
//!
//! The NIST curves are verified by the fast library, the Brainpool curves, which it does not have,
//! by the curve crates. Signing with a key in memory is deterministic (RFC 6979), so that it needs
//! no randomness.

use aws_lc_rs::signature::{self as fast, UnparsedPublicKey};
use ecdsa::signature::{Signer as _, Verifier as _};
use vouchsafe_trust::{KeyType, PublicKey, SignatureAlgorithm, Signer};

use crate::curve::{Curve, Point, PrivateKey};
use crate::error::{Error, Misuse, Unsupported};

/// The point of a public key in X.509 form.
pub(crate) fn point_of(key: &PublicKey) -> Result<Point, Error> {
    let curve = match key.key_type() {
        KeyType::P256 => Curve::P256,
        KeyType::P384 => Curve::P384,
        KeyType::P521 => Curve::P521,
        KeyType::Ed25519 | KeyType::Rsa { .. } | KeyType::Unsupported => {
            return Err(Misuse::SignerKey.into());
        }
    };
    Point::from_sec1(curve, key.key_bits())
}

/// Signs with a key that may live anywhere. Its algorithm must be the one that its curve has in
/// this protocol.
pub(crate) fn sign_with(signer: &dyn Signer, message: &[u8]) -> Result<Vec<u8>, Error> {
    let sign = || signer.sign(message).map_err(|_| Misuse::KeyDevice);
    match signer.algorithm() {
        SignatureAlgorithm::EcdsaP256Sha256 => {
            let signature =
                p256::ecdsa::Signature::from_der(&sign()?).map_err(|_| Misuse::KeyDevice)?;
            Ok(signature.to_bytes().to_vec())
        }
        SignatureAlgorithm::EcdsaP384Sha384 => {
            let signature =
                p384::ecdsa::Signature::from_der(&sign()?).map_err(|_| Misuse::KeyDevice)?;
            Ok(signature.to_bytes().to_vec())
        }
        _ => Err(Misuse::SignerKey.into()),
    }
}

macro_rules! sign_on {
    ($curve:ty, $key:expr, $message:expr) => {{
        let secret = $key.to_bytes();
        let key = ecdsa::SigningKey::<$curve>::from_slice(secret.expose())
            .map_err(|_| Misuse::SignerKey)?;
        let signature: ecdsa::Signature<$curve> = key.sign($message);
        Ok(signature.to_bytes().to_vec())
    }};
}

/// Signs with a key in memory.
pub(crate) fn sign(key: &PrivateKey, message: &[u8]) -> Result<Vec<u8>, Error> {
    match key.curve() {
        Curve::P256 => sign_on!(p256::NistP256, key, message),
        Curve::P384 => sign_on!(p384::NistP384, key, message),
        Curve::P521 => sign_on!(p521::NistP521, key, message),
        Curve::Bp256 => sign_on!(bp256::BrainpoolP256r1, key, message),
        Curve::Bp384 => sign_on!(bp384::BrainpoolP384r1, key, message),
        Curve::Bp512 => Err(Unsupported::Curve.into()),
    }
}

macro_rules! verify_on {
    ($curve:ty, $point:expr, $message:expr, $signature:expr) => {{
        let key = ecdsa::VerifyingKey::<$curve>::from_sec1_bytes($point.to_uncompressed());
        let signature = ecdsa::Signature::<$curve>::from_slice($signature);
        matches!((key, signature), (Ok(key), Ok(signature)) if key.verify($message, &signature).is_ok())
    }};
}

/// Whether `signature` is that of the key at `point` over `message`.
pub(crate) fn verifies(point: &Point, message: &[u8], signature: &[u8]) -> bool {
    let algorithm = match point.curve() {
        Curve::P256 => &fast::ECDSA_P256_SHA256_FIXED,
        Curve::P384 => &fast::ECDSA_P384_SHA384_FIXED,
        Curve::P521 => &fast::ECDSA_P521_SHA512_FIXED,
        Curve::Bp256 => return verify_on!(bp256::BrainpoolP256r1, point, message, signature),
        Curve::Bp384 => return verify_on!(bp384::BrainpoolP384r1, point, message, signature),
        Curve::Bp512 => return false,
    };
    UnparsedPublicKey::new(algorithm, point.to_uncompressed())
        .verify(message, signature)
        .is_ok()
}
