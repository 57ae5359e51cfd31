//! Wi-Fi without hardware: Debian's own `hostapd` and `wpa_supplicant` as peers, over TCP on this
//! machine, and on simulated radios in a virtual one.
//!
//! | module | what |
//! | --- | --- |
//! | [`air`] | access points and stations on radios |
//! | [`hostap`] | one such program: started, asked over its control socket, ended |
//! | [`dpp`] | its words for Wi-Fi Easy Connect: keys, networks, who calls whom |
//! | [`machine`] | Debian's kernel with `mac80211_hwsim` in an emulated machine |
//! | [`guest`] | what runs in that machine |

pub mod air;
pub mod dpp;
pub mod guest;
pub mod hostap;
pub mod machine;

use std::path::PathBuf;

/// The program's file in PATH, or in a folder where Debian keeps programs of administrators.
#[must_use]
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}
