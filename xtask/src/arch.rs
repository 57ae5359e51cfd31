//! `cargo xtask arch`: the dependency rule that each folder is, and what the lower floors must not
//! know.
//!
//! 1. Every crate of ours uses only the crates that its place allows, also in its tests.
//! 2. Versions stand in the root manifest only, and every crate takes the workspace's lints.
//! 3. Floors 1 and 2 have no IO, clock, entropy, environment or async, in dependencies or in words.
//! 4. Only `trust` makes `Verified<T>`.
//! 5. No crate or module has a name that says nothing, and nobody writes `unsafe`.
//!
//! A line may break rule 3 for a reason that it states: `// arch: allow, because …` on the line
//! itself or on the one before.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process;
use crate::source::{self, Source};

/// The protocol crates: each may use `trust`, none another one.
const PROTOCOLS: &[&str] = &[
    "vouchsafe-brski",
    "vouchsafe-dpp",
    "vouchsafe-meshcop",
    "vouchsafe-radius",
    "vouchsafe-mud",
];

/// The programs: none may use another one, because they meet over the wire.
const PROGRAMS: &[&str] = &[
    "vouchsafe-manufacturer",
    "vouchsafe-controller",
    "vouchsafe-gate",
    "vouchsafe-agent",
];

/// What a program stands on.
const FOUNDATIONS: &[&str] = &[
    "vouchsafe-trust",
    "vouchsafe-fleet",
    "vouchsafe-keystore",
    "vouchsafe-home",
    "vouchsafe-net",
    "vouchsafe-store",
    "vouchsafe-api",
];

/// Crates that would bring IO, clocks, entropy or async to floors 1 and 2.
const FOREIGN_TO_THE_LOWER_FLOORS: &[&str] = &[
    "axum",
    "futures",
    "futures-util",
    "getrandom",
    "hyper",
    "hyper-util",
    "mdns-sd",
    "rand",
    "reqwest",
    "rusqlite",
    "rustls",
    "sqlx",
    "tokio",
    "tokio-rustls",
    "tokio-stream",
    "tracing-subscriber",
];

/// What a crate of the lower floors may use all the same, and the decision that says why.
const CONFINED: &[(&str, &str, &str)] = &[(
    "vouchsafe-radius",
    "rustls",
    "docs/decisions/0017-tls-inside-eap.md",
)];

/// Words that mean IO, a clock, entropy, the environment or async.
const FORBIDDEN_WORDS: &[&str] = &[
    "tokio::",
    "std::net",
    "std::fs",
    "std::env",
    "std::process",
    "std::io::stdin",
    "std::io::stdout",
    "std::thread",
    "SystemTime",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "OsRng",
    "thread_rng",
    "rand::",
    "getrandom",
    "SystemRandom",
    "async fn",
    "async move",
    ".await",
    "println!",
    "eprintln!",
    "print!(",
];

/// Names that say nothing.
const EMPTY_NAMES: &[&str] = &[
    "common", "util", "utils", "types", "models", "helpers", "misc",
];

/// The folders of floors 1 and 2.
const LOWER_FLOORS: &[&str] = &["crates/proto/", "crates/fleet/"];

/// Checks everything and prints what is broken.
pub(crate) fn run() -> Result<()> {
    let packages = packages()?;
    let sources = source::rust()?;
    let mut faults = Vec::new();
    for package in &packages {
        check_dependencies(package, &mut faults);
        check_manifest(package, &mut faults)?;
    }
    for (_, _, decision) in CONFINED {
        if !process::root().join(decision).is_file() {
            faults.push(format!(
                "an exception rests on {decision}, which is not there"
            ));
        }
    }
    for source in &sources {
        check_lower_floor(source, &mut faults);
        check_tls(source, &mut faults);
        check_verified(source, &mut faults);
        check_names(source, &mut faults);
        check_unsafe(source, &mut faults);
    }
    for fault in &faults {
        println!("{fault}");
    }
    if !faults.is_empty() {
        bail!("{} architecture rules are broken", faults.len());
    }
    println!(
        "{} crates and {} files keep the rules",
        packages.len(),
        sources.len()
    );
    Ok(())
}

struct Package {
    name: String,
    /// From the root, with forward slashes.
    folder: String,
    dependencies: Vec<String>,
}

