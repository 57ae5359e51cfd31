//! What a registrar refuses of a pledge (RFC 8995 §5.2, §5.3), each for its named reason.

use jiff::SignedDuration;
use serde_json::{Map, Value, json};
use vouchsafe_brski::registrar::{
    PledgeRequestRules, RegistrarRequest, read_voucher, verify_pledge_request,
};
use vouchsafe_brski::{
    Artifact, Compatibility, Encoding, Error, MAX_MESSAGE_LEN, Malformed, Nonce, Refusal,
    Unsupported, idevid, status,
};
use vouchsafe_trust::envelope::Forbidden;
use vouchsafe_trust::{EnvelopeError, Name, Profile, cms};

use crate::world::{
    Domain, Identity, SERIAL, SKEW, World, content, device, forge, forge_cbor, issue, sign, years,
};

const JSON: [Encoding; 2] = [Encoding::CmsJson, Encoding::JwsJson];

/// The pledge's genuine request, edited, and signed by the pledge itself.
fn edited(encoding: Encoding, edit: impl Fn(&mut Map<String, Value>, &World)) -> Error {
    let world = World::new();
    let genuine = world.pledge_request(encoding);
    let forged = forge(&genuine, encoding, &world.device, |fields| {
        edit(fields, &world)
    });
    world.at_registrar(&forged, encoding).unwrap_err()
}

fn refused(edit: impl Fn(&mut Map<String, Value>, &World), reason: Refusal) {
    for encoding in JSON {
        assert_eq!(
            edited(encoding, &edit).refusal(),
            Some(reason),
            "{encoding:?}"
        );
    }
}

#[test]
fn rfc8995_5_3_a_request_by_another_device_of_the_maker_is_refused() {
    for encoding in Encoding::ALL {
        let world = World::new();
        let other = device(&world.manufacturer, SERIAL);
        let forged = sign(
            &content(&world.pledge_request(encoding), encoding),
            encoding,
            &other.chain,
            &*other.signer,
        );
        let error = world.at_registrar(&forged, encoding).unwrap_err();
        assert_eq!(
            error.refusal(),
            Some(Refusal::SignerNotTlsClient),
            "{encoding:?}"
        );
        assert_eq!(error.section(), "RFC 8995 §5.3");
    }
}

#[test]
fn rfc8995_5_3_the_devices_certificate_with_another_key_is_refused() {
    let world = World::new();
    let thief = World::new();
    // The copied certificate cannot be signed with; so the thief's request shows its own.
    let bytes = sign(
        &content(&world.pledge_request(Encoding::CmsJson), Encoding::CmsJson),
        Encoding::CmsJson,
        &thief.device.chain,
        &*thief.device.signer,
    );
    assert_eq!(
        world
            .at_registrar(&bytes, Encoding::CmsJson)
            .unwrap_err()
            .refusal(),
        Some(Refusal::SignerNotTlsClient)
    );
    // COSE carries no certificate: the signature itself is wrong.
    let bytes = sign(
        &content(
            &world.pledge_request(Encoding::CoseCbor),
            Encoding::CoseCbor,
        ),
        Encoding::CoseCbor,
        &[],
        &*thief.device.signer,
    );
    let error = world.at_registrar(&bytes, Encoding::CoseCbor).unwrap_err();
    assert_eq!(error.reason_code(), "signature-invalid");
}

#[test]
fn rfc8995_5_2_an_unsigned_request_is_refused() {
    let world = World::new();
    let unsigned = cms::certs_only(&world.device.chain);
    let error = world
        .at_registrar(&unsigned, Encoding::CmsJson)
        .unwrap_err();
    assert_eq!(error.reason_code(), "unsigned");
    assert!(matches!(
        error,
        Error::Signature {
            artifact: Artifact::PledgeRequest,
            source: EnvelopeError::Forbidden(Forbidden::Unsigned)
        }
    ));
    let genuine = world.pledge_request(Encoding::JwsJson);
    let mut jws: Value = serde_json::from_slice(&genuine).unwrap();
    jws["signatures"] = json!([]);
    let error = world
        .at_registrar(jws.to_string().as_bytes(), Encoding::JwsJson)
        .unwrap_err();
    assert_eq!(error.reason_code(), "unsigned");
}

