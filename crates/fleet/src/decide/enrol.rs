//! Credentials (RFC 7030 §4.2, RFC 8995 §5.9).
//!
//! 1. A device asks for a certificate ([`enrol`]), with its birth certificate or with the
//!    credential it has. The request's own signature is proved. Where policy wants a person's word, and
//!    none was given with the voucher, it waits for one.
//! 2. The permit it gets names what the CA may certify; the CA signs.
//! 3. [`EnrolPermit::issue`] turns the certificate into a commit. If a guard fails, somebody
//!    else was faster: the certificate is thrown away, and the facts decide anew.
//! 4. The device reports whether the credential works ([`enrol_status`]).

use jiff::Timestamp;

use super::voucher::{check_device, within};
use super::wish::{Wish, WishKind, use_up};
use super::{Outcome, REPLAY_WINDOW, StoredAnswer, advance, device_entry, put_device, wrong_state};
use crate::commit::{Change, Commit, Guard};
use crate::credential::{Credential, CredentialStatus, MAX_HELD};
use crate::device::Device;
use crate::ids::{CredentialId, DeviceId, Digest, ManufacturerId, OwnerId};
use crate::journal::{Action, Actor, ActorKind, Evidence, Reason};
use crate::lifecycle::{Event, State};
use crate::manufacturer::{Manufacturer, ManufacturerTrust};
use crate::policy::{Answer, Verdict};
use crate::refusal::Refusal;
use crate::voucher::{VoucherRecord, VoucherStatus};

/// How the device proved who it is on this connection.
#[derive(Debug, Clone, Copy)]
pub enum EnrolIdentity<'a> {
    /// With its birth certificate.
    Idevid {
        /// SHA-256 of the birth certificate (DER).
        sha256: Digest,
        /// SHA-256 of the birth certificate's SubjectPublicKeyInfo.
        spki_sha256: Digest,
    },
    /// With a credential of this owner.
    Credential(&'a Credential),
}

impl EnrolIdentity<'_> {
    /// SHA-256 of the SubjectPublicKeyInfo of the key that it proved.
    #[must_use]
    pub const fn key(&self) -> Digest {
        match self {
            Self::Idevid { spki_sha256, .. } => *spki_sha256,
            Self::Credential(credential) => credential.spki_sha256,
        }
    }
}

/// A certificate request with proof of possession, and what is known about the device.
#[derive(Debug, Clone, Copy)]
pub struct EnrolFacts<'a> {
    /// The time.
    pub now: Timestamp,
    /// This owner.
    pub owner: OwnerId,
    /// The manufacturer whose anchor the birth certificate leads to, or the device's; none for a
    /// device that came in by its bootstrapping key, of a manufacturer that nobody named.
    pub manufacturer: Option<&'a Manufacturer>,
    /// The device.
    pub device: &'a Device,
    /// How it proved who it is.
    pub identity: EnrolIdentity<'a>,
    /// SHA-256 of the request (the DER of the CSR).
    pub request_sha256: Digest,
    /// SHA-256 of the SubjectPublicKeyInfo it asks to have certified.
    pub key_spki_sha256: Digest,
    /// The device that has this key in a credential or birth certificate, if one has.
    pub key_holder: Option<DeviceId>,
    /// The credential that answers this very request, if there is one.
    pub answered: Option<&'a Credential>,
    /// The device's certificates that count ([`Credential::counts`]).
    pub held: &'a [Credential],
    /// The device's latest voucher request.
    pub voucher: Option<&'a VoucherRecord>,
    /// The record of what a person said about this wish, under the name that
    /// [`approval_id`](super::approval_id) computes from [`EnrolIdentity::key`].
    pub approval: Option<&'a VoucherRecord>,
    /// Since when the device is this owner's; needed where there is an approval.
    pub owned_since: Option<Timestamp>,
    /// What policy says.
    pub verdict: &'a Verdict,
    /// Whether an onboarded device may get a further credential with its birth certificate
    /// alone, as one whose credential ran out must.
    pub idevid_reenrol: bool,
}

