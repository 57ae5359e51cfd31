//! What a device was given to get into a network.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::DeviceRole;
use crate::credential::CredentialStatus;
use crate::ids::{CredentialId, DeviceId, Digest};
use crate::policy::{Method, Onboarding};
use crate::text::text_enum;

text_enum! {
    /// What device and network proved to each other before anything moved.
    pub enum Assurance {
        /// The device proved its bootstrapping key. Whoever has read its label could have done the
        /// same to it.
        ResponderOnly = "responder-only",
        /// Each proved the key that the other had from its label.
        Mutual = "mutual",
        /// The device showed its connector. Connectors are seen in clear, and who has seen one can
        /// choose a protocol key that cancels the connector's own out of the exchange: that is good
        /// for another connector, which its owner alone can use, and for nothing secret.
        Connector = "connector",
        /// Only this network proved a key: about the device nothing is known.
        NetworkOnly = "network-only",
    }
}

/// A credential that is no certificate. Certificates of Wi-Fi networks are ordinary credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessCredential {
    /// Drawn at random by the caller: 32 hexadecimal digits.
    pub id: CredentialId,
    /// Whose it is, and nobody else's.
    pub device: DeviceId,
    /// For which network, by name.
    pub network: String,
    /// What it is.
    pub kind: AccessKind,
    /// When it stops counting by itself; none means never.
    pub expires_at: Option<Timestamp>,
    /// Whether it counts.
    pub status: CredentialStatus,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When the device reported that it works.
    pub confirmed_at: Option<Timestamp>,
}

impl AccessCredential {
    /// Whether it counts at `now`.
    #[must_use]
    pub fn is_current(&self, now: Timestamp) -> bool {
        self.status == CredentialStatus::Active && self.expires_at.is_none_or(|end| now < end)
    }
}

/// What an access credential is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum AccessKind {
    /// A signed connector. It is public; the private half never left the device.
    Connector {
        /// SHA-256 of the SubjectPublicKeyInfo (DER, compressed point) of its `netAccessKey`.
        net_access_key_sha256: Digest,
        /// `kid` of the C-sign key that signed it.
        signed_by: String,
    },
    /// A passphrase drawn at random for this device.
    Passphrase {
        /// By which the access point finds it (SAE password identifier).
        identifier: String,
        /// The passphrase, sealed by the key store under the credential's id.
        sealed: SealedPassphrase,
    },
}

impl AccessKind {
    /// The stable word for the kind.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Connector { .. } => "connector",
            Self::Passphrase { .. } => "passphrase",
        }
    }
}

/// A passphrase as the key store sealed it. Opaque here, and it does not print.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SealedPassphrase(#[serde(with = "crate::text::base64_bytes")] pub Vec<u8>);

impl fmt::Debug for SealedPassphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedPassphrase(..)")
    }
}

/// Where a device stands with Wi-Fi.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The device.
    pub device: DeviceId,
    /// The network a person meant it for; none leaves the choice to policy's segment.
    pub wanted: Option<String>,
    /// What it was configured for last.
    pub given: Option<Given>,
    /// When this changed last.
    pub updated_at: Timestamp,
}

/// A configuration as it was given to a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// The network, by name.
    pub network: String,
    /// The network's version at that time.
    pub network_version: u64,
    /// As what the device was configured.
    pub role: DeviceRole,
    /// The bootstrapping key with which it began, also when it showed its connector this time.
    pub key: Option<Digest>,
    /// What was proved then.
    pub assurance: Assurance,
    /// The name the device gives itself. A claim, and no more.
    pub called: Option<String>,
    /// The certificate it got, if it got one.
    pub certificate: Option<CredentialId>,
    /// The bootstrapping keys that ever brought it a certificate, this time or before: who loses one of them
    /// loses its certificates, those renewed since too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certified_by: Vec<Digest>,
    /// When.
    pub at: Timestamp,
    /// When the device said that it took the configuration.
    pub confirmed_at: Option<Timestamp>,
}

impl Given {
    /// How the device came in then, for policy.
    #[must_use]
    pub fn onboarding(&self) -> Onboarding<'static> {
        Onboarding {
            method: Method::Dpp,
            mutual: self.assurance == Assurance::Mutual,
            role: Some(self.role),
            said: &[],
        }
    }
}

impl Standing {
    /// A device that was given nothing and is meant for nothing in particular.
    #[must_use]
    pub const fn nothing(device: DeviceId, now: Timestamp) -> Self {
        Self {
            device,
            wanted: None,
            given: None,
            updated_at: now,
        }
    }
}

/// What a device holds: its standing, and its access credentials that are not revoked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Its standing, if there is a row.
    pub standing: Option<Standing>,
    /// Its access credentials that are not revoked.
    pub access: Vec<AccessCredential>,
}

impl Holdings {
    /// A device that Wi-Fi Easy Connect never touched.
    pub const NONE: &'static Self = &Self {
        standing: None,
        access: Vec::new(),
    };
}
