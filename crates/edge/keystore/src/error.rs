//! What can go wrong with a key store: each error names the thing, the reason and the next step.

use std::io;
use std::path::PathBuf;

use crate::{Algorithm, StoreKind};

/// Why a key store refused. Never carries secret bytes, a PIN or the value of an unknown
/// parameter.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address of the store cannot be used.
    #[error("key store address: {0}")]
    Uri(#[from] UriProblem),
    /// A label is empty, too long, or has characters that do not belong in a file name.
    #[error(
        "key label {label:?} is not usable: use 1 to 100 of A-Z a-z 0-9 . _ - and begin with a \
         letter or digit"
    )]
    Label {
        /// The label as given, cut to 100 characters.
        label: String,
    },
    /// There is no key with this label.
    #[error("no key {label:?} in {place}: create it, or list the labels that exist")]
    NotFound {
        /// The label looked for.
        label: String,
        /// The store looked in.
        place: String,
    },
    /// A key with this label exists; nothing was overwritten.
    #[error(
        "a key {label:?} exists already in {place}: load it, or delete it first; nothing was \
         overwritten"
    )]
    LabelExists {
        /// The label asked for.
        label: String,
        /// The store looked in.
        place: String,
    },
    /// This kind of store cannot make keys of this algorithm.
    #[error("a {store} key store cannot hold {algorithm} keys: choose ecdsa-p256 or ecdsa-p384")]
    AlgorithmUnsupported {
        /// The algorithm asked for.
        algorithm: Algorithm,
        /// The kind of store.
        store: StoreKind,
    },
    /// Keys in hardware are made there; they cannot be brought in.
    #[error("a {store} key store takes no keys from outside: create the key in it instead")]
    ImportUnsupported {
        /// The kind of store.
        store: StoreKind,
    },
    /// The bytes are not a PKCS#8 private key that we can sign with.
    #[error(
        "the private key {label:?} is not a PKCS#8 key for P-256, P-384 or Ed25519: convert it, \
         or create a new key"
    )]
    NotAPrivateKey {
        /// The label it was read from or is to be stored under.
        label: String,
    },
    /// The operating system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried ("read", "create", …).
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file that holds the sealing key cannot be used.
    #[error("sealing key {}: {problem}", path.display())]
    SealingKey {
        /// The sealing key file.
        path: PathBuf,
        /// What is wrong with it.
        problem: SealingKeyProblem,
    },
    /// Something sealed cannot be opened. It was left as it is.
    #[error("{what}: {problem}")]
    Sealed {
        /// The file or label.
        what: String,
        /// What is wrong with it.
        problem: SealedProblem,
    },
    /// The end of a bundle was cut off, usually by a crash or a full disk.
    #[error(
        "bundle {}: the last {tail_bytes} bytes after {records} whole records are an unfinished \
         record: its key was never reported as stored; BundleWriter::repair sets them aside",
        path.display()
    )]
    BundleTruncated {
        /// The bundle.
        path: PathBuf,
        /// How many whole records come before.
        records: u64,
        /// How many bytes of the unfinished record there are.
        tail_bytes: u64,
    },
    /// The token or TPM refused, or is absent.
    #[error("{what}: {problem}")]
    Hardware {
        /// The token or TPM, as the operator named it.
        what: String,
        /// What is wrong with it.
        problem: HardwareProblem,
    },
    /// The system's random number generator failed: nothing was made.
    #[error("the random number generator failed: nothing was made, try again")]
    Random,
}

/// What is wrong with the address of a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UriProblem {
    /// Not one of `file:`, `pkcs11:`, `tpm:`.
    #[error("unknown kind: begin with file:, pkcs11: or tpm:")]
    Scheme,
    /// A parameter that this kind of store does not know. Its value is not kept.
    #[error("unknown parameter {name:?}: known are {known}")]
    UnknownParameter {
        /// The parameter's name, cut to 40 characters.
        name: String,
        /// The ones that this kind of store knows.
        known: &'static str,
    },
    /// A parameter given twice.
    #[error("parameter {name:?} is given twice: keep one")]
    Repeated {
        /// The parameter's name.
        name: &'static str,
    },
    /// A required part is missing or empty.
    #[error("{name} is missing or empty: the form is {form}")]
    Missing {
        /// The part's name.
        name: &'static str,
        /// The whole form.
        form: &'static str,
    },
    /// `permissions=` takes only `any`.
    #[error("the value of {name:?} is not known: use {allowed}")]
    Value {
        /// The parameter's name.
        name: &'static str,
        /// What it may be.
        allowed: &'static str,
    },
    /// `%` must be followed by two hexadecimal digits, and the result must be UTF-8.
    #[error("bad percent escape: write % as %25")]
    Escape,
    /// PINs in addresses end up in process lists and logs.
    #[error("a PIN in the address would show in process lists and logs: use pin-file=FILE")]
    PinInAddress,
    /// The TPM was not compiled in.
    #[error("this build has no TPM support: build with the feature \"tpm\"")]
    NoTpm,
}

