//! What another policy would change.

use super::{Answer, Input, Policy, Verdict};
use crate::ids::DeviceId;

/// A device that two policies judge differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The device.
    pub device: Option<DeviceId>,
    /// What the policy in force says.
    pub before: Verdict,
    /// What the other one would say.
    pub after: Verdict,
}

impl Difference {
    /// Whether the device would be cut off.
    #[must_use]
    pub fn cuts_off(&self) -> bool {
        self.before.answer != Answer::Deny && self.after.answer == Answer::Deny
    }
}

/// Judges every input by both policies, and gives those whose answers differ. Reasons alone
/// make no difference.
pub fn dry_run<'a>(
    in_force: &Policy,
    proposed: &Policy,
    inputs: impl IntoIterator<Item = Input<'a>>,
) -> impl Iterator<Item = Difference> {
    inputs.into_iter().filter_map(move |input| {
        let before = in_force.evaluate(&input);
        let after = proposed.evaluate(&input);
        (before.answer != after.answer).then(|| Difference {
            device: input.device.map(|device| device.id),
            before,
            after,
        })
    })
}
