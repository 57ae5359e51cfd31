//! A controller on a port of its own: honest, but for what a test makes it do.

use std::net::SocketAddr;
use std::sync::Arc;

use jiff::SignedDuration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use vouchsafe_dpp::announcement::ReconfigurationAnnouncement;
use vouchsafe_dpp::authentication::{
    Authenticated, Entropy, Initiator, InitiatorParameters, Progress, Responder, Role, Roles,
};
use vouchsafe_dpp::configuration::{Answer, ConfiguratorSide, Reaction};
use vouchsafe_dpp::connector::{CSignPublicKey, Connector, ConnectorContent};
use vouchsafe_dpp::object::{
    Akm, ConfigurationObject, ConnectorCredential, Credential, CredentialParts,
    EnterpriseCredential, NetRole, Password, Ssid,
};
use vouchsafe_dpp::pkex::{self, ExchangeRequest, PkexBinding, PkexCode, Tries};
use vouchsafe_dpp::reconfiguration::{Configurator, ConfiguratorConnector};
use vouchsafe_dpp::{
    Agreement, BootstrappingKey, BootstrappingPublicKey, Curve, Opening, PrivateKey, Status, csr,
    tcp,
};
use vouchsafe_keystore::random;
use vouchsafe_trust::{Certificate, Profile, Validity};

use crate::world::{Owner, now};

/// Where the controller misbehaves, or what it gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// A connector with a password besides.
    Honest,
    /// The same, and wants to hear how joining goes: that is its result.
    AsksForJoining,
    /// The same as the honest one, after so many comebacks.
    Late(u32),
    /// Come back, for ever.
    NeverDecides,
    /// A certificate by request.
    Certificate,
    /// A certificate for another key.
    CertificateOfAnother,
    /// Asks for the key on another curve.
    OtherCurve,
    /// Connector signed by another key than the one beside it.
    WrongSigner,
    /// Connector for another device's key.
    ForeignKey,
    /// Connector that has ended.
    Expired,
    /// Connector for an access point.
    OtherRole,
    /// Refuses.
    Refuses,
    /// Hangs up at the first frame.
    HangsUp,
    /// Hangs up when the request has come.
    HangsUpLater,
    /// Sends bytes that are no frame.
    Garbage,
    /// Announces a frame of 16 MiB.
    Huge,
}

/// The code that a person told the controller, by the name `bench`.
pub(crate) const CODE: &str = "seven silver spoons";

pub(crate) struct Controller {
    pub(crate) address: SocketAddr,
    pub(crate) key: BootstrappingPublicKey,
    task: JoinHandle<Option<Status>>,
}

/// What the controller works with.
struct Desk {
    manner: Manner,
    key: Arc<BootstrappingKey>,
    keys: Arc<Keys>,
    device: BootstrappingPublicKey,
    owner: Owner,
}

/// What one owner's controllers share.
pub(crate) struct Keys {
    csign: PrivateKey,
    privacy: PrivateKey,
}

impl Keys {
    pub(crate) fn new() -> Arc<Self> {
        let fresh = || PrivateKey::from_seed(Curve::P256, &random::bytes::<80>()).unwrap();
        Arc::new(Self {
            csign: fresh(),
            privacy: fresh(),
        })
    }
}

pub(crate) fn key(curve: Curve) -> BootstrappingKey {
    BootstrappingKey::new(PrivateKey::from_seed(curve, &random::bytes::<80>()).unwrap())
}

impl Controller {
    /// Takes one connection.
    pub(crate) async fn start(manner: Manner, device: &BootstrappingPublicKey) -> Self {
        Self::start_with(manner, device, Keys::new()).await
    }

