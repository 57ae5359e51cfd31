//! Token buckets in bounded memory: how much one address, one owner or one station may ask.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

/// Askers remembered at most. Beyond it those whose bucket is full again are forgotten, and if there
/// is none, whoever has been quiet for longest.
const MAX_ASKERS: usize = 65_536;

/// Smallest number of requests that may come at once.
const MIN_BURST: f64 = 10.0;

/// One bucket for each asker.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    per_second: f64,
    burst: f64,
    buckets: Mutex<HashMap<K, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Timestamp,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    /// So many requests a minute, a tenth of a minute's worth (at least ten) at once.
    pub(crate) fn per_minute(rate: u32) -> Self {
        Self::of(f64::from(rate) / 60.0, f64::from(rate) / 10.0)
    }

    /// So many a day, ten at once.
    pub(crate) fn per_day(rate: u32) -> Self {
        Self::of(f64::from(rate) / 86_400.0, MIN_BURST)
    }

    fn of(per_second: f64, burst: f64) -> Self {
        Self {
            per_second,
            burst: burst.max(MIN_BURST),
            buckets: Mutex::default(),
        }
    }

    /// Takes one token.
    ///
    /// # Errors
    /// After how long there will be one.
    pub(crate) fn take(&self, asker: &K, now: Timestamp) -> Result<(), SignedDuration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_ASKERS && !buckets.contains_key(asker) {
            self.make_room(&mut buckets, now);
        }
        let bucket = buckets.entry(asker.clone()).or_insert(Bucket {
            tokens: self.burst,
            at: now,
        });
        bucket.tokens = self.filled(bucket, now);
        bucket.at = now.max(bucket.at);
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            return Ok(());
        }
        let seconds = (1.0 - bucket.tokens) / self.per_second;
        Err(SignedDuration::try_from_secs_f64(seconds).unwrap_or(SignedDuration::from_mins(1)))
    }

    fn filled(&self, bucket: &Bucket, now: Timestamp) -> f64 {
        let passed = now.duration_since(bucket.at).as_secs_f64().max(0.0);
        passed
            .mul_add(self.per_second, bucket.tokens)
            .min(self.burst)
    }

    fn make_room(&self, buckets: &mut HashMap<K, Bucket>, now: Timestamp) {
        buckets.retain(|_, bucket| self.filled(bucket, now) < self.burst);
        if buckets.len() < MAX_ASKERS {
            return;
        }
        // A sixteenth at once, so that a crowd does not make every request look at all of them.
        let mut times: Vec<Timestamp> = buckets.values().map(|bucket| bucket.at).collect();
        let (_, oldest, _) = times.select_nth_unstable(MAX_ASKERS / 16);
        let oldest = *oldest;
        buckets.retain(|_, bucket| bucket.at > oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_millisecond(1_700_000_000_000 + milliseconds).unwrap()
    }

    #[test]
    fn a_burst_passes_and_then_one_at_a_time() {
        let buckets = Buckets::per_minute(60);
        for _ in 0..10 {
            buckets.take(&1, at(0)).unwrap();
        }
        let wait = buckets.take(&1, at(0)).unwrap_err();
        assert_eq!(wait.as_millis(), 1000);
        buckets.take(&2, at(0)).unwrap();
        buckets.take(&1, at(1001)).unwrap();
        assert!(buckets.take(&1, at(1001)).is_err());
    }

    #[test]
    fn so_many_a_day_are_as_many_the_next_day() {
        let buckets = Buckets::per_day(24);
        for _ in 0..10 {
            buckets.take(&1, at(0)).unwrap();
        }
        let hour = 3_600_000;
        assert!(buckets.take(&1, at(hour - 1000)).is_err());
        buckets.take(&1, at(hour + 1000)).unwrap();
        assert!(buckets.take(&1, at(hour + 2000)).is_err());
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing_away() {
        let buckets = Buckets::per_minute(60);
        for _ in 0..10 {
            buckets.take(&1, at(0)).unwrap();
        }
        assert!(buckets.take(&1, at(-60_000)).is_err());
        assert!(buckets.take(&1, at(500)).is_err());
    }

    #[test]
    fn a_crowd_takes_bounded_memory() {
        let buckets = Buckets::per_minute(1);
        for asker in 0..200_000_u32 {
            buckets.take(&asker, at(i64::from(asker))).unwrap();
        }
        assert!(buckets.buckets.lock().unwrap().len() <= MAX_ASKERS);
    }
}
