//! Backup, integrity and disk usage.

use std::path::Path;

use crate::config::Engine;
use crate::connect::beside;
use crate::error::{EngineError, ReadError};
use crate::statement::Values;
use crate::{Columns, Store};

/// Why a backup was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// PostgreSQL has its own tools.
    #[error("a PostgreSQL database is backed up with its own tools (pg_dump)")]
    NotHere,
    /// A backup never overwrites.
    #[error("{0} exists already")]
    Exists(String),
    /// The target's name is not UTF-8, or its folder is absent.
    #[error("cannot write there: {0}")]
    File(std::io::Error),
    /// The engine refused.
    #[error("the database did not make the copy: {0}")]
    Engine(#[from] EngineError),
}

impl Store {
    /// Writes a consistent copy of the SQLite database to `target`, while work goes on. The copy
    /// is readable by its owner only.
    ///
    /// # Errors
    /// [`BackupError`]; an existing file is never overwritten.
    pub async fn backup(&self, target: &Path) -> Result<(), BackupError> {
        if self.engine() != Engine::Sqlite {
            return Err(BackupError::NotHere);
        }
        let mut options = std::fs::OpenOptions::new();
        options.create_new(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        // The engine takes an empty file for a new one, so the rights are ours from the start.
        let made = options.open(target).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => BackupError::Exists(target.display().to_string()),
            _ => BackupError::File(error),
        })?;
        let copied = self.copy_into(target).await;
        match copied {
            Ok(()) => made.sync_all().map_err(BackupError::File),
            Err(error) => {
                // Half a copy is worse than none; what matters is the first error.
                let _removed = std::fs::remove_file(target);
                Err(error)
            }
        }
    }

    async fn copy_into(&self, target: &Path) -> Result<(), BackupError> {
        let Some(text) = target.to_str() else {
            let error = std::io::Error::from(std::io::ErrorKind::InvalidFilename);
            return Err(BackupError::File(error));
        };
        // Reading connections refuse to write, and the copy counts as writing. This one does not
        // read again.
        let sql = format!(
            "PRAGMA query_only = OFF; VACUUM INTO '{}'",
            text.replace('\'', "''")
        );
        let reader = self.readers().take().await?;
        Ok(reader.execute_last(sql).await?)
    }

    /// What the engine finds wrong with its own structures; empty when nothing. Reads the whole
    /// database on SQLite; on PostgreSQL it only asks whether the server answers, since pages are
    /// checked by the server itself. The journal has its own check.
    ///
    /// # Errors
    /// [`ReadError`] when the engine does not answer.
    pub async fn integrity(&self) -> Result<Vec<String>, ReadError> {
        let sql = match self.engine() {
            Engine::Sqlite => "PRAGMA integrity_check(100)",
            Engine::Postgres => "SELECT 'ok' AS integrity_check",
        };
        let rows = self.readers().fetch_all(sql, Values::new()).await?;
        let mut findings = Vec::new();
        for row in &rows {
            let finding = Columns::of(row, "database").text("integrity_check")?;
            if finding != "ok" {
                findings.push(finding);
            }
        }
        Ok(findings)
    }

    /// Bytes the database takes on its disk, companions included. Also sets the gauge
    /// `vouchsafe_store_bytes`.
    ///
    /// # Errors
    /// [`ReadError`] when the engine does not answer.
    pub async fn disk_usage(&self) -> Result<u64, ReadError> {
        let bytes = match &self.config.file {
            Some(file) => ["", "-wal", "-shm"]
                .iter()
                .filter_map(|ending| std::fs::metadata(beside(file, ending)).ok())
                .map(|found| found.len())
                .sum(),
            None => {
                const SQL: &str = "SELECT pg_database_size(current_database()) AS bytes";
                let row = self.readers().fetch_optional(SQL, Values::new()).await?;
                row.map(|row| Columns::of(&row, "database").count("bytes"))
                    .transpose()?
                    .unwrap_or(0)
            }
        };
        metrics::gauge!("vouchsafe_store_bytes").set(bytes as f64);
        Ok(bytes)
    }
}
