//! The owner's policy, in Rego.
//!
//! A policy is one file of package `vouchsafe` with a rule `verdict`. It reads `input` (see
//! [`Input`]), never a clock or anything else outside, and answers
//!
//! ```json
//! {"answer": "allow", "segment": "sensors", "ask_again_at": 1767225600,
//!  "reasons": [{"code": "known", "text": "It is in the inventory."}]}
//! ```
//!
//! (`by_address` too, where it is about a device that shows nothing but its MAC address), or `wait` with `retry_after` in seconds, or `deny`. Everything else means deny: an answer
//! that is missing, misspelled or of the wrong type, an error, and an evaluation that takes
//! too long.

mod dry_run;
mod input;
mod memo;
mod verdict;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use regorus::{Engine, PolicyLengthConfig, Value};

pub use dry_run::{Difference, dry_run};
pub use input::{Address, Input, Method, Onboarding, RequestKind};
pub use verdict::{Answer, ByAddress, Verdict};

use self::memo::Memo;
use crate::ids::Digest;

/// Longest policy in bytes.
pub const MAX_POLICY: usize = 256 * 1024;

/// Longest time an evaluation may take before it counts as deny. An ordinary policy needs some
/// microseconds; the rest is for a machine so busy that it lets the thread wait. This is the one
/// place where the engine itself looks at a stopwatch.
pub const MAX_EVALUATION: Duration = Duration::from_secs(1);

/// The policy that is in force when an owner has set none.
pub const DEFAULT_POLICY: &str = include_str!("../../../policies/default.rego");

/// A policy that was read and tried. Cheap to clone, and to evaluate from many threads.
#[derive(Clone)]
pub struct Policy {
    id: Digest,
    text: Arc<str>,
    engine: Arc<Engine>,
    memo: Option<Arc<Memo>>,
}

/// Why a text is no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// It is longer than [`MAX_POLICY`].
    #[error("a policy has at most {MAX_POLICY} bytes")]
    TooLong,
    /// It asks the time itself, so that the same facts would not give the same verdict.
    #[error("a policy takes the time from input.now, never from a clock")]
    ReadsClock,
    /// It draws random numbers.
    #[error("a policy draws no random numbers")]
    DrawsRandom,
    /// It is not Rego.
    #[error("the policy cannot be read: {0}")]
    Syntax(String),
    /// It has no rule `data.vouchsafe.verdict` that answers for a device nothing is known of.
    #[error("the policy gives no verdict: {0}")]
    NoVerdict(String),
}

const RULE: &str = "data.vouchsafe.verdict";

impl Policy {
    /// Reads a policy and tries it on a device of which nothing is known.
    ///
    /// # Errors
    /// [`PolicyError`] when it is not fit for use.
    pub fn load(text: &str) -> Result<Self, PolicyError> {
        if text.len() > MAX_POLICY {
            return Err(PolicyError::TooLong);
        }
        if text.contains("now_ns") {
            return Err(PolicyError::ReadsClock);
        }
        if text.contains("intn") {
            return Err(PolicyError::DrawsRandom);
        }
        // The engine's other built-in functions that reach outside are not compiled in.
        let mut engine = new_engine();
        engine
            .add_policy("policy.rego".to_owned(), text.to_owned())
            .map_err(|error| PolicyError::Syntax(error.to_string()))?;
        // Once through, so that clones come with everything prepared.
        engine.set_input(Input::NOTHING.to_value());
        let answer = engine
            .eval_rule(RULE.to_owned())
            .map_err(|error| PolicyError::NoVerdict(error.to_string()))?;
        verdict::read(&answer).map_err(|error| PolicyError::NoVerdict(error.to_owned()))?;
        engine.set_input(Value::Undefined);
        Ok(Self {
            id: Digest::of(text.as_bytes()),
            text: text.into(),
            engine: Arc::new(engine),
            memo: Memo::of(text).map(Arc::new),
        })
    }

    /// SHA-256 of the text: the policy's name in the journal.
    #[must_use]
    pub const fn id(&self) -> Digest {
        self.id
    }

    /// The text that was read.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the policy says about `input`. Never fails: what cannot be evaluated is denied,
    /// with the reason `policy-failed`.
    #[must_use]
    pub fn evaluate(&self, input: &Input<'_>) -> Verdict {
        let input = input.to_value();
        let memo = self.memo.as_ref();
        let known = memo.and_then(|memo| Some((memo, memo.key(&input)?)));
        if let Some((memo, key)) = &known
            && let Some(verdict) = memo.recall(key)
        {
            return verdict;
        }
        let mut engine = Engine::clone(&self.engine);
        engine.set_input(input);
        let answer = match engine.eval_rule(RULE.to_owned()) {
            Ok(answer) => verdict::read(&answer),
            Err(_) => Err("its evaluation failed or took too long"),
        };
        match answer {
            Ok(verdict) => {
                if let Some((memo, key)) = known {
                    memo.remember(key, &verdict);
                }
                verdict
            }
            // Perhaps the machine was too busy: the next time it is asked anew.
            Err(why) => Verdict::failed(why),
        }
    }
}

impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Policy {}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy").field("id", &self.id).finish()
    }
}

/// An engine without any way out, and with its time bounded.
fn new_engine() -> Engine {
    let mut engine = Engine::new();
    engine.set_execution_timer_config(regorus::utils::limits::ExecutionTimerConfig {
        limit: MAX_EVALUATION,
        check_interval: NonZeroU32::MIN.saturating_add(63),
    });
    engine.set_policy_length_config(PolicyLengthConfig::default());
    engine
}
