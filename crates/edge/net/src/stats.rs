//! What a listener has seen and whom it has cut, by name.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use crate::tls::HandshakeFailure;

/// Why the server ended a connection that was not at its natural end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Cut {
    /// No request within the idle time.
    Idle,
    /// The head of a request took too long.
    SlowHead,
    /// The body of a request took too long; answered 408 where possible.
    SlowBody,
    /// The client did not take its response.
    SlowReader,
    /// The body of a request was over the limit; answered 413.
    OversizedBody,
    /// Idle for longest when a newcomer needed the place.
    MadeRoom,
    /// A handshake that waited for its client while others waited for a turn.
    StalledHandshake,
    /// A newcomer while every place was busy.
    NoRoom,
    /// Still busy at the end of the grace time.
    GraceOver,
}

impl Cut {
    /// Stable name, for counters and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::SlowHead => "slow-head",
            Self::SlowBody => "slow-body",
            Self::SlowReader => "slow-reader",
            Self::OversizedBody => "oversized-body",
            Self::MadeRoom => "made-room",
            Self::StalledHandshake => "stalled-handshake",
            Self::NoRoom => "no-room",
            Self::GraceOver => "grace-over",
        }
    }
}

/// Counters of one listener since it was bound; clones share them. They are also published through
/// the `metrics` facade under `vouchsafe_net_*`, labelled with the listener's name.
#[derive(Clone, Debug)]
pub struct Stats(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    listener: &'static str,
    accepted: AtomicU64,
    open: AtomicU64,
    requests: AtomicU64,
    cuts: Mutex<BTreeMap<Cut, u64>>,
    failures: Mutex<BTreeMap<HandshakeFailure, u64>>,
}

impl Stats {
    pub(crate) fn new(listener: &'static str) -> Self {
        Self(Arc::new(Inner {
            listener,
            accepted: AtomicU64::new(0),
            open: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            cuts: Mutex::default(),
            failures: Mutex::default(),
        }))
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.0.accepted.load(Relaxed)
    }

    /// Connections open now, handshaking ones included.
    pub fn open(&self) -> u64 {
        self.0.open.load(Relaxed)
    }

    /// Requests whose head was read.
    pub fn requests(&self) -> u64 {
        self.0.requests.load(Relaxed)
    }

    /// How often the server cut a connection for this reason.
    pub fn cuts(&self, reason: Cut) -> u64 {
        counted(&self.0.cuts, reason)
    }

    /// How often a handshake failed for this reason.
    pub fn handshake_failures(&self, reason: HandshakeFailure) -> u64 {
        counted(&self.0.failures, reason)
    }

    pub(crate) fn opened(&self) {
        self.0.accepted.fetch_add(1, Relaxed);
        self.0.open.fetch_add(1, Relaxed);
        metrics::counter!("vouchsafe_net_connections_total", "listener" => self.0.listener)
            .increment(1);
        metrics::gauge!("vouchsafe_net_connections_open", "listener" => self.0.listener)
            .increment(1.0);
    }

    pub(crate) fn closed(&self) {
        self.0.open.fetch_sub(1, Relaxed);
        metrics::gauge!("vouchsafe_net_connections_open", "listener" => self.0.listener)
            .decrement(1.0);
    }

    pub(crate) fn request(&self) {
        self.0.requests.fetch_add(1, Relaxed);
        metrics::counter!("vouchsafe_net_requests_total", "listener" => self.0.listener)
            .increment(1);
    }

    pub(crate) fn cut(&self, reason: Cut) {
        count(&self.0.cuts, reason);
        metrics::counter!(
            "vouchsafe_net_cuts_total",
            "listener" => self.0.listener, "reason" => reason.as_str()
        )
        .increment(1);
    }

    pub(crate) fn handshake_failed(&self, reason: HandshakeFailure) {
        count(&self.0.failures, reason);
        metrics::counter!(
            "vouchsafe_net_handshake_failures_total",
            "listener" => self.0.listener, "reason" => reason.as_str()
        )
        .increment(1);
    }
}

fn count<K: Ord>(counts: &Mutex<BTreeMap<K, u64>>, key: K) {
    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    *counts.entry(key).or_default() += 1;
}

fn counted<K: Ord>(counts: &Mutex<BTreeMap<K, u64>>, key: K) -> u64 {
    let counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    counts.get(&key).copied().unwrap_or_default()
}
