//! Bridges, and what passes over them: in the namespace that this runs in the ports of a gate, in another
//! one the same without a gate, to compare with. Behind the first port of each is a device, behind its uplink a
//! service.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use vouchsafe_fleet::admission::MacAddress;

use super::stations;
use crate::bench::measure::quantile_of;
use crate::wifi::find;
use crate::wired::space::Space;

/// Ports of a bridge.
pub(super) const PORTS: usize = 8;

/// Where the service is; its port is that of "discard".
const SERVICE: &str = "10.9.0.1:9";

/// How often each is measured, and for how long, in milliseconds.
const ROUNDS: usize = 5;
const TIME: &str = "1000";

/// Both bridges.
pub(super) struct Ground {
    simulator: PathBuf,
    gated: Wire,
    bare: Wire,
    /// Where the bare one is.
    _elsewhere: Space,
}

/// What passes.
pub(super) struct Passed {
    /// Octets a second over one connection.
    pub(super) octets: f64,
    /// Small datagrams a second.
    pub(super) datagrams: f64,
}

impl Ground {
    /// Makes them. `simulator` is the program `vouchsafe-sim`.
    pub(super) fn new(simulator: &Path) -> anyhow::Result<Self> {
        let elsewhere = Space::new(simulator)?;
        Ok(Self {
            simulator: simulator.to_owned(),
            gated: Wire::new(simulator, None)?,
            bare: Wire::new(simulator, Some(&elsewhere))?,
            _elsewhere: elsewhere,
        })
    }

    /// The bridge sees these stations at the gate's ports, all the time.
    pub(super) fn see(&self, count: usize) -> anyhow::Result<()> {
        let mut lines = String::new();
        for number in 0..count {
            let mac = MacAddress(stations::mac(number)).to_string();
            lines += &format!("fdb replace {mac} dev {} master static\n", port(number));
        }
        let bridge = find("bridge").context("no bridge")?;
        feed(Command::new(bridge).args(["-batch", "-"]), &lines)
    }

    /// What passes through the gate's filter, and what without one: medians of turns.
    pub(super) fn measure(&mut self) -> anyhow::Result<(Passed, Passed)> {
        let (mut gated, mut bare) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            bare.push(self.bare.pour(&self.simulator)?);
            gated.push(self.gated.pour(&self.simulator)?);
        }
        Ok((Passed::median(&gated), Passed::median(&bare)))
    }

    /// Whether the first station reaches the service.
    pub(super) fn passes(&self) -> anyhow::Result<bool> {
        let mut asked = self.gated.device.command(self.simulator.clone());
        let asked = asked.args(["talk", "pour", SERVICE, "1"]);
        let asked = asked.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = asked.spawn()?;
        let end = std::time::Instant::now() + std::time::Duration::from_secs(3);
        while std::time::Instant::now() < end {
            if let Some(status) = child.try_wait()? {
                return Ok(status.success());
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        child.kill()?;
        child.wait()?;
        Ok(false)
    }
}

/// The name of the port behind which a station is.
pub(super) fn port(number: usize) -> String {
    format!("port{}", number % PORTS)
}

impl Passed {
    fn median(all: &[Self]) -> Self {
        let median = |of: fn(&Self) -> f64| quantile_of(all.iter().map(of).collect(), 0.5);
        Self {
            octets: median(|it| it.octets),
            datagrams: median(|it| it.datagrams),
        }
    }
}

/// One bridge, the device at its first port and the service at its uplink.
struct Wire {
    device: Space,
    uplink: Space,
    service: Child,
    said: BufReader<ChildStdout>,
}

impl Wire {
    /// In this namespace, or in another.
    fn new(simulator: &Path, gateway: Option<&Space>) -> anyhow::Result<Self> {
        let (device, uplink) = (Space::new(simulator)?, Space::new(simulator)?);
        let (device_id, uplink_id) = (device.id(), uplink.id());
        let mut lines = "link add br0 type bridge\nlink set br0 up\n".to_owned();
        for number in 0..PORTS {
            let port = port(number);
            lines += &format!(
                "link add {port} type veth peer name eth{number} netns {device_id}\n\
                 link set {port} master br0 up\n"
            );
        }
        lines += &format!(
            "link add up0 type veth peer name eth0 netns {uplink_id}\nlink set up0 master br0 up\n"
        );
        match gateway {
            Some(gateway) => gateway.ip(&lines)?,
            None => {
                let ip = find("ip").context("no ip")?;
                feed(Command::new(ip).args(["-batch", "-"]), &lines)?;
            }
        }
        let mac = MacAddress(stations::mac(0)).to_string();
        device.ip(&format!(
            "link set eth0 address {mac} up\naddress add 10.9.0.2/24 dev eth0\n"
        ))?;
        uplink.ip("link set eth0 up\naddress add 10.9.0.1/24 dev eth0\n")?;
        let mut service = uplink.command(simulator.to_owned());
        let mut service = service
            .args(["talk", "take", SERVICE])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut said = BufReader::new(service.stdout.take().context("no output")?);
        said.read_line(&mut String::new())?;
        Ok(Self {
            device,
            uplink,
            service,
            said,
        })
    }

    fn pour(&mut self, simulator: &Path) -> anyhow::Result<Passed> {
        let pour = |more: &[&str]| -> anyhow::Result<Value> {
            let mut command = self.device.command(simulator.to_owned());
            let command = command.args(["talk", "pour", SERVICE, TIME]).args(more);
            let output = command.stderr(Stdio::inherit()).output()?;
            ensure!(output.status.success(), "nothing passes");
            Ok(serde_json::from_slice(&output.stdout).unwrap_or_default())
        };
        pour(&[])?;
        let before = self.arrived()?;
        let sent = pour(&["--datagrams"])?;
        let arrived = self.arrived()? - before;
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        let taken: Value = serde_json::from_str(&line)?;
        let number = |of: &Value, name: &str| -> anyhow::Result<f64> {
            of.get(name)
                .and_then(Value::as_f64)
                .with_context(|| name.to_owned())
        };
        Ok(Passed {
            octets: number(&taken, "octets")? / number(&taken, "seconds")?,
            datagrams: arrived / number(&sent, "seconds")?,
        })
    }

    /// Packets that arrived at the service's interface so far.
    fn arrived(&self) -> anyhow::Result<f64> {
        let counts = std::fs::read_to_string(format!("/proc/{}/net/dev", self.uplink.id()))?;
        let line = counts
            .lines()
            .find_map(|it| it.trim().strip_prefix("eth0:"));
        let packets = line.and_then(|line| line.split_whitespace().nth(1));
        Ok(packets.context("no eth0")?.parse()?)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.service.kill();
        let _ = self.service.wait();
    }
}

fn feed(command: &mut Command, lines: &str) -> anyhow::Result<()> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(lines.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}", said.trim());
    Ok(())
}
