//! The enrollee over TCP (Wi-Fi Easy Connect 3.0 §6.6): one connection, one exchange.
//!
//! 1. Connect. Who knows the controller's key begins authentication, and both prove themselves; who
//!    does not announces its presence and waits to be called (§6.2, §6.3); both may know a code, by which
//!    they learn each other's keys first (§5.6). A device that was configured
//!    before may show its connector instead of its bootstrapping key (§6.5, [`super::again`]).
//! 2. Authentication; a controller that needs a person asks to wait.
//! 3. The request: what the device is and wants (§6.4). The answer may be "come back", "with a
//!    certificate request" or "with a key on another curve".
//! 4. The configuration is checked: connectors are for our key, signed by the key that came with
//!    them, and not expired; each network has what its method needs.
//! 5. [`Offer::accept`] or [`Offer::reject`] tells the controller (§6.4.4). In between the caller makes
//!    durable what it got.
//! 6. A controller that asked for it hears how joining went ([`Reporter::report`], §6.4.5).
//!
//! Every wait has a limit, every frame a size ([`vouchsafe_dpp::tcp::Reader`]).

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use vouchsafe_brski::csrattrs::{CsrAttributes, KeyKind};
use vouchsafe_dpp::authentication::{
    Authenticated, Entropy, Initiator, InitiatorParameters, Progress, Responder, Role, Roles,
};
use vouchsafe_dpp::configuration::{
    CONNECTION_STATUS_SECONDS, Configured, ConnectionStatus, EnrolleeSide, Outcome,
};
use vouchsafe_dpp::object::{ConfigurationObject, NetRole, RequestObject};
use vouchsafe_dpp::pkex::{self, PkexBinding, Tries};
use vouchsafe_dpp::{Agreement, BootstrappingPublicKey, Opening, Status, announcement, csr, tcp};
use vouchsafe_keystore::{Algorithm, generate_pkcs8, random};
use vouchsafe_trust::{Name, RequestContent, Secret, Signer, SoftwareSigner, oid};

use super::again::{self, Before};
use super::code::Code;
use super::{UnusableConfiguration, WifiError};
use crate::birth::Birth;
use crate::error::LocalError;
use crate::keys::blocking;

/// How long to wait for a connection, and for each message that is due at once.
const MESSAGE: Duration = Duration::from_secs(20);

/// How long a controller may ask to be waited for while a person brings our key.
const PENDING: Duration = Duration::from_secs(vouchsafe_dpp::authentication::PENDING_SECONDS);

/// The shortest pause before coming back, whatever the controller says.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// One time unit of a comeback delay (IEEE 802.11 §3.1).
const TIME_UNIT: Duration = Duration::from_micros(1024);

/// Bytes read at once.
const CHUNK: usize = 4096;

/// Who the device is and what it wants.
#[derive(Clone)]
pub struct Parameters {
    /// Its bootstrapping key.
    pub key: Arc<dyn Agreement>,
    /// The controller's bootstrapping key, if the device knows it.
    pub controller: Option<BootstrappingPublicKey>,
    /// What the device was configured with before, to be known by that.
    pub before: Option<Before>,
    /// A code that the controller was told as well; used where neither of these is known.
    pub code: Option<Code>,
    /// What the device calls itself.
    pub name: String,
    /// Its serial number, for the subject of a certificate.
    pub serial: String,
    /// Where its usage description is.
    pub mud_url: Option<String>,
    /// As what it wants to be configured.
    pub role: NetRole,
    /// The highest version of the protocol that it speaks.
    pub version: u8,
    /// For how long it comes back while nobody has decided.
    pub patience: Duration,
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parameters")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What happens, as it happens. Serializes as `{"step":"sent","message":…}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Seen {
    /// The connection stands.
    Connected,
    /// A message left.
    Sent {
        /// Which.
        message: &'static str,
        /// Its length in bytes.
        bytes: usize,
    },
    /// A message came.
    Received {
        /// Which was due.
        message: &'static str,
        /// Its length in bytes.
        bytes: usize,
    },
    /// Both sides have shown that they know the code, which is used up by that.
    CodeKnown,
    /// The controller needs a person to bring our key.
    Pending,
    /// Authentication succeeded.
    Authenticated {
        /// Whether both sides proved a bootstrapping key.
        mutual: bool,
        /// The version that both speak.
        version: u8,
        /// The curve of the exchange.
        curve: &'static str,
    },
    /// The controller asks to come back.
    ComeBack {
        /// After so many milliseconds.
        milliseconds: u64,
    },
    /// The controller asks for a certificate request.
    CertificateRequestNeeded,
    /// The controller asks for a protocol key on another curve.
    NewKeyNeeded {
        /// The curve.
        curve: &'static str,
    },
    /// A configuration came, and can be used.
    Offered {
        /// For how many networks.
        networks: usize,
    },
}

