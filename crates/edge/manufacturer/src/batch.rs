//! Identities by the thousand, with keys made here.
//!
//! 1. Serial numbers are taken in chunks; those that have an identity already are passed over, so
//!    that a batch that was broken off is continued by running it again.
//! 2. All cores make keys and sign certificates for one chunk while the chunk before it is stored.
//! 3. The keys of a chunk are made durable, then its records in one commit, while the keys of the next
//!    are. A key whose record is never stored is worthless; a record without its key would be a lost
//!    serial number.
//!
//! Memory holds a few chunks, whatever the size of the batch.

use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use vouchsafe_fleet::decide::wifi::ImportKey;
use vouchsafe_fleet::decide::{self, Decision, ProvisionFacts};
use vouchsafe_fleet::{Actor, Commit, Device, DeviceId, Digest, KeyOrigin};
use vouchsafe_keystore::{
    Algorithm, BundleWriter, Permissions, SealedBundle, Sealer, generate_key,
};
use vouchsafe_store::CommitError;
use vouchsafe_trust::{Certificate, PublicKey, Secret};

use crate::birth::{self, Birth, birth_folder};
use crate::bootstrapping::{self, Bootstrapping, LabelOf, LabelText};
use crate::factory::{Factory, FactoryError, off_thread};
use crate::presses::Presses;
use crate::provision::{NewDevice, Press};

/// Devices of one chunk, which is one transaction. Their names are hashes, so that a small one would
/// write a page of three indexes anew for nearly every device.
const CHUNK: usize = 4000;

/// Chunks that are pressed while one is stored, so that neither waits for the other.
const AHEAD: usize = 1;

/// Largest list of serial numbers that is read, in bytes.
const MAX_LIST: u64 = 256 * 1024 * 1024;

/// What to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// Which serial numbers.
    pub serials: Serials,
    /// The model of those that the list gives none.
    pub model: Option<String>,
    /// The algorithm of the keys: `ecdsa-p256`, `ecdsa-p384` or `ed25519`.
    pub algorithm: String,
    /// Where keys and certificates go.
    pub output: Output,
    /// Which bootstrapping key each device gets, if any.
    #[serde(default)]
    pub bootstrapping: Option<Bootstrapping>,
}

/// Which serial numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Serials {
    /// A running number behind a prefix, padded with zeros to so many digits.
    Numbered {
        /// What stands in front.
        prefix: String,
        /// The first number.
        first: u64,
        /// How many.
        count: u64,
        /// Digits at least.
        digits: usize,
    },
    /// A CSV file with a column `serial` and, if it likes, columns `model` and `mac`.
    List(PathBuf),
}

/// Where keys and certificates go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Output {
    /// One sealed file with all keys, each under its SHA-256 in hexadecimal, bootstrapping keys under
    /// the same behind `dpp-`; the certificates are in the store. [`Factory::export_birth`] makes birth folders of it.
    Bundle {
        /// The file; added to when it is there.
        file: PathBuf,
        /// What seals it; made when absent. Keep it elsewhere.
        sealing_key: PathBuf,
    },
    /// One birth folder for each device, named by its serial number.
    Folders(PathBuf),
}

/// How far a batch, or a sale of many, has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Identities made, or devices sold, in this run.
    pub made: u64,
    /// Serial numbers that had one already.
    pub passed_over: u64,
    /// How many there are in all, where that is known beforehand.
    pub total: Option<u64>,
}

/// A device's key and what will be stored of it.
struct Pressed {
    serial: String,
    /// What its birth folder gets, where it gets one.
    born: Option<Born>,
    /// Kept with its record by the bundle; in a folder they lie already. Labels and secrets.
    keys: Vec<(String, Secret)>,
    commit: Commit,
}

/// A chunk of them.
struct Chunk {
    pressed: Vec<Pressed>,
    /// Serial numbers of the chunk that have an identity already.
    passed_over: u64,
}

type Pressing = tokio::task::JoinHandle<Result<Chunk, FactoryError>>;