/// A CMS message taken apart, edited and put together again.
fn edit_signer_infos(
    bytes: &[u8],
    edit: impl FnOnce(&mut Vec<::cms::signed_data::SignerInfo>),
) -> Vec<u8> {
    use der::{Decode, Encode};
    let mut outer = ::cms::content_info::ContentInfo::from_der(bytes).unwrap();
    let mut signed: ::cms::signed_data::SignedData = outer.content.decode_as().unwrap();
    let mut infos = signed.signer_infos.0.into_vec();
    edit(&mut infos);
    signed.signer_infos = infos.try_into().unwrap();
    outer.content = der::Any::encode_from(&signed).unwrap();
    outer.to_der().unwrap()
}

#[test]
fn rfc8366bis_7_1_missing_signed_attributes_are_refused() {
    let world = World::new();
    let bytes = edit_signer_infos(&world.pledge_request(Encoding::CmsJson), |infos| {
        infos[0].signed_attrs = None;
    });
    let error = world.at_registrar(&bytes, Encoding::CmsJson).unwrap_err();
    assert_eq!(error.reason_code(), "signed-attributes-missing");
}

#[test]
fn two_signers_in_cms_are_refused() {
    let world = World::new();
    let bytes = edit_signer_infos(&world.pledge_request(Encoding::CmsJson), |infos| {
        let mut second = infos[0].clone();
        second.signature = der::asn1::OctetString::new(vec![1; 70]).unwrap();
        infos.push(second);
    });
    let error = world.at_registrar(&bytes, Encoding::CmsJson).unwrap_err();
    assert_eq!(error.reason_code(), "several-signers");
}

#[test]
fn two_signers_are_refused() {
    let world = World::new();
    let mut jws: Value = serde_json::from_slice(&world.pledge_request(Encoding::JwsJson)).unwrap();
    let first = jws["signatures"][0].clone();
    jws["signatures"].as_array_mut().unwrap().push(first);
    let error = world
        .at_registrar(jws.to_string().as_bytes(), Encoding::JwsJson)
        .unwrap_err();
    assert_eq!(error.reason_code(), "several-signers");
}

#[test]
fn rfc7515_4_1_11_unknown_critical_content_is_refused() {
    let world = World::new();
    let mut jws: Value = serde_json::from_slice(&world.pledge_request(Encoding::JwsJson)).unwrap();
    let protected = jws["signatures"][0]["protected"]
        .as_str()
        .unwrap()
        .to_owned();
    let header = decode_url(&protected);
    let mut header: Value = serde_json::from_slice(&header).unwrap();
    header["crit"] = json!(["mind-this"]);
    header["mind-this"] = json!(1);
    jws["signatures"][0]["protected"] = encode_url(header.to_string().as_bytes()).into();
    let error = world
        .at_registrar(jws.to_string().as_bytes(), Encoding::JwsJson)
        .unwrap_err();
    assert!(matches!(
        error,
        Error::Unsupported(Unsupported::CriticalContent)
    ));

    // COSE: protected header {1: -7, 2: [99], 99: 1}.
    let bytes = world.pledge_request(Encoding::CoseCbor);
    let mut tagged: ciborium::Value = ciborium::from_reader(&bytes[..]).unwrap();
    let ciborium::Value::Tag(18, inner) = &mut tagged else {
        panic!("a COSE_Sign1 has tag 18")
    };
    inner.as_array_mut().unwrap()[0] =
        ciborium::Value::Bytes(vec![0xa3, 1, 0x26, 2, 0x81, 0x18, 99, 0x18, 99, 1]);
    let mut bytes = Vec::new();
    ciborium::into_writer(&tagged, &mut bytes).unwrap();
    let error = world.at_registrar(&bytes, Encoding::CoseCbor).unwrap_err();
    assert!(matches!(
        error,
        Error::Unsupported(Unsupported::CriticalContent)
    ));
}

/// RFC 8366 §8.4: the content type says that a voucher is inside.
#[test]
fn an_unknown_content_type_is_refused() {
    let world = World::new();
    let bytes = cms::sign(
        &content(&world.pledge_request(Encoding::CmsJson), Encoding::CmsJson),
        &cms::SignOptions {
            content_type: vouchsafe_trust::Oid::new_unwrap("1.2.840.113549.1.9.16.1.4"),
            certificates: &world.device.chain,
            signing_time: None,
        },
        &*world.device.signer,
    )
    .unwrap();
    assert!(matches!(
        world.at_registrar(&bytes, Encoding::CmsJson).unwrap_err(),
        Error::Unsupported(Unsupported::ContentType)
    ));
}

