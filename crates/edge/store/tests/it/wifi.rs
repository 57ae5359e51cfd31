//! What Wi-Fi Easy Connect keeps: networks, bootstrapping keys, announcements, access credentials.

use jiff::Timestamp;
use vouchsafe_fleet::credential::{CredentialStatus, RevocationReason};
use vouchsafe_fleet::wifi::{
    AccessCredential, AccessKind, Announcement, Assurance, BootstrappingKey, DeviceRole, Given,
    HashForm, Holdings, KeyConflict, KeySource, Network, NetworkCredential, SealedPassphrase,
    Standing,
};
use vouchsafe_fleet::{Change, Commit, CredentialId, DeviceId, Digest, Guard, State, wifi};
use vouchsafe_store::{Conflict, KeyFilter};

use crate::engine::Backend;
use crate::fixture::{at, change, credential, id, read, with_devices};
use crate::scenario::conflict;

pub(crate) fn network(name: &str, version: u64) -> Network {
    Network {
        name: name.to_owned(),
        ssid: format!("SSID {version}"),
        credential: NetworkCredential::Connector,
        fallback: true,
        segment: Some("lamps".to_owned()),
        lifetime_days: Some(30),
        server_name: None,
        version,
        created_at: at(0),
        updated_at: at(1),
    }
}

fn hash(text: &str, number: usize) -> Digest {
    Digest::of(format!("{text} {number}").as_bytes())
}

fn key(number: usize, of: usize) -> BootstrappingKey {
    BootstrappingKey {
        id: hash("bootstrapping key", number),
        chirp_hash: hash("chirp", number),
        curve: "P-256".to_owned(),
        uri: format!("DPP:K:{number};;"),
        device: id(of),
        role: DeviceRole::AccessPoint,
        source: KeySource::Scim,
        conflict: None,
        added_at: at(0),
        updated_at: at(0),
        version: 1,
    }
}

fn announcement(number: usize, seconds: i64, device: Option<DeviceId>) -> Announcement {
    Announcement {
        hash: hash("chirp", number),
        form: HashForm::Chirp,
        device,
        code: "unknown-bootstrapping-key".to_owned(),
        via: Some("192.0.2.1".to_owned()),
        first_at: at(seconds),
        last_at: at(seconds),
        journaled_at: at(seconds),
        expires_at: at(seconds + 100),
    }
}

fn access(number: usize, of: usize, kind: AccessKind) -> AccessCredential {
    AccessCredential {
        id: CredentialId(format!("{number:032x}")),
        device: id(of),
        network: "home".to_owned(),
        kind,
        expires_at: Some(at(500)),
        status: CredentialStatus::Active,
        issued_at: at(i64::try_from(number).unwrap()),
        confirmed_at: None,
    }
}

fn connector(number: usize) -> AccessKind {
    AccessKind::Connector {
        net_access_key_sha256: hash("net access key", number),
        signed_by: "kid".to_owned(),
    }
}

fn passphrase() -> AccessKind {
    AccessKind::Passphrase {
        identifier: "lamp".to_owned(),
        sealed: SealedPassphrase(vec![0, 1, 0xff, 2]),
    }
}

fn puts(changes: impl IntoIterator<Item = wifi::Change>) -> Commit {
    Commit {
        changes: changes.into_iter().map(Change::Wifi).collect(),
        ..Commit::default()
    }
}

fn asks(guard: wifi::Guard) -> Commit {
    Commit {
        guards: vec![Guard::Wifi(guard)],
        ..Commit::default()
    }
}

fn put_key(key: BootstrappingKey) -> wifi::Change {
    wifi::Change::PutKey(Box::new(key))
}

fn put_network(network: Network) -> wifi::Change {
    wifi::Change::PutNetwork(Box::new(network))
}

fn changed<T: std::fmt::Debug>(conflict: Conflict, _: T) {
    assert!(matches!(conflict, Conflict::Changed(_)), "{conflict:?}");
}

