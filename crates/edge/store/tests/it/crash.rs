//! A process that is killed in the middle of its commits loses none that it acknowledged.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use vouchsafe_fleet::{Action, Subject};
use vouchsafe_store::Store;

use crate::engine::Backend;
use crate::fixture::{entry, id, import};

const URL: &str = "VOUCHSAFE_STORE_CRASH_URL";

/// The process to be killed: acknowledges each commit with a line.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_to_be_killed() {
    let Ok(url) = std::env::var(URL) else { return };
    let store = Store::open(vouchsafe_store::StoreConfig::from_url(&url).unwrap())
        .await
        .unwrap();
    let mut tasks = Vec::new();
    for lane in 0..8 {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            // Ended by the parent long before; bounded all the same.
            for number in (lane..80_000).step_by(8) {
                let mut commit = import([number]);
                commit
                    .entries
                    .push(entry(Subject::Site, Action::OwnerChanged));
                store.commit(commit).await.unwrap();
                let mut out = std::io::stdout().lock();
                writeln!(out, "stored {number}").unwrap();
                out.flush().unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

async fn killed_and_opened_again(backend: &Backend) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::a_process_to_be_killed", "--nocapture"])
        .env(URL, &backend.url)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut stored = Vec::new();
    for line in lines {
        let line = line.unwrap();
        // The test runner's own output may share a line with ours.
        let Some((_, number)) = line.split_once("stored ") else {
            continue;
        };
        let Ok(number) = number.parse::<usize>() else {
            continue;
        };
        stored.push(number);
        if stored.len() == 400 {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(stored.len() >= 400, "{}", stored.len());

    let store = backend.open().await;
    for number in &stored {
        let device = store.device(id(*number)).await.unwrap();
        assert_eq!(device.expect("an acknowledged commit").journal_seq, 1);
    }
    let report = store.verify_journals().await.unwrap();
    assert!(report.is_sound(), "{report:?}");
    assert!(report.entries >= 2 * stored.len() as u64);
    store.commit(import([90_000])).await.unwrap();
    assert!(store.verify_journals().await.unwrap().is_sound());
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_commit_is_lost_by_kill_9_on_sqlite() {
    killed_and_opened_again(&Backend::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_commit_is_lost_by_kill_9_on_postgresql() {
    let Some(cluster) = crate::Cluster::find_or_start().await else {
        return;
    };
    killed_and_opened_again(&cluster.database().await).await;
}
