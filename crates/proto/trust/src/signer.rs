//! Who signs: the one door to private keys, wherever they live.

use std::fmt;

// arch: allow, because ECDSA draws its nonce inside the signer; nothing else here is random
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair,
};

use crate::asn1::{self, Reader};
use crate::error::{ParseError, SignError};
use crate::key::{PublicKey, SignatureAlgorithm};
use crate::oid;

/// A private key that signs: in memory, in a PKCS#11 token or in a TPM.
pub trait Signer: Send + Sync + fmt::Debug {
    /// The algorithm of every signature this signer makes.
    fn algorithm(&self) -> SignatureAlgorithm;

    /// The public half.
    fn public_key(&self) -> &PublicKey;

    /// Signs `message` (not its hash). The result has the form that X.509 uses: DER for ECDSA
    /// (RFC 3279 §2.2.3), 64 raw octets for Ed25519 (RFC 8410 §6).
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;

    /// Whether [`Self::sign`] waits for a device, so that it must not run on an event loop.
    fn may_block(&self) -> bool {
        false
    }
}

/// A private key in memory: P-256, P-384 or Ed25519.
pub struct SoftwareSigner {
    pair: Pair,
    public_key: PublicKey,
}

enum Pair {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl SoftwareSigner {
    /// Reads an unencrypted PKCS #8 private key (RFC 5958), DER.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, SignError> {
        let (pair, algorithm) = match key_kind(der).map_err(|_| SignError::MalformedKey)? {
            Some(kind @ SignatureAlgorithm::EcdsaP256Sha256) => (
                Pair::P256(ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING, der)?),
                kind,
            ),
            Some(kind @ SignatureAlgorithm::EcdsaP384Sha384) => (
                Pair::P384(ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING, der)?),
                kind,
            ),
            Some(kind @ SignatureAlgorithm::Ed25519) => {
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der)
                    .map_err(|_| SignError::MalformedKey)?;
                (Pair::Ed25519(pair), kind)
            }
            _ => return Err(SignError::UnsupportedKey),
        };
        let bits = match &pair {
            Pair::P256(pair) | Pair::P384(pair) => pair.public_key().as_ref(),
            Pair::Ed25519(pair) => pair.public_key().as_ref(),
        };
        let public_key =
            PublicKey::from_key_bits(algorithm, bits).map_err(|_| SignError::MalformedKey)?;
        Ok(Self { pair, public_key })
    }
}

impl Signer for SoftwareSigner {
    fn algorithm(&self) -> SignatureAlgorithm {
        match self.pair {
            Pair::P256(_) => SignatureAlgorithm::EcdsaP256Sha256,
            Pair::P384(_) => SignatureAlgorithm::EcdsaP384Sha384,
            Pair::Ed25519(_) => SignatureAlgorithm::Ed25519,
        }
    }

    fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature = match &self.pair {
            Pair::P256(pair) | Pair::P384(pair) => {
                // arch: allow, because a repeated nonce would give the key away
                pair.sign(&SystemRandom::new(), message)
                    .map_err(|_| SignError::Failed)?
            }
            Pair::Ed25519(pair) => pair.try_sign(message).map_err(|_| SignError::Failed)?,
        };
        Ok(signature.as_ref().to_vec())
    }
}

impl fmt::Debug for SoftwareSigner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SoftwareSigner")
            .field("public_key", &self.public_key)
            .finish_non_exhaustive()
    }
}

fn ecdsa(
    algorithm: &'static aws_lc_rs::signature::EcdsaSigningAlgorithm,
    der: &[u8],
) -> Result<EcdsaKeyPair, SignError> {
    EcdsaKeyPair::from_pkcs8(algorithm, der).map_err(|_| SignError::MalformedKey)
}

/// The algorithm named in a PrivateKeyInfo (RFC 5958 §2), when it is one that signs here.
fn key_kind(der: &[u8]) -> Result<Option<SignatureAlgorithm>, ParseError> {
    let mut fields = Reader::only(der, asn1::SEQUENCE)?;
    fields.small_integer()?;
    let mut algorithm = fields.sequence()?;
    Ok(match algorithm.oid()? {
        oid::ED25519 => Some(SignatureAlgorithm::Ed25519),
        oid::EC_PUBLIC_KEY => match algorithm.oid()? {
            oid::P256 => Some(SignatureAlgorithm::EcdsaP256Sha256),
            oid::P384 => Some(SignatureAlgorithm::EcdsaP384Sha384),
            _ => None,
        },
        _ => None,
    })
}
