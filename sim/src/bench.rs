//! `vouchsafe-sim bench`: what things cost, each beside its floor, measured in the same run.
//!
//! A missed target is said in the table and is no error: speed is shown, never tested.

mod admission;
mod dpp;
mod floor;
mod inventory;
mod measure;
mod memory;
mod onboarding;
mod pledge;
mod provision;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

pub use dpp::serve as configurator;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Bench {
    /// Whole onboardings per second at 1, 16 and 64 pledges.
    Onboarding,
    /// Identities per second in a batch of 100,000.
    Provision,
    /// An onboarding and a look-up with 1,000 and 1,000,000 devices.
    Lookup,
    /// The controller's memory with 1,000 connections.
    Memory,
    /// Exchanges of Wi-Fi Easy Connect per second at 1, 16 and 256 sessions.
    Dpp,
    /// EAP-TLS authentications per second beside FreeRADIUS and hostapd; and what follows.
    Admission,
    /// 100,000 attempts by devices that may and may not come in, over a bad wire.
    Crowd,
    /// Milliseconds from a revocation to its confirmation, with 1,000 devices connected.
    CutOff,
    /// A gate with 50,000 devices: its state from nothing, one change, memory, forwarding.
    Gate,
}

/// What to measure; everything when nothing is named.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Tables to print.
    #[arg(value_enum)]
    pub tables: Vec<Bench>,
    /// Where the `vouchsafe` program is; beside this one when absent.
    #[arg(long)]
    pub bin_dir: Option<PathBuf>,
    /// This network namespace is there for nothing else.
    #[arg(long, hide = true)]
    pub within: bool,
}

/// Measures and prints.
///
/// # Errors
/// What keeps a measurement from being made; a missed target is none.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(measure_all(options))
}

async fn measure_all(options: &Options) -> anyhow::Result<ExitCode> {
    let bin_dir = match &options.bin_dir {
        Some(dir) => dir.clone(),
        None => std::env::current_exe()?
            .parent()
            .context("no folder")?
            .to_owned(),
    };
    if cfg!(debug_assertions) {
        println!("This build is not optimised: ratios mean little. Use `cargo xtask bench`.\n");
    }
    let wanted = |bench| options.tables.is_empty() || options.tables.contains(&bench);
    if wanted(Bench::Onboarding) {
        onboarding::run(&bin_dir).await?;
    }
    if wanted(Bench::Provision) {
        provision::run().await?;
    }
    if wanted(Bench::Lookup) {
        inventory::run(&bin_dir).await?;
    }
    if wanted(Bench::Memory) {
        memory::run(&bin_dir).await?;
    }
    if wanted(Bench::Dpp) {
        dpp::run(&bin_dir).await?;
    }
    if wanted(Bench::Admission) {
        tokio::task::block_in_place(|| admission::run(&bin_dir))?;
    }
    if wanted(Bench::Crowd) {
        tokio::task::block_in_place(|| admission::crowd(&bin_dir))?;
    }
    if wanted(Bench::CutOff) || options.tables.contains(&Bench::Admission) {
        admission::run_cut(&bin_dir).await?;
    }
    if options.within {
        admission::run_many_within(&bin_dir).await?;
    } else if wanted(Bench::Gate) || options.tables.contains(&Bench::Admission) {
        tokio::task::block_in_place(|| admission::run_many(&bin_dir))?;
    }
    Ok(ExitCode::SUCCESS)
}
