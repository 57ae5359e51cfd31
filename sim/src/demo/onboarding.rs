//! Chapter 3: everybody starts at once.
//!
//! 1. The rogue registrar and the unknown maker with its MASA are there before the devices wake up.
//! 2. All agents start in the same moment, and so does the attacker with the copied certificate.
//! 3. What each of them said is held against what had to happen, and against the API.
//! 4. The unknown maker's MASA is asked how often it was called; that it can count is shown too.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures_util::future::try_join_all;
use serde_json::Value;
use tokio::net::TcpStream;

use super::cast::{COPIED, Character, DEVICES, FIRST, Fate, MEETS_ROGUE, Outcome, ROGUE, UNKNOWN};
use super::factory::{self, Factory};
use super::narrator::{Narrator, Tone};
use super::owners::Owner;
use super::program::Program;
use super::sentence::{self, Names, Why, is, text};
use super::stage::Stage;

/// How long a device may take: discovery, and every network that it tries.
const ONBOARDING: Duration = Duration::from_secs(120);

/// Everything a program said, and whether it ended well.
pub(super) struct Said {
    pub(super) lines: Vec<Value>,
    pub(super) good: bool,
}

impl Said {
    /// The last line of this event.
    pub(super) fn last(&self, event: &str) -> Option<&Value> {
        self.lines.iter().rev().find(|line| is(line, event))
    }
}

/// The whole chapter.
pub(super) async fn all_at_once(
    stage: &Stage,
    narrator: &Narrator,
    factory: &Factory,
    first: &Owner,
) -> anyhow::Result<Vec<Outcome>> {
    // 1
    let (mut rogue, rogue_at) = start_rogue(stage, narrator, factory, &[]).await?;
    let (maker, masa) = start_unknown_maker(stage, narrator).await?;
    let names = Names::default()
        .with(&first.registrar, FIRST)
        .with(&rogue_at, ROGUE);
    // 2
    let rogue_first = ["--registrar", rogue_at.as_str()];
    let agents = DEVICES
        .iter()
        .map(|device| device.serial)
        .chain([UNKNOWN])
        .map(|serial| {
            let arguments: &[&str] = if serial == MEETS_ROGUE {
                &rogue_first
            } else {
                &[]
            };
            run_agent(stage, narrator, &names, serial, arguments)
        });
    let said_by_rogue = RefCell::new(Vec::new());
    let (said, copied) = tokio::select! {
        ended = async { tokio::try_join!(try_join_all(agents), copied(stage, narrator, first)) } => ended?,
        ended = narrate_attacker(&mut rogue, narrator, &said_by_rogue) => {
            ended?;
            bail!("the rogue registrar ended by itself");
        }
    };
    let (_, rest) = rogue.stop().await?;
    let mut said_by_rogue = said_by_rogue.into_inner();
    said_by_rogue.extend(rest);
    // 3
    let mut outcomes = Vec::new();
    for (device, said) in DEVICES.iter().zip(&said) {
        outcomes.push(judge(stage, narrator, first, device, said, factory).await?);
    }
    let stranger = said.last().context("the stranger said nothing")?;
    outcomes.push(judge_stranger(stranger, &first.registrar)?);
    outcomes.push(copied);
    outcomes.push(judge_rogue(&said_by_rogue)?);
    // 4
    judge_calls(narrator, maker, &masa).await?;
    Ok(outcomes)
}

/// Starts a rogue registrar; gives its address too.
pub(super) async fn start_rogue(
    stage: &Stage,
    narrator: &Narrator,
    factory: &Factory,
    more: &[&str],
) -> anyhow::Result<(Program, String)> {
    let root = factory.dir.join("root-ca.pem").display().to_string();
    let mut arguments = vec!["attack", "rogue-registrar", "--maker-root", &root];
    arguments.extend(more);
    let (rogue, ready) = Program::serve(stage, "rogue", stage.simulator(), &arguments).await?;
    let address = text(&ready, "registrar").to_owned();
    let said = format!("a rogue registrar with a MASA of its own listens at {address}");
    narrator.said(ROGUE, Tone::Hostile, said);
    Ok((rogue, address))
}

