//! A gate with 50,000 devices: how long it takes until what it is told is in force, in all and for one change,
//! how much memory that needs, and how much the packet filter slows down what may pass.
//!
//! 1. A site with devices in service, each with a certificate and an address, one in ten in quarantine; and
//!    some that onboard as ever, to come in over RADIUS. All of it in network namespaces.
//! 2. A gate starts that knows nothing: from the controller it gets the whole, at the bridge it sees all
//!    stations, and lets them through its packet filter.
//! 3. Single changes, each until the controller's answer says that the gate confirmed it: at the gate's own
//!    ports from segment to segment, and over RADIUS out.
//! 4. Traffic of one of the devices, beside the same bridge without a gate.
//! 5. The controller is gone, and the gate starts again from what it kept.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use http::Request;
use serde_json::{Value, json};
use vouchsafe_fleet::admission::MacAddress;
use vouchsafe_net::Connection;

use super::access_point::AccessPoint;
use super::cut::{Device, connect, revoke};
use super::gate::{Gate, Setting, call, is};
use super::ground::{Ground, PORTS, port};
use super::stations::{self, QUARANTINE, SEGMENT};
use crate::bench::measure::{most_resident, quantile, show, verdict};
use crate::bench::world::World;
use crate::wired::{missing, space::Space};

/// Devices that are in service; `VOUCHSAFE_DEVICES` sets another number.
const DEVICES: usize = 50_000;

/// Devices that come in over RADIUS and are revoked one by one.
const SINGLE: usize = 100;

/// Devices that change their segment and back, one by one.
const MOVED: usize = 100;

/// What is asked for.
const TARGET_WHOLE: Duration = Duration::from_secs(5);
const TARGET_CHANGE: Duration = Duration::from_millis(50);
const TARGET_MEMORY: f64 = 200.0;
const TARGET_PASSED: f64 = 0.8;

/// Measures in a network namespace of its own.
pub(crate) fn run(bin_dir: &Path) -> anyhow::Result<()> {
    let missing = missing();
    if !missing.is_empty() {
        println!(
            "No gate with {DEVICES} devices without {}.",
            missing.join(", ")
        );
        return Ok(());
    }
    let simulator = std::env::current_exe()?;
    let space = Space::new(&simulator)?;
    let mut command: Command = space.command(simulator);
    let status: ExitStatus = command
        .args(["bench", "gate", "--within", "--bin-dir"])
        .arg(bin_dir)
        .status()?;
    ensure!(status.success(), "not measured: {status}");
    Ok(())
}