    /// The same of an owner whose keys are given.
    pub(crate) async fn start_with(
        manner: Manner,
        device: &BootstrappingPublicKey,
        keys: Arc<Keys>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let key = Arc::new(key(device.curve()));
        let public = key.public_key().clone();
        let desk = Desk {
            manner,
            key,
            keys,
            device: device.clone(),
            owner: Owner::new("Hotel"),
        };
        let task = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            desk.serve(Line {
                stream,
                reader: tcp::Reader::new(),
            })
            .await
        });
        Self {
            address,
            key: public,
            task,
        }
    }

    /// What the device said of the configuration; none when it said nothing.
    pub(crate) async fn result(self) -> Option<Status> {
        self.task.await.unwrap()
    }
}

struct Line {
    stream: TcpStream,
    reader: tcp::Reader,
}

impl Line {
    async fn send(&mut self, frame: &[u8]) {
        // A device that refused has hung up, which the test sees elsewhere.
        let _ = self.stream.write_all(&tcp::encode(frame).unwrap()).await;
    }

    async fn receive(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(frame) = self.reader.next_frame().unwrap() {
                return Some(frame);
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return None,
                Ok(read) => self.reader.push(&chunk[..read]),
            }
        }
    }
}

impl Desk {
    async fn serve(self, mut line: Line) -> Option<Status> {
        let first = line.receive().await?;
        match self.manner {
            Manner::HangsUp => return None,
            Manner::Garbage => {
                line.send(&[9, 0x50, 0x6f]).await;
                return line.receive().await.map(|_| Status::Ok);
            }
            Manner::Huge => {
                let _ = line.stream.write_all(&[1, 0, 0, 0]).await;
                return line.receive().await.map(|_| Status::Ok);
            }
            _ => {}
        }
        let authenticated = self.authenticate(&mut line, &first).await?;
        let side = ConfiguratorSide::new(authenticated).unwrap();
        let request = line.receive().await?;
        if self.manner == Manner::HangsUpLater {
            return None;
        }
        let mut requested = side.handle_request(&request).unwrap();
        let rounds = match self.manner {
            Manner::Late(rounds) => rounds,
            Manner::NeverDecides => u32::MAX,
            _ => 0,
        };
        if rounds > 0 {
            line.send(&requested.later(1).unwrap()).await;
            for _ in 1..rounds {
                let comeback = line.receive().await?;
                let frame = requested.handle_comeback(&comeback, 1).unwrap();
                line.send(&frame).await;
            }
        }
        let answer = match self.manner {
            // challengePassword (RFC 2985 §5.4.1), as hostap's tests ask for it.
            Manner::Certificate | Manner::CertificateOfAnother => {
                Answer::CertificateRequestNeeded(hex("300b06092a864886f70d010907"))
            }
            Manner::OtherCurve => Answer::NewKeyNeeded(Curve::P384, Entropy::new(random::bytes())),
            Manner::Refuses => Answer::Refused(Status::ConfigureFailure),
            _ => self.objects(requested.authenticated(), None),
        };
        let (frame, mut answered) = requested.respond(answer).unwrap();
        if let Some(frame) = frame {
            line.send(&frame).await;
        }
        loop {
            let frame = line.receive().await?;
            match answered.handle(&frame).unwrap() {
                Reaction::Send(frame, more) => {
                    line.send(&frame).await;
                    answered = more;
                }
                Reaction::Requested(again) => return self.finish(line, again).await,
                Reaction::Result { status, next: None } => return Some(status),
                Reaction::Result {
                    next: Some(next), ..
                } => {
                    let frame = line.receive().await?;
                    let joined = next.handle(&frame).unwrap();
                    assert_eq!(joined.ssid.as_deref(), Some(&b"plant"[..]));
                    return Some(joined.result);
                }
            }
        }
    }

    /// The second request, which was asked for.
    async fn finish(
        self,
        mut line: Line,
        requested: vouchsafe_dpp::configuration::Requested,
    ) -> Option<Status> {
        let certificate = requested
            .object()
            .certificate_request
            .clone()
            .map(|der| self.certificate(requested.authenticated(), &der));
        let answer = self.objects(requested.authenticated(), certificate.as_ref());
        let (frame, answered) = requested.respond(answer).unwrap();
        line.send(&frame.unwrap()).await;
        let frame = line.receive().await?;
        match answered.handle(&frame).unwrap() {
            Reaction::Result { status, .. } => Some(status),
            other => panic!("{other:?}"),
        }
    }

