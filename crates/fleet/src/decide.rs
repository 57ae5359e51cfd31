//! Decisions: facts in, a decision and the commit that makes it durable out.
//!
//! Every function here is pure. The facts are what the caller has proved (the identity) and
//! loaded (the rows); a field that is `None` means that there is no such row. Each decision
//! writes its journal entries: who, what, why, when, on which evidence. A refusal changes
//! nothing but the journal.
//!
//! Where a key must sign before there is anything to store (a voucher, a certificate), the
//! decision is a permit that only this crate can make; the permit turns the signed bytes into
//! the commit.

mod administer;
pub mod admission;
mod enrol;
mod factory;
mod intake;
mod masa;
mod operate;
mod review;
mod statement;
mod stranger;
mod voucher;
pub mod wifi;
mod wish;

pub use administer::{create_token, put_manufacturer, put_owner, put_policy, revoke_token};
pub use enrol::{
    EnrolFacts, EnrolIdentity, EnrolPermit, EnrolStatusFacts, IssuedCertificate, enrol,
    enrol_status,
};
pub use factory::{ProvisionFacts, ProvisionPermit, SellFacts, provision, release_ownership, sell};
pub use intake::{ClaimFacts, ImportFacts, claim, import};
pub use masa::{
    AuditLogFacts, IssuedVoucher, MasaVoucherFacts, OwnershipPolicy, Requester, VoucherPermit,
    audit_log_read, masa_voucher,
};
pub use operate::{
    OperateFacts, quarantine, release, restore, retire, revoke, revoke_access, revoke_all,
};
pub use review::{cut_off_by, review, reviewed};
pub use statement::{MAX_STATEMENTS, PERSON, StatementFacts, state};
pub use stranger::{
    MAX_STRANGERS, STRANGER_MEMORY, ShownManufacturer, Strangers, refused_request, refused_stranger,
};
pub use voucher::{
    ApprovalFacts, Forward, MasaAnswer, VoucherAnswerFacts, VoucherRequestFacts,
    VoucherStatusFacts, approve, deny_approval, voucher_answer, voucher_request, voucher_status,
};
pub use wish::{DENIAL_WINDOW, WishKind, approval_id};

use jiff::{SignedDuration, Timestamp};

use crate::commit::{Change, Commit, Guard};
use crate::device::Device;
use crate::journal::{Action, Actor, Entry, Reason, Subject};
use crate::lifecycle::{Event, LifecycleError, State, transition};
use crate::refusal::Refusal;

/// For how long the byte-identical request gets its stored answer again; after that it is
/// refused as replayed. Long enough for a device that lost the connection, or a restart here.
pub const REPLAY_WINDOW: SignedDuration = SignedDuration::from_hours(1);

/// For how long a device may resend a request that waits for approval (RFC 8995 §5.6).
pub const PENDING_WINDOW: SignedDuration = SignedDuration::from_hours(4 * 24);

/// Longest time a device is asked to wait before it asks again (RFC 8995 §5.6).
pub const MAX_RETRY_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// A decision, and what to store before it is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Outcome<D> {
    /// What to do.
    pub decision: Decision<D>,
    /// What to store first. May be empty.
    pub commit: Commit,
}

/// What to do with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision<D> {
    /// Go on.
    Accept(D),
    /// Not yet; ask again with the same request.
    Wait {
        /// After this long, at most [`MAX_RETRY_AFTER`].
        retry_after: SignedDuration,
        /// Why.
        reasons: Vec<Reason>,
    },
    /// This very request was answered before: give the same answer.
    Replay(StoredAnswer),
    /// No.
    Refuse {
        /// The reason that decided.
        refusal: Refusal,
        /// It and any others (policy's), for people.
        reasons: Vec<Reason>,
    },
}

/// An answer as it was given the first time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// Media type; empty where the caller knows it.
    pub media_type: String,
    /// The bytes.
    pub body: Vec<u8>,
}

impl<D> Outcome<D> {
    /// What was accepted, or why not.
    ///
    /// # Errors
    /// The refusal; waiting and replayed answers count as [`None`] inside `Ok`.
    pub fn accepted(&self) -> Result<Option<&D>, Refusal> {
        match &self.decision {
            Decision::Accept(accepted) => Ok(Some(accepted)),
            Decision::Wait { .. } | Decision::Replay(_) => Ok(None),
            Decision::Refuse { refusal, .. } => Err(*refusal),
        }
    }

