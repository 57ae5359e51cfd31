//! One `hostapd` or `wpa_supplicant`: a child with a folder of its own, which is asked over its
//! control socket and tells what happens.
//!
//! 1. The program is started with a control socket in the folder.
//! 2. Two sockets are connected to it: one asks, the other one listens to events. A thread empties
//!    the second, because the program forgets listeners that do not keep up.
//! 3. When dropped it is told to end, by its own process id, and killed if it does not.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take that needs nobody else: a busy machine is slow.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long a program may take to end once told.
const END: Duration = Duration::from_secs(2);

/// How often a program that starts or ends is looked at.
const PAUSE: Duration = Duration::from_millis(5);

/// How long the listener waits before it looks whether it is still needed.
const LISTEN: Duration = Duration::from_millis(200);

/// Bytes of one answer or event; hostap's own programs use half of that.
const MESSAGE: usize = 8192;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `hostapd`; Debian builds it with the testing options.
    AccessPoint,
    /// `wpa_supplicant`.
    Station,
}

impl Kind {
    /// The program's name.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::AccessPoint => "hostapd",
            Self::Station => "wpa_supplicant",
        }
    }
}

/// What to start.
#[derive(Debug, Clone, Copy)]
pub struct Setup<'a> {
    /// Which program.
    pub kind: Kind,
    /// The network interface.
    pub interface: &'a str,
    /// hostap's driver: `none` needs no radio, `nl80211` is one.
    pub driver: &'a str,
    /// Lines of the configuration file besides interface, driver and control socket.
    pub settings: &'a [String],
    /// Words before the program that put it somewhere else, such as into a network namespace.
    pub within: &'a [OsString],
    /// Whether the log holds every key, nonce and message.
    pub verbose: bool,
}

impl<'a> Setup<'a> {
    /// A program that speaks DPP over TCP only.
    #[must_use]
    pub fn without_radio(kind: Kind) -> Self {
        Self {
            kind,
            interface: "lo",
            driver: "none",
            settings: &[],
            within: &[],
            verbose: false,
        }
    }

    /// A program on a wired port.
    #[must_use]
    pub fn wired(kind: Kind, interface: &'a str, settings: &'a [String]) -> Self {
        Self {
            driver: "wired",
            ..Self::on(kind, interface, settings)
        }
    }

    /// A program on a radio.
    #[must_use]
    pub fn on(kind: Kind, interface: &'a str, settings: &'a [String]) -> Self {
        Self {
            kind,
            interface,
            driver: "nl80211",
            settings,
            within: &[],
            verbose: false,
        }
    }
}

/// A running program.
#[derive(Debug)]
pub struct Hostap {
    name: String,
    child: Child,
    log: PathBuf,
    asking: UnixDatagram,
    heard: Arc<Heard>,
}

/// What the program has said of its own accord, and whether anybody still listens.
#[derive(Debug, Default)]
struct Heard {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    events: Vec<String>,
    over: bool,
}

