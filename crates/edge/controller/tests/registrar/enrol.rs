//! EST: every rule of a certificate request and of who sends it (RFC 7030 §4.2 to §4.4, RFC 8951,
//! RFC 8995 §5.9, RFC 9266), broken.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use axum::http::header;
use vouchsafe_brski::{Encoding, PATH_ENROLL_STATUS, PATH_VOUCHER_STATUS, est};
use vouchsafe_controller::config::{Config, Period};
use vouchsafe_fleet::credential::MAX_HELD;
use vouchsafe_fleet::decide;
use vouchsafe_fleet::wifi::{self, Assurance, DeviceRole, Given, Standing};
use vouchsafe_fleet::{
    Action, Change, Commit, CredentialStatus, Device, ManufacturerId, ManufacturerTrust,
    RevocationReason, State as Life, Subject,
};
use vouchsafe_net::Connection;
use vouchsafe_trust::{
    CertificateRequest, Name, RequestContent, Signer, SoftwareSigner, SubjectAltName, oid,
};

use crate::forge;
use crate::onboarding::settle;
use crate::world::{
    ACCEPTED, Birth, SERIAL, World, ask, assert_answer, csr, csr_of, enroll, new_key, said, send,
};

const ENROLL: &str = "/.well-known/est/simpleenroll";

/// Sends a request that must be refused with this status and code; then a good one, which must not.
async fn refused(request: &[u8], status: u16, code: &str) {
    let world = World::new().await;
    let mut line = world.with_voucher(&world.maker.device(SERIAL)).await;
    let before = world.before(SERIAL).await;
    let answer = enroll(&mut line, "simpleenroll", request).await;
    world.assert_refused(&before, &answer, status, code).await;
    let answer = enroll(&mut line, "simpleenroll", &csr(SERIAL, &*new_key())).await;
    assert_eq!(answer.status(), 200, "{}", said(&answer));
    assert_eq!(world.state(SERIAL).await.credentials.len(), 1);
}

/// The same with a configuration of one's own, of which nothing is expected afterwards.
async fn refused_here(
    configure: impl FnOnce(&mut Config),
    request: impl FnOnce(&Connection) -> Vec<u8>,
    status: u16,
    code: &str,
) {
    let world = World::with(configure).await;
    let mut line = world.with_voucher(&world.maker.device(SERIAL)).await;
    let request = request(&line);
    let before = world.before(SERIAL).await;
    let answer = enroll(&mut line, "simpleenroll", &request).await;
    world.assert_refused(&before, &answer, status, code).await;
}

fn bound(line: &Connection, key: &dyn Signer) -> Vec<u8> {
    let name = Name::new(&[(oid::SERIAL_NUMBER, SERIAL)]).unwrap();
    let mut content = RequestContent::new(name);
    content.challenge_password = Some(est::channel_binding(&line.exporter()));
    CertificateRequest::build(&content, key).unwrap()
}

/// RFC 7030 §4.2.1: the requester proves that it has the key.
#[tokio::test]
async fn a_request_with_a_wrong_signature_is_refused() {
    let mut request = csr(SERIAL, &*new_key());
    *request.last_mut().unwrap() ^= 1;
    refused(&request, 400, "csr-signature").await;
}

/// RFC 7030 §4.2.1: signed by another key than the one it names.
#[tokio::test]
async fn a_request_signed_by_another_key_than_it_names_is_refused() {
    let (named, signer) = (new_key(), new_key());
    let mut request = csr(SERIAL, &*named);
    let (own, other) = (
        named.public_key().spki_der(),
        signer.public_key().spki_der(),
    );
    let at = request
        .windows(own.len())
        .position(|window| window == own)
        .unwrap();
    request[at..at + own.len()].copy_from_slice(other);
    refused(&request, 400, "csr-signature").await;
}

