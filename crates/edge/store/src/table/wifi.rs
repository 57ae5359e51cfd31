//! `network`, `bootstrapping_key`, `announcement`, `access_credential`, `wifi_standing`: what Wi-Fi
//! Easy Connect keeps.
//!
//! There is little of it and it changes seldom, so each change is a statement of its own. A put
//! counts the version itself: it replaces the version before, or nothing.

use serde::Serialize;

use vouchsafe_fleet::credential::CredentialStatus;
use vouchsafe_fleet::wifi::{
    AccessCredential, AccessKind, Announcement, BootstrappingKey, Change, Guard, Network,
    SealedPassphrase, Standing,
};
use vouchsafe_fleet::{CredentialId, DeviceId};

use crate::batch::{Batch, Work};
use crate::error::{CommitError, Conflict, ReadError};
use crate::row::{Columns, Row, millis, name, stored_count};
use crate::statement::{Values, fetch_optional};
use crate::stop::Stop;

const PUT_NETWORK: &str = "INSERT INTO network (name, version, segment, document) \
     VALUES (?1, ?2, ?3, ?4) ON CONFLICT (name) DO UPDATE SET version = excluded.version, \
     segment = excluded.segment, document = excluded.document \
     WHERE network.version = excluded.version - 1";

const REMOVE_NETWORK: &str = "DELETE FROM network WHERE name = ?1 AND version = ?2";

const SELECT_NETWORK_VERSION: &str = "SELECT version FROM network WHERE name = ?1";

/// Whether any device is meant for a network, was configured for it, or has a credential of it.
pub(crate) const SELECT_NETWORK_USE: &str = "SELECT device FROM wifi_standing WHERE wanted = ?1 \
     UNION ALL SELECT device FROM wifi_standing WHERE given = ?1 \
     UNION ALL SELECT device FROM access_credential WHERE network = ?1 AND status = 'active' LIMIT 1";

const PUT_KEY: &str = "INSERT INTO bootstrapping_key \
     (id, chirp_hash, device, conflict_at, version, document, record) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
     ON CONFLICT (id) DO UPDATE SET chirp_hash = excluded.chirp_hash, device = excluded.device, \
     conflict_at = excluded.conflict_at, version = excluded.version, document = excluded.document \
     WHERE bootstrapping_key.version = excluded.version - 1";

const REMOVE_KEY: &str = "DELETE FROM bootstrapping_key WHERE id = ?1 AND version = ?2";

const SELECT_KEY_VERSION: &str = "SELECT version FROM bootstrapping_key WHERE id = ?1";

const PUT_ANNOUNCEMENT: &str = "INSERT INTO announcement (hash, device, expires_at, document) \
     VALUES (?1, ?2, ?3, ?4) ON CONFLICT (hash) DO UPDATE SET device = excluded.device, \
     expires_at = excluded.expires_at, document = excluded.document";

const FORGET_ANNOUNCEMENT: &str = "DELETE FROM announcement WHERE hash = ?1";

/// Forgets the announcements that ended before a time.
const FORGET_ANNOUNCEMENTS: &str = "DELETE FROM announcement WHERE expires_at < ?1";

const PUT_ACCESS: &str = "INSERT INTO access_credential (id, device, network, kind, key_sha256, \
     label, sealed, expires_at, status, revoked_reason, revoked_at, issued_at, confirmed_at) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";

const SET_ACCESS_STATUS: &str = "UPDATE access_credential SET status = ?2, revoked_reason = ?3, \
     revoked_at = ?4 WHERE id = ?1";

const CONFIRM_ACCESS: &str = "UPDATE access_credential SET confirmed_at = ?2 WHERE id = ?1";

const SELECT_ACTIVE_ACCESS: &str =
    "SELECT id FROM access_credential WHERE id = ?1 AND status = 'active'";

const PUT_STANDING: &str = "INSERT INTO wifi_standing (device, wanted, given, document) \
     VALUES (?1, ?2, ?3, ?4) ON CONFLICT (device) DO UPDATE SET wanted = excluded.wanted, \
     given = excluded.given, document = excluded.document";

