//! Vouchers at the registrar (RFC 8995 §5.2–§5.8).
//!
//! 1. A device asks ([`voucher_request`]). Its identity and the request's signature are proved.
//! 2. Policy, or a person ([`approve`], [`deny_approval`]), decides whether it may join.
//! 3. The request goes to the MASA, and its answer comes back ([`voucher_answer`]).
//! 4. The device says what it thinks of the voucher ([`voucher_status`]).
//!
//! The request is stored before it goes to the MASA, so that after a crash the device's resent
//! request goes on from there.

use jiff::{SignedDuration, Timestamp};

use super::intake::differs;
use super::stranger::{self, ShownManufacturer, Stranger, Strangers};
use super::wish::asked_about;
use super::{
    Decision, MAX_RETRY_AFTER, Outcome, PENDING_WINDOW, REPLAY_WINDOW, StoredAnswer, advance,
    device_entry, put_device, touched, wrong_state,
};
use crate::commit::{Change, Commit, Guard};
use crate::device::Device;
use crate::ids::{DeviceId, Digest, ManufacturerId, OwnerId, VoucherId};
use crate::journal::{Action, Actor, ActorKind, Entry, Evidence, Reason};
use crate::lifecycle::{Event, State};
use crate::manufacturer::{Manufacturer, ManufacturerTrust};
use crate::policy::{Answer, Verdict};
use crate::refusal::Refusal;
use crate::voucher::{VoucherRecord, VoucherStatus};

/// A voucher request whose signer is the TLS client, and what is known about it.
#[derive(Debug, Clone, Copy)]
pub struct VoucherRequestFacts<'a> {
    /// The time.
    pub now: Timestamp,
    /// This owner.
    pub owner: OwnerId,
    /// The manufacturer whose anchor the birth certificate leads to.
    pub manufacturer: Option<&'a Manufacturer>,
    /// The top of the chain, when it leads to no anchor. A manufacturer that has a row, even one
    /// that was only seen, belongs into `manufacturer` and not here.
    pub shown: Option<ShownManufacturer<'a>>,
    /// The `serialNumber` of the birth certificate.
    pub serial: &'a str,
    /// SHA-256 of the birth certificate.
    pub idevid_sha256: Digest,
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub idevid_spki_sha256: Digest,
    /// SHA-256 of the request as received.
    pub request_sha256: Digest,
    /// Its nonce as spelled.
    pub nonce: &'a str,
    /// Its media type.
    pub media_type: &'a str,
    /// The device's row.
    pub device: Option<&'a Device>,
    /// The record of this very request.
    pub record: Option<&'a VoucherRecord>,
    /// A record of another request of this device with the same nonce.
    pub same_nonce: Option<&'a VoucherRecord>,
    /// Since when the device is this owner's; needed where there is a record that waits. What a person
    /// was asked before that was about another time.
    pub owned_since: Option<Timestamp>,
    /// What policy says; not asked for strangers, so their callers pass a denial.
    pub verdict: &'a Verdict,
    /// What is remembered of strangers.
    pub strangers: Strangers,
}

/// The request may go to the MASA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// The record to give back with the MASA's answer.
    pub record: VoucherRecord,
    /// The device as it is now.
    pub device: Device,
}

/// Step 1: a device asks for a voucher.
pub fn voucher_request(facts: &VoucherRequestFacts<'_>) -> Outcome<Forward> {
    let evidence = Evidence::new("pledge-voucher-request", facts.request_sha256);
    let stranger = |refusal| {
        let manufacturer = facts.manufacturer.map(|manufacturer| manufacturer.id);
        let shown = facts.shown.map(|shown| shown.id);
        let id = manufacturer.or(shown).unwrap_or(ManufacturerId([0; 16]));
        stranger::refuse(
            refusal,
            &Stranger {
                now: facts.now,
                device: DeviceId::new(id, facts.serial),
                serial: facts.serial,
                manufacturer,
                shown: facts.shown.filter(|_| facts.manufacturer.is_none()),
                strangers: facts.strangers,
                evidence: evidence.clone(),
            },
        )
    };
    let Some(manufacturer) = facts.manufacturer else {
        return stranger(Refusal::UnknownManufacturer);
    };
    let trust = check_trust(manufacturer);
    let Some(device) = facts.device else {
        return stranger(trust.err().unwrap_or(Refusal::UnknownDevice));
    };
    let actor = Actor::new(ActorKind::Device, &device.serial);
    let checked = trust
        .and_then(|()| {
            check_device(
                device,
                facts.owner,
                facts.idevid_sha256,
                facts.idevid_spki_sha256,
            )
        })
        .and_then(|()| check_repeat(facts));
    match checked {
        Err(refusal) => {
            let entry = device_entry(device, Action::RequestRefused, &actor, facts.now);
            Outcome::refuse(refusal, &[], entry.on(evidence))
        }
        Ok(Some(answer)) => Outcome::replay(answer),
        Ok(None) => judge(facts, device, &actor, &evidence),
    }
}

