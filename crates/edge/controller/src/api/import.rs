//! Many devices at once: a manufacturer's signed manifest, JSON, or CSV, of devices or of bootstrapping
//! URIs.
//!
//! A manifest is believed in this order:
//!
//! 1. Whose it says it is, unproved, finds the anchors: those that an admin brings, or those of a
//!    manufacturer that somebody decided to trust before. A manufacturer that was only seen has
//!    shown its anchors itself, which proves nothing.
//! 2. The signature leads to them. A birth certificate leads there as well and signs no manifest:
//!    else any device could speak for its maker.
//! 3. The content agrees with itself, is for this owner, and names that manufacturer.
//! 4. The manufacturer is made known, then the devices, in batches that are each one transaction.
//!    A second import of the same manifest changes nothing, so one that broke off is repeated.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::{Extension, Json};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use vouchsafe_api::route::{APPLICATION_CMS, TEXT_CSV};
use vouchsafe_api::{
    ClaimByUri, Code, DeviceRole, ImportDevice, ImportDevices, ImportKeys, ImportManifest,
    ImportResult, Problem, RefusedLine, Role, Warning,
};
use vouchsafe_fleet::admission::Segment;
use vouchsafe_fleet::decide::wifi::{ClaimUriFacts, ImportKey};
use vouchsafe_fleet::decide::{self, ClaimFacts, ImportFacts, Outcome};
use vouchsafe_fleet::manifest::{MAX_MANIFEST, Manifest};
use vouchsafe_fleet::wifi::{BootstrappingKey, KeySource, Network, Standing};
use vouchsafe_fleet::{
    Actor, ChainHead, Commit, Device, DeviceId, Digest, Evidence, ManifestDevice, Manufacturer,
    ManufacturerId, ManufacturerTrust, State as Life,
};
use vouchsafe_trust::cms;
use vouchsafe_trust::{Anchors, Certificate, PathRules, Usage};

use super::key::{ReadClaim, ReadKey};
use super::label::Label;
use super::problem::{Failure, accepted, bad_request};
use super::request::{Asked, DryRunQuery, RawBody, from_json, media_type, unsupported};
use super::{Caller, network};
use crate::controller::{Controller, Fault};
use crate::gate::all_segments;

/// Devices in one transaction.
const BATCH: usize = 500;

/// Devices in one list.
const MAX_DEVICES: usize = 100_000;

/// How often a batch is decided anew when others change its devices meanwhile.
const MAX_ATTEMPTS: usize = 8;

/// Room for signature and certificates around a manifest of the largest size, in bytes.
const ENVELOPE: usize = 64 * 1024;

