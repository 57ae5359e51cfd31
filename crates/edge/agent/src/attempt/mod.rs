//! One attempt to join one network (RFC 8995 §5), from provisional TLS to a working credential.
//!
//! Each state is a struct that holds what was proved so far; the next one can only be made from it.
//!
//! 1. [`Provisional`]: one TLS connection, nothing believed (§5.1).
//! 2. [`Answered`]: the request was sent and, after any number of 202, answered (§5.2, §5.6).
//! 3. [`VoucherAccepted`]: the voucher holds, and the connection is the one it pins (§5.6.1, §5.6.2);
//!    the device says so, or says why not, on the same connection (§5.7).
//! 4. [`enrol`]: cacerts, csrattrs, a new key, a certificate for it (§5.9).
//! 5. The credential is durable; then its success is reported on a new connection (§5.9.4), on which a device
//!    that comes in over the air asks which network its certificate opens.
//!
//! What a crash may cut short is written down first: the request before it is sent, the voucher when
//! it is accepted, the key's name before it is made. The next attempt goes on from there if it meets the
//! same registrar.

pub(crate) mod enrol;
mod patience;
mod told;
mod voucher;

use std::net::SocketAddr;

use vouchsafe_brski::networks::Network;
use vouchsafe_brski::telemetry::{self, StatusReport};
use vouchsafe_brski::{Error, PATH_ENROLL_STATUS, PATH_VOUCHER_STATUS};

pub(crate) use told::ask_networks;
use voucher::{Asked, Provisional, VoucherAccepted};

use crate::candidate::{Candidate, Found};
use crate::config::NetworkConfig;
use crate::device::Device;
use crate::error::{Failure, LocalError};
use crate::event::Event;
use crate::folder::{Credential, Stored};
use crate::session::Session;

/// Steps 1 to 5. When this returns a credential, it is installed.
pub(crate) async fn onboard(device: &Device, candidate: &Candidate) -> Result<Credential, Failure> {
    // 1, 2: one redirection is followed (RFC 8995 §5.6).
    let provisional = Provisional::connect(device, candidate).await?;
    let mut addr = candidate.addr;
    let answered = match provisional.obtain(device).await? {
        Asked::Answered(answered) => *answered,
        Asked::Redirected(origin) => {
            addr = None;
            let elsewhere = Candidate {
                origin,
                addr: None,
                found: Found::Redirected,
            };
            match Provisional::connect(device, &elsewhere)
                .await?
                .obtain(device)
                .await?
            {
                Asked::Answered(answered) => *answered,
                Asked::Redirected(_) => return Err(Failure::Redirected),
            }
        }
    };
    // 3
    let accepted = answered.check(device).await?;
    // 4, 5
    let credential = join(device, accepted).await?;
    report_success(device, credential, addr).await
}

/// Steps 4 and the first half of 5.
async fn join(device: &Device, accepted: VoucherAccepted) -> Result<Credential, Failure> {
    let VoucherAccepted {
        mut session,
        pending,
        pinned,
    } = accepted;
    let registrar = session.origin().to_string();
    let correction = pending.clock_correction;
    let (voucher, media_type) = (pending.voucher.clone(), pending.media_type.clone());
    let fingerprint = pending.registrar.clone();
    let mut slot = enrol::Slot::Pending(pending);
    let now = device.effective_now(correction)?;
    let issued = enrol::request(device, &mut session, &mut slot, enrol::Kind::First, now).await;
    let issued = match issued {
        Ok(issued) => issued,
        Err(failure) => {
            report_enrolment_failure(&mut session, &failure).await;
            if matches!(failure, Failure::Answered { status: ..500, .. }) {
                // What the registrar refuses now it would refuse again: begin anew next time.
                device.folder.drop_pending(&fingerprint)?;
            }
            return Err(failure);
        }
    };
    let stored = Stored {
        label: issued.label,
        chain: crate::birth::pem(&issued.chain),
        anchors: crate::birth::pem(&enrol::with_pin(issued.authorities, pinned)),
        registrar,
        installed_at: now,
        clock_correction: correction,
        reported: false,
        voucher,
        voucher_type: Some(media_type),
        networks: None,
        renewal: None,
    };
    install(device, &stored, false).await
}

