//! Randomness, for programs that cannot go on without it.

/// `N` random bytes. A system without entropy cannot run at all, so there is no error to handle:
/// the process ends.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        tracing::error!("the system gives no randomness");
        std::process::abort();
    }
    bytes
}

/// A certificate's serial number: 128 random bits, the first cleared so that it stays positive and
/// the second set so that it is never zero and always 16 octets (RFC 5280 §4.1.2.2).
#[must_use]
pub fn serial() -> [u8; 16] {
    let mut bytes: [u8; 16] = bytes();
    bytes[0] = bytes[0] & 0x7f | 0x40;
    bytes
}
