//! Bootstrapping keys: claiming a device by its URI, and whose a key is.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use jiff::Timestamp;
use vouchsafe_api::{
    Announcement, BootstrappingKey, CallDevice, ClaimByUri, ClaimedByUri, Code, DeviceRole,
    IfMatch, KeyConflict, KeyFilter, KeySource, Page, PageQuery, Problem, SettleKey, Version,
};
use vouchsafe_dpp::BootstrappingPublicKey;
use vouchsafe_dpp::uri::BootstrappingUri;
use vouchsafe_fleet::decide::wifi::{
    self, ClaimUriFacts, ClaimedKey, RemoveKeyFacts, SettleKeyFacts,
};
use vouchsafe_fleet::wifi::{self as stored, KeyFacts};
use vouchsafe_fleet::{DeviceId, Digest, ManufacturerId, Reason};

use super::problem::{Failure, accepted, bad_request};
use super::request::{Asked, Body, after, optional_reason, reason};
use super::{Caller, device, network, page, segment, signed};
use crate::controller::Controller;
use crate::dpp::{self, CallError};

/// A key with its ETag.
type Tagged = (Version, Json<BootstrappingKey>);

/// What a bootstrapping URI says.
#[derive(Debug, Clone)]
pub(super) struct ReadKey {
    pub(super) id: Digest,
    chirp_hash: Digest,
    curve: &'static str,
    uri: String,
}

impl ReadKey {
    /// Reads the text of a label.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.len() > stored::MAX_URI {
            return Err(format!("the URI is longer than {} bytes", stored::MAX_URI));
        }
        let uri = BootstrappingUri::parse(text).map_err(|error| error.to_string())?;
        Ok(Self::of(uri.key(), text.to_owned()))
    }

    /// Of information that did not come as a URI.
    pub(super) fn of_information(uri: &BootstrappingUri) -> Self {
        Self::of(uri.key(), uri.to_string())
    }

    fn of(key: &BootstrappingPublicKey, uri: String) -> Self {
        Self {
            id: Digest(*key.hash()),
            chirp_hash: Digest(*key.chirp_hash()),
            curve: key.curve().jwk_name(),
            uri,
        }
    }

    pub(super) fn facts(&self) -> KeyFacts<'_> {
        KeyFacts {
            id: self.id,
            chirp_hash: self.chirp_hash,
            curve: self.curve,
            uri: &self.uri,
        }
    }
}

/// A claim by URI, as far as it can be read without looking anything up.
#[derive(Debug, Clone)]
pub(super) struct ReadClaim {
    pub(super) key: ReadKey,
    pub(super) identity: Option<(ManufacturerId, String)>,
    pub(super) label: Option<String>,
    pub(super) model: Option<String>,
    pub(super) mud_url: Option<String>,
    pub(super) segment: Option<String>,
    pub(super) role: stored::DeviceRole,
    pub(super) source: stored::KeySource,
}

impl ReadClaim {
    pub(super) fn read(claim: &ClaimByUri, source: stored::KeySource) -> Result<Self, String> {
        let (identity, label) = match (&claim.manufacturer, &claim.serial) {
            (None, label) => (None, label.clone()),
            (Some(manufacturer), Some(serial)) => {
                let id = manufacturer
                    .parse()
                    .map_err(|_| "`manufacturer` must be an id of 32 hexadecimal digits")?;
                (Some((id, serial.clone())), None)
            }
            (Some(_), None) => return Err("`manufacturer` needs a `serial`".to_owned()),
        };
        Ok(Self {
            key: ReadKey::read(&claim.uri)?,
            identity,
            label,
            model: claim.model.clone(),
            mud_url: None,
            segment: claim.segment.clone(),
            role: stored_role(claim.role),
            source,
        })
    }

    pub(super) fn identity(&self) -> Option<(ManufacturerId, &str)> {
        let (manufacturer, serial) = self.identity.as_ref()?;
        Some((*manufacturer, serial))
    }

    /// Whose device it is about.
    pub(super) fn device(&self, known: Option<&stored::BootstrappingKey>) -> DeviceId {
        wifi::device_of(self.identity(), self.key.id, known)
    }
}

