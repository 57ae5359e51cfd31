//! Reasons: the table on a protocol's page is made from its crate's `error.rs`, so that an operator who
//! searches for a code finds the rule and the section; and a test causes each of them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};

use super::Findings;
use crate::process;
use crate::source::Source;

/// Where reasons are defined, and the page that lists them.
const TABLES: &[(&str, &str)] = &[
    ("crates/proto/brski/src/error.rs", "docs/protocols/brski.md"),
    ("crates/proto/dpp/src/error.rs", "docs/protocols/dpp.md"),
    (
        "crates/proto/radius/src/error.rs",
        "docs/protocols/admission.md",
    ),
];
/// The reasons of decisions: `Variant = "code"`.
const DECISIONS: &str = "crates/fleet/src/refusal.rs";
const BEGIN: &str = "<!-- reasons:begin";
const END: &str = "<!-- reasons:end -->";
/// Enums whose reasons a peer can cause.
const ENUMS: &[&str] = &["Malformed", "Unsupported", "Refusal", "TlsFailure"];
/// Reasons that no message can cause: a second lock behind one that holds.
const BEHIND_ANOTHER: &[&str] = &["resumption-forbidden"];

/// Compares each table with its source (`UPDATE=1` rewrites it), and looks for a test of each reason.
pub(super) fn check(sources: &[Source], findings: &mut Findings) -> Result<()> {
    let named = named_in_tests(sources);
    let is_tested = |(variant, code): &(&str, &str)| {
        named.contains(*variant) || named.contains(*code) || BEHIND_ANOTHER.contains(code)
    };
    let mut check_tests = |definitions: &str, reasons: Vec<(&str, &str)>| {
        for (_, code) in reasons.iter().filter(|reason| !is_tested(reason)) {
            let fault = format!("{definitions}: no test causes `{code}`");
            findings.faults.push(fault);
        }
    };
    let root = process::root();
    let read = |path: &str| fs::read_to_string(root.join(path)).with_context(|| path.to_owned());
    check_tests(DECISIONS, decisions(&read(DECISIONS)?));
    for (definitions, _) in TABLES {
        let source = read(definitions)?;
        let rows = rows(&source).into_iter();
        check_tests(
            definitions,
            rows.map(|row| (row.variant, row.code)).collect(),
        );
    }
    for (definitions, list) in TABLES {
        check_page(definitions, list, findings)?;
    }
    Ok(())
}

/// Every word of every test: names of variants, and codes with their hyphens.
fn named_in_tests(sources: &[Source]) -> BTreeSet<&str> {
    let lines = sources.iter().flat_map(Source::tests);
    lines
        .flat_map(|(_, line)| line.split(|it: char| !it.is_ascii_alphanumeric() && it != '-'))
        .collect()
}

/// The variants and codes of a `text_enum!`.
fn decisions(source: &str) -> Vec<(&str, &str)> {
    let body = source.split("pub enum Refusal {").nth(1).unwrap_or(source);
    let body = body.split("\n    }").next().unwrap_or_default();
    let lines = body
        .lines()
        .filter_map(|line| line.trim().split_once(" = "));
    lines
        .filter_map(|(variant, code)| {
            let code = code.strip_prefix('"')?.strip_suffix("\",")?;
            Some((variant, code))
        })
        .collect()
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
    for row in rows(source) {
        let _ = writeln!(table, "| `{}` | {} | {} |", row.code, row.section, row.text);
    }
    table
}

/// One reason of a `reasons!`.
struct Row<'a> {
    variant: &'a str,
    code: &'a str,
    section: &'a str,
    text: &'a str,
}

fn rows(source: &str) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    for name in ENUMS {
        let head = format!("    {name} {{\n");
        let Some((_, body)) = source.split_once(head.as_str()) else {
            continue;
        };
        let body = body.split("\n    }").next().unwrap_or_default();
        for row in body.split(';') {
            let mut parts = row.split('"');
            let variant = parts.next().unwrap_or_default();
            let literals: Vec<&str> = parts.step_by(2).collect();
            if let [code, section, text, ..] = literals.as_slice() {
                rows.push(Row {
                    variant: variant.trim().trim_end_matches(':'),
                    code,
                    section,
                    text,
                });
            }
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::{decisions, named_in_tests, table};
    use crate::source::Source;

    #[test]
    fn rows_are_read_from_the_source() {
        let source = "reasons! {\n    /// Doc.\n    Refusal {\n        A: \"a-b\", \"RFC 1 §2\", \"because\";\n        C: \"c\",\n            \"RFC 1 §3\", \"so\";\n    }\n}\n";
        let rows: Vec<String> = table(source).lines().skip(2).map(str::to_owned).collect();
        assert_eq!(
            rows,
            ["| `a-b` | RFC 1 §2 | because |", "| `c` | RFC 1 §3 | so |"]
        );
    }
    #[test]
    fn a_test_names_a_reason_by_its_variant_or_its_code() {
        let source = "    /// Doc.\n    WrongState = \"wrong-state\",\n";
        assert_eq!(decisions(source), [("WrongState", "wrong-state")]);
        let text = "fn a() { Refusal::BadGate }\n#[cfg(test)]\nmod tests {\n    (\"wrong-state\", Refusal::NotClaimed)\n}\n";
        let sources = [Source::new("a/src/b.rs".to_owned(), text.to_owned())];
        let named = named_in_tests(&sources);
        assert!(named.contains("wrong-state") && named.contains("NotClaimed"));
        assert!(!named.contains("BadGate"));
    }
}
