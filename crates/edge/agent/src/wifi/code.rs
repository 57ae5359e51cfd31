//! A code that a person has told both the device and the controller, for a device without a label
//! (Wi-Fi Easy Connect 3.0 §5.6).
//!
//! 1. A person gives the code to the device ([`put`]). It is kept sealed, with the number of tries.
//! 2. Whoever pretends to be the controller can guess once a try, so tries are bounded, and each is
//!    counted before it is made (§5.6.2).
//! 3. Once both have shown that they know it, it is of no use any more ([`forget`]).

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use vouchsafe_dpp::pkex::{PkexCode, Tries};
use vouchsafe_keystore::Sealer;
use vouchsafe_trust::Secret;

use crate::error::LocalError;

/// The file in `state/`.
const FILE: &str = "code.sealed";

/// The label under which it is sealed.
const SEALED_AS: &str = "wifi-code";

/// A code, and the name by which the controller finds it.
#[derive(Clone)]
pub struct Code {
    identifier: Option<String>,
    secret: Arc<Secret>,
}

impl Code {
    /// Takes a code as a person says it.
    ///
    /// # Errors
    /// An empty or overlong code or identifier.
    pub fn new(identifier: Option<&str>, text: &str) -> Result<Self, vouchsafe_dpp::Error> {
        PkexCode::new(identifier, text)?;
        Ok(Self {
            identifier: identifier.map(str::to_owned),
            secret: Arc::new(Secret::new(text.as_bytes().to_vec())),
        })
    }

    /// As the protocol takes it.
    pub(crate) fn for_exchange(&self) -> Result<PkexCode, vouchsafe_dpp::Error> {
        let text = std::str::from_utf8(self.secret.expose()).unwrap_or_default();
        PkexCode::new(self.identifier.as_deref(), text)
    }
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Code")
            .field("identifier", &self.identifier)
            .finish_non_exhaustive()
    }
}

/// Step 1: keeps a code in place of the one before. Blocks.
pub(crate) fn put(state: &Path, sealer: &Sealer, code: &Code) -> Result<(), LocalError> {
    write(state, sealer, code, 0)
}

/// The code, if there is one that may be tried. Blocks.
pub(crate) fn usable(state: &Path, sealer: &Sealer) -> Result<Option<Code>, LocalError> {
    let kept = read(state, sealer)?;
    Ok(kept
        .filter(|(_, tries)| !Tries::with_failed(*tries).are_used_up())
        .map(|(code, _)| code))
}

/// Step 2: counts a try that is about to be made, or takes back one that was not made. Blocks.
pub(crate) fn count(state: &Path, sealer: &Sealer, made: bool) -> Result<(), LocalError> {
    match read(state, sealer)? {
        None => Ok(()),
        Some((code, tries)) => {
            let tries = match made {
                true => tries.saturating_add(1),
                false => tries.saturating_sub(1),
            };
            write(state, sealer, &code, tries)
        }
    }
}

/// Step 3. Blocks.
pub(crate) fn forget(state: &Path) -> Result<(), LocalError> {
    let path = file(state);
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(LocalError::Write { path, source })
        }
        _ => Ok(()),
    }
}

/// One octet of tries, one of the identifier's length (0: none), the identifier, the code.
fn write(state: &Path, sealer: &Sealer, code: &Code, tries: u8) -> Result<(), LocalError> {
    let identifier = code.identifier.as_deref().unwrap_or_default();
    let mut kept = Vec::with_capacity(2 + identifier.len() + code.secret.len());
    kept.push(tries);
    kept.push(u8::try_from(identifier.len()).unwrap_or(u8::MAX));
    kept.extend_from_slice(identifier.as_bytes());
    kept.extend_from_slice(code.secret.expose());
    let kept = Secret::new(kept);
    std::fs::create_dir_all(state).map_err(|source| LocalError::Write {
        path: state.to_owned(),
        source,
    })?;
    Ok(sealer.write(&file(state), SEALED_AS, kept.expose())?)
}

fn read(state: &Path, sealer: &Sealer) -> Result<Option<(Code, u8)>, LocalError> {
    let path = file(state);
    if !path.exists() {
        return Ok(None);
    }
    let kept = sealer.read(&path, SEALED_AS)?;
    let parsed = || {
        let (tries, rest) = kept.expose().split_first()?;
        let (length, rest) = rest.split_first()?;
        let (identifier, code) = rest.split_at_checked(usize::from(*length))?;
        let identifier = std::str::from_utf8(identifier).ok()?;
        let identifier = (!identifier.is_empty()).then_some(identifier);
        let code = Code::new(identifier, std::str::from_utf8(code).ok()?).ok()?;
        Some((code, *tries))
    };
    match parsed() {
        Some(kept) => Ok(Some(kept)),
        None => Err(LocalError::damaged(&path, "it holds no code")),
    }
}

fn file(state: &Path) -> PathBuf {
    state.join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_kept_sealed_and_for_so_many_tries() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let sealer = Sealer::new(&[7; 32]).unwrap();
        assert!(usable(&state, &sealer).unwrap().is_none());
        let code = Code::new(Some("bench"), "seven silver spoons").unwrap();
        put(&state, &sealer, &code).unwrap();
        let bytes = std::fs::read(state.join(FILE)).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"silver"));
        assert!(!format!("{code:?}").contains("silver"));
        for _ in 0..Tries::LIMIT {
            let kept = usable(&state, &sealer).unwrap().unwrap();
            assert_eq!(kept.identifier, code.identifier);
            assert!(kept.secret.ct_eq(code.secret.expose()));
            count(&state, &sealer, true).unwrap();
        }
        assert!(usable(&state, &sealer).unwrap().is_none());
        count(&state, &sealer, false).unwrap();
        assert!(usable(&state, &sealer).unwrap().is_some());
        // Another one begins anew, also without a name.
        put(&state, &sealer, &Code::new(None, "another one").unwrap()).unwrap();
        assert!(
            usable(&state, &sealer)
                .unwrap()
                .unwrap()
                .identifier
                .is_none()
        );
        forget(&state).unwrap();
        forget(&state).unwrap();
        assert!(usable(&state, &sealer).unwrap().is_none());
    }
}
