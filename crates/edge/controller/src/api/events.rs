//! The event stream: journal entries as they are committed (server-sent events).
//!
//! 1. A stream begins behind `Last-Event-ID`, else behind `since`, else at the beginning.
//! 2. It reads the journal itself; a wake-up only says that there is more. So a slow reader loses
//!    nothing and holds nothing up, and nothing is sent twice on one stream.
//! 3. It ends when its token does, when the controller stops, or when the reader goes away.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::Stream;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, broadcast, watch};
use tokio::time::Instant;
use vouchsafe_api::{Code, Problem};
use vouchsafe_fleet::Token;
use vouchsafe_store::Positioned;

use super::Caller;
use super::journal;
use super::problem::{Failure, bad_request};
use super::request::Asked;
use crate::controller::Controller;

/// Streams at the same time.
pub(crate) const MAX_STREAMS: usize = 256;

/// Entries read at once.
const PAGE: u32 = 100;

/// How often a quiet stream says that it lives, and looks whether its token does.
const PULSE: Duration = Duration::from_secs(15);

#[derive(Debug, Deserialize)]
pub(super) struct StreamQuery {
    #[serde(default)]
    since: Option<i64>,
}

pub(super) async fn stream_events(
    State(controller): State<Controller>,
    Extension(caller): Extension<Caller>,
    Asked(query): Asked<StreamQuery>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failure> {
    // Before the position is read, so that nothing falls between.
    let wake = controller.store.subscribe();
    let position = match headers.get("last-event-id") {
        Some(id) => id
            .to_str()
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| bad_request("`Last-Event-ID` is not an id of this stream"))?,
        None => journal::position(query.since)?,
    };
    let permit = Arc::clone(&controller.streams)
        .try_acquire_owned()
        .map_err(|_| {
            Problem::new(Code::TooManyRequests, "there are too many event streams").retry_after(30)
        })?;
    let reader = Reader {
        stopping: controller.stopping.subscribe(),
        controller,
        token: caller.token,
        wake,
        position,
        read: VecDeque::new(),
        checked: Instant::now(),
        _permit: permit,
    };
    let stream = futures_util::stream::unfold(reader, |mut reader| async move {
        let event = reader.next().await?;
        Some((Ok(event), reader))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(PULSE)))
}

struct Reader {
    controller: Controller,
    token: Token,
    wake: broadcast::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    /// What was sent last.
    position: u64,
    /// Read and not yet sent.
    read: VecDeque<Positioned>,
    /// When the token was looked at last.
    checked: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Reader {
    /// The next entry; none when the stream ends.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(entry) = self.read.pop_front() {
                self.position = entry.position;
                return Event::default()
                    .id(entry.position.to_string())
                    .event("journal")
                    .json_data(journal::shown(&entry))
                    .ok();
            }
            if self.checked.elapsed() >= PULSE {
                self.check().await?;
            }
            let store = &self.controller.store;
            match store.journal_since(self.position, PAGE).await {
                Ok(entries) if entries.is_empty() => self.wait().await?,
                Ok(entries) => self.read.extend(entries),
                Err(error) => {
                    // The reader comes back with its Last-Event-ID.
                    tracing::warn!(%error, "an event stream ends");
                    return None;
                }
            }
        }
    }

    /// Waits for news, or until it is time to look at the token; none when the stream ends.
    async fn wait(&mut self) -> Option<()> {
        tokio::select! {
            _ = self.stopping.wait_for(|stop| *stop) => None,
            woken = self.wake.recv() => match woken {
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => Some(()),
                Err(broadcast::error::RecvError::Closed) => None,
            },
            () = tokio::time::sleep(PULSE) => Some(()),
        }
    }

    /// None when the token has ended.
    async fn check(&mut self) -> Option<()> {
        self.checked = Instant::now();
        let token = self.controller.store.token(self.token.id).await.ok()??;
        token.is_valid(self.controller.clock.now()).then_some(())
    }
}
