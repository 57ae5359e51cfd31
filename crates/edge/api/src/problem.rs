//! Errors as RFC 9457 problem documents.
//!
//! An error has a status, a stable code for programs, a message for the caller with what to do
//! next, and, apart from these, a message for the log that never leaves the server.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The media type of a problem document (RFC 9457 §3).
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What went wrong, for programs. Codes are stable: new ones may come, none changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Code {
    /// 400: the request is not well-formed, or a value in it is out of range.
    BadRequest,
    /// 401: no token, or one that is unknown, expired or revoked.
    Unauthenticated,
    /// 403: the token's role may not do this.
    Forbidden,
    /// 404: no such thing, or none that this token may know of.
    NotFound,
    /// 405: the path exists, the method does not.
    MethodNotAllowed,
    /// 406: none of the media types in Accept can be produced.
    NotAcceptable,
    /// 408: the request did not arrive in time.
    RequestTimeout,
    /// 409: somebody else changed it meanwhile; read again and retry.
    Conflict,
    /// 409: the device's life cycle has no such edge from where it stands.
    LifecycleRefused,
    /// 409: it exists already.
    AlreadyExists,
    /// 412: the version named in If-Match is not the current one (RFC 9110 §13.1.1).
    PreconditionFailed,
    /// 413: the body is larger than the limit of this route.
    TooLarge,
    /// 415: the body's media type is not one that this route reads.
    UnsupportedMediaType,
    /// 422: the manifest's signature or content was refused.
    ManifestRefused,
    /// 422: the policy cannot be read, or does not answer as a policy must.
    PolicyRefused,
    /// 428: the route needs If-Match and had none (RFC 6585 §3).
    PreconditionRequired,
    /// 429: too many requests from this token.
    TooManyRequests,
    /// 500: our fault; the trace id finds it in the log.
    Internal,
    /// 503: the store or another part is away; retry later.
    Unavailable,
    /// 507: the disk is full; nothing was changed.
    StorageFull,
    /// A code newer than this client.
    #[serde(other)]
    Other,
}

impl Code {
    /// The HTTP status this code always travels with.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict | Self::LifecycleRefused | Self::AlreadyExists => StatusCode::CONFLICT,
            Self::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::ManifestRefused | Self::PolicyRefused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::PreconditionRequired => StatusCode::PRECONDITION_REQUIRED,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal | Self::Other => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
        }
    }

    /// The code as it stands in JSON, `kebab-case`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::NotAcceptable => "not-acceptable",
            Self::RequestTimeout => "request-timeout",
            Self::Conflict => "conflict",
            Self::LifecycleRefused => "lifecycle-refused",
            Self::AlreadyExists => "already-exists",
            Self::PreconditionFailed => "precondition-failed",
            Self::TooLarge => "too-large",
            Self::UnsupportedMediaType => "unsupported-media-type",
            Self::ManifestRefused => "manifest-refused",
            Self::PolicyRefused => "policy-refused",
            Self::PreconditionRequired => "precondition-required",
            Self::TooManyRequests => "too-many-requests",
            Self::Internal => "internal",
            Self::Unavailable => "unavailable",
            Self::StorageFull => "storage-full",
            Self::Other => "other",
        }
    }

    /// The same few words for every problem with this code (RFC 9457 §3.1.3).
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "The request is not well-formed",
            Self::Unauthenticated => "Not signed in",
            Self::Forbidden => "This role may not do that",
            Self::NotFound => "No such thing",
            Self::MethodNotAllowed => "No such method here",
            Self::NotAcceptable => "No acceptable media type",
            Self::RequestTimeout => "The request took too long to arrive",
            Self::Conflict => "Changed by somebody else meanwhile",
            Self::LifecycleRefused => "Not possible in this state of the device",
            Self::AlreadyExists => "Exists already",
            Self::PreconditionFailed => "Not the current version",
            Self::TooLarge => "Too large",
            Self::UnsupportedMediaType => "Media type not supported",
            Self::ManifestRefused => "The manifest was refused",
            Self::PolicyRefused => "The policy was refused",
            Self::PreconditionRequired => "If-Match is required",
            Self::TooManyRequests => "Too many requests",
            Self::Internal => "An error of ours",
            Self::Unavailable => "Not available right now",
            Self::StorageFull => "The disk is full",
            Self::Other => "Another problem",
        }
    }
}

