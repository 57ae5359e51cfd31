//! The one module that touches TLS: rustls through its byte interface, set up so that every check is
//! ours.
//!
//! rustls draws randomness through the [`CryptoProvider`] and reads the time through a `TimeProvider`.
//! Both come in as arguments: the provider with the settings, the time with every call, from where it
//! is kept for rustls in a [`Moment`]. So a configuration is made for each connection, which costs
//! microseconds, and the verifier inside keeps the path it proved for the caller.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rustls::client::Resumption as ClientResumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache, StoresServerSessions};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, ConnectionCommon, DigitallySignedStruct,
    DistinguishedName, HandshakeKind, PeerIncompatible, ProtocolVersion, ServerConfig,
    ServerConnection, SideData, SignatureScheme, SupportedProtocolVersion,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use vouchsafe_trust::{
    Anchors, Certificate, Path, PathError, PathRules, Revocation, Secret, Usage, Verified,
    verify_path,
};

use crate::error::{Error, Misuse, Refusal, TlsFailure};

/// Most certificates that a peer may show.
pub const MAX_CHAIN: usize = 10;

/// What a session-key exporter gives: MSK and EMSK (RFC 5216 §2.3, RFC 9190 §2.3).
const KEY_MATERIAL: usize = 128;

/// Which TLS versions are spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    /// 1.2 and 1.3.
    #[default]
    All,
    /// Only 1.2.
    Tls12,
    /// Only 1.3.
    Tls13,
}

impl Versions {
    fn supported(self) -> &'static [&'static SupportedProtocolVersion] {
        static ALL: [&SupportedProtocolVersion; 2] =
            [&rustls::version::TLS13, &rustls::version::TLS12];
        match self {
            Self::All => &ALL,
            Self::Tls12 => ALL.get(1..).unwrap_or(&ALL),
            Self::Tls13 => ALL.get(..1).unwrap_or(&ALL),
        }
    }
}

/// The version that a handshake settled on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

/// Whether an earlier handshake may be resumed (RFC 5216 §2.1.2, RFC 9190 §2.1.2).
///
/// TLS itself does not look at the certificate again when it resumes. Here the certificate of the
/// resumed session is proved anew, under the anchors and revocation lists of now.
#[derive(Clone, Default)]
pub enum Resumption {
    /// Never: every handshake is a full one, and no session is remembered.
    #[default]
    Forbidden,
    /// Sessions of this memory.
    Remembered(SessionMemory),
}

/// Sessions that may be resumed. Dropping it, or beginning a new one, forgets them all.
#[derive(Clone)]
pub struct SessionMemory(Arc<dyn StoresServerSessions>);

impl SessionMemory {
    /// Remembers at most `sessions`.
    pub fn new(sessions: usize) -> Self {
        Self(ServerSessionMemoryCache::new(sessions))
    }
}

/// Whom to believe.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The authorities.
    pub anchors: Anchors,
    /// What is known about revocation.
    pub revocation: Revocation,
}

/// How a server speaks EAP-TLS.
#[derive(Clone)]
pub struct Acceptor {
    provider: Arc<CryptoProvider>,
    key: Arc<CertifiedKey>,
    trust: Arc<Trust>,
    versions: Versions,
    resumption: Resumption,
}

impl Acceptor {
    /// With a chain and its key, and the authorities of the devices. Randomness is drawn from
    /// `provider`, whose cipher suites and groups are offered.
    pub fn new(provider: Arc<CryptoProvider>, key: Arc<CertifiedKey>, trust: Trust) -> Self {
        Self {
            provider,
            key,
            trust: Arc::new(trust),
            versions: Versions::All,
            resumption: Resumption::Forbidden,
        }
    }

    /// Speaks only these versions.
    #[must_use]
    pub fn with_versions(mut self, versions: Versions) -> Self {
        self.versions = versions;
        self
    }

