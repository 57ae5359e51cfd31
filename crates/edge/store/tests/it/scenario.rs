//! What the store promises while its engine is well.

use std::collections::BTreeMap;
use std::task::Poll;

use vouchsafe_fleet::commit::{Change, Guard};
use vouchsafe_fleet::decide::WishKind;
use vouchsafe_fleet::journal::{ChainHead, verify_chain};
use vouchsafe_fleet::{
    Action, Commit, CredentialId, Device, Digest, Sealed, State, Subject, VoucherId, VoucherRecord,
    VoucherStatus,
};
use vouchsafe_store::{CommitError, Conflict, DeviceFilter, DeviceKey, Store, StoredCheckpoint};

use crate::engine::Backend;
use crate::fixture::{
    MANUFACTURER, OWNER, at, change, credential, device, entry, id, import, key, read, serial,
    voucher, with_devices,
};

pub(crate) fn puts(changes: Vec<Change>) -> Commit {
    Commit {
        changes,
        ..Commit::default()
    }
}

pub(crate) fn conflict(result: Result<vouchsafe_store::Committed, CommitError>) -> Conflict {
    match result {
        Err(CommitError::Conflict(conflict)) => conflict,
        other => panic!("not a conflict: {other:?}"),
    }
}

async fn is_sound(store: &Store) {
    let report = store.verify_journals().await.unwrap();
    assert!(report.is_sound(), "{report:?}");
}

pub(crate) async fn what_is_committed_is_read_back(backend: &Backend) {
    let store = backend.open().await;
    let committed = store.commit(import([1])).await.unwrap();
    assert_eq!(committed.position, Some(1));
    let sealed = &committed.sealed[0];
    let expected = Device {
        journal_seq: 1,
        journal_head: sealed.hash,
        ..device(1)
    };
    assert_eq!(read(&store, 1).await, expected);
    assert_eq!(
        store
            .device_by_serial(MANUFACTURER, &serial(1))
            .await
            .unwrap(),
        Some(expected.clone())
    );

    let committed = store
        .commit(change(&expected, State::Onboarding))
        .await
        .unwrap();
    let after = read(&store, 1).await;
    assert_eq!(
        (after.state, after.version, after.journal_seq),
        (State::Onboarding, 2, 2)
    );
    assert_eq!(after.journal_head, committed.sealed[0].hash);
    assert_eq!(committed.sealed[0].previous, sealed.hash);

    // Everything is still there for the next process.
    store.close().await;
    let store = backend.open().await;
    assert_eq!(read(&store, 1).await, after);
    assert_eq!(store.position(), 2);
    let journal = store.journal_since(0, 10).await.unwrap();
    assert_eq!(
        journal.iter().map(|line| line.position).collect::<Vec<_>>(),
        [1, 2]
    );
    let chain: Vec<_> = journal.into_iter().map(|line| line.sealed).collect();
    let head = ChainHead {
        seq: 2,
        hash: after.journal_head,
    };
    assert_eq!(
        verify_chain(Subject::Device(id(1)), &chain, Some(&head)),
        Ok(head)
    );
    is_sound(&store).await;
    store.close().await;
}

pub(crate) async fn a_failed_guard_leaves_nothing_behind(backend: &Backend) {
    let store = backend.open().await;
    with_devices(&store, 2).await;
    let before = (read(&store, 0).await, store.position());
    let guards = [
        Guard::DeviceAbsent { id: id(0) },
        Guard::DeviceVersion {
            id: id(0),
            expected: 9,
        },
        Guard::DeviceVersion {
            id: id(99),
            expected: 1,
        },
        Guard::VoucherVersion {
            id: voucher("x", 0, None).id,
            expected: 1,
        },
        Guard::KeyUnused {
            spki_sha256: key(1),
            device: id(0),
        },
        Guard::CredentialActive {
            id: CredentialId("77".to_owned()),
        },
        Guard::CurrentOwner {
            device: id(0),
            expected: Some(OWNER),
        },
        Guard::ManufacturerVersion {
            id: MANUFACTURER,
            expected: 1,
        },
        Guard::JournalHead {
            subject: Subject::Device(id(0)),
            expected: ChainHead::EMPTY,
        },
    ];
    for guard in guards {
        let mut commit = puts(vec![Change::PutCredential(Box::new(credential(
            1,
            0,
            key(50),
        )))]);
        commit
            .entries
            .push(entry(Subject::Device(id(0)), Action::CredentialIssued));
        commit
            .entries
            .push(entry(Subject::Site, Action::OwnerChanged));
        commit.guards.push(guard.clone());
        let result = store.commit(commit).await;
        assert!(
            matches!(result, Err(CommitError::Conflict(_))),
            "{guard:?}: {result:?}"
        );
    }
    assert_eq!((read(&store, 0).await, store.position()), before);
    assert_eq!(store.credentials(id(0)).await.unwrap(), []);
    is_sound(&store).await;
    store.close().await;
}

