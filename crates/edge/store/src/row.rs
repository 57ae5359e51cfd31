//! Reading rows back as the domain's data. A value that does not read back is damage, never a default.

use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use vouchsafe_fleet::Digest;
use vouchsafe_fleet::journal::ChainHead;

use crate::error::ReadError;
use crate::statement::Value;

/// A row as an engine gave it.
#[derive(Debug)]
pub(crate) struct Row {
    columns: Arc<[Box<str>]>,
    values: Vec<Value>,
}

impl Row {
    pub(crate) fn new(columns: Arc<[Box<str>]>, values: Vec<Value>) -> Self {
        Self { columns, values }
    }
}

/// A row of a known table.
pub(crate) struct Columns<'r> {
    row: &'r Row,
    table: &'static str,
}

type Read<T> = Result<T, ReadError>;

impl<'r> Columns<'r> {
    pub(crate) fn of(row: &'r Row, table: &'static str) -> Self {
        Self { row, table }
    }

    pub(crate) fn text(&self, column: &'static str) -> Read<String> {
        Ok(self.str(column)?.to_owned())
    }

    pub(crate) fn optional_text(&self, column: &'static str) -> Read<Option<String>> {
        Ok(self.optional_str(column)?.map(str::to_owned))
    }

    pub(crate) fn bytes(&self, column: &'static str) -> Read<Vec<u8>> {
        Ok(self.slice(column)?.to_vec())
    }

    pub(crate) fn optional_bytes(&self, column: &'static str) -> Read<Option<Vec<u8>>> {
        Ok(self.optional_slice(column)?.map(<[u8]>::to_vec))
    }

    /// A count or number of a place: never negative.
    pub(crate) fn count(&self, column: &'static str) -> Read<u64> {
        let number = self.number(column)?;
        u64::try_from(number).map_err(|error| self.damaged(column, error))
    }

    pub(crate) fn time(&self, column: &'static str) -> Read<Timestamp> {
        let millis = self.number(column)?;
        Timestamp::from_millisecond(millis).map_err(|error| self.damaged(column, error))
    }

    pub(crate) fn optional_time(&self, column: &'static str) -> Read<Option<Timestamp>> {
        if self.is_null(column)? {
            return Ok(None);
        }
        self.time(column).map(Some)
    }

    pub(crate) fn digest(&self, column: &'static str) -> Read<Digest> {
        self.digest_of(column, self.slice(column)?)
    }

    pub(crate) fn optional_digest(&self, column: &'static str) -> Read<Option<Digest>> {
        let bytes = self.optional_slice(column)?;
        bytes.map(|bytes| self.digest_of(column, bytes)).transpose()
    }

    /// An identifier or an enum that is stored as its word.
    pub(crate) fn parsed<T>(&self, column: &'static str) -> Read<T>
    where
        T: FromStr<Err: Display>,
    {
        self.str(column)?
            .parse()
            .map_err(|error| self.damaged(column, error))
    }

    pub(crate) fn optional_parsed<T>(&self, column: &'static str) -> Read<Option<T>>
    where
        T: FromStr<Err: Display>,
    {
        let text = self.optional_str(column)?;
        text.map(|text| text.parse().map_err(|error| self.damaged(column, error)))
            .transpose()
    }

    /// A value that is stored as JSON.
    pub(crate) fn document<T: DeserializeOwned>(&self, column: &'static str) -> Read<T> {
        serde_json::from_str(self.str(column)?).map_err(|error| self.damaged(column, error))
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

    fn number(&self, column: &'static str) -> Read<i64> {
        match self.value(column)? {
            Value::Number(number) => Ok(*number),
            _ => Err(self.damaged(column, "not a number")),
        }
    }

    fn str(&self, column: &'static str) -> Read<&'r str> {
        match self.value(column)? {
            Value::Text(text) => Ok(text),
            _ => Err(self.damaged(column, "not a text")),
        }
    }

    fn optional_str(&self, column: &'static str) -> Read<Option<&'r str>> {
        if self.is_null(column)? {
            return Ok(None);
        }
        self.str(column).map(Some)
    }

    fn slice(&self, column: &'static str) -> Read<&'r [u8]> {
        match self.value(column)? {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(self.damaged(column, "not bytes")),
        }
    }

    fn optional_slice(&self, column: &'static str) -> Read<Option<&'r [u8]>> {
        if self.is_null(column)? {
            return Ok(None);
        }
        self.slice(column).map(Some)
    }

    fn is_null(&self, column: &'static str) -> Read<bool> {
        Ok(matches!(self.value(column)?, Value::Null(_)))
    }

    fn value(&self, column: &'static str) -> Read<&'r Value> {
        let place = self.row.columns.iter().position(|name| **name == *column);
        place
            .and_then(|place| self.row.values.get(place))
            .ok_or_else(|| self.damaged(column, "no such column"))
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
