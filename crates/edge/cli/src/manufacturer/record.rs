//! What is on record: devices, journals, labels.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use serde_json::{Value, json};
use vouchsafe_fleet::{Device, Sealed, State};
use vouchsafe_manufacturer::desk::DeviceReport;
use vouchsafe_manufacturer::label;
use vouchsafe_manufacturer::{Order, Reply};

use super::desk::{self, Place};
use crate::failure::{Exit, Failure};
use crate::input::{self, words};
use crate::output::{facts, table, when};

/// Commands on devices.
#[derive(Debug, Subcommand)]
pub(crate) enum DeviceCommand {
    /// List devices by serial number
    List {
        /// Only devices in this state
        #[arg(long, value_parser = words::<State>(&["provisioned", "transferred", "released", "retired"]))]
        state: Option<State>,
        /// Only devices of this owner: name or id
        #[arg(long)]
        owner: Option<String>,
        /// Only serial numbers that begin so
        #[arg(long)]
        prefix: Option<String>,
        /// Devices at most, 1 to 1000
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: u32,
        /// Devices behind this serial number
        #[arg(long, value_name = "SERIAL")]
        after: Option<String>,
    },
    /// Show one device and who owned it
    Show {
        /// Serial number
        serial: String,
    },
}

/// Commands on the journal.
#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// Show the journal of one device
    Show {
        /// Serial number
        serial: String,
    },
    /// Verify every chain
    Verify,
}

/// `manufacturer label`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("form").required(true).args(["png", "svg", "pdf"]))]
pub(crate) struct Label {
    /// Serial numbers; several only with --pdf
    #[arg(value_name = "SERIAL", required = true)]
    serials: Vec<String>,
    /// The bare code as PNG
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
    /// The code with serial number and model as SVG
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Sheets of labels, A4, as PDF
    #[arg(long, value_name = "FILE")]
    pdf: Option<PathBuf>,
    /// Say who the device is, even where it has a bootstrapping URI
    #[arg(long)]
    identity: bool,
}

pub(super) async fn device(command: DeviceCommand, at: &Place<'_>) -> Result<Exit, Failure> {
    match command {
        DeviceCommand::List {
            state,
            owner,
            prefix,
            limit,
            after,
        } => {
            let order = Order::Devices {
                state,
                owner,
                serial_prefix: prefix,
                after,
                limit: limit.clamp(1, 1000),
            };
            let devices = desk::devices(at.order(order).await?)?;
            let shown: Vec<_> = devices.iter().map(shown_device).collect();
            at.printer
                .show(&json!({ "devices": shown }), |_| devices_table(&devices))?;
            if let Some(last) = devices.last()
                && devices.len() == limit.clamp(1, 1000) as usize
            {
                at.printer
                    .note(&format!("there may be more: --after {}", last.serial));
            }
        }
        DeviceCommand::Show { serial } => {
            let report = report(serial, at).await?;
            let device = &report.device;
            let result = json!({
                "device": shown_device(device),
                "ownerships": report.ownerships,
                "dpp_uri": report.dpp_uri,
                "label": label::Label::of(device, report.dpp_uri.as_deref()).text,
            });
            at.printer.show(&result, |_| report_text(&report))?;
        }
    }
    Ok(Exit::Done)
}

pub(super) async fn journal(command: JournalCommand, at: &Place<'_>) -> Result<Exit, Failure> {
    match command {
        JournalCommand::Show { serial } => {
            let report = report(serial, at).await?;
            let result = json!({ "device": report.device.id, "entries": report.journal });
            at.printer
                .show(&result, |_| journal_table(&report.journal))?;
            Ok(Exit::Done)
        }
        JournalCommand::Verify => {
            let Reply::Journals(report) = at.order(Order::VerifyJournals).await? else {
                return Err(desk::unexpected());
            };
            at.printer.show(
                &json!({
                    "ok": report.sound,
                    "chains": report.chains,
                    "entries": report.entries,
                    "faults": report.faults,
                }),
                |_| {
                    let result = if report.sound {
                        "OK"
                    } else {
                        "NOT what it was"
                    };
                    let mut lines = vec![format!(
                        "journal {result}: {} entries in {} chains",
                        report.entries, report.chains
                    )];
                    lines.extend(report.faults.iter().cloned());
                    lines.join("\n")
                },
            )?;
            Ok(Exit::done_if(report.sound))
        }
    }
}

