//! Vouchers and voucher requests as JSON (RFC 8366 §5.3, RFC 7951).

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::error::Malformed;
use crate::leaf::{Kind, Leaf, Leaves, Module, Read, Value, date_from_text, date_text};
use crate::voucher::{Assertion, Nonce};

/// Reads one document; what it is stands in its only top-level name.
pub(crate) fn read(bytes: &[u8]) -> Result<(Module, Leaves), Malformed> {
    let mut reason = None;
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let document = Document {
        reason: &mut reason,
    }
    .deserialize(&mut deserializer)
    .and_then(|document| deserializer.end().map(|()| document));
    document.map_err(|_| reason.unwrap_or(Malformed::Json))
}

/// Writes one document.
pub(crate) fn write(module: Module, leaves: &[(Leaf, Value<'_>)]) -> Vec<u8> {
    let fields: serde_json::Map<String, serde_json::Value> = leaves
        .iter()
        .map(|(leaf, value)| (leaf.name().to_owned(), value_to_json(value)))
        .collect();
    let mut out = String::with_capacity(512);
    out.push_str("{\"");
    out.push_str(module.top_level_name());
    out.push_str("\":");
    out.push_str(&serde_json::Value::Object(fields).to_string());
    out.push('}');
    out.into_bytes()
}

pub(crate) fn value_to_json(value: &Value<'_>) -> serde_json::Value {
    match value {
        Value::Text(text) => (*text).into(),
        Value::Bytes(bytes) => crate::base64::encode(bytes).into(),
        Value::Date(date) => date_text(*date).into(),
        Value::Bool(flag) => (*flag).into(),
        Value::Assertion(assertion) => assertion.name().into(),
        Value::Nonce(nonce) => nonce.to_text().into(),
    }
}

struct Document<'r> {
    reason: &'r mut Option<Malformed>,
}

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = (Module, Leaves);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = (Module, Leaves);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a voucher or a voucher request")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? else {
            return Err(refuse(self.reason, Malformed::TopLevel));
        };
        let Some(module) = Module::from_top_level_name(&name) else {
            return Err(refuse(self.reason, Malformed::TopLevel));
        };
        let leaves = map.next_value_seed(Fields {
            reason: &mut *self.reason,
        })?;
        if map.next_key::<IgnoredAny>()?.is_some() {
            return Err(refuse(self.reason, Malformed::TopLevel));
        }
        Ok((module, leaves))
    }
}

struct Fields<'r> {
    reason: &'r mut Option<Malformed>,
}

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = Leaves;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Leaves, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = Leaves;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the fields of a voucher")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Leaves, A::Error> {
        let mut leaves = Leaves::default();
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            let put = match Leaf::from_name(&name) {
                Some(leaf) => field(leaf, &map.next_value::<Scalar<'de>>()?)
                    .and_then(|value| value.map_or(Ok(()), |value| leaves.put(leaf, value))),
                None => leaves.put_other(name.into_owned(), map.next_value()?),
            };
            put.map_err(|reason| refuse(self.reason, reason))?;
        }
        Ok(leaves)
    }
}

/// What a known leaf may hold. `null` counts as absent.
enum Scalar<'de> {
    Null,
    Bool(bool),
    Text(std::borrow::Cow<'de, str>),
    Other,
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Scalar<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field's value")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Scalar::Null)
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Self::Value, E> {
                Ok(Scalar::Bool(flag))
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Scalar::Text(text.into()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Scalar::Text(text.to_owned().into()))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(Scalar::Other)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Scalar::Other)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Scalar::Other)
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> Result<Self::Value, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other)
            }
        }

        deserializer.deserialize_any(Any)
    }
}

fn field(leaf: Leaf, value: &Scalar<'_>) -> Result<Option<Read>, Malformed> {
    let text = match value {
        Scalar::Null => return Ok(None),
        Scalar::Bool(flag) if leaf.kind() == Kind::Bool => return Ok(Some(Read::Bool(*flag))),
        Scalar::Text(text) => text.as_ref(),
        Scalar::Bool(_) | Scalar::Other => return Err(Malformed::FieldType),
    };
    Ok(Some(match leaf.kind() {
        Kind::Text => Read::Text(text.to_owned()),
        Kind::Bytes => {
            Read::Bytes(crate::base64::decode(text.as_bytes()).ok_or(Malformed::FieldType)?)
        }
        Kind::Date => Read::Date(date_from_text(text)?),
        Kind::Bool => match text {
            "true" => Read::Bool(true),
            "false" => Read::Bool(false),
            _ => return Err(Malformed::FieldType),
        },
        Kind::Assertion => Read::Assertion(Assertion::from_name(text).ok_or(Malformed::Assertion)?),
        Kind::Nonce => Read::Nonce(Nonce::Text(text.to_owned())),
    }))
}

/// serde errors carry only text, so the reason travels beside them.
fn refuse<E: serde::de::Error>(slot: &mut Option<Malformed>, reason: Malformed) -> E {
    *slot = Some(reason);
    E::custom(reason)
}
