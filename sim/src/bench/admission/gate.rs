//! A gate in a process of its own, linked to its controller, and what it says.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver as Events, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::{Request, header};
use serde_json::{Value, json};
use vouchsafe_net::{Connection, Identity};
use vouchsafe_radius::{Connector, Trust};
use vouchsafe_trust::{Anchors, Certificate, Revocation};

use super::PATIENCE;
use super::network::SECRET;
use crate::bench::world::World;

/// Where a gate is, and what it has beside its link and its RADIUS server.
pub(super) struct Setting<'a> {
    pub(super) bin_dir: &'a Path,
    /// Its folder.
    pub(super) dir: &'a Path,
    /// Who ends sessions for it.
    pub(super) access_point: SocketAddr,
    /// More for its `gate.toml`.
    pub(super) more: &'a str,
}

impl Setting<'_> {
    /// Invites the gate, and lets it enrol.
    pub(super) async fn enrol(&self, world: &World) -> anyhow::Result<()> {
        let mut api = world.api().await?;
        let gates = Request::post("/api/v1/gates");
        let invited = call(world, &mut api, gates, json!({ "name": "bench" })).await?;
        let field = |name: &str| -> anyhow::Result<&str> {
            let value = invited.get(name).and_then(Value::as_str);
            value.with_context(|| format!("no {name}"))
        };
        std::fs::write(self.dir.join("token"), field("token")?)?;
        std::fs::write(self.dir.join("secret"), SECRET)?;
        let controller = world.registrar.to_string();
        let text = format!(
            "[link]\ncontroller = \"{controller}\"\n\
             [radius]\nlisten = \"127.0.0.1:0\"\naccounting = \"127.0.0.1:0\"\n\
             [[radius.client]]\nname = \"bench\"\naddress = \"127.0.0.1\"\nsecret_file = \"secret\"\n\
             disconnect = \"{}\"\n{}",
            self.access_point, self.more
        );
        std::fs::write(self.dir.join("gate.toml"), text)?;
        let program = self.bin_dir.join("vouchsafe-gate");
        let enrolled = Command::new(&program)
            .arg("enrol")
            .arg(self.dir)
            .args([
                "--controller",
                &controller,
                "--name",
                "bench",
                "--token-file",
            ])
            .arg(self.dir.join("token"))
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
        Ok(())
    }

    /// Starts it.
    pub(super) fn start(&self) -> anyhow::Result<Gate> {
        let mut child = Command::new(self.bin_dir.join("vouchsafe-gate"))
            .args(["--output", "json", "--dir"])
            .arg(self.dir)
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().context("no output")?;
        let mut gate = Gate {
            anchor: Certificate::from_pem(&std::fs::read_to_string(
                self.dir.join("link/anchor.pem"),
            )?)?,
            child,
            access: self.access_point,
            events: listen(output),
            gone: Mutex::default(),
        };
        let ready = gate.until(|event| is(event, "ready"))?;
        let access = ready.get("radius").and_then(Value::as_str);
        gate.access = access.context("no address")?.parse()?;
        Ok(gate)
    }
}

/// The gate's process and what it says, with the time at which it was read.
pub(super) struct Gate {
    child: Child,
    /// The domain CA, as the gate was shown it.
    pub(super) anchor: Certificate,
    pub(super) access: SocketAddr,
    events: Events<(Instant, Value)>,
    /// Devices whose end was confirmed.
    gone: Mutex<HashMap<String, Instant>>,
}

impl Gate {
    /// The next event that fits.
    pub(super) fn until(&self, fits: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        Ok(self.until_then(|_, event| fits(event))?.1)
    }

    /// The same, told when each was read, and when this one was.
    pub(super) fn until_then(
        &self,
        mut fits: impl FnMut(Instant, &Value) -> bool,
    ) -> anyhow::Result<(Instant, Value)> {
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
            if fits(at, &event) {
                return Ok((at, event));
            }
        }
    }

    /// When the end of a device's session was confirmed.
    pub(super) fn cut_off(&self, device: &str) -> anyhow::Result<Instant> {
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

    /// Its process.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, and waits until it has.
    pub(super) fn end(mut self) -> anyhow::Result<()> {
        let id = i32::try_from(self.child.id()).ok();
        let id = id.and_then(rustix::process::Pid::from_raw);
        let id = id.context("no process")?;
        rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        self.child.wait()?;
        Ok(())
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

/// Calls the API; the answer must be a good one.
pub(super) async fn call(
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

pub(super) fn connector(domain_ca: &Certificate, identity: &Identity) -> Connector {
    let trust = Trust {
        anchors: Anchors::one(domain_ca.clone()),
        revocation: Revocation::NotChecked,
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Connector::new(provider, identity.certified_key(), trust, None)
}

/// Whether an event is called so.
pub(super) fn is(event: &Value, name: &str) -> bool {
    event.get("event").and_then(Value::as_str) == Some(name)
}