/// An error of the API (RFC 9457 §3), as `application/problem+json`.
//
// Texts are boxed slices so that a `Result` with it stays small.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, thiserror::Error)]
#[error("{title}: {detail}")]
pub struct Problem {
    /// `urn:vouchsafe:problem:` and the code.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    pub kind: Box<str>,
    /// The code in a few words; the same for every problem with this code.
    #[schema(value_type = String)]
    pub title: Box<str>,
    /// The HTTP status, repeated.
    pub status: u16,
    /// What went wrong, for programs.
    pub code: Code,
    /// What went wrong this time, for people.
    #[schema(value_type = String)]
    pub detail: Box<str>,
    /// What the caller can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub next_step: Option<Box<str>>,
    /// Finds this very request in the server's log; hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub trace: Option<Box<str>>,
    /// Seconds after which a retry makes sense; sent as Retry-After too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    /// What the log should say besides. Never serialized.
    #[serde(skip)]
    pub log: Option<Box<str>>,
}

impl Problem {
    /// A problem with this code and this message for the caller.
    pub fn new(code: Code, detail: impl Into<Box<str>>) -> Self {
        Self {
            kind: format!("urn:vouchsafe:problem:{}", code.as_str()).into(),
            title: code.title().into(),
            status: code.status().as_u16(),
            code,
            detail: detail.into(),
            next_step: None,
            trace: None,
            retry_after: None,
            log: None,
        }
    }

    /// Adds what the caller can do about it.
    #[must_use]
    pub fn next_step(mut self, next_step: impl Into<Box<str>>) -> Self {
        self.next_step = Some(next_step.into());
        self
    }

    /// Adds the id under which the log knows this request.
    #[must_use]
    pub fn trace(mut self, trace: impl Into<Box<str>>) -> Self {
        self.trace = Some(trace.into());
        self
    }

    /// Adds the seconds after which a retry makes sense.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Adds what only the log should say.
    #[must_use]
    pub fn log(mut self, message: impl Into<Box<str>>) -> Self {
        self.log = Some(message.into());
        self
    }

    /// 404 for a thing of this kind with this id, with the listing command as next step.
    pub fn not_found(kind: &str, id: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no {kind} `{id}`"))
            .next_step(format!("`vouchsafe {kind} list` shows what there is"))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // The numbers and strings of this type always serialize.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let status = StatusCode::from_u16(self.status).unwrap_or(self.code.status());
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.code == Code::Unauthenticated {
            // RFC 9110 §15.5.2: a 401 names the scheme that would do.
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_for_the_log_never_leaves() {
        let problem = Problem::new(Code::Internal, "try again").log("password was hunter2");
        let text = serde_json::to_string(&problem).unwrap();
        assert!(!text.contains("hunter2"));
        assert!(text.contains("\"type\":\"urn:vouchsafe:problem:internal\""));
    }

    #[test]
    fn unauthenticated_names_the_scheme() {
        let response = Problem::new(Code::Unauthenticated, "no token").into_response();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
        assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM_JSON);
    }

    #[test]
    fn a_code_newer_than_this_client_is_read_as_other() {
        let text = r#"{"type":"x","title":"t","status":418,"code":"teapot","detail":"d"}"#;
        let problem: Problem = serde_json::from_str(text).unwrap();
        assert_eq!(problem.code, Code::Other);
        assert_eq!(problem.status, 418);
    }

    #[test]
    fn the_text_of_a_code_is_its_json() {
        for code in [
            Code::BadRequest,
            Code::LifecycleRefused,
            Code::StorageFull,
            Code::Conflict,
        ] {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
