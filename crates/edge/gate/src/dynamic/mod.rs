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

/// Most orders to one client that wait for its answer. One that does not come keeps no other back.
const TOGETHER: usize = 32;

/// Gives orders to client `number` for as long as the gate runs.
pub(crate) async fn run(desk: Desk, number: u32, mut way: Way) {
    let mut changes = desk.admission.changes();
    let mut under_way = JoinSet::new();
    let mut waiting = BTreeSet::new();
    loop {
        changes.borrow_and_update();
        let most = TOGETHER.saturating_sub(under_way.len());
        let is_free = |place: &Place| !waiting.contains(place);
        let moving = desk.admission.some_moving(number, most, is_free);
        let ending = desk
            .admission
            .some_ending(number, most, is_free)
            .into_iter();
        let ending = ending.map(|(place, session)| Task::End(place, session));
        for task in ending.chain(moving.into_iter().map(Task::Move)).take(most) {
            waiting.insert(task.place().clone());
            under_way.spawn(carry_out(desk.clone(), number, way.next(), task));
        }
        tokio::select! {
            Some(done) = under_way.join_next() => match done {
                Ok(place) => {
                    waiting.remove(&place);
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
    /// One at a time at a place.
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
