//! Wi-Fi Easy Connect: how a device without a screen gets into a Wi-Fi network.
//!
//! 1. The device's bootstrapping key comes from its birth folder ([`key`]); its public half is on the
//!    label. A device without a label may be told a code ([`code`]).
//! 2. The device finds a controller, over TCP ([`enrollee`]) or over the air, where `wpa_supplicant`
//!    speaks the protocol ([`crate::supplicant`]). Both prove themselves as far as they know each
//!    other's key.
//! 3. It asks for its configuration, waits where a person has to decide, and checks what comes.
//! 4. What it got is kept ([`configuration`]), the controller is told, and the supplicant gets the
//!    networks.

pub(crate) mod again;
pub(crate) mod certificate;
pub(crate) mod code;
pub(crate) mod configuration;
pub mod enrollee;
pub(crate) mod given;
pub(crate) mod join;
pub(crate) mod key;

use std::net::SocketAddr;

use crate::error::LocalError;
use crate::supplicant::SupplicantError;
use configuration::Network;

/// How an attempt goes, for who watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The device announced its presence.
    Announced,
    /// Authentication succeeded.
    Authenticated {
        /// Whether the network proved its bootstrapping key as well.
        mutual: bool,
    },
    /// An exchange failed; the device goes on announcing itself.
    Failed {
        /// What the supplicant says of it.
        said: String,
    },
}

/// Why a device got no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WifiError {
    /// The device itself.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// The supplicant.
    #[error("{0}")]
    Supplicant(SupplicantError),
    /// No connection to the controller, or it broke.
    #[error("the controller at {address} cannot be reached: {source}")]
    Connection {
        /// Where it should be.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The controller hung up. One that does not know a device's key says no more than that.
    #[error("the controller hung up when the {due} was due: does it know this device's key?")]
    Closed {
        /// The message.
        due: &'static str,
    },
    /// The controller says nothing more.
    #[error("the controller has fallen silent: no {due}")]
    Silent {
        /// The message.
        due: &'static str,
    },
    /// A message breaks a rule, or the controller refuses.
    #[error("{0}")]
    Protocol(#[from] vouchsafe_dpp::Error),
    /// The controller asks to come back for longer than the device does.
    #[error("the controller keeps asking to come back: nobody has decided yet")]
    ComeBackForEver,
    /// No answer came in time.
    #[error("no configurator took up the device in time")]
    TimedOut,
    /// The device knows the controller's key and the controller did not prove that it has it.
    #[error("the configurator did not prove the key that this device knows")]
    NotMutual,
    /// The configuration cannot be used.
    #[error("the configuration cannot be used: {0}")]
    Unusable(#[from] UnusableConfiguration),
}

impl WifiError {
    /// A stable kebab-case name, for events and logs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Local(_) => "local",
            Self::Supplicant(error) => error.code(),
            Self::Connection { .. } => "controller-unreachable",
            Self::Closed { .. } => "controller-closed",
            Self::Silent { .. } => "controller-silent",
            Self::Protocol(error) => error.reason_code(),
            Self::ComeBackForEver => "not-yet",
            Self::TimedOut => "not-taken-up",
            Self::NotMutual => "mutual-required",
            Self::Unusable(reason) => reason.code(),
        }
    }

    /// The section that a refusal rests on.
    #[must_use]
    pub fn section(&self) -> &'static str {
        match self {
            Self::Protocol(error) => error.section(),
            Self::Unusable(_) => "Wi-Fi Easy Connect 3.0 §4.5",
            Self::NotMutual => "Wi-Fi Easy Connect 3.0 §6.3.3",
            _ => "Wi-Fi Easy Connect 3.0 §6",
        }
    }
}

