//! Sealing small secrets: AES-256-GCM with the label in the associated data, so that a sealed file
//! opens only under its own name.
//!
//! ```text
//!  0       5         6           7          15      27             28       28+n     32+n
//!  | VSEAL | version | algorithm | key id   | nonce | label length | label  | length | ciphertext, tag |
//!  | 5     | 1 (=1)  | 1 (=1)    | 8        | 12    | 1            | n      | 4, BE  | length          |
//! ```
//!
//! Everything before the ciphertext is associated data. The key id (truncated HKDF output) tells
//! "another sealing key" from "damaged" without trying. Nonces are random: one sealing key is good
//! for 2^32 seals (NIST SP 800-38D §8.3); bundles derive a key of their own.

use std::fmt;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use aws_lc_rs::rand;
use vouchsafe_trust::Secret;
use zeroize::{Zeroize, Zeroizing};

use crate::file_store::default_sealing_key;
use crate::files::{self, Existing};
use crate::sealing_key::{self, Permissions};
use crate::{Error, SealedProblem, StoreUri};

/// Longest secret that can be sealed, in bytes.
pub const MAX_SECRET_BYTES: usize = 64 * 1024;

/// Longest sealed form, in bytes: header, label of 255 bytes, secret, tag.
pub const MAX_SEALED_BYTES: usize = FIXED_BYTES + 255 + MAX_SECRET_BYTES + TAG_BYTES;

const MAGIC: &[u8; 5] = b"VSEAL";
const VERSION: u8 = 1;
const AES_256_GCM_ID: u8 = 1;
pub(crate) const KEY_ID_BYTES: usize = 8;
pub(crate) const TAG_BYTES: usize = 16;
const FIXED_BYTES: usize = 5 + 1 + 1 + KEY_ID_BYTES + NONCE_LEN + 1 + 4;

/// Seals and opens small secrets under one sealing key. Cheap to share behind an `Arc`.
pub struct Sealer {
    key: LessSafeKey,
    key_id: [u8; KEY_ID_BYTES],
    derive: Prk,
}

impl Sealer {
    /// Opens the sealing key in a file, or creates it (mode 0600) when it is absent.
    ///
    /// Of several processes that create the same file at once, all end up with the same key.
    ///
    /// # Errors
    ///
    /// [`Error::SealingKey`] when the file can be read by others (unless `permissions` says any),
    /// or is not a whole sealing key; [`Error::Io`].
    pub fn open(sealing_key: &Path, permissions: Permissions) -> Result<Self, Error> {
        Self::new(&*sealing_key::open_or_create(sealing_key, permissions)?)
    }

    /// Opens the sealing key in a file that must exist.
    ///
    /// # Errors
    ///
    /// As [`Sealer::open`]; [`SealingKeyProblem::Missing`](crate::SealingKeyProblem::Missing) when absent.
    pub fn open_existing(sealing_key: &Path, permissions: Permissions) -> Result<Self, Error> {
        Self::new(&*sealing_key::open_existing(sealing_key, permissions)?)
    }

    /// The sealer for secrets that are kept beside the keys of a store: under the sealing key that
    /// its address names, else under the one at the default place (crate page), which is created
    /// when absent.
    ///
    /// # Errors
    ///
    /// As [`Sealer::open`].
    pub fn beside(store: &StoreUri) -> Result<Self, Error> {
        match store {
            StoreUri::File {
                folder,
                sealing_key,
                permissions,
            } => match sealing_key {
                Some(path) => Self::open(path, *permissions),
                None => Self::open(&default_sealing_key(folder)?, *permissions),
            },
            StoreUri::Pkcs11 { .. } => Self::open(
                &default_sealing_key(Path::new("pkcs11:"))?,
                Permissions::OwnerOnly,
            ),
            StoreUri::Tpm { keys, .. } => {
                Self::open(&default_sealing_key(keys)?, Permissions::OwnerOnly)
            }
        }
    }

    /// A sealer under a key that the caller holds, 32 bytes of full entropy.
    ///
    /// # Errors
    ///
    /// [`Error::Random`] when the cryptographic library gives up.
    pub fn new(sealing_key: &[u8; 32]) -> Result<Self, Error> {
        let derive = Salt::new(HKDF_SHA256, b"vouchsafe sealing key v1").extract(sealing_key);
        let mut key_id = [0; KEY_ID_BYTES];
        expand(&derive, &[b"key id"], &mut key_id)?;
        Ok(Self {
            key: aead_key(&derive, &[b"seal"])?,
            key_id,
            derive,
        })
    }

