//! The manufacturer's side: its data folder, whether or not its `serve` runs.
//!
//! Most commands are orders to the [`Desk`], which carries them out itself or hands them to the
//! running program. What needs no store (`config`, `line-station`) only opens the folder.

mod desk;
mod provision;
mod record;
mod sale;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use vouchsafe_home::HomeError;
use vouchsafe_manufacturer::{Config, DeskError, Factory, FactoryError, Home, Ready, ServeError};
use vouchsafe_net::Clock;

use crate::configuration::{self, ConfigCommand, Configuration, Setting};
use crate::failure::{Exit, Failure, chain};
use crate::output::{Printer, facts};
use crate::site::{announce, required, stop_signal};

/// Commands of a manufacturer.
#[derive(Debug, Args)]
pub(crate) struct Manufacturer {
    /// Who does this, for the journal
    #[arg(
        long = "by",
        global = true,
        value_name = "NAME",
        env = "USER",
        default_value = "command line",
        hide_env_values = true
    )]
    actor: String,
    #[command(subcommand)]
    command: ManufacturerCommand,
}

#[derive(Debug, Subcommand)]
enum ManufacturerCommand {
    /// Make a manufacturer's data folder: roots, keys, configuration
    Init(Init),
    /// Run the MASA and the endpoint for factory lines
    Serve(Serve),
    /// The manufacturer's configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Give devices their identity
    Provision(Box<provision::Provision>),
    /// Make the birth folder of a device whose key is in a bundle
    Export(provision::Export),
    /// Owners: who buys
    #[command(subcommand)]
    Owner(sale::OwnerCommand),
    /// Record that devices were sold to an owner
    Sell(sale::Sell),
    /// End an ownership, so that a device can be sold again
    Release(sale::Release),
    /// Sign the manifest of what an owner bought, for its controller
    Manifest(sale::Manifest),
    /// Draw labels with QR codes
    Label(record::Label),
    /// Devices made here
    #[command(subcommand)]
    Device(record::DeviceCommand),
    /// The journal
    #[command(subcommand)]
    Journal(record::JournalCommand),
    /// Make the identity of a factory line station, in a folder to be carried there
    LineStation {
        /// The station's name
        name: String,
        /// The folder to be
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

/// `manufacturer init`
#[derive(Debug, Args)]
struct Init {
    /// The manufacturer's name
    #[arg(long)]
    name: Option<String>,
    /// Where registrars find the MASA; goes into every birth certificate
    #[arg(long, value_name = "URL")]
    masa_url: Option<String>,
    /// Start from this configuration instead of the defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one value of the configuration, such as masa.listen=0.0.0.0:9444; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<Setting>,
}

/// `manufacturer serve`
#[derive(Debug, Args)]
struct Serve {
    /// Also write the ready line to this file
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

impl Manufacturer {
    /// Whether this is a server, which logs more.
    pub(crate) const fn serves(&self) -> bool {
        matches!(self.command, ManufacturerCommand::Serve(_))
    }
}

impl Configuration for Config {
    fn read(file: &Path) -> Result<Self, String> {
        Self::read(file).map_err(|error| error.to_string())
    }

    fn check(&self) -> Result<(), String> {
        self.check().map_err(|error| error.to_string())
    }

    fn to_toml(&self) -> String {
        self.to_toml()
    }
}

pub(crate) async fn run(
    manufacturer: Manufacturer,
    dir: Option<&Path>,
    printer: Printer,
) -> Result<Exit, Failure> {
    let at = desk::Place {
        dir,
        actor: Factory::actor(&manufacturer.actor),
        printer,
    };
    match manufacturer.command {
        ManufacturerCommand::Init(command) => init(&command, dir, printer).await,
        ManufacturerCommand::Serve(command) => serve(&command, dir, printer).await,
        ManufacturerCommand::Config(command) => {
            configuration::run::<Config>(&command, dir, printer)
        }
        ManufacturerCommand::Provision(command) => provision::run(*command, &at).await,
        ManufacturerCommand::Export(command) => provision::export(&command, &at).await,
        ManufacturerCommand::Owner(command) => sale::owner(command, &at).await,
        ManufacturerCommand::Sell(command) => sale::sell(command, &at).await,
        ManufacturerCommand::Release(command) => sale::release(command, &at).await,
        ManufacturerCommand::Manifest(command) => sale::manifest(command, &at).await,
        ManufacturerCommand::Label(command) => record::label(&command, &at).await,
        ManufacturerCommand::Device(command) => record::device(command, &at).await,
        ManufacturerCommand::Journal(command) => record::journal(command, &at).await,
        ManufacturerCommand::LineStation { name, out } => {
            line_station(name, out, dir, printer).await
        }
    }
}

async fn init(command: &Init, dir: Option<&Path>, printer: Printer) -> Result<Exit, Failure> {
    let dir = required(dir)?.to_owned();
    let mut config: Config = configuration::compose(command.config.as_deref(), &command.settings)?;
    if let Some(name) = &command.name {
        config.name.clone_from(name);
    }
    if let Some(masa_url) = &command.masa_url {
        config.masa_url.clone_from(masa_url);
    }
    let folder = dir.clone();
    let home = off_thread(move || vouchsafe_manufacturer::init(&folder, &config, &Clock::system()))
        .await??;
    let result = json!({
        "dir": dir,
        "manufacturer": home.id,
        "name": home.config.name,
        "config": dir.join("config.toml"),
        "root_ca": dir.join("root-ca.pem"),
        "masa_ca": dir.join("masa-ca.pem"),
        "line_ca": dir.join("line-ca.pem"),
    });
    printer.show(&result, |_| {
        facts([
            ("data folder", dir.display().to_string()),
            ("manufacturer", home.id.to_string()),
            (
                "root of birth certificates",
                dir.join("root-ca.pem").display().to_string(),
            ),
            (
                "root of what the MASA signs",
                dir.join("masa-ca.pem").display().to_string(),
            ),
        ])
    })?;
    printer.note(
        "give root-ca.pem and masa-ca.pem to buyers, apart from manifests: they prove manifests",
    );
    Ok(Exit::Done)
}

async fn serve(command: &Serve, dir: Option<&Path>, printer: Printer) -> Result<Exit, Failure> {
    let dir = required(dir)?;
    let stop = stop_signal()?;
    let announce = |ready: &Ready| {
        announce(ready, command.ready_file.as_deref().into_iter(), printer);
    };
    vouchsafe_manufacturer::serve(dir, Clock::system(), announce, stop).await?;
    Ok(Exit::Done)
}

async fn line_station(
    name: String,
    out: PathBuf,
    dir: Option<&Path>,
    printer: Printer,
) -> Result<Exit, Failure> {
    let (home, folder) = (required(dir)?.to_owned(), out.clone());
    let certificate = off_thread(move || -> Result<_, HomeError> {
        Home::open(&home, &Clock::system())?.line_station(&name, &folder)
    })
    .await??;
    let result = json!({
        "folder": out,
        "subject": certificate.subject_text(),
        "serial_number": certificate.serial_hex(),
        "not_after": certificate.not_after(),
    });
    printer.show(&result, |_| {
        facts([
            ("folder", out.display().to_string()),
            ("subject", certificate.subject_text()),
            ("until", certificate.not_after().to_string()),
        ])
    })?;
    printer.note("the folder holds a private key: carry it to the station, and keep no copy");
    Ok(Exit::Done)
}

/// Runs what blocks where it holds up nobody.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::new(Exit::Internal, "worker", error.to_string()))
}

impl From<FactoryError> for Failure {
    fn from(error: FactoryError) -> Self {
        match error {
            FactoryError::Home(error) => error.into(),
            error => coded(error.code(), chain(&error)),
        }
    }
}

impl From<DeskError> for Failure {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::Factory(error) => error.into(),
            DeskError::Unreachable { .. } => Self::new(Exit::Unreachable, "in-use", chain(&error))
                .next_step("is another vouchsafe command still at work on this data folder?"),
            other => coded(other.code(), chain(&other)),
        }
    }
}

/// What an error of the manufacturer's side means here, whether it comes from this process or from the
/// program that serves.
fn coded(code: &str, text: String) -> Failure {
    let exit = match code {
        "not-found" => Exit::NotFound,
        "usage" | "keys" | "data-folder" => Exit::Usage,
        "contended" | "in-use" => Exit::Conflict,
        "store" => Exit::Unreachable,
        "factory" => Exit::Internal,
        // Each refusal has its own.
        _ => Exit::Refused,
    };
    let failure = Failure::new(exit, code, text);
    match code {
        "in-use" => failure.next_step("stop `vouchsafe manufacturer serve` first"),
        _ => failure,
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::Factory(error) => error.into(),
            ServeError::Bind(error) => Self::new(Exit::Usage, "bind", chain(&error))
                .next_step("another program has this address; change `listen` in config.toml"),
            other => Self::new(Exit::Internal, "not-started", chain(&other)),
        }
    }
}
