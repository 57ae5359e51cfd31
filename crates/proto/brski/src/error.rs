//! Why a message was not accepted, split by whose fault it is.
//!
//! Every reason has a stable code for journals and APIs, the section it rests on, and a text.

use vouchsafe_trust::envelope::{Forbidden, NotTrusted};
use vouchsafe_trust::{EnvelopeError, PathError, SignError};

/// Anything this crate refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes do not have the form that the specification gives them.
    #[error("{0}")]
    Malformed(Malformed),
    /// Well formed, but something that is not implemented or not negotiated.
    #[error("{0}")]
    Unsupported(Unsupported),
    /// The signature around a voucher or voucher request did not prove itself.
    #[error("{artifact}: {source}")]
    Signature {
        /// Whose signature it was.
        artifact: Artifact,
        /// What was wrong with it.
        source: EnvelopeError,
    },
    /// A certificate chain did not lead to the anchor that the rule names.
    #[error("{artifact}: {source}")]
    Chain {
        /// What the chain was checked for.
        artifact: Artifact,
        /// What was wrong with it.
        source: PathError,
    },
    /// The message is genuine and breaks a rule.
    #[error("{0} ({section})", section = .0.section())]
    Refused(Refusal),
    /// Our own signer failed.
    #[error("the signer failed: {0}")]
    Signer(#[from] SignError),
    /// The caller asked for something that must not be sent.
    #[error("{0}")]
    Misuse(Misuse),
}

/// The signed things of BRSKI, as a name in errors and reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Artifact {
    /// Signed by the pledge with its IDevID (RFC 8995 §5.2).
    PledgeRequest,
    /// Signed by the registrar for the MASA (RFC 8995 §5.5).
    RegistrarRequest,
    /// Signed by the MASA (RFC 8995 §5.6).
    Voucher,
    /// The registrar's TLS chain judged by the voucher's pin (RFC 8995 §5.6.2).
    ServerChain,
}

impl Artifact {
    /// The section under which this artifact's signature is checked.
    #[must_use]
    pub fn section(self) -> &'static str {
        match self {
            Self::PledgeRequest => "RFC 8995 §5.3",
            Self::RegistrarRequest => "RFC 8995 §5.5.3",
            Self::Voucher => "RFC 8995 §5.6.1",
            Self::ServerChain => "RFC 8995 §5.6.2",
        }
    }
}

impl std::fmt::Display for Artifact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::PledgeRequest => "pledge voucher request",
            Self::RegistrarRequest => "registrar voucher request",
            Self::Voucher => "voucher",
            Self::ServerChain => "registrar certificate",
        })
    }
}

impl Error {
    /// The section that the refusal rests on, such as `RFC 8995 §5.5.5`.
    #[must_use]
    pub fn section(&self) -> &'static str {
        match self {
            Self::Malformed(reason) => reason.section(),
            Self::Unsupported(reason) => reason.section(),
            Self::Signature { artifact, .. } | Self::Chain { artifact, .. } => artifact.section(),
            Self::Refused(reason) => reason.section(),
            Self::Signer(_) => "RFC 8995 §5",
            Self::Misuse(reason) => reason.section(),
        }
    }

    /// A stable kebab-case name of the reason, for journals, telemetry and APIs.
    #[must_use]
    pub fn reason_code(&self) -> &'static str {
        match self {
            Self::Malformed(reason) => reason.code(),
            Self::Unsupported(reason) => reason.code(),
            Self::Signature { source, .. } => envelope_code(source),
            Self::Chain { source, .. } => source.code(),
            Self::Refused(reason) => reason.code(),
            Self::Signer(_) => "signer-failed",
            Self::Misuse(reason) => reason.code(),
        }
    }

    /// The broken rule, if that is what this is.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused(reason) => Some(*reason),
            Self::Malformed(_)
            | Self::Unsupported(_)
            | Self::Signature { .. }
            | Self::Chain { .. }
            | Self::Signer(_)
            | Self::Misuse(_) => None,
        }
    }
}

impl From<Malformed> for Error {
    fn from(reason: Malformed) -> Self {
        Self::Malformed(reason)
    }
}

impl From<Unsupported> for Error {
    fn from(reason: Unsupported) -> Self {
        Self::Unsupported(reason)
    }
}

impl From<Refusal> for Error {
    fn from(reason: Refusal) -> Self {
        Self::Refused(reason)
    }
}

