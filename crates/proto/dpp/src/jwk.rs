//! Public keys as JSON Web Keys (RFC 7517, RFC 7518 §6.2), the form in which connectors and
//! configuration objects carry them (Wi-Fi Easy Connect 3.0 §4.2.1).

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::curve::{Curve, Point};
use crate::error::{Error, Unsupported};
use crate::json::Json;

/// Reads a key and its `kid`, if it has one. The coordinates must have the curve's full length.
pub(crate) fn read(jwk: &Json) -> Result<(Point, Option<&str>), Error> {
    if jwk.text("kty")? != "EC" {
        return Err(Error::value("kty"));
    }
    let curve = Curve::from_jwk_name(jwk.text("crv")?).ok_or(Unsupported::CurveUnknown)?;
    let mut coordinates = Vec::with_capacity(2 * curve.coordinate_length());
    for name in ["x", "y"] {
        let coordinate = BASE64_URL_SAFE_NO_PAD
            .decode(jwk.text(name)?)
            .map_err(|_| Error::value(name))?;
        if coordinate.len() != curve.coordinate_length() {
            return Err(Error::value(name));
        }
        coordinates.extend_from_slice(&coordinate);
    }
    let point = Point::from_raw_xy(curve, &coordinates)?;
    Ok((point, jwk.optional_text("kid")?))
}

/// Writes a key, with a `kid` of base64url characters if one is given.
pub(crate) fn write(point: &Point, kid: Option<&str>) -> String {
    let crv = point.curve().jwk_name();
    let x = BASE64_URL_SAFE_NO_PAD.encode(point.x());
    let y = BASE64_URL_SAFE_NO_PAD.encode(point.y());
    let kid = kid.map_or_else(String::new, |kid| format!(r#","kid":"{kid}""#));
    format!(r#"{{"kty":"EC","crv":"{crv}","x":"{x}","y":"{y}"{kid}}}"#)
}
