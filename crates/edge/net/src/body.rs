//! Bodies with bounds: the request's in size and time, the response's so that its end is noticed.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::activity::Activity;
use crate::limits::Limits;
use crate::stats::Cut;

/// Why a request body ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the request body is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the request body came too slowly")]
    TooSlow,
    #[error("the connection failed in the middle of the request body")]
    Broken(#[from] hyper::Error),
}

/// Why a handler did not get a request body whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// It is larger than its handler, or its listener, takes.
    TooLarge,
    /// It came too slowly, or its connection failed.
    Broken,
}

/// Reads a request body of at most `limit` bytes, for handlers that have something to say about one
/// that is larger. A body that announces more than the listener takes is not read at all.
///
/// # Errors
/// [`Unread`].
pub async fn read_body(body: axum::body::Body, limit: usize) -> Result<Bytes, Unread> {
    axum::body::to_bytes(body, limit).await.map_err(|error| {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
        while let Some(error) = cause {
            if error.is::<http_body_util::LengthLimitError>()
                || matches!(error.downcast_ref(), Some(BodyError::TooLarge(_)))
            {
                return Unread::TooLarge;
            }
            cause = error.source();
        }
        Unread::Broken
    })
}

/// A request body that stops at the size and time limits, and says so in the [`Activity`].
pub(crate) struct BoundedBody {
    body: hyper::body::Incoming,
    left: usize,
    /// Everything of it was read.
    ended: bool,
    /// Its head announced more than fits: not a byte of it is read.
    oversized: bool,
    limits: Arc<Limits>,
    activity: Arc<Activity>,
    deadline: Instant,
    /// Runs while the handler waits for bytes.
    timer: Option<Pin<Box<Sleep>>>,
}

impl BoundedBody {
    pub(crate) fn new(
        body: hyper::body::Incoming,
        limits: Arc<Limits>,
        activity: Arc<Activity>,
    ) -> Self {
        let (left, deadline) = (limits.body_bytes, Instant::now() + limits.body);
        let announced = body.size_hint().lower();
        Self {
            ended: body.is_end_stream(),
            body,
            left,
            oversized: usize::try_from(announced).map_or(true, |announced| announced > left),
            limits,
            activity,
            deadline,
            timer: None,
        }
    }

    fn too_large(&self) -> BodyError {
        self.activity.spoiled_by(Cut::OversizedBody);
        BodyError::TooLarge(self.limits.body_bytes)
    }
}

impl Body for BoundedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if this.oversized {
            return Poll::Ready(Some(Err(this.too_large())));
        }
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            let (idle, deadline) = (this.limits.body_idle, this.deadline);
            let timer = this
                .timer
                .get_or_insert_with(|| Box::pin(sleep_until(deadline.min(Instant::now() + idle))));
            ready!(timer.as_mut().poll(cx));
            this.activity.spoiled_by(Cut::SlowBody);
            return Poll::Ready(Some(Err(BodyError::TooSlow)));
        };
        this.timer = None;
        let frame = match frame {
            None => {
                this.ended = true;
                return Poll::Ready(None);
            }
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            Some(Ok(frame)) => frame,
        };
        let size = frame.data_ref().map_or(0, Bytes::len);
        match this.left.checked_sub(size) {
            Some(left) => {
                this.left = left;
                Poll::Ready(Some(Ok(frame)))
            }
            None => Poll::Ready(Some(Err(this.too_large()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for BoundedBody {
    fn drop(&mut self) {
        if !self.ended && !self.body.is_end_stream() {
            self.activity.left_unread();
        }
    }
}

/// A response body that holds something until it is sent or dropped.
pub(crate) struct HoldingBody<T> {
    body: axum::body::Body,
    _held: T,
}

impl<T> HoldingBody<T> {
    pub(crate) fn new(body: axum::body::Body, held: T) -> Self {
        Self { body, _held: held }
    }
}

impl<T: Unpin> Body for HoldingBody<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
