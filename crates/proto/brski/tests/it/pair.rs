//! Whole runs: pledge, registrar and MASA, in each encoding.

use jiff::SignedDuration;
use vouchsafe_brski::masa::{
    Pin, ProximityMismatch, RegistrarTrust, issue_voucher, verify_registrar_request,
};
use vouchsafe_brski::pledge::{reverify_server_chain, verify_voucher};
use vouchsafe_brski::registrar::{RegistrarRequest, read_voucher};
use vouchsafe_brski::{Assertion, Compatibility, Encoding, Refusal, idevid};

use crate::world::{Domain, SERIAL, World};

#[test]
fn a_run_ends_in_a_pinned_connection_in_each_encoding() {
    for encoding in Encoding::ALL {
        let world = World::new();
        let voucher = world.voucher(encoding);
        let received = read_voucher(
            &voucher,
            encoding,
            SERIAL,
            Some(&world.nonce(encoding)),
            &world.compatibility,
        )
        .unwrap();
        let voucher = world.at_pledge(&received.bytes, encoding).unwrap();
        assert_eq!(voucher.assertion, Assertion::Proximity);
        assert_eq!(voucher.serial_number, SERIAL);
        assert!(
            voucher
                .nonce
                .as_ref()
                .unwrap()
                .matches(&world.nonce(encoding))
        );
        assert_eq!(voucher.expires_on, None);
        assert_eq!(
            voucher.pinned_domain_cert.as_deref(),
            Some(world.domain.authority.certificate().der()),
            "RFC 8995 §5.5.2: the lowest CA of the registrar's chain"
        );
        let path = reverify_server_chain(&voucher, &world.domain.registrar.chain, Some(world.now))
            .unwrap();
        assert_eq!(path.leaf(), Some(world.domain.registrar.leaf()));
    }
}

/// RFC 8995 §2.6.1: a device without clock takes the voucher's creation as the time.
#[test]
fn a_pledge_without_clock_uses_the_vouchers_time() {
    let world = World::new();
    let voucher = world.voucher(Encoding::CmsJson);
    let nonce = world.nonce(Encoding::CmsJson);
    let mut rules = world.voucher_rules(Some(&nonce));
    rules.now = None;
    let voucher = verify_voucher(&voucher, Encoding::CmsJson, &rules).unwrap();
    reverify_server_chain(&voucher, &world.domain.registrar.chain, None).unwrap();
}

#[test]
fn the_pledges_request_travels_byte_by_byte() {
    for encoding in Encoding::ALL {
        let world = World::new();
        let bytes = world.pledge_request(encoding);
        let pledge = world.at_registrar(&bytes, encoding).unwrap();
        let request = RegistrarRequest::for_pledge(&pledge, world.now);
        let content = request.content();
        assert_eq!(
            content.prior_signed_voucher_request.as_deref(),
            Some(&bytes[..])
        );
        assert_eq!(content.proximity_registrar_cert, None);
        assert_eq!(content.nonce.as_ref(), Some(&world.nonce(encoding)));
        assert_eq!(
            content.idevid_issuer.as_deref().map(|issuer| &issuer[..6]),
            Some(&[0x04, 0x18, 0x30, 0x16, 0x80, 0x14][..]),
            "RFC 8366bis §6.1: the whole OCTET STRING"
        );
        let at_masa = world
            .at_masa(&world.sign_registrar(&request), encoding)
            .unwrap();
        assert_eq!(at_masa.pledge.as_ref().unwrap().bytes, bytes);
        assert!(at_masa.proximity);
        assert_eq!(at_masa.pledge.as_ref().unwrap().serial_number(), SERIAL);
    }
}

#[test]
fn the_compatible_content_type_is_read_and_written() {
    let mut world = World::new();
    world.compatibility.write_id_data = true;
    let voucher = world.voucher(Encoding::CmsJson);
    world.compatibility = Compatibility::default();
    world.at_pledge(&voucher, Encoding::CmsJson).unwrap();
}

#[test]
fn a_voucher_may_be_in_another_encoding_than_the_request() {
    let world = World::new();
    let request = world
        .at_masa(
            &world.registrar_request(Encoding::CmsJson),
            Encoding::CmsJson,
        )
        .unwrap();
    let nonce = world.nonce(Encoding::CmsJson);
    for encoding in Encoding::ALL {
        let voucher = world.issue(&request, encoding);
        verify_voucher(&voucher, encoding, &world.voucher_rules(Some(&nonce))).unwrap();
    }
}

#[test]
fn the_registrars_own_certificate_can_be_pinned() {
    let world = World::new();
    let request = world
        .at_masa(
            &world.registrar_request(Encoding::CmsJson),
            Encoding::CmsJson,
        )
        .unwrap();
    let mut terms = world.terms();
    terms.pin = Pin::Registrar;
    let issued = issue_voucher(
        &request,
        &terms,
        Encoding::CmsJson,
        &world.masa.chain,
        &*world.masa.signer,
        &world.compatibility,
    )
    .unwrap();
    let voucher = world.at_pledge(&issued.bytes, Encoding::CmsJson).unwrap();
    let chain = &world.domain.registrar.chain;
    reverify_server_chain(&voucher, chain, Some(world.now)).unwrap();
    reverify_server_chain(&voucher, &chain[..1], Some(world.now)).unwrap();
}

