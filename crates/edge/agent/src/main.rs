//! `vouchsafe-agent`: the device's program.
//!
//! Progress and results go to standard output, the log to standard error. With `--output json` each
//! line of progress is a JSON document (`{"at":…,"serial":…,"event":"voucher-accepted",…}`).
//!
//! | exit code | meaning |
//! | --- | --- |
//! | 0 | done, or ended by a signal |
//! | 1 | refused: by a registrar, or by this device |
//! | 2 | the command line, a file or the configuration is wrong |
//! | 3 | nobody was there, or not in time |

use std::io::{IsTerminal, Read as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use miette::MietteDiagnostic;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use vouchsafe_agent::birth::DEFAULT_KEYS;
use vouchsafe_agent::line::{BirthError, NewDevice, be_born};
use vouchsafe_agent::{
    Agent, AgentError, Code, Config, Events, Failure, LocalError, Status, WifiError, status,
};
use vouchsafe_keystore::Algorithm;
use vouchsafe_net::{Clock, Origin};

const EXIT_CODES: &str = "\
Exit codes:
  0  done, or ended by a signal
  1  refused: by a registrar, or by this device
  2  the command line, a file or the configuration is wrong
  3  nobody was there, or not in time";

const CODE_EXAMPLES: &str = "\
Examples:
  vouchsafe-agent --dir DIR code --identifier bench < code.txt

The device tries it five times at most, and has no use for it once it worked.";

/// Longest code that is read, in bytes.
const MAX_CODE: u64 = 1024;

/// Brings a device into its owner's network and keeps it there
#[derive(Debug, Parser)]
#[command(name = "vouchsafe-agent", version, propagate_version = true, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Global {
    /// The device's folder
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "VOUCHSAFE_AGENT_DIR",
        default_value = "."
    )]
    dir: PathBuf,
    /// How progress and results are written
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Shifts the device's clock by so many seconds, to try what a device with a wrong clock does
    #[arg(
        long,
        global = true,
        value_name = "SECONDS",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    clock_offset: i64,
    /// What is logged on standard error, such as info or vouchsafe_agent=debug
    #[arg(
        long,
        global = true,
        value_name = "FILTER",
        default_value = "warn",
        env = "VOUCHSAFE_LOG"
    )]
    log: String,
    /// How it is logged
    #[arg(long, global = true, value_enum, default_value_t = Output::Text, env = "VOUCHSAFE_LOG_FORMAT")]
    log_format: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Lines for people
    Text,
    /// One JSON document a line
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the device's key here and get its birth certificate from the factory line
    Birth(BirthArgs),
    /// Join a network and stay in it
    Run(RunArgs),
    /// Show what the device has
    Status,
    /// Renew the credential now
    Renew(Search),
    /// Ask for another Wi-Fi configuration now
    Reconfigure,
    /// Take a code that the Wi-Fi controller was told as well, for a device without a label
    #[command(after_help = CODE_EXAMPLES)]
    Code {
        /// The file with the code, in its first line; - for standard input
        #[arg(long, value_name = "FILE", default_value = "-")]
        file: PathBuf,
        /// By which the controller finds the code, where it was given a name
        #[arg(long, value_name = "NAME")]
        identifier: Option<String>,
    },
    /// Wipe everything but the birth credential
    Reset,
    /// Completions for a shell, on standard output
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Args)]
struct BirthArgs {
    /// The product's serial number
    #[arg(long)]
    serial: String,
    /// What kind of device it is
    #[arg(long)]
    model: Option<String>,
    /// The key store: file:DIR?sealing-key=FILE, pkcs11:module=…;token=…;pin-file=… or
    /// tpm:TCTI?keys=DIR; relative paths are taken from the birth folder
    #[arg(long, value_name = "ADDRESS", default_value = DEFAULT_KEYS)]
    keys: String,
    /// The key's label in it
    #[arg(long, default_value = "idevid")]
    label: String,
    /// ecdsa-p256, ecdsa-p384 or ed25519
    #[arg(long, default_value_t = Algorithm::EcdsaP256)]
    algorithm: Algorithm,
    /// Also make a bootstrapping key for Wi-Fi Easy Connect on this curve (P-256, P-384, P-521, BP-256
    /// or BP-384); its URI goes to the line
    #[arg(long, value_name = "CURVE", num_args = 0..=1, default_missing_value = "P-256")]
    dpp: Option<String>,
    /// Make the bootstrapping key in the key store (P-256, P-384): in a token or a TPM it never leaves,
    /// not even for a supplicant that announces the device over the air
    #[arg(long, requires = "dpp")]
    dpp_in_store: bool,
    /// The factory line, https://HOST:PORT
    #[arg(long, value_name = "URL")]
    line: Origin,
    /// The station's folder, as `vouchsafe manufacturer line-station` made it
    #[arg(long, value_name = "DIR")]
    line_identity: PathBuf,
    /// The line's CA certificate [default: line-ca.pem in the station's folder]
    #[arg(long, value_name = "FILE")]
    line_anchor: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Do what is due and end; wait only where a registrar asks for it
    #[arg(long)]
    once: bool,
    /// End after so many seconds, whatever was reached
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    #[command(flatten)]
    search: Search,
}

