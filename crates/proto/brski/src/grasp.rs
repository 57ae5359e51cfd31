//! GRASP floods (RFC 8990 §2.8.11): how a registrar tells proxies where it is (RFC 8995 §4.3), and a proxy
//! tells pledges (§4.1.1).
//!
//! Only `M_FLOOD` is here, and of it only what names a place: it is all that BRSKI needs outside of an
//! Autonomic Control Plane. Nobody signs it. Whoever takes an address from it takes a hint; who is there
//! shows in the voucher.
//!
//! ```text
//! [9, session, initiator, ttl in ms, [["AN_Proxy", 4, 1, ""], [103, h'fe80…', 6, 4443]], …]
//! ```

use ciborium::Value;

use crate::error::{Error, Malformed};

/// UDP port of GRASP (RFC 8990 §2.6).
pub const PORT: u16 = 7017;

/// `ALL_GRASP_NEIGHBORS`, `ff02::13` (RFC 8990 §2.6).
pub const GROUP: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x13];

/// The objective of a registrar (RFC 8995 §4.3). Read without regard to case: drafts spell it two ways.
pub const JOIN_REGISTRAR: &str = "AN_join_registrar";

/// The objective of a join proxy (RFC 8995 §4.1.1).
pub const PROXY: &str = "AN_Proxy";

/// What [`JOIN_REGISTRAR`] says of the protocol: BRSKI and EST over TLS (RFC 8995 §4.3).
pub const EST_TLS: &str = "EST-TLS";

/// How long a flood counts, in milliseconds (RFC 8995 §4.1.1, §4.3).
pub const TIME_TO_LIVE: u32 = 180_000;

/// Largest message (`GRASP_DEF_MAX_SIZE`, RFC 8990 §2.6), in octets.
pub const MAX_MESSAGE: usize = 2048;

/// Most objectives of one flood that are read.
pub const MAX_OBJECTIVES: usize = 16;

/// Longest name or value of an objective, in octets.
const MAX_TEXT: usize = 64;

/// Deepest nesting: message, pair, objective or locator, and what an objective's value may hold.
const MAX_DEPTH: usize = 8;

const M_FLOOD: u64 = 9;
const O_IPV6_LOCATOR: u64 = 103;
const O_IPV4_LOCATOR: u64 = 104;
const IPPROTO_TCP: u64 = 6;
/// `F_SYNCH` (RFC 8990 §2.10.2): floods synchronize, and do no more.
const SYNCHRONIZES: u64 = 1 << 2;

/// An address: four octets, or sixteen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// IPv4.
    V4([u8; 4]),
    /// IPv6.
    V6([u8; 16]),
}

/// One flood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flood {
    /// Tells a flood that came twice, by another way, from a new one.
    pub session: u32,
    /// Who sent it, as it says.
    pub initiator: Address,
    /// How long it counts, in milliseconds; 0 takes it back.
    pub time_to_live: u32,
    /// What it tells. Objectives whose place is not told by an address and a TCP port are left out.
    pub places: Vec<FloodedPlace>,
}

/// An objective, and where it is to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FloodedPlace {
    /// The objective's name.
    pub objective: String,
    /// How many times it may be passed on (RFC 8990 §2.10.1).
    pub loop_count: u8,
    /// Its value, where that is text.
    pub value: String,
    /// Where.
    pub address: Address,
    /// The TCP port there.
    pub port: u16,
}

impl FloodedPlace {
    /// Whether it is of this objective.
    pub fn is_of(&self, objective: &str) -> bool {
        self.objective.eq_ignore_ascii_case(objective)
    }
}

impl Flood {
    /// A proxy on this link (RFC 8995 §4.1.1): not to be passed on.
    pub fn of_proxy(session: u32, address: Address, port: u16) -> Self {
        Self::of(session, PROXY, 1, "", address, port)
    }

    /// A registrar (RFC 8995 §4.3): passed on as far as GRASP goes.
    pub fn of_registrar(session: u32, address: Address, port: u16) -> Self {
        Self::of(session, JOIN_REGISTRAR, u8::MAX, EST_TLS, address, port)
    }

    fn of(
        session: u32,
        objective: &str,
        loop_count: u8,
        value: &str,
        address: Address,
        port: u16,
    ) -> Self {
        let place = FloodedPlace {
            objective: objective.to_owned(),
            loop_count,
            value: value.to_owned(),
            address,
            port,
        };
        Self {
            session,
            initiator: address,
            time_to_live: TIME_TO_LIVE,
            places: vec![place],
        }
    }

