//! The factory, the owner's controller, and the access points.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::demo::finale;
use crate::demo::narrator::{Narrator, Tone};
use crate::demo::program::Program;
use crate::demo::sentence::text;
use crate::demo::stage::Stage;
use crate::wifi::air::AccessPoint;
use crate::wifi::guest::Radio;

/// The manufacturer.
pub(super) const MAKER: &str = "Lumen Works";
/// The owner.
pub(super) const OWNER: &str = "Harbour House";

/// The devices that the owner bought, so that the manifest names them.
const BOUGHT: [&str; 3] = ["LW-0001", "LW-0003", "LW-0004"];
/// The device of the same maker that nobody bought.
pub(super) const UNSOLD: &str = "LW-0002";

/// The network that devices get unless they are meant for another one, and its SSID.
pub(super) const GARDEN: &str = "garden";
/// The network that one device moves to.
pub(super) const SHED: &str = "shed";
/// The network whose devices get certificates.
pub(super) const OFFICE: &str = "office";

/// The network whose devices get passwords of their own.
pub(super) const YARD: &str = "yard";

/// The networks and what their devices get.
const NETWORKS: [(&str, &str); 4] = [
    (GARDEN, "connector"),
    (SHED, "connector"),
    (OFFICE, "certificate"),
    (YARD, "sae"),
];

/// What access points ask of stations that have connectors, and of those that have passwords.
const BY_CONNECTOR: &str = "wpa_key_mgmt=DPP";
const BY_PASSWORD: &str = "wpa_key_mgmt=SAE";

/// Where the controller writes files for access points.
const FILES: &str = "access-points";

/// What the journal of a device that went that way cannot lack.
const MUST_HAVE: [&str; 2] = ["credential-issued", "credential-revoked"];

/// Everything that stays as it is during the story.
pub(super) struct Site<'a> {
    pub(super) stage: &'a Stage,
    pub(super) narrator: &'a Narrator,
    controller: String,
    server: Program,
    address: SocketAddr,
    uri: String,
    hash: [u8; 32],
}

impl<'a> Site<'a> {
    /// Makes factory, devices and controller, and imports the manifest.
    pub(super) async fn set_up(stage: &'a Stage, narrator: &'a Narrator) -> anyhow::Result<Self> {
        let path = |name: &str| stage.path(name).display().to_string();
        let (factory, births) = (path("factory"), path("births"));
        let maker = async |arguments: &[&str]| {
            let all = [&["manufacturer"], arguments, &["--dir", &factory]].concat();
            stage.vouchsafe(narrator, &all).await
        };
        // Nobody asks its MASA anything here.
        maker(&["init", "--name", MAKER, "--set", "masa_url=127.0.0.1:9443"]).await?;
        let devices = [&BOUGHT[..], &[UNSOLD]].concat();
        let provision = ["provision", "--dpp", "--dpp-hostap", "--model", "lamp"];
        maker(&[&provision[..], &["--out", &births], &devices[..]].concat()).await?;
        let made = format!("has made {}, each with a label", devices.join(", "));
        narrator.said(MAKER, Tone::Good, made);

        let controller = path("house");
        let settings = [
            "registrar.listen=127.0.0.1:0",
            "registrar.announce=false",
            "api.listen=127.0.0.1:0",
            "dpp.enabled=true",
            "dpp.listen=127.0.0.1:8908",
            "dpp.announce=false",
        ];
        let files = format!("dpp.access_point_files=\"{}\"", path(FILES));
        let mut init = vec!["init", "--dir", &controller, "--name", OWNER];
        init.extend(settings.iter().flat_map(|setting| ["--set", setting]));
        init.extend(["--set", &files]);
        stage.vouchsafe(narrator, &init).await?;
        let ca = format!("{controller}/domain-ca.pem");
        maker(&["owner", "add", OWNER, "--domain-ca", &ca]).await?;
        maker(&[&["sell"], &BOUGHT[..], &["--to", OWNER]].concat()).await?;
        let manifest = path("manifest.p7s");
        maker(&["manifest", "--owner", OWNER, "--out", &manifest]).await?;

        let program = stage.program("vouchsafe");
        let serve = ["serve", "--dir", &controller];
        let (server, _) = Program::serve(stage, "controller", &program, &serve).await?;
        let mut site = Self {
            stage,
            narrator,
            controller,
            server,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            uri: String::new(),
            hash: [0; 32],
        };
        let shown = site.command(&["dpp", "controller"]).await?;
        site.address = text(&shown, "listen").parse().context("no address")?;
        text(&shown, "uri").clone_into(&mut site.uri);
        site.hash = hash(text(&shown, "key_sha256"))?;
        let said = format!("answers Wi-Fi Easy Connect at {}", site.address);
        narrator.said(OWNER, Tone::Good, said);
        for (name, credential) in NETWORKS {
            let kind = ["--ssid", name, "--credential", credential];
            site.command(&[&["network", "add", name], &kind[..]].concat())
                .await?;
        }
        let [root, masa] = ["root-ca.pem", "masa-ca.pem"].map(|name| format!("{factory}/{name}"));
        let anchors = ["--anchor", &root, "--anchor", &masa];
        let imported = site
            .command(&[&["import", "manifest", &manifest], &anchors[..]].concat())
            .await?;
        let claimed = imported.get("claimed").and_then(Value::as_u64);
        ensure!(claimed == Some(3), "three devices were bought: {imported}");
        let said = "has imported the signed manifest: 3 devices";
        narrator.said(OWNER, Tone::Good, said);
        Ok(site)
    }