#[derive(Debug, Default, Args)]
struct Search {
    /// A registrar to try before others, https://HOST:PORT; may be repeated
    #[arg(long, value_name = "URL")]
    registrar: Vec<Origin>,
    /// Do not look for registrars by mDNS
    #[arg(long)]
    no_mdns: bool,
    /// Where to look: all, loopback, or the name of an interface
    #[arg(long, value_name = "WHERE")]
    mdns_interface: Option<String>,
}

/// How a command ended badly.
struct Bad {
    exit: u8,
    code: &'static str,
    message: String,
    next_step: Option<String>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = cli.global.output;
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(bad) => {
            report(&bad, output);
            ExitCode::from(bad.exit)
        }
    }
}

fn run(cli: Cli) -> Result<(), Bad> {
    start_log(&cli.global)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Bad::usage(format!("the runtime does not start: {error}")))?;
    runtime.block_on(command(cli.command, &cli.global))
}

async fn command(command: Command, global: &Global) -> Result<(), Bad> {
    let clock = match global.clock_offset {
        0 => Clock::system(),
        seconds => Clock::shifted(seconds.saturating_mul(1000)),
    };
    match command {
        Command::Birth(arguments) => birth(arguments, global, &clock).await,
        Command::Run(arguments) => run_agent(arguments, global, clock).await,
        Command::Status => show(&status(&global.dir, &clock)?, global.output),
        Command::Renew(search) => {
            let agent = open(&search, global, clock).await?;
            let renewed = until_signalled(agent.renew(), None).await?;
            renewed.map(drop).map_err(Into::into)
        }
        Command::Reconfigure => {
            let agent = open(&Search::default(), global, clock).await?;
            let configured = until_signalled(agent.reconfigure(), None).await?;
            configured.map(drop).map_err(Into::into)
        }
        Command::Code { file, identifier } => {
            let code = read_code(&file, identifier.as_deref())?;
            let agent = open(&Search::default(), global, clock).await?;
            Ok(agent.take_code(code).await?)
        }
        Command::Reset => {
            let agent = open(&Search::default(), global, clock).await?;
            Ok(agent.reset().await?)
        }
        Command::Completions { shell } => {
            let name = "vouchsafe-agent";
            clap_complete::generate(shell, &mut Cli::command(), name, &mut std::io::stdout());
            Ok(())
        }
    }
}

async fn birth(arguments: BirthArgs, global: &Global, clock: &Clock) -> Result<(), Bad> {
    let device = NewDevice {
        dir: global.dir.clone(),
        serial: arguments.serial,
        model: arguments.model,
        key_store: arguments.keys,
        key_label: arguments.label,
        algorithm: arguments.algorithm,
        dpp_curve: arguments.dpp,
        dpp_in_store: arguments.dpp_in_store,
        line: arguments.line,
        station: arguments.line_identity,
        line_anchor: arguments.line_anchor,
    };
    Ok(be_born(&device, clock, &events(global.output)).await?)
}

/// The first line of a file. Codes are not on the command line, where every process could see them.
fn read_code(file: &std::path::Path, identifier: Option<&str>) -> Result<Code, Bad> {
    let unread = |error: std::io::Error| Bad::usage(format!("{}: {error}", file.display()));
    let mut text = String::new();
    match file == std::path::Path::new("-") {
        true => std::io::stdin()
            .lock()
            .take(MAX_CODE)
            .read_to_string(&mut text),
        false => std::fs::File::open(file)
            .map_err(unread)?
            .take(MAX_CODE)
            .read_to_string(&mut text),
    }
    .map_err(unread)?;
    let code = text.lines().next().unwrap_or_default();
    Code::new(identifier, code).map_err(|error| Bad::usage(error.to_string()))
}

async fn run_agent(arguments: RunArgs, global: &Global, clock: Clock) -> Result<(), Bad> {
    let agent = open(&arguments.search, global, clock).await?;
    let timeout = arguments.timeout.map(Duration::from_secs);
    if arguments.once {
        let done = until_signalled(agent.run_once(), timeout).await?;
        done.map(drop).map_err(Into::into)
    } else {
        until_signalled(agent.run(), timeout)
            .await?
            .map_err(Into::into)
    }
}

async fn open(search: &Search, global: &Global, clock: Clock) -> Result<Agent, Bad> {
    let mut config = Config::read(&global.dir)?;
    let named = search.registrar.iter().map(Origin::to_string);
    config.registrars = named.chain(config.registrars).collect();
    config.mdns &= !search.no_mdns;
    if let Some(interface) = &search.mdns_interface {
        config.mdns_interface.clone_from(interface);
    }
    let events = events(global.output);
    Ok(Agent::open(global.dir.clone(), config, clock, events).await?)
}