/// What is wrong with a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnusableConfiguration {
    /// It names no network.
    #[error("it names no network")]
    NoNetwork,
    /// The SSID is empty or too long.
    #[error("its SSID is not of 1 to 32 bytes")]
    Ssid,
    /// None of the methods it names is one that this device knows.
    #[error("none of its methods is one that this device knows")]
    Method,
    /// What a method needs is missing.
    #[error("it lacks what its method needs")]
    NoSecret,
    /// A passphrase or PSK of the wrong length, or with control characters.
    #[error("its passphrase is not one that can be used")]
    Passphrase,
    /// A value is not in the form it should have.
    #[error("a value has not the form that it should have")]
    Garbled,
    /// The certificates are unreadable, or there are none.
    #[error("its certificates cannot be read")]
    Certificates,
    /// The network wants a kind of key that this device does not make.
    #[error("it asks for a certificate on a kind of key that this device does not make")]
    KeyKind,
    /// The connector is for another role.
    #[error("its connector is for another role than the one that was asked for")]
    Role,
    /// It does not say who vouches for the server of its 802.1X: any server would pass.
    #[error("it names no authority by which the network's server could be known")]
    NoServerAuthority,
    /// None of the certificates is for the device's key.
    #[error("none of its certificates is for the key that was sent")]
    OtherKey,
}

impl UnusableConfiguration {
    /// A stable kebab-case name.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::NoNetwork => "configuration-empty",
            Self::Ssid => "configuration-ssid",
            Self::Method => "configuration-method",
            Self::NoSecret => "configuration-incomplete",
            Self::Passphrase => "configuration-passphrase",
            Self::Garbled => "configuration-garbled",
            Self::Certificates => "configuration-certificates",
            Self::KeyKind => "configuration-key-kind",
            Self::Role => "configuration-role",
            Self::NoServerAuthority => "configuration-server-authority",
            Self::OtherKey => "configuration-other-key",
        }
    }
}

/// The methods that a network can be joined by.
const METHODS: [&str; 4] = ["psk", "sae", "dpp", "dot1x"];

impl Network {
    /// Whether it has what at least one of its methods needs (Wi-Fi Easy Connect 3.0 §4.5).
    pub(crate) fn check(&self) -> Result<(), UnusableConfiguration> {
        if self.ssid.is_empty() || self.ssid.len() > 32 {
            return Err(UnusableConfiguration::Ssid);
        }
        let methods: Vec<&str> = self
            .akm
            .split('+')
            .filter(|method| METHODS.contains(method))
            .collect();
        if methods.is_empty() {
            return Err(UnusableConfiguration::Method);
        }
        let plain = |bytes: &[u8]| {
            std::str::from_utf8(bytes).is_ok_and(|text| !text.chars().any(char::is_control))
        };
        if let Some(passphrase) = &self.passphrase {
            let bytes = passphrase.expose();
            // IEEE 802.11 §J.4.1: 8 to 63 characters where a PSK is made of it.
            let long = !methods.contains(&"psk") || (8..=63).contains(&bytes.len());
            if bytes.is_empty() || bytes.len() > 128 || !plain(bytes) || !long {
                return Err(UnusableConfiguration::Passphrase);
            }
        }
        if self
            .psk
            .as_ref()
            .is_some_and(|psk| psk.expose().len() != 32)
        {
            return Err(UnusableConfiguration::Passphrase);
        }
        if let Some(identifier) = &self.identifier
            && (!plain(identifier.as_bytes()) || identifier.contains('"'))
        {
            return Err(UnusableConfiguration::Passphrase);
        }
        if let Some(connector) = &self.connector
            && !connector
                .text
                .bytes()
                .all(|b| b.is_ascii_graphic() && b != b'"')
        {
            return Err(UnusableConfiguration::Garbled);
        }
        if let Some(certificate) = &self.certificate
            && let Some(name) = &certificate.server_name
            && !name.bytes().all(|b| b.is_ascii_graphic() && b != b'"')
        {
            return Err(UnusableConfiguration::Garbled);
        }
        // Without one a supplicant looks at no certificate, and a name alone is anybody's (RFC 5216 §5.3).
        if let Some(certificate) = &self.certificate
            && certificate.server_ca.is_none()
        {
            return Err(UnusableConfiguration::NoServerAuthority);
        }
        let usable = methods.iter().any(|method| match *method {
            "psk" => self.passphrase.is_some() || self.psk.is_some(),
            "sae" => self.passphrase.is_some(),
            "dpp" => self.connector.is_some(),
            _ => self.certificate.is_some(),
        });
        match usable {
            true => Ok(()),
            false => Err(UnusableConfiguration::NoSecret),
        }
    }
}
