//! Where it all happens: one temporary folder, the programs' files, an environment that reaches
//! nothing outside, and commands that are run to their end.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

use super::narrator::Narrator;
use crate::wired::space::Space;

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How much of each log is shown when something went wrong, in lines.
const LOG_LINES: usize = 25;

/// The folder and the programs; removed when dropped.
#[derive(Debug)]
pub(super) struct Stage {
    folder: TempDir,
    bin: PathBuf,
    simulator: PathBuf,
    /// Words before each program that put it where the story's people are.
    home: Vec<OsString>,
}

/// How a command ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Stage {
    /// A new folder; the programs must be there.
    pub(super) fn set(bin: Option<&Path>) -> anyhow::Result<Self> {
        Self::set_with(bin, &[])
    }

    /// The same, for a story that needs more programs.
    pub(super) fn set_with(bin: Option<&Path>, more: &[&str]) -> anyhow::Result<Self> {
        let simulator = std::env::current_exe().context("finding this program")?;
        let beside = simulator
            .parent()
            .context("finding this program's folder")?;
        let bin = match bin {
            Some(bin) => fs::canonicalize(bin).with_context(|| format!("{}", bin.display()))?,
            None => beside.to_owned(),
        };
        for program in ["vouchsafe", "vouchsafe-agent"].iter().chain(more) {
            if !bin.join(program).is_file() {
                bail!(
                    "{} is not in {}: `cargo xtask demo` builds it",
                    program,
                    bin.display()
                );
            }
        }
        let folder = tempfile::Builder::new()
            .prefix("vouchsafe-demo-")
            .tempdir()?;
        let stage = Self {
            folder,
            bin,
            simulator,
            home: Vec::new(),
        };
        for name in ["home", "config", "logs", "tmp", "devices"] {
            fs::create_dir(stage.path(name))?;
        }
        Ok(stage)
    }

    /// From here on programs run in this network, unless they are put somewhere else.
    pub(super) fn move_to(&mut self, home: &Space) {
        self.home = home.words();
    }

    /// A path in the folder.
    pub(super) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A device's folder.
    pub(super) fn device(&self, serial: &str) -> PathBuf {
        self.path("devices").join(serial)
    }

    /// This program.
    pub(super) fn simulator(&self) -> &Path {
        &self.simulator
    }

    /// Another of our programs.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// A program that ends with this one, in an environment that knows only the folder. It is in
    /// a process group of its own, so that Ctrl-C reaches us alone and we end it in order.
    pub(super) fn prepare(&self, program: &Path) -> Command {
        self.prepare_at(&self.home, program)
    }

    /// The same, in this network.
    pub(super) fn prepare_in(&self, space: &Space, program: &Path) -> Command {
        self.prepare_at(&space.words(), program)
    }

    /// Words before a program of somebody else, so that it ends with this one, in this network.
    pub(super) fn words_in(&self, space: &Space) -> Vec<OsString> {
        let bound = [
            self.simulator.clone().into(),
            "bound".into(),
            std::process::id().to_string().into(),
        ];
        bound.into_iter().chain(space.words()).collect()
    }

    fn prepare_at(&self, place: &[OsString], program: &Path) -> Command {
        let mut command = Command::new(&self.simulator);
        command
            .arg("bound")
            .arg(std::process::id().to_string())
            .args(place)
            .arg(program);
        command
            .env_clear()
            .process_group(0)
            .kill_on_drop(true)
            .stdin(Stdio::null());
        let kept = ["PATH", "LANG", "LC_ALL", "TZ", "RUST_LOG", "RUST_BACKTRACE"];
        for name in kept {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .env("HOME", self.path("home"))
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("TMPDIR", self.path("tmp"))
            .env("SOFTHSM2_CONF", self.path("softhsm2.conf"))
            .env("NO_COLOR", "1")
            .current_dir(self.folder.path());
        command
    }

    /// Runs a program to its end and keeps what it said.
    pub(super) async fn run(
        &self,
        program: &Path,
        arguments: &[impl AsRef<OsStr>],
    ) -> anyhow::Result<Ended> {
        let mut command = self.prepare(program);
        command.args(arguments);
        let name = program.file_name().unwrap_or_default().display();
        self.finish(&name.to_string(), command).await
    }

    /// Runs a prepared program to its end and keeps what it said.
    pub(super) async fn finish(&self, name: &str, mut command: Command) -> anyhow::Result<Ended> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = timeout(PATIENCE, command.output())
            .await
            .with_context(|| format!("{name} did not end within {} s", PATIENCE.as_secs()))?
            .with_context(|| format!("running {name}"))?;
        Ok(Ended {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs `vouchsafe --output json …`, shows the command, and wants it to succeed.
    pub(super) async fn vouchsafe(
        &self,
        narrator: &Narrator,
        arguments: &[impl AsRef<OsStr>],
    ) -> anyhow::Result<Value> {
        let ended = self.try_vouchsafe(narrator, arguments).await?;
        ended.json()
    }

    /// The same, whatever the end.
    pub(super) async fn try_vouchsafe(
        &self,
        narrator: &Narrator,
        arguments: &[impl AsRef<OsStr>],
    ) -> anyhow::Result<Ended> {
        narrator.command(&self.shown("vouchsafe", arguments));
        let mut all = vec![OsString::from("--output"), OsString::from("json")];
        all.extend(
            arguments
                .iter()
                .map(|argument| argument.as_ref().to_owned()),
        );
        self.run(&self.program("vouchsafe"), &all).await
    }

    /// A command as people would type it, the folder being where they are.
    fn shown(&self, program: &str, arguments: &[impl AsRef<OsStr>]) -> String {
        let here = format!("{}/", self.folder.path().display());
        let mut text = program.to_owned();
        for argument in arguments {
            let argument = argument.as_ref().to_string_lossy().replace(&here, "");
            let plain = argument
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_./:=,".contains(c));
            text.push(' ');
            if plain {
                text.push_str(&argument);
            } else {
                text.push_str(&format!("'{argument}'"));
            }
        }
        text
    }

    /// The ends of all logs, for when something went wrong.
    pub(super) fn show_logs(&self, narrator: &Narrator) {
        let Ok(logs) = fs::read_dir(self.path("logs")) else {
            return;
        };
        for log in logs.flatten() {
            let text = fs::read_to_string(log.path()).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            if lines.is_empty() {
                continue;
            }
            narrator.line(&format!("\n── {}", log.file_name().display()));
            let tail = lines.len().saturating_sub(LOG_LINES);
            for line in lines.iter().skip(tail) {
                narrator.line(line);
            }
        }
    }
}

impl Ended {
    /// What it said as JSON, if it succeeded.
    pub(super) fn json(&self) -> anyhow::Result<Value> {
        if self.code != Some(0) {
            bail!(
                "it ended with {:?}: {}{}",
                self.code,
                self.stdout.trim(),
                self.stderr.trim()
            );
        }
        if self.stdout.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&self.stdout).with_context(|| format!("not JSON: {}", self.stdout))
    }
}

/// A port that is free now. A MASA's address stands in every birth certificate, so it must be known
/// before the MASA listens for the first time.
pub(super) fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("finding a free port")?;
    Ok(listener.local_addr()?.port())
}
