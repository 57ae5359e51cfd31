//! What happens at the gate, told to the controller.
//!
//! 1. Events come in through a [`Tap`]; sessions are compared with what was told last.
//! 2. A report is made when there is something: at once for a cut-off and for a version in force, else
//!    once a second.
//! 3. It is sent with its number, again and again, until the controller has it for good.
//! 4. Meanwhile what happens waits. The wait is bounded: of refusals the oldest are dropped, and sessions
//!    and the version are told as they are by then.
//!
//! The controller takes a version for in force once no open session that it knows of says otherwise. So
//! a version is told only with the last of the sessions that were there at that moment, and a session at a
//! port of this machine as it was until the packet filter has followed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use vouchsafe_api::gate::{CutOffReport, GateReport, RefusalReport, SessionReport};
use vouchsafe_net::{Connection, Connector, Origin};

use super::enrol::connect;
use super::error::LinkError;
use super::folder::LinkFolder;
use super::health::Health;
use super::pause::Pause;
use crate::admission::{Admission, Place, Session, Unsaid};
use crate::error::GateError;
use crate::event::{Event, Recorded, mac_text};

/// Most entries of one kind in a report.
const MAX_ENTRIES: usize = 500;

/// Most cut-offs that wait.
const MAX_CUT_OFFS: usize = 20_000;

/// Most refusals that wait.
const MAX_REFUSALS: usize = 1_000;

/// How often sessions are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How often octets of sessions that go on are told.
const OCTETS: Duration = Duration::from_secs(60);

/// How many numbers are taken at a time, so that not every report is a write to disk.
const NUMBERS: u64 = 1_000;

/// Where events go on their way to the controller. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Tap(Arc<Waiting>);

#[derive(Default)]
struct Waiting {
    happened: Mutex<Happened>,
    urgent: Notify,
}

#[derive(Default)]
struct Happened {
    cut_offs: VecDeque<CutOffReport>,
    refusals: VecDeque<RefusalReport>,
    dropped: u64,
}

