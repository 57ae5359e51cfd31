//! What a MASA refuses of a registrar (RFC 8995 §5.5), each for its named reason.

use jiff::SignedDuration;
use serde_json::{Map, Value};
use vouchsafe_brski::masa::{
    ProximityMismatch, RegistrarTrust, issue_voucher, registrar_chain, verify_registrar_request,
};
use vouchsafe_brski::registrar::RegistrarRequest;
use vouchsafe_brski::{Artifact, Encoding, Error, Malformed, Refusal, idevid, status};
use vouchsafe_trust::{
    Anchors, CrlContent, Name, Profile, Revocation, RevocationReason, RevokedCertificate, Validity,
};

use crate::refusals_registrar::base64;
use crate::world::{
    Domain, Identity, MAX_AGE, SERIAL, SKEW, World, content, device, forge, forge_cbor, issue, now,
    sign, years,
};

const JSON: [Encoding; 2] = [Encoding::CmsJson, Encoding::JwsJson];

/// The registrar's genuine request, edited, and signed by the registrar itself.
fn refused(edit: impl Fn(&mut Map<String, Value>, &World), reason: Refusal) {
    for encoding in JSON {
        let world = World::new();
        let genuine = world.registrar_request(encoding);
        let forged = forge(&genuine, encoding, &world.domain.registrar, |fields| {
            edit(fields, &world);
        });
        for result in [
            world.at_masa(&forged, encoding),
            world.at_masa_known(&forged, encoding),
        ] {
            assert_eq!(result.unwrap_err().refusal(), Some(reason), "{encoding:?}");
        }
    }
}

/// The same request signed by somebody else.
fn signed_by(world: &World, signer: &Identity, encoding: Encoding) -> Vec<u8> {
    let genuine = world.registrar_request(encoding);
    let mut chain = signer.chain.clone();
    if encoding == Encoding::CoseCbor {
        chain.extend_from_slice(&world.device.chain);
    }
    sign(
        &content(&genuine, encoding),
        encoding,
        &chain,
        &*signer.signer,
    )
}

#[test]
fn rfc8995_5_5_3_a_registrar_of_an_unknown_domain_is_refused_where_domains_are_known() {
    for encoding in JSON {
        let world = World::new();
        let known = Domain::new("known").anchors();
        let error = verify_registrar_request(
            &world.registrar_request(encoding),
            encoding,
            &world.masa_rules(RegistrarTrust::Known(&known)),
        )
        .unwrap_err();
        assert!(matches!(
            error,
            Error::Signature {
                artifact: Artifact::RegistrarRequest,
                ..
            }
        ));
        assert_eq!(error.reason_code(), "unknown-issuer");
        assert_eq!(error.section(), "RFC 8995 §5.5.3");
        assert_eq!(status::of_masa(&error), 403);
    }
}

#[test]
fn rfc8995_5_5_4_a_registrar_without_cmcra_is_refused() {
    for encoding in Encoding::ALL {
        let mut world = World::new();
        let profile = Profile::tls_server(Name::common("server").unwrap(), &["server.example"]);
        let server = issue(&world.domain.authority, &profile, years(1));
        let bytes = signed_by(&world, &server, encoding);
        let error = world.at_masa(&bytes, encoding).unwrap_err();
        assert_eq!(error.refusal(), Some(Refusal::RegistrarNotAuthorized));
        assert_eq!(error.section(), "RFC 8995 §5.5.4");
        assert_eq!(status::of_masa(&error), 403);
        // The switch lets the next rule decide: the pledge saw another certificate.
        world.compatibility.accept_registrar_without_cmcra = true;
        let error = world.at_masa(&bytes, encoding).unwrap_err();
        assert_eq!(error.refusal(), Some(Refusal::ProximityMismatch));
    }
}