/// RFC 8951 §3.1: a body that is not base64, or not a request.
#[tokio::test]
async fn a_body_that_is_no_request_is_refused() {
    let world = World::new().await;
    let mut line = world.with_voucher(&world.maker.device(SERIAL)).await;
    for (body, code) in [
        (&b"%%%%"[..], "base64-malformed"),
        (b"", "certificate-request-malformed"),
        (b"AAAA", "certificate-request-malformed"),
    ] {
        let before = world.before(SERIAL).await;
        let answer = send(&mut line, ENROLL, est::MEDIA_TYPE_REQUEST, body).await;
        world.assert_refused(&before, &answer, 400, code).await;
    }
    let genuine = est::encode_body(&csr(SERIAL, &*new_key()));
    for length in (0..genuine.len() - 4).step_by(7) {
        let body = &genuine.as_bytes()[..length];
        let answer = send(&mut line, ENROLL, est::MEDIA_TYPE_REQUEST, body).await;
        assert_eq!(answer.status(), 400, "{length}: {}", said(&answer));
    }
    assert_eq!(world.state(SERIAL).await.credentials, []);
    let kind = est::MEDIA_TYPE_REQUEST;
    let answer = send(&mut line, ENROLL, kind, genuine.as_bytes()).await;
    assert_eq!(answer.status(), 200, "{}", said(&answer));
}

/// One credential, one device: a key that another device has is not certified again.
#[tokio::test]
async fn a_key_of_another_device_is_refused() {
    let world = World::new().await;
    world.claim("JADA-0002").await;
    let other = world.onboarded(&world.maker.device("JADA-0002")).await;
    let mut line = world.with_voucher(&world.maker.device(SERIAL)).await;
    let before = world.before(SERIAL).await;
    let answer = enroll(&mut line, "simpleenroll", &csr(SERIAL, &*other.signer)).await;
    world
        .assert_refused(&before, &answer, 409, "key-of-another-device")
        .await;
}

/// The same for a key that another device was born with.
#[tokio::test]
async fn a_birth_key_of_another_device_is_refused() {
    let world = World::new().await;
    world.claim("JADA-0002").await;
    let other = world.maker.device("JADA-0002");
    world.onboarded(&other).await;
    let mut line = world.with_voucher(&world.maker.device(SERIAL)).await;
    let before = world.before(SERIAL).await;
    let answer = enroll(&mut line, "simpleenroll", &csr(SERIAL, &*other.signer)).await;
    world
        .assert_refused(&before, &answer, 409, "key-of-another-device")
        .await;
}

/// RFC 8995 §5.9.2, RFC 9908 §3: the subject has the device's serial number.
#[tokio::test]
async fn a_request_without_serial_number_or_with_another_is_refused() {
    let name = Name::common("sensor").unwrap();
    let request = CertificateRequest::build(&RequestContent::new(name), &*new_key()).unwrap();
    refused(&request, 400, "csr-subject").await;
    refused(&csr("JADA-0002", &*new_key()), 400, "csr-subject").await;
}

/// RFC 9908 §3: the key is of the kind that was asked for.
#[tokio::test]
async fn a_key_of_another_kind_is_refused() {
    let p384 = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
    let p384 = p384.to_pkcs8v1().unwrap();
    let ed25519 = Ed25519KeyPair::generate().unwrap().to_pkcs8().unwrap();
    for der in [p384.as_ref(), ed25519.as_ref()] {
        let key = SoftwareSigner::from_pkcs8_der(der).unwrap();
        refused(&csr(SERIAL, &key), 400, "csr-key-type").await;
    }
}

/// RFC 7030 §3.5, RFC 9266: a request that is bound to another connection was stolen.
#[tokio::test]
async fn a_request_bound_to_another_connection_is_refused() {
    let world = World::new().await;
    let birth = world.maker.device(SERIAL);
    let mut line = world.with_voucher(&birth).await;
    let other = world.connect(Some(&birth)).await;
    let key = new_key();
    let before = world.before(SERIAL).await;
    let answer = enroll(&mut line, "simpleenroll", &bound(&other, &*key)).await;
    world
        .assert_refused(&before, &answer, 400, "channel-binding")
        .await;
    let request = bound(&line, &*key);
    let answer = enroll(&mut line, "simpleenroll", &request).await;
    assert_eq!(answer.status(), 200, "{}", said(&answer));
}

