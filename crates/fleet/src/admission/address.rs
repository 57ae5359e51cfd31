//! MAC addresses by which devices without 802.1X may come in, where policy says so. Anybody can copy one.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::ids::{DeviceId, from_hex};
use crate::journal::Reason;

/// Most addresses of one device.
pub const MAX_ADDRESSES: usize = 8;

/// For how long policy's yes counts where policy names no end. It is asked again after half of that.
pub const GRANT_LIFETIME: SignedDuration = SignedDuration::from_hours(7 * 24);

/// A MAC address of a station (IEEE 802). Written `02:00:00:00:00:01`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// Reads twelve hexadecimal digits, as people and switches write them: `02:00:…`, `02-00-…`,
    /// `0200.0000.0001` or with nothing between.
    ///
    /// # Errors
    /// [`Error::BadIdentifier`] for anything else.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = Error::BadIdentifier {
            what: "MacAddress",
            digits: 12,
        };
        let (separators, size): (&[char], usize) = match text.len() {
            12 => (&[], 12),
            14 => (&['.'], 4),
            _ => (&[':', '-'], 2),
        };
        let groups: Vec<&str> = text.split(separators).collect();
        if text.contains(':') && text.contains('-') || groups.iter().any(|it| it.len() != size) {
            return Err(wrong);
        }
        let digits = groups.concat().to_ascii_lowercase();
        from_hex(&digits).map(Self).ok_or(wrong)
    }

    /// Whether one station can have it: it is no group address, and not empty (IEEE 802 §8.2.2).
    #[must_use]
    pub fn is_of_a_station(self) -> bool {
        let [first, ..] = self.0;
        first & 0x01 == 0 && self.0 != [0; 6]
    }

    /// Whether nobody assigned it: the station, or whoever set it up, made it up (IEEE 802 §8.2.2). Phones
    /// change such addresses by themselves.
    #[must_use]
    pub const fn is_local(self) -> bool {
        let [first, ..] = self.0;
        first & 0x02 != 0
    }
}

impl std::fmt::Display for MacAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl std::fmt::Debug for MacAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MacAddress({self})")
    }
}

impl Serialize for MacAddress {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MacAddress {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// An address that somebody said is a device's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimedAddress {
    /// The address; it belongs to one device.
    pub mac: MacAddress,
    /// Whose it is.
    pub device: DeviceId,
    /// Who said so, by name.
    pub by: String,
    /// A claim for another device, until a person settles it. Nobody comes in by the address meanwhile.
    pub conflict: Option<AddressConflict>,
    /// Policy's yes, if it gave one.
    pub grant: Option<AddressGrant>,
    /// Why policy said what it said, last.
    pub reasons: Vec<Reason>,
    /// When it was claimed.
    pub claimed_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Grows by one with each change.
    pub version: u64,
}

impl ClaimedAddress {
    /// The grant, while it counts.
    #[must_use]
    pub fn granted(&self, now: Timestamp) -> Option<&AddressGrant> {
        let grant = self.grant.as_ref()?;
        (self.conflict.is_none() && now < grant.expires_at).then_some(grant)
    }
}

/// A second claim of an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressConflict {
    /// For which device.
    pub device: DeviceId,
    /// By whom, by name.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// Policy's yes to a device that comes in by an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressGrant {
    /// Where it belongs; the port's own segment without.
    pub segment: Option<String>,
    /// Until when this counts.
    pub expires_at: Timestamp,
    /// Whether it counts while the device holds a certificate of this domain, too.
    pub despite_credential: bool,
}

impl AddressGrant {
    /// When policy is to be asked again, so that a yes that stays a yes does not run out.
    #[must_use]
    pub fn ask_again_at(&self, now: Timestamp) -> Timestamp {
        let half = GRANT_LIFETIME / 2;
        let early = self.expires_at.saturating_sub(half);
        early.map_or(self.expires_at, |early| match early > now {
            true => early,
            false => self.expires_at,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_people_and_switches_write_it() {
        let expected = MacAddress([0x00, 0x1b, 0x63, 0x84, 0x45, 0xe6]);
        for text in [
            "00:1b:63:84:45:e6",
            "00-1B-63-84-45-E6",
            "001b.6384.45e6",
            "001B638445E6",
        ] {
            assert_eq!(MacAddress::parse(text), Ok(expected), "{text}");
        }
        assert_eq!(expected.to_string(), "00:1b:63:84:45:e6");
        for text in [
            "",
            "00:1b:63:84:45",
            "00:1b:63:84:45:e6:00",
            "00:1b:63:84:45:xx",
            "001b:6384:45e600",
            "0:01b:63:84:45:e6",
            "00 1b 63 84 45 e6",
            "00:1b-63:84-45:e6",
            "00:1é:63:84:45:e6",
        ] {
            assert!(MacAddress::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn group_addresses_and_no_address_are_no_stations() {
        let mac = |text: &str| MacAddress::parse(text).unwrap();
        assert!(!mac("ff:ff:ff:ff:ff:ff").is_of_a_station());
        assert!(!mac("01:00:5e:00:00:fb").is_of_a_station());
        assert!(!mac("00:00:00:00:00:00").is_of_a_station());
        assert!(mac("00:1b:63:84:45:e6").is_of_a_station());
        assert!(mac("02:00:00:00:00:01").is_local());
        assert!(!mac("00:1b:63:84:45:e6").is_local());
    }
}
