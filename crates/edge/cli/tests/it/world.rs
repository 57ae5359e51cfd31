//! A folder of its own for each test, and the program in it.

use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A folder and everything that programs said in it.
pub(crate) struct World {
    dir: tempfile::TempDir,
    said: Mutex<String>,
}

/// How one run ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            said: Mutex::default(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, contents).unwrap();
        path
    }

    pub(crate) fn run(&self, line: &str) -> Ran {
        self.run_with(line, &[])
    }

    /// Runs the command, whose words are separated by spaces.
    pub(crate) fn run_with(&self, line: &str, environment: &[(&str, &str)]) -> Ran {
        let done = command(self.dir.path(), line)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let ran = Ran {
            code: done.status.code().unwrap(),
            out: String::from_utf8(done.stdout).unwrap(),
            err: String::from_utf8(done.stderr).unwrap(),
        };
        self.heard(&ran.out);
        self.heard(&ran.err);
        ran
    }

    /// Runs the command, which must succeed, and reads its one JSON document.
    pub(crate) fn json(&self, line: &str) -> Value {
        let ran = self.run(&format!("{line} --output json"));
        assert_eq!(ran.code, 0, "{line}: {} {}", ran.out, ran.err);
        serde_json::from_str(&ran.out).unwrap()
    }

    /// Runs the command, which must end with this code, and gives the code word of its error.
    pub(crate) fn refused(&self, line: &str, code: i32) -> String {
        let ran = self.run(&format!("{line} --output json"));
        assert_eq!(ran.code, code, "{line}: {} {}", ran.out, ran.err);
        let document: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(document["error"]["exit"], code);
        document["error"]["code"].as_str().unwrap().to_owned()
    }

    /// Starts a server and waits for its ready line.
    pub(crate) fn serve(&self, line: &str) -> Server<'_> {
        let mut child = command(self.dir.path(), line)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut ready).unwrap();
        if ready.is_empty() {
            let mut err = String::new();
            child
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut err)
                .unwrap();
            panic!("{line}: {err}");
        }
        self.heard(&ready);
        Server {
            ready: serde_json::from_str(&ready).unwrap(),
            world: self,
            out,
            child,
        }
    }

    /// Everything that was written to any standard output or error so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    fn heard(&self, text: &str) {
        self.said.lock().unwrap().push_str(text);
    }
}

/// A running server; stopped and waited for at the end.
pub(crate) struct Server<'a> {
    pub(crate) ready: Value,
    world: &'a World,
    out: BufReader<std::process::ChildStdout>,
    child: Child,
}

impl Server<'_> {
    /// Asks it to stop, as systemd does, and gives its exit code.
    pub(crate) fn stop(mut self) -> i32 {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "a server says one line on standard output");
        let mut err = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut err).unwrap();
        self.world.heard(&err);
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(dir: &Path, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vouchsafe"));
    command
        .args(line.split_ascii_whitespace())
        .current_dir(dir)
        .env_clear()
        // Sealing keys are kept in the home folder.
        .env("HOME", dir.join("home"));
    command
}