    /// The message.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut message = vec![
            Value::from(M_FLOOD),
            Value::from(self.session),
            self.initiator.value(),
            Value::from(self.time_to_live),
        ];
        message.extend(self.places.iter().map(|place| {
            let objective = vec![
                Value::from(place.objective.as_str()),
                Value::from(SYNCHRONIZES),
                Value::from(place.loop_count),
                Value::from(place.value.as_str()),
            ];
            let locator = vec![
                Value::from(match place.address {
                    Address::V4(_) => O_IPV4_LOCATOR,
                    Address::V6(_) => O_IPV6_LOCATOR,
                }),
                place.address.value(),
                Value::from(IPPROTO_TCP),
                Value::from(place.port),
            ];
            Value::Array(vec![Value::Array(objective), Value::Array(locator)])
        }));
        let mut bytes = Vec::new();
        // Writing to memory does not fail.
        let _ = ciborium::into_writer(&Value::Array(message), &mut bytes);
        bytes
    }

    /// Reads a message of at most [`MAX_MESSAGE`] octets.
    ///
    /// # Errors
    /// [`Malformed::Grasp`]: not a flood, or not whole.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        Self::parse(bytes).ok_or(Error::Malformed(Malformed::Grasp))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_MESSAGE {
            return None;
        }
        let mut rest = bytes;
        let message: Value =
            ciborium::de::from_reader_with_recursion_limit(&mut rest, MAX_DEPTH).ok()?;
        let [kind, session, initiator, time_to_live, pairs @ ..] = message.as_array()?.as_slice()
        else {
            return None;
        };
        let is_flood = number(kind) == Some(M_FLOOD) && rest.is_empty();
        let has_room = !pairs.is_empty() && pairs.len() <= MAX_OBJECTIVES;
        if !is_flood || !has_room {
            return None;
        }
        let mut places = Vec::new();
        for pair in pairs {
            places.extend(read_pair(pair)?);
        }
        Some(Self {
            session: number(session)?.try_into().ok()?,
            initiator: Address::read(initiator)?,
            time_to_live: number(time_to_live)?.try_into().ok()?,
            places,
        })
    }
}

/// Nothing outside where the pair is no pair; nothing inside where it names no place that we can call.
fn read_pair(pair: &Value) -> Option<Option<FloodedPlace>> {
    let [objective, locator] = pair.as_array()?.as_slice() else {
        return None;
    };
    let (name, loop_count, value) = match objective.as_array()?.as_slice() {
        [name, flags, loop_count] => {
            number(flags)?;
            (name, loop_count, None)
        }
        [name, flags, loop_count, value] => {
            number(flags)?;
            (name, loop_count, Some(value))
        }
        _ => return None,
    };
    let name = text(name)?;
    let loop_count = number(loop_count)?.try_into().ok()?;
    let place = read_locator(locator.as_array()?).map(|(address, port)| FloodedPlace {
        objective: name.to_owned(),
        loop_count,
        value: value.and_then(text).unwrap_or_default().to_owned(),
        address,
        port,
    });
    Some(place)
}

fn read_locator(locator: &[Value]) -> Option<(Address, u16)> {
    let [kind, address, protocol, port] = locator else {
        return None;
    };
    let address = Address::read(address)?;
    let fits = match address {
        Address::V4(_) => number(kind)? == O_IPV4_LOCATOR,
        Address::V6(_) => number(kind)? == O_IPV6_LOCATOR,
    };
    let port = u16::try_from(number(port)?).ok()?;
    (fits && number(protocol)? == IPPROTO_TCP && port != 0).then_some((address, port))
}

fn number(value: &Value) -> Option<u64> {
    value.as_integer()?.try_into().ok()
}

fn text(value: &Value) -> Option<&str> {
    value.as_text().filter(|text| text.len() <= MAX_TEXT)
}

impl Address {
    fn read(value: &Value) -> Option<Self> {
        let bytes = value.as_bytes()?.as_slice();
        let four = bytes.try_into().map(Self::V4);
        four.or_else(|_| bytes.try_into().map(Self::V6)).ok()
    }

