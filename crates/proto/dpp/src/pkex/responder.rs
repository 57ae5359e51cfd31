//! The side that answers.

use std::sync::Arc;

use vouchsafe_trust::Secret;

use super::{
    PkexBinding, PkexCode, Tries, check_tag, derive_z, elements, open_reveal, reveal, tag,
};
use crate::attribute::{AttributeId, put};
use crate::authentication::{Entropy, VERSION};
use crate::curve::{Agreement, BootstrappingPublicKey, Curve, Point, PrivateKey};
use crate::error::{Error, Refusal};
use crate::frame::{Frame, FrameType, begin};
use crate::status::Status;

/// An Exchange Request as it was read: which code it is about, if it says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangeRequest {
    version: Option<u8>,
    group: u16,
    identifier: Option<Vec<u8>>,
    m: Vec<u8>,
}

/// A responder that has sent its Exchange Response.
pub struct Responder {
    own: Arc<dyn Agreement>,
    binding: PkexBinding,
    x: Point,
    y: PrivateKey,
    pub(super) z: Secret,
}

impl ExchangeRequest {
    /// Step 2, first half: reads a request of either version.
    ///
    /// # Errors
    /// [`crate::Malformed`], [`Error::Attribute`], [`Refusal::Version`].
    pub fn read(frame: &[u8]) -> Result<Self, Error> {
        let frame = Frame::read(frame)?;
        let attributes = frame.attributes();
        let version = match frame.frame_type() {
            FrameType::PkexVersion1Request => None,
            FrameType::PkexExchangeRequest => {
                match attributes.require_array(AttributeId::ProtocolVersion)? {
                    [0] => return Err(Refusal::Version.into()),
                    [version] => Some(version),
                }
            }
            _ => return Err(Refusal::Unexpected.into()),
        };
        let group = attributes.require_array(AttributeId::FiniteCyclicGroup)?;
        Ok(Self {
            version,
            group: u16::from_le_bytes(group),
            identifier: attributes
                .find(AttributeId::CodeIdentifier)
                .map(<[u8]>::to_vec),
            m: attributes.require(AttributeId::EncryptedKey)?.to_vec(),
        })
    }

    /// The name of the code that is meant, when it has one and it is text.
    pub fn identifier(&self) -> Option<&str> {
        std::str::from_utf8(self.identifier.as_deref()?).ok()
    }

    /// The curve on which the initiator wants to be; `None` when it is unknown here.
    pub fn curve(&self) -> Option<Curve> {
        Curve::from_ike_group(self.group)
    }

    /// Whether it is a request of version 1, which needs the addresses.
    pub fn is_version_1(&self) -> bool {
        self.version.is_none()
    }
}

impl Responder {
    /// Step 2, second half: the Exchange Response.
    ///
    /// # Errors
    /// [`Refusal::PkexTries`] when the code is used up; [`Refusal::PkexIdentifier`] for a request about another
    /// code; [`Refusal::PkexVersion`] when the binding is not that of the request;
    /// [`Refusal::PkexGroup`] with a reply that proposes our curve; [`crate::Malformed::Point`] and
    /// [`Refusal::PointOffCurve`], which are no guesses.
    pub fn answer(
        request: &ExchangeRequest,
        own: Arc<dyn Agreement>,
        code: &PkexCode,
        binding: PkexBinding,
        tries: &mut Tries,
        entropy: &Entropy,
    ) -> Result<(Vec<u8>, Self), Error> {
        let y = entropy.protocol_key(own.public_key().curve())?;
        Self::answer_with(request, own, code, binding, tries, y)
    }