/// No word goes to a MASA that is not trusted, and none about a device of such a manufacturer
/// (RFC 8995 §5.4).
fn check_trust(manufacturer: &Manufacturer) -> Result<(), Refusal> {
    match manufacturer.trust {
        ManufacturerTrust::Unknown => Err(Refusal::UnknownManufacturer),
        ManufacturerTrust::Seen => Err(Refusal::ManufacturerNotTrusted),
        ManufacturerTrust::Blocked => Err(Refusal::ManufacturerBlocked),
        ManufacturerTrust::PlainEst => Err(Refusal::MasaNotTrusted),
        ManufacturerTrust::VoucherRequired if manufacturer.masa_anchors.is_empty() => {
            Err(Refusal::MasaNotTrusted)
        }
        ManufacturerTrust::VoucherRequired => Ok(()),
    }
}

/// The device is ours, may join, and shows the key it is known by (RFC 8995 §5.3), or the birth
/// certificate, where that alone is known. The same key in a newer certificate is the same device.
pub(super) fn check_device(
    device: &Device,
    owner: OwnerId,
    idevid_sha256: Digest,
    idevid_spki_sha256: Digest,
) -> Result<(), Refusal> {
    if !matches!(
        device.state,
        State::Claimed | State::Onboarding | State::Onboarded
    ) {
        return Err(wrong_state(device.state));
    }
    if device.owner != Some(owner) {
        return Err(Refusal::OtherOwner);
    }
    let differs = match device.idevid_spki_sha256 {
        Some(known) => known != idevid_spki_sha256,
        None => differs(device.idevid_sha256, Some(idevid_sha256)),
    };
    if differs {
        return Err(Refusal::IdevidKeyDiffers);
    }
    Ok(())
}

/// Whether the request was there before, and what that means for it. `Ok(None)` means go on.
fn check_repeat(facts: &VoucherRequestFacts<'_>) -> Result<Option<StoredAnswer>, Refusal> {
    if facts.same_nonce.is_some() {
        return Err(Refusal::NonceReused);
    }
    let Some(record) = facts.record else {
        return Ok(None);
    };
    match record.status {
        VoucherStatus::Issued | VoucherStatus::Accepted => {
            let fresh = within(record.updated_at, facts.now, REPLAY_WINDOW);
            match &record.voucher {
                Some(voucher) if fresh => Ok(Some(StoredAnswer {
                    media_type: record.media_type.clone(),
                    body: voucher.clone(),
                })),
                _ => Err(Refusal::Replayed),
            }
        }
        VoucherStatus::AwaitingApproval | VoucherStatus::Approved | VoucherStatus::AwaitingMasa => {
            if !asked_since(record, facts.owned_since) {
                Err(Refusal::Replayed)
            } else if within(record.requested_at, facts.now, PENDING_WINDOW) {
                Ok(None)
            } else {
                Err(Refusal::PendingTooLong)
            }
        }
        VoucherStatus::Denied => Err(Refusal::ApprovalDenied),
        VoucherStatus::Refused => Err(Refusal::MasaRefused),
        VoucherStatus::Rejected => Err(Refusal::VoucherRejected),
        VoucherStatus::Used => Err(Refusal::Replayed),
    }
}