impl<'c> Batch<'_, 'c> {
    /// Asks whether what a decision took for granted still holds.
    pub(crate) async fn ask_wifi(&mut self, guard: &Guard) -> Result<(), Stop> {
        match guard {
            Guard::NetworkVersion { name, expected } => {
                let values = Values::new().text(name.as_str());
                self.ask_version(SELECT_NETWORK_VERSION, values, *expected, "the network")
                    .await
            }
            Guard::KeyVersion { id, expected } => {
                let values = Values::new().digest(*id);
                let what = "the bootstrapping key";
                self.ask_version(SELECT_KEY_VERSION, values, *expected, what)
                    .await
            }
            Guard::NetworkUnused { name } => {
                let values = Values::new().text(name.as_str());
                let used = fetch_optional(self.connection(), SELECT_NETWORK_USE, values).await?;
                match used {
                    Some(_) => Err(changed("the network's use")),
                    None => Ok(()),
                }
            }
            Guard::AccessActive { id } => {
                let values = Values::new().text(id.as_str());
                let found = fetch_optional(self.connection(), SELECT_ACTIVE_ACCESS, values).await?;
                found.map(|_| ()).ok_or_else(|| changed("the credential"))
            }
        }
    }

    async fn ask_version(
        &mut self,
        sql: &'static str,
        values: Values,
        expected: u64,
        what: &'static str,
    ) -> Result<(), Stop> {
        let row = fetch_optional(self.connection(), sql, values).await?;
        let found = row
            .map(|row| Columns::of(&row, "wifi").count("version"))
            .transpose()?;
        if found.unwrap_or(0) == expected {
            Ok(())
        } else {
            Err(changed(what))
        }
    }

    /// Writes changes in their order.
    pub(crate) async fn write_wifi(
        &mut self,
        changes: &[&Change],
        work: &mut Work<'c>,
    ) -> Result<(), Stop> {
        for change in changes {
            self.write_one(change, work).await?;
        }
        Ok(())
    }

    async fn write_one(&mut self, change: &Change, work: &mut Work<'c>) -> Result<(), Stop> {
        match change {
            Change::PutNetwork(network) => {
                let values = network_values(network)?;
                self.change_one(PUT_NETWORK, values, "the network", work)
                    .await
            }
            Change::RemoveNetwork { name, expected } => {
                let values = Values::new()
                    .text(name.as_str())
                    .number(stored_count(*expected));
                self.change_one(REMOVE_NETWORK, values, "the network", work)
                    .await
            }
            Change::PutKey(key) => {
                let values = key_values(key)?;
                self.change_one(PUT_KEY, values, "the bootstrapping key", work)
                    .await
            }
            Change::RemoveKey { id, expected } => {
                let values = Values::new().digest(*id).number(stored_count(*expected));
                self.change_one(REMOVE_KEY, values, "the bootstrapping key", work)
                    .await
            }
            Change::PutAnnouncement(announcement) => {
                let before = Values::new().number(millis(announcement.last_at));
                self.put(FORGET_ANNOUNCEMENTS, before, work).await?;
                let values = announcement_values(announcement)?;
                self.put(PUT_ANNOUNCEMENT, values, work).await
            }
            Change::ForgetAnnouncement { hash } => {
                let values = Values::new().digest(*hash);
                self.put(FORGET_ANNOUNCEMENT, values, work).await
            }
            Change::PutAccess(access) => {
                let values = access_values(access);
                self.change_one(PUT_ACCESS, values, "the credential", work)
                    .await
            }
            Change::SetAccessStatus { id, status } => {
                let values = status_values(id, status);
                self.change_one(SET_ACCESS_STATUS, values, "the credential", work)
                    .await
            }
            Change::ConfirmAccess { id, at } => {
                let values = Values::new().text(id.as_str()).number(millis(*at));
                self.change_one(CONFIRM_ACCESS, values, "the credential", work)
                    .await
            }
            Change::PutStanding(standing) => {
                let values = standing_values(standing)?;
                self.put(PUT_STANDING, values, work).await
            }
        }
    }
}

/// What to lock on PostgreSQL before this guard is asked.
pub(crate) fn subjects_of_guard(guard: &Guard, add: &mut impl FnMut(&[u8])) {
    match guard {
        Guard::NetworkVersion { name, .. } | Guard::NetworkUnused { name } => add(name.as_bytes()),
        Guard::KeyVersion { id, .. } => add(id.as_bytes()),
        Guard::AccessActive { id } => add(id.as_str().as_bytes()),
    }
}

/// What to lock on PostgreSQL before this change is written. Who gives a device something of a
/// network locks the network too, so that it is not removed meanwhile; so does a network with its
/// segment.
pub(crate) fn subjects_of_change(change: &Change, add: &mut impl FnMut(&[u8])) {
    match change {
        Change::PutNetwork(network) => {
            add(network.name.as_bytes());
            if let Some(segment) = &network.segment {
                add(segment.as_bytes());
            }
        }
        Change::RemoveNetwork { name, .. } => add(name.as_bytes()),
        Change::PutKey(key) => {
            add(key.id.as_bytes());
            add(key.device.as_bytes());
        }
        Change::RemoveKey { id, .. } => add(id.as_bytes()),
        Change::PutAnnouncement(announcement) => add(announcement.hash.as_bytes()),
        Change::ForgetAnnouncement { hash } => add(hash.as_bytes()),
        Change::PutAccess(access) => {
            add(access.device.as_bytes());
            add(access.id.as_str().as_bytes());
            add(access.network.as_bytes());
        }
        Change::SetAccessStatus { id, .. } | Change::ConfirmAccess { id, .. } => {
            add(id.as_str().as_bytes());
        }
        Change::PutStanding(standing) => {
            add(standing.device.as_bytes());
            if let Some(wanted) = &standing.wanted {
                add(wanted.as_bytes());
            }
            if let Some(given) = &standing.given {
                add(given.network.as_bytes());
            }
        }
    }
}

