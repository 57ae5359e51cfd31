//! Dynamic authorization (RFC 5176), both ways.
//!
//! Towards access points, one task for each client that takes orders ([`run`]). It looks at what is to happen
//! whenever something changed:
//!
//! 1. A session that belongs to another segment, at a client that moves sessions: CoA-Request. With ACK it is
//!    there; with anything else, or nothing, it must go.
//! 2. A session that must go: Disconnect-Request, again and again until the access point says that it is
//!    gone.
//!
//! From others, where `gate.toml` says so: [`serve`].

mod serve;
mod way;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;
use tokio::time::sleep;
use vouchsafe_radius::dynamic::{Change, Order, Outcome, Target};

use crate::admission::{Move, Place, Session};
use crate::clients::RadiusClient;
use crate::event::{Event, station_text};
use crate::radius::Desk;

pub(crate) use serve::Orders;
pub(crate) use way::Way;

/// How long after its beginning a session may still come about at an access point that knows none of it:
/// the server repeats its acceptance to a repeated request for ten seconds ([`vouchsafe_radius::Limits`]),
/// the access point asks again within five, and then takes a moment. "No such session" before that is no
/// confirmation.
const SETTLED: SignedDuration = SignedDuration::from_secs(10 + 5 + 1);

/// Pause before a session that did not end is tried again.
const PAUSE: Duration = Duration::from_secs(2);

/// Most orders of one kind to one client that wait for its answer.
const TOGETHER: usize = 32;

/// Orders of one kind to one client, one after the other all around: one that does not help keeps no other
/// back, however many such there are.
#[derive(Default)]
struct Round {
    waiting: BTreeSet<Place>,
    last: Option<Place>,
}

impl Round {
    fn free(&self) -> usize {
        TOGETHER.saturating_sub(self.waiting.len())
    }

    fn begin(&mut self, place: &Place) {
        self.waiting.insert(place.clone());
        self.last = Some(place.clone());
    }
}

/// Gives orders to client `number` for as long as the gate runs.
pub(crate) async fn run(desk: Desk, number: u32, mut way: Way) {
    let mut changes = desk.admission.changes();
    let mut under_way = JoinSet::new();
    let (mut ends, mut moves) = (Round::default(), Round::default());
    loop {
        changes.borrow_and_update();
        // One order at a time at a place.
        let is_free =
            |place: &Place| !ends.waiting.contains(place) && !moves.waiting.contains(place);
        let (most, last) = (ends.free(), ends.last.as_ref());
        let ending = desk.admission.some_ending(number, most, last, is_free);
        let (most, last) = (moves.free(), moves.last.as_ref());
        let moving = desk.admission.some_moving(number, most, last, is_free);
        let ending = ending.into_iter().map(|(at, it)| Task::End(at, it));
        // What must go since the first look is not moved.
        for task in ending.chain(moving.into_iter().map(Task::Move)) {
            let place = task.place();
            if ends.waiting.contains(place) {
                continue;
            }
            match &task {
                Task::End(..) => ends.begin(place),
                Task::Move(_) => moves.begin(place),
            }
            under_way.spawn(carry_out(desk.clone(), number, way.next(), task));
        }
        tokio::select! {
            Some(done) = under_way.join_next() => match done {
                Ok(place) => {
                    ends.waiting.remove(&place);
                    moves.waiting.remove(&place);
                }
                Err(error) => {
                    tracing::error!(%error, "an order ended badly");
                    return;
                }
            },
            changed = changes.changed() => if changed.is_err() {
                return;
            },
        }
    }
}

/// What is to happen at an access point.
enum Task {
    Move(Move),
    End(Place, Session),
}

impl Task {
    fn place(&self) -> &Place {
        match self {
            Self::Move(to) => &to.place,
            Self::End(place, _) => place,
        }
    }
}

/// Gives one order, and pauses where it did not help. Gives its place.
async fn carry_out(desk: Desk, number: u32, way: Way, task: Task) -> Place {
    let at = task.place().clone();
    let Some(client) = desk.clients.number(number) else {
        return at;
    };
    match task {
        Task::Move(to) => put_elsewhere(&desk, client, &way, &to).await,
        Task::End(place, session) => {
            let order = order(Change::Disconnect, &place, &session);
            match way.order(&desk, number, client, &order).await {
                Some(outcome) if is_over(outcome, &session, desk.clock.now()) => {
                    desk.cut_off(&place, &session, "access-point");
                }
                outcome => {
                    tracing::warn!(client = client.name, ?outcome, "a session does not end");
                    // Whoever was not reached is tried again.
                    sleep(PAUSE).await;
                }
            }
        }
    }
    at
}

async fn put_elsewhere(desk: &Desk, client: &RadiusClient, way: &Way, to: &Move) {
    let order = order(Change::Move(to.on_the_air.clone()), &to.place, &to.session);
    let outcome = way.order(desk, to.place.client, client, &order).await;
    let now = desk.clock.now();
    if outcome != Some(Outcome::Done) {
        tracing::warn!(client = client.name, ?outcome, "a session is not moved");
        desk.admission.dismiss(&to.place, &to.session.class, now);
    } else if desk.admission.moved(to, now) {
        let event = Event::SessionMoved {
            device: to.session.device.clone(),
            station: station_text(to.place.mac),
            access_point: to.place.access_point.clone().unwrap_or_default(),
            segment: to.segment.clone(),
        };
        desk.events.tell(now, event);
    }
}

fn order(change: Change, place: &Place, session: &Session) -> Order {
    Order {
        change,
        target: Target {
            calling_station: place.mac.map(calling_station),
            session: session.name.clone(),
            access_point: place.access_point.clone(),
        },
    }
}

/// Whether an answer says that the session is over, and will not come about any more.
fn is_over(outcome: Outcome, session: &Session, now: Timestamp) -> bool {
    match outcome {
        Outcome::Done => true,
        Outcome::NoSuchSession => is_settled(session, now),
        Outcome::NotDone(_) => false,
    }
}

/// Whether a session is so old that it does not come about any more where it has not.
fn is_settled(session: &Session, now: Timestamp) -> bool {
    now.duration_since(session.since) >= SETTLED
}

/// As RFC 3580 §3.21 writes it.
fn calling_station(mac: [u8; 6]) -> String {
    mac.map(|octet| format!("{octet:02X}")).join("-")
}
