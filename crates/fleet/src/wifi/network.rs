//! A network that devices are configured for.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;
use crate::text::text_enum;

/// Longest SSID in bytes (IEEE 802.11 §9.4.2.2).
pub const MAX_SSID: usize = 32;

/// Most networks of one site.
pub const MAX_NETWORKS: usize = 256;

/// Longest name of a network in bytes.
const MAX_NAME: usize = 64;

/// Longest lifetime of a connector in days: ten years.
const MAX_LIFETIME_DAYS: u32 = 3660;

text_enum! {
    /// Which sort of credential a device of a network gets. Each device gets its own.
    pub enum NetworkCredential {
        /// A connector signed by this owner (AKM `dpp`).
        Connector = "connector",
        /// A certificate of the domain CA, for EAP-TLS (AKM `dot1x`).
        Certificate = "certificate",
        /// A password for SAE (AKM `sae`).
        Sae = "sae",
        /// A passphrase for WPA2-Personal (AKM `psk`).
        Psk = "psk",
    }
}

/// A Wi-Fi network of this owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// What people call it, and how the API names it: 1 to 64 bytes of lower-case letters,
    /// digits and hyphens.
    pub name: String,
    /// 1 to [`MAX_SSID`] bytes.
    pub ssid: String,
    /// What its devices get.
    pub credential: NetworkCredential,
    /// Whether devices get, besides, a password of their own for the next weaker method: SAE
    /// beside a connector (`dpp+sae`), WPA2-Personal beside SAE (`psk+sae`).
    pub fallback: bool,
    /// Only devices that policy puts into this segment belong here; none means any.
    pub segment: Option<String>,
    /// For how many days a connector counts, 1 to 3660; none means until it is revoked.
    pub lifetime_days: Option<u32>,
    /// The name in the certificate of the authentication server (`trustedEapServerName`), for
    /// networks with certificates.
    pub server_name: Option<String>,
    /// Grows by one with each change.
    pub version: u64,
    /// When it came into being.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// The networks that a device comes into by its certificate, those to be tried first coming first: the one
/// that a person meant it for, and no other; else those for its segment; else those for any segment.
#[must_use]
pub fn for_members<'a>(
    networks: &'a [Network],
    wanted: Option<&str>,
    segment: Option<&str>,
) -> Vec<&'a Network> {
    let certified = || {
        networks
            .iter()
            .filter(|network| network.gives_certificate())
    };
    if let Some(wanted) = wanted {
        return certified()
            .filter(|network| network.name == wanted)
            .collect();
    }
    let of = |segment| -> Vec<&Network> {
        let fits = move |network: &&Network| network.segment.as_deref() == segment;
        certified().filter(fits).collect()
    };
    match of(segment) {
        none if none.is_empty() => of(None),
        fitting => fitting,
    }
}

impl Network {
    /// Whether a device gets a connector.
    #[must_use]
    pub const fn gives_connector(&self) -> bool {
        matches!(self.credential, NetworkCredential::Connector)
    }

    /// Whether a device gets a certificate.
    #[must_use]
    pub const fn gives_certificate(&self) -> bool {
        matches!(self.credential, NetworkCredential::Certificate)
    }

    /// Whether a device gets a passphrase of its own.
    #[must_use]
    pub const fn gives_passphrase(&self) -> bool {
        match self.credential {
            NetworkCredential::Connector => self.fallback,
            NetworkCredential::Certificate => false,
            NetworkCredential::Sae | NetworkCredential::Psk => true,
        }
    }

    /// Whether the description is one that can be carried out.
    ///
    /// # Errors
    /// [`Refusal::BadNetwork`].
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let name =
            !self.name.is_empty() && self.name.len() <= MAX_NAME && self.name.bytes().all(plain);
        let ssid = !self.ssid.is_empty()
            && self.ssid.len() <= MAX_SSID
            && !self.ssid.chars().any(char::is_control);
        let fallback = !self.fallback
            || matches!(
                self.credential,
                NetworkCredential::Connector | NetworkCredential::Sae
            );
        let lifetime = self
            .lifetime_days
            .is_none_or(|days| (1..=MAX_LIFETIME_DAYS).contains(&days));
        let server = match (&self.server_name, self.credential) {
            (None, _) => true,
            (Some(name), NetworkCredential::Certificate) => {
                !name.is_empty() && name.len() <= 253 && name.bytes().all(|b| b.is_ascii_graphic())
            }
            (Some(_), _) => false,
        };
        if name && ssid && fallback && lifetime && server {
            Ok(())
        } else {
            Err(Refusal::BadNetwork)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(name: &str, segment: Option<&str>, credential: NetworkCredential) -> Network {
        Network {
            name: name.to_owned(),
            ssid: name.to_owned(),
            credential,
            fallback: false,
            segment: segment.map(str::to_owned),
            lifetime_days: None,
            server_name: None,
            version: 1,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_member_is_told_of_networks_that_its_certificate_opens_and_its_segment_allows() {
        let all = [
            network("guests", None, NetworkCredential::Psk),
            network("plant", None, NetworkCredential::Certificate),
            network("meters", Some("meters"), NetworkCredential::Certificate),
            network("pumps", Some("pumps"), NetworkCredential::Certificate),
        ];
        let told = |wanted, segment| -> Vec<&str> {
            let found = for_members(&all, wanted, segment).into_iter();
            found.map(|network| &*network.name).collect()
        };
        assert_eq!(told(None, None), ["plant"]);
        assert_eq!(told(None, Some("meters")), ["meters"]);
        assert_eq!(told(None, Some("lamps")), ["plant"]);
        assert_eq!(told(Some("pumps"), Some("meters")), ["pumps"]);
        // A person's word counts, also where it leads nowhere.
        assert!(told(Some("guests"), None).is_empty());
    }
}