struct Born {
    model: Option<String>,
    certificate: Certificate,
    dpp_uri: Option<String>,
}

/// How the devices of a batch are made.
#[derive(Debug, Clone)]
struct Recipe {
    algorithm: Algorithm,
    output: Output,
    bootstrapping: Option<Bootstrapping>,
}

/// A device of a batch, before it has anything.
#[derive(Debug, Clone)]
struct Blank {
    device: NewDevice,
    /// The radio's address, for the label.
    mac: Option<String>,
}

impl Factory {
    /// Gives identities to many devices. Running the same batch again continues it.
    ///
    /// # Errors
    /// A line of the list that cannot be used, named by its number: what came before its chunk is
    /// stored. And what can go wrong with keys, files and store.
    pub async fn provision_batch(
        &self,
        actor: &Actor,
        batch: &Batch,
        progress: &(dyn Fn(&Progress) + Send + Sync),
    ) -> Result<Progress, FactoryError> {
        let algorithm: Algorithm = batch.algorithm.parse().map_err(|_| FactoryError::List {
            line: 0,
            message: format!("{:?} is no key algorithm", batch.algorithm),
        })?;
        if let Some(bootstrapping) = &batch.bootstrapping {
            bootstrapping.curve(algorithm)?;
        }
        let recipe = Recipe {
            algorithm,
            output: batch.output.clone(),
            bootstrapping: batch.bootstrapping.clone(),
        };
        let mut list = List::open(batch)?;
        let mut keeper = Keeper::open(&batch.output).await?;
        let presses = Presses::start()?;
        let mut made = Progress {
            total: list.total,
            ..Progress::default()
        };
        let mut ahead: VecDeque<Pressing> = VecDeque::with_capacity(AHEAD + 1);
        let mut kept: Option<Vec<Pressed>> = None;
        let mut end = None;
        loop {
            while end.is_none() && ahead.len() <= AHEAD {
                // 1
                let (read, chunk) = off_thread(move || {
                    let chunk = list.next_chunk();
                    (list, chunk)
                })
                .await?;
                list = read;
                match chunk {
                    Ok(chunk) if chunk.is_empty() => end = Some(Ok(())),
                    // What came before it is stored.
                    Err(error) => end = Some(Err(error)),
                    Ok(chunk) => {
                        let pressing = press(
                            self.clone(),
                            actor.clone(),
                            chunk,
                            recipe.clone(),
                            presses.clone(),
                        );
                        ahead.push_back(tokio::spawn(pressing));
                    }
                }
            }
            // 3
            let pressing = ahead.pop_front();
            if pressing.is_none() && kept.is_none() {
                progress(&made);
                return end.unwrap_or(Ok(())).map(|()| made);
            }
            let store = keeper.output.clone();
            let stored = async {
                match kept.take() {
                    Some(pressed) => store.store(self, pressed).await,
                    None => Ok(0),
                }
            };
            let (stored, next) = tokio::join!(stored, keeper.next(pressing));
            made.made += stored?;
            if let Some(chunk) = next? {
                made.passed_over += chunk.passed_over;
                kept = Some(chunk.pressed);
            }
            progress(&made);
        }
    }

    /// Makes the birth folder of a device whose keys are in a bundle; with `hostap`, its bootstrapping
    /// key in hostap's form as well.
    ///
    /// # Errors
    /// The bundle does not hold a key, or the folder cannot be written.
    pub async fn export_birth(
        &self,
        serial: &str,
        bundle: &Path,
        sealing_key: &Path,
        folder: &Path,
        hostap: bool,
    ) -> Result<(), FactoryError> {
        let device = self.device(serial).await?;
        let dpp_uri = self.dpp_uri(device.id).await?;
        let (bundle, sealing_key) = (bundle.to_owned(), sealing_key.to_owned());
        let (folder, factory) = (folder.to_owned(), self.clone());
        off_thread(move || {
            let sealer = Sealer::open_existing(&sealing_key, Permissions::OwnerOnly)?;
            let bundle = SealedBundle::open(&bundle, &sealer)?;
            birth::put_key(&folder, &bundle.read(&key_label(&device))?)?;
            if let Some(uri) = &dpp_uri {
                let label = bootstrapping::bundle_label(LabelText::read(uri)?.id());
                bootstrapping::put_key(&folder, uri, &bundle.read(&label)?, hostap)?;
            }
            factory.write_birth(&folder, &device, dpp_uri.as_deref())
        })
        .await?
    }

