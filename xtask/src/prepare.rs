//! What the tests need from the machine: other people's programs, as peers and judges.
//!
//! On Debian as root what is missing is installed. Elsewhere it is named, and the tests that need
//! it say so themselves.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;
use crate::report::Outcome;

/// Python's `cryptography`, the major version from which our second implementation runs.
const CRYPTOGRAPHY: u32 = 38;

/// One thing that tests need.
struct Need {
    /// What it is called in messages.
    name: &'static str,
    /// Debian packages that bring it.
    packages: &'static [&'static str],
    is_here: fn() -> bool,
}

const NEEDS: &[Need] = &[
    Need {
        name: "openssl",
        packages: &["openssl"],
        is_here: || process::find("openssl").is_some(),
    },
    Need {
        name: "curl",
        packages: &["curl"],
        is_here: || process::find("curl").is_some(),
    },
    Need {
        name: "SoftHSM2",
        packages: &["softhsm2"],
        is_here: || process::find("softhsm2-util").is_some(),
    },
    Need {
        name: "swtpm",
        packages: &["swtpm", "swtpm-tools"],
        is_here: || process::find("swtpm").is_some(),
    },
    Need {
        name: "tpm2-tools",
        packages: &["tpm2-tools"],
        is_here: || {
            process::find("tpm2_createprimary").is_some() || process::find("tpm2").is_some()
        },
    },
    Need {
        name: "TPM libraries",
        packages: &["libtss2-dev", "pkg-config"],
        is_here: has_tss2,
    },
    Need {
        name: "PostgreSQL",
        packages: &["postgresql"],
        is_here: || crate::postgres::programs().is_some(),
    },
    Need {
        name: "hostapd",
        packages: &["hostapd"],
        is_here: || process::find("hostapd").is_some(),
    },
    Need {
        name: "wpa_supplicant",
        packages: &["wpasupplicant"],
        is_here: || process::find("wpa_supplicant").is_some(),
    },
    Need {
        name: "eapol_test",
        packages: &["eapoltest"],
        is_here: || process::find("eapol_test").is_some(),
    },
    Need {
        name: "FreeRADIUS",
        packages: &["freeradius", "freeradius-utils"],
        is_here: || process::find("freeradius").is_some() && process::find("radclient").is_some(),
    },
    Need {
        name: "nftables",
        packages: &["nftables", "iproute2"],
        is_here: || process::find("nft").is_some() && process::find("ip").is_some(),
    },
    Need {
        name: "simulated radios",
        packages: &[
            "qemu-system-x86",
            "busybox-static",
            "kmod",
            "iproute2",
            "iw",
        ],
        // The machine that holds the radios runs the programs of this one, for which amd64 is needed.
        is_here: || !cfg!(target_arch = "x86_64") || absent_for_radios().is_empty(),
    },
    Need {
        name: "Python with cryptography",
        packages: &["python3", "python3-cryptography"],
        is_here: || python().is_some(),
    },
];

/// Installs what is missing, or names it.
pub(crate) fn run() -> Result<Outcome> {
    let missing = missing();
    if missing.is_empty() {
        println!("everything is here");
        return Ok(Outcome::Passed);
    }
    if may_install() {
        let packages: Vec<&str> = missing
            .iter()
            .flat_map(|need| need.packages)
            .copied()
            .collect();
        let mut update = Command::new("apt-get");
        process::run(update.args(["update", "-qq"]))?;
        let mut install = Command::new("apt-get");
        install.env("DEBIAN_FRONTEND", "noninteractive");
        install
            .args(["install", "-y", "-qq", "--no-install-recommends"])
            .args(packages);
        process::run(&mut install)?;
        if python().is_none() {
            make_python()?;
        }
    }
    let still = self::missing();
    if still.is_empty() {
        return Ok(Outcome::Passed);
    }
    let names: Vec<&str> = still.iter().map(|need| need.name).collect();
    Ok(Outcome::Skipped(format!("not here: {}", names.join(", "))))
}

/// Whether the library that the `tpm` feature links to is here.
pub(crate) fn has_tss2() -> bool {
    let mut query = Command::new("pkg-config");
    process::succeeds(query.args([
        "--exists",
        "tss2-sys",
        "tss2-esys",
        "tss2-tctildr",
        "tss2-mu",
    ]))
}

/// Programs without which there are no simulated radios.
const FOR_RADIOS: [&str; 7] = [
    "qemu-system-x86_64",
    "busybox",
    "modprobe",
    "ip",
    "iw",
    "hostapd",
    "wpa_supplicant",
];

/// Why there can be no simulated radios here, if so.
pub(crate) fn no_radios() -> Option<String> {
    if !cfg!(target_arch = "x86_64") {
        return Some("simulated radios need an amd64 machine".to_owned());
    }
    let absent = absent_for_radios();
    let why = || format!("simulated radios need {}", absent.join(", "));
    (!absent.is_empty()).then(why)
}

fn absent_for_radios() -> Vec<&'static str> {
    absent(&FOR_RADIOS)
}

/// Programs without which there are no wired ports to try.
const FOR_WIRED_PORTS: [&str; 6] = [
    "hostapd",
    "wpa_supplicant",
    "nft",
    "ip",
    "nsenter",
    "unshare",
];

/// Why wired ports cannot be tried here, if so.
pub(crate) fn no_wired_ports() -> Option<String> {
    if !process::is_root() {
        return Some("wired ports need root, for network namespaces".to_owned());
    }
    let absent = absent(&FOR_WIRED_PORTS);
    let why = || format!("wired ports need {}", absent.join(", "));
    (!absent.is_empty()).then(why)
}

fn absent(programs: &[&'static str]) -> Vec<&'static str> {
    let absent = |program: &&&str| process::find(program).is_none();
    programs.iter().filter(absent).copied().collect()
}

/// A Python whose `cryptography` is new enough, for the second implementation in the tests.
pub(crate) fn python() -> Option<PathBuf> {
    let from_environment = std::env::var_os("VOUCHSAFE_PYTHON").map(PathBuf::from);
    let candidates = [
        process::find("python3"),
        Some("/usr/bin/python3".into()),
        Some(own_python()),
    ];
    from_environment
        .into_iter()
        .chain(candidates.into_iter().flatten())
        .find(|python| cryptography(python).is_some_and(|version| version >= CRYPTOGRAPHY))
}

fn missing() -> Vec<&'static Need> {
    NEEDS.iter().filter(|need| !(need.is_here)()).collect()
}

fn may_install() -> bool {
    let debian = fs::read_to_string("/etc/os-release").is_ok_and(|text| {
        text.lines().any(|line| {
            line == "ID=debian" || line.starts_with("ID_LIKE=") && line.contains("debian")
        })
    });
    debian && process::is_root()
}

fn cryptography(python: &PathBuf) -> Option<u32> {
    let mut query = Command::new(python);
    query.args(["-c", "import cryptography; print(cryptography.__version__)"]);
    process::output(&mut query)
        .ok()?
        .split('.')
        .next()?
        .trim()
        .parse()
        .ok()
}

fn own_python() -> PathBuf {
    process::root().join("target/xtask/python/bin/python3")
}

/// A Python of our own for a distribution whose `cryptography` is too old.
fn make_python() -> Result<()> {
    let own = own_python();
    let folder = own
        .ancestors()
        .nth(2)
        .context("no folder for Python")?
        .to_path_buf();
    let mut create = Command::new("python3");
    process::run(create.args(["-m", "venv"]).arg(folder))?;
    let mut install = Command::new(own);
    process::run(install.args(["-m", "pip", "install", "--quiet", "cryptography"]))
}
