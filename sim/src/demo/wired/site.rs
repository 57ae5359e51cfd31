//! Factory, controller, gate and services.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::device::PATIENCE;
use super::net::{Net, OFFICE, Port, REMEDIATION, SERVICE};
use crate::demo::narrator::{Narrator, Tone};
use crate::demo::program::Program;
use crate::demo::sentence::text;
use crate::demo::stage::Stage;
use crate::wifi::hostap::{Hostap, Kind, Setup};

/// The manufacturer.
pub(super) const MAKER: &str = "Lumen Works";
/// The owner.
pub(super) const OWNER: &str = "Harbour House";
/// The gate.
pub(super) const GATE: &str = "gate hall";

/// What hostapd and the gate share, on one machine.
const SECRET: &str = "what hostapd and the gate of the hall share";

/// How long a server may take to start.
const START: Duration = Duration::from_secs(60);

/// What does not change while the story goes on.
pub(super) struct Site<'a> {
    pub(super) stage: &'a Stage,
    pub(super) narrator: &'a Narrator,
    pub(super) net: &'a Net,
    /// `https://…`
    pub(super) registrar: String,
    factory: String,
    house: String,
}

impl<'a> Site<'a> {
    /// Makes factory, devices and the owner's domain; the devices are sold, nothing runs yet.
    pub(super) async fn set_up(
        stage: &'a Stage,
        narrator: &'a Narrator,
        net: &'a Net,
        made: &[&str],
        sold: &[&str],
    ) -> anyhow::Result<Self> {
        let path = |name: &str| stage.path(name).display().to_string();
        let site = Self {
            stage,
            narrator,
            net,
            registrar: format!("https://{OFFICE}:8443"),
            factory: path("factory"),
            house: path("house"),
        };
        let masa = ["--set", "masa_url=127.0.0.1:8444"];
        let listen = ["--set", "masa.listen=127.0.0.1:8444"];
        let line = ["--set", "line.listen=127.0.0.1:0"];
        let init = [&["init", "--name", MAKER], &masa[..], &listen, &line].concat();
        site.maker(&init).await?;
        let births = path("births");
        let provision = ["provision", "--model", "meter", "--out", &births];
        site.maker(&[&provision[..], made].concat()).await?;
        for serial in made {
            fs::create_dir(stage.device(serial))?;
            let birth = stage.device(serial).join("birth");
            fs::rename(stage.path("births").join(serial), birth)?;
            site.configure_agent(serial)?;
        }
        let said = format!("has made {}", made.join(", "));
        narrator.said(MAKER, Tone::Good, said);

        let names = format!("registrar.names=[\"{OFFICE}\",\"127.0.0.1\"]");
        let listen = format!("registrar.listen={OFFICE}:8443");
        let settings = [
            &listen,
            &names,
            "registrar.announce=false",
            "api.listen=127.0.0.1:9443",
            "gate.state_file=desired.json",
        ];
        let mut init = vec!["init", "--dir", &site.house, "--name", OWNER];
        init.extend(settings.iter().flat_map(|setting| ["--set", setting]));
        stage.vouchsafe(narrator, &init).await?;
        let ca = site.domain_ca().display().to_string();
        site.maker(&["owner", "add", OWNER, "--domain-ca", &ca])
            .await?;
        site.maker(&[&["sell"], sold, &["--to", OWNER]].concat())
            .await?;
        let said = format!("has sold {} to {OWNER}", sold.join(", "));
        narrator.said(MAKER, Tone::Good, said);
        Ok(site)
    }

    fn configure_agent(&self, serial: &str) -> anyhow::Result<()> {
        let settings = "mdns_interface = \"eth0\"\ndiscovery_window = 8000\nretry_first = 1\n";
        fs::write(self.stage.device(serial).join("agent.toml"), settings)?;
        Ok(())
    }

    /// The MASA.
    pub(super) async fn masa(&self) -> anyhow::Result<Program> {
        let program = self.stage.program("vouchsafe");
        let arguments = ["manufacturer", "serve", "--dir", &self.factory];
        let (server, _) = Program::serve(self.stage, "masa", &program, &arguments).await?;
        Ok(server)
    }

