//! What only a file can do.

use vouchsafe_fleet::Subject;
use vouchsafe_store::{BackupError, CommitError, Store, StoreConfig};

use crate::engine::Backend;
use crate::fixture::{id, import, with_devices};

/// Files that must move together: the database and what the engine keeps beside it.
const FILES: [&str; 3] = ["state.db", "state.db-wal", "state.db-shm"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_fails_the_commit_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = StoreConfig::sqlite(&folder.path().join("state.db"));
    config.max_pages = Some(300);
    let store = Store::open(config.clone()).await.unwrap();
    let mut stored = 0;
    let full = loop {
        assert!(stored < 100_000, "the limit does not bite");
        match store.commit(import(stored..stored + 50)).await {
            Ok(_) => stored += 50,
            Err(error) => break error,
        }
    };
    assert_eq!(full, CommitError::Full);
    assert!(stored > 0);
    // Everybody who waits learns it, and reading goes on.
    let waiting = (0..4).map(|lane| {
        let first = stored + 1000 * (lane + 1);
        store.commit(import(first..first + 500))
    });
    for answer in futures_util::future::join_all(waiting).await {
        assert_eq!(answer, Err(CommitError::Full));
    }
    assert!(store.device(id(stored - 1)).await.unwrap().is_some());
    assert_eq!(store.device(id(stored)).await.unwrap(), None);
    assert!(store.verify_journals().await.unwrap().is_sound());
    store.close().await;
    // With room again it goes on where it stood.
    config.max_pages = None;
    let store = Store::open(config).await.unwrap();
    store.commit(import(stored..stored + 50)).await.unwrap();
    assert!(store.verify_journals().await.unwrap().is_sound());
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_gone_refuses_and_works_again_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let away = tempfile::tempdir().unwrap();
    let store = Store::open(StoreConfig::sqlite(&folder.path().join("state.db")))
        .await
        .unwrap();
    with_devices(&store, 1).await;
    for file in FILES {
        std::fs::rename(folder.path().join(file), away.path().join(file)).unwrap();
    }
    for _try in 0..3 {
        let result = store.commit(import([1])).await;
        assert!(
            matches!(result, Err(CommitError::Unavailable(_))),
            "{result:?}"
        );
    }
    assert!(
        !folder.path().join("state.db").exists(),
        "no empty database in its place"
    );
    for file in FILES {
        let moved = away.path().join(file);
        if moved.exists() {
            std::fs::rename(moved, folder.path().join(file)).unwrap();
        }
    }
    store.commit(import([1])).await.unwrap();
    assert!(store.device(id(0)).await.unwrap().is_some());
    assert!(store.verify_journals().await.unwrap().is_sound());
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_database_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.db");
    let store = Store::open(StoreConfig::sqlite(&file)).await.unwrap();
    with_devices(&store, 1).await;
    let copy = folder.path().join("copy.db");
    store.backup(&copy).await.unwrap();
    std::fs::rename(&copy, &file).unwrap();
    let result = store.commit(import([1])).await;
    assert!(
        matches!(result, Err(CommitError::Unavailable(_))),
        "{result:?}"
    );
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_whole_private_and_never_overwrites() {
    use std::os::unix::fs::PermissionsExt;
    let backend = Backend::sqlite();
    let store = backend.open().await;
    with_devices(&store, 3).await;
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("it's a backup.db");
    store.backup(&target).await.unwrap();
    let again = store.backup(&target).await;
    assert!(matches!(again, Err(BackupError::Exists(_))), "{again:?}");
    let mode = std::fs::metadata(&target).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // Work goes on after it, also on the connection that made it.
    store.commit(import([10])).await.unwrap();
    let copy = Store::open(StoreConfig::sqlite(&target)).await.unwrap();
    assert!(copy.device(id(2)).await.unwrap().is_some());
    assert_eq!(copy.device(id(10)).await.unwrap(), None);
    assert_eq!(
        copy.verify_journal(Subject::Device(id(2))).await.unwrap(),
        Ok(1)
    );
    assert!(copy.verify_journals().await.unwrap().is_sound());
    copy.close().await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a folder/that is not there/state.db");
    let store = Store::open(StoreConfig::sqlite(&file)).await.unwrap();
    with_devices(&store, 1).await;
    for name in std::fs::read_dir(file.parent().unwrap()).unwrap() {
        let path = name.unwrap().path();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", path.display());
    }
    store.close().await;
}
