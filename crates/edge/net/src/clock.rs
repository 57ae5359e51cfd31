//! The one place that reads the wall clock.
//!
//! Everything that reasons about validity takes a [`Timestamp`] as an argument; programs own one
//! [`Clock`] and pass `clock.now()` inwards. A test or a simulation passes a clock that stands
//! still, or one that it moves by hand.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;

/// Where the wall time comes from. Clones share the same time.
#[derive(Clone)]
pub struct Clock(Arc<Source>);

enum Source {
    /// The machine's clock, shifted by this many milliseconds.
    Machine { shift: AtomicI64 },
    /// A clock that moves only by hand; milliseconds since 1970.
    Manual { now: AtomicI64 },
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Arc::new(Source::Machine {
            shift: AtomicI64::new(0),
        }))
    }

    /// A clock that stands at `at` (kept to the millisecond) until it is moved.
    pub fn fixed(at: Timestamp) -> Self {
        Self(Arc::new(Source::Manual {
            now: AtomicI64::new(at.as_millisecond()),
        }))
    }

    /// The machine's clock shifted by `milliseconds`, which may be negative.
    pub fn shifted(milliseconds: i64) -> Self {
        Self(Arc::new(Source::Machine {
            shift: AtomicI64::new(milliseconds),
        }))
    }

    /// The current time. Outside the range of [`Timestamp`] it stops at the nearest end.
    #[allow(clippy::disallowed_methods)] // this is the one clock
    pub fn now(&self) -> Timestamp {
        match &*self.0 {
            Source::Machine { shift } => {
                let now = Timestamp::now();
                match shift.load(Ordering::Relaxed) {
                    0 => now,
                    shift => clamped(now.as_millisecond().saturating_add(shift)),
                }
            }
            Source::Manual { now } => clamped(now.load(Ordering::Relaxed)),
        }
    }

    /// Moves this clock and all its clones forward.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        let value = match &*self.0 {
            Source::Machine { shift } => shift,
            Source::Manual { now } => now,
        };
        let moved = value.load(Ordering::Relaxed).saturating_add(by);
        value.store(moved, Ordering::Relaxed);
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Source::Machine { .. } => f.write_str("Clock(machine)"),
            Source::Manual { .. } => write!(f, "Clock(manual, {})", self.now()),
        }
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.now().as_second()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

fn clamped(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap_or(if milliseconds < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_clock_moves_only_by_hand_and_clones_move_with_it() {
        let start = Timestamp::from_second(1_700_000_000).unwrap();
        let clock = Clock::fixed(start);
        let twin = clock.clone();
        assert_eq!(clock.now(), start);
        clock.advance(Duration::from_secs(90));
        assert_eq!(twin.now().as_second(), 1_700_000_090);
        clock.advance(Duration::MAX);
        assert_eq!(twin.now(), Timestamp::MAX);
    }

    #[test]
    fn a_shifted_clock_is_off_by_its_shift() {
        let (true_time, shifted) = (Clock::system(), Clock::shifted(-3_600_000));
        let difference = true_time.now().as_second() - shifted.now().as_second();
        assert!((3_599..=3_601).contains(&difference), "{difference}");
    }
}
