//! The connections that read.
//!
//! 1. A read waits for its turn: there are as many turns as connections.
//! 2. It takes a connection that is there, or makes one.
//! 3. It gives the connection back as it is. A connection whose query failed, or whose reader
//!    went away meanwhile, is let go.
//!
//! On SQLite a look-up is done in place: it takes less time than to hand it to another thread. Lists
//! are read on a thread that may block.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::StoreConfig;
use crate::connect::{Connection, Role};
use crate::error::{EngineError, Reason};
use crate::row::Row;
use crate::statement::{self, Values};

/// A server's connection that was used within this time is taken as it is. One that was idle for
/// longer may have been broken with all the others, and then each would cost a request.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);
/// How long to wait before asking a server again that is starting up.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The pauses double up to this.
const LONGEST_PAUSE: Duration = Duration::from_millis(640);

/// Connections for reading, made when needed: an absent engine shows at the first read.
#[derive(Debug)]
pub(crate) struct Readers {
    config: StoreConfig,
    most: u32,
    turns: Arc<Semaphore>,
    idle: Mutex<Vec<Idle>>,
    closed: AtomicBool,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

/// A connection and the turn to use it. Dropped, it lets the connection go.
#[derive(Debug)]
pub(crate) struct Reader {
    // Before the turn, so that there are never more connections than turns.
    connection: Connection,
    turn: OwnedSemaphorePermit,
}

impl Reader {
    /// Runs statements that may take long, and lets the connection go.
    pub(crate) async fn execute_last(self, sql: String) -> Result<(), EngineError> {
        let Self { connection, turn } = self;
        match connection {
            Connection::Sqlite(engine) => {
                let work = move || {
                    let _until_done = turn;
                    engine.execute(&sql)
                };
                off_the_reactor(work).await
            }
            Connection::Postgres(mut engine) => engine.execute(&sql).await,
        }
    }

    async fn fetch_all(self, sql: &str, values: Values) -> Result<(Self, Vec<Row>), EngineError> {
        let Self { connection, turn } = self;
        match connection {
            Connection::Sqlite(mut engine) => {
                let sql = sql.to_owned();
                let work = move || {
                    let rows = engine.fetch_all(&sql, values)?;
                    let connection = Connection::Sqlite(engine);
                    Ok((Self { connection, turn }, rows))
                };
                off_the_reactor(work).await
            }
            Connection::Postgres(mut engine) => {
                let rows = engine.fetch_all(sql, values).await?;
                let connection = Connection::Postgres(engine);
                Ok((Self { connection, turn }, rows))
            }
        }
    }
}

async fn off_the_reactor<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, EngineError> + Send + 'static,
) -> Result<T, EngineError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(EngineError::new(Reason::Unavailable, error.to_string())))
}

impl Readers {
    /// None of them is connected yet.
    pub(crate) fn new(config: &StoreConfig) -> Self {
        let most = config.readers.max(1);
        Self {
            config: config.clone(),
            most,
            turns: Arc::new(Semaphore::new(usize::try_from(most).unwrap_or(1))),
            idle: Mutex::new(Vec::new()),
            closed: AtomicBool::new(false),
        }
    }

    /// As [`statement::fetch_optional`].
    pub(crate) async fn fetch_optional(
        &self,
        sql: &str,
        values: Values,
    ) -> Result<Option<Row>, EngineError> {
        Ok(self.fetch_few(sql, values).await?.pop())
    }

    /// As [`statement::fetch_all`], for what is found by a key and is a handful.
    pub(crate) async fn fetch_few(
        &self,
        sql: &str,
        values: Values,
    ) -> Result<Vec<Row>, EngineError> {
        let mut reader = self.take().await?;
        let rows = statement::fetch_all(&mut reader.connection, sql, values).await?;
        self.give_back(reader);
        Ok(rows)
    }

    /// As [`statement::fetch_all`].
    pub(crate) async fn fetch_all(
        &self,
        sql: &str,
        values: Values,
    ) -> Result<Vec<Row>, EngineError> {
        let reader = self.take().await?;
        let (reader, rows) = reader.fetch_all(sql, values).await?;
        self.give_back(reader);
        Ok(rows)
    }