/// A configuration that was checked and not yet answered.
pub struct Offer {
    line: Line,
    configured: Configured,
    /// The key of a certificate that was asked for, PKCS#8 DER.
    certificate_key: Option<Secret>,
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offer").finish_non_exhaustive()
    }
}

/// The bootstrapping key of the device in this folder, from its `birth/`. Blocks on files.
///
/// # Errors
/// [`LocalError`] with the file.
pub fn key_of(dir: &Path) -> Result<Arc<dyn Agreement>, LocalError> {
    Ok(super::key::of(dir, &Birth::open(dir)?)?.agreement())
}

/// Steps 1 to 4.
///
/// # Errors
/// [`WifiError`]; the controller was told where the protocol has a word for it.
pub async fn enrol(
    address: SocketAddr,
    parameters: &Parameters,
    now: Timestamp,
    seen: &(dyn Fn(Seen) + Send + Sync),
) -> Result<Offer, WifiError> {
    // 1
    let mut line = Line::open(address).await?;
    seen(Seen::Connected);
    // 2
    let authenticated = match (&parameters.before, &parameters.controller) {
        (Some(before), _) => show_connector(&mut line, before, now, seen).await?,
        (None, Some(controller)) => call(&mut line, parameters, controller, seen).await?,
        (None, None) => match &parameters.code {
            Some(code) => {
                let controller = exchange_keys(&mut line, parameters, code, seen).await?;
                call(&mut line, parameters, &controller, seen).await?
            }
            None => be_called(&mut line, parameters, seen).await?,
        },
    };
    seen(Seen::Authenticated {
        mutual: authenticated.mutual(),
        version: authenticated.version(),
        curve: authenticated.curve().jwk_name(),
    });
    // 3
    let (configured, certificate_key) = ask(&mut line, parameters, authenticated, seen).await?;
    let mut offer = Offer {
        line,
        configured,
        certificate_key,
    };
    // 4
    if let Err(error) = offer.check(parameters.role, now) {
        // It is refused, whether or not the controller hears of it.
        let _ = offer.result(Status::ConfigurationRejected).await;
        return Err(error);
    }
    seen(Seen::Offered {
        networks: offer.configured.objects().len(),
    });
    Ok(offer)
}

/// The first message of an exchange by code: from here on it is a try.
pub(crate) const FIRST_BY_CODE: &str = "PKEX Exchange Request";

/// Step 2 begins with a code: the controller's key, for ours (§5.6, version 2). The controller hangs up
/// when ours is another one.
async fn exchange_keys(
    line: &mut Line,
    parameters: &Parameters,
    code: &Code,
    seen: &(dyn Fn(Seen) + Send + Sync),
) -> Result<BootstrappingPublicKey, WifiError> {
    let (own, code) = (Arc::clone(&parameters.key), code.for_exchange()?);
    let entropy = Entropy::new(random::bytes());
    // They are counted by the caller, over restarts.
    let mut tries = Tries::default();
    let (request, waiting) =
        pkex::Initiator::start(own, code, PkexBinding::Versions, &mut tries, &entropy)?;
    line.send(FIRST_BY_CODE, &request, seen).await?;
    let response = line
        .receive("PKEX Exchange Response", MESSAGE, seen)
        .await?;
    // A key in hardware makes one wait.
    let (commit, waiting) = blocking(move || waiting.handle(&response)).await??;
    line.send("PKEX Commit-Reveal Request", &commit, seen)
        .await?;
    let response = line
        .receive("PKEX Commit-Reveal Response", MESSAGE, seen)
        .await?;
    let controller = waiting.handle(&response, &mut tries)?;
    seen(Seen::CodeKnown);
    Ok(controller)
}

