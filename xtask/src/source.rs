//! The project's own files, and which of their lines are tests.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::process;

/// Folders that hold nothing of ours.
const FOREIGN: &[&str] = &[
    ".git",
    "target",
    "node_modules",
    "corpus",
    "artifacts",
    "__pycache__",
];

/// One text file of the project.
pub(crate) struct Source {
    /// The path from the project's root, with forward slashes.
    pub(crate) path: String,
    /// Its text.
    pub(crate) text: String,
    /// For each line, whether it is a test or serves one.
    is_test: Vec<bool>,
}

impl Source {
    /// Takes a text as the file at this path.
    pub(crate) fn new(path: String, text: String) -> Self {
        let is_test = mark_tests(&path, &text);
        Self {
            path,
            text,
            is_test,
        }
    }

    /// The lines that are not tests, each with its number from 1.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines()
            .filter(|(_, _, test)| !test)
            .map(|(number, line, _)| (number, line))
    }

    /// The lines that are tests, each with its number from 1.
    pub(crate) fn tests(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines()
            .filter(|(_, _, test)| *test)
            .map(|(number, line, _)| (number, line))
    }

    fn lines(&self) -> impl Iterator<Item = (usize, &str, bool)> {
        let numbered = self.text.lines().zip(&self.is_test).enumerate();
        numbered.map(|(index, (line, test))| (index + 1, line, *test))
    }
}

/// Every Rust file of the project.
pub(crate) fn rust() -> Result<Vec<Source>> {
    read(&["rs"])
}

/// Every file with one of these endings.
pub(crate) fn read(endings: &[&str]) -> Result<Vec<Source>> {
    let root = process::root();
    let mut paths = Vec::new();
    walk(&root, &mut paths)?;
    paths.sort();
    let wanted = |path: &PathBuf| {
        let ending = path.extension().unwrap_or_default();
        endings.iter().any(|wanted| ending == *wanted)
    };
    paths
        .into_iter()
        .filter(wanted)
        .map(|path| {
            let text =
                fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            let relative = path.strip_prefix(&root).unwrap_or(&path);
            Ok(Source::new(
                relative.to_string_lossy().replace('\\', "/"),
                text,
            ))
        })
        .collect()
}

/// The code of a line: without a comment at its end and without what stands in string literals.
/// Good enough to look for words; not a lexer.
pub(crate) fn without_comment(line: &str) -> String {
    let mut code = String::with_capacity(line.len());
    let mut in_string = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if in_string => {
                characters.next();
            }
            // The literal of a double quote is the one quote that begins nothing.
            '\'' if !in_string && characters.peek() == Some(&'"') => {
                characters.next();
                characters.next();
            }
            '"' => in_string = !in_string,
            '/' if !in_string && characters.peek() == Some(&'/') => break,
            other if !in_string => code.push(other),
            _ => {}
        }
    }
    code
}

fn walk(folder: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if !FOREIGN.iter().any(|foreign| name == *foreign) {
                walk(&entry.path(), into)?;
            }
        } else if kind.is_file() {
            into.push(entry.path());
        }
    }
    Ok(())
}

/// A file below `tests/` or `benches/`, or named for its tests, is all test. Elsewhere tests are
/// the items under `#[cfg(test)]`, each to the brace that closes it.
fn mark_tests(path: &str, text: &str) -> Vec<bool> {
    let lines: Vec<&str> = text.lines().collect();
    let name = path.rsplit('/').next().unwrap_or(path);
    let folder_of_tests = path
        .split('/')
        .any(|part| part == "tests" || part == "benches");
    if folder_of_tests || name == "tests.rs" || name == "test_support.rs" {
        return vec![true; lines.len()];
    }
    let mut place = Place::Code;
    let mut marks = Vec::with_capacity(lines.len());
    for line in lines {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        let (is_test, next) = match place {
            Place::Code if trimmed.starts_with("#[cfg(test)]") => (true, Place::Attributes),
            Place::Code => (false, Place::Code),
            Place::Attributes if trimmed.starts_with('#') => (true, Place::Attributes),
            Place::Attributes if trimmed.ends_with([';', '}']) => (true, Place::Code),
            Place::Attributes => (true, Place::Item { indent }),
            // Formatted code closes an item at the indentation at which it began.
            Place::Item { indent: began } if indent == began && trimmed.starts_with('}') => {
                (true, Place::Code)
            }
            Place::Item { .. } => (true, place),
        };
        marks.push(is_test);
        place = next;
    }
    marks
}

/// Where a line of a file stands with regard to `#[cfg(test)]`.
#[derive(Clone, Copy)]
enum Place {
    Code,
    /// Behind the attribute, before the item.
    Attributes,
    /// In an item that began at this indentation.
    Item {
        indent: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_told_from_code() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn b() {\n    }\n}\nfn c() {}\n#[cfg(test)]\nmod more;\nfn d() {}\n";
        let source = Source::new("crates/x/src/lib.rs".to_owned(), text.to_owned());
        let code: Vec<&str> = source.code().map(|(_, line)| line).collect();
        assert_eq!(code, ["fn a() {}", "fn c() {}", "fn d() {}"]);
        let whole = Source::new("crates/x/tests/it.rs".to_owned(), text.to_owned());
        assert_eq!(whole.code().count(), 0);
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        assert_eq!(
            without_comment("let a = \"tokio // no\"; // tokio"),
            "let a = ; "
        );
        assert_eq!(without_comment("/// tokio"), "");
        assert_eq!(without_comment("split('\"', tokio)"), "split(, tokio)");
    }
}
