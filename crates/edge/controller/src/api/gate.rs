//! Gates: invited with a token, shown with what they reported, removed.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use vouchsafe_api::{
    AddGate, Gate, GateInvitation, GateState, IfMatch, Page, PageQuery, Problem, Version,
};
use vouchsafe_fleet::admission as stored;
use vouchsafe_fleet::decide::admission;

use super::problem::{Failure, accepted};
use super::request::{Asked, Body};
use super::{Caller, new_secret, signed};
use crate::controller::Controller;

/// A gate with its ETag.
type Tagged = (Version, Json<Gate>);

pub(super) async fn list_gates(
    State(controller): State<Controller>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Page<Gate>>, Failure> {
    let limit = query.effective_limit();
    let gates = controller
        .store
        .gates(query.after.as_deref(), limit)
        .await?;
    let is_full = gates.len() >= limit as usize;
    let next = gates.last().filter(|_| is_full);
    let next = next.map(|gate| gate.name.clone());
    let mut items = Vec::with_capacity(gates.len());
    for gate in gates {
        items.push(shown(&controller, gate).await?);
    }
    Ok(Json(Page { items, next }))
}

pub(super) async fn show_gate(
    State(controller): State<Controller>,
    Path(name): Path<String>,
) -> Result<Tagged, Failure> {
    let gate = find(&controller, &name).await?;
    let version = version(&gate);
    Ok((version, Json(shown(&controller, gate).await?)))
}

pub(super) async fn add_gate(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Body(add): Body<AddGate>,
) -> Result<(StatusCode, Json<GateInvitation>), Failure> {
    /// Gates are counted up to here.
    const MOST: u32 = stored::MAX_GATES as u32;
    let (token, sha256) = new_secret();
    let actor = caller.actor();
    let outcome = controller
        .settle_as::<_, Failure, _, _>(async || {
            let existing = controller.store.gate(&add.name).await?;
            let count = controller.store.gates(None, MOST).await?.len();
            let now = controller.clock.now();
            let existing = existing.as_ref();
            Ok(admission::add_gate(
                now, &actor, existing, count, &add.name, sha256,
            ))
        })
        .await?;
    let gate = accepted(outcome.decision)?;
    // Before it first asks, the desired state is there.
    controller.gates.need();
    let invitation = invitation(&controller, gate, token).await?;
    Ok((StatusCode::CREATED, Json(invitation)))
}

pub(super) async fn invite_gate(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Result<Json<GateInvitation>, Failure> {
    let (token, sha256) = new_secret();
    let actor = caller.actor();
    let outcome = controller
        .settle_as::<_, Failure, _, _>(async || {
            let gate = find(&controller, &name).await?;
            let now = controller.clock.now();
            Ok(admission::invite_gate(now, &actor, &gate, sha256))
        })
        .await?;
    let gate = accepted(outcome.decision)?;
    Ok(Json(invitation(&controller, gate, token).await?))
}

/// Ends trust in a gate; where it has ended already nothing is written.
pub(super) async fn remove_gate(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Failure> {
    let if_match = IfMatch::from_headers(&headers)?;
    let actor = caller.actor();
    let outcome = controller
        .settle_as::<_, Failure, _, _>(async || {
            let gate = find(&controller, &name).await?;
            if_match.check(version(&gate))?;
            if gate.removed_at.is_some() {
                return Ok(vouchsafe_fleet::Outcome::nothing(gate));
            }
            let credentials = controller.store.gate_credentials(&name).await?;
            let now = controller.clock.now();
            Ok(admission::remove_gate(now, &actor, &gate, &credentials))
        })
        .await?;
    accepted(outcome.decision)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn invitation(
    controller: &Controller,
    gate: stored::Gate,
    token: String,
) -> Result<GateInvitation, Failure> {
    let fingerprint = controller.authority.certificate().fingerprint_sha256();
    Ok(GateInvitation {
        gate: shown(controller, gate).await?,
        token,
        domain_ca_sha256: vouchsafe_fleet::Digest(fingerprint).to_string(),
    })
}

/// The gate of this name, or 404.
async fn find(controller: &Controller, name: &str) -> Result<stored::Gate, Failure> {
    let found = controller.store.gate(name).await?;
    found.ok_or_else(|| Problem::not_found("gate", name).into())
}

fn version(gate: &stored::Gate) -> Version {
    Version(signed(gate.version))
}

async fn shown(controller: &Controller, gate: stored::Gate) -> Result<Gate, Failure> {
    let standing = controller.store.gate_standing(&gate.name).await?;
    let is_open = gate.token.used_at.is_none() && gate.removed_at.is_none();
    Ok(Gate {
        state: match (gate.removed_at, &gate.credential) {
            (Some(_), _) => GateState::Removed,
            (None, Some(_)) => GateState::Enrolled,
            (None, None) => GateState::Invited,
        },
        token_expires_at: is_open.then_some(gate.token.expires_at),
        credential: gate.credential.as_ref().map(ToString::to_string),
        credential_ends_at: gate.credential_ends_at,
        in_force: standing.as_ref().and_then(|standing| standing.in_force),
        wanted: controller.gates.version(),
        reported_at: standing.map(|standing| standing.at),
        created_at: gate.created_at,
        updated_at: gate.updated_at,
        version: signed(gate.version),
        name: gate.name,
    })
}
