//! Why a message was not accepted, split by whose fault it is.
//!
//! Every reason has a stable code for journals and counters, the section it rests on, and a text.

use vouchsafe_trust::PathError;

/// Anything this crate refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes do not have the form that the specification gives them.
    #[error("{0} ({section})", section = .0.section())]
    Malformed(Malformed),
    /// Well formed, and breaks a rule.
    #[error("{0} ({section})", section = .0.section())]
    Refused(Refusal),
    /// The peer's certificate did not prove itself.
    #[error("the peer's certificate: {0}")]
    Certificate(PathError),
    /// The TLS handshake failed for another reason than the certificate.
    #[error("TLS: {0}")]
    Tls(TlsFailure),
    /// The caller asked for something that must not be sent.
    #[error("{0} ({section})", section = .0.section())]
    Misuse(Misuse),
}

impl Error {
    /// A stable kebab-case name of the reason.
    #[must_use]
    pub fn reason_code(&self) -> &'static str {
        match self {
            Self::Malformed(reason) => reason.code(),
            Self::Refused(reason) => reason.code(),
            Self::Certificate(error) => error.code(),
            Self::Tls(reason) => reason.code(),
            Self::Misuse(reason) => reason.code(),
        }
    }

    /// The section that the refusal rests on.
    #[must_use]
    pub fn section(&self) -> &'static str {
        match self {
            Self::Malformed(reason) => reason.section(),
            Self::Refused(reason) => reason.section(),
            Self::Certificate(_) => "RFC 5216 §5.3",
            Self::Tls(reason) => reason.section(),
            Self::Misuse(reason) => reason.section(),
        }
    }
}

impl From<Malformed> for Error {
    fn from(reason: Malformed) -> Self {
        Self::Malformed(reason)
    }
}

impl From<Refusal> for Error {
    fn from(reason: Refusal) -> Self {
        Self::Refused(reason)
    }
}

impl From<TlsFailure> for Error {
    fn from(reason: TlsFailure) -> Self {
        Self::Tls(reason)
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
        PacketTooShort: "packet-too-short", "RFC 2865 §3", "the packet is shorter than its header or than its Length says";
        PacketTooLong: "packet-too-long", "RFC 2865 §3", "the packet says that it is longer than 4096 octets";
        AttributeLength: "attribute-length", "RFC 2865 §5", "an attribute's length does not fit the packet";
        AttributeValue: "attribute-value", "RFC 2865 §5", "an attribute's value does not have its type";
        AttributeTwice: "attribute-twice", "RFC 2865 §5.44", "an attribute that may stand once stands twice";
        EapNotConsecutive: "eap-message-not-consecutive", "RFC 3579 §3.1", "other attributes stand between the EAP-Message attributes";
        EapLength: "eap-length", "RFC 3748 §4", "the EAP packet's length is not that of its bytes";
        EapCode: "eap-code", "RFC 3748 §4", "the EAP code is none of the four";
        EapTypeMissing: "eap-type-missing", "RFC 3748 §4.1", "an EAP request or response without a type";
        EapIdentity: "eap-identity", "RFC 3748 §5.1", "the EAP identity is not text or longer than 253 octets";
        EapTlsFlags: "eap-tls-flags", "RFC 5216 §3.1", "an EAP-TLS message without flags, or with a length it has no room for";
        MppeKey: "mppe-key", "RFC 2548 §2.4.2", "an encrypted session key does not decrypt to a key";
    }
}

