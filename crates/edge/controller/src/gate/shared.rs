//! The desired state as it stands, and the differences that led to it: what the task writes and the link
//! reads.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::{Notify, Semaphore, oneshot, watch};
use vouchsafe_api::gate::{
    AdmittedCredential, AdmittedStation, DesiredState, SegmentDefinition, StateDifference,
    StateUpdate,
};
use vouchsafe_fleet::DeviceId;
use vouchsafe_fleet::admission::Session;
use vouchsafe_keystore::random;

/// Most gates that wait for news at once.
const MAX_WAITING: usize = 2048;

/// Most of these of one gate: one of a connection that died, and one of the next.
const MAX_WAITING_OF_A_GATE: usize = 2;

/// A version is the time in milliseconds, and the number of the run that made it, of so many. So versions
/// grow over restarts, and what another replica made is not taken for one of ours.
const RUNS: u64 = 1024;

/// How far in the future a version may be that is followed, in milliseconds: gates take no later one.
const MAX_AHEAD: u64 = 300_000;

/// For how long the names of the segments are kept: another replica may change them.
const SEGMENTS_LAST: Duration = Duration::from_secs(1);

/// Most differences that are kept.
const MAX_DIFFERENCES: usize = 4096;

/// Most credentials and stations in all differences that are kept.
const MAX_IN_DIFFERENCES: usize = 200_000;

/// How far the task has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The newest version; 0 while there is none.
    pub(crate) version: u64,
    /// The journal position up to which it is right.
    pub(crate) position: u64,
}

/// What the task, the link and the API share.
#[derive(Debug)]
pub(crate) struct Gates {
    current: Mutex<Current>,
    progress: watch::Sender<Progress>,
    /// Somebody wants a desired state.
    pub(super) needed: watch::Sender<bool>,
    /// A report was taken.
    pub(crate) reported: Notify,
    pub(super) waiting: Arc<Semaphore>,
    /// Who waits, by gate, the oldest first.
    places: Mutex<HashMap<String, VecDeque<oneshot::Sender<()>>>>,
    segments: RwLock<Known>,
}

impl Default for Gates {
    fn default() -> Self {
        Self {
            current: Mutex::new(Current {
                run: u64::from(u16::from_be_bytes(random::bytes())) % RUNS,
                ..Current::default()
            }),
            progress: watch::Sender::default(),
            needed: watch::Sender::new(false),
            reported: Notify::new(),
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
            places: Mutex::default(),
            segments: RwLock::default(),
        }
    }
}

/// The names of the segments.
#[derive(Debug, Default)]
struct Known {
    names: BTreeSet<String>,
    read: Option<Instant>,
}

/// The state, and what led to it.
#[derive(Debug, Default)]
pub(super) struct Current {
    /// The number of this run, below [`RUNS`]; at the end of each version it makes.
    run: u64,
    pub(super) version: u64,
    pub(super) issued_at: Timestamp,
    pub(super) lists: Vec<String>,
    pub(super) segments: Vec<SegmentDefinition>,
    pub(super) admitted: BTreeMap<DeviceId, Admitted>,
    differences: VecDeque<StateDifference>,
    in_differences: usize,
    /// The whole, written once for all gates that are too far behind.
    whole: Option<(u64, Bytes)>,
}

/// With what one device may come in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Admitted {
    pub(super) credentials: Vec<AdmittedCredential>,
    /// By these MAC addresses, proving nothing.
    pub(super) stations: Vec<AdmittedStation>,
}

impl Admitted {
    pub(super) fn is_nothing(&self) -> bool {
        self.credentials.is_empty() && self.stations.is_empty()
    }

    /// Whether a session may go on as it is.
    pub(super) fn covers(&self, session: &Session) -> bool {
        match &session.credential {
            Some(credential) => self
                .credentials
                .iter()
                .any(|it| it.credential == credential.as_str() && it.segment == session.segment),
            None => self.stations.iter().any(|it| {
                session.station.as_ref() == Some(&it.mac) && it.segment == session.segment
            }),
        }
    }
}

impl Gates {
    pub(super) fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody wants a desired state: the task begins, if it has not.
    pub(crate) fn need(&self) {
        self.needed.send_if_modified(|needed| {
            let is_new = !*needed;
            *needed = true;
            is_new
        });
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    pub(super) fn reached(&self, progress: Progress) {
        self.progress.send_replace(progress);
    }

    /// A place to wait for a gate. Where it has as many as one may have, its oldest gives way.
    pub(super) fn place(&self, gate: &str) -> Place<'_> {
        let (sender, gives_way) = oneshot::channel();
        let mut all = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let places = all.entry(gate.to_owned()).or_default();
        places.push_back(sender);
        // Without its sender it gives way.
        while places.len() > MAX_WAITING_OF_A_GATE {
            places.pop_front();
        }
        drop(all);
        Place {
            gates: self,
            gate: gate.to_owned(),
            gives_way,
        }
    }

