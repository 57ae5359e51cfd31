//! `POST /.well-known/brski/requestvoucher` (RFC 8995 §5.2 to §5.6).
//!
//! 1. The request is the TLS client's own, names it and names us.
//! 2. What is known about the device and this request is loaded.
//! 3. Decide: forward, wait for a person, give the stored answer, refuse.
//! 4. Commit.
//! 5. The request goes to the MASA; its answer goes through steps 3 and 4 again, and the voucher to
//!    the device.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use vouchsafe_brski::registrar::{
    PledgeRequestRules, PledgeVoucherRequest, RegistrarRequest, verify_pledge_request,
};
use vouchsafe_brski::{Encoding, Error, Unsupported, idevid};
use vouchsafe_fleet::decide::{
    self, Decision, Forward, MasaAnswer, Outcome, ShownManufacturer, StoredAnswer, Strangers,
    VoucherAnswerFacts, VoucherRequestFacts,
};
use vouchsafe_fleet::policy::{RequestKind, Verdict};
use vouchsafe_fleet::{
    Commit, DeviceId, Digest, Evidence, ManufacturerId, Reason, State as Life, VoucherId,
    VoucherStatus,
};
use vouchsafe_net::Peer;
use vouchsafe_trust::{Certificate, Verified};

use super::answer::reason;
use super::{Answer, Message, Proved, masa, note, prove};
use crate::catalogue::KnownManufacturer;
use crate::controller::{Controller, Fault};

/// How far a device's clock may run ahead of ours.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_hours(24);

/// How long a device waits when the MASA could not be reached.
const MASA_RETRY: SignedDuration = SignedDuration::from_secs(10);

/// A voucher for the device.
#[derive(Debug)]
struct Granted {
    media_type: String,
    body: Vec<u8>,
}

/// The handler.
pub(super) async fn request_voucher(
    State(controller): State<Controller>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Message(body): Message,
) -> Response {
    match answer(&controller, &peer, &headers, &body).await {
        Ok(granted) => {
            metrics::counter!("vouchsafe_vouchers_total", "result" => "granted").increment(1);
            ([(header::CONTENT_TYPE, granted.media_type)], granted.body).into_response()
        }
        Err(answer) => {
            let result = match &answer {
                Answer::Wait { .. } => "wait",
                Answer::Fault(_) => "fault",
                Answer::Protocol(_) | Answer::Refused { .. } => "refused",
            };
            metrics::counter!("vouchsafe_vouchers_total", "result" => result).increment(1);
            answer.into_response()
        }
    }
}

async fn answer(
    controller: &Controller,
    peer: &Peer,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Granted, Answer> {
    let now = controller.clock.now();
    let encoding = encoding(headers);
    // 1
    let (birth, request) = match prove(controller, peer, now).await {
        Ok(Some(Proved::Birth(birth))) => {
            let rules = PledgeRequestRules {
                device: &birth.path,
                presented: &peer.presented,
                now,
                skew: CLOCK_SKEW,
                compatibility: &controller.compatibility,
            };
            let read = encoding.and_then(|encoding| verify_pledge_request(body, encoding, &rules));
            match read {
                Ok(request) => (birth, request),
                Err(error) => {
                    note(
                        controller,
                        peer,
                        Some(birth.device),
                        evidence(body),
                        reason(&error),
                        now,
                    )
                    .await?;
                    return Err(error.into());
                }
            }
        }
        // A voucher request is made with the birth certificate, also by a device that has another.
        Ok(Some(Proved::Domain { credential })) => {
            let error = Error::Refused(vouchsafe_brski::Refusal::SignerNotTlsClient);
            note(
                controller,
                peer,
                Some(credential.device),
                evidence(body),
                reason(&error),
                now,
            )
            .await?;
            return Err(error.into());
        }
        Ok(None) => {
            let media_type = encoding.map_or("", Encoding::media_type);
            return Err(turn_away(controller, peer, body, media_type, now).await?);
        }
        Err(Answer::Protocol(error)) => {
            note(controller, peer, None, evidence(body), reason(&error), now).await?;
            return Err(error.into());
        }
        Err(other) => return Err(other),
    };
    // 2 to 4
    let question = Question::new(controller, &birth.manufacturer, &request, now);
    let outcome = controller.settle(|| question.decide()).await?;
    // 5
    match outcome.decision {
        Decision::Accept(forward) => ask_masa(&question, forward).await,
        Decision::Wait {
            retry_after,
            reasons,
        } => Err(Answer::Wait {
            retry_after,
            reasons,
        }),
        Decision::Replay(stored) => Ok(stored.into()),
        Decision::Refuse { refusal, reasons } => Err(Answer::refused(refusal, reasons)),
    }
}

impl From<StoredAnswer> for Granted {
    fn from(stored: StoredAnswer) -> Self {
        Self {
            media_type: stored.media_type,
            body: stored.body,
        }
    }
}

/// What the journal keeps of a request.
fn evidence(body: &[u8]) -> Evidence {
    Evidence::new("pledge-voucher-request", Digest::of(body))
}

/// RFC 8995 §5.3: 415 for a body that is no voucher request, 406 where no answer would be taken.
fn encoding(headers: &HeaderMap) -> Result<Encoding, Error> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let encoding = text(header::CONTENT_TYPE)
        .and_then(Encoding::from_media_type)
        .ok_or(Error::Unsupported(Unsupported::MediaType))?;
    // The voucher comes in the request's encoding: the MASA is asked in that one.
    match Encoding::from_accept(text(header::ACCEPT), encoding) {
        Some(accepted) if accepted == encoding => Ok(encoding),
        _ => Err(Error::Unsupported(Unsupported::NotAcceptable)),
    }
}

