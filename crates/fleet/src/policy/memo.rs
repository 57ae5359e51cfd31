//! Verdicts that were given before, by what the policy reads.
//!
//! A policy is a function of its input, and most devices of a site look the same to it: it reads their
//! state and not their serial number. Which parts it reads stands in its text, since there is one word
//! for the input. The search for it knows no Rego: wherever the word stands it is taken for a read, in
//! a comment too, and what does not look like a plain `input.a.b` for a read of everything. Then nothing
//! is remembered; what it cannot do is overlook a read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use regorus::Value;

use super::verdict::Verdict;

/// Verdicts that are remembered; when there are as many, all are forgotten.
const VERDICTS: usize = 1024;

/// Largest key: a part counts one, and each byte of text. So nobody fills the memory with names, or claims.
const MAX_WEIGHT: usize = 1024;

/// The word for the input.
const INPUT: &str = "input";

/// The function that asks of a part only whether it is there.
const IS_NULL: &str = "is_null";

/// A part of the input that the policy reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Read {
    /// The names on the way to it.
    path: Vec<String>,
    /// Whether it is only asked if it is null.
    only_null: bool,
}

/// What a policy reads, and what it said.
#[derive(Debug)]
pub(super) struct Memo {
    reads: BTreeSet<Read>,
    given: Mutex<BTreeMap<Vec<Value>, Verdict>>,
}

impl Memo {
    /// For a policy of which parts of the input can be told apart.
    pub(super) fn of(policy: &str) -> Option<Self> {
        let reads = reads(policy)?;
        Some(Self {
            reads,
            given: Mutex::default(),
        })
    }

    /// What is remembered by, unless there is too much of it.
    pub(super) fn key(&self, input: &Value) -> Option<Vec<Value>> {
        let mut left = MAX_WEIGHT;
        self.reads
            .iter()
            .map(|read| {
                let mut part = input;
                for name in &read.path {
                    part = part.as_object().ok().map_or(&Value::Undefined, |fields| {
                        fields
                            .get(&Value::from(name.as_str()))
                            .unwrap_or(&Value::Undefined)
                    });
                }
                match part {
                    Value::Undefined | Value::Null => Some(part.clone()),
                    _ if read.only_null => Some(Value::from(false)),
                    _ => {
                        left = without(left, part)?;
                        Some(part.clone())
                    }
                }
            })
            .collect()
    }

    /// What was said before.
    pub(super) fn recall(&self, key: &[Value]) -> Option<Verdict> {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.get(key).cloned()
    }

    /// Remembers what was said.
    pub(super) fn remember(&self, key: Vec<Value>, verdict: &Verdict) {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if given.len() >= VERDICTS {
            given.clear();
        }
        given.insert(key, verdict.clone());
    }
}

/// What is left of a weight without that of a value; none when it is more.
fn without(left: usize, value: &Value) -> Option<usize> {
    let left = left.checked_sub(1)?;
    match value {
        Value::String(text) => left.checked_sub(text.len()),
        Value::Array(items) => items.iter().try_fold(left, without),
        Value::Set(items) => items.iter().try_fold(left, without),
        Value::Object(fields) => fields.iter().try_fold(left, |left, (name, value)| {
            without(without(left, name)?, value)
        }),
        Value::Undefined | Value::Null | Value::Bool(_) | Value::Number(_) => Some(left),
    }
}

/// All reads that the text can hold; none when it may read everything.
fn reads(policy: &str) -> Option<BTreeSet<Read>> {
    let null_is_null = policy
        .match_indices(IS_NULL)
        .all(|(at, _)| is_call(policy.get(at + IS_NULL.len()..).unwrap_or_default()));
    let mut reads = BTreeSet::new();
    for (at, _) in policy.match_indices(INPUT) {
        let before = policy.get(..at).unwrap_or_default();
        let mut rest = policy.get(at + INPUT.len()..).unwrap_or_default();
        if before.ends_with(in_name) || rest.starts_with(in_name) {
            // Another, longer name.
            continue;
        }
        let mut path = Vec::new();
        while let Some(after) = rest.strip_prefix('.') {
            let end = after.find(|c| !in_name(c)).unwrap_or(after.len());
            let (name, behind) = after.split_at(end);
            if name.is_empty() {
                break;
            }
            path.push(name.to_owned());
            rest = behind;
        }
        if path.is_empty() {
            return None;
        }
        let only_null = null_is_null && before.ends_with("is_null(") && rest.starts_with(')');
        reads.insert(Read { path, only_null });
    }
    Some(reads)
}

