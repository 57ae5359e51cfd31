//! Links between the pages: every relative one leads to a file.

use anyhow::Result;

use super::Findings;
use crate::process;
use crate::source::Source;

/// Checks the relative links of all pages.
pub(super) fn check(documents: &[Source], findings: &mut Findings) -> Result<()> {
    let root = process::root();
    for document in documents {
        let folder = document
            .path
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        for (number, target) in targets(&document.text) {
            let file = target.split('#').next().unwrap_or_default();
            let elsewhere = file.is_empty() || file.contains("://") || file.starts_with("mailto:");
            if !elsewhere && !root.join(folder).join(file).exists() {
                let place = format!("{}:{number}", document.path);
                findings
                    .faults
                    .push(format!("{place}: the link to `{target}` leads nowhere"));
            }
        }
    }
    Ok(())
}

/// Targets of inline links outside code blocks, each with its line from 1.
fn targets(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        let mut rest = line;
        while let Some((_, after)) = rest.split_once("](") {
            let Some((target, behind)) = after.split_once(')') else {
                break;
            };
            found.push((index + 1, target.split(' ').next().unwrap_or(target)));
            rest = behind;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::targets;

    #[test]
    fn links_are_found_outside_code() {
        let text = "a [b](c.md) and [d](e.md#f \"g\")\n```\n[h](i.md)\n```\n";
        assert_eq!(targets(text), [(1, "c.md"), (1, "e.md#f")]);
    }
}
