//! The six curves of the protocol, points on them, and private keys.
//!
//! P-256, P-384, P-521 and their Brainpool siblings, each with the hash, key and nonce lengths that the
//! whole exchange takes from it (Wi-Fi Easy Connect 3.0 §3.2.2, table 4). BP-512 has a name here and
//! nothing else: no sound implementation exists, and every use is refused by that name.

mod bootstrapping;
mod point;
mod private_key;

use aws_lc_rs::{agreement, digest, hmac};

pub(crate) use bootstrapping::sha256;
pub use bootstrapping::{Agreement, BootstrappingKey, BootstrappingPublicKey};
pub use point::Point;
pub use private_key::PrivateKey;

/// Runs `$body` with `$name` as the arithmetic of `$curve`.
macro_rules! on_curve {
    ($curve:expr, $name:ident => $body:expr) => {
        match $curve {
            $crate::Curve::P256 => {
                type $name = p256::NistP256;
                $body
            }
            $crate::Curve::P384 => {
                type $name = p384::NistP384;
                $body
            }
            $crate::Curve::P521 => {
                type $name = p521::NistP521;
                $body
            }
            $crate::Curve::Bp256 => {
                type $name = bp256::BrainpoolP256r1;
                $body
            }
            $crate::Curve::Bp384 => {
                type $name = bp384::BrainpoolP384r1;
                $body
            }
            $crate::Curve::Bp512 => Err($crate::Error::from($crate::Unsupported::Curve)),
        }
    };
}
use on_curve;

/// Longest coordinate, in octets: that of P-521.
pub const MAX_COORDINATE_LENGTH: usize = 66;
/// Longest hash and key, in octets: that of P-521 and BP-512.
pub const MAX_HASH_LENGTH: usize = 64;
/// Longest nonce, in octets.
pub const MAX_NONCE_LENGTH: usize = 32;

/// A curve, and with it every length of the exchange (Wi-Fi Easy Connect 3.0 §3.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Curve {
    /// NIST P-256: the one that every device must have.
    P256,
    /// NIST P-384.
    P384,
    /// NIST P-521.
    P521,
    /// brainpoolP256r1.
    Bp256,
    /// brainpoolP384r1.
    Bp384,
    /// brainpoolP512r1: named only, every use is [`crate::Unsupported::Curve`].
    Bp512,
}

impl Curve {
    /// All of them, also the one that is not available.
    pub const ALL: [Self; 6] = [
        Self::P256,
        Self::P384,
        Self::P521,
        Self::Bp256,
        Self::Bp384,
        Self::Bp512,
    ];

    /// Those that can be used here.
    pub const AVAILABLE: [Self; 5] = [Self::P256, Self::P384, Self::P521, Self::Bp256, Self::Bp384];

    /// Whether keys of this curve can be used here.
    #[must_use]
    pub fn is_available(self) -> bool {
        self != Self::Bp512
    }

    /// Octets of the hash, of every key and of an authentication tag: 32, 48 or 64.
    #[must_use]
    pub fn hash_length(self) -> usize {
        match self {
            Self::P256 | Self::Bp256 => 32,
            Self::P384 | Self::Bp384 => 48,
            Self::P521 | Self::Bp512 => 64,
        }
    }

    /// Octets of an AES-SIV key: that of the hash.
    #[must_use]
    pub fn key_length(self) -> usize {
        self.hash_length()
    }

    /// Octets of a nonce: half of the hash.
    #[must_use]
    pub fn nonce_length(self) -> usize {
        self.hash_length() / 2
    }

    /// Octets of a coordinate and of a private key: 32, 48, 64 or 66.
    #[must_use]
    pub fn coordinate_length(self) -> usize {
        match self {
            Self::P256 | Self::Bp256 => 32,
            Self::P384 | Self::Bp384 => 48,
            Self::P521 => 66,
            Self::Bp512 => 64,
        }
    }

    /// Random octets that [`PrivateKey::from_seed`] needs at least: 64 bits more than the curve, so
    /// that the remainder is even to 2⁻⁶⁴ (FIPS 186-5 §A.2.1).
    #[must_use]
    pub fn seed_length(self) -> usize {
        self.coordinate_length() + 8
    }

