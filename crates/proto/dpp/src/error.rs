//! Why a message was not accepted, split by whose fault it is.
//!
//! Every reason has a stable code for journals and APIs, the section it rests on, and a text.

use crate::attribute::AttributeId;
use crate::status::Status;

/// Anything this crate refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes do not have the form that the specification gives them.
    #[error("{0}")]
    Malformed(Malformed),
    /// A member of a JSON object is not as it should be.
    #[error("the member {name} {fault}")]
    Member {
        /// The member's name.
        name: &'static str,
        /// What is wrong with it.
        fault: MemberFault,
    },
    /// An attribute is not as its message needs it.
    #[error("the {id} attribute {fault}")]
    Attribute {
        /// Which attribute.
        id: AttributeId,
        /// What is wrong with it.
        fault: AttributeFault,
    },
    /// Well formed, but something that is not implemented or not negotiated.
    #[error("{0}")]
    Unsupported(Unsupported),
    /// The message is well formed and breaks a rule, or does not prove what it must.
    #[error("{0} ({section})", section = .0.section())]
    Refused(Refusal),
    /// The peer itself says that it gives up: in authentication and configuration under a key that
    /// only it holds, elsewhere (PKEX, reconfiguration) in clear.
    #[error("the peer says: {0}")]
    Peer(Status),
    /// A refusal that the peer must hear of: [`Error::reply`] is to be sent, then nothing more.
    #[error("{error}")]
    Answered {
        /// Why it was refused.
        error: Box<Error>,
        /// The frame to send.
        reply: Vec<u8>,
    },
    /// The caller asked for something that must not be done, or a key device failed.
    #[error("{0}")]
    Misuse(Misuse),
}

impl Error {
    /// The section that the refusal rests on, such as `Wi-Fi Easy Connect 3.0 §6.3.3`.
    #[must_use]
    pub fn section(&self) -> &'static str {
        match self {
            Self::Malformed(reason) => reason.section(),
            Self::Member { .. } => "Wi-Fi Easy Connect 3.0 §4.4",
            Self::Unsupported(reason) => reason.section(),
            Self::Refused(reason) => reason.section(),
            Self::Attribute { .. } => "Wi-Fi Easy Connect 3.0 §8.1",
            Self::Peer(_) => "Wi-Fi Easy Connect 3.0 §8.1.1.1",
            Self::Answered { error, .. } => error.section(),
            Self::Misuse(reason) => reason.section(),
        }
    }

    /// A stable kebab-case name of the reason, for journals, telemetry and APIs.
    #[must_use]
    pub fn reason_code(&self) -> &'static str {
        match self {
            Self::Malformed(reason) => reason.code(),
            Self::Member { fault, .. } => fault.code(),
            Self::Unsupported(reason) => reason.code(),
            Self::Refused(reason) => reason.code(),
            Self::Attribute { fault, .. } => fault.code(),
            Self::Peer(status) => status.code(),
            Self::Answered { error, .. } => error.reason_code(),
            Self::Misuse(reason) => reason.code(),
        }
    }

    /// The broken rule, if that is what this is.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused(reason) => Some(*reason),
            Self::Answered { error, .. } => error.refusal(),
            Self::Malformed(_)
            | Self::Attribute { .. }
            | Self::Member { .. }
            | Self::Unsupported(_)
            | Self::Peer(_)
            | Self::Misuse(_) => None,
        }
    }

    /// The frame that the specification wants sent about this refusal. Most refusals have none: what
    /// cannot be authenticated is dropped in silence.
    #[must_use]
    pub fn reply(&self) -> Option<&[u8]> {
        match self {
            Self::Answered { reply, .. } => Some(reply),
            _ => None,
        }
    }

    /// The same refusal, with a frame to send about it.
    pub(crate) fn answered(self, reply: Vec<u8>) -> Self {
        Self::Answered {
            error: Box::new(self),
            reply,
        }
    }

    pub(crate) fn missing(name: &'static str) -> Self {
        let fault = MemberFault::Missing;
        Self::Member { name, fault }
    }

    pub(crate) fn wrong_type(name: &'static str) -> Self {
        let fault = MemberFault::Type;
        Self::Member { name, fault }
    }

    pub(crate) fn value(name: &'static str) -> Self {
        let fault = MemberFault::Value;
        Self::Member { name, fault }
    }
}

