//! From a revocation to the moment when everybody says that it took effect, with many devices connected.
//!
//! 1. A site with its MASA, and a gate that enrols at it by its token, all processes of their own. The
//!    devices onboard, and come in at the gate with what they got.
//! 2. Devices are revoked one after the other. For each: when the access point was told to end the session
//!    (it drops the packets from there on, and says so), when the gate took that answer, and when the
//!    controller's answer said that it is so and in the journal.
//! 3. All others are revoked at once.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::Request;
use serde_json::{Value, json};
use vouchsafe_net::{Connection, Identity};
use vouchsafe_trust::Certificate;

use super::PATIENCE;
use super::access_point::AccessPoint;
use super::gate::{Gate, Setting, call, connector, is};
use super::load::{Outcome, Station};
use crate::bench::measure::{quantile, show};
use crate::bench::pledge::Pledge;
use crate::bench::world::World;

/// Devices that stay connected while others are revoked one by one, and are revoked at once then.
const CONNECTED: usize = 1000;

/// Devices that are revoked one by one.
const SINGLE: usize = 200;

/// Onboardings, and revocations at once, under way at the same time.
const TOGETHER: usize = 64;

/// What is asked for.
const TARGET_SINGLE: Duration = Duration::from_millis(250);
const TARGET_ALL: Duration = Duration::from_secs(2);

/// Prints the tables.
pub(crate) async fn run(bin_dir: &Path) -> anyhow::Result<()> {
    println!("Connecting {} devices …", CONNECTED + SINGLE);
    let mut world = World::new(bin_dir, CONNECTED + SINGLE, 0).await?;
    let folder = tempfile::tempdir()?;
    let point = AccessPoint::start()?;
    let setting = Setting {
        bin_dir,
        dir: folder.path(),
        access_point: point.address,
        more: "",
    };
    setting.enrol(&world).await?;
    let gate = setting.start()?;
    let pledges = std::mem::take(&mut world.pledges);
    let mut devices = connect(&world, &gate, pledges, 0).await?;
    let rest = devices.split_off(SINGLE);
    let singles = one_by_one(&world, &point, &gate, devices).await?;
    let whole = at_once(&world, &point, &gate, &rest).await?;
    print(singles, whole);
    Ok(())
}

/// A device that is in.
pub(super) struct Device {
    /// Its number at the controller.
    pub(super) id: String,
    /// Its station's address.
    pub(super) mac: [u8; 6],
}

/// What one revocation took, from the request on.
struct Steps {
    dropped: Duration,
    confirmed: Duration,
    journaled: Duration,
}

/// One of them.
type Step = fn(&Steps) -> Duration;

/// Step 1: onboarding, then admission.
pub(super) async fn connect(
    world: &World,
    gate: &Gate,
    pledges: Vec<Pledge>,
    others: usize,
) -> anyhow::Result<Vec<Device>> {
    let count = pledges.len() + others;
    let identities: Vec<(Identity, String)> = stream::iter(pledges)
        .map(|pledge| async move {
            let serial = pledge
                .chain
                .first()
                .and_then(Certificate::subject_serial_number);
            let serial = serial.context("no serial number")?.to_owned();
            anyhow::Ok((pledge.onboard_for(&world.registrar).await?.1, serial))
        })
        .buffer_unordered(TOGETHER)
        .try_collect()
        .await?;
    let mut api = world.api().await?;
    gate.until(|event| {
        is(event, "state-in-force") && event.get("admitted") == Some(&json!(count))
    })?;
    let mut station = Station::new(gate.access)?;
    let mut devices = Vec::with_capacity(count - others);
    for (number, (identity, serial)) in identities.into_iter().enumerate() {
        let outcome = station.come_in(connector(&gate.anchor, &identity), number)?;
        ensure!(matches!(outcome, Outcome::In(_)), "{serial} was refused");
        let path = format!("/api/v1/devices?serial={serial}");
        let page = call(world, &mut api, Request::get(path), Value::Null).await?;
        let id = page.pointer("/items/0/id").and_then(Value::as_str);
        let [.., a, b] = number.to_be_bytes();
        devices.push(Device {
            id: id.context("no such device")?.to_owned(),
            mac: [2, 0, 0, 0, a, b],
        });
    }
    Ok(devices)
}

