//! Access points and stations on radios: Debian's programs, as an owner would set them up.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::dpp::OwnKey;
use super::guest::Radio;
use super::hostap::{Hostap, Kind, Setup};

/// The channel that all of them use, in hostap's words: operating class and number.
const CHANNEL: &str = "81/6";

/// The same as `hostapd` wants it.
const CHANNEL_SETTINGS: [&str; 2] = ["hw_mode=g", "channel=6"];

/// How long anything on the air may take: emulation is slow, and a station that was turned away
/// waits half a minute before it announces itself again.
pub const ON_AIR: Duration = Duration::from_secs(120);

/// How often a file is looked at.
const PAUSE: Duration = Duration::from_millis(50);

/// What a station with a new configuration does.
const CONNECT: &str = "dpp_config_processing=2";

/// An access point that relays announcements to a controller.
#[derive(Debug)]
pub struct AccessPoint {
    /// Its program.
    pub hostap: Hostap,
    /// Its bootstrapping key.
    pub key: OwnKey,
}

impl AccessPoint {
    /// Starts one that has no connector yet; `more` are further settings.
    ///
    /// # Errors
    /// `hostapd` does not start.
    pub fn start(
        name: &str,
        folder: &Path,
        radio: &Radio,
        ssid: &str,
        controller: &[u8; 32],
        more: &[String],
    ) -> anyhow::Result<Self> {
        let hash: String = controller
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let mut settings: Vec<String> = CHANNEL_SETTINGS.map(str::to_owned).to_vec();
        settings.extend([
            format!("ssid={ssid}"),
            "wpa=2".to_owned(),
            "rsn_pairwise=CCMP".to_owned(),
            "ieee80211w=2".to_owned(),
            // Beacons say that a configurator can be reached here.
            "dpp_configurator_connectivity=1".to_owned(),
            format!("dpp_controller=ipaddr=127.0.0.1 pkhash={hash}"),
        ]);
        settings.extend_from_slice(more);
        let setup = Setup::on(Kind::AccessPoint, &radio.interface, &settings);
        let hostap = Hostap::start(name, folder, setup)?;
        hostap.until("state", "ENABLED")?;
        let key = hostap.bootstrapping_key("P-256", "")?;
        Ok(Self { hostap, key })
    }

    /// Asks a controller for its own configuration over TCP, and uses the connector it is given.
    ///
    /// # Errors
    /// The controller gives none.
    pub fn enrol(&self, controller: &str, at: SocketAddr) -> anyhow::Result<()> {
        let peer = self.hostap.scan(controller)?;
        let own = format!(" own={}", self.key.number);
        let past = self.hostap.now();
        self.hostap.call_as_enrollee(&peer, at, &own)?;
        let told = |event: &str| -> anyhow::Result<String> {
            let line = self.hostap.wait_after(past, event, ON_AIR)?;
            let (_, value) = line.split_once(' ').context("an event without its value")?;
            Ok(value.to_owned())
        };
        let settings = [
            ("dpp_connector", "DPP-CONNECTOR "),
            ("dpp_csign", "DPP-C-SIGN-KEY "),
            ("dpp_netaccesskey", "DPP-NET-ACCESS-KEY "),
        ];
        for (setting, event) in settings {
            self.hostap
                .order(&format!("SET {setting} {}", told(event)?))?;
        }
        Ok(())
    }

    /// Ends a station's session, and what would spare it to prove itself anew.
    ///
    /// # Errors
    /// `hostapd` refuses.
    pub fn cut_off(&self, address: &str) -> anyhow::Result<()> {
        self.hostap.order("PMKSA_FLUSH")?;
        self.hostap.order(&format!("DEAUTHENTICATE {address}"))?;
        Ok(())
    }