impl From<Misuse> for Error {
    fn from(reason: Misuse) -> Self {
        Self::Misuse(reason)
    }
}

fn envelope_code(error: &EnvelopeError) -> &'static str {
    match error {
        EnvelopeError::TooLarge { .. } => Malformed::TooLarge.code(),
        EnvelopeError::Malformed(_) => "envelope-malformed",
        EnvelopeError::Unsupported(_) => "envelope-unsupported",
        EnvelopeError::Forbidden(Forbidden::Unsigned) => "unsigned",
        EnvelopeError::Forbidden(Forbidden::SeveralSigners) => "several-signers",
        EnvelopeError::Forbidden(Forbidden::SignedAttributesMissing) => "signed-attributes-missing",
        EnvelopeError::Forbidden(
            Forbidden::MessageDigestMissing | Forbidden::MessageDigestMismatch,
        ) => "content-altered",
        EnvelopeError::Forbidden(_) => "envelope-forbidden",
        EnvelopeError::NotTrusted(NotTrusted::SignerUnknown) => "signer-unknown",
        EnvelopeError::NotTrusted(NotTrusted::OtherSigner) => "other-signer",
        EnvelopeError::NotTrusted(_) => "signature-invalid",
        EnvelopeError::Path(error) => error.code(),
        EnvelopeError::Sign(_) | EnvelopeError::Misuse(_) => "signer-failed",
        _ => "envelope-refused",
    }
}

vouchsafe_trust::reasons! {
    /// What is wrong with the form of the bytes.
    Malformed {
        TooLarge: "too-large", "RFC 8995 §5.2", "the body is larger than the limit";
        Json: "json-malformed", "RFC 8366 §5.3", "the content is not the JSON of a voucher";
        Cbor: "cbor-malformed", "cBRSKI §8", "the content is not the CBOR of a voucher";
        TopLevel: "top-level-malformed", "RFC 8366 §5.3", "the content is not one object under the voucher's name";
        WrongArtifact: "wrong-artifact", "RFC 8995 §3", "a voucher stands where a voucher request belongs, or the reverse";
        DuplicateField: "duplicate-field", "RFC 7951 §4", "a field is given twice";
        TooManyFields: "too-many-fields", "RFC 8995 §5.2", "the content has more unknown fields than the limit";
        FieldType: "field-type", "RFC 8995 §3.4", "a field does not have its type";
        Date: "date-malformed", "RFC 6991 §3", "a date is not an RFC 3339 date and time";
        Assertion: "assertion-unknown", "RFC 8366 §5.3", "the assertion is none that the model knows";
        SerialMissing: "serial-number-missing", "RFC 8366 §5.3", "the serial number is missing or empty";
        AssertionMissing: "assertion-missing", "RFC 8366 §5.3", "the voucher has no assertion";
        CreatedOnMissing: "created-on-missing", "RFC 8366 §5.3", "the creation time is missing";
        Base64: "base64-malformed", "RFC 8951 §3.1", "the body is not base64";
        Certificate: "certificate-malformed", "RFC 8995 §3.4", "an embedded certificate does not parse";
        Telemetry: "telemetry-malformed", "RFC 8995 §5.7", "the status report is not the JSON it should be";
        AuditLog: "audit-log-malformed", "RFC 8995 §5.8.1", "the audit log is not the JSON it should be";
        Networks: "networks-malformed", "RFC 8259 §2", "the answer is no list of networks";
        Ssid: "ssid-malformed", "IEEE 802.11-2020 §9.4.2.2", "a network's name is not text of 1 to 32 octets";
        ServerName: "server-name-malformed", "RFC 5216 §5.2", "the name of a network's server is no DNS name";
        Grasp: "grasp-malformed", "RFC 8990 §2.8.11", "the message is no GRASP flood";
        Attributes: "csr-attributes-malformed", "RFC 9908 §3", "the CSR attributes do not parse";
        CertificateRequest: "certificate-request-malformed", "RFC 7030 §4.2.1", "the certificate request does not parse";
        CertsOnly: "certs-only-malformed", "RFC 7030 §4.1.3", "the answer is not a certs-only message";
        Multipart: "multipart-malformed", "RFC 7030 §4.4.2", "the answer is not the two-part message it should be";
    }
}

