//! Why a message was not accepted, split by whose fault it is.
//!
//! Every reason has a stable code for journals and APIs, the section it rests on, and a text.

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
    /// The message is well formed and breaks a rule, or does not prove what it must.
    #[error("{0} ({section})", section = .0.section())]
    Refused(Refusal),
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
            Self::Unsupported(reason) => reason.section(),
            Self::Refused(reason) => reason.section(),
            Self::Misuse(reason) => reason.section(),
        }
    }

    /// A stable kebab-case name of the reason, for journals, telemetry and APIs.
    #[must_use]
    pub fn reason_code(&self) -> &'static str {
        match self {
            Self::Malformed(reason) => reason.code(),
            Self::Unsupported(reason) => reason.code(),
            Self::Refused(reason) => reason.code(),
            Self::Misuse(reason) => reason.code(),
        }
    }

    /// The broken rule, if that is what this is.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused(reason) => Some(*reason),
            Self::Malformed(_) | Self::Unsupported(_) | Self::Misuse(_) => None,
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

/// One enum of reasons: each variant with its code, its section and its text.
macro_rules! reasons {
    ($(#[$meta:meta])* $name:ident { $($variant:ident: $code:literal, $section:literal, $text:literal;)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $(#[doc = concat!($text, " (", $section, ").")] $variant,)*
        }

        impl $name {
            /// Every reason, for documentation and for tests that want each one covered.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The stable kebab-case name.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code),* }
            }

            /// The section that says so.
            #[must_use]
            pub fn section(self) -> &'static str {
                match self { $(Self::$variant => $section),* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $(Self::$variant => $text),* })
            }
        }
    };
}

reasons! {
    /// What is wrong with the form of the bytes.
    Malformed {
        TooLarge: "too-large", "Wi-Fi Easy Connect 3.0 §8.1", "the message is larger than the limit";
        Frame: "frame-malformed", "Wi-Fi Easy Connect 3.0 §8.2", "the bytes are no DPP frame";
        Attribute: "attribute-truncated", "Wi-Fi Easy Connect 3.0 §8.1", "an attribute ends beyond the message";
        TooManyAttributes: "too-many-attributes", "Wi-Fi Easy Connect 3.0 §8.1", "the message has more attributes than the limit";
        DuplicateAttribute: "attribute-duplicate", "Wi-Fi Easy Connect 3.0 §8.1", "an attribute is given twice";
        AttributeLength: "attribute-length", "Wi-Fi Easy Connect 3.0 §8.1", "an attribute does not have its length";
        AfterWrappedData: "attribute-after-wrapped-data", "Wi-Fi Easy Connect 3.0 §8.1", "an attribute follows the wrapped data, where nothing protects it";
        Point: "point-length", "Wi-Fi Easy Connect 3.0 §3.2.3", "a point does not have the length of its curve's";
        PublicKey: "public-key-malformed", "Wi-Fi Easy Connect 3.0 §5.2.1", "the public key is not a SubjectPublicKeyInfo with a named curve";
        PrivateKey: "private-key-malformed", "RFC 5915 §3", "the private key is not the one number that it should be";
        Gas: "gas-malformed", "Wi-Fi Easy Connect 3.0 §8.3", "the bytes are no GAS message of DPP";
    }
}

reasons! {
    /// What is well formed and still not taken.
    Unsupported {
        Curve: "curve-unavailable", "Wi-Fi Easy Connect 3.0 §3.2.2", "there is no sound implementation of this curve here";
        CurveUnknown: "curve-unknown", "Wi-Fi Easy Connect 3.0 §3.2.2", "the curve is none of the protocol's";
    }
}

reasons! {
    /// Which rule a well-formed message breaks.
    Refusal {
        PointOffCurve: "point-off-curve", "Wi-Fi Easy Connect 3.0 §3.2.3", "the point is not on the curve";
        PointAtInfinity: "point-at-infinity", "Wi-Fi Easy Connect 3.0 §3.2.3", "the computation ends at the point at infinity";
        CurveMismatch: "curve-mismatch", "Wi-Fi Easy Connect 3.0 §3.2.2", "the keys are of different curves";
    }
}

reasons! {
    /// What our own side must not do, or failed at.
    Misuse {
        Entropy: "entropy-short", "Wi-Fi Easy Connect 3.0 §3.2", "too few random octets for a key or nonce";
        KeyDevice: "key-device-failed", "Wi-Fi Easy Connect 3.0 §5.2", "the device that holds the key failed";
    }
}
