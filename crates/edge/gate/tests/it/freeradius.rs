//! FreeRADIUS from a configuration of the test's own.

use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::net::Running;
use crate::world::{PATIENCE, SECRET};

const PROGRAM: &str = "/usr/sbin/freeradius";

/// Where it is, what it logs to, and one client.
const COMMON: &str = r#"
prefix = /usr
logdir = @DIR@
raddbdir = @DIR@
run_dir = @DIR@
db_dir = @DIR@
libdir = /usr/lib/freeradius
pidfile = @DIR@/pid
log {
  destination = stdout
}
security {
  reject_delay = 0
}
client local {
  ipaddr = 127.0.0.1
  secret = "@SECRET@"
}
"#;

/// One that runs; it ends with the test.
pub(crate) struct FreeRadius {
    running: Running,
    folder: TempDir,
    pub(crate) port: u16,
}

impl FreeRadius {
    /// Whether the test must be skipped. With `CI` set that is a failure.
    pub(crate) fn is_missing() -> bool {
        let is_missing = !Path::new(PROGRAM).exists();
        if is_missing {
            assert!(std::env::var_os("CI").is_none(), "no freeradius");
            eprintln!("skipped: no freeradius");
        }
        is_missing
    }

    /// Ready. `text` comes behind what is common; `@DIR@` and `@PORT@` stand for its folder and port.
    pub(crate) fn start(text: &str, furnish: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        furnish(dir);
        std::fs::write(dir.join("dictionary"), "").unwrap();
        // A port that was free a moment ago: FreeRADIUS cannot choose one itself.
        let free = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let text = format!("{COMMON}{text}")
            .replace("@DIR@", &dir.display().to_string())
            .replace("@SECRET@", SECRET)
            .replace("@PORT@", &port.to_string());
        std::fs::write(dir.join("radiusd.conf"), text).unwrap();
        let log = std::fs::File::create(dir.join("log")).unwrap();
        let child = Command::new(PROGRAM)
            .args(["-X", "-d"])
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut server = Self {
            running: Running(child),
            folder,
            port,
        };
        let end = Instant::now() + PATIENCE;
        while !server.log().contains("Ready to process requests") {
            let ended = server.running.0.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < end, "{}", server.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}