/// RFC 7030 §3.5: where the binding is required, a request without it.
#[tokio::test]
async fn a_request_without_its_required_binding_is_refused() {
    let require = |config: &mut Config| config.est.require_channel_binding = true;
    refused_here(
        require,
        |_| csr(SERIAL, &*new_key()),
        400,
        "channel-binding-missing",
    )
    .await;
    let world = World::with(require).await;
    let mut line = world.with_voucher(&world.maker.device(SERIAL)).await;
    let request = bound(&line, &*new_key());
    let answer = enroll(&mut line, "simpleenroll", &request).await;
    assert_eq!(answer.status(), 200, "{}", said(&answer));
}

/// RFC 7030 §4.2.1: the media type is `application/pkcs10`.
#[tokio::test]
async fn a_wrong_media_type_is_refused() {
    let world = World::new().await;
    let mut line = world.with_voucher(&world.maker.device(SERIAL)).await;
    let request = est::encode_body(&csr(SERIAL, &*new_key()));
    for kind in ["application/pkcs7-mime", "text/plain", ""] {
        let before = world.before(SERIAL).await;
        let answer = send(&mut line, ENROLL, kind, request.as_bytes()).await;
        world
            .assert_refused(&before, &answer, 415, "media-type-unsupported")
            .await;
    }
}

/// RFC 8995 §5.9: first the voucher, then the certificate. This holds for a device that never
/// asked, and for one that refused what it got.
#[tokio::test]
async fn a_device_without_a_voucher_is_refused() {
    let world = World::new().await;
    let birth = world.maker.device(SERIAL);
    let mut line = world.connect(Some(&birth)).await;
    let before = world.before(SERIAL).await;
    let answer = enroll(&mut line, "simpleenroll", &csr(SERIAL, &*new_key())).await;
    world
        .assert_refused(&before, &answer, 403, "no-voucher-yet")
        .await;

    world.maker.masa.say(503, b"later");
    let nonce = crate::world::fresh_nonce(Encoding::CmsJson);
    let request = world.signed_request(&birth, &line, &nonce, Encoding::CmsJson);
    let answer = ask(&mut line, &request, Encoding::CmsJson).await;
    assert_eq!(answer.status(), 202, "{}", said(&answer));
    let before = world.before(SERIAL).await;
    let answer = enroll(&mut line, "simpleenroll", &csr(SERIAL, &*new_key())).await;
    world
        .assert_refused(&before, &answer, 403, "no-voucher-yet")
        .await;

    world.maker.masa.recover();
    let answer = ask(&mut line, &request, Encoding::CmsJson).await;
    assert_eq!(answer.status(), 200, "{}", said(&answer));
    let report = br#"{"version":1,"status":false,"reason":"not for me"}"#;
    let answer = send(&mut line, PATH_VOUCHER_STATUS, "application/json", report).await;
    assert_eq!(answer.status(), 200, "{}", said(&answer));
    let before = world.before(SERIAL).await;
    let answer = enroll(&mut line, "simpleenroll", &csr(SERIAL, &*new_key())).await;
    assert_eq!(answer.status(), 403);
    let code = said(&answer).split(':').next().unwrap().to_owned();
    assert!(
        matches!(code.as_str(), "voucher-rejected" | "no-voucher-yet"),
        "{code}"
    );
    world.assert_refused(&before, &answer, 403, &code).await;
}

/// RFC 8995 §5.3: EST is for devices that belong here as well. Each stranger is written down, once.
#[tokio::test]
async fn a_stranger_gets_no_certificate() {
    let world = World::new().await;
    let (other, _stop) = crate::world::Maker::new("Unheard of", &world.clock).await;
    let strangers = [
        (None, 401, "no-tls-client-certificate"),
        (Some(world.maker.device("JADA-9999")), 404, "unknown-device"),
        (Some(other.device("JADA-9999")), 404, "unknown-device"),
    ];
    let mut written = world.journal(Subject::Site).await.len();
    for (birth, status, code) in &strangers {
        for _ in 0..2 {
            let mut line = world.connect(birth.as_ref()).await;
            let request = csr("JADA-9999", &*new_key());
            let answer = enroll(&mut line, "simpleenroll", &request).await;
            assert_answer(&answer, *status, code);
        }
        written += 1;
        let journal = world.journal(Subject::Site).await;
        assert_eq!(journal.len(), written, "{code} is written down once");
        assert_eq!(journal.last().unwrap().reasons[0].code, *code);
    }
    assert_eq!(world.state(SERIAL).await.credentials, []);
    world.assert_sound().await;
}

