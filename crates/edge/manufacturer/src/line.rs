//! The factory line: `POST /line/v1/identities` gives an identity to a device that made its own
//! key.
//!
//! 1. TLS let in only stations that the line's root signed; each has a budget.
//! 2. The body is a PKCS #10 request, DER or PEM; the query says `serial`, `model` and `origin`
//!    (`device`, the default, or `hardware`), and `dpp` the URI of a bootstrapping key that the device
//!    made as well. Without `serial` the request's subject must name it.
//! 3. One identity for one serial number: the same key again gets the same certificate again, another
//!    key is refused.
//!
//! The answer is an [`IdentityDocument`] in JSON.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vouchsafe_fleet::{Actor, ActorKind, DeviceId, KeyOrigin, ManufacturerId};
use vouchsafe_net::Peer;
use vouchsafe_trust::{Certificate, CertificateRequest};

use crate::factory::{Factory, FactoryError};
use crate::masa::{Buckets, status_of, text};
use crate::provision::{Identity, NewDevice};

/// Where stations post.
pub(crate) const PATH: &str = "/line/v1/identities";

/// What the handlers share.
#[derive(Debug, Clone)]
pub(crate) struct Line(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    factory: Factory,
    stations: Buckets<[u8; 32]>,
}

/// The query of a request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    serial: Option<String>,
    model: Option<String>,
    #[serde(default)]
    origin: Origin,
    dpp: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Origin {
    #[default]
    Device,
    Hardware,
}

/// What a station gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityDocument {
    /// The device's name on both sides.
    pub device: DeviceId,
    /// Who made it.
    pub manufacturer: ManufacturerId,
    /// Its serial number.
    pub serial: String,
    /// Its model.
    pub model: Option<String>,
    /// The birth certificate, then its issuers: PEM.
    pub chain: String,
    /// Whose vouchers the device shall believe: PEM.
    pub masa_anchors: String,
    /// Whether it was given out before.
    pub repeated: bool,
}

impl Line {
    pub(crate) fn new(factory: Factory) -> Self {
        let rate = factory.home.config.rates.per_station;
        Self(Arc::new(Inner {
            factory,
            stations: Buckets::per_minute(rate),
        }))
    }

    pub(crate) fn routes(&self) -> Router {
        Router::new()
            .route(PATH, post(identify))
            .route("/healthz", get(|| async { "ok\n" }))
            .with_state(self.clone())
    }
}

async fn identify(
    State(line): State<Line>,
    Extension(peer): Extension<Peer>,
    wanted: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let now = line.0.factory.clock.now();
    match answer(&line, &peer, wanted, &headers, &body, now).await {
        Ok(document) => Json(document).into_response(),
        Err(response) => *response,
    }
}

async fn answer(
    line: &Line,
    peer: &Peer,
    wanted: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<IdentityDocument, Box<Response>> {
    let factory = &line.0.factory;
    // 1
    let station = peer
        .certificate()
        .ok_or_else(|| no(StatusCode::FORBIDDEN, "station-unknown: show a certificate"))?;
    let key = station.public_key().sha256();
    if line.0.stations.take(&key, now).is_err() {
        return Err(no(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-requests: slow down",
        ));
    }
    // 2
    let Query(wanted) = wanted.map_err(|error| {
        let said = format!("bad-query: {error}");
        no(StatusCode::BAD_REQUEST, &said)
    })?;
    let media_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .unwrap_or_default();
    if !media_type.trim().eq_ignore_ascii_case("application/pkcs10") {
        let said = "media-type-unsupported: send application/pkcs10";
        return Err(no(StatusCode::UNSUPPORTED_MEDIA_TYPE, said));
    }
    let unreadable = |error: &dyn std::fmt::Display| {
        let said = format!("certificate-request-malformed: {error}");
        no(StatusCode::BAD_REQUEST, &said)
    };
    let request = match std::str::from_utf8(body) {
        Ok(pem) if pem.contains("-----BEGIN") => CertificateRequest::from_pem(pem),
        _ => CertificateRequest::parse(body),
    }
    .map_err(|error| unreadable(&error))?;
    let named = request
        .subject()
        .attribute(&vouchsafe_trust::oid::SERIAL_NUMBER);
    let serial = wanted
        .serial
        .or_else(|| named.map(str::to_owned))
        .ok_or_else(|| unreadable(&"neither query nor subject name a serial number"))?;
    let device = NewDevice {
        serial,
        model: wanted.model.filter(|model| !model.is_empty()),
        key_origin: match wanted.origin {
            Origin::Device => KeyOrigin::Device,
            Origin::Hardware => KeyOrigin::Hardware,
        },
        dpp_uri: wanted.dpp.filter(|uri| !uri.is_empty()),
    };
    // 3
    let name = station.common_name().unwrap_or("line station");
    let actor = Actor::new(
        ActorKind::Factory,
        name.chars().take(128).collect::<String>(),
    );
    let identity = factory
        .provision_from_csr(&actor, &device, request.der())
        .await
        .map_err(refused)?;
    Ok(document(factory, device, &identity))
}

fn document(factory: &Factory, device: NewDevice, identity: &Identity) -> IdentityDocument {
    let pem = |chain: &[Certificate]| chain.iter().map(Certificate::pem).collect();
    IdentityDocument {
        device: DeviceId::new(factory.home.id, &device.serial),
        manufacturer: factory.home.id,
        serial: device.serial,
        model: device.model,
        chain: pem(&identity.chain),
        masa_anchors: pem(&identity.masa_anchors),
        repeated: identity.repeated,
    }
}

fn refused(error: FactoryError) -> Box<Response> {
    match &error {
        FactoryError::Refused { refusal, .. } => no(status_of(*refusal), &error.to_string()),
        FactoryError::Uri(_) => {
            let said = format!("bad-bootstrapping-key: {error}");
            no(StatusCode::BAD_REQUEST, &said)
        }
        FactoryError::Request(_) | FactoryError::Issue(_) => {
            let said = format!("certificate-request-refused: {error}");
            no(StatusCode::BAD_REQUEST, &said)
        }
        _ => {
            tracing::error!(%error, "a line station got no answer");
            let said = "the factory cannot answer at the moment; its log says why";
            no(StatusCode::SERVICE_UNAVAILABLE, said)
        }
    }
}

fn no(status: StatusCode, said: &str) -> Box<Response> {
    Box::new(text(status, &format!("{said}\n")))
}
