//! Statements as data: a text, its arguments in order, and `INSERT` of many rows at once.
//!
//! Texts are written in SQLite's notation, `?1` for the first argument; PostgreSQL is given `$1`
//! (`postgres`). Either engine prepares a text once for each connection.

use std::collections::HashMap;
use std::sync::Arc;

use vouchsafe_fleet::Digest;

use crate::connect::Connection;
use crate::error::EngineError;
use crate::row::Row;

/// Most rows of one `INSERT` on PostgreSQL, where each statement is a way to the server and back.
const MOST_ROWS: usize = 128;

/// One value, on its way to a column or back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Null(Kind),
    Number(i64),
    Text(String),
    Bytes(Vec<u8>),
    Digest(Digest),
}

/// What an absent value would be: PostgreSQL wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Number,
    Text,
    Bytes,
}

/// Arguments of one statement, in the order of its placeholders.
#[derive(Debug, Default)]
pub(crate) struct Values {
    list: Vec<Value>,
}

impl Values {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn text(mut self, value: impl Into<String>) -> Self {
        self.push_text(value);
        self
    }

    pub(crate) fn number(mut self, value: i64) -> Self {
        self.push_number(value);
        self
    }

    pub(crate) fn digest(mut self, value: Digest) -> Self {
        self.push_digest(value);
        self
    }

    pub(crate) fn push_text(&mut self, value: impl Into<String>) {
        self.list.push(Value::Text(value.into()));
    }

    pub(crate) fn push_optional_text(&mut self, value: Option<impl Into<String>>) {
        let value = value.map(|value| Value::Text(value.into()));
        self.list.push(value.unwrap_or(Value::Null(Kind::Text)));
    }

    pub(crate) fn push_number(&mut self, value: i64) {
        self.list.push(Value::Number(value));
    }

    pub(crate) fn push_optional_number(&mut self, value: Option<i64>) {
        let value = value.map(Value::Number);
        self.list.push(value.unwrap_or(Value::Null(Kind::Number)));
    }

    pub(crate) fn push_bytes(&mut self, value: Vec<u8>) {
        self.list.push(Value::Bytes(value));
    }

    pub(crate) fn push_optional_bytes(&mut self, value: Option<Vec<u8>>) {
        let value = value.map(Value::Bytes);
        self.list.push(value.unwrap_or(Value::Null(Kind::Bytes)));
    }

    pub(crate) fn push_digest(&mut self, value: Digest) {
        self.list.push(Value::Digest(value));
    }

    pub(crate) fn push_optional_digest(&mut self, value: Option<Digest>) {
        let value = value.map(Value::Digest);
        self.list.push(value.unwrap_or(Value::Null(Kind::Bytes)));
    }

    pub(crate) fn into_list(self) -> Vec<Value> {
        self.list
    }
}

/// Runs one statement; the number of rows it touched.
pub(crate) async fn run(
    connection: &mut Connection,
    sql: &str,
    values: Values,
) -> Result<u64, EngineError> {
    match connection {
        Connection::Sqlite(engine) => engine.run(sql, values),
        Connection::Postgres(engine) => engine.run(sql, values).await,
    }
}

/// Runs one statement that returns at most one row.
pub(crate) async fn fetch_optional(
    connection: &mut Connection,
    sql: &str,
    values: Values,
) -> Result<Option<Row>, EngineError> {
    Ok(fetch_all(connection, sql, values).await?.pop())
}

/// Runs one statement that returns rows. The statement itself bounds their number.
pub(crate) async fn fetch_all(
    connection: &mut Connection,
    sql: &str,
    values: Values,
) -> Result<Vec<Row>, EngineError> {
    match connection {
        Connection::Sqlite(engine) => engine.fetch_all(sql, values),
        Connection::Postgres(engine) => engine.fetch_all(sql, values).await,
    }
}

/// A table that takes many rows at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Insert {
    /// `INSERT INTO table (columns)`, without `VALUES`.
    pub(crate) head: &'static str,
    /// What follows the rows: `ON CONFLICT …` or nothing.
    pub(crate) tail: &'static str,
    /// Number of columns.
    pub(crate) columns: usize,
}

/// The texts of the inserting statements, made once.
#[derive(Debug, Default)]
pub(crate) struct Inserts {
    texts: HashMap<(Insert, usize), Arc<str>>,
}

impl Inserts {
    /// Inserts `rows`, each of which `bind` turns into exactly `insert.columns` arguments.
    /// Returns how many rows went in: fewer than given when the tail says `DO NOTHING`.
    ///
    /// On SQLite, a call away, one row is one execution of the same statement. PostgreSQL gets
    /// many rows at once, in powers of two, so that a handful of texts serves all batches.
    pub(crate) async fn run<Row>(
        &mut self,
        connection: &mut Connection,
        insert: Insert,
        rows: &[Row],
        bind: impl Fn(&Row, &mut Values),
    ) -> Result<u64, EngineError> {
        let most = match connection {
            Connection::Sqlite(_) => 1,
            Connection::Postgres(_) => MOST_ROWS,
        };
        let mut inserted = 0;
        let mut rest = rows;
        while !rest.is_empty() {
            let count = largest_power_of_two(rest.len().min(most));
            let (now, later) = rest.split_at(count);
            rest = later;
            let mut values = Values::new();
            values.list.reserve(count * insert.columns);
            for row in now {
                bind(row, &mut values);
            }
            let sql = self.text(insert, count);
            inserted += run(connection, &sql, values).await?;
        }
        Ok(inserted)
    }

    fn text(&mut self, insert: Insert, rows: usize) -> Arc<str> {
        let text = self.texts.entry((insert, rows));
        Arc::clone(text.or_insert_with(|| text_of(insert, rows).into()))
    }
}

fn text_of(insert: Insert, rows: usize) -> String {
    let row = |number: usize| {
        let first = number * insert.columns + 1;
        let places: Vec<String> = (first..first + insert.columns)
            .map(|place| format!("?{place}"))
            .collect();
        format!("({})", places.join(","))
    };
    let rows: Vec<String> = (0..rows).map(row).collect();
    let sql = format!("{} VALUES {} {}", insert.head, rows.join(","), insert.tail);
    sql.trim_end().to_owned()
}

/// How many of `limit` rows go into one statement.
pub(crate) fn largest_power_of_two(limit: usize) -> usize {
    1 << limit.max(1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAIR: Insert = Insert {
        head: "INSERT INTO t (a, b)",
        tail: "ON CONFLICT DO NOTHING",
        columns: 2,
    };

    #[test]
    fn rows_are_numbered() {
        assert_eq!(
            text_of(PAIR, 2),
            "INSERT INTO t (a, b) VALUES (?1,?2),(?3,?4) ON CONFLICT DO NOTHING"
        );
        assert_eq!(
            text_of(Insert { tail: "", ..PAIR }, 1),
            "INSERT INTO t (a, b) VALUES (?1,?2)"
        );
    }

    #[test]
    fn chunks_are_powers_of_two() {
        let chunks: Vec<_> = [1, 2, 3, 7, 8, 127, 128].map(largest_power_of_two).into();
        assert_eq!(chunks, [1, 2, 2, 4, 8, 64, 128]);
    }
}
