//! What server and client share: the provider, versions, the channel binding, and the name of what
//! went wrong in a handshake.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::sync::{Arc, LazyLock};

use rustls::crypto::CryptoProvider;
use rustls::{
    AlertDescription, CertificateError, CipherSuite, PeerMisbehaved, SupportedProtocolVersion,
};
use rustls_pki_types::CertificateDer;
use tokio::runtime::{Handle, RuntimeFlavor};
use vouchsafe_trust::Certificate;

/// The label of the channel binding `tls-exporter` (RFC 9266 §2).
const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";

/// A peer that sends more certificates than this is refused before any is looked at.
pub(crate) const MAX_CHAIN: usize = 10;

/// The TLS versions to offer or accept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersions {
    /// 1.2 and 1.3 (RFC 8995 §5: 1.2 is the minimum, 1.3 recommended).
    #[default]
    All,
    /// Only 1.2.
    Tls12,
    /// Only 1.3.
    Tls13,
}

impl TlsVersions {
    pub(crate) fn supported(self) -> &'static [&'static SupportedProtocolVersion] {
        static ALL: [&SupportedProtocolVersion; 2] =
            [&rustls::version::TLS13, &rustls::version::TLS12];
        static TLS12: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS12];
        static TLS13: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];
        match self {
            Self::All => &ALL,
            Self::Tls12 => &TLS12,
            Self::Tls13 => &TLS13,
        }
    }
}

/// Why a handshake did not succeed, on either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum HandshakeFailure {
    /// It took longer than allowed.
    Slow,
    /// The peer closed the connection before the end.
    PeerClosed,
    /// A signature does not verify: the peer does not hold the key of the certificate it shows.
    BadSignature,
    /// A certificate cannot be read, or the chain is longer than ten.
    MalformedCertificate,
    /// A client certificate is required here and none came.
    CertificateMissing,
    /// The chain does not lead to one of our anchors.
    UnknownIssuer,
    /// The server's certificate is not for the name that was called.
    WrongName,
    /// A certificate of the chain has expired.
    Expired,
    /// A certificate of the chain is not valid yet.
    NotYetValid,
    /// A certificate of the chain may not be used for this.
    WrongPurpose,
    /// A certificate of the chain is refused for another reason.
    CertificateRefused,
    /// The peer refused us with an alert.
    RefusedByPeer,
    /// Anything else that is not TLS as we speak it.
    Protocol,
}

impl HandshakeFailure {
    /// Stable name, for counters and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Slow => "slow-handshake",
            Self::PeerClosed => "peer-closed",
            Self::BadSignature => "bad-signature",
            Self::MalformedCertificate => "malformed-certificate",
            Self::CertificateMissing => "certificate-missing",
            Self::UnknownIssuer => "unknown-issuer",
            Self::WrongName => "wrong-name",
            Self::Expired => "expired",
            Self::NotYetValid => "not-yet-valid",
            Self::WrongPurpose => "wrong-purpose",
            Self::CertificateRefused => "certificate-refused",
            Self::RefusedByPeer => "refused-by-peer",
            Self::Protocol => "protocol",
        }
    }

    /// The failure behind an IO error of a TLS stream.
    pub(crate) fn from_io(error: &io::Error) -> Self {
        match tls_cause(error) {
            Some(error) => Self::from_tls(error),
            None => match error.kind() {
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::NotConnected => Self::PeerClosed,
                io::ErrorKind::TimedOut => Self::Slow,
                _ => Self::Protocol,
            },
        }
    }

    pub(crate) fn from_tls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::NoCertificatesPresented => Self::CertificateMissing,
            rustls::Error::InvalidCertificate(error) => Self::from_certificate(error),
            rustls::Error::PeerMisbehaved(
                PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme
                | PeerMisbehaved::SignedKxWithWrongAlgorithm,
            ) => Self::BadSignature,
            rustls::Error::AlertReceived(AlertDescription::CloseNotify) => Self::PeerClosed,
            rustls::Error::AlertReceived(_) => Self::RefusedByPeer,
            _ => Self::Protocol,
        }
    }

    fn from_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::BadSignature => Self::BadSignature,
            CertificateError::BadEncoding => Self::MalformedCertificate,
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::WrongName
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotYetValid
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::WrongPurpose
            }
            _ => Self::CertificateRefused,
        }
    }
}

