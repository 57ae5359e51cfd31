//! What the signed envelopes ([`cms`](crate::cms), [`jws`](crate::jws), [`cose`](crate::cose)) have in common.
//!
//! The road of a signed message is the same in all three:
//!
//! 1. `parse` reads the bytes into an `Unverified` view and refuses what no rule could accept: several
//!    signers, missing signed attributes, unknown critical headers, weak algorithms.
//! 2. The view shows content, certificates and the claimed signer. They are for looking things up (which
//!    manufacturer's anchors apply?) and must decide nothing.
//! 3. `verify` (against anchors) or `verify_by` (against a signer proved before, such as a TLS client)
//!    consumes the view and returns [`Verified`] [`Signed`].

use crate::certificate::Certificate;
use crate::error::{ParseError, PathError, SignError, SignatureError};
use crate::path::Path;
use crate::verified::Verified;

/// The largest envelope `parse` reads, in bytes. A registrar's voucher request with a chain in it and a
/// pledge's request inside is some 8 KiB.
pub const MAX_ENVELOPE_LEN: usize = 64 * 1024;

/// The most certificates one envelope may carry.
pub const MAX_ENVELOPE_CERTIFICATES: usize = 32;

/// A message whose signature was checked, and who signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The signed bytes.
    pub content: Vec<u8>,
    /// The content type under the signature: an OID in dotted form (CMS), the `typ` header (JWS), absent in COSE.
    pub content_type: Option<String>,
    /// The end entity that signed.
    pub signer: Certificate,
    /// The proved path, from the signer to its anchor.
    pub path: Vec<Certificate>,
    /// Every certificate that the envelope carried, in its order. Only those also in `path` are proved.
    pub certificates: Vec<Certificate>,
}

impl Signed {
    /// What was signed, by the leaf of a path that was proved.
    pub(crate) fn on(
        path: &Path,
        content: Vec<u8>,
        content_type: Option<String>,
        certificates: Vec<Certificate>,
    ) -> Result<Verified<Self>, EnvelopeError> {
        Ok(Verified::new(Self {
            content,
            content_type,
            signer: leaf(path)?.clone(),
            path: path.certificates().to_vec(),
            certificates,
        }))
    }
}

/// The end entity of a path.
pub(crate) fn leaf(path: &Path) -> Result<&Certificate, NotTrusted> {
    path.leaf().ok_or(NotTrusted::SignerUnknown)
}

/// Why an envelope was refused, by whose fault it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// The message is larger than the reader allows.
    #[error("the signed message is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The bytes are not the format they claim to be.
    #[error("the signed message is malformed: {0}")]
    Malformed(Malformed),
    /// Well formed, but a variant that is not supported.
    #[error("the signed message is not supported: {0}")]
    Unsupported(Unsupported),
    /// Well formed and understood, but a rule forbids it whoever signed it.
    #[error("the signed message breaks a rule: {0}")]
    Forbidden(Forbidden),
    /// The signature, or the one who made it, is not what the caller trusts.
    #[error("the signed message is not trusted: {0}")]
    NotTrusted(NotTrusted),
    /// The signer's certificate does not lead to an anchor.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The key that should sign could not.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The caller asked for a message that would contradict itself.
    #[error("the message cannot be made: {0}")]
    Misuse(Misuse),
}

/// What could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// The ASN.1 is not DER, and not indefinite-length BER that can be rewritten to it.
    #[error("not DER, {0} (RFC 5652 §5.1)")]
    Asn1(ParseError),
    /// The JSON is not a JWS (RFC 7515 §7.2).
    #[error("not a JWS in JSON serialization (RFC 7515 §7.2)")]
    Json,
    /// The CBOR is not a `COSE_Sign1` (RFC 9052 §4.2).
    #[error("not a COSE_Sign1 (RFC 9052 §4.2)")]
    Cbor,
    /// A base64 value is not base64 of the wanted alphabet.
    #[error("not base64 of the prescribed alphabet (RFC 7515 §2, §4.1.6)")]
    Base64,
    /// A carried certificate does not parse.
    #[error("a carried certificate is not X.509: {0}")]
    Certificate(ParseError),
    /// More certificates than [`MAX_ENVELOPE_CERTIFICATES`].
    #[error("more certificates than a signed message may carry")]
    TooManyCertificates,
    /// Bytes follow the message.
    #[error("bytes follow the end of the message")]
    TrailingData,
    /// The same header or attribute stands twice.
    #[error("a header or signed attribute stands twice (RFC 7515 §4, RFC 5652 §11)")]
    Repeated,
}

