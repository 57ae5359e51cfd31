//! Chapter 1: the factory.
//!
//! 1. A manufacturer is made, and its MASA and line endpoint listen.
//! 2. Most devices get key and certificate from the factory.
//! 3. Some make their key themselves and ask the line for a certificate: one in a file, one in a
//!    PKCS#11 token.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::cast::{Character, DEVICES, KeyMaker, MAKER};
use super::narrator::{Narrator, Tone};
use super::program::Program;
use super::sentence::{self, text};
use super::stage::{self, Stage};

/// How agents look for registrars: on this machine only, and not for long.
const AGENT_SETTINGS: &[(&str, AgentValue)] = &[
    ("mdns_interface", AgentValue::Text("loopback")),
    ("discovery_window", AgentValue::Number(4000)),
    ("retry_first", AgentValue::Number(1)),
];

#[derive(Clone, Copy)]
enum AgentValue {
    Text(&'static str),
    Number(i64),
}

/// The PIN of the demo's token; it is written to a file in the temporary folder.
const PIN: &str = "471100";

/// The manufacturer at work.
pub(super) struct Factory {
    pub(super) server: Program,
    pub(super) dir: PathBuf,
    /// The manufacturer's id.
    pub(super) id: String,
    /// Which kind of key store each device uses, for the table.
    pub(super) keys: Vec<(&'static str, String)>,
}

impl Factory {
    /// Runs `vouchsafe manufacturer …` on its data folder.
    pub(super) async fn command(
        &self,
        stage: &Stage,
        narrator: &Narrator,
        arguments: &[&str],
    ) -> anyhow::Result<Value> {
        let dir = self.dir.display().to_string();
        command(stage, narrator, &dir, arguments).await
    }
}

async fn command(
    stage: &Stage,
    narrator: &Narrator,
    dir: &str,
    arguments: &[&str],
) -> anyhow::Result<Value> {
    let mut all = vec!["manufacturer"];
    all.extend(arguments);
    all.extend(["--dir", dir]);
    stage.vouchsafe(narrator, &all).await
}

/// Makes everything.
pub(super) async fn build(stage: &Stage, narrator: &Narrator) -> anyhow::Result<Factory> {
    // 1
    let dir = stage.path("factory");
    let shown = dir.display().to_string();
    let masa = format!("127.0.0.1:{}", stage::free_port()?);
    let made = command(
        stage,
        narrator,
        &shown,
        &[
            "init",
            "--name",
            MAKER,
            "--set",
            &format!("masa_url={masa}"),
            "--set",
            &format!("masa.listen={masa}"),
            "--set",
            "line.listen=127.0.0.1:0",
        ],
    )
    .await?;
    let id = text(&made, "manufacturer").to_owned();
    narrator.said(
        MAKER,
        Tone::Good,
        format!("has its roots and keys; it is manufacturer {id}"),
    );
    let arguments = ["manufacturer", "serve", "--dir", &shown];
    let (server, ready) = Program::serve(
        stage,
        "manufacturer",
        &stage.program("vouchsafe"),
        &arguments,
    )
    .await?;
    let line = text(&ready, "line").to_owned();
    narrator.said(
        MAKER,
        Tone::Plain,
        format!(
            "MASA listens at {}, the line at {line}",
            text(&ready, "masa")
        ),
    );
    let mut factory = Factory {
        server,
        dir,
        id,
        keys: Vec::new(),
    };
    // 2
    let mut by_model: Vec<(&str, Vec<&str>)> = Vec::new();
    for device in DEVICES
        .iter()
        .filter(|device| device.key == KeyMaker::Factory)
    {
        match by_model
            .iter_mut()
            .find(|(model, _)| *model == device.model)
        {
            Some((_, serials)) => serials.push(device.serial),
            None => by_model.push((device.model, vec![device.serial])),
        }
        factory
            .keys
            .push((device.serial, "made at the factory".to_owned()));
    }
    let folder = stage.path("births");
    let shown = folder.display().to_string();
    for (model, serials) in by_model {
        let mut arguments = vec!["provision", "--model", model, "--out", &shown];
        arguments.extend(&serials);
        factory.command(stage, narrator, &arguments).await?;
        for serial in serials {
            // The factory's part goes into the device; none of it stays behind.
            fs::create_dir(stage.device(serial))?;
            fs::rename(folder.join(serial), stage.device(serial).join("birth"))
                .with_context(|| format!("putting the birth folder into {serial}"))?;
            narrator.said(
                serial,
                Tone::Good,
                format!("has its birth certificate ({model})"),
            );
        }
    }
    // 3
    let station = stage.path("station").display().to_string();
    factory
        .command(
            stage,
            narrator,
            &["line-station", "station-1", "--out", &station],
        )
        .await?;
    for device in DEVICES
        .iter()
        .filter(|device| device.key != KeyMaker::Factory)
    {
        let keys = born(stage, narrator, device, &line).await?;
        factory.keys.push((device.serial, keys));
    }
    for device in DEVICES {
        configure_agent(stage, device.serial)?;
    }
    Ok(factory)
}

/// Writes `agent.toml`.
pub(super) fn configure_agent(stage: &Stage, serial: &str) -> anyhow::Result<()> {
    let settings: toml::Table = AGENT_SETTINGS
        .iter()
        .map(|(key, value)| {
            let value = match value {
                AgentValue::Text(text) => (*text).into(),
                AgentValue::Number(number) => (*number).into(),
            };
            ((*key).to_owned(), value)
        })
        .collect();
    fs::write(
        stage.device(serial).join("agent.toml"),
        settings.to_string(),
    )
    .with_context(|| format!("writing agent.toml of {serial}"))
}

/// A device makes its own key and is certified by the line. Says where the key is.
async fn born(
    stage: &Stage,
    narrator: &Narrator,
    device: &Character,
    line: &str,
) -> anyhow::Result<String> {
    let dir = stage.device(device.serial).display().to_string();
    let station = stage.path("station").display().to_string();
    let anchor = stage.path("station/line-ca.pem").display().to_string();
    let mut arguments = vec![
        "birth",
        "--dir",
        &dir,
        "--serial",
        device.serial,
        "--model",
        device.model,
        "--line",
        line,
        "--line-identity",
        &station,
        "--line-anchor",
        &anchor,
        "--output",
        "json",
    ];
    let token = match device.key {
        KeyMaker::Token => token(stage, narrator, device.serial).await?,
        KeyMaker::Device | KeyMaker::Factory => None,
    };
    if let Some(token) = &token {
        arguments.extend(["--keys", token]);
    }
    let ended = stage
        .run(&stage.program("vouchsafe-agent"), &arguments)
        .await?;
    if ended.code != Some(0) {
        bail!(
            "{} was not born: {}{}",
            device.serial,
            ended.stdout,
            ended.stderr
        );
    }
    for line in ended.stdout.lines() {
        let line: Value = serde_json::from_str(line).context("what the agent says")?;
        if let Some((tone, said)) = sentence::of_agent(&line, &sentence::Names::default()) {
            narrator.said(device.serial, tone, said);
        }
    }
    Ok(match token {
        Some(_) => "in its PKCS#11 token (SoftHSM2)".to_owned(),
        None => "made on the device".to_owned(),
    })
}

/// A token of the device's own, as a key store address; `None` where there is no SoftHSM2.
async fn token(stage: &Stage, narrator: &Narrator, serial: &str) -> anyhow::Result<Option<String>> {
    let Some(module) = vouchsafe_keystore::find_module("softhsm2") else {
        narrator.note(format!(
            "SoftHSM2 is not installed: the key of {serial} goes into a file"
        ));
        return Ok(None);
    };
    let tokens = stage.path("tokens");
    fs::create_dir(&tokens)?;
    let settings = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
        tokens.display()
    );
    fs::write(stage.path("softhsm2.conf"), settings)?;
    let pin = stage.path("pin");
    vouchsafe_keystore::write_file(&pin, PIN.as_bytes())?;
    let arguments = [
        "--init-token",
        "--free",
        "--label",
        serial,
        "--pin",
        PIN,
        "--so-pin",
        PIN,
    ];
    let ended = stage.run("softhsm2-util".as_ref(), &arguments).await?;
    if ended.code != Some(0) {
        bail!(
            "softhsm2-util made no token: {}{}",
            ended.stdout,
            ended.stderr
        );
    }
    Ok(Some(format!(
        "pkcs11:module={};token={serial};pin-file={}",
        module.display(),
        pin.display()
    )))
}
