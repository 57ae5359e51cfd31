//! Build, test and demo tasks: `cargo xtask test` and its friends.
//!
//! One way to run everything. Continuous integration and the `justfile` only call this.

mod arch;
mod launch;
mod postgres;
mod prepare;
mod process;
mod report;
mod source;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    bin_name = "cargo xtask",
    about = "Build, test and demo tasks",
    disable_version_flag = true
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run everything that must hold: format, lints, architecture, house rules, tests.
    Test(test::Options),
    /// Install what the tests need (Debian, as root), or say what is missing.
    Prepare,
    /// Check the dependency rules between crates and what the lower floors must not know.
    Arch,
    /// Check the house rules: file lengths, module pages, citations, links.
    Tidy {
        /// Print every cited section with its checks and tests.
        #[arg(long)]
        citations: bool,
    },
    /// Build everything and show the whole story in this terminal.
    Demo {
        /// Passed on: `--once` ends after the story; `--wifi`, `--wired` and `--enterprise` tell others.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Measure, each table beside its floor.
    Bench {
        /// Passed on: names of tables; all without.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run fuzz targets, each for a while.
    Fuzz(launch::FuzzOptions),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Test(options) => test::run(&options),
        Task::Prepare => prepare::run().map(|outcome| println!("{outcome}")),
        Task::Arch => arch::run(),
        Task::Tidy { citations } => tidy::run(citations),
        Task::Demo { arguments } => launch::demo(&arguments),
        Task::Bench { arguments } => launch::bench(&arguments),
        Task::Fuzz(options) => launch::fuzz(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
