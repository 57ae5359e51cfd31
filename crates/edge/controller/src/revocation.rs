//! What others can learn of credentials that were taken back: the CRL (RFC 5280 §5) and OCSP
//! (RFC 6960), on both listeners under `/pki`. Whoever checks a certificate has no token, so
//! anybody may ask.
//!
//! 1. A list is signed when it is asked for and something was revoked since, or half of the last
//!    one's life is over; else the last one goes out again. Of a crowd that asks at once the first reads
//!    and signs for all.
//! 2. An OCSP answer is signed for each request, from the row of the credential: a revocation
//!    counts from its commit on.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;
use vouchsafe_api::route::{
    ASK_OCSP, ASK_OCSP_BY_PATH, OCSP_LIMIT, OCSP_RESPONSE, PKIX_CRL, SHOW_CRL,
};
use vouchsafe_fleet::{CredentialId, CredentialStatus};
use vouchsafe_store::Holder;
use vouchsafe_trust::{
    CertificateId, CertificateStatus, CrlContent, OcspContent, OcspRefusal, OcspRequest,
    OcspResponse, RevocationReason, RevokedCertificate,
};

use crate::controller::{Controller, Fault};
use crate::registrar::Answer;

/// How long a list may be relied upon.
const CRL_LIFETIME: SignedDuration = SignedDuration::from_hours(24);

/// How long an OCSP answer may be relied upon.
const OCSP_LIFETIME: SignedDuration = SignedDuration::from_hours(1);

/// Revocations are read again from this long before the newest that is known: one that was decided
/// earlier may be committed later.
const OVERLAP: SignedDuration = SignedDuration::from_mins(5);

/// How long nobody reads again where this replica's journal did not grow: another one's may have.
const FRESH: Duration = Duration::from_secs(1);

/// Rows read at once.
const PAGE: u32 = 1000;

/// Whose certificates are in the list.
const HOLDERS: [Holder; 2] = [Holder::Device, Holder::Gate];

/// Longest OCSP request in a path, in bytes of base64.
const MAX_PATH: usize = 1024;

/// The last list, and what it was made from.
#[derive(Debug, Default)]
pub(crate) struct Lists(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// By serial number: the revoked credential, whose certificate still runs.
    revoked: BTreeMap<CredentialId, Revoked>,
    /// The last of each holder's in the store's order.
    newest: [Option<(Timestamp, CredentialId)>; HOLDERS.len()],
    list: Option<List>,
    /// The journal's position before the last reading, and when that was.
    read: Option<(u64, Instant)>,
}

#[derive(Debug)]
struct Revoked {
    entry: RevokedCertificate,
    not_after: Timestamp,
}

/// A list.
#[derive(Debug, Clone)]
pub(crate) struct List {
    /// As it is published.
    pub(crate) der: Bytes,
    /// Its number (RFC 5280 §5.2.3).
    pub(crate) number: u64,
    this_update: Timestamp,
    renew_at: Timestamp,
    /// Until when it counts.
    pub(crate) next_update: Timestamp,
}

/// The routes for the listener that devices reach; the API mounts the handlers on its own table.
pub(crate) fn routes() -> Router<Controller> {
    Router::new()
        .route(SHOW_CRL.path, get(show_crl))
        .route(
            ASK_OCSP.path,
            post(ask_ocsp).layer(DefaultBodyLimit::max(OCSP_LIMIT)),
        )
        .route(ASK_OCSP_BY_PATH.path, get(ask_ocsp_by_path))
}

/// The CRL.
pub(crate) async fn show_crl(State(controller): State<Controller>) -> Response {
    match crl(&controller).await {
        Ok(list) => ([(header::CONTENT_TYPE, PKIX_CRL)], list.der).into_response(),
        Err(fault) => Answer::from(fault).into_response(),
    }
}

/// OCSP by POST (RFC 6960 appendix A.1).
pub(crate) async fn ask_ocsp(State(controller): State<Controller>, body: Bytes) -> Response {
    respond(&controller, &body).await
}

/// OCSP by GET (RFC 6960 appendix A.1): the request in base64, percent-encoded.
pub(crate) async fn ask_ocsp_by_path(
    State(controller): State<Controller>,
    Path(request): Path<String>,
) -> Response {
    if request.len() > MAX_PATH {
        return StatusCode::URI_TOO_LONG.into_response();
    }
    // What is no base64 is no request either.
    let der = STANDARD.decode(request.as_bytes()).unwrap_or_default();
    respond(&controller, &der).await
}

