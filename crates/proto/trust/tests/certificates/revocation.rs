//! RFC 5280 §5 and §6.3, RFC 6960: lists and single answers.

use vouchsafe_trust::{
    Anchors, Authority, Certificate, CertificateId, CertificateStatus, Crl, CrlContent,
    OcspContent, OcspRefusal, OcspRequest, OcspResponse, PathError, PathRules, Profile, Revocation,
    RevocationError, RevocationReason, RevokedCertificate, SignatureError, Usage, oid, verify_path,
};

use super::support::*;

fn revoked(certificate: &Certificate) -> RevokedCertificate {
    RevokedCertificate {
        serial: certificate.serial().to_vec(),
        at: time("2026-05-01T00:00:00Z"),
        reason: RevocationReason::KeyCompromise,
    }
}

fn list(authority: &Authority, entries: &[RevokedCertificate]) -> Crl {
    authority
        .crl(&CrlContent {
            number: 7,
            this_update: time("2026-05-31T00:00:00Z"),
            next_update: time("2026-06-07T00:00:00Z"),
            entries,
        })
        .unwrap()
}

fn rules(lists: &[Crl], unknown_is_fatal: bool) -> PathRules {
    PathRules::strict(now(), Usage::Any).with_revocation(Revocation::Checked {
        lists: lists.to_vec(),
        unknown_is_fatal,
    })
}

#[test]
fn a_list_says_who_is_revoked_since_when_and_why() {
    let root = root();
    let (bad, good) = (
        issue(&root, &Profile::end_entity(name("bad"))),
        issue(&root, &Profile::end_entity(name("good"))),
    );
    let list = list(&root, &[revoked(&bad)]);
    let list = list.verify(root.certificate(), now()).unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!(list.number(), Some(vec![7]));
    assert_eq!(
        list.entry(bad.serial()),
        Some((
            time("2026-05-01T00:00:00Z"),
            RevocationReason::KeyCompromise
        ))
    );
    assert_eq!(list.entry(good.serial()), None);
}

/// RFC 5280 §6.3.3.
#[test]
fn rfc_5280_6_3_3_a_revoked_certificate_has_no_path() {
    let root = root();
    let lower = below(&root, "Lower");
    let leaf = issue(&lower, &Profile::end_entity(name("leaf")));
    let anchors = Anchors::one(root.certificate().clone());
    let offered = [lower.certificate().clone()];
    let verify = |rules: &PathRules| verify_path(&leaf, &offered, &anchors, rules).map(|_| ());

    let (clean_root, clean_lower) = (list(&root, &[]), list(&lower, &[]));
    assert!(clean_root.is_empty());
    verify(&rules(&[clean_root.clone(), clean_lower.clone()], true)).unwrap();
    assert_eq!(
        verify(&rules(
            &[clean_root.clone(), list(&lower, &[revoked(&leaf)])],
            true
        )),
        Err(PathError::Revoked { depth: 0 })
    );
    let lower_revoked = list(&root, &[revoked(lower.certificate())]);
    assert_eq!(
        verify(&rules(&[clean_lower, lower_revoked], false)),
        Err(PathError::Revoked { depth: 1 })
    );
    // No list for the leaf's issuer.
    verify(&rules(std::slice::from_ref(&clean_root), false)).unwrap();
    assert_eq!(
        verify(&rules(&[clean_root], true)),
        Err(PathError::RevocationUnknown { depth: 0 })
    );
}

