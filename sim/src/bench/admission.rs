//! Network admission: EAP-TLS authentications per second and what each costs the server, beside the
//! cryptography that it cannot do without and beside FreeRADIUS and hostapd under the same load.
//!
//! An authentication is a whole one: identity, full handshake with both certificates, revocation
//! list looked into, acceptance, and both sides' keys compared. One load generator serves all servers.

mod access_point;
mod crowd;
mod cut;
mod floor;
mod gate;
mod ground;
mod load;
mod many;
mod network;
mod servers;
mod stations;

use std::path::Path;
use std::time::Duration;

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use vouchsafe_radius::{Version, Versions};

use super::measure::{quantile, resident, show, verdict};
use floor::Floor;
use load::{Load, Measured};
use network::Network;
use servers::Server;

pub(super) use cut::run as run_cut;
pub(super) use many::{run as run_many, run_within as run_many_within};

/// Stations at the same time.
const TOGETHER: usize = 8;

/// Rounds. Servers take turns, so that what else the machine does meets them all. The first round
/// warms up.
const ROUNDS: usize = 4;

/// Credentials in the gate's desired state.
const DEVICES: usize = 10_000;

/// What is asked for: a multiple of FreeRADIUS, a share of the floor.
const OF_FREERADIUS: f64 = 3.0;
const OF_FLOOR: f64 = 0.45;

/// Lets a crowd try, and counts wrong decisions.
pub(super) fn crowd(bin_dir: &Path) -> anyhow::Result<()> {
    let network = Network::new(DEVICES)?;
    let server = Server::ours(bin_dir, &network)?;
    crowd::run(&network, &server)
}

/// Prints the tables.
pub(super) fn run(bin_dir: &Path) -> anyhow::Result<()> {
    let network = Network::new(DEVICES)?;
    let servers = start(bin_dir, &network)?;
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header([
        "TLS",
        "server",
        "authentications/s",
        "p50",
        "p99",
        "server's CPU each",
        "of the floor",
        "FreeRADIUS takes",
        "memory, MB",
    ]);
    for (version, versions) in [
        (Version::Tls12, Versions::Tls12),
        (Version::Tls13, Versions::Tls13),
    ] {
        let floor = Floor::measure(version)?;
        floor.print(version);
        let mut sums: Vec<Measured> = servers.iter().map(|_| Measured::default()).collect();
        for round in 0..ROUNDS {
            for (server, sum) in servers.iter().zip(&mut sums) {
                let load = Load::new(&network, server, versions);
                let measured = load.run(TOGETHER, server.round)?;
                if round > 0 {
                    sum.add(measured);
                }
            }
        }
        let theirs = servers
            .iter()
            .zip(&sums)
            .find(|(server, _)| server.name == servers::FREERADIUS)
            .map(|(_, sum)| sum.each());
        for (server, sum) in servers.iter().zip(&mut sums) {
            sum.times.sort_unstable();
            let share = floor.cpu().as_secs_f64() / sum.each().as_secs_f64();
            let times = theirs.map(|theirs| theirs.as_secs_f64() / sum.each().as_secs_f64());
            let is_ours = server.name == servers::OURS;
            table.add_row([
                label(version).to_owned(),
                server.name.to_owned(),
                format!("{:.0}", sum.count() as f64 / sum.elapsed.as_secs_f64()),
                show(quantile(&sum.times, 0.5)),
                show(quantile(&sum.times, 0.99)),
                show(sum.each()),
                if is_ours {
                    verdict(share, OF_FLOOR, true)
                } else {
                    format!("{share:.2}")
                },
                match times {
                    Some(times) if is_ours => verdict(times, OF_FREERADIUS, true) + " ×",
                    Some(times) => format!("{times:.2} ×"),
                    None => String::new(),
                },
                format!("{:.0}", resident(server.id()) as f64 / 1e6),
            ]);
        }
    }
    println!(
        "\nWhole EAP-TLS authentications over RADIUS, {TOGETHER} stations at a time, no resumption, a \
         revocation list looked into each time, both sides' keys compared. The gate decides twice by a \
         desired state of {DEVICES} credentials, keeps sessions, writes an event and takes an accounting \
         record for each; the others have no policy and no accounting. CPU is the server process's \
         own.\n{table}"
    );
    Ok(())
}

fn start(bin_dir: &Path, network: &Network) -> anyhow::Result<Vec<Server>> {
    let mut servers = vec![Server::ours(bin_dir, network)?];
    for (name, started) in [
        (servers::FREERADIUS, Server::freeradius(network)),
        (servers::HOSTAPD, Server::hostapd(network)),
    ] {
        match started {
            Ok(server) => servers.push(server),
            Err(error) => println!("Without {name} to compare: {error:#}"),
        }
    }
    for server in &servers {
        // A server that does not look into the list is cheaper, and no comparison.
        Load::new(network, server, Versions::All).refuses_the_revoked()?;
    }
    Ok(servers)
}

fn label(version: Version) -> &'static str {
    match version {
        Version::Tls12 => "1.2",
        Version::Tls13 => "1.3",
    }
}

/// How long anything may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);
