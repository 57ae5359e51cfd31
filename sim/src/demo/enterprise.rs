//! `demo --enterprise`: admission on the air.
//!
//! 1. Here the machine with the radios is booted, as for `demo --wifi`, and runs this program again.
//! 2. There ([`story`]): an open network that leads to nothing but the join proxy, and a closed one,
//!    WPA3-Enterprise with EAP-TLS, whose access point asks the gate.
//!
//! It is a story of its own, apart from `--wifi`: there Wi-Fi Easy Connect gives the configuration, here
//! BRSKI gives the certificate, and neither needs the other.

mod story;

use std::process::ExitCode;

use super::{Options, Stop, wifi};
use crate::wifi::guest;

/// Tells the story: from outside the machine, or in it.
pub(super) async fn run(options: &Options, stop: Stop) -> anyhow::Result<ExitCode> {
    if guest::is_here() {
        return story::tell(options).await;
    }
    wifi::in_machine(options, stop, "--enterprise").await
}