#[test]
fn rfc8995_5_5_3_an_expired_registrar_is_refused() {
    for encoding in Encoding::ALL {
        let mut world = World::new();
        let bytes = world.registrar_request(encoding);
        world.now = world.domain.registrar.leaf().not_after() + SignedDuration::from_secs(1);
        assert_eq!(
            world.at_masa(&bytes, encoding).unwrap_err().refusal(),
            Some(Refusal::RegistrarExpired)
        );
        world.now = world.domain.registrar.leaf().not_before() - SignedDuration::from_secs(1);
        assert_eq!(
            world.at_masa(&bytes, encoding).unwrap_err().refusal(),
            Some(Refusal::RegistrarExpired)
        );
    }
}

#[test]
fn rfc8995_5_5_3_a_revoked_registrar_is_refused() {
    for encoding in Encoding::ALL {
        let mut world = World::new();
        let bytes = world.registrar_request(encoding);
        let list = world
            .domain
            .authority
            .crl(&CrlContent {
                number: 1,
                this_update: world.now - SignedDuration::from_hours(1),
                next_update: world.now + SignedDuration::from_hours(1),
                entries: &[RevokedCertificate {
                    serial: world.domain.registrar.leaf().serial().to_vec(),
                    at: world.now - SignedDuration::from_hours(2),
                    reason: RevocationReason::KeyCompromise,
                }],
            })
            .unwrap();
        world.revocation = Revocation::Checked {
            lists: vec![list],
            unknown_is_fatal: false,
        };
        let error = world.at_masa(&bytes, encoding).unwrap_err();
        assert_eq!(error.refusal(), Some(Refusal::RegistrarRevoked));
        assert_eq!(status::of_masa(&error), 403);
    }
}

#[test]
fn rfc8995_5_5_3_an_altered_request_is_refused() {
    for encoding in Encoding::ALL {
        let world = World::new();
        let mut bytes = world.registrar_request(encoding);
        let last = bytes.len() - if encoding == Encoding::JwsJson { 20 } else { 1 };
        bytes[last] = match bytes[last] {
            b'A' => b'B',
            b'B'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => b'A',
            byte => byte ^ 1,
        };
        // The chain of a COSE request says nothing about its domain, so there the MASA must know it.
        let error = match encoding {
            Encoding::CoseCbor => world.at_masa_known(&bytes, encoding),
            Encoding::CmsJson | Encoding::JwsJson => world.at_masa(&bytes, encoding),
        }
        .unwrap_err();
        assert!(
            matches!(
                error,
                Error::Signature {
                    artifact: Artifact::RegistrarRequest,
                    ..
                }
            ),
            "{encoding:?}: {error:?}"
        );
    }
}

#[test]
fn rfc8995_5_5_5_a_forged_request_inside_is_refused() {
    for encoding in Encoding::ALL {
        let world = World::new();
        // A device that another maker, or nobody, vouches for, under the same serial number.
        let stranger = World::new();
        let impostor = sign(
            &content(&world.pledge_request(encoding), encoding),
            encoding,
            &stranger.device.chain,
            &*stranger.device.signer,
        );
        let error = with_inner(&world, encoding, &impostor);
        assert_eq!(
            error.refusal(),
            Some(Refusal::PriorRequestUntrusted),
            "{encoding:?}"
        );
        assert_eq!(error.section(), "RFC 8995 §5.5.5");
        assert_eq!(status::of_masa(&error), 404);
    }
}

#[test]
fn rfc8995_5_5_5_an_altered_request_inside_is_refused() {
    for encoding in Encoding::ALL {
        let world = World::new();
        let genuine = world.pledge_request(encoding);
        for position in [genuine.len() / 3, genuine.len() / 2] {
            let mut altered = genuine.clone();
            altered[position] ^= 1;
            let error = with_inner(&world, encoding, &altered);
            let reason = error.refusal().unwrap();
            assert!(
                matches!(
                    reason,
                    Refusal::PriorRequestUntrusted | Refusal::PriorRequestMalformed
                ),
                "{reason:?}"
            );
        }
    }
}

#[test]
fn rfc8995_5_5_5_garbage_inside_is_refused() {
    for encoding in Encoding::ALL {
        let error = with_inner(&World::new(), encoding, b"garbage");
        assert_eq!(error.refusal(), Some(Refusal::PriorRequestMalformed));
    }
}

