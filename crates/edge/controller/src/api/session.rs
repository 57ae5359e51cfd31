//! Sessions, as gates report them.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use tokio::time::{Instant, timeout_at};
use vouchsafe_api::{
    DeviceAdmission, Page, PageQuery, Problem, Reasoned, Session, SessionFilter, WaitQuery,
};
use vouchsafe_fleet::DeviceId;
use vouchsafe_fleet::admission as stored;
use vouchsafe_fleet::decide::admission::end_session as decide_end;

use super::problem::{Failure, accepted, bad_request};
use super::request::{Asked, Body, reason};
use super::{Caller, page};
use crate::controller::Controller;
use crate::gate::{LOOK, deadline};

/// Sessions that `device show` shows.
const SHOWN: u32 = 10;

pub(super) async fn list_sessions(
    State(controller): State<Controller>,
    Asked(query): Asked<PageQuery>,
    Asked(filter): Asked<SessionFilter>,
) -> Result<Json<Page<Session>>, Failure> {
    let limit = query.effective_limit();
    let wanted = vouchsafe_store::SessionFilter {
        device: filter
            .device
            .as_deref()
            .map(DeviceId::parse)
            .transpose()
            .map_err(|_| bad_request("`device` must be an id of 32 hexadecimal digits"))?,
        gate: filter.gate,
        segment: filter.segment,
        ended: filter.ended,
    };
    let after = query.after.as_deref();
    let sessions = controller.store.sessions(&wanted, after, limit).await?;
    let id = |session: &stored::Session| session.id.clone();
    Ok(Json(page(sessions, limit, id, shown)))
}

pub(super) async fn show_session(
    State(controller): State<Controller>,
    Path(id): Path<String>,
) -> Result<Json<Session>, Failure> {
    Ok(Json(shown(find(&controller, &id).await?)))
}

/// Once that is in the journal the device's credentials are out of the desired state until the session
/// is over, whether this request goes on or not. Then it may begin another.
pub(super) async fn end_session(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Asked(wait): Asked<WaitQuery>,
    Body(why): Body<Reasoned>,
) -> Result<Json<Session>, Failure> {
    let said = reason(&why.reason)?;
    let actor = caller.actor();
    let outcome = controller
        .settle_as::<_, Failure, _, _>(async || {
            let session = find(&controller, &id).await?;
            Ok(decide_end(controller.clock.now(), &actor, &session, &said))
        })
        .await?;
    accepted(outcome.decision)?;
    let end = deadline(wait.wait);
    loop {
        let reported = controller.gates.reported.notified();
        let session = find(&controller, &id).await?;
        let now = Instant::now();
        if session.ended.is_some() || now >= end {
            return Ok(Json(shown(session)));
        }
        let _ = timeout_at(end.min(now + LOOK), reported).await;
    }
}

/// The session of this name, or 404.
async fn find(controller: &Controller, id: &str) -> Result<stored::Session, Failure> {
    let found = controller.store.session(id).await?;
    found.ok_or_else(|| Problem::not_found("session", id).into())
}

/// Where a device is on the network, and was; none where no gate ever saw it.
pub(super) async fn of_device(
    controller: &Controller,
    device: DeviceId,
) -> Result<Option<DeviceAdmission>, Failure> {
    let store = &controller.store;
    let Some(presence) = store.presence(device).await? else {
        return Ok(None);
    };
    let sessions = store.device_sessions(device, SHOWN).await?;
    Ok(Some(DeviceAdmission {
        first_seen: Some(presence.first_seen),
        last_seen: Some(presence.last_seen),
        octets_from: presence.octets_from,
        octets_to: presence.octets_to,
        sessions: sessions.into_iter().map(shown).collect(),
    }))
}

fn shown(session: stored::Session) -> Session {
    Session {
        id: session.id,
        gate: session.gate,
        device: session.device.to_string(),
        credential: session.credential.map(|id| id.0),
        station: session.station,
        access_point: session.access_point,
        segment: session.segment,
        since: session.since,
        until: session.until,
        seen: session.seen,
        ended: session.ended,
        octets_from: session.octets.0,
        octets_to: session.octets.1,
    }
}
