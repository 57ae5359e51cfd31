//! The MASA over TLS: vouchers in each encoding, and every refusal towards a registrar.

use bytes::Bytes;
use http::Request;
use jiff::SignedDuration;
use vouchsafe_brski::audit::{AuditLog, domain_id};
use vouchsafe_brski::registrar::RegistrarRequest;
use vouchsafe_brski::{
    Assertion, Encoding, Nonce, PATH_REQUEST_AUDIT_LOG, PATH_REQUEST_VOUCHER, idevid,
};
use vouchsafe_fleet::decide::OwnershipPolicy;
use vouchsafe_fleet::{Subject, VoucherStatus};
use vouchsafe_manufacturer::Factory;
use vouchsafe_manufacturer::masa::PATH_REVOCATION_LIST;
use vouchsafe_trust::{CrlContent, RevocationReason, RevokedCertificate, Validity, oid};

use crate::world::{Device, Domain, World, fresh_nonce, now, years};

const CMS: Encoding = Encoding::CmsJson;

#[tokio::test]
async fn the_owner_gets_a_voucher_in_each_encoding_that_its_device_accepts() {
    let world = World::new().await;
    let domain = Domain::new("Harbour Hotel");
    let device = world.sold("A-1", &domain).await;
    let masa = world.serve().await;
    for encoding in Encoding::ALL {
        let nonce = fresh_nonce(encoding);
        let request = world.request_with(&device, &domain, encoding, &nonce);
        let answer = masa.voucher(&domain, encoding, request).await;
        assert_eq!(answer.status(), 200, "{encoding:?}: {answer:?}");
        assert_eq!(answer.media_type(), encoding.media_type());
        let voucher = world
            .at_device(&device, answer.body(), encoding, Some(&nonce))
            .unwrap();
        assert_eq!(voucher.assertion, Assertion::Proximity);
        let pinned = voucher.pinned_domain_cert.as_deref();
        assert_eq!(pinned, Some(domain.authority.certificate().der()));
    }
    assert_eq!(
        world.journal("A-1").await,
        [
            "provisioned",
            "sold",
            "voucher-issued",
            "voucher-issued",
            "voucher-issued"
        ]
    );
    masa.stop().await;
}

/// RFC 8995 §5.6: a lost answer may be asked for again; the same bytes come back.
#[tokio::test]
async fn the_same_request_again_gets_the_same_voucher_also_after_a_restart() {
    let world = World::new().await;
    let domain = Domain::new("Harbour Hotel");
    let device = world.sold("A-1", &domain).await;
    let request = world.request(&device, &domain, CMS);
    let masa = world.serve().await;
    let first = masa.voucher(&domain, CMS, request.clone()).await;
    assert_eq!(first.status(), 200);
    masa.stop().await;
    let world = world.reopen().await;
    let masa = world.serve().await;
    let second = masa.voucher(&domain, CMS, request.clone()).await;
    assert_eq!(first.body(), second.body());
    assert_eq!(world.journal("A-1").await.len(), 3);
    // The request has its own age, shorter than the answer is kept.
    world.clock.advance(std::time::Duration::from_secs(3_700));
    masa.voucher(&domain, CMS, request)
        .await
        .refused(403, "request-stale");
}

/// RFC 8995 §5.5.4: the signer's certificate must say that it is a registration authority.
#[tokio::test]
async fn a_registrar_without_cmcra_is_refused() {
    let world = World::new().await;
    let domain = Domain::with(
        "Hotel",
        |profile| {
            profile
                .extended_key_usages
                .retain(|usage| *usage != oid::CMC_RA)
        },
        years(2),
    );
    let device = world.sold("A-1", &domain).await;
    let masa = world.serve().await;
    let request = world.request(&device, &domain, CMS);
    masa.voucher(&domain, CMS, request)
        .await
        .refused(403, "registrar-without-cmcra");
    refused_without_trace(&world, "registrar-without-cmcra").await;
}