#[test]
fn rfc8995_5_5_another_serial_number_is_refused() {
    refused(
        |fields, _| {
            fields.insert("serial-number".into(), "JADA-0002".into());
        },
        Refusal::SerialMismatch,
    );
}

#[test]
fn rfc8995_2_3_1_a_certificate_without_serial_number_is_refused() {
    let mut world = World::new();
    let genuine = world.pledge_request(Encoding::CmsJson);
    let profile = Profile::end_entity(Name::common("nameless").unwrap());
    world.device = issue(&world.manufacturer, &profile, years(1));
    let forged = forge(&genuine, Encoding::CmsJson, &world.device, |_| {});
    assert_eq!(
        world
            .at_registrar(&forged, Encoding::CmsJson)
            .unwrap_err()
            .refusal(),
        Some(Refusal::DeviceSerialMissing)
    );
}

#[test]
fn rfc8995_5_2_a_proximity_certificate_that_is_not_ours_is_refused_with_401() {
    let other = Domain::new("other");
    let der = base64(other.registrar.leaf().der());
    refused(
        |fields, _| {
            fields.insert("proximity-registrar-cert".into(), der.clone().into());
        },
        Refusal::ProximityNotOurs,
    );
    // Even one that adds the right key does not make up for the wrong certificate.
    let error = edited(Encoding::CmsJson, |fields, world| {
        fields.insert("proximity-registrar-cert".into(), der.clone().into());
        let key = world.domain.registrar.leaf().public_key().spki_der();
        fields.insert("proximity-registrar-pubk".into(), base64(key).into());
    });
    assert_eq!(error.refusal(), Some(Refusal::ProximityNotOurs));
    assert_eq!(status::of_registrar(&error), 401);
    // The CA above us is not us.
    refused(
        |fields, world| {
            let ca = world.domain.authority.certificate();
            fields.insert("proximity-registrar-cert".into(), base64(ca.der()).into());
        },
        Refusal::ProximityNotOurs,
    );
}

#[test]
fn rfc8995_5_2_a_proximity_key_that_is_not_ours_is_refused() {
    let world = World::new();
    let other = Domain::new("other");
    for (delta, value) in [
        (
            12_u64,
            other.registrar.leaf().public_key().spki_der().to_vec(),
        ),
        (11, other.registrar.leaf().public_key().sha256().to_vec()),
    ] {
        let forged = forge_cbor(
            &world.pledge_request(Encoding::CoseCbor),
            &world.device,
            |fields| {
                fields.retain(|(key, _)| *key != 12.into());
                fields.push((delta.into(), ciborium::Value::Bytes(value)));
            },
        );
        assert_eq!(
            world
                .at_registrar(&forged, Encoding::CoseCbor)
                .unwrap_err()
                .refusal(),
            Some(Refusal::ProximityNotOurs)
        );
    }
}

#[test]
fn a_proximity_key_hash_of_ours_is_accepted() {
    let world = World::new();
    let digest = world.domain.registrar.leaf().public_key().sha256().to_vec();
    let bytes = forge_cbor(
        &world.pledge_request(Encoding::CoseCbor),
        &world.device,
        |fields| {
            fields.retain(|(key, _)| *key != 12.into());
            fields.push((11.into(), ciborium::Value::Bytes(digest)));
        },
    );
    let pledge = world.at_registrar(&bytes, Encoding::CoseCbor).unwrap();
    let bytes = world.sign_registrar(&RegistrarRequest::for_pledge(&pledge, world.now));
    assert!(world.at_masa(&bytes, Encoding::CoseCbor).unwrap().proximity);
}

#[test]
fn rfc8995_5_2_a_request_that_names_no_registrar_is_refused() {
    refused(
        |fields, _| {
            fields.remove("proximity-registrar-cert");
        },
        Refusal::ProximityMissing,
    );
}

#[test]
fn rfc8995_5_2_another_assertion_than_proximity_is_refused() {
    refused(
        |fields, _| {
            fields.insert("assertion".into(), "verified".into());
        },
        Refusal::AssertionNotProximity,
    );
    let error = edited(Encoding::CmsJson, |fields, _| {
        fields.remove("assertion");
    });
    assert_eq!(error.refusal(), Some(Refusal::AssertionNotProximity));
}

#[test]
fn rfc8995_5_2_a_missing_nonce_is_refused() {
    refused(
        |fields, _| {
            fields.remove("nonce");
        },
        Refusal::NonceMissing,
    );
    let world = World::new();
    let forged = forge_cbor(
        &world.pledge_request(Encoding::CoseCbor),
        &world.device,
        |fields| {
            fields.retain(|(key, _)| *key != 7.into());
        },
    );
    let error = world.at_registrar(&forged, Encoding::CoseCbor).unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::NonceMissing));
}

