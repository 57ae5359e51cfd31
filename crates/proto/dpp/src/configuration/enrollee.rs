//! The enrollee's side.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{ConnectionStatus, check_enrollee_nonce};
use crate::attribute::{AttributeId, Attributes, put};
use crate::authentication::{Authenticated, Entropy, Role};
use crate::curve::{Curve, MAX_NONCE_LENGTH, Point};
use crate::error::{Error, Malformed, Misuse, Refusal};
use crate::frame::{FrameType, begin, seal};
use crate::gas::{Answer, GasMessage, Reassembly};
use crate::object::{ConfigurationObject, MAX_CONFIGURATION_OBJECTS, RequestObject};
use crate::schedule;
use crate::status::Status;
use crate::wrap::{unwrap, wrap};

/// An enrollee after authentication: it may ask for its configuration.
#[derive(Debug)]
pub struct EnrolleeSide {
    authenticated: Authenticated,
    token: u8,
    /// A new protocol key was made for a configurator that asked for one, and must be shown.
    show_new_key: bool,
    /// What was asked for once, so that no configurator can keep us asking.
    asked_for_request: bool,
    asked_for_key: bool,
}

/// An enrollee that has asked and waits.
#[derive(Debug)]
pub struct AwaitingConfiguration {
    side: EnrolleeSide,
    gas: Reassembly,
    enrollee_nonce: Vec<u8>,
}

/// What an answer means.
#[derive(Debug)]
pub enum Outcome {
    /// Send `frame` after `delay` time units of 1,024 µs, and wait on.
    ComeBack {
        /// 0 means at once.
        delay: u16,
        /// The GAS comeback request.
        frame: Vec<u8>,
        /// The state that takes the next answer.
        waiting: AwaitingConfiguration,
    },
    /// Here are the networks.
    Configured(Configured),
    /// Ask again, with a certificate request bound to this exchange.
    CertificateRequestNeeded {
        /// The attributes that it should have, DER of CsrAttrs (RFC 7030 §4.5.2).
        attributes: Vec<u8>,
        /// The state that asks again.
        side: EnrolleeSide,
    },
    /// Ask again, with a protocol key on another curve: [`NewKeyNeeded::bring`].
    NewKeyNeeded(NewKeyNeeded),
}

/// The configurator wants the netAccessKey on another curve.
#[derive(Debug)]
pub struct NewKeyNeeded {
    side: EnrolleeSide,
    configurator_key: Point,
}

/// A configuration that has arrived. It came from the configurator that was authenticated; the
/// connectors in it are still to be held against our own key and the time.
#[derive(Debug)]
pub struct Configured {
    authenticated: Authenticated,
    enrollee_nonce: Vec<u8>,
    objects: Vec<ConfigurationObject>,
    enveloped_data: Option<Vec<u8>>,
    connection_status_wanted: bool,
}

impl EnrolleeSide {
    /// Begins configuration; refuses a configurator's proof.
    pub fn new(authenticated: Authenticated) -> Result<Self, Error> {
        if authenticated.role() != Role::Enrollee {
            return Err(Misuse::Role.into());
        }
        Ok(Self {
            authenticated,
            token: 0,
            show_new_key: false,
            asked_for_request: false,
            asked_for_key: false,
        })
    }

    /// What authentication has shown; also the source of the challenge password for a certificate
    /// request.
    #[must_use]
    pub fn authenticated(&self) -> &Authenticated {
        &self.authenticated
    }