/// What is wrong with an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AttributeFault {
    /// It is required and not there.
    Missing,
    /// It stands there twice.
    Duplicate,
    /// It does not have its length.
    Length,
}

impl AttributeFault {
    fn code(self) -> &'static str {
        match self {
            Self::Missing => "attribute-missing",
            Self::Duplicate => "attribute-duplicate",
            Self::Length => "attribute-length",
        }
    }
}

impl std::fmt::Display for AttributeFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Missing => "is missing",
            Self::Duplicate => "is given twice",
            Self::Length => "does not have its length",
        })
    }
}

/// What is wrong with a member of a JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemberFault {
    /// It is not there.
    Missing,
    /// It is a text where a number belongs, or the like.
    Type,
    /// It has a value that it may not have.
    Value,
}

impl MemberFault {
    fn code(self) -> &'static str {
        match self {
            Self::Missing => "member-missing",
            Self::Type => "member-type",
            Self::Value => "member-value",
        }
    }
}

impl std::fmt::Display for MemberFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Missing => "is missing",
            Self::Type => "is of another type than it should be",
            Self::Value => "has a value that it may not have",
        })
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

vouchsafe_trust::reasons! {
    /// What is wrong with the form of the bytes.
    Malformed {
        TooLarge: "too-large", "Wi-Fi Easy Connect 3.0 §8.1", "the message is larger than the limit";
        Frame: "frame-malformed", "Wi-Fi Easy Connect 3.0 §8.2", "the bytes are no DPP frame";
        Attribute: "attribute-truncated", "Wi-Fi Easy Connect 3.0 §8.1", "an attribute ends beyond the message";
        TooManyAttributes: "too-many-attributes", "Wi-Fi Easy Connect 3.0 §8.1", "the message has more attributes than the limit";
        AfterWrappedData: "attribute-after-wrapped-data", "Wi-Fi Easy Connect 3.0 §8.1", "an attribute follows the wrapped data, where nothing protects it";
        Point: "point-length", "Wi-Fi Easy Connect 3.0 §3.2.3", "a point does not have the length of its curve's";
        PublicKey: "public-key-malformed", "Wi-Fi Easy Connect 3.0 §5.2.1", "the public key is not a SubjectPublicKeyInfo with a named curve";
        PrivateKey: "private-key-malformed", "RFC 5915 §3", "the private key is not the one number that it should be";
        CsrAttributes: "csr-attributes-malformed", "Wi-Fi Easy Connect 3.0 §6.4.3", "the attributes for a certificate request are not base64";
        Gas: "gas-malformed", "Wi-Fi Easy Connect 3.0 §8.3", "the bytes are no GAS message of DPP";
        Json: "json-malformed", "RFC 8259 §2", "not one JSON document";
        JsonTooLarge: "json-too-large", "Wi-Fi Easy Connect 3.0 §4.5", "the JSON document is longer, or has more values, than the limit";
        JsonTooDeep: "json-too-deep", "Wi-Fi Easy Connect 3.0 §4.5", "the JSON document is nested deeper than the limit";
        JsonDuplicate: "json-duplicate-member", "RFC 8259 §4", "a name stands twice in one JSON object";
        UriTooLong: "uri-too-long", "Wi-Fi Easy Connect 3.0 §5.2.1", "the URI is longer than the limit";
        UriScheme: "uri-scheme", "Wi-Fi Easy Connect 3.0 §5.2.1", "the URI does not begin with DPP:";
        UriEnd: "uri-end", "Wi-Fi Easy Connect 3.0 §5.2.1", "the URI does not end with two semicolons";
        UriField: "uri-unknown-field", "Wi-Fi Easy Connect 3.0 §5.2.1", "the URI has a field that the grammar does not know";
        UriFieldTwice: "uri-field-twice", "Wi-Fi Easy Connect 3.0 §5.2.1", "the URI has a field twice";
        UriChannels: "uri-channels", "Wi-Fi Easy Connect 3.0 §5.2.1", "the channel list of the URI is malformed";
        UriMac: "uri-mac", "Wi-Fi Easy Connect 3.0 §5.2.1", "the MAC address of the URI is not twelve hexadecimal digits";
        UriInformation: "uri-information", "Wi-Fi Easy Connect 3.0 §5.2.1", "the information of the URI has characters that it may not have";
        UriVersion: "uri-version", "Wi-Fi Easy Connect 3.0 §5.2.1", "the version of the URI is no number from 1 to 255";
        UriCurves: "uri-curves", "Wi-Fi Easy Connect 3.0 §5.2.1", "the supported curves of the URI are not one or two hexadecimal digits";
        UriHost: "uri-host", "Wi-Fi Easy Connect 3.0 §5.2.1", "the host of the URI is no address or name with a port";
        UriKeyMissing: "uri-without-key", "Wi-Fi Easy Connect 3.0 §5.2.1", "the URI has no public key";
        UriKeyUncompressed: "uri-key-uncompressed", "Wi-Fi Easy Connect 3.0 §5.2.1", "the public key of the URI is not in compressed form";
        UriKeyEncoding: "uri-key-encoding", "Wi-Fi Easy Connect 3.0 §5.2.1", "the public key of the URI is not base64";
        ConnectorTooLong: "connector-too-long", "Wi-Fi Easy Connect 3.0 §4.2.2", "the connector is longer than the limit";
        ConnectorForm: "connector-form", "RFC 7515 §7.1", "the connector is not three parts with dots between them";
        ConnectorEncoding: "connector-encoding", "RFC 7515 §2", "a part of the connector is not unpadded base64url";
        ConnectorType: "connector-type", "Wi-Fi Easy Connect 3.0 §4.2.2", "the signed object is not a connector";
        ConnectorHeader: "connector-header", "RFC 7515 §4.1.11", "the connector's header demands an extension";
        ConnectorAlgorithm: "connector-algorithm-unknown", "Wi-Fi Easy Connect 3.0 §4.2.2", "the connector names an algorithm that is not ECDSA on a curve of this protocol";
        ConnectorKeyId: "connector-key-id", "Wi-Fi Easy Connect 3.0 §4.2.2", "the connector's key identifier is not a SHA-256 hash";
        Backup: "backup-malformed", "Wi-Fi Easy Connect 3.0 §7.2", "not a configurator's backup";
        CertificateBag: "certificate-bag", "Wi-Fi Easy Connect 3.0 §4.5.4", "the certificate bag is no CMS message with certificates";
        GasProtocol: "gas-other-protocol", "Wi-Fi Easy Connect 3.0 §8.3.1", "the GAS frame is for another protocol";
    }
}