/// RFC 8366 §5.3: a nonce has 8 to 32 bytes.
#[test]
fn rfc8366_5_3_nonces_have_8_to_32_bytes() {
    for (length, reason) in [
        (7, Some(Refusal::NonceTooShort)),
        (8, None),
        (32, None),
        (33, Some(Refusal::NonceTooLong)),
        (44, Some(Refusal::NonceTooLong)),
    ] {
        let world = World::new();
        for encoding in JSON {
            let genuine = world.pledge_request(encoding);
            let bytes = forge(&genuine, encoding, &world.device, |fields| {
                fields.insert("nonce".into(), base64(&vec![9; length]).into());
            });
            let result = world.at_registrar(&bytes, encoding);
            assert_eq!(
                result.err().and_then(|error| error.refusal()),
                reason,
                "{length}"
            );
        }
        let genuine = world.pledge_request(Encoding::CoseCbor);
        let bytes = forge_cbor(&genuine, &world.device, |fields| {
            fields.retain(|(key, _)| *key != 7.into());
            fields.push((7.into(), ciborium::Value::Bytes(vec![9; length])));
        });
        let result = world.at_registrar(&bytes, Encoding::CoseCbor);
        assert_eq!(
            result.err().and_then(|error| error.refusal()),
            reason,
            "{length}"
        );
    }
}

#[test]
fn nonces_of_every_spelling_are_kept_as_they_are() {
    for text in [
        "-_XE9zK9q8Ll1qylMtLKeg",
        "f4G6Vi1t8nKo/FieCVgpBg==",
        "62a2e7693d82fcda2624de58fb6722e5",
        "not base64 at all!",
    ] {
        let world = World::new();
        let bytes = forge(
            &world.pledge_request(Encoding::CmsJson),
            Encoding::CmsJson,
            &world.device,
            |fields| {
                fields.insert("nonce".into(), text.into());
            },
        );
        let pledge = world.at_registrar(&bytes, Encoding::CmsJson).unwrap();
        let nonce = Nonce::Text(text.to_owned());
        assert_eq!(pledge.request.nonce, Some(nonce.clone()));
        let bytes = world.sign_registrar(&RegistrarRequest::for_pledge(&pledge, world.now));
        let at_masa = world.at_masa(&bytes, Encoding::CmsJson).unwrap();
        let voucher = world.issue(&at_masa, Encoding::CmsJson);
        let received = read_voucher(
            &voucher,
            Encoding::CmsJson,
            SERIAL,
            Some(&nonce),
            &world.compatibility,
        )
        .unwrap();
        assert_eq!(received.voucher.nonce, Some(nonce));
    }
}

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
fn rfc8995_5_2_a_request_in_a_pledges_request_is_refused() {
    refused(
        |fields, _| {
            fields.insert("prior-signed-voucher-request".into(), "AAAA".into());
        },
        Refusal::PriorRequestForbidden,
    );
}

#[test]
fn a_request_from_the_future_is_refused_and_one_from_the_past_is_not() {
    refused(
        |fields, world| {
            let date = world.now + SKEW + SignedDuration::from_secs(1);
            fields.insert("created-on".into(), date.to_string().into());
        },
        Refusal::RequestFromFuture,
    );
    let world = World::new();
    for encoding in JSON {
        for date in [Some("1970-01-01T00:00:07Z"), None] {
            let genuine = world.pledge_request(encoding);
            let bytes = forge(&genuine, encoding, &world.device, |fields| {
                fields.remove("created-on");
                if let Some(date) = date {
                    fields.insert("created-on".into(), date.into());
                }
            });
            world.at_registrar(&bytes, encoding).unwrap();
        }
    }
}

#[test]
fn rfc8995_5_3_a_device_of_another_maker_is_refused() {
    let world = World::new();
    let stranger = World::new();
    let error = idevid::verify_device_chain(
        &stranger.device.chain,
        &world.manufacturer_anchors,
        &world.idevid_rules,
        world.now,
    )
    .unwrap_err();
    assert!(matches!(
        error,
        Error::Chain {
            artifact: Artifact::PledgeRequest,
            ..
        }
    ));
    assert_eq!(error.reason_code(), "unknown-issuer");
    let error = idevid::verify_device_chain(
        &[],
        &world.manufacturer_anchors,
        &world.idevid_rules,
        world.now,
    )
    .unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::NoTlsClientCertificate));
    assert_eq!(status::of_registrar(&error), 401);
}

