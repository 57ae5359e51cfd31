//! Who has a session, and who must make room for a newcomer.
//!
//! Anybody can open a connection and say nothing, or say something that nobody will ever prove. So
//! the number of sessions is bounded, and whoever has shown least makes room: first the oldest that
//! said nothing yet, then the oldest that proved nothing yet. A session with a device that proved
//! its key is never cut for another device; but one device has [`PER_DEVICE`] of them at most, so that
//! nobody fills every place with one key. Its own oldest session gives way.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use vouchsafe_fleet::DeviceId;

/// Sessions that one device may have proved its key in at once: one that goes on, and those that it
/// gave up and whose end nobody told us.
pub(super) const PER_DEVICE: usize = 4;

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
    /// Whose key was proved in an open session.
    proved: HashMap<u64, DeviceId>,
    /// The same by device, in the order in which it was proved.
    of_device: HashMap<DeviceId, VecDeque<u64>>,
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

    /// The peer of session `id` is `device`, whose oldest session makes room if it has too many.
    fn prove(&mut self, id: u64, device: DeviceId) {
        self.silent.remove(&id);
        self.unproved.remove(&id);
        // One that was just cut has no place to lose, and one proves one key.
        if !self.open.contains_key(&id) || self.proved.contains_key(&id) {
            return;
        }
        let sessions = self.of_device.entry(device).or_default();
        sessions.push_back(id);
        let oldest = match sessions.len() > PER_DEVICE {
            true => sessions.front().copied(),
            false => None,
        };
        self.proved.insert(id, device);
        if let Some(oldest) = oldest {
            self.remove(oldest);
            metrics::counter!("vouchsafe_dpp_cuts_total").increment(1);
        }
    }

    fn remove(&mut self, id: u64) {
        self.silent.remove(&id);
        self.unproved.remove(&id);
        self.open.remove(&id);
        if let Some(device) = self.proved.remove(&id)
            && let Some(sessions) = self.of_device.get_mut(&device)
        {
            sessions.retain(|session| *session != id);
            if sessions.is_empty() {
                self.of_device.remove(&device);
            }
        }
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

    /// The peer proved that it is `device`.
    pub(super) fn proved(&self, device: DeviceId) {
        self.places.table().prove(self.id, device);
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
    use vouchsafe_fleet::ManufacturerId;

    fn is_cut(cut: &mut Cut) -> bool {
        cut.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    fn device(number: u8) -> DeviceId {
        DeviceId::new(ManufacturerId::NONE, &number.to_string())
    }

    #[test]
    fn one_device_does_not_fill_every_place() {
        let places = Places::new(2 * PER_DEVICE);
        let prove = |number| {
            let (place, cut) = places.admit().unwrap();
            place.spoke();
            place.proved(device(number));
            // Said twice, it counts once.
            place.proved(device(number));
            (place, cut)
        };
        let mut other = prove(2);
        let mut sessions: Vec<_> = (0..PER_DEVICE).map(|_| prove(1)).collect();
        assert!(sessions.iter_mut().all(|(_, cut)| !is_cut(cut)));
        for round in 0..PER_DEVICE {
            sessions.push(prove(1));
            let cut: Vec<bool> = sessions.iter_mut().map(|(_, cut)| is_cut(cut)).collect();
            let expected = (0..sessions.len()).map(|index| index <= round);
            assert!(cut.into_iter().eq(expected), "the oldest gives way");
        }
        assert!(!is_cut(&mut other.1), "to no other device");
        // A session that was cut ends later, and takes nobody's place with it.
        sessions.drain(..PER_DEVICE);
        sessions.pop();
        sessions.push(prove(1));
        assert!(sessions.iter_mut().all(|(_, cut)| !is_cut(cut)));
        drop((sessions, other));
        let table = places.table();
        assert!(table.open.is_empty() && table.proved.is_empty() && table.of_device.is_empty());
    }

    #[test]
    fn whoever_has_shown_least_makes_room() {
        let places = Places::new(3);
        let (proved, mut first) = places.admit().unwrap();
        proved.spoke();
        proved.proved(device(1));
        let (spoke, mut second) = places.admit().unwrap();
        spoke.spoke();
        let (_silent, mut third) = places.admit().unwrap();
        let (_fourth, _) = places.admit().unwrap();
        assert!(is_cut(&mut third) && !is_cut(&mut second));
        let (fifth, _) = places.admit().unwrap();
        fifth.spoke();
        fifth.proved(device(2));
        let (sixth, _) = places.admit().unwrap();
        assert!(is_cut(&mut second) && !is_cut(&mut first));
        sixth.spoke();
        sixth.proved(device(3));
        assert!(places.admit().is_none(), "all have proved something");
        drop(proved);
        assert!(places.admit().is_some());
    }
}
