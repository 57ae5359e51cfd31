//! Devices from an order system: SCIM (RFC 7644) with the schema for devices and its extension for
//! Wi-Fi Easy Connect (RFC 9944).
//!
//! Order systems create records, see them, and take them back, which gives the device up. There is no
//! changing, no filter and no sorting: what else becomes of a device is this site's own business. The
//! key is read and never answered; `externalId` goes into the journal and is not answered later.
//!
//! Errors are in the form of RFC 7644 §3.12, whoever makes them.

use axum::Extension;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use vouchsafe_api::route::{Route, SCIM_JSON};
use vouchsafe_api::{
    Code, PROBLEM_JSON, Problem, ScimDevice, ScimDpp, ScimError, ScimList, ScimMeta, ScimQuery,
};
use vouchsafe_dpp::BootstrappingPublicKey;
use vouchsafe_dpp::uri::{BootstrappingUri, Channel, MAX_CHANNELS};
use vouchsafe_fleet::decide::{self, OperateFacts};
use vouchsafe_fleet::wifi::{BootstrappingKey, DeviceRole, KeySource};
use vouchsafe_fleet::{Device, Reason, State as Life};
use vouchsafe_store::KeyFilter;

use super::Caller;
use super::device::{Standing, find};
use super::key::{ReadClaim, ReadKey, take};
use super::problem::{Failure, accepted, bad_request};
use super::request::{Asked, RawBody, from_json, media_type, optional_reason, unsupported};
use crate::controller::Controller;

/// Highest version of the protocol that there is.
const HIGHEST_VERSION: u32 = 3;

/// Rows read at once.
const PAGE: u32 = 500;

/// Longest problem that is put into another form, in bytes.
const MAX_PROBLEM: usize = 64 * 1024;