/// Step 2: policy decides, unless a person has.
fn judge(
    facts: &VoucherRequestFacts<'_>,
    device: &Device,
    actor: &Actor,
    evidence: &Evidence,
) -> Outcome<Forward> {
    let approved = facts.record.filter(|record| {
        matches!(
            record.status,
            VoucherStatus::Approved | VoucherStatus::AwaitingMasa
        )
    });
    // What policy denies stays denied even when a person said yes to an earlier state of things.
    match (&facts.verdict.answer, approved) {
        (Answer::Deny, _) => {
            let entry =
                device_entry(device, Action::RequestRefused, actor, facts.now).on(evidence.clone());
            Outcome::refuse(Refusal::PolicyDenied, &facts.verdict.reasons, entry)
        }
        (Answer::Wait { retry_after }, None) => wait(facts, device, actor, evidence, *retry_after),
        (Answer::Wait { .. }, Some(record)) => {
            let segment = record.segment.clone().or_else(|| device.segment.clone());
            forward(facts, device, actor, evidence, segment)
        }
        (Answer::Allow { segment }, approved) => {
            let segment = approved
                .and_then(|record| record.segment.clone())
                .or_else(|| segment.clone())
                .or_else(|| device.segment.clone());
            forward(facts, device, actor, evidence, segment)
        }
    }
}

fn wait(
    facts: &VoucherRequestFacts<'_>,
    device: &Device,
    actor: &Actor,
    evidence: &Evidence,
    retry_after: SignedDuration,
) -> Outcome<Forward> {
    let mut commit = Commit::default();
    // A resent request finds its record and writes nothing.
    if facts.record.is_none() {
        let mut record = new_record(facts, device);
        record.status = VoucherStatus::AwaitingApproval;
        guard_new(&mut commit, facts, &record);
        commit.changes.push(Change::PutVoucher(Box::new(record)));
        let mut entry =
            device_entry(device, Action::ApprovalAsked, actor, facts.now).on(evidence.clone());
        entry.reasons.clone_from(&facts.verdict.reasons);
        commit.entries.push(entry);
    }
    Outcome {
        decision: Decision::Wait {
            retry_after: retry_after.clamp(SignedDuration::from_secs(1), MAX_RETRY_AFTER),
            reasons: facts.verdict.reasons.clone(),
        },
        commit,
    }
}

fn forward(
    facts: &VoucherRequestFacts<'_>,
    device: &Device,
    actor: &Actor,
    evidence: &Evidence,
    segment: Option<String>,
) -> Outcome<Forward> {
    let mut commit = Commit::default();
    let (mut next, edge_action) = match device.state {
        // Another try of the same onboarding.
        State::Onboarding => (touched(device, facts.now), None),
        State::Onboarded => match advance(device, Event::Restart, actor, facts.now) {
            Ok((next, action)) => (next, Some(action)),
            Err(refusal) => return refuse_device(refusal, device, actor, facts.now, evidence),
        },
        _ => match advance(device, Event::Begin, actor, facts.now) {
            Ok((next, action)) => (next, Some(action)),
            Err(refusal) => return refuse_device(refusal, device, actor, facts.now, evidence),
        },
    };
    next.idevid_sha256 = Some(facts.idevid_sha256);
    next.idevid_spki_sha256 = Some(facts.idevid_spki_sha256);
    next.segment.clone_from(&segment);
    put_device(&mut commit, device, next.clone());
    if let Some(action) = edge_action {
        commit
            .entries
            .push(device_entry(device, action, actor, facts.now).on(evidence.clone()));
    }

    let mut record = match facts.record {
        Some(record) => {
            commit.guards.push(Guard::VoucherVersion {
                id: record.id,
                expected: record.version,
            });
            next_record(record, facts.now)
        }
        None => {
            let record = new_record(facts, device);
            guard_new(&mut commit, facts, &record);
            record
        }
    };
    record.status = VoucherStatus::AwaitingMasa;
    record.segment = segment;
    commit
        .changes
        .push(Change::PutVoucher(Box::new(record.clone())));
    let mut entry = device_entry(device, Action::VoucherRequested, actor, facts.now)
        .on(evidence.clone())
        .with("nonce", facts.nonce);
    entry.reasons.clone_from(&facts.verdict.reasons);
    commit.entries.push(entry);
    Outcome::accept(
        Forward {
            record,
            device: next,
        },
        commit,
    )
}

