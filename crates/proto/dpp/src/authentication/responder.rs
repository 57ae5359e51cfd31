//! The responder: the side whose bootstrapping key was known beforehand.

use subtle::ConstantTimeEq;
use vouchsafe_trust::Secret;

use super::{
    Authenticated, AuthenticationRequest, Entropy, Role, Roles, check_nonce, check_version,
    negotiate,
};
use crate::attribute::{AttributeId, Attributes, put};
use crate::curve::{Agreement, BootstrappingPublicKey, Curve, Point, PrivateKey};
use crate::error::{Error, Misuse, Refusal};
use crate::frame::{Frame, FrameType, begin, seal};
use crate::schedule::{self, Keys, Nonces};
use crate::status::Status;
use crate::wrap::wrap;

/// A responder that has sent its Authentication Response and waits for the confirm.
#[derive(Debug)]
pub struct Responder {
    session: Session,
    nonces: Nonces,
    own_key: PrivateKey,
    own_hash: [u8; 32],
    /// With mutual authentication: the hash of the initiator's key.
    peer_hash: Option<[u8; 32]>,
    k2: Secret,
    bk: Secret,
    ke: Secret,
    /// What the initiator must send.
    initiator_tag: Secret,
}

/// What both states of the responder know.
#[derive(Debug)]
struct Session {
    curve: Curve,
    version: u8,
    own_version: u8,
    role: Role,
    peer_key: Point,
}

/// A request that opened under our key: whoever sent it knows that key. Nothing is proven of the
/// initiator itself yet.
#[derive(Debug)]
pub struct Accepted {
    session: Session,
    initiator_hash: [u8; 32],
    own_hash: [u8; 32],
    initiator_nonce: Vec<u8>,
    m_x: Secret,
    k1: Secret,
}

impl Responder {
    /// Opens a request for the key `own`, and settles role and version (Wi-Fi Easy Connect 3.0
    /// §6.3.3). `version` is the highest that we want to speak.
    ///
    /// Refuses a request for another key, another curve's or an invalid protocol key, one that does
    /// not open, and one that leaves no role ([`Error::reply`] then says so to the peer).
    pub fn accept(
        request: &AuthenticationRequest,
        own: &dyn Agreement,
        roles: Roles,
        version: u8,
    ) -> Result<Accepted, Error> {
        let own_version = check_version(version)?;
        let own_public = own.public_key();
        let curve = own_public.curve();
        if request.responder_hash() != own_public.hash() {
            return Err(Refusal::ResponderHash.into());
        }
        let frame = Frame::read(&request.frame)?;
        let attributes = frame.attributes();
        let protocol_key = attributes.require(AttributeId::InitiatorProtocolKey)?;
        let peer_key = Point::from_raw_xy(curve, protocol_key)?;
        if peer_key == *own_public.point() {
            return Err(Refusal::Reflected.into());
        }
        let m_x = own.agree_x(&peer_key)?;
        let k1 = schedule::k1(curve, &m_x);
        let clear = frame.unwrap(k1.expose())?;
        let inner = Attributes::read(&clear)?;
        let nonce_length = curve.nonce_length();
        let initiator_nonce = inner.require_length(AttributeId::InitiatorNonce, nonce_length)?;
        check_nonce(initiator_nonce)?;
        let [capabilities] = inner.require_array(AttributeId::InitiatorCapabilities)?;
        let wanted = Roles::from_capabilities(capabilities)?;
        let role = choose(roles, wanted);
        let accepted = Accepted {
            session: Session {
                curve,
                version: negotiate(own_version, request.version)?,
                own_version,
                role: role.unwrap_or(Role::Enrollee),
                peer_key,
            },
            initiator_hash: *request.initiator_hash(),
            own_hash: *own_public.hash(),
            initiator_nonce: initiator_nonce.to_vec(),
            m_x,
            k1,
        };
        if role.is_none() {
            let reply = accepted.status(Status::NotCompatible, roles)?;
            return Err(Error::from(Refusal::RoleMismatch).answered(reply));
        }
        Ok(accepted)
    }

