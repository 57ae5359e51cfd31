//! The table of reasons on a protocol's page is made from its crate's `error.rs`, so that an operator
//! who searches for a code finds the rule and the section.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};

use super::Findings;
use crate::process;

/// Where reasons are defined, and the page that lists them.
const TABLES: &[(&str, &str)] = &[
    ("crates/proto/brski/src/error.rs", "docs/protocols/brski.md"),
    ("crates/proto/dpp/src/error.rs", "docs/protocols/dpp.md"),
];
const BEGIN: &str = "<!-- reasons:begin";
const END: &str = "<!-- reasons:end -->";
/// Enums whose reasons a peer can cause.
const ENUMS: &[&str] = &["Malformed", "Unsupported", "Refusal"];

/// Compares each table with its source; `UPDATE=1` rewrites it.
pub(super) fn check(findings: &mut Findings) -> Result<()> {
    for (definitions, list) in TABLES {
        check_page(definitions, list, findings)?;
    }
    Ok(())
}

fn check_page(definitions: &str, list: &str, findings: &mut Findings) -> Result<()> {
    let root = process::root();
    let source =
        fs::read_to_string(root.join(definitions)).with_context(|| definitions.to_owned())?;
    let page = fs::read_to_string(root.join(list)).with_context(|| list.to_owned())?;
    let (head, rest) = page
        .split_once(BEGIN)
        .with_context(|| format!("{list}: no {BEGIN}"))?;
    let (note, rest) = rest
        .split_once('\n')
        .context("the marker has no line of its own")?;
    let (_, tail) = rest
        .split_once(END)
        .with_context(|| format!("{list}: no {END}"))?;
    let wanted = format!("{head}{BEGIN}{note}\n\n{}\n{END}{tail}", table(&source));
    if wanted == page {
        return Ok(());
    }
    if std::env::var_os("UPDATE").is_some() {
        fs::write(root.join(list), wanted)?;
    } else {
        findings.faults.push(format!(
            "{list}: the reasons are not those of {definitions}; `UPDATE=1 cargo xtask tidy` rewrites them"
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