pub(super) async fn claim_by_uri(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Body(claim): Body<ClaimByUri>,
) -> Result<(StatusCode, Json<ClaimedByUri>), Failure> {
    let read = ReadClaim::read(&claim, stored::KeySource::Person).map_err(bad_request)?;
    let said = optional_reason(claim.reason.as_deref())?;
    let (claimed, announced_at) =
        take(&controller, &caller, &read, claim.network.as_deref(), said).await?;
    let (_, Json(device)) = device::tagged(&controller, claimed.device).await?;
    let answer = ClaimedByUri {
        device,
        key: shown(claimed.key),
        announced_at,
    };
    Ok((StatusCode::CREATED, Json(answer)))
}

/// Claims one device by its key; says besides when it announced itself before.
pub(super) async fn take(
    controller: &Controller,
    caller: &Caller,
    claim: &ReadClaim,
    network: Option<&str>,
    said: Option<Reason>,
) -> Result<(ClaimedKey, Option<Timestamp>), Failure> {
    let now = controller.clock.now();
    let mut announced_at = None;
    for hash in [claim.key.chirp_hash, claim.key.id] {
        let seen = controller.store.announcement(hash, now).await?;
        announced_at = announced_at.max(seen.map(|seen| seen.last_at));
    }
    segment::described(controller, claim.segment.as_deref()).await?;
    let actor = caller.actor();
    let reasons: Vec<Reason> = said.into_iter().collect();
    let outcome = controller
        .settle_as::<_, Failure, _, _>(async || {
            let known = controller.store.bootstrapping_key(claim.key.id).await?;
            let id = claim.device(known.as_ref());
            let existing = controller.store.device(id).await?;
            let holdings = controller.store.holdings(id).await?;
            let network = network::named(controller, network).await?;
            Ok(wifi::claim_uri(&ClaimUriFacts {
                now: controller.clock.now(),
                actor: &actor,
                owner: controller.owner,
                key: claim.key.facts(),
                role: claim.role,
                source: claim.source,
                identity: claim.identity(),
                label: claim.label.as_deref(),
                model: claim.model.as_deref(),
                mud_url: claim.mud_url.as_deref(),
                segment: claim.segment.as_deref(),
                network: network.as_ref(),
                existing: existing.as_ref(),
                standing: holdings.standing.as_ref(),
                known: known.as_ref(),
                reasons: &reasons,
                runs_devices: caller.runs_devices(),
            }))
        })
        .await?;
    Ok((accepted(outcome.decision)?, announced_at))
}

pub(super) async fn list_bootstrapping_keys(
    State(controller): State<Controller>,
    Asked(query): Asked<PageQuery>,
    Asked(filter): Asked<KeyFilter>,
) -> Result<Json<Page<BootstrappingKey>>, Failure> {
    let limit = query.effective_limit();
    let behind: Option<Digest> = after(query.after.as_deref())?;
    let wanted = vouchsafe_store::KeyFilter {
        device: filter
            .device
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(|_| bad_request("`device` must be an id of 32 hexadecimal digits"))?,
        conflicts: filter.conflicts.unwrap_or(false),
    };
    let store = &controller.store;
    let keys = store.bootstrapping_keys(&wanted, behind, limit).await?;
    let id = |key: &stored::BootstrappingKey| key.id.to_string();
    Ok(Json(page(keys, limit, id, shown)))
}

pub(super) async fn show_bootstrapping_key(
    State(controller): State<Controller>,
    Path(id): Path<String>,
) -> Result<Tagged, Failure> {
    Ok(tagged(find(&controller, &id).await?))
}

