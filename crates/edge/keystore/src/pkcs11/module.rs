//! Finding and loading PKCS#11 modules, and reading PINs.

use std::collections::BTreeMap;
use std::env::consts::ARCH;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as CryptokiError, RvError};
use vouchsafe_trust::Secret;

use crate::{Error, HardwareProblem, Permissions, files};

/// Longest PIN in bytes.
const MAX_PIN_BYTES: usize = 255;

/// A module may be initialised once in a process, so all stores share it; it stays until the end.
static LOADED: Mutex<BTreeMap<PathBuf, Pkcs11>> = Mutex::new(BTreeMap::new());

/// Looks for a PKCS#11 module by bare name (`softhsm2` for `libsofthsm2.so`) where systems keep
/// them.
pub fn find_module(name: &str) -> Option<PathBuf> {
    let libraries = [
        format!("/usr/lib/{ARCH}-linux-gnu"),
        "/usr/lib/arm-linux-gnueabihf".into(),
        "/usr/lib64".into(),
        "/usr/lib".into(),
        "/usr/local/lib".into(),
        "/opt/homebrew/lib".into(),
    ];
    let below = ["", "softhsm", "pkcs11", "opensc"];
    let files = [
        format!("lib{name}.so"),
        format!("{name}.so"),
        name.to_owned(),
    ];
    libraries
        .iter()
        .flat_map(|folder| below.map(|below| Path::new(folder).join(below)))
        .flat_map(|folder| files.each_ref().map(|file| folder.join(file)))
        .find(|path| path.is_file())
}

/// Loads and initialises a module; a second load of the same file gives the first one's.
pub(super) fn load(module: &Path) -> Result<Pkcs11, Error> {
    let failed = |reason: String| {
        Error::hardware(
            module.display().to_string(),
            HardwareProblem::Module { reason },
        )
    };
    let bare = module.components().count() == 1 && !module.is_file();
    let path = if bare {
        find_module(&module.to_string_lossy()).ok_or_else(|| failed("not found".into()))?
    } else {
        module.to_path_buf()
    };
    let path = path
        .canonicalize()
        .map_err(|error| failed(error.to_string()))?;
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(pkcs11) = loaded.get(&path) {
        return Ok(pkcs11.clone());
    }
    let pkcs11 = Pkcs11::new(&path).map_err(|error| failed(error.to_string()))?;
    initialize(&pkcs11).map_err(|error| failed(error.to_string()))?;
    loaded.insert(path, pkcs11.clone());
    Ok(pkcs11)
}

pub(super) fn initialize(pkcs11: &Pkcs11) -> Result<(), CryptokiError> {
    match pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Err(CryptokiError::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        initialized => initialized,
    }
}

pub(super) fn read_pin(
    token: &str,
    pin_file: &Path,
    permissions: Permissions,
) -> Result<Secret, Error> {
    let failed = |problem| Error::hardware(pin_file.display().to_string(), problem);
    let read_failed = |source| Error::io("read PIN file", pin_file, source);
    if permissions == Permissions::OwnerOnly
        && let Some(mode) = files::readable_by_others(pin_file).map_err(read_failed)?
    {
        return Err(failed(HardwareProblem::PinFilePermissions { mode }));
    }
    // One byte more than the longest PIN, for the end of the line.
    let contents = files::read_bounded(pin_file, MAX_PIN_BYTES + 1).map_err(read_failed)?;
    let contents = Secret::new(contents.ok_or_else(|| failed(HardwareProblem::PinFile))?);
    let line = contents
        .expose()
        .strip_suffix(b"\n")
        .unwrap_or(contents.expose());
    let fits = !line.is_empty()
        && line.len() <= MAX_PIN_BYTES
        && !line.contains(&b'\n')
        && std::str::from_utf8(line).is_ok();
    if fits {
        tracing::debug!(token, "PIN read");
        Ok(Secret::new(line.to_vec()))
    } else {
        Err(failed(HardwareProblem::PinFile))
    }
}
