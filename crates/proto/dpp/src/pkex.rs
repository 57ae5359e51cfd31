//! Public Key Exchange: two devices learn each other's bootstrapping keys from a code that people
//! have told both (Wi-Fi Easy Connect 3.0 §5.6). Versions 1 and 2.
//!
//! 1. [`Initiator::start`]: Exchange Request, with a new key hidden under the code.
//! 2. [`ExchangeRequest::read`]: the responder sees which code is meant; [`Responder::answer`]: Exchange Response,
//!    with a new key of its own, hidden likewise.
//! 3. [`Initiator::handle`]: both can now derive z. Commit-Reveal Request, with the initiator's
//!    bootstrapping key under z.
//! 4. [`Responder::handle`]: whoever could write that knows the code. Commit-Reveal Response, with the
//!    responder's bootstrapping key.
//! 5. [`AwaitReveal::handle`]: the same for the initiator. Each now has the other's
//!    [`BootstrappingPublicKey`], as if it had scanned it, and authentication follows.
//!
//! A code is short, and every exchange is one guess. [`Tries`] counts the wrong ones; after
//! [`Tries::LIMIT`] the code is used up and people must agree on another one.
//!
//! Version 1 ties the exchange to the two MAC addresses and is therefore for the air alone; version 2
//! ties it to the protocol versions, and works through a relay.

mod elements;
mod initiator;
mod responder;
#[cfg(test)]
mod tests;

use std::fmt;

use subtle::ConstantTimeEq;
use vouchsafe_trust::Secret;

pub use initiator::{AwaitReveal, Initiator};
pub use responder::{ExchangeRequest, Responder};

use crate::attribute::{AttributeId, Attributes, put};
#[cfg(doc)]
use crate::curve::BootstrappingPublicKey;
use crate::curve::{Curve, Point, PrivateKey};
use crate::error::{Error, Misuse, Refusal};
use crate::frame::{Frame, FrameType, begin};
use crate::schedule;
use crate::wrap::{unwrap, wrap};

/// Longest code identifier, in octets (§5.6.1).
pub const MAX_IDENTIFIER_LENGTH: usize = 80;

/// Longest code, in octets.
pub const MAX_CODE_LENGTH: usize = 256;

/// A code that people have told both sides, and the name by which they find it.
#[derive(Clone)]
pub struct PkexCode {
    identifier: Option<String>,
    code: Secret,
}

/// How often a code was guessed wrong. The caller keeps it for as long as it keeps the code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    failed: u8,
}

/// What an exchange is tied to beside the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PkexBinding {
    /// Version 1: the MAC addresses.
    Addresses {
        /// Of the initiator.
        initiator: [u8; 6],
        /// Of the responder.
        responder: [u8; 6],
    },
    /// Version 2: the protocol versions that both name.
    Versions,
}

impl PkexCode {
    /// A code, with its identifier if it has one.
    ///
    /// # Errors
    /// [`Misuse::PkexCode`] for an empty or overlong code or identifier.
    pub fn new(identifier: Option<&str>, code: &str) -> Result<Self, Error> {
        let named = identifier.is_none_or(|name| (1..=MAX_IDENTIFIER_LENGTH).contains(&name.len()));
        if !named || !(1..=MAX_CODE_LENGTH).contains(&code.len()) {
            return Err(Misuse::PkexCode.into());
        }
        Ok(Self {
            identifier: identifier.map(str::to_owned),
            code: Secret::new(code.as_bytes().to_vec()),
        })
    }

    /// The identifier.
    pub fn identifier(&self) -> Option<&str> {
        self.identifier.as_deref()
    }

    /// Q = H([MAC |] [identifier |] code) · P, the mask of one side's new key.
    fn mask(&self, element: &Point, address: Option<&[u8; 6]>) -> Result<Point, Error> {
        let curve = element.curve();
        let address = address.map_or(&[][..], |address| &address[..]);
        let identifier = self.identifier().unwrap_or_default().as_bytes();
        let hash = Secret::new(curve.hash(&[address, identifier, self.code.expose()]));
        // Wide enough that the hash is taken modulo the order, whole.
        let length = curve.seed_length().max(hash.len());
        let mut wide = vec![0; length - hash.len()];
        wide.extend_from_slice(hash.expose());
        let wide = Secret::new(wide);
        PrivateKey::from_seed(curve, wide.expose())?.multiply(element)
    }

