//! The bootstrapping URI: what a QR code, an NFC tag or a factory's list says about a device
//! (Wi-Fi Easy Connect 3.0 §5.2.1).
//!
//! ```text
//! DPP:C:81/1,115/36;M:5254005828e5;I:SN=4774LH2b4044;V:3;B:03;H:192.0.2.7:8908;K:MDkwEwYH...;;
//! ```
//!
//! | field | meaning | |
//! | --- | --- | --- |
//! | C | operating classes and channels on which the device listens | optional |
//! | M | MAC address, twelve hexadecimal digits | optional |
//! | I | what the maker says: serial number, model | optional |
//! | V | highest protocol version that it speaks | optional |
//! | B | curves that it supports, as a bit set | optional |
//! | H | address and port at which it listens on TCP | optional |
//! | K | its public key: DER of a subjectPublicKeyInfo with a compressed point, base64 | required |
//!
//! Two readers. [`BootstrappingUri::parse_strictly`] takes what the grammar allows, with the fields
//! in any order. [`BootstrappingUri::parse`] is for what people paste and scan; it also takes:
//! the scheme in lower case, white space around the text and line breaks in it, MAC addresses with colons or hyphens,
//! empty and unknown fields (§5.2.1: later versions may add some), a key in the other base64 alphabet,
//! without padding or with its point uncompressed (the key's hash is over the compressed form in any
//! case), and an end without `;;`.
//! Neither takes a field twice: which of the two was meant would be a guess.

use core::net::Ipv6Addr;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::curve::{BootstrappingPublicKey, Curve};
use crate::error::{Error, Malformed};

/// Longest URI that is read, in octets: what the largest QR code holds.
pub const MAX_URI_LENGTH: usize = 2953;

/// Most channels in one URI.
pub const MAX_CHANNELS: usize = 64;

/// The port of DPP over TCP when none is named (§7.4, IANA).
pub const DPP_PORT: u16 = 8908;

/// A bootstrapping URI as it was read, or is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootstrappingUri {
    /// Where the device listens; empty when it does not say.
    pub channels: Vec<Channel>,
    /// Its MAC address.
    pub mac: Option<[u8; 6]>,
    /// What the maker says of it: printable ASCII without `;`.
    pub information: Option<String>,
    /// The highest protocol version that it speaks; absent means 1.
    pub version: Option<u8>,
    /// The curves that it supports; absent means that it does not say.
    pub supported_curves: Option<SupportedCurves>,
    /// Where it listens on TCP.
    pub host: Option<Host>,
    key: BootstrappingPublicKey,
}

/// One channel of a global operating class (IEEE 802.11 Annex E).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel {
    /// The operating class, such as 81 for 2.4 GHz.
    pub operating_class: u8,
    /// The channel number in it.
    pub number: u8,
}

/// A set of curves (§5.2.1, supported-curves).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SupportedCurves(u8);

/// Where a device or controller listens on TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    address: String,
    port: u16,
}

impl BootstrappingUri {
    /// A URI of a key alone.
    pub fn new(key: BootstrappingPublicKey) -> Self {
        Self {
            channels: Vec::new(),
            mac: None,
            information: None,
            version: None,
            supported_curves: None,
            host: None,
            key,
        }
    }

    /// The device's public key.
    pub fn key(&self) -> &BootstrappingPublicKey {
        &self.key
    }

    /// Reads what a person pasted or a scanner saw; the page of this module lists what is let pass.
    ///
    /// # Errors
    /// [`Malformed`], naming the field.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Reading { strict: false }.uri(text)
    }

    /// Reads what follows the grammar of §5.2.1 and nothing else.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_strictly(text: &str) -> Result<Self, Error> {
        Reading { strict: true }.uri(text)
    }

    /// Refuses what [`fmt::Display`] could not write so that it can be read again.
    ///
    /// # Errors
    /// As [`Self::parse_strictly`].
    pub fn check(&self) -> Result<(), Error> {
        let read = Self::parse_strictly(&self.to_string())?;
        if read == *self {
            Ok(())
        } else {
            Err(Malformed::UriInformation.into())
        }
    }
}

impl fmt::Display for BootstrappingUri {
    /// Writes the fields in the order of the grammar.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DPP:")?;
        if !self.channels.is_empty() {
            write!(formatter, "C:{};", channel_list(&self.channels))?;
        }
        if let Some(mac) = &self.mac {
            write!(formatter, "M:{};", hex_lower(mac))?;
        }
        if let Some(information) = &self.information {
            write!(formatter, "I:{information};")?;
        }
        if let Some(version) = self.version {
            write!(formatter, "V:{version};")?;
        }
        if let Some(curves) = self.supported_curves {
            write!(formatter, "B:{curves};")?;
        }
        if let Some(host) = &self.host {
            write!(formatter, "H:{host};")?;
        }
        write!(formatter, "K:{};;", STANDARD.encode(self.key.spki_der()))
    }
}

impl FromStr for BootstrappingUri {
    type Err = Error;

