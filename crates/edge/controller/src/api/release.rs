//! Giving a device up, with the proof for its manufacturer.
//!
//! 1. The statement is signed by the registrar's key.
//! 2. The release is committed with the statement's digest as its evidence.
//! 3. Only then does the statement leave. Whoever lost it asks again and gets the same word anew.

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use vouchsafe_api::{IfMatch, Release, Released, Version, WaitQuery};
use vouchsafe_fleet::decide::{self, OperateFacts, Outcome};
use vouchsafe_fleet::release::{RELEASE_FORMAT, ReleaseStatement};
use vouchsafe_fleet::{Device, Digest, Evidence, OwnerId, State as Life};

use super::device::{Standing, enforced, find, version};
use super::problem::{Failure, accepted, bad_request};
use super::request::{Asked, Body, reason};
use super::{Caller, sign};
use crate::controller::{Controller, Fault};

pub(super) async fn release_device(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Asked(wait): Asked<WaitQuery>,
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
            let standing = Standing::of(&controller, &device).await?;
            let outcome = decide::release(&OperateFacts {
                now,
                actor: &actor,
                device: &device,
                credentials: &standing.credentials,
                wifi: &standing.wifi,
                addresses: &standing.addresses,
                ownership: standing.ownership.as_ref(),
                reasons: &said,
                evidence: &[Evidence::new("release-statement", Digest::of(&statement))],
            });
            Ok(outcome.map(|device| (device, statement)))
        })
        .await?;
    let (released, statement) = accepted(outcome.decision)?;
    let (version, Json(device)) = enforced(&controller, released, wait, true).await?;
    let statement = STANDARD.encode(statement);
    Ok((version, Json(Released { device, statement })))
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
