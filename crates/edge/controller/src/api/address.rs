//! What is said of a device: MAC addresses by which it may come in, and statements for policy to judge.
//!
//! Policy is asked about an address before the answer goes out, so that it tells whether the device may come
//! in by it.

use axum::Extension;
use axum::extract::{Path, State};
use vouchsafe_api::{
    ClaimAddress, DeviceAddress, DeviceClaim, RemoveAddress, StateClaim, WaitQuery,
};
use vouchsafe_fleet::admission::MacAddress;
use vouchsafe_fleet::decide::admission::{
    ClaimAddressFacts, claim_address as decide_claim, remove_address as decide_remove,
};
use vouchsafe_fleet::decide::{self, Outcome, PERSON, StatementFacts};
use vouchsafe_fleet::{ClaimSubject, DeviceId, Reason, Refusal};

use super::Caller;
use super::device::{Tagged, enforced, find, tagged};
use super::problem::{Failure, accepted, bad_request};
use super::request::{Asked, Body, optional_reason, reason};
use crate::controller::Controller;
use crate::review;

pub(super) async fn claim_address(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Body(claim): Body<ClaimAddress>,
) -> Result<Tagged, Failure> {
    let mac = mac(&claim.mac)?;
    let reasons: Vec<Reason> = optional_reason(claim.reason.as_deref())?
        .into_iter()
        .collect();
    let actor = caller.actor();
    let outcome = controller
        .settle_as::<_, Failure, _, _>(async || {
            let device = find(&controller, &id).await?;
            Ok(decide_claim(&ClaimAddressFacts {
                now: controller.clock.now(),
                actor: &actor,
                device: &device,
                mac,
                known: controller.store.address(mac).await?.as_ref(),
                count: controller.store.addresses(device.id).await?.len(),
                reasons: &reasons,
            }))
        })
        .await?;
    let address = accepted(outcome.decision)?;
    review::by_address(&controller, address.device).await?;
    tagged(&controller, find(&controller, &id).await?).await
}

pub(super) async fn remove_address(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Asked(wait): Asked<WaitQuery>,
    Body(remove): Body<RemoveAddress>,
) -> Result<Tagged, Failure> {
    let mac = mac(&remove.mac)?;
    let said = reason(&remove.reason)?;
    let actor = caller.actor();
    let outcome = controller
        .settle_as::<_, Failure, _, _>(async || {
            let device = find(&controller, &id).await?;
            let known = controller.store.address(mac).await?;
            Ok(match known.filter(|known| known.device == device.id) {
                Some(known) => decide_remove(controller.clock.now(), &actor, &known, &said),
                None => Outcome::nobody(Refusal::AddressUnknown),
            })
        })
        .await?;
    accepted(outcome.decision)?;
    enforced(&controller, find(&controller, &id).await?, wait, false).await
}

pub(super) async fn state_claim(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Body(claim): Body<StateClaim>,
) -> Result<Tagged, Failure> {
    let said = reason(&claim.reason)?;
    let actor = caller.actor();
    let outcome = controller
        .settle_as::<_, Failure, _, _>(async || {
            let device = find(&controller, &id).await?;
            let subject = ClaimSubject::Device { id: device.id };
            let now = controller.clock.now();
            let store = &controller.store;
            let before = store.claim(&subject, &claim.kind, PERSON).await?;
            Ok(decide::state(&StatementFacts {
                now,
                actor: &actor,
                device: &device,
                kind: &claim.kind,
                value: &claim.value,
                expires_at: claim.expires_at,
                before: before.as_ref(),
                count: store.claims_count(&subject, PERSON, now).await?,
                reason: &said,
            }))
        })
        .await?;
    accepted(outcome.decision)?;
    let device = find(&controller, &id).await?;
    review::by_address(&controller, device.id).await?;
    controller
        .reviews
        .claims_changed(device.id, controller.clock.now());
    tagged(&controller, device).await
}

/// The address that somebody wrote.
pub(super) fn mac(text: &str) -> Result<MacAddress, Failure> {
    MacAddress::parse(text.trim())
        .map_err(|_| bad_request("`mac` must have twelve hexadecimal digits").into())
}

/// The addresses that are claimed for a device.
pub(super) async fn of_device(
    controller: &Controller,
    device: DeviceId,
) -> Result<Vec<DeviceAddress>, Failure> {
    let now = controller.clock.now();
    let addresses = controller.store.addresses(device).await?;
    let mut holds_credential = false;
    if addresses.iter().any(|address| address.grant.is_some()) {
        holds_credential = controller.holds_credential(device).await?;
    }
    let shown = addresses.into_iter().map(|address| {
        let grant = address.granted(now);
        let grant = grant.filter(|grant| grant.despite_credential || !holds_credential);
        DeviceAddress {
            mac: address.mac.to_string(),
            admitted: grant.is_some(),
            segment: grant.and_then(|grant| grant.segment.clone()),
            expires_at: grant.map(|grant| grant.expires_at),
            by: address.by.clone(),
            claimed_at: address.claimed_at,
            reasons: address.reasons.iter().map(|it| it.code.clone()).collect(),
            conflict: address.conflict.map(|it| it.device.to_string()),
        }
    });
    Ok(shown.collect())
}

/// All that policy gets to see of what is claimed about a device.
pub(super) async fn claims_about(
    controller: &Controller,
    device: &vouchsafe_fleet::Device,
) -> Result<Vec<DeviceClaim>, Failure> {
    let now = controller.clock.now();
    let mut claims = controller.claims_about(device).await?.claims;
    claims.retain(|claim| claim.is_current(now));
    let shown = claims.into_iter().map(|claim| DeviceClaim {
        subject: claim.subject.kind().as_str().to_owned(),
        strength: claim.strength.as_str().to_owned(),
        issuer: claim.issuer,
        kind: claim.kind,
        value: claim.value,
        issued_at: claim.issued_at,
        expires_at: claim.expires_at,
    });
    Ok(shown.collect())
}
