//! A PostgreSQL cluster for one test run: in a temporary folder, on a Unix socket, gone afterwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process;

/// How often readiness is asked for, every 100 ms.
const ATTEMPTS: u32 = 300;

/// A running cluster; ended when dropped.
pub(crate) struct Cluster {
    programs: PathBuf,
    folder: PathBuf,
    server: Child,
}

/// The folder with `initdb` and `postgres`: Debian keeps them out of PATH, the newest wins.
pub(crate) fn programs() -> Option<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .collect();
    versions.sort();
    let from_path = process::find("initdb").and_then(|file| Some(file.parent()?.to_path_buf()));
    let newest = versions.into_iter().next_back().map(|(_, folder)| folder);
    newest
        .into_iter()
        .chain(from_path)
        .find(|folder| folder.join("postgres").is_file())
}

impl Cluster {
    /// Makes a cluster and waits until it answers.
    pub(crate) fn start() -> Result<Self> {
        let programs = programs().context("no PostgreSQL")?;
        // Not below the project: the database's own user must be able to reach it.
        let name = format!("vouchsafe-postgres-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let mut make = Command::new("install");
        make.arg("-d").args(["-m", "700"]);
        if process::is_root() {
            make.args(["-o", "postgres"]);
        }
        process::run(make.arg(&folder))?;
        let data = folder.join("data");
        let mut init = as_server_user(&programs.join("initdb"));
        init.args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
        ]);
        init.arg("--no-sync").arg("-D").arg(&data);
        process::output(&mut init)?;
        let log = fs::File::create(folder.join("log"))?;
        let mut server = as_server_user(&programs.join("postgres"));
        server.arg("-D").arg(&data).arg("-k").arg(&folder);
        // Nothing here outlives the run, so nothing needs to reach the disk.
        for setting in [
            "listen_addresses=",
            "fsync=off",
            "full_page_writes=off",
            "synchronous_commit=off",
            "max_connections=300",
        ] {
            server.arg("-c").arg(setting);
        }
        server
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let server = server.spawn().context("cannot start postgres")?;
        let cluster = Self {
            programs,
            folder,
            server,
        };
        cluster.wait()?;
        Ok(cluster)
    }

    /// Where tests find it: the value of `VOUCHSAFE_TEST_POSTGRES`.
    pub(crate) fn url(&self) -> String {
        format!(
            "postgres://postgres@localhost/postgres?host={}",
            self.folder.display()
        )
    }

    fn wait(&self) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let mut ask = Command::new(self.programs.join("pg_isready"));
            if process::succeeds(ask.arg("-q").arg("-h").arg(&self.folder)) {
                println!("PostgreSQL answers in {}", self.folder.display());
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        bail!("PostgreSQL does not answer: {}", log.trim());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut stop = as_server_user(&self.programs.join("pg_ctl"));
        stop.args(["stop", "-m", "immediate", "-w", "-D"])
            .arg(self.folder.join("data"));
        if !process::succeeds(&mut stop) {
            // The child is ours: at worst it is the wrapper that changed the user.
            let _ = self.server.kill();
        }
        let _ = self.server.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// PostgreSQL refuses to run as root; Debian's package makes a user for it.
fn as_server_user(program: &Path) -> Command {
    if !process::is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command
        .args(["-u", "postgres", "--"])
        .arg(program)
        .current_dir("/");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_answers_and_leaves_nothing_behind() {
        if programs().is_none() {
            assert!(!process::in_ci(), "no PostgreSQL");
            println!("skipped: no PostgreSQL");
            return;
        }
        let cluster = Cluster::start().unwrap();
        let folder = cluster.folder.clone();
        let mut ask = Command::new(cluster.programs.join("psql"));
        ask.args(["-U", "postgres", "-At", "-c", "select 6 * 7"])
            .arg("-h")
            .arg(&folder);
        assert_eq!(process::output(&mut ask).unwrap().trim(), "42");
        drop(cluster);
        assert!(!folder.exists());
    }
}