/// Leave to certify one key for one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolPermit {
    device: Device,
    next: Device,
    manufacturer: Option<(ManufacturerId, u64)>,
    actions: Vec<Action>,
    request_sha256: Digest,
    key_spki_sha256: Digest,
    superseded: Vec<CredentialId>,
    approval: Option<VoucherRecord>,
    reasons: Vec<Reason>,
    with_idevid: bool,
    now: Timestamp,
}

/// The certificate that the CA signed under a permit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// Its serial number.
    pub id: CredentialId,
    /// The certificate, DER.
    pub der: Vec<u8>,
    /// Start of validity.
    pub not_before: Timestamp,
    /// End of validity.
    pub not_after: Timestamp,
}

/// Steps 1 and 2: whether the device gets a certificate for this key.
pub fn enrol(facts: &EnrolFacts<'_>) -> Outcome<EnrolPermit> {
    let actor = Actor::new(ActorKind::Device, &facts.device.serial);
    match try_enrol(facts, &actor) {
        Ok(outcome) => outcome,
        Err((refusal, more)) => {
            let entry = device_entry(facts.device, Action::RequestRefused, &actor, facts.now)
                .on(Evidence::new("csr", facts.request_sha256));
            Outcome::refuse(refusal, more, entry)
        }
    }
}

type Refused<'a> = (Refusal, &'a [Reason]);

fn try_enrol<'a>(
    facts: &EnrolFacts<'a>,
    actor: &Actor,
) -> Result<Outcome<EnrolPermit>, Refused<'a>> {
    let plain = |refusal| (refusal, [].as_slice());
    if has_trust(facts, ManufacturerTrust::Blocked) {
        return Err(plain(Refusal::ManufacturerBlocked));
    }
    match facts.identity {
        EnrolIdentity::Idevid { .. } if facts.manufacturer.is_none() => {
            return Err(plain(Refusal::UnknownManufacturer));
        }
        EnrolIdentity::Idevid {
            sha256,
            spki_sha256,
        } => {
            check_device(facts.device, facts.owner, sha256, spki_sha256).map_err(plain)?;
        }
        EnrolIdentity::Credential(credential) => {
            check_credential(facts, credential).map_err(plain)?;
        }
    }
    if facts
        .key_holder
        .is_some_and(|holder| holder != facts.device.id)
    {
        return Err(plain(Refusal::KeyOfAnotherDevice));
    }
    if let Some(answered) = facts.answered {
        return repeat(facts, answered).map(Outcome::replay).map_err(plain);
    }
    if facts.held.len() >= MAX_HELD {
        return Err(plain(Refusal::TooManyCredentials));
    }
    if facts.verdict.answer == Answer::Deny {
        return Err((Refusal::PolicyDenied, &facts.verdict.reasons));
    }
    let events = steps(facts).map_err(plain)?;
    let mut approved = None;
    if let Answer::Wait { retry_after } = facts.verdict.answer
        && !has_voucher(facts)
    {
        let wish = wish(facts);
        if wish.denied_lately() {
            return Err(plain(Refusal::ApprovalDenied));
        }
        approved = wish.approved();
        if approved.is_none() {
            return Ok(wish.ask(retry_after, &facts.verdict.reasons, || {
                device_entry(facts.device, Action::ApprovalAsked, actor, facts.now)
                    .with("method", "est")
                    .on(Evidence::new("csr", facts.request_sha256))
            }));
        }
    }
    let mut next = facts.device.clone();
    let mut actions = Vec::with_capacity(events.len());
    for event in events {
        let (after, action) = advance(&next, *event, actor, facts.now).map_err(plain)?;
        next = after;
        actions.push(action);
    }
    next.version = facts.device.version.saturating_add(1);
    let segment = match &facts.verdict.answer {
        Answer::Allow { segment } => segment.as_ref(),
        Answer::Wait { .. } | Answer::Deny => approved.and_then(|record| record.segment.as_ref()),
    };
    if next.segment.is_none() {
        next.segment = segment.cloned();
    }
    let permit = EnrolPermit {
        device: facts.device.clone(),
        next,
        manufacturer: facts.manufacturer.map(Manufacturer::seen),
        actions,
        request_sha256: facts.request_sha256,
        key_spki_sha256: facts.key_spki_sha256,
        superseded: active(facts.held)
            .map(|credential| credential.id.clone())
            .collect(),
        approval: approved.cloned(),
        reasons: facts.verdict.reasons.clone(),
        with_idevid: matches!(facts.identity, EnrolIdentity::Idevid { .. }),
        now: facts.now,
    };
    Ok(Outcome::accept(permit, Commit::default()))
}

