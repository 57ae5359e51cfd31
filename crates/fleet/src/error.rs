//! What can be wrong with data that is not a decision: a stored text, a journal, a policy.

use crate::journal::JournalError;
use crate::lifecycle::LifecycleError;
use crate::policy::PolicyError;

/// Everything this crate can object to, apart from a [`Refusal`](crate::Refusal), which is a
/// decision and not an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A stored text names no variant of the enum it should name.
    #[error("{what} cannot be {text:?}")]
    UnknownText {
        /// The enum's name.
        what: &'static str,
        /// The text that was found (at most 64 characters of it).
        text: String,
    },
    /// An identifier or digest is not the expected number of lower-case hexadecimal digits.
    #[error("{what} must be {digits} lower-case hexadecimal digits")]
    BadIdentifier {
        /// The identifier's type.
        what: &'static str,
        /// How many digits it has.
        digits: usize,
    },
    /// A state change that the life cycle does not know, or not for this actor.
    #[error(transparent)]
    Lifecycle(#[from] LifecycleError),
    /// A journal that does not verify.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A text that is no policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}
