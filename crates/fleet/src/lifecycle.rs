//! Where a device is in its life, and which change who may cause.
//!
//! ```text
//! provisioned → transferred → claimed → onboarding → onboarded ⇄ quarantined
//!                                ↑___________|  ↑_________|          |
//!                 released ←──── from claimed on ────────────────────┤
//!                 retired  ←──── from everywhere ────────────────────┘
//! ```
//!
//! [`TABLE`] is the whole of it; what stands in no row is refused.

use crate::journal::{Action, ActorKind};
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

text_enum! {
    /// What happens to a device.
    pub enum Event {
        /// The factory gives it its identity.
        Provision = "provision",
        /// The manufacturer records a sale, or the MASA takes the first to ask as the owner.
        Transfer = "transfer",
        /// The buyer's controller reads the manufacturer's record.
        Import = "import",
        /// It is taken into the inventory.
        Claim = "claim",
        /// It begins to onboard with its birth certificate.
        Begin = "begin",
        /// An onboarded device begins anew: it was reset.
        Restart = "restart",
        /// It gets its credential.
        Enrol = "enrol",
        /// It gets a newer credential.
        Renew = "renew",
        /// The device refuses the voucher.
        Reject = "reject",
        /// The MASA, or the owner's audit-log policy, refuses the voucher.
        Refuse = "refuse",
        /// It is cut off.
        Quarantine = "quarantine",
        /// It is let in again.
        Restore = "restore",
        /// It is let in again, but has no credential: it must onboard.
        Readmit = "readmit",
        /// The last of its credentials is taken back: it is in the inventory, and must onboard.
        Revoke = "revoke",
        /// Its owner gives it up.
        Release = "release",
        /// It is the same as one that its manufacturer's record names, and goes on as that one.
        Merge = "merge",
        /// It leaves service.
        Retire = "retire",
    }
}

/// One edge of the life cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// The state before; none when there is no device yet.
    pub from: Option<State>,
    /// What happens.
    pub event: Event,
    /// The state after.
    pub to: State,
    /// Who may cause it.
    pub by: &'static [ActorKind],
    /// The journal entry it writes.
    pub writes: Action,
}

/// A change of state that must not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LifecycleError {
    /// The life cycle has no such edge.
    #[error("the life cycle knows no {event} of a device that is {}", state_name(*.from))]
    NoSuchEdge {
        /// The state it is in.
        from: Option<State>,
        /// What should happen.
        event: Event,
    },
    /// There is such an edge, but not for this actor.
    #[error("a {by} may not {event} a device that is {}", state_name(*.from))]
    NotAllowed {
        /// The state it is in.
        from: Option<State>,
        /// What should happen.
        event: Event,
        /// Who tried.
        by: ActorKind,
    },
}

/// The edge that leads from `from` by `event`, if `by` may cause it.
///
/// # Errors
/// [`LifecycleError`] when there is none, or not for this actor.
pub fn transition(
    from: Option<State>,
    event: Event,
    by: ActorKind,
) -> Result<&'static Edge, LifecycleError> {
    let edge = TABLE
        .iter()
        .find(|edge| edge.from == from && edge.event == event)
        .ok_or(LifecycleError::NoSuchEdge { from, event })?;
    if edge.by.contains(&by) {
        Ok(edge)
    } else {
        Err(LifecycleError::NotAllowed { from, event, by })
    }
}

fn state_name(state: Option<State>) -> &'static str {
    state.map_or("not known yet", State::as_str)
}

const fn edge(
    from: Option<State>,
    event: Event,
    to: State,
    by: &'static [ActorKind],
    writes: Action,
) -> Edge {
    Edge {
        from,
        event,
        to,
        by,
        writes,
    }
}

const FACTORY: &[ActorKind] = &[
    ActorKind::Factory,
    ActorKind::Manufacturer,
    ActorKind::Person,
];
const SELLER: &[ActorKind] = &[
    ActorKind::Manufacturer,
    ActorKind::Person,
    ActorKind::Registrar,
];
const PERSON: &[ActorKind] = &[ActorKind::Person];
const INTAKE: &[ActorKind] = &[
    ActorKind::Person,
    ActorKind::Manufacturer,
    ActorKind::System,
];
const DEVICE: &[ActorKind] = &[ActorKind::Device];
const ASKED: &[ActorKind] = &[ActorKind::Masa, ActorKind::Policy];
const GUARDIAN: &[ActorKind] = &[ActorKind::Person, ActorKind::Policy];
const OWNER: &[ActorKind] = &[ActorKind::Person, ActorKind::Manufacturer];

