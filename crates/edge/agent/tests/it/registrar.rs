//! A registrar with a MASA in its head, which does what the test says.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use tokio::sync::{Notify, oneshot};
use vouchsafe_brski::csrattrs::{CsrAttributes, Form};
use vouchsafe_brski::masa::{
    Pin, ProximityMismatch, RegistrarRequestRules, RegistrarTrust, VoucherTerms, issue_voucher,
    verify_registrar_request,
};
use vouchsafe_brski::registrar::{PledgeRequestRules, RegistrarRequest, verify_pledge_request};
use vouchsafe_brski::telemetry::StatusReport;
use vouchsafe_brski::{Compatibility, Encoding, est, idevid};
use vouchsafe_net::{ClientAuth, Identity, Peer, Server, ServerOptions};
use vouchsafe_trust::{Certificate, IdevidRules, Name, Profile, Revocation, Validity, cms, oid};

use crate::world::{Holder, Maker, Owner, SERIAL, issue, now, serial_of, years};

/// How a voucher is spoilt before it is handed out.
pub(crate) type Spoil = Box<dyn Fn(&mut Map<String, Value>) + Send + Sync>;

/// What the registrar does.
pub(crate) struct Behaviour {
    /// Vouchers are altered so and signed again.
    pub(crate) spoil: Option<Spoil>,
    /// Vouchers are signed by this one.
    pub(crate) masa: Option<Holder>,
    /// 202 this often, with this Retry-After.
    pub(crate) waits: (usize, u64),
    /// 503 this often, with this Retry-After.
    pub(crate) trouble: (usize, u64),
    /// Every voucher request is answered with this.
    pub(crate) voucher_status: Option<u16>,
    /// Every voucher request is sent there.
    pub(crate) redirect: Option<String>,
    /// What csrattrs says; `None` is 404.
    pub(crate) attributes: Option<CsrAttributes>,
    /// Start and end of certificates, from now.
    pub(crate) validity: (SignedDuration, SignedDuration),
    /// `simpleenroll` is answered with this.
    pub(crate) enroll_status: Option<u16>,
    /// `simplereenroll` with a credential is refused.
    pub(crate) refuse_credential: bool,
    /// `simplereenroll` with a birth certificate is refused.
    pub(crate) refuse_birth: bool,
    /// The certificate is for this serial number.
    pub(crate) name: String,
    /// Status and body with which it tells of networks.
    pub(crate) networks: (u16, String),
    /// The path that is never answered, and whether it is acted on.
    pub(crate) hang: Option<(String, bool)>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            spoil: None,
            masa: None,
            waits: (0, 0),
            trouble: (0, 0),
            voucher_status: None,
            redirect: None,
            attributes: Some(CsrAttributes {
                subject: Some(vec![(oid::SERIAL_NUMBER, None)]),
                ..CsrAttributes::default()
            }),
            validity: (
                SignedDuration::from_mins(-5),
                SignedDuration::from_hours(24),
            ),
            enroll_status: None,
            refuse_credential: false,
            refuse_birth: false,
            name: SERIAL.to_owned(),
            networks: (404, String::new()),
            hang: None,
        }
    }
}

/// What it saw.
#[derive(Default)]
pub(crate) struct Seen {
    /// Last segment of the path, connection, subject of the client.
    pub(crate) calls: Vec<(String, u64, String)>,
    /// The bodies of voucher requests.
    pub(crate) requests: Vec<Vec<u8>>,
    /// The reports: last segment of the path, report.
    pub(crate) reports: Vec<(String, StatusReport)>,
    /// Certificates by request.
    pub(crate) issued: BTreeMap<Vec<u8>, Certificate>,
    /// Whether requests for certificates were bound to their connection.
    pub(crate) bound: Vec<bool>,
    vouchers: BTreeMap<Vec<u8>, Vec<u8>>,
}

pub(crate) struct Inner {
    owner: Arc<Owner>,
    maker: Arc<Maker>,
    behaviour: Mutex<Behaviour>,
    seen: Mutex<Seen>,
    /// Somebody hangs now.
    hanging: Notify,
}

pub(crate) struct Registrar {
    pub(crate) addr: SocketAddr,
    inner: Arc<Inner>,
    _stop: oneshot::Sender<()>,
}

