//! Many devices at once: a manufacturer's signed manifest, JSON, or CSV.
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
    Code, ImportDevice, ImportDevices, ImportManifest, ImportResult, Problem, RefusedLine, Role,
    Warning,
};
use vouchsafe_fleet::decide::{self, ClaimFacts, Decision, ImportFacts, Outcome};
use vouchsafe_fleet::manifest::{MAX_MANIFEST, Manifest};
use vouchsafe_fleet::{
    Actor, ChainHead, Commit, Device, DeviceId, Digest, Evidence, ManifestDevice, Manufacturer,
    ManufacturerId, ManufacturerTrust, State as Life,
};
use vouchsafe_trust::cms;
use vouchsafe_trust::{Anchors, Certificate, PathRules, Usage};

use super::Caller;
use super::problem::{Failure, accepted, bad_request};
use super::request::{Asked, DryRunQuery, RawBody, from_json, media_type, unsupported};
use crate::controller::{Controller, Fault};

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
    let actor = caller.actor();
    let content = &manifest.content;
    for (index, lines) in content.devices.chunks(BATCH).enumerate() {
        let batch = Batch {
            controller: &controller,
            first_line: index * BATCH + 1,
            dry_run,
        };
        batch
            .run(
                lines,
                &mut result,
                |line: &ManifestDevice, existing| {
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
                        key: None,
                    };
                    Step::Decided(Box::new(decide::import(&facts)))
                },
                |line| (content.manufacturer.id, line.serial.clone()),
            )
            .await?;
    }
    Ok(Json(result))
}

/// A manifest that was believed, and how far its word about the manufacturer goes.
struct Believed {
    content: Manifest,
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
    if let Some(known) = known
        && known.record.trust == ManufacturerTrust::Blocked
    {
        return Err(refused(format!(
            "the manufacturer {} is blocked",
            known.record.name
        )));
    }
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
            let id = named.manufacturer.id;
            return Err(
                refused(format!("nobody decided to trust the manufacturer {id} yet")).next_step(
                    "as admin, give its two roots: `--anchor root-ca.pem --anchor masa-ca.pem`",
                ),
            );
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
    Ok(Believed {
        content,
        by_admin: given.is_some(),
    })
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
                return Ok(Outcome {
                    decision: Decision::Accept(wanted),
                    commit: Commit::default(),
                });
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
                |line: &ImportDevice, existing| claim_line(&controller, &actor, line, existing),
                |line| {
                    let id = line.manufacturer.parse().unwrap_or(ManufacturerId([0; 16]));
                    (id, line.serial.clone())
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

fn claim_line(
    controller: &Controller,
    actor: &Actor,
    line: &ImportDevice,
    existing: Option<&Device>,
) -> Step {
    let Ok(manufacturer) = ManufacturerId::parse(&line.manufacturer) else {
        return Step::Unreadable("bad-manufacturer", "`manufacturer` is no id of 32 digits");
    };
    let idevid_sha256 = match line.idevid_sha256.as_deref().map(Digest::parse) {
        None => None,
        Some(Ok(digest)) => Some(digest),
        Some(Err(_)) => {
            return Step::Unreadable("bad-digest", "`idevid_sha256` is no digest of 64 digits");
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
            return Step::Unreadable(
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

/// What becomes of one line.
enum Step {
    /// A decision, with what to store.
    Decided(Box<Outcome<Device>>),
    /// Nothing to do.
    Unchanged,
    /// The line says nothing that could be decided: code and sentence.
    Unreadable(&'static str, &'static str),
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
        decide: impl Fn(&L, Option<&Device>) -> Step,
        names: impl Fn(&L) -> (ManufacturerId, String),
    ) -> Result<(), Failure> {
        for _ in 0..MAX_ATTEMPTS {
            let mut counted = nothing();
            let mut all = Commit::default();
            let mut seen = std::collections::BTreeSet::new();
            for (index, line) in lines.iter().enumerate() {
                let (manufacturer, serial) = names(line);
                let id = DeviceId::new(manufacturer, &serial);
                let existing = self.controller.store.device(id).await?;
                let step = match seen.insert(id) {
                    true => decide(line, existing.as_ref()),
                    false => Step::Unreadable("twice", "the device stands twice in the list"),
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
                        refuse(&mut counted, number, serial, code, detail);
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