vouchsafe_trust::reasons! {
    /// What is well formed and still not taken.
    Unsupported {
        Curve: "curve-unavailable", "Wi-Fi Easy Connect 3.0 §3.2.2", "there is no sound implementation of this curve here";
        CurveUnknown: "curve-unknown", "Wi-Fi Easy Connect 3.0 §3.2.2", "the curve is none of the protocol's";
        Technology: "technology-unsupported", "Wi-Fi Easy Connect 3.0 §4.4.1", "the technology is not infrastructure Wi-Fi";
        NetRole: "net-role-unsupported", "Wi-Fi Easy Connect 3.0 §4.4", "the role is not station, access point or configurator";
        Akm: "akm-unsupported", "Wi-Fi Easy Connect 3.0 §4.5.2", "the credential is of no kind that is known";
        ForVersion1: "not-in-version-1", "Wi-Fi Easy Connect 3.0 §4.5.2", "a peer of version 1 cannot be given this";
        Backup: "backup-unsupported", "Wi-Fi Easy Connect 3.0 §7.2", "the backup is packed in a way that the protocol does not have";
        PasswordIdentifier: "password-identifier-unsupported", "Wi-Fi Easy Connect 3.0 §4.5.3", "the enrollee knows no SAE password identifiers";
    }
}