pub(crate) async fn networks_are_kept_by_version(backend: &Backend) {
    let store = backend.open().await;
    assert_eq!(store.network("home").await.unwrap(), None);
    let both = [network("home", 1), network("office", 1)];
    store
        .commit(puts(both.clone().map(put_network)))
        .await
        .unwrap();
    assert_eq!(store.networks(None, 9).await.unwrap(), both);
    assert_eq!(store.networks(Some("home"), 9).await.unwrap(), both[1..]);
    // The next version replaces this one, and no other does.
    let next = network("home", 2);
    store
        .commit(puts([put_network(next.clone())]))
        .await
        .unwrap();
    assert_eq!(store.network("home").await.unwrap(), Some(next.clone()));
    for stale in [1, 2, 4] {
        let late = store
            .commit(puts([put_network(network("home", stale))]))
            .await;
        changed(conflict(late), stale);
    }
    let version = |name: &str, expected| wifi::Guard::NetworkVersion {
        name: name.to_owned(),
        expected,
    };
    store.commit(asks(version("home", 2))).await.unwrap();
    store.commit(asks(version("none", 0))).await.unwrap();
    for wrong in [version("home", 1), version("home", 0), version("none", 1)] {
        let result = store.commit(asks(wrong.clone())).await;
        changed(conflict(result), wrong);
    }
    let remove = |expected| wifi::Change::RemoveNetwork {
        name: "home".to_owned(),
        expected,
    };
    changed(conflict(store.commit(puts([remove(1)])).await), 1);
    store.commit(puts([remove(2)])).await.unwrap();
    assert_eq!(store.network("home").await.unwrap(), None);
    store.close().await;
}

pub(crate) async fn a_bootstrapping_key_is_found_by_both_its_hashes(backend: &Backend) {
    let store = backend.open().await;
    with_devices(&store, 2).await;
    let keys = [key(0, 0), key(1, 0), key(2, 1)];
    store.commit(puts(keys.clone().map(put_key))).await.unwrap();
    let [first, second, third] = keys;
    assert_eq!(
        store.bootstrapping_key(first.id).await.unwrap(),
        Some(first.clone())
    );
    let found = store
        .bootstrapping_key_by_chirp(third.chirp_hash)
        .await
        .unwrap();
    assert_eq!(found, Some(third.clone()));
    assert_eq!(
        store.bootstrapping_key(first.chirp_hash).await.unwrap(),
        None
    );
    // The name that an order system has for it stays, whosever it is.
    let record = DeviceId::of_bootstrapping_key(third.id);
    assert_ne!(record, third.device);
    let found = store.bootstrapping_key_by_record(record).await.unwrap();
    assert_eq!(found, Some(third.clone()));
    let nobody = store.bootstrapping_key_by_record(third.device).await;
    assert_eq!(nobody.unwrap(), None);
    assert_eq!(
        store.bootstrapping_key_by_chirp(first.id).await.unwrap(),
        None
    );

    let mut all = [first.clone(), second.clone(), third.clone()];
    all.sort_by_key(|key| key.id);
    let everything = KeyFilter::default();
    assert_eq!(
        store
            .bootstrapping_keys(&everything, None, 9)
            .await
            .unwrap(),
        all
    );
    let page = store
        .bootstrapping_keys(&everything, Some(all[0].id), 1)
        .await
        .unwrap();
    assert_eq!(page, all[1..2]);
    let of_second = KeyFilter {
        device: Some(id(1)),
        ..everything
    };
    assert_eq!(
        store.bootstrapping_keys(&of_second, None, 9).await.unwrap(),
        std::slice::from_ref(&third)
    );

    // A contradiction is listed, and the next version of the key settles it.
    let disputed = BootstrappingKey {
        conflict: Some(KeyConflict {
            device: id(0),
            serial: "B-1".to_owned(),
            source: KeySource::Import,
            by: "bob".to_owned(),
            at: at(7),
        }),
        version: 2,
        ..third.clone()
    };
    store
        .commit(puts([put_key(disputed.clone())]))
        .await
        .unwrap();
    let conflicts = KeyFilter {
        conflicts: true,
        ..everything
    };
    let listed = store.bootstrapping_keys(&conflicts, None, 9).await.unwrap();
    assert_eq!(listed, std::slice::from_ref(&disputed));
    let stale = store.commit(puts([put_key(disputed.clone())])).await;
    changed(conflict(stale), 2);
    let settled = BootstrappingKey {
        conflict: None,
        version: 3,
        ..third.clone()
    };
    store
        .commit(puts([put_key(settled.clone())]))
        .await
        .unwrap();
    assert_eq!(
        store.bootstrapping_keys(&conflicts, None, 9).await.unwrap(),
        []
    );

    // Another key with the same chirp hash cannot be: it would be the same key.
    let twin = BootstrappingKey {
        id: Digest::of(b"twin"),
        ..first.clone()
    };
    let result = store.commit(puts([put_key(twin)])).await;
    assert!(matches!(conflict(result), Conflict::Exists(_)));
    let version = |id, expected| wifi::Guard::KeyVersion { id, expected };
    store.commit(asks(version(settled.id, 3))).await.unwrap();
    store.commit(asks(version(Digest::ZERO, 0))).await.unwrap();
    changed(
        conflict(store.commit(asks(version(settled.id, 2))).await),
        2,
    );
    changed(
        conflict(store.commit(asks(version(settled.id, 0))).await),
        0,
    );
    let remove = |expected| wifi::Change::RemoveKey {
        id: settled.id,
        expected,
    };
    changed(conflict(store.commit(puts([remove(1)])).await), 1);
    store.commit(puts([remove(3)])).await.unwrap();
    assert_eq!(store.bootstrapping_key(settled.id).await.unwrap(), None);
    store.close().await;
}

