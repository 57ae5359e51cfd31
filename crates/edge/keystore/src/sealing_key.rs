//! The file that holds a sealing key: one line of text, created 0600, checked for damage.
//!
//! `vouchsafe-sealing-key v1 BASE64`, where BASE64 is the 32 bytes of the key and the first four of
//! their SHA-256, so that a file cut short or altered is told apart from a wrong one.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use aws_lc_rs::{digest, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::files::{self, Existing};
use crate::{Error, SealingKeyProblem};

/// Whose permission to read a sealing key or PIN file is tolerated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Permissions {
    /// Only the owner's (mode 0600 or less).
    #[default]
    OwnerOnly,
    /// Anybody's: for platforms that mount secrets with other modes and guard them otherwise.
    Any,
}

const WORD: &str = "vouchsafe-sealing-key";
const VERSION: &str = "v1";
const CHECK_BYTES: usize = 4;

/// A sealing key file is one short line.
const MAX_FILE_BYTES: usize = 256;

/// A sealing key, wiped when dropped.
pub(crate) type SealingKey = Zeroizing<[u8; 32]>;

pub(crate) fn open_or_create(path: &Path, permissions: Permissions) -> Result<SealingKey, Error> {
    match open_existing(path, permissions) {
        Err(Error::SealingKey {
            problem: SealingKeyProblem::Missing,
            ..
        }) => {}
        opened => return opened,
    }
    files::create_folder(&files::parent(path))?;
    let mut key: SealingKey = Zeroizing::new([0; 32]);
    rand::fill(key.as_mut()).map_err(|_| Error::Random)?;
    if files::write_atomically(path, encode(&key).as_bytes(), Existing::Keep)? {
        return Ok(key);
    }
    // Somebody else was first: theirs is the key.
    open_existing(path, permissions)
}

pub(crate) fn open_existing(path: &Path, permissions: Permissions) -> Result<SealingKey, Error> {
    let failed = |problem| Error::SealingKey {
        path: path.to_path_buf(),
        problem,
    };
    let read_failed = |source: std::io::Error| match source.kind() {
        ErrorKind::NotFound => failed(SealingKeyProblem::Missing),
        _ => Error::io("read sealing key", path, source),
    };
    if permissions == Permissions::OwnerOnly
        && let Some(mode) = files::readable_by_others(path).map_err(read_failed)?
    {
        return Err(failed(SealingKeyProblem::Permissions { mode }));
    }
    let line = files::read_bounded(path, MAX_FILE_BYTES)
        .map_err(read_failed)?
        .map(Zeroizing::new)
        .ok_or_else(|| failed(SealingKeyProblem::Damaged))?;
    decode(&line).map_err(failed)
}

/// The place of the sealing key when the address names none; see the crate page.
pub(crate) fn default_place(
    config_home: Option<PathBuf>,
    home: Option<PathBuf>,
) -> Option<PathBuf> {
    // An empty or relative value is to be ignored (XDG Base Directory Specification).
    config_home
        .filter(|folder| folder.is_absolute())
        .or_else(|| {
            home.filter(|folder| folder.is_absolute())
                .map(|home| home.join(".config"))
        })
        .map(|folder| folder.join("vouchsafe").join("sealing.key"))
}

fn encode(key: &SealingKey) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new(key.to_vec());
    bytes.extend_from_slice(&check(key.as_ref()));
    let text = Zeroizing::new(STANDARD.encode(&*bytes));
    Zeroizing::new(format!("{WORD} {VERSION} {}\n", &*text))
}

fn decode(line: &[u8]) -> Result<SealingKey, SealingKeyProblem> {
    let line = std::str::from_utf8(line).map_err(|_| SealingKeyProblem::Damaged)?;
    // The line must be whole, its end included.
    let line = line.strip_suffix('\n').ok_or(SealingKeyProblem::Damaged)?;
    let mut words = line.split(' ');
    if words.next() != Some(WORD) {
        return Err(SealingKeyProblem::Damaged);
    }
    match words.next() {
        Some(VERSION) => {}
        Some(version) if version.len() < 5 && version.starts_with('v') => {
            return Err(SealingKeyProblem::Version(version.to_owned()));
        }
        _ => return Err(SealingKeyProblem::Damaged),
    }
    let text = words.next().ok_or(SealingKeyProblem::Damaged)?;
    if words.next().is_some() {
        return Err(SealingKeyProblem::Damaged);
    }
    let bytes = STANDARD
        .decode(text)
        .map(Zeroizing::new)
        .map_err(|_| SealingKeyProblem::Damaged)?;
    let (key, found_check) = bytes
        .split_at_checked(32)
        .ok_or(SealingKeyProblem::Damaged)?;
    if check(key) != found_check {
        return Err(SealingKeyProblem::Damaged);
    }
    let mut sealing_key: SealingKey = Zeroizing::new([0; 32]);
    sealing_key.copy_from_slice(key);
    Ok(sealing_key)
}

fn check(key: &[u8]) -> Vec<u8> {
    let hash = digest::digest(&digest::SHA256, key);
    hash.as_ref().iter().copied().take(CHECK_BYTES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_place_is_the_users_configuration_and_never_relative() {
        let place = |config: Option<&str>, home: Option<&str>| {
            default_place(config.map(PathBuf::from), home.map(PathBuf::from))
        };
        assert_eq!(
            place(Some("/c"), Some("/h")),
            Some("/c/vouchsafe/sealing.key".into())
        );
        assert_eq!(
            place(Some(""), Some("/h")),
            Some("/h/.config/vouchsafe/sealing.key".into())
        );
        assert_eq!(place(Some("c"), None), None);
        assert_eq!(place(None, None), None);
    }

    #[test]
    fn every_truncation_and_bit_flip_of_a_sealing_key_is_noticed() {
        let key: SealingKey = Zeroizing::new([7; 32]);
        let line = encode(&key).as_bytes().to_vec();
        assert_eq!(*decode(&line).unwrap(), *key);
        for length in 0..line.len() {
            assert!(decode(&line[..length]).is_err(), "{length}");
        }
        for bit in 0..line.len() * 8 {
            let mut flipped = line.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&flipped).is_err(), "{bit}");
        }
    }
}
