//! Devices from an order system: SCIM (RFC 7644) with the schema for devices and its extension for
//! Wi-Fi Easy Connect (RFC 9944).
//!
//! Order systems create records, see them, say that a device shall be out or in again (`active`), and
//! take them back, which gives the device up. What else becomes of a device is this site's own business:
//! every other attribute is said once. The key is read and never answered; `externalId` goes into the
//! journal and is not answered later.
//!
//! A record's id stays what it was when its device is found to be another one, by its manufacturer's
//! manifest (`docs/decisions/0024`): it is computed from the key.
//!
//! Errors are in the form of RFC 7644 §3.12, whoever makes them.

mod discovery;
mod filter;
mod patch;

use axum::Extension;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use vouchsafe_api::route::{Route, SCIM_JSON};
use vouchsafe_api::{
    Code, PROBLEM_JSON, Problem, ScimDevice, ScimDpp, ScimError, ScimList, ScimMeta, ScimPatch,
    ScimQuery,
};
use vouchsafe_dpp::BootstrappingPublicKey;
use vouchsafe_dpp::uri::{BootstrappingUri, Channel, MAX_CHANNELS};
use vouchsafe_fleet::decide::{self, OperateFacts, Outcome};
use vouchsafe_fleet::wifi::{BootstrappingKey, DeviceRole, KeySource};
use vouchsafe_fleet::{Device, DeviceId, Digest, Reason, State as Life};
use vouchsafe_store::KeyFilter;

pub(super) use discovery::{
    list_scim_resource_types, list_scim_schemas, show_scim_config, show_scim_resource_type,
    show_scim_schema,
};
use filter::Filter;

use super::Caller;
use super::device::Standing;
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
    if !speaks_scim(&headers) {
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
    answer(&asked, dpp, &claimed.device, &claimed.key)
}

