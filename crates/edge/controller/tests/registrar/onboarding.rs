//! The way of a device that belongs here, and that nothing on it happens twice.

use axum::http::header;
use jiff::{SignedDuration, Timestamp};
use vouchsafe_brski::pledge::{NoncelessVouchers, VoucherRules, verify_voucher};
use vouchsafe_brski::{Compatibility, Encoding, PATH_ENROLL_STATUS, PATH_VOUCHER_STATUS, est};
use vouchsafe_fleet::decide::{self, ApprovalFacts, WishKind, approval_id};
use vouchsafe_fleet::{
    Action, Change, Commit, CredentialStatus, Digest, Outcome, State as Life, Subject,
    VoucherRecord, VoucherStatus,
};
use vouchsafe_trust::{Anchors, PathRules, Usage, verify_path};

use crate::world::{
    ACCEPTED, Birth, SERIAL, World, admin, ask, assert_answer, csr, csr_of, enroll, fetch,
    fresh_nonce, new_key, said, send,
};

/// RFC 8995 §5.2 to §5.9.4 and RFC 7030 §4: every step, in each encoding, checked as the device
/// would.
#[tokio::test]
async fn a_device_onboards() {
    for encoding in Encoding::ALL {
        let world = World::new().await;
        let birth = world.maker.device(SERIAL);
        let mut line = world.connect(Some(&birth)).await;
        let nonce = fresh_nonce(encoding);
        let request = world.signed_request(&birth, &line, &nonce, encoding);
        let answer = ask(&mut line, &request, encoding).await;
        assert_eq!(answer.status(), 200, "{}", said(&answer));
        assert_eq!(
            answer.headers()[header::CONTENT_TYPE],
            encoding.media_type()
        );
        let voucher = verify_voucher(
            answer.body(),
            encoding,
            &VoucherRules {
                masa: &world.maker.masa.anchors(),
                idevid: &birth.chain[0],
                nonce: Some(&nonce),
                now: Some(world.now()),
                skew: SignedDuration::from_mins(5),
                nonceless: NoncelessVouchers::WithClock,
                compatibility: &Compatibility::default(),
            },
        )
        .unwrap();
        let ca = world.controller.authority.certificate();
        assert_eq!(voucher.pinned_domain_cert.as_deref(), Some(ca.der()));
        let answer = send(&mut line, PATH_VOUCHER_STATUS, "application/json", ACCEPTED).await;
        assert_eq!(answer.status(), 200, "{}", said(&answer));

        let answer = fetch(&mut line, "/.well-known/est/cacerts").await;
        let authorities = est::parse_certs_only(answer.body()).unwrap();
        assert_eq!(authorities, std::slice::from_ref(ca));
        let answer = fetch(&mut line, "/.well-known/est/csrattrs").await;
        assert_eq!(
            answer.headers()[header::CONTENT_TYPE],
            "application/csrattrs"
        );
        let key = new_key();
        let answer = enroll(&mut line, "simpleenroll", &csr(SERIAL, &*key)).await;
        assert_eq!(answer.status(), 200, "{}", said(&answer));
        let chain = est::parse_certs_only(answer.body()).unwrap();
        let rules = PathRules::strict(world.now(), Usage::TlsClient);
        let path = verify_path(&chain[0], &[], &Anchors::one(ca.clone()), &rules);
        assert_eq!(
            path.unwrap().leaf().unwrap().subject_serial_number(),
            Some(SERIAL)
        );
        assert_eq!(chain[0].public_key(), key.public_key());

        let ldevid = Birth { chain, signer: key };
        let mut line = world.connect(Some(&ldevid)).await;
        for _ in 0..2 {
            let answer = send(&mut line, PATH_ENROLL_STATUS, "application/json", ACCEPTED).await;
            assert_eq!(answer.status(), 200, "{}", said(&answer));
        }

        let state = world.state(SERIAL).await;
        assert_eq!(state.device.unwrap().state, Life::Onboarded);
        assert_eq!(state.vouchers.len(), 1);
        assert_eq!(state.vouchers[0].status, VoucherStatus::Accepted);
        assert_eq!(state.credentials.len(), 1);
        assert!(state.credentials[0].confirmed_at.is_some());
        assert_eq!(world.maker.masa.asked(), 1);
        assert_eq!(
            world.actions(SERIAL).await,
            [
                Action::Claimed,
                Action::OnboardingStarted,
                Action::VoucherRequested,
                Action::VoucherObtained,
                Action::VoucherAccepted,
                Action::CredentialIssued,
                Action::EnrolmentConfirmed,
            ]
        );
        world.assert_sound().await;
    }
}