#[test]
fn rfc8995_5_5_5_another_device_than_the_one_that_asked_is_refused() {
    refused(
        |fields, _| {
            fields.insert("serial-number".into(), "JADA-0002".into());
        },
        Refusal::PriorSerialMismatch,
    );
    let world = World::new();
    let forged = forge_cbor(
        &world.registrar_request(Encoding::CoseCbor),
        &world.domain.registrar,
        |fields| {
            fields.retain(|(key, _)| *key != 13.into());
            fields.push((13.into(), "JADA-0002".into()));
        },
    );
    // The request inside was signed by another device than the one that is named.
    let error = world
        .at_masa_known(&forged, Encoding::CoseCbor)
        .unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::PriorRequestUntrusted));
}

#[test]
fn rfc8995_5_5_5_a_device_that_claims_anothers_serial_is_refused() {
    for encoding in JSON {
        let world = World::new();
        let other = device(&world.manufacturer, "JADA-0002");
        let lie = sign(
            &content(&world.pledge_request(encoding), encoding),
            encoding,
            &other.chain,
            &*other.signer,
        );
        assert_eq!(
            with_inner(&world, encoding, &lie).refusal(),
            Some(Refusal::SerialMismatch)
        );
    }
}

/// RFC 8995 §5.5.6: the registrar's nonce is the pledge's own.
#[test]
fn rfc8995_5_5_6_another_nonce_than_the_pledges_is_refused() {
    refused(
        |fields, _| {
            fields.insert("nonce".into(), base64(&[8; 16]).into());
        },
        Refusal::PriorNonceMismatch,
    );
}

#[test]
fn rfc8995_5_5_5_a_nonce_without_the_pledges_request_is_refused() {
    refused(
        |fields, _| {
            fields.remove("prior-signed-voucher-request");
        },
        Refusal::PriorRequestMissing,
    );
}

#[test]
fn rfc8995_5_5_5_a_registrar_that_the_pledge_did_not_see_is_refused() {
    for encoding in Encoding::ALL {
        let world = World::new();
        let middle = Domain::new("man in the middle");
        let bytes = signed_by(&world, &middle.registrar, encoding);
        let error = world.at_masa(&bytes, encoding).unwrap_err();
        assert_eq!(error.refusal(), Some(Refusal::ProximityMismatch));
        assert_eq!(error.section(), "RFC 8995 §5.5.5");
        let mut rules = world.masa_rules(RegistrarTrust::Presented);
        rules.proximity_mismatch = ProximityMismatch::Log;
        assert!(
            !verify_registrar_request(&bytes, encoding, &rules)
                .unwrap()
                .proximity
        );
    }
}

/// cBRSKI §9.2.1: a pledge's certificate that neither the request nor the MASA has proves nothing.
#[test]
fn a_constrained_request_of_a_device_without_certificate_is_refused() {
    let world = World::new();
    let genuine = world.registrar_request(Encoding::CoseCbor);
    let registrar = &world.domain.registrar;
    let bytes = sign(
        &content(&genuine, Encoding::CoseCbor),
        Encoding::CoseCbor,
        &registrar.chain,
        &*registrar.signer,
    );
    let error = world.at_masa(&bytes, Encoding::CoseCbor).unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::PriorRequestUntrusted));
    let mut rules = world.masa_rules(RegistrarTrust::Presented);
    rules.devices = &world.device.chain;
    assert!(
        verify_registrar_request(&bytes, Encoding::CoseCbor, &rules)
            .unwrap()
            .proximity
    );
}

#[test]
fn rfc8995_5_5_a_proximity_certificate_of_the_registrars_own_is_refused() {
    refused(
        |fields, world| {
            let der = world.domain.registrar.leaf().der();
            fields.insert("proximity-registrar-cert".into(), base64(der).into());
        },
        Refusal::RegistrarProximityForbidden,
    );
}

