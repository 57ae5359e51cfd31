//! State tables and the journal, in one transaction, on SQLite or PostgreSQL.
//!
//! 1. [`Store::open`] connects, brings the schema up to date, and on SQLite keeps other programs
//!    off the file.
//! 2. A handler reads its facts ([`Store::device`] and the like), and `vouchsafe-fleet` decides.
//! 3. [`Store::commit`] makes the decision durable: guards, changes and journal entries together or
//!    not at all. When it returns, the data is on disk and the answer may leave.
//! 4. Who waits for news holds a [`Store::subscribe`] and reads [`Store::journal_since`].
//!
//! Commits are gathered: one writer task makes whatever waits durable with one `COMMIT`
//! (`writer`, `batch`). Times are kept in milliseconds.

use std::sync::Arc;

use tokio::sync::{broadcast, mpsc, oneshot};
use vouchsafe_fleet::{Commit, Sealed, Subject};

mod ask;
mod batch;
mod config;
mod connect;
mod error;
mod journal;
mod locks;
mod maintenance;
mod migrate;
mod notice;
mod plan;
mod postgres;
mod read;
mod readers;
mod row;
mod shared;
mod sqlite;
mod statement;
mod stop;
mod table;
mod writer;

pub use config::{Engine, StoreConfig};
pub use error::{CommitError, Conflict, EngineError, OpenError, ReadError};
pub use journal::{JournalReport, StoredCheckpoint};
pub use maintenance::BackupError;
pub use read::{
    ClaimsAbout, CredentialFilter, DeviceFilter, DeviceKey, Holder, KeyFilter, Readable,
    Revocation, SessionFilter,
};

use connect::{Connection, Role};
use readers::Readers;
use row::Columns;
use shared::Shared;
use statement::Inserts;
use writer::{Order, Writer};

/// The state of one program. Cheap to clone; all clones share one writer.
#[derive(Debug, Clone)]
pub struct Store {
    config: Arc<StoreConfig>,
    shared: Arc<Shared>,
    queue: mpsc::Sender<Order>,
}

/// What became of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Position of its last journal line; none when it had none.
    pub position: Option<u64>,
    /// Its entries in their order, numbered and sealed.
    pub sealed: Vec<Sealed>,
}

/// A journal entry in the order of all chains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Positioned {
    /// Place in the global order, from 1, ascending, without gaps.
    pub position: u64,
    /// Whose chain.
    pub subject: Subject,
    /// The entry in its chain.
    pub sealed: Sealed,
}

impl Store {
    /// Opens the store, making it or bringing it up to date as needed. Must run inside tokio.
    ///
    /// # Errors
    /// [`OpenError`] says who has to act.
    pub async fn open(config: StoreConfig) -> Result<Self, OpenError> {
        let lock = match &config.file {
            Some(file) => Some(connect::FileLock::take(file)?),
            None => None,
        };
        let mut connection = Connection::open(&config, Role::Writer).await?;
        migrate::migrate(&mut connection).await?;
        let position = journal::last_position(&mut connection).await?;
        let shared = Arc::new(Shared::new(Readers::new(&config), position));
        let (queue, orders) = mpsc::channel(config.queue.max(1));
        let writer = Writer {
            config: config.clone(),
            shared: Arc::clone(&shared),
            connection: Some(connection),
            inserts: Inserts::default(),
            lock,
        };
        match config.engine {
            Engine::Sqlite => writer.run_on_a_thread(orders)?,
            Engine::Postgres => {
                tokio::spawn(writer.run(orders));
                tokio::spawn(notice::watch(config.clone(), Arc::downgrade(&shared)));
            }
        }
        Ok(Self {
            config: Arc::new(config),
            shared,
            queue,
        })
    }

    /// Makes a decision durable. Waits its turn when many commit at once.
    ///
    /// Dropping the future before it is done leaves open whether the commit is kept.
    ///
    /// # Errors
    /// [`CommitError`]; then nothing of the commit is kept.
    pub async fn commit(&self, commit: Commit) -> Result<Committed, CommitError> {
        self.commit_shared(Arc::new(commit)).await
    }

    /// As [`Store::commit`], for a caller that still needs the commit when it was refused.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub async fn commit_shared(&self, commit: Arc<Commit>) -> Result<Committed, CommitError> {
        let closed = || CommitError::Unavailable("the store is closed".to_owned());
        let (reply, answer) = oneshot::channel();
        let order = Order::Commit { commit, reply };
        self.queue.send(order).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Keeps a checkpoint; one of the same position is replaced.
    ///
    /// # Errors
    /// [`CommitError`]; then it is not kept.
    pub async fn put_checkpoint(&self, checkpoint: StoredCheckpoint) -> Result<(), CommitError> {
        let closed = || CommitError::Unavailable("the store is closed".to_owned());
        let (reply, answer) = oneshot::channel();
        let order = Order::Checkpoint { checkpoint, reply };
        self.queue.send(order).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Wake-ups with the journal's last position, by this program or another replica. A receiver
    /// that lags loses wake-ups, never entries.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<u64> {
        self.shared.subscribe()
    }

    /// The last journal position known here.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.shared.position()
    }

    /// Which engine holds the state.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.config.engine
    }

    /// Stores what was queued before, then lets go of the database. Later commits are refused.
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.queue.send(Order::Close { reply }).await.is_ok() {
            // An error means that the writer is gone already.
            let _gone = closed.await;
        }
        self.shared.readers().close().await;
    }

    pub(crate) fn readers(&self) -> Arc<Readers> {
        self.shared.readers()
    }
}
