//! Who may come in, who is in, and who must go: one lock around all three.
//!
//! A grant that lets a device in and the entry of its session happen under the lock under which another
//! desired state takes effect. So there is no moment at which a device comes in by an old state and
//! is not found by the new one.

mod account;
mod denial;
mod ports;
mod session;
mod sessions;
mod settle;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use vouchsafe_radius::accounting::{Record, Status};
use vouchsafe_radius::{Grant, Question, Segment, Station};

use self::sessions::Sessions;
pub use account::{Account, Move, Touched, Unsaid, Wanted};
pub use denial::Denial;
pub use ports::OwnPorts;
pub use session::{Place, Session};

use crate::desired::{Desired, Entry};

/// Most sessions at a time.
pub const MAX_SESSIONS: usize = 200_000;

/// Most stations that are remembered as cut off.
const MAX_CUT_OFF: usize = 16_384;

/// Most sessions of one device: it may have roamed without a word, and is not everywhere. One more ends
/// the one that was heard of least lately.
pub const MAX_PLACES: usize = 8;

/// With as many that still have to go, nothing more is begun for a device.
const MAX_PLACES_ENDING: usize = 2 * MAX_PLACES;

/// How long an access point was asked to end a session before a device that is at too many places may come in
/// elsewhere: it roamed past access points that tell nothing and answer nothing. There the time that they
/// were given ends it.
const TRIED: SignedDuration = SignedDuration::from_secs(60);

/// How many sessions are looked at before others get the lock.
const SLICE: usize = 1_000;

/// How far in the future a desired state may have been issued: two machines have two clocks. One from
/// further on would count for as much longer, whatever happened meanwhile.
const CLOCK_ALLOWANCE: SignedDuration = SignedDuration::from_mins(5);

/// The three together. Clones are the same.
#[derive(Debug, Clone)]
pub struct Admission(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    inner: Mutex<Inner>,
    rules: Rules,
    changed: watch::Sender<u64>,
    /// The version of which everything is in force, see [`Admission::carried_out`].
    in_force: watch::Sender<Option<u64>>,
}

/// What the configuration says about sessions.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Longest time between proofs, in seconds.
    pub session_seconds: u32,
    /// Oldest desired state by which a device comes in, in seconds.
    pub longest_age: u32,
    /// The ports of this machine, if it has some.
    pub own: Option<OwnPorts>,
    /// RADIUS clients that move a session to another segment when they are asked.
    pub movers: BTreeSet<u32>,
}

#[derive(Debug, Default)]
struct Inner {
    desired: Option<Desired>,
    sessions: Sessions,
    /// Where something changed at our own ports since the filter last asked.
    touched: BTreeSet<Place>,
    /// What the filter was told of and has not confirmed yet.
    under_way: BTreeSet<Place>,
    /// Stations that had to go, wherever they were, and did not come in again; the oldest first.
    cut_off: VecDeque<[u8; 6]>,
}

impl Inner {
    /// A station that must go is cut off, unless the device is in with the same one elsewhere.
    fn cut_off(&mut self, place: &Place) {
        let (Some(mac), Some(session)) = (place.mac, self.sessions.find(place)) else {
            return;
        };
        let mut places = self.sessions.of_device(&session.device);
        if places.any(|(at, it)| at.mac == Some(mac) && it.ending.is_none()) {
            return;
        }
        drop(places);
        self.spare(mac);
        if self.cut_off.len() >= MAX_CUT_OFF {
            self.cut_off.pop_front();
        }
        self.cut_off.push_back(mac);
    }

    /// What the state says of a session's credential, or of its station.
    fn entry(&self, place: &Place, session: &Session) -> Option<&Entry> {
        let desired = self.desired.as_ref()?;
        match place.mac {
            Some(mac) if session.is_weak() => desired.station(mac),
            _ => desired.admitted(&session.credential),
        }
    }

    fn spare(&mut self, mac: [u8; 6]) {
        self.cut_off.retain(|each| *each != mac);
    }
}

/// Who asks to come in, and by what.
struct Arriving<'a> {
    place: Place,
    entry: &'a Entry,
    credential: String,
    class: &'a str,
    name: Option<String>,
    socket: Option<String>,
    seconds: u32,
}