    fn value(self) -> Value {
        match self {
            Self::V4(address) => Value::Bytes(address.to_vec()),
            Self::V6(address) => Value::Bytes(address.to_vec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: Address = Address::V6([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

    /// RFC 8995 §4.1.1, figure 6, in hexadecimal.
    const OF_PROXY: &str = "85091a00bc4c4f50fe8000000000000000000000000000011a0002bf20\
        828468414e5f50726f78790401608418 6750fe80000000000000000000000000000106 19115b";

    #[test]
    fn a_proxys_flood_is_as_the_rfc_writes_it() {
        let flood = Flood::of_proxy(12_340_303, ADDRESS, 4443);
        let expected = hex::decode(OF_PROXY.replace([' ', '\n'], "")).unwrap();
        assert_eq!(hex::encode(flood.to_bytes()), hex::encode(expected));
        assert_eq!(Flood::from_bytes(&flood.to_bytes()).unwrap(), flood);
    }

    /// RFC 8995 §4.3.
    #[test]
    fn a_registrars_flood_says_how_it_speaks_and_is_read_whatever_its_case() {
        let mut flood = Flood::of_registrar(7, Address::V4([192, 0, 2, 1]), 8443);
        flood.places[0].objective = "AN_Join_Registrar".to_owned();
        let read = Flood::from_bytes(&flood.to_bytes()).unwrap();
        assert!(read.places[0].is_of(JOIN_REGISTRAR));
        assert_eq!(
            (read.places[0].loop_count, &*read.places[0].value),
            (255, EST_TLS)
        );
    }

    fn message(pairs: Vec<Value>) -> Vec<u8> {
        let mut message = vec![
            Value::from(M_FLOOD),
            Value::from(1),
            ADDRESS.value(),
            Value::from(1),
        ];
        message.extend(pairs);
        let mut bytes = Vec::new();
        ciborium::into_writer(&Value::Array(message), &mut bytes).unwrap();
        bytes
    }

    fn pair(locator: Vec<Value>) -> Value {
        let objective = [Value::from(PROXY), Value::from(4), Value::from(1)];
        Value::Array(vec![
            Value::Array(objective.to_vec()),
            Value::Array(locator),
        ])
    }

    /// UDP proxies, names, URIs, no place at all: not for us, and no reason to drop what is.
    #[test]
    fn places_that_cannot_be_called_are_left_out() {
        let locator = |kind: u64, address: Value, protocol: u64, port: u64| {
            pair(vec![kind.into(), address, protocol.into(), port.into()])
        };
        let read = Flood::from_bytes(&message(vec![
            locator(103, ADDRESS.value(), 17, 4443),
            locator(103, Value::Bytes(vec![192, 0, 2, 1]), 6, 4443),
            locator(105, Value::from("proxy.example"), 6, 4443),
            locator(103, ADDRESS.value(), 6, 0),
            locator(103, ADDRESS.value(), 6, 65_536),
            pair(Vec::new()),
            locator(103, ADDRESS.value(), 6, 4443),
        ]));
        let places = read.unwrap().places;
        assert_eq!(places.len(), 1);
        assert_eq!((places[0].address, places[0].port), (ADDRESS, 4443));
    }

    #[test]
    fn what_is_no_flood_is_refused() {
        let good = Flood::of_proxy(1, ADDRESS, 4443).to_bytes();
        for length in 0..good.len() {
            assert!(Flood::from_bytes(&good[..length]).is_err(), "{length}");
        }
        let mut longer = good.clone();
        longer.push(0);
        assert!(Flood::from_bytes(&longer).is_err());
        let mut other = good.clone();
        other[1] = 1;
        assert!(Flood::from_bytes(&other).is_err(), "M_DISCOVERY");
        assert!(Flood::from_bytes(&message(Vec::new())).is_err());
        let many = vec![pair(Vec::new()); MAX_OBJECTIVES + 1];
        assert!(Flood::from_bytes(&message(many)).is_err());
        // A length that nobody sent, and a depth that nobody needs.
        assert!(
            Flood::from_bytes(&[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]).is_err()
        );
        assert!(Flood::from_bytes(&[0x81; MAX_MESSAGE]).is_err());
        assert!(Flood::from_bytes(&vec![0; MAX_MESSAGE + 1]).is_err());
        let error = Flood::from_bytes(b"").unwrap_err();
        assert_eq!(error, Error::Malformed(Malformed::Grasp));
    }
}
