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

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::timeout;
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

/// Gives orders to client `number` for as long as the gate runs.
pub(crate) async fn run(desk: Desk, number: u32, mut way: Way) {
    let mut changes = desk.admission.changes();
    loop {
        changes.borrow_and_update();
        let Some(client) = desk.clients.number(number) else {
            return;
        };
        for to in desk.admission.moving(number) {
            put_elsewhere(&desk, client, &mut way, &to).await;
        }
        let mut left = false;
        for (place, session) in desk.admission.ending(number) {
            let order = order(Change::Disconnect, &place, &session);
            match way.order(&desk, number, client, &order).await {
                Some(outcome) if is_over(outcome, &session, desk.clock.now()) => {
                    desk.cut_off(&place, &session, "access-point");
                }
                outcome => {
                    tracing::warn!(client = client.name, ?outcome, "a session does not end");
                    left = true;
                }
            }
        }
        if left {
            // Whoever was not reached is tried again, changed or not.
            let _ = timeout(PAUSE, changes.changed()).await;
        } else if changes.changed().await.is_err() {
            return;
        }
    }
}

async fn put_elsewhere(desk: &Desk, client: &RadiusClient, way: &mut Way, to: &Move) {
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
pub(crate) fn is_settled(session: &Session, now: Timestamp) -> bool {
    now.duration_since(session.since) >= SETTLED
}

/// As RFC 3580 §3.21 writes it.
fn calling_station(mac: [u8; 6]) -> String {
    mac.map(|octet| format!("{octet:02X}")).join("-")
}
