//! The one source of randomness of this crate.

use vouchsafe_radius::Entropy;

use crate::error::GateError;

/// `N` random bytes.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], GateError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| GateError::Random)?;
    Ok(bytes)
}

/// What one call of the RADIUS server needs.
pub(crate) fn entropy() -> Result<Entropy, GateError> {
    bytes().map(Entropy)
}
