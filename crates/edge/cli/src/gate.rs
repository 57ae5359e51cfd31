//! Gates: what lets devices in, on machines of their own.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;
use vouchsafe_api::{AddGate, Gate, GateInvitation};

use crate::failure::{Exit, Failure};
use crate::input::{self, PageArgs};
use crate::output::{Printer, facts, table, when, word};
use crate::remote::Api;

const ADD_EXAMPLES: &str = "\
Examples:
  vouchsafe gate add hall --token-out hall.token
  vouchsafe gate add hall --output json

On the gate's machine, with the fingerprint that this prints:
  vouchsafe-gate enrol DIR --controller https://HOST:PORT --token-file hall.token --fingerprint sha256:…";

const TOKEN_EXAMPLES: &str = "\
Examples:
  vouchsafe gate token hall --token-out hall.token

The token before is good no more. A gate that enrols anew gets a certificate of its own.";

/// Commands on gates.
#[derive(Debug, Subcommand)]
pub(crate) enum GateCommand {
    /// List gates: what each has in force, and what it should have
    List(PageArgs),
    /// Show one gate
    Show {
        /// Its name
        name: String,
    },
    /// Add a gate; the token with which it enrols is shown once
    #[command(after_help = ADD_EXAMPLES)]
    Add {
        /// Its name here and in its certificate: lower-case letters, digits and hyphens
        name: String,
        /// Write the token to this file, and not to the screen
        #[arg(long, value_name = "FILE")]
        token_out: Option<PathBuf>,
    },
    /// Make another token for a gate that lost its own, or its machine
    #[command(after_help = TOKEN_EXAMPLES)]
    Token {
        /// Its name
        name: String,
        /// Write the token to this file, and not to the screen
        #[arg(long, value_name = "FILE")]
        token_out: Option<PathBuf>,
    },
    /// End trust in a gate: its certificate is revoked, and it hears of no device any more
    Remove {
        /// Its name
        name: String,
    },
}

pub(crate) async fn run(
    command: GateCommand,
    api: &Api,
    printer: Printer,
) -> Result<Exit, Failure> {
    match command {
        GateCommand::List(page) => {
            let page = page
                .fetch(|query| async move { api.list_gates(&query).await })
                .await?;
            printer.show(&page, |page| {
                let rows = page.items.iter().map(|gate| {
                    [
                        gate.name.clone(),
                        word(&gate.state),
                        number(gate.in_force),
                        number(gate.wanted),
                        gate.reported_at.map(when).unwrap_or_default(),
                        gate.credential_ends_at.map(when).unwrap_or_default(),
                    ]
                });
                table(
                    [
                        "name",
                        "state",
                        "in force",
                        "wanted",
                        "reported",
                        "certificate ends",
                    ],
                    rows,
                )
            })?;
            input::note_more(&page, printer);
        }
        GateCommand::Show { name } => {
            printer.show(&api.show_gate(&name).await?.value, gate_text)?
        }
        GateCommand::Add { name, token_out } => {
            check(token_out.as_ref())?;
            let invitation = api.add_gate(&AddGate { name }).await?;
            invited(&invitation, token_out, printer)?;
        }
        GateCommand::Token { name, token_out } => {
            check(token_out.as_ref())?;
            let invitation = api.invite_gate(&name).await?;
            invited(&invitation, token_out, printer)?;
        }
        GateCommand::Remove { name } => {
            let version = api.show_gate(&name).await?.version;
            api.remove_gate(&name, version).await?;
            printer.show(&json!({ "removed": name }), |_| {
                format!("nobody trusts the gate {name} any more")
            })?;
        }
    }
    Ok(Exit::Done)
}

/// A token is told once, so its file must be writable before it is made.
fn check(token_out: Option<&PathBuf>) -> Result<(), Failure> {
    token_out.map_or(Ok(()), |file| input::writable(file))
}

/// The gate, and how it comes to its certificate. A token that goes to a file goes nowhere else.
fn invited(
    invitation: &GateInvitation,
    token_out: Option<PathBuf>,
    printer: Printer,
) -> Result<(), Failure> {
    let fingerprint = format!("sha256:{}", invitation.domain_ca_sha256);
    let file = token_out.as_ref().map(|file| file.display().to_string());
    let result = match (&token_out, &file) {
        (Some(path), Some(name)) => {
            input::write(path, format!("{}\n", invitation.token).as_bytes())?;
            json!({ "gate": invitation.gate, "fingerprint": fingerprint, "token_file": name })
        }
        _ => json!({
            "gate": invitation.gate,
            "fingerprint": fingerprint,
            "token": invitation.token,
        }),
    };
    printer.show(&result, |_| {
        let token = match &file {
            Some(file) => format!("in {file}"),
            None => invitation.token.clone(),
        };
        let how = format!(
            "vouchsafe-gate enrol DIR --controller https://HOST:PORT --token-file {} \
             --fingerprint {fingerprint}",
            file.as_deref().unwrap_or("FILE")
        );
        let own = facts([("token", token), ("on its machine", how)]);
        format!("{}\n{own}", gate_text(&invitation.gate))
    })?;
    printer.note("the token is good once, for 24 hours, and is shown nowhere else");
    Ok(())
}

fn gate_text(gate: &Gate) -> String {
    facts([
        ("name", gate.name.clone()),
        ("state", word(&gate.state)),
        (
            "token good until",
            gate.token_expires_at.map(when).unwrap_or_default(),
        ),
        ("certificate", gate.credential.clone().unwrap_or_default()),
        (
            "certificate ends",
            gate.credential_ends_at.map(when).unwrap_or_default(),
        ),
        ("in force", number(gate.in_force)),
        ("wanted", number(gate.wanted)),
        ("reported", gate.reported_at.map(when).unwrap_or_default()),
        ("created", when(gate.created_at)),
        ("changed", when(gate.updated_at)),
        ("version", gate.version.to_string()),
    ])
}

fn number(version: Option<u64>) -> String {
    version
        .map(|version| version.to_string())
        .unwrap_or_default()
}
