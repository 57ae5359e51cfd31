//! The calling side: one persistent TLS connection, and requests on it one after the other.
//!
//! A pledge keeps everything of a voucher exchange on one [`Connection`] (RFC 8995 §5) and checks
//! [`Connection::server_chain`] again once a voucher has told it whom to trust (§5.6.2).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{HOST, HeaderValue};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, ProtocolVersion};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use vouchsafe_trust::{Anchors, Certificate};

use crate::clock::Clock;
use crate::error::ClientError;
use crate::identity::{Presents, ReloadableIdentity};
use crate::origin::Origin;
use crate::stream::{Meter, Metered, WireBytes};
use crate::tls::{self, HandshakeFailure, TlsVersions};
use crate::verify::{KnownServer, ProvisionalServer, Registrar};

/// How long a failed connection may take to say why it failed.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Which servers to accept.
#[derive(Clone, Debug)]
pub enum ServerTrust {
    /// Any that holds the key of the certificate it shows (RFC 8995 §5.1): the caller must judge
    /// [`Connection::server_chain`] before it believes anything.
    Provisional,
    /// One whose chain leads to these anchors by the strict rules, under the name that was called
    /// (DNS name or IP address of its subjectAltName).
    Anchors(Anchors),
    /// One whose chain leads to these anchors and that may be a registrar (extKeyUsage `id-kp-cmcRA`), under
    /// any name: it is found by discovery (RFC 7030 §3.6.1), and where others of the same domain are
    /// servers too, a name is not enough.
    Registrar(Anchors),
}

/// How to connect.
#[derive(Clone, Debug)]
pub struct ConnectorOptions {
    /// What to present if the server asks; read anew for each connection.
    pub identity: Option<ReloadableIdentity>,
    /// Which servers to accept.
    pub trust: ServerTrust,
    /// Whether to name the server in the clear (SNI). IP addresses are never named.
    pub server_name_indication: bool,
    /// TLS versions to offer.
    pub versions: TlsVersions,
    /// For finding the address and connecting to it.
    pub connect_timeout: Duration,
    /// For the TLS handshake.
    pub handshake_timeout: Duration,
    /// From sending a request to the end of its response.
    pub response_timeout: Duration,
    /// Size of a response body, in bytes.
    pub response_bytes: usize,
    /// Whether to resume sessions with servers that offer it; then the server's chain is that of
    /// the first session.
    pub resumption: bool,
    /// The time by which certificates are judged.
    pub clock: Clock,
}

impl ConnectorOptions {
    /// No identity, SNI on, TLS 1.2 and 1.3, 10 s to connect, 10 s for the handshake, 30 s for a
    /// response of at most 4 MiB, no resumption, the machine's clock.
    pub fn new(trust: ServerTrust) -> Self {
        Self {
            identity: None,
            trust,
            server_name_indication: true,
            versions: TlsVersions::default(),
            connect_timeout: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(10),
            response_timeout: Duration::from_secs(30),
            response_bytes: 4 * 1024 * 1024,
            resumption: false,
            clock: Clock::system(),
        }
    }

    /// Presents this identity if the server asks.
    #[must_use]
    pub fn with_identity(mut self, identity: impl Into<ReloadableIdentity>) -> Self {
        self.identity = Some(identity.into());
        self
    }
}

/// Makes connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connector(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: ConnectorOptions,
    provider: Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
    sessions: Resumption,
}

impl Connector {
    /// Connects as `options` say.
    pub fn new(options: ConnectorOptions) -> Self {
        let provider = tls::provider();
        let verifier: Arc<dyn ServerCertVerifier> = match &options.trust {
            ServerTrust::Provisional => ProvisionalServer::new(&provider),
            ServerTrust::Anchors(anchors) => KnownServer::new(anchors.clone(), &provider),
            ServerTrust::Registrar(anchors) => Registrar::new(anchors.clone(), &provider),
        };
        let sessions = if options.resumption {
            Resumption::default()
        } else {
            Resumption::disabled()
        };
        Self(Arc::new(Inner {
            options,
            provider,
            verifier,
            sessions,
        }))
    }

