//! Segments: how access points call them, and what their devices reach.
//!
//! A segment without `reach` limits nothing, and neither does one that the state does not define: its
//! name is then all that access points need. One with `reach` confines: its devices reach that, and
//! nothing else.

use std::collections::BTreeMap;
use std::net::IpAddr;

use vouchsafe_api::gate::{Destination, SegmentDefinition, TransportProtocol};
use vouchsafe_radius::Segment;

/// Most segments of a state.
pub const MAX_SEGMENTS: usize = 256;

/// Most destinations of one segment.
pub const MAX_DESTINATIONS: usize = 256;

/// All segments of a state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Segments(BTreeMap<String, Definition>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Definition {
    vlan: Option<Segment>,
    reach: Option<Vec<Reach>>,
}

/// Something that the devices of a confined segment reach.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reach {
    /// The network's first address.
    pub address: IpAddr,
    /// How many of its bits count.
    pub length: u8,
    /// Over what; everything without.
    pub protocol: Option<TransportProtocol>,
    /// The port there; every port without.
    pub port: Option<u16>,
}

impl Segments {
    /// Reads definitions.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn read(definitions: Vec<SegmentDefinition>) -> Result<Self, String> {
        if definitions.len() > MAX_SEGMENTS {
            return Err(format!("more than {MAX_SEGMENTS} segments"));
        }
        let mut segments = BTreeMap::new();
        for definition in definitions {
            let name = definition.name;
            let wrong =
                |problem: &dyn ToString| format!("segment `{name}`: {}", problem.to_string());
            Segment::new(&name).map_err(|error| wrong(&error))?;
            let vlan = match definition.vlan {
                None => None,
                Some(number @ 1..=4094) => {
                    Some(Segment::new(&number.to_string()).map_err(|error| wrong(&error))?)
                }
                Some(_) => return Err(wrong(&"a VLAN is 1 to 4094")),
            };
            let reach = definition.reach.map(|reach| {
                if reach.len() > MAX_DESTINATIONS {
                    return Err(wrong(&format!("more than {MAX_DESTINATIONS} destinations")));
                }
                let reach: Result<Vec<_>, _> = reach.iter().map(Reach::read).collect();
                reach.map_err(|problem| wrong(&problem))
            });
            let definition = Definition {
                vlan,
                reach: reach.transpose()?,
            };
            if segments.insert(name.clone(), definition).is_some() {
                return Err(format!("segment `{name}` is there twice"));
            }
        }
        Ok(Self(segments))
    }

    /// What its devices reach, if that is limited.
    pub fn reach(&self, name: &str) -> Option<&[Reach]> {
        self.0.get(name)?.reach.as_deref()
    }

    /// Those that limit what their devices reach.
    pub fn confined(&self) -> impl Iterator<Item = (&str, &[Reach])> {
        let confined = self.0.iter();
        confined.filter_map(|(name, it)| Some((name.as_str(), it.reach.as_deref()?)))
    }

    /// What access points call it: the number of its VLAN, where it has one.
    pub(crate) fn on_the_air<'a>(&'a self, segment: &'a Segment) -> &'a Segment {
        self.vlan(segment.as_str()).unwrap_or(segment)
    }

    /// The number of its VLAN, where it has one.
    pub(crate) fn vlan(&self, name: &str) -> Option<&Segment> {
        self.0.get(name)?.vlan.as_ref()
    }
}

impl Reach {
    fn read(destination: &Destination) -> Result<Self, String> {
        let text = &destination.network;
        let wrong = || format!("`{text}` is no address or network");
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text.as_str(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            Some(length) => length.parse::<u8>().map_err(|_| wrong())?,
            None => most,
        };
        if length > most {
            return Err(wrong());
        }
        if destination.port.is_some() && destination.protocol.is_none() {
            return Err(format!("`{text}`: a port needs a protocol"));
        }
        Ok(Self {
            address: masked(address, length),
            length,
            protocol: destination.protocol,
            port: destination.port,
        })
    }

    /// Whether the network holds an address.
    pub(crate) fn holds(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4() && masked(address, self.length) == self.address
    }

    /// As the packet filter writes it.
    pub(crate) fn network(&self) -> String {
        format!("{}/{}", self.address, self.length)
    }
}

fn masked(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            IpAddr::V4((u32::from(address) & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            IpAddr::V6((u128::from(address) & mask).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(network: &str, port: Option<u16>) -> Destination {
        Destination {
            network: network.to_owned(),
            protocol: port.map(|_| TransportProtocol::Tcp),
            port,
        }
    }

    fn definition(name: &str, reach: Option<Vec<Destination>>) -> SegmentDefinition {
        SegmentDefinition {
            name: name.to_owned(),
            vlan: Some(12),
            reach,
        }
    }

    #[test]
    fn only_a_segment_with_reach_confines() {
        let reach = vec![
            destination("10.0.0.77/24", Some(443)),
            destination("::1", None),
        ];
        let definitions = vec![
            definition("cameras", None),
            definition("quarantine", Some(reach)),
        ];
        let segments = Segments::read(definitions).unwrap();
        assert_eq!(segments.reach("cameras"), None);
        assert_eq!(segments.reach("unheard-of"), None);
        let networks: Vec<_> = segments
            .reach("quarantine")
            .unwrap()
            .iter()
            .map(Reach::network)
            .collect();
        assert_eq!(networks, ["10.0.0.0/24", "::1/128"]);
        let names: Vec<_> = segments.confined().map(|(name, _)| name).collect();
        assert_eq!(names, ["quarantine"]);
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["10.0.0.0/33", "::/129", "service", "10.0.0.0/", "} accept"] {
            let reach = Some(vec![destination(text, None)]);
            assert!(
                Segments::read(vec![definition("q", reach)]).is_err(),
                "{text}"
            );
        }
        let port_alone = Destination {
            protocol: None,
            ..destination("10.0.0.1", Some(1))
        };
        let reach = Some(vec![port_alone]);
        assert!(Segments::read(vec![definition("q", reach)]).is_err());
        let twice = vec![definition("q", None), definition("q", None)];
        assert!(Segments::read(twice).is_err());
        let many = vec![destination("10.0.0.1", None); MAX_DESTINATIONS + 1];
        assert!(Segments::read(vec![definition("q", Some(many))]).is_err());
    }
}
