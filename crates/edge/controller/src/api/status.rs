//! How the controller is doing, for people and for machines.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use vouchsafe_api::{Code, Problem, StateCount, Status};
use vouchsafe_store::Engine;

use super::problem::Failure;
use super::{Caller, device};
use crate::controller::Controller;
use crate::{metrics, revocation};

/// Devices that wait, counted up to this many.
const MAX_WAITING: usize = 10_000;

pub(super) async fn show_status(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Status>, Failure> {
    let counts = controller.store.device_counts().await?;
    let waiting = device::waiting(&controller, MAX_WAITING).await?;
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: controller.started_at,
        store: match controller.store.engine() {
            Engine::Sqlite => "sqlite",
            Engine::Postgres => "postgresql",
        }
        .to_owned(),
        devices: counts
            .into_iter()
            .map(|(state, count)| StateCount {
                state: device::shown_state(state),
                count,
            })
            .collect(),
        waiting: waiting.len() as u64,
        journal_position: super::signed(controller.store.position()),
        policy_sha256: controller.policy().id().to_string(),
        crl_next_update: revocation::newest(&controller)
            .await
            .map(|list| list.next_update),
        role: caller.role,
    }))
}

/// The process answers, so it lives.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// It can do its work when its state can be read and its authority is valid.
pub(super) async fn readyz(State(controller): State<Controller>) -> Result<&'static str, Failure> {
    controller.store.policy().await?;
    let authority = controller.authority.certificate();
    let now = controller.clock.now();
    if now < authority.not_before() || authority.not_after() < now {
        return Err(Problem::new(
            Code::Unavailable,
            "the domain CA's certificate is not valid at this time",
        )
        .next_step("check the clock of this machine")
        .into());
    }
    Ok("ok\n")
}

/// Measurements in the Prometheus text format.
pub(super) async fn show_metrics(State(controller): State<Controller>) -> Response {
    if let Err(fault) = metrics::count(&controller).await {
        // What events tell is there all the same.
        tracing::error!(%fault, "the store cannot be counted");
    }
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    match metrics::render() {
        Some(text) => (kind, text).into_response(),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// The contract itself.
pub(super) async fn show_openapi() -> Result<Response, Failure> {
    let text = vouchsafe_api::openapi().to_pretty_json().map_err(|error| {
        tracing::error!(%error, "the OpenAPI document cannot be written");
        Problem::new(Code::Internal, "the controller's log says more")
    })?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}