    async fn authenticate(&self, line: &mut Line, first: &[u8]) -> Option<Authenticated> {
        let entropy = Entropy::new(random::bytes());
        match Opening::read(first).unwrap() {
            Opening::PresenceAnnouncement { chirp_hash } => {
                assert_eq!(&chirp_hash, self.device.chirp_hash());
                let parameters = InitiatorParameters {
                    own: None,
                    peer: &self.device,
                    roles: Roles::Only(Role::Configurator),
                    version: 3,
                    channel: None,
                    require_mutual: false,
                };
                let (request, waiting) = Initiator::start(parameters, &entropy).unwrap();
                line.send(&request).await;
                let response = line.receive().await?;
                let Progress::Done {
                    confirm,
                    authenticated,
                } = waiting.handle(&response).unwrap()
                else {
                    panic!("a device does not ask to wait");
                };
                line.send(&confirm).await;
                Some(authenticated)
            }
            Opening::AuthenticationRequest(request) => {
                let roles = Roles::Only(Role::Configurator);
                let accepted = Responder::accept(&request, &*self.key, roles, 3).unwrap();
                line.send(&accepted.pending().unwrap()).await;
                let (response, responder) = accepted
                    .respond(&*self.key, Some(&self.device), &entropy)
                    .unwrap();
                line.send(&response).await;
                let confirm = line.receive().await?;
                Some(responder.handle(&confirm).unwrap())
            }
            Opening::ReconfigurationAnnouncement { frame, .. } => {
                self.meet_again(line, &frame).await
            }
            Opening::Pkex { frame, .. } => {
                let next = self.exchange_keys(line, &frame).await?;
                Box::pin(self.authenticate(line, &next)).await
            }
            other => panic!("{other:?}"),
        }
    }

    /// A person told this controller [`CODE`].
    async fn exchange_keys(&self, line: &mut Line, frame: &[u8]) -> Option<Vec<u8>> {
        let request = ExchangeRequest::read(frame).unwrap();
        let own: Arc<dyn Agreement> = Arc::<BootstrappingKey>::clone(&self.key);
        let code = PkexCode::new(Some("bench"), CODE).unwrap();
        let (binding, mut tries) = (PkexBinding::Versions, Tries::default());
        let entropy = Entropy::new(random::bytes());
        let (response, waiting) =
            pkex::Responder::answer(&request, own, &code, binding, &mut tries, &entropy).ok()?;
        line.send(&response).await;
        let commit = line.receive().await?;
        let (reveal, device) = waiting.handle(&commit, &mut tries).ok()?;
        assert_eq!(device, self.device);
        line.send(&reveal).await;
        line.receive().await
    }

    async fn meet_again(&self, line: &mut Line, frame: &[u8]) -> Option<Authenticated> {
        let announced = ReconfigurationAnnouncement::read(frame).unwrap();
        let c_sign = CSignPublicKey::new(self.keys.csign.public().clone());
        announced.reveal(&c_sign, &self.keys.privacy).ok()?;
        let own = PrivateKey::from_seed(announced.curve, &random::bytes::<80>()).unwrap();
        let role = match self.manner {
            // A station that has a connector of the same owner, and would configure others.
            Manner::OtherRole => NetRole::Station,
            _ => NetRole::Configurator,
        };
        let content = ConnectorContent::for_any_group(role, own.public().clone());
        let connector = Connector::issue_with_key(&content, &self.keys.csign).unwrap();
        let anchors = vec![c_sign];
        let verified = connector.verify(&anchors, now()).unwrap();
        let shown = match ConfiguratorConnector::new(&verified, own.clone()) {
            Ok(shown) => shown,
            Err(_) => {
                line.send(&pretended(connector.as_str())).await;
                line.receive().await;
                return None;
            }
        };
        let configurator = Configurator {
            own: &shown,
            anchors,
        };
        let entropy = Entropy::new(random::bytes());
        let (request, waiting) = configurator.start(7, &entropy).unwrap();
        line.send(&request).await;
        let response = line.receive().await?;
        let met = waiting.handle(&response).unwrap();
        line.send(&met.confirm).await;
        Some(met.authenticated)
    }

