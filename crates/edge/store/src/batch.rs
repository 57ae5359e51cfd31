//! One transaction: as many commits as were waiting, and their journal entries in one stroke.
//!
//! 1. Each commit's questions are asked, then its rows written, and the entries of its devices
//!    sealed against the heads in the devices' rows.
//! 2. When all commits are through, the order of the journal is taken (one row, held until
//!    COMMIT), the other chains are sealed, and all entries written together.
//! 3. The caller commits, and only then answers.

use std::collections::HashMap;

use vouchsafe_fleet::journal::{ChainHead, Entry, Sealed, Subject};
use vouchsafe_fleet::{Commit, Device, DeviceId, VoucherRecord};

use crate::Committed;
use crate::config::Engine;
use crate::connect::Connection;
use crate::error::Conflict;
use crate::journal;
use crate::plan::Plan;
use crate::row::{Columns, millis, name, stored_count};
use crate::statement::{Insert, Inserts, Values, fetch_optional, run};
use crate::stop::Stop;
use crate::table::{audit, credential, device, ownership, register, voucher};

const JOURNAL: Insert = Insert {
    head: "INSERT INTO journal (position, chain, seq, previous, hash, text)",
    tail: "",
    columns: 6,
};
const CHAIN: Insert = Insert {
    head: "INSERT INTO chain (subject, seq, head)",
    tail: "ON CONFLICT (subject) DO UPDATE SET seq = excluded.seq, head = excluded.head",
    columns: 3,
};
/// How often a device's head is read anew when somebody else's entry keeps coming between.
const HEAD_ATTEMPTS: usize = 3;

/// A place in the journal that a commit asked for.
enum Line<'c> {
    /// A device's entry, or one that came with an adopted chain.
    Sealed {
        subject: Subject,
        sealed: Sealed,
        adopted: bool,
    },
    /// An entry of another chain, sealed when the order is taken.
    Open { entry: &'c Entry },
}

/// A transaction under construction.
pub(crate) struct Batch<'t, 'c> {
    pub(crate) connection: &'t mut Connection,
    inserts: &'t mut Inserts,
    engine: Engine,
    /// Heads that this transaction read or wrote: nobody else can change them now.
    heads: HashMap<DeviceId, ChainHead>,
    /// The journal lines of each commit that went through, with its number in the batch.
    lines: Vec<(usize, Vec<Line<'c>>)>,
}

impl<'t, 'c> Batch<'t, 'c> {
    pub(crate) fn new(
        connection: &'t mut Connection,
        inserts: &'t mut Inserts,
        engine: Engine,
    ) -> Self {
        Self {
            connection,
            inserts,
            engine,
            heads: HashMap::new(),
            lines: Vec::new(),
        }
    }

    pub(crate) fn connection(&mut self) -> &mut Connection {
        self.connection
    }

    pub(crate) fn engine(&self) -> Engine {
        self.engine
    }

    /// Applies the commit with this number in the batch.
    pub(crate) async fn apply(&mut self, number: usize, commit: &'c Commit) -> Result<(), Stop> {
        let plan = Plan::new(commit)?;
        let mut work = Work {
            heads: HashMap::with_capacity(plan.new_devices.len()),
            lines: Vec::with_capacity(commit.entries.len()),
            sealed: commit.entries.iter().map(|_| None).collect(),
            touched: false,
        };
        let result = self.write(&plan, commit, &mut work).await;
        if let Err(stop) = result {
            return Err(if work.touched { stop.touched() } else { stop });
        }
        for (entry, sealed) in commit.entries.iter().zip(work.sealed) {
            work.lines.push(match (entry.subject, sealed) {
                (subject @ Subject::Device(_), Some(sealed)) => Line::Sealed {
                    subject,
                    sealed,
                    adopted: false,
                },
                _ => Line::Open { entry },
            });
        }
        self.heads.extend(work.heads);
        self.lines.push((number, work.lines));
        Ok(())
    }