    /// Finds the origin's addresses and connects to the first that answers.
    ///
    /// # Errors
    ///
    /// See [`ClientError`]; the TCP error of the last address that was tried.
    pub async fn connect(&self, origin: &Origin) -> Result<Connection, ClientError> {
        let deadline = Instant::now() + self.0.options.connect_timeout;
        let connected = timeout_at(deadline, async {
            let mut failure = None;
            for addr in tokio::net::lookup_host((origin.host(), origin.port())).await? {
                match TcpStream::connect(addr).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => failure = Some(error),
                }
            }
            Err(failure.unwrap_or_else(|| std::io::ErrorKind::NotFound.into()))
        });
        self.secure(connected.await, origin).await
    }

    /// Connects to `addr`, and calls the server by the origin's name.
    ///
    /// # Errors
    ///
    /// See [`ClientError`].
    pub async fn connect_at(
        &self,
        addr: SocketAddr,
        origin: &Origin,
    ) -> Result<Connection, ClientError> {
        let connected = timeout(self.0.options.connect_timeout, TcpStream::connect(addr));
        self.secure(connected.await, origin).await
    }

    /// The TLS handshake on a TCP connection.
    async fn secure(
        &self,
        connected: Result<std::io::Result<TcpStream>, tokio::time::error::Elapsed>,
        origin: &Origin,
    ) -> Result<Connection, ClientError> {
        let options = &self.0.options;
        let stream = connected
            .map_err(|_| ClientError::ConnectTimeout)?
            .map_err(ClientError::Connect)?;
        let _ = stream.set_nodelay(true);
        let server_name = ServerName::try_from(origin.host().to_owned())
            .map_err(|_| ClientError::Misuse(format!("{} is not a server name", origin.host())))?;
        let (wire, wire_meter) = Metered::new(stream);
        let (configuration, blocking) = self
            .configuration()
            .map_err(|error| ClientError::Misuse(error.to_string()))?;
        let handshake = TlsConnector::from(configuration).connect(server_name, wire);
        let handshake = timeout(options.handshake_timeout, handshake);
        let finished = if blocking {
            tls::off_reactor(handshake)
                .await
                .map_err(ClientError::Connect)?
        } else {
            handshake.await
        };
        let tls = finished
            .map_err(|_| ClientError::Handshake(HandshakeFailure::Slow))?
            .map_err(|error| ClientError::Handshake(HandshakeFailure::from_io(&error)))?;
        let session = tls.get_ref().1;
        let server_chain = tls::read_chain(session.peer_certificates())
            .map_err(|error| ClientError::Handshake(HandshakeFailure::from_tls(&error)))?;
        let exporter = tls::exporter(session)
            .map_err(|error| ClientError::Handshake(HandshakeFailure::from_tls(&error)))?;
        let version = session.protocol_version();
        let (stream, meter) = Metered::new(tls);
        let (sender, http) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(ClientError::Http)?;
        let driver = tokio::spawn(async move {
            let error = http.await.err()?;
            tls::tls_cause(&error).map(HandshakeFailure::from_tls)
        });
        Ok(Connection {
            sender,
            driver,
            meter,
            wire_meter,
            server_chain,
            exporter,
            version,
            origin: origin.clone(),
            response_timeout: options.response_timeout,
            response_bytes: options.response_bytes,
            requests: 0,
            broken: false,
        })
    }

    /// The TLS configuration for one connection, and whether its signature may block.
    fn configuration(&self) -> Result<(Arc<ClientConfig>, bool), rustls::Error> {
        let Inner {
            options,
            provider,
            verifier,
            sessions,
        } = &*self.0;
        let clock = Arc::new(options.clock.clone());
        let builder = ClientConfig::builder_with_details(provider.clone(), clock)
            .with_protocol_versions(options.versions.supported())?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone());
        let identity = options.identity.as_ref().map(ReloadableIdentity::current);
        let mut configuration = match &identity {
            Some(identity) => {
                builder.with_client_cert_resolver(Arc::new(Presents(identity.certified_key())))
            }
            None => builder.with_no_client_auth(),
        };
        configuration.resumption = sessions.clone();
        configuration.enable_sni = options.server_name_indication;
        configuration.alpn_protocols = vec![b"http/1.1".to_vec()];
        let blocking = identity.is_some_and(|identity| identity.signer().may_block());
        Ok((Arc::new(configuration), blocking))
    }
}

/// One TLS connection with HTTP/1.1 on it, kept open between requests while the server allows.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<Option<HandshakeFailure>>,
    /// Counts the bytes inside TLS.
    meter: Arc<Meter>,
    wire_meter: Arc<Meter>,
    server_chain: Arc<[Certificate]>,
    exporter: [u8; 32],
    version: Option<ProtocolVersion>,
    origin: Origin,
    response_timeout: Duration,
    response_bytes: usize,
    requests: u64,
    broken: bool,
}