/// Whether this onboarding began with a voucher: policy was asked then, and a person where it said so.
fn has_voucher(facts: &EnrolFacts<'_>) -> bool {
    facts.device.state == State::Onboarding
        && matches!(facts.identity, EnrolIdentity::Idevid { .. })
        && !has_trust(facts, ManufacturerTrust::PlainEst)
}

const fn wish<'a>(facts: &EnrolFacts<'a>) -> Wish<'a> {
    Wish {
        now: facts.now,
        owner: facts.owner,
        kind: WishKind::Certificate,
        device: facts.device,
        key: facts.identity.key(),
        record: facts.approval,
        owned_since: facts.owned_since,
    }
}

fn has_trust(facts: &EnrolFacts<'_>, trust: ManufacturerTrust) -> bool {
    facts.manufacturer.is_some_and(|maker| maker.trust == trust)
}

/// RFC 7030 §4.2.2: a further credential is asked for with the present one.
fn check_credential(facts: &EnrolFacts<'_>, credential: &Credential) -> Result<(), Refusal> {
    if credential.device != facts.device.id {
        return Err(Refusal::CredentialOfAnother);
    }
    if facts.device.owner != Some(facts.owner) {
        return Err(Refusal::OtherOwner);
    }
    if !matches!(facts.device.state, State::Onboarded | State::Onboarding) {
        return Err(wrong_state(facts.device.state));
    }
    if facts.now >= credential.not_after {
        return Err(Refusal::CredentialExpired);
    }
    match credential.status {
        CredentialStatus::Active => Ok(()),
        CredentialStatus::Revoked { .. } => Err(Refusal::CredentialRevoked),
        // The answer that carried the successor may have been lost. Once the device has
        // confirmed it, or it was revoked, the old one has no more say.
        CredentialStatus::Superseded
            if active(facts.held).next().is_none()
                || active(facts.held).any(|active| active.confirmed_at.is_some()) =>
        {
            Err(Refusal::CredentialSuperseded)
        }
        CredentialStatus::Superseded => Ok(()),
    }
}

/// Those that nothing newer has replaced.
pub(super) fn active(held: &[Credential]) -> impl Iterator<Item = &Credential> {
    let is_active = |credential: &&Credential| credential.status == CredentialStatus::Active;
    held.iter().filter(is_active)
}

/// The same request gets the same certificate, for a while.
fn repeat(facts: &EnrolFacts<'_>, answered: &Credential) -> Result<StoredAnswer, Refusal> {
    if answered.device != facts.device.id {
        return Err(Refusal::KeyOfAnotherDevice);
    }
    match answered.status {
        CredentialStatus::Revoked { .. } => Err(Refusal::CredentialRevoked),
        CredentialStatus::Active if within(answered.issued_at, facts.now, REPLAY_WINDOW) => {
            Ok(StoredAnswer {
                media_type: String::new(),
                body: answered.certificate_der.clone(),
            })
        }
        _ => Err(Refusal::Replayed),
    }
}