fn packages() -> Result<Vec<Package>> {
    let mut command = process::cargo();
    command.args([
        "metadata",
        "--no-deps",
        "--format-version",
        "1",
        "--offline",
    ]);
    let metadata: Value = serde_json::from_str(&process::output(&mut command)?)?;
    let root = process::root();
    let list = metadata
        .get("packages")
        .and_then(Value::as_array)
        .context("no packages")?;
    list.iter()
        .map(|package| {
            let name = text(package, "name")?;
            let manifest = text(package, "manifest_path")?;
            let folder = std::path::Path::new(&manifest)
                .parent()
                .and_then(|folder| folder.strip_prefix(&root).ok())
                .with_context(|| format!("{manifest} is outside the project"))?
                .to_string_lossy()
                .replace('\\', "/");
            let dependencies = package
                .get("dependencies")
                .and_then(Value::as_array)
                .context("no dependencies")?
                .iter()
                .map(|dependency| text(dependency, "name"))
                .collect::<Result<_>>()?;
            Ok(Package {
                name,
                folder,
                dependencies,
            })
        })
        .collect()
}

fn text(value: &Value, key: &str) -> Result<String> {
    let found = value.get(key).and_then(Value::as_str);
    Ok(found
        .with_context(|| format!("no {key} in cargo's metadata"))?
        .to_owned())
}

/// Which crates of ours a crate may use; `None` when it has no place in the house.
fn allowed(name: &str) -> Option<Vec<&'static str>> {
    let everything = || {
        let mut all = FOUNDATIONS.to_vec();
        all.extend(PROTOCOLS);
        all.extend(PROGRAMS);
        all
    };
    match name {
        "vouchsafe-trust" | "vouchsafe-api" | "xtask" => Some(Vec::new()),
        "vouchsafe-fleet" | "vouchsafe-keystore" | "vouchsafe-net" => Some(vec!["vouchsafe-trust"]),
        "vouchsafe-home" => Some(vec![
            "vouchsafe-trust",
            "vouchsafe-keystore",
            "vouchsafe-net",
        ]),
        "vouchsafe-store" => Some(vec!["vouchsafe-fleet"]),
        "vouchsafe" | "vouchsafe-sim" => Some(everything()),
        protocol if PROTOCOLS.contains(&protocol) => Some(vec!["vouchsafe-trust"]),
        program if PROGRAMS.contains(&program) => {
            let mut below = FOUNDATIONS.to_vec();
            below.extend(PROTOCOLS);
            Some(below)
        }
        _ => None,
    }
}

fn check_dependencies(package: &Package, faults: &mut Vec<String>) {
    let Package {
        name,
        folder,
        dependencies,
    } = package;
    let Some(allowed) = allowed(name) else {
        faults.push(format!(
            "{folder}: `{name}` has no place in the house; a crate is earned by a dependency rule"
        ));
        return;
    };
    let ours = dependencies
        .iter()
        .filter(|name| name.starts_with("vouchsafe"));
    for dependency in ours {
        if !allowed.contains(&dependency.as_str()) {
            faults.push(format!("{folder}: `{name}` may not use `{dependency}`"));
        }
    }
    if LOWER_FLOORS
        .iter()
        .any(|floor| format!("{folder}/").starts_with(floor))
    {
        for dependency in dependencies {
            let confined = CONFINED
                .iter()
                .any(|(user, used, _)| user == name && used == dependency);
            if FOREIGN_TO_THE_LOWER_FLOORS.contains(&dependency.as_str()) && !confined {
                faults.push(format!(
                    "{folder}: `{dependency}` brings IO, a clock or async below"
                ));
            }
        }
    }
}

fn check_manifest(package: &Package, faults: &mut Vec<String>) -> Result<()> {
    let path = process::root().join(&package.folder).join("Cargo.toml");
    let manifest: toml::Table = fs::read_to_string(&path)?.parse()?;
    let folder = &package.folder;
    let lints = manifest
        .get("lints")
        .and_then(|lints| lints.get("workspace"));
    if lints.and_then(toml::Value::as_bool) != Some(true) {
        faults.push(format!(
            "{folder}: the manifest does not take the workspace's lints"
        ));
    }
    let no_description = manifest
        .get("package")
        .and_then(|it| it.get("description"))
        .is_none();
    if no_description {
        faults.push(format!("{folder}: the manifest has no description"));
    }
    for key in ["license", "edition", "rust-version", "version"] {
        let field = manifest.get("package").and_then(|it| it.get(key));
        if field.and_then(|field| field.get("workspace")).is_none() {
            faults.push(format!(
                "{folder}: `{key}` does not come from the workspace"
            ));
        }
    }
    for (section, table) in dependency_tables(&manifest) {
        for (name, value) in table {
            if value.get("workspace").and_then(toml::Value::as_bool) != Some(true) {
                faults.push(format!(
                    "{folder}: `{name}` in [{section}] has a version of its own; versions stand \
                     in the root manifest"
                ));
            }
        }
    }
    Ok(())
}

