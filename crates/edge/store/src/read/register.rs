//! Manufacturers, owners, tokens, claims, policies, strangers.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use vouchsafe_fleet::admission::Presence;
use vouchsafe_fleet::claim::ClaimSubject;
use vouchsafe_fleet::commit::{PolicyRecord, Sighting};
use vouchsafe_fleet::{
    Claim, DeviceId, Digest, Manufacturer, ManufacturerId, Owner, OwnerId, Token, TokenId,
};

use crate::Store;
use crate::error::ReadError;
use crate::row::{Columns, millis, name};
use crate::statement::Values;
use crate::table::register;

/// What is claimed about a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimsAbout {
    /// The claims, by kind and issuer.
    pub claims: Vec<Claim>,
    /// Whether these are all. What is not among them could be what speaks against the device.
    pub is_whole: bool,
}

impl Store {
    /// The manufacturer of this name.
    ///
    /// # Errors
    /// [`ReadError`] when the engine does not answer or a row is damaged.
    pub async fn manufacturer(
        &self,
        id: ManufacturerId,
    ) -> Result<Option<Manufacturer>, ReadError> {
        const SQL: &str = "SELECT document FROM manufacturer WHERE id = ?1";
        self.document("manufacturer", SQL, Values::new().text(name(id.as_bytes())))
            .await
    }

    /// Manufacturers in the order of their names (ids), behind `after`, at most `limit`.
    ///
    /// # Errors
    /// As [`Store::manufacturer`].
    pub async fn manufacturers(
        &self,
        after: Option<ManufacturerId>,
        limit: u32,
    ) -> Result<Vec<Manufacturer>, ReadError> {
        const SQL: &str =
            "SELECT document FROM manufacturer WHERE id > ?1 ORDER BY id LIMIT ?2 + 0";
        let after = after.map(|id| name(id.as_bytes())).unwrap_or_default();
        let values = Values::new().text(after).number(i64::from(limit));
        self.documents("manufacturer", SQL, values).await
    }

    /// The owner of this name.
    ///
    /// # Errors
    /// As [`Store::manufacturer`].
    pub async fn owner(&self, id: OwnerId) -> Result<Option<Owner>, ReadError> {
        const SQL: &str = "SELECT document FROM owner WHERE id = ?1";
        self.document("owner", SQL, Values::new().text(name(id.as_bytes())))
            .await
    }

    /// Owners in the order of their names (ids), behind `after`, at most `limit`.
    ///
    /// # Errors
    /// As [`Store::manufacturer`].
    pub async fn owners(
        &self,
        after: Option<OwnerId>,
        limit: u32,
    ) -> Result<Vec<Owner>, ReadError> {
        const SQL: &str = "SELECT document FROM owner WHERE id > ?1 ORDER BY id LIMIT ?2 + 0";
        let after = after.map(|id| name(id.as_bytes())).unwrap_or_default();
        let values = Values::new().text(after).number(i64::from(limit));
        self.documents("owner", SQL, values).await
    }

    /// The token whose secret has this digest, whether it is valid or not.
    ///
    /// # Errors
    /// As [`Store::manufacturer`].
    pub async fn token_by_secret(&self, secret_sha256: Digest) -> Result<Option<Token>, ReadError> {
        const SQL: &str = "SELECT document FROM token WHERE secret_sha256 = ?1";
        self.document("token", SQL, Values::new().digest(secret_sha256))
            .await
    }

    /// The token of this name.
    ///
    /// # Errors
    /// As [`Store::manufacturer`].
    pub async fn token(&self, id: TokenId) -> Result<Option<Token>, ReadError> {
        const SQL: &str = "SELECT document FROM token WHERE id = ?1";
        self.document("token", SQL, Values::new().text(name(id.as_bytes())))
            .await
    }

    /// Tokens in the order of their names (ids), behind `after`, at most `limit`.
    ///
    /// # Errors
    /// As [`Store::manufacturer`].
    pub async fn tokens(
        &self,
        after: Option<TokenId>,
        limit: u32,
    ) -> Result<Vec<Token>, ReadError> {
        const SQL: &str = "SELECT document FROM token WHERE id > ?1 ORDER BY id LIMIT ?2 + 0";
        let after = after.map(|id| name(id.as_bytes())).unwrap_or_default();
        let values = Values::new().text(after).number(i64::from(limit));
        self.documents("token", SQL, values).await
    }