/// A verified request with all that stays the same while it is decided.
struct Question<'a> {
    controller: &'a Controller,
    manufacturer: &'a KnownManufacturer,
    request: &'a Verified<PledgeVoucherRequest>,
    now: Timestamp,
    device: DeviceId,
    nonce: String,
    digest: Digest,
    idevid_sha256: Digest,
    idevid_spki_sha256: Digest,
}

impl<'a> Question<'a> {
    fn new(
        controller: &'a Controller,
        manufacturer: &'a KnownManufacturer,
        request: &'a Verified<PledgeVoucherRequest>,
        now: Timestamp,
    ) -> Self {
        Self {
            controller,
            manufacturer,
            now,
            device: DeviceId::new(manufacturer.record.id, request.serial_number()),
            nonce: request
                .request
                .nonce
                .as_ref()
                .map(|nonce| nonce.to_text())
                .unwrap_or_default(),
            digest: Digest::of(&request.bytes),
            idevid_sha256: Digest(request.idevid.fingerprint_sha256()),
            idevid_spki_sha256: Digest(request.idevid.public_key().sha256()),
            request,
        }
    }

    /// Steps 2 and 3.
    async fn decide(&self) -> Result<Outcome<Forward>, Fault> {
        let store = &self.controller.store;
        let id = VoucherId::new(self.device, self.digest);
        let device = store.device(self.device).await?;
        let (record, same_nonce) = store
            .voucher_or_same_nonce(id, self.device, &self.nonce)
            .await?;
        let ownership = match record {
            Some(_) => store.current_ownership(self.device).await?,
            None => None,
        };
        let owned_since = ownership.map(|ownership| ownership.since);
        let verdict = self
            .controller
            .verdict(
                RequestKind::Voucher,
                device.as_ref(),
                &self.manufacturer.record,
            )
            .await?;
        let strangers = match device {
            Some(_) => Strangers::default(),
            None => self.controller.strangers(self.device, self.now).await?,
        };
        Ok(decide::voucher_request(&VoucherRequestFacts {
            now: self.now,
            owner: self.controller.owner,
            manufacturer: Some(&self.manufacturer.record),
            shown: None,
            serial: self.request.serial_number(),
            idevid_sha256: self.idevid_sha256,
            idevid_spki_sha256: self.idevid_spki_sha256,
            request_sha256: self.digest,
            nonce: &self.nonce,
            media_type: self.request.encoding.media_type(),
            device: device.as_ref(),
            record: record.as_ref(),
            same_nonce: same_nonce.as_ref(),
            owned_since,
            verdict: &verdict,
            strangers,
        }))
    }

    /// Step 3 for what the MASA said, on what was committed before it was asked. If that has
    /// changed meanwhile (`again`), what is stored now decides.
    async fn decide_answer(
        &self,
        forward: &Forward,
        again: bool,
        masa: &str,
        answer: MasaAnswer<'_>,
    ) -> Result<Outcome<vouchsafe_fleet::VoucherRecord>, Fault> {
        let store = &self.controller.store;
        let (record, device) = if again {
            (
                store.voucher(forward.record.id).await?,
                store.device(self.device).await?,
            )
        } else {
            (None, None)
        };
        // The device sent its request twice at the same time, and the other one was faster.
        let settled = record.as_ref().filter(|record| {
            matches!(
                record.status,
                VoucherStatus::Issued | VoucherStatus::Accepted
            )
        });
        // Not for one that was cut off or given up since.
        let still_ours = device.as_ref().is_some_and(|device| {
            matches!(device.state, Life::Onboarding | Life::Onboarded)
                && device.owner == Some(self.controller.owner)
        });
        if let Some(record) = settled
            && let Some(voucher) = &record.voucher
            && still_ours
        {
            return Ok(Outcome {
                decision: Decision::Replay(StoredAnswer {
                    media_type: record.media_type.clone(),
                    body: voucher.clone(),
                }),
                commit: Commit::default(),
            });
        }
        Ok(decide::voucher_answer(&VoucherAnswerFacts {
            now: self.controller.clock.now(),
            masa,
            device: device.as_ref().unwrap_or(&forward.device),
            record: record.as_ref().unwrap_or(&forward.record),
            answer,
        }))
    }
}

