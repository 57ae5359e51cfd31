//! Public keys and the algorithms that sign under them.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{self, ParsedPublicKey, UnparsedPublicKey, VerificationAlgorithm};

use crate::asn1::{self, Reader};
use crate::error::SignatureError;
use crate::oid::{self, Oid};

/// Smallest RSA modulus that is accepted, in bits (NIST SP 800-131A §3).
pub const MIN_RSA_BITS: usize = 2048;

/// Hash functions that sign or identify here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DigestAlgorithm {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl DigestAlgorithm {
    /// The object identifier (RFC 5754 §2).
    pub fn oid(self) -> Oid {
        match self {
            Self::Sha256 => oid::SHA256,
            Self::Sha384 => oid::SHA384,
            Self::Sha512 => oid::SHA512,
        }
    }

    /// The algorithm of an object identifier; SHA-1 is refused by name.
    pub fn from_oid(oid: &Oid) -> Result<Self, SignatureError> {
        match *oid {
            oid::SHA256 => Ok(Self::Sha256),
            oid::SHA384 => Ok(Self::Sha384),
            oid::SHA512 => Ok(Self::Sha512),
            oid::SHA1 => Err(SignatureError::Sha1),
            _ => Err(SignatureError::UnsupportedAlgorithm),
        }
    }

    /// The hash of `message`: 32, 48 or 64 octets.
    pub fn digest(self, message: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, message).as_ref().to_vec()
    }
}

/// A signature algorithm together with the key type it is used with. All are verified;
/// `EcdsaP256Sha256`, `EcdsaP384Sha384` and `Ed25519` also sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SignatureAlgorithm {
    /// ECDSA on P-256 with SHA-256: the default.
    EcdsaP256Sha256,
    /// ECDSA on P-256 with SHA-384.
    EcdsaP256Sha384,
    /// ECDSA on P-256 with SHA-512.
    EcdsaP256Sha512,
    /// ECDSA on P-384 with SHA-256.
    EcdsaP384Sha256,
    /// ECDSA on P-384 with SHA-384.
    EcdsaP384Sha384,
    /// ECDSA on P-384 with SHA-512.
    EcdsaP384Sha512,
    /// ECDSA on P-521 with SHA-256.
    EcdsaP521Sha256,
    /// ECDSA on P-521 with SHA-384.
    EcdsaP521Sha384,
    /// ECDSA on P-521 with SHA-512.
    EcdsaP521Sha512,
    /// Ed25519 (RFC 8410).
    Ed25519,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RsaPkcs1Sha256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RsaPkcs1Sha384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RsaPkcs1Sha512,
    /// RSASSA-PSS with SHA-256, MGF1 with SHA-256, salt of 32 octets.
    RsaPssSha256,
    /// RSASSA-PSS with SHA-384, MGF1 with SHA-384, salt of 48 octets.
    RsaPssSha384,
    /// RSASSA-PSS with SHA-512, MGF1 with SHA-512, salt of 64 octets.
    RsaPssSha512,
}

