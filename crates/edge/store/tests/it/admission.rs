//! What network admission keeps.

use vouchsafe_fleet::admission::{
    self, AddressGrant, ClaimedAddress, GateCredential, MacAddress, Session,
};
use vouchsafe_fleet::commit::{Change, Guard};
use vouchsafe_fleet::wifi::{self, Network};
use vouchsafe_fleet::{Commit, CredentialId, Digest};
use vouchsafe_store::{Holder, SessionFilter};

use crate::engine::Backend;
use crate::fixture::{at, id, with_devices};
use crate::wifi::network;

fn credential(number: i64, revoked: bool) -> GateCredential {
    GateCredential {
        id: CredentialId(format!("{number:04x}")),
        gate: "hall".to_owned(),
        sha256: Digest::of(&number.to_be_bytes()),
        not_after: at(1_000_000),
        // Several in the same moment, and the later numbers earlier.
        revoked_at: revoked.then(|| at(100 - number / 4)),
    }
}

pub(crate) async fn revocations_of_gates_are_read_page_by_page(backend: &Backend) {
    let store = backend.open().await;
    let put = |credential: GateCredential| {
        Change::Admission(admission::Change::PutGateCredential(Box::new(credential)))
    };
    let changes = (0..30).map(|number| put(credential(number, number % 3 > 0)));
    let commit = Commit {
        changes: changes.collect(),
        ..Commit::default()
    };
    store.commit(commit).await.unwrap();
    let mut seen = Vec::new();
    loop {
        let after = seen
            .last()
            .map(|last: &vouchsafe_store::Revocation| (last.at, &last.id));
        let page = store.revocations(Holder::Gate, after, 7).await.unwrap();
        let is_last = page.len() < 7;
        seen.extend(page);
        if is_last {
            break;
        }
    }
    let mut expected: Vec<_> = (0..30)
        .map(|number| credential(number, number % 3 > 0))
        .filter_map(|it| it.revoked_at.map(|at| (at, it.id)))
        .collect();
    expected.sort();
    let seen: Vec<_> = seen.into_iter().map(|it| (it.at, it.id)).collect();
    assert_eq!(seen, expected);
    store.close().await;
}

/// A device that comes in by an address has its segment from policy.
pub(crate) async fn a_segment_is_in_use_where_an_address_leads(backend: &Backend) {
    let store = backend.open().await;
    with_devices(&store, 1).await;
    let address = |version, segment: Option<&str>| ClaimedAddress {
        mac: MacAddress([2, 0, 0, 0, 0, 1]),
        device: id(0),
        by: "test".to_owned(),
        conflict: None,
        grant: segment.map(|segment| AddressGrant {
            segment: Some(segment.to_owned()),
            expires_at: at(100),
            despite_credential: false,
        }),
        reasons: Vec::new(),
        claimed_at: at(0),
        updated_at: at(0),
        version,
    };
    let put = |address| {
        let change = admission::Change::PutAddress(Box::new(address));
        Commit {
            changes: vec![Change::Admission(change)],
            ..Commit::default()
        }
    };
    store.commit(put(address(1, Some("lamps")))).await.unwrap();
    assert!(store.segment_in_use("lamps").await.unwrap());
    store.commit(put(address(2, None))).await.unwrap();
    assert!(!store.segment_in_use("lamps").await.unwrap());
    store.close().await;
}

/// Of a network that leads to a segment and the removal of that segment, decided at the same moment,
/// one is decided anew.
pub(crate) async fn a_segment_does_not_go_while_a_network_comes(backend: &Backend) {
    let store = backend.open().await;
    for round in 0..20 {
        let name = format!("lamps-{round}");
        let segment = admission::Segment {
            name: name.clone(),
            vlan: None,
            reach: None,
            version: 1,
            created_at: at(0),
            updated_at: at(0),
        };
        let put = admission::Change::PutSegment(Box::new(segment));
        let put = Commit {
            changes: vec![Change::Admission(put)],
            ..Commit::default()
        };
        store.commit(put).await.unwrap();
        let network = Network {
            name: format!("network-{round}"),
            segment: Some(name.clone()),
            ..network("home", 1)
        };
        let coming = Commit {
            guards: vec![Guard::Admission(admission::Guard::SegmentVersion {
                name: name.clone(),
                expected: 1,
            })],
            changes: vec![Change::Wifi(wifi::Change::PutNetwork(Box::new(network)))],
            entries: Vec::new(),
        };
        let unused = admission::Guard::SegmentUnused { name: name.clone() };
        let removal = admission::Change::RemoveSegment {
            name: name.clone(),
            expected: 1,
        };
        let going = Commit {
            guards: vec![Guard::Admission(unused)],
            changes: vec![Change::Admission(removal)],
            entries: Vec::new(),
        };
        let (coming, going) = if round % 2 == 0 {
            tokio::join!(store.commit(coming), store.commit(going))
        } else {
            let (going, coming) = tokio::join!(store.commit(going), store.commit(coming));
            (coming, going)
        };
        assert!(coming.is_ok() != going.is_ok(), "{coming:?} {going:?}");
        let is_there = store.segment(&name).await.unwrap().is_some();
        assert_eq!(is_there, coming.is_ok());
        assert_eq!(store.segment_in_use(&name).await.unwrap(), coming.is_ok());
    }
    store.close().await;
}