    /// Passes over serial numbers that have an identity; a birth folder that was left without its
    /// certificate gets it. Gives the others, and how many were passed over.
    async fn fresh(
        &self,
        chunk: Vec<Blank>,
        output: &Output,
    ) -> Result<(Vec<Blank>, u64), FactoryError> {
        let ids: Vec<DeviceId> = chunk
            .iter()
            .map(|blank| DeviceId::new(self.home.id, &blank.device.serial))
            .collect();
        let known: HashSet<DeviceId> = self.store.known_devices(&ids).await?.into_iter().collect();
        let mut fresh = Vec::with_capacity(chunk.len());
        let mut passed_over = 0;
        for (blank, id) in chunk.into_iter().zip(ids) {
            if !known.contains(&id) {
                fresh.push(blank);
                continue;
            }
            passed_over += 1;
            if let Output::Folders(folder) = output {
                let folder = birth_folder(folder, &blank.device.serial)?;
                let unfinished =
                    folder.join("keys").exists() && !folder.join("device.toml").exists();
                if let (true, Some(row)) = (unfinished, self.store.device(id).await?) {
                    let (factory, dpp_uri) = (self.clone(), self.dpp_uri(id).await?);
                    off_thread(move || factory.write_birth(&folder, &row, dpp_uri.as_deref()))
                        .await??;
                }
            }
        }
        Ok((fresh, passed_over))
    }

    fn write_birth(
        &self,
        folder: &Path,
        device: &Device,
        dpp_uri: Option<&str>,
    ) -> Result<(), FactoryError> {
        let leaf = Certificate::from_der(device.idevid_der.as_deref().unwrap_or_default())?;
        let mut chain = vec![leaf];
        chain.extend_from_slice(self.home.root.chain());
        let birth = Birth {
            serial: &device.serial,
            model: device.model.as_deref(),
            chain: &chain,
            masa_anchors: self.home.masa_anchors.certificates(),
            dpp_uri,
        };
        birth::write(folder, &birth)
    }
}

/// The bundle's label of a device's key.
fn key_label(device: &Device) -> String {
    device
        .idevid_spki_sha256
        .unwrap_or(Digest::ZERO)
        .to_string()
}

/// Step 2 for one chunk, on all cores.
async fn press(
    factory: Factory,
    actor: Actor,
    chunk: Vec<Blank>,
    recipe: Recipe,
    presses: Presses,
) -> Result<Chunk, FactoryError> {
    let (fresh, passed_over) = factory.fresh(chunk, &recipe.output).await?;
    let shared = Arc::new((Press::new(&factory), factory, actor, recipe));
    let each = move |blank| {
        let (press, factory, actor, recipe) = &*shared;
        press_one(factory, press, actor, blank, recipe)
    };
    Ok(Chunk {
        pressed: presses.map(fresh, each).await?,
        passed_over,
    })
}

