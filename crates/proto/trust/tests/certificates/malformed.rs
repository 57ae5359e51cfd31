//! Bytes from outside never panic: truncation at every byte, every bit flipped, and noise.

use proptest::prelude::*;
use vouchsafe_trust::{
    Anchors, Certificate, CertificateId, CertificateRequest, CertificateStatus, Crl, CrlContent,
    HardwareModuleName, Name, OcspContent, OcspRequest, OcspResponse, Oid, PathRules, Profile,
    PublicKey, RequestContent, RevocationReason, RevokedCertificate, SoftwareSigner, Usage, oid,
    verify_path,
};

use super::support::*;

fn read_everything(bytes: &[u8]) {
    if let Ok(certificate) = Certificate::from_der(bytes) {
        use_certificate(&certificate);
    }
    if let Ok(request) = CertificateRequest::parse(bytes) {
        let _ = (
            request.subject().to_string(),
            request.subject_alt_names(),
            request.challenge_password(),
            request.pem(),
        );
    }
    let _ = CertificateRequest::verify(bytes);
    if let Ok(list) = Crl::from_der(bytes) {
        let _ = (list.number(), list.entry(&[1]), format!("{list:?}"));
    }
    let _ = OcspRequest::parse(bytes);
    let _ = OcspResponse::parse(bytes);
    let _ = PublicKey::from_spki_der(bytes);
    let _ = Name::from_der(bytes).map(|name| name.to_string());
    let _ = SoftwareSigner::from_pkcs8_der(bytes);
}

fn use_certificate(certificate: &Certificate) {
    let _ = format!("{certificate:?}");
    let _ = (
        certificate.serial_hex(),
        certificate.masa_url(),
        certificate.mud_url(),
        certificate.hardware_module_name(),
        certificate.dns_names(),
        certificate.crl_urls(),
        certificate.ocsp_urls(),
        certificate.key_identifier(),
        certificate.authority_key_identifier_extension(),
        certificate.pem(),
    );
    let rules = PathRules::strict(now(), Usage::TlsClient);
    let anchors = Anchors::one(certificate.clone());
    let _ = verify_path(
        certificate,
        std::slice::from_ref(certificate),
        &anchors,
        &rules,
    );
}

fn samples() -> Vec<Vec<u8>> {
    let root = root();
    let mut profile = Profile::idevid(idevid_name("1"), Some("masa.example"))
        .unwrap()
        .with_mud_url("https://mud.example/1")
        .with_hardware_module_name(&HardwareModuleName {
            hardware_type: Oid::new_unwrap("1.2.3"),
            serial: vec![1, 2, 3],
        });
    profile.crl_urls = vec!["http://a.example".into()];
    profile.ocsp_urls = vec!["http://a.example".into()];
    profile.extended_key_usages = vec![oid::CLIENT_AUTH];
    let leaf = issue(&root, &profile);
    let key = signer(P256);
    let mut content = RequestContent::new(idevid_name("1"));
    content.challenge_password = Some("secret".into());
    content.subject_alt_names = profile.subject_alt_names.clone();
    let list = root
        .crl(&CrlContent {
            number: 1,
            this_update: now(),
            next_update: now(),
            entries: &[RevokedCertificate {
                serial: vec![1],
                at: now(),
                reason: RevocationReason::Superseded,
            }],
        })
        .unwrap();
    let id = CertificateId::new(leaf.serial(), root.certificate());
    let response = OcspResponse::sign(
        &OcspContent {
            answers: &[(id.clone(), CertificateStatus::Good)],
            this_update: now(),
            next_update: now(),
            nonce: Some(&[1; 32]),
        },
        root.certificate(),
        root.signer().as_ref(),
    )
    .unwrap();
    vec![
        leaf.der().to_vec(),
        CertificateRequest::build(&content, key.as_ref()).unwrap(),
        list.der().to_vec(),
        OcspRequest::build(&id, Some(&[1; 32])),
        response,
        key.public_key().spki_der().to_vec(),
        leaf.subject().der().to_vec(),
    ]
}

#[test]
fn nothing_is_read_from_less_than_all_of_it() {
    for sample in samples() {
        for end in 0..sample.len() {
            let part = &sample[..end];
            assert!(Certificate::from_der(part).is_err());
            assert!(CertificateRequest::parse(part).is_err());
            assert!(Crl::from_der(part).is_err());
            assert!(OcspRequest::parse(part).is_err());
            assert!(OcspResponse::parse(part).is_err());
            assert!(PublicKey::from_spki_der(part).is_err());
            assert!(Name::from_der(part).is_err());
        }
        let mut longer = sample.clone();
        longer.push(0);
        assert!(Certificate::from_der(&longer).is_err());
        assert!(CertificateRequest::parse(&longer).is_err());
    }
}