    /// Reads the Authentication Confirm (Wi-Fi Easy Connect 3.0 §6.3.4).
    ///
    /// [`Error::Peer`] when the initiator gives up, under a key that shows that it is the initiator.
    pub fn handle(self, frame: &[u8]) -> Result<Authenticated, Error> {
        let frame = Frame::expect(frame, FrameType::AuthenticationConfirm)?;
        let attributes = frame.attributes();
        let hash = attributes.require_array(AttributeId::ResponderBootstrappingKeyHash)?;
        if self.own_hash != hash {
            return Err(Refusal::ResponderHash.into());
        }
        let id = AttributeId::InitiatorBootstrappingKeyHash;
        match self.peer_hash {
            Some(expected) if attributes.require_array(id)? != expected => {
                return Err(Refusal::InitiatorHash.into());
            }
            None if attributes.find(id).is_some() => return Err(Refusal::InitiatorHash.into()),
            _ => {}
        }
        match attributes.status()? {
            Status::Ok => {}
            status @ (Status::NotCompatible | Status::AuthenticationFailure) => {
                let clear = frame.unwrap(self.k2.expose())?;
                let nonce = Attributes::read(&clear)?.require(AttributeId::ResponderNonce)?;
                if nonce != self.nonces.responder {
                    return Err(Refusal::NonceMismatch.into());
                }
                return Err(Error::Peer(status));
            }
            _ => return Err(Refusal::Status.into()),
        }
        let clear = frame.unwrap(self.ke.expose())?;
        let inner = Attributes::read(&clear)?;
        let id = AttributeId::InitiatorAuthenticatingTag;
        let tag = inner.require_length(id, self.session.curve.hash_length())?;
        if !bool::from(self.initiator_tag.expose().ct_eq(tag)) {
            return Err(Refusal::InitiatorTag.into());
        }
        Ok(Authenticated {
            curve: self.session.curve,
            role: self.session.role,
            mutual: self.peer_hash.is_some(),
            version: self.session.version,
            own_key: self.own_key,
            peer_key: self.session.peer_key,
            bk: self.bk,
            ke: self.ke,
        })
    }
}

impl Accepted {
    /// Whom the initiator says it is: the key to look up for mutual authentication.
    #[must_use]
    pub fn initiator_hash(&self) -> &[u8; 32] {
        &self.initiator_hash
    }

    /// The role that we get.
    #[must_use]
    pub fn role(&self) -> Role {
        self.session.role
    }

    /// The version that both speak.
    #[must_use]
    pub fn version(&self) -> u8 {
        self.session.version
    }

    /// The Authentication Response that asks for more time: a person has to bring the initiator's
    /// code (Wi-Fi Easy Connect 3.0 §6.3.3). [`Self::respond`] follows when it is there.
    pub fn pending(&self) -> Result<Vec<u8>, Error> {
        self.status(Status::ResponsePending, Roles::Only(self.session.role))
    }

