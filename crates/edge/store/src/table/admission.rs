//! `segment`, `gate`, `gate_credential`, `gate_standing`, `session`, `presence`, `address`: what network admission keeps.
//!
//! A put of a segment or a gate counts the version itself: it replaces the version before, or nothing.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use vouchsafe_fleet::admission::{Change, Guard, Place, Session};

use crate::batch::{Batch, Work};
use crate::error::{CommitError, Conflict};
use crate::row::{Columns, millis, name, stored_count};
use crate::statement::{Values, fetch_optional};
use crate::stop::Stop;

/// For how long a session is kept that has ended.
const SESSION_MEMORY: SignedDuration = SignedDuration::from_hours(30 * 24);

const PUT_SEGMENT: &str = "INSERT INTO segment (name, version, document) VALUES (?1, ?2, ?3) \
     ON CONFLICT (name) DO UPDATE SET version = excluded.version, document = excluded.document \
     WHERE segment.version = excluded.version - 1";

const REMOVE_SEGMENT: &str = "DELETE FROM segment WHERE name = ?1 AND version = ?2";

const SELECT_SEGMENT_VERSION: &str = "SELECT version FROM segment WHERE name = ?1";

/// Whether any device is meant for a segment, by its certificate, by an address or by an approval that it
/// has not come back for, or any network.
pub(crate) const SELECT_SEGMENT_USE: &str = "SELECT id FROM device WHERE segment = ?1 \
     UNION ALL SELECT mac FROM address WHERE segment = ?1 \
     UNION ALL SELECT id FROM voucher WHERE segment = ?1 \
     AND status IN ('awaiting-approval', 'approved', 'awaiting-masa') \
     UNION ALL SELECT name FROM network WHERE segment = ?1 LIMIT 1";

const PUT_GATE: &str = "INSERT INTO gate (name, version, document) VALUES (?1, ?2, ?3) \
     ON CONFLICT (name) DO UPDATE SET version = excluded.version, document = excluded.document \
     WHERE gate.version = excluded.version - 1";

const SELECT_GATE_VERSION: &str = "SELECT version FROM gate WHERE name = ?1";

const PUT_GATE_CREDENTIAL: &str = "INSERT INTO gate_credential (id, gate, revoked_at, document) \
     VALUES (?1, ?2, ?3, ?4) ON CONFLICT (id) DO UPDATE SET revoked_at = excluded.revoked_at, \
     document = excluded.document";

const SELECT_GOOD_GATE_CREDENTIAL: &str =
    "SELECT id FROM gate_credential WHERE id = ?1 AND revoked_at IS NULL";

const PUT_STANDING: &str = "INSERT INTO gate_standing (gate, number, document) VALUES (?1, ?2, ?3) \
     ON CONFLICT (gate) DO UPDATE SET number = excluded.number, document = excluded.document \
     WHERE gate_standing.number < excluded.number";

const FORGET_STANDING: &str = "DELETE FROM gate_standing WHERE gate = ?1";

const PUT_SESSION: &str = "INSERT INTO session (id, gate, device, segment, ended_at, since, document, \
     octets_from, octets_to) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (id) DO UPDATE SET \
     segment = excluded.segment, ended_at = excluded.ended_at, document = excluded.document, \
     octets_from = excluded.octets_from, octets_to = excluded.octets_to";

/// Adds to what was seen of a device what is new of a session, before the session itself is written.
/// Nothing is kept of a device that is in no inventory. A sum that no column holds stays at the most that
/// one does.
const ADD_PRESENCE: &str = "INSERT INTO presence \
     (device, first_seen, last_seen, octets_from, octets_to, place) \
     SELECT device.id, ?2, ?3, \
     CASE WHEN ?4 > COALESCE(known.octets_from, 0) THEN ?4 - COALESCE(known.octets_from, 0) ELSE 0 END, \
     CASE WHEN ?5 > COALESCE(known.octets_to, 0) THEN ?5 - COALESCE(known.octets_to, 0) ELSE 0 END, \
     ?6 FROM device LEFT JOIN session AS known ON known.id = ?7 WHERE device.id = ?1 \
     ON CONFLICT (device) DO UPDATE SET \
     first_seen = CASE WHEN excluded.first_seen < presence.first_seen \
     THEN excluded.first_seen ELSE presence.first_seen END, \
     place = CASE WHEN excluded.last_seen >= presence.last_seen \
     THEN excluded.place ELSE presence.place END, \
     last_seen = CASE WHEN excluded.last_seen > presence.last_seen \
     THEN excluded.last_seen ELSE presence.last_seen END, \
     octets_from = CASE WHEN presence.octets_from > 9223372036854775807 - excluded.octets_from \
     THEN 9223372036854775807 ELSE presence.octets_from + excluded.octets_from END, \
     octets_to = CASE WHEN presence.octets_to > 9223372036854775807 - excluded.octets_to \
     THEN 9223372036854775807 ELSE presence.octets_to + excluded.octets_to END";

