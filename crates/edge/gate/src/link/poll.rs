//! Asking for the desired state, again and again: one connection, one request at a time, each of which the
//! controller may keep waiting until there is something new.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::sync::mpsc;
use vouchsafe_api::DesiredState;
use vouchsafe_api::gate::{StateDifference, StateUpdate};
use vouchsafe_net::{Connection, Connector, Origin};
use vouchsafe_trust::Certificate;

use super::enrol::connect;
use super::error::LinkError;
use super::health::Health;
use super::kept::Kept;
use super::pause::Pause;
use crate::desired::{Desired, DesiredError, Difference, Update};
use crate::event::Event;

/// How long the controller may keep a request, in seconds.
const WAIT: u64 = 50;

/// How long it may take to send what it has.
pub(super) const ANSWER: Duration = Duration::from_secs(WAIT + 120);

/// Largest state, in octets.
pub(super) const MAX_STATE: usize = 512 * 1024 * 1024;

/// Asks, proves, writes down, hands over.
pub(super) struct Poll {
    pub(super) connector: Connector,
    pub(super) controller: Origin,
    pub(super) anchor: Certificate,
    pub(super) kept: Kept,
    /// The newest version that was ever in force, also where the file with it is gone.
    pub(super) known: Option<u64>,
    /// The version that was handed over in this run, so that it is in force. What was only written down is
    /// not: it may have been refused since, or the disk was full.
    pub(super) handed: Option<u64>,
    pub(super) hand: mpsc::Sender<Update>,
    pub(super) health: Health,
}

impl Poll {
    /// The state that an earlier run left, if it is still good.
    pub(super) fn first(&mut self, document: DesiredState) -> Option<Desired> {
        match Desired::of(document, &self.anchor, self.known, self.health.now()) {
            Ok(desired) => {
                self.handed = Some(desired.version);
                Some(desired)
            }
            Err(error) => {
                self.health.tell(Event::StateRefused {
                    reason: error.code(),
                    problem: error.to_string(),
                });
                None
            }
        }
    }

    /// Asks until the gate stops.
    pub(super) async fn run(mut self) {
        let mut pause = Pause::default();
        loop {
            let Err(error) = self.session(&mut pause).await;
            self.health.failed(&error);
            pause.wait(error.is_refusal()).await;
        }
    }

    /// One connection, until something is wrong with it.
    async fn session(&mut self, pause: &mut Pause) -> Result<Infallible, LinkError> {
        let mut connection = connect(&self.connector, &self.controller).await?;
        // A difference helps only where what it begins with is in force.
        let mut whole = self.handed.is_none() || self.handed != self.kept.version();
        loop {
            let update = self.ask(&mut connection, whole).await?;
            pause.over();
            self.health.heard();
            whole = match update {
                // What was asked for is not there yet.
                None => whole,
                Some(StateUpdate::Whole(document)) => {
                    self.take_whole(document).await?;
                    false
                }
                Some(StateUpdate::Difference(difference)) => match self.kept.leads(&difference) {
                    Ok(()) => {
                        self.take_difference(difference).await?;
                        false
                    }
                    Err(error) if whole => {
                        // It was asked for the whole: it does not know what it says.
                        return Err(LinkError::answer(&self.controller.to_string(), error));
                    }
                    Err(error) => {
                        self.health.tell(Event::StateRefused {
                            reason: "state-difference",
                            problem: error.to_string(),
                        });
                        true
                    }
                },
            };
        }
    }

    async fn ask(
        &self,
        connection: &mut Connection,
        whole: bool,
    ) -> Result<Option<StateUpdate>, LinkError> {
        let named = self.controller.to_string();
        let have = self.kept.version().filter(|_| !whole);
        let have = have.map(|have| format!("have={have}&")).unwrap_or_default();
        let path = format!("/gate/v1/state?{have}wait={WAIT}");
        let request = Request::get(path)
            .body(Bytes::new())
            .map_err(|error| LinkError::answer(&named, error))?;
        let answer = connection.request(request).await;
        let answer = answer.map_err(|source| LinkError::Connection {
            controller: named.clone(),
            source,
        })?;
        match answer.status().as_u16() {
            204 => Ok(None),
            200 => {
                let body = answer.into_body();
                let read = tokio::task::spawn_blocking(move || serde_json::from_slice(&body));
                let read = read
                    .await
                    .map_err(|error| LinkError::answer(&named, error))?;
                read.map(Some)
                    .map_err(|error| LinkError::answer(&named, error))
            }
            status => Err(LinkError::answered(&named, status, answer.body())),
        }
    }

    /// What cannot be written down, on a disk that is full, is in force nevertheless: who was revoked must not
    /// stay for that. Then the connection ends, and the next one asks for the whole.
    async fn take_whole(&mut self, document: DesiredState) -> Result<(), LinkError> {
        let known = self.known.max(self.kept.version());
        let (anchor, now) = (&self.anchor, self.health.now());
        // Written down first: proving takes it apart, and there need not be two.
        let prepared = self.kept.prepare(&document);
        let desired = Desired::of(document, anchor, known, now);
        let desired = desired.map_err(|error| self.refused(error))?;
        let kept = prepared.and_then(|prepared| self.kept.keep(prepared));
        self.hand_over(desired.version, Update::Whole(Box::new(desired)))
            .await;
        Ok(kept?)
    }

    async fn take_difference(&mut self, difference: StateDifference) -> Result<(), LinkError> {
        if let Some(known) = self.known.filter(|known| difference.to < *known) {
            let offered = difference.to;
            return Err(self.refused(DesiredError::Older { offered, known }));
        }
        let proved = Difference::of(difference.clone(), &self.anchor, self.health.now());
        let proved = proved.map_err(|error| self.refused(error))?;
        let kept = self.kept.append(difference);
        self.hand_over(proved.to, Update::Difference(Box::new(proved)))
            .await;
        Ok(kept?)
    }

    /// What is older than ever known, or not under the domain CA, is not taken. That is no answer to ask
    /// for again at once.
    fn refused(&self, error: DesiredError) -> LinkError {
        self.health.tell(Event::StateRefused {
            reason: error.code(),
            problem: error.to_string(),
        });
        LinkError::State {
            controller: self.controller.to_string(),
            source: error,
        }
    }

    async fn hand_over(&mut self, version: u64, update: Update) {
        self.known = Some(version);
        self.handed = Some(version);
        // Nobody takes it while the gate stops.
        let _ = self.hand.send(update).await;
    }
}
