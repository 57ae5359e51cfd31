//! Tasks that build something and then become it: the demo, the measurements, the fuzz targets.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// Which fuzz targets, and for how long.
#[derive(clap::Args)]
pub(crate) struct FuzzOptions {
    /// The target; all of them, one after the other, without.
    target: Option<String>,
    /// Seconds for each target.
    #[arg(long, default_value_t = 30)]
    seconds: u32,
    /// Only say which targets there are.
    #[arg(long)]
    list: bool,
}

/// Builds the programs and becomes the demo.
pub(crate) fn demo(arguments: &[String]) -> Result<()> {
    process::run(process::cargo().args(["build", "--bins"]).args(PROGRAMS))?;
    become_simulation("debug", "demo", arguments)
}

/// Builds the programs as they are released and becomes the measurements.
pub(crate) fn bench(arguments: &[String]) -> Result<()> {
    process::run(
        process::cargo()
            .args(["build", "--bins", "--release"])
            .args(PROGRAMS),
    )?;
    become_simulation("release", "bench", arguments)
}

/// Runs fuzz targets on the stable toolchain, without a sanitizer: the parsers forbid `unsafe`, so
/// panics and growth are what there is to find.
pub(crate) fn fuzz(options: &FuzzOptions) -> Result<()> {
    let targets = fuzz_targets()?;
    if options.list {
        println!("{}", targets.join("\n"));
        return Ok(());
    }
    if !process::succeeds(process::cargo().args(["fuzz", "--version"])) {
        process::run(process::cargo().args(["install", "cargo-fuzz", "--locked"]))?;
    }
    let chosen: Vec<&String> = match &options.target {
        Some(name) => targets.iter().filter(|target| *target == name).collect(),
        None => targets.iter().collect(),
    };
    if chosen.is_empty() {
        bail!("no such target; there are: {}", targets.join(", "));
    }
    for target in chosen {
        let mut command = process::cargo();
        command.args(["fuzz", "run", "--sanitizer", "none", target, "--"]);
        command.arg(format!("-max_total_time={}", options.seconds));
        command.args([
            "-max_len=65536",
            "-rss_limit_mb=2048",
            "-print_final_stats=1",
        ]);
        process::run(&mut command)?;
    }
    Ok(())
}

const PROGRAMS: &[&str] = &[
    "-p",
    "vouchsafe",
    "-p",
    "vouchsafe-agent",
    "-p",
    "vouchsafe-gate",
    "-p",
    "vouchsafe-sim",
];

fn become_simulation(profile: &str, task: &str, arguments: &[String]) -> Result<()> {
    let mut command = simulation(profile, task)?;
    let error = command.args(arguments).exec();
    Err(error).with_context(|| format!("cannot start {}", command.get_program().display()))
}

/// A task of the simulation, whose programs must be built.
pub(crate) fn simulation(profile: &str, task: &str) -> Result<Command> {
    let program = process::target_folder()?
        .join(profile)
        .join("vouchsafe-sim");
    let mut command = Command::new(program);
    command.arg(task);
    Ok(command)
}

fn fuzz_targets() -> Result<Vec<String>> {
    let path = process::root().join("fuzz/Cargo.toml");
    let manifest: toml::Table = std::fs::read_to_string(&path)
        .with_context(|| format!("reading {}", path.display()))?
        .parse()?;
    let targets = manifest
        .get("bin")
        .and_then(toml::Value::as_array)
        .into_iter()
        .flatten();
    let name = |target: &toml::Value| Some(target.get("name")?.as_str()?.to_owned());
    Ok(targets.filter_map(name).collect())
}
