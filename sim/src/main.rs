//! `vouchsafe-sim`: the demo, the attackers, the measurements.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use vouchsafe_sim::attack::{self, Attack};
use vouchsafe_sim::wired::{space, talk};
use vouchsafe_sim::{bench, bound, demo};

#[derive(Debug, Parser)]
#[command(
    name = "vouchsafe-sim",
    about = "Simulated worlds around Vouchsafe",
    version
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Show the whole story in this terminal: factory, owners, devices, attackers.
    Demo(demo::Options),
    /// Play one attacker.
    Attack {
        #[command(subcommand)]
        attack: Attack,
    },
    /// Measure, each table beside its floor.
    Bench(bench::Options),
    /// Serve Wi-Fi Easy Connect from memory, to measure the protocol alone.
    #[command(hide = true)]
    Configurator,
    /// Talk over a network, to see who reaches whom.
    #[command(hide = true)]
    Talk {
        #[command(subcommand)]
        talk: talk::Talk,
    },
    /// Hold the network namespace that this runs in until standard input ends.
    #[command(hide = true)]
    Hold,
    /// Run a program that ends when this process's parent does.
    #[command(hide = true)]
    Bound {
        /// The process id of the parent.
        parent: u32,
        /// The program and its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<OsString>,
    },
}

/// Shared out by thread: the system's allocator costs an onboarding a tenth of its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Demo(options) => demo::run(&options),
        Task::Attack { attack } => attack::run(&attack),
        Task::Bench(options) => bench::run(&options),
        Task::Configurator => bench::configurator(),
        Task::Talk { talk } => talk::run(&talk),
        Task::Hold => space::hold().map(|()| ExitCode::SUCCESS),
        Task::Bound { parent, command } => Err(bound::run(parent, &command)),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
