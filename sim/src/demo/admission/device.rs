//! A device: its agent, its supplicant, and what it reaches.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::time::Instant;

use super::PATIENCE;
use super::site::{OWNER, Site};
use crate::demo::narrator::Tone;
use crate::demo::program::Program;
use crate::demo::sentence::{self, Names, text};
use crate::wifi::hostap::{Hostap, Kind, Setup};
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
    /// WPA3-Enterprise, once an open network that it finds by this setting led it to its registrar.
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
    agent: Option<Program>,
}

impl<'a> Device<'a> {
    pub(in crate::demo) fn new(site: &'a Site<'a>, name: &'static str, place: Place<'a>) -> Self {
        Self {
            site,
            name,
            place,
            id: String::new(),
            supplicant: None,
            agent: None,
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

    /// It is switched on: its supplicant, which knows no network, and its agent, which does the rest.
    pub(in crate::demo) fn switch_on(&mut self) -> anyhow::Result<()> {
        self.wake()?;
        self.start_agent()
    }

    /// Starts its agent, beside its supplicant.
    pub(in crate::demo) fn start_agent(&mut self) -> anyhow::Result<()> {
        let site = self.site;
        let dir = site.stage.device(self.name);
        let interface = self.place.interface;
        let socket = self.folder().join("control").join(interface);
        let mut settings = format!(
            "mdns_interface = \"{interface}\"\nretry_first = 1\n[network]\nsupplicant = \"{}\"\n",
            socket.display()
        );
        match self.place.by {
            // Nobody wants to wait for minutes here.
            Access::Wired => settings.push_str("prove_again = 10\n"),
            Access::Wifi(by) => {
                settings.push_str(by);
                settings.push('\n');
            }
        }
        fs::write(dir.join("agent.toml"), settings)?;
        let program = site.stage.program("vouchsafe-agent");
        let mut command = site.stage.prepare_in(self.place.space, &program);
        command.args(["run", "--output", "json", "--dir"]).arg(dir);
        self.agent = Some(Program::start(site.stage, self.name, command)?);
        Ok(())
    }

    /// The next thing its agent says that fits, told like everything before it.
    pub(in crate::demo) async fn says(
        &mut self,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let site = self.site;
        let names = Names::default().with(&site.registrar, OWNER);
        let agent = self.agent.as_mut().context("no agent")?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = agent.next(deadline).await;
            let line = line.with_context(|| format!("waiting for {what} of {}", self.name))?;
            let line = line.with_context(|| format!("{} ended before {what}", self.name))?;
            if let Some((tone, said)) = sentence::of_agent(&line, &names) {
                site.narrator.said(self.name, tone, said);
            }
            if wanted(&line) {
                return Ok(line);
            }
        }
    }

    /// Waits until it has its certificate.
    pub(in crate::demo) async fn onboarded(&mut self) -> anyhow::Result<()> {
        let onboarded = |line: &Value| sentence::is(line, "onboarded");
        self.says("its certificate", onboarded).await?;
        let shown = self.site.look_up(&["device", "show", self.name]).await?;
        text(&shown, "id").clone_into(&mut self.id);
        Ok(())
    }

    /// Waits until its certificate has let it in.
    pub(in crate::demo) async fn comes_in(&mut self) -> anyhow::Result<()> {
        let joined = |line: &Value| sentence::is(line, "network-joined");
        let joined = self.says("its way in by 802.1X", joined).await?;
        let is_in = joined.get("is_in").and_then(Value::as_bool);
        ensure!(is_in == Some(true), "{} stays out: {joined}", self.name);
        Ok(())
    }

    /// Starts its supplicant, which knows no network.
    pub(in crate::demo) fn wake(&mut self) -> anyhow::Result<()> {
        let within = self.site.stage.words_in(self.place.space);
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
        self.supplicant = Some(Hostap::start(self.name, &self.folder(), setup)?);
        Ok(())
    }

    fn folder(&self) -> PathBuf {
        self.site.stage.path(format!("supplicant-{}", self.name))
    }

    /// Agent and supplicant end, without a word to the network.
    pub(in crate::demo) fn pull_out(&mut self) {
        self.agent = None;
        self.supplicant = None;
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

    /// Joins a network by hand, and only that one: so does who is no device.
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