    /// Seals a secret for a label of 1 to 255 bytes. Two seals of the same secret differ.
    ///
    /// # Errors
    ///
    /// [`Error::Sealed`] when the secret is longer than [`MAX_SECRET_BYTES`]; [`Error::Label`];
    /// [`Error::Random`].
    pub fn seal(&self, label: &str, secret: &[u8]) -> Result<Vec<u8>, Error> {
        let label_length = u8::try_from(label.len())
            .ok()
            .filter(|length| *length > 0)
            .ok_or_else(|| Error::Label {
                label: label.chars().take(100).collect(),
            })?;
        if secret.len() > MAX_SECRET_BYTES {
            return Err(problem(
                label,
                SealedProblem::TooLong {
                    limit: MAX_SECRET_BYTES,
                },
            ));
        }
        let nonce = random_nonce()?;
        let mut header = Vec::with_capacity(FIXED_BYTES + label.len() + secret.len() + TAG_BYTES);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&[VERSION, AES_256_GCM_ID]);
        header.extend_from_slice(&self.key_id);
        header.extend_from_slice(&nonce);
        header.push(label_length);
        header.extend_from_slice(label.as_bytes());
        header.extend_from_slice(&((secret.len() + TAG_BYTES) as u32).to_be_bytes());
        let mut sealed = header.clone();
        seal(&self.key, nonce, &header, secret, &mut sealed)?;
        Ok(sealed)
    }

    /// Opens what [`Sealer::seal`] made for the same label under the same sealing key.
    ///
    /// # Errors
    ///
    /// [`Error::Sealed`] with the exact [`SealedProblem`].
    pub fn unseal(&self, label: &str, sealed: &[u8]) -> Result<Secret, Error> {
        self.try_unseal(label, sealed)
            .map_err(|reason| problem(label, reason))
    }

    /// Seals a secret into a file (mode 0600), replacing what was there atomically.
    ///
    /// # Errors
    ///
    /// As [`Sealer::seal`]; [`Error::Io`].
    pub fn write(&self, path: &Path, label: &str, secret: &[u8]) -> Result<(), Error> {
        files::write_atomically(path, &self.seal(label, secret)?, Existing::Replace).map(|_| ())
    }

    /// Opens a file that [`Sealer::write`] made for the same label.
    ///
    /// # Errors
    ///
    /// As [`Sealer::unseal`], naming the file; [`Error::Io`].
    pub fn read(&self, path: &Path, label: &str) -> Result<Secret, Error> {
        let what = path.display().to_string();
        let sealed = files::read_bounded(path, MAX_SEALED_BYTES)
            .map_err(|source| Error::io("read", path, source))?
            .ok_or_else(|| {
                problem(
                    &what,
                    SealedProblem::TooLong {
                        limit: MAX_SEALED_BYTES,
                    },
                )
            })?;
        self.try_unseal(label, &sealed)
            .map_err(|reason| problem(&what, reason))
    }

    /// Identifies the sealing key: 16 hexadecimal digits that say nothing about it.
    pub fn key_id(&self) -> String {
        hex(&self.key_id)
    }

    pub(crate) fn key_id_bytes(&self) -> &[u8; KEY_ID_BYTES] {
        &self.key_id
    }

    /// A key for one purpose and one random salt, for files that take many seals.
    pub(crate) fn derived_key(&self, purpose: &[u8], salt: &[u8]) -> Result<LessSafeKey, Error> {
        aead_key(&self.derive, &[purpose, salt])
    }

    pub(crate) fn try_unseal(&self, label: &str, sealed: &[u8]) -> Result<Secret, SealedProblem> {
        let mut rest = Fields {
            all: sealed,
            position: 0,
        };
        let magic_seen = sealed.len().min(MAGIC.len());
        if sealed.get(..magic_seen) != MAGIC.get(..magic_seen) {
            return Err(SealedProblem::NotSealed);
        }
        rest.take(MAGIC.len())?;
        let version = rest.byte()?;
        if version != VERSION {
            return Err(SealedProblem::Version(version));
        }
        // A second algorithm would be a second version; an unknown one is damage.
        if rest.byte()? != AES_256_GCM_ID {
            return Err(SealedProblem::Damaged);
        }
        let key_id = rest.take(KEY_ID_BYTES)?;
        if key_id != self.key_id {
            return Err(SealedProblem::WrongSealingKey {
                found: hex(key_id),
                ours: self.key_id(),
            });
        }
        let nonce: [u8; NONCE_LEN] = rest
            .take(NONCE_LEN)?
            .try_into()
            .map_err(|_| SealedProblem::Damaged)?;
        let label_length = usize::from(rest.byte()?);
        let found_label = rest.take(label_length)?;
        if found_label != label.as_bytes() {
            let found = String::from_utf8_lossy(found_label).into_owned();
            return Err(SealedProblem::WrongLabel { found });
        }
        let length: [u8; 4] = rest
            .take(4)?
            .try_into()
            .map_err(|_| SealedProblem::Damaged)?;
        let length = u32::from_be_bytes(length) as usize;
        if length > MAX_SECRET_BYTES + TAG_BYTES {
            return Err(SealedProblem::TooLong {
                limit: MAX_SECRET_BYTES,
            });
        }
        let header = sealed.get(..rest.position).unwrap_or_default();
        let ciphertext = rest.take(length)?;
        let extra = sealed.len() - rest.position;
        if extra > 0 {
            return Err(SealedProblem::TrailingBytes { extra });
        }
        open(&self.key, nonce, header, ciphertext)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer(key id {})", self.key_id())
    }
}

