//! `simpleenroll` and `simplereenroll` for gates.
//!
//! 1. With a token: HTTP Basic, the gate's name and its token, and no certificate (RFC 7030 §3.2.3).
//!    Who shows a wrong one is a stranger, and is written down as far as there is room for such.
//! 2. With the certificate in force (§4.2.2).
//! 3. The request proves its key and names the gate, and nobody else.
//! 4. Decide; the CA signs under the permit; certificate, gate and journal are committed together.
//! 5. The certificate leaves. It is good as server and as client, which no device's is.

use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use vouchsafe_brski::est::{self, MEDIA_TYPE_REQUEST};
use vouchsafe_brski::{Error, Refusal as Rule, Unsupported};
use vouchsafe_fleet::admission::GateCredential;
use vouchsafe_fleet::decide::admission::{
    EnrolGateFacts, GatePermit, RenewGateFacts, enrol_gate, renew_gate, shown_token,
};
use vouchsafe_fleet::decide::{self, Decision, Outcome};
use vouchsafe_fleet::{DeviceId, Digest, Evidence, ManufacturerId, Refusal};
use vouchsafe_net::Peer;
use vouchsafe_trust::{Certificate, CertificateRequest, Name, Verified};

use crate::controller::{Controller, Fault};
use crate::issue;
use crate::registrar::{Answer, reason};

/// Longest Authorization header that is looked at, in bytes.
const MAX_HEADER: usize = 512;

/// Step 1: whether the request is one of a gate at all.
pub(super) fn shows_token(headers: &HeaderMap) -> bool {
    headers.contains_key(header::AUTHORIZATION)
}

