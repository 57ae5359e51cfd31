//! The initiator: the side that knows the other's bootstrapping key and speaks first.

use std::sync::Arc;

use subtle::ConstantTimeEq;
use vouchsafe_trust::Secret;

use super::{Authenticated, Entropy, Role, Roles, check_nonce, check_version, negotiate};
use crate::attribute::{AttributeId, Attributes, put};
use crate::curve::{Agreement, BootstrappingPublicKey, Point, PrivateKey};
use crate::error::{Error, Misuse, Refusal};
use crate::frame::{Frame, FrameType, begin, seal};
use crate::schedule::{self, Keys, Nonces};
use crate::status::Status;
use crate::wrap::unwrap;

/// What an initiator begins with.
pub struct InitiatorParameters<'a> {
    /// Our own bootstrapping key, when we have one by which the responder may know us: without it
    /// authentication cannot be mutual.
    pub own: Option<Arc<dyn Agreement>>,
    /// The responder's key, from its URI.
    pub peer: &'a BootstrappingPublicKey,
    /// The roles that we would take.
    pub roles: Roles,
    /// The highest version that we want to speak, 1 to [`super::VERSION`].
    pub version: u8,
    /// Operating class and channel to go on with, on the air only.
    pub channel: Option<[u8; 2]>,
    /// Whether a responder that does not use our key is refused.
    pub require_mutual: bool,
}

/// An initiator that has sent its Authentication Request and waits for the response.
pub struct Initiator {
    own: Option<Arc<dyn Agreement>>,
    own_hash: [u8; 32],
    peer: BootstrappingPublicKey,
    roles: Roles,
    version: u8,
    require_mutual: bool,
    key: PrivateKey,
    nonce: Vec<u8>,
    m_x: Secret,
    k1: Secret,
}

/// What an Authentication Response means.
#[derive(Debug)]
pub enum Progress {
    /// The responder needs more time; wait on, up to [`super::PENDING_SECONDS`].
    Pending(Initiator),
    /// The responder has proven itself.
    Done {
        /// The Authentication Confirm, to be sent.
        confirm: Vec<u8>,
        /// What was reached.
        authenticated: Authenticated,
    },
}

impl Initiator {
    /// Makes the Authentication Request (Wi-Fi Easy Connect 3.0 §6.3.2).
    ///
    /// Refuses an own key of another curve than the responder's.
    pub fn start(
        parameters: InitiatorParameters<'_>,
        entropy: &Entropy,
    ) -> Result<(Vec<u8>, Self), Error> {
        let InitiatorParameters {
            own,
            peer,
            roles,
            version,
            channel,
            require_mutual,
        } = parameters;
        check_version(version)?;
        let curve = peer.curve();
        if require_mutual && own.is_none() {
            return Err(Misuse::Key.into());
        }
        let key = entropy.protocol_key(curve)?;
        let own_hash = match &own {
            Some(own) if own.public_key().curve() != curve => {
                return Err(Refusal::CurveMismatch.into());
            }
            Some(own) => *own.public_key().hash(),
            // One hash is like another to who does not know the key; the next run has another one.
            None => *BootstrappingPublicKey::new(key.public().clone()).chirp_hash(),
        };
        let nonce = entropy.nonce(curve)?;
        let m_x = key.agree_x(peer.point())?;
        let k1 = schedule::k1(curve, &m_x);

        let mut clear = Vec::new();
        put(&mut clear, AttributeId::InitiatorNonce, &nonce)?;
        put(
            &mut clear,
            AttributeId::InitiatorCapabilities,
            &[roles.bits()],
        )?;
        let mut frame = begin(FrameType::AuthenticationRequest);
        let id = AttributeId::ResponderBootstrappingKeyHash;
        put(&mut frame, id, peer.hash())?;
        put(
            &mut frame,
            AttributeId::InitiatorBootstrappingKeyHash,
            &own_hash,
        )?;
        put(
            &mut frame,
            AttributeId::InitiatorProtocolKey,
            key.public().raw_xy(),
        )?;
        if version >= 2 {
            put(&mut frame, AttributeId::ProtocolVersion, &[version])?;
        }
        if let Some(channel) = channel {
            put(&mut frame, AttributeId::Channel, &channel)?;
        }
        let frame = seal(frame, k1.expose(), &clear)?;
        let waiting = Self {
            own,
            own_hash,
            peer: peer.clone(),
            roles,
            version,
            require_mutual,
            key,
            nonce,
            m_x,
            k1,
        };
        Ok((frame, waiting))
    }

    /// Reads an Authentication Response (Wi-Fi Easy Connect 3.0 §6.3.4).
    ///
    /// [`Error::Peer`] when the responder gives up. A wrong tag or an impossible role has an
    /// [`Error::reply`]; everything else that is wrong is dropped in silence.
    pub fn handle(self, frame: &[u8]) -> Result<Progress, Error> {
        let frame = Frame::expect(frame, FrameType::AuthenticationResponse)?;
        let attributes = frame.attributes();
        let hash = attributes.require_array(AttributeId::ResponderBootstrappingKeyHash)?;
        if self.peer.hash() != &hash {
            return Err(Refusal::ResponderHash.into());
        }
        let named = attributes.find_array(AttributeId::InitiatorBootstrappingKeyHash)?;
        match named {
            Some(hash) if hash != self.own_hash => return Err(Refusal::InitiatorHash.into()),
            _ => {}
        }
        let version = attributes.find_array(AttributeId::ProtocolVersion)?;
        match attributes.status()? {
            Status::Ok => {}
            status @ (Status::ResponsePending
            | Status::NotCompatible
            | Status::AuthenticationFailure) => return self.handle_status(&frame, status),
            _ => return Err(Refusal::Status.into()),
        }
        let own = match (&self.own, named) {
            (Some(own), Some(_)) => Some(Arc::clone(own)),
            (None, Some(_)) => return Err(Refusal::MutualUnasked.into()),
            (_, None) if self.require_mutual => return Err(Refusal::MutualRequired.into()),
            (_, None) => None,
        };
        let protocol_key = attributes.require(AttributeId::ResponderProtocolKey)?;
        let version = negotiate(self.version, version)?;
        self.finish(&frame, own.as_deref(), protocol_key, version)
    }

