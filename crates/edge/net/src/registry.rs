//! The table of open connections: who has a place, who is idle, and who must make room.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;

use crate::limits::STALLED_HANDSHAKE;
use crate::stats::Cut;
use crate::stream::Meter;

/// All connections of one listener.
#[derive(Debug, Default)]
pub(crate) struct Registry(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    connections: HashMap<u64, Entry>,
    /// Connections without a request in flight, by the order in which they became idle.
    idle: BTreeMap<u64, u64>,
    /// Connections before the end of their handshake, in order of arrival.
    handshaking: BTreeMap<u64, Handshaking>,
    next_turn: u64,
}

#[derive(Debug)]
struct Entry {
    closer: Arc<Closer>,
    idle_turn: Option<u64>,
}

#[derive(Debug)]
struct Handshaking {
    meter: Arc<Meter>,
    has_turn: bool,
}

/// Tells one connection to end, and why.
#[derive(Debug, Default)]
pub(crate) struct Closer {
    reason: OnceLock<Cut>,
    notify: Notify,
}

impl Closer {
    /// Waits until somebody wants this connection to end.
    pub(crate) async fn closed(&self) -> Cut {
        loop {
            if let Some(reason) = self.reason.get() {
                return *reason;
            }
            self.notify.notified().await;
        }
    }

    fn close(&self, reason: Cut) {
        if self.reason.set(reason).is_ok() {
            self.notify.notify_one();
        }
    }
}

/// A place in the table, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    registry: Arc<Registry>,
    id: u64,
    pub(crate) closer: Arc<Closer>,
}

impl Registry {
    /// Gives a newcomer a place. With `limit` connections another makes room; `None` when all are
    /// busy.
    pub(crate) fn admit(
        self: &Arc<Self>,
        id: u64,
        meter: Arc<Meter>,
        limit: usize,
    ) -> Option<Place> {
        let mut table = self.table();
        if table.connections.len() >= limit.max(1) && !table.make_room() {
            return None;
        }
        let closer = Arc::new(Closer::default());
        table.connections.insert(
            id,
            Entry {
                closer: closer.clone(),
                idle_turn: None,
            },
        );
        table.handshaking.insert(
            id,
            Handshaking {
                meter,
                has_turn: false,
            },
        );
        Some(Place {
            registry: self.clone(),
            id,
            closer,
        })
    }

    /// Frees one place without a newcomer for it, when files run out.
    pub(crate) fn make_room(&self) -> bool {
        self.table().make_room()
    }

    /// Closes the oldest handshake that has a turn and whose client has been silent for long.
    pub(crate) fn close_stalled_handshake(&self) {
        let mut table = self.table();
        let stalled = table.handshaking.iter().find_map(|(id, handshake)| {
            let silent = handshake.meter.waiting_to_read()?;
            (handshake.has_turn && silent >= STALLED_HANDSHAKE).then_some(*id)
        });
        if let Some(id) = stalled {
            table.end(id, Cut::StalledHandshake);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The handshake is being worked on.
    pub(crate) fn handshake_turn(&self) {
        if let Some(handshake) = self.registry.table().handshaking.get_mut(&self.id) {
            handshake.has_turn = true;
        }
    }

    /// Ready for a request: after the handshake, and after each answer.
    pub(crate) fn idle(&self) {
        let mut table = self.registry.table();
        let turn = table.next_turn;
        table.next_turn += 1;
        table.handshaking.remove(&self.id);
        let Some(entry) = table.connections.get_mut(&self.id) else {
            return;
        };
        let previous = entry.idle_turn.replace(turn);
        table.idle.insert(turn, self.id);
        if let Some(previous) = previous {
            table.idle.remove(&previous);
        }
    }

    /// A request is in flight.
    pub(crate) fn busy(&self) {
        let mut table = self.registry.table();
        let Some(entry) = table.connections.get_mut(&self.id) else {
            return;
        };
        if let Some(turn) = entry.idle_turn.take() {
            table.idle.remove(&turn);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.registry.table().remove(self.id);
    }
}

impl Table {
    /// Whoever has shown least makes room: a handshake that got nowhere, then the connection idle
    /// for longest, then the oldest handshake.
    fn make_room(&mut self) -> bool {
        let handshaking = self.handshaking.first_key_value();
        let stalled = handshaking.filter(|(_, handshake)| {
            handshake
                .meter
                .waiting_to_read()
                .is_some_and(|silent| silent >= STALLED_HANDSHAKE)
        });
        let idle = self.idle.first_key_value().map(|(_, id)| *id);
        let oldest = stalled
            .map(|(id, _)| *id)
            .or(idle)
            .or(handshaking.map(|(id, _)| *id));
        let Some(oldest) = oldest else { return false };
        self.end(oldest, Cut::MadeRoom);
        true
    }

    fn end(&mut self, id: u64, reason: Cut) {
        if let Some(entry) = self.remove(id) {
            entry.closer.close(reason);
        }
    }

    fn remove(&mut self, id: u64) -> Option<Entry> {
        self.handshaking.remove(&id);
        let entry = self.connections.remove(&id)?;
        if let Some(turn) = entry.idle_turn {
            self.idle.remove(&turn);
        }
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(registry: &Arc<Registry>, id: u64, limit: usize) -> Option<Place> {
        registry.admit(id, Arc::default(), limit)
    }

    #[tokio::test]
    async fn the_connection_idle_for_longest_makes_room() {
        let registry = Arc::new(Registry::default());
        let first = admit(&registry, 1, 3).unwrap();
        let second = admit(&registry, 2, 3).unwrap();
        let third = admit(&registry, 3, 3).unwrap();
        for place in [&first, &second, &third] {
            place.idle();
        }
        first.busy();
        first.idle(); // now the youngest
        second.busy();
        let _fourth = admit(&registry, 4, 3).unwrap();
        assert_eq!(third.closer.closed().await, Cut::MadeRoom);
        assert_eq!(first.closer.reason.get(), None);
        assert_eq!(second.closer.reason.get(), None);
    }

    #[test]
    fn a_newcomer_finds_no_room_while_all_are_busy() {
        let registry = Arc::new(Registry::default());
        let only = admit(&registry, 1, 1).unwrap();
        only.idle();
        only.busy();
        assert!(admit(&registry, 2, 1).is_none());
        drop(only);
        assert!(admit(&registry, 3, 1).is_some());
    }

    #[test]
    fn a_handshake_makes_room_when_none_is_idle() {
        let registry = Arc::new(Registry::default());
        let handshaking = admit(&registry, 1, 1).unwrap();
        assert!(admit(&registry, 2, 1).is_some());
        assert_eq!(handshaking.closer.reason.get(), Some(&Cut::MadeRoom));
    }
}
