//! Wi-Fi of this machine: hostapd by its control socket, beside what it asks over RADIUS.
//!
//! 1. Each event, each change of sessions and each second is a reason to ask hostapd for its stations.
//! 2. On a network with 802.1X, a station without a session that may stay is deauthenticated, and what hostapd
//!    remembers of keys is forgotten: else the station comes back by that, and nobody asks the gate. One whose
//!    session must go is so also on its way in: with the station hostapd drops what it was still asked or
//!    told about it. So the session is confirmed as soon as hostapd no longer holds its station for authorized.
//! 3. On a network with passphrases, hostapd is told to read its file again when that changed. A station
//!    whose line is gone, or is another, is deauthenticated, and what hostapd remembers of keys is
//!    forgotten: else the station comes back by that.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use tokio::time::timeout;
use vouchsafe_radius::attribute::mac_address;

use crate::admission::{Place, Session};
use crate::config::{WifiConfig, read_text};
use crate::event::{Event, mac_text};
use crate::hostapd::{Control, Station};
use crate::radius::Desk;

/// How often everything is looked at without a reason.
const LOOK: Duration = Duration::from_secs(1);

/// Largest file of passphrases that is read, in octets.
const MAX_PASSPHRASES: u64 = 16 * 1024 * 1024;

/// One network of this machine's hostapd.
pub(crate) struct Wifi {
    config: WifiConfig,
    /// The RADIUS client that it is, where it asks.
    client: Option<u32>,
    desk: Desk,
    own: PathBuf,
    control: Option<Control>,
    passphrases: Passphrases,
}

/// The file of passphrases as hostapd read it last: who has a line, and a digest of it.
#[derive(Debug, Default)]
struct Passphrases {
    seen: Option<(SystemTime, u64)>,
    lines: BTreeMap<String, [u8; 32]>,
    /// Whose lines are gone or others, and whose stations may still be in.
    changed: BTreeSet<String>,
}

impl Wifi {
    pub(crate) fn new(config: WifiConfig, client: Option<u32>, desk: Desk, own: PathBuf) -> Self {
        Self {
            config,
            client,
            desk,
            own,
            control: None,
            passphrases: Passphrases::default(),
        }
    }

    /// Keeps hostapd in agreement until the gate stops.
    pub(crate) async fn run(mut self) {
        let mut changes = self.desk.admission.changes();
        while !self.desk.stop.load(Ordering::Acquire) {
            changes.borrow_and_update();
            if let Err(error) = self.look().await {
                let interface = &self.config.interface;
                tracing::debug!(interface, %error, "no hostapd");
                self.control = None;
            }
            let _ = timeout(LOOK, changes.changed()).await;
        }
    }

    async fn look(&mut self) -> std::io::Result<()> {
        let is_new = self.control.is_none();
        let control = match self.control.take() {
            Some(control) => control,
            None => {
                let name = format!("{}.wifi", self.config.interface);
                Control::open(&self.config.control, self.own.join(name))?
            }
        };
        let done = self.agree(&control, is_new).await;
        self.control = Some(control);
        done
    }

    async fn agree(&mut self, control: &Control, is_new: bool) -> std::io::Result<()> {
        if let Some(file) = self.config.passphrases.clone() {
            self.read_passphrases(control, file, is_new).await?;
        }
        // Asked before the stations: who must go from here on is for the next look.
        let leaving = self.leaving();
        let stations = control.stations().await?;
        let (mut flushed, mut failed) = (false, None);
        if !leaving.is_empty() {
            control.forget_keys().await?;
            flushed = true;
        }
        for station in &stations {
            let may_stay = match self.client {
                Some(_) if leaving.contains_key(&station.mac) => false,
                Some(client) => !station.is_authorized || self.has_session(client, station),
                None => !station.is_authorized || !self.lost_its_line(station),
            };
            if may_stay {
                continue;
            }
            if !flushed {
                control.forget_keys().await?;
                flushed = true;
            }
            // One that just left keeps no other in.
            if let Err(error) = control.deauthenticate(station.mac).await {
                failed = Some(error);
                continue;
            }
            self.desk.events.tell(
                self.desk.clock.now(),
                Event::Deauthenticated {
                    interface: self.config.interface.clone(),
                    station: mac_text(station.mac),
                },
            );
        }
        if !leaving.is_empty() {
            self.confirm(leaving, &control.stations().await?);
        }
        match failed {
            Some(error) => Err(error),
            None => {
                self.passphrases.changed.clear();
                Ok(())
            }
        }
    }

