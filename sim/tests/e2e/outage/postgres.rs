//! A PostgreSQL server: the one that `VOUCHSAFE_TEST_POSTGRES` names, or one of our own from Debian's
//! binaries, ended by its own process id.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

use crate::relay::Relay;
use crate::tools::{output, run, skip};

/// Databases made so far: tests may share a process and a server.
static DATABASES: AtomicUsize = AtomicUsize::new(0);

/// The socket's name in its folder.
const SOCKET: &str = ".s.PGSQL.5432";

/// How often readiness is asked for; each question takes a while of its own.
const QUESTIONS: usize = 2000;

pub(crate) struct Cluster {
    programs: PathBuf,
    sockets: PathBuf,
    _own: Option<Own>,
}

impl Cluster {
    pub(crate) fn find_or_start() -> Option<Self> {
        let Some(programs) = programs() else {
            skip("no PostgreSQL");
            return None;
        };
        if let Ok(url) = std::env::var("VOUCHSAFE_TEST_POSTGRES") {
            let sockets = url
                .split(['?', '&'])
                .find_map(|it| it.strip_prefix("host="));
            let Some(sockets) = sockets.filter(|it| it.starts_with('/')) else {
                skip("the PostgreSQL of VOUCHSAFE_TEST_POSTGRES has no socket in a folder");
                return None;
            };
            return Some(Self {
                programs,
                sockets: sockets.into(),
                _own: None,
            });
        }
        let own = Own::start(&programs);
        let cluster = Self {
            programs,
            sockets: own.folder.path().into(),
            _own: Some(own),
        };
        let answers = |_: &usize| run(&mut cluster.psql(&cluster.sockets, "SELECT 1"), b"").0;
        (0..QUESTIONS).find(answers).expect("PostgreSQL answers");
        Some(cluster)
    }

    /// A new database, the wire to it in the test's hand, and its address for a store.
    pub(crate) fn behind_a_relay(&self, sockets: &Path) -> (Relay, String) {
        let number = DATABASES.fetch_add(1, Ordering::Relaxed);
        let name = format!("vouchsafe_e2e_{}_{number}", std::process::id());
        output(
            &mut self.psql(&self.sockets, &format!("CREATE DATABASE {name}")),
            b"",
        );
        let relay = Relay::unix(&sockets.join(SOCKET), &self.sockets.join(SOCKET));
        let host = sockets.display();
        (
            relay,
            format!("postgres://postgres@localhost/{name}?host={host}&port=5432"),
        )
    }

    fn psql(&self, sockets: &Path, sql: &str) -> Command {
        let mut command = Command::new(self.programs.join("psql"));
        command
            .arg("-qAt")
            .arg("-U")
            .arg("postgres")
            .arg("-h")
            .arg(sockets);
        command.args(["-d", "postgres", "-c", sql]);
        command
    }
}

struct Own {
    folder: TempDir,
    server: Child,
}

impl Own {
    fn start(programs: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let user = server_user();
        if let Some((user, group)) = user {
            chown(folder.path(), Some(user), Some(group)).unwrap();
        }
        let as_user = |program: &str| {
            let mut command = Command::new(programs.join(program));
            command.current_dir(folder.path());
            if let Some((user, group)) = user {
                command.uid(user).gid(group);
            }
            command
        };
        let mut init = as_user("initdb");
        init.args([
            "-U",
            "postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]);
        output(init.arg("-D").arg("data"), b"");
        let mut serve = as_user("postgres");
        serve.args(["-D", "data", "-k"]).arg(folder.path());
        serve.args(["-c", "listen_addresses=", "-c", "fsync=off", "-p", "5432"]);
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let server = serve
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { folder, server }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // Immediate shutdown: the server's children end with it.
        let pid = rustix::process::Pid::from_child(&self.server);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        let _ = self.server.wait();
    }
}

/// PostgreSQL refuses to run as root; Debian's package makes a user for it.
fn server_user() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let line = users
        .lines()
        .find(|line| line.starts_with("postgres:"))
        .expect("a user postgres");
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<PathBuf> = versions
        .filter_map(|version| Some(version.ok()?.path().join("bin")))
        .filter(|folder| folder.join("initdb").is_file())
        .collect();
    found.sort();
    found.pop()
}
