//! What an access point says about the port and the station of a request. Claims: whoever holds the
//! shared secret can write anything here.

use crate::attribute::{self, mac_address};
use crate::packet::Packet;

/// Where and for whom a request was made, as its sender says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Station {
    /// The station's MAC address (Calling-Station-Id).
    pub mac: Option<[u8; 6]>,
    /// The access point's address and perhaps its SSID, as text (Called-Station-Id).
    pub called: Option<String>,
    /// The access point's name for itself (NAS-Identifier).
    pub access_point: Option<String>,
    /// The number of the port (NAS-Port).
    pub port: Option<u32>,
    /// The name of the port (NAS-Port-Id).
    pub port_name: Option<String>,
    /// The session's name for accounting and dynamic authorization (Acct-Session-Id).
    pub session: Option<String>,
}

impl Station {
    /// Reads what `packet` says. What cannot be read counts as not said.
    pub fn of(packet: &Packet) -> Self {
        let owned = |kind| packet.text(kind).map(str::to_owned);
        Self {
            mac: packet
                .text(attribute::CALLING_STATION_ID)
                .and_then(mac_address),
            called: owned(attribute::CALLED_STATION_ID),
            access_point: owned(attribute::NAS_IDENTIFIER),
            port: packet.integer(attribute::NAS_PORT),
            port_name: owned(attribute::NAS_PORT_ID),
            session: owned(attribute::ACCT_SESSION_ID),
        }
    }
}
