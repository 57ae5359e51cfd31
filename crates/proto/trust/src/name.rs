//! Distinguished names (RFC 5280 §4.1.2.4): compared as bytes, printed as RFC 4514 text.

use std::fmt;

use crate::asn1::{self, Reader};
use crate::error::{IssueError, ParseError};
use crate::oid::{self, Oid};

/// Longest attribute value that we write, in octets (the longest upper bound of RFC 5280
/// appendix A.1 is 64 characters for what we write; UTF-8 may take four octets each).
const MAX_VALUE_LENGTH: usize = 256;

/// A distinguished name, kept as the bytes it was read from. Equality is equality of bytes: a
/// difference in string type or case is a different name (stricter than RFC 5280 §7.1).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name(Vec<u8>);

impl Name {
    /// A name of one attribute per relative name, in the order given (most general first).
    /// Country, serialNumber and dnQualifier become PrintableString, emailAddress and
    /// domainComponent IA5String, everything else UTF8String.
    pub fn new(attributes: &[(Oid, &str)]) -> Result<Self, IssueError> {
        for (attribute, value) in attributes {
            let fits = match string_type(attribute) {
                asn1::PRINTABLE_STRING => value.bytes().all(is_printable),
                asn1::IA5_STRING => value.is_ascii(),
                _ => true,
            };
            if !fits || value.is_empty() || value.len() > MAX_VALUE_LENGTH {
                return Err(IssueError::Name);
            }
        }
        Ok(Self(asn1::encode(asn1::SEQUENCE, |out| {
            for (attribute, value) in attributes {
                asn1::write(out, asn1::SET, |out| {
                    asn1::write(out, asn1::SEQUENCE, |out| {
                        asn1::write_oid(out, *attribute);
                        asn1::write_bytes(out, string_type(attribute), value.as_bytes());
                    });
                });
            }
        })))
    }

    /// Shorthand for a name that is one commonName.
    pub fn common(common_name: &str) -> Result<Self, IssueError> {
        Self::new(&[(oid::COMMON_NAME, common_name)])
    }

    /// Reads a Name (whole SEQUENCE, DER).
    pub fn from_der(der: &[u8]) -> Result<Self, ParseError> {
        let mut names = Reader::only(der, asn1::SEQUENCE)?;
        while !names.is_empty() {
            let mut set = names.nested(asn1::SET)?;
            if set.is_empty() {
                return Err(ParseError::Value);
            }
            while !set.is_empty() {
                let mut pair = set.sequence()?;
                pair.oid()?;
                pair.element()?;
                pair.finish()?;
            }
        }
        Ok(Self(der.to_vec()))
    }

    /// The whole SEQUENCE in DER.
    pub fn der(&self) -> &[u8] {
        &self.0
    }

    /// Whether there are no attributes.
    pub fn is_empty(&self) -> bool {
        self.attributes().next().is_none()
    }

    /// The first value of an attribute, when it is a string of a UTF-8 compatible type.
    pub fn attribute(&self, wanted: &Oid) -> Option<&str> {
        self.attributes()
            .find(|attribute| attribute.oid == *wanted)
            .and_then(|attribute| attribute.text())
    }

    fn attributes(&self) -> impl Iterator<Item = Attribute<'_>> {
        let mut names = Reader::only(&self.0, asn1::SEQUENCE).unwrap_or(Reader::new(&[]));
        let mut set = Reader::new(&[]);
        let mut first_in_set = false;
        std::iter::from_fn(move || {
            if set.is_empty() {
                set = names.nested(asn1::SET).ok()?;
                first_in_set = true;
            }
            let mut pair = set.sequence().ok()?;
            let oid = pair.oid().ok()?;
            let value = pair.element().ok()?;
            let joined = !first_in_set;
            first_in_set = false;
            Some(Attribute { oid, value, joined })
        })
    }
}

struct Attribute<'a> {
    oid: Oid,
    value: asn1::Element<'a>,
    /// Part of the same relative name as the attribute before it.
    joined: bool,
}

impl<'a> Attribute<'a> {
    fn text(&self) -> Option<&'a str> {
        match self.value.tag {
            asn1::UTF8_STRING | asn1::PRINTABLE_STRING | asn1::IA5_STRING => {
                std::str::from_utf8(self.value.body).ok()
            }
            asn1::TELETEX_STRING if self.value.body.is_ascii() => {
                std::str::from_utf8(self.value.body).ok()
            }
            _ => None,
        }
    }
}