fn changed(what: &'static str) -> Stop {
    Stop::conflict(Conflict::Changed(what))
}

fn network_values(network: &Network) -> Result<Values, CommitError> {
    let mut values = Values::new()
        .text(network.name.as_str())
        .number(stored_count(network.version));
    values.push_optional_text(network.segment.as_deref());
    Ok(values.text(document(network)?))
}

fn key_values(key: &BootstrappingKey) -> Result<Values, CommitError> {
    let mut values = Values::new()
        .digest(key.id)
        .digest(key.chirp_hash)
        .text(name(key.device.as_bytes()));
    values.push_optional_number(key.conflict.as_ref().map(|conflict| millis(conflict.at)));
    Ok(values
        .number(stored_count(key.version))
        .text(document(key)?)
        .text(name(DeviceId::of_bootstrapping_key(key.id).as_bytes())))
}

fn announcement_values(announcement: &Announcement) -> Result<Values, CommitError> {
    let device = announcement.device.map(|device| name(device.as_bytes()));
    Ok(Values::new()
        .digest(announcement.hash)
        .text(device.unwrap_or_default())
        .number(millis(announcement.expires_at))
        .text(document(announcement)?))
}

fn standing_values(standing: &Standing) -> Result<Values, CommitError> {
    let mut values = Values::new().text(name(standing.device.as_bytes()));
    values.push_optional_text(standing.wanted.as_deref());
    values.push_optional_text(standing.given.as_ref().map(|given| given.network.as_str()));
    Ok(values.text(document(standing)?))
}

fn access_values(access: &AccessCredential) -> Values {
    let mut values = Values::new()
        .text(access.id.as_str())
        .text(name(access.device.as_bytes()))
        .text(access.network.as_str())
        .text(access.kind.as_str());
    let (key, label, sealed) = match &access.kind {
        AccessKind::Connector {
            net_access_key_sha256,
            signed_by,
        } => (Some(*net_access_key_sha256), signed_by, None),
        AccessKind::Passphrase { identifier, sealed } => (None, identifier, Some(sealed.0.clone())),
    };
    values.push_optional_digest(key);
    values.push_text(label.as_str());
    values.push_optional_bytes(sealed);
    values.push_optional_number(access.expires_at.map(millis));
    bind_status(&access.status, &mut values);
    values.push_number(millis(access.issued_at));
    values.push_optional_number(access.confirmed_at.map(millis));
    values
}

fn status_values(id: &CredentialId, status: &CredentialStatus) -> Values {
    let mut values = Values::new().text(id.as_str());
    bind_status(status, &mut values);
    values
}

fn bind_status(status: &CredentialStatus, values: &mut Values) {
    values.push_text(status.as_str());
    let (reason, at) = match status {
        CredentialStatus::Active | CredentialStatus::Superseded => (None, None),
        CredentialStatus::Revoked { reason, at } => (Some(reason.as_str()), Some(millis(*at))),
    };
    values.push_optional_text(reason);
    values.push_optional_number(at);
}

/// Reads an access credential.
pub(crate) fn read_access(row: &Row) -> Result<AccessCredential, ReadError> {
    let row = Columns::of(row, "access_credential");
    let status = CredentialStatus::from_parts(
        &row.text("status")?,
        row.optional_parsed("revoked_reason")?,
        row.optional_time("revoked_at")?,
    )
    .map_err(|error| row.damaged("status", error))?;
    let kind = match row.text("kind")?.as_str() {
        "connector" => AccessKind::Connector {
            net_access_key_sha256: row.digest("key_sha256")?,
            signed_by: row.text("label")?,
        },
        "passphrase" => AccessKind::Passphrase {
            identifier: row.text("label")?,
            sealed: SealedPassphrase(row.bytes("sealed")?),
        },
        other => return Err(row.damaged("kind", format!("`{other}` is no kind"))),
    };
    Ok(AccessCredential {
        id: CredentialId(row.text("id")?),
        device: row.parsed("device")?,
        network: row.text("network")?,
        kind,
        expires_at: row.optional_time("expires_at")?,
        status,
        issued_at: row.time("issued_at")?,
        confirmed_at: row.optional_time("confirmed_at")?,
    })
}

fn document(value: &impl Serialize) -> Result<String, CommitError> {
    serde_json::to_string(value).map_err(|error| CommitError::Invalid(error.to_string()))
}
