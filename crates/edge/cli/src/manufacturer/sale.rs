//! Owners, sales, releases, manifests.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::{ArgGroup, Args, Subcommand};
use serde_json::json;
use vouchsafe_fleet::{Device, Owner};
use vouchsafe_manufacturer::{MAX_SALE, Order, Reply};

use super::desk::{self, Place};
use super::record::{devices_table, shown_device};
use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::{facts, table};
use crate::remote::read_certificates;

/// Owners asked for at once.
const PAGE: u32 = 1000;

/// Commands on owners. An owner is named by its name or its id.
#[derive(Debug, Subcommand)]
pub(crate) enum OwnerCommand {
    /// Make an owner known by its domain CA, or rename it
    Add {
        /// Its name
        name: String,
        /// Its domain CA (PEM): the domain-ca.pem of its controller
        #[arg(long, value_name = "PEM")]
        domain_ca: PathBuf,
    },
    /// List owners
    List,
    /// Give an owner no more vouchers
    Block {
        /// Name or id
        owner: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Serve an owner again
    Unblock {
        /// Name or id
        owner: String,
    },
    /// Hand in an owner's revocation list, so that its revoked registrars are refused
    Crl {
        /// The list (DER or PEM): what `vouchsafe cert crl` gives
        file: PathBuf,
    },
}

/// `manufacturer sell`
#[derive(Debug, Args)]
pub(crate) struct Sell {
    /// Serial numbers
    #[arg(value_name = "SERIAL", required_unless_present = "list")]
    serials: Vec<String>,
    /// More serial numbers, one a line; - for standard input
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
    /// The owner: name or id
    #[arg(long = "to", value_name = "OWNER")]
    owner: String,
    /// Only say what would come of it
    #[arg(long)]
    dry_run: bool,
}

/// `manufacturer release`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("word").required(true).args(["statement", "serial"]))]
pub(crate) struct Release {
    /// The owner's word: the statement that `vouchsafe device release` wrote
    #[arg(long, value_name = "FILE")]
    statement: Option<PathBuf>,
    /// Without the owner's word: the device
    #[arg(requires = "reason")]
    serial: Option<String>,
    /// Without the owner's word: why
    #[arg(long, requires = "serial")]
    reason: Option<String>,
    /// Only say what would come of it
    #[arg(long)]
    dry_run: bool,
}

/// `manufacturer manifest`
#[derive(Debug, Args)]
pub(crate) struct Manifest {
    /// The owner: name or id
    #[arg(long)]
    owner: String,
    /// The file to write; further parts get a number behind it
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The MASA's address, where the one in the birth certificates does not hold
    #[arg(long, value_name = "URL")]
    masa_url: Option<String>,
}

pub(super) async fn owner(command: OwnerCommand, at: &Place<'_>) -> Result<Exit, Failure> {
    let order = match command {
        OwnerCommand::List => return list_owners(at).await,
        OwnerCommand::Crl { file } => return revocation_list(&file, at).await,
        OwnerCommand::Add { name, domain_ca } => {
            let certificates = read_certificates(&domain_ca)?;
            let domain_ca = certificates.first().map(|ca| ca.pem()).unwrap_or_default();
            Order::AddOwner { name, domain_ca }
        }
        OwnerCommand::Block { owner, reason } => Order::BlockOwner {
            owner,
            why: Some(reason),
        },
        OwnerCommand::Unblock { owner } => Order::BlockOwner { owner, why: None },
    };
    let Reply::Owner(owner) = at.order(order).await? else {
        return Err(desk::unexpected());
    };
    at.printer.show(&shown_owner(&owner), |_| {
        facts([
            ("owner", owner.id.to_string()),
            ("name", owner.name.clone()),
            ("blocked", owner.blocked.clone().unwrap_or_default()),
        ])
    })?;
    Ok(Exit::Done)
}

async fn list_owners(at: &Place<'_>) -> Result<Exit, Failure> {
    let mut owners: Vec<Owner> = Vec::new();
    loop {
        let order = Order::Owners {
            after: owners.last().map(|owner| owner.id),
            limit: PAGE,
        };
        let Reply::Owners(page) = at.order(order).await? else {
            return Err(desk::unexpected());
        };
        let full = page.len() == PAGE as usize;
        owners.extend(page);
        if !full {
            break;
        }
    }
    let shown: Vec<_> = owners.iter().map(shown_owner).collect();
    at.printer.show(&json!({ "owners": shown }), |_| {
        let rows = owners.iter().map(|owner| {
            [
                owner.id.to_string(),
                owner.name.clone(),
                owner.blocked.clone().unwrap_or_default(),
            ]
        });
        table(["id", "name", "blocked because"], rows)
    })?;
    Ok(Exit::Done)
}

async fn revocation_list(file: &Path, at: &Place<'_>) -> Result<Exit, Failure> {
    let order = Order::RevocationList {
        crl: BASE64_STANDARD.encode(list(input::read(file)?)),
    };
    let Reply::RevocationList(newer) = at.order(order).await? else {
        return Err(desk::unexpected());
    };
    at.printer.show(&json!({ "newer": newer }), |_| {
        let text = if newer {
            "the list is in use"
        } else {
            "the list at hand is as new; nothing changed"
        };
        text.to_owned()
    })?;
    Ok(Exit::Done)
}

pub(super) async fn sell(mut command: Sell, at: &Place<'_>) -> Result<Exit, Failure> {
    if let Some(list) = &command.list {
        let text = input::read_text(list)?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        command.serials.extend(lines.map(str::to_owned));
    }
    let mut devices = Vec::new();
    let replies = at.orders(sales(&command)).await;
    for reply in replies.map_err(|failure| unfinished(failure, &command))? {
        devices.extend(desk::devices(reply)?);
    }
    if command.dry_run {
        at.printer.note("nothing was changed: --dry-run");
    }
    show_devices(&devices, at)
}

/// What became of the rest of the list.
fn unfinished(failure: Failure, command: &Sell) -> Failure {
    if command.dry_run || command.serials.len() < 2 {
        return failure;
    }
    failure.next_step(
        "where a serial number is named, all before it in the list are sold; the same command sells \
         the rest when the cause is gone",
    )
}

/// One order after the other, each of a size that the desk takes.
fn sales(command: &Sell) -> impl Iterator<Item = Order> {
    command.serials.chunks(MAX_SALE).map(|some| {
        let (serials, owner) = (some.to_vec(), command.owner.clone());
        match command.dry_run {
            true => Order::RehearseSale { serials, owner },
            false => Order::Sell { serials, owner },
        }
    })
}

pub(super) async fn release(command: Release, at: &Place<'_>) -> Result<Exit, Failure> {
    let dry_run = command.dry_run;
    let order = match (command.statement, command.serial) {
        (Some(file), _) => Order::ReleaseByStatement {
            statement: BASE64_STANDARD.encode(statement(input::read(&file)?)),
            dry_run,
        },
        (None, serial) => Order::ReleaseByOrder {
            serial: serial.unwrap_or_default(),
            reason: command.reason.unwrap_or_default(),
            dry_run,
        },
    };
    let reply = at.order(order).await?;
    if dry_run {
        at.printer.note("nothing was changed: --dry-run");
    }
    show_devices(&desk::devices(reply)?, at)
}

pub(super) async fn manifest(command: Manifest, at: &Place<'_>) -> Result<Exit, Failure> {
    let mut files = Vec::new();
    let mut devices = 0;
    let mut after = None;
    loop {
        let order = Order::Manifest {
            owner: command.owner.clone(),
            masa_url: command.masa_url.clone(),
            after,
        };
        let Reply::Manifest(part) = at.order(order).await? else {
            return Err(desk::unexpected());
        };
        let file = part_file(&command.out, files.len());
        input::write(&file, &part.bytes())?;
        files.push(file);
        devices += part.devices;
        after = part.next;
        if after.is_none() {
            break;
        }
    }
    let result = json!({ "files": files, "devices": devices });
    at.printer.show(&result, |_| {
        let files: Vec<String> = files
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        format!("{devices} devices in {}", files.join(", "))
    })?;
    Ok(Exit::Done)
}

/// The file of the part with this index, from 0.
fn part_file(out: &Path, part: usize) -> PathBuf {
    if part == 0 {
        return out.to_owned();
    }
    let mut name = out.as_os_str().to_owned();
    name.push(format!(".{}", part + 1));
    name.into()
}

/// A revocation list in DER, also where the file has it as PEM (RFC 7468 §6).
fn list(bytes: Vec<u8>) -> Vec<u8> {
    let body: String = String::from_utf8_lossy(&bytes)
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("-----"))
        .collect();
    BASE64_STANDARD.decode(body).unwrap_or(bytes)
}

