//! One exchange with known keys, any state of it to be had again, and the means to forge its messages
//! under the right keys.

use std::sync::Arc;

use vouchsafe_dpp::attribute::{AttributeId, Attributes};
use vouchsafe_dpp::authentication::{
    Accepted, Authenticated, AuthenticationRequest, Entropy, Initiator, InitiatorParameters,
    Progress, Responder, Role, Roles, VERSION,
};
use vouchsafe_dpp::configuration::{
    Answer, Answered, AwaitingConfiguration, ConfiguratorSide, Configured, EnrolleeSide, Outcome,
    Requested,
};
use vouchsafe_dpp::frame::Frame;
use vouchsafe_dpp::gas::GasMessage;
use vouchsafe_dpp::object::{
    Akm, ConfigurationObject, Credential, CredentialParts, NetRole, Password, RequestObject, Ssid,
};
use vouchsafe_dpp::schedule::{self, Nonces};
use vouchsafe_dpp::wrap::{unwrap, wrap};
use vouchsafe_dpp::{
    Agreement, BootstrappingKey, BootstrappingPublicKey, Curve, Error, PrivateKey,
};
use vouchsafe_trust::Secret;

/// A key that is always the same one for the same number.
pub(crate) fn key(curve: Curve, number: u8) -> BootstrappingKey {
    BootstrappingKey::new(PrivateKey::from_seed(curve, &[number; 80]).unwrap())
}

pub(crate) fn entropy(number: u8) -> Entropy {
    Entropy::new([number; Entropy::LENGTH])
}

/// Entropy that ends in this very key and nonce.
pub(crate) fn entropy_for(key: &[u8], nonce: &[u8]) -> Entropy {
    let mut octets = [0; Entropy::LENGTH];
    octets[8..8 + key.len()].copy_from_slice(key);
    octets[74..74 + nonce.len()].copy_from_slice(nonce);
    Entropy::new(octets)
}

pub(crate) fn protocol_key(curve: Curve, number: u8) -> PrivateKey {
    PrivateKey::from_seed(curve, &vec![number; curve.seed_length()]).unwrap()
}

const INITIATOR: u8 = 11;
const RESPONDER: u8 = 22;
const ENROLLEE_NONCE: [u8; 32] = [33; 32];

/// Which exchange: the initiator is the enrollee.
#[derive(Clone, Copy)]
pub(crate) struct World {
    pub(crate) curve: Curve,
    pub(crate) mutual: bool,
    pub(crate) initiator_version: u8,
    pub(crate) responder_version: u8,
}

impl World {
    pub(crate) fn new(curve: Curve, mutual: bool) -> Self {
        Self {
            curve,
            mutual,
            initiator_version: VERSION,
            responder_version: VERSION,
        }
    }

    pub(crate) fn initiator_key(self) -> BootstrappingKey {
        key(self.curve, 1)
    }

    pub(crate) fn responder_key(self) -> BootstrappingKey {
        key(self.curve, 2)
    }

    pub(crate) fn initiator_protocol_key(self) -> PrivateKey {
        protocol_key(self.curve, INITIATOR)
    }

    pub(crate) fn responder_protocol_key(self) -> PrivateKey {
        protocol_key(self.curve, RESPONDER)
    }

    pub(crate) fn start(self) -> (Vec<u8>, Initiator) {
        self.start_as(Roles::Only(Role::Enrollee)).unwrap()
    }

    pub(crate) fn start_as(self, roles: Roles) -> Result<(Vec<u8>, Initiator), Error> {
        let responder = self.responder_key();
        let parameters = InitiatorParameters {
            own: Some(Arc::new(self.initiator_key())),
            peer: responder.public_key(),
            roles,
            version: self.initiator_version,
            channel: None,
            require_mutual: self.mutual,
        };
        Initiator::start(parameters, &entropy(INITIATOR))
    }

    pub(crate) fn request(self) -> Vec<u8> {
        self.start().0
    }

    pub(crate) fn initiator(self) -> Initiator {
        self.start().1
    }

    pub(crate) fn accept(self, request: &[u8]) -> Result<Accepted, Error> {
        self.accept_as(request, Roles::Only(Role::Configurator))
    }

    pub(crate) fn accept_as(self, request: &[u8], roles: Roles) -> Result<Accepted, Error> {
        let request = AuthenticationRequest::read(request)?;
        let own = self.responder_key();
        Responder::accept(&request, &own, roles, self.responder_version)
    }

    pub(crate) fn respond(self, accepted: Accepted) -> Result<(Vec<u8>, Responder), Error> {
        let peer = self.initiator_key();
        let peer = self.mutual.then(|| peer.public_key());
        accepted.respond(&self.responder_key(), peer, &entropy(RESPONDER))
    }

