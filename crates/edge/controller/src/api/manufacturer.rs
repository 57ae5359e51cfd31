//! Manufacturers, and how far each is trusted.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use vouchsafe_api::{
    AddManufacturer, Code, IfMatch, Manufacturer, ManufacturerTrust, Page, PageQuery, Problem,
    SetTrust, Version,
};
use vouchsafe_fleet::{IdevidRules, ManufacturerId, ManufacturerTrust as Trust, decide};
use vouchsafe_trust::Certificate;

use super::device::add_reason;
use super::problem::{Failure, accepted, bad_request};
use super::request::{Asked, Body, after, name, optional_reason, reason};
use super::{Caller, page, pem_of, signed};
use crate::controller::Controller;

/// Anchors of one manufacturer.
const MAX_ANCHORS: usize = 16;

/// Longest MASA address in bytes.
const MAX_URL: usize = 512;

type Tagged = (Version, Json<Manufacturer>);

pub(super) async fn list_manufacturers(
    State(controller): State<Controller>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Page<Manufacturer>>, Failure> {
    let limit = query.effective_limit();
    let behind = after::<ManufacturerId>(query.after.as_deref())?;
    let records = controller.store.manufacturers(behind, limit).await?;
    Ok(Json(page(
        records,
        limit,
        |record| record.id.to_string(),
        shown,
    )))
}

pub(super) async fn show_manufacturer(
    State(controller): State<Controller>,
    Path(id): Path<String>,
) -> Result<Tagged, Failure> {
    Ok(tagged(find(&controller, &id).await?))
}

pub(super) async fn add_manufacturer(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Body(add): Body<AddManufacturer>,
) -> Result<(StatusCode, Version, Json<Manufacturer>), Failure> {
    let name = name(&add.name)?;
    let said = optional_reason(add.reason.as_deref())?;
    let anchors = anchors("anchors_pem", &add.anchors_pem)?;
    let id = anchors
        .first()
        .map(|anchor| ManufacturerId::of_anchor(anchor.public_key().spki_der()))
        .ok_or_else(|| bad_request("`anchors_pem` holds no certificate"))?;
    let ders = |certificates: &[Certificate]| -> Vec<Vec<u8>> {
        certificates
            .iter()
            .map(|each| each.der().to_vec())
            .collect()
    };
    let masa_anchors = match add.masa_anchors_pem.as_deref() {
        Some(pem) => ders(&self::anchors("masa_anchors_pem", pem)?),
        None => ders(&anchors),
    };
    if add
        .masa_url
        .as_ref()
        .is_some_and(|url| url.is_empty() || url.len() > MAX_URL)
    {
        return Err(bad_request(format!("`masa_url` must have 1 to {MAX_URL} bytes")).into());
    }
    let outcome = controller
        .settle_as(async || {
            let existing = controller.store.manufacturer(id).await?;
            // One that only showed itself is no more than a name: this is the word that counts.
            if existing
                .as_ref()
                .is_some_and(|record| record.trust != Trust::Seen)
            {
                let known = format!("the manufacturer {id} is known already");
                return Err(Failure(
                    Problem::new(Code::AlreadyExists, known)
                        .next_step("change its trust with `vouchsafe manufacturer trust`"),
                ));
            }
            let now = controller.clock.now();
            let wanted = vouchsafe_fleet::Manufacturer {
                id,
                name: name.clone(),
                anchors: ders(&anchors),
                masa_url: add.masa_url.clone(),
                masa_anchors: masa_anchors.clone(),
                trust: stored_trust(add.trust),
                idevid_rules: IdevidRules::default(),
                version: 0,
                created_at: now,
                updated_at: now,
            };
            let mut outcome =
                decide::put_manufacturer(now, &caller.actor(), existing.as_ref(), wanted);
            add_reason(&mut outcome, said.as_ref());
            Ok(outcome)
        })
        .await?;
    let record = accepted(outcome.decision)?;
    controller.reload_manufacturers().await?;
    let (version, body) = tagged(record);
    Ok((StatusCode::CREATED, version, body))
}

pub(super) async fn set_manufacturer_trust(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Body(set): Body<SetTrust>,
) -> Result<Tagged, Failure> {
    let said = reason(&set.reason)?;
    let if_match = IfMatch::from_headers(&headers)?;
    let outcome = controller
        .settle_as::<_, Failure, _, _>(async || {
            let record = find(&controller, &id).await?;
            if_match.require(Version(signed(record.version)))?;
            let mut wanted = vouchsafe_fleet::Manufacturer {
                trust: stored_trust(set.trust),
                ..record.clone()
            };
            if wanted.masa_anchors.is_empty() {
                // Its own root answers for its MASA unless somebody says otherwise.
                wanted.masa_anchors = wanted.anchors.clone();
            }
            let now = controller.clock.now();
            let mut outcome = decide::put_manufacturer(now, &caller.actor(), Some(&record), wanted);
            add_reason(&mut outcome, Some(&said));
            Ok(outcome)
        })
        .await?;
    let record = accepted(outcome.decision)?;
    controller.reload_manufacturers().await?;
    Ok(tagged(record))
}

async fn find(controller: &Controller, id: &str) -> Result<vouchsafe_fleet::Manufacturer, Failure> {
    let found = match ManufacturerId::parse(id) {
        Ok(parsed) => controller.store.manufacturer(parsed).await?,
        Err(_) => None,
    };
    found.ok_or_else(|| Problem::not_found("maker", id).into())
}

fn anchors(field: &str, pem: &str) -> Result<Vec<Certificate>, Problem> {
    let certificates = Certificate::many_from_pem(pem)
        .map_err(|error| bad_request(format!("`{field}` cannot be read: {error}")))?;
    if certificates.is_empty() || certificates.len() > MAX_ANCHORS {
        return Err(bad_request(format!(
            "`{field}` must hold 1 to {MAX_ANCHORS} certificates"
        )));
    }
    Ok(certificates)
}

fn tagged(record: vouchsafe_fleet::Manufacturer) -> Tagged {
    (Version(signed(record.version)), Json(shown(record)))
}

fn shown(record: vouchsafe_fleet::Manufacturer) -> Manufacturer {
    let pem = |ders: &[Vec<u8>]| ders.iter().map(|der| pem_of(der)).collect::<String>();
    let differ = !record.masa_anchors.is_empty() && record.masa_anchors != record.anchors;
    Manufacturer {
        id: record.id.to_string(),
        name: record.name,
        trust: shown_trust(record.trust),
        anchors_pem: pem(&record.anchors),
        masa_url: record.masa_url,
        masa_anchors_pem: differ.then(|| pem(&record.masa_anchors)),
        created_at: record.created_at,
        updated_at: record.updated_at,
        version: signed(record.version),
    }
}

fn shown_trust(trust: Trust) -> ManufacturerTrust {
    match trust {
        Trust::Unknown => ManufacturerTrust::Unknown,
        Trust::Seen => ManufacturerTrust::Seen,
        Trust::PlainEst => ManufacturerTrust::PlainEst,
        Trust::VoucherRequired => ManufacturerTrust::VoucherRequired,
        Trust::Blocked => ManufacturerTrust::Blocked,
    }
}

fn stored_trust(trust: ManufacturerTrust) -> Trust {
    match trust {
        ManufacturerTrust::Unknown => Trust::Unknown,
        ManufacturerTrust::Seen => Trust::Seen,
        ManufacturerTrust::PlainEst => Trust::PlainEst,
        ManufacturerTrust::VoucherRequired => Trust::VoucherRequired,
        ManufacturerTrust::Blocked => Trust::Blocked,
    }
}
