//! The one task that writes: group commit.
//!
//! 1. Callers queue their commits; the queue is bounded, so a slow disk slows them down.
//! 2. The task takes whatever waits, applies it in one transaction, and makes it durable with one
//!    `COMMIT`. While that happens the next batch gathers; there is no timer.
//! 3. Only then is each caller answered. A lost race fails the one commit; a failing engine fails
//!    the batch, nothing of which is kept, and the next batch begins with a new connection.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use vouchsafe_fleet::Commit;

use crate::Committed;
use crate::batch::Batch;
use crate::config::{Engine, StoreConfig};
use crate::connect::{Connection, FileLock, Role};
use crate::error::{CommitError, EngineError, Failure, Reason};
use crate::journal::StoredCheckpoint;
use crate::row::{millis, stored_count};
use crate::shared::Shared;
use crate::statement::{Inserts, Values, run};
use crate::stop::Stop;

/// Most commits of one transaction.
const MOST_COMMITS: usize = 256;
/// A transaction takes no further commit when it holds this many rows and entries.
const MOST_ROWS: usize = 16 * 1024;
/// How often a batch is repeated when another replica was in its way.
const RETRIES: usize = 5;

/// What the writer is asked to do.
pub(crate) enum Order {
    Commit {
        commit: Arc<Commit>,
        reply: oneshot::Sender<Result<Committed, CommitError>>,
    },
    Checkpoint {
        checkpoint: StoredCheckpoint,
        reply: oneshot::Sender<Result<(), CommitError>>,
    },
    /// Finish what was queued before, close the connection, let go of the file.
    Close { reply: oneshot::Sender<()> },
}

struct Waiting {
    commit: Arc<Commit>,
    reply: oneshot::Sender<Result<Committed, CommitError>>,
}

pub(crate) struct Writer {
    pub(crate) config: StoreConfig,
    pub(crate) shared: Arc<Shared>,
    pub(crate) connection: Option<Connection>,
    pub(crate) inserts: Inserts,
    /// Held as long as somebody may write.
    pub(crate) lock: Option<FileLock>,
}

/// Why a transaction was not committed.
enum Interrupted {
    /// A commit failed after it had written: again, with a savepoint before each commit.
    Careful,
    Failed(Failure),
}

type Answers = Vec<Result<Committed, CommitError>>;

