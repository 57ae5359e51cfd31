//! What one connection is doing, and until when it may go on doing it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::limits::Limits;
use crate::registry::Place;
use crate::stats::Cut;
use crate::stream::Meter;

/// The life of one connection after its handshake: waiting, reading a head, answering, waiting …
#[derive(Debug)]
pub(crate) struct Activity {
    limits: Arc<Limits>,
    /// Counts the bytes inside TLS.
    meter: Arc<Meter>,
    place: Place,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    requests: u64,
    /// What the request in flight did that its answer must say.
    spoiled: Option<Cut>,
    /// Whether a body was given up before its end, after which nothing can be read but its rest.
    unread: bool,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// For a request; `seen` bytes belonged to earlier ones.
    Waiting {
        since: Instant,
        seen: u64,
    },
    ReadingHead {
        since: Instant,
    },
    Answering,
}

impl Activity {
    pub(crate) fn new(limits: Arc<Limits>, meter: Arc<Meter>, place: Place) -> Self {
        place.idle();
        let phase = Phase::Waiting {
            since: Instant::now(),
            seen: meter.received(),
        };
        let state = Mutex::new(State {
            phase,
            requests: 0,
            spoiled: None,
            unread: false,
        });
        Self {
            limits,
            meter,
            place,
            state,
        }
    }

    /// A request's head has come. Returns its number on this connection, from one.
    pub(crate) fn begin(self: &Arc<Self>) -> (u64, InFlight) {
        self.place.busy();
        let mut state = self.state();
        state.phase = Phase::Answering;
        state.requests += 1;
        state.spoiled = None;
        state.unread = false;
        (state.requests, InFlight(self.clone()))
    }

    /// The request in flight broke a limit.
    pub(crate) fn spoiled_by(&self, reason: Cut) {
        self.state().spoiled.get_or_insert(reason);
    }

    /// Which limit the request in flight broke.
    pub(crate) fn spoiled(&self) -> Option<Cut> {
        self.state().spoiled
    }

    /// The body of the request in flight was given up before its end.
    pub(crate) fn left_unread(&self) {
        self.state().unread = true;
    }

    /// Whether the peer may still be sending what nobody reads.
    pub(crate) fn has_unread(&self) -> bool {
        self.state().unread
    }

    pub(crate) fn is_answering(&self) -> bool {
        matches!(self.state().phase, Phase::Answering)
    }

    /// Looks at what was read since the last call, and says when and why the connection ends if
    /// nothing more happens; `None` while only the handler is at work.
    pub(crate) fn deadline(&self) -> Option<(Instant, Cut)> {
        let mut state = self.state();
        if let Phase::Waiting { seen, .. } = state.phase
            && self.meter.received() > seen
        {
            state.phase = Phase::ReadingHead {
                since: Instant::now(),
            };
        }
        let reading = match state.phase {
            Phase::Waiting { since, .. } => Some((since + self.limits.idle, Cut::Idle)),
            Phase::ReadingHead { since } => Some((since + self.limits.head, Cut::SlowHead)),
            Phase::Answering => None,
        };
        let blocked = self.meter.blocked_since();
        let writing = blocked.map(|since| (since + self.limits.write, Cut::SlowReader));
        match (reading, writing) {
            (Some(reading), Some(writing)) => Some(reading.min(writing)),
            (reading, writing) => reading.or(writing),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request in flight, until its response is sent or dropped.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        let seen = self.0.meter.received();
        self.0.state().phase = Phase::Waiting {
            since: Instant::now(),
            seen,
        };
        self.0.place.idle();
    }
}
