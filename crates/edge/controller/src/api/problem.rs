//! What goes wrong, in the contract's words. What only the log should say stays there.

use vouchsafe_api::{Code, Problem};
use vouchsafe_fleet::decide::Decision;
use vouchsafe_fleet::{Reason, Refusal, RefusalKind};
use vouchsafe_store::{CommitError, ReadError};

use crate::controller::Fault;

/// State could not be read.
pub(super) fn of_read(error: ReadError) -> Problem {
    unavailable(&error)
}

/// A fault of the controller's own.
pub(super) fn of_fault(fault: Fault) -> Problem {
    match fault {
        Fault::Commit(CommitError::Full) => {
            tracing::error!("the disk is full");
            Problem::new(Code::StorageFull, "the disk is full; nothing was changed")
                .next_step("free room on the controller's disk and repeat")
        }
        Fault::Contended => Problem::new(
            Code::Conflict,
            "too many changes at once; nothing was changed",
        )
        .next_step("repeat the request"),
        Fault::Read(error) => unavailable(&error),
        Fault::Commit(error) => unavailable(&error),
        other => {
            tracing::error!(error = %other, "a request failed");
            Problem::new(Code::Internal, "the controller's log says more")
        }
    }
}

fn unavailable(error: &dyn std::fmt::Display) -> Problem {
    tracing::error!(%error, "the store is not there");
    Problem::new(
        Code::Unavailable,
        "the store does not answer; nothing was changed",
    )
    .retry_after(5)
    .next_step("see the controller's log; `readyz` says when it is back")
}

/// A decision that is no.
pub(super) fn of_refusal(refusal: Refusal, reasons: &[Reason]) -> Problem {
    let code = match refusal.kind() {
        RefusalKind::Unknown => Code::NotFound,
        RefusalKind::Malformed => Code::BadRequest,
        RefusalKind::Forbidden | RefusalKind::NotAcceptable | RefusalKind::Conflict => {
            Code::LifecycleRefused
        }
    };
    let said: Vec<String> = reasons
        .iter()
        .map(|reason| format!("{} ({}, {})", reason.text, reason.code, reason.section))
        .collect();
    Problem::new(code, said.join("; "))
}

/// What was accepted; a decision of people neither waits nor is replayed.
pub(super) fn accepted<D>(decision: Decision<D>) -> Result<D, Problem> {
    match decision {
        Decision::Accept(accepted) => Ok(accepted),
        Decision::Refuse { refusal, reasons } => Err(of_refusal(refusal, &reasons)),
        Decision::Wait { .. } | Decision::Replay(_) => Err(Problem::new(
            Code::Internal,
            "a decision that the API does not know",
        )),
    }
}