#[test]
fn rfc8995_5_5_4_a_request_without_nonce_needs_a_known_registrar() {
    for encoding in Encoding::ALL {
        let world = World::new();
        let request = RegistrarRequest::nonceless(SERIAL, None, world.now, None, encoding);
        let bytes = world.sign_registrar(&request);
        let error = world.at_masa(&bytes, encoding).unwrap_err();
        assert_eq!(error.refusal(), Some(Refusal::RegistrarUnknown));
        assert_eq!(error.section(), "RFC 8995 §5.5.4");
        world.at_masa_known(&bytes, encoding).unwrap();
    }
    // Dropping the nonce of a pledge's request does not get around it.
    for encoding in JSON {
        let world = World::new();
        let genuine = world.registrar_request(encoding);
        let forged = forge(&genuine, encoding, &world.domain.registrar, |fields| {
            fields.remove("nonce");
        });
        let error = world.at_masa(&forged, encoding).unwrap_err();
        assert_eq!(error.refusal(), Some(Refusal::RegistrarUnknown));
        world.at_masa_known(&forged, encoding).unwrap();
    }
}

/// RFC 8366 §5.3: the two exclude each other.
#[test]
fn rfc8366_5_3_nonce_and_expires_on_together_are_refused() {
    refused(
        |fields, _| {
            fields.insert("expires-on".into(), "2030-01-01T00:00:00Z".into());
        },
        Refusal::NonceWithExpiry,
    );
}

#[test]
fn rfc8995_5_6_a_stale_request_is_refused() {
    refused(
        |fields, world| {
            let date = world.now - MAX_AGE - SignedDuration::from_secs(1);
            fields.insert("created-on".into(), date.to_string().into());
        },
        Refusal::RequestStale,
    );
    refused(
        |fields, world| {
            let date = world.now + SKEW + SignedDuration::from_secs(1);
            fields.insert("created-on".into(), date.to_string().into());
        },
        Refusal::RequestFromFuture,
    );
}

#[test]
fn a_request_without_date_is_refused() {
    let world = World::new();
    let genuine = world.registrar_request(Encoding::CmsJson);
    let forged = forge(
        &genuine,
        Encoding::CmsJson,
        &world.domain.registrar,
        |fields| {
            fields.remove("created-on");
        },
    );
    assert!(matches!(
        world.at_masa(&forged, Encoding::CmsJson).unwrap_err(),
        Error::Malformed(Malformed::CreatedOnMissing)
    ));
}

#[test]
fn rfc8366bis_6_1_another_issuer_is_refused_and_older_spellings_are_read() {
    refused(
        |fields, _| {
            let mut other = vec![0x04, 0x18, 0x30, 0x16, 0x80, 0x14];
            other.extend_from_slice(&[9; 20]);
            fields.insert("idevid-issuer".into(), base64(&other).into());
        },
        Refusal::IdevidIssuerMismatch,
    );
    for encoding in JSON {
        for spelling in [Some(2), Some(6), None] {
            let mut world = World::new();
            let genuine = world.registrar_request(encoding);
            let bytes = forge(&genuine, encoding, &world.domain.registrar, |fields| {
                fields.remove("idevid-issuer");
                if let Some(from) = spelling {
                    let issuer = &idevid::issuer(world.device.leaf())[from..];
                    fields.insert("idevid-issuer".into(), base64(issuer).into());
                }
            });
            world.at_masa(&bytes, encoding).unwrap();
            world.compatibility.accept_bare_idevid_issuer = false;
            world.compatibility.accept_missing_idevid_issuer = false;
            let reason = match spelling {
                Some(_) => Refusal::IdevidIssuerMismatch,
                None => Refusal::IdevidIssuerMissing,
            };
            assert_eq!(
                world.at_masa(&bytes, encoding).unwrap_err().refusal(),
                Some(reason)
            );
        }
    }
}

