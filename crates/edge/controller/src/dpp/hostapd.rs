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
use std::path::{Path, PathBuf};

use vouchsafe_trust::Secret;

use super::passphrase::Passphrase;

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

    /// The file of a network.
    pub(super) fn file(self, folder: &Path, network: &str) -> PathBuf {
        // A network's name may hold what a file's name must not.
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
    text.push_str("# Written by vouchsafe; changes are lost.\n");
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
    fn a_network_cannot_name_a_file_elsewhere() {
        let file = Kind::Sae.file(Path::new("/run/ap"), "../etc/passwd\0x");
        assert_eq!(file, Path::new("/run/ap/___etc_passwd_x.sae_password"));
    }
}
