//! Wi-Fi Easy Connect: labels, the controller, codes, devices that showed themselves, and a probe.

mod code;
mod probe;
pub(crate) mod qr;
mod show;

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use serde_json::json;
use vouchsafe_api::{BootstrappingKey, CallDevice, DppController, KeyFilter, Reasoned, SettleKey};

use crate::failure::{Exit, Failure};
use crate::input::{self, PageArgs};
use crate::output::{Printer, facts, table, when, word};
use crate::remote::Api;

/// The port to which hostapd relays; it cannot be told another one.
const RELAY_PORT: u16 = 8908;

const CALL_EXAMPLES: &str = "\
Examples:
  vouchsafe dpp key list --device 1f0c…
  vouchsafe dpp call 5be3… --host 192.0.2.40";

const ROTATE_EXAMPLES: &str = "\
Examples:
  vouchsafe dpp rotate --reason 'yearly change'

Devices keep the connectors they have: they count until the overlap is over, and a device that shows
one gets another by the new key.";

/// Commands on Wi-Fi Easy Connect (DPP).
#[derive(Debug, Subcommand)]
pub(crate) enum DppCommand {
    /// Show everything in a bootstrapping URI, and which rule it breaks
    Show(Text),
    /// Show the controller's URI and key hash, and the line for hostapd
    Controller {
        /// The address at which access points reach the controller; by default where it listens
        #[arg(long, value_name = "IP")]
        address: Option<std::net::IpAddr>,
    },
    /// Bootstrapping keys of devices
    #[command(subcommand)]
    Key(KeyCommand),
    /// Codes for devices without a label (PKEX)
    #[command(subcommand)]
    Code(code::CodeCommand),
    /// Call a device that listens, and configure it
    #[command(after_help = CALL_EXAMPLES)]
    Call {
        /// The hash of its bootstrapping key, 64 hexadecimal digits
        key: String,
        /// Where it listens: HOST or HOST:PORT; by default what its label says (H:)
        #[arg(long, value_name = "HOST")]
        host: Option<String>,
    },
    /// Put another key in force that signs connectors; the one before stays for an overlap
    #[command(after_help = ROTATE_EXAMPLES)]
    Rotate {
        /// Why; goes into the journal
        #[arg(long)]
        reason: String,
    },
    /// Devices that showed themselves and whose keys nobody knows
    Announcements(PageArgs),
    /// Be a device towards any controller over TCP, and print what it does
    Probe(Box<probe::Probe>),
}

/// A URI, pasted or photographed.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("label").required(true).args(["uri", "qr"]))]
pub(crate) struct Text {
    /// The text of the label; - for standard input
    uri: Option<String>,
    /// A picture of the label (PNG or JPEG)
    #[arg(long, value_name = "FILE")]
    qr: Option<PathBuf>,
}

/// Commands on bootstrapping keys. A key is named by its hash, 64 hexadecimal digits.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// List keys
    List {
        /// Only those of this device (id)
        #[arg(long, value_name = "ID")]
        device: Option<String>,
        /// Only those that are claimed for a second device
        #[arg(long)]
        conflicts: bool,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show one key
    Show {
        /// Its hash
        id: String,
    },
    /// Remove a key; what its device was given stays
    Remove {
        /// Its hash
        id: String,
    },
    /// Say whose a key is that was claimed for two devices
    Settle {
        /// Its hash
        id: String,
        /// The device (id): the present one, or the one of the conflict
        #[arg(long, value_name = "ID")]
        device: String,
        /// Why; goes into the journal
        #[arg(long)]
        reason: String,
    },
}

impl Text {
    fn read(&self) -> Result<String, Failure> {
        match (&self.uri, &self.qr) {
            (_, Some(file)) => qr::uri_in(file),
            (Some(dash), _) if dash == "-" => input::read_text(std::path::Path::new("-")),
            (Some(uri), _) => Ok(uri.clone()),
            (None, None) => Err(Failure::usage("which label?")),
        }
    }
}

/// Runs a command; those that need no controller of ours do not ask for its API.
pub(crate) async fn run(
    command: DppCommand,
    api: impl FnOnce() -> Result<Api, Failure>,
    printer: Printer,
) -> Result<Exit, Failure> {
    match command {
        DppCommand::Show(text) => return show::run(&text.read()?, printer),
        DppCommand::Probe(probe) => return probe::run(*probe, printer).await,
        DppCommand::Key(command) => return keys(command, &api()?, printer).await,
        DppCommand::Code(command) => return code::run(command, &api()?, printer).await,
        DppCommand::Call { key, host } => {
            let key = api()?.call_device(&key, &CallDevice { host }).await?;
            printer.show(&key, key_text)?;
            printer.note("the device is configured: `vouchsafe device show` tells with what");
        }
        DppCommand::Rotate { reason } => {
            let shown = api()?.replace_signing_key(&Reasoned { reason }).await?;
            controller(&shown, None, printer)?;
        }
        DppCommand::Controller { address } => {
            let shown = api()?.show_dpp_controller().await?;
            controller(&shown, address, printer)?;
        }
        DppCommand::Announcements(page) => {
            let api = &api()?;
            let page = page
                .fetch(|query| async move { api.list_announcements(&query).await })
                .await?;
            printer.show(&page, |page| {
                let rows = page.items.iter().map(|seen| {
                    [
                        seen.hash.clone(),
                        seen.form.clone(),
                        seen.via.clone().unwrap_or_default(),
                        when(seen.first_at),
                        when(seen.last_at),
                    ]
                });
                table(["hash", "of", "came by", "first", "last"], rows)
            })?;
            input::note_more(&page, printer);
            printer.note(
                "`vouchsafe device claim --dpp-uri …` lets one in: `vouchsafe dpp show` tells the \
                 hashes of a label",
            );
        }
    }
    Ok(Exit::Done)
}

