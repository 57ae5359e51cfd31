//! Why a commit, or a whole batch, goes no further.

use crate::error::{CommitError, Conflict, EngineError, Failure, ReadError, Reason};

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

impl From<EngineError> for Stop {
    fn from(error: EngineError) -> Self {
        let refused = |error| Self::Refused {
            error,
            touched: true,
        };
        match error.reason {
            Reason::Exists => refused(CommitError::Conflict(Conflict::Exists("a unique key"))),
            Reason::Invalid => refused(CommitError::Invalid(error.to_string())),
            _ => Self::Engine(Failure::from(error)),
        }
    }
}

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        Self::Engine(Failure::Unavailable(error.to_string()))
    }
}
