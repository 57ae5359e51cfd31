//! The configurator's side.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{ConnectionStatus, open_report};
use crate::attribute::{AttributeId, Attributes, put};
use crate::authentication::{Authenticated, Entropy, Role};
use crate::curve::{Curve, Point, PrivateKey};
use crate::error::{Error, Misuse, Refusal};
use crate::frame::FrameType;
use crate::gas::{GasMessage, Responder};
use crate::object::{
    ConfigurationObject, MAX_CONFIGURATION_OBJECTS, NetRole, Recipient, RequestObject,
};
use crate::schedule;
use crate::status::Status;
use crate::wrap::{unwrap, wrap};

/// A configurator after authentication: it waits for a Configuration Request.
#[derive(Debug)]
pub struct ConfiguratorSide {
    authenticated: Authenticated,
    fragmented: bool,
    /// Our half of the new protocol key that was asked for.
    new_key: Option<PrivateKey>,
}

/// A request that waits for its answer.
#[derive(Debug)]
pub struct Requested {
    authenticated: Authenticated,
    fragmented: bool,
    gas: Responder,
    told_to_come_back: bool,
    enrollee_nonce: Vec<u8>,
    object: RequestObject,
    has_new_key: bool,
}

/// What the enrollee gets to hear.
#[derive(Debug)]
pub enum Answer {
    /// Networks with a credential each; an enrollee of version 1 gets the first one only.
    Objects {
        /// 1 to [`MAX_CONFIGURATION_OBJECTS`].
        objects: Vec<ConfigurationObject>,
        /// Whether to ask how joining went; stations of version 2 and later answer.
        send_connection_status: bool,
    },
    /// A configurator's keys for another configurator, from [`crate::backup`].
    EnvelopedData(Vec<u8>),
    /// The enrollee must come with a certificate request; these are the attributes that it should
    /// have, DER of CsrAttrs (RFC 7030 §4.5.2).
    CertificateRequestNeeded(Vec<u8>),
    /// The certificate request was not acceptable.
    CertificateRequestBad,
    /// The enrollee must come with a protocol key on that curve, since the network wants its
    /// netAccessKey there (version 3 only).
    NewKeyNeeded(Curve, Entropy),
    /// No configuration: [`Status::ConfigureFailure`] or another status that refuses.
    Refused(Status),
}

/// An answer is on its way.
#[derive(Debug)]
pub struct Answered {
    authenticated: Authenticated,
    fragmented: bool,
    gas: Responder,
    enrollee_nonce: Vec<u8>,
    status: Status,
    connection_status: bool,
    new_key: Option<PrivateKey>,
}

/// What a frame after the answer means.
#[derive(Debug)]
pub enum Reaction {
    /// The enrollee fetches (more of) the answer: send this.
    Send(Vec<u8>, Answered),
    /// The enrollee asks anew, as it was told.
    Requested(Requested),
    /// The enrollee says how it took the configuration: [`Status::Ok`] or
    /// [`Status::ConfigurationRejected`].
    Result {
        /// What it said.
        status: Status,
        /// It will also say how joining went.
        next: Option<AwaitingConnectionStatus>,
    },
}

/// A configurator that waits to hear how joining went.
#[derive(Debug)]
pub struct AwaitingConnectionStatus {
    authenticated: Authenticated,
    enrollee_nonce: Vec<u8>,
}

impl ConfiguratorSide {
    /// Begins configuration over TCP, where answers go out whole; refuses an enrollee's proof.
    pub fn new(authenticated: Authenticated) -> Result<Self, Error> {
        if authenticated.role() != Role::Configurator {
            return Err(Misuse::Role.into());
        }
        Ok(Self {
            authenticated,
            fragmented: false,
            new_key: None,
        })
    }

    /// The same for the air, where long answers go out in pieces.
    #[must_use]
    pub fn on_the_air(mut self) -> Self {
        self.fragmented = true;
        self
    }

    /// What authentication has shown.
    #[must_use]
    pub fn authenticated(&self) -> &Authenticated {
        &self.authenticated
    }

    /// Opens a Configuration Request, a GAS frame (Wi-Fi Easy Connect 3.0 §6.4.2).
    pub fn handle_request(self, frame: &[u8]) -> Result<Requested, Error> {
        let GasMessage::InitialRequest { token, query } = GasMessage::read(frame)? else {
            return Err(Refusal::Unexpected.into());
        };
        let Self {
            mut authenticated,
            fragmented,
            new_key,
        } = self;
        let attributes = Attributes::read(&query)?;
        let key = authenticated.ke().expose();
        let clear = unwrap(key, &[], attributes.wrapped()?)?;
        let inner = Attributes::read(&clear)?;
        let nonce_length = authenticated.curve().nonce_length();
        let enrollee_nonce = inner.require_length(AttributeId::EnrolleeNonce, nonce_length)?;
        let object = RequestObject::read(inner.require(AttributeId::ConfigurationRequestObject)?)?;
        let new_peer_key = check_new_key(&authenticated, &inner, new_key.as_ref())?;
        let has_new_key = new_peer_key.is_some();
        if let (Some(own), Some(peer)) = (new_key, new_peer_key) {
            authenticated.replace_keys(own, peer);
        }
        let gas = if fragmented {
            Responder::fragmented(token)
        } else {
            Responder::whole(token)
        };
        Ok(Requested {
            fragmented,
            gas,
            told_to_come_back: false,
            enrollee_nonce: enrollee_nonce.to_vec(),
            object,
            has_new_key,
            authenticated,
        })
    }
}

