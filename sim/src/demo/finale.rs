//! Chapter 5: what remains.
//!
//! 1. The table of all outcomes.
//! 2. The journal of the device that changed hands, from the factory to today, as its present
//!    owner's controller has it.
//! 3. Every chain of every journal verified.

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::World;
use super::cast::{MOVES, Outcome};
use super::narrator::{Narrator, Tone};
use super::sentence::{one_line, short, text};
use super::stage::Stage;

/// What the journal of a device that went that way cannot lack.
const MUST_HAVE: [&str; 4] = ["provisioned", "sold", "imported", "credential-issued"];

/// Shows and checks all of it.
pub(super) async fn show(
    stage: &Stage,
    narrator: &Narrator,
    world: &World,
    outcomes: &[Outcome],
) -> anyhow::Result<()> {
    // 1
    let rows: Vec<Vec<String>> = outcomes
        .iter()
        .map(|outcome| {
            let Outcome {
                who,
                what,
                end,
                because,
                section,
            } = outcome;
            [who, what, end, because, section]
                .into_iter()
                .cloned()
                .collect()
        })
        .collect();
    narrator.table(
        &["who", "what", "how it ended", "because", "rests on"],
        &rows,
    );
    narrator.line("");
    // 2
    let arguments = ["device", "journal", MOVES];
    let journal = world.second.command(stage, narrator, &arguments).await?;
    let entries = show_journal(narrator, &journal)?;
    for action in MUST_HAVE {
        let found = entries.iter().any(|entry| text(entry, "action") == action);
        ensure!(found, "the journal of {MOVES} has no entry `{action}`");
    }
    // 3
    for owner in [&world.first, &world.second] {
        let verified = owner
            .command(stage, narrator, &["journal", "verify"])
            .await?;
        confirm(narrator, owner.domain.name, &verified)?;
    }
    let verified = world
        .factory
        .command(stage, narrator, &["journal", "verify"])
        .await?;
    confirm(narrator, super::cast::MAKER, &verified)
}

/// A device's journal as a table; gives its entries back.
pub(super) fn show_journal<'a>(
    narrator: &Narrator,
    journal: &'a Value,
) -> anyhow::Result<&'a [Value]> {
    let entries = journal
        .get("entries")
        .and_then(Value::as_array)
        .context("no journal")?;
    let rows: Vec<Vec<String>> = entries.iter().map(row).collect();
    narrator.table(&["entry", "at (UTC)", "what", "who", "why", "hash"], &rows);
    narrator.line("");
    Ok(entries)
}

fn row(entry: &Value) -> Vec<String> {
    let number = entry.get("seq").and_then(Value::as_i64).unwrap_or_default();
    let at = text(entry, "at");
    let reasons = entry.get("reasons").and_then(Value::as_array);
    let reasons: Vec<String> = reasons
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(one_line)
        .collect();
    vec![
        number.to_string(),
        at.get(..19).unwrap_or(at).replace('T', " "),
        text(entry, "action").to_owned(),
        text(entry, "actor").to_owned(),
        reasons.join("; "),
        short(text(entry, "hash")),
    ]
}

pub(super) fn confirm(narrator: &Narrator, who: &str, verified: &Value) -> anyhow::Result<()> {
    let number = |field: &str| {
        verified
            .get(field)
            .and_then(Value::as_u64)
            .unwrap_or_default()
    };
    ensure!(
        verified.get("ok") == Some(&Value::Bool(true)) && number("entries") > 0,
        "the journal of {who} does not verify: {verified}"
    );
    let said = format!(
        "journal verified: {} entries in {} chains",
        number("entries"),
        number("chains")
    );
    narrator.said(who, Tone::Good, said);
    Ok(())
}

/// What people can do now.
pub(super) fn next_steps(stage: &Stage, narrator: &Narrator, world: &World) {
    let owner = &world.first;
    let dir = owner.domain.dir.display();
    let program = stage.program("vouchsafe");
    let program = program.display();
    narrator.line(&format!(
        "\nEverything stays up until Ctrl-C.\n\n  \
         API         {}\n  \
         token file  {dir}/admin.token\n  \
         CA          {dir}/domain-ca.pem\n\n\
         Next, in another terminal:\n\n  \
         export VOUCHSAFE_DIR={dir}\n  \
         {program} device list\n  \
         {program} device journal {MOVES}\n  \
         {program} device quarantine LW-0005 --reason 'trying it out'\n  \
         {program} journal follow --since 0\n",
        owner.api,
    ));
}