pub(crate) async fn of_two_racing_commits_exactly_one_wins(backend: &Backend) {
    let store = backend.open().await;
    with_devices(&store, 1).await;
    let before = read(&store, 0).await;
    for _round in 0..20 {
        let before = read(&store, 0).await;
        let one = store.commit(change(&before, State::Onboarding));
        let other = store.commit(change(&before, State::Quarantined));
        let (one, other) = tokio::join!(one, other);
        assert_eq!(
            u8::from(one.is_ok()) + u8::from(other.is_ok()),
            1,
            "{one:?} {other:?}"
        );
        let lost = if one.is_err() { one } else { other };
        assert_eq!(conflict(lost), Conflict::DeviceVersion(id(0).to_string()));
    }
    let after = read(&store, 0).await;
    assert_eq!(
        (after.version, after.journal_seq),
        (before.version + 20, before.journal_seq + 20)
    );

    let (one, other) = tokio::join!(store.commit(import([7])), store.commit(import([7])));
    assert_eq!(
        u8::from(one.is_ok()) + u8::from(other.is_ok()),
        1,
        "{one:?} {other:?}"
    );
    let lost = if one.is_err() { one } else { other };
    assert_eq!(conflict(lost), Conflict::DeviceExists(id(7).to_string()));
    is_sound(&store).await;
    store.close().await;
}

pub(crate) async fn a_key_belongs_to_one_device(backend: &Backend) {
    let store = backend.open().await;
    with_devices(&store, 2).await;
    let issue = |number, of, key| Commit {
        guards: vec![Guard::KeyUnused {
            spki_sha256: key,
            device: id(of),
        }],
        changes: vec![Change::PutCredential(Box::new(credential(number, of, key)))],
        entries: vec![entry(Subject::Device(id(of)), Action::CredentialIssued)],
    };
    store.commit(issue(1, 0, key(50))).await.unwrap();
    assert_eq!(store.key_holder(key(50)).await.unwrap(), Some(id(0)));
    assert_eq!(store.key_holder(key(1)).await.unwrap(), Some(id(1)));
    assert_eq!(store.key_holder(key(51)).await.unwrap(), None);
    // Another device's credential key, and another device's birth key.
    assert_eq!(
        conflict(store.commit(issue(2, 1, key(50))).await),
        Conflict::KeyUsed
    );
    assert_eq!(
        conflict(store.commit(issue(2, 1, key(0))).await),
        Conflict::KeyUsed
    );
    // Its own again is fine.
    store.commit(issue(2, 0, key(50))).await.unwrap();
    // Two devices of one commit.
    let mut twins = import([10, 11]);
    for change in &mut twins.changes {
        if let Change::PutDevice(device) = change {
            device.idevid_spki_sha256 = Some(key(10));
        }
    }
    assert_eq!(conflict(store.commit(twins).await), Conflict::KeyUsed);
    // A request is answered once.
    let mut again = issue(3, 0, key(52));
    let request_sha256 = credential(1, 0, key(50)).request_sha256;
    again.guards.push(Guard::RequestUnanswered {
        device: id(0),
        request_sha256,
    });
    assert!(matches!(
        conflict(store.commit(again).await),
        Conflict::Exists(_)
    ));
    let found = store
        .counting_or_answering(id(0), request_sha256, at(9))
        .await
        .unwrap();
    assert!(found.contains(&credential(1, 0, key(50))), "{found:?}");
    store.close().await;
}