/// Step 2, begun by us: we know the controller's key, and it must know ours.
async fn call(
    line: &mut Line,
    parameters: &Parameters,
    controller: &BootstrappingPublicKey,
    seen: &(dyn Fn(Seen) + Send + Sync),
) -> Result<Authenticated, WifiError> {
    let entropy = Entropy::new(random::bytes());
    let begin = InitiatorParameters {
        own: Some(Arc::clone(&parameters.key)),
        peer: controller,
        roles: Roles::Only(Role::Enrollee),
        version: parameters.version,
        channel: None,
        require_mutual: true,
    };
    let (request, mut waiting) = Initiator::start(begin, &entropy)?;
    line.send("Authentication Request", &request, seen).await?;
    let mut patience = MESSAGE;
    for _ in 0..2 {
        let response = line
            .receive("Authentication Response", patience, seen)
            .await?;
        // A key in hardware makes one wait.
        match blocking(move || waiting.handle(&response)).await? {
            Ok(Progress::Done {
                confirm,
                authenticated,
            }) => {
                line.send("Authentication Confirm", &confirm, seen).await?;
                return Ok(authenticated);
            }
            Ok(Progress::Pending(later)) => {
                seen(Seen::Pending);
                (waiting, patience) = (later, PENDING);
            }
            Err(error) => return Err(line.refuse(error).await),
        }
    }
    Err(WifiError::ComeBackForEver)
}

/// Step 2, begun by the controller: it knows our key from our label.
async fn be_called(
    line: &mut Line,
    parameters: &Parameters,
    seen: &(dyn Fn(Seen) + Send + Sync),
) -> Result<Authenticated, WifiError> {
    let presence = announcement::presence(parameters.key.public_key())?;
    line.send("Presence Announcement", &presence, seen).await?;
    let frame = line
        .receive("Authentication Request", MESSAGE, seen)
        .await?;
    let Opening::AuthenticationRequest(request) = Opening::read(&frame)? else {
        return Err(vouchsafe_dpp::Error::from(vouchsafe_dpp::Refusal::Unexpected).into());
    };
    let roles = Roles::Only(Role::Enrollee);
    let (key, version) = (Arc::clone(&parameters.key), parameters.version);
    let entropy = Entropy::new(random::bytes());
    // A key in hardware makes one wait.
    let responding = blocking(move || {
        let accepted = Responder::accept(&request, &*key, roles, version)?;
        accepted.respond(&*key, None, &entropy)
    });
    let (response, responder) = match responding.await? {
        Ok(responded) => responded,
        Err(error) => return Err(line.refuse(error).await),
    };
    line.send("Authentication Response", &response, seen)
        .await?;
    let confirm = line
        .receive("Authentication Confirm", MESSAGE, seen)
        .await?;
    match responder.handle(&confirm) {
        Ok(authenticated) => Ok(authenticated),
        Err(error) => Err(line.refuse(error).await),
    }
}

/// Step 2 for a device that was configured before.
async fn show_connector(
    line: &mut Line,
    before: &Before,
    now: Timestamp,
    seen: &(dyn Fn(Seen) + Send + Sync),
) -> Result<Authenticated, WifiError> {
    let announcement = again::announce(before)?;
    line.send("Reconfiguration Announcement", &announcement, seen)
        .await?;
    let due = "Reconfiguration Authentication Request";
    let request = line.receive(due, MESSAGE, seen).await?;
    let (response, waiting) = again::answer(before, &request, now)?;
    line.send("Reconfiguration Authentication Response", &response, seen)
        .await?;
    let due = "Reconfiguration Authentication Confirm";
    let confirm = line.receive(due, MESSAGE, seen).await?;
    match waiting.handle(&confirm) {
        // Which key a connector is for must not be a guess.
        Ok(agreed) if !agreed.replaces_key => Err(UnusableConfiguration::OtherKey.into()),
        Ok(agreed) => Ok(agreed.authenticated),
        Err(error) => Err(line.refuse(error).await),
    }
}

