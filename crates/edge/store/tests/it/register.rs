//! What is kept in the registers, and reads back as it was written.

use vouchsafe_fleet::audit::{AuditEvent, AuditTruncation};
use vouchsafe_fleet::claim::{Claim, ClaimSubject};
use vouchsafe_fleet::commit::{Change, Guard, PolicyRecord, Sighting};
use vouchsafe_fleet::credential::{CredentialStatus, RevocationReason};
use vouchsafe_fleet::{
    Commit, Digest, IdevidRules, Manufacturer, ManufacturerTrust, Owner, Ownership, OwnershipBasis,
    Role, Token, TokenId,
};
use vouchsafe_store::{Conflict, Holder, Revocation};

use crate::engine::Backend;
use crate::fixture::{MANUFACTURER, OWNER, at, credential, id, key, serial, with_devices};
use crate::scenario::{conflict, puts};

pub(crate) async fn registers_are_read_back(backend: &Backend) {
    let store = backend.open().await;
    with_devices(&store, 1).await;
    let manufacturer = Manufacturer {
        id: MANUFACTURER,
        name: "Acme".to_owned(),
        anchors: vec![vec![1, 2]],
        masa_url: Some("masa.example.com".to_owned()),
        masa_anchors: Vec::new(),
        trust: ManufacturerTrust::VoucherRequired,
        idevid_rules: IdevidRules::default(),
        version: 1,
        created_at: at(0),
        updated_at: at(0),
    };
    let put = |expected| Commit {
        guards: vec![Guard::ManufacturerVersion {
            id: MANUFACTURER,
            expected,
        }],
        changes: vec![Change::PutManufacturer(Box::new(manufacturer.clone()))],
        entries: Vec::new(),
    };
    store.commit(put(0)).await.unwrap();
    assert_eq!(
        conflict(store.commit(put(0)).await),
        Conflict::ManufacturerVersion
    );
    assert_eq!(
        store.manufacturer(MANUFACTURER).await.unwrap(),
        Some(manufacturer.clone())
    );
    store.commit(put(1)).await.unwrap();
    let listed = store.manufacturers(None, 10).await.unwrap();
    assert_eq!((listed.len(), listed[0].version), (1, 2));
    assert_eq!(
        store.manufacturers(Some(MANUFACTURER), 10).await.unwrap(),
        []
    );

    let owner = Owner {
        id: OWNER,
        name: "Site".to_owned(),
        domain_ca_der: Some(vec![5]),
        blocked: None,
        created_at: at(0),
        updated_at: at(0),
    };
    let token = Token {
        id: TokenId([3; 16]),
        name: "admin".to_owned(),
        role: Role::Admin,
        secret_sha256: Digest::of(b"secret"),
        created_at: at(0),
        expires_at: None,
        revoked_at: None,
    };
    let claim = |kind: &str, value: &str| Claim {
        issuer: "Acme".to_owned(),
        subject: ClaimSubject::Device { id: id(0) },
        kind: kind.to_owned(),
        value: serde_json::Value::String(value.to_owned()),
        strength: vouchsafe_fleet::Strength::Stated,
        issued_at: at(0),
        expires_at: Some(at(10)),
        evidence: None,
        signature: None,
    };
    let policy = |since| PolicyRecord {
        id: Digest::of(b"policy"),
        text: format!("package p{since}"),
        since: at(since),
        by: "admin".to_owned(),
    };
    let stranger = |number: usize, seconds| Sighting {
        device: id(number),
        manufacturer: None,
        serial: serial(number),
        at: at(seconds),
        expires_at: at(seconds + 10),
    };
    let ownership = |since, until: Option<i64>| Ownership {
        device: id(0),
        owner: OWNER,
        basis: OwnershipBasis::Sale,
        since: at(since),
        until: until.map(at),
    };
    let changes = vec![
        Change::PutOwner(Box::new(owner.clone())),
        Change::PutToken(Box::new(token.clone())),
        Change::PutClaim(Box::new(claim("model", "old"))),
        Change::PutClaim(Box::new(claim("model", "new"))),
        Change::PutClaim(Box::new(claim("known", "yes"))),
        Change::PutPolicy(Box::new(policy(1))),
        Change::PutPolicy(Box::new(policy(2))),
        Change::PutSighting(stranger(40, 0)),
        Change::PutSighting(stranger(41, 30)),
        Change::PutOwnership(ownership(0, None)),
        Change::PutOwnership(ownership(0, Some(4))),
        Change::PutOwnership(ownership(5, None)),
    ];
    store.commit(puts(changes)).await.unwrap();
    assert_eq!(store.owner(OWNER).await.unwrap(), Some(owner.clone()));
    assert_eq!(store.owners(None, 9).await.unwrap(), [owner]);
    assert_eq!(
        store.token_by_secret(Digest::of(b"secret")).await.unwrap(),
        Some(token.clone())
    );
    assert_eq!(
        store.token_by_secret(Digest::of(b"other")).await.unwrap(),
        None
    );
    assert_eq!(store.token(token.id).await.unwrap(), Some(token.clone()));
    assert_eq!(
        store.tokens(None, 9).await.unwrap(),
        std::slice::from_ref(&token)
    );
    let claims = store
        .claims(&ClaimSubject::Device { id: id(0) }, 10)
        .await
        .unwrap();
    assert_eq!(claims, [claim("known", "yes"), claim("model", "new")]);
    assert_eq!(store.policy().await.unwrap(), Some(policy(2)));
    assert_eq!(store.policies(Some(at(2)), 9).await.unwrap(), [policy(1)]);
    assert_eq!(
        store.sighting(id(40), at(35)).await.unwrap(),
        None,
        "forgotten"
    );
    assert_eq!(
        store.sighting(id(41), at(35)).await.unwrap(),
        Some(stranger(41, 30))
    );
    assert_eq!(
        store.sighting(id(41), at(41)).await.unwrap(),
        None,
        "expired"
    );
    assert_eq!(store.sightings_count(at(35), 1000).await.unwrap(), 1);
    assert_eq!(
        store.sightings(at(35), 9).await.unwrap(),
        [stranger(41, 30)]
    );
    assert_eq!(
        store.current_ownership(id(0)).await.unwrap(),
        Some(ownership(5, None))
    );
    let history = store.ownerships(id(0)).await.unwrap();
    assert_eq!(history, [ownership(0, Some(4)), ownership(5, None)]);
    let sold = Commit {
        guards: vec![Guard::CurrentOwner {
            device: id(0),
            expected: Some(OWNER),
        }],
        ..Commit::default()
    };
    store.commit(sold).await.unwrap();
    // Another token with the same secret cannot be.
    let twin = Token {
        id: TokenId([4; 16]),
        ..token
    };
    let result = store
        .commit(puts(vec![Change::PutToken(Box::new(twin))]))
        .await;
    assert!(matches!(conflict(result), Conflict::Exists(_)));

    let first = credential(1, 0, key(60));
    let second = credential(2, 0, key(61));
    let revoked = CredentialStatus::Revoked {
        reason: RevocationReason::KeyCompromise,
        at: at(3),
    };
    store
        .commit(puts(vec![
            Change::PutCredential(Box::new(first.clone())),
            Change::PutCredential(Box::new(second.clone())),
            Change::SetCredentialStatus {
                id: first.id.clone(),
                status: revoked,
            },
            Change::ConfirmCredential {
                id: second.id.clone(),
                at: at(4),
            },
        ]))
        .await
        .unwrap();
    let first = vouchsafe_fleet::Credential {
        status: revoked,
        ..first
    };
    let second = vouchsafe_fleet::Credential {
        confirmed_at: Some(at(4)),
        ..second
    };
    assert_eq!(
        store.credentials(id(0)).await.unwrap(),
        [first.clone(), second.clone()]
    );
    assert_eq!(
        store
            .counting_or_answering(id(0), second.request_sha256, at(9))
            .await
            .unwrap(),
        std::slice::from_ref(&second)
    );
    assert_eq!(
        store
            .counting_or_answering(id(0), first.request_sha256, at(9))
            .await
            .unwrap(),
        [first.clone(), second.clone()],
        "an answer stays one when it counts no more"
    );
    let counting = store.credentials_that_count(id(0), at(9)).await.unwrap();
    assert_eq!(counting, std::slice::from_ref(&second));
    let over = store.credentials_that_count(id(0), second.not_after).await;
    assert_eq!(over.unwrap(), []);
    assert_eq!(
        store.credential(&second.id).await.unwrap(),
        Some(second.clone())
    );
    assert_eq!(
        store.credential_by_spki(key(61)).await.unwrap(),
        Some(second)
    );
    let listed = store.revocations(Holder::Device, None, 9).await.unwrap();
    let revocation = Revocation {
        id: first.id.clone(),
        at: at(3),
        reason: RevocationReason::KeyCompromise,
        not_after: first.not_after,
    };
    assert_eq!(listed, [revocation]);
    let behind = store.revocations(Holder::Device, Some((at(3), &first.id)), 9);
    assert_eq!(behind.await.unwrap(), []);
    assert_eq!(store.integrity().await.unwrap(), Vec::<String>::new());
    assert!(store.disk_usage().await.unwrap() > 0);
    store.close().await;
}

