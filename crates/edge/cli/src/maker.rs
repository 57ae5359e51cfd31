//! Manufacturers as the controller knows them, and how far each is trusted.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use vouchsafe_api::{AddManufacturer, Code, Manufacturer, ManufacturerTrust, Problem, SetTrust};

use crate::failure::{Exit, Failure};
use crate::input::{self, PageArgs, words};
use crate::output::{Printer, facts, table, when, word};
use crate::remote::Api;

/// Words for [`ManufacturerTrust`].
const TRUST: &[&str] = &[
    "unknown",
    "seen",
    "plain-est",
    "voucher-required",
    "blocked",
];

/// Commands on manufacturers.
#[derive(Debug, Subcommand)]
pub(crate) enum MakerCommand {
    /// List manufacturers
    List(PageArgs),
    /// Show one manufacturer
    Show {
        /// Its id
        id: String,
    },
    /// Make a manufacturer known
    Add(Add),
    /// Set how far a manufacturer is trusted
    Trust {
        /// Its id
        id: String,
        /// How far
        #[arg(value_parser = words::<ManufacturerTrust>(TRUST))]
        trust: ManufacturerTrust,
        /// Why; goes into the journal
        #[arg(long)]
        reason: String,
    },
}

/// `maker add`
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// What people call it
    name: String,
    /// Trust anchors of its birth certificates (PEM)
    #[arg(long, value_name = "PEM", required = true)]
    anchor: Vec<PathBuf>,
    /// How far it is trusted from the start
    #[arg(long, value_parser = words::<ManufacturerTrust>(TRUST), default_value = "voucher-required")]
    trust: ManufacturerTrust,
    /// Where its MASA is, when that is not in the birth certificates
    #[arg(long, value_name = "URL")]
    masa_url: Option<String>,
    /// Trust anchors of its MASA (PEM), when they differ
    #[arg(long, value_name = "PEM")]
    masa_anchor: Vec<PathBuf>,
    /// Why; goes into the journal
    #[arg(long)]
    reason: Option<String>,
}

pub(crate) async fn run(
    command: MakerCommand,
    api: &Api,
    printer: Printer,
) -> Result<Exit, Failure> {
    let manufacturer = match command {
        MakerCommand::List(page) => {
            let page = page
                .fetch(|query| async move { api.list_manufacturers(&query).await })
                .await?;
            printer.show(&page, |page| {
                let rows = page.items.iter().map(|manufacturer| {
                    [
                        manufacturer.id.clone(),
                        manufacturer.name.clone(),
                        word(&manufacturer.trust),
                        manufacturer.masa_url.clone().unwrap_or_default(),
                    ]
                });
                table(["id", "name", "trust", "MASA"], rows)
            })?;
            input::note_more(&page, printer);
            return Ok(Exit::Done);
        }
        MakerCommand::Show { id } => api.show_manufacturer(&id).await?.value,
        MakerCommand::Add(add) => {
            let add = AddManufacturer {
                name: add.name,
                anchors_pem: input::join_pem(&add.anchor)?,
                trust: add.trust,
                masa_url: add.masa_url,
                masa_anchors_pem: (!add.masa_anchor.is_empty())
                    .then(|| input::join_pem(&add.masa_anchor))
                    .transpose()?,
                reason: add.reason,
            };
            api.add_manufacturer(&add).await?
        }
        MakerCommand::Trust { id, trust, reason } => {
            let version = api.show_manufacturer(&id).await?.version;
            let version = version.ok_or_else(no_version)?;
            api.set_manufacturer_trust(&id, &SetTrust { trust, reason }, version)
                .await?
        }
    };
    printer.show(&manufacturer, text)?;
    Ok(Exit::Done)
}

/// The controller left the ETag out.
pub(crate) fn no_version() -> Failure {
    Problem::new(Code::Other, "the controller's answer has no ETag").into()
}

fn text(manufacturer: &Manufacturer) -> String {
    let facts = facts([
        ("id", manufacturer.id.clone()),
        ("name", manufacturer.name.clone()),
        ("trust", word(&manufacturer.trust)),
        ("MASA", manufacturer.masa_url.clone().unwrap_or_default()),
        ("known since", when(manufacturer.created_at)),
        ("changed", when(manufacturer.updated_at)),
        ("version", manufacturer.version.to_string()),
    ]);
    format!(
        "{facts}\n\nanchors of birth certificates:\n{}",
        manufacturer.anchors_pem
    )
}
