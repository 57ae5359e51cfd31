//! What the MASA asks: who owns a device, and to whom vouchers for it were issued.

use vouchsafe_fleet::audit::MAX_AUDIT_EVENTS;
use vouchsafe_fleet::{AuditEvent, AuditTruncation, DeviceId, Ownership};

use super::MOST_OF_A_DEVICE;
use crate::Store;
use crate::error::ReadError;
use crate::row::name;
use crate::statement::Values;
use crate::table::{audit, ownership};

impl Store {
    /// All ownerships of a device, oldest first, ended ones too.
    ///
    /// # Errors
    /// [`ReadError`] when the engine does not answer or a row is damaged.
    pub async fn ownerships(&self, device: DeviceId) -> Result<Vec<Ownership>, ReadError> {
        const SQL: &str =
            "SELECT * FROM ownership WHERE device = ?1 ORDER BY since, owner LIMIT ?2 + 0";
        let values = Values::new()
            .text(name(device.as_bytes()))
            .number(MOST_OF_A_DEVICE);
        let rows = self.readers().fetch_few(SQL, values).await?;
        rows.iter().map(ownership::read).collect()
    }

    /// The ownership of a device that has not ended.
    ///
    /// # Errors
    /// As [`Store::ownerships`].
    pub async fn current_ownership(
        &self,
        device: DeviceId,
    ) -> Result<Option<Ownership>, ReadError> {
        let values = Values::new().text(name(device.as_bytes()));
        let row = self
            .readers()
            .fetch_optional(ownership::SELECT_CURRENT, values)
            .await?;
        row.as_ref().map(ownership::read).transpose()
    }

    /// A device's audit log, oldest first, and what was dropped from it (RFC 8995 §5.8.1).
    ///
    /// # Errors
    /// As [`Store::ownerships`].
    pub async fn audit_log(
        &self,
        device: DeviceId,
    ) -> Result<(Vec<AuditEvent>, AuditTruncation), ReadError> {
        const EVENTS: &str = "SELECT * FROM audit_event WHERE device = ?1 ORDER BY at LIMIT ?2 + 0";
        const COUNTERS: &str = "SELECT * FROM audit_truncation WHERE device = ?1";
        let most = i64::try_from(MAX_AUDIT_EVENTS).unwrap_or(i64::MAX);
        let id = name(device.as_bytes());
        let values = Values::new().text(id.as_str()).number(most);
        let rows = self.readers().fetch_few(EVENTS, values).await?;
        let events = rows.iter().map(audit::read).collect::<Result<_, _>>()?;
        let row = self
            .readers()
            .fetch_optional(COUNTERS, Values::new().text(id))
            .await?;
        let counters = row.as_ref().map(audit::read_truncation).transpose()?;
        Ok((events, counters.unwrap_or_default()))
    }
}