    /// The Configuration Request (Wi-Fi Easy Connect 3.0 §6.4.2), a GAS frame. `nonce` is random, drawn
    /// for this request.
    pub fn request(
        self,
        object: &RequestObject,
        nonce: &[u8; MAX_NONCE_LENGTH],
    ) -> Result<(Vec<u8>, AwaitingConfiguration), Error> {
        let curve = self.authenticated.curve();
        let nonce = nonce.get(..curve.nonce_length()).unwrap_or_default();
        let mut clear = Zeroizing::new(Vec::new());
        put(&mut clear, AttributeId::EnrolleeNonce, nonce)?;
        if self.show_new_key {
            let own = self.authenticated.own_protocol_key();
            let peer = self.authenticated.peer_protocol_key();
            let s_x = own.agree_x(peer)?;
            let bk = self.authenticated.bk();
            let tag = schedule::new_key_tag(curve, bk, &s_x, nonce, peer, own.public());
            let point = own.public().raw_xy();
            put(&mut clear, AttributeId::InitiatorProtocolKey, point)?;
            let id = AttributeId::InitiatorAuthenticatingTag;
            put(&mut clear, id, tag.expose())?;
        }
        let text = object.write();
        put(&mut clear, AttributeId::ConfigurationRequestObject, &text)?;
        let mut query = Vec::new();
        let wrapped = wrap(self.authenticated.ke().expose(), &[], &clear)?;
        put(&mut query, AttributeId::WrappedData, &wrapped)?;
        let token = self.token;
        let frame = GasMessage::InitialRequest { token, query }.write()?;
        let waiting = AwaitingConfiguration {
            enrollee_nonce: nonce.to_vec(),
            gas: Reassembly::new(token),
            side: self,
        };
        Ok((frame, waiting))
    }
}

impl AwaitingConfiguration {
    /// Reads an answer (Wi-Fi Easy Connect 3.0 §6.4.3).
    ///
    /// [`Error::Peer`] when the configurator refuses. A configuration that cannot be read has an
    /// [`Error::reply`] that says so.
    pub fn handle(mut self, frame: &[u8]) -> Result<Outcome, Error> {
        match self.gas.handle(GasMessage::read(frame)?)? {
            Answer::ComeBack { delay } => Ok(Outcome::ComeBack {
                delay,
                frame: self.gas.comeback_request().write()?,
                waiting: self,
            }),
            Answer::Complete(response) => self.handle_response(&response),
        }
    }

    fn handle_response(self, response: &[u8]) -> Result<Outcome, Error> {
        let attributes = Attributes::read(response)?;
        let key = self.side.authenticated.ke().expose();
        let associated = attributes.before_wrapped();
        let clear = unwrap(key, &[associated], attributes.wrapped()?)?;
        let inner = Attributes::read(&clear)?;
        check_enrollee_nonce(&inner, &self.enrollee_nonce)?;
        let mut side = self.side;
        side.show_new_key = false;
        match attributes.status()? {
            Status::Ok => {
                let configured = Configured {
                    authenticated: side.authenticated,
                    enrollee_nonce: self.enrollee_nonce,
                    objects: Vec::new(),
                    enveloped_data: None,
                    connection_status_wanted: false,
                };
                configured.read(&inner).map(Outcome::Configured)
            }
            Status::CertificateRequestNeeded if !side.asked_for_request => {
                let text = inner.require(AttributeId::CsrAttributesRequest)?;
                let attributes = STANDARD
                    .decode(text)
                    .map_err(|_| Malformed::CsrAttributes)?;
                side.asked_for_request = true;
                Ok(Outcome::CertificateRequestNeeded { attributes, side })
            }
            Status::NewKeyNeeded if !side.asked_for_key => {
                let group = inner.require_array(AttributeId::FiniteCyclicGroup)?;
                let curve = Curve::from_ike_group(u16::from_le_bytes(group))
                    .ok_or(crate::Unsupported::CurveUnknown)?;
                let point = inner.require(AttributeId::ResponderProtocolKey)?;
                side.asked_for_key = true;
                Ok(Outcome::NewKeyNeeded(NewKeyNeeded {
                    side,
                    configurator_key: Point::from_raw_xy(curve, point)?,
                }))
            }
            Status::CertificateRequestNeeded | Status::NewKeyNeeded => {
                Err(Refusal::Unexpected.into())
            }
            status => Err(Error::Peer(status)),
        }
    }
}

