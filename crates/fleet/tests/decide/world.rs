//! A store in memory that keeps the contract of commits, and builders of facts.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use vouchsafe_fleet::decide::{
    EnrolFacts, EnrolIdentity, IssuedCertificate, MasaAnswer, MasaVoucherFacts, OperateFacts,
    OwnershipPolicy, Requester, Strangers, VoucherAnswerFacts, VoucherRequestFacts,
};
use vouchsafe_fleet::journal::verify_chain;
use vouchsafe_fleet::*;

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

pub(crate) const HOUR: i64 = 3600;
pub(crate) const DAY: i64 = 24 * HOUR;
pub(crate) const OWNER: OwnerId = OwnerId([0xaa; 16]);
pub(crate) const OTHER: OwnerId = OwnerId([0xbb; 16]);
pub(crate) const MAKER: ManufacturerId = ManufacturerId([1; 16]);

pub(crate) fn person() -> Actor {
    Actor::new(ActorKind::Person, "alice")
}

pub(crate) fn maker(trust: ManufacturerTrust) -> Manufacturer {
    Manufacturer {
        id: MAKER,
        name: "Lamps".to_owned(),
        anchors: vec![vec![1]],
        masa_url: None,
        masa_anchors: vec![vec![2]],
        trust,
        idevid_rules: IdevidRules::default(),
        version: 1,
        created_at: at(0),
        updated_at: at(0),
    }
}

pub(crate) fn birth_key() -> Digest {
    Digest::of(b"birth key of A-1")
}

pub(crate) fn device(state: State) -> Device {
    Device {
        id: DeviceId::new(MAKER, "A-1"),
        manufacturer: MAKER,
        serial: "A-1".to_owned(),
        model: None,
        state,
        owner: Some(OWNER),
        segment: None,
        idevid_sha256: None,
        idevid_spki_sha256: Some(birth_key()),
        idevid_der: None,
        mud_url: None,
        key_origin: KeyOrigin::Device,
        version: 5,
        journal_seq: 0,
        journal_head: Digest::ZERO,
        reason: None,
        created_at: at(0),
        updated_at: at(0),
    }
}

pub(crate) fn allow() -> Verdict {
    Verdict {
        answer: Answer::Allow {
            segment: Some("lamps".to_owned()),
        },
        reasons: vec![],
        ask_again_at: None,
        by_address: None,
    }
}

pub(crate) fn wait() -> Verdict {
    Verdict {
        answer: Answer::Wait {
            retry_after: SignedDuration::from_secs(600),
        },
        ..allow()
    }
}

pub(crate) fn deny() -> Verdict {
    Verdict {
        answer: Answer::Deny,
        reasons: vec![Reason::new("too-old", "It is too old.", "owner policy")],
        ask_again_at: None,
        by_address: None,
    }
}

pub(crate) fn request<'a>(
    now: Timestamp,
    maker: &'a Manufacturer,
    device: &'a Device,
    verdict: &'a Verdict,
) -> VoucherRequestFacts<'a> {
    VoucherRequestFacts {
        now,
        owner: OWNER,
        manufacturer: Some(maker),
        shown: None,
        serial: "A-1",
        idevid_sha256: Digest::of(b"birth certificate"),
        idevid_spki_sha256: birth_key(),
        request_sha256: Digest::of(b"request 1"),
        nonce: "nonce-1",
        media_type: "application/voucher-cms+json",
        device: Some(device),
        record: None,
        same_nonce: None,
        owned_since: Some(at(0)),
        verdict,
        strangers: Strangers::default(),
    }
}

pub(crate) fn voucher_answer_facts<'a>(
    now: Timestamp,
    device: &'a Device,
    record: &'a VoucherRecord,
) -> VoucherAnswerFacts<'a> {
    VoucherAnswerFacts {
        now,
        masa: "https://masa.example",
        device,
        record,
        answer: MasaAnswer::Voucher {
            body: b"the voucher",
            media_type: "application/voucher-cms+json",
            assertion: "proximity",
            expires_on: None,
        },
    }
}

pub(crate) fn enrol_facts<'a>(
    now: Timestamp,
    maker: &'a Manufacturer,
    device: &'a Device,
    verdict: &'a Verdict,
) -> EnrolFacts<'a> {
    EnrolFacts {
        now,
        owner: OWNER,
        manufacturer: Some(maker),
        device,
        identity: EnrolIdentity::Idevid {
            sha256: Digest::of(b"birth certificate"),
            spki_sha256: birth_key(),
        },
        request_sha256: Digest::of(b"csr 1"),
        key_spki_sha256: Digest::of(b"key 1"),
        key_holder: None,
        answered: None,
        held: &[],
        voucher: None,
        approval: None,
        owned_since: None,
        verdict,
        idevid_reenrol: false,
    }
}

pub(crate) fn issued(number: u8, now: Timestamp) -> IssuedCertificate {
    IssuedCertificate {
        id: CredentialId(format!("{number:02x}")),
        der: vec![number; 8],
        not_before: now,
        not_after: now + SignedDuration::from_hours(90 * 24),
    }
}

