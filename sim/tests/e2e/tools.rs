//! Other people's programs. A test that needs one that is absent says so and returns; where `CI` is
//! set that is a failure.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Whether this program is in PATH.
pub(crate) fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Whether all of these are there; else the test is skipped.
pub(crate) fn have(programs: &[&str]) -> bool {
    let missing = programs.iter().find(|program| !has(program));
    missing.is_none_or(|program| {
        skip(&format!("no {program}"));
        false
    })
}

/// Says why a test does nothing.
pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{why}");
    println!("skipped: {why}");
}

/// A Python with `cryptography`, for the second implementation.
pub(crate) fn python() -> Option<PathBuf> {
    let python = std::env::var_os("VOUCHSAFE_PYTHON").map_or("python3".into(), PathBuf::from);
    let asked = Command::new(&python)
        .args(["-c", "import cryptography.x509"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if asked.is_ok_and(|status| status.success()) {
        return Some(python);
    }
    skip("no Python with cryptography");
    None
}

/// Runs a command that must succeed; what it printed on stdout.
pub(crate) fn output(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let (success, stdout, stderr) = run(command, input);
    assert!(
        success,
        "{command:?}: {stderr}{}",
        String::from_utf8_lossy(&stdout)
    );
    stdout
}

/// Runs a command: success, stdout, stderr.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> (bool, Vec<u8>, String) {
    let spawned = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = spawned.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    // Who does not read its input has closed it; what it says is what counts.
    let _ = child.stdin.take().unwrap().write_all(input);
    let done = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
    (done.status.success(), done.stdout, stderr)
}

/// `openssl` with these arguments, in this folder.
pub(crate) fn openssl(folder: &Path, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    output(
        Command::new("openssl").current_dir(folder).args(arguments),
        input,
    )
}

/// As [`openssl`], as text.
pub(crate) fn openssl_text(folder: &Path, arguments: &[&str], input: &[u8]) -> String {
    String::from_utf8(openssl(folder, arguments, input)).unwrap()
}