/// A request that waits for a person, and who answers it.
#[derive(Debug, Clone, Copy)]
pub struct ApprovalFacts<'a> {
    /// The time.
    pub now: Timestamp,
    /// Who decides.
    pub actor: &'a Actor,
    /// The device.
    pub device: &'a Device,
    /// Its waiting request, if there is one.
    pub record: Option<&'a VoucherRecord>,
    /// The segment the person gives it, if any.
    pub segment: Option<&'a str>,
    /// The person's words, if any.
    pub comment: Option<&'a str>,
}

/// Step 2: a person lets a waiting request pass. The device's next try goes to the MASA.
pub fn approve(facts: &ApprovalFacts<'_>) -> Outcome<VoucherRecord> {
    settle(facts, VoucherStatus::Approved, Action::Approved)
}

/// Step 2: a person turns a waiting request down.
pub fn deny_approval(facts: &ApprovalFacts<'_>) -> Outcome<VoucherRecord> {
    settle(facts, VoucherStatus::Denied, Action::ApprovalDenied)
}

fn settle(
    facts: &ApprovalFacts<'_>,
    status: VoucherStatus,
    action: Action,
) -> Outcome<VoucherRecord> {
    let waiting = facts
        .record
        .filter(|record| record.status == VoucherStatus::AwaitingApproval);
    let Some(record) = waiting else {
        let entry = device_entry(facts.device, Action::RequestRefused, facts.actor, facts.now);
        return Outcome::refuse(Refusal::NothingPending, &[], entry);
    };
    let mut commit = Commit::default();
    let mut next = next_record(record, facts.now);
    next.status = status;
    next.segment = facts.segment.map(str::to_owned);
    put_record(&mut commit, record, next.clone());
    let mut entry =
        device_entry(facts.device, action, facts.actor, facts.now).on(asked_about(record));
    if let Some(comment) = facts.comment {
        entry = entry.because(Reason::new("person", comment, "owner policy"));
    }
    commit.entries.push(entry);
    Outcome::accept(next, commit)
}

/// What came back from the MASA. A MASA that could not be reached is no answer: the record
/// waits, and the device asks again.
#[derive(Debug, Clone, Copy)]
pub enum MasaAnswer<'a> {
    /// A voucher, whose signature and content were proved.
    Voucher {
        /// As received, to be passed on.
        body: &'a [u8],
        /// Its media type.
        media_type: &'a str,
        /// What it asserts.
        assertion: &'a str,
        /// When it ends, if nonceless.
        expires_on: Option<Timestamp>,
    },
    /// The MASA says no.
    Refused {
        /// Its status, such as 403.
        status: u16,
        /// Its explanation, shortened.
        explanation: &'a str,
    },
    /// There is a voucher, but the owner does not accept the audit log (RFC 8995 §5.8.3).
    AuditLog {
        /// Why.
        reasons: &'a [Reason],
        /// SHA-256 of the audit log.
        log_sha256: Digest,
    },
}

/// The MASA's answer to a forwarded request.
#[derive(Debug, Clone, Copy)]
pub struct VoucherAnswerFacts<'a> {
    /// The time.
    pub now: Timestamp,
    /// The MASA's address.
    pub masa: &'a str,
    /// The device.
    pub device: &'a Device,
    /// The record of the forwarded request.
    pub record: &'a VoucherRecord,
    /// The answer.
    pub answer: MasaAnswer<'a>,
}

