//! Sealing entries, and finding any that was altered, dropped, moved or added.

use serde::{Deserialize, Serialize};

use super::entry::{Entry, Subject};
use crate::ids::Digest;

/// Longest entry text in bytes that [`verify_chain`] reads; a longer one was not written here.
pub const MAX_ENTRY_TEXT: usize = 64 * 1024;

/// An entry in its place in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Place in the chain, from 1.
    pub seq: u64,
    /// Hash of the entry before, [`Digest::ZERO`] for the first.
    pub previous: Digest,
    /// SHA-256 over the 32 bytes of `previous` and the bytes of `text`.
    pub hash: Digest,
    /// The entry as canonical JSON, verbatim.
    pub text: String,
}

impl Sealed {
    /// Puts `entry` behind the chain's head.
    #[must_use]
    pub fn seal(head: &ChainHead, entry: &Entry) -> Self {
        let text = entry.canonical_text();
        Self {
            seq: head.seq.saturating_add(1),
            previous: head.hash,
            hash: chain_hash(&head.hash, &text),
            text,
        }
    }

    /// The head of a chain that ends here.
    #[must_use]
    pub const fn head(&self) -> ChainHead {
        ChainHead {
            seq: self.seq,
            hash: self.hash,
        }
    }

    /// The entry that `text` holds.
    ///
    /// # Errors
    /// [`JournalError::Unreadable`] when it holds none.
    pub fn entry(&self) -> Result<Entry, JournalError> {
        if self.text.len() > MAX_ENTRY_TEXT {
            return Err(JournalError::Unreadable { seq: self.seq });
        }
        serde_json::from_str(&self.text).map_err(|_| JournalError::Unreadable { seq: self.seq })
    }
}

/// The end of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainHead {
    /// Number of the last entry, 0 for an empty chain.
    pub seq: u64,
    /// Hash of the last entry, [`Digest::ZERO`] for an empty chain.
    pub hash: Digest,
}

impl ChainHead {
    /// The head of a chain without entries.
    pub const EMPTY: Self = Self {
        seq: 0,
        hash: Digest::ZERO,
    };
}

/// What is wrong with a journal. `seq` is the place in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The text of an entry is not what was sealed.
    #[error("journal entry {seq} was altered: its text does not have the hash it was sealed with")]
    Altered {
        /// Which.
        seq: u64,
    },
    /// An entry does not follow the one before it: one between was taken out or put in.
    #[error("journal entry {seq} does not continue the entry before it")]
    BrokenLink {
        /// Which.
        seq: u64,
    },
    /// An entry is not there.
    #[error("journal entry {seq} is missing")]
    Missing {
        /// Which.
        seq: u64,
    },
    /// An entry is there, but not in its place.
    #[error("journal entry {seq} is out of order")]
    Reordered {
        /// Which.
        seq: u64,
    },
    /// The chain ends before the head that is known from elsewhere.
    #[error("the journal ends at entry {found}, but entry {expected} was written")]
    Truncated {
        /// Number of the last entry that must be there.
        expected: u64,
        /// Number of the last entry found.
        found: u64,
    },
    /// The chain is sound, but is not the one whose head is known from elsewhere.
    #[error("the journal does not lead to the known head at entry {seq}")]
    OtherHead {
        /// Number of the last entry.
        seq: u64,
    },
    /// An entry belongs to somebody else's chain.
    #[error("journal entry {seq} is about somebody else")]
    Foreign {
        /// Which.
        seq: u64,
    },
    /// An entry's text is no entry.
    #[error("journal entry {seq} cannot be read")]
    Unreadable {
        /// Which.
        seq: u64,
    },
    /// A checkpoint and a chain, or its proof, do not belong together.
    #[error("the checkpoint does not cover this chain")]
    NotCovered,
}

/// Checks a whole chain of `subject` from its first entry, and gives its head. With `known`
/// (from the device's row, or a checkpoint) the chain must also reach that head.
///
/// # Errors
/// The first fault found, in chain order.
pub fn verify_chain(
    subject: Subject,
    chain: &[Sealed],
    known: Option<&ChainHead>,
) -> Result<ChainHead, JournalError> {
    let mut head = ChainHead::EMPTY;
    let mut at_known = known.is_none_or(|known| *known == head);
    for (index, sealed) in chain.iter().enumerate() {
        let expected = head.seq.saturating_add(1);
        if sealed.seq != expected {
            // The number that should stand here decides between a gap and a swap.
            let later = chain.iter().skip(index).any(|entry| entry.seq == expected);
            return Err(if later || sealed.seq < expected {
                JournalError::Reordered { seq: sealed.seq }
            } else {
                JournalError::Missing { seq: expected }
            });
        }
        if sealed.previous != head.hash {
            return Err(JournalError::BrokenLink { seq: sealed.seq });
        }
        if sealed.hash != chain_hash(&sealed.previous, &sealed.text) {
            return Err(JournalError::Altered { seq: sealed.seq });
        }
        if sealed.entry()?.subject != subject {
            return Err(JournalError::Foreign { seq: sealed.seq });
        }
        head = sealed.head();
        at_known |= known.is_some_and(|known| *known == head);
    }
    match known {
        Some(known) if known.seq > head.seq => Err(JournalError::Truncated {
            expected: known.seq,
            found: head.seq,
        }),
        Some(known) if !at_known => Err(JournalError::OtherHead { seq: known.seq }),
        _ => Ok(head),
    }
}

fn chain_hash(previous: &Digest, text: &str) -> Digest {
    Digest::of_parts(&[previous.as_bytes(), text.as_bytes()])
}
