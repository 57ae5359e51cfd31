//! Networks to try: where they are, and how long to leave those alone that failed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use vouchsafe_net::Origin;

/// The most networks that are kept in mind; mDNS answers are anybody's.
pub const MAX_CANDIDATES: usize = 16;

/// A registrar, or a proxy to one, that may be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Whom to call.
    pub origin: Origin,
    /// The address, where it is known already.
    pub addr: Option<SocketAddr>,
    /// How it was found.
    pub found: Found,
}

/// How a candidate was found, in the order in which they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Found {
    /// It issued the present credential.
    Remembered,
    /// It is configured.
    Configured,
    /// By mDNS.
    Discovered,
    /// By GRASP.
    Flooded,
    /// Another one sent us there.
    Redirected,
}

impl Found {
    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Remembered => "remembered",
            Self::Configured => "configured",
            Self::Discovered => "mdns",
            Self::Flooded => "grasp",
            Self::Redirected => "redirected",
        }
    }
}

/// Adds those that are not there yet, as long as there is room.
pub(crate) fn add(candidates: &mut Vec<Candidate>, more: impl IntoIterator<Item = Candidate>) {
    for candidate in more {
        let known = candidates
            .iter()
            .any(|known| known.origin == candidate.origin);
        if !known && candidates.len() < MAX_CANDIDATES {
            candidates.push(candidate);
        }
    }
}

/// Networks that failed, and until when they are left alone. Time and randomness are given.
#[derive(Debug)]
pub(crate) struct Aside<K = Origin> {
    first: Duration,
    longest: Duration,
    entries: BTreeMap<K, Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    failures: u32,
    until: Timestamp,
}

impl<K: Ord + Clone> Aside<K> {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            entries: BTreeMap::new(),
        }
    }

    /// Puts a network aside after a failure: twice as long each time, half of it by chance, so
    /// that a thousand devices that failed together do not come back together.
    pub(crate) fn put(&mut self, which: &K, now: Timestamp, random: u64) -> Duration {
        self.make_room(which);
        let entry = self.entries.entry(which.clone()).or_insert(Entry {
            failures: 0,
            until: now,
        });
        entry.failures = entry.failures.saturating_add(1);
        let doubled = 2_u32.saturating_pow(entry.failures - 1);
        let pause = spread(self.first.saturating_mul(doubled).min(self.longest), random);
        entry.until = later(now, pause);
        pause
    }

    /// Puts a network aside for the time it asked for, at most the longest; not a failure.
    pub(crate) fn come_back(
        &mut self,
        which: &K,
        now: Timestamp,
        retry_after: Duration,
    ) -> Duration {
        self.make_room(which);
        let pause = retry_after.min(self.longest);
        let failures = self.entries.get(which).map_or(0, |entry| entry.failures);
        self.entries.insert(
            which.clone(),
            Entry {
                failures,
                until: later(now, pause),
            },
        );
        pause
    }

    /// Until when the network is left alone, if it is.
    pub(crate) fn until(&self, which: &K, now: Timestamp) -> Option<Timestamp> {
        let until = self.entries.get(which).map(|entry| entry.until)?;
        // A clock that was set back must not keep a network away for longer than ever meant.
        let sane = until.duration_since(now) <= signed(self.longest);
        (until > now && sane).then_some(until)
    }

    /// All that are left alone.
    pub(crate) fn away(&self, now: Timestamp) -> impl Iterator<Item = &K> {
        let all = self.entries.keys();
        all.filter(move |which| self.until(which, now).is_some())
    }

    /// When the next one is free.
    pub(crate) fn soonest(&self, now: Timestamp) -> Option<Timestamp> {
        self.entries
            .keys()
            .filter_map(|which| self.until(which, now))
            .min()
    }

    /// How often it failed.
    pub(crate) fn failures(&self, which: &K) -> u32 {
        self.entries.get(which).map_or(0, |entry| entry.failures)
    }

    /// Forgets the one that is free soonest when there are too many.
    fn make_room(&mut self, which: &K) {
        if self.entries.len() < 4 * MAX_CANDIDATES || self.entries.contains_key(which) {
            return;
        }
        let soonest = self.entries.iter().min_by_key(|(_, entry)| entry.until);
        if let Some(soonest) = soonest.map(|(which, _)| which.clone()) {
            self.entries.remove(&soonest);
        }
    }
}

/// Between half and all of `pause`.
pub(crate) fn spread(pause: Duration, random: u64) -> Duration {
    let half = pause / 2;
    let share = u32::try_from(random >> 32).unwrap_or(u32::MAX);
    half + half.mul_f64(f64::from(share) / f64::from(u32::MAX))
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    now.checked_add(signed(by)).unwrap_or(Timestamp::MAX)
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aside() -> Aside {
        Aside::new(Duration::from_secs(4), Duration::from_secs(60))
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    #[test]
    fn each_failure_doubles_the_pause_up_to_the_longest_with_half_of_it_by_chance() {
        let origin = Origin::new("registrar.example", 8443);
        let (mut least, mut most) = (aside(), aside());
        for expected in [4, 8, 16, 32, 60, 60] {
            assert_eq!(
                most.put(&origin, now(), u64::MAX),
                Duration::from_secs(expected)
            );
            assert_eq!(
                least.put(&origin, now(), 0),
                Duration::from_secs(expected) / 2
            );
        }
        for _ in 0..100 {
            assert!(most.put(&origin, now(), u64::MAX) <= Duration::from_secs(60));
        }
    }

    #[test]
    fn a_network_is_left_alone_until_its_time_and_not_for_ever_when_the_clock_is_set_back() {
        let origin = Origin::new("registrar.example", 8443);
        let mut aside = aside();
        assert_eq!(aside.until(&origin, now()), None);
        let pause = aside.put(&origin, now(), u64::MAX);
        assert_eq!(aside.until(&origin, now()), Some(later(now(), pause)));
        assert_eq!(aside.away(now()).collect::<Vec<_>>(), [&origin]);
        assert_eq!(aside.away(later(now(), pause)).count(), 0);
        assert_eq!(aside.until(&origin, later(now(), pause)), None);
        let long_ago = Timestamp::from_second(0).unwrap();
        assert_eq!(aside.until(&origin, long_ago), None);
    }

    #[test]
    fn who_asks_for_an_absurd_pause_gets_the_longest() {
        let origin = Origin::new("registrar.example", 8443);
        let mut aside = aside();
        assert_eq!(
            aside.come_back(&origin, now(), Duration::MAX),
            Duration::from_secs(60)
        );
        assert_eq!(aside.failures(&origin), 0);
    }

    #[test]
    fn what_is_remembered_about_networks_is_bounded() {
        let mut aside = aside();
        for port in 0..1000 {
            aside.put(&Origin::new("hostile.example", port), now(), 0);
        }
        assert!(aside.entries.len() <= 4 * MAX_CANDIDATES);
        let mut candidates = Vec::new();
        add(
            &mut candidates,
            (0..1000).map(|port| Candidate {
                origin: Origin::new("hostile.example", port),
                addr: None,
                found: Found::Discovered,
            }),
        );
        assert_eq!(candidates.len(), MAX_CANDIDATES);
    }
}
