//! `cargo xtask test`: everything that must hold, in steps.

use anyhow::Result;

use crate::postgres::Cluster;
use crate::report::{Outcome, Report};
use crate::{arch, launch, prepare, process, tidy};

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only format, rules and tests: installs nothing, starts no PostgreSQL, skips lints and
    /// documentation tests.
    #[arg(long)]
    quick: bool,
    /// Only the tests whose names contain this.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
}

/// Runs the steps and prints how each ended.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut report = Report::new(process::in_ci());
    let whole = !options.quick && options.filter.is_none();
    if !options.quick {
        report.step("prepare", prepare::run);
    }
    if options.filter.is_none() {
        report.step("format", || {
            passes(&["fmt", "--all", "--check"])?;
            passes(&["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"])
        });
        report.step("architecture", || arch::run().map(|()| Outcome::Passed));
        report.step("tidy", || tidy::run(false).map(|()| Outcome::Passed));
    }
    if whole {
        report.step("lints", || {
            passes(&with_features(
                &["clippy", "--workspace", "--all-targets"],
                &["--", "-D", "warnings"],
            ))
        });
        report.step("tpm feature", tpm);
        report.step("fuzz targets", fuzz_targets);
    }
    // Tests across processes start the programs themselves, so these must be there first.
    report.step("build programs", || {
        passes(&with_features(&["build", "--workspace", "--bins"], &[]))
    });
    let mut cluster = None;
    if !options.quick {
        report.step("postgresql", || match Cluster::start() {
            Ok(started) => {
                cluster = Some(started);
                Ok(Outcome::Passed)
            }
            Err(error) => Ok(Outcome::Skipped(format!("{error:#}"))),
        });
    }
    report.step("tests", || {
        tests(options.filter.as_deref(), cluster.as_ref())
    });
    if whole {
        report.step("documentation tests", || {
            passes(&with_features(&["test", "--doc", "--workspace"], &[]))
        });
    }
    drop(cluster);
    if whole {
        // The demo checks each of its own outcomes, so it is a test too.
        report.step("demo", || {
            process::run(launch::simulation("debug", "demo")?.arg("--once"))?;
            Ok(Outcome::Passed)
        });
        report.step("demo on the air", || {
            if let Some(why) = prepare::no_radios() {
                return Ok(Outcome::Skipped(why));
            }
            process::run(launch::simulation("debug", "demo")?.args(["--wifi", "--once"]))?;
            Ok(Outcome::Passed)
        });
        report.step("demo of wired ports", || {
            if let Some(why) = prepare::no_wired_ports() {
                return Ok(Outcome::Skipped(why));
            }
            process::run(launch::simulation("debug", "demo")?.args(["--wired", "--once"]))?;
            Ok(Outcome::Passed)
        });
        report.step("demo of WPA3-Enterprise", || {
            if let Some(why) = prepare::no_radios() {
                return Ok(Outcome::Skipped(why));
            }
            process::run(launch::simulation("debug", "demo")?.args(["--enterprise", "--once"]))?;
            Ok(Outcome::Passed)
        });
    }
    report.finish()
}

fn tests(filter: Option<&str>, cluster: Option<&Cluster>) -> Result<Outcome> {
    let nextest = process::succeeds(process::cargo().args(["nextest", "--version"]));
    let mut command = process::cargo();
    command.args(if nextest {
        &["nextest", "run", "--no-fail-fast"][..]
    } else {
        &["test"][..]
    });
    command.args(with_features(&["--workspace"], &[]));
    if !nextest {
        command.args(["--lib", "--bins", "--tests", "--no-fail-fast"]);
    }
    command.args(filter);
    if let Some(cluster) = cluster {
        command.env("VOUCHSAFE_TEST_POSTGRES", cluster.url());
    }
    if let Some(python) = prepare::python() {
        command.env("VOUCHSAFE_PYTHON", python);
    }
    process::run(&mut command)?;
    Ok(Outcome::Passed)
}

/// The fuzz targets are no members of the workspace; here they are only kept from rotting.
fn fuzz_targets() -> Result<Outcome> {
    let mut command = process::cargo();
    command.args([
        "check",
        "--manifest-path",
        "fuzz/Cargo.toml",
        "--target-dir",
    ]);
    process::run(command.arg(process::target_folder()?))?;
    Ok(Outcome::Passed)
}

/// Features need libraries of the system; what they are for is skipped by name where those are not.
fn tpm() -> Result<Outcome> {
    if prepare::has_tss2() {
        println!("lints, programs and tests include it");
        return Ok(Outcome::Passed);
    }
    Ok(Outcome::Skipped(
        "no TPM libraries, so nothing of the `tpm` feature was built".to_owned(),
    ))
}

fn with_features<'a>(before: &[&'a str], after: &[&'a str]) -> Vec<&'a str> {
    let features: &[&str] = if prepare::has_tss2() {
        &["--all-features"]
    } else {
        &[]
    };
    [before, features, after].concat()
}

fn passes(arguments: &[&str]) -> Result<Outcome> {
    process::run(process::cargo().args(arguments))?;
    Ok(Outcome::Passed)
}
