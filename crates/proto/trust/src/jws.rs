//! JWS in JSON serialization (RFC 7515 §7.2), general and flattened, with the signer's chain in
//! the `x5c` header: JWS vouchers and voucher requests.
//!
//! 1. [`parse`] reads the JSON, decodes payload and protected header, and refuses `alg` outside
//!    the protected header, `none`, every `crit` (no extension is understood), and more than one
//!    signature. [`parse_each`] is for countersigned messages.
//! 2. [`Unverified::verify`] or [`Unverified::verify_by`]: the signature over the protected header
//!    and the payload as they were received, then the signer's path.
//!
//! The compact serialization is not read: vouchers do not use it.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde::de::value::MapAccessDeserializer;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

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

/// The most signatures that [`parse_each`] reads: a signer and those who countersign.
pub const MAX_SIGNATURES: usize = 4;

/// How the JSON is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A list of signatures, which vouchers use even for one (RFC 7515 §7.2.1).
    General,
    /// One signature at the top (RFC 7515 §7.2.2).
    Flattened,
}

/// How to sign.
#[derive(Clone, Copy, Debug)]
pub struct SignOptions<'a> {
    /// The `typ` header, such as `voucher-jws+json`, if there shall be one.
    pub typ: Option<&'a str>,
    /// The signer's certificate and what else `x5c` shall hold, in this order. Without any, the
    /// reader must know the signer.
    pub certificates: &'a [Certificate],
    /// The layout.
    pub form: Form,
}