/// RFC 4514: the last relative name first.
impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut groups: Vec<Vec<Attribute<'_>>> = Vec::new();
        for attribute in self.attributes() {
            match groups.last_mut() {
                Some(group) if attribute.joined => group.push(attribute),
                _ => groups.push(vec![attribute]),
            }
        }
        for (index, group) in groups.iter().rev().enumerate() {
            for (position, attribute) in group.iter().enumerate() {
                if position > 0 {
                    formatter.write_str("+")?;
                } else if index > 0 {
                    formatter.write_str(",")?;
                }
                write_attribute(formatter, attribute)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Name({self})")
    }
}

fn write_attribute(formatter: &mut fmt::Formatter<'_>, attribute: &Attribute<'_>) -> fmt::Result {
    let key = short_name(&attribute.oid);
    match (key, attribute.text()) {
        (Some(key), Some(text)) => {
            write!(formatter, "{key}=")?;
            let last = text.chars().count().saturating_sub(1);
            for (index, character) in text.chars().enumerate() {
                match character {
                    ',' | '+' | '"' | '\\' | '<' | '>' | ';' => write!(formatter, "\\{character}")?,
                    '#' if index == 0 => formatter.write_str("\\#")?,
                    ' ' if index == 0 || index == last => formatter.write_str("\\ ")?,
                    // Control characters would let a certificate forge lines of a log.
                    other if other.is_control() => {
                        let mut buffer = [0; 4];
                        for octet in other.encode_utf8(&mut buffer).bytes() {
                            write!(formatter, "\\{octet:02X}")?;
                        }
                    }
                    other => write!(formatter, "{other}")?,
                }
            }
            Ok(())
        }
        (key, _) => {
            match key {
                Some(key) => write!(formatter, "{key}=#")?,
                None => write!(formatter, "{}=#", attribute.oid)?,
            }
            for octet in attribute.value.raw {
                write!(formatter, "{octet:02x}")?;
            }
            Ok(())
        }
    }
}

fn short_name(oid: &Oid) -> Option<&'static str> {
    Some(match *oid {
        oid::COMMON_NAME => "CN",
        oid::SERIAL_NUMBER => "serialNumber",
        oid::COUNTRY => "C",
        oid::LOCALITY => "L",
        oid::STATE => "ST",
        oid::ORGANIZATION => "O",
        oid::ORGANIZATIONAL_UNIT => "OU",
        oid::DN_QUALIFIER => "dnQualifier",
        oid::DOMAIN_COMPONENT => "DC",
        oid::USER_ID => "UID",
        oid::EMAIL_ADDRESS => "emailAddress",
        _ => return None,
    })
}

fn string_type(oid: &Oid) -> u8 {
    match *oid {
        oid::COUNTRY | oid::SERIAL_NUMBER | oid::DN_QUALIFIER => asn1::PRINTABLE_STRING,
        oid::EMAIL_ADDRESS | oid::DOMAIN_COMPONENT => asn1::IA5_STRING,
        _ => asn1::UTF8_STRING,
    }
}

/// X.680 §41.4, table 10.
fn is_printable(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&octet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_rfc_4514_last_name_first_and_escaped() {
        let name = Name::new(&[
            (oid::COUNTRY, "DE"),
            (oid::ORGANIZATION, "A, B + \"C\""),
            (oid::COMMON_NAME, " line\nfeed "),
        ])
        .unwrap();
        assert_eq!(
            name.to_string(),
            "CN=\\ line\\0Afeed\\ ,O=A\\, B \\+ \\\"C\\\",C=DE"
        );
        assert_eq!(Name::from_der(name.der()).unwrap(), name);
        assert_eq!(name.attribute(&oid::COUNTRY), Some("DE"));
    }

    #[test]
    fn values_that_do_not_fit_their_string_type_are_refused() {
        assert_eq!(
            Name::new(&[(oid::SERIAL_NUMBER, "a_b")]).unwrap_err(),
            IssueError::Name
        );
        assert_eq!(Name::common("").unwrap_err(), IssueError::Name);
        assert_eq!(
            Name::common(&"x".repeat(257)).unwrap_err(),
            IssueError::Name
        );
    }
}