impl SignatureAlgorithm {
    /// The algorithm that an AlgorithmIdentifier (whole SEQUENCE, DER) means when `key` verifies:
    /// ECDSA identifiers name the hash only, the curve is the key's.
    pub fn from_algorithm_identifier(der: &[u8], key: &PublicKey) -> Result<Self, SignatureError> {
        let malformed = |_| SignatureError::UnsupportedAlgorithm;
        let mut fields = Reader::only(der, asn1::SEQUENCE).map_err(malformed)?;
        let algorithm = fields.oid().map_err(malformed)?;
        let digest = match algorithm {
            oid::ECDSA_SHA1 | oid::RSA_SHA1 => return Err(SignatureError::Sha1),
            oid::ECDSA_SHA256 | oid::RSA_SHA256 => DigestAlgorithm::Sha256,
            oid::ECDSA_SHA384 | oid::RSA_SHA384 => DigestAlgorithm::Sha384,
            oid::ECDSA_SHA512 | oid::RSA_SHA512 => DigestAlgorithm::Sha512,
            oid::ED25519 => {
                fields.finish().map_err(malformed)?;
                return Ok(Self::Ed25519);
            }
            oid::RSA_PSS => {
                let parameters = fields.element().map_err(malformed)?.raw;
                fields.finish().map_err(malformed)?;
                return pss_algorithm(parameters);
            }
            _ => return Err(SignatureError::UnsupportedAlgorithm),
        };
        // RFC 5758 §3.2: absent for ECDSA. RFC 4055 §5: NULL for RSA; absent is seen and harmless.
        if !fields.is_empty() && fields.expect(asn1::NULL).map_err(malformed)? != b"" {
            return Err(SignatureError::UnsupportedAlgorithm);
        }
        fields.finish().map_err(malformed)?;
        match algorithm {
            oid::RSA_SHA256 | oid::RSA_SHA384 | oid::RSA_SHA512 => Ok(match digest {
                DigestAlgorithm::Sha256 => Self::RsaPkcs1Sha256,
                DigestAlgorithm::Sha384 => Self::RsaPkcs1Sha384,
                DigestAlgorithm::Sha512 => Self::RsaPkcs1Sha512,
            }),
            _ => Self::ecdsa(key.key_type(), digest),
        }
    }

    /// The algorithm by which `key` verifies a signature over a hash made with `digest`: what CMS
    /// means by a bare key type plus digestAlgorithm (RFC 5652 §5.3). RSA means PKCS #1 v1.5.
    pub fn for_key(key: &PublicKey, digest: DigestAlgorithm) -> Result<Self, SignatureError> {
        match key.key_type() {
            KeyType::Ed25519 => Ok(Self::Ed25519),
            KeyType::Rsa { .. } => Ok(match digest {
                DigestAlgorithm::Sha256 => Self::RsaPkcs1Sha256,
                DigestAlgorithm::Sha384 => Self::RsaPkcs1Sha384,
                DigestAlgorithm::Sha512 => Self::RsaPkcs1Sha512,
            }),
            curve => Self::ecdsa(curve, digest),
        }
    }

    fn ecdsa(curve: KeyType, digest: DigestAlgorithm) -> Result<Self, SignatureError> {
        Ok(match (curve, digest) {
            (KeyType::P256, DigestAlgorithm::Sha256) => Self::EcdsaP256Sha256,
            (KeyType::P256, DigestAlgorithm::Sha384) => Self::EcdsaP256Sha384,
            (KeyType::P256, DigestAlgorithm::Sha512) => Self::EcdsaP256Sha512,
            (KeyType::P384, DigestAlgorithm::Sha256) => Self::EcdsaP384Sha256,
            (KeyType::P384, DigestAlgorithm::Sha384) => Self::EcdsaP384Sha384,
            (KeyType::P384, DigestAlgorithm::Sha512) => Self::EcdsaP384Sha512,
            (KeyType::P521, DigestAlgorithm::Sha256) => Self::EcdsaP521Sha256,
            (KeyType::P521, DigestAlgorithm::Sha384) => Self::EcdsaP521Sha384,
            (KeyType::P521, DigestAlgorithm::Sha512) => Self::EcdsaP521Sha512,
            (KeyType::Ed25519 | KeyType::Rsa { .. }, _) => {
                return Err(SignatureError::WrongKeyType);
            }
            (KeyType::Unsupported, _) => return Err(SignatureError::UnsupportedKey),
        })
    }

