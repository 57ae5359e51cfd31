//! Devices: one by name, many in the order of their serial numbers.

use vouchsafe_fleet::{Device, DeviceId, Digest, ManufacturerId, OwnerId, State};

use super::Readable;
use crate::Store;
use crate::error::ReadError;
use crate::row::{Columns, name};
use crate::statement::{Values, largest_power_of_two};
use crate::table::device;

/// Most names of one statement: few enough that preparing it anew costs little, many enough that it is rare.
const MOST_IDS: usize = 128;

/// Which devices a list shows. Empty means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceFilter {
    /// In this state.
    pub state: Option<State>,
    /// Of this owner.
    pub owner: Option<OwnerId>,
    /// Of this manufacturer.
    pub manufacturer: Option<ManufacturerId>,
    /// With a serial number that begins so.
    pub serial_prefix: Option<String>,
}

/// Where a page of devices ends. The next page begins behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceKey {
    /// Serial number of the last device of the page.
    pub serial: String,
    /// Its name: serial numbers are unique only within a manufacturer.
    pub id: DeviceId,
}

impl DeviceKey {
    /// The key of a device.
    #[must_use]
    pub fn of(device: &Device) -> Self {
        Self {
            serial: device.serial.clone(),
            id: device.id,
        }
    }
}

impl Store {
    /// The device of this name.
    ///
    /// # Errors
    /// [`ReadError`] when the engine does not answer or the row is damaged.
    pub async fn device(&self, id: DeviceId) -> Result<Option<Device>, ReadError> {
        const SQL: &str = "SELECT * FROM device WHERE id = ?1";
        let values = Values::new().text(name(id.as_bytes()));
        let row = self.readers().fetch_optional(SQL, values).await?;
        row.as_ref().map(device::read).transpose()
    }

    /// The device with this serial number of this manufacturer.
    ///
    /// # Errors
    /// As [`Store::device`].
    pub async fn device_by_serial(
        &self,
        manufacturer: ManufacturerId,
        serial: &str,
    ) -> Result<Option<Device>, ReadError> {
        self.device(DeviceId::new(manufacturer, serial)).await
    }

    /// The device that has this key in a credential or in its birth certificate.
    ///
    /// # Errors
    /// As [`Store::device`].
    pub async fn key_holder(&self, spki_sha256: Digest) -> Result<Option<DeviceId>, ReadError> {
        const SQL: &str = "SELECT device AS id FROM credential WHERE spki_sha256 = ?1 \
             UNION ALL SELECT id FROM device WHERE idevid_spki_sha256 = ?1 LIMIT 1";
        let values = Values::new().digest(spki_sha256);
        let row = self.readers().fetch_optional(SQL, values).await?;
        row.map(|row| Columns::of(&row, "device").parsed("id"))
            .transpose()
    }

    /// Which of these devices there are; in no order.
    ///
    /// # Errors
    /// As [`Store::device`].
    pub async fn known_devices(&self, ids: &[DeviceId]) -> Result<Vec<DeviceId>, ReadError> {
        let mut known = Vec::new();
        let mut rest = ids;
        while !rest.is_empty() {
            let count = largest_power_of_two(rest.len().min(MOST_IDS));
            let (now, later) = rest.split_at(count);
            rest = later;
            let mut values = Values::new();
            for id in now {
                values.push_text(name(id.as_bytes()));
            }
            let places: Vec<String> = (1..=count).map(|number| format!("?{number}")).collect();
            let sql = format!("SELECT id FROM device WHERE id IN ({})", places.join(","));
            for row in self.readers().fetch_all(&sql, values).await? {
                known.push(Columns::of(&row, "device").parsed("id")?);
            }
        }
        Ok(known)
    }

    /// Devices in the order of their serial numbers, behind `after`, at most `limit`.
    ///
    /// # Errors
    /// As [`Store::device`].
    pub async fn devices(
        &self,
        filter: &DeviceFilter,
        after: Option<&DeviceKey>,
        limit: u32,
    ) -> Result<Vec<Device>, ReadError> {
        let (sql, values) = list(filter, after, limit);
        let rows = self.readers().fetch_all(&sql, values).await?;
        rows.iter().map(device::read).collect()
    }

