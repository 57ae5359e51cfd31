//! A part of the network, and what its devices reach.

use core::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;
use crate::text::text_enum;

/// Most segments of one site.
pub const MAX_SEGMENTS: usize = 256;

/// Most destinations of one segment.
pub const MAX_DESTINATIONS: usize = 256;

/// Longest name in bytes.
const MAX_NAME: usize = 32;

text_enum! {
    /// What carries ports.
    pub enum Transport {
        /// RFC 9293.
        Tcp = "tcp",
        /// RFC 768.
        Udp = "udp",
    }
}

/// A part of the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// 1 to 32 bytes of lower-case letters, digits and hyphens.
    pub name: String,
    /// 1 to 4094 (IEEE 802.1Q); none where access points know the segment by its name.
    pub vlan: Option<u16>,
    /// All that its devices reach; none means everything behind the uplinks.
    pub reach: Option<Vec<Destination>>,
    /// Grows by one with each change.
    pub version: u64,
    /// When it came into being.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// Something that devices of a segment reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// An address or a network: `10.0.0.7`, `10.0.0.0/24`, `2001:db8::/32`.
    pub network: String,
    /// Over what; none means everything.
    pub protocol: Option<Transport>,
    /// The port there; none means every port. Only with a protocol.
    pub port: Option<u16>,
}

impl Segment {
    /// Whether the description is one that gates can put in force.
    ///
    /// # Errors
    /// [`Refusal::BadSegment`].
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let vlan = self.vlan.is_none_or(|vlan| (1..=4094).contains(&vlan));
        let reach = self.reach.as_ref().is_none_or(|reach| {
            reach.len() <= MAX_DESTINATIONS && reach.iter().all(Destination::is_good)
        });
        if is_label(&self.name, MAX_NAME) && vlan && reach {
            Ok(())
        } else {
            Err(Refusal::BadSegment)
        }
    }
}

impl Destination {
    fn is_good(&self) -> bool {
        let port = match (self.protocol, self.port) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(_), Some(port)) => port != 0,
        };
        port && is_network(&self.network)
    }
}

/// An address with or without the length of its prefix. Bits behind the prefix must be zero: else
/// nobody knows what was meant.
fn is_network(text: &str) -> bool {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return false;
    };
    let Some(length) = length else {
        return true;
    };
    let is_number = length.len() <= 3 && length.bytes().all(|byte| byte.is_ascii_digit());
    let Some(length) = length.parse::<u32>().ok().filter(|_| is_number) else {
        return false;
    };
    match address {
        IpAddr::V4(address) => length <= 32 && trailing(address.to_bits().into(), 32 - length),
        IpAddr::V6(address) => length <= 128 && trailing(address.to_bits(), 128 - length),
    }
}

/// Whether the last `count` bits are zero.
const fn trailing(bits: u128, count: u32) -> bool {
    count == 0 || bits.trailing_zeros() >= count
}

/// A name of lower-case letters, digits and hyphens, none of these at an end.
pub(crate) fn is_label(name: &str, most: usize) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty()
        && name.len() <= most
        && name.bytes().all(plain)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(
        name: &str,
        network: &str,
        protocol: Option<Transport>,
        port: Option<u16>,
    ) -> Segment {
        Segment {
            name: name.to_owned(),
            vlan: None,
            reach: Some(vec![Destination {
                network: network.to_owned(),
                protocol,
                port,
            }]),
            version: 1,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn what_no_gate_could_put_in_force_is_refused() {
        let tcp = Some(Transport::Tcp);
        for (network, protocol, port) in [
            ("10.0.0.7", None, None),
            ("10.0.0.0/24", tcp, Some(443)),
            ("0.0.0.0/0", Some(Transport::Udp), None),
            ("2001:db8::/32", tcp, Some(1)),
            ("::/0", None, None),
        ] {
            assert_eq!(
                segment("a-1", network, protocol, port).check(),
                Ok(()),
                "{network}"
            );
        }
        for (name, network, protocol, port) in [
            ("", "10.0.0.7", None, None),
            ("Upper", "10.0.0.7", None, None),
            ("-a", "10.0.0.7", None, None),
            ("a", "10.0.0.7/24", None, None),
            ("a", "10.0.0.0/33", None, None),
            ("a", "10.0.0.0/+8", None, None),
            ("a", "example.com", None, None),
            ("a", "10.0.0.7", None, Some(443)),
            ("a", "10.0.0.7", tcp, Some(0)),
            ("a", "2001:db8::1/32", None, None),
        ] {
            let refused = segment(name, network, protocol, port).check();
            assert_eq!(refused, Err(Refusal::BadSegment), "{name} {network}");
        }
        for vlan in [0, 4095] {
            let segment = Segment {
                vlan: Some(vlan),
                ..segment("a", "10.0.0.7", None, None)
            };
            assert_eq!(segment.check(), Err(Refusal::BadSegment));
        }
    }
}