impl Registrar {
    pub(crate) async fn start(maker: &Arc<Maker>, name: &str) -> Self {
        Self::with(maker, name, Behaviour::default()).await
    }

    pub(crate) async fn with(maker: &Arc<Maker>, name: &str, behaviour: Behaviour) -> Self {
        let owner = Arc::new(Owner::new(name));
        let shown = Identity::new(
            owner.registrar.chain.clone(),
            Arc::clone(&owner.registrar.signer),
        );
        Self::showing(maker, owner, shown.unwrap(), behaviour).await
    }

    /// A server of the same domain that is no registrar and does as if it were one.
    pub(crate) async fn impostor(of: &Self) -> Self {
        let owner = Arc::clone(&of.inner.owner);
        let profile = Profile::tls_server(Name::common("wiki").unwrap(), &["localhost"]);
        let holder = issue(&owner.authority, &profile, years(2));
        let shown = Identity::new(holder.chain, holder.signer).unwrap();
        Self::showing(&of.inner.maker, owner, shown, Behaviour::default()).await
    }

    async fn showing(
        maker: &Arc<Maker>,
        owner: Arc<Owner>,
        shown: Identity,
        behaviour: Behaviour,
    ) -> Self {
        let options = ServerOptions::new("registrar", shown, ClientAuth::Optional);
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::bind(any_port, options).await.unwrap();
        let addr = server.local_addr();
        let inner = Arc::new(Inner {
            owner,
            maker: Arc::clone(maker),
            behaviour: Mutex::new(behaviour),
            seen: Mutex::default(),
            hanging: Notify::new(),
        });
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(server.serve(routes(Arc::clone(&inner)), async move {
            let _ = stopped.await;
        }));
        Self {
            addr,
            inner,
            _stop: stop,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.addr)
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.inner.behaviour.lock().unwrap());
    }

    pub(crate) fn seen<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.inner.seen.lock().unwrap())
    }

    /// The operations that were called, in order.
    pub(crate) fn called(&self) -> Vec<String> {
        self.seen(|seen| seen.calls.iter().map(|(path, _, _)| path.clone()).collect())
    }

    /// Certificates issued so far.
    pub(crate) fn issued(&self) -> usize {
        self.seen(|seen| seen.issued.len())
    }

    pub(crate) async fn hanging(&self) {
        self.inner.hanging.notified().await;
    }

    pub(crate) fn owner(&self) -> &Owner {
        &self.inner.owner
    }
}

fn routes(inner: Arc<Inner>) -> Router {
    Router::new()
        .route("/.well-known/brski/requestvoucher", post(request_voucher))
        .route("/.well-known/brski/voucher_status", post(voucher_status))
        .route("/.well-known/brski/enrollstatus", post(enroll_status))
        .route("/.well-known/est/cacerts", get(ca_certs))
        .route("/.well-known/est/csrattrs", get(csr_attrs))
        .route("/.well-known/est/simpleenroll", post(enroll))
        .route("/.well-known/est/simplereenroll", post(reenroll))
        .route(vouchsafe_brski::networks::PATH, get(networks))
        .layer(from_fn_with_state(Arc::clone(&inner), watch))
        .with_state(inner)
}

async fn networks(State(inner): State<Arc<Inner>>) -> Response {
    let (status, body) = inner.behaviour.lock().unwrap().networks.clone();
    (StatusCode::from_u16(status).unwrap(), body).into_response()
}

async fn watch(
    State(inner): State<Arc<Inner>>,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path().rsplit('/').next().unwrap().to_owned();
    let subject = peer
        .certificate()
        .map(|leaf| leaf.issuer_text())
        .unwrap_or_default();
    inner
        .seen
        .lock()
        .unwrap()
        .calls
        .push((path.clone(), peer.connection_id, subject));
    let hang = inner.behaviour.lock().unwrap().hang.clone();
    match hang {
        Some((at, acts)) if at == path => {
            if acts {
                next.run(request).await;
            }
            inner.hanging.notify_one();
            std::future::pending().await
        }
        _ => next.run(request).await,
    }
}