    fn place(&self, client: u32, mac: [u8; 6]) -> Place {
        let name = self.config.access_point.as_ref();
        Place {
            client,
            access_point: Some(name.unwrap_or(&self.config.interface).clone()),
            mac: Some(mac),
            port: None,
        }
    }

    fn has_session(&self, client: u32, station: &Station) -> bool {
        let session = self.desk.admission.find(&self.place(client, station.mac));
        session.is_some_and(|session| session.ending.is_none())
    }

    /// The sessions here that must go, by their stations.
    fn leaving(&self) -> BTreeMap<[u8; 6], (Place, Session)> {
        let Some(client) = self.client else {
            return BTreeMap::new();
        };
        let ending = self.desk.admission.ending(client).into_iter();
        let here = ending.filter_map(|(place, session)| {
            let mac = place.mac.filter(|mac| place == self.place(client, *mac))?;
            Some((mac, (place, session)))
        });
        here.collect()
    }

    /// Those whose stations are out. What comes in later asks the gate anew.
    fn confirm(&self, leaving: BTreeMap<[u8; 6], (Place, Session)>, stations: &[Station]) {
        for (mac, (place, session)) in leaving {
            let mut here = stations.iter();
            if !here.any(|it| it.mac == mac && it.is_authorized) {
                self.desk.cut_off(&place, &session, "hostapd");
            }
        }
    }

    /// Where the file is another one: hostapd reads it again, and whose lines are gone or others is noted.
    async fn read_passphrases(
        &mut self,
        control: &Control,
        file: PathBuf,
        is_new: bool,
    ) -> std::io::Result<()> {
        let metadata = std::fs::metadata(&file)?;
        let seen = Some((metadata.modified()?, metadata.len()));
        if seen == self.passphrases.seen && !is_new {
            return Ok(());
        }
        let text = read_text(&file, MAX_PASSPHRASES).map_err(std::io::Error::other)?;
        let lines = read_lines(&text);
        control.reload_passphrases().await?;
        let before = std::mem::replace(&mut self.passphrases.lines, lines);
        self.passphrases.seen = seen;
        let after = &self.passphrases.lines;
        let changed = before
            .into_iter()
            .filter(|(who, line)| after.get(who) != Some(line));
        let changed = changed.map(|(who, _)| who);
        self.passphrases.changed.extend(changed);
        Ok(())
    }

    /// hostapd names the line by which a station came in, where the line has a name.
    fn lost_its_line(&self, station: &Station) -> bool {
        if self.config.passphrases.is_none() {
            return false;
        }
        let changed = &self.passphrases.changed;
        match &station.line {
            Some(line) => changed.contains(line) || !self.passphrases.lines.contains_key(line),
            None => changed.contains(&mac_text(station.mac)),
        }
    }
}

/// Lines of `wpa_psk_file`: `keyid=ID MAC PASSPHRASE`. One without a name is its address's.
fn read_lines(text: &str) -> BTreeMap<String, [u8; 32]> {
    let mut lines = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let words = line.split_whitespace();
        let name = words.clone().find_map(|word| word.strip_prefix("keyid="));
        let mac = words.clone().find_map(mac_address).map(mac_text);
        let Some(who) = name.map(str::to_owned).or(mac) else {
            continue;
        };
        let mut octets = [0; 32];
        octets.copy_from_slice(digest(&SHA256, line.as_bytes()).as_ref());
        lines.insert(who, octets);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_belongs_to_its_name_or_its_address() {
        let text = "# ours\nkeyid=camera 00:00:00:00:00:00 one two\n02:00:00:00:00:01 three\n";
        let lines = read_lines(text);
        let names: Vec<_> = lines.keys().map(String::as_str).collect();
        assert_eq!(names, ["02:00:00:00:00:01", "camera"]);
        let other = read_lines(&text.replace("two", "2"));
        assert_ne!(lines["camera"], other["camera"]);
        assert_eq!(lines["02:00:00:00:00:01"], other["02:00:00:00:00:01"]);
    }
}
