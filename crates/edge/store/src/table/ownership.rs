//! `ownership`: who owned a device from when to when.

use vouchsafe_fleet::Ownership;

use crate::error::ReadError;
use crate::row::{Columns, Row, millis, name};
use crate::statement::{Insert, Values};

/// Adds or replaces stretches of ownership.
pub(crate) const PUT: Insert = Insert {
    head: "INSERT INTO ownership (device, owner, basis, since, until)",
    tail: "ON CONFLICT (device, since, owner) DO UPDATE SET basis = excluded.basis, \
           until = excluded.until",
    columns: 5,
};

/// The owner whose ownership has not ended; the latest, should there be several.
pub(crate) const SELECT_CURRENT: &str = "SELECT * FROM ownership \
     WHERE device = ?1 AND until IS NULL ORDER BY since DESC LIMIT 1";

pub(crate) fn bind(row: &&Ownership, values: &mut Values) {
    values.push_text(name(row.device.as_bytes()));
    values.push_text(name(row.owner.as_bytes()));
    values.push_text(row.basis.as_str());
    values.push_number(millis(row.since));
    values.push_optional_number(row.until.map(millis));
}

/// Reads a whole row.
pub(crate) fn read(row: &Row) -> Result<Ownership, ReadError> {
    let row = Columns::of(row, "ownership");
    Ok(Ownership {
        device: row.parsed("device")?,
        owner: row.parsed("owner")?,
        basis: row.parsed("basis")?,
        since: row.time("since")?,
        until: row.optional_time("until")?,
    })
}
