//! What goes wrong, in the contract's words. What only the log should say stays there.

use axum::response::{IntoResponse, Response};
use vouchsafe_api::{Code, Problem};
use vouchsafe_fleet::decide::Decision;
use vouchsafe_fleet::{Reason, Refusal, RefusalKind};
use vouchsafe_store::{CommitError, ReadError};

use crate::controller::Fault;

/// How a handler fails: with a problem of the contract, into which every error of ours turns.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) Problem);

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Self(unavailable(&error))
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self(match fault {
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
        })
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

/// 400 with this message.
pub(super) fn bad_request(detail: impl Into<Box<str>>) -> Problem {
    Problem::new(Code::BadRequest, detail)
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

/// A decision that is no.
fn of_refusal(refusal: Refusal, reasons: &[Reason]) -> Problem {
    let code = match (refusal, refusal.kind()) {
        (
            Refusal::AlreadyClaimed
            | Refusal::NetworkExists
            | Refusal::SegmentExists
            | Refusal::GateExists,
            _,
        ) => Code::AlreadyExists,
        (Refusal::BootstrappingKeyConflict | Refusal::AddressConflict, _) => Code::Conflict,
        (_, RefusalKind::Unknown) => Code::NotFound,
        (_, RefusalKind::Malformed) => Code::BadRequest,
        (_, RefusalKind::Forbidden | RefusalKind::NotAcceptable | RefusalKind::Conflict) => {
            Code::LifecycleRefused
        }
    };
    let said: Vec<String> = reasons
        .iter()
        .map(|reason| format!("{} ({}, {})", reason.text, reason.code, reason.section))
        .collect();
    Problem::new(code, said.join("; "))
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
