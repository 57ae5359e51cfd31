//! Who asks, and for which device: a registrar's voucher request proved.
//!
//! 1. The media type names the encoding; the answer will be in one that the registrar takes.
//! 2. The certificates that came along say which owner this would be. A known one must lead to
//!    the domain CA that it handed over, an unknown one to the top of its own chain.
//! 3. The request and the device's request inside are proved (RFC 8995 §5.5.3 to §5.5.6).
//! 4. Without nonce the TLS client must be proved to be of that domain too (§5.5.4).
//! 5. Without a device's request inside, the issuer that is named is held against the birth
//!    certificate on record (§5.5).

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use vouchsafe_brski::masa::{
    Pin, ProximityMismatch, RegistrarRequestRules, RegistrarTrust, RegistrarVoucherRequest,
    registrar_chain, verify_registrar_request,
};
use vouchsafe_brski::{Encoding, Error, Nonce, Refusal, Unsupported, audit};
use vouchsafe_fleet::decide::{self, Requester, Strangers};
use vouchsafe_fleet::{Actor, ActorKind, DeviceId, Digest, Evidence, Owner, OwnerId};
use vouchsafe_net::Peer;
use vouchsafe_trust::{
    Anchors, Certificate, IdevidRules, PathRules, Revocation, Usage, Verified, verify_path,
};

use super::answer::reason;
use super::{Answer, Masa};
use crate::factory::FactoryError;
use crate::owners::KnownOwner;

/// Certificates of a request that are looked up as a domain CA.
const MAX_CANDIDATES: usize = 8;

/// A proved request.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: Verified<RegistrarVoucherRequest>,
    /// The owner whose domain CA the registrar's path ends in.
    pub(super) owner: OwnerId,
    /// The registrar's name for people.
    pub(super) name: String,
    /// The domain to be pinned (RFC 8995 §5.8.2).
    pub(super) domain_id: String,
    pub(super) pin: Pin,
    pub(super) digest: Digest,
    pub(super) encoding: Encoding,
}

impl Asked {
    /// The requester as decisions take it; `known` is the owner's row.
    pub(super) fn requester<'a>(&'a self, known: Option<&'a Owner>) -> Requester<'a> {
        Requester {
            owner: self.owner,
            name: &self.name,
            domain_id: &self.domain_id,
            known,
            // A revoked registrar does not get this far.
            revoked: false,
        }
    }

    /// The nonce as spelled, and base64 of its octets: one spelling of many must not make it another.
    pub(super) fn nonce(&self) -> Option<(String, String)> {
        let nonce = self.request.request.nonce.as_ref()?;
        let octets = Nonce::Bytes(nonce.octets());
        Some((nonce.to_text(), octets.to_text()))
    }
}