    /// The AlgorithmIdentifier, a whole SEQUENCE in DER.
    pub fn algorithm_identifier(self) -> Vec<u8> {
        asn1::encode(asn1::SEQUENCE, |out| {
            asn1::write_oid(out, self.oid());
            match self {
                Self::RsaPkcs1Sha256 | Self::RsaPkcs1Sha384 | Self::RsaPkcs1Sha512 => {
                    asn1::write_bytes(out, asn1::NULL, b"");
                }
                Self::RsaPssSha256 | Self::RsaPssSha384 | Self::RsaPssSha512 => {
                    write_pss_parameters(out, self);
                }
                _ => {}
            }
        })
    }

    /// The object identifier that stands for the algorithm in an AlgorithmIdentifier.
    pub fn oid(self) -> Oid {
        match self {
            Self::EcdsaP256Sha256 | Self::EcdsaP384Sha256 | Self::EcdsaP521Sha256 => {
                oid::ECDSA_SHA256
            }
            Self::EcdsaP256Sha384 | Self::EcdsaP384Sha384 | Self::EcdsaP521Sha384 => {
                oid::ECDSA_SHA384
            }
            Self::EcdsaP256Sha512 | Self::EcdsaP384Sha512 | Self::EcdsaP521Sha512 => {
                oid::ECDSA_SHA512
            }
            Self::Ed25519 => oid::ED25519,
            Self::RsaPkcs1Sha256 => oid::RSA_SHA256,
            Self::RsaPkcs1Sha384 => oid::RSA_SHA384,
            Self::RsaPkcs1Sha512 => oid::RSA_SHA512,
            Self::RsaPssSha256 | Self::RsaPssSha384 | Self::RsaPssSha512 => oid::RSA_PSS,
        }
    }

    /// The hash under the signature. Ed25519 hashes inside; what CMS digests beside it is SHA-512
    /// (RFC 8419 §3).
    pub fn digest(self) -> DigestAlgorithm {
        match self {
            Self::EcdsaP256Sha256
            | Self::EcdsaP384Sha256
            | Self::EcdsaP521Sha256
            | Self::RsaPkcs1Sha256
            | Self::RsaPssSha256 => DigestAlgorithm::Sha256,
            Self::EcdsaP256Sha384
            | Self::EcdsaP384Sha384
            | Self::EcdsaP521Sha384
            | Self::RsaPkcs1Sha384
            | Self::RsaPssSha384 => DigestAlgorithm::Sha384,
            Self::EcdsaP256Sha512
            | Self::EcdsaP384Sha512
            | Self::EcdsaP521Sha512
            | Self::Ed25519
            | Self::RsaPkcs1Sha512
            | Self::RsaPssSha512 => DigestAlgorithm::Sha512,
        }
    }

    /// The key type that the algorithm goes with, and how to verify.
    fn verifier(self, key: KeyType) -> Option<&'static dyn VerificationAlgorithm> {
        Some(match (self, key) {
            (Self::EcdsaP256Sha256, KeyType::P256) => &signature::ECDSA_P256_SHA256_ASN1,
            (Self::EcdsaP256Sha384, KeyType::P256) => &signature::ECDSA_P256_SHA384_ASN1,
            (Self::EcdsaP256Sha512, KeyType::P256) => &signature::ECDSA_P256_SHA512_ASN1,
            (Self::EcdsaP384Sha256, KeyType::P384) => &signature::ECDSA_P384_SHA256_ASN1,
            (Self::EcdsaP384Sha384, KeyType::P384) => &signature::ECDSA_P384_SHA384_ASN1,
            (Self::EcdsaP384Sha512, KeyType::P384) => &signature::ECDSA_P384_SHA512_ASN1,
            (Self::EcdsaP521Sha256, KeyType::P521) => &signature::ECDSA_P521_SHA256_ASN1,
            (Self::EcdsaP521Sha384, KeyType::P521) => &signature::ECDSA_P521_SHA384_ASN1,
            (Self::EcdsaP521Sha512, KeyType::P521) => &signature::ECDSA_P521_SHA512_ASN1,
            (Self::Ed25519, KeyType::Ed25519) => &signature::ED25519,
            (Self::RsaPkcs1Sha256, KeyType::Rsa { .. }) => &signature::RSA_PKCS1_2048_8192_SHA256,
            (Self::RsaPkcs1Sha384, KeyType::Rsa { .. }) => &signature::RSA_PKCS1_2048_8192_SHA384,
            (Self::RsaPkcs1Sha512, KeyType::Rsa { .. }) => &signature::RSA_PKCS1_2048_8192_SHA512,
            (Self::RsaPssSha256, KeyType::Rsa { .. }) => &signature::RSA_PSS_2048_8192_SHA256,
            (Self::RsaPssSha384, KeyType::Rsa { .. }) => &signature::RSA_PSS_2048_8192_SHA384,
            (Self::RsaPssSha512, KeyType::Rsa { .. }) => &signature::RSA_PSS_2048_8192_SHA512,
            _ => return None,
        })
    }
}