/// RFC 8995 §5.5.3.
#[tokio::test]
async fn an_expired_registrar_is_refused() {
    let world = World::new().await;
    let day = SignedDuration::from_hours(24);
    let past = Validity::new(now() - day * 30, now() - day);
    let domain = Domain::with("Hotel", |_| {}, past);
    let device = world.sold("A-1", &domain).await;
    let masa = world.serve().await;
    let request = world.request(&device, &domain, CMS);
    let path = PATH_REQUEST_VOUCHER;
    masa.ask(path, None, CMS, request)
        .await
        .refused(403, "registrar-expired");
    refused_without_trace(&world, "registrar-expired").await;
}

/// RFC 8995 §5.5.3: the owner hands in its list, and from then on it counts, also after a restart.
#[tokio::test]
async fn a_revoked_registrar_is_refused() {
    let world = World::new().await;
    let domain = Domain::new("Hotel");
    let device = world.sold("A-1", &domain).await;
    let masa = world.serve().await;
    let request = world.request(&device, &domain, CMS);
    assert_eq!(masa.voucher(&domain, CMS, request).await.status(), 200);

    let list = revocation_list(&domain, &domain, 1);
    let upload = |list: Vec<u8>| {
        Request::post(PATH_REVOCATION_LIST)
            .header("content-type", "application/pkix-crl")
            .body(Bytes::from(list))
            .unwrap()
    };
    let stranger = revocation_list(&Domain::new("Hotel"), &domain, 9);
    assert_eq!(masa.send(None, upload(stranger)).await.status(), 403);
    assert_eq!(masa.send(None, upload(list)).await.status(), 200);

    let request = world.request(&device, &domain, CMS);
    masa.voucher(&domain, CMS, request)
        .await
        .refused(403, "registrar-revoked");
    refused_without_trace(&world, "registrar-revoked").await;
    masa.stop().await;
    let world = world.reopen().await;
    let masa = world.serve().await;
    let request = world.request(&device, &domain, CMS);
    masa.voucher(&domain, CMS, request)
        .await
        .refused(403, "registrar-revoked");
    // Another registrar of the same owner is not touched.
    let other = Domain::of("Hotel", domain.authority.clone(), |_| {}, years(1));
    let request = world.request(&device, &other, CMS);
    assert_eq!(masa.voucher(&other, CMS, request).await.status(), 200);
}

/// The server drops what it did for a client that hangs up; the list is on disk by then.
#[tokio::test]
async fn a_revocation_list_is_in_force_also_if_who_brought_it_hangs_up() {
    let world = World::new().await;
    let domain = Domain::new("Hotel");
    let owner = world.owner(&domain).await.id;
    let list = revocation_list(&domain, &domain, 1);
    let (owners, now) = (&world.factory.owners, world.clock.now());
    {
        let mut taking = std::pin::pin!(owners.take_revocation_list(&list, now));
        std::future::poll_fn(|context| {
            let _hangs_up = taking.as_mut().poll(context);
            std::task::Poll::Ready(())
        })
        .await;
    }
    assert!(!owners.take_revocation_list(&list, now).await.unwrap());
    assert!(owners.known(owner).unwrap().crl.is_some());
}

/// A list that cannot be read is not none: whoever it revoked would pass.
#[tokio::test]
async fn a_revocation_list_that_is_damaged_is_named_and_nobody_is_served() {
    let world = World::new().await;
    let domain = Domain::new("Hotel");
    let owner = world.owner(&domain).await.id;
    let list = revocation_list(&domain, &domain, 1);
    let (owners, now) = (&world.factory.owners, world.clock.now());
    assert!(owners.take_revocation_list(&list, now).await.unwrap());
    world.factory.close().await;
    let file = world.dir().join(format!("crls/{owner}.crl"));
    std::fs::write(&file, &list[..list.len() / 2]).unwrap();
    let open = async || Factory::open(&world.dir(), world.clock.clone()).await;
    let error = open().await.unwrap_err().to_string();
    assert!(error.contains(&format!("{owner}.crl")), "{error}");
    std::fs::write(&file, &list).unwrap();
    open().await.unwrap().close().await;
}

