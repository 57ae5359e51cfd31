//! What a person is asked about a device that is there already, and what was said.
//!
//! 1. The device asks, and policy wants a person's word first: [`Wish::ask`] writes one record, however often
//!    the device tries.
//! 2. A person answers ([`approve`](super::approve), [`deny_approval`](super::deny_approval)), as with a voucher
//!    request that waits.
//! 3. The device asks again. A yes ([`Wish::approved`]) is good for one time ([`use_up`]), a no
//!    ([`Wish::denied_lately`]) for [`DENIAL_WINDOW`].

use jiff::{SignedDuration, Timestamp};

use super::voucher::{asked_since, within};
use super::{Decision, MAX_RETRY_AFTER, Outcome, PENDING_WINDOW};
use crate::commit::{Change, Commit, Guard};
use crate::device::Device;
use crate::ids::{DeviceId, Digest, OwnerId, VoucherId};
use crate::journal::{Entry, Evidence, Reason};
use crate::voucher::{VoucherRecord, VoucherStatus};

/// For how long a person's no holds. After that a device that keeps asking is shown to people
/// again.
pub const DENIAL_WINDOW: SignedDuration = SignedDuration::from_hours(24);

/// What a device asks a person for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WishKind {
    /// To be configured by Wi-Fi Easy Connect.
    Configuration,
    /// To get a certificate without a voucher: of a manufacturer that is trusted without, or in place of
    /// the one that it has.
    Certificate,
}

impl WishKind {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Configuration, Self::Certificate];

    const fn label(self) -> &'static [u8] {
        match self {
            Self::Configuration => b"vouchsafe configuration request\0",
            Self::Certificate => b"vouchsafe certificate request\0",
        }
    }

    /// What a record of it says of its form. No voucher request has this media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Configuration => "dpp",
            Self::Certificate => "est",
        }
    }

    /// What the journal calls it.
    const fn evidence(self) -> &'static str {
        match self {
            Self::Configuration => "wish-to-be-configured",
            Self::Certificate => "wish-for-a-certificate",
        }
    }
}

/// What a person who answers `record` was asked about: a device's wish, or else its voucher request.
pub(super) fn asked_about(record: &VoucherRecord) -> Evidence {
    let kind = WishKind::ALL
        .into_iter()
        .find(|kind| kind.media_type() == record.media_type)
        .map_or("pledge-voucher-request", WishKind::evidence);
    Evidence::new(kind, record.request_sha256)
}

/// The name of the record of what a person said about a device's wish, and what stands in it for the
/// digest of a request: each try of the device with this key is the same wish. A yes to one key is none
/// to another, and one to a configuration none to a certificate.
#[must_use]
pub fn approval_id(kind: WishKind, device: DeviceId, key: Digest) -> (VoucherId, Digest) {
    let request = Digest::of_parts(&[kind.label(), &device.0, &key.0]);
    (VoucherId::new(device, request), request)
}

/// A device's wish, and what is known of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish<'a> {
    /// The time.
    pub(super) now: Timestamp,
    /// This owner.
    pub(super) owner: OwnerId,
    /// What it is.
    pub(super) kind: WishKind,
    /// The device.
    pub(super) device: &'a Device,
    /// The key that it proved.
    pub(super) key: Digest,
    /// The record, under the name that [`approval_id`] computes.
    pub(super) record: Option<&'a VoucherRecord>,
    /// Since when the device is this owner's.
    pub(super) owned_since: Option<Timestamp>,
}

impl<'a> Wish<'a> {
    /// What was said before the device was released and claimed again is over.
    fn said(&self) -> Option<&'a VoucherRecord> {
        self.record
            .filter(|record| asked_since(record, self.owned_since))
    }

    /// The yes of a person that is still good.
    pub(super) fn approved(&self) -> Option<&'a VoucherRecord> {
        self.said().filter(|record| {
            record.status == VoucherStatus::Approved
                && within(record.updated_at, self.now, PENDING_WINDOW)
        })
    }

    /// Whether a person said no lately.
    pub(super) fn denied_lately(&self) -> bool {
        self.said().is_some_and(|record| {
            record.status == VoucherStatus::Denied
                && within(record.updated_at, self.now, DENIAL_WINDOW)
        })
    }

    /// Step 1. A device that asks again writes nothing.
    pub(super) fn ask<D>(
        &self,
        retry_after: SignedDuration,
        reasons: &[Reason],
        entry: impl FnOnce() -> Entry,
    ) -> Outcome<D> {
        let mut commit = Commit::default();
        let asked_already = self.said().is_some_and(|record| {
            record.status == VoucherStatus::AwaitingApproval
                && within(record.requested_at, self.now, PENDING_WINDOW)
        });
        if !asked_already {
            self.write(&mut commit);
            let mut entry = entry();
            entry.reasons = reasons.to_vec();
            commit.entries.push(entry);
        }
        Outcome {
            decision: Decision::Wait {
                retry_after: retry_after.clamp(SignedDuration::from_secs(1), MAX_RETRY_AFTER),
                reasons: reasons.to_vec(),
            },
            commit,
        }
    }

    fn write(&self, commit: &mut Commit) {
        let (id, request_sha256) = approval_id(self.kind, self.device.id, self.key);
        let version = match self.record {
            Some(record) => {
                commit.guards.push(Guard::VoucherVersion {
                    id,
                    expected: record.version,
                });
                record.version.saturating_add(1)
            }
            None => {
                commit.guards.push(Guard::VoucherAbsent { id });
                1
            }
        };
        commit
            .changes
            .push(Change::PutVoucher(Box::new(VoucherRecord {
                id,
                device: self.device.id,
                owner: Some(self.owner),
                request_sha256,
                nonce: None,
                status: VoucherStatus::AwaitingApproval,
                assertion: None,
                media_type: self.kind.media_type().to_owned(),
                voucher: None,
                expires_on: None,
                reason: None,
                segment: None,
                requested_at: self.now,
                updated_at: self.now,
                version,
            })));
    }
}

/// Step 3: what was allowed is done, so the yes is good no more.
pub(super) fn use_up(commit: &mut Commit, record: &VoucherRecord, now: Timestamp) {
    commit.guards.push(Guard::VoucherVersion {
        id: record.id,
        expected: record.version,
    });
    commit
        .changes
        .push(Change::PutVoucher(Box::new(VoucherRecord {
            status: VoucherStatus::Used,
            updated_at: now,
            version: record.version.saturating_add(1),
            ..record.clone()
        })));
}
