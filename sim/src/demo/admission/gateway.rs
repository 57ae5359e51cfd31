//! The enforcement point: `hostapd` where devices are, and the gate beside it.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::PATIENCE;
use super::site::Site;
use crate::demo::narrator::Tone;
use crate::demo::program::Program;
use crate::demo::sentence::{is, text};
use crate::wifi::hostap::{Hostap, Setup};

/// The gate.
const GATE: &str = "gate hall";

/// How the controller calls it.
pub(in crate::demo) const NAME: &str = "hall";

/// How the gate calls every `hostapd` of its machine.
pub(in crate::demo) const CLIENT: &str = "hostapd";

/// What hostapd and the gate share, on one machine.
const SECRET: &str = "what hostapd and the gate of the hall share";

/// Lines of every `hostapd` that asks the gate.
pub(in crate::demo) fn ask_the_gate(name: &str) -> Vec<String> {
    vec![
        "ieee8021x=1".to_owned(),
        format!("nas_identifier={name}"),
        "own_ip_addr=127.0.0.1".to_owned(),
        "auth_server_addr=127.0.0.1".to_owned(),
        "auth_server_port=1812".to_owned(),
        format!("auth_server_shared_secret={SECRET}"),
        "acct_server_addr=127.0.0.1".to_owned(),
        "acct_server_port=1813".to_owned(),
        format!("acct_server_shared_secret={SECRET}"),
    ]
}

/// Starts a `hostapd` beside the gate.
pub(in crate::demo) fn authenticator(
    site: &Site<'_>,
    name: &str,
    setup: Setup<'_>,
) -> anyhow::Result<Hostap> {
    let within = site.stage.words_in(&site.net.gateway);
    let setup = Setup {
        within: &within,
        ..setup
    };
    Hostap::start(&format!("hostapd at {name}"), &folder(site, name), setup)
}

fn folder(site: &Site<'_>, name: &str) -> PathBuf {
    site.stage.path(format!("hostapd-{name}"))
}

/// The control socket of the `hostapd` of this name.
pub(in crate::demo) fn control(site: &Site<'_>, name: &str, interface: &str) -> PathBuf {
    folder(site, name).join("control").join(interface)
}

/// The gate.
pub(in crate::demo) struct Gateway<'a> {
    site: &'a Site<'a>,
    gate: Program,
    names: Vec<(String, &'static str)>,
}

impl<'a> Gateway<'a> {
    /// Lets it enrol by a token that is good once, and starts it; `more` are settings for where devices are.
    pub(in crate::demo) async fn start(site: &'a Site<'a>, more: &str) -> anyhow::Result<Self> {
        let dir = site.stage.path("gate");
        fs::create_dir(&dir)?;
        fs::write(dir.join("secret"), SECRET)?;
        fs::write(dir.join("gate.toml"), settings(site) + more)?;
        enrol(site).await?;
        let gate = launch(site)?;
        let mut gateway = Self {
            site,
            gate,
            names: Vec::new(),
        };
        gateway.event("readiness", |it| is(it, "ready")).await?;
        Ok(gateway)
    }

    /// Who is behind a number.
    pub(in crate::demo) fn know(&mut self, id: &str, name: &'static str) {
        self.names.push((id.to_owned(), name));
    }

