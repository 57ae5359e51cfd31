//! Reading and checking the journal.

use jiff::Timestamp;
use vouchsafe_fleet::journal::{ChainHead, JournalError, passes, verify_part};
use vouchsafe_fleet::{DeviceId, Sealed, Subject};

use crate::batch::chain_name;
use crate::connect::Connection;
use crate::error::{EngineError, ReadError, Reason};
use crate::readers::Readers;
use crate::row::{Columns, Row, name, stored_count};
use crate::statement::{Values, fetch_optional};
use crate::{Positioned, Store};

const LAST_POSITION: &str = "SELECT position FROM journal_tail WHERE id = 1";
/// Entries, and heads, that are read at once while checking.
const PAGE: u32 = 1024;
/// A report names at most this many faults; one is enough to distrust a journal.
const MOST_FAULTS: usize = 100;

/// What checking the whole journal found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalReport {
    /// Chains checked.
    pub chains: u64,
    /// Entries checked.
    pub entries: u64,
    /// Chains that do not verify, and why; at most 100.
    pub faults: Vec<(Subject, JournalError)>,
    /// The number of entries is not what the chains' heads say: some were added or taken out
    /// together with their chain.
    pub miscounted: bool,
}

impl JournalReport {
    /// Whether nothing was found.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty() && !self.miscounted
    }
}

/// A signed statement over all heads, as it was exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// The journal position it covers.
    pub position: u64,
    /// When it was made.
    pub at: Timestamp,
    /// The signed document.
    pub document: String,
}

/// The last position given out.
pub(crate) async fn last_position(connection: &mut Connection) -> Result<u64, EngineError> {
    let row = fetch_optional(connection, LAST_POSITION, Values::new()).await?;
    position_of(row)
}

/// The last position as the readers see it.
pub(crate) async fn visible_position(readers: &Readers) -> Result<u64, EngineError> {
    position_of(readers.fetch_optional(LAST_POSITION, Values::new()).await?)
}

fn position_of(row: Option<Row>) -> Result<u64, EngineError> {
    let lost = |reason: &str| EngineError::new(Reason::Unavailable, reason);
    let row = row.ok_or_else(|| lost("the journal has lost its tail"))?;
    Columns::of(&row, "journal_tail")
        .count("position")
        .map_err(|error| lost(&error.to_string()))
}

impl Store {
    /// Entries of all chains behind `position`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`ReadError`] when the engine does not answer or a row is damaged.
    pub async fn journal_since(
        &self,
        position: u64,
        limit: u32,
    ) -> Result<Vec<Positioned>, ReadError> {
        const SQL: &str = "SELECT position, chain, seq, previous, hash, text FROM journal \
             WHERE position > ?1 ORDER BY position LIMIT ?2 + 0";
        let values = Values::new()
            .number(stored_count(position))
            .number(i64::from(limit));
        let rows = self.readers().fetch_all(SQL, values).await?;
        rows.iter().map(read).collect()
    }

    /// Entries of one chain behind number `seq`, oldest first, at most `limit`.
    ///
    /// # Errors
    /// As [`Store::journal_since`].
    pub async fn journal(
        &self,
        subject: Subject,
        seq: u64,
        limit: u32,
    ) -> Result<Vec<Positioned>, ReadError> {
        const SQL: &str = "SELECT position, chain, seq, previous, hash, text FROM journal \
             WHERE chain = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3 + 0";
        let values = Values::new()
            .text(chain_name(subject))
            .number(stored_count(seq))
            .number(i64::from(limit));
        let rows = self.readers().fetch_all(SQL, values).await?;
        rows.iter().map(read).collect()
    }

    /// The head of a chain; [`ChainHead::EMPTY`] when it has no entries.
    ///
    /// # Errors
    /// As [`Store::journal_since`].
    pub async fn journal_head(&self, subject: Subject) -> Result<ChainHead, ReadError> {
        const DEVICE: &str =
            "SELECT journal_seq AS seq, journal_head AS head FROM device WHERE id = ?1";
        const OTHER: &str = "SELECT seq, head FROM chain WHERE subject = ?1";
        let (sql, key) = match subject {
            Subject::Device(id) => (DEVICE, name(id.as_bytes())),
            Subject::Manufacturer(_) | Subject::Gate(_) | Subject::Site => {
                (OTHER, chain_name(subject))
            }
        };
        let row = self
            .readers()
            .fetch_optional(sql, Values::new().text(key))
            .await?;
        let head = row
            .map(|row| Columns::of(&row, "chain").head("seq", "head"))
            .transpose()?;
        Ok(head.unwrap_or(ChainHead::EMPTY))
    }

