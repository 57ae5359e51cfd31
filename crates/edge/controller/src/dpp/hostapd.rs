//! The passphrases of a network in the files that hostapd reads.
//!
//! | file | option | a line |
//! | --- | --- | --- |
//! | `NETWORK.wpa_psk` | `wpa_psk_file` | `keyid=ID MAC PASSPHRASE` |
//! | `NETWORK.sae_password` | `sae_password`, or `sae_password_file` where a build has it | `PASSPHRASE\|mac=MAC`, else `PASSPHRASE\|id=ID` |
//!
//! With WPA2-Personal the access point tries every line. With SAE it must know beforehand which
//! password a station will prove: by its address, where its URI has one (`M:`), else by the
//! password identifier that the station was given.
//!
//! Each is written whole: hostapd sees the old list or the new one. A device that was revoked is in
//! neither; the access point keeps it out once it has read the file again.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use vouchsafe_trust::Secret;

use super::passphrase::Passphrase;

/// Begins every file of ours, and no other.
const HEADER: &str = "# Written by vouchsafe; changes are lost.\n";

/// The address that stands for any station in `wpa_psk_file`.
const ANY_STATION: [u8; 6] = [0; 6];

/// One device in a file.
pub(super) struct Line {
    /// What hostapd calls the entry; letters, digits, `-` and `_`.
    pub(super) identifier: String,
    /// The station's address, where its bootstrapping information gave it.
    pub(super) mac: Option<[u8; 6]>,
    /// Its secret.
    pub(super) passphrase: Passphrase,
}

/// Which file of hostapd.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// `wpa_psk_file`: hostapd tries every line that may be the station's.
    Psk,
    /// `sae_password`: the line that names the station, or the identifier it shows, counts.
    Sae,
}

impl Kind {
    const fn ending(self) -> &'static str {
        match self {
            Self::Psk => "wpa_psk",
            Self::Sae => "sae_password",
        }
    }

    /// The file of a network. Two networks never have one: a network's name is made of lower-case
    /// letters, digits and hyphens, which stay.
    pub(super) fn file(self, folder: &Path, network: &str) -> PathBuf {
        // What a file's name must not hold stays out whatever the store has.
        let name: String = network
            .chars()
            .map(
                |c| match c.is_ascii_alphanumeric() || c == '-' || c == '_' {
                    true => c,
                    false => '_',
                },
            )
            .collect();
        folder.join(format!("{name}.{}", self.ending()))
    }
}

/// The contents of a file, in the order given.
pub(super) fn contents(kind: Kind, lines: &[&Line]) -> Secret {
    let mut text = String::with_capacity(lines.len() * 96 + 64);
    text.push_str(HEADER);
    for line in lines {
        let passphrase = line.passphrase.expose();
        // Writing to a string does not fail.
        let _ = match kind {
            Kind::Psk => writeln!(
                text,
                "keyid={} {} {passphrase}",
                line.identifier,
                address(line.mac.unwrap_or(ANY_STATION)),
            ),
            Kind::Sae => match line.mac {
                Some(mac) => writeln!(text, "{passphrase}|mac={}", address(mac)),
                None => writeln!(text, "{passphrase}|id={}", line.identifier),
            },
        };
    }
    Secret::new(text.into_bytes())
}

