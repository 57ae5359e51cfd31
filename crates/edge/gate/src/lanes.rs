//! Conversations, shared out so that all cores serve them.
//!
//! A server of the `radius` crate is one state machine, and a handshake keeps it for half a millisecond. So
//! there are several, each with a lock of its own, and whatever belongs to one conversation goes to the
//! same one: repeated requests too, from whichever port and over whichever thread they come.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use vouchsafe_radius::{Acceptor, Limits, Server, Trust, lane};

/// How many. Two threads meet in one of them seldom enough.
const LANES: usize = 16;

/// The servers, and how their handshakes are made.
pub(crate) struct Lanes {
    servers: Vec<Mutex<Server>>,
    acceptor: RwLock<Arc<Acceptor>>,
}

impl Lanes {
    /// All begin with this acceptor, and share the limits of one server.
    pub(crate) fn new(acceptor: &Arc<Acceptor>) -> Self {
        let whole = Limits::default();
        let limits = Limits {
            conversations: whole.conversations / LANES,
            answers: whole.answers / LANES,
            ..whole
        };
        let server = || Mutex::new(Server::new(acceptor.clone(), limits));
        Self {
            servers: std::iter::repeat_with(server).take(LANES).collect(),
            acceptor: RwLock::new(acceptor.clone()),
        }
    }

    /// From now on handshakes begin with this acceptor.
    pub(crate) fn replace_acceptor(&self, acceptor: &Arc<Acceptor>) {
        for lane in &self.servers {
            lock(lane).replace_acceptor(acceptor.clone());
        }
        let mut current = self
            .acceptor
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *current = acceptor.clone();
    }

    /// Whom handshakes believe now.
    pub(crate) fn trust(&self) -> Trust {
        let current = self.acceptor.read().unwrap_or_else(PoisonError::into_inner);
        current.trust().clone()
    }

    /// The server to which a datagram belongs. No other thread has it for as long.
    pub(crate) fn of(&self, datagram: &[u8]) -> Option<MutexGuard<'_, Server>> {
        let number = usize::from(lane(datagram)) % LANES;
        self.servers.get(number).map(lock)
    }
}

fn lock(lane: &Mutex<Server>) -> MutexGuard<'_, Server> {
    lane.lock().unwrap_or_else(PoisonError::into_inner)
}
