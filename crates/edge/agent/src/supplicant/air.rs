//! Wi-Fi Easy Connect over the air: the supplicant is the enrollee, with the device's own key.
//!
//! 1. The supplicant gets the bootstrapping key, and the controller's URI where the device has it,
//!    so that both sides prove themselves. It is told to process no configuration by itself: the
//!    agent keeps what comes.
//! 2. `DPP_CHIRP`: presence announcements, until a configurator answers (Wi-Fi Easy Connect 3.0 §6.2).
//! 3. Its events tell how the exchange goes; those of a configuration come in one burst that begins
//!    with `DPP-CONF-RECEIVED`, once for each network.
//! 4. The key is taken back out of the supplicant, whatever happened.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use vouchsafe_trust::Secret;
use zeroize::Zeroizing;

use super::hand_over::{base64_bytes, hex, unhex};
use super::{Control, SupplicantError};
use crate::wifi::configuration::{Certificate, Configuration, Connector, MAX_NETWORKS, Network};
use crate::wifi::{Progress, UnusableConfiguration, WifiError};

/// Rounds of announcements before the supplicant is asked anew; one takes half a minute or so.
const CHIRP_ROUNDS: u32 = 4;

/// How an event ends that tells of an Authentication Request.
const AUTHENTICATION_REQUEST: &str = "type=0";

/// How long an exchange may take once somebody has answered; a relay gives it as long.
const EXCHANGE: Duration = Duration::from_secs(20);

/// The most times that the supplicant is asked to announce the device.
const MAX_ATTEMPTS: u32 = 1000;

/// The supplicant's word for a configuration that came over the air.
pub(crate) const FROM_AIR: &str = "air";

/// Who announces itself.
#[derive(Debug)]
pub(crate) struct AirKey<'a> {
    /// The bootstrapping key's curve, as `P-256`.
    pub(crate) curve: &'a str,
    /// The key, ECPrivateKey (RFC 5915) DER.
    pub(crate) key: &'a Secret,
    /// The channels of the label, `CLASS/CHANNEL` joined by commas: where the device listens after an
    /// announcement. Empty leaves that to the supplicant.
    pub(crate) channels: &'a str,
    /// The controller's bootstrapping URI, if the device has it: then both prove themselves.
    pub(crate) controller_uri: Option<&'a str>,
    /// What the device calls itself.
    pub(crate) name: &'a str,
    /// Where its usage description is.
    pub(crate) mud_url: Option<&'a str>,
}