/// The files of ours in a folder. Blocks.
///
/// # Errors
/// The folder cannot be read; one that is not there has none.
pub(super) fn ours(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut ours = Vec::new();
    for entry in entries {
        let (path, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
        let ending = path.extension().and_then(|ending| ending.to_str());
        let named = [Kind::Psk, Kind::Sae]
            .iter()
            .any(|kind| ending == Some(kind.ending()));
        // A link leads to a file that may be anybody's.
        if named && kind.is_file() && is_ours(&path, begins_as_ours(&path))? {
            ours.push(path);
        }
    }
    Ok(ours)
}

/// What we wrote we may read, so what is forbidden is another's; so is what is gone by now.
fn is_ours(path: &Path, begins: std::io::Result<bool>) -> std::io::Result<bool> {
    use std::io::ErrorKind::{NotFound, PermissionDenied};
    match begins {
        Err(error) if matches!(error.kind(), NotFound | PermissionDenied) => {
            tracing::warn!(file = %path.display(), %error, "left alone");
            Ok(false)
        }
        begins => begins,
    }
}

fn begins_as_ours(path: &Path) -> std::io::Result<bool> {
    let mut beginning = Vec::with_capacity(HEADER.len());
    std::fs::File::open(path)?
        .take(HEADER.len() as u64)
        .read_to_end(&mut beginning)?;
    Ok(beginning == HEADER.as_bytes())
}

fn address(mac: [u8; 6]) -> String {
    let [a, b, c, d, e, f] = mac;
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(identifier: &str, mac: Option<[u8; 6]>) -> Line {
        Line {
            identifier: identifier.to_owned(),
            mac,
            passphrase: Passphrase::random(),
        }
    }

    #[test]
    fn lines_have_the_forms_that_hostapd_reads() {
        let lines = [
            line("dev-1", Some([2, 0, 0, 0, 0x1a, 0xff])),
            line("dev-2", None),
        ];
        let [first, second] = lines.each_ref().map(|line| line.passphrase.expose());
        let text =
            |kind| String::from_utf8(contents(kind, &lines.each_ref()).expose().to_vec()).unwrap();
        let psk = text(Kind::Psk);
        let wanted = [
            format!("keyid=dev-1 02:00:00:00:1a:ff {first}"),
            format!("keyid=dev-2 00:00:00:00:00:00 {second}"),
        ];
        assert_eq!(psk.lines().skip(1).collect::<Vec<_>>(), wanted);
        let sae = text(Kind::Sae);
        let wanted = [
            format!("{first}|mac=02:00:00:00:1a:ff"),
            format!("{second}|id=dev-2"),
        ];
        assert_eq!(sae.lines().skip(1).collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn only_files_that_begin_as_ours_are_ours() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        let mine = format!("{HEADER}keyid=a 00:00:00:00:00:00 passphrase\n");
        put("home.wpa_psk", &mine);
        put("home.sae_password", HEADER);
        put("home.txt", &mine);
        put("theirs.wpa_psk", "00:00:00:00:00:00 theirs\n");
        put("empty.wpa_psk", "");
        std::fs::create_dir(dir.path().join("folder.wpa_psk")).unwrap();
        let link = dir.path().join("link.wpa_psk");
        std::os::unix::fs::symlink(dir.path().join("home.wpa_psk"), link).unwrap();
        let mut found = ours(dir.path()).unwrap();
        found.sort();
        let names = ["home.sae_password", "home.wpa_psk"];
        assert_eq!(found, names.map(|name| dir.path().join(name)));
        assert!(ours(&dir.path().join("absent")).unwrap().is_empty());
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_anothers_and_hides_none_of_ours() {
        use std::io::{Error, ErrorKind};
        let path = Path::new("/etc/hostapd.wpa_psk");
        for kind in [ErrorKind::PermissionDenied, ErrorKind::NotFound] {
            assert!(!is_ours(path, Err(Error::from(kind))).unwrap());
        }
        // One that may be ours and cannot be read may hold who was revoked.
        assert!(is_ours(path, Err(Error::other("bad disk"))).is_err());
        assert!(is_ours(path, Ok(true)).unwrap());
    }

    #[test]
    fn no_two_networks_have_one_file() {
        let names = ["home", "home-2", "home2", "2"];
        let files: std::collections::BTreeSet<_> = names
            .iter()
            .flat_map(|name| [Kind::Psk, Kind::Sae].map(|kind| kind.file(Path::new("/"), name)))
            .collect();
        assert_eq!(files.len(), 2 * names.len());
    }

    #[test]
    fn a_network_cannot_name_a_file_elsewhere() {
        let file = Kind::Sae.file(Path::new("/run/ap"), "../etc/passwd\0x");
        assert_eq!(file, Path::new("/run/ap/___etc_passwd_x.sae_password"));
    }
}
