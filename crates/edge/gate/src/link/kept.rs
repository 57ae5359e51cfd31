//! The desired state on disk: a document, and the differences since, one a line.
//!
//! A difference is appended, so that one change among fifty thousand devices costs one line. When the lines
//! outgrow the document it is written whole. A line that a crash cut short was never in force; it is passed
//! over.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use vouchsafe_api::DesiredState;
use vouchsafe_api::gate::StateDifference;
use vouchsafe_keystore::write_file;

use super::folder::LinkFolder;
use crate::config::read_text;
use crate::error::GateError;

/// Largest file that is read, in octets.
const MAX_STATE: u64 = 512 * 1024 * 1024;

/// Differences are kept beside the document at least up to this size, in octets.
const LEAST_DIFFERENCES: u64 = 1024 * 1024;

/// Why a difference is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DifferenceError {
    /// It does not begin where we are.
    #[error("the difference begins at version {from}; ours is {ours:?}")]
    OtherBeginning { from: u64, ours: Option<u64> },
    /// It leads back.
    #[error("the difference leads from version {from} to version {to}")]
    Backwards { from: u64, to: u64 },
}

/// Document and differences.
#[derive(Debug)]
pub(crate) struct Kept {
    document_file: PathBuf,
    differences_file: PathBuf,
    document: Option<DesiredState>,
    /// Sizes of the two files.
    sizes: (u64, u64),
    appending: Option<File>,
    /// Whether half a line stands at the end of the differences: nothing may follow it.
    is_torn: bool,
}

impl Kept {
    /// Reads what is there.
    pub(crate) fn open(folder: &LinkFolder) -> Result<Self, GateError> {
        let mut kept = Self {
            document_file: folder.file("state.json"),
            differences_file: folder.file("differences"),
            document: None,
            sizes: (0, 0),
            appending: None,
            is_torn: false,
        };
        if !kept.document_file.exists() {
            return Ok(kept);
        }
        let text = read_text(&kept.document_file, MAX_STATE)?;
        let mut document: DesiredState = serde_json::from_str(&text)
            .map_err(|error| GateError::content(&kept.document_file, error))?;
        let mut lines = String::new();
        if kept.differences_file.exists() {
            lines = read_text(&kept.differences_file, MAX_STATE)?;
        }
        for line in lines.lines() {
            let Ok(difference) = serde_json::from_str::<StateDifference>(line) else {
                tracing::warn!("a difference was cut short by the end of an earlier run");
                break;
            };
            // Lines of before the document was written whole are passed over.
            if difference.from == document.version {
                apply(&mut document, difference);
            }
        }
        // Whatever the lines were, the next ones follow the document.
        kept.document = Some(document);
        kept.write_whole()?;
        Ok(kept)
    }

    pub(crate) fn document(&self) -> Option<&DesiredState> {
        self.document.as_ref()
    }

    pub(crate) fn version(&self) -> Option<u64> {
        self.document.as_ref().map(|document| document.version)
    }

    /// Whether a difference begins where we are, and leads on.
    pub(crate) fn leads(&self, difference: &StateDifference) -> Result<(), DifferenceError> {
        let (from, to) = (difference.from, difference.to);
        let ours = self.version();
        if ours != Some(from) {
            return Err(DifferenceError::OtherBeginning { from, ours });
        }
        if to <= from {
            return Err(DifferenceError::Backwards { from, to });
        }
        Ok(())
    }

    /// Writes a whole document down.
    pub(crate) fn put(&mut self, document: DesiredState) -> Result<(), GateError> {
        self.document = Some(document);
        self.write_whole()
    }