impl Connection {
    /// Sends a request and reads the whole response. The URI may be a path or complete; a missing
    /// `Host` is filled in.
    ///
    /// # Errors
    ///
    /// See [`ClientError`]. With TLS 1.3 a server's refusal of our certificate shows up here, as
    /// [`ClientError::Handshake`], and not when connecting.
    pub async fn request(
        &mut self,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, ClientError> {
        if self.broken {
            return Err(ClientError::Closed { answered: false });
        }
        let request = self.prepared(request)?;
        let before = self.meter.received();
        self.requests += 1;
        // Until the response is read to its end, nothing else may use the connection; this also
        // holds when the caller drops this future.
        self.broken = true;
        let exchange = async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        };
        let deadline = Instant::now() + self.response_timeout;
        let response = match timeout_at(deadline, exchange).await {
            Err(_) => return Err(ClientError::ResponseTimeout),
            Ok(Err(error)) => return Err(self.failure(error, before).await),
            Ok(Ok(response)) => response,
        };
        let (head, body) = response.into_parts();
        let body = match timeout_at(deadline, bounded(body, self.response_bytes)).await {
            Err(_) => return Err(ClientError::ResponseTimeout),
            Ok(body) => body?,
        };
        self.broken = false;
        Ok(Response::from_parts(head, body))
    }

    /// The certificates the server sent, leaf first.
    pub fn server_chain(&self) -> &Arc<[Certificate]> {
        &self.server_chain
    }

    /// Channel binding `tls-exporter` (RFC 9266), equal on both sides.
    pub fn exporter(&self) -> [u8; 32] {
        self.exporter
    }

    /// Whether TLS 1.3 was agreed on; otherwise it is 1.2.
    pub fn is_tls13(&self) -> bool {
        self.version == Some(ProtocolVersion::TLSv1_3)
    }

    /// Whom this connection was made to.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Requests sent so far.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Bytes on the wire so far, TLS included, TCP and IP not.
    pub fn bytes(&self) -> WireBytes {
        self.wire_meter.bytes()
    }

    /// Whether another request can be tried. The server may close at any time, so `true` is no
    /// promise.
    pub fn is_open(&self) -> bool {
        !self.broken && !self.sender.is_closed() && !self.driver.is_finished()
    }

    /// Waits until the connection can take the next request, or is known to be closed.
    pub(crate) async fn settled(&mut self) -> bool {
        !self.broken && self.sender.ready().await.is_ok()
    }

    fn prepared(&self, request: Request<Bytes>) -> Result<Request<Full<Bytes>>, ClientError> {
        let (mut head, body) = request.into_parts();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        head.uri = Uri::try_from(path)
            .map_err(|_| ClientError::Misuse(format!("{path} is not a path")))?;
        if !head.headers.contains_key(HOST) {
            let host = HeaderValue::try_from(self.origin.authority())
                .map_err(|_| ClientError::Misuse("the host is not a header value".to_owned()))?;
            head.headers.insert(HOST, host);
        }
        Ok(Request::from_parts(head, Full::new(body)))
    }

    /// Names what went wrong: what TLS said, or whether a single byte of an answer came.
    async fn failure(&mut self, error: hyper::Error, before: u64) -> ClientError {
        let said = match tls::tls_cause(&error) {
            Some(error) => Some(HandshakeFailure::from_tls(error)),
            None => match timeout(LAST_WORDS, &mut self.driver).await {
                Ok(Ok(said)) => said,
                _ => None,
            },
        };
        match said {
            Some(failure) if failure != HandshakeFailure::PeerClosed => {
                ClientError::Handshake(failure)
            }
            _ if error.is_parse() => ClientError::Http(error),
            _ => ClientError::Closed {
                answered: self.meter.received() > before,
            },
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // An idle driver ends by itself, with a TLS goodbye, once the sender is gone.
        if self.broken {
            self.driver.abort();
        }
    }
}

async fn bounded(mut body: Incoming, limit: usize) -> Result<Bytes, ClientError> {
    let announced = body.size_hint().lower();
    if usize::try_from(announced).map_or(true, |announced| announced > limit) {
        return Err(ClientError::ResponseTooLarge { limit });
    }
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ClientError::Closed { answered: true })?;
        if let Ok(data) = frame.into_data() {
            if whole.len() + data.len() > limit {
                return Err(ClientError::ResponseTooLarge { limit });
            }
            whole.extend_from_slice(&data);
        }
    }
    Ok(whole.freeze())
}
