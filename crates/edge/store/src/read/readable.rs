//! A page for who looks at everything, and must not stop at one row that is damaged.

use crate::error::ReadError;
use crate::row::Row;

/// What of a page could be read. A row that could not is passed over, and the log says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readable<T, Key> {
    /// In the page's order.
    pub rows: Vec<T>,
    /// Where the page ends, and the next one begins behind it. None: there was no row.
    pub last: Option<Key>,
}

impl<T, Key> Readable<T, Key> {
    /// # Errors
    /// [`ReadError::Damaged`] when no row has a key, so that there is no way to the next page.
    pub(super) fn of(
        rows: &[Row],
        read: impl Fn(&Row) -> Result<T, ReadError>,
        key: impl Fn(&Row) -> Result<Key, ReadError>,
    ) -> Result<Self, ReadError> {
        let mut page = Self {
            rows: Vec::with_capacity(rows.len()),
            last: None,
        };
        for row in rows {
            match read(row) {
                Ok(one) => page.rows.push(one),
                Err(error) => tracing::error!(%error, "a row is passed over"),
            }
        }
        let mut backwards = rows.iter().rev().map(key);
        page.last = match backwards.next() {
            None => None,
            Some(Ok(last)) => Some(last),
            Some(Err(error)) => Some(backwards.find_map(Result::ok).ok_or(error)?),
        };
        Ok(page)
    }
}