/// A certificate that names our CA as its issuer and is not in our books.
#[tokio::test]
async fn a_forged_credential_is_refused() {
    let world = World::new().await;
    world.onboarded(&world.maker.device(SERIAL)).await;
    let ca = world.controller.authority.certificate();
    let profile = vouchsafe_trust::Profile::domain_ca(ca.subject().clone());
    let years = crate::world::years(1);
    let forger =
        vouchsafe_trust::Authority::self_signed(&profile, &[1; 16], years, new_key()).unwrap();
    let signer = new_key();
    let name = Name::new(&[(oid::SERIAL_NUMBER, SERIAL)]).unwrap();
    let profile = vouchsafe_trust::Profile::ldevid(name, Vec::new());
    let serial: [u8; 16] = [0x41; 16];
    let leaf = forger
        .issue(&profile, signer.public_key(), &serial, years)
        .unwrap();
    let forged = Birth {
        chain: vec![leaf],
        signer,
    };
    let before = world.state(SERIAL).await;
    let mut line = world.connect(Some(&forged)).await;
    for operation in ["simplereenroll", "simpleenroll"] {
        let answer = enroll(&mut line, operation, &csr(SERIAL, &*new_key())).await;
        assert_answer(&answer, 404, "unknown-device");
    }
    assert_eq!(world.state(SERIAL).await, before);
}

/// RFC 7030 §3.3.2: a revoked credential opens nothing.
#[tokio::test]
async fn a_revoked_credential_is_refused() {
    let world = World::new().await;
    let ldevid = world.onboarded(&world.maker.device(SERIAL)).await;
    world
        .operate(SERIAL, |facts| {
            let credential = &facts.credentials[0];
            let outcome = decide::revoke(facts, credential, RevocationReason::KeyCompromise);
            vouchsafe_fleet::Outcome {
                decision: vouchsafe_fleet::Decision::Accept(facts.device.clone()),
                commit: outcome.commit,
            }
        })
        .await;
    let mut line = world.connect(Some(&ldevid)).await;
    for operation in ["simplereenroll", "simpleenroll"] {
        let request = csr_of(&ldevid.chain[0], &*new_key());
        let before = world.before(SERIAL).await;
        let answer = enroll(&mut line, operation, &request).await;
        world
            .assert_refused(&before, &answer, 403, "credential-revoked")
            .await;
    }
}

/// RFC 8995 §5.7: a voucher is judged by who asked for it. Whoever stole a credential, revoked or not, could
/// otherwise end the onboarding of the device that was reset.
#[tokio::test]
async fn a_credential_judges_no_voucher() {
    const REFUSED: &[u8] = br#"{"version":1,"status":false,"reason":"no","reason-context":{}}"#;
    let world = World::new().await;
    let device = world.maker.device(SERIAL);
    let ldevid = world.onboarded(&device).await;
    let mut line = world.with_voucher(&device).await;
    let before = world.before(SERIAL).await;
    let mut thief = world.connect(Some(&ldevid)).await;
    let kind = "application/json";
    let answer = send(&mut thief, PATH_VOUCHER_STATUS, kind, REFUSED).await;
    world
        .assert_refused(&before, &answer, 404, "status-not-by-idevid")
        .await;
    let answer = enroll(&mut line, "simpleenroll", &csr(SERIAL, &*new_key())).await;
    assert_eq!(answer.status(), 200, "{}", said(&answer));
}

/// RFC 8995 §5.9.4: what a revoked credential says of itself is refused and confirms nothing.
#[tokio::test]
async fn a_revoked_credential_confirms_nothing() {
    let world = World::new().await;
    let ldevid = world.onboarded(&world.maker.device(SERIAL)).await;
    world
        .operate(SERIAL, |facts| {
            decide::revoke_all(facts, RevocationReason::KeyCompromise)
        })
        .await;
    let before = world.before(SERIAL).await;
    let mut line = world.connect(Some(&ldevid)).await;
    let answer = send(&mut line, PATH_ENROLL_STATUS, "application/json", ACCEPTED).await;
    world
        .assert_refused(&before, &answer, 403, "credential-revoked")
        .await;
}