    /// What is claimed about a subject, at most `limit`. Expired claims are among them: silence
    /// is a fact too.
    ///
    /// # Errors
    /// As [`Store::manufacturer`].
    pub async fn claims(
        &self,
        subject: &ClaimSubject,
        limit: u32,
    ) -> Result<Vec<Claim>, ReadError> {
        const SQL: &str = "SELECT document FROM claim WHERE subject_kind = ?1 AND subject = ?2 \
             ORDER BY kind, issuer LIMIT ?3 + 0";
        let mut values = Values::new();
        register::bind_subject(subject, &mut values);
        self.few_documents("claim", SQL, values.number(i64::from(limit)))
            .await
    }

    /// What an issuer claims of this kind about a subject, run out or not.
    ///
    /// # Errors
    /// As [`Store::manufacturer`].
    pub async fn claim(
        &self,
        subject: &ClaimSubject,
        kind: &str,
        issuer: &str,
    ) -> Result<Option<Claim>, ReadError> {
        const SQL: &str = "SELECT document FROM claim WHERE subject_kind = ?1 AND subject = ?2 \
             AND kind = ?3 AND issuer = ?4";
        let mut values = Values::new();
        register::bind_subject(subject, &mut values);
        self.document("claim", SQL, values.text(kind).text(issuer))
            .await
    }

    /// How many claims of an issuer about a subject have not run out at `now`.
    ///
    /// # Errors
    /// As [`Store::manufacturer`].
    pub async fn claims_count(
        &self,
        subject: &ClaimSubject,
        issuer: &str,
        now: Timestamp,
    ) -> Result<usize, ReadError> {
        const SQL: &str = "SELECT cast(count(*) as bigint) AS claims FROM claim \
             WHERE subject_kind = ?1 AND subject = ?2 AND issuer = ?3 \
             AND (expires_at IS NULL OR expires_at > ?4)";
        let mut values = Values::new();
        register::bind_subject(subject, &mut values);
        let values = values.text(issuer).number(millis(now));
        let row = self.readers().fetch_optional(SQL, values).await?;
        let count = row
            .map(|row| Columns::of(&row, "claim").count("claims"))
            .transpose()?;
        Ok(count
            .and_then(|count| usize::try_from(count).ok())
            .unwrap_or(0))
    }

    /// What is claimed about a device and up to three other subjects and has not run out at `now`, by kind and
    /// issuer: all that bears on the device in one query, what gates saw of it among it. More subjects are not
    /// looked at, and at most `limit` rows: [`ClaimsAbout::is_whole`] says whether there are more.
    ///
    /// # Errors
    /// As [`Store::manufacturer`].
    pub async fn claims_about(
        &self,
        device: DeviceId,
        others: &[ClaimSubject],
        now: Timestamp,
        limit: u32,
    ) -> Result<ClaimsAbout, ReadError> {
        const SQL: &str = "SELECT document FROM claim WHERE subject_kind = ?1 AND subject = ?2 \
             AND (expires_at IS NULL OR expires_at > ?9) \
             UNION ALL SELECT document FROM claim WHERE subject_kind = ?3 AND subject = ?4 \
             AND (expires_at IS NULL OR expires_at > ?9) \
             UNION ALL SELECT document FROM claim WHERE subject_kind = ?5 AND subject = ?6 \
             AND (expires_at IS NULL OR expires_at > ?9) \
             UNION ALL SELECT document FROM claim WHERE subject_kind = ?7 AND subject = ?8 \
             AND (expires_at IS NULL OR expires_at > ?9) \
             UNION ALL SELECT '{\"first_seen\":' || CAST(first_seen AS TEXT) || ',\"last_seen\":' || \
             CAST(last_seen AS TEXT) || ',\"octets_from\":' || CAST(octets_from AS TEXT) || \
             ',\"octets_to\":' || CAST(octets_to AS TEXT) || ',\"place\":' || place || '}' \
             FROM presence WHERE device = ?2 LIMIT ?10 + 0";
        let mut values = Values::new();
        register::bind_subject(&ClaimSubject::Device { id: device }, &mut values);
        for subject in others.iter().take(3) {
            register::bind_subject(subject, &mut values);
        }
        for _absent in others.len()..3 {
            values = values.text("").text("");
        }
        // One more than may be is enough to know.
        let values = values.number(millis(now)).number(i64::from(limit) + 1);
        let rows = self.readers().fetch_few(SQL, values).await?;
        let limit = limit as usize;
        let mut found: Vec<Claim> = Vec::with_capacity(rows.len());
        for row in rows.iter().take(limit) {
            let row = Columns::of(row, "claim");
            match row.text("document")?.starts_with("{\"first_seen\"") {
                true => found.extend(row.document::<Presence>("document")?.claims(device)),
                false => found.push(row.document("document")?),
            }
        }
        found.sort_by(|one, other| (&one.kind, &one.issuer).cmp(&(&other.kind, &other.issuer)));
        Ok(ClaimsAbout {
            claims: found,
            is_whole: rows.len() <= limit,
        })
    }