/// Whether a function's name, with `rest` behind it, is called there with a plain argument. It may not be
/// defined: a function of the policy's own could do anything.
fn is_call(rest: &str) -> bool {
    let behind = rest
        .strip_prefix('(')
        .map(|rest| rest.trim_start_matches(|c| in_name(c) || c == '.'))
        .and_then(|rest| rest.strip_prefix(')'))
        .map(str::trim_start);
    let defines = ["=", ":=", "if", "else", "{", "#"];
    behind.is_some_and(|behind| !defines.iter().any(|word| behind.starts_with(word)))
}

fn in_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::DEFAULT_POLICY;

    fn names(policy: &str) -> Option<Vec<String>> {
        let names = reads(policy)?.into_iter().map(|read| {
            let mark = if read.only_null { "?" } else { "" };
            read.path.join(".") + mark
        });
        Some(names.collect())
    }

    #[test]
    fn the_default_policy_reads_no_name_and_no_time() {
        let found = names(DEFAULT_POLICY).unwrap();
        assert_eq!(
            found,
            [
                "address.local",
                "claims",
                "device?",
                "device.state",
                "manufacturer?",
                "manufacturer.trust",
                "onboarding.method",
                "onboarding.mutual",
                "request.kind"
            ]
        );
    }

    #[test]
    fn whoever_may_read_everything_is_asked_each_time() {
        for policy in [
            "x := input",
            "x := input[\"device\"]",
            "x := input [y]",
            "x := input .device",
            "x if walk(input, y)",
            "x := y with input as z",
            "x := object.get(input, \"device\", 1)",
            "import input as everything",
            "# about input\nx := input.device.state",
            "x := \"input\"",
            "x := input.",
            "x := input.\ndevice",
        ] {
            assert_eq!(names(policy), None, "{policy}");
        }
    }

    #[test]
    fn reads_are_found_wherever_they_stand() {
        for (policy, expected) in [
            ("x := input.a.b[c].d", vec!["a.b"]),
            ("x := input.a.b.c(1)", vec!["a.b.c"]),
            ("inputs := 1\nx := my_input.a", vec![]),
            ("import input.device as d", vec!["device"]),
            ("x := 1 # input.a", vec!["a"]),
            ("x if is_null(input.a)", vec!["a?"]),
            ("x if is_null(input.a.b[1])", vec!["a.b"]),
            ("x if is_null( input.a)", vec!["a"]),
            ("x if { is_null(y.z)\nis_null(input.a)\n}", vec!["a?"]),
            ("x if is_null(input.a)\nis_null(y) := y.b", vec!["a"]),
            ("x if is_null(input.a)\nis_null(y) if y.b", vec!["a"]),
            ("x if is_null(input.a)\nis_null(y) # z\n= 1", vec!["a"]),
            ("x if is_null(input.a)\nis_null(\")\") := 1", vec!["a"]),
            ("x if is_null(input.a)\nis_null (y) := y.b", vec!["a"]),
            ("import data.f as is_null\nx if is_null(input.a)", vec!["a"]),
            ("x := input.größe", vec!["größe"]),
        ] {
            assert_eq!(names(policy).unwrap(), expected, "{policy}");
        }
    }

    #[test]
    fn what_is_too_much_is_not_remembered() {
        let memo = Memo::of("x := input.a").unwrap();
        let of = |json: &str| memo.key(&Value::from_json_str(json).unwrap());
        assert!(of("{\"a\": \"short\"}").is_some());
        assert!(of("{\"a\": []}").is_some());
        assert!(of("{}").is_some());
        assert!(of("{\"a\": [{\"b\": \"c\"}, 2, null]}").is_some());
        assert_ne!(of("{\"a\": [1, 2]}"), of("{\"a\": [2, 1]}"));
        assert_ne!(of("{\"a\": {\"b\": 1}}"), of("{\"a\": {\"b\": 2}}"));
        assert!(of(&format!("{{\"a\": \"{}\"}}", "x".repeat(MAX_WEIGHT))).is_none());
        assert!(of(&format!("{{\"a\": {{\"{}\": 1}}}}", "x".repeat(MAX_WEIGHT))).is_none());
        assert!(of(&format!("{{\"a\": [{}1]}}", "1, ".repeat(MAX_WEIGHT))).is_none());
        let deep = |levels| format!("{{\"a\": {}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(of(&deep(9)).is_some());
        assert_ne!(of("{\"a\": null}"), of("{}"));
        assert_ne!(of("{\"a\": null}"), of("{\"a\": false}"));
    }
}
