//! Devices that wait for a person (RFC 8995 §5.6).

use jiff::Timestamp;
use vouchsafe_api::{Approve, Code, DeviceFilter, PageQuery, Reasoned, Role};
use vouchsafe_fleet::decide::{self, ClaimFacts};
use vouchsafe_fleet::{
    Actor, ActorKind, Change, Commit, Digest, VoucherId, VoucherRecord, VoucherStatus,
};

use crate::world::{Maker, World, code};

/// A site where wait, and A-3 does not. A-1 asked before, and was left without answer.
async fn world(maker: &Maker) -> World {
    World::prepared(
        |_| {},
        async |home, store| {
            for (serial, requests) in [("A-1", 2), ("A-2", 1), ("A-3", 0)] {
                let now = Timestamp::now();
                let actor = Actor::new(ActorKind::Person, "test");
                let outcome = decide::claim(&ClaimFacts {
                    now,
                    actor: &actor,
                    owner: home.owner,
                    manufacturer: maker.id,
                    serial,
                    model: None,
                    segment: None,
                    idevid_sha256: None,
                    existing: None,
                });
                let device = outcome.accepted().unwrap().unwrap().id;
                store.commit(outcome.commit).await.unwrap();
                for number in 0..requests {
                    let request = Digest::of(format!("{serial} {number}").as_bytes());
                    let record = VoucherRecord {
                        id: VoucherId::new(device, request),
                        device,
                        owner: Some(home.owner),
                        request_sha256: request,
                        nonce: Some(format!("nonce {number}")),
                        status: VoucherStatus::AwaitingApproval,
                        assertion: None,
                        media_type: "application/voucher-cms+json".to_owned(),
                        voucher: None,
                        expires_on: None,
                        reason: None,
                        segment: None,
                        requested_at: now + jiff::SignedDuration::from_secs(number),
                        updated_at: now,
                        version: 1,
                    };
                    let commit = Commit {
                        changes: vec![Change::PutVoucher(Box::new(record))],
                        ..Commit::default()
                    };
                    store.commit(commit).await.unwrap();
                }
            }
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_listed_and_let_in_or_turned_down_once() {
    let maker = Maker::new("Maker");
    let world = world(&maker).await;
    let installer = world.role(Role::Installer).await;
    let waiting = async || {
        let filter = DeviceFilter {
            waiting: Some(true),
            ..DeviceFilter::default()
        };
        let page = installer.list_devices(&filter, &PageQuery::default()).await;
        page.unwrap()
            .items
            .into_iter()
            .map(|device| device.serial)
            .collect::<Vec<_>>()
    };
    assert_eq!(waiting().await, ["A-1", "A-2"]);
    assert_eq!(installer.show_status().await.unwrap().waiting, 2);
    let approve = Approve {
        reason: "I stand beside it".to_owned(),
        segment: Some("sensors".to_owned()),
    };
    let first = maker.device_id("A-1");
    let device = installer
        .approve_device(&first, &approve, None)
        .await
        .unwrap();
    assert!(!device.waiting);
    let why = Reasoned {
        reason: "not ours".to_owned(),
    };
    let second = maker.device_id("A-2");
    installer.deny_device(&second, &why, None).await.unwrap();
    assert_eq!(waiting().await, Vec::<String>::new());
    // A decision is made once.
    for id in [&first, &second] {
        let again = installer.approve_device(id, &approve, None).await;
        assert!(matches!(
            code(again),
            Code::LifecycleRefused | Code::NotFound
        ));
    }
    for (id, expected) in [(&first, "approved"), (&second, "approval-denied")] {
        let journal = installer.device_journal(id).await.unwrap();
        let entry = journal
            .entries
            .iter()
            .find(|entry| entry.action == expected)
            .unwrap();
        assert_eq!(entry.reasons, ["person [owner policy]"]);
    }
}