pub(crate) async fn a_nonce_is_good_for_one_request(backend: &Backend) {
    let store = backend.open().await;
    with_devices(&store, 2).await;
    let ask = |record: vouchsafe_fleet::VoucherRecord| {
        let mut guards = vec![Guard::VoucherAbsent { id: record.id }];
        if let Some(nonce) = record.nonce.clone() {
            guards.push(Guard::NonceUnused {
                device: record.device,
                nonce,
            });
        }
        Commit {
            guards,
            entries: vec![entry(
                Subject::Device(record.device),
                Action::VoucherRequested,
            )],
            changes: vec![Change::PutVoucher(Box::new(record))],
        }
    };
    let first = voucher("one", 0, Some("bm9uY2U="));
    store.commit(ask(first.clone())).await.unwrap();
    assert_eq!(
        conflict(store.commit(ask(first.clone())).await),
        Conflict::Exists("the voucher request")
    );
    let replay = voucher("two", 0, Some("bm9uY2U="));
    assert_eq!(
        conflict(store.commit(ask(replay)).await),
        Conflict::NonceUsed
    );
    // Another device may happen to draw the same; nonceless requests never collide.
    store
        .commit(ask(voucher("one", 1, Some("bm9uY2U="))))
        .await
        .unwrap();
    for request in ["three", "four"] {
        let mut waiting = voucher(request, 0, None);
        waiting.status = VoucherStatus::AwaitingApproval;
        store.commit(ask(waiting)).await.unwrap();
    }
    // A guard without a record of its own.
    let only_asking = Commit {
        guards: vec![Guard::NonceUnused {
            device: id(0),
            nonce: "bm9uY2U=".to_owned(),
        }],
        ..Commit::default()
    };
    assert_eq!(
        conflict(store.commit(only_asking).await),
        Conflict::NonceUsed
    );

    assert_eq!(store.voucher(first.id).await.unwrap(), Some(first.clone()));
    let found = store.voucher_by_nonce(id(0), "bm9uY2U=").await.unwrap();
    assert_eq!(found, Some(first.clone()));
    let other = VoucherId::new(id(0), Digest::of(b"another request"));
    for (asked, device, nonce, expected) in [
        // Its own record, whatever the nonce.
        (first.id, id(0), "bm9uY2U=", (Some(first.clone()), None)),
        (first.id, id(0), "b3RoZXI=", (Some(first.clone()), None)),
        (other, id(0), "bm9uY2U=", (None, Some(first.clone()))),
        (other, id(0), "b3RoZXI=", (None, None)),
        (other, id(2), "bm9uY2U=", (None, None)),
    ] {
        let found = store.voucher_or_same_nonce(asked, device, nonce).await;
        assert_eq!(found.unwrap(), expected, "{asked} {nonce}");
    }
    let mut issued = first.clone();
    issued.status = VoucherStatus::Issued;
    issued.voucher = Some(vec![1, 2, 3]);
    issued.updated_at = at(9);
    issued.version = 2;
    let update = Commit {
        guards: vec![Guard::VoucherVersion {
            id: first.id,
            expected: 1,
        }],
        changes: vec![Change::PutVoucher(Box::new(issued.clone()))],
        entries: Vec::new(),
    };
    store.commit(update.clone()).await.unwrap();
    assert_eq!(
        conflict(store.commit(update).await),
        Conflict::Changed("the voucher request")
    );
    assert_eq!(store.voucher(first.id).await.unwrap(), Some(issued.clone()));
    let waiting = store.waiting_vouchers(None, 1).await.unwrap();
    assert_eq!(waiting.len(), 1);
    let rest = store.waiting_vouchers(waiting.last(), 9).await.unwrap();
    assert_eq!(rest.len(), 1);
    assert_ne!(rest, waiting);
    assert_eq!(store.vouchers(id(0)).await.unwrap().len(), 3);
    assert!(store.latest_voucher(id(0)).await.unwrap().is_some());
    store.close().await;
}

