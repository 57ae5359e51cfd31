//! One connection, from its first frame to its last.
//!
//! 1. The first frame says what its sender wants, and names a key by its hash. Nothing of it is
//!    proved.
//! 2. Who is meant, and whether that one may come in at all ([`knock`](super::knock)). Who may not
//!    is written down and gets no answer: on the air, silence is what the specification asks for.
//! 3. Both sides authenticate ([`authenticate`](super::authenticate)). What fails there is
//!    written down, and answered where the specification has an answer.
//! 4. The device asks for its configuration, and gets it ([`configure`](super::configure)).
//!
//! Most of a session's time is waiting for the other side, so what only lives while the store is asked
//! is boxed: the waiting itself stays small.
//!
//! A session keeps nothing that matters beyond its connection: the next one begins anew, from the
//! store.

use std::net::SocketAddr;

use vouchsafe_dpp::authentication::{Authenticated, AuthenticationRequest};
use vouchsafe_dpp::opening::Opening;
use vouchsafe_dpp::{Agreement as _, Error};
use vouchsafe_fleet::wifi::HashForm;
use vouchsafe_fleet::{DeviceId, Digest, Evidence};

use super::authenticate::Answered;
use super::configure::Proved;
use super::failure::{Failure, reason};
use super::knock::Knock;
use super::places::Place;
use super::wire::{Ended, Wire};
use crate::controller::Controller;

/// A connection whose first frame has come, or that we opened.
pub(super) struct Session {
    pub(super) controller: Controller,
    pub(super) wire: Wire,
    /// Among those who called us.
    pub(super) place: Option<Place>,
    /// Where it comes from.
    pub(super) via: String,
}

/// How far the first frame has led.
enum Met {
    /// The device has proved its key.
    Proved(Box<Authenticated>, Proved),
    /// The device called, and has to confirm.
    Answered(Answered),
}

/// Steps 1 to 4.
pub(super) async fn run(controller: Controller, mut wire: Wire, peer: SocketAddr, place: Place) {
    let via = peer.ip().to_string();
    let ended = match wire.receive().await {
        Ok(frame) => {
            place.spoke();
            wire.begin_session();
            let session = Session {
                controller,
                wire,
                place: Some(place),
                via: via.clone(),
            };
            // Apart from its first frame a connection is nothing: silent ones stay small.
            Box::pin(session.converse(frame)).await
        }
        Err(ended) => Err(ended.into()),
    };
    report(&via, &ended);
}

/// Says in counters and log how a session ended.
pub(super) fn report(via: &str, ended: &Result<(), Failure>) {
    let result = match ended {
        Ok(()) => "configured",
        Err(failure) => failure.result(),
    };
    metrics::counter!("vouchsafe_dpp_sessions_total", "result" => result).increment(1);
    match ended {
        Ok(()) => tracing::debug!(via, "a device was configured"),
        Err(Failure::Fault(fault)) => tracing::error!(via, %fault, "a device got no answer"),
        Err(Failure::Wire(Ended::Closed)) => tracing::debug!(via, "closed before the end"),
        Err(failure) => tracing::info!(via, %failure, result, "no device was configured"),
    }
}

impl Session {
    /// What one phase needs is boxed and gone with it: a session that waits holds what it waits with.
    async fn converse(mut self, frame: Vec<u8>) -> Result<(), Failure> {
        // 1 to 3
        let (authenticated, proved) = match Box::pin(self.meet(frame)).await? {
            Met::Proved(authenticated, proved) => (authenticated, proved),
            Met::Answered(answered) => self.hear_confirm(answered).await?,
        };
        // 4
        Box::pin(self.configure(authenticated, proved)).await
    }

    async fn meet(&mut self, frame: Vec<u8>) -> Result<Met, Failure> {
        // 1
        match Opening::read(&frame)? {
            Opening::PresenceAnnouncement { chirp_hash } => {
                let knock = self.knock(Digest(chirp_hash), HashForm::Chirp);
                // 2
                let key = match Box::pin(knock.decide(&self.controller)).await? {
                    Ok(key) => key,
                    Err(refused) => return Err(Failure::Refused(refused.reasons)),
                };
                // 3
                let (authenticated, proved) = self.call(&knock, &key).await?;
                Ok(Met::Proved(authenticated, proved))
            }
            // 2 and 3
            Opening::AuthenticationRequest(request) => self.called(&request, &frame).await,
            Opening::Pkex { frame, .. } => {
                let next = self.exchange_keys(&frame).await?;
                let request = AuthenticationRequest::read(&next)?;
                self.called(&request, &next).await
            }
            Opening::ReconfigurationAnnouncement { frame, .. } => {
                let (authenticated, proved) = self.meet_again(&frame).await?;
                Ok(Met::Proved(authenticated, proved))
            }
            _ => Err(Error::from(vouchsafe_dpp::Refusal::Unexpected).into()),
        }
    }

    async fn called(
        &mut self,
        request: &AuthenticationRequest,
        frame: &[u8],
    ) -> Result<Met, Failure> {
        let own = self.controller.dpp.bootstrapping();
        if request.responder_hash() != own.public_key().hash() {
            return Err(Error::from(vouchsafe_dpp::Refusal::ResponderHash).into());
        }
        let knock = self.knock(Digest(*request.initiator_hash()), HashForm::Key);
        Ok(Met::Answered(self.answer(knock, request, frame).await?))
    }

    pub(super) fn knock(&self, hash: Digest, form: HashForm) -> Knock {
        Knock {
            hash,
            form,
            via: self.via.clone(),
        }
    }

    /// This is `device`, by a key that is known: no other device takes this place from it.
    pub(super) fn proved(&self, device: DeviceId) {
        if let Some(place) = &self.place {
            place.proved(device);
        }
    }

    /// Step 3, failed: it is written down, and answered where there is an answer.
    pub(super) async fn fail(&mut self, knock: &Knock, frame: &[u8], error: Error) -> Failure {
        let evidence = vec![Evidence::new("dpp-message", Digest::of(frame))];
        let noted = knock.failed(&self.controller, reason(&error), evidence);
        if let Err(fault) = Box::pin(noted).await {
            return fault.into();
        }
        self.decline(error).await
    }

    /// Answers a message that broke a rule, where there is an answer.
    pub(super) async fn decline(&mut self, error: Error) -> Failure {
        if let Some(reply) = error.reply()
            && let Err(ended) = self.wire.send(reply).await
        {
            tracing::debug!(%ended, "the answer to a message that broke a rule was not taken");
        }
        error.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size<A, B, C, D, F>(_: impl Fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    /// The same without the phases, which are boxed and gone when they are over.
    #[test]
    fn a_session_that_waits_is_small() {
        fn size<A, B, F>(_: impl Fn(A, B) -> F) -> usize {
            size_of::<F>()
        }
        let bytes = size(Session::converse);
        assert!(bytes < 1536, "{bytes} bytes");
    }

    /// What a silent connection takes beside the kernel's buffers.
    #[test]
    fn a_connection_that_says_nothing_is_small() {
        let bytes = size(run);
        assert!(bytes < 1024, "{bytes} bytes");
    }
}
