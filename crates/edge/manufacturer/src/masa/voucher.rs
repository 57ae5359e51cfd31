//! `POST /.well-known/brski/requestvoucher` (RFC 8995 §5.5, §5.6), in the steps of the module
//! above.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use vouchsafe_brski::masa::{self as protocol, VoucherTerms};
use vouchsafe_brski::{Encoding, Error, Unsupported};
use vouchsafe_fleet::decide::{
    self, Decision, IssuedVoucher, MasaVoucherFacts, Outcome, StoredAnswer, VoucherPermit,
};
use vouchsafe_fleet::{DeviceId, VoucherId, VoucherRecord};
use vouchsafe_net::Peer;

use super::message::Message;
use super::request::{self, Asked};
use super::{Answer, Masa};
use crate::factory::{FactoryError, off_thread};

/// The handler.
pub(super) async fn request_voucher(
    State(masa): State<Masa>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Message(body): Message,
) -> Response {
    let (result, response) = match answer(&masa, &peer, &headers, &body).await {
        Ok(granted) => {
            let kind = [(header::CONTENT_TYPE, granted.media_type)];
            ("issued", (kind, granted.body).into_response())
        }
        Err(answer) => (answer.kind(), answer.into_response()),
    };
    metrics::counter!("vouchsafe_masa_requests_total", "request" => "voucher", "result" => result)
        .increment(1);
    response
}

async fn answer(
    masa: &Masa,
    peer: &Peer,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<StoredAnswer, Answer> {
    let now = masa.factory.clock.now();
    // 1
    masa.may_ask(peer.addr.ip(), now)?;
    // 2
    let asked = request::prove(masa, peer, headers, body, now).await?;
    masa.owner_may_ask(asked.owner, now)?;
    let encoding = request::answer_encoding(headers, asked.encoding)?;
    // 3 to 5
    let asked = std::sync::Arc::new(asked);
    let outcome = masa
        .factory
        .settle(|| decide(masa, &asked, encoding, now))
        .await?;
    match outcome.decision {
        Decision::Accept(record) => Ok(StoredAnswer {
            media_type: record.media_type,
            body: record.voucher.unwrap_or_default(),
        }),
        Decision::Replay(stored) if stored.media_type == encoding.media_type() => Ok(stored),
        Decision::Replay(_) => Err(Error::Unsupported(Unsupported::NotAcceptable).into()),
        Decision::Refuse { refusal, reasons } => Err(Answer::Refused { refusal, reasons }),
        Decision::Wait { retry_after, .. } => Err(Answer::TooMany(retry_after)),
    }
}

/// Steps 3 and 4, once.
async fn decide(
    masa: &Masa,
    asked: &std::sync::Arc<Asked>,
    encoding: Encoding,
    now: Timestamp,
) -> Result<Outcome<VoucherRecord>, FactoryError> {
    // 3
    let factory = &masa.factory;
    let (store, config) = (&factory.store, &factory.home.config);
    let serial = asked.request.request.serial_number.as_str();
    let id = DeviceId::new(factory.home.id, serial);
    let device = store.device(id).await?;
    let known = store.owner(asked.owner).await?;
    let ownerships = store.ownerships(id).await?;
    let nonce = asked.nonce();
    let voucher = VoucherId::new(id, asked.digest);
    let (record, same_nonce) = match &nonce {
        Some((_, octets)) => store.voucher_or_same_nonce(voucher, id, octets).await?,
        None => (store.voucher(voucher).await?, None),
    };
    let (audit, truncation) = store.audit_log(id).await?;
    let model = device.as_ref().and_then(|device| device.model.as_deref());
    // 4
    let outcome = decide::masa_voucher(&MasaVoucherFacts {
        now,
        policy: config.ownership.of_model(model),
        nonceless_allowed: config.vouchers.nonceless,
        prior_request_required: config.vouchers.require_device_request,
        requester: asked.requester(known.as_ref()),
        serial,
        device: device.as_ref(),
        current: ownerships
            .iter()
            .rev()
            .find(|ownership| ownership.until.is_none()),
        owned_once: ownerships
            .iter()
            .any(|ownership| ownership.owner == asked.owner),
        request_sha256: asked.digest,
        media_type: encoding.media_type(),
        nonce: nonce
            .as_ref()
            .map(|(spelled, octets)| (spelled.as_str(), octets.as_str())),
        prior_request: asked.request.pledge.is_some() || asked.request.prior_voucher.is_some(),
        proximity: asked.request.proximity,
        record: record.as_ref(),
        same_nonce: same_nonce.as_ref(),
        audit: &audit,
        truncation,
    });
    match outcome.or_other() {
        Ok((permit, _)) => {
            let voucher = sign(masa, asked, &permit, encoding, now).await?;
            Ok(permit.issue(voucher))
        }
        Err(other) => Ok(masa.bounded(id, now, other)),
    }
}

/// Signs what the permit allows.
async fn sign(
    masa: &Masa,
    asked: &std::sync::Arc<Asked>,
    permit: &VoucherPermit,
    encoding: Encoding,
    now: Timestamp,
) -> Result<IssuedVoucher, FactoryError> {
    let factory = masa.factory.clone();
    let config = &factory.home.config.vouchers;
    let terms = VoucherTerms {
        created_on: now,
        lifetime: config.lifetime.signed(),
        ownership_verified: permit.assertion() == "verified",
        pin: asked.pin,
        last_renewal: (config.renewal.seconds() > 0)
            .then(|| now.saturating_add(config.renewal.signed()).ok())
            .flatten(),
    };
    let may_block = factory.home.voucher_signer.may_block();
    let asked = asked.clone();
    let work = move || {
        // Devices hold the issuer as their anchor: only the signer's own certificate goes along.
        let chain = factory.home.voucher_chain.get(..1).unwrap_or_default();
        protocol::issue_voucher(
            &asked.request,
            &terms,
            encoding,
            chain,
            &*factory.home.voucher_signer,
            &factory.compatibility,
        )
    };
    let issued = if may_block {
        off_thread(work).await?
    } else {
        work()
    };
    let issued = issued.map_err(FactoryError::Voucher)?;
    Ok(IssuedVoucher {
        body: issued.bytes,
        media_type: encoding.media_type().to_owned(),
        expires_on: issued.voucher.expires_on,
    })
}
