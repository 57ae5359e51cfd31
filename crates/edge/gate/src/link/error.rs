//! Why the gate and its controller do not come together.

use vouchsafe_brski::Error as MessageError;
use vouchsafe_net::ClientError;

use crate::desired::DesiredError;
use crate::error::GateError;

/// Longest explanation of a controller that is kept, in octets.
const MAX_SAID: usize = 400;

/// One attempt that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// This machine's own fault.
    #[error(transparent)]
    Local(#[from] GateError),
    /// The connection: nobody there, or not a registrar of the domain.
    #[error("{controller}: {source}")]
    Connection {
        /// Whom the gate called.
        controller: String,
        /// What went wrong.
        source: ClientError,
    },
    /// The controller says no.
    #[error("{controller} answers {status}: {said}")]
    Answered {
        /// Who.
        controller: String,
        /// The HTTP status.
        status: u16,
        /// In its own words.
        said: String,
    },
    /// What came is not what was asked for.
    #[error("{controller}: {problem}")]
    Answer {
        /// Who.
        controller: String,
        /// What is wrong with it.
        problem: String,
    },
    /// None of the domain's certificates has the fingerprint that the administrator named.
    #[error("{controller} belongs to another domain: its CA is sha256:{found}")]
    OtherDomain {
        /// Who.
        controller: String,
        /// The fingerprint of what was there instead.
        found: String,
    },
    /// A desired state that the gate does not take.
    #[error("{controller}: {source}")]
    State {
        /// Whose.
        controller: String,
        /// Why not.
        source: DesiredError,
    },
    /// A certificate that the gate cannot use.
    #[error("the certificate that came cannot be used: {0}")]
    Certificate(String),
}

impl LinkError {
    /// Stable name; that of the controller's refusal where it gave one.
    pub fn code(&self) -> String {
        match self {
            Self::Local(_) => "local".to_owned(),
            Self::Connection { source, .. } => source.as_str().to_owned(),
            Self::Answered { status, said, .. } => {
                refusal_code(said).map_or_else(|| format!("status-{status}"), str::to_owned)
            }
            Self::Answer { .. } => "answer-malformed".to_owned(),
            Self::OtherDomain { .. } => "other-domain".to_owned(),
            Self::State { source, .. } => source.code().to_owned(),
            Self::Certificate(_) => "certificate-unusable".to_owned(),
        }
    }

    /// Whether the controller was there and decided: asking again at once changes nothing.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Answered { status, .. } => (400..500).contains(status) && *status != 429,
            Self::OtherDomain { .. } | Self::State { .. } => true,
            Self::Connection { source, .. } => source.handshake_failure().is_some(),
            _ => false,
        }
    }

    /// Whether the controller refused what it was sent, and would refuse it for ever: not who sent it, not
    /// the moment, and not the way there.
    pub(crate) fn is_about_content(&self) -> bool {
        let Self::Answered { status, .. } = self else {
            return false;
        };
        (400..500).contains(status)
            && !matches!(status, 401 | 403 | 404 | 405 | 407 | 408 | 421 | 425 | 429)
    }

    pub(crate) fn answer(controller: &str, problem: impl ToString) -> Self {
        Self::Answer {
            controller: controller.to_owned(),
            problem: problem.to_string(),
        }
    }

    pub(crate) fn message(controller: &str, error: &MessageError) -> Self {
        Self::answer(controller, error)
    }

    /// A refusal, from the body of an answer: a problem document, or a line `code: sentence`.
    pub(crate) fn answered(controller: &str, status: u16, body: &[u8]) -> Self {
        let problem = serde_json::from_slice::<serde_json::Value>(body).ok();
        let field = |name: &str| {
            let field = problem.as_ref()?.get(name)?.as_str()?;
            Some(field.to_owned())
        };
        let said = match field("code") {
            Some(code) => {
                let sentence = field("detail").or_else(|| field("title"));
                format!("{code}: {}", sentence.unwrap_or_default())
            }
            None => String::from_utf8_lossy(body.get(..MAX_SAID).unwrap_or(body)).into_owned(),
        };
        let said: String = said
            .chars()
            .take(MAX_SAID)
            .map(|each| if each.is_control() { ' ' } else { each })
            .collect();
        Self::Answered {
            controller: controller.to_owned(),
            status,
            said: said.trim().to_owned(),
        }
    }
}

/// The word before the first colon, if it looks like a code.
fn refusal_code(said: &str) -> Option<&str> {
    let (code, _) = said.split_once(':')?;
    let is_code = |each: char| each.is_ascii_lowercase() || each.is_ascii_digit() || each == '-';
    (!code.is_empty() && code.chars().all(is_code)).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_controllers_own_code_is_kept() {
        let line = LinkError::answered("c", 401, b"gate-token-used: the token was used\n");
        assert_eq!(line.code(), "gate-token-used");
        let problem = br#"{"code":"gate-revoked","detail":"trust in it has ended"}"#;
        let problem = LinkError::answered("c", 403, problem);
        assert_eq!(problem.code(), "gate-revoked");
        assert!(problem.to_string().contains("trust in it has ended"));
        let nothing = LinkError::answered("c", 502, b"<html>");
        assert_eq!(nothing.code(), "status-502");
    }

    #[test]
    fn what_a_controller_says_is_short_and_safe_to_print() {
        let long = "x: \u{1b}[31m".to_owned() + &"y".repeat(10_000);
        let error = LinkError::answered("c", 400, long.as_bytes());
        assert!(error.to_string().len() < 500);
        assert!(!error.to_string().contains('\u{1b}'));
    }
}
