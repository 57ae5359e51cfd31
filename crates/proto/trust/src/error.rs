//! Why something was refused: reasons are enums, so callers and tests match them exactly.

use const_oid::ObjectIdentifier;

/// Bytes that are not what they should be (X.690, RFC 5280 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The bytes end inside an element.
    #[error("the bytes end inside an element (X.690 §8.1)")]
    Truncated,
    /// Another tag than the one expected here.
    #[error("an element of another type than expected (X.690 §8.1.2)")]
    Tag,
    /// A length that is indefinite, not minimal or absurd.
    #[error("a length that is not DER (X.690 §10.1)")]
    Length,
    /// Contents that the type does not allow.
    #[error("contents that the type does not allow (X.690 §8)")]
    Value,
    /// Bytes after the end.
    #[error("bytes follow the end of the structure")]
    TrailingData,
    /// More than the stated limit.
    #[error("larger than the stated limit")]
    TooLarge,
    /// A version number that the standard does not know.
    #[error("an unknown version (RFC 5280 §4.1.2.1)")]
    Version,
    /// One extension twice.
    #[error("the same extension occurs twice (RFC 5280 §4.2)")]
    DuplicateExtension,
    /// The signed and the unsigned algorithm field differ.
    #[error("signatureAlgorithm differs from the signed field (RFC 5280 §4.1.1.2)")]
    AlgorithmMismatch,
    /// Not PEM, or a PEM block of another kind.
    #[error("not a PEM block of the expected kind (RFC 7468)")]
    Pem,
}

/// A public key that is not accepted, or a signature that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// The subjectPublicKeyInfo is malformed.
    #[error("malformed subjectPublicKeyInfo (RFC 5280 §4.1.2.7)")]
    MalformedKey,
    /// A key type or curve that is not supported.
    #[error("unsupported key type or curve (RFC 5480, RFC 8410)")]
    UnsupportedKey,
    /// An RSA modulus below 2048 bits.
    #[error("RSA modulus below 2048 bits (NIST SP 800-131A §3)")]
    WeakKey,
    /// An algorithm identifier that is not supported.
    #[error("unsupported signature algorithm")]
    UnsupportedAlgorithm,
    /// SHA-1 signs nothing here.
    #[error("signed with SHA-1 (NIST SP 800-131A §3)")]
    Sha1,
    /// The algorithm does not go with this type of key.
    #[error("the signature algorithm does not belong to this type of key")]
    WrongKeyType,
    /// The signature is not by this key over this message.
    #[error("the signature does not verify")]
    Invalid,
}

/// A signer that could not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The private key cannot be read.
    #[error("the private key is malformed (RFC 5958)")]
    MalformedKey,
    /// The private key is of a type that does not sign here (P-256, P-384, Ed25519 do).
    #[error("the private key is of an unsupported type")]
    UnsupportedKey,
    /// The device that holds the key does not answer.
    #[error("the key store is unavailable")]
    Unavailable,
    /// The device that holds the key refused or failed.
    #[error("the signing operation failed")]
    Failed,
}

/// Why a certificate could not be issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The signing key failed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The authority's key is not the one in its certificate.
    #[error("the signing key is not the one in the authority's certificate")]
    KeyMismatch,
    /// The authority's certificate may not sign certificates.
    #[error("the authority's certificate may not sign certificates (RFC 5280 §4.2.1.9)")]
    NotACertificateAuthority,
    /// An authority needs a certificate of its own.
    #[error("an authority needs its own certificate")]
    NoCertificate,
    /// The validity ends before it begins.
    #[error("notAfter lies before notBefore (RFC 5280 §4.1.2.5)")]
    Validity,
    /// The serial number is zero.
    #[error("the serial number must be positive (RFC 5280 §4.1.2.2)")]
    SerialNumber,
    /// The key to be certified is weak or of an unsupported type.
    #[error("the subject's key is weak or unsupported")]
    SubjectKey,
    /// A value does not fit its ASN.1 string type, or is too long.
    #[error("a name or URL does not fit its string type (RFC 5280 §4.1.2.4)")]
    Name,
    /// The result cannot be read back.
    #[error("the encoded result is not readable: {0}")]
    Encoding(#[from] ParseError),
}

