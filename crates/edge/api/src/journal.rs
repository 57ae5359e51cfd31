//! The journal: who did what, why, when, on which evidence.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One entry, sealed into the hash chain of its subject.
///
/// `text` is the canonical JSON that was hashed, as it is stored: `hash` is SHA-256 over the 32
/// bytes of `previous` and these bytes, so anybody can recompute the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JournalEntry {
    /// Place among all entries of this controller, from 1; grows, may skip.
    pub position: i64,
    /// The chain: `device:ID`, `manufacturer:ID` or `site`.
    pub subject: String,
    /// Place in the chain, from 1.
    pub seq: i64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened, `kebab-case`.
    pub action: String,
    /// Who did it.
    pub actor: String,
    /// Why: reason codes, each with the section it rests on where there is one.
    pub reasons: Vec<String>,
    /// Hash of the entry before; 64 hexadecimal digits, zeros at the beginning.
    pub previous: String,
    /// Hash of this entry; 64 hexadecimal digits.
    pub hash: String,
    /// The canonical JSON that was hashed.
    pub text: String,
}

/// Which part of the journal is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalQuery {
    /// Entries after this position; 0, the default, begins at the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// Entries at most; 1 to 1000, by default 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Which part of one device's journal is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceJournalQuery {
    /// Entries after the one with this `seq`; 0, the default, begins at the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<i64>,
}

/// A stretch of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JournalPage {
    /// The entries, by position.
    pub entries: Vec<JournalEntry>,
    /// `since` for the next stretch; the same as asked for when there was nothing new.
    pub position: i64,
}

/// What became of a verification of the whole journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Verification {
    /// Whether every chain is whole and agrees with the newest checkpoint.
    pub ok: bool,
    /// Chains read.
    pub chains: u64,
    /// Entries read.
    pub entries: u64,
    /// Position up to which was read.
    pub position: i64,
    /// What is wrong; at most [`Verification::MAX_FAULTS`].
    pub faults: Vec<JournalFault>,
}

impl Verification {
    /// Faults that are reported one by one at most.
    pub const MAX_FAULTS: usize = 100;
}

/// One place where the journal is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JournalFault {
    /// The chain: `device:ID`, `manufacturer:ID` or `site`.
    pub subject: String,
    /// The place in it.
    pub seq: i64,
    /// What is wrong: `altered`, `missing`, `reordered`, `head-differs` or `checkpoint-differs`.
    pub code: String,
    /// The same for people.
    pub detail: String,
}

/// A signed statement of what all chains looked like at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Checkpoint {
    /// When it was made.
    pub at: Timestamp,
    /// The journal position it covers.
    pub position: i64,
    /// Number of chains.
    pub chains: u64,
    /// Root of the Merkle tree over all chain heads; 64 hexadecimal digits.
    pub root: String,
    /// The same content, signed by the domain: CMS SignedData, DER in base64.
    pub signed: String,
}