    fn handle_status(self, frame: &Frame<'_>, status: Status) -> Result<Progress, Error> {
        let clear = frame.unwrap(self.k1.expose())?;
        let inner = Attributes::read(&clear)?;
        if inner.require(AttributeId::InitiatorNonce)? != self.nonce {
            return Err(Refusal::NonceMismatch.into());
        }
        match status {
            Status::ResponsePending => Ok(Progress::Pending(self)),
            _ => Err(Error::Peer(status)),
        }
    }

    fn finish(
        self,
        frame: &Frame<'_>,
        own: Option<&dyn Agreement>,
        protocol_key: &[u8],
        version: u8,
    ) -> Result<Progress, Error> {
        let curve = self.peer.curve();
        let peer_key = Point::from_raw_xy(curve, protocol_key)?;
        if peer_key == *self.key.public() {
            return Err(Refusal::Reflected.into());
        }
        let n_x = self.key.agree_x(&peer_key)?;
        let k2 = schedule::k2(curve, &n_x);
        let clear = frame.unwrap(k2.expose())?;
        let inner = Attributes::read(&clear)?;
        let nonce_length = curve.nonce_length();
        let responder_nonce = inner.require_length(AttributeId::ResponderNonce, nonce_length)?;
        check_nonce(responder_nonce)?;
        if inner.require(AttributeId::InitiatorNonce)? != self.nonce {
            return Err(Refusal::NonceMismatch.into());
        }
        if responder_nonce == self.nonce {
            return Err(Refusal::Reflected.into());
        }
        let nonces = Nonces {
            initiator: self.nonce.clone(),
            responder: responder_nonce.to_vec(),
        };
        let [capabilities] = inner.require_array(AttributeId::ResponderCapabilities)?;
        let role = match Roles::from_capabilities(capabilities)? {
            Roles::Only(theirs) if self.roles.allow(theirs.opposite()) => theirs.opposite(),
            _ => {
                let error = Error::from(Refusal::RoleMismatch);
                let reply = self.give_up(Status::NotCompatible, own, &k2, &nonces)?;
                return Err(error.answered(reply));
            }
        };
        let l_x = match own {
            Some(own) => Some(own.agree_x(&self.peer.point().add(&peer_key)?)?),
            None => None,
        };
        let bk = schedule::bk(curve, &nonces, &self.m_x, &n_x, l_x.as_ref());
        let ke = schedule::ke(curve, &bk);
        let keys = Keys {
            initiator_protocol: self.key.public(),
            responder_protocol: &peer_key,
            initiator_bootstrapping: own.map(|own| own.public_key().point()),
            responder_bootstrapping: self.peer.point(),
        };
        // The tag alone is wrapped without associated data: it stands inside the wrap that has it.
        let tag = unwrap(ke.expose(), &[], inner.wrapped()?)?;
        let tag = Attributes::read(&tag)?
            .require_length(AttributeId::ResponderAuthenticatingTag, curve.hash_length())?;
        let expected = schedule::responder_tag(curve, &nonces, keys);
        if !bool::from(expected.expose().ct_eq(tag)) {
            let error = Error::from(Refusal::ResponderTag);
            let reply = self.give_up(Status::AuthenticationFailure, own, &k2, &nonces)?;
            return Err(error.answered(reply));
        }
        let tag = schedule::initiator_tag(curve, &nonces, keys);
        let mut clear = Vec::new();
        let id = AttributeId::InitiatorAuthenticatingTag;
        put(&mut clear, id, tag.expose())?;
        let confirm = seal(self.begin_confirm(Status::Ok, own)?, ke.expose(), &clear)?;
        let authenticated = Authenticated {
            curve,
            role,
            mutual: own.is_some(),
            version,
            own_key: self.key,
            peer_key,
            bk,
            ke,
        };
        Ok(Progress::Done {
            confirm,
            authenticated,
        })
    }

    /// The confirm that tells the responder why there is no other.
    fn give_up(
        &self,
        status: Status,
        own: Option<&dyn Agreement>,
        k2: &Secret,
        nonces: &Nonces,
    ) -> Result<Vec<u8>, Error> {
        let mut clear = Vec::new();
        put(&mut clear, AttributeId::ResponderNonce, &nonces.responder)?;
        seal(self.begin_confirm(status, own)?, k2.expose(), &clear)
    }

    fn begin_confirm(&self, status: Status, own: Option<&dyn Agreement>) -> Result<Vec<u8>, Error> {
        let mut frame = begin(FrameType::AuthenticationConfirm);
        put(&mut frame, AttributeId::Status, &[status.number()])?;
        let id = AttributeId::ResponderBootstrappingKeyHash;
        put(&mut frame, id, self.peer.hash())?;
        if own.is_some() {
            let id = AttributeId::InitiatorBootstrappingKeyHash;
            put(&mut frame, id, &self.own_hash)?;
        }
        Ok(frame)
    }

    /// Our role, when it is already settled.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        match self.roles {
            Roles::Only(role) => Some(role),
            Roles::Either => None,
        }
    }
}

impl std::fmt::Debug for Initiator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Initiator")
            .field("peer", &self.peer)
            .field("roles", &self.roles)
            .finish_non_exhaustive()
    }
}