    /// Whether a message is about this code: its identifier is ours, or neither has one.
    fn check_identifier(&self, claimed: Option<&[u8]>) -> Result<(), Error> {
        if claimed == self.identifier.as_deref().map(str::as_bytes) {
            Ok(())
        } else {
            Err(Refusal::PkexIdentifier.into())
        }
    }
}

impl fmt::Debug for PkexCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PkexCode")
            .field("identifier", &self.identifier)
            .finish_non_exhaustive()
    }
}

impl Tries {
    /// How many wrong guesses use up a code (§5.6.2, counter t).
    pub const LIMIT: u8 = 5;

    /// What was counted before, as it was stored.
    pub fn with_failed(failed: u8) -> Self {
        Self { failed }
    }

    /// How many wrong guesses there were.
    pub fn failed(self) -> u8 {
        self.failed
    }

    /// Whether the code is used up.
    pub fn are_used_up(self) -> bool {
        self.failed >= Self::LIMIT
    }

    fn check(self) -> Result<(), Error> {
        if self.are_used_up() {
            Err(Refusal::PkexTries.into())
        } else {
            Ok(())
        }
    }

    fn count(&mut self) {
        self.failed = self.failed.saturating_add(1);
    }

    fn forgive(&mut self) {
        self.failed = self.failed.saturating_sub(1);
    }
}

impl PkexBinding {
    fn initiator_address(&self) -> Option<&[u8; 6]> {
        match self {
            Self::Addresses { initiator, .. } => Some(initiator),
            Self::Versions => None,
        }
    }

    fn responder_address(&self) -> Option<&[u8; 6]> {
        match self {
            Self::Addresses { responder, .. } => Some(responder),
            Self::Versions => None,
        }
    }
}

/// z = HKDF(<>, info | M.x | N.x | code, K.x), where info is both addresses or both versions.
fn derive_z(
    binding: PkexBinding,
    versions: [u8; 2],
    m: &Point,
    n: &Point,
    code: &PkexCode,
    k_x: &Secret,
) -> Secret {
    let mut info = match binding {
        PkexBinding::Addresses {
            initiator,
            responder,
        } => [initiator, responder].concat(),
        PkexBinding::Versions => versions.to_vec(),
    };
    info.extend_from_slice(m.x());
    info.extend_from_slice(n.x());
    info.extend_from_slice(code.code.expose());
    let info = Secret::new(info);
    schedule::hkdf(m.curve(), k_x.expose(), info.expose())
}

/// u and v: HMAC(shared.x, [MAC |] own.x | first.x | second.x).
fn tag(
    shared: &Secret,
    address: Option<&[u8; 6]>,
    own: &Point,
    first: &Point,
    second: &Point,
) -> Secret {
    let address = address.map_or(&[][..], |address| &address[..]);
    schedule::hmac(
        own.curve(),
        shared.expose(),
        &[address, own.x(), first.x(), second.x()],
    )
}

/// The bootstrapping key and the tag inside a Commit-Reveal message. A message that does not open was
/// made with another code.
fn open_reveal(
    frame: &Frame<'_>,
    direction: u8,
    curve: Curve,
    z: &Secret,
    tag: AttributeId,
) -> Result<(Point, Secret), Error> {
    let associated = [frame.header(), &[direction]];
    let clear = unwrap(z.expose(), &associated, frame.attributes().wrapped()?)
        .map_err(|_| Refusal::PkexCode)?;
    let inner = Attributes::read(&clear)?;
    let raw = inner.require(AttributeId::BootstrappingKey)?;
    let key = Point::from_raw_xy(curve, raw)?;
    let tag = inner.require_length(tag, curve.hash_length())?;
    Ok((key, Secret::new(tag.to_vec())))
}

/// A Commit-Reveal message: what it holds is bound to the frame's header and to its direction, 0 from
/// the initiator and 1 from the responder.
fn reveal(
    frame_type: FrameType,
    direction: u8,
    z: &Secret,
    clear: &[u8],
) -> Result<Vec<u8>, Error> {
    let mut frame = begin(frame_type);
    let header = frame.get(1..).unwrap_or_default();
    let wrapped = wrap(z.expose(), &[header, &[direction]], clear)?;
    put(&mut frame, AttributeId::WrappedData, &wrapped)?;
    Ok(frame)
}

fn check_tag(claimed: &Secret, right: &Secret) -> Result<(), Error> {
    if bool::from(claimed.expose().ct_eq(right.expose())) {
        Ok(())
    } else {
        Err(Refusal::PkexTag.into())
    }
}
