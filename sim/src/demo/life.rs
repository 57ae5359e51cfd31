//! Chapter 4: a longer life.
//!
//! 1. A device renews: a new key, a new certificate, the old one superseded.
//! 2. A device is reset. Somebody kept its old voucher and replays it; the device sees through that
//!    and onboards again with its owner.
//! 3. A device is released and sold on. The first owner cannot claim it any more; the second one's
//!    controller takes it.

use std::cell::RefCell;
use std::fs;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::cast::{FIRST, IS_RESET, MAKER, MOVES, Outcome, RENEWS, ROGUE, SECOND};
use super::factory::Factory;
use super::narrator::{Narrator, Tone};
use super::onboarding::{agent, narrate_attacker, refusal_by, run_agent, start_rogue};
use super::owners::{Domain, Owner};
use super::sentence::{Names, Why, is, text};
use super::stage::Stage;

/// The whole chapter; the second owner runs from here on.
pub(super) async fn go_on(
    stage: &Stage,
    narrator: &Narrator,
    factory: &Factory,
    first: &Owner,
    second: Domain,
    outcomes: &mut Vec<Outcome>,
) -> anyhow::Result<Owner> {
    outcomes.push(renew(stage, narrator, first).await?);
    outcomes.extend(reset(stage, narrator, factory, first).await?);
    let (second, moved) = change_hands(stage, narrator, factory, first, second).await?;
    outcomes.extend(moved);
    Ok(second)
}

/// Step 1.
async fn renew(stage: &Stage, narrator: &Narrator, first: &Owner) -> anyhow::Result<Outcome> {
    let names = Names::default().with(&first.registrar, FIRST);
    let said = agent(stage, narrator, &names, RENEWS, &["renew"]).await?;
    ensure!(said.good, "{RENEWS} had to renew");
    let shown = first.device(stage, &narrator.quiet(), RENEWS).await?;
    let id = text(&shown, "id").to_owned();
    let list = first
        .command(stage, narrator, &["cert", "list", "--device", &id])
        .await?;
    let items = list
        .get("items")
        .and_then(Value::as_array)
        .context("no certificates")?;
    let keys = |state: &str| -> Vec<&str> {
        let those = items.iter().filter(|item| text(item, "state") == state);
        those.map(|item| text(item, "spki_sha256")).collect()
    };
    let (active, superseded) = (keys("active"), keys("superseded"));
    ensure!(
        active.len() == 1 && superseded.len() == 1 && active != superseded,
        "{RENEWS} had to have one new key and one superseded: {list}"
    );
    narrator.said(
        FIRST,
        Tone::Good,
        format!("shows the old certificate of {RENEWS} as superseded"),
    );
    Ok(Outcome {
        who: RENEWS.to_owned(),
        what: "renews".to_owned(),
        end: "new key, new certificate".to_owned(),
        because: "shown with its present certificate".to_owned(),
        section: "RFC 7030 §4.2.2".to_owned(),
    })
}

/// Step 2.
async fn reset(
    stage: &Stage,
    narrator: &Narrator,
    factory: &Factory,
    first: &Owner,
) -> anyhow::Result<[Outcome; 2]> {
    let names = Names::default().with(&first.registrar, FIRST);
    let kept = stage.path("kept-voucher.vcj");
    fs::copy(stage.device(IS_RESET).join("state/voucher.vcj"), &kept)
        .context("keeping the voucher")?;
    narrator.said(
        ROGUE,
        Tone::Hostile,
        format!("has kept the genuine voucher of {IS_RESET}"),
    );
    let said = agent(stage, narrator, &names, IS_RESET, &["reset"]).await?;
    ensure!(said.good, "{IS_RESET} had to be reset");
    let kept = kept.display().to_string();
    let (mut rogue, rogue_at) =
        start_rogue(stage, narrator, factory, &["--replay", &kept, "--silent"]).await?;
    let names = names.with(&rogue_at, ROGUE);
    let said_by_rogue = RefCell::new(Vec::new());
    let rogue_first = ["--registrar", rogue_at.as_str()];
    let said = tokio::select! {
        said = run_agent(stage, narrator, &names, IS_RESET, &rogue_first) => said?,
        ended = narrate_attacker(&mut rogue, narrator, &said_by_rogue) => {
            ended?;
            bail!("the rogue registrar ended by itself");
        }
    };
    let (_, rest) = rogue.stop().await?;
    let mut said_by_rogue = said_by_rogue.into_inner();
    said_by_rogue.extend(rest);
    ensure!(
        !said_by_rogue.iter().any(|line| is(line, "caught")),
        "{IS_RESET} fell for a replay"
    );
    let refused = said
        .last("voucher-refused")
        .context("the replay had to be refused")?;
    let onboarded = said.last("onboarded").map(|line| text(line, "registrar"));
    ensure!(
        onboarded == Some(&first.registrar),
        "{IS_RESET} had to come back to {FIRST}"
    );
    Ok([
        Outcome {
            who: ROGUE.to_owned(),
            what: format!("replays the voucher of {IS_RESET}"),
            end: "refused by the device".to_owned(),
            because: text(refused, "text").to_owned(),
            section: text(refused, "section").to_owned(),
        },
        Outcome {
            who: IS_RESET.to_owned(),
            what: "is reset".to_owned(),
            end: format!("onboarded at {FIRST} again"),
            because: "fresh voucher for its fresh nonce".to_owned(),
            section: "RFC 8995 §5.6".to_owned(),
        },
    ])
}

