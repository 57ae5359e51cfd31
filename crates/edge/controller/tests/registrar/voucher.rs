//! `requestvoucher`: every rule of the message itself (RFC 8995 §5.2, §5.3), broken by one who
//! has the right birth certificate. After each refusal the same device gets its voucher on the same
//! connection with the genuine request: nothing was left behind.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Request, Response, header};
use jiff::SignedDuration;
use serde_json::{Map, Value, json};
use vouchsafe_brski::{Encoding, MAX_MESSAGE_LEN, PATH_REQUEST_VOUCHER};
use vouchsafe_fleet::{Action, Subject};
use vouchsafe_net::Connection;
use vouchsafe_trust::cms;

use crate::forge;
use crate::world::{Birth, SERIAL, World, ask, assert_answer, fresh_nonce, said, send};

const JSON: [Encoding; 2] = [Encoding::CmsJson, Encoding::JwsJson];

/// Sends what `forge` makes of the genuine request, which must be refused with this status and
/// code; then the genuine one, which must not be.
async fn refused(
    encoding: Encoding,
    forge: impl FnOnce(&World, &Birth, &[u8]) -> Vec<u8>,
    status: u16,
    code: &str,
) {
    let world = World::new().await;
    let birth = world.maker.device(SERIAL);
    let (mut line, genuine) = world.request(&birth, encoding).await;
    let forged = forge(&world, &birth, &genuine);
    let before = world.before(SERIAL).await;
    let answer = ask(&mut line, &forged, encoding).await;
    world.assert_refused(&before, &answer, status, code).await;
    if status == 401 {
        assert_closed(&mut line, &genuine, encoding).await;
        line = world.connect(Some(&birth)).await;
    }
    let genuine = world.signed_request(&birth, &line, &fresh_nonce(encoding), encoding);
    let answer = ask(&mut line, &genuine, encoding).await;
    assert_eq!(answer.status(), 200, "{}", said(&answer));
}

/// The same for a request whose fields are edited, in both JSON encodings.
async fn edited(edit: impl Fn(&mut Map<String, Value>), status: u16, code: &str) {
    for encoding in JSON {
        let forge =
            |_: &World, birth: &Birth, genuine: &[u8]| forge::edit(genuine, encoding, birth, &edit);
        refused(encoding, forge, status, code).await;
    }
}

/// The same in CBOR.
async fn edited_cbor(
    edit: impl FnOnce(&mut Vec<(ciborium::Value, ciborium::Value)>),
    status: u16,
    code: &str,
) {
    let forge = |_: &World, birth: &Birth, genuine: &[u8]| forge::edit_cbor(genuine, birth, edit);
    refused(Encoding::CoseCbor, forge, status, code).await;
}

async fn assert_closed(line: &mut Connection, genuine: &[u8], encoding: Encoding) {
    let request = Request::post(PATH_REQUEST_VOUCHER)
        .header(header::CONTENT_TYPE, encoding.media_type())
        .body(Bytes::copy_from_slice(genuine))
        .unwrap();
    assert!(
        line.request(request).await.is_err(),
        "the connection is closed"
    );
}

/// RFC 8995 §5.2: the pledge signs its request.
#[tokio::test]
async fn an_unsigned_request_is_refused() {
    let unsigned = |_: &World, birth: &Birth, _: &[u8]| cms::certs_only(&birth.chain);
    refused(Encoding::CmsJson, unsigned, 404, "unsigned").await;
    let unsigned = |_: &World, _: &Birth, genuine: &[u8]| {
        forge::edit_jws(genuine, |jws| jws["signatures"] = json!([]))
    };
    refused(Encoding::JwsJson, unsigned, 404, "unsigned").await;
}

/// RFC 8995 §5.3: the signature is the birth key's.
#[tokio::test]
async fn a_signature_of_another_key_is_refused() {
    for encoding in Encoding::ALL {
        let spoil =
            |_: &World, _: &Birth, genuine: &[u8]| forge::spoil_signature(genuine, encoding);
        refused(encoding, spoil, 404, "signature-invalid").await;
    }
}