    async fn write(
        &mut self,
        plan: &Plan<'c>,
        commit: &'c Commit,
        work: &mut Work<'c>,
    ) -> Result<(), Stop> {
        if plan.keys_collide() {
            return Err(Stop::conflict(Conflict::KeyUsed));
        }
        self.ask_for_keys(&plan.keys).await?;
        for question in &plan.questions {
            self.ask(question, work).await?;
        }
        // Conditional writes first: when the first of them finds its race lost, nothing has
        // happened and nothing needs to be undone.
        for (device, expected) in &plan.changed_devices {
            self.change_device(plan, commit, device, *expected, work)
                .await?;
            work.touched = true;
        }
        for (record, expected) in &plan.changed_vouchers {
            self.change_voucher(record, *expected).await?;
            work.touched = true;
        }
        self.insert_vouchers(&plan.new_vouchers).await?;
        work.touched |= !plan.new_vouchers.is_empty();
        self.insert_devices(plan, commit, work).await?;
        work.touched |= !plan.new_devices.is_empty();
        for id in &plan.journaled_devices {
            self.append(plan, commit, *id, work).await?;
            work.touched = true;
        }
        for (subject, chain) in &plan.adopted {
            if !matches!(subject, Subject::Device(_)) && !chain.is_empty() {
                return Err(Stop::invalid("only a device's journal can be adopted"));
            }
        }
        self.write_credentials(plan, work).await?;
        self.write_manufacturer_side(plan, work).await?;
        self.write_registers(plan, work).await?;
        self.write_wifi(&plan.wifi, work).await?;
        self.write_admission(&plan.admission, work).await
    }

    /// Version and head of a device as they stand in this transaction.
    pub(crate) async fn head_of(
        &mut self,
        id: DeviceId,
        work: &mut Work<'c>,
    ) -> Result<Option<(u64, ChainHead)>, Stop> {
        let values = Values::new().text(name(id.as_bytes()));
        let Some(row) = fetch_optional(&mut *self.connection, device::SELECT_HEAD, values).await?
        else {
            return Ok(None);
        };
        let row = Columns::of(&row, "device");
        let head = row.head("journal_seq", "journal_head")?;
        work.heads.insert(id, head);
        Ok(Some((row.count("version")?, head)))
    }

    async fn change_device(
        &mut self,
        plan: &Plan<'c>,
        commit: &'c Commit,
        row: &Device,
        expected: Option<u64>,
        work: &mut Work<'c>,
    ) -> Result<(), Stop> {
        let lost = || Stop::conflict(Conflict::DeviceVersion(name(row.id.as_bytes())));
        // The head that came with the facts is right unless somebody wrote an entry meanwhile.
        let copy = ChainHead {
            seq: row.journal_seq,
            hash: row.journal_head,
        };
        let known = work
            .heads
            .get(&row.id)
            .or_else(|| self.heads.get(&row.id))
            .copied();
        let mut read = expected.map(|version| (version, known.unwrap_or(copy)));
        for _ in 0..HEAD_ATTEMPTS {
            let (version, from) = match read.take() {
                Some(read) => read,
                None => match self.head_of(row.id, work).await? {
                    Some((version, _)) if expected.is_some_and(|expected| expected != version) => {
                        return Err(lost());
                    }
                    Some(found) => found,
                    None if expected.is_some() => return Err(lost()),
                    None => return self.insert_one_device(plan, commit, row, work).await,
                },
            };
            let chain = seal(plan, commit, row.id, from)?;
            let version_after = version.saturating_add(1);
            let written = device::Written {
                device: row,
                version: version_after,
                head: chain.head,
            };
            for sql in [device::UPDATE_IN_PLACE, device::UPDATE] {
                let mut values = Values::new();
                device::bind(&written, &mut values);
                let values = values
                    .number(stored_count(version))
                    .number(stored_count(from.seq))
                    .digest(from.hash);
                if run(self.connection, sql, values).await? == 1 {
                    work.keep(row.id, chain);
                    return Ok(());
                }
            }
        }
        Err(lost())
    }

