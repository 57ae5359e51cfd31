//! Status values, by which one side tells the other how it went.

/// The status of a message (Wi-Fi Easy Connect 3.0 §8.1.1.1, table 32).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// All is well.
    Ok,
    /// The capabilities do not fit together.
    NotCompatible,
    /// Authentication failed.
    AuthenticationFailure,
    /// Wrapped data did not open: in PKEX, a wrong code.
    UnwrapFailure,
    /// The finite cyclic group is not supported.
    BadGroup,
    /// The configurator refuses to configure.
    ConfigureFailure,
    /// The responder needs more time: a person has to scan the initiator's code.
    ResponsePending,
    /// A connector did not verify.
    InvalidConnector,
    /// Connectors of different networks or roles.
    NoMatch,
    /// The enrollee does not take the configuration.
    ConfigurationRejected,
    /// The enrollee does not find the network.
    NoAccessPoint,
    /// The configurator needs more time.
    ConfigurePending,
    /// The enrollee must send a certificate request.
    CertificateRequestNeeded,
    /// The certificate request was not acceptable.
    CertificateRequestBad,
    /// The enrollee must bring a protocol key on another curve.
    NewKeyNeeded,
}

impl Status {
    /// All values, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::Ok,
        Self::NotCompatible,
        Self::AuthenticationFailure,
        Self::UnwrapFailure,
        Self::BadGroup,
        Self::ConfigureFailure,
        Self::ResponsePending,
        Self::InvalidConnector,
        Self::NoMatch,
        Self::ConfigurationRejected,
        Self::NoAccessPoint,
        Self::ConfigurePending,
        Self::CertificateRequestNeeded,
        Self::CertificateRequestBad,
        Self::NewKeyNeeded,
    ];

    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::NotCompatible => 1,
            Self::AuthenticationFailure => 2,
            Self::UnwrapFailure => 3,
            Self::BadGroup => 4,
            Self::ConfigureFailure => 5,
            Self::ResponsePending => 6,
            Self::InvalidConnector => 7,
            Self::NoMatch => 8,
            Self::ConfigurationRejected => 9,
            Self::NoAccessPoint => 10,
            Self::ConfigurePending => 11,
            Self::CertificateRequestNeeded => 12,
            Self::CertificateRequestBad => 13,
            Self::NewKeyNeeded => 14,
        }
    }

    /// The value of a number; those not assigned are none.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The stable kebab-case name.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotCompatible => "not-compatible",
            Self::AuthenticationFailure => "authentication-failure",
            Self::UnwrapFailure => "unwrap-failure",
            Self::BadGroup => "bad-group",
            Self::ConfigureFailure => "configure-failure",
            Self::ResponsePending => "response-pending",
            Self::InvalidConnector => "invalid-connector",
            Self::NoMatch => "no-match",
            Self::ConfigurationRejected => "configuration-rejected",
            Self::NoAccessPoint => "no-access-point",
            Self::ConfigurePending => "configure-pending",
            Self::CertificateRequestNeeded => "certificate-request-needed",
            Self::CertificateRequestBad => "certificate-request-bad",
            Self::NewKeyNeeded => "new-key-needed",
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}
