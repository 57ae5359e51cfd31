//! `requestvoucher`: who may ask at all. Nothing of a device that does not belong here is told to
//! any MASA (RFC 8995 §5.3, §5.4).

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Request, header};
use vouchsafe_brski::{Encoding, PATH_REQUEST_VOUCHER};
use vouchsafe_fleet::admission::Segment;
use vouchsafe_fleet::decide::{self, MAX_STRANGERS, OperateFacts};
use vouchsafe_fleet::{
    Action, Change, Commit, DeviceId, Entry, Manufacturer, ManufacturerId, ManufacturerTrust,
    Outcome, Policy, Sighting, Subject,
};

use crate::world::{Birth, Maker, SERIAL, World, ask, assert_answer, fresh_nonce};

/// A good request of this device must be refused with this status and code.
async fn refused(world: &World, birth: &Birth, status: u16, code: &str) -> Entry {
    let (mut line, request) = world.request(birth, Encoding::CmsJson).await;
    let before = world.before(SERIAL).await;
    let answer = ask(&mut line, &request, Encoding::CmsJson).await;
    world.assert_refused(&before, &answer, status, code).await
}

/// Several tries of a stranger, who must be refused each time and is written down once.
async fn stranger(world: &World, birth: Option<&Birth>, status: u16, code: &str) -> Entry {
    let site = world.journal(Subject::Site).await.len();
    for _ in 0..3 {
        let mut line = world.connect(birth).await;
        let request = match birth {
            Some(birth) => {
                let nonce = fresh_nonce(Encoding::CmsJson);
                world.signed_request(birth, &line, &nonce, Encoding::CmsJson)
            }
            None => b"0".to_vec(),
        };
        let answer = ask(&mut line, &request, Encoding::CmsJson).await;
        assert_answer(&answer, status, code);
    }
    let chain = world.journal(Subject::Site).await;
    assert_eq!(chain.len(), site + 1, "written down once");
    let last = chain.last().unwrap().clone();
    assert_eq!(last.reasons[0].code, code);
    assert_eq!(world.maker.masa.asked(), 0);
    assert_eq!(
        world
            .controller
            .store
            .vouchers(world.id(SERIAL))
            .await
            .unwrap(),
        []
    );
    world.assert_sound().await;
    last
}

/// RFC 8995 §5.1: the pledge shows its birth certificate, or it learns nothing.
#[tokio::test]
async fn a_client_without_certificate_is_refused_and_the_connection_closed() {
    let world = World::new().await;
    stranger(&world, None, 401, "no-tls-client-certificate").await;
    let mut line = world.connect(None).await;
    let answer = ask(&mut line, b"0", Encoding::CmsJson).await;
    assert_answer(&answer, 401, "no-tls-client-certificate");
    let request = Request::post(PATH_REQUEST_VOUCHER)
        .header(header::CONTENT_TYPE, Encoding::CmsJson.media_type())
        .body(Bytes::new())
        .unwrap();
    assert!(
        line.request(request).await.is_err(),
        "the connection is closed"
    );
}

