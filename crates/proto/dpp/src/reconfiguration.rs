//! Reconfiguration: a device that was configured before gets another configuration, without a person
//! and without its bootstrapping key (Wi-Fi Easy Connect 3.0 §6.5).
//!
//! 1. The device announces itself to the configurator whose C-sign key it knows
//!    ([`crate::announcement::ReconfigurationAnnouncement`]).
//! 2. The configurator shows a connector of its own, with the role of a configurator
//!    ([`Configurator::start`]: Reconfiguration Authentication Request).
//! 3. The device checks it, agrees on a key from both connectors' keys and a new protocol key, and
//!    shows its own connector ([`Device::answer`]: Response).
//! 4. The configurator checks that one, which may have expired: a device that slept too long shall be
//!    able to come back ([`AwaitResponse::handle`]: Confirm). Only here does it know who the device is.
//! 5. The device sees that the configurator has the key ([`AwaitConfirm::handle`]). Both go on with the
//!    configuration protocol as after authentication.

use jiff::Timestamp;
use subtle::ConstantTimeEq;
use vouchsafe_trust::Secret;

use crate::attribute::{AttributeId, Attributes, put};
use crate::authentication::{Authenticated, Entropy, Role, VERSION};
use crate::configuration::ConnectionStatus;
use crate::connector::{CSignPublicKey, Connector, VerifiedConnector};
use crate::curve::{Curve, Point, PrivateKey};
use crate::error::{Error, Malformed, Refusal};
use crate::frame::{Frame, FrameType, begin, seal};
use crate::object::NetRole;
use crate::schedule;
use crate::status::Status;

/// The lowest version that has reconfiguration.
const FIRST_VERSION: u8 = 2;

/// The bit of the flags that says that the netAccessKey is replaced by the new protocol key.
const REPLACE_KEY: u8 = 1;

/// A configurator's own connector, and the private key that it names: one for each curve of the
/// devices' keys. It is made once and kept.
#[derive(Debug, Clone)]
pub struct ConfiguratorConnector {
    connector: Connector,
    key: PrivateKey,
}

/// The configurator's side before it says anything.
#[derive(Debug)]
pub struct Configurator<'a> {
    /// Its own connector, on the curve that the device announced.
    pub own: &'a ConfiguratorConnector,
    /// The C-sign keys under which it accepts devices, old ones included.
    pub anchors: Vec<CSignPublicKey>,
}

/// The configurator after its request.
#[derive(Debug)]
pub struct AwaitResponse {
    own: ConfiguratorConnector,
    anchors: Vec<CSignPublicKey>,
    transaction: u8,
    c_nonce: Vec<u8>,
}

/// What the configurator knows when all went well.
#[derive(Debug)]
pub struct Reconfigurable {
    /// The Confirm, to be sent.
    pub confirm: Vec<u8>,
    /// For [`crate::configuration`].
    pub authenticated: Authenticated,
    /// Who the device is: the connector that it was given before, perhaps expired.
    pub device: VerifiedConnector,
    /// Why the device asks.
    pub status: ConnectionStatus,
}

/// The device's side: what it was configured with.
#[derive(Debug)]
pub struct Device {
    /// Its connector.
    pub connector: VerifiedConnector,
    /// Its netAccessKey.
    pub key: PrivateKey,
    /// Whom it takes a configuration from.
    pub c_sign: CSignPublicKey,
}

/// The device after its response.
#[derive(Debug)]
pub struct AwaitConfirm {
    transaction: u8,
    c_nonce: Vec<u8>,
    e_nonce: Vec<u8>,
    version: u8,
    peer_version: u8,
    protocol_key: PrivateKey,
    peer_key: Point,
    keys: Keys,
}

/// What the device knows when all went well.
#[derive(Debug)]
pub struct Reconfiguring {
    /// For [`crate::configuration`].
    pub authenticated: Authenticated,
    /// Whether the new connector is for the new protocol key; otherwise for the old netAccessKey.
    pub replaces_key: bool,
}

