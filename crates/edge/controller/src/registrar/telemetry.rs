//! `voucher_status` and `enrollstatus` (RFC 8995 §5.7, §5.9.4): what the device thinks of it all.
//!
//! 1. Who reports: a birth certificate, or about enrolment also the credential.
//! 2. The device, its latest voucher, its credential as it is now.
//! 3. Decide; the same report twice changes nothing.
//! 4. Commit.
//! 5. 200; the device ignores the answer.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use vouchsafe_brski::Error;
use vouchsafe_brski::telemetry::{MAX_REPORT_LEN, StatusReport};
use vouchsafe_fleet::decide::{self, Decision, EnrolStatusFacts, Outcome, VoucherStatusFacts};
use vouchsafe_fleet::{Digest, Evidence, Refusal};
use vouchsafe_net::Peer;

use super::answer::reason;
use super::message::refuse_large;
use super::{Answer, Message, Proved, note, prove};
use crate::controller::{Controller, Fault};

/// What is reported about.
#[derive(Debug, Clone, Copy)]
enum About {
    Voucher,
    Enrolment,
}

/// The handler of `voucher_status`.
pub(super) async fn voucher_status(
    State(controller): State<Controller>,
    Extension(peer): Extension<Peer>,
    Message(body): Message,
) -> Response {
    respond(report(&controller, &peer, &body, About::Voucher).await)
}

/// The handler of `enrollstatus`.
pub(super) async fn enroll_status(
    State(controller): State<Controller>,
    Extension(peer): Extension<Peer>,
    Message(body): Message,
) -> Response {
    respond(report(&controller, &peer, &body, About::Enrolment).await)
}

async fn report(
    controller: &Controller,
    peer: &Peer,
    body: &[u8],
    about: About,
) -> Result<(), Answer> {
    // 1
    if body.len() > MAX_REPORT_LEN {
        let evidence = Evidence::new("status-report", Digest::of(body));
        let (limit, section) = (MAX_REPORT_LEN, "RFC 8995 §5.7");
        return Err(refuse_large(controller, Some(peer), limit, section, Some(evidence)).await);
    }
    let report = StatusReport::from_json(body)?;
    let unknown = || {
        Answer::refused(
            Refusal::UnknownDevice,
            vec![Refusal::UnknownDevice.reason()],
        )
    };
    let proved = prove(controller, peer, controller.clock.now())
        .await?
        .ok_or_else(unknown)?;
    if !report.other.is_empty() {
        tracing::info!(device = %proved.device(), fields = ?report.other.keys(), "unknown fields");
    }
    let digest = Digest::of(body);
    // A voucher is judged on the connection on which it was asked for (RFC 8995 §5.7). Who has a credential
    // that was stolen could otherwise end every onboarding of the device.
    if let (About::Voucher, Proved::Domain { .. }) = (about, &proved) {
        let error = Error::Refused(vouchsafe_brski::Refusal::StatusNotByIdevid);
        let (device, now) = (Some(proved.device()), controller.clock.now());
        let evidence = Evidence::new("voucher-status", digest);
        note(controller, peer, device, evidence, reason(&error), now).await?;
        return Err(error.into());
    }
    // 2 to 4
    let outcome = controller
        .settle(|| decide(controller, &proved, &report, digest, about))
        .await?;
    // 5
    match outcome.decision {
        Decision::Refuse { refusal, reasons } => Err(Answer::refused(refusal, reasons)),
        Decision::Accept(()) | Decision::Wait { .. } | Decision::Replay(_) => Ok(()),
    }
}

async fn decide(
    controller: &Controller,
    proved: &Proved,
    report: &StatusReport,
    message_sha256: Digest,
    about: About,
) -> Result<Outcome<()>, Fault> {
    let now = controller.clock.now();
    let Some(device) = controller.store.device(proved.device()).await? else {
        return Ok(Outcome::nobody(Refusal::UnknownDevice));
    };
    let shown = match proved {
        Proved::Birth(_) => None,
        Proved::Domain { credential } => controller.store.credential(&credential.id).await?,
    };
    let (device, reason) = (&device, report.reason.as_deref());
    Ok(match about {
        About::Voucher => {
            let record = controller.store.latest_voucher(device.id).await?;
            decide::voucher_status(&VoucherStatusFacts {
                now,
                device,
                record: record.as_ref(),
                accepted: report.status,
                reason,
                message_sha256,
            })
        }
        About::Enrolment => decide::enrol_status(&EnrolStatusFacts {
            now,
            device,
            shown: shown.as_ref(),
            success: report.status,
            reason,
            message_sha256,
        }),
    })
}

fn respond(answered: Result<(), Answer>) -> Response {
    match answered {
        Ok(()) => StatusCode::OK.into_response(),
        Err(answer) => answer.into_response(),
    }
}
