//! `simpleenroll`, `simplereenroll` and `serverkeygen` (RFC 7030 §4.2, §4.4; RFC 8995 §5.9).
//!
//! 1. Who asks; the request proves its key, holds what `csrattrs` asked for, and belongs to
//!    this connection.
//! 2. The device, its credentials, its voucher, who else has the key.
//! 3. Decide: a permit for one key, or the stored answer, or no.
//! 4. The CA signs under the permit; credential, device and journal are committed together.
//! 5. The certificate leaves.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use vouchsafe_brski::est::{
    self, MEDIA_TYPE_CERTS_ONLY, MEDIA_TYPE_REQUEST, MEDIA_TYPE_SERVER_KEY, ServerKey,
};
use vouchsafe_brski::{Error, Refusal as Rule, Unsupported, status};
use vouchsafe_fleet::decide::{
    self, Decision, EnrolFacts, EnrolIdentity, EnrolPermit, Outcome, Strangers, WishKind,
    approval_id,
};
use vouchsafe_fleet::policy::{self, RequestKind, Verdict};
use vouchsafe_fleet::{
    Actor, ActorKind, Credential, Device, DeviceId, Digest, Evidence, Manufacturer,
    ManufacturerTrust, Refusal,
};
use vouchsafe_keystore::{Algorithm, generate_pkcs8};
use vouchsafe_net::Peer;
use vouchsafe_trust::{
    Certificate, CertificateRequest, PublicKey, Signer, SoftwareSigner, Verified, oid,
};

use super::gate;
use crate::controller::{Controller, Fault};
use crate::issue;
use crate::registrar::{Answer, Message, Proved, note, prove, reason};

/// Which operation was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Enroll,
    Reenroll,
    ServerKeyGen,
}

/// The handler of `simpleenroll`.
pub(super) async fn simple_enroll(
    State(controller): State<Controller>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Message(body): Message,
) -> Response {
    if gate::shows_token(&headers) {
        let issued = gate::enrol(&controller, &peer, &headers, &body).await;
        return of_gate(&controller, issued);
    }
    certificate(enroll(&controller, &peer, &headers, &body, Operation::Enroll).await)
}

/// The handler of `simplereenroll`.
pub(super) async fn simple_reenroll(
    State(controller): State<Controller>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Message(body): Message,
) -> Response {
    match crate::gate::shown(&controller, &peer).await {
        Ok(None) => {}
        Ok(Some(credential)) => {
            let issued = gate::renew(&controller, &peer, &headers, &body, &credential).await;
            return of_gate(&controller, issued);
        }
        Err(fault) => return Answer::from(fault).into_response(),
    }
    certificate(enroll(&controller, &peer, &headers, &body, Operation::Reenroll).await)
}

/// A gate gets the CA's certificate beside its own: it needs the path for EAP.
fn of_gate(controller: &Controller, issued: Result<Certificate, Answer>) -> Response {
    match issued {
        Ok(leaf) => {
            let mut certificates = vec![leaf];
            certificates.extend_from_slice(controller.authority.chain());
            let kind = [(header::CONTENT_TYPE, MEDIA_TYPE_CERTS_ONLY)];
            (kind, est::certs_only_body(&certificates)).into_response()
        }
        Err(answer) => answer.into_response(),
    }
}

/// The handler of `serverkeygen`: the request's own key only proves that its sender can sign.
pub(super) async fn server_key_gen(
    State(controller): State<Controller>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Message(body): Message,
) -> Response {
    if !controller.config.est.server_key_generation {
        let said = "keys are not made here (est.server_key_generation): make one on the device\n";
        return (StatusCode::NOT_IMPLEMENTED, said).into_response();
    }
    match enroll(&controller, &peer, &headers, &body, Operation::ServerKeyGen).await {
        Ok(Issued {
            certificate,
            key: Some(key),
        }) => {
            let body = ServerKey {
                private_key: key,
                certificates: vec![certificate],
            }
            .body();
            let kind = [(header::CONTENT_TYPE, MEDIA_TYPE_SERVER_KEY)];
            (kind, body.expose().to_vec()).into_response()
        }
        other => certificate(other),
    }
}

/// A certificate, and for `serverkeygen` its private key.
struct Issued {
    certificate: Certificate,
    key: Option<vouchsafe_trust::Secret>,
}

fn certificate(issued: Result<Issued, Answer>) -> Response {
    let result = if issued.is_ok() { "issued" } else { "refused" };
    metrics::counter!("vouchsafe_enrolments_total", "result" => result).increment(1);
    match issued {
        Ok(issued) => {
            let kind = [(header::CONTENT_TYPE, MEDIA_TYPE_CERTS_ONLY)];
            (kind, est::certs_only_body(&[issued.certificate])).into_response()
        }
        Err(answer) => answer.into_response(),
    }
}