/// Why a certificate request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Malformed.
    #[error("malformed certificate request (RFC 2986 §4): {0}")]
    Malformed(#[from] ParseError),
    /// No proof of possession.
    #[error("no proof of possession (RFC 2986 §4.2): {0}")]
    ProofOfPossession(#[from] SignatureError),
}

/// Why a chain does not lead to an anchor, or may not be used as asked. `depth` is the position
/// in the path, 0 being the leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// An anchor set was empty.
    #[error("a set of trust anchors must not be empty (RFC 5280 §6.1.1)")]
    NoAnchors,
    /// No certificate at hand issued this one.
    #[error("certificate {depth} was issued by nobody we trust (RFC 5280 §6.1.3 (a)(4))")]
    UnknownIssuer {
        /// Position in the path.
        depth: usize,
    },
    /// After notAfter.
    #[error("certificate {depth} has expired (RFC 5280 §6.1.3 (a)(2))")]
    Expired {
        /// Position in the path.
        depth: usize,
    },
    /// Before notBefore.
    #[error("certificate {depth} is not yet valid (RFC 5280 §6.1.3 (a)(2))")]
    NotYetValid {
        /// Position in the path.
        depth: usize,
    },
    /// The signature does not hold, or its algorithm or the issuer's key is not accepted.
    #[error("certificate {depth}: {reason} (RFC 5280 §6.1.3 (a)(1))")]
    Signature {
        /// Position in the path of the signed certificate.
        depth: usize,
        /// What is wrong with the signature.
        reason: SignatureError,
    },
    /// A subject key that is weak or of an unsupported type.
    #[error("certificate {depth}: {reason}")]
    Key {
        /// Position in the path.
        depth: usize,
        /// What is wrong with the key.
        reason: SignatureError,
    },
    /// Issued another certificate without being a certification authority.
    #[error("certificate {depth} is not a certification authority (RFC 5280 §6.1.4 (k))")]
    NotACertificateAuthority {
        /// Position in the path.
        depth: usize,
    },
    /// A certification authority's certificate used as an end entity's.
    #[error("certificate {depth} is a certification authority's, used as an end entity's")]
    AuthorityAsEndEntity {
        /// Position in the path.
        depth: usize,
    },
    /// keyUsage forbids what was done with the key.
    #[error("certificate {depth}: keyUsage does not allow this (RFC 5280 §6.1.4 (n), §4.2.1.3)")]
    KeyUsage {
        /// Position in the path.
        depth: usize,
    },
    /// extKeyUsage does not contain the purpose asked for.
    #[error("certificate {depth}: extKeyUsage lacks the purpose asked for (RFC 5280 §4.2.1.12)")]
    ExtendedKeyUsage {
        /// Position in the path.
        depth: usize,
    },
    /// A pathLenConstraint is exceeded.
    #[error("certificate {depth}: pathLenConstraint exceeded (RFC 5280 §6.1.4 (l)-(m))")]
    PathLength {
        /// Position of the certificate that carries the constraint.
        depth: usize,
    },
    /// A critical extension that is not understood.
    #[error("certificate {depth}: unknown critical extension {extension} (RFC 5280 §4.2)")]
    UnknownCriticalExtension {
        /// Position in the path.
        depth: usize,
        /// The extension.
        extension: ObjectIdentifier,
    },
    /// nameConstraints are not processed, so they are refused.
    #[error("certificate {depth}: nameConstraints are not supported (RFC 5280 §4.2.1.10)")]
    NameConstraints {
        /// Position in the path.
        depth: usize,
    },
    /// X.509 version 1 or 2.
    #[error("certificate {depth} is not X.509 version 3 (RFC 5280 §6.1.4 (k))")]
    Version {
        /// Position in the path.
        depth: usize,
    },
    /// An extension whose contents cannot be read.
    #[error("certificate {depth}: malformed extension {extension}")]
    MalformedExtension {
        /// Position in the path.
        depth: usize,
        /// The extension.
        extension: ObjectIdentifier,
    },
    /// Longer than [`crate::MAX_PATH_LENGTH`].
    #[error("the path is longer than the limit of {limit} certificates")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// More certificates were offered than [`crate::MAX_INTERMEDIATES`].
    #[error("more than {limit} intermediate certificates")]
    TooManyCertificates {
        /// The limit.
        limit: usize,
    },
    /// More signature checks were needed than [`crate::SIGNATURE_BUDGET`].
    #[error("path building needs more than {limit} signature checks")]
    SignatureBudget {
        /// The limit.
        limit: usize,
    },
    /// Revoked by its issuer.
    #[error("certificate {depth} is revoked (RFC 5280 §6.3.3)")]
    Revoked {
        /// Position in the path.
        depth: usize,
    },
    /// No usable revocation list covers the certificate, and the rules ask for one.
    #[error("certificate {depth}: revocation status unknown (RFC 5280 §6.3.3)")]
    RevocationUnknown {
        /// Position in the path.
        depth: usize,
    },
}

