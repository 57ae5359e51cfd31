//! Programs that a test runs: what they print is kept, waits have an end, nothing outlives the test.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long anything may take that needs no person: a busy machine is slow, a broken one for ever.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running program. Killed, by its own id, when dropped; also when the test panics.
pub(crate) struct Process {
    name: String,
    child: Child,
    lines: Receiver<String>,
    printed: Vec<String>,
    stderr: PathBuf,
    killer: Killer,
}

/// Ends one program from any thread; does nothing once the program was waited for.
#[derive(Clone)]
pub(crate) struct Killer(Arc<Mutex<Option<Pid>>>);

impl Killer {
    /// As `kill -9`.
    pub(crate) fn kill(&self) {
        if let Some(pid) = *self.0.lock().unwrap() {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// How a program ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn success(&self) -> bool {
        self.status.success()
    }

    /// Everything it printed, for messages.
    pub(crate) fn said(&self) -> String {
        format!("{}\n{}{}", self.status, self.stdout, self.stderr)
    }

    /// The lines that are JSON.
    pub(crate) fn json_lines(&self) -> Vec<Value> {
        let lines = self.stdout.lines();
        lines
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }
}

impl Process {
    /// Starts `command`. Its outputs also go to `logs/NAME.N.stdout` and `.stderr`.
    pub(crate) fn start(name: &str, mut command: Command, logs: &Path) -> Self {
        fs::create_dir_all(logs).unwrap();
        let (stdout, stderr) = fresh(logs, name);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&stderr).unwrap())
            .spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let pid = Pid::from_child(&child);
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut log = File::create(stdout).unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                writeln!(log, "{line}").unwrap();
                // Nobody listens any more once the test is over.
                let _ = sender.send(line);
            }
        });
        Self {
            name: name.to_owned(),
            child,
            lines,
            printed: Vec::new(),
            stderr,
            killer: Killer(Arc::new(Mutex::new(Some(pid)))),
        }
    }

    /// Starts `command` and waits for its end.
    pub(crate) fn run(name: &str, command: Command, logs: &Path) -> Ended {
        Self::start(name, command, logs).end_of_itself()
    }

    /// The first line on stdout, from now on, that fits.
    pub(crate) fn line(&mut self, what: &str, mut fits: impl FnMut(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        while let Some(line) = self.next(deadline) {
            if fits(&line) {
                return line;
            }
        }
        panic!("{}: no line with {what}: {}", self.name, self.said());
    }

    /// The first line on stdout, from now on, that is JSON with this field.
    pub(crate) fn json_with(&mut self, field: &str) -> Value {
        let parse = |line: &str| serde_json::from_str::<Value>(line).ok();
        let line = self.line(field, |line| {
            parse(line).is_some_and(|it| it.get(field).is_some())
        });
        parse(&line).unwrap()
    }

    /// Every line up to the first that is JSON with this field.
    pub(crate) fn until_json_with(&mut self, field: &str) -> Vec<Value> {
        let mut said = Vec::new();
        self.line(field, |line| {
            let value: Value = serde_json::from_str(line).unwrap_or_default();
            let is_last = value.get(field).is_some();
            said.push(value);
            is_last
        });
        said
    }

    /// Who can end it from another thread.
    pub(crate) fn killer(&self) -> Killer {
        self.killer.clone()
    }

    /// Asks it to end in order (SIGTERM) and waits.
    pub(crate) fn terminate(self) -> Ended {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.end_of_itself()
    }

    /// Takes its life without warning, as a power cut would.
    pub(crate) fn kill(self) -> Ended {
        self.killer.kill();
        self.end_of_itself()
    }

    /// Waits for its end.
    pub(crate) fn end_of_itself(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        while self.next(deadline).is_some() {}
        let status = self.reap();
        Ended {
            status,
            stdout: self.printed.join("\n"),
            stderr: fs::read_to_string(&self.stderr).unwrap(),
        }
    }

    /// What it printed since it was last asked.
    pub(crate) fn said(&self) -> String {
        let stderr = fs::read_to_string(&self.stderr).unwrap_or_default();
        format!("{}\n{stderr}", self.printed.join("\n"))
    }

    /// The next line; none at the end of its output.
    pub(crate) fn next(&mut self, deadline: Instant) -> Option<String> {
        match self
            .lines
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            Ok(line) => {
                self.printed.push(line.clone());
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                panic!("{}: nothing happens any more: {}", self.name, self.said())
            }
        }
    }

    fn reap(&mut self) -> ExitStatus {
        let status = self.child.wait().unwrap();
        // From here on the id may become somebody else's.
        *self.killer.0.lock().unwrap() = None;
        status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.killer.kill();
        self.reap();
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.name, self.said());
        }
    }
}

/// Log files that are not there yet: programs are started again under the same name.
fn fresh(logs: &Path, name: &str) -> (PathBuf, PathBuf) {
    let numbers = 1..10_000;
    let files = numbers.map(|number| {
        let file = |ending| logs.join(format!("{name}.{number}.{ending}"));
        (file("stdout"), file("stderr"))
    });
    let mut files = files.filter(|(stdout, _)| File::create_new(stdout).is_ok());
    files.next().expect("a free log file")
}