/// Which life-cycle steps this request takes.
fn steps(facts: &EnrolFacts<'_>) -> Result<&'static [Event], Refusal> {
    let without_voucher = has_trust(facts, ManufacturerTrust::PlainEst);
    match (facts.device.state, facts.identity) {
        (State::Onboarding, EnrolIdentity::Idevid { .. }) if without_voucher => Ok(&[Event::Enrol]),
        (State::Onboarding, EnrolIdentity::Idevid { .. }) => match facts.voucher {
            Some(record) => match record.status {
                VoucherStatus::Issued | VoucherStatus::Accepted => Ok(&[Event::Enrol]),
                VoucherStatus::Rejected => Err(Refusal::VoucherRejected),
                VoucherStatus::AwaitingApproval
                | VoucherStatus::Approved
                | VoucherStatus::AwaitingMasa
                | VoucherStatus::Denied
                | VoucherStatus::Refused
                | VoucherStatus::Used => Err(Refusal::NoVoucherYet),
            },
            None => Err(Refusal::NoVoucherYet),
        },
        (State::Claimed, _) if without_voucher => Ok(&[Event::Begin, Event::Enrol]),
        (State::Onboarded, EnrolIdentity::Idevid { .. }) if !facts.idevid_reenrol => {
            Err(Refusal::IdevidReenrolForbidden)
        }
        (State::Onboarded, _) => Ok(&[Event::Renew]),
        // It asked for a new voucher and now renews with what it has: it was not reset after all.
        (State::Onboarding, EnrolIdentity::Credential(_)) => Ok(&[Event::Enrol]),
        (State::Claimed, _) => Err(Refusal::NoVoucherYet),
        (state, _) => Err(wrong_state(state)),
    }
}

impl EnrolPermit {
    /// The device whose key may be certified.
    #[must_use]
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// SHA-256 of the one SubjectPublicKeyInfo that may be certified.
    #[must_use]
    pub const fn key_spki_sha256(&self) -> Digest {
        self.key_spki_sha256
    }

    /// The segment the device belongs to, if policy gave one.
    #[must_use]
    pub fn segment(&self) -> Option<&str> {
        self.next.segment.as_deref()
    }

    /// Step 3: the certificate exists; store it before it leaves. What the device had before
    /// is superseded.
    pub fn issue(self, issued: IssuedCertificate) -> Outcome<Credential> {
        let actor = Actor::new(ActorKind::Device, &self.device.serial);
        let credential = Credential {
            id: issued.id,
            device: self.device.id,
            spki_sha256: self.key_spki_sha256,
            request_sha256: self.request_sha256,
            not_before: issued.not_before,
            not_after: issued.not_after,
            status: CredentialStatus::Active,
            issued_at: self.now,
            confirmed_at: None,
            certificate_der: issued.der,
        };
        let mut commit = Commit::default();
        put_device(&mut commit, &self.device, self.next);
        still_trusted(&mut commit, self.manufacturer);
        put_certificate(&mut commit, &credential, &self.superseded);
        if let Some(record) = &self.approval {
            use_up(&mut commit, record, self.now);
        }
        for action in self.actions {
            let mut entry = device_entry(&self.device, action, &actor, self.now)
                .on(Evidence::new("csr", self.request_sha256));
            if matches!(action, Action::CredentialIssued | Action::CredentialRenewed) {
                entry.reasons.clone_from(&self.reasons);
                entry = entry
                    .on(Evidence::new(
                        "certificate",
                        Digest::of(&credential.certificate_der),
                    ))
                    .with("credential", &credential.id)
                    .with("not-after", credential.not_after)
                    .with(
                        "proved-by",
                        if self.with_idevid {
                            "birth-certificate"
                        } else {
                            "credential"
                        },
                    );
            }
            commit.entries.push(entry);
        }
        Outcome::accept(credential, commit)
    }
}

/// What was decided rests on what its manufacturer was then: who blocks it also reaches what is under way.
pub(super) fn still_trusted(commit: &mut Commit, manufacturer: Option<(ManufacturerId, u64)>) {
    if let Some((id, expected)) = manufacturer {
        commit
            .guards
            .push(Guard::ManufacturerVersion { id, expected });
    }
}

/// Writes a device's new certificate, whatever protocol brings it: its key is no other device's, its
/// request was not answered before, and those that it replaces are replaced.
pub(super) fn put_certificate(
    commit: &mut Commit,
    credential: &Credential,
    superseded: &[CredentialId],
) {
    commit.guards.push(Guard::KeyUnused {
        spki_sha256: credential.spki_sha256,
        device: credential.device,
    });
    commit.guards.push(Guard::RequestUnanswered {
        device: credential.device,
        request_sha256: credential.request_sha256,
    });
    for id in superseded {
        // Revoked a moment ago, it proves nothing any more, and must not become less than
        // revoked again.
        commit
            .guards
            .push(Guard::CredentialActive { id: id.clone() });
        commit.changes.push(Change::SetCredentialStatus {
            id: id.clone(),
            status: CredentialStatus::Superseded,
        });
    }
    commit
        .changes
        .push(Change::PutCredential(Box::new(credential.clone())));
}

/// What the device says about its enrolment (RFC 8995 §5.9.4).
#[derive(Debug, Clone, Copy)]
pub struct EnrolStatusFacts<'a> {
    /// The time.
    pub now: Timestamp,
    /// The device.
    pub device: &'a Device,
    /// The credential that the TLS client showed; none when it showed its birth certificate.
    pub shown: Option<&'a Credential>,
    /// Whether enrolment succeeded.
    pub success: bool,
    /// Why not, in its words.
    pub reason: Option<&'a str>,
    /// SHA-256 of the message.
    pub message_sha256: Digest,
}

