//! What the writer and the readers both hold: the reading connections and the journal's end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::broadcast;

use crate::config::StoreConfig;
use crate::readers::Readers;

/// Wake-ups that a slow subscriber may fall behind. It loses nothing: it reads the journal from
/// where it stands.
const WAKE_UPS: usize = 64;

#[derive(Debug)]
pub(crate) struct Shared {
    readers: RwLock<Arc<Readers>>,
    position: AtomicU64,
    wake: broadcast::Sender<u64>,
}

impl Shared {
    pub(crate) fn new(readers: Readers, position: u64) -> Self {
        let (wake, _) = broadcast::channel(WAKE_UPS);
        Self {
            readers: RwLock::new(Arc::new(readers)),
            position: AtomicU64::new(position),
            wake,
        }
    }

    /// The connections for reading.
    pub(crate) fn readers(&self) -> Arc<Readers> {
        let readers = self.readers.read();
        Arc::clone(&readers.unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the reading connections: the old ones may lead to a file or server that is gone.
    pub(crate) fn reopen(&self, config: &StoreConfig) {
        let fresh = Arc::new(Readers::new(config));
        let mut readers = self.readers.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *readers, fresh);
        drop(readers);
        tokio::spawn(async move { old.close().await });
    }

    /// The last journal position known to be durable.
    pub(crate) fn position(&self) -> u64 {
        self.position.load(Ordering::Acquire)
    }

    /// Notes that the journal reaches `position`, and wakes who waits for that.
    pub(crate) fn advance(&self, position: u64) {
        if self.position.fetch_max(position, Ordering::AcqRel) < position {
            // Nobody may be listening.
            let _listeners = self.wake.send(position);
        }
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<u64> {
        self.wake.subscribe()
    }
}