fn press_one(
    factory: &Factory,
    press: &Press,
    actor: &Actor,
    blank: Blank,
    recipe: &Recipe,
) -> Result<Pressed, FactoryError> {
    let device = &blank.device;
    let (public_key, dpp_uri, keys) = make_keys(&blank, recipe)?;
    let label = dpp_uri.as_deref().map(LabelText::read).transpose()?;
    let outcome = decide::provision(&ProvisionFacts {
        now: factory.clock.now(),
        actor,
        manufacturer: factory.home.id,
        serial: &device.serial,
        model: device.model.as_deref(),
        mud_url: factory.home.config.mud_url(device.model.as_deref()),
        key_origin: device.key_origin,
        key_spki_sha256: Digest(public_key.sha256()),
        // Both were looked up for the chunk or cannot be; the commit's guards watch over them.
        existing: None,
        key_holder: None,
        bootstrapping: label.as_ref().map(|label| ImportKey {
            key: label.facts(),
            known: None,
        }),
    });
    let permit = match outcome.decision {
        Decision::Accept(permit) => permit,
        Decision::Refuse { refusal, reasons } => {
            return Err(FactoryError::Refused { refusal, reasons });
        }
        Decision::Replay(_) | Decision::Wait { .. } => return Err(FactoryError::Contended),
    };
    let certificate = press.issue(device, &public_key)?;
    let outcome = permit.issue(certificate.der().to_vec());
    match outcome.decision {
        Decision::Accept(device) => Ok(Pressed {
            serial: device.serial,
            born: matches!(recipe.output, Output::Folders(_)).then_some(Born {
                model: device.model,
                certificate,
                dpp_uri,
            }),
            keys,
            commit: outcome.commit,
        }),
        _ => Err(FactoryError::Contended),
    }
}

/// The birth key's public half, the URI of the bootstrapping key, and what a bundle keeps.
type Keys = (PublicKey, Option<String>, Vec<(String, Secret)>);

fn make_keys(blank: &Blank, recipe: &Recipe) -> Result<Keys, FactoryError> {
    let label = LabelOf {
        serial: &blank.device.serial,
        mac: blank.mac.as_deref(),
    };
    let wanted = recipe.bootstrapping.as_ref();
    if let Output::Folders(folder) = &recipe.output {
        let folder = birth_folder(folder, &blank.device.serial)?;
        let (public_key, uri) = birth::keys(&folder, recipe.algorithm, wanted, label)?;
        return Ok((public_key, uri, Vec::new()));
    }
    let Some(wanted) = wanted else {
        let (key, public_key) = generate_key(recipe.algorithm)?;
        let name = Digest(public_key.sha256()).to_string();
        return Ok((public_key, None, vec![(name, key)]));
    };
    let made = wanted.generate(recipe.algorithm, label)?;
    let (key, public_key) = match wanted.birth_key {
        true => made.as_birth_key()?,
        false => generate_key(recipe.algorithm)?,
    };
    let name = Digest(public_key.sha256()).to_string();
    let dpp_name = bootstrapping::bundle_label(LabelText::read(&made.uri)?.id());
    let keys = vec![(name, key), (dpp_name, made.private.private().to_bytes())];
    Ok((public_key, Some(made.uri), keys))
}

/// Step 3.
struct Keeper {
    output: Output,
    /// Where the keys go, unless they lie in their folders already.
    bundle: Option<BundleWriter>,
}

impl Keeper {
    async fn open(output: &Output) -> Result<Self, FactoryError> {
        let bundle = match output.clone() {
            Output::Folders(_) => None,
            Output::Bundle { file, sealing_key } => {
                let opened = off_thread(move || {
                    let sealer = Sealer::open(&sealing_key, Permissions::OwnerOnly)?;
                    // What a crash left unfinished was never promised to anybody.
                    if file.exists() {
                        BundleWriter::repair(&file, &sealer)?;
                    }
                    BundleWriter::open(&file, &sealer)
                });
                Some(opened.await??)
            }
        };
        Ok(Self {
            output: output.clone(),
            bundle,
        })
    }

    /// The next chunk, when its keys are durable.
    async fn next(&mut self, pressing: Option<Pressing>) -> Result<Option<Chunk>, FactoryError> {
        let Some(pressing) = pressing else {
            return Ok(None);
        };
        let mut chunk = pressing.await.map_err(|_| FactoryError::Broken)??;
        self.keep_keys(&mut chunk.pressed).await?;
        Ok(Some(chunk))
    }