    async fn insert_one_device(
        &mut self,
        plan: &Plan<'c>,
        commit: &'c Commit,
        row: &Device,
        work: &mut Work<'c>,
    ) -> Result<(), Stop> {
        let chain = seal(plan, commit, row.id, ChainHead::EMPTY)?;
        let written = device::Written {
            device: row,
            version: row.version,
            head: chain.head,
        };
        let count = self
            .inserts
            .run(self.connection, device::INSERT, &[written], device::bind)
            .await?;
        if count != 1 {
            return Err(Stop::conflict(Conflict::DeviceExists(name(
                row.id.as_bytes(),
            ))));
        }
        work.keep(row.id, chain);
        Ok(())
    }

    async fn insert_devices(
        &mut self,
        plan: &Plan<'c>,
        commit: &'c Commit,
        work: &mut Work<'c>,
    ) -> Result<(), Stop> {
        let mut rows = Vec::with_capacity(plan.new_devices.len());
        let mut chains = Vec::with_capacity(plan.new_devices.len());
        for &device in &plan.new_devices {
            let chain = seal(plan, commit, device.id, ChainHead::EMPTY)?;
            rows.push(device::Written {
                device,
                version: device.version,
                head: chain.head,
            });
            chains.push(chain);
        }
        let count = self
            .inserts
            .run(self.connection, device::INSERT, &rows, device::bind)
            .await?;
        if count != rows.len() as u64 {
            let id = self.device_in_the_way(&rows).await?;
            let stop = Stop::conflict(Conflict::DeviceExists(id));
            return Err(if count > 0 { stop.touched() } else { stop });
        }
        for (row, chain) in rows.iter().zip(chains) {
            work.keep(row.device.id, chain);
        }
        Ok(())
    }

