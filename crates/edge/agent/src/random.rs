//! The one source of randomness of this crate.

use crate::error::LocalError;

/// `N` random bytes.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], LocalError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| vouchsafe_keystore::Error::Random)?;
    Ok(bytes)
}
