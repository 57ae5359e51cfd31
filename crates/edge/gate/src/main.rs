//! `vouchsafe-gate`: the enforcement point's program.
//!
//! What happens goes to standard output, one line each, the log to standard error.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use miette::MietteDiagnostic;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use vouchsafe_gate::{Events, GateError};
use vouchsafe_net::Clock;

/// Lets in exactly the devices that may, and takes them off when they no longer may
#[derive(Debug, Parser)]
#[command(name = "vouchsafe-gate", version)]
struct Cli {
    /// The gate's folder, with its gate.toml
    #[arg(
        long,
        value_name = "DIR",
        env = "VOUCHSAFE_GATE_DIR",
        default_value = "."
    )]
    dir: PathBuf,
    /// How what happens is written
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// What is logged on standard error, such as info or vouchsafe_gate=debug
    #[arg(
        long,
        value_name = "FILTER",
        default_value = "warn",
        env = "VOUCHSAFE_LOG"
    )]
    log: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Lines for people
    Text,
    /// One JSON document a line
    Json,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{:?}", miette::Report::new(MietteDiagnostic::new(problem)));
            ExitCode::from(2)
        }
    }
}

fn run(cli: &Cli) -> Result<(), String> {
    let filter =
        EnvFilter::try_new(&cli.log).map_err(|error| format!("--log {:?}: {error}", cli.log))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime does not start: {error}"))?;
    let events = events(cli.output);
    let served = runtime.block_on(async {
        let stop = stopped()?;
        vouchsafe_gate::run(&cli.dir, Clock::system(), events, stop).await
    });
    served.map_err(|error| error.to_string())
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
        // Whoever stopped reading does not want to know.
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    })
}
