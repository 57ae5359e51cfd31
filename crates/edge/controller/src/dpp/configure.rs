//! Step 4: an authenticated device asks for its configuration (Wi-Fi Easy Connect 3.0 §6.4).
//!
//! 1. Configuration Request: what the device says of itself.
//! 2. Decide. While a person is asked the device comes back every few seconds; when it gives up, it
//!    begins anew, and what was decided meanwhile counts.
//! 3. For a network with certificates the device is asked for a certificate request, bound to this
//!    exchange, and sends step 1 anew.
//! 4. Commit, then Configuration Response.
//! 5. Configuration Result, and for stations the Connection Status Result: what the device says of
//!    it. A device that says nothing has its credential all the same.

use std::time::Duration;

use jiff::SignedDuration;
use vouchsafe_dpp::authentication::Authenticated;
use vouchsafe_dpp::configuration::{
    Answer, Answered, AwaitingConnectionStatus, CONNECTION_STATUS_SECONDS, ConfiguratorSide,
    REQUEST_SECONDS, Reaction, Requested,
};
use vouchsafe_dpp::gas::TIME_UNIT_MICROSECONDS;
use vouchsafe_dpp::{Error, Refusal, Status, csr};
use vouchsafe_fleet::decide::Decision;
use vouchsafe_fleet::decide::wifi::ReportStage;
use vouchsafe_fleet::{DeviceId, Digest, Evidence};

use super::credential::Asked;
use super::failure::{Failure, reason};
use super::question::{Granted, Question, Report, Reportable, Shown, note};
use super::session::Session;

/// How long a device that waits for a person is told to stay away at most: relays and devices give
/// up soon.
const COME_BACK: SignedDuration = SignedDuration::from_secs(5);

/// What a certificate request should have: a challengePassword (CsrAttrs, RFC 7030 §4.5.2, DER).
const CSR_ATTRIBUTES: &[u8] = &[
    0x30, 0x0b, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x07,
];

/// A device that proved who it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Proved {
    /// Which.
    pub(super) device: DeviceId,
    /// By what.
    pub(super) shown: Shown,
    /// Its address, where its URI has it.
    pub(super) mac: Option<[u8; 6]>,
}

/// What happens to a request.
enum Settled {
    /// This is the answer; none when the device only has to fetch it.
    Answer(Box<Granted>),
    /// No.
    Refused(Failure, Status),
}

impl Session {
    /// Steps 1 to 5.
    pub(super) async fn configure(
        &mut self,
        authenticated: Box<Authenticated>,
        proved: Proved,
    ) -> Result<(), Failure> {
        let side = Box::new(ConfiguratorSide::new(*authenticated)?);
        self.wire.allow(Duration::from_secs(REQUEST_SECONDS));
        // 1
        let mut frame = self.wire.receive().await?;
        let mut requested = match side.handle_request(&frame) {
            Ok(requested) => Box::new(requested),
            Err(error) => return Err(self.broken(proved.device, &frame, error).await),
        };
        loop {
            // 2 to 4
            let (settled, comeback) = self.settle(proved, &mut requested, &frame).await?;
            let mut reportable = None;
            let (answer, refused) = match settled {
                Settled::Answer(granted) => {
                    let (answer, on) = answer(*granted);
                    reportable = on;
                    (answer, None)
                }
                Settled::Refused(failure, Status::CertificateRequestBad) => {
                    (Answer::CertificateRequestBad, Some(failure))
                }
                Settled::Refused(failure, status) => (Answer::Refused(status), Some(failure)),
            };
            let answered = self.respond(requested, answer, comeback).await?;
            if let Some(failure) = refused {
                return Err(failure);
            }
            // 3 or 5
            match self.follow(proved.device, reportable, answered).await? {
                Some((again, request)) => (requested, frame) = (again, request),
                None => return Ok(()),
            }
        }
    }

    /// Step 2: decides, and lets the device come back until there is a decision. A request to come
    /// back that is not answered yet is given back.
    async fn settle(
        &mut self,
        proved: Proved,
        requested: &mut Requested,
        frame: &[u8],
    ) -> Result<(Settled, Option<Vec<u8>>), Failure> {
        let controller = self.controller.clone();
        let object = requested.object().clone();
        let authenticated = requested.authenticated();
        let mut asked = Asked {
            net_access_key: authenticated.peer_protocol_key().clone(),
            version: authenticated.version(),
            capabilities: object.capabilities,
            mac: proved.mac,
            certificate_request: None,
        };
        let der = object.certificate_request.as_ref();
        match der.map(|der| csr::verify(authenticated, der)).transpose() {
            Ok(request) => asked.certificate_request = request,
            Err(error) => {
                let failure = self.broken(proved.device, frame, error).await;
                return Ok((
                    Settled::Refused(failure, Status::CertificateRequestBad),
                    None,
                ));
            }
        }
        let question = Question {
            controller: &controller,
            device: proved.device,
            shown: proved.shown,
            request: &object,
            request_sha256: Digest::of(&object.write()),
            asked: &asked,
        };
        let mut comeback: Option<Vec<u8>> = None;
        loop {
            let refused = |failure| Settled::Refused(failure, Status::ConfigureFailure);
            let settled = match Box::pin(question.settle()).await {
                Ok(outcome) => match outcome.decision {
                    Decision::Accept(granted) => Settled::Answer(Box::new(granted)),
                    Decision::Refuse { reasons, .. } => refused(Failure::Refused(reasons)),
                    // No request is ever the same twice: each has a nonce.
                    Decision::Replay(_) => refused(Error::from(Refusal::Unexpected).into()),
                    Decision::Wait { retry_after, .. } => {
                        let delay = retry_after.min(COME_BACK).unsigned_abs();
                        let units = time_units(delay);
                        let later = match comeback.take() {
                            None => requested.later(units)?,
                            Some(frame) => requested.handle_comeback(&frame, units)?,
                        };
                        self.wire.send(&later).await?;
                        self.wire.allow(delay);
                        comeback = Some(self.wire.receive().await?);
                        continue;
                    }
                },
                Err(failure @ Failure::Refused(_)) => refused(failure),
                Err(failure) => return Err(failure),
            };
            return Ok((settled, comeback));
        }
    }