/// Runs `work` until it ends, a signal comes (then the process ends with 0: whatever was under way
/// goes on when the agent is started again), or time is up.
async fn until_signalled<T>(
    work: impl Future<Output = T>,
    timeout: Option<Duration>,
) -> Result<T, Bad> {
    let mut terminate = signal(SignalKind::terminate())
        .map_err(|error| Bad::usage(format!("signals cannot be received: {error}")))?;
    let over = async {
        match timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        done = work => Ok(done),
        _ = terminate.recv() => Err(Bad::signalled()),
        _ = tokio::signal::ctrl_c() => Err(Bad::signalled()),
        () = over => Err(Bad {
            exit: 3,
            code: "timeout",
            message: "not done in time".to_owned(),
            next_step: Some("run it again: it goes on where it stopped".to_owned()),
        }),
    }
}

fn events(output: Output) -> Events {
    Events::new(move |record| {
        let line = match output {
            Output::Text => format!("{} {}: {}", record.at, record.serial, record.event),
            Output::Json => serde_json::to_string(record).unwrap_or_default(),
        };
        // Whoever stopped reading does not want to know.
        let _ = writeln!(std::io::stdout().lock(), "{line}");
    })
}

fn show(status: &Status, output: Output) -> Result<(), Bad> {
    let text = match output {
        Output::Json => serde_json::to_string(status).unwrap_or_default(),
        Output::Text => status.to_string(),
    };
    let _ = writeln!(std::io::stdout().lock(), "{text}");
    Ok(())
}

fn start_log(global: &Global) -> Result<(), Bad> {
    let filter = EnvFilter::try_new(&global.log)
        .map_err(|error| Bad::usage(format!("--log {:?}: {error}", global.log)))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match global.log_format {
        Output::Text => builder.with_ansi(std::io::stderr().is_terminal()).init(),
        Output::Json => builder.json().init(),
    }
    Ok(())
}

fn report(bad: &Bad, output: Output) {
    if bad.exit == 0 {
        return;
    }
    match output {
        Output::Json => {
            let error = json!({ "code": bad.code, "message": bad.message, "exit": bad.exit });
            let _ = writeln!(std::io::stdout().lock(), "{}", json!({ "error": error }));
        }
        Output::Text => {
            let mut diagnostic = MietteDiagnostic::new(bad.message.clone());
            diagnostic.help.clone_from(&bad.next_step);
            eprintln!("{:?}", miette::Report::new(diagnostic));
        }
    }
}

impl Bad {
    fn usage(message: String) -> Self {
        Self {
            exit: 2,
            code: "usage",
            message,
            next_step: None,
        }
    }

    fn signalled() -> Self {
        Self {
            exit: 0,
            code: "signal",
            message: String::new(),
            next_step: None,
        }
    }

    fn new(exit: u8, code: &'static str, error: &dyn std::error::Error) -> Self {
        Self {
            exit,
            code,
            message: error.to_string(),
            next_step: None,
        }
    }

    fn next_step(mut self, text: &str) -> Self {
        self.next_step = Some(text.to_owned());
        self
    }
}

impl From<LocalError> for Bad {
    fn from(error: LocalError) -> Self {
        Self::new(2, "local", &error)
    }
}

impl From<AgentError> for Bad {
    fn from(error: AgentError) -> Self {
        match &error {
            AgentError::NoCandidate
            | AgentError::NoOpenNetwork { .. }
            | AgentError::NotLetIn
            | AgentError::NotTold
            | AgentError::Stayed { .. }
            | AgentError::Supplicant(_) => Self::new(3, error.code(), &error),
            AgentError::NothingWorked { last, .. } => {
                let exit = match last {
                    Failure::Connection(_) | Failure::NotYet { .. } => 3,
                    _ => 1,
                };
                let section = last.section();
                Self::new(exit, last.code(), &error).next_step(&format!(
                    "the rule: {section}; all attempts: vouchsafe-agent status"
                ))
            }
            AgentError::Wifi(last) => {
                let exit = match last {
                    WifiError::Connection { .. }
                    | WifiError::Supplicant(_)
                    | WifiError::Silent { .. }
                    | WifiError::Closed { .. }
                    | WifiError::TimedOut
                    | WifiError::ComeBackForEver => 3,
                    WifiError::Local(_) => 2,
                    _ => 1,
                };
                let section = last.section();
                Self::new(exit, last.code(), &error).next_step(&format!(
                    "the rule: {section}; all attempts: vouchsafe-agent status"
                ))
            }
            AgentError::NotOnboarded => Self::new(1, "not-onboarded", &error),
            _ => Self::new(2, "local", &error),
        }
    }
}

impl From<BirthError> for Bad {
    fn from(error: BirthError) -> Self {
        match &error {
            BirthError::Connection(_) => Self::new(3, "line-unreachable", &error),
            BirthError::Refused { .. } | BirthError::Answer(_) => {
                Self::new(1, "line-refused", &error)
            }
            _ => Self::new(2, "local", &error),
        }
    }
}
