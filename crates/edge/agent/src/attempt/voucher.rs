//! Steps 1 to 3 of an attempt: from a connection to somebody, to a connection to the owner.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use vouchsafe_brski::pledge::{PledgeRequest, VoucherRules, reverify_server_chain, verify_voucher};
use vouchsafe_brski::telemetry::StatusReport;
use vouchsafe_brski::{
    Compatibility, Encoding, Error, Nonce, PATH_REQUEST_VOUCHER, Unsupported, Voucher,
};
use vouchsafe_net::Origin;
use vouchsafe_trust::{Certificate, Verified};

use super::patience::{self, Ask, GIVE_UP};
use super::{own_fault, report_voucher};
use crate::candidate::Candidate;
use crate::device::Device;
use crate::error::{Failure, LocalError, Step};
use crate::event::Event;
use crate::folder::Pending;
use crate::keys::blocking;
use crate::random;
use crate::session::{Reply, Session};

/// Random bytes of a nonce.
const NONCE_BYTES: usize = 16;

/// Step 1: TLS stands, and nothing that comes from it is believed.
#[derive(Debug)]
pub(super) struct Provisional {
    session: Session,
    pending: Pending,
    again: bool,
}

/// What became of the request.
#[derive(Debug)]
pub(super) enum Asked {
    Answered(Box<Answered>),
    /// To this origin, which is to be asked instead.
    Redirected(Origin),
}

/// Step 2: there is an answer that says it is a voucher.
#[derive(Debug)]
pub(super) struct Answered {
    session: Session,
    pending: Pending,
    bytes: Vec<u8>,
    encoding: Encoding,
    /// Whether it is one that was accepted before a crash.
    known: bool,
}

/// Step 3: the registrar at the other end is that of the device's owner.
#[derive(Debug)]
pub(super) struct VoucherAccepted {
    pub(super) session: Session,
    pub(super) pending: Pending,
    /// The certificate that the voucher pins, if it pins one.
    pub(super) pinned: Option<Certificate>,
}

impl Provisional {
    /// Step 1 (RFC 8995 §5.1).
    pub(super) async fn connect(device: &Device, candidate: &Candidate) -> Result<Self, Failure> {
        let options = device.provisional().await?;
        let session = Session::open(options, &candidate.origin, candidate.addr).await?;
        device.tell(Event::Connected {
            registrar: session.origin().to_string(),
            found: candidate.found.name(),
            subject: session.server().subject_text(),
        });
        let registrar = hex(&session.server().fingerprint_sha256());
        // A request names the registrar's certificate, so it can only go there again (§5.2).
        let outstanding = device
            .folder
            .pending_from(&registrar, device.now(), GIVE_UP)?;
        let (pending, again) = match outstanding {
            Some(pending) => (pending, true),
            None => (new_request(device, &session, registrar).await?, false),
        };
        Ok(Self {
            session,
            pending,
            again,
        })
    }

    /// Step 2. With a voucher from before a crash there is nothing to ask.
    pub(super) async fn obtain(mut self, device: &Device) -> Result<Asked, Failure> {
        let encoding = self
            .pending
            .encoding()
            .unwrap_or(device.config.voucher.encoding());
        if let Some(voucher) = self.pending.voucher.as_deref().and_then(decode) {
            return Ok(self.answered(voucher, encoding, true));
        }
        let registrar = self.session.origin().to_string();
        let body = decode(&self.pending.request).unwrap_or_default();
        device.tell(Event::VoucherRequested {
            registrar,
            again: self.again,
        });
        let ask = Ask {
            path: PATH_REQUEST_VOUCHER,
            content_type: encoding.media_type(),
            accept: encoding.media_type(),
            body: Bytes::from(body),
        };
        let answer = patience::answer(device, &mut self.session, &ask).await;
        let reply = match answer {
            Err(Failure::NotYet { .. }) if self.is_old(device) => {
                device.folder.drop_pending(&self.pending.registrar)?;
                return Err(Failure::PatienceOver);
            }
            answer => answer?,
        };
        match reply.status {
            200 => {
                let encoding =
                    Encoding::from_media_type(&reply.content_type).filter(|got| *got == encoding);
                match encoding {
                    Some(encoding) => Ok(self.answered(reply.body.to_vec(), encoding, false)),
                    None => {
                        let error = Error::Unsupported(Unsupported::MediaType);
                        Err(self.refuse(device, error).await?)
                    }
                }
            }
            301 | 302 | 303 | 307 | 308 => {
                device.folder.drop_pending(&self.pending.registrar)?;
                self.elsewhere(&reply).map(Asked::Redirected)
            }
            // Its own trouble: the same request may go well later.
            500.. => Err(reply.refusal(Step::VoucherRequest)),
            _ => {
                device.folder.drop_pending(&self.pending.registrar)?;
                Err(reply.refusal(Step::VoucherRequest))
            }
        }
    }

    fn is_old(&self, device: &Device) -> bool {
        device.now().duration_since(self.pending.since).abs() >= GIVE_UP
    }

    fn elsewhere(&self, reply: &Reply) -> Result<Origin, Failure> {
        let location = reply.location.as_deref().and_then(|text| text.parse().ok());
        match location {
            Some(origin) if origin != *self.session.origin() => Ok(origin),
            _ => Err(Failure::Redirected),
        }
    }

