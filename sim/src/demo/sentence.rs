//! What an agent or an attacker says, in words.

use std::collections::BTreeMap;

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
            format!("refuses the voucher of {who}: {}", reason(line)),
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
            format!("gets nowhere at {who}: {}", reason(line)),
        ),
        "renewal-failed" => (Tone::Refused, format!("cannot renew: {}", reason(line))),
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
            format!("is told by {serial}: {}", one_line(text(line, "reason"))),
        ),
        "caught" => (
            Tone::Hostile,
            format!("caught {serial}, which asks for {}", text(line, "asked")),
        ),
        "refused" => (
            Tone::Refused,
            format!(
                "shows the certificate of {serial} and is refused by TLS: {}",
                reason(line)
            ),
        ),
        "let-in" => (Tone::Hostile, format!("was let in as {serial}")),
        "masa-called" => (Tone::Hostile, "its MASA was called".to_owned()),
        _ => return None,
    };
    Some(said)
}

/// The reason in a line, with the section it rests on.
pub(super) fn reason(line: &Value) -> String {
    let why = ["text", "why"].map(|field| text(line, field));
    let why = one_line(
        why.iter()
            .find(|why| !why.is_empty())
            .copied()
            .unwrap_or_default(),
    );
    match text(line, "section") {
        section if section.is_empty() || why.contains(section) => why,
        section => format!("{why} [{section}]"),
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