    /// The policy in force: the one that came last.
    ///
    /// # Errors
    /// As [`Store::manufacturer`].
    pub async fn policy(&self) -> Result<Option<PolicyRecord>, ReadError> {
        Ok(self.policies(None, 1).await?.pop())
    }

    /// Policies, the latest first, before `before`, at most `limit`.
    ///
    /// # Errors
    /// As [`Store::manufacturer`].
    pub async fn policies(
        &self,
        before: Option<Timestamp>,
        limit: u32,
    ) -> Result<Vec<PolicyRecord>, ReadError> {
        const SQL: &str = "SELECT since, id, text, author FROM policy WHERE since < ?1 \
             ORDER BY since DESC, id DESC LIMIT ?2 + 0";
        let values = Values::new()
            .number(before.map_or(i64::MAX, millis))
            .number(i64::from(limit));
        let rows = self.readers().fetch_all(SQL, values).await?;
        rows.iter().map(register::read_policy).collect()
    }

    /// The stranger of this name, if it is remembered at `now`.
    ///
    /// # Errors
    /// As [`Store::manufacturer`].
    pub async fn sighting(
        &self,
        device: DeviceId,
        now: Timestamp,
    ) -> Result<Option<Sighting>, ReadError> {
        const SQL: &str = "SELECT * FROM sighting WHERE device = ?1 AND expires_at > ?2";
        let values = Values::new()
            .text(name(device.as_bytes()))
            .number(millis(now));
        let row = self.readers().fetch_optional(SQL, values).await?;
        row.as_ref().map(register::read_sighting).transpose()
    }

    /// How many strangers are remembered at `now`, counted up to `most`.
    ///
    /// # Errors
    /// As [`Store::manufacturer`].
    pub async fn sightings_count(&self, now: Timestamp, most: u32) -> Result<u32, ReadError> {
        const SQL: &str = "SELECT cast(count(*) as bigint) AS strangers FROM \
             (SELECT 1 FROM sighting WHERE expires_at > ?1 LIMIT ?2 + 0) AS remembered";
        let values = Values::new().number(millis(now)).number(i64::from(most));
        let row = self.readers().fetch_optional(SQL, values).await?;
        let count = row
            .map(|row| Columns::of(&row, "sighting").count("strangers"))
            .transpose()?;
        Ok(count
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(0))
    }

    /// Strangers remembered at `now`, the first to be forgotten first, at most `limit`.
    ///
    /// # Errors
    /// As [`Store::manufacturer`].
    pub async fn sightings(&self, now: Timestamp, limit: u32) -> Result<Vec<Sighting>, ReadError> {
        const SQL: &str =
            "SELECT * FROM sighting WHERE expires_at > ?1 ORDER BY expires_at LIMIT ?2 + 0";
        let values = Values::new().number(millis(now)).number(i64::from(limit));
        let rows = self.readers().fetch_all(SQL, values).await?;
        rows.iter().map(register::read_sighting).collect()
    }

    async fn document<T: DeserializeOwned>(
        &self,
        table: &'static str,
        sql: &'static str,
        values: Values,
    ) -> Result<Option<T>, ReadError> {
        let row = self.readers().fetch_optional(sql, values).await?;
        row.map(|row| Columns::of(&row, table).document("document"))
            .transpose()
    }

    async fn few_documents<T: DeserializeOwned>(
        &self,
        table: &'static str,
        sql: &'static str,
        values: Values,
    ) -> Result<Vec<T>, ReadError> {
        let rows = self.readers().fetch_few(sql, values).await?;
        rows.iter()
            .map(|row| Columns::of(row, table).document("document"))
            .collect()
    }

    async fn documents<T: DeserializeOwned>(
        &self,
        table: &'static str,
        sql: &'static str,
        values: Values,
    ) -> Result<Vec<T>, ReadError> {
        let rows = self.readers().fetch_all(sql, values).await?;
        rows.iter()
            .map(|row| Columns::of(row, table).document("document"))
            .collect()
    }
}
