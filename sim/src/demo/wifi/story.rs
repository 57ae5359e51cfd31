//! The story itself, inside the machine.
//!
//! 1. A factory makes lamps with bootstrapping keys; the owner's controller starts, with its
//!    networks, and imports the manifest of what was bought.
//! 2. Three access points relay to the controller. Two of them, claimed by their URIs, are
//!    configured by it like any device.
//! 3. Four stations wake up: one that the manifest names, one that nobody claimed and that gets a
//!    password once somebody does, one that gets a certificate, and one whose agent drives its
//!    supplicant.
//! 4. One is meant for another network and moves there; one is revoked and stays out.
//!
//! 5. What the journal says of the one that was revoked, and that it was not altered.
//!
//! After each step the controller is asked what it says of the device, and why.

mod site;
mod stations;

use std::process::ExitCode;

use crate::demo::Options;
use crate::demo::narrator::Narrator;
use crate::demo::stage::Stage;
use crate::wifi::guest;

use site::Site;

/// How many radios there are: three access points, four stations.
const RADIOS: usize = 7;

/// Tells it.
pub(super) async fn tell(options: &Options) -> anyhow::Result<ExitCode> {
    let narrator = Narrator::new();
    let stage = Stage::set(options.bin_dir.as_deref())?;
    let told = act(&stage, &narrator).await;
    if let Err(error) = &told {
        stage.show_logs(&narrator);
        narrator.line(&format!("\nerror: {error:#}"));
        return Ok(ExitCode::FAILURE);
    }
    narrator.note("every expected outcome happened");
    Ok(ExitCode::SUCCESS)
}

async fn act(stage: &Stage, narrator: &Narrator) -> anyhow::Result<()> {
    narrator.title("Vouchsafe: Wi-Fi Easy Connect, on the air");
    narrator.note("the radios are simulated; hostapd and wpa_supplicant are Debian's");
    let radios = guest::make_radios(RADIOS)?;
    narrator.chapter(1, "Factory and controller");
    let site = Site::set_up(stage, narrator).await?;
    narrator.chapter(2, "Access points");
    let points = site.access_points(&radios).await?;
    narrator.chapter(3, "Four stations");
    let stations = stations::Stations::wake(&site, &radios).await?;
    stations.known().await?;
    let [_, _, yard] = &points;
    let unclaimed = stations.unclaimed(yard).await?;
    stations.enterprise().await?;
    stations.own_agent().await?;
    narrator.chapter(4, "A longer life");
    stations.moves().await?;
    stations.revoked(&unclaimed, yard).await?;
    drop((points, stations));
    narrator.chapter(5, "What remains");
    site.journal(&unclaimed).await?;
    site.end().await
}