pub(super) async fn list_scim_devices(
    State(controller): State<Controller>,
    Asked(query): Asked<ScimQuery>,
) -> Result<Response, Failure> {
    let filter = match query.filter.as_deref().map(Filter::read).transpose() {
        Ok(filter) => filter,
        Err(refused) => return refused.answer(),
    };
    // RFC 7644 §3.4.2.4: less than 1 is taken for 1, and fewer than none for none.
    let start_index = query.start_index.map_or(1, at_least_none).max(1);
    let count = query.count.map_or(ScimQuery::MAX_COUNT, |count| {
        at_least_none(count).min(ScimQuery::MAX_COUNT)
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
        let keys = every_key(&controller, behind).await?;
        behind = keys.last().map(|key| key.id);
        let full = keys.len() == PAGE as usize;
        for key in keys.iter().filter(|key| key.source == KeySource::Scim) {
            let Some(device) = controller.store.device(key.device).await? else {
                continue;
            };
            if !is_here(&device) {
                continue;
            }
            let record = record(&device, key);
            if filter.as_ref().is_some_and(|filter| !filter.takes(&record)) {
                continue;
            }
            list.total_results += 1;
            if list.total_results >= start_index && (list.resources.len() as u64) < count {
                list.resources.push(record);
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
    let said = "the order system deleted its record";
    operate(&controller, &caller, &id, said, decide::release).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// RFC 7644 §3.5.2: all operations, or none.
pub(super) async fn change_by_scim(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Result<Response, Failure> {
    if !speaks_scim(&headers) {
        return Err(unsupported(SCIM_JSON).into());
    }
    let asked: ScimPatch = from_json(&body)?;
    let (device, key) = provisioned(&controller, &id).await?;
    let before = record(&device, &key);
    let wanted = match patch::wanted(&asked, &before) {
        Ok(wanted) => wanted,
        Err(refused) => return refused.answer(),
    };
    let decide: fn(&OperateFacts<'_>) -> Outcome<Device> = match wanted {
        Some(true) if !before.active => decide::restore,
        Some(false) if before.active => decide::quarantine,
        Some(_) | None => return written(StatusCode::OK, &before),
    };
    let said = "the order system changed `active` of its record";
    let device = operate(&controller, &caller, &id, said, decide).await?;
    written(StatusCode::OK, &record(&device, &key))
}

/// What the order system wants of a device, on what is known of it now.
async fn operate(
    controller: &Controller,
    caller: &Caller,
    id: &str,
    said: &str,
    decide: fn(&OperateFacts<'_>) -> Outcome<Device>,
) -> Result<Device, Failure> {
    let actor = caller.actor();
    let said = [Reason::new("person", said, "owner policy")];
    let outcome = controller
        .settle_as::<_, Failure, _, _>(async || {
            let (device, _) = provisioned(controller, id).await?;
            let standing = Standing::of(controller, &device).await?;
            Ok(decide(&OperateFacts {
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
    Ok(accepted(outcome.decision)?)
}

/// A request that RFC 7644 §3.12 has a word for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Refused {
    /// `scimType`.
    kind: &'static str,
    detail: String,
}

impl Refused {
    fn answer(self) -> Result<Response, Failure> {
        let error = ScimError {
            schemas: vec![ScimError::SCHEMA.to_owned()],
            status: StatusCode::BAD_REQUEST.as_str().to_owned(),
            scim_type: Some(self.kind.to_owned()),
            detail: self.detail,
        };
        written(StatusCode::BAD_REQUEST, &error)
    }
}

/// Whether a path names this attribute (RFC 7644 §3.10): in any case, with or without its schema.
fn named(path: &str, name: &str, of_extension: bool) -> bool {
    let schema = match of_extension {
        true => ScimDevice::DPP,
        false => ScimDevice::CORE,
    };
    let short = path
        .get(..schema.len())
        .filter(|begin| begin.eq_ignore_ascii_case(schema))
        .and_then(|_| path.get(schema.len()..)?.strip_prefix(':'))
        .unwrap_or(path);
    short.eq_ignore_ascii_case(name)
}

/// RFC 7644 §3.8: plain JSON is accepted as well.
fn speaks_scim(headers: &HeaderMap) -> bool {
    matches!(media_type(headers).as_str(), SCIM_JSON | "application/json")
}

fn at_least_none(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
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
    let unknown = || Problem::not_found("device", id);
    let wanted = DeviceId::parse(id).map_err(|_| unknown())?;
    // Once it is claimed, its key may belong to a device of another name.
    let found = controller.store.bootstrapping_key_by_record(wanted).await?;
    let key = found
        .filter(|key| key.source == KeySource::Scim)
        .ok_or_else(unknown)?;
    let device = controller.store.device(key.device).await?;
    let device = device.filter(is_here).ok_or_else(unknown)?;
    Ok((device, key))
}

async fn every_key(
    controller: &Controller,
    behind: Option<Digest>,
) -> Result<Vec<BootstrappingKey>, Failure> {
    let all = KeyFilter::default();
    let keys = controller.store.bootstrapping_keys(&all, behind, PAGE);
    Ok(keys.await?)
}

/// The id of the record that came with this key. A device that an order system provisions is named
/// after its key.
fn record_id(key: &BootstrappingKey) -> DeviceId {
    DeviceId::of_bootstrapping_key(key.id)
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
        id: Some(record_id(key).to_string()),
        external_id: None,
        display_name: device.model.clone(),
        active: device.state != Life::Quarantined,
        mud_url: device.mud_url.clone(),
        dpp: Some(dpp),
        meta: Some(meta(device, record_id(key))),
    }
}

fn meta(device: &Device, id: DeviceId) -> ScimMeta {
    ScimMeta {
        resource_type: "Device".to_owned(),
        created: device.created_at,
        last_modified: device.updated_at,
        location: format!("/scim/v2/Devices/{id}"),
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
fn answer(
    asked: &ScimDevice,
    dpp: &ScimDpp,
    device: &Device,
    key: &BootstrappingKey,
) -> Result<Response, Failure> {
    let id = record_id(key);
    let meta = meta(device, id);
    let location = meta.location.clone();
    let answered = ScimDevice {
        id: Some(id.to_string()),
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