pub(super) async fn import_manifest(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Asked(DryRunQuery { dry_run }): Asked<DryRunQuery>,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Result<Json<ImportResult>, Failure> {
    let (signed, given) = match media_type(&headers).as_str() {
        APPLICATION_CMS => (body.to_vec(), None),
        "application/json" => {
            let import: ImportManifest = from_json(&body)?;
            let signed = STANDARD
                .decode(import.manifest.as_bytes())
                .map_err(|_| bad_request("`manifest` is not base64"))?;
            (signed, import.anchors_pem)
        }
        _ => return Err(unsupported("application/json and application/cms").into()),
    };
    drop(body);
    let given = given.map(|pem| given_anchors(&caller, &pem)).transpose()?;
    let digest = Digest::of(&signed);
    let worker = controller.clone();
    // Parsing and hashing some 100,000 journals is work for a thread of its own.
    let reading = tokio::task::spawn_blocking(move || believe(&worker, &signed, given.as_ref()));
    let manifest = reading
        .await
        .map_err(|error| Fault::Sign(error.to_string()))??;
    let mut result = ImportResult {
        manufacturer: Some(manifest.content.manufacturer.id.to_string()),
        ..nothing()
    };
    if !dry_run {
        make_known(&controller, &caller.actor(), &manifest, digest, &mut result).await?;
    }
    if manifest.unreadable > 0 {
        result.warnings.push(Warning {
            code: "bootstrapping-uri-unreadable".to_owned(),
            detail: format!(
                "{} devices have a bootstrapping URI that cannot be read, and come in without it",
                manifest.unreadable
            ),
        });
    }
    let actor = caller.actor();
    let content = &manifest.content;
    let lines: Vec<(&ManifestDevice, Option<&ReadKey>)> = content
        .devices
        .iter()
        .zip(manifest.keys.iter().map(Option::as_ref))
        .collect();
    for (index, lines) in lines.chunks(BATCH).enumerate() {
        let batch = Batch {
            controller: &controller,
            first_line: index * BATCH + 1,
            dry_run,
        };
        batch
            .run(
                lines,
                &mut result,
                |(line, _), _| {
                    let id = DeviceId::new(content.manufacturer.id, &line.serial);
                    (Some(id), line.serial.clone())
                },
                |(_, key)| key.map(|key| key.id),
                |(line, key), stored| {
                    let existing = stored.device.as_ref();
                    let head = existing.map_or(ChainHead::EMPTY, |device| ChainHead {
                        seq: device.journal_seq,
                        hash: device.journal_head,
                    });
                    let facts = ImportFacts {
                        now: controller.clock.now(),
                        actor: &actor,
                        owner: controller.owner,
                        sold_to: content.owner.id,
                        manufacturer: content.manufacturer.id,
                        manifest_sha256: digest,
                        line,
                        existing,
                        head,
                        key: key.map(|key| ImportKey {
                            key: key.facts(),
                            known: stored.key.as_ref(),
                        }),
                        labelled: stored.labelled.as_ref().map(Label::facts),
                    };
                    Step::Decided(Box::new(decide::import(&facts)))
                },
            )
            .await?;
    }
    Ok(Json(result))
}

/// A manifest that was believed, and how far its word about the manufacturer goes.
struct Believed {
    content: Manifest,
    /// The bootstrapping keys of its devices, in their order.
    keys: Vec<Option<ReadKey>>,
    /// Bootstrapping URIs that cannot be read.
    unreadable: usize,
    /// An admin brought the anchors.
    by_admin: bool,
}

/// The anchors that an admin brings.
fn given_anchors(caller: &Caller, pem: &str) -> Result<Anchors, Problem> {
    if caller.role != Role::Admin {
        let detail = format!("the role {} may not bring trust anchors", caller.role);
        return Err(Problem::new(Code::Forbidden, detail)
            .next_step("let an admin add the manufacturer, then import without `anchors_pem`"));
    }
    Certificate::many_from_pem(pem)
        .ok()
        .and_then(|certificates| Anchors::new(certificates).ok())
        .ok_or_else(|| bad_request("`anchors_pem` holds no certificates"))
}

/// Steps 1 to 3.
fn believe(
    controller: &Controller,
    signed: &[u8],
    given: Option<&Anchors>,
) -> Result<Believed, Problem> {
    /// All of a manifest that is looked at before it is proved.
    #[derive(Deserialize)]
    struct Glance {
        manufacturer: Named,
    }
    #[derive(Deserialize)]
    struct Named {
        id: ManufacturerId,
    }
    // 1
    let envelope = cms::parse_within(signed, MAX_MANIFEST + ENVELOPE).map_err(refused)?;
    let named: Glance = serde_json::from_slice(envelope.content())
        .map_err(|error| refused(format!("it is no manifest: {error}")))?;
    let catalogue = controller.manufacturers.current();
    let known = catalogue.manufacturer(named.manufacturer.id);
    let record = known.map(|known| &known.record);
    may_speak(named.manufacturer.id, record, given.is_some())?;
    let trusted = match (given, known) {
        (Some(given), _) => given.clone(),
        (None, Some(known)) if decided(known.record.trust) => {
            let mut all = known.anchors.certificates().to_vec();
            all.extend(
                known
                    .record
                    .masa_anchors
                    .iter()
                    .filter_map(|der| Certificate::from_der(der).ok()),
            );
            Anchors::new(all).map_err(refused)?
        }
        (None, _) => {
            return Err(undecided(named.manufacturer.id));
        }
    };
    // 2
    let rules = PathRules::strict(controller.clock.now(), Usage::Any);
    let proved = envelope.verify(&trusted, &rules).map_err(refused)?;
    if proved.signer.subject_serial_number().is_some() {
        return Err(refused("it is signed with a device's birth certificate"));
    }
    // 3
    let content = Manifest::read(&proved.content, controller.owner).map_err(refused)?;
    let names_the_anchor = content.manufacturer.anchors.first().is_some_and(|first| {
        trusted
            .certificates()
            .iter()
            .any(|anchor| anchor.der() == first.as_slice())
    });
    if given.is_some() && !names_the_anchor {
        return Err(refused(
            "its manufacturer's first anchor is not among those given",
        ));
    }
    let read = |line: &ManifestDevice| line.dpp_uri.as_deref().map(ReadKey::read);
    let keys: Vec<_> = content.devices.iter().map(read).collect();
    Ok(Believed {
        content,
        unreadable: keys
            .iter()
            .filter(|key| matches!(key, Some(Err(_))))
            .count(),
        keys: keys.into_iter().map(|key| key?.ok()).collect(),
        by_admin: given.is_some(),
    })
}

/// Whether this manufacturer's manifests are listened to: a blocked one's by nobody's leave, another's once an
/// admin decided to trust it, or brings its anchors now.
fn may_speak(
    id: ManufacturerId,
    record: Option<&Manufacturer>,
    by_admin: bool,
) -> Result<(), Problem> {
    match record {
        Some(record) if record.trust == ManufacturerTrust::Blocked => Err(refused(format!(
            "the manufacturer {} is blocked",
            record.name
        ))),
        Some(record) if decided(record.trust) => Ok(()),
        _ if by_admin => Ok(()),
        _ => Err(undecided(id)),
    }
}

fn undecided(id: ManufacturerId) -> Problem {
    refused(format!("nobody decided to trust the manufacturer {id} yet"))
        .next_step("as admin, give its two roots: `--anchor root-ca.pem --anchor masa-ca.pem`")
}

/// Step 4 for the manufacturer.
async fn make_known(
    controller: &Controller,
    actor: &Actor,
    manifest: &Believed,
    digest: Digest,
    result: &mut ImportResult,
) -> Result<(), Failure> {
    let said = &manifest.content.manufacturer;
    let outcome = controller
        .settle_as::<_, Failure, _, _>(async || {
            let existing = controller.store.manufacturer(said.id).await?;
            let now = controller.clock.now();
            // Looked at in memory before, which may be older than what others decided.
            may_speak(said.id, existing.as_ref(), manifest.by_admin)?;
            let wanted = match &existing {
                // What somebody decided about it stays; what was missing is filled in.
                Some(record) if decided(record.trust) && !manifest.by_admin => Manufacturer {
                    masa_url: record.masa_url.clone().or_else(|| said.masa_url.clone()),
                    masa_anchors: match record.masa_anchors.is_empty() {
                        true => said.masa_anchors.clone(),
                        false => record.masa_anchors.clone(),
                    },
                    ..record.clone()
                },
                other => Manufacturer {
                    id: said.id,
                    name: said.name.clone(),
                    anchors: said.anchors.clone(),
                    masa_url: said.masa_url.clone(),
                    masa_anchors: said.masa_anchors.clone(),
                    trust: match other {
                        Some(record) if decided(record.trust) => record.trust,
                        _ => ManufacturerTrust::VoucherRequired,
                    },
                    idevid_rules: said.idevid_rules.clone(),
                    version: other.as_ref().map_or(0, |record| record.version),
                    created_at: other.as_ref().map_or(now, |record| record.created_at),
                    updated_at: other.as_ref().map_or(now, |record| record.updated_at),
                },
            };
            if existing.as_ref() == Some(&wanted) {
                return Ok(Outcome::nothing(wanted));
            }
            let mut outcome = decide::put_manufacturer(now, actor, existing.as_ref(), wanted);
            if let Some(entry) = outcome.commit.entries.first_mut() {
                entry.evidence.push(Evidence::new("manifest", digest));
            }
            Ok(outcome)
        })
        .await?;
    let record = accepted(outcome.decision)?;
    if record.masa_anchors != said.masa_anchors || record.anchors != said.anchors {
        result.warnings.push(Warning {
            code: "manufacturer-differs".to_owned(),
            detail: "the manifest names other trust anchors than the ones in use, which stay; an \
                     admin changes them by importing with `anchors_pem`"
                .to_owned(),
        });
    }
    controller.reload_manufacturers().await?;
    Ok(())
}

/// Whether a person decided to let its devices in.
fn decided(trust: ManufacturerTrust) -> bool {
    match trust {
        ManufacturerTrust::PlainEst | ManufacturerTrust::VoucherRequired => true,
        ManufacturerTrust::Unknown | ManufacturerTrust::Seen | ManufacturerTrust::Blocked => false,
    }
}

fn refused(why: impl std::fmt::Display) -> Problem {
    Problem::new(Code::ManifestRefused, why.to_string())
}

/// One line of a CSV file; the header names the columns.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CsvLine {
    manufacturer: String,
    serial: String,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    idevid_sha256: Option<String>,
    #[serde(default)]
    segment: Option<String>,
}