/// What kind of key a [`PublicKey`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// Elliptic curve P-256.
    P256,
    /// Elliptic curve P-384.
    P384,
    /// Elliptic curve P-521.
    P521,
    /// Ed25519.
    Ed25519,
    /// RSA.
    Rsa {
        /// Length of the modulus in bits.
        bits: usize,
    },
    /// Something else: it can be carried and compared, not used.
    Unsupported,
}

/// A public key: its subjectPublicKeyInfo, byte for byte. Equality is equality of those bytes.
#[derive(Clone)]
pub struct PublicKey(Arc<Inner>);

struct Inner {
    spki: Vec<u8>,
    /// Contents of the BIT STRING.
    bits: Vec<u8>,
    key_type: KeyType,
}

impl PublicKey {
    /// Reads a subjectPublicKeyInfo and refuses keys that cannot be used: unsupported types,
    /// RSA below 2048 bits, points off their curve.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, SignatureError> {
        let key = Self::parse(der)?;
        key.check()?;
        if let Some(algorithm) = key.default_algorithm()
            && let Some(verifier) = algorithm.verifier(key.key_type())
        {
            ParsedPublicKey::new(verifier, key.key_bits())
                .map_err(|_| SignatureError::MalformedKey)?;
        }
        Ok(key)
    }

    /// Reads a subjectPublicKeyInfo of any kind; [`Self::check`] and every verification refuse the
    /// unusable ones.
    pub(crate) fn parse(der: &[u8]) -> Result<Self, SignatureError> {
        let malformed = |_| SignatureError::MalformedKey;
        let mut fields = Reader::only(der, asn1::SEQUENCE).map_err(malformed)?;
        let mut algorithm = fields.sequence().map_err(malformed)?;
        let bits = fields.bit_string_octets().map_err(malformed)?;
        fields.finish().map_err(malformed)?;
        let oid = algorithm.oid().map_err(malformed)?;
        let key_type = match oid {
            oid::EC_PUBLIC_KEY => ec_key_type(algorithm, bits),
            // RFC 8410 §3: no parameters, 32 octets.
            oid::ED25519 if algorithm.is_empty() && bits.len() == 32 => KeyType::Ed25519,
            oid::ED25519 => return Err(SignatureError::MalformedKey),
            oid::RSA_ENCRYPTION => rsa_key_type(algorithm, bits)?,
            _ => KeyType::Unsupported,
        };
        Ok(Self(Arc::new(Inner {
            spki: der.to_vec(),
            bits: bits.to_vec(),
            key_type,
        })))
    }

    /// The subjectPublicKeyInfo in DER, as it was read.
    pub fn spki_der(&self) -> &[u8] {
        &self.0.spki
    }

    /// The contents of subjectPublicKey: an uncompressed point, 32 octets of Ed25519, or an
    /// RSAPublicKey.
    pub fn key_bits(&self) -> &[u8] {
        &self.0.bits
    }

    /// What kind of key it is.
    pub fn key_type(&self) -> KeyType {
        self.0.key_type
    }

    /// SHA-256 over the subjectPublicKeyInfo: the pin of RFC 7469 §2.4.
    pub fn sha256(&self) -> [u8; 32] {
        sha256(self.spki_der())
    }

    /// SHA-1 over the contents of the BIT STRING: the key identifier of RFC 5280 §4.2.1.2 (1).
    /// It names keys; it secures nothing.
    pub fn key_identifier_sha1(&self) -> [u8; 20] {
        sha1(self.key_bits())
    }

    /// Refuses keys that may not verify anything: unsupported types and RSA below 2048 bits.
    pub fn check(&self) -> Result<(), SignatureError> {
        match self.key_type() {
            KeyType::Unsupported => Err(SignatureError::UnsupportedKey),
            KeyType::Rsa { bits } if bits < MIN_RSA_BITS => Err(SignatureError::WeakKey),
            KeyType::Rsa { .. }
            | KeyType::P256
            | KeyType::P384
            | KeyType::P521
            | KeyType::Ed25519 => Ok(()),
        }
    }

    /// Whether `signature` is this key's over `message`. ECDSA signatures are DER
    /// (RFC 3279 §2.2.3), Ed25519 ones 64 raw octets.
    pub fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        self.check()?;
        let verifier = algorithm
            .verifier(self.key_type())
            .ok_or(SignatureError::WrongKeyType)?;
        UnparsedPublicKey::new(verifier, self.key_bits())
            .verify(message, signature)
            .map_err(|_| SignatureError::Invalid)
    }

    /// The algorithm that a signer with this key would use: the hash as wide as the curve.
    pub(crate) fn default_algorithm(&self) -> Option<SignatureAlgorithm> {
        match self.key_type() {
            KeyType::P256 => Some(SignatureAlgorithm::EcdsaP256Sha256),
            KeyType::P384 => Some(SignatureAlgorithm::EcdsaP384Sha384),
            KeyType::P521 => Some(SignatureAlgorithm::EcdsaP521Sha512),
            KeyType::Ed25519 => Some(SignatureAlgorithm::Ed25519),
            KeyType::Rsa { .. } => Some(SignatureAlgorithm::RsaPkcs1Sha256),
            KeyType::Unsupported => None,
        }
    }

    /// The subjectPublicKeyInfo around raw key bits of a type that we make keys of: of a key just
    /// made, since nobody looks here whether the point is on its curve.
    pub fn from_key_bits(
        algorithm: SignatureAlgorithm,
        bits: &[u8],
    ) -> Result<Self, SignatureError> {
        let spki = asn1::encode(asn1::SEQUENCE, |out| {
            asn1::write(out, asn1::SEQUENCE, |out| match algorithm {
                SignatureAlgorithm::Ed25519 => asn1::write_oid(out, oid::ED25519),
                SignatureAlgorithm::EcdsaP384Sha384 => {
                    asn1::write_oid(out, oid::EC_PUBLIC_KEY);
                    asn1::write_oid(out, oid::P384);
                }
                _ => {
                    asn1::write_oid(out, oid::EC_PUBLIC_KEY);
                    asn1::write_oid(out, oid::P256);
                }
            });
            asn1::write_bit_string(out, bits);
        });
        Self::parse(&spki)
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.spki == other.0.spki
    }
}

