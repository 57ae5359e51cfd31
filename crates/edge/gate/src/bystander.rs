//! Stations at wired ports that show nothing but their MAC address, and that the desired state lets in all
//! the same.
//!
//! Anybody can copy an address, so this is weak, and kept as narrow as it can be:
//!
//! 1. Only addresses that the state names, at a port where the bridge has just seen them.
//! 2. One place at a time: while a station is seen where it came in, its address gets nothing elsewhere.
//! 3. A station that proves itself by 802.1X counts, and no other comes in by its address.
//! 4. A station that was not seen for [`QUIET`] has left.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::SignedDuration;
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::time::{Instant, sleep};
use vouchsafe_radius::attribute::mac_address;

use crate::admission::Denial;
use crate::event::{Event, mac_text};
use crate::filter::Entry;
use crate::radius::Desk;
use crate::random;

/// After what time without a sight of it a station has left. The bridge forgets after five minutes.
const QUIET: SignedDuration = SignedDuration::from_secs(60);

/// Pause between two looks; longer where a look takes long.
const LOOK: Duration = Duration::from_secs(1);

/// How much longer than a look the pause after it is at least.
const PAUSE: u32 = 10;

/// Largest account of a bridge that is read, in octets.
const MAX_ACCOUNT: u64 = 64 * 1024 * 1024;

/// The ports, and what was told about whom.
pub(crate) struct Bystanders {
    ports: BTreeSet<String>,
    refused: BTreeMap<Entry, Denial>,
}

/// A line of what the bridge knows.
#[derive(Deserialize)]
struct Sight {
    mac: String,
    ifname: String,
    #[serde(default)]
    state: String,
}

impl Bystanders {
    pub(crate) fn at(ports: BTreeSet<String>) -> Self {
        Self {
            ports,
            refused: BTreeMap::new(),
        }
    }

    /// Looks again and again, until the gate stops.
    pub(crate) async fn run(mut self, desk: Desk) {
        while !desk.stop.load(Ordering::Acquire) {
            let begun = Instant::now();
            self.look(&desk).await;
            sleep(LOOK.max(begun.elapsed() * PAUSE)).await;
        }
    }

    /// Lets in whom the state names and the bridge sees, and lets go who left.
    async fn look(&mut self, desk: &Desk) {
        if !desk.admission.has_stations() {
            self.refused.clear();
            return;
        }
        let seen = match sights().await {
            Ok(seen) => seen,
            Err(error) => {
                tracing::warn!(%error, "the bridge does not say whom it sees");
                return;
            }
        };
        let now = desk.clock.now();
        let here = seen
            .into_iter()
            .filter(|sight| sight.state != "permanent" && self.ports.contains(&sight.ifname))
            .filter_map(|sight| Some((sight.ifname, mac_address(&sight.mac)?)));
        let here: BTreeSet<Entry> = here.collect();
        let arrived: Vec<&Entry> = here
            .iter()
            .filter(|(port, mac)| desk.admission.saw(port, *mac, now))
            .collect();
        // Whoever left makes room for whoever arrived.
        if let Ok(then) = now.checked_sub(QUIET) {
            desk.admission.unseen_since(then);
        }
        self.refused.retain(|entry, _| here.contains(entry));
        for (port, mac) in arrived {
            // A moment ago it came in at another port, or left there.
            if desk.admission.saw(port, *mac, now) {
                self.let_in(desk, (port.clone(), *mac));
            }
        }
    }

    fn let_in(&mut self, desk: &Desk, entry: Entry) {
        let (port, mac) = &entry;
        let now = desk.clock.now();
        let Some(place) = desk.admission.own_place(port, *mac) else {
            return;
        };
        let station = vouchsafe_radius::Station {
            mac: Some(*mac),
            access_point: Some(port.clone()),
            ..vouchsafe_radius::Station::default()
        };
        let Ok(class) = random::bytes::<16>().map(hex::encode) else {
            return;
        };
        let decided = desk
            .admission
            .decide_station(place.client, &station, &class, now);
        let event = match decided {
            Ok((grant, admitted)) => {
                self.refused.remove(&entry);
                Event::Accepted {
                    device: admitted.device,
                    station: mac_text(*mac),
                    access_point: port.clone(),
                    segment: admitted.segment.map(|it| it.as_str().to_owned()),
                    seconds: grant.session_seconds.unwrap_or_default(),
                }
            }
            // It is seen each second; what does not change is told once.
            Err(denial) if self.refused.get(&entry) == Some(&denial) => return,
            Err(denial) => {
                let event = Event::Refused {
                    identity: mac_text(*mac),
                    station: mac_text(*mac),
                    access_point: port.clone(),
                    reason: denial.code().to_owned(),
                };
                self.refused.insert(entry, denial);
                event
            }
        };
        desk.events.tell(now, event);
    }
}

/// Whom the bridges of this machine see, and at which port.
async fn sights() -> std::io::Result<Vec<Sight>> {
    let mut bridge = Command::new("bridge")
        .args(["-j", "fdb", "show"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let no_account = || std::io::Error::other("no account of the bridge");
    let out = bridge.stdout.take().ok_or_else(no_account)?;
    let mut account = Vec::new();
    out.take(MAX_ACCOUNT + 1).read_to_end(&mut account).await?;
    let is_whole = u64::try_from(account.len()).is_ok_and(|it| it <= MAX_ACCOUNT);
    if !is_whole || !bridge.wait().await?.success() {
        return Err(no_account());
    }
    Ok(serde_json::from_slice(&account)?)
}