impl PathError {
    /// Stable kebab-case name, as it stands in journals, answers and logs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownIssuer { .. } => "unknown-issuer",
            Self::Expired { .. } => "certificate-expired",
            Self::NotYetValid { .. } => "certificate-not-yet-valid",
            Self::Revoked { .. } => "certificate-revoked",
            Self::RevocationUnknown { .. } => "revocation-unknown",
            Self::Signature { .. } => "certificate-signature-invalid",
            Self::Key { .. } => "certificate-key-refused",
            Self::ExtendedKeyUsage { .. } | Self::KeyUsage { .. } => "certificate-usage",
            Self::UnknownCriticalExtension { .. } => "unknown-critical-extension",
            _ => "certificate-path-refused",
        }
    }
}

/// Why revocation information was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RevocationError {
    /// Malformed.
    #[error("malformed revocation data: {0}")]
    Malformed(#[from] ParseError),
    /// Not signed by whom it should be.
    #[error("revocation data: {0}")]
    Signature(#[from] SignatureError),
    /// Issued by somebody else.
    #[error("issued by another authority (RFC 5280 §6.3.3, RFC 6960 §3.2)")]
    WrongIssuer,
    /// The issuer may not sign revocation lists.
    #[error("the issuer's keyUsage lacks cRLSign (RFC 5280 §4.2.1.3)")]
    KeyUsage,
    /// The responder was not authorized by the authority.
    #[error("the responder is not authorized by the issuer (RFC 6960 §4.2.2.2)")]
    UnauthorizedResponder,
    /// Older than its nextUpdate, or from the future.
    #[error("stale or not yet valid (RFC 5280 §6.3.3, RFC 6960 §3.2)")]
    Stale,
    /// A critical extension that is not understood (delta or partial lists among them).
    #[error("unknown critical extension {0} (RFC 5280 §5.2)")]
    UnknownCriticalExtension(ObjectIdentifier),
    /// The answer is not to this request.
    #[error("the nonce differs from the request's (RFC 6960 §4.4.1)")]
    Nonce,
    /// The answer does not cover the certificate.
    #[error("the response does not cover this certificate (RFC 6960 §3.2)")]
    OtherCertificate,
    /// The responder answered with an error status.
    #[error("the responder answered with status {0} (RFC 6960 §4.2.1)")]
    ResponderStatus(u8),
    /// A response type or hash that is not supported.
    #[error("unsupported response type or hash (RFC 6960 §4.2.1)")]
    Unsupported,
}

/// Everything that this crate refuses, by blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Bytes that cannot be read.
    #[error("malformed: {0}")]
    Malformed(#[from] ParseError),
    /// A key or signature that does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// A chain that leads nowhere, or may not be used so.
    #[error("not trusted: {0}")]
    NotTrusted(#[from] PathError),
    /// Our own key did not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// A certificate could not be issued.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// A certificate request was refused.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Revocation information was refused.
    #[error(transparent)]
    Revocation(#[from] RevocationError),
}
