//! The control socket: one datagram a command, one a reply, and events in between.
//!
//! 1. Our end is bound under a random name in the abstract namespace, so nothing is left behind in
//!    a folder, and connected, so nobody else can answer in the supplicant's place.
//! 2. `ATTACH` makes the supplicant send its events here. They begin with `<N>`; replies do not.
//! 3. The supplicant works off commands in order and is one thread: all events that came before a
//!    reply have been received when the reply has.

use std::collections::VecDeque;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram as StdDatagram};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixDatagram;
use tokio::time::{Instant, timeout_at};

use super::SupplicantError;

/// Longest reply or event that is read, in bytes; the rest of a longer one is lost, and it is
/// refused.
const MAX_MESSAGE: usize = 64 * 1024;

/// Events that are kept while a reply is waited for; beyond it the oldest is forgotten.
const MAX_EVENTS: usize = 256;

/// Most networks of a supplicant that are looked at.
const MAX_LISTED: usize = 256;

/// How long the supplicant may take to reply.
const REPLY: Duration = Duration::from_secs(10);

/// An attached control socket.
#[derive(Debug)]
pub(crate) struct Control {
    socket: UnixDatagram,
    path: PathBuf,
    events: VecDeque<String>,
}

impl Control {
    /// Steps 1 and 2.
    pub(crate) async fn open(path: &Path) -> Result<Self, SupplicantError> {
        let failed = |source| SupplicantError::Absent {
            path: path.to_owned(),
            source,
        };
        let number = u128::from_be_bytes(vouchsafe_keystore::random::bytes());
        let name = format!("vouchsafe-agent-{number:032x}");
        let own = SocketAddr::from_abstract_name(name.as_bytes()).map_err(failed)?;
        let socket = StdDatagram::bind_addr(&own).map_err(failed)?;
        socket.connect(path).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        let mut control = Self {
            socket: UnixDatagram::from_std(socket).map_err(failed)?,
            path: path.to_owned(),
            events: VecDeque::new(),
        };
        control.done("ATTACH").await?;
        Ok(control)
    }

    /// Sends a command and gives its reply, without the line's end.
    pub(crate) async fn ask(&mut self, command: &str) -> Result<String, SupplicantError> {
        let word = word(command);
        // It would be taken for the end of the command, or of a line of its configuration.
        if command.contains(['\n', '\r', '\0']) {
            return Err(SupplicantError::Unspeakable { command: word });
        }
        let sent = self.socket.send(command.as_bytes()).await;
        sent.map_err(|source| self.lost(source))?;
        let deadline = Instant::now() + REPLY;
        loop {
            let Some(message) = self.receive(deadline).await? else {
                return Err(SupplicantError::Silent { command: word });
            };
            if !is_event(&message) {
                return Ok(message);
            }
            self.keep(message);
        }
    }

    /// As [`Control::ask`], where the reply must be `OK`.
    pub(crate) async fn done(&mut self, command: &str) -> Result<(), SupplicantError> {
        let reply = self.ask(command).await?;
        match reply.as_str() {
            "OK" => Ok(()),
            _ => Err(refused(command, &reply)),
        }
    }

    /// As [`Control::ask`], where the reply must be a number: the name of what was made.
    pub(crate) async fn number(&mut self, command: &str) -> Result<u32, SupplicantError> {
        let reply = self.ask(command).await?;
        reply.parse().map_err(|_| refused(command, &reply))
    }

