//! Numbers for measurements, each by one aggregate over an index.

use jiff::Timestamp;

use crate::Store;
use crate::error::ReadError;
use crate::row::{Columns, millis};
use crate::statement::Values;

impl Store {
    /// How many sessions have not ended.
    ///
    /// # Errors
    /// [`ReadError`] when the engine does not answer.
    pub async fn open_session_count(&self) -> Result<u64, ReadError> {
        const SQL: &str =
            "SELECT cast(count(*) as bigint) AS sessions FROM session WHERE ended_at = 0";
        let row = self.readers().fetch_optional(SQL, Values::new()).await?;
        row.map_or(Ok(0), |row| Columns::of(&row, "session").count("sessions"))
    }

    /// When the oldest claim was made of those that run out and have not.
    ///
    /// # Errors
    /// [`ReadError`] when the engine does not answer.
    pub async fn oldest_evidence(&self, now: Timestamp) -> Result<Option<Timestamp>, ReadError> {
        const SQL: &str =
            "SELECT cast(min(issued_at) as bigint) AS oldest FROM claim WHERE expires_at > ?1";
        let values = Values::new().number(millis(now));
        let row = self.readers().fetch_optional(SQL, values).await?;
        row.map_or(Ok(None), |row| {
            Columns::of(&row, "claim").optional_time("oldest")
        })
    }
}
