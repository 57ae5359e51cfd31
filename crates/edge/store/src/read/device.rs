//! Devices.

use vouchsafe_fleet::{Device, DeviceId};

use crate::Store;
use crate::error::ReadError;
use crate::row::name;
use crate::statement::{Values, fetch_optional};
use crate::table::device;

impl Store {
    /// The device of this name.
    ///
    /// # Errors
    /// [`ReadError`] when the engine does not answer or the row is damaged.
    pub async fn device(&self, id: DeviceId) -> Result<Option<Device>, ReadError> {
        const SQL: &str = "SELECT * FROM device WHERE id = $1";
        let values = Values::new().text(name(id.as_bytes()));
        let row = fetch_optional(&self.readers(), SQL, values).await?;
        row.as_ref().map(device::read).transpose()
    }
}
