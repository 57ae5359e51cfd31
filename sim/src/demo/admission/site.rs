//! Factory, controller and services, and the network namespaces that they are in.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::ensure;
use serde_json::Value;

use crate::demo::narrator::{Narrator, Tone};
use crate::demo::program::Program;
use crate::demo::stage::Stage;
use crate::wired::space::Space;

/// The manufacturer.
pub(in crate::demo) const MAKER: &str = "Lumen Works";
/// The owner.
pub(in crate::demo) const OWNER: &str = "Harbour House";
/// How long a server may take to start.
const START: Duration = Duration::from_secs(60);

/// Where the service behind the uplink is.
pub(in crate::demo) const SERVICE: &str = "10.77.0.100:7777";
/// Where devices that are quarantined may still go.
pub(in crate::demo) const REMEDIATION: &str = "10.77.0.110:7070";
/// The gateway, as devices see it.
const GATEWAY: &str = "10.77.0.1";
/// The office, as the gateway sees it.
pub(in crate::demo) const OFFICE: &str = "10.99.0.2";

/// The networks that no device is in.
pub(in crate::demo) struct Backbone {
    /// The bridge with its ports or access points, and the gate.
    pub(in crate::demo) gateway: Space,
    /// Factory and controller; devices have no way to it.
    pub(in crate::demo) office: Space,
    /// What devices want to reach.
    pub(in crate::demo) uplink: Space,
}

impl Backbone {
    /// Makes them, with the bridge `br0` and the links between them.
    pub(in crate::demo) fn lay(simulator: &Path) -> anyhow::Result<Self> {
        let gateway = Space::new(simulator)?;
        let office = Space::new(simulator)?;
        let uplink = Space::new(simulator)?;
        // No way leads from the devices to the office but the join proxy.
        gateway.set("ipv4/ip_forward", "0")?;
        gateway.ip(&format!(
            "link add br0 type bridge forward_delay 0 mcast_snooping 0\n\
             addr add {GATEWAY}/24 dev br0\n\
             link set br0 up\n\
             link add up0 type veth peer name eth0 netns {}\n\
             link set up0 master br0\n\
             link set up0 up\n\
             link add mgmt0 type veth peer name mgmt0 netns {}\n\
             addr add 10.99.0.1/30 dev mgmt0\n\
             link set mgmt0 up\n",
            uplink.id(),
            office.id()
        ))?;
        uplink.ip("addr add 10.77.0.100/24 dev eth0\n\
             addr add 10.77.0.110/24 dev eth0\n\
             link set eth0 up\n")?;
        office.ip(&format!(
            "addr add {OFFICE}/30 dev mgmt0\n\
             link set mgmt0 up\n"
        ))?;
        Ok(Self {
            gateway,
            office,
            uplink,
        })
    }
}

/// What does not change while the story goes on.
pub(in crate::demo) struct Site<'a> {
    pub(in crate::demo) stage: &'a Stage,
    pub(in crate::demo) narrator: &'a Narrator,
    pub(in crate::demo) net: &'a Backbone,
    /// `https://…`
    pub(in crate::demo) registrar: String,
    factory: String,
    house: String,
}

impl<'a> Site<'a> {
    /// Makes factory, devices and the owner's domain; the devices are sold, nothing runs yet.
    pub(in crate::demo) async fn set_up(
        stage: &'a Stage,
        narrator: &'a Narrator,
        net: &'a Backbone,
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

    /// The MASA.
    pub(in crate::demo) async fn masa(&self) -> anyhow::Result<Program> {
        let program = self.stage.program("vouchsafe");
        let arguments = ["manufacturer", "serve", "--dir", &self.factory];
        let (server, _) = Program::serve(self.stage, "masa", &program, &arguments).await?;
        Ok(server)
    }

    /// The controller, for the first time or again.
    pub(in crate::demo) async fn controller(&self) -> anyhow::Result<Program> {
        let program = self.stage.program("vouchsafe");
        let arguments = ["serve", "--dir", &self.house];
        let (server, _) = Program::serve(self.stage, "controller", &program, &arguments).await?;
        let said = format!("is up: registrar at {}", self.registrar);
        self.narrator.said(OWNER, Tone::Good, said);
        Ok(server)
    }

    /// The manifest of what was bought.
    pub(in crate::demo) async fn import(&self, expected: u64) -> anyhow::Result<()> {
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
    pub(in crate::demo) async fn services(&self) -> anyhow::Result<Program> {
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
    pub(in crate::demo) async fn command(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let all = [arguments, &["--dir", &self.house]].concat();
        self.stage.vouchsafe(self.narrator, &all).await
    }

    /// The same, unseen: for looking things up.
    pub(in crate::demo) async fn look_up(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let all = [arguments, &["--dir", &self.house]].concat();
        self.stage.vouchsafe(&self.narrator.quiet(), &all).await
    }

    async fn maker(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let all = [&["manufacturer"], arguments, &["--dir", &self.factory]].concat();
        self.stage.vouchsafe(self.narrator, &all).await
    }

    /// The domain CA's certificate.
    pub(in crate::demo) fn domain_ca(&self) -> PathBuf {
        self.stage.path("house/domain-ca.pem")
    }
}
