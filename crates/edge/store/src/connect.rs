//! Connections: the pragmas, the migrations, and the lock that keeps two programs off one file.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Once;

use sqlx::any::{AnyConnectOptions, install_default_drivers};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{AnyConnection, ConnectOptions, Connection, Executor};

use crate::config::{Engine, StoreConfig};
use crate::error::OpenError;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Pages of 4096 bytes that the write-ahead log may hold before it is written back: 16 MiB.
const WAL_PAGES: u32 = 4096;
/// Page cache of the writing connection, in KiB.
const WRITER_CACHE_KIB: u32 = 32 * 1024;
/// Page cache of each reading connection, in KiB.
const READER_CACHE_KIB: u32 = 4 * 1024;

/// Keeps other programs from opening the same SQLite file; the lock ends with the value.
#[derive(Debug)]
pub(crate) struct FileLock {
    _file: File,
    /// Which file was meant when the lock was taken: device and inode.
    #[cfg(unix)]
    database: (u64, u64),
}

impl FileLock {
    /// Locks `<database>.lock`, which is left in place: removing it would let two holders in.
    pub(crate) fn take(database: &Path) -> Result<Self, OpenError> {
        let path = beside(database, ".lock");
        let failed = |source| OpenError::File {
            path: path.clone(),
            source,
        };
        if let Some(folder) = database.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).map_err(failed)?;
        // The database holds the whole inventory: made here, before the engine makes it with
        // whatever rights the process has by default.
        let made = options.open(database).map_err(failed)?;
        #[cfg(unix)]
        let identity = identity(&made.metadata().map_err(failed)?);
        drop(made);
        match file.try_lock() {
            Ok(()) => Ok(Self {
                _file: file,
                #[cfg(unix)]
                database: identity,
            }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse(database.to_path_buf())),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// Whether `database` is still the file that the lock is about.
    #[cfg(unix)]
    pub(crate) fn is_of(&self, database: &Path) -> bool {
        std::fs::metadata(database).is_ok_and(|found| identity(&found) == self.database)
    }

    /// Whether `database` is still there; this system cannot say whether it is the same.
    #[cfg(not(unix))]
    pub(crate) fn is_of(&self, database: &Path) -> bool {
        database.exists()
    }
}

#[cfg(unix)]
fn identity(file: &std::fs::Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (file.dev(), file.ino())
}

/// `<database><ending>`, as the engine itself names its companions.
pub(crate) fn beside(database: &Path, ending: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Opens the connection that writes.
pub(crate) async fn writer(config: &StoreConfig) -> Result<AnyConnection, sqlx::Error> {
    let connecting = async {
        let mut connection = options(config)?.connect().await?;
        prepare(&mut connection, config, Role::Writer).await?;
        Ok(connection)
    };
    match tokio::time::timeout(config.patience, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(sqlx::Error::PoolTimedOut),
    }
}

/// Opens a connection that reads.
pub(crate) async fn reader(
    options: &AnyConnectOptions,
    config: &StoreConfig,
) -> Result<AnyConnection, sqlx::Error> {
    let mut connection = options.connect().await?;
    prepare(&mut connection, config, Role::Reader).await?;
    Ok(connection)
}

/// Brings the schema up to this program's version.
pub(crate) async fn migrate(connection: &mut AnyConnection) -> Result<(), OpenError> {
    let known = MIGRATIONS
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or(0);
    MIGRATIONS
        .run(connection)
        .await
        .map_err(|error| match error {
            MigrateError::VersionMissing(found) if found > known => {
                OpenError::NewerSchema { found, known }
            }
            MigrateError::Execute(error) => OpenError::Engine(error),
            MigrateError::ExecuteMigration(error, version) => OpenError::Migration {
                version,
                reason: error.to_string(),
            },
            MigrateError::VersionMissing(version) => OpenError::Migration {
                version,
                reason: "applied once, unknown now".to_owned(),
            },
            MigrateError::VersionMismatch(version) => OpenError::Migration {
                version,
                reason: "its text has changed since".to_owned(),
            },
            MigrateError::Dirty(version) => OpenError::Migration {
                version,
                reason: "it broke off half way".to_owned(),
            },
            other => OpenError::Migration {
                version: known,
                reason: other.to_string(),
            },
        })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Writer,
    Reader,
}

/// How to reach the engine.
pub(crate) fn options(config: &StoreConfig) -> Result<AnyConnectOptions, sqlx::Error> {
    static DRIVERS: Once = Once::new();
    DRIVERS.call_once(install_default_drivers);
    Ok(config
        .url
        .parse::<AnyConnectOptions>()?
        .disable_statement_logging())
}

/// Settings that belong to the connection, not to the database. What a statement would need to undo
/// itself is kept in memory: a file for it costs every insert of many rows a tenth.
async fn prepare(
    connection: &mut AnyConnection,
    config: &StoreConfig,
    role: Role,
) -> Result<(), sqlx::Error> {
    let patience = config.patience.as_millis();
    let settings = match (config.engine, role) {
        (Engine::Sqlite, Role::Writer) => format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = {patience}; \
             PRAGMA foreign_keys = ON; PRAGMA wal_autocheckpoint = {WAL_PAGES}; \
             PRAGMA cache_size = -{WRITER_CACHE_KIB}; PRAGMA temp_store = MEMORY; \
             PRAGMA max_page_count = {};",
            config.max_pages.unwrap_or(u32::MAX - 1)
        ),
        (Engine::Sqlite, Role::Reader) => format!(
            "PRAGMA busy_timeout = {patience}; PRAGMA query_only = ON; \
             PRAGMA cache_size = -{READER_CACHE_KIB};"
        ),
        // An answer may leave after COMMIT, so COMMIT must mean "on disk" whatever the server's
        // default is. Locks are waited for, but not for ever.
        (Engine::Postgres, Role::Writer) => {
            format!("SET synchronous_commit = on; SET lock_timeout = {patience};")
        }
        (Engine::Postgres, Role::Reader) => "SET default_transaction_read_only = on;".to_owned(),
    };
    connection.execute(sqlx::AssertSqlSafe(settings)).await?;
    Ok(())
}

/// Closes a connection without waiting longer than the engine deserves.
pub(crate) async fn close(connection: AnyConnection, config: &StoreConfig) {
    let _closed = tokio::time::timeout(config.patience, connection.close()).await;
}