#[test]
fn rfc8995_5_1_a_server_without_certificate_is_not_what_the_pledge_sees() {
    let world = World::new();
    let device = world.device_path();
    let error = verify_pledge_request(
        &world.pledge_request(Encoding::CmsJson),
        Encoding::CmsJson,
        &PledgeRequestRules {
            device: &device,
            presented: &[],
            now: world.now,
            skew: SKEW,
            compatibility: &world.compatibility,
        },
    )
    .unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::ProximityNotOurs));
}

/// RFC 8995 §3.4: each leaf has the type that the model gives it.
#[test]
fn malformed_content_is_refused_by_name() {
    type Edit = fn(&mut Map<String, Value>);
    let cases: [(Edit, Malformed); 7] = [
        (
            |fields| drop(fields.remove("serial-number")),
            Malformed::SerialMissing,
        ),
        (
            |fields| drop(fields.insert("serial-number".into(), 7.into())),
            Malformed::FieldType,
        ),
        (
            |fields| drop(fields.insert("assertion".into(), "sure".into())),
            Malformed::Assertion,
        ),
        (
            |fields| drop(fields.insert("created-on".into(), "yesterday".into())),
            Malformed::Date,
        ),
        (
            |fields| drop(fields.insert("created-on".into(), "9999-12-31Tgarbage".into())),
            Malformed::Date,
        ),
        (
            |fields| drop(fields.insert("idevid-issuer".into(), "%%%".into())),
            Malformed::FieldType,
        ),
        (
            |fields| drop(fields.insert("nonce".into(), json!({"a": 1}))),
            Malformed::FieldType,
        ),
    ];
    for (edit, reason) in cases {
        for encoding in JSON {
            let error = edited(encoding, |fields, _| edit(fields));
            assert!(
                matches!(error, Error::Malformed(found) if found == reason),
                "{error:?}"
            );
            assert_eq!(status::of_registrar(&error), 400);
        }
    }
}

