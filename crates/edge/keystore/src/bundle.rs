//! Many sealed secrets in one append-only file, for batches where a file per key is too slow.
//!
//! ```text
//!  header:  | VBNDL | version (=1) | algorithm (=1) | key id | bundle id |
//!           | 5     | 1            | 1              | 8      | 32        |
//!  record:  | length | ~length | label length | label | nonce | ciphertext, tag |
//!           | 4, BE  | 4, BE   | 1            | n     | 12    | …               |
//! ```
//!
//! Records are sealed by AES-256-GCM under a key derived from the sealing key and the bundle's
//! random id; the record's number and label are associated data. So a record cannot be moved to
//! another label, place or bundle, and one taken out breaks every one after it. `length` counts what follows the frame;
//! its complement tells a bit flip from the unfinished record that a crash leaves.
//!
//! A batch: [`BundleWriter::open`], [`BundleWriter::append`] for each key, [`BundleWriter::sync`]
//! every so often: only then are the appended keys durable, and only then may their certificates
//! leave. A label appended again replaces the older record for readers.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{LessSafeKey, NONCE_LEN};
use aws_lc_rs::rand;
use vouchsafe_trust::Secret;

use crate::files::{self, Existing};
use crate::sealer::{self, KEY_ID_BYTES, MAX_SECRET_BYTES, TAG_BYTES, problem};
use crate::{Error, SealedProblem, Sealer};

/// Appends sealed secrets to a bundle. One at a time: the file is locked.
pub struct BundleWriter {
    file: File,
    path: PathBuf,
    key: LessSafeKey,
    records: u64,
    /// Records not yet handed to the operating system.
    pending: Vec<u8>,
    /// A write failed half-way: the end of the file is unknown until it is opened again.
    broken: bool,
}

/// A bundle opened for reading by label. Takes 24 bytes of memory for each record.
pub struct SealedBundle {
    file: File,
    path: PathBuf,
    key: LessSafeKey,
    hasher: RandomState,
    /// Sorted by label hash, then number.
    index: Vec<Place>,
    tail: Tail,
}

/// How a bundle ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// After a whole record.
    Whole,
    /// In an unfinished record, as a crash or a full disk leaves it.
    Unfinished {
        /// Bytes after the last whole record.
        bytes: u64,
    },
    /// In something that is not a record: the file was altered from here on.
    Damaged {
        /// Bytes after the last whole record.
        bytes: u64,
    },
}

const MAGIC: &[u8; 5] = b"VBNDL";
const VERSION: u8 = 1;
const AES_256_GCM_ID: u8 = 1;
const BUNDLE_ID_BYTES: usize = 32;
const HEADER_BYTES: usize = 5 + 1 + 1 + KEY_ID_BYTES + BUNDLE_ID_BYTES;
const FRAME_BYTES: usize = 8;
const MIN_RECORD_BYTES: usize = 1 + 1 + NONCE_LEN + TAG_BYTES;
const MAX_RECORD_BYTES: usize = 1 + 255 + NONCE_LEN + MAX_SECRET_BYTES + TAG_BYTES;

/// Most records a bundle may hold, which bounds a reader's memory to 384 MiB.
const MAX_RECORDS: u64 = 1 << 24;

/// Bytes gathered before they are handed to the operating system.
const PENDING_BYTES: usize = 256 * 1024;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    label_hash: u64,
    number: u64,
    offset: u64,
}

impl BundleWriter {
    /// Creates the bundle (mode 0600), or opens it to append.
    ///
    /// # Errors
    ///
    /// [`Error::BundleTruncated`] when it ends in an unfinished record: see
    /// [`BundleWriter::repair`]. [`Error::Sealed`] when it is damaged or of another sealing key;
    /// [`Error::Io`], also when another writer has it open.
    pub fn open(path: &Path, sealer: &Sealer) -> Result<Self, Error> {
        let (mut file, key) = open_locked(path, sealer)?;
        let (records, end, tail) = scan(&file, path, |_, _, _| {})?;
        match tail {
            Tail::Whole => {}
            Tail::Unfinished { bytes } => {
                let path = path.to_path_buf();
                return Err(Error::BundleTruncated {
                    path,
                    records,
                    tail_bytes: bytes,
                });
            }
            Tail::Damaged { .. } => return Err(damaged(path)),
        }
        file.seek(SeekFrom::Start(end))
            .map_err(|source| Error::io("seek in", path, source))?;
        let pending = Vec::with_capacity(PENDING_BYTES);
        Ok(Self {
            file,
            path: path.to_path_buf(),
            key,
            records,
            pending,
            broken: false,
        })
    }

