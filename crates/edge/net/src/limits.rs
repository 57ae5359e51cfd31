//! What one listener may cost us. Every number has a reason and a test that reaches it.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Bounds of a listener. Sizes in bytes, counts of connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections, handshaking ones included. Beyond it a stalled handshake or the connection
    /// idle for longest makes room; when all are busy, the newcomer is closed. Keep it below the
    /// number of open files, see [`raise_open_files_limit`].
    pub connections: usize,
    /// Handshakes worked on at the same time; the others wait for their turn.
    pub handshakes: usize,
    /// From accepting a connection to the end of its handshake, waiting for a turn included.
    pub handshake: Duration,
    /// Between requests. Longer than the 60 s for which a pledge may be told to come back
    /// (RFC 8995 §5.6), so that it finds its connection again.
    pub idle: Duration,
    /// From the first byte of a request to the end of its head.
    pub head: Duration,
    /// Without a byte while the handler waits for the request body.
    pub body_idle: Duration,
    /// From the head of a request to the end of its body.
    pub body: Duration,
    /// Without the client taking a byte of the response.
    pub write: Duration,
    /// Size of a request head.
    pub head_bytes: usize,
    /// Size of a request body; more is answered 413.
    pub body_bytes: usize,
    /// Requests on one connection; the last answer says `Connection: close`. `None`: any number.
    pub requests_per_connection: Option<u64>,
    /// How long requests in flight may go on after the shutdown signal.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            handshakes: 256,
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(150),
            head: Duration::from_secs(10),
            body_idle: Duration::from_secs(10),
            body: Duration::from_secs(60),
            write: Duration::from_secs(30),
            head_bytes: 16 * 1024,
            body_bytes: 1024 * 1024,
            requests_per_connection: None,
            grace: Duration::from_secs(20),
        }
    }
}

/// hyper refuses to work with a smaller read buffer.
pub(crate) const MIN_HEAD_BYTES: usize = 8192;

/// A newcomer that finds no turn closes the oldest handshake that has waited this long for its
/// client, so that silent clients cannot hold all turns.
pub(crate) const STALLED_HANDSHAKE: Duration = Duration::from_secs(1);

/// Raises the soft limit of open files to the hard one and returns what is in force now; `None`
/// when there is no limit. A failure leaves the limit as it was.
pub fn raise_open_files_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "the limit of open files stays as it is");
        }
    }
    getrlimit(Resource::Nofile).current
}