/// Checks a new protocol key: it must come when asked for, must not come otherwise, and the tag with it
/// shows that the enrollee holds its private half.
fn check_new_key(
    authenticated: &Authenticated,
    inner: &Attributes<'_>,
    own: Option<&PrivateKey>,
) -> Result<Option<Point>, Error> {
    let id = AttributeId::InitiatorProtocolKey;
    let Some(own) = own else {
        return match inner.find(id) {
            Some(_) => Err(Refusal::NewKeyUnasked.into()),
            None => Ok(None),
        };
    };
    let peer = Point::from_raw_xy(own.curve(), inner.require(id)?)?;
    let curve = authenticated.curve();
    let tag = inner.require_length(AttributeId::InitiatorAuthenticatingTag, curve.hash_length())?;
    let expected = schedule::new_key_tag(
        curve,
        authenticated.bk(),
        &own.agree_x(&peer)?,
        inner.require(AttributeId::EnrolleeNonce)?,
        own.public(),
        &peer,
    );
    if !bool::from(expected.expose().ct_eq(tag)) {
        return Err(Refusal::NewKeyTag.into());
    }
    Ok(Some(peer))
}

impl Requested {
    /// What the enrollee says of itself: claims.
    #[must_use]
    pub fn object(&self) -> &RequestObject {
        &self.object
    }

    /// What authentication has shown. Its peer key is the enrollee's netAccessKey.
    #[must_use]
    pub fn authenticated(&self) -> &Authenticated {
        &self.authenticated
    }

    /// The answer while nobody has decided: come back after `delay` time units.
    pub fn later(&mut self, delay: u16) -> Result<Vec<u8>, Error> {
        self.told_to_come_back = true;
        self.gas.later(delay).write()
    }

    /// Answers an enrollee that has come back too early: again after `delay` time units.
    pub fn handle_comeback(&mut self, frame: &[u8], delay: u16) -> Result<Vec<u8>, Error> {
        match GasMessage::read(frame)? {
            GasMessage::ComebackRequest { token } if self.told_to_come_back => {
                self.gas.come_back(token, delay)?.write()
            }
            _ => Err(Refusal::Unexpected.into()),
        }
    }

    /// The Configuration Response (Wi-Fi Easy Connect 3.0 §6.4.3). There is no frame to send now when
    /// the enrollee was told to come back: it fetches the answer, see [`Answered::handle`].
    pub fn respond(self, answer: Answer) -> Result<(Option<Vec<u8>>, Answered), Error> {
        let (status, new_key) = match &answer {
            Answer::Objects { .. } | Answer::EnvelopedData(_) => (Status::Ok, None),
            Answer::CertificateRequestNeeded(_) => (Status::CertificateRequestNeeded, None),
            Answer::CertificateRequestBad => (Status::CertificateRequestBad, None),
            Answer::NewKeyNeeded(curve, entropy) => {
                // Once: an enrollee that brought such a key is not asked for another one.
                if self.has_new_key || self.authenticated.version() < 3 {
                    return Err(Misuse::Version.into());
                }
                (Status::NewKeyNeeded, Some(entropy.protocol_key(*curve)?))
            }
            Answer::Refused(Status::Ok) => return Err(Misuse::Status.into()),
            Answer::Refused(status) => (*status, None),
        };
        let mut clear = Zeroizing::new(Vec::new());
        put(&mut clear, AttributeId::EnrolleeNonce, &self.enrollee_nonce)?;
        let connection_status = self.put_answer(&mut clear, &answer, new_key.as_ref())?;
        let mut response = Vec::new();
        put(&mut response, AttributeId::Status, &[status.number()])?;
        let key = self.authenticated.ke().expose();
        let wrapped = wrap(key, &[&response], &clear)?;
        put(&mut response, AttributeId::WrappedData, &wrapped)?;
        let mut gas = self.gas;
        let frame = if self.told_to_come_back {
            gas.provide(response);
            None
        } else {
            Some(gas.answer(response).write()?)
        };
        let answered = Answered {
            authenticated: self.authenticated,
            fragmented: self.fragmented,
            gas,
            enrollee_nonce: self.enrollee_nonce,
            status,
            connection_status,
            new_key,
        };
        Ok((frame, answered))
    }

