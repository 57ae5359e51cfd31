//! A stream that counts its bytes and knows since when it waits for its peer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Monotonic zero of the stored instants.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Bytes that crossed a connection, in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WireBytes {
    /// Bytes we sent.
    pub sent: u64,
    /// Bytes we received.
    pub received: u64,
}

/// What one stream did so far; shared with whoever watches it.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    sent: AtomicU64,
    received: AtomicU64,
    // Milliseconds after START plus one; zero while not waiting.
    reading_since: AtomicU64,
    writing_since: AtomicU64,
}

impl Meter {
    pub(crate) fn bytes(&self) -> WireBytes {
        WireBytes {
            sent: self.sent.load(Relaxed),
            received: self.received.load(Relaxed),
        }
    }

    pub(crate) fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// How long the peer has sent nothing while we wanted to read.
    pub(crate) fn waiting_to_read(&self) -> Option<Duration> {
        since(&self.reading_since).map(|since| since.elapsed())
    }

    /// Since when the peer takes nothing of what we want to write.
    pub(crate) fn blocked_since(&self) -> Option<Instant> {
        since(&self.writing_since)
    }
}

/// Wraps a stream and keeps its [`Meter`].
#[derive(Debug)]
pub(crate) struct Metered<S> {
    stream: S,
    meter: Arc<Meter>,
}

impl<S> Metered<S> {
    pub(crate) fn new(stream: S) -> (Self, Arc<Meter>) {
        let meter = Arc::new(Meter::default());
        (
            Self {
                stream,
                meter: meter.clone(),
            },
            meter,
        )
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        mark(&self.meter.reading_since, polled.is_pending());
        let result = ready!(polled);
        let count = buffer.filled().len().saturating_sub(before);
        self.meter.received.fetch_add(count as u64, Relaxed);
        Poll::Ready(result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.meter.wrote(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.meter.wrote(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        mark(&self.meter.writing_since, polled.is_pending());
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
        mark(&self.meter.writing_since, polled.is_pending());
        polled
    }
}

impl Meter {
    fn wrote(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        mark(&self.writing_since, polled.is_pending());
        if let Poll::Ready(Ok(count)) = &polled {
            self.sent.fetch_add(*count as u64, Relaxed);
        }
        polled
    }
}

fn mark(since: &AtomicU64, waiting: bool) {
    if !waiting {
        since.store(0, Relaxed);
    } else if since.load(Relaxed) == 0 {
        let now = u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX);
        since.store(now.saturating_add(1), Relaxed);
    }
}

fn since(stored: &AtomicU64) -> Option<Instant> {
    let stored = stored.load(Relaxed).checked_sub(1)?;
    START.checked_add(Duration::from_millis(stored))
}
