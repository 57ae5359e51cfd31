//! What devices have to do with Wi-Fi, and where the controller for it is.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use vouchsafe_api::{
    AccessCredential, AddCode, CredentialState, DeviceCode, DeviceKey, DeviceWifi, DppController,
    GivenNetwork, IfMatch, Page, Problem, Reasoned, Reconfigure, RefusedAttempt,
};
use vouchsafe_dpp::pkex::PkexCode;
use vouchsafe_fleet::decide::wifi::{AssignFacts, assign_network};
use vouchsafe_fleet::wifi as stored;
use vouchsafe_fleet::{ClaimSubject, CredentialStatus, Device};
use vouchsafe_store::KeyFilter;

use super::device::{Tagged, find, tagged, version};
use super::key::{shown_role, shown_source, stored_role};
use super::problem::{Failure, accepted, bad_request};
use super::request::{Body, reason};
use super::{Caller, credential, network, signed};
use crate::controller::Controller;
use crate::dpp;

/// Keys of one device that are shown at most.
const MAX_KEYS: u32 = 100;

/// Credentials of one device that are shown at most.
const MAX_CREDENTIALS: usize = 100;

/// Claims of one device that are looked at.
const MAX_CLAIMS: u32 = 100;

pub(super) async fn reconfigure_device(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Body(reconfigure): Body<Reconfigure>,
) -> Result<Tagged, Failure> {
    let said = [reason(&reconfigure.reason)?];
    let if_match = IfMatch::from_headers(&headers)?;
    let actor = caller.actor();
    let name = reconfigure.network.as_str();
    let outcome = controller
        .settle_as::<_, Failure, _, _>(async || {
            let device = find(&controller, &id).await?;
            if_match.check(version(&device))?;
            let holdings = controller.store.holdings(device.id).await?;
            let network = controller.store.network(name).await?;
            Ok(assign_network(&AssignFacts {
                now: controller.clock.now(),
                actor: &actor,
                owner: controller.owner,
                device: &device,
                standing: holdings.standing.as_ref(),
                name,
                network: network.as_ref(),
                reasons: &said,
            }))
        })
        .await?;
    accepted(outcome.decision)?;
    tagged(&controller, find(&controller, &id).await?).await
}

pub(super) async fn show_dpp_controller(
    State(controller): State<Controller>,
) -> Result<Json<DppController>, Failure> {
    let shown = controller.dpp_controller().ok_or_else(|| {
        Problem::new(
            vouchsafe_api::Code::NotFound,
            "Wi-Fi Easy Connect is not switched on here",
        )
        .next_step("set `dpp.enabled = true` in config.toml and restart")
    })?;
    Ok(Json(shown))
}

pub(super) async fn add_code(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Body(code): Body<AddCode>,
) -> Result<(StatusCode, Json<DeviceCode>), Failure> {
    let said = reason(&code.reason)?;
    if code.code.len() < dpp::SHORTEST {
        let shortest = dpp::SHORTEST;
        return Err(bad_request(format!("`code` must have {shortest} bytes or more")).into());
    }
    // A network that does not exist is better heard of now.
    network::named(&controller, code.network.as_deref()).await?;
    let read = PkexCode::new(code.identifier.as_deref(), &code.code)
        .map_err(|error| bad_request(error.to_string()))?;
    let grant = dpp::Grant {
        role: stored_role(code.role),
        network: code.network,
        label: code.label,
        actor: caller.actor(),
        reasons: vec![said],
        runs_devices: caller.runs_devices(),
    };
    let now = controller.clock.now();
    match controller.codes.add(read, grant, now) {
        Some(good) => Ok((StatusCode::CREATED, Json(shown_code(good)))),
        None => Err(Problem::new(
            vouchsafe_api::Code::Conflict,
            "a code of this name is good already, or too many are",
        )
        .next_step("wait ten minutes, or take another `identifier`")
        .into()),
    }
}

pub(super) async fn list_codes(
    State(controller): State<Controller>,
) -> Result<Json<Page<DeviceCode>>, Failure> {
    let good = controller.codes.list(controller.clock.now());
    Ok(Json(Page {
        items: good.into_iter().map(shown_code).collect(),
        next: None,
    }))
}

pub(super) async fn remove_code(
    State(controller): State<Controller>,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    let now = controller.clock.now();
    match id.parse() {
        Ok(parsed) if controller.codes.remove(parsed, now) => Ok(StatusCode::NO_CONTENT),
        _ => Err(Problem::not_found("code", &id).into()),
    }
}