#[derive(Debug)]
struct Keys {
    bk: Secret,
    ke: Secret,
}

impl ConfiguratorConnector {
    /// A configurator's connector with its key.
    ///
    /// # Errors
    /// [`Refusal::ConnectorForeignKey`] for another key, [`Refusal::ConnectorRole`] for a
    /// connector that makes nobody a configurator.
    pub fn new(connector: &VerifiedConnector, key: PrivateKey) -> Result<Self, Error> {
        connector.check_key(key.public())?;
        let groups = &connector.content().groups;
        if !groups
            .iter()
            .any(|group| group.role == NetRole::Configurator)
        {
            return Err(Refusal::ConnectorRole.into());
        }
        Ok(Self {
            connector: connector.connector().clone(),
            key,
        })
    }

    /// The curve of the devices that it can reconfigure.
    pub fn curve(&self) -> Curve {
        self.key.curve()
    }
}

impl Configurator<'_> {
    /// Step 2: the request. `transaction` is any number.
    ///
    /// # Errors
    /// [`crate::Misuse::Entropy`], [`crate::Misuse::Oversize`].
    pub fn start(
        self,
        transaction: u8,
        entropy: &Entropy,
    ) -> Result<(Vec<u8>, AwaitResponse), Error> {
        let c_nonce = entropy.nonce(self.own.curve())?;
        let mut frame = begin(FrameType::ReconfigurationAuthenticationRequest);
        put(&mut frame, AttributeId::TransactionId, &[transaction])?;
        put(&mut frame, AttributeId::ProtocolVersion, &[VERSION])?;
        let connector = self.own.connector.as_str().as_bytes();
        put(&mut frame, AttributeId::Connector, connector)?;
        put(&mut frame, AttributeId::ConfiguratorNonce, &c_nonce)?;
        let waiting = AwaitResponse {
            own: self.own.clone(),
            anchors: self.anchors,
            transaction,
            c_nonce,
        };
        Ok((frame, waiting))
    }
}

impl AwaitResponse {
    /// Step 4: checks the response and makes the Confirm.
    ///
    /// # Errors
    /// As [`Connector::verify`] but for expiry; [`Refusal::Transaction`], [`Refusal::Version`],
    /// [`Refusal::ConnectorCurve`], [`Refusal::Unwrap`], [`Refusal::NonceMismatch`].
    pub fn handle(self, frame: &[u8]) -> Result<Reconfigurable, Error> {
        let frame = Frame::expect(frame, FrameType::ReconfigurationAuthenticationResponse)?;
        let attributes = frame.attributes();
        check_transaction(attributes, self.transaction)?;
        let peer_version = version(attributes)?;
        let curve = self.own.curve();
        let e_nonce =
            attributes.require_length(AttributeId::EnrolleeNonce, curve.nonce_length())?;
        check_nonce(e_nonce)?;
        let raw = attributes.require(AttributeId::ResponderProtocolKey)?;
        let peer_key = Point::from_raw_xy(curve, raw)?;
        let device = connector(attributes)?.verify_regardless_of_expiry(&self.anchors)?;
        let net_access_key = &device.content().net_access_key;
        if net_access_key.curve() != curve {
            return Err(Refusal::ConnectorCurve.into());
        }

        // M = cI · (CR + PR).
        let m_x = self.own.key.agree_x(&net_access_key.add(&peer_key)?)?;
        let keys = Keys::derive(curve, &self.c_nonce, e_nonce, &m_x);
        let clear = frame.unwrap(keys.ke.expose())?;
        let inner = Attributes::read(&clear)?;
        same_nonce(&inner, AttributeId::ConfiguratorNonce, &self.c_nonce)?;
        let status = ConnectionStatus::read(inner.require(AttributeId::ConnectionStatus)?)?;

        let mut clear = Vec::new();
        put(&mut clear, AttributeId::TransactionId, &[self.transaction])?;
        put(&mut clear, AttributeId::ProtocolVersion, &[peer_version])?;
        put(&mut clear, AttributeId::ConfiguratorNonce, &self.c_nonce)?;
        put(&mut clear, AttributeId::EnrolleeNonce, e_nonce)?;
        put(
            &mut clear,
            AttributeId::ReconfigurationFlags,
            &[REPLACE_KEY],
        )?;
        let mut confirm = begin(FrameType::ReconfigurationAuthenticationConfirm);
        put(&mut confirm, AttributeId::Status, &[Status::Ok.number()])?;
        let confirm = seal(confirm, keys.ke.expose(), &clear)?;
        let authenticated = Authenticated::from_keys(
            Role::Configurator,
            peer_version.min(VERSION),
            self.own.key,
            peer_key,
            keys.bk,
            keys.ke,
        );
        Ok(Reconfigurable {
            confirm,
            authenticated,
            device,
            status,
        })
    }
}

