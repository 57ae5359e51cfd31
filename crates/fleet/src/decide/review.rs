//! What policy says of a device that is in service already, asked again: evidence runs out, policies
//! and manufacturers' standing change. Trust that ended so comes back so.

use super::{Decision, OperateFacts, Outcome, quarantine, restore};
use crate::device::Device;
use crate::journal::{Action, ActorKind, Entry, Evidence};
use crate::lifecycle::State;
use crate::policy::{Answer, Verdict};

/// A device as policy is asked about it: one that policy cut off is judged as if it were in, since being
/// cut off is no reason to stay so. None when its standing is none of policy's business.
#[must_use]
pub fn reviewed(device: &Device, cut_off_by: Option<ActorKind>) -> Option<Device> {
    match (device.state, cut_off_by) {
        (State::Onboarded, _) => Some(device.clone()),
        (State::Quarantined, Some(ActorKind::Policy)) => Some(Device {
            state: State::Onboarded,
            ..device.clone()
        }),
        _ => None,
    }
}

/// Who cut the device off, when an entry of its journal tells that somebody did.
#[must_use]
pub fn cut_off_by(entry: &Entry) -> Option<ActorKind> {
    (entry.action == Action::Quarantined).then_some(entry.actor.kind)
}

/// Carries out what policy says of a device for which [`reviewed`] gave one: a device in service that it
/// denies is cut off, one that it had cut off and allows is let in again. Waiting for a person belongs
/// to joining, and changes nothing. None when all stays as it is.
///
/// `facts.actor` is the policy; its reasons and its digest are taken from the arguments.
#[must_use]
pub fn review(
    facts: &OperateFacts<'_>,
    verdict: &Verdict,
    policy: &Evidence,
) -> Option<Outcome<Device>> {
    let evidence = [policy.clone()];
    let facts = OperateFacts {
        reasons: &verdict.reasons,
        evidence: &evidence,
        ..*facts
    };
    let outcome = match (facts.device.state, &verdict.answer) {
        (State::Onboarded, Answer::Deny) => quarantine(&facts),
        (State::Quarantined, Answer::Allow { .. }) => restore(&facts),
        _ => return None,
    };
    matches!(outcome.decision, Decision::Accept(_)).then_some(outcome)
}
