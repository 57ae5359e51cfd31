//! Sections of specifications: which checks cite them, and which tests.
//!
//! A MUST that we claim is cited where it is checked and named in a test with a forged message. In
//! the crates that claim conformance, a section of the specifications they claim that no test names
//! is a fault. The others, mostly layouts and names, are counted, and listed when asked.

use std::collections::{BTreeMap, BTreeSet};

use super::Findings;
use crate::source::Source;

/// The crates that claim conformance.
const CLAIMING: &[&str] = &["crates/proto/brski/src/", "crates/edge/controller/src/"];

/// The specifications they claim.
const CLAIMED: &[&str] = &["RFC 7030", "RFC 8366", "RFC 8951", "RFC 8995", "RFC 9908"];

/// Compares the citations of code with those of tests; prints the whole table if asked.
pub(super) fn check(sources: &[Source], print: bool, findings: &mut Findings) {
    let mut checks: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let mut tests: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for source in sources
        .iter()
        .filter(|source| !source.path.starts_with("xtask/"))
    {
        // A page at the top tells what a file is about; a claim stands at the check itself.
        let code = source
            .code()
            .filter(|(_, line)| !line.trim_start().starts_with("//!"));
        for section in code.flat_map(|(_, line)| cited(line)) {
            checks.entry(section).or_default().insert(&source.path);
        }
        for section in source.tests().flat_map(|(_, line)| cited(line)) {
            tests.entry(section).or_default().insert(&source.path);
        }
    }
    let is_tested = |section: &str| tests.contains_key(section);
    if print {
        for (section, places) in &checks {
            let count = tests.get(section).map_or(0, BTreeSet::len);
            let places: Vec<&str> = places.iter().copied().collect();
            println!(
                "{section:<22} tests in {count} files; cited in {}",
                places.join(", ")
            );
        }
    }
    let mut others = 0;
    for (section, places) in checks.iter().filter(|(section, _)| !is_tested(section)) {
        let claimed = CLAIMED
            .iter()
            .any(|it| section.starts_with(&format!("{it} ")));
        let claims = |place: &&&str| CLAIMING.iter().any(|folder| place.starts_with(folder));
        match places.iter().find(claims).filter(|_| claimed) {
            Some(place) => {
                findings
                    .faults
                    .push(format!("{place}: cites {section}, which no test names"));
            }
            None => others += 1,
        }
    }
    if others > 0 {
        let list = "`cargo xtask tidy --citations` lists them";
        findings.warnings.push(format!(
            "{others} cited sections are named in no test; {list}"
        ));
    }
}

/// The sections a line cites: `RFC 8995 §5.5.1`, also several after one number (`§5.5, §5.6`).
fn cited(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (index, _) in line.match_indices("RFC ") {
        let after = line.get(index + 4..).unwrap_or_default();
        let number: String = after.chars().take_while(char::is_ascii_digit).collect();
        if number.len() < 3 {
            continue;
        }
        let rest = after.get(number.len()..).unwrap_or_default();
        let mut parts = rest.split('§');
        let mut joint = parts.next().unwrap_or_default();
        for part in parts {
            if !matches!(joint, " " | ", " | " and " | " or " | "–" | ", and ") {
                break;
            }
            let end = part.find(|it: char| !it.is_ascii_alphanumeric() && it != '.');
            let (section, behind) = part.split_at(end.unwrap_or(part.len()));
            let section = section.trim_end_matches('.');
            if !section.is_empty() {
                found.push(format!("RFC {number} §{section}"));
            }
            joint = behind;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::cited;

    #[test]
    fn sections_are_read() {
        assert_eq!(cited("/// (RFC 8995 §5.5.1)."), ["RFC 8995 §5.5.1"]);
        assert_eq!(
            cited("RFC 7030 §4.2, §4.3 and RFC 5652 §5.1"),
            ["RFC 7030 §4.2", "RFC 7030 §4.3", "RFC 5652 §5.1"]
        );
        assert!(cited("RFC 8995 alone, and § alone").is_empty());
    }

    #[test]
    fn a_sentence_end_is_not_part_of_a_section() {
        assert_eq!(cited("as in RFC 8995 §5.3."), ["RFC 8995 §5.3"]);
    }
}