    /// Lets handshakes be resumed.
    #[must_use]
    pub fn with_resumption(mut self, resumption: Resumption) -> Self {
        self.resumption = resumption;
        self
    }

    /// Whom it believes.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    pub(crate) fn connection(&self, now: Timestamp) -> Result<TlsServer, Error> {
        let moment = Arc::new(Moment::new(now));
        let verifier = Arc::new(Verifier::new(
            self.trust.clone(),
            Usage::TlsClient,
            &self.provider,
        ));
        let mut config = ServerConfig::builder_with_details(self.provider.clone(), moment.clone())
            .with_protocol_versions(self.versions.supported())
            .map_err(|_| Misuse::Tls)?
            .with_client_cert_verifier(verifier.clone())
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(self.key.clone())));
        match &self.resumption {
            Resumption::Forbidden => {
                config.session_storage = Arc::new(NoServerSessionStorage {});
                config.send_tls13_tickets = 0;
            }
            Resumption::Remembered(memory) => {
                config.session_storage = memory.0.clone();
                config.send_tls13_tickets = 1;
                // Without RFC 7627 a resumed session may be spliced from two.
                config.require_ems = true;
            }
        }
        let connection = ServerConnection::new(Arc::new(config)).map_err(|_| Misuse::Tls)?;
        Ok(TlsServer {
            connection,
            verifier,
            moment,
            resumption_allowed: matches!(self.resumption, Resumption::Remembered(_)),
            randoms: Randoms::default(),
        })
    }
}

/// How a peer (a supplicant) speaks EAP-TLS.
#[derive(Clone)]
pub struct Connector {
    provider: Arc<CryptoProvider>,
    key: Arc<CertifiedKey>,
    trust: Arc<Trust>,
    server_name: Option<ServerName<'static>>,
    versions: Versions,
    remembered: Option<Remembered>,
}

/// What connections must share so that one can resume another: rustls compares the addresses of the
/// verifier and of the certificate's holder.
#[derive(Clone)]
struct Remembered {
    sessions: ClientResumption,
    verifier: Arc<Verifier>,
    presents: Arc<SingleCertAndKey>,
}

impl Connector {
    /// With the peer's chain and key, and the authorities of the servers. A server's certificate
    /// must be good for TLS servers and, when `server_name` is given, be for that name
    /// (RFC 5216 §5.3, RFC 9190 §2.2).
    pub fn new(
        provider: Arc<CryptoProvider>,
        key: Arc<CertifiedKey>,
        trust: Trust,
        server_name: Option<ServerName<'static>>,
    ) -> Self {
        Self {
            provider,
            key,
            trust: Arc::new(trust),
            server_name,
            versions: Versions::All,
            remembered: None,
        }
    }

    /// Speaks only these versions.
    #[must_use]
    pub fn with_versions(mut self, versions: Versions) -> Self {
        self.versions = versions;
        self
    }

    /// Resumes the last session where the server lets it. This connector and its clones then serve one
    /// conversation at a time.
    #[must_use]
    pub fn with_resumption(mut self) -> Self {
        self.remembered = Some(Remembered {
            sessions: ClientResumption::in_memory_sessions(4),
            ..self.unremembered()
        });
        self
    }

    fn unremembered(&self) -> Remembered {
        let mut verifier = Verifier::new(self.trust.clone(), Usage::TlsServer, &self.provider);
        verifier.server_name = self.server_name.clone();
        Remembered {
            sessions: ClientResumption::disabled(),
            verifier: Arc::new(verifier),
            presents: Arc::new(SingleCertAndKey::from(self.key.clone())),
        }
    }