    /// Writes a difference down that leads on from here.
    pub(crate) fn append(&mut self, difference: StateDifference) -> Result<(), GateError> {
        let path = self.differences_file.clone();
        let mut line =
            serde_json::to_vec(&difference).map_err(|error| GateError::content(&path, error))?;
        line.push(b'\n');
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        let is_long = self.sizes.1.saturating_add(length) > self.sizes.0.max(LEAST_DIFFERENCES);
        if is_long || self.is_torn {
            if let Some(document) = &mut self.document {
                apply(document, difference);
            }
            return self.write_whole();
        }
        let failed = |source| GateError::file(&path, source);
        let mut file = match self.appending.take() {
            Some(file) => file,
            None => OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(&path)
                .map_err(failed)?,
        };
        if let Err(source) = file.write_all(&line).and_then(|()| file.sync_data()) {
            // Half a line must not be the beginning of the next one.
            let mended = file.set_len(self.sizes.1);
            tracing::warn!(is_mended = mended.is_ok(), "a difference was not written");
            self.is_torn = mended.is_err();
            return Err(failed(source));
        }
        self.appending = Some(file);
        self.sizes.1 += length;
        if let Some(document) = &mut self.document {
            apply(document, difference);
        }
        Ok(())
    }

    fn write_whole(&mut self) -> Result<(), GateError> {
        let path = &self.document_file;
        let text =
            serde_json::to_vec(&self.document).map_err(|error| GateError::content(path, error))?;
        write_file(path, &text)?;
        self.appending = None;
        self.sizes = (u64::try_from(text.len()).unwrap_or(u64::MAX), 0);
        match fs::remove_file(&self.differences_file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(GateError::file(&self.differences_file, error))
            }
            _ => {
                self.is_torn = false;
                Ok(())
            }
        }
    }
}

/// The difference is taken without a look at its beginning.
fn apply(document: &mut DesiredState, difference: StateDifference) {
    document.version = difference.to;
    document.issued_at = difference.issued_at;
    if let Some(lists) = difference.revocation_lists {
        document.revocation_lists = lists;
    }
    if let Some(segments) = difference.segments {
        document.segments = segments;
    }
    let mut changed: BTreeMap<String, Option<_>> = BTreeMap::new();
    for gone in difference.remove {
        changed.insert(gone, None);
    }
    for put in difference.put {
        changed.insert(put.credential.clone(), Some(put));
    }
    document
        .admitted
        .retain(|each| !changed.contains_key(&each.credential));
    document.admitted.extend(changed.into_values().flatten());
    let mut stations: BTreeMap<String, Option<_>> = BTreeMap::new();
    for gone in difference.stations_remove {
        stations.insert(gone, None);
    }
    for put in difference.stations_put {
        stations.insert(put.mac.clone(), Some(put));
    }
    document
        .stations
        .retain(|each| !stations.contains_key(&each.mac));
    document.stations.extend(stations.into_values().flatten());
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn document() -> DesiredState {
        DesiredState {
            version: 1,
            issued_at: Timestamp::UNIX_EPOCH,
            revocation_lists: Vec::new(),
            segments: Vec::new(),
            admitted: Vec::new(),
            stations: Vec::new(),
        }
    }

    fn difference(from: u64) -> StateDifference {
        StateDifference {
            from,
            to: from + 1,
            issued_at: Timestamp::UNIX_EPOCH,
            revocation_lists: None,
            segments: None,
            put: Vec::new(),
            remove: Vec::new(),
            stations_put: Vec::new(),
            stations_remove: Vec::new(),
        }
    }

    /// A disk that fails in the middle of a line, and does not take it back either.
    #[test]
    fn half_a_line_that_stays_spoils_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let folder = LinkFolder::of(dir.path());
        fs::create_dir(dir.path().join("link")).unwrap();
        let mut kept = Kept::open(&folder).unwrap();
        kept.put(document()).unwrap();
        kept.append(difference(1)).unwrap();
        let path = folder.file("differences");
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"from\":2,").unwrap();
        // Neither written nor shortened through this one.
        kept.appending = Some(File::open(&path).unwrap());
        kept.append(difference(2)).unwrap_err();
        assert_eq!(kept.version(), Some(2));
        kept.append(difference(2)).unwrap();
        kept.append(difference(3)).unwrap();
        assert_eq!(Kept::open(&folder).unwrap().version(), Some(4));
    }
}