/// Step 3.
async fn ask(
    line: &mut Line,
    parameters: &Parameters,
    authenticated: Authenticated,
    seen: &(dyn Fn(Seen) + Send + Sync),
) -> Result<(Configured, Option<Secret>), WifiError> {
    let mut object = RequestObject::new(&parameters.name, parameters.role);
    object.mud_url.clone_from(&parameters.mud_url);
    object.capabilities = vouchsafe_dpp::object::CAPABILITY_SAE_PASSWORD_IDENTIFIER;
    let mut certificate_key = None;
    let over = Instant::now() + parameters.patience;
    let mut side = EnrolleeSide::new(authenticated)?;
    'asking: loop {
        let (request, mut waiting) = side.request(&object, &random::bytes())?;
        line.send("Configuration Request", &request, seen).await?;
        loop {
            let answer = line
                .receive("Configuration Response", MESSAGE, seen)
                .await?;
            match waiting.handle(&answer) {
                Ok(Outcome::Configured(configured)) => return Ok((configured, certificate_key)),
                Ok(Outcome::ComeBack {
                    delay,
                    frame,
                    waiting: later,
                }) => {
                    let pause = (TIME_UNIT * u32::from(delay)).max(SHORTEST_PAUSE);
                    seen(Seen::ComeBack {
                        milliseconds: u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
                    });
                    if Instant::now() + pause > over {
                        return Err(WifiError::ComeBackForEver);
                    }
                    tokio::time::sleep(pause).await;
                    line.send("Configuration Comeback", &frame, seen).await?;
                    waiting = later;
                }
                Ok(Outcome::CertificateRequestNeeded {
                    attributes,
                    side: again,
                }) => {
                    seen(Seen::CertificateRequestNeeded);
                    let key = generate_pkcs8(certificate_algorithm(&attributes)?)
                        .map_err(LocalError::from)?;
                    let serial = &parameters.serial;
                    let request =
                        certificate_request(&attributes, serial, &key, again.authenticated())?;
                    object.certificate_request = Some(request);
                    certificate_key = Some(key);
                    side = again;
                    continue 'asking;
                }
                Ok(Outcome::NewKeyNeeded(needed)) => {
                    let curve = needed.curve().jwk_name();
                    seen(Seen::NewKeyNeeded { curve });
                    side = needed.bring(&Entropy::new(random::bytes()))?;
                    continue 'asking;
                }
                Err(error) => return Err(line.refuse(error).await),
            }
        }
    }
}

/// Which key a network asks for (RFC 7030 §4.5.2).
fn certificate_algorithm(attributes: &[u8]) -> Result<Algorithm, WifiError> {
    let wanted = wanted(attributes)?;
    match wanted.key {
        None | Some(KeyKind::P256) => Ok(Algorithm::EcdsaP256),
        Some(KeyKind::P384) => Ok(Algorithm::EcdsaP384),
        Some(_) => Err(UnusableConfiguration::KeyKind.into()),
    }
}

/// The request, bound to this exchange by its challenge password (§6.4.2).
fn certificate_request(
    attributes: &[u8],
    serial: &str,
    key: &Secret,
    authenticated: &Authenticated,
) -> Result<Vec<u8>, WifiError> {
    let sign = |error: &dyn fmt::Display| LocalError::Sign(error.to_string());
    let signer = SoftwareSigner::from_pkcs8_der(key.expose()).map_err(|error| sign(&error))?;
    let subject = Name::new(&[(oid::SERIAL_NUMBER, serial)]).map_err(|error| sign(&error))?;
    let mut own = RequestContent::new(subject);
    // The content is asked for with a password, which is put in where the exchange is known.
    own.challenge_password = Some(String::new());
    let content = wanted(attributes)?
        .request_content(&own, signer.public_key())
        .map_err(|_| UnusableConfiguration::KeyKind)?;
    Ok(csr::build(authenticated, &content, &signer)?)
}

/// The attributes that the configurator asks for; an empty list asks for nothing in particular.
fn wanted(attributes: &[u8]) -> Result<CsrAttributes, WifiError> {
    CsrAttributes::from_der(attributes).map_err(|_| UnusableConfiguration::Garbled.into())
}

impl Offer {
    /// What came.
    #[must_use]
    pub fn objects(&self) -> &[ConfigurationObject] {
        self.configured.objects()
    }

    /// What authentication has shown. Its own key is the `netAccessKey`.
    #[must_use]
    pub fn authenticated(&self) -> &Authenticated {
        self.configured.authenticated()
    }

    /// The key of the certificate that came, PKCS#8 DER; none where none was asked for.
    #[must_use]
    pub fn certificate_key(&self) -> Option<&Secret> {
        self.certificate_key.as_ref()
    }

    /// Step 5: the device has what it needs. Where the controller wants to hear how joining goes, that
    /// is step 6.
    ///
    /// # Errors
    /// [`WifiError::Connection`]: the controller did not hear of it.
    pub async fn accept(mut self) -> Result<Option<Reporter>, WifiError> {
        self.result(Status::Ok).await?;
        let wanted = self.configured.result_wanted() && self.configured.connection_status_wanted();
        Ok(wanted.then(|| Reporter {
            line: self.line,
            configured: self.configured,
        }))
    }

    /// Step 5: the device cannot use it after all.
    ///
    /// # Errors
    /// As [`Offer::accept`].
    pub async fn reject(mut self) -> Result<(), WifiError> {
        self.result(Status::ConfigurationRejected).await
    }

    async fn result(&mut self, status: Status) -> Result<(), WifiError> {
        if !self.configured.result_wanted() {
            return Ok(());
        }
        let frame = self.configured.result(status)?;
        self.line
            .send("Configuration Result", &frame, &|_| {})
            .await
    }

