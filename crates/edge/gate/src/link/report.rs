//! What happens at the gate, told to the controller.
//!
//! 1. Events come in through a [`Tap`]; sessions are compared with what was told last.
//! 2. A report is made when there is something: at once for a cut-off and for a version in force, else
//!    once a second.
//! 3. It is sent with its number, again and again, until the controller has it for good.
//! 4. Meanwhile what happens waits. The wait is bounded: of refusals the oldest are dropped, and sessions
//!    and the version are told as they are by then.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use vouchsafe_api::gate::{CutOffReport, GateReport, RefusalReport, SessionReport};
use vouchsafe_net::{Connection, Connector, Origin};

use super::enrol::connect;
use super::error::LinkError;
use super::folder::LinkFolder;
use super::health::Health;
use super::pause::Pause;
use crate::admission::{Admission, Place, Session};
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
}

/// What the controller was told of sessions and of the version.
#[derive(Default)]
pub(super) struct Told {
    sessions: BTreeMap<String, SessionReport>,
    in_force: Option<u64>,
    octets_at: Option<Instant>,
}

impl Reporter {
    /// Reports until the gate stops.
    pub(super) async fn run(mut self) {
        let mut pause = Pause::default();
        let mut connection = None;
        let mut changes = self.admission.changes();
        loop {
            changes.borrow_and_update();
            let mut report = match self.next() {
                Ok(report) => report,
                Err(error) => {
                    tracing::error!(%error, "no report can be numbered");
                    None
                }
            };
            let Some(report) = report.take() else {
                let _ = timeout(LOOK, self.tap.0.urgent.notified()).await;
                continue;
            };
            let body = match serde_json::to_vec(&report) {
                Ok(body) => Bytes::from(body),
                Err(error) => {
                    tracing::error!(%error, "a report cannot be written");
                    continue;
                }
            };
            while let Err(error) = self.send(&mut connection, body.clone()).await {
                connection = None;
                tracing::debug!(%error, number = report.number, "a report was not taken yet");
                pause.wait(error.is_refusal()).await;
            }
            pause.over();
            // Bursts become few reports; what is urgent comes through.
            let _ = timeout(LOOK, self.tap.0.urgent.notified()).await;
            sleep(Duration::from_millis(2)).await;
        }
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
        let now = self.health.now();
        let sessions = self.told.sessions(&self.admission.sessions(), now);
        let version = self.admission.version();
        let is_new = version != self.told.in_force;
        let mut happened = self.tap.lock();
        if happened.dropped > 0 {
            let dropped = std::mem::take(&mut happened.dropped);
            tracing::warn!(dropped, "reports waited too long");
        }
        if sessions.is_empty()
            && happened.cut_offs.is_empty()
            && happened.refusals.is_empty()
            && !is_new
        {
            return Ok(None);
        }
        let number = self.numbers.next()?;
        let cut_offs = first(&mut happened.cut_offs);
        let refusals = first(&mut happened.refusals);
        self.told.in_force = version;
        Ok(Some(GateReport {
            number,
            in_force: version,
            sessions,
            cut_offs,
            refusals,
        }))
    }
}

/// A station's address, as events tell it.
fn known(station: &str) -> Option<String> {
    (station != "unknown").then(|| station.to_owned())
}

fn first<T>(queue: &mut VecDeque<T>) -> Vec<T> {
    let count = queue.len().min(MAX_ENTRIES);
    queue.drain(..count).collect()
}

impl Told {
    /// What is new, changed or over since the last time, at most [`MAX_ENTRIES`].
    fn sessions(
        &mut self,
        sessions: &BTreeMap<Place, Session>,
        now: Timestamp,
    ) -> Vec<SessionReport> {
        let is_time = self.octets_at.is_none_or(|at| at.elapsed() >= OCTETS);
        if is_time {
            self.octets_at = Some(Instant::now());
        }
        let mut report = Vec::new();
        let mut over: BTreeMap<&String, &SessionReport> = self.sessions.iter().collect();
        for (place, session) in sessions {
            let news = describe(place, session);
            let known = over.remove(&session.class);
            let is_news = known.is_none_or(|known| {
                known.until != news.until
                    || known.segment != news.segment
                    || (is_time && known.octets != news.octets)
            });
            if is_news && report.len() < MAX_ENTRIES {
                report.push(news);
            }
        }
        for ended in over.into_values() {
            if report.len() >= MAX_ENTRIES {
                break;
            }
            report.push(SessionReport {
                ended: Some(now),
                ..ended.clone()
            });
        }
        for each in &report {
            if each.ended.is_some() {
                self.sessions.remove(&each.id);
            } else {
                self.sessions.insert(each.id.clone(), each.clone());
            }
        }
        report
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

    fn next(&mut self) -> Result<u64, GateError> {
        let number = self.last + 1;
        if number > self.taken {
            let taken = number + NUMBERS;
            self.folder.put_numbers(taken)?;
            self.taken = taken;
        }
        self.last = number;
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn place(last: u8) -> Place {
        Place {
            client: 0,
            access_point: Some("hall".to_owned()),
            mac: Some([2, 0, 0, 0, 0, last]),
            port: None,
        }
    }

    fn session(class: &str) -> Session {
        Session {
            class: class.to_owned(),
            device: "d".to_owned(),
            credential: "01".to_owned(),
            segment: None,
            name: None,
            since: Timestamp::UNIX_EPOCH,
            until: Timestamp::UNIX_EPOCH,
            ending: None,
            seen: Timestamp::UNIX_EPOCH,
            octets: (0, 0),
        }
    }

    #[test]
    fn a_session_is_told_when_it_begins_changes_and_ends() {
        let now = Timestamp::UNIX_EPOCH;
        let mut told = Told::default();
        let mut sessions = BTreeMap::from([(place(1), session("a"))]);
        assert_eq!(told.sessions(&sessions, now).len(), 1);
        assert_eq!(told.sessions(&sessions, now), []);
        sessions.get_mut(&place(1)).unwrap().until = now + SignedDuration::from_secs(1);
        assert_eq!(told.sessions(&sessions, now)[0].ended, None);
        // Another session at the same place: the first is over.
        sessions.insert(place(1), session("b"));
        let news = told.sessions(&sessions, now);
        let ended: Vec<_> = news.iter().map(|it| (&*it.id, it.ended)).collect();
        assert_eq!(ended, [("b", None), ("a", Some(now))]);
        assert_eq!(told.sessions(&BTreeMap::new(), now)[0].ended, Some(now));
        assert!(told.sessions.is_empty());
    }

    #[test]
    fn a_crowd_is_told_in_batches_and_nobody_is_forgotten() {
        let now = Timestamp::UNIX_EPOCH;
        let mut told = Told::default();
        let mut sessions = BTreeMap::new();
        for number in 0..1_200_u32 {
            let place = Place {
                port: Some(number),
                mac: None,
                ..place(0)
            };
            sessions.insert(place, session(&number.to_string()));
        }
        let mut sizes = Vec::new();
        for _ in 0..4 {
            sizes.push(told.sessions(&sessions, now).len());
        }
        assert_eq!(sizes, [500, 500, 200, 0]);
        sessions.clear();
        let ended: usize = (0..4).map(|_| told.sessions(&sessions, now).len()).sum();
        assert_eq!(ended, 1_200);
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
        let first = [(); 3].map(|()| numbers.next().unwrap());
        assert_eq!(first, [1, 2, 3]);
        drop(numbers);
        let mut numbers = Numbers::open(folder).unwrap();
        assert!(numbers.next().unwrap() > 3);
    }
}