    /// Moves an unfinished record at the end to `PATH.tail-OFFSET` and cuts the bundle to its
    /// whole records; nothing is thrown away. `None` when there was nothing to do.
    ///
    /// # Errors
    ///
    /// As [`BundleWriter::open`]; a damaged bundle is not repaired.
    pub fn repair(path: &Path, sealer: &Sealer) -> Result<Option<PathBuf>, Error> {
        let (file, _) = open_locked(path, sealer)?;
        let (_, end, tail) = scan(&file, path, |_, _, _| {})?;
        let bytes = match tail {
            Tail::Whole => return Ok(None),
            Tail::Unfinished { bytes } => bytes,
            Tail::Damaged { .. } => return Err(damaged(path)),
        };
        let failed = |source| Error::io("repair", path, source);
        // An unfinished record is shorter than a whole one, but the zeros that some file systems
        // leave after a crash may be many; those need not be kept.
        let kept = bytes.min((FRAME_BYTES + MAX_RECORD_BYTES) as u64) as usize;
        let mut unfinished = vec![0; kept];
        file.read_exact_at(&mut unfinished, end).map_err(failed)?;
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!(".tail-{end}"));
        let aside = PathBuf::from(aside);
        files::write_atomically(&aside, &unfinished, Existing::Replace)?;
        file.set_len(end)
            .and_then(|()| file.sync_all())
            .map_err(failed)?;
        Ok(Some(aside))
    }

    /// Seals a secret under a label of 1 to 255 bytes and appends it. Not durable before
    /// [`BundleWriter::sync`]. Returns the record's number, from 0.
    ///
    /// # Errors
    ///
    /// [`Error::Label`]; [`Error::Sealed`] when the secret is longer than
    /// [`MAX_SECRET_BYTES`](crate::MAX_SECRET_BYTES) or the bundle is full; [`Error::Io`], after
    /// which this writer refuses everything: open the bundle again.
    pub fn append(&mut self, label: &str, secret: &[u8]) -> Result<u64, Error> {
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
        if self.records >= MAX_RECORDS {
            let what = self.path.display().to_string();
            return Err(problem(&what, SealedProblem::Full { limit: MAX_RECORDS }));
        }
        let nonce = sealer::random_nonce()?;
        let length = 1 + label.len() + NONCE_LEN + secret.len() + TAG_BYTES;
        let length = u32::try_from(length).map_err(|_| damaged(&self.path))?;
        let associated = associated(self.records, label.as_bytes());
        let start = self.pending.len();
        self.pending.extend_from_slice(&length.to_be_bytes());
        self.pending.extend_from_slice(&(!length).to_be_bytes());
        self.pending.push(label_length);
        self.pending.extend_from_slice(label.as_bytes());
        self.pending.extend_from_slice(&nonce);
        if let Err(error) = sealer::seal(&self.key, nonce, &associated, secret, &mut self.pending) {
            self.pending.truncate(start);
            return Err(error);
        }
        let number = self.records;
        self.records += 1;
        if self.pending.len() >= PENDING_BYTES {
            self.write_pending()?;
        }
        Ok(number)
    }

    /// Makes everything appended so far durable.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]: what was appended since the last success may or may not be there.
    pub fn sync(&mut self) -> Result<(), Error> {
        self.write_pending()?;
        let synced = self.file.sync_data();
        self.broken = synced.is_err();
        synced.map_err(|source| Error::io("sync", &self.path, source))
    }

    /// Number of records, those not yet synced included.
    pub fn records(&self) -> u64 {
        self.records
    }

    fn write_pending(&mut self) -> Result<(), Error> {
        if self.broken {
            let stopped = io::Error::other("an earlier write failed; open the bundle again");
            return Err(Error::io("append to", &self.path, stopped));
        }
        let written = self.file.write_all(&self.pending);
        self.broken = written.is_err();
        self.pending.clear();
        written.map_err(|source| Error::io("append to", &self.path, source))
    }
}

impl SealedBundle {
    /// Opens a bundle and indexes its labels. An unfinished or damaged end does not keep the whole
    /// records before it from being read: see [`SealedBundle::tail`].
    ///
    /// # Errors
    ///
    /// [`Error::Sealed`] when it is no bundle or of another sealing key; [`Error::Io`].
    pub fn open(path: &Path, sealer: &Sealer) -> Result<Self, Error> {
        let file = File::open(path).map_err(|source| Error::io("open", path, source))?;
        let key = read_header(&file, path, sealer)?;
        let hasher = RandomState::new();
        let mut index = Vec::new();
        let (_, _, tail) = scan(&file, path, |number, offset, label| {
            index.push(Place {
                label_hash: hasher.hash_one(label),
                number,
                offset,
            });
        })?;
        index.sort_unstable();
        Ok(Self {
            file,
            path: path.to_path_buf(),
            key,
            hasher,
            index,
            tail,
        })
    }

