//! Where a device is in its life, and which change who may cause.

use crate::text::text_enum;

text_enum! {
    /// Where a device is in its life.
    pub enum State {
        /// It has a birth certificate and belongs to its manufacturer.
        Provisioned = "provisioned",
        /// It was sold; the buyer has not taken it into its inventory here yet.
        Transferred = "transferred",
        /// It is in its owner's inventory and may onboard.
        Claimed = "claimed",
        /// It asked to join and was let in as far as getting a credential.
        Onboarding = "onboarding",
        /// It has a credential of this owner.
        Onboarded = "onboarded",
        /// It has a credential but is cut off.
        Quarantined = "quarantined",
        /// Its owner gave it up; it may be sold or claimed again.
        Released = "released",
        /// It left service for good.
        Retired = "retired",
    }
}

/// A change of state that must not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LifecycleError {
    /// The life cycle has no such edge.
    #[error("a device that is {from} cannot go that way")]
    NoSuchEdge {
        /// The state it is in.
        from: State,
    },
}
