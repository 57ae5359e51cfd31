//! Wi-Fi Easy Connect: whole exchanges per second, beside what their cryptography alone costs and
//! beside hostap's own controller under the same load.
//!
//! An exchange is authentication, both sides proving themselves, one network with a connector, and
//! the enrollee's word that it took it, over TCP. One enrollee after the other, or many at a time.

mod alone;
mod enrollee;
mod floor;
mod peers;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use vouchsafe_dpp::tcp;

use super::measure::{cpu, quantile, resident, show, verdict};
use enrollee::Enrollee;
use floor::Floor;
use peers::Controller;

pub use alone::serve;

/// Enrollees; each has its own key, and one exchange at a time.
const ENROLLEES: usize = 256;

/// Sessions at the same time, and exchanges in all, of each run. The first warms up.
const RUNS: [(usize, usize); 4] = [(16, 256), (1, 1024), (16, 2048), (256, 2048)];

/// How often each run is made, the controllers taking turns. The one that took a controller least counts:
/// what else a machine does only adds.
const ROUNDS: usize = 3;

/// Sessions that are held open for the measurement of memory: those before the first count use up what
/// earlier runs left free, and what is measured is what comes after them. The controller takes 4,096.
const OPEN: [usize; 2] = [1000, 4000];

/// Sessions that are opened at the same time; all must be open before the first runs out of time.
const OPENING: usize = 16;

/// What is asked for: a share of the floor's rate, a multiple of hostap's, bytes a session.
const OF_FLOOR: f64 = 0.6;
const OF_HOSTAP: f64 = 3.0;
const BYTES: f64 = 4096.0;

/// What each row includes.
const WHAT: &str = "
Whole exchanges over TCP, all rows under the same load, taking turns, the least of three: mutual authentication, one
network with a connector made for the device, and the device's word that it takes it. Rates are of both
ends together, which share the machine; CPU is that of the controller's process alone, the kernel's work
for it included, and shares and multiples are of it.
* protocol alone: our configurator's states behind a TCP listener, as one thread. Keys and enrollees are
  in memory, everybody gets the same network, nothing is written.
* hostap: hostapd as configurator, as one thread. Keys and enrollees are in memory, everybody gets the same
  network, nothing is written. This is what `protocol alone` does as well.
* whole controller: `vouchsafe serve`. The device is looked up in the inventory, policy decides twice (on
  authentication and on the request), and state and journal are durable (SQLite, synchronous=FULL) before the
  answer leaves; the device's word is stored as well.";

/// One run.
struct Measured {
    elapsed: Duration,
    /// Of the controller's process.
    cpu: Duration,
    times: Vec<Duration>,
}

/// Prints the tables.
pub(super) async fn run(bin_dir: &Path) -> anyhow::Result<()> {
    let floor = Floor::measure()?;
    floor.print();
    let enrollees: Vec<Arc<Enrollee>> = (0..ENROLLEES)
        .map(|_| Enrollee::new().map(Arc::new))
        .collect::<anyhow::Result<_>>()?;
    let alone = Controller::alone(&enrollees)?;
    let ours = Controller::ours(bin_dir, &enrollees).await?;
    let hostap = match Controller::hostap(&enrollees) {
        Ok(hostap) => Some(hostap),
        Err(error) => {
            println!("Without hostap to compare: {error:#}");
            None
        }
    };
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header([
        "sessions",
        "controller",
        "exchanges/s",
        "p50",
        "p99",
        "CPU each",
        "of the floor",
        "× hostap",
    ]);
    for (index, (together, count)) in RUNS.into_iter().enumerate() {
        let mut least = [const { None }; 3];
        for _ in 0..ROUNDS {
            let [first, second, third] = &mut least;
            if let Some(hostap) = &hostap {
                match measure(hostap, &enrollees, together, count).await {
                    Ok(measured) => keep(first, measured),
                    Err(error) => println!("hostap does not serve {together} sessions: {error:#}"),
                }
            }
            for (controller, place) in [(&alone, second), (&ours, third)] {
                keep(
                    place,
                    measure(controller, &enrollees, together, count).await?,
                );
            }
        }
        let [theirs, alone, whole] = least;
        let rows = [("protocol alone", alone), ("whole controller", whole)];
        if index == 0 {
            continue;
        }
        let each = |measured: &Measured| measured.cpu / u32::try_from(count).unwrap_or(u32::MAX);
        let share = |measured| floor.controller().as_secs_f64() / each(measured).as_secs_f64();
        let mut row = |name: &str, measured: &Measured, floor: String, hostap: String| {
            table.add_row([
                together.to_string(),
                name.to_owned(),
                format!("{:.0}", count as f64 / measured.elapsed.as_secs_f64()),
                show(quantile(&measured.times, 0.5)),
                show(quantile(&measured.times, 0.99)),
                show(each(measured)),
                floor,
                hostap,
            ]);
        };
        for (name, measured) in &rows {
            let Some(measured) = measured else { continue };
            let times = theirs.as_ref().map_or(String::new(), |theirs| {
                let ratio = each(theirs).as_secs_f64() / each(measured).as_secs_f64();
                verdict(ratio, OF_HOSTAP, true)
            });
            let share = verdict(share(measured), OF_FLOOR, true);
            row(name, measured, share, times);
        }
        if let Some(theirs) = &theirs {
            let share = format!("{:.2}", share(theirs));
            row("hostap", theirs, share, String::new());
        }
    }
    println!("{WHAT}\n{table}");
    memory(&ours, &enrollees).await
}

