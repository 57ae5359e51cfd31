//! hostapd's control socket: commands and answers in datagrams, and events once attached.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixDatagram;
use tokio::time::timeout;
use vouchsafe_radius::attribute::mac_address;

use crate::event::mac_text;

/// How long an answer is awaited.
const PATIENCE: Duration = Duration::from_secs(2);

/// Largest answer that is read, in octets.
const MAX_ANSWER: usize = 8192;

/// How often a list of stations that breaks off is begun.
const LISTINGS: usize = 3;

/// Most stations that one port is asked for.
const MAX_STATIONS: usize = 4096;

/// A station as hostapd sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Station {
    pub(crate) mac: [u8; 6],
    pub(crate) is_authorized: bool,
    /// The name of the line with the passphrase by which it came in.
    pub(crate) line: Option<String>,
}

/// An open control socket. Its own end is removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Control {
    socket: UnixDatagram,
    own: PathBuf,
}

impl Control {
    /// Opens the socket at `path`; `own` is where our end lies.
    pub(crate) fn open(path: &Path, own: PathBuf) -> io::Result<Self> {
        let _ = std::fs::remove_file(&own);
        let socket = UnixDatagram::bind(&own)?;
        let control = Self { socket, own };
        control.socket.connect(path)?;
        Ok(control)
    }

    /// Asks for events.
    pub(crate) async fn attach(&self) -> io::Result<()> {
        self.expect_ok("ATTACH").await
    }

    /// Ends a station's session.
    pub(crate) async fn deauthenticate(&self, mac: [u8; 6]) -> io::Result<()> {
        self.expect_ok(&format!("DEAUTHENTICATE {}", mac_text(mac)))
            .await
    }

    /// Reads the file with passphrases again.
    pub(crate) async fn reload_passphrases(&self) -> io::Result<()> {
        self.expect_ok("RELOAD_WPA_PSK").await
    }

    /// Forgets the keys of earlier sessions, by which a station would come back.
    pub(crate) async fn forget_keys(&self) -> io::Result<()> {
        self.expect_ok("PMKSA_FLUSH").await
    }

    /// All stations. A list that breaks off, since a station left while it was asked for, says nothing of those
    /// behind it: it is begun anew, a few times.
    pub(crate) async fn stations(&self) -> io::Result<Vec<Station>> {
        for _ in 0..LISTINGS {
            if let Some(stations) = self.list().await? {
                return Ok(stations);
            }
        }
        Err(io::Error::other("hostapd: the list of stations breaks off"))
    }

    async fn list(&self) -> io::Result<Option<Vec<Station>>> {
        let mut stations: Vec<Station> = Vec::new();
        let mut answer = self.ask("STA-FIRST").await?;
        while stations.len() < MAX_STATIONS && !answer.trim().is_empty() {
            let Some(station) = read_station(&answer) else {
                return Ok(None);
            };
            if stations.iter().any(|known| known.mac == station.mac) {
                return Ok(None);
            }
            let mac = station.mac;
            stations.push(station);
            answer = self.ask(&format!("STA-NEXT {}", mac_text(mac))).await?;
        }
        Ok(Some(stations))
    }

    /// Waits for the next event. What it says is not looked at: it is a reason to look.
    pub(crate) async fn event(&self) -> io::Result<()> {
        let mut buffer = [0; MAX_ANSWER];
        self.socket.recv(&mut buffer).await.map(|_| ())
    }

    async fn expect_ok(&self, command: &str) -> io::Result<()> {
        let answer = self.ask(command).await?;
        if answer.trim_end() == "OK" {
            return Ok(());
        }
        let problem = format!("hostapd: {command}: {}", answer.trim_end());
        Err(io::Error::other(problem))
    }

    async fn ask(&self, command: &str) -> io::Result<String> {
        let asked = async {
            self.socket.send(command.as_bytes()).await?;
            let mut buffer = [0; MAX_ANSWER];
            loop {
                let length = self.socket.recv(&mut buffer).await?;
                let answer = buffer.get(..length).unwrap_or_default();
                // Events begin with their level: `<3>AP-STA-CONNECTED …`.
                if !answer.starts_with(b"<") {
                    return Ok(String::from_utf8_lossy(answer).into_owned());
                }
            }
        };
        timeout(PATIENCE, asked)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.own);
    }
}

/// The first line is the address; `flags=[AUTH][ASSOC][AUTHORIZED]` is among the others.
fn read_station(answer: &str) -> Option<Station> {
    let mut lines = answer.lines();
    let mac = mac_address(lines.next()?.trim())?;
    let mut line = None;
    let is_authorized = lines
        .inspect(|text| {
            if let Some(name) = text.strip_prefix("keyid=") {
                line = Some(name.trim().to_owned());
            }
        })
        .filter_map(|line| line.strip_prefix("flags="))
        .filter(|flags| flags.contains("[AUTHORIZED]"))
        .count()
        > 0;
    Some(Station {
        mac,
        is_authorized,
        line,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_station_is_read_with_its_flags() {
        let answer = "02:00:00:00:00:01\nflags=[AUTHORIZED]\naid=0\nkeyid=camera\n";
        let station = read_station(answer).unwrap();
        assert_eq!(station.mac, [2, 0, 0, 0, 0, 1]);
        assert!(station.is_authorized);
        assert_eq!(station.line.as_deref(), Some("camera"));
        let cut = read_station("02:00:00:00:00:01\nflags=\n").unwrap();
        assert!(!cut.is_authorized);
        assert_eq!(read_station("FAIL\n"), None);
        assert_eq!(read_station(""), None);
    }
}
