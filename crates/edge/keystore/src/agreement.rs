//! Keys that agree on a secret where they live, and sign nothing.
//!
//! A token that derives gives the x coordinate of the product and no more, so no more is asked for
//! anywhere. Before such a key is handed out it has agreed with one made for the occasion.

use std::fmt;

use aws_lc_rs::agreement::{self, ECDH_P256, ECDH_P384, PrivateKey, UnparsedPublicKey};
use vouchsafe_trust::Secret;

use crate::{Algorithm, Error, HardwareProblem};

/// A private key that agrees on secrets (ECDH); it is on P-256 or P-384.
pub trait KeyAgreement: Send + Sync + fmt::Debug {
    /// Which curve it is on: [`Algorithm::EcdsaP256`] or [`Algorithm::EcdsaP384`].
    fn algorithm(&self) -> Algorithm;

    /// The public half: an uncompressed point, 65 or 97 bytes (SEC 1 §2.3.3).
    fn public_point(&self) -> &[u8];

    /// The x coordinate of this key times `peer`, an uncompressed point of the same curve: 32 or 48
    /// bytes. May block.
    ///
    /// # Errors
    ///
    /// [`Error::Hardware`] when the place of the key refuses, also a point that is not on the curve.
    fn agree_x(&self, peer: &[u8]) -> Result<Secret, Error>;
}

/// The curve as aws-lc names it.
pub(crate) fn curve(algorithm: Algorithm) -> Option<&'static agreement::Algorithm> {
    match algorithm {
        Algorithm::EcdsaP256 => Some(&ECDH_P256),
        Algorithm::EcdsaP384 => Some(&ECDH_P384),
        Algorithm::Ed25519 => None,
    }
}

/// Sees that a key does what it should: both ways to one secret end there.
pub(crate) fn check(key: &dyn KeyAgreement, what: &str, label: &str) -> Result<(), Error> {
    let failed = || {
        let label = label.to_owned();
        Error::hardware(what.to_owned(), HardwareProblem::SelfTest { label })
    };
    let curve = curve(key.algorithm()).ok_or_else(failed)?;
    let other = PrivateKey::generate(curve).map_err(|_| Error::Random)?;
    let public = other.compute_public_key().map_err(|_| failed())?;
    let there = key.agree_x(public.as_ref())?;
    let here = agree(&other, curve, key.public_point()).ok_or_else(failed)?;
    match there.ct_eq(here.expose()) {
        true => Ok(()),
        false => Err(failed()),
    }
}

fn agree(own: &PrivateKey, curve: &'static agreement::Algorithm, peer: &[u8]) -> Option<Secret> {
    let peer = UnparsedPublicKey::new(curve, peer);
    agreement::agree(own, peer, (), |shared| Ok(Secret::new(shared.to_vec()))).ok()
}

/// A key in memory, out of a sealed file.
pub(crate) struct SoftwareAgreement {
    algorithm: Algorithm,
    curve: &'static agreement::Algorithm,
    private: PrivateKey,
    public: Vec<u8>,
}

impl SoftwareAgreement {
    /// Takes a private key on P-256 or P-384, as PKCS#8 DER.
    pub(crate) fn from_pkcs8_der(label: &str, der: &[u8]) -> Result<Self, Error> {
        let tried = [Algorithm::EcdsaP256, Algorithm::EcdsaP384];
        tried
            .into_iter()
            .find_map(|algorithm| {
                let curve = curve(algorithm)?;
                let private = PrivateKey::from_private_key_der(curve, der).ok()?;
                let public = private.compute_public_key().ok()?.as_ref().to_vec();
                Some(Self {
                    algorithm,
                    curve,
                    private,
                    public,
                })
            })
            .ok_or_else(|| Error::NotAPrivateKey {
                label: label.to_owned(),
            })
    }
}

impl KeyAgreement for SoftwareAgreement {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn public_point(&self) -> &[u8] {
        &self.public
    }

    fn agree_x(&self, peer: &[u8]) -> Result<Secret, Error> {
        agree(&self.private, self.curve, peer).ok_or_else(|| {
            let problem = HardwareProblem::Refused {
                doing: "agree",
                reason: "the peer's point is not one of the curve".to_owned(),
            };
            Error::hardware("memory".to_owned(), problem)
        })
    }
}

impl fmt::Debug for SoftwareAgreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftwareAgreement")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}
