//! The journal: reading, verifying, checkpoints.

use axum::Json;
use axum::extract::State;
use vouchsafe_api::{JournalEntry, JournalFault, JournalPage, JournalQuery, Verification};
use vouchsafe_fleet::JournalError;
use vouchsafe_store::Positioned;

use super::problem::{Failure, bad_request};
use super::request::Asked;
use super::{checkpoint, signed};
use crate::controller::Controller;

/// Entries of a page when nothing is said, and at most.
const DEFAULT_LIMIT: u32 = 100;
const MAX_LIMIT: u32 = 1000;

pub(super) async fn read_journal(
    State(controller): State<Controller>,
    Asked(query): Asked<JournalQuery>,
) -> Result<Json<JournalPage>, Failure> {
    let since = position(query.since)?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT);
    let entries = controller.store.journal_since(since, limit).await?;
    Ok(Json(page_of(&entries, since)))
}

/// Where reading begins.
pub(super) fn position(since: Option<i64>) -> Result<u64, Failure> {
    u64::try_from(since.unwrap_or(0))
        .map_err(|_| bad_request("`since` is a position, 0 or more").into())
}

/// A stretch of the journal that was read behind `since`.
pub(super) fn page_of(entries: &[Positioned], since: u64) -> JournalPage {
    let position = entries.last().map_or(since, |entry| entry.position);
    JournalPage {
        entries: entries.iter().map(shown).collect(),
        position: signed(position),
    }
}

/// One entry. One that does not read back is shown with what is certain of it: its text.
pub(super) fn shown(entry: &Positioned) -> JournalEntry {
    let sealed = &entry.sealed;
    let read = sealed.entry().ok();
    let (at, action, actor, reasons) = match read {
        Some(read) => (
            read.at,
            read.action.as_str().to_owned(),
            format!("{}:{}", read.actor.kind, read.actor.name),
            read.reasons
                .iter()
                .map(|reason| format!("{} [{}]", reason.code, reason.section))
                .collect(),
        ),
        None => (
            jiff::Timestamp::UNIX_EPOCH,
            "unreadable".to_owned(),
            String::new(),
            Vec::new(),
        ),
    };
    JournalEntry {
        position: signed(entry.position),
        subject: entry.subject.to_string(),
        seq: signed(sealed.seq),
        at,
        action,
        actor,
        reasons,
        previous: sealed.previous.to_string(),
        hash: sealed.hash.to_string(),
        text: sealed.text.clone(),
    }
}

pub(super) async fn verify_journal(
    State(controller): State<Controller>,
) -> Result<Json<Verification>, Failure> {
    let position = controller.store.position();
    let report = controller.store.verify_journals().await?;
    let mut faults: Vec<JournalFault> = report
        .faults
        .iter()
        .map(|(subject, error)| {
            let (seq, code) = fault(error);
            JournalFault {
                subject: subject.to_string(),
                seq: signed(seq),
                code: code.to_owned(),
                detail: error.to_string(),
            }
        })
        .collect();
    if report.miscounted {
        faults.push(JournalFault {
            subject: "site".to_owned(),
            seq: 0,
            code: "missing".to_owned(),
            detail: "the number of entries is not what the chains' heads say".to_owned(),
        });
    }
    faults.extend(checkpoint::verify(&controller).await?);
    faults.truncate(Verification::MAX_FAULTS);
    Ok(Json(Verification {
        ok: faults.is_empty(),
        chains: report.chains,
        entries: report.entries,
        position: signed(position),
        faults,
    }))
}

/// Where a chain is not what it was, and the contract's word for how.
fn fault(error: &JournalError) -> (u64, &'static str) {
    match *error {
        JournalError::Altered { seq } | JournalError::Unreadable { seq } => (seq, "altered"),
        JournalError::Missing { seq } => (seq, "missing"),
        JournalError::Truncated { found, .. } => (found.saturating_add(1), "missing"),
        JournalError::BrokenLink { seq }
        | JournalError::Reordered { seq }
        | JournalError::Foreign { seq } => (seq, "reordered"),
        JournalError::OtherHead { seq } => (seq, "head-differs"),
        _ => (0, "checkpoint-differs"),
    }
}
