//! A commit, sorted by what has to be done for it. Pure; no engine here.
//!
//! Guards about a row that the commit also writes become conditions of that write. What is left
//! over is asked first, so that a lost race is found before anything was written.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;

use jiff::Timestamp;
use vouchsafe_fleet::commit::{Change, Guard, PolicyRecord, Sighting};
use vouchsafe_fleet::credential::CredentialStatus;
use vouchsafe_fleet::journal::ChainHead;
use vouchsafe_fleet::{
    AuditEvent, AuditTruncation, Claim, ClaimSubject, Commit, Credential, CredentialId, Device,
    DeviceId, Digest, Manufacturer, ManufacturerId, Owner, Ownership, Sealed, Subject, Token,
    VoucherId, VoucherRecord, admission, wifi,
};

use crate::error::CommitError;

/// A commit by kind of work. Within one kind the order of the commit is kept; a row that is put
/// twice is written once, with its last value.
#[derive(Default)]
pub(crate) struct Plan<'c> {
    /// Guards that are not part of a write.
    pub(crate) questions: Vec<&'c Guard>,
    /// Keys that must belong to nobody but the device beside them.
    pub(crate) keys: Vec<(Digest, DeviceId)>,
    pub(crate) new_devices: Vec<&'c Device>,
    pub(crate) changed_devices: Vec<(&'c Device, Option<u64>)>,
    /// Devices that only get journal entries, in order of appearance.
    pub(crate) journaled_devices: Vec<DeviceId>,
    pub(crate) new_vouchers: Vec<&'c VoucherRecord>,
    pub(crate) changed_vouchers: Vec<(&'c VoucherRecord, Option<u64>)>,
    pub(crate) credentials: Vec<&'c Credential>,
    pub(crate) statuses: Vec<(&'c CredentialId, &'c CredentialStatus)>,
    pub(crate) confirmations: Vec<(&'c CredentialId, jiff::Timestamp)>,
    pub(crate) manufacturers: Vec<(&'c Manufacturer, Option<u64>)>,
    pub(crate) owners: Vec<&'c Owner>,
    pub(crate) ownerships: Vec<&'c Ownership>,
    pub(crate) truncations: Vec<(DeviceId, &'c [AuditEvent], AuditTruncation)>,
    pub(crate) audit_events: Vec<&'c AuditEvent>,
    pub(crate) tokens: Vec<&'c Token>,
    pub(crate) claims: Vec<&'c Claim>,
    pub(crate) ended_claims: Vec<(&'c ClaimSubject, &'c str, Timestamp)>,
    pub(crate) adopted: BTreeMap<Subject, &'c [Sealed]>,
    pub(crate) sightings: Vec<&'c Sighting>,
    pub(crate) policies: Vec<&'c PolicyRecord>,
    pub(crate) wifi: Vec<&'c wifi::Change>,
    pub(crate) admission: Vec<&'c admission::Change>,
    /// For each device: its entries, by their index in the commit.
    pub(crate) entries: HashMap<DeviceId, Vec<usize>>,
}

impl<'c> Plan<'c> {
    /// Sorts a commit.
    ///
    /// # Errors
    /// [`CommitError::Invalid`] when it puts one device or one voucher record twice.
    pub(crate) fn new(commit: &'c Commit) -> Result<Self, CommitError> {
        let mut plan = Self::default();
        let conditions = plan.sort_guards(commit)?;
        plan.sort_changes(commit, &conditions)?;
        plan.sort_entries(commit);
        plan.credentials = last_of_each(plan.credentials, |credential| &credential.id);
        plan.ownerships = last_of_each(plan.ownerships, |row| (row.device, row.since, row.owner));
        plan.claims = last_of_each(plan.claims, |claim| {
            (&claim.subject, &claim.kind, &claim.issuer)
        });
        Ok(plan)
    }

    /// Splits the guards into conditions of a write and questions.
    fn sort_guards(&mut self, commit: &'c Commit) -> Result<Conditions<'c>, CommitError> {
        let written = Written::by(commit)?;
        let mut conditions = Conditions::default();
        conditions.devices.reserve(written.devices.len());
        for guard in &commit.guards {
            match guard {
                Guard::DeviceAbsent { id } if written.devices.contains(id) => {
                    conditions.devices.insert(*id, None);
                }
                Guard::DeviceVersion { id, expected } if written.devices.contains(id) => {
                    conditions.devices.insert(*id, Some(*expected));
                }
                Guard::VoucherAbsent { id } if written.vouchers.contains_key(id) => {
                    conditions.vouchers.insert(*id, None);
                }
                Guard::VoucherVersion { id, expected } if written.vouchers.contains_key(id) => {
                    conditions.vouchers.insert(*id, Some(*expected));
                }
                Guard::ManufacturerVersion { id, expected } => {
                    conditions.manufacturers.insert(*id, *expected);
                    self.questions.push(guard);
                }
                Guard::NonceUnused { device, nonce } => {
                    conditions.nonces.insert((*device, nonce), guard);
                }
                Guard::KeyUnused {
                    spki_sha256,
                    device,
                } => self.keys.push((*spki_sha256, *device)),
                // A device that is inserted has no journal: the insert finds out.
                Guard::JournalHead {
                    subject: Subject::Device(id),
                    expected: ChainHead::EMPTY,
                } if conditions.devices.get(id) == Some(&None) => {}
                _ => self.questions.push(guard),
            }
        }
        // The unique index on device and nonce answers for records that are inserted.
        for (id, record) in &written.vouchers {
            if let (Some(None), Some(nonce)) = (conditions.vouchers.get(id), &record.nonce) {
                conditions.nonces.remove(&(record.device, nonce.as_str()));
            }
        }
        self.questions.extend(conditions.nonces.values());
        Ok(conditions)
    }

    fn sort_changes(
        &mut self,
        commit: &'c Commit,
        conditions: &Conditions<'c>,
    ) -> Result<(), CommitError> {
        for change in &commit.changes {
            match change {
                Change::PutDevice(device) => match conditions.devices.get(&device.id) {
                    Some(None) => self.new_devices.push(device),
                    Some(Some(version)) => self.changed_devices.push((device, Some(*version))),
                    None => self.changed_devices.push((device, None)),
                },
                Change::PutVoucher(record) => match conditions.vouchers.get(&record.id) {
                    Some(None) => self.new_vouchers.push(record),
                    Some(Some(version)) => self.changed_vouchers.push((record, Some(*version))),
                    None => self.changed_vouchers.push((record, None)),
                },
                Change::PutManufacturer(row) => {
                    let version = conditions.manufacturers.get(&row.id).copied();
                    self.manufacturers.push((row, version));
                }
                Change::PutCredential(row) => self.credentials.push(row),
                Change::SetCredentialStatus { id, status } => self.statuses.push((id, status)),
                Change::ConfirmCredential { id, at } => self.confirmations.push((id, *at)),
                Change::PutOwner(row) => self.owners.push(row),
                Change::PutOwnership(row) => self.ownerships.push(row),
                Change::AppendAudit(row) => self.audit_events.push(row),
                Change::TruncateAudit {
                    device,
                    drop,
                    counters,
                } => {
                    self.truncations.push((*device, drop, *counters));
                }
                Change::PutToken(row) => self.tokens.push(row),
                Change::PutClaim(row) => self.claims.push(row),
                Change::ForgetClaims {
                    subject,
                    issuer,
                    ended_by,
                } => self.ended_claims.push((subject, issuer, *ended_by)),
                Change::AdoptJournal { subject, chain } => {
                    if self.adopted.insert(*subject, chain).is_some() {
                        return Err(CommitError::Invalid("one journal adopted twice".to_owned()));
                    }
                }
                Change::PutSighting(row) => self.sightings.push(row),
                Change::PutPolicy(row) => self.policies.push(row),
                Change::Wifi(change) => self.wifi.push(change),
                Change::Admission(change) => self.admission.push(change),
            }
        }
        Ok(())
    }

    fn sort_entries(&mut self, commit: &'c Commit) {
        self.entries.reserve(commit.entries.len());
        let mut put: HashSet<DeviceId> = self.new_devices.iter().map(|device| device.id).collect();
        put.extend(self.changed_devices.iter().map(|(device, _)| device.id));
        let journaled = commit
            .entries
            .iter()
            .enumerate()
            .map(|(index, entry)| (Some(index), entry.subject));
        let adopted = self.adopted.keys().map(|subject| (None, *subject));
        for (index, subject) in adopted.chain(journaled) {
            let Subject::Device(id) = subject else {
                continue;
            };
            if put.insert(id) {
                self.journaled_devices.push(id);
            }
            let of_device = self.entries.entry(id).or_default();
            of_device.extend(index);
        }
    }

    /// Whether two devices of this very commit have one key that should be unused.
    pub(crate) fn keys_collide(&self) -> bool {
        if self.keys.is_empty() {
            return false;
        }
        let owners: HashMap<Digest, DeviceId> = self.keys.iter().copied().collect();
        let put = self.new_devices.iter().copied();
        let put = put.chain(self.changed_devices.iter().map(|(device, _)| *device));
        let births = put.filter_map(|device| Some((device.idevid_spki_sha256?, device.id)));
        let issued = self
            .credentials
            .iter()
            .map(|credential| (credential.spki_sha256, credential.device));
        let asked = self.keys.iter().copied();
        births
            .chain(issued)
            .chain(asked)
            .any(|(key, device)| owners.get(&key).is_some_and(|owner| *owner != device))
    }

    /// The chain that comes with this subject, or nothing.
    pub(crate) fn adopted_by(&self, subject: Subject) -> &'c [Sealed] {
        self.adopted.get(&subject).copied().unwrap_or_default()
    }
}

/// Guards that became conditions of a write. `None`: the row must be absent.
#[derive(Default)]
struct Conditions<'c> {
    devices: HashMap<DeviceId, Option<u64>>,
    vouchers: HashMap<VoucherId, Option<u64>>,
    manufacturers: HashMap<ManufacturerId, u64>,
    nonces: HashMap<(DeviceId, &'c str), &'c Guard>,
}

/// The rows that a commit writes and that guards speak about.
struct Written<'c> {
    devices: HashSet<DeviceId>,
    vouchers: HashMap<VoucherId, &'c VoucherRecord>,
}

impl<'c> Written<'c> {
    fn by(commit: &'c Commit) -> Result<Self, CommitError> {
        let mut written = Self {
            devices: HashSet::with_capacity(commit.changes.len()),
            vouchers: HashMap::new(),
        };
        for change in &commit.changes {
            let twice = match change {
                Change::PutDevice(device) => !written.devices.insert(device.id),
                Change::PutVoucher(record) => written.vouchers.insert(record.id, record).is_some(),
                _ => false,
            };
            if twice {
                return Err(CommitError::Invalid(
                    "one device or voucher record put twice".to_owned(),
                ));
            }
        }
        Ok(written)
    }
}

/// Keeps the last row for each key, in the order in which the keys came first.
fn last_of_each<'c, T, K: Eq + Hash>(rows: Vec<&'c T>, key: impl Fn(&'c T) -> K) -> Vec<&'c T> {
    let mut places = HashMap::with_capacity(rows.len());
    let mut kept: Vec<&'c T> = Vec::with_capacity(rows.len());
    for row in rows {
        let place = *places.entry(key(row)).or_insert(kept.len());
        match kept.get_mut(place) {
            Some(earlier) => *earlier = row,
            None => kept.push(row),
        }
    }
    kept
}
