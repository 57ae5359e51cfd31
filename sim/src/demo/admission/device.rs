//! A device: its agent, its supplicant, and what it reaches.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::Instant;

use super::PATIENCE;
use super::site::{OWNER, Site};
use crate::demo::narrator::Tone;
use crate::demo::program::Program;
use crate::demo::sentence::{self, Names, text};
use crate::wifi::hostap::{Hostap, Kind, Setup};
use crate::wired::key;
use crate::wired::space::Space;

/// How often something is looked at.
const PAUSE: Duration = Duration::from_millis(50);

/// How a device is connected.
#[derive(Clone, Copy)]
pub(in crate::demo) struct Place<'a> {
    /// Its own network.
    pub(in crate::demo) space: &'a Space,
    /// Its interface in it.
    pub(in crate::demo) interface: &'a str,
    /// Its MAC address.
    pub(in crate::demo) mac: &'a str,
    /// How its supplicant asks.
    pub(in crate::demo) by: Access,
}

/// How a supplicant asks to be let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::demo) enum Access {
    /// 802.1X at a wired port.
    Wired,
    /// WPA3-Enterprise, at an access point of this name.
    Wifi(&'static str),
}

/// A device.
pub(in crate::demo) struct Device<'a> {
    site: &'a Site<'a>,
    pub(in crate::demo) name: &'static str,
    pub(in crate::demo) place: Place<'a>,
    /// Its number at the controller, once it has one.
    pub(in crate::demo) id: String,
    supplicant: Option<Hostap>,
}

impl<'a> Device<'a> {
    pub(in crate::demo) fn new(site: &'a Site<'a>, name: &'static str, place: Place<'a>) -> Self {
        Self {
            site,
            name,
            place,
            id: String::new(),
            supplicant: None,
        }
    }

    pub(in crate::demo) fn say(&self, tone: Tone, said: &str) {
        self.site.narrator.said(self.name, tone, said);
    }

    /// Whether an answer comes from there.
    pub(in crate::demo) async fn reaches(&self, to: &str) -> anyhow::Result<bool> {
        let stage = self.site.stage;
        let mut command = stage.prepare_in(self.place.space, stage.simulator());
        command.args(["talk", "ask", to]);
        Ok(stage.finish("talk", command).await?.code == Some(0))
    }

    /// It must not reach this.
    pub(in crate::demo) async fn reaches_not(&self, to: &str, what: &str) -> anyhow::Result<()> {
        ensure!(
            !self.reaches(to).await?,
            "{} reaches {what} at {to}",
            self.name
        );
        self.say(Tone::Refused, &format!("gets no answer from {what}"));
        Ok(())
    }

    /// It must reach this, at once or soon.
    pub(in crate::demo) async fn reaches_soon(&self, to: &str, what: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.reaches(to).await? {
            ensure!(
                Instant::now() < deadline,
                "{} does not reach {what} at {to}",
                self.name
            );
        }
        self.say(Tone::Good, &format!("talks to {what} ({to})"));
        Ok(())
    }

    /// A connection to there that goes on until nothing comes back.
    pub(in crate::demo) async fn flow(&self, to: &str) -> anyhow::Result<Program> {
        let stage = self.site.stage;
        let mut command = stage.prepare_in(self.place.space, stage.simulator());
        command.args(["talk", "flow", to]);
        let mut flow = Program::start(stage, "flow", command)?;
        let flowing = |line: &Value| sentence::is(line, "flowing");
        flow.wait_for("its first answer", PATIENCE, flowing).await?;
        self.say(Tone::Plain, &format!("keeps a connection to {to} busy"));
        Ok(flow)
    }

    /// Runs `vouchsafe-agent` where the device is, which has to find its own way; whether it is
    /// onboarded then.
    pub(in crate::demo) async fn onboard(&mut self) -> anyhow::Result<bool> {
        let stage = self.site.stage;
        let program = stage.program("vouchsafe-agent");
        let mut command = stage.prepare_in(self.place.space, &program);
        command.args(["run", "--once", "--mdns-interface", self.place.interface]);
        self.run(command).await
    }

    async fn run(&mut self, mut command: Command) -> anyhow::Result<bool> {
        let site = self.site;
        command
            .args(["--output", "json", "--dir"])
            .arg(site.stage.device(self.name));
        let names = Names::default().with(&site.registrar, OWNER);
        let agent = Program::start(site.stage, self.name, command)?;
        let each = |line: &Value| {
            if let Some((tone, said)) = sentence::of_agent(line, &names) {
                site.narrator.said(self.name, tone, said);
            }
        };
        let (status, said) = agent.until_end(PATIENCE, each).await?;
        let onboarded = said.iter().any(|line| sentence::is(line, "onboarded"));
        if status.success() && onboarded {
            let shown = site.command(&["device", "show", self.name]).await?;
            text(&shown, "id").clone_into(&mut self.id);
            return Ok(true);
        }
        Ok(false)
    }