fn controller(
    shown: &DppController,
    address: Option<std::net::IpAddr>,
    printer: Printer,
) -> Result<(), Failure> {
    let listens: Option<std::net::SocketAddr> = shown.listen.parse().ok();
    let reached = address.or_else(|| {
        let ip = listens.map(|listens| listens.ip());
        ip.filter(|ip| !ip.is_unspecified())
    });
    let ip = reached.map_or_else(|| "ADDRESS".to_owned(), |ip| ip.to_string());
    let line = format!("dpp_controller=ipaddr={ip} pkhash={}", shown.key_sha256);
    let result = json!({
        "uri": shown.uri,
        "key_sha256": shown.key_sha256,
        "curve": shown.curve,
        "listen": shown.listen,
        "signing_keys": shown.signing_keys,
        "hostapd": line,
    });
    printer.show(&result, |_| {
        facts([
            ("URI", shown.uri.clone()),
            ("hash (pkhash)", shown.key_sha256.clone()),
            ("curve", shown.curve.clone()),
            ("listens on", shown.listen.clone()),
            ("connectors signed by", shown.signing_keys.join(", ")),
            ("for hostapd.conf", line.clone()),
        ])
    })?;
    if reached.is_none() {
        printer.note("ADDRESS is where access points reach the controller: --address says it");
    }
    if listens.is_some_and(|listens| listens.port() != RELAY_PORT) {
        printer
            .note("hostapd relays to port 8908 alone: lead that to where the controller listens");
    }
    Ok(())
}

async fn keys(command: KeyCommand, api: &Api, printer: Printer) -> Result<Exit, Failure> {
    let key = match command {
        KeyCommand::List {
            device,
            conflicts,
            page,
        } => {
            let filter = KeyFilter {
                device,
                conflicts: conflicts.then_some(true),
            };
            let page = page
                .fetch(|query| {
                    let filter = &filter;
                    async move { api.list_bootstrapping_keys(filter, &query).await }
                })
                .await?;
            printer.show(&page, |page| {
                let rows = page.items.iter().map(|key| {
                    [
                        key.id.clone(),
                        key.device.clone(),
                        key.curve.clone(),
                        word(&key.role),
                        word(&key.source),
                        match &key.conflict {
                            Some(conflict) => format!("claimed for {} too", conflict.serial),
                            None => String::new(),
                        },
                    ]
                });
                table(
                    ["hash", "device", "curve", "role", "from", "conflict"],
                    rows,
                )
            })?;
            input::note_more(&page, printer);
            return Ok(Exit::Done);
        }
        KeyCommand::Show { id } => api.show_bootstrapping_key(&id).await?.value,
        KeyCommand::Remove { id } => {
            let version = api.show_bootstrapping_key(&id).await?.version;
            api.remove_bootstrapping_key(&id, version).await?;
            printer.show(&json!({ "removed": id }), |_| {
                "the key is removed: its device cannot begin with it any more".to_owned()
            })?;
            return Ok(Exit::Done);
        }
        KeyCommand::Settle { id, device, reason } => {
            let version = api.show_bootstrapping_key(&id).await?.version;
            let settle = SettleKey { device, reason };
            api.settle_bootstrapping_key(&id, &settle, version).await?
        }
    };
    printer.show(&key, key_text)?;
    Ok(Exit::Done)
}

pub(crate) fn key_text(key: &BootstrappingKey) -> String {
    let conflict = key.conflict.as_ref().map(|conflict| {
        format!(
            "claimed for {} ({}) as well, by {} on {}",
            conflict.serial,
            conflict.device,
            conflict.by,
            when(conflict.at)
        )
    });
    facts([
        ("hash", key.id.clone()),
        ("chirp hash", key.chirp_hash.clone()),
        ("curve", key.curve.clone()),
        ("URI", key.uri.clone()),
        ("device", key.device.clone()),
        ("role", word(&key.role)),
        ("from", word(&key.source)),
        ("conflict", conflict.unwrap_or_default()),
        ("added", when(key.added_at)),
        ("version", key.version.to_string()),
    ])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
