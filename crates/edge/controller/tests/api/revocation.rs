//! What others learn of a credential that was taken back.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use vouchsafe_api::{
    Code, CredentialFilter, CredentialState, DeviceState, PageQuery, Reasoned, RevocationReason,
    Revoke, Role,
};
use vouchsafe_controller::config::Config;
use vouchsafe_fleet::admission::{self, GateCredential};
use vouchsafe_fleet::decide::{self, ClaimFacts};
use vouchsafe_fleet::{
    Actor, ActorKind, Change, Commit, Credential, CredentialId, CredentialStatus, Digest, State,
};
use vouchsafe_trust::{
    Certificate, CertificateId, CertificateStatus, Crl, Name, OcspRequest, OcspResponse, Profile,
    Validity, oid,
};

use crate::world::{Maker, World, code, new_key};

const SERIALS: [&str; 3] = ["A-1", "A-2", "A-3"];

/// A site with three devices; the last one's certificate is in no record.
async fn world() -> (World, Vec<Certificate>) {
    world_with(|_| {}).await
}

/// The same with another configuration.
pub async fn world_with(configure: impl FnOnce(&mut Config)) -> (World, Vec<Certificate>) {
    world_in(configure, None).await
}

/// The same, where the devices are meant for a segment.
pub async fn world_in(
    configure: impl FnOnce(&mut Config),
    segment: Option<&str>,
) -> (World, Vec<Certificate>) {
    let maker = Maker::new("Maker");
    let mut issued = Vec::new();
    let world = World::prepared(configure, async |home, store| {
        let commit = Commit {
            changes: vec![Change::PutManufacturer(Box::new(maker.trusted()))],
            ..Commit::default()
        };
        store.commit(commit).await.unwrap();
        for (number, serial) in SERIALS.iter().enumerate() {
            let now = Timestamp::now();
            let actor = Actor::new(ActorKind::Person, "test");
            let outcome = decide::claim(&ClaimFacts {
                now,
                actor: &actor,
                owner: home.owner,
                manufacturer: maker.id,
                serial,
                model: None,
                segment,
                idevid_sha256: None,
                existing: None,
            });
            let mut device = outcome.accepted().unwrap().unwrap().clone();
            store.commit(outcome.commit).await.unwrap();
            device.state = State::Onboarded;
            device.version += 1;
            let key = new_key();
            let subject = Name::new(&[(oid::SERIAL_NUMBER, serial)]).unwrap();
            let not_before = now - SignedDuration::from_hours(1);
            let not_after = now + SignedDuration::from_hours(24);
            let certificate = home
                .authority
                .issue(
                    &Profile::ldevid(subject, Vec::new()),
                    key.public_key(),
                    &[0x40 + number as u8; 16],
                    Validity::new(not_before, not_after),
                )
                .unwrap();
            let credential = Credential {
                id: CredentialId(certificate.serial_hex()),
                device: device.id,
                certificate_der: certificate.der().to_vec(),
                spki_sha256: Digest(key.public_key().sha256()),
                request_sha256: Digest::of(serial.as_bytes()),
                not_before,
                not_after,
                status: CredentialStatus::Active,
                issued_at: now,
                confirmed_at: None,
            };
            let commit = Commit {
                changes: vec![
                    Change::PutCredential(Box::new(credential)),
                    Change::PutDevice(Box::new(device)),
                ],
                ..Commit::default()
            };
            if number < 2 {
                store.commit(commit).await.unwrap();
            }
            issued.push(certificate);
        }
    })
    .await;
    (world, issued)
}

fn revoke() -> Revoke {
    Revoke {
        revocation_reason: RevocationReason::KeyCompromise,
        reason: "the box was opened".to_owned(),
    }
}