    /// Starts its supplicant, which knows no network.
    pub(in crate::demo) fn wake(&mut self) -> anyhow::Result<()> {
        let site = self.site;
        let folder = site.stage.path(format!("supplicant-{}", self.name));
        let within = site.stage.words_in(self.place.space);
        let (driver, settings): (_, &[&str]) = match self.place.by {
            Access::Wired => ("wired", &["ap_scan=0", "eapol_version=2"]),
            Access::Wifi(_) => ("nl80211", &["pmf=2"]),
        };
        let settings: Vec<String> = settings.iter().map(|it| (*it).to_owned()).collect();
        let setup = Setup {
            driver,
            within: &within,
            ..Setup::on(Kind::Station, self.place.interface, &settings)
        };
        self.supplicant = Some(Hostap::start(self.name, &folder, setup)?);
        Ok(())
    }

    /// Its supplicant ends without a word.
    pub(in crate::demo) fn pull_out(&mut self) {
        self.supplicant = None;
    }

    /// It asks once more.
    pub(in crate::demo) fn ask_again(&self) -> anyhow::Result<()> {
        self.supplicant()?.order("REASSOCIATE")?;
        Ok(())
    }

    /// Waits for an event of its supplicant after the first `past` ones.
    pub(in crate::demo) async fn hears(
        &self,
        past: usize,
        beginning: &str,
    ) -> anyhow::Result<String> {
        let supplicant = self.supplicant()?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let events = supplicant.events();
            let mut new = events.iter().skip(past);
            if let Some(event) = new.find(|event| event.starts_with(beginning)) {
                return Ok(event.clone());
            }
            ensure!(
                Instant::now() < deadline,
                "the supplicant of {} says no {beginning}: {}",
                self.name,
                supplicant.log()
            );
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Gives its supplicant what the device got when it onboarded, as blobs in its memory, and asks to be
    /// let in by that.
    pub(in crate::demo) fn ask(&self) -> anyhow::Result<()> {
        let dir = self.site.stage.device(self.name);
        let stored = fs::read_to_string(dir.join("state/credential.json"))?;
        let stored: Value = serde_json::from_str(&stored)?;
        self.ask_with(text(&stored, "chain"), text(&stored, "label"))?;
        self.say(Tone::Plain, "asks to be let in, by 802.1X with its LDevID");
        Ok(())
    }

    /// The same with what it was born with.
    pub(in crate::demo) fn ask_by_birth(&self) -> anyhow::Result<()> {
        let dir = self.site.stage.device(self.name);
        let chain = fs::read_to_string(dir.join("birth/idevid.pem"))?;
        self.ask_with(&chain, "idevid")?;
        self.say(
            Tone::Plain,
            "asks to be let in, by 802.1X with its birth certificate",
        );
        Ok(())
    }

    fn ask_with(&self, chain: &str, label: &str) -> anyhow::Result<()> {
        let key = key::private_key(&self.site.stage.device(self.name), label)?;
        let anchor = fs::read(self.site.domain_ca())?;
        let chain = chain.as_bytes();
        let supplicant = self.supplicant()?;
        for (name, contents) in [("chain", chain), ("key", &key), ("anchor", &anchor)] {
            let digits: String = contents.iter().map(|byte| format!("{byte:02x}")).collect();
            supplicant.order(&format!("SET blob {name} {digits}"))?;
        }
        let ssid;
        let access = match self.place.by {
            Access::Wired => [
                ("key_mgmt", "IEEE8021X"),
                ("eapol_flags", "0"),
                ("priority", "0"),
            ],
            Access::Wifi(name) => {
                ssid = format!("\"{name}\"");
                [
                    ("key_mgmt", "WPA-EAP-SHA256"),
                    ("ieee80211w", "2"),
                    ("ssid", &ssid),
                ]
            }
        };
        let proof = [
            ("eap", "TLS"),
            ("identity", "\"@vouchsafe\""),
            ("ca_cert", "\"blob://anchor\""),
            ("client_cert", "\"blob://chain\""),
            ("private_key", "\"blob://key\""),
            ("phase1", "\"tls_disable_tlsv1_3=0\""),
        ];
        self.join(&[&access[..], &proof].concat())
    }

    /// Joins a network, and only that one.
    pub(in crate::demo) fn join(&self, settings: &[(&str, &str)]) -> anyhow::Result<()> {
        let supplicant = self.supplicant()?;
        supplicant.order("REMOVE_NETWORK all")?;
        let network = supplicant.order("ADD_NETWORK")?;
        for (setting, value) in settings {
            supplicant.order(&format!("SET_NETWORK {network} {setting} {value}"))?;
        }
        supplicant.order(&format!("SELECT_NETWORK {network}"))?;
        Ok(())
    }

    /// Its supplicant.
    pub(in crate::demo) fn supplicant(&self) -> anyhow::Result<&Hostap> {
        self.supplicant.as_ref().context("no supplicant")
    }
}
