//! A program that runs while the story goes on: it says JSON lines on stdout and logs on stderr.
//!
//! However the story ends, a program is ended by its own process id: SIGTERM, and SIGKILL for one
//! that does not listen.

use std::fs::File;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, timeout, timeout_at};

use super::stage::Stage;

/// How long a server may take to start: key generation included, on a busy machine.
const START: Duration = Duration::from_secs(60);

/// How long a program may take to end once told.
const END: Duration = Duration::from_secs(10);

/// How long a program that is dropped may take, before it is killed.
const DROP: Duration = Duration::from_secs(2);

/// A running program.
#[derive(Debug)]
pub(super) struct Program {
    name: String,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    /// Starts it.
    pub(super) fn start(stage: &Stage, name: &str, mut command: Command) -> anyhow::Result<Self> {
        let log = stage.path("logs").join(format!("{name}.log"));
        let log = File::options().create(true).append(true).open(&log)?;
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let stdout = child.stdout.take().context("no stdout")?;
        Ok(Self {
            name: name.to_owned(),
            child,
            lines: BufReader::new(stdout).lines(),
        })
    }

    /// Starts a server and reads its ready line.
    pub(super) async fn serve(
        stage: &Stage,
        name: &str,
        program: &Path,
        arguments: &[&str],
    ) -> anyhow::Result<(Self, Value)> {
        let mut command = stage.prepare(program);
        command.args(arguments);
        let mut server = Self::start(stage, name, command)?;
        let is_ready = |line: &Value| line.get("ready").is_some();
        let ready = server.wait_for("its ready line", START, is_ready).await?;
        Ok((server, ready))
    }

    /// The next JSON line; `None` when it has said everything.
    pub(super) async fn next(&mut self, deadline: Instant) -> anyhow::Result<Option<Value>> {
        loop {
            let line = timeout_at(deadline, self.lines.next_line())
                .await
                .with_context(|| format!("{} said nothing more in time", self.name))??;
            match line {
                None => return Ok(None),
                Some(line) if line.trim().is_empty() => {}
                Some(line) => {
                    let value = serde_json::from_str(&line)
                        .with_context(|| format!("{} said no JSON: {line}", self.name))?;
                    return Ok(Some(value));
                }
            }
        }
    }

    /// Waits for one line, passing over others.
    pub(super) async fn wait_for(
        &mut self,
        what: &str,
        within: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let deadline = Instant::now() + within;
        loop {
            match self.next(deadline).await? {
                Some(line) if wanted(&line) => return Ok(line),
                Some(_) => {}
                None => {
                    let status = self.ended(END).await?;
                    bail!("{} ended ({status}) before {what}", self.name);
                }
            }
        }
    }

    /// Waits until it ends by itself; `each` sees every line.
    pub(super) async fn until_end(
        mut self,
        within: Duration,
        mut each: impl FnMut(&Value),
    ) -> anyhow::Result<(ExitStatus, Vec<Value>)> {
        let deadline = Instant::now() + within;
        let mut said = Vec::new();
        while let Some(line) = self.next(deadline).await? {
            each(&line);
            said.push(line);
        }
        Ok((self.ended(END).await?, said))
    }

    /// Tells it to end, and gives what it still had to say.
    pub(super) async fn stop(mut self) -> anyhow::Result<(ExitStatus, Vec<Value>)> {
        self.signal(Signal::TERM);
        let deadline = Instant::now() + END;
        let mut said = Vec::new();
        while let Some(line) = self.next(deadline).await? {
            said.push(line);
        }
        Ok((self.ended(END).await?, said))
    }

    /// Takes its life without warning, as a power cut would.
    pub(super) async fn kill(mut self) -> anyhow::Result<()> {
        self.signal(Signal::KILL);
        self.ended(END).await?;
        Ok(())
    }

    /// Tells it to end; it must do so with exit code 0.
    pub(super) async fn end_gracefully(self) -> anyhow::Result<()> {
        let name = self.name.clone();
        let (status, _) = self.stop().await?;
        ensure!(
            status.success(),
            "{name} ended with {status} when it was told to stop"
        );
        Ok(())
    }

    async fn ended(&mut self, within: Duration) -> anyhow::Result<ExitStatus> {
        let status = timeout(within, self.child.wait()).await;
        Ok(status.with_context(|| format!("{} does not end", self.name))??)
    }

    fn signal(&self, signal: Signal) {
        let id = self
            .child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        if let Some(id) = id {
            // It may have ended by itself a moment ago; it is not reaped yet, so the id is its own.
            let _ = kill_process(id, signal);
        }
    }
}

impl Drop for Program {
    /// Not asynchronous, because it must also work in a panic. The child that is left after that is
    /// killed by `kill_on_drop`.
    fn drop(&mut self) {
        self.signal(Signal::TERM);
        let pause = Duration::from_millis(10);
        let mut waited = Duration::ZERO;
        while waited < DROP && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(pause);
            waited += pause;
        }
    }
}
