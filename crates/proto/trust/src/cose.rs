//! `COSE_Sign1` (RFC 9052 §4.2, tag 18) with the signer's certificates in `x5bag` or `x5chain`
//! (RFC 9360): constrained vouchers and voucher requests.
//!
//! 1. [`parse`] reads the four fields, refuses an algorithm outside the protected header and every
//!    critical header it does not know, and collects the certificates of both headers.
//! 2. [`Unverified::verify`] or [`Unverified::verify_by`]: the signature over the protected header
//!    and the payload as they were received, then the signer's path.
//!
//! A pledge's request and a voucher as the pledge gets it carry no certificates: the reader knows
//! the signer. [`strip_unprotected_certificates`] makes the latter from what the MASA sends.

use ciborium::Value;

use crate::certificate::Certificate;
use crate::envelope::{
    EnvelopeError, Forbidden, MAX_ENVELOPE_CERTIFICATES, MAX_ENVELOPE_LEN, Malformed, Misuse,
    NotTrusted, Signed, Unsupported, leaf,
};
use crate::error::SignatureError;
use crate::key::{PublicKey, SignatureAlgorithm};
use crate::path::{Anchors, Path, PathRules, verify_path};
use crate::raw_signature::{from_raw, to_raw};
use crate::signer::Signer;
use crate::verified::Verified;

const TAG_SIGN1: u64 = 18;
const LABEL_ALG: i64 = 1;
const LABEL_CRIT: i64 = 2;
const LABEL_CONTENT_TYPE: i64 = 3;
const LABEL_X5BAG: i64 = 32;
const LABEL_X5CHAIN: i64 = 33;

/// The header that carries certificates (RFC 9360 §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateHeader {
    /// `x5bag`, in no order.
    Bag,
    /// `x5chain`, the signer first.
    Chain,
}

/// Whether the certificates are under the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Under the signature.
    Protected,
    /// Beside it, so that they can be stripped on the way.
    Unprotected,
}

/// How to sign.
#[derive(Clone, Copy, Debug)]
pub struct SignOptions<'a> {
    /// The signer's certificate and what else to carry, in this order; may be empty.
    pub certificates: &'a [Certificate],
    /// The header that carries them.
    pub header: CertificateHeader,
    /// Where that header stands.
    pub placement: Placement,
}

/// A parsed message: what it says, with nothing proved yet.
#[derive(Clone, Debug)]
pub struct Unverified {
    content: Vec<u8>,
    certificates: Vec<Certificate>,
    /// Whether an `x5chain` said who signed, rather than a bag.
    chain: bool,
    algorithm: SignatureAlgorithm,
    /// The encoded `Sig_structure` (RFC 9052 §4.4).
    signing_input: Vec<u8>,
    signature: Vec<u8>,
}

/// Signs `content` as the payload.
///
/// # Errors
///
/// [`Misuse`] when the first certificate is not of the signing key, or the key cannot sign here;
/// [`EnvelopeError::Sign`] when the key could not be used.
pub fn sign(
    content: &[u8],
    options: &SignOptions<'_>,
    signer: &dyn Signer,
) -> Result<Vec<u8>, EnvelopeError> {
    let of_another_key =
        |certificate: &Certificate| certificate.public_key() != signer.public_key();
    if options.certificates.first().is_some_and(of_another_key) {
        return Err(Misuse::CertificateOfAnotherKey.into());
    }
    let algorithm = signer.algorithm();
    let alg: i64 = match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256 => -7,
        SignatureAlgorithm::EcdsaP384Sha384 => -35,
        SignatureAlgorithm::Ed25519 => -8,
        _ => return Err(Misuse::Algorithm.into()),
    };
    let mut protected = vec![(Value::from(LABEL_ALG), Value::from(alg))];
    let mut unprotected = Vec::new();
    if let Some(certificates) = certificates_value(options.certificates) {
        let label = match options.header {
            CertificateHeader::Bag => LABEL_X5BAG,
            CertificateHeader::Chain => LABEL_X5CHAIN,
        };
        match options.placement {
            Placement::Protected => &mut protected,
            Placement::Unprotected => &mut unprotected,
        }
        .push((Value::from(label), certificates));
    }
    let protected = encode(&Value::Map(protected))?;
    let signature = signer.sign(&sig_structure(&protected, content)?)?;
    encode_sign1(vec![
        Value::Bytes(protected),
        Value::Map(unprotected),
        Value::Bytes(content.to_vec()),
        Value::Bytes(to_raw(algorithm, signature)?),
    ])
}