impl NewKeyNeeded {
    /// The curve that the netAccessKey is to be on.
    #[must_use]
    pub fn curve(&self) -> Curve {
        self.configurator_key.curve()
    }

    /// Makes the key; the next request shows it, with the proof that we hold it.
    pub fn bring(self, entropy: &Entropy) -> Result<EnrolleeSide, Error> {
        let mut side = self.side;
        let key = entropy.protocol_key(self.configurator_key.curve())?;
        side.authenticated.replace_keys(key, self.configurator_key);
        side.show_new_key = true;
        Ok(side)
    }
}

impl Configured {
    fn read(mut self, inner: &Attributes<'_>) -> Result<Self, Error> {
        self.connection_status_wanted = inner.find(AttributeId::SendConnectionStatus).is_some();
        self.enveloped_data = inner.find(AttributeId::EnvelopedData).map(<[u8]>::to_vec);
        match read_objects(inner, self.enveloped_data.is_some()) {
            Ok(objects) => {
                self.objects = objects;
                Ok(self)
            }
            Err(error) if self.authenticated.version() >= 2 => {
                let reply = self.result(Status::ConfigurationRejected)?;
                Err(error.answered(reply))
            }
            Err(error) => Err(error),
        }
    }

    /// The networks, at least one unless there is [`Self::enveloped_data`].
    #[must_use]
    pub fn objects(&self) -> &[ConfigurationObject] {
        &self.objects
    }

    /// A configurator's keys, for [`crate::backup`].
    #[must_use]
    pub fn enveloped_data(&self) -> Option<&[u8]> {
        self.enveloped_data.as_deref()
    }

    /// What authentication has shown. Its own key is our netAccessKey.
    #[must_use]
    pub fn authenticated(&self) -> &Authenticated {
        &self.authenticated
    }

    /// Whether a result is expected at all: not by a configurator of version 1.
    #[must_use]
    pub fn result_wanted(&self) -> bool {
        self.authenticated.version() >= 2
    }

    /// Whether the configurator also wants to hear how joining went.
    #[must_use]
    pub fn connection_status_wanted(&self) -> bool {
        self.connection_status_wanted
    }

    /// The Configuration Result (Wi-Fi Easy Connect 3.0 §6.4.4): [`Status::Ok`] or
    /// [`Status::ConfigurationRejected`].
    pub fn result(&self, status: Status) -> Result<Vec<u8>, Error> {
        let mut clear = Vec::new();
        put(&mut clear, AttributeId::Status, &[status.number()])?;
        put(&mut clear, AttributeId::EnrolleeNonce, &self.enrollee_nonce)?;
        let frame = begin(FrameType::ConfigurationResult);
        seal(frame, self.authenticated.ke().expose(), &clear)
    }

    /// The Connection Status Result (Wi-Fi Easy Connect 3.0 §6.4.5).
    pub fn connection_status(&self, status: &ConnectionStatus) -> Result<Vec<u8>, Error> {
        let mut clear = Vec::new();
        put(&mut clear, AttributeId::EnrolleeNonce, &self.enrollee_nonce)?;
        put(&mut clear, AttributeId::ConnectionStatus, &status.write())?;
        let frame = begin(FrameType::ConnectionStatusResult);
        seal(frame, self.authenticated.ke().expose(), &clear)
    }
}

fn read_objects(
    inner: &Attributes<'_>,
    may_be_none: bool,
) -> Result<Vec<ConfigurationObject>, Error> {
    if !may_be_none {
        inner.require(AttributeId::ConfigurationObject)?;
    }
    if inner.all(AttributeId::ConfigurationObject).count() > MAX_CONFIGURATION_OBJECTS {
        return Err(Malformed::TooManyAttributes.into());
    }
    inner
        .all(AttributeId::ConfigurationObject)
        .map(ConfigurationObject::read)
        .collect()
}