/// Ends what is open of a gate: in the column, which is read beside the gate's own words.
const END_SESSIONS: &str = "UPDATE session SET ended_at = ?2 WHERE gate = ?1 AND ended_at = 0";

/// Forgets the sessions that ended before a time.
const FORGET_SESSIONS: &str = "DELETE FROM session WHERE ended_at > 0 AND ended_at < ?1";

const PUT_ADDRESS: &str = "INSERT INTO address (mac, device, version, segment, document) \
     VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (mac) DO UPDATE SET version = excluded.version, \
     segment = excluded.segment, document = excluded.document WHERE address.version = excluded.version - 1 \
     AND address.device = excluded.device";

const REMOVE_ADDRESS: &str = "DELETE FROM address WHERE mac = ?1 AND version = ?2";

const SELECT_ADDRESS_VERSION: &str = "SELECT version FROM address WHERE mac = ?1";

impl<'c> Batch<'_, 'c> {
    /// Asks whether what a decision took for granted still holds.
    pub(crate) async fn ask_admission(&mut self, guard: &Guard) -> Result<(), Stop> {
        match guard {
            Guard::SegmentVersion { name, expected } => {
                let what = "the segment";
                self.ask_for_version(SELECT_SEGMENT_VERSION, name, *expected, what)
                    .await
            }
            Guard::GateVersion { name, expected } => {
                self.ask_for_version(SELECT_GATE_VERSION, name, *expected, "the gate")
                    .await
            }
            Guard::AddressVersion { mac, expected } => {
                let mac = mac.to_string();
                self.ask_for_version(SELECT_ADDRESS_VERSION, &mac, *expected, "the address")
                    .await
            }
            Guard::SegmentUnused { name } => {
                let values = Values::new().text(name.as_str());
                let used = fetch_optional(self.connection(), SELECT_SEGMENT_USE, values).await?;
                match used {
                    Some(_) => Err(changed("the segment's use")),
                    None => Ok(()),
                }
            }
            Guard::GateCredentialGood { id } => {
                let values = Values::new().text(id.as_str());
                let sql = SELECT_GOOD_GATE_CREDENTIAL;
                let found = fetch_optional(self.connection(), sql, values).await?;
                found.map(|_| ()).ok_or_else(|| changed("the credential"))
            }
        }
    }

    async fn ask_for_version(
        &mut self,
        sql: &'static str,
        name: &str,
        expected: u64,
        what: &'static str,
    ) -> Result<(), Stop> {
        let row = fetch_optional(self.connection(), sql, Values::new().text(name)).await?;
        let found = row
            .map(|row| Columns::of(&row, "admission").count("version"))
            .transpose()?;
        if found.unwrap_or(0) == expected {
            Ok(())
        } else {
            Err(changed(what))
        }
    }

    /// Writes changes in their order.
    pub(crate) async fn write_admission(
        &mut self,
        changes: &[&Change],
        work: &mut Work<'c>,
    ) -> Result<(), Stop> {
        for change in changes {
            match change {
                Change::PutSegment(segment) => {
                    let values = versioned(&segment.name, segment.version, segment)?;
                    self.change_one(PUT_SEGMENT, values, "the segment", work)
                        .await?;
                }
                Change::RemoveSegment { name, expected } => {
                    let values = Values::new()
                        .text(name.as_str())
                        .number(stored_count(*expected));
                    self.change_one(REMOVE_SEGMENT, values, "the segment", work)
                        .await?;
                }
                Change::PutGate(gate) => {
                    let values = versioned(&gate.name, gate.version, gate)?;
                    self.change_one(PUT_GATE, values, "the gate", work).await?;
                }
                Change::PutGateCredential(credential) => {
                    let mut values = Values::new()
                        .text(credential.id.as_str())
                        .text(credential.gate.as_str());
                    values.push_optional_number(credential.revoked_at.map(millis));
                    let values = values.text(document(credential)?);
                    self.put(PUT_GATE_CREDENTIAL, values, work).await?;
                }
                Change::PutStanding(standing) => {
                    let values = versioned(&standing.gate, standing.number, standing)?;
                    self.change_one(PUT_STANDING, values, "the gate's report", work)
                        .await?;
                }
                Change::ForgetStanding { gate } => {
                    let values = Values::new().text(gate.as_str());
                    self.put(FORGET_STANDING, values, work).await?;
                }
                Change::EndSessions { gate, at } => {
                    let values = Values::new().text(gate.as_str());
                    let values = values.number(millis(*at));
                    self.put(END_SESSIONS, values, work).await?;
                }
                Change::PutSession(session) => self.put_session(session, work).await?,
                Change::PutAddress(address) => {
                    let mut values = Values::new()
                        .text(address.mac.to_string())
                        .text(name(address.device.as_bytes()))
                        .number(stored_count(address.version));
                    let segment = address.grant.as_ref().and_then(|it| it.segment.as_deref());
                    values.push_optional_text(segment);
                    let values = values.text(document(address)?);
                    self.change_one(PUT_ADDRESS, values, "the address", work)
                        .await?;
                }
                Change::RemoveAddress { mac, expected } => {
                    let values = Values::new()
                        .text(mac.to_string())
                        .number(stored_count(*expected));
                    self.change_one(REMOVE_ADDRESS, values, "the address", work)
                        .await?;
                }
            }
        }
        Ok(())
    }

    async fn put_session(&mut self, session: &Session, work: &mut Work<'c>) -> Result<(), Stop> {
        if let Some(ended) = session.ended {
            let before = ended
                .saturating_sub(SESSION_MEMORY)
                .unwrap_or(Timestamp::MIN);
            let values = Values::new().number(millis(before));
            self.put(FORGET_SESSIONS, values, work).await?;
        }
        let place = Place {
            gate: session.gate.clone(),
            access_point: session.access_point.clone(),
            is_weak: session.credential.is_none(),
        };
        let (from, to) = session.octets;
        let (from, to) = (stored_count(from), stored_count(to));
        let values = Values::new()
            .text(name(session.device.as_bytes()))
            .number(millis(session.since))
            .number(millis(session.seen))
            .number(from)
            .number(to)
            .text(document(&place)?)
            .text(session.id.as_str());
        self.put(ADD_PRESENCE, values, work).await?;
        let values = Values::new()
            .text(session.id.as_str())
            .text(session.gate.as_str())
            .text(name(session.device.as_bytes()))
            .text(session.segment.as_deref().unwrap_or_default())
            .number(session.ended.map_or(0, millis))
            .number(millis(session.since))
            .text(document(session)?)
            .number(from)
            .number(to);
        self.put(PUT_SESSION, values, work).await
    }
}

