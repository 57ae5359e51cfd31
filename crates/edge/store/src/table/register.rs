//! What there is little of and that is read whole: manufacturers, owners, tokens, claims, policies,
//! sightings. Kept as JSON documents beside the columns they are looked up by.

use jiff::Timestamp;
use serde::Serialize;
use vouchsafe_fleet::claim::{Claim, ClaimSubject};
use vouchsafe_fleet::commit::{PolicyRecord, Sighting};
use vouchsafe_fleet::{Manufacturer, Owner, Token};

use crate::error::{CommitError, ReadError};
use crate::row::{Columns, Row, millis, name, stored_count};
use crate::statement::{Insert, Values};

pub(crate) const PUT_MANUFACTURER: &str = "INSERT INTO manufacturer (id, version, document) \
     VALUES (?1, ?2, ?3) ON CONFLICT (id) DO UPDATE SET version = excluded.version, \
     document = excluded.document";

pub(crate) const SELECT_MANUFACTURER_VERSION: &str =
    "SELECT version FROM manufacturer WHERE id = ?1";

pub(crate) const PUT_OWNER: &str = "INSERT INTO owner (id, document) VALUES (?1, ?2) \
     ON CONFLICT (id) DO UPDATE SET document = excluded.document";

pub(crate) const PUT_TOKEN: &str = "INSERT INTO token (id, secret_sha256, document) \
     VALUES (?1, ?2, ?3) ON CONFLICT (id) DO UPDATE SET secret_sha256 = excluded.secret_sha256, \
     document = excluded.document";

pub(crate) const PUT_POLICY: &str = "INSERT INTO policy (since, id, text, author) VALUES (?1, ?2, ?3, ?4) \
     ON CONFLICT (since, id) DO UPDATE SET text = excluded.text";

pub(crate) const PUT_SIGHTING: &str = "INSERT INTO sighting (device, manufacturer, serial, at, expires_at) \
     VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (device) DO UPDATE SET \
     manufacturer = excluded.manufacturer, serial = excluded.serial, at = excluded.at, \
     expires_at = excluded.expires_at";

/// Forgets the sightings that ended before a time.
pub(crate) const FORGET_SIGHTINGS: &str = "DELETE FROM sighting WHERE expires_at < ?1";

/// Adds or replaces claims.
pub(crate) const PUT_CLAIM: Insert = Insert {
    head: "INSERT INTO claim (subject_kind, subject, kind, issuer, issued_at, expires_at, document)",
    tail: "ON CONFLICT (subject_kind, subject, kind, issuer) DO UPDATE SET \
           issued_at = excluded.issued_at, expires_at = excluded.expires_at, \
           document = excluded.document",
    columns: 7,
};

/// Forgets what an issuer claimed about a subject and what ended by a time.
pub(crate) const FORGET_CLAIMS: &str = "DELETE FROM claim \
     WHERE subject_kind = ?1 AND subject = ?2 AND issuer = ?3 AND expires_at <= ?4";

/// The manufacturer with the version that the store counted for it.
pub(crate) fn manufacturer_values(
    manufacturer: &Manufacturer,
    version: u64,
) -> Result<Values, CommitError> {
    let written = Manufacturer {
        version,
        ..manufacturer.clone()
    };
    Ok(Values::new()
        .text(name(written.id.as_bytes()))
        .number(stored_count(version))
        .text(document(&written)?))
}

pub(crate) fn owner_values(owner: &Owner) -> Result<Values, CommitError> {
    Ok(Values::new()
        .text(name(owner.id.as_bytes()))
        .text(document(owner)?))
}

pub(crate) fn token_values(token: &Token) -> Result<Values, CommitError> {
    let mut values = Values::new().text(name(token.id.as_bytes()));
    values.push_digest(token.secret_sha256);
    Ok(values.text(document(token)?))
}

pub(crate) fn policy_values(policy: &PolicyRecord) -> Values {
    let mut values = Values::new().number(millis(policy.since));
    values.push_digest(policy.id);
    values.text(policy.text.as_str()).text(policy.by.as_str())
}

pub(crate) fn sighting_values(sighting: &Sighting) -> Values {
    let mut values = Values::new().text(name(sighting.device.as_bytes()));
    values.push_optional_text(sighting.manufacturer.map(|id| name(id.as_bytes())));
    values
        .text(sighting.serial.as_str())
        .number(millis(sighting.at))
        .number(millis(sighting.expires_at))
}

/// A claim with its document already written.
pub(crate) struct WrittenClaim<'c> {
    claim: &'c Claim,
    document: String,
}

impl<'c> WrittenClaim<'c> {
    pub(crate) fn new(claim: &'c Claim) -> Result<Self, CommitError> {
        Ok(Self {
            claim,
            document: document(claim)?,
        })
    }
}

pub(crate) fn bind_claim(row: &WrittenClaim<'_>, values: &mut Values) {
    bind_subject(&row.claim.subject, values);
    values.push_text(row.claim.kind.as_str());
    values.push_text(row.claim.issuer.as_str());
    values.push_number(millis(row.claim.issued_at));
    values.push_optional_number(row.claim.expires_at.map(millis));
    values.push_text(row.document.as_str());
}

pub(crate) fn ended_values(subject: &ClaimSubject, issuer: &str, ended_by: Timestamp) -> Values {
    let mut values = Values::new();
    bind_subject(subject, &mut values);
    values.text(issuer).number(millis(ended_by))
}

/// The two columns that a claim's subject is looked up by.
pub(crate) fn bind_subject(subject: &ClaimSubject, values: &mut Values) {
    values.push_text(subject.kind().as_str());
    values.push_text(subject.key());
}

pub(crate) fn read_policy(row: &Row) -> Result<PolicyRecord, ReadError> {
    let row = Columns::of(row, "policy");
    Ok(PolicyRecord {
        id: row.digest("id")?,
        text: row.text("text")?,
        since: row.time("since")?,
        by: row.text("author")?,
    })
}

pub(crate) fn read_sighting(row: &Row) -> Result<Sighting, ReadError> {
    let row = Columns::of(row, "sighting");
    Ok(Sighting {
        device: row.parsed("device")?,
        manufacturer: row.optional_parsed("manufacturer")?,
        serial: row.text("serial")?,
        at: row.time("at")?,
        expires_at: row.time("expires_at")?,
    })
}

fn document(value: &impl Serialize) -> Result<String, CommitError> {
    serde_json::to_string(value).map_err(|error| CommitError::Invalid(error.to_string()))
}
