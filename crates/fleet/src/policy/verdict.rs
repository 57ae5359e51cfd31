//! What a policy may answer, and reading it strictly.

use jiff::{SignedDuration, Timestamp};
use regorus::Value;
use serde::{Deserialize, Serialize};

use crate::journal::Reason;
use crate::text::text_enum;

/// Yes, later, or no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// The device may join.
    Allow {
        /// In this network segment, if policy names one.
        segment: Option<String>,
    },
    /// A person must decide.
    Wait {
        /// The device asks again after this long.
        retry_after: SignedDuration,
    },
    /// The device stays out.
    Deny,
}

/// A policy's answer with its reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Yes, later, or no.
    #[serde(flatten)]
    pub answer: Answer,
    /// Why.
    pub reasons: Vec<Reason>,
    /// When the answer must be asked for again.
    pub ask_again_at: Option<Timestamp>,
    /// Whether a yes counts for a device that shows nothing but its MAC address, too. Without it, it
    /// does not: a policy that never heard of such devices lets none in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_address: Option<ByAddress>,
}

text_enum! {
    /// For which devices a yes counts that show nothing but their MAC address.
    pub enum ByAddress {
        /// Those that hold no certificate of this domain.
        WithoutCredential = "without-credential",
        /// All, though they could prove more.
        Always = "always",
    }
}

/// Most reasons that are kept.
const MAX_REASONS: usize = 32;

impl Verdict {
    /// A denial for the reason that the policy could not be evaluated.
    #[must_use]
    pub fn failed(why: &str) -> Self {
        Self {
            answer: Answer::Deny,
            reasons: vec![Reason::new(
                "policy-failed",
                format!("The policy gave no usable answer: {why}."),
                "owner policy",
            )],
            ask_again_at: None,
            by_address: None,
        }
    }
}

/// Reads the value of the rule `verdict`. Unknown fields are an error: a misspelled
/// `ask_again_at` must not make an answer last for ever.
pub(super) fn read(value: &Value) -> Result<Verdict, &'static str> {
    let fields = value.as_object().map_err(|_| "verdict is no object")?;
    let mut answer = None;
    let mut segment = None;
    let mut retry_after = None;
    let mut ask_again_at = None;
    let mut by_address = None;
    let mut reasons = Vec::new();
    for (name, field) in fields.iter() {
        let name = name.as_string().map_err(|_| "a field's name is no text")?;
        match name.as_ref() {
            "answer" => answer = Some(text(field).ok_or("answer is no text")?),
            "segment" if *field == Value::Null => {}
            "segment" => segment = Some(text(field).ok_or("segment is no text")?),
            "retry_after" => {
                let seconds = field
                    .as_u32()
                    .map_err(|_| "retry_after is no number of seconds")?;
                retry_after = Some(SignedDuration::from_secs(i64::from(seconds)));
            }
            "ask_again_at" if *field == Value::Null => {}
            "ask_again_at" => ask_again_at = Some(time(field)?),
            "by_address" if *field == Value::Null => {}
            "by_address" => {
                const WRONG: &str = "by_address is none of without-credential, always";
                let word = text(field).ok_or(WRONG)?;
                by_address = Some(ByAddress::parse(&word).map_err(|_| WRONG)?);
            }
            "reasons" => reasons = read_reasons(field)?,
            _ => return Err("verdict has an unknown field"),
        }
    }
    if by_address.is_some() && answer.as_deref() != Some("allow") {
        return Err("fields that do not go together");
    }
    let answer = match (answer.as_deref(), segment, retry_after) {
        (Some("allow"), segment, None) => Answer::Allow { segment },
        (Some("wait"), None, Some(retry_after)) => Answer::Wait { retry_after },
        (Some("wait"), _, None) => return Err("wait without retry_after"),
        (Some("deny"), None, None) => Answer::Deny,
        (Some("allow" | "wait" | "deny"), _, _) => return Err("fields that do not go together"),
        _ => return Err("answer is none of allow, wait, deny"),
    };
    Ok(Verdict {
        answer,
        reasons,
        ask_again_at,
        by_address,
    })
}

fn read_reasons(value: &Value) -> Result<Vec<Reason>, &'static str> {
    const WRONG: &str = "reasons are no objects with code and text";
    if let Ok(set) = value.as_set() {
        return set.iter().take(MAX_REASONS).map(read_reason).collect();
    }
    let list = value.as_array().map_err(|_| WRONG)?;
    list.iter().take(MAX_REASONS).map(read_reason).collect()
}

fn read_reason(value: &Value) -> Result<Reason, &'static str> {
    const WRONG: &str = "reasons are no objects with code and text";
    let fields = value.as_object().map_err(|_| WRONG)?;
    let field = |name: &str| fields.get(&Value::from(name)).and_then(text);
    match (field("code"), field("text")) {
        (Some(code), Some(text)) => Ok(Reason::new(code, text, "owner policy")),
        _ => Err(WRONG),
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_string().ok().map(|text| text.to_string())
}

fn time(value: &Value) -> Result<Timestamp, &'static str> {
    const WRONG: &str = "ask_again_at is no time in seconds";
    let seconds = value.as_i64().map_err(|_| WRONG)?;
    Timestamp::from_second(seconds).map_err(|_| WRONG)
}