    /// The secret that was last appended under this label.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`]; [`Error::Sealed`] with [`SealedProblem::Damaged`] when the record was
    /// altered, moved, or one before it taken out.
    pub fn read(&self, label: &str) -> Result<Secret, Error> {
        let label_hash = self.hasher.hash_one(label.as_bytes());
        let end = self
            .index
            .partition_point(|place| place.label_hash <= label_hash);
        let candidates = self.index.get(..end).unwrap_or_default().iter().rev();
        for place in candidates.take_while(|place| place.label_hash == label_hash) {
            let record = self.record_at(place.offset)?;
            let (found, sealed) = split_label(&record).ok_or_else(|| damaged(&self.path))?;
            if found != label.as_bytes() {
                continue;
            }
            let (nonce, ciphertext) = sealed
                .split_first_chunk()
                .ok_or_else(|| damaged(&self.path))?;
            return sealer::open(
                &self.key,
                *nonce,
                &associated(place.number, found),
                ciphertext,
            )
            .map_err(|reason| problem(&format!("{} ({label})", self.path.display()), reason));
        }
        Err(Error::NotFound {
            label: label.to_owned(),
            place: self.path.display().to_string(),
        })
    }

    /// Number of whole records.
    pub fn records(&self) -> u64 {
        self.index.len() as u64
    }

    /// How the bundle ends.
    pub fn tail(&self) -> Tail {
        self.tail
    }

    fn record_at(&self, offset: u64) -> Result<Vec<u8>, Error> {
        let failed = |source| Error::io("read", &self.path, source);
        let mut frame = [0; FRAME_BYTES];
        self.file
            .read_exact_at(&mut frame, offset)
            .map_err(failed)?;
        let length = record_length(frame).ok_or_else(|| damaged(&self.path))?;
        let mut record = vec![0; length];
        self.file
            .read_exact_at(&mut record, offset + FRAME_BYTES as u64)
            .map_err(failed)?;
        Ok(record)
    }
}

impl fmt::Debug for BundleWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "BundleWriter({}, {} records)",
            self.path.display(),
            self.records
        )
    }
}

impl fmt::Debug for SealedBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SealedBundle({}, {} records)",
            self.path.display(),
            self.records()
        )
    }
}

fn open_locked(path: &Path, sealer: &Sealer) -> Result<(File, LessSafeKey), Error> {
    let open = || {
        OpenOptions::new()
            .read(true)
            .write(true)
            .mode(0o600)
            .open(path)
    };
    let file = match open() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // The header comes into being whole; whoever is second finds it there.
            files::write_atomically(path, &new_header(sealer)?, Existing::Keep)?;
            open()
        }
        opened => opened,
    }
    .map_err(|source| Error::io("open", path, source))?;
    file.try_lock().map_err(|error| {
        let source = match error {
            TryLockError::Error(source) => source,
            TryLockError::WouldBlock => io::Error::other("another writer has it open"),
        };
        Error::io("lock", path, source)
    })?;
    let key = read_header(&file, path, sealer)?;
    Ok((file, key))
}

fn new_header(sealer: &Sealer) -> Result<Vec<u8>, Error> {
    let mut bundle_id = [0; BUNDLE_ID_BYTES];
    rand::fill(&mut bundle_id).map_err(|_| Error::Random)?;
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(&[VERSION, AES_256_GCM_ID]);
    header.extend_from_slice(sealer.key_id_bytes());
    header.extend_from_slice(&bundle_id);
    Ok(header)
}

