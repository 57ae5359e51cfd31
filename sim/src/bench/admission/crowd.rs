//! Many stations at the gate itself, good and bad, over a wire that loses, repeats and alters: how many
//! came in that may not, and how many did not that may. Both must be none.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use vouchsafe_radius::Versions;

use super::TOGETHER;
use super::load::{Faults, Outcome, Station};
use super::network::{Kind, Network};
use super::servers::Server;

/// Attempts in all; `VOUCHSAFE_CROWD` sets another number.
const ATTEMPTS: usize = 100_000;

/// What became of one kind of device.
#[derive(Default)]
struct Count {
    let_in: AtomicUsize,
    refused: AtomicUsize,
}

/// Prints the table.
pub(super) fn run(network: &Network, server: &Server) -> anyhow::Result<()> {
    let attempts = std::env::var("VOUCHSAFE_CROWD")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(ATTEMPTS);
    let next = AtomicUsize::new(0);
    let counts: [Count; Kind::ALL.len()] = std::array::from_fn(|_| Count::default());
    let begun = Instant::now();
    let faults = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..TOGETHER)
            .map(|_| scope.spawn(|| work(network, server, &next, attempts, &counts)))
            .collect();
        let mut faults = 0;
        for worker in workers {
            faults += worker
                .join()
                .map_err(|_| anyhow::anyhow!("a worker failed"))??;
        }
        anyhow::Ok(faults)
    })?;
    print(&counts, attempts, faults, begun.elapsed());
    Ok(())
}

fn work(
    network: &Network,
    server: &Server,
    next: &AtomicUsize,
    attempts: usize,
    counts: &[Count],
) -> anyhow::Result<usize> {
    let mut station = Station::new(server.access)?;
    station.faults = Some(Faults::default());
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= attempts {
            return Ok(station.faults.map_or(0, |faults| faults.count()));
        }
        // Every second one may come in; the others take turns.
        let index = if number.is_multiple_of(2) {
            0
        } else {
            1 + number / 2 % (Kind::ALL.len() - 1)
        };
        let (Some(kind), Some(count)) = (Kind::ALL.get(index), counts.get(index)) else {
            continue;
        };
        let versions = if number % 4 < 2 {
            Versions::Tls12
        } else {
            Versions::Tls13
        };
        let connector = network.connector(network.device(*kind, number)?, versions);
        match station.come_in(connector, network.station(*kind, number))? {
            Outcome::In(_) => &count.let_in,
            Outcome::Refused(_) => &count.refused,
        }
        .fetch_add(1, Ordering::Relaxed);
    }
}

fn print(counts: &[Count], attempts: usize, faults: usize, took: Duration) {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header([
        "device",
        "may come in",
        "came in",
        "refused",
        "wrong",
    ]);
    let mut wrong = 0;
    for (kind, count) in Kind::ALL.iter().zip(counts) {
        let (let_in, refused) = (
            count.let_in.load(Ordering::Relaxed),
            count.refused.load(Ordering::Relaxed),
        );
        let here = if kind.may() { refused } else { let_in };
        wrong += here;
        table.add_row([
            kind.name().to_owned(),
            if kind.may() { "yes" } else { "no" }.to_owned(),
            let_in.to_string(),
            refused.to_string(),
            here.to_string(),
        ]);
    }
    let verdict = if wrong == 0 { "met" } else { "MISSED" };
    println!(
        "\n{attempts} attempts at the gate in {:.0} s, half of them by devices that may not come in, \
         {faults} requests and answers lost, repeated or altered on the way: {wrong} wrong decisions \
         (0: {verdict})\n{table}",
        took.as_secs_f64()
    );
}