pub(super) async fn import_devices(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Asked(DryRunQuery { dry_run }): Asked<DryRunQuery>,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Result<Json<ImportResult>, Failure> {
    let lines = match media_type(&headers).as_str() {
        "application/json" => from_json::<ImportDevices>(&body)?.devices,
        TEXT_CSV => read_csv(&body)?,
        _ => return Err(unsupported("application/json and text/csv").into()),
    };
    drop(body);
    if lines.len() > MAX_DEVICES {
        let detail = format!("{} devices are more than {MAX_DEVICES}", lines.len());
        return Err(Problem::new(Code::TooLarge, detail)
            .next_step("split the list")
            .into());
    }
    let segments = all_segments(&controller).await?;
    let actor = caller.actor();
    let mut result = nothing();
    for (index, lines) in lines.chunks(BATCH).enumerate() {
        let batch = Batch {
            controller: &controller,
            first_line: index * BATCH + 1,
            dry_run,
        };
        batch
            .run(
                lines,
                &mut result,
                |line, _| {
                    let maker = line.manufacturer.parse().unwrap_or(ManufacturerId::NONE);
                    let id = DeviceId::new(maker, &line.serial);
                    (Some(id), line.serial.clone())
                },
                |_| None,
                |line: &ImportDevice, stored| {
                    let device = stored.device.as_ref();
                    claim_line(&controller, &actor, &segments, line, device)
                },
            )
            .await?;
    }
    warn_of_strangers(&controller, &lines, &mut result);
    Ok(Json(result))
}

fn read_csv(body: &[u8]) -> Result<Vec<ImportDevice>, Problem> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(body);
    let present = |text: Option<String>| text.filter(|text| !text.is_empty());
    let mut lines = Vec::new();
    for line in reader.deserialize() {
        let line: CsvLine = line.map_err(|error| bad_request(format!("CSV: {error}")))?;
        lines.push(ImportDevice {
            manufacturer: line.manufacturer,
            serial: line.serial,
            model: present(line.model),
            idevid_sha256: present(line.idevid_sha256),
            segment: present(line.segment),
        });
        if lines.len() > MAX_DEVICES {
            break;
        }
    }
    Ok(lines)
}

