//! How many circuits there are, and whose.
//!
//! When there is no room, the circuit that has been silent longest gives way, if that is at least
//! [`STALLED`]: whoever opens connections and says nothing keeps nobody out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// From when on a silent circuit gives way to another (a pledge drops a stalled connection after 5 s
/// too: RFC 8995 §5.1).
pub(super) const STALLED: Duration = Duration::from_secs(5);

/// What circuits may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) circuits: usize,
    pub(super) per_address: usize,
    pub(super) octets: u64,
    pub(super) idle: Duration,
    pub(super) total: Duration,
}

/// Why there is no circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// The address has as many as it may.
    Address,
    /// All are in use.
    All,
}

impl NoRoom {
    /// Stable name.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Address => "too-many-from-address",
            Self::All => "too-many-circuits",
        }
    }
}

/// The table. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Circuits {
    bounds: Bounds,
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    open: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    from: IpAddr,
    activity: Arc<Activity>,
}

/// What a circuit has carried, and when.
#[derive(Debug)]
pub(super) struct Activity {
    begun: Instant,
    octets: AtomicU64,
    last_millis: AtomicU64,
    pub(super) give_way: Notify,
}

impl Activity {
    fn new(begun: Instant) -> Self {
        Self {
            begun,
            octets: AtomicU64::new(0),
            last_millis: AtomicU64::new(0),
            give_way: Notify::new(),
        }
    }

    /// Counts octets; how many there were in all.
    pub(super) fn carried(&self, octets: usize, now: Instant) -> u64 {
        let millis = now.saturating_duration_since(self.begun).as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        self.last_millis.store(millis, Ordering::Relaxed);
        let octets = u64::try_from(octets).unwrap_or(u64::MAX);
        let before = self.octets.fetch_add(octets, Ordering::Relaxed);
        before.saturating_add(octets)
    }

    pub(super) fn octets(&self) -> u64 {
        self.octets.load(Ordering::Relaxed)
    }

    /// When it last carried something.
    pub(super) fn last(&self) -> Instant {
        self.begun + Duration::from_millis(self.last_millis.load(Ordering::Relaxed))
    }
}

/// Room for one circuit, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Room {
    circuits: Circuits,
    number: u64,
    pub(super) activity: Arc<Activity>,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.circuits.lock().open.remove(&self.number);
    }
}

impl Circuits {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            table: Arc::default(),
        }
    }

    pub(super) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Room for a circuit from an address.
    pub(super) fn enter(&self, from: IpAddr, now: Instant) -> Result<Room, NoRoom> {
        let from = from.to_canonical();
        let mut table = self.lock();
        let same = table.open.values().filter(|entry| entry.from == from);
        if same.count() >= self.bounds.per_address {
            return Err(NoRoom::Address);
        }
        if table.open.len() >= self.bounds.circuits {
            let number = table.stalled(now).ok_or(NoRoom::All)?;
            if let Some(entry) = table.open.remove(&number) {
                entry.activity.give_way.notify_one();
            }
        }
        let number = table.next;
        table.next += 1;
        let activity = Arc::new(Activity::new(now));
        let entry = Entry {
            from,
            activity: activity.clone(),
        };
        table.open.insert(number, entry);
        Ok(Room {
            circuits: self.clone(),
            number,
            activity,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// The one that has been silent longest, if that is long enough.
    fn stalled(&self, now: Instant) -> Option<u64> {
        let (number, entry) = self
            .open
            .iter()
            .min_by_key(|(_, entry)| entry.activity.last())?;
        let silent = now.saturating_duration_since(entry.activity.last());
        (silent >= STALLED).then_some(*number)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn bounds() -> Bounds {
        Bounds {
            circuits: 3,
            per_address: 2,
            octets: 100,
            idle: Duration::from_secs(60),
            total: Duration::from_secs(600),
        }
    }

    fn from(last: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, last).into()
    }

    #[test]
    fn an_address_has_no_more_than_its_share_and_gets_it_back() {
        let (circuits, now) = (Circuits::new(bounds()), Instant::now());
        let first = circuits.enter(from(1), now).unwrap();
        let _second = circuits.enter(from(1), now).unwrap();
        assert_eq!(circuits.enter(from(1), now).unwrap_err(), NoRoom::Address);
        // The same address in IPv6's clothes.
        let mapped = Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped();
        assert_eq!(
            circuits.enter(mapped.into(), now).unwrap_err(),
            NoRoom::Address
        );
        drop(first);
        circuits.enter(from(1), now).unwrap();
    }

    #[tokio::test]
    async fn when_all_are_in_use_only_a_silent_one_gives_way() {
        let (circuits, now) = (Circuits::new(bounds()), Instant::now());
        let rooms = [1, 2, 3].map(|last| circuits.enter(from(last), now).unwrap());
        assert_eq!(circuits.enter(from(4), now).unwrap_err(), NoRoom::All);
        let now = now + STALLED;
        for busy in [&rooms[0], &rooms[2]] {
            busy.activity.carried(1, now);
        }
        let _new = circuits.enter(from(4), now).unwrap();
        // The one that gave way hears of it, and no other does.
        rooms[1].activity.give_way.notified().await;
        assert_eq!(circuits.enter(from(5), now).unwrap_err(), NoRoom::All);
        // Its end gives no room a second time.
        drop(rooms);
        assert_eq!(circuits.lock().open.len(), 1);
    }
}
