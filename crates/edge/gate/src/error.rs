//! Why the gate does not start, or cannot do what it was told.

use std::io;
use std::path::PathBuf;

/// Trouble of this machine's own making.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: {problem}", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The gate is to have a link, and has no certificate for it.
    #[error(
        "this gate has not enrolled: `vouchsafe gates add` at the controller gives a token, and \
         `vouchsafe-gate enrol {}` takes it", dir.display()
    )]
    NotEnrolled {
        /// The gate's folder.
        dir: PathBuf,
    },
    /// A socket cannot be opened.
    #[error("{address}: {source}")]
    Socket {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The key of the gate's certificate cannot be used.
    #[error(transparent)]
    Keys(#[from] vouchsafe_keystore::Error),
    /// Chain and key do not belong together.
    #[error(transparent)]
    Identity(#[from] vouchsafe_net::IdentityError),
    /// The packet filter does not do what it is told.
    #[error("nft: {0}")]
    Filter(String),
    /// The machine gives no randomness.
    #[error("no randomness")]
    Random,
}

impl GateError {
    pub(crate) fn content(path: impl Into<PathBuf>, problem: impl ToString) -> Self {
        Self::Content {
            path: path.into(),
            problem: problem.to_string(),
        }
    }

    pub(crate) fn file(path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::File {
            path: path.into(),
            source,
        }
    }
}
