//! Statements as data: arguments in order, and `INSERT` of many rows at once.
//!
//! Every statement costs a round trip to the engine (about 20 µs to SQLite's thread), so rows of
//! one kind go together. Row counts are powers of two, so the engine keeps a handful of prepared
//! statements instead of one for each batch size.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::AnyConnection;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::{Arguments, AssertSqlSafe, Executor};
use vouchsafe_fleet::Digest;

use crate::config::Engine;

/// Most rows of one `INSERT`.
const MOST_ROWS: usize = 128;

/// Arguments of one statement, in the order of its placeholders.
#[derive(Default)]
pub(crate) struct Values {
    list: AnyArguments,
    failed: Option<sqlx::error::BoxDynError>,
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
        let added = self.list.add(value.into());
        self.note(added);
    }

    pub(crate) fn push_optional_text(&mut self, value: Option<impl Into<String>>) {
        let added = self.list.add(value.map(Into::<String>::into));
        self.note(added);
    }

    pub(crate) fn push_number(&mut self, value: i64) {
        let added = self.list.add(value);
        self.note(added);
    }

    pub(crate) fn push_optional_number(&mut self, value: Option<i64>) {
        let added = self.list.add(value);
        self.note(added);
    }

    pub(crate) fn push_bytes(&mut self, value: Vec<u8>) {
        let added = self.list.add(value);
        self.note(added);
    }

    pub(crate) fn push_optional_bytes(&mut self, value: Option<Vec<u8>>) {
        let added = self.list.add(value);
        self.note(added);
    }

    pub(crate) fn push_digest(&mut self, value: Digest) {
        self.push_bytes(value.0.to_vec());
    }

    pub(crate) fn push_optional_digest(&mut self, value: Option<Digest>) {
        self.push_optional_bytes(value.map(|digest| digest.0.to_vec()));
    }

    fn note(&mut self, added: Result<(), sqlx::error::BoxDynError>) {
        if let Err(error) = added {
            self.failed.get_or_insert(error);
        }
    }

    fn finish(self) -> Result<AnyArguments, sqlx::Error> {
        match self.failed {
            Some(error) => Err(sqlx::Error::Encode(error)),
            None => Ok(self.list),
        }
    }
}

/// Runs one statement; the number of rows it touched.
pub(crate) async fn run(
    connection: &mut AnyConnection,
    sql: &'static str,
    values: Values,
) -> Result<u64, sqlx::Error> {
    let query = sqlx::query_with(sql, values.finish()?);
    Ok(connection.execute(query).await?.rows_affected())
}

/// Runs one statement that returns at most one row.
pub(crate) async fn fetch_optional(
    connection: &mut AnyConnection,
    sql: &'static str,
    values: Values,
) -> Result<Option<AnyRow>, sqlx::Error> {
    sqlx::query_with(sql, values.finish()?)
        .fetch_optional(connection)
        .await
}

/// Runs one statement that returns rows. The statement itself bounds their number.
pub(crate) async fn fetch_all(
    connection: &mut AnyConnection,
    sql: &'static str,
    values: Values,
) -> Result<Vec<AnyRow>, sqlx::Error> {
    sqlx::query_with(sql, values.finish()?)
        .fetch_all(connection)
        .await
}

/// As [`fetch_all`], with a text that was put together.
pub(crate) async fn fetch_all_text(
    connection: &mut AnyConnection,
    sql: AssertSqlSafe<String>,
    values: Values,
) -> Result<Vec<AnyRow>, sqlx::Error> {
    sqlx::query_with(sql, values.finish()?)
        .fetch_all(connection)
        .await
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

/// The texts of the multi-row statements, made once.
#[derive(Debug)]
pub(crate) struct Inserts {
    engine: Engine,
    texts: HashMap<(Insert, usize), Arc<str>>,
}

impl Inserts {
    pub(crate) fn new(engine: Engine) -> Self {
        Self {
            engine,
            texts: HashMap::new(),
        }
    }

    /// Inserts `rows`, each of which `bind` turns into exactly `insert.columns` arguments.
    /// Returns how many rows went in: fewer than given when the tail says `DO NOTHING`.
    pub(crate) async fn run<Row>(
        &mut self,
        connection: &mut AnyConnection,
        insert: Insert,
        rows: &[Row],
        bind: impl Fn(&Row, &mut Values),
    ) -> Result<u64, sqlx::Error> {
        let mut inserted = 0;
        let mut rest = rows;
        while !rest.is_empty() {
            let count = largest_power_of_two(rest.len().min(MOST_ROWS));
            let (now, later) = rest.split_at(count);
            rest = later;
            let mut values = Values::new();
            values.list.reserve(count * insert.columns, 0);
            for row in now {
                bind(row, &mut values);
            }
            let sql = self.text(insert, count);
            let query = sqlx::query_with(AssertSqlSafe(sql), values.finish()?);
            inserted += connection.execute(query).await?.rows_affected();
        }
        Ok(inserted)
    }

    fn text(&mut self, insert: Insert, rows: usize) -> Arc<str> {
        let engine = self.engine;
        let text = self
            .texts
            .entry((insert, rows))
            .or_insert_with(|| text(engine, insert, rows).into());
        Arc::clone(text)
    }
}

/// SQLite looks a numbered placeholder up in a list, for each one anew: with thousands of them the
/// bare question mark is faster by an order. PostgreSQL knows only numbers.
fn text(engine: Engine, insert: Insert, rows: usize) -> String {
    let mut sql = format!("{} VALUES ", insert.head);
    for row in 0..rows {
        sql.push_str(if row == 0 { "(" } else { ",(" });
        for column in 0..insert.columns {
            if column > 0 {
                sql.push(',');
            }
            match engine {
                Engine::Sqlite => sql.push('?'),
                Engine::Postgres => {
                    sql.push_str(&format!("${}", row * insert.columns + column + 1))
                }
            }
        }
        sql.push(')');
    }
    if !insert.tail.is_empty() {
        sql.push(' ');
        sql.push_str(insert.tail);
    }
    sql
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
    fn rows_are_numbered_as_each_engine_wants() {
        assert_eq!(
            text(Engine::Postgres, PAIR, 2),
            "INSERT INTO t (a, b) VALUES ($1,$2),($3,$4) ON CONFLICT DO NOTHING"
        );
        assert_eq!(
            text(Engine::Sqlite, PAIR, 2),
            "INSERT INTO t (a, b) VALUES (?,?),(?,?) ON CONFLICT DO NOTHING"
        );
    }

    #[test]
    fn chunks_are_powers_of_two() {
        let chunks: Vec<_> = [1, 2, 3, 7, 8, 127, 128].map(largest_power_of_two).into();
        assert_eq!(chunks, [1, 2, 2, 4, 8, 64, 128]);
    }
}
