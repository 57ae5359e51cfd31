//! The controllers under load: ours, and hostap's.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::{Request, header};
use serde_json::{Value, json};
use tempfile::TempDir;
use vouchsafe_controller::config::Config;
use vouchsafe_dpp::BootstrappingPublicKey;
use vouchsafe_dpp::uri::BootstrappingUri;
use vouchsafe_net::{Clock, Connector, ConnectorOptions, ServerTrust};
use vouchsafe_trust::Anchors;

use super::enrollee::Enrollee;
use crate::bench::world::{KEYS, Process, origin, read_certificate};
use crate::wifi::dpp::Network;
use crate::wifi::hostap::{Hostap, Kind, Setup};

/// The network that is given out.
pub(super) const NETWORK: &str = "bench";

/// A controller that listens.
pub(super) struct Controller {
    pub(super) address: SocketAddr,
    pub(super) key: BootstrappingPublicKey,
    program: Program,
    // Last, so that the folder goes after the process.
    _folder: TempDir,
}

enum Program {
    Ours(Process),
    Alone(Process),
    Hostap(Hostap),
}

impl Controller {
    /// `vouchsafe serve`, with every enrollee claimed.
    pub(super) async fn ours(bin_dir: &Path, enrollees: &[Arc<Enrollee>]) -> anyhow::Result<Self> {
        let folder = folder()?;
        let site = folder.path().join("site");
        let mut config = Config {
            name: "Bench".to_owned(),
            ..Config::default()
        };
        config.keys.store = KEYS.to_owned();
        config.registrar.listen = "127.0.0.1:0".parse()?;
        config.registrar.announce = false;
        config.api.listen = "127.0.0.1:0".parse()?;
        config.dpp.enabled = true;
        config.dpp.announce = false;
        config.dpp.listen = "127.0.0.1:0".parse()?;
        vouchsafe_controller::initialise(&site, &config, &Clock::system()).await?;
        let (process, ready) = Process::start(&bin_dir.join("vouchsafe"), &["serve"], &site)?;
        let domain_ca = read_certificate(&site.join("domain-ca.pem"))?;
        let token = std::fs::read_to_string(site.join("admin.token"))?;
        let options = ConnectorOptions::new(ServerTrust::Anchors(Anchors::one(domain_ca)));
        let mut api = Connector::new(options)
            .connect(&origin(&ready, "api")?)
            .await?;
        let mut call = async |request: http::request::Builder, body: Value| {
            let request = request
                .header(header::CONTENT_TYPE, "application/json")
                .header(header::AUTHORIZATION, format!("Bearer {}", token.trim()))
                .body(Bytes::from(body.to_string()))?;
            let answer = api.request(request).await?;
            let text = String::from_utf8_lossy(answer.body()).into_owned();
            ensure!(answer.status().is_success(), "{}: {text}", answer.status());
            anyhow::Ok(serde_json::from_str::<Value>(&text)?)
        };
        let network = json!({"name": NETWORK, "ssid": NETWORK, "credential": "connector"});
        call(Request::post("/api/v1/networks"), network).await?;
        let keys: Vec<Value> = enrollees
            .iter()
            .map(|enrollee| json!({"uri": enrollee.uri(), "network": NETWORK}))
            .collect();
        let import = Request::post("/api/v1/imports/bootstrapping-keys");
        call(import, json!({ "keys": keys })).await?;
        let shown = call(Request::get("/api/v1/dpp/controller"), Value::Null).await?;
        let text = |name: &str| shown.get(name).and_then(Value::as_str).context("no answer");
        Ok(Self {
            address: text("listen")?.parse()?,
            key: BootstrappingUri::parse(text("uri")?)?.key().clone(),
            program: Program::Ours(process),
            _folder: folder,
        })
    }

    /// The protocol alone, in this program started anew.
    pub(super) fn alone(enrollees: &[Arc<Enrollee>]) -> anyhow::Result<Self> {
        let uris: String = enrollees
            .iter()
            .map(|enrollee| format!("{}\n", enrollee.uri()))
            .collect();
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("configurator");
        let (process, ready) = Process::start_with(command, &format!("{uris}\n"))?;
        let text = |name: &str| ready.get(name).and_then(Value::as_str).context("no answer");
        Ok(Self {
            address: text("address")?.parse()?,
            key: BootstrappingUri::parse(text("uri")?)?.key().clone(),
            program: Program::Alone(process),
            _folder: folder()?,
        })
    }

    /// `hostapd` as a controller, with every enrollee's code scanned.
    pub(super) fn hostap(enrollees: &[Arc<Enrollee>]) -> anyhow::Result<Self> {
        let folder = folder()?;
        let setup = Setup::without_radio(Kind::AccessPoint);
        let hostap = Hostap::start("hostapd", &folder.path().join("hostapd"), setup)?;
        let key = hostap.bootstrapping_key("P-256", "")?;
        let configurator = hostap.configurator("P-256")?;
        for enrollee in enrollees {
            hostap.scan(&enrollee.uri())?;
        }
        let network = Network::connector("sta-dpp", NETWORK);
        let address = hostap.listen_as_configurator(&configurator, &network, "")?;
        Ok(Self {
            address,
            key: BootstrappingUri::parse(&key.uri)?.key().clone(),
            program: Program::Hostap(hostap),
            _folder: folder,
        })
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        match &self.program {
            Program::Ours(process) | Program::Alone(process) => process.id(),
            Program::Hostap(hostap) => hostap.id(),
        }
    }
}

fn folder() -> anyhow::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    Ok(builder.prefix("vouchsafe-bench-").tempdir()?)
}
