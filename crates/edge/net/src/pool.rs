//! Connections kept open per origin, for a registrar that asks the same MASA again and again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::client::{Connection, Connector};
use crate::error::ClientError;
use crate::origin::Origin;

/// Origins remembered at the same time; beyond it, those without traffic are forgotten.
const MAX_ORIGINS: usize = 256;

/// Bounds of a [`Pool`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// Requests at the same time to one origin, each on a connection of its own; more wait.
    pub connections_per_origin: usize,
    /// A connection unused for this long is not used again.
    pub idle: Duration,
}

impl Default for PoolLimits {
    /// 64 connections, 30 s idle (shorter than servers keep them).
    fn default() -> Self {
        Self {
            connections_per_origin: 64,
            idle: Duration::from_secs(30),
        }
    }
}

/// Keeps connections open and reuses them. Cheap to clone; clones share the connections.
#[derive(Clone, Debug)]
pub struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connector: Connector,
    limits: PoolLimits,
    origins: Mutex<BTreeMap<Origin, Arc<Line>>>,
}

/// The connections to one origin.
#[derive(Debug)]
struct Line {
    turns: Semaphore,
    /// The most recently used last.
    idle: Mutex<Vec<(Connection, Instant)>>,
}

impl Pool {
    /// Connections are made by `connector`.
    pub fn new(connector: Connector, limits: PoolLimits) -> Self {
        Self(Arc::new(Inner {
            connector,
            limits,
            origins: Mutex::default(),
        }))
    }

    /// Sends a request on an idle connection, or a new one.
    ///
    /// A kept connection may have been closed by the server just before: a request that got not a
    /// single byte back on one is sent once more, on a new connection.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn request(
        &self,
        origin: &Origin,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, ClientError> {
        let line = self.line(origin);
        let _turn = line
            .turns
            .acquire()
            .await
            .map_err(|_| ClientError::Closed { answered: false })?;
        if let Some(mut kept) = line.kept(self.0.limits.idle) {
            match kept.request(request.clone()).await {
                Err(ClientError::Closed { answered: false }) => {}
                result => {
                    line.keep(kept).await;
                    return result;
                }
            }
        }
        let mut fresh = self.0.connector.connect(origin).await?;
        let result = fresh.request(request).await;
        line.keep(fresh).await;
        result
    }

    /// Closes connections that have been idle for too long. Call it now and then.
    pub fn prune(&self) {
        let mut origins = self.origins();
        for line in origins.values() {
            line.prune(self.0.limits.idle);
        }
        origins.retain(|_, line| Arc::strong_count(line) > 1 || !line.is_empty());
    }

    /// Connections kept open and idle, over all origins.
    pub fn idle_connections(&self) -> usize {
        self.origins().values().map(|line| line.idle().len()).sum()
    }

    fn line(&self, origin: &Origin) -> Arc<Line> {
        let mut origins = self.origins();
        if origins.len() >= MAX_ORIGINS && !origins.contains_key(origin) {
            origins.retain(|_, line| Arc::strong_count(line) > 1);
        }
        let turns = self.0.limits.connections_per_origin.max(1);
        origins
            .entry(origin.clone())
            .or_insert_with(|| {
                Arc::new(Line {
                    turns: Semaphore::new(turns),
                    idle: Mutex::default(),
                })
            })
            .clone()
    }

    fn origins(&self) -> MutexGuard<'_, BTreeMap<Origin, Arc<Line>>> {
        self.0
            .origins
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// The connection used last, if it may still be open.
    fn kept(&self, limit: Duration) -> Option<Connection> {
        self.prune(limit);
        self.idle().pop().map(|(connection, _)| connection)
    }

    async fn keep(&self, mut connection: Connection) {
        if connection.settled().await {
            self.idle().push((connection, Instant::now()));
        }
    }

    fn prune(&self, limit: Duration) {
        self.idle()
            .retain(|(connection, since)| connection.is_open() && since.elapsed() < limit);
    }

    fn is_empty(&self) -> bool {
        self.idle().is_empty()
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Connection, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
