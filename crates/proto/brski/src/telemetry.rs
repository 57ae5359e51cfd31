//! Status reports of a pledge: `voucher_status` (RFC 8995 §5.7) and `enrollstatus` (§5.9.4).
//!
//! 1. After the voucher check the pledge reports on the provisional connection.
//! 2. After enrolment it reports success on a new connection with its new certificate, failure on
//!    the old one. The server answers 200 and logs; the pledge ignores the answer.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, Malformed};

/// The media type of both reports.
pub const MEDIA_TYPE: &str = "application/json";
/// The largest report that is read, in bytes.
pub const MAX_REPORT_LEN: usize = 16 * 1024;
/// The only version there is.
pub const VERSION: u64 = 1;

/// A status report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StatusReport {
    /// 1.
    pub version: u64,
    /// Whether it went well.
    pub status: bool,
    /// For people; should be there on failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For machines; any object.
    #[serde(rename = "reason-context", skip_serializing_if = "Option::is_none")]
    pub reason_context: Option<Map<String, Value>>,
    /// Fields that are not defined: logged, nothing else.
    #[serde(skip)]
    pub other: Map<String, Value>,
}

impl StatusReport {
    /// All went well.
    #[must_use]
    pub fn success() -> Self {
        Self {
            version: VERSION,
            status: true,
            reason: None,
            reason_context: None,
            other: Map::new(),
        }
    }

    /// It failed, and why; the context holds the reason's code and section.
    #[must_use]
    pub fn failure(error: &Error) -> Self {
        let context = [("code", error.reason_code()), ("section", error.section())]
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.into()))
            .collect();
        Self {
            status: false,
            reason: Some(error.to_string()),
            reason_context: Some(context),
            ..Self::success()
        }
    }

    /// The JSON to post.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // A struct of plain values and string keys always serializes.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a report. Version and status are mandatory; the version may be text, as some write it.
    ///
    /// # Errors
    /// [`Malformed::TooLarge`] and [`Malformed::Telemetry`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_REPORT_LEN {
            return Err(Malformed::TooLarge.into());
        }
        let wire: Wire = serde_json::from_slice(bytes).map_err(|_| Malformed::Telemetry)?;
        let version = crate::audit::number(&wire.version).ok_or(Malformed::Telemetry)?;
        Ok(Self {
            version,
            status: wire.status,
            reason: wire.reason,
            reason_context: wire.reason_context,
            other: wire.other,
        })
    }
}

#[derive(Deserialize)]
struct Wire {
    version: Value,
    status: bool,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default, rename = "reason-context")]
    reason_context: Option<Map<String, Value>>,
    #[serde(flatten)]
    other: Map<String, Value>,
}
