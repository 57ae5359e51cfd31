//! The journal.

use std::time::Duration;

use clap::Subcommand;
use vouchsafe_api::{Checkpoint, JournalEntry, JournalPage, JournalQuery};

use crate::failure::{Exit, Failure};
use crate::output::{Printer, facts, printable, table, when};
use crate::remote::Api;
use crate::site;

/// Entries asked for at once.
const STRETCH: u32 = 1000;

/// How often `follow` asks.
const INTERVAL: Duration = Duration::from_millis(500);

/// Commands on the journal.
#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// List entries
    List {
        /// Entries after this position
        #[arg(long, value_name = "POSITION", default_value_t = 0)]
        since: i64,
        /// Entries at most, 1 to 1000
        #[arg(long, value_name = "N", default_value_t = 100)]
        limit: u32,
        /// To the end, however long
        #[arg(long, conflicts_with = "limit")]
        all: bool,
    },
    /// Verify every chain, and that they agree with the newest checkpoint
    Verify,
    /// Show the newest checkpoint: a signed statement of what all chains look like
    Checkpoint {
        /// Make one now
        #[arg(long)]
        create: bool,
    },
    /// Show entries as they come, one a line, until interrupted
    Follow {
        /// Begin after this position; by default with what comes from now on
        #[arg(long, value_name = "POSITION")]
        since: Option<i64>,
    },
}

pub(crate) async fn run(
    command: JournalCommand,
    api: &Api,
    printer: Printer,
) -> Result<Exit, Failure> {
    match command {
        JournalCommand::List { since, limit, all } => {
            let page = if all {
                read_all(api, since).await?
            } else {
                read(api, since, limit).await?
            };
            printer.show(&page, |page| entries_text(&page.entries))?;
            if page.entries.len() == limit as usize && !all {
                printer.note(&format!("there may be more: --since {}", page.position));
            }
            Ok(Exit::Done)
        }
        JournalCommand::Verify => {
            let verification = api.verify_journal().await?;
            printer.show(&verification, |verification| {
                let result = if verification.ok {
                    "OK"
                } else {
                    "NOT what it was"
                };
                let mut text = format!(
                    "journal {result}: {} entries in {} chains, up to position {}",
                    verification.entries, verification.chains, verification.position
                );
                if !verification.faults.is_empty() {
                    let rows = verification.faults.iter().map(|fault| {
                        [
                            fault.subject.clone(),
                            fault.seq.to_string(),
                            fault.code.clone(),
                            fault.detail.clone(),
                        ]
                    });
                    text.push('\n');
                    text.push_str(&table(["chain", "entry", "fault", "detail"], rows));
                }
                text
            })?;
            Ok(Exit::done_if(verification.ok))
        }
        JournalCommand::Checkpoint { create } => {
            let checkpoint = if create {
                api.create_checkpoint().await?
            } else {
                api.show_checkpoint().await?
            };
            printer.show(&checkpoint, checkpoint_text)?;
            Ok(Exit::Done)
        }
        JournalCommand::Follow { since } => follow(since, api, printer).await,
    }
}

async fn read(api: &Api, since: i64, limit: u32) -> Result<JournalPage, Failure> {
    let query = JournalQuery {
        since: Some(since),
        limit: Some(limit),
    };
    Ok(api.read_journal(&query).await?)
}

async fn read_all(api: &Api, since: i64) -> Result<JournalPage, Failure> {
    let mut whole = read(api, since, STRETCH).await?;
    loop {
        let more = read(api, whole.position, STRETCH).await?;
        if more.entries.is_empty() {
            return Ok(whole);
        }
        whole.entries.extend(more.entries);
        whole.position = more.position;
    }
}

/// The whole journal of a device.
pub(crate) async fn of_device(api: &Api, id: &str) -> Result<JournalPage, Failure> {
    let mut whole = api.device_journal(id, 0).await?;
    while let Some(last) = whole.entries.last() {
        let more = api.device_journal(id, last.seq).await?;
        // An older controller begins at the beginning again.
        if more
            .entries
            .first()
            .is_none_or(|first| first.seq <= last.seq)
        {
            break;
        }
        whole.entries.extend(more.entries);
        whole.position = more.position;
    }
    Ok(whole)
}

async fn follow(since: Option<i64>, api: &Api, printer: Printer) -> Result<Exit, Failure> {
    let mut position = match since {
        Some(position) => position,
        None => api.show_status().await?.journal_position,
    };
    let mut stop = std::pin::pin!(site::stop_signal()?);
    loop {
        let page = tokio::select! {
            () = &mut stop => return Ok(Exit::Done),
            page = read(api, position, STRETCH) => page?,
        };
        for entry in &page.entries {
            printer.stream(entry, line)?;
        }
        position = page.position;
        if page.entries.is_empty() {
            tokio::select! {
                () = &mut stop => return Ok(Exit::Done),
                () = tokio::time::sleep(INTERVAL) => {}
            }
        }
    }
}

fn line(entry: &JournalEntry) -> String {
    printable(&format!(
        "{}  {}  {}  by {}  {}",
        when(entry.at),
        entry.subject,
        entry.action,
        entry.actor,
        entry.reasons.join("; ")
    ))
}

/// Entries as a table.
pub(crate) fn entries_text(entries: &[JournalEntry]) -> String {
    let rows = entries.iter().map(|entry| {
        [
            when(entry.at),
            entry.subject.clone(),
            entry.seq.to_string(),
            entry.action.clone(),
            entry.actor.clone(),
            entry.reasons.join("; "),
        ]
    });
    table(["at", "chain", "entry", "what", "who", "why"], rows)
}

fn checkpoint_text(checkpoint: &Checkpoint) -> String {
    facts([
        ("at", when(checkpoint.at)),
        ("position", checkpoint.position.to_string()),
        ("chains", checkpoint.chains.to_string()),
        ("root", checkpoint.root.clone()),
    ])
}