vouchsafe_trust::reasons! {
    /// Which rule a well-formed message breaks.
    Refusal {
        PointOffCurve: "point-off-curve", "Wi-Fi Easy Connect 3.0 §3.2.3", "the point is not on the curve";
        PointAtInfinity: "point-at-infinity", "Wi-Fi Easy Connect 3.0 §3.2.3", "the computation ends at the point at infinity";
        Unexpected: "message-unexpected", "Wi-Fi Easy Connect 3.0 §6.1", "the message does not belong at this point of the exchange";
        Unwrap: "unwrap-failed", "Wi-Fi Easy Connect 3.0 §6.3", "the wrapped data does not open with the key of this exchange";
        ResponderHash: "responder-hash-mismatch", "Wi-Fi Easy Connect 3.0 §6.3.3", "the message is for another responder's key";
        InitiatorHash: "initiator-hash-mismatch", "Wi-Fi Easy Connect 3.0 §6.3.3", "the message names another initiator's key";
        MutualUnasked: "mutual-without-key", "Wi-Fi Easy Connect 3.0 §6.3.3", "mutual authentication is claimed with a key that the initiator does not have";
        MutualRequired: "mutual-required", "Wi-Fi Easy Connect 3.0 §6.3.3", "the peer did not prove its bootstrapping key, which is required here";
        Version: "version-zero", "Wi-Fi Easy Connect 3.0 §8.1.1.22", "the protocol version is 0";
        Capabilities: "capabilities-invalid", "Wi-Fi Easy Connect 3.0 §8.1.1.7", "the capabilities name no role";
        RoleMismatch: "role-mismatch", "Wi-Fi Easy Connect 3.0 §6.3.3", "no role is left: both want to be the same";
        NonceZero: "nonce-zero", "Wi-Fi Easy Connect 3.0 §6.3.2", "the nonce is all zeros, so it was never drawn";
        NonceMismatch: "nonce-mismatch", "Wi-Fi Easy Connect 3.0 §6.3.3", "the nonce is not the one of this exchange";
        Reflected: "reflected", "Wi-Fi Easy Connect 3.0 §6.3.3", "the peer sends our own key or nonce back";
        ResponderTag: "responder-tag-mismatch", "Wi-Fi Easy Connect 3.0 §6.3.4", "the responder's authenticating tag is wrong";
        InitiatorTag: "initiator-tag-mismatch", "Wi-Fi Easy Connect 3.0 §6.3.4", "the initiator's authenticating tag is wrong";
        Status: "status-unknown", "Wi-Fi Easy Connect 3.0 §8.1.1.1", "the status has no meaning in this message";
        EnrolleeNonce: "enrollee-nonce-mismatch", "Wi-Fi Easy Connect 3.0 §6.4.3", "the enrollee's nonce is not the one of this exchange";
        NewKeyUnasked: "new-key-unasked", "Wi-Fi Easy Connect 3.0 §6.4.2", "the enrollee brings a new protocol key that nobody asked for";
        NewKeyTag: "new-key-tag-mismatch", "Wi-Fi Easy Connect 3.0 §6.4.2", "the proof of possession of the new protocol key is wrong";
        CurveMismatch: "curve-mismatch", "Wi-Fi Easy Connect 3.0 §3.2.2", "the keys are of different curves";
        ConnectorSigner: "connector-signer-unknown", "Wi-Fi Easy Connect 3.0 §4.2.2", "the connector is signed by no configurator that is trusted here";
        ConnectorAlgorithm: "connector-algorithm-mismatch", "Wi-Fi Easy Connect 3.0 §4.2.2", "the connector's algorithm is not that of the configurator's key";
        ConnectorSignature: "connector-signature-invalid", "Wi-Fi Easy Connect 3.0 §4.2.2", "the connector's signature does not hold";
        ConnectorExpired: "connector-expired", "Wi-Fi Easy Connect 3.0 §4.2.1", "the connector has expired";
        ConnectorForeignKey: "connector-foreign-key", "Wi-Fi Easy Connect 3.0 §6.4.5", "the connector is for another key than the device's own";
        ConnectorGroup: "connector-group", "Wi-Fi Easy Connect 3.0 §6.6.2", "the connectors share no group";
        ConnectorRole: "connector-role", "Wi-Fi Easy Connect 3.0 §6.6.2", "the roles in the group do not go together";
        ConnectorCurve: "connector-curve", "Wi-Fi Easy Connect 3.0 §6.6.2", "the connectors' keys are on different curves";
        ConnectorVersion: "connector-version", "Wi-Fi Easy Connect 3.0 §6.6.2", "the peer says another version in clear than its connector";
        Transaction: "transaction-mismatch", "Wi-Fi Easy Connect 3.0 §6.6.2", "the message answers another request";
        CSignKey: "c-sign-key-other", "Wi-Fi Easy Connect 3.0 §6.5.2", "the announcement is to another configurator";
        ReconfigurationVersion: "reconfiguration-version", "Wi-Fi Easy Connect 3.0 §6.5.3", "reconfiguration takes version 2 or later";
        CertificateRequest: "certificate-request-invalid", "Wi-Fi Easy Connect 3.0 §6.4.2", "the certificate request does not prove possession of an acceptable key";
        ChallengePassword: "challenge-password-mismatch", "Wi-Fi Easy Connect 3.0 §6.4.2", "the certificate request is not bound to this exchange";
        PkexTries: "pkex-code-used-up", "Wi-Fi Easy Connect 3.0 §5.6.2", "the code was guessed wrong too often; another one must be agreed on";
        PkexIdentifier: "pkex-identifier-mismatch", "Wi-Fi Easy Connect 3.0 §5.6.2", "the message is about another code";
        PkexGroup: "pkex-group-mismatch", "Wi-Fi Easy Connect 3.0 §5.6.2", "the peer's key is on another curve";
        PkexVersion: "pkex-version-mismatch", "Wi-Fi Easy Connect 3.0 §5.6.1", "the request is of the other version of PKEX";
        PkexCode: "pkex-code-wrong", "Wi-Fi Easy Connect 3.0 §5.6.3", "the message does not open: it was made with another code";
        PkexTag: "pkex-tag-mismatch", "Wi-Fi Easy Connect 3.0 §5.6.3", "the message does not prove the bootstrapping key in it";
        GasToken: "gas-token", "IEEE 802.11 §9.4.1.22", "the GAS frame belongs to another exchange";
        GasStatus: "gas-status", "IEEE 802.11 §9.6.7.13", "the GAS query failed";
        GasOrder: "gas-order", "IEEE 802.11 §11.22.3.2", "a GAS frame that is not due";
        GasTooLong: "gas-too-long", "IEEE 802.11 §11.22.3.2", "the GAS answer is longer, or takes more frames, than the limit";
        GasFinished: "gas-finished", "IEEE 802.11 §11.22.3.2", "the GAS answer was fetched already";
    }
}

