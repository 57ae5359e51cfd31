//! What a bootstrapping URI says, field by field, and which rule it breaks.

use serde::Serialize;
use vouchsafe_dpp::uri::BootstrappingUri;

use super::hex;
use crate::failure::{Exit, Failure};
use crate::output::{Printer, facts, printable, table};

/// Longest text that is split into fields, in bytes.
const MAX_SHOWN: usize = vouchsafe_dpp::uri::MAX_URI_LENGTH;

/// A URI taken apart. Nothing of it is proved.
#[derive(Debug, Serialize)]
struct Shown {
    /// The text as it was given, without white space around it.
    uri: String,
    /// Whether it follows the grammar to the letter.
    strict: bool,
    /// The rule that it breaks, if it breaks one.
    #[serde(skip_serializing_if = "Option::is_none")]
    broken: Option<Broken>,
    fields: Vec<Field>,
    /// The key, where the URI can be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Key>,
}

#[derive(Debug, Serialize)]
struct Broken {
    code: &'static str,
    section: &'static str,
    text: String,
}

#[derive(Debug, Serialize)]
struct Field {
    name: String,
    value: String,
    meaning: String,
}

#[derive(Debug, Serialize)]
struct Key {
    curve: &'static str,
    /// SubjectPublicKeyInfo (DER) with compressed point, hexadecimal.
    spki: String,
    /// SHA-256 of it: how messages name the key; `pkhash` in hostap.
    sha256: String,
    /// SHA-256 of `chirp` and it: how the device announces itself.
    chirp_sha256: String,
}

pub(super) fn run(text: &str, printer: Printer) -> Result<Exit, Failure> {
    let text = text.trim();
    if text.len() > MAX_SHOWN {
        return Err(Failure::new(
            Exit::Refused,
            "uri-too-long",
            format!("the text is longer than {MAX_SHOWN} bytes"),
        ));
    }
    let strictly = BootstrappingUri::parse_strictly(text);
    let read = BootstrappingUri::parse(text);
    let broken = strictly.as_ref().err().map(|error| {
        // What no reader takes is the rule to name; else the one that only the strict one keeps.
        let error = read.as_ref().err().unwrap_or(error);
        Broken {
            code: error.reason_code(),
            section: error.section(),
            text: error.to_string(),
        }
    });
    let shown = Shown {
        uri: text.to_owned(),
        strict: strictly.is_ok(),
        broken,
        fields: fields(text),
        key: read.as_ref().ok().map(|uri| {
            let key = uri.key();
            Key {
                curve: key.curve().jwk_name(),
                spki: hex(&key.spki_der()),
                sha256: hex(key.hash()),
                chirp_sha256: hex(key.chirp_hash()),
            }
        }),
    };
    printer.show(&shown, describe)?;
    Ok(Exit::done_if(read.is_ok()))
}

fn describe(shown: &Shown) -> String {
    let rows = shown.fields.iter().map(|field| {
        [
            field.name.clone(),
            field.value.clone(),
            field.meaning.clone(),
        ]
    });
    let mut text = table(["field", "value", "meaning"], rows);
    if let Some(key) = &shown.key {
        text.push_str("\n\n");
        text.push_str(&facts([
            ("curve", key.curve.to_owned()),
            ("key (DER)", key.spki.clone()),
            ("hash", key.sha256.clone()),
            ("chirp hash", key.chirp_sha256.clone()),
        ]));
    }
    text.push_str("\n\n");
    match (&shown.broken, &shown.key) {
        (None, _) => text.push_str("it follows the grammar; whose key it is, nothing here proves"),
        (Some(broken), Some(_)) => text.push_str(&format!(
            "it can be used, but not every reader takes it: {} ({}, {})",
            printable(&broken.text),
            broken.code,
            broken.section
        )),
        (Some(broken), None) => text.push_str(&format!(
            "REFUSED: {} ({}, {})",
            printable(&broken.text),
            broken.code,
            broken.section
        )),
    }
    text
}

/// The text split at its semicolons, whatever is in it.
fn fields(text: &str) -> Vec<Field> {
    let body = match text.split_at_checked(4) {
        Some((scheme, body)) if scheme.eq_ignore_ascii_case("DPP:") => body,
        _ => text,
    };
    body.split(';')
        .map(str::trim)
        .filter(|field| !field.is_empty())
        .map(|field| {
            let (name, value) = field.split_once(':').unwrap_or(("", field));
            Field {
                name: name.to_owned(),
                value: value.to_owned(),
                meaning: meaning(name, value),
            }
        })
        .collect()
}

fn meaning(name: &str, value: &str) -> String {
    match name {
        "C" => format!("channels on which it listens: {}", channels(value)),
        "M" => "the radio's MAC address".to_owned(),
        "I" => "what the maker says of it; no proof".to_owned(),
        "V" => "highest version of the protocol that it speaks".to_owned(),
        "B" => "curves that it supports, as a bit set".to_owned(),
        "H" => "where it listens on TCP (port 8908 unless it says so)".to_owned(),
        "K" => "its public key: SubjectPublicKeyInfo, base64".to_owned(),
        "" => "not a field: it has no name".to_owned(),
        _ => "unknown: later versions may have more fields".to_owned(),
    }
}

/// `81/6,11,115/36` in MHz.
fn channels(value: &str) -> String {
    let mut class = None;
    let frequencies: Vec<String> = value
        .split(',')
        .map(|one| {
            let number = match one.split_once('/') {
                Some((named, number)) => {
                    class = named.parse::<u32>().ok();
                    number
                }
                None => one,
            };
            match (class, number.parse::<u32>()) {
                (Some(class), Ok(number)) => frequency(class, number)
                    .map_or_else(|| "?".to_owned(), |frequency| format!("{frequency} MHz")),
                _ => "?".to_owned(),
            }
        })
        .collect();
    frequencies.join(", ")
}

/// The centre of a channel of 20 MHz in a global operating class (IEEE 802.11 table E-4).
fn frequency(class: u32, number: u32) -> Option<u32> {
    match (class, number) {
        (81, 1..=13) => Some(2407 + 5 * number),
        (82, 14) => Some(2484),
        (115 | 118 | 121 | 124 | 125, 36..=177) => Some(5000 + 5 * number),
        (131, 1..=233) => Some(5950 + 5 * number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_told_in_megahertz() {
        assert_eq!(channels("81/6,11,115/36"), "2437 MHz, 2462 MHz, 5180 MHz");
        assert_eq!(channels("82/14,131/5"), "2484 MHz, 5975 MHz");
        assert_eq!(channels("6,81/,x/1,81/99"), "?, ?, ?, ?");
    }

    #[test]
    fn fields_are_shown_even_of_a_text_that_is_no_uri() {
        let fields = fields("DPP:X:1;;I:a:b;nonsense;K:;;");
        let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["X", "I", "", "K"]);
        assert_eq!(fields[1].value, "a:b");
    }
}
