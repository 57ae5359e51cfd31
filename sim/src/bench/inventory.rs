//! Whether a large inventory makes anything slower: one onboarding, one look-up.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use http::{Request, StatusCode, header};
use vouchsafe_fleet::{DeviceId, ManufacturerId};

use super::measure::{quantile, show, verdict};
use super::onboarding;
use super::world::World;

/// Devices in the two inventories.
const SIZES: [usize; 2] = [1_000, 1_000_000];

/// Onboardings and look-ups in each.
const ONBOARDINGS: usize = 800;
const LOOK_UPS: usize = 3_000;

/// How much dearer the large one may be.
const TARGET: f64 = 1.3;

struct Costs {
    onboarding: Duration,
    look_up: Duration,
}

/// Prints the table.
pub(crate) async fn run(bin_dir: &Path) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header([
        "devices in the inventory",
        "CPU of an onboarding",
        "a look-up, p50",
    ]);
    let mut costs = Vec::new();
    for size in SIZES {
        println!("Filling an inventory with {size} devices …");
        let found = measure(bin_dir, size).await?;
        table.add_row([
            size.to_string(),
            show(found.onboarding),
            show(found.look_up),
        ]);
        costs.push(found);
    }
    if let [small, large] = costs.as_slice() {
        let ratio = |large: Duration, small: Duration| {
            verdict(large.as_secs_f64() / small.as_secs_f64(), TARGET, false)
        };
        table.add_row([
            "ratio".to_owned(),
            ratio(large.onboarding, small.onboarding),
            ratio(large.look_up, small.look_up),
        ]);
    }
    println!(
        "\nThe size of the inventory (a look-up is `GET /api/v1/devices/ID` over TLS):\n{table}"
    );
    Ok(())
}

async fn measure(bin_dir: &Path, size: usize) -> anyhow::Result<Costs> {
    let mut world = World::new(bin_dir, ONBOARDINGS + 100, size).await?;
    let warm_up = world.pledges.split_off(ONBOARDINGS);
    onboarding::measure(&world, warm_up, 16).await?;
    let pledges = std::mem::take(&mut world.pledges);
    let run = onboarding::measure(&world, pledges, 16).await?;
    let cpu: Duration = run.cpu.iter().sum();

    let mut line = world.api().await?;
    let maker = ManufacturerId::of_anchor(b"another maker");
    let mut times = Vec::with_capacity(LOOK_UPS);
    for index in 0..LOOK_UPS {
        // Spread over the inventory, so that a cache of a few pages does not hide the tree's depth.
        let number = index.wrapping_mul(7_919) % size;
        let id = DeviceId::new(maker, &format!("OTHER-{number:07}"));
        let request = Request::get(format!("/api/v1/devices/{id}"))
            .header(header::AUTHORIZATION, world.bearer())
            .body(Bytes::new())?;
        let begun = Instant::now();
        let answer = line.request(request).await?;
        times.push(begun.elapsed());
        ensure!(
            answer.status() == StatusCode::OK,
            "{} for {id}",
            answer.status()
        );
    }
    times.sort_unstable();
    Ok(Costs {
        onboarding: cpu / u32::try_from(ONBOARDINGS)?,
        look_up: quantile(&times, 0.5),
    })
}
