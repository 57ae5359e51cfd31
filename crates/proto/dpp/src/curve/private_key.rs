//! Private keys in memory: protocol keys, and bootstrapping keys that live in no device.

use std::sync::Arc;

use aws_lc_rs::agreement;
use aws_lc_rs::encoding::{AsBigEndian, EcPrivateKeyBin};
use p256::elliptic_curve::point::AffineCoordinates;
use p256::elliptic_curve::sec1::{FromSec1Point, ModulusSize, ToSec1Point};
use p256::elliptic_curve::{
    AffinePoint, CurveArithmetic, CurveGroup, Field, FieldBytes, FieldBytesSize, Group, PrimeField,
    ProjectivePoint, Scalar,
};
use subtle::ConstantTimeEq;
use vouchsafe_trust::Secret;
use zeroize::{Zeroize, Zeroizing};

use super::point::encode;
use super::{Curve, Point, on_curve};
use crate::error::{Error, Malformed, Misuse, Refusal, Unsupported};

/// A private key of one curve: wiped when dropped, never printed.
#[derive(Clone)]
pub struct PrivateKey {
    /// Big-endian, in the curve's full length.
    scalar: Secret,
    public: Point,
    /// The same key for the fast agreement, on the curves that have one. To read it is to multiply
    /// twice, so copies share it.
    fast: Option<Arc<agreement::PrivateKey>>,
}

impl PrivateKey {
    /// Makes a key of random octets, at least [`Curve::seed_length`] of them, which the caller draws
    /// from its entropy and uses once (FIPS 186-5 §A.2.1).
    pub fn from_seed(curve: Curve, seed: &[u8]) -> Result<Self, Error> {
        if seed.len() < curve.seed_length() {
            return Err(Misuse::Entropy.into());
        }
        let scalar = on_curve!(curve, C => Ok(reduce::<C>(seed)))?;
        Self::from_scalar(curve, scalar).map_err(|_| Misuse::Entropy.into())
    }

    /// Takes a stored key: one big-endian number of the coordinate's length, from 1 to the order
    /// less 1.
    pub fn from_bytes(curve: Curve, bytes: &[u8]) -> Result<Self, Error> {
        if !curve.is_available() {
            return Err(Unsupported::Curve.into());
        }
        if bytes.len() != curve.coordinate_length() {
            return Err(Malformed::PrivateKey.into());
        }
        Self::from_scalar(curve, Secret::new(bytes.to_vec()))
    }

    /// Takes a key that the library of the fast agreement has made, at half the cost of
    /// [`Self::from_seed`], which has it computed and checked again.
    ///
    /// # Errors
    /// [`Unsupported::CurveUnknown`] for X25519, which is on no curve of this protocol.
    pub fn from_agreement_key(key: agreement::PrivateKey) -> Result<Self, Error> {
        let curve = Curve::of_agreement(key.algorithm()).ok_or(Unsupported::CurveUnknown)?;
        let malformed = |_| Error::from(Malformed::PrivateKey);
        let public = key.compute_public_key().map_err(malformed)?;
        let scalar: EcPrivateKeyBin<'_> = key.as_be_bytes().map_err(malformed)?;
        Ok(Self {
            scalar: Secret::new(scalar.as_ref().to_vec()),
            public: Point::from_computed(curve, public.as_ref()),
            fast: Some(Arc::new(key)),
        })
    }

    fn from_scalar(curve: Curve, scalar: Secret) -> Result<Self, Error> {
        let malformed = || Error::from(Malformed::PrivateKey);
        let (public, fast) = match curve.fast_agreement() {
            Some(algorithm) => {
                let key = agreement::PrivateKey::from_private_key(algorithm, scalar.expose())
                    .map_err(|_| malformed())?;
                let public = key.compute_public_key().map_err(|_| malformed())?;
                (
                    Point::from_computed(curve, public.as_ref()),
                    Some(Arc::new(key)),
                )
            }
            None => {
                let public = on_curve!(curve, C => {
                    let mut value = parse::<C>(scalar.expose())?;
                    let public = ProjectivePoint::<C>::mul_by_generator(&value).to_affine();
                    value.zeroize();
                    encode::<C>(curve, public)
                })?;
                (public, None)
            }
        };
        Ok(Self {
            scalar,
            public,
            fast,
        })
    }