pub(crate) async fn claims_that_ran_out_hide_no_others(backend: &Backend) {
    let store = backend.open().await;
    with_devices(&store, 2).await;
    let claim = |number: usize, issuer: &str, kind: &str, end: Option<i64>| Claim {
        issuer: issuer.to_owned(),
        subject: ClaimSubject::Device { id: id(number) },
        kind: kind.to_owned(),
        value: true.into(),
        strength: vouchsafe_fleet::Strength::Stated,
        issued_at: at(0),
        expires_at: end.map(at),
        evidence: None,
        signature: None,
    };
    let maker = ClaimSubject::Manufacturer { id: MANUFACTURER };
    let of_maker = Claim {
        subject: maker.clone(),
        ..claim(0, "Acme", "deny", None)
    };
    let mut stays = vec![
        claim(0, "Acme", "a", Some(1)),
        claim(0, "person", "b", Some(20)),
        claim(0, "person", "c", None),
    ];
    let ended = [
        claim(0, "person", "a", Some(1)),
        claim(0, "person", "d", Some(10)),
    ];
    let elsewhere = claim(1, "person", "a", Some(1));
    let all = stays.iter().chain(&ended).chain([&elsewhere, &of_maker]);
    let put = all.map(|claim| Change::PutClaim(Box::new(claim.clone())));
    store.commit(puts(put.collect())).await.unwrap();

    let here = ClaimSubject::Device { id: id(0) };
    let count = async |now| store.claims_count(&here, "person", at(now)).await.unwrap();
    assert_eq!((count(0).await, count(9).await, count(10).await), (4, 3, 2));
    // Those that have run out take nobody's place.
    let about = async |limit| {
        let read = store.claims_about(id(0), std::slice::from_ref(&maker), at(10), limit);
        let read = read.await.unwrap();
        let kinds: Vec<String> = read.claims.into_iter().map(|claim| claim.kind).collect();
        (kinds.concat(), read.is_whole)
    };
    assert_eq!(about(3).await, ("bcdeny".to_owned(), true));
    assert_eq!(about(2).await, ("bc".to_owned(), false));

    let again = claim(0, "person", "e", Some(10));
    let forget = Change::ForgetClaims {
        subject: here.clone(),
        issuer: "person".to_owned(),
        ended_by: at(10),
    };
    let changes = vec![Change::PutClaim(Box::new(again)), forget];
    store.commit(puts(changes)).await.unwrap();
    stays.sort_by(|one, other| one.kind.cmp(&other.kind));
    assert_eq!(store.claims(&here, 10).await.unwrap(), stays);
    let there = ClaimSubject::Device { id: id(1) };
    assert_eq!(store.claims(&there, 10).await.unwrap(), [elsewhere]);
    let found = async |kind| store.claim(&here, kind, "person").await.unwrap();
    assert_eq!(found("b").await, Some(stays[1].clone()));
    assert_eq!(found("a").await, None);
    store.close().await;
}