    /// The Authentication Response. With `peer`, the key that the initiator named, authentication is
    /// mutual; without it, only we prove ourselves.
    ///
    /// Refuses a `peer` that is not the one named, or of another curve.
    pub fn respond(
        self,
        own: &dyn Agreement,
        peer: Option<&BootstrappingPublicKey>,
        entropy: &Entropy,
    ) -> Result<(Vec<u8>, Responder), Error> {
        let Session { curve, role, .. } = self.session;
        if own.public_key().hash() != &self.own_hash {
            return Err(Misuse::Key.into());
        }
        if let Some(peer) = peer {
            if peer.hash() != &self.initiator_hash {
                return Err(Refusal::InitiatorHash.into());
            }
            if peer.curve() != curve {
                return Err(Refusal::CurveMismatch.into());
            }
        }
        let own_key = entropy.protocol_key(curve)?;
        let n_x = own_key.agree_x(&self.session.peer_key)?;
        let l_x = match peer {
            Some(peer) => Some(own.agree_x_with_sum(&own_key, peer.point())?),
            None => None,
        };
        let nonces = Nonces {
            initiator: self.initiator_nonce,
            responder: entropy.nonce(curve)?,
        };
        let k2 = schedule::k2(curve, &n_x);
        let bk = schedule::bk(curve, &nonces, &self.m_x, &n_x, l_x.as_ref());
        let ke = schedule::ke(curve, &bk);
        let keys = Keys {
            initiator_protocol: &self.session.peer_key,
            responder_protocol: own_key.public(),
            initiator_bootstrapping: peer.map(BootstrappingPublicKey::point),
            responder_bootstrapping: own.public_key().point(),
        };
        let mut tag = Vec::new();
        let responder_tag = schedule::responder_tag(curve, &nonces, keys);
        put(
            &mut tag,
            AttributeId::ResponderAuthenticatingTag,
            responder_tag.expose(),
        )?;
        let mut clear = Vec::new();
        put(&mut clear, AttributeId::ResponderNonce, &nonces.responder)?;
        put(&mut clear, AttributeId::InitiatorNonce, &nonces.initiator)?;
        put(
            &mut clear,
            AttributeId::ResponderCapabilities,
            &[role.bit()],
        )?;
        // The tag alone is wrapped without associated data: it stands inside the wrap that has it.
        let wrapped_tag = wrap(ke.expose(), &[], &tag)?;
        put(&mut clear, AttributeId::WrappedData, &wrapped_tag)?;

        let peer_hash = peer.map(|peer| *peer.hash());
        let mut frame = begin_response(Status::Ok, &self.own_hash, peer_hash.as_ref())?;
        let protocol_key = own_key.public().raw_xy();
        put(&mut frame, AttributeId::ResponderProtocolKey, protocol_key)?;
        put_version(&mut frame, &self.session)?;
        let frame = seal(frame, k2.expose(), &clear)?;
        let initiator_tag = schedule::initiator_tag(curve, &nonces, keys);
        let responder = Responder {
            session: self.session,
            nonces,
            // A configurator needs its own protocol key no more, an enrollee as the octets that it stores.
            own_key: own_key.put_by(),
            own_hash: self.own_hash,
            peer_hash,
            k2,
            bk,
            ke,
            initiator_tag,
        };
        Ok((frame, responder))
    }

    /// A response that carries a status instead of a key; only the initiator can open it.
    fn status(&self, status: Status, roles: Roles) -> Result<Vec<u8>, Error> {
        let mut clear = Vec::new();
        let nonce = &self.initiator_nonce;
        put(&mut clear, AttributeId::InitiatorNonce, nonce)?;
        put(
            &mut clear,
            AttributeId::ResponderCapabilities,
            &[roles.bits()],
        )?;
        let mut frame = begin_response(status, &self.own_hash, None)?;
        put_version(&mut frame, &self.session)?;
        seal(frame, self.k1.expose(), &clear)
    }
}

fn begin_response(
    status: Status,
    own_hash: &[u8; 32],
    peer_hash: Option<&[u8; 32]>,
) -> Result<Vec<u8>, Error> {
    let mut frame = begin(FrameType::AuthenticationResponse);
    put(&mut frame, AttributeId::Status, &[status.number()])?;
    let id = AttributeId::ResponderBootstrappingKeyHash;
    put(&mut frame, id, own_hash)?;
    if let Some(hash) = peer_hash {
        put(&mut frame, AttributeId::InitiatorBootstrappingKeyHash, hash)?;
    }
    Ok(frame)
}

fn put_version(frame: &mut Vec<u8>, session: &Session) -> Result<(), Error> {
    // To a peer of version 1 nothing is said that version 1 does not know.
    if session.version >= 2 {
        put(frame, AttributeId::ProtocolVersion, &[session.own_version])?;
    }
    Ok(())
}

/// The role that is left for us; an initiator that would take either leaves us ours, and between two
/// that would take either we are the enrollee.
fn choose(own: Roles, wanted: Roles) -> Option<Role> {
    match (own, wanted) {
        (Roles::Only(role), _) => wanted.allow(role.opposite()).then_some(role),
        (Roles::Either, Roles::Only(theirs)) => Some(theirs.opposite()),
        (Roles::Either, Roles::Either) => Some(Role::Enrollee),
    }
}
