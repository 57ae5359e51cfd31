//! Renewal: another certificate for another key, before or after the present one ends.
//!
//! 1. `simplereenroll` with the credential (RFC 7030 §4.2.2), while it is valid.
//! 2. `simplereenroll` with the birth certificate, when it is not, or was refused.
//! 3. All over again with a voucher, when that is refused too, or when nobody is left to ask and the
//!    credential has ended. Until there is another, the present one stays in force.

use std::net::SocketAddr;

use crate::attempt::enrol::{self, Kind, Slot};
use crate::attempt::{install, report_success};
use crate::birth::pem;
use crate::candidate::Candidate;
use crate::device::Device;
use crate::error::{Failure, LocalError};
use crate::event::Event;
use crate::folder::{Credential, Stored};
use crate::session::Session;

/// Why there is no new credential.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// The device itself.
    Local(LocalError),
    /// Step 3 is next.
    StartAgain,
    /// Nobody was there to say yes or no.
    Later(Vec<(Candidate, Failure)>),
}

impl From<LocalError> for Stopped {
    fn from(error: LocalError) -> Self {
        Self::Local(error)
    }
}

/// Steps 1 and 2, at the first candidate that answers.
pub(crate) async fn renew(
    device: &Device,
    credential: Credential,
    candidates: &[Candidate],
) -> Result<Credential, Stopped> {
    let mut failures = Vec::new();
    for candidate in candidates {
        match at(device, &credential, candidate).await {
            Ok(renewed) => return Ok(renewed),
            Err(Failure::Local(error)) => return Err(error.into()),
            Err(Failure::Answered { status, .. }) if status < 500 => {
                return Err(Stopped::StartAgain);
            }
            Err(failure) => failures.push((candidate.clone(), failure)),
        }
    }
    Err(Stopped::Later(failures))
}

async fn at(
    device: &Device,
    credential: &Credential,
    candidate: &Candidate,
) -> Result<Credential, Failure> {
    let now = device.effective_now(credential.stored.clock_correction)?;
    if now < credential.leaf.not_after() && device.has_key(credential).await? {
        // 1
        let options = device.as_member(credential).await?;
        let session = Session::open(options, &candidate.origin, candidate.addr).await?;
        match with(
            device,
            credential,
            session,
            candidate.addr,
            Kind::Renewal(&credential.leaf),
        )
        .await
        {
            Err(failure @ Failure::Answered { status: ..500, .. }) => {
                device.tell(Event::RenewalFailed {
                    with: "credential",
                    code: failure.code(),
                    text: failure.to_string(),
                });
            }
            done => return done,
        }
    }
    // 2
    let options = device.as_born(credential).await?;
    let session = Session::open(options, &candidate.origin, candidate.addr).await?;
    let done = with(
        device,
        credential,
        session,
        candidate.addr,
        Kind::RenewalAsBorn,
    )
    .await;
    if let Err(failure) = &done {
        device.tell(Event::RenewalFailed {
            with: "birth-certificate",
            code: failure.code(),
            text: failure.to_string(),
        });
    }
    done
}

async fn with(
    device: &Device,
    credential: &Credential,
    mut session: Session,
    addr: Option<SocketAddr>,
    kind: Kind<'_>,
) -> Result<Credential, Failure> {
    // A request that was cut short is remembered beside the credential, which may have changed.
    let stored = device
        .folder
        .credential()?
        .map_or(credential.stored.clone(), |now| now.stored);
    let mut slot = Slot::Renewal(Box::new(stored.clone()));
    let now = device.effective_now(stored.clock_correction)?;
    let issued = enrol::request(device, &mut session, &mut slot, kind, now).await?;
    let renewed = Stored {
        label: issued.label,
        chain: pem(&issued.chain),
        anchors: pem(&issued.authorities),
        registrar: session.origin().to_string(),
        installed_at: now,
        reported: false,
        renewal: None,
        ..stored
    };
    let installed = install(device, &renewed, true).await?;
    report_success(device, installed, addr).await
}
