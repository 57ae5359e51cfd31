//! Authentication: two sides, one or both of whose bootstrapping keys are known, agree on a key
//! (Wi-Fi Easy Connect 3.0 §6.3).
//!
//! 1. [`Initiator::start`]: the initiator knows the responder's key and makes an Authentication Request.
//! 2. [`AuthenticationRequest::read`]: the responder reads it, and looks up what it knows of the one
//!    whose hash it names; until then these are claims.
//! 3. [`Responder::accept`]: the request opens under the responder's own key, so the initiator knows
//!    that key; roles and version are settled.
//! 4. [`Accepted::respond`]: the Authentication Response; [`Accepted::pending`] asks for more time while
//!    a person scans the initiator's code.
//! 5. [`Initiator::handle`]: the responder has proven that it holds its key; out comes
//!    [`Authenticated`] and the Authentication Confirm.
//! 6. [`Responder::handle`]: the initiator has proven that it took part (and, when mutual, that it
//!    holds its own bootstrapping key); out comes [`Authenticated`].
//!
//! Each state is used up by what it handles. A message that fails ends the exchange; the device then
//! begins another one, with new keys and nonces. Nothing here has timers: [`RESPONSE_SECONDS`] and the
//! like are for the caller to apply.
//!
//! A version below 2 has no Protocol Version attribute. Each side names its own highest version, the
//! lower one counts, and since both attributes are covered by the wraps nobody in between can lower it.

mod initiator;
mod request;
mod responder;

use vouchsafe_trust::Secret;
use zeroize::Zeroize;

pub use initiator::{Initiator, InitiatorParameters, Progress};
pub use request::AuthenticationRequest;
pub use responder::{Accepted, Responder};

use crate::curve::{Curve, MAX_COORDINATE_LENGTH, MAX_NONCE_LENGTH, Point, PrivateKey};
use crate::error::{Error, Misuse, Refusal};
use crate::schedule;

/// The highest version of the protocol that is spoken here.
pub const VERSION: u8 = 3;

/// How long an initiator waits for an Authentication Response, in seconds, before it asks again or
/// gives up (Wi-Fi Easy Connect 3.0 §6.3.2).
pub const RESPONSE_SECONDS: u64 = 2;

/// How long an initiator waits after a response that says pending, in seconds.
pub const PENDING_SECONDS: u64 = 120;

/// Octets of the challenge password in a certificate request (Wi-Fi Easy Connect 3.0 §6.4.2).
pub const CHALLENGE_PASSWORD_LENGTH: usize = 64;

/// What one side of an exchange is to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Gets a configuration.
    Enrollee,
    /// Gives one.
    Configurator,
}

impl Role {
    /// The bit in the capabilities (Wi-Fi Easy Connect 3.0 §8.1.1.7).
    fn bit(self) -> u8 {
        match self {
            Self::Enrollee => 1,
            Self::Configurator => 2,
        }
    }

    /// The role of the other side.
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::Enrollee => Self::Configurator,
            Self::Configurator => Self::Enrollee,
        }
    }
}

/// Which roles one side would take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Roles {
    /// This one only.
    Only(Role),
    /// Whichever the other side leaves.
    Either,
}

impl Roles {
    fn bits(self) -> u8 {
        match self {
            Self::Only(role) => role.bit(),
            Self::Either => Role::Enrollee.bit() | Role::Configurator.bit(),
        }
    }

    /// Reads capabilities; refuses those without a role. The other bits are reserved and ignored.
    fn from_capabilities(capabilities: u8) -> Result<Self, Error> {
        match capabilities & 3 {
            1 => Ok(Self::Only(Role::Enrollee)),
            2 => Ok(Self::Only(Role::Configurator)),
            3 => Ok(Self::Either),
            _ => Err(Refusal::Capabilities.into()),
        }
    }

    fn allow(self, role: Role) -> bool {
        self.bits() & role.bit() != 0
    }
}

/// Random octets for one side of one authentication, drawn by the caller and used once.
pub struct Entropy {
    seed: [u8; MAX_COORDINATE_LENGTH + 8],
    nonce: [u8; MAX_NONCE_LENGTH],
    protocol_key: Option<PrivateKey>,
}

impl Entropy {
    /// Octets to draw, for any curve.
    pub const LENGTH: usize = MAX_COORDINATE_LENGTH + 8 + MAX_NONCE_LENGTH;

    /// Takes octets from a cryptographic generator.
    #[must_use]
    pub fn new(mut octets: [u8; Self::LENGTH]) -> Self {
        let mut entropy = Self {
            seed: [0; MAX_COORDINATE_LENGTH + 8],
            nonce: [0; MAX_NONCE_LENGTH],
            protocol_key: None,
        };
        let places = entropy.seed.iter_mut().chain(&mut entropy.nonce);
        for (place, octet) in places.zip(&octets) {
            *place = *octet;
        }
        octets.zeroize();
        entropy
    }