pub(crate) async fn announcements_are_remembered_for_a_while(backend: &Backend) {
    let store = backend.open().await;
    with_devices(&store, 1).await;
    let put = |announcement| wifi::Change::PutAnnouncement(Box::new(announcement));
    let (unknown, known) = (announcement(1, 0, None), announcement(2, 0, Some(id(0))));
    store
        .commit(puts([unknown.clone(), known.clone()].map(put)))
        .await
        .unwrap();
    let read = |number, now: Timestamp| {
        let store = store.clone();
        async move {
            store
                .announcement(hash("chirp", number), now)
                .await
                .unwrap()
        }
    };
    assert_eq!(read(1, at(99)).await, Some(unknown.clone()));
    assert_eq!(read(1, at(100)).await, None, "expired");
    assert_eq!(read(2, at(0)).await, Some(known));
    assert_eq!(
        store.unmatched_announcements(at(0), 9).await.unwrap(),
        [unknown]
    );
    assert_eq!(store.unmatched_count(at(0), 1000).await.unwrap(), 1);
    assert_eq!(store.unmatched_count(at(100), 1000).await.unwrap(), 0);
    // Seen again, it is one row with a new end; what has ended is forgotten with the next one.
    let again = announcement(1, 50, None);
    let third = announcement(3, 120, None);
    store
        .commit(puts([again.clone(), third.clone()].map(put)))
        .await
        .unwrap();
    let unmatched = store.unmatched_announcements(at(120), 9).await.unwrap();
    assert_eq!(unmatched, [third.clone(), again], "the latest first");
    assert_eq!(
        store.unmatched_announcements(at(120), 1).await.unwrap(),
        std::slice::from_ref(&third)
    );
    assert_eq!(
        store.unmatched_count(at(120), 1).await.unwrap(),
        1,
        "counted up to the limit"
    );
    assert_eq!(read(2, at(0)).await, None, "forgotten");
    let forget = wifi::Change::ForgetAnnouncement { hash: third.hash };
    store.commit(puts([forget.clone()])).await.unwrap();
    store.commit(puts([forget])).await.unwrap();
    assert_eq!(read(3, at(120)).await, None);
    store.close().await;
}

