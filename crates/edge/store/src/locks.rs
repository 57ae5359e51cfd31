//! PostgreSQL only: what keeps replicas from deciding about one subject at the same time.
//!
//! A guard that is a question ("nobody has this key") holds only if nobody can change the answer
//! before COMMIT. Each batch therefore locks its subjects first, all at once and in ascending
//! order, so that two replicas never wait for each other in a circle. SQLite has one writer.

use std::collections::BTreeSet;

use vouchsafe_fleet::commit::{Change, Guard};
use vouchsafe_fleet::{Commit, Subject};

use crate::batch::Batch;
use crate::config::Engine;
use crate::stop::Stop;
use crate::table::{admission, wifi};

/// Subjects share this many locks: a server's lock table is small, and two subjects that meet in
/// one lock only wait for each other.
const LOCKS: u64 = 1024;
/// Locks of one statement.
const AT_ONCE: usize = 128;
/// Where our locks stand among a server's advisory locks.
const NAMESPACE: i32 = 0x766f_7563;

impl Batch<'_, '_> {
    /// Locks every subject that the commits ask or write about, until COMMIT.
    pub(crate) async fn lock_subjects(
        &mut self,
        commits: impl Iterator<Item = &Commit>,
    ) -> Result<(), Stop> {
        if self.engine() != Engine::Postgres {
            return Ok(());
        }
        let mut locks = BTreeSet::new();
        for commit in commits {
            subjects(commit, &mut locks);
        }
        let locks: Vec<u64> = locks.into_iter().collect();
        for some in locks.chunks(AT_ONCE) {
            // The numbers are ours, so they may stand in the text; the statement is not kept.
            let calls: Vec<String> = some
                .iter()
                .map(|lock| format!("pg_advisory_xact_lock({NAMESPACE}, {lock}) IS NULL"))
                .collect();
            let sql = format!("SELECT {}", calls.join(", "));
            self.connection().execute(&sql).await?;
        }
        Ok(())
    }
}

fn subjects(commit: &Commit, locks: &mut BTreeSet<u64>) {
    let mut add = |bytes: &[u8]| {
        let (head, _) = bytes.split_at(bytes.len().min(8));
        let number = head
            .iter()
            .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        locks.insert(number % LOCKS);
    };
    for guard in &commit.guards {
        match guard {
            Guard::DeviceAbsent { id } | Guard::DeviceVersion { id, .. } => add(id.as_bytes()),
            Guard::VoucherAbsent { id } | Guard::VoucherVersion { id, .. } => add(id.as_bytes()),
            Guard::NonceUnused { device, .. }
            | Guard::RequestUnanswered { device, .. }
            | Guard::CurrentOwner { device, .. } => add(device.as_bytes()),
            Guard::KeyUnused {
                spki_sha256,
                device,
            } => {
                add(spki_sha256.as_bytes());
                add(device.as_bytes());
            }
            Guard::CredentialActive { id } => add(id.as_str().as_bytes()),
            Guard::ManufacturerVersion { id, .. } => add(id.as_bytes()),
            Guard::TokenValid { id, .. } => add(id.as_bytes()),
            Guard::JournalHead { subject, .. } => {
                if let Subject::Device(id) = subject {
                    add(id.as_bytes());
                }
            }
            Guard::Wifi(guard) => wifi::subjects_of_guard(guard, &mut add),
            Guard::Admission(guard) => admission::subjects_of_guard(guard, &mut add),
        }
    }
    for change in &commit.changes {
        match change {
            Change::PutDevice(device) => {
                add(device.id.as_bytes());
                if let Some(key) = &device.idevid_spki_sha256 {
                    add(key.as_bytes());
                }
            }
            Change::PutCredential(credential) => {
                add(credential.device.as_bytes());
                add(credential.id.as_str().as_bytes());
                add(credential.spki_sha256.as_bytes());
            }
            Change::SetCredentialStatus { id, .. } | Change::ConfirmCredential { id, .. } => {
                add(id.as_str().as_bytes());
            }
            Change::PutVoucher(record) => {
                add(record.id.as_bytes());
                add(record.device.as_bytes());
            }
            Change::PutOwnership(row) => add(row.device.as_bytes()),
            Change::AppendAudit(event) => add(event.device.as_bytes()),
            Change::TruncateAudit { device, .. } => add(device.as_bytes()),
            Change::PutManufacturer(row) => add(row.id.as_bytes()),
            Change::PutSighting(row) => add(row.device.as_bytes()),
            Change::AdoptJournal { subject, .. } => {
                if let Subject::Device(id) = subject {
                    add(id.as_bytes());
                }
            }
            Change::PutOwner(row) => add(row.id.as_bytes()),
            Change::PutToken(row) => add(row.id.as_bytes()),
            Change::PutClaim(row) => add(row.subject.key().as_bytes()),
            Change::ForgetClaims { subject, .. } => add(subject.key().as_bytes()),
            Change::PutPolicy(row) => add(row.id.as_bytes()),
            Change::Wifi(change) => wifi::subjects_of_change(change, &mut add),
            Change::Admission(change) => admission::subjects_of_change(change, &mut add),
        }
    }
    for entry in &commit.entries {
        if let Subject::Device(id) = entry.subject {
            add(id.as_bytes());
        }
    }
}
