//! `cargo xtask tidy`: the house rules that no compiler checks.

mod citations;
mod links;
mod reasons;

use anyhow::{Result, bail};

use crate::process;
use crate::source::{self, Source};

/// Lines without tests at which a file deserves a second thought.
const SOFT_LIMIT: usize = 800;
/// Lines without tests that no file may pass.
const HARD_LIMIT: usize = 1200;

/// What was found: faults fail, warnings are shown.
#[derive(Default)]
struct Findings {
    faults: Vec<String>,
    warnings: Vec<String>,
}

/// Checks everything and prints what is untidy; with `citations` also the table of sections.
pub(crate) fn run(citations: bool) -> Result<()> {
    let sources = source::rust()?;
    let mut findings = Findings::default();
    for source in &sources {
        check_length(source, &mut findings);
        check_page(source, &mut findings);
        check_leftovers(source, &mut findings);
    }
    let documents = source::read(&["md"])?;
    links::check(&documents, &mut findings)?;
    check_machine_paths(&mut findings)?;
    reasons::check(&sources, &mut findings)?;
    check_front_door(&documents, &mut findings);
    citations::check(&sources, citations, &mut findings);
    for warning in &findings.warnings {
        println!("warning: {warning}");
    }
    for fault in &findings.faults {
        println!("{fault}");
    }
    if !findings.faults.is_empty() {
        bail!("{} house rules are broken", findings.faults.len());
    }
    println!(
        "{} files and {} pages are tidy",
        sources.len(),
        documents.len()
    );
    Ok(())
}

fn check_length(source: &Source, findings: &mut Findings) {
    let lines = source.code().count();
    let said = format!("{}: {lines} lines without tests", source.path);
    if lines > HARD_LIMIT {
        findings
            .faults
            .push(format!("{said}; {HARD_LIMIT} is the limit"));
    } else if lines > SOFT_LIMIT {
        findings
            .warnings
            .push(format!("{said}; could it be two files?"));
    }
}

/// Every file of a program or library begins with its page.
fn check_page(source: &Source, findings: &mut Findings) {
    let is_fuzz_target = source.path.starts_with("fuzz/");
    let is_test_module = source.code().next().is_none() && source.path.contains("/src/");
    let first = source.text.lines().find(|line| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with("#!")
    });
    let has_page = first.is_some_and(|line| line.starts_with("//!"));
    if !has_page && !is_fuzz_target && !is_test_module {
        findings
            .faults
            .push(format!("{}: no module page (`//!`) on top", source.path));
    }
}

fn check_leftovers(source: &Source, findings: &mut Findings) {
    // Written in two halves so that this file does not find itself.
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
    ];
    let macros = [concat!("todo", "!("), concat!("unimplemented", "!(")];
    let ignored = concat!("#[ign", "ore");
    for (number, line) in source.code().chain(source.tests()) {
        let place = format!("{}:{number}", source.path);
        if marks.iter().chain(&macros).any(|mark| line.contains(mark)) {
            findings
                .faults
                .push(format!("{place}: left undone; do it or file an issue"));
        }
        if line.trim_start().starts_with(ignored) {
            findings
                .faults
                .push(format!("{place}: a test that does not run"));
        }
        if line.contains("fn get_") && !source.path.starts_with("xtask/") {
            findings
                .warnings
                .push(format!("{place}: no `get_` in names"));
        }
    }
}

/// Nothing may name a folder of the machine it was written on.
fn check_machine_paths(findings: &mut Findings) -> Result<()> {
    let root = process::root();
    let mut needles = vec![
        concat!("/ro", "ot/").to_owned(),
        concat!("/ho", "me/").to_owned(),
    ];
    // A short parent, such as a container's top folder, would be found in innocent words.
    if let Some(parent) = root
        .parent()
        .filter(|parent| parent.components().count() > 1)
    {
        needles.push(format!("{}/", parent.display()));
    }
    let endings = [
        "rs", "md", "toml", "sh", "py", "json", "rego", "yml", "yaml", "html", "ts",
    ];
    for source in source::read(&endings)? {
        for (index, line) in source.text.lines().enumerate() {
            if needles.iter().any(|needle| line.contains(needle.as_str())) {
                findings.faults.push(format!(
                    "{}:{}: a path of one machine",
                    source.path,
                    index + 1
                ));
            }
        }
    }
    Ok(())
}

/// What a newcomer and a release need to find.
fn check_front_door(documents: &[Source], findings: &mut Findings) {
    let needs: &[(&str, &[&str])] = &[
        (
            "README.md",
            &["cargo xtask demo", "cargo xtask test", "Apache-2.0"],
        ),
        ("ARCHITECTURE.md", &["Invariant"]),
        ("CONTRIBUTING.md", &["cargo xtask test"]),
        ("SECURITY.md", &[]),
        ("CHANGELOG.md", &["## Unreleased"]),
    ];
    for (path, phrases) in needs {
        let Some(document) = documents.iter().find(|document| document.path == *path) else {
            findings.faults.push(format!("{path} is missing"));
            continue;
        };
        for phrase in phrases
            .iter()
            .filter(|phrase| !document.text.contains(**phrase))
        {
            findings
                .faults
                .push(format!("{path}: does not mention `{phrase}`"));
        }
    }
    for license in ["LICENSE-MIT", "LICENSE-APACHE"] {
        if !process::root().join(license).is_file() {
            findings.faults.push(format!("{license} is missing"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Findings {
        let source = Source::new(path.to_owned(), text.to_owned());
        let mut findings = Findings::default();
        check_length(&source, &mut findings);
        check_page(&source, &mut findings);
        check_leftovers(&source, &mut findings);
        findings
    }

    #[test]
    fn lengths_count_no_tests() {
        let code = |lines: usize| format!("//! Page.\n{}", "fn a() {}\n".repeat(lines));
        assert_eq!(findings("a/src/b.rs", &code(700)).warnings.len(), 0);
        assert_eq!(findings("a/src/b.rs", &code(900)).warnings.len(), 1);
        assert_eq!(findings("a/src/b.rs", &code(1300)).faults.len(), 1);
        let tests = format!(
            "//! Page.\n#[cfg(test)]\nmod tests {{\n{}}}\n",
            "    x\n".repeat(1300)
        );
        assert_eq!(findings("a/src/b.rs", &tests).faults.len(), 0);
    }

    #[test]
    fn a_file_without_a_page_is_untidy() {
        assert_eq!(
            findings("a/src/b.rs", "#![cfg(unix)]\n//! Page.\n")
                .faults
                .len(),
            0
        );
        assert_eq!(findings("a/src/b.rs", "use a;\n").faults.len(), 1);
    }

    #[test]
    fn leftovers_are_untidy() {
        let text = format!("//! Page.\n// {}: later\n", concat!("TO", "DO"));
        assert_eq!(findings("a/src/b.rs", &text).faults.len(), 1);
    }
}
