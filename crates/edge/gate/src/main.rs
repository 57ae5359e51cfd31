//! `vouchsafe-gate`: the enforcement point's program.
//!
//! What happens goes to standard output, one line each, the log to standard error.
//!
//! | exit code | meaning |
//! | --- | --- |
//! | 0 | done, or ended by a signal |
//! | 1 | refused by the controller, or by this gate |
//! | 2 | the command line, a file or the configuration is wrong |
//! | 3 | nobody was there |

use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use miette::MietteDiagnostic;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use vouchsafe_gate::{DomainAnchor, Enrolled, Enrolment, Events, GateError, LinkError};
use vouchsafe_net::{Clock, Origin};
use vouchsafe_trust::{Certificate, Secret};

/// Lets in exactly the devices that may, and takes them off when they no longer may
#[derive(Debug, Parser)]
#[command(name = "vouchsafe-gate", version)]
struct Cli {
    /// The gate's folder, with its gate.toml
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "VOUCHSAFE_GATE_DIR",
        default_value = "."
    )]
    dir: PathBuf,
    /// How what happens is written
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// What is logged on standard error, such as info or vouchsafe_gate=debug
    #[arg(
        long,
        global = true,
        value_name = "FILTER",
        default_value = "warn",
        env = "VOUCHSAFE_LOG"
    )]
    log: String,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the gate; also without a command
    Run,
    /// Gets the gate's certificate from its controller, with a token that works once
    Enrol(Enrol),
    /// Shows what the gate has, also while it runs
    Status,
    /// Looks at gate.toml
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Says what is wrong with gate.toml and the files it names
    Check,
}

#[derive(Debug, Args)]
struct Enrol {
    /// The gate's folder; that of --dir without
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
    /// The controller's registrar, https://HOST:PORT
    #[arg(long, value_name = "URL")]
    controller: String,
    /// The gate's name, as the controller was told
    #[arg(long, value_name = "NAME")]
    name: String,
    /// The file with the token that the controller gave
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// The domain CA's certificate, PEM
    #[arg(long, value_name = "FILE", required_unless_present = "fingerprint")]
    anchor: Option<PathBuf>,
    /// The domain CA's fingerprint, as the controller shows it
    #[arg(long, value_name = "sha256:HEX", conflicts_with = "anchor")]
    fingerprint: Option<String>,
    /// Where the key is kept
    #[arg(long, value_name = "ADDRESS", default_value = vouchsafe_gate::DEFAULT_KEYS)]
    keys: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Lines for people
    Text,
    /// One JSON document a line
    Json,
}

/// Shared out by thread, as handshakes are.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let report = MietteDiagnostic::new(failure.problem);
            let report = match failure.help {
                Some(help) => report.with_help(help),
                None => report,
            };
            eprintln!("{:?}", miette::Report::new(report));
            ExitCode::from(failure.code)
        }
    }
}

/// What a person is told, and what a program.
struct Failure {
    code: u8,
    problem: String,
    help: Option<String>,
}

impl Failure {
    fn wrong(problem: impl ToString) -> Self {
        Self {
            code: 2,
            problem: problem.to_string(),
            help: None,
        }
    }
}

impl From<GateError> for Failure {
    fn from(error: GateError) -> Self {
        Self::wrong(error)
    }
}

impl From<LinkError> for Failure {
    fn from(error: LinkError) -> Self {
        Self {
            code: match &error {
                LinkError::Local(_) => 2,
                error if error.is_refusal() => 1,
                _ => 3,
            },
            help: advice(&error.code()).map(str::to_owned),
            problem: format!("{} ({})", error, error.code()),
        }
    }
}

/// What to do next.
fn advice(code: &str) -> Option<&'static str> {
    match code {
        "unknown-issuer" | "wrong-purpose" | "other-domain" => Some(
            "whoever answers there is no registrar of that domain CA; compare the fingerprint with that \
             which the controller shows, and the address with its registrar's",
        ),
        "gate-token-used" | "gate-token-expired" | "gate-token-unknown" => {
            Some("make another token at the controller: `vouchsafe gate token NAME`")
        }
        "gate-revoked" => Some("trust in this gate has ended; add it again to let it return"),
        "connect" | "connect-timeout" => {
            Some("is the controller running, and is this its address?")
        }
        _ => None,
    }
}