pub(super) async fn remove_bootstrapping_key(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Failure> {
    let if_match = IfMatch::from_headers(&headers)?;
    let actor = caller.actor();
    let outcome = controller
        .settle_as::<_, Failure, _, _>(async || {
            let key = find(&controller, &id).await?;
            if_match.check(version(&key))?;
            let device = device::find(&controller, &key.device.to_string()).await?;
            Ok(wifi::remove_key(&RemoveKeyFacts {
                now: controller.clock.now(),
                actor: &actor,
                key: &key,
                device: &device,
                reasons: &[],
            }))
        })
        .await?;
    accepted(outcome.decision)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn settle_bootstrapping_key(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Body(settle): Body<SettleKey>,
) -> Result<Tagged, Failure> {
    let said = [reason(&settle.reason)?];
    let if_match = IfMatch::from_headers(&headers)?;
    let actor = caller.actor();
    let outcome = controller
        .settle_as::<_, Failure, _, _>(async || {
            let key = find(&controller, &id).await?;
            if_match.check(version(&key))?;
            let device = device::find(&controller, &settle.device).await?;
            let present = device::find(&controller, &key.device.to_string()).await?;
            let holdings = controller.store.holdings(present.id).await?;
            let now = controller.clock.now();
            let store = &controller.store;
            let certificates = store.credentials_that_count(present.id, now).await?;
            Ok(wifi::settle_key(&SettleKeyFacts {
                now,
                actor: &actor,
                key: &key,
                device: &device,
                present: &present,
                holdings: &holdings,
                certificates: &certificates,
                reasons: &said,
            }))
        })
        .await?;
    Ok(tagged(accepted(outcome.decision)?))
}

pub(super) async fn call_device(
    State(controller): State<Controller>,
    Path(id): Path<String>,
    Body(call): Body<CallDevice>,
) -> Result<Tagged, Failure> {
    let key = find(&controller, &id).await?;
    let host = call.host.as_deref().map(str::parse).transpose();
    let host = host.map_err(|error: vouchsafe_dpp::Error| bad_request(error.to_string()))?;
    match dpp::call(&controller, &key, host).await {
        Ok(()) => Ok(tagged(find(&controller, &id).await?)),
        Err(error) => {
            let code = match &error {
                CallError::NoAddress => Code::BadRequest,
                CallError::Busy => Code::TooManyRequests,
                _ => Code::Conflict,
            };
            let problem = Problem::new(code, error.to_string());
            Err(problem
                .next_step("see the device's journal, and whether the device listens")
                .into())
        }
    }
}

pub(super) async fn list_announcements(
    State(controller): State<Controller>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Page<Announcement>>, Failure> {
    let now = controller.clock.now();
    let limit = query.effective_limit();
    let unmatched = controller.store.unmatched_announcements(now, limit).await?;
    let items = unmatched.into_iter().map(|seen| Announcement {
        hash: seen.hash.to_string(),
        form: seen.form.as_str().to_owned(),
        via: seen.via,
        first_at: seen.first_at,
        last_at: seen.last_at,
    });
    Ok(Json(Page {
        items: items.collect(),
        next: None,
    }))
}

/// The key of this id, or 404.
async fn find(controller: &Controller, id: &str) -> Result<stored::BootstrappingKey, Failure> {
    let found = match Digest::parse(id) {
        Ok(parsed) => controller.store.bootstrapping_key(parsed).await?,
        Err(_) => None,
    };
    found.ok_or_else(|| Problem::not_found("bootstrapping-key", id).into())
}

fn version(key: &stored::BootstrappingKey) -> Version {
    Version(signed(key.version))
}

fn tagged(key: stored::BootstrappingKey) -> Tagged {
    (version(&key), Json(shown(key)))
}

fn shown(key: stored::BootstrappingKey) -> BootstrappingKey {
    BootstrappingKey {
        id: key.id.to_string(),
        chirp_hash: key.chirp_hash.to_string(),
        curve: key.curve,
        uri: key.uri,
        device: key.device.to_string(),
        role: shown_role(key.role),
        source: shown_source(key.source),
        conflict: key.conflict.map(|conflict| KeyConflict {
            device: conflict.device.to_string(),
            serial: conflict.serial,
            source: shown_source(conflict.source),
            by: conflict.by,
            at: conflict.at,
        }),
        added_at: key.added_at,
        updated_at: key.updated_at,
        version: signed(key.version),
    }
}

/// The contract's word for a role.
pub(super) fn shown_role(role: stored::DeviceRole) -> DeviceRole {
    match role {
        stored::DeviceRole::Station => DeviceRole::Station,
        stored::DeviceRole::AccessPoint => DeviceRole::AccessPoint,
    }
}

pub(super) fn stored_role(role: DeviceRole) -> stored::DeviceRole {
    match role {
        DeviceRole::Station => stored::DeviceRole::Station,
        DeviceRole::AccessPoint => stored::DeviceRole::AccessPoint,
    }
}

/// The contract's word for where a key came from.
pub(super) fn shown_source(source: stored::KeySource) -> KeySource {
    match source {
        stored::KeySource::Manifest => KeySource::Manifest,
        stored::KeySource::Person => KeySource::Person,
        stored::KeySource::Import => KeySource::Import,
        stored::KeySource::Scim => KeySource::Scim,
    }
}
