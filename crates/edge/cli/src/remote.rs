//! The way to a controller's API.
//!
//! What is not said on the command line or in the environment comes from the controller's data
//! folder, where there is one (`--dir`): the address from `ready.json`, which `serve` keeps while it
//! runs, or else from `config.toml`; the CA from `domain-ca.pem`; the token from `admin.token`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{Request, Response};
use vouchsafe_api::{BearerToken, Client, Transport};
use vouchsafe_controller::config::Config;
use vouchsafe_net::{
    ClientError, Connector, ConnectorOptions, Origin, Pool, PoolLimits, ServerTrust,
};
use vouchsafe_trust::{Anchors, Certificate};

use crate::failure::Failure;

/// The file in a data folder that says where its `serve` listens.
pub(crate) const READY_FILE: &str = "ready.json";

/// An import of 100,000 devices takes its time.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(300);

/// Largest answer, in bytes: a page of 1000 devices is well below 1 MiB.
const RESPONSE_BYTES: usize = 64 << 20;

/// Where the controller is, and who calls.
#[derive(Debug, Clone, Args)]
pub(crate) struct RemoteArgs {
    /// Address of the controller's API, such as https://127.0.0.1:9443
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "VOUCHSAFE_API",
        help_heading = "Controller"
    )]
    pub(crate) api: Option<String>,
    /// File with the API token
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "VOUCHSAFE_TOKEN_FILE",
        help_heading = "Controller"
    )]
    pub(crate) token_file: Option<PathBuf>,
    /// CA of the API's certificate (PEM): the controller's domain-ca.pem
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "VOUCHSAFE_CA",
        help_heading = "Controller"
    )]
    pub(crate) ca: Option<PathBuf>,
}

/// The API's client over TLS.
pub(crate) type Api = Client<Remote>;

/// A connection to one controller, opened when it is needed and kept.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    pool: Pool,
    origin: Origin,
}

impl Transport for Remote {
    type Error = ClientError;

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ClientError> {
        self.pool.request(&self.origin, request).await
    }
}

impl RemoteArgs {
    /// The client that these arguments and the data folder describe. Connects when first used.
    pub(crate) fn client(&self, dir: Option<&Path>) -> Result<Api, Failure> {
        let origin = self.origin(dir)?;
        let anchors = self.anchors(dir)?;
        let token = self.token(dir)?;
        let mut options = ConnectorOptions::new(ServerTrust::Anchors(anchors));
        options.response_timeout = RESPONSE_TIMEOUT;
        options.response_bytes = RESPONSE_BYTES;
        let pool = Pool::new(Connector::new(options), PoolLimits::default());
        Ok(Client::new(Remote { pool, origin }, token))
    }

    fn origin(&self, dir: Option<&Path>) -> Result<Origin, Failure> {
        let url = match (&self.api, dir) {
            (Some(url), _) => url.clone(),
            (None, Some(dir)) => address_of(dir)?,
            (None, None) => {
                return Err(Failure::usage("which controller?").next_step(
                    "give --api URL (VOUCHSAFE_API), or --dir with the controller's data folder",
                ));
            }
        };
        url.parse()
            .map_err(|error| Failure::usage(format!("--api: {error}")))
    }

    fn anchors(&self, dir: Option<&Path>) -> Result<Anchors, Failure> {
        let in_folder = || dir.map(|dir| dir.join("domain-ca.pem"));
        let Some(file) = self.ca.clone().or_else(in_folder) else {
            return Err(
                Failure::usage("which CA signs the API's certificate?").next_step(
                    "give --ca FILE (VOUCHSAFE_CA) with the controller's domain-ca.pem, or --dir",
                ),
            );
        };
        read_anchors(&[file])
    }

    fn token(&self, dir: Option<&Path>) -> Result<Option<BearerToken>, Failure> {
        let in_folder = || {
            dir.map(|dir| dir.join("admin.token"))
                .filter(|file| file.exists())
        };
        let Some(file) = self.token_file.clone().or_else(in_folder) else {
            // The controller says what to do about it, and open routes need none.
            return Ok(None);
        };
        let text = std::fs::read_to_string(&file).map_err(|error| Failure::file(&file, error))?;
        let token = BearerToken::new(&text)
            .ok_or_else(|| Failure::file(&file, "holds no token: one line of printable text"))?;
        Ok(Some(token))
    }
}

/// The certificates of these PEM files as anchors.
pub(crate) fn read_anchors(files: &[PathBuf]) -> Result<Anchors, Failure> {
    let mut certificates = Vec::new();
    for file in files {
        certificates.extend(read_certificates(file)?);
    }
    Anchors::new(certificates).map_err(|error| Failure::usage(error.to_string()))
}

/// The certificates of a PEM file; at least one.
pub(crate) fn read_certificates(file: &Path) -> Result<Vec<Certificate>, Failure> {
    let pem = std::fs::read_to_string(file).map_err(|error| Failure::file(file, error))?;
    let certificates =
        Certificate::many_from_pem(&pem).map_err(|error| Failure::file(file, error))?;
    if certificates.is_empty() {
        return Err(Failure::file(file, "holds no certificate (PEM)"));
    }
    Ok(certificates)
}

fn address_of(dir: &Path) -> Result<String, Failure> {
    let file = dir.join(READY_FILE);
    if let Ok(text) = std::fs::read_to_string(&file) {
        let ready: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| Failure::file(&file, error))?;
        return match ready.get("api").and_then(serde_json::Value::as_str) {
            Some(url) => Ok(url.to_owned()),
            None => Err(Failure::file(
                &file,
                "names no API: is this a controller's data folder?",
            )),
        };
    }
    let file = dir.join("config.toml");
    let config = Config::read(&file).map_err(|error| Failure::from_config(error.to_string()))?;
    Ok(format!("https://{}", callable(config.api.listen)))
}

/// The address to call for one to listen on.
fn callable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