    /// Whether this run made a version; of others it is not known what they say, nor of one that is still
    /// to come.
    pub(super) fn is_ours(&self, version: u64) -> bool {
        let current = self.current();
        version % RUNS == current.run && version <= current.version
    }

    /// By how many seconds a version is older than the newest; none before there is one.
    pub(super) fn lag(&self, in_force: u64) -> Option<f64> {
        let newest = self.version()?;
        Some((newest / RUNS).saturating_sub(in_force / RUNS) as f64 / 1000.0)
    }

    /// The newest version; none before there is one.
    pub(crate) fn version(&self) -> Option<u64> {
        Some(self.progress.borrow().version).filter(|version| *version > 0)
    }

    pub(super) fn set_segments(&self, names: BTreeSet<String>) {
        *self
            .segments
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Known {
            names,
            read: Some(Instant::now()),
        };
    }

    /// With what a device may come in.
    pub(super) fn admitted(&self, device: DeviceId) -> Admitted {
        let current = self.current();
        current.admitted.get(&device).cloned().unwrap_or_default()
    }

    /// Whether policy may put a device into this segment: any, while nobody described one. None where
    /// that was read too long ago.
    pub(super) fn has_segment(&self, name: &str) -> Option<bool> {
        let known = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let fresh = known
            .read
            .is_some_and(|read| read.elapsed() < SEGMENTS_LAST);
        fresh.then(|| known.names.is_empty() || known.names.contains(name))
    }
}

/// A gate's place among those that wait.
#[derive(Debug)]
pub(super) struct Place<'a> {
    gates: &'a Gates,
    gate: String,
    gives_way: oneshot::Receiver<()>,
}

impl Place<'_> {
    /// Until a newer request of the same gate needs the place.
    pub(super) async fn gives_way(&mut self) {
        // Nothing is ever sent.
        let _ = (&mut self.gives_way).await;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.gives_way.close();
        let all = self.gates.places.lock();
        let mut all = all.unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = all.get_mut(&self.gate) {
            places.retain(|place| !place.is_closed());
            if places.is_empty() {
                all.remove(&self.gate);
            }
        }
    }
}

impl Current {
    /// What the next version is called.
    pub(super) fn next(&self, now: Timestamp) -> u64 {
        self.behind(self.version.max(time_of(now) * RUNS - 1))
    }

    /// Our first version behind this one of whomever.
    fn behind(&self, version: u64) -> u64 {
        let ours = version / RUNS * RUNS + self.run;
        if ours > version { ours } else { ours + RUNS }
    }

    /// A gate takes nothing older than it ever had. What another replica told it may be newer than what is
    /// newest here, and say less: then this is told again under a newer version.
    fn follow(&mut self, have: u64, now: Timestamp) {
        if have > self.version && have / RUNS <= time_of(now).saturating_add(MAX_AHEAD) {
            let nothing = StateDifference {
                to: self.behind(have),
                ..self.no_difference(self.version)
            };
            self.advance(nothing);
        }
    }

    /// The next version: what `difference` says is in it already.
    pub(super) fn advance(&mut self, difference: StateDifference) {
        self.version = difference.to;
        self.issued_at = difference.issued_at;
        self.in_differences += weight(&difference);
        self.differences.push_back(difference);
        while self.differences.len() > MAX_DIFFERENCES || self.in_differences > MAX_IN_DIFFERENCES {
            let Some(oldest) = self.differences.pop_front() else {
                break;
            };
            self.in_differences -= weight(&oldest);
        }
    }

    /// The next version, from which no difference leads back.
    pub(super) fn replace(&mut self, version: u64, issued_at: Timestamp) {
        self.version = version;
        self.issued_at = issued_at;
        self.differences.clear();
        self.in_differences = 0;
    }

    /// What a gate is told that has this version; none when there is nothing new.
    pub(super) fn update(
        &mut self,
        have: Option<u64>,
        now: Timestamp,
    ) -> Result<Option<Bytes>, serde_json::Error> {
        if self.version == 0 || have == Some(self.version) {
            return Ok(None);
        }
        if let Some(have) = have {
            self.follow(have, now);
        }
        if let Some(difference) = have.and_then(|have| self.since(have)) {
            let update = StateUpdate::Difference(difference);
            return serde_json::to_vec(&update).map(|bytes| Some(bytes.into()));
        }
        if let Some((version, whole)) = &self.whole
            && *version == self.version
        {
            return Ok(Some(whole.clone()));
        }
        let whole = serde_json::to_vec(&StateUpdate::Whole(self.document()))?;
        let whole = Bytes::from(whole);
        self.whole = Some((self.version, whole.clone()));
        Ok(Some(whole))
    }

