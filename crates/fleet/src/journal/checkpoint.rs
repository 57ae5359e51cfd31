//! A signed statement of where all chains stood at some time.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::Digest;

/// Where all chains stood. Checkpoints form a chain of their own, so that none can be taken
/// out unseen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The position of the last journal entry that it covers.
    pub position: u64,
    /// When it was made.
    pub at: Timestamp,
    /// How many chains it covers.
    pub chains: u64,
    /// The [`merkle_root`](super::merkle_root) over their heads.
    pub root: Digest,
    /// [`Checkpoint::digest`] of the one before, [`Digest::ZERO`] for the first.
    pub previous: Digest,
}

impl Checkpoint {
    /// The bytes to be signed: a line that says what this is, then the checkpoint as JSON in
    /// declared order.
    #[must_use]
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut bytes = b"vouchsafe checkpoint v1\n".to_vec();
        // Numbers and texts always serialize.
        bytes.extend(serde_json::to_vec(self).unwrap_or_default());
        bytes
    }

    /// SHA-256 of the signed bytes.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.signed_bytes())
    }

    /// Whether `self` is the one right after `earlier`.
    #[must_use]
    pub fn follows(&self, earlier: &Self) -> bool {
        self.previous == earlier.digest()
            && self.position >= earlier.position
            && self.chains >= earlier.chains
    }
}

/// A checkpoint with its signature. It is checked where keys are, with
/// [`Checkpoint::signed_bytes`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedCheckpoint {
    /// What is signed.
    pub checkpoint: Checkpoint,
    /// The signature algorithm's name.
    pub algorithm: String,
    /// The signature.
    #[serde(with = "crate::text::base64_bytes")]
    pub signature: Vec<u8>,
    /// SHA-256 of the signer's SubjectPublicKeyInfo.
    pub key_sha256: Digest,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            position: 7,
            at: Timestamp::UNIX_EPOCH,
            chains: 3,
            root: Digest::of(b"root"),
            previous: Digest::ZERO,
        }
    }

    #[test]
    fn the_signed_bytes_are_stable() {
        insta::assert_snapshot!(
            String::from_utf8(checkpoint().signed_bytes()).unwrap(),
            @r#"
        vouchsafe checkpoint v1
        {"position":7,"at":"1970-01-01T00:00:00Z","chains":3,"root":"4813494d137e1631bba301d5acab6e7bb7aa74ce1185d456565ef51d737677b2","previous":"0000000000000000000000000000000000000000000000000000000000000000"}
        "#
        );
    }

    #[test]
    fn a_checkpoint_taken_out_shows() {
        let first = checkpoint();
        let second = Checkpoint {
            position: 9,
            previous: first.digest(),
            ..first
        };
        let third = Checkpoint {
            position: 12,
            previous: second.digest(),
            ..first
        };
        assert!(second.follows(&first));
        assert!(third.follows(&second));
        assert!(!third.follows(&first));
    }
}
