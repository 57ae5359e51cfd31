//! Network owners, and who owned a device when.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{DeviceId, OwnerId};
use crate::text::text_enum;

/// A network owner, as a manufacturer knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Computed from the domain CA's key.
    pub id: OwnerId,
    /// Name for people.
    pub name: String,
    /// The domain CA (DER), when it was handed over.
    #[serde(with = "crate::text::base64_option", default)]
    pub domain_ca_der: Option<Vec<u8>>,
    /// Why the MASA serves this owner no longer; none means that it does.
    pub blocked: Option<String>,
    /// When this row came into being.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

text_enum! {
    /// How a device came to its owner.
    pub enum OwnershipBasis {
        /// The manufacturer or its sales channel recorded a sale.
        Sale = "sale",
        /// The owner was the first to ask for a voucher, under the first-come policy.
        FirstCome = "first-come",
        /// The MASA keeps no owners and only logs who asked, under the audit-only policy.
        Logged = "logged",
        /// The owner's own inventory: manifest, CSV, API.
        Inventory = "inventory",
    }
}

/// One stretch of ownership. Keyed by device, owner and `since`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ownership {
    /// The device.
    pub device: DeviceId,
    /// Its owner.
    pub owner: OwnerId,
    /// On what grounds.
    pub basis: OwnershipBasis,
    /// When it began.
    pub since: Timestamp,
    /// When it ended; none while it lasts.
    pub until: Option<Timestamp>,
}
