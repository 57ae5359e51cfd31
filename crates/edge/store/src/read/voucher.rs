//! Voucher requests: by request, by nonce, and those that wait.

use jiff::Timestamp;
use vouchsafe_fleet::decide::WishKind;
use vouchsafe_fleet::{DeviceId, VoucherId, VoucherRecord};

use super::MOST_OF_A_DEVICE;
use crate::Store;
use crate::error::ReadError;
use crate::row::{millis, name};
use crate::statement::Values;
use crate::table::voucher;

impl Store {
    /// The record of this name; [`VoucherId::new`] computes it from device and request.
    ///
    /// # Errors
    /// [`ReadError`] when the engine does not answer or a row is damaged.
    pub async fn voucher(&self, id: VoucherId) -> Result<Option<VoucherRecord>, ReadError> {
        const SQL: &str = "SELECT * FROM voucher WHERE id = ?1";
        self.read_voucher(SQL, Values::new().text(name(id.as_bytes())))
            .await
    }

    /// The record of a device's request with this nonce: a nonce is good for one request.
    ///
    /// # Errors
    /// As [`Store::voucher`].
    pub async fn voucher_by_nonce(
        &self,
        device: DeviceId,
        nonce: &str,
    ) -> Result<Option<VoucherRecord>, ReadError> {
        const SQL: &str = "SELECT * FROM voucher WHERE device = ?1 AND nonce = ?2";
        self.read_voucher(SQL, Values::new().text(name(device.as_bytes())).text(nonce))
            .await
    }

    /// As [`Store::voucher`], and where that finds nothing as [`Store::voucher_by_nonce`], in one
    /// query: the record of this name, or the one that used the nonce before.
    ///
    /// # Errors
    /// As [`Store::voucher`].
    pub async fn voucher_or_same_nonce(
        &self,
        id: VoucherId,
        device: DeviceId,
        nonce: &str,
    ) -> Result<(Option<VoucherRecord>, Option<VoucherRecord>), ReadError> {
        const SQL: &str = "SELECT * FROM voucher WHERE id = ?1 \
             UNION ALL SELECT * FROM voucher WHERE device = ?2 AND nonce = ?3 AND id <> ?1";
        let values = Values::new()
            .text(name(id.as_bytes()))
            .text(name(device.as_bytes()))
            .text(nonce);
        let rows = self.readers().fetch_few(SQL, values).await?;
        let found: Result<Vec<_>, _> = rows.iter().map(voucher::read).collect();
        let mut found = found?;
        Ok(match found.iter().position(|record| record.id == id) {
            Some(place) => (Some(found.swap_remove(place)), None),
            None => (None, found.pop()),
        })
    }

    /// A device's latest voucher request. What it wishes without a voucher is none.
    ///
    /// # Errors
    /// As [`Store::voucher`].
    pub async fn latest_voucher(
        &self,
        device: DeviceId,
    ) -> Result<Option<VoucherRecord>, ReadError> {
        const SQL: &str = "SELECT * FROM voucher WHERE device = ?1 \
             AND media_type NOT IN (?2, ?3) ORDER BY requested_at DESC, id DESC LIMIT 1";
        self.read_voucher(SQL, device_and_wishes(device)).await
    }

    /// What a person is asked about a device: of what waits and came at `since` or later, the oldest. One answer
    /// leaves the next. A voucher request waits no more when the device sent another one after it.
    ///
    /// # Errors
    /// As [`Store::voucher`].
    pub async fn oldest_waiting(
        &self,
        device: DeviceId,
        since: Timestamp,
    ) -> Result<Option<VoucherRecord>, ReadError> {
        const SQL: &str = "SELECT * FROM voucher WHERE device = ?1 \
             AND status = 'awaiting-approval' AND requested_at >= ?4 \
             AND (media_type IN (?2, ?3) OR id = (SELECT id FROM voucher WHERE device = ?1 \
             AND media_type NOT IN (?2, ?3) ORDER BY requested_at DESC, id DESC LIMIT 1)) \
             ORDER BY requested_at, id LIMIT 1";
        let values = device_and_wishes(device).number(millis(since));
        self.read_voucher(SQL, values).await
    }

    /// A device's records, the latest first.
    ///
    /// # Errors
    /// As [`Store::voucher`].
    pub async fn vouchers(&self, device: DeviceId) -> Result<Vec<VoucherRecord>, ReadError> {
        const SQL: &str = "SELECT * FROM voucher WHERE device = ?1 \
             ORDER BY requested_at DESC, id DESC LIMIT ?2 + 0";
        let values = Values::new()
            .text(name(device.as_bytes()))
            .number(MOST_OF_A_DEVICE);
        self.read_vouchers(SQL, values).await
    }

    /// Records of all devices that wait for a person, oldest first, behind `after`, at most `limit`.
    ///
    /// # Errors
    /// As [`Store::voucher`].
    pub async fn waiting_vouchers(
        &self,
        after: Option<&VoucherRecord>,
        limit: u32,
    ) -> Result<Vec<VoucherRecord>, ReadError> {
        const SQL: &str = "SELECT * FROM voucher WHERE status = 'awaiting-approval' \
             AND (requested_at, id) > (?1, ?2) ORDER BY requested_at, id LIMIT ?3 + 0";
        let values = Values::new()
            .number(after.map_or(i64::MIN, |record| millis(record.requested_at)))
            .text(
                after
                    .map(|record| name(record.id.as_bytes()))
                    .unwrap_or_default(),
            )
            .number(i64::from(limit));
        self.read_vouchers(SQL, values).await
    }

    async fn read_voucher(
        &self,
        sql: &'static str,
        values: Values,
    ) -> Result<Option<VoucherRecord>, ReadError> {
        let row = self.readers().fetch_optional(sql, values).await?;
        row.as_ref().map(voucher::read).transpose()
    }

    async fn read_vouchers(
        &self,
        sql: &'static str,
        values: Values,
    ) -> Result<Vec<VoucherRecord>, ReadError> {
        let rows = self.readers().fetch_all(sql, values).await?;
        rows.iter().map(voucher::read).collect()
    }
}

/// A device, and the media types of wishes.
fn device_and_wishes(device: DeviceId) -> Values {
    let values = Values::new().text(name(device.as_bytes()));
    WishKind::ALL
        .into_iter()
        .fold(values, |values, kind| values.text(kind.media_type()))
}
