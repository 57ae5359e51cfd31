//! Help for shells and manual pages, made from the command tree.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, Command, CommandFactory as _};
use clap_complete::Shell;
use serde_json::json;

use crate::Cli;
use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::Printer;

/// `vouchsafe completions`
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Which shell
    shell: Shell,
}

/// `vouchsafe man`
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Write a page for every command into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(crate) fn completions(command: &Completions) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(command.shell, &mut Cli::command(), "vouchsafe", &mut script);
    write(&script)
}

pub(crate) fn man(command: &Man, printer: Printer) -> Result<Exit, Failure> {
    let mut root = Cli::command();
    root.build();
    let Some(folder) = &command.out else {
        return write(&page(&root)?);
    };
    let mut pages = Vec::new();
    collect(&root, "vouchsafe", &mut pages)?;
    for (name, page) in &pages {
        input::write(&folder.join(format!("{name}.1")), page)?;
    }
    let result = json!({ "folder": folder, "pages": pages.len() });
    printer.show(&result, |_| {
        format!("{} pages in {}", pages.len(), folder.display())
    })?;
    Ok(Exit::Done)
}

fn collect(
    command: &Command,
    name: &str,
    pages: &mut Vec<(String, Vec<u8>)>,
) -> Result<(), Failure> {
    pages.push((name.to_owned(), page(command)?));
    for inner in command
        .get_subcommands()
        .filter(|inner| inner.get_name() != "help")
    {
        collect(inner, &format!("{name}-{}", inner.get_name()), pages)?;
    }
    Ok(())
}

fn page(command: &Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .render(&mut page)
        .map_err(|error| Failure::new(Exit::Internal, "man", error.to_string()))?;
    Ok(page)
}

fn write(bytes: &[u8]) -> Result<Exit, Failure> {
    std::io::stdout()
        .lock()
        .write_all(bytes)
        .map_err(|error| Failure::output(&error))?;
    Ok(Exit::Done)
}
