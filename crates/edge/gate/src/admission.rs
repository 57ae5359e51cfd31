//! Who may come in, who is in, and who must go: one lock around all three.
//!
//! A grant that lets a device in and the entry of its session happen under the lock under which another
//! desired state takes effect. So there is no moment at which a device comes in by an old state and
//! is not found by the new one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use vouchsafe_radius::accounting::{Record, Status};
use vouchsafe_radius::{Grant, Question, Station};

use crate::desired::{Desired, Entry};

/// Most sessions at a time.
pub const MAX_SESSIONS: usize = 200_000;

/// How long after its time a session may be without a new proof: the access point needs a moment.
const GRACE: SignedDuration = SignedDuration::from_secs(60);

/// How far in the future a desired state may have been issued: two machines have two clocks. One from
/// further on would count for as much longer, whatever happened meanwhile.
const CLOCK_ALLOWANCE: SignedDuration = SignedDuration::from_mins(5);

/// Where a device is: one station at one place. The same MAC address elsewhere is another place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The RADIUS client's number.
    pub client: u32,
    /// What the access point calls itself.
    pub access_point: Option<String>,
    /// The station's MAC address.
    pub mac: Option<[u8; 6]>,
    /// The port's number, where the station has no address.
    pub port: Option<u32>,
}

impl Place {
    fn of(client: u32, station: &Station) -> Self {
        Self {
            client,
            access_point: station.access_point.clone(),
            mac: station.mac,
            port: station.port.filter(|_| station.mac.is_none()),
        }
    }
}

/// A device that is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// What the access point repeats in accounting.
    pub class: String,
    /// Whose it is.
    pub device: String,
    /// With which credential: the certificate's serial number in hexadecimal.
    pub credential: String,
    /// Where it was put.
    pub segment: Option<String>,
    /// The access point's own name for the session.
    pub name: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// Until when it counts without a new proof.
    pub until: Timestamp,
    /// Since when it must go, if it must.
    pub ending: Option<Timestamp>,
    /// When it was last heard of.
    pub seen: Timestamp,
    /// Octets from and to the device, as the access point counts.
    pub octets: (u64, u64),
}

/// Why a proved device may not come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// The gate has no desired state.
    NoState,
    /// The controller was not heard of for too long.
    StaleState,
    /// The controller's clock, or the gate's, is wrong: the state is from the future.
    FutureState,
    /// The credential is not among those that may.
    NotAdmitted,
    /// The decision has run out.
    Expired,
    /// No room for another session.
    Full,
}

impl Denial {
    /// Stable name.
    pub fn code(self) -> &'static str {
        match self {
            Self::NoState => "no-desired-state",
            Self::StaleState => "desired-state-stale",
            Self::FutureState => "desired-state-future",
            Self::NotAdmitted => "not-admitted",
            Self::Expired => "decision-expired",
            Self::Full => "no-room",
        }
    }
}

/// The three together. Clones are the same.
#[derive(Debug, Clone)]
pub struct Admission(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    inner: Mutex<Inner>,
    rules: Rules,
    changed: watch::Sender<u64>,
}

/// What the configuration says about sessions.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Longest time between proofs, in seconds.
    pub session_seconds: u32,
    /// Oldest desired state by which a device comes in, in seconds.
    pub longest_age: u32,
}

#[derive(Debug, Default)]
struct Inner {
    desired: Option<Arc<Desired>>,
    sessions: BTreeMap<Place, Session>,
}

impl Admission {
    /// Nobody may come in yet. `sessions` are those that an earlier run left.
    pub fn new(rules: Rules, sessions: BTreeMap<Place, Session>) -> Self {
        Self(Arc::new(Shared {
            inner: Mutex::new(Inner {
                desired: None,
                sessions,
            }),
            rules,
            changed: watch::Sender::new(0),
        }))
    }

    /// Tells of every change of sessions or state.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// The version in force.
    pub fn version(&self) -> Option<u64> {
        self.lock().desired.as_ref().map(|desired| desired.version)
    }

    /// Decides about a proved device, and records its session when the grant lets it in.
    ///
    /// # Errors
    /// [`Denial`].
    pub fn decide(
        &self,
        question: &Question,
        class: &str,
        now: Timestamp,
    ) -> Result<(Grant, Entry), Denial> {
        let credential = question
            .certificate()
            .map(vouchsafe_trust::Certificate::serial_hex)
            .ok_or(Denial::NotAdmitted)?;
        let mut inner = self.lock();
        let entry = self.judge(&inner, &credential, now)?;
        let left = entry.expires_at.duration_since(now).as_secs().max(1);
        let seconds = u32::try_from(left).unwrap_or(u32::MAX);
        let seconds = seconds.min(self.0.rules.session_seconds);
        let grant = Grant {
            name: Some(entry.device.clone()),
            segment: entry.segment.clone(),
            session_seconds: Some(seconds),
            class: Some(class.as_bytes().to_vec()),
        };
        if question.is_last() {
            let place = Place::of(question.origin().client, question.station());
            if inner.sessions.len() >= MAX_SESSIONS && !inner.sessions.contains_key(&place) {
                return Err(Denial::Full);
            }
            let until = now.checked_add(SignedDuration::from_secs(seconds.into()));
            let session = Session {
                class: class.to_owned(),
                device: entry.device.clone(),
                credential,
                segment: entry.segment.as_ref().map(|it| it.as_str().to_owned()),
                name: question.station().session.clone(),
                since: now,
                until: until.unwrap_or(Timestamp::MAX),
                ending: None,
                seen: now,
                octets: (0, 0),
            };
            inner.sessions.insert(place, session);
            drop(inner);
            self.tell();
        }
        Ok((grant, entry))
    }