    /// The same key without what makes agreement fast, which takes more room than all the rest of a session
    /// that waits. It agrees by the slow way from then on.
    pub(crate) fn put_by(self) -> Self {
        Self { fast: None, ..self }
    }

    /// Whose key it is.
    #[must_use]
    pub fn curve(&self) -> Curve {
        self.public.curve()
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &Point {
        &self.public
    }

    /// The key as one big-endian number of the coordinate's length, for storage under seal.
    #[must_use]
    pub fn to_bytes(&self) -> Secret {
        self.scalar.clone()
    }

    /// The x coordinate of this key times `peer`: Diffie-Hellman, on the NIST curves by the fast way.
    pub fn agree_x(&self, peer: &Point) -> Result<Secret, Error> {
        self.check_curve(peer)?;
        if let Some(key) = &self.fast {
            return agree_fast(key, peer);
        }
        on_curve!(self.curve(), C => {
            let mut product = multiply::<C>(self.scalar.expose(), peer)?;
            let x = AffineCoordinates::x(&product);
            product.zeroize();
            Ok(Secret::new(x.to_vec()))
        })
    }

    /// This key times `peer`, as a point.
    pub fn multiply(&self, peer: &Point) -> Result<Point, Error> {
        self.check_curve(peer)?;
        on_curve!(self.curve(), C => {
            encode::<C>(self.curve(), multiply::<C>(self.scalar.expose(), peer)?)
        })
    }

    /// The key that is the sum of this one and `other`, modulo the group's order.
    pub fn add_scalar(&self, other: &Self) -> Result<Self, Error> {
        let sum = self.sum(other)?;
        Self::from_scalar(self.curve(), sum).map_err(|_| Refusal::PointAtInfinity.into())
    }

    /// The x coordinate of the sum of this key and `other`, times `peer`. The public half of the sum is
    /// asked for nowhere, so on the NIST curves it is not worked out.
    pub(crate) fn agree_x_with_sum(&self, other: &Self, peer: &Point) -> Result<Secret, Error> {
        let Some(algorithm) = self.curve().fast_agreement() else {
            return self.add_scalar(other)?.agree_x(peer);
        };
        self.check_curve(peer)?;
        let sum = self.sum(other)?;
        let key = agreement::PrivateKey::from_private_key(algorithm, sum.expose())
            .map_err(|_| Error::from(Refusal::PointAtInfinity))?;
        agree_fast(&key, peer)
    }

    fn sum(&self, other: &Self) -> Result<Secret, Error> {
        self.check_curve(other.public())?;
        on_curve!(self.curve(), C => {
            let mut one = parse::<C>(self.scalar.expose())?;
            let mut two = parse::<C>(other.scalar.expose())?;
            let mut sum = one + two;
            let bytes: FieldBytes<C> = sum.into();
            one.zeroize();
            two.zeroize();
            sum.zeroize();
            Ok::<_, Error>(Secret::new(bytes.to_vec()))
        })
    }

    /// ECPrivateKey with curve and public key, DER (RFC 5915 §3): the form that supplicants take.
    #[must_use]
    pub fn to_sec1_der(&self) -> Secret {
        Secret::new(self.ec_private_key(true).to_vec())
    }

    /// PrivateKeyInfo, DER (RFC 5958 §2).
    #[must_use]
    pub fn to_pkcs8_der(&self) -> Secret {
        let mut algorithm = ID_EC_PUBLIC_KEY.to_vec();
        algorithm.extend_from_slice(self.curve().object_identifier());
        let mut body = Zeroizing::new(vec![2, 1, 0]);
        body.extend_from_slice(&tagged(0x30, &algorithm));
        body.extend_from_slice(&tagged(4, &self.ec_private_key(false)));
        Secret::new(tagged(0x30, &body).to_vec())
    }

    fn ec_private_key(&self, with_curve: bool) -> Zeroizing<Vec<u8>> {
        let mut body = Zeroizing::new(vec![2, 1, 1]);
        body.extend_from_slice(&tagged(4, self.scalar.expose()));
        if with_curve {
            body.extend_from_slice(&tagged(0xa0, self.curve().object_identifier()));
        }
        let mut bits = vec![0];
        bits.extend_from_slice(self.public.to_uncompressed());
        body.extend_from_slice(&tagged(0xa1, &tagged(3, &bits)));
        tagged(0x30, &body)
    }

    fn check_curve(&self, peer: &Point) -> Result<(), Error> {
        if peer.curve() == self.curve() {
            Ok(())
        } else {
            Err(Refusal::CurveMismatch.into())
        }
    }
}

impl PartialEq for PrivateKey {
    fn eq(&self, other: &Self) -> bool {
        self.curve() == other.curve()
            && bool::from(self.scalar.expose().ct_eq(other.scalar.expose()))
    }
}

impl Eq for PrivateKey {}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrivateKey")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

/// The object identifier id-ecPublicKey, tag and length included (RFC 5480 §2.1.1).
pub(super) const ID_EC_PUBLIC_KEY: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];

