//! What an agent or an attacker says, in words.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::narrator::Tone;

/// Who is behind which address.
#[derive(Debug, Default, Clone)]
pub(super) struct Names(BTreeMap<String, String>);

impl Names {
    /// With one more.
    pub(super) fn with(mut self, address: &str, name: &str) -> Self {
        self.0.insert(address.to_owned(), name.to_owned());
        self
    }

    fn of(&self, line: &Value) -> String {
        let address = text(line, "registrar");
        self.0
            .get(address)
            .cloned()
            .unwrap_or_else(|| address.to_owned())
    }
}

/// A field as text; empty if it is something else.
pub(super) fn text<'a>(line: &'a Value, field: &str) -> &'a str {
    line.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// Whether a line is this event.
pub(super) fn is(line: &Value, event: &str) -> bool {
    text(line, "event") == event
}

/// What an agent says, if it is worth a line.
pub(super) fn of_agent(line: &Value, names: &Names) -> Option<(Tone, String)> {
    let who = names.of(line);
    let said = match text(line, "event") {
        "connected" => {
            let how = match text(line, "found") {
                "mdns" => "found by mDNS",
                "configured" => "as it was told to",
                "remembered" => "as before",
                other => other,
            };
            (Tone::Plain, format!("provisional TLS to {who}, {how}"))
        }
        "waiting" => (
            Tone::Plain,
            format!("{who} asks for patience: {}", one_line(text(line, "said"))),
        ),
        "voucher-accepted" => (
            Tone::Good,
            format!(
                "believes the voucher ({}): this is {who}",
                text(line, "assertion")
            ),
        ),
        "voucher-refused" => (
            Tone::Refused,
            format!("refuses the voucher of {who}: {}", Why::of(line)),
        ),
        "credential-installed" if line.get("renewal") == Some(&Value::Bool(true)) => (
            Tone::Good,
            format!(
                "has a new key and certificate {}",
                short(text(line, "credential"))
            ),
        ),
        "credential-installed" => (
            Tone::Good,
            format!(
                "has its certificate {} (LDevID)",
                short(text(line, "credential"))
            ),
        ),
        "onboarded" => (
            Tone::Good,
            format!("is onboarded at {who} and has reported it"),
        ),
        "network-put-aside" => (
            Tone::Refused,
            format!("gets nowhere at {who}: {}", Why::of(line)),
        ),
        "open-network-joined" => (
            Tone::Plain,
            format!(
                "is in the open network {}, where it believes nobody",
                one_line(text(line, "ssid"))
            ),
        ),
        "open-network-put-aside" => (
            Tone::Refused,
            format!(
                "leaves {}: {}",
                one_line(text(line, "ssid")),
                one_line(text(line, "text"))
            ),
        ),
        "networks-told" => {
            let told = line.get("networks").and_then(Value::as_array);
            let told: Vec<&str> = told
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            (
                Tone::Plain,
                format!(
                    "hears from its registrar which network that opens: {}",
                    one_line(&told.join(", "))
                ),
            )
        }
        "network-joined" => {
            let place = line.get("ssid").and_then(Value::as_str);
            let place = place.map_or("its port".to_owned(), one_line);
            match line.get("is_in").and_then(Value::as_bool) {
                Some(true) => (
                    Tone::Good,
                    format!("is in at {place}, by 802.1X with its LDevID"),
                ),
                _ => (
                    Tone::Plain,
                    format!("asks to be let in at {place}, by 802.1X"),
                ),
            }
        }
        "network-failed" => (
            Tone::Refused,
            format!(
                "has no use for its supplicant: {}",
                one_line(text(line, "text"))
            ),
        ),
        "renewal-failed" => (Tone::Refused, format!("cannot renew: {}", Why::of(line))),
        "reset" => (
            Tone::Plain,
            "is reset: nothing is left but its birth credential".to_owned(),
        ),
        "born" => (
            Tone::Good,
            format!("is born; its key was made on it ({})", text(line, "keys")),
        ),
        _ => return None,
    };
    Some(said)
}

