//! Giving devices their identity.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use serde_json::json;
use vouchsafe_fleet::KeyOrigin;
use vouchsafe_keystore::Algorithm;
use vouchsafe_manufacturer::{
    Batch, Bootstrapping, Desk, Factory, Identity, NewDevice, Order, Output, Reply, Serials,
};
use vouchsafe_trust::Certificate;

use super::desk::{self, Place};
use super::record::{devices_table, shown_device};
use crate::failure::{Exit, Failure};
use crate::input::{self, words};
use crate::output::facts;

/// `manufacturer provision`: one device or a few by serial number, or a batch.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["serials", "count", "list"]))]
#[command(group = ArgGroup::new("where").required(true).args(["out", "bundle"]))]
pub(crate) struct Provision {
    /// Serial numbers
    #[arg(value_name = "SERIAL")]
    serials: Vec<String>,
    /// A batch of so many devices, numbered behind --prefix
    #[arg(long, value_name = "N", requires = "prefix")]
    count: Option<u64>,
    /// What stands in front of the numbers of a batch
    #[arg(long)]
    prefix: Option<String>,
    /// The first number of a batch
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    first: u64,
    /// Digits of the numbers of a batch, at least
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u8).range(1..=20))]
    digits: u8,
    /// A batch from a CSV file with a column serial and, if it likes, a column model
    #[arg(long, value_name = "CSV")]
    list: Option<PathBuf>,
    /// The model
    #[arg(long)]
    model: Option<String>,
    /// The algorithm of the keys: ecdsa-p256, ecdsa-p384 or ed25519
    #[arg(long, default_value = "ecdsa-p256")]
    algorithm: Algorithm,
    /// A birth folder for each device goes into this folder; it holds the device's private key
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The keys of a batch go into this one sealed file
    #[arg(
        long,
        value_name = "FILE",
        requires = "sealing_key",
        conflicts_with = "serials"
    )]
    bundle: Option<PathBuf>,
    /// What seals the bundle; made when it is absent. Keep it elsewhere
    #[arg(long, value_name = "FILE")]
    sealing_key: Option<PathBuf>,
    /// The device made its own key: its certificate request (PKCS #10, DER or PEM). The folder gets
    /// certificates only
    #[arg(long, value_name = "FILE", conflicts_with_all = ["count", "list", "bundle"])]
    csr: Option<PathBuf>,
    /// Also make each device a bootstrapping key for Wi-Fi Easy Connect, whose URI goes onto the label
    /// and into the manifest
    #[arg(long, conflicts_with = "csr")]
    dpp: bool,
    /// With --dpp: the curve of the bootstrapping key: P-256, P-384, P-521, BP-256 or BP-384
    #[arg(long, value_name = "CURVE", default_value = "P-256", requires = "dpp")]
    dpp_curve: String,
    /// With --dpp: let the birth key serve as bootstrapping key too
    #[arg(long, requires = "dpp", conflicts_with = "dpp_curve")]
    dpp_birth_key: bool,
    /// With --dpp: channels on which the device listens, such as 81/6,115/36
    #[arg(long, value_name = "CLASS/CHANNEL", requires = "dpp")]
    dpp_channels: Option<String>,
    /// With --dpp: the radio's address, for the label of one device; a list has a column mac
    #[arg(long, value_name = "MAC", requires = "dpp", conflicts_with_all = ["count", "list"])]
    mac: Option<String>,
    /// With --dpp: also write the bootstrapping key into the birth folder as hostap reads it, in clear
    #[arg(long, requires = "dpp", conflicts_with = "bundle")]
    dpp_hostap: bool,
    /// With --csr: the URI of the bootstrapping key that the device made
    #[arg(long, value_name = "URI", requires = "csr")]
    dpp_uri: Option<String>,
    /// With --csr: where the device made its key
    #[arg(long, value_parser = words::<KeyOrigin>(&["device", "hardware"]), default_value = "device", requires = "csr")]
    key_origin: KeyOrigin,
}

impl Provision {
    fn bootstrapping(&self) -> Option<Bootstrapping> {
        self.dpp.then(|| Bootstrapping {
            curve: self.dpp_curve.clone(),
            birth_key: self.dpp_birth_key,
            channels: self.dpp_channels.clone(),
            hostap: self.dpp_hostap,
        })
    }
}

/// `manufacturer export`
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Serial number
    serial: String,
    /// The sealed file that the batch wrote
    #[arg(long, value_name = "FILE")]
    bundle: PathBuf,
    /// What seals it
    #[arg(long, value_name = "FILE")]
    sealing_key: PathBuf,
    /// Also write the bootstrapping key as hostap reads it, in clear
    #[arg(long)]
    dpp_hostap: bool,
    /// The device's birth folder goes into this folder
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(super) async fn run(command: Provision, at: &Place<'_>) -> Result<Exit, Failure> {
    if let Some(csr) = &command.csr {
        return from_csr(&command, csr, at).await;
    }
    if command.count.is_some() || command.list.is_some() {
        return batch(command, at).await;
    }
    let out = absolute(command.out.as_deref().unwrap_or(Path::new(".")))?;
    if command.mac.is_some() && command.serials.len() > 1 {
        return Err(Failure::usage("--mac is the address of one device"));
    }
    let mut orders = Vec::new();
    for serial in &command.serials {
        orders.push(Order::Provision {
            serial: serial.clone(),
            model: command.model.clone(),
            algorithm: command.algorithm.to_string(),
            folder: birth_folder(&out, serial)?,
            bootstrapping: command.bootstrapping(),
            mac: command.mac.clone(),
        });
    }
    let mut devices = Vec::new();
    for reply in at.orders(orders).await? {
        devices.extend(desk::devices(reply)?);
    }
    let shown: Vec<_> = devices
        .iter()
        .map(|device| {
            let mut shown = shown_device(device);
            let folder = json!(out.join(&device.serial));
            if let Some(fields) = shown.as_object_mut() {
                fields.insert("folder".to_owned(), folder);
            }
            shown
        })
        .collect();
    at.printer
        .show(&json!({ "devices": shown }), |_| devices_table(&devices))?;
    at.printer
        .note("birth folders hold private keys: put each into its device, and keep no copy");
    Ok(Exit::Done)
}

