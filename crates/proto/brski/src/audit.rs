//! The MASA's audit log (RFC 8995 §5.8): who else was ever named to a device.
//!
//! 1. The registrar posts its voucher request once more, to `requestauditlog`.
//! 2. The MASA answers with the log, 404 for a device unknown or never given to this domain.
//! 3. The registrar judges it by its policy: [`AuditLog::judge`] (§5.8.3).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use vouchsafe_trust::Certificate;

use crate::error::{Error, Malformed, Refusal};
use crate::leaf::{date_from_text, date_text};
use crate::voucher::{Assertion, Nonce};

/// The media type of the log.
pub const MEDIA_TYPE: &str = "application/json";
/// The only version there is.
pub const VERSION: u64 = 1;
/// The most events that a log holds or that are read (RFC 8995 §5.8.1).
pub const MAX_EVENTS: usize = 1024;
/// The largest log that is read, in bytes.
pub const MAX_LOG_LEN: usize = 512 * 1024;

/// One voucher that was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// When.
    pub date: Timestamp,
    /// Whose domain it named: [`domain_id`] of the pinned certificate.
    pub domain_id: String,
    /// The nonce as in the voucher; `None` for a voucher without nonce.
    pub nonce: Option<String>,
    /// What the voucher asserted.
    pub assertion: Assertion,
    /// How many equal events were dropped in favour of this one; zero where the log is silent.
    pub truncated: u64,
}

/// How many events were left out, and why (RFC 8995 §5.8.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Truncation {
    /// Of the same domain, with nonce.
    #[serde(rename = "nonced duplicates")]
    pub nonced_duplicates: u64,
    /// Of the same domain, without nonce.
    #[serde(rename = "nonceless duplicates")]
    pub nonceless_duplicates: u64,
    /// For want of room.
    pub arbitrary: u64,
}

/// The audit log of one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLog {
    /// 1.
    pub version: u64,
    /// Newest last, at most [`MAX_EVENTS`].
    pub events: Vec<AuditEvent>,
    /// What is missing.
    pub truncation: Truncation,
}

/// The name of a domain in audit logs: the subject key identifier of the pinned certificate if it
/// has one, else SHA-256 of its public key's DER; base64 (RFC 8995 §5.8.2, RFC 7469 §2.4).
#[must_use]
pub fn domain_id(pinned: &Certificate) -> String {
    match pinned.key_identifier() {
        Some(identifier) => crate::base64::encode(identifier),
        None => crate::base64::encode(&pinned.public_key().sha256()),
    }
}

impl AuditEvent {
    /// The entry for a voucher just issued.
    #[must_use]
    pub fn of_voucher(voucher: &crate::Voucher, pinned: &Certificate) -> Self {
        Self {
            date: voucher.created_on,
            domain_id: domain_id(pinned),
            nonce: voucher.nonce.as_ref().map(Nonce::to_text),
            assertion: voucher.assertion,
            truncated: 0,
        }
    }
}

impl AuditLog {
    /// A log of these events, oldest first. Above the cap it drops, in this order and counting each:
    /// earlier events with a nonce of a domain that comes again, earlier ones without nonce, the oldest.
    #[must_use]
    pub fn new(events: Vec<AuditEvent>) -> Self {
        let mut log = Self {
            version: VERSION,
            events,
            truncation: Truncation::default(),
        };
        log.truncation.nonced_duplicates = log.drop_duplicates(true);
        log.truncation.nonceless_duplicates = log.drop_duplicates(false);
        let excess = log.events.len().saturating_sub(MAX_EVENTS);
        log.events.drain(..excess);
        log.truncation.arbitrary = excess as u64;
        log
    }

