//! Reading and checking the journal.

use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use vouchsafe_fleet::{Sealed, Subject};

use crate::batch::chain_name;
use crate::error::ReadError;
use crate::row::{Columns, stored_count};
use crate::statement::{Values, fetch_all, fetch_optional};
use crate::{Positioned, Store};

const LAST_POSITION: &str = "SELECT position FROM journal_tail WHERE id = 1";

/// The last position given out.
pub(crate) async fn last_position(connection: &mut AnyConnection) -> Result<u64, sqlx::Error> {
    let row = fetch_optional(connection, LAST_POSITION, Values::new()).await?;
    let row =
        row.ok_or_else(|| sqlx::Error::Protocol("the journal has lost its tail".to_owned()))?;
    Columns::of(&row, "journal_tail")
        .count("position")
        .map_err(|error| sqlx::Error::Decode(error.into()))
}

impl Store {
    /// Entries of all chains behind `position`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`ReadError`] when the engine does not answer.
    pub async fn journal_since(
        &self,
        position: u64,
        limit: u32,
    ) -> Result<Vec<Positioned>, ReadError> {
        const SQL: &str = "SELECT position, chain, seq, previous, hash, text FROM journal \
             WHERE position > $1 ORDER BY position LIMIT $2";
        let values = Values::new()
            .number(stored_count(position))
            .number(i64::from(limit));
        let rows = fetch_all(&self.readers(), SQL, values).await?;
        rows.iter().map(read).collect()
    }

    /// Entries of one chain behind number `seq`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`ReadError`] when the engine does not answer.
    pub async fn journal(
        &self,
        subject: Subject,
        seq: u64,
        limit: u32,
    ) -> Result<Vec<Positioned>, ReadError> {
        const SQL: &str = "SELECT position, chain, seq, previous, hash, text FROM journal \
             WHERE chain = $1 AND seq > $2 ORDER BY seq LIMIT $3";
        let values = Values::new()
            .text(chain_name(subject))
            .number(stored_count(seq))
            .number(i64::from(limit));
        let rows = fetch_all(&self.readers(), SQL, values).await?;
        rows.iter().map(read).collect()
    }
}

fn read(row: &AnyRow) -> Result<Positioned, ReadError> {
    let row = Columns::of(row, "journal");
    let chain = row.text("chain")?;
    Ok(Positioned {
        position: row.count("position")?,
        subject: Subject::parse(&chain).map_err(|error| row.damaged("chain", error))?,
        sealed: Sealed {
            seq: row.count("seq")?,
            previous: row.digest("previous")?,
            hash: row.digest("hash")?,
            text: row.text("text")?,
        },
    })
}
