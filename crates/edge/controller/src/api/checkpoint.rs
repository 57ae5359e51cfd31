//! Checkpoints: signed statements of where all chains stood at one moment.
//!
//! 1. The heads of all chains are taken at one journal position.
//! 2. Their Merkle root is signed by the registrar, together with the digest of the checkpoint
//!    before, so that none can be taken out unseen.
//! 3. Verifying recomputes the root from the entries up to that position: an entry that was changed
//!    or taken out before it shows, even when its chain was sealed anew.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use vouchsafe_api::{Checkpoint, Code, JournalFault, Problem};
use vouchsafe_fleet::journal::{self, ChainHead, leaf, merkle_root};
use vouchsafe_fleet::{Digest, Subject};
use vouchsafe_store::StoredCheckpoint;
use vouchsafe_trust::cms;
use vouchsafe_trust::{PathRules, Usage};

use super::problem::Failure;
use super::{sign, signed};
use crate::controller::{Controller, Fault};

/// Heads, or entries, read at once.
const PAGE: u32 = 1000;

/// How often the heads are read anew because the journal grew meanwhile, before the entries
/// themselves are read instead.
const MAX_ATTEMPTS: usize = 3;

/// The line in front of the JSON that is signed, which says what it is.
const TITLE: &[u8] = b"vouchsafe checkpoint v1\n";

pub(super) async fn show_checkpoint(
    State(controller): State<Controller>,
) -> Result<Json<Checkpoint>, Failure> {
    let stored = controller.store.checkpoint().await?.ok_or_else(|| {
        Problem::new(Code::NotFound, "there is no checkpoint yet")
            .next_step("`vouchsafe journal checkpoint` makes one")
    })?;
    let said = read(&stored)?;
    Ok(Json(shown(&said, stored.document)))
}

pub(super) async fn create_checkpoint(
    State(controller): State<Controller>,
) -> Result<(StatusCode, Json<Checkpoint>), Failure> {
    // One at a time: each names the one before.
    let _turn = controller.checkpoint_turn.lock().await;
    let before = match controller.store.checkpoint().await? {
        Some(stored) => Some(read(&stored)?),
        None => None,
    };
    // 1
    let (position, chains, root) = standing(&controller).await?;
    // 2
    let checkpoint = journal::Checkpoint {
        position,
        at: controller.clock.now(),
        chains,
        root,
        previous: before.map_or(Digest::ZERO, |before| before.digest()),
    };
    let der = sign::by_registrar(&controller, checkpoint.signed_bytes()).await?;
    let document = STANDARD.encode(der);
    let stored = StoredCheckpoint {
        position,
        at: checkpoint.at,
        document: document.clone(),
    };
    controller
        .store
        .put_checkpoint(stored)
        .await
        .map_err(Fault::Commit)?;
    Ok((StatusCode::CREATED, Json(shown(&checkpoint, document))))
}

/// Step 3 for the newest checkpoint: what is wrong, if anything.
pub(super) async fn verify(controller: &Controller) -> Result<Option<JournalFault>, Failure> {
    let Some(stored) = controller.store.checkpoint().await? else {
        return Ok(None);
    };
    let differs = |detail: String| {
        Ok(Some(JournalFault {
            subject: "site".to_owned(),
            seq: signed(stored.position),
            code: "checkpoint-differs".to_owned(),
            detail,
        }))
    };
    let checkpoint = match proved(controller, &stored) {
        Ok(checkpoint) => checkpoint,
        Err(why) => {
            return differs(format!(
                "the newest checkpoint is not to be believed: {why}"
            ));
        }
    };
    let (chains, root) = standing_at(controller, checkpoint.position).await?;
    if (chains, root) != (checkpoint.chains, checkpoint.root) {
        return differs(format!(
            "the entries up to position {} are not those that the checkpoint was signed over",
            checkpoint.position
        ));
    }
    Ok(None)
}

/// The stored checkpoint, if this domain's registrar signed it.
fn proved(
    controller: &Controller,
    stored: &StoredCheckpoint,
) -> Result<journal::Checkpoint, String> {
    let der = STANDARD
        .decode(&stored.document)
        .map_err(|error| error.to_string())?;
    // The certificate may have run out since.
    let rules = PathRules::strict(stored.at, Usage::Registrar);
    let proved = cms::parse(&der)
        .and_then(|envelope| envelope.verify(&controller.domain, &rules))
        .map_err(|error| error.to_string())?;
    let checkpoint = parse(&proved.content).ok_or("it cannot be read")?;
    if checkpoint.position != stored.position || checkpoint.signed_bytes() != proved.content {
        return Err("it is not the one that was stored".to_owned());
    }
    Ok(checkpoint)
}

/// Position, number of chains, and root now.
async fn standing(controller: &Controller) -> Result<(u64, u64, Digest), Failure> {
    let store = &controller.store;
    for _ in 0..MAX_ATTEMPTS {
        let position = store.position();
        let mut leaves = Vec::new();
        let mut after = None;
        loop {
            let heads = store.journal_heads(after, PAGE).await?;
            let Some((last, _)) = heads.last() else { break };
            after = Some(*last);
            leaves.extend(heads.iter().map(|(subject, head)| leaf(*subject, head)));
        }
        if store.position() == position {
            return Ok((position, leaves.len() as u64, merkle_root(leaves)));
        }
    }
    // A journal that does not stand still is read up to where it stood.
    let position = store.position();
    let (chains, root) = standing_at(controller, position).await?;
    Ok((position, chains, root))
}

/// Number of chains and root as of `position`, from the entries themselves.
async fn standing_at(controller: &Controller, position: u64) -> Result<(u64, Digest), Failure> {
    let mut heads: BTreeMap<Subject, ChainHead> = BTreeMap::new();
    let mut since = 0;
    'journal: loop {
        let entries = controller.store.journal_since(since, PAGE).await?;
        if entries.is_empty() {
            break;
        }
        for entry in entries {
            if entry.position > position {
                break 'journal;
            }
            since = entry.position;
            let head = ChainHead {
                seq: entry.sealed.seq,
                hash: entry.sealed.hash,
            };
            heads.insert(entry.subject, head);
        }
    }
    // The order of the map is the order in which the store lists heads.
    let leaves: Vec<Digest> = heads
        .iter()
        .map(|(subject, head)| leaf(*subject, head))
        .collect();
    Ok((leaves.len() as u64, merkle_root(leaves)))
}

/// The content of a checkpoint of ours, its signature not looked at.
fn read(stored: &StoredCheckpoint) -> Result<journal::Checkpoint, Fault> {
    let read = || {
        let der = STANDARD.decode(&stored.document).ok()?;
        parse(cms::parse(&der).ok()?.content())
    };
    read().ok_or_else(|| Fault::Sign("the stored checkpoint cannot be read".to_owned()))
}

fn parse(signed: &[u8]) -> Option<journal::Checkpoint> {
    serde_json::from_slice(signed.strip_prefix(TITLE)?).ok()
}

fn shown(checkpoint: &journal::Checkpoint, document: String) -> Checkpoint {
    Checkpoint {
        at: checkpoint.at,
        position: signed(checkpoint.position),
        chains: checkpoint.chains,
        root: checkpoint.root.to_string(),
        signed: document,
    }
}