    /// The controller, for the first time or again.
    pub(super) async fn controller(&self) -> anyhow::Result<Program> {
        let program = self.stage.program("vouchsafe");
        let arguments = ["serve", "--dir", &self.house];
        let (server, _) = Program::serve(self.stage, "controller", &program, &arguments).await?;
        let said = format!("is up: registrar at {}", self.registrar);
        self.narrator.said(OWNER, Tone::Good, said);
        Ok(server)
    }

    /// The manifest of what was bought.
    pub(super) async fn import(&self, expected: u64) -> anyhow::Result<()> {
        let manifest = self.stage.path("manifest.p7s").display().to_string();
        self.maker(&["manifest", "--owner", OWNER, "--out", &manifest])
            .await?;
        let [root, masa] =
            ["root-ca.pem", "masa-ca.pem"].map(|name| format!("{}/{name}", self.factory));
        let anchors = ["--anchor", &root, "--anchor", &masa];
        let imported = self
            .command(&[&["import", "manifest", &manifest], &anchors[..]].concat())
            .await?;
        let claimed = imported.get("claimed").and_then(Value::as_u64);
        ensure!(
            claimed == Some(expected),
            "{expected} were bought: {imported}"
        );
        let said = format!("has imported the signed manifest: {expected} devices");
        self.narrator.said(OWNER, Tone::Good, said);
        Ok(())
    }

    /// The two services behind the uplink.
    pub(super) async fn services(&self) -> anyhow::Result<Program> {
        let simulator = self.stage.simulator();
        let mut command = self.stage.prepare_in(&self.net.uplink, simulator);
        command.args(["talk", "serve", SERVICE, REMEDIATION]);
        let mut services = Program::start(self.stage, "services", command)?;
        let ready = |line: &Value| line.get("ready").is_some();
        services.wait_for("readiness", START, ready).await?;
        let said = format!("answers at {SERVICE}, the remediation service at {REMEDIATION}");
        self.narrator.said("the service", Tone::Plain, said);
        Ok(services)
    }

    /// Runs a `vouchsafe` command against the controller's API.
    pub(super) async fn command(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let all = [arguments, &["--dir", &self.house]].concat();
        self.stage.vouchsafe(self.narrator, &all).await
    }

    /// The same, unseen: for looking things up.
    pub(super) async fn look_up(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let all = [arguments, &["--dir", &self.house]].concat();
        self.stage.vouchsafe(&self.narrator.quiet(), &all).await
    }

    async fn maker(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let all = [&["manufacturer"], arguments, &["--dir", &self.factory]].concat();
        self.stage.vouchsafe(self.narrator, &all).await
    }

    /// The domain CA's certificate.
    pub(super) fn domain_ca(&self) -> PathBuf {
        self.stage.path("house/domain-ca.pem")
    }
}

/// The enforcement point: `hostapd` for each port, and the gate beside it.
pub(super) struct Gateway<'a> {
    site: &'a Site<'a>,
    gate: Program,
    ports: Vec<Hostap>,
    /// Every event so far.
    said: Vec<Value>,
    names: Vec<(String, &'static str)>,
}

impl<'a> Gateway<'a> {
    /// Starts both.
    pub(super) async fn start(site: &'a Site<'a>) -> anyhow::Result<Self> {
        let within = site.stage.words_in(&site.net.gateway);
        let ports: anyhow::Result<Vec<Hostap>> = site
            .net
            .ports
            .iter()
            .map(|port| authenticator(site, port, &within))
            .collect();
        let said = "Debian's, speaks EAPOL at each port and blocks nothing; the gate's filter does";
        site.narrator.said("hostapd", Tone::Plain, said);
        let dir = site.stage.path("gate");
        fs::create_dir(&dir)?;
        fs::write(dir.join("secret"), SECRET)?;
        fs::write(dir.join("gate.toml"), settings(site))?;
        let mut command = site
            .stage
            .prepare_in(&site.net.gateway, &site.stage.program("vouchsafe-gate"));
        command.args(["--output", "json", "--dir"]).arg(&dir);
        let gate = Program::start(site.stage, "gate", command)?;
        let mut gateway = Self {
            site,
            gate,
            ports: ports?,
            said: Vec::new(),
            names: Vec::new(),
        };
        gateway.event("readiness", |it| is(it, "ready")).await?;
        Ok(gateway)
    }

    /// Who is behind a number.
    pub(super) fn know(&mut self, id: &str, name: &'static str) {
        self.names.push((id.to_owned(), name));
    }

