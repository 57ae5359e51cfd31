//! The side that begins.

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

/// An initiator that has sent its Exchange Request.
pub struct Initiator {
    own: Arc<dyn Agreement>,
    code: PkexCode,
    binding: PkexBinding,
    x: PrivateKey,
    m: Point,
}

/// An initiator that has shown its bootstrapping key and waits for the other one.
pub struct AwaitReveal {
    binding: PkexBinding,
    x: PrivateKey,
    y: Point,
    pub(super) z: Secret,
}

impl Initiator {
    /// Step 1. The try is counted from here on: whoever answers learns whether its guess was right,
    /// and need not say so.
    ///
    /// # Errors
    /// [`Refusal::PkexTries`] when the code is used up; [`crate::Unsupported::Curve`].
    pub fn start(
        own: Arc<dyn Agreement>,
        code: PkexCode,
        binding: PkexBinding,
        tries: &mut Tries,
        entropy: &Entropy,
    ) -> Result<(Vec<u8>, Self), Error> {
        let x = entropy.protocol_key(own.public_key().curve())?;
        Self::start_with(own, code, binding, tries, x)
    }

    pub(super) fn start_with(
        own: Arc<dyn Agreement>,
        code: PkexCode,
        binding: PkexBinding,
        tries: &mut Tries,
        x: PrivateKey,
    ) -> Result<(Vec<u8>, Self), Error> {
        tries.check()?;
        let curve = x.curve();
        // M = X + Qi.
        let mask = code.mask(&elements::initiator(curve)?, binding.initiator_address())?;
        let m = x.public().add(&mask)?;
        let mut frame = match binding {
            PkexBinding::Addresses { .. } => begin(FrameType::PkexVersion1Request),
            PkexBinding::Versions => {
                let mut frame = begin(FrameType::PkexExchangeRequest);
                put(&mut frame, AttributeId::ProtocolVersion, &[VERSION])?;
                frame
            }
        };
        let group = curve.ike_group().to_le_bytes();
        put(&mut frame, AttributeId::FiniteCyclicGroup, &group)?;
        if let Some(identifier) = code.identifier() {
            put(
                &mut frame,
                AttributeId::CodeIdentifier,
                identifier.as_bytes(),
            )?;
        }
        put(&mut frame, AttributeId::EncryptedKey, m.raw_xy())?;
        tries.count();
        let waiting = Self {
            own,
            code,
            binding,
            x,
            m,
        };
        Ok((frame, waiting))
    }

    /// Step 3: takes the Exchange Response and makes the Commit-Reveal Request.
    ///
    /// # Errors
    /// [`Refusal::PkexGroup`] when the responder is on another curve ([`Self::proposed_curve`] tells which), [`Error::Peer`] when it gives up, [`Refusal::PkexIdentifier`], [`Refusal::Version`],
    /// [`Refusal::PointOffCurve`].
    pub fn handle(self, frame: &[u8]) -> Result<(Vec<u8>, AwaitReveal), Error> {
        let frame = Frame::expect(frame, FrameType::PkexExchangeResponse)?;
        let attributes = frame.attributes();
        match attributes.status()? {
            Status::Ok => {}
            Status::BadGroup => return Err(Refusal::PkexGroup.into()),
            other => return Err(Error::Peer(other)),
        }
        let peer_version = match self.binding {
            PkexBinding::Addresses { .. } => 0,
            PkexBinding::Versions => {
                let [version] = attributes.require_array(AttributeId::ProtocolVersion)?;
                if version == 0 {
                    return Err(Refusal::Version.into());
                }
                version
            }
        };
        let identifier = attributes.find(AttributeId::CodeIdentifier);
        self.code.check_identifier(identifier)?;
        let curve = self.x.curve();
        let n = Point::from_raw_xy(curve, attributes.require(AttributeId::EncryptedKey)?)?;

        // Y' = N - Qr.
        let address = self.binding.responder_address();
        let mask = self.code.mask(&elements::responder(curve)?, address)?;
        let y = n.subtract(&mask)?;
        let k_x = self.x.agree_x(&y)?;
        let versions = [VERSION, peer_version];
        let z = derive_z(self.binding, versions, &self.m, &n, &self.code, &k_x);

        // u = HMAC(J.x, [MAC-Initiator |] A.x | Y'.x | X.x), J = a · Y'.
        let j_x = self.own.agree_x(&y)?;
        let a = self.own.public_key().point();
        let u = tag(
            &j_x,
            self.binding.initiator_address(),
            a,
            &y,
            self.x.public(),
        );
        let mut clear = Vec::new();
        put(&mut clear, AttributeId::BootstrappingKey, a.raw_xy())?;
        put(
            &mut clear,
            AttributeId::InitiatorAuthenticatingTag,
            u.expose(),
        )?;
        let request = reveal(FrameType::PkexCommitRevealRequest, 0, &z, &clear)?;
        let waiting = AwaitReveal {
            binding: self.binding,
            x: self.x,
            y,
            z,
        };
        Ok((request, waiting))
    }

    /// The curve that a responder proposes which does not take ours; nobody vouches for it.
    pub fn proposed_curve(frame: &[u8]) -> Option<Curve> {
        let frame = Frame::expect(frame, FrameType::PkexExchangeResponse).ok()?;
        let group = frame
            .attributes()
            .find_array(AttributeId::FiniteCyclicGroup)
            .ok()??;
        Curve::from_ike_group(u16::from_le_bytes(group))
    }
}

impl AwaitReveal {
    /// Step 5: takes the Commit-Reveal Response. With the right code the try is forgiven.
    ///
    /// # Errors
    /// [`Refusal::PkexCode`] when it does not open, [`Refusal::PkexTag`] when it does not prove the
    /// key in it.
    pub fn handle(self, frame: &[u8], tries: &mut Tries) -> Result<BootstrappingPublicKey, Error> {
        let frame = Frame::expect(frame, FrameType::PkexCommitRevealResponse)?;
        let id = AttributeId::ResponderAuthenticatingTag;
        let (b, claimed) = open_reveal(&frame, 1, self.x.curve(), &self.z, id)?;
        // v' = HMAC(L.x, [MAC-Responder |] B'.x | X.x | Y'.x), L = x · B'.
        let l_x = self.x.agree_x(&b)?;
        let address = self.binding.responder_address();
        let right = tag(&l_x, address, &b, self.x.public(), &self.y);
        check_tag(&claimed, &right)?;
        tries.forgive();
        Ok(BootstrappingPublicKey::new(b))
    }
}
