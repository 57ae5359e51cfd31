//! One digest over all chain heads, and the proof that a head is in it.
//!
//! The tree is that of RFC 9162 §2.1: a leaf is hashed behind a zero byte, a node behind a one,
//! and each left subtree is the largest full one, so that the tree grows at its right edge.

use serde::{Deserialize, Serialize};

use super::chain::{ChainHead, JournalError};
use super::entry::Subject;
use crate::ids::Digest;

/// Longest proof: enough for 2⁴⁸ chains.
pub const MAX_PROOF: usize = 48;

/// The hash of one leaf: a subject and the head of its chain.
#[must_use]
pub fn leaf(subject: Subject, head: &ChainHead) -> Digest {
    Digest::of_parts(&[
        &[0],
        subject.to_string().as_bytes(),
        &[0],
        &head.seq.to_be_bytes(),
        head.hash.as_bytes(),
    ])
}

/// The root over `leaves`, which stand in the order of their subjects' text. Needs memory for
/// the tree's height only. No leaves at all give SHA-256 of nothing.
pub fn merkle_root(leaves: impl IntoIterator<Item = Digest>) -> Digest {
    // The full subtrees to the left of the next leaf, each at most half of the one before.
    let mut full: Vec<(u32, Digest)> = Vec::new();
    for leaf in leaves {
        let mut right = (0, leaf);
        while let Some((height, left)) = full.pop_if(|(height, _)| *height == right.0) {
            right = (height.saturating_add(1), node(&left, &right.1));
        }
        full.push(right);
    }
    full.into_iter()
        .map(|(_, digest)| digest)
        .rev()
        .reduce(|right, left| node(&left, &right))
        .unwrap_or_else(|| Digest::of(&[]))
}

/// The proof that one leaf is in a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InclusionProof {
    /// The leaf's place, from 0.
    pub index: u64,
    /// How many leaves the tree has.
    pub count: u64,
    /// The siblings on the way up, at most [`MAX_PROOF`].
    pub siblings: Vec<Digest>,
}

impl InclusionProof {
    /// The proof for the leaf at `index`, or none when there is no such leaf.
    #[must_use]
    pub fn new(leaves: &[Digest], index: usize) -> Option<Self> {
        leaves.get(index)?;
        let mut siblings = Vec::new();
        let (mut part, mut place) = (leaves, index);
        while part.len() > 1 {
            let (left, right) = part.split_at_checked(split(part.len()))?;
            let (inside, outside) = if place < left.len() {
                (left, right)
            } else {
                place = place.saturating_sub(left.len());
                (right, left)
            };
            siblings.push(merkle_root(outside.iter().copied()));
            part = inside;
        }
        siblings.reverse();
        Some(Self {
            index: u64::try_from(index).ok()?,
            count: u64::try_from(leaves.len()).ok()?,
            siblings,
        })
    }

    /// Checks that `leaf` is in the tree with this root (RFC 9162 §2.1.3.2).
    ///
    /// # Errors
    /// [`JournalError::NotCovered`] when it is not.
    pub fn verify(&self, leaf: Digest, root: &Digest) -> Result<(), JournalError> {
        if self.index >= self.count || self.siblings.len() > MAX_PROOF {
            return Err(JournalError::NotCovered);
        }
        let (mut place, mut last) = (self.index, self.count.saturating_sub(1));
        let mut digest = leaf;
        for sibling in &self.siblings {
            if last == 0 {
                return Err(JournalError::NotCovered);
            }
            if place & 1 == 1 || place == last {
                digest = node(sibling, &digest);
                // A lone right edge has no sibling on the levels in between.
                while place & 1 == 0 && place != 0 {
                    place >>= 1;
                    last >>= 1;
                }
            } else {
                digest = node(&digest, sibling);
            }
            place >>= 1;
            last >>= 1;
        }
        if last == 0 && digest == *root {
            Ok(())
        } else {
            Err(JournalError::NotCovered)
        }
    }
}

fn node(left: &Digest, right: &Digest) -> Digest {
    Digest::of_parts(&[&[1], left.as_bytes(), right.as_bytes()])
}

/// The largest power of two below `count`, which is at least 2.
const fn split(count: usize) -> usize {
    let half = count.next_power_of_two() / 2;
    if half == 0 { 1 } else { half }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u8) -> Vec<Digest> {
        (0..count).map(|byte| Digest::of(&[byte])).collect()
    }

    /// RFC 9162 §2.1.1, written down as it stands there.
    fn by_definition(leaves: &[Digest]) -> Digest {
        match leaves {
            [] => Digest::of(&[]),
            [one] => *one,
            many => {
                let (left, right) = many.split_at(split(many.len()));
                node(&by_definition(left), &by_definition(right))
            }
        }
    }

    #[test]
    fn the_root_is_that_of_the_definition() {
        for count in 0..70 {
            let leaves = leaves(count);
            assert_eq!(
                merkle_root(leaves.iter().copied()),
                by_definition(&leaves),
                "{count} leaves"
            );
        }
    }

    #[test]
    fn every_leaf_has_a_proof_and_only_for_itself() {
        for count in 1..40 {
            let leaves = leaves(count);
            let root = merkle_root(leaves.iter().copied());
            for index in 0..leaves.len() {
                let proof = InclusionProof::new(&leaves, index).unwrap();
                assert_eq!(proof.verify(leaves[index], &root), Ok(()));
                let other = Digest::of(b"other");
                assert_eq!(proof.verify(other, &root), Err(JournalError::NotCovered));
                if count > 1 {
                    let mut moved = proof.clone();
                    moved.index = (proof.index + 1) % proof.count;
                    assert_eq!(
                        moved.verify(leaves[index], &root),
                        Err(JournalError::NotCovered)
                    );
                    let mut short = proof.clone();
                    short.siblings.pop();
                    assert_eq!(
                        short.verify(leaves[index], &root),
                        Err(JournalError::NotCovered)
                    );
                }
            }
            assert_eq!(InclusionProof::new(&leaves, leaves.len()), None);
        }
    }

    #[test]
    fn a_leaf_says_whose_head_it_is() {
        let head = ChainHead {
            seq: 1,
            hash: Digest::ZERO,
        };
        let device = Subject::Device(crate::ids::DeviceId([1; 16]));
        assert_ne!(leaf(Subject::Site, &head), leaf(device, &head));
        let next = ChainHead { seq: 2, ..head };
        assert_ne!(leaf(device, &head), leaf(device, &next));
    }
}
