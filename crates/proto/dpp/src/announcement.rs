//! Announcements: how a device that nobody has called yet makes itself heard.
//!
//! * A presence announcement (Wi-Fi Easy Connect 3.0 §6.2.1) says "somebody who knows my
//!   bootstrapping key may configure me". It names the key by a hash that only those who know it
//!   can recognise.
//! * A reconfiguration announcement (§6.5.2) says "the configurator with this C-sign key may
//!   configure me anew". Who is speaking is hidden under the configurator's privacy key, with a fresh
//!   mask in every frame, so that a listener cannot follow a device.
//!
//! Both are claims by anybody. [`crate::opening::Opening`] reads them where they come first.

use crate::attribute::{AttributeId, put};
use crate::connector::CSignPublicKey;
use crate::curve::{BootstrappingPublicKey, Curve, Point, PrivateKey};
use crate::error::{Error, Refusal, Unsupported};
use crate::frame::{Frame, FrameType, begin};

/// A presence announcement of the device with this key.
///
/// # Errors
/// None that the key's hash could cause.
pub fn presence(key: &BootstrappingPublicKey) -> Result<Vec<u8>, Error> {
    let mut frame = begin(FrameType::PresenceAnnouncement);
    let hash = AttributeId::ResponderBootstrappingKeyHash;
    put(&mut frame, hash, key.chirp_hash())?;
    Ok(frame)
}

/// Who a device is to its configurator: a random point that it keeps for as long as it wants to be
/// recognised (E-id, §6.5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolleeIdentity(Point);

impl EnrolleeIdentity {
    /// A new identity on the C-sign key's curve, from [`Curve::seed_length`] random octets.
    ///
    /// # Errors
    /// [`crate::Misuse::Entropy`] for too few.
    pub fn from_seed(curve: Curve, seed: &[u8]) -> Result<Self, Error> {
        Ok(Self(PrivateKey::from_seed(curve, seed)?.public().clone()))
    }

    /// The identity at `point`, as it was stored.
    pub fn new(point: Point) -> Self {
        Self(point)
    }

    /// The point.
    pub fn point(&self) -> &Point {
        &self.0
    }
}

/// A reconfiguration announcement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReconfigurationAnnouncement {
    /// SHA-256 of the C-sign key, uncompressed: [`CSignPublicKey::hash`].
    pub c_sign_key_hash: [u8; 32],
    /// The curve of the device's netAccessKey.
    pub curve: Curve,
    a_nonce: Vec<u8>,
    e_prime_id: Vec<u8>,
}

impl ReconfigurationAnnouncement {
    /// Announces the device of this identity. `seed` is [`Curve::seed_length`] random octets, drawn
    /// anew for every frame: with the same mask twice, a listener would know the device again.
    ///
    /// # Errors
    /// [`crate::Misuse::Entropy`]; [`Refusal::CurveMismatch`] for an identity that is not on the
    /// privacy key's curve.
    pub fn new(
        c_sign: &CSignPublicKey,
        privacy_key: &Point,
        identity: &EnrolleeIdentity,
        net_access_key_curve: Curve,
        seed: &[u8],
    ) -> Result<Self, Error> {
        // E'-id = E-id + a · P, A-NONCE = a · G.
        let mask = PrivateKey::from_seed(privacy_key.curve(), seed)?;
        let hidden = identity.0.add(&mask.multiply(privacy_key)?)?;
        Ok(Self {
            c_sign_key_hash: c_sign.hash(),
            curve: net_access_key_curve,
            a_nonce: mask.public().raw_xy().to_vec(),
            e_prime_id: hidden.raw_xy().to_vec(),
        })
    }

    /// Reads a frame. The points are checked when they are used, since their curve is the C-sign
    /// key's, which only its configurator knows.
    ///
    /// # Errors
    /// [`crate::Malformed`], [`Error::Attribute`], [`Unsupported::CurveUnknown`].
    pub fn read(frame: &[u8]) -> Result<Self, Error> {
        let frame = Frame::expect(frame, FrameType::ReconfigurationAnnouncement)?;
        let attributes = frame.attributes();
        let group = attributes.require_array(AttributeId::FiniteCyclicGroup)?;
        Ok(Self {
            c_sign_key_hash: attributes.require_array(AttributeId::CSignKeyHash)?,
            curve: Curve::from_ike_group(u16::from_le_bytes(group))
                .ok_or(Unsupported::CurveUnknown)?,
            a_nonce: attributes.require(AttributeId::ANonce)?.to_vec(),
            e_prime_id: attributes.require(AttributeId::EPrimeId)?.to_vec(),
        })
    }

    /// The frame.
    ///
    /// # Errors
    /// None that its contents could cause.
    pub fn write(&self) -> Result<Vec<u8>, Error> {
        let mut frame = begin(FrameType::ReconfigurationAnnouncement);
        put(&mut frame, AttributeId::CSignKeyHash, &self.c_sign_key_hash)?;
        let group = self.curve.ike_group().to_le_bytes();
        put(&mut frame, AttributeId::FiniteCyclicGroup, &group)?;
        put(&mut frame, AttributeId::ANonce, &self.a_nonce)?;
        put(&mut frame, AttributeId::EPrimeId, &self.e_prime_id)?;
        Ok(frame)
    }