/// RFC 5280 §6.3.3: a list that nobody renewed proves nothing good about anybody, and is no reason
/// to forget whom it revoked.
#[test]
fn rfc_5280_6_3_3_a_stale_list_clears_nobody_and_forgets_nobody() {
    let root = root();
    let (good, bad) = (
        issue(&root, &Profile::end_entity(name("good"))),
        issue(&root, &Profile::end_entity(name("bad"))),
    );
    let anchors = Anchors::one(root.certificate().clone());
    let lists = [list(&root, &[revoked(&bad)])];
    let verify = |leaf: &Certificate, at: &str, unknown_is_fatal| {
        let mut rules = rules(&lists, unknown_is_fatal);
        rules.at = time(at);
        verify_path(leaf, &[], &anchors, &rules).map(|_| ())
    };
    let stale = "2026-06-07T00:00:01Z";
    for unknown_is_fatal in [true, false] {
        assert_eq!(
            verify(&bad, stale, unknown_is_fatal),
            Err(PathError::Revoked { depth: 0 })
        );
    }
    verify(&good, stale, false).unwrap();
    assert_eq!(
        verify(&good, stale, true),
        Err(PathError::RevocationUnknown { depth: 0 })
    );
    // A list of later says nothing about then.
    verify(&bad, "2026-05-30T23:59:59Z", false).unwrap();
}

/// RFC 5280 §6.3.3: a second certificate of the issuer's key is no way around its list.
#[test]
fn rfc_5280_6_3_3_a_revoked_certificate_has_no_path_over_a_twin_of_its_issuer() {
    let root = root();
    let leaf = issue(&root, &Profile::end_entity(name("leaf")));
    let mut profile = Profile::certificate_authority(name("Root"), None);
    profile.subject = root.certificate().subject().clone();
    profile.key_usage = vouchsafe_trust::KeyUsage::KEY_CERT_SIGN;
    let twin = vouchsafe_trust::Authority::self_signed(
        &profile,
        &serial(),
        validity(),
        root.signer().clone(),
    )
    .unwrap();
    let anchors =
        Anchors::new(vec![root.certificate().clone(), twin.certificate().clone()]).unwrap();
    let lists = [list(&root, &[revoked(&leaf)])];
    assert_eq!(
        verify_path(&leaf, &[], &anchors, &rules(&lists, false)).map(|_| ()),
        Err(PathError::Revoked { depth: 0 })
    );
}

/// RFC 5280 §6.3.3, RFC 6960 §3.2.
#[test]
fn a_list_that_is_forged_stale_or_anothers_covers_nothing() {
    let root = root();
    let twin = super::support::root();
    let leaf = issue(&root, &Profile::end_entity(name("leaf")));
    let anchors = Anchors::one(root.certificate().clone());
    // The same issuer name, another key.
    let forged = list(&twin, &[]);
    assert_eq!(
        forged
            .clone()
            .verify(root.certificate(), now())
            .unwrap_err(),
        RevocationError::Signature(SignatureError::Invalid)
    );
    let genuine = list(&root, &[]);
    // A list proved under one key is not thereby proved under another.
    genuine.clone().verify(root.certificate(), now()).unwrap();
    assert_eq!(
        genuine
            .clone()
            .verify(twin.certificate(), now())
            .unwrap_err(),
        RevocationError::Signature(SignatureError::Invalid)
    );
    genuine.clone().verify(root.certificate(), now()).unwrap();
    for instant in ["2026-05-30T23:59:59Z", "2026-06-07T00:00:01Z"] {
        assert_eq!(
            genuine
                .clone()
                .verify(root.certificate(), time(instant))
                .unwrap_err(),
            RevocationError::Stale
        );
    }
    let other = root_with(&Profile::domain_ca(name("Other")));
    assert_eq!(
        genuine.verify(other.certificate(), now()).unwrap_err(),
        RevocationError::WrongIssuer
    );
    assert_eq!(
        verify_path(&leaf, &[], &anchors, &rules(&[forged], true)).unwrap_err(),
        PathError::RevocationUnknown { depth: 0 }
    );
}

/// RFC 5280 §4.2.1.3.
#[test]
fn rfc_5280_4_2_1_3_an_issuer_without_crl_sign_makes_no_lists() {
    let mut profile = Profile::certificate_authority(name("Root"), None);
    profile.key_usage = vouchsafe_trust::KeyUsage::KEY_CERT_SIGN;
    let root = root_with(&profile);
    assert_eq!(
        list(&root, &[])
            .verify(root.certificate(), now())
            .unwrap_err(),
        RevocationError::KeyUsage
    );
}