/// RFC 8995 §5.3: the signer is the TLS client, and not another device of the same manufacturer,
/// even one of the same serial number.
#[tokio::test]
async fn a_signer_that_is_not_the_tls_client_is_refused() {
    for encoding in Encoding::ALL {
        let other = |world: &World, _: &Birth, genuine: &[u8]| {
            let twin = world.maker.device(SERIAL);
            let content = forge::content(genuine, encoding);
            forge::sign(&content, encoding, &twin.chain, &*twin.signer)
        };
        refused(encoding, other, 404, "signer-not-tls-client").await;
    }
}

/// RFC 8995 §5.3: so is one of a manufacturer that nobody knows.
#[tokio::test]
async fn a_signer_that_nobody_knows_is_refused() {
    let world = World::new().await;
    let birth = world.maker.device(SERIAL);
    let (stranger, _stop) = crate::world::Maker::new("Stranger", &world.clock).await;
    let stranger = stranger.device(SERIAL);
    let (mut line, genuine) = world.request(&birth, Encoding::CmsJson).await;
    let content = forge::content(&genuine, Encoding::CmsJson);
    let forged = forge::sign(
        &content,
        Encoding::CmsJson,
        &stranger.chain,
        &*stranger.signer,
    );
    let before = world.before(SERIAL).await;
    let answer = ask(&mut line, &forged, Encoding::CmsJson).await;
    world
        .assert_refused(&before, &answer, 404, "signer-not-tls-client")
        .await;
}

/// RFC 8995 §5.5: the serial number is that of the certificate.
#[tokio::test]
async fn another_serial_number_is_refused() {
    let edit = |fields: &mut Map<String, Value>| {
        fields.insert("serial-number".into(), "JADA-0002".into());
    };
    edited(edit, 404, "serial-mismatch").await;
}

/// RFC 8995 §5.2: 401, and the connection is closed, when the pledge sees another registrar.
#[tokio::test]
async fn a_proximity_certificate_that_is_not_ours_is_refused_and_the_connection_closed() {
    let other = World::new().await;
    let other = other.controller.registrar.current().chain()[0].clone();
    let der = forge::base64(other.der());
    edited(
        |fields| {
            fields.insert("proximity-registrar-cert".into(), der.clone().into());
        },
        401,
        "proximity-not-ours",
    )
    .await;
    edited_cbor(
        |fields| {
            fields.retain(|(key, _)| *key != 12.into());
            let key = other.public_key().spki_der().to_vec();
            fields.push((12.into(), ciborium::Value::Bytes(key)));
        },
        401,
        "proximity-not-ours",
    )
    .await;
}

/// RFC 8995 §5.2: the CA above us is not us, though our chain holds it.
#[tokio::test]
async fn our_own_ca_as_proximity_certificate_is_refused() {
    let forge = |world: &World, birth: &Birth, genuine: &[u8]| {
        let ca = forge::base64(world.controller.authority.certificate().der());
        forge::edit(genuine, Encoding::CmsJson, birth, |fields| {
            fields.insert("proximity-registrar-cert".into(), ca.into());
        })
    };
    refused(Encoding::CmsJson, forge, 401, "proximity-not-ours").await;
}

/// RFC 8995 §5.2: the pledge says which registrar it sees.
#[tokio::test]
async fn a_request_without_proximity_certificate_is_refused() {
    let edit = |fields: &mut Map<String, Value>| {
        fields.remove("proximity-registrar-cert");
    };
    edited(edit, 404, "proximity-missing").await;
    edited_cbor(
        |fields| fields.retain(|(key, _)| *key != 12.into()),
        404,
        "proximity-missing",
    )
    .await;
}

/// RFC 8995 §5.2: the assertion of a pledge is proximity.
#[tokio::test]
async fn another_assertion_than_proximity_is_refused() {
    let edit = |fields: &mut Map<String, Value>| {
        fields.insert("assertion".into(), "verified".into());
    };
    edited(edit, 404, "assertion-not-proximity").await;
}