#[test]
fn a_flipped_bit_anywhere_never_panics() {
    for sample in samples() {
        for bit in 0..sample.len() * 8 {
            let mut altered = sample.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            read_everything(&altered);
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_in_a_certificate_breaks_its_path() {
    let root = root();
    let anchors = Anchors::one(root.certificate().clone());
    let rules = PathRules::strict(now(), Usage::TlsClient);
    let leaf = issue(&root, &Profile::tls_client(name("leaf")));
    verify_path(&leaf, &[], &anchors, &rules).unwrap();
    for bit in 0..leaf.der().len() * 8 {
        let mut altered = leaf.der().to_vec();
        altered[bit / 8] ^= 1 << (bit % 8);
        if let Ok(altered) = Certificate::from_der(&altered) {
            assert!(
                verify_path(&altered, &[], &anchors, &rules).is_err(),
                "bit {bit}"
            );
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_in_a_request_breaks_its_proof() {
    let content = RequestContent::new(name("a"));
    let der = CertificateRequest::build(&content, signer(P256).as_ref()).unwrap();
    for bit in 0..der.len() * 8 {
        let mut altered = der.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(CertificateRequest::verify(&altered).is_err(), "bit {bit}");
    }
}

#[test]
fn sizes_are_bounded() {
    use vouchsafe_trust::{MAX_CERTIFICATE_LENGTH, ParseError};
    let large = vec![0x30; MAX_CERTIFICATE_LENGTH + 1];
    assert_eq!(
        Certificate::from_der(&large).unwrap_err(),
        ParseError::TooLarge
    );
    let mut profile = Profile::end_entity(name("leaf"));
    profile.extensions = (0..vouchsafe_trust::MAX_EXTENSIONS)
        .map(|arc| vouchsafe_trust::Extension {
            oid: format!("1.3.6.1.4.1.99999.{arc}").parse().unwrap(),
            critical: false,
            value: Vec::new(),
        })
        .collect();
    assert_eq!(
        root()
            .issue(&profile, signer(P256).public_key(), &serial(), validity())
            .unwrap_err(),
        vouchsafe_trust::IssueError::Encoding(ParseError::TooLarge)
    );
}

/// RFC 5280 §4.1.2.1: a version beyond all versions is one, whatever adding one to it gives.
#[test]
fn rfc_5280_4_1_2_1_the_largest_version_number_is_refused() {
    let root = root();
    let leaf = issue(&root, &Profile::end_entity(name("leaf")));
    for version in [
        &[3][..],
        &[0xff],
        &[0x7f, 0xff, 0xff, 0xff],
        &[0, 0xff, 0xff, 0xff, 0xff],
    ] {
        let der = forge_der(&leaf, root.signer().as_ref(), |fields| {
            fields[VERSION] = tlv(0xa0, &tlv(0x02, version));
        });
        assert!(Certificate::from_der(&der).is_err(), "{version:?}");
    }
}

proptest! {
    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        read_everything(&bytes);
        let _ = Certificate::from_pem(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn names_of_any_text_read_back_and_print_without_control_characters(text in ".{1,64}") {
        prop_assume!(text.len() <= 256);
        let name = Name::common(&text).unwrap();
        prop_assert_eq!(name.attribute(&oid::COMMON_NAME), Some(text.as_str()));
        let printed = name.to_string();
        prop_assert!(!printed.chars().any(char::is_control), "{:?}", printed);
        prop_assert_eq!(Name::from_der(name.der()).unwrap(), name);
    }

    #[test]
    fn any_validity_reads_back_to_the_second(from in 0_i64..4_000_000_000, length in 0_i64..200_000_000_000) {
        let instant = |second| jiff::Timestamp::from_second(second).unwrap();
        let validity = vouchsafe_trust::Validity::new(instant(from), instant(from + length));
        let certificate = issue_during(&root(), &Profile::end_entity(name("leaf")), validity);
        prop_assert_eq!(certificate.not_before(), validity.not_before);
        prop_assert_eq!(certificate.not_after(), validity.not_after);
    }
}
