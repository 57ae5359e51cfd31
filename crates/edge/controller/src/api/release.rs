//! Giving a device up, with the proof for its manufacturer.
//!
//! 1. The statement is signed by the registrar's key.
//! 2. The release is committed with the statement's digest as its evidence.
//! 3. Only then does the statement leave. Whoever lost it asks again and gets the same word anew.
//!
//! A dry run decides, and neither signs nor commits.

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use vouchsafe_api::{IfMatch, Release, Released, Version, WaitQuery};
use vouchsafe_fleet::decide::{self, OperateFacts, Outcome};
use vouchsafe_fleet::release::{RELEASE_FORMAT, ReleaseStatement};
use vouchsafe_fleet::{Actor, Device, Digest, Evidence, OwnerId, Reason, State as Life};

use super::device::{Standing, enforced, find, shown, version};
use super::problem::{Failure, accepted, bad_request};
use super::request::{Asked, Body, DryRunQuery, reason};
use super::{Caller, sign};
use crate::controller::{Controller, Fault};

pub(super) async fn release_device(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Asked(wait): Asked<WaitQuery>,
    Asked(DryRunQuery { dry_run }): Asked<DryRunQuery>,
    headers: HeaderMap,
    Body(release): Body<Release>,
) -> Result<(Version, Json<Released>), Failure> {
    let said = [reason(&release.reason)?];
    let next_owner: Option<OwnerId> = release
        .next_owner
        .as_deref()
        .map(str::parse)
        .transpose()
        .map_err(|_| bad_request("`next_owner` must be an id of 32 hexadecimal digits"))?;
    let if_match = IfMatch::from_headers(&headers)?;
    let actor = caller.actor();
    if dry_run {
        return rehearse(&controller, &actor, &id, if_match, &said).await;
    }
    let outcome = controller
        .settle_as::<_, Failure, _, _>(async || {
            let device = find(&controller, &id).await?;
            if_match.check(version(&device))?;
            if device.state == Life::Released {
                let why = device.reason.as_deref().unwrap_or(&release.reason);
                let at = device.updated_at;
                let statement = signed(&controller, &device, why, next_owner, at).await?;
                return Ok(Outcome::nothing((device, statement)));
            }
            let now = controller.clock.now();
            let why = &release.reason;
            let statement = signed(&controller, &device, why, next_owner, now).await?;
            let evidence = [Evidence::new("release-statement", Digest::of(&statement))];
            let outcome = given_up(&controller, &actor, &device, &said, &evidence, now).await?;
            Ok(outcome.map(|device| (device, statement)))
        })
        .await?;
    let (released, statement) = accepted(outcome.decision)?;
    let (version, Json(device)) = enforced(&controller, released, wait, true).await?;
    let statement = STANDARD.encode(statement);
    Ok((version, Json(Released { device, statement })))
}

/// What giving the device up would come to. Nothing is stored, and no statement is signed: it would be as
/// good as one that is meant.
async fn rehearse(
    controller: &Controller,
    actor: &Actor,
    id: &str,
    if_match: IfMatch,
    said: &[Reason],
) -> Result<(Version, Json<Released>), Failure> {
    let stored = find(controller, id).await?;
    let version = version(&stored);
    if_match.check(version)?;
    let would = match stored.state {
        Life::Released => stored,
        _ => {
            let now = controller.clock.now();
            let outcome = given_up(controller, actor, &stored, said, &[], now).await?;
            accepted(outcome.decision)?
        }
    };
    let released = Released {
        device: shown(would, false),
        statement: String::new(),
    };
    Ok((version, Json(released)))
}

/// Decides on what is stored.
async fn given_up(
    controller: &Controller,
    actor: &Actor,
    device: &Device,
    said: &[Reason],
    evidence: &[Evidence],
    now: Timestamp,
) -> Result<Outcome<Device>, Failure> {
    let standing = Standing::of(controller, device).await?;
    Ok(decide::release(&OperateFacts {
        now,
        actor,
        device,
        credentials: &standing.credentials,
        wifi: &standing.wifi,
        addresses: &standing.addresses,
        ownership: standing.ownership.as_ref(),
        reasons: said,
        evidence,
    }))
}

async fn signed(
    controller: &Controller,
    device: &Device,
    why: &str,
    next_owner: Option<OwnerId>,
    at: Timestamp,
) -> Result<Vec<u8>, Fault> {
    let statement = ReleaseStatement {
        format: RELEASE_FORMAT.to_owned(),
        manufacturer: device.manufacturer,
        serial: device.serial.clone(),
        owner: controller.owner,
        released_at: at,
        reason: why.to_owned(),
        next_owner,
    };
    let json = serde_json::to_vec(&statement).map_err(|error| Fault::Sign(error.to_string()))?;
    sign::by_registrar(controller, json).await
}