    /// Writes what the answer carries; says whether the enrollee is asked for its connection status.
    fn put_answer(
        &self,
        clear: &mut Vec<u8>,
        answer: &Answer,
        new_key: Option<&PrivateKey>,
    ) -> Result<bool, Error> {
        match answer {
            Answer::Objects {
                objects,
                send_connection_status,
            } => {
                let version = self.authenticated.version();
                let most = if version < 2 {
                    1
                } else {
                    MAX_CONFIGURATION_OBJECTS
                };
                if objects.is_empty() || objects.len() > MAX_CONFIGURATION_OBJECTS {
                    return Err(Misuse::Objects.into());
                }
                let recipient = Recipient {
                    version,
                    capabilities: self.object.capabilities,
                };
                for object in objects.iter().take(most) {
                    let text = object.write(recipient)?;
                    put(clear, AttributeId::ConfigurationObject, text.expose())?;
                }
                let ask =
                    *send_connection_status && version >= 2 && self.object.role == NetRole::Station;
                if ask {
                    put(clear, AttributeId::SendConnectionStatus, &[])?;
                }
                return Ok(ask);
            }
            Answer::EnvelopedData(data) => put(clear, AttributeId::EnvelopedData, data)?,
            Answer::CertificateRequestNeeded(attributes) => {
                let text = STANDARD.encode(attributes);
                put(clear, AttributeId::CsrAttributesRequest, text.as_bytes())?;
            }
            Answer::NewKeyNeeded(curve, _) => {
                let group = curve.ike_group().to_le_bytes();
                put(clear, AttributeId::FiniteCyclicGroup, &group)?;
                if let Some(key) = new_key {
                    let point = key.public().raw_xy();
                    put(clear, AttributeId::ResponderProtocolKey, point)?;
                }
            }
            Answer::CertificateRequestBad | Answer::Refused(_) => {}
        }
        Ok(false)
    }
}

impl Answered {
    /// What authentication has shown.
    #[must_use]
    pub fn authenticated(&self) -> &Authenticated {
        &self.authenticated
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// Whether the enrollee still has to fetch (some of) the answer.
    #[must_use]
    pub fn is_fetched(&self) -> bool {
        self.gas.is_finished()
    }

    /// Whether a frame of the enrollee's is still to come once the answer is fetched: its result, or
    /// the request that the answer asked for. An enrollee of version 1 sends no result.
    #[must_use]
    pub fn expects_more(&self) -> bool {
        match self.status {
            Status::Ok => self.authenticated.version() >= 2,
            Status::CertificateRequestNeeded | Status::NewKeyNeeded => true,
            _ => false,
        }
    }

    /// Takes what comes after the answer: the enrollee fetching it, its result (Wi-Fi Easy Connect 3.0
    /// §6.4.4), or the new request that it was asked for.
    pub fn handle(mut self, frame: &[u8]) -> Result<Reaction, Error> {
        if GasMessage::is_gas(frame) {
            return match GasMessage::read(frame)? {
                GasMessage::ComebackRequest { token } => {
                    let piece = self.gas.come_back(token, super::COMEBACK_DELAY)?;
                    Ok(Reaction::Send(piece.write()?, self))
                }
                _ => self.handle_new_request(frame),
            };
        }
        if self.status != Status::Ok {
            return Err(Refusal::Unexpected.into());
        }
        let frame_type = FrameType::ConfigurationResult;
        let nonce = &self.enrollee_nonce;
        let clear = open_report(frame, frame_type, &self.authenticated, nonce)?;
        let status = match Attributes::read(&clear)?.status()? {
            status @ (Status::Ok | Status::ConfigurationRejected) => status,
            _ => return Err(Refusal::Status.into()),
        };
        let next =
            (self.connection_status && status == Status::Ok).then(|| AwaitingConnectionStatus {
                authenticated: self.authenticated,
                enrollee_nonce: self.enrollee_nonce,
            });
        Ok(Reaction::Result { status, next })
    }

    fn handle_new_request(self, frame: &[u8]) -> Result<Reaction, Error> {
        let asked = [Status::CertificateRequestNeeded, Status::NewKeyNeeded];
        if !asked.contains(&self.status) {
            return Err(Refusal::Unexpected.into());
        }
        let side = ConfiguratorSide {
            authenticated: self.authenticated,
            fragmented: self.fragmented,
            new_key: self.new_key,
        };
        let requested = side.handle_request(frame)?;
        if requested.enrollee_nonce == self.enrollee_nonce {
            return Err(Refusal::EnrolleeNonce.into());
        }
        Ok(Reaction::Requested(requested))
    }
}

impl AwaitingConnectionStatus {
    /// Reads the Connection Status Result (Wi-Fi Easy Connect 3.0 §6.4.5).
    pub fn handle(self, frame: &[u8]) -> Result<ConnectionStatus, Error> {
        let frame_type = FrameType::ConnectionStatusResult;
        let nonce = &self.enrollee_nonce;
        let clear = open_report(frame, frame_type, &self.authenticated, nonce)?;
        let inner = Attributes::read(&clear)?;
        ConnectionStatus::read(inner.require(AttributeId::ConnectionStatus)?)
    }
}