vouchsafe_trust::reasons! {
    /// What our own side must not do, or failed at.
    Misuse {
        Entropy: "entropy-short", "Wi-Fi Easy Connect 3.0 §3.2", "too few random octets for a key or nonce";
        Role: "role-misused", "Wi-Fi Easy Connect 3.0 §6.3", "this side of the exchange has the other role";
        Objects: "own-objects-number", "Wi-Fi Easy Connect 3.0 §6.4.3", "an answer has 1 to 10 configuration objects";
        Status: "own-status-misused", "Wi-Fi Easy Connect 3.0 §8.1.1.1", "a refusal cannot say that all is well";
        Key: "own-key-misused", "Wi-Fi Easy Connect 3.0 §6.3", "the key handed in is not the one that this exchange began with";
        Version: "own-version-invalid", "Wi-Fi Easy Connect 3.0 §8.1.1.22", "the version is none that is spoken here";
        Oversize: "own-message-too-large", "Wi-Fi Easy Connect 3.0 §8.1", "what is to be sent does not fit into an attribute or a frame";
        KeyLength: "key-length", "RFC 5297 §2.2", "a wrapping key does not have one of its lengths";
        KeyDevice: "key-device-failed", "Wi-Fi Easy Connect 3.0 §5.2", "the device that holds the key failed";
        SignerKey: "signer-key", "Wi-Fi Easy Connect 3.0 §4.2.2", "the signer's key is not on a curve of this protocol";
        NoGroups: "connector-groups", "Wi-Fi Easy Connect 3.0 §4.2.1", "a connector has 1 to 32 groups";
        CredentialParts: "credential-parts", "Wi-Fi Easy Connect 3.0 §4.5.2", "the credential lacks a part, or has one that it has no place for";
        Password: "password", "Wi-Fi Easy Connect 3.0 §4.5.3", "the password does not fit the kind of credential";
        PkexCode: "pkex-code-length", "Wi-Fi Easy Connect 3.0 §5.6.1", "the code or its identifier is empty or too long";
        BackupKeys: "backup-keys", "Wi-Fi Easy Connect 3.0 §7.2", "the keys do not belong together, or there are none or too many";
        Ssid: "ssid", "IEEE 802.11 §9.4.2.2", "an SSID has 1 to 32 octets";
    }
}
