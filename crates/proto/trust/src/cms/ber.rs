//! Indefinite-length BER, as streaming signers write it, rewritten to definite lengths.
//!
//! Only what streaming needs is rewritten: elements of indefinite length, and octet strings cut into chunks
//! inside them. Elements of definite length are copied byte for byte, so certificates and signed attributes
//! stay what was signed, and the DER reader behind refuses whatever else is not DER.

use crate::asn1::{OCTET_STRING, Reader, write_bytes};
use crate::error::ParseError;

/// How deep indefinite lengths may nest; a streamed `SignedData` has six.
const MAX_DEPTH: usize = 8;

const INDEFINITE: u8 = 0x80;
const CONSTRUCTED_OCTET_STRING: u8 = 0x24;
const END_OF_CONTENTS: [u8; 2] = [0, 0];

/// Whether the message is one for [`to_definite`].
pub(super) fn is_indefinite(message: &[u8]) -> bool {
    message.get(1) == Some(&INDEFINITE)
}

/// The same message with definite lengths. Four bytes of frame become at most six, so the result is
/// hardly larger than `message`.
pub(super) fn to_definite(message: &[u8]) -> Result<Vec<u8>, ParseError> {
    let mut out = Vec::with_capacity(message.len());
    let rest = rewrite(message, 0, &mut out)?;
    if rest.is_empty() {
        Ok(out)
    } else {
        Err(ParseError::TrailingData)
    }
}

fn rewrite<'a>(input: &'a [u8], depth: usize, out: &mut Vec<u8>) -> Result<&'a [u8], ParseError> {
    let (tag, mut body) = match input {
        [tag, INDEFINITE, body @ ..] => (*tag, body),
        _ => {
            let element = Reader::new(input).element()?.raw;
            out.extend_from_slice(element);
            return Ok(behind(input, element));
        }
    };
    if depth == MAX_DEPTH || tag & 0x20 == 0 {
        return Err(ParseError::Length);
    }
    let mut value = Vec::new();
    loop {
        if let Some(rest) = body.strip_prefix(&END_OF_CONTENTS) {
            let tag = if tag == CONSTRUCTED_OCTET_STRING {
                OCTET_STRING
            } else {
                tag
            };
            write_bytes(out, tag, &value);
            return Ok(rest);
        }
        if tag == CONSTRUCTED_OCTET_STRING {
            let chunk = Reader::new(body).expect_element(OCTET_STRING)?;
            value.extend_from_slice(chunk.body);
            body = behind(body, chunk.raw);
        } else {
            body = rewrite(body, depth + 1, &mut value)?;
        }
    }
}

fn behind<'a>(input: &'a [u8], element: &[u8]) -> &'a [u8] {
    input.get(element.len()..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_joined_and_definite_elements_are_kept() {
        let streamed = [
            0x30, 0x80, 0x24, 0x80, 4, 1, b'a', 4, 2, b'b', b'c', 0, 0, 2, 1, 5, 0, 0,
        ];
        assert_eq!(
            to_definite(&streamed).unwrap(),
            [0x30, 8, 4, 3, b'a', b'b', b'c', 2, 1, 5]
        );
    }

    #[test]
    fn nesting_truncation_and_trailing_bytes_are_refused() {
        let deep = [0x30, 0x80].repeat(10_000);
        assert_eq!(to_definite(&deep), Err(ParseError::Length));
        let streamed = [0x30, 0x80, 2, 1, 5, 0, 0];
        for end in 2..streamed.len() {
            assert!(to_definite(&streamed[..end]).is_err());
        }
        assert_eq!(
            to_definite(&[0x30, 0x80, 0, 0, 9]),
            Err(ParseError::TrailingData)
        );
        assert_eq!(to_definite(&[4, 0x80, 0, 0]), Err(ParseError::Length));
    }
}
