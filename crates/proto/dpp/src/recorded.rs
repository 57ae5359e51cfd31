//! Exchanges recorded between programs of others, as lines of a name and hexadecimal digits.

use crate::curve::{Curve, PrivateKey};

/// The octets of one name.
pub(crate) fn octets(recording: &str, name: &str) -> Vec<u8> {
    let line = recording
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    hex::decode(line.unwrap()).unwrap()
}

/// The private key on P-256 of one name.
pub(crate) fn key(recording: &str, name: &str) -> PrivateKey {
    PrivateKey::from_bytes(Curve::P256, &octets(recording, name)).unwrap()
}