pub(crate) fn credential(number: u8, issued_at: Timestamp) -> Credential {
    Credential {
        id: CredentialId(format!("{number:02x}")),
        device: device(State::Onboarded).id,
        certificate_der: vec![number; 8],
        spki_sha256: Digest::of(&[number]),
        request_sha256: Digest::of(&[number, 1]),
        not_before: issued_at,
        not_after: issued_at + SignedDuration::from_hours(90 * 24),
        status: CredentialStatus::Active,
        issued_at,
        confirmed_at: None,
    }
}

pub(crate) fn record(status: VoucherStatus, when: Timestamp) -> VoucherRecord {
    let device = device(State::Onboarding).id;
    VoucherRecord {
        id: VoucherId::new(device, Digest::of(b"request 1")),
        device,
        owner: Some(OWNER),
        request_sha256: Digest::of(b"request 1"),
        nonce: Some("nonce-1".to_owned()),
        status,
        assertion: None,
        media_type: "application/voucher-cms+json".to_owned(),
        voucher: matches!(status, VoucherStatus::Issued | VoucherStatus::Accepted)
            .then(|| b"the voucher".to_vec()),
        expires_on: None,
        reason: None,
        segment: None,
        requested_at: when,
        updated_at: when,
        version: 1,
    }
}

pub(crate) fn operate<'a>(
    now: Timestamp,
    actor: &'a Actor,
    device: &'a Device,
    credentials: &'a [Credential],
) -> OperateFacts<'a> {
    OperateFacts {
        now,
        actor,
        device,
        credentials,
        wifi: wifi::Holdings::NONE,
        addresses: &[],
        ownership: None,
        reasons: &[],
        evidence: &[],
    }
}

pub(crate) fn requester(owner: OwnerId) -> Requester<'static> {
    Requester {
        owner,
        name: "registrar",
        domain_id: "ZG9tYWlu",
        known: None,
        revoked: false,
    }
}

pub(crate) fn masa_facts<'a>(
    now: Timestamp,
    policy: OwnershipPolicy,
    device: &'a Device,
    requester: Requester<'a>,
) -> MasaVoucherFacts<'a> {
    MasaVoucherFacts {
        now,
        policy,
        nonceless_allowed: false,
        prior_request_required: true,
        requester,
        serial: "A-1",
        device: Some(device),
        current: None,
        owned_once: false,
        request_sha256: Digest::of(b"registrar request 1"),
        media_type: "application/voucher-cms+json",
        nonce: Some(("nonce-1", "nonce-1")),
        prior_request: true,
        proximity: true,
        record: None,
        same_nonce: None,
        audit: &[],
        truncation: AuditTruncation::default(),
    }
}

pub(crate) fn owner(id: OwnerId) -> Owner {
    Owner {
        id,
        name: "Somebody".to_owned(),
        domain_ca_der: None,
        blocked: None,
        created_at: at(0),
        updated_at: at(0),
    }
}

pub(crate) fn ownership(owner: OwnerId, until: Option<Timestamp>) -> Ownership {
    Ownership {
        device: device(State::Transferred).id,
        owner,
        basis: OwnershipBasis::Sale,
        since: at(0),
        until,
    }
}

/// Asserts that it is this refusal, that nothing but the journal changes, and that the journal
/// says why.
#[track_caller]
pub(crate) fn refused<D: std::fmt::Debug>(outcome: &Outcome<D>, expected: Refusal) {
    assert_eq!(outcome.refusal(), Some(expected), "{outcome:?}");
    assert!(outcome.commit.changes.is_empty(), "{:?}", outcome.commit);
    assert!(outcome.commit.guards.is_empty(), "{:?}", outcome.commit);
    assert_eq!(outcome.commit.entries.len(), 1);
    let entry = &outcome.commit.entries[0];
    assert_eq!(entry.reasons[0], expected.reason());
}

#[track_caller]
pub(crate) fn accepted<D: Clone + std::fmt::Debug>(outcome: &Outcome<D>) -> D {
    match &outcome.decision {
        Decision::Accept(accepted) => accepted.clone(),
        other => panic!("{other:?}"),
    }
}

/// What an entry list says, in short.
pub(crate) fn actions(commit: &Commit) -> Vec<&'static str> {
    commit.entries.iter().map(|it| it.action.as_str()).collect()
}

/// A commit as it would be read in a diff.
pub(crate) fn pretty(commit: &Commit) -> String {
    serde_json::to_string_pretty(commit).unwrap()
}

/// One organisation's store.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) devices: BTreeMap<DeviceId, Device>,
    pub(crate) credentials: BTreeMap<CredentialId, Credential>,
    pub(crate) vouchers: BTreeMap<VoucherId, VoucherRecord>,
    pub(crate) manufacturers: BTreeMap<ManufacturerId, Manufacturer>,
    pub(crate) ownerships: Vec<Ownership>,
    pub(crate) audit: Vec<AuditEvent>,
    pub(crate) sightings: Vec<DeviceId>,
    pub(crate) wifi: crate::wifi_world::Wifi,
    pub(crate) journal: BTreeMap<Subject, Vec<Sealed>>,
}