    /// The same for who looks at all of them and must not stop at one that is damaged.
    ///
    /// # Errors
    /// As [`Store::device`], and when no row of a page can be told from the next.
    pub async fn readable_devices(
        &self,
        filter: &DeviceFilter,
        after: Option<&DeviceKey>,
        limit: u32,
    ) -> Result<Readable<Device, DeviceKey>, ReadError> {
        let (sql, values) = list(filter, after, limit);
        let rows = self.readers().fetch_all(&sql, values).await?;
        Readable::of(&rows, device::read, |row| {
            let row = Columns::of(row, "device");
            Ok(DeviceKey {
                serial: row.text("serial")?,
                id: row.parsed("id")?,
            })
        })
    }

    /// How many devices are in each state. Walks an index: for an overview, not for each request.
    ///
    /// # Errors
    /// As [`Store::device`].
    pub async fn device_counts(&self) -> Result<Vec<(State, u64)>, ReadError> {
        const SQL: &str = "SELECT state, cast(count(*) as bigint) AS devices FROM device \
             GROUP BY state ORDER BY state";
        let rows = self.readers().fetch_all(SQL, Values::new()).await?;
        let read = |row| {
            let row = Columns::of(row, "device");
            Ok((row.parsed("state")?, row.count("devices")?))
        };
        rows.iter().map(read).collect()
    }
}

/// The text is put together from constant parts; everything that comes from outside is an argument.
pub(crate) fn list(
    filter: &DeviceFilter,
    after: Option<&DeviceKey>,
    limit: u32,
) -> (String, Values) {
    let mut conditions: Vec<String> = Vec::new();
    let mut values = Values::new();
    let mut count = 0;
    let mut next = |values: &mut Values, value: String| {
        values.push_text(value);
        count += 1;
        format!("?{count}")
    };
    let equals = [
        ("state", filter.state.map(|state| state.as_str().to_owned())),
        ("owner", filter.owner.map(|owner| name(owner.as_bytes()))),
        (
            "manufacturer",
            filter.manufacturer.map(|id| name(id.as_bytes())),
        ),
    ];
    for (column, value) in equals {
        if let Some(value) = value {
            conditions.push(format!("{column} = {}", next(&mut values, value)));
        }
    }
    if let Some(prefix) = &filter.serial_prefix {
        // A range rather than LIKE: it uses the index on both engines and needs no escaping.
        conditions.push(format!("serial >= {}", next(&mut values, prefix.clone())));
        if let Some(end) = behind_prefix(prefix) {
            conditions.push(format!("serial < {}", next(&mut values, end)));
        }
    }
    if let Some(after) = after {
        let serial = next(&mut values, after.serial.clone());
        let id = next(&mut values, name(after.id.as_bytes()));
        conditions.push(format!("(serial, id) > ({serial}, {id})"));
    }
    let mut sql = "SELECT * FROM device".to_owned();
    if !conditions.is_empty() {
        sql.push_str(" WHERE ");
        sql.push_str(&conditions.join(" AND "));
    }
    sql.push_str(&format!(" ORDER BY serial, id LIMIT {limit}"));
    (sql, values)
}

/// The first text behind all texts that begin with `prefix`; none when there is no such text.
fn behind_prefix(prefix: &str) -> Option<String> {
    let mut text: Vec<char> = prefix.chars().collect();
    while let Some(last) = text.pop() {
        let following = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            other => char::from_u32(u32::from(other) + 1),
        };
        if let Some(following) = following {
            text.push(following);
            return Some(text.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix() {
        assert_eq!(behind_prefix("AB").as_deref(), Some("AC"));
        assert_eq!(behind_prefix("A\u{10ffff}").as_deref(), Some("B"));
        assert_eq!(behind_prefix("\u{d7ff}").as_deref(), Some("\u{e000}"));
        assert_eq!(behind_prefix("\u{10ffff}"), None);
        assert_eq!(behind_prefix(""), None);
    }
}