/// RFC 8995 §5.2: the nonce MUST be there.
#[tokio::test]
async fn a_missing_nonce_is_refused() {
    let edit = |fields: &mut Map<String, Value>| {
        fields.remove("nonce");
    };
    edited(edit, 404, "nonce-missing").await;
    edited_cbor(
        |fields| fields.retain(|(key, _)| *key != 7.into()),
        404,
        "nonce-missing",
    )
    .await;
}

/// RFC 8366 §5.3: a nonce has 8 to 32 bytes.
#[tokio::test]
async fn a_nonce_of_more_than_32_or_less_than_8_bytes_is_refused() {
    for (length, code) in [(33, "nonce-too-long"), (7, "nonce-too-short")] {
        let edit = |fields: &mut Map<String, Value>| {
            fields.insert("nonce".into(), forge::base64(&vec![9; length]).into());
        };
        edited(edit, 404, code).await;
        edited_cbor(
            |fields| {
                fields.retain(|(key, _)| *key != 7.into());
                fields.push((7.into(), ciborium::Value::Bytes(vec![9; length])));
            },
            404,
            code,
        )
        .await;
    }
}

/// RFC 8366 §5.3: nonce and expires-on exclude each other.
#[tokio::test]
async fn nonce_and_expires_on_together_are_refused() {
    let edit = |fields: &mut Map<String, Value>| {
        fields.insert("expires-on".into(), "2030-01-01T00:00:00Z".into());
    };
    edited(edit, 404, "nonce-with-expires-on").await;
}

/// RFC 8995 §5.2: only a registrar's request holds another one.
#[tokio::test]
async fn a_request_within_a_pledges_request_is_refused() {
    let edit = |fields: &mut Map<String, Value>| {
        fields.insert("prior-signed-voucher-request".into(), "AAAA".into());
    };
    edited(edit, 404, "prior-request-forbidden").await;
}

/// RFC 8995 §5.6: a date in the future, beyond what clocks may differ.
#[tokio::test]
async fn a_request_from_the_future_is_refused() {
    let edit = |fields: &mut Map<String, Value>| {
        fields.insert("created-on".into(), "9000-01-01T00:00:00Z".into());
    };
    edited(edit, 404, "request-from-future").await;
}

/// RFC 8995 §3: a voucher is no voucher request.
#[tokio::test]
async fn a_voucher_in_the_place_of_a_request_is_refused() {
    let world = World::new().await;
    let birth = world.maker.device(SERIAL);
    let (mut line, genuine) = world.request(&birth, Encoding::CmsJson).await;
    let voucher = ask(&mut line, &genuine, Encoding::CmsJson)
        .await
        .into_body();
    let content = forge::content(&voucher, Encoding::CmsJson);
    let forged = forge::sign(&content, Encoding::CmsJson, &birth.chain, &*birth.signer);
    let before = world.before(SERIAL).await;
    for body in [&voucher[..], &forged] {
        let answer = ask(&mut line, body, Encoding::CmsJson).await;
        assert_answer(&answer, 400, "wrong-artifact");
    }
    let before_last = world.before(SERIAL).await;
    let answer = ask(&mut line, &voucher, Encoding::CmsJson).await;
    world
        .assert_refused(&before_last, &answer, 400, "wrong-artifact")
        .await;
    assert_eq!(before.state(), &world.state(SERIAL).await);
}

/// RFC 8995 §5.2: a nonce is used once.
#[tokio::test]
async fn the_same_nonce_in_another_request_is_refused() {
    for encoding in Encoding::ALL {
        let world = World::new().await;
        let birth = world.maker.device(SERIAL);
        let mut line = world.connect(Some(&birth)).await;
        let nonce = fresh_nonce(encoding);
        let first = world.signed_request(&birth, &line, &nonce, encoding);
        let answer = ask(&mut line, &first, encoding).await;
        assert_eq!(answer.status(), 200, "{}", said(&answer));
        // Signed anew, so other bytes.
        let second = world.signed_request(&birth, &line, &nonce, encoding);
        assert_ne!(first, second);
        let before = world.before(SERIAL).await;
        let answer = ask(&mut line, &second, encoding).await;
        world
            .assert_refused(&before, &answer, 403, "nonce-reused")
            .await;
    }
}