/// Step 3: the MASA has answered.
pub fn voucher_answer(facts: &VoucherAnswerFacts<'_>) -> Outcome<VoucherRecord> {
    let masa = Actor::new(ActorKind::Masa, facts.masa);
    let request = Evidence::new("pledge-voucher-request", facts.record.request_sha256);
    if facts.record.status != VoucherStatus::AwaitingMasa {
        let entry = device_entry(facts.device, Action::RequestRefused, &masa, facts.now);
        return Outcome::refuse(Refusal::NothingPending, &[], entry.on(request));
    }
    let mut next = next_record(facts.record, facts.now);
    // The MASA took its time, and somebody may have cut the device off or given it up meanwhile: a
    // voucher handed on now would bind it to this owner all the same.
    if let Err(refusal) = check_still_ours(facts) {
        next.status = VoucherStatus::Refused;
        next.reason = Some(refusal.code().to_owned());
        let entry = device_entry(facts.device, Action::VoucherRefused, &masa, facts.now);
        let mut outcome = Outcome::refuse(refusal, &[], entry.on(request));
        put_record(&mut outcome.commit, facts.record, next);
        return outcome;
    }
    match facts.answer {
        MasaAnswer::Voucher {
            body,
            media_type,
            assertion,
            expires_on,
        } => {
            next.status = VoucherStatus::Issued;
            next.voucher = Some(body.to_vec());
            media_type.clone_into(&mut next.media_type);
            next.assertion = Some(assertion.to_owned());
            next.expires_on = expires_on;
            let mut commit = Commit::default();
            commit.guards.push(Guard::DeviceVersion {
                id: facts.device.id,
                expected: facts.device.version,
            });
            put_record(&mut commit, facts.record, next.clone());
            commit.entries.push(
                device_entry(facts.device, Action::VoucherObtained, &masa, facts.now)
                    .on(request)
                    .on(Evidence::new("voucher", Digest::of(body)))
                    .with("assertion", assertion),
            );
            Outcome::accept(next, commit)
        }
        MasaAnswer::Refused {
            status,
            explanation,
        } => {
            let explanation: String = explanation.chars().take(MAX_EXPLANATION).collect();
            let said = Reason::new("masa-said", explanation, format!("status {status}"));
            refuse_answer(
                facts,
                next,
                Refusal::MasaRefused,
                &masa,
                &[said],
                vec![request],
            )
        }
        MasaAnswer::AuditLog {
            reasons,
            log_sha256,
        } => {
            let policy = Actor::new(ActorKind::Policy, "audit-log");
            let evidence = vec![request, Evidence::new("audit-log", log_sha256)];
            refuse_answer(
                facts,
                next,
                Refusal::AuditLogUnacceptable,
                &policy,
                reasons,
                evidence,
            )
        }
    }
}

/// Whether the device may still join the owner for whom the voucher was asked.
fn check_still_ours(facts: &VoucherAnswerFacts<'_>) -> Result<(), Refusal> {
    match facts.device.state {
        State::Claimed | State::Onboarding | State::Onboarded => {}
        state => return Err(wrong_state(state)),
    }
    if facts.device.owner != facts.record.owner {
        return Err(Refusal::OtherOwner);
    }
    Ok(())
}

/// Longest explanation of a MASA or device that is kept, in characters.
const MAX_EXPLANATION: usize = 512;

fn refuse_answer(
    facts: &VoucherAnswerFacts<'_>,
    mut next: VoucherRecord,
    refusal: Refusal,
    actor: &Actor,
    reasons: &[Reason],
    evidence: Vec<Evidence>,
) -> Outcome<VoucherRecord> {
    next.status = VoucherStatus::Refused;
    next.reason = Some(refusal.code().to_owned());
    let mut entry = device_entry(facts.device, Action::VoucherRefused, actor, facts.now);
    entry.evidence = evidence;
    let mut outcome = Outcome::refuse(refusal, reasons, entry);
    put_record(&mut outcome.commit, facts.record, next);
    if let Ok((device, _)) = advance(facts.device, Event::Refuse, actor, facts.now) {
        put_device(&mut outcome.commit, facts.device, device);
    }
    outcome
}

/// What the device thinks of its voucher (RFC 8995 §5.7).
#[derive(Debug, Clone, Copy)]
pub struct VoucherStatusFacts<'a> {
    /// The time.
    pub now: Timestamp,
    /// The device.
    pub device: &'a Device,
    /// Its latest voucher record.
    pub record: Option<&'a VoucherRecord>,
    /// Whether it accepts.
    pub accepted: bool,
    /// Why not, in its words.
    pub reason: Option<&'a str>,
    /// SHA-256 of the message.
    pub message_sha256: Digest,
}

