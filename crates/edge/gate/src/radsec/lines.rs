//! The open connections, for what the gate itself has to say on them (RFC 6614 §2.5).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use vouchsafe_radius::dynamic::{Order, Outcome, Sent};
use vouchsafe_radius::{Error, Packet, Refusal, Shared};

use super::MAX_LINES;

/// How long an answer to an order is awaited. The stream repeats for us.
const PATIENCE: Duration = Duration::from_secs(3);

/// Connections by their numbers. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    next: u64,
    open: BTreeMap<u64, Line>,
}

struct Line {
    client: u32,
    send: mpsc::Sender<Vec<u8>>,
    identifier: u8,
    waiting: BTreeMap<u8, (Sent, oneshot::Sender<Outcome>)>,
}

/// A connection that is open for as long as this lives.
pub(crate) struct Opened {
    lines: Lines,
    number: u64,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.lines.lock().open.remove(&self.number);
    }
}

impl Lines {
    /// Another connection of a client, unless it has enough.
    pub(crate) fn open(&self, client: u32, send: mpsc::Sender<Vec<u8>>) -> Option<Opened> {
        let mut inner = self.lock();
        let of_client = inner.open.values().filter(|line| line.client == client);
        if of_client.count() >= MAX_LINES {
            return None;
        }
        let number = inner.next;
        inner.next += 1;
        let line = Line {
            client,
            send,
            identifier: 0,
            waiting: BTreeMap::new(),
        };
        inner.open.insert(number, line);
        drop(inner);
        let lines = self.clone();
        Some(Opened { lines, number })
    }

    /// Gives an order on the client's connections, one after the other, until one says that it is done.
    /// [`Outcome::NoSuchSession`] only when all said so; `None` when somebody said nothing.
    pub(crate) async fn order(
        &self,
        client: u32,
        shared: &Shared,
        order: &Order,
        now: Timestamp,
    ) -> Option<Outcome> {
        let mine = |(number, line): (&u64, &Line)| (line.client == client).then_some(*number);
        let numbers: Vec<u64> = self.lock().open.iter().filter_map(mine).collect();
        let mut answers = Vec::new();
        // The newest first: an access point that came back has its sessions there.
        for number in numbers.into_iter().rev() {
            let outcome = self.order_on(number, shared, order, now).await;
            if outcome == Some(Outcome::Done) {
                return outcome;
            }
            answers.push(outcome);
        }
        let whole: Option<Vec<Outcome>> = answers.into_iter().collect();
        let mut outcomes = whole?.into_iter();
        let first = outcomes.next()?;
        let other = outcomes.find(|outcome| *outcome != Outcome::NoSuchSession);
        Some(other.unwrap_or(first))
    }

    async fn order_on(
        &self,
        number: u64,
        shared: &Shared,
        order: &Order,
        now: Timestamp,
    ) -> Option<Outcome> {
        let (answered, outcome) = oneshot::channel();
        let (send, identifier, datagram) = {
            let mut inner = self.lock();
            let line = inner.open.get_mut(&number)?;
            line.identifier = line.identifier.wrapping_add(1);
            let identifier = line.identifier;
            let (datagram, sent) = order.datagram(shared, identifier, now).ok()?;
            line.waiting.insert(identifier, (sent, answered));
            (line.send.clone(), identifier, datagram)
        };
        let ask = async {
            send.send(datagram).await.ok()?;
            outcome.await.ok()
        };
        let outcome = timeout(PATIENCE, ask).await.ok().flatten();
        if let Some(line) = self.lock().open.get_mut(&number) {
            line.waiting.remove(&identifier);
        }
        outcome
    }

    /// Takes what a client says to an order, on whichever of its connections.
    ///
    /// # Errors
    /// It answers no order that waits.
    pub(crate) fn answered(
        &self,
        client: u32,
        shared: &Shared,
        datagram: &[u8],
    ) -> Result<(), Error> {
        let identifier = Packet::parse(datagram)?.identifier();
        let mut inner = self.lock();
        let lines = inner.open.values_mut();
        for line in lines.filter(|line| line.client == client) {
            let Some((sent, _)) = line.waiting.get(&identifier) else {
                continue;
            };
            if let Ok(outcome) = sent.outcome(shared, datagram)
                && let Some((_, answered)) = line.waiting.remove(&identifier)
            {
                // Whoever asked may have given up.
                let _ = answered.send(outcome);
                return Ok(());
            }
        }
        // Late, or for nobody: RFC 5176 §3 would have it dropped, and nothing is lost by that.
        tracing::debug!(
            code = Refusal::ResponseUnmatched.code(),
            "an answer to nothing"
        );
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
