//! `device`: one row for each device ever known here.

use vouchsafe_fleet::Device;
use vouchsafe_fleet::journal::ChainHead;

use crate::error::ReadError;
use crate::row::{Columns, Row, millis, name, stored_count};
use crate::statement::{Insert, Values};

/// Adds devices; one that is there already stays as it is.
pub(crate) const INSERT: Insert = Insert {
    head: "INSERT INTO device (id, manufacturer, serial, model, state, owner, segment, idevid_sha256, \
           idevid_spki_sha256, idevid_der, mud_url, key_origin, reason, created_at, updated_at, \
           version, journal_seq, journal_head)",
    tail: "ON CONFLICT DO NOTHING",
    columns: 18,
};

/// Changes a device whose version and journal are still the ones that were read, as long as nothing changes
/// that it is looked up by, except its state: an index whose column is named here is written anew, whether
/// or not the value is another.
pub(crate) const UPDATE_IN_PLACE: &str = "UPDATE device SET model = ?4, state = ?5, idevid_sha256 = ?8, \
     idevid_der = ?10, mud_url = ?11, key_origin = ?12, reason = ?13, created_at = ?14, \
     updated_at = ?15, version = ?16, journal_seq = ?17, journal_head = ?18 \
     WHERE id = ?1 AND version = ?19 AND journal_seq = ?20 AND journal_head = ?21 \
     AND manufacturer = ?2 AND serial = ?3 AND owner IS NOT DISTINCT FROM ?6 \
     AND segment IS NOT DISTINCT FROM ?7 AND idevid_spki_sha256 IS NOT DISTINCT FROM ?9";

/// The same, whatever changes. Takes the same arguments.
pub(crate) const UPDATE: &str = "UPDATE device SET manufacturer = ?2, serial = ?3, model = ?4, \
     state = ?5, owner = ?6, segment = ?7, idevid_sha256 = ?8, idevid_spki_sha256 = ?9, \
     idevid_der = ?10, mud_url = ?11, key_origin = ?12, reason = ?13, created_at = ?14, \
     updated_at = ?15, version = ?16, journal_seq = ?17, journal_head = ?18 \
     WHERE id = ?1 AND version = ?19 AND journal_seq = ?20 AND journal_head = ?21";

/// Moves only the journal's head.
pub(crate) const UPDATE_HEAD: &str = "UPDATE device SET journal_seq = ?2, journal_head = ?3 \
     WHERE id = ?1 AND journal_seq = ?4 AND journal_head = ?5";

/// What a commit must know of a device that it did not read itself.
pub(crate) const SELECT_HEAD: &str =
    "SELECT version, journal_seq, journal_head FROM device WHERE id = ?1";

/// A device as it is written: the store decides about version and journal.
pub(crate) struct Written<'c> {
    pub(crate) device: &'c Device,
    pub(crate) version: u64,
    pub(crate) head: ChainHead,
}

/// The arguments of [`INSERT`], which are also the first 18 of [`UPDATE`] and [`UPDATE_IN_PLACE`].
pub(crate) fn bind(row: &Written<'_>, values: &mut Values) {
    let device = row.device;
    values.push_text(name(device.id.as_bytes()));
    values.push_text(name(device.manufacturer.as_bytes()));
    values.push_text(device.serial.as_str());
    values.push_optional_text(device.model.as_deref());
    values.push_text(device.state.as_str());
    values.push_optional_text(device.owner.map(|owner| name(owner.as_bytes())));
    values.push_optional_text(device.segment.as_deref());
    values.push_optional_digest(device.idevid_sha256);
    values.push_optional_digest(device.idevid_spki_sha256);
    values.push_optional_bytes(device.idevid_der.clone());
    values.push_optional_text(device.mud_url.as_deref());
    values.push_text(device.key_origin.as_str());
    values.push_optional_text(device.reason.as_deref());
    values.push_number(millis(device.created_at));
    values.push_number(millis(device.updated_at));
    values.push_number(stored_count(row.version));
    values.push_number(stored_count(row.head.seq));
    values.push_digest(row.head.hash);
}

/// Reads a whole row.
pub(crate) fn read(row: &Row) -> Result<Device, ReadError> {
    let row = Columns::of(row, "device");
    Ok(Device {
        id: row.parsed("id")?,
        manufacturer: row.parsed("manufacturer")?,
        serial: row.text("serial")?,
        model: row.optional_text("model")?,
        state: row.parsed("state")?,
        owner: row.optional_parsed("owner")?,
        segment: row.optional_text("segment")?,
        idevid_sha256: row.optional_digest("idevid_sha256")?,
        idevid_spki_sha256: row.optional_digest("idevid_spki_sha256")?,
        idevid_der: row.optional_bytes("idevid_der")?,
        mud_url: row.optional_text("mud_url")?,
        key_origin: row.parsed("key_origin")?,
        version: row.count("version")?,
        journal_seq: row.count("journal_seq")?,
        journal_head: row.digest("journal_head")?,
        reason: row.optional_text("reason")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}
