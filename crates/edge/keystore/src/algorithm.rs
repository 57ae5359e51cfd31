//! The algorithms we make keys for.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
};
use vouchsafe_trust::{Secret, SignatureAlgorithm};

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