    /// A connection for something else than a query; it does not come back.
    ///
    /// # Errors
    /// When patience ends first, after [`Readers::close`], and what the engine says when it refuses.
    pub(crate) async fn take(&self) -> Result<Reader, EngineError> {
        let taking = async {
            let turns = Arc::clone(&self.turns);
            let turn = turns
                .acquire_owned()
                .await
                .map_err(|_| EngineError::closed())?;
            if self.is_closed() {
                return Err(EngineError::closed());
            }
            let connection = match self.still_alive().await {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            Ok(Reader { connection, turn })
        };
        match tokio::time::timeout(self.config.patience, taking).await {
            Ok(taken) => taken,
            Err(_) => Err(EngineError::timed_out()),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Refuses further reads, waits for those under way, and lets go of the engine.
    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        // Fails only when the turns were closed, which nobody does.
        let _all = self.turns.acquire_many(self.most).await;
        let idle = std::mem::take(&mut *self.idle());
        for Idle { connection, .. } in idle {
            connection.close(&self.config).await;
        }
    }

    /// The connection that was used last, of those that are alive.
    async fn still_alive(&self) -> Option<Connection> {
        loop {
            let next = self.idle().pop();
            let Idle {
                mut connection,
                since,
            } = next?;
            if since.elapsed() < TRUSTED_IDLE || connection.is_alive().await {
                return Some(connection);
            }
        }
    }

    fn give_back(&self, reader: Reader) {
        let Reader { connection, turn } = reader;
        self.idle().push(Idle {
            connection,
            since: Instant::now(),
        });
        // Whose turn comes next finds the connection.
        drop(turn);
    }

    /// Waits for a server that is starting up; other refusals are final.
    async fn connect(&self) -> Result<Connection, EngineError> {
        let mut pause = FIRST_PAUSE;
        loop {
            match Connection::open(&self.config, Role::Reader).await {
                Err(error) if error.reason == Reason::Starting => {}
                connected => return connected,
            }
            tokio::time::sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::task::Poll;

    use super::*;

    const ONE: &str = "SELECT 1 AS one";

    /// Where a future stands after one step.
    async fn polled<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
        poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context))).await
    }

    async fn two_readers() -> (tempfile::TempDir, Readers) {
        let folder = tempfile::tempdir().unwrap();
        let mut config = StoreConfig::sqlite(&folder.path().join("state.db"));
        config.readers = 2;
        config.patience = Duration::from_millis(100);
        crate::Store::open(config.clone())
            .await
            .unwrap()
            .close()
            .await;
        let readers = Readers::new(&config);
        (folder, readers)
    }

    #[tokio::test]
    async fn a_connection_is_used_again() {
        let (_folder, readers) = two_readers().await;
        assert_eq!(readers.idle().len(), 0);
        for _ in 0..3 {
            let row = readers.fetch_optional(ONE, Values::new()).await.unwrap();
            assert!(row.is_some());
            assert_eq!(readers.idle().len(), 1);
        }
    }

    #[tokio::test]
    async fn a_connection_whose_query_failed_is_let_go() {
        let (_folder, readers) = two_readers().await;
        readers.fetch_all(ONE, Values::new()).await.unwrap();
        let wrong = readers.fetch_all("SELECT * FROM nowhere", Values::new());
        assert!(wrong.await.is_err());
        assert_eq!(readers.idle().len(), 0);
        readers.fetch_all(ONE, Values::new()).await.unwrap();
    }

    #[tokio::test]
    async fn a_connection_whose_reader_went_away_is_let_go() {
        let (_folder, readers) = two_readers().await;
        readers.fetch_all(ONE, Values::new()).await.unwrap();
        for _ in 0..3 {
            let mut reading = Box::pin(readers.fetch_all(ONE, Values::new()));
            let finished = polled(&mut reading).await.is_ready();
            drop(reading);
            assert_eq!(readers.idle().len(), usize::from(finished));
        }
        // Their turns come back when the reads that nobody waits for are done.
        let _all = readers.turns.acquire_many(2).await.unwrap();
    }

    #[tokio::test]
    async fn who_gets_no_turn_in_time_is_told() {
        let (_folder, readers) = two_readers().await;
        let _one = readers.take().await.unwrap();
        let other = readers.take().await.unwrap();
        let late = readers.take().await;
        let reason = late.unwrap_err().reason;
        assert_eq!(reason, Reason::TimedOut);
        readers.give_back(other);
        readers.fetch_all(ONE, Values::new()).await.unwrap();
    }

    #[tokio::test]
    async fn closing_waits_for_reads_under_way_and_refuses_others() {
        let (_folder, readers) = two_readers().await;
        let reader = readers.take().await.unwrap();
        let mut closing = Box::pin(readers.close());
        assert!(polled(&mut closing).await.is_pending());
        let refused = readers.fetch_all(ONE, Values::new());
        let mut refused = Box::pin(refused);
        assert!(polled(&mut refused).await.is_pending(), "it stands in line");
        readers.give_back(reader);
        closing.await;
        assert!(readers.idle().is_empty());
        assert_eq!(refused.await.unwrap_err().reason, Reason::Closed);
    }
}