/// Any segment, while nobody described one.
fn is_described(segments: &[Segment], name: Option<&str>) -> bool {
    let known = |name| segments.iter().any(|segment| segment.name == name);
    segments.is_empty() || name.is_none_or(known)
}

fn claim_line(
    controller: &Controller,
    actor: &Actor,
    segments: &[Segment],
    line: &ImportDevice,
    existing: Option<&Device>,
) -> Step {
    if !is_described(segments, line.segment.as_deref()) {
        return unreadable("segment-unknown", "there is no such segment");
    }
    let Ok(manufacturer) = ManufacturerId::parse(&line.manufacturer) else {
        return unreadable("bad-manufacturer", "`manufacturer` is no id of 32 digits");
    };
    let idevid_sha256 = match line.idevid_sha256.as_deref().map(Digest::parse) {
        None => None,
        Some(Ok(digest)) => Some(digest),
        Some(Err(_)) => {
            return unreadable("bad-digest", "`idevid_sha256` is no digest of 64 digits");
        }
    };
    if let Some(device) = existing {
        let here = matches!(
            device.state,
            Life::Claimed | Life::Onboarding | Life::Onboarded | Life::Quarantined
        );
        let other = idevid_sha256.is_some()
            && device.idevid_sha256.is_some()
            && idevid_sha256 != device.idevid_sha256;
        if here && other {
            return unreadable(
                "idevid-differs",
                "it is here already, with another birth certificate",
            );
        }
        if here {
            return Step::Unchanged;
        }
    }
    Step::Decided(Box::new(decide::claim(&ClaimFacts {
        now: controller.clock.now(),
        actor,
        owner: controller.owner,
        manufacturer,
        serial: &line.serial,
        model: line.model.as_deref(),
        segment: line.segment.as_deref(),
        idevid_sha256,
        existing,
    })))
}

