//! `credential`: the certificates that the domain CA issued.

use vouchsafe_fleet::CredentialId;
use vouchsafe_fleet::credential::{Credential, CredentialStatus};

use crate::error::ReadError;
use crate::row::{Columns, Row, millis, name};
use crate::statement::{Insert, Values};

/// Adds or replaces credentials.
pub(crate) const PUT: Insert = Insert {
    head: "INSERT INTO credential (id, device, certificate, spki_sha256, request_sha256, not_before, \
           not_after, status, revoked_reason, revoked_at, issued_at, confirmed_at)",
    tail: "ON CONFLICT (id) DO UPDATE SET device = excluded.device, \
           certificate = excluded.certificate, spki_sha256 = excluded.spki_sha256, \
           request_sha256 = excluded.request_sha256, not_before = excluded.not_before, \
           not_after = excluded.not_after, status = excluded.status, \
           revoked_reason = excluded.revoked_reason, revoked_at = excluded.revoked_at, \
           issued_at = excluded.issued_at, confirmed_at = excluded.confirmed_at",
    columns: 12,
};

/// Changes whether a credential counts.
pub(crate) const SET_STATUS: &str =
    "UPDATE credential SET status = ?2, revoked_reason = ?3, revoked_at = ?4 WHERE id = ?1";

/// Notes that the device said it works.
pub(crate) const CONFIRM: &str = "UPDATE credential SET confirmed_at = ?2 WHERE id = ?1";

pub(crate) fn bind(credential: &&Credential, values: &mut Values) {
    values.push_text(credential.id.as_str());
    values.push_text(name(credential.device.as_bytes()));
    values.push_bytes(credential.certificate_der.clone());
    values.push_digest(credential.spki_sha256);
    values.push_digest(credential.request_sha256);
    values.push_number(millis(credential.not_before));
    values.push_number(millis(credential.not_after));
    bind_status(&credential.status, values);
    values.push_number(millis(credential.issued_at));
    values.push_optional_number(credential.confirmed_at.map(millis));
}

/// The arguments of [`SET_STATUS`].
pub(crate) fn status_values(id: &CredentialId, status: &CredentialStatus) -> Values {
    let mut values = Values::new().text(id.as_str());
    bind_status(status, &mut values);
    values
}

fn bind_status(status: &CredentialStatus, values: &mut Values) {
    values.push_text(status.as_str());
    let (reason, at) = match status {
        CredentialStatus::Active | CredentialStatus::Superseded => (None, None),
        CredentialStatus::Revoked { reason, at } => (Some(reason.as_str()), Some(millis(*at))),
    };
    values.push_optional_text(reason);
    values.push_optional_number(at);
}

/// Reads a whole row.
pub(crate) fn read(row: &Row) -> Result<Credential, ReadError> {
    let row = Columns::of(row, "credential");
    let status = CredentialStatus::from_parts(
        &row.text("status")?,
        row.optional_parsed("revoked_reason")?,
        row.optional_time("revoked_at")?,
    )
    .map_err(|error| row.damaged("status", error))?;
    Ok(Credential {
        id: CredentialId(row.text("id")?),
        device: row.parsed("device")?,
        certificate_der: row.bytes("certificate")?,
        spki_sha256: row.digest("spki_sha256")?,
        request_sha256: row.digest("request_sha256")?,
        not_before: row.time("not_before")?,
        not_after: row.time("not_after")?,
        status,
        issued_at: row.time("issued_at")?,
        confirmed_at: row.optional_time("confirmed_at")?,
    })
}
