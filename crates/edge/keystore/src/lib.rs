//! Private keys at rest and in hardware, behind trust's [`Signer`](vouchsafe_trust::Signer).
//!
//! A [`KeyStore`] is opened by a [`StoreUri`]:
//!
//! | address | keys live in | algorithms |
//! | --- | --- | --- |
//! | `file:DIR[?sealing-key=FILE][&permissions=any]` | one sealed PKCS#8 file per label in `DIR` | P-256, P-384, Ed25519 |
//! | `pkcs11:module=M;token=T;pin-file=F[;permissions=any]` | a PKCS#11 token, not extractable | P-256, P-384 |
//! | `tpm:TCTI?keys=DIR` (feature `tpm`) | TPM 2.0, one wrapped blob per label in `DIR` | P-256, P-384 |
//!
//! Unknown parameters are refused; a PIN is only ever read from a file.
//!
//! A key signs ([`KeyStore::create`]) or agrees on secrets ([`KeyStore::create_agreement`]), on P-256
//! or P-384. In hardware it does one of the two and never the other.
//!
//! # Where the sealing key lives
//!
//! Sealed files are only worth something while the sealing key is not copied along with them, so
//! it never lies in the key folder by default. Without `sealing-key=` it is
//! `$XDG_CONFIG_HOME/vouchsafe/sealing.key` (else `$HOME/.config/vouchsafe/sealing.key`): apart
//! from the state folder, which is what gets backed up, and the same for all stores of one user,
//! so that a store can be moved. Where neither variable is set, as in most services, the address
//! must name the file. A sealing key is created (0600) only while the folder holds no sealed file:
//! a missing one is otherwise an error, never silently replaced.
//!
//! # Rules
//!
//! * Private bytes are [`Secret`](vouchsafe_trust::Secret): they neither print nor serialize.
//! * Every write is atomic: temporary file, `fsync`, rename, `fsync` of the folder.
//! * Reads are bounded by a constant beside the buffer.
//! * A damaged file is reported by name and left alone: nothing is ever repaired by deleting it.
//! * Opening a store, and `create`, `load`, `delete`, `list` on hardware, block: call them off the
//!   reactor. Signing says so through `may_block`; [`sign_off_thread`] does the right thing.
//!
//! # Features
//!
//! | feature | what |
//! | --- | --- |
//! | `tpm` | TPM 2.0 through the system's tpm2-tss library |

mod agreement;
mod algorithm;
mod bundle;
mod ecdsa;
mod error;
mod file_store;
mod files;
mod key_folder;
mod label;
mod pkcs11;
pub mod random;
mod sealer;
mod sealing_key;
mod store;
mod task;
#[cfg(feature = "tpm")]
mod tpm;
mod uri;

pub use agreement::KeyAgreement;
pub use algorithm::{Algorithm, UnknownAlgorithm, generate_key, generate_pkcs8};
pub use bundle::{BundleWriter, SealedBundle, Tail};
pub use error::{Error, HardwareProblem, SealedProblem, SealingKeyProblem, UriProblem};
pub use files::{UnfinishedFile, write_file};
pub use pkcs11::find_module;
pub use sealer::{MAX_SEALED_BYTES, MAX_SECRET_BYTES, Sealer};
pub use sealing_key::Permissions;
pub use store::{KeyStore, StoreKind};
pub use task::sign_off_thread;
pub use uri::StoreUri;
