//! Taking what a gate reports: once, and for good before it is told so.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use vouchsafe_api::gate::{CutOffReport, GateReport, SessionReport};
use vouchsafe_fleet::admission::{MAX_REPORTED, Session};
use vouchsafe_fleet::decide::Decision;
use vouchsafe_fleet::decide::admission::{CutOff, ReportFacts, take_report};
use vouchsafe_fleet::{CredentialId, DeviceId, Refusal};
use vouchsafe_net::Peer;

use super::link::known;
use crate::controller::Controller;
use crate::registrar::Answer;

/// The handler.
pub(super) async fn take(
    State(controller): State<Controller>,
    Extension(peer): Extension<Peer>,
    body: Bytes,
) -> Response {
    match settle(&controller, &peer, &body).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(answer) => answer.into_response(),
    }
}

async fn settle(controller: &Controller, peer: &Peer, body: &[u8]) -> Result<(), Answer> {
    let (gate, shown) = known(controller, peer).await?;
    let malformed = || Answer::refused(Refusal::BadReport, vec![Refusal::BadReport.reason()]);
    let report: GateReport = serde_json::from_slice(body).map_err(|_| malformed())?;
    let lists = [
        report.sessions.len(),
        report.cut_offs.len(),
        report.refusals.len(),
    ];
    if lists.into_iter().any(|length| length > MAX_REPORTED) {
        return Err(malformed());
    }
    let sessions: Option<Vec<Session>> = report
        .sessions
        .iter()
        .map(|session| read_session(&gate.name, session))
        .collect();
    let sessions = sessions.ok_or_else(malformed)?;
    let mut cut_offs = Vec::with_capacity(report.cut_offs.len());
    for cut_off in &report.cut_offs {
        let cut_off = read_cut_off(cut_off).ok_or_else(malformed)?;
        if controller.store.device(cut_off.device).await?.is_some() {
            cut_offs.push(cut_off);
        }
    }
    let outcome = controller
        .settle(async || {
            let before = controller.store.gate_standing(&gate.name).await?;
            // Trust may have ended since the request came.
            let credential = controller.store.gate_credential(&shown.id).await?;
            Ok(take_report(&ReportFacts {
                now: controller.clock.now(),
                gate: &gate.name,
                credential: credential.as_ref().unwrap_or(&shown),
                before: before.as_ref(),
                number: report.number,
                first: report.first,
                in_force: report.in_force,
                sessions: &sessions,
                cut_offs: &cut_offs,
            }))
        })
        .await?;
    if let Decision::Refuse { refusal, reasons } = outcome.decision {
        return Err(Answer::refused(refusal, reasons));
    }
    let milliseconds = metrics::histogram!("vouchsafe_cut_off_milliseconds");
    for cut_off in &cut_offs {
        milliseconds.record(cut_off.milliseconds as f64);
    }
    for session in &sessions {
        controller.reviews.seen(session, controller.clock.now());
    }
    let refused = u64::try_from(report.refusals.len()).unwrap_or(0);
    metrics::counter!("vouchsafe_admissions_refused_total").increment(refused);
    let began = sessions.iter().filter(|it| it.ended.is_none()).count();
    let ended = sessions.len() - began;
    metrics::counter!("vouchsafe_sessions_reported_total", "as" => "open")
        .increment(u64::try_from(began).unwrap_or(0));
    metrics::counter!("vouchsafe_sessions_reported_total", "as" => "ended")
        .increment(u64::try_from(ended).unwrap_or(0));
    if let Some(in_force) = report.in_force
        && let Some(lag) = controller.gates.lag(in_force)
    {
        metrics::gauge!("vouchsafe_gate_version_lag_seconds", "gate" => gate.name.clone()).set(lag);
    }
    controller.gates.reported.notify_waiters();
    Ok(())
}

fn read_session(gate: &str, report: &SessionReport) -> Option<Session> {
    Some(Session {
        id: Session::id_of(gate, &report.id),
        gate: gate.to_owned(),
        device: DeviceId::parse(&report.device).ok()?,
        credential: report.credential.clone().map(CredentialId),
        station: report.station.clone(),
        access_point: report.access_point.clone(),
        segment: report.segment.clone(),
        since: report.since,
        until: report.until,
        seen: report.seen,
        ended: report.ended,
        octets: report.octets,
    })
}

fn read_cut_off(report: &CutOffReport) -> Option<CutOff> {
    Some(CutOff {
        device: DeviceId::parse(&report.device).ok()?,
        station: report.station.clone(),
        access_point: report.access_point.clone(),
        at: report.at,
        milliseconds: report.milliseconds,
        confirmed_by: report.confirmed_by.clone(),
    })
}
