//! Why a session did not come to its proper end.

use vouchsafe_dpp::Error;
use vouchsafe_fleet::Reason;

use super::wire::Ended;
use crate::controller::Fault;

/// Why a session did not come to its proper end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The connection ended.
    #[error(transparent)]
    Wire(#[from] Ended),
    /// A message broke a rule.
    #[error("{0}")]
    Protocol(#[from] Error),
    /// The messages are fine, and the answer is no.
    #[error("{}", codes(.0))]
    Refused(Vec<Reason>),
    /// Our own fault.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Failure {
    /// Stable name, for counters.
    pub(super) fn result(&self) -> &'static str {
        match self {
            Self::Wire(ended) => ended.code(),
            Self::Protocol(_) | Self::Refused(_) => "refused",
            Self::Fault(_) => "fault",
        }
    }
}

impl From<vouchsafe_store::ReadError> for Failure {
    fn from(error: vouchsafe_store::ReadError) -> Self {
        Self::Fault(error.into())
    }
}

fn codes(reasons: &[Reason]) -> String {
    let codes: Vec<&str> = reasons.iter().map(|reason| reason.code.as_str()).collect();
    codes.join(", ")
}

/// The reason as the journal has it.
pub(super) fn reason(error: &Error) -> Reason {
    Reason::new(error.reason_code(), error.to_string(), error.section())
}
