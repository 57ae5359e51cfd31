//! What tests need of the system they run on.

use std::process::Command;

/// The first tool that is absent, said aloud; with `CI` set an absent tool is a failure.
pub(crate) fn missing(tools: &[&str]) -> bool {
    let absent = tools.iter().find(|tool| {
        // Asking for help starts and ends all of them; only being absent fails to start.
        Command::new(tool).arg("--help").output().is_err()
    });
    if let Some(tool) = absent {
        skip(tool);
    }
    absent.is_some()
}

pub(crate) fn skip(what: &str) {
    assert!(std::env::var_os("CI").is_none(), "no {what}, and CI is set");
    println!("skipped: no {what}");
}
