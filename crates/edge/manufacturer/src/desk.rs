//! The desk: everything a person at the manufacturer asks for, done whether or not `serve` runs.
//!
//! A SQLite file serves one program at a time. So:
//!
//! 1. [`Desk::open`] opens the data folder itself; where another program has it, it calls that
//!    program at `control.sock` in the same folder, which only the folder's user can reach.
//! 2. [`Desk::carry_out`] does one [`Order`] here or there, and gives the same [`Reply`].
//!
//! On the socket each order is one line of JSON, and so is each answer: any number of
//! `{"progress":…}`, then one `{"done":…}` or `{"failed":…}`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use vouchsafe_fleet::{Actor, Device, Owner, OwnerId, Ownership, Sealed, State, Subject};
use vouchsafe_keystore::Algorithm;
use vouchsafe_net::Clock;
use vouchsafe_store::{DeviceFilter, DeviceKey, OpenError};
use vouchsafe_trust::Certificate;

use crate::batch::{Batch, Progress};
use crate::bootstrapping::Bootstrapping;
use crate::factory::{Factory, FactoryError};
use crate::manifest::ManifestOptions;
use crate::provision::MadeHere;
use crate::sales::ReleaseBy;

/// The socket's name in the data folder.
const SOCKET: &str = "control.sock";

/// Devices of one sale at most: the answer has each of them whole, and must fit.
pub const MAX_SALE: usize = 10_000;

/// Longest order in bytes: a revocation list in base64.
const MAX_ORDER: u64 = 24 * 1024 * 1024;

/// Longest answer in bytes: a manifest in base64.
const MAX_REPLY: u64 = 128 * 1024 * 1024;

/// Pause after a failed accept, for example while no file descriptor is free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// How long a caller may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);

/// Rows of one page at most.
const MAX_PAGE: u32 = 1000;

/// What a person asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "order",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    deny_unknown_fields
)]
pub enum Order {
    /// Make an owner known by its domain CA (PEM), or rename it.
    AddOwner {
        /// Its name.
        name: String,
        /// Its domain CA.
        domain_ca: String,
    },
    /// Stop serving an owner, or serve it again.
    BlockOwner {
        /// Name or id.
        owner: String,
        /// Why; none serves it again.
        why: Option<String>,
    },
    /// Hand in an owner's revocation list (DER in base64).
    RevocationList {
        /// The list.
        crl: String,
    },
    /// List owners.
    Owners {
        /// Behind this one.
        after: Option<OwnerId>,
        /// At most so many, up to 1000.
        limit: u32,
    },
    /// Record a sale of each of these devices.
    Sell {
        /// Serial numbers, at most [`MAX_SALE`].
        serials: Vec<String>,
        /// Name or id.
        owner: String,
    },
    /// Say whether each of these devices could be sold, and change nothing.
    RehearseSale {
        /// Serial numbers, at most [`MAX_SALE`].
        serials: Vec<String>,
        /// Name or id.
        owner: String,
    },
    /// End an ownership on the owner's word: a release statement (CMS in base64).
    ReleaseByStatement {
        /// The statement.
        statement: String,
        /// Only say what would come of it.
        #[serde(default)]
        dry_run: bool,
    },
    /// End an ownership without the owner's word.
    ReleaseByOrder {
        /// The device.
        serial: String,
        /// Why.
        reason: String,
        /// Only say what would come of it.
        #[serde(default)]
        dry_run: bool,
    },
    /// Sign the manifest of what an owner has.
    Manifest {
        /// Name or id.
        owner: String,
        /// The MASA's address, where the one in the birth certificates does not hold.
        masa_url: Option<String>,
        /// Continue behind the device with this serial number.
        after: Option<String>,
    },
    /// Give a device an identity with a key made here, in a birth folder.
    Provision {
        /// Serial number.
        serial: String,
        /// Model.
        model: Option<String>,
        /// `ecdsa-p256`, `ecdsa-p384` or `ed25519`.
        algorithm: String,
        /// The birth folder to be.
        folder: PathBuf,
        /// Which bootstrapping key it gets, if any.
        #[serde(default)]
        bootstrapping: Option<Bootstrapping>,
        /// The radio's address, for the label.
        #[serde(default)]
        mac: Option<String>,
    },
    /// Give identities to many devices.
    ProvisionBatch(Batch),
    /// List devices.
    Devices {
        /// In this state.
        state: Option<State>,
        /// Of this owner (name or id).
        owner: Option<String>,
        /// With a serial number that begins so.
        serial_prefix: Option<String>,
        /// Behind the device with this serial number.
        after: Option<String>,
        /// At most so many, up to 1000.
        limit: u32,
    },
    /// Show one device, who owned it, and its journal.
    Device {
        /// Serial number.
        serial: String,
    },
    /// Check every journal.
    VerifyJournals,
}

