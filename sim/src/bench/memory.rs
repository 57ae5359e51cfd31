//! What a thousand open connections take.

use std::path::Path;

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use vouchsafe_net::{Connector, ConnectorOptions, Identity, ServerTrust};

use super::measure::{resident, verdict};
use super::onboarding;
use super::world::World;

/// Connections held open.
const CONNECTIONS: usize = 1_000;

/// Megabytes that the controller may take then.
const TARGET: f64 = 150.0;

/// Prints the table.
pub(crate) async fn run(bin_dir: &Path) -> anyhow::Result<()> {
    let mut world = World::new(bin_dir, 201, 0).await?;
    let [controller, _] = world.pids();
    let megabytes = || resident(controller) as f64 / 1e6;
    let idle = megabytes();
    let pledges = world.pledges.split_off(1);
    onboarding::measure(&world, pledges, 64).await?;
    let used = megabytes();
    let mut options = ConnectorOptions::new(ServerTrust::Provisional);
    if let Some(pledge) = world.pledges.first() {
        let identity = Identity::new(pledge.chain.clone(), pledge.signer.clone())?;
        options = options.with_identity(identity);
    }
    let connector = Connector::new(options);
    let mut open = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        open.push(connector.connect(&world.registrar).await?);
    }
    let full = megabytes();
    let alive = open.iter().filter(|line| line.is_open()).count();
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_header(["controller", "resident memory, MB"]);
    table.add_row(["started".to_owned(), format!("{idle:.1}")]);
    table.add_row(["after 200 onboardings".to_owned(), format!("{used:.1}")]);
    table.add_row([
        format!("with {alive} TLS connections open, client certificates shown"),
        verdict(full, TARGET, false),
    ]);
    println!("Memory:\n{table}");
    Ok(())
}