/// RFC 8995 §5.2: the very same request gets the very same answer for an hour, and none after it.
#[tokio::test]
async fn a_request_replayed_after_an_hour_is_refused() {
    let world = World::new().await;
    let birth = world.maker.device(SERIAL);
    let (mut line, request) = world.request(&birth, Encoding::CmsJson).await;
    let first = ask(&mut line, &request, Encoding::CmsJson).await;
    assert_eq!(first.status(), 200, "{}", said(&first));
    let window = vouchsafe_fleet::decide::REPLAY_WINDOW;
    let almost = window - SignedDuration::from_mins(5);
    world.clock.advance(Duration::try_from(almost).unwrap());
    let again = ask(&mut line, &request, Encoding::CmsJson).await;
    assert_eq!(again.body(), first.body());
    world.clock.advance(Duration::from_secs(600));
    let before = world.before(SERIAL).await;
    let answer = ask(&mut line, &request, Encoding::CmsJson).await;
    world
        .assert_refused(&before, &answer, 403, "replayed")
        .await;
}

/// RFC 8995 §5.2 sets no limit, so ours is told.
#[tokio::test]
async fn an_oversized_request_is_refused_and_the_limit_told() {
    for encoding in Encoding::ALL {
        let world = World::new().await;
        let birth = world.maker.device(SERIAL);
        let mut line = world.connect(Some(&birth)).await;
        let before = world.before(SERIAL).await;
        let body = vec![0x30; MAX_MESSAGE_LEN + 1];
        let answer = ask(&mut line, &body, encoding).await;
        world
            .assert_refused(&before, &answer, 413, "too-large")
            .await;
        assert!(
            said(&answer).contains(&MAX_MESSAGE_LEN.to_string()),
            "{}",
            said(&answer)
        );
    }
}

/// RFC 8995 §5, RFC 7030 §4.2: what is beyond all reason is not even read to its end, and the journal
/// of the device says so, whichever way it asked.
#[tokio::test]
async fn a_body_larger_than_any_message_is_refused_unread_and_the_limit_told() {
    let world = World::new().await;
    let birth = world.maker.device(SERIAL);
    // The first is refused by its handler, the second by the listener for what it announces.
    for size in [300 * 1024, 2 * 1024 * 1024] {
        for (path, section) in OVERSIZED {
            let mut line = world.connect(Some(&birth)).await;
            let before = world.controller.store.position();
            let asked = world.maker.masa.asked();
            let answer = post(&mut line, path, vec![0x30; size]).await;
            assert_eq!(answer.status(), 413, "{path}");
            assert_eq!(world.controller.store.position(), before + 1);
            let journal = world.journal(Subject::Device(world.id(SERIAL))).await;
            let last = journal.last().unwrap();
            assert_eq!(last.action, Action::RequestRefused);
            assert_eq!(last.reasons[0].code, "too-large");
            assert_eq!(last.reasons[0].section, section);
            assert_eq!(world.maker.masa.asked(), asked);
            if size < 1024 * 1024 {
                assert!(said(&answer).contains("131072"), "{}", said(&answer));
            }
        }
    }
    world.with_voucher(&birth).await;
}

/// A stranger is written down once, however often and wherever it sends too much.
#[tokio::test]
async fn a_stranger_who_sends_too_much_is_journaled_once() {
    let world = World::new().await;
    let before = world.controller.store.position();
    for _ in 0..3 {
        for (path, _) in OVERSIZED {
            let mut line = world.connect(None).await;
            let answer = post(&mut line, path, vec![0x30; 300 * 1024]).await;
            assert_eq!(answer.status(), 413, "{path}");
        }
    }
    assert_eq!(world.controller.store.position(), before + 1);
    let site = world.journal(Subject::Site).await;
    assert_eq!(site.last().unwrap().reasons[0].code, "too-large");
}

/// What takes a body, and the section that a refusal names.
const OVERSIZED: [(&str, &str); 5] = [
    ("/.well-known/brski/requestvoucher", "RFC 8995 §5"),
    ("/.well-known/brski/voucher_status", "RFC 8995 §5"),
    ("/.well-known/brski/enrollstatus", "RFC 8995 §5"),
    ("/.well-known/est/simpleenroll", "RFC 7030 §4.2"),
    ("/.well-known/est/simplereenroll", "RFC 7030 §4.2"),
];