impl Device {
    /// Step 3: checks the request and answers it. `status` says why the device asks, such as
    /// [`Status::NoAccessPoint`].
    ///
    /// # Errors
    /// As [`Connector::verify`]; [`Refusal::ConnectorRole`] when the sender is no configurator,
    /// [`Refusal::ConnectorGroup`] when it is one of other groups, [`Refusal::ConnectorCurve`],
    /// [`Refusal::Version`].
    pub fn answer(
        self,
        frame: &[u8],
        status: &ConnectionStatus,
        entropy: &Entropy,
        now: Timestamp,
    ) -> Result<(Vec<u8>, AwaitConfirm), Error> {
        let frame = Frame::expect(frame, FrameType::ReconfigurationAuthenticationRequest)?;
        let attributes = frame.attributes();
        let [transaction] = attributes.require_array(AttributeId::TransactionId)?;
        let peer_version = version(attributes)?;
        let curve = self.key.curve();
        let c_nonce =
            attributes.require_length(AttributeId::ConfiguratorNonce, curve.nonce_length())?;
        check_nonce(c_nonce)?;
        let anchors = std::slice::from_ref(&self.c_sign);
        let configurator = connector(attributes)?.verify(anchors, now)?;
        self.check_configurator(&configurator)?;
        let peer_key = configurator.content().net_access_key.clone();
        if peer_key.curve() != curve {
            return Err(Refusal::ConnectorCurve.into());
        }

        // M = (cR + pR) · CI.
        let protocol_key = entropy.protocol_key(curve)?;
        let e_nonce = entropy.nonce(curve)?;
        let m_x = self.key.agree_x_with_sum(&protocol_key, &peer_key)?;
        let keys = Keys::derive(curve, c_nonce, &e_nonce, &m_x);

        let mut clear = Vec::new();
        put(&mut clear, AttributeId::ConfiguratorNonce, c_nonce)?;
        put(&mut clear, AttributeId::ConnectionStatus, &status.write())?;
        let mut response = begin(FrameType::ReconfigurationAuthenticationResponse);
        put(&mut response, AttributeId::TransactionId, &[transaction])?;
        put(&mut response, AttributeId::ProtocolVersion, &[VERSION])?;
        let own = self.connector.connector().as_str().as_bytes();
        put(&mut response, AttributeId::Connector, own)?;
        put(&mut response, AttributeId::EnrolleeNonce, &e_nonce)?;
        let public = protocol_key.public().raw_xy();
        put(&mut response, AttributeId::ResponderProtocolKey, public)?;
        let response = seal(response, keys.ke.expose(), &clear)?;
        let waiting = AwaitConfirm {
            transaction,
            c_nonce: c_nonce.to_vec(),
            e_nonce,
            version: VERSION,
            peer_version,
            protocol_key,
            peer_key,
            keys,
        };
        Ok((response, waiting))
    }

