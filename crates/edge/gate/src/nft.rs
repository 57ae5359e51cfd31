//! The program `nft`: transactions in, nothing out.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

use crate::error::GateError;

/// One transaction: all of it, or nothing.
pub(crate) async fn run(text: &str) -> Result<(), GateError> {
    transact(text, &["-f", "-"]).await
}

/// Whether a set holds an element. Asked by the attempt to create it without doing so: that lists nothing.
pub(crate) async fn has(set: &str, element: &str) -> bool {
    let text = format!("create element {set} {{ {element} }}\n");
    match transact(&text, &["-c", "-f", "-"]).await {
        Err(GateError::Filter(said)) => said.contains("File exists"),
        _ => false,
    }
}

/// What a command lists.
pub(crate) async fn list(arguments: &[&str]) -> Result<String, GateError> {
    let output = Command::new("nft")
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(failed)?;
    if !output.status.success() {
        return Err(refused(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Tells of each table that comes or goes, in nft's words, for as long as nft does.
pub(crate) async fn watch_tables(mut each: impl FnMut(&str)) -> Result<(), GateError> {
    let monitor = |program: &str, arguments: &[&str]| {
        Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
    };
    // It ends with the gate, also where that is killed: by itself it would not notice. Not every machine has
    // the program for that.
    let bound = ["--pdeathsig", "TERM", "nft", "monitor", "tables"];
    let child = monitor("setpriv", &bound).or_else(|_| monitor("nft", &["monitor", "tables"]));
    let mut child = child.map_err(failed)?;
    if let Some(output) = child.stdout.take() {
        let mut lines = BufReader::new(output).lines();
        while let Some(line) = lines.next_line().await.map_err(failed)? {
            each(&line);
        }
    }
    child.wait().await.map_err(failed)?;
    Ok(())
}

async fn transact(text: &str, arguments: &[&str]) -> Result<(), GateError> {
    let mut child = Command::new("nft")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(text.as_bytes()).await.map_err(failed)?;
    }
    let output = child.wait_with_output().await.map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    Err(refused(&output.stderr))
}

fn failed(error: std::io::Error) -> GateError {
    GateError::Filter(error.to_string())
}

/// The first lines tell; a long transaction is repeated in what follows.
fn refused(said: &[u8]) -> GateError {
    let said = String::from_utf8_lossy(said);
    GateError::Filter(said.trim().chars().take(500).collect())
}