async fn post(line: &mut Connection, path: &str, body: Vec<u8>) -> Response<Bytes> {
    let request = Request::post(path).body(Bytes::from(body)).unwrap();
    line.request(request).await.unwrap()
}

/// RFC 8995 §5.3: a request that was cut off anywhere does not validate, and the registrar lives.
#[tokio::test]
async fn a_request_truncated_anywhere_is_refused() {
    for (encoding, step) in [
        (Encoding::CmsJson, 13),
        (Encoding::JwsJson, 19),
        (Encoding::CoseCbor, 9),
    ] {
        let world = World::new().await;
        let birth = world.maker.device(SERIAL);
        let (mut line, genuine) = world.request(&birth, encoding).await;
        let before = world.before(SERIAL).await;
        let state = world.state(SERIAL).await;
        let lengths: Vec<usize> = (0..genuine.len())
            .filter(|length| length % step == 0 || genuine.len() - length < 8 || *length < 8)
            .collect();
        for &length in &lengths {
            let answer = ask(&mut line, &genuine[..length], encoding).await;
            let status = answer.status().as_u16();
            assert!(
                matches!(status, 400 | 404 | 406),
                "{length}: {}",
                said(&answer)
            );
        }
        assert_eq!(world.state(SERIAL).await, state);
        assert_eq!(before.state(), &state);
        let chain = world.journal(Subject::Device(world.id(SERIAL))).await;
        assert_eq!(chain.len(), 1 + lengths.len(), "an entry for each");
        assert_eq!(world.maker.masa.asked(), 0);
        let answer = ask(&mut line, &genuine, encoding).await;
        assert_eq!(answer.status(), 200, "{}", said(&answer));
        world.assert_sound().await;
    }
}

/// RFC 8995 §5.3 and RFC 9110 §15.5.16: 415 for a media type that is no voucher request's.
#[tokio::test]
async fn a_wrong_media_type_is_refused() {
    let world = World::new().await;
    let birth = world.maker.device(SERIAL);
    let (mut line, genuine) = world.request(&birth, Encoding::CmsJson).await;
    for kind in [
        "application/json",
        "application/voucher+json",
        "text/plain",
        "x",
    ] {
        let before = world.before(SERIAL).await;
        let answer = send(&mut line, PATH_REQUEST_VOUCHER, kind, &genuine).await;
        world
            .assert_refused(&before, &answer, 415, "media-type-unsupported")
            .await;
    }
    let before = world.before(SERIAL).await;
    let request = Request::post(PATH_REQUEST_VOUCHER)
        .body(Bytes::from(genuine.clone()))
        .unwrap();
    let answer = line.request(request).await.unwrap();
    world
        .assert_refused(&before, &answer, 415, "media-type-unsupported")
        .await;
    let answer = ask(&mut line, &genuine, Encoding::CmsJson).await;
    assert_eq!(answer.status(), 200, "{}", said(&answer));
}

/// RFC 8995 §5.3: 406 for a body of another encoding than its media type says.
#[tokio::test]
async fn a_body_of_another_encoding_than_its_media_type_is_refused() {
    let world = World::new().await;
    let birth = world.maker.device(SERIAL);
    let (mut line, genuine) = world.request(&birth, Encoding::CmsJson).await;
    let before = world.before(SERIAL).await;
    let answer = ask(&mut line, &genuine, Encoding::JwsJson).await;
    world
        .assert_refused(&before, &answer, 406, "encoding-mismatch")
        .await;
}