fn dependency_tables(manifest: &toml::Table) -> BTreeMap<String, &toml::Table> {
    let mut tables = BTreeMap::new();
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    for kind in kinds {
        if let Some(table) = manifest.get(kind).and_then(toml::Value::as_table) {
            tables.insert(kind.to_owned(), table);
        }
    }
    let targets = manifest
        .get("target")
        .and_then(toml::Value::as_table)
        .into_iter()
        .flatten();
    for (target, sections) in targets {
        for kind in kinds {
            if let Some(table) = sections.get(kind).and_then(toml::Value::as_table) {
                tables.insert(format!("{target}.{kind}"), table);
            }
        }
    }
    tables
}

fn check_lower_floor(source: &Source, faults: &mut Vec<String>) {
    if !LOWER_FLOORS
        .iter()
        .any(|floor| source.path.starts_with(floor))
    {
        return;
    }
    let mut excused = false;
    for (number, line) in source.code() {
        let reason = line
            .split_once("// arch: allow, because ")
            .map(|(_, reason)| reason.trim());
        let excused_here = excused || reason.is_some_and(|reason| reason.len() > 10);
        let code = source::without_comment(line);
        if !excused_here {
            for word in FORBIDDEN_WORDS.iter().filter(|word| code.contains(*word)) {
                faults.push(format!(
                    "{}:{number}: `{word}` on a floor without IO, clock, entropy or async",
                    source.path
                ));
            }
        }
        excused = reason.is_some() && code.trim().is_empty() && excused_here;
    }
}

/// In the crate that may use rustls, one module does.
fn check_tls(source: &Source, faults: &mut Vec<String>) {
    let folder = "crates/proto/radius/src/";
    if !source.path.starts_with(folder) || source.path.ends_with("src/tls.rs") {
        return;
    }
    for (number, line) in source.code() {
        if source::without_comment(line).contains("rustls") {
            faults.push(format!(
                "{}:{number}: rustls stays in {folder}tls.rs",
                source.path
            ));
        }
    }
}

fn check_verified(source: &Source, faults: &mut Vec<String>) {
    let in_trust = source.path.starts_with("crates/proto/trust/src/");
    for (number, line) in source.code() {
        let code = source::without_comment(line);
        let place = format!("{}:{number}", source.path);
        if in_trust {
            if source.path.ends_with("/verified.rs") {
                let public = code.contains("pub fn new") || code.contains("pub const fn new");
                if public || code.contains("Deserialize") || code.contains("Default") {
                    faults.push(format!("{place}: `Verified` must not be made from outside"));
                }
            }
        } else {
            let declares = code.contains("struct Verified<") || code.contains("struct Verified(");
            let makes = ["Verified {", "Verified::new(", "Verified(", "Verified::<"]
                .iter()
                .any(|form| holds_word(&code, form));
            if (declares || makes) && source.path.starts_with("crates/") {
                faults.push(format!("{place}: only `trust` makes `Verified`"));
            }
        }
    }
}

/// Whether `form` stands in `code` as the beginning of a word of its own.
fn holds_word(code: &str, form: &str) -> bool {
    code.match_indices(form).any(|(index, _)| {
        let before = code.get(..index).and_then(|head| head.chars().next_back());
        !before.is_some_and(|character| character.is_alphanumeric() || character == '_')
    })
}

fn check_names(source: &Source, faults: &mut Vec<String>) {
    let parts = source.path.trim_end_matches(".rs").split('/');
    for part in parts.filter(|part| EMPTY_NAMES.contains(part)) {
        faults.push(format!(
            "{}: `{part}` says nothing about what is in it",
            source.path
        ));
    }
}

