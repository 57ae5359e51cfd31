//! The registrar as the MASA's client (RFC 8995 §5.4, §5.5, §5.8).
//!
//! 1. The address is the manufacturer's as configured, else the one in the IDevID (§2.8).
//! 2. TLS: the MASA must lead to this manufacturer's MASA anchors, we show the registrar's
//!    certificate. Connections are kept open.
//! 3. `requestvoucher`: the answer is read and compared with the question, not believed.
//! 4. With `masa.check_audit_log`, `requestauditlog` with the same body; a log that is not in order ends it.

use axum::http::{Request, Response, header};
use bytes::Bytes;
use jiff::Timestamp;
use vouchsafe_brski::audit::{self, AuditLog};
use vouchsafe_brski::registrar::{PledgeVoucherRequest, read_voucher};
use vouchsafe_brski::{Encoding, idevid};
use vouchsafe_fleet::decide::MasaAnswer;
use vouchsafe_fleet::{Digest, Reason};
use vouchsafe_net::{ClientError, Origin, OriginError};
use vouchsafe_trust::Verified;

use crate::catalogue::KnownManufacturer;
use crate::controller::Controller;

/// Longest explanation of a MASA that is read, in bytes.
const MAX_EXPLANATION: usize = 2048;

/// Why there is no answer at all. The device asks again.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreachable {
    /// Neither configuration nor IDevID name a MASA.
    #[error("no MASA is configured for this manufacturer, and the IDevID names none")]
    NoAddress,
    /// The address is none.
    #[error("the MASA's address cannot be used: {0}")]
    Address(#[from] OriginError),
    /// No MASA anchors, so none is trusted.
    #[error("no trust anchors for this manufacturer's MASA: import its manifest")]
    NoAnchors,
    /// The connection failed.
    #[error("the MASA at {0} did not answer: {1}")]
    Connection(String, ClientError),
    /// The MASA is in trouble, or wants to be asked again.
    #[error("the MASA at {0} answered {1}")]
    Trouble(String, u16),
    /// The request could not be put together.
    #[error("the MASA's address cannot be used: {0}")]
    Request(#[from] axum::http::Error),
}

/// What the MASA said.
#[derive(Debug)]
pub(super) struct Reply {
    /// Its address, for the journal.
    pub(super) masa: String,
    said: Said,
}

#[derive(Debug)]
enum Said {
    Voucher {
        body: Vec<u8>,
        encoding: Encoding,
        assertion: &'static str,
        expires_on: Option<Timestamp>,
    },
    No {
        status: u16,
        explanation: String,
    },
    Owners {
        reasons: Vec<Reason>,
        log_sha256: Digest,
    },
}

impl Reply {
    /// The same as the decision takes it.
    pub(super) fn as_answer(&self) -> MasaAnswer<'_> {
        match &self.said {
            Said::Voucher {
                body,
                encoding,
                assertion,
                expires_on,
            } => MasaAnswer::Voucher {
                body,
                media_type: encoding.media_type(),
                assertion,
                expires_on: *expires_on,
            },
            Said::No {
                status,
                explanation,
            } => MasaAnswer::Refused {
                status: *status,
                explanation,
            },
            Said::Owners {
                reasons,
                log_sha256,
            } => MasaAnswer::AuditLog {
                reasons,
                log_sha256: *log_sha256,
            },
        }
    }
}

/// Asks for the voucher, and for the audit log if so configured.
pub(super) async fn ask(
    controller: &Controller,
    manufacturer: &KnownManufacturer,
    pledge: &Verified<PledgeVoucherRequest>,
    request: Vec<u8>,
) -> Result<Reply, Unreachable> {
    // 1
    let masa = match &manufacturer.record.masa_url {
        Some(url) => idevid::normalize_masa_url(url),
        None => idevid::masa_url(&pledge.idevid).ok_or(Unreachable::NoAddress)?,
    };
    let request = Bytes::from(request);
    let encoding = pledge.encoding;
    // 2, 3
    let accept = encoding.media_type();
    let answer = post(
        manufacturer,
        &masa,
        "requestvoucher",
        encoding,
        accept,
        request.clone(),
    )
    .await?;
    let said = if answer.status().is_success() {
        read(controller, pledge, &answer)
    } else {
        refused(&answer)
    };
    // 4
    let said = match said {
        Said::Voucher { .. } if controller.config.masa.check_audit_log => {
            let accept = audit::MEDIA_TYPE;
            let answer = post(
                manufacturer,
                &masa,
                "requestauditlog",
                encoding,
                accept,
                request,
            )
            .await?;
            judge_log(controller, &answer).unwrap_or(said)
        }
        said => said,
    };
    Ok(Reply { masa, said })
}

