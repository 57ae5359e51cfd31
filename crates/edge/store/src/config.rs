//! Where the state lives.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::OpenError;

/// Which engine holds the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// One file, one program.
    Sqlite,
    /// A server that several replicas may share.
    Postgres,
}

/// How to open a store. Made from a URL; the rest has defaults that suit a site of any size.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    pub(crate) engine: Engine,
    pub(crate) url: String,
    /// The SQLite file; absent on PostgreSQL.
    pub(crate) file: Option<PathBuf>,
    /// Connections for reading, beside the writer's one. Default 4.
    pub readers: u32,
    /// Commits that may wait for the writer before `commit` itself waits. Default 1024.
    pub queue: usize,
    /// How long a caller waits for a free connection, and the writer for a lock. Default 5 s.
    pub patience: Duration,
    /// How often to look for other replicas' journal entries when no notification arrives
    /// (PostgreSQL only). Default 2 s.
    pub poll: Duration,
    /// Largest size of the SQLite file in pages of 4096 bytes; `None` leaves it to the disk.
    pub max_pages: Option<u32>,
}

impl StoreConfig {
    /// Reads `sqlite:PATH`, `sqlite://PATH` or `postgres://…` (`postgresql://…`).
    ///
    /// # Errors
    /// [`OpenError::Scheme`] for anything else.
    pub fn from_url(url: &str) -> Result<Self, OpenError> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::new(Engine::Postgres, url.to_owned(), None));
        }
        let path = url
            .strip_prefix("sqlite://")
            .or_else(|| url.strip_prefix("sqlite:"))
            .filter(|path| !path.is_empty())
            .ok_or_else(|| OpenError::Scheme(scheme(url).to_owned()))?;
        Ok(Self::sqlite(Path::new(path)))
    }

    /// A SQLite file, made when absent together with its folder.
    #[must_use]
    pub fn sqlite(path: &Path) -> Self {
        let file = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        let url = format!("sqlite://{}?mode=rw", percent_encoded(&file));
        Self::new(Engine::Sqlite, url, Some(file))
    }

    /// Which engine the URL names.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine
    }

    fn new(engine: Engine, url: String, file: Option<PathBuf>) -> Self {
        Self {
            engine,
            url,
            file,
            readers: 4,
            queue: 1024,
            patience: Duration::from_secs(5),
            poll: Duration::from_secs(2),
            max_pages: None,
        }
    }
}

/// Only what stands before the first colon: the rest of a URL may hold a password.
fn scheme(url: &str) -> &str {
    url.split_once(':').map_or("", |(scheme, _)| scheme)
}

fn percent_encoded(path: &Path) -> String {
    let mut out = String::new();
    for &byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_their_engine() {
        let engine = |url| StoreConfig::from_url(url).map(|c| c.engine()).ok();
        assert_eq!(engine("sqlite:/tmp/a b#c.db"), Some(Engine::Sqlite));
        assert_eq!(engine("sqlite://relative.db"), Some(Engine::Sqlite));
        assert_eq!(engine("postgres:///x?host=/tmp"), Some(Engine::Postgres));
        for wrong in ["", "sqlite:", "mysql://x", "/tmp/x.db"] {
            assert!(engine(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn an_error_about_the_url_does_not_repeat_its_password() {
        let error = StoreConfig::from_url("mysql://user:hunter2@host/db").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn odd_file_names_survive_the_url() {
        let config = StoreConfig::sqlite(Path::new("/tmp/a b?c#d%.db"));
        assert_eq!(config.url, "sqlite:///tmp/a%20b%3Fc%23d%25.db?mode=rw");
    }
}
