//! A manufacturer, and how far the network owner trusts it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::ManufacturerId;
use crate::text::text_enum;

text_enum! {
    /// What the network owner lets devices of a manufacturer do.
    pub enum ManufacturerTrust {
        /// Nothing is known: refuse, and send nothing to its MASA.
        Unknown = "unknown",
        /// One of its devices was here; a person must decide. Nothing is sent to its MASA.
        Seen = "seen",
        /// Its birth certificates are enough for EST; no voucher is asked for.
        PlainEst = "plain-est",
        /// A device needs a voucher before it gets a credential.
        VoucherRequired = "voucher-required",
        /// Refuse whatever else is known.
        Blocked = "blocked",
    }
}

/// Which departures from RFC 5280 are accepted in this manufacturer's birth certificates.
/// All false and empty means none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdevidRules {
    /// Accept an IDevID after its notAfter (RFC 8995 §2.6.2).
    pub ignore_expiry: bool,
    /// Accept X.509 version 1.
    pub allow_v1: bool,
    /// Critical extensions to accept though nobody here understands them, as dotted OIDs.
    pub allow_unknown_critical: Vec<String>,
}

/// A manufacturer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manufacturer {
    /// Computed from the first anchor.
    pub id: ManufacturerId,
    /// Name for people.
    pub name: String,
    /// Trust anchors of its IDevIDs, DER.
    #[serde(with = "crate::text::base64_list")]
    pub anchors: Vec<Vec<u8>>,
    /// MASA to use whatever the IDevID says (RFC 8995 §2.8); none means the IDevID's.
    pub masa_url: Option<String>,
    /// Trust anchors of its vouchers and of its MASA's TLS certificate, DER.
    #[serde(with = "crate::text::base64_list")]
    pub masa_anchors: Vec<Vec<u8>>,
    /// How far it is trusted.
    pub trust: ManufacturerTrust,
    /// Accepted departures in its IDevIDs.
    pub idevid_rules: IdevidRules,
    /// Grows by one with each change.
    pub version: u64,
    /// When this row came into being.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Manufacturer {
    /// Which state of which manufacturer this is: what a decision that rests on it is held against when it is
    /// stored.
    #[must_use]
    pub const fn seen(&self) -> (ManufacturerId, u64) {
        (self.id, self.version)
    }
}