/// Steps 1 and 3 to 5.
pub(super) async fn enrol(
    controller: &Controller,
    peer: &Peer,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Certificate, Answer> {
    let evidence = Evidence::new("csr", Digest::of(body));
    let Some((name, token_sha256)) = credentials(headers) else {
        return Err(stranger(controller, "unknown", &evidence).await?);
    };
    let request = async || {
        let request = read(controller, peer, headers, body)?;
        names(&request, &name)?;
        Ok::<_, Error>(request)
    };
    let outcome = controller
        .settle_as::<_, Answer, _, _>(async || {
            let gate = controller.store.gate(&name).await?;
            let now = controller.clock.now();
            let shown = shown_token(&token_sha256);
            let permit = enrol_gate(&EnrolGateFacts {
                now,
                gate: gate.as_ref(),
                token_sha256,
                strangers: controller.strangers(shown, now).await?,
                evidence: &evidence,
            });
            // Only who has the token learns what is wrong with the request, and the token stays good.
            let request = match &permit.decision {
                Decision::Accept(_) => Some(request().await.map_err(|error| refused(&error))?),
                _ => None,
            };
            let earlier = controller.store.gate_credentials(&name).await?;
            sign(controller, permit, request.as_ref(), &earlier).await
        })
        .await?;
    match outcome.decision {
        Decision::Refuse {
            refusal: Refusal::GateTokenUnknown,
            ..
        } => Err(stranger(controller, &name, &evidence).await?),
        decision => certificate(decision),
    }
}

/// Steps 2 to 5, for a certificate that is a gate's, good or not.
pub(super) async fn renew(
    controller: &Controller,
    peer: &Peer,
    headers: &HeaderMap,
    body: &[u8],
    credential: &GateCredential,
) -> Result<Certificate, Answer> {
    let evidence = Evidence::new("csr", Digest::of(body));
    let outcome = controller
        .settle_as::<_, Answer, _, _>(async || {
            let gate = controller.store.gate(&credential.gate).await?;
            let held = controller.store.gate_credentials(&credential.gate).await?;
            let permit = renew_gate(&RenewGateFacts {
                now: controller.clock.now(),
                gate: gate.as_ref(),
                credential,
                held: &held,
                evidence: &evidence,
            });
            let request = match &permit.decision {
                Decision::Accept(_) => {
                    let request = read(controller, peer, headers, body);
                    let request = request.map_err(|error| refused(&error))?;
                    let leaf = peer
                        .certificate()
                        .ok_or_else(|| refused(&Error::Refused(Rule::NoTlsClientCertificate)))?;
                    est::check_reenroll(&request, leaf).map_err(|error| refused(&error))?;
                    Some(request)
                }
                _ => None,
            };
            sign(controller, permit, request.as_ref(), &[]).await
        })
        .await?;
    certificate(outcome.decision)
}

/// Step 4, up to the commit.
async fn sign(
    controller: &Controller,
    permit: Outcome<GatePermit>,
    request: Option<&Verified<CertificateRequest>>,
    earlier: &[GateCredential],
) -> Result<Outcome<Certificate>, Answer> {
    let Outcome { decision, commit } = permit;
    match (decision, request) {
        (Decision::Accept(permit), Some(request)) => {
            let issued =
                issue::certify_gate(controller, permit.gate(), request.public_key()).await?;
            let certificate = Certificate::from_der(&issued.der)
                .map_err(|error| Fault::Sign(error.to_string()))?;
            Ok(permit.issue(&issued, earlier).map(|_| certificate))
        }
        (Decision::Refuse { refusal, reasons }, _) => Ok(Outcome {
            decision: Decision::Refuse { refusal, reasons },
            commit,
        }),
        _ => Err(Fault::Sign("a gate's permit without a request".to_owned()).into()),
    }
}

/// Step 5.
fn certificate(decision: Decision<Certificate>) -> Result<Certificate, Answer> {
    match decision {
        Decision::Accept(certificate) => Ok(certificate),
        Decision::Refuse { refusal, reasons } => match refusal {
            Refusal::GateTokenUsed | Refusal::GateTokenExpired => Err(Answer::Refused {
                status: StatusCode::UNAUTHORIZED,
                reasons,
            }),
            _ => Err(Answer::refused(refusal, reasons)),
        },
        Decision::Wait { .. } | Decision::Replay(_) => {
            Err(Fault::Sign("a decision about a gate that is none".to_owned()).into())
        }
    }
}

/// Somebody without a token that counts: written down once, and as far as there is room.
async fn stranger(
    controller: &Controller,
    name: &str,
    evidence: &Evidence,
) -> Result<Answer, Answer> {
    let now = controller.clock.now();
    let reason = Refusal::GateTokenUnknown.reason();
    let shown: String = format!("gate {name}").chars().take(64).collect();
    let id = DeviceId::new(ManufacturerId::NONE, &shown);
    let strangers = controller.strangers(id, now).await?;
    let evidence = vec![evidence.clone()];
    let commit = decide::refused_stranger(now, id, &shown, strangers, reason.clone(), evidence);
    controller.commit(commit).await.map_err(Fault::Commit)?;
    Ok(Answer::Refused {
        status: StatusCode::UNAUTHORIZED,
        reasons: vec![reason],
    })
}

/// The gate's name, and the digest of its token (RFC 7617 §2).
fn credentials(headers: &HeaderMap) -> Option<(String, Digest)> {
    let value = headers.get(header::AUTHORIZATION)?;
    if value.len() > MAX_HEADER {
        return None;
    }
    let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (name, token) = text.split_once(':')?;
    Some((name.to_owned(), Digest::of(token.as_bytes())))
}

/// Step 3: the request, whose key its sender has.
fn read(
    controller: &Controller,
    peer: &Peer,
    headers: &HeaderMap,
    body: &[u8],
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
    // A gate that has no certificate yet shows its token on this very connection.
    let required = controller.config.est.require_channel_binding && peer.certificate().is_some();
    est::check_channel_binding(&request, &peer.exporter, required)?;
    Ok(request)
}

/// The subject is the gate's name, and nothing else.
fn names(request: &CertificateRequest, name: &str) -> Result<(), Error> {
    let wanted = Name::common(name).map_err(|_| Error::Refused(Rule::CsrSubject))?;
    if request.subject() == &wanted {
        Ok(())
    } else {
        Err(Rule::CsrSubject.into())
    }
}

fn refused(error: &Error) -> Answer {
    let code = vouchsafe_brski::status::of_est(error);
    Answer::Refused {
        status: StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_REQUEST),
        reasons: vec![reason(error)],
    }
}