    /// The first device that was there before: its row is not the one that was to be written.
    async fn device_in_the_way(&mut self, rows: &[device::Written<'_>]) -> Result<String, Stop> {
        for row in rows {
            let id = name(row.device.id.as_bytes());
            let values = Values::new().text(id.as_str());
            let found = fetch_optional(&mut *self.connection, device::SELECT_HEAD, values).await?;
            let Some(found) = found else { continue };
            let head = Columns::of(&found, "device").head("journal_seq", "journal_head")?;
            if head != row.head || rows.len() == 1 {
                return Ok(id);
            }
        }
        Ok("of this import".to_owned())
    }

    /// Entries about a device whose row otherwise stays as it is.
    async fn append(
        &mut self,
        plan: &Plan<'c>,
        commit: &'c Commit,
        id: DeviceId,
        work: &mut Work<'c>,
    ) -> Result<(), Stop> {
        let mut known = work.heads.get(&id).or_else(|| self.heads.get(&id)).copied();
        for _ in 0..HEAD_ATTEMPTS {
            let from = match known.take() {
                Some(head) => head,
                None => match self.head_of(id, work).await? {
                    Some((_, head)) => head,
                    None => {
                        return Err(Stop::invalid(
                            "a journal entry about a device that is not here",
                        ));
                    }
                },
            };
            let chain = seal(plan, commit, id, from)?;
            let values = Values::new()
                .text(name(id.as_bytes()))
                .number(stored_count(chain.head.seq))
                .digest(chain.head.hash)
                .number(stored_count(from.seq))
                .digest(from.hash);
            if run(self.connection, device::UPDATE_HEAD, values).await? == 1 {
                work.keep(id, chain);
                return Ok(());
            }
        }
        Err(Stop::conflict(Conflict::Changed("the journal")))
    }

    async fn change_voucher(
        &mut self,
        record: &VoucherRecord,
        expected: Option<u64>,
    ) -> Result<(), Stop> {
        let version = match expected {
            Some(version) => version,
            None => match self.voucher_version(record.id.as_bytes()).await? {
                Some(version) => version,
                None => return self.insert_vouchers(&[record]).await,
            },
        };
        let written = voucher::Written {
            record,
            version: version.saturating_add(1),
        };
        for sql in [voucher::UPDATE_IN_PLACE, voucher::UPDATE] {
            let mut values = Values::new();
            voucher::bind(&written, &mut values);
            let values = values.number(stored_count(version));
            if run(self.connection, sql, values).await? == 1 {
                return Ok(());
            }
        }
        Err(Stop::conflict(Conflict::Changed("the voucher request")))
    }

    async fn insert_vouchers(&mut self, records: &[&VoucherRecord]) -> Result<(), Stop> {
        let rows: Vec<_> = records
            .iter()
            .map(|&record| voucher::Written {
                record,
                version: record.version,
            })
            .collect();
        let count = self
            .inserts
            .run(self.connection, voucher::INSERT, &rows, voucher::bind)
            .await?;
        if count == rows.len() as u64 {
            return Ok(());
        }
        let mut conflict = Conflict::NonceUsed;
        if let [only] = records
            && self.voucher_version(only.id.as_bytes()).await?.is_some()
        {
            conflict = Conflict::Exists("the voucher request");
        }
        let stop = Stop::conflict(conflict);
        Err(if count > 0 { stop.touched() } else { stop })
    }

    async fn write_credentials(
        &mut self,
        plan: &Plan<'c>,
        work: &mut Work<'c>,
    ) -> Result<(), Stop> {
        work.touched |= !plan.credentials.is_empty();
        self.inserts
            .run(
                self.connection,
                credential::PUT,
                &plan.credentials,
                credential::bind,
            )
            .await?;
        for (id, status) in &plan.statuses {
            let values = credential::status_values(id, status);
            self.change_one(credential::SET_STATUS, values, "the credential", work)
                .await?;
        }
        for (id, at) in &plan.confirmations {
            let values = Values::new().text(id.as_str()).number(millis(*at));
            self.change_one(credential::CONFIRM, values, "the credential", work)
                .await?;
        }
        Ok(())
    }

    async fn write_manufacturer_side(
        &mut self,
        plan: &Plan<'c>,
        work: &mut Work<'c>,
    ) -> Result<(), Stop> {
        work.touched |= !plan.ownerships.is_empty()
            || !plan.truncations.is_empty()
            || !plan.audit_events.is_empty();
        self.inserts
            .run(
                self.connection,
                ownership::PUT,
                &plan.ownerships,
                ownership::bind,
            )
            .await?;
        for (id, drop, counters) in &plan.truncations {
            for event in *drop {
                run(self.connection, audit::DROP, audit::key_values(event)).await?;
            }
            run(
                self.connection,
                audit::COUNT,
                audit::count_values(*id, *counters),
            )
            .await?;
        }
        self.inserts
            .run(
                self.connection,
                audit::APPEND,
                &plan.audit_events,
                audit::bind,
            )
            .await?;
        Ok(())
    }

    async fn write_registers(&mut self, plan: &Plan<'c>, work: &mut Work<'c>) -> Result<(), Stop> {
        for (row, expected) in &plan.manufacturers {
            let version = match expected {
                Some(version) => version.saturating_add(1),
                None => row.version,
            };
            let values = register::manufacturer_values(row, version)?;
            self.put(register::PUT_MANUFACTURER, values, work).await?;
        }
        for row in &plan.owners {
            self.put(register::PUT_OWNER, register::owner_values(row)?, work)
                .await?;
        }
        for row in &plan.tokens {
            self.put(register::PUT_TOKEN, register::token_values(row)?, work)
                .await?;
        }
        for row in &plan.policies {
            self.put(register::PUT_POLICY, register::policy_values(row), work)
                .await?;
        }
        for row in &plan.sightings {
            self.put(
                register::FORGET_SIGHTINGS,
                Values::new().number(millis(row.at)),
                work,
            )
            .await?;
            self.put(register::PUT_SIGHTING, register::sighting_values(row), work)
                .await?;
        }
        let mut claims = Vec::with_capacity(plan.claims.len());
        for &claim in &plan.claims {
            claims.push(register::WrittenClaim::new(claim)?);
        }
        work.touched |= !claims.is_empty();
        self.inserts
            .run(
                self.connection,
                register::PUT_CLAIM,
                &claims,
                register::bind_claim,
            )
            .await?;
        for (subject, issuer, ended_by) in &plan.ended_claims {
            let values = register::ended_values(subject, issuer, *ended_by);
            self.put(register::FORGET_CLAIMS, values, work).await?;
        }
        Ok(())
    }

    pub(crate) async fn put(
        &mut self,
        sql: &'static str,
        values: Values,
        work: &mut Work<'c>,
    ) -> Result<(), Stop> {
        work.touched = true;
        run(self.connection, sql, values).await?;
        Ok(())
    }

    pub(crate) async fn change_one(
        &mut self,
        sql: &'static str,
        values: Values,
        what: &'static str,
        work: &mut Work<'c>,
    ) -> Result<(), Stop> {
        let count = run(self.connection, sql, values).await?;
        work.touched = true;
        if count == 1 {
            Ok(())
        } else {
            Err(Stop::conflict(Conflict::Changed(what)))
        }
    }

    /// Takes the order of the journal and writes all lines. Gives, for each commit that went
    /// through, its number and its answer, and the last position.
    pub(crate) async fn finish(mut self) -> Result<(Vec<(usize, Committed)>, Option<u64>), Stop> {
        let lines = std::mem::take(&mut self.lines);
        let total: usize = lines.iter().map(|(_, lines)| lines.len()).sum();
        if total == 0 {
            let empty = Committed {
                position: None,
                sealed: Vec::new(),
            };
            return Ok((
                lines
                    .iter()
                    .map(|(number, _)| (*number, empty.clone()))
                    .collect(),
                None,
            ));
        }
        let last = self.take_positions(total as u64).await?;
        let mut position = last - total as u64;
        let mut chains: HashMap<Subject, ChainHead> = HashMap::new();
        let mut placed = Vec::with_capacity(lines.len());
        for (number, lines) in lines {
            let mut of_commit = Vec::with_capacity(lines.len());
            for line in lines {
                let (subject, sealed, adopted) = match line {
                    Line::Sealed {
                        subject,
                        sealed,
                        adopted,
                    } => (subject, sealed, adopted),
                    Line::Open { entry } => {
                        let head = match chains.get(&entry.subject) {
                            Some(head) => *head,
                            None => self
                                .chain_head(entry.subject)
                                .await?
                                .unwrap_or(ChainHead::EMPTY),
                        };
                        let sealed = Sealed::seal(&head, entry);
                        chains.insert(entry.subject, sealed.head());
                        (entry.subject, sealed, false)
                    }
                };
                position += 1;
                of_commit.push(Placed {
                    position,
                    subject,
                    sealed,
                    adopted,
                });
            }
            placed.push((number, of_commit));
        }
        let rows: Vec<&Placed> = placed.iter().flat_map(|(_, lines)| lines).collect();
        self.inserts
            .run(self.connection, JOURNAL, &rows, bind_journal)
            .await?;
        let answers = placed
            .into_iter()
            .map(|(number, lines)| (number, answer(lines)))
            .collect();
        let heads: Vec<_> = chains.into_iter().collect();
        self.inserts
            .run(self.connection, CHAIN, &heads, bind_chain)
            .await?;
        if self.engine == Engine::Postgres {
            run(self.connection, NOTIFY, Values::new()).await?;
        }
        Ok((answers, Some(last)))
    }

    /// Two statements, not `RETURNING`: for that SQLite builds a table, which costs more than both.
    async fn take_positions(&mut self, count: u64) -> Result<u64, Stop> {
        const TAKE: &str = "UPDATE journal_tail SET position = position + ?1 WHERE id = 1";
        let values = Values::new().number(stored_count(count));
        run(self.connection, TAKE, values).await?;
        let last = journal::last_position(self.connection).await?;
        Ok(last)
    }
}

/// Wakes the other replicas once for each batch.
const NOTIFY: &str = "NOTIFY vouchsafe_journal";
/// The channel of [`NOTIFY`].
pub(crate) const CHANNEL: &str = "vouchsafe_journal";

/// What one commit has come to so far.
pub(crate) struct Work<'c> {
    pub(crate) heads: HashMap<DeviceId, ChainHead>,
    /// Adopted entries; the commit's own follow.
    lines: Vec<Line<'c>>,
    /// The commit's own entries, as far as they are sealed.
    sealed: Vec<Option<Sealed>>,
    touched: bool,
}

impl Work<'_> {
    fn keep(&mut self, id: DeviceId, chain: Chain) {
        self.heads.insert(id, chain.head);
        let subject = Subject::Device(id);
        self.lines
            .extend(chain.adopted.into_iter().map(|sealed| Line::Sealed {
                subject,
                sealed,
                adopted: true,
            }));
        for (index, sealed) in chain.sealed {
            if let Some(place) = self.sealed.get_mut(index) {
                *place = Some(sealed);
            }
        }
    }
}