    pub(super) fn answer_with(
        request: &ExchangeRequest,
        own: Arc<dyn Agreement>,
        code: &PkexCode,
        binding: PkexBinding,
        tries: &mut Tries,
        y: PrivateKey,
    ) -> Result<(Vec<u8>, Self), Error> {
        tries.check()?;
        code.check_identifier(request.identifier.as_deref())?;
        if (binding == PkexBinding::Versions) != request.version.is_some() {
            return Err(Refusal::PkexVersion.into());
        }
        let curve = y.curve();
        if request.group != curve.ike_group() {
            let mut reply = begin_response(Status::BadGroup, binding, code)?;
            let group = curve.ike_group().to_le_bytes();
            put(&mut reply, AttributeId::FiniteCyclicGroup, &group)?;
            return Err(Error::from(Refusal::PkexGroup).answered(reply));
        }

        // What is no point was hidden under no code: nobody learns anything from the refusal.
        let m = Point::from_raw_xy(curve, &request.m)?;
        // X' = M - Qi. Nothing is left of M when it is the mask itself, which only a right guess is.
        // A refusal would tell so, and a wrong one would cost nothing; with Y in its place all guesses
        // get the same answer, and who sent it cannot go on: y · Y is known to us alone.
        let mask = code.mask(&elements::initiator(curve)?, binding.initiator_address())?;
        let x = m.subtract(&mask).unwrap_or_else(|_| y.public().clone());

        // N = Y + Qr.
        let mask = code.mask(&elements::responder(curve)?, binding.responder_address())?;
        let n = y.public().add(&mask)?;
        let k_x = y.agree_x(&x)?;
        let versions = [request.version.unwrap_or_default(), VERSION];
        let z = derive_z(binding, versions, &m, &n, code, &k_x);
        let mut response = begin_response(Status::Ok, binding, code)?;
        put(&mut response, AttributeId::EncryptedKey, n.raw_xy())?;
        let waiting = Self {
            own,
            binding,
            x,
            y,
            z,
        };
        Ok((response, waiting))
    }

    /// Step 4: takes the Commit-Reveal Request; out come the Commit-Reveal Response and the
    /// initiator's bootstrapping key.
    ///
    /// # Errors
    /// [`Refusal::PkexCode`] when it does not open, and [`Refusal::PkexTag`] when it does not prove the
    /// key in it; both count as wrong guesses.
    pub fn handle(
        self,
        frame: &[u8],
        tries: &mut Tries,
    ) -> Result<(Vec<u8>, BootstrappingPublicKey), Error> {
        let frame = Frame::expect(frame, FrameType::PkexCommitRevealRequest)?;
        // Guesses at other exchanges under way may have used up the code since.
        tries.check()?;
        let a = self.open(&frame).inspect_err(|_| tries.count())?;

        // v = HMAC(L.x, [MAC-Responder |] B.x | X'.x | Y.x), L = b · X'.
        let l_x = self.own.agree_x(&self.x)?;
        let b = self.own.public_key().point();
        let address = self.binding.responder_address();
        let v = tag(&l_x, address, b, &self.x, self.y.public());
        let mut clear = Vec::new();
        put(&mut clear, AttributeId::BootstrappingKey, b.raw_xy())?;
        put(
            &mut clear,
            AttributeId::ResponderAuthenticatingTag,
            v.expose(),
        )?;
        let response = reveal(FrameType::PkexCommitRevealResponse, 1, &self.z, &clear)?;
        Ok((response, BootstrappingPublicKey::new(a)))
    }

    fn open(&self, frame: &Frame<'_>) -> Result<Point, Error> {
        let id = AttributeId::InitiatorAuthenticatingTag;
        let (a, claimed) = open_reveal(frame, 0, self.y.curve(), &self.z, id)?;
        // u' = HMAC(J'.x, [MAC-Initiator |] A'.x | Y.x | X'.x), J' = y · A'.
        let j_x = self.y.agree_x(&a)?;
        let address = self.binding.initiator_address();
        let right = tag(&j_x, address, &a, self.y.public(), &self.x);
        check_tag(&claimed, &right)?;
        Ok(a)
    }
}

fn begin_response(status: Status, binding: PkexBinding, code: &PkexCode) -> Result<Vec<u8>, Error> {
    let mut response = begin(FrameType::PkexExchangeResponse);
    put(&mut response, AttributeId::Status, &[status.number()])?;
    if binding == PkexBinding::Versions {
        put(&mut response, AttributeId::ProtocolVersion, &[VERSION])?;
    }
    if let Some(identifier) = code.identifier() {
        put(
            &mut response,
            AttributeId::CodeIdentifier,
            identifier.as_bytes(),
        )?;
    }
    Ok(response)
}
