//! Many devices at once: a manufacturer's signed manifest ([`manifest`]), JSON, or CSV, of devices or of
//! bootstrapping URIs.

mod batch;
mod manifest;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::{Extension, Json};
use serde::Deserialize;
use vouchsafe_api::route::TEXT_CSV;
use vouchsafe_api::{
    ClaimByUri, Code, DeviceRole, ImportDevice, ImportDevices, ImportKeys, ImportResult, Problem,
    Warning,
};
use vouchsafe_fleet::admission::Segment;
use vouchsafe_fleet::decide::wifi::ClaimUriFacts;
use vouchsafe_fleet::decide::{self, ClaimFacts};
use vouchsafe_fleet::wifi::{KeySource, Network};
use vouchsafe_fleet::{Actor, Device, DeviceId, Digest, ManufacturerId, State as Life};

use super::key::ReadClaim;
use super::problem::{Failure, bad_request};
use super::request::{Asked, DryRunQuery, RawBody, from_json, media_type, unsupported};
use super::{Caller, network};
use crate::controller::{Controller, Fault};
use crate::gate::all_segments;
use batch::{BATCH, Batch, Step, Stored, nothing, unreadable};

pub(super) use manifest::import_manifest;

/// Devices in one list.
const MAX_DEVICES: usize = 100_000;

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