    pub(crate) fn response(self) -> Vec<u8> {
        self.respond(self.accept(&self.request()).unwrap())
            .unwrap()
            .0
    }

    pub(crate) fn responder(self) -> Responder {
        self.respond(self.accept(&self.request()).unwrap())
            .unwrap()
            .1
    }

    pub(crate) fn authenticated(self) -> (Vec<u8>, Authenticated) {
        done(self.initiator().handle(&self.response()).unwrap())
    }

    pub(crate) fn confirm(self) -> Vec<u8> {
        self.authenticated().0
    }

    pub(crate) fn configurator(self) -> ConfiguratorSide {
        let authenticated = self.responder().handle(&self.confirm()).unwrap();
        ConfiguratorSide::new(authenticated).unwrap()
    }

    pub(crate) fn enrollee(self) -> EnrolleeSide {
        EnrolleeSide::new(self.authenticated().1).unwrap()
    }

    pub(crate) fn configuration_request(self) -> (Vec<u8>, AwaitingConfiguration) {
        let object = RequestObject::new("lamp", NetRole::Station);
        self.enrollee().request(&object, &ENROLLEE_NONCE).unwrap()
    }

    pub(crate) fn requested(self) -> Requested {
        let (frame, _) = self.configuration_request();
        self.configurator().handle_request(&frame).unwrap()
    }

    pub(crate) fn answered(self) -> (Vec<u8>, Answered) {
        self.answered_with(objects(1))
    }

    pub(crate) fn answered_with(self, answer: Answer) -> (Vec<u8>, Answered) {
        let (frame, answered) = self.requested().respond(answer).unwrap();
        (frame.unwrap(), answered)
    }

    pub(crate) fn configured(self) -> Configured {
        self.configured_with(objects(1))
    }

    pub(crate) fn configured_with(self, answer: Answer) -> Configured {
        let (frame, _) = self.answered_with(answer);
        configured(self.configuration_request().1.handle(&frame).unwrap())
    }

    pub(crate) fn secrets(self) -> Secrets {
        let Self { curve, .. } = self;
        let initiator = self.initiator_protocol_key();
        let responder = self.responder_protocol_key();
        let m_x = initiator.agree_x(self.responder_key().public_key().point());
        let n_x = initiator.agree_x(responder.public());
        let sum = self
            .responder_key()
            .public_key()
            .point()
            .add(responder.public());
        let l_x = self.initiator_key().agree_x(&sum.unwrap()).unwrap();
        let nonces = Nonces {
            initiator: vec![INITIATOR; curve.nonce_length()],
            responder: vec![RESPONDER; curve.nonce_length()],
        };
        let (m_x, n_x) = (m_x.unwrap(), n_x.unwrap());
        let bk = schedule::bk(curve, &nonces, &m_x, &n_x, self.mutual.then_some(&l_x));
        Secrets {
            k1: schedule::k1(curve, &m_x),
            k2: schedule::k2(curve, &n_x),
            ke: schedule::ke(curve, &bk),
        }
    }
}

pub(crate) struct Secrets {
    pub(crate) k1: Secret,
    pub(crate) k2: Secret,
    pub(crate) ke: Secret,
}

pub(crate) fn done(progress: Progress) -> (Vec<u8>, Authenticated) {
    match progress {
        Progress::Done {
            confirm,
            authenticated,
        } => (confirm, authenticated),
        Progress::Pending(_) => panic!("pending"),
    }
}

pub(crate) fn configured(outcome: Outcome) -> Configured {
    match outcome {
        Outcome::Configured(configured) => configured,
        other => panic!("{other:?}"),
    }
}

/// An answer of that many networks with a password.
pub(crate) fn objects(number: usize) -> Answer {
    let object = |index| {
        let password = Password::passphrase("not a secret at all").unwrap();
        let parts = CredentialParts {
            password: Some(password),
            ..CredentialParts::default()
        };
        let credential = Credential::new(Akm::Sae, parts).unwrap();
        let ssid = Ssid::new(format!("network-{index}").as_bytes()).unwrap();
        ConfigurationObject::new(ssid, credential)
    };
    Answer::Objects {
        objects: (0..number).map(object).collect(),
        send_connection_status: false,
    }
}

/// A message taken apart, to be changed and sealed again under the same key.
#[derive(Clone)]
pub(crate) struct Parts {
    shell: Shell,
    pub(crate) clear: Vec<(u16, Vec<u8>)>,
    pub(crate) inner: Vec<(u16, Vec<u8>)>,
    pub(crate) behind: Vec<u8>,
    key: Vec<u8>,
}