/// RFC 8995 §5.6: 406 where no voucher that we could give would be taken.
#[tokio::test]
async fn an_answer_that_would_not_be_taken_is_not_asked_for() {
    let world = World::new().await;
    let birth = world.maker.device(SERIAL);
    let (mut line, genuine) = world.request(&birth, Encoding::CmsJson).await;
    let mut with_accept = async |accept: &str| {
        let request = Request::post(PATH_REQUEST_VOUCHER)
            .header(header::CONTENT_TYPE, Encoding::CmsJson.media_type())
            .header(header::ACCEPT, accept)
            .body(Bytes::from(genuine.clone()))
            .unwrap();
        line.request(request).await.unwrap()
    };
    for accept in [
        "text/html",
        "application/voucher-cms+json;q=0",
        "application/voucher+cose",
    ] {
        let before = world.before(SERIAL).await;
        let answer = with_accept(accept).await;
        world
            .assert_refused(&before, &answer, 406, "answer-not-acceptable")
            .await;
    }
    let answer = with_accept("text/html, application/voucher-cms+json;q=0.5").await;
    assert_eq!(answer.status(), 200, "{}", said(&answer));
}

/// RFC 8366 §5.4: one signer, so that there is no doubt who asks.
#[tokio::test]
async fn two_signers_are_refused() {
    let twice = |_: &World, _: &Birth, genuine: &[u8]| {
        forge::edit_signers(genuine, |infos| {
            let mut second = infos[0].clone();
            second.signature = der::asn1::OctetString::new(vec![1; 70]).unwrap();
            infos.push(second);
        })
    };
    refused(Encoding::CmsJson, twice, 404, "several-signers").await;
    let twice = |_: &World, _: &Birth, genuine: &[u8]| {
        forge::edit_jws(genuine, |jws| {
            let first = jws["signatures"][0].clone();
            jws["signatures"].as_array_mut().unwrap().push(first);
        })
    };
    refused(Encoding::JwsJson, twice, 404, "several-signers").await;
}

/// RFC 8366bis §7.1: signed attributes are there.
#[tokio::test]
async fn missing_signed_attributes_are_refused() {
    let bare = |_: &World, _: &Birth, genuine: &[u8]| {
        forge::edit_signers(genuine, |infos| infos[0].signed_attrs = None)
    };
    refused(Encoding::CmsJson, bare, 404, "signed-attributes-missing").await;
}

/// RFC 7515 §4.1.11, RFC 9052 §3.1: what the sender calls critical is understood or refused.
#[tokio::test]
async fn unknown_critical_content_is_refused() {
    let demand =
        |_: &World, _: &Birth, genuine: &[u8]| forge::edit_jws(genuine, forge::demand_unknown);
    refused(Encoding::JwsJson, demand, 406, "critical-content-unknown").await;
    let demand = |_: &World, _: &Birth, genuine: &[u8]| forge::demand_unknown_in_cose(genuine);
    refused(Encoding::CoseCbor, demand, 406, "critical-content-unknown").await;
}

/// RFC 8366 §8.4: a CMS message that says it holds something else.
#[tokio::test]
async fn another_content_type_is_refused() {
    let other = |_: &World, birth: &Birth, genuine: &[u8]| {
        let options = cms::SignOptions {
            content_type: vouchsafe_trust::Oid::new_unwrap("1.2.840.113549.1.9.16.1.4"),
            certificates: &birth.chain,
            signing_time: None,
        };
        let content = forge::content(genuine, Encoding::CmsJson);
        cms::sign(&content, &options, &*birth.signer).unwrap()
    };
    refused(Encoding::CmsJson, other, 406, "content-type-unsupported").await;
}

/// RFC 7951 §4: JSON that is none, or not the right one.
#[tokio::test]
async fn content_that_is_no_voucher_request_is_refused() {
    for (text, code) in [
        ("", "json-malformed"),
        ("[]", "json-malformed"),
        ("{}", "top-level-malformed"),
        (
            r#"{"ietf-voucher-request:voucher":{"nonce":"a","nonce":"b"}}"#,
            "duplicate-field",
        ),
        (
            r#"{"ietf-voucher-request:voucher":{"nonce":"AAAAAAAAAAAA"}}"#,
            "serial-number-missing",
        ),
    ] {
        for encoding in JSON {
            let other = |_: &World, birth: &Birth, _: &[u8]| {
                forge::sign(text.as_bytes(), encoding, &birth.chain, &*birth.signer)
            };
            refused(encoding, other, 400, code).await;
        }
    }
}
