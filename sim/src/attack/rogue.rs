//! A rogue registrar: everything is in order, except that nobody asked for it.
//!
//! 1. It announces itself by mDNS, like any registrar, and takes every device that comes.
//! 2. A voucher request is checked, countersigned and put to a MASA, as RFC 8995 §5.5 says. The
//!    MASA is its own, though, and says whatever it likes: the voucher names the device, repeats the
//!    nonce and pins the rogue's domain. Or a real voucher from somewhere else is replayed.
//! 3. What the device thinks of it comes back by `voucher_status`, and is said on stdout.
//! 4. If a device ever asked to enrol, it would have been caught: that is said too.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Router, routing};
use jiff::SignedDuration;
use serde_json::json;
use vouchsafe_brski::masa::{
    self, Pin, ProximityMismatch, RegistrarRequestRules, RegistrarTrust, VoucherTerms,
    verify_registrar_request,
};
use vouchsafe_brski::registrar::{PledgeRequestRules, RegistrarRequest, verify_pledge_request};
use vouchsafe_brski::telemetry::StatusReport;
use vouchsafe_brski::{Compatibility, Encoding, PATH_REQUEST_VOUCHER, PATH_VOUCHER_STATUS, idevid};
use vouchsafe_net::{ClientAuth, Clock, Identity, Peer, Server, ServerOptions};
use vouchsafe_trust::{Anchors, Certificate, IdevidRules, Profile, Revocation};

use super::announce::Announcement;
use super::pretender::Pretender;
use super::{say, told_to_stop};

/// How far clocks may differ; an attacker is not particular.
const SKEW: SignedDuration = SignedDuration::from_hours(24);

/// What the rogue is given.
#[derive(Debug, clap::Args)]
pub struct RogueRegistrar {
    /// Where it listens.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The maker's public root certificate, PEM.
    #[arg(long)]
    maker_root: PathBuf,
    /// Hand out this voucher, whoever asks, in place of a forged one.
    #[arg(long)]
    replay: Option<PathBuf>,
    /// Do not announce by mDNS.
    #[arg(long)]
    silent: bool,
}

struct Rogue {
    identity: Identity,
    masa: Identity,
    makers: Anchors,
    replay: Option<Vec<u8>>,
    clock: Clock,
    compatibility: Compatibility,
}

impl RogueRegistrar {
    pub(super) async fn run(&self) -> anyhow::Result<()> {
        let clock = Clock::system();
        let domain = Pretender::new("Mallory", Profile::domain_ca, clock.now())?;
        let pretend_maker = Pretender::new("Mallory MASA", Profile::domain_ca, clock.now())?;
        let root = std::fs::read_to_string(&self.maker_root)
            .with_context(|| format!("reading {}", self.maker_root.display()))?;
        let read = |path: &PathBuf| {
            std::fs::read(path).with_context(|| format!("reading {}", path.display()))
        };
        let identity = domain.registrar()?;
        let rogue = Arc::new(Rogue {
            identity: identity.clone(),
            masa: pretend_maker.masa()?,
            makers: Anchors::new(Certificate::many_from_pem(&root)?)?,
            replay: self.replay.as_ref().map(read).transpose()?,
            clock,
            compatibility: Compatibility::default(),
        });
        // 1
        let options = ServerOptions::new("rogue", identity, ClientAuth::Optional);
        let server = Server::bind(self.listen, options).await?;
        let port = server.local_addr().port();
        let announcement = (!self.silent)
            .then(|| Announcement::registrar("Mallory", "mallory.local.", port))
            .transpose()?;
        say(&json!({
            "ready": "rogue-registrar",
            "registrar": format!("https://{}", server.local_addr()),
        }));
        let router = Router::new()
            .route(PATH_REQUEST_VOUCHER, routing::post(request_voucher))
            .route(PATH_VOUCHER_STATUS, routing::post(voucher_status))
            .fallback(anything_else)
            .with_state(rogue);
        server.serve(router, told_to_stop()).await;
        if let Some(announcement) = announcement {
            announcement.withdraw().await;
        }
        Ok(())
    }
}

async fn request_voucher(
    State(rogue): State<Arc<Rogue>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let serial = serial(&peer);
    let encoding = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(Encoding::from_media_type)
        .unwrap_or(Encoding::CmsJson);
    let (voucher, what) = match &rogue.replay {
        Some(voucher) => (Ok(voucher.clone()), "replayed"),
        None => (rogue.forge(&peer, encoding, &body), "forged"),
    };
    match voucher {
        Ok(voucher) => {
            say(&json!({ "event": "voucher-given", "serial": serial, "voucher": what }));
            ([(header::CONTENT_TYPE, encoding.media_type())], voucher).into_response()
        }
        Err(error) => {
            let why = error.to_string();
            say(&json!({ "event": "voucher-failed", "serial": serial, "why": why }));
            (StatusCode::INTERNAL_SERVER_ERROR, why).into_response()
        }
    }
}

impl Rogue {
    /// Step 2: by the book, up to the question whose MASA it is.
    fn forge(&self, peer: &Peer, encoding: Encoding, body: &[u8]) -> anyhow::Result<Vec<u8>> {
        let now = self.clock.now();
        let idevid = IdevidRules::default();
        let device = idevid::verify_device_chain(&peer.chain, &self.makers, &idevid, now)?;
        let rules = PledgeRequestRules {
            device: &device,
            presented: &peer.presented,
            now,
            skew: SKEW,
            compatibility: &self.compatibility,
        };
        let asked = verify_pledge_request(body, encoding, &rules)?;
        let request = RegistrarRequest::for_pledge(&asked, now).sign(
            self.identity.chain(),
            self.identity.signer().as_ref(),
            &self.compatibility,
        )?;
        let rules = RegistrarRequestRules {
            registrar: RegistrarTrust::Presented,
            tls_client: None,
            manufacturer: &self.makers,
            idevid: &idevid,
            devices: &[],
            vouchers: &self.makers,
            revocation: &Revocation::NotChecked,
            now,
            max_age: SKEW,
            skew: SKEW,
            proximity_mismatch: ProximityMismatch::Log,
            compatibility: &self.compatibility,
        };
        let request = verify_registrar_request(&request, encoding, &rules)?;
        let terms = VoucherTerms {
            created_on: now,
            lifetime: SKEW,
            ownership_verified: true,
            pin: Pin::LowestCa,
            last_renewal: None,
        };
        let voucher = masa::issue_voucher(
            &request,
            &terms,
            encoding,
            self.masa.chain(),
            self.masa.signer().as_ref(),
            &self.compatibility,
        )?;
        Ok(voucher.bytes)
    }
}

/// Step 3.
async fn voucher_status(Extension(peer): Extension<Peer>, body: Bytes) -> StatusCode {
    let serial = serial(&peer);
    match StatusReport::from_json(&body) {
        Ok(report) => say(&json!({
            "event": "voucher-status",
            "serial": serial,
            "believed": report.status,
            "reason": report.reason,
            "context": report.reason_context,
        })),
        Err(error) => say(&json!({
            "event": "voucher-status-unreadable",
            "serial": serial,
            "why": error.to_string(),
        })),
    }
    StatusCode::OK
}

/// Step 4.
async fn anything_else(Extension(peer): Extension<Peer>, uri: Uri) -> StatusCode {
    say(&json!({ "event": "caught", "serial": serial(&peer), "asked": uri.path() }));
    StatusCode::NOT_FOUND
}

fn serial(peer: &Peer) -> Option<String> {
    let certificate = peer.certificate()?;
    certificate.subject_serial_number().map(str::to_owned)
}