    async fn keep_keys(&mut self, pressed: &mut [Pressed]) -> Result<(), FactoryError> {
        if matches!(self.output, Output::Folders(_)) {
            return Ok(());
        }
        let Some(mut writer) = self.bundle.take() else {
            return Err(FactoryError::Broken);
        };
        let keys: Vec<(String, Secret)> = pressed
            .iter_mut()
            .flat_map(|one| std::mem::take(&mut one.keys))
            .collect();
        let written = off_thread(move || {
            for (label, key) in &keys {
                writer.append(label, key.expose())?;
            }
            writer.sync().map(|()| writer)
        })
        .await??;
        self.bundle = Some(written);
        Ok(())
    }
}

impl Output {
    /// Stores a chunk whose keys are durable; how many identities it made.
    async fn store(
        &self,
        factory: &Factory,
        mut pressed: Vec<Pressed>,
    ) -> Result<u64, FactoryError> {
        let (whole, parts) = together(&mut pressed);
        let stored = match whole.is_empty() {
            true => Ok(()),
            false => {
                let stored = factory.store.commit_shared(Arc::clone(&whole)).await;
                stored.map(|_positions| ())
            }
        };
        let kept = match stored {
            Ok(()) => pressed,
            Err(CommitError::Conflict(_)) => {
                take_apart(&whole, &parts, &mut pressed);
                one_by_one(factory, pressed).await?
            }
            Err(error) => return Err(FactoryError::Commit(error)),
        };
        let made = kept.len() as u64;
        if let Self::Folders(folder) = self {
            let (folder, factory) = (folder.clone(), factory.clone());
            off_thread(move || {
                let mut born = kept
                    .iter()
                    .filter_map(|one| Some((&one.serial, one.born.as_ref()?)));
                born.try_for_each(|(serial, one)| {
                    let mut chain = vec![one.certificate.clone()];
                    chain.extend_from_slice(factory.home.root.chain());
                    let birth = Birth {
                        serial,
                        model: one.model.as_deref(),
                        chain: &chain,
                        masa_anchors: factory.home.masa_anchors.certificates(),
                        dpp_uri: one.dpp_uri.as_deref(),
                    };
                    birth::write(&birth_folder(&folder, serial)?, &birth)
                })
            })
            .await??;
        }
        metrics::counter!("vouchsafe_identities_total", "result" => "issued").increment(made);
        Ok(made)
    }
}

/// Where a device's part of a chunk's commit ends: in its guards, changes and entries.
type Ends = [usize; 3];

/// Moves all commits of a chunk into one.
fn together(pressed: &mut [Pressed]) -> (Arc<Commit>, Vec<Ends>) {
    let mut whole = Commit {
        guards: Vec::with_capacity(room(pressed, |commit| commit.guards.len())),
        changes: Vec::with_capacity(room(pressed, |commit| commit.changes.len())),
        entries: Vec::with_capacity(room(pressed, |commit| commit.entries.len())),
    };
    let mut parts = Vec::with_capacity(pressed.len());
    for one in pressed {
        let part = std::mem::take(&mut one.commit);
        whole.guards.extend(part.guards);
        whole.changes.extend(part.changes);
        whole.entries.extend(part.entries);
        parts.push([whole.guards.len(), whole.changes.len(), whole.entries.len()]);
    }
    (Arc::new(whole), parts)
}

fn room(pressed: &[Pressed], of_one: impl Fn(&Commit) -> usize) -> usize {
    pressed.iter().map(|one| of_one(&one.commit)).sum()
}

/// Gives each device its part again.
fn take_apart(whole: &Commit, parts: &[Ends], pressed: &mut [Pressed]) {
    fn part<T: Clone>(all: &[T], from: usize, to: usize) -> Vec<T> {
        all.get(from..to).unwrap_or_default().to_vec()
    }
    let mut from = [0; 3];
    for (one, to) in pressed.iter_mut().zip(parts) {
        one.commit.guards = part(&whole.guards, from[0], to[0]);
        one.commit.changes = part(&whole.changes, from[1], to[1]);
        one.commit.entries = part(&whole.entries, from[2], to[2]);
        from = *to;
    }
}