/// What came of an [`Order`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", content = "value", rename_all = "kebab-case")]
pub enum Reply {
    /// The owner as it stands now.
    Owner(Owner),
    /// A page of owners.
    Owners(Vec<Owner>),
    /// Whether the list was newer than the one at hand.
    RevocationList(bool),
    /// A page of devices, or those that were, or would be, sold or released.
    Devices(Vec<Device>),
    /// A device and its past.
    Device(Box<DeviceReport>),
    /// A signed manifest.
    Manifest(ManifestReport),
    /// A batch.
    Batch(Progress),
    /// What checking the journals found.
    Journals(JournalsReport),
}

/// A device and its past.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// Its row.
    pub device: Device,
    /// The URI on its label, if it has a bootstrapping key.
    #[serde(default)]
    pub dpp_uri: Option<String>,
    /// Who owned it, oldest first.
    pub ownerships: Vec<Ownership>,
    /// Its journal from the first entry; the first 1000 entries.
    pub journal: Vec<Sealed>,
}

/// A signed manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestReport {
    /// CMS SignedData (DER), in base64.
    pub manifest: String,
    /// How many devices it lists.
    pub devices: usize,
    /// The serial number behind which the next part begins; none when this was the last.
    pub next: Option<String>,
}

impl ManifestReport {
    /// The signed bytes; empty if the text is no base64.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        BASE64.decode(&self.manifest).unwrap_or_default()
    }
}

/// What checking the journals found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalsReport {
    /// Whether nothing was found.
    pub sound: bool,
    /// Chains checked.
    pub chains: u64,
    /// Entries checked.
    pub entries: u64,
    /// The faults in words, at most 100.
    pub faults: Vec<String>,
}

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeskError {
    /// The manufacturer's side says why.
    #[error(transparent)]
    Factory(#[from] FactoryError),
    /// The running program refused; the code is stable.
    #[error("{message}")]
    Remote {
        /// As [`FactoryError::code`].
        code: String,
        /// What it says.
        message: String,
    },
    /// The running program cannot be reached.
    #[error("another program has the store open and does not answer at {path}: {source}")]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A value in the order cannot be used.
    #[error("{0}")]
    Value(String),
}

impl DeskError {
    /// A stable word, the same here as from the running program.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Factory(error) => error.code(),
            Self::Remote { code, .. } => code,
            Self::Unreachable { .. } => "in-use",
            Self::Value(_) => "usage",
        }
    }
}

/// Where orders are carried out.
#[derive(Debug)]
pub enum Desk {
    /// Here.
    Here(Factory),
    /// By the program that has the data folder open.
    There(PathBuf),
}

impl Desk {
    /// Step 1.
    ///
    /// # Errors
    /// As [`Factory::open`].
    pub async fn open(dir: &Path, clock: Clock) -> Result<Self, FactoryError> {
        // Whoever serves has owners and their lists in memory, and must hear of a change itself, also where the
        // database would let us in beside it.
        let socket = dir.join(SOCKET);
        if UnixStream::connect(&socket).await.is_ok() {
            return Ok(Self::There(socket));
        }
        match Factory::open(dir, clock).await {
            Ok(factory) => Ok(Self::Here(factory)),
            Err(FactoryError::Open(OpenError::InUse(_))) => Ok(Self::There(socket)),
            Err(error) => Err(error),
        }
    }

    /// Step 2. `progress` is told of long work now and then.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn carry_out(
        &self,
        actor: &Actor,
        order: Order,
        progress: &(dyn Fn(&Progress) + Send + Sync),
    ) -> Result<Reply, DeskError> {
        match self {
            Self::Here(factory) => factory.carry_out(actor, order, progress).await,
            Self::There(socket) => call(socket, actor, order, progress).await,
        }
    }

    /// Finishes what is under way.
    pub async fn close(self) {
        if let Self::Here(factory) = self {
            factory.close().await;
        }
    }
}

impl Factory {
    async fn released(
        &self,
        actor: &Actor,
        by: ReleaseBy<'_>,
        dry_run: bool,
    ) -> Result<Device, FactoryError> {
        match dry_run {
            true => self.rehearse_release(actor, by).await,
            false => self.release(actor, by).await,
        }
    }