    /// The whole, as a file holds it.
    pub(super) fn document(&self) -> DesiredState {
        DesiredState {
            version: self.version,
            issued_at: self.issued_at,
            revocation_lists: self.lists.clone(),
            segments: self.segments.clone(),
            admitted: self.all(|it| &it.credentials),
            stations: self.all(|it| &it.stations),
        }
    }

    fn all<T: Clone>(&self, of: impl Fn(&Admitted) -> &Vec<T>) -> Vec<T> {
        self.admitted.values().flat_map(of).cloned().collect()
    }

    /// What leads from a version to the newest where nothing differs.
    fn no_difference(&self, from: u64) -> StateDifference {
        StateDifference {
            from,
            to: self.version,
            issued_at: self.issued_at,
            revocation_lists: None,
            segments: None,
            put: Vec::new(),
            remove: Vec::new(),
            stations_put: Vec::new(),
            stations_remove: Vec::new(),
        }
    }

    /// All differences since a version, as one.
    fn since(&self, have: u64) -> Option<StateDifference> {
        let first = self
            .differences
            .binary_search_by_key(&have, |difference| difference.from)
            .ok()?;
        let mut credentials = Merged::default();
        let mut stations = Merged::default();
        let mut merged = self.no_difference(have);
        for difference in self.differences.iter().skip(first) {
            if let Some(lists) = &difference.revocation_lists {
                merged.revocation_lists = Some(lists.clone());
            }
            if let Some(segments) = &difference.segments {
                merged.segments = Some(segments.clone());
            }
            credentials.add(&difference.remove, &difference.put, |it| &it.credential);
            stations.add(
                &difference.stations_remove,
                &difference.stations_put,
                |it| &it.mac,
            );
        }
        (merged.put, merged.remove) = credentials.split();
        (merged.stations_put, merged.stations_remove) = stations.split();
        Some(merged)
    }
}

/// What several differences put and remove, by name; the last word counts.
struct Merged<T>(BTreeMap<String, Option<T>>);

impl<T> Default for Merged<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Clone> Merged<T> {
    fn add(&mut self, gone: &[String], new: &[T], name: impl Fn(&T) -> &String) {
        self.0.extend(gone.iter().map(|gone| (gone.clone(), None)));
        let new = new.iter().map(|it| (name(it).clone(), Some(it.clone())));
        self.0.extend(new);
    }

    fn split(self) -> (Vec<T>, Vec<String>) {
        let (mut put, mut removed) = (Vec::new(), Vec::new());
        for (name, new) in self.0 {
            match new {
                Some(new) => put.push(new),
                None => removed.push(name),
            }
        }
        (put, removed)
    }
}

fn time_of(now: Timestamp) -> u64 {
    u64::try_from(now.as_millisecond()).unwrap_or(0).max(1)
}

