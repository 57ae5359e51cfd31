//! The file of a TPM key.
//!
//! ```text
//!  | VTPMK | version (=1) | label length | label | length | public area | length | private area | SHA-256 |
//!  | 5     | 1            | 1            | n     | 2, BE  | TPMT_PUBLIC | 2, BE  | TPM2B_PRIVATE's buffer | 32 |
//! ```
//!
//! The hash only tells accidents; the TPM itself refuses a forged or foreign blob.

use std::fmt;

use aws_lc_rs::digest;

use crate::SealedProblem;

/// Longest file of a TPM key, in bytes; a P-384 key takes about 500.
pub(crate) const MAX_BLOB_BYTES: usize = 8 * 1024;

const MAGIC: &[u8; 5] = b"VTPMK";
const VERSION: u8 = 1;
const HASH_BYTES: usize = 32;

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Blob {
    pub(crate) public: Vec<u8>,
    pub(crate) private: Vec<u8>,
}

impl Blob {
    /// The lengths fit: labels are at most 100 bytes, TPM structures come with a 16-bit length.
    pub(crate) fn encode(&self, label: &str) -> Vec<u8> {
        let mut encoded = MAGIC.to_vec();
        encoded.push(VERSION);
        encoded.push(label.len() as u8);
        encoded.extend_from_slice(label.as_bytes());
        for area in [&self.public, &self.private] {
            encoded.extend_from_slice(&(area.len() as u16).to_be_bytes());
            encoded.extend_from_slice(area);
        }
        let hash = digest::digest(&digest::SHA256, &encoded);
        encoded.extend_from_slice(hash.as_ref());
        encoded
    }

    pub(crate) fn decode(label: &str, encoded: &[u8]) -> Result<Self, SealedProblem> {
        let magic_seen = encoded.len().min(MAGIC.len());
        if encoded.get(..magic_seen) != MAGIC.get(..magic_seen) {
            return Err(SealedProblem::NotSealed);
        }
        let mut position = MAGIC.len();
        let mut take = |count: usize| {
            let end = position + count;
            let truncated = SealedProblem::Truncated {
                have: encoded.len(),
                need: end,
            };
            let taken = encoded.get(position..end).ok_or(truncated)?;
            position = end;
            Ok(taken)
        };
        match take(1)? {
            [VERSION] => {}
            version => return Err(SealedProblem::Version(version.iter().sum())),
        }
        let label_length = take(1)?.iter().copied().map(usize::from).sum();
        let found_label = take(label_length)?;
        let mut area = || {
            let length = take(2)?
                .iter()
                .fold(0, |length, byte| length << 8 | usize::from(*byte));
            take(length).map(<[u8]>::to_vec)
        };
        let blob = Self {
            public: area()?,
            private: area()?,
        };
        let hash = take(HASH_BYTES)?;
        let hashed = encoded.get(..position - HASH_BYTES).unwrap_or_default();
        if digest::digest(&digest::SHA256, hashed).as_ref() != hash {
            return Err(SealedProblem::Damaged);
        }
        if encoded.len() > position {
            return Err(SealedProblem::TrailingBytes {
                extra: encoded.len() - position,
            });
        }
        if found_label != label.as_bytes() {
            let found = String::from_utf8_lossy(found_label).into_owned();
            return Err(SealedProblem::WrongLabel { found });
        }
        Ok(blob)
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blob(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_truncation_and_bit_flip_is_noticed() {
        let blob = Blob {
            public: vec![1; 20],
            private: vec![2; 30],
        };
        let encoded = blob.encode("label");
        assert_eq!(Blob::decode("label", &encoded).unwrap(), blob);
        assert!(matches!(
            Blob::decode("other", &encoded),
            Err(SealedProblem::WrongLabel { .. })
        ));
        for length in 0..encoded.len() {
            let problem = Blob::decode("label", &encoded[..length]).unwrap_err();
            assert!(
                matches!(problem, SealedProblem::Truncated { .. }),
                "{length}: {problem:?}"
            );
        }
        for bit in 0..encoded.len() * 8 {
            let mut flipped = encoded.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Blob::decode("label", &flipped).is_err(), "{bit}");
        }
    }
}
