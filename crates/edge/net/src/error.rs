//! What can go wrong when calling somebody.

use std::io;

use crate::tls::HandshakeFailure;

/// Why a connection or a request on it failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The name has no address, or nobody answers there.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// Nobody answered in time.
    #[error("nobody answered in time")]
    ConnectTimeout,
    /// TLS did not come about, or ended with an alert.
    #[error("the TLS handshake failed: {0}")]
    Handshake(HandshakeFailure),
    /// The connection ended before the response did. Without a byte of an answer the request may be
    /// sent again on a new connection; whether the server acted on it is not known.
    #[error("the server closed the connection before the end of its answer")]
    Closed {
        /// Whether part of an answer had come.
        answered: bool,
    },
    /// The answer is not HTTP/1.1.
    #[error("the server's answer is not HTTP")]
    Http(#[source] hyper::Error),
    /// The response did not end in time.
    #[error("the server did not answer in time")]
    ResponseTimeout,
    /// The response body is over the limit, in bytes.
    #[error("the server's answer is larger than {limit} bytes")]
    ResponseTooLarge {
        /// The limit that was in force, in bytes.
        limit: usize,
    },
    /// The caller asked for something impossible.
    #[error("cannot be asked for: {0}")]
    Misuse(String),
}

impl ClientError {
    /// Stable name, for logs and telemetry.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::ConnectTimeout => "connect-timeout",
            Self::Handshake(failure) => failure.as_str(),
            Self::Closed { .. } => "closed",
            Self::Http(_) => "http",
            Self::ResponseTimeout => "response-timeout",
            Self::ResponseTooLarge { .. } => "response-too-large",
            Self::Misuse(_) => "misuse",
        }
    }

    /// The TLS failure, if it is one.
    pub fn handshake_failure(&self) -> Option<HandshakeFailure> {
        match self {
            Self::Handshake(failure) => Some(*failure),
            _ => None,
        }
    }
}