async fn start_unknown_maker(
    stage: &Stage,
    narrator: &Narrator,
) -> anyhow::Result<(Program, String)> {
    let dir = stage.device(UNKNOWN).display().to_string();
    let arguments = [
        "attack",
        "unknown-maker",
        "--dir",
        &dir,
        "--serial",
        UNKNOWN,
    ];
    let (maker, ready) =
        Program::serve(stage, "unknown-maker", stage.simulator(), &arguments).await?;
    factory::configure_agent(stage, UNKNOWN)?;
    let masa = text(&ready, "masa").to_owned();
    let said = format!("an unknown maker has made {UNKNOWN}; its MASA counts calls at {masa}");
    narrator.said("Nobody Inc", Tone::Hostile, said);
    Ok((maker, masa))
}

/// Runs `vouchsafe-agent run --once` to its end, telling what it says.
pub(super) async fn run_agent(
    stage: &Stage,
    narrator: &Narrator,
    names: &Names,
    serial: &str,
    more: &[&str],
) -> anyhow::Result<Said> {
    let mut arguments = vec!["run", "--once"];
    arguments.extend(more);
    agent(stage, narrator, names, serial, &arguments).await
}

/// Runs any `vouchsafe-agent` command to its end, telling what it says.
pub(super) async fn agent(
    stage: &Stage,
    narrator: &Narrator,
    names: &Names,
    serial: &str,
    arguments: &[&str],
) -> anyhow::Result<Said> {
    let mut command = stage.prepare(&stage.program("vouchsafe-agent"));
    command
        .args(arguments)
        .args(["--output", "json", "--dir"])
        .arg(stage.device(serial));
    let agent = Program::start(stage, serial, command)?;
    let mut told = String::new();
    let (status, lines) = agent
        .until_end(ONBOARDING, |line| {
            // A network whose voucher was refused is put aside for that reason: once is enough.
            let again = is(line, "network-put-aside") && told == text(line, "text");
            told = text(line, "text").to_owned();
            if !again && let Some((tone, said)) = sentence::of_agent(line, names) {
                narrator.said(serial, tone, said);
            }
        })
        .await?;
    Ok(Said {
        lines,
        good: status.success(),
    })
}

/// Tells what an attacker says for as long as it runs.
pub(super) async fn narrate_attacker(
    attacker: &mut Program,
    narrator: &Narrator,
    said: &RefCell<Vec<Value>>,
) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + 2 * ONBOARDING;
    while let Some(line) = attacker.next(deadline).await? {
        if let Some((tone, text)) = sentence::of_attacker(&line) {
            narrator.said(ROGUE, tone, text);
        }
        said.borrow_mut().push(line);
    }
    Ok(())
}

/// Shows a copied certificate to the registrar.
async fn copied(stage: &Stage, narrator: &Narrator, first: &Owner) -> anyhow::Result<Outcome> {
    let idevid = stage
        .device(COPIED)
        .join("birth/idevid.pem")
        .display()
        .to_string();
    let arguments = [
        "attack",
        "copied-certificate",
        "--idevid",
        &idevid,
        "--registrar",
        &first.registrar,
    ];
    let ended = stage.run(stage.simulator(), &arguments).await?;
    let line = ended.json()?;
    if let Some((tone, said)) = sentence::of_attacker(&line) {
        narrator.said("a copier", tone, said);
    }
    ensure!(
        is(&line, "refused") && text(&line, "by") == "tls",
        "a copied certificate without its key must be refused by TLS: {line}"
    );
    Ok(Outcome {
        who: format!("copy of {COPIED}"),
        what: "certificate without its key".to_owned(),
        end: format!("refused by {FIRST}"),
        because: text(&line, "why").to_owned(),
        section: text(&line, "section").to_owned(),
    })
}

