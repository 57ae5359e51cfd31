//! The desired state on disk: a document, and the differences since, one a line.
//!
//! A difference is appended, so that one change among fifty thousand devices costs one line. When the lines
//! outgrow the document it is read again and written whole. A line that a crash cut short was never in force;
//! it is passed over.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use vouchsafe_api::gate::{AdmittedStation, StateDifference};
use vouchsafe_api::{AdmittedCredential, DesiredState};
use vouchsafe_keystore::UnfinishedFile;

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
    version: Option<u64>,
    /// Sizes of the two files.
    sizes: (u64, u64),
    appending: Option<File>,
    /// Whether half a line stands at the end of the differences: nothing may follow it.
    is_torn: bool,
}

impl Kept {
    /// Reads what is there.
    pub(crate) fn open(folder: &LinkFolder) -> Result<(Self, Option<DesiredState>), GateError> {
        let mut kept = Self {
            document_file: folder.file("state.json"),
            differences_file: folder.file("differences"),
            version: None,
            sizes: (0, 0),
            appending: None,
            is_torn: false,
        };
        if !kept.document_file.exists() {
            return Ok((kept, None));
        }
        let document = kept.read()?;
        // Whatever the lines were, the next ones follow the document.
        if kept.differences_file.exists() {
            kept.put(&document)?;
        } else {
            kept.version = Some(document.version);
            kept.sizes.0 = length(&kept.document_file);
        }
        Ok((kept, Some(document)))
    }

    /// The document, with all differences that follow it.
    fn read(&self) -> Result<DesiredState, GateError> {
        let text = read_text(&self.document_file, MAX_STATE)?;
        let mut document: DesiredState = serde_json::from_str(&text)
            .map_err(|error| GateError::content(&self.document_file, error))?;
        drop(text);
        let mut lines = String::new();
        if self.differences_file.exists() {
            lines = read_text(&self.differences_file, MAX_STATE)?;
        }
        let mut changes = Changes::default();
        for line in lines.lines() {
            let Ok(difference) = serde_json::from_str::<StateDifference>(line) else {
                tracing::warn!("a difference was cut short by the end of an earlier run");
                break;
            };
            // Lines of before the document was written whole are passed over.
            if difference.from == document.version {
                changes.note(&mut document, difference);
            }
        }
        changes.apply(&mut document);
        Ok(document)
    }

    pub(crate) fn version(&self) -> Option<u64> {
        self.version
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

    /// Writes a whole document down, but does not keep it yet. It is written as it is gone through: a second
    /// copy would be as large as all else.
    pub(crate) fn prepare(&self, document: &DesiredState) -> Result<Prepared, GateError> {
        let path = &self.document_file;
        let mut file = UnfinishedFile::begin(path)?;
        serde_json::to_writer(&mut file, document)
            .map_err(|error| GateError::content(path, error))?;
        Ok(Prepared {
            version: document.version,
            file,
        })
    }

    /// Keeps what was prepared.
    pub(crate) fn keep(&mut self, prepared: Prepared) -> Result<(), GateError> {
        prepared.file.finish()?;
        self.version = Some(prepared.version);
        self.appending = None;
        self.sizes = (length(&self.document_file), 0);
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

    fn put(&mut self, document: &DesiredState) -> Result<(), GateError> {
        let prepared = self.prepare(document)?;
        self.keep(prepared)
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
            let mut document = self.read()?;
            let mut changes = Changes::default();
            changes.note(&mut document, difference);
            changes.apply(&mut document);
            return self.put(&document);
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
        self.version = Some(difference.to);
        Ok(())
    }
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |it| it.len())
}

/// A document that was written down, and is forgotten where it is not kept.
#[derive(Debug)]
pub(crate) struct Prepared {
    version: u64,
    file: UnfinishedFile,
}

/// What differences leave of credentials and stations, by their names: many are applied in one pass.
#[derive(Default)]
struct Changes {
    credentials: BTreeMap<String, Option<AdmittedCredential>>,
    stations: BTreeMap<String, Option<AdmittedStation>>,
}

impl Changes {
    /// The difference is taken without a look at its beginning. All but the two lists changes at once.
    fn note(&mut self, document: &mut DesiredState, difference: StateDifference) {
        document.version = difference.to;
        document.issued_at = difference.issued_at;
        if let Some(lists) = difference.revocation_lists {
            document.revocation_lists = lists;
        }
        if let Some(segments) = difference.segments {
            document.segments = segments;
        }
        for gone in difference.remove {
            self.credentials.insert(gone, None);
        }
        for put in difference.put {
            self.credentials.insert(put.credential.clone(), Some(put));
        }
        for gone in difference.stations_remove {
            self.stations.insert(gone, None);
        }
        for put in difference.stations_put {
            self.stations.insert(put.mac.clone(), Some(put));
        }
    }

    fn apply(self, document: &mut DesiredState) {
        let (credentials, stations) = (self.credentials, self.stations);
        let admitted = &mut document.admitted;
        admitted.retain(|each| !credentials.contains_key(&each.credential));
        admitted.extend(credentials.into_values().flatten());
        let here = &mut document.stations;
        here.retain(|each| !stations.contains_key(&each.mac));
        here.extend(stations.into_values().flatten());
    }
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

    /// What outgrows the document is written whole, with what the lines say.
    #[test]
    fn many_lines_become_one_document() {
        let dir = tempfile::tempdir().unwrap();
        let folder = LinkFolder::of(dir.path());
        fs::create_dir(dir.path().join("link")).unwrap();
        let (mut kept, _) = Kept::open(&folder).unwrap();
        kept.put(&document()).unwrap();
        let station = |mac: &str| AdmittedStation {
            mac: mac.to_owned(),
            device: "d".repeat(64 * 1024),
            segment: None,
            expires_at: Timestamp::UNIX_EPOCH,
        };
        for from in 1..=40 {
            let put = station(&format!("02:00:00:00:00:{:02x}", from % 4));
            kept.append(StateDifference {
                stations_put: vec![put],
                stations_remove: vec!["02:00:00:00:00:03".to_owned()],
                ..difference(from)
            })
            .unwrap();
        }
        let whole = fs::metadata(folder.file("state.json")).unwrap();
        assert!(whole.len() > 64 * 1024);
        let (_, document) = Kept::open(&folder).unwrap();
        let document = document.unwrap();
        assert_eq!(document.version, 41);
        let left: Vec<_> = document.stations.iter().map(|it| &*it.mac).collect();
        let all = [0, 1, 2].map(|last| format!("02:00:00:00:00:{last:02x}"));
        assert_eq!(left, all);
    }

    /// A disk that fails in the middle of a line, and does not take it back either.
    #[test]
    fn half_a_line_that_stays_spoils_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let folder = LinkFolder::of(dir.path());
        fs::create_dir(dir.path().join("link")).unwrap();
        let (mut kept, none) = Kept::open(&folder).unwrap();
        assert_eq!(none, None);
        kept.put(&document()).unwrap();
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
        let (kept, document) = Kept::open(&folder).unwrap();
        assert_eq!(kept.version(), Some(4));
        assert_eq!(document.unwrap().version, 4);
    }
}
