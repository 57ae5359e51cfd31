//! Why a commit, or a whole batch, goes no further.

use crate::error::{CommitError, Conflict, Failure, ReadError};

/// Why a commit stops.
pub(crate) enum Stop {
    /// This commit alone fails. `touched`: some of its statements may already have had an effect.
    Refused { error: CommitError, touched: bool },
    /// The engine fails, and with it the whole batch.
    Engine(Failure),
}

impl Stop {
    pub(crate) fn conflict(conflict: Conflict) -> Self {
        Self::Refused {
            error: CommitError::Conflict(conflict),
            touched: false,
        }
    }

    pub(crate) fn invalid(reason: &str) -> Self {
        Self::Refused {
            error: CommitError::Invalid(reason.to_owned()),
            touched: false,
        }
    }

    pub(crate) fn touched(self) -> Self {
        match self {
            Self::Refused { error, .. } => Self::Refused {
                error,
                touched: true,
            },
            engine @ Self::Engine(_) => engine,
        }
    }
}

impl From<CommitError> for Stop {
    fn from(error: CommitError) -> Self {
        Self::Refused {
            error,
            touched: false,
        }
    }
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::error::ErrorKind;
        let refused = |error| Self::Refused {
            error,
            touched: true,
        };
        match &error {
            sqlx::Error::Encode(reason) => refused(CommitError::Invalid(reason.to_string())),
            sqlx::Error::Database(reason) => match reason.kind() {
                ErrorKind::UniqueViolation => {
                    refused(CommitError::Conflict(Conflict::Exists("a unique key")))
                }
                ErrorKind::NotNullViolation
                | ErrorKind::CheckViolation
                | ErrorKind::ForeignKeyViolation
                | ErrorKind::ExclusionViolation => refused(CommitError::Invalid(error.to_string())),
                // PostgreSQL class 22: a value that the column cannot hold, such as a NUL in a text.
                _ if reason
                    .code()
                    .is_some_and(|code| code.len() == 5 && code.starts_with("22")) =>
                {
                    refused(CommitError::Invalid(error.to_string()))
                }
                _ => Self::Engine(Failure::from(error)),
            },
            _ => Self::Engine(Failure::from(error)),
        }
    }
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        Self::Engine(Failure::Unavailable(error.to_string()))
    }
}
