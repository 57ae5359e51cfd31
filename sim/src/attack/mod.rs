//! Those who try to get in, or to get hold of a device. Each is a process that speaks over sockets,
//! uses only what such an attacker could have, and says as JSON lines what it did and what it got.
//!
//! | attacker | has | wants |
//! | --- | --- | --- |
//! | [`rogue`] | a certification authority, a registrar and a MASA of its own; the public root of the maker | devices to join it |
//! | [`copied`] | a device's birth certificate, not its key | to join in the device's name |
//! | [`unknown`] | a factory of its own | its device to join, or at least its MASA to be asked |

mod announce;
mod copied;
mod pretender;
mod rogue;
mod unknown;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

pub use copied::CopiedCertificate;
pub use rogue::RogueRegistrar;
pub use unknown::UnknownMaker;

/// Who attacks.
#[derive(Debug, clap::Subcommand)]
pub enum Attack {
    /// A network that calls itself a registrar and forges vouchers, or replays real ones.
    RogueRegistrar(RogueRegistrar),
    /// Somebody who copied a device's birth certificate but could not copy its key.
    CopiedCertificate(CopiedCertificate),
    /// A maker that nobody here knows, with a device and a MASA that counts who calls.
    UnknownMaker(UnknownMaker),
}

/// Attacks until SIGTERM, or until it is clear how it ended.
///
/// # Errors
/// When the attack itself could not be carried out; being refused is no error.
pub fn run(attack: &Attack) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    runtime.block_on(async {
        match attack {
            Attack::RogueRegistrar(attack) => attack.run().await,
            Attack::CopiedCertificate(attack) => attack.run().await,
            Attack::UnknownMaker(attack) => attack.run().await,
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// One JSON line on stdout.
fn say(value: &serde_json::Value) {
    let mut out = std::io::stdout().lock();
    // Whoever listened may be gone; there is nobody left to tell.
    let _ = writeln!(out, "{value}").and_then(|()| out.flush());
}

/// Ready at SIGTERM or SIGINT.
async fn told_to_stop() {
    let wait = async |kind| match signal(kind) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::interrupt()) => {}
    }
}
