//! A device at a place.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vouchsafe_radius::Station;

/// Where a device is: one station at one place. The same MAC address elsewhere is another place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The RADIUS client's number.
    pub client: u32,
    /// What the access point calls itself.
    pub access_point: Option<String>,
    /// The station's MAC address.
    pub mac: Option<[u8; 6]>,
    /// The port's number, where the station has no address.
    pub port: Option<u32>,
}

impl Place {
    pub(crate) fn of(client: u32, station: &Station) -> Self {
        Self {
            client,
            access_point: station.access_point.clone(),
            mac: station.mac,
            port: station.port.filter(|_| station.mac.is_none()),
        }
    }
}

/// A device that is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// What the access point repeats in accounting.
    pub class: String,
    /// Whose it is.
    pub device: String,
    /// With which credential: the certificate's serial number in hexadecimal; empty where the station came
    /// in by its MAC address.
    pub credential: String,
    /// Where it was put.
    pub segment: Option<String>,
    /// The access point's own name for the session.
    pub name: Option<String>,
    /// The socket of the switch that it is plugged into, where that says so.
    #[serde(default)]
    pub socket: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// Until when it counts without a new proof.
    pub until: Timestamp,
    /// Since when it must go, if it must.
    pub ending: Option<Timestamp>,
    /// Whether it must go whatever the state says: it gave way to another, somebody ended it, or nobody
    /// knows where its access point put it.
    #[serde(default)]
    pub dismissed: bool,
    /// Whether its access point is to move it to another segment.
    #[serde(default)]
    pub moving: bool,
    /// When it was last heard of.
    pub seen: Timestamp,
    /// Octets from and to the device, as the access point counts.
    pub octets: (u64, u64),
}

impl Session {
    /// Whether nothing was proved: the station came in by its MAC address.
    pub fn is_weak(&self) -> bool {
        self.credential.is_empty()
    }
}