impl Tap {
    /// Takes note of what the controller is to know.
    pub(crate) fn note(&self, recorded: &Recorded) {
        let at = recorded.at;
        match &recorded.event {
            Event::CutOff {
                device,
                station,
                access_point,
                milliseconds,
                confirmed_by,
            } => {
                let cut_off = CutOffReport {
                    device: device.clone(),
                    station: known(station),
                    access_point: access_point.clone(),
                    milliseconds: u64::try_from(*milliseconds).unwrap_or_default(),
                    confirmed_by: (*confirmed_by).to_owned(),
                    at,
                };
                self.lock().keep_cut_off(cut_off);
                self.0.urgent.notify_one();
            }
            Event::Refused {
                identity,
                station,
                access_point,
                reason,
            } => self.lock().keep_refusal(RefusalReport {
                identity: identity.clone(),
                station: known(station),
                access_point: access_point.clone(),
                reason: reason.clone(),
                at,
            }),
            Event::StateInForce { .. } => self.0.urgent.notify_one(),
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Happened> {
        self.0
            .happened
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Happened {
    fn keep_cut_off(&mut self, cut_off: CutOffReport) {
        if self.cut_offs.len() >= MAX_CUT_OFFS {
            self.cut_offs.pop_front();
            self.dropped += 1;
        }
        self.cut_offs.push_back(cut_off);
    }

    fn keep_refusal(&mut self, refusal: RefusalReport) {
        if self.refusals.len() >= MAX_REFUSALS {
            self.refusals.pop_front();
            self.dropped += 1;
        }
        self.refusals.push_back(refusal);
    }
}

/// Makes reports and sends them.
pub(super) struct Reporter {
    pub(super) connector: Connector,
    pub(super) controller: Origin,
    pub(super) admission: Admission,
    pub(super) tap: Tap,
    pub(super) health: Health,
    pub(super) numbers: Numbers,
    pub(super) told: Told,
    /// What the controller was not told yet.
    pub(super) unsaid: Unsaid,
    /// Parts of a report that the controller did not take as a whole.
    pub(super) parts: VecDeque<GateReport>,
}

/// What the controller was told of sessions and of the version.
#[derive(Default)]
pub(super) struct Told {
    sessions: BTreeMap<Place, SessionReport>,
    in_force: Option<u64>,
    octets_at: Option<Instant>,
    /// Whether there is more to tell of sessions than fitted into the last report.
    has_more: bool,
    /// Whether the controller was told that the gate began anew.
    begun: bool,
}

impl Reporter {
    /// Reports until the gate stops.
    pub(super) async fn run(mut self) {
        let mut pause = Pause::default();
        let mut connection = None;
        let mut in_force = self.admission.in_force();
        loop {
            in_force.borrow_and_update();
            let report = match self.next() {
                Ok(report) => report,
                Err(error) => {
                    tracing::error!(%error, "no report can be numbered");
                    None
                }
            };
            if let Some(report) = report {
                self.deliver(report, &mut connection, &mut pause).await;
                if self.has_more() {
                    continue;
                }
            }
            // Bursts become few reports; what is urgent comes through.
            tokio::select! {
                () = sleep(LOOK) => {}
                () = self.tap.0.urgent.notified() => {}
                _ = in_force.changed() => {}
            }
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Again and again until the controller has it, or will never have it.
    async fn deliver(
        &mut self,
        report: GateReport,
        connection: &mut Option<Connection>,
        pause: &mut Pause,
    ) {
        let body = match serde_json::to_vec(&report) {
            Ok(body) => Bytes::from(body),
            Err(error) => {
                tracing::error!(%error, "a report cannot be written");
                return;
            }
        };
        while let Err(error) = self.send(connection, body.clone()).await {
            *connection = None;
            if error.is_about_content() {
                self.refused(report, &error);
                break;
            }
            tracing::debug!(%error, number = report.number, "a report was not taken yet");
            pause.wait(error.is_refusal()).await;
        }
        pause.over();
    }

    /// The controller will not take this one. What is in it goes in two parts, so that what it does not take
    /// keeps nothing else back; a part that holds one thing is set aside.
    fn refused(&mut self, report: GateReport, error: &LinkError) {
        if things(&report) > 0 {
            // The version is no reason.
            self.told.in_force = None;
        }
        if let Some((first, second)) = halves(&report) {
            self.parts.push_front(second);
            self.parts.push_front(first);
            return;
        }
        self.health.tell(Event::ReportRefused {
            number: report.number,
            reason: error.code(),
            problem: error.to_string(),
        });
        if let Err(error) = self.numbers.folder.set_aside(&report) {
            tracing::warn!(%error, "a report that was refused is not kept");
        }
    }

    fn has_more(&self) -> bool {
        self.told.has_more || !self.parts.is_empty()
    }

    async fn send(
        &self,
        connection: &mut Option<Connection>,
        body: Bytes,
    ) -> Result<(), LinkError> {
        let named = self.controller.to_string();
        let mut open = match connection.take().filter(Connection::is_open) {
            Some(open) => open,
            None => connect(&self.connector, &self.controller).await?,
        };
        let request = Request::post("/gate/v1/report")
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|error| LinkError::answer(&named, error))?;
        let answer = open.request(request).await;
        let answer = answer.map_err(|source| LinkError::Connection {
            controller: named.clone(),
            source,
        })?;
        match answer.status().as_u16() {
            204 => {
                *connection = Some(open);
                Ok(())
            }
            status => Err(LinkError::answered(&named, status, answer.body())),
        }
    }

    /// A report, if there is something to tell.
    fn next(&mut self) -> Result<Option<GateReport>, GateError> {
        // What is taken to be told must be told, so there is a number for it first.
        self.numbers.reserve()?;
        if let Some(mut part) = self.parts.pop_front() {
            part.number = self.numbers.next();
            return Ok(Some(part));
        }
        let with_octets = self.told.is_time_for_octets();
        let mut sessions = Vec::new();
        let in_force = loop {
            // A place where one session follows another makes two.
            let most = MAX_ENTRIES.saturating_sub(sessions.len()) / 2;
            let told = &self.told;
            let account = self
                .admission
                .account_for(&mut self.unsaid, most, with_octets, || told.places());
            self.told.has_more = account.has_more;
            self.told
                .news(account.sessions, self.health.now(), &mut sessions);
            if !account.has_more || sessions.len() + 1 >= MAX_ENTRIES {
                break account.in_force;
            }
        };
        let is_news = !self.told.has_more && in_force != self.told.in_force;
        let mut happened = self.tap.lock();
        if happened.dropped > 0 {
            let dropped = std::mem::take(&mut happened.dropped);
            tracing::warn!(dropped, "reports waited too long");
        }
        let first = !self.told.begun;
        if sessions.is_empty()
            && happened.cut_offs.is_empty()
            && happened.refusals.is_empty()
            && !(is_news || first)
        {
            return Ok(None);
        }
        let number = self.numbers.next();
        let cut_offs = take_first(&mut happened.cut_offs);
        let refusals = take_first(&mut happened.refusals);
        self.told.begun = true;
        if is_news {
            self.told.in_force = in_force;
        }
        Ok(Some(GateReport {
            number,
            first,
            in_force: self.told.in_force,
            sessions,
            cut_offs,
            refusals,
        }))
    }
}

/// A report in two, if there are two things in it. The version is told when both are through.
fn halves(report: &GateReport) -> Option<(GateReport, GateReport)> {
    let mut left = things(report) / 2;
    if left == 0 {
        return None;
    }
    let mut second = GateReport {
        first: false,
        in_force: None,
        ..report.clone()
    };
    let first = GateReport {
        number: report.number,
        first: report.first,
        in_force: None,
        sessions: take_some(&mut second.sessions, &mut left),
        cut_offs: take_some(&mut second.cut_offs, &mut left),
        refusals: take_some(&mut second.refusals, &mut left),
    };
    Some((first, second))
}

fn things(report: &GateReport) -> usize {
    report.sessions.len() + report.cut_offs.len() + report.refusals.len()
}

fn take_some<T>(list: &mut Vec<T>, left: &mut usize) -> Vec<T> {
    let count = list.len().min(*left);
    *left -= count;
    list.drain(..count).collect()
}

/// A station's address, as events tell it.
fn known(station: &str) -> Option<String> {
    (station != "unknown").then(|| station.to_owned())
}

fn take_first<T>(queue: &mut VecDeque<T>) -> Vec<T> {
    let count = queue.len().min(MAX_ENTRIES);
    queue.drain(..count).collect()
}

impl Told {
    fn places(&self) -> BTreeSet<Place> {
        self.sessions.keys().cloned().collect()
    }

    fn is_time_for_octets(&mut self) -> bool {
        let is_time = self.octets_at.is_none_or(|at| at.elapsed() >= OCTETS);
        if is_time {
            self.octets_at = Some(Instant::now());
        }
        is_time
    }

    /// What is new, changed or over at these places since the last time.
    fn news(
        &mut self,
        places: Vec<(Place, Option<Session>)>,
        now: Timestamp,
        news: &mut Vec<SessionReport>,
    ) {
        for (place, session) in places {
            let current = session.map(|session| describe(&place, &session));
            let known = self.sessions.get(&place);
            let is_same = match (known, &current) {
                (Some(known), Some(current)) => known.id == current.id,
                _ => false,
            };
            if let Some(known) = known.filter(|_| !is_same) {
                news.push(SessionReport {
                    ended: Some(now),
                    ..known.clone()
                });
            }
            match current {
                Some(current) => {
                    let is_news = known.filter(|_| is_same).is_none_or(|known| {
                        known.until != current.until
                            || known.segment != current.segment
                            || known.octets != current.octets
                    });
                    if is_news {
                        news.push(current.clone());
                        self.sessions.insert(place, current);
                    }
                }
                None => {
                    self.sessions.remove(&place);
                }
            }
        }
    }
}

fn describe(place: &Place, session: &Session) -> SessionReport {
    SessionReport {
        id: session.class.clone(),
        device: session.device.clone(),
        credential: (!session.is_weak()).then(|| session.credential.clone()),
        station: place.mac.map(mac_text),
        access_point: place.access_point.clone().unwrap_or_default(),
        segment: session.segment.clone(),
        since: session.since,
        until: session.until,
        octets: session.octets,
        seen: session.seen,
        ended: None,
    }
}

/// Numbers of reports: greater than any that an earlier run may have used.
pub(super) struct Numbers {
    folder: LinkFolder,
    last: u64,
    taken: u64,
}

impl Numbers {
    pub(super) fn open(folder: LinkFolder) -> Result<Self, GateError> {
        let last = folder.numbers()?;
        Ok(Self {
            folder,
            last,
            taken: last,
        })
    }

    /// Writes down that the next number is taken, with some more.
    fn reserve(&mut self) -> Result<(), GateError> {
        if self.last >= self.taken {
            let taken = self.last + 1 + NUMBERS;
            self.folder.put_numbers(taken)?;
            self.taken = taken;
        }
        Ok(())
    }

    /// The one that was reserved.
    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::admission::tests::{place, session as at_a_port};

    fn session(class: &str) -> Session {
        Session {
            until: Timestamp::UNIX_EPOCH,
            ..at_a_port(class)
        }
    }

    fn news(told: &mut Told, places: &[(Place, Option<Session>)]) -> Vec<SessionReport> {
        let mut news = Vec::new();
        told.news(places.to_vec(), Timestamp::UNIX_EPOCH, &mut news);
        news
    }

    #[test]
    fn a_session_is_told_when_it_begins_changes_and_ends() {
        let now = Timestamp::UNIX_EPOCH;
        let mut told = Told::default();
        let mut here = [(place(1), Some(session("a")))];
        assert_eq!(news(&mut told, &here).len(), 1);
        assert_eq!(news(&mut told, &here), []);
        here[0].1.as_mut().unwrap().until = now + SignedDuration::from_secs(1);
        assert_eq!(news(&mut told, &here)[0].ended, None);
        // Another session at the same place: the first is over.
        here[0].1 = Some(session("b"));
        let both = news(&mut told, &here);
        let ended: Vec<_> = both.iter().map(|it| (&*it.id, it.ended)).collect();
        assert_eq!(ended, [("a", Some(now)), ("b", None)]);
        here[0].1 = None;
        assert_eq!(news(&mut told, &here)[0].ended, Some(now));
        assert!(told.sessions.is_empty());
        // One that came and went unnoticed.
        assert_eq!(news(&mut told, &here), []);
    }

    /// Whatever is refused, everything else arrives.
    #[test]
    fn a_report_is_halved_until_one_thing_is_left() {
        let here = [
            (place(1), Some(session("a"))),
            (place(2), Some(session("b"))),
        ];
        let refusal = RefusalReport {
            at: Timestamp::UNIX_EPOCH,
            identity: String::new(),
            station: None,
            access_point: String::new(),
            reason: String::new(),
        };
        let whole = GateReport {
            number: 7,
            first: true,
            in_force: Some(1),
            sessions: news(&mut Told::default(), &here),
            cut_offs: Vec::new(),
            refusals: vec![refusal],
        };
        let mut parts = vec![whole];
        let mut single = Vec::new();
        while let Some(part) = parts.pop() {
            match halves(&part) {
                Some((first, second)) => parts.extend([second, first]),
                None => single.push(part),
            }
        }
        let lengths: Vec<_> = single.iter().map(|it| (it.first, things(it))).collect();
        assert_eq!(lengths, [(true, 1), (false, 1), (false, 1)]);
        assert!(single.iter().all(|it| it.in_force.is_none()));
    }

    #[test]
    fn what_waits_is_bounded_and_the_newest_stays() {
        let tap = Tap::default();
        for number in 0..3_000 {
            tap.note(&Recorded {
                at: Timestamp::UNIX_EPOCH,
                event: Event::Refused {
                    identity: number.to_string(),
                    station: String::new(),
                    access_point: String::new(),
                    reason: String::new(),
                },
            });
        }
        let happened = tap.lock();
        assert_eq!(happened.refusals.len(), MAX_REFUSALS);
        assert_eq!(happened.refusals.back().unwrap().identity, "2999");
        assert_eq!(happened.dropped, 2_000);
    }

    #[test]
    fn a_number_never_comes_twice_whatever_ends_the_gate() {
        let dir = tempfile::tempdir().unwrap();
        let folder = LinkFolder::of(dir.path());
        let mut numbers = Numbers::open(folder.clone()).unwrap();
        let next = |numbers: &mut Numbers| {
            numbers.reserve().unwrap();
            numbers.next()
        };
        let first = [(); 3].map(|()| next(&mut numbers));
        assert_eq!(first, [1, 2, 3]);
        drop(numbers);
        let mut numbers = Numbers::open(folder).unwrap();
        assert!(next(&mut numbers) > 3);
    }

    /// What cannot be numbered is told later, and not lost.
    #[test]
    fn a_number_that_cannot_be_written_down_is_not_given() {
        let dir = tempfile::tempdir().unwrap();
        let folder = LinkFolder::of(dir.path());
        let mut numbers = Numbers::open(folder.clone()).unwrap();
        std::fs::create_dir_all(folder.file("numbers").join("in the way")).unwrap();
        assert!(numbers.reserve().is_err() && numbers.reserve().is_err());
        std::fs::remove_dir_all(folder.file("numbers")).unwrap();
        numbers.reserve().unwrap();
        assert_eq!(numbers.next(), 1);
    }
}