pub(super) async fn label(command: &Label, at: &Place<'_>) -> Result<Exit, Failure> {
    let orders = command.serials.iter().map(|serial| Order::Device {
        serial: serial.clone(),
    });
    let mut labels = Vec::new();
    for reply in at.orders(orders).await? {
        let Reply::Device(report) = reply else {
            return Err(desk::unexpected());
        };
        let uri = report.dpp_uri.as_deref().filter(|_| !command.identity);
        labels.push(label::Label::of(&report.device, uri));
    }
    let one = || match labels.as_slice() {
        [label] => Ok(label),
        _ => Err(Failure::usage("several labels go on a sheet: --pdf")),
    };
    let (file, bytes) = match (&command.png, &command.svg, &command.pdf) {
        (Some(file), _, _) => (file, label::png(one()?)?),
        (_, Some(file), _) => (file, label::svg(one()?)?.into_bytes()),
        (_, _, Some(file)) => (file, label::pdf(&labels)?),
        (None, None, None) => return Err(Failure::usage("which form?")),
    };
    input::write(file, &bytes)?;
    let texts: Vec<&str> = labels.iter().map(|label| label.text.as_str()).collect();
    at.printer
        .show(&json!({ "file": file, "labels": texts }), |_| {
            texts.join("\n")
        })?;
    Ok(Exit::Done)
}

async fn report(serial: String, at: &Place<'_>) -> Result<DeviceReport, Failure> {
    match at.order(Order::Device { serial }).await? {
        Reply::Device(report) => Ok(*report),
        _ => Err(desk::unexpected()),
    }
}

/// A device without its certificate's bytes.
pub(super) fn shown_device(device: &Device) -> Value {
    json!({
        "id": device.id,
        "serial": device.serial,
        "model": device.model,
        "state": device.state,
        "owner": device.owner,
        "idevid_sha256": device.idevid_sha256,
        "key_origin": device.key_origin,
        "mud_url": device.mud_url,
        "created_at": device.created_at,
        "updated_at": device.updated_at,
    })
}

/// Devices as a table.
pub(super) fn devices_table(devices: &[Device]) -> String {
    let rows = devices.iter().map(|device| {
        [
            device.serial.clone(),
            device.model.clone().unwrap_or_default(),
            device.state.to_string(),
            device
                .owner
                .map(|owner| owner.to_string())
                .unwrap_or_default(),
            device.key_origin.to_string(),
            device.id.to_string(),
        ]
    });
    table(
        ["serial", "model", "state", "owner", "key made by", "id"],
        rows,
    )
}

fn report_text(report: &DeviceReport) -> String {
    let device = &report.device;
    let digest = device.idevid_sha256.map(|digest| digest.to_string());
    let mut text = facts([
        ("serial", device.serial.clone()),
        ("id", device.id.to_string()),
        ("model", device.model.clone().unwrap_or_default()),
        ("state", device.state.to_string()),
        ("birth certificate", digest.unwrap_or_default()),
        ("key made by", device.key_origin.to_string()),
        ("MUD URL", device.mud_url.clone().unwrap_or_default()),
        (
            "label",
            label::Label::of(device, report.dpp_uri.as_deref()).text,
        ),
    ]);
    if !report.ownerships.is_empty() {
        let rows = report.ownerships.iter().map(|ownership| {
            [
                ownership.owner.to_string(),
                ownership.basis.to_string(),
                when(ownership.since),
                ownership.until.map(when).unwrap_or_default(),
            ]
        });
        text.push('\n');
        text.push_str(&table(["owner", "by", "from", "to"], rows));
    }
    text
}

fn journal_table(entries: &[Sealed]) -> String {
    let rows = entries.iter().map(|sealed| match sealed.entry() {
        Ok(entry) => {
            let reasons: Vec<&str> = entry
                .reasons
                .iter()
                .map(|reason| reason.text.as_str())
                .collect();
            [
                sealed.seq.to_string(),
                when(entry.at),
                entry.action.to_string(),
                format!("{}:{}", entry.actor.kind, entry.actor.name),
                reasons.join("; "),
            ]
        }
        Err(error) => [
            sealed.seq.to_string(),
            String::new(),
            "unreadable".to_owned(),
            String::new(),
            error.to_string(),
        ],
    });
    table(["entry", "at", "what", "who", "why"], rows)
}
