//! The MASA's audit log of a device (RFC 8995 §5.8).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::DeviceId;

/// One voucher that the MASA issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// For which device.
    pub device: DeviceId,
    /// When.
    pub at: Timestamp,
    /// Base64 of the key identifier of the pinned certificate (RFC 8995 §5.8.2).
    pub domain_id: String,
    /// The nonce as the request spelled it; none for a nonceless voucher.
    pub nonce: Option<String>,
    /// What the voucher asserted.
    pub assertion: String,
    /// How many earlier events of the same domain this one stands for (RFC 8995 §5.8.1).
    pub truncated: u64,
}

/// How many events of a device were dropped, and why (RFC 8995 §5.8.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditTruncation {
    /// Nonced events of a domain that has a later one.
    pub nonced_duplicates: u64,
    /// Nonceless events of a domain that has a later one.
    pub nonceless_duplicates: u64,
    /// Dropped for want of room.
    pub arbitrary: u64,
}

/// Most events kept for one device (RFC 8995 §5.8.1).
pub const MAX_AUDIT_EVENTS: usize = 1024;