/// Reads a message of at most [`MAX_ENVELOPE_LEN`] bytes.
///
/// # Errors
///
/// What no signer could make acceptable: see [`EnvelopeError::Malformed`],
/// [`EnvelopeError::Unsupported`] and [`EnvelopeError::Forbidden`].
pub fn parse(message: &[u8]) -> Result<Unverified, EnvelopeError> {
    let [protected, unprotected, payload, signature] = read_sign1(message)?;
    let (Value::Bytes(protected), Value::Map(unprotected)) = (protected, unprotected) else {
        return Err(Malformed::Cbor.into());
    };
    let content = match payload {
        Value::Bytes(content) => content,
        Value::Null => return Err(Unsupported::Detached.into()),
        _ => return Err(Malformed::Cbor.into()),
    };
    let Value::Bytes(signature) = signature else {
        return Err(Malformed::Cbor.into());
    };
    if signature.is_empty() {
        return Err(Forbidden::Unsigned.into());
    }
    // RFC 9052 §3: an empty header is written as no bytes at all.
    let protected_map = match decode_header(&protected)? {
        Some(Value::Map(map)) => map,
        None => Vec::new(),
        Some(_) => return Err(Malformed::Cbor.into()),
    };
    let headers = Headers::read(&protected_map, &unprotected)?;
    Ok(Unverified {
        certificates: headers.certificates,
        chain: headers.chain,
        algorithm: headers.algorithm,
        signing_input: sig_structure(&protected, &content)?,
        content,
        signature,
    })
}

/// The same message without the certificates beside the signature: what a registrar passes on to
/// a constrained pledge (cBRSKI §6.8). The signature stays good, nothing is verified.
///
/// # Errors
///
/// [`EnvelopeError::TooLarge`] or [`EnvelopeError::Malformed`] when it is not a `COSE_Sign1`.
pub fn strip_unprotected_certificates(message: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    let [protected, unprotected, payload, signature] = read_sign1(message)?;
    let Value::Map(mut unprotected) = unprotected else {
        return Err(Malformed::Cbor.into());
    };
    unprotected.retain(|(label, _)| {
        *label != Value::from(LABEL_X5BAG) && *label != Value::from(LABEL_X5CHAIN)
    });
    encode_sign1(vec![protected, Value::Map(unprotected), payload, signature])
}

impl Unverified {
    /// The payload, which may be anybody's.
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// The certificates that the message carries, protected ones first.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// The certificate of the one who claims to have signed: the first of `x5chain`, or the only
    /// one. A bag of several has no order, so there it is the first whose key made the signature.
    pub fn claimed_signer(&self) -> Option<&Certificate> {
        match self.certificates.as_slice() {
            [] => None,
            [first, ..] if self.chain => Some(first),
            [only] => Some(only),
            bag => self.first_that_signed(bag).ok(),
        }
    }

    /// Accepts the message if its signer leads to one of `anchors` under `rules`. When the message
    /// carries no certificates the signer must itself be one of the anchors.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError::Forbidden`], [`EnvelopeError::NotTrusted`] or [`EnvelopeError::Path`].
    pub fn verify(
        self,
        anchors: &Anchors,
        rules: &PathRules,
    ) -> Result<Verified<Signed>, EnvelopeError> {
        let signer = match self.certificates.as_slice() {
            [] => self
                .first_that_signed(anchors.certificates())
                .map_err(|_| NotTrusted::SignerUnknown)?,
            [first, ..] if self.chain => {
                self.check(first.public_key())?;
                first
            }
            bag => self.first_that_signed(bag)?,
        };
        let path = verify_path(signer, &self.certificates, anchors, rules)?;
        Signed::on(&path, self.content, None, self.certificates)
    }

