//! Step 4 of an attempt, and of every renewal: a new key and a certificate for it (RFC 8995 §5.9,
//! RFC 7030 §4.2).
//!
//! 1. `cacerts`: the domain's certificates (§5.9.1).
//! 2. `csrattrs`: what the request shall hold (§5.9.2).
//! 3. A key: its name is remembered, then it is made.
//! 4. The request: remembered if it can be repeated, then sent.
//! 5. The answer: a certificate for this key, for this device, by this domain.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use vouchsafe_brski::csrattrs::{CsrAttributes, KeyKind};
use vouchsafe_brski::est::{self, Operation};
use vouchsafe_brski::{Error, Refusal};
use vouchsafe_keystore::Algorithm;
use vouchsafe_trust::{
    Anchors, Certificate, CertificateRequest, Name, PathRules, RequestContent, Signer, Usage, oid,
    verify_path,
};

use super::patience::{self, Ask};
use crate::config::ChannelBinding;
use crate::device::Device;
use crate::error::{Failure, LocalError, Step, UnusableCertificate};
use crate::event::Event;
use crate::folder::{Folder, KeyRequest, Pending, Stored};
use crate::keys::blocking;
use crate::session::Session;

/// Where the key request is remembered.
#[derive(Debug)]
pub(crate) enum Slot {
    /// Before the first credential.
    Pending(Pending),
    /// Beside the credential that is to be replaced.
    Renewal(Box<Stored>),
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind<'a> {
    /// A first certificate.
    First,
    /// Another one, shown the present one, whose names are kept (RFC 7030 §4.2.2).
    Renewal(&'a Certificate),
    /// Another one, shown the birth certificate since the present one has run out.
    RenewalAsBorn,
}

/// A certificate that was checked, not yet installed.
#[derive(Debug)]
pub(crate) struct Issued {
    /// The key's label.
    pub(crate) label: String,
    /// The certificate and what leads to the anchor, without the anchor.
    pub(crate) chain: Vec<Certificate>,
    /// The domain's CA certificates.
    pub(crate) authorities: Vec<Certificate>,
}

impl Slot {
    fn key(&self) -> Option<&KeyRequest> {
        match self {
            Self::Pending(pending) => pending.key.as_ref(),
            Self::Renewal(stored) => stored.renewal.as_ref(),
        }
    }