async fn request_voucher(
    State(inner): State<Arc<Inner>>,
    Extension(peer): Extension<Peer>,
    headers: axum::http::HeaderMap,
    body: Bytes,
) -> Response {
    inner.seen.lock().unwrap().requests.push(body.to_vec());
    let (masa, terms) = {
        let mut behaviour = inner.behaviour.lock().unwrap();
        if let Some(status) = behaviour.voucher_status {
            return (StatusCode::from_u16(status).unwrap(), "not-ours: go away").into_response();
        }
        if let Some(to) = &behaviour.redirect {
            return (
                StatusCode::TEMPORARY_REDIRECT,
                [(header::LOCATION, to.clone())],
            )
                .into_response();
        }
        if behaviour.trouble.0 > 0 {
            behaviour.trouble.0 -= 1;
            let after = behaviour.trouble.1.to_string();
            let header = [(header::RETRY_AFTER, after)];
            return (StatusCode::SERVICE_UNAVAILABLE, header, "soon").into_response();
        }
        if behaviour.waits.0 > 0 {
            behaviour.waits.0 -= 1;
            let after = behaviour.waits.1.to_string();
            return (
                StatusCode::ACCEPTED,
                [(header::RETRY_AFTER, after)],
                "a person decides",
            )
                .into_response();
        }
        let terms = VoucherTerms {
            created_on: now(),
            lifetime: SignedDuration::from_hours(24),
            ownership_verified: false,
            pin: Pin::LowestCa,
            last_renewal: None,
        };
        (behaviour.masa.clone(), terms)
    };
    let media_type = headers[header::CONTENT_TYPE].to_str().unwrap();
    let encoding = Encoding::from_media_type(media_type).unwrap();
    let known = inner
        .seen
        .lock()
        .unwrap()
        .vouchers
        .get(&body.to_vec())
        .cloned();
    let voucher = match known {
        Some(voucher) => voucher,
        None => {
            let voucher = inner.voucher(&peer, encoding, &body, &terms, masa);
            inner
                .seen
                .lock()
                .unwrap()
                .vouchers
                .insert(body.to_vec(), voucher.clone());
            voucher
        }
    };
    ([(header::CONTENT_TYPE, encoding.media_type())], voucher).into_response()
}

impl Inner {
    fn voucher(
        &self,
        peer: &Peer,
        encoding: Encoding,
        body: &[u8],
        terms: &VoucherTerms,
        masa: Option<Holder>,
    ) -> Vec<u8> {
        let (compatibility, anchors) = (Compatibility::default(), self.maker.anchors());
        let rules = IdevidRules::default();
        let device = idevid::verify_device_chain(&peer.chain, &anchors, &rules, now()).unwrap();
        let pledge = verify_pledge_request(
            body,
            encoding,
            &PledgeRequestRules {
                device: &device,
                presented: &peer.presented,
                now: now(),
                skew: SignedDuration::from_hours(24),
                compatibility: &compatibility,
            },
        )
        .unwrap();
        let registrar = &self.owner.registrar;
        let request = RegistrarRequest::for_pledge(&pledge, now())
            .sign(&registrar.chain, &*registrar.signer, &compatibility)
            .unwrap();
        let revocation = Revocation::NotChecked;
        let devices = [pledge.idevid.clone()];
        let request = verify_registrar_request(
            &request,
            encoding,
            &RegistrarRequestRules {
                registrar: RegistrarTrust::Presented,
                tls_client: None,
                manufacturer: &anchors,
                idevid: &rules,
                devices: &devices,
                vouchers: &anchors,
                revocation: &revocation,
                now: now(),
                max_age: SignedDuration::from_hours(1),
                skew: SignedDuration::from_hours(1),
                proximity_mismatch: ProximityMismatch::Refuse,
                compatibility: &compatibility,
            },
        )
        .unwrap();
        let masa = masa.unwrap_or_else(|| self.maker.masa.clone());
        let issued = issue_voucher(
            &request,
            terms,
            encoding,
            &masa.chain[..1],
            &*masa.signer,
            &compatibility,
        )
        .unwrap();
        match &self.behaviour.lock().unwrap().spoil {
            Some(spoil) => forge(&issued.bytes, &masa, spoil),
            None => issued.bytes,
        }
    }

    fn report(&self, path: &str, body: &[u8]) {
        let report = StatusReport::from_json(body).unwrap();
        self.seen
            .lock()
            .unwrap()
            .reports
            .push((path.to_owned(), report));
    }

