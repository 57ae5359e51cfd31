//! What a pledge refuses of a MASA and of the server it talks to (RFC 8995 §5.6.1, §5.6.2).

use jiff::SignedDuration;
use serde_json::{Map, Value};
use vouchsafe_brski::pledge::{NoncelessVouchers, reverify_server_chain, verify_voucher};
use vouchsafe_brski::{Artifact, Encoding, Error, Malformed, Refusal};
use vouchsafe_trust::{Name, Profile};

use crate::refusals_registrar::base64;
use crate::world::{Domain, SKEW, World, content, device, forge, forge_cbor, issue, sign, years};

const JSON: [Encoding; 2] = [Encoding::CmsJson, Encoding::JwsJson];

/// The genuine voucher, edited, and signed by the MASA itself.
fn edited(encoding: Encoding, edit: impl Fn(&mut Map<String, Value>, &World)) -> (World, Vec<u8>) {
    let world = World::new();
    let genuine = world.voucher(encoding);
    let bytes = forge(&genuine, encoding, &world.masa, |fields| {
        edit(fields, &world)
    });
    (world, bytes)
}

fn refused(edit: impl Fn(&mut Map<String, Value>, &World), reason: Refusal) {
    for encoding in JSON {
        let (world, bytes) = edited(encoding, &edit);
        let error = world.at_pledge(&bytes, encoding).unwrap_err();
        assert_eq!(error.refusal(), Some(reason), "{encoding:?}");
    }
}

#[test]
fn rfc8995_5_6_1_a_voucher_of_another_masa_is_refused() {
    for encoding in Encoding::ALL {
        let world = World::new();
        let impostor = World::new().masa;
        let forged = sign(
            &content(&world.voucher(encoding), encoding),
            encoding,
            &impostor.chain,
            &*impostor.signer,
        );
        let error = world.at_pledge(&forged, encoding).unwrap_err();
        assert!(matches!(
            error,
            Error::Signature {
                artifact: Artifact::Voucher,
                ..
            }
        ));
        assert_eq!(error.section(), "RFC 8995 §5.6.1");
    }
}

/// RFC 8995 §5.6.1: one device's key must not be enough to give away its maker's other devices,
/// even where one root stands behind both devices and MASA.
#[test]
fn rfc8995_5_6_1_a_voucher_signed_by_another_device_of_the_maker_is_refused() {
    for encoding in Encoding::ALL {
        let world = World::new();
        let other = device(&world.manufacturer, "JADA-0002");
        let genuine = world.voucher(encoding);
        let bytes = sign(
            &content(&genuine, encoding),
            encoding,
            &other.chain,
            &*other.signer,
        );
        let error = world.at_pledge(&bytes, encoding).unwrap_err();
        assert_eq!(error.refusal(), Some(Refusal::VoucherByDevice));
    }
}

/// RFC 5280 §4.2.1.12: "the certificate MUST only be used for one of the purposes indicated". The MASA's own
/// listener, which the internet reaches, often hangs below the root of its vouchers.
#[test]
fn rfc5280_4_2_1_12_a_voucher_signed_by_a_tls_listener_of_the_maker_is_refused() {
    for encoding in Encoding::ALL {
        let world = World::new();
        let name = Name::common("masa.example").unwrap();
        let listener = Profile::tls_server(name, &["masa.example"]);
        let mut listener = issue(&world.manufacturer, &listener, years(1));
        listener.chain.truncate(1);
        let genuine = world.voucher(encoding);
        let bytes = sign(
            &content(&genuine, encoding),
            encoding,
            &listener.chain,
            &*listener.signer,
        );
        let error = world.at_pledge(&bytes, encoding).unwrap_err();
        assert_eq!(error.refusal(), Some(Refusal::VoucherByTlsPeer));
        assert_eq!(error.section(), "RFC 5280 §4.2.1.12");
    }
}

#[test]
fn rfc8995_5_6_1_a_voucher_signed_by_the_domain_is_refused() {
    for encoding in Encoding::ALL {
        let world = World::new();
        let registrar = &world.domain.registrar;
        let forged = sign(
            &content(&world.voucher(encoding), encoding),
            encoding,
            &registrar.chain,
            &*registrar.signer,
        );
        let error = world.at_pledge(&forged, encoding).unwrap_err();
        assert!(matches!(
            error,
            Error::Signature {
                artifact: Artifact::Voucher,
                ..
            }
        ));
    }
}