/// A statement as CMS, or as the base64 that the API answers.
fn statement(bytes: Vec<u8>) -> Vec<u8> {
    let text: Vec<u8> = bytes
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    BASE64_STANDARD.decode(text).unwrap_or(bytes)
}

fn show_devices(devices: &[Device], at: &Place<'_>) -> Result<Exit, Failure> {
    let shown: Vec<_> = devices.iter().map(shown_device).collect();
    at.printer
        .show(&json!({ "devices": shown }), |_| devices_table(devices))?;
    Ok(Exit::Done)
}

fn shown_owner(owner: &Owner) -> serde_json::Value {
    json!({
        "id": owner.id,
        "name": owner.name,
        "blocked": owner.blocked,
        "domain_ca": owner.domain_ca_der.as_ref().map(|der| BASE64_STANDARD.encode(der)),
        "created_at": owner.created_at,
        "updated_at": owner.updated_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_sold_in_orders_that_the_desk_takes() {
        let serials: Vec<String> = (0..2 * MAX_SALE + 1).map(|n| format!("A-{n}")).collect();
        let command = Sell {
            serials: serials.clone(),
            list: None,
            owner: "Hotel".to_owned(),
            dry_run: false,
        };
        let mut sold = Vec::new();
        for order in sales(&command) {
            let Order::Sell { serials, owner } = order else {
                panic!("{order:?}");
            };
            assert!(serials.len() <= MAX_SALE && owner == "Hotel");
            sold.extend(serials);
        }
        assert_eq!(sold, serials);
    }
}