    /// Accepts the message if the holder of `signer`, proved before, signed it. A certificate of
    /// the same key that was issued anew is the same signer.
    ///
    /// # Errors
    ///
    /// [`NotTrusted::OtherSigner`] when the message carries certificates and none that signed is
    /// that signer's; otherwise as [`Unverified::verify`].
    pub fn verify_by(self, signer: &Verified<Path>) -> Result<Verified<Signed>, EnvelopeError> {
        let key = leaf(signer)?.public_key();
        let named = match self.certificates.as_slice() {
            [] => true,
            [first, ..] if self.chain => first.public_key() == key,
            bag => bag
                .iter()
                .any(|certificate| certificate.public_key() == key),
        };
        if !named {
            return Err(NotTrusted::OtherSigner.into());
        }
        self.check(key)?;
        Signed::on(signer, self.content, None, self.certificates)
    }

    /// The first whose key made the signature; else why the first of all did not.
    fn first_that_signed<'a>(
        &self,
        candidates: &'a [Certificate],
    ) -> Result<&'a Certificate, EnvelopeError> {
        let mut refusal = None;
        for candidate in candidates {
            match self.check(candidate.public_key()) {
                Ok(()) => return Ok(candidate),
                Err(reason) => refusal.get_or_insert(reason),
            };
        }
        Err(refusal.unwrap_or(NotTrusted::SignerUnknown.into()))
    }

    fn check(&self, key: &PublicKey) -> Result<(), EnvelopeError> {
        let signature = from_raw(self.algorithm, &self.signature)
            .ok_or(NotTrusted::Signature(SignatureError::Invalid))?;
        key.verify(self.algorithm, &self.signing_input, &signature)?;
        Ok(())
    }
}

/// What both header maps together say.
struct Headers {
    algorithm: SignatureAlgorithm,
    certificates: Vec<Certificate>,
    chain: bool,
}

impl Headers {
    fn read(
        protected: &[(Value, Value)],
        unprotected: &[(Value, Value)],
    ) -> Result<Self, EnvelopeError> {
        let labels = || protected.iter().chain(unprotected).map(|(label, _)| label);
        // RFC 9052 §3: a label occurs once in both maps together. Headers are few, and bounded.
        if labels().count() > MAX_HEADERS {
            return Err(Malformed::Cbor.into());
        }
        for (position, label) in labels().enumerate() {
            if labels().take(position).any(|earlier| earlier == label) {
                return Err(Malformed::Repeated.into());
            }
        }
        // RFC 9052 §3.1: critical headers are listed under the signature.
        if find(unprotected, LABEL_CRIT).is_some() {
            return Err(Unsupported::CriticalHeader.into());
        }
        if let Some(critical) = find(protected, LABEL_CRIT) {
            check_critical(critical, protected)?;
        }
        let algorithm = match find(protected, LABEL_ALG) {
            Some(alg) => algorithm_of(alg)?,
            None => return Err(Forbidden::AlgorithmUnprotected.into()),
        };
        let mut certificates = Vec::new();
        let mut chain = false;
        for map in [protected, unprotected] {
            if let Some(value) = find(map, LABEL_X5CHAIN) {
                // The chain's first is the signer, so it goes to the front.
                chain = certificates.is_empty();
                read_certificates(value, &mut certificates)?;
            }
            if let Some(value) = find(map, LABEL_X5BAG) {
                read_certificates(value, &mut certificates)?;
            }
        }
        Ok(Self {
            algorithm,
            certificates,
            chain,
        })
    }
}

/// How deep a message may nest; a bag of certificates is five deep.
const MAX_DEPTH: usize = 16;

/// The most headers in both maps together.
const MAX_HEADERS: usize = 16;

fn find(map: &[(Value, Value)], label: i64) -> Option<&Value> {
    let label = Value::from(label);
    map.iter()
        .find(|(candidate, _)| *candidate == label)
        .map(|(_, value)| value)
}

