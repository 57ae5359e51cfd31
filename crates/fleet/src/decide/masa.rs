//! The MASA (RFC 8995 §5.5–§5.8): who gets a voucher for which device.
//!
//! 1. A registrar asks ([`masa_voucher`]). Its signature, its path, its right to act as a
//!    registrar and the device's own signed request are proved.
//! 2. The permit says what the voucher may assert; the MASA signs it.
//! 3. [`VoucherPermit::issue`] makes the record, the audit event, and under the first-come
//!    policy the ownership, in one commit. Of two registrars that race, one finds its guard
//!    broken, decides anew, and learns that the device has an owner.
//! 4. Owners may read the audit log ([`audit_log_read`]).

use jiff::Timestamp;

use super::factory::{SellFacts, in_service, new_owner, try_transfer};
use super::voucher::within;
use super::{Outcome, REPLAY_WINDOW, StoredAnswer, device_entry};
use crate::audit::{AuditEvent, AuditTruncation, MAX_AUDIT_EVENTS};
use crate::commit::{Change, Commit, Guard};
use crate::device::Device;
use crate::ids::{Digest, OwnerId, VoucherId};
use crate::journal::{Action, Actor, ActorKind, Entry, Evidence, Subject};
use crate::owner::{Owner, Ownership, OwnershipBasis};
use crate::refusal::Refusal;
use crate::text::text_enum;
use crate::voucher::{VoucherRecord, VoucherStatus};

text_enum! {
    /// To whom the MASA gives vouchers.
    pub enum OwnershipPolicy {
        /// To anybody; the audit log tells who asked (RFC 8995 §5.5.4, §10.1).
        AuditOnly = "audit-only",
        /// To the owner that the sale names.
        Verified = "verified",
        /// To the first who asks, who then is the owner.
        FirstCome = "first-come",
    }
}

/// The registrar that asks.
#[derive(Debug, Clone, Copy)]
pub struct Requester<'a> {
    /// Its owner: the domain CA its path leads to.
    pub owner: OwnerId,
    /// Its name for people.
    pub name: &'a str,
    /// The domain to be pinned (RFC 8995 §5.8.2), base64.
    pub domain_id: &'a str,
    /// The owner's row, if there is one.
    pub known: Option<&'a Owner>,
    /// The registrar's certificate is in a CRL, or an OCSP responder says so (§5.5.3).
    pub revoked: bool,
}

/// A registrar's voucher request whose signatures are proved.
#[derive(Debug, Clone, Copy)]
pub struct MasaVoucherFacts<'a> {
    /// The time.
    pub now: Timestamp,
    /// To whom this MASA gives vouchers.
    pub policy: OwnershipPolicy,
    /// Whether it gives vouchers without nonce to owners it knows.
    pub nonceless_allowed: bool,
    /// Whether it wants the device's own signed request.
    pub prior_request_required: bool,
    /// The registrar.
    pub requester: Requester<'a>,
    /// The serial number in the request.
    pub serial: &'a str,
    /// The device's row.
    pub device: Option<&'a Device>,
    /// Its ownership that has not ended.
    pub current: Option<&'a Ownership>,
    /// Whether this owner has or had an ownership of it.
    pub owned_once: bool,
    /// SHA-256 of the request as received.
    pub request_sha256: Digest,
    /// Its media type.
    pub media_type: &'a str,
    /// Its nonce as spelled, and what it is told apart by: base64 of its octets, of which there is one
    /// spelling.
    pub nonce: Option<(&'a str, &'a str)>,
    /// Whether it holds the device's own request, with a signature by the device's birth key.
    pub prior_request: bool,
    /// Whether that request names a certificate of this registrar (§5.5.5).
    pub proximity: bool,
    /// The record of this very request.
    pub record: Option<&'a VoucherRecord>,
    /// A record of another request for this device with the same nonce.
    pub same_nonce: Option<&'a VoucherRecord>,
    /// The device's audit log, oldest first.
    pub audit: &'a [AuditEvent],
    /// What was dropped from it.
    pub truncation: AuditTruncation,
}

