//! The verifiers: what each side of a handshake checks, and what it leaves to the caller.
//!
//! | verifier | path | name | handshake signature |
//! | --- | --- | --- | --- |
//! | [`AnyClient`] | the handler, later | – | checked |
//! | [`KnownClient`] | our anchors, strict | – | checked |
//! | [`ProvisionalServer`] | the voucher, later (RFC 8995 §5.1) | – | checked |
//! | [`KnownServer`] | our anchors, strict | checked | checked |
//! | [`Registrar`] | our anchors, strict | any, with `id-kp-cmcRA` (RFC 7030 §3.6.1) | checked |
//!
//! The handshake signature is always checked, and always against the raw key of the leaf: the
//! helper that takes a certificate refuses X.509 v1 and unknown critical extensions, which devices
//! in the field do have.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use vouchsafe_trust::{Anchors, Certificate, PathError, PathRules, Usage, verify_path};

use crate::tls::{MAX_CHAIN, malformed, read_certificate};

/// Checks the signature that proves possession of the leaf's key, whatever the leaf looks like.
#[derive(Clone, Debug)]
struct HandshakeSignatures(WebPkiSupportedAlgorithms);

impl HandshakeSignatures {
    fn tls12(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let certificate = read_certificate(certificate)?;
        let key = SubjectPublicKeyInfoDer::from(certificate.public_key().spki_der());
        let key = webpki::RawPublicKeyEntity::try_from(&key).map_err(|_| malformed())?;
        // In TLS 1.2 a scheme fixes the digest but not the curve, so it has several algorithms.
        let algorithms = self
            .0
            .mapping
            .iter()
            .find(|(scheme, _)| *scheme == signed.scheme);
        let valid = algorithms.is_some_and(|(_, algorithms)| {
            algorithms.iter().any(|each| {
                key.verify_signature(*each, message, signed.signature())
                    .is_ok()
            })
        });
        if valid {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(CertificateError::BadSignature.into())
        }
    }

    fn tls13(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let certificate = read_certificate(certificate)?;
        let key = SubjectPublicKeyInfoDer::from(certificate.public_key().spki_der());
        rustls::crypto::verify_tls13_signature_with_raw_key(message, &key, signed, &self.0)
            .map_err(|_| CertificateError::BadSignature.into())
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// The four methods that every verifier answers alike.
macro_rules! checks_handshake_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            self.signatures.tls12(message, certificate, signed)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            self.signatures.tls13(message, certificate, signed)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.signatures.schemes()
        }
    };
}

/// Client certificates are optional and of any maker; the handler judges the chain.
#[derive(Debug)]
pub(crate) struct AnyClient {
    signatures: HandshakeSignatures,
}

impl AnyClient {
    pub(crate) fn new(provider: &CryptoProvider) -> Arc<Self> {
        Arc::new(Self {
            signatures: signatures(provider),
        })
    }
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// No hints: a device that sees issuers it does not know would keep its certificate back.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        readable(leaf, others)?;
        Ok(ClientCertVerified::assertion())
    }

    checks_handshake_signatures!();
}

/// A client certificate is required and must lead to our anchors.
#[derive(Debug)]
pub(crate) struct KnownClient {
    anchors: Anchors,
    signatures: HandshakeSignatures,
}

impl KnownClient {
    pub(crate) fn new(anchors: Anchors, provider: &CryptoProvider) -> Arc<Self> {
        Arc::new(Self {
            anchors,
            signatures: signatures(provider),
        })
    }
}

impl ClientCertVerifier for KnownClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let chain = readable(leaf, others)?;
        strict(&chain, &self.anchors, now, Usage::TlsClient)?;
        Ok(ClientCertVerified::assertion())
    }

    checks_handshake_signatures!();
}

/// Any server: the chain is kept for the check that the voucher allows (RFC 8995 §5.1, §5.6.2).
#[derive(Debug)]
pub(crate) struct ProvisionalServer {
    signatures: HandshakeSignatures,
}

impl ProvisionalServer {
    pub(crate) fn new(provider: &CryptoProvider) -> Arc<Self> {
        Arc::new(Self {
            signatures: signatures(provider),
        })
    }
}

impl ServerCertVerifier for ProvisionalServer {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        readable(leaf, others)?;
        Ok(ServerCertVerified::assertion())
    }

    checks_handshake_signatures!();
}

/// A server that our anchors vouch for, under the name that was called.
#[derive(Debug)]
pub(crate) struct KnownServer {
    anchors: Anchors,
    signatures: HandshakeSignatures,
}

impl KnownServer {
    pub(crate) fn new(anchors: Anchors, provider: &CryptoProvider) -> Arc<Self> {
        Arc::new(Self {
            anchors,
            signatures: signatures(provider),
        })
    }
}

impl ServerCertVerifier for KnownServer {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = readable(leaf, others)?;
        strict(&chain, &self.anchors, now, Usage::TlsServer)?;
        rustls::client::verify_server_name(&ParsedCertificate::try_from(leaf)?, name)?;
        Ok(ServerCertVerified::assertion())
    }

    checks_handshake_signatures!();
}

/// A server that our anchors vouch for as registrar, under whatever name it was found.
#[derive(Debug)]
pub(crate) struct Registrar {
    anchors: Anchors,
    signatures: HandshakeSignatures,
}

impl Registrar {
    pub(crate) fn new(anchors: Anchors, provider: &CryptoProvider) -> Arc<Self> {
        Arc::new(Self {
            anchors,
            signatures: signatures(provider),
        })
    }
}

impl ServerCertVerifier for Registrar {
    /// RFC 7030 §3.6.1: `id-kp-cmcRA` under an explicit anchor.
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = readable(leaf, others)?;
        strict(&chain, &self.anchors, now, Usage::Registrar)?;
        Ok(ServerCertVerified::assertion())
    }

    checks_handshake_signatures!();
}

fn signatures(provider: &CryptoProvider) -> HandshakeSignatures {
    HandshakeSignatures(provider.signature_verification_algorithms)
}

/// The chain, leaf first, if it is short enough and each certificate of it can be read.
fn readable(
    leaf: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
) -> Result<Vec<Certificate>, rustls::Error> {
    if others.len() >= MAX_CHAIN {
        return Err(malformed());
    }
    std::iter::once(leaf)
        .chain(others)
        .map(read_certificate)
        .collect()
}

fn strict(
    chain: &[Certificate],
    anchors: &Anchors,
    now: UnixTime,
    usage: Usage,
) -> Result<(), rustls::Error> {
    let at = i64::try_from(now.as_secs())
        .ok()
        .and_then(|now| Timestamp::from_second(now).ok());
    let at = at.ok_or(rustls::Error::FailedToGetCurrentTime)?;
    let (leaf, others) = chain
        .split_first()
        .ok_or(rustls::Error::NoCertificatesPresented)?;
    verify_path(leaf, others, anchors, &PathRules::strict(at, usage)).map_err(refused)?;
    Ok(())
}

fn refused(error: PathError) -> CertificateError {
    match error {
        PathError::UnknownIssuer { .. } => CertificateError::UnknownIssuer,
        PathError::Expired { .. } => CertificateError::Expired,
        PathError::NotYetValid { .. } => CertificateError::NotValidYet,
        PathError::Signature { .. } => CertificateError::BadSignature,
        PathError::ExtendedKeyUsage { .. } => CertificateError::InvalidPurpose,
        PathError::UnknownCriticalExtension { .. } => CertificateError::UnhandledCriticalExtension,
        PathError::Revoked { .. } => CertificateError::Revoked,
        error => CertificateError::Other(OtherError(Arc::new(error))),
    }
}