/// RFC 8995 §5.6: a device that lost the answer sends the same bytes again, on the same or on
/// another connection, and gets the same voucher; the MASA is asked once.
#[tokio::test]
async fn a_lost_answer_is_given_again() {
    for encoding in Encoding::ALL {
        let world = World::new().await;
        let birth = world.maker.device(SERIAL);
        let (mut line, request) = world.request(&birth, encoding).await;
        let first = ask(&mut line, &request, encoding).await;
        assert_eq!(first.status(), 200, "{}", said(&first));
        let position = world.controller.store.position();
        let mut other = world.connect(Some(&birth)).await;
        for line in [&mut line, &mut other] {
            let again = ask(line, &request, encoding).await;
            assert_eq!(again.status(), 200, "{}", said(&again));
            assert_eq!(again.body(), first.body());
            assert_eq!(again.headers()[header::CONTENT_TYPE], encoding.media_type());
        }
        assert_eq!(world.maker.masa.asked(), 1);
        assert_eq!(
            world.controller.store.position(),
            position,
            "nothing was written"
        );
    }
}

/// A person answers what the device waits for.
pub(crate) async fn settle(world: &World, how: fn(&ApprovalFacts<'_>) -> Outcome<VoucherRecord>) {
    let store = &world.controller.store;
    let device = store.device(world.id(SERIAL)).await.unwrap().unwrap();
    let record = store.oldest_waiting(device.id, Timestamp::UNIX_EPOCH);
    let record = record.await.unwrap();
    let outcome = how(&ApprovalFacts {
        now: world.now(),
        actor: &admin(),
        device: &device,
        record: record.as_ref(),
        segment: None,
        comment: Some("looked at the label"),
    });
    assert!(outcome.refusal().is_none());
    world.controller.commit(outcome.commit).await.unwrap();
}

/// What the device wishes besides, and what waits for a person, is no word about its voucher.
#[tokio::test]
async fn a_wish_that_waits_does_not_hide_the_voucher() {
    let world = World::new().await;
    let birth = world.maker.device(SERIAL);
    let (mut line, request) = world.request(&birth, Encoding::CmsJson).await;
    let answer = ask(&mut line, &request, Encoding::CmsJson).await;
    assert_eq!(answer.status(), 200, "{}", said(&answer));
    let store = &world.controller.store;
    let voucher = store.latest_voucher(world.id(SERIAL)).await.unwrap();
    let voucher = voucher.unwrap();
    let later = voucher.requested_at + SignedDuration::from_secs(1);
    for kind in WishKind::ALL {
        let (id, request_sha256) = approval_id(kind, voucher.device, Digest([7; 32]));
        let wish = VoucherRecord {
            id,
            request_sha256,
            nonce: None,
            status: VoucherStatus::AwaitingApproval,
            assertion: None,
            media_type: kind.media_type().to_owned(),
            voucher: None,
            requested_at: later,
            updated_at: later,
            version: 1,
            ..voucher.clone()
        };
        let commit = Commit {
            changes: vec![Change::PutVoucher(Box::new(wish))],
            ..Commit::default()
        };
        world.controller.commit(commit).await.unwrap();
    }
    let answer = send(&mut line, PATH_VOUCHER_STATUS, "application/json", ACCEPTED).await;
    assert_eq!(answer.status(), 200, "{}", said(&answer));
    let answer = enroll(&mut line, "simpleenroll", &csr(SERIAL, &*new_key())).await;
    assert_eq!(answer.status(), 200, "{}", said(&answer));
}

/// RFC 8995 §5.6: 202 and Retry-After until a person has decided; the MASA hears nothing before.
#[tokio::test]
async fn a_device_waits_until_a_person_approves() {
    let world = World::with(|config| config.policy.ask_a_person = true).await;
    let birth = world.maker.device(SERIAL);
    let (mut line, request) = world.request(&birth, Encoding::CmsJson).await;
    for _ in 0..3 {
        let answer = ask(&mut line, &request, Encoding::CmsJson).await;
        assert_answer(&answer, 202, "approval-required");
        let wait: u32 = answer.headers()[header::RETRY_AFTER]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((1..=60).contains(&wait));
    }
    assert_eq!(
        world.actions(SERIAL).await,
        [Action::Claimed, Action::ApprovalAsked]
    );
    assert_eq!(world.maker.masa.asked(), 0);
    let key = new_key();
    let answer = enroll(&mut line, "simpleenroll", &csr(SERIAL, &*key)).await;
    assert_answer(&answer, 403, "no-voucher-yet");

    settle(&world, decide::approve).await;
    let answer = ask(&mut line, &request, Encoding::CmsJson).await;
    assert_eq!(answer.status(), 200, "{}", said(&answer));
    assert_eq!(world.maker.masa.asked(), 1);
    let answer = enroll(&mut line, "simpleenroll", &csr(SERIAL, &*key)).await;
    assert_eq!(answer.status(), 200, "{}", said(&answer));
    world.assert_sound().await;
}

/// The owner's no is final for this request, and the MASA hears nothing.
#[tokio::test]
async fn a_device_that_a_person_turned_down_is_refused() {
    let world = World::with(|config| config.policy.ask_a_person = true).await;
    let birth = world.maker.device(SERIAL);
    let (mut line, request) = world.request(&birth, Encoding::CmsJson).await;
    let answer = ask(&mut line, &request, Encoding::CmsJson).await;
    assert_answer(&answer, 202, "approval-required");
    settle(&world, decide::deny_approval).await;
    let before = world.before(SERIAL).await;
    let answer = ask(&mut line, &request, Encoding::CmsJson).await;
    world
        .assert_refused(&before, &answer, 403, "approval-denied")
        .await;
    assert_eq!(world.maker.masa.asked(), 0);
}

/// RFC 8995 §5.6: a request waits for four days at most.
#[tokio::test]
async fn a_request_that_waited_for_more_than_four_days_is_refused() {
    let world = World::with(|config| config.policy.ask_a_person = true).await;
    let birth = world.maker.device(SERIAL);
    let (mut line, request) = world.request(&birth, Encoding::CmsJson).await;
    let answer = ask(&mut line, &request, Encoding::CmsJson).await;
    assert_answer(&answer, 202, "approval-required");
    world
        .clock
        .advance(std::time::Duration::from_secs(4 * 86_400 + 60));
    let before = world.before(SERIAL).await;
    let answer = ask(&mut line, &request, Encoding::CmsJson).await;
    world
        .assert_refused(&before, &answer, 403, "pending-too-long")
        .await;
}

/// RFC 7030 §4.2.2: renewal with the present credential and a new key.
#[tokio::test]
async fn a_device_renews_its_credential() {
    let world = World::new().await;
    let old = world.onboarded(&world.maker.device(SERIAL)).await;
    let mut line = world.connect(Some(&old)).await;
    let key = new_key();
    let request = csr_of(&old.chain[0], &*key);
    let answer = enroll(&mut line, "simplereenroll", &request).await;
    assert_eq!(answer.status(), 200, "{}", said(&answer));
    let chain = est::parse_certs_only(answer.body()).unwrap();
    assert_eq!(chain[0].public_key(), key.public_key());
    assert_ne!(chain[0].serial_hex(), old.chain[0].serial_hex());
    let state = world.state(SERIAL).await;
    let status = |leaf: &vouchsafe_trust::Certificate| {
        let own =
            |credential: &&vouchsafe_fleet::Credential| credential.certificate_der == leaf.der();
        state.credentials.iter().find(own).unwrap().status
    };
    assert_eq!(state.credentials.len(), 2);
    assert_eq!(status(&old.chain[0]), CredentialStatus::Superseded);
    assert_eq!(status(&chain[0]), CredentialStatus::Active);
    assert_eq!(
        world.actions(SERIAL).await.last(),
        Some(&Action::CredentialRenewed)
    );

    // The answer was lost: the old credential may ask again, until the new one was used.
    let again = enroll(&mut line, "simplereenroll", &request).await;
    assert_eq!(est::parse_certs_only(again.body()).unwrap(), chain);
    let new = Birth { chain, signer: key };
    let mut fresh = world.connect(Some(&new)).await;
    let answer = send(&mut fresh, PATH_ENROLL_STATUS, "application/json", ACCEPTED).await;
    assert_eq!(answer.status(), 200, "{}", said(&answer));
    let before = world.before(SERIAL).await;
    let answer = enroll(
        &mut line,
        "simplereenroll",
        &csr_of(&old.chain[0], &*new_key()),
    )
    .await;
    world
        .assert_refused(&before, &answer, 403, "credential-superseded")
        .await;
    assert_eq!(world.maker.masa.asked(), 1, "no voucher for a renewal");
    world.assert_sound().await;
}

/// A device that forgot everything but its birth begins anew.
#[tokio::test]
async fn a_device_onboards_again_after_a_factory_reset() {
    let world = World::new().await;
    let birth = world.maker.device(SERIAL);
    let first = world.onboarded(&birth).await;
    let second = world.onboarded(&birth).await;
    assert_ne!(first.chain, second.chain);
    let state = world.state(SERIAL).await;
    assert_eq!(state.device.unwrap().state, Life::Onboarded);
    assert_eq!(state.vouchers.len(), 2);
    let active: Vec<_> = state
        .credentials
        .iter()
        .filter(|credential| credential.status == CredentialStatus::Active)
        .collect();
    assert_eq!(active.len(), 1);
    assert_eq!(active[0].certificate_der, second.chain[0].der());
    assert!(
        world
            .actions(SERIAL)
            .await
            .contains(&Action::OnboardingRestarted)
    );
    assert_eq!(world.maker.masa.asked(), 2);
    world.assert_sound().await;
}

/// Nothing is issued twice: the same CSR gets the same certificate, also on another connection.
#[tokio::test]
async fn the_same_certificate_request_gets_the_same_certificate() {
    let world = World::new().await;
    let birth = world.maker.device(SERIAL);
    let mut line = world.with_voucher(&birth).await;
    let request = csr(SERIAL, &*new_key());
    let first = enroll(&mut line, "simpleenroll", &request).await;
    assert_eq!(first.status(), 200, "{}", said(&first));
    let position = world.controller.store.position();
    let mut other = world.connect(Some(&birth)).await;
    for line in [&mut line, &mut other] {
        let again = enroll(line, "simpleenroll", &request).await;
        assert_eq!(again.status(), 200, "{}", said(&again));
        assert_eq!(again.body(), first.body());
    }
    assert_eq!(world.state(SERIAL).await.credentials.len(), 1);
    assert_eq!(
        world.controller.store.position(),
        position,
        "nothing was written"
    );
    let chain = world.journal(Subject::Device(world.id(SERIAL))).await;
    let issued = chain
        .iter()
        .filter(|entry| entry.action == Action::CredentialIssued);
    assert_eq!(issued.count(), 1);
}

/// RFC 8995 §5.7: the same report twice says nothing new, and one about nothing is refused.
#[tokio::test]
async fn a_report_is_written_down_once_and_only_when_it_is_about_something() {
    let world = World::new().await;
    let birth = world.maker.device(SERIAL);
    let mut line = world.connect(Some(&birth)).await;
    let before = world.before(SERIAL).await;
    let answer = send(&mut line, PATH_VOUCHER_STATUS, "application/json", ACCEPTED).await;
    world
        .assert_refused(&before, &answer, 404, "nothing-pending")
        .await;
    for (report, code, entries) in [
        (&b"{"[..], "telemetry-malformed", 0),
        (&[b' '; 20_000], "too-large", 1),
    ] {
        let position = world.controller.store.position();
        let answer = send(&mut line, PATH_VOUCHER_STATUS, "application/json", report).await;
        assert!(said(&answer).starts_with(code), "{}", said(&answer));
        assert!(answer.status().is_client_error());
        assert_eq!(world.controller.store.position(), position + entries);
    }
    let mut line = world.with_voucher(&birth).await;
    let position = world.controller.store.position();
    let answer = send(&mut line, PATH_VOUCHER_STATUS, "application/json", ACCEPTED).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(world.controller.store.position(), position);
}