fn check_unsafe(source: &Source, faults: &mut Vec<String>) {
    if source.path.starts_with("xtask/") {
        return;
    }
    for (number, line) in source.code().chain(source.tests()) {
        let code = source::without_comment(line);
        let words = ["unsafe {", "unsafe fn", "unsafe impl", "allow(unsafe_code"];
        if words.iter().any(|word| code.contains(word)) {
            faults.push(format!("{}:{number}: `unsafe` is forbidden", source.path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_of(path: &str, text: &str) -> Vec<String> {
        let source = Source::new(path.to_owned(), text.to_owned());
        let mut faults = Vec::new();
        check_lower_floor(&source, &mut faults);
        check_verified(&source, &mut faults);
        check_names(&source, &mut faults);
        check_unsafe(&source, &mut faults);
        faults
    }

    fn dependency_faults(name: &str, folder: &str, dependency: &str) -> usize {
        let package = Package {
            name: name.to_owned(),
            folder: folder.to_owned(),
            dependencies: vec![dependency.to_owned()],
        };
        let mut faults = Vec::new();
        check_dependencies(&package, &mut faults);
        faults.len()
    }

    #[test]
    fn programs_never_use_each_other() {
        let agent = ("vouchsafe-agent", "crates/edge/agent");
        assert_eq!(
            dependency_faults(agent.0, agent.1, "vouchsafe-controller"),
            1
        );
        assert_eq!(dependency_faults(agent.0, agent.1, "vouchsafe-net"), 0);
        assert_eq!(
            dependency_faults("vouchsafe", "crates/edge/cli", "vouchsafe-controller"),
            0
        );
    }

    #[test]
    fn protocols_use_trust_and_never_each_other() {
        let brski = ("vouchsafe-brski", "crates/proto/brski");
        assert_eq!(dependency_faults(brski.0, brski.1, "vouchsafe-trust"), 0);
        assert_eq!(dependency_faults(brski.0, brski.1, "vouchsafe-dpp"), 1);
        assert_eq!(dependency_faults(brski.0, brski.1, "tokio"), 1);
        assert_eq!(
            dependency_faults("vouchsafe-net", "crates/edge/net", "tokio"),
            0
        );
    }

    #[test]
    fn a_crate_without_a_place_is_refused() {
        assert_eq!(
            dependency_faults("vouchsafe-glue", "crates/edge/glue", "serde"),
            1
        );
    }

    #[test]
    fn the_lower_floors_read_no_clock() {
        let path = "crates/fleet/src/decide.rs";
        assert_eq!(faults_of(path, "let now = Timestamp::now();\n").len(), 1);
        assert_eq!(
            faults_of(path, "// Timestamp::now() is not read here\n").len(),
            0
        );
        assert_eq!(
            faults_of("crates/edge/net/src/clock.rs", "Timestamp::now()\n").len(),
            0
        );
    }

    #[test]
    fn an_exception_needs_a_reason() {
        let path = "crates/proto/trust/src/signer.rs";
        let reasoned = "// arch: allow, because ECDSA draws its nonce inside the signer\nSystemRandom::new()\n";
        assert_eq!(faults_of(path, reasoned).len(), 0);
        assert_eq!(
            faults_of(path, "// arch: allow, because\nSystemRandom::new()\n").len(),
            1
        );
        let later = format!("{reasoned}SystemRandom::new()\n");
        assert_eq!(faults_of(path, &later).len(), 1);
    }

    #[test]
    fn tls_on_floor_one_stays_in_its_module() {
        let radius = ("vouchsafe-radius", "crates/proto/radius");
        assert_eq!(dependency_faults(radius.0, radius.1, "rustls"), 0);
        assert_eq!(dependency_faults(radius.0, radius.1, "tokio-rustls"), 1);
        let brski = ("vouchsafe-brski", "crates/proto/brski");
        assert_eq!(dependency_faults(brski.0, brski.1, "rustls"), 1);
        let faults_in = |file: &str| {
            let text = "use rustls::ServerConfig;\n".to_owned();
            let source = Source::new(format!("crates/proto/radius/src/{file}"), text);
            let mut faults = Vec::new();
            check_tls(&source, &mut faults);
            faults.len()
        };
        assert_eq!((faults_in("tls.rs"), faults_in("server.rs")), (0, 1));
    }

    #[test]
    fn only_trust_makes_verified_values() {
        assert_eq!(
            faults_of("crates/edge/agent/src/a.rs", "let v = Verified(x);\n").len(),
            1
        );
        assert_eq!(
            faults_of("crates/edge/agent/src/a.rs", "fn f(v: &Verified<Path>)\n").len(),
            0
        );
        assert_eq!(
            faults_of("crates/edge/agent/src/a.rs", "Error::NotVerified(x)\n").len(),
            0
        );
        let maker = "pub fn new(value: T) -> Self\n";
        assert_eq!(
            faults_of("crates/proto/trust/src/verified.rs", maker).len(),
            1
        );
        let inside = "pub(crate) fn new(value: T) -> Self\n";
        assert_eq!(
            faults_of("crates/proto/trust/src/verified.rs", inside).len(),
            0
        );
    }

    #[test]
    fn names_that_say_nothing_are_refused() {
        assert_eq!(faults_of("crates/edge/agent/src/utils.rs", "\n").len(), 1);
    }
}