    fn certify(&self, peer: &Peer, body: &[u8]) -> Certificate {
        let request = est::parse_request(body).unwrap();
        est::check_channel_binding(&request, &peer.exporter, false).unwrap();
        let behaviour = self.behaviour.lock().unwrap();
        let mut seen = self.seen.lock().unwrap();
        seen.bound.push(request.challenge_password().is_some());
        if let Some(certificate) = seen.issued.get(request.der()) {
            return certificate.clone();
        }
        let leaf = peer.certificate().unwrap();
        let renews = leaf.issuer() == self.owner.authority.certificate().subject();
        if renews {
            est::check_reenroll(&request, leaf).unwrap();
        } else if let Some(attributes) = &behaviour.attributes {
            attributes.check(&request).unwrap();
        }
        let subject = Name::new(&[(oid::SERIAL_NUMBER, &behaviour.name)]).unwrap();
        let validity = Validity::new(now() + behaviour.validity.0, now() + behaviour.validity.1);
        let number = serial_of(digest(&SHA256, request.der()).as_ref());
        let profile = Profile::ldevid(
            subject,
            vec![vouchsafe_trust::SubjectAltName::Email(
                "device@example.org".to_owned(),
            )],
        );
        let issued = self
            .owner
            .authority
            .issue(&profile, request.public_key(), &number, validity)
            .unwrap();
        seen.issued.insert(request.der().to_vec(), issued.clone());
        issued
    }
}

async fn voucher_status(State(inner): State<Arc<Inner>>, body: Bytes) {
    inner.report("voucher_status", &body);
}

async fn enroll_status(State(inner): State<Arc<Inner>>, body: Bytes) {
    inner.report("enrollstatus", &body);
}

async fn ca_certs(State(inner): State<Arc<Inner>>) -> Response {
    let body = est::certs_only_body(&[inner.owner.authority.certificate().clone()]);
    ([(header::CONTENT_TYPE, "application/pkcs7-mime")], body).into_response()
}

async fn csr_attrs(State(inner): State<Arc<Inner>>) -> Response {
    match &inner.behaviour.lock().unwrap().attributes {
        None => StatusCode::NOT_FOUND.into_response(),
        Some(attributes) => {
            let body = est::encode_body(&attributes.to_der(Form::Both).unwrap());
            ([(header::CONTENT_TYPE, est::MEDIA_TYPE_ATTRIBUTES)], body).into_response()
        }
    }
}

async fn enroll(
    State(inner): State<Arc<Inner>>,
    Extension(peer): Extension<Peer>,
    body: Bytes,
) -> Response {
    let status = inner.behaviour.lock().unwrap().enroll_status;
    if let Some(status) = status {
        return (StatusCode::from_u16(status).unwrap(), "no").into_response();
    }
    certificate(&inner.certify(&peer, &body))
}

async fn reenroll(
    State(inner): State<Arc<Inner>>,
    Extension(peer): Extension<Peer>,
    body: Bytes,
) -> Response {
    let domain = inner.owner.authority.certificate().subject();
    let with_credential = peer.certificate().unwrap().issuer() == domain;
    let refused = {
        let behaviour = inner.behaviour.lock().unwrap();
        if with_credential {
            behaviour.refuse_credential
        } else {
            behaviour.refuse_birth
        }
    };
    if refused {
        return (StatusCode::FORBIDDEN, "not with this").into_response();
    }
    certificate(&inner.certify(&peer, &body))
}

fn certificate(certificate: &Certificate) -> Response {
    let body = est::certs_only_body(std::slice::from_ref(certificate));
    ([(header::CONTENT_TYPE, est::MEDIA_TYPE_CERTS_ONLY)], body).into_response()
}

/// The content of a CMS voucher, altered and signed again.
fn forge(bytes: &[u8], masa: &Holder, spoil: &Spoil) -> Vec<u8> {
    let mut content: Value = serde_json::from_slice(cms::parse(bytes).unwrap().content()).unwrap();
    let fields = content
        .as_object_mut()
        .unwrap()
        .values_mut()
        .next()
        .unwrap();
    spoil(fields.as_object_mut().unwrap());
    let options = cms::SignOptions {
        content_type: cms::ID_CT_ANIMA_JSON_VOUCHER,
        certificates: &masa.chain[..1],
        signing_time: None,
    };
    cms::sign(content.to_string().as_bytes(), &options, &*masa.signer).unwrap()
}

/// A date as vouchers have it.
pub(crate) fn date(at: Timestamp) -> Value {
    format!("{at:.3}").into()
}