impl fmt::Display for HandshakeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Slow => "the handshake took too long",
            Self::PeerClosed => "the peer closed the connection during the handshake",
            Self::BadSignature => "a signature does not verify with the key of the certificate",
            Self::MalformedCertificate => "a certificate cannot be read",
            Self::CertificateMissing => "no client certificate was presented",
            Self::UnknownIssuer => "the chain does not lead to a trust anchor",
            Self::WrongName => "the certificate is for another name",
            Self::Expired => "a certificate has expired",
            Self::NotYetValid => "a certificate is not valid yet",
            Self::WrongPurpose => "a certificate may not be used for this purpose",
            Self::CertificateRefused => "a certificate is refused",
            Self::RefusedByPeer => "the peer refused the handshake",
            Self::Protocol => "the peer does not speak TLS as expected",
        })
    }
}

/// The TLS error inside an error chain, if there is one.
pub(crate) fn tls_cause<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        // io::Error::source() skips the error it wraps and answers with that one's source.
        next = match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// The provider, named explicitly so that no process-wide default can change what we use.
///
/// The suite that every TLS 1.3 has to have (RFC 8446 §9.1) comes first: its hash is the one that
/// processors compute themselves, and as strong as the P-256 keys beside it.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        let first = CipherSuite::TLS13_AES_128_GCM_SHA256;
        provider
            .cipher_suites
            .sort_by_key(|suite| suite.suite() != first);
        Arc::new(provider)
    });
    Arc::clone(&PROVIDER)
}

/// The channel binding of a finished connection (RFC 9266): 32 bytes, equal on both sides.
pub(crate) fn exporter<Data>(
    connection: &rustls::ConnectionCommon<Data>,
) -> Result<[u8; 32], rustls::Error> {
    // RFC 9266 §2: the context is a zero-length string, which in TLS 1.2 differs from none.
    connection.export_keying_material([0u8; 32], EXPORTER_LABEL, Some(b""))
}

/// The peer's chain as it came, leaf first; empty when there is none.
pub(crate) fn read_chain(
    chain: Option<&[CertificateDer<'static>]>,
) -> Result<Arc<[Certificate]>, rustls::Error> {
    let chain = chain.unwrap_or_default();
    if chain.len() > MAX_CHAIN {
        return Err(malformed());
    }
    chain.iter().map(read_certificate).collect()
}

/// Reads one certificate: X.509 v1 and unknown critical extensions are fine at this point.
pub(crate) fn read_certificate(der: &CertificateDer<'_>) -> Result<Certificate, rustls::Error> {
    Certificate::from_der(der.as_ref()).map_err(|_| malformed())
}

pub(crate) fn malformed() -> rustls::Error {
    rustls::Error::InvalidCertificate(CertificateError::BadEncoding)
}

/// Drives a handshake whose signatures come from a token or a TPM, so that the milliseconds they
/// take hold up no other connection.
pub(crate) async fn off_reactor<F>(handshake: F) -> io::Result<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let runtime = Handle::current();
    if runtime.runtime_flavor() == RuntimeFlavor::MultiThread {
        let mut handshake = Box::pin(handshake);
        let driven =
            poll_fn(move |cx| tokio::task::block_in_place(|| handshake.as_mut().poll(cx))).await;
        return Ok(driven);
    }
    // A single-threaded runtime cannot hand its work over: the handshake moves instead.
    tokio::task::spawn_blocking(move || runtime.block_on(handshake))
        .await
        .map_err(io::Error::other)
}
