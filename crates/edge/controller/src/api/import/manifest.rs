//! A manufacturer's signed manifest. It is believed in this order:
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
use vouchsafe_api::route::APPLICATION_CMS;
use vouchsafe_api::{Code, ImportManifest, ImportResult, Problem, Role, Warning};
use vouchsafe_fleet::decide::wifi::ImportKey;
use vouchsafe_fleet::decide::{self, ImportFacts, Outcome};
use vouchsafe_fleet::manifest::{MAX_MANIFEST, Manifest};
use vouchsafe_fleet::{
    Actor, ChainHead, DeviceId, Digest, Evidence, ManifestDevice, Manufacturer, ManufacturerId,
    ManufacturerTrust,
};
use vouchsafe_trust::cms;
use vouchsafe_trust::{Anchors, Certificate, PathRules, Usage};

use super::batch::{BATCH, Batch, Step, nothing};
use crate::api::Caller;
use crate::api::key::ReadKey;
use crate::api::label::Label;
use crate::api::problem::{Failure, accepted, bad_request};
use crate::api::request::{Asked, DryRunQuery, RawBody, from_json, media_type, unsupported};
use crate::controller::{Controller, Fault};

/// Room for signature and certificates around a manifest of the largest size, in bytes.
const ENVELOPE: usize = 64 * 1024;

pub(in crate::api) async fn import_manifest(
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
    // RFC 5280 §4.2.1.12: not by the listener of the MASA, which often hangs below the same root.
    if proved.signer.is_for_tls_alone() && proved.path.len() > 1 {
        return Err(refused(
            "it is signed with a certificate that is for TLS alone",
        ));
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
