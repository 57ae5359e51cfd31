//! Reading a request: every way in which it can be wrong is a problem of the contract.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use serde::de::DeserializeOwned;
use vouchsafe_api::{Code, Problem};
use vouchsafe_fleet::Reason;

use super::problem::{Failure, bad_request};

/// Longest reason in characters, as the contract has it.
const MAX_REASON: usize = 500;

/// Longest name in characters, as the contract has it.
const MAX_NAME: usize = 100;

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        if media_type(request.headers()) != "application/json" {
            return Err(unsupported("application/json").into());
        }
        let RawBody(bytes) = RawBody::from_request(request, state).await?;
        Ok(Self(from_json(&bytes)?))
    }
}

/// A body of any kind, within the route's limit.
pub(super) struct RawBody(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        match Bytes::from_request(request, state).await {
            Ok(bytes) => Ok(Self(bytes)),
            Err(rejection) => {
                let code = match rejection.into_response().status() {
                    StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
                    StatusCode::REQUEST_TIMEOUT => Code::RequestTimeout,
                    _ => Code::BadRequest,
                };
                Err(Problem::new(code, "the body could not be read whole").into())
            }
        }
    }
}

/// The query string. What is not asked for is passed over.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(query)| Self(query))
            .map_err(|error| bad_request(format!("the query cannot be read: {error}")).into())
    }
}

/// Whether an import or a release only says what it would do.
#[derive(Debug, Clone, Copy, serde::Deserialize)]
pub(super) struct DryRunQuery {
    #[serde(default)]
    pub(super) dry_run: bool,
}

/// The media type without parameters, lower case; empty when there is none.
pub(super) fn media_type(headers: &HeaderMap) -> String {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(|value| value.trim().to_ascii_lowercase())
        .unwrap_or_default()
}

/// 415 with what would be right.
pub(super) fn unsupported(wanted: &str) -> Problem {
    Problem::new(
        Code::UnsupportedMediaType,
        format!("this route reads {wanted}"),
    )
}

/// Reads JSON.
pub(super) fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes)
        .map_err(|error| bad_request(format!("the body cannot be read: {error}")))
}

/// A person's reason, which must be there.
pub(super) fn reason(text: &str) -> Result<Reason, Problem> {
    if text.trim().is_empty() {
        return Err(bad_request("`reason` says nothing; the journal keeps it"));
    }
    Ok(optional_reason(Some(text))?.unwrap_or_else(|| person_said("")))
}

/// A person's reason, which may be absent.
pub(super) fn optional_reason(text: Option<&str>) -> Result<Option<Reason>, Problem> {
    match text {
        Some(text) if text.chars().count() > MAX_REASON => Err(bad_request(format!(
            "`reason` is longer than {MAX_REASON} characters"
        ))),
        Some(text) if !text.trim().is_empty() => Ok(Some(person_said(text))),
        Some(_) | None => Ok(None),
    }
}

/// A name for people.
pub(super) fn name(text: &str) -> Result<String, Problem> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > MAX_NAME || text.chars().any(char::is_control) {
        return Err(bad_request(format!(
            "`name` must have 1 to {MAX_NAME} characters, none of them a control character"
        )));
    }
    Ok(text.to_owned())
}

/// The key behind which a page begins, where it is an id.
pub(super) fn after<T: std::str::FromStr>(text: Option<&str>) -> Result<Option<T>, Problem> {
    text.map(str::parse).transpose().map_err(|_| bad_after())
}

/// An `after` that no page gave.
pub(super) fn bad_after() -> Problem {
    bad_request("`after` is not the `next` of a page of this list")
}

fn person_said(text: &str) -> Reason {
    Reason::new("person", text, "owner policy")
}