    fn remember(&mut self, folder: &Folder, key: Option<KeyRequest>) -> Result<(), LocalError> {
        match self {
            Self::Pending(pending) => {
                pending.key = key;
                folder.put_pending(pending).map(drop)
            }
            Self::Renewal(stored) => {
                stored.renewal = key;
                folder.install(stored).map(drop)
            }
        }
    }
}

/// Steps 1 to 5, on a connection to the domain's registrar.
pub(crate) async fn request(
    device: &Device,
    session: &mut Session,
    slot: &mut Slot,
    kind: Kind<'_>,
    now: Timestamp,
) -> Result<Issued, Failure> {
    // 1, 2
    let authorities = authorities(session).await?;
    let wanted = attributes(session).await?;
    // 3
    let (label, signer) = key(device, slot, &wanted).await?;
    // 4
    let answer = ask(device, session, slot, kind, &wanted, &label, &signer).await;
    let certificates = match answer {
        Ok(certificates) => certificates,
        Err(failure) => {
            if final_answer(&failure) {
                slot.remember(&device.folder, None)?;
                device.keys.delete(&label).await?;
            }
            return Err(failure);
        }
    };
    // 5
    match check(device, &certificates, &signer, &authorities, now) {
        Ok(chain) => Ok(Issued {
            label,
            chain,
            authorities,
        }),
        Err(unusable) => {
            slot.remember(&device.folder, None)?;
            device.keys.delete(&label).await?;
            Err(Failure::Certificate(unusable))
        }
    }
}

/// The domain's certificates, and the pinned one if they lack it and it is an authority's.
pub(crate) fn with_pin(
    mut authorities: Vec<Certificate>,
    pinned: Option<Certificate>,
) -> Vec<Certificate> {
    if let Some(pinned) = pinned
        && pinned.is_ca()
        && !authorities.contains(&pinned)
    {
        authorities.push(pinned);
    }
    authorities
}

async fn authorities(session: &mut Session) -> Result<Vec<Certificate>, Failure> {
    let path = path(Operation::CaCerts);
    let reply = session
        .get(&path, "application/pkcs7-mime")
        .await?
        .success(Step::CaCerts)?;
    let mut authorities = est::parse_certs_only(&reply.body)?;
    authorities.retain(Certificate::is_ca);
    if authorities.is_empty() {
        return Err(Failure::Certificate(UnusableCertificate::NoAuthority));
    }
    Ok(authorities)
}

async fn attributes(session: &mut Session) -> Result<CsrAttributes, Failure> {
    let path = path(Operation::CsrAttrs);
    let reply = session.get(&path, est::MEDIA_TYPE_ATTRIBUTES).await?;
    match reply.status {
        // RFC 7030 §4.5.2: none are wanted, or the server does not know the operation.
        204 | 404 => Ok(CsrAttributes::default()),
        _ => {
            let reply = reply.success(Step::CsrAttrs)?;
            Ok(CsrAttributes::from_der(&est::decode_body(&reply.body)?)?)
        }
    }
}

/// The key under the remembered label, or a new one.
async fn key(
    device: &Device,
    slot: &mut Slot,
    wanted: &CsrAttributes,
) -> Result<(String, Arc<dyn Signer>), Failure> {
    let algorithm = match wanted.key {
        None => device.config.algorithm()?,
        Some(KeyKind::P256) => Algorithm::EcdsaP256,
        Some(KeyKind::P384) => Algorithm::EcdsaP384,
        Some(KeyKind::Ed25519) => Algorithm::Ed25519,
        Some(KeyKind::P521 | KeyKind::Rsa(_)) => {
            return Err(Failure::Certificate(UnusableCertificate::KeyKind));
        }
    };
    if let Some(key) = slot.key().cloned() {
        let signer = device.keys.load_or_create(&key.label, algorithm).await?;
        if signer.algorithm() == algorithm.signature_algorithm() {
            return Ok((key.label, signer));
        }
        device.keys.delete(&key.label).await?;
    }
    let label = device.keys.fresh_label()?;
    let fresh = KeyRequest {
        label: label.clone(),
        request: None,
    };
    slot.remember(&device.folder, Some(fresh))?;
    let signer = device.keys.load_or_create(&label, algorithm).await?;
    Ok((label, signer))
}

async fn ask(
    device: &Device,
    session: &mut Session,
    slot: &mut Slot,
    kind: Kind<'_>,
    wanted: &CsrAttributes,
    label: &str,
    signer: &Arc<dyn Signer>,
) -> Result<Vec<Certificate>, Failure> {
    let bound = device.config.channel_binding == ChannelBinding::Always
        || wanted.attributes.contains(&oid::CHALLENGE_PASSWORD);
    let sent_before = slot.key().and_then(|key| key.request.as_deref());
    let request = match sent_before
        .filter(|_| !bound)
        .and_then(|text| STANDARD.decode(text).ok())
    {
        Some(request) => request,
        None => {
            let password = if bound {
                Some(est::channel_binding(&session.exporter().await?))
            } else {
                None
            };
            let request = build(device, kind, wanted, password, signer).await?;
            let encoded = (!bound).then(|| STANDARD.encode(&request));
            let key = KeyRequest {
                label: label.to_owned(),
                request: encoded,
            };
            slot.remember(&device.folder, Some(key))?;
            request
        }
    };
    device.tell(Event::EnrolmentRequested {
        registrar: session.origin().to_string(),
    });
    let (operation, step) = match kind {
        Kind::First => (Operation::SimpleEnroll, Step::Enroll),
        Kind::Renewal(_) | Kind::RenewalAsBorn => (Operation::SimpleReenroll, Step::Reenroll),
    };
    let ask = Ask {
        path: &path(operation),
        content_type: est::MEDIA_TYPE_REQUEST,
        accept: est::MEDIA_TYPE_CERTS_ONLY,
        body: Bytes::from(est::encode_body(&request)),
    };
    let reply = if bound {
        // Bound to this connection, it cannot outlive it.
        patience::once(device, session, &ask)
            .await?
            .map_err(|retry_after| Failure::NotYet { retry_after })?
    } else {
        patience::answer(device, session, &ask).await?
    };
    Ok(est::parse_certs_only(&reply.success(step)?.body)?)
}

async fn build(
    device: &Device,
    kind: Kind<'_>,
    wanted: &CsrAttributes,
    challenge_password: Option<String>,
    signer: &Arc<dyn Signer>,
) -> Result<Vec<u8>, Failure> {
    let sign = |error: vouchsafe_trust::IssueError| LocalError::Sign(error.to_string());
    let serial = device.birth.device.serial.as_str();
    let subject = Name::new(&[(oid::SERIAL_NUMBER, serial)]).map_err(sign)?;
    let own = RequestContent {
        challenge_password,
        ..RequestContent::new(subject)
    };
    let content = match kind {
        Kind::First | Kind::RenewalAsBorn => wanted.request_content(&own, signer.public_key())?,
        // RFC 7030 §4.2.2: subject and alternative names as they are.
        Kind::Renewal(current) => RequestContent {
            subject: current.subject().clone(),
            extensions: current
                .extension(&oid::SUBJECT_ALT_NAME)
                .cloned()
                .into_iter()
                .collect(),
            ..own
        },
    };
    let signer = Arc::clone(signer);
    let built = blocking(move || CertificateRequest::build(&content, &*signer)).await?;
    Ok(built.map_err(sign)?)
}

/// Step 5. What comes back is the path without its anchor.
fn check(
    device: &Device,
    certificates: &[Certificate],
    signer: &Arc<dyn Signer>,
    authorities: &[Certificate],
    now: Timestamp,
) -> Result<Vec<Certificate>, UnusableCertificate> {
    let leaf = certificates
        .iter()
        .find(|certificate| certificate.public_key() == signer.public_key())
        .ok_or(UnusableCertificate::OtherKey)?;
    let names_other = |serial| serial != device.birth.device.serial;
    if leaf.subject_serial_number().is_some_and(names_other) {
        return Err(UnusableCertificate::OtherSerial);
    }
    let between: Vec<_> = certificates
        .iter()
        .filter(|certificate| *certificate != leaf)
        .cloned()
        .collect();
    let anchors = Anchors::new(authorities.to_vec()).map_err(UnusableCertificate::Path)?;
    let rules = PathRules::strict(now, Usage::TlsClient);
    let path = verify_path(leaf, &between, &anchors, &rules).map_err(UnusableCertificate::Path)?;
    let mut chain = path.certificates().to_vec();
    if chain.len() > 1 {
        chain.pop();
    }
    Ok(chain)
}

/// Whether asking the same again would be answered the same.
fn final_answer(failure: &Failure) -> bool {
    match failure {
        Failure::Answered { status, .. } => *status < 500,
        Failure::Refused(Error::Refused(Refusal::CsrKeyType)) => true,
        _ => false,
    }
}

fn path(operation: Operation) -> String {
    format!("{}/{}", est::PATH, operation.name())
}
