//! A device of nobody's, towards any controller: what does it answer, and when?
//!
//! 1. The key is new for each probe, or that of a device's folder; its URI is shown, so that it can be
//!    claimed.
//! 2. The whole exchange runs, again and again until `--wait` is over, since a controller that does
//!    not know the key hangs up.
//! 3. The configuration is rejected, so that the controller does not count it as taken, unless
//!    `--accept` says otherwise. Nothing secret of it is shown.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;
use tokio::time::Instant;
use vouchsafe_agent::WifiError;
use vouchsafe_agent::enrollee::{self, Offer, Parameters, Seen};
use vouchsafe_dpp::object::{ConfigurationObject, NetRole};
use vouchsafe_dpp::uri::{BootstrappingUri, Host};
use vouchsafe_dpp::{Agreement, BootstrappingKey, Curve, PrivateKey};
use vouchsafe_keystore::random;
use vouchsafe_net::Clock;
use vouchsafe_trust::Secret;

use crate::failure::{Exit, Failure};
use crate::output::{Printer, facts, printable, table};

/// Pause between two exchanges.
const PAUSE: Duration = Duration::from_secs(2);

/// Most steps that are kept; a controller may ask to come back very often.
const MAX_STEPS: usize = 1000;

/// `dpp probe`
#[derive(Debug, Args)]
pub(crate) struct Probe {
    /// The controller: ADDRESS or ADDRESS:PORT
    host: Host,
    /// Use the bootstrapping key of the device in this folder (with birth/ in it)
    #[arg(long, value_name = "DIR", conflicts_with = "curve")]
    device: Option<PathBuf>,
    /// The curve of the new key: P-256, P-384, P-521, BP-256 or BP-384
    #[arg(long, default_value = "P-256")]
    curve: String,
    /// The controller's URI: the probe begins authentication, and both prove themselves
    #[arg(long, value_name = "URI")]
    controller_uri: Option<BootstrappingUri>,
    /// As what the probe asks to be configured
    #[arg(long, value_enum, default_value_t = Role::Station)]
    role: Role,
    /// What the probe calls itself
    #[arg(long, default_value = "vouchsafe dpp probe")]
    name: String,
    /// The highest version of the protocol that it speaks
    #[arg(long, value_name = "VERSION", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=3))]
    protocol: u8,
    /// Try again for so many seconds, while somebody claims the URI or decides
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
    /// Tell the controller that the configuration was taken
    #[arg(long)]
    accept: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Role {
    /// A station
    Station,
    /// An access point
    AccessPoint,
}

/// What was seen.
#[derive(Debug, Serialize)]
struct Report {
    controller: SocketAddr,
    /// The probe's own URI.
    uri: String,
    /// Exchanges that were begun.
    exchanges: u32,
    /// The last exchange, step by step.
    steps: Vec<Step>,
    /// What was offered.
    #[serde(skip_serializing_if = "Option::is_none")]
    offer: Option<Offered>,
    /// Why nothing was.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Refused>,
}

#[derive(Debug, Clone, Serialize)]
struct Step {
    /// Since the exchange began.
    milliseconds: u64,
    #[serde(flatten)]
    seen: Seen,
}

#[derive(Debug, Serialize)]
struct Offered {
    mutual: bool,
    version: u8,
    curve: &'static str,
    accepted: bool,
    networks: Vec<Network>,
}

#[derive(Debug, Serialize)]
struct Network {
    ssid: String,
    akm: &'static str,
    /// Whether there is a password or PSK, which is not shown.
    password: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    password_identifier: Option<String>,
    /// `kid` of the connector's signer.
    #[serde(skip_serializing_if = "Option::is_none")]
    connector_signed_by: Option<String>,
    /// Subjects of the certificates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    certificates: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_name: Option<String>,
}

#[derive(Debug, Serialize)]
struct Refused {
    code: String,
    section: String,
    text: String,
}

pub(super) async fn run(probe: Probe, printer: Printer) -> Result<Exit, Failure> {
    let address = resolve(&probe.host).await?;
    // 1
    let key = probe.key()?;
    let mut uri = BootstrappingUri::new(key.public_key().clone());
    uri.version = Some(probe.protocol);
    printer.note(&format!("the probe's URI: {uri}"));
    let parameters = Parameters {
        key,
        controller: probe.controller_uri.as_ref().map(|uri| uri.key().clone()),
        before: None,
        code: None,
        name: probe.name.clone(),
        serial: "probe".to_owned(),
        mud_url: None,
        role: match probe.role {
            Role::Station => NetRole::Station,
            Role::AccessPoint => NetRole::AccessPoint,
        },
        version: probe.protocol,
        patience: Duration::from_secs(probe.wait.max(60)),
    };
    // 2
    let over = Instant::now() + Duration::from_secs(probe.wait);
    let mut exchanges = 0;
    let (steps, ended) = loop {
        exchanges += 1;
        let (steps, ended) = exchange(address, &parameters).await;
        if ended.is_ok() || Instant::now() + PAUSE > over {
            break (steps, ended);
        }
        tokio::time::sleep(PAUSE).await;
    };
    // 3
    let (offer, failure) = match ended {
        Ok(offer) => {
            let offered = describe(&offer, probe.accept);
            let told = match probe.accept {
                true => offer.accept().await.map(drop),
                false => offer.reject().await,
            };
            let failure = told.err().map(|error| refused(&error));
            (Some(offered), failure)
        }
        Err(error) => (None, Some(refused(&error))),
    };
    let report = Report {
        controller: address,
        uri: uri.to_string(),
        exchanges,
        steps,
        offer,
        failure,
    };
    printer.show(&report, text)?;
    Ok(Exit::done_if(report.offer.is_some()))
}

async fn exchange(
    address: SocketAddr,
    parameters: &Parameters,
) -> (Vec<Step>, Result<Offer, WifiError>) {
    let begin = Instant::now();
    let steps = Mutex::new(Vec::new());
    let tell = |seen: Seen| {
        let milliseconds = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        if let Ok(mut steps) = steps.lock()
            && steps.len() < MAX_STEPS
        {
            steps.push(Step { milliseconds, seen });
        }
    };
    let now = Clock::system().now();
    let ended = enrollee::enrol(address, parameters, now, &tell).await;
    let steps = steps.lock().map(|steps| steps.clone()).unwrap_or_default();
    (steps, ended)
}

async fn resolve(host: &Host) -> Result<SocketAddr, Failure> {
    let unknown = |why: String| Failure::new(Exit::Unreachable, "no-address", why);
    tokio::net::lookup_host((host.address(), host.port()))
        .await
        .map_err(|error| unknown(format!("{host}: {error}")))?
        .next()
        .ok_or_else(|| unknown(format!("{host} has no address")))
}

impl Probe {
    fn key(&self) -> Result<Arc<dyn Agreement>, Failure> {
        if let Some(dir) = &self.device {
            return enrollee::key_of(dir).map_err(|error| Failure::file(dir, error));
        }
        let curve = Curve::from_jwk_name(&self.curve).filter(|curve| curve.is_available());
        let curve = curve.ok_or_else(|| {
            Failure::usage(format!(
                "{:?} is no curve: P-256, P-384, P-521, BP-256 or BP-384",
                self.curve
            ))
        })?;
        let seed = Secret::new(random::bytes::<80>().to_vec());
        let private = PrivateKey::from_seed(curve, seed.expose())
            .map_err(|error| Failure::usage(error.to_string()))?;
        Ok(Arc::new(BootstrappingKey::new(private)))
    }
}

fn describe(offer: &Offer, accepted: bool) -> Offered {
    let authenticated = offer.authenticated();
    Offered {
        mutual: authenticated.mutual(),
        version: authenticated.version(),
        curve: authenticated.curve().jwk_name(),
        accepted,
        networks: offer.objects().iter().map(network).collect(),
    }
}

fn network(object: &ConfigurationObject) -> Network {
    let credential = &object.credential;
    let enterprise = credential.enterprise();
    let certificates = enterprise.and_then(|given| given.certificates().ok());
    Network {
        ssid: String::from_utf8_lossy(object.ssid.octets()).into_owned(),
        akm: credential.akm().name(),
        password: credential.password().is_some(),
        password_identifier: credential
            .password()
            .and_then(|password| password.identifier().map(str::to_owned)),
        connector_signed_by: credential
            .connector()
            .map(|given| given.connector.kid().to_owned()),
        certificates: certificates
            .unwrap_or_default()
            .iter()
            .map(vouchsafe_trust::Certificate::subject_text)
            .collect(),
        server_name: enterprise.and_then(|given| given.trusted_server_name.clone()),
    }
}

fn refused(error: &WifiError) -> Refused {
    Refused {
        code: error.code().to_owned(),
        section: error.section().to_owned(),
        text: error.to_string(),
    }
}

fn text(report: &Report) -> String {
    let rows = report.steps.iter().map(|step| {
        let (what, detail) = words(&step.seen);
        [format!("{} ms", step.milliseconds), what, detail]
    });
    let mut text = table(["after", "what", ""], rows);
    if let Some(offer) = &report.offer {
        text.push_str("\n\n");
        text.push_str(&facts([
            (
                "authenticated",
                match offer.mutual {
                    true => "both sides".to_owned(),
                    false => "the probe alone, by the key on its label".to_owned(),
                },
            ),
            ("version", offer.version.to_string()),
            ("curve", offer.curve.to_owned()),
        ]));
        for network in &offer.networks {
            text.push_str("\n\n");
            text.push_str(&facts([
                ("SSID", network.ssid.clone()),
                ("method", network.akm.to_owned()),
                (
                    "password",
                    match network.password {
                        true => "given, not shown".to_owned(),
                        false => String::new(),
                    },
                ),
                (
                    "password identifier",
                    network.password_identifier.clone().unwrap_or_default(),
                ),
                (
                    "connector signed by",
                    network.connector_signed_by.clone().unwrap_or_default(),
                ),
                ("certificates", network.certificates.join("; ")),
                ("server", network.server_name.clone().unwrap_or_default()),
            ]));
        }
        text.push_str(match offer.accepted {
            true => "\n\nthe controller was told that the configuration is taken",
            false => "\n\nthe controller was told that the configuration is not taken",
        });
    }
    if let Some(failure) = &report.failure {
        text.push_str(&format!(
            "\n\n{} ({}, {})",
            printable(&failure.text),
            failure.code,
            failure.section
        ));
    }
    text
}

fn words(seen: &Seen) -> (String, String) {
    match seen {
        Seen::Connected => ("connected".to_owned(), String::new()),
        Seen::Sent { message, bytes } => (format!("→ {message}"), format!("{bytes} bytes")),
        Seen::Received { message, bytes } => (format!("← {message}"), format!("{bytes} bytes")),
        Seen::Pending => (
            "the controller waits for our key".to_owned(),
            "somebody has to claim the probe's URI".to_owned(),
        ),
        Seen::Authenticated {
            mutual,
            version,
            curve,
        } => {
            let how = if *mutual { "mutual, " } else { "" };
            (
                "authenticated".to_owned(),
                format!("{how}version {version}, {curve}"),
            )
        }
        Seen::ComeBack { milliseconds } => (
            "told to come back".to_owned(),
            format!("in {milliseconds} ms"),
        ),
        Seen::CertificateRequestNeeded => {
            ("asked for a certificate request".to_owned(), String::new())
        }
        Seen::NewKeyNeeded { curve } => ("asked for a key".to_owned(), format!("on {curve}")),
        Seen::Offered { networks } => ("offered".to_owned(), format!("{networks} networks")),
        other => (format!("{other:?}"), String::new()),
    }
}
