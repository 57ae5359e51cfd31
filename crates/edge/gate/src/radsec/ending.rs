//! Ends sessions over RadSec, as `disconnect` does over UDP.

use std::time::Duration;

use tokio::time::timeout;
use vouchsafe_radius::dynamic::{Change, Order, Target};

use crate::disconnect::{calling_station, confirmed, is_over};
use crate::radius::Desk;

/// Pause before a session that did not end is tried again.
const PAUSE: Duration = Duration::from_secs(2);

/// Ends the sessions of client `number` for as long as the gate runs.
pub(crate) async fn run(desk: Desk, number: u32) {
    let mut changes = desk.admission.changes();
    loop {
        changes.borrow_and_update();
        let mut left = false;
        for (place, session) in desk.admission.ending(number) {
            let Some(client) = desk.clients.number(number) else {
                return;
            };
            let order = Order {
                change: Change::Disconnect,
                target: Target {
                    calling_station: place.mac.map(calling_station),
                    session: session.name.clone(),
                    access_point: place.access_point.clone(),
                },
            };
            let now = desk.clock.now();
            match desk.lines.order(number, &client.shared, &order, now).await {
                Some(outcome) if is_over(&outcome, &session, now) => {
                    confirmed(&desk, &place, &session)
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