impl World {
    /// One that knows this manufacturer.
    pub(crate) fn with(maker: &Manufacturer) -> Self {
        Self {
            manufacturers: [(maker.id, maker.clone())].into(),
            ..Self::default()
        }
    }

    /// Stores a commit, or gives the guard that no longer holds.
    pub(crate) fn commit(&mut self, commit: &Commit) -> Result<(), Guard> {
        for guard in &commit.guards {
            if !self.holds(guard) {
                return Err(guard.clone());
            }
        }
        for change in &commit.changes {
            self.apply(change.clone());
        }
        for entry in &commit.entries {
            let head = self.head(entry.subject);
            self.journal
                .entry(entry.subject)
                .or_default()
                .push(Sealed::seal(&head, entry));
        }
        Ok(())
    }

    pub(crate) fn head(&self, subject: Subject) -> ChainHead {
        self.journal
            .get(&subject)
            .and_then(|chain| chain.last())
            .map_or(ChainHead::EMPTY, Sealed::head)
    }

    pub(crate) fn current(&self, device: DeviceId) -> Option<Ownership> {
        self.ownerships
            .iter()
            .find(|it| it.device == device && it.until.is_none())
            .cloned()
    }

    pub(crate) fn active(&self, device: DeviceId) -> Vec<Credential> {
        let mut active: Vec<_> = self.credentials.values().cloned().collect();
        active.retain(|it| it.device == device && it.status == CredentialStatus::Active);
        active
    }

    pub(crate) fn verify(&self) {
        for (subject, chain) in &self.journal {
            verify_chain(*subject, chain, Some(&self.head(*subject))).unwrap();
        }
    }

    fn holds(&self, guard: &Guard) -> bool {
        match guard {
            Guard::DeviceAbsent { id } => !self.devices.contains_key(id),
            Guard::DeviceVersion { id, expected } => {
                self.devices.get(id).map(|it| it.version) == Some(*expected)
            }
            Guard::VoucherAbsent { id } => !self.vouchers.contains_key(id),
            Guard::VoucherVersion { id, expected } => {
                self.vouchers.get(id).map(|it| it.version) == Some(*expected)
            }
            Guard::NonceUnused { device, nonce } => !self
                .vouchers
                .values()
                .any(|it| it.device == *device && it.nonce.as_ref() == Some(nonce)),
            Guard::KeyUnused {
                spki_sha256,
                device,
            } => {
                let other =
                    |id: &DeviceId, key: Option<Digest>| id != device && key == Some(*spki_sha256);
                !self
                    .credentials
                    .values()
                    .any(|it| other(&it.device, Some(it.spki_sha256)))
                    && !self
                        .devices
                        .values()
                        .any(|it| other(&it.id, it.idevid_spki_sha256))
            }
            Guard::RequestUnanswered {
                device,
                request_sha256,
            } => !self
                .credentials
                .values()
                .any(|it| it.device == *device && it.request_sha256 == *request_sha256),
            Guard::CredentialActive { id } => {
                self.credentials.get(id).map(|it| it.status) == Some(CredentialStatus::Active)
            }
            Guard::CurrentOwner { device, expected } => {
                self.current(*device).map(|it| it.owner) == *expected
            }
            Guard::ManufacturerVersion { id, expected } => {
                self.manufacturers.get(id).map_or(0, |it| it.version) == *expected
            }
            Guard::TokenValid { .. } => true,
            Guard::JournalHead { subject, expected } => self.head(*subject) == *expected,
            Guard::Wifi(guard) => self.wifi.holds(guard),
            Guard::Admission(_) => true,
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::PutDevice(device) => {
                self.devices.insert(device.id, *device);
            }
            Change::PutCredential(credential) => {
                self.credentials.insert(credential.id.clone(), *credential);
            }
            Change::SetCredentialStatus { id, status } => {
                self.credentials.get_mut(&id).unwrap().status = status;
            }
            Change::ConfirmCredential { id, at } => {
                self.credentials.get_mut(&id).unwrap().confirmed_at = Some(at);
            }
            Change::PutVoucher(record) => {
                self.vouchers.insert(record.id, *record);
            }
            Change::PutManufacturer(manufacturer) => {
                self.manufacturers.insert(manufacturer.id, *manufacturer);
            }
            Change::PutOwnership(ownership) => {
                self.ownerships.retain(|it| {
                    (it.device, it.owner, it.since)
                        != (ownership.device, ownership.owner, ownership.since)
                });
                self.ownerships.push(ownership);
            }
            Change::AppendAudit(event) => self.audit.push(event),
            Change::TruncateAudit { drop, .. } => self.audit.retain(|it| !drop.contains(it)),
            Change::AdoptJournal { subject, chain } => {
                self.journal.insert(subject, chain);
            }
            Change::Wifi(change) => self.wifi.apply(change),
            Change::PutSighting(sighting) => self.sightings.push(sighting.device),
            Change::PutOwner(_)
            | Change::PutToken(_)
            | Change::PutClaim(_)
            | Change::ForgetClaims { .. }
            | Change::PutPolicy(_)
            | Change::Admission(_) => {}
        }
    }
}
