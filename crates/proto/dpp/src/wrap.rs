//! AES-SIV (RFC 5297), by which every secret of the exchange travels, deterministic and bound to what
//! is said in clear around it.

use aes_siv::KeyInit;
use aes_siv::siv::{Aes128Siv, Aes256Siv, CmacSiv};
use zeroize::Zeroizing;

use crate::error::{Error, Misuse, Refusal};

/// Octets by which wrapped data is longer than what it holds.
pub const TAG_LENGTH: usize = 16;

/// AES-SIV with two keys of 192 bits, as the curves of 384 bits need it.
type Aes192Siv = CmacSiv<aes::Aes192>;

/// Runs `$body` with `$siv` as the cipher that a key of 32, 48 or 64 octets means.
macro_rules! with_cipher {
    ($key:expr, $siv:ident => $body:expr) => {
        match $key.len() {
            32 => {
                let mut $siv = Aes128Siv::new_from_slice($key).map_err(|_| Misuse::KeyLength)?;
                $body
            }
            48 => {
                let mut $siv = Aes192Siv::new_from_slice($key).map_err(|_| Misuse::KeyLength)?;
                $body
            }
            64 => {
                let mut $siv = Aes256Siv::new_from_slice($key).map_err(|_| Misuse::KeyLength)?;
                $body
            }
            _ => return Err(Misuse::KeyLength.into()),
        }
    };
}

/// Wraps `clear` under `key` (32, 48 or 64 octets) and binds it to `associated`, each a component of
/// its own: an empty one is not the same as none.
pub fn wrap(key: &[u8], associated: &[&[u8]], clear: &[u8]) -> Result<Vec<u8>, Error> {
    with_cipher!(key, siv => siv.encrypt(associated, clear).map_err(|_| Misuse::Oversize.into()))
}

/// Opens what [`wrap`] made; refuses everything else as [`Refusal::Unwrap`].
pub fn unwrap(
    key: &[u8],
    associated: &[&[u8]],
    wrapped: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let clear =
        with_cipher!(key, siv => siv.decrypt(associated, wrapped).map_err(|_| Refusal::Unwrap));
    Ok(Zeroizing::new(clear?))
}
