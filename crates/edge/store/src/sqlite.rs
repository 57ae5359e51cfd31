//! SQLite, in this process: a statement is a call, not a message to another thread.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Error, OpenFlags, ToSql, ffi};

use crate::config::StoreConfig;
use crate::connect::Role;
use crate::error::{EngineError, Reason};
use crate::row::Row;
use crate::statement::{Value, Values};

/// Pages of 4096 bytes that the write-ahead log may hold before it is written back: 16 MiB.
const WAL_PAGES: u32 = 4096;
/// The same while transactions of [`MANY_ROWS`] follow each other, 64 MiB: each of them writes most pages
/// of an index of hashes anew, and only the last of these needs to get into the file.
const WAL_PAGES_MANY: u32 = 16 * 1024;
/// Page cache of the writing connection, in KiB. After a page was split SQLite looks at all that it
/// keeps, at each commit, so that for small ones a small cache is quicker.
const WRITER_CACHE_KIB: u32 = 8 * 1024;
/// The same for a transaction of [`MANY_ROWS`], which comes back to most pages of an index.
const WRITER_CACHE_MANY_KIB: u32 = 32 * 1024;
/// Rows and entries from which on a transaction gets the large cache.
const MANY_ROWS: usize = 1024;
/// Page cache of each reading connection, in KiB.
const READER_CACHE_KIB: u32 = 4 * 1024;
/// Prepared statements that a connection keeps: more than the store has.
const STATEMENTS: usize = 256;

/// A connection to the file.
#[derive(Debug)]
pub(crate) struct Sqlite {
    connection: rusqlite::Connection,
    /// The names of each statement's columns, by its text.
    columns: HashMap<Box<str>, Arc<[Box<str>]>>,
    /// Whether it has the large cache.
    roomy: bool,
}

impl Sqlite {
    /// Opens the file, which [`crate::connect::FileLock`] has made: one that is gone is not made
    /// anew, since that would be an empty one.
    pub(crate) fn open(config: &StoreConfig, role: Role) -> Result<Self, EngineError> {
        let absent = || EngineError::new(Reason::Unavailable, "a store without a file");
        let file = config.file.as_ref().ok_or_else(absent)?;
        // Each connection is used by one thread at a time; not as URI, whatever the name says.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = rusqlite::Connection::open_with_flags(file, flags)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        connection.busy_timeout(config.patience)?;
        // Else a statement is prepared anew whenever an argument that its plan may depend on changes.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.execute_batch(&settings(config, role))?;
        Ok(Self {
            connection,
            columns: HashMap::new(),
            roomy: false,
        })
    }

    /// Makes room for a transaction of so many rows, or gives it back.
    pub(crate) fn expect(&mut self, rows: usize) -> Result<(), EngineError> {
        let roomy = rows >= MANY_ROWS;
        if roomy != self.roomy {
            let (cache, log) = match roomy {
                true => (WRITER_CACHE_MANY_KIB, WAL_PAGES_MANY),
                false => (WRITER_CACHE_KIB, WAL_PAGES),
            };
            self.execute(&format!(
                "PRAGMA cache_size = -{cache}; PRAGMA wal_autocheckpoint = {log}"
            ))?;
            self.roomy = roomy;
        }
        Ok(())
    }

    /// Begins or ends a transaction, or a part of one.
    pub(crate) fn mark(&self, sql: &str) -> Result<(), EngineError> {
        self.connection.prepare_cached(sql)?.raw_execute()?;
        Ok(())
    }

    /// Runs statements without arguments, one after the other.
    pub(crate) fn execute(&self, sql: &str) -> Result<(), EngineError> {
        Ok(self.connection.execute_batch(sql)?)
    }

    /// Undoes the transaction, unless the engine has already done that itself.
    pub(crate) fn roll_back(&self) -> Result<(), EngineError> {
        if self.connection.is_autocommit() {
            return Ok(());
        }
        self.mark("ROLLBACK")
    }

    /// As [`crate::statement::run`].
    pub(crate) fn run(&self, sql: &str, values: Values) -> Result<u64, EngineError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        bind(&mut statement, values)?;
        Ok(statement.raw_execute()? as u64)
    }

    /// As [`crate::statement::fetch_all`].
    pub(crate) fn fetch_all(&mut self, sql: &str, values: Values) -> Result<Vec<Row>, EngineError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        bind(&mut statement, values)?;
        let columns = match self.columns.get(sql) {
            Some(columns) => Arc::clone(columns),
            None => {
                let names: Arc<[Box<str>]> = statement.column_names().map(Box::from).collect();
                if self.columns.len() >= STATEMENTS {
                    self.columns.clear();
                }
                self.columns.insert(sql.into(), Arc::clone(&names));
                names
            }
        };
        let mut found = Vec::new();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            let mut values = Vec::with_capacity(columns.len());
            for place in 0..columns.len() {
                values.push(read(row.get_ref(place)?));
            }
            found.push(Row::new(Arc::clone(&columns), values));
        }
        Ok(found)
    }
}

fn bind(statement: &mut rusqlite::Statement<'_>, values: Values) -> Result<(), EngineError> {
    for (place, value) in values.into_list().iter().enumerate() {
        statement.raw_bind_parameter(place + 1, value)?;
    }
    Ok(())
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null(_) => ValueRef::Null,
            Self::Number(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
            Self::Digest(digest) => ValueRef::Blob(digest.as_bytes()),
        }))
    }
}

/// A value that no column of ours holds, such as a fraction, becomes one that its reader refuses.
fn read(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null(crate::statement::Kind::Text),
        ValueRef::Integer(number) => Value::Number(number),
        ValueRef::Real(fraction) => Value::Text(fraction.to_string()),
        ValueRef::Text(bytes) => match str::from_utf8(bytes) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Bytes(bytes.to_vec()),
        },
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
    }
}

/// Settings that belong to the connection, not to the database. What a statement would need to undo
/// itself is kept in memory: a file for it costs every insert of many rows a tenth.
fn settings(config: &StoreConfig, role: Role) -> String {
    match role {
        Role::Writer => format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
             PRAGMA wal_autocheckpoint = {WAL_PAGES}; PRAGMA cache_size = -{WRITER_CACHE_KIB}; \
             PRAGMA temp_store = MEMORY; PRAGMA max_page_count = {};",
            config.max_pages.unwrap_or(u32::MAX - 1)
        ),
        Role::Reader => {
            format!("PRAGMA query_only = ON; PRAGMA cache_size = -{READER_CACHE_KIB};")
        }
    }
}

impl From<Error> for EngineError {
    fn from(error: Error) -> Self {
        let reason = match &error {
            Error::SqliteFailure(ffi::Error { extended_code, .. }, _) => {
                match (*extended_code, *extended_code & 0xff) {
                    (ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY, _) => {
                        Reason::Exists
                    }
                    (_, ffi::SQLITE_CONSTRAINT | ffi::SQLITE_TOOBIG) => Reason::Invalid,
                    (_, ffi::SQLITE_FULL) => Reason::Full,
                    _ => Reason::Unavailable,
                }
            }
            _ => Reason::Unavailable,
        };
        Self::new(reason, error.to_string())
    }
}