fn warn_of_strangers(controller: &Controller, lines: &[ImportDevice], result: &mut ImportResult) {
    /// Unknown manufacturers that are named one by one.
    const MOST: usize = 10;
    let catalogue = controller.manufacturers.current();
    let strangers: std::collections::BTreeSet<ManufacturerId> = lines
        .iter()
        .filter_map(|line| line.manufacturer.parse().ok())
        .filter(|id| catalogue.manufacturer(*id).is_none())
        .collect();
    for id in strangers.into_iter().take(MOST) {
        result.warnings.push(Warning {
            code: "manufacturer-unknown".to_owned(),
            detail: format!(
                "the manufacturer {id} is not known here: its devices are refused until an admin \
                 adds it"
            ),
        });
    }
}

/// One line of a list of bootstrapping URIs; the header names the columns.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CsvKey {
    uri: String,
    #[serde(default)]
    manufacturer: Option<String>,
    #[serde(default)]
    serial: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    role: Option<DeviceRole>,
    #[serde(default)]
    segment: Option<String>,
    #[serde(default)]
    network: Option<String>,
}

pub(super) async fn import_bootstrapping_keys(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Asked(DryRunQuery { dry_run }): Asked<DryRunQuery>,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Result<Json<ImportResult>, Failure> {
    let lines = match media_type(&headers).as_str() {
        "application/json" => from_json::<ImportKeys>(&body)?.keys,
        TEXT_CSV => read_key_csv(&body)?,
        _ => return Err(unsupported("application/json and text/csv").into()),
    };
    drop(body);
    if lines.len() > MAX_DEVICES {
        let detail = format!("{} keys are more than {MAX_DEVICES}", lines.len());
        return Err(Problem::new(Code::TooLarge, detail)
            .next_step("split the list")
            .into());
    }
    // Reading 100,000 keys is work for a thread of its own.
    let reading = tokio::task::spawn_blocking(move || {
        let read = |line: ClaimByUri| KeyLine {
            claim: ReadClaim::read(&line, KeySource::Import),
            line,
        };
        lines.into_iter().map(read).collect::<Vec<_>>()
    });
    let lines = reading
        .await
        .map_err(|error| Fault::Sign(error.to_string()))?;
    let networks = network::all(&controller).await?;
    let segments = all_segments(&controller).await?;
    let mut result = nothing();
    for (index, lines) in lines.chunks(BATCH).enumerate() {
        let batch = Batch {
            controller: &controller,
            first_line: index * BATCH + 1,
            dry_run,
        };
        batch
            .run(
                lines,
                &mut result,
                |line, known| {
                    let serial = line.line.serial.clone().unwrap_or_default();
                    let claim = line.claim.as_ref().ok();
                    (claim.map(|claim| claim.device(known)), serial)
                },
                |line| line.claim.as_ref().ok().map(|claim| claim.key.id),
                |line, stored| key_line(&controller, &caller, (&networks, &segments), line, stored),
            )
            .await?;
    }
    Ok(Json(result))
}

/// A claim by URI, and what was read of it.
struct KeyLine {
    line: ClaimByUri,
    claim: Result<ReadClaim, String>,
}

fn key_line(
    controller: &Controller,
    caller: &Caller,
    (networks, segments): (&[Network], &[Segment]),
    line: &KeyLine,
    stored: &Stored,
) -> Step {
    let claim = match &line.claim {
        Ok(claim) => claim,
        Err(why) => return Step::Unreadable("bad-bootstrapping-key", why.clone()),
    };
    let wanted = line.line.network.as_deref();
    let network = wanted.map(|name| networks.iter().find(|network| network.name == name));
    if network == Some(None) {
        return unreadable("network-unknown", "there is no such network");
    }
    if !is_described(segments, claim.segment.as_deref()) {
        return unreadable("segment-unknown", "there is no such segment");
    }
    let outcome = decide::wifi::claim_uri(&ClaimUriFacts {
        now: controller.clock.now(),
        actor: &caller.actor(),
        owner: controller.owner,
        key: claim.key.facts(),
        role: claim.role,
        source: claim.source,
        identity: claim.identity(),
        label: claim.label.as_deref(),
        model: claim.model.as_deref(),
        mud_url: None,
        segment: claim.segment.as_deref(),
        network: network.flatten(),
        existing: stored.device.as_ref(),
        standing: stored.standing.as_ref(),
        known: stored.key.as_ref(),
        reasons: &[],
        runs_devices: caller.runs_devices(),
    });
    Step::Decided(Box::new(outcome.map(|claimed| claimed.device)))
}

fn read_key_csv(body: &[u8]) -> Result<Vec<ClaimByUri>, Problem> {
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(body);
    let present = |text: Option<String>| text.filter(|text| !text.is_empty());
    let mut lines = Vec::new();
    for line in reader.deserialize() {
        let line: CsvKey = line.map_err(|error| bad_request(format!("CSV: {error}")))?;
        lines.push(ClaimByUri {
            uri: line.uri,
            manufacturer: present(line.manufacturer),
            serial: present(line.serial),
            model: present(line.model),
            role: line.role.unwrap_or_default(),
            segment: present(line.segment),
            network: present(line.network),
            reason: None,
        });
        if lines.len() > MAX_DEVICES {
            break;
        }
    }
    Ok(lines)
}

/// What becomes of one line.
enum Step {
    /// A decision, with what to store.
    Decided(Box<Outcome<Device>>),
    /// Nothing to do.
    Unchanged,
    /// The line says nothing that could be decided: code and sentence.
    Unreadable(&'static str, String),
}

fn unreadable(code: &'static str, detail: &str) -> Step {
    Step::Unreadable(code, detail.to_owned())
}

/// What is stored about a line's device.
struct Stored {
    device: Option<Device>,
    /// The bootstrapping key that the line names.
    key: Option<BootstrappingKey>,
    /// The device's standing with Wi-Fi, where the line names a key.
    standing: Option<Standing>,
    /// The device that is named after that key and has it now, where it is another one.
    labelled: Option<Label>,
}

/// Lines that are stored together.
struct Batch<'a> {
    controller: &'a Controller,
    /// Number of the first of them, from 1.
    first_line: usize,
    dry_run: bool,
}

impl Batch<'_> {
    /// Decides every line on what is stored, commits all at once, and counts. When somebody else
    /// changed a device meanwhile, the whole batch is decided anew.
    async fn run<L>(
        &self,
        lines: &[L],
        result: &mut ImportResult,
        subject: impl Fn(&L, Option<&BootstrappingKey>) -> (Option<DeviceId>, String),
        key: impl Fn(&L) -> Option<Digest>,
        decide: impl Fn(&L, &Stored) -> Step,
    ) -> Result<(), Failure> {
        for _ in 0..MAX_ATTEMPTS {
            let mut counted = nothing();
            let mut all = Commit::default();
            let mut seen = std::collections::BTreeSet::new();
            let mut seen_keys = std::collections::BTreeSet::new();
            for (index, line) in lines.iter().enumerate() {
                let key = key(line);
                let known = self.known(key).await?;
                let (id, serial) = subject(line, known.as_ref());
                let stored = self.stored(id, known, key.is_some()).await?;
                let twice = |what| format!("the {what} stands twice in the list");
                let step = if id.is_some_and(|id| !seen.insert(id)) {
                    Step::Unreadable("twice", twice("device"))
                } else if key.is_some_and(|key| !seen_keys.insert(key)) {
                    Step::Unreadable("twice", twice("bootstrapping key"))
                } else {
                    decide(line, &stored)
                };
                let number = (self.first_line + index) as u64;
                match step {
                    Step::Decided(outcome) => {
                        let changes = !outcome.commit.is_empty();
                        super::append(&mut all, outcome.commit);
                        match accepted(outcome.decision) {
                            Ok(_) if changes => counted.claimed += 1,
                            Ok(_) => counted.unchanged += 1,
                            Err(problem) => {
                                let code = problem.code.as_str();
                                refuse(&mut counted, number, serial, code, &problem.detail);
                            }
                        }
                    }
                    Step::Unchanged => counted.unchanged += 1,
                    Step::Unreadable(code, detail) => {
                        refuse(&mut counted, number, serial, code, &detail);
                    }
                }
            }
            let committed = match self.dry_run {
                true => Ok(()),
                false => self.controller.commit(all).await,
            };
            match committed {
                Ok(()) => {
                    result.claimed += counted.claimed;
                    result.unchanged += counted.unchanged;
                    result.refused += counted.refused;
                    result.refusals.extend(counted.refusals);
                    result.refusals.truncate(ImportResult::MAX_REFUSED);
                    return Ok(());
                }
                Err(vouchsafe_store::CommitError::Conflict(conflict)) => {
                    tracing::debug!(?conflict, "a batch is decided anew");
                }
                Err(error) => return Err(Fault::Commit(error).into()),
            }
        }
        Err(Fault::Contended.into())
    }

    async fn known(&self, key: Option<Digest>) -> Result<Option<BootstrappingKey>, Failure> {
        match key {
            Some(key) => Ok(self.controller.store.bootstrapping_key(key).await?),
            None => Ok(None),
        }
    }

    async fn stored(
        &self,
        id: Option<DeviceId>,
        key: Option<BootstrappingKey>,
        with_standing: bool,
    ) -> Result<Stored, Failure> {
        let store = &self.controller.store;
        let device = match id {
            Some(id) => store.device(id).await?,
            None => None,
        };
        let standing = match &device {
            Some(device) if with_standing => store.wifi_standing(device.id).await?,
            _ => None,
        };
        let labelled = match (&key, id) {
            (Some(key), Some(id)) => Label::find(store, key, id).await?,
            _ => None,
        };
        Ok(Stored {
            device,
            key,
            standing,
            labelled,
        })
    }
}