/// Holds one device against its fate.
async fn judge(
    stage: &Stage,
    narrator: &Narrator,
    first: &Owner,
    device: &Character,
    said: &Said,
    factory: &Factory,
) -> anyhow::Result<Outcome> {
    let serial = device.serial;
    let key = factory.keys.iter().find(|(known, _)| *known == serial);
    let key = key.map(|(_, key)| key.as_str()).unwrap_or_default();
    let what = format!("{}, key {key}", device.model);
    let state = || async {
        let shown = first.device(stage, &narrator.quiet(), serial).await?;
        anyhow::Ok(text(&shown, "state").to_owned())
    };
    match device.fate {
        Fate::Joins | Fate::JoinsAfterRogue => {
            let onboarded = said.last("onboarded");
            ensure!(
                said.good && onboarded.is_some(),
                "{serial} had to be onboarded"
            );
            let at = onboarded.map(|line| text(line, "registrar"));
            ensure!(
                at == Some(&first.registrar),
                "{serial} joined somebody else: {at:?}"
            );
            let state = state().await?;
            ensure!(
                state == "onboarded",
                "the API says that {serial} is {state}"
            );
            if device.fate == Fate::JoinsAfterRogue {
                let refused = said.last("voucher-refused").map(|line| text(line, "code"));
                ensure!(
                    refused.is_some(),
                    "{serial} had to refuse the rogue's voucher"
                );
            }
            let accepted = said.last("voucher-accepted");
            let assertion = accepted
                .map(|line| text(line, "assertion"))
                .unwrap_or_default();
            Ok(Outcome {
                who: serial.to_owned(),
                what,
                end: format!("onboarded at {FIRST}"),
                because: format!("voucher of its maker: {assertion}"),
                section: "RFC 8995 §5.6".to_owned(),
            })
        }
        Fate::Refused(code) => {
            ensure!(!said.good, "{serial} had to be refused");
            let refusal = refusal_by(said, &first.registrar)
                .with_context(|| format!("{serial} was not refused by {FIRST}"))?;
            let why = Why::of(refusal);
            ensure!(
                why.code == code,
                "{serial} had to be refused for {code}, not {}: {why}",
                why.code
            );
            Ok(Outcome {
                who: serial.to_owned(),
                what,
                end: format!("refused by {FIRST}"),
                because: why.text,
                section: why.section,
            })
        }
    }
}

/// What the device says of its refusal by this registrar.
pub(super) fn refusal_by<'a>(said: &'a Said, registrar: &str) -> Option<&'a Value> {
    said.lines
        .iter()
        .find(|line| is(line, "network-put-aside") && text(line, "registrar") == registrar)
}

fn judge_stranger(said: &Said, registrar: &str) -> anyhow::Result<Outcome> {
    ensure!(!said.good, "{UNKNOWN} had to be refused");
    let refusal = refusal_by(said, registrar)
        .with_context(|| format!("{UNKNOWN} was not refused by {FIRST}"))?;
    let why = Why::of(refusal);
    ensure!(
        why.code == "unknown-manufacturer",
        "{UNKNOWN} had to be refused for its maker, not {}: {why}",
        why.code
    );
    Ok(Outcome {
        who: UNKNOWN.to_owned(),
        what: "of an unknown maker".to_owned(),
        end: format!("refused by {FIRST}"),
        because: why.text,
        section: why.section,
    })
}

fn judge_rogue(said: &[Value]) -> anyhow::Result<Outcome> {
    let believed = said.iter().find(|line| {
        is(line, "caught")
            || is(line, "voucher-status") && line.get("believed") != Some(&Value::Bool(false))
    });
    ensure!(
        believed.is_none(),
        "a device believed the rogue registrar: {believed:?}"
    );
    let told = said
        .iter()
        .find(|line| is(line, "voucher-status") && text(line, "serial") == MEETS_ROGUE)
        .context("the rogue registrar had to be told that its voucher is refused")?;
    let context = told.get("context").unwrap_or(&Value::Null);
    Ok(Outcome {
        who: ROGUE.to_owned(),
        what: "rogue registrar, forged vouchers".to_owned(),
        end: "refused by every device that met it".to_owned(),
        because: sentence::one_line(text(told, "reason")),
        section: text(context, "section").to_owned(),
    })
}

/// The proof that nothing was sent to the MASA of somebody unknown.
async fn judge_calls(narrator: &Narrator, maker: Program, masa: &str) -> anyhow::Result<()> {
    // A call of our own, after everything else: it must be the only one.
    let address = masa.strip_prefix("https://").unwrap_or(masa);
    drop(
        TcpStream::connect(address)
            .await
            .context("calling the unknown maker's MASA")?,
    );
    let mut maker = maker;
    let within = Duration::from_secs(10);
    let called = maker
        .wait_for("the call", within, |line| is(line, "masa-called"))
        .await?;
    let (_, rest) = maker.stop().await?;
    let calls = rest
        .iter()
        .rev()
        .find(|line| is(line, "masa-calls"))
        .unwrap_or(&called);
    let calls = calls
        .get("calls")
        .and_then(Value::as_u64)
        .context("no count")?;
    ensure!(
        calls == 1,
        "the MASA of an unknown maker was called {} times",
        calls - 1
    );
    narrator.said(
        "Nobody Inc",
        Tone::Good,
        "its MASA was called by nobody; a call made now to see that it counts was the first",
    );
    Ok(())
}
