//! Devices, commits and entries to test with.

use jiff::Timestamp;
use vouchsafe_fleet::commit::{Change, Guard};
use vouchsafe_fleet::credential::{Credential, CredentialStatus};
use vouchsafe_fleet::{
    Action, Actor, ActorKind, Commit, CredentialId, Device, DeviceId, Digest, Entry, KeyOrigin,
    ManufacturerId, OwnerId, State, Subject, VoucherId, VoucherRecord, VoucherStatus,
};
use vouchsafe_store::Store;

pub(crate) const MANUFACTURER: ManufacturerId = ManufacturerId([7; 16]);
pub(crate) const OWNER: OwnerId = OwnerId([9; 16]);

/// Second number `seconds` of the tests' time.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_750_000_000 + seconds).unwrap()
}

pub(crate) fn serial(number: usize) -> String {
    format!("SN-{number:06}")
}

pub(crate) fn id(number: usize) -> DeviceId {
    DeviceId::new(MANUFACTURER, &serial(number))
}

pub(crate) fn key(number: usize) -> Digest {
    Digest::of(format!("key {number}").as_bytes())
}

pub(crate) fn device(number: usize) -> Device {
    Device {
        id: id(number),
        manufacturer: MANUFACTURER,
        serial: serial(number),
        model: Some("Lamp 3".to_owned()),
        state: State::Claimed,
        owner: Some(OWNER),
        segment: None,
        idevid_sha256: None,
        idevid_spki_sha256: Some(key(number)),
        idevid_der: Some(vec![0x30, 0x03, 0, 1, 2]),
        mud_url: Some("https://example.com/lamp".to_owned()),
        key_origin: KeyOrigin::Device,
        version: 1,
        journal_seq: 0,
        journal_head: Digest::ZERO,
        reason: None,
        created_at: at(0),
        updated_at: at(0),
    }
}

pub(crate) fn entry(subject: Subject, action: Action) -> Entry {
    Entry::new(
        subject,
        action,
        Actor::new(ActorKind::System, "test"),
        at(1),
    )
}

/// Takes new devices into the inventory, as an import does.
pub(crate) fn import(numbers: impl IntoIterator<Item = usize>) -> Commit {
    let mut commit = Commit::default();
    for number in numbers {
        let device = device(number);
        commit.guards.push(Guard::DeviceAbsent { id: device.id });
        commit.guards.push(Guard::KeyUnused {
            spki_sha256: key(number),
            device: device.id,
        });
        commit
            .entries
            .push(entry(Subject::Device(device.id), Action::Imported));
        commit.changes.push(Change::PutDevice(Box::new(device)));
    }
    commit
}

/// Moves a device on, as a decision on exactly this row does.
pub(crate) fn change(before: &Device, state: State) -> Commit {
    let after = Device {
        state,
        version: before.version + 1,
        ..before.clone()
    };
    Commit {
        guards: vec![Guard::DeviceVersion {
            id: before.id,
            expected: before.version,
        }],
        changes: vec![Change::PutDevice(Box::new(after))],
        entries: vec![entry(Subject::Device(before.id), Action::OnboardingStarted)],
    }
}

pub(crate) fn credential(number: usize, of: usize, key: Digest) -> Credential {
    Credential {
        id: CredentialId(format!("{number:032x}")),
        device: id(of),
        certificate_der: vec![0x30, 0, 0xff],
        spki_sha256: key,
        request_sha256: Digest::of(format!("request {number}").as_bytes()),
        not_before: at(0),
        not_after: "9999-12-30T00:00:00Z".parse().unwrap(),
        status: CredentialStatus::Active,
        issued_at: at(i64::try_from(number).unwrap()),
        confirmed_at: None,
    }
}

pub(crate) fn voucher(request: &str, of: usize, nonce: Option<&str>) -> VoucherRecord {
    let request_sha256 = Digest::of(request.as_bytes());
    VoucherRecord {
        id: VoucherId::new(id(of), request_sha256),
        device: id(of),
        owner: Some(OWNER),
        request_sha256,
        nonce: nonce.map(str::to_owned),
        status: VoucherStatus::AwaitingMasa,
        assertion: None,
        media_type: "application/voucher-cms+json".to_owned(),
        voucher: None,
        expires_on: None,
        reason: None,
        segment: None,
        requested_at: at(5),
        updated_at: at(5),
        version: 1,
    }
}

/// A store with devices 0 to `count` - 1.
pub(crate) async fn with_devices(store: &Store, count: usize) {
    store.commit(import(0..count)).await.unwrap();
}

pub(crate) async fn read(store: &Store, number: usize) -> Device {
    store.device(id(number)).await.unwrap().unwrap()
}
