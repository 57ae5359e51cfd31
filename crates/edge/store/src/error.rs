//! What can go wrong between a program and its database, by whose turn it is to act.

use std::path::PathBuf;

/// Why a store did not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL names no engine that this program speaks.
    #[error("the store URL must begin with sqlite: or postgres:, not {0:?}")]
    Scheme(String),
    /// Another process has this SQLite file open for writing.
    #[error("{} is in use by another process; one SQLite file serves one program at a time", .0.display())]
    InUse(PathBuf),
    /// The database was written by a newer program.
    #[error(
        "the database has schema version {found}, this program knows up to {known}: upgrade the program"
    )]
    NewerSchema {
        /// Version found in the database.
        found: i64,
        /// Newest version this program knows.
        known: i64,
    },
    /// A migration that was applied once reads differently now, or broke off half way.
    #[error("schema migration {version} does not match: {reason}")]
    Migration {
        /// Number of the migration.
        version: i64,
        /// What is wrong with it.
        reason: String,
    },
    /// The folder or the lock file could not be made.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The engine refused or is not there.
    #[error("the database does not answer: {0}")]
    Engine(#[from] EngineError),
}

/// What an engine said when it did not do as asked.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct EngineError {
    pub(crate) reason: Reason,
    message: String,
}

/// What a refusal of the engine means, whichever engine it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A row with such a unique key is there already.
    Exists,
    /// The column cannot hold the value.
    Invalid,
    /// Another replica was in the way: the same may succeed when repeated.
    Retry,
    /// No room is left.
    Full,
    /// A server that will answer soon.
    Starting,
    /// Nobody answered as long as patience lasts.
    TimedOut,
    /// The store was closed.
    Closed,
    /// Anything else.
    Unavailable,
}

impl EngineError {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }

    pub(crate) fn timed_out() -> Self {
        Self::new(Reason::TimedOut, "the database did not answer in time")
    }

    pub(crate) fn closed() -> Self {
        Self::new(Reason::Closed, "the store is closed")
    }
}

/// Why a commit was not kept. In every case nothing of it is in the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The facts changed since they were read: read again and decide again.
    #[error("the facts changed while deciding: {0}")]
    Conflict(Conflict),
    /// There is no room left on the database's disk.
    #[error("the database's disk is full")]
    Full,
    /// The engine is gone or refuses to write. When the connection broke while `COMMIT` was under
    /// way the outcome is unknown; guards make it safe to decide again.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// The commit itself cannot be stored: a mistake of the program, not of the engine.
    #[error("the commit cannot be stored: {0}")]
    Invalid(String),
}

/// Which fact a commit stood on and no longer holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Conflict {
    /// The device has another version than the decision was made on, or is absent.
    #[error("device {0} was changed by somebody else")]
    DeviceVersion(String),
    /// The device is there already.
    #[error("device {0} exists already")]
    DeviceExists(String),
    /// The manufacturer has another version than the decision was made on.
    #[error("the manufacturer was changed by somebody else")]
    ManufacturerVersion,
    /// The nonce was used before.
    #[error("the nonce was used before")]
    NonceUsed,
    /// The public key already belongs to a credential of another device.
    #[error("the key is already certified for another device")]
    KeyUsed,
    /// Something else that must be unique is there already.
    #[error("{0} exists already")]
    Exists(&'static str),
    /// Something that must exist is absent, or is in another state than expected.
    #[error("{0} is absent or has changed")]
    Changed(&'static str),
}

/// Why a read gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The engine is gone or too busy to answer in time.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// A row does not read back as what was written: altered from outside, or damaged.
    #[error("{table}.{column} does not read back: {reason}")]
    Damaged {
        /// Table of the row.
        table: &'static str,
        /// Column that failed.
        column: &'static str,
        /// What is wrong with the value.
        reason: String,
    },
}

impl From<EngineError> for ReadError {
    fn from(error: EngineError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// How an engine error ends a batch.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Another replica was in the way: the same batch may succeed when repeated.
    Retry(String),
    Full,
    Unavailable(String),
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error.reason {
            Reason::Retry => Self::Retry(error.message),
            Reason::Full => Self::Full,
            _ => Self::Unavailable(error.message),
        }
    }
}