    /// The name in a JSON Web Key's `crv` (RFC 7518 §6.2.1.1; Wi-Fi Easy Connect 3.0 §4.2).
    #[must_use]
    pub fn jwk_name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
            Self::Bp256 => "BP-256",
            Self::Bp384 => "BP-384",
            Self::Bp512 => "BP-512",
        }
    }

    /// The curve that a JSON Web Key's `crv` names.
    #[must_use]
    pub fn from_jwk_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|curve| curve.jwk_name() == name)
    }

    /// The name of a signature under a key of this curve in a JWS header's `alg` (RFC 7518 §3.1;
    /// Wi-Fi Easy Connect 3.0 §4.2).
    #[must_use]
    pub fn jws_name(self) -> &'static str {
        match self {
            Self::P256 => "ES256",
            Self::P384 => "ES384",
            Self::P521 => "ES512",
            Self::Bp256 => "BS256",
            Self::Bp384 => "BS384",
            Self::Bp512 => "BS512",
        }
    }

    /// The curve whose signatures a JWS header's `alg` names.
    #[must_use]
    pub fn from_jws_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|curve| curve.jws_name() == name)
    }

    /// The group's number in the IANA registry of IKE, which the Finite Cyclic Group attribute carries
    /// (Wi-Fi Easy Connect 3.0 §8.1.1.12).
    #[must_use]
    pub fn ike_group(self) -> u16 {
        match self {
            Self::P256 => 19,
            Self::P384 => 20,
            Self::P521 => 21,
            Self::Bp256 => 28,
            Self::Bp384 => 29,
            Self::Bp512 => 30,
        }
    }

    /// The curve of an IKE group number.
    #[must_use]
    pub fn from_ike_group(group: u16) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|curve| curve.ike_group() == group)
    }

    /// The hash of `parts`, one after the other: [`Self::hash_length`] octets.
    #[must_use]
    pub fn hash(self, parts: &[&[u8]]) -> Vec<u8> {
        let algorithm = match self.hash_length() {
            32 => &digest::SHA256,
            48 => &digest::SHA384,
            _ => &digest::SHA512,
        };
        let mut context = digest::Context::new(algorithm);
        for part in parts {
            context.update(part);
        }
        context.finish().as_ref().to_vec()
    }

    /// HMAC with the curve's hash.
    pub(crate) fn hmac_algorithm(self) -> hmac::Algorithm {
        match self.hash_length() {
            32 => hmac::HMAC_SHA256,
            48 => hmac::HMAC_SHA384,
            _ => hmac::HMAC_SHA512,
        }
    }

    /// The fast x-only agreement, for the curves that have one.
    pub(crate) fn fast_agreement(self) -> Option<&'static agreement::Algorithm> {
        match self {
            Self::P256 => Some(&agreement::ECDH_P256),
            Self::P384 => Some(&agreement::ECDH_P384),
            Self::P521 => Some(&agreement::ECDH_P521),
            Self::Bp256 | Self::Bp384 | Self::Bp512 => None,
        }
    }

    /// The curve of a key for the fast agreement.
    pub(crate) fn of_agreement(algorithm: &'static agreement::Algorithm) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|curve| curve.fast_agreement() == Some(algorithm))
    }

    /// The object identifier of the named curve, tag and length included (RFC 5480 §2.1.1.1,
    /// RFC 5639 §4.1).
    pub(crate) fn object_identifier(self) -> &'static [u8] {
        match self {
            Self::P256 => &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7],
            Self::P384 => &[6, 5, 0x2b, 0x81, 4, 0, 0x22],
            Self::P521 => &[6, 5, 0x2b, 0x81, 4, 0, 0x23],
            Self::Bp256 => &[6, 9, 0x2b, 0x24, 3, 3, 2, 8, 1, 1, 7],
            Self::Bp384 => &[6, 9, 0x2b, 0x24, 3, 3, 2, 8, 1, 1, 11],
            Self::Bp512 => &[6, 9, 0x2b, 0x24, 3, 3, 2, 8, 1, 1, 13],
        }
    }
}

impl std::fmt::Display for Curve {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.jwk_name())
    }
}