/// Steps 1 to 4, until the deadline.
pub(crate) async fn enrol(
    control: &mut Control,
    key: &AirKey<'_>,
    now: Timestamp,
    deadline: Instant,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Configuration, WifiError> {
    // 1
    control.done("SET dpp_config_processing 0").await?;
    control.done(&format!("SET dpp_name {}", key.name)).await?;
    if let Some(url) = key.mud_url {
        control.done(&format!("SET dpp_mud_url {url}")).await?;
    }
    let peer = match key.controller_uri {
        Some(uri) => Some(control.number(&format!("DPP_QR_CODE {uri}")).await?),
        None => None,
    };
    let private = hex(key.key.expose());
    let channels = match key.channels {
        "" => String::new(),
        channels => format!(" chan={channels}"),
    };
    let generate = Zeroizing::new(format!(
        "DPP_BOOTSTRAP_GEN type=qrcode curve={}{channels} key={}",
        key.curve, *private
    ));
    let own = control.number(&generate).await?;
    let ended = announce(control, own, key, now, deadline, progress).await;
    // 4
    control.ask("DPP_STOP_LISTEN").await?;
    for id in [Some(own), peer].into_iter().flatten() {
        control.ask(&format!("DPP_BOOTSTRAP_REMOVE {id}")).await?;
    }
    ended
}

/// Steps 2 and 3.
async fn announce(
    control: &mut Control,
    own: u32,
    key: &AirKey<'_>,
    now: Timestamp,
    deadline: Instant,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Configuration, WifiError> {
    let mut mutual = false;
    for _ in 0..MAX_ATTEMPTS {
        control.forget_events().await?;
        // 2
        control
            .done(&format!("DPP_CHIRP own={own} iter={CHIRP_ROUNDS}"))
            .await?;
        progress(Progress::Announced);
        // 3
        let (mut answered, mut until) = (false, deadline);
        loop {
            let Some(event) = control.event(until).await? else {
                match Instant::now() < deadline {
                    true => break,
                    false => return Err(WifiError::TimedOut),
                }
            };
            let (name, value) = event.split_once(' ').unwrap_or((&event, ""));
            match name {
                "DPP-AUTH-DIRECTION" => mutual = value == "mutual=1",
                "DPP-AUTH-SUCCESS" => progress(Progress::Authenticated { mutual }),
                "DPP-CONF-RECEIVED" => {
                    if key.controller_uri.is_some() && !mutual {
                        return Err(WifiError::NotMutual);
                    }
                    let mut burst = vec![event];
                    burst.extend(control.events_so_far().await?);
                    return configuration(&burst, mutual, now);
                }
                "DPP-NOT-COMPATIBLE" | "DPP-FAIL" | "DPP-CONF-FAILED" => {
                    let over = answered && name == "DPP-CONF-FAILED";
                    progress(Progress::Failed { said: event });
                    if over {
                        break;
                    }
                }
                "DPP-RX" if value.ends_with(AUTHENTICATION_REQUEST) => answered = true,
                // Announcements stop when somebody answers, too: then the exchange goes on, and
                // another announcement would break it off.
                "DPP-CHIRP-STOPPED" if answered => until = deadline.min(Instant::now() + EXCHANGE),
                "DPP-CHIRP-STOPPED" => break,
                _ => {}
            }
        }
    }
    Err(WifiError::TimedOut)
}

/// The burst of events becomes a configuration.
fn configuration(
    burst: &[String],
    mutual: bool,
    now: Timestamp,
) -> Result<Configuration, WifiError> {
    let mut networks: Vec<Given> = Vec::new();
    for event in burst {
        let (name, value) = event.split_once(' ').unwrap_or((event, ""));
        if name == "DPP-CONF-RECEIVED" {
            if networks.len() < MAX_NETWORKS {
                networks.push(Given::default());
            }
            continue;
        }
        let Some(network) = networks.last_mut() else {
            continue;
        };
        network.take(name, value)?;
    }
    let networks: Vec<Network> = networks
        .into_iter()
        .map(Given::network)
        .collect::<Result<_, _>>()?;
    Ok(Configuration {
        at: now,
        from: FROM_AIR.to_owned(),
        mutual,
        // The supplicant does not say which version it spoke; it offers this one.
        version: 2,
        networks,
    })
}

/// A network as its events come.
#[derive(Default)]
struct Given {
    ssid: Vec<u8>,
    akm: String,
    passphrase: Option<Secret>,
    psk: Option<Secret>,
    connector: Option<String>,
    csign: Option<Vec<u8>>,
    pp_key: Option<Vec<u8>>,
    net_access_key: Option<Secret>,
    expires: Option<Timestamp>,
    certificates: Option<Vec<u8>>,
    server_ca: Option<Vec<u8>>,
    server_name: Option<String>,
}

impl Given {
    fn take(&mut self, name: &str, value: &str) -> Result<(), UnusableConfiguration> {
        let bytes = |text| unhex(text).ok_or(UnusableConfiguration::Garbled);
        let binary = |text| base64_bytes(text).ok_or(UnusableConfiguration::Garbled);
        match name {
            "DPP-CONFOBJ-SSID" => {
                self.ssid = unescape(value).ok_or(UnusableConfiguration::Garbled)?;
            }
            "DPP-CONFOBJ-AKM" => value.clone_into(&mut self.akm),
            "DPP-CONFOBJ-PASS" => self.passphrase = Some(Secret::new(bytes(value)?)),
            "DPP-CONFOBJ-PSK" => self.psk = Some(Secret::new(bytes(value)?)),
            "DPP-CONNECTOR" => self.connector = Some(value.to_owned()),
            "DPP-C-SIGN-KEY" => self.csign = Some(bytes(value)?),
            "DPP-PP-KEY" => self.pp_key = Some(bytes(value)?),
            "DPP-NET-ACCESS-KEY" => {
                let (key, end) = value.split_once(' ').unwrap_or((value, ""));
                self.net_access_key = Some(Secret::new(bytes(key)?));
                self.expires = end
                    .parse()
                    .ok()
                    .and_then(|seconds| Timestamp::from_second(seconds).ok());
            }
            "DPP-CERTBAG" => self.certificates = Some(binary(value)?),
            "DPP-CACERT" => self.server_ca = Some(binary(value)?),
            "DPP-SERVER-NAME" => self.server_name = Some(value.to_owned()),
            _ => {}
        }
        Ok(())
    }

    fn network(self) -> Result<Network, UnusableConfiguration> {
        let certificate = match self.certificates {
            None => None,
            Some(bag) => {
                let key = self
                    .net_access_key
                    .as_ref()
                    .ok_or(UnusableConfiguration::NoSecret)?;
                Some(Certificate {
                    chain: crate::wifi::certificate::chain_of(&bag)?,
                    key: Secret::new(key.expose().to_vec()),
                    server_ca: self
                        .server_ca
                        .as_deref()
                        .map(crate::wifi::certificate::authority_of)
                        .transpose()?,
                    server_name: self.server_name,
                })
            }
        };
        let connector = match (self.connector, self.csign, self.net_access_key) {
            (Some(text), Some(csign), Some(net_access_key)) => Some(Connector {
                text,
                csign,
                pp_key: self.pp_key,
                net_access_key,
                expires: self.expires,
            }),
            _ => None,
        };
        let network = Network {
            ssid: self.ssid,
            akm: self.akm,
            passphrase: self.passphrase,
            // The supplicant does not tell of identifiers.
            identifier: None,
            psk: self.psk,
            connector,
            certificate,
        };
        network.check()?;
        Ok(network)
    }
}

/// An SSID as the supplicant prints it: `\"`, `\\`, `\e`, `\n`, `\r`, `\t` and `\xHH`.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match bytes.next()? {
            b'x' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            b'e' => 0x1b,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            plain => plain,
        });
    }
    Some(out)
}