pub(crate) async fn what_waits_is_answered_from_the_oldest_on(backend: &Backend) {
    let store = backend.open().await;
    with_devices(&store, 1).await;
    let waiting = |request, seconds, media_type: &str| VoucherRecord {
        status: VoucherStatus::AwaitingApproval,
        media_type: media_type.to_owned(),
        requested_at: at(seconds),
        ..voucher(request, 0, None)
    };
    let [by_radio, by_certificate] = WishKind::ALL.map(WishKind::media_type);
    let left_behind = waiting("left behind", 1, "application/voucher-cms+json");
    let wish = waiting("wish", 2, by_radio);
    let asked = waiting("asked", 3, "application/voucher-cms+json");
    let last = waiting("last", 4, by_certificate);
    let all = [&left_behind, &wish, &asked, &last];
    let put = all.map(|record| Change::PutVoucher(Box::new(record.clone())));
    store.commit(puts(put.to_vec())).await.unwrap();
    let latest = async || store.latest_voucher(id(0)).await.unwrap();
    assert_eq!(latest().await, Some(asked.clone()));
    let oldest = async |since| store.oldest_waiting(id(0), at(since)).await.unwrap();
    assert_eq!(oldest(3).await, Some(asked.clone()));
    assert_eq!(oldest(5).await, None);
    for record in [&wish, &asked, &last] {
        assert_eq!(oldest(0).await.as_ref(), Some(record));
        let answered = VoucherRecord {
            status: VoucherStatus::Approved,
            version: 2,
            ..record.clone()
        };
        let change = Change::PutVoucher(Box::new(answered));
        store.commit(puts(vec![change])).await.unwrap();
    }
    assert_eq!(oldest(0).await, None);
    store.close().await;
}

pub(crate) async fn a_conflict_after_writing_undoes_only_its_own_commit(backend: &Backend) {
    let store = backend.open().await;
    with_devices(&store, 3).await;
    let before = read(&store, 1).await;
    // Writes the device, then finds its credential missing.
    let mut late = change(&before, State::Onboarding);
    late.changes.push(Change::ConfirmCredential {
        id: CredentialId("none".to_owned()),
        at: at(1),
    });
    let one = read(&store, 0).await;
    let two = read(&store, 2).await;
    // The same journal for all three: the middle one must not have moved it.
    let (first, middle, last) = tokio::join!(
        store.commit(change(&one, State::Onboarding)),
        store.commit(late),
        store.commit(change(&two, State::Onboarding)),
    );
    assert_eq!(conflict(middle), Conflict::Changed("the credential"));
    assert!(first.is_ok() && last.is_ok());
    assert_eq!(read(&store, 1).await, before);
    assert_eq!(store.position(), 5);
    // An import of many, one of which is there: none comes in.
    let result = store.commit(import(2..200)).await;
    assert_eq!(conflict(result), Conflict::DeviceExists(id(2).to_string()));
    assert_eq!(store.device(id(3)).await.unwrap(), None);
    is_sound(&store).await;
    store.close().await;
}

pub(crate) async fn commits_of_one_batch_keep_their_order(backend: &Backend) {
    // Fewer than the operations after which tokio makes a task give way.
    const AT_ONCE: usize = 50;
    let store = backend.open().await;
    with_devices(&store, 1).await;
    let mut answers = Vec::new();
    for round in 0..6 {
        let mut queued: Vec<_> = (0..AT_ONCE)
            .map(|number| {
                let number = round * AT_ONCE + number;
                let line = entry(Subject::Site, Action::OwnerChanged).with("number", number);
                let refused = entry(Subject::Device(id(0)), Action::RequestRefused);
                let commit = Commit {
                    entries: vec![line, refused],
                    ..Commit::default()
                };
                Box::pin(store.commit(commit))
            })
            .collect();
        std::future::poll_fn(|context| {
            for commit in &mut queued {
                assert!(commit.as_mut().poll(context).is_pending());
            }
            Poll::Ready(())
        })
        .await;
        for commit in queued {
            answers.push(commit.await);
        }
    }
    let positions: Vec<u64> = answers
        .iter()
        .map(|answer| answer.as_ref().unwrap().position.unwrap())
        .collect();
    assert!(positions.is_sorted(), "queued first, written first");
    let lines = store.journal(Subject::Site, 0, 1000).await.unwrap();
    let numbers: Vec<String> = lines
        .iter()
        .map(|line| line.sealed.entry().unwrap().data["number"].clone())
        .collect();
    assert_eq!(
        numbers,
        (0..300)
            .map(|number| number.to_string())
            .collect::<Vec<_>>()
    );
    for answer in answers {
        let answer = answer.unwrap();
        let lines = store
            .journal_since(answer.position.unwrap() - 2, 2)
            .await
            .unwrap();
        let sealed: Vec<Sealed> = lines.into_iter().map(|line| line.sealed).collect();
        assert_eq!(answer.sealed, sealed);
    }
    assert_eq!(read(&store, 0).await.journal_seq, 301);
    is_sound(&store).await;
    store.close().await;
}