impl Writer {
    /// As [`Writer::run`], on a thread of its own: a statement of SQLite is a call that blocks.
    pub(crate) fn run_on_a_thread(self, queue: mpsc::Receiver<Order>) -> Result<(), EngineError> {
        let runtime = tokio::runtime::Handle::current();
        std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || runtime.block_on(self.run(queue)))
            .map(|_runs_until_the_queue_is_closed| ())
            .map_err(|error| EngineError::new(Reason::Unavailable, error.to_string()))
    }

    /// Serves the queue until it is closed.
    pub(crate) async fn run(mut self, mut queue: mpsc::Receiver<Order>) {
        let mut orders = Vec::with_capacity(MOST_COMMITS);
        while let Some(first) = queue.recv().await {
            orders.push(first);
            self.let_others_queue(&queue);
            while orders.len() < MOST_COMMITS
                && let Ok(next) = queue.try_recv()
            {
                orders.push(next);
            }
            metrics::gauge!("vouchsafe_store_queue").set(queue.len() as f64);
            let mut waiting = Vec::with_capacity(orders.len());
            let mut rows = 0;
            for order in orders.drain(..) {
                match order {
                    Order::Commit { commit, reply } => {
                        rows += rows_of(&commit);
                        waiting.push(Waiting { commit, reply });
                        if rows >= MOST_ROWS {
                            rows = 0;
                            self.serve(std::mem::take(&mut waiting)).await;
                        }
                    }
                    Order::Checkpoint { checkpoint, reply } => {
                        self.serve(std::mem::take(&mut waiting)).await;
                        let _gone = reply.send(self.keep(&checkpoint).await);
                    }
                    Order::Close { reply } => {
                        queue.close();
                        self.serve(std::mem::take(&mut waiting)).await;
                        self.close().await;
                        // The caller may have given up waiting.
                        let _gone = reply.send(());
                        return;
                    }
                }
            }
            self.serve(waiting).await;
        }
        self.close().await;
    }

    /// Steps aside as long as that brings further commits. On an idle machine it costs nothing; on
    /// a busy one whoever is about to commit does so first, and one `fsync` serves more of them.
    fn let_others_queue(&self, queue: &mpsc::Receiver<Order>) {
        if self.config.engine != Engine::Sqlite {
            // There the thread is not ours, and batches gather on the way to the server and back.
            return;
        }
        let mut waiting = None;
        while waiting != Some(queue.len()) && queue.len() < MOST_COMMITS {
            waiting = Some(queue.len());
            std::thread::yield_now();
        }
    }

    async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close(&self.config).await;
        }
        self.lock = None;
    }

    async fn keep(&mut self, checkpoint: &StoredCheckpoint) -> Result<(), CommitError> {
        const SQL: &str = "INSERT INTO checkpoint (position, at, document) VALUES (?1, ?2, ?3) \
             ON CONFLICT (position) DO UPDATE SET at = excluded.at, document = excluded.document";
        let values = Values::new()
            .number(stored_count(checkpoint.position))
            .number(millis(checkpoint.at))
            .text(checkpoint.document.as_str());
        let kept = match self.usable_connection().await {
            Ok(mut connection) => match run(&mut connection, SQL, values).await {
                Ok(_) => {
                    self.connection = Some(connection);
                    return Ok(());
                }
                Err(error) => error.into(),
            },
            Err(Interrupted::Failed(failure)) => failure,
            Err(Interrupted::Careful) => Failure::Unavailable("interrupted".to_owned()),
        };
        Err(error_of(kept))
    }

    /// Applies a batch and answers everybody in it.
    async fn serve(&mut self, batch: Vec<Waiting>) {
        if batch.is_empty() {
            return;
        }
        metrics::counter!("vouchsafe_store_batches_total").increment(1);
        metrics::counter!("vouchsafe_store_commits_total").increment(batch.len() as u64);
        let answers = self.settle(&batch).await;
        for (waiting, answer) in batch.into_iter().zip(answers) {
            // A caller that went away does not undo what is durable.
            let _gone = waiting.reply.send(answer);
        }
    }

    async fn settle(&mut self, batch: &[Waiting]) -> Answers {
        let mut careful = false;
        let mut retries = 0;
        loop {
            let failure = match self.attempt(batch, careful).await {
                Ok(answers) => return answers,
                Err(Interrupted::Careful) => {
                    careful = true;
                    continue;
                }
                Err(Interrupted::Failed(Failure::Retry(_))) if retries < RETRIES => {
                    retries += 1;
                    metrics::counter!("vouchsafe_store_retries_total").increment(1);
                    continue;
                }
                Err(Interrupted::Failed(failure)) => failure,
            };
            // Whatever state the engine is in, a new connection does not share it.
            if let Some(connection) = self.connection.take() {
                connection.close(&self.config).await;
            }
            metrics::counter!("vouchsafe_store_failures_total").increment(1);
            let error = error_of(failure);
            tracing::warn!(%error, commits = batch.len(), "a batch was not stored");
            return batch.iter().map(|_| Err(error.clone())).collect();
        }
    }

    /// One transaction. On any error nothing of it is kept.
    async fn attempt(&mut self, batch: &[Waiting], careful: bool) -> Result<Answers, Interrupted> {
        let mut connection = self.usable_connection().await?;
        let result = self.transact(&mut connection, batch, careful).await;
        self.connection = Some(connection);
        let (answers, last) = result?;
        if let Some(last) = last {
            self.shared.advance(last);
        }
        Ok(answers)
    }

    async fn transact(
        &mut self,
        connection: &mut Connection,
        batch: &[Waiting],
        careful: bool,
    ) -> Result<(Answers, Option<u64>), Interrupted> {
        let rows = batch.iter().map(|waiting| rows_of(&waiting.commit)).sum();
        connection.begin(rows).await.map_err(failed)?;
        let applied = self.apply_all(connection, batch, careful).await;
        let applied = match applied {
            Ok(applied) => self
                .file_is_ours()
                .map(|()| applied)
                .map_err(Interrupted::Failed),
            Err(interrupted) => Err(interrupted),
        };
        match applied {
            Ok(applied) => {
                connection.commit().await.map_err(failed)?;
                Ok(applied)
            }
            Err(interrupted) => {
                connection.roll_back().await.map_err(failed)?;
                Err(interrupted)
            }
        }
    }

    async fn apply_all(
        &mut self,
        transaction: &mut Connection,
        batch: &[Waiting],
        careful: bool,
    ) -> Result<(Answers, Option<u64>), Interrupted> {
        let mut answers: Vec<Option<Result<Committed, CommitError>>> =
            batch.iter().map(|_| None).collect();
        let mut work = Batch::new(transaction, &mut self.inserts, self.config.engine);
        work.lock_subjects(batch.iter().map(|waiting| waiting.commit.as_ref()))
            .await
            .map_err(stopped)?;
        for (number, (waiting, answer)) in batch.iter().zip(&mut answers).enumerate() {
            if careful {
                work.connection()
                    .execute("SAVEPOINT one_commit")
                    .await
                    .map_err(failed)?;
            }
            match work.apply(number, &waiting.commit).await {
                Ok(()) => {}
                Err(Stop::Engine(failure)) => return Err(Interrupted::Failed(failure)),
                Err(Stop::Refused { touched: true, .. }) if !careful => {
                    return Err(Interrupted::Careful);
                }
                Err(Stop::Refused { error, touched }) => {
                    if touched {
                        let undo = "ROLLBACK TO SAVEPOINT one_commit";
                        work.connection().execute(undo).await.map_err(failed)?;
                    }
                    *answer = Some(Err(error));
                }
            }
            if careful {
                work.connection()
                    .execute("RELEASE SAVEPOINT one_commit")
                    .await
                    .map_err(failed)?;
            }
        }
        let (committed, last) = work.finish().await.map_err(stopped)?;
        for (number, committed) in committed {
            if let Some(answer) = answers.get_mut(number) {
                *answer = Some(Ok(committed));
            }
        }
        let lost = || {
            Err(CommitError::Unavailable(
                "the commit was lost on its way".to_owned(),
            ))
        };
        Ok((
            answers
                .into_iter()
                .map(|answer| answer.unwrap_or_else(lost))
                .collect(),
            last,
        ))
    }

    /// The connection that is there, or a new one that leads to the same data as the old.
    async fn usable_connection(&mut self) -> Result<Connection, Interrupted> {
        if let Some(mut connection) = self.connection.take() {
            // A server may have gone away meanwhile. Nothing was sent yet, so nothing is lost by
            // asking.
            if connection.is_alive().await {
                return Ok(connection);
            }
        }
        let mut connection = Connection::open(&self.config, Role::Writer)
            .await
            .map_err(failed)?;
        self.shared.reopen(&self.config);
        let position = crate::journal::last_position(&mut connection)
            .await
            .map_err(failed)?;
        let known = self.shared.position();
        if position < known {
            let reason = format!(
                "the database ends at journal position {position}, but {known} was acknowledged"
            );
            return Err(Interrupted::Failed(Failure::Unavailable(reason)));
        }
        tracing::info!("connected to the database again");
        Ok(connection)
    }

    /// Writing to a file that was deleted or replaced under its name would be acknowledged and
    /// lost: the operating system keeps it only as long as it is open.
    fn file_is_ours(&self) -> Result<(), Failure> {
        match (&self.config.file, &self.lock) {
            (Some(file), Some(lock)) if !lock.is_of(file) => Err(Failure::Unavailable(format!(
                "{} was removed or replaced",
                file.display()
            ))),
            _ => Ok(()),
        }
    }
}

/// What a commit writes, journal entries included.
fn rows_of(commit: &Commit) -> usize {
    commit.changes.len() + commit.entries.len()
}

fn error_of(failure: Failure) -> CommitError {
    match failure {
        Failure::Full => CommitError::Full,
        Failure::Retry(reason) | Failure::Unavailable(reason) => CommitError::Unavailable(reason),
    }
}

fn failed(error: EngineError) -> Interrupted {
    Interrupted::Failed(error.into())
}

fn stopped(stop: Stop) -> Interrupted {
    match stop {
        Stop::Engine(failure) => Interrupted::Failed(failure),
        // Outside a single commit nothing can be refused but the batch.
        Stop::Refused { error, .. } => Interrupted::Failed(Failure::Unavailable(error.to_string())),
    }
}