#[test]
fn rfc8995_5_6_1_another_serial_number_is_refused() {
    refused(
        |fields, _| {
            fields.insert("serial-number".into(), "JADA-0002".into());
        },
        Refusal::VoucherOtherSerial,
    );
    let world = World::new();
    let forged = forge_cbor(&world.voucher(Encoding::CoseCbor), &world.masa, |fields| {
        fields.retain(|(key, _)| *key != 11.into());
        fields.push((11.into(), "JADA-0002".into()));
    });
    assert_eq!(
        world
            .at_pledge(&forged, Encoding::CoseCbor)
            .unwrap_err()
            .refusal(),
        Some(Refusal::VoucherOtherSerial)
    );
}

#[test]
fn rfc8995_5_6_1_another_devices_voucher_is_refused() {
    for encoding in Encoding::ALL {
        let mut world = World::new();
        let voucher = world.voucher(encoding);
        world.device = device(&world.manufacturer, "JADA-0002");
        let error = world.at_pledge(&voucher, encoding).unwrap_err();
        assert_eq!(error.refusal(), Some(Refusal::VoucherOtherSerial));
    }
}

#[test]
fn rfc8366_5_3_another_issuer_is_refused() {
    refused(
        |fields, _| {
            let mut other = vec![0x04, 0x18, 0x30, 0x16, 0x80, 0x14];
            other.extend_from_slice(&[9; 20]);
            fields.insert("idevid-issuer".into(), base64(&other).into());
        },
        Refusal::VoucherOtherIssuer,
    );
}

#[test]
fn rfc8995_5_6_1_another_nonce_is_refused() {
    refused(
        |fields, _| {
            fields.insert("nonce".into(), base64(&[8; 16]).into());
        },
        Refusal::VoucherWrongNonce,
    );
    // The same bytes spelled otherwise are not what was sent (keep the string as it is).
    refused(
        |fields, _| {
            let text = fields["nonce"]
                .as_str()
                .unwrap()
                .trim_end_matches('=')
                .to_owned();
            fields.insert("nonce".into(), text.into());
        },
        Refusal::VoucherWrongNonce,
    );
    // A replayed voucher answers an earlier request.
    for encoding in Encoding::ALL {
        let world = World::new();
        let replayed = world.voucher(encoding);
        let fresh = vouchsafe_brski::Nonce::fresh(&[8; 16], encoding).unwrap();
        let error =
            verify_voucher(&replayed, encoding, &world.voucher_rules(Some(&fresh))).unwrap_err();
        assert_eq!(error.refusal(), Some(Refusal::VoucherWrongNonce));
        let error = verify_voucher(&replayed, encoding, &world.voucher_rules(None)).unwrap_err();
        assert_eq!(error.refusal(), Some(Refusal::VoucherWrongNonce));
    }
}

#[test]
fn rfc8366_5_3_nonce_and_expires_on_together_are_refused() {
    let both = |fields: &mut Map<String, Value>, world: &World| {
        let end = world.now + SignedDuration::from_hours(1);
        fields.insert("expires-on".into(), end.to_string().into());
    };
    refused(both, Refusal::NonceWithExpiry);
    // RFC 8366bis §8.4 dropped the constraint; the switch still checks the end.
    for encoding in JSON {
        let (mut world, bytes) = edited(encoding, both);
        world.compatibility.accept_nonce_with_expires_on = true;
        world.at_pledge(&bytes, encoding).unwrap();
        world.now += SignedDuration::from_hours(2);
        let error = world.at_pledge(&bytes, encoding).unwrap_err();
        assert_eq!(error.refusal(), Some(Refusal::VoucherExpired));
    }
}

/// RFC 8366 §5.3: nothing is believed after expires-on.
#[test]
fn rfc8366_5_3_an_expired_voucher_is_refused() {
    let nonceless = |fields: &mut Map<String, Value>, world: &World| {
        fields.remove("nonce");
        fields.insert("expires-on".into(), world.now.to_string().into());
    };
    refused(nonceless, Refusal::VoucherExpired);
    refused(
        |fields, _| {
            fields.remove("nonce");
        },
        Refusal::VoucherNoExpiry,
    );
}