/// Asks `about`, answers with `status` signed by `responder`, and verifies at `at`.
struct Exchange<'a> {
    issuer: &'a Authority,
    about: &'a Certificate,
    nonce: Option<&'a [u8]>,
}

impl Exchange<'_> {
    fn answer(
        &self,
        status: CertificateStatus,
        responder: &Certificate,
        signer: &dyn vouchsafe_trust::Signer,
    ) -> OcspResponse {
        let id = CertificateId::new(self.about.serial(), self.issuer.certificate());
        let asked = OcspRequest::parse(&OcspRequest::build(&id, self.nonce)).unwrap();
        assert_eq!(asked.certificates, [id]);
        assert_eq!(asked.nonce.as_deref(), self.nonce);
        assert!(asked.certificates[0].is_issued_by(self.issuer.certificate()));
        let answers: Vec<_> = asked
            .certificates
            .into_iter()
            .map(|certificate| (certificate, status))
            .collect();
        let content = OcspContent {
            answers: &answers,
            this_update: time("2026-06-01T11:59:00Z"),
            next_update: time("2026-06-01T13:00:00Z"),
            nonce: asked.nonce.as_deref(),
        };
        OcspResponse::parse(&OcspResponse::sign(&content, responder, signer).unwrap()).unwrap()
    }

    fn by_issuer(&self, status: CertificateStatus) -> OcspResponse {
        self.answer(
            status,
            self.issuer.certificate(),
            self.issuer.signer().as_ref(),
        )
    }

    fn verify(&self, response: &OcspResponse) -> Result<CertificateStatus, RevocationError> {
        response
            .verify(self.about, self.issuer.certificate(), self.nonce, now())
            .map(vouchsafe_trust::Verified::into_inner)
    }
}

#[test]
fn good_revoked_and_unknown_reach_the_client_from_issuer_and_delegate() {
    let root = root();
    let leaf = issue(&root, &Profile::end_entity(name("leaf")));
    let delegate_key = signer(ED25519);
    let delegate = root
        .issue(
            &Profile::ocsp_responder(name("Responder")),
            delegate_key.public_key(),
            &serial(),
            validity(),
        )
        .unwrap();
    for nonce in [None, Some(&[7; 32][..])] {
        let exchange = Exchange {
            issuer: &root,
            about: &leaf,
            nonce,
        };
        for status in [
            CertificateStatus::Good,
            CertificateStatus::Unknown,
            CertificateStatus::Revoked {
                at: time("2026-05-01T00:00:00Z"),
                reason: RevocationReason::Superseded,
            },
            CertificateStatus::Revoked {
                at: time("2026-05-01T00:00:00Z"),
                reason: RevocationReason::Unspecified,
            },
        ] {
            let response = exchange.by_issuer(status);
            assert_eq!(exchange.verify(&response), Ok(status));
            let response = exchange.answer(status, &delegate, delegate_key.as_ref());
            assert_eq!(exchange.verify(&response), Ok(status));
        }
    }
}

/// RFC 6960 §4.2.2.2.
#[test]
fn rfc_6960_4_2_2_2_a_responder_that_the_issuer_did_not_authorize_is_refused() {
    let root = root();
    let lower = below(&root, "Lower");
    let leaf = issue(&root, &Profile::end_entity(name("leaf")));
    let exchange = Exchange {
        issuer: &root,
        about: &leaf,
        nonce: None,
    };
    let key = signer(P256);
    let make = |authority: &Authority, profile: &Profile| {
        authority
            .issue(profile, key.public_key(), &serial(), validity())
            .unwrap()
    };
    for responder in [
        // No OCSPSigning; OCSPSigning from another authority; from one further down.
        make(&root, &Profile::tls_server(name("server"), &[])),
        make(
            &super::support::root(),
            &Profile::ocsp_responder(name("Responder")),
        ),
        make(&lower, &Profile::ocsp_responder(name("Responder"))),
    ] {
        let response = exchange.answer(CertificateStatus::Good, &responder, key.as_ref());
        assert_eq!(
            exchange.verify(&response),
            Err(RevocationError::UnauthorizedResponder)
        );
    }
    // The issuer's name on somebody else's signature.
    let response = exchange.answer(CertificateStatus::Good, root.certificate(), key.as_ref());
    assert_eq!(
        exchange.verify(&response),
        Err(RevocationError::Signature(SignatureError::Invalid))
    );
}

