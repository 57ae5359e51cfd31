//! The numbers of the attributes that are used here, and how their values are read.

use jiff::Timestamp;

/// User-Name (RFC 2865 §5.1).
pub const USER_NAME: u8 = 1;
/// NAS-IP-Address (RFC 2865 §5.4).
pub const NAS_IP_ADDRESS: u8 = 4;
/// NAS-Port (RFC 2865 §5.5).
pub const NAS_PORT: u8 = 5;
/// Framed-MTU (RFC 2865 §5.12; RFC 3580 §3.10).
pub const FRAMED_MTU: u8 = 12;
/// Reply-Message (RFC 2865 §5.18). Never beside an EAP-Message (RFC 3579 §2.6.5).
pub const REPLY_MESSAGE: u8 = 18;
/// State (RFC 2865 §5.24).
pub const STATE: u8 = 24;
/// Class (RFC 2865 §5.25).
pub const CLASS: u8 = 25;
/// Vendor-Specific (RFC 2865 §5.26).
pub const VENDOR_SPECIFIC: u8 = 26;
/// Session-Timeout, seconds (RFC 2865 §5.27).
pub const SESSION_TIMEOUT: u8 = 27;
/// Termination-Action: 1 asks for a new authentication (RFC 2865 §5.29).
pub const TERMINATION_ACTION: u8 = 29;
/// Called-Station-Id (RFC 2865 §5.30, RFC 3580 §3.20).
pub const CALLED_STATION_ID: u8 = 30;
/// Calling-Station-Id (RFC 2865 §5.31, RFC 3580 §3.21).
pub const CALLING_STATION_ID: u8 = 31;
/// NAS-Identifier (RFC 2865 §5.32).
pub const NAS_IDENTIFIER: u8 = 32;
/// Proxy-State (RFC 2865 §5.33).
pub const PROXY_STATE: u8 = 33;
/// Acct-Status-Type (RFC 2866 §5.1).
pub const ACCT_STATUS_TYPE: u8 = 40;
/// Acct-Input-Octets (RFC 2866 §5.3).
pub const ACCT_INPUT_OCTETS: u8 = 42;
/// Acct-Output-Octets (RFC 2866 §5.4).
pub const ACCT_OUTPUT_OCTETS: u8 = 43;
/// Acct-Session-Id (RFC 2866 §5.5).
pub const ACCT_SESSION_ID: u8 = 44;
/// Acct-Session-Time, seconds (RFC 2866 §5.7).
pub const ACCT_SESSION_TIME: u8 = 46;
/// Acct-Terminate-Cause (RFC 2866 §5.10).
pub const ACCT_TERMINATE_CAUSE: u8 = 49;
/// Acct-Input-Gigawords (RFC 2869 §5.1).
pub const ACCT_INPUT_GIGAWORDS: u8 = 52;
/// Acct-Output-Gigawords (RFC 2869 §5.2).
pub const ACCT_OUTPUT_GIGAWORDS: u8 = 53;
/// Event-Timestamp, seconds since 1970 (RFC 2869 §5.3).
pub const EVENT_TIMESTAMP: u8 = 55;
/// NAS-Port-Type: 15 Ethernet, 19 Wi-Fi (RFC 2865 §5.41).
pub const NAS_PORT_TYPE: u8 = 61;
/// Tunnel-Type: 13 is a VLAN (RFC 2868 §3.1, RFC 3580 §3.31).
pub const TUNNEL_TYPE: u8 = 64;
/// Tunnel-Medium-Type: 6 is IEEE 802 (RFC 2868 §3.2).
pub const TUNNEL_MEDIUM_TYPE: u8 = 65;
/// EAP-Message (RFC 3579 §3.1).
pub const EAP_MESSAGE: u8 = 79;
/// Message-Authenticator (RFC 3579 §3.2).
pub const MESSAGE_AUTHENTICATOR: u8 = 80;
/// Tunnel-Private-Group-ID (RFC 2868 §3.6).
pub const TUNNEL_PRIVATE_GROUP_ID: u8 = 81;
/// NAS-Port-Id (RFC 2869 §5.17).
pub const NAS_PORT_ID: u8 = 87;
/// NAS-IPv6-Address (RFC 3162 §2.1).
pub const NAS_IPV6_ADDRESS: u8 = 95;
/// Error-Cause (RFC 5176 §3.5).
pub const ERROR_CAUSE: u8 = 101;
/// EAP-Key-Name (RFC 4072 §2.6.2, IEEE 802.1X §12.9.2).
pub const EAP_KEY_NAME: u8 = 102;

