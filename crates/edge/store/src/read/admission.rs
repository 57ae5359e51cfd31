//! Segments, gates, and what gates reported.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use vouchsafe_fleet::admission::{
    ClaimedAddress, Gate, GateCredential, MacAddress, Presence, Segment, Session, Standing,
};
use vouchsafe_fleet::{CredentialId, DeviceId};

use super::{MOST_OF_A_DEVICE, Readable};
use crate::Store;
use crate::error::ReadError;
use crate::row::{Columns, Row, name};
use crate::statement::Values;
use crate::table::admission;

/// Which sessions a list shows. Empty means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// Of this device.
    pub device: Option<DeviceId>,
    /// At this gate.
    pub gate: Option<String>,
    /// In this segment.
    pub segment: Option<String>,
    /// Only those that have ended, or only those that have not.
    pub ended: Option<bool>,
}

impl SessionFilter {
    fn admits(&self, session: &Session) -> bool {
        self.device.is_none_or(|device| device == session.device)
            && self.gate.as_ref().is_none_or(|gate| *gate == session.gate)
            && (self.segment.is_none() || self.segment == session.segment)
            && self
                .ended
                .is_none_or(|ended| ended == session.ended.is_some())
    }
}

impl Store {
    /// The segment of this name.
    ///
    /// # Errors
    /// [`ReadError`] when the engine does not answer or a row is damaged.
    pub async fn segment(&self, name: &str) -> Result<Option<Segment>, ReadError> {
        const SQL: &str = "SELECT document FROM segment WHERE name = ?1";
        self.admission_document(SQL, Values::new().text(name)).await
    }

