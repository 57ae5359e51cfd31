//! Who has a session, and who must make room for a newcomer.
//!
//! Anybody can open a connection and say nothing, or say something that nobody will ever prove. So
//! the number of sessions is bounded, and whoever has shown least makes room: first the oldest that
//! said nothing yet, then the oldest that proved nothing yet. A session with a device that proved
//! its key is never cut for another.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// All sessions of the listener.
#[derive(Debug)]
pub(super) struct Places {
    limit: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    /// Dropping the sender cuts the session.
    open: HashMap<u64, oneshot::Sender<()>>,
    /// Sessions that have not said anything, in order of arrival.
    silent: BTreeSet<u64>,
    /// Sessions that have spoken and proved nothing, in order of arrival.
    unproved: BTreeSet<u64>,
}

/// A session's place; gone when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    id: u64,
}

/// Ready when a session has to make room.
pub(super) type Cut = oneshot::Receiver<()>;

impl Places {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit: limit.max(1),
            table: Mutex::default(),
        })
    }

    /// A place for a newcomer; none while everybody here has proved something.
    pub(super) fn admit(self: &Arc<Self>) -> Option<(Place, Cut)> {
        let mut table = self.table();
        if table.open.len() >= self.limit && !table.make_room() {
            return None;
        }
        let id = table.next;
        table.next += 1;
        let (cut, is_cut) = oneshot::channel();
        table.open.insert(id, cut);
        table.silent.insert(id);
        let place = Place {
            places: Arc::clone(self),
            id,
        };
        Some((place, is_cut))
    }

    /// Frees a place without a newcomer for it, when files run out.
    pub(super) fn make_room(&self) -> bool {
        self.table().make_room()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn make_room(&mut self) -> bool {
        let least = self.silent.first().or(self.unproved.first()).copied();
        match least {
            Some(id) => {
                self.remove(id);
                metrics::counter!("vouchsafe_dpp_cuts_total").increment(1);
                true
            }
            None => false,
        }
    }

    fn remove(&mut self, id: u64) {
        self.silent.remove(&id);
        self.unproved.remove(&id);
        self.open.remove(&id);
    }
}

impl Place {
    /// The peer said something.
    pub(super) fn spoke(&self) {
        let mut table = self.places.table();
        if table.silent.remove(&self.id) {
            table.unproved.insert(self.id);
        }
    }

    /// The peer proved a key.
    pub(super) fn proved(&self) {
        self.places.table().unproved.remove(&self.id);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.table().remove(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_cut(cut: &mut Cut) -> bool {
        cut.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    #[test]
    fn whoever_has_shown_least_makes_room() {
        let places = Places::new(3);
        let (proved, mut first) = places.admit().unwrap();
        proved.spoke();
        proved.proved();
        let (spoke, mut second) = places.admit().unwrap();
        spoke.spoke();
        let (_silent, mut third) = places.admit().unwrap();
        let (_fourth, _) = places.admit().unwrap();
        assert!(is_cut(&mut third) && !is_cut(&mut second));
        let (fifth, _) = places.admit().unwrap();
        fifth.spoke();
        fifth.proved();
        let (sixth, _) = places.admit().unwrap();
        assert!(is_cut(&mut second) && !is_cut(&mut first));
        sixth.spoke();
        sixth.proved();
        assert!(places.admit().is_none(), "all have proved something");
        drop(proved);
        assert!(places.admit().is_some());
    }
}
