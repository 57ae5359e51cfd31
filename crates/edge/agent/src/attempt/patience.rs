//! "Not yet": 202 with Retry-After (RFC 8995 §5.6, RFC 7030 §4.2.3).
//!
//! Up to [`IN_PLACE`] the device waits on the connection and sends the same request again, the time that the
//! answers take included. Beyond it, or when it is told to wait longer than that, it leaves, tries others,
//! and comes back.

use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::SignedDuration;

use crate::device::Device;
use crate::error::Failure;
use crate::event::Event;
use crate::session::{Reply, Session};

/// RFC 8995 §5.6: one who asks for more than 60 s must not keep the device from others.
pub(crate) const IN_PLACE: Duration = Duration::from_secs(60);

/// RFC 8995 §5.6: the device remembers what it asked for up to four days.
pub(crate) const GIVE_UP: SignedDuration = SignedDuration::from_hours(4 * 24);

/// Where a 202 says nothing.
const UNSAID: Duration = Duration::from_secs(60);

/// The most requests sent in one place, for those who say 0 s.
const MAX_REPEATS: usize = 120;

/// A request that can be sent again to the letter.
#[derive(Debug, Clone)]
pub(crate) struct Ask<'a> {
    pub(crate) path: &'a str,
    pub(crate) content_type: &'a str,
    pub(crate) accept: &'a str,
    pub(crate) body: Bytes,
}

/// The first answer that is not "not yet".
pub(crate) async fn answer(
    device: &Device,
    session: &mut Session,
    ask: &Ask<'_>,
) -> Result<Reply, Failure> {
    let begun = Instant::now();
    for _ in 0..MAX_REPEATS {
        let reply = once(device, session, ask).await?;
        let retry_after = match reply {
            Ok(reply) => return Ok(reply),
            Err(retry_after) => retry_after,
        };
        if !has_time(begun.elapsed(), retry_after) {
            return Err(Failure::NotYet { retry_after });
        }
        tokio::time::sleep(retry_after).await;
    }
    Err(Failure::NotYet {
        retry_after: UNSAID,
    })
}

/// Whether the device waits in place: whoever answers slowly and asks for no time keeps it from others as well.
fn has_time(passed: Duration, retry_after: Duration) -> bool {
    passed.saturating_add(retry_after) <= IN_PLACE
}

/// One answer: a final one, or how long to wait.
pub(crate) async fn once(
    device: &Device,
    session: &mut Session,
    ask: &Ask<'_>,
) -> Result<Result<Reply, Duration>, Failure> {
    let reply = session
        .post(ask.path, ask.content_type, ask.accept, ask.body.clone())
        .await?;
    match reply.status {
        202 => {
            let retry_after = reply.retry_after.unwrap_or(UNSAID);
            device.tell(Event::Waiting {
                registrar: session.origin().to_string(),
                retry_after: retry_after.as_secs(),
                said: reply.said(),
            });
            Ok(Err(retry_after))
        }
        // The registrar is in trouble, not against us.
        429 | 503 => Err(Failure::NotYet {
            retry_after: reply.retry_after.unwrap_or(UNSAID),
        }),
        _ => Ok(Ok(reply)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8995 §5.6
    #[test]
    fn slow_answers_count_as_much_as_what_they_ask_for() {
        let seconds = Duration::from_secs;
        assert!(has_time(seconds(0), seconds(60)) && has_time(seconds(59), seconds(0)));
        assert!(!has_time(seconds(61), seconds(0)), "it asks for no time");
        assert!(!has_time(seconds(30), seconds(31)));
        assert!(!has_time(seconds(0), seconds(61)) && !has_time(seconds(1), Duration::MAX));
    }
}
