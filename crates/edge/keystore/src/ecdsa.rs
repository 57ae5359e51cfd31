//! From the forms that hardware speaks (curve point, fixed-width r and s) to those of X.509.

use vouchsafe_trust::PublicKey;

use crate::Algorithm;

/// `SubjectPublicKeyInfo` up to the point (RFC 5480 §2).
const P256_SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const P384_SPKI_PREFIX: [u8; 23] = [
    0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b,
    0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
];

/// Length of a coordinate in bytes; `None` for what is not ECDSA.
pub(crate) fn coordinate_bytes(algorithm: Algorithm) -> Option<usize> {
    match algorithm {
        Algorithm::EcdsaP256 => Some(32),
        Algorithm::EcdsaP384 => Some(48),
        Algorithm::Ed25519 => None,
    }
}

/// The public key for an uncompressed point (SEC 1 §2.3.3).
pub(crate) fn public_key(algorithm: Algorithm, point: &[u8]) -> Option<PublicKey> {
    let coordinate = coordinate_bytes(algorithm)?;
    if point.len() != 1 + 2 * coordinate || point.first() != Some(&4) {
        return None;
    }
    let mut spki = match algorithm {
        Algorithm::EcdsaP256 => P256_SPKI_PREFIX.to_vec(),
        Algorithm::EcdsaP384 => P384_SPKI_PREFIX.to_vec(),
        Algorithm::Ed25519 => return None,
    };
    spki.extend_from_slice(point);
    PublicKey::from_spki_der(&spki).ok()
}

/// `Ecdsa-Sig-Value` (RFC 3279 §2.2.3) from r and s, big-endian and of any width up to 66 bytes.
pub(crate) fn signature_der(r: &[u8], s: &[u8]) -> Option<Vec<u8>> {
    let mut integers = integer(r)?;
    integers.extend(integer(s)?);
    let mut der = vec![0x30];
    match u8::try_from(integers.len()).ok()? {
        length @ 0..=127 => der.push(length),
        length => der.extend([0x81, length]),
    }
    der.extend(integers);
    Some(der)
}

fn integer(value: &[u8]) -> Option<Vec<u8>> {
    let zeros = value.iter().take_while(|byte| **byte == 0).count();
    let digits = value.get(zeros..)?;
    // Neither r nor s of a signature is zero.
    let first = *digits.first()?;
    let padding = usize::from(first >= 0x80);
    let length = u8::try_from(digits.len() + padding)
        .ok()
        .filter(|length| *length <= 67)?;
    let mut der = vec![0x02, length];
    der.resize(2 + padding, 0);
    der.extend_from_slice(digits);
    Some(der)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_minimal_and_positive() {
        assert_eq!(
            signature_der(&[0, 0, 0x80], &[0, 1]).unwrap(),
            [0x30, 7, 0x02, 2, 0, 0x80, 0x02, 1, 1]
        );
        let long = signature_der(&[0xff; 66], &[0x7f; 66]).unwrap();
        assert_eq!(long[..5], [0x30, 0x81, 137, 0x02, 67]);
        assert_eq!(signature_der(&[0, 0], &[1]), None);
        assert_eq!(signature_der(&[], &[1]), None);
        assert_eq!(signature_der(&[1; 68], &[1]), None);
    }

    #[test]
    fn a_point_of_another_curve_or_compressed_is_refused() {
        assert!(public_key(Algorithm::EcdsaP256, &[4; 97]).is_none());
        assert!(public_key(Algorithm::EcdsaP256, &[2; 33]).is_none());
        assert!(public_key(Algorithm::Ed25519, &[4; 65]).is_none());
    }
}