/// Appends ciphertext and tag to `sealed`.
pub(crate) fn seal(
    key: &LessSafeKey,
    nonce: [u8; NONCE_LEN],
    associated: &[u8],
    secret: &[u8],
    sealed: &mut Vec<u8>,
) -> Result<(), Error> {
    let nonce = Nonce::assume_unique_for_key(nonce);
    let mut buffer = Zeroizing::new(secret.to_vec());
    let tag = key
        .seal_in_place_separate_tag(nonce, Aad::from(associated), &mut buffer)
        .map_err(|_| Error::Random)?;
    sealed.extend_from_slice(&buffer);
    sealed.extend_from_slice(tag.as_ref());
    Ok(())
}

/// Checks tag and associated data and returns the plaintext.
pub(crate) fn open(
    key: &LessSafeKey,
    nonce: [u8; NONCE_LEN],
    associated: &[u8],
    ciphertext: &[u8],
) -> Result<Secret, SealedProblem> {
    let mut buffer = ciphertext.to_vec();
    let nonce = Nonce::assume_unique_for_key(nonce);
    let plaintext_length = key
        .open_in_place(nonce, Aad::from(associated), &mut buffer)
        .map(|plaintext| plaintext.len());
    let Ok(plaintext_length) = plaintext_length else {
        buffer.zeroize();
        return Err(SealedProblem::Damaged);
    };
    buffer.truncate(plaintext_length);
    Ok(Secret::new(buffer))
}

pub(crate) fn random_nonce() -> Result<[u8; NONCE_LEN], Error> {
    let mut nonce = [0; NONCE_LEN];
    rand::fill(&mut nonce).map_err(|_| Error::Random)?;
    Ok(nonce)
}

pub(crate) fn problem(what: &str, problem: SealedProblem) -> Error {
    Error::Sealed {
        what: what.to_owned(),
        problem,
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Takes bytes off the front and says how many are missing when there are too few.
struct Fields<'a> {
    all: &'a [u8],
    position: usize,
}

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], SealedProblem> {
        let end = self.position + count;
        let taken = self
            .all
            .get(self.position..end)
            .ok_or(SealedProblem::Truncated {
                have: self.all.len(),
                need: end,
            })?;
        self.position = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, SealedProblem> {
        self.take(1)
            .map(|taken| taken.first().copied().unwrap_or_default())
    }
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand(derive: &Prk, info: &[&[u8]], output: &mut [u8]) -> Result<(), Error> {
    derive
        .expand(info, Length(output.len()))
        .and_then(|expanded| expanded.fill(output))
        .map_err(|_| Error::Random)
}

fn aead_key(derive: &Prk, info: &[&[u8]]) -> Result<LessSafeKey, Error> {
    let mut key = Zeroizing::new([0; 32]);
    expand(derive, info, key.as_mut())?;
    UnboundKey::new(&AES_256_GCM, key.as_ref())
        .map(LessSafeKey::new)
        .map_err(|_| Error::Random)
}
