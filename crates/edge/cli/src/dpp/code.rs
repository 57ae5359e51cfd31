//! Codes for devices without a label (PKEX).
//!
//! A code is read from a file or from standard input, never from the command line, where every
//! process of the machine could see it.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;
use vouchsafe_api::{AddCode, DeviceCode, DeviceRole};

use crate::failure::{Exit, Failure};
use crate::input::{self, words};
use crate::output::{Printer, facts, table, when, word};
use crate::remote::Api;

/// Words for [`DeviceRole`].
const ROLES: &[&str] = &["station", "access-point"];

const EXAMPLES: &str = "\
Examples:
  vouchsafe dpp code add --identifier bench --label 'bench 7' --reason 'no label' < code.txt
  vouchsafe dpp code add --network plant --file code.txt --reason 'no label'

A code is good for one device, for ten minutes, and for five wrong guesses.";

/// Commands on codes.
#[derive(Debug, Subcommand)]
pub(crate) enum CodeCommand {
    /// Say a code that a device has been told
    #[command(after_help = EXAMPLES)]
    Add(Add),
    /// List the codes that are good now, without the codes
    List,
    /// Take a code back
    Remove {
        /// Its number in the list
        id: u64,
    },
}

/// `dpp code add`
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// The file with the code, in its first line; - for standard input
    #[arg(long, value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// By which the device names the code, where it names one
    #[arg(long, value_name = "NAME")]
    identifier: Option<String>,
    /// As what the device may be configured
    #[arg(long, value_parser = words::<DeviceRole>(ROLES), default_value = "station")]
    role: DeviceRole,
    /// The network it is meant for, else the one that fits its segment
    #[arg(long)]
    network: Option<String>,
    /// What the device shall be called
    #[arg(long)]
    label: Option<String>,
    /// Why; goes into the journal when the device comes
    #[arg(long)]
    reason: String,
}

pub(crate) async fn run(
    command: CodeCommand,
    api: &Api,
    printer: Printer,
) -> Result<Exit, Failure> {
    match command {
        CodeCommand::Add(add) => {
            let text = input::read_text(&add.file)?;
            let code = text.lines().next().unwrap_or_default().to_owned();
            let added = api
                .add_code(&AddCode {
                    code,
                    identifier: add.identifier,
                    role: add.role,
                    network: add.network,
                    label: add.label,
                    reason: add.reason,
                })
                .await?;
            printer.show(&added, text_of)?;
        }
        CodeCommand::List => {
            let page = api.list_codes().await?;
            printer.show(&page, |page| {
                let rows = page.items.iter().map(|code| {
                    [
                        code.id.to_string(),
                        code.identifier.clone().unwrap_or_default(),
                        code.label.clone().unwrap_or_default(),
                        word(&code.role),
                        code.network.clone().unwrap_or_default(),
                        code.said_by.clone(),
                        when(code.expires_at),
                        code.guesses_left.to_string(),
                    ]
                });
                table(
                    [
                        "number",
                        "name",
                        "label",
                        "role",
                        "network",
                        "said by",
                        "until",
                        "guesses left",
                    ],
                    rows,
                )
            })?;
        }
        CodeCommand::Remove { id } => {
            api.remove_code(&id.to_string()).await?;
            printer.show(&json!({ "removed": id }), |_| {
                "the code is good no more".to_owned()
            })?;
        }
    }
    Ok(Exit::Done)
}

fn text_of(code: &DeviceCode) -> String {
    facts([
        ("number", code.id.to_string()),
        ("name", code.identifier.clone().unwrap_or_default()),
        ("label", code.label.clone().unwrap_or_default()),
        ("role", word(&code.role)),
        ("network", code.network.clone().unwrap_or_default()),
        ("said by", code.said_by.clone()),
        ("good until", when(code.expires_at)),
        ("wrong guesses left", code.guesses_left.to_string()),
    ])
}