pub(crate) async fn entries_without_a_change_do_not_disturb_a_decision(backend: &Backend) {
    let store = backend.open().await;
    with_devices(&store, 1).await;
    let before = read(&store, 0).await;
    let refused = Commit {
        entries: vec![entry(Subject::Device(id(0)), Action::RequestRefused)],
        ..Commit::default()
    };
    store.commit(refused.clone()).await.unwrap();
    // Decided on the row before the refusal: the version still holds, the head has moved.
    store
        .commit(change(&before, State::Onboarding))
        .await
        .unwrap();
    let after = read(&store, 0).await;
    assert_eq!((after.version, after.journal_seq), (2, 3));
    // Both in one batch.
    let (one, other) = tokio::join!(
        store.commit(refused),
        store.commit(change(&after, State::Onboarded))
    );
    assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
    assert_eq!(read(&store, 0).await.journal_seq, 5);
    is_sound(&store).await;
    store.close().await;
}

pub(crate) async fn chains_of_site_and_manufacturer_continue(backend: &Backend) {
    let store = backend.open().await;
    for _round in 0..3 {
        let commit = Commit {
            entries: vec![
                entry(Subject::Site, Action::PolicyChanged),
                entry(
                    Subject::Manufacturer(MANUFACTURER),
                    Action::ManufacturerChanged,
                ),
                entry(Subject::Site, Action::TokenCreated),
            ],
            ..Commit::default()
        };
        store.commit(commit).await.unwrap();
    }
    assert_eq!(store.journal_head(Subject::Site).await.unwrap().seq, 6);
    let manufacturer = Subject::Manufacturer(MANUFACTURER);
    assert_eq!(store.journal_head(manufacturer).await.unwrap().seq, 3);
    assert_eq!(store.verify_journal(Subject::Site).await.unwrap(), Ok(6));
    with_devices(&store, 3).await;
    let mut heads = BTreeMap::new();
    let mut after = None;
    loop {
        let page = store.journal_heads(after, 2).await.unwrap();
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
        heads.extend(page);
    }
    assert_eq!(heads.len(), 5, "three devices, a manufacturer, the site");

    let checkpoint = |position: u64| StoredCheckpoint {
        position,
        at: at(1),
        document: format!("signed {position}"),
    };
    assert_eq!(store.checkpoint().await.unwrap(), None);
    for position in [4, 9] {
        store.put_checkpoint(checkpoint(position)).await.unwrap();
    }
    assert_eq!(store.checkpoint().await.unwrap(), Some(checkpoint(9)));
    assert_eq!(
        store.checkpoints(Some(9), 5).await.unwrap(),
        [checkpoint(4)]
    );
    is_sound(&store).await;
    store.close().await;
}

pub(crate) async fn an_adopted_journal_is_continued(backend: &Backend) {
    let store = backend.open().await;
    let subject = Subject::Device(id(0));
    let first = Sealed::seal(&ChainHead::EMPTY, &entry(subject, Action::Provisioned));
    let second = Sealed::seal(&first.head(), &entry(subject, Action::Sold));
    let adopt = Change::AdoptJournal {
        subject,
        chain: vec![first, second.clone()],
    };
    let mut commit = import([0]);
    commit.guards.push(Guard::JournalHead {
        subject,
        expected: ChainHead::EMPTY,
    });
    commit.changes.push(adopt.clone());
    let committed = store.commit(commit).await.unwrap();
    assert_eq!(committed.position, Some(3));
    assert_eq!(committed.sealed.len(), 1);
    assert_eq!(
        (committed.sealed[0].seq, committed.sealed[0].previous),
        (3, second.hash)
    );
    assert_eq!(store.verify_journal(subject).await.unwrap(), Ok(3));
    // Never in front of a journal that has begun.
    let mut again = change(&read(&store, 0).await, State::Onboarding);
    again.changes.push(adopt);
    assert_eq!(
        conflict(store.commit(again).await),
        Conflict::Changed("the journal")
    );
    is_sound(&store).await;
    store.close().await;
}