fn weight(difference: &StateDifference) -> usize {
    let stations = difference.stations_put.len() + difference.stations_remove.len();
    1 + difference.put.len() + difference.remove.len() + stations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(credential: &str, segment: &str) -> AdmittedCredential {
        AdmittedCredential {
            credential: credential.to_owned(),
            device: "d".to_owned(),
            segment: Some(segment.to_owned()),
            expires_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn step(from: u64, put: &[AdmittedCredential], remove: &[&str]) -> StateDifference {
        StateDifference {
            from,
            to: from + 1,
            issued_at: Timestamp::UNIX_EPOCH,
            revocation_lists: None,
            segments: None,
            put: put.to_vec(),
            remove: remove.iter().map(|&gone| gone.to_owned()).collect(),
            stations_put: Vec::new(),
            stations_remove: Vec::new(),
        }
    }

    fn told(current: &mut Current, have: Option<u64>) -> Option<StateUpdate> {
        let bytes = current.update(have, Timestamp::UNIX_EPOCH).unwrap()?;
        Some(serde_json::from_slice(&bytes).unwrap())
    }

    #[test]
    fn a_gate_is_told_what_it_lacks_and_no_more() {
        let mut current = Current::default();
        assert_eq!(told(&mut current, None), None);
        current.replace(5, Timestamp::UNIX_EPOCH);
        current.advance(step(5, &[admitted("01", "a"), admitted("02", "a")], &[]));
        current.advance(step(6, &[admitted("01", "b")], &["02"]));
        assert_eq!(told(&mut current, Some(7)), None);
        let Some(StateUpdate::Difference(both)) = told(&mut current, Some(5)) else {
            panic!("not a difference");
        };
        assert_eq!((both.from, both.to), (5, 7));
        assert_eq!(both.put, [admitted("01", "b")]);
        assert_eq!(both.remove, ["02"]);
        // Behind all that is kept, ahead of us, or with nothing: everything.
        for have in [None, Some(4), Some(9)] {
            let update = told(&mut current, have);
            assert!(matches!(update, Some(StateUpdate::Whole(_))), "{have:?}");
        }
    }

    /// Two replicas on one store: what one made is not compared with what the other did.
    #[test]
    fn what_another_replica_told_is_told_anew() {
        let now = Timestamp::from_second(1_750_000_000).unwrap();
        let replica = |run, at: Timestamp| {
            let mut current = Current {
                run,
                ..Current::default()
            };
            let first = current.next(at);
            current.replace(first, at);
            let second = current.next(at);
            assert!(second > first && second % RUNS == run && first % RUNS == run);
            let mut difference = step(first, &[], &["01"]);
            difference.to = second;
            current.advance(difference);
            (current, second)
        };
        let update = |current: &mut Current, have| {
            let bytes = current.update(Some(have), now).unwrap();
            bytes.map(|bytes| serde_json::from_slice::<StateUpdate>(&bytes).unwrap())
        };
        // Made in the same millisecond, and the gate has the other's.
        for (ours, theirs) in [(3, 7), (7, 3)] {
            let ((mut here, newest), (_, told)) = (replica(ours, now), replica(theirs, now));
            let Some(StateUpdate::Whole(whole)) = update(&mut here, told) else {
                panic!("not the whole");
            };
            assert!(whole.version > told && whole.version % RUNS == ours);
            // Who waits here hears of that, too.
            if whole.version > newest {
                let Some(StateUpdate::Difference(nothing)) = update(&mut here, newest) else {
                    panic!("not a difference");
                };
                assert_eq!((nothing.to, nothing.put.len()), (whole.version, 0));
            }
            assert!(here.next(now) > whole.version);
        }
        // Their clock is four minutes ahead, or a day: a day is not followed.
        for (ahead, is_followed) in [(240, true), (86_400, false)] {
            let then = now + jiff::SignedDuration::from_secs(ahead);
            let ((mut here, _), (_, told)) = (replica(3, now), replica(7, then));
            let Some(StateUpdate::Whole(whole)) = update(&mut here, told) else {
                panic!("not the whole");
            };
            assert_eq!(whole.version > told, is_followed);
        }
    }

    /// What a gate says of a version that nobody has told yet confirms nothing.
    #[test]
    fn only_what_this_run_told_is_ours() {
        let gates = Gates::default();
        let newest = {
            let mut current = gates.current();
            current.run = 3;
            let now = Timestamp::from_second(1_750_000_000).unwrap();
            let newest = current.next(now);
            current.replace(newest, now);
            newest
        };
        for (version, expected) in [
            (newest, true),
            (newest - RUNS, true),
            (newest + 1, false),
            (newest + RUNS, false),
        ] {
            assert_eq!(gates.is_ours(version), expected, "{version}");
        }
    }

    #[tokio::test]
    async fn of_a_gates_requests_the_oldest_gives_way() {
        let gates = Gates::default();
        let mut first = gates.place("hall");
        let (mut second, mut other) = (gates.place("hall"), gates.place("attic"));
        let third = gates.place("hall");
        first.gives_way().await;
        let stays = async |place: &mut Place<'_>| {
            let soon = std::time::Duration::from_millis(1);
            let gone = tokio::time::timeout(soon, place.gives_way()).await;
            gone.is_err()
        };
        assert!(stays(&mut second).await && stays(&mut other).await);
        drop((first, third));
        let fourth = gates.place("hall");
        assert!(stays(&mut second).await);
        drop((second, fourth, other));
        assert!(gates.places.lock().unwrap().is_empty());
    }

    #[test]
    fn the_differences_that_are_kept_are_bounded() {
        let mut current = Current::default();
        current.replace(1, Timestamp::UNIX_EPOCH);
        for from in 1..=10_000 {
            current.advance(step(from, &[], &["0a"]));
        }
        assert_eq!(current.differences.len(), MAX_DIFFERENCES);
        assert_eq!(current.in_differences, 2 * MAX_DIFFERENCES);
        let crowd = vec![admitted("01", "a"); MAX_IN_DIFFERENCES];
        current.advance(step(10_001, &crowd, &[]));
        assert!(current.differences.is_empty());
        let update = told(&mut current, Some(10_001));
        assert!(matches!(update, Some(StateUpdate::Whole(_))));
    }
}