fn shown_code(good: dpp::Good) -> DeviceCode {
    DeviceCode {
        id: good.id,
        guesses_left: good.left().into(),
        identifier: good.identifier,
        role: shown_role(good.role),
        network: good.network,
        label: good.label,
        said_by: good.said_by,
        expires_at: good.until,
    }
}

pub(super) async fn replace_signing_key(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Body(why): Body<Reasoned>,
) -> Result<Json<DppController>, Failure> {
    let said = [reason(&why.reason)?];
    // Before a key is made of which nobody could be told.
    let Json(before) = show_dpp_controller(State(controller.clone())).await?;
    dpp::replace_signing_key(&controller, &caller.actor(), &said).await?;
    let shown = controller.dpp_controller().unwrap_or(before);
    Ok(Json(shown))
}

/// What a device has to do with Wi-Fi; none when nothing.
pub(super) async fn of_device(
    controller: &Controller,
    device: &Device,
) -> Result<Option<DeviceWifi>, Failure> {
    let store = &controller.store;
    let filter = KeyFilter {
        device: Some(device.id),
        conflicts: false,
    };
    let keys = store.bootstrapping_keys(&filter, None, MAX_KEYS).await?;
    let standing = store.wifi_standing(device.id).await?;
    let access = store.access_credentials(device.id).await?;
    if keys.is_empty() && standing.is_none() && access.is_empty() {
        return Ok(None);
    }
    let refused = refused(controller, &keys).await?;
    let (wanted, given) = standing.map_or((None, None), |it| (it.wanted, it.given));
    let skip = access.len().saturating_sub(MAX_CREDENTIALS);
    Ok(Some(DeviceWifi {
        keys: keys.into_iter().map(shown_key).collect(),
        wanted,
        given: given.map(shown_given),
        said: said(controller, device).await?,
        credentials: access.into_iter().skip(skip).map(shown_access).collect(),
        refused,
    }))
}

/// What a device said of itself.
async fn said(
    controller: &Controller,
    device: &Device,
) -> Result<BTreeMap<String, String>, Failure> {
    let subject = ClaimSubject::Device { id: device.id };
    let claims = controller.store.claims(&subject, MAX_CLAIMS).await?;
    let said = claims.into_iter().filter_map(|claim| {
        let name = claim.kind.strip_prefix("said-")?;
        Some((name.to_owned(), claim.value.as_str()?.to_owned()))
    });
    Ok(said.collect())
}

/// The latest refusal that is remembered of any of a device's keys.
async fn refused(
    controller: &Controller,
    keys: &[stored::BootstrappingKey],
) -> Result<Option<RefusedAttempt>, Failure> {
    let now = controller.clock.now();
    let mut latest: Option<stored::Announcement> = None;
    for hash in keys.iter().flat_map(|key| [key.chirp_hash, key.id]) {
        let seen = controller.store.announcement(hash, now).await?;
        latest = [latest, seen]
            .into_iter()
            .flatten()
            .max_by_key(|seen| seen.last_at);
    }
    Ok(latest.map(|seen| RefusedAttempt {
        code: seen.code,
        at: seen.last_at,
        via: seen.via,
    }))
}

fn shown_key(key: stored::BootstrappingKey) -> DeviceKey {
    DeviceKey {
        id: key.id.to_string(),
        curve: key.curve,
        role: shown_role(key.role),
        source: shown_source(key.source),
        conflict: key.conflict.is_some(),
    }
}

fn shown_given(given: stored::Given) -> GivenNetwork {
    GivenNetwork {
        network: given.network,
        network_version: signed(given.network_version),
        role: shown_role(given.role),
        assurance: given.assurance.as_str().to_owned(),
        called: given.called,
        certificate: given.certificate.map(|id| id.to_string()),
        at: given.at,
        confirmed_at: given.confirmed_at,
    }
}

fn shown_access(access: stored::AccessCredential) -> AccessCredential {
    let (state, revoked) = match access.status {
        CredentialStatus::Active => (CredentialState::Active, None),
        CredentialStatus::Superseded => (CredentialState::Superseded, None),
        CredentialStatus::Revoked { reason, at } => (CredentialState::Revoked, Some((reason, at))),
    };
    AccessCredential {
        id: access.id.to_string(),
        kind: access.kind.as_str().to_owned(),
        network: access.network,
        state,
        issued_at: access.issued_at,
        expires_at: access.expires_at,
        revoked_at: revoked.map(|(_, at)| at),
        revocation_reason: revoked.map(|(reason, _)| credential::shown_reason(reason)),
    }
}
