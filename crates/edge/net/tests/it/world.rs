//! A running server, and the shortest ways to call it.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use http::{Request, Response};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use vouchsafe_net::{
    ClientAuth, ClientError, Connection, Connector, ConnectorOptions, Origin, Peer, Server,
    ServerOptions, ServerTrust, Stats,
};

use crate::certificates::Authority;

/// Long enough for anything that should happen on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) struct World {
    pub(crate) authority: Authority,
    pub(crate) addr: SocketAddr,
    pub(crate) stats: Stats,
    /// A request to `/wait` has come in …
    pub(crate) waiting: Arc<Notify>,
    /// … and may be answered.
    pub(crate) release: Arc<Notify>,
    pub(crate) shutdown: Option<oneshot::Sender<()>>,
    pub(crate) served: JoinHandle<u64>,
}

impl World {
    /// A server with optional client certificates, changed by `adjust`.
    pub(crate) async fn new(adjust: impl FnOnce(&mut ServerOptions)) -> Self {
        let authority = Authority::new("Domain CA");
        let options = ServerOptions::new("test", authority.server(), ClientAuth::Optional);
        Self::with(authority, options, adjust).await
    }

    pub(crate) async fn with(
        authority: Authority,
        mut options: ServerOptions,
        adjust: impl FnOnce(&mut ServerOptions),
    ) -> Self {
        adjust(&mut options);
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::bind(any_port, options).await.unwrap();
        let (addr, stats) = (server.local_addr(), server.stats());
        assert_ne!(addr.port(), 0);
        let (waiting, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (shutdown, stop) = oneshot::channel();
        let router = router(waiting.clone(), release.clone());
        let served = tokio::spawn(server.serve(router, async move {
            let _ = stop.await;
        }));
        let shutdown = Some(shutdown);
        Self {
            authority,
            addr,
            stats,
            waiting,
            release,
            shutdown,
            served,
        }
    }

    pub(crate) fn origin(&self) -> Origin {
        Origin::new("localhost", self.addr.port())
    }

    /// Trusts this world's authority.
    pub(crate) fn options(&self) -> ConnectorOptions {
        ConnectorOptions::new(ServerTrust::Anchors(self.authority.anchors()))
    }

    pub(crate) async fn connect(
        &self,
        options: ConnectorOptions,
    ) -> Result<Connection, ClientError> {
        Connector::new(options)
            .connect_at(self.addr, &self.origin())
            .await
    }

    /// Connects and asks once.
    pub(crate) async fn ask(
        &self,
        options: ConnectorOptions,
        path: &str,
    ) -> Result<Response<Bytes>, ClientError> {
        self.connect(options).await?.request(asking(path)).await
    }

    /// TLS without a client certificate, and everything after it by hand.
    pub(crate) async fn raw(&self) -> TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(self.authority.certificate.der().to_vec().into())
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let configuration = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(self.addr).await.unwrap();
        let name = "localhost".try_into().unwrap();
        TlsConnector::from(Arc::new(configuration))
            .connect(name, stream)
            .await
            .unwrap()
    }
}

/// `/peer`: who is asking. `/echo`: the body back. `/wait`: when released. `/large`: 64 MiB.
fn router(waiting: Arc<Notify>, release: Arc<Notify>) -> Router {
    Router::new()
        .route("/peer", get(describe))
        .route("/echo", post(|body: Bytes| async { body }))
        .route(
            "/length",
            post(|body: Bytes| async move { body.len().to_string() }),
        )
        .route("/ignore", post(|| async { "not read" }))
        .route("/large", get(|| async { vec![0u8; 64 * 1024 * 1024] }))
        .route(
            "/wait",
            get(move || async move {
                waiting.notify_one();
                release.notified().await;
                "released"
            }),
        )
}

/// One line each: certificates, subject, exporter, what we presented, connection.
async fn describe(Extension(peer): Extension<Peer>) -> String {
    let subject = peer
        .certificate()
        .map(|leaf| leaf.subject_text())
        .unwrap_or_default();
    let presented: Vec<_> = peer
        .presented
        .iter()
        .map(|each| each.subject_text())
        .collect();
    format!(
        "{}\n{subject}\n{}\n{}\n{}",
        peer.chain.len(),
        hex(&peer.exporter),
        presented.join(" < "),
        peer.connection_id
    )
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn asking(path: &str) -> Request<Bytes> {
    Request::get(path).body(Bytes::new()).unwrap()
}

pub(crate) fn text(response: &Response<Bytes>) -> &str {
    std::str::from_utf8(response.body()).unwrap()
}

/// The lines of an answer from `/peer`.
pub(crate) fn lines(response: &Response<Bytes>) -> Vec<&str> {
    assert_eq!(response.status(), 200);
    text(response).lines().collect()
}

/// Waits for something that another task brings about.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(what, wait).await;
}

pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(SOON, future).await {
        Ok(output) => output,
        Err(_) => panic!("not in time: {what}"),
    }
}
