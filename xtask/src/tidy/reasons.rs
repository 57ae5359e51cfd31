//! The table of reasons in `docs/protocols/brski.md` is made from the crate's `error.rs`, so that an
//! operator who searches for a code finds the rule and the section.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};

use super::Findings;
use crate::process;

const SOURCE: &str = "crates/proto/brski/src/error.rs";
const PAGE: &str = "docs/protocols/brski.md";
const BEGIN: &str = "<!-- reasons:begin";
const END: &str = "<!-- reasons:end -->";
/// Enums whose reasons a peer can cause.
const ENUMS: &[&str] = &["Malformed", "Unsupported", "Refusal"];

/// Compares the table with the source; `UPDATE=1` rewrites it.
pub(super) fn check(findings: &mut Findings) -> Result<()> {
    let root = process::root();
    let source = fs::read_to_string(root.join(SOURCE)).context(SOURCE)?;
    let page = fs::read_to_string(root.join(PAGE)).context(PAGE)?;
    let (head, rest) = page
        .split_once(BEGIN)
        .with_context(|| format!("{PAGE}: no {BEGIN}"))?;
    let (note, rest) = rest
        .split_once('\n')
        .context("the marker has no line of its own")?;
    let (_, tail) = rest
        .split_once(END)
        .with_context(|| format!("{PAGE}: no {END}"))?;
    let wanted = format!("{head}{BEGIN}{note}\n\n{}\n{END}{tail}", table(&source));
    if wanted == page {
        return Ok(());
    }
    if std::env::var_os("UPDATE").is_some() {
        fs::write(root.join(PAGE), wanted)?;
    } else {
        findings.faults.push(format!(
            "{PAGE}: the reasons are not those of {SOURCE}; `UPDATE=1 cargo xtask tidy` rewrites them"
        ));
    }
    Ok(())
}

fn table(source: &str) -> String {
    let mut table = String::from("| code | rests on | means |\n| --- | --- | --- |\n");
    for name in ENUMS {
        let lines = source
            .lines()
            .map(str::trim)
            .skip_while(|line| *line != format!("{name} {{"))
            .skip(1)
            .take_while(|line| *line != "}");
        let joined = lines.collect::<Vec<_>>().join(" ");
        for row in joined.split(';') {
            let literals: Vec<&str> = row.split('"').skip(1).step_by(2).collect();
            if let [code, section, text] = literals.as_slice() {
                let _ = writeln!(table, "| `{code}` | {section} | {text} |");
            }
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn rows_are_read_from_the_source() {
        let source = "reasons! {\n    /// Doc.\n    Refusal {\n        A: \"a-b\", \"RFC 1 §2\", \"because\";\n        C: \"c\",\n            \"RFC 1 §3\", \"so\";\n    }\n}\n";
        let rows: Vec<String> = table(source).lines().skip(2).map(str::to_owned).collect();
        assert_eq!(
            rows,
            ["| `a-b` | RFC 1 §2 | because |", "| `c` | RFC 1 §3 | so |"]
        );
    }
}