vouchsafe_trust::reasons! {
    /// What is well formed and still not taken.
    Unsupported {
        MediaType: "media-type-unsupported", "RFC 8995 §5.3", "the media type is none that is offered";
        NotAcceptable: "answer-not-acceptable", "RFC 8995 §5.6", "no encoding of the answer is acceptable to the one who asks";
        EncodingMismatch: "encoding-mismatch", "RFC 8995 §5.3", "the body is not what its media type says";
        CriticalContent: "critical-content-unknown", "RFC 7515 §4.1.11", "the envelope demands an extension that is not known";
        ContentType: "content-type-unsupported", "RFC 8366 §8.4", "the envelope says that it holds something else than a voucher";
        Encoding: "encoding-unknown", "RFC 8366 §5.4", "the bytes are no known kind of voucher";
    }
}

vouchsafe_trust::reasons! {
    /// Which rule a genuine message breaks.
    Refusal {
        SignerNotTlsClient: "signer-not-tls-client", "RFC 8995 §5.3", "the request is not signed by the key of the TLS client";
        StatusNotByIdevid: "status-not-by-idevid", "RFC 8995 §5.7", "a voucher is judged by the device's birth certificate, on the connection on which it was asked for";
        NoTlsClientCertificate: "no-tls-client-certificate", "RFC 8995 §5.1", "the pledge showed no certificate";
        SerialMismatch: "serial-mismatch", "RFC 8995 §5.5", "the serial number differs from that in the device's certificate";
        DeviceSerialMissing: "idevid-without-serial", "RFC 8995 §2.3.1", "the device's certificate carries no serial number";
        ProximityMissing: "proximity-missing", "RFC 8995 §5.2", "the pledge did not name the registrar it sees";
        ProximityNotOurs: "proximity-not-ours", "RFC 8995 §5.2", "the pledge sees another registrar's certificate";
        AssertionNotProximity: "assertion-not-proximity", "RFC 8995 §5.2", "the pledge's assertion is not proximity";
        NonceMissing: "nonce-missing", "RFC 8995 §5.2", "the nonce is missing";
        NonceTooShort: "nonce-too-short", "RFC 8366 §5.3", "the nonce is shorter than 8 bytes";
        NonceTooLong: "nonce-too-long", "RFC 8366 §5.3", "the nonce is longer than 32 bytes";
        NonceWithExpiry: "nonce-with-expires-on", "RFC 8366 §5.3", "nonce and expires-on stand together";
        RequestStale: "request-stale", "RFC 8995 §5.6", "the request is too old";
        RequestFromFuture: "request-from-future", "RFC 8995 §5.6", "the request is dated in the future";
        PriorRequestForbidden: "prior-request-forbidden", "RFC 8995 §5.2", "a pledge's request holds another request";
        RegistrarProximityForbidden: "registrar-proximity-forbidden", "RFC 8995 §5.5", "a registrar's request names a proximity certificate of its own";
        PriorRequestUntrusted: "prior-request-untrusted", "RFC 8995 §5.5.5", "the pledge's request inside is not signed by a device of this manufacturer";
        PriorRequestMalformed: "prior-request-malformed", "RFC 8995 §5.5.5", "the pledge's request inside does not parse";
        PriorSerialMismatch: "prior-serial-mismatch", "RFC 8995 §5.5.5", "the registrar asks for another device than the one that signed";
        PriorNonceMismatch: "prior-nonce-mismatch", "RFC 8995 §5.5.6", "the registrar's nonce is not the pledge's";
        PriorRequestMissing: "prior-request-missing", "RFC 8995 §5.5.5", "the pledge's signed request is missing";
        PriorVoucherUntrusted: "prior-voucher-untrusted", "RFC 8366bis §10.1", "the voucher to renew was not issued here";
        PriorVoucherMismatch: "prior-voucher-mismatch", "RFC 8366bis §10.1", "the voucher to renew is for another device or another domain";
        ProximityMismatch: "proximity-mismatch", "RFC 8995 §5.5.5", "the pledge saw another registrar than the one that asks";
        RegistrarNotAuthorized: "registrar-without-cmcra", "RFC 8995 §5.5.4", "the registrar's certificate lacks the CMC registration authority usage";
        RegistrarUnknown: "registrar-unauthenticated", "RFC 8995 §5.5.4", "a request without nonce comes from a registrar that is not authenticated";
        RegistrarRevoked: "registrar-revoked", "RFC 8995 §5.5.3", "the registrar's certificate is revoked";
        RegistrarExpired: "registrar-expired", "RFC 8995 §5.5.3", "the registrar's certificate is not valid at this time";
        RegistrarNotTlsClient: "registrar-not-tls-client", "RFC 8995 §5.4", "the TLS client belongs to another domain than the request's signer";
        IdevidIssuerMissing: "idevid-issuer-missing", "RFC 8366bis §6.1", "the issuer of the device's certificate is not named";
        IdevidIssuerMismatch: "idevid-issuer-mismatch", "RFC 8366bis §6.1", "the named issuer is not that of the device's certificate";
        NothingToPin: "nothing-to-pin", "RFC 8995 §5.5.2", "the registrar's request holds no certificate that may be pinned";
        LifetimeUnavailable: "lifetime-unavailable", "RFC 8995 §5.6", "no lifetime fits: the registrar's certificate ends too soon";
        VoucherByTlsPeer: "voucher-signed-by-tls-peer", "RFC 5280 §4.2.1.12", "the voucher is signed with a certificate that is for TLS alone";
        VoucherByDevice: "voucher-signed-by-device", "RFC 8995 §5.6.1", "the voucher is signed with a device's birth certificate";
        VoucherOtherSerial: "voucher-other-serial", "RFC 8995 §5.6.1", "the voucher is for another device";
        VoucherOtherIssuer: "voucher-other-issuer", "RFC 8366 §5.3", "the voucher is for a device of another issuer";
        VoucherWrongNonce: "voucher-wrong-nonce", "RFC 8995 §5.6.1", "the voucher answers another request";
        VoucherNonceless: "voucher-nonceless", "RFC 8995 §7.2", "a voucher without nonce is not acceptable here";
        VoucherExpired: "voucher-expired", "RFC 8366 §5.3", "the voucher has expired";
        VoucherFromFuture: "voucher-from-future", "RFC 8366 §5.3", "the voucher is dated in the future";
        VoucherNoExpiry: "voucher-without-expiry", "RFC 8366 §5.3", "a voucher without nonce never expires";
        VoucherNoPin: "voucher-without-pin", "RFC 8995 §5.6.1", "the voucher pins no domain";
        VoucherPinMismatch: "voucher-pin-mismatch", "RFC 8995 §5.6.2", "the registrar on this connection is not of the domain that the voucher pins";
        VoucherPinsDisagree: "voucher-pins-disagree", "RFC 8366bis §8", "the voucher's pins name different keys";
        AuditVersion: "audit-version", "RFC 8995 §5.8.1", "the audit log has a version that is not known";
        CsrSignature: "csr-signature", "RFC 7030 §4.2.1", "the certificate request is not signed by the key that it names";
        ReenrollSubject: "reenroll-subject", "RFC 7030 §4.2.2", "a renewal asks for another subject than the certificate has";
        ReenrollNames: "reenroll-names", "RFC 7030 §4.2.2", "a renewal asks for other alternative names than the certificate has";
        ChannelBinding: "channel-binding", "RFC 7030 §3.5", "the certificate request is bound to another connection";
        ChannelBindingMissing: "channel-binding-missing", "RFC 7030 §3.5", "the certificate request is not bound to its connection";
        CsrSubject: "csr-subject", "RFC 9908 §3", "the subject of the certificate request is not as asked";
        CsrExtensionMissing: "csr-extension-missing", "RFC 9908 §3", "the certificate request lacks an extension that was asked for";
        CsrExtensionValue: "csr-extension-value", "RFC 9908 §3", "an extension of the certificate request is not as asked";
        CsrKeyType: "csr-key-type", "RFC 9908 §3", "the key of the certificate request is not of the kind asked for";
        CsrAttributeMissing: "csr-attribute-missing", "RFC 8951 §3.2", "the certificate request lacks an attribute that was asked for";
    }
}

vouchsafe_trust::reasons! {
    /// What our own side must not send.
    Misuse {
        EmptyChain: "empty-chain", "RFC 8995 §5", "a signer without certificate";
        SignerNotLeaf: "signer-not-leaf", "RFC 8995 §5", "the signer's key is not that of the first certificate";
        NonceLength: "nonce-length", "RFC 8366 §5.3", "a nonce has 8 to 32 bytes";
        Content: "own-content", "RFC 8995 §5", "the content cannot be encoded";
    }
}
