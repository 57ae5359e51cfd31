//! From a revocation to the moment when everybody says that it took effect, with many devices connected.
//!
//! 1. A site with its MASA, and a gate that enrols at it by its token, all processes of their own. The
//!    devices onboard, and come in at the gate with what they got.
//! 2. Devices are revoked one after the other. For each: when the access point was told to end the session
//!    (it drops the packets from there on, and says so), when the gate took that answer, and when the
//!    controller's answer said that it is so and in the journal.
//! 3. All others are revoked at once.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver as Events, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::{Request, header};
use serde_json::{Value, json};
use vouchsafe_net::{Clock, Connection, Identity};
use vouchsafe_radius::dynamic::{Arrival, Receiver};
use vouchsafe_radius::{Connector, Origin, Trust};
use vouchsafe_trust::{Anchors, Certificate, Revocation};

use super::PATIENCE;
use super::load::{Outcome, Station};
use super::network::{Network, SECRET};
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
    let gate = Gate::start(bin_dir, &world, folder.path(), point.address).await?;
    let pledges = std::mem::take(&mut world.pledges);
    let mut devices = connect(&world, &gate, pledges).await?;
    let rest = devices.split_off(SINGLE);
    let singles = one_by_one(&world, &point, &gate, devices).await?;
    let whole = at_once(&world, &point, &gate, &rest).await?;
    print(singles, whole);
    Ok(())
}