/// Prints the tables. All interfaces of this namespace are ours.
pub(crate) async fn run_within(bin_dir: &Path) -> anyhow::Result<()> {
    let text = std::env::var("VOUCHSAFE_DEVICES").ok();
    let count = text.and_then(|text| text.parse().ok()).unwrap_or(DEVICES);
    println!("Filling a site with {count} devices …");
    // 1
    let mut ground = Ground::new(&std::env::current_exe()?)?;
    ground.see(count)?;
    let mut world = World::build(bin_dir, SINGLE, async |home, clock| {
        stations::fill(home, clock, count).await
    })
    .await?;
    let mut api = world.api().await?;
    for segment in [
        json!({ "name": SEGMENT }),
        json!({ "name": QUARANTINE, "reach": [{ "network": "10.9.0.1", "protocol": "tcp", "port": 7 }] }),
    ] {
        call(&world, &mut api, Request::post("/api/v1/segments"), segment).await?;
    }
    let folder = tempfile::tempdir()?;
    let point = AccessPoint::start()?;
    let setting = Setting {
        bin_dir,
        dir: folder.path(),
        access_point: point.address,
        more: &ports(folder.path()),
    };
    setting.enrol(&world).await?;
    // 2
    let cold = Start::of(&setting, count)?;
    cold.gate.end()?;
    for file in ["link/state.json", "link/differences", "sessions.json"] {
        remove(&folder.path().join(file))?;
    }
    let linked = Start::of(&setting, count)?;
    let known = until_known(&world, &mut api, linked.begun).await?;
    let gate = linked.gate;
    // 3
    let pledges = std::mem::take(&mut world.pledges);
    let devices = connect(&world, &gate, pledges, count).await?;
    let moved = moves(&world, &mut api, &gate).await?;
    let cut = cuts(&world, &mut api, devices).await?;
    let memory = most_resident(gate.id()) as f64 / 1e6;
    // 4
    let (gated, bare) = ground.measure()?;
    revoke_station(&world, &mut api, 0).await?;
    ensure!(
        !ground.passes()?,
        "a revoked device still reaches the service"
    );
    // 5
    gate.end()?;
    world.end_controller();
    let kept = Start::of(&setting, count - 1)?;

    let mut table = new_table(&[
        "from nothing until all of it is in force",
        "state taken",
        "filter has followed",
    ]);
    for (name, start) in [
        (
            "the gate starts, the controller reads its store first",
            &cold.times,
        ),
        (
            "the gate starts, the controller has its state at hand",
            &linked.times,
        ),
        ("the gate starts again, without a controller", &kept.times),
    ] {
        table.add_row([
            name.to_owned(),
            show(start.taken),
            beside(start.followed, TARGET_WHOLE),
        ]);
    }
    println!(
        "\nA gate with {count} devices, each with a certificate and a station at one of {PORTS} ports of the \
         gate, one in ten in quarantine: a desired state of {} entries and a packet filter of {count} elements. \
         The controller heard of all {count} sessions {} after the gate's start.\n{table}",
        2 * count,
        show(known)
    );
    let mut table = new_table(&["one change", "p50", "p99", "slowest"]);
    for (name, mut times) in [
        ("own port: state taken → filter has followed", moved.gate),
        ("own port: request → state taken", moved.taken),
        (
            "own port: filter has followed → confirmed by the gate",
            moved.told,
        ),
        ("own port: request → confirmed by the gate", moved.confirmed),
        ("RADIUS: request → session ended, confirmed, journaled", cut),
    ] {
        times.sort_unstable();
        table.add_row([
            name.to_owned(),
            show(quantile(&times, 0.5)),
            beside(quantile(&times, 0.99), TARGET_CHANGE),
            show(quantile(&times, 1.0)),
        ]);
    }
    println!(
        "\n{} changes of segment, {SINGLE} revocations, one by one.\n{table}",
        2 * MOVED
    );
    let mut table = new_table(&[
        "what passes",
        "without a gate",
        "through the filter",
        "share",
    ]);
    table.add_row([
        "one connection, Gbit/s".to_owned(),
        format!("{:.2}", bare.octets * 8.0 / 1e9),
        format!("{:.2}", gated.octets * 8.0 / 1e9),
        verdict(gated.octets / bare.octets, TARGET_PASSED, true),
    ]);
    table.add_row([
        "datagrams of 64 octets, a second".to_owned(),
        format!("{:.0}", bare.datagrams),
        format!("{:.0}", gated.datagrams),
        verdict(gated.datagrams / bare.datagrams, TARGET_PASSED, true),
    ]);
    println!(
        "\nTraffic of one device over the bridge, by turns with one that has no gate; memory of the gate's \
         process at its most, without the programs that it runs for a moment: {} MB.\n{table}",
        verdict(memory, TARGET_MEMORY, false)
    );
    Ok(())
}

/// A gate that has started.
struct Start {
    gate: Gate,
    begun: Instant,
    times: Times,
}

/// From its start on.
struct Times {
    taken: Duration,
    followed: Duration,
}

impl Start {
    /// Starts it, and waits until it has let so many stations through.
    fn of(setting: &Setting<'_>, count: usize) -> anyhow::Result<Self> {
        let begun = Instant::now();
        let gate = setting.start()?;
        let mut taken = begun;
        let mut through = 0;
        let (followed, _) = gate.until_then(|at, event| {
            if is(event, "state-in-force") && through == 0 {
                taken = at;
            }
            through += usize::from(is(event, "port-opened"));
            through == count
        })?;
        let times = Times {
            taken: taken.duration_since(begun),
            followed: followed.duration_since(begun),
        };
        Ok(Self { gate, begun, times })
    }
}

