//! `demo --wired`: the certificate that a device got when it onboarded opens a port, and nothing else
//! does.
//!
//! ```text
//!  LW-0001 ── p1 ┐                     gateway: the bridge, hostapd for each port, vouchsafe-gate
//!  LW-0002 ── p2 │
//!  LW-0003 ── p3 ├ bridge ── up0 ── uplink: the service, the remediation service
//!  LW-0004 ── p4 │       │
//!  copier  ── p5 ┘       └ mgmt0 ── office: the factory's MASA, the controller, people
//! ```
//!
//! Each of these is a network namespace ([`net`] and [`admission::site`](super::admission::site)), each
//! actor a process of its own in one of them; the chapters are in [`story`]. Namespaces have no names and live as long as
//! the processes in them, so nothing is left behind however this ends.

mod net;
mod story;

use std::cell::Cell;
use std::process::ExitCode;

use anyhow::ensure;

use super::narrator::Narrator;
use super::stage::Stage;
use super::{INTERRUPTED, Options, Stop};
use crate::wired;

/// Tells the story.
pub(super) async fn run(options: &Options, mut stop: Stop) -> anyhow::Result<ExitCode> {
    let missing = wired::missing();
    ensure!(
        missing.is_empty(),
        "wired ports need what is not here: {}; as root on Debian, `cargo xtask prepare` installs \
         packages",
        missing.join(", ")
    );
    let narrator = Narrator::new();
    let mut stage = Stage::set_with(options.bin_dir.as_deref(), &["vouchsafe-gate"])?;
    let net = net::Net::lay(stage.simulator())?;
    stage.move_to(&net.backbone.office);
    let over = Cell::new(false);
    // Whoever is still running is ended when the story is dropped, before the stage and the network are.
    let told = tokio::select! {
        told = story::tell(&stage, &narrator, &net, options.once, &over) => told,
        () = stop.told() => {
            narrator.note("ending every program and removing folder and namespaces");
            let code = if over.get() { 0 } else { INTERRUPTED };
            return Ok(ExitCode::from(code));
        }
    };
    if let Err(error) = told {
        stage.show_logs(&narrator);
        return Err(error);
    }
    Ok(ExitCode::SUCCESS)
}
