//! How a command ends: exit codes, and errors with what to do next.
//!
//! | code | [`Exit`] | meaning |
//! | --- | --- | --- |
//! | 0 | `Done` | done |
//! | 1 | `Refused` | a rule, a signature or a policy says no |
//! | 2 | `Usage` | the command line, a file or the configuration is wrong |
//! | 3 | `Unreachable` | the other side is not there, or cannot serve right now; try again |
//! | 4 | `NotPermitted` | no token, or one that may not do this |
//! | 5 | `NotFound` | there is no such thing |
//! | 6 | `Conflict` | the state of the thing does not allow it, or somebody else was faster |
//! | 70 | `Internal` | an error of ours |

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;
use vouchsafe_api::{ClientError, Code, Problem};
use vouchsafe_controller::{InitError, ServeError};
use vouchsafe_home::HomeError;

/// The exit codes, for `--help` and manual pages.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0   done
  1   refused: a rule, a signature or a policy says no
  2   the command line, a file or the configuration is wrong
  3   the other side is not there, or cannot serve right now
  4   not permitted: no token, or one that may not do this
  5   no such thing
  6   conflict: not possible in this state, or somebody else was faster
  70  an error of ours";

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    Refused = 1,
    Usage = 2,
    Unreachable = 3,
    NotPermitted = 4,
    NotFound = 5,
    Conflict = 6,
    Internal = 70,
}

impl Exit {
    /// Done if the condition holds, refused if not.
    pub(crate) fn done_if(good: bool) -> Self {
        if good { Self::Done } else { Self::Refused }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command gave no result.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// Stable, kebab-case, for programs.
    code: String,
    message: String,
    next_step: Option<String>,
    /// Finds the request in the server's log.
    trace: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        Self {
            exit,
            code: code.to_owned(),
            message: message.into(),
            next_step: None,
            trace: None,
        }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    pub(crate) fn next_step(mut self, next_step: impl Into<String>) -> Self {
        self.next_step = Some(next_step.into());
        self
    }

    /// A file could not be read or written.
    pub(crate) fn file(path: &Path, error: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, "file", format!("{}: {error}", path.display()))
    }

    /// Standard output could not be written. A reader that has seen enough is nothing to report.
    pub(crate) fn output(error: &std::io::Error) -> Self {
        let code = match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::CLOSED,
            _ => "output",
        };
        Self::new(Exit::Usage, code, format!("standard output: {error}"))
    }

    /// The code of an output that nobody reads.
    const CLOSED: &'static str = "output-closed";

    /// Whether there is anything to tell, and anybody to tell it to.
    pub(crate) fn is_worth_a_word(&self) -> bool {
        self.code != Self::CLOSED
    }

    /// The one document of a failed command with `--output json`.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let mut error = json!({
            "code": self.code,
            "message": self.message,
            "exit": self.exit as u8,
        });
        if let Some(fields) = error.as_object_mut() {
            if let Some(next_step) = &self.next_step {
                fields.insert("next_step".to_owned(), next_step.as_str().into());
            }
            if let Some(trace) = &self.trace {
                fields.insert("trace".to_owned(), trace.as_str().into());
            }
        }
        json!({ "error": error })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl miette::Diagnostic for Failure {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.code))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let next_step = self.next_step.clone();
        let trace = (self.trace.as_ref()).map(|trace| format!("trace {trace} finds it in the log"));
        let help: Vec<String> = next_step.into_iter().chain(trace).collect();
        (!help.is_empty()).then(|| Box::new(help.join("\n")) as Box<dyn fmt::Display>)
    }
}

/// The error and everything beneath it in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some errors repeat their cause in their own text.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

impl From<ClientError<vouchsafe_net::ClientError>> for Failure {
    fn from(error: ClientError<vouchsafe_net::ClientError>) -> Self {
        match error {
            ClientError::Transport(cause) => {
                let next_step = match cause.handshake_failure() {
                    Some(_) => {
                        "--ca names the CA of the API's certificate: the controller's domain-ca.pem"
                    }
                    None => "is the controller running, and is --api (or --dir) its address?",
                };
                let message = format!("the controller cannot be reached: {}", chain(&cause));
                Self::new(Exit::Unreachable, cause.as_str(), message).next_step(next_step)
            }
            ClientError::Problem(problem) => Self::from(*problem),
            ClientError::Misuse(message) => Self::usage(message),
            other => Self::new(Exit::Unreachable, "not-this-api", chain(&other))
                .next_step("--api must be the address of the controller's API"),
        }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let exit = match problem.code {
            Code::Unauthenticated | Code::Forbidden => Exit::NotPermitted,
            Code::NotFound => Exit::NotFound,
            Code::Conflict
            | Code::LifecycleRefused
            | Code::AlreadyExists
            | Code::PreconditionFailed
            | Code::PreconditionRequired => Exit::Conflict,
            Code::ManifestRefused | Code::PolicyRefused => Exit::Refused,
            Code::Unavailable
            | Code::TooManyRequests
            | Code::RequestTimeout
            | Code::StorageFull => Exit::Unreachable,
            Code::Internal | Code::Other => Exit::Internal,
            _ => Exit::Usage,
        };
        Self {
            exit,
            code: problem.code.as_str().to_owned(),
            message: problem.to_string(),
            next_step: problem.next_step.map(Into::into),
            trace: problem.trace.map(Into::into),
        }
    }
}

impl From<HomeError> for Failure {
    fn from(error: HomeError) -> Self {
        match &error {
            HomeError::Absent { .. } => Self::new(Exit::NotFound, "no-data-folder", chain(&error)),
            HomeError::Present(_) => Self::new(Exit::Conflict, "data-folder-exists", chain(&error)),
            HomeError::Config(_) => Self::from_config(chain(&error)),
            _ => Self::new(Exit::Usage, "data-folder", chain(&error)),
        }
    }
}

impl From<InitError> for Failure {
    fn from(error: InitError) -> Self {
        match error {
            InitError::Home(error) => error.into(),
            error => Self::new(Exit::Usage, "data-folder", chain(&error)),
        }
    }
}

impl Failure {
    /// A configuration was refused.
    pub(crate) fn from_config(message: String) -> Self {
        Self::new(Exit::Usage, "configuration", message)
            .next_step("`config default` shows every key with its default")
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::Home(error) => error.into(),
            ServeError::Bind(error) => Self::new(Exit::Usage, "bind", chain(&error))
                .next_step("another program has this address; change `listen` in config.toml"),
            other => Self::new(Exit::Unreachable, "not-started", chain(&other)),
        }
    }
}
