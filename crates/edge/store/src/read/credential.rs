//! Credentials, by device, number, key and request.

use jiff::Timestamp;
use vouchsafe_fleet::{Credential, CredentialId, DeviceId, Digest};

use super::MOST_OF_A_DEVICE;
use crate::Store;
use crate::error::ReadError;
use crate::row::{millis, name};
use crate::statement::Values;
use crate::table::credential;

/// Which credentials a list shows. Empty means all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CredentialFilter {
    /// Of this device.
    pub device: Option<DeviceId>,
    /// With this status, as
    /// [`CredentialStatus::as_str`](vouchsafe_fleet::CredentialStatus::as_str) says it.
    pub status: Option<&'static str>,
}

impl Store {
    /// Credentials in the order of their numbers, behind `after`, at most `limit`. A status that
    /// few have is looked for in all of them: for people, not for each request.
    ///
    /// # Errors
    /// As [`Store::credentials`].
    pub async fn list_credentials(
        &self,
        filter: &CredentialFilter,
        after: Option<&CredentialId>,
        limit: u32,
    ) -> Result<Vec<Credential>, ReadError> {
        const ALL: &str = "SELECT * FROM credential WHERE id > ?1 \
             AND (?2 = '' OR status = ?2) ORDER BY id LIMIT ?3 + 0";
        let after = after.map_or("", |id| id.as_str());
        let status = filter.status.unwrap_or("");
        let Some(device) = filter.device else {
            let values = Values::new().text(after).text(status);
            return self
                .read_credentials(ALL, values.number(i64::from(limit)))
                .await;
        };
        let mut few = self.credentials(device).await?;
        few.retain(|credential| {
            credential.id.as_str() > after
                && (status.is_empty() || credential.status.as_str() == status)
        });
        few.sort_by(|one, other| one.id.cmp(&other.id));
        few.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(few)
    }

    /// A device's credentials, whatever became of them, oldest first: of very many those that end last.
    ///
    /// # Errors
    /// [`ReadError`] when the engine does not answer or a row is damaged.
    pub async fn credentials(&self, device: DeviceId) -> Result<Vec<Credential>, ReadError> {
        const SQL: &str = "SELECT * FROM credential WHERE device = ?1 \
             ORDER BY not_after DESC, id DESC LIMIT ?2 + 0";
        let values = Values::new()
            .text(name(device.as_bytes()))
            .number(MOST_OF_A_DEVICE);
        self.few_credentials(SQL, values).await
    }

    /// A device's credentials that count ([`Credential::counts`]), oldest first. There are at most
    /// [`MAX_HELD`](vouchsafe_fleet::credential::MAX_HELD).
    ///
    /// # Errors
    /// As [`Store::credentials`].
    pub async fn credentials_that_count(
        &self,
        device: DeviceId,
        now: Timestamp,
    ) -> Result<Vec<Credential>, ReadError> {
        const SQL: &str = "SELECT * FROM credential WHERE device = ?1 AND not_after > ?2 \
             AND status <> 'revoked' ORDER BY not_after DESC, id DESC LIMIT ?3 + 0";
        let values = Values::new()
            .text(name(device.as_bytes()))
            .number(millis(now))
            .number(MOST_OF_A_DEVICE);
        self.few_credentials(SQL, values).await
    }

    /// A device's credentials that count, and the one that answers this certificate request
    /// whether it still counts or not, oldest first: what a request for another stands on.
    ///
    /// # Errors
    /// As [`Store::credentials`].
    pub async fn counting_or_answering(
        &self,
        device: DeviceId,
        request_sha256: Digest,
        now: Timestamp,
    ) -> Result<Vec<Credential>, ReadError> {
        const SQL: &str = "SELECT * FROM credential WHERE device = ?1 \
             AND (request_sha256 = ?2 OR not_after > ?3 AND status <> 'revoked') \
             ORDER BY not_after DESC, id DESC LIMIT ?4 + 0";
        let values = Values::new()
            .text(name(device.as_bytes()))
            .digest(request_sha256)
            .number(millis(now))
            .number(MOST_OF_A_DEVICE);
        self.few_credentials(SQL, values).await
    }

    /// The credential with this certificate serial number.
    ///
    /// # Errors
    /// As [`Store::credentials`].
    pub async fn credential(&self, id: &CredentialId) -> Result<Option<Credential>, ReadError> {
        const SQL: &str = "SELECT * FROM credential WHERE id = ?1";
        self.read_credential(SQL, Values::new().text(id.as_str()))
            .await
    }

    /// The latest credential for this key.
    ///
    /// # Errors
    /// As [`Store::credentials`].
    pub async fn credential_by_spki(
        &self,
        spki_sha256: Digest,
    ) -> Result<Option<Credential>, ReadError> {
        const SQL: &str =
            "SELECT * FROM credential WHERE spki_sha256 = ?1 ORDER BY issued_at DESC LIMIT 1";
        self.read_credential(SQL, Values::new().digest(spki_sha256))
            .await
    }

    async fn few_credentials(
        &self,
        sql: &'static str,
        values: Values,
    ) -> Result<Vec<Credential>, ReadError> {
        let rows = self.readers().fetch_few(sql, values).await?;
        let found: Result<Vec<Credential>, _> = rows.iter().map(credential::read).collect();
        let mut found = found?;
        found.sort_by(|one, other| (one.issued_at, &one.id).cmp(&(other.issued_at, &other.id)));
        Ok(found)
    }

    async fn read_credential(
        &self,
        sql: &'static str,
        values: Values,
    ) -> Result<Option<Credential>, ReadError> {
        let row = self.readers().fetch_optional(sql, values).await?;
        row.as_ref().map(credential::read).transpose()
    }

    async fn read_credentials(
        &self,
        sql: &'static str,
        values: Values,
    ) -> Result<Vec<Credential>, ReadError> {
        let rows = self.readers().fetch_all(sql, values).await?;
        rows.iter().map(credential::read).collect()
    }
}