/// How long it took until the controller had all sessions of the gate: a change is confirmed behind what the gate
/// still has to tell of them.
async fn until_known(
    world: &World,
    api: &mut Connection,
    begun: Instant,
) -> anyhow::Result<Duration> {
    let number = (2 * MOVED..).find(|number| !stations::is_quarantined(*number));
    let device = stations::device(number.context("no device")?);
    for word in ["quarantine", "restore"] {
        let path = format!("/api/v1/devices/{device}/{word}?wait=30");
        let reason = json!({ "reason": "measured" });
        is_confirmed(&call(world, api, Request::post(path), reason).await?)?;
    }
    Ok(begun.elapsed())
}

/// What changes of segment took.
struct Moved {
    taken: Vec<Duration>,
    gate: Vec<Duration>,
    told: Vec<Duration>,
    confirmed: Vec<Duration>,
}

/// Step 3 at the gate's own ports.
async fn moves(world: &World, api: &mut Connection, gate: &Gate) -> anyhow::Result<Moved> {
    let mut moved = Moved {
        taken: Vec::new(),
        gate: Vec::new(),
        told: Vec::new(),
        confirmed: Vec::new(),
    };
    let numbers = (1..).filter(|number| !stations::is_quarantined(*number));
    for number in numbers.take(MOVED) {
        for word in ["quarantine", "restore"] {
            let begun = Instant::now();
            let path = format!(
                "/api/v1/devices/{}/{word}?wait=30",
                stations::device(number)
            );
            let answer = call(
                world,
                api,
                Request::post(path),
                json!({ "reason": "measured" }),
            )
            .await?;
            let confirmed = Instant::now();
            moved.confirmed.push(confirmed.duration_since(begun));
            is_confirmed(&answer)?;
            let mac = MacAddress(stations::mac(number)).to_string();
            let mut taken = None;
            let (followed, _) = gate.until_then(|at, event| {
                if is(event, "state-in-force") {
                    taken = Some(at);
                }
                is(event, "station-moved") && event.get("station") == Some(&json!(mac))
            })?;
            let taken = taken.context("no state was taken")?;
            moved.taken.push(taken.duration_since(begun));
            moved.gate.push(followed.duration_since(taken));
            moved.told.push(confirmed.duration_since(followed));
        }
    }
    Ok(moved)
}

/// Step 3 over RADIUS.
async fn cuts(
    world: &World,
    api: &mut Connection,
    devices: Vec<Device>,
) -> anyhow::Result<Vec<Duration>> {
    let mut times = Vec::new();
    for device in devices {
        let begun = Instant::now();
        let answer = revoke(world, api, &device, 30).await?;
        times.push(begun.elapsed());
        is_confirmed(&answer)?;
    }
    Ok(times)
}

async fn revoke_station(world: &World, api: &mut Connection, number: usize) -> anyhow::Result<()> {
    let device = Device {
        id: stations::device(number).to_string(),
        mac: stations::mac(number),
    };
    is_confirmed(&revoke(world, api, &device, 30).await?)
}

fn is_confirmed(answer: &Value) -> anyhow::Result<()> {
    let waiting = answer
        .pointer("/enforcement/waiting")
        .and_then(Value::as_array);
    if !waiting.is_some_and(Vec::is_empty) {
        bail!("the gate did not confirm: {answer}");
    }
    Ok(())
}

/// The gate's own ports; nobody speaks 802.1X there.
fn ports(dir: &Path) -> String {
    let secret =
        "[[radius.client]]\nname = \"ports\"\naddress = \"127.0.0.2\"\nsecret_file = \"secret\"\n";
    let mut text = format!("{secret}[wired]\nclient = \"ports\"\nuplinks = [\"up0\"]\n");
    let names: BTreeSet<String> = (0..PORTS).map(port).collect();
    for name in names {
        let control = dir.join("no-hostapd").join(&name);
        text += &format!(
            "[[wired.port]]\ninterface = \"{name}\"\ncontrol = \"{}\"\n",
            control.display()
        );
    }
    text
}

fn remove(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(header);
    table
}

fn beside(time: Duration, target: Duration) -> String {
    let word = if time <= target { "met" } else { "MISSED" };
    format!("{} (≤ {}: {word})", show(time), show(target))
}
