//! `POST /.well-known/brski/requestauditlog` (RFC 8995 §5.8), in the steps of the module above.
//! 404 for a device that is not ours and for a domain that never owned it.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use vouchsafe_brski::Assertion;
use vouchsafe_brski::audit::{self, AuditEvent, AuditLog, Truncation};
use vouchsafe_fleet::DeviceId;
use vouchsafe_fleet::decide::{self, AuditLogFacts, Decision};
use vouchsafe_net::Peer;

use super::message::Message;
use super::{Answer, Masa, request};

/// The handler.
pub(super) async fn request_audit_log(
    State(masa): State<Masa>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Message(body): Message,
) -> Response {
    let (result, response) = match answer(&masa, &peer, &headers, &body).await {
        Ok(log) => {
            let kind = [(header::CONTENT_TYPE, audit::MEDIA_TYPE)];
            ("read", (kind, log.to_json()).into_response())
        }
        Err(answer) => (answer.kind(), answer.into_response()),
    };
    metrics::counter!("vouchsafe_masa_requests_total", "request" => "audit-log", "result" => result)
        .increment(1);
    response
}

async fn answer(
    masa: &Masa,
    peer: &Peer,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<AuditLog, Answer> {
    let factory = &masa.factory;
    let now = factory.clock.now();
    // 1
    masa.may_ask(peer.addr.ip(), now)?;
    // 2
    let asked = request::prove(masa, peer, headers, body, now).await?;
    masa.owner_may_ask(asked.owner, now)?;
    // 3 to 5
    let id = DeviceId::new(factory.home.id, &asked.request.request.serial_number);
    let asked = &asked;
    let outcome = factory
        .settle(|| async move {
            let device = factory.store.device(id).await?;
            let known = factory.store.owner(asked.owner).await?;
            let ownerships = factory.store.ownerships(id).await?;
            let read = decide::audit_log_read(&AuditLogFacts {
                now,
                requester: asked.requester(known.as_ref()),
                device: device.as_ref(),
                ownerships: &ownerships,
                request_sha256: asked.digest,
            });
            Ok(masa.bounded(id, now, read))
        })
        .await?;
    if let Decision::Refuse { refusal, reasons } = outcome.decision {
        return Err(Answer::Refused { refusal, reasons });
    }
    let (events, counters) = factory.store.audit_log(id).await?;
    Ok(AuditLog {
        version: audit::VERSION,
        events: events
            .into_iter()
            .map(|event| AuditEvent {
                date: event.at,
                domain_id: event.domain_id,
                nonce: event.nonce,
                assertion: Assertion::from_name(&event.assertion).unwrap_or(Assertion::Logged),
                truncated: event.truncated,
            })
            .collect(),
        truncation: Truncation {
            nonced_duplicates: counters.nonced_duplicates,
            nonceless_duplicates: counters.nonceless_duplicates,
            arbitrary: counters.arbitrary,
        },
    })
}
