//! What was revoked, for the CRL: the certificates of devices, and those of gates.

use jiff::Timestamp;
use vouchsafe_fleet::admission::GateCredential;
use vouchsafe_fleet::{CredentialId, RevocationReason};

use crate::Store;
use crate::error::ReadError;
use crate::row::{Columns, Row, millis};
use crate::statement::Values;

/// Whose certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// Those of devices.
    Device,
    /// Those of gates.
    Gate,
}

/// A certificate that was revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Its serial number.
    pub id: CredentialId,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: RevocationReason,
    /// The certificate's last moment.
    pub not_after: Timestamp,
}

impl Store {
    /// What was revoked, in the order of the revocations: behind `after` (its time and its name), at
    /// most `limit`.
    ///
    /// # Errors
    /// [`ReadError`] when the engine does not answer or a row is damaged.
    pub async fn revocations(
        &self,
        holder: Holder,
        after: Option<(Timestamp, &CredentialId)>,
        limit: u32,
    ) -> Result<Vec<Revocation>, ReadError> {
        const OF_DEVICES: &str = "SELECT id, revoked_at, revoked_reason, not_after FROM credential \
             WHERE revoked_at IS NOT NULL AND (revoked_at, id) > (?1, ?2) \
             ORDER BY revoked_at, id LIMIT ?3 + 0";
        const OF_GATES: &str = "SELECT id, revoked_at, document FROM gate_credential \
             WHERE revoked_at IS NOT NULL AND (revoked_at, id) > (?1, ?2) \
             ORDER BY revoked_at, id LIMIT ?3 + 0";
        let sql = match holder {
            Holder::Device => OF_DEVICES,
            Holder::Gate => OF_GATES,
        };
        let values = Values::new()
            .number(after.map_or(i64::MIN, |(at, _)| millis(at)))
            .text(after.map_or("", |(_, id)| id.as_str()))
            .number(i64::from(limit));
        let rows = self.readers().fetch_all(sql, values).await?;
        let read = |row| match holder {
            Holder::Device => of_device(row),
            Holder::Gate => of_gate(row),
        };
        rows.iter().map(read).collect()
    }
}

fn of_device(row: &Row) -> Result<Revocation, ReadError> {
    let row = Columns::of(row, "credential");
    Ok(Revocation {
        id: CredentialId(row.text("id")?),
        at: row.time("revoked_at")?,
        reason: row.parsed("revoked_reason")?,
        not_after: row.time("not_after")?,
    })
}

fn of_gate(row: &Row) -> Result<Revocation, ReadError> {
    let row = Columns::of(row, "gate_credential");
    let credential: GateCredential = row.document("document")?;
    Ok(Revocation {
        id: credential.id,
        at: row.time("revoked_at")?,
        reason: RevocationReason::PrivilegeWithdrawn,
        not_after: credential.not_after,
    })
}