/// What is known to exist and not supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unsupported {
    /// A CMS content other than `SignedData`.
    #[error("the CMS content is not SignedData (RFC 5652 §5)")]
    NotSignedData,
    /// A structure version that is not one of RFC 5652.
    #[error("a version number that does not fit the structure (RFC 5652 §5.1, §5.3)")]
    Version,
    /// A digest other than SHA-256, SHA-384 and SHA-512.
    #[error("the digest is not SHA-256, SHA-384 or SHA-512")]
    Digest,
    /// A signature algorithm that is not among those verified here, `none` included.
    #[error("the signature algorithm is not accepted")]
    SignatureAlgorithm,
    /// A carried certificate is not X.509.
    #[error("a certificate form other than X.509 (RFC 5652 §10.2.2)")]
    CertificateForm,
    /// The content is not in the envelope.
    #[error("the content is detached")]
    Detached,
    /// A header marked critical that is not understood.
    #[error("an unknown critical header (RFC 7515 §4.1.11, RFC 9052 §3.1)")]
    CriticalHeader,
}

/// What no signer may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Forbidden {
    /// Nobody signed.
    #[error("it is not signed (RFC 8995 §5.2, §5.5)")]
    Unsigned,
    /// More than one signature where one is asked for.
    #[error("it has more than one signer")]
    SeveralSigners,
    /// CMS without signed attributes.
    #[error("it has no signed attributes (RFC 8366bis §7.1)")]
    SignedAttributesMissing,
    /// CMS without the messageDigest attribute.
    #[error("the messageDigest attribute is missing (RFC 5652 §11.2)")]
    MessageDigestMissing,
    /// The messageDigest attribute is of other content.
    #[error("the messageDigest attribute is not that of the content (RFC 5652 §5.6)")]
    MessageDigestMismatch,
    /// CMS without the contentType attribute.
    #[error("the contentType attribute is missing (RFC 5652 §11.1)")]
    ContentTypeMissing,
    /// The contentType attribute is not the type of the content.
    #[error("the contentType attribute is not that of the content (RFC 5652 §11.1)")]
    ContentTypeMismatch,
    /// The algorithm does not fit the key, or the digest does not fit the algorithm.
    #[error("the algorithm does not fit the signer's key or the digest")]
    AlgorithmMismatch,
    /// The algorithm header is not under the signature.
    #[error("the algorithm is not in the protected header (RFC 7515 §10.7, RFC 9052 §3.1)")]
    AlgorithmUnprotected,
}

/// Why the signature proves nothing to this caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotTrusted {
    /// The claimed signer's certificate is neither in the envelope nor among the anchors.
    #[error("the signer's certificate is not there to check")]
    SignerUnknown,
    /// Signed by somebody other than the signer that was asked for.
    #[error("it is signed by another than the expected signer")]
    OtherSigner,
    /// The signature is not that of the claimed signer over these bytes, or of a kind that proves nothing.
    #[error("{0}")]
    Signature(SignatureError),
}

/// How a caller of `sign` contradicted itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// The first certificate is not of the signing key.
    #[error("the first certificate is not of the signing key")]
    CertificateOfAnotherKey,
    /// No certificate was given, and the envelope names its signer by one.
    #[error("the envelope names its signer by a certificate and none was given")]
    CertificateMissing,
    /// The key's algorithm has no name in this envelope, or makes no signatures here.
    #[error("the key's algorithm cannot sign this envelope")]
    Algorithm,
}

impl From<SignatureError> for EnvelopeError {
    fn from(reason: SignatureError) -> Self {
        match reason {
            SignatureError::WrongKeyType => Self::Forbidden(Forbidden::AlgorithmMismatch),
            reason => Self::NotTrusted(NotTrusted::Signature(reason)),
        }
    }
}

impl From<Malformed> for EnvelopeError {
    fn from(reason: Malformed) -> Self {
        Self::Malformed(reason)
    }
}

impl From<ParseError> for EnvelopeError {
    fn from(reason: ParseError) -> Self {
        Self::Malformed(Malformed::Asn1(reason))
    }
}

impl From<Unsupported> for EnvelopeError {
    fn from(reason: Unsupported) -> Self {
        Self::Unsupported(reason)
    }
}

impl From<Forbidden> for EnvelopeError {
    fn from(reason: Forbidden) -> Self {
        Self::Forbidden(reason)
    }
}

impl From<NotTrusted> for EnvelopeError {
    fn from(reason: NotTrusted) -> Self {
        Self::NotTrusted(reason)
    }
}

impl From<Misuse> for EnvelopeError {
    fn from(reason: Misuse) -> Self {
        Self::Misuse(reason)
    }
}
