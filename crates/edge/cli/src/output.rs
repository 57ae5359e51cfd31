//! What goes to standard output: text for people, or exactly one JSON document.

use std::io::Write as _;

use comfy_table::{ContentArrangement, LineStyle, Table, presets};
use serde::Serialize;

use crate::failure::{Exit, Failure};

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Tables and sentences, for people.
    Text,
    /// One JSON document, for programs.
    Json,
}

/// Writes results.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    pub(crate) format: Format,
    pub(crate) quiet: bool,
}

impl Printer {
    /// Writes a result: the value as JSON, or its text.
    pub(crate) fn show<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Json => {
                let json = serde_json::to_string_pretty(value).map_err(|error| {
                    Failure::new(Exit::Internal, "json", format!("the result: {error}"))
                })?;
                self.line(&json)
            }
            Format::Text => self.line(text(value).trim_end_matches('\n')),
        }
    }

    /// One line of a stream: compact JSON, or text.
    pub(crate) fn stream<T: Serialize>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Json => self.line(&serde_json::to_string(value).unwrap_or_default()),
            Format::Text => self.line(&text(value)),
        }
    }

    /// Writes one line; when nobody reads any more, that is the end of the program.
    pub(crate) fn line(self, text: &str) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{text}")
            .and_then(|()| out.flush())
            .map_err(|error| Failure::output(&error))
    }

    /// A remark for people, on standard error.
    pub(crate) fn note(self, text: &str) {
        if !self.quiet && self.format == Format::Text {
            // A remark that cannot be written is not missed.
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }
}

/// A table under these headings.
pub(crate) fn table<const N: usize>(
    headings: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING.header_separator(LineStyle::new('─', '─', '─', '─')))
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(headings);
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell)));
    }
    if table.is_empty() {
        return "nothing".to_owned();
    }
    table.to_string()
}

/// Lines of `name  value`; empty values are left out.
pub(crate) fn facts<'a>(facts: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let facts: Vec<_> = facts
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .collect();
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines: Vec<String> = facts
        .iter()
        .map(|(name, value)| format!("{name:width$}  {}", printable(value)))
        .collect();
    lines.join("\n")
}

/// The text with control characters made visible, since names and serial numbers may come from
/// strangers and a terminal obeys what is written to it.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|character| {
            let escaped = character.is_control() && character != '\n';
            let plain = (!escaped).then_some(character);
            let escape = escaped.then(|| character.escape_unicode());
            plain.into_iter().chain(escape.into_iter().flatten())
        })
        .collect()
}

/// A moment, to the second.
pub(crate) fn when(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// The word by which a value goes in JSON.
pub(crate) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => text,
        Ok(other) => other.to_string(),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_s_name_does_not_steer_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        let table = table(["serial"], [["\u{1b}[31mred\u{7}".to_owned()]]);
        assert!(!table.contains('\u{1b}') && !table.contains('\u{7}'));
    }

    #[test]
    fn facts_line_up_and_leave_out_what_is_empty() {
        let text = facts([
            ("id", "1".to_owned()),
            ("model", String::new()),
            ("serial", "x".to_owned()),
        ]);
        assert_eq!(text, "id      1\nserial  x");
    }
}
