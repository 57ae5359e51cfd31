//! A device whose bootstrapping key is in a token or in a TPM: made there, and whole exchanges with
//! it, in either direction.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use tempfile::TempDir;
use vouchsafe_agent::birth::Birth;
use vouchsafe_dpp::uri::BootstrappingUri;
use vouchsafe_keystore::find_module;

use super::controller::{Controller, Manner};
use crate::program::{agent, line, lines, output};
use crate::world::Maker;

/// Whether a tool is here; on the machine that checks everything it must be.
fn has(tool: &str, argument: &str) -> bool {
    let found = Command::new(tool)
        .arg(argument)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    if !found {
        assert!(std::env::var_os("CI").is_none(), "no {tool}");
        println!("skipped: no {tool}");
    }
    found
}

/// A device is born in that key store, and configured by a controller that calls it and by one that it
/// calls.
async fn joins(home: &Path, keys: &str, curve: &str, environment: &[(&str, &Path)]) {
    let maker = Arc::new(Maker::new());
    let (addr, station) = line(Arc::clone(&maker), Arc::default()).await;
    let url = format!("https://{addr}");
    let program = |arguments: &[&str]| {
        let mut command = agent(home, arguments);
        command.envs(environment.iter().copied());
        output(command)
    };
    let station = station.path().to_str().unwrap();
    let mut arguments = vec!["birth", "--serial", "JADA-0001", "--keys", keys];
    arguments.extend(["--dpp", curve, "--dpp-in-store", "--line", &url]);
    arguments.extend(["--line-identity", station]);
    let born = program(&arguments).await;
    let said = String::from_utf8_lossy(&born.stderr).into_owned();
    assert_eq!(born.status.code(), Some(0), "{said}");
    let device = Birth::open(home).unwrap().device;
    assert_eq!(device.dpp_key.as_deref(), Some("idevid.dpp"));
    assert!(!home.join("birth/dpp.key").exists());
    let uri = BootstrappingUri::parse(&device.dpp_uri.unwrap()).unwrap();
    assert_eq!(uri.key().curve().jwk_name(), curve);

    for mutual in [false, true] {
        let controller = Controller::start(Manner::Honest, uri.key()).await;
        let mut settings = format!(
            "mdns = false\n[dpp]\nmdns = false\ncontrollers = [\"{}\"]\n",
            controller.address
        );
        if mutual {
            let known = BootstrappingUri::new(controller.key.clone());
            settings.push_str(&format!("controller_uri = \"{known}\"\n"));
        }
        fs::write(home.join("agent.toml"), settings).unwrap();
        let joined = program(&["run", "--once", "--output", "json"]).await;
        let said = String::from_utf8_lossy(&joined.stderr).into_owned();
        assert_eq!(joined.status.code(), Some(0), "{said}");
        let last = lines(&joined).last().unwrap().clone();
        assert_eq!(last["event"], "wifi-configured", "{last}");
        assert_eq!(last["mutual"], mutual, "{last}");
        assert_eq!(program(&["reset"]).await.status.code(), Some(0));
    }
    // A supplicant would need the private half.
    let socket = home.join("wlan0");
    let settings = format!(
        "mdns = false\n[dpp]\nmdns = false\nair = true\nsupplicant = \"{}\"\n",
        socket.display()
    );
    fs::write(home.join("agent.toml"), settings).unwrap();
    let refused = program(&["run", "--once"]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("dpp.air"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bootstrapping_key_in_a_token_never_leaves_it() {
    if find_module("softhsm2").is_none() || !has("softhsm2-util", "--version") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let (tokens, conf) = (folder.path().join("tokens"), folder.path().join("conf"));
    fs::create_dir(&tokens).unwrap();
    let text = format!(
        "directories.tokendir = {}\nlog.level = ERROR\n",
        tokens.display()
    );
    fs::write(&conf, text).unwrap();
    let pin = folder.path().join("pin");
    fs::write(&pin, "4711\n").unwrap();
    fs::set_permissions(&pin, fs::Permissions::from_mode(0o600)).unwrap();
    let mut make = Command::new("softhsm2-util");
    make.args(["--init-token", "--free", "--label", "device"])
        .args(["--so-pin", "8765", "--pin", "4711"])
        .env("SOFTHSM2_CONF", &conf)
        .stdout(Stdio::null());
    assert!(make.status().unwrap().success());
    let keys = format!(
        "pkcs11:module=softhsm2;token=device;pin-file={}",
        pin.display()
    );
    let environment = [("SOFTHSM2_CONF", conf.as_path())];
    joins(&folder.path().join("device"), &keys, "P-256", &environment).await;
}

/// TPMs of our days have P-384 as well.
#[cfg(feature = "tpm")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bootstrapping_key_in_a_tpm_never_leaves_it() {
    if !has("swtpm", "--version") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let tpm = tpm::Tpm::start(folder.path());
    for (home, curve) in [("one", "P-256"), ("two", "P-384")] {
        let keys = format!("tpm:swtpm:host=localhost,port={}?keys=keys", tpm.port);
        joins(&folder.path().join(home), &keys, curve, &[]).await;
    }
}

#[cfg(feature = "tpm")]
mod tpm {
    use std::net::{TcpListener, TcpStream};
    use std::path::Path;
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    pub(super) struct Tpm {
        pub(super) port: u16,
        swtpm: Child,
    }

    impl Tpm {
        pub(super) fn start(folder: &Path) -> Self {
            // The control channel is found at the next port: both must be free, and may be taken by
            // somebody else before swtpm has them.
            for attempt in 0..20 {
                let state = folder.join(format!("tpm{attempt}"));
                std::fs::create_dir(&state).unwrap();
                let port = {
                    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
                    listener.local_addr().unwrap().port()
                };
                let Some(control) = port.checked_add(1) else {
                    continue;
                };
                let swtpm = Command::new("swtpm")
                    .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
                    .args(["--tpmstate", &format!("dir={}", state.display())])
                    .args([
                        "--server",
                        &format!("type=tcp,port={port},bindaddr=127.0.0.1"),
                    ])
                    .args([
                        "--ctrl",
                        &format!("type=tcp,port={control},bindaddr=127.0.0.1"),
                    ])
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()
                    .unwrap();
                let mut tpm = Self { port, swtpm };
                let patience = Instant::now() + Duration::from_secs(30);
                while Instant::now() < patience && tpm.swtpm.try_wait().unwrap().is_none() {
                    if TcpStream::connect(("127.0.0.1", control)).is_ok() {
                        return tpm;
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
            panic!("swtpm does not start");
        }
    }

    impl Drop for Tpm {
        fn drop(&mut self) {
            let _ = self.swtpm.kill();
            let _ = self.swtpm.wait();
        }
    }
}