/// A device that asks without end holds no more than what can be revoked with it, all of which then is: also
/// what it superseded, which others who read the CRL would still take.
#[tokio::test]
async fn a_device_that_renews_without_end_is_revoked_whole() {
    let world = World::new().await;
    let birth = world.maker.device(SERIAL);
    world.onboarded(&birth).await;
    let mut line = world.connect(Some(&birth)).await;
    for _ in 1..MAX_HELD {
        let answer = enroll(&mut line, "simplereenroll", &csr(SERIAL, &*new_key())).await;
        assert_eq!(answer.status(), 200, "{}", said(&answer));
    }
    let before = world.before(SERIAL).await;
    let answer = enroll(&mut line, "simplereenroll", &csr(SERIAL, &*new_key())).await;
    world
        .assert_refused(&before, &answer, 403, "too-many-credentials")
        .await;
    let store = &world.controller.store;
    let now = world.now();
    let held = store.credentials_that_count(world.id(SERIAL), now).await;
    assert_eq!(held.unwrap().len(), MAX_HELD);
    world
        .operate(SERIAL, |facts| {
            decide::revoke_all(facts, RevocationReason::KeyCompromise)
        })
        .await;
    let left = store.credentials_that_count(world.id(SERIAL), now).await;
    assert_eq!(left.unwrap(), []);
}

/// RFC 5280 §4.1.2.5: one that has run out does not renew; the birth certificate still does.
#[tokio::test]
async fn an_expired_credential_is_refused() {
    let world = World::with(|config| config.ldevid.lifetime = Period::from_secs(3600)).await;
    let birth = world.maker.device(SERIAL);
    let ldevid = world.onboarded(&birth).await;
    world.clock.advance(Duration::from_secs(3601));
    let mut line = world.connect(Some(&ldevid)).await;
    let before = world.before(SERIAL).await;
    let request = csr_of(&ldevid.chain[0], &*new_key());
    let answer = enroll(&mut line, "simplereenroll", &request).await;
    world
        .assert_refused(&before, &answer, 403, "credential-expired")
        .await;

    let mut line = world.connect(Some(&birth)).await;
    let answer = enroll(&mut line, "simplereenroll", &csr(SERIAL, &*new_key())).await;
    assert_eq!(answer.status(), 200, "{}", said(&answer));
}

/// RFC 7030 §4.2.2, where configuration says so: a further credential needs the present one.
#[tokio::test]
async fn a_birth_certificate_in_place_of_the_credential_is_refused_where_configured() {
    let world = World::with(|config| config.est.refuse_idevid_renewal = true).await;
    let birth = world.maker.device(SERIAL);
    let ldevid = world.onboarded(&birth).await;
    let mut line = world.connect(Some(&birth)).await;
    for operation in ["simplereenroll", "simpleenroll"] {
        let before = world.before(SERIAL).await;
        let answer = enroll(&mut line, operation, &csr(SERIAL, &*new_key())).await;
        world
            .assert_refused(&before, &answer, 403, "idevid-reenrol-forbidden")
            .await;
    }
    let mut line = world.connect(Some(&ldevid)).await;
    let request = csr_of(&ldevid.chain[0], &*new_key());
    let answer = enroll(&mut line, "simplereenroll", &request).await;
    assert_eq!(answer.status(), 200, "{}", said(&answer));
}

/// Whoever checks a device's certificate elsewhere learns from it where to ask (RFC 5280 §4.2.1.13, RFC 6960 §3.1).
#[tokio::test]
async fn a_certificate_says_where_its_revocation_is_told() {
    let configure = |config: &mut Config| config.ldevid.pki_url = "http://pki.example/".to_owned();
    let world = World::with(configure).await;
    let ldevid = world.onboarded(&world.maker.device(SERIAL)).await;
    let certificate = &ldevid.chain[0];
    assert_eq!(
        certificate.crl_urls(),
        ["http://pki.example/pki/domain.crl"]
    );
    assert_eq!(certificate.ocsp_urls(), ["http://pki.example/pki/ocsp"]);
}

