//! Segments.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use vouchsafe_api::gate::TransportProtocol;
use vouchsafe_api::{IfMatch, Page, PageQuery, Problem, PutSegment, Segment, Version};
use vouchsafe_fleet::Refusal;
use vouchsafe_fleet::admission as stored;
use vouchsafe_fleet::decide::admission::{
    self, SegmentFacts, change_segment, put_segment as decide_new,
};

use super::problem::{Failure, accepted, bad_request};
use super::request::{Asked, Body};
use super::{Caller, page, signed};
use crate::controller::Controller;
use crate::gate::{all_segments, definition, has_segment, reload_segments};

/// A segment with its ETag.
type Tagged = (Version, Json<Segment>);

pub(super) async fn list_segments(
    State(controller): State<Controller>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Page<Segment>>, Failure> {
    let limit = query.effective_limit();
    let after = query.after.as_deref();
    let segments = controller.store.segments(after, limit).await?;
    let name = |segment: &stored::Segment| segment.name.clone();
    Ok(Json(page(segments, limit, name, shown)))
}

pub(super) async fn show_segment(
    State(controller): State<Controller>,
    Path(name): Path<String>,
) -> Result<Tagged, Failure> {
    Ok(tagged(find(&controller, &name).await?))
}

pub(super) async fn add_segment(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Body(segment): Body<PutSegment>,
) -> Result<(StatusCode, Version, Json<Segment>), Failure> {
    let actor = caller.actor();
    let outcome = controller
        .settle_as::<_, Failure, _, _>(async || {
            let existing = controller.store.segment(&segment.name).await?;
            let facts = SegmentFacts {
                now: controller.clock.now(),
                actor: &actor,
                existing: existing.as_ref(),
                count: all_segments(&controller).await?.len(),
            };
            Ok(decide_new(&facts, wanted(&facts, &segment)))
        })
        .await?;
    let (version, segment) = tagged(accepted(outcome.decision)?);
    reload_segments(&controller).await?;
    Ok((StatusCode::CREATED, version, segment))
}

pub(super) async fn put_segment(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Body(segment): Body<PutSegment>,
) -> Result<Tagged, Failure> {
    if segment.name != name {
        return Err(bad_request("`name` is not the one in the path; a name never changes").into());
    }
    let if_match = IfMatch::from_headers(&headers)?;
    let actor = caller.actor();
    let outcome = controller
        .settle_as::<_, Failure, _, _>(async || {
            let existing = find(&controller, &name).await?;
            if_match.require(version(&existing))?;
            let facts = SegmentFacts {
                now: controller.clock.now(),
                actor: &actor,
                existing: Some(&existing),
                count: 0,
            };
            Ok(change_segment(&facts, wanted(&facts, &segment)))
        })
        .await?;
    let segment = accepted(outcome.decision)?;
    reload_segments(&controller).await?;
    Ok(tagged(segment))
}

pub(super) async fn remove_segment(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Failure> {
    let if_match = IfMatch::from_headers(&headers)?;
    let actor = caller.actor();
    let outcome = controller
        .settle_as::<_, Failure, _, _>(async || {
            let segment = find(&controller, &name).await?;
            if_match.check(version(&segment))?;
            let in_use = controller.store.segment_in_use(&name).await?;
            let all = all_segments(&controller).await?;
            let other = all.iter().find(|other| other.name != name);
            let now = controller.clock.now();
            Ok(admission::remove_segment(
                now, &actor, &segment, other, in_use,
            ))
        })
        .await?;
    accepted(outcome.decision)?;
    reload_segments(&controller).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Refuses a segment that nobody described, where some are: a gate would confine nobody in it.
pub(super) async fn described(controller: &Controller, name: Option<&str>) -> Result<(), Failure> {
    match name {
        Some(name) if !has_segment(controller, name).await? => Err(unknown(name).into()),
        _ => Ok(()),
    }
}

/// A segment that a person names and nobody described.
pub(super) fn unknown(name: &str) -> Problem {
    let code = Refusal::SegmentUnknown.code();
    bad_request(format!("there is no segment `{name}` ({code})"))
        .next_step("`vouchsafe segment list` shows those that are described")
}

/// The segment of this name, or 404.
async fn find(controller: &Controller, name: &str) -> Result<stored::Segment, Failure> {
    let found = controller.store.segment(name).await?;
    found.ok_or_else(|| Problem::not_found("segment", name).into())
}

fn wanted(facts: &SegmentFacts<'_>, segment: &PutSegment) -> stored::Segment {
    let destination = |each: &vouchsafe_api::gate::Destination| stored::Destination {
        network: each.network.clone(),
        protocol: each.protocol.map(|protocol| match protocol {
            TransportProtocol::Tcp => stored::Transport::Tcp,
            TransportProtocol::Udp => stored::Transport::Udp,
        }),
        port: each.port,
    };
    let reach = segment.reach.as_ref();
    stored::Segment {
        name: segment.name.clone(),
        vlan: segment.vlan,
        reach: reach.map(|reach| reach.iter().map(destination).collect()),
        version: 0,
        created_at: facts.now,
        updated_at: facts.now,
    }
}

fn version(segment: &stored::Segment) -> Version {
    Version(signed(segment.version))
}

fn tagged(segment: stored::Segment) -> Tagged {
    (version(&segment), Json(shown(segment)))
}

fn shown(segment: stored::Segment) -> Segment {
    let (created_at, updated_at, version) =
        (segment.created_at, segment.updated_at, segment.version);
    let definition = definition(segment);
    Segment {
        name: definition.name,
        vlan: definition.vlan,
        reach: definition.reach,
        created_at,
        updated_at,
        version: signed(version),
    }
}
