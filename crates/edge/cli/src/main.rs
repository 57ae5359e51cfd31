//! The `vouchsafe` command: the network owner's controller, the manufacturer's side, and a client of
//! the controller's API.
//!
//! | module | commands | how |
//! | --- | --- | --- |
//! | `site` | `init serve status site` | the data folder, in this process |
//! | `configuration` | `config` | the file |
//! | `device import maker owner network dpp segment gate session policy cert journal token` | the same | through the API's client only: what the API cannot do, the command cannot |
//! | `voucher` | `voucher` | files, nothing else |
//! | `dpp` | `dpp show`, `dpp probe` | a label, or any controller over TCP |
//! | `manufacturer` | `manufacturer` | the manufacturer's data folder |
//! | `shell` | `completions man` | |
//!
//! Results go to standard output, everything else to standard error. With `--output json` a command
//! writes exactly one JSON document there, `{"error": …}` when it fails; streams (`journal follow`)
//! write one document a line. Exit codes: [`failure`].

mod cert;
mod configuration;
mod device;
mod dpp;
mod enforcement;
mod failure;
mod gate;
mod import;
mod input;
mod journal;
mod logging;
mod maker;
mod manufacturer;
mod network;
mod one_machine;
mod output;
mod owner;
mod policy;
mod remote;
mod segment;
mod session;
mod shell;
mod site;
mod token;
mod voucher;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use vouchsafe_controller::config::Config;

use crate::failure::{Exit, Failure};
use crate::logging::LogFormat;
use crate::output::{Format, Printer};
use crate::remote::{Api, RemoteArgs};

/// Onboards devices with proof of who made them and whose they are
#[derive(Debug, Parser)]
#[command(name = "vouchsafe", version, propagate_version = true, after_help = failure::EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Args)]
struct Global {
    /// Data folder; client commands take address, CA and token from it where nothing else is said
    #[arg(long, global = true, value_name = "DIR", env = "VOUCHSAFE_DIR")]
    dir: Option<PathBuf>,
    /// How results are written
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    output: Format,
    /// No remarks and no progress on standard error
    #[arg(long, short, global = true)]
    quiet: bool,
    /// What is logged on standard error, such as info or vouchsafe_controller=debug
    #[arg(long, global = true, value_name = "FILTER", env = "VOUCHSAFE_LOG")]
    log: Option<String>,
    /// How it is logged
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, env = "VOUCHSAFE_LOG_FORMAT")]
    log_format: LogFormat,
    #[command(flatten)]
    remote: RemoteArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a controller's data folder: domain CA, keys, configuration, first token
    Init(site::Init),
    /// Run the controller: registrar, EST and API
    Serve(site::Serve),
    /// Show how the controller is doing
    Status,
    /// Show this domain: what manufacturers and devices need to know of it
    Site,
    /// The controller's configuration
    #[command(subcommand)]
    Config(configuration::ConfigCommand),
    /// Devices of the inventory
    #[command(subcommand)]
    Device(device::DeviceCommand),
    /// Bring devices into the inventory
    #[command(subcommand)]
    Import(import::ImportCommand),
    /// Manufacturers known to the controller, and how far each is trusted
    #[command(subcommand)]
    Maker(maker::MakerCommand),
    /// Other owners, by the domain CA each has
    #[command(subcommand)]
    Owner(owner::OwnerCommand),
    /// Wi-Fi networks that devices are configured for
    #[command(subcommand)]
    Network(network::NetworkCommand),
    /// Wi-Fi Easy Connect: labels, the controller, keys, a probe
    #[command(subcommand)]
    Dpp(dpp::DppCommand),
    /// Segments: the parts of the network, and what their devices reach
    #[command(subcommand)]
    Segment(segment::SegmentCommand),
    /// Gates: what lets devices in, on machines of their own
    #[command(subcommand)]
    Gate(gate::GateCommand),
    /// Sessions: which device is where
    #[command(subcommand)]
    Session(session::SessionCommand),
    /// The policy: who may come in
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Certificates of this domain
    #[command(subcommand)]
    Cert(cert::CertCommand),
    /// The journal: who did what, why, when, on which evidence
    #[command(subcommand)]
    Journal(journal::JournalCommand),
    /// A manufacturer's side: identities, sales, MASA
    Manufacturer(manufacturer::Manufacturer),
    /// Look into vouchers and voucher requests, and verify them
    #[command(subcommand)]
    Voucher(voucher::VoucherCommand),
    /// Tokens for the API
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Completions for a shell, on standard output
    Completions(shell::Completions),
    /// Manual pages: one on standard output, or all into a folder
    Man(shell::Man),
}