/// Microsoft's vendor number (RFC 2548 §2).
pub const VENDOR_MICROSOFT: u32 = 311;
/// MS-MPPE-Send-Key (RFC 2548 §2.4.2).
pub const MS_MPPE_SEND_KEY: u8 = 16;
/// MS-MPPE-Recv-Key (RFC 2548 §2.4.3).
pub const MS_MPPE_RECV_KEY: u8 = 17;

/// Most octets in one attribute's value (RFC 2865 §5).
pub const MAX_VALUE: usize = 253;

/// One attribute as it stands in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Its number.
    pub kind: u8,
    /// Its value, 0 to 253 octets.
    pub value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// The value as a 32-bit number, if it has four octets.
    pub fn integer(&self) -> Option<u32> {
        Some(u32::from_be_bytes(self.value.try_into().ok()?))
    }

    /// The value as text, if it is UTF-8 without control characters.
    pub fn text(&self) -> Option<&'a str> {
        let text = std::str::from_utf8(self.value).ok()?;
        (!text.chars().any(char::is_control)).then_some(text)
    }

    /// The value as a time in seconds since 1970.
    pub fn time(&self) -> Option<Timestamp> {
        Timestamp::from_second(i64::from(self.integer()?)).ok()
    }

    /// A vendor's attribute: vendor, its number of the attribute, its value (RFC 2865 §5.26).
    pub fn vendor(&self) -> Option<(u32, u8, &'a [u8])> {
        let (vendor, rest) = self.value.split_first_chunk::<4>()?;
        let ([kind, length], value) = rest.split_first_chunk::<2>()?;
        let value = value.get(..usize::from(*length).checked_sub(2)?)?;
        Some((u32::from_be_bytes(*vendor), *kind, value))
    }
}

/// A MAC address as RADIUS clients write it: `02-00-00-00-00-01`, with colons, in groups of four with
/// dots, or bare; in either case. For Called-Station-Id a `:SSID` may follow (RFC 3580 §3.20).
pub fn mac_address(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut digits = 0_usize;
    let mut rest = text.chars();
    while digits < 12 {
        let character = rest.next()?;
        if let Some(digit) = character.to_digit(16) {
            let octet = mac.get_mut(digits / 2)?;
            *octet = (*octet << 4) | u8::try_from(digit).ok()?;
            digits += 1;
        } else if !matches!(character, '-' | ':' | '.') || digits == 0 || digits % 2 == 1 {
            return None;
        }
    }
    matches!(rest.next(), None | Some(':')).then_some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_address_is_read_in_every_notation() {
        let mac = Some([0x02, 0x00, 0x5e, 0x10, 0xab, 0xff]);
        for text in [
            "02-00-5E-10-AB-FF",
            "02:00:5e:10:ab:ff",
            "0200.5e10.abff",
            "02005E10ABFF",
            "02-00-5E-10-AB-FF:factory floor",
        ] {
            assert_eq!(mac_address(text), mac, "{text}");
        }
        for text in [
            "",
            "02-00-5E-10-AB",
            "02-00-5E-10-AB-FF-00",
            "0-200-5E-10-AB-FF",
            "-02005E10ABFF",
            "gg005E10ABFF",
        ] {
            assert_eq!(mac_address(text), None, "{text}");
        }
    }

    #[test]
    fn a_vendors_attribute_longer_than_its_room_is_none() {
        let value = [0, 0, 1, 55, 17, 9, 1, 2];
        let attribute = Attribute {
            kind: VENDOR_SPECIFIC,
            value: &value,
        };
        assert_eq!(attribute.vendor(), None);
        let value = [0, 0, 1, 55, 17, 4, 1, 2];
        let attribute = Attribute {
            kind: VENDOR_SPECIFIC,
            value: &value,
        };
        assert_eq!(attribute.vendor(), Some((311, 17, &[1, 2][..])));
    }
}