#[test]
fn malformed_documents_are_refused_by_name() {
    let world = World::new();
    for (text, reason) in [
        ("{}", Malformed::TopLevel),
        ("[]", Malformed::Json),
        ("", Malformed::Json),
        (r#"{"else":{}}"#, Malformed::TopLevel),
        (
            r#"{"ietf-voucher-request:voucher":{"serial-number":"a"},"b":1}"#,
            Malformed::TopLevel,
        ),
        (r#"{"ietf-voucher-request:voucher":[]}"#, Malformed::Json),
        (
            r#"{"ietf-voucher-request:voucher":{"nonce":"a","nonce":"b"}}"#,
            Malformed::DuplicateField,
        ),
        (
            r#"{"ietf-voucher-request:voucher":{"x":1,"x":2}}"#,
            Malformed::DuplicateField,
        ),
        (
            r#"{"ietf-voucher:voucher":{"serial-number":"a"}}"#,
            Malformed::WrongArtifact,
        ),
        (r#"{"ietf-voucher-request:voucher":{}} x"#, Malformed::Json),
    ] {
        for encoding in JSON {
            let bytes = sign(
                text.as_bytes(),
                encoding,
                &world.device.chain,
                &*world.device.signer,
            );
            let error = world.at_registrar(&bytes, encoding).unwrap_err();
            assert!(
                matches!(error, Error::Malformed(found) if found == reason),
                "{text}: {error:?}"
            );
        }
    }
}

#[test]
fn an_oversized_body_is_refused_with_413() {
    let world = World::new();
    for encoding in Encoding::ALL {
        let error = world
            .at_registrar(&vec![b' '; MAX_MESSAGE_LEN + 1], encoding)
            .unwrap_err();
        assert!(matches!(error, Error::Malformed(Malformed::TooLarge)));
        assert_eq!(status::of_registrar(&error), 413);
        assert_eq!(status::of_masa(&error), 413);
    }
}

#[test]
fn a_body_of_another_encoding_than_its_type_is_refused_with_406() {
    let world = World::new();
    for written in Encoding::ALL {
        for stated in Encoding::ALL
            .into_iter()
            .filter(|stated| *stated != written)
        {
            let error = world
                .at_registrar(&world.pledge_request(written), stated)
                .unwrap_err();
            assert!(matches!(
                error,
                Error::Unsupported(Unsupported::EncodingMismatch)
            ));
            assert_eq!(status::of_registrar(&error), 406);
            assert_eq!(status::of_masa(&error), 415);
        }
    }
}

/// RFC 8995 §6: bodies are binary, unless a peer that sends base64 was named.
#[test]
fn variants_are_read_only_when_the_switch_is_on() {
    let mut world = World::new();
    let text = base64(&world.pledge_request(Encoding::CmsJson));
    let error = world
        .at_registrar(text.as_bytes(), Encoding::CmsJson)
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Signature {
                source: EnvelopeError::Malformed(_),
                ..
            }
        ),
        "{error:?}"
    );
    world.compatibility.accept_base64_body = true;
    world
        .at_registrar(text.as_bytes(), Encoding::CmsJson)
        .unwrap();

    let content = content(&world.pledge_request(Encoding::CmsJson), Encoding::CmsJson);
    let content = String::from_utf8(content)
        .unwrap()
        .replace("ietf-voucher-request:", "ietf-voucher:");
    let bytes = sign(
        content.as_bytes(),
        Encoding::CmsJson,
        &world.device.chain,
        &*world.device.signer,
    );
    assert!(matches!(
        world.at_registrar(&bytes, Encoding::CmsJson).unwrap_err(),
        Error::Malformed(Malformed::WrongArtifact)
    ));
    world.compatibility.accept_voucher_name_in_request = true;
    world.at_registrar(&bytes, Encoding::CmsJson).unwrap();
}

#[test]
fn fields_that_are_not_known_are_kept_and_ignored() {
    let world = World::new();
    let bytes = forge(
        &world.pledge_request(Encoding::JwsJson),
        Encoding::JwsJson,
        &world.device,
        |fields| {
            fields.insert("vendor:colour".into(), json!({"hue": [1, 2]}));
        },
    );
    let pledge = world.at_registrar(&bytes, Encoding::JwsJson).unwrap();
    assert_eq!(pledge.request.other.len(), 1);
    assert_eq!(pledge.request.other[0].name, "vendor:colour");
}

#[test]
fn the_answer_of_a_confused_masa_is_not_handed_on() {
    for encoding in Encoding::ALL {
        let world = World::new();
        let voucher = world.voucher(encoding);
        let nonce = world.nonce(encoding);
        let other = Nonce::fresh(&[8; 16], encoding).unwrap();
        let read = |serial, nonce| {
            read_voucher(&voucher, encoding, serial, nonce, &Compatibility::default())
                .map(|_| ())
                .map_err(|error| error.refusal().unwrap())
        };
        assert_eq!(read(SERIAL, Some(&nonce)), Ok(()));
        assert_eq!(
            read("other", Some(&nonce)),
            Err(Refusal::VoucherOtherSerial)
        );
        assert_eq!(read(SERIAL, Some(&other)), Err(Refusal::VoucherWrongNonce));
        assert_eq!(read(SERIAL, None), Err(Refusal::VoucherWrongNonce));
    }
}

/// cBRSKI §6.8: certificates beside the signature stay behind.
#[test]
fn a_constrained_voucher_is_stripped_of_certificates_on_the_way() {
    let world = World::new();
    let voucher = world.voucher(Encoding::CoseCbor);
    let received = read_voucher(
        &voucher,
        Encoding::CoseCbor,
        SERIAL,
        Some(&world.nonce(Encoding::CoseCbor)),
        &world.compatibility,
    )
    .unwrap();
    assert!(received.bytes.len() < voucher.len());
    assert!(
        vouchsafe_trust::cose::parse(&received.bytes)
            .unwrap()
            .certificates()
            .is_empty()
    );
}

#[test]
fn a_signer_of_another_key_is_our_own_mistake() {
    let world = World::new();
    let stranger: &Identity = &Domain::new("stranger").registrar;
    let pledge = world
        .at_registrar(&world.pledge_request(Encoding::CmsJson), Encoding::CmsJson)
        .unwrap();
    let error = RegistrarRequest::for_pledge(&pledge, world.now)
        .sign(
            &world.domain.registrar.chain,
            &*stranger.signer,
            &world.compatibility,
        )
        .unwrap_err();
    assert_eq!(error.reason_code(), "signer-not-leaf");
    assert_eq!(status::of_registrar(&error), 500);
}

pub fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

pub fn encode_url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

pub fn decode_url(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(text)
        .unwrap()
}
