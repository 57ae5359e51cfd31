//! What is done inside the machine before anything else: radios, and the way to ourselves.
//!
//! The kernel's own requests for modules do not find ours, which lie where the kernel was unpacked;
//! so everything is loaded by name, the ciphers that `mac80211` asks for first of all: without them
//! an access point ends when it is given its keys.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::find;
use super::machine::KERNEL_FOLDER;

/// Ciphers, packet sockets, and what EAP over the air needs.
const MODULES: [&str; 7] = ["ctr", "ccm", "gcm", "cmac", "ecb", "arc4", "af_packet"];

/// Bridges, and links between network namespaces.
const BRIDGES: [&str; 2] = ["bridge", "veth"];

/// A simulated radio.
#[derive(Debug, Clone)]
pub struct Radio {
    /// Its network interface.
    pub interface: String,
    /// Its address: six bytes in hexadecimal with colons.
    pub address: String,
}

impl Radio {
    /// The address as bootstrapping URIs have it, without colons.
    #[must_use]
    pub fn plain_address(&self) -> String {
        self.address.replace(':', "")
    }
}

/// Whether this process runs in the machine.
#[must_use]
pub fn is_here() -> bool {
    std::env::var_os(KERNEL_FOLDER).is_some()
}

/// Makes the radios, all within reach of each other. Only in the machine.
///
/// # Errors
/// This is not the machine, or its kernel lacks something.
pub fn make_radios(count: usize) -> anyhow::Result<Vec<Radio>> {
    let kernel = std::env::var(KERNEL_FOLDER).context("this runs in the emulated machine only")?;
    let load =
        |module: &str, more: &[&str]| run("modprobe", &[&["-d", &kernel, module], more].concat());
    for module in MODULES {
        // Built in, or under another name: then what needs it says so.
        let _ = load(module, &[]);
    }
    load("mac80211_hwsim", &[&format!("radios={count}")])?;
    run("ip", &["link", "set", "lo", "up"])?;
    (0..count)
        .map(|number| {
            let interface = format!("wlan{number}");
            let file = Path::new("/sys/class/net").join(&interface).join("address");
            let address = std::fs::read_to_string(&file)
                .with_context(|| format!("no radio {interface}"))?
                .trim()
                .to_owned();
            Ok(Radio { interface, address })
        })
        .collect()
}

/// Loads what bridges and links between network namespaces need. Only in the machine.
///
/// # Errors
/// This is not the machine.
pub fn load_bridges() -> anyhow::Result<()> {
    let kernel = std::env::var(KERNEL_FOLDER).context("this runs in the emulated machine only")?;
    for module in BRIDGES {
        run("modprobe", &["-d", &kernel, module])?;
    }
    Ok(())
}

/// Moves a radio into the network namespace of a process.
///
/// # Errors
/// There is no such radio or process.
pub fn move_radio(radio: &Radio, process: u32) -> anyhow::Result<()> {
    let file = Path::new("/sys/class/net").join(&radio.interface);
    let name = std::fs::read_to_string(file.join("phy80211/name"))?;
    let process = process.to_string();
    run("iw", &["phy", name.trim(), "set", "netns", &process])
}

fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let path = find(program).with_context(|| format!("no {program}"))?;
    let output = Command::new(path).args(arguments).output()?;
    ensure!(
        output.status.success(),
        "{program} {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}