fn read_header(file: &File, path: &Path, sealer: &Sealer) -> Result<LessSafeKey, Error> {
    let what = path.display().to_string();
    let failed = |reason| problem(&what, reason);
    let mut header = Vec::with_capacity(HEADER_BYTES);
    let mut reader = file;
    reader
        .seek(SeekFrom::Start(0))
        .and_then(|_| reader.take(HEADER_BYTES as u64).read_to_end(&mut header))
        .map_err(|source| Error::io("read", path, source))?;
    let magic_seen = header.len().min(MAGIC.len());
    if header.get(..magic_seen) != MAGIC.get(..magic_seen) {
        return Err(failed(SealedProblem::NotSealed));
    }
    let truncated = SealedProblem::Truncated {
        have: header.len(),
        need: HEADER_BYTES,
    };
    let fields = header.split_at_checked(MAGIC.len()).and_then(|(_, rest)| {
        let (&[version, algorithm], rest) = rest.split_first_chunk::<2>()?;
        let (key_id, bundle_id) = rest.split_at_checked(KEY_ID_BYTES)?;
        (bundle_id.len() == BUNDLE_ID_BYTES).then_some((version, algorithm, key_id, bundle_id))
    });
    let (version, algorithm, key_id, bundle_id) = fields.ok_or_else(|| failed(truncated))?;
    if version != VERSION {
        return Err(failed(SealedProblem::Version(version)));
    }
    if algorithm != AES_256_GCM_ID {
        return Err(failed(SealedProblem::Damaged));
    }
    if key_id != sealer.key_id_bytes() {
        let found = sealer::hex(key_id);
        return Err(failed(SealedProblem::WrongSealingKey {
            found,
            ours: sealer.key_id(),
        }));
    }
    sealer.derived_key(b"bundle", bundle_id)
}

/// Walks the frames, telling number, offset and label of each whole record; returns how many there
/// are, where they end, and what follows.
fn scan(
    file: &File,
    path: &Path,
    mut on_record: impl FnMut(u64, u64, &[u8]),
) -> Result<(u64, u64, Tail), Error> {
    let failed = |source| Error::io("read", path, source);
    let length = file.metadata().map_err(failed)?.len();
    let mut reader = BufReader::with_capacity(PENDING_BYTES, file);
    let mut offset = HEADER_BYTES as u64;
    reader.seek(SeekFrom::Start(offset)).map_err(failed)?;
    let mut records = 0;
    let mut record = Vec::new();
    while offset < length {
        let bytes = length - offset;
        if bytes < FRAME_BYTES as u64 {
            return Ok((records, offset, Tail::Unfinished { bytes }));
        }
        let mut frame = [0; FRAME_BYTES];
        reader.read_exact(&mut frame).map_err(failed)?;
        let Some(record_length) = record_length(frame) else {
            let zeros = frame == [0; FRAME_BYTES] && only_zeros(&mut reader).map_err(failed)?;
            let tail = if zeros {
                Tail::Unfinished { bytes }
            } else {
                Tail::Damaged { bytes }
            };
            return Ok((records, offset, tail));
        };
        if (bytes - FRAME_BYTES as u64) < record_length as u64 {
            return Ok((records, offset, Tail::Unfinished { bytes }));
        }
        record.resize(record_length, 0);
        reader.read_exact(&mut record).map_err(failed)?;
        let label = split_label(&record).map(|(label, _)| label);
        let Some(label) = label.filter(|_| records < MAX_RECORDS) else {
            return Ok((records, offset, Tail::Damaged { bytes }));
        };
        on_record(records, offset, label);
        records += 1;
        offset += (FRAME_BYTES + record_length) as u64;
    }
    Ok((records, offset, Tail::Whole))
}

fn only_zeros(reader: &mut impl Read) -> io::Result<bool> {
    let mut chunk = [0; 4096];
    loop {
        match reader.read(&mut chunk)? {
            0 => return Ok(true),
            count if chunk.iter().take(count).all(|byte| *byte == 0) => {}
            _ => return Ok(false),
        }
    }
}

fn record_length(frame: [u8; FRAME_BYTES]) -> Option<usize> {
    let (length, complement) = frame.split_first_chunk::<4>()?;
    let complement: [u8; 4] = complement.try_into().ok()?;
    let length = u32::from_be_bytes(*length);
    let fits = (MIN_RECORD_BYTES..=MAX_RECORD_BYTES).contains(&(length as usize));
    (fits && length == !u32::from_be_bytes(complement)).then_some(length as usize)
}

fn split_label(record: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&label_length, rest) = record.split_first()?;
    let (label, sealed) = rest.split_at_checked(usize::from(label_length))?;
    (!label.is_empty() && sealed.len() >= NONCE_LEN + TAG_BYTES).then_some((label, sealed))
}

fn associated(number: u64, label: &[u8]) -> Vec<u8> {
    let mut associated = number.to_be_bytes().to_vec();
    associated.extend_from_slice(label);
    associated
}

fn damaged(path: &Path) -> Error {
    problem(&path.display().to_string(), SealedProblem::Damaged)
}