#[test]
fn a_registrar_that_sends_only_itself_is_pinned_itself() {
    let world = World::new();
    let pledge = world
        .at_registrar(&world.pledge_request(Encoding::CmsJson), Encoding::CmsJson)
        .unwrap();
    let bytes = RegistrarRequest::for_pledge(&pledge, world.now)
        .sign(
            &world.domain.registrar.chain[..1],
            &*world.domain.registrar.signer,
            &world.compatibility,
        )
        .unwrap();
    for request in [
        world.at_masa(&bytes, Encoding::CmsJson).unwrap(),
        world.at_masa_known(&bytes, Encoding::CmsJson).unwrap(),
    ] {
        assert_eq!(request.domain(), Some(world.domain.registrar.leaf()));
    }
}

#[test]
fn verified_ownership_is_asserted() {
    let world = World::new();
    let request = world
        .at_masa(
            &world.registrar_request(Encoding::JwsJson),
            Encoding::JwsJson,
        )
        .unwrap();
    let mut terms = world.terms();
    terms.ownership_verified = true;
    let issued = issue_voucher(
        &request,
        &terms,
        Encoding::JwsJson,
        &world.masa.chain,
        &*world.masa.signer,
        &world.compatibility,
    )
    .unwrap();
    assert_eq!(issued.voucher.assertion, Assertion::Verified);
}

/// RFC 8995 §5.5.5: only a proximity that was checked is asserted.
#[test]
fn a_proximity_that_is_not_proved_is_only_logged() {
    let world = World::new();
    let other = Domain::new("other");
    let pledge = world
        .at_registrar(&world.pledge_request(Encoding::CmsJson), Encoding::CmsJson)
        .unwrap();
    let bytes = RegistrarRequest::for_pledge(&pledge, world.now)
        .sign(
            &other.registrar.chain,
            &*other.registrar.signer,
            &world.compatibility,
        )
        .unwrap();
    let mut rules = world.masa_rules(RegistrarTrust::Presented);
    rules.proximity_mismatch = ProximityMismatch::Log;
    let request = verify_registrar_request(&bytes, Encoding::CmsJson, &rules).unwrap();
    assert!(!request.proximity);
    let issued = issue_voucher(
        &request,
        &world.terms(),
        Encoding::CmsJson,
        &world.masa.chain,
        &*world.masa.signer,
        &world.compatibility,
    )
    .unwrap();
    assert_eq!(issued.voucher.assertion, Assertion::Logged);
}

/// RFC 8995 §5.5.4, §5.6, §7.2: a device that is not there, and renewal of its voucher
/// (RFC 8366bis §10.1).
#[test]
fn a_voucher_without_nonce_has_an_end_and_is_renewed() {
    for encoding in Encoding::ALL {
        let world = World::new();
        let request = RegistrarRequest::nonceless(
            SERIAL,
            Some(idevid::issuer(world.device.leaf())),
            world.now,
            None,
            encoding,
        );
        let bytes = world.sign_registrar(&request);
        let at_masa = world.at_masa_known(&bytes, encoding).unwrap();
        let old_bytes = world.issue(&at_masa, encoding);
        let old = world.at_pledge(&old_bytes, encoding).unwrap();
        assert_eq!(old.nonce, None);
        assert_eq!(
            old.expires_on,
            Some(world.now + SignedDuration::from_hours(24 * 14))
        );
        reverify_server_chain(&old, &world.domain.registrar.chain, Some(world.now)).unwrap();

        let renewal = RegistrarRequest::renewal(&old, &old_bytes, world.now, encoding);
        let bytes = world.sign_registrar(&renewal);
        let at_masa = world.at_masa_known(&bytes, encoding).unwrap();
        assert_eq!(
            at_masa.prior_voucher.as_ref().unwrap().serial_number,
            SERIAL
        );
        let renewed = world.issue(&at_masa, encoding);
        world.at_pledge(&renewed, encoding).unwrap();
    }
}

/// RFC 8995 §5.6: never past the registrar's certificate, never past what was asked for.
#[test]
fn the_lifetime_is_cut_to_the_registrars_certificate() {
    let world = World::new();
    let asked = world.now + SignedDuration::from_hours(3);
    for (wish, lifetime, expected) in [
        (
            None,
            SignedDuration::from_hours(24 * 365 * 9),
            world.domain.registrar.leaf().not_after(),
        ),
        (Some(asked), SignedDuration::from_hours(24), asked),
    ] {
        let request = RegistrarRequest::nonceless(SERIAL, None, world.now, wish, Encoding::CmsJson);
        let at_masa = world
            .at_masa_known(&world.sign_registrar(&request), Encoding::CmsJson)
            .unwrap();
        let mut terms = world.terms();
        terms.lifetime = lifetime;
        let issued = issue_voucher(
            &at_masa,
            &terms,
            Encoding::CmsJson,
            &world.masa.chain,
            &*world.masa.signer,
            &world.compatibility,
        )
        .unwrap();
        assert_eq!(issued.voucher.expires_on, Some(expected));
    }
}

#[test]
fn no_lifetime_is_left_when_the_registrar_asks_for_the_past() {
    let world = World::new();
    let request =
        RegistrarRequest::nonceless(SERIAL, None, world.now, Some(world.now), Encoding::CmsJson);
    let at_masa = world
        .at_masa_known(&world.sign_registrar(&request), Encoding::CmsJson)
        .unwrap();
    let refused = issue_voucher(
        &at_masa,
        &world.terms(),
        Encoding::CmsJson,
        &world.masa.chain,
        &*world.masa.signer,
        &world.compatibility,
    )
    .unwrap_err();
    assert_eq!(refused.refusal(), Some(Refusal::LifetimeUnavailable));
}
