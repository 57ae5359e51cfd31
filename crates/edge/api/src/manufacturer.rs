//! Manufacturers, and how far each is trusted.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How far a manufacturer is trusted (RFC 8995 §11.3 and §11.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ManufacturerTrust {
    /// Never decided. Its devices are refused and its MASA hears nothing.
    Unknown,
    /// A device of this manufacturer knocked; nobody has decided yet. As unknown.
    Seen,
    /// Its birth certificates are accepted for EST without a voucher.
    PlainEst,
    /// Its devices come in with a voucher of its MASA.
    VoucherRequired,
    /// Refused, whatever it shows.
    Blocked,
}

/// A manufacturer. Has an ETag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Manufacturer {
    /// 32 hexadecimal digits, from the key of its trust anchor.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// How far it is trusted.
    pub trust: ManufacturerTrust,
    /// Trust anchors of its birth certificates, PEM.
    pub anchors_pem: String,
    /// Where its MASA is, when it is not taken from the birth certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masa_url: Option<String>,
    /// Trust anchors of its MASA's TLS certificate and vouchers, PEM, when they differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masa_anchors_pem: Option<String>,
    /// When it became known.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Grows by one with each change; the ETag.
    pub version: i64,
}

/// A manufacturer to be known from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddManufacturer {
    /// What people call it; 1 to 100 characters.
    pub name: String,
    /// Trust anchors of its birth certificates, PEM; the first one's key makes the id.
    pub anchors_pem: String,
    /// How far it is trusted from the start.
    pub trust: ManufacturerTrust,
    /// Where its MASA is, when it is not taken from the birth certificates (RFC 8995 §2.8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masa_url: Option<String>,
    /// Trust anchors of its MASA, PEM, when they differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masa_anchors_pem: Option<String>,
    /// Why; goes into the journal. At most 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Another degree of trust.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetTrust {
    /// How far it is trusted from now on.
    pub trust: ManufacturerTrust,
    /// Why; goes into the journal. 1 to 500 characters.
    pub reason: String,
}