    pub(crate) fn connection(&self, now: Timestamp) -> Result<TlsPeer, Error> {
        let moment = Arc::new(Moment::new(now));
        let remembered = self.remembered.clone();
        let remembered = remembered.unwrap_or_else(|| self.unremembered());
        let verifier = remembered.verifier;
        verifier.keep(None);
        let mut config = ClientConfig::builder_with_details(self.provider.clone(), moment.clone())
            .with_protocol_versions(self.versions.supported())
            .map_err(|_| Misuse::Tls)?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_client_cert_resolver(remembered.presents);
        config.resumption = remembered.sessions;
        // There is no host to name: the server is whoever the access point asks.
        config.enable_sni = false;
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => ServerName::try_from("eap.invalid").map_err(|_| Misuse::Tls)?,
        };
        let connection = ClientConnection::new(Arc::new(config), name).map_err(|_| Misuse::Tls)?;
        Ok(TlsPeer {
            connection,
            verifier,
            moment,
            randoms: Randoms::default(),
        })
    }
}

/// Keys of a finished handshake.
#[derive(Clone, Debug)]
pub struct SessionKeys {
    /// Master session key, 64 octets: the first half is the access point's receive key.
    pub msk: Secret,
    /// Extended master session key, 64 octets.
    pub emsk: Secret,
    /// Session-Id: 0x0D and 64 octets that name the session (RFC 5247 §1.4, RFC 5216 §2.3, RFC 9190 §2.3).
    pub session_id: Vec<u8>,
}

/// What a finished handshake proved.
#[derive(Clone, Debug)]
pub struct Proof {
    /// The peer's path, leaf first.
    pub path: Verified<Path>,
    /// The version spoken.
    pub version: Version,
    /// Whether an earlier handshake was resumed.
    pub resumed: bool,
    /// The keys.
    pub keys: SessionKeys,
}

pub(crate) struct TlsServer {
    connection: ServerConnection,
    verifier: Arc<Verifier>,
    moment: Arc<Moment>,
    resumption_allowed: bool,
    randoms: Randoms,
}

impl TlsServer {
    /// Takes a whole flight of the peer. After an error, [`Self::flight`] holds the alert.
    pub(crate) fn take(&mut self, now: Timestamp, flight: &[u8]) -> Result<(), Error> {
        self.moment.set(now);
        self.randoms.note_client(flight);
        take(&mut self.connection, flight).map_err(|error| self.verifier.reason(&error))?;
        // RFC 9190 §2.1: a peer has no application data to send.
        match received(&mut self.connection)?.as_slice() {
            [] => Ok(()),
            _ => Err(TlsFailure::Protocol.into()),
        }
    }

    /// What is to be sent.
    pub(crate) fn flight(&mut self) -> Result<Vec<u8>, Error> {
        let flight = flight(&mut self.connection)?;
        self.randoms.note_server(&flight);
        Ok(flight)
    }

    pub(crate) fn is_finished(&self) -> bool {
        !self.connection.is_handshaking()
    }

    /// The indication that the handshake is over and went well (RFC 9190 §2.1.1), in TLS 1.3.
    pub(crate) fn write_indication(&mut self) -> Result<(), Error> {
        self.connection
            .writer()
            .write_all(&[0])
            .map_err(|_| TlsFailure::Protocol.into())
    }

    /// What the finished handshake proved at `now`. A resumed session's certificate is judged again.
    pub(crate) fn proof(&self, now: Timestamp) -> Result<Proof, Error> {
        let resumed = is_resumed(&self.connection);
        if resumed && !self.resumption_allowed {
            return Err(Refusal::ResumptionForbidden.into());
        }
        proof(
            &self.connection,
            &self.verifier,
            &self.randoms,
            resumed,
            now,
        )
    }
}

pub(crate) struct TlsPeer {
    connection: ClientConnection,
    verifier: Arc<Verifier>,
    moment: Arc<Moment>,
    randoms: Randoms,
}

impl TlsPeer {
    /// Takes a whole flight of the server and gives the application data in it. After an error,
    /// [`Self::flight`] holds the alert.
    pub(crate) fn take(&mut self, now: Timestamp, flight: &[u8]) -> Result<Vec<u8>, Error> {
        self.moment.set(now);
        self.randoms.note_server(flight);
        take(&mut self.connection, flight).map_err(|error| self.verifier.reason(&error))?;
        received(&mut self.connection)
    }