    /// The JSON to answer with: numbers as numbers, as the CDDL says.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let events: Vec<Value> = self.events.iter().map(event_to_json).collect();
        serde_json::json!({
            "version": self.version,
            "events": events,
            "truncation": self.truncation,
        })
        .to_string()
        .into_bytes()
    }

    /// Reads a log; numbers may be text, as in the RFC's own example.
    ///
    /// # Errors
    /// [`Malformed::TooLarge`] beyond [`MAX_LOG_LEN`] or [`MAX_EVENTS`], [`Malformed::AuditLog`],
    /// [`Refusal::AuditVersion`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_LOG_LEN {
            return Err(Malformed::TooLarge.into());
        }
        let wire: WireLog = serde_json::from_slice(bytes).map_err(|_| Malformed::AuditLog)?;
        let version = number(&wire.version).ok_or(Malformed::AuditLog)?;
        if version != VERSION {
            return Err(Refusal::AuditVersion.into());
        }
        if wire.events.len() > MAX_EVENTS {
            return Err(Malformed::TooLarge.into());
        }
        let events = wire
            .events
            .into_iter()
            .map(WireEvent::read)
            .collect::<Result<_, _>>()?;
        let counter = |name| match wire.truncation.get(name) {
            None | Some(Value::Null) => Ok(0),
            Some(value) => number(value).ok_or(Malformed::AuditLog),
        };
        Ok(Self {
            version,
            events,
            truncation: Truncation {
                nonced_duplicates: counter("nonced duplicates")?,
                nonceless_duplicates: counter("nonceless duplicates")?,
                arbitrary: counter("arbitrary")?,
            },
        })
    }

    /// What the log tells the domain that asks, as input for its policy (RFC 8995 §5.8.3).
    #[must_use]
    pub fn judge(&self, own_domain_ids: &[String]) -> AuditFindings {
        let mut findings = AuditFindings {
            events: self.events.len(),
            truncated: self
                .truncation
                .nonced_duplicates
                .saturating_add(self.truncation.nonceless_duplicates)
                .saturating_add(self.truncation.arbitrary),
            ..AuditFindings::default()
        };
        for event in &self.events {
            if own_domain_ids.contains(&event.domain_id) {
                findings.own_events += 1;
                continue;
            }
            if !findings.other_domains.contains(&event.domain_id) {
                findings.other_domains.push(event.domain_id.clone());
            }
            if event.nonce.is_none() {
                findings.other_nonceless += 1;
            }
            findings.last_other = findings.last_other.max(Some(event.date));
        }
        findings
    }

    /// Drops all but the last event of each (domain, assertion) pair while there are too many.
    fn drop_duplicates(&mut self, nonced: bool) -> u64 {
        let excess = self.events.len().saturating_sub(MAX_EVENTS);
        if excess == 0 {
            return 0;
        }
        let mut last = std::collections::BTreeMap::new();
        for (index, event) in self.events.iter().enumerate() {
            if event.nonce.is_some() == nonced {
                last.insert((event.domain_id.clone(), event.assertion), index);
            }
        }
        let mut dropped_by_key = std::collections::BTreeMap::new();
        let mut dropped = 0;
        let mut index = 0;
        self.events.retain(|event| {
            let position = index;
            index += 1;
            let key = (event.domain_id.clone(), event.assertion);
            let duplicate = event.nonce.is_some() == nonced
                && last.get(&key).is_some_and(|last| *last != position)
                && dropped < excess;
            if duplicate {
                dropped += 1;
                let count: &mut u64 = dropped_by_key.entry(key).or_default();
                *count = count.saturating_add(event.truncated).saturating_add(1);
            }
            !duplicate
        });
        for event in self.events.iter_mut().rev() {
            if event.nonce.is_some() == nonced
                && let Some(count) =
                    dropped_by_key.remove(&(event.domain_id.clone(), event.assertion))
            {
                event.truncated = event.truncated.saturating_add(count);
            }
        }
        dropped as u64
    }
}

/// What a log says about a device's past, seen by one domain.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct AuditFindings {
    /// Events in the log.
    pub events: usize,
    /// Events of the domain that asks.
    pub own_events: usize,
    /// Domains other than that, in order of first appearance.
    pub other_domains: Vec<String>,
    /// Vouchers without nonce that others hold: they may be used again at any time.
    pub other_nonceless: usize,
    /// The newest event of another domain.
    pub last_other: Option<Timestamp>,
    /// Events that are missing from the log.
    pub truncated: u64,
}

/// A number written as one or as text.
pub(crate) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn event_to_json(event: &AuditEvent) -> Value {
    let mut value = serde_json::json!({
        "date": date_text(event.date),
        "domainID": event.domain_id,
        "nonce": event.nonce,
        "assertion": event.assertion.name(),
    });
    if event.truncated > 0
        && let Some(fields) = value.as_object_mut()
    {
        fields.insert("truncated".to_owned(), event.truncated.into());
    }
    value
}

#[derive(Deserialize)]
struct WireLog {
    version: Value,
    events: Vec<WireEvent>,
    #[serde(default)]
    truncation: Map<String, Value>,
}

#[derive(Deserialize)]
struct WireEvent {
    date: String,
    #[serde(rename = "domainID")]
    domain_id: String,
    #[serde(default)]
    nonce: Option<String>,
    assertion: String,
    #[serde(default)]
    truncated: Option<Value>,
}

impl WireEvent {
    fn read(self) -> Result<AuditEvent, Malformed> {
        Ok(AuditEvent {
            date: date_from_text(&self.date)?,
            domain_id: self.domain_id,
            nonce: self.nonce,
            assertion: Assertion::from_name(&self.assertion).ok_or(Malformed::Assertion)?,
            truncated: match &self.truncated {
                None => 0,
                Some(value) => number(value).ok_or(Malformed::AuditLog)?,
            },
        })
    }
}