/// Leave to sign one voucher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoucherPermit {
    assertion: &'static str,
    record: VoucherRecord,
    commit: Commit,
    event: AuditEvent,
    entry: Entry,
}

/// The voucher that the MASA signed under a permit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedVoucher {
    /// The voucher as it will be sent.
    pub body: Vec<u8>,
    /// Its media type.
    pub media_type: String,
    /// When it ends, if nonceless.
    pub expires_on: Option<Timestamp>,
}

/// Steps 1 and 2: whether the registrar gets a voucher, and what it may assert.
pub fn masa_voucher(facts: &MasaVoucherFacts<'_>) -> Outcome<VoucherPermit> {
    match try_voucher(facts) {
        Ok(outcome) => outcome,
        Err(refusal) => {
            let subject = facts
                .device
                .map_or(Subject::Site, |device| Subject::Device(device.id));
            let serial: String = facts.serial.chars().take(64).collect();
            let entry = Entry::new(subject, Action::RequestRefused, actor(facts), facts.now)
                .on(evidence(facts))
                .with("serial", serial)
                .with("owner", facts.requester.owner)
                .with("domain", facts.requester.domain_id);
            Outcome::refuse(refusal, &[], entry)
        }
    }
}

fn try_voucher(facts: &MasaVoucherFacts<'_>) -> Result<Outcome<VoucherPermit>, Refusal> {
    let requester = &facts.requester;
    // §5.5.3 before anything else: a revoked registrar learns nothing about devices.
    if requester.revoked {
        return Err(Refusal::RegistrarRevoked);
    }
    if requester.known.is_some_and(|owner| owner.blocked.is_some()) {
        return Err(Refusal::OwnerBlocked);
    }
    let device = facts.device.ok_or(Refusal::UnknownDevice)?;
    in_service(device)?;
    if facts.prior_request_required && !facts.prior_request {
        return Err(Refusal::PriorRequestMissing);
    }
    if facts.nonce.is_none() && (!facts.nonceless_allowed || requester.known.is_none()) {
        return Err(Refusal::NoncelessForbidden);
    }
    let mut commit = ownership(facts, device)?;
    if facts.same_nonce.is_some() {
        return Err(Refusal::NonceReused);
    }
    if let Some(record) = facts.record {
        return match &record.voucher {
            Some(voucher) if within(record.updated_at, facts.now, REPLAY_WINDOW) => {
                Ok(Outcome::replay(StoredAnswer {
                    media_type: record.media_type.clone(),
                    body: voucher.clone(),
                }))
            }
            _ => Err(Refusal::Replayed),
        };
    }

    let owned = facts
        .current
        .is_some_and(|current| current.owner == requester.owner);
    // §5.5.5: only a proved proximity is asserted; RFC 8366 §5.3: verified says that the sale
    // was looked up.
    let assertion = if facts.proximity {
        "proximity"
    } else if facts.policy == OwnershipPolicy::Verified && owned {
        "verified"
    } else {
        "logged"
    };
    let record = VoucherRecord {
        id: VoucherId::new(device.id, facts.request_sha256),
        device: device.id,
        owner: Some(requester.owner),
        request_sha256: facts.request_sha256,
        nonce: facts.nonce.map(|(_, octets)| octets.to_owned()),
        status: VoucherStatus::Issued,
        assertion: Some(assertion.to_owned()),
        media_type: facts.media_type.to_owned(),
        voucher: None,
        expires_on: None,
        reason: None,
        segment: None,
        requested_at: facts.now,
        updated_at: facts.now,
        version: 1,
    };
    // A device that leaves service meanwhile gets no voucher any more.
    commit.guards.push(Guard::DeviceVersion {
        id: device.id,
        expected: device.version,
    });
    commit.guards.push(Guard::VoucherAbsent { id: record.id });
    if let Some((_, octets)) = facts.nonce {
        commit.guards.push(Guard::NonceUnused {
            device: device.id,
            nonce: octets.to_owned(),
        });
    }
    let event = AuditEvent {
        device: device.id,
        at: facts.now,
        domain_id: requester.domain_id.to_owned(),
        nonce: facts.nonce.map(|(spelled, _)| spelled.to_owned()),
        assertion: assertion.to_owned(),
        truncated: 0,
    };
    let event = make_room(facts, event, &mut commit);
    let entry = device_entry(device, Action::VoucherIssued, &actor(facts), facts.now)
        .on(evidence(facts))
        .with("owner", requester.owner)
        .with("domain", requester.domain_id)
        .with("assertion", assertion)
        .with("policy", facts.policy);
    let permit = VoucherPermit {
        assertion,
        record,
        commit,
        event,
        entry,
    };
    Ok(Outcome::accept(permit, Commit::default()))
}