/// Step 1.
pub(crate) async fn crl(controller: &Controller) -> Result<List, Fault> {
    let wanted = controller.store.position();
    let mut known = controller.lists.0.lock().await;
    let now = controller.clock.now();
    if let (Some(list), Some((position, at))) = (&known.list, known.read)
        && position >= wanted
        && at.elapsed() < FRESH
        && now < list.renew_at
    {
        return Ok(list.clone());
    }
    let read = (controller.store.position(), Instant::now());
    let more = read_on(controller, &mut known).await?;
    known.read = Some(read);
    if let Some(list) = &known.list
        && !more
        && now < list.renew_at
    {
        return Ok(list.clone());
    }
    if let Some(before) = known.list.as_ref().map(|list| list.this_update) {
        known
            .revoked
            .retain(|_, revoked| before <= revoked.not_after);
    }
    let entries: Vec<RevokedCertificate> = known
        .revoked
        .values()
        .map(|revoked| revoked.entry.clone())
        .collect();
    // Numbers must grow over restarts too (RFC 5280 §5.2.3), and the time does.
    let by_time = u64::try_from(now.as_millisecond()).unwrap_or(0);
    let number = known
        .list
        .as_ref()
        .map_or(by_time, |list| by_time.max(list.number + 1));
    let next_update = now.saturating_add(CRL_LIFETIME).unwrap_or(Timestamp::MAX);
    let authority = controller.authority.clone();
    let signing = tokio::task::spawn_blocking(move || {
        authority.crl(&CrlContent {
            number,
            this_update: now,
            next_update,
            entries: &entries,
        })
    });
    let crl = signing
        .await
        .map_err(|error| Fault::Sign(error.to_string()))?
        .map_err(|error| Fault::Sign(error.to_string()))?;
    let list = List {
        der: Bytes::copy_from_slice(crl.der()),
        number,
        this_update: now,
        renew_at: now
            .saturating_add(CRL_LIFETIME / 2)
            .unwrap_or(Timestamp::MAX),
        next_update,
    };
    known.list = Some(list.clone());
    Ok(list)
}

/// Renews the list though nobody may have asked, and raises the alarm before it runs out: a list that
/// has run out lets nobody in, anywhere. How long it still counts is a measurement too.
pub(crate) async fn watch(controller: &Controller) {
    let renewed = crl(controller).await;
    let next_update = newest(controller).await.map(|list| list.next_update);
    let now = controller.clock.now();
    let left = next_update.map_or(0, |end| now.duration_until(end).as_secs());
    metrics::gauge!("vouchsafe_crl_next_update_seconds").set(left as f64);
    if let Err(fault) = renewed {
        let until = next_update.map(|end| end.to_string());
        let until = until.as_deref().unwrap_or("now");
        tracing::error!(%fault, until, "the revocation list cannot be renewed; after that nobody gets in");
    }
}

/// The newest list, as it is: also one that should have been renewed.
pub(crate) async fn newest(controller: &Controller) -> Option<List> {
    controller.lists.0.lock().await.list.clone()
}

/// Reads what was revoked since the last look, and says whether there was any.
async fn read_on(controller: &Controller, known: &mut Known) -> Result<bool, Fault> {
    // RFC 5280 §3.3: an entry stays until one list after its certificate ran out.
    let over = known.list.as_ref().map(|list| list.this_update);
    let now = controller.clock.now();
    // Other controllers tell the time by their own clocks, so with each list that is due all is read.
    let due = known.list.as_ref().is_none_or(|list| now >= list.renew_at);
    let mut more = false;
    for (holder, newest) in HOLDERS.into_iter().zip(&mut known.newest) {
        let mut behind = newest.clone().filter(|_| !due);
        if let Some((at, _)) = &mut behind {
            // A clock that went back must not hide what is revoked now.
            let from = now.min(*at).saturating_sub(OVERLAP);
            *at = from.unwrap_or(Timestamp::MIN);
        }
        loop {
            let after = behind.as_ref().map(|(at, id)| (*at, id));
            let rows = controller.store.revocations(holder, after, PAGE).await?;
            let is_full = rows.len() == PAGE as usize;
            if let Some(last) = rows.last() {
                behind = Some((last.at, last.id.clone()));
                newest.clone_from(&behind);
            }
            for row in rows {
                if over.is_some_and(|over| row.not_after < over) {
                    continue;
                }
                // What cannot be one of ours is in no certificate.
                let Some(serial) = serial(&row.id) else {
                    continue;
                };
                let revoked = Revoked {
                    entry: RevokedCertificate {
                        serial,
                        at: row.at,
                        reason: shown_reason(row.reason),
                    },
                    not_after: row.not_after,
                };
                more |= known.revoked.insert(row.id, revoked).is_none();
            }
            if !is_full {
                break;
            }
        }
    }
    Ok(more)
}

