//! What a registrar is told: a status, and for a refusal one line of text for each reason
//! (RFC 8995 §5.6: the body is UTF-8 text).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::SignedDuration;
use vouchsafe_brski::{Error, status};
use vouchsafe_fleet::{Reason, Refusal, RefusalKind};

use crate::factory::FactoryError;

/// An answer that is not the thing asked for.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The message itself was refused.
    Protocol(Error),
    /// The message is fine, and the answer is no.
    Refused {
        /// The reason that decided.
        refusal: Refusal,
        /// It and any others.
        reasons: Vec<Reason>,
    },
    /// Too many requests.
    TooMany(SignedDuration),
    /// Our own fault; the registrar should come back.
    Fault(FactoryError),
}

impl From<Error> for Answer {
    fn from(error: Error) -> Self {
        Self::Protocol(error)
    }
}

impl From<FactoryError> for Answer {
    fn from(error: FactoryError) -> Self {
        match error {
            FactoryError::Refused { refusal, reasons } => Self::Refused { refusal, reasons },
            FactoryError::Voucher(error) => Self::Protocol(error),
            error => Self::Fault(error),
        }
    }
}

impl From<vouchsafe_store::ReadError> for Answer {
    fn from(error: vouchsafe_store::ReadError) -> Self {
        Self::Fault(error.into())
    }
}

impl Answer {
    /// For counters.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Protocol(_) => "invalid",
            Self::Refused { .. } => "refused",
            Self::TooMany(_) => "too-many",
            Self::Fault(_) => "fault",
        }
    }
}

/// The reason as the journal has it.
pub(crate) fn reason(error: &Error) -> Reason {
    Reason::new(error.reason_code(), error.to_string(), error.section())
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Self::Protocol(error) => {
                let status = status::of_masa(&error);
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
                text(status, &lines(&[reason(&error)]))
            }
            Self::Refused { refusal, reasons } => text(status_of(refusal), &lines(&reasons)),
            Self::TooMany(wait) => {
                let said = "too-many-requests: come back later [manufacturer policy]\n";
                later(StatusCode::TOO_MANY_REQUESTS, said, wait)
            }
            Self::Fault(fault) => {
                tracing::error!(%fault, "a registrar got no answer");
                let said = "the MASA cannot answer at the moment; its log says why\n";
                let wait = SignedDuration::from_secs(10);
                later(StatusCode::SERVICE_UNAVAILABLE, said, wait)
            }
        }
    }
}

/// RFC 8995 §5.6: 404 for a device that is not ours, 403 where somebody else stands in the way,
/// 406 where this sort of voucher is not issued.
pub(crate) fn status_of(refusal: Refusal) -> StatusCode {
    match refusal.kind() {
        // Whoever asks may have it once it is sold to him.
        _ if refusal == Refusal::NotSold => StatusCode::FORBIDDEN,
        RefusalKind::Unknown => StatusCode::NOT_FOUND,
        RefusalKind::Forbidden => StatusCode::FORBIDDEN,
        RefusalKind::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
        RefusalKind::Conflict => StatusCode::CONFLICT,
        RefusalKind::Malformed => StatusCode::BAD_REQUEST,
    }
}

fn later(status: StatusCode, said: &str, wait: SignedDuration) -> Response {
    let mut response = text(status, said);
    let seconds = wait.as_secs().saturating_add(1).max(1);
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

pub(crate) fn text(status: StatusCode, body: &str) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (status, kind, body.to_owned()).into_response()
}

/// One line a reason: `code: sentence [section]`.
fn lines(reasons: &[Reason]) -> String {
    let mut text = String::new();
    for reason in reasons {
        text.push_str(&reason.code);
        text.push_str(": ");
        text.push_str(&reason.text);
        if !reason.text.contains(&reason.section) {
            text.push_str(" [");
            text.push_str(&reason.section);
            text.push(']');
        }
        text.push('\n');
    }
    text
}