fn refuse(result: &mut ImportResult, line: u64, serial: String, code: &str, detail: &str) {
    result.refused += 1;
    if result.refusals.len() < ImportResult::MAX_REFUSED {
        result.refusals.push(RefusedLine {
            line,
            serial,
            code: code.to_owned(),
            detail: detail.to_owned(),
        });
    }
}

fn nothing() -> ImportResult {
    ImportResult {
        claimed: 0,
        unchanged: 0,
        refused: 0,
        refusals: Vec::new(),
        manufacturer: None,
        warnings: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use vouchsafe_fleet::IdevidRules;

    use super::*;

    #[test]
    fn a_blocked_manufacturer_is_listened_to_by_nobodys_leave() {
        let id = ManufacturerId::NONE;
        let with = |trust| Manufacturer {
            id,
            name: "Maker".to_owned(),
            anchors: Vec::new(),
            masa_url: None,
            masa_anchors: Vec::new(),
            trust,
            idevid_rules: IdevidRules::default(),
            version: 1,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
        };
        let may = |trust, by_admin| may_speak(id, Some(&with(trust)), by_admin);
        for by_admin in [false, true] {
            let problem = may(ManufacturerTrust::Blocked, by_admin).unwrap_err();
            assert_eq!(problem.code, Code::ManifestRefused);
            may(ManufacturerTrust::VoucherRequired, by_admin).unwrap();
            may(ManufacturerTrust::PlainEst, by_admin).unwrap();
        }
        for trust in [ManufacturerTrust::Unknown, ManufacturerTrust::Seen] {
            may(trust, false).unwrap_err();
            may(trust, true).unwrap();
        }
        may_speak(id, None, false).unwrap_err();
        may_speak(id, None, true).unwrap();
    }
}