/// What an attacker says.
pub(super) fn of_attacker(line: &Value) -> Option<(Tone, String)> {
    let serial = text(line, "serial");
    let said = match text(line, "event") {
        "voucher-given" => (
            Tone::Hostile,
            format!("gives {serial} a {} voucher", text(line, "voucher")),
        ),
        "voucher-failed" => (
            Tone::Hostile,
            format!("has nothing for {serial}: {}", one_line(text(line, "why"))),
        ),
        "voucher-status" if line.get("believed") == Some(&Value::Bool(true)) => {
            (Tone::Hostile, format!("was believed by {serial}"))
        }
        "voucher-status" => (
            Tone::Hostile,
            format!("is told so by {serial} (voucher_status)"),
        ),
        "caught" => (
            Tone::Hostile,
            format!("caught {serial}, which asks for {}", text(line, "asked")),
        ),
        "refused" => (
            Tone::Refused,
            format!(
                "shows the certificate of {serial} and is refused by TLS: {}",
                Why::of(line)
            ),
        ),
        "let-in" => (Tone::Hostile, format!("was let in as {serial}")),
        "masa-called" => (Tone::Hostile, "its MASA was called".to_owned()),
        _ => return None,
    };
    Some(said)
}

/// Why something was refused.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Why {
    /// For programs.
    pub(super) code: String,
    /// For people.
    pub(super) text: String,
    /// What it rests on.
    pub(super) section: String,
}

impl Why {
    /// The reason in an event. A registrar answers with lines of `code: sentence [section]`, the
    /// MASA's own words last and as `masa-said: code: sentence [section] [status 403]`.
    pub(super) fn of(line: &Value) -> Self {
        let said = ["text", "why", "reason"].map(|field| text(line, field));
        let said = one_line(said.iter().find(|said| !said.is_empty()).unwrap_or(&""));
        let own = Self {
            code: text(line, "code").to_owned(),
            section: text(line, "section").to_owned(),
            text: said.clone(),
        };
        let Some((_, answer)) = said.split_once("was answered with ") else {
            return own;
        };
        let (by_masa, reason) = match answer.split_once("masa-said: ") {
            Some((_, reason)) => (true, reason),
            None => (
                false,
                answer.split_once(": ").map_or(answer, |(_, rest)| rest),
            ),
        };
        let Some((code, rest)) = reason.split_once(": ") else {
            return own;
        };
        let (sentence, section) = rest.split_once(" [").unwrap_or((rest, ""));
        Self {
            code: code.to_owned(),
            text: match by_masa {
                true => format!("The MASA refuses: {sentence}"),
                false => sentence.to_owned(),
            },
            section: match section.split_once(']') {
                Some((section, _)) => section.to_owned(),
                None => own.section,
            },
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        if !self.section.is_empty() && !self.text.contains(&self.section) {
            write!(f, " [{}]", self.section)?;
        }
        Ok(())
    }
}

/// The beginning of a long number.
pub(super) fn short(id: &str) -> String {
    id.chars().take(8).collect()
}

/// Text of others on one line, without control characters.
pub(super) fn one_line(text: &str) -> String {
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_reason_of_a_registrar_is_found_in_what_the_agent_says_of_it() {
        let line = json!({
            "event": "network-put-aside", "code": "refused-by-registrar", "section": "RFC 8995 §5.6",
            "text": "requestvoucher was answered with 404: unknown-device: No such device. [RFC 8995 §5.3]",
        });
        let why = Why::of(&line);
        assert_eq!(why.code, "unknown-device");
        assert_eq!(why.to_string(), "No such device. [RFC 8995 §5.3]");
    }

    #[test]
    fn the_masa_s_own_reason_comes_before_the_registrar_s() {
        let line = json!({
            "text": "requestvoucher was answered with 406: masa-refused: It refused. [RFC 8995 §5.6] \
                     masa-said: other-owner: It is another's. [RFC 8995 §5.5.4] [status 403]",
        });
        let why = Why::of(&line);
        assert_eq!(
            (why.code.as_str(), why.section.as_str()),
            ("other-owner", "RFC 8995 §5.5.4")
        );
        assert_eq!(why.text, "The MASA refuses: It is another's.");
    }

    #[test]
    fn a_reason_of_the_device_itself_is_taken_as_it_is() {
        let line = json!({ "code": "wrong-nonce", "section": "RFC 8995 §5.6.1", "text": "a (RFC 8995 §5.6.1)" });
        assert_eq!(Why::of(&line).to_string(), "a (RFC 8995 §5.6.1)");
    }

    #[test]
    fn words_of_others_cannot_steer_the_terminal() {
        assert_eq!(one_line("a\u{1b}[2Jb\n c"), "a [2Jb c");
    }
}
