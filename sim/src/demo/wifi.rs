//! `demo --wifi`: the same story on the air.
//!
//! 1. Here: what is missing is said by name. The machine with the radios is booted, and runs this
//!    program again; what that writes is what people see.
//! 2. There ([`story`]): a factory, a controller, access points and stations, each a process of its
//!    own, the last two Debian's.

mod story;

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::sync::mpsc::unbounded_channel;

use super::{INTERRUPTED, Options, Stop};
use crate::wifi::guest;
use crate::wifi::machine::{self, Image, Machine};

/// How long the whole story may take: emulation is slow, and slower on a busy machine.
const STORY: Duration = Duration::from_secs(600);

/// How long the machine may take to power off after the story.
const POWER_OFF: Duration = Duration::from_secs(30);

/// Tells the story: from outside the machine, or in it.
pub(super) async fn run(options: &Options, stop: Stop) -> anyhow::Result<ExitCode> {
    if guest::is_here() {
        return story::tell(options).await;
    }
    in_machine(options, stop, "--wifi").await
}

/// Boots the machine with the radios, runs this program with `--STORY` there, and shows what it says.
pub(super) async fn in_machine(
    options: &Options,
    mut stop: Stop,
    story: &str,
) -> anyhow::Result<ExitCode> {
    let missing = machine::missing();
    ensure!(
        missing.is_empty(),
        "the radios need Debian packages that are not here: {}; as root on Debian, \
         `cargo xtask prepare` installs them",
        missing.join(", ")
    );
    eprintln!("preparing a kernel with simulated radios; the first time it is downloaded");
    let image = tokio::task::spawn_blocking(Image::prepare).await??;
    let (sender, mut lines) = unbounded_channel();
    let machine = boot(&image, story, options.bin_dir.as_deref(), move |line| {
        // Whoever listened is gone when the story is interrupted.
        let _ = sender.send(line);
    })?;
    let told = async {
        while let Some(line) = lines.recv().await {
            // A reader that went away is no reason to stop in the middle.
            let _ = writeln!(std::io::stdout().lock(), "{line}");
        }
    };
    tokio::select! {
        told = tokio::time::timeout(STORY, told) => {
            told.with_context(|| format!("the story did not end within {} s", STORY.as_secs()))?;
        }
        () = stop.told() => return Ok(ExitCode::from(INTERRUPTED)),
    }
    let complaints = machine.complaints();
    let code = tokio::task::spawn_blocking(|| machine.code(POWER_OFF)).await??;
    if code != 0 {
        eprintln!("{complaints}");
    }
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
}

fn boot(
    image: &Image,
    story: &str,
    bin_dir: Option<&Path>,
    each: impl FnMut(String) + Send + 'static,
) -> anyhow::Result<Machine> {
    let own = std::env::current_exe().context("finding this program")?;
    let mut program: Vec<OsString> = vec![own.into(), "demo".into(), story.into()];
    if let Some(bin_dir) = bin_dir {
        program.extend(["--bin-dir".into(), bin_dir.canonicalize()?.into()]);
    }
    let mut environment = Vec::new();
    let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if !colours {
        environment.push(("NO_COLOR", "1".to_owned()));
    }
    if let Ok(log) = std::env::var("RUST_LOG") {
        environment.push(("RUST_LOG", log));
    }
    Machine::boot(image, &program, &environment, each)
}