/// Who once had a device has a request of it, and may sign it anew for ever; the device's journal goes to each
/// buyer whole.
#[tokio::test]
async fn a_stranger_who_asks_without_end_fills_no_journal() {
    let world = World::new().await;
    let (domain, other) = (Domain::new("Hotel"), Domain::new("Museum"));
    let device = world.sold("A-1", &domain).await;
    let masa = world.serve().await;
    for _ in 0..40 {
        let request = world.request(&device, &other, CMS);
        masa.voucher(&other, CMS, request)
            .await
            .refused(403, "other-owner");
    }
    let refused = world.journal("A-1").await.len() - 2;
    assert_eq!(refused, 10);
    let request = world.request(&device, &domain, CMS);
    assert_eq!(masa.voucher(&domain, CMS, request).await.status(), 200);
}

/// RFC 8995 §5.5.3, where the manufacturer insists: who says where its revocation can be looked up
/// must have handed the list in.
#[tokio::test]
async fn a_registrar_that_points_to_a_list_which_is_not_here_is_refused_where_lists_are_required() {
    let world = World::with(|config| config.vouchers.require_revocation_list = true).await;
    let points = |profile: &mut vouchsafe_trust::Profile| {
        profile.crl_urls.push("http://hotel.example/crl".to_owned());
    };
    let domain = Domain::with("Hotel", points, years(2));
    let device = world.sold("A-1", &domain).await;
    let masa = world.serve().await;
    let request = world.request(&device, &domain, CMS);
    masa.voucher(&domain, CMS, request)
        .await
        .refused(403, "revocation-unknown");
    let list = revocation_list(&domain, &Domain::new("Elsewhere"), 1);
    let (owners, now) = (&world.factory.owners, world.clock.now());
    assert!(owners.take_revocation_list(&list, now).await.unwrap());
    assert!(!owners.take_revocation_list(&list, now).await.unwrap());
    let request = world.request(&device, &domain, CMS);
    assert_eq!(masa.voucher(&domain, CMS, request).await.status(), 200);
    let plain = Domain::new("Museum");
    let device = world.sold("B-1", &plain).await;
    let request = world.request(&device, &plain, CMS);
    assert_eq!(masa.voucher(&plain, CMS, request).await.status(), 200);
}

fn revocation_list(issuer: &Domain, revoked: &Domain, number: u64) -> Vec<u8> {
    let list = issuer.authority.crl(&CrlContent {
        number,
        this_update: now(),
        next_update: now() + SignedDuration::from_hours(24),
        entries: &[RevokedCertificate {
            serial: revoked.chain[0].serial().to_vec(),
            at: now(),
            reason: RevocationReason::KeyCompromise,
        }],
    });
    list.unwrap().der().to_vec()
}

/// RFC 8995 §5.5.5: the device's own request inside must be signed by a device of ours.
#[tokio::test]
async fn a_forged_device_request_inside_is_refused() {
    let world = World::new().await;
    let domain = Domain::new("Hotel");
    world.sold("A-1", &domain).await;
    let maker = World::new().await;
    let stranger = maker.device("A-1").await;
    let masa = world.serve().await;
    // The other maker's device has the same serial number, and its registrar believes it.
    let request = maker.request(&stranger, &domain, CMS);
    masa.voucher(&domain, CMS, request)
        .await
        .refused(404, "prior-request-untrusted");
    refused_without_trace(&world, "prior-request-untrusted").await;
}

/// RFC 8995 §5.5.5: another device of ours cannot ask in its place.
#[tokio::test]
async fn a_device_that_asks_for_another_is_refused() {
    let world = World::new().await;
    let domain = Domain::new("Hotel");
    world.sold("A-1", &domain).await;
    let other = world.sold("A-2", &domain).await;
    let masa = world.serve().await;
    let pledge = world.pledge(&other, &domain, CMS, &fresh_nonce(CMS));
    let honest = RegistrarRequest::for_pledge(&pledge, world.clock.now());
    let signed = world.sign(&honest, &domain);
    let content = vouchsafe_trust::cms::parse(&signed)
        .unwrap()
        .content()
        .to_vec();
    let mut content: serde_json::Value = serde_json::from_slice(&content).unwrap();
    content["ietf-voucher-request:voucher"]["serial-number"] = "A-1".into();
    let forged = vouchsafe_trust::cms::sign(
        content.to_string().as_bytes(),
        &vouchsafe_trust::cms::SignOptions {
            content_type: vouchsafe_trust::cms::ID_CT_ANIMA_JSON_VOUCHER,
            certificates: &domain.chain,
            signing_time: None,
        },
        &*domain.signer,
    )
    .unwrap();
    masa.voucher(&domain, CMS, forged)
        .await
        .refused(403, "prior-serial-mismatch");
    refused_without_trace(&world, "prior-serial-mismatch").await;
}