    fn objects(&self, authenticated: &Authenticated, certificate: Option<&Certificate>) -> Answer {
        let credential = match certificate {
            None => self.connector(authenticated),
            Some(certificate) => {
                let ca = self.owner.authority.certificate();
                let mut enterprise =
                    EnterpriseCredential::new(std::slice::from_ref(certificate), Some(ca));
                enterprise.trusted_server_name = Some("radius.example".to_owned());
                let parts = CredentialParts {
                    enterprise: Some(enterprise),
                    ..CredentialParts::default()
                };
                Credential::new(Akm::Dot1x, parts).unwrap()
            }
        };
        let ssid = Ssid::new(b"plant").unwrap();
        Answer::Objects {
            objects: vec![ConfigurationObject::new(ssid, credential)],
            send_connection_status: self.manner == Manner::AsksForJoining,
        }
    }

    fn connector(&self, authenticated: &Authenticated) -> Credential {
        let stranger = PrivateKey::from_seed(Curve::P256, &random::bytes::<80>()).unwrap();
        let own = authenticated.peer_protocol_key().clone();
        let mut content = ConnectorContent::for_any_group(NetRole::Station, own);
        match self.manner {
            Manner::ForeignKey => content.net_access_key = stranger.public().clone(),
            Manner::Expired => {
                content.expiry = Some(now() - SignedDuration::from_hours(1));
            }
            Manner::OtherRole => {
                content.groups[0].role = NetRole::AccessPoint;
            }
            _ => {}
        }
        let c_sign = match self.manner {
            Manner::WrongSigner => CSignPublicKey::new(stranger.public().clone()),
            _ => CSignPublicKey::new(self.keys.csign.public().clone()),
        };
        let connector = ConnectorCredential {
            connector: Connector::issue_with_key(&content, &self.keys.csign).unwrap(),
            c_sign,
            privacy_key: Some(self.keys.privacy.public().clone()),
        };
        let parts = CredentialParts {
            password: Some(Password::passphrase("correct horse").unwrap()),
            enterprise: None,
            connector: Some(connector),
        };
        Credential::new(Akm::DppSae, parts).unwrap()
    }

    fn certificate(&self, authenticated: &Authenticated, der: &[u8]) -> Certificate {
        let request = csr::verify(authenticated, der).unwrap();
        let own = request.public_key().clone();
        let key = match self.manner {
            Manner::CertificateOfAnother => self.owner.registrar.chain[0].public_key().clone(),
            _ => own,
        };
        let now = now();
        let validity = Validity::new(
            now - SignedDuration::from_hours(1),
            now + SignedDuration::from_hours(1),
        );
        let profile = Profile::ldevid(request.subject().clone(), Vec::new());
        let serial = random::serial();
        self.owner
            .authority
            .issue(&profile, &key, &serial, validity)
            .unwrap()
    }
}

/// A Reconfiguration Authentication Request with a connector that does not entitle to it.
fn pretended(connector: &str) -> Vec<u8> {
    let mut frame = vec![9, 0x50, 0x6f, 0x9a, 0x1a, 1, 15];
    let mut put = |id: u16, value: &[u8]| {
        frame.extend(id.to_le_bytes());
        frame.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
        frame.extend(value);
    };
    // Transaction ID, Protocol Version, Connector, C-nonce.
    put(0x1016, &[7]);
    put(0x1019, &[3]);
    put(0x100d, connector.as_bytes());
    put(0x1022, &[5; 16]);
    frame
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}
