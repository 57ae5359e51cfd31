//! A connection to either engine, and the lock that keeps two programs off one file.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use crate::config::{Engine, StoreConfig};
use crate::error::{EngineError, OpenError};
use crate::postgres::Postgres;
use crate::sqlite::Sqlite;

/// A connection. On SQLite nothing that is awaited here waits: the calls return when they are done.
#[derive(Debug)]
pub(crate) enum Connection {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Writer,
    Reader,
}

impl Connection {
    /// Opens the file, or connects to the server as long as patience lasts.
    pub(crate) async fn open(config: &StoreConfig, role: Role) -> Result<Self, EngineError> {
        match config.engine {
            Engine::Sqlite => Ok(Self::Sqlite(Sqlite::open(config, role)?)),
            Engine::Postgres => {
                match tokio::time::timeout(config.patience, Postgres::open(config, role)).await {
                    Ok(opened) => Ok(Self::Postgres(opened?)),
                    Err(_) => Err(EngineError::timed_out()),
                }
            }
        }
    }

    /// Runs statements without arguments, one after the other.
    pub(crate) async fn execute(&mut self, sql: &str) -> Result<(), EngineError> {
        match self {
            Self::Sqlite(engine) => engine.execute(sql),
            Self::Postgres(engine) => engine.execute(sql).await,
        }
    }

    /// Begins a transaction that will write about so many rows. On SQLite one that reads first and
    /// writes later would be refused at once when somebody else holds the lock, without waiting.
    pub(crate) async fn begin(&mut self, rows: usize) -> Result<(), EngineError> {
        match self {
            Self::Sqlite(engine) => {
                engine.expect(rows)?;
                engine.mark("BEGIN IMMEDIATE")
            }
            Self::Postgres(engine) => {
                let sql = "BEGIN ISOLATION LEVEL READ COMMITTED";
                engine.execute(sql).await
            }
        }
    }

    /// Makes the transaction durable.
    pub(crate) async fn commit(&mut self) -> Result<(), EngineError> {
        match self {
            Self::Sqlite(engine) => engine.mark("COMMIT"),
            Self::Postgres(engine) => engine.execute("COMMIT").await,
        }
    }

    /// Undoes the transaction.
    pub(crate) async fn roll_back(&mut self) -> Result<(), EngineError> {
        match self {
            Self::Sqlite(engine) => engine.roll_back(),
            Self::Postgres(engine) => engine.execute("ROLLBACK").await,
        }
    }

    /// Whether somebody still answers. SQLite is in this process: nobody breaks it meanwhile.
    pub(crate) async fn is_alive(&mut self) -> bool {
        match self {
            Self::Sqlite(_) => true,
            Self::Postgres(engine) => engine.is_alive().await,
        }
    }

    /// Closes without waiting longer than the engine deserves.
    pub(crate) async fn close(self, config: &StoreConfig) {
        match self {
            // The last one to go writes the log back.
            Self::Sqlite(engine) => drop(engine),
            Self::Postgres(engine) => {
                let _closed = tokio::time::timeout(config.patience, engine.close()).await;
            }
        }
    }
}

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