    /// Carries out one order.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn carry_out(
        &self,
        actor: &Actor,
        order: Order,
        progress: &(dyn Fn(&Progress) + Send + Sync),
    ) -> Result<Reply, DeskError> {
        Ok(match order {
            Order::AddOwner { name, domain_ca } => {
                let certificate =
                    Certificate::from_pem(&domain_ca).map_err(FactoryError::Certificate)?;
                Reply::Owner(self.add_owner(actor, &name, &certificate).await?)
            }
            Order::BlockOwner { owner, why } => {
                let owner = self.owner(&owner).await?;
                Reply::Owner(self.block_owner(actor, &owner, why.as_deref()).await?)
            }
            Order::RevocationList { crl } => {
                let (crl, now) = (decode(&crl)?, self.clock.now());
                Reply::RevocationList(self.owners.take_revocation_list(&crl, now).await?)
            }
            Order::Owners { after, limit } => {
                let page = self.store.owners(after, limit.min(MAX_PAGE)).await;
                Reply::Owners(page.map_err(FactoryError::Read)?)
            }
            Order::Sell { serials, owner } => {
                fits(&serials)?;
                let owner = self.owner(&owner).await?;
                let sold = self.sell_all(actor, &serials, &owner, progress).await?;
                Reply::Devices(sold)
            }
            Order::RehearseSale { serials, owner } => {
                fits(&serials)?;
                let owner = self.owner(&owner).await?;
                let mut devices = Vec::with_capacity(serials.len());
                for serial in &serials {
                    let rehearsed = self.rehearse_sale(actor, serial, &owner).await;
                    devices.push(rehearsed.map_err(FactoryError::of(serial))?);
                }
                Reply::Devices(devices)
            }
            Order::ReleaseByStatement { statement, dry_run } => {
                let statement = decode(&statement)?;
                let by = ReleaseBy::Statement(&statement);
                Reply::Devices(vec![self.released(actor, by, dry_run).await?])
            }
            Order::ReleaseByOrder {
                serial,
                reason,
                dry_run,
            } => {
                let by = ReleaseBy::Order {
                    serial: &serial,
                    reason: &reason,
                };
                Reply::Devices(vec![self.released(actor, by, dry_run).await?])
            }
            Order::Manifest {
                owner,
                masa_url,
                after,
            } => {
                let owner = self.owner(&owner).await?;
                let after = after.map(|serial| self.key(serial));
                let options = ManifestOptions { masa_url, after };
                let signed = self.manifest(&owner, &options).await?;
                Reply::Manifest(ManifestReport {
                    manifest: BASE64.encode(&signed.bytes),
                    devices: signed.devices,
                    next: signed.next.map(|key| key.serial),
                })
            }
            Order::Provision {
                serial,
                model,
                algorithm,
                folder,
                bootstrapping,
                mac,
            } => {
                let algorithm: Algorithm = algorithm
                    .parse()
                    .map_err(|error| DeskError::Value(format!("{error}")))?;
                let made = MadeHere {
                    serial: &serial,
                    model: model.as_deref(),
                    algorithm,
                    bootstrapping: bootstrapping.as_ref(),
                    mac: mac.as_deref(),
                };
                self.provision_made_here(actor, made, &folder).await?;
                Reply::Devices(vec![self.device(&serial).await?])
            }
            Order::ProvisionBatch(batch) => {
                Reply::Batch(self.provision_batch(actor, &batch, progress).await?)
            }
            Order::Devices {
                state,
                owner,
                serial_prefix,
                after,
                limit,
            } => {
                let owner = match owner {
                    Some(owner) => Some(self.owner(&owner).await?.id),
                    None => None,
                };
                let filter = DeviceFilter {
                    state,
                    owner,
                    manufacturer: None,
                    serial_prefix,
                };
                let after = after.map(|serial| self.key(serial));
                let limit = limit.min(MAX_PAGE);
                let page = self.store.devices(&filter, after.as_ref(), limit).await;
                Reply::Devices(page.map_err(FactoryError::Read)?)
            }
            Order::Device { serial } => Reply::Device(Box::new(self.report(&serial).await?)),
            Order::VerifyJournals => {
                let report = self.store.verify_journals().await;
                let report = report.map_err(FactoryError::Read)?;
                Reply::Journals(JournalsReport {
                    sound: report.is_sound(),
                    chains: report.chains,
                    entries: report.entries,
                    faults: report
                        .faults
                        .iter()
                        .map(|(subject, fault)| format!("{subject}: {fault}"))
                        .collect(),
                })
            }
        })
    }

    async fn report(&self, serial: &str) -> Result<DeviceReport, FactoryError> {
        let device = self.device(serial).await?;
        let subject = Subject::Device(device.id);
        let mut journal = Vec::new();
        loop {
            let seq = journal.len() as u64;
            let page = self.store.journal(subject, seq, MAX_PAGE).await?;
            let full = page.len() == MAX_PAGE as usize;
            journal.extend(page.into_iter().map(|entry| entry.sealed));
            if !full {
                break;
            }
        }
        Ok(DeviceReport {
            dpp_uri: self.dpp_uri(device.id).await?,
            ownerships: self.store.ownerships(device.id).await?,
            journal,
            device,
        })
    }

    fn key(&self, serial: String) -> DeviceKey {
        DeviceKey {
            id: vouchsafe_fleet::DeviceId::new(self.home.id, &serial),
            serial,
        }
    }
}

