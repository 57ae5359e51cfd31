//! Other owners, for releases.

use std::path::PathBuf;

use clap::Subcommand;
use vouchsafe_api::AddOwner;

use crate::failure::{Exit, Failure};
use crate::input::{self, PageArgs};
use crate::output::{Printer, facts, table};
use crate::remote::Api;

/// Commands on owners.
#[derive(Debug, Subcommand)]
pub(crate) enum OwnerCommand {
    /// List owners, this site among them
    List(PageArgs),
    /// Make another owner known by name
    Add {
        /// What people call it
        name: String,
        /// Its domain CA's certificate (PEM)
        #[arg(long, value_name = "PEM")]
        domain_ca: PathBuf,
    },
}

pub(crate) async fn run(
    command: OwnerCommand,
    api: &Api,
    printer: Printer,
) -> Result<Exit, Failure> {
    match command {
        OwnerCommand::List(page) => {
            let page = page
                .fetch(|query| async move { api.list_owners(&query).await })
                .await?;
            printer.show(&page, |page| {
                let rows = page.items.iter().map(|owner| {
                    let us = if owner.this_site { "this site" } else { "" };
                    [owner.id.clone(), owner.name.clone(), us.to_owned()]
                });
                table(["id", "name", ""], rows)
            })?;
            input::note_more(&page, printer);
        }
        OwnerCommand::Add { name, domain_ca } => {
            let add = AddOwner {
                name,
                domain_ca_pem: input::join_pem(&[domain_ca])?,
            };
            let owner = api.add_owner(&add).await?;
            printer.show(&owner, |owner| {
                facts([("id", owner.id.clone()), ("name", owner.name.clone())])
            })?;
        }
    }
    Ok(Exit::Done)
}