    /// The next event without its `<N>`; none when there was none until then.
    pub(crate) async fn event(
        &mut self,
        deadline: Instant,
    ) -> Result<Option<String>, SupplicantError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            match self.receive(deadline).await? {
                None => return Ok(None),
                Some(message) if is_event(&message) => self.keep(message),
                // The late reply to a command that was given up.
                Some(_) => {}
            }
        }
    }

    /// Forgets events that came before now (step 3).
    pub(crate) async fn forget_events(&mut self) -> Result<(), SupplicantError> {
        self.ask("PING").await?;
        self.events.clear();
        Ok(())
    }

    /// The events that have come by now (step 3), without waiting for others.
    pub(crate) async fn events_so_far(&mut self) -> Result<Vec<String>, SupplicantError> {
        self.ask("PING").await?;
        Ok(self.events.drain(..).collect())
    }

    /// Removes the networks that we made: they have this `id_str`. How many there were.
    pub(crate) async fn remove_marked(&mut self, mark: &str) -> Result<usize, SupplicantError> {
        let ours = self.marked(mark).await?;
        for id in &ours {
            self.done(&format!("REMOVE_NETWORK {id}")).await?;
        }
        Ok(ours.len())
    }

    /// The networks that have this `id_str`.
    pub(crate) async fn marked(&mut self, mark: &str) -> Result<Vec<u32>, SupplicantError> {
        let listed = self.ask("LIST_NETWORKS").await?;
        let lines = listed.lines().skip(1).take(MAX_LISTED);
        let mut ours = Vec::new();
        for id in lines.filter_map(|line| line.split('\t').next()?.parse::<u32>().ok()) {
            let found = self.ask(&format!("GET_NETWORK {id} id_str")).await?;
            if found.trim_matches('"') == mark {
                ours.push(id);
            }
        }
        Ok(ours)
    }

    /// Our own end.
    #[cfg(test)]
    pub(super) fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap().into()
    }

    fn keep(&mut self, message: String) {
        if self.events.len() >= MAX_EVENTS {
            self.events.pop_front();
        }
        let event = message.split_once('>').map_or("", |(_, event)| event);
        self.events.push_back(event.to_owned());
    }

    async fn receive(&self, deadline: Instant) -> Result<Option<String>, SupplicantError> {
        let mut buffer = vec![0; MAX_MESSAGE];
        let received = match timeout_at(deadline, self.socket.recv(&mut buffer)).await {
            Err(_) => return Ok(None),
            Ok(received) => received.map_err(|source| self.lost(source))?,
        };
        if received == MAX_MESSAGE {
            return Err(SupplicantError::TooLong { limit: MAX_MESSAGE });
        }
        buffer.truncate(received);
        let text = String::from_utf8_lossy(&buffer);
        Ok(Some(text.trim_end_matches('\n').to_owned()))
    }

    fn lost(&self, source: std::io::Error) -> SupplicantError {
        SupplicantError::Absent {
            path: self.path.clone(),
            source,
        }
    }
}

/// `<3>DPP-…`
fn is_event(message: &str) -> bool {
    message
        .strip_prefix('<')
        .and_then(|rest| rest.split_once('>'))
        .is_some_and(|(level, _)| level.len() == 1 && level.bytes().all(|b| b.is_ascii_digit()))
}

/// The command's name and nothing more: what follows may be secret.
fn word(command: &str) -> String {
    let mut words = command.split_ascii_whitespace();
    let first = words.next().unwrap_or_default();
    match (first, words.next(), words.next()) {
        ("SET", Some(name), _) | ("SET_NETWORK", _, Some(name)) => format!("{first} {name}"),
        _ => first.to_owned(),
    }
}

fn refused(command: &str, reply: &str) -> SupplicantError {
    SupplicantError::Refused {
        command: word(command),
        reply: reply
            .chars()
            .filter(|c| !c.is_control())
            .take(100)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_command_and_none_of_its_values() {
        assert_eq!(word("SET_NETWORK 3 psk \"secret\""), "SET_NETWORK psk");
        assert_eq!(word("SET blob secret"), "SET blob");
        assert_eq!(word("DPP_BOOTSTRAP_GEN key=secret"), "DPP_BOOTSTRAP_GEN");
    }

    #[test]
    fn events_are_told_from_replies() {
        assert!(is_event("<3>DPP-CONF-RECEIVED "));
        for reply in ["OK", "<", "<>", "<x>", "<33>", "ssid=<3>", ""] {
            assert!(!is_event(reply), "{reply}");
        }
    }
}
