//! Networks, bootstrapping keys, announcements, and what devices hold.

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use vouchsafe_fleet::wifi::{
    AccessCredential, Announcement, BootstrappingKey, Holdings, Network, Standing,
};
use vouchsafe_fleet::{CredentialId, CredentialStatus, DeviceId, Digest};

use super::{MOST_OF_A_DEVICE, Readable};
use crate::Store;
use crate::error::ReadError;
use crate::row::{Columns, Row, millis, name};
use crate::statement::Values;
use crate::table::wifi;

/// Which bootstrapping keys a list shows. Empty means all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeyFilter {
    /// Of this device.
    pub device: Option<DeviceId>,
    /// Only those that are claimed for a second device.
    pub conflicts: bool,
}

impl Store {
    /// The network of this name.
    ///
    /// # Errors
    /// [`ReadError`] when the engine does not answer or a row is damaged.
    pub async fn network(&self, name: &str) -> Result<Option<Network>, ReadError> {
        const SQL: &str = "SELECT document FROM network WHERE name = ?1";
        self.wifi_document(SQL, Values::new().text(name)).await
    }

    /// Networks by name, behind `after`, at most `limit`.
    ///
    /// # Errors
    /// As [`Store::network`].
    pub async fn networks(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Network>, ReadError> {
        const SQL: &str = "SELECT document FROM network WHERE name > ?1 ORDER BY name LIMIT ?2 + 0";
        let values = Values::new()
            .text(after.unwrap_or_default())
            .number(i64::from(limit));
        // A site has a handful, and every configuration begins with them.
        let rows = self.readers().fetch_few(SQL, values).await?;
        documents(&rows)
    }

    /// Whether a device is meant for this network, was configured for it, or has a credential of it.
    ///
    /// # Errors
    /// As [`Store::network`].
    pub async fn network_in_use(&self, name: &str) -> Result<bool, ReadError> {
        let values = Values::new().text(name);
        let sql = wifi::SELECT_NETWORK_USE;
        Ok(self.readers().fetch_optional(sql, values).await?.is_some())
    }

    /// The bootstrapping key with this hash (SHA-256 of its SubjectPublicKeyInfo).
    ///
    /// # Errors
    /// As [`Store::network`].
    pub async fn bootstrapping_key(
        &self,
        id: Digest,
    ) -> Result<Option<BootstrappingKey>, ReadError> {
        const SQL: &str = "SELECT document FROM bootstrapping_key WHERE id = ?1";
        self.wifi_document(SQL, Values::new().digest(id)).await
    }

    /// The bootstrapping key with this chirp hash: how a device announces itself.
    ///
    /// # Errors
    /// As [`Store::network`].
    pub async fn bootstrapping_key_by_chirp(
        &self,
        chirp_hash: Digest,
    ) -> Result<Option<BootstrappingKey>, ReadError> {
        const SQL: &str = "SELECT document FROM bootstrapping_key WHERE chirp_hash = ?1";
        self.wifi_document(SQL, Values::new().digest(chirp_hash))
            .await
    }

    /// The bootstrapping key after which a device of this name would be named
    /// ([`DeviceId::of_bootstrapping_key`]), whosever it is now.
    ///
    /// # Errors
    /// As [`Store::network`].
    pub async fn bootstrapping_key_by_record(
        &self,
        record: DeviceId,
    ) -> Result<Option<BootstrappingKey>, ReadError> {
        const SQL: &str = "SELECT document FROM bootstrapping_key WHERE record = ?1";
        self.wifi_document(SQL, Values::new().text(name(record.as_bytes())))
            .await
    }

    /// Bootstrapping keys in the order of their hashes, behind `after`, at most `limit`.
    ///
    /// # Errors
    /// As [`Store::network`].
    pub async fn bootstrapping_keys(
        &self,
        filter: &KeyFilter,
        after: Option<Digest>,
        limit: u32,
    ) -> Result<Vec<BootstrappingKey>, ReadError> {
        const ALL: &str =
            "SELECT document FROM bootstrapping_key WHERE id > ?1 ORDER BY id LIMIT ?2 + 0";
        const OF_DEVICE: &str = "SELECT document FROM bootstrapping_key WHERE device = ?3 \
             AND id > ?1 ORDER BY id LIMIT ?2 + 0";
        let mut values = Values::new();
        values.push_bytes(after.map(|id| id.0.to_vec()).unwrap_or_default());
        let values = values.number(i64::from(limit));
        if filter.conflicts {
            let mut found = self.disputed_keys(after, limit).await?;
            found.retain(|key| filter.device.is_none_or(|device| device == key.device));
            return Ok(found);
        }
        match filter.device {
            Some(device) => {
                let values = values.text(name(device.as_bytes()));
                self.wifi_documents(OF_DEVICE, values).await
            }
            None => self.wifi_documents(ALL, values).await,
        }
    }

    /// Keys that are claimed for a second device: few, and put in order after they are found.
    async fn disputed_keys(
        &self,
        after: Option<Digest>,
        limit: u32,
    ) -> Result<Vec<BootstrappingKey>, ReadError> {
        const SQL: &str = "SELECT document FROM bootstrapping_key WHERE conflict_at > ?1 \
             ORDER BY conflict_at, id LIMIT ?2 + 0";
        let values = Values::new().number(i64::MIN).number(MOST_DISPUTED);
        let mut found: Vec<BootstrappingKey> = self.wifi_documents(SQL, values).await?;
        found.retain(|key| after.is_none_or(|after| key.id > after));
        found.sort_by_key(|key| key.id);
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }

    /// What is remembered at `now` of a hash that somebody showed.
    ///
    /// # Errors
    /// As [`Store::network`].
    pub async fn announcement(
        &self,
        hash: Digest,
        now: Timestamp,
    ) -> Result<Option<Announcement>, ReadError> {
        const SQL: &str = "SELECT document FROM announcement WHERE hash = ?1 AND expires_at > ?2";
        let values = Values::new().digest(hash).number(millis(now));
        self.wifi_document(SQL, values).await
    }

    /// Announcements of unknown keys that are remembered at `now`, the latest first, at most
    /// `limit`.
    ///
    /// # Errors
    /// As [`Store::network`].
    pub async fn unmatched_announcements(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Announcement>, ReadError> {
        const SQL: &str = "SELECT document FROM announcement WHERE device = '' \
             AND expires_at > ?1 ORDER BY expires_at DESC, hash DESC LIMIT ?2 + 0";
        let values = Values::new().number(millis(now)).number(i64::from(limit));
        self.wifi_documents(SQL, values).await
    }

    /// How many of them there are, counted up to `most`.
    ///
    /// # Errors
    /// As [`Store::network`].
    pub async fn unmatched_count(&self, now: Timestamp, most: u32) -> Result<u32, ReadError> {
        const SQL: &str = "SELECT cast(count(*) as bigint) AS unmatched FROM \
             (SELECT 1 FROM announcement WHERE device = '' AND expires_at > ?1 LIMIT ?2 + 0) \
             AS remembered";
        let values = Values::new().number(millis(now)).number(i64::from(most));
        let row = self.readers().fetch_optional(SQL, values).await?;
        let count = row
            .map(|row| Columns::of(&row, "announcement").count("unmatched"))
            .transpose()?;
        Ok(count
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(0))
    }

    /// Where a device stands with Wi-Fi, if it ever had to do with it.
    ///
    /// # Errors
    /// As [`Store::network`].
    pub async fn wifi_standing(&self, device: DeviceId) -> Result<Option<Standing>, ReadError> {
        const SQL: &str = "SELECT document FROM wifi_standing WHERE device = ?1";
        let values = Values::new().text(name(device.as_bytes()));
        self.wifi_document(SQL, values).await
    }

    /// What a device holds: its standing, and its access credentials that are not revoked, oldest first.
    /// Of very many that were superseded, those that were issued last.
    ///
    /// # Errors
    /// As [`Store::network`].
    pub async fn holdings(&self, device: DeviceId) -> Result<Holdings, ReadError> {
        let mut holdings = self.active_holdings(device).await?;
        let superseded = CredentialStatus::Superseded;
        holdings
            .access
            .extend(self.access_of(device, superseded).await?);
        in_order(&mut holdings.access);
        Ok(holdings)
    }

    /// The same without what was superseded: as much for a device that was configured once as for one
    /// that was a thousand times.
    ///
    /// # Errors
    /// As [`Store::network`].
    pub async fn active_holdings(&self, device: DeviceId) -> Result<Holdings, ReadError> {
        let mut access = self.access_of(device, CredentialStatus::Active).await?;
        in_order(&mut access);
        Ok(Holdings {
            standing: self.wifi_standing(device).await?,
            access,
        })
    }

    async fn access_of(
        &self,
        device: DeviceId,
        status: CredentialStatus,
    ) -> Result<Vec<AccessCredential>, ReadError> {
        const SQL: &str = "SELECT * FROM access_credential WHERE device = ?1 AND status = ?2 \
             ORDER BY issued_at DESC, id DESC LIMIT ?3 + 0";
        let values = Values::new()
            .text(name(device.as_bytes()))
            .text(status.as_str())
            .number(MOST_OF_A_DEVICE);
        let rows = self.readers().fetch_few(SQL, values).await?;
        rows.iter().map(wifi::read_access).collect()
    }

    /// All access credentials of a device, also those that are revoked, oldest first. Of very many that were
    /// superseded not all.
    ///
    /// # Errors
    /// As [`Store::network`].
    pub async fn access_credentials(
        &self,
        device: DeviceId,
    ) -> Result<Vec<AccessCredential>, ReadError> {
        const SQL: &str = "SELECT * FROM access_credential WHERE device = ?1 \
             ORDER BY status, issued_at, id LIMIT ?2 + 0";
        let values = Values::new()
            .text(name(device.as_bytes()))
            .number(MOST_OF_A_DEVICE);
        let mut found = self.read_access(SQL, values).await?;
        in_order(&mut found);
        Ok(found)
    }

    /// The latest connector for this `netAccessKey` (SHA-256 of its SubjectPublicKeyInfo).
    ///
    /// # Errors
    /// As [`Store::network`].
    pub async fn connector_by_key(
        &self,
        key_sha256: Digest,
    ) -> Result<Option<AccessCredential>, ReadError> {
        const SQL: &str = "SELECT * FROM access_credential WHERE key_sha256 = ?1 \
             ORDER BY issued_at DESC LIMIT 1";
        let found = self
            .read_access(SQL, Values::new().digest(key_sha256))
            .await?;
        Ok(found.into_iter().next())
    }

    /// The passphrases that open a network: active ones of devices that are onboarded, in the
    /// order of their ids, behind `after`, at most `limit`. What a device in quarantine has is not
    /// among them.
    ///
    /// # Errors
    /// As [`Store::network`].
    pub async fn passphrases_in_force(
        &self,
        network: &str,
        after: Option<&CredentialId>,
        limit: u32,
    ) -> Result<Readable<AccessCredential, CredentialId>, ReadError> {
        const SQL: &str = "SELECT access_credential.* FROM access_credential \
             JOIN device ON device.id = access_credential.device AND device.state = 'onboarded' \
             WHERE network = ?1 AND status = 'active' AND kind = 'passphrase' \
             AND access_credential.id > ?2 ORDER BY access_credential.id LIMIT ?3 + 0";
        let values = Values::new()
            .text(network)
            .text(after.map_or("", |id| id.as_str()))
            .number(i64::from(limit));
        let rows = self.readers().fetch_all(SQL, values).await?;
        Readable::of(&rows, wifi::read_access, |row| {
            Ok(CredentialId(
                Columns::of(row, "access_credential").text("id")?,
            ))
        })
    }

    async fn read_access(
        &self,
        sql: &'static str,
        values: Values,
    ) -> Result<Vec<AccessCredential>, ReadError> {
        let rows = self.readers().fetch_all(sql, values).await?;
        rows.iter().map(wifi::read_access).collect()
    }

    async fn wifi_document<T: DeserializeOwned>(
        &self,
        sql: &'static str,
        values: Values,
    ) -> Result<Option<T>, ReadError> {
        let row = self.readers().fetch_optional(sql, values).await?;
        row.map(|row| Columns::of(&row, "wifi").document("document"))
            .transpose()
    }

    async fn wifi_documents<T: DeserializeOwned>(
        &self,
        sql: &'static str,
        values: Values,
    ) -> Result<Vec<T>, ReadError> {
        let rows = self.readers().fetch_all(sql, values).await?;
        documents(&rows)
    }
}

/// Oldest first.
fn in_order(access: &mut [AccessCredential]) {
    access.sort_by(|one, other| (one.issued_at, &one.id).cmp(&(other.issued_at, &other.id)));
}

fn documents<T: DeserializeOwned>(rows: &[Row]) -> Result<Vec<T>, ReadError> {
    rows.iter()
        .map(|row| Columns::of(row, "wifi").document("document"))
        .collect()
}

/// Most disputed keys that are put in order.
const MOST_DISPUTED: i64 = 10_000;
