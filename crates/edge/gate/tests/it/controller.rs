//! A controller as the gate's link sees it, and as it should never be.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use jiff::SignedDuration;
use tokio::sync::oneshot;
use vouchsafe_api::gate::{GateReport, StateUpdate};
use vouchsafe_brski::est;
use vouchsafe_keystore::Algorithm;
use vouchsafe_net::{ClientAuth, Identity, Origin, Peer, Server, ServerOptions};
use vouchsafe_trust::{Authority, Certificate, Name, Profile, SoftwareSigner, Validity, oid};

use crate::world::{PATIENCE, generate, now, serial, validity};

/// What `simpleenroll` does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Enrolment {
    /// A certificate as it should be, for this many seconds.
    Good(i64),
    /// One that is no server's, as devices have.
    WithoutServerAuth,
    /// One for another key.
    OtherKey,
    /// A refusal with this code.
    Refused(&'static str),
}

type IsBad = fn(&GateReport) -> bool;

/// What the fake does and what it saw.
#[derive(Default)]
pub(crate) struct Inner {
    enrolments: VecDeque<Enrolment>,
    /// Requests for certificates: the credentials that came with them.
    pub(crate) asked: Vec<String>,
    /// Answers to requests for the state, in order; then 204 after a while.
    updates: VecDeque<Result<StateUpdate, (u16, &'static str)>>,
    /// What the gate said to have, at each request.
    pub(crate) have: Vec<Option<u64>>,
    /// How many reports are to be refused before one is taken.
    pub(crate) deaf: u32,
    /// Reports of which this is so are refused with this status.
    pub(crate) refuses: Option<(u16, IsBad)>,
    /// All reports, also those that were not taken.
    pub(crate) reports: Vec<GateReport>,
}

#[derive(Clone)]
struct Shared(Arc<(Mutex<Inner>, Condvar, Arc<Authority>)>);

/// A controller that runs.
pub(crate) struct Controller {
    shared: Shared,
    pub(crate) origin: Origin,
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Controller {
    /// With a certificate of this profile by `authority`.
    pub(crate) fn start(authority: &Arc<Authority>, profile: &Profile) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), authority, profile)
    }

    pub(crate) fn start_at(at: SocketAddr, authority: &Arc<Authority>, profile: &Profile) -> Self {
        let signer =
            Arc::new(SoftwareSigner::from_pkcs8_der(&generate(Algorithm::EcdsaP256)).unwrap());
        let leaf = authority
            .issue(
                profile,
                vouchsafe_trust::Signer::public_key(&*signer),
                &serial(),
                validity(),
            )
            .unwrap();
        let identity = Identity::new(vec![leaf], signer).unwrap();
        let inner = Mutex::new(Inner::default());
        let shared = Shared(Arc::new((inner, Condvar::new(), authority.clone())));
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, bound) = std::sync::mpsc::channel();
        let router = router(shared.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let options = ServerOptions::new("fake", identity, ClientAuth::Optional);
                let server = Server::bind(at, options).await.unwrap();
                tell.send(server.local_addr()).unwrap();
                let stopped = async {
                    let _ = stopped.await;
                };
                let _ = tokio::time::timeout(PATIENCE, server.serve(router, stopped)).await;
            });
            runtime.shutdown_background();
        });
        let address = bound.recv_timeout(PATIENCE).unwrap();
        Self {
            shared,
            origin: Origin::from(address),
            address,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub(crate) fn registrar(authority: &Arc<Authority>) -> Self {
        Self::start(authority, &Self::profile())
    }

    pub(crate) fn profile() -> Profile {
        Profile::registrar(Name::common("Registrar").unwrap(), &[])
    }

    pub(crate) fn enrols(&self, next: Enrolment) {
        self.shared.0.0.lock().unwrap().enrolments.push_back(next);
    }

    pub(crate) fn answers(&self, update: Result<StateUpdate, (u16, &'static str)>) {
        self.shared.0.0.lock().unwrap().updates.push_back(update);
        self.shared.0.1.notify_all();
    }

    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Inner) -> T) -> T {
        look(&mut self.shared.0.0.lock().unwrap())
    }

    /// Waits until what the fake saw is so.
    pub(crate) fn until<T>(&self, what: &str, mut look: impl FnMut(&mut Inner) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        let mut inner = self.shared.0.0.lock().unwrap();
        loop {
            if let Some(found) = look(&mut inner) {
                return found;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {what}: {:?}", inner.reports);
            inner = self.shared.0.1.wait_timeout(inner, left).unwrap().0;
        }
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        self.shared.0.1.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/.well-known/est/cacerts", get(authorities))
        .route("/.well-known/est/simpleenroll", post(enroll))
        .route("/.well-known/est/simplereenroll", post(enroll))
        .route("/gate/v1/state", get(state))
        .route("/gate/v1/report", post(report))
        .with_state(shared)
}

async fn authorities(State(shared): State<Shared>) -> String {
    est::certs_only_body(&[shared.0.2.certificate().clone()])
}

async fn enroll(
    State(shared): State<Shared>,
    peer: axum::Extension<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let next = {
        let mut inner = shared.0.0.lock().unwrap();
        let authorization = headers.get(header::AUTHORIZATION);
        let shown = peer.certificate().map(Certificate::subject_text);
        let who = authorization.map_or_else(
            || shown.unwrap_or_default(),
            |it| it.to_str().unwrap().to_owned(),
        );
        inner.asked.push(who);
        inner.enrolments.pop_front().unwrap()
    };
    shared.0.1.notify_all();
    let request = est::parse_request(&body).unwrap();
    let mut profile = Profile::tls_server(request.subject().clone(), &[]);
    profile.extended_key_usages.push(oid::CLIENT_AUTH);
    let mut key = request.public_key().clone();
    let mut end = validity();
    match next {
        Enrolment::Refused(code) => {
            return (StatusCode::UNAUTHORIZED, format!("{code}: no\n")).into_response();
        }
        Enrolment::WithoutServerAuth => {
            profile = Profile::ldevid(request.subject().clone(), Vec::new());
        }
        Enrolment::OtherKey => {
            let other = SoftwareSigner::from_pkcs8_der(&generate(Algorithm::EcdsaP256)).unwrap();
            key = vouchsafe_trust::Signer::public_key(&other).clone();
        }
        Enrolment::Good(seconds) => {
            let until = now() + SignedDuration::from_secs(seconds);
            end = Validity::new(now() - SignedDuration::from_secs(5400), until);
        }
    }
    let leaf = shared.0.2.issue(&profile, &key, &serial(), end).unwrap();
    let kind = [(header::CONTENT_TYPE, est::MEDIA_TYPE_CERTS_ONLY)];
    (kind, est::certs_only_body(&[leaf])).into_response()
}

#[derive(serde::Deserialize)]
struct Asked {
    have: Option<u64>,
}

async fn state(
    State(shared): State<Shared>,
    peer: axum::Extension<Peer>,
    Query(asked): Query<Asked>,
) -> Response {
    assert!(peer.certificate().is_some(), "no certificate");
    shared.0.0.lock().unwrap().have.push(asked.have);
    shared.0.1.notify_all();
    // A long poll, ended by whatever comes first.
    for _ in 0..100 {
        let next = shared.0.0.lock().unwrap().updates.pop_front();
        match next {
            Some(Ok(update)) => return axum::Json(update).into_response(),
            Some(Err((status, said))) => {
                let status = StatusCode::from_u16(status).unwrap();
                return (status, format!("{said}: no\n")).into_response();
            }
            None => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    }
    StatusCode::NO_CONTENT.into_response()
}

async fn report(State(shared): State<Shared>, body: Bytes) -> (StatusCode, &'static str) {
    let mut inner = shared.0.0.lock().unwrap();
    let report: GateReport = serde_json::from_slice(&body).unwrap();
    let refused = inner.refuses.filter(|(_, is_bad)| is_bad(&report));
    inner.reports.push(report);
    let status = match (refused, inner.deaf) {
        (Some((status, _)), _) => (StatusCode::from_u16(status).unwrap(), "bad-report: no\n"),
        (None, 0) => (StatusCode::NO_CONTENT, ""),
        (None, _) => (StatusCode::SERVICE_UNAVAILABLE, ""),
    };
    inner.deaf = inner.deaf.saturating_sub(1);
    drop(inner);
    shared.0.1.notify_all();
    status
}