    /// The configurator's look behind the mask: the same device always shows the same identity. It
    /// authenticates nobody, since anybody who knows the C-sign key can make up another one.
    ///
    /// # Errors
    /// [`Refusal::CSignKey`] for an announcement to another configurator; [`Refusal::PointOffCurve`] and
    /// the like for points that are none.
    pub fn reveal(
        &self,
        c_sign: &CSignPublicKey,
        privacy_key: &PrivateKey,
    ) -> Result<EnrolleeIdentity, Error> {
        if self.c_sign_key_hash != c_sign.hash() {
            return Err(Refusal::CSignKey.into());
        }
        let curve = privacy_key.curve();
        let a_nonce = Point::from_raw_xy(curve, &self.a_nonce)?;
        let hidden = Point::from_raw_xy(curve, &self.e_prime_id)?;
        // E-id = E'-id - p · A-NONCE.
        let mask = privacy_key.multiply(&a_nonce)?;
        Ok(EnrolleeIdentity(hidden.subtract(&mask)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::opening::Opening;

    fn key(curve: Curve, seed: u8) -> PrivateKey {
        PrivateKey::from_seed(curve, &vec![seed; curve.seed_length()]).unwrap()
    }

    fn announce(curve: Curve, mask: u8) -> ReconfigurationAnnouncement {
        let c_sign = CSignPublicKey::new(key(curve, 1).public().clone());
        let identity = EnrolleeIdentity::from_seed(curve, &vec![3; curve.seed_length()]).unwrap();
        ReconfigurationAnnouncement::new(
            &c_sign,
            key(curve, 2).public(),
            &identity,
            Curve::P256,
            &vec![mask; curve.seed_length()],
        )
        .unwrap()
    }

    #[test]
    fn a_presence_announcement_names_the_key_by_its_chirp_hash() {
        let key = BootstrappingPublicKey::new(key(Curve::P256, 1).public().clone());
        let frame = presence(&key).unwrap();
        assert_eq!(frame.len(), 7 + 4 + 32);
        let Opening::PresenceAnnouncement { chirp_hash } = Opening::read(&frame).unwrap() else {
            panic!()
        };
        assert_eq!(&chirp_hash, key.chirp_hash());
    }

    /// §6.5.2: the configurator sees one device, everybody else sees two.
    #[test]
    fn the_configurator_knows_the_device_again_and_a_listener_does_not() {
        for curve in [
            Curve::P256,
            Curve::P384,
            Curve::P521,
            Curve::Bp256,
            Curve::Bp384,
        ] {
            let c_sign = CSignPublicKey::new(key(curve, 1).public().clone());
            let (first, second) = (announce(curve, 4), announce(curve, 5));
            assert_ne!(first.e_prime_id, second.e_prime_id);
            assert_ne!(first.a_nonce, second.a_nonce);
            let read = ReconfigurationAnnouncement::read(&first.write().unwrap()).unwrap();
            assert_eq!(read, first);
            let identity = read.reveal(&c_sign, &key(curve, 2)).unwrap();
            assert_eq!(identity, second.reveal(&c_sign, &key(curve, 2)).unwrap());
            assert_eq!(identity.point(), key(curve, 3).public());
        }
    }

    #[test]
    fn an_announcement_to_another_configurator_is_refused_section_6_5_2() {
        let other = CSignPublicKey::new(key(Curve::P256, 9).public().clone());
        let refused = announce(Curve::P256, 4).reveal(&other, &key(Curve::P256, 2));
        assert_eq!(refused, Err(Refusal::CSignKey.into()));
    }

    #[test]
    fn points_that_are_none_are_refused() {
        let c_sign = CSignPublicKey::new(key(Curve::P256, 1).public().clone());
        let mut altered = announce(Curve::P256, 4);
        altered.a_nonce[63] ^= 1;
        assert_eq!(
            altered.reveal(&c_sign, &key(Curve::P256, 2)),
            Err(Refusal::PointOffCurve.into())
        );
        altered.a_nonce.pop();
        assert_eq!(
            altered.reveal(&c_sign, &key(Curve::P256, 2)),
            Err(crate::Malformed::Point.into())
        );
        let unknown = announce(Curve::P256, 4).write().unwrap();
        let unknown: Vec<u8> = unknown
            .iter()
            .enumerate()
            // The group stands behind header, hash and its own head.
            .map(|(n, octet)| if n == 7 + 36 + 4 { 99 } else { *octet })
            .collect();
        assert_eq!(
            ReconfigurationAnnouncement::read(&unknown),
            Err(Unsupported::CurveUnknown.into())
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>()) {
            let mut frame = begin(FrameType::ReconfigurationAnnouncement);
            frame.extend_from_slice(&bytes);
            let _ = ReconfigurationAnnouncement::read(&frame);
        }
    }
}