pub(crate) async fn what_a_device_holds_is_its_own_and_ends_with_it(backend: &Backend) {
    let store = backend.open().await;
    with_devices(&store, 2).await;
    assert_eq!(store.holdings(id(0)).await.unwrap(), Holdings::default());
    let standing = Standing {
        device: id(0),
        wanted: Some("office".to_owned()),
        given: Some(Given {
            network: "home".to_owned(),
            network_version: 3,
            role: DeviceRole::Station,
            key: Some(hash("bootstrapping key", 0)),
            assurance: Assurance::Mutual,
            called: Some("lamp".to_owned()),
            certificate: Some(CredentialId("01".to_owned())),
            certified_by: Vec::new(),
            at: at(3),
            confirmed_at: None,
        }),
        updated_at: at(3),
    };
    let first = access(1, 0, connector(1));
    let second = access(2, 0, passphrase());
    let foreign = access(3, 1, passphrase());
    store
        .commit(puts([
            wifi::Change::PutStanding(Box::new(standing.clone())),
            wifi::Change::PutAccess(Box::new(first.clone())),
            wifi::Change::PutAccess(Box::new(second.clone())),
            wifi::Change::PutAccess(Box::new(foreign.clone())),
        ]))
        .await
        .unwrap();
    let holdings = store.holdings(id(0)).await.unwrap();
    assert_eq!(holdings.standing, Some(standing.clone()));
    assert_eq!(holdings.access, [first.clone(), second.clone()]);
    let by_key = store
        .connector_by_key(hash("net access key", 1))
        .await
        .unwrap();
    assert_eq!(by_key, Some(first.clone()));
    assert_eq!(store.connector_by_key(Digest::ZERO).await.unwrap(), None);
    for name in ["home", "office"] {
        assert!(store.network_in_use(name).await.unwrap(), "{name}");
        let unused = wifi::Guard::NetworkUnused {
            name: name.to_owned(),
        };
        changed(conflict(store.commit(asks(unused)).await), name);
    }
    assert!(!store.network_in_use("other").await.unwrap());
    // One id is one credential.
    let twice = puts([wifi::Change::PutAccess(Box::new(first.clone()))]);
    assert!(matches!(
        conflict(store.commit(twice).await),
        Conflict::Exists(_)
    ));

    // A passphrase opens its network while its device is onboarded, and only then.
    let in_force = |after: Option<CredentialId>| {
        let store = store.clone();
        async move {
            let found = store.passphrases_in_force("home", after.as_ref(), 9).await;
            found.unwrap().rows
        }
    };
    assert_eq!(in_force(None).await, [], "claimed is not in");
    for (state, expected) in [
        (State::Onboarded, vec![second.clone()]),
        (State::Quarantined, vec![]),
        (State::Onboarded, vec![second.clone()]),
    ] {
        let device = read(&store, 0).await;
        store.commit(change(&device, state)).await.unwrap();
        assert_eq!(in_force(None).await, expected, "{state}");
    }
    let device = read(&store, 1).await;
    store
        .commit(change(&device, State::Onboarded))
        .await
        .unwrap();
    assert_eq!(in_force(None).await, [second.clone(), foreign.clone()]);
    assert_eq!(
        in_force(Some(second.id.clone())).await,
        std::slice::from_ref(&foreign)
    );

    let active = |access: &AccessCredential| wifi::Guard::AccessActive {
        id: access.id.clone(),
    };
    store.commit(asks(active(&second))).await.unwrap();
    let set = |access: &AccessCredential, status| wifi::Change::SetAccessStatus {
        id: access.id.clone(),
        status,
    };
    let revoked = CredentialStatus::Revoked {
        reason: RevocationReason::AffiliationChanged,
        at: at(9),
    };
    store
        .commit(puts([
            set(&first, CredentialStatus::Superseded),
            set(&second, revoked),
            wifi::Change::ConfirmAccess {
                id: foreign.id.clone(),
                at: at(8),
            },
        ]))
        .await
        .unwrap();
    changed(
        conflict(store.commit(asks(active(&second))).await),
        "revoked",
    );
    assert_eq!(in_force(None).await.len(), 1);
    let superseded = AccessCredential {
        status: CredentialStatus::Superseded,
        ..first
    };
    let holdings = store.holdings(id(0)).await.unwrap();
    assert_eq!(
        holdings.access,
        std::slice::from_ref(&superseded),
        "revoked ones are not held"
    );
    let active = store.active_holdings(id(0)).await.unwrap();
    assert_eq!(
        (active.standing, active.access),
        (holdings.standing, vec![])
    );
    let all = store.access_credentials(id(0)).await.unwrap();
    assert_eq!(
        all,
        [
            superseded,
            AccessCredential {
                status: revoked,
                ..second
            }
        ]
    );
    let confirmed = store.holdings(id(1)).await.unwrap().access;
    assert_eq!(confirmed[0].confirmed_at, Some(at(8)));
    let unknown = wifi::Change::SetAccessStatus {
        id: CredentialId("nobody".to_owned()),
        status: CredentialStatus::Superseded,
    };
    changed(conflict(store.commit(puts([unknown])).await), "unknown");

    // Released: nothing is meant or given any more, and the networks are free.
    let nothing = Standing::nothing(id(0), at(10));
    store
        .commit(puts([
            wifi::Change::PutStanding(Box::new(nothing)),
            set(&foreign, revoked),
        ]))
        .await
        .unwrap();
    for name in ["home", "office"] {
        assert!(!store.network_in_use(name).await.unwrap(), "{name}");
        let unused = wifi::Guard::NetworkUnused {
            name: name.to_owned(),
        };
        store.commit(asks(unused)).await.unwrap();
    }
    store.close().await;
}