fn run(cli: &Cli) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&cli.log)
        .map_err(|error| Failure::wrong(format!("--log {:?}: {error}", cli.log)))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::wrong(format!("the runtime does not start: {error}")))?;
    match &cli.command {
        None | Some(Command::Run) => {
            let events = events(cli.output);
            let served = runtime.block_on(async {
                let stop = stopped()?;
                vouchsafe_gate::run(&cli.dir, Clock::system(), events, stop).await
            });
            served.map_err(Failure::from)
        }
        Some(Command::Enrol(wanted)) => {
            let folder = wanted.folder.as_ref().unwrap_or(&cli.dir);
            let enrolment = wanted.enrolment()?;
            let enrolled =
                runtime.block_on(vouchsafe_gate::enrol(folder, enrolment, &Clock::system()))?;
            let begun = begin_config(folder, &wanted.controller, &wanted.keys)?;
            print_enrolled(cli.output, &enrolled, begun.as_deref());
            Ok(())
        }
        Some(Command::Status) => {
            let status = vouchsafe_gate::status(&cli.dir)?;
            match cli.output {
                Output::Json => say(&serde_json::to_string(&status).unwrap_or_default()),
                Output::Text => say(&status.to_string()),
            }
            Ok(())
        }
        Some(Command::Config {
            command: ConfigCommand::Check,
        }) => {
            vouchsafe_gate::check(&cli.dir)?;
            match cli.output {
                Output::Json => say("{\"ok\":true}"),
                Output::Text => say("gate.toml can be used"),
            }
            Ok(())
        }
    }
}

impl Enrol {
    fn enrolment(&self) -> Result<Enrolment, Failure> {
        let read = |path: &PathBuf| {
            fs::read_to_string(path)
                .map_err(|error| Failure::wrong(format!("{}: {error}", path.display())))
        };
        let controller = self.controller.parse::<Origin>().map_err(Failure::wrong)?;
        let anchor = match (&self.anchor, &self.fingerprint) {
            (Some(path), _) => {
                let anchor = Certificate::from_pem(&read(path)?)
                    .map_err(|error| Failure::wrong(format!("{}: {error}", path.display())))?;
                DomainAnchor::Certificate(Box::new(anchor))
            }
            (None, fingerprint) => {
                DomainAnchor::Fingerprint(parse_fingerprint(fingerprint.as_deref())?)
            }
        };
        let token = Secret::new(read(&self.token_file)?.into_bytes());
        Ok(Enrolment {
            controller,
            name: self.name.clone(),
            token: Secret::new(token.expose().trim_ascii().to_vec()),
            anchor,
            keys: self.keys.clone(),
        })
    }
}

/// `sha256:` and 64 hexadecimal digits, with or without colons.
fn parse_fingerprint(text: Option<&str>) -> Result<[u8; 32], Failure> {
    let wrong = || Failure::wrong("--fingerprint is `sha256:` and 64 hexadecimal digits");
    let digits = text.unwrap_or_default().trim();
    let digits = digits.strip_prefix("sha256:").ok_or_else(wrong)?;
    let bytes = hex::decode(digits.replace(':', "")).map_err(|_| wrong())?;
    bytes.try_into().map_err(|_| wrong())
}

/// Writes the first gate.toml where there is none. What is there already is the administrator's.
fn begin_config(dir: &Path, controller: &str, keys: &str) -> Result<Option<String>, Failure> {
    let path = dir.join("gate.toml");
    if path.exists() {
        let config = vouchsafe_gate::Config::read(dir);
        return Ok(match config {
            Ok(config) if config.link.is_some() => None,
            _ => Some(format!(
                "{} does not name it yet: add\n\n[link]\ncontroller = \"{controller}\"",
                path.display()
            )),
        });
    }
    let mut text = format!("[link]\ncontroller = \"{controller}\"\n");
    if keys != vouchsafe_gate::DEFAULT_KEYS {
        text.push_str(&format!("keys = \"{keys}\"\n"));
    }
    fs::write(&path, text)
        .map_err(|error| Failure::wrong(format!("{}: {error}", path.display())))?;
    Ok(Some(format!("{} begins with it", path.display())))
}

fn print_enrolled(output: Output, enrolled: &Enrolled, more: Option<&str>) {
    let certificate = &enrolled.certificate;
    let until = certificate.not_after();
    let fingerprint = hex::encode(enrolled.anchor.fingerprint_sha256());
    match output {
        Output::Json => {
            let line = serde_json::json!({
                "enrolled": certificate.common_name(),
                "certificate": certificate.serial_hex(),
                "until": until,
                "domain_ca": format!("sha256:{fingerprint}"),
            });
            say(&line.to_string());
        }
        Output::Text => {
            let name = certificate.subject_text();
            say(&format!(
                "enrolled as {name}, until {until}\n  domain CA   sha256:{fingerprint}"
            ));
            if let Some(more) = more {
                say(more);
            }
        }
    }
}

/// Whoever stopped reading does not want to know.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Ready at SIGTERM or SIGINT.
fn stopped() -> Result<impl Future<Output = ()>, GateError> {
    let failed = |source| GateError::Socket {
        address: "signals".to_owned(),
        source,
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn events(output: Output) -> Events {
    Events::new(move |recorded| {
        let line = match output {
            Output::Json => serde_json::to_string(&recorded).unwrap_or_default(),
            Output::Text => {
                let event = serde_json::to_string(&recorded.event).unwrap_or_default();
                format!("{} {event}", recorded.at)
            }
        };
        say(&line);
    })
}
