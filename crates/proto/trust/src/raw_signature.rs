//! ECDSA signatures as JOSE and COSE write them: r and s as fixed-size numbers one behind the
//! other (RFC 7518 §3.4, RFC 9053 §2.1), where X.509 has a DER sequence.

use crate::asn1::{INTEGER, Reader, SEQUENCE, encode, write_unsigned};
use crate::error::ParseError;
use crate::key::SignatureAlgorithm;

/// The signature that [`PublicKey::verify`](crate::PublicKey::verify) takes, from the one that
/// JOSE and COSE carry. `None` when its length is not the algorithm's.
pub(crate) fn from_raw(algorithm: SignatureAlgorithm, raw: &[u8]) -> Option<Vec<u8>> {
    let Some(size) = number_len(algorithm) else {
        return Some(raw.to_vec());
    };
    let (r, s) = raw.split_at_checked(size)?;
    (s.len() == size).then(|| {
        encode(SEQUENCE, |out| {
            write_unsigned(out, r);
            write_unsigned(out, s);
        })
    })
}

/// The signature that JOSE and COSE carry, from the one that a signer made.
pub(crate) fn to_raw(
    algorithm: SignatureAlgorithm,
    signature: Vec<u8>,
) -> Result<Vec<u8>, ParseError> {
    let Some(size) = number_len(algorithm) else {
        return Ok(signature);
    };
    let mut numbers = Reader::only(&signature, SEQUENCE)?;
    let mut raw = Vec::with_capacity(2 * size);
    for _ in 0..2 {
        let number = numbers.expect(INTEGER)?;
        let number = number.strip_prefix(&[0]).unwrap_or(number);
        let padding = size.checked_sub(number.len()).ok_or(ParseError::Value)?;
        raw.resize(raw.len() + padding, 0);
        raw.extend_from_slice(number);
    }
    numbers.finish()?;
    Ok(raw)
}

/// The octets of r and of s; `None` for algorithms that have no such pair.
fn number_len(algorithm: SignatureAlgorithm) -> Option<usize> {
    match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256
        | SignatureAlgorithm::EcdsaP256Sha384
        | SignatureAlgorithm::EcdsaP256Sha512 => Some(32),
        SignatureAlgorithm::EcdsaP384Sha256
        | SignatureAlgorithm::EcdsaP384Sha384
        | SignatureAlgorithm::EcdsaP384Sha512 => Some(48),
        SignatureAlgorithm::EcdsaP521Sha256
        | SignatureAlgorithm::EcdsaP521Sha384
        | SignatureAlgorithm::EcdsaP521Sha512 => Some(66),
        SignatureAlgorithm::Ed25519
        | SignatureAlgorithm::RsaPkcs1Sha256
        | SignatureAlgorithm::RsaPkcs1Sha384
        | SignatureAlgorithm::RsaPkcs1Sha512
        | SignatureAlgorithm::RsaPssSha256
        | SignatureAlgorithm::RsaPssSha384
        | SignatureAlgorithm::RsaPssSha512 => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_high_numbers_survive_the_way_there_and_back() {
        let algorithm = SignatureAlgorithm::EcdsaP256Sha256;
        for (r, s) in [(0x01, 0xff), (0x80, 0x00), (0x7f, 0x01)] {
            let mut raw = vec![0; 64];
            (raw[0], raw[31], raw[32], raw[63]) = (r, 9, 0, s);
            let der = from_raw(algorithm, &raw).unwrap();
            assert_eq!(to_raw(algorithm, der).unwrap(), raw);
        }
        assert_eq!(from_raw(algorithm, &[1; 63]), None);
        assert_eq!(from_raw(algorithm, &[1; 65]), None);
        assert_eq!(from_raw(algorithm, &[1; 96]), None);
    }
}