/// Every edge of the life cycle.
pub const TABLE: &[Edge] = &[
    edge(
        None,
        Event::Provision,
        State::Provisioned,
        FACTORY,
        Action::Provisioned,
    ),
    edge(
        None,
        Event::Import,
        State::Transferred,
        INTAKE,
        Action::Imported,
    ),
    edge(None, Event::Claim, State::Claimed, PERSON, Action::Claimed),
    edge(
        Some(State::Provisioned),
        Event::Transfer,
        State::Transferred,
        SELLER,
        Action::Sold,
    ),
    edge(
        Some(State::Provisioned),
        Event::Retire,
        State::Retired,
        OWNER,
        Action::Retired,
    ),
    edge(
        Some(State::Transferred),
        Event::Claim,
        State::Claimed,
        INTAKE,
        Action::Claimed,
    ),
    edge(
        Some(State::Transferred),
        Event::Release,
        State::Released,
        OWNER,
        Action::Released,
    ),
    edge(
        Some(State::Transferred),
        Event::Retire,
        State::Retired,
        OWNER,
        Action::Retired,
    ),
    edge(
        Some(State::Claimed),
        Event::Begin,
        State::Onboarding,
        DEVICE,
        Action::OnboardingStarted,
    ),
    // It may have come in by its MAC address.
    edge(
        Some(State::Claimed),
        Event::Quarantine,
        State::Quarantined,
        GUARDIAN,
        Action::Quarantined,
    ),
    edge(
        Some(State::Claimed),
        Event::Release,
        State::Released,
        PERSON,
        Action::Released,
    ),
    edge(
        Some(State::Claimed),
        Event::Merge,
        State::Released,
        INTAKE,
        Action::DeviceMerged,
    ),
    edge(
        Some(State::Claimed),
        Event::Retire,
        State::Retired,
        PERSON,
        Action::Retired,
    ),
    edge(
        Some(State::Onboarding),
        Event::Enrol,
        State::Onboarded,
        DEVICE,
        Action::CredentialIssued,
    ),
    edge(
        Some(State::Onboarding),
        Event::Reject,
        State::Claimed,
        DEVICE,
        Action::VoucherRejected,
    ),
    edge(
        Some(State::Onboarding),
        Event::Refuse,
        State::Claimed,
        ASKED,
        Action::VoucherRefused,
    ),
    edge(
        Some(State::Onboarding),
        Event::Quarantine,
        State::Quarantined,
        GUARDIAN,
        Action::Quarantined,
    ),
    edge(
        Some(State::Onboarding),
        Event::Release,
        State::Released,
        PERSON,
        Action::Released,
    ),
    edge(
        Some(State::Onboarding),
        Event::Retire,
        State::Retired,
        PERSON,
        Action::Retired,
    ),
    edge(
        Some(State::Onboarded),
        Event::Renew,
        State::Onboarded,
        DEVICE,
        Action::CredentialRenewed,
    ),
    edge(
        Some(State::Onboarded),
        Event::Restart,
        State::Onboarding,
        DEVICE,
        Action::OnboardingRestarted,
    ),
    edge(
        Some(State::Onboarded),
        Event::Revoke,
        State::Claimed,
        PERSON,
        Action::CredentialRevoked,
    ),
    edge(
        Some(State::Onboarded),
        Event::Quarantine,
        State::Quarantined,
        GUARDIAN,
        Action::Quarantined,
    ),
    edge(
        Some(State::Onboarded),
        Event::Release,
        State::Released,
        PERSON,
        Action::Released,
    ),
    edge(
        Some(State::Onboarded),
        Event::Retire,
        State::Retired,
        PERSON,
        Action::Retired,
    ),
    edge(
        Some(State::Quarantined),
        Event::Readmit,
        State::Claimed,
        GUARDIAN,
        Action::Restored,
    ),
    edge(
        Some(State::Quarantined),
        Event::Restore,
        State::Onboarded,
        GUARDIAN,
        Action::Restored,
    ),
    // A person takes over what policy cut off: then only a person lets it in again.
    edge(
        Some(State::Quarantined),
        Event::Quarantine,
        State::Quarantined,
        PERSON,
        Action::Quarantined,
    ),
    edge(
        Some(State::Quarantined),
        Event::Release,
        State::Released,
        PERSON,
        Action::Released,
    ),
    edge(
        Some(State::Quarantined),
        Event::Retire,
        State::Retired,
        PERSON,
        Action::Retired,
    ),
    edge(
        Some(State::Released),
        Event::Transfer,
        State::Transferred,
        SELLER,
        Action::Sold,
    ),
    edge(
        Some(State::Released),
        Event::Import,
        State::Transferred,
        INTAKE,
        Action::Imported,
    ),
    edge(
        Some(State::Released),
        Event::Claim,
        State::Claimed,
        PERSON,
        Action::Claimed,
    ),
    edge(
        Some(State::Released),
        Event::Retire,
        State::Retired,
        OWNER,
        Action::Retired,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_table() {
        let table: Vec<String> = TABLE
            .iter()
            .map(|edge| {
                let by: Vec<&str> = edge.by.iter().map(|by| by.as_str()).collect();
                format!(
                    "{:<12} {:<11} {:<12} {:<21} {}",
                    edge.from.map_or("-", State::as_str),
                    edge.event,
                    edge.to,
                    edge.writes,
                    by.join(", ")
                )
            })
            .collect();
        insta::assert_snapshot!(table.join("\n"));
    }

    #[test]
    fn there_is_one_edge_for_each_state_and_event() {
        for (index, edge) in TABLE.iter().enumerate() {
            let twin = TABLE
                .iter()
                .skip(index + 1)
                .find(|other| other.from == edge.from && other.event == edge.event);
            assert_eq!(twin, None);
        }
    }

    #[test]
    fn what_stands_in_no_row_is_refused() {
        let states = State::ALL.iter().copied().map(Some).chain([None]);
        for from in states {
            for event in Event::ALL {
                for by in ActorKind::ALL {
                    let edge = TABLE
                        .iter()
                        .find(|edge| edge.from == from && edge.event == *event);
                    let expected = match edge {
                        None => Err(LifecycleError::NoSuchEdge {
                            from,
                            event: *event,
                        }),
                        Some(edge) if edge.by.contains(by) => Ok(edge),
                        Some(_) => Err(LifecycleError::NotAllowed {
                            from,
                            event: *event,
                            by: *by,
                        }),
                    };
                    assert_eq!(transition(from, *event, *by), expected);
                }
            }
        }
    }

    #[test]
    fn nothing_leads_out_of_retirement_and_everything_into_it() {
        assert!(TABLE.iter().all(|edge| edge.from != Some(State::Retired)));
        for state in State::ALL.iter().filter(|state| **state != State::Retired) {
            let edge = transition(Some(*state), Event::Retire, ActorKind::Person).unwrap();
            assert_eq!(edge.to, State::Retired);
        }
    }
}