async fn enroll(
    controller: &Controller,
    peer: &Peer,
    headers: &HeaderMap,
    body: &[u8],
    operation: Operation,
) -> Result<Issued, Answer> {
    let now = controller.clock.now();
    // 1
    let evidence = Evidence::new("csr", Digest::of(body));
    let proved = match prove(controller, peer, now).await {
        Ok(Some(proved)) => proved,
        Ok(None) => {
            let why = Refusal::UnknownDevice.reason();
            note(controller, peer, None, evidence, why.clone(), now).await?;
            return Err(Answer::refused(Refusal::UnknownDevice, vec![why]));
        }
        Err(Answer::Protocol(error)) => {
            note(controller, peer, None, evidence, reason(&error), now).await?;
            return Err(error.into());
        }
        Err(other) => return Err(other),
    };
    let request = match request(controller, peer, headers, body, operation) {
        Ok(request) => request,
        Err(error) => {
            let device = Some(proved.device());
            note(controller, peer, device, evidence, reason(&error), now).await?;
            return Err(Answer::Refused {
                status: StatusCode::from_u16(status::of_est(&error))
                    .unwrap_or(StatusCode::BAD_REQUEST),
                reasons: vec![reason(&error)],
            });
        }
    };
    let (key, made_here) = match operation {
        Operation::Enroll | Operation::Reenroll => (request.public_key().clone(), None),
        Operation::ServerKeyGen => {
            let made = generate_pkcs8(Algorithm::EcdsaP256)
                .map_err(|error| Fault::Sign(error.to_string()))?;
            let signer = SoftwareSigner::from_pkcs8_der(made.expose())
                .map_err(|error| Fault::Sign(error.to_string()))?;
            (signer.public_key().clone(), Some(made))
        }
    };
    let question = Question {
        controller,
        proved: &proved,
        operation,
        request_sha256: Digest::of(request.der()),
        key_spki_sha256: Digest(key.sha256()),
        key: &key,
    };
    // 2 to 4
    let outcome = controller.settle(|| question.settle()).await?;
    // 5
    match outcome.decision {
        Decision::Accept(credential) => Ok(Issued {
            certificate: read_back(&credential.certificate_der)?,
            key: made_here,
        }),
        Decision::Replay(stored) => Ok(Issued {
            certificate: read_back(&stored.body)?,
            key: None,
        }),
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

fn read_back(der: &[u8]) -> Result<Certificate, Fault> {
    Certificate::from_der(der).map_err(|error| Fault::Sign(error.to_string()))
}

/// RFC 7030 §4.2.1, RFC 8995 §5.9.2.
fn request(
    controller: &Controller,
    peer: &Peer,
    headers: &HeaderMap,
    body: &[u8],
    operation: Operation,
) -> Result<Verified<CertificateRequest>, Error> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = kind
        .and_then(|kind| kind.split(';').next())
        .unwrap_or_default()
        .trim();
    if !essence.eq_ignore_ascii_case(MEDIA_TYPE_REQUEST) {
        return Err(Error::Unsupported(Unsupported::MediaType));
    }
    let request = est::parse_request(body)?;
    let required = controller.config.est.require_channel_binding;
    est::check_channel_binding(&request, &peer.exporter, required)?;
    let leaf = peer.certificate().ok_or(Rule::NoTlsClientCertificate)?;
    controller.requirements.check(&request)?;
    let with_credential = leaf.issuer().der() == controller.authority.certificate().subject().der();
    if operation == Operation::Reenroll && with_credential {
        est::check_reenroll(&request, leaf)?;
    }
    // The serial number asked for is the device's own.
    let asked = request.subject().attribute(&oid::SERIAL_NUMBER);
    if asked != leaf.subject_serial_number() {
        return Err(Rule::CsrSubject.into());
    }
    Ok(request)
}

/// What stays the same while a request is decided.
struct Question<'a> {
    controller: &'a Controller,
    proved: &'a Proved,
    operation: Operation,
    request_sha256: Digest,
    key_spki_sha256: Digest,
    key: &'a PublicKey,
}

