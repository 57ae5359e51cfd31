//! The policy.

use std::path::PathBuf;

use clap::Subcommand;
use vouchsafe_api::{CheckPolicy, DryRun, DryRunPolicy, PutPolicy};

use crate::failure::{Exit, Failure};
use crate::maker::no_version;
use crate::output::{Printer, facts, table, when, word};
use crate::remote::Api;
use crate::{input, output};

/// Commands on the policy. A policy file is Rego; - is standard input.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Show the policy in force
    Show,
    /// Put a policy in force
    Set {
        /// The policy
        file: PathBuf,
        /// Why; goes into the journal
        #[arg(long, required_unless_present = "dry_run")]
        reason: Option<String>,
        /// Only say what it would change
        #[arg(long)]
        dry_run: bool,
    },
    /// Read a policy and say what is wrong with it
    Check {
        /// The policy
        file: PathBuf,
    },
    /// Say what a policy would change if it were in force now
    DryRun {
        /// The policy
        file: PathBuf,
    },
}

pub(crate) async fn run(
    command: PolicyCommand,
    api: &Api,
    printer: Printer,
) -> Result<Exit, Failure> {
    match command {
        PolicyCommand::Show => {
            let policy = api.show_policy().await?.value;
            printer.show(&policy, |policy| policy.rego.clone())?;
            printer.note(&facts([
                ("digest", policy.sha256.clone()),
                ("since", when(policy.updated_at)),
                ("by", policy.updated_by.clone()),
                ("version", policy.version.to_string()),
            ]));
            Ok(Exit::Done)
        }
        PolicyCommand::DryRun { file }
        | PolicyCommand::Set {
            file,
            dry_run: true,
            ..
        } => {
            let rego = input::read_text(&file)?;
            let result = api.dry_run_policy(&DryRunPolicy { rego }).await?;
            printer.show(&result, dry_run_text)?;
            Ok(Exit::Done)
        }
        PolicyCommand::Set { file, reason, .. } => {
            let policy = PutPolicy {
                rego: input::read_text(&file)?,
                reason: reason.unwrap_or_default(),
            };
            let version = api.show_policy().await?.version;
            let version = version.ok_or_else(no_version)?;
            let policy = api.put_policy(&policy, version).await?;
            printer.show(&policy, |policy| {
                format!(
                    "policy {} is in force, version {}",
                    policy.sha256, policy.version
                )
            })?;
            Ok(Exit::Done)
        }
        PolicyCommand::Check { file } => {
            let rego = input::read_text(&file)?;
            let check = api.check_policy(&CheckPolicy { rego }).await?;
            printer.show(&check, |check| {
                if check.ok {
                    return format!("{} can be put in force", file.display());
                }
                let faults: Vec<String> = check
                    .faults
                    .iter()
                    .map(|fault| {
                        let line = fault.line.map(|line| format!("line {line}: "));
                        output::printable(&(line.unwrap_or_default() + &fault.message))
                    })
                    .collect();
                faults.join("\n")
            })?;
            Ok(Exit::done_if(check.ok))
        }
    }
}

fn dry_run_text(result: &DryRun) -> String {
    let mut text = facts([
        ("devices asked about", result.evaluated.to_string()),
        ("would be cut off", result.cut_off.to_string()),
        ("would get another answer", result.changed.to_string()),
    ]);
    if !result.changes.is_empty() {
        let rows = result.changes.iter().map(|change| {
            [
                change.device.clone(),
                change.serial.clone(),
                word(&change.state),
                word(&change.now),
                word(&change.then),
                change.reasons.join("; "),
            ]
        });
        text.push('\n');
        text.push_str(&table(
            ["device", "serial", "state", "now", "then", "why"],
            rows,
        ));
    }
    text
}
