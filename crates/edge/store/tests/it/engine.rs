//! The engines to test on. SQLite is always there. PostgreSQL is a server named by
//! `VOUCHSAFE_TEST_POSTGRES`, or one started here from Debian's binaries and ended by its own
//! process id.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tempfile::TempDir;
use vouchsafe_store::{Store, StoreConfig};

/// A database of its own for one scenario.
pub(crate) struct Backend {
    pub(crate) url: String,
    _folder: Option<TempDir>,
}

impl Backend {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("state.db").display());
        Self {
            url,
            _folder: Some(folder),
        }
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.url.starts_with("postgres")
    }

    pub(crate) fn config(&self) -> StoreConfig {
        StoreConfig::from_url(&self.url).unwrap()
    }

    pub(crate) async fn open(&self) -> Store {
        Store::open(self.config()).await.unwrap()
    }

    /// Changes the database behind the store's back.
    pub(crate) async fn tamper(&self, sql: &str) {
        let touched = if self.is_postgres() {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            let done = connection.execute(AssertSqlSafe(sql.to_owned())).await;
            connection.close().await.unwrap();
            done.unwrap().rows_affected() as usize
        } else {
            let file = self.url.strip_prefix("sqlite:").unwrap();
            let connection = rusqlite::Connection::open(file).unwrap();
            connection.execute(sql, ()).unwrap()
        };
        assert!(touched > 0, "{sql}");
    }
}

/// A PostgreSQL server.
pub(crate) struct Cluster {
    url: String,
    server: Option<Server>,
}

static DATABASES: AtomicUsize = AtomicUsize::new(0);

impl Cluster {
    pub(crate) async fn find_or_start() -> Option<Self> {
        if let Ok(url) = std::env::var("VOUCHSAFE_TEST_POSTGRES") {
            return Some(Self { url, server: None });
        }
        Self::start().await
    }

    /// A server of our own, which a test may end and start.
    pub(crate) async fn start() -> Option<Self> {
        let Some(binaries) = binaries() else {
            assert!(std::env::var_os("CI").is_none(), "no PostgreSQL");
            println!("skipped: no PostgreSQL");
            return None;
        };
        let server = Server::start(&binaries);
        let url = server.url("postgres");
        let cluster = Self {
            url,
            server: Some(server),
        };
        cluster.wait().await;
        Some(cluster)
    }

    /// A new, empty database.
    pub(crate) async fn database(&self) -> Backend {
        let number = DATABASES.fetch_add(1, Ordering::Relaxed);
        let name = format!("vouchsafe_{}_{number}", std::process::id());
        let mut connection = PgConnection::connect(&self.url).await.unwrap();
        let sql = format!("CREATE DATABASE {name}");
        connection.execute(AssertSqlSafe(sql)).await.unwrap();
        connection.close().await.unwrap();
        Backend {
            url: with_database(&self.url, &name),
            _folder: None,
        }
    }

    /// The server, if it is ours.
    pub(crate) fn server(&mut self) -> Option<&mut Server> {
        self.server.as_mut()
    }

    pub(crate) async fn wait(&self) {
        let end = Instant::now() + Duration::from_secs(60);
        while PgConnection::connect(&self.url).await.is_err() {
            assert!(Instant::now() < end, "PostgreSQL does not answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// `postgres://…/name?…` with another name.
fn with_database(url: &str, name: &str) -> String {
    let (start, query) = url.split_once('?').unwrap_or((url, ""));
    let (start, _) = start.rsplit_once('/').unwrap();
    format!("{start}/{name}?{query}")
}

pub(crate) struct Server {
    folder: TempDir,
    binaries: PathBuf,
    process: Option<Child>,
}

impl Server {
    fn start(binaries: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Self {
            folder,
            binaries: binaries.to_path_buf(),
            process: None,
        };
        if let Some((user, group)) = unprivileged() {
            std::os::unix::fs::chown(server.folder.path(), Some(user), Some(group)).unwrap();
        }
        let made = server
            .command("initdb")
            .args([
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
                "--locale=C",
            ])
            .args(["--no-sync", "--pgdata"])
            .arg(server.data())
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        server.run();
        server
    }

    /// The socket's name holds the port; the folder is ours alone, so no port can be taken.
    pub(crate) fn run(&mut self) {
        let process = self
            .command("postgres")
            .arg("-D")
            .arg(self.data())
            .arg("-k")
            .arg(self.folder.path())
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-p", "5432"])
            .spawn()
            .unwrap();
        self.process = Some(process);
    }

    /// Ends the server at once, as a power cut would end its connections.
    pub(crate) fn end(&mut self) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        // Immediate shutdown: the server's children end with it.
        let sent = Command::new("kill")
            .args(["-QUIT", &process.id().to_string()])
            .status();
        if !sent.is_ok_and(|status| status.success()) {
            process.kill().unwrap();
        }
        process.wait().unwrap();
    }

    fn url(&self, name: &str) -> String {
        format!(
            "postgres:///{name}?host={}&port=5432&user=postgres",
            self.folder.path().display()
        )
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.join(program));
        command.current_dir(self.folder.path());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if program == "postgres" {
            command.stderr(Stdio::null());
        }
        if let Some((user, group)) = unprivileged() {
            command.uid(user).gid(group);
        }
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// PostgreSQL refuses to run as root; Debian's package makes a user for it.
fn unprivileged() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt;
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = users
        .lines()
        .find(|line| line.starts_with("postgres:"))
        .expect("a user postgres");
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn binaries() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<PathBuf> = versions
        .filter_map(|version| Some(version.ok()?.path().join("bin")))
        .filter(|folder| folder.join("initdb").exists())
        .collect();
    found.sort();
    found.pop()
}
