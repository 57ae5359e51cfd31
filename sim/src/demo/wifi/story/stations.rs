//! The stations: three with nothing but a key and Debian's `wpa_supplicant`, one with our agent.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::site::{GARDEN, OFFICE, OWNER, SHED, Site, UNSOLD, YARD};
use crate::demo::narrator::Tone;
use crate::demo::onboarding::agent;
use crate::demo::sentence::{Names, text};
use crate::wifi::air::{AccessPoint, ON_AIR, Station};
use crate::wifi::dpp::OwnKey;
use crate::wifi::guest::Radio;

/// Named by the manifest, and the one that moves.
const KNOWN: &str = "LW-0001";
/// Gets a certificate.
const ENTERPRISE: &str = "LW-0003";
/// Has our agent.
const WITH_AGENT: &str = "LW-0004";

/// Rounds of announcements, half a minute each; nobody has to wait for the last one.
const ROUNDS: u32 = 20;

/// One station and the key that the factory gave it.
struct Device {
    serial: &'static str,
    station: Station,
    key: OwnKey,
}

/// All of them.
pub(super) struct Stations<'a> {
    site: &'a Site<'a>,
    known: Device,
    unclaimed: Device,
    enterprise: Device,
    agent: Radio,
}

impl<'a> Stations<'a> {
    /// Says where the devices of the manifest belong, and starts the supplicants. The first two
    /// devices announce themselves from now on.
    pub(super) async fn wake(site: &'a Site<'a>, radios: &[Radio]) -> anyhow::Result<Self> {
        let [_, _, _, known, unclaimed, enterprise, agent] = radios else {
            bail!("seven radios are needed");
        };
        let wake = |serial: &'static str, radio: &Radio| -> anyhow::Result<Device> {
            let folder = site.stage.path(format!("supplicant-{serial}"));
            let station = Station::start(serial, &folder, radio)?;
            let private = private_key(&site.birth(serial))?;
            let key = station.bootstrapping_key(Some(&private))?;
            Ok(Device {
                serial,
                station,
                key,
            })
        };
        let stations = Self {
            site,
            known: wake(KNOWN, known)?,
            unclaimed: wake(UNSOLD, unclaimed)?,
            enterprise: wake(ENTERPRISE, enterprise)?,
            agent: agent.clone(),
        };
        let why = "it belongs outside";
        for serial in [KNOWN, WITH_AGENT] {
            site.meant_for(serial, GARDEN, why).await?;
        }
        for device in [&stations.known, &stations.unclaimed] {
            device.announce(site)?;
        }
        Ok(stations)
    }

    /// One that the manifest names: it comes in, and nobody did anything.
    pub(super) async fn known(&self) -> anyhow::Result<()> {
        self.known.connected(self.site, 0, GARDEN, "DPP")?;
        self.site.expect(KNOWN, GARDEN).await?;
        Ok(())
    }

    /// One that nobody claimed is not answered; claimed by its label it comes in untouched, with a
    /// password of its own. Gives its id.
    pub(super) async fn unclaimed(&self, point: &AccessPoint) -> anyhow::Result<String> {
        let device = &self.unclaimed;
        let seen = self.site.command(&["dpp", "announcements"]).await?;
        let items = seen.get("items").and_then(Value::as_array);
        ensure!(
            items.is_some_and(|items| !items.is_empty()),
            "the announcement of {UNSOLD} had to be kept: {seen}"
        );
        let said = "has seen somebody announce itself whose key nobody knows, and says nothing";
        self.site.narrator.said(OWNER, Tone::Refused, said);
        let events = device.station.hostap.events();
        ensure!(
            !events
                .iter()
                .any(|event| event.starts_with("DPP-AUTH-SUCCESS")),
            "{UNSOLD} was answered"
        );
        let id = self.site.claim(&device.key.uri, YARD, "station").await?;
        let said = format!("has scanned the label of {UNSOLD}, which goes on announcing itself");
        self.site.narrator.said(OWNER, Tone::Plain, said);
        device
            .station
            .hostap
            .wait_after(0, "DPP-CONF-RECEIVED", ON_AIR)?;
        let file = self.site.passwords(YARD);
        point.use_passwords(&file, |passwords| passwords == 1)?;
        let said = "has the password of one device, written by the controller";
        self.site.narrator.said("AP yard", Tone::Plain, said);
        device.connected(self.site, 0, YARD, "SAE")?;
        self.site.expect(&id, YARD).await?;
        Ok(id)
    }

    /// One for the network with certificates sends a certificate request and gets its certificate.
    pub(super) async fn enterprise(&self) -> anyhow::Result<()> {
        let device = &self.enterprise;
        let why = "it stands in the office";
        self.site.meant_for(ENTERPRISE, OFFICE, why).await?;
        device.announce(self.site)?;
        let hostap = &device.station.hostap;
        hostap.wait_after(0, "DPP-CERTBAG", ON_AIR)?;
        let said = "has a certificate for a key that never left it (EAP-TLS)";
        self.site.narrator.said(ENTERPRISE, Tone::Good, said);
        let shown = self.site.expect(ENTERPRISE, OFFICE).await?;
        let certificate = shown.pointer("/wifi/given/certificate");
        ensure!(certificate.is_some(), "no certificate is shown: {shown}");
        Ok(())
    }

    /// One whose agent keeps the keys and drives the supplicant.
    pub(super) async fn own_agent(&self) -> anyhow::Result<()> {
        let site = self.site;
        let supplicant = site.stage.path("supplicant-agent");
        let station = Station::start(WITH_AGENT, &supplicant, &self.agent)?;
        let folder = site.stage.device(WITH_AGENT);
        fs::create_dir(&folder)?;
        fs::rename(site.birth(WITH_AGENT), folder.join("birth"))?;
        let socket = supplicant.join("control").join(&self.agent.interface);
        // It looks for nothing but Wi-Fi.
        let settings = format!(
            "mdns = false\n[dpp]\nmdns = false\nair = true\nsupplicant = \"{}\"\n",
            socket.display()
        );
        fs::write(folder.join("agent.toml"), settings)?;
        let names = Names::default();
        let said = agent(
            site.stage,
            site.narrator,
            &names,
            WITH_AGENT,
            &["run", "--once"],
        )
        .await?;
        ensure!(
            said.good,
            "the agent of {WITH_AGENT} had to come in: {:?}",
            said.lines
        );
        station
            .hostap
            .wait_after(0, "CTRL-EVENT-CONNECTED", ON_AIR)?;
        let said = format!("is connected to {}", station.hostap.state("ssid")?);
        site.narrator.said(WITH_AGENT, Tone::Good, said);
        site.expect(WITH_AGENT, GARDEN).await?;
        Ok(())
    }

    /// One is meant for another network, and moves there at its next request.
    pub(super) async fn moves(&self) -> anyhow::Result<()> {
        self.site
            .meant_for(KNOWN, SHED, "it was carried over")
            .await?;
        let station = &self.known.station;
        let past = station.hostap.now();
        station.reconfigure(ROUNDS)?;
        let said = "asks for its configuration anew, by its connector";
        self.site.narrator.said(KNOWN, Tone::Plain, said);
        station
            .hostap
            .wait_after(past, "DPP-CONF-RECEIVED", ON_AIR)?;
        station.hostap.order("STA_AUTOCONNECT 1")?;
        self.known.connected(self.site, past, SHED, "DPP")?;
        self.site.expect(KNOWN, SHED).await?;
        Ok(())
    }

    /// One is revoked: nothing that it has counts, and the access point turns it away.
    pub(super) async fn revoked(&self, id: &str, point: &AccessPoint) -> anyhow::Result<()> {
        let (site, hostap) = (self.site, &self.unclaimed.station.hostap);
        let revoke = ["device", "revoke", id, "--reason", "it was stolen"];
        site.command(&revoke).await?;
        site.narrator
            .said(OWNER, Tone::Plain, format!("has revoked {UNSOLD}"));
        let shown = site.show(id).await?;
        let credentials = shown.pointer("/wifi/credentials").and_then(Value::as_array);
        let counts = credentials
            .into_iter()
            .flatten()
            .find(|credential| text(credential, "state") != "revoked");
        ensure!(counts.is_none(), "it still counts: {counts:?}");
        point.use_passwords(&site.passwords(YARD), |passwords| passwords == 0)?;
        let past = hostap.now();
        point.cut_off(&hostap.state("address")?)?;
        let refused = hostap.wait_for(past, ON_AIR, |event| {
            let connected = event.starts_with("CTRL-EVENT-CONNECTED");
            connected || event.starts_with("CTRL-EVENT-SSID-TEMP-DISABLED")
        })?;
        ensure!(
            !refused.starts_with("CTRL-EVENT-CONNECTED"),
            "{UNSOLD} got in again"
        );
        let said = "is cut off, and its password is worth nothing any more";
        site.narrator.said(UNSOLD, Tone::Refused, said);
        Ok(())
    }
}