    /// Heads of all chains, ordered by subject's kind and name, behind `after`, at most `limit`:
    /// first the devices', then the others'. Each is the head at the time it is read.
    ///
    /// # Errors
    /// As [`Store::journal_since`].
    pub async fn journal_heads(
        &self,
        after: Option<Subject>,
        limit: u32,
    ) -> Result<Vec<(Subject, ChainHead)>, ReadError> {
        const DEVICES: &str = "SELECT id, journal_seq, journal_head FROM device \
             WHERE id > ?1 ORDER BY id LIMIT ?2 + 0";
        const OTHERS: &str =
            "SELECT subject, seq, head FROM chain WHERE subject > ?1 ORDER BY subject LIMIT ?2 + 0";
        let (first_device, first_other) = match after {
            None => (Some(String::new()), String::new()),
            Some(Subject::Device(id)) => (Some(name(id.as_bytes())), String::new()),
            Some(other) => (None, chain_name(other)),
        };
        let mut heads = Vec::new();
        if let Some(first) = first_device {
            let values = Values::new().text(first).number(i64::from(limit));
            for row in &self.readers().fetch_all(DEVICES, values).await? {
                let row = Columns::of(row, "device");
                let id: DeviceId = row.parsed("id")?;
                heads.push((
                    Subject::Device(id),
                    row.head("journal_seq", "journal_head")?,
                ));
            }
        }
        let rest = i64::from(limit).saturating_sub(i64::try_from(heads.len()).unwrap_or(i64::MAX));
        if rest > 0 {
            let values = Values::new().text(first_other).number(rest);
            for row in &self.readers().fetch_all(OTHERS, values).await? {
                let row = Columns::of(row, "chain");
                let subject = Subject::parse(&row.text("subject")?)
                    .map_err(|error| row.damaged("subject", error))?;
                heads.push((subject, row.head("seq", "head")?));
            }
        }
        Ok(heads)
    }

    /// Checks one chain against its head: its verdict, or the first fault. The number is that of
    /// the entries checked.
    ///
    /// # Errors
    /// As [`Store::journal_since`].
    pub async fn verify_journal(
        &self,
        subject: Subject,
    ) -> Result<Result<u64, JournalError>, ReadError> {
        // The head first: entries that are added meanwhile then follow it, which is no fault.
        let known = self.journal_head(subject).await?;
        let mut head = ChainHead::EMPTY;
        let mut passed = false;
        loop {
            let page = self.journal(subject, head.seq, PAGE).await?;
            let more = page.len() == PAGE as usize;
            let part: Vec<Sealed> = page
                .into_iter()
                .map(|positioned| positioned.sealed)
                .collect();
            passed |= passes(&head, &part, &known);
            head = match verify_part(subject, &head, &part) {
                Ok(head) => head,
                Err(fault) => return Ok(Err(fault)),
            };
            if !more {
                break;
            }
        }
        Ok(if known.seq > head.seq {
            Err(JournalError::Truncated {
                expected: known.seq,
                found: head.seq,
            })
        } else if passed {
            Ok(head.seq)
        } else {
            Err(JournalError::OtherHead { seq: known.seq })
        })
    }

    /// Checks every chain, and that no entry is without one.
    ///
    /// # Errors
    /// As [`Store::journal_since`].
    pub async fn verify_journals(&self) -> Result<JournalReport, ReadError> {
        const COUNTS: &str = "SELECT \
             cast((SELECT coalesce(sum(journal_seq), 0) FROM device) AS bigint) AS of_devices, \
             cast((SELECT coalesce(sum(seq), 0) FROM chain) AS bigint) AS of_others, \
             cast((SELECT count(*) FROM journal) AS bigint) AS entries, \
             position FROM journal_tail WHERE id = 1";
        let mut report = JournalReport::default();
        let mut after = None;
        loop {
            let heads = self.journal_heads(after, PAGE).await?;
            let Some((last, _)) = heads.last() else { break };
            after = Some(*last);
            for (subject, _) in heads {
                report.chains += 1;
                match self.verify_journal(subject).await? {
                    Ok(entries) => report.entries += entries,
                    Err(fault) if report.faults.len() < MOST_FAULTS => {
                        report.faults.push((subject, fault));
                    }
                    Err(_) => {}
                }
            }
        }
        if let Some(row) = self.readers().fetch_optional(COUNTS, Values::new()).await? {
            let row = Columns::of(&row, "journal");
            let heads = row
                .count("of_devices")?
                .saturating_add(row.count("of_others")?);
            let entries = row.count("entries")?;
            report.miscounted = heads != entries || entries != row.count("position")?;
        }
        Ok(report)
    }

    /// The latest checkpoint.
    ///
    /// # Errors
    /// As [`Store::journal_since`].
    pub async fn checkpoint(&self) -> Result<Option<StoredCheckpoint>, ReadError> {
        Ok(self.checkpoints(None, 1).await?.pop())
    }

    /// Checkpoints, the latest first, before position `before`, at most `limit`.
    ///
    /// # Errors
    /// As [`Store::journal_since`].
    pub async fn checkpoints(
        &self,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<StoredCheckpoint>, ReadError> {
        const SQL: &str = "SELECT position, at, document FROM checkpoint WHERE position < ?1 \
             ORDER BY position DESC LIMIT ?2 + 0";
        let before = before.map_or(i64::MAX, stored_count);
        let values = Values::new().number(before).number(i64::from(limit));
        let rows = self.readers().fetch_all(SQL, values).await?;
        let read = |row| {
            let row = Columns::of(row, "checkpoint");
            Ok(StoredCheckpoint {
                position: row.count("position")?,
                at: row.time("at")?,
                document: row.text("document")?,
            })
        };
        rows.iter().map(read).collect()
    }
}

fn read(row: &Row) -> Result<Positioned, ReadError> {
    let row = Columns::of(row, "journal");
    let chain = row.text("chain")?;
    Ok(Positioned {
        position: row.count("position")?,
        subject: Subject::parse(&chain).map_err(|error| row.damaged("chain", error))?,
        sealed: Sealed {
            seq: row.count("seq")?,
            previous: row.digest("previous")?,
            hash: row.digest("hash")?,
            text: row.text("text")?,
        },
    })
}