    /// Step 4 (§6.4.5).
    fn check(&self, role: NetRole, now: Timestamp) -> Result<(), WifiError> {
        if self.objects().is_empty() {
            return Err(UnusableConfiguration::NoNetwork.into());
        }
        let own = self.authenticated().own_protocol_key().public();
        for object in self.objects() {
            if let Some(connector) = object.credential.connector() {
                let verified = connector.verify(own, now)?;
                let named = &verified.content().groups;
                if !named.iter().any(|group| group.role == role) {
                    return Err(UnusableConfiguration::Role.into());
                }
            }
            if let Some(enterprise) = object.credential.enterprise() {
                let key = self
                    .certificate_key
                    .as_ref()
                    .ok_or(UnusableConfiguration::OtherKey)?;
                let signer = SoftwareSigner::from_pkcs8_der(key.expose())
                    .map_err(|_| UnusableConfiguration::OtherKey)?;
                let certificates = enterprise.certificates()?;
                if !certificates
                    .iter()
                    .any(|certificate| certificate.public_key() == signer.public_key())
                {
                    return Err(UnusableConfiguration::OtherKey.into());
                }
            }
        }
        Ok(())
    }
}

/// Tells the controller how joining went.
pub struct Reporter {
    line: Line,
    configured: Configured,
}

impl Reporter {
    /// For how long the controller waits to hear of it.
    pub const PATIENCE: Duration = Duration::from_secs(CONNECTION_STATUS_SECONDS);

    /// Step 6: `result` is [`Status::Ok`], or what was in the way; `ssid` the network that was tried.
    ///
    /// # Errors
    /// [`WifiError::Connection`]: the controller did not hear of it.
    pub async fn report(mut self, result: Status, ssid: Option<&[u8]>) -> Result<(), WifiError> {
        let status = ConnectionStatus {
            result,
            ssid: ssid.map(<[u8]>::to_vec),
            channel_list: None,
        };
        let frame = self.configured.connection_status(&status)?;
        self.line
            .send("Connection Status Result", &frame, &|_| {})
            .await
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter").finish_non_exhaustive()
    }
}

/// A connection that carries frames.
struct Line {
    stream: TcpStream,
    reader: tcp::Reader,
    address: SocketAddr,
}

impl Line {
    async fn open(address: SocketAddr) -> Result<Self, WifiError> {
        let failed = |source| WifiError::Connection { address, source };
        let stream = tokio::time::timeout(MESSAGE, TcpStream::connect(address))
            .await
            .map_err(|_| failed(std::io::ErrorKind::TimedOut.into()))?
            .map_err(failed)?;
        // Two small messages follow each other: the second must not wait for the first's answer.
        stream.set_nodelay(true).map_err(failed)?;
        Ok(Self {
            stream,
            reader: tcp::Reader::new(),
            address,
        })
    }

    async fn send(
        &mut self,
        message: &'static str,
        frame: &[u8],
        seen: &(dyn Fn(Seen) + Send + Sync),
    ) -> Result<(), WifiError> {
        let address = self.address;
        let octets = tcp::encode(frame)?;
        let written = tokio::time::timeout(MESSAGE, self.stream.write_all(&octets)).await;
        written
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
            .map_err(|source| WifiError::Connection { address, source })?;
        seen(Seen::Sent {
            message,
            bytes: frame.len(),
        });
        Ok(())
    }

    async fn receive(
        &mut self,
        message: &'static str,
        patience: Duration,
        seen: &(dyn Fn(Seen) + Send + Sync),
    ) -> Result<Vec<u8>, WifiError> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(frame) = self.reader.next_frame()? {
                let bytes = frame.len();
                seen(Seen::Received { message, bytes });
                return Ok(frame);
            }
            let mut chunk = [0; CHUNK];
            let read = timeout_at(deadline, self.stream.read(&mut chunk))
                .await
                .map_err(|_| WifiError::Silent { due: message })?
                .map_err(|source| WifiError::Connection {
                    address: self.address,
                    source,
                })?;
            if read == 0 {
                return Err(WifiError::Closed { due: message });
            }
            self.reader.push(chunk.get(..read).unwrap_or_default());
        }
    }

    /// Tells the controller of a refusal, where the protocol has a word for it.
    async fn refuse(&mut self, error: vouchsafe_dpp::Error) -> WifiError {
        if let Some(reply) = error.reply() {
            // It is refused, whether or not anybody hears of it.
            let _ = self.send("refusal", reply, &|_| {}).await;
        }
        error.into()
    }
}