/// What to lock on PostgreSQL before this guard is asked.
pub(crate) fn subjects_of_guard(guard: &Guard, add: &mut impl FnMut(&[u8])) {
    match guard {
        Guard::SegmentVersion { name, .. }
        | Guard::SegmentUnused { name }
        | Guard::GateVersion { name, .. } => add(name.as_bytes()),
        Guard::AddressVersion { mac, .. } => add(&mac.0),
        Guard::GateCredentialGood { id } => add(id.as_str().as_bytes()),
    }
}

/// What to lock on PostgreSQL before this change is written.
pub(crate) fn subjects_of_change(change: &Change, add: &mut impl FnMut(&[u8])) {
    match change {
        Change::PutSegment(segment) => add(segment.name.as_bytes()),
        Change::RemoveSegment { name, .. } => add(name.as_bytes()),
        Change::PutGate(gate) => add(gate.name.as_bytes()),
        Change::PutGateCredential(credential) => {
            add(credential.gate.as_bytes());
            add(credential.id.as_str().as_bytes());
        }
        Change::PutStanding(standing) => add(standing.gate.as_bytes()),
        Change::ForgetStanding { gate } | Change::EndSessions { gate, .. } => {
            add(gate.as_bytes());
        }
        Change::PutSession(session) => {
            add(session.gate.as_bytes());
            add(session.device.as_bytes());
        }
        Change::PutAddress(address) => {
            add(&address.mac.0);
            add(address.device.as_bytes());
        }
        Change::RemoveAddress { mac, .. } => add(&mac.0),
    }
}

fn changed(what: &'static str) -> Stop {
    Stop::conflict(Conflict::Changed(what))
}

fn versioned(name: &str, number: u64, value: &impl Serialize) -> Result<Values, CommitError> {
    Ok(Values::new()
        .text(name)
        .number(stored_count(number))
        .text(document(value)?))
}

fn document(value: &impl Serialize) -> Result<String, CommitError> {
    serde_json::to_string(value).map_err(|error| CommitError::Invalid(error.to_string()))
}
