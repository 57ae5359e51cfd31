//! A program that ends with its parent, also when the parent is killed without a word.
//!
//! 1. The kernel is asked to send SIGTERM when the parent is gone; that survives `exec`.
//! 2. If the parent was gone before, nobody would ever send it: nothing is started then.
//! 3. This process becomes the program.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::Context as _;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};

/// Becomes `command`; what is returned is why that did not work.
#[must_use]
pub fn run(parent: u32, command: &[OsString]) -> anyhow::Error {
    // 1
    if let Err(error) = set_parent_process_death_signal(Some(Signal::TERM)) {
        return anyhow::Error::new(error).context("asking for the parent's death signal");
    }
    // 2
    let alive = getppid().and_then(|id| u32::try_from(id.as_raw_nonzero().get()).ok());
    if alive != Some(parent) {
        return anyhow::anyhow!("process {parent} is gone");
    }
    // 3
    let Some((program, arguments)) = command.split_first() else {
        return anyhow::anyhow!("no program");
    };
    let failed = Command::new(program).args(arguments).exec();
    Err::<(), _>(failed)
        .with_context(|| format!("starting {}", program.display()))
        .err()
        .unwrap_or_else(|| anyhow::anyhow!("unreachable"))
}