/// RFC 8995 §5.3: a manufacturer that nobody knows. It is remembered as seen, so that an
/// administrator finds it; its MASA hears nothing.
#[tokio::test]
async fn a_device_of_an_unknown_manufacturer_is_refused() {
    let world = World::new().await;
    let (other, _stop) = Maker::new("Unheard of", &world.clock).await;
    let mut birth = other.device(SERIAL);
    birth.chain.push(other.authority.certificate().clone());
    let entry = stranger(&world, Some(&birth), 404, "unknown-manufacturer").await;
    assert_eq!(entry.action, Action::UnknownSeen);
    assert_eq!(entry.actor.name, SERIAL);
    assert_eq!(other.masa.asked(), 0, "its MASA was told nothing");

    let seen = world
        .controller
        .store
        .manufacturer(other.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(seen.trust, ManufacturerTrust::Seen);
    assert!(seen.masa_anchors.is_empty());
    let chain = world.journal(Subject::Manufacturer(other.id)).await;
    assert_eq!(chain.len(), 1, "seen once");

    // Once it is in the list, the answer names what is missing; still nothing leaves.
    world.controller.reload_manufacturers().await.unwrap();
    let (mut line, request) = world.request(&birth, Encoding::CmsJson).await;
    let answer = ask(&mut line, &request, Encoding::CmsJson).await;
    assert_answer(&answer, 403, "manufacturer-not-trusted");
    assert_eq!(other.masa.asked(), 0);
}

/// Whoever comes in ever new names fills the journal up to a limit and not beyond.
#[tokio::test]
async fn strangers_are_written_down_up_to_a_limit() {
    let world = World::new().await;
    let now = world.now();
    let seen = |number: u32| {
        let serial = format!("S-{number}");
        Change::PutSighting(Sighting {
            device: DeviceId::new(ManufacturerId([7; 16]), &serial),
            manufacturer: None,
            serial,
            at: now,
            expires_at: now + Duration::from_secs(3600),
        })
    };
    let commit = Commit {
        changes: (0..MAX_STRANGERS).map(seen).collect(),
        ..Commit::default()
    };
    world.controller.commit(commit).await.unwrap();
    let (other, _stop) = Maker::new("Unheard of", &world.clock).await;
    let position = world.controller.store.position();
    for birth in [other.device("X-1"), other.device("X-2")] {
        let (mut line, request) = world.request(&birth, Encoding::CmsJson).await;
        let answer = ask(&mut line, &request, Encoding::CmsJson).await;
        assert_answer(&answer, 404, "unknown-manufacturer");
    }
    assert_eq!(world.controller.store.position(), position);
    assert_eq!(
        world.controller.store.manufacturer(other.id).await.unwrap(),
        None
    );
    // An hour later they are forgotten, and there is room again.
    world.clock.advance(Duration::from_secs(3601));
    let (mut line, request) = world.request(&other.device("X-3"), Encoding::CmsJson).await;
    let answer = ask(&mut line, &request, Encoding::CmsJson).await;
    assert_answer(&answer, 404, "unknown-manufacturer");
    assert!(world.controller.store.position() > position);
}

/// RFC 8995 §5.3: a certificate that only bears the name of a known manufacturer.
#[tokio::test]
async fn a_certificate_that_only_names_a_known_manufacturer_is_refused() {
    let world = World::new().await;
    let (impostor, _stop) = Maker::new("Maker", &world.clock).await;
    let entry = stranger(
        &world,
        Some(&impostor.device(SERIAL)),
        403,
        "unknown-issuer",
    )
    .await;
    assert_eq!(entry.action, Action::RequestRefused);
    assert_eq!(impostor.masa.asked(), 0);
}

/// RFC 8995 §5.3: a genuine device that is not in the inventory.
#[tokio::test]
async fn a_device_that_is_not_in_the_inventory_is_refused() {
    let world = World::new().await;
    let birth = world.maker.device("JADA-9999");
    let entry = stranger(&world, Some(&birth), 404, "unknown-device").await;
    assert_eq!(entry.data["device"], world.id("JADA-9999").to_string());
    assert_eq!(
        world
            .controller
            .store
            .device(world.id("JADA-9999"))
            .await
            .unwrap(),
        None
    );
}

/// RFC 8995 §5.4: no word to the MASA of a manufacturer that is not trusted.
#[tokio::test]
async fn a_device_of_a_manufacturer_that_is_not_trusted_is_refused() {
    for (trust, status, code) in [
        (ManufacturerTrust::Unknown, 404, "unknown-manufacturer"),
        (ManufacturerTrust::Seen, 403, "manufacturer-not-trusted"),
        (ManufacturerTrust::Blocked, 403, "manufacturer-blocked"),
        (ManufacturerTrust::PlainEst, 403, "masa-not-trusted"),
    ] {
        let world = World::new().await;
        world.trust_maker(trust).await;
        refused(&world, &world.maker.device(SERIAL), status, code).await;
    }
    let world = World::new().await;
    world
        .change_maker(|maker: &mut Manufacturer| maker.masa_anchors.clear())
        .await;
    refused(&world, &world.maker.device(SERIAL), 403, "masa-not-trusted").await;
}

/// Trust that is taken away counts from the next request on, also on an open connection.
#[tokio::test]
async fn a_manufacturer_blocked_in_the_middle_of_a_connection_is_refused() {
    let world = World::new().await;
    let birth = world.maker.device(SERIAL);
    let mut line = world.with_voucher(&birth).await;
    world.trust_maker(ManufacturerTrust::Blocked).await;
    let nonce = fresh_nonce(Encoding::CmsJson);
    let request = world.signed_request(&birth, &line, &nonce, Encoding::CmsJson);
    let before = world.before(SERIAL).await;
    let answer = ask(&mut line, &request, Encoding::CmsJson).await;
    world
        .assert_refused(&before, &answer, 403, "manufacturer-blocked")
        .await;
}

/// The owner gave it up, took it out of service, or cut it off.
#[tokio::test]
async fn a_device_that_is_released_retired_or_in_quarantine_is_refused() {
    type Operation = fn(&OperateFacts<'_>) -> Outcome<vouchsafe_fleet::Device>;
    let cases: [(Operation, &str); 3] = [
        (decide::release, "device-released"),
        (decide::retire, "device-retired"),
        (decide::quarantine, "device-quarantined"),
    ];
    for (operation, code) in cases {
        let world = World::new().await;
        let birth = world.maker.device(SERIAL);
        world.onboarded(&birth).await;
        world.operate(SERIAL, operation).await;
        let (mut line, request) = world.request(&birth, Encoding::CmsJson).await;
        let before = world.before(SERIAL).await;
        let answer = ask(&mut line, &request, Encoding::CmsJson).await;
        world.assert_refused(&before, &answer, 403, code).await;
    }
}

/// RFC 8995 §2.3: one device, one birth key.
#[tokio::test]
async fn another_birth_key_for_the_same_serial_number_is_refused() {
    let world = World::new().await;
    world.onboarded(&world.maker.device(SERIAL)).await;
    refused(
        &world,
        &world.maker.device(SERIAL),
        403,
        "idevid-key-differs",
    )
    .await;
}

/// RFC 8995 §5.1: a voucher is asked for with the birth certificate, not with what came of it.
#[tokio::test]
async fn a_voucher_request_made_with_a_credential_is_refused() {
    let world = World::new().await;
    let birth = world.maker.device(SERIAL);
    let ldevid = world.onboarded(&birth).await;
    refused(&world, &ldevid, 404, "signer-not-tls-client").await;
    // Nor is the request of the birth key taken on a connection of the credential.
    let mut line = world.connect(Some(&ldevid)).await;
    let nonce = fresh_nonce(Encoding::CmsJson);
    let request = world.signed_request(&birth, &line, &nonce, Encoding::CmsJson);
    let before = world.before(SERIAL).await;
    let answer = ask(&mut line, &request, Encoding::CmsJson).await;
    world
        .assert_refused(&before, &answer, 404, "signer-not-tls-client")
        .await;
}

/// The owner's policy says no, and its reasons are told.
#[tokio::test]
async fn a_device_that_policy_denies_is_refused() {
    let world = World::new().await;
    let policy = r#"package vouchsafe
import rego.v1
verdict := {"answer": "deny", "reasons": [{"code": "full", "text": "The house is full."}]}
"#;
    world.controller.set_policy(Policy::load(policy).unwrap());
    let entry = refused(&world, &world.maker.device(SERIAL), 403, "policy-denied").await;
    assert!(
        entry.reasons.iter().any(|reason| reason.code == "full"),
        "{entry:?}"
    );
}

/// A policy whose evaluation fails lets nobody in.
#[tokio::test]
async fn a_policy_that_fails_lets_nobody_in() {
    let world = World::new().await;
    let policy = r#"package vouchsafe
import rego.v1
verdict := {"answer": "allow", "reasons": []} if is_null(input.device)
verdict := {"answer": input.device.state, "reasons": []} if not is_null(input.device)
"#;
    match Policy::load(policy) {
        Ok(policy) => world.controller.set_policy(policy),
        Err(error) => panic!("{error:?}"),
    }
    refused(&world, &world.maker.device(SERIAL), 403, "policy-denied").await;
}

/// Once a segment is described, policy may name no other: also where another replica described it.
#[tokio::test]
async fn a_segment_that_nobody_described_lets_nobody_in() {
    let world = World::new().await;
    let policy = r#"package vouchsafe
import rego.v1
verdict := {"answer": "allow", "segment": "devices", "reasons": []}
"#;
    world.controller.set_policy(Policy::load(policy).unwrap());
    let now = world.now();
    let segment = Segment {
        name: "cameras".to_owned(),
        vlan: None,
        reach: None,
        version: 1,
        created_at: now,
        updated_at: now,
    };
    let change = vouchsafe_fleet::admission::Change::PutSegment(Box::new(segment));
    let commit = Commit {
        changes: vec![Change::Admission(change)],
        ..Commit::default()
    };
    world.controller.commit(commit).await.unwrap();
    // Longer than names that were read are kept.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let entry = refused(&world, &world.maker.device(SERIAL), 403, "policy-denied").await;
    let said = |reason: &vouchsafe_fleet::Reason| reason.code == "segment-unknown";
    assert!(entry.reasons.iter().any(said), "{entry:?}");
}