/// A parsed signature with its payload: what it says, with nothing proved yet.
#[derive(Clone, Debug)]
pub struct Unverified {
    content: Vec<u8>,
    typ: Option<String>,
    certificates: Vec<Certificate>,
    algorithm: SignatureAlgorithm,
    /// Protected header and payload as received (RFC 7515 §5.2 step 8).
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
    let alg = match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256 => "ES256",
        SignatureAlgorithm::EcdsaP384Sha384 => "ES384",
        SignatureAlgorithm::Ed25519 => "EdDSA",
        _ => return Err(Misuse::Algorithm.into()),
    };
    let chain = options.certificates.iter();
    let header = ProtectedHeader {
        alg: Some(alg.into()),
        typ: options.typ.map(Cow::Borrowed),
        x5c: chain
            .map(|certificate| BASE64_STANDARD.encode(certificate.der()).into())
            .collect(),
        crit: None,
    };
    let header = serde_json::to_vec(&header).map_err(|_| Malformed::Json)?;
    let protected = BASE64_URL_SAFE_NO_PAD.encode(header);
    let payload = BASE64_URL_SAFE_NO_PAD.encode(content);
    let signature = signer.sign(format!("{protected}.{payload}").as_bytes())?;
    let signature = BASE64_URL_SAFE_NO_PAD.encode(to_raw(algorithm, signature)?);

    // The three values are base64url, which needs no escaping.
    let signed = format!(r#""protected":"{protected}","signature":"{signature}""#);
    Ok(match options.form {
        Form::General => format!(r#"{{"payload":"{payload}","signatures":[{{{signed}}}]}}"#),
        Form::Flattened => format!(r#"{{"payload":"{payload}",{signed}}}"#),
    }
    .into_bytes())
}

/// Reads a message of at most [`MAX_ENVELOPE_LEN`] bytes with exactly one signature.
///
/// # Errors
///
/// What no signer could make acceptable: see [`EnvelopeError::Malformed`],
/// [`EnvelopeError::Unsupported`] and [`EnvelopeError::Forbidden`].
pub fn parse(message: &[u8]) -> Result<Unverified, EnvelopeError> {
    let message = Message::read(message)?;
    match message.signatures.as_slice() {
        [] => Err(Forbidden::Unsigned.into()),
        [Object(signature)] => Unverified::read(&message.payload, signature),
        _ => Err(Forbidden::SeveralSigners.into()),
    }
}

/// Reads a message of one to [`MAX_SIGNATURES`] signatures, each as an [`Unverified`] of its own:
/// the caller says which signer each must be.
///
/// # Errors
///
/// As [`parse`].
pub fn parse_each(message: &[u8]) -> Result<Vec<Unverified>, EnvelopeError> {
    let message = Message::read(message)?;
    match message.signatures.len() {
        0 => Err(Forbidden::Unsigned.into()),
        1..=MAX_SIGNATURES => message
            .signatures
            .iter()
            .map(|Object(signature)| Unverified::read(&message.payload, signature))
            .collect(),
        _ => Err(Forbidden::SeveralSigners.into()),
    }
}

impl Unverified {
    /// The payload, which may be anybody's.
    pub fn content(&self) -> &[u8] {
        &self.content
    }

    /// The `typ` header.
    pub fn typ(&self) -> Option<&str> {
        self.typ.as_deref()
    }

    /// The certificates of `x5c`, in its order.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// The certificate of the one who claims to have signed: the first of `x5c` (RFC 7515 §4.1.6).
    pub fn claimed_signer(&self) -> Option<&Certificate> {
        self.certificates.first()
    }

    /// Accepts the message if its signer leads to one of `anchors` under `rules`. Without `x5c`
    /// the signer must itself be one of the anchors.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError::Forbidden`], [`EnvelopeError::NotTrusted`] or [`EnvelopeError::Path`].
    pub fn verify(
        self,
        anchors: &Anchors,
        rules: &PathRules,
    ) -> Result<Verified<Signed>, EnvelopeError> {
        let signer = match self.claimed_signer() {
            Some(claimed) => {
                self.check(claimed.public_key())?;
                claimed
            }
            None => anchors
                .certificates()
                .iter()
                .find(|anchor| self.check(anchor.public_key()).is_ok())
                .ok_or(NotTrusted::SignerUnknown)?,
        };
        let path = verify_path(signer, &self.certificates, anchors, rules)?;
        Signed::on(&path, self.content, self.typ, self.certificates)
    }

    /// Accepts the message if the holder of `signer`, proved before, signed it. A certificate of
    /// the same key that was issued anew is the same signer.
    ///
    /// # Errors
    ///
    /// [`NotTrusted::OtherSigner`] when `x5c` names another; otherwise as [`Unverified::verify`].
    pub fn verify_by(self, signer: &Verified<Path>) -> Result<Verified<Signed>, EnvelopeError> {
        let key = leaf(signer)?.public_key();
        if self
            .claimed_signer()
            .is_some_and(|claimed| claimed.public_key() != key)
        {
            return Err(NotTrusted::OtherSigner.into());
        }
        self.check(key)?;
        Signed::on(signer, self.content, self.typ, self.certificates)
    }

    fn check(&self, key: &PublicKey) -> Result<(), EnvelopeError> {
        let signature = from_raw(self.algorithm, &self.signature)
            .ok_or(NotTrusted::Signature(SignatureError::Invalid))?;
        key.verify(self.algorithm, &self.signing_input, &signature)?;
        Ok(())
    }

    fn read(payload: &str, signature: &Signature<'_>) -> Result<Self, EnvelopeError> {
        let protected = signature
            .protected
            .as_deref()
            .ok_or(Forbidden::AlgorithmUnprotected)?;
        if let Some(Object(header)) = &signature.header {
            if header.alg.is_some() {
                return Err(Forbidden::AlgorithmUnprotected.into());
            }
            // RFC 7515 §4.1.11: `crit` is protected or it is not there.
            if header.crit.is_some() {
                return Err(Unsupported::CriticalHeader.into());
            }
        }
        let header_json = decode_url(protected)?;
        let Object(header): Object<ProtectedHeader<'_>> =
            serde_json::from_slice(&header_json).map_err(|_| Malformed::Json)?;
        if header.crit.is_some() {
            return Err(Unsupported::CriticalHeader.into());
        }
        let alg = header
            .alg
            .as_deref()
            .ok_or(Forbidden::AlgorithmUnprotected)?;
        if header.x5c.len() > MAX_ENVELOPE_CERTIFICATES {
            return Err(Malformed::TooManyCertificates.into());
        }
        let certificates = header.x5c.iter().map(|text| {
            // RFC 7515 §4.1.6: standard base64, unlike everything else here.
            let der = BASE64_STANDARD
                .decode(text.as_ref())
                .map_err(|_| Malformed::Base64)?;
            Certificate::from_der(&der).map_err(Malformed::Certificate)
        });
        Ok(Self {
            content: decode_url(payload)?,
            typ: header.typ.map(Cow::into_owned),
            certificates: certificates.collect::<Result<_, _>>()?,
            algorithm: algorithm_of(alg)?,
            signing_input: [protected, payload].join(".").into_bytes(),
            signature: decode_url(&signature.signature)?,
        })
    }
}

/// A JSON object: structures would take a list of their members as well.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

/// One text for general and flattened (RFC 7515 §7.2); members it does not know are ignored.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    payload: Cow<'a, str>,
    #[serde(borrow, default)]
    signatures: Vec<Object<Signature<'a>>>,
    #[serde(borrow, default)]
    signature: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    protected: Option<Cow<'a, str>>,
    #[serde(default)]
    header: Option<Object<UnprotectedHeader>>,
}

#[derive(Deserialize)]
struct Signature<'a> {
    #[serde(borrow, default)]
    protected: Option<Cow<'a, str>>,
    #[serde(default)]
    header: Option<Object<UnprotectedHeader>>,
    #[serde(borrow)]
    signature: Cow<'a, str>,
}

