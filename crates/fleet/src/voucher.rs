//! A voucher request and what became of it, at the registrar or at the MASA.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{DeviceId, Digest, OwnerId, VoucherId};
use crate::text::text_enum;

text_enum! {
    /// How far a voucher request has come.
    pub enum VoucherStatus {
        /// A person must decide; the device asks again (RFC 8995 §5.6, 202).
        AwaitingApproval = "awaiting-approval",
        /// A person said yes; the device's next request goes to the MASA.
        Approved = "approved",
        /// The request was or is about to be sent to the MASA.
        AwaitingMasa = "awaiting-masa",
        /// Refused here, by policy or by a person.
        Denied = "denied",
        /// The MASA refused.
        Refused = "refused",
        /// There is a voucher (registrar: obtained; MASA: issued).
        Issued = "issued",
        /// The device reported that it accepts the voucher (RFC 8995 §5.7).
        Accepted = "accepted",
        /// The device reported that it refuses the voucher (RFC 8995 §5.7).
        Rejected = "rejected",
        /// There never was a voucher: a person's yes let the device be configured by Wi-Fi Easy
        /// Connect, once.
        Used = "used",
    }
}

/// A voucher request and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoucherRecord {
    /// Computed from device and request.
    pub id: VoucherId,
    /// The device that asked.
    pub device: DeviceId,
    /// For whose network; at the registrar this owner.
    pub owner: Option<OwnerId>,
    /// SHA-256 of the whole request as received.
    pub request_sha256: Digest,
    /// The nonce as the request spells it; none in a nonceless request. Unique per device.
    pub nonce: Option<String>,
    /// How far it has come.
    pub status: VoucherStatus,
    /// What the voucher asserts (RFC 8366 §5.3), when there is one.
    pub assertion: Option<String>,
    /// Media type of request and voucher.
    pub media_type: String,
    /// The voucher as sent, when there is one.
    #[serde(with = "crate::text::base64_option", default)]
    pub voucher: Option<Vec<u8>>,
    /// When a nonceless voucher ends.
    pub expires_on: Option<Timestamp>,
    /// Why it was denied, refused or rejected: a stable code.
    pub reason: Option<String>,
    /// The segment that policy or a person gave.
    pub segment: Option<String>,
    /// When the request came first.
    pub requested_at: Timestamp,
    /// When the record changed last.
    pub updated_at: Timestamp,
    /// Grows by one with each change; [`Guard::VoucherVersion`](crate::Guard) checks it.
    pub version: u64,
}
