//! How the link is doing, told once per change and kept for `vouchsafe-gate status`.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use vouchsafe_net::Clock;

use super::error::LinkError;
use super::folder::{LinkFolder, LinkStatus, Trouble};
use crate::event::{Event, Events};

/// How often a link that is well is written down.
const WRITE: SignedDuration = SignedDuration::from_secs(30);

/// The link's health. Clones are the same.
#[derive(Clone)]
pub(super) struct Health {
    folder: LinkFolder,
    clock: Clock,
    events: Events,
    controller: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    status: LinkStatus,
    written_at: Option<Timestamp>,
}

impl Health {
    pub(super) fn new(
        folder: LinkFolder,
        controller: String,
        clock: Clock,
        events: Events,
    ) -> Self {
        Self {
            folder,
            clock,
            events,
            controller,
            state: Arc::default(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(super) fn tell(&self, event: Event) {
        self.events.tell(self.now(), event);
    }

    /// The controller answered.
    pub(super) fn heard(&self) {
        let now = self.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = state.status.heard_at.is_none() || state.status.trouble.is_some();
        state.status = LinkStatus {
            heard_at: Some(now),
            trouble: None,
        };
        let is_due = state
            .written_at
            .is_none_or(|written| now.duration_since(written) >= WRITE);
        if is_news || is_due {
            self.write(&mut state, now);
        }
        drop(state);
        if is_news {
            self.tell(Event::LinkUp {
                controller: self.controller.clone(),
            });
        }
    }

    /// It did not, or said no. The same trouble is told once.
    pub(super) fn failed(&self, error: &LinkError) {
        let now = self.now();
        let code = error.code();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let earlier = state.status.trouble.take();
        let is_news = earlier.as_ref().is_none_or(|earlier| earlier.code != code);
        state.status.trouble = Some(Trouble {
            since: earlier.map_or(now, |earlier| earlier.since),
            code: code.clone(),
            problem: error.to_string(),
        });
        if is_news {
            self.write(&mut state, now);
        }
        drop(state);
        if is_news {
            self.tell(Event::LinkDown {
                controller: self.controller.clone(),
                reason: code,
                problem: error.to_string(),
            });
        }
    }

    fn write(&self, state: &mut State, now: Timestamp) {
        state.written_at = Some(now);
        if let Err(error) = self.folder.put_status(&state.status) {
            tracing::warn!(%error, "how the link is doing cannot be written down");
        }
    }
}
