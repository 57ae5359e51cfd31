//! `audit_event` and `audit_truncation`: the MASA's audit log (RFC 8995 §5.8).

use vouchsafe_fleet::{AuditEvent, AuditTruncation, DeviceId};

use crate::error::ReadError;
use crate::row::{Columns, Row, millis, name, stored_count};
use crate::statement::{Insert, Values};

/// Adds events.
pub(crate) const APPEND: Insert = Insert {
    head: "INSERT INTO audit_event (device, at, domain_id, nonce, assertion, truncated)",
    tail: "",
    columns: 6,
};

/// Drops one event.
pub(crate) const DROP: &str = "DELETE FROM audit_event WHERE device = ?1 AND at = ?2 \
     AND domain_id = ?3 AND nonce IS NOT DISTINCT FROM ?4";

/// Sets the counters of dropped events.
pub(crate) const COUNT: &str = "INSERT INTO audit_truncation \
     (device, nonced_duplicates, nonceless_duplicates, arbitrary) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT (device) DO UPDATE SET nonced_duplicates = excluded.nonced_duplicates, \
     nonceless_duplicates = excluded.nonceless_duplicates, arbitrary = excluded.arbitrary";

pub(crate) fn bind(event: &&AuditEvent, values: &mut Values) {
    bind_key(event, values);
    values.push_text(event.assertion.as_str());
    values.push_number(stored_count(event.truncated));
}

/// The arguments of [`DROP`].
pub(crate) fn key_values(event: &AuditEvent) -> Values {
    let mut values = Values::new();
    bind_key(event, &mut values);
    values
}

/// The arguments of [`COUNT`].
pub(crate) fn count_values(device: DeviceId, counters: AuditTruncation) -> Values {
    Values::new()
        .text(name(device.as_bytes()))
        .number(stored_count(counters.nonced_duplicates))
        .number(stored_count(counters.nonceless_duplicates))
        .number(stored_count(counters.arbitrary))
}

fn bind_key(event: &AuditEvent, values: &mut Values) {
    values.push_text(name(event.device.as_bytes()));
    values.push_number(millis(event.at));
    values.push_text(event.domain_id.as_str());
    values.push_optional_text(event.nonce.as_deref());
}

/// Reads an event.
pub(crate) fn read(row: &Row) -> Result<AuditEvent, ReadError> {
    let row = Columns::of(row, "audit_event");
    Ok(AuditEvent {
        device: row.parsed("device")?,
        at: row.time("at")?,
        domain_id: row.text("domain_id")?,
        nonce: row.optional_text("nonce")?,
        assertion: row.text("assertion")?,
        truncated: row.count("truncated")?,
    })
}

/// Reads the counters.
pub(crate) fn read_truncation(row: &Row) -> Result<AuditTruncation, ReadError> {
    let row = Columns::of(row, "audit_truncation");
    Ok(AuditTruncation {
        nonced_duplicates: row.count("nonced_duplicates")?,
        nonceless_duplicates: row.count("nonceless_duplicates")?,
        arbitrary: row.count("arbitrary")?,
    })
}
