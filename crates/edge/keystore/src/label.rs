//! Key labels: names for people that are also file names.

use crate::Error;

/// Longest label in bytes; leaves room for an ending within the usual 255 of a file name.
const MAX_LABEL_BYTES: usize = 100;

/// Checks that a label can be a file name on any system and cannot leave its folder.
pub(crate) fn check(label: &str) -> Result<(), Error> {
    let first_fits = label
        .bytes()
        .next()
        .is_some_and(|byte| byte.is_ascii_alphanumeric());
    let all_fit = label
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    if first_fits && all_fit && label.len() <= MAX_LABEL_BYTES {
        Ok(())
    } else {
        Err(Error::Label {
            label: label.chars().take(MAX_LABEL_BYTES).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_label_cannot_leave_its_folder_or_hide() {
        for label in [
            "", ".", "..", "../a", "a/b", ".hidden", "-rf", "a b", "ä", "a\0", "a\n",
        ] {
            assert!(check(label).is_err(), "{label:?}");
        }
        assert!(check(&"a".repeat(101)).is_err());
        for label in ["a", "idevid", "ca.2026-11_A", "0"] {
            assert!(check(label).is_ok(), "{label:?}");
        }
        assert!(check(&"a".repeat(100)).is_ok());
    }
}
