//! What gates ask at the registrar's listener, with the certificate that they enrolled for.
//!
//! * `GET /gate/v1/state?have=VERSION&wait=SECONDS`: what is newer than that version, as soon as there is
//!   something; 204 when there was nothing for so long.
//! * `POST /gate/v1/report`: what happened there; 204 once that is durable.

use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Deserialize;
use tokio::time::Instant;
use vouchsafe_fleet::admission::{Gate, GateCredential};
use vouchsafe_fleet::{CredentialId, Digest, Refusal, decide};
use vouchsafe_net::Peer;

use super::report;
use crate::controller::{Controller, Fault};
use crate::registrar::Answer;

/// Longest wait for something new, in seconds.
const MAX_WAIT: u64 = 60;

/// Largest report, in bytes.
pub(crate) const MAX_REPORT: usize = 1024 * 1024;

/// The routes.
pub(crate) fn routes() -> Router<Controller> {
    Router::new().route("/gate/v1/state", get(state)).route(
        "/gate/v1/report",
        post(report::take).layer(DefaultBodyLimit::max(MAX_REPORT)),
    )
}

/// What a gate says of what it has.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Asked {
    have: Option<u64>,
    #[serde(default)]
    wait: u64,
}

async fn state(
    State(controller): State<Controller>,
    Extension(peer): Extension<Peer>,
    Query(asked): Query<Asked>,
) -> Response {
    match news(&controller, &peer, asked).await {
        Ok(response) => response,
        Err(answer) => answer.into_response(),
    }
}

async fn news(controller: &Controller, peer: &Peer, asked: Asked) -> Result<Response, Answer> {
    let (gate, _) = known(controller, peer).await?;
    let gates = &controller.gates;
    gates.need();
    let mut place = gates.place(&gate.name);
    let Ok(_permit) = gates.waiting.clone().try_acquire_owned() else {
        return Ok(busy("too many gates wait"));
    };
    let end = Instant::now() + Duration::from_secs(asked.wait.min(MAX_WAIT));
    let mut progress = gates.subscribe();
    let mut stopping = controller.stopping.subscribe();
    loop {
        progress.borrow_and_update();
        let update = gates
            .current()
            .update(asked.have, controller.clock.now())
            .map_err(|error| Fault::Sign(error.to_string()))?;
        if let Some(update) = update {
            // Trust may have ended while the gate waited.
            known(controller, peer).await?;
            let kind = [(header::CONTENT_TYPE, "application/json")];
            return Ok((kind, update).into_response());
        }
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => break,
            () = tokio::time::sleep_until(end) => break,
            () = place.gives_way() => return Ok(busy("this gate waits elsewhere")),
            changed = progress.changed() => if changed.is_err() {
                break;
            },
        }
    }
    known(controller, peer).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// There is no place to wait.
fn busy(why: &'static str) -> Response {
    let wait = [(header::RETRY_AFTER, "5")];
    (StatusCode::SERVICE_UNAVAILABLE, wait, why).into_response()
}

/// The gate at the other end. TLS proved the key; the row says which certificate was issued, and
/// whether it still counts. A device's certificate is no gate's.
///
/// # Errors
/// [`Refusal::GateUnknown`], [`Refusal::GateRevoked`] or [`Refusal::GateExpired`], as an answer.
pub(super) async fn known(
    controller: &Controller,
    peer: &Peer,
) -> Result<(Gate, GateCredential), Answer> {
    let refused = |refusal: Refusal| Answer::refused(refusal, vec![refusal.reason()]);
    let Some(credential) = shown(controller, peer).await? else {
        return Err(refused(Refusal::GateUnknown));
    };
    let gate = controller.store.gate(&credential.gate).await?;
    let now = controller.clock.now();
    match decide::admission::known_gate(now, gate.as_ref(), &credential) {
        Ok(gate) => Ok((gate.clone(), credential)),
        Err(refusal) => Err(refused(refusal)),
    }
}

/// The certificate that the peer proved, if it is a gate's, whether it still counts or not.
///
/// # Errors
/// [`Fault::Read`].
pub(crate) async fn shown(
    controller: &Controller,
    peer: &Peer,
) -> Result<Option<GateCredential>, Fault> {
    let Some(leaf) = peer.certificate() else {
        return Ok(None);
    };
    if leaf.issuer().der() != controller.authority.certificate().subject().der() {
        return Ok(None);
    }
    let id = CredentialId(leaf.serial_hex());
    let credential = controller.store.gate_credential(&id).await?;
    Ok(credential.filter(|credential| credential.sha256 == Digest(leaf.fingerprint_sha256())))
}