/// A device that came in by the key on its label renews whatever is known of its maker, and only
/// then.
#[tokio::test]
async fn a_device_that_came_in_by_its_label_renews_without_a_manufacturer() {
    let world = World::new().await;
    let ldevid = world.onboarded(&world.maker.device(SERIAL)).await;
    let id = world.id(SERIAL);
    let store = &world.controller.store;
    let device = store.device(id).await.unwrap().unwrap();
    let anonymous = Device {
        manufacturer: ManufacturerId::NONE,
        ..device
    };
    let put = |change| Commit {
        changes: vec![change],
        ..Commit::default()
    };
    let change = Change::PutDevice(Box::new(anonymous));
    world.controller.commit(put(change)).await.unwrap();
    let renew = async || {
        let mut line = world.connect(Some(&ldevid)).await;
        let request = csr_of(&ldevid.chain[0], &*new_key());
        enroll(&mut line, "simplereenroll", &request).await
    };
    assert_answer(&renew().await, 404, "unknown-manufacturer");
    let standing = Standing {
        given: Some(Given {
            network: "office".to_owned(),
            network_version: 1,
            role: DeviceRole::Station,
            key: None,
            assurance: Assurance::ResponderOnly,
            called: None,
            certificate: None,
            certified_by: Vec::new(),
            at: world.now(),
            confirmed_at: None,
        }),
        ..Standing::nothing(id, world.now())
    };
    let change = Change::Wifi(wifi::Change::PutStanding(Box::new(standing)));
    world.controller.commit(put(change)).await.unwrap();
    let answer = renew().await;
    assert_eq!(answer.status(), 200, "{}", said(&answer));
}

/// RFC 7030 §4.2.2: a renewal keeps subject and names.
#[tokio::test]
async fn a_renewal_for_another_subject_or_other_names_is_refused() {
    let world = World::new().await;
    let ldevid = world.onboarded(&world.maker.device(SERIAL)).await;
    let mut line = world.connect(Some(&ldevid)).await;
    let before = world.before(SERIAL).await;
    let answer = enroll(&mut line, "simplereenroll", &csr("JADA-0002", &*new_key())).await;
    world
        .assert_refused(&before, &answer, 400, "reenroll-subject")
        .await;
    let mut content = RequestContent::new(ldevid.chain[0].subject().clone());
    content.subject_alt_names = vec![SubjectAltName::Dns("router.example".to_owned())];
    let request = CertificateRequest::build(&content, &*new_key()).unwrap();
    let before = world.before(SERIAL).await;
    let answer = enroll(&mut line, "simplereenroll", &request).await;
    world
        .assert_refused(&before, &answer, 400, "reenroll-names")
        .await;
}

/// A renewal with the credential keeps to the kind of key as well.
#[tokio::test]
async fn a_renewal_with_a_key_of_another_kind_is_refused() {
    let world = World::new().await;
    let ldevid = world.onboarded(&world.maker.device(SERIAL)).await;
    let mut line = world.connect(Some(&ldevid)).await;
    let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap();
    let key = SoftwareSigner::from_pkcs8_der(pair.to_pkcs8v1().unwrap().as_ref()).unwrap();
    let before = world.before(SERIAL).await;
    let answer = enroll(&mut line, "simplereenroll", &csr_of(&ldevid.chain[0], &key)).await;
    world
        .assert_refused(&before, &answer, 400, "csr-key-type")
        .await;
}