/// Step 2.
async fn one_by_one(
    world: &World,
    point: &AccessPoint,
    gate: &Gate,
    devices: Vec<Device>,
) -> anyhow::Result<Vec<Steps>> {
    let mut api = world.api().await?;
    let mut all = Vec::with_capacity(devices.len());
    for device in devices {
        let begun = Instant::now();
        let answer = revoke(world, &mut api, &device, 30).await?;
        let journaled = begun.elapsed();
        let waiting = answer
            .pointer("/enforcement/waiting")
            .and_then(Value::as_array);
        ensure!(
            waiting.is_some_and(Vec::is_empty),
            "a gate did not confirm: {answer}"
        );
        let confirmed = gate.cut_off(&device.id)?;
        all.push(Steps {
            dropped: point.told(device.mac)?.duration_since(begun),
            confirmed: confirmed.duration_since(begun),
            journaled,
        });
    }
    Ok(all)
}

/// Step 3.
async fn at_once(
    world: &World,
    point: &AccessPoint,
    gate: &Gate,
    devices: &[Device],
) -> anyhow::Result<Steps> {
    let mut lines = Vec::with_capacity(TOGETHER);
    for _ in 0..TOGETHER {
        lines.push(world.api().await?);
    }
    let share = devices.len().div_ceil(TOGETHER);
    let begun = Instant::now();
    let revoked = lines
        .iter_mut()
        .zip(devices.chunks(share))
        .map(|(line, devices)| async move {
            for device in devices {
                revoke(world, line, device, 0).await?;
            }
            anyhow::Ok(())
        });
    futures_util::future::try_join_all(revoked).await?;
    let mut line = world.api().await?;
    let path = "/api/v1/sessions?ended=false&limit=1";
    let end = Instant::now() + PATIENCE;
    loop {
        let page = call(world, &mut line, Request::get(path), Value::Null).await?;
        let items = page.get("items").and_then(Value::as_array);
        if items.is_some_and(Vec::is_empty) {
            break;
        }
        ensure!(Instant::now() < end, "sessions remain: {page}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let journaled = begun.elapsed();
    let (mut dropped, mut confirmed) = (begun, begun);
    for device in devices {
        dropped = dropped.max(point.told(device.mac)?);
        confirmed = confirmed.max(gate.cut_off(&device.id)?);
    }
    Ok(Steps {
        dropped: dropped.duration_since(begun),
        confirmed: confirmed.duration_since(begun),
        journaled,
    })
}

pub(super) async fn revoke(
    world: &World,
    line: &mut Connection,
    device: &Device,
    wait: u32,
) -> anyhow::Result<Value> {
    let path = format!("/api/v1/devices/{}/revoke?wait={wait}", device.id);
    let body = json!({ "reason": "measured", "revocation_reason": "key-compromise" });
    call(world, line, Request::post(path), body).await
}

fn print(singles: Vec<Steps>, whole: Steps) {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header([
        "from the request to revoke",
        "p50",
        "p99",
        "1,000 at once: the last",
    ]);
    let rows: [(&str, Step); 3] = [
        ("access point told: packets dropped", |it| it.dropped),
        ("gate has the confirmation", |it| it.confirmed),
        ("controller has it in the journal", |it| it.journaled),
    ];
    for (place, (name, step)) in rows.into_iter().enumerate() {
        let mut times: Vec<Duration> = singles.iter().map(step).collect();
        times.sort_unstable();
        let (p99, last) = (quantile(&times, 0.99), step(&whole));
        let is_end = place == 2;
        table.add_row([
            name.to_owned(),
            show(quantile(&times, 0.5)),
            beside(p99, TARGET_SINGLE, is_end),
            beside(last, TARGET_ALL, is_end),
        ]);
    }
    println!(
        "\nRevocation with {CONNECTED} devices connected, {SINGLE} one by one and {CONNECTED} at once \
         ({TOGETHER} requests at a time): controller, gate and access point on one machine, Disconnect by RADIUS \
         (RFC 5176), the gate linked to the controller by TLS.\n{table}"
    );
}

/// A time, beside what is asked for where that counts.
fn beside(time: Duration, target: Duration, counts: bool) -> String {
    let word = if time <= target { "met" } else { "MISSED" };
    match counts {
        true => format!("{} (≤ {}: {word})", show(time), show(target)),
        false => show(time),
    }
}