/// RFC 9052 §3.1: every critical header is present under the signature, and understood.
fn check_critical(critical: &Value, protected: &[(Value, Value)]) -> Result<(), EnvelopeError> {
    let labels = critical
        .as_array()
        .filter(|labels| !labels.is_empty())
        .ok_or(Malformed::Cbor)?;
    let understood = [
        LABEL_ALG,
        LABEL_CRIT,
        LABEL_CONTENT_TYPE,
        LABEL_X5BAG,
        LABEL_X5CHAIN,
    ];
    let known = |label: &Value| {
        understood.iter().any(|&known| *label == Value::from(known))
            && protected.iter().any(|(present, _)| present == label)
    };
    if labels.iter().all(known) {
        Ok(())
    } else {
        Err(Unsupported::CriticalHeader.into())
    }
}

fn algorithm_of(alg: &Value) -> Result<SignatureAlgorithm, Unsupported> {
    let number = alg
        .as_integer()
        .and_then(|number| i64::try_from(number).ok());
    // RFC 9053 §2 and the fully specified names of RFC 9864 §2.2.
    Ok(match number {
        Some(-7 | -9) => SignatureAlgorithm::EcdsaP256Sha256,
        Some(-35 | -51) => SignatureAlgorithm::EcdsaP384Sha384,
        Some(-8 | -19) => SignatureAlgorithm::Ed25519,
        _ => return Err(Unsupported::SignatureAlgorithm),
    })
}

/// One certificate is a byte string by RFC 9360 §2, and an array of one in published examples.
fn read_certificates(value: &Value, out: &mut Vec<Certificate>) -> Result<(), EnvelopeError> {
    let list = match value {
        Value::Bytes(_) => std::slice::from_ref(value),
        Value::Array(list) if !list.is_empty() => list.as_slice(),
        _ => return Err(Malformed::Cbor.into()),
    };
    if out.len() + list.len() > MAX_ENVELOPE_CERTIFICATES {
        return Err(Malformed::TooManyCertificates.into());
    }
    for certificate in list {
        let der = certificate.as_bytes().ok_or(Malformed::Cbor)?;
        out.push(Certificate::from_der(der).map_err(Malformed::Certificate)?);
    }
    Ok(())
}

fn certificates_value(certificates: &[Certificate]) -> Option<Value> {
    let bytes = |certificate: &Certificate| Value::Bytes(certificate.der().to_vec());
    match certificates {
        [] => None,
        [only] => Some(bytes(only)),
        several => Some(Value::Array(several.iter().map(bytes).collect())),
    }
}

fn read_sign1(message: &[u8]) -> Result<[Value; 4], EnvelopeError> {
    if message.len() > MAX_ENVELOPE_LEN {
        return Err(EnvelopeError::TooLarge {
            limit: MAX_ENVELOPE_LEN,
        });
    }
    match decode(message)? {
        Value::Tag(TAG_SIGN1, inner) => match *inner {
            Value::Array(fields) => fields.try_into().map_err(|_| Malformed::Cbor.into()),
            _ => Err(Malformed::Cbor.into()),
        },
        _ => Err(Malformed::Cbor.into()),
    }
}

fn encode_sign1(fields: Vec<Value>) -> Result<Vec<u8>, EnvelopeError> {
    Ok(encode(&Value::Tag(
        TAG_SIGN1,
        Box::new(Value::Array(fields)),
    ))?)
}

/// What is signed (RFC 9052 §4.4), with no external data.
fn sig_structure(protected: &[u8], content: &[u8]) -> Result<Vec<u8>, Malformed> {
    encode(&Value::Array(vec![
        Value::from("Signature1"),
        Value::Bytes(protected.to_vec()),
        Value::Bytes(Vec::new()),
        Value::Bytes(content.to_vec()),
    ]))
}

fn decode_header(protected: &[u8]) -> Result<Option<Value>, Malformed> {
    if protected.is_empty() {
        Ok(None)
    } else {
        decode(protected).map(Some)
    }
}

/// One value and nothing behind it.
fn decode(mut bytes: &[u8]) -> Result<Value, Malformed> {
    let value = ciborium::de::from_reader_with_recursion_limit(&mut bytes, MAX_DEPTH)
        .map_err(|_| Malformed::Cbor)?;
    if bytes.is_empty() {
        Ok(value)
    } else {
        Err(Malformed::TrailingData)
    }
}

fn encode(value: &Value) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::new();
    ciborium::into_writer(value, &mut out).map_err(|_| Malformed::Cbor)?;
    Ok(out)
}