/// Step 5: asks the MASA, settles its answer, and hands the voucher on.
async fn ask_masa(question: &Question<'_>, forward: Forward) -> Result<Granted, Answer> {
    let controller = question.controller;
    let identity = controller.registrar.current();
    let request = RegistrarRequest::for_pledge(question.request, question.now)
        .sign(
            identity.chain(),
            identity.signer().as_ref(),
            &controller.compatibility,
        )
        .map_err(|error| Fault::Sign(error.to_string()))?;
    let asked = masa::ask(controller, question.manufacturer, question.request, request).await;
    let reply = match asked {
        Ok(reply) => reply,
        Err(unreachable) => {
            tracing::warn!(
                device = %question.request.serial_number(), error = %unreachable,
                "the MASA gave no answer; the device will ask again"
            );
            let said = Reason::new("masa-unreachable", unreachable.to_string(), "RFC 8995 §5.6");
            return Err(Answer::Wait {
                retry_after: MASA_RETRY,
                reasons: vec![said],
            });
        }
    };
    let mut again = false;
    let outcome = controller
        .settle(|| {
            let again = std::mem::replace(&mut again, true);
            question.decide_answer(&forward, again, &reply.masa, reply.as_answer())
        })
        .await?;
    match outcome.decision {
        Decision::Accept(record) => Ok(Granted {
            media_type: record.media_type,
            body: record.voucher.unwrap_or_default(),
        }),
        Decision::Replay(stored) => Ok(stored.into()),
        Decision::Wait {
            retry_after,
            reasons,
        } => Err(Answer::Wait {
            retry_after,
            reasons,
        }),
        Decision::Refuse { refusal, reasons } => Err(Answer::refused(refusal, reasons)),
    }
}

/// Somebody whose chain leads to no manufacturer known here. It is written down, bounded, and
/// nothing is sent to any MASA, whatever its certificate names.
async fn turn_away(
    controller: &Controller,
    peer: &Peer,
    body: &[u8],
    media_type: &str,
    now: Timestamp,
) -> Result<Answer, Answer> {
    let (Some(leaf), Some(top)) = (peer.chain.first(), peer.chain.last()) else {
        return Ok(Answer::Protocol(
            vouchsafe_brski::Refusal::NoTlsClientCertificate.into(),
        ));
    };
    let shown = Shown::of(leaf, top);
    let serial = leaf.subject_serial_number().unwrap_or("unknown");
    let verdict = Verdict::failed("the manufacturer is unknown");
    let outcome = controller
        .settle(async || {
            let id = DeviceId::new(shown.id, serial);
            let strangers = controller.strangers(id, now).await?;
            // Somebody who was seen before is not written down as seen again.
            // Nor is this very domain, for one of its own certificates that it does not know.
            let known = shown.id.0 == controller.owner.0
                || controller.store.manufacturer(shown.id).await?.is_some();
            Ok(decide::voucher_request(&VoucherRequestFacts {
                now,
                owner: controller.owner,
                manufacturer: None,
                shown: (!known).then(|| shown.facts(top)),
                serial,
                idevid_sha256: Digest(leaf.fingerprint_sha256()),
                idevid_spki_sha256: Digest(leaf.public_key().sha256()),
                request_sha256: Digest::of(body),
                nonce: "",
                media_type,
                device: None,
                record: None,
                same_nonce: None,
                owned_since: None,
                verdict: &verdict,
                strangers,
            }))
        })
        .await?;
    Ok(match outcome.decision {
        Decision::Refuse { refusal, reasons } => Answer::refused(refusal, reasons),
        // Without a manufacturer there is no other decision.
        _ => Answer::Protocol(vouchsafe_brski::Refusal::NoTlsClientCertificate.into()),
    })
}

/// The top of a stranger's chain, nothing of it proved.
struct Shown {
    id: ManufacturerId,
    name: String,
    masa_url: Option<String>,
}

impl Shown {
    fn of(leaf: &Certificate, top: &Certificate) -> Self {
        Self {
            id: ManufacturerId::of_anchor(top.public_key().spki_der()),
            name: top.subject_text(),
            masa_url: idevid::masa_url(leaf),
        }
    }

    fn facts<'a>(&'a self, top: &'a Certificate) -> ShownManufacturer<'a> {
        ShownManufacturer {
            anchor_der: top.der(),
            id: self.id,
            name: &self.name,
            masa_url: self.masa_url.as_deref(),
        }
    }
}