    /// Starts the access points; the controller configures those that need connectors.
    pub(super) async fn access_points(&self, radios: &[Radio]) -> anyhow::Result<[AccessPoint; 3]> {
        let [first, second, third, ..] = radios else {
            bail!("three radios are needed for access points");
        };
        Ok([
            self.with_connector(first, GARDEN).await?,
            self.with_connector(second, SHED).await?,
            self.access_point(third, YARD, BY_PASSWORD)?,
        ])
    }

    async fn with_connector(&self, radio: &Radio, network: &str) -> anyhow::Result<AccessPoint> {
        let point = self.access_point(radio, network, BY_CONNECTOR)?;
        self.claim(&point.key.uri, network, "access-point").await?;
        point.enrol(&self.uri, self.address)?;
        let name = format!("AP {network}");
        let said = "has its connector, from the controller";
        self.narrator.said(&name, Tone::Good, said);
        Ok(point)
    }

    fn access_point(&self, radio: &Radio, network: &str, by: &str) -> anyhow::Result<AccessPoint> {
        let name = format!("AP {network}");
        let folder = self.stage.path(format!("hostapd-{network}"));
        let settings = [by.to_owned()];
        let point = AccessPoint::start(&name, &folder, radio, network, &self.hash, &settings)?;
        let said = "is on the air and relays, with nothing to let anybody in";
        self.narrator.said(&name, Tone::Plain, said);
        Ok(point)
    }

    /// The file with the passwords of a network's devices.
    pub(super) fn passwords(&self, network: &str) -> PathBuf {
        self.stage
            .path(FILES)
            .join(format!("{network}.sae_password"))
    }

    /// Claims a device by the text of its label; gives its id.
    pub(super) async fn claim(
        &self,
        uri: &str,
        network: &str,
        role: &str,
    ) -> anyhow::Result<String> {
        let what = ["--dpp-uri", uri, "--role", role, "--network", network];
        let why = ["--reason", "its label was scanned"];
        let claim = [&["device", "claim"], &what[..], &why].concat();
        let claimed = self.command(&claim).await?;
        let device = claimed.get("device").unwrap_or(&Value::Null);
        Ok(text(device, "id").to_owned())
    }

    /// Runs a `vouchsafe` command against the controller's API.
    pub(super) async fn command(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let all = [arguments, &["--dir", &self.controller]].concat();
        self.stage.vouchsafe(self.narrator, &all).await
    }

    /// What the controller says of a device, told and given back.
    pub(super) async fn show(&self, device: &str) -> anyhow::Result<Value> {
        let shown = self.command(&["device", "show", device]).await?;
        let wifi = shown.get("wifi").unwrap_or(&Value::Null);
        let given = wifi.get("given").unwrap_or(&Value::Null);
        let mut said = format!("shows {device} as {}", text(&shown, "state"));
        if !given.is_null() {
            let (network, assurance) = (text(given, "network"), text(given, "assurance"));
            said.push_str(&format!(", given {network} ({assurance})"));
        }
        if let Some(refused) = wifi.get("refused").filter(|refused| !refused.is_null()) {
            said.push_str(&format!(", last refused: {}", text(refused, "code")));
        }
        self.narrator.said(OWNER, Tone::Plain, said);
        Ok(shown)
    }

    /// Shows the journal of a device that was claimed, came in, and was revoked, and verifies all.
    pub(super) async fn journal(&self, device: &str) -> anyhow::Result<()> {
        let journal = self.command(&["device", "journal", device]).await?;
        let entries = finale::show_journal(self.narrator, &journal)?;
        for action in MUST_HAVE {
            let found = entries.iter().any(|entry| text(entry, "action") == action);
            ensure!(found, "the journal has no entry `{action}`: {journal}");
        }
        let verified = self.command(&["journal", "verify"]).await?;
        finale::confirm(self.narrator, OWNER, &verified)
    }

    /// The folder of what the factory puts into a device.
    pub(super) fn birth(&self, serial: &str) -> PathBuf {
        self.stage.path("births").join(serial)
    }

    /// Ends the controller.
    pub(super) async fn end(self) -> anyhow::Result<()> {
        self.server.end_gracefully().await
    }
}

fn hash(text: &str) -> anyhow::Result<[u8; 32]> {
    let digits: Option<Vec<u8>> = (0..text.len() / 2)
        .map(|at| u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok())
        .collect();
    let bytes = digits.and_then(|digits| <[u8; 32]>::try_from(digits).ok());
    bytes.with_context(|| format!("no hash: {text}"))
}
