//! Ends sessions at access points that take Disconnect-Requests (RFC 5176).
//!
//! One task for each such client. It looks at what must go whenever something changed, asks, and asks
//! again until the access point says that the session is gone.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::net::UdpSocket;
use tokio::time::timeout;
use vouchsafe_radius::Shared;
use vouchsafe_radius::dynamic::{Change, Order, Outcome, Target};

use crate::admission::{Place, Session};
use crate::error::GateError;
use crate::event::{Event, station_text};
use crate::radius::Desk;

/// How long an answer is awaited before the same datagram goes out again.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often one datagram goes out; then a new one is made.
const ATTEMPTS: usize = 3;

/// How long after its beginning a session may still come about at an access point that knows none of it:
/// the server repeats its acceptance to a repeated request for ten seconds ([`vouchsafe_radius::Limits`]),
/// the access point asks again within five, and then takes a moment. "No such session" before that is no
/// confirmation.
const SETTLED: SignedDuration = SignedDuration::from_secs(10 + 5 + 1);

/// Pause before a session that did not end is tried again.
const PAUSE: Duration = Duration::from_secs(2);

/// Ends the sessions of client `number` at `address` for as long as the gate runs.
pub(crate) async fn run(desk: Desk, number: u32, address: SocketAddr) {
    let mut changes = desk.admission.changes();
    let mut identifier = 0_u8;
    loop {
        changes.borrow_and_update();
        let ending = desk.admission.ending(number);
        let mut left = false;
        for (place, session) in ending {
            identifier = identifier.wrapping_add(1);
            match end(&desk, number, address, identifier, &place, &session).await {
                Ok(true) => confirmed(&desk, &place, &session),
                Ok(false) => left = true,
                Err(error) => {
                    tracing::warn!(%error, %address, "a session could not be ended");
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

pub(crate) fn confirmed(desk: &Desk, place: &Place, session: &Session) {
    let now = desk.clock.now();
    if let Some(took) = desk.admission.gone(place, &session.class, now) {
        let event = Event::CutOff {
            device: session.device.clone(),
            station: station_text(place.mac),
            access_point: place.access_point.clone().unwrap_or_default(),
            milliseconds: i64::try_from(took.as_millis()).unwrap_or(i64::MAX),
            confirmed_by: "access-point",
        };
        desk.events.tell(now, event);
    }
}

/// Whether an answer says that the session is over, and will not come about any more.
pub(crate) fn is_over(outcome: &Outcome, session: &Session, now: Timestamp) -> bool {
    match outcome {
        Outcome::Done => true,
        Outcome::NoSuchSession => is_settled(session, now),
        _ => false,
    }
}

/// Whether a session is so old that it does not come about any more where it has not.
pub(crate) fn is_settled(session: &Session, now: Timestamp) -> bool {
    now.duration_since(session.since) >= SETTLED
}

/// Whether the access point said that the session is gone.
async fn end(
    desk: &Desk,
    number: u32,
    address: SocketAddr,
    identifier: u8,
    place: &Place,
    session: &Session,
) -> Result<bool, GateError> {
    let Some(client) = desk.clients.number(number) else {
        return Ok(false);
    };
    let order = Order {
        change: Change::Disconnect,
        target: Target {
            calling_station: place.mac.map(calling_station),
            session: session.name.clone(),
            access_point: place.access_point.clone(),
        },
    };
    let made = order.datagram(&client.shared, identifier, desk.clock.now());
    let Ok((datagram, sent)) = made else {
        return Ok(false);
    };
    let failed = |source| GateError::Socket {
        address: address.to_string(),
        source,
    };
    let any: SocketAddr = if address.is_ipv4() {
        ([0, 0, 0, 0], 0).into()
    } else {
        ([0_u16; 8], 0).into()
    };
    let socket = UdpSocket::bind(any).await.map_err(failed)?;
    socket.connect(address).await.map_err(failed)?;
    for _ in 0..ATTEMPTS {
        socket.send(&datagram).await.map_err(failed)?;
        let answered = timeout(PATIENCE, answer(&socket, &client.shared, &sent)).await;
        match answered {
            Ok(Ok(outcome @ (Outcome::Done | Outcome::NoSuchSession))) => {
                return Ok(is_over(&outcome, session, desk.clock.now()));
            }
            Ok(Ok(Outcome::NotDone(cause))) => {
                tracing::warn!(%address, ?cause, "the access point does not end a session");
                return Ok(false);
            }
            Ok(Err(source)) => return Err(failed(source)),
            Err(_) => {}
        }
    }
    Ok(false)
}

/// The first datagram that proves to be the answer.
async fn answer(
    socket: &UdpSocket,
    shared: &Shared,
    sent: &vouchsafe_radius::dynamic::Sent,
) -> std::io::Result<Outcome> {
    let mut buffer = [0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let datagram = buffer.get(..length).unwrap_or_default();
        match sent.outcome(shared, datagram) {
            Ok(outcome) => return Ok(outcome),
            Err(error) => tracing::debug!(code = error.reason_code(), "not the answer"),
        }
    }
}

/// As RFC 3580 §3.21 writes it.
pub(crate) fn calling_station(mac: [u8; 6]) -> String {
    mac.map(|octet| format!("{octet:02X}")).join("-")
}
