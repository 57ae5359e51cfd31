//! Distinguished Encoding Rules (X.690 §10), the part that certificates need: a reader that borrows
//! and keeps the raw bytes of every element, and a writer that fills one buffer.
//!
//! Signatures cover bytes, so nothing here re-encodes what was read. The reader accepts definite,
//! minimal lengths and tag numbers below 31 only; nesting is the caller's, so it cannot recurse.

use const_oid::ObjectIdentifier;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::error::ParseError;

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const OID: u8 = 0x06;
pub(crate) const ENUMERATED: u8 = 0x0a;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const PRINTABLE_STRING: u8 = 0x13;
pub(crate) const TELETEX_STRING: u8 = 0x14;
pub(crate) const IA5_STRING: u8 = 0x16;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// Context-specific, primitive tag `[n]`.
pub(crate) const fn context(number: u8) -> u8 {
    0x80 | number
}

/// Context-specific, constructed tag `[n]`.
pub(crate) const fn context_constructed(number: u8) -> u8 {
    0xa0 | number
}

/// One tag-length-value element.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    /// The contents octets.
    pub(crate) body: &'a [u8],
    /// Tag, length and contents.
    pub(crate) raw: &'a [u8],
}

/// Reads elements off the front of a slice.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The single element that `bytes` must consist of, as a reader of its contents.
    pub(crate) fn only(bytes: &'a [u8], tag: u8) -> Result<Self, ParseError> {
        let mut outer = Self::new(bytes);
        let body = outer.expect(tag)?;
        outer.finish()?;
        Ok(Self::new(body))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn peek_tag(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub(crate) fn element(&mut self) -> Result<Element<'a>, ParseError> {
        let (&tag, after_tag) = self.rest.split_first().ok_or(ParseError::Truncated)?;
        if tag & 0x1f == 0x1f {
            return Err(ParseError::Tag);
        }
        let (&first, after_length) = after_tag.split_first().ok_or(ParseError::Truncated)?;
        let (length, contents) = if first < 0x80 {
            (usize::from(first), after_length)
        } else {
            let count = usize::from(first & 0x7f);
            // 0x80 is the indefinite form; more than four octets is beyond every limit we have.
            if count == 0 || count > 4 {
                return Err(ParseError::Length);
            }
            let (octets, contents) = after_length
                .split_at_checked(count)
                .ok_or(ParseError::Truncated)?;
            let length = octets
                .iter()
                .fold(0_usize, |sum, octet| (sum << 8) | usize::from(*octet));
            // X.690 §10.1: the minimum number of octets.
            if length < 0x80 || octets.first() == Some(&0) {
                return Err(ParseError::Length);
            }
            (length, contents)
        };
        let (body, rest) = contents
            .split_at_checked(length)
            .ok_or(ParseError::Truncated)?;
        let raw = self
            .rest
            .get(..self.rest.len() - rest.len())
            .ok_or(ParseError::Truncated)?;
        self.rest = rest;
        Ok(Element { tag, body, raw })
    }

    /// The contents of the next element, which must have this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Result<&'a [u8], ParseError> {
        Ok(self.expect_element(tag)?.body)
    }

    pub(crate) fn expect_element(&mut self, tag: u8) -> Result<Element<'a>, ParseError> {
        if self.is_empty() {
            return Err(ParseError::Truncated);
        }
        if self.peek_tag() != Some(tag) {
            return Err(ParseError::Tag);
        }
        self.element()
    }

    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, ParseError> {
        if self.peek_tag() == Some(tag) {
            self.expect(tag).map(Some)
        } else {
            Ok(None)
        }
    }

    pub(crate) fn nested(&mut self, tag: u8) -> Result<Reader<'a>, ParseError> {
        self.expect(tag).map(Reader::new)
    }

    pub(crate) fn sequence(&mut self) -> Result<Reader<'a>, ParseError> {
        self.nested(SEQUENCE)
    }

    pub(crate) fn oid(&mut self) -> Result<ObjectIdentifier, ParseError> {
        let body = self.expect(OID)?;
        ObjectIdentifier::from_bytes(body).map_err(|_| ParseError::Value)
    }

    /// A non-negative INTEGER that fits 32 bits.
    pub(crate) fn small_integer(&mut self) -> Result<u32, ParseError> {
        small_unsigned(self.expect(INTEGER)?)
    }

    /// BOOLEAN; X.690 §11.1 allows 00 and FF only.
    pub(crate) fn boolean(&mut self) -> Result<bool, ParseError> {
        match self.expect(BOOLEAN)? {
            [0x00] => Ok(false),
            [0xff] => Ok(true),
            _ => Err(ParseError::Value),
        }
    }

    /// BIT STRING whose length is a whole number of octets.
    pub(crate) fn bit_string_octets(&mut self) -> Result<&'a [u8], ParseError> {
        match self.expect(BIT_STRING)?.split_first() {
            Some((0, octets)) => Ok(octets),
            _ => Err(ParseError::Value),
        }
    }

    /// UTCTime or GeneralizedTime in the form of RFC 5280 §4.1.2.5: seconds, and `Z`.
    pub(crate) fn time(&mut self) -> Result<Timestamp, ParseError> {
        let element = self.element()?;
        match element.tag {
            UTC_TIME => {
                let (year, rest) = digits(element.body, 2)?;
                // RFC 5280 §4.1.2.5.1: 50..99 is 19xx.
                let century = if year >= 50 { 1900 } else { 2000 };
                instant(century + year, rest)
            }
            GENERALIZED_TIME => {
                let (year, rest) = digits(element.body, 4)?;
                instant(year, rest)
            }
            _ => Err(ParseError::Tag),
        }
    }

    pub(crate) fn finish(&self) -> Result<(), ParseError> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(ParseError::TrailingData)
        }
    }
}

