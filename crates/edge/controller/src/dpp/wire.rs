//! Frames over one TCP connection: four bytes of length, big-endian, then the frame.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use vouchsafe_dpp::tcp::{self, Reader, SESSION_SECONDS};

use super::places::Cut;

/// From the connection to the end of its first frame: access points connect when they have one.
const FIRST_FRAME: Duration = Duration::from_secs(5);

/// From the first frame to the last: relays give up by then.
const SESSION: Duration = Duration::from_secs(SESSION_SECONDS);

/// A session whose device was told to wait ends all the same.
const LONGEST_SESSION: Duration = Duration::from_secs(300);

/// Bytes that are read at once: more than any frame has but one with certificates. The room for them is
/// there while they are read, not while they are waited for.
const READ: usize = 2048;

/// Why there is no further frame.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    /// Between two frames.
    #[error("the connection was closed")]
    Closed,
    /// In the middle of a frame.
    #[error("the connection was closed in the middle of a frame")]
    Truncated,
    /// No frame is as long, or none as short.
    #[error("bad length: {0}")]
    Length(vouchsafe_dpp::Error),
    /// A peer that is slow, or silent.
    #[error("the time for a session was over")]
    TimedOut,
    /// Others had more to show when places ran out.
    #[error("the session had to make room")]
    MadeRoom,
    /// The system said no.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Ended {
    /// Stable name, for counters.
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Truncated => "truncated",
            Self::Length(_) => "bad-length",
            Self::TimedOut => "timed-out",
            Self::MadeRoom => "made-room",
            Self::Io(_) => "io",
        }
    }
}

/// One connection with its time limits.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    /// What came and was not asked for yet.
    frames: Reader,
    /// None for a connection that we opened.
    cut: Option<Cut>,
    begun: Instant,
    deadline: Instant,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, cut: Option<Cut>) -> Self {
        // The frames are small, and each waits for an answer.
        let _ = stream.set_nodelay(true);
        let begun = Instant::now();
        Self {
            stream,
            frames: Reader::new(),
            cut,
            begun,
            deadline: begun + FIRST_FRAME,
        }
    }

    /// The first frame came: from now on the session's time counts.
    pub(super) fn begin_session(&mut self) {
        self.deadline = self.begun + SESSION;
    }

    /// The device was told to come back after `delay`, or a person must do something: the session
    /// may last that much longer, within bounds.
    pub(super) fn allow(&mut self, delay: Duration) {
        let longest = self.begun + LONGEST_SESSION;
        self.deadline = (Instant::now() + delay + SESSION).min(longest);
    }

    /// The next frame.
    ///
    /// # Errors
    /// [`Ended`].
    pub(super) async fn receive(&mut self) -> Result<Vec<u8>, Ended> {
        let reading = read_frame(&mut self.stream, &mut self.frames);
        tokio::select! {
            biased;
            () = made_room(&mut self.cut) => Err(Ended::MadeRoom),
            read = timeout_at(self.deadline, reading) => read.map_err(|_| Ended::TimedOut)?,
        }
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// [`Ended`].
    pub(super) async fn send(&mut self, frame: &[u8]) -> Result<(), Ended> {
        let bytes = tcp::encode(frame).map_err(Ended::Length)?;
        let writing = self.stream.write_all(&bytes);
        tokio::select! {
            biased;
            () = made_room(&mut self.cut) => Err(Ended::MadeRoom),
            written = timeout_at(self.deadline, writing) => {
                Ok(written.map_err(|_| Ended::TimedOut)??)
            }
        }
    }
}

/// Ready when the session has to make room.
async fn made_room(cut: &mut Option<Cut>) {
    match cut {
        // A word or the end of the channel: both mean it.
        Some(cut) => drop(cut.await),
        None => std::future::pending().await,
    }
}

/// Whoever announces much and sends nothing costs little: room is made for what has come.
async fn read_frame(stream: &mut TcpStream, frames: &mut Reader) -> Result<Vec<u8>, Ended> {
    loop {
        if let Some(frame) = frames.next_frame().map_err(Ended::Length)? {
            return Ok(frame);
        }
        if read_some(stream, frames).await? == 0 {
            return Err(match frames.is_empty() {
                true => Ended::Closed,
                false => Ended::Truncated,
            });
        }
    }
}

/// Takes what has come, and says how many bytes that is: none at the end.
async fn read_some(stream: &mut TcpStream, frames: &mut Reader) -> std::io::Result<usize> {
    poll_fn(|context| {
        let mut bytes = [0; READ];
        let mut bytes = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut *stream).poll_read(context, &mut bytes))?;
        frames.push(bytes.filled());
        Poll::Ready(Ok(bytes.filled().len()))
    })
    .await
}