    /// What is to be sent.
    pub(crate) fn flight(&mut self) -> Result<Vec<u8>, Error> {
        let flight = flight(&mut self.connection)?;
        self.randoms.note_client(&flight);
        Ok(flight)
    }

    pub(crate) fn is_finished(&self) -> bool {
        !self.connection.is_handshaking()
    }

    pub(crate) fn version(&self) -> Option<Version> {
        version(&self.connection)
    }

    pub(crate) fn proof(&self, now: Timestamp) -> Result<Proof, Error> {
        let resumed = is_resumed(&self.connection);
        proof(
            &self.connection,
            &self.verifier,
            &self.randoms,
            resumed,
            now,
        )
    }
}

/// rustls takes a bounded piece at a time.
fn take<Data: SideData>(
    connection: &mut ConnectionCommon<Data>,
    mut flight: &[u8],
) -> Result<(), rustls::Error> {
    while !flight.is_empty() {
        let read = connection
            .read_tls(&mut flight)
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        if read == 0 {
            break;
        }
        connection.process_new_packets()?;
    }
    Ok(())
}

/// Application data that came; anything but the one octet of RFC 9190 §2.1.1 is too much.
fn received<Data: SideData>(connection: &mut ConnectionCommon<Data>) -> Result<Vec<u8>, Error> {
    let state = connection
        .process_new_packets()
        .map_err(|_| TlsFailure::Protocol)?;
    let mut data = vec![0; state.plaintext_bytes_to_read().min(2)];
    if !data.is_empty() {
        connection
            .reader()
            .read_exact(&mut data)
            .map_err(|_| TlsFailure::Protocol)?;
    }
    Ok(data)
}

fn flight<Data: SideData>(connection: &mut ConnectionCommon<Data>) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    while connection.wants_write() {
        connection
            .write_tls(&mut out)
            .map_err(|_| TlsFailure::Protocol)?;
    }
    Ok(out)
}

fn is_resumed<Data: SideData>(connection: &ConnectionCommon<Data>) -> bool {
    connection.handshake_kind() == Some(HandshakeKind::Resumed)
}

fn version<Data: SideData>(connection: &ConnectionCommon<Data>) -> Option<Version> {
    match connection.protocol_version()? {
        ProtocolVersion::TLSv1_2 => Some(Version::Tls12),
        ProtocolVersion::TLSv1_3 => Some(Version::Tls13),
        _ => None,
    }
}

fn proof<Data: SideData>(
    connection: &ConnectionCommon<Data>,
    verifier: &Verifier,
    randoms: &Randoms,
    resumed: bool,
    now: Timestamp,
) -> Result<Proof, Error> {
    let path = match verifier.judged() {
        Some(Ok(path)) if !resumed => path,
        _ => {
            let chain = connection
                .peer_certificates()
                .and_then(<[_]>::split_first)
                .ok_or(TlsFailure::NoCertificate)?;
            verifier.judge(chain.0, chain.1, now)?
        }
    };
    let version = version(connection).ok_or(TlsFailure::Version)?;
    let keys = keys(connection, version, randoms).map_err(|_| TlsFailure::Protocol)?;
    Ok(Proof {
        path,
        version,
        resumed,
        keys,
    })
}