async fn post(
    manufacturer: &KnownManufacturer,
    masa: &str,
    operation: &str,
    encoding: Encoding,
    accept: &str,
    body: Bytes,
) -> Result<Response<Bytes>, Unreachable> {
    let pool = manufacturer.masa.as_ref().ok_or(Unreachable::NoAnchors)?;
    let request = Request::post(format!("{masa}/{operation}"))
        .header(header::CONTENT_TYPE, encoding.media_type())
        .header(header::ACCEPT, accept)
        .body(body)?;
    let origin = Origin::from_uri(request.uri())?;
    let answer = pool
        .request(&origin, request)
        .await
        .map_err(|error| Unreachable::Connection(masa.to_owned(), error))?;
    // 202: it has not made up its mind (RFC 8995 §5.6). 429: it is asked too often.
    let later = matches!(answer.status().as_u16(), 202 | 429);
    if later || answer.status().is_server_error() {
        return Err(Unreachable::Trouble(
            masa.to_owned(),
            answer.status().as_u16(),
        ));
    }
    Ok(answer)
}

fn read(
    controller: &Controller,
    pledge: &Verified<PledgeVoucherRequest>,
    answer: &Response<Bytes>,
) -> Said {
    let encoding = answer
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(Encoding::from_media_type)
        .unwrap_or(pledge.encoding);
    let nonce = pledge.request.nonce.as_ref();
    let read = read_voucher(
        answer.body(),
        encoding,
        pledge.serial_number(),
        nonce,
        &controller.compatibility,
    );
    match read {
        Ok(received) => Said::Voucher {
            assertion: received.voucher.assertion.name(),
            expires_on: received.voucher.expires_on,
            body: received.bytes,
            encoding,
        },
        Err(error) => Said::No {
            status: answer.status().as_u16(),
            explanation: format!("its answer is no voucher for this request: {error}"),
        },
    }
}

fn refused(answer: &Response<Bytes>) -> Said {
    let body = answer
        .body()
        .get(..MAX_EXPLANATION)
        .unwrap_or(answer.body());
    let explanation: String = String::from_utf8_lossy(body)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    Said::No {
        status: answer.status().as_u16(),
        explanation: explanation.trim().to_owned(),
    }
}

/// RFC 8995 §5.8.3: vouchers without nonce that went to other domains may still be held by them, so
/// such a log is for a person to look at. Earlier owners alone are no fault: devices are resold.
/// `None` when the log is in order.
fn judge_log(controller: &Controller, answer: &Response<Bytes>) -> Option<Said> {
    let log_sha256 = Digest::of(answer.body());
    let complaint = |code, text: String| {
        let reasons = vec![Reason::new(code, text, "RFC 8995 §5.8.3")];
        Some(Said::Owners {
            reasons,
            log_sha256,
        })
    };
    if !answer.status().is_success() {
        let status = answer.status().as_u16();
        return complaint(
            "audit-log-missing",
            format!("the MASA gave no audit log ({status})"),
        );
    }
    let log = match AuditLog::from_json(answer.body()) {
        Ok(log) => log,
        Err(error) => return complaint("audit-log-unreadable", error.to_string()),
    };
    let ours = [audit::domain_id(controller.authority.certificate())];
    let findings = log.judge(&ours);
    if findings.other_nonceless > 0 {
        let count = findings.other_nonceless;
        return complaint(
            "audit-log-nonceless",
            format!("{count} vouchers without nonce went to other domains"),
        );
    }
    None
}