/// Step 2.
async fn respond(controller: &Controller, request: &[u8]) -> Response {
    let der = match OcspRequest::parse(request) {
        Err(_) => OcspResponse::refusal(OcspRefusal::MalformedRequest),
        Ok(request) => match answer(controller, &request).await {
            Ok(der) => der,
            Err(fault) => {
                tracing::error!(%fault, "an OCSP request got no answer");
                OcspResponse::refusal(OcspRefusal::TryLater)
            }
        },
    };
    ([(header::CONTENT_TYPE, OCSP_RESPONSE)], der).into_response()
}

async fn answer(controller: &Controller, request: &OcspRequest) -> Result<Vec<u8>, Fault> {
    let authority = controller.authority.clone();
    let issuer = authority.certificate();
    let asked = &request.certificates;
    if !asked
        .iter()
        .any(|certificate| certificate.is_issued_by(issuer))
    {
        return Ok(OcspResponse::refusal(OcspRefusal::Unauthorized));
    }
    let mut answers: Vec<(CertificateId, CertificateStatus)> = Vec::with_capacity(asked.len());
    for certificate in asked {
        let status = match certificate.is_issued_by(issuer) {
            true => status(controller, certificate.serial()).await?,
            false => CertificateStatus::Unknown,
        };
        answers.push((certificate.clone(), status));
    }
    let now = controller.clock.now();
    let nonce = request.nonce.clone();
    let signing = tokio::task::spawn_blocking(move || {
        let content = OcspContent {
            answers: &answers,
            this_update: now,
            next_update: now.saturating_add(OCSP_LIFETIME).unwrap_or(Timestamp::MAX),
            nonce: nonce.as_deref(),
        };
        OcspResponse::sign(
            &content,
            authority.certificate(),
            authority.signer().as_ref(),
        )
    });
    signing
        .await
        .map_err(|error| Fault::Sign(error.to_string()))?
        .map_err(|error| Fault::Sign(error.to_string()))
}

async fn status(controller: &Controller, serial: &[u8]) -> Result<CertificateStatus, Fault> {
    let registrar = controller.registrar.current();
    if registrar
        .chain()
        .first()
        .is_some_and(|ours| ours.serial() == serial)
    {
        return Ok(CertificateStatus::Good);
    }
    let id = CredentialId(serial.iter().map(|byte| format!("{byte:02x}")).collect());
    let credential = controller.store.credential(&id).await?;
    if credential.is_none()
        && let Some(gate) = controller.store.gate_credential(&id).await?
    {
        return Ok(match gate.revoked_at {
            None => CertificateStatus::Good,
            Some(at) => CertificateStatus::Revoked {
                at,
                reason: RevocationReason::PrivilegeWithdrawn,
            },
        });
    }
    Ok(match credential.map(|credential| credential.status) {
        None => CertificateStatus::Unknown,
        Some(CredentialStatus::Active | CredentialStatus::Superseded) => CertificateStatus::Good,
        Some(CredentialStatus::Revoked { reason, at }) => CertificateStatus::Revoked {
            at,
            reason: shown_reason(reason),
        },
    })
}

fn serial(id: &CredentialId) -> Option<Vec<u8>> {
    let text = id.as_str();
    (0..text.len())
        .step_by(2)
        .map(|place| u8::from_str_radix(text.get(place..place + 2)?, 16).ok())
        .collect()
}

fn shown_reason(reason: vouchsafe_fleet::RevocationReason) -> RevocationReason {
    RevocationReason::from_number(u32::from(reason.crl_reason()))
        .unwrap_or(RevocationReason::Unspecified)
}
