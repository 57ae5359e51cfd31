//! The body of a device's request. One that is larger than any message is refused unread, and that
//! is journaled like every other refusal: for strangers once, and as far as there is room.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use vouchsafe_brski::est;
use vouchsafe_fleet::{Evidence, Reason};
use vouchsafe_net::{Peer, Unread, read_body};

use super::{Answer, note, prove};
use crate::controller::{Controller, Fault};
use crate::serve::DEVICE_BODY_BYTES;

/// A whole body of at most [`DEVICE_BODY_BYTES`].
#[derive(Debug)]
pub(crate) struct Message(pub(crate) Bytes);

impl FromRequest<Controller> for Message {
    type Rejection = Response;

    async fn from_request(request: Request, controller: &Controller) -> Result<Self, Response> {
        let section = match request.uri().path().starts_with(est::PATH) {
            true => "RFC 7030 §4.2",
            false => "RFC 8995 §5",
        };
        let peer = request.extensions().get::<Peer>().cloned();
        match read_body(request.into_body(), DEVICE_BODY_BYTES).await {
            Ok(body) => Ok(Self(body)),
            Err(Unread::Broken) => Err(StatusCode::BAD_REQUEST.into_response()),
            Err(Unread::TooLarge) => {
                let limit = DEVICE_BODY_BYTES;
                let answer = refuse_large(controller, peer.as_ref(), limit, section, None).await;
                Err(answer.into_response())
            }
        }
    }
}

/// Journals and answers a body that is larger than `limit` bytes; `evidence` is what was read of it.
pub(super) async fn refuse_large(
    controller: &Controller,
    peer: Option<&Peer>,
    limit: usize,
    section: &'static str,
    evidence: Option<Evidence>,
) -> Answer {
    let said = format!("the body is larger than {limit} bytes");
    let reason = Reason::new("too-large", said, section);
    let Some(peer) = peer else {
        // Every connection has one; without it there is nobody to write down.
        return Fault::Sign("a request without connection".to_owned()).into();
    };
    let now = controller.clock.now();
    let proved = match prove(controller, peer, now).await {
        Ok(proved) => proved.map(|proved| proved.device()),
        Err(Answer::Protocol(_)) => None,
        Err(fault) => return fault,
    };
    match note(controller, peer, proved, evidence, reason.clone(), now).await {
        Ok(()) => Answer::Refused {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            reasons: vec![reason],
        },
        Err(fault) => fault,
    }
}