/// Whoever is out of service, cut off or blocked gets no certificate, whatever it shows.
#[tokio::test]
async fn a_device_that_is_out_is_refused_with_every_certificate_it_has() {
    type Operation =
        fn(&decide::OperateFacts<'_>) -> vouchsafe_fleet::Outcome<vouchsafe_fleet::Device>;
    let cases: [(Operation, &str); 2] = [
        (decide::quarantine, "device-quarantined"),
        (decide::retire, "device-retired"),
    ];
    for (operation, code) in cases {
        let world = World::new().await;
        let birth = world.maker.device(SERIAL);
        let ldevid = world.onboarded(&birth).await;
        world.operate(SERIAL, operation).await;
        let mut line = world.connect(Some(&birth)).await;
        let before = world.before(SERIAL).await;
        let answer = enroll(&mut line, "simpleenroll", &csr(SERIAL, &*new_key())).await;
        world.assert_refused(&before, &answer, 403, code).await;
        let mut line = world.connect(Some(&ldevid)).await;
        let state = world.state(SERIAL).await;
        let request = csr_of(&ldevid.chain[0], &*new_key());
        let answer = enroll(&mut line, "simplereenroll", &request).await;
        assert_eq!(answer.status(), 403, "{}", said(&answer));
        assert_eq!(world.state(SERIAL).await, state);
    }
    let world = World::new().await;
    let ldevid = world.onboarded(&world.maker.device(SERIAL)).await;
    world.trust_maker(ManufacturerTrust::Blocked).await;
    let mut line = world.connect(Some(&ldevid)).await;
    let before = world.before(SERIAL).await;
    let request = csr_of(&ldevid.chain[0], &*new_key());
    let answer = enroll(&mut line, "simplereenroll", &request).await;
    world
        .assert_refused(&before, &answer, 403, "manufacturer-blocked")
        .await;
}

/// A manufacturer without MASA that is trusted for plain EST (RFC 7030): the birth certificate
/// is enough, and no MASA is asked.
#[tokio::test]
async fn a_device_of_a_plain_est_manufacturer_enrols_without_voucher() {
    let world = World::new().await;
    world.trust_maker(ManufacturerTrust::PlainEst).await;
    let mut line = world.connect(Some(&world.maker.device(SERIAL))).await;
    let answer = enroll(&mut line, "simpleenroll", &csr(SERIAL, &*new_key())).await;
    assert_eq!(answer.status(), 200, "{}", said(&answer));
    let state = world.state(SERIAL).await;
    assert_eq!(state.device.unwrap().state, Life::Onboarded);
    assert_eq!(world.maker.masa.asked(), 0);
    world.assert_sound().await;
}

/// RFC 7030 §4.2.3: 202 and Retry-After until a person has decided; the same list and the same answer as
/// for a voucher request.
#[tokio::test]
async fn a_device_of_a_plain_est_manufacturer_waits_until_a_person_approves() {
    let world = World::with(|config| config.policy.ask_a_person = true).await;
    world.trust_maker(ManufacturerTrust::PlainEst).await;
    let mut line = world.connect(Some(&world.maker.device(SERIAL))).await;
    let request = csr(SERIAL, &*new_key());
    for _ in 0..2 {
        let answer = enroll(&mut line, "simpleenroll", &request).await;
        assert_answer(&answer, 202, "approval-required");
    }
    assert_eq!(
        world.actions(SERIAL).await,
        [Action::Claimed, Action::ApprovalAsked]
    );
    settle(&world, decide::approve).await;
    let answer = enroll(&mut line, "simpleenroll", &request).await;
    assert_eq!(answer.status(), 200, "{}", said(&answer));
    let state = world.state(SERIAL).await;
    assert_eq!(state.device.unwrap().state, Life::Onboarded);
    assert_eq!(world.maker.masa.asked(), 0);
    world.assert_sound().await;
}

/// RFC 7030 §4.4: off unless configured.
#[tokio::test]
async fn server_key_generation_is_off() {
    let world = World::new().await;
    let mut line = world.with_voucher(&world.maker.device(SERIAL)).await;
    let position = world.controller.store.position();
    let answer = enroll(&mut line, "serverkeygen", &csr(SERIAL, &*new_key())).await;
    assert_eq!(answer.status(), 501, "{}", said(&answer));
    assert_eq!(world.controller.store.position(), position);
    assert_eq!(world.state(SERIAL).await.credentials, []);
}

/// RFC 7030 §4.4: the key that comes is the certificate's. It is kept nowhere, so the same
/// request has no second answer.
#[tokio::test]
async fn server_key_generation_gives_the_key_of_the_certificate_once() {
    let world = World::with(|config| config.est.server_key_generation = true).await;
    let mut line = world.with_voucher(&world.maker.device(SERIAL)).await;
    let own = new_key();
    let request = csr(SERIAL, &*own);
    let answer = enroll(&mut line, "serverkeygen", &request).await;
    assert_eq!(answer.status(), 200, "{}", said(&answer));
    let kind = answer.headers()[header::CONTENT_TYPE].to_str().unwrap();
    let made = est::ServerKey::parse(kind, answer.body()).unwrap();
    let key = SoftwareSigner::from_pkcs8_der(made.private_key.expose()).unwrap();
    assert_eq!(made.certificates[0].public_key(), key.public_key());
    assert_ne!(key.public_key(), own.public_key());
    assert_eq!(made.certificates[0].subject_serial_number(), Some(SERIAL));
    let chain = world.journal(Subject::Device(world.id(SERIAL))).await;
    let private = forge::base64(made.private_key.expose());
    assert!(
        chain
            .iter()
            .all(|entry| !entry.canonical_text().contains(&private))
    );

    for operation in ["serverkeygen", "simpleenroll"] {
        let before = world.before(SERIAL).await;
        let answer = enroll(&mut line, operation, &request).await;
        world
            .assert_refused(&before, &answer, 403, "replayed")
            .await;
    }
    // With the key that it got, the device is on the network.
    let identity = Birth {
        chain: made.certificates,
        signer: Arc::new(key),
    };
    let mut line = world.connect(Some(&identity)).await;
    let path = vouchsafe_brski::PATH_ENROLL_STATUS;
    let answer = send(&mut line, path, "application/json", ACCEPTED).await;
    assert_eq!(answer.status(), 200, "{}", said(&answer));
    assert_eq!(
        world.actions(SERIAL).await.last(),
        Some(&Action::EnrolmentConfirmed)
    );
}

/// The rules for certificate requests hold for `serverkeygen` too.
#[tokio::test]
async fn server_key_generation_checks_the_request_as_well() {
    let world = World::with(|config| config.est.server_key_generation = true).await;
    let mut line = world.with_voucher(&world.maker.device(SERIAL)).await;
    let mut forged = csr(SERIAL, &*new_key());
    *forged.last_mut().unwrap() ^= 1;
    for (request, code) in [
        (forged, "csr-signature"),
        (csr("JADA-0002", &*new_key()), "csr-subject"),
    ] {
        let before = world.before(SERIAL).await;
        let answer = enroll(&mut line, "serverkeygen", &request).await;
        world.assert_refused(&before, &answer, 400, code).await;
    }
}

/// RFC 7030 §4.3: full CMC is not offered.
#[tokio::test]
async fn full_cmc_is_not_offered() {
    let world = World::new().await;
    let mut line = world.with_voucher(&world.maker.device(SERIAL)).await;
    let position = world.controller.store.position();
    let path = "/.well-known/est/fullcmc";
    let answer = send(&mut line, path, "application/pkcs7-mime", b"AAAA").await;
    assert_eq!(answer.status(), 501);
    assert!(said(&answer).contains("simpleenroll"));
    assert_eq!(world.controller.store.position(), position);
}

/// The same request long after: its certificate was handed out, and is not handed out again.
#[tokio::test]
async fn a_certificate_request_replayed_after_an_hour_is_refused() {
    let world = World::new().await;
    let birth = world.maker.device(SERIAL);
    let mut line = world.with_voucher(&birth).await;
    let request = csr(SERIAL, &*new_key());
    let answer = enroll(&mut line, "simpleenroll", &request).await;
    assert_eq!(answer.status(), 200, "{}", said(&answer));
    world.clock.advance(Duration::from_secs(3601));
    let before = world.before(SERIAL).await;
    let answer = enroll(&mut line, "simpleenroll", &request).await;
    world
        .assert_refused(&before, &answer, 403, "replayed")
        .await;
    let state = world.state(SERIAL).await;
    assert_eq!(state.credentials.len(), 1);
    assert_eq!(state.credentials[0].status, CredentialStatus::Active);
}
