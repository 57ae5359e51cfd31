//! Wired networks without hardware: network namespaces, links between them, and the small programs that
//! talk over them.
//!
//! | module | what |
//! | --- | --- |
//! | [`space`] | a network namespace that goes with whoever made it |
//! | [`talk`] | a service that answers, somebody who asks it, and a connection that stays |

pub mod space;
pub mod talk;

use crate::wifi::find;

/// Programs that this needs, and the Debian package of each.
const PROGRAMS: [(&str, &str); 6] = [
    ("hostapd", "hostapd"),
    ("wpa_supplicant", "wpasupplicant"),
    ("nft", "nftables"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
];

/// What is not here of what wired networks need, by name; nothing where everything is.
#[must_use]
pub fn missing() -> Vec<String> {
    let mut missing: Vec<String> = PROGRAMS
        .iter()
        .filter(|(program, _)| find(program).is_none())
        .map(|(_, package)| format!("the package {package}"))
        .collect();
    missing.dedup();
    if !rustix::process::geteuid().is_root() {
        missing.push("root, who may make network namespaces".to_owned());
    }
    missing
}