/// What is wrong with the file that holds a sealing key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealingKeyProblem {
    /// Others may read it.
    #[error(
        "mode {mode:04o} lets other users read it: chmod 600 it (and think about whether it was \
         copied), or say permissions=any if the platform protects it"
    )]
    Permissions {
        /// The permission bits found.
        mode: u32,
    },
    /// The folder holds sealed files but the key that opens them is gone.
    #[error(
        "missing, and the store already holds sealed files: restore it from where you keep it; a \
         new one could not open them, so none was made"
    )]
    Missing,
    /// No place was given and none can be derived.
    #[error("no place for it: add ?sealing-key=FILE to the address, outside of what you back up")]
    NoPlace,
    /// Not a sealing key, cut short or altered.
    #[error("not a whole sealing key (cut short or altered): restore it from where you keep it")]
    Damaged,
    /// From a newer release.
    #[error("format version {0} is not known: use the release that wrote it")]
    Version(String),
}

/// What is wrong with something sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealedProblem {
    /// It does not begin as a sealed file does.
    #[error("not sealed by vouchsafe: restore the right file from a backup")]
    NotSealed,
    /// From a newer release.
    #[error("format version {0} is not known: use the release that wrote it")]
    Version(u8),
    /// Ends too early.
    #[error("cut short ({have} of {need} bytes): restore it from a backup")]
    Truncated {
        /// Bytes present.
        have: usize,
        /// Bytes that at least should be.
        need: usize,
    },
    /// Goes on after its end.
    #[error("{extra} bytes follow its end: restore it from a backup")]
    TrailingBytes {
        /// How many.
        extra: usize,
    },
    /// Sealed under another sealing key.
    #[error(
        "sealed under another sealing key ({found}, this one is {ours}): name the right \
         sealing-key file"
    )]
    WrongSealingKey {
        /// Identifier of the key it was sealed under.
        found: String,
        /// Identifier of the key at hand.
        ours: String,
    },
    /// Sealed for another label: files were swapped or renamed.
    #[error("sealed for {found:?}, not for this name: files were swapped or renamed, undo that")]
    WrongLabel {
        /// The label it was sealed for.
        found: String,
    },
    /// The seal is broken.
    #[error("altered since it was sealed (bits flipped or tampered with): restore from a backup")]
    Damaged,
    /// A bundle holds as many records as it may.
    #[error("full ({limit} records): begin another bundle")]
    Full {
        /// The limit in records.
        limit: u64,
    },
    /// Longer than any secret we seal.
    #[error("longer than the limit of {limit} bytes: it was not made by us")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
}

/// What is wrong with a PKCS#11 token or TPM.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HardwareProblem {
    /// The PKCS#11 library cannot be loaded.
    #[error("cannot load the PKCS#11 module: install it or correct module= ({reason})")]
    Module {
        /// The loader's reason.
        reason: String,
    },
    /// No slot has a token of that label.
    #[error("no token with this label in any slot: insert it, or correct token=")]
    TokenMissing,
    /// More than one token has that label.
    #[error("more than one token has this label: give them different labels")]
    TokenAmbiguous,
    /// The token refuses the PIN.
    #[error("the token refuses the PIN: correct the PIN file before tries run out")]
    PinWrong,
    /// Too many wrong PINs.
    #[error("the PIN is locked after too many tries: the security officer must reset it")]
    PinLocked,
    /// The PIN file lets others read it.
    #[error("PIN file mode {mode:04o} lets other users read it: chmod 600 it")]
    PinFilePermissions {
        /// The permission bits found.
        mode: u32,
    },
    /// The PIN file is empty, too long or not UTF-8.
    #[error("the PIN file must hold one line of 1 to 255 characters")]
    PinFile,
    /// The device made a key that could leave it.
    #[error("the device would let key {label:?} be read out: it was not kept; use other hardware")]
    Extractable {
        /// The label of the key.
        label: String,
    },
    /// Public and private half under one label do not belong together.
    #[error("key {label:?} fails its self-test: its public half belongs to another key")]
    SelfTest {
        /// The label of the key.
        label: String,
    },
    /// More than one key has that label.
    #[error("more than one key is labelled {label:?}: delete or rename the others on the device")]
    LabelAmbiguous {
        /// The label of the key.
        label: String,
    },
    /// The TPM cannot load a key blob.
    #[error(
        "the TPM does not load key {label:?}: it was made by another TPM, or this one was cleared ({reason})"
    )]
    ForeignBlob {
        /// The label of the key.
        label: String,
        /// The TPM's reason.
        reason: String,
    },
    /// The TPM or its transport is not there.
    #[error("the TPM does not answer: check the TCTI and that it is running ({reason})")]
    TpmMissing {
        /// The library's reason.
        reason: String,
    },
    /// Anything else the device says.
    #[error("{doing} failed: {reason}")]
    Refused {
        /// What was tried.
        doing: &'static str,
        /// The device's reason.
        reason: String,
    },
}

impl Error {
    pub(crate) fn io(doing: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io {
            doing,
            path: path.into(),
            source,
        }
    }

    pub(crate) fn hardware(what: impl Into<String>, problem: HardwareProblem) -> Self {
        Self::Hardware {
            what: what.into(),
            problem,
        }
    }
}
