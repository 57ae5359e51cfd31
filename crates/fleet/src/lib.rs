//! Devices and their life cycle, owners, credentials, claims, policy, decisions. Pure.
//!
//! Facts go in, an [`Outcome`] comes out: a decision, and the [`Commit`] that
//! makes it durable. This crate knows no protocol, no SQL and no HTTP; it reads no clock, no
//! entropy, no file. Time is an argument everywhere, so the same facts give the same bytes.
//!
//! 1. The caller proves the identity (`vouchsafe-brski`, `vouchsafe-trust`) and loads the facts.
//! 2. A function of [`decide`] answers with a decision, or a [`Refusal`] with its code,
//!    sentence and section.
//! 3. The caller stores the commit. A [`Guard`] that no longer holds means that somebody else
//!    was faster: load the facts again and go back to step 2.
//! 4. Only then does the answer leave.

mod text;

pub mod admission;
pub mod audit;
pub mod claim;
pub mod commit;
pub mod credential;
pub mod decide;
pub mod device;
mod error;
pub mod ids;
pub mod journal;
pub mod lifecycle;
pub mod manifest;
pub mod manufacturer;
pub mod owner;
pub mod policy;
pub mod refusal;
pub mod release;
pub mod token;
pub mod voucher;
pub mod wifi;

pub use audit::{AuditEvent, AuditTruncation};
pub use claim::{Claim, ClaimSubject, ClaimSubjectKind, Strength};
pub use commit::{Change, Commit, Guard, PolicyRecord, Sighting};
pub use credential::{Credential, CredentialStatus, RevocationReason};
pub use decide::{Decision, Outcome, StoredAnswer};
pub use device::{Device, KeyOrigin};
pub use error::Error;
pub use ids::{
    CredentialId, DeviceId, Digest, GateId, ManufacturerId, OwnerId, TokenId, VoucherId,
};
pub use journal::{
    Action, Actor, ActorKind, ChainHead, Entry, Evidence, JournalError, Reason, Sealed, Subject,
};
pub use lifecycle::{LifecycleError, State};
pub use manifest::{Manifest, ManifestDevice};
pub use manufacturer::{IdevidRules, Manufacturer, ManufacturerTrust};
pub use owner::{Owner, Ownership, OwnershipBasis};
pub use policy::{Answer, Policy, PolicyError, Verdict};
pub use refusal::{Refusal, RefusalKind};
pub use release::ReleaseStatement;
pub use token::{Role, Token};
pub use voucher::{VoucherRecord, VoucherStatus};