/// Step 4: the device reports. The same report twice changes nothing.
pub fn voucher_status(facts: &VoucherStatusFacts<'_>) -> Outcome<()> {
    let actor = Actor::new(ActorKind::Device, &facts.device.serial);
    let evidence = Evidence::new("voucher-status", facts.message_sha256);
    let status = if facts.accepted {
        VoucherStatus::Accepted
    } else {
        VoucherStatus::Rejected
    };
    let record = match facts.record {
        Some(record) if record.status == status => {
            return Outcome::accept((), Commit::default());
        }
        // A device may still refuse a voucher it had accepted, until it has a credential.
        Some(record)
            if record.status == VoucherStatus::Issued
                || (record.status == VoucherStatus::Accepted
                    && facts.device.state == State::Onboarding) =>
        {
            record
        }
        _ => {
            return refuse_device(
                Refusal::NothingPending,
                facts.device,
                &actor,
                facts.now,
                &evidence,
            );
        }
    };
    let mut commit = Commit::default();
    let mut next = next_record(record, facts.now);
    next.status = status;
    let mut entry = device_entry(
        facts.device,
        if facts.accepted {
            Action::VoucherAccepted
        } else {
            Action::VoucherRejected
        },
        &actor,
        facts.now,
    )
    .on(evidence);
    if !facts.accepted {
        let reason: String = facts
            .reason
            .unwrap_or("no reason given")
            .chars()
            .take(MAX_EXPLANATION)
            .collect();
        next.reason = Some(Refusal::VoucherRejected.code().to_owned());
        entry = entry.because(Reason::new("device-said", reason, "RFC 8995 §5.7"));
        if let Ok((device, _)) = advance(facts.device, Event::Reject, &actor, facts.now) {
            put_device(&mut commit, facts.device, device);
        }
    }
    put_record(&mut commit, record, next);
    commit.entries.push(entry);
    Outcome::accept((), commit)
}

fn refuse_device<D>(
    refusal: Refusal,
    device: &Device,
    actor: &Actor,
    now: Timestamp,
    evidence: &Evidence,
) -> Outcome<D> {
    let entry: Entry = device_entry(device, Action::RequestRefused, actor, now);
    Outcome::refuse(refusal, &[], entry.on(evidence.clone()))
}

fn new_record(facts: &VoucherRequestFacts<'_>, device: &Device) -> VoucherRecord {
    VoucherRecord {
        id: VoucherId::new(device.id, facts.request_sha256),
        device: device.id,
        owner: Some(facts.owner),
        request_sha256: facts.request_sha256,
        nonce: Some(facts.nonce.to_owned()),
        status: VoucherStatus::AwaitingMasa,
        assertion: None,
        media_type: facts.media_type.to_owned(),
        voucher: None,
        expires_on: None,
        reason: None,
        segment: None,
        requested_at: facts.now,
        updated_at: facts.now,
        version: 1,
    }
}

pub(super) fn next_record(record: &VoucherRecord, now: Timestamp) -> VoucherRecord {
    let mut next = record.clone();
    next.version = next.version.saturating_add(1);
    next.updated_at = now;
    next
}

fn guard_new(commit: &mut Commit, facts: &VoucherRequestFacts<'_>, record: &VoucherRecord) {
    commit.guards.push(Guard::VoucherAbsent { id: record.id });
    commit.guards.push(Guard::NonceUnused {
        device: record.device,
        nonce: facts.nonce.to_owned(),
    });
}

fn put_record(commit: &mut Commit, before: &VoucherRecord, after: VoucherRecord) {
    commit.guards.push(Guard::VoucherVersion {
        id: before.id,
        expected: before.version,
    });
    commit.changes.push(Change::PutVoucher(Box::new(after)));
}

/// Whether `now` is no more than `window` after `then`. A clock that was set back counts as
/// within.
pub(super) fn within(then: Timestamp, now: Timestamp, window: SignedDuration) -> bool {
    now.duration_since(then) <= window
}

/// Whether a person was asked while the device was this owner's. What was said before the device
/// was released and claimed again is over.
pub(super) fn asked_since(record: &VoucherRecord, owned_since: Option<Timestamp>) -> bool {
    owned_since.is_some_and(|since| since <= record.requested_at)
}
