//! What can go wrong: in this device ([`LocalError`]), or with a network ([`Failure`]).

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use vouchsafe_net::ClientError;

/// The device itself cannot go on: no other network would help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// There is no birth folder.
    #[error(
        "{0} holds no birth/device.toml: provision the device, or make it with `vouchsafe-agent birth`"
    )]
    NotBorn(PathBuf),
    /// There is a birth folder already.
    #[error("{0} holds a birth credential already; it is kept as it is")]
    Born(PathBuf),
    /// Another agent works in this folder.
    #[error("another agent is at work in {0}")]
    Busy(PathBuf),
    /// A file could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file could not be written or removed.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file does not hold what it should. It was left as it is.
    #[error("{path}: {why}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A value of the configuration cannot be used.
    #[error("configuration, {key}: {why}")]
    Config {
        /// The key.
        key: &'static str,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// The key store.
    #[error(transparent)]
    Keys(#[from] vouchsafe_keystore::Error),
    /// A chain and its key do not make a TLS identity.
    #[error("the device's certificate and key do not belong together: {0}")]
    Identity(#[from] vouchsafe_net::IdentityError),
    /// Something could not be signed or encoded.
    #[error("cannot sign: {0}")]
    Sign(String),
    /// A thread of ours died.
    #[error("a working thread ended without a result")]
    Thread,
    /// mDNS cannot run on this machine.
    #[error("mDNS: {0}: name a registrar with --registrar, or choose --mdns-interface")]
    Discovery(String),
}

impl LocalError {
    pub(crate) fn damaged(path: &Path, why: impl fmt::Display) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            why: why.to_string(),
        }
    }
}

/// A step of an attempt, as a name in reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// `requestvoucher` (RFC 8995 §5.2).
    VoucherRequest,
    /// `cacerts` (RFC 8995 §5.9.1).
    CaCerts,
    /// `csrattrs` (RFC 8995 §5.9.2).
    CsrAttrs,
    /// `simpleenroll` (RFC 8995 §5.9.3).
    Enroll,
    /// `simplereenroll` (RFC 7030 §4.2.2).
    Reenroll,
    /// The two status reports (RFC 8995 §5.7, §5.9.4).
    Report,
    /// Which networks the certificate opens.
    Networks,
}

impl Step {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::VoucherRequest => "requestvoucher",
            Self::CaCerts => "cacerts",
            Self::CsrAttrs => "csrattrs",
            Self::Enroll => "simpleenroll",
            Self::Reenroll => "simplereenroll",
            Self::Report => "status report",
            Self::Networks => "networks",
        }
    }

    /// The section that describes it.
    pub fn section(self) -> &'static str {
        match self {
            Self::VoucherRequest => "RFC 8995 §5.6",
            Self::CaCerts => "RFC 8995 §5.9.1",
            Self::CsrAttrs => "RFC 8995 §5.9.2",
            Self::Enroll => "RFC 8995 §5.9.3",
            Self::Reenroll => "RFC 7030 §4.2.2",
            Self::Report => "RFC 8995 §5.7",
            Self::Networks => "docs/decisions 27",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why an attempt on one network failed. The device puts the network aside and tries another.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// No connection, or it broke.
    #[error("{0}")]
    Connection(#[from] ClientError),
    /// The registrar said no.
    #[error("{step} was answered with {status}: {said}")]
    Answered {
        /// To what.
        step: Step,
        /// The HTTP status.
        status: u16,
        /// What it said, one line, cut short.
        said: String,
    },
    /// The registrar asks for patience beyond what is waited for on the connection.
    #[error("the registrar asks to come back in {} s", retry_after.as_secs())]
    NotYet {
        /// When to ask again.
        retry_after: Duration,
    },
    /// It asked for patience for too long (RFC 8995 §5.6: four days).
    #[error("the registrar has asked for patience for four days")]
    PatienceOver,
    /// What it sent breaks a rule: voucher, certificate chain, EST body.
    #[error("{0}")]
    Refused(#[from] vouchsafe_brski::Error),
    /// The registrar behind the address is not the one that the request was made for
    /// (RFC 8995 §5: both connections must show the same certificate).
    #[error("another registrar answers now than the one that was asked for the voucher")]
    OtherRegistrar,
    /// More than one redirection, or one where none is allowed.
    #[error("redirected again: one redirection is followed, and only before the voucher")]
    Redirected,
    /// The certificate issued is not one that can be used.
    #[error("the certificate from the domain cannot be used: {0}")]
    Certificate(UnusableCertificate),
    /// The device cannot go on.
    #[error(transparent)]
    Local(#[from] LocalError),
}

/// What is wrong with a certificate that a domain issued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnusableCertificate {
    /// It certifies another key than the request's.
    #[error("it is not for the key that was sent")]
    OtherKey,
    /// It names another device.
    #[error("it names another serial number than the device's")]
    OtherSerial,
    /// It does not lead to the domain's certificates, or is not valid.
    #[error("{0}")]
    Path(vouchsafe_trust::PathError),
    /// The domain gave no CA certificate.
    #[error("the domain gave no certificate of a certification authority")]
    NoAuthority,
    /// The request asks for a kind of key that cannot be made here.
    #[error("the domain wants a kind of key that this device does not make")]
    KeyKind,
}

impl Failure {
    /// A stable kebab-case name, for events and logs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Connection(error) => error.as_str(),
            Self::Answered { .. } => "refused-by-registrar",
            Self::NotYet { .. } => "not-yet",
            Self::PatienceOver => "patience-over",
            Self::Refused(error) => error.reason_code(),
            Self::OtherRegistrar => "other-registrar",
            Self::Redirected => "redirected-again",
            Self::Certificate(_) => "certificate-unusable",
            Self::Local(_) => "local",
        }
    }

    /// The section that it rests on.
    pub fn section(&self) -> &'static str {
        match self {
            Self::Connection(_) => "RFC 8995 §5.1",
            Self::Answered { step, .. } => step.section(),
            Self::NotYet { .. } | Self::PatienceOver | Self::Redirected => "RFC 8995 §5.6",
            Self::Refused(error) => error.section(),
            Self::OtherRegistrar => "RFC 8995 §5",
            Self::Certificate(_) => "RFC 7030 §4.2.3",
            Self::Local(_) => "",
        }
    }
}