/// Whether one sale has room for them.
fn fits(serials: &[String]) -> Result<(), DeskError> {
    if serials.len() > MAX_SALE {
        let message = format!("one sale has room for {MAX_SALE} devices");
        return Err(DeskError::Value(message));
    }
    Ok(())
}

fn decode(text: &str) -> Result<Vec<u8>, DeskError> {
    let text: String = text.split_ascii_whitespace().collect();
    BASE64
        .decode(text)
        .map_err(|error| DeskError::Value(format!("not base64: {error}")))
}

/// An order on its way, with who gives it.
#[derive(Debug, Serialize, Deserialize)]
struct Call {
    actor: Actor,
    order: Order,
}

/// One line of the answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    Progress(Progress),
    Done(Reply),
    Failed { code: String, message: String },
}

async fn call(
    socket: &Path,
    actor: &Actor,
    order: Order,
    progress: &(dyn Fn(&Progress) + Send + Sync),
) -> Result<Reply, DeskError> {
    let unreachable = |source| DeskError::Unreachable {
        path: socket.to_owned(),
        source,
    };
    let mut stream = UnixStream::connect(socket).await.map_err(unreachable)?;
    let call = Call {
        actor: actor.clone(),
        order,
    };
    stream.write_all(&line(&call)).await.map_err(unreachable)?;
    let mut lines = BufReader::new(stream.take(MAX_REPLY));
    let mut text = String::new();
    loop {
        text.clear();
        lines.read_line(&mut text).await.map_err(unreachable)?;
        match serde_json::from_str(&text) {
            Ok(Line::Progress(made)) => progress(&made),
            Ok(Line::Done(reply)) => return Ok(reply),
            Ok(Line::Failed { code, message }) => return Err(DeskError::Remote { code, message }),
            Err(error) => return Err(unreachable(std::io::Error::other(error))),
        }
    }
}

fn line(value: &impl Serialize) -> Vec<u8> {
    // These types have no keys that JSON cannot write.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}

/// The socket in the data folder.
#[derive(Debug)]
pub(crate) struct Listener {
    listener: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Makes the socket, for the folder's user alone.
    pub(crate) fn bind(factory: &Factory) -> Result<Self, FactoryError> {
        let path = factory.home.dir.join(SOCKET);
        let failed = |source| FactoryError::File {
            path: path.clone(),
            source,
        };
        // The store is ours alone, so a socket that is there was left by a program that is gone.
        let _absent = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).map_err(failed)?;
        let owner_only = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&path, owner_only).map_err(failed)?;
        Ok(Self { listener, path })
    }

    /// Takes orders until `stop` is ready; those under way are finished.
    pub(crate) async fn serve(self, factory: Factory, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut calls = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                () = stop.as_mut() => break,
                Some(_) = calls.join_next(), if !calls.is_empty() => {}
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        calls.spawn(answer(factory.clone(), stream));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the desk cannot take a call");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
        let _gone = std::fs::remove_file(&self.path);
        while calls.join_next().await.is_some() {}
    }
}

async fn answer(factory: Factory, stream: UnixStream) {
    let (reading, mut writing) = stream.into_split();
    let mut text = String::new();
    let mut lines = BufReader::new(reading.take(MAX_ORDER));
    // A caller that says nothing must not hold up the end of the program.
    let read = tokio::time::timeout(PATIENCE, lines.read_line(&mut text)).await;
    if !matches!(read, Ok(Ok(_))) {
        return;
    }
    let call: Call = match serde_json::from_str(&text) {
        Ok(call) => call,
        Err(error) => {
            let failed = Line::Failed {
                code: "usage".to_owned(),
                message: format!("the order cannot be read: {error}"),
            };
            let _gone = writing.write_all(&line(&failed)).await;
            return;
        }
    };
    // Progress that the caller is too slow for is left out.
    let (told, mut tell) = tokio::sync::mpsc::channel(1);
    let progress = move |made: &Progress| {
        let _busy = told.try_send(made.clone());
    };
    let work = async move {
        match factory.carry_out(&call.actor, call.order, &progress).await {
            Ok(reply) => Line::Done(reply),
            Err(error) => Line::Failed {
                code: error.code().to_owned(),
                message: error.to_string(),
            },
        }
    };
    let mut work = std::pin::pin!(work);
    let last = loop {
        tokio::select! {
            last = work.as_mut() => break last,
            Some(made) = tell.recv() => {
                // A caller that went away does not stop the work.
                let _gone = writing.write_all(&line(&Line::Progress(made))).await;
            }
        }
    };
    let _gone = writing.write_all(&line(&last)).await;
}
