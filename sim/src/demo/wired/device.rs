//! A device at its port: its agent, its supplicant, and what it reaches.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tokio::time::Instant;
use vouchsafe_keystore::{Sealer, StoreUri};

use super::net::Port;
use super::site::Site;
use crate::demo::narrator::Tone;
use crate::demo::program::Program;
use crate::demo::sentence::{self, Names, text};
use crate::wifi::hostap::{Hostap, Kind, Setup};

/// How long anything may take that involves several programs on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);

/// How often something is looked at.
const PAUSE: Duration = Duration::from_millis(50);

/// How a supplicant at a wired port begins: without scanning.
const SUPPLICANT: [&str; 2] = ["ap_scan=0", "eapol_version=2"];

/// A device.
pub(super) struct Device<'a> {
    site: &'a Site<'a>,
    pub(super) name: &'static str,
    pub(super) port: &'a Port,
    /// Its number at the controller, once it has one.
    pub(super) id: String,
    supplicant: Option<Hostap>,
}

impl<'a> Device<'a> {
    pub(super) fn new(site: &'a Site<'a>, name: &'static str, port: &'a Port) -> Self {
        Self {
            site,
            name,
            port,
            id: String::new(),
            supplicant: None,
        }
    }

    pub(super) fn say(&self, tone: Tone, said: &str) {
        self.site.narrator.said(self.name, tone, said);
    }

    /// Whether an answer comes from there.
    pub(super) async fn reaches(&self, to: &str) -> anyhow::Result<bool> {
        let stage = self.site.stage;
        let mut command = stage.prepare_in(&self.port.space, stage.simulator());
        command.args(["talk", "ask", to]);
        Ok(stage.finish("talk", command).await?.code == Some(0))
    }

    /// It must not reach this.
    pub(super) async fn reaches_not(&self, to: &str, what: &str) -> anyhow::Result<()> {
        ensure!(
            !self.reaches(to).await?,
            "{} reaches {what} at {to}",
            self.name
        );
        self.say(Tone::Refused, &format!("gets no answer from {what}"));
        Ok(())
    }

    /// It must reach this, at once or soon.
    pub(super) async fn reaches_soon(&self, to: &str, what: &str) -> anyhow::Result<()> {
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
    pub(super) async fn flow(&self, to: &str) -> anyhow::Result<Program> {
        let stage = self.site.stage;
        let mut command = stage.prepare_in(&self.port.space, stage.simulator());
        command.args(["talk", "flow", to]);
        let mut flow = Program::start(stage, "flow", command)?;
        let flowing = |line: &Value| sentence::is(line, "flowing");
        flow.wait_for("its first answer", PATIENCE, flowing).await?;
        self.say(Tone::Plain, &format!("keeps a connection to {to} busy"));
        Ok(flow)
    }

    /// Runs `vouchsafe-agent` to its end; whether it is onboarded now.
    pub(super) async fn onboard(&mut self) -> anyhow::Result<bool> {
        let site = self.site;
        let mut command = site.stage.prepare(&site.stage.program("vouchsafe-agent"));
        command
            .args(["run", "--once", "--output", "json", "--no-mdns"])
            .args(["--registrar", &site.registrar, "--dir"])
            .arg(site.stage.device(self.name));
        let names = Names::default().with(&site.registrar, super::site::OWNER);
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

    /// Starts its supplicant, and gives it what the device got when it onboarded.
    pub(super) fn plug_in(&mut self) -> anyhow::Result<()> {
        let site = self.site;
        let folder = site.stage.path(format!("supplicant-{}", self.name));
        let within = site.stage.words_in(&self.port.space);
        let settings = SUPPLICANT.map(str::to_owned);
        let setup = Setup::wired(Kind::Station, "eth0", &settings, &within);
        let supplicant = Hostap::start(self.name, &folder, setup)?;
        self.hand_over(&supplicant)?;
        self.supplicant = Some(supplicant);
        self.say(Tone::Plain, "asks to be let in, by 802.1X with its LDevID");
        Ok(())
    }

    /// Its supplicant ends without a word.
    pub(super) fn pull_out(&mut self) {
        self.supplicant = None;
    }

    /// It asks once more.
    pub(super) fn ask_again(&self) -> anyhow::Result<()> {
        let supplicant = self.supplicant.as_ref().context("no supplicant")?;
        supplicant.order("REASSOCIATE")?;
        Ok(())
    }

    /// Waits for an event of its supplicant.
    pub(super) async fn hears(&self, beginning: &str) -> anyhow::Result<String> {
        let supplicant = self.supplicant.as_ref().context("no supplicant")?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let events = supplicant.events();
            if let Some(event) = events.iter().find(|event| event.starts_with(beginning)) {
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

    /// Certificate and key as blobs in the supplicant's memory, never in a file of its own.
    fn hand_over(&self, supplicant: &Hostap) -> anyhow::Result<()> {
        let dir = self.site.stage.device(self.name);
        let stored = fs::read_to_string(dir.join("state/credential.json"))?;
        let stored: Value = serde_json::from_str(&stored)?;
        let key = private_key(&dir, text(&stored, "label"))?;
        let anchor = fs::read(self.site.domain_ca())?;
        let chain = text(&stored, "chain").as_bytes();
        for (name, contents) in [("chain", chain), ("key", &key), ("anchor", &anchor)] {
            let digits: String = contents.iter().map(|byte| format!("{byte:02x}")).collect();
            supplicant.order(&format!("SET blob {name} {digits}"))?;
        }
        let network = supplicant.order("ADD_NETWORK")?;
        let settings = [
            ("key_mgmt", "IEEE8021X"),
            ("eapol_flags", "0"),
            ("eap", "TLS"),
            ("identity", "\"@vouchsafe\""),
            ("ca_cert", "\"blob://anchor\""),
            ("client_cert", "\"blob://chain\""),
            ("private_key", "\"blob://key\""),
            ("phase1", "\"tls_disable_tlsv1_3=0\""),
        ];
        for (setting, value) in settings {
            supplicant.order(&format!("SET_NETWORK {network} {setting} {value}"))?;
        }
        supplicant.order(&format!("ENABLE_NETWORK {network}"))?;
        Ok(())
    }
}

/// The device's own key, which it opens for its supplicant.
fn private_key(dir: &std::path::Path, label: &str) -> anyhow::Result<Vec<u8>> {
    let birth = dir.join("birth");
    let file: toml::Table = fs::read_to_string(birth.join("device.toml"))?.parse()?;
    let keys = file.get("key_store").and_then(toml::Value::as_str);
    let mut keys: StoreUri = keys.context("no key store")?.parse()?;
    keys.resolve_from(&birth);
    let StoreUri::File { folder, .. } = &keys else {
        anyhow::bail!("the key does not leave its store");
    };
    let sealed = fs::read(folder.join(format!("{label}.key")))?;
    let key = Sealer::beside(&keys)?.unseal(&format!("key/{label}"), &sealed)?;
    Ok(key.expose().to_vec())
}