async fn crl(world: &World) -> Crl {
    let response = world
        .raw(Method::GET, "/pki/domain.crl", None, &[], "")
        .await;
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        "application/pkix-crl"
    );
    let crl = Crl::from_der(response.body()).unwrap();
    let authority = &world.anchors.certificates()[0];
    crl.clone().verify(authority, Timestamp::now()).unwrap();
    crl
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_credential_stands_in_the_list_and_in_ocsp_at_once() {
    let (world, issued) = world().await;
    let admin = world.admin();
    let before = crl(&world).await;
    assert!(before.is_empty());
    let again = crl(&world).await;
    assert_eq!(again.der(), before.der(), "nothing new, nothing signed");

    let id = issued[0].serial_hex();
    let operator = world.role(Role::Operator).await;
    let revoked = operator.revoke_credential(&id, &revoke()).await.unwrap();
    assert_eq!(revoked.state, CredentialState::Revoked);
    assert_eq!(
        revoked.revocation_reason,
        Some(RevocationReason::KeyCompromise)
    );
    let twice = operator.revoke_credential(&id, &revoke()).await;
    assert_eq!(code(twice), Code::LifecycleRefused);

    let after = crl(&world).await;
    assert_eq!(after.len(), 1);
    assert!(after.entry(issued[0].serial()).is_some());
    assert!(after.entry(issued[1].serial()).is_none());
    assert!(after.number() > before.number());

    let filter = CredentialFilter {
        device: None,
        state: Some(CredentialState::Revoked),
    };
    let listed = admin
        .list_credentials(&filter, &PageQuery::default())
        .await
        .unwrap();
    let reached = revoked.enforcement.as_ref().unwrap();
    assert!(reached.crl_number.is_some());
    let revoked = vouchsafe_api::Credential {
        enforcement: None,
        ..revoked
    };
    assert_eq!(listed.items, [revoked]);
    let page = PageQuery {
        limit: Some(1),
        after: None,
    };
    let first = admin
        .list_credentials(&CredentialFilter::default(), &page)
        .await
        .unwrap();
    let page = PageQuery {
        limit: Some(1),
        after: first.next,
    };
    let second = admin
        .list_credentials(&CredentialFilter::default(), &page)
        .await
        .unwrap();
    assert_ne!(first.items, second.items);
    assert_eq!(code(admin.show_credential("zz").await), Code::NotFound);
    assert!(admin.verify_journal().await.unwrap().ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn ocsp_answers_for_this_domain_and_for_no_other() {
    let (world, issued) = world().await;
    let authority = &world.anchors.certificates()[0];
    let admin = world.admin();
    let device = admin
        .show_credential(&issued[0].serial_hex())
        .await
        .unwrap()
        .device;
    admin.revoke_device(&device, &revoke(), None).await.unwrap();
    // The same once more changes nothing.
    admin.revoke_device(&device, &revoke(), None).await.unwrap();

    let ask = async |certificate: &Certificate| {
        let nonce = [7; 32];
        let id = CertificateId::new(certificate.serial(), authority);
        let request = OcspRequest::build(&id, Some(&nonce));
        let kind = [(header::CONTENT_TYPE, "application/ocsp-request")];
        let by_post = world
            .raw(Method::POST, "/pki/ocsp", None, &kind, request.clone())
            .await;
        let path = STANDARD
            .encode(&request)
            .replace('/', "%2F")
            .replace('+', "%2B")
            .replace('=', "%3D");
        let by_get = world
            .raw(Method::GET, &format!("/pki/ocsp/{path}"), None, &[], "")
            .await;
        let [posted, got] = [by_post, by_get].map(|response| {
            assert_eq!(response.status(), StatusCode::OK);
            let kind = &response.headers()[header::CONTENT_TYPE];
            assert_eq!(kind, "application/ocsp-response");
            let response = OcspResponse::parse(response.body()).unwrap();
            *response
                .verify(certificate, authority, Some(&nonce), Timestamp::now())
                .unwrap()
        });
        assert_eq!(posted, got);
        posted
    };
    let revoked = ask(&issued[0]).await;
    assert!(
        matches!(revoked, CertificateStatus::Revoked { .. }),
        "{revoked:?}"
    );
    assert_eq!(ask(&issued[1]).await, CertificateStatus::Good);
    assert_eq!(ask(&issued[2]).await, CertificateStatus::Unknown);

    let other = Maker::new("Other");
    let foreign = CertificateId::new(&[1; 16], other.authority.certificate());
    for (request, expected) in [
        (OcspRequest::build(&foreign, None), 6),
        (b"no request".to_vec(), 1),
        (Vec::new(), 1),
    ] {
        let response = world
            .raw(Method::POST, "/pki/ocsp", None, &[], request)
            .await;
        assert_eq!(&response.body()[..], [0x30, 3, 0x0a, 1, expected]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_kept_apart_keeps_its_credential_and_one_that_retires_does_not() {
    let (world, issued) = world().await;
    let operator = world.role(Role::Operator).await;
    let id = issued[0].serial_hex();
    let device = operator.show_credential(&id).await.unwrap().device;
    let why = Reasoned {
        reason: "odd traffic".to_owned(),
    };
    let apart = operator
        .quarantine_device(&device, &why, None)
        .await
        .unwrap();
    assert_eq!(apart.state, DeviceState::Quarantined);
    assert_eq!(apart.reason.as_deref(), Some("odd traffic"));
    let kept = operator.show_credential(&id).await.unwrap();
    assert_eq!(kept.state, CredentialState::Active);
    let back = operator.restore_device(&device, &why, None).await.unwrap();
    assert_eq!((back.state, back.reason), (DeviceState::Onboarded, None));
    operator.retire_device(&device, &why, None).await.unwrap();
    let gone = operator.show_credential(&id).await.unwrap();
    assert_eq!(
        gone.revocation_reason,
        Some(RevocationReason::CessationOfOperation)
    );
    assert_eq!(crl(&world).await.len(), 1);
    let journal = operator.device_journal(&device, 0).await.unwrap();
    let actions: Vec<&str> = journal
        .entries
        .iter()
        .map(|entry| entry.action.as_str())
        .collect();
    assert_eq!(
        actions,
        [
            "claimed",
            "quarantined",
            "restored",
            "retired",
            "credential-revoked"
        ]
    );
    assert!(operator.verify_journal().await.unwrap().ok);
}

/// However many certificates of gates were revoked, the list names each one.
#[tokio::test(flavor = "multi_thread")]
async fn every_revoked_certificate_of_a_gate_stands_in_the_list() {
    const MANY: u32 = 2_100;
    let world = World::prepared(
        |_| {},
        async |_, store| {
            let now = Timestamp::now();
            let gone = |number: u32| GateCredential {
                id: CredentialId(format!("7f{number:06x}")),
                gate: "hall".to_owned(),
                sha256: Digest::of(&number.to_be_bytes()),
                not_after: now + SignedDuration::from_hours(24),
                revoked_at: Some(now - SignedDuration::from_secs(i64::from(number))),
            };
            let put = |number| {
                let gone = Box::new(gone(number));
                Change::Admission(admission::Change::PutGateCredential(gone))
            };
            let commit = Commit {
                changes: (0..MANY).map(put).collect(),
                ..Commit::default()
            };
            store.commit(commit).await.unwrap();
        },
    )
    .await;
    for _ in 0..2 {
        let list = crl(&world).await;
        assert_eq!(list.len(), MANY as usize);
        let [first, last] =
            [0, MANY - 1].map(|number| [[0x7f].as_slice(), &number.to_be_bytes()[1..]].concat());
        assert!(list.entry(&first).is_some() && list.entry(&last).is_some());
    }
}
