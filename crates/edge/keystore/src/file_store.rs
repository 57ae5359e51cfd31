//! Keys as sealed PKCS#8 files: `DIR/LABEL.key`, mode 0600, written whole or not at all.
//!
//! Making a key:
//!
//! 1. generate, seal for `key/LABEL`;
//! 2. lock `DIR/.lock`;
//! 3. write beside it, `fsync`, link to its name (which never replaces), `fsync` the folder;
//! 4. only then hand out the signer.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vouchsafe_trust::{Secret, Signer, SoftwareSigner};

use crate::agreement::SoftwareAgreement;
use crate::key_folder::KeyFolder;
use crate::{
    Algorithm, Error, KeyAgreement, MAX_SEALED_BYTES, Permissions, Sealer, SealingKeyProblem,
    files, generate_pkcs8, sealing_key,
};

#[derive(Debug)]
pub(crate) struct FileStore {
    folder: KeyFolder,
    sealer: Sealer,
}

impl FileStore {
    pub(crate) fn open(
        folder: &Path,
        sealing_key: Option<&Path>,
        permissions: Permissions,
    ) -> Result<Self, Error> {
        let sealing_key = match sealing_key {
            Some(path) => path.to_path_buf(),
            None => default_sealing_key(folder)?,
        };
        if files::parent(&sealing_key) == folder {
            tracing::warn!(
                folder = %folder.display(),
                "the sealing key lies beside the files it seals: a backup of the folder opens itself"
            );
        }
        let (folder, sealer) = KeyFolder::open(folder, ".key", |holds_keys| {
            if holds_keys {
                Sealer::open_existing(&sealing_key, permissions)
            } else {
                Sealer::open(&sealing_key, permissions)
            }
        })?;
        Ok(Self { folder, sealer })
    }

    pub(crate) fn create(
        &self,
        label: &str,
        algorithm: Algorithm,
    ) -> Result<Arc<dyn Signer>, Error> {
        self.import(label, generate_pkcs8(algorithm)?.expose())
    }

    pub(crate) fn import(&self, label: &str, pkcs8_der: &[u8]) -> Result<Arc<dyn Signer>, Error> {
        let signer = signer(label, pkcs8_der)?;
        self.folder
            .create(label, &self.sealer.seal(&sealed_label(label), pkcs8_der)?)?;
        Ok(signer)
    }

    pub(crate) fn load(&self, label: &str) -> Result<Arc<dyn Signer>, Error> {
        signer(label, self.unseal(label)?.expose())
    }

    pub(crate) fn create_agreement(
        &self,
        label: &str,
        algorithm: Algorithm,
    ) -> Result<Arc<dyn KeyAgreement>, Error> {
        self.create(label, algorithm)?;
        self.load_agreement(label)
    }

    pub(crate) fn load_agreement(&self, label: &str) -> Result<Arc<dyn KeyAgreement>, Error> {
        let key = SoftwareAgreement::from_pkcs8_der(label, self.unseal(label)?.expose())?;
        Ok(Arc::new(key))
    }

    fn unseal(&self, label: &str) -> Result<Secret, Error> {
        let sealed = self.folder.read(label, MAX_SEALED_BYTES)?;
        self.sealer
            .try_unseal(&sealed_label(label), &sealed)
            .map_err(|problem| self.folder.problem(label, problem))
    }

    pub(crate) fn delete(&self, label: &str) -> Result<(), Error> {
        self.folder.delete(label)
    }

    pub(crate) fn list(&self) -> Result<Vec<String>, Error> {
        self.folder.labels()
    }
}

/// Keys are sealed apart from other secrets under the same sealing key: no key label has a slash.
fn sealed_label(label: &str) -> String {
    format!("key/{label}")
}

fn signer(label: &str, pkcs8_der: &[u8]) -> Result<Arc<dyn Signer>, Error> {
    SoftwareSigner::from_pkcs8_der(pkcs8_der)
        .map(|signer| Arc::new(signer) as Arc<dyn Signer>)
        .map_err(|_| Error::NotAPrivateKey {
            label: label.to_owned(),
        })
}

/// The place of the sealing key where an address names none.
pub(crate) fn default_sealing_key(folder: &Path) -> Result<PathBuf, Error> {
    let variable = |name| env::var_os(name).map(PathBuf::from);
    sealing_key::default_place(variable("XDG_CONFIG_HOME"), variable("HOME")).ok_or_else(|| {
        Error::SealingKey {
            path: folder.to_path_buf(),
            problem: SealingKeyProblem::NoPlace,
        }
    })
}
