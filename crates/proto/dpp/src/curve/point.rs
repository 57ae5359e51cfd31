//! Points, checked once and kept as the octets that messages carry.

use p256::elliptic_curve::sec1::{FromSec1Point, ModulusSize, ToSec1Point};
use p256::elliptic_curve::{
    AffinePoint, CurveAffine, CurveArithmetic, FieldBytesSize, ProjectivePoint,
};

use super::{Curve, on_curve};
use crate::error::{Error, Malformed, Refusal, Unsupported};

/// A point on a curve, never the point at infinity. Made only by a check that it lies there.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Point {
    curve: Curve,
    /// 4, x, y: the uncompressed form of SEC 1 §2.3.3.
    uncompressed: Box<[u8]>,
}

impl Point {
    /// Reads x|y as messages carry it, without the leading 4 (Wi-Fi Easy Connect 3.0 §8.1.1.4).
    ///
    /// Refuses the wrong length, coordinates beyond the field and points off the curve.
    pub fn from_raw_xy(curve: Curve, raw: &[u8]) -> Result<Self, Error> {
        if !curve.is_available() {
            return Err(Unsupported::Curve.into());
        }
        if raw.len() != 2 * curve.coordinate_length() {
            return Err(Malformed::Point.into());
        }
        let mut uncompressed = Vec::with_capacity(raw.len() + 1);
        uncompressed.push(4);
        uncompressed.extend_from_slice(raw);
        Self::from_sec1(curve, &uncompressed)
    }

    /// Reads a compressed or uncompressed point (SEC 1 §2.3.4).
    pub fn from_sec1(curve: Curve, encoded: &[u8]) -> Result<Self, Error> {
        let length = curve.coordinate_length();
        match encoded {
            [4, rest @ ..] if rest.len() == 2 * length => {}
            [2 | 3, rest @ ..] if rest.len() == length => {}
            _ => return Err(Malformed::Point.into()),
        }
        on_curve!(curve, C => decode::<C>(encoded).and_then(|point| encode::<C>(curve, point)))
    }

    /// The generator of the curve's group.
    pub fn generator(curve: Curve) -> Result<Self, Error> {
        on_curve!(curve, C => encode::<C>(curve, AffinePoint::<C>::generator()))
    }

    /// Takes over the uncompressed form that a library has just computed.
    pub(super) fn from_computed(curve: Curve, uncompressed: &[u8]) -> Self {
        Self {
            curve,
            uncompressed: uncompressed.into(),
        }
    }

    /// Whose point it is.
    #[must_use]
    pub fn curve(&self) -> Curve {
        self.curve
    }

    /// x|y without the leading 4: twice the coordinate's length.
    #[must_use]
    pub fn raw_xy(&self) -> &[u8] {
        self.uncompressed.get(1..).unwrap_or_default()
    }

    /// The x coordinate, big-endian, in the curve's full length.
    #[must_use]
    pub fn x(&self) -> &[u8] {
        self.raw_xy()
            .get(..self.curve.coordinate_length())
            .unwrap_or_default()
    }

    /// The y coordinate, big-endian, in the curve's full length.
    #[must_use]
    pub fn y(&self) -> &[u8] {
        self.raw_xy()
            .get(self.curve.coordinate_length()..)
            .unwrap_or_default()
    }

    /// 4|x|y (SEC 1 §2.3.3).
    #[must_use]
    pub fn to_uncompressed(&self) -> &[u8] {
        &self.uncompressed
    }

    /// 2 or 3, then x (SEC 1 §2.3.3).
    #[must_use]
    pub fn to_compressed(&self) -> Vec<u8> {
        let odd = self.y().last().is_some_and(|last| last & 1 == 1);
        let mut out = Vec::with_capacity(1 + self.curve.coordinate_length());
        out.push(if odd { 3 } else { 2 });
        out.extend_from_slice(self.x());
        out
    }

    /// The two points with this x coordinate, the one with even y first; off the curve there is none.
    pub fn both_with_x(curve: Curve, x: &[u8]) -> Result<[Self; 2], Error> {
        let mut encoded = Vec::with_capacity(1 + x.len());
        encoded.push(2);
        encoded.extend_from_slice(x);
        let even = Self::from_sec1(curve, &encoded)?;
        if let Some(tag) = encoded.first_mut() {
            *tag = 3;
        }
        let odd = Self::from_sec1(curve, &encoded)?;
        Ok([even, odd])
    }

    /// The sum; refuses another curve's point and the sum at infinity.
    pub fn add(&self, other: &Self) -> Result<Self, Error> {
        if self.curve != other.curve {
            return Err(Refusal::CurveMismatch.into());
        }
        on_curve!(self.curve, C => {
            let sum = ProjectivePoint::<C>::from(self.decoded::<C>()?)
                + ProjectivePoint::<C>::from(other.decoded::<C>()?);
            encode::<C>(self.curve, sum.to_affine())
        })
    }

    /// The point with the opposite sign of y.
    pub fn negate(&self) -> Result<Self, Error> {
        on_curve!(self.curve, C => {
            let negative = -ProjectivePoint::<C>::from(self.decoded::<C>()?);
            encode::<C>(self.curve, negative.to_affine())
        })
    }

    /// The difference; refuses another curve's point and the difference of equal points.
    pub fn subtract(&self, other: &Self) -> Result<Self, Error> {
        self.add(&other.negate()?)
    }

    /// The same point for the arithmetic of `C`, which is that of [`Self::curve`].
    pub(super) fn decoded<C>(&self) -> Result<AffinePoint<C>, Error>
    where
        C: CurveArithmetic,
        AffinePoint<C>: FromSec1Point<C>,
        FieldBytesSize<C>: ModulusSize,
    {
        decode::<C>(&self.uncompressed)
    }
}

/// Reads a point: what is not on the curve is refused here.
fn decode<C>(encoded: &[u8]) -> Result<AffinePoint<C>, Error>
where
    C: CurveArithmetic,
    AffinePoint<C>: FromSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
{
    AffinePoint::<C>::from_sec1_bytes(encoded).map_err(|_| Refusal::PointOffCurve.into())
}

/// Writes a computed point; refuses the point at infinity.
pub(super) fn encode<C>(curve: Curve, point: AffinePoint<C>) -> Result<Point, Error>
where
    C: CurveArithmetic,
    AffinePoint<C>: ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
{
    if bool::from(CurveAffine::is_identity(&point)) {
        return Err(Refusal::PointAtInfinity.into());
    }
    Ok(Point::from_computed(
        curve,
        point.to_sec1_point(false).as_bytes(),
    ))
}

impl std::fmt::Debug for Point {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Point({}, ", self.curve)?;
        for octet in self.x().iter().take(8) {
            write!(f, "{octet:02x}")?;
        }
        f.write_str(")")
    }
}