/// Steps 1 to 5. A refusal is journaled before it is told.
pub(super) async fn prove(
    masa: &Masa,
    peer: &Peer,
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<Asked, Answer> {
    // 1
    let encoding = content_encoding(headers)?;
    // 2
    let compatibility = &masa.factory.compatibility;
    let chain = match registrar_chain(body, encoding, compatibility) {
        Ok(chain) => chain,
        Err(error) => return Err(note(masa, Some(body), None, error, now).await),
    };
    let known = find_owner(masa, &chain, &peer.chain).await?;
    // 3, 4
    let mut proved = verify(masa, peer, known.as_deref(), &chain, body, encoding, now);
    // 5
    if let Ok(request) = &proved
        && let Err(refusal) = check_issuer(masa, request).await?
    {
        proved = Err(refusal.into());
    }
    match proved.and_then(|request| asked(request, body, encoding)) {
        Ok(asked) => Ok(asked),
        Err(error) => Err(note(masa, Some(body), known.as_deref(), error, now).await),
    }
}

/// RFC 8995 §5.6: 415 for a body that is no voucher request.
fn content_encoding(headers: &HeaderMap) -> Result<Encoding, Error> {
    text(headers, header::CONTENT_TYPE)
        .and_then(Encoding::from_media_type)
        .ok_or(Error::Unsupported(Unsupported::MediaType))
}

/// RFC 8995 §5.6: the encoding of the voucher, 406 where none would be taken.
pub(super) fn answer_encoding(headers: &HeaderMap, asked: Encoding) -> Result<Encoding, Error> {
    Encoding::from_accept(text(headers, header::ACCEPT), asked)
        .ok_or(Error::Unsupported(Unsupported::NotAcceptable))
}

pub(super) fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Step 2. Owners that another program added are found in the store.
async fn find_owner(
    masa: &Masa,
    chain: &[Certificate],
    tls: &[Certificate],
) -> Result<Option<std::sync::Arc<KnownOwner>>, Answer> {
    let owners = &masa.factory.owners;
    if let Some(known) = owners.behind(chain).or_else(|| owners.behind(tls)) {
        return Ok(Some(known));
    }
    let authorities = chain
        .iter()
        .chain(tls)
        .filter(|candidate| candidate.is_ca());
    for candidate in authorities.take(MAX_CANDIDATES) {
        let id = OwnerId::of_domain_ca(candidate.public_key().spki_der());
        if let Some(owner) = masa.factory.store.owner(id).await? {
            masa.factory.owners.remember(&owner).await?;
            // One that came first and never handed its CA over stays proved by its key alone.
            return Ok(owners.known(id));
        }
    }
    Ok(None)
}

/// Steps 3 and 4.
fn verify(
    masa: &Masa,
    peer: &Peer,
    known: Option<&KnownOwner>,
    chain: &[Certificate],
    body: &[u8],
    encoding: Encoding,
    now: Timestamp,
) -> Result<Verified<RegistrarVoucherRequest>, Error> {
    let factory = &masa.factory;
    let config = &factory.home.config.vouchers;
    // RFC 8995 §5.5.3 speaks of certificates that say where their revocation can be looked up.
    let points = chain
        .first()
        .is_some_and(|signer| !signer.crl_urls().is_empty() || !signer.ocsp_urls().is_empty());
    let required = config.require_revocation_list && points;
    let revocation = match known {
        Some(owner) => owner.revocation(required),
        None if required => Revocation::Checked {
            lists: Vec::new(),
            unknown_is_fatal: true,
        },
        None => Revocation::NotChecked,
    };
    let rules = RegistrarRequestRules {
        registrar: known.map_or(RegistrarTrust::Presented, |owner| {
            RegistrarTrust::Known(&owner.anchors)
        }),
        tls_client: peer.certificate(),
        manufacturer: &factory.anchors,
        idevid: &IdevidRules::default(),
        devices: &[],
        vouchers: &factory.home.masa_anchors,
        revocation: &revocation,
        now,
        max_age: config.max_age.signed(),
        skew: config.skew.signed(),
        proximity_mismatch: ProximityMismatch::Refuse,
        compatibility: &factory.compatibility,
    };
    let request = verify_registrar_request(body, encoding, &rules)?;
    if request.request.nonce.is_none() {
        authenticate(peer, known.map(|owner| &owner.anchors), &revocation, now)?;
    }
    Ok(request)
}

/// Step 4 (RFC 8995 §5.5.4): nothing fresh of the device is in a request without nonce, so the
/// connection itself must be one of the domain.
fn authenticate(
    peer: &Peer,
    anchors: Option<&Anchors>,
    revocation: &Revocation,
    now: Timestamp,
) -> Result<(), Refusal> {
    let (leaf, others) = peer.chain.split_first().ok_or(Refusal::RegistrarUnknown)?;
    let anchors = anchors.ok_or(Refusal::RegistrarUnknown)?;
    let rules = PathRules::strict(now, Usage::TlsClient).with_revocation(revocation.clone());
    verify_path(leaf, others, anchors, &rules)
        .map(|_| ())
        .map_err(|_| Refusal::RegistrarUnknown)
}

/// Step 5. About a device that is not on record there is nothing to say: it gets no voucher.
async fn check_issuer(
    masa: &Masa,
    request: &RegistrarVoucherRequest,
) -> Result<Result<(), Refusal>, FactoryError> {
    if request.pledge.is_some() {
        return Ok(Ok(()));
    }
    let factory = &masa.factory;
    let id = DeviceId::new(factory.home.id, &request.request.serial_number);
    let device = factory.store.device(id).await?;
    match device.and_then(|device| device.idevid_der) {
        Some(der) => {
            let idevid = Certificate::from_der(&der)?;
            Ok(request.check_issuer(&idevid, &factory.compatibility))
        }
        None => Ok(Ok(())),
    }
}

fn asked(
    request: Verified<RegistrarVoucherRequest>,
    body: &[u8],
    encoding: Encoding,
) -> Result<Asked, Error> {
    // The path was proved, so it has an end.
    let top = request.registrar_path.last().ok_or(Refusal::NothingToPin)?;
    let owner = OwnerId::of_domain_ca(top.public_key().spki_der());
    // Constrained voucher draft §8.2: a voucher for later pins as high as it can.
    let (pin, pinned) = match &request.request.nonce {
        Some(_) => (Pin::LowestCa, request.domain()),
        None => (Pin::HighestCa, highest_ca(&request).or(request.domain())),
    };
    let domain_id = audit::domain_id(pinned.ok_or(Refusal::NothingToPin)?);
    Ok(Asked {
        owner,
        name: request.registrar.subject_text().chars().take(128).collect(),
        domain_id,
        pin,
        digest: Digest::of(body),
        encoding,
        request,
    })
}

fn highest_ca(request: &RegistrarVoucherRequest) -> Option<&Certificate> {
    let mut carried = request.pinnable.iter().rev();
    carried.find(|certificate| certificate.is_ca())
}

/// Journals a request that broke a rule, as far as there is room for what nobody proved. `body` is
/// none where it was not read.
pub(super) async fn note(
    masa: &Masa,
    body: Option<&[u8]>,
    known: Option<&KnownOwner>,
    error: Error,
    now: Timestamp,
) -> Answer {
    let reason = reason(&error);
    tracing::warn!(reason = %reason.code, "a registrar's request was refused: {error}");
    if masa.unproved.take(&(), now).is_err() {
        return error.into();
    }
    let read = body.map(|body| Evidence::new("registrar-voucher-request", Digest::of(body)));
    let name = known.map_or_else(|| "unknown".to_owned(), |owner| owner.id.to_string());
    let commit = decide::refused_request(
        now,
        Actor::new(ActorKind::Registrar, name),
        None,
        Strangers::default(),
        reason,
        read.into_iter().collect(),
    );
    match masa.factory.commit(commit).await {
        Ok(()) => error.into(),
        Err(failed) => Answer::Fault(FactoryError::Commit(failed)),
    }
}

/// `POST /masa/v1/revocation-list`: a list proves itself, so anybody may bring it.
pub(super) async fn put_revocation_list(
    State(masa): State<Masa>,
    Extension(peer): Extension<Peer>,
    body: Bytes,
) -> Response {
    let now = masa.factory.clock.now();
    if let Err(answer) = masa.may_ask(peer.addr.ip(), now) {
        return answer.into_response();
    }
    match masa.factory.owners.take_revocation_list(&body, now).await {
        Ok(true) => super::text(StatusCode::OK, "the list is in use\n"),
        Ok(false) => super::text(StatusCode::OK, "a newer list is in use already\n"),
        Err(error @ (FactoryError::NoSuchOwner(_) | FactoryError::RevocationList(_))) => {
            super::text(StatusCode::FORBIDDEN, &format!("refused: {error}\n"))
        }
        Err(error) => Answer::Fault(error).into_response(),
    }
}