/// RFC 8995 §5.4: whoever connects belongs to the domain that signed.
#[test]
fn rfc8995_5_4_a_tls_client_of_another_domain_is_refused() {
    let world = World::new();
    let other = Domain::new("other");
    let bytes = world.registrar_request(Encoding::CmsJson);
    let mut rules = world.masa_rules(RegistrarTrust::Presented);
    rules.tls_client = Some(other.registrar.leaf());
    let error = verify_registrar_request(&bytes, Encoding::CmsJson, &rules).unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::RegistrarNotTlsClient));
    // Nor does the name of the domain's CA make a member.
    let namesake = Domain::new("domain");
    rules.tls_client = Some(namesake.registrar.leaf());
    let error = verify_registrar_request(&bytes, Encoding::CmsJson, &rules).unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::RegistrarNotTlsClient));
    // A second certificate of the same domain CA will do.
    let profile = Profile::tls_client(Name::common("client").unwrap());
    let client = issue(&world.domain.authority, &profile, years(1));
    rules.tls_client = Some(client.leaf());
    verify_registrar_request(&bytes, Encoding::CmsJson, &rules).unwrap();
}

#[test]
fn rfc8995_5_5_2_a_request_without_certificates_leaves_nothing_to_pin() {
    let world = World::new();
    let genuine = world.registrar_request(Encoding::CoseCbor);
    let bytes = sign(
        &content(&genuine, Encoding::CoseCbor),
        Encoding::CoseCbor,
        &[],
        &*world.domain.registrar.signer,
    );
    let error = world.at_masa(&bytes, Encoding::CoseCbor).unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::NothingToPin));
    assert_eq!(status::of_masa(&error), 406);

    // A MASA that knows the registrar itself still pins only what the request carries.
    let anchors = Anchors::one(world.domain.registrar.leaf().clone());
    let mut rules = world.masa_rules(RegistrarTrust::Known(&anchors));
    rules.devices = &world.device.chain;
    let request = verify_registrar_request(&bytes, Encoding::CoseCbor, &rules).unwrap();
    assert_eq!(request.domain(), None);
    let error = issue_voucher(
        &request,
        &world.terms(),
        Encoding::CoseCbor,
        &world.masa.chain,
        &*world.masa.signer,
        &world.compatibility,
    )
    .unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::NothingToPin));
}

#[test]
fn rfc8366bis_10_1_a_forged_or_foreign_voucher_is_not_renewed() {
    let encoding = Encoding::CmsJson;
    let world = World::new();
    let old_bytes = nonceless_voucher(&world, &world.domain);
    let old = world.at_pledge(&old_bytes, encoding).unwrap();
    // Signed by another MASA.
    let impostor = World::new();
    let forged = sign(
        &content(&old_bytes, encoding),
        encoding,
        &impostor.masa.chain,
        &*impostor.masa.signer,
    );
    let request = RegistrarRequest::renewal(&old, &forged, world.now, encoding);
    let error = world
        .at_masa_known(&world.sign_registrar(&request), encoding)
        .unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::PriorVoucherUntrusted));
    // Of another domain.
    let other = Domain::new("other");
    let request = RegistrarRequest::renewal(&old, &old_bytes, world.now, encoding);
    let bytes = request
        .sign(
            &other.registrar.chain,
            &*other.registrar.signer,
            &world.compatibility,
        )
        .unwrap();
    let anchors = other.anchors();
    let error = verify_registrar_request(
        &bytes,
        encoding,
        &world.masa_rules(RegistrarTrust::Known(&anchors)),
    )
    .unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::PriorVoucherMismatch));
    // By a registrar that is not known.
    let error = world
        .at_masa(&world.sign_registrar(&request), encoding)
        .unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::RegistrarUnknown));
    // For another device.
    let forged = forge(
        &world.sign_registrar(&request),
        encoding,
        &world.domain.registrar,
        |fields| {
            fields.insert("serial-number".into(), "JADA-0002".into());
        },
    );
    let error = world.at_masa_known(&forged, encoding).unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::PriorVoucherMismatch));
}

