//! The body of a registrar's request. One that is larger than the listener takes is refused unread,
//! and that is journaled like every other refusal of what nobody proved.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use vouchsafe_brski::{Error, Malformed};
use vouchsafe_net::{Peer, Unread, read_body};

use super::Masa;
use super::request::note;
use crate::serve::BODY_BYTES;

/// A whole body of at most [`BODY_BYTES`].
#[derive(Debug)]
pub(super) struct Message(pub(super) Bytes);

impl FromRequest<Masa> for Message {
    type Rejection = Response;

    async fn from_request(request: Request, masa: &Masa) -> Result<Self, Response> {
        let address = request
            .extensions()
            .get::<Peer>()
            .map(|peer| peer.addr.ip());
        match read_body(request.into_body(), BODY_BYTES).await {
            Ok(body) => Ok(Self(body)),
            Err(Unread::Broken) => Err(StatusCode::BAD_REQUEST.into_response()),
            Err(Unread::TooLarge) => {
                let now = masa.factory.clock.now();
                if let Some(address) = address {
                    masa.may_ask(address, now)
                        .map_err(IntoResponse::into_response)?;
                }
                let error = Error::Malformed(Malformed::TooLarge);
                Err(note(masa, None, None, error, now).await.into_response())
            }
        }
    }
}