/// Shared out by thread: the system's allocator costs an onboarding a tenth of its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() && wants_json() => {
            let printer = Printer {
                format: Format::Json,
                quiet: true,
            };
            return report(misused(&error), printer);
        }
        Err(error) => error.exit(),
    };
    let printer = Printer {
        format: cli.global.output,
        quiet: cli.global.quiet,
    };
    match run(cli, printer) {
        Ok(exit) => exit.into(),
        Err(failure) => report(failure, printer),
    }
}

/// Whether a command line that cannot be read asks for JSON nevertheless.
fn wants_json() -> bool {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    arguments
        .windows(2)
        .any(|pair| matches!(pair, [name, value] if name == "--output" && value == "json"))
        || arguments.iter().any(|argument| argument == "--output=json")
}

/// What is wrong with the command line, without the usage that follows it.
fn misused(error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let said = match error.kind() {
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => "a command is missing",
        _ => text.split("\n\n").next().unwrap_or_default(),
    };
    let said = said.strip_prefix("error: ").unwrap_or(said).trim();
    Failure::usage(said).next_step("`--help` behind the command shows what it takes")
}

fn run(cli: Cli, printer: Printer) -> Result<Exit, Failure> {
    let serving = match &cli.command {
        Command::Serve(_) => true,
        Command::Manufacturer(command) => command.serves(),
        _ => false,
    };
    let filter = cli.global.log.as_deref();
    let filter = filter.unwrap_or(if serving { "info" } else { "warn" });
    logging::start(filter, cli.global.log_format)?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Internal, "runtime", error.to_string()))?
        .block_on(dispatch(cli, printer))
}

async fn dispatch(cli: Cli, printer: Printer) -> Result<Exit, Failure> {
    let dir = cli.global.dir.as_deref();
    let api = || -> Result<Api, Failure> { cli.global.remote.client(dir) };
    match cli.command {
        Command::Init(command) => site::init(&command, dir, printer).await,
        Command::Serve(command) => site::serve(&command, dir, printer).await,
        Command::Status => site::status(&api()?, printer).await,
        Command::Site => site::show(&api()?, printer).await,
        Command::Config(command) => configuration::run::<Config>(&command, dir, printer),
        Command::Device(command) => device::run(command, &api()?, printer).await,
        Command::Import(command) => import::run(command, &api()?, printer).await,
        Command::Maker(command) => maker::run(command, &api()?, printer).await,
        Command::Owner(command) => owner::run(command, &api()?, printer).await,
        Command::Network(command) => network::run(command, &api()?, printer).await,
        Command::Dpp(command) => dpp::run(command, api, printer).await,
        Command::Segment(command) => segment::run(command, &api()?, printer).await,
        Command::Gate(command) => gate::run(command, &api()?, printer).await,
        Command::Session(command) => session::run(command, &api()?, printer).await,
        Command::Policy(command) => policy::run(command, &api()?, printer).await,
        Command::Cert(command) => cert::run(command, &api()?, printer).await,
        Command::Journal(command) => journal::run(command, &api()?, printer).await,
        Command::Manufacturer(command) => manufacturer::run(command, dir, printer).await,
        Command::Voucher(command) => voucher::run(command, printer),
        Command::Token(command) => token::run(command, &api()?, printer).await,
        Command::Completions(command) => shell::completions(&command),
        Command::Man(command) => shell::man(&command, printer),
    }
}

fn report(failure: Failure, printer: Printer) -> ExitCode {
    let exit = failure.exit.into();
    if !failure.is_worth_a_word() {
        return exit;
    }
    match printer.format {
        Format::Json => {
            // One line, since it may end a stream. Standard output is gone if this fails; the exit
            // code still tells.
            let _ = printer.stream(&failure.to_json(), |_| String::new());
        }
        Format::Text => eprintln!("{:?}", miette::Report::new(failure)),
    }
    exit
}