    /// §6.5.3: one of the configurator's groups is one of ours, and there it is a configurator.
    fn check_configurator(&self, configurator: &VerifiedConnector) -> Result<(), Error> {
        let mut refusal = Refusal::ConnectorGroup;
        for own in &self.connector.content().groups {
            match configurator.check_role(&own.id, NetRole::Configurator) {
                Ok(()) => return Ok(()),
                Err(error) => refusal = error.refusal().unwrap_or(refusal),
            }
        }
        Err(refusal.into())
    }
}

impl AwaitConfirm {
    /// Step 5: checks the Confirm.
    ///
    /// # Errors
    /// [`Error::Peer`] when the configurator gives up, [`Refusal::Unwrap`], [`Refusal::Transaction`],
    /// [`Refusal::Version`] when our version was altered on the way, [`Refusal::NonceMismatch`].
    pub fn handle(self, frame: &[u8]) -> Result<Reconfiguring, Error> {
        let frame = Frame::expect(frame, FrameType::ReconfigurationAuthenticationConfirm)?;
        match frame.attributes().status()? {
            Status::Ok => {}
            other => return Err(Error::Peer(other)),
        }
        let clear = frame.unwrap(self.keys.ke.expose())?;
        let inner = Attributes::read(&clear)?;
        check_transaction(&inner, self.transaction)?;
        if inner.require_array(AttributeId::ProtocolVersion)? != [self.version] {
            return Err(Refusal::Version.into());
        }
        same_nonce(&inner, AttributeId::ConfiguratorNonce, &self.c_nonce)?;
        same_nonce(&inner, AttributeId::EnrolleeNonce, &self.e_nonce)?;
        let [flags] = inner.require_array(AttributeId::ReconfigurationFlags)?;
        let authenticated = Authenticated::from_keys(
            Role::Enrollee,
            self.peer_version.min(VERSION),
            self.protocol_key,
            self.peer_key,
            self.keys.bk,
            self.keys.ke,
        );
        Ok(Reconfiguring {
            authenticated,
            replaces_key: flags & REPLACE_KEY != 0,
        })
    }
}

impl Keys {
    /// ke = HKDF(C-nonce | E-nonce, "dpp reconfig key", M.x) (§6.5.4). There is no bk in a
    /// reconfiguration; what needs one (the challenge password of a certificate request) takes the
    /// extracted key, which both sides have and nobody else.
    fn derive(curve: Curve, c_nonce: &[u8], e_nonce: &[u8], m_x: &Secret) -> Self {
        let bk = schedule::hmac(curve, &[c_nonce, e_nonce].concat(), &[m_x.expose()]);
        let info = b"dpp reconfig key";
        let ke = schedule::expand(curve, bk.expose(), info, curve.key_length());
        Self { bk, ke }
    }
}

fn check_transaction(attributes: &Attributes<'_>, transaction: u8) -> Result<(), Error> {
    if attributes.require_array(AttributeId::TransactionId)? == [transaction] {
        Ok(())
    } else {
        Err(Refusal::Transaction.into())
    }
}

fn version(attributes: &Attributes<'_>) -> Result<u8, Error> {
    let [version] = attributes.require_array(AttributeId::ProtocolVersion)?;
    if version < FIRST_VERSION {
        return Err(Refusal::ReconfigurationVersion.into());
    }
    Ok(version)
}

fn connector(attributes: &Attributes<'_>) -> Result<Connector, Error> {
    let text = attributes.require(AttributeId::Connector)?;
    let text = std::str::from_utf8(text).map_err(|_| Malformed::ConnectorEncoding)?;
    Connector::parse(text)
}

fn check_nonce(nonce: &[u8]) -> Result<(), Error> {
    if nonce.iter().all(|octet| *octet == 0) {
        return Err(Refusal::NonceZero.into());
    }
    Ok(())
}

fn same_nonce(attributes: &Attributes<'_>, id: AttributeId, own: &[u8]) -> Result<(), Error> {
    let claimed = attributes.require(id)?;
    if bool::from(claimed.ct_eq(own)) {
        Ok(())
    } else {
        Err(Refusal::NonceMismatch.into())
    }
}

#[cfg(test)]
mod tests;
