//! TLS on a connection that carries something else than HTTP, such as RADIUS (RFC 6614).
//!
//! The caller accepts, counts and bounds connections; here TLS proves that the client holds the key of the
//! certificate it shows.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use vouchsafe_trust::Certificate;

use crate::clock::Clock;
use crate::config::{ClientAuth, Configurations};
use crate::identity::ReloadableIdentity;
use crate::server::BindError;
use crate::tls::{self, HandshakeFailure, TlsVersions};

/// What connections are made with.
#[derive(Clone, Debug)]
pub struct AcceptorOptions {
    /// What is presented; may be replaced at any time.
    pub identity: ReloadableIdentity,
    /// What is asked of clients.
    pub client_auth: ClientAuth,
    /// Longest time for a handshake.
    pub handshake: Duration,
    /// The time by which certificates are judged.
    pub clock: Clock,
}

/// Makes TLS connections of TCP connections, on the server's side.
#[derive(Debug)]
pub struct Acceptor {
    configurations: Configurations,
    handshake: Duration,
}

/// A connection whose handshake is over.
pub struct Accepted<Stream> {
    /// What the client sends and hears.
    pub stream: Stream,
    /// The certificates that the client showed, leaf first; it holds the key of the first.
    pub chain: Arc<[Certificate]>,
}

impl Acceptor {
    /// TLS 1.2 and 1.3, without resumption.
    ///
    /// # Errors
    ///
    /// The identity cannot be used.
    pub fn new(options: AcceptorOptions) -> Result<Self, BindError> {
        let configurations = Configurations::new(
            options.identity,
            &options.client_auth,
            TlsVersions::default(),
            false,
            options.clock,
        )
        .without_protocols();
        configurations
            .current()
            .map_err(|error| BindError::Tls(error.to_string()))?;
        Ok(Self {
            configurations,
            handshake: options.handshake,
        })
    }

    /// Makes the handshake.
    ///
    /// # Errors
    ///
    /// It took too long, or the client did not do or prove what it had to.
    pub async fn accept(
        &self,
        wire: TcpStream,
    ) -> Result<Accepted<impl AsyncRead + AsyncWrite + Send + Unpin + use<>>, HandshakeFailure>
    {
        let (identity, configuration) = self
            .configurations
            .current()
            .map_err(|error| HandshakeFailure::from_tls(&error))?;
        let accept = TlsAcceptor::from(configuration).accept(wire);
        let within = timeout(self.handshake, accept);
        let finished = if identity.signer().may_block() {
            tls::off_reactor(within).await
        } else {
            Ok(within.await)
        };
        let stream = finished
            .map_err(|_| HandshakeFailure::Protocol)?
            .map_err(|_| HandshakeFailure::Slow)?
            .map_err(|error| HandshakeFailure::from_io(&error))?;
        let chain = tls::read_chain(stream.get_ref().1.peer_certificates())
            .map_err(|_| HandshakeFailure::MalformedCertificate)?;
        Ok(Accepted { stream, chain })
    }
}