impl From<vouchsafe_keystore::Error> for Failure {
    fn from(error: vouchsafe_keystore::Error) -> Self {
        Self::Local(error.into())
    }
}

/// Why the agent stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The device itself.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// No registrar was found.
    #[error("no registrar was found: name one with --registrar, or check that mDNS reaches it")]
    NoCandidate,
    /// Every network that was found was tried, and none took the device.
    #[error("none of {tried} networks took the device; the last one: {last}")]
    NothingWorked {
        /// How many were tried.
        tried: usize,
        /// Why the last one did not.
        last: Failure,
    },
    /// No open network led to a registrar: none was there, or all of them are left alone for a while.
    #[error("no open network {sought} is there to be tried")]
    NoOpenNetwork {
        /// What was looked for.
        sought: String,
    },
    /// An open network is there, and yet the device is not in it.
    #[error("the network does not let the device in")]
    NotLetIn,
    /// The registrar was asked and named no network.
    #[error("the registrar knows of no network that the certificate opens")]
    NotTold,
    /// An open network kept the device for too long.
    #[error("nothing came of it in {} s", stayed.as_secs())]
    Stayed {
        /// How long the device was there.
        stayed: Duration,
    },
    /// The supplicant, through which the device comes into networks.
    #[error(transparent)]
    Supplicant(#[from] crate::supplicant::SupplicantError),
    /// The device got no Wi-Fi configuration.
    #[error("no Wi-Fi configuration: {0}")]
    Wifi(crate::wifi::WifiError),
    /// There is no credential to renew.
    #[error("the device has no credential of a domain yet: run it first")]
    NotOnboarded,
}

impl AgentError {
    /// A stable kebab-case name, for events, logs and programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Local(_) => "local",
            Self::NoCandidate => "no-candidate",
            Self::NothingWorked { last, .. } => last.code(),
            Self::NoOpenNetwork { .. } => "no-open-network",
            Self::NotLetIn => "not-let-in",
            Self::NotTold => "no-network-told",
            Self::Stayed { .. } => "stayed-too-long",
            Self::Supplicant(error) => error.code(),
            Self::Wifi(error) => error.code(),
            Self::NotOnboarded => "not-onboarded",
        }
    }

    /// The section that it rests on.
    pub(crate) fn section(&self) -> &'static str {
        match self {
            Self::NothingWorked { last, .. } => last.section(),
            Self::Wifi(error) => error.section(),
            _ => "",
        }
    }
}
