//! A network namespace without a name: it lives as long as a process in it does, so nothing is left
//! behind, however the one who made it ends.
//!
//! 1. A holder is started in a new namespace, and says so. It ends with its standard input.
//! 2. Other programs are put there by `nsenter`.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};

use crate::wifi::find;

/// A network namespace.
#[derive(Debug)]
pub struct Space {
    holder: Child,
}

impl Space {
    /// Makes one, with nothing in it but a loopback interface that is up. `simulator` is the program
    /// `vouchsafe-sim`, which holds it.
    ///
    /// # Errors
    /// Not root, or a kernel without namespaces.
    pub fn new(simulator: &Path) -> anyhow::Result<Self> {
        // 1
        let unshare = find("unshare").context("no unshare")?;
        let mut holder = Command::new(unshare)
            .arg("--net")
            .arg(simulator)
            .arg("hold")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the holder of a network namespace")?;
        let output = holder.stdout.take().context("no output")?;
        let space = Self { holder };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        ensure!(line.trim() == HELD, "no network namespace can be made here");
        space.ip("link set lo up")?;
        Ok(space)
    }

    /// What stands before a program that is to run there.
    #[must_use]
    pub fn words(&self) -> Vec<OsString> {
        // Looked for by name: whoever runs it has a PATH.
        vec!["nsenter".into(), format!("--net={}", self.file()).into()]
    }

    /// The namespace's file, for `nsenter --net=`.
    #[must_use]
    pub fn file(&self) -> String {
        format!("/proc/{}/ns/net", self.holder.id())
    }

    /// The process that `ip link … netns` takes for it.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.holder.id()
    }

    /// Runs commands of `ip` there, one a line.
    ///
    /// # Errors
    /// One of them fails.
    pub fn ip(&self, commands: &str) -> anyhow::Result<()> {
        let ip = find("ip").context("no ip")?;
        let mut command = self.command(ip);
        command.args(["-batch", "-"]);
        run(command, commands).with_context(|| commands.trim().to_owned())
    }

    /// Sets a value under `/proc/sys/net` there.
    ///
    /// # Errors
    /// The kernel has no such value.
    pub fn set(&self, name: &str, value: &str) -> anyhow::Result<()> {
        let script = format!("cat > /proc/sys/net/{name}");
        let mut command = self.command("sh".into());
        command.args(["-c", &script]);
        run(command, value).with_context(|| format!("setting {name}"))
    }

    /// A program that is to run there.
    #[must_use]
    pub fn command(&self, program: PathBuf) -> Command {
        let mut words = self.words().into_iter();
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).arg(program);
        command
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// What a holder says once the namespace is there.
const HELD: &str = "held";

/// The holder's part: says that it is there, and stays as long as its standard input is open.
///
/// # Errors
/// Nobody listens.
pub fn hold() -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{HELD}")?;
    output.flush()?;
    let mut rest = [0; 64];
    while std::io::stdin().lock().read(&mut rest)? > 0 {}
    Ok(())
}

fn run(mut command: Command, input: &str) -> anyhow::Result<()> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that reads nothing has failed, and says why.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}", complaint.trim());
    Ok(())
}