impl Question<'_> {
    /// Steps 2 to 4, up to the commit.
    async fn settle(&self) -> Result<Outcome<Credential>, Fault> {
        match self.decide().await?.or_other() {
            Ok((permit, _)) => {
                // The CA signs for the permit's key and no other.
                let issued = issue::certify(self.controller, permit.device(), self.key).await?;
                Ok(permit.issue(issued))
            }
            Err(other) => Ok(other),
        }
    }

    async fn decide(&self) -> Result<Outcome<EnrolPermit>, Fault> {
        let store = &self.controller.store;
        let id = self.proved.device();
        let Some(device) = store.device(id).await? else {
            return self.stranger(id).await;
        };
        let catalogue = self.controller.manufacturers.current();
        let known = match self.proved {
            Proved::Birth(birth) => catalogue.manufacturer(birth.manufacturer.record.id),
            Proved::Domain { .. } => catalogue.manufacturer(device.manufacturer),
        };
        let record = known.as_ref().map(|known| &known.record);
        let Some(verdict) = self.verdict(&device, record).await? else {
            return Ok(self.refused(&device, Refusal::UnknownManufacturer));
        };
        // Read anew, and after the device: whoever revokes it changes the device, so that what is decided
        // on an older state of it does not come to be.
        let shown;
        let identity = match self.proved {
            Proved::Birth(birth) => EnrolIdentity::Idevid {
                sha256: Digest(birth.certificate.fingerprint_sha256()),
                spki_sha256: Digest(birth.certificate.public_key().sha256()),
            },
            Proved::Domain { credential } => match store.credential(&credential.id).await? {
                Some(credential) => {
                    shown = credential;
                    EnrolIdentity::Credential(&shown)
                }
                None => return Ok(self.refused(&device, Refusal::CredentialUnknown)),
            },
        };
        let now = self.controller.clock.now();
        let found = store.counting_or_answering(id, self.request_sha256, now);
        let mut found = found.await?;
        let answered = found
            .iter()
            .find(|credential| credential.request_sha256 == self.request_sha256)
            .cloned();
        found.retain(|credential| credential.counts(now));
        let held = found;
        if answered
            .as_ref()
            .is_some_and(|credential| credential.spki_sha256 != self.key_spki_sha256)
        {
            // `serverkeygen` was called twice with the same request, or with one that
            // `simpleenroll` has answered: the key that was made is not kept, so there is no same
            // answer to give.
            return Ok(self.refused(&device, Refusal::Replayed));
        }
        let voucher = store.latest_voucher(id).await?;
        let approval = match verdict.answer {
            policy::Answer::Wait { .. } => {
                let (wish, _) = approval_id(WishKind::Certificate, id, identity.key());
                store.voucher(wish).await?
            }
            policy::Answer::Allow { .. } | policy::Answer::Deny => None,
        };
        let owned_since = self.controller.owned_since(id, approval.as_ref()).await?;
        Ok(decide::enrol(&EnrolFacts {
            now,
            owner: self.controller.owner,
            manufacturer: record,
            device: &device,
            identity,
            request_sha256: self.request_sha256,
            key_spki_sha256: self.key_spki_sha256,
            key_holder: store.key_holder(self.key_spki_sha256).await?,
            answered: answered.as_ref(),
            held: &held,
            voucher: voucher.as_ref(),
            approval: approval.as_ref(),
            owned_since,
            verdict: &verdict,
            idevid_reenrol: !self.controller.config.est.refuse_idevid_renewal,
        }))
    }

    /// What policy says. A device that came in by its bootstrapping key, and shows the certificate
    /// that it got so, is judged as it was then: its manufacturer may be one that nobody named or
    /// trusts. None when nothing speaks for it.
    async fn verdict(
        &self,
        device: &Device,
        manufacturer: Option<&Manufacturer>,
    ) -> Result<Option<Verdict>, Fault> {
        let kind = match self.operation {
            Operation::Reenroll => RequestKind::Renew,
            Operation::Enroll | Operation::ServerKeyGen => RequestKind::Enrol,
        };
        let trusted = manufacturer.is_some_and(|maker| {
            matches!(
                maker.trust,
                ManufacturerTrust::VoucherRequired | ManufacturerTrust::PlainEst
            )
        });
        if !trusted && matches!(self.proved, Proved::Domain { .. }) {
            let standing = self.controller.store.wifi_standing(device.id).await?;
            if let Some(given) = standing.and_then(|standing| standing.given) {
                let verdict =
                    self.controller
                        .dpp_verdict(RequestKind::Renew, device, given.onboarding());
                return Ok(Some(verdict.await?));
            }
        }
        match manufacturer {
            Some(record) => {
                let verdict = self.controller.verdict(kind, Some(device), record);
                Ok(Some(verdict.await?))
            }
            None => Ok(None),
        }
    }

    /// A device of the inventory is told no before there is anything to decide.
    fn refused(&self, device: &Device, refusal: Refusal) -> Outcome<EnrolPermit> {
        Outcome {
            decision: Decision::Refuse {
                refusal,
                reasons: vec![refusal.reason()],
            },
            commit: decide::refused_request(
                self.controller.clock.now(),
                Actor::new(ActorKind::Device, &device.serial),
                Some(device),
                Strangers::default(),
                refusal.reason(),
                vec![self.evidence()],
            ),
        }
    }

    /// A device of a known manufacturer that is in no inventory.
    async fn stranger(&self, id: DeviceId) -> Result<Outcome<EnrolPermit>, Fault> {
        let refusal = Refusal::UnknownDevice;
        let serial = match self.proved {
            Proved::Birth(birth) => birth.certificate.subject_serial_number(),
            Proved::Domain { .. } => None,
        };
        let now = self.controller.clock.now();
        Ok(Outcome {
            decision: Decision::Refuse {
                refusal,
                reasons: vec![refusal.reason()],
            },
            commit: decide::refused_stranger(
                now,
                id,
                serial.unwrap_or("unknown"),
                self.controller.strangers(id, now).await?,
                refusal.reason(),
                vec![self.evidence()],
            ),
        })
    }

    fn evidence(&self) -> Evidence {
        Evidence::new("csr", self.request_sha256)
    }
}