impl From<SupplicantError> for WifiError {
    fn from(error: SupplicantError) -> Self {
        Self::Supplicant(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ssid_comes_back_from_what_the_supplicant_prints() {
        assert_eq!(
            unescape(r#"a\"b\\c\x00\xff\n"#).unwrap(),
            b"a\"b\\c\0\xff\n"
        );
        assert_eq!(unescape(r"cut\x0"), None);
        assert_eq!(unescape(r"cut\"), None);
    }

    #[test]
    fn a_burst_of_two_networks_is_read() {
        let burst = [
            "DPP-CONF-RECEIVED ",
            "DPP-CONFOBJ-AKM dpp+sae",
            "DPP-CONFOBJ-SSID plant",
            "DPP-CONNECTOR e30.e30.AA",
            "DPP-CONFOBJ-PASS 70617373776f7264",
            "DPP-C-SIGN-KEY 3001",
            "DPP-PP-KEY 3002",
            "DPP-NET-ACCESS-KEY 3003 1800000000",
            "DPP-CONF-RECEIVED ",
            "DPP-CONFOBJ-AKM psk",
            "DPP-CONFOBJ-SSID old",
            "DPP-CONFOBJ-PASS 70617373776f7264",
        ]
        .map(str::to_owned);
        let read = configuration(&burst, true, Timestamp::UNIX_EPOCH).unwrap();
        let [new, old] = read.networks.as_slice() else {
            panic!("two networks");
        };
        assert_eq!(new.passphrase.as_ref().unwrap().expose(), b"password");
        let connector = new.connector.as_ref().unwrap();
        assert_eq!(connector.net_access_key.expose(), [0x30, 3]);
        assert_eq!(connector.expires.unwrap().as_second(), 1_800_000_000);
        assert_eq!(
            (old.ssid.as_slice(), old.akm.as_str()),
            (&b"old"[..], "psk")
        );
        assert!(old.connector.is_none());
    }

    #[test]
    fn a_burst_without_what_its_method_needs_is_refused() {
        for (akm, events) in [
            ("dpp", vec!["DPP-CONNECTOR e30.e30.AA"]),
            ("sae", vec![]),
            ("psk", vec!["DPP-CONFOBJ-PASS 7"]),
            ("dot1x", vec!["DPP-CERTBAG AAAA"]),
        ] {
            let mut burst = vec![
                "DPP-CONF-RECEIVED ".to_owned(),
                format!("DPP-CONFOBJ-AKM {akm}"),
                "DPP-CONFOBJ-SSID plant".to_owned(),
            ];
            burst.extend(events.into_iter().map(str::to_owned));
            let refused = configuration(&burst, false, Timestamp::UNIX_EPOCH);
            assert!(matches!(refused, Err(WifiError::Unusable(_))), "{akm}");
        }
    }
}