    /// Segments in the order of their names, behind `after`, at most `limit`.
    ///
    /// # Errors
    /// As [`Store::segment`].
    pub async fn segments(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Segment>, ReadError> {
        const SQL: &str = "SELECT document FROM segment WHERE name > ?1 ORDER BY name LIMIT ?2 + 0";
        let values = Values::new().text(after.unwrap_or_default());
        self.admission_documents(SQL, values.number(i64::from(limit)))
            .await
    }

    /// Whether a device or a network is meant for this segment.
    ///
    /// # Errors
    /// As [`Store::segment`].
    pub async fn segment_in_use(&self, name: &str) -> Result<bool, ReadError> {
        let values = Values::new().text(name);
        let sql = admission::SELECT_SEGMENT_USE;
        Ok(self.readers().fetch_optional(sql, values).await?.is_some())
    }

    /// The gate of this name, in good standing or not.
    ///
    /// # Errors
    /// As [`Store::segment`].
    pub async fn gate(&self, name: &str) -> Result<Option<Gate>, ReadError> {
        const SQL: &str = "SELECT document FROM gate WHERE name = ?1";
        self.admission_document(SQL, Values::new().text(name)).await
    }

    /// Gates in the order of their names, behind `after`, at most `limit`.
    ///
    /// # Errors
    /// As [`Store::segment`].
    pub async fn gates(&self, after: Option<&str>, limit: u32) -> Result<Vec<Gate>, ReadError> {
        const SQL: &str = "SELECT document FROM gate WHERE name > ?1 ORDER BY name LIMIT ?2 + 0";
        let values = Values::new().text(after.unwrap_or_default());
        self.admission_documents(SQL, values.number(i64::from(limit)))
            .await
    }

    /// A gate's certificate by its serial number.
    ///
    /// # Errors
    /// As [`Store::segment`].
    pub async fn gate_credential(
        &self,
        id: &CredentialId,
    ) -> Result<Option<GateCredential>, ReadError> {
        const SQL: &str = "SELECT document FROM gate_credential WHERE id = ?1";
        self.admission_document(SQL, Values::new().text(id.as_str()))
            .await
    }

    /// All certificates of a gate that were not revoked, however many there are.
    ///
    /// # Errors
    /// As [`Store::segment`].
    pub async fn gate_credentials(&self, gate: &str) -> Result<Vec<GateCredential>, ReadError> {
        const SQL: &str = "SELECT document FROM gate_credential WHERE gate = ?1 AND id > ?2 \
             AND revoked_at IS NULL ORDER BY id LIMIT ?3 + 0";
        let mut found: Vec<GateCredential> = Vec::new();
        loop {
            let behind = found.last().map_or("", |last| last.id.as_str());
            let values = Values::new().text(gate).text(behind);
            let values = values.number(MOST_OF_A_DEVICE);
            let page: Vec<GateCredential> = self.admission_documents(SQL, values).await?;
            if page.is_empty() {
                return Ok(found);
            }
            found.extend(page);
        }
    }

    /// The newest report that was taken of a gate.
    ///
    /// # Errors
    /// As [`Store::segment`].
    pub async fn gate_standing(&self, gate: &str) -> Result<Option<Standing>, ReadError> {
        const SQL: &str = "SELECT document FROM gate_standing WHERE gate = ?1";
        self.admission_document(SQL, Values::new().text(gate)).await
    }

    /// The session of this name.
    ///
    /// # Errors
    /// As [`Store::segment`].
    pub async fn session(&self, id: &str) -> Result<Option<Session>, ReadError> {
        const SQL: &str = "SELECT document, ended_at FROM session WHERE id = ?1";
        let values = Values::new().text(id);
        let row = self.readers().fetch_optional(SQL, values).await?;
        row.as_ref().map(read_session).transpose()
    }

    /// The newest sessions of a device, the newest first, at most `limit`.
    ///
    /// # Errors
    /// As [`Store::segment`].
    pub async fn device_sessions(
        &self,
        device: DeviceId,
        limit: u32,
    ) -> Result<Vec<Session>, ReadError> {
        const SQL: &str = "SELECT document, ended_at FROM session WHERE device = ?1 \
             ORDER BY since DESC, id DESC LIMIT ?2 + 0";
        let values = Values::new().text(name(device.as_bytes()));
        self.read_sessions(SQL, values.number(i64::from(limit)))
            .await
    }

    /// The sessions of a device at a gate that have not ended, the newest first.
    ///
    /// # Errors
    /// As [`Store::segment`].
    pub async fn open_sessions(
        &self,
        device: DeviceId,
        gate: &str,
    ) -> Result<Vec<Session>, ReadError> {
        // Found by the device, of which there are few, not by what all open sessions share: no index
        // holds what is computed.
        const SQL: &str = "SELECT document, ended_at FROM session WHERE device = ?1 \
             AND gate || '' = ?2 AND ended_at + 0 = 0 ORDER BY since DESC, id DESC LIMIT ?3 + 0";
        let values = Values::new().text(name(device.as_bytes())).text(gate);
        self.read_sessions(SQL, values.number(MOST_OF_A_DEVICE))
            .await
    }

    /// Sessions in the order of their names, behind `after`, at most `limit`.
    ///
    /// # Errors
    /// As [`Store::segment`].
    pub async fn sessions(
        &self,
        filter: &SessionFilter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Session>, ReadError> {
        const ALL: &str =
            "SELECT document, ended_at FROM session WHERE id > ?1 ORDER BY id LIMIT ?2 + 0";
        const AT_GATE: &str = "SELECT document, ended_at FROM session WHERE gate = ?3 AND id > ?1 \
             ORDER BY id LIMIT ?2 + 0";
        const IN_SEGMENT: &str = "SELECT document, ended_at FROM session WHERE segment = ?3 AND id > ?1 \
             ORDER BY id LIMIT ?2 + 0";
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut found: Vec<Session> = Vec::new();
        if let Some(device) = filter.device {
            found = self.device_sessions(device, 1024).await?;
            found.retain(|session| {
                filter.admits(session) && after.is_none_or(|after| session.id.as_str() > after)
            });
            found.sort_by(|one, other| one.id.cmp(&other.id));
            found.truncate(most);
            return Ok(found);
        }
        let mut behind = after.unwrap_or_default().to_owned();
        while found.len() < most {
            let values = Values::new().text(behind.as_str()).number(i64::from(limit));
            let (sql, values) = match (&filter.gate, &filter.segment) {
                (Some(gate), _) => (AT_GATE, values.text(gate.as_str())),
                (None, Some(segment)) => (IN_SEGMENT, values.text(segment.as_str())),
                (None, None) => (ALL, values),
            };
            let page = self.read_sessions(sql, values).await?;
            let is_last = page.len() < most;
            if let Some(last) = page.last() {
                behind.clone_from(&last.id);
            }
            found.extend(page.into_iter().filter(|session| filter.admits(session)));
            if is_last {
                break;
            }
        }
        found.truncate(most);
        Ok(found)
    }

    async fn read_sessions(
        &self,
        sql: &'static str,
        values: Values,
    ) -> Result<Vec<Session>, ReadError> {
        let rows = self.readers().fetch_all(sql, values).await?;
        rows.iter().map(read_session).collect()
    }

    /// What gates saw of a device, if any did.
    ///
    /// # Errors
    /// As [`Store::segment`].
    pub async fn presence(&self, device: DeviceId) -> Result<Option<Presence>, ReadError> {
        const SQL: &str = "SELECT * FROM presence WHERE device = ?1";
        let values = Values::new().text(name(device.as_bytes()));
        let row = self.readers().fetch_optional(SQL, values).await?;
        let read = |row: &Row| {
            let row = Columns::of(row, "presence");
            Ok(Presence {
                first_seen: row.time("first_seen")?,
                last_seen: row.time("last_seen")?,
                octets_from: row.count("octets_from")?,
                octets_to: row.count("octets_to")?,
                place: row.document("place")?,
            })
        };
        row.as_ref().map(read).transpose()
    }

    /// Whose a MAC address is, if anybody claimed it.
    ///
    /// # Errors
    /// As [`Store::segment`].
    pub async fn address(&self, mac: MacAddress) -> Result<Option<ClaimedAddress>, ReadError> {
        const SQL: &str = "SELECT document FROM address WHERE mac = ?1";
        self.admission_document(SQL, Values::new().text(mac.to_string()))
            .await
    }

    /// The MAC addresses of a device, in their order.
    ///
    /// # Errors
    /// As [`Store::segment`].
    pub async fn addresses(&self, device: DeviceId) -> Result<Vec<ClaimedAddress>, ReadError> {
        const SQL: &str =
            "SELECT document FROM address WHERE device = ?1 ORDER BY mac LIMIT ?2 + 0";
        let values = Values::new().text(name(device.as_bytes()));
        self.admission_documents(SQL, values.number(MOST_OF_A_DEVICE))
            .await
    }

    /// MAC addresses of all devices in their order, behind `after`, at most `limit`.
    ///
    /// # Errors
    /// As [`Store::segment`].
    pub async fn all_addresses(
        &self,
        after: Option<MacAddress>,
        limit: u32,
    ) -> Result<Readable<ClaimedAddress, MacAddress>, ReadError> {
        const SQL: &str =
            "SELECT mac, document FROM address WHERE mac > ?1 ORDER BY mac LIMIT ?2 + 0";
        let after = after.map(|mac| mac.to_string()).unwrap_or_default();
        let values = Values::new().text(after).number(i64::from(limit));
        let rows = self.readers().fetch_all(SQL, values).await?;
        Readable::of(
            &rows,
            |row| Columns::of(row, "address").document("document"),
            |row| {
                let row = Columns::of(row, "address");
                MacAddress::parse(&row.text("mac")?).map_err(|error| row.damaged("mac", error))
            },
        )
    }

    async fn admission_document<T: DeserializeOwned>(
        &self,
        sql: &'static str,
        values: Values,
    ) -> Result<Option<T>, ReadError> {
        let row = self.readers().fetch_optional(sql, values).await?;
        row.map(|row| Columns::of(&row, "admission").document("document"))
            .transpose()
    }

    async fn admission_documents<T: DeserializeOwned>(
        &self,
        sql: &'static str,
        values: Values,
    ) -> Result<Vec<T>, ReadError> {
        let rows = self.readers().fetch_all(sql, values).await?;
        rows.iter()
            .map(|row| Columns::of(row, "admission").document("document"))
            .collect()
    }
}

/// Reads a session. Where its gate began anew and said nothing of its end, only the column has it.
fn read_session(row: &Row) -> Result<Session, ReadError> {
    let row = Columns::of(row, "session");
    let session: Session = row.document("document")?;
    let ended = row.time("ended_at")?;
    let ended = (ended != Timestamp::UNIX_EPOCH).then_some(ended);
    Ok(Session {
        ended: session.ended.or(ended),
        ..session
    })
}
