//! What people see: chapters, who said what when, and tables; in colours when this is a terminal
//! that wants them.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};
use std::time::Instant;

use comfy_table::{ContentArrangement, Table, presets};

/// How something went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// As it should, for those who belong here.
    Good,
    /// Refused.
    Refused,
    /// By the way.
    Plain,
    /// An attacker speaks.
    Hostile,
}

/// Width of the column that says who speaks.
const SPEAKER: usize = 14;

/// Width of tables and headings where there is no terminal.
const WIDTH: u16 = 110;

/// What is narrower is no terminal that anybody looks at, in columns.
const NARROWEST: u16 = 40;

/// Writes to stdout.
#[derive(Debug)]
pub(super) struct Narrator {
    begun: Instant,
    colours: bool,
    silent: bool,
}

impl Narrator {
    pub(super) fn new() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            begun: Instant::now(),
            colours: wanted && std::io::stdout().is_terminal(),
            silent: false,
        }
    }

    /// One that says nothing: for looking things up.
    pub(super) fn quiet(&self) -> Self {
        Self {
            silent: true,
            ..*self
        }
    }

    pub(super) fn title(&self, text: &str) {
        self.line(&format!("\n{}", self.paint("1", text)));
    }

    pub(super) fn chapter(&self, number: u32, text: &str) {
        let heading = format!("{number}  {text}");
        self.line(&format!("\n{}", self.paint("1;36", &heading)));
    }

    /// A sentence of the narrator's own.
    pub(super) fn note(&self, text: impl Display) {
        self.line(&self.paint("2", &format!("           {text}")));
    }

    /// Somebody said or did something, just now.
    pub(super) fn said(&self, who: &str, tone: Tone, text: impl Display) {
        let seconds = self.begun.elapsed().as_secs_f64();
        let (mark, colour) = match tone {
            Tone::Good => ("✓", "32"),
            Tone::Refused => ("✗", "31"),
            Tone::Plain => ("·", "0"),
            Tone::Hostile => ("!", "35"),
        };
        let mark = self.paint(colour, mark);
        let time = self.paint("2", &format!("{seconds:6.1} s"));
        let who = format!("{who:<SPEAKER$}");
        let who = self.paint(if tone == Tone::Hostile { "35" } else { "1" }, &who);
        self.line(&format!("{time}  {mark} {who} {text}"));
    }

    /// A command that is run.
    pub(super) fn command(&self, text: &str) {
        self.line(&self.paint("2", &format!("           $ {text}")));
    }

    /// A table; empty lines around it are the caller's.
    pub(super) fn table(&self, header: &[&str], rows: &[Vec<String>]) {
        let mut table = Table::new();
        table
            .load_style(presets::UTF8_FULL_CONDENSED)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_header(header.to_vec());
        // A serial line says that it is a terminal without any columns.
        if table.width().is_none_or(|width| width < NARROWEST) {
            table.set_width(WIDTH);
        }
        for row in rows {
            table.add_row(row);
        }
        self.line(&format!("\n{table}"));
    }

    /// A line as it is.
    pub(super) fn line(&self, text: &str) {
        if self.silent {
            return;
        }
        // A reader that went away is no reason to leave programs running: go on to the end.
        let _ = writeln!(std::io::stdout().lock(), "{text}");
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colours && code != "0" {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