pub(crate) async fn an_entry_about_an_absent_device_is_refused(backend: &Backend) {
    let store = backend.open().await;
    let commit = Commit {
        entries: vec![entry(Subject::Device(id(0)), Action::RequestRefused)],
        ..Commit::default()
    };
    assert!(matches!(
        store.commit(commit).await,
        Err(CommitError::Invalid(_))
    ));
    assert_eq!(store.position(), 0);
    // So is a device that one commit puts twice.
    let twice = Change::PutDevice(Box::new(device(0)));
    let result = store.commit(puts(vec![twice.clone(), twice])).await;
    assert!(matches!(result, Err(CommitError::Invalid(_))));
    // And what has nothing in it is nothing.
    let empty = store.commit(Commit::default()).await.unwrap();
    assert_eq!((empty.position, empty.sealed.len()), (None, 0));
    store.close().await;
}

pub(crate) async fn subscribers_wake_and_read_from_where_they_stand(backend: &Backend) {
    let store = backend.open().await;
    let mut news = store.subscribe();
    let committed = store.commit(import([0, 1])).await.unwrap();
    assert_eq!(news.recv().await.unwrap(), 2);
    assert_eq!(committed.position, Some(2));
    let lines = store.journal_since(1, 10).await.unwrap();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].subject, Subject::Device(id(1)));
    store.close().await;
}

pub(crate) async fn devices_are_paged_by_serial_number(backend: &Backend) {
    let store = backend.open().await;
    with_devices(&store, 25).await;
    let before = read(&store, 3).await;
    store
        .commit(change(&before, State::Quarantined))
        .await
        .unwrap();
    let filters = [
        (DeviceFilter::default(), 25),
        (
            DeviceFilter {
                state: Some(State::Claimed),
                ..DeviceFilter::default()
            },
            24,
        ),
        (
            DeviceFilter {
                owner: Some(OWNER),
                ..DeviceFilter::default()
            },
            25,
        ),
        (
            DeviceFilter {
                manufacturer: Some(MANUFACTURER),
                ..DeviceFilter::default()
            },
            25,
        ),
        (
            DeviceFilter {
                serial_prefix: Some("SN-00001".to_owned()),
                ..DeviceFilter::default()
            },
            10,
        ),
        (
            DeviceFilter {
                serial_prefix: Some("sn".to_owned()),
                ..DeviceFilter::default()
            },
            0,
        ),
    ];
    for (filter, expected) in filters {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = store.devices(&filter, after.as_ref(), 7).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(DeviceKey::of(last));
            found.extend(page.into_iter().map(|device| device.serial));
        }
        assert_eq!(found.len(), expected, "{filter:?}");
        assert!(found.is_sorted() && found.windows(2).all(|pair| pair[0] != pair[1]));
    }
    let counts = store.device_counts().await.unwrap();
    assert_eq!(counts, [(State::Claimed, 24), (State::Quarantined, 1)]);
    store.close().await;
}

pub(crate) async fn a_batch_of_twenty_thousand_devices(backend: &Backend) {
    const COUNT: usize = 20_000;
    const PIECE: usize = 2_000;
    let store = backend.open().await;
    let commits: Vec<_> = (0..COUNT / PIECE)
        .map(|piece| import(piece * PIECE..(piece + 1) * PIECE))
        .collect();
    let begun = std::time::Instant::now();
    for commit in commits {
        store.commit(commit).await.unwrap();
    }
    println!(
        "{COUNT} devices with their journal in {:?}",
        begun.elapsed()
    );
    assert_eq!(store.position(), COUNT as u64);
    assert_eq!(
        store.device_counts().await.unwrap(),
        [(State::Claimed, COUNT as u64)]
    );
    let last = read(&store, COUNT - 1).await;
    assert_eq!(
        store
            .verify_journal(Subject::Device(last.id))
            .await
            .unwrap(),
        Ok(1)
    );
    store.close().await;
}
