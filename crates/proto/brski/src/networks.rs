//! The networks that a device may come into with its certificate, as its registrar tells them.
//!
//! Neither RFC 8995 nor RFC 7030 has a place for the name of a network, and what anybody sends through the air
//! is no proof of it. So the device asks its registrar once it has its certificate:
//!
//! 1. It connects with that certificate, and the server proves to be a registrar under the domain CA that
//!    the voucher led to. `GET` [`PATH`].
//! 2. The answer is JSON: `{"networks":[{"ssid":"plant","server_name":"example.org"}]}`, those to be tried first
//!    coming first, at most [`MAX_NETWORKS`]. Fields that are not defined are passed over.
//! 3. The device joins no other network by its certificate than these. No CA is named: the network's server
//!    must show a certificate of the domain that the device belongs to, for [`Network::server_name`].

use serde::{Deserialize, Serialize};

use crate::error::{Error, Malformed};

/// Where a device asks.
pub const PATH: &str = "/.well-known/vouchsafe/networks";
/// The answer's media type.
pub const MEDIA_TYPE: &str = "application/json";
/// The largest answer that is read, in bytes.
pub const MAX_LEN: usize = 8 * 1024;
/// The most networks of an answer.
pub const MAX_NETWORKS: usize = 4;
/// Longest SSID, in octets (IEEE 802.11-2020 §9.4.2.2).
pub const MAX_SSID: usize = 32;
/// Longest name of a server, in octets (RFC 1035 §2.3.4).
pub const MAX_SERVER_NAME: usize = 253;

/// A Wi-Fi network that lets members of the domain in, by WPA3-Enterprise with EAP-TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Its name: text of 1 to [`MAX_SSID`] octets without control characters.
    pub ssid: String,
    /// The DNS name that the authentication server's certificate must have, or be below; without it any
    /// server of the domain may speak for the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
}

impl Network {
    /// Whether it can be said to a supplicant, as all that was read by [`from_json`] can.
    ///
    /// # Errors
    /// [`Malformed::Ssid`] and [`Malformed::ServerName`].
    pub fn check(&self) -> Result<(), Error> {
        let plain = !self.ssid.chars().any(char::is_control);
        if self.ssid.is_empty() || self.ssid.len() > MAX_SSID || !plain {
            return Err(Malformed::Ssid.into());
        }
        if let Some(name) = &self.server_name
            && !is_server_name(name)
        {
            return Err(Malformed::ServerName.into());
        }
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
struct Answer<N> {
    networks: N,
}

/// The answer's body.
#[must_use]
pub fn to_json(networks: &[Network]) -> Vec<u8> {
    // Plain values and string keys always serialize.
    serde_json::to_vec(&Answer { networks }).unwrap_or_default()
}

/// Reads an answer. One network that cannot be used spoils it all: it is one person's list.
///
/// # Errors
/// [`Malformed::TooLarge`], [`Malformed::Networks`], and what [`Network::check`] says.
pub fn from_json(bytes: &[u8]) -> Result<Vec<Network>, Error> {
    if bytes.len() > MAX_LEN {
        return Err(Malformed::TooLarge.into());
    }
    let answer: Answer<Vec<Network>> =
        serde_json::from_slice(bytes).map_err(|_| Malformed::Networks)?;
    if answer.networks.len() > MAX_NETWORKS {
        return Err(Malformed::Networks.into());
    }
    for network in &answer.networks {
        network.check()?;
    }
    Ok(answer.networks)
}

/// A DNS name without wildcards and without the root's dot. A supplicant takes several names in one text,
/// separated by semicolons, so nothing else may stand in it.
fn is_server_name(name: &str) -> bool {
    let label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        !label.is_empty() && label.len() <= 63 && label.bytes().all(plain)
    };
    name.len() <= MAX_SERVER_NAME && name.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(ssid: &str, server_name: Option<&str>) -> Network {
        Network {
            ssid: ssid.to_owned(),
            server_name: server_name.map(str::to_owned),
        }
    }

    fn malformed(text: &str) -> Malformed {
        match from_json(text.as_bytes()) {
            Err(Error::Malformed(reason)) => reason,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn what_is_told_is_read() {
        let told = [
            network("plant", Some("gates.example.org")),
            network("Königsberg 3", None),
            network(&"x".repeat(32), Some("hall")),
        ];
        assert_eq!(from_json(&to_json(&told)).unwrap(), told);
        assert_eq!(from_json(br#"{"networks":[],"later":1}"#).unwrap(), []);
    }

    /// IEEE 802.11-2020 §9.4.2.2: 0 to 32 octets. Text alone is passed on to supplicants.
    #[test]
    fn a_name_that_no_network_can_have_is_refused() {
        for ssid in [
            "",
            "pl\\u0000ant",
            "pl\\nant",
            "pl\\u007fant",
            "pl\\u0085ant",
        ] {
            let text = format!("{{\"networks\":[{{\"ssid\":\"{ssid}\"}}]}}");
            assert_eq!(malformed(&text), Malformed::Ssid, "{ssid}");
        }
        let long = to_json(&[network(&"é".repeat(17), None)]);
        assert_eq!(
            malformed(std::str::from_utf8(&long).unwrap()),
            Malformed::Ssid
        );
    }

    /// RFC 5216 §5.2: the name is what the server is checked against, and must not say two things.
    #[test]
    fn a_server_name_that_says_more_than_a_name_is_refused() {
        let long = "a".repeat(64);
        for name in [
            "",
            ".",
            "a..b",
            "example.org.",
            "*.example.org",
            "a;b",
            "a b",
            "a\"b",
            "a\nb",
            "é",
            &long,
        ] {
            let told = to_json(&[network("plant", Some(name))]);
            let told = std::str::from_utf8(&told).unwrap();
            assert_eq!(malformed(told), Malformed::ServerName, "{name:?}");
        }
    }

    #[test]
    fn what_is_no_list_of_networks_is_refused() {
        for text in [
            "",
            "[]",
            "{}",
            "{\"networks\":{}}",
            "{\"networks\":[{}]}",
            "{\"networks\":[{\"ssid\":7}]}",
            "{\"networks\":[{\"ssid\":\"a\",\"ssid\":\"b\"}]}",
            "{\"networks\":[]}{",
        ] {
            assert_eq!(malformed(text), Malformed::Networks, "{text}");
        }
        let many = vec![network("plant", None); MAX_NETWORKS + 1];
        let many = to_json(&many);
        assert_eq!(
            malformed(std::str::from_utf8(&many).unwrap()),
            Malformed::Networks
        );
        let large = vec![b' '; MAX_LEN + 1];
        assert!(matches!(
            from_json(&large),
            Err(Error::Malformed(Malformed::TooLarge))
        ));
    }
}
