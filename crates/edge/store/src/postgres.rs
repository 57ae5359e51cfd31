//! PostgreSQL, through sqlx.

use std::borrow::Cow;
use std::sync::Arc;

use sqlx::error::ErrorKind;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgRow};
use sqlx::{
    Arguments, AssertSqlSafe, Column, ConnectOptions, Connection, Error, Executor, PgConnection,
    Row as _, TypeInfo, ValueRef,
};

use crate::config::StoreConfig;
use crate::connect::Role;
use crate::error::{EngineError, Reason};
use crate::row::Row;
use crate::statement::{Kind, Value, Values};

/// A connection to the server.
#[derive(Debug)]
pub(crate) struct Postgres {
    connection: PgConnection,
}

impl Postgres {
    /// Connects and sets what belongs to the connection, not to the database. An answer may leave
    /// after COMMIT, so COMMIT must mean "on disk" whatever the server's default is. Locks are
    /// waited for, but not for ever.
    pub(crate) async fn open(config: &StoreConfig, role: Role) -> Result<Self, EngineError> {
        let options: PgConnectOptions = config.url.parse()?;
        let connection = options.disable_statement_logging().connect().await?;
        let mut opened = Self { connection };
        let settings = match role {
            Role::Writer => &format!(
                "SET synchronous_commit = on; SET lock_timeout = {};",
                config.patience.as_millis()
            ),
            Role::Reader => "SET default_transaction_read_only = on;",
        };
        opened.execute(settings).await?;
        Ok(opened)
    }

    /// Runs statements without arguments, one after the other.
    pub(crate) async fn execute(&mut self, sql: &str) -> Result<(), EngineError> {
        let query = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        self.connection.execute(query).await?;
        Ok(())
    }

    /// As [`crate::statement::run`].
    pub(crate) async fn run(&mut self, sql: &str, values: Values) -> Result<u64, EngineError> {
        let query = sqlx::query_with(AssertSqlSafe(numbered(sql)), arguments(values)?);
        Ok(self.connection.execute(query).await?.rows_affected())
    }

    /// As [`crate::statement::fetch_all`].
    pub(crate) async fn fetch_all(
        &mut self,
        sql: &str,
        values: Values,
    ) -> Result<Vec<Row>, EngineError> {
        let query = sqlx::query_with(AssertSqlSafe(numbered(sql)), arguments(values)?);
        let rows = self.connection.fetch_all(query).await?;
        let columns = rows.first().map_or(&[][..], PgRow::columns);
        let columns: Arc<[Box<str>]> = columns.iter().map(|one| one.name().into()).collect();
        let read = |row| read(row, Arc::clone(&columns));
        Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
    }

    /// Whether the server still answers.
    pub(crate) async fn is_alive(&mut self) -> bool {
        self.connection.ping().await.is_ok()
    }

    /// Says good-bye.
    pub(crate) async fn close(self) {
        // The server notices also who says nothing.
        let _closed = self.connection.close().await;
    }
}

/// The text as PostgreSQL wants its placeholders. No text of ours has another question mark.
fn numbered(sql: &str) -> String {
    sql.replace('?', "$")
}

fn arguments(values: Values) -> Result<PgArguments, EngineError> {
    let mut list = PgArguments::default();
    for value in values.into_list() {
        let added = match value {
            Value::Null(Kind::Number) => list.add(None::<i64>),
            Value::Null(Kind::Text) => list.add(None::<String>),
            Value::Null(Kind::Bytes) => list.add(None::<Vec<u8>>),
            Value::Number(number) => list.add(number),
            Value::Text(text) => list.add(text),
            Value::Bytes(bytes) => list.add(bytes),
            Value::Digest(digest) => list.add(digest.as_bytes().to_vec()),
        };
        added.map_err(|error| EngineError::new(Reason::Invalid, error.to_string()))?;
    }
    Ok(list)
}

fn read(row: &PgRow, columns: Arc<[Box<str>]>) -> Result<Row, Error> {
    let mut values = Vec::with_capacity(columns.len());
    for place in 0..columns.len() {
        let raw = row.try_get_raw(place)?;
        let kind = raw.type_info();
        values.push(match kind.name() {
            _ if raw.is_null() => Value::Null(Kind::Text),
            "INT8" => Value::Number(row.try_get(place)?),
            "BYTEA" => Value::Bytes(row.try_get(place)?),
            _ => Value::Text(row.try_get(place)?),
        });
    }
    Ok(Row::new(columns, values))
}

/// Disk full, and the two ways in which concurrent transactions give way to each other.
const DISK_FULL: &str = "53100";
const RETRY: [&str; 2] = ["40001", "40P01"];
/// Class 22: a value that the column cannot hold, such as a NUL in a text.
const BAD_VALUE: &str = "22";

impl From<Error> for EngineError {
    fn from(error: Error) -> Self {
        let reason = match &error {
            Error::Database(said) => {
                let code = said.code().unwrap_or(Cow::Borrowed(""));
                match said.kind() {
                    ErrorKind::UniqueViolation => Reason::Exists,
                    ErrorKind::NotNullViolation
                    | ErrorKind::CheckViolation
                    | ErrorKind::ForeignKeyViolation
                    | ErrorKind::ExclusionViolation => Reason::Invalid,
                    _ if code.starts_with(BAD_VALUE) => Reason::Invalid,
                    _ if RETRY.contains(&code.as_ref()) => Reason::Retry,
                    _ if code == DISK_FULL => Reason::Full,
                    _ if said.is_transient_in_connect_phase() => Reason::Starting,
                    _ => Reason::Unavailable,
                }
            }
            Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                Reason::Starting
            }
            _ => Reason::Unavailable,
        };
        Self::new(reason, error.to_string())
    }
}
