//! Why a data folder cannot be made or opened.

use std::path::PathBuf;

use crate::ConfigError;

/// Why a data folder cannot be made or opened; names the file, and the next step where there is one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HomeError {
    /// There is no `config.toml`.
    #[error("{dir} holds no config.toml: run `{init} --dir {dir}` first")]
    Absent {
        /// The folder.
        dir: PathBuf,
        /// The command that makes one.
        init: &'static str,
    },
    /// There is a whole folder already.
    #[error("{0} is a data folder already: its config.toml is kept as it is")]
    Present(PathBuf),
    /// The configuration was refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file could not be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A private key could not be made, opened or used, or a file not be written.
    #[error(transparent)]
    Keys(#[from] vouchsafe_keystore::Error),
    /// A certificate could not be read.
    #[error("{path}: {source}")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: vouchsafe_trust::ParseError,
    },
    /// A certificate could not be issued, or does not belong to its key.
    #[error("certificate for {what}: {source}")]
    Issue {
        /// Which certificate.
        what: &'static str,
        /// What is wrong.
        source: vouchsafe_trust::IssueError,
    },
    /// A chain and its key do not make a TLS identity.
    #[error("{what}: {source}")]
    Identity {
        /// Which identity.
        what: &'static str,
        /// What is wrong.
        source: vouchsafe_net::IdentityError,
    },
    /// A file that should hold certificates is empty.
    #[error("{0} holds no certificate")]
    Empty(PathBuf),
}