/// The value of INTEGER or ENUMERATED contents, when it is not negative and fits 32 bits.
pub(crate) fn small_unsigned(body: &[u8]) -> Result<u32, ParseError> {
    check_integer(body)?;
    if body.first().is_some_and(|first| first & 0x80 != 0) || body.len() > 5 {
        return Err(ParseError::Value);
    }
    let value = body
        .iter()
        .fold(0_u64, |sum, octet| (sum << 8) | u64::from(*octet));
    u32::try_from(value).map_err(|_| ParseError::Value)
}

/// X.690 §8.3.2: at least one octet, and the first nine bits are not all alike.
pub(crate) fn check_integer(body: &[u8]) -> Result<(), ParseError> {
    match body {
        [] => Err(ParseError::Value),
        [0x00, second, ..] if second & 0x80 == 0 => Err(ParseError::Value),
        [0xff, second, ..] if second & 0x80 != 0 => Err(ParseError::Value),
        _ => Ok(()),
    }
}

/// Appends one element whose contents `fill` writes.
pub(crate) fn write(out: &mut Vec<u8>, tag: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    out.push(0);
    let start = out.len();
    fill(out);
    let length = out.len() - start;
    if length < 0x80 {
        if let Some(slot) = out.get_mut(start - 1) {
            *slot = u8::try_from(length).unwrap_or(0);
        }
        return;
    }
    let octets = length.to_be_bytes();
    let skip = octets.iter().take_while(|octet| **octet == 0).count();
    let significant = octets.get(skip..).unwrap_or(&octets);
    if let Some(slot) = out.get_mut(start - 1) {
        *slot = 0x80 | u8::try_from(significant.len()).unwrap_or(0);
    }
    out.splice(start..start, significant.iter().copied());
}

pub(crate) fn write_bytes(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
    write(out, tag, |out| out.extend_from_slice(body));
}

/// One element as a buffer of its own.
pub(crate) fn encode(tag: u8, fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    write(&mut out, tag, fill);
    out
}

pub(crate) fn write_oid(out: &mut Vec<u8>, oid: ObjectIdentifier) {
    write_bytes(out, OID, oid.as_bytes());
}

pub(crate) fn write_boolean(out: &mut Vec<u8>, value: bool) {
    write_bytes(out, BOOLEAN, &[if value { 0xff } else { 0x00 }]);
}

/// A non-negative INTEGER from big-endian octets of any length.
pub(crate) fn write_unsigned(out: &mut Vec<u8>, big_endian: &[u8]) {
    let skip = big_endian.iter().take_while(|octet| **octet == 0).count();
    let significant = big_endian.get(skip..).unwrap_or_default();
    write(out, INTEGER, |out| {
        if significant.first().is_none_or(|first| first & 0x80 != 0) {
            out.push(0);
        }
        out.extend_from_slice(significant);
    });
}

pub(crate) fn write_bit_string(out: &mut Vec<u8>, octets: &[u8]) {
    write(out, BIT_STRING, |out| {
        out.push(0);
        out.extend_from_slice(octets);
    });
}

/// RFC 5280 §4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050. Fractions are dropped.
/// The last second that [`Timestamp`] can hold stands for 99991231235959Z (no expiry).
pub(crate) fn write_time(out: &mut Vec<u8>, at: Timestamp) {
    let civil = TimeZone::UTC.to_datetime(at);
    if (1950..2050).contains(&civil.year()) {
        let text = format!("{:02}{}", civil.year().rem_euclid(100), clock_text(civil));
        write_bytes(out, UTC_TIME, text.as_bytes());
    } else {
        write_generalized_time(out, at);
    }
}