/// Step 3.
async fn change_hands(
    stage: &Stage,
    narrator: &Narrator,
    factory: &Factory,
    first: &Owner,
    second: Domain,
) -> anyhow::Result<(Owner, [Outcome; 2])> {
    let statement = stage.path("release.p7s").display().to_string();
    let release = [
        "device",
        "release",
        MOVES,
        "--next-owner",
        &second.id,
        "--statement",
        &statement,
        "--reason",
        "sold with the barn",
    ];
    first.command(stage, narrator, &release).await?;
    narrator.said(
        FIRST,
        Tone::Plain,
        format!("releases {MOVES} by a signed statement"),
    );
    factory
        .command(stage, narrator, &["release", "--statement", &statement])
        .await?;
    factory
        .command(stage, narrator, &["sell", MOVES, "--to", SECOND])
        .await?;
    narrator.said(
        MAKER,
        Tone::Good,
        format!("has verified the statement and sold {MOVES} to {SECOND}"),
    );
    let second = second.serve(stage, narrator).await?;
    second.import(stage, narrator, factory, 2).await?;

    let names = Names::default()
        .with(&first.registrar, FIRST)
        .with(&second.registrar, SECOND);
    let said = agent(stage, narrator, &names, MOVES, &["reset"]).await?;
    ensure!(said.good, "{MOVES} had to be reset");
    // The first owner wants it back.
    let claim = [
        "device",
        "claim",
        "--manufacturer",
        &factory.id,
        "--serial",
        MOVES,
        "--reason",
        "changed our mind",
    ];
    let claimed = first.try_command(stage, narrator, &claim).await?;
    let only_first = ["--no-mdns", "--registrar", &first.registrar];
    let said = run_agent(stage, narrator, &names, MOVES, &only_first).await?;
    ensure!(!said.good, "{FIRST} could still claim {MOVES}");
    let refusal = refusal_by(&said, &first.registrar).context("no refusal by the first owner")?;
    let why = Why::of(refusal);
    let expected = match claimed.code {
        // Its own register lets it claim what its maker sold to somebody else: the MASA does not.
        Some(0) => "other-owner",
        _ => "device-released",
    };
    ensure!(
        why.code == expected,
        "{FIRST} had to be refused for {expected}, not {}: {why}",
        why.code
    );
    let lost = Outcome {
        who: FIRST.to_owned(),
        what: format!("wants {MOVES} back"),
        end: "refused".to_owned(),
        because: why.text,
        section: why.section,
    };
    let said = run_agent(stage, narrator, &names, MOVES, &[]).await?;
    let onboarded = said.last("onboarded").map(|line| text(line, "registrar"));
    ensure!(
        onboarded == Some(&second.registrar),
        "{MOVES} had to join {SECOND}"
    );
    let shown = second.device(stage, &narrator.quiet(), MOVES).await?;
    ensure!(
        text(&shown, "state") == "onboarded",
        "{SECOND} shows {MOVES} otherwise: {shown}"
    );
    let moved = Outcome {
        who: MOVES.to_owned(),
        what: format!("released by {FIRST}, sold to {SECOND}"),
        end: format!("onboarded at {SECOND}"),
        because: "voucher of its maker for the new owner".to_owned(),
        section: "RFC 8995 §5.6".to_owned(),
    };
    Ok((second, [lost, moved]))
}