    /// The next event that fits, told like every one before it.
    pub(in crate::demo) async fn event(
        &mut self,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let line = self.gate.next(deadline).await;
            let line = line.with_context(|| format!("waiting for {what}"))?;
            let line = line.with_context(|| format!("the gate ended before {what}"))?;
            if let Some((tone, said)) = self.sentence(&line) {
                self.site.narrator.said(GATE, tone, said);
            }
            if wanted(&line) {
                return Ok(line);
            }
        }
    }

    fn sentence(&self, line: &Value) -> Option<(Tone, String)> {
        let device = text(line, "device");
        let name = self.names.iter().find(|(id, _)| id == device);
        let name = name.map_or(device, |(_, name)| name);
        let at = text(line, "access_point");
        let number = |field: &str| line.get(field).and_then(Value::as_u64).unwrap_or_default();
        Some(match text(line, "event") {
            "ready" => (Tone::Good, "is up, and nobody is in".to_owned()),
            "link-up" => (Tone::Good, "hears of its controller".to_owned()),
            "link-down" => (
                Tone::Refused,
                format!("hears nothing of its controller: {}", text(line, "reason")),
            ),
            "join-proxy-ready" => (
                Tone::Plain,
                format!(
                    "leads new devices to the registrar at {}",
                    text(line, "join_proxy")
                ),
            ),
            "state-in-force" => (
                Tone::Plain,
                format!(
                    "has version {} in force: {} may come in",
                    number("version"),
                    number("admitted")
                ),
            ),
            "state-refused" => (
                Tone::Refused,
                format!("refuses a desired state: {}", text(line, "problem")),
            ),
            "accepted" => {
                let segment = line.get("segment").and_then(Value::as_str);
                let segment = segment.map_or(String::new(), |it| format!(" into segment {it}"));
                (Tone::Good, format!("lets {name} in at {at}{segment}"))
            }
            "refused" => (
                Tone::Refused,
                format!(
                    "refuses {} at {at}: {}",
                    text(line, "station"),
                    text(line, "reason")
                ),
            ),
            "cut-off" => (
                Tone::Good,
                format!(
                    "has cut {name} off at {at}, {} ms after it heard of it",
                    number("milliseconds")
                ),
            ),
            _ => return None,
        })
    }

    /// Ends it.
    pub(in crate::demo) async fn end(self) -> anyhow::Result<()> {
        self.gate.end_gracefully().await
    }
}

fn launch(site: &Site<'_>) -> anyhow::Result<Program> {
    let program = site.stage.program("vouchsafe-gate");
    let mut command = site.stage.prepare_in(&site.net.gateway, &program);
    command
        .args(["--output", "json", "--dir"])
        .arg(site.stage.path("gate"));
    Program::start(site.stage, "gate", command)
}

/// The gate makes its key, and gets its certificate by a token of the controller. Somebody who found the token
/// afterwards gets nothing.
async fn enrol(site: &Site<'_>) -> anyhow::Result<()> {
    let token = site.stage.path("hall.token").display().to_string();
    let invited = site
        .command(&["gate", "add", NAME, "--token-out", &token])
        .await?;
    let fingerprint = text(&invited, "fingerprint");
    for (folder, is_first) in [("gate", true), ("finder", false)] {
        let program = site.stage.program("vouchsafe-gate");
        let mut command = site.stage.prepare_in(&site.net.gateway, &program);
        command
            .arg("enrol")
            .arg(site.stage.path(folder))
            .args(["--controller", &site.registrar, "--name", NAME])
            .args(["--token-file", &token, "--fingerprint", fingerprint]);
        let ended = site.stage.finish("vouchsafe-gate", command).await?;
        let enrolled = ended.code == Some(0);
        ensure!(
            enrolled == is_first,
            "{folder} enrolled: {enrolled}: {}",
            ended.stderr
        );
        if is_first {
            let said = "has enrolled by its token, and knows the domain CA by its fingerprint";
            site.narrator.said(GATE, Tone::Good, said);
            continue;
        }
        ensure!(
            ended.stderr.contains("gate-token-used"),
            "for another reason: {}",
            ended.stderr
        );
        let said = "has found the token, and is refused: gate-token-used";
        site.narrator.said("a finder", Tone::Refused, said);
    }
    Ok(())
}

fn settings(site: &Site<'_>) -> String {
    format!(
        "[link]\ncontroller = \"{}\"\n\
         [radius]\nlisten = \"127.0.0.1:1812\"\naccounting = \"127.0.0.1:1813\"\n\
         [[radius.client]]\nname = \"{CLIENT}\"\naddress = \"127.0.0.1\"\nsecret_file = \"secret\"\n",
        site.registrar
    )
}