impl Admission {
    /// Nobody may come in yet. `sessions` are those that an earlier run left, and `cut_off` the stations that
    /// had to go then, the oldest first.
    pub fn new(rules: Rules, sessions: BTreeMap<Place, Session>, cut_off: Vec<[u8; 6]>) -> Self {
        let before: BTreeSet<_> = cut_off.iter().copied().collect();
        let ending = sessions.iter().filter(|(_, it)| it.ending.is_some());
        let ending: BTreeSet<_> = ending.filter_map(|(place, _)| place.mac).collect();
        let mut cut_off = VecDeque::from(cut_off);
        cut_off.extend(ending.difference(&before));
        cut_off.drain(..cut_off.len().saturating_sub(MAX_CUT_OFF));
        Self(Arc::new(Shared {
            inner: Mutex::new(Inner {
                desired: None,
                sessions: Sessions::of(sessions),
                touched: BTreeSet::new(),
                under_way: BTreeSet::new(),
                cut_off,
            }),
            rules,
            changed: watch::Sender::new(0),
            in_force: watch::Sender::new(None),
        }))
    }

    /// Tells of every change of sessions or state.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changed.subscribe()
    }

    /// From now on news of sessions is kept for [`Admission::account_for`].
    pub fn keep_news(&self) {
        self.lock().sessions.keep_news();
    }

    /// What can be told of the version in force and of at most so many places, where something changed since
    /// this was last asked. Octets alone are news only `with_octets`.
    /// `told` are the places that were told of and are not over; it is asked for where news was lost.
    pub fn account_for(
        &self,
        unsaid: &mut Unsaid,
        most: usize,
        with_octets: bool,
        told: impl FnOnce() -> BTreeSet<Place>,
    ) -> Account {
        let mut inner = self.lock();
        unsaid
            .0
            .append(&mut inner.sessions.take_news(with_octets, told));
        let is_settled = |it: &&Place| !inner.touched.contains(it) && !inner.under_way.contains(it);
        let mut settled = unsaid.0.iter().filter(is_settled);
        let told: Vec<Place> = settled.by_ref().take(most).cloned().collect();
        let has_more = settled.next().is_some();
        for place in &told {
            unsaid.0.remove(place);
        }
        let now = |place: Place| {
            let session = inner.sessions.find(&place).cloned();
            (place, session)
        };
        Account {
            in_force: *self.0.in_force.borrow(),
            sessions: told.into_iter().map(now).collect(),
            has_more,
        }
    }

    /// How many credentials may come in.
    pub fn admitted(&self) -> usize {
        self.lock().desired.as_ref().map_or(0, Desired::len)
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
        let desired = self.current(&inner, now)?;
        let entry = may(desired.admitted(&credential), now)?;
        let (grant, seconds) = self.grant(desired, &entry, class, now);
        if question.is_last() {
            let arriving = Arriving {
                place: Place::of(question.origin().client, question.station()),
                entry: &entry,
                credential,
                class,
                name: question.station().session.clone(),
                socket: question.station().socket.clone(),
                seconds,
            };
            self.let_in(&mut inner, arriving, now)?;
            drop(inner);
            self.tell();
        }
        Ok((grant, entry))
    }

    /// Decides about a station that shows nothing but its MAC address, and records its session when it
    /// comes in. Only stations that the state names do.
    ///
    /// # Errors
    /// [`Denial`]. One that proved itself is never replaced by this; and it is at one place at a time.
    pub fn decide_station(
        &self,
        client: u32,
        station: &Station,
        class: &str,
        now: Timestamp,
    ) -> Result<(Grant, Entry), Denial> {
        let mac = station.mac.ok_or(Denial::NotAdmitted)?;
        let mut inner = self.lock();
        let desired = self.current(&inner, now)?;
        let entry = may(desired.station(mac), now)?;
        let (grant, seconds) = self.grant(desired, &entry, class, now);
        let place = Place::of(client, station);
        let is_proved = |at: &Place, session: &Session| {
            at.mac == Some(mac) && !session.is_weak() && session.ending.is_none()
        };
        let mut there = inner.sessions.of_device(&entry.device);
        let here = inner.sessions.find(&place);
        let is_in = there.any(|(at, session)| is_proved(at, session))
            || here.is_some_and(|it| is_proved(&place, it));
        drop(there);
        if is_in {
            return Err(Denial::Proved);
        }
        // Nobody proved anything, so whoever was first stays, until its access point says that it left, or its
        // time is over.
        let is_there = |at: &Place| {
            let found = inner.sessions.find(at).filter(|it| now < it.until);
            let is_other = |it: &Session| {
                it.socket.is_some() && station.socket.is_some() && it.socket != station.socket
            };
            found.is_some_and(|it| *at != place || is_other(it))
        };
        if inner.sessions.of_station(mac).iter().any(is_there) {
            return Err(Denial::Elsewhere);
        }
        let arriving = Arriving {
            place,
            entry: &entry,
            credential: String::new(),
            class,
            name: station.session.clone(),
            socket: station.socket.clone(),
            seconds,
        };
        self.let_in(&mut inner, arriving, now)?;
        drop(inner);
        self.tell();
        Ok((grant, entry))
    }

    /// The session of a station at an access point of a client.
    pub fn find(&self, place: &Place) -> Option<Session> {
        self.lock().sessions.find(place).cloned()
    }

    /// Whether the state lets stations in by their MAC address.
    pub fn has_stations(&self) -> bool {
        let inner = self.lock();
        inner.desired.as_ref().is_some_and(Desired::has_stations)
    }

    /// The sessions of a client.
    pub fn of_client(&self, client: u32) -> Vec<(Place, Session)> {
        let inner = self.lock();
        let found = inner.sessions.places_of(client);
        found
            .map(|(place, session)| (place.clone(), session.clone()))
            .collect()
    }

    /// The sessions that somebody means: each thing that is said fits (RFC 5176 §3).
    pub fn named(&self, station: &Station) -> Vec<(Place, Session)> {
        let inner = self.lock();
        let fits = |(place, session): &(&Place, &Session)| {
            (station.mac.is_none() || station.mac == place.mac)
                && (station.access_point.is_none() || station.access_point == place.access_point)
                && (station.session.is_none() || station.session == session.name)
        };
        let found = inner.sessions.all().iter().filter(fits);
        found
            .map(|(place, session)| (place.clone(), session.clone()))
            .collect()
    }

    /// Whether a session is in a segment, by its name or as access points call it.
    pub fn is_in(&self, session: &Session, segment: &Segment) -> bool {
        let inner = self.lock();
        let Some(name) = &session.segment else {
            return false;
        };
        let vlan = inner
            .desired
            .as_ref()
            .and_then(|it| it.segments().vlan(name));
        name == segment.as_str() || vlan == Some(segment)
    }

    /// The sessions of a client that must go.
    pub fn ending(&self, client: u32) -> Vec<(Place, Session)> {
        self.some_ending(client, usize::MAX, None, |_| true)
    }

    /// The same, at most so many of those `wanted`; those `behind` a place first.
    pub fn some_ending(
        &self,
        client: u32,
        most: usize,
        behind: Option<&Place>,
        wanted: impl Fn(&Place) -> bool,
    ) -> Vec<(Place, Session)> {
        let inner = self.lock();
        let ending = inner.sessions.ending(client, behind);
        let ending = ending.filter(|(place, _)| wanted(place)).take(most);
        ending
            .map(|(place, session)| (place.clone(), session.clone()))
            .collect()
    }

    /// Stations that had to go, and did not come in again; the oldest first.
    pub fn cut_off(&self) -> Vec<[u8; 6]> {
        self.lock().cut_off.iter().copied().collect()
    }

    /// The session that had to go is gone; how long that took. A new one at the same place stays.
    pub fn gone(&self, place: &Place, class: &str, now: Timestamp) -> Option<SignedDuration> {
        let mut inner = self.lock();
        let session = inner.sessions.find(place)?;
        if session.class != class {
            return None;
        }
        let took = now.duration_since(session.ending?);
        inner.sessions.remove(place);
        drop(inner);
        self.tell();
        Some(took)
    }

    /// The bridge sees a station at a port of this machine. A weak session goes on for as long as it is seen,
    /// and may. Whether it is to be let in: the state names it, and it is nowhere yet.
    pub fn saw(&self, port: &str, mac: [u8; 6], now: Timestamp) -> bool {
        let (Some(place), Some(own)) = (self.own_place(port, mac), &self.0.rules.own) else {
            return false;
        };
        let mut inner = self.lock();
        let desired = inner.desired.as_ref();
        let Some(expires_at) = desired
            .and_then(|it| it.station(mac))
            .map(|it| it.expires_at)
        else {
            return false;
        };
        if inner.sessions.find(&place).is_some() {
            let seconds = SignedDuration::from_secs(self.0.rules.session_seconds.into());
            let until = now.checked_add(seconds).unwrap_or(Timestamp::MAX);
            inner.sessions.saw(&place, now, until.min(expires_at));
            return false;
        }
        let mut elsewhere = place;
        !own.names.iter().any(|name| {
            elsewhere.access_point = Some(name.clone());
            inner.sessions.find(&elsewhere).is_some()
        })
    }

    /// Stations at ports of this machine that came in by their MAC address and were not seen since `then` have
    /// left.
    pub fn unseen_since(&self, then: Timestamp) {
        let Some(own) = &self.0.rules.own else {
            return;
        };
        let mut is_news = false;
        self.in_slices(|inner, slice| {
            for (place, _) in slice {
                let session = inner.sessions.find(&place).filter(|_| own.has(&place));
                let has_left = |it: &Session| it.is_weak() && it.ending.is_none() && it.seen < then;
                if session.is_some_and(has_left) {
                    inner.sessions.remove(&place);
                    inner.touch(Some(own), &place);
                    is_news = true;
                }
            }
        });
        if is_news {
            self.tell();
        }
    }

    /// Those of the stations at a port of this machine that came in by their MAC address and may stay.
    pub fn weak_among(&self, port: &str, stations: &[[u8; 6]]) -> BTreeSet<[u8; 6]> {
        let Some(mut place) = self.own_place(port, [0; 6]) else {
            return BTreeSet::new();
        };
        let mut weak = BTreeSet::new();
        for stations in stations.chunks(SLICE) {
            let inner = self.lock();
            weak.extend(stations.iter().copied().filter(|mac| {
                place.mac = Some(*mac);
                let session = inner.sessions.find(&place);
                session.is_some_and(|it| it.is_weak() && it.ending.is_none())
            }));
        }
        weak
    }

    /// What an access point reports about a session that it got the class of from here.
    pub fn account(&self, client: u32, record: &Record, now: Timestamp) -> bool {
        let mut inner = self.lock();
        if matches!(record.status, Status::On | Status::Off) {
            // The access point began anew: its earlier sessions are over (RFC 2866 §5.1). Those that must
            // go stay until whoever ends them has confirmed that. A record can be repeated by whoever
            // saw it once, so it says nothing of sessions that began since, and without a date nothing at
            // all: those that are over are found in their time.
            let name = &record.station.access_point;
            let Some(at) = record.at else {
                return true;
            };
            let over = inner.sessions.places_of(client).filter(|(place, session)| {
                place.access_point == *name && session.ending.is_none() && session.since < at
            });
            let over: Vec<_> = over.map(|(place, _)| place.clone()).collect();
            for place in &over {
                inner.sessions.remove(place);
                inner.touch(self.0.rules.own.as_ref(), place);
            }
            drop(inner);
            if !over.is_empty() {
                self.tell();
            }
            return true;
        }
        let place = Place::of(client, &record.station);
        let class = record.class.as_deref().unwrap_or_default();
        let found = inner.sessions.find(&place);
        let Some(session) = found.filter(|it| it.class.as_bytes() == class) else {
            return false;
        };
        let ending = session.ending;
        let octets = (record.octets_in, record.octets_out);
        let name = record.station.session.as_ref();
        inner.sessions.note(&place, now, octets, name);
        // One that must go stays until whoever ends it has confirmed that.
        if record.status == Status::Stop && ending.is_none() {
            inner.sessions.remove(&place);
            inner.touch(self.0.rules.own.as_ref(), &place);
            drop(inner);
            self.tell();
        }
        true
    }

    /// All sessions, to be kept over a restart. Some are copied at a time: nobody waits until all were, and
    /// they are not held twice.
    pub fn sessions(&self) -> impl Iterator<Item = (Place, Session)> + '_ {
        let mut behind: Option<Place> = None;
        std::iter::from_fn(move || {
            let inner = self.lock();
            let slice = inner.sessions.behind(behind.as_ref()).take(SLICE);
            let slice: Vec<_> = slice
                .map(|(place, session)| (place.clone(), session.clone()))
                .collect();
            drop(inner);
            behind = Some(slice.last()?.0.clone());
            Some(slice)
        })
        .flatten()
    }

    /// The state, if it may be used to let somebody in.
    fn current<'a>(&self, inner: &'a Inner, now: Timestamp) -> Result<&'a Desired, Denial> {
        let desired = inner.desired.as_ref().ok_or(Denial::NoState)?;
        let age = now.duration_since(desired.issued_at);
        if age > SignedDuration::from_secs(self.0.rules.longest_age.into()) {
            return Err(Denial::StaleState);
        }
        if age < -CLOCK_ALLOWANCE {
            return Err(Denial::FutureState);
        }
        Ok(desired)
    }

    /// What the access point is told, and for how many seconds.
    fn grant(&self, desired: &Desired, entry: &Entry, class: &str, now: Timestamp) -> (Grant, u32) {
        let left = entry.expires_at.duration_since(now).as_secs().max(1);
        let seconds = u32::try_from(left).unwrap_or(u32::MAX);
        let seconds = seconds.min(self.0.rules.session_seconds);
        let segment = entry.segment.as_ref();
        let grant = Grant {
            name: Some(entry.device.clone()),
            segment: segment.map(|it| desired.segments().on_the_air(it).clone()),
            session_seconds: Some(seconds),
            class: Some(class.as_bytes().to_vec()),
        };
        (grant, seconds)
    }

    fn let_in(
        &self,
        inner: &mut Inner,
        arriving: Arriving<'_>,
        now: Timestamp,
    ) -> Result<(), Denial> {
        let place = arriving.place;
        if place.mac.is_none() && place.port.is_none() {
            return Err(Denial::Unnamed);
        }
        self.clear_place(inner, &place, &arriving.entry.device, now)?;
        if inner.sessions.find(&place).is_none() {
            if inner.sessions.len() >= MAX_SESSIONS {
                return Err(Denial::Full);
            }
            self.make_room(inner, &arriving.entry.device, now)?;
        }
        let until = now.checked_add(SignedDuration::from_secs(arriving.seconds.into()));
        let segment = arriving.entry.segment.as_ref();
        let session = Session {
            class: arriving.class.to_owned(),
            device: arriving.entry.device.clone(),
            credential: arriving.credential,
            segment: segment.map(|it| it.as_str().to_owned()),
            name: arriving.name,
            socket: arriving.socket,
            since: now,
            until: until.unwrap_or(Timestamp::MAX),
            ending: None,
            dismissed: false,
            moving: false,
            seen: now,
            octets: (0, 0),
        };
        inner.touch(self.0.rules.own.as_ref(), &place);
        if let Some(mac) = place.mac {
            inner.spare(mac);
        }
        inner.sessions.insert(place, session);
        Ok(())
    }

    /// Another device has the address at this access point, which may be at another port or radio of it.
    /// Its session must not be lost sight of: nobody would cut it off any more. So it ends first, and
    /// whoever comes is refused until then; past its time the access point has asked again by itself.
    /// At our own ports the filter knows where the address is.
    fn clear_place(
        &self,
        inner: &mut Inner,
        place: &Place,
        device: &str,
        now: Timestamp,
    ) -> Result<(), Denial> {
        let found = inner.sessions.find(place);
        let Some(other) = found.filter(|it| it.device != device && !self.is_own(place)) else {
            return Ok(());
        };
        let seconds = SignedDuration::from_secs(self.0.rules.session_seconds.into());
        if now.duration_since(other.since) >= seconds {
            return Ok(());
        }
        if other.ending.is_none() {
            self.dismiss_at(inner, place, now);
            self.tell();
        }
        Err(Denial::Taken)
    }

    /// A device is at [`MAX_PLACES`] at most.
    fn make_room(&self, inner: &mut Inner, device: &str, now: Timestamp) -> Result<(), Denial> {
        let there = || inner.sessions.of_device(device);
        let all = there().count();
        if all < MAX_PLACES {
            return Ok(());
        }
        if all >= MAX_PLACES_ENDING {
            let ending = there().filter_map(|(place, session)| Some((session.ending?, place)));
            let (since, oldest) = ending.min().ok_or(Denial::TooManyPlaces)?;
            if now.duration_since(since) < TRIED || self.is_own(oldest) {
                return Err(Denial::TooManyPlaces);
            }
            let oldest = oldest.clone();
            inner.sessions.remove(&oldest);
        }
        let there = inner.sessions.of_device(device);
        let staying: Vec<_> = there.filter(|(_, it)| it.ending.is_none()).collect();
        let oldest = staying.iter().min_by_key(|(_, session)| session.seen);
        if staying.len() >= MAX_PLACES
            && let Some(oldest) = oldest.map(|(place, _)| (*place).clone())
        {
            self.dismiss_at(inner, &oldest, now);
        }
        Ok(())
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

/// What is known, if it lets somebody in.
fn may(entry: Option<&Entry>, now: Timestamp) -> Result<Entry, Denial> {
    let entry = entry.ok_or(Denial::NotAdmitted)?;
    if entry.expires_at <= now {
        return Err(Denial::Expired);
    }
    Ok(entry.clone())
}

#[cfg(test)]
pub(crate) mod tests;