pub(crate) async fn the_audit_log_is_kept_and_truncated(backend: &Backend) {
    let store = backend.open().await;
    let event = |seconds, nonce: Option<&str>| AuditEvent {
        device: id(0),
        at: at(seconds),
        domain_id: "ZG9tYWlu".to_owned(),
        nonce: nonce.map(str::to_owned),
        assertion: "logged".to_owned(),
        truncated: 0,
    };
    let events = [event(1, Some("a")), event(2, None), event(3, Some("c"))];
    store
        .commit(puts(
            events.iter().cloned().map(Change::AppendAudit).collect(),
        ))
        .await
        .unwrap();
    let none = AuditTruncation::default();
    assert_eq!(
        store.audit_log(id(0)).await.unwrap(),
        (events.to_vec(), none)
    );
    let counters = AuditTruncation {
        nonced_duplicates: 1,
        nonceless_duplicates: 1,
        arbitrary: 0,
    };
    let newest = event(4, Some("d"));
    let truncate = Change::TruncateAudit {
        device: id(0),
        drop: vec![events[0].clone(), events[1].clone()],
        counters,
    };
    store
        .commit(puts(vec![truncate, Change::AppendAudit(newest.clone())]))
        .await
        .unwrap();
    let kept = vec![events[2].clone(), newest];
    assert_eq!(store.audit_log(id(0)).await.unwrap(), (kept, counters));
    store.close().await;
}
