//! JSON as strangers send it: bounded in length, depth and number of values, no name twice.
//!
//! A name that occurs twice is refused, because two readers would take different ones for the
//! true one (RFC 8259 §4 leaves it open; a connector is signed and read by different programs).

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use zeroize::Zeroizing;

use crate::error::{Error, Malformed};

/// How deep objects and lists may be nested. The deepest of the specification is 4.
pub(crate) const MAX_DEPTH: usize = 8;

/// Most values in one document, members and elements counted.
pub(crate) const MAX_VALUES: usize = 512;

/// One value. Texts may be passphrases, so all are wiped.
#[derive(Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    /// `None` for numbers that are not whole or do not fit.
    Number(Option<i64>),
    Text(Zeroizing<String>),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// Reads one document of at most `limit` octets, with nothing behind it.
pub(crate) fn read(bytes: &[u8], limit: usize) -> Result<Json, Error> {
    if bytes.len() > limit {
        return Err(Malformed::JsonTooLarge.into());
    }
    let mut state = State {
        left: MAX_VALUES,
        reason: None,
    };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let seed = Seed {
        state: &mut state,
        depth: 0,
    };
    let value = seed
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    value.map_err(|_| state.reason.unwrap_or(Malformed::Json).into())
}

impl Json {
    /// The member of an object; `None` when absent, or when this is no object.
    pub(crate) fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) | Self::List(_) => None,
        }
    }

    /// A member that must be an object.
    pub(crate) fn object(&self, name: &'static str) -> Result<&Self, Error> {
        match self.member(name) {
            Some(value @ Self::Object(_)) => Ok(value),
            Some(_) => Err(Error::wrong_type(name)),
            None => Err(Error::missing(name)),
        }
    }

    /// A member that must be a text.
    pub(crate) fn text(&self, name: &'static str) -> Result<&str, Error> {
        self.optional_text(name)?
            .ok_or_else(|| Error::missing(name))
    }

    /// A member that is a text if it is there.
    pub(crate) fn optional_text(&self, name: &'static str) -> Result<Option<&str>, Error> {
        match self.member(name) {
            None => Ok(None),
            Some(Self::Text(text)) => Ok(Some(text)),
            Some(_) => Err(Error::wrong_type(name)),
        }
    }

    /// A member that is a whole number if it is there.
    pub(crate) fn optional_number(&self, name: &'static str) -> Result<Option<i64>, Error> {
        match self.member(name) {
            None => Ok(None),
            Some(Self::Number(Some(number))) => Ok(Some(*number)),
            Some(_) => Err(Error::wrong_type(name)),
        }
    }

    /// A member that is a list if it is there.
    pub(crate) fn optional_list(&self, name: &'static str) -> Result<Option<&[Self]>, Error> {
        match self.member(name) {
            None => Ok(None),
            Some(Self::List(values)) => Ok(Some(values)),
            Some(_) => Err(Error::wrong_type(name)),
        }
    }
}

/// Undoes an escaping that hostap applies to texts: it writes each octet of a text beyond ASCII as
/// an escape of its own, so that UTF-8 arrives as a row of characters below U+0100. A text that
/// can be read both ways is taken for such a row; the other reading would be two or more accented
/// letters that happen to spell UTF-8.
pub(crate) fn undo_octet_escapes(text: &str) -> String {
    if text.is_ascii() {
        return text.to_owned();
    }
    let octets: Option<Vec<u8>> = text
        .chars()
        .map(|character| u8::try_from(u32::from(character)).ok())
        .collect();
    octets
        .and_then(|octets| String::from_utf8(octets).ok())
        .unwrap_or_else(|| text.to_owned())
}

/// A text as JSON writes it, with its quotation marks.
pub(crate) fn quote(text: &str) -> String {
    // A text can always be written.
    serde_json::to_string(text).unwrap_or_default()
}

struct State {
    left: usize,
    reason: Option<Malformed>,
}

struct Seed<'s> {
    state: &'s mut State,
    depth: usize,
}

impl Seed<'_> {
    fn refuse<E: serde::de::Error>(self, reason: Malformed) -> E {
        self.state.reason = Some(reason);
        E::custom("refused")
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        let Some(left) = self.state.left.checked_sub(1) else {
            return Err(self.refuse(Malformed::JsonTooLarge));
        };
        self.state.left = left;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Json;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Json, E> {
        Ok(Json::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
        Ok(Json::Number(Some(number)))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Number(i64::try_from(number).ok()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Number(None))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(Zeroizing::new(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Json, A::Error> {
        let depth = self.depth + 1;
        if depth > MAX_DEPTH {
            return Err(self.refuse(Malformed::JsonTooDeep));
        }
        let mut list = Vec::new();
        while let Some(value) = elements.next_element_seed(Seed {
            state: &mut *self.state,
            depth,
        })? {
            list.push(value);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let depth = self.depth + 1;
        if depth > MAX_DEPTH {
            return Err(self.refuse(Malformed::JsonTooDeep));
        }
        let mut object: Vec<(String, Json)> = Vec::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.iter().any(|(known, _)| *known == name) {
                self.state.reason = Some(Malformed::JsonDuplicate);
                return Err(A::Error::custom("refused"));
            }
            let value = members.next_value_seed(Seed {
                state: &mut *self.state,
                depth,
            })?;
            object.push((name, value));
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Malformed {
        match read(text.as_bytes(), 64 * 1024) {
            Err(Error::Malformed(reason)) => reason,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("read: {text}"),
        }
    }

    #[test]
    fn one_document_and_nothing_else() {
        assert!(read(b" {\"a\": [1, -2, 1.5, null, true, \"x\"]} ", 64).is_ok());
        assert_eq!(refused(""), Malformed::Json);
        assert_eq!(refused("{} {}"), Malformed::Json);
        assert_eq!(refused("{}x"), Malformed::Json);
        assert_eq!(refused("{\"a\":1,}"), Malformed::Json);
        assert_eq!(refused("{\"a\":\"\u{1}\"}"), Malformed::Json);
    }

    #[test]
    fn a_name_twice_is_refused_rfc_8259_section_4() {
        assert_eq!(refused(r#"{"a":1,"a":1}"#), Malformed::JsonDuplicate);
        assert_eq!(
            refused(r#"[{"b":{"a":1,"\u0061":2}}]"#),
            Malformed::JsonDuplicate
        );
    }

    #[test]
    fn bombs_are_refused_by_depth_by_count_and_by_length() {
        let deep = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        assert!(read(deep.as_bytes(), 64).is_ok());
        assert_eq!(refused(&format!("[{deep}]")), Malformed::JsonTooDeep);
        assert_eq!(refused(&"[".repeat(60_000)), Malformed::JsonTooDeep);
        let many = format!("[{}0]", "0,".repeat(MAX_VALUES));
        assert_eq!(refused(&many), Malformed::JsonTooLarge);
        assert_eq!(
            read(b"[1,2]", 4).err(),
            Some(Malformed::JsonTooLarge.into())
        );
    }

    #[test]
    fn octets_escaped_one_by_one_become_their_text_again() {
        assert_eq!(undo_octet_escapes("caf\u{c3}\u{a9}"), "café");
        assert_eq!(undo_octet_escapes("café"), "café");
        assert_eq!(undo_octet_escapes("網"), "網");
        assert_eq!(undo_octet_escapes("plain"), "plain");
    }
}
