//! The registrar: what devices reach at `/.well-known/brski` (RFC 8995 §5).
//!
//! Each handler reads top to bottom in five steps:
//!
//! 1. parse and verify (`vouchsafe-brski`): who is there, and is the message genuine;
//! 2. load the facts about that identity (`vouchsafe-store`);
//! 3. decide (`vouchsafe-fleet`);
//! 4. commit state and journal in one transaction;
//! 5. only then does anything leave: the request to the MASA, the answer to the device.

mod answer;
mod identity;
mod masa;
mod message;
mod note;
mod proofs;
mod telemetry;
mod voucher;

use axum::Router;
use axum::routing::post;

pub(crate) use answer::{Answer, reason};
pub(crate) use identity::{Proved, prove};
pub(crate) use message::Message;
pub(crate) use note::note;
pub(crate) use proofs::Proofs;

use crate::controller::Controller;

/// The routes.
pub(crate) fn routes() -> Router<Controller> {
    Router::new()
        .route(
            vouchsafe_brski::PATH_REQUEST_VOUCHER,
            post(voucher::request_voucher),
        )
        .route(
            vouchsafe_brski::PATH_VOUCHER_STATUS,
            post(telemetry::voucher_status),
        )
        .route(
            vouchsafe_brski::PATH_ENROLL_STATUS,
            post(telemetry::enroll_status),
        )
}
