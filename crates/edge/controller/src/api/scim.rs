//! Devices from an order system: SCIM (RFC 7644) with the schema for devices and its extension for
//! Wi-Fi Easy Connect (RFC 9944).
//!
//! Only creating is here. What became of a device is read and changed by this site's own routes:
//! an order system orders, it does not operate. The key is read and never answered.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use vouchsafe_api::route::SCIM_JSON;
use vouchsafe_api::{Problem, ScimDevice, ScimDpp, ScimMeta};
use vouchsafe_dpp::BootstrappingPublicKey;
use vouchsafe_dpp::uri::{BootstrappingUri, Channel, MAX_CHANNELS};
use vouchsafe_fleet::Device;
use vouchsafe_fleet::wifi::{DeviceRole, KeySource};

use super::Caller;
use super::key::{ReadClaim, ReadKey, take};
use super::problem::{Failure, bad_request};
use super::request::{RawBody, from_json, media_type, optional_reason, unsupported};
use crate::controller::Controller;

/// Highest version of the protocol that there is.
const HIGHEST_VERSION: u32 = 3;

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
    let location = format!("/api/v1/devices/{}", device.id);
    let answered = ScimDevice {
        id: Some(device.id.to_string()),
        dpp: Some(ScimDpp {
            bootstrap_key: None,
            ..dpp.clone()
        }),
        meta: Some(ScimMeta {
            resource_type: "Device".to_owned(),
            created: device.created_at,
            last_modified: device.updated_at,
            location: location.clone(),
        }),
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