/// Somebody else took a serial number of this chunk meanwhile: the others still get theirs.
async fn one_by_one(
    factory: &Factory,
    pressed: Vec<Pressed>,
) -> Result<Vec<Pressed>, FactoryError> {
    let mut kept = Vec::with_capacity(pressed.len());
    for one in pressed {
        match factory.commit(one.commit.clone()).await {
            Ok(()) => kept.push(one),
            Err(CommitError::Conflict(conflict)) => {
                tracing::warn!(serial = one.serial, %conflict, "no second identity");
            }
            Err(error) => return Err(FactoryError::Commit(error)),
        }
    }
    Ok(kept)
}

/// The serial numbers still to come.
struct List {
    rows: Box<dyn Iterator<Item = Result<Blank, FactoryError>> + Send>,
    total: Option<u64>,
    /// The serial numbers of the chunks that may not be stored yet.
    recent: VecDeque<HashSet<String>>,
    /// Why there is nothing behind the chunk that was taken last.
    broken: Option<FactoryError>,
}

#[derive(Deserialize)]
struct Row {
    serial: String,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    mac: Option<String>,
}

impl List {
    fn open(batch: &Batch) -> Result<Self, FactoryError> {
        let model = batch.model.clone();
        let device = move |serial: String, own: Option<String>, mac| Blank {
            device: NewDevice {
                serial,
                model: own.filter(|own| !own.is_empty()).or_else(|| model.clone()),
                key_origin: KeyOrigin::Factory,
                dpp_uri: None,
            },
            mac,
        };
        match batch.serials.clone() {
            Serials::Numbered {
                prefix,
                first,
                count,
                digits,
            } => {
                let end = first.saturating_add(count);
                let name = move |number| format!("{prefix}{number:0digits$}");
                Ok(Self {
                    rows: Box::new(
                        (first..end).map(move |number| Ok(device(name(number), None, None))),
                    ),
                    total: Some(count),
                    recent: VecDeque::new(),
                    broken: None,
                })
            }
            Serials::List(path) => {
                let failed = |source| FactoryError::File {
                    path: path.clone(),
                    source,
                };
                let file = std::fs::File::open(&path).map_err(failed)?;
                let length = file.metadata().map_err(failed)?.len();
                if length > MAX_LIST {
                    let why = format!("{length} bytes are more than {MAX_LIST}; split the list");
                    return Err(failed(std::io::Error::other(why)));
                }
                // One that grows meanwhile ends where it ended, and not in the middle of a number.
                let file = std::io::Read::take(file, length);
                let reader = csv::ReaderBuilder::new()
                    .trim(csv::Trim::All)
                    .from_reader(file);
                let rows = reader.into_deserialize::<Row>().map(move |row| match row {
                    Ok(row) => Ok(device(row.serial, row.model, row.mac)),
                    Err(error) => Err(FactoryError::List {
                        line: error.position().map_or(0, csv::Position::line),
                        message: error.to_string(),
                    }),
                });
                Ok(Self {
                    rows: Box::new(rows),
                    total: None,
                    recent: VecDeque::new(),
                    broken: None,
                })
            }
        }
    }

    /// At most [`CHUNK`] devices, each serial number once: none that is still being pressed.
    fn next_chunk(&mut self) -> Result<Vec<Blank>, FactoryError> {
        if let Some(error) = self.broken.take() {
            return Err(error);
        }
        let mut seen = HashSet::new();
        let mut chunk = Vec::with_capacity(CHUNK);
        for device in self.rows.by_ref() {
            let device = match device {
                Ok(device) => device,
                // What came before it is made first.
                Err(error) if !chunk.is_empty() => {
                    self.broken = Some(error);
                    break;
                }
                Err(error) => return Err(error),
            };
            let serial = &device.device.serial;
            if !self.recent.iter().any(|chunk| chunk.contains(serial))
                && seen.insert(serial.clone())
            {
                chunk.push(device);
            }
            if chunk.len() == CHUNK {
                break;
            }
        }
        self.recent.push_back(seen);
        if self.recent.len() > AHEAD + 2 {
            self.recent.pop_front();
        }
        Ok(chunk)
    }
}