async fn batch(command: Provision, at: &Place<'_>) -> Result<Exit, Failure> {
    let serials = match (&command.list, command.count) {
        (Some(list), _) => Serials::List(absolute(list)?),
        (None, count) => Serials::Numbered {
            prefix: command.prefix.clone().unwrap_or_default(),
            first: command.first,
            count: count.unwrap_or_default(),
            digits: command.digits.into(),
        },
    };
    if let Serials::Numbered { prefix, .. } = &serials {
        birth_folder(Path::new(""), &format!("{prefix}0"))?;
    }
    let output = match (&command.bundle, &command.sealing_key) {
        (Some(bundle), Some(sealing_key)) => Output::Bundle {
            file: absolute(bundle)?,
            sealing_key: absolute(sealing_key)?,
        },
        _ => Output::Folders(absolute(command.out.as_deref().unwrap_or(Path::new(".")))?),
    };
    let bootstrapping = command.bootstrapping();
    let order = Order::ProvisionBatch(Batch {
        serials,
        model: command.model,
        algorithm: command.algorithm.to_string(),
        output,
        bootstrapping,
    });
    let Reply::Batch(progress) = at.order(order).await? else {
        return Err(desk::unexpected());
    };
    at.printer.show(&progress, |progress| {
        facts([
            ("identities made", progress.made.to_string()),
            ("had one already", progress.passed_over.to_string()),
        ])
    })?;
    Ok(Exit::Done)
}

async fn from_csr(command: &Provision, csr: &Path, at: &Place<'_>) -> Result<Exit, Failure> {
    let [serial] = command.serials.as_slice() else {
        return Err(Failure::usage(
            "a certificate request is for one serial number",
        ));
    };
    let request = der(input::read(csr)?, csr)?;
    let folder = birth_folder(command.out.as_deref().unwrap_or(Path::new(".")), serial)?;
    let device = NewDevice {
        serial: serial.clone(),
        model: command.model.clone(),
        key_origin: command.key_origin,
        dpp_uri: command.dpp_uri.clone(),
    };
    let identity: Identity = with_factory(at, async |factory| {
        Ok(factory
            .provision_from_csr(&at.actor, &device, &request)
            .await?)
    })
    .await?;
    let pem = |certificates: &[Certificate]| -> String {
        certificates.iter().map(Certificate::pem).collect()
    };
    let (chain, anchors) = (pem(&identity.chain), pem(&identity.masa_anchors));
    input::write(&folder.join("idevid.pem"), chain.as_bytes())?;
    input::write(&folder.join("masa-anchors.pem"), anchors.as_bytes())?;
    let result = json!({
        "serial": serial,
        "folder": folder,
        "chain": chain,
        "masa_anchors": anchors,
        "repeated": identity.repeated,
    });
    at.printer.show(&result, |_| {
        let again = if identity.repeated {
            " (the same as before)"
        } else {
            ""
        };
        format!("the birth certificate{again} is in {}", folder.display())
    })?;
    Ok(Exit::Done)
}

pub(super) async fn export(command: &Export, at: &Place<'_>) -> Result<Exit, Failure> {
    let folder = birth_folder(&command.out, &command.serial)?;
    with_factory(at, async |factory| {
        let (bundle, key) = (&command.bundle, &command.sealing_key);
        Ok(factory
            .export_birth(&command.serial, bundle, key, &folder, command.dpp_hostap)
            .await?)
    })
    .await?;
    at.printer.show(
        &json!({ "serial": command.serial, "folder": folder }),
        |_| format!("the birth folder is {}", folder.display()),
    )?;
    Ok(Exit::Done)
}

/// Work that only the program that has the store open can do.
async fn with_factory<T>(
    at: &Place<'_>,
    work: impl AsyncFnOnce(&Factory) -> Result<T, Failure>,
) -> Result<T, Failure> {
    match at.open().await? {
        Desk::Here(factory) => {
            let result = work(&factory).await;
            factory.close().await;
            result
        }
        Desk::There(_) => Err(Failure::new(
            Exit::Conflict,
            "in-use",
            "this needs the store, and `vouchsafe manufacturer serve` has it open",
        )
        .next_step("stop it first; devices with a key of their own may use its line endpoint")),
    }
}

/// The folder of a device, which must not be anywhere else.
pub(super) fn birth_folder(parent: &Path, serial: &str) -> Result<PathBuf, Failure> {
    vouchsafe_manufacturer::birth_folder(parent, serial).map_err(|_| {
        Failure::usage(format!(
            "serial number {serial:?} cannot be the name of a folder"
        ))
    })
}

/// The running program may work in another folder.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::file(path, error))
}

/// The DER of a file that may be PEM.
fn der(bytes: Vec<u8>, file: &Path) -> Result<Vec<u8>, Failure> {
    if !bytes.starts_with(b"-----BEGIN") {
        return Ok(bytes);
    }
    use base64::Engine as _;
    let text = String::from_utf8_lossy(&bytes);
    let body: String = text
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .flat_map(|line| line.trim().chars())
        .collect();
    base64::prelude::BASE64_STANDARD
        .decode(body)
        .map_err(|error| Failure::file(file, error))
}
