//! The algorithms we make keys for.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::encoding::AsBigEndian;
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
};
use vouchsafe_trust::{PublicKey, Secret, SignatureAlgorithm};

use crate::Error;

/// An algorithm that a new key can be made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256: the default, which every device in the field verifies.
    #[default]
    EcdsaP256,
    /// ECDSA on P-384 with SHA-384.
    EcdsaP384,
    /// Ed25519 (RFC 8032).
    Ed25519,
}

impl Algorithm {
    /// The name used in configuration and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "ecdsa-p256",
            Self::EcdsaP384 => "ecdsa-p384",
            Self::Ed25519 => "ed25519",
        }
    }

    /// The signature algorithm that a key of this kind signs with.
    pub fn signature_algorithm(self) -> SignatureAlgorithm {
        match self {
            Self::EcdsaP256 => SignatureAlgorithm::EcdsaP256Sha256,
            Self::EcdsaP384 => SignatureAlgorithm::EcdsaP384Sha384,
            Self::Ed25519 => SignatureAlgorithm::Ed25519,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, UnknownAlgorithm> {
        [Self::EcdsaP256, Self::EcdsaP384, Self::Ed25519]
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or(UnknownAlgorithm)
    }
}

/// The name is none of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown key algorithm: use ecdsa-p256, ecdsa-p384 or ed25519")]
pub struct UnknownAlgorithm;

/// Makes a new private key and returns it as PKCS#8 DER (RFC 5958). The key exists nowhere else.
///
/// # Errors
///
/// [`Error::Random`] when the system gives no randomness.
pub fn generate_pkcs8(algorithm: Algorithm) -> Result<Secret, Error> {
    let random = SystemRandom::new();
    let document = match algorithm {
        Algorithm::EcdsaP256 => {
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random)
        }
        Algorithm::EcdsaP384 => {
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, &random)
        }
        Algorithm::Ed25519 => Ed25519KeyPair::generate_pkcs8(&random),
    }
    .map_err(|_| Error::Random)?;
    // The document zeroizes itself when it is dropped.
    Ok(Secret::new(document.as_ref().to_vec()))
}

/// Makes a new private key and returns it as PKCS#8 DER together with its public half, which saves
/// reading the key back. The key exists nowhere else.
///
/// # Errors
///
/// [`Error::Random`] when the system gives no randomness.
pub fn generate_key(algorithm: Algorithm) -> Result<(Secret, PublicKey), Error> {
    let made = match algorithm {
        Algorithm::EcdsaP256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING, &P256),
        Algorithm::EcdsaP384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING, &P384),
        Algorithm::Ed25519 => Ed25519KeyPair::generate().and_then(|pair| {
            // The document zeroizes itself when it is dropped.
            let document = pair.to_pkcs8v1()?;
            let secret = Secret::new(document.as_ref().to_vec());
            Ok((secret, pair.public_key().as_ref().to_vec()))
        }),
    };
    let (secret, bits) = made.map_err(|_| Error::Random)?;
    let public_key = PublicKey::from_key_bits(algorithm.signature_algorithm(), &bits)
        .map_err(|_| Error::Random)?;
    Ok((secret, public_key))
}

/// What stands in the PKCS#8 form of a key of one curve (RFC 5958 §2, RFC 5915 §3) before the private
/// number, and between that and the point. The library would compute the point a second time to
/// write the same bytes.
struct Pkcs8 {
    before: &'static [u8],
    between: &'static [u8],
}

const P256: Pkcs8 = Pkcs8 {
    before: &[
        0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d,
        0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x6d, 0x30,
        0x6b, 0x02, 0x01, 0x01, 0x04, 0x20,
    ],
    between: &[0xa1, 0x44, 0x03, 0x42, 0x00],
};
const P384: Pkcs8 = Pkcs8 {
    before: &[
        0x30, 0x81, 0xb6, 0x02, 0x01, 0x00, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d,
        0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22, 0x04, 0x81, 0x9e, 0x30, 0x81, 0x9b,
        0x02, 0x01, 0x01, 0x04, 0x30,
    ],
    between: &[0xa1, 0x64, 0x03, 0x62, 0x00],
};

fn ecdsa(
    algorithm: &'static EcdsaSigningAlgorithm,
    form: &Pkcs8,
) -> Result<(Secret, Vec<u8>), Unspecified> {
    let pair = EcdsaKeyPair::generate(algorithm)?;
    let point = pair.public_key().as_ref().to_vec();
    Ok((written(&pair, form)?, point))
}

fn written(pair: &EcdsaKeyPair, form: &Pkcs8) -> Result<Secret, Unspecified> {
    // It zeroizes itself when it is dropped.
    let number = pair.private_key().as_be_bytes()?;
    let point = pair.public_key().as_ref();
    let parts = [form.before, number.as_ref(), form.between, point];
    Ok(Secret::new(parts.concat()))
}

#[cfg(test)]
mod tests {
    use vouchsafe_trust::{Signer, SoftwareSigner};

    use super::*;

    #[test]
    fn a_key_is_written_as_the_library_writes_it() {
        for (algorithm, form) in [
            (&ECDSA_P256_SHA256_ASN1_SIGNING, &P256),
            (&ECDSA_P384_SHA384_ASN1_SIGNING, &P384),
        ] {
            // Numbers that begin with zeros keep their length.
            for _ in 0..600 {
                let pair = EcdsaKeyPair::generate(algorithm).unwrap();
                let document = pair.to_pkcs8v1().unwrap();
                assert_eq!(written(&pair, form).unwrap().expose(), document.as_ref());
            }
        }
    }

    #[test]
    fn a_key_comes_with_its_own_public_half() {
        for algorithm in [
            Algorithm::EcdsaP256,
            Algorithm::EcdsaP384,
            Algorithm::Ed25519,
        ] {
            let (key, public_key) = generate_key(algorithm).unwrap();
            let signer = SoftwareSigner::from_pkcs8_der(key.expose()).unwrap();
            assert_eq!(signer.public_key(), &public_key);
            assert_eq!(signer.algorithm(), algorithm.signature_algorithm());
        }
    }
}
