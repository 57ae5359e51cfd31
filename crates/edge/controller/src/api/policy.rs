//! The policy: showing, trying and replacing it.
//!
//! A policy is read and tried before it is stored, and stored before it is in force. One that
//! cannot be read changes nothing.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::{Extension, Json};
use vouchsafe_api::{
    CheckPolicy, Code, Decision, DryRun, DryRunChange, DryRunPolicy, IfMatch, PolicyCheck,
    PolicyFault, Problem, PutPolicy, Version,
};
use vouchsafe_fleet::policy::{
    Answer, Input, Onboarding, Policy, PolicyError, RequestKind, Verdict,
};
use vouchsafe_fleet::{Claim, Device, Manufacturer, ManufacturerId, decide};
use vouchsafe_store::{DeviceFilter, DeviceKey};

use super::Caller;
use super::device::{add_reason, shown_state};
use super::problem::{Failure, accepted};
use super::request::{Body, reason};
use crate::controller::{Controller, Fault};

/// Devices read at once for a dry run.
const PAGE: u32 = 500;

/// Devices asked about in one dry run.
const MAX_EVALUATED: u64 = 100_000;

type Tagged = (Version, Json<vouchsafe_api::Policy>);

pub(super) async fn show_policy(State(controller): State<Controller>) -> Result<Tagged, Failure> {
    in_force(&controller).await
}

pub(super) async fn put_policy(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Body(put): Body<PutPolicy>,
) -> Result<Tagged, Failure> {
    let said = reason(&put.reason)?;
    let if_match = IfMatch::from_headers(&headers)?;
    // One at a time: between the look at the version and the commit nobody else gets in.
    let _turn = controller.policy_turn.lock().await;
    let (current, _) = in_force(&controller).await?;
    if_match.require(current)?;
    let outcome = controller
        .settle(async || {
            let now = controller.clock.now();
            let before = controller.store.policy().await?.map(|before| before.since);
            let mut outcome = decide::put_policy(now, &caller.actor(), before, &put.rego);
            add_reason(&mut outcome, Some(&said));
            Ok(outcome)
        })
        .await?;
    let policy = accepted(outcome.decision).map_err(|problem| {
        Problem::new(Code::PolicyRefused, problem.detail)
            .next_step("`vouchsafe policy check FILE` shows what is wrong and where")
    })?;
    controller.set_policy(policy);
    in_force(&controller).await
}

pub(super) async fn check_policy(Body(check): Body<CheckPolicy>) -> Json<PolicyCheck> {
    let faults: Vec<PolicyFault> = match Policy::load(&check.rego) {
        Ok(_) => Vec::new(),
        Err(error) => vec![fault(&error)],
    };
    Json(PolicyCheck {
        ok: faults.is_empty(),
        faults,
    })
}

pub(super) async fn dry_run_policy(
    State(controller): State<Controller>,
    Body(proposal): Body<DryRunPolicy>,
) -> Result<Json<DryRun>, Failure> {
    let proposed = Policy::load(&proposal.rego)
        .map_err(|error| Problem::new(Code::PolicyRefused, error.to_string()))?;
    let proposed = Arc::new(proposed);
    let in_force = controller.policy();
    let mut result = DryRun {
        evaluated: 0,
        cut_off: 0,
        changed: 0,
        changes: Vec::new(),
    };
    let everything = DeviceFilter::default();
    let mut last: Option<DeviceKey> = None;
    while result.evaluated < MAX_EVALUATED {
        let store = &controller.store;
        let devices = store.devices(&everything, last.as_ref(), PAGE).await?;
        let Some(end) = devices.last() else { break };
        last = Some(DeviceKey::of(end));
        let mut cases = Vec::with_capacity(devices.len());
        let catalogue = controller.manufacturers.current();
        for device in devices {
            let about = controller.claims_about(&device).await?;
            if !about.is_whole {
                // No policy is asked about it: it is denied before and after.
                result.evaluated += 1;
                continue;
            }
            let known = catalogue.manufacturer(device.manufacturer);
            let manufacturer = known.map(|known| known.record.clone());
            cases.push(Case {
                device,
                manufacturer,
                claims: about.claims,
            });
        }
        let now = controller.clock.now();
        let (before, after) = (Arc::clone(&in_force), Arc::clone(&proposed));
        let judging = tokio::task::spawn_blocking(move || {
            cases
                .into_iter()
                .map(|case| {
                    let input = case.input(now);
                    let verdicts = (before.evaluate(&input), after.evaluate(&input));
                    (case, verdicts)
                })
                .collect::<Vec<_>>()
        });
        let judged = judging
            .await
            .map_err(|error| Fault::Sign(error.to_string()))?;
        for (case, (before, after)) in judged {
            result.evaluated += 1;
            count(&mut result, case.device, &before, &after);
        }
    }
    result
        .changes
        .sort_by_key(|change| !cuts_off(change.now, change.then));
    Ok(Json(result))
}