/// One DER element of at most 65,535 octets.
pub(super) fn tagged(tag: u8, content: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(content.len() + 4));
    let [high, low] = u16::try_from(content.len())
        .unwrap_or(u16::MAX)
        .to_be_bytes();
    match (high, low) {
        (0, 0..=0x7f) => out.extend_from_slice(&[tag, low]),
        (0, _) => out.extend_from_slice(&[tag, 0x81, low]),
        _ => out.extend_from_slice(&[tag, 0x82, high, low]),
    }
    out.extend_from_slice(content);
    out
}

/// The x coordinate of `key` times `peer`, which are on the same curve; the library checks the point
/// again.
fn agree_fast(key: &agreement::PrivateKey, peer: &Point) -> Result<Secret, Error> {
    let peer = agreement::UnparsedPublicKey::new(key.algorithm(), peer.to_uncompressed());
    let off_curve = Error::from(Refusal::PointOffCurve);
    agreement::agree(key, peer, off_curve, |x| Ok(Secret::new(x.to_vec())))
}

/// A wide big-endian number modulo the group's order, 64 bits at a time.
fn reduce<C: CurveArithmetic>(seed: &[u8]) -> Secret {
    let mut shift = Scalar::<C>::from(u64::from(u32::MAX));
    shift += Scalar::<C>::ONE;
    let shift = shift.square();
    let mut value = Scalar::<C>::ZERO;
    // From the front, the first word being the short one.
    for chunk in seed.rchunks(8).rev() {
        let mut word = [0; 8];
        for (to, from) in word.iter_mut().rev().zip(chunk.iter().rev()) {
            *to = *from;
        }
        value = value * shift + Scalar::<C>::from(u64::from_be_bytes(word));
        word.zeroize();
    }
    let bytes: FieldBytes<C> = value.into();
    value.zeroize();
    Secret::new(bytes.to_vec())
}

fn parse<C: CurveArithmetic>(bytes: &[u8]) -> Result<Scalar<C>, Error> {
    let malformed = || Error::from(Malformed::PrivateKey);
    let bytes = FieldBytes::<C>::try_from(bytes).map_err(|_| malformed())?;
    let scalar = Scalar::<C>::from_repr(bytes).into_option();
    scalar
        .filter(|scalar| !bool::from(scalar.is_zero()))
        .ok_or_else(malformed)
}

fn multiply<C>(scalar: &[u8], peer: &Point) -> Result<AffinePoint<C>, Error>
where
    C: CurveArithmetic,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
{
    let mut scalar = parse::<C>(scalar)?;
    let product = ProjectivePoint::<C>::from(peer.decoded::<C>()?) * scalar;
    scalar.zeroize();
    Ok(product.to_affine())
}
