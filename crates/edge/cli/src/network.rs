//! Wi-Fi networks that devices are configured for.

use clap::{Args, Subcommand};
use serde_json::json;
use vouchsafe_api::{Network, NetworkCredential, PutNetwork};

use crate::failure::{Exit, Failure};
use crate::input::{self, PageArgs, words};
use crate::maker::no_version;
use crate::output::{Printer, facts, table, when, word};
use crate::remote::Api;

/// Words for [`NetworkCredential`].
const CREDENTIALS: &[&str] = &["connector", "certificate", "sae", "psk"];

/// Commands on Wi-Fi networks. Each device of a network gets a credential of its own.
#[derive(Debug, Subcommand)]
pub(crate) enum NetworkCommand {
    /// List networks
    List(PageArgs),
    /// Show one network
    Show {
        /// Its name here
        name: String,
    },
    /// Add a network, or with --change describe it anew
    Add(Add),
    /// Remove a network that no device is meant for or has a credential of
    Remove {
        /// Its name here
        name: String,
    },
}

/// `network add`
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Its name here: lower-case letters, digits and hyphens
    name: String,
    /// The SSID, 1 to 32 bytes
    #[arg(long)]
    ssid: String,
    /// What each device gets: a connector (DPP), a certificate (802.1X), a password of its own (SAE),
    /// or a passphrase of its own (WPA2-Personal)
    #[arg(long, value_parser = words::<NetworkCredential>(CREDENTIALS), default_value = "connector")]
    credential: NetworkCredential,
    /// Also give each device a password of its own for the next weaker method
    #[arg(long)]
    fallback: bool,
    /// Only for devices that policy puts into this segment
    #[arg(long)]
    segment: Option<String>,
    /// Days for which a connector counts, 1 to 3660
    #[arg(long, value_name = "DAYS")]
    lifetime_days: Option<u32>,
    /// The name in the authentication server's certificate, with --credential certificate
    #[arg(long, value_name = "NAME")]
    server_name: Option<String>,
    /// Change the network of this name; devices keep what they have until they are configured anew
    #[arg(long)]
    change: bool,
}

pub(crate) async fn run(
    command: NetworkCommand,
    api: &Api,
    printer: Printer,
) -> Result<Exit, Failure> {
    let network = match command {
        NetworkCommand::List(page) => {
            let page = page
                .fetch(|query| async move { api.list_networks(&query).await })
                .await?;
            printer.show(&page, |page| {
                let rows = page.items.iter().map(|network| {
                    [
                        network.name.clone(),
                        network.ssid.clone(),
                        given(network),
                        network.segment.clone().unwrap_or_default(),
                    ]
                });
                table(["name", "SSID", "devices get", "segment"], rows)
            })?;
            input::note_more(&page, printer);
            return Ok(Exit::Done);
        }
        NetworkCommand::Show { name } => api.show_network(&name).await?.value,
        NetworkCommand::Add(add) => {
            let network = PutNetwork {
                name: add.name,
                ssid: add.ssid,
                credential: add.credential,
                fallback: add.fallback,
                segment: add.segment,
                lifetime_days: add.lifetime_days,
                server_name: add.server_name,
            };
            if add.change {
                let version = api.show_network(&network.name).await?.version;
                api.put_network(&network, version.ok_or_else(no_version)?)
                    .await?
            } else {
                api.add_network(&network).await?
            }
        }
        NetworkCommand::Remove { name } => {
            let version = api.show_network(&name).await?.version;
            api.remove_network(&name, version).await?;
            printer.show(&json!({ "removed": name }), |_| {
                format!("network {name} is removed")
            })?;
            return Ok(Exit::Done);
        }
    };
    printer.show(&network, text)?;
    Ok(Exit::Done)
}

fn given(network: &Network) -> String {
    let kind = word(&network.credential);
    match network.fallback {
        true => format!("{kind}, password besides"),
        false => kind,
    }
}

fn text(network: &Network) -> String {
    let days = |days: u32| format!("{days} days");
    facts([
        ("name", network.name.clone()),
        ("SSID", network.ssid.clone()),
        ("devices get", given(network)),
        ("segment", network.segment.clone().unwrap_or_default()),
        (
            "connectors count for",
            network.lifetime_days.map(days).unwrap_or_default(),
        ),
        (
            "authentication server",
            network.server_name.clone().unwrap_or_default(),
        ),
        ("created", when(network.created_at)),
        ("changed", when(network.updated_at)),
        ("version", network.version.to_string()),
    ])
}
