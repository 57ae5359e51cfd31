//! Files that are either whole or absent, and that only their owner can read.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;

use crate::Error;

/// Beginning of the names of unfinished files.
pub(crate) const UNFINISHED_PREFIX: &str = ".unfinished-";

/// Whether a file that exists may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    Keep,
    Replace,
}

/// Writes a file of mode 0600 so that a crash at any moment leaves the old state or the new one:
/// temporary file beside it, `fsync`, rename (or link, which never replaces), `fsync` of the folder.
///
/// Returns whether the file was written; `false` only with [`Existing::Keep`].
pub(crate) fn write_atomically(
    path: &Path,
    contents: &[u8],
    existing: Existing,
) -> Result<bool, Error> {
    let folder = parent(path);
    let unfinished = folder.join(unfinished_name()?);
    let written = write_and_move(&unfinished, path, contents, existing);
    if !matches!(written, Ok(true)) || existing == Existing::Keep {
        // After a link the temporary name is a second name of the same file.
        let _ = fs::remove_file(&unfinished);
    }
    let written = written.map_err(|source| Error::io("write", path, source))?;
    sync_folder(&folder)?;
    Ok(written)
}

/// Writes a file of mode 0600 that is whole or absent whenever the machine stops, replacing one of
/// that name; folders above it are created, mode 0700.
///
/// # Errors
///
/// [`Error::Io`].
pub fn write_file(path: &Path, contents: &[u8]) -> Result<(), Error> {
    create_folder(&parent(path))?;
    write_atomically(path, contents, Existing::Replace).map(|_| ())
}

/// Reads at most `limit` bytes; a longer file gives `None`.
pub(crate) fn read_bounded(path: &Path, limit: usize) -> Result<Option<Vec<u8>>, io::Error> {
    let file = File::open(path)?;
    let mut contents = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut contents)?;
    Ok((contents.len() <= limit).then_some(contents))
}

/// Creates a folder and its parents, mode 0700; one that exists keeps its mode.
pub(crate) fn create_folder(path: &Path) -> Result<(), Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| Error::io("create folder", path, source))
}

/// The permission bits of a file when group or others may read or write it.
pub(crate) fn readable_by_others(path: &Path) -> Result<Option<u32>, io::Error> {
    let mode = fs::metadata(path)?.mode() & 0o7777;
    Ok((mode & 0o077 != 0).then_some(mode))
}

/// Makes a rename, link or removal in this folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), Error> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| Error::io("sync folder", folder, source))
}

/// The folder a file is in; `.` for a bare name.
pub(crate) fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

fn write_and_move(
    unfinished: &Path,
    path: &Path,
    contents: &[u8],
    existing: Existing,
) -> io::Result<bool> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(unfinished)?;
    file.write_all(contents)?;
    file.sync_all()?;
    match existing {
        Existing::Replace => fs::rename(unfinished, path).map(|()| true),
        Existing::Keep => match fs::hard_link(unfinished, path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        },
    }
}

fn unfinished_name() -> Result<String, Error> {
    let mut random = [0; 8];
    rand::fill(&mut random).map_err(|_| Error::Random)?;
    Ok(format!(
        "{UNFINISHED_PREFIX}{:016x}",
        u64::from_be_bytes(random)
    ))
}