    async fn refuse(&mut self, device: &Device, error: Error) -> Result<Failure, LocalError> {
        refuse(device, &mut self.session, &self.pending, error).await
    }

    fn answered(self, bytes: Vec<u8>, encoding: Encoding, known: bool) -> Asked {
        let Self {
            session, pending, ..
        } = self;
        Asked::Answered(Box::new(Answered {
            session,
            pending,
            bytes,
            encoding,
            known,
        }))
    }
}

impl Answered {
    /// Step 3 (RFC 8995 §5.6.1, §5.6.2), and the report on it (§5.7).
    pub(super) async fn check(mut self, device: &Device) -> Result<VoucherAccepted, Failure> {
        let voucher = match self.verify(device)? {
            Ok(voucher) => voucher,
            Err(error) => {
                let failure = refuse(device, &mut self.session, &self.pending, error).await?;
                return Err(failure);
            }
        };
        let registrar = self.session.origin().to_string();
        if !self.known {
            self.pending.voucher = Some(STANDARD.encode(&self.bytes));
            self.pending.clock_correction = correction(device, &voucher)?;
            device.folder.put_pending(&self.pending)?;
        }
        let pinned = voucher.pinned_domain_cert.as_deref();
        let pinned = pinned.and_then(|der| Certificate::from_der(der).ok());
        device.tell(Event::VoucherAccepted {
            registrar,
            assertion: voucher.assertion.name(),
            domain: match &pinned {
                Some(certificate) => certificate.subject_text(),
                None => "a public key".to_owned(),
            },
        });
        // After a crash the report may have been sent before; the same one twice changes nothing.
        report_voucher(&mut self.session, &StatusReport::success()).await;
        Ok(VoucherAccepted {
            session: self.session,
            pending: self.pending,
            pinned,
        })
    }

    /// The outer error is the device's, the inner one the voucher's.
    fn verify(&self, device: &Device) -> Result<Result<Verified<Voucher>, Error>, LocalError> {
        let now = device.trusted_now()?;
        let nonce = nonce(&self.pending, self.encoding);
        let compatibility = Compatibility::default();
        let rules = VoucherRules {
            masa: &device.birth.masa_anchors,
            idevid: device.birth.idevid()?,
            nonce: nonce.as_ref(),
            now,
            skew: device.config.skew(),
            nonceless: device.config.nonceless.rule(),
            compatibility: &compatibility,
        };
        Ok(
            verify_voucher(&self.bytes, self.encoding, &rules).and_then(|voucher| {
                reverify_server_chain(&voucher, &self.session.server_chain(), now)?;
                Ok(voucher)
            }),
        )
    }
}

/// Forgets the request, tells the registrar why, and gives the failure.
async fn refuse(
    device: &Device,
    session: &mut Session,
    pending: &Pending,
    error: Error,
) -> Result<Failure, LocalError> {
    device.folder.drop_pending(&pending.registrar)?;
    if let Some(key) = &pending.key {
        device.keys.delete(&key.label).await?;
    }
    device.tell(Event::VoucherRefused {
        registrar: session.origin().to_string(),
        code: error.reason_code(),
        section: error.section(),
        text: error.to_string(),
    });
    report_voucher(session, &StatusReport::failure(&error)).await;
    Ok(Failure::Refused(error))
}

/// A fresh request (RFC 8995 §5.2), durable before it is sent.
async fn new_request(
    device: &Device,
    session: &Session,
    registrar: String,
) -> Result<Pending, LocalError> {
    let encoding = device.config.voucher.encoding();
    let nonce = Nonce::fresh(&random::bytes::<NONCE_BYTES>()?, encoding).map_err(own_fault)?;
    let created_on = device.trusted_now()?;
    let signer = device.keys.birth().await?;
    let (chain, server) = (device.birth.chain.clone(), session.server().clone());
    let sent_nonce = nonce.clone();
    let request = blocking(move || {
        let request = PledgeRequest {
            idevid_chain: &chain,
            nonce: &sent_nonce,
            created_on,
            registrar: &server,
        };
        request.sign(encoding, Arc::as_ref(&signer), &Compatibility::default())
    })
    .await?
    .map_err(own_fault)?;
    let pending = Pending {
        registrar,
        nonce: nonce.to_text(),
        request: STANDARD.encode(request),
        media_type: encoding.media_type().to_owned(),
        since: device.now(),
        voucher: None,
        clock_correction: 0,
        key: None,
    };
    for forgotten in device.folder.put_pending(&pending)? {
        device.keys.delete(&forgotten).await?;
    }
    Ok(pending)
}

/// Without a clock to rely on, a voucher that answers our nonce was made just now, and says when
/// (RFC 8995 §2.6.1).
fn correction(device: &Device, voucher: &Voucher) -> Result<i64, LocalError> {
    if device.trusted_now()?.is_some() || voucher.nonce.is_none() {
        return Ok(0);
    }
    let behind = voucher.created_on.duration_since(device.now());
    Ok(i64::try_from(behind.as_millis()).unwrap_or(0))
}

fn nonce(pending: &Pending, encoding: Encoding) -> Option<Nonce> {
    match encoding {
        Encoding::CmsJson | Encoding::JwsJson => Some(Nonce::Text(pending.nonce.clone())),
        Encoding::CoseCbor => decode(&pending.nonce).map(Nonce::Bytes),
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
