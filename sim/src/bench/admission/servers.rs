//! The servers under load: the gate, FreeRADIUS and hostapd, each with a folder of its own.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, bail};
use serde_json::Value;
use tempfile::TempDir;

use super::network::{Network, SECRET};
use crate::wifi::find;

pub(super) const OURS: &str = "vouchsafe-gate";
pub(super) const FREERADIUS: &str = "FreeRADIUS";
pub(super) const HOSTAPD: &str = "hostapd";

/// Authentications in one round. hostapd keeps a session for five seconds after its end, and at most
/// a thousand, so it gets less.
const ROUND: usize = 1000;
const ROUND_OF_HOSTAPD: usize = 200;

/// A running server; it ends with this value.
pub(super) struct Server {
    pub(super) name: &'static str,
    pub(super) access: SocketAddr,
    /// How many authentications it is asked for in a round.
    pub(super) round: usize,
    /// Where accounting arrives, if it is taken.
    pub(super) accounting: Option<SocketAddr>,
    child: Child,
    events: Arc<AtomicUsize>,
    // Last, so that the folder goes after the process.
    _folder: TempDir,
}

impl Server {
    /// The gate's own program.
    pub(super) fn ours(bin_dir: &Path, network: &Network) -> anyhow::Result<Self> {
        let folder = folder()?;
        network.furnish_gate(folder.path())?;
        let program = bin_dir.join("vouchsafe-gate");
        let mut child = Command::new(&program)
            .args(["--output", "json", "--dir"])
            .arg(folder.path())
            // What is dropped on a bad wire is many lines.
            .env("VOUCHSAFE_LOG", "error")
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} cannot be started", program.display()))?;
        let output = child.stdout.take().context("no output")?;
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let events = Arc::new(AtomicUsize::new(0));
        // From here on the process ends with this value.
        let mut server = Self {
            name: OURS,
            access: nowhere,
            round: ROUND,
            accounting: None,
            child,
            events: events.clone(),
            _folder: folder,
        };
        let mut output = BufReader::new(output);
        let mut line = String::new();
        loop {
            line.clear();
            if output.read_line(&mut line)? == 0 {
                bail!("the gate ended");
            }
            let event: Value = serde_json::from_str(&line)?;
            let address = |name: &str| -> anyhow::Result<SocketAddr> {
                let text = event.get(name).and_then(Value::as_str);
                Ok(text.context("no address")?.parse()?)
            };
            if event.get("event").and_then(Value::as_str) == Some("ready") {
                server.access = address("radius")?;
                server.accounting = Some(address("accounting")?);
                break;
            }
        }
        // What it says is read as it comes, as a supervisor would.
        std::thread::spawn(move || {
            while output.read_line(&mut line).is_ok_and(|length| length > 0) {
                if line.contains("\"accepted\"") {
                    events.fetch_add(1, Ordering::Relaxed);
                }
                line.clear();
            }
        });
        Ok(server)
    }

    /// FreeRADIUS with EAP-TLS and nothing else.
    pub(super) fn freeradius(network: &Network) -> anyhow::Result<Self> {
        let program = find("freeradius").context("no freeradius")?;
        let folder = folder()?;
        let dir = folder.path();
        network.furnish_other(dir)?;
        let access = free_address()?;
        let text = FREERADIUS_SETTINGS
            .replace("@DIR@", &dir.display().to_string())
            .replace("@PORT@", &access.port().to_string())
            .replace("@SECRET@", SECRET);
        std::fs::write(dir.join("radiusd.conf"), text)?;
        std::fs::write(dir.join("dictionary"), "")?;
        let mut command = Command::new(program);
        command.args(["-f", "-d"]).arg(dir);
        Self::other(FREERADIUS, command, access, folder)
    }

    /// hostapd as an authentication server alone.
    pub(super) fn hostapd(network: &Network) -> anyhow::Result<Self> {
        let program = find("hostapd").context("no hostapd")?;
        let folder = folder()?;
        let dir = folder.path();
        network.furnish_other(dir)?;
        let access = free_address()?;
        let text = HOSTAPD_SETTINGS
            .replace("@DIR@", &dir.display().to_string())
            .replace("@PORT@", &access.port().to_string());
        std::fs::write(dir.join("hostapd.conf"), text)?;
        std::fs::write(dir.join("users"), "* TLS\n")?;
        std::fs::write(dir.join("clients"), format!("127.0.0.1/32 {SECRET}\n"))?;
        let mut command = Command::new(program);
        command.arg(dir.join("hostapd.conf"));
        Self::other(HOSTAPD, command, access, folder)
    }

    fn other(
        name: &'static str,
        mut command: Command,
        access: SocketAddr,
        folder: TempDir,
    ) -> anyhow::Result<Self> {
        let log = File::create(folder.path().join("log"))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut server = Self {
            name,
            access,
            round: if name == HOSTAPD {
                ROUND_OF_HOSTAPD
            } else {
                ROUND
            },
            accounting: None,
            child,
            events: Arc::default(),
            _folder: folder,
        };
        // Whether it serves shows when it is asked; one that ended never will.
        std::thread::sleep(std::time::Duration::from_millis(500));
        if server.child.try_wait()?.is_some() {
            let log = std::fs::read_to_string(server._folder.path().join("log"));
            bail!("it ended: {}", log.unwrap_or_default());
        }
        Ok(server)
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How many acceptances it has told of.
    pub(super) fn told(&self) -> usize {
        self.events.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn folder() -> anyhow::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    Ok(builder.prefix("vouchsafe-bench-").tempdir()?)
}

/// A port that was free a moment ago: these programs cannot choose one themselves.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

const FREERADIUS_SETTINGS: &str = r#"
prefix = /usr
logdir = @DIR@
raddbdir = @DIR@
run_dir = @DIR@
db_dir = @DIR@
libdir = /usr/lib/freeradius
pidfile = @DIR@/pid
max_requests = 65536
log {
  destination = stdout
}
security {
  reject_delay = 0
  status_server = yes
}
client local {
  ipaddr = 127.0.0.1
  secret = "@SECRET@"
  require_message_authenticator = yes
}
thread pool {
  start_servers = 4
  max_servers = 4
  min_spare_servers = 1
  max_spare_servers = 4
  max_requests_per_server = 0
}
modules {
  eap {
    default_eap_type = tls
    max_sessions = 65536
    tls-config tls-common {
      private_key_file = @DIR@/server.key
      certificate_file = @DIR@/server.pem
      ca_file = @DIR@/ca.pem
      check_crl = yes
      cipher_list = "DEFAULT"
      tls_min_version = "1.2"
      tls_max_version = "1.3"
      ecdh_curve = ""
      cache {
        enable = no
      }
    }
    tls {
      tls = tls-common
    }
  }
}
server default {
  listen {
    type = auth
    ipaddr = 127.0.0.1
    port = @PORT@
  }
  authorize {
    eap
  }
  authenticate {
    eap
  }
}
"#;

const HOSTAPD_SETTINGS: &str = "\
driver=none
interface=lo
logger_stdout=-1
logger_stdout_level=4
eap_server=1
eap_user_file=@DIR@/users
ca_cert=@DIR@/ca.pem
server_cert=@DIR@/server.pem
private_key=@DIR@/server.key
check_crl=1
tls_session_lifetime=0
tls_flags=[ENABLE-TLSv1.3]
radius_server_clients=@DIR@/clients
radius_server_auth_port=@PORT@
";