#[derive(Clone)]
enum Shell {
    Action(Vec<u8>),
    Gas(GasMessage),
}

impl Parts {
    pub(crate) fn open(frame: &[u8], key: &Secret) -> Self {
        let key = key.expose();
        if GasMessage::is_gas(frame) {
            let message = GasMessage::read(frame).unwrap();
            let (attributes, associated) = match &message {
                GasMessage::InitialRequest { query, .. } => {
                    (Attributes::read(query).unwrap(), false)
                }
                GasMessage::InitialResponse { response, .. } => {
                    (Attributes::read(response).unwrap(), true)
                }
                other => panic!("{other:?}"),
            };
            let before = [attributes.before_wrapped()];
            let before: &[&[u8]] = if associated { &before } else { &[] };
            let clear = unwrap(key, before, attributes.wrapped().unwrap()).unwrap();
            return Self::new(Shell::Gas(message.clone()), &attributes, &clear, key);
        }
        let read = Frame::read(frame).unwrap();
        let clear = read.unwrap(key).unwrap();
        Self::new(
            Shell::Action(frame[..7].to_vec()),
            read.attributes(),
            &clear,
            key,
        )
    }

    fn new(shell: Shell, attributes: &Attributes<'_>, inner: &[u8], key: &[u8]) -> Self {
        let list = |attributes: &Attributes<'_>| {
            attributes
                .iter()
                .map(|(id, value)| (id, value.to_vec()))
                .collect::<Vec<_>>()
        };
        let mut clear = list(attributes);
        clear.retain(|(id, _)| *id != AttributeId::WrappedData.number());
        Self {
            shell,
            clear,
            inner: list(&Attributes::read(inner).unwrap()),
            behind: Vec::new(),
            key: key.to_vec(),
        }
    }

    pub(crate) fn with_key(mut self, key: &[u8]) -> Self {
        self.key = key.to_vec();
        self
    }

    pub(crate) fn set(mut self, id: AttributeId, value: &[u8]) -> Self {
        set(&mut self.clear, id, value);
        self
    }

    pub(crate) fn set_inner(mut self, id: AttributeId, value: &[u8]) -> Self {
        set(&mut self.inner, id, value);
        self
    }

    pub(crate) fn without(mut self, id: AttributeId) -> Self {
        self.clear.retain(|(number, _)| *number != id.number());
        self
    }

    pub(crate) fn without_inner(mut self, id: AttributeId) -> Self {
        self.inner.retain(|(number, _)| *number != id.number());
        self
    }

    pub(crate) fn inner_value(&self, id: AttributeId) -> Vec<u8> {
        let found = self.inner.iter().find(|(number, _)| *number == id.number());
        found.unwrap().1.clone()
    }

    /// The message as its owner would have sent it.
    pub(crate) fn seal(&self) -> Vec<u8> {
        let mut attributes = encode(&self.clear);
        let inner = encode(&self.inner);
        let associated: Vec<&[u8]> = match &self.shell {
            Shell::Action(head) => vec![&head[1..], &attributes],
            Shell::Gas(GasMessage::InitialRequest { .. }) => Vec::new(),
            Shell::Gas(_) => vec![&attributes],
        };
        let wrapped = wrap(&self.key, &associated, &inner).unwrap();
        attributes.extend(encode(&[(AttributeId::WrappedData.number(), wrapped)]));
        attributes.extend(&self.behind);
        match &self.shell {
            Shell::Action(head) => [head.as_slice(), &attributes].concat(),
            Shell::Gas(message) => {
                let mut message = message.clone();
                match &mut message {
                    GasMessage::InitialRequest { query, .. } => *query = attributes,
                    GasMessage::InitialResponse { response, .. } => *response = attributes,
                    other => panic!("{other:?}"),
                }
                message.write().unwrap()
            }
        }
    }
}

fn set(list: &mut Vec<(u16, Vec<u8>)>, id: AttributeId, value: &[u8]) {
    match list.iter_mut().find(|(number, _)| *number == id.number()) {
        Some((_, place)) => *place = value.to_vec(),
        None => list.push((id.number(), value.to_vec())),
    }
}

pub(crate) fn encode(list: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (id, value) in list {
        out.extend(id.to_le_bytes());
        out.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
        out.extend(value);
    }
    out
}

/// The stable name of the reason why something was refused.
pub(crate) fn reason<T>(result: Result<T, Error>) -> &'static str {
    match result {
        Ok(_) => "accepted",
        Err(error) => error.reason_code(),
    }
}

pub(crate) fn public(key: &BootstrappingKey) -> &BootstrappingPublicKey {
    key.public_key()
}