    /// [`Self::parse`].
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl SupportedCurves {
    /// The set of `curves`.
    pub fn of(curves: &[Curve]) -> Self {
        Self(
            curves
                .iter()
                .fold(0, |bits, curve| bits | curve_bit(*curve)),
        )
    }

    /// Whether `curve` is in the set.
    pub fn contains(self, curve: Curve) -> bool {
        self.0 & curve_bit(curve) != 0
    }

    /// The bit set: bit 0 is P-256, then P-384, P-521, BP-256, BP-384, BP-512.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// The set with this bit set; unknown bits are kept.
    pub fn from_bits(bits: u8) -> Self {
        Self(bits)
    }
}

impl fmt::Display for SupportedCurves {
    /// The low half comes first (§5.2.1), the high half only when it is not empty.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:x}", self.0 & 0x0f)?;
        if self.0 > 0x0f {
            write!(formatter, "{:x}", self.0 >> 4)?;
        }
        Ok(())
    }
}

impl Host {
    /// An address (IPv4, IPv6 without brackets) or name, and a port other than 0.
    ///
    /// # Errors
    /// [`Malformed::UriHost`].
    pub fn new(address: &str, port: u16) -> Result<Self, Error> {
        let name = |octet: u8| octet.is_ascii_alphanumeric() || b"-._".contains(&octet);
        let sound = address.parse::<Ipv6Addr>().is_ok()
            || (1..=253).contains(&address.len()) && address.bytes().all(name);
        if !sound || port == 0 {
            return Err(Malformed::UriHost.into());
        }
        Ok(Self {
            address: address.to_owned(),
            port,
        })
    }

    /// The address or name, an IPv6 address without brackets.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version_6 = self.address.contains(':');
        match (version_6, self.port == DPP_PORT) {
            (_, true) => formatter.write_str(&self.address),
            (true, false) => write!(formatter, "[{}]:{}", self.address, self.port),
            (false, false) => write!(formatter, "{}:{}", self.address, self.port),
        }
    }
}

impl FromStr for Host {
    type Err = Error;

    /// Reads `192.0.2.7`, `name:8908`, `2001:db8::7` or `[2001:db8::7]:8908`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let port = |digits: &str| decimal::<u16>(digits).ok_or(Malformed::UriHost);
        if let Some(bracketed) = text.strip_prefix('[') {
            let (address, rest) = bracketed.split_once(']').ok_or(Malformed::UriHost)?;
            if address.parse::<Ipv6Addr>().is_err() {
                return Err(Malformed::UriHost.into());
            }
            return match rest.strip_prefix(':') {
                Some(digits) => Self::new(address, port(digits)?),
                None if rest.is_empty() => Self::new(address, DPP_PORT),
                None => Err(Malformed::UriHost.into()),
            };
        }
        if text.parse::<Ipv6Addr>().is_ok() {
            return Self::new(text, DPP_PORT);
        }
        match text.split_once(':') {
            Some((address, digits)) => Self::new(address, port(digits)?),
            None => Self::new(text, DPP_PORT),
        }
    }
}

/// How much is let pass.
#[derive(Clone, Copy)]
struct Reading {
    strict: bool,
}

impl Reading {
    fn uri(self, text: &str) -> Result<BootstrappingUri, Error> {
        if text.len() > MAX_URI_LENGTH {
            return Err(Malformed::UriTooLong.into());
        }
        let unwrapped: String;
        let text = if self.strict {
            text
        } else {
            unwrapped = text.trim().replace(['\r', '\n', '\t'], "");
            &unwrapped
        };
        let (scheme, body) = text.split_at_checked(4).ok_or(Malformed::UriScheme)?;
        let known = if self.strict {
            scheme == "DPP:"
        } else {
            scheme.eq_ignore_ascii_case("DPP:")
        };
        if !known {
            return Err(Malformed::UriScheme.into());
        }
        let body = if self.strict {
            body.strip_suffix(";;").ok_or(Malformed::UriEnd)?
        } else {
            body
        };
        let fields = Fields::split(body, self.strict)?;
        let key = fields.key.ok_or(Malformed::UriKeyMissing)?;
        Ok(BootstrappingUri {
            channels: fields.channels.map_or(Ok(Vec::new()), channels)?,
            mac: fields.mac.map(|mac| self.mac(mac)).transpose()?,
            information: fields.information.map(information).transpose()?,
            version: fields.version.map(version).transpose()?,
            supported_curves: fields.curves.map(supported_curves).transpose()?,
            host: fields.host.map(Host::from_str).transpose()?,
            key: self.key(key)?,
        })
    }

    fn mac(self, text: &str) -> Result<[u8; 6], Malformed> {
        let mut digits = Vec::with_capacity(12);
        for octet in text.bytes() {
            if !self.strict && matches!(octet, b':' | b'-' | b' ') {
                continue;
            }
            let digit = char::from(octet).to_digit(16).ok_or(Malformed::UriMac)?;
            digits.push(u8::try_from(digit).map_err(|_| Malformed::UriMac)?);
        }
        let octets: Vec<u8> = digits
            .chunks(2)
            .filter_map(|pair| match pair {
                [high, low] => Some(high << 4 | low),
                _ => None,
            })
            .collect();
        if digits.len() != 12 {
            return Err(Malformed::UriMac);
        }
        octets.try_into().map_err(|_| Malformed::UriMac)
    }

