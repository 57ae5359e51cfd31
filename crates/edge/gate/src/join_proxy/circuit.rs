//! One circuit: octets both ways until somebody ends it or a bound is met.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep_until};

use super::circuits::{Activity, Bounds};

/// Octets that are on their way at a time, each way.
const BUFFER: usize = 16 * 1024;

/// How a circuit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Both sides had said all.
    Closed,
    /// One side broke it off.
    Broken,
    /// Nothing was said for too long.
    Idle,
    /// It lasted too long.
    TooLong,
    /// It carried too much.
    TooManyOctets,
    /// It was silent while another needed its room.
    GaveWay,
    /// No registrar is known, or none answered.
    NoRegistrar,
}

impl End {
    /// Stable name.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Broken => "broken",
            Self::Idle => "idle",
            Self::TooLong => "too-long",
            Self::TooManyOctets => "too-many-octets",
            Self::GaveWay => "gave-way",
            Self::NoRegistrar => "no-registrar",
        }
    }
}

/// Carries octets between `near` and `far`; returns why it stopped.
pub(super) async fn carry(
    mut near: TcpStream,
    mut far: TcpStream,
    activity: &Activity,
    bounds: &Bounds,
) -> End {
    let (from_near, to_near) = near.split();
    let (from_far, to_far) = far.split();
    let both = async {
        let out = one_way(from_near, to_far, activity, bounds);
        let back = one_way(from_far, to_near, activity, bounds);
        match tokio::try_join!(out, back) {
            Ok(_) => End::Closed,
            Err(end) => end,
        }
    };
    tokio::select! {
        end = both => end,
        end = silent(activity, bounds) => end,
        () = activity.give_way.notified() => End::GaveWay,
    }
}

async fn one_way(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    activity: &Activity,
    bounds: &Bounds,
) -> Result<(), End> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = from.read(&mut buffer).await.map_err(|_| End::Broken)?;
        let Some(octets @ [_, ..]) = buffer.get(..length) else {
            // The other way may still be open.
            return to.shutdown().await.map_err(|_| End::Broken);
        };
        if activity.carried(length, Instant::now()) > bounds.octets {
            return Err(End::TooManyOctets);
        }
        to.write_all(octets).await.map_err(|_| End::Broken)?;
    }
}

/// Ready when the circuit was silent or open for too long.
async fn silent(activity: &Activity, bounds: &Bounds) -> End {
    let latest = Instant::now() + bounds.total;
    loop {
        let quiet = activity.last() + bounds.idle;
        let now = Instant::now();
        if now >= latest {
            return End::TooLong;
        }
        if now >= quiet {
            return End::Idle;
        }
        sleep_until(quiet.min(latest)).await;
    }
}
