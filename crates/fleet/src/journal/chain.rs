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
    let head = verify_part(subject, &ChainHead::EMPTY, chain)?;
    match known {
        Some(known) if known.seq > head.seq => Err(JournalError::Truncated {
            expected: known.seq,
            found: head.seq,
        }),
        Some(known) if !passes(&ChainHead::EMPTY, chain, known) => {
            Err(JournalError::OtherHead { seq: known.seq })
        }
        _ => Ok(head),
    }
}

/// Checks a part of a chain that follows `from`, and gives its head: a long chain is checked
/// piece by piece, each from the head of the piece before.
///
/// # Errors
/// The first fault found, in chain order.
pub fn verify_part(
    subject: Subject,
    from: &ChainHead,
    part: &[Sealed],
) -> Result<ChainHead, JournalError> {
    let mut head = *from;
    for (index, sealed) in part.iter().enumerate() {
        let expected = head.seq.saturating_add(1);
        if sealed.seq != expected {
            // The number that should stand here decides between a gap and a swap.
            let later = part.iter().skip(index).any(|entry| entry.seq == expected);
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
    }
    Ok(head)
}

/// Whether a part that follows `from` has `known` as one of its heads.
#[must_use]
pub fn passes(from: &ChainHead, part: &[Sealed], known: &ChainHead) -> bool {
    from == known || part.iter().any(|sealed| sealed.head() == *known)
}

fn chain_hash(previous: &Digest, text: &str) -> Digest {
    Digest::of_parts(&[previous.as_bytes(), text.as_bytes()])
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::ids::DeviceId;
    use crate::journal::{Action, Actor, ActorKind, Reason};

    const SUBJECT: Subject = Subject::Device(DeviceId([7; 16]));

    fn entry(number: usize, note: &str) -> Entry {
        Entry::new(
            SUBJECT,
            Action::ALL[number % Action::ALL.len()],
            Actor::new(ActorKind::Person, "alice"),
            Timestamp::from_second(1_750_000_000 + number as i64).unwrap(),
        )
        .because(Reason::new("test", note, "none"))
        .with("number", number)
    }

    fn chain(notes: &[String]) -> Vec<Sealed> {
        let mut head = ChainHead::EMPTY;
        notes
            .iter()
            .enumerate()
            .map(|(number, note)| {
                let sealed = Sealed::seal(&head, &entry(number, note));
                head = sealed.head();
                sealed
            })
            .collect()
    }

    fn three() -> Vec<Sealed> {
        chain(&["a".to_owned(), "b".to_owned(), "c".to_owned()])
    }

    #[test]
    fn the_sealed_form_is_stable() {
        let sealed = &three()[0];
        insta::assert_snapshot!(sealed.text, @r#"{"subject":"device:07070707070707070707070707070707","action":"provisioned","actor":{"kind":"person","name":"alice"},"at":"2025-06-15T15:06:40Z","reasons":[{"code":"test","text":"a","section":"none"}],"evidence":[],"data":{"number":"0"}}"#);
        let mut bytes = vec![0; 32];
        bytes.extend(sealed.text.as_bytes());
        assert_eq!(sealed.hash, Digest::of(&bytes));
        assert_eq!(sealed.entry().unwrap(), entry(0, "a"));
    }

    #[test]
    fn an_altered_entry_is_found() {
        let mut chain = three();
        chain[1].text = chain[1].text.replace("alice", "mallory");
        assert_eq!(
            verify_chain(SUBJECT, &chain, None),
            Err(JournalError::Altered { seq: 2 })
        );
    }

    #[test]
    fn an_altered_entry_with_a_new_hash_breaks_the_next_link() {
        let mut chain = three();
        chain[1].text = chain[1].text.replace("alice", "mallory");
        chain[1].hash = chain_hash(&chain[1].previous, &chain[1].text);
        assert_eq!(
            verify_chain(SUBJECT, &chain, None),
            Err(JournalError::BrokenLink { seq: 3 })
        );
    }

    #[test]
    fn a_missing_entry_is_found_wherever_it_was() {
        for missing in 0..2_usize {
            let mut chain = three();
            chain.remove(missing);
            assert_eq!(
                verify_chain(SUBJECT, &chain, None),
                Err(JournalError::Missing {
                    seq: missing as u64 + 1
                })
            );
        }
    }

    #[test]
    fn a_missing_entry_is_found_even_if_the_rest_is_renumbered() {
        let mut chain = three();
        chain.remove(1);
        chain[1].seq = 2;
        assert_eq!(
            verify_chain(SUBJECT, &chain, None),
            Err(JournalError::BrokenLink { seq: 2 })
        );
    }

    #[test]
    fn swapped_and_doubled_entries_are_found() {
        let mut swapped = three();
        swapped.swap(0, 1);
        assert_eq!(
            verify_chain(SUBJECT, &swapped, None),
            Err(JournalError::Reordered { seq: 2 })
        );
        let mut doubled = three();
        doubled.insert(1, doubled[0].clone());
        assert_eq!(
            verify_chain(SUBJECT, &doubled, None),
            Err(JournalError::Reordered { seq: 1 })
        );
    }

    #[test]
    fn a_cut_off_end_is_found_by_the_known_head() {
        let mut chain = three();
        let head = chain[2].head();
        assert_eq!(verify_chain(SUBJECT, &chain, Some(&head)), Ok(head));
        chain.pop();
        assert_eq!(
            verify_chain(SUBJECT, &chain, Some(&head)),
            Err(JournalError::Truncated {
                expected: 3,
                found: 2
            })
        );
        assert!(verify_chain(SUBJECT, &chain, None).is_ok());
    }

    #[test]
    fn a_chain_rewritten_from_the_start_misses_the_known_head() {
        let known = three()[1].head();
        let rewritten = chain(&["x".to_owned(), "y".to_owned(), "z".to_owned()]);
        assert_eq!(
            verify_chain(SUBJECT, &rewritten, Some(&known)),
            Err(JournalError::OtherHead { seq: 2 })
        );
        assert!(verify_chain(SUBJECT, &three(), Some(&known)).is_ok());
    }

    #[test]
    fn somebody_elses_chain_is_found() {
        let other = Subject::Device(DeviceId([8; 16]));
        assert_eq!(
            verify_chain(other, &three(), None),
            Err(JournalError::Foreign { seq: 1 })
        );
    }

    #[test]
    fn a_sealed_text_that_is_no_entry_is_found() {
        let text = "{}".to_owned();
        let sealed = Sealed {
            seq: 1,
            previous: Digest::ZERO,
            hash: chain_hash(&Digest::ZERO, &text),
            text,
        };
        assert_eq!(
            verify_chain(SUBJECT, &[sealed], None),
            Err(JournalError::Unreadable { seq: 1 })
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn every_chain_verifies_and_no_changed_one_does(
            notes in proptest::collection::vec(".{0,20}", 1..12),
            place in any::<proptest::sample::Index>(),
            fault in 0..5,
        ) {
            let chain = chain(&notes);
            let head = chain.last().unwrap().head();
            prop_assert_eq!(verify_chain(SUBJECT, &chain, Some(&head)), Ok(head));

            let mut forged = chain.clone();
            let at = place.index(forged.len());
            match fault {
                0 => { forged.remove(at); }
                1 => forged[at].text.push(' '),
                2 => forged[at].hash.0[3] ^= 1,
                3 => forged[at].previous.0[3] ^= 1,
                _ => { let again = forged[at].clone(); forged.insert(at, again); }
            }
            prop_assert!(verify_chain(SUBJECT, &forged, Some(&head)).is_err());
        }

        #[test]
        fn reading_hostile_text_never_panics(text in ".{0,200}") {
            let sealed = Sealed { seq: 1, previous: Digest::ZERO, hash: Digest::ZERO, text };
            let _ = sealed.entry();
            let _ = verify_chain(SUBJECT, &[sealed], None);
        }
    }
}