#[derive(Deserialize)]
struct UnprotectedHeader {
    #[serde(default)]
    alg: Option<IgnoredAny>,
    #[serde(default)]
    crit: Option<IgnoredAny>,
}

#[derive(Deserialize, Serialize)]
struct ProtectedHeader<'a> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    alg: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    typ: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    x5c: Vec<Cow<'a, str>>,
    #[serde(default, skip_serializing)]
    crit: Option<IgnoredAny>,
}

impl<'a> Message<'a> {
    fn read(text: &'a [u8]) -> Result<Self, EnvelopeError> {
        if text.len() > MAX_ENVELOPE_LEN {
            return Err(EnvelopeError::TooLarge {
                limit: MAX_ENVELOPE_LEN,
            });
        }
        let Object(mut message): Object<Self> =
            serde_json::from_slice(text).map_err(|_| Malformed::Json)?;
        let flattened = (
            message.signature.take(),
            message.protected.take(),
            message.header.take(),
        );
        match flattened {
            (None, None, None) => {}
            // RFC 7515 §7.2.2: the members of one form are absent in the other.
            (Some(signature), protected, header) if message.signatures.is_empty() => {
                message.signatures.push(Object(Signature {
                    protected,
                    header,
                    signature,
                }));
            }
            _ => return Err(Malformed::Json.into()),
        }
        Ok(message)
    }
}

fn algorithm_of(alg: &str) -> Result<SignatureAlgorithm, Unsupported> {
    Ok(match alg {
        "ES256" => SignatureAlgorithm::EcdsaP256Sha256,
        "ES384" => SignatureAlgorithm::EcdsaP384Sha384,
        "ES512" => SignatureAlgorithm::EcdsaP521Sha512,
        "EdDSA" | "Ed25519" => SignatureAlgorithm::Ed25519,
        "RS256" => SignatureAlgorithm::RsaPkcs1Sha256,
        "RS384" => SignatureAlgorithm::RsaPkcs1Sha384,
        "RS512" => SignatureAlgorithm::RsaPkcs1Sha512,
        "PS256" => SignatureAlgorithm::RsaPssSha256,
        "PS384" => SignatureAlgorithm::RsaPssSha384,
        "PS512" => SignatureAlgorithm::RsaPssSha512,
        _ => return Err(Unsupported::SignatureAlgorithm),
    })
}

fn decode_url(text: &str) -> Result<Vec<u8>, Malformed> {
    BASE64_URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| Malformed::Base64)
}