/// A gate that begins anew ends what it told before, whatever it called its ports, and nothing else.
pub(crate) async fn what_is_open_of_a_gate_is_ended(backend: &Backend) {
    let store = backend.open().await;
    with_devices(&store, 1).await;
    let session = |name: &str, gate: &str, ended: Option<i64>| Session {
        id: name.to_owned(),
        gate: gate.to_owned(),
        device: id(0),
        credential: None,
        station: None,
        access_point: "port \",\"ended\":null,\"\0".to_owned(),
        segment: None,
        since: at(1),
        until: at(50),
        seen: at(2),
        ended: ended.map(at),
        octets: (1, u64::MAX),
    };
    let told = [
        session("a", "hall", None),
        session("b", "hall", Some(20)),
        session("c", "attic", None),
    ];
    let put = |session: &Session| {
        let change = admission::Change::PutSession(Box::new(session.clone()));
        Change::Admission(change)
    };
    let commit = |changes: Vec<Change>| Commit {
        changes,
        ..Commit::default()
    };
    let changes = told.iter().map(put).collect();
    store.commit(commit(changes)).await.unwrap();
    let end = admission::Change::EndSessions {
        gate: "hall".to_owned(),
        at: at(30),
    };
    store
        .commit(commit(vec![Change::Admission(end)]))
        .await
        .unwrap();
    let [mut first, second, third] = told;
    first.ended = Some(at(30));
    assert_eq!(store.session("a").await.unwrap(), Some(first.clone()));
    let open = store.open_sessions(id(0), "hall").await.unwrap();
    assert_eq!(open, []);
    let open = store.open_sessions(id(0), "attic").await.unwrap();
    assert_eq!(open, std::slice::from_ref(&third));
    let all = store.sessions(&SessionFilter::default(), None, 9).await;
    assert_eq!(all.unwrap(), [first.clone(), second, third]);
    // Three counters at their end are no sum, and no reason to refuse the report.
    let presence = store.presence(id(0)).await.unwrap().unwrap();
    assert_eq!(presence.octets_to, i64::MAX.cast_unsigned());
    // Told again by its gate, it goes on.
    first.ended = None;
    store.commit(commit(vec![put(&first)])).await.unwrap();
    assert_eq!(store.session("a").await.unwrap(), Some(first));
    store.close().await;
}

/// What a device was seen doing outlives its sessions, and is read with what is claimed of it.
pub(crate) async fn what_was_seen_is_added_up_and_claimed(backend: &Backend) {
    let store = backend.open().await;
    with_devices(&store, 1).await;
    let tell = async |session: &str, device: usize, seen: i64, octets: (u64, u64)| {
        let session = Session {
            id: session.to_owned(),
            gate: "hall".to_owned(),
            device: id(device),
            credential: None,
            station: None,
            access_point: format!("port \"{seen}\""),
            segment: None,
            since: at(seen - 5),
            until: at(seen + 5),
            seen: at(seen),
            ended: None,
            octets,
        };
        let change = admission::Change::PutSession(Box::new(session));
        let commit = Commit {
            changes: vec![Change::Admission(change)],
            ..Commit::default()
        };
        store.commit(commit).await.unwrap();
    };
    tell("a", 0, 100, (10, 1)).await;
    tell("a", 0, 200, (15, 2)).await;
    // A counter that fell, another session, one that is told late, and a device that nobody knows.
    tell("a", 0, 210, (3, 0)).await;
    tell("b", 0, 300, (7, 7)).await;
    tell("c", 0, 50, (1, 0)).await;
    tell("d", 9, 400, (1, 1)).await;
    let presence = store.presence(id(0)).await.unwrap().unwrap();
    assert_eq!((presence.first_seen, presence.last_seen), (at(45), at(300)));
    assert_eq!((presence.octets_from, presence.octets_to), (23, 9));
    assert_eq!(presence.place.access_point, "port \"300\"");
    assert!(store.presence(id(9)).await.unwrap().is_none());
    let about = store.claims_about(id(0), &[], at(0), 100).await.unwrap();
    let kinds: Vec<&str> = about
        .claims
        .iter()
        .map(|claim| claim.kind.as_str())
        .collect();
    assert_eq!(kinds, ["first-seen", "last-seen", "octets", "place"]);
    assert_eq!(about.claims, presence.claims(id(0)));
    assert!(about.is_whole);
    store.close().await;
}
