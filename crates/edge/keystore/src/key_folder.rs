//! A folder with one file per key, `DIR/LABEL.ENDING`, shared by the processes that open it.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::files::{self, Existing, UNFINISHED_PREFIX};
use crate::{Error, SealedProblem, label, sealer};

const LOCK: &str = ".lock";

#[derive(Debug)]
pub(crate) struct KeyFolder {
    path: PathBuf,
    ending: &'static str,
}

impl KeyFolder {
    /// Creates the folder when absent and clears away what crashed writers left, after
    /// `before_use` (told whether there are keys) had its say; no writer is at work meanwhile.
    pub(crate) fn open<T>(
        path: &Path,
        ending: &'static str,
        before_use: impl FnOnce(bool) -> Result<T, Error>,
    ) -> Result<(Self, T), Error> {
        files::create_folder(path)?;
        let folder = Self {
            path: path.to_path_buf(),
            ending,
        };
        let _lock = folder.lock()?;
        let used = before_use(!folder.labels()?.is_empty())?;
        for name in folder
            .names()?
            .iter()
            .filter(|name| name.starts_with(UNFINISHED_PREFIX))
        {
            let path = folder.path.join(name);
            // Never reported as stored by anybody; only sealed bytes are in it.
            fs::remove_file(&path).map_err(|source| Error::io("delete", path, source))?;
        }
        Ok((folder, used))
    }

    pub(crate) fn create(&self, label: &str, contents: &[u8]) -> Result<(), Error> {
        let _lock = self.lock()?;
        if files::write_atomically(&self.file(label), contents, Existing::Keep)? {
            Ok(())
        } else {
            let place = self.path.display().to_string();
            Err(Error::LabelExists {
                label: label.to_owned(),
                place,
            })
        }
    }

    pub(crate) fn read(&self, label: &str, limit: usize) -> Result<Vec<u8>, Error> {
        let path = self.file(label);
        match files::read_bounded(&path, limit) {
            Ok(Some(contents)) => Ok(contents),
            Ok(None) => Err(self.problem(label, SealedProblem::TooLong { limit })),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(self.not_found(label)),
            Err(error) => Err(Error::io("read", path, error)),
        }
    }

    pub(crate) fn delete(&self, label: &str) -> Result<(), Error> {
        let _lock = self.lock()?;
        let path = self.file(label);
        match fs::remove_file(&path) {
            Ok(()) => files::sync_folder(&self.path),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(self.not_found(label)),
            Err(error) => Err(Error::io("delete", path, error)),
        }
    }

    pub(crate) fn labels(&self) -> Result<Vec<String>, Error> {
        let names = self.names()?;
        let labels = names
            .iter()
            .filter_map(|name| name.strip_suffix(self.ending));
        let mut labels: Vec<String> = labels
            .filter(|name| label::check(name).is_ok())
            .map(str::to_owned)
            .collect();
        labels.sort();
        Ok(labels)
    }

    /// An error that names the file of this label.
    pub(crate) fn problem(&self, label: &str, problem: SealedProblem) -> Error {
        sealer::problem(&self.file(label).display().to_string(), problem)
    }

    fn not_found(&self, label: &str) -> Error {
        Error::NotFound {
            label: label.to_owned(),
            place: self.path.display().to_string(),
        }
    }

    fn file(&self, label: &str) -> PathBuf {
        self.path.join(format!("{label}{}", self.ending))
    }

    fn names(&self) -> Result<Vec<String>, Error> {
        let failed = |source| Error::io("list", &self.path, source);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            names.extend(entry.map_err(failed)?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn lock(&self) -> Result<File, Error> {
        let path = self.path.join(LOCK);
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
}