/// A device that is in.
struct Device {
    /// Its number at the controller.
    id: String,
    /// Its station's address.
    mac: [u8; 6],
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
async fn connect(world: &World, gate: &Gate, pledges: Vec<Pledge>) -> anyhow::Result<Vec<Device>> {
    let count = pledges.len();
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
    let mut devices = Vec::with_capacity(count);
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

async fn revoke(
    world: &World,
    line: &mut Connection,
    device: &Device,
    wait: u32,
) -> anyhow::Result<Value> {
    let path = format!("/api/v1/devices/{}/revoke?wait={wait}", device.id);
    let body = json!({ "reason": "measured", "revocation_reason": "key-compromise" });
    call(world, line, Request::post(path), body).await
}

/// Calls the API; the answer must be a good one.
async fn call(
    world: &World,
    line: &mut Connection,
    request: http::request::Builder,
    body: Value,
) -> anyhow::Result<Value> {
    let body = match body {
        Value::Null => Bytes::new(),
        body => Bytes::from(body.to_string()),
    };
    let request = request
        .header(header::AUTHORIZATION, world.bearer())
        .header(header::CONTENT_TYPE, "application/json")
        .body(body)?;
    let answer = line.request(request).await?;
    let text = String::from_utf8_lossy(answer.body()).into_owned();
    ensure!(answer.status().is_success(), "{}: {text}", answer.status());
    Ok(serde_json::from_str(&text)?)
}

fn connector(domain_ca: &Certificate, identity: &Identity) -> Connector {
    let trust = Trust {
        anchors: Anchors::one(domain_ca.clone()),
        revocation: Revocation::NotChecked,
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Connector::new(provider, identity.certified_key(), trust, None)
}

fn is(event: &Value, name: &str) -> bool {
    event.get("event").and_then(Value::as_str) == Some(name)
}

/// The gate's process and what it says, with the time at which it was read.
struct Gate {
    child: Child,
    /// The domain CA, as the gate was shown it.
    anchor: Certificate,
    access: SocketAddr,
    events: Events<(Instant, Value)>,
    /// Devices whose end was confirmed.
    gone: Mutex<HashMap<String, Instant>>,
}

impl Gate {
    /// Invites it, lets it enrol, and starts it.
    async fn start(
        bin_dir: &Path,
        world: &World,
        dir: &Path,
        access_point: SocketAddr,
    ) -> anyhow::Result<Self> {
        let mut api = world.api().await?;
        let gates = Request::post("/api/v1/gates");
        let invited = call(world, &mut api, gates, json!({ "name": "bench" })).await?;
        let field = |name: &str| -> anyhow::Result<&str> {
            let value = invited.get(name).and_then(Value::as_str);
            value.with_context(|| format!("no {name}"))
        };
        std::fs::write(dir.join("token"), field("token")?)?;
        std::fs::write(dir.join("secret"), SECRET)?;
        let controller = world.registrar.to_string();
        let text = format!(
            "[link]\ncontroller = \"{controller}\"\n\
             [radius]\nlisten = \"127.0.0.1:0\"\naccounting = \"127.0.0.1:0\"\n\
             [[radius.client]]\nname = \"bench\"\naddress = \"127.0.0.1\"\nsecret_file = \"secret\"\n\
             disconnect = \"{access_point}\"\n"
        );
        std::fs::write(dir.join("gate.toml"), text)?;
        let program = bin_dir.join("vouchsafe-gate");
        let enrolled = Command::new(&program)
            .arg("enrol")
            .arg(dir)
            .args([
                "--controller",
                &controller,
                "--name",
                "bench",
                "--token-file",
            ])
            .arg(dir.join("token"))
            .args([
                "--fingerprint",
                &format!("sha256:{}", field("domain_ca_sha256")?),
            ])
            .output()
            .with_context(|| program.display().to_string())?;
        ensure!(
            enrolled.status.success(),
            "the gate does not enrol: {}",
            String::from_utf8_lossy(&enrolled.stderr)
        );
        let mut child = Command::new(&program)
            .args(["--output", "json", "--dir"])
            .arg(dir)
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().context("no output")?;
        let mut gate = Self {
            anchor: Certificate::from_pem(&std::fs::read_to_string(dir.join("link/anchor.pem"))?)?,
            child,
            access: access_point,
            events: listen(output),
            gone: Mutex::default(),
        };
        let ready = gate.until(|event| is(event, "ready"))?;
        let access = ready.get("radius").and_then(Value::as_str);
        gate.access = access.context("no address")?.parse()?;
        Ok(gate)
    }

    /// The next event that fits.
    fn until(&self, fits: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let (at, event) = self
                .events
                .recv_timeout(left)
                .context("the gate is silent")?;
            if is(&event, "cut-off")
                && let Some(device) = event.get("device").and_then(Value::as_str)
            {
                let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
                gone.insert(device.to_owned(), at);
            }
            if fits(&event) {
                return Ok(event);
            }
        }
    }

    /// When the end of a device's session was confirmed.
    fn cut_off(&self, device: &str) -> anyhow::Result<Instant> {
        let known = |gate: &Self| {
            let gone = gate.gone.lock().unwrap_or_else(PoisonError::into_inner);
            gone.get(device).copied()
        };
        if let Some(at) = known(self) {
            return Ok(at);
        }
        self.until(|event| {
            is(event, "cut-off") && event.get("device").and_then(Value::as_str) == Some(device)
        })?;
        known(self).context("not cut off")
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(output: ChildStdout) -> Events<(Instant, Value)> {
    let (sender, events) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let Ok(event) = serde_json::from_str(&line) else {
                continue;
            };
            if sender.send((Instant::now(), event)).is_err() {
                return;
            }
        }
    });
    events
}

/// An access point that ends sessions when it is told to.
struct AccessPoint {
    address: SocketAddr,
    ended: Arc<Mutex<HashMap<[u8; 6], Instant>>>,
}

impl AccessPoint {
    fn start() -> anyhow::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let point = Self {
            address: socket.local_addr()?,
            ended: Arc::default(),
        };
        let ended = Arc::clone(&point.ended);
        std::thread::spawn(move || obey(&socket, &ended));
        Ok(point)
    }

    /// When it was told to end a station's session.
    fn told(&self, mac: [u8; 6]) -> anyhow::Result<Instant> {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = ended.get(&mac) else {
            bail!("nobody ended the session of {mac:?}");
        };
        Ok(*at)
    }
}

fn obey(socket: &UdpSocket, ended: &Mutex<HashMap<[u8; 6], Instant>>) {
    let (shared, mut receiver) = (Network::shared(), Receiver::default());
    let mut buffer = [0; 4096];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        let now = Clock::system().now();
        let origin = Origin {
            client: 0,
            address: [0; 16],
            port: from.port(),
        };
        let datagram = buffer.get(..length).unwrap_or_default();
        let answer = match receiver.receive(now, origin, &shared, datagram) {
            Ok(Arrival::Fresh(received)) => {
                if let Some(mac) = received.station().mac {
                    let mut ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
                    ended.entry(mac).or_insert_with(Instant::now);
                }
                received.acknowledge(&mut receiver, now, &shared).ok()
            }
            Ok(Arrival::Repeated(answer)) => Some(answer),
            Err(_) => None,
        };
        if let Some(answer) = answer {
            // One that does not arrive is asked for again.
            let _ = socket.send_to(&answer, from);
        }
    }
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