    /// Step 4, after the commit.
    async fn respond(
        &mut self,
        requested: Box<Requested>,
        answer: Answer,
        comeback: Option<Vec<u8>>,
    ) -> Result<Box<Answered>, Failure> {
        let (response, answered) = requested.respond(answer)?;
        let answered = Box::new(answered);
        match (response, comeback) {
            (Some(response), _) => {
                self.wire.send(&response).await?;
                Ok(answered)
            }
            (None, Some(request)) => match answered.handle(&request)? {
                Reaction::Send(response, answered) => {
                    let answered = Box::new(answered);
                    self.wire.send(&response).await?;
                    Ok(answered)
                }
                _ => Err(Error::from(Refusal::Unexpected).into()),
            },
            // The device will fetch it.
            (None, None) => Ok(answered),
        }
    }

    /// Steps 3 and 5: what the device sends after the answer. A request that it was asked for is
    /// given back, with its frame.
    async fn follow(
        &mut self,
        device: DeviceId,
        reportable: Option<Box<Reportable>>,
        mut answered: Box<Answered>,
    ) -> Result<Option<(Box<Requested>, Vec<u8>)>, Failure> {
        while answered.expects_more() || !answered.is_fetched() {
            let frame = match self.wire.receive().await {
                Ok(frame) => frame,
                // What it was given is in force, whether it says so or not.
                Err(ended) if answered.status() == Status::Ok => {
                    tracing::debug!(%ended, "a device did not say whether it takes its configuration");
                    return Ok(None);
                }
                Err(ended) => return Err(ended.into()),
            };
            match answered.handle(&frame) {
                Ok(Reaction::Send(piece, again)) => {
                    *answered = again;
                    self.wire.send(&piece).await?;
                }
                Ok(Reaction::Requested(requested)) => {
                    return Ok(Some((Box::new(requested), frame)));
                }
                Ok(Reaction::Result { status, next }) => {
                    let Some(on) = reportable else {
                        let error = Error::from(Refusal::Unexpected);
                        return Err(self.broken(device, &frame, error).await);
                    };
                    let stage = ReportStage::Configuration;
                    self.report(&on, stage, status, &frame).await?;
                    if let Some(next) = next {
                        self.hear_of_joining(device, &on, Box::new(next)).await?;
                    }
                    return Ok(None);
                }
                Err(error) => return Err(self.broken(device, &frame, error).await),
            }
        }
        Ok(None)
    }

    /// Step 5: how joining went. Many devices never say.
    async fn hear_of_joining(
        &mut self,
        device: DeviceId,
        on: &Reportable,
        next: Box<AwaitingConnectionStatus>,
    ) -> Result<(), Failure> {
        self.wire
            .allow(Duration::from_secs(CONNECTION_STATUS_SECONDS));
        let Ok(frame) = self.wire.receive().await else {
            return Ok(());
        };
        match next.handle(&frame) {
            Ok(status) => {
                let stage = ReportStage::Connection;
                self.report(on, stage, status.result, &frame).await
            }
            Err(error) => Err(self.broken(device, &frame, error).await),
        }
    }

    async fn report(
        &self,
        on: &Reportable,
        stage: ReportStage,
        status: Status,
        message: &[u8],
    ) -> Result<(), Failure> {
        let report = Report {
            on,
            stage,
            success: status == Status::Ok,
            said: status.code(),
            message,
        };
        Ok(Box::pin(report.settle(&self.controller)).await?)
    }

    /// A message of a device that proved who it is broke a rule: the journal has it, and the device
    /// hears what the specification has for that.
    async fn broken(&mut self, device: DeviceId, frame: &[u8], error: Error) -> Failure {
        let evidence = Evidence::new("dpp-message", Digest::of(frame));
        let noted = note(&self.controller, device, reason(&error), evidence);
        if let Err(fault) = Box::pin(noted).await {
            return fault.into();
        }
        self.decline(error).await
    }
}

/// The answer, and what the device may report on then.
fn answer(granted: Granted) -> (Answer, Option<Box<Reportable>>) {
    match granted {
        Granted::Configured(made, reportable) => {
            let answer = Answer::Objects {
                objects: made.objects,
                send_connection_status: true,
            };
            (answer, Some(reportable))
        }
        Granted::CertificateRequestNeeded => {
            let answer = Answer::CertificateRequestNeeded(CSR_ATTRIBUTES.to_vec());
            (answer, None)
        }
    }
}

/// A delay as GAS counts it; about a minute at most.
fn time_units(delay: Duration) -> u16 {
    let units = delay.as_micros() / u128::from(TIME_UNIT_MICROSECONDS);
    u16::try_from(units).unwrap_or(u16::MAX).max(1)
}