/// RFC 5280 §6.3.3, RFC 6960 §3.2 and §4.4.1.
#[test]
fn rfc_6960_3_2_stale_replayed_and_misdirected_answers_are_refused() {
    let root = root();
    let leaf = issue(&root, &Profile::end_entity(name("leaf")));
    let other = issue(&root, &Profile::end_entity(name("other")));
    let exchange = Exchange {
        issuer: &root,
        about: &leaf,
        nonce: Some(&[1; 32]),
    };
    let response = exchange.by_issuer(CertificateStatus::Good);
    let verify = |about: &Certificate, nonce: &[u8], at: &str| {
        response
            .verify(about, root.certificate(), Some(nonce), time(at))
            .unwrap_err()
    };
    let noon = "2026-06-01T12:00:00Z";
    assert_eq!(verify(&leaf, &[2; 32], noon), RevocationError::Nonce);
    assert_eq!(
        verify(&other, &[1; 32], noon),
        RevocationError::OtherCertificate
    );
    for instant in ["2026-06-01T11:58:59Z", "2026-06-01T13:00:01Z"] {
        assert_eq!(verify(&leaf, &[1; 32], instant), RevocationError::Stale);
    }
    let stranger = root_with(&Profile::domain_ca(name("Stranger")));
    assert_eq!(
        response
            .verify(&leaf, stranger.certificate(), None, now())
            .unwrap_err(),
        RevocationError::WrongIssuer
    );
    // An answer without a nonce to a question with one.
    let plain = Exchange {
        nonce: None,
        ..exchange
    }
    .by_issuer(CertificateStatus::Good);
    assert_eq!(exchange.verify(&plain), Err(RevocationError::Nonce));
}

/// RFC 6960 §4.2.1.
#[test]
fn a_responders_refusal_is_told_by_its_number() {
    for (refusal, number) in [
        (OcspRefusal::MalformedRequest, 1),
        (OcspRefusal::InternalError, 2),
        (OcspRefusal::TryLater, 3),
        (OcspRefusal::SignatureRequired, 5),
        (OcspRefusal::Unauthorized, 6),
    ] {
        assert_eq!(
            OcspResponse::parse(&OcspResponse::refusal(refusal)).unwrap_err(),
            RevocationError::ResponderStatus(number)
        );
    }
}

/// RFC 5280 §5.2.
#[test]
fn rfc_6960_4_4_an_unknown_critical_extension_in_a_request_is_refused() {
    let root = root();
    let leaf = issue(&root, &Profile::end_entity(name("leaf")));
    let id = CertificateId::new(leaf.serial(), root.certificate());
    let request = OcspRequest::build(&id, None);
    let list = elements(body(body(&request))).concat();
    let extension = tlv(
        0x30,
        &[
            tlv(0x06, oid::COMMON_NAME.as_bytes()),
            tlv(0x01, &[0xff]),
            tlv(0x04, &[]),
        ]
        .concat(),
    );
    let extensions = tlv(0xa2, &tlv(0x30, &extension));
    let altered = tlv(0x30, &tlv(0x30, &[list, extensions].concat()));
    assert_eq!(
        OcspRequest::parse(&altered).unwrap_err(),
        RevocationError::UnknownCriticalExtension(oid::COMMON_NAME)
    );
}
