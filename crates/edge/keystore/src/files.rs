//! Files that are either whole or absent, and that only their owner can read.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;

use crate::Error;

/// Beginning of the names of unfinished files.
pub(crate) const UNFINISHED_PREFIX: &str = ".unfinished-";

/// How much of an [`UnfinishedFile`] waits in memory, in octets.
const PIECE: usize = 64 * 1024;

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

/// A file of mode 0600 that is written piece by piece, so that what is large need not be held whole. It
/// has its name once it is finished, as with [`write_file`]; dropped before that, it never was.
#[derive(Debug)]
pub struct UnfinishedFile {
    file: BufWriter<File>,
    unfinished: PathBuf,
    path: PathBuf,
    is_finished: bool,
}

impl UnfinishedFile {
    /// Begins a file that is to be at `path`.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn begin(path: &Path) -> Result<Self, Error> {
        let folder = parent(path);
        create_folder(&folder)?;
        let unfinished = folder.join(unfinished_name()?);
        let file = create_unfinished(&unfinished)
            .map_err(|source| Error::io("write", &unfinished, source))?;
        Ok(Self {
            file: BufWriter::with_capacity(PIECE, file),
            unfinished,
            path: path.to_owned(),
            is_finished: false,
        })
    }

    /// All of it is on the disk, and now at its place.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]: what was there before still is, unless only the folder could not be synced.
    pub fn finish(mut self) -> Result<(), Error> {
        let written = self.file.flush();
        let written = written.and_then(|()| self.file.get_ref().sync_all());
        let moved = written.and_then(|()| fs::rename(&self.unfinished, &self.path));
        moved.map_err(|source| Error::io("write", &self.path, source))?;
        self.is_finished = true;
        sync_folder(&parent(&self.path))
    }
}

impl Write for UnfinishedFile {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.file.write(piece)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for UnfinishedFile {
    fn drop(&mut self) {
        if !self.is_finished {
            let _ = fs::remove_file(&self.unfinished);
        }
    }
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
    let mut file = create_unfinished(unfinished)?;
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

fn create_unfinished(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path)
}

fn unfinished_name() -> Result<String, Error> {
    let mut random = [0; 8];
    rand::fill(&mut random).map_err(|_| Error::Random)?;
    Ok(format!(
        "{UNFINISHED_PREFIX}{:016x}",
        u64::from_be_bytes(random)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever stops in the middle leaves what was there before, and nothing beside it.
    #[test]
    fn an_unfinished_file_replaces_nothing_until_it_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_file(&path, b"before").unwrap();
        let mut file = UnfinishedFile::begin(&path).unwrap();
        file.write_all(&[b'x'; 3 * PIECE]).unwrap();
        drop(file);
        assert_eq!(fs::read(&path).unwrap(), b"before");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let mut file = UnfinishedFile::begin(&path).unwrap();
        file.write_all(b"af").unwrap();
        file.write_all(b"ter").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"before");
        file.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"after");
        assert_eq!(readable_by_others(&path).unwrap(), None);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
