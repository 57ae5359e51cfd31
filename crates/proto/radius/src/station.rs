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
    /// The socket of a switch that it is plugged into, by the port's name or else its number: only with NAS-Port-Type
    /// Ethernet (RFC 2865 §5.41). On the air a port's number is anew with each association.
    pub socket: Option<String>,
    /// The session's name for accounting and dynamic authorization (Acct-Session-Id).
    pub session: Option<String>,
}

/// NAS-Port-Type of a switch's port.
const ETHERNET: u32 = 15;

impl Station {
    /// Reads what `packet` says. What cannot be read counts as not said.
    pub fn of(packet: &Packet) -> Self {
        let owned = |kind| packet.text(kind).map(str::to_owned);
        let port = packet.integer(attribute::NAS_PORT);
        let is_wired = packet.integer(attribute::NAS_PORT_TYPE) == Some(ETHERNET);
        let socket = owned(attribute::NAS_PORT_ID).or(port.map(|it| it.to_string()));
        Self {
            mac: packet
                .text(attribute::CALLING_STATION_ID)
                .and_then(mac_address),
            called: owned(attribute::CALLED_STATION_ID),
            access_point: owned(attribute::NAS_IDENTIFIER),
            port,
            port_name: owned(attribute::NAS_PORT_ID),
            socket: socket.filter(|_| is_wired),
            session: owned(attribute::ACCT_SESSION_ID),
        }
    }
}