    /// The refusal, if it is one.
    #[must_use]
    pub const fn refusal(&self) -> Option<Refusal> {
        match &self.decision {
            Decision::Refuse { refusal, .. } => Some(*refusal),
            _ => None,
        }
    }

    /// Accepts, and stores nothing.
    pub fn nothing(accepted: D) -> Self {
        Self::accept(accepted, Commit::default())
    }

    /// The same commit with another word for what was accepted.
    pub fn map<T>(self, change: impl FnOnce(D) -> T) -> Outcome<T> {
        match self.or_other() {
            Ok((accepted, commit)) => Outcome::accept(change(accepted), commit),
            Err(other) => other,
        }
    }

    /// What was accepted with its commit, for a caller that must still carry it out (sign what a
    /// permit allows).
    ///
    /// # Errors
    /// Every other answer, as it stands.
    pub fn or_other<T>(self) -> Result<(D, Commit), Outcome<T>> {
        let decision = match self.decision {
            Decision::Accept(accepted) => return Ok((accepted, self.commit)),
            Decision::Wait {
                retry_after,
                reasons,
            } => Decision::Wait {
                retry_after,
                reasons,
            },
            Decision::Replay(answer) => Decision::Replay(answer),
            Decision::Refuse { refusal, reasons } => Decision::Refuse { refusal, reasons },
        };
        Err(Outcome {
            decision,
            commit: self.commit,
        })
    }

    /// Refuses somebody of whom there is no row to write to. Nothing is stored.
    pub fn nobody(refusal: Refusal) -> Self {
        Self {
            decision: Decision::Refuse {
                refusal,
                reasons: vec![refusal.reason()],
            },
            commit: Commit::default(),
        }
    }

    /// Accepts, and stores `commit` first.
    pub const fn accept(accepted: D, commit: Commit) -> Self {
        Self {
            decision: Decision::Accept(accepted),
            commit,
        }
    }

    const fn replay(answer: StoredAnswer) -> Self {
        Self {
            decision: Decision::Replay(answer),
            commit: Commit {
                guards: Vec::new(),
                changes: Vec::new(),
                entries: Vec::new(),
            },
        }
    }

    /// Refuses, and writes `entry` with the refusal as its first reason.
    fn refuse(refusal: Refusal, more: &[Reason], mut entry: Entry) -> Self {
        let mut reasons = vec![refusal.reason()];
        reasons.extend_from_slice(more);
        entry.reasons.clone_from(&reasons);
        Self {
            decision: Decision::Refuse { refusal, reasons },
            commit: Commit {
                entries: vec![entry],
                ..Commit::default()
            },
        }
    }
}

/// The device after `event`, one version on, with the guard and the change that store it.
/// The journal entry is the caller's, who knows the evidence.
fn advance(
    device: &Device,
    event: Event,
    actor: &Actor,
    now: Timestamp,
) -> Result<(Device, Action), Refusal> {
    let edge = transition(Some(device.state), event, actor.kind).map_err(|error| match error {
        LifecycleError::NotAllowed { .. } => Refusal::ActorMayNot,
        LifecycleError::NoSuchEdge { .. } => wrong_state(device.state),
    })?;
    let mut next = touched(device, now);
    next.state = edge.to;
    Ok((next, edge.writes))
}

fn touched(device: &Device, now: Timestamp) -> Device {
    let mut next = device.clone();
    next.version = next.version.saturating_add(1);
    next.updated_at = now;
    next
}

fn put_device(commit: &mut Commit, before: &Device, after: Device) {
    commit.guards.push(Guard::DeviceVersion {
        id: before.id,
        expected: before.version,
    });
    commit.changes.push(Change::PutDevice(Box::new(after)));
}

const fn wrong_state(state: State) -> Refusal {
    match state {
        State::Provisioned | State::Transferred => Refusal::NotClaimed,
        State::Claimed | State::Onboarding | State::Onboarded => Refusal::WrongState,
        State::Quarantined => Refusal::DeviceQuarantined,
        State::Released => Refusal::DeviceReleased,
        State::Retired => Refusal::DeviceRetired,
    }
}

/// Whether a device is in somebody's inventory now.
const fn in_inventory(state: State) -> bool {
    matches!(
        state,
        State::Claimed | State::Onboarding | State::Onboarded | State::Quarantined
    )
}

fn device_entry(device: &Device, action: Action, actor: &Actor, now: Timestamp) -> Entry {
    Entry::new(Subject::Device(device.id), action, actor.clone(), now)
}
