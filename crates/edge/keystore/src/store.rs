//! One face for all places where keys live.

use std::fmt;
use std::sync::Arc;

use vouchsafe_trust::Signer;

use crate::file_store::FileStore;
use crate::pkcs11::TokenStore;
#[cfg(feature = "tpm")]
use crate::tpm::TpmStore;
use crate::{Algorithm, Error, KeyAgreement, StoreUri, agreement, label};

/// A set of private keys, each under a label of 1 to 100 characters (`A-Z a-z 0-9 . _ -`).
///
/// Every method may block on files or hardware; signing blocks only where
/// [`Signer::may_block`] says so.
#[derive(Debug)]
pub struct KeyStore {
    place: Place,
}

/// Where the keys of a store live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreKind {
    /// Sealed files; the key is in memory while it signs.
    File,
    /// A PKCS#11 token; the key never leaves it.
    Pkcs11,
    /// A TPM 2.0; the key never leaves it unwrapped.
    Tpm,
}

#[derive(Debug)]
enum Place {
    File(FileStore),
    Pkcs11(TokenStore),
    #[cfg(feature = "tpm")]
    Tpm(TpmStore),
}

impl KeyStore {
    /// Opens the store at an address (forms on the crate page), creating folder and sealing key of
    /// a file store that does not exist yet.
    ///
    /// # Errors
    ///
    /// [`Error::Uri`], [`Error::SealingKey`], [`Error::Hardware`], [`Error::Io`].
    pub fn open(address: &str) -> Result<Self, Error> {
        Self::open_uri(&address.parse()?)
    }

    /// Opens the store at an address that was parsed before.
    ///
    /// # Errors
    ///
    /// As [`KeyStore::open`].
    pub fn open_uri(uri: &StoreUri) -> Result<Self, Error> {
        let place = match uri {
            StoreUri::File {
                folder,
                sealing_key,
                permissions,
            } => Place::File(FileStore::open(
                folder,
                sealing_key.as_deref(),
                *permissions,
            )?),
            StoreUri::Pkcs11 {
                module,
                token,
                pin_file,
                permissions,
            } => Place::Pkcs11(TokenStore::open(module, token, pin_file, *permissions)?),
            #[cfg(feature = "tpm")]
            StoreUri::Tpm { tcti, keys } => Place::Tpm(TpmStore::open(tcti, keys)?),
            #[cfg(not(feature = "tpm"))]
            StoreUri::Tpm { .. } => return Err(crate::UriProblem::NoTpm.into()),
        };
        Ok(Self { place })
    }

    /// Where the keys live: what a device record states as the origin of its key.
    pub fn kind(&self) -> StoreKind {
        match self.place {
            Place::File(_) => StoreKind::File,
            Place::Pkcs11(_) => StoreKind::Pkcs11,
            #[cfg(feature = "tpm")]
            Place::Tpm(_) => StoreKind::Tpm,
        }
    }

    /// Makes a new key. When this returns, the key is durable.
    ///
    /// # Errors
    ///
    /// [`Error::LabelExists`] (nothing is overwritten), [`Error::AlgorithmUnsupported`], and those
    /// of the place.
    pub fn create(&self, label: &str, algorithm: Algorithm) -> Result<Arc<dyn Signer>, Error> {
        label::check(label)?;
        match &self.place {
            Place::File(store) => store.create(label, algorithm),
            Place::Pkcs11(store) => store.create(label, algorithm),
            #[cfg(feature = "tpm")]
            Place::Tpm(store) => store.create(label, algorithm),
        }
    }

    /// The signer for an existing key.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], and those of the place.
    pub fn load(&self, label: &str) -> Result<Arc<dyn Signer>, Error> {
        label::check(label)?;
        match &self.place {
            Place::File(store) => store.load(label),
            Place::Pkcs11(store) => store.load(label),
            #[cfg(feature = "tpm")]
            Place::Tpm(store) => store.load(label),
        }
    }

    /// Makes a new key that agrees on secrets, on the curve of `algorithm`. When this returns, the key is
    /// durable.
    ///
    /// # Errors
    ///
    /// As [`KeyStore::create`].
    pub fn create_agreement(
        &self,
        label: &str,
        algorithm: Algorithm,
    ) -> Result<Arc<dyn KeyAgreement>, Error> {
        label::check(label)?;
        if agreement::curve(algorithm).is_none() {
            let store = self.kind();
            return Err(Error::AlgorithmUnsupported { algorithm, store });
        }
        match &self.place {
            Place::File(store) => store.create_agreement(label, algorithm),
            Place::Pkcs11(store) => store.create_agreement(label, algorithm),
            #[cfg(feature = "tpm")]
            Place::Tpm(store) => store.create_agreement(label, algorithm),
        }
    }

    /// An existing key that agrees on secrets.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], and those of the place, also for a key that only signs.
    pub fn load_agreement(&self, label: &str) -> Result<Arc<dyn KeyAgreement>, Error> {
        label::check(label)?;
        match &self.place {
            Place::File(store) => store.load_agreement(label),
            Place::Pkcs11(store) => store.load_agreement(label),
            #[cfg(feature = "tpm")]
            Place::Tpm(store) => store.load_agreement(label),
        }
    }

    /// Takes in a private key made elsewhere, as PKCS#8 DER. Files only: what hardware is asked to
    /// keep from leaving must not have been outside before.
    ///
    /// # Errors
    ///
    /// [`Error::ImportUnsupported`], [`Error::NotAPrivateKey`], [`Error::LabelExists`].
    pub fn import(&self, label: &str, pkcs8_der: &[u8]) -> Result<Arc<dyn Signer>, Error> {
        label::check(label)?;
        match &self.place {
            Place::File(store) => store.import(label, pkcs8_der),
            _ => Err(Error::ImportUnsupported { store: self.kind() }),
        }
    }

    /// Destroys a key for good.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], and those of the place.
    pub fn delete(&self, label: &str) -> Result<(), Error> {
        label::check(label)?;
        match &self.place {
            Place::File(store) => store.delete(label),
            Place::Pkcs11(store) => store.delete(label),
            #[cfg(feature = "tpm")]
            Place::Tpm(store) => store.delete(label),
        }
    }

    /// The labels of all keys, sorted. Nothing is opened, so a damaged file is listed too.
    ///
    /// # Errors
    ///
    /// Those of the place.
    pub fn list(&self) -> Result<Vec<String>, Error> {
        match &self.place {
            Place::File(store) => store.list(),
            Place::Pkcs11(store) => store.list(),
            #[cfg(feature = "tpm")]
            Place::Tpm(store) => store.list(),
        }
    }
}

impl StoreKind {
    /// The word used in addresses, records and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Pkcs11 => "pkcs11",
            Self::Tpm => "tpm",
        }
    }
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