/// GeneralizedTime whatever the year, as OCSP wants it (RFC 6960 §4.2.2.1).
pub(crate) fn write_generalized_time(out: &mut Vec<u8>, at: Timestamp) {
    if at.as_second() >= Timestamp::MAX.as_second() {
        write_bytes(out, GENERALIZED_TIME, b"99991231235959Z");
        return;
    }
    let civil = TimeZone::UTC.to_datetime(at);
    let text = format!("{:04}{}", civil.year().max(0), clock_text(civil));
    write_bytes(out, GENERALIZED_TIME, text.as_bytes());
}

fn clock_text(civil: DateTime) -> String {
    format!(
        "{:02}{:02}{:02}{:02}{:02}Z",
        civil.month(),
        civil.day(),
        civil.hour(),
        civil.minute(),
        civil.second()
    )
}

fn digits(bytes: &[u8], count: usize) -> Result<(i16, &[u8]), ParseError> {
    let (number, rest) = bytes.split_at_checked(count).ok_or(ParseError::Value)?;
    let mut value = 0_i16;
    for octet in number {
        if !octet.is_ascii_digit() {
            return Err(ParseError::Value);
        }
        value = value * 10 + i16::from(octet - b'0');
    }
    Ok((value, rest))
}

fn instant(year: i16, rest: &[u8]) -> Result<Timestamp, ParseError> {
    let mut fields = [0_i8; 5];
    let mut rest = rest;
    for field in &mut fields {
        let (value, after) = digits(rest, 2)?;
        *field = i8::try_from(value).map_err(|_| ParseError::Value)?;
        rest = after;
    }
    if rest != b"Z" {
        return Err(ParseError::Value);
    }
    let [month, day, hour, minute, second] = fields;
    let civil =
        DateTime::new(year, month, day, hour, minute, second, 0).map_err(|_| ParseError::Value)?;
    // Timestamps end a day before the calendar does; the day in between means "no expiry" too.
    Ok(TimeZone::UTC.to_timestamp(civil).unwrap_or(Timestamp::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_are_not_minimal_or_definite_are_refused() {
        for bytes in [
            &[0x30, 0x80, 0x00, 0x00][..],
            &[0x30, 0x81, 0x00],
            &[0x30, 0x81, 0x01, 0x00],
            &[0x30, 0x82, 0x00, 0x80],
            &[0x30, 0x85, 1, 1, 1, 1, 1],
        ] {
            assert_eq!(
                Reader::new(bytes).element().unwrap_err(),
                ParseError::Length
            );
        }
        assert_eq!(
            Reader::new(&[0x1f, 0x81, 0x00]).element().unwrap_err(),
            ParseError::Tag
        );
    }

    #[test]
    fn what_is_written_reads_back_at_every_length_of_length() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let bytes = encode(OCTET_STRING, |out| out.resize(out.len() + length, 7));
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.expect(OCTET_STRING).unwrap().len(), length);
            reader.finish().unwrap();
        }
    }

    #[test]
    fn times_change_form_in_2050_and_the_year_9999_means_no_expiry() {
        let read = |text: &str| -> Timestamp { text.parse().unwrap() };
        for (instant, expected) in [
            ("2049-12-31T23:59:59Z", &b"\x17\x0d491231235959Z"[..]),
            ("2050-01-01T00:00:00Z", b"\x18\x0f20500101000000Z"),
            ("1970-01-01T00:00:00Z", b"\x17\x0d700101000000Z"),
        ] {
            let mut out = Vec::new();
            write_time(&mut out, read(instant));
            assert_eq!(out, expected);
            assert_eq!(Reader::new(&out).time().unwrap(), read(instant));
        }
        let mut out = Vec::new();
        write_time(&mut out, Timestamp::MAX);
        assert_eq!(out, b"\x18\x0f99991231235959Z");
        assert_eq!(Reader::new(&out).time().unwrap(), Timestamp::MAX);
        for bad in [
            &b"\x17\x0b4912312359Z"[..],
            b"\x17\x0d491331235959Z",
            b"\x17\x11491231235959+0100",
            b"\x18\x1020500101000000.5Z",
        ] {
            assert!(Reader::new(bad).time().is_err());
        }
    }

    #[test]
    fn integers_are_minimal_and_unsigned() {
        let mut out = Vec::new();
        write_unsigned(&mut out, &[0, 0, 0x80]);
        assert_eq!(out, [INTEGER, 2, 0, 0x80]);
        out.clear();
        write_unsigned(&mut out, &[]);
        assert_eq!(out, [INTEGER, 1, 0]);
        assert!(small_unsigned(&[0xff]).is_err());
        assert!(small_unsigned(&[0, 1]).is_err());
        assert_eq!(small_unsigned(&[0, 0xff]).unwrap(), 255);
    }
}
