//! What a device is told: a status, and for a refusal one line of text that names the reason and
//! the section (RFC 8995 §5.6: the body is UTF-8 text).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::SignedDuration;
use vouchsafe_brski::{Error, MAX_MESSAGE_LEN, Malformed, status};
use vouchsafe_fleet::{Reason, Refusal, RefusalKind};

use crate::controller::Fault;

/// An answer that is not the thing asked for.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The message itself was refused.
    Protocol(Error),
    /// The message is fine, and the answer is no.
    Refused {
        /// The status.
        status: StatusCode,
        /// Why.
        reasons: Vec<Reason>,
    },
    /// Not yet (RFC 8995 §5.6: 202 and Retry-After).
    Wait {
        /// Whole seconds are told.
        retry_after: SignedDuration,
        /// Why.
        reasons: Vec<Reason>,
    },
    /// Our own fault; the device should come back.
    Fault(Fault),
}

impl Answer {
    /// The answer for a refusal of `vouchsafe-fleet`.
    pub(crate) fn refused(refusal: Refusal, reasons: Vec<Reason>) -> Self {
        let status = match refusal.kind() {
            RefusalKind::Unknown => StatusCode::NOT_FOUND,
            RefusalKind::Forbidden => StatusCode::FORBIDDEN,
            RefusalKind::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            RefusalKind::Conflict => StatusCode::CONFLICT,
            RefusalKind::Malformed => StatusCode::BAD_REQUEST,
        };
        Self::Refused { status, reasons }
    }
}

impl From<Error> for Answer {
    fn from(error: Error) -> Self {
        Self::Protocol(error)
    }
}

impl From<Fault> for Answer {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<vouchsafe_store::ReadError> for Answer {
    fn from(error: vouchsafe_store::ReadError) -> Self {
        Self::Fault(error.into())
    }
}

/// The reason as the journal has it.
pub(crate) fn reason(error: &Error) -> Reason {
    let mut text = error.to_string();
    if matches!(error, Error::Malformed(Malformed::TooLarge)) {
        // Whoever is refused for its size is told what would fit.
        text.push_str(&format!(" of {MAX_MESSAGE_LEN} bytes"));
    }
    Reason::new(error.reason_code(), text, error.section())
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        match self {
            Self::Protocol(error) => {
                let code = status::of_registrar(&error);
                let status = StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_REQUEST);
                let mut response = text(status, &lines(&[reason(&error)]));
                if status == StatusCode::UNAUTHORIZED {
                    // RFC 8995 §5.2: then the connection is closed.
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(header::CONNECTION, close);
                }
                response
            }
            Self::Refused { status, reasons } => text(status, &lines(&reasons)),
            Self::Wait {
                retry_after,
                reasons,
            } => {
                let mut response = text(StatusCode::ACCEPTED, &lines(&reasons));
                let seconds = retry_after.as_secs().max(1);
                response
                    .headers_mut()
                    .insert(header::RETRY_AFTER, seconds.into());
                response
            }
            Self::Fault(fault) => {
                tracing::error!(%fault, "a device got no answer");
                let said = "the registrar cannot answer at the moment; its log says why\n";
                let mut response = text(StatusCode::SERVICE_UNAVAILABLE, said);
                response
                    .headers_mut()
                    .insert(header::RETRY_AFTER, HeaderValue::from_static("10"));
                response
            }
        }
    }
}

fn text(status: StatusCode, body: &str) -> Response {
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