/// One device as both policies see it.
struct Case {
    device: Device,
    manufacturer: Option<Manufacturer>,
    claims: Vec<Claim>,
}

impl Case {
    fn input(&self, now: jiff::Timestamp) -> Input<'_> {
        Input {
            now,
            request: RequestKind::Review,
            device: Some(&self.device),
            manufacturer: self.manufacturer.as_ref(),
            onboarding: (self.device.manufacturer == ManufacturerId::NONE)
                .then_some(Onboarding::LABEL),
            address: None,
            claims: &self.claims,
        }
    }
}

fn count(result: &mut DryRun, device: Device, before: &Verdict, after: &Verdict) {
    if before.answer == after.answer {
        return;
    }
    let (now, then) = (decision(&before.answer), decision(&after.answer));
    result.changed += 1;
    let cut = cuts_off(now, then);
    if cut {
        result.cut_off += 1;
    }
    let change = DryRunChange {
        device: device.id.to_string(),
        serial: device.serial,
        state: shown_state(device.state),
        now,
        then,
        reasons: after
            .reasons
            .iter()
            .map(|reason| reason.code.clone())
            .collect(),
    };
    if result.changes.len() < DryRun::MAX_CHANGES {
        result.changes.push(change);
    } else if cut
        && let Some(place) = result
            .changes
            .iter_mut()
            .find(|kept| !cuts_off(kept.now, kept.then))
    {
        *place = change;
    }
}

fn cuts_off(now: Decision, then: Decision) -> bool {
    now != Decision::Deny && then == Decision::Deny
}

fn decision(answer: &Answer) -> Decision {
    match answer {
        Answer::Allow { .. } => Decision::Allow,
        Answer::Wait { .. } => Decision::Wait,
        Answer::Deny => Decision::Deny,
    }
}

async fn in_force(controller: &Controller) -> Result<Tagged, Failure> {
    let shown = match controller.store.policy().await? {
        Some(record) => vouchsafe_api::Policy {
            sha256: record.id.to_string(),
            rego: record.text,
            updated_at: record.since,
            updated_by: record.by,
            version: record.since.as_millisecond(),
        },
        None => {
            let policy = controller.policy();
            let by_file = controller.config.policy.file.is_some();
            vouchsafe_api::Policy {
                rego: policy.text().to_owned(),
                sha256: policy.id().to_string(),
                updated_at: controller.started_at,
                updated_by: if by_file { "configuration" } else { "default" }.to_owned(),
                version: 0,
            }
        }
    };
    Ok((Version(shown.version), Json(shown)))
}

/// What is wrong, and where, as far as the engine's message says.
fn fault(error: &PolicyError) -> PolicyFault {
    let message = error.to_string();
    // The engine points at `--> policy.rego:LINE:COLUMN`.
    let line = message
        .split_once("policy.rego:")
        .and_then(|(_, rest)| rest.split(':').next())
        .and_then(|number| number.parse().ok());
    PolicyFault { line, message }
}
