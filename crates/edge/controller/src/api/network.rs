//! Wi-Fi networks.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use vouchsafe_api::{
    Code, IfMatch, Network, NetworkCredential, Page, PageQuery, Problem, PutNetwork, Version,
};
use vouchsafe_fleet::decide::wifi::{self, NetworkFacts};
use vouchsafe_fleet::wifi as stored;

use super::problem::{Failure, accepted, bad_request};
use super::request::{Asked, Body};
use super::{Caller, page, signed};
use crate::controller::Controller;
use crate::gate::all_segments;

/// A network with its ETag.
type Tagged = (Version, Json<Network>);

pub(super) async fn list_networks(
    State(controller): State<Controller>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Page<Network>>, Failure> {
    let limit = query.effective_limit();
    let after = query.after.as_deref();
    let networks = controller.store.networks(after, limit).await?;
    let name = |network: &stored::Network| network.name.clone();
    Ok(Json(page(networks, limit, name, shown)))
}

pub(super) async fn show_network(
    State(controller): State<Controller>,
    Path(name): Path<String>,
) -> Result<Tagged, Failure> {
    Ok(tagged(find(&controller, &name).await?))
}

pub(super) async fn add_network(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Body(network): Body<PutNetwork>,
) -> Result<(StatusCode, Version, Json<Network>), Failure> {
    let actor = caller.actor();
    let outcome = controller
        .settle_as::<_, Failure, _, _>(async || {
            let existing = controller.store.network(&network.name).await?;
            let segments = all_segments(&controller).await?;
            let facts = NetworkFacts {
                now: controller.clock.now(),
                actor: &actor,
                existing: existing.as_ref(),
                count: all(&controller).await?.len(),
                segments: &segments,
            };
            Ok(wifi::put_network(&facts, wanted(&facts, &network)))
        })
        .await?;
    let (version, network) = tagged(accepted(outcome.decision)?);
    Ok((StatusCode::CREATED, version, network))
}

pub(super) async fn put_network(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Body(network): Body<PutNetwork>,
) -> Result<Tagged, Failure> {
    if network.name != name {
        return Err(bad_request("`name` is not the one in the path; a name never changes").into());
    }
    let if_match = IfMatch::from_headers(&headers)?;
    let actor = caller.actor();
    let outcome = controller
        .settle_as::<_, Failure, _, _>(async || {
            let existing = find(&controller, &name).await?;
            if_match.require(version(&existing))?;
            let segments = all_segments(&controller).await?;
            let facts = NetworkFacts {
                now: controller.clock.now(),
                actor: &actor,
                existing: Some(&existing),
                count: 0,
                segments: &segments,
            };
            Ok(wifi::change_network(&facts, wanted(&facts, &network)))
        })
        .await?;
    Ok(tagged(accepted(outcome.decision)?))
}

pub(super) async fn remove_network(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Failure> {
    let if_match = IfMatch::from_headers(&headers)?;
    let actor = caller.actor();
    let outcome = controller
        .settle_as::<_, Failure, _, _>(async || {
            let network = find(&controller, &name).await?;
            if_match.check(version(&network))?;
            let in_use = controller.store.network_in_use(&name).await?;
            let now = controller.clock.now();
            Ok(wifi::remove_network(now, &actor, &network, in_use))
        })
        .await?;
    accepted(outcome.decision)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Every network; there are few.
pub(crate) async fn all(
    controller: &Controller,
) -> Result<Vec<stored::Network>, vouchsafe_store::ReadError> {
    let most = u32::try_from(stored::MAX_NETWORKS).unwrap_or(u32::MAX);
    controller.store.networks(None, most).await
}

/// The network of this name, or 404.
async fn find(controller: &Controller, name: &str) -> Result<stored::Network, Failure> {
    let found = controller.store.network(name).await?;
    found.ok_or_else(|| Problem::not_found("network", name).into())
}

/// The network of this name that a request means a device for, or 400.
pub(super) async fn named(
    controller: &Controller,
    name: Option<&str>,
) -> Result<Option<stored::Network>, Failure> {
    let Some(name) = name else { return Ok(None) };
    match controller.store.network(name).await? {
        Some(network) => Ok(Some(network)),
        None => Err(
            Problem::new(Code::BadRequest, format!("there is no network `{name}`"))
                .next_step("`vouchsafe network list` shows what there is")
                .into(),
        ),
    }
}

fn wanted(facts: &NetworkFacts<'_>, network: &PutNetwork) -> stored::Network {
    stored::Network {
        name: network.name.clone(),
        ssid: network.ssid.clone(),
        credential: match network.credential {
            NetworkCredential::Connector => stored::NetworkCredential::Connector,
            NetworkCredential::Certificate => stored::NetworkCredential::Certificate,
            NetworkCredential::Sae => stored::NetworkCredential::Sae,
            NetworkCredential::Psk => stored::NetworkCredential::Psk,
        },
        fallback: network.fallback,
        segment: network.segment.clone(),
        lifetime_days: network.lifetime_days,
        server_name: network.server_name.clone(),
        version: 0,
        created_at: facts.now,
        updated_at: facts.now,
    }
}

fn version(network: &stored::Network) -> Version {
    Version(signed(network.version))
}

fn tagged(network: stored::Network) -> Tagged {
    (version(&network), Json(shown(network)))
}

fn shown(network: stored::Network) -> Network {
    Network {
        name: network.name,
        ssid: network.ssid,
        credential: match network.credential {
            stored::NetworkCredential::Connector => NetworkCredential::Connector,
            stored::NetworkCredential::Certificate => NetworkCredential::Certificate,
            stored::NetworkCredential::Sae => NetworkCredential::Sae,
            stored::NetworkCredential::Psk => NetworkCredential::Psk,
        },
        fallback: network.fallback,
        segment: network.segment,
        lifetime_days: network.lifetime_days,
        server_name: network.server_name,
        created_at: network.created_at,
        updated_at: network.updated_at,
        version: signed(network.version),
    }
}
