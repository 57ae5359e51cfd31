//! Whole onboardings per second, beside the floor.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;

use super::floor::Floor;
use super::measure::{cpu, quantile, show, verdict};
use super::pledge::{Measured, Pledge};
use super::world::World;

/// Pledges at the same time, and onboardings in all, of each run. The first warms up.
const RUNS: [(usize, usize); 4] = [(16, 200), (1, 400), (16, 2000), (64, 4000)];

/// What is asked for at 64 pledges.
const TARGET: f64 = 0.5;

/// Prints the floor and the table.
pub(crate) async fn run(bin_dir: &Path) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism()?.get();
    // One pledge has one thing going on at a time, so one core is its floor.
    let alone = Floor::measure(1)?;
    let floor = Floor::measure(cores)?;
    print_floor(&floor);
    let devices = RUNS.iter().map(|(_, count)| count).sum();
    println!("\nMaking {devices} devices, a manufacturer and a site …");
    let mut world = World::new(bin_dir, devices, 0).await?;
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header([
        "pledges",
        "onboardings/s",
        "floor/s",
        "ratio",
        "p50",
        "p99",
        "CPU each",
        "controller",
        "MASA",
        "pledge",
        "bytes each",
    ]);
    for (index, (together, count)) in RUNS.into_iter().enumerate() {
        let pledges = world.pledges.split_off(world.pledges.len() - count);
        let measured = measure(&world, pledges, together).await?;
        if index == 0 {
            continue;
        }
        let per_second = count as f64 / measured.elapsed.as_secs_f64();
        let floor_per_second = match together {
            1 => alone.per_second(),
            _ => floor.per_second(),
        };
        let ratio = per_second / floor_per_second;
        let each = |time: Duration| show(time / u32::try_from(count).unwrap_or(u32::MAX));
        table.add_row([
            together.to_string(),
            format!("{per_second:.0}"),
            format!("{floor_per_second:.0}"),
            if together == 64 {
                verdict(ratio, TARGET, true)
            } else {
                format!("{ratio:.2}")
            },
            show(quantile(&measured.times, 0.5)),
            show(quantile(&measured.times, 0.99)),
            each(measured.cpu.iter().sum()),
            each(measured.cpu[0]),
            each(measured.cpu[1]),
            each(measured.cpu[2]),
            (measured.bytes / count as u64).to_string(),
        ]);
    }
    println!(
        "\nWhole onboardings: TLS, voucher request, MASA, enrolment, telemetry; journal durable \
         (SQLite, synchronous=FULL) before each answer. All processes share {cores} cores.\n{table}"
    );
    Ok(())
}

fn print_floor(floor: &Floor) {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_header(["operation", "count", "each", "for"]);
    for line in &floor.lines {
        table.add_row([
            line.operation.name().to_owned(),
            line.count.to_string(),
            show(line.each),
            line.why.to_owned(),
        ]);
    }
    println!(
        "Floor: the cryptography of one onboarding, both ends, measured now on {0} cores that do it at the \
         same time.\n{table}\n{1} of CPU, so at most {2:.0} onboardings a second on {0} cores.",
        floor.cores,
        show(floor.cpu()),
        floor.per_second()
    );
}

pub(super) struct Run {
    pub(super) elapsed: Duration,
    /// Sorted.
    times: Vec<Duration>,
    /// Controller, MASA, this process.
    pub(super) cpu: [Duration; 3],
    bytes: u64,
}

pub(super) async fn measure(
    world: &World,
    pledges: Vec<Pledge>,
    together: usize,
) -> anyhow::Result<Run> {
    let [controller, masa] = world.pids();
    let pids = [controller, masa, std::process::id()];
    let before = pids.map(cpu);
    let queue = Arc::new(Mutex::new(VecDeque::from(pledges)));
    let begun = Instant::now();
    let mut workers = Vec::with_capacity(together);
    for _ in 0..together {
        let (queue, registrar) = (queue.clone(), world.registrar.clone());
        workers.push(tokio::spawn(async move {
            let mut done: Vec<Measured> = Vec::new();
            loop {
                let next = queue
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .pop_front();
                match next {
                    Some(pledge) => done.push(pledge.onboard(&registrar).await?),
                    None => return anyhow::Ok(done),
                }
            }
        }));
    }
    let mut measured = Vec::new();
    for worker in workers {
        measured.extend(worker.await?.context("an onboarding failed")?);
    }
    let elapsed = begun.elapsed();
    ensure!(!measured.is_empty(), "nothing was measured");
    let mut cpu_used = [Duration::ZERO; 3];
    for ((used, pid), before) in cpu_used.iter_mut().zip(pids).zip(before) {
        *used = cpu(pid).saturating_sub(before);
    }
    let mut times: Vec<Duration> = measured.iter().map(|each| each.time).collect();
    times.sort_unstable();
    Ok(Run {
        elapsed,
        times,
        cpu: cpu_used,
        bytes: measured.iter().map(|each| each.bytes).sum(),
    })
}