/// Whether this owner may have a voucher, and what the answer does to ownership.
fn ownership(facts: &MasaVoucherFacts<'_>, device: &Device) -> Result<Commit, Refusal> {
    let mut commit = Commit::default();
    let current = facts.current.map(|current| current.owner);
    let requester = &facts.requester;
    match (facts.policy, current) {
        (OwnershipPolicy::AuditOnly, _) if facts.owned_once => {}
        (OwnershipPolicy::AuditOnly, _) => {
            // Whoever got a voucher may later read the log (§5.8).
            commit.changes.push(Change::PutOwnership(Ownership {
                device: device.id,
                owner: requester.owner,
                basis: OwnershipBasis::Logged,
                since: facts.now,
                until: Some(facts.now),
            }));
        }
        (OwnershipPolicy::Verified | OwnershipPolicy::FirstCome, Some(owner)) => {
            if owner != requester.owner {
                return Err(Refusal::OtherOwner);
            }
            commit.guards.push(Guard::CurrentOwner {
                device: device.id,
                expected: Some(owner),
            });
        }
        (OwnershipPolicy::Verified, None) => {
            return Err(if requester.known.is_none() {
                Refusal::OwnerUnknown
            } else {
                Refusal::NotSold
            });
        }
        // First is who has the device, and only its own signed request says that it came.
        (OwnershipPolicy::FirstCome, None) if !facts.prior_request => {
            return Err(Refusal::PriorRequestMissing);
        }
        (OwnershipPolicy::FirstCome, None) => {
            let fresh;
            let owner = match requester.known {
                Some(owner) => owner,
                None => {
                    fresh = new_owner(requester.owner, requester.name, facts.now);
                    commit
                        .changes
                        .push(Change::PutOwner(Box::new(fresh.clone())));
                    &fresh
                }
            };
            let (_, transfer) = try_transfer(
                &SellFacts {
                    now: facts.now,
                    actor: &actor(facts),
                    device,
                    owner,
                    current: None,
                },
                OwnershipBasis::FirstCome,
            )?;
            commit.guards.extend(transfer.guards);
            commit.changes.extend(transfer.changes);
            commit.entries.extend(transfer.entries);
        }
    }
    Ok(commit)
}

/// RFC 8995 §5.8.1: a full log drops the oldest event of a domain that has a later one of the
/// same sort; if there is none, the oldest of all. The counters tell.
fn make_room(facts: &MasaVoucherFacts<'_>, event: AuditEvent, commit: &mut Commit) -> AuditEvent {
    let mut event = event;
    if facts.audit.len() < MAX_AUDIT_EVENTS {
        return event;
    }
    let duplicate = facts.audit.iter().enumerate().find(|(index, old)| {
        facts
            .audit
            .iter()
            .skip(index.saturating_add(1))
            .chain(std::iter::once(&event))
            .any(|later| {
                later.domain_id == old.domain_id && later.nonce.is_some() == old.nonce.is_some()
            })
    });
    let mut counters = facts.truncation;
    let dropped = match duplicate {
        Some((_, old)) => {
            if old.nonce.is_some() {
                counters.nonced_duplicates = counters.nonced_duplicates.saturating_add(1);
            } else {
                counters.nonceless_duplicates = counters.nonceless_duplicates.saturating_add(1);
            }
            old
        }
        None => {
            counters.arbitrary = counters.arbitrary.saturating_add(1);
            match facts.audit.first() {
                Some(oldest) => oldest,
                None => return event,
            }
        }
    };
    if dropped.domain_id == event.domain_id {
        event.truncated = dropped.truncated.saturating_add(1);
    }
    commit.changes.push(Change::TruncateAudit {
        device: event.device,
        drop: vec![dropped.clone()],
        counters,
    });
    event
}

