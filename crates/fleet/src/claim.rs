//! What somebody says about a device, its model, its manufacturer or its owner.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{DeviceId, Digest, ManufacturerId, OwnerId};
use crate::text::text_enum;

text_enum! {
    /// What a claim is about.
    pub enum ClaimSubjectKind {
        /// All devices of a manufacturer.
        Manufacturer = "manufacturer",
        /// All devices of a manufacturer's model.
        Model = "model",
        /// One device.
        Device = "device",
        /// A network owner.
        Owner = "owner",
    }
}

/// Whom or what a claim is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ClaimSubject {
    /// All devices of a manufacturer.
    Manufacturer {
        /// The manufacturer.
        id: ManufacturerId,
    },
    /// All devices of a manufacturer's model.
    Model {
        /// The manufacturer.
        manufacturer: ManufacturerId,
        /// The model's name.
        model: String,
    },
    /// One device.
    Device {
        /// The device.
        id: DeviceId,
    },
    /// A network owner.
    Owner {
        /// The owner.
        id: OwnerId,
    },
}

impl ClaimSubject {
    /// What kind of subject it is.
    #[must_use]
    pub const fn kind(&self) -> ClaimSubjectKind {
        match self {
            Self::Manufacturer { .. } => ClaimSubjectKind::Manufacturer,
            Self::Model { .. } => ClaimSubjectKind::Model,
            Self::Device { .. } => ClaimSubjectKind::Device,
            Self::Owner { .. } => ClaimSubjectKind::Owner,
        }
    }

    /// The key a store looks subjects up by: the name, or `manufacturer/model`.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Self::Manufacturer { id } => id.to_string(),
            Self::Model {
                manufacturer,
                model,
            } => format!("{manufacturer}/{model}"),
            Self::Device { id } => id.to_string(),
            Self::Owner { id } => id.to_string(),
        }
    }
}

text_enum! {
    /// What a claim rests on.
    #[derive(Default)]
    pub enum Strength {
        /// Its issuer's signature.
        Signed = "signed",
        /// What a gate saw of a device that had proved itself.
        Observed = "observed",
        /// What a gate saw of somebody with the device's MAC address.
        ObservedWeak = "observed-weak",
        /// Somebody's word.
        #[default]
        Stated = "stated",
    }
}

/// A claim. Keyed by issuer, subject and kind: a later one replaces an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Who says so.
    pub issuer: String,
    /// About whom.
    pub subject: ClaimSubject,
    /// What is claimed, a stable kebab-case word such as `known-by-manifest`.
    pub kind: String,
    /// The value.
    pub value: serde_json::Value,
    /// What it rests on.
    #[serde(default)]
    pub strength: Strength,
    /// When it was made.
    pub issued_at: Timestamp,
    /// When it stops counting; none means when replaced.
    pub expires_at: Option<Timestamp>,
    /// SHA-256 of the document it comes from.
    pub evidence: Option<Digest>,
    /// The issuer's signature over that document, where there is one.
    #[serde(with = "crate::text::base64_option", default)]
    pub signature: Option<Vec<u8>>,
}

impl Claim {
    /// Whether it still counts at `now`. Evidence that ran out is no evidence.
    #[must_use]
    pub fn is_current(&self, now: Timestamp) -> bool {
        self.issued_at <= now && !self.has_run_out(now)
    }

    /// Whether its end has come at `now`, and it will not count again.
    #[must_use]
    pub fn has_run_out(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}