/// RFC 5216 §2.3 for TLS 1.2, RFC 9190 §2.3 for TLS 1.3.
fn keys<Data: SideData>(
    connection: &ConnectionCommon<Data>,
    version: Version,
    randoms: &Randoms,
) -> Result<SessionKeys, rustls::Error> {
    let mut session_id = vec![crate::eap::TLS];
    // In TLS 1.3 the length goes into the derivation: all 128 octets are asked for at once.
    let material = match version {
        Version::Tls12 => {
            session_id.extend(randoms.client);
            session_id.extend(randoms.server);
            let label = b"client EAP encryption";
            connection.export_keying_material(vec![0; KEY_MATERIAL], label, None)?
        }
        Version::Tls13 => {
            let context = Some(&[crate::eap::TLS][..]);
            let label = b"EXPORTER_EAP_TLS_Method-Id";
            session_id.extend(connection.export_keying_material([0; 64], label, context)?);
            let label = b"EXPORTER_EAP_TLS_Key_Material";
            connection.export_keying_material(vec![0; KEY_MATERIAL], label, context)?
        }
    };
    let material = Secret::new(material);
    let (msk, emsk) = material.expose().split_at(KEY_MATERIAL / 2);
    Ok(SessionKeys {
        msk: Secret::new(msk.to_vec()),
        emsk: Secret::new(emsk.to_vec()),
        session_id,
    })
}

/// The randoms of both hellos, which name a TLS 1.2 session. rustls does not tell them, so they are cut
/// from the first flight of each side: after record header, handshake header and version.
#[derive(Default)]
struct Randoms {
    client: [u8; 32],
    server: [u8; 32],
    client_seen: bool,
    server_seen: bool,
}

impl Randoms {
    fn note_client(&mut self, flight: &[u8]) {
        if !self.client_seen {
            self.client_seen = note(&mut self.client, flight);
        }
    }

    fn note_server(&mut self, flight: &[u8]) {
        if !self.server_seen {
            self.server_seen = note(&mut self.server, flight);
        }
    }
}

fn note(random: &mut [u8; 32], flight: &[u8]) -> bool {
    match flight.get(11..43) {
        Some(found) => {
            random.copy_from_slice(found);
            true
        }
        None => false,
    }
}

/// The time of the call that is being handled, where rustls looks for it.
#[derive(Debug)]
struct Moment(AtomicI64);

impl Moment {
    fn new(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.as_second()))
    }

    fn set(&self, now: Timestamp) {
        self.0.store(now.as_second(), Ordering::Relaxed);
    }
}

impl TimeProvider for Moment {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.load(Ordering::Relaxed)).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// Judges the other side's certificate by the rules of `trust`, and keeps what came of it.
#[derive(Debug)]
struct Verifier {
    trust: Arc<Trust>,
    usage: Usage,
    server_name: Option<ServerName<'static>>,
    algorithms: rustls::crypto::WebPkiSupportedAlgorithms,
    judged: Mutex<Option<Result<Verified<Path>, Error>>>,
}

impl Verifier {
    fn new(trust: Arc<Trust>, usage: Usage, provider: &CryptoProvider) -> Self {
        Self {
            trust,
            usage,
            server_name: None,
            algorithms: provider.signature_verification_algorithms,
            judged: Mutex::new(None),
        }
    }

    fn judged(&self) -> Option<Result<Verified<Path>, Error>> {
        let judged = self.judged.lock();
        judged.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, judged: Option<Result<Verified<Path>, Error>>) {
        *self.judged.lock().unwrap_or_else(PoisonError::into_inner) = judged;
    }