    /// The next event that fits, told like every one before it.
    pub(super) async fn event(
        &mut self,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let line = self.gate.next(deadline).await;
            let line = line.with_context(|| format!("waiting for {what}"))?;
            let line = line.with_context(|| format!("the gate ended before {what}"))?;
            if let Some((tone, said)) = self.sentence(&line) {
                self.site.narrator.said(GATE, tone, said);
            }
            self.said.push(line.clone());
            if wanted(&line) {
                return Ok(line);
            }
        }
    }

    fn sentence(&self, line: &Value) -> Option<(Tone, String)> {
        let device = text(line, "device");
        let name = self.names.iter().find(|(id, _)| id == device);
        let name = name.map_or(device, |(_, name)| name);
        let at = text(line, "access_point");
        let number = |field: &str| line.get(field).and_then(Value::as_u64).unwrap_or_default();
        Some(match text(line, "event") {
            "ready" => (
                Tone::Good,
                "is up: every port passes nothing but EAPOL".to_owned(),
            ),
            "state-in-force" => (
                Tone::Plain,
                format!(
                    "has version {} in force: {} may come in",
                    number("version"),
                    number("admitted")
                ),
            ),
            "state-refused" => (
                Tone::Refused,
                format!("refuses a desired state: {}", text(line, "problem")),
            ),
            "accepted" => {
                let segment = line.get("segment").and_then(Value::as_str);
                let segment = segment.map_or(String::new(), |it| format!(" into segment {it}"));
                (Tone::Good, format!("lets {name} in at {at}{segment}"))
            }
            "refused" => (
                Tone::Refused,
                format!(
                    "refuses {} at {at}: {}",
                    text(line, "station"),
                    text(line, "reason")
                ),
            ),
            "cut-off" => (
                Tone::Good,
                format!(
                    "has cut {name} off at {at}, {} ms after it heard of it",
                    number("milliseconds")
                ),
            ),
            _ => return None,
        })
    }

    /// Ends the gate, then hostapd.
    pub(super) async fn end(self) -> anyhow::Result<()> {
        self.gate.end_gracefully().await?;
        drop(self.ports);
        Ok(())
    }
}

/// Whether a gate said this.
pub(super) fn is(line: &Value, event: &str) -> bool {
    text(line, "event") == event
}

fn settings(site: &Site<'_>) -> String {
    let house = &site.house;
    let mut text = format!(
        "[identity]\nchain = \"{house}/api.pem\"\nkeys = \"file:{house}/keys\"\nlabel = \"api\"\n\
         [state]\nanchor = \"{house}/domain-ca.pem\"\nfile = \"{house}/desired.json\"\n\
         [radius]\nlisten = \"127.0.0.1:1812\"\naccounting = \"127.0.0.1:1813\"\n\
         [[radius.client]]\nname = \"hostapd\"\naddress = \"127.0.0.1\"\nsecret_file = \"secret\"\n\
         [wired]\nuplinks = [\"up0\"]\n"
    );
    for port in &site.net.ports {
        let name = &port.name;
        let control = site.stage.path(format!("hostapd-{name}/control/{name}"));
        text.push_str(&format!(
            "[[wired.port]]\ninterface = \"{name}\"\ncontrol = \"{}\"\n",
            control.display()
        ));
    }
    text
}

fn authenticator(
    site: &Site<'_>,
    port: &Port,
    within: &[std::ffi::OsString],
) -> anyhow::Result<Hostap> {
    let name = &port.name;
    let folder = site.stage.path(format!("hostapd-{name}"));
    let settings = [
        "ieee8021x=1".to_owned(),
        "use_pae_group_addr=1".to_owned(),
        format!("nas_identifier={name}"),
        "own_ip_addr=127.0.0.1".to_owned(),
        "auth_server_addr=127.0.0.1".to_owned(),
        "auth_server_port=1812".to_owned(),
        format!("auth_server_shared_secret={SECRET}"),
        "acct_server_addr=127.0.0.1".to_owned(),
        "acct_server_port=1813".to_owned(),
        format!("acct_server_shared_secret={SECRET}"),
    ];
    let setup = Setup::wired(Kind::AccessPoint, name, &settings, within);
    Hostap::start(&format!("hostapd at {name}"), &folder, setup)
}
