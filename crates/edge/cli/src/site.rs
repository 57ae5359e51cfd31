//! The controller itself: `init`, `serve`, and how it is doing.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use vouchsafe_controller::Ready;
use vouchsafe_controller::config::Config;
use vouchsafe_net::Clock;

use crate::configuration::{self, Setting};
use crate::failure::{Exit, Failure};
use crate::input;
use crate::one_machine;
use crate::output::{Printer, facts, when, word};
use crate::remote::{Api, READY_FILE};

/// `vouchsafe init`
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// What people call this site
    #[arg(long)]
    name: Option<String>,
    /// Start from this configuration instead of the defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one value of the configuration, such as registrar.listen=0.0.0.0:8443; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<Setting>,
}

/// `vouchsafe serve`
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Also write the ready line to this file
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Also run the gate of this folder, in this process
    #[arg(long, value_name = "DIR")]
    gate: Option<PathBuf>,
}

pub(crate) async fn init(
    command: &Init,
    dir: Option<&Path>,
    printer: Printer,
) -> Result<Exit, Failure> {
    let dir = required(dir)?;
    let mut config: Config = configuration::compose(command.config.as_deref(), &command.settings)?;
    if let Some(name) = &command.name {
        config.name.clone_from(name);
    }
    let home = vouchsafe_controller::initialise(dir, &config, &Clock::system()).await?;
    let result = json!({
        "dir": dir,
        "owner": home.owner,
        "name": home.config.name,
        "config": dir.join("config.toml"),
        "domain_ca": dir.join("domain-ca.pem"),
        "token_file": home.token_file(),
    });
    printer.show(&result, |_| {
        facts([
            ("data folder", dir.display().to_string()),
            ("owner", home.owner.to_string()),
            ("domain CA", dir.join("domain-ca.pem").display().to_string()),
            ("admin token", home.token_file().display().to_string()),
        ])
    })?;
    printer.note(&format!(
        "give domain-ca.pem to manufacturers, and run: vouchsafe serve --dir {}",
        dir.display()
    ));
    Ok(Exit::Done)
}

pub(crate) async fn serve(
    command: &Serve,
    dir: Option<&Path>,
    printer: Printer,
) -> Result<Exit, Failure> {
    let dir = required(dir)?;
    let stop = stop_signal()?;
    let in_folder = dir.join(READY_FILE);
    let announce = |ready: &Ready| {
        let files = std::iter::once(in_folder.as_path()).chain(command.ready_file.as_deref());
        announce(ready, files, printer);
    };
    let served = match &command.gate {
        Some(gate) => one_machine::serve(dir, gate, announce, stop).await,
        None => vouchsafe_controller::serve(dir, Clock::system(), announce, stop)
            .await
            .map_err(Failure::from),
    };
    // Whoever looks for the address shall not find one where nobody listens.
    let _ = std::fs::remove_file(&in_folder);
    served?;
    Ok(Exit::Done)
}

/// Says where a server listens: one JSON line on standard output, and the same in these files.
pub(crate) fn announce<'a>(
    ready: &impl serde::Serialize,
    files: impl Iterator<Item = &'a Path>,
    printer: Printer,
) {
    let line = serde_json::to_string(ready).unwrap_or_default();
    for file in files {
        if let Err(failure) = input::write(file, format!("{line}\n").as_bytes()) {
            tracing::error!("{failure}");
        }
    }
    // A server goes on when nobody reads its standard output.
    let _ = printer.line(&line);
}

/// Completes when the process is asked to stop: SIGTERM or SIGINT.
pub(crate) fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let install = |kind| {
        signal(kind).map_err(|error| Failure::new(Exit::Internal, "signal", error.to_string()))
    };
    let mut terminate = install(SignalKind::terminate())?;
    let mut interrupt = install(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("stopping: SIGTERM"),
            _ = interrupt.recv() => tracing::info!("stopping: SIGINT"),
        }
    })
}

pub(crate) async fn status(api: &Api, printer: Printer) -> Result<Exit, Failure> {
    let status = api.show_status().await?;
    printer.show(&status, |status| {
        let devices: Vec<String> = status
            .devices
            .iter()
            .map(|count| format!("{} {}", count.count, word(&count.state)))
            .collect();
        facts([
            ("version", status.version.clone()),
            ("running since", when(status.started_at)),
            ("store", status.store.clone()),
            ("devices", devices.join(", ")),
            ("waiting for a person", status.waiting.to_string()),
            ("journal position", status.journal_position.to_string()),
            ("policy", status.policy_sha256.clone()),
            (
                "revocation list until",
                status
                    .crl_next_update
                    .map_or_else(|| "none yet".to_owned(), when),
            ),
            ("role of this token", status.role.to_string()),
        ])
    })?;
    Ok(Exit::Done)
}

pub(crate) async fn show(api: &Api, printer: Printer) -> Result<Exit, Failure> {
    let site = api.show_site().await?;
    printer.show(&site, |site| {
        let facts = facts([
            ("name", site.name.clone()),
            ("owner", site.owner.clone()),
            ("registrar", site.registrar_url.clone()),
        ]);
        format!("{facts}\n\ndomain CA:\n{}", site.domain_ca_pem)
    })?;
    Ok(Exit::Done)
}

/// The data folder, which these commands cannot do without.
pub(crate) fn required(dir: Option<&Path>) -> Result<&Path, Failure> {
    dir.ok_or_else(|| {
        Failure::usage("which data folder?").next_step("give --dir DIR, or set VOUCHSAFE_DIR")
    })
}