    /// The reason behind a TLS error: ours, when it was the certificate that we refused.
    fn reason(&self, error: &rustls::Error) -> Error {
        match (error, self.judged()) {
            (rustls::Error::InvalidCertificate(CertificateError::BadSignature), Some(Ok(_))) => {
                TlsFailure::NotTheKey.into()
            }
            (rustls::Error::InvalidCertificate(_), Some(Err(reason))) => reason,
            (error, _) => failure(error).into(),
        }
    }

    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<Verified<Path>, Error> {
        if others.len() >= MAX_CHAIN {
            return Err(TlsFailure::CertificateUnreadable.into());
        }
        let read = |der: &CertificateDer<'_>| {
            Certificate::from_der(der).map_err(|_| TlsFailure::CertificateUnreadable)
        };
        let certificate = read(leaf)?;
        let others: Vec<Certificate> = others.iter().map(read).collect::<Result<_, _>>()?;
        let anchors = &self.trust.anchors;
        let rules = PathRules::strict(now, self.usage);
        let checked = rules.clone().with_revocation(self.trust.revocation.clone());
        let path = verify_path(&certificate, &others, anchors, &checked).map_err(|error| {
            // A stranger who shows intermediates is first of all a stranger.
            let is_unknown = matches!(error, PathError::RevocationUnknown { .. });
            let without = is_unknown.then(|| verify_path(&certificate, &others, anchors, &rules));
            Error::Certificate(without.and_then(Result::err).unwrap_or(error))
        })?;
        if let Some(name) = &self.server_name {
            let parsed = rustls::server::ParsedCertificate::try_from(leaf)
                .map_err(|_| TlsFailure::CertificateUnreadable)?;
            rustls::client::verify_server_name(&parsed, name)
                .map_err(|_| Refusal::ServerNameMismatch)?;
        }
        Ok(path)
    }

    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let now = i64::try_from(now.as_secs())
            .ok()
            .and_then(|seconds| Timestamp::from_second(seconds).ok())
            .ok_or(rustls::Error::FailedToGetCurrentTime)?;
        let judged = self.judge(leaf, others, now);
        let answer = match &judged {
            Ok(_) => Ok(()),
            Err(reason) => Err(alert_for(reason).into()),
        };
        self.keep(Some(judged));
        answer
    }

    fn tls12(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn tls13(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }
}

macro_rules! checks_handshake_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            self.tls12(message, certificate, signed)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            self.tls13(message, certificate, signed)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.algorithms.supported_schemes()
        }
    };
}

impl ClientCertVerifier for Verifier {
    /// No hints: a device that sees issuers it does not know would keep its certificate back.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.verify(leaf, others, now)
            .map(|()| ClientCertVerified::assertion())
    }

    checks_handshake_signatures!();
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verify(leaf, others, now)
            .map(|()| ServerCertVerified::assertion())
    }

    checks_handshake_signatures!();
}

/// The error under which rustls sends the alert that tells the other side most.
fn alert_for(reason: &Error) -> CertificateError {
    match reason {
        Error::Certificate(PathError::UnknownIssuer { .. }) => CertificateError::UnknownIssuer,
        Error::Certificate(PathError::Expired { .. }) => CertificateError::Expired,
        Error::Certificate(PathError::NotYetValid { .. }) => CertificateError::NotValidYet,
        Error::Certificate(PathError::Revoked { .. }) => CertificateError::Revoked,
        Error::Certificate(PathError::ExtendedKeyUsage { .. }) => CertificateError::InvalidPurpose,
        Error::Certificate(PathError::RevocationUnknown { .. }) => {
            CertificateError::UnknownRevocationStatus
        }
        Error::Certificate(PathError::UnknownCriticalExtension { .. }) => {
            CertificateError::UnhandledCriticalExtension
        }
        Error::Tls(TlsFailure::CertificateUnreadable) => CertificateError::BadEncoding,
        _ => CertificateError::ApplicationVerificationFailure,
    }
}

fn failure(error: &rustls::Error) -> TlsFailure {
    match error {
        rustls::Error::AlertReceived(_) => TlsFailure::RefusedByPeer,
        rustls::Error::NoCertificatesPresented => TlsFailure::NoCertificate,
        rustls::Error::DecryptError => TlsFailure::Finished,
        rustls::Error::InvalidCertificate(CertificateError::BadSignature) => TlsFailure::NotTheKey,
        rustls::Error::InvalidCertificate(_) => TlsFailure::CertificateUnreadable,
        rustls::Error::PeerIncompatible(
            PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => TlsFailure::Version,
        rustls::Error::PeerIncompatible(_) => TlsFailure::NothingInCommon,
        _ => TlsFailure::Protocol,
    }
}
