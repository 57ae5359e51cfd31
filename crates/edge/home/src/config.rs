//! `config.toml`: every key optional, unknown keys refused.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// Its name in the data folder.
pub const CONFIG_FILE: &str = "config.toml";

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML, or holds a key or a value that is not known.
    #[error("{path}: {message}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, column and what was expected.
        message: String,
    },
    /// The values are well-formed but make no sense together.
    #[error("{key}: {message}")]
    Value {
        /// The key, dotted.
        key: &'static str,
        /// What is wrong and what would be right.
        message: String,
    },
}

impl ConfigError {
    /// The value of `key` is refused unless it `fits`; `message` says what would be right.
    ///
    /// # Errors
    /// [`ConfigError::Value`].
    pub fn unless(fits: bool, key: &'static str, message: &str) -> Result<(), Self> {
        fits.then_some(()).ok_or_else(|| Self::Value {
            key,
            message: message.to_owned(),
        })
    }
}

/// Reads a configuration. What its types alone cannot check is for the caller.
///
/// # Errors
/// [`ConfigError::Read`] and [`ConfigError::Syntax`], which name the file and the line.
pub fn read_config<C: DeserializeOwned>(path: &Path) -> Result<C, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    toml::from_str(&text).map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        message: error.to_string(),
    })
}
