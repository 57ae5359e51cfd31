//! Bringing devices into the inventory.

use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Subcommand;
use vouchsafe_api::{ImportManifest, ImportResult};

use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::{Printer, facts, table};
use crate::remote::Api;

/// Commands that import.
#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// Import a manufacturer's signed manifest
    Manifest {
        /// The manifest as the manufacturer gave it
        file: PathBuf,
        /// The manufacturer's roots (PEM), obtained apart from the manifest: root-ca.pem of its birth
        /// certificates and masa-ca.pem of what its MASA signs. Needed once; then it is known
        #[arg(long, value_name = "PEM")]
        anchor: Vec<PathBuf>,
        /// Only say what it would do
        #[arg(long)]
        dry_run: bool,
    },
    /// Import a list: columns manufacturer, serial, and optionally model, idevid_sha256, segment
    Csv {
        /// The list; - for standard input
        file: PathBuf,
        /// Only say what it would do
        #[arg(long)]
        dry_run: bool,
    },
    /// Import labels for Wi-Fi Easy Connect: column uri, and optionally manufacturer, serial, model,
    /// role, segment, network
    Keys {
        /// The list (CSV); - for standard input
        file: PathBuf,
        /// Only say what it would do
        #[arg(long)]
        dry_run: bool,
    },
}

pub(crate) async fn run(
    command: ImportCommand,
    api: &Api,
    printer: Printer,
) -> Result<Exit, Failure> {
    let (result, dry_run) = match command {
        ImportCommand::Manifest {
            file,
            anchor,
            dry_run,
        } => {
            let manifest = ImportManifest {
                manifest: BASE64_STANDARD.encode(input::read(&file)?),
                anchors_pem: (!anchor.is_empty())
                    .then(|| input::join_pem(&anchor))
                    .transpose()?,
            };
            (api.import_manifest(&manifest, dry_run).await?, dry_run)
        }
        ImportCommand::Csv { file, dry_run } => {
            let list = input::read(&file)?.into();
            (api.import_csv(list, dry_run).await?, dry_run)
        }
        ImportCommand::Keys { file, dry_run } => {
            let list = input::read(&file)?.into();
            let result = api.import_bootstrapping_keys_csv(list, dry_run).await?;
            (result, dry_run)
        }
    };
    printer.show(&result, result_text)?;
    if dry_run {
        printer.note("nothing was changed: --dry-run");
    }
    Ok(Exit::done_if(result.refused == 0))
}

fn result_text(result: &ImportResult) -> String {
    let mut text = facts([
        (
            "manufacturer",
            result.manufacturer.clone().unwrap_or_default(),
        ),
        ("claimed", result.claimed.to_string()),
        ("ours already", result.unchanged.to_string()),
        ("refused", result.refused.to_string()),
    ]);
    for warning in &result.warnings {
        text.push_str(&format!("\nwarning: {} ({})", warning.detail, warning.code));
    }
    if !result.refusals.is_empty() {
        let rows = result.refusals.iter().map(|refused| {
            [
                refused.line.to_string(),
                refused.serial.clone(),
                refused.code.clone(),
                refused.detail.clone(),
            ]
        });
        text.push('\n');
        text.push_str(&table(
            ["line", "serial", "refused because", "detail"],
            rows,
        ));
    }
    text
}
