//! Keys as sealed PKCS#8 files: `DIR/LABEL.key`, mode 0600, written whole or not at all.
//!
//! Making a key:
//!
//! 1. lock `DIR/.lock`, so that two processes do not make the same label;
//! 2. refuse when `LABEL.key` exists;
//! 3. generate, seal for `key/LABEL`;
//! 4. write beside it, `fsync`, link to its name, `fsync` the folder;
//! 5. only then hand out the signer.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vouchsafe_trust::{Signer, SoftwareSigner};

use crate::files::{self, Existing, UNFINISHED_PREFIX};
use crate::sealing_key;
use crate::{Algorithm, Error, Permissions, Sealer, SealingKeyProblem, generate_pkcs8};

const ENDING: &str = ".key";
const LOCK: &str = ".lock";

#[derive(Debug)]
pub(crate) struct FileStore {
    folder: PathBuf,
    sealer: Sealer,
}

impl FileStore {
    pub(crate) fn open(
        folder: &Path,
        sealing_key: Option<&Path>,
        permissions: Permissions,
    ) -> Result<Self, Error> {
        files::create_folder(folder)?;
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
        // Locked while it is decided whether a new sealing key may be made, and while leftovers of
        // writers that crashed are cleared away: no other writer is at work then.
        let lock = lock(folder)?;
        let sealer = if labels(folder)?.is_empty() {
            Sealer::open(&sealing_key, permissions)?
        } else {
            Sealer::open_existing(&sealing_key, permissions)?
        };
        clear_unfinished(folder)?;
        drop(lock);
        Ok(Self {
            folder: folder.to_path_buf(),
            sealer,
        })
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
        let sealed = self.sealer.seal(&sealed_label(label), pkcs8_der)?;
        let _lock = lock(&self.folder)?;
        if files::write_atomically(&self.path(label), &sealed, Existing::Keep)? {
            Ok(signer)
        } else {
            Err(Error::LabelExists {
                label: label.to_owned(),
                place: self.place(),
            })
        }
    }

    pub(crate) fn load(&self, label: &str) -> Result<Arc<dyn Signer>, Error> {
        match self.sealer.read(&self.path(label), &sealed_label(label)) {
            Ok(pkcs8_der) => signer(label, pkcs8_der.expose()),
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                Err(self.not_found(label))
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) fn delete(&self, label: &str) -> Result<(), Error> {
        let _lock = lock(&self.folder)?;
        let path = self.path(label);
        match fs::remove_file(&path) {
            Ok(()) => files::sync_folder(&self.folder),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(self.not_found(label)),
            Err(error) => Err(Error::io("delete", path, error)),
        }
    }

    pub(crate) fn list(&self) -> Result<Vec<String>, Error> {
        labels(&self.folder)
    }

    fn path(&self, label: &str) -> PathBuf {
        self.folder.join(format!("{label}{ENDING}"))
    }

    fn place(&self) -> String {
        self.folder.display().to_string()
    }

    fn not_found(&self, label: &str) -> Error {
        Error::NotFound {
            label: label.to_owned(),
            place: self.place(),
        }
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

fn default_sealing_key(folder: &Path) -> Result<PathBuf, Error> {
    let variable = |name| env::var_os(name).map(PathBuf::from);
    sealing_key::default_place(variable("XDG_CONFIG_HOME"), variable("HOME")).ok_or_else(|| {
        Error::SealingKey {
            path: folder.to_path_buf(),
            problem: SealingKeyProblem::NoPlace,
        }
    })
}

fn labels(folder: &Path) -> Result<Vec<String>, Error> {
    let mut labels: Vec<String> = names(folder)?
        .iter()
        .filter_map(|name| Some(name.strip_suffix(ENDING)?.to_owned()))
        .collect();
    labels.retain(|label| crate::label::check(label).is_ok());
    labels.sort();
    Ok(labels)
}

fn clear_unfinished(folder: &Path) -> Result<(), Error> {
    for name in names(folder)?
        .iter()
        .filter(|name| name.starts_with(UNFINISHED_PREFIX))
    {
        let path = folder.join(name);
        // Never reported as stored by anybody; only sealed bytes are in it.
        fs::remove_file(&path).map_err(|source| Error::io("delete", path, source))?;
    }
    Ok(())
}

fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let failed = |source| Error::io("list", folder, source);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        names.extend(entry.map_err(failed)?.file_name().into_string().ok());
    }
    Ok(names)
}

fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join(LOCK);
    let lock = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path);
    let lock = lock.map_err(|source| Error::io("open lock", &path, source))?;
    lock.lock()
        .map_err(|source| Error::io("lock", &path, source))?;
    Ok(lock)
}