#[test]
fn rfc8366_5_3_a_voucher_from_the_future_is_refused() {
    refused(
        |fields, world| {
            let date = world.now + SKEW + SignedDuration::from_secs(1);
            fields.insert("created-on".into(), date.to_string().into());
        },
        Refusal::VoucherFromFuture,
    );
}

#[test]
fn rfc8995_7_2_a_voucher_without_nonce_needs_a_clock_or_a_policy() {
    let nonceless = |fields: &mut Map<String, Value>, world: &World| {
        fields.remove("nonce");
        let end = world.now + SignedDuration::from_hours(1);
        fields.insert("expires-on".into(), end.to_string().into());
    };
    for encoding in JSON {
        let (world, bytes) = edited(encoding, nonceless);
        let nonce = world.nonce(encoding);
        for (policy, clock, accepted) in [
            (NoncelessVouchers::WithClock, true, true),
            (NoncelessVouchers::WithClock, false, false),
            (NoncelessVouchers::Always, false, true),
            (NoncelessVouchers::Refuse, true, false),
        ] {
            let mut rules = world.voucher_rules(Some(&nonce));
            rules.nonceless = policy;
            rules.now = clock.then_some(world.now);
            let reason = verify_voucher(&bytes, encoding, &rules)
                .err()
                .map(|error| error.refusal().unwrap());
            assert_eq!(
                reason,
                (!accepted).then_some(Refusal::VoucherNonceless),
                "{policy:?}"
            );
        }
    }
}

#[test]
fn rfc8995_5_6_1_a_voucher_without_pin_is_refused() {
    refused(
        |fields, _| {
            fields.remove("pinned-domain-cert");
        },
        Refusal::VoucherNoPin,
    );
}

#[test]
fn a_pin_that_does_not_parse_is_refused() {
    for encoding in JSON {
        let (world, bytes) = edited(encoding, |fields, _| {
            fields.insert("pinned-domain-cert".into(), base64(b"certificate").into());
        });
        assert!(matches!(
            world.at_pledge(&bytes, encoding).unwrap_err(),
            Error::Malformed(Malformed::Certificate)
        ));
    }
}

#[test]
fn rfc8366bis_8_pins_that_disagree_are_refused() {
    let other = Domain::new("other");
    let key = other.authority.certificate().public_key();
    refused(
        |fields, _| {
            fields.insert("pinned-domain-pubk".into(), base64(key.spki_der()).into());
        },
        Refusal::VoucherPinsDisagree,
    );
    refused(
        |fields, _| {
            fields.insert(
                "pinned-domain-pubk-sha256".into(),
                base64(&key.sha256()).into(),
            );
        },
        Refusal::VoucherPinsDisagree,
    );
}

#[test]
fn rfc8366bis_8_a_bare_key_is_a_pin() {
    for encoding in JSON {
        for hashed in [false, true] {
            for ca in [false, true] {
                let (world, bytes) = edited(encoding, |fields, world| {
                    let certificate = if ca {
                        world.domain.authority.certificate()
                    } else {
                        world.domain.registrar.leaf()
                    };
                    let key = certificate.public_key();
                    fields.remove("pinned-domain-cert");
                    if hashed {
                        fields.insert(
                            "pinned-domain-pubk-sha256".into(),
                            base64(&key.sha256()).into(),
                        );
                    } else {
                        fields.insert("pinned-domain-pubk".into(), base64(key.spki_der()).into());
                    }
                });
                let voucher = world.at_pledge(&bytes, encoding).unwrap();
                let chain = &world.domain.registrar.chain;
                reverify_server_chain(&voucher, chain, Some(world.now)).unwrap();
                let other = Domain::new("other").registrar.chain;
                let error = reverify_server_chain(&voucher, &other, Some(world.now)).unwrap_err();
                assert_eq!(error.refusal(), Some(Refusal::VoucherPinMismatch));
            }
        }
    }
}

#[test]
fn rfc8995_5_6_2_a_server_of_another_domain_is_refused() {
    for encoding in Encoding::ALL {
        let world = World::new();
        let voucher = world.at_pledge(&world.voucher(encoding), encoding).unwrap();
        // Also one whose CA has the same name.
        for name in ["other", "domain"] {
            let rogue = Domain::new(name);
            let error = reverify_server_chain(&voucher, &rogue.registrar.chain, Some(world.now))
                .unwrap_err();
            assert_eq!(error.refusal(), Some(Refusal::VoucherPinMismatch), "{name}");
            assert_eq!(error.section(), "RFC 8995 §5.6.2");
        }
        let error = reverify_server_chain(&voucher, &[], Some(world.now)).unwrap_err();
        assert_eq!(error.refusal(), Some(Refusal::VoucherPinMismatch));
    }
}