/// Step 5, first half: the new credential is in force, and nothing else of ours is left.
pub(crate) async fn install(
    device: &Device,
    stored: &Stored,
    renewal: bool,
) -> Result<Credential, Failure> {
    let credential = device.folder.install(stored)?;
    device.folder.clear_pending()?;
    device
        .keys
        .delete_all_but(std::slice::from_ref(&stored.label))
        .await?;
    let leaf = &credential.leaf;
    device.tell(Event::CredentialInstalled {
        credential: leaf.serial_hex(),
        subject: leaf.subject_text(),
        not_after: leaf.not_after(),
        renew_at: credential.renew_at(),
        renewal,
    });
    Ok(credential)
}

/// Step 5, second half (RFC 8995 §5.9.4). The credential is in force already, so a network that
/// breaks now only means that the report comes later. `addr` is where the registrar was found: a
/// link-local address says nothing without the link.
pub(crate) async fn report_success(
    device: &Device,
    credential: Credential,
    addr: Option<SocketAddr>,
) -> Result<Credential, Failure> {
    let registrar = credential.stored.registrar.clone();
    match send_success(device, &credential, addr).await {
        Ok(told) => {
            device.tell(Event::EnrolmentReported { registrar });
            let stored = Stored {
                reported: true,
                networks: told.or(credential.stored.networks),
                ..credential.stored
            };
            Ok(device.folder.install(&stored)?)
        }
        Err(Failure::Local(error)) => Err(error.into()),
        Err(failure) => {
            tracing::warn!(%registrar, %failure, "the enrolment could not be reported yet");
            Ok(credential)
        }
    }
}

/// What was told of networks, where that was asked and answered.
async fn send_success(
    device: &Device,
    credential: &Credential,
    addr: Option<SocketAddr>,
) -> Result<Option<Vec<Network>>, Failure> {
    let origin = credential.origin()?;
    let options = device.as_member(credential).await?;
    let mut session = Session::open(options, &origin, addr).await?;
    let body = StatusReport::success().to_json();
    // The answer is ignored (RFC 8995 §5.9.4).
    session
        .post(PATH_ENROLL_STATUS, telemetry::MEDIA_TYPE, "*/*", body)
        .await?;
    let config = device.config.network.as_ref();
    if !config.is_some_and(NetworkConfig::must_be_told) {
        return Ok(None);
    }
    match told::networks(device, &mut session).await {
        Ok(told) => Ok(Some(told)),
        Err(failure @ Failure::Local(_)) => Err(failure),
        Err(failure) => {
            device.tell(Event::NetworkFailed {
                code: failure.code(),
                text: failure.to_string(),
            });
            Ok(None)
        }
    }
}

/// RFC 8995 §5.7: on the same connection; nothing depends on whether it arrives.
async fn report_voucher(session: &mut Session, report: &StatusReport) {
    let body = report.to_json();
    let sent = session
        .post(PATH_VOUCHER_STATUS, telemetry::MEDIA_TYPE, "*/*", body)
        .await;
    if let Err(failure) = sent {
        tracing::warn!(%failure, "the voucher's status could not be reported");
    }
}

/// RFC 8995 §5.9.4: a failure is reported on the same connection.
async fn report_enrolment_failure(session: &mut Session, failure: &Failure) {
    let report = match failure {
        // Nothing has failed, or nobody is there to be told.
        Failure::NotYet { .. } | Failure::Connection(_) | Failure::Local(_) => return,
        Failure::Refused(error) => StatusReport::failure(error),
        other => plain_failure(other),
    };
    let body = report.to_json();
    let sent = session
        .post(PATH_ENROLL_STATUS, telemetry::MEDIA_TYPE, "*/*", body)
        .await;
    if let Err(failure) = sent {
        tracing::warn!(%failure, "the enrolment's failure could not be reported");
    }
}

fn plain_failure(failure: &Failure) -> StatusReport {
    let context = [("code", failure.code()), ("section", failure.section())];
    StatusReport {
        status: false,
        reason: Some(failure.to_string()),
        reason_context: Some(
            context
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value.into()))
                .collect(),
        ),
        ..StatusReport::success()
    }
}

/// A fault of this device, for what only a fault of this device can cause.
fn own_fault(error: Error) -> LocalError {
    LocalError::Sign(error.to_string())
}
