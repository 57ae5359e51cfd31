//! Filters of lists (RFC 7644 §3.4.2.2): `eq` on the attributes that a record has, joined by `and`.
//! Everything else of the grammar is refused, not passed over: a wider answer would be a wrong one.

use vouchsafe_api::ScimDevice;

use super::{Refused, named};

/// Longest filter that is read, in bytes.
const MAX_FILTER: usize = 2048;

/// Conditions of one filter.
const MAX_CONDITIONS: usize = 16;

/// Attributes that may be asked for: those of the record that are answered.
const ATTRIBUTES: &[(Attribute, &str)] = &[
    (Attribute::Id, "id"),
    (Attribute::DisplayName, "displayName"),
    (Attribute::Active, "active"),
    (Attribute::MudUrl, "mudUrl"),
    (Attribute::ResourceType, "meta.resourceType"),
    (Attribute::DppVersion, "dppVersion"),
    (Attribute::DeviceMacAddress, "deviceMacAddress"),
    (Attribute::SerialNumber, "serialNumber"),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attribute {
    Id,
    DisplayName,
    Active,
    MudUrl,
    ResourceType,
    DppVersion,
    DeviceMacAddress,
    SerialNumber,
}

/// What a record has under an attribute, or what is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    /// A text; two are the same in any case unless the attribute says otherwise.
    Text(String),
    Truth(bool),
    Number(u64),
}

/// A filter that can be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filter(Vec<(Attribute, Value)>);

impl Filter {
    /// Reads a filter.
    pub(super) fn read(text: &str) -> Result<Self, Refused> {
        if text.len() > MAX_FILTER {
            return Err(invalid(format!("it is longer than {MAX_FILTER} bytes")));
        }
        let mut conditions = Vec::new();
        let mut rest = text.trim_start();
        loop {
            let (condition, behind) = condition(rest)?;
            conditions.push(condition);
            if conditions.len() > MAX_CONDITIONS {
                return Err(invalid(format!(
                    "it has more than {MAX_CONDITIONS} conditions"
                )));
            }
            let behind = behind.trim_start();
            if behind.is_empty() {
                return Ok(Self(conditions));
            }
            let (word, next) = word(behind);
            if !word.eq_ignore_ascii_case("and") {
                return Err(invalid(format!(
                    "`{word}` stands where `and` or the end should; there is no `or`, `not`, grouping"
                )));
            }
            rest = next;
        }
    }

    /// Whether the record is one of those asked for. An attribute that it does not have equals nothing.
    pub(super) fn takes(&self, record: &ScimDevice) -> bool {
        self.0.iter().all(|(attribute, asked)| {
            of(record, *attribute).is_some_and(|value| same(*attribute, &value, asked))
        })
    }
}

/// `attribute eq value`, and what stands behind it.
fn condition(text: &str) -> Result<((Attribute, Value), &str), Refused> {
    let (path, rest) = word(text);
    let attribute = ATTRIBUTES
        .iter()
        .find(|(attribute, name)| named(path, name, attribute.is_of_extension()))
        .map(|(attribute, _)| *attribute)
        .ok_or_else(|| {
            let names: Vec<&str> = ATTRIBUTES.iter().map(|(_, name)| *name).collect();
            invalid(format!(
                "`{path}` is no attribute to filter by; there are {}",
                names.join(", ")
            ))
        })?;
    let (operator, rest) = word(rest);
    if !operator.eq_ignore_ascii_case("eq") {
        return Err(invalid(format!("`{operator}` is not supported, only `eq`")));
    }
    // RFC 7644 §3.4.2.2: values are written as in JSON.
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<serde_json::Value>();
    let value = match values.next() {
        Some(Ok(value)) => value,
        Some(Err(_)) | None => return Err(invalid("a value is no JSON text, number or truth")),
    };
    let behind = rest.get(values.byte_offset()..).unwrap_or_default();
    let value = match (attribute, value) {
        (Attribute::Active, serde_json::Value::Bool(truth)) => Value::Truth(truth),
        (Attribute::DppVersion, serde_json::Value::Number(number)) => {
            let number = number.as_u64();
            Value::Number(number.ok_or_else(|| invalid("`dppVersion` is a whole number"))?)
        }
        (Attribute::Active | Attribute::DppVersion, _) => {
            return Err(invalid(format!(
                "`{path}` is compared with another sort of value"
            )));
        }
        (_, serde_json::Value::String(text)) => Value::Text(text),
        (_, _) => {
            return Err(invalid(format!(
                "`{path}` is compared with a text in quotes"
            )));
        }
    };
    Ok(((attribute, value), behind))
}

/// The first word, and what stands behind it.
fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_once(char::is_whitespace).unwrap_or((text, ""))
}

impl Attribute {
    /// Whether it belongs to the extension for Wi-Fi Easy Connect.
    const fn is_of_extension(self) -> bool {
        matches!(
            self,
            Self::DppVersion | Self::DeviceMacAddress | Self::SerialNumber
        )
    }
}

fn of(record: &ScimDevice, attribute: Attribute) -> Option<Value> {
    let dpp = record.dpp.as_ref();
    match attribute {
        Attribute::Id => record.id.clone().map(Value::Text),
        Attribute::DisplayName => record.display_name.clone().map(Value::Text),
        Attribute::Active => Some(Value::Truth(record.active)),
        Attribute::MudUrl => record.mud_url.clone().map(Value::Text),
        Attribute::ResourceType => {
            let meta = record.meta.as_ref();
            meta.map(|meta| Value::Text(meta.resource_type.clone()))
        }
        Attribute::DppVersion => dpp.map(|dpp| Value::Number(dpp.dpp_version.into())),
        Attribute::DeviceMacAddress => dpp?.device_mac_address.clone().map(Value::Text),
        Attribute::SerialNumber => dpp?.serial_number.clone().map(Value::Text),
    }
}

fn same(attribute: Attribute, value: &Value, asked: &Value) -> bool {
    match (attribute, value, asked) {
        // RFC 7643 §3.1 and §2.3.7: an id and a URL are case-exact.
        (Attribute::Id | Attribute::MudUrl, value, asked) => value == asked,
        (_, Value::Text(value), Value::Text(asked)) => value.to_lowercase() == asked.to_lowercase(),
        (_, value, asked) => value == asked,
    }
}

fn invalid(why: impl std::fmt::Display) -> Refused {
    Refused {
        kind: "invalidFilter",
        detail: format!("`filter`: {why}"),
    }
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
