//! Devices that are in service at a site before anything is measured: each with a certificate, and with the
//! MAC address of a station that policy lets in. One in ten is in quarantine.

use jiff::SignedDuration;
use vouchsafe_controller::Home;
use vouchsafe_fleet::admission::{
    AddressGrant, Change as AdmissionChange, ClaimedAddress, MacAddress,
};
use vouchsafe_fleet::decide::{self, ClaimFacts};
use vouchsafe_fleet::{
    Actor, ActorKind, Change, Commit, Credential, CredentialId, CredentialStatus, Device, DeviceId,
    Digest, ManufacturerId, PolicyRecord, State,
};
use vouchsafe_net::Clock;
use vouchsafe_store::{Store, StoreConfig};

/// One in so many is in quarantine.
pub(super) const QUARANTINED: usize = 10;

/// Where the others are.
pub(super) const SEGMENT: &str = "devices";

/// Where those in quarantine are.
pub(super) const QUARANTINE: &str = "quarantine";

/// The site's policy: these devices are in service, also by their addresses, and nothing else is measured.
const POLICY: &str = "package vouchsafe\n\nverdict := {\"answer\": \"allow\", \"segment\": \"devices\", \
                      \"by_address\": \"always\", \"reasons\": []}\n";

/// How many are put into the store in one transaction.
const TOGETHER: usize = 1000;

/// For how long everything counts.
const LIFETIME: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The number of a station's device at the controller.
pub(super) fn device(number: usize) -> DeviceId {
    DeviceId::new(maker(), &serial(number))
}

/// Its address.
pub(super) fn mac(number: usize) -> [u8; 6] {
    let [.., a, b, c, d] = number.to_be_bytes();
    [2, 1, a, b, c, d]
}

/// Whether it is in quarantine.
pub(super) fn is_quarantined(number: usize) -> bool {
    number % QUARANTINED == QUARANTINED - 1
}

/// Puts them into the store.
pub(super) async fn fill(home: &Home, clock: &Clock, count: usize) -> anyhow::Result<()> {
    let store = Store::open(StoreConfig::from_url(&home.store_url())?).await?;
    let actor = Actor::new(ActorKind::Person, "bench");
    let policy = PolicyRecord {
        id: Digest::of(POLICY.as_bytes()),
        text: POLICY.to_owned(),
        since: clock.now(),
        by: "bench".to_owned(),
    };
    store
        .commit(Commit {
            changes: vec![Change::PutPolicy(Box::new(policy))],
            ..Commit::default()
        })
        .await?;
    let numbers: Vec<usize> = (0..count).collect();
    for numbers in numbers.chunks(TOGETHER) {
        let mut all = Commit::default();
        for number in numbers {
            let outcome = decide::claim(&ClaimFacts {
                now: clock.now(),
                actor: &actor,
                owner: home.owner,
                manufacturer: maker(),
                serial: &serial(*number),
                model: None,
                idevid_sha256: None,
                segment: Some(SEGMENT),
                existing: None,
            });
            all.guards.extend(outcome.commit.guards);
            all.entries.extend(outcome.commit.entries);
            for change in outcome.commit.changes {
                all.changes.push(match change {
                    Change::PutDevice(device) => in_service(*device, *number),
                    other => other,
                });
            }
            all.changes.push(certificate(*number, clock));
            all.changes.push(address(*number, clock));
        }
        store.commit(all).await?;
    }
    store.close().await;
    Ok(())
}

fn maker() -> ManufacturerId {
    ManufacturerId::of_anchor(b"another maker")
}

fn serial(number: usize) -> String {
    format!("STATION-{number:06}")
}

fn in_service(mut device: Device, number: usize) -> Change {
    device.state = match is_quarantined(number) {
        true => State::Quarantined,
        false => State::Onboarded,
    };
    Change::PutDevice(Box::new(device))
}

/// Nobody shows it here, so that it need not be a real one.
fn certificate(number: usize, clock: &Clock) -> Change {
    let digest = Digest::of(serial(number).as_bytes());
    Change::PutCredential(Box::new(Credential {
        id: CredentialId(format!("5{number:039x}")),
        device: device(number),
        certificate_der: digest.0.to_vec(),
        spki_sha256: digest,
        request_sha256: digest,
        not_before: clock.now(),
        not_after: clock.now() + LIFETIME,
        status: CredentialStatus::Active,
        issued_at: clock.now(),
        confirmed_at: Some(clock.now()),
    }))
}

fn address(number: usize, clock: &Clock) -> Change {
    let address = ClaimedAddress {
        mac: MacAddress(mac(number)),
        device: device(number),
        by: "bench".to_owned(),
        conflict: None,
        grant: Some(AddressGrant {
            segment: Some(SEGMENT.to_owned()),
            expires_at: clock.now() + LIFETIME,
            despite_credential: true,
        }),
        reasons: Vec::new(),
        claimed_at: clock.now(),
        updated_at: clock.now(),
        version: 1,
    };
    Change::Admission(AdmissionChange::PutAddress(Box::new(address)))
}
