//! What the store does when something is wrong with its database.

use vouchsafe_fleet::journal::JournalError;
use vouchsafe_fleet::{State, Subject};
use vouchsafe_store::{CommitError, Conflict, DeviceFilter, OpenError, Store};

use crate::engine::{Backend, Cluster};
use crate::fixture::{change, id, import, read, with_devices};

pub(crate) async fn an_altered_entry_is_found(backend: &Backend) {
    let store = backend.open().await;
    with_devices(&store, 2).await;
    store
        .commit(change(&read(&store, 0).await, State::Onboarding))
        .await
        .unwrap();
    assert!(store.verify_journals().await.unwrap().is_sound());
    let chain = Subject::Device(id(0));
    let sql = format!(
        "UPDATE journal SET text = replace(text, 'imported', 'claimed') WHERE chain = '{chain}' AND seq = 1"
    );
    backend.tamper(&sql).await;
    let fault = JournalError::Altered { seq: 1 };
    assert_eq!(store.verify_journal(chain).await.unwrap(), Err(fault));
    let report = store.verify_journals().await.unwrap();
    assert_eq!(report.faults, [(chain, fault)]);
    assert!(!report.is_sound());
    store.close().await;
}

/// Who looks at all devices gets to all that can be read, wherever in a page the damaged ones stand.
pub(crate) async fn damaged_devices_hide_no_others(backend: &Backend) {
    let store = backend.open().await;
    with_devices(&store, 9).await;
    let all: Vec<_> = {
        let listed = store.devices(&DeviceFilter::default(), None, 9).await;
        listed.unwrap().iter().map(|device| device.id).collect()
    };
    for damaged in [0, 3, 4, 5, 8] {
        let id = all[damaged];
        let sql = format!("UPDATE device SET key_origin = 'nowhere' WHERE id = '{id}'");
        backend.tamper(&sql).await;
    }
    for limit in [1, 2, 3, 9] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let filter = DeviceFilter::default();
            let page = store.readable_devices(&filter, after.as_ref(), limit);
            let page = page.await.unwrap();
            seen.extend(page.rows.iter().map(|device| device.id));
            after = page.last;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, [all[1], all[2], all[6], all[7]], "{limit}");
    }
    store.close().await;
}

pub(crate) async fn a_removed_entry_is_found(backend: &Backend) {
    let store = backend.open().await;
    with_devices(&store, 2).await;
    store
        .commit(change(&read(&store, 0).await, State::Onboarding))
        .await
        .unwrap();
    let chain = Subject::Device(id(0));
    backend
        .tamper(&format!(
            "DELETE FROM journal WHERE chain = '{chain}' AND seq = 2"
        ))
        .await;
    let fault = JournalError::Truncated {
        expected: 2,
        found: 1,
    };
    assert_eq!(store.verify_journal(chain).await.unwrap(), Err(fault));
    // With the device and all its entries gone, only the count tells.
    let other = id(1);
    backend
        .tamper(&format!(
            "DELETE FROM journal WHERE chain = 'device:{other}'"
        ))
        .await;
    backend
        .tamper(&format!("DELETE FROM device WHERE id = '{other}'"))
        .await;
    assert!(store.verify_journals().await.unwrap().miscounted);
    store.close().await;
}

pub(crate) async fn a_newer_schema_is_refused(backend: &Backend) {
    backend.open().await.close().await;
    let copy = "INSERT INTO schema_migration (version, text_sha256) \
         SELECT 4711, text_sha256 FROM schema_migration WHERE version = 1";
    backend.tamper(copy).await;
    match Store::open(backend.config()).await {
        Err(OpenError::NewerSchema { found: 4711, known }) => assert!(known >= 1),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn a_closed_store_refuses(backend: &Backend) {
    let store = backend.open().await;
    with_devices(&store, 1).await;
    store.close().await;
    let result = store.commit(import([5])).await;
    assert!(
        matches!(result, Err(CommitError::Unavailable(_))),
        "{result:?}"
    );
    assert!(store.device(id(0)).await.is_err());
    // The file is free again at once.
    backend.open().await.close().await;
}

/// Replicas on PostgreSQL; on SQLite a second one is turned away.
pub(crate) async fn two_stores_keep_one_order(backend: &Backend) {
    let one = backend.open().await;
    with_devices(&one, 8).await;
    if !backend.is_postgres() {
        let refused = Store::open(backend.config()).await;
        assert!(matches!(refused, Err(OpenError::InUse(_))), "{refused:?}");
        one.close().await;
        return;
    }
    let other = backend.open().await;
    let mut news = other.subscribe();
    one.commit(import([100])).await.unwrap();
    // By notification, or by looking.
    let position = tokio::time::timeout(std::time::Duration::from_secs(30), news.recv()).await;
    assert_eq!(position.unwrap().unwrap(), 9);

    let mut wins = 0;
    for round in 0..20 {
        let number = round % 8;
        let before = read(&one, number).await;
        let (left, right) = tokio::join!(
            one.commit(change(&before, State::Onboarding)),
            other.commit(change(&before, State::Onboarding)),
        );
        assert_eq!(
            u8::from(left.is_ok()) + u8::from(right.is_ok()),
            1,
            "{left:?} {right:?}"
        );
        wins += u8::from(left.is_ok());
        let lost = if left.is_err() { left } else { right };
        let expected = Conflict::DeviceVersion(id(number).to_string());
        assert_eq!(lost, Err(CommitError::Conflict(expected)));
    }
    println!("the first replica won {wins} of 20 races");
    // Many at once, in opposite order.
    let up = futures_util::future::join_all((200..300).map(|number| one.commit(import([number]))));
    let down = futures_util::future::join_all(
        (200..300)
            .rev()
            .map(|number| other.commit(import([number]))),
    );
    let (up, down) = tokio::join!(up, down);
    let stored = up
        .iter()
        .chain(&down)
        .filter(|answer| answer.is_ok())
        .count();
    assert_eq!(stored, 100, "each device once");
    let lines = one.journal_since(0, 10_000).await.unwrap();
    let positions: Vec<u64> = lines.iter().map(|line| line.position).collect();
    assert_eq!(
        positions,
        (1..=positions.len() as u64).collect::<Vec<_>>(),
        "no gaps"
    );
    assert!(other.verify_journals().await.unwrap().is_sound());
    one.close().await;
    other.close().await;
}

pub(crate) async fn a_server_that_restarts(mut cluster: Cluster) {
    let backend = cluster.database().await;
    let mut config = backend.config();
    config.patience = std::time::Duration::from_secs(1);
    let store = Store::open(config).await.unwrap();
    with_devices(&store, 1).await;
    cluster.server().unwrap().end();
    let result = store.commit(import([1])).await;
    assert!(
        matches!(result, Err(CommitError::Unavailable(_))),
        "{result:?}"
    );
    assert!(store.device(id(0)).await.is_err());
    cluster.server().unwrap().run();
    cluster.wait().await;
    store.commit(import([1])).await.unwrap();
    assert!(store.device(id(1)).await.unwrap().is_some());
    assert!(store.verify_journals().await.unwrap().is_sound());
    store.close().await;
}