#[test]
fn rfc8995_5_6_2_a_rogue_cannot_append_the_pinned_certificate() {
    let world = World::new();
    let voucher = world
        .at_pledge(&world.voucher(Encoding::CmsJson), Encoding::CmsJson)
        .unwrap();
    let mut chain = Domain::new("domain").registrar.chain;
    chain.push(world.domain.authority.certificate().clone());
    let error = reverify_server_chain(&voucher, &chain, Some(world.now)).unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::VoucherPinMismatch));
}

#[test]
fn rfc8995_5_6_2_a_server_of_the_domain_that_is_expired_or_a_client_is_refused() {
    let world = World::new();
    let voucher = world
        .at_pledge(&world.voucher(Encoding::CmsJson), Encoding::CmsJson)
        .unwrap();
    let later = world.domain.registrar.leaf().not_after() + SignedDuration::from_secs(1);
    let error =
        reverify_server_chain(&voucher, &world.domain.registrar.chain, Some(later)).unwrap_err();
    assert!(matches!(
        error,
        Error::Chain {
            artifact: Artifact::ServerChain,
            ..
        }
    ));
    assert_eq!(error.reason_code(), "certificate-expired");

    // Another device of the same domain plays the registrar.
    let profile = Profile::tls_client(Name::common("device").unwrap());
    let client = issue(&world.domain.authority, &profile, years(1));
    let error = reverify_server_chain(&voucher, &client.chain, Some(world.now)).unwrap_err();
    assert_eq!(error.reason_code(), "certificate-usage");
}

/// A voucher without nonce is no secret. With it, a gate of the domain, or any other server under the
/// pinned CA, must not play the registrar: it would give the device anchors of its own.
#[test]
fn rfc7030_3_6_1_a_server_of_the_domain_that_is_no_registrar_is_refused() {
    let world = World::new();
    let voucher = world
        .at_pledge(&world.voucher(Encoding::CmsJson), Encoding::CmsJson)
        .unwrap();
    let name = || Name::common("server").unwrap();
    for profile in [
        Profile::gate(name(), &["gate"]),
        Profile::tls_server(name(), &["server.example"]),
    ] {
        let server = issue(&world.domain.authority, &profile, years(1));
        let error = reverify_server_chain(&voucher, &server.chain, Some(world.now)).unwrap_err();
        assert!(matches!(
            error,
            Error::Chain {
                artifact: Artifact::ServerChain,
                ..
            }
        ));
        assert_eq!(error.reason_code(), "certificate-usage");
    }
}

#[test]
fn mandatory_fields_are_missed_by_name() {
    for (field, reason) in [
        ("created-on", Malformed::CreatedOnMissing),
        ("assertion", Malformed::AssertionMissing),
        ("serial-number", Malformed::SerialMissing),
    ] {
        for encoding in JSON {
            let (world, bytes) = edited(encoding, |fields, _| {
                fields.remove(field);
            });
            let error = world.at_pledge(&bytes, encoding).unwrap_err();
            assert!(
                matches!(error, Error::Malformed(found) if found == reason),
                "{field}"
            );
        }
    }
}

/// RFC 8995 §3: request and voucher are two artifacts, told apart by their top-level name.
#[test]
fn a_request_is_no_voucher() {
    for encoding in Encoding::ALL {
        let world = World::new();
        let error = world
            .at_pledge(&world.registrar_request(encoding), encoding)
            .unwrap_err();
        assert!(matches!(error, Error::Malformed(Malformed::WrongArtifact)));
    }
}

#[test]
fn unknown_fields_are_ignored_and_kept() {
    for encoding in JSON {
        let (world, bytes) = edited(encoding, |fields, _| {
            fields.insert("est-domain".into(), "est.example".into());
            fields.insert("future".into(), true.into());
        });
        let voucher = world.at_pledge(&bytes, encoding).unwrap();
        assert_eq!(voucher.est_domain.as_deref(), Some("est.example"));
        assert_eq!(voucher.other.len(), 1);
    }
}