impl VoucherPermit {
    /// What the voucher may assert: `proximity`, `verified` or `logged` (RFC 8366 §5.3).
    #[must_use]
    pub const fn assertion(&self) -> &'static str {
        self.assertion
    }

    /// Step 3: the voucher exists; store record, audit event and ownership before it leaves.
    pub fn issue(self, voucher: IssuedVoucher) -> Outcome<VoucherRecord> {
        let mut commit = self.commit;
        let mut record = self.record;
        let sha256 = Digest::of(&voucher.body);
        record.voucher = Some(voucher.body);
        record.media_type = voucher.media_type;
        record.expires_on = voucher.expires_on;
        commit
            .changes
            .push(Change::PutVoucher(Box::new(record.clone())));
        commit.changes.push(Change::AppendAudit(self.event));
        commit
            .entries
            .push(self.entry.on(Evidence::new("voucher", sha256)));
        Outcome::accept(record, commit)
    }
}

/// A registrar that asks for a device's audit log. Its signature is proved.
#[derive(Debug, Clone, Copy)]
pub struct AuditLogFacts<'a> {
    /// The time.
    pub now: Timestamp,
    /// The registrar.
    pub requester: Requester<'a>,
    /// The device's row.
    pub device: Option<&'a Device>,
    /// All its ownerships, ended ones too.
    pub ownerships: &'a [Ownership],
    /// SHA-256 of the request.
    pub request_sha256: Digest,
}

/// Step 4: whether the registrar may read the audit log. Present and former owners may
/// (RFC 8995 §5.8).
pub fn audit_log_read(facts: &AuditLogFacts<'_>) -> Outcome<()> {
    let actor = Actor::new(ActorKind::Registrar, facts.requester.name);
    let entry = |subject, action| {
        Entry::new(subject, action, actor.clone(), facts.now)
            .on(Evidence::new("audit-log-request", facts.request_sha256))
            .with("owner", facts.requester.owner)
    };
    let owner_once = facts
        .ownerships
        .iter()
        .any(|ownership| ownership.owner == facts.requester.owner);
    let blocked = facts
        .requester
        .known
        .is_some_and(|owner| owner.blocked.is_some());
    let refusal = match facts.device {
        _ if facts.requester.revoked => Refusal::RegistrarRevoked,
        _ if blocked => Refusal::OwnerBlocked,
        None => Refusal::UnknownDevice,
        Some(_) if !owner_once => Refusal::NeverOwner,
        Some(device) => {
            let commit = Commit {
                entries: vec![entry(Subject::Device(device.id), Action::AuditLogRead)],
                ..Commit::default()
            };
            return Outcome::accept((), commit);
        }
    };
    let subject = facts
        .device
        .map_or(Subject::Site, |device| Subject::Device(device.id));
    Outcome::refuse(refusal, &[], entry(subject, Action::RequestRefused))
}

fn actor(facts: &MasaVoucherFacts<'_>) -> Actor {
    let name: String = facts.requester.name.chars().take(128).collect();
    Actor::new(ActorKind::Registrar, name)
}

fn evidence(facts: &MasaVoucherFacts<'_>) -> Evidence {
    Evidence::new("registrar-voucher-request", facts.request_sha256)
}