/// A lost race undoes only its own commit, also after something was written.
pub(crate) async fn of_two_claims_for_one_key_exactly_one_wins(backend: &Backend) {
    let store = backend.open().await;
    with_devices(&store, 2).await;
    for round in 0..10 {
        let claim = |of: usize| {
            let key = key(100 + round, of);
            let mut commit = puts([put_key(key.clone())]);
            commit.guards.push(Guard::Wifi(wifi::Guard::KeyVersion {
                id: key.id,
                expected: 0,
            }));
            commit
        };
        let (one, other) = tokio::join!(store.commit(claim(0)), store.commit(claim(1)));
        assert_eq!(
            u8::from(one.is_ok()) + u8::from(other.is_ok()),
            1,
            "{one:?} {other:?}"
        );
        let winner = if one.is_ok() { id(0) } else { id(1) };
        let lost = if one.is_err() { one } else { other };
        changed(conflict(lost), round);
        let kept = store
            .bootstrapping_key(hash("bootstrapping key", 100 + round))
            .await
            .unwrap();
        assert_eq!(kept.unwrap().device, winner);
    }
    assert!(store.verify_journals().await.unwrap().is_sound());
    store.close().await;
}

/// However often a device was configured, what it has now is found, and with it everything that counts.
pub(crate) async fn what_counts_is_found_behind_a_long_past(backend: &Backend) {
    const PAST: usize = 1100;
    let store = backend.open().await;
    with_devices(&store, 1).await;
    let connector = |number: usize| AccessKind::Connector {
        net_access_key_sha256: hash("access", number),
        signed_by: "kid".to_owned(),
    };
    let put = |number: usize, status| {
        let access = AccessCredential {
            status,
            ..access(number, 0, connector(number))
        };
        wifi::Change::PutAccess(Box::new(access))
    };
    let mut changes: Vec<_> = (0..PAST)
        .map(|number| put(number, CredentialStatus::Superseded))
        .collect();
    changes.push(put(PAST, CredentialStatus::Active));
    store.commit(puts(changes)).await.unwrap();
    let certificates = (0..=PAST).map(|number| {
        let mut one = credential(number, 0, hash("certified", number));
        if number < PAST {
            one.not_after = at(i64::try_from(number).unwrap());
            one.status = CredentialStatus::Superseded;
        }
        Change::PutCredential(Box::new(one))
    });
    let commit = Commit {
        changes: certificates.collect(),
        ..Commit::default()
    };
    store.commit(commit).await.unwrap();

    let last = CredentialId(format!("{PAST:032x}"));
    let active = store.active_holdings(id(0)).await.unwrap().access;
    assert_eq!(active.len(), 1);
    assert_eq!(active[0].id, last);
    let held = store.holdings(id(0)).await.unwrap().access;
    assert_eq!(held.last().unwrap().id, last);
    assert!(held.is_sorted_by_key(|access| access.issued_at));
    let now = at(i64::try_from(PAST).unwrap());
    let counting = store.credentials_that_count(id(0), now).await.unwrap();
    assert_eq!(counting.len(), 1);
    assert_eq!(counting[0].id, last);
    let all = store.credentials(id(0)).await.unwrap();
    assert_eq!(all.last().unwrap().id, last);
}