/// Keeps the run that took the controller less.
fn keep(least: &mut Option<Measured>, measured: Measured) {
    if least.as_ref().is_none_or(|it| measured.cpu < it.cpu) {
        *least = Some(measured);
    }
}

async fn measure(
    controller: &Controller,
    enrollees: &[Arc<Enrollee>],
    together: usize,
    count: usize,
) -> anyhow::Result<Measured> {
    let left = Arc::new(Mutex::new(count));
    let free: Arc<Mutex<VecDeque<Arc<Enrollee>>>> =
        Arc::new(Mutex::new(enrollees.iter().cloned().collect()));
    let before = cpu(controller.id());
    let begun = Instant::now();
    let workers: Vec<_> = (0..together)
        .map(|_| {
            let (left, free) = (Arc::clone(&left), Arc::clone(&free));
            let (at, peer) = (controller.address, controller.key.clone());
            tokio::spawn(async move {
                let mut times = Vec::new();
                while take(&left) {
                    let enrollee = locked(&free).pop_front().context("no enrollee is free")?;
                    let begun = Instant::now();
                    enrollee.exchange(at, &peer).await?;
                    times.push(begun.elapsed());
                    locked(&free).push_back(enrollee);
                }
                anyhow::Ok(times)
            })
        })
        .collect();
    let mut times = Vec::with_capacity(count);
    for worker in workers {
        times.extend(worker.await??);
    }
    times.sort_unstable();
    Ok(Measured {
        elapsed: begun.elapsed(),
        cpu: cpu(controller.id()).saturating_sub(before),
        times,
    })
}

/// Takes one of those that are left.
fn take(left: &Mutex<usize>) -> bool {
    let mut left = locked(left);
    let any = *left > 0;
    *left = left.saturating_sub(1);
    any
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a session takes that has been answered and waits for the enrollee's next word.
async fn memory(controller: &Controller, enrollees: &[Arc<Enrollee>]) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut open = Vec::new();
    let mut taken = Vec::with_capacity(OPEN.len());
    for count in OPEN {
        while open.len() < count {
            let some: Vec<_> = enrollees
                .iter()
                .cycle()
                .skip(open.len())
                .take(OPENING.min(count - open.len()))
                .map(|enrollee| {
                    let (enrollee, at) = (Arc::clone(enrollee), controller.address);
                    let peer = controller.key.clone();
                    tokio::spawn(async move { enrollee.begin(at, &peer).await })
                })
                .collect();
            for session in some {
                open.push(session.await??);
            }
        }
        taken.push(resident(controller.id()));
    }
    let elapsed = begun.elapsed().as_secs();
    if elapsed >= tcp::SESSION_SECONDS {
        println!("\nMemory: not measured, since opening the sessions took {elapsed} s");
        return Ok(());
    }
    let ([first, last], [less, more]) = (OPEN, taken.as_slice()) else {
        return Ok(());
    };
    let each = more.saturating_sub(*less) as f64 / (last - first) as f64;
    println!(
        "\nMemory: bytes of each of {} sessions that were answered and wait, beyond the first {first}: {}",
        last - first,
        verdict(each.round(), BYTES, false)
    );
    Ok(())
}