/// Step 4: the device reports. A success is worth what the connection proves: only one that
/// came with the credential confirms it, and the journal says which it was. A credential that does not
/// count any more says nothing; a success with one that was replaced is no news.
pub fn enrol_status(facts: &EnrolStatusFacts<'_>) -> Outcome<()> {
    let actor = Actor::new(ActorKind::Device, &facts.device.serial);
    let mut commit = Commit::default();
    let action = if facts.success {
        Action::EnrolmentConfirmed
    } else {
        Action::EnrolmentFailed
    };
    let evidence = Evidence::new("enrol-status", facts.message_sha256);
    let mut entry = device_entry(facts.device, action, &actor, facts.now).on(evidence.clone());
    let ours = facts
        .shown
        .filter(|credential| credential.device == facts.device.id);
    entry = entry.with(
        "client-certificate",
        if ours.is_some() {
            "matched"
        } else {
            "not-matched"
        },
    );
    if let Some(credential) = ours {
        let refusal = match credential.status {
            CredentialStatus::Revoked { .. } => Some(Refusal::CredentialRevoked),
            _ if facts.now >= credential.not_after => Some(Refusal::CredentialExpired),
            CredentialStatus::Active | CredentialStatus::Superseded => None,
        };
        if let Some(refusal) = refusal {
            let action = Action::RequestRefused;
            let entry = device_entry(facts.device, action, &actor, facts.now).on(evidence);
            return Outcome::refuse(refusal, &[], entry.with("credential", &credential.id));
        }
        let known =
            credential.confirmed_at.is_some() || credential.status == CredentialStatus::Superseded;
        if facts.success && known {
            return Outcome::accept((), Commit::default());
        }
        entry = entry.with("credential", &credential.id);
        if facts.success {
            commit.guards.push(Guard::CredentialActive {
                id: credential.id.clone(),
            });
            commit.changes.push(Change::ConfirmCredential {
                id: credential.id.clone(),
                at: facts.now,
            });
        }
    }
    if !facts.success {
        let said: String = facts
            .reason
            .unwrap_or("no reason given")
            .chars()
            .take(512)
            .collect();
        entry = entry.because(Reason::new("device-said", said, "RFC 8995 §5.9.4"));
    }
    commit.entries.push(entry);
    Outcome::accept((), commit)
}
