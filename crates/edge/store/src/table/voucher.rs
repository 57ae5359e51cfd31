//! `voucher`: voucher requests and what became of them, at the registrar and at the MASA.

use vouchsafe_fleet::VoucherRecord;

use crate::error::ReadError;
use crate::row::{Columns, Row, millis, name, stored_count};
use crate::statement::{Insert, Values};

/// Adds a record; a known request, or a nonce the device used before, changes nothing.
pub(crate) const INSERT: Insert = Insert {
    head: "INSERT INTO voucher (id, device, owner, request_sha256, nonce, status, assertion, \
           media_type, voucher, expires_on, reason, segment, requested_at, updated_at, version)",
    tail: "ON CONFLICT DO NOTHING",
    columns: 15,
};

/// Changes a record that still has the version that was read, as long as nothing changes that it is looked
/// up by: an index whose column is named here is written anew, whether or not the value is another.
pub(crate) const UPDATE_IN_PLACE: &str = "UPDATE voucher SET owner = ?3, status = ?6, assertion = ?7, \
     media_type = ?8, voucher = ?9, expires_on = ?10, reason = ?11, segment = ?12, updated_at = ?14, \
     version = ?15 WHERE id = ?1 AND version = ?16 AND device = ?2 AND request_sha256 = ?4 \
     AND nonce IS NOT DISTINCT FROM ?5 AND requested_at = ?13";

/// The same, whatever changes. Takes the same arguments.
pub(crate) const UPDATE: &str = "UPDATE voucher SET device = ?2, owner = ?3, request_sha256 = ?4, \
     nonce = ?5, status = ?6, assertion = ?7, media_type = ?8, voucher = ?9, expires_on = ?10, \
     reason = ?11, segment = ?12, requested_at = ?13, updated_at = ?14, version = ?15 \
     WHERE id = ?1 AND version = ?16";

pub(crate) const SELECT_VERSION: &str = "SELECT version FROM voucher WHERE id = ?1";

/// A record as it is written: the store counts the versions.
pub(crate) struct Written<'c> {
    pub(crate) record: &'c VoucherRecord,
    pub(crate) version: u64,
}

/// The arguments of [`INSERT`], which are also the first 15 of [`UPDATE`] and [`UPDATE_IN_PLACE`].
pub(crate) fn bind(row: &Written<'_>, values: &mut Values) {
    let record = row.record;
    values.push_text(name(record.id.as_bytes()));
    values.push_text(name(record.device.as_bytes()));
    values.push_optional_text(record.owner.map(|owner| name(owner.as_bytes())));
    values.push_digest(record.request_sha256);
    values.push_optional_text(record.nonce.as_deref());
    values.push_text(record.status.as_str());
    values.push_optional_text(record.assertion.as_deref());
    values.push_text(record.media_type.as_str());
    values.push_optional_bytes(record.voucher.clone());
    values.push_optional_number(record.expires_on.map(millis));
    values.push_optional_text(record.reason.as_deref());
    values.push_optional_text(record.segment.as_deref());
    values.push_number(millis(record.requested_at));
    values.push_number(millis(record.updated_at));
    values.push_number(stored_count(row.version));
}

/// Reads a whole row.
pub(crate) fn read(row: &Row) -> Result<VoucherRecord, ReadError> {
    let row = Columns::of(row, "voucher");
    Ok(VoucherRecord {
        id: row.parsed("id")?,
        device: row.parsed("device")?,
        owner: row.optional_parsed("owner")?,
        request_sha256: row.digest("request_sha256")?,
        nonce: row.optional_text("nonce")?,
        status: row.parsed("status")?,
        assertion: row.optional_text("assertion")?,
        media_type: row.text("media_type")?,
        voucher: row.optional_bytes("voucher")?,
        expires_on: row.optional_time("expires_on")?,
        reason: row.optional_text("reason")?,
        segment: row.optional_text("segment")?,
        requested_at: row.time("requested_at")?,
        updated_at: row.time("updated_at")?,
        version: row.count("version")?,
    })
}