impl Heard {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hostap {
    /// Starts the program; `folder` must not be used by another one.
    ///
    /// # Errors
    /// It is not installed, or it ended, or its control socket did not answer in time.
    pub fn start(name: &str, folder: &Path, setup: Setup<'_>) -> anyhow::Result<Self> {
        let program = setup.kind.program();
        let program = super::find(program).with_context(|| format!("no {program}"))?;
        fs::create_dir_all(folder)?;
        let control = folder.join("control");
        let configuration = folder.join("configuration");
        fs::write(&configuration, configuration_text(&setup, &control))?;
        let log = folder.join("log");
        // 1
        let mut command = match setup.within.split_first() {
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
            None => Command::new(program),
        };
        if setup.verbose {
            command.args(["-dd", "-K", "-t"]);
        }
        match setup.kind {
            Kind::AccessPoint => command.arg(&configuration),
            Kind::Station => command
                .args(["-D", setup.driver, "-i", setup.interface, "-c"])
                .arg(&configuration),
        };
        let output = File::create(&log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("starting {}", setup.kind.program()))?;
        let mut starting = Starting(Some(child));
        // 2
        let socket = control.join(setup.interface);
        let deadline = Instant::now() + PATIENCE;
        let asking = loop {
            match connect(&socket, &folder.join("asking")) {
                Ok(asking) if ask(&asking, "PING").is_ok_and(|answer| answer == "PONG") => {
                    break asking;
                }
                _ => {}
            }
            if let Some(status) = starting.ended() {
                bail!("{name} ended ({status}): {}", tail(&log));
            }
            ensure!(
                Instant::now() < deadline,
                "{name} does not answer: {}",
                tail(&log)
            );
            std::thread::sleep(PAUSE);
        };
        let listening = connect(&socket, &folder.join("listening"))?;
        let answer = ask(&listening, "ATTACH")?;
        ensure!(answer == "OK", "{name} has no events for us: {answer}");
        listening.set_read_timeout(Some(LISTEN))?;
        let heard = Arc::new(Heard::default());
        let listener = Arc::clone(&heard);
        std::thread::spawn(move || listen(&listening, &listener));
        let child = starting.0.take().context("no child")?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
            asking,
            heard,
        })
    }

    /// Sends a control command and gives the answer, whatever it is.
    ///
    /// # Errors
    /// The program does not answer.
    pub fn ask(&self, command: &str) -> anyhow::Result<String> {
        ask(&self.asking, command).with_context(|| format!("{}: {command}", self.name))
    }

    /// Sends a control command that must succeed, and gives the answer.
    ///
    /// # Errors
    /// The program does not answer, or says that it failed.
    pub fn order(&self, command: &str) -> anyhow::Result<String> {
        let answer = self.ask(command)?;
        let refused = answer.starts_with("FAIL") || answer.starts_with("UNKNOWN COMMAND");
        ensure!(!refused, "{}: {command}: {answer}", self.name);
        Ok(answer)
    }

    /// One line of its state: `state`, `ssid`, `key_mgmt`, `wpa_state` and so on.
    ///
    /// # Errors
    /// There is no such line.
    pub fn state(&self, name: &str) -> anyhow::Result<String> {
        let status = self.order("STATUS")?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        Ok(line
            .with_context(|| format!("{} says no {name}: {status}", self.name))?
            .to_owned())
    }

    /// Waits until a line of its state says `value`. Events tell no more of what was before somebody
    /// listened.
    ///
    /// # Errors
    /// It did not within [`PATIENCE`].
    pub fn until(&self, name: &str, value: &str) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let state = self.state(name)?;
            if state == value {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "{}: {name} stays {state}: {}",
                self.name,
                tail(&self.log)
            );
            std::thread::sleep(PAUSE);
        }
    }

    /// Every event so far, without its priority.
    #[must_use]
    pub fn events(&self) -> Vec<String> {
        self.heard.state().events.clone()
    }

    /// How many events there were so far, for [`Hostap::wait_after`].
    #[must_use]
    pub fn now(&self) -> usize {
        self.heard.state().events.len()
    }

    /// The first event that begins with `beginning`, those of the past included.
    ///
    /// # Errors
    /// None came within [`PATIENCE`].
    pub fn wait(&self, beginning: &str) -> anyhow::Result<String> {
        self.wait_after(0, beginning, PATIENCE)
    }

    /// The first event after the first `past` ones that begins with `beginning`.
    ///
    /// # Errors
    /// None came in time.
    pub fn wait_after(
        &self,
        past: usize,
        beginning: &str,
        within: Duration,
    ) -> anyhow::Result<String> {
        let fits = |event: &str| event.starts_with(beginning);
        self.wait_for(past, within, fits)
            .with_context(|| format!("no {beginning} of {}", self.name))
    }

    /// The first event after the first `past` ones that fits.
    ///
    /// # Errors
    /// None came in time.
    pub fn wait_for(
        &self,
        past: usize,
        within: Duration,
        fits: impl Fn(&str) -> bool,
    ) -> anyhow::Result<String> {
        let deadline = Instant::now() + within;
        let mut state = self.heard.state();
        let mut next = past;
        loop {
            let new = state.events.iter().skip(next);
            if let Some(event) = new.into_iter().find(|event| fits(event)) {
                return Ok(event.clone());
            }
            next = state.events.len().max(past);
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.over {
                let events = state.events.join("\n  ");
                bail!(
                    "{} said instead:\n  {events}\n{}",
                    self.name,
                    tail(&self.log)
                );
            }
            let waited = self.heard.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Everything that it wrote so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Hostap {
    fn drop(&mut self) {
        self.heard.state().over = true;
        // 3
        end(&mut self.child);
    }
}

/// A child that is ended unless it is taken out.
struct Starting(Option<Child>);

impl Starting {
    fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.0.as_mut()?.try_wait().ok().flatten()
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            end(&mut child);
        }
    }
}

/// Tells a child to end, kills it if it does not, and waits for it.
pub(super) fn end(child: &mut Child) {
    if !matches!(child.try_wait(), Ok(None)) {
        return;
    }
    let _ = kill_process(Pid::from_child(child), Signal::TERM);
    let deadline = Instant::now() + END;
    while matches!(child.try_wait(), Ok(None)) {
        if Instant::now() >= deadline {
            let _ = child.kill();
            let _ = child.wait();
            return;
        }
        std::thread::sleep(PAUSE);
    }
}

fn configuration_text(setup: &Setup<'_>, control: &Path) -> String {
    let mut lines = vec![format!("ctrl_interface={}", control.display())];
    if setup.kind == Kind::AccessPoint {
        lines.push(format!("interface={}", setup.interface));
        lines.push(format!("driver={}", setup.driver));
    }
    lines.extend(setup.settings.iter().cloned());
    lines.join("\n") + "\n"
}

fn connect(socket: &Path, own: &Path) -> std::io::Result<UnixDatagram> {
    if let Err(error) = fs::remove_file(own)
        && error.kind() != ErrorKind::NotFound
    {
        return Err(error);
    }
    let bound = UnixDatagram::bind(own)?;
    bound.connect(socket)?;
    bound.set_read_timeout(Some(PATIENCE))?;
    Ok(bound)
}

fn ask(socket: &UnixDatagram, command: &str) -> anyhow::Result<String> {
    socket.send(command.as_bytes())?;
    let mut answer = [0; MESSAGE];
    let length = socket.recv(&mut answer)?;
    let answer = answer.get(..length).unwrap_or_default();
    Ok(String::from_utf8_lossy(answer).trim_end().to_owned())
}

fn listen(socket: &UnixDatagram, heard: &Heard) {
    let mut message = [0; MESSAGE];
    while !heard.state().over {
        match socket.recv(&mut message) {
            Ok(length) => {
                let text = String::from_utf8_lossy(message.get(..length).unwrap_or_default());
                let event = text.split_once('>').map_or(&*text, |(_, event)| event);
                heard.state().events.push(event.trim_end().to_owned());
                heard.changed.notify_all();
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => {
                heard.state().over = true;
                heard.changed.notify_all();
            }
        }
    }
}

/// The last lines of a log, for messages.
fn tail(log: &Path) -> String {
    const LINES: usize = 30;
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(LINES);
    lines.get(from..).unwrap_or_default().join("\n")
}
