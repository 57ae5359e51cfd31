//! EST at `/.well-known/est` (RFC 7030, RFC 8951, RFC 9908), as far as devices need it.
//!
//! 1. `cacerts`: the domain's certificates, for anybody (§4.1).
//! 2. `csrattrs`: what a request must hold (§4.5), for anybody: it holds nothing of a device.
//! 3. `simpleenroll`, `simplereenroll`: a certificate for the device's key (§4.2).
//! 4. `serverkeygen`: a key made here, off unless configured (§4.4).
//! 5. Gates enrol here too, with a token ([`gate`]).
//! 6. Which networks a device may come into then ([`networks`]); no part of EST, and asked in the same
//!    place.
//! 7. `fullcmc`: not offered (§4.3): 501.

mod attributes;
mod enroll;
mod gate;
mod networks;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use vouchsafe_brski::est::{self, MEDIA_TYPE_ATTRIBUTES};

pub use attributes::Requirements;

use crate::controller::Controller;

/// The routes. A label of the path (`/.well-known/est/LABEL/…`, RFC 7030 §3.2.2) is not used.
pub(crate) fn routes() -> Router<Controller> {
    let path = |operation: &str| format!("{}/{operation}", est::PATH);
    Router::new()
        .route(&path("cacerts"), get(ca_certs))
        .route(&path("csrattrs"), get(csr_attrs))
        .route(&path("simpleenroll"), post(enroll::simple_enroll))
        .route(&path("simplereenroll"), post(enroll::simple_reenroll))
        .route(&path("serverkeygen"), post(enroll::server_key_gen))
        .route(&path("fullcmc"), post(full_cmc))
        .route(vouchsafe_brski::networks::PATH, get(networks::tell))
}

async fn ca_certs(State(controller): State<Controller>) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/pkcs7-mime")];
    (kind, est::certs_only_body(controller.authority.chain())).into_response()
}

async fn csr_attrs(State(controller): State<Controller>) -> Response {
    let kind = [(header::CONTENT_TYPE, MEDIA_TYPE_ATTRIBUTES)];
    (kind, controller.requirements.body().to_owned()).into_response()
}

async fn full_cmc() -> Response {
    let said = "full CMC (RFC 7030 §4.3) is not offered: use simpleenroll\n";
    (StatusCode::NOT_IMPLEMENTED, said).into_response()
}