    /// Uses the passwords of a file, one `PASSWORD|mac=ADDRESS` a line, in place of those it had, as
    /// soon as there are as many as wanted.
    ///
    /// # Errors
    /// The file did not come to that, or `hostapd` refuses a line.
    pub fn use_passwords(&self, file: &Path, wanted: impl Fn(usize) -> bool) -> anyhow::Result<()> {
        let deadline = Instant::now() + ON_AIR;
        let lines = loop {
            let text = fs::read_to_string(file).unwrap_or_default();
            let lines: Vec<String> = text
                .lines()
                .filter(|line| !line.starts_with('#'))
                .map(str::to_owned)
                .collect();
            if wanted(lines.len()) {
                break lines;
            }
            ensure!(
                Instant::now() < deadline,
                "{} has {} passwords",
                file.display(),
                lines.len()
            );
            std::thread::sleep(PAUSE);
        };
        // An empty one clears the list.
        self.hostap.order("SET sae_password ")?;
        for line in lines {
            self.hostap.order(&format!("SET sae_password {line}"))?;
        }
        Ok(())
    }
}

/// A station.
#[derive(Debug)]
pub struct Station {
    /// Its program.
    pub hostap: Hostap,
    /// What it connects with.
    radio: Radio,
}

impl Station {
    /// Starts one that knows no network and connects to what it is given.
    ///
    /// # Errors
    /// `wpa_supplicant` does not start.
    pub fn start(name: &str, folder: &Path, radio: &Radio) -> anyhow::Result<Self> {
        let settings = [CONNECT, "pmf=2"].map(str::to_owned);
        let setup = Setup::on(Kind::Station, &radio.interface, &settings);
        let hostap = Hostap::start(name, folder, setup)?;
        Ok(Self {
            hostap,
            radio: radio.clone(),
        })
    }

    /// Gives it a bootstrapping key: the one with this private key (an ECPrivateKey of RFC 5915 in
    /// hexadecimal), or a new one.
    ///
    /// # Errors
    /// `wpa_supplicant` refuses it.
    pub fn bootstrapping_key(&self, private: Option<&str>) -> anyhow::Result<OwnKey> {
        let address = self.radio.plain_address();
        let private = private.map(|key| format!(" key={key}")).unwrap_or_default();
        let more = format!(" chan={CHANNEL} mac={address}{private}");
        self.hostap.bootstrapping_key("P-256", &more)
    }

    /// Announces itself until it is answered, at most so many rounds.
    ///
    /// # Errors
    /// `wpa_supplicant` refuses.
    pub fn announce(&self, key: &OwnKey, rounds: u32) -> anyhow::Result<()> {
        let number = &key.number;
        self.hostap
            .order(&format!("DPP_CHIRP own={number} iter={rounds}"))?;
        Ok(())
    }

    /// Waits until it has been configured and is connected.
    ///
    /// # Errors
    /// One of these did not happen.
    pub fn connected(&self, past: usize) -> anyhow::Result<()> {
        self.hostap.wait_after(past, "DPP-CONF-RECEIVED", ON_AIR)?;
        self.hostap
            .wait_after(past, "CTRL-EVENT-CONNECTED", ON_AIR)?;
        Ok(())
    }

    /// Leaves the network and asks for another configuration for it. Nothing may be scanned for
    /// meanwhile: a scan would keep the answer longer than the relay waits.
    ///
    /// # Errors
    /// `wpa_supplicant` refuses.
    pub fn reconfigure(&self, rounds: u32) -> anyhow::Result<()> {
        self.hostap.order("STA_AUTOCONNECT 0")?;
        let past = self.hostap.now();
        self.hostap.order("DISCONNECT")?;
        self.hostap
            .wait_after(past, "CTRL-EVENT-DISCONNECTED", ON_AIR)?;
        let network = self.network()?;
        self.hostap
            .order(&format!("DPP_RECONFIG {network} iter={rounds}"))?;
        Ok(())
    }

    /// The number of the network that it was last given.
    fn network(&self) -> anyhow::Result<String> {
        let events = self.hostap.events();
        let last = events
            .iter()
            .rev()
            .find_map(|event| event.strip_prefix("DPP-NETWORK-ID "));
        Ok(last.context("it was given no network")?.to_owned())
    }
}
