//! How far a change of a device's standing has come.
//!
//! 1. The change is durable; the desired state that says it is waited for.
//! 2. Each gate in good standing is waited for until it said that a version at least as new is in
//!    force, and none of its sessions of that device says otherwise. A gate that nobody hears of is named.
//! 3. After the wait it goes on by itself: a gate that comes back gets the same desired state.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use vouchsafe_api::{Confirmation, Enforcement};
use vouchsafe_fleet::admission::{Gate, MAX_GATES};
use vouchsafe_fleet::{DeviceId, State};

use crate::controller::{Controller, Fault};
use crate::revocation;

/// How long an answer waits for gates where nobody says, in seconds.
const WAIT: u32 = 2;

/// How long it waits at most, in seconds.
const MAX_WAIT: u32 = 30;

/// How often reports are looked for that another replica took.
pub(crate) const LOOK: Duration = Duration::from_millis(100);

/// What a change asks of gates.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// Whose standing changed.
    pub(crate) device: DeviceId,
    /// How long the answer may wait, in seconds.
    pub(crate) wait: Option<u32>,
    /// Whether something was revoked.
    pub(crate) revoked: bool,
}

/// Until when an answer waits that may wait so many seconds.
pub(crate) fn deadline(wait: Option<u32>) -> Instant {
    Instant::now() + Duration::from_secs(u64::from(wait.unwrap_or(WAIT).min(MAX_WAIT)))
}

/// Steps 1 to 3, after the commit.
///
/// # Errors
/// [`Fault`]; the change itself stands.
pub(crate) async fn enforcement(
    controller: &Controller,
    wanted: Wanted,
) -> Result<Enforcement, Fault> {
    let begun = Instant::now();
    let end = deadline(wanted.wait);
    let device = controller.store.device(wanted.device).await?;
    let state = device.as_ref().map(|device| device.state);
    let mut answer = Enforcement {
        est_open: matches!(
            state,
            Some(State::Claimed | State::Onboarding | State::Onboarded)
        ),
        dpp_open: matches!(
            state,
            Some(State::Claimed | State::Onboarding | State::Onboarded)
        ),
        ..Enforcement::default()
    };
    if wanted.revoked {
        answer.crl_number = Some(revocation::crl(controller).await?.number);
    }
    let mut waiting = in_service(controller).await?;
    if waiting.is_empty() {
        return Ok(answer);
    }
    // 1
    let position = controller.store.position();
    let mut progress = controller.gates.subscribe();
    let told = timeout_at(end, progress.wait_for(|it| it.position >= position)).await;
    let Some(version) = told.ok().and_then(Result::ok).map(|it| it.version) else {
        answer.waiting = waiting.into_iter().map(|gate| gate.name).collect();
        return Ok(answer);
    };
    answer.version = Some(version);
    // 2
    loop {
        let reported = controller.gates.reported.notified();
        let mut still = Vec::new();
        for gate in waiting {
            if is_confirmed(controller, &gate.name, wanted.device, version).await? {
                let taken = begun.elapsed().as_millis();
                answer.confirmed.push(Confirmation {
                    gate: gate.name,
                    milliseconds: u64::try_from(taken).unwrap_or(u64::MAX),
                });
            } else {
                still.push(gate);
            }
        }
        waiting = still;
        if waiting.is_empty() || Instant::now() >= end {
            break;
        }
        let next = end.min(Instant::now() + LOOK);
        let _ = timeout_at(next, reported).await;
    }
    // 3
    answer.waiting = waiting.into_iter().map(|gate| gate.name).collect();
    Ok(answer)
}

/// Gates that have a certificate, and trust.
async fn in_service(controller: &Controller) -> Result<Vec<Gate>, Fault> {
    let most = u32::try_from(MAX_GATES).unwrap_or(u32::MAX);
    let mut gates = controller.store.gates(None, most).await?;
    gates.retain(|gate| gate.removed_at.is_none() && gate.credential.is_some());
    Ok(gates)
}

/// Step 2 for one gate.
async fn is_confirmed(
    controller: &Controller,
    gate: &str,
    device: DeviceId,
    version: u64,
) -> Result<bool, Fault> {
    let standing = controller.store.gate_standing(gate).await?;
    let in_force = standing.and_then(|standing| standing.in_force);
    // What a version of another replica says is not known here.
    let counts = |in_force| in_force >= version && controller.gates.is_ours(in_force);
    if !in_force.is_some_and(counts) {
        return Ok(false);
    }
    let admitted = controller.gates.admitted(device);
    let sessions = controller.store.open_sessions(device, gate).await?;
    Ok(sessions.iter().all(|session| admitted.covers(session)))
}