    /// Takes another desired state. Sessions that it does not admit must go from now on; how many.
    pub fn apply(&self, desired: Arc<Desired>, now: Timestamp) -> usize {
        let mut inner = self.lock();
        inner.desired = Some(desired);
        let ending = self.end_what_must_go(&mut inner, now);
        drop(inner);
        self.tell();
        ending
    }

    /// Ends what has run out by itself: decisions, and sessions that were not renewed.
    pub fn look(&self, now: Timestamp) -> usize {
        let mut inner = self.lock();
        let ending = self.end_what_must_go(&mut inner, now);
        drop(inner);
        if ending > 0 {
            self.tell();
        }
        ending
    }

    /// Whether a station at this port of this machine is in, and may stay.
    pub fn is_live(&self, access_point: &str, mac: [u8; 6]) -> bool {
        self.at(access_point, mac)
            .is_some_and(|(_, session)| session.ending.is_none())
    }

    /// The session of a station at a port of this machine.
    pub fn at(&self, access_point: &str, mac: [u8; 6]) -> Option<(Place, Session)> {
        let inner = self.lock();
        let found = inner.sessions.iter().find(|(place, _)| {
            place.mac == Some(mac) && place.access_point.as_deref() == Some(access_point)
        });
        found.map(|(place, session)| (place.clone(), session.clone()))
    }

    /// The sessions of a client that must go.
    pub fn ending(&self, client: u32) -> Vec<(Place, Session)> {
        let inner = self.lock();
        let ending = inner
            .sessions
            .iter()
            .filter(|(place, session)| place.client == client && session.ending.is_some());
        ending
            .map(|(place, session)| (place.clone(), session.clone()))
            .collect()
    }

    /// The session that had to go is gone; how long that took. A new one at the same place stays.
    pub fn gone(&self, place: &Place, class: &str, now: Timestamp) -> Option<SignedDuration> {
        let mut inner = self.lock();
        let session = inner.sessions.get(place)?;
        if session.class != class {
            return None;
        }
        let took = now.duration_since(session.ending?);
        inner.sessions.remove(place);
        drop(inner);
        self.tell();
        Some(took)
    }

    /// What an access point reports about a session that it got the class of from here.
    pub fn account(&self, client: u32, record: &Record, now: Timestamp) -> bool {
        let mut inner = self.lock();
        if matches!(record.status, Status::On | Status::Off) {
            // The access point began anew: its sessions are over (RFC 2866 §5.1).
            let name = &record.station.access_point;
            let before = inner.sessions.len();
            inner
                .sessions
                .retain(|place, _| place.client != client || place.access_point != *name);
            let changed = inner.sessions.len() != before;
            drop(inner);
            if changed {
                self.tell();
            }
            return true;
        }
        let place = Place::of(client, &record.station);
        let class = record.class.as_deref().unwrap_or_default();
        let Some(session) = inner.sessions.get_mut(&place) else {
            return false;
        };
        if session.class.as_bytes() != class {
            return false;
        }
        session.seen = now;
        session.octets = (record.octets_in, record.octets_out);
        session.name.clone_from(&record.station.session);
        // One that must go stays until whoever ends it has confirmed that.
        if record.status == Status::Stop && session.ending.is_none() {
            inner.sessions.remove(&place);
            drop(inner);
            self.tell();
        }
        true
    }

    /// All sessions, to be kept over a restart.
    pub fn sessions(&self) -> BTreeMap<Place, Session> {
        self.lock().sessions.clone()
    }

    fn judge(&self, inner: &Inner, credential: &str, now: Timestamp) -> Result<Entry, Denial> {
        let desired = inner.desired.as_ref().ok_or(Denial::NoState)?;
        let age = now.duration_since(desired.issued_at);
        if age > SignedDuration::from_secs(self.0.rules.longest_age.into()) {
            return Err(Denial::StaleState);
        }
        if age < -CLOCK_ALLOWANCE {
            return Err(Denial::FutureState);
        }
        let entry = desired.admitted(credential).ok_or(Denial::NotAdmitted)?;
        if entry.expires_at <= now {
            return Err(Denial::Expired);
        }
        Ok(entry.clone())
    }

    fn end_what_must_go(&self, inner: &mut Inner, now: Timestamp) -> usize {
        let Some(desired) = inner.desired.clone() else {
            return 0;
        };
        let mut ending = 0;
        for session in inner.sessions.values_mut() {
            // A device that belongs elsewhere now goes out to come in again: not every access point can
            // move it.
            let stays = desired.admitted(&session.credential).is_some_and(|entry| {
                let segment = entry.segment.as_ref().map(|it| it.as_str());
                let overdue = now.duration_since(session.until) > GRACE;
                !overdue && entry.expires_at > now && segment == session.segment.as_deref()
            });
            match (stays, session.ending) {
                (false, None) => {
                    session.ending = Some(now);
                    ending += 1;
                }
                // It may stay after all, before anybody ended it.
                (true, Some(_)) => session.ending = None,
                _ => {}
            }
        }
        ending
    }

    fn tell(&self) {
        self.0
            .changed
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