pub(super) async fn claim_by_scim(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Result<Response, Failure> {
    // RFC 7644 §3.8: plain JSON is accepted as well.
    if !matches!(
        media_type(&headers).as_str(),
        SCIM_JSON | "application/json"
    ) {
        return Err(unsupported(SCIM_JSON).into());
    }
    let asked: ScimDevice = from_json(&body)?;
    let (claim, dpp) = read(&asked)?;
    let said = asked
        .external_id
        .as_ref()
        .map(|id| format!("order system: {id}"));
    let said = optional_reason(said.as_deref())?;
    let (claimed, _) = take(&controller, &caller, &claim, None, said).await?;
    answer(&asked, dpp, &claimed.device)
}

pub(super) async fn list_scim_devices(
    State(controller): State<Controller>,
    Asked(query): Asked<ScimQuery>,
) -> Result<Response, Failure> {
    if query.filter.is_some() {
        // RFC 7644 §3.4.2.2: a filter that is not understood is refused, not passed over.
        return Err(bad_request("`filter` is not supported").into());
    }
    // RFC 7644 §3.4.2.4: less than 1 is taken for 1.
    let start_index = query.start_index.unwrap_or(1).max(1);
    let count = query.count.map_or(ScimQuery::MAX_COUNT, |count| {
        count.min(ScimQuery::MAX_COUNT)
    });
    let mut list = ScimList {
        schemas: vec![ScimList::SCHEMA.to_owned()],
        total_results: 0,
        start_index,
        items_per_page: 0,
        resources: Vec::new(),
    };
    let mut behind = None;
    loop {
        let filter = KeyFilter::default();
        let keys = controller.store.bootstrapping_keys(&filter, behind, PAGE);
        let keys = keys.await?;
        behind = keys.last().map(|key| key.id);
        let full = keys.len() == PAGE as usize;
        for key in keys.iter().filter(|key| key.source == KeySource::Scim) {
            let Some(device) = controller.store.device(key.device).await? else {
                continue;
            };
            if !is_here(&device) {
                continue;
            }
            list.total_results += 1;
            if list.total_results >= start_index && (list.resources.len() as u64) < count {
                list.resources.push(record(&device, key));
            }
        }
        if !full {
            break;
        }
    }
    list.items_per_page = list.resources.len() as u64;
    written(StatusCode::OK, &list)
}

pub(super) async fn show_scim_device(
    State(controller): State<Controller>,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let (device, key) = provisioned(&controller, &id).await?;
    written(StatusCode::OK, &record(&device, &key))
}

/// RFC 7644 §3.6: the record is gone, and with it whatever the device holds here.
pub(super) async fn release_by_scim(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    let actor = caller.actor();
    let said = [Reason::new(
        "person",
        "the order system deleted its record",
        "owner policy",
    )];
    let outcome = controller
        .settle_as::<_, Failure, _, _>(async || {
            let (device, _) = provisioned(&controller, &id).await?;
            let standing = Standing::of(&controller, &device).await?;
            Ok(decide::release(&OperateFacts {
                now: controller.clock.now(),
                actor: &actor,
                device: &device,
                credentials: &standing.credentials,
                wifi: &standing.wifi,
                addresses: &standing.addresses,
                ownership: standing.ownership.as_ref(),
                reasons: &said,
                evidence: &[],
            }))
        })
        .await?;
    accepted(outcome.decision)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether a route speaks SCIM.
pub(super) fn is_scim(route: &Route) -> bool {
    route.path.starts_with("/scim/")
}

/// RFC 7644 §3.12: a problem in the form that order systems read.
pub(super) async fn error_form(response: Response) -> Response {
    let media_type = response.headers().get(header::CONTENT_TYPE);
    if media_type.is_none_or(|media_type| media_type != PROBLEM_JSON) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let body = to_bytes(body, MAX_PROBLEM).await.unwrap_or_default();
    let error = match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) => ScimError::of(&problem),
        Err(_) => ScimError::of(&Problem::new(
            Code::Internal,
            "the controller's log says more",
        )),
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    let media_type = HeaderValue::from_static(SCIM_JSON);
    parts.headers.insert(header::CONTENT_TYPE, media_type);
    let body = serde_json::to_vec(&error).unwrap_or_default();
    Response::from_parts(parts, Body::from(body))
}

/// Whether a device is somebody's here now.
fn is_here(device: &Device) -> bool {
    matches!(
        device.state,
        Life::Claimed | Life::Onboarding | Life::Onboarded | Life::Quarantined
    )
}

/// The device of this id and its key, if an order system brought it.
async fn provisioned(
    controller: &Controller,
    id: &str,
) -> Result<(Device, BootstrappingKey), Failure> {
    let device = find(controller, id).await?;
    let filter = KeyFilter {
        device: Some(device.id),
        conflicts: false,
    };
    let keys = controller.store.bootstrapping_keys(&filter, None, PAGE);
    let keys = keys.await?.into_iter();
    let mut of_orders = keys.filter(|key| key.source == KeySource::Scim);
    match of_orders.next() {
        Some(key) if is_here(&device) => Ok((device, key)),
        _ => Err(Problem::not_found("device", id).into()),
    }
}

/// What an order system sees of a device.
fn record(device: &Device, key: &BootstrappingKey) -> ScimDevice {
    let uri = BootstrappingUri::parse(&key.uri).ok();
    let channels = uri.iter().flat_map(|uri| &uri.channels);
    let mac = uri.as_ref().and_then(|uri| uri.mac);
    let dpp = ScimDpp {
        dpp_version: uri.as_ref().and_then(|uri| uri.version).unwrap_or(1).into(),
        bootstrapping_method: Vec::new(),
        bootstrap_key: None,
        device_mac_address: mac.map(|mac| {
            let pairs: Vec<String> = mac.iter().map(|byte| format!("{byte:02X}")).collect();
            pairs.join(":")
        }),
        class_channel: channels
            .map(|one| format!("{}/{}", one.operating_class, one.number))
            .collect(),
        serial_number: Some(device.serial.clone()),
    };
    ScimDevice {
        schemas: vec![ScimDevice::CORE.to_owned(), ScimDevice::DPP.to_owned()],
        id: Some(device.id.to_string()),
        external_id: None,
        display_name: device.model.clone(),
        active: device.state != Life::Quarantined,
        mud_url: device.mud_url.clone(),
        dpp: Some(dpp),
        meta: Some(meta(device)),
    }
}

fn meta(device: &Device) -> ScimMeta {
    ScimMeta {
        resource_type: "Device".to_owned(),
        created: device.created_at,
        last_modified: device.updated_at,
        location: format!("/scim/v2/Devices/{}", device.id),
    }
}

fn written(status: StatusCode, record: &impl serde::Serialize) -> Result<Response, Failure> {
    let body = serde_json::to_vec(record)
        .map_err(|error| crate::controller::Fault::Sign(error.to_string()))?;
    let headers = [(header::CONTENT_TYPE, SCIM_JSON)];
    Ok((status, headers, Bytes::from(body)).into_response())
}

fn read(asked: &ScimDevice) -> Result<(ReadClaim, &ScimDpp), Problem> {
    for schema in [ScimDevice::CORE, ScimDevice::DPP] {
        if !asked.schemas.iter().any(|named| named == schema) {
            return Err(bad_request(format!("`schemas` must name `{schema}`")));
        }
    }
    let dpp = asked
        .dpp
        .as_ref()
        .ok_or_else(|| bad_request(format!("`{}` is missing", ScimDevice::DPP)))?;
    if !asked.active {
        return Err(bad_request(
            "a device that is not active is not taken in: provision it when it shall be let in",
        ));
    }
    if !(1..=HIGHEST_VERSION).contains(&dpp.dpp_version) {
        return Err(bad_request(format!(
            "`dppVersion` must lie between 1 and {HIGHEST_VERSION}"
        )));
    }
    let claim = ReadClaim {
        key: ReadKey::of_information(&information(dpp)?),
        // A serial number alone names no device: nobody knows in whose numbering it stands.
        identity: None,
        label: dpp.serial_number.clone(),
        model: asked.display_name.clone(),
        mud_url: asked.mud_url.clone(),
        segment: None,
        role: DeviceRole::Station,
        source: KeySource::Scim,
    };
    Ok((claim, dpp))
}

/// The extension as the URI that says the same.
fn information(dpp: &ScimDpp) -> Result<BootstrappingUri, Problem> {
    let wrong = |name: &str, why: &dyn std::fmt::Display| bad_request(format!("`{name}`: {why}"));
    let key = dpp
        .bootstrap_key
        .as_deref()
        .ok_or_else(|| wrong("bootstrapKey", &"is missing"))?;
    let der = STANDARD
        .decode(key.trim())
        .map_err(|_| wrong("bootstrapKey", &"is not base64"))?;
    let key = BootstrappingPublicKey::from_spki_der(&der)
        .map_err(|error| wrong("bootstrapKey", &error))?;
    let mut uri = BootstrappingUri::new(key);
    uri.version = u8::try_from(dpp.dpp_version).ok();
    if let Some(text) = &dpp.device_mac_address {
        let mac =
            mac(text).ok_or_else(|| wrong("deviceMacAddress", &"is no address of a radio"))?;
        uri.mac = Some(mac);
    }
    for text in &dpp.class_channel {
        let channel = channel(text)
            .filter(|_| uri.channels.len() < MAX_CHANNELS)
            .ok_or_else(|| wrong("classChannel", &"holds no pairs like `81/1`, or too many"))?;
        uri.channels.push(channel);
    }
    Ok(uri)
}

/// Six pairs of hexadecimal digits between colons.
fn mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut pairs = text.split(':');
    for byte in &mut mac {
        let pair = pairs.next().filter(|pair| pair.len() == 2)?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    pairs.next().is_none().then_some(mac)
}

/// Operating class and channel.
fn channel(text: &str) -> Option<Channel> {
    let (class, number) = text.split_once('/')?;
    Some(Channel {
        operating_class: class.parse().ok()?,
        number: number.parse().ok()?,
    })
}

/// RFC 7644 §3.3: 201, the resource, and where it is.
fn answer(asked: &ScimDevice, dpp: &ScimDpp, device: &Device) -> Result<Response, Failure> {
    let meta = meta(device);
    let location = meta.location.clone();
    let answered = ScimDevice {
        id: Some(device.id.to_string()),
        dpp: Some(ScimDpp {
            bootstrap_key: None,
            ..dpp.clone()
        }),
        meta: Some(meta),
        ..asked.clone()
    };
    let body = serde_json::to_vec(&answered)
        .map_err(|error| crate::controller::Fault::Sign(error.to_string()))?;
    let headers = [
        (header::CONTENT_TYPE, SCIM_JSON.to_owned()),
        (header::LOCATION, location),
    ];
    Ok((StatusCode::CREATED, headers, Bytes::from(body)).into_response())
}