/// RFC 8366bis §10.1: renewal is what expired vouchers need, so the old one's end is no obstacle,
/// nor that its signer has expired since.
#[test]
fn an_expired_voucher_is_renewed() {
    let encoding = Encoding::CmsJson;
    let mut world = World::new();
    let old_bytes = nonceless_voucher(&world, &world.domain);
    let old = world.at_pledge(&old_bytes, encoding).unwrap();
    world.now = now() + SignedDuration::from_hours(24 * 365);
    let request = RegistrarRequest::renewal(&old, &old_bytes, world.now, encoding);
    let renewed = world
        .at_masa_known(&world.sign_registrar(&request), encoding)
        .unwrap();
    assert_eq!(renewed.prior_voucher.as_ref(), Some(&*old));
}

#[test]
fn a_chain_can_be_looked_up_before_it_is_proved() {
    let world = World::new();
    for encoding in Encoding::ALL {
        let chain = registrar_chain(
            &world.registrar_request(encoding),
            encoding,
            &world.compatibility,
        )
        .unwrap();
        assert_eq!(chain.first(), Some(world.domain.registrar.leaf()));
        assert_eq!(chain.get(1), Some(world.domain.authority.certificate()));
    }
}

#[test]
fn an_intermediate_ca_is_the_lowest_one() {
    let mut world = World::new();
    let root = &world.domain.authority;
    let profile = Profile::certificate_authority(Name::common("root").unwrap(), Some(1));
    let signer = crate::world::key();
    let top = vouchsafe_trust::Authority::self_signed(
        &profile,
        &crate::world::serial(&*signer),
        years(20),
        signer,
    )
    .unwrap();
    let signer = crate::world::key();
    let below = top
        .subordinate(
            &Profile::domain_ca(Name::common("site").unwrap()),
            &crate::world::serial(&*signer),
            Validity::new(
                root.certificate().not_before(),
                root.certificate().not_after(),
            ),
            signer,
        )
        .unwrap();
    let registrar = issue(
        &below,
        &Profile::registrar(Name::common("registrar").unwrap(), &["r.example"]),
        years(1),
    );
    world.domain = Domain {
        authority: below.clone(),
        registrar,
    };
    let request = world
        .at_masa(
            &world.registrar_request(Encoding::CmsJson),
            Encoding::CmsJson,
        )
        .unwrap();
    assert_eq!(request.domain(), Some(below.certificate()));
    assert_eq!(request.pinnable.len(), 3);
    let anchors = Anchors::one(top.certificate().clone());
    let request = verify_registrar_request(
        &world.registrar_request(Encoding::CmsJson),
        Encoding::CmsJson,
        &world.masa_rules(RegistrarTrust::Known(&anchors)),
    )
    .unwrap();
    assert_eq!(request.domain(), Some(below.certificate()));
}

fn nonceless_voucher(world: &World, domain: &Domain) -> Vec<u8> {
    let request = RegistrarRequest::nonceless(SERIAL, None, world.now, None, Encoding::CmsJson);
    let bytes = request
        .sign(
            &domain.registrar.chain,
            &*domain.registrar.signer,
            &world.compatibility,
        )
        .unwrap();
    let at_masa = world.at_masa_known(&bytes, Encoding::CmsJson).unwrap();
    world.issue(&at_masa, Encoding::CmsJson)
}

/// The registrar's request with other bytes inside.
fn with_inner(world: &World, encoding: Encoding, inner: &[u8]) -> Error {
    let genuine = world.registrar_request(encoding);
    let bytes = match encoding {
        Encoding::CmsJson | Encoding::JwsJson => {
            forge(&genuine, encoding, &world.domain.registrar, |fields| {
                fields.insert("prior-signed-voucher-request".into(), base64(inner).into());
            })
        }
        Encoding::CoseCbor => {
            let bag = Identity {
                chain: world
                    .domain
                    .registrar
                    .chain
                    .iter()
                    .chain(&world.device.chain)
                    .cloned()
                    .collect(),
                signer: world.domain.registrar.signer.clone(),
            };
            forge_cbor(&genuine, &bag, |fields| {
                fields.retain(|(key, _)| *key != 9.into());
                fields.push((9.into(), ciborium::Value::Bytes(inner.to_vec())));
            })
        }
    };
    world.at_masa(&bytes, encoding).unwrap_err()
}