    /// With a protocol key that the caller has just made and uses nowhere else, see
    /// [`PrivateKey::from_agreement_key`]. It counts where its curve is the one of the exchange.
    #[must_use]
    pub fn with_protocol_key(mut self, key: PrivateKey) -> Self {
        self.protocol_key = Some(key);
        self
    }

    pub(crate) fn protocol_key(&self, curve: Curve) -> Result<PrivateKey, Error> {
        if let Some(key) = self
            .protocol_key
            .as_ref()
            .filter(|key| key.curve() == curve)
        {
            return Ok(key.clone());
        }
        let seed = self.seed.get(..curve.seed_length()).unwrap_or_default();
        PrivateKey::from_seed(curve, seed)
    }

    pub(crate) fn nonce(&self, curve: Curve) -> Result<Vec<u8>, Error> {
        let nonce = self.nonce.get(..curve.nonce_length()).unwrap_or_default();
        if nonce.iter().all(|octet| *octet == 0) {
            return Err(Misuse::Entropy.into());
        }
        Ok(nonce.to_vec())
    }
}

impl Drop for Entropy {
    fn drop(&mut self) {
        self.seed.zeroize();
        self.nonce.zeroize();
    }
}

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy(..)")
    }
}

/// The proof that an authentication ended well, and the keys it left. Only authentication makes it.
#[derive(Debug)]
pub struct Authenticated {
    curve: Curve,
    role: Role,
    mutual: bool,
    version: u8,
    own_key: PrivateKey,
    peer_key: Point,
    bk: Secret,
    ke: Secret,
}

impl Authenticated {
    /// The keys that another way to authenticate has left: reconfiguration.
    pub(crate) fn from_keys(
        role: Role,
        version: u8,
        own_key: PrivateKey,
        peer_key: Point,
        bk: Secret,
        ke: Secret,
    ) -> Self {
        Self {
            curve: own_key.curve(),
            role,
            mutual: true,
            version,
            own_key,
            peer_key,
            bk,
            ke,
        }
    }

    /// The curve of the exchange.
    #[must_use]
    pub fn curve(&self) -> Curve {
        self.curve
    }

    /// Our own role.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether both sides have proven a bootstrapping key that the other one knew; otherwise only the
    /// responder has.
    #[must_use]
    pub fn mutual(&self) -> bool {
        self.mutual
    }

    /// The version that both speak: 1, 2 or 3.
    #[must_use]
    pub fn version(&self) -> u8 {
        self.version
    }

    /// Our protocol key of this run. An enrollee's becomes its netAccessKey.
    #[must_use]
    pub fn own_protocol_key(&self) -> &PrivateKey {
        &self.own_key
    }

    /// The peer's protocol key of this run: the netAccessKey to be named in an enrollee's connector.
    #[must_use]
    pub fn peer_protocol_key(&self) -> &Point {
        &self.peer_key
    }

    /// The password that binds a certificate request to this exchange, before base64 (Wi-Fi Easy
    /// Connect 3.0 §6.4.2).
    #[must_use]
    pub fn challenge_password(&self) -> Secret {
        let info = b"CSR challengePassword";
        schedule::expand(
            self.curve,
            self.bk.expose(),
            info,
            CHALLENGE_PASSWORD_LENGTH,
        )
    }

    /// bk: for the envelope of a configurator's backup and for new protocol keys.
    pub(crate) fn bk(&self) -> &Secret {
        &self.bk
    }

    /// ke: under which the configuration travels.
    pub(crate) fn ke(&self) -> &Secret {
        &self.ke
    }

    /// Replaces the protocol keys by those on another curve that the configurator asked for.
    pub(crate) fn replace_keys(&mut self, own_key: PrivateKey, peer_key: Point) {
        self.own_key = own_key;
        self.peer_key = peer_key;
    }
}

/// A nonce from the peer: of the curve's length, and drawn at all.
fn check_nonce(nonce: &[u8]) -> Result<(), Error> {
    if nonce.iter().all(|octet| *octet == 0) {
        return Err(Refusal::NonceZero.into());
    }
    Ok(())
}

/// The version that both sides speak, from what the peer said in its attribute.
fn negotiate(own: u8, peer: Option<[u8; 1]>) -> Result<u8, Error> {
    match peer {
        None => Ok(1),
        Some([0]) => Err(Refusal::Version.into()),
        Some([version]) => Ok(version.min(own)),
    }
}

/// Our own version: one that is spoken here.
fn check_version(version: u8) -> Result<u8, Error> {
    match version {
        1..=VERSION => Ok(version),
        _ => Err(Misuse::Version.into()),
    }
}