/// RFC 8995 §5.5.5: somebody stands between device and registrar.
#[tokio::test]
async fn a_device_that_saw_another_registrar_is_refused() {
    let world = World::new().await;
    let (domain, rogue) = (Domain::new("Hotel"), Domain::new("Rogue"));
    let device = world.sold("A-1", &domain).await;
    let masa = world.serve().await;
    let pledge = world.pledge(&device, &domain, CMS, &fresh_nonce(CMS));
    let request = world.sign(
        &RegistrarRequest::for_pledge(&pledge, world.clock.now()),
        &rogue,
    );
    masa.voucher(&rogue, CMS, request)
        .await
        .refused(403, "proximity-mismatch");
}

/// RFC 8995 §5.5.4 and the manufacturer's policy.
#[tokio::test]
async fn another_owner_an_unsold_device_and_a_stranger_are_refused() {
    let world = World::new().await;
    let (domain, other) = (Domain::new("Hotel"), Domain::new("Museum"));
    let device = world.sold("A-1", &domain).await;
    world.owner(&other).await;
    let unsold = world.device("A-2").await;
    let masa = world.serve().await;

    let request = world.request(&device, &other, CMS);
    masa.voucher(&other, CMS, request)
        .await
        .refused(403, "other-owner");
    assert_eq!(
        world.journal("A-1").await,
        ["provisioned", "sold", "request-refused other-owner"]
    );
    let request = world.request(&unsold, &domain, CMS);
    masa.voucher(&domain, CMS, request)
        .await
        .refused(403, "not-sold");
    let stranger = Domain::new("Nobody");
    let request = world.request(&unsold, &stranger, CMS);
    masa.voucher(&stranger, CMS, request)
        .await
        .refused(404, "owner-unknown");
    let device = world.factory.device("A-1").await.unwrap();
    assert!(
        world
            .factory
            .store
            .vouchers(device.id)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_blocked_owner_and_a_device_that_went_back_are_refused() {
    let world = World::new().await;
    let domain = Domain::new("Hotel");
    let device = world.sold("A-1", &domain).await;
    let owner = world.owner(&domain).await;
    let actor = crate::world::actor();
    let masa = world.serve().await;
    let blocked = world.factory.block_owner(&actor, &owner, Some("unpaid"));
    blocked.await.unwrap();
    let request = world.request(&device, &domain, CMS);
    masa.voucher(&domain, CMS, request)
        .await
        .refused(403, "owner-blocked");
    let served = world.factory.block_owner(&actor, &owner, None);
    served.await.unwrap();
    let order = vouchsafe_manufacturer::ReleaseBy::Order {
        serial: "A-1",
        reason: "returned",
    };
    world.factory.release(&actor, order).await.unwrap();
    let request = world.request(&device, &domain, CMS);
    masa.voucher(&domain, CMS, request)
        .await
        .refused(403, "not-sold");
}

/// Of two owners that ask at the same moment for a device that comes to the first, one gets it.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_owners_who_race_exactly_one_wins_and_the_other_learns_why() {
    let world = World::with(|config| config.ownership.policy = OwnershipPolicy::FirstCome).await;
    let masa = world.serve().await;
    for round in 0..8 {
        let serial = format!("R-{round}");
        let device = world.device(&serial).await;
        let (one, two) = (Domain::new("One"), Domain::new("Two"));
        let first = world.request(&device, &one, CMS);
        let second = world.request(&device, &two, CMS);
        let (first, second) = tokio::join!(
            masa.voucher(&one, CMS, first),
            masa.voucher(&two, CMS, second)
        );
        let (winner, loser, owner) = match first.status() {
            200 => (first, second, one.id()),
            _ => (second, first, two.id()),
        };
        assert_eq!(winner.status(), 200);
        loser.refused(403, "other-owner");
        let row = world.factory.device(&serial).await.unwrap();
        assert_eq!(row.owner, Some(owner));
        let vouchers = world.factory.store.vouchers(row.id).await.unwrap();
        assert_eq!(vouchers.len(), 1);
        assert_eq!(vouchers[0].status, VoucherStatus::Issued);
    }
    let report = world.factory.store.verify_journals().await.unwrap();
    assert!(report.is_sound(), "{report:?}");
}

/// RFC 8995 §10.1: a MASA that keeps no owners gives a voucher to each, and each sees the others.
#[tokio::test]
async fn audit_only_tells_each_who_else_asked() {
    let world = World::with(|config| {
        config
            .ownership
            .models
            .insert("lamp".to_owned(), OwnershipPolicy::AuditOnly);
    })
    .await;
    let device = world.device("A-1").await;
    let (one, two) = (Domain::new("One"), Domain::new("Two"));
    let masa = world.serve().await;
    for domain in [&one, &two] {
        let request = world.request(&device, domain, CMS);
        assert_eq!(masa.voucher(domain, CMS, request).await.status(), 200);
    }
    let request = world.request(&device, &one, CMS);
    let answer = masa.audit_log(&one, CMS, request).await;
    assert_eq!(answer.media_type(), "application/json");
    let log = AuditLog::from_json(answer.body()).unwrap();
    assert_eq!(log.events.len(), 2);
    let own = [domain_id(one.authority.certificate())];
    let findings = log.judge(&own);
    assert_eq!(findings.own_events, 1);
    assert_eq!(
        findings.other_domains,
        [domain_id(two.authority.certificate())]
    );
    assert!(log.events.iter().all(|event| event.nonce.is_some()));
}

/// RFC 8995 §5.8: 404 for a device that is not ours, and for who never owned it.
#[tokio::test]
async fn the_audit_log_is_for_present_and_former_owners_only() {
    let world = World::new().await;
    let (domain, other) = (Domain::new("Hotel"), Domain::new("Museum"));
    let device = world.sold("A-1", &domain).await;
    world.owner(&other).await;
    let masa = world.serve().await;
    let request = world.request(&device, &domain, CMS);
    assert_eq!(
        masa.voucher(&domain, CMS, request.clone()).await.status(),
        200
    );
    // The registrar sends the very request that it sent for the voucher.
    let log = masa.audit_log(&domain, CMS, request).await;
    assert_eq!(AuditLog::from_json(log.body()).unwrap().events.len(), 1);
    let request = world.request(&device, &other, CMS);
    masa.audit_log(&other, CMS, request)
        .await
        .refused(404, "never-owner");
    // Former owners may still ask.
    let order = vouchsafe_manufacturer::ReleaseBy::Order {
        serial: "A-1",
        reason: "returned",
    };
    let actor = crate::world::actor();
    world.factory.release(&actor, order).await.unwrap();
    let request = world.request(&device, &domain, CMS);
    assert_eq!(masa.audit_log(&domain, CMS, request).await.status(), 200);
}

/// RFC 8995 §5.5.1, §5.5.4: without nonce only for a known owner on an authenticated connection,
/// and only where configured; RFC 8366 §5.3: it ends; RFC 8366bis §10.1: it can be renewed.
#[tokio::test]
async fn nonceless_vouchers_are_for_authenticated_owners_and_are_renewed() {
    let world = World::with(|config| config.vouchers.nonceless = true).await;
    let domain = Domain::new("Hotel");
    let device = world.sold("A-1", &domain).await;
    let masa = world.serve().await;
    let issuer = Some(idevid::issuer(&device.chain[0]));
    let ask = |at| RegistrarRequest::nonceless("A-1", issuer.clone(), at, None, CMS);
    let request = world.sign(&ask(now()), &domain);
    masa.ask(PATH_REQUEST_VOUCHER, None, CMS, request.clone())
        .await
        .refused(406, "registrar-unauthenticated");
    let stranger = Domain::new("Hotel");
    masa.voucher(&stranger, CMS, world.sign(&ask(now()), &stranger))
        .await
        .refused(406, "registrar-unauthenticated");
    let answer = masa.voucher(&domain, CMS, request).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    let voucher = world.at_device(&device, answer.body(), CMS, None).unwrap();
    let end = voucher.expires_on.unwrap();
    assert_eq!(end, now() + SignedDuration::from_hours(24 * 14));

    world.clock.advance(std::time::Duration::from_secs(86_400));
    let renewal = RegistrarRequest::renewal(&voucher, answer.body(), world.clock.now(), CMS);
    let renewed = masa
        .voucher(&domain, CMS, world.sign(&renewal, &domain))
        .await;
    assert_eq!(renewed.status(), 200, "{renewed:?}");
    let renewed = world.at_device(&device, renewed.body(), CMS, None).unwrap();
    assert!(renewed.expires_on.unwrap() > end);
}

/// RFC 8995 §5.5, RFC 8366bis §6.1: no device's request inside says whose it is, so the record does.
#[tokio::test]
async fn an_issuer_that_is_not_the_devices_gets_into_no_voucher() {
    let world = World::with(|config| config.vouchers.nonceless = true).await;
    let domain = Domain::new("Hotel");
    let device = world.sold("A-1", &domain).await;
    let elsewhere = World::new().await.device("A-1").await;
    let masa = world.serve().await;
    let issuer = |device: &Device| Some(idevid::issuer(&device.chain[0]));
    let ask = |issuer, at| RegistrarRequest::nonceless("A-1", issuer, at, None, CMS);
    let wrong = ask(issuer(&elsewhere), now());
    masa.voucher(&domain, CMS, world.sign(&wrong, &domain))
        .await
        .refused(403, "idevid-issuer-mismatch");
    refused_without_trace(&world, "idevid-issuer-mismatch").await;

    let right = world.sign(&ask(issuer(&device), now()), &domain);
    let answer = masa.voucher(&domain, CMS, right).await;
    let mut voucher = world
        .at_device(&device, answer.body(), CMS, None)
        .unwrap()
        .into_inner();
    assert_eq!(voucher.idevid_issuer, issuer(&device));
    voucher.idevid_issuer = issuer(&elsewhere);
    let renewal = RegistrarRequest::renewal(&voucher, answer.body(), now(), CMS);
    masa.voucher(&domain, CMS, world.sign(&renewal, &domain))
        .await
        .refused(403, "idevid-issuer-mismatch");
}

#[tokio::test]
async fn nonceless_vouchers_are_off_unless_configured() {
    let world = World::new().await;
    let domain = Domain::new("Hotel");
    world.sold("A-1", &domain).await;
    let masa = world.serve().await;
    let request = RegistrarRequest::nonceless("A-1", None, now(), None, CMS);
    masa.voucher(&domain, CMS, world.sign(&request, &domain))
        .await
        .refused(406, "nonceless-forbidden");
}

/// RFC 8995 §5.6: 415 for a format that is not read, 406 for one that is not written.
#[tokio::test]
async fn formats_are_negotiated() {
    let world = World::new().await;
    let domain = Domain::new("Hotel");
    let device = world.sold("A-1", &domain).await;
    let masa = world.serve().await;
    let ask = |kind: &str, accept: &str, body: Vec<u8>| {
        Request::post(PATH_REQUEST_VOUCHER)
            .header("content-type", kind)
            .header("accept", accept)
            .body(Bytes::from(body))
            .unwrap()
    };
    let request = || world.request(&device, &domain, CMS);
    let wrong = ask("application/json", "*/*", request());
    masa.send(Some(&domain), wrong)
        .await
        .refused(415, "media-type-unsupported");
    let wrong = ask(CMS.media_type(), "text/html", request());
    masa.send(Some(&domain), wrong)
        .await
        .refused(406, "answer-not-acceptable");
    let mismatch = ask(Encoding::JwsJson.media_type(), "*/*", request());
    masa.send(Some(&domain), mismatch)
        .await
        .refused(415, "encoding-mismatch");
    // A registrar may want the voucher in another form than its request.
    let nonce = fresh_nonce(CMS);
    let body = world.request_with(&device, &domain, CMS, &nonce);
    let jws = Encoding::JwsJson;
    let answer = masa
        .send(Some(&domain), ask(CMS.media_type(), jws.media_type(), body))
        .await;
    assert_eq!(
        (answer.status(), answer.media_type()),
        (200, jws.media_type())
    );
    world
        .at_device(&device, answer.body(), jws, Some(&nonce))
        .unwrap();
}

#[tokio::test]
async fn broken_requests_are_refused_by_name_and_change_nothing() {
    let world = World::new().await;
    let domain = Domain::new("Hotel");
    let device = world.sold("A-1", &domain).await;
    let masa = world.serve().await;
    let request = world.request(&device, &domain, CMS);
    for end in (0..request.len()).step_by(97) {
        let answer = masa.voucher(&domain, CMS, request[..end].to_vec()).await;
        assert!(
            matches!(answer.status(), 400 | 403 | 415),
            "{end}: {answer:?}"
        );
    }
    let mut flipped = request.clone();
    *flipped.last_mut().unwrap() ^= 1;
    masa.voucher(&domain, CMS, flipped)
        .await
        .refused(403, "signature-invalid");
    let large = vec![0x30; vouchsafe_brski::MAX_MESSAGE_LEN + 1];
    masa.voucher(&domain, CMS, large)
        .await
        .refused(413, "too-large");
    let get = Request::get(PATH_REQUEST_AUDIT_LOG)
        .body(Bytes::new())
        .unwrap();
    assert_eq!(masa.send(None, get).await.status(), 405);
    let row = world.factory.device("A-1").await.unwrap();
    assert!(
        world
            .factory
            .store
            .vouchers(row.id)
            .await
            .unwrap()
            .is_empty()
    );
    // The sound request still passes.
    assert_eq!(masa.voucher(&domain, CMS, request).await.status(), 200);
}

#[tokio::test]
async fn who_asks_too_often_is_told_to_wait_and_another_owner_is_served() {
    let world = World::with(|config| config.rates.per_owner = 1).await;
    let (domain, other) = (Domain::new("Hotel"), Domain::new("Museum"));
    let device = world.sold("A-1", &domain).await;
    let others = world.sold("B-1", &other).await;
    let masa = world.serve().await;
    let mut last = None;
    for _ in 0..11 {
        let request = world.request(&device, &domain, CMS);
        last = Some(masa.voucher(&domain, CMS, request).await);
    }
    let last = last.unwrap();
    last.refused(429, "too-many-requests");
    assert!(last.0.headers().contains_key("retry-after"));
    let request = world.request(&others, &other, CMS);
    assert_eq!(masa.voucher(&other, CMS, request).await.status(), 200);
}

/// A refusal before any decision leaves one line in the site's journal and nothing else.
/// RFC 8995 §5.5: what the listener does not even read is journaled too, as far as there is room for
/// what nobody proved.
#[tokio::test]
async fn a_body_that_is_not_read_is_journaled_and_not_without_bound() {
    let world = World::new().await;
    let masa = world.serve().await;
    let mut refused = 0;
    for path in [PATH_REQUEST_VOUCHER, PATH_REQUEST_AUDIT_LOG].repeat(7) {
        let body = Bytes::from(vec![0x30; 2 * 1024 * 1024]);
        let answer = masa.send(None, Request::post(path).body(body).unwrap());
        assert_eq!(answer.await.status(), 413);
        refused += 1;
    }
    let site = world.actions(Subject::Site).await;
    let wanted = "request-refused too-large";
    let journaled = site.iter().filter(|entry| *entry == wanted).count();
    assert!((1..refused).contains(&journaled), "{site:?}");
}

async fn refused_without_trace(world: &World, reason: &str) {
    let site = world.actions(Subject::Site).await;
    let wanted = format!("request-refused {reason}");
    assert!(site.contains(&wanted), "{site:?}");
    let row = world.factory.device("A-1").await.unwrap();
    let issued = world.factory.store.vouchers(row.id).await.unwrap();
    let journal = world.journal("A-1").await;
    let vouchers = journal.iter().filter(|entry| *entry == "voucher-issued");
    assert_eq!(vouchers.count(), issued.len());
}

/// RFC 8995 §5.5.2: what the registrar sends decides what may be pinned. One that sends nothing but
/// itself is found by the key identifier of its issuer, and is pinned itself.
#[tokio::test]
async fn a_registrar_that_sends_only_itself_is_known_and_pinned_itself() {
    let world = World::new().await;
    let mut domain = Domain::new("Hotel");
    let device = world.sold("A-1", &domain).await;
    domain.chain.truncate(1);
    let masa = world.serve().await;
    let nonce = fresh_nonce(CMS);
    let request = world.request_with(&device, &domain, CMS, &nonce);
    let answer = masa.voucher(&domain, CMS, request).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    let voucher = world
        .at_device(&device, answer.body(), CMS, Some(&nonce))
        .unwrap();
    let pinned = voucher.pinned_domain_cert.as_deref();
    assert_eq!(pinned, Some(domain.chain[0].der()));
}

/// RFC 8995 §5.4: the TLS client is of the domain that signed the request.
#[tokio::test]
async fn a_request_on_another_domains_connection_is_refused() {
    let world = World::new().await;
    let (domain, other) = (Domain::new("Hotel"), Domain::new("Museum"));
    let device = world.sold("A-1", &domain).await;
    let masa = world.serve().await;
    let request = world.request(&device, &domain, CMS);
    masa.voucher(&other, CMS, request)
        .await
        .refused(403, "registrar-not-tls-client");
    refused_without_trace(&world, "registrar-not-tls-client").await;
}

/// RFC 8366 §5.3: `verified` is asserted only where the sale was looked up and nothing closer is
/// proved; RFC 8995 §5.5.5: proximity only where the device saw this registrar.
#[tokio::test]
async fn assertions_say_no_more_than_what_is_proved() {
    let world = World::with(|config| config.vouchers.nonceless = true).await;
    let domain = Domain::new("Hotel");
    let device = world.sold("A-1", &domain).await;
    let masa = world.serve().await;
    let request = RegistrarRequest::nonceless("A-1", None, now(), None, CMS);
    let answer = masa
        .voucher(&domain, CMS, world.sign(&request, &domain))
        .await;
    let voucher = world.at_device(&device, answer.body(), CMS, None).unwrap();
    assert_eq!(voucher.assertion, Assertion::Verified);

    let world = World::with(|config| {
        config.vouchers.nonceless = true;
        config.ownership.policy = OwnershipPolicy::AuditOnly;
    })
    .await;
    let device = world.device("A-1").await;
    world.owner(&domain).await;
    let masa = world.serve().await;
    let answer = masa
        .voucher(&domain, CMS, world.sign(&request, &domain))
        .await;
    let voucher = world.at_device(&device, answer.body(), CMS, None).unwrap();
    assert_eq!(voucher.assertion, Assertion::Logged);
}

/// RFC 8995 §5.2: a nonce is good for one request.
#[tokio::test]
async fn a_nonce_in_another_request_is_refused() {
    let world = World::new().await;
    let domain = Domain::new("Hotel");
    let device = world.sold("A-1", &domain).await;
    let masa = world.serve().await;
    let nonce = fresh_nonce(CMS);
    let first = world.request_with(&device, &domain, CMS, &nonce);
    assert_eq!(masa.voucher(&domain, CMS, first).await.status(), 200);
    let second = world.request_with(&device, &domain, CMS, &nonce);
    masa.voucher(&domain, CMS, second)
        .await
        .refused(403, "nonce-reused");
    // Nor in another spelling of the same octets.
    let unpadded = nonce.to_text().trim_end_matches('=').to_owned();
    assert_ne!(unpadded, nonce.to_text());
    let third = world.request_with(&device, &domain, CMS, &Nonce::Text(unpadded));
    masa.voucher(&domain, CMS, third)
        .await
        .refused(403, "nonce-reused");
}
