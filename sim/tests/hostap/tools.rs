//! Other people's programs. A test that needs one that is absent says so and returns; where `CI` is
//! set that is a failure.

use tempfile::TempDir;
use vouchsafe_sim::wifi::find;
use vouchsafe_sim::wifi::hostap::{Hostap, Kind, Setup};

/// Whether this program can be run here; else the test is skipped.
pub(crate) fn have(kind: Kind) -> bool {
    if find(kind.program()).is_none() {
        skip(&format!("no {}", kind.program()));
        return false;
    }
    // It wants packet sockets even where it has no radio.
    if kind == Kind::Station && !rustix::process::geteuid().is_root() {
        skip("wpa_supplicant wants root");
        return false;
    }
    true
}

/// Says why a test does nothing.
fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{why}");
    println!("skipped: {why}");
}

/// A running peer and its folder.
pub(crate) struct Peer {
    hostap: Hostap,
    _folder: TempDir,
}

impl Peer {
    /// Starts one.
    pub(crate) fn start(kind: Kind) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("vouchsafe-dpp-")
            .tempdir()
            .unwrap();
        let settings = match kind {
            // It would otherwise not say what it was given.
            Kind::Station => vec!["dpp_config_processing=1".to_owned()],
            Kind::AccessPoint => Vec::new(),
        };
        let setup = Setup {
            settings: &settings,
            ..Setup::without_radio(kind)
        };
        let hostap = Hostap::start(kind.program(), folder.path(), setup).unwrap();
        Self {
            hostap,
            _folder: folder,
        }
    }
}

impl std::ops::Deref for Peer {
    type Target = Hostap;

    fn deref(&self) -> &Hostap {
        &self.hostap
    }
}
