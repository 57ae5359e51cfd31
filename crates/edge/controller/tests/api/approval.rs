//! Devices that wait for a person (RFC 8995 §5.6).

use jiff::{SignedDuration, Timestamp};
use vouchsafe_api::{Approve, Code, DeviceFilter, PageQuery, PutSegment, Reasoned, Role};
use vouchsafe_controller::Home;
use vouchsafe_fleet::decide::{self, ClaimFacts, WishKind, approval_id};
use vouchsafe_fleet::{
    Actor, ActorKind, Change, Commit, DeviceId, Digest, VoucherId, VoucherRecord, VoucherStatus,
};
use vouchsafe_store::{Store, StoreConfig};

use crate::world::{Maker, World, code};

/// A device that is claimed.
async fn claimed(
    home: &Home,
    store: &Store,
    maker: &Maker,
    serial: &str,
    since: Timestamp,
) -> DeviceId {
    let actor = Actor::new(ActorKind::Person, "test");
    let outcome = decide::claim(&ClaimFacts {
        now: since,
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
    device
}

/// It asked, and waits for a person.
async fn asked(
    home: &Home,
    store: &Store,
    device: DeviceId,
    request: Digest,
    media_type: &str,
    at: Timestamp,
) {
    let is_wish = WishKind::ALL
        .iter()
        .any(|kind| kind.media_type() == media_type);
    let record = VoucherRecord {
        id: VoucherId::new(device, request),
        device,
        owner: Some(home.owner),
        request_sha256: request,
        nonce: (!is_wish).then(|| request.to_string()),
        status: VoucherStatus::AwaitingApproval,
        assertion: None,
        media_type: media_type.to_owned(),
        voucher: None,
        expires_on: None,
        reason: None,
        segment: None,
        requested_at: at,
        updated_at: at,
        version: 1,
    };
    let commit = Commit {
        changes: vec![Change::PutVoucher(Box::new(record))],
        ..Commit::default()
    };
    store.commit(commit).await.unwrap();
}

/// A site where wait, and A-3 does not. A-1 asked before, and was left without answer.
async fn world(maker: &Maker) -> World {
    let fill = async |home: &Home, store: &Store| {
        for (serial, requests) in [("A-1", 2), ("A-2", 1), ("A-3", 0)] {
            let now = Timestamp::now();
            let device = claimed(home, store, maker, serial, now).await;
            for number in 0..requests {
                let request = Digest::of(format!("{serial} {number}").as_bytes());
                let at = now + SignedDuration::from_secs(number);
                asked(
                    home,
                    store,
                    device,
                    request,
                    "application/voucher-cms+json",
                    at,
                )
                .await;
            }
        }
    };
    World::prepared(|_| {}, fill).await
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
        let journal = installer.device_journal(id, 0).await.unwrap();
        let entry = journal
            .entries
            .iter()
            .find(|entry| entry.action == expected)
            .unwrap();
        assert_eq!(entry.reasons, ["person [owner policy]"]);
    }
}

/// Who was let in into a segment and has not come back yet is meant for it all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_segment_that_an_approval_names_stays() {
    let maker = Maker::new("Maker");
    let world = world(&maker).await;
    let admin = world.admin();
    for name in ["sensors", "spare"] {
        let segment = PutSegment {
            name: name.to_owned(),
            vlan: None,
            reach: Some(Vec::new()),
        };
        admin.add_segment(&segment).await.unwrap();
    }
    let approve = Approve {
        reason: "I stand beside it".to_owned(),
        segment: Some("sensors".to_owned()),
    };
    let device = maker.device_id("A-1");
    admin.approve_device(&device, &approve, None).await.unwrap();
    let removed = admin.remove_segment("sensors", None).await;
    let said = removed.unwrap_err().to_string();
    assert!(said.contains("segment-in-use"), "{said}");
    admin.remove_segment("spare", None).await.unwrap();
}

/// Each answer is about what came first of what still waits, and the next one waits on.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_device_wishes_is_answered_one_after_the_other() {
    let maker = Maker::new("Maker");
    let ago = |hours| Timestamp::now() - SignedDuration::from_hours(hours);
    let device = DeviceId::new(maker.id, "A-3");
    let wishes = [
        (WishKind::Certificate, 1, 5 * 24),
        (WishKind::Configuration, 1, 3),
        (WishKind::Certificate, 2, 2),
        (WishKind::Configuration, 2, 1),
    ];
    let fill = async |home: &Home, store: &Store| {
        claimed(home, store, &maker, "A-3", ago(10 * 24)).await;
        for (kind, key, hours) in wishes {
            let (_, request) = approval_id(kind, device, Digest([key; 32]));
            asked(home, store, device, request, kind.media_type(), ago(hours)).await;
        }
        // It wished before it was claimed anew.
        let other = claimed(home, store, &maker, "A-4", ago(1)).await;
        let (kind, key) = (WishKind::Configuration, Digest([3; 32]));
        let (_, request) = approval_id(kind, other, key);
        asked(home, store, other, request, kind.media_type(), ago(2)).await;
    };
    let mut world = World::prepared(|_| {}, fill).await;
    let admin = world.admin();
    let approve = Approve {
        reason: "it is mine".to_owned(),
        segment: None,
    };
    let why = Reasoned {
        reason: "it has one".to_owned(),
    };
    let id = device.to_string();
    assert_eq!(admin.show_status().await.unwrap().waiting, 1);
    let first = admin.approve_device(&id, &approve, None).await.unwrap();
    assert!(first.waiting);
    assert!(admin.show_device(&id).await.unwrap().value.waiting);
    let second = admin.deny_device(&id, &why, None).await.unwrap();
    assert!(second.waiting);
    let third = admin.approve_device(&id, &approve, None).await.unwrap();
    assert!(!third.waiting);
    let more = admin.approve_device(&id, &approve, None).await;
    assert_eq!(code(more), Code::NotFound);

    world.shut_down().await;
    let file = world.dir.path().join("store.db");
    let store = Store::open(StoreConfig::sqlite(&file)).await.unwrap();
    let mut found = Vec::new();
    for (kind, key, _) in wishes {
        let (id, _) = approval_id(kind, device, Digest([key; 32]));
        found.push(store.voucher(id).await.unwrap().unwrap().status);
    }
    let expected = [
        VoucherStatus::AwaitingApproval,
        VoucherStatus::Approved,
        VoucherStatus::Denied,
        VoucherStatus::Approved,
    ];
    assert_eq!(found, expected);
    store.close().await;
}