/// What is added to a device's chain, and where it ends then.
struct Chain {
    adopted: Vec<Sealed>,
    sealed: Vec<(usize, Sealed)>,
    head: ChainHead,
}

/// Seals what the commit says about a device behind `from`.
fn seal(plan: &Plan<'_>, commit: &Commit, id: DeviceId, from: ChainHead) -> Result<Chain, Stop> {
    let mut head = from;
    let adopted = plan.adopted_by(Subject::Device(id));
    if let Some(last) = adopted.last() {
        if from != ChainHead::EMPTY {
            return Err(Stop::conflict(Conflict::Changed("the journal")));
        }
        head = last.head();
    }
    let mut sealed = Vec::new();
    for &index in plan.entries.get(&id).map_or(&[][..], Vec::as_slice) {
        if let Some(entry) = commit.entries.get(index) {
            let next = Sealed::seal(&head, entry);
            head = next.head();
            sealed.push((index, next));
        }
    }
    Ok(Chain {
        adopted: adopted.to_vec(),
        sealed,
        head,
    })
}

/// How a chain is named in the journal: `device:…`, `manufacturer:…` or `site`.
pub(crate) fn chain_name(subject: Subject) -> String {
    match subject {
        Subject::Device(id) => format!("device:{}", name(id.as_bytes())),
        other @ (Subject::Manufacturer(_) | Subject::Gate(_) | Subject::Site) => other.to_string(),
    }
}

/// A line of the journal, as it is written.
struct Placed {
    position: u64,
    subject: Subject,
    sealed: Sealed,
    adopted: bool,
}

/// What the caller is told of its commit's lines.
fn answer(lines: Vec<Placed>) -> Committed {
    Committed {
        position: lines.last().map(|line| line.position),
        sealed: lines
            .into_iter()
            .filter(|line| !line.adopted)
            .map(|line| line.sealed)
            .collect(),
    }
}

fn bind_journal(row: &&Placed, values: &mut Values) {
    let sealed = &row.sealed;
    values.push_number(stored_count(row.position));
    values.push_text(chain_name(row.subject));
    values.push_number(stored_count(sealed.seq));
    values.push_digest(sealed.previous);
    values.push_digest(sealed.hash);
    values.push_text(sealed.text.as_str());
}

fn bind_chain(row: &(Subject, ChainHead), values: &mut Values) {
    let (subject, head) = row;
    values.push_text(chain_name(*subject));
    values.push_number(stored_count(head.seq));
    values.push_digest(head.hash);
}
