//! The connections that read.
//!
//! 1. A read waits for its turn: there are as many turns as connections.
//! 2. It takes a connection that is there, or makes one.
//! 3. It gives the connection back as it is. A connection whose query failed, or whose reader
//!    went away meanwhile, is let go.
//!
//! Not sqlx's pool: that asks each connection that comes back whether it is alive, and on SQLite
//! the question costs as much as the read.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::any::{AnyConnectOptions, AnyRow};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Error};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::config::{Engine, StoreConfig};
use crate::connect;
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
    options: AnyConnectOptions,
    most: u32,
    turns: Semaphore,
    idle: Mutex<Vec<Idle>>,
    closed: AtomicBool,
}

#[derive(Debug)]
struct Idle {
    connection: AnyConnection,
    since: Instant,
}

/// A connection and the turn to use it. Dropped, it lets the connection go.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    // Before the turn, so that there are never more connections than turns.
    pub(crate) connection: AnyConnection,
    turn: SemaphorePermit<'a>,
}

impl Readers {
    /// None of them is connected yet.
    pub(crate) fn new(config: &StoreConfig) -> Result<Self, Error> {
        let most = config.readers.max(1);
        Ok(Self {
            config: config.clone(),
            options: connect::options(config)?,
            most,
            turns: Semaphore::new(usize::try_from(most).unwrap_or(1)),
            idle: Mutex::new(Vec::new()),
            closed: AtomicBool::new(false),
        })
    }

    /// As [`statement::fetch_optional`].
    pub(crate) async fn fetch_optional(
        &self,
        sql: &'static str,
        values: Values,
    ) -> Result<Option<AnyRow>, Error> {
        let mut reader = self.take().await?;
        let row = statement::fetch_optional(&mut reader.connection, sql, values).await?;
        self.give_back(reader);
        Ok(row)
    }

    /// As [`statement::fetch_all`].
    pub(crate) async fn fetch_all(
        &self,
        sql: &'static str,
        values: Values,
    ) -> Result<Vec<AnyRow>, Error> {
        let mut reader = self.take().await?;
        let rows = statement::fetch_all(&mut reader.connection, sql, values).await?;
        self.give_back(reader);
        Ok(rows)
    }

    /// As [`statement::fetch_all_text`].
    pub(crate) async fn fetch_all_text(
        &self,
        sql: AssertSqlSafe<String>,
        values: Values,
    ) -> Result<Vec<AnyRow>, Error> {
        let mut reader = self.take().await?;
        let rows = statement::fetch_all_text(&mut reader.connection, sql, values).await?;
        self.give_back(reader);
        Ok(rows)
    }

    /// A connection for something else than a query; it does not come back.
    ///
    /// # Errors
    /// [`Error::PoolTimedOut`] when patience ends first, [`Error::PoolClosed`] after
    /// [`Readers::close`], and what the engine says when it refuses.
    pub(crate) async fn take(&self) -> Result<Reader<'_>, Error> {
        let taking = async {
            let turn = self.turns.acquire().await.map_err(|_| Error::PoolClosed)?;
            if self.is_closed() {
                return Err(Error::PoolClosed);
            }
            let connection = match self.still_alive().await {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            Ok(Reader { connection, turn })
        };
        match tokio::time::timeout(self.config.patience, taking).await {
            Ok(taken) => taken,
            Err(_) => Err(Error::PoolTimedOut),
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
            connect::close(connection, &self.config).await;
        }
    }

    /// The connection that was used last, of those that are alive.
    async fn still_alive(&self) -> Option<AnyConnection> {
        loop {
            let next = self.idle().pop();
            let Idle {
                mut connection,
                since,
            } = next?;
            // SQLite's connection is in this process: nobody breaks it meanwhile.
            if self.config.engine == Engine::Sqlite
                || since.elapsed() < TRUSTED_IDLE
                || connection.ping().await.is_ok()
            {
                return Some(connection);
            }
        }
    }

    fn give_back(&self, reader: Reader<'_>) {
        let Reader { connection, turn } = reader;
        self.idle().push(Idle {
            connection,
            since: Instant::now(),
        });
        // Whose turn comes next finds the connection.
        drop(turn);
    }

    /// Waits for a server that is starting up; other refusals are final.
    async fn connect(&self) -> Result<AnyConnection, Error> {
        let mut pause = FIRST_PAUSE;
        loop {
            match connect::reader(&self.options, &self.config).await {
                Err(Error::Io(error)) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(Error::Database(error)) if error.is_transient_in_connect_phase() => {}
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
        let readers = Readers::new(&config).unwrap();
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
        readers.fetch_all(ONE, Values::new()).await.unwrap();
        assert_eq!(readers.turns.available_permits(), 2);
    }

    #[tokio::test]
    async fn who_gets_no_turn_in_time_is_told() {
        let (_folder, readers) = two_readers().await;
        let _one = readers.take().await.unwrap();
        let other = readers.take().await.unwrap();
        let late = readers.take().await;
        assert!(matches!(late, Err(Error::PoolTimedOut)), "{late:?}");
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
        assert!(matches!(refused.await, Err(Error::PoolClosed)));
    }
}