    fn key(self, text: &str) -> Result<BootstrappingPublicKey, Error> {
        let der = if self.strict {
            STANDARD.decode(text).ok()
        } else {
            let packed: Vec<u8> = text.bytes().filter(|octet| *octet != b' ').collect();
            TOLERANT
                .decode(&packed)
                .or_else(|_| TOLERANT_URL_SAFE.decode(&packed))
                .ok()
        };
        let der = der.ok_or(Malformed::UriKeyEncoding)?;
        let key = BootstrappingPublicKey::from_spki_der(&der)?;
        if self.strict && key.spki_der() != der {
            return Err(Malformed::UriKeyUncompressed.into());
        }
        Ok(key)
    }
}

/// The fields as they stand, each at most once.
#[derive(Default)]
struct Fields<'a> {
    channels: Option<&'a str>,
    mac: Option<&'a str>,
    information: Option<&'a str>,
    version: Option<&'a str>,
    curves: Option<&'a str>,
    host: Option<&'a str>,
    key: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn split(body: &'a str, strict: bool) -> Result<Self, Malformed> {
        let mut fields = Self::default();
        for field in body.split(';') {
            let field = if strict { field } else { field.trim_start() };
            let slot = match field.split_once(':').map(|(name, _)| name) {
                Some("C") => &mut fields.channels,
                Some("M") => &mut fields.mac,
                Some("I") => &mut fields.information,
                Some("V") => &mut fields.version,
                Some("B") => &mut fields.curves,
                Some("H") => &mut fields.host,
                Some("K") => &mut fields.key,
                _ if strict => return Err(Malformed::UriField),
                _ => continue,
            };
            if slot.is_some() {
                return Err(Malformed::UriFieldTwice);
            }
            *slot = field.get(2..);
        }
        Ok(fields)
    }
}

/// Writes channels with each class once where it stands for several.
fn channel_list(channels: &[Channel]) -> String {
    let mut text = String::new();
    let mut class = None;
    for channel in channels {
        if !text.is_empty() {
            text.push(',');
        }
        if class != Some(channel.operating_class) {
            text.push_str(&format!("{}/", channel.operating_class));
            class = Some(channel.operating_class);
        }
        text.push_str(&channel.number.to_string());
    }
    text
}

/// A class carries over to the channels behind it: `81/1,6,115/36`.
fn channels(text: &str) -> Result<Vec<Channel>, Malformed> {
    let mut list = Vec::new();
    let mut class = None;
    for item in text.split(',') {
        let number = match item.split_once('/') {
            Some((name, number)) => {
                class = Some(decimal::<u8>(name).ok_or(Malformed::UriChannels)?);
                number
            }
            None => item,
        };
        let channel = Channel {
            operating_class: class.ok_or(Malformed::UriChannels)?,
            number: decimal(number).ok_or(Malformed::UriChannels)?,
        };
        if channel.operating_class == 0 || channel.number == 0 || list.len() == MAX_CHANNELS {
            return Err(Malformed::UriChannels);
        }
        list.push(channel);
    }
    Ok(list)
}

fn information(text: &str) -> Result<String, Malformed> {
    if text.bytes().all(|octet| (0x20..=0x7e).contains(&octet)) {
        Ok(text.to_owned())
    } else {
        Err(Malformed::UriInformation)
    }
}

fn version(text: &str) -> Result<u8, Malformed> {
    match decimal(text) {
        Some(0) | None => Err(Malformed::UriVersion),
        Some(version) => Ok(version),
    }
}

/// One or two digits, the low half first.
fn supported_curves(text: &str) -> Result<SupportedCurves, Malformed> {
    if text.len() > 2 {
        return Err(Malformed::UriCurves);
    }
    let mut halves = text.chars().map(|digit| digit.to_digit(16));
    let low = halves.next().flatten().ok_or(Malformed::UriCurves)?;
    let high = match halves.next() {
        Some(high) => high.ok_or(Malformed::UriCurves)?,
        None => 0,
    };
    let bits = u8::try_from(high << 4 | low).map_err(|_| Malformed::UriCurves)?;
    Ok(SupportedCurves(bits))
}

/// Digits alone: no sign, no space.
fn decimal<T: FromStr>(text: &str) -> Option<T> {
    text.bytes()
        .all(|octet| octet.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

fn hex_lower(octets: &[u8]) -> String {
    use std::fmt::Write as _;

    octets.iter().fold(String::new(), |mut text, octet| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{octet:02x}");
        text
    })
}

fn curve_bit(curve: Curve) -> u8 {
    match curve {
        Curve::P256 => 1,
        Curve::P384 => 1 << 1,
        Curve::P521 => 1 << 2,
        Curve::Bp256 => 1 << 3,
        Curve::Bp384 => 1 << 4,
        Curve::Bp512 => 1 << 5,
    }
}

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const TOLERANT: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const TOLERANT_URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

#[cfg(test)]
mod tests;
