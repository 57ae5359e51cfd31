//! Guards that are questions: asked before anything of the commit is written.

use std::collections::HashMap;

use vouchsafe_fleet::commit::Guard;
use vouchsafe_fleet::credential::CredentialStatus;
use vouchsafe_fleet::journal::ChainHead;
use vouchsafe_fleet::{DeviceId, Digest, Subject, Token};

use crate::batch::{Batch, Work};
use crate::error::Conflict;
use crate::row::{Columns, name};
use crate::statement::{Values, fetch_all, fetch_optional, largest_power_of_two};
use crate::stop::Stop;
use crate::table::{ownership, register, voucher};

/// Most keys of one statement.
const MOST_KEYS: usize = 64;

impl<'c> Batch<'_, 'c> {
    pub(crate) async fn ask(&mut self, question: &Guard, work: &mut Work<'c>) -> Result<(), Stop> {
        match question {
            Guard::Wifi(guard) => self.ask_wifi(guard).await?,
            Guard::Admission(guard) => self.ask_admission(guard).await?,
            Guard::DeviceAbsent { id } => {
                if self.head_of(*id, work).await?.is_some() {
                    return Err(Stop::conflict(Conflict::DeviceExists(name(id.as_bytes()))));
                }
            }
            Guard::DeviceVersion { id, expected } => {
                let found = self.head_of(*id, work).await?;
                if found.map(|(version, _)| version) != Some(*expected) {
                    return Err(Stop::conflict(Conflict::DeviceVersion(name(id.as_bytes()))));
                }
            }
            Guard::VoucherAbsent { id } => {
                if self.voucher_version(id.as_bytes()).await?.is_some() {
                    return Err(Stop::conflict(Conflict::Exists("the voucher request")));
                }
            }
            Guard::VoucherVersion { id, expected } => {
                if self.voucher_version(id.as_bytes()).await? != Some(*expected) {
                    return Err(Stop::conflict(Conflict::Changed("the voucher request")));
                }
            }
            Guard::NonceUnused { device, nonce } => {
                const SQL: &str = "SELECT id FROM voucher WHERE device = ?1 AND nonce = ?2";
                let values = Values::new()
                    .text(name(device.as_bytes()))
                    .text(nonce.as_str());
                if self.exists(SQL, values).await? {
                    return Err(Stop::conflict(Conflict::NonceUsed));
                }
            }
            Guard::KeyUnused {
                spki_sha256,
                device,
            } => {
                self.ask_for_keys(&[(*spki_sha256, *device)]).await?;
            }
            Guard::RequestUnanswered {
                device,
                request_sha256,
            } => {
                const SQL: &str =
                    "SELECT id FROM credential WHERE device = ?1 AND request_sha256 = ?2";
                let mut values = Values::new().text(name(device.as_bytes()));
                values.push_digest(*request_sha256);
                if self.exists(SQL, values).await? {
                    return Err(Stop::conflict(Conflict::Exists(
                        "a credential for this request",
                    )));
                }
            }
            Guard::CredentialActive { id } => {
                const SQL: &str = "SELECT id FROM credential WHERE id = ?1 AND status = ?2";
                let values = Values::new()
                    .text(id.as_str())
                    .text(CredentialStatus::Active.as_str());
                if !self.exists(SQL, values).await? {
                    return Err(Stop::conflict(Conflict::Changed("the credential")));
                }
            }
            Guard::CurrentOwner { device, expected } => {
                let values = Values::new().text(name(device.as_bytes()));
                let row = fetch_optional(&mut *self.connection, ownership::SELECT_CURRENT, values)
                    .await?;
                let found = row
                    .map(|row| Columns::of(&row, "ownership").parsed("owner"))
                    .transpose()?;
                if found != *expected {
                    return Err(Stop::conflict(Conflict::Changed("the device's owner")));
                }
            }
            Guard::ManufacturerVersion { id, expected } => {
                let values = Values::new().text(name(id.as_bytes()));
                let sql = register::SELECT_MANUFACTURER_VERSION;
                let row = fetch_optional(&mut *self.connection, sql, values).await?;
                let found = row
                    .map(|row| Columns::of(&row, "manufacturer").count("version"))
                    .transpose()?;
                if found.unwrap_or(0) != *expected {
                    return Err(Stop::conflict(Conflict::ManufacturerVersion));
                }
            }
            Guard::TokenValid { id, at } => {
                const SQL: &str = "SELECT document FROM token WHERE id = ?1";
                let values = Values::new().text(name(id.as_bytes()));
                let row = fetch_optional(&mut *self.connection, SQL, values).await?;
                let token = row.map(|row| Columns::of(&row, "token").document::<Token>("document"));
                if !token.transpose()?.is_some_and(|token| token.is_valid(*at)) {
                    return Err(Stop::conflict(Conflict::Changed("the token")));
                }
            }
            Guard::JournalHead { subject, expected } => {
                let found = match subject {
                    Subject::Device(id) => self.head_of(*id, work).await?.map(|(_, head)| head),
                    Subject::Manufacturer(_) | Subject::Gate(_) | Subject::Site => {
                        self.chain_head(*subject).await?
                    }
                };
                if found.unwrap_or(ChainHead::EMPTY) != *expected {
                    return Err(Stop::conflict(Conflict::Changed("the journal")));
                }
            }
        }
        Ok(())
    }

    /// Asks whether any of these keys belongs to another device than the one beside it.
    pub(crate) async fn ask_for_keys(&mut self, keys: &[(Digest, DeviceId)]) -> Result<(), Stop> {
        let mut rest = keys;
        while !rest.is_empty() {
            let count = largest_power_of_two(rest.len().min(MOST_KEYS));
            let (now, later) = rest.split_at(count);
            rest = later;
            let mut values = Values::new();
            for (key, _) in now {
                values.push_digest(*key);
            }
            let list: Vec<String> = (1..=count).map(|number| format!("?{number}")).collect();
            let list = list.join(",");
            let sql = format!(
                "SELECT device AS holder, spki_sha256 AS spki FROM credential WHERE spki_sha256 IN ({list}) \
                 UNION ALL SELECT id, idevid_spki_sha256 FROM device WHERE idevid_spki_sha256 IN ({list})"
            );
            let rows = fetch_all(&mut *self.connection, &sql, values).await?;
            if rows.is_empty() {
                continue;
            }
            let allowed: HashMap<Digest, DeviceId> = now.iter().copied().collect();
            for row in &rows {
                let row = Columns::of(row, "credential");
                let holder: DeviceId = row.parsed("holder")?;
                if allowed.get(&row.digest("spki")?) != Some(&holder) {
                    return Err(Stop::conflict(Conflict::KeyUsed));
                }
            }
        }
        Ok(())
    }

    pub(crate) async fn chain_head(&mut self, subject: Subject) -> Result<Option<ChainHead>, Stop> {
        const SQL: &str = "SELECT seq, head FROM chain WHERE subject = ?1";
        let values = Values::new().text(subject.to_string());
        let row = fetch_optional(&mut *self.connection, SQL, values).await?;
        Ok(row
            .map(|row| Columns::of(&row, "chain").head("seq", "head"))
            .transpose()?)
    }

    pub(crate) async fn voucher_version(&mut self, id: &[u8; 16]) -> Result<Option<u64>, Stop> {
        let values = Values::new().text(name(id));
        let row = fetch_optional(&mut *self.connection, voucher::SELECT_VERSION, values).await?;
        Ok(row
            .map(|row| Columns::of(&row, "voucher").count("version"))
            .transpose()?)
    }

    async fn exists(&mut self, sql: &'static str, values: Values) -> Result<bool, Stop> {
        Ok(fetch_optional(&mut *self.connection, sql, values)
            .await?
            .is_some())
    }
}
