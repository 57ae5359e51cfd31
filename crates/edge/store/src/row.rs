//! Reading rows back as the domain's data. A value that does not read back is damage, never a default.

use std::fmt::Display;
use std::str::FromStr;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::any::AnyRow;
use vouchsafe_fleet::Digest;
use vouchsafe_fleet::journal::ChainHead;

use crate::error::ReadError;

/// A row of a known table.
pub(crate) struct Columns<'r> {
    row: &'r AnyRow,
    table: &'static str,
}

type Read<T> = Result<T, ReadError>;

impl<'r> Columns<'r> {
    pub(crate) fn of(row: &'r AnyRow, table: &'static str) -> Self {
        Self { row, table }
    }

    pub(crate) fn text(&self, column: &'static str) -> Read<String> {
        self.raw(column)
    }

    pub(crate) fn optional_text(&self, column: &'static str) -> Read<Option<String>> {
        self.raw(column)
    }

    pub(crate) fn bytes(&self, column: &'static str) -> Read<Vec<u8>> {
        self.raw(column)
    }

    pub(crate) fn optional_bytes(&self, column: &'static str) -> Read<Option<Vec<u8>>> {
        self.raw(column)
    }

    /// A count or number of a place: never negative.
    pub(crate) fn count(&self, column: &'static str) -> Read<u64> {
        let number: i64 = self.raw(column)?;
        u64::try_from(number).map_err(|error| self.damaged(column, error))
    }

    pub(crate) fn time(&self, column: &'static str) -> Read<Timestamp> {
        let millis: i64 = self.raw(column)?;
        Timestamp::from_millisecond(millis).map_err(|error| self.damaged(column, error))
    }

    pub(crate) fn optional_time(&self, column: &'static str) -> Read<Option<Timestamp>> {
        let millis: Option<i64> = self.raw(column)?;
        millis
            .map(|millis| {
                Timestamp::from_millisecond(millis).map_err(|error| self.damaged(column, error))
            })
            .transpose()
    }

    pub(crate) fn digest(&self, column: &'static str) -> Read<Digest> {
        let bytes = self.bytes(column)?;
        self.digest_of(column, &bytes)
    }

    pub(crate) fn optional_digest(&self, column: &'static str) -> Read<Option<Digest>> {
        let bytes = self.optional_bytes(column)?;
        bytes
            .map(|bytes| self.digest_of(column, &bytes))
            .transpose()
    }

    /// An identifier or an enum that is stored as its word.
    pub(crate) fn parsed<T>(&self, column: &'static str) -> Read<T>
    where
        T: FromStr<Err: Display>,
    {
        self.text(column)?
            .parse()
            .map_err(|error| self.damaged(column, error))
    }

    pub(crate) fn optional_parsed<T>(&self, column: &'static str) -> Read<Option<T>>
    where
        T: FromStr<Err: Display>,
    {
        let text = self.optional_text(column)?;
        text.map(|text| text.parse().map_err(|error| self.damaged(column, error)))
            .transpose()
    }

    /// A value that is stored as JSON.
    pub(crate) fn document<T: DeserializeOwned>(&self, column: &'static str) -> Read<T> {
        serde_json::from_str(&self.text(column)?).map_err(|error| self.damaged(column, error))
    }

    /// A chain's head, stored as its number and its hash.
    pub(crate) fn head(&self, seq: &'static str, hash: &'static str) -> Read<ChainHead> {
        Ok(ChainHead {
            seq: self.count(seq)?,
            hash: self.digest(hash)?,
        })
    }

    pub(crate) fn damaged(&self, column: &'static str, reason: impl Display) -> ReadError {
        ReadError::Damaged {
            table: self.table,
            column,
            reason: reason.to_string(),
        }
    }

    fn digest_of(&self, column: &'static str, bytes: &[u8]) -> Read<Digest> {
        match bytes.try_into() {
            Ok(bytes) => Ok(Digest(bytes)),
            Err(_) => Err(self.damaged(column, "not 32 bytes")),
        }
    }

    fn raw<T>(&self, column: &'static str) -> Read<T>
    where
        T: sqlx::Type<sqlx::Any> + for<'d> sqlx::Decode<'d, sqlx::Any>,
    {
        self.row
            .try_get(column)
            .map_err(|error| self.damaged(column, error))
    }
}

/// Milliseconds since 1970, rounded down: how times are stored.
pub(crate) fn millis(time: Timestamp) -> i64 {
    time.as_millisecond()
}

/// Counts that fit a column. None of ours comes near the end of the range.
pub(crate) fn stored_count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Lower-case hexadecimal, without the formatting machinery: names are written by the hundred
/// thousand.
pub(crate) fn name(bytes: &[u8; 16]) -> String {
    let mut text = String::with_capacity(32);
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from(if nibble < 10 {
                b'0' + nibble
            } else {
                b'a' + nibble - 10
            }));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelled_as_the_domain_spells_them() {
        let id = vouchsafe_fleet::DeviceId([
            0, 1, 0xab, 0xff, 9, 10, 15, 16, 0x90, 0xa0, 8, 7, 6, 5, 4, 3,
        ]);
        assert_eq!(name(id.as_bytes()), id.to_string());
    }
}