impl Eq for PublicKey {}

impl std::hash::Hash for PublicKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.spki.hash(state);
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PublicKey({:?}, ", self.key_type())?;
        for octet in self.sha256().iter().take(8) {
            write!(formatter, "{octet:02x}")?;
        }
        formatter.write_str(")")
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

pub(crate) fn sha1(bytes: &[u8]) -> [u8; 20] {
    let mut out = [0; 20];
    out.copy_from_slice(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref());
    out
}

/// RFC 5480 §2.1.1: the curve by name; points uncompressed. Anything else is unsupported.
fn ec_key_type(mut parameters: Reader<'_>, bits: &[u8]) -> KeyType {
    let Ok(curve) = parameters.oid() else {
        return KeyType::Unsupported;
    };
    let (key_type, length) = match curve {
        oid::P256 => (KeyType::P256, 65),
        oid::P384 => (KeyType::P384, 97),
        oid::P521 => (KeyType::P521, 133),
        _ => return KeyType::Unsupported,
    };
    if bits.len() == length && bits.first() == Some(&0x04) && parameters.is_empty() {
        key_type
    } else {
        KeyType::Unsupported
    }
}

fn rsa_key_type(mut parameters: Reader<'_>, bits: &[u8]) -> Result<KeyType, SignatureError> {
    let malformed = |_| SignatureError::MalformedKey;
    // RFC 3279 §2.3.1: the parameters are NULL. Were anything accepted there, one key would have
    // many encodings, and a key is compared, pinned and looked up by its encoding.
    if parameters.expect(asn1::NULL).map_err(malformed)? != [0_u8; 0] || !parameters.is_empty() {
        return Err(SignatureError::MalformedKey);
    }
    let mut fields = Reader::only(bits, asn1::SEQUENCE).map_err(malformed)?;
    let modulus = fields.expect(asn1::INTEGER).map_err(malformed)?;
    asn1::check_integer(modulus).map_err(malformed)?;
    let exponent = fields.expect(asn1::INTEGER).map_err(malformed)?;
    asn1::check_integer(exponent).map_err(malformed)?;
    fields.finish().map_err(malformed)?;
    let modulus = match modulus {
        [0, rest @ ..] => rest,
        all => all,
    };
    let unused = modulus.first().map_or(0, |first| first.leading_zeros());
    let bits = (modulus.len() * 8).saturating_sub(usize::try_from(unused).unwrap_or(0));
    Ok(KeyType::Rsa { bits })
}

/// RFC 4055 §3.1: the hash, MGF1 with the same hash, a salt as long as the hash; nothing else.
fn pss_algorithm(parameters: &[u8]) -> Result<SignatureAlgorithm, SignatureError> {
    [
        SignatureAlgorithm::RsaPssSha256,
        SignatureAlgorithm::RsaPssSha384,
        SignatureAlgorithm::RsaPssSha512,
    ]
    .into_iter()
    .find(|algorithm| {
        // The hash's NULL parameter may be absent (RFC 4055 §2.1).
        [true, false].into_iter().any(|with_null| {
            let mut expected = Vec::new();
            write_pss_parameters_with(&mut expected, *algorithm, with_null);
            expected == parameters
        })
    })
    .ok_or(SignatureError::UnsupportedAlgorithm)
}

fn write_pss_parameters(out: &mut Vec<u8>, algorithm: SignatureAlgorithm) {
    write_pss_parameters_with(out, algorithm, true);
}

fn write_pss_parameters_with(out: &mut Vec<u8>, algorithm: SignatureAlgorithm, with_null: bool) {
    let digest = algorithm.digest();
    let salt: u8 = match digest {
        DigestAlgorithm::Sha256 => 32,
        DigestAlgorithm::Sha384 => 48,
        DigestAlgorithm::Sha512 => 64,
    };
    let hash = |out: &mut Vec<u8>| {
        asn1::write(out, asn1::SEQUENCE, |out| {
            asn1::write_oid(out, digest.oid());
            if with_null {
                asn1::write_bytes(out, asn1::NULL, b"");
            }
        });
    };
    asn1::write(out, asn1::SEQUENCE, |out| {
        asn1::write(out, asn1::context_constructed(0), hash);
        asn1::write(out, asn1::context_constructed(1), |out| {
            asn1::write(out, asn1::SEQUENCE, |out| {
                asn1::write_oid(out, oid::MGF1);
                hash(out);
            });
        });
        asn1::write(out, asn1::context_constructed(2), |out| {
            asn1::write_unsigned(out, &[salt]);
        });
    });
}