vouchsafe_trust::reasons! {
    /// Which rule a well-formed message breaks.
    Refusal {
        UnknownClient: "unknown-client", "RFC 2865 §3", "the packet comes from nobody with whom a secret is shared";
        CodeUnexpected: "code-unexpected", "RFC 2865 §3", "a packet of this code does not belong on this port";
        MessageAuthenticatorMissing: "message-authenticator-missing", "RFC 3579 §3.2", "the packet has no Message-Authenticator";
        MessageAuthenticatorWrong: "message-authenticator-wrong", "RFC 3579 §3.2", "the Message-Authenticator is wrong: another secret, or altered bytes";
        AuthenticatorWrong: "authenticator-wrong", "RFC 2866 §3", "the authenticator is wrong: another secret, or altered bytes";
        ResponseUnmatched: "response-unmatched", "RFC 2865 §3", "the response answers no request that is open";
        NoEapMessage: "no-eap-message", "RFC 3579 §2.2", "the request holds no EAP message, and nothing else is accepted";
        StateUnknown: "state-unknown", "RFC 2865 §5.24", "the State names no conversation that is open";
        StateMissing: "state-missing", "RFC 3579 §2.6.1", "an EAP response that is not an identity came without State";
        EapCodeUnexpected: "eap-code-unexpected", "RFC 3748 §4", "an EAP request, success or failure came from the wrong side";
        EapIdentifierUnexpected: "eap-identifier-unexpected", "RFC 3748 §4.1", "the EAP response answers another request";
        MethodDowngrade: "eap-method-downgrade", "RFC 3748 §5.3.1", "the peer asks for another method than EAP-TLS";
        MethodChanged: "eap-method-changed", "RFC 3748 §2", "the peer answers with another method than the one that runs";
        FragmentLengthMissing: "fragment-length-missing", "RFC 5216 §2.1.5", "the first of several fragments does not say the whole length";
        FragmentLengthChanged: "fragment-length-changed", "RFC 5216 §2.1.5", "a later fragment names another whole length";
        FragmentOverrun: "fragment-overrun", "RFC 5216 §2.1.5", "the fragments are longer together than the first one said";
        FragmentShort: "fragments-short", "RFC 5216 §2.1.5", "the last fragment came before the whole length was reached";
        FragmentEmpty: "fragment-empty", "RFC 5216 §2.1.5", "a fragment that announces more carries nothing";
        FragmentUnexpected: "fragment-unexpected", "RFC 5216 §2.1.5", "data came while an acknowledgement was due";
        AcknowledgementUnexpected: "acknowledgement-unexpected", "RFC 5216 §2.1.5", "an empty message came while data was due";
        MessageTooLarge: "tls-message-too-large", "RFC 5216 §3.1", "a TLS flight is longer than the limit";
        TooManyRounds: "too-many-rounds", "RFC 3748 §7.9", "the conversation does not come to an end";
        StartUnexpected: "start-unexpected", "RFC 5216 §2.1.1", "a start in the middle of a conversation";
        IdentityMismatch: "identity-mismatch", "RFC 5216 §5.2", "the identity is neither anonymous nor a name in the certificate";
        ServerNameMismatch: "server-name-mismatch", "RFC 5216 §5.2", "the server's certificate is for another name";
        ResumptionForbidden: "resumption-forbidden", "RFC 9190 §2.1.2", "the handshake was resumed where that is not allowed";
        SuccessTooEarly: "success-too-early", "RFC 9190 §2.1.1", "success was announced before the handshake and its indication ended";
        FailureByServer: "failure-by-server", "RFC 3748 §4.2", "the server ended the conversation with a failure";
        KeyMissing: "session-key-missing", "RFC 3579 §3.8", "the acceptance carries no session keys, or other ones";
        EventTimestampMissing: "event-timestamp-missing", "RFC 5176 §6.3", "the request has no Event-Timestamp";
        EventTimestampStale: "event-timestamp-stale", "RFC 5176 §6.3", "the Event-Timestamp is too far from now: a replay, or a wrong clock";
        Replayed: "replayed", "RFC 5176 §6.3", "this very request was answered before";
        NotAuthorized: "not-authorized", "RFC 5216 §5.7", "the peer is who it says, and may not come in";
        DeviceNotNamed: "session-not-identified", "RFC 5176 §3", "the request does not say which session it means";
        AccountingStatus: "accounting-status", "RFC 2866 §5.1", "the accounting record does not say what it reports";
    }
}

vouchsafe_trust::reasons! {
    /// Why a TLS handshake ended, other than for the peer's certificate.
    TlsFailure {
        Version: "tls-version", "RFC 8996 §2", "no TLS version in common: 1.2 is the oldest that is spoken";
        NothingInCommon: "tls-nothing-in-common", "RFC 9325 §4", "no cipher suite, group or signature scheme in common";
        NoCertificate: "no-certificate", "RFC 5216 §2.1.1", "the peer showed no certificate";
        CertificateUnreadable: "certificate-unreadable", "RFC 5280 §4.1", "a certificate of the peer cannot be read, or there are too many";
        NotTheKey: "wrong-key", "RFC 5216 §2.1.1", "the peer does not hold the key of the certificate that it shows";
        Finished: "tls-altered", "RFC 8446 §4.4.4", "the handshake's messages were altered on the way";
        RefusedByPeer: "refused-by-peer", "RFC 5216 §2.1.3", "the peer refused us with an alert";
        Protocol: "tls-protocol", "RFC 8446 §6", "the peer does not speak TLS as expected";
    }
}

vouchsafe_trust::reasons! {
    /// What our own side must not send.
    Misuse {
        PacketFull: "packet-full", "RFC 2865 §3", "the attributes do not fit in 4096 octets";
        AttributeTooLong: "attribute-too-long", "RFC 2865 §5", "an attribute's value has at most 253 octets";
        Tls: "tls-configuration", "RFC 5216 §2.1", "TLS cannot be set up from these settings";
        SegmentName: "segment-name", "RFC 2868 §3.6", "a segment's name has 1 to 249 octets and begins with a printable character";
        FragmentSize: "fragment-size", "RFC 5216 §2.1.5", "a fragment has 64 to 3800 octets";
    }
}
