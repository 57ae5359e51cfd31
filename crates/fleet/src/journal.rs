//! The journal: who did what to which device, why, when, on which evidence.
//!
//! Each subject has its own hash chain, so replicas append without a global lock.
//!
//! 1. A decision names its entries ([`Entry`]).
//! 2. The store numbers and seals them against the head it has: `hash = SHA-256(previous ‖
//!    text)`, where `text` is the entry as canonical JSON, kept verbatim ([`Sealed`]).
//! 3. Anybody can check a chain ([`verify_chain`]); with the head known from a checkpoint
//!    or from the device's row, entries missing at the end show as well.
//! 4. Now and then a Merkle root over all heads is signed ([`Checkpoint`]).

mod chain;
mod checkpoint;
mod entry;
mod merkle;

pub use chain::{
    ChainHead, JournalError, MAX_ENTRY_TEXT, Sealed, passes, verify_chain, verify_part,
};
pub use checkpoint::{Checkpoint, SignedCheckpoint};
pub use entry::{Action, Actor, ActorKind, Entry, Evidence, Reason, Subject};
pub use merkle::{InclusionProof, MAX_PROOF, leaf, merkle_root};