impl Device {
    fn announce(&self, site: &Site<'_>) -> anyhow::Result<()> {
        self.station.announce(&self.key, ROUNDS)?;
        let said = "announces itself on the air";
        site.narrator.said(self.serial, Tone::Plain, said);
        Ok(())
    }

    /// Waits until it is in this network, by this method.
    fn connected(
        &self,
        site: &Site<'_>,
        past: usize,
        network: &str,
        by: &str,
    ) -> anyhow::Result<()> {
        self.station.connected(past)?;
        let hostap = &self.station.hostap;
        let (ssid, method) = (hostap.state("ssid")?, hostap.state("key_mgmt")?);
        ensure!(
            ssid == network && method == by,
            "{} is in {ssid} by {method}, not in {network} by {by}",
            self.serial
        );
        let with = match by {
            "DPP" => "its connector",
            _ => "a password that only it has",
        };
        let said = format!("is connected to {ssid} with {with}");
        site.narrator.said(self.serial, Tone::Good, said);
        Ok(())
    }
}

impl Site<'_> {
    /// The controller says that a device is onboarded, with this network.
    async fn expect(&self, device: &str, network: &str) -> anyhow::Result<Value> {
        let shown = self.show(device).await?;
        ensure!(
            text(&shown, "state") == "onboarded",
            "{device} had to be onboarded: {shown}"
        );
        let given = shown.pointer("/wifi/given/network").and_then(Value::as_str);
        ensure!(
            given == Some(network),
            "{device} had to be given {network}: {shown}"
        );
        Ok(shown)
    }

    /// Means a device for a network.
    async fn meant_for(&self, device: &str, network: &str, why: &str) -> anyhow::Result<()> {
        let for_it = ["--network", network, "--reason", why];
        self.command(&[&["device", "reconfigure", device], &for_it[..]].concat())
            .await?;
        let said = format!("means {device} for {network}");
        self.narrator.said(OWNER, Tone::Plain, said);
        Ok(())
    }
}

/// The private bootstrapping key in a birth folder, as hostap reads it.
fn private_key(birth: &Path) -> anyhow::Result<String> {
    let key = fs::read_to_string(birth.join("dpp-hostap.key")).context("no bootstrapping key")?;
    Ok(key.trim().to_owned())
}
