//! What the authority writes is what the accessors read.

use vouchsafe_trust::{
    Authority, Certificate, DigestAlgorithm, Extension, HardwareModuleName, IssueError, KeyType,
    KeyUsage, Name, Oid, ParseError, Profile, PublicKey, SignError, SignatureAlgorithm,
    SignatureError, SoftwareSigner, SubjectAltName, Validity, oid,
};

use super::support::*;

#[test]
fn a_device_identity_says_everything_that_onboarding_needs() {
    let root = root_with(&Profile::manufacturer_root(name("Maker Root")));
    let module = HardwareModuleName {
        hardware_type: Oid::new_unwrap("1.3.6.1.4.1.99999.2"),
        serial: b"JADA123456789".to_vec(),
    };
    let profile = Profile::idevid(idevid_name("JADA123456789"), Some("masa.example:9444"))
        .unwrap()
        .with_mud_url("https://maker.example/lamp.json")
        .with_hardware_module_name(&module);
    let key = signer(P256);
    let certificate = root
        .issue(
            &profile,
            key.public_key(),
            &serial(),
            Validity::without_end(time("2026-01-01T00:00:00Z")),
        )
        .unwrap();
    assert_eq!(certificate.version(), 3);
    assert_eq!(certificate.subject_serial_number(), Some("JADA123456789"));
    assert_eq!(
        certificate.subject_text(),
        "serialNumber=JADA123456789,O=Maker"
    );
    assert_eq!(certificate.issuer_text(), "CN=Maker Root");
    assert_eq!(certificate.masa_url(), Some("masa.example:9444"));
    assert_eq!(
        certificate.mud_url(),
        Some("https://maker.example/lamp.json")
    );
    assert_eq!(certificate.hardware_module_name(), Some(module));
    assert_eq!(certificate.public_key(), key.public_key());
    assert_eq!(certificate.extended_key_usages(), Ok(None));
    assert!(!certificate.is_ca());
    assert_eq!(
        certificate.key_identifier(),
        Some(&key.public_key().key_identifier_sha1()[..])
    );
    // RFC 8366bis §6.1: tag and length included.
    let identifier = certificate.authority_key_identifier_extension().unwrap();
    assert_eq!(identifier[..6], [0x04, 0x18, 0x30, 0x16, 0x80, 0x14]);
    assert_eq!(
        identifier[6..],
        root.certificate().public_key().key_identifier_sha1()
    );
    let extension = certificate.extension(&oid::MASA_URL).unwrap();
    assert!(!extension.critical);
    assert_eq!(extension.value[0], 0x16);
}

/// RFC 5280 §4.1.2.4.
#[test]
fn the_other_kinds_carry_the_purposes_that_their_checks_ask_for() {
    let root = root();
    let registrar = issue(&root, &Profile::registrar(name("r"), &["r.example"]));
    assert_eq!(
        registrar.extended_key_usages(),
        Ok(Some(vec![oid::CMC_RA, oid::SERVER_AUTH, oid::CLIENT_AUTH]))
    );
    assert_eq!(registrar.dns_names(), ["r.example"]);
    let mut profile = Profile::ldevid(
        name("lamp"),
        vec![
            SubjectAltName::Dns("lamp.example".into()),
            SubjectAltName::Uri("urn:dev:1".into()),
            SubjectAltName::Ip(vec![192, 0, 2, 1]),
            SubjectAltName::Email("a@example".into()),
        ],
    );
    profile.crl_urls = vec!["http://ca.example/crl".into()];
    profile.ocsp_urls = vec!["http://ca.example/ocsp".into()];
    let ldevid = issue(&root, &profile);
    assert_eq!(
        ldevid.subject_alt_names().unwrap(),
        profile.subject_alt_names
    );
    assert_eq!(ldevid.crl_urls(), profile.crl_urls);
    assert_eq!(ldevid.ocsp_urls(), profile.ocsp_urls);
    assert!(ldevid.has_extended_key_usage(&oid::CLIENT_AUTH));
    assert_eq!(
        root.certificate().key_usage(),
        Ok(Some(KeyUsage::KEY_CERT_SIGN.with(KeyUsage::CRL_SIGN)))
    );
    assert_eq!(
        Profile::idevid(name("no serial"), None).unwrap_err(),
        IssueError::Name
    );
}

#[test]
fn every_key_usage_bit_survives() {
    let root = root();
    for bit in 0..9 {
        let mut profile = Profile::end_entity(name("leaf"));
        profile.key_usage = KeyUsage(1 << bit);
        let certificate = issue(&root, &profile);
        assert_eq!(certificate.key_usage(), Ok(Some(KeyUsage(1 << bit))));
    }
}

#[test]
fn pem_round_trips_and_other_blocks_are_passed_over() {
    let root = root();
    let lower = below(&root, "Lower");
    let text = format!(
        "some words\n-----BEGIN OTHER-----\nAAAA\n-----END OTHER-----\n{}{}",
        lower.certificate().pem(),
        root.certificate().pem().replace('\n', "\r\n")
    );
    assert_eq!(
        Certificate::many_from_pem(&text).unwrap(),
        [lower.certificate().clone(), root.certificate().clone()]
    );
    assert_eq!(&Certificate::from_pem(&text).unwrap(), lower.certificate());
    for bad in [
        "",
        "-----BEGIN CERTIFICATE-----\n",
        "-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----",
    ] {
        assert_eq!(
            Certificate::from_pem(bad).unwrap_err(),
            ParseError::Pem,
            "{bad:?}"
        );
    }
}

/// RFC 5280 §4.2.1.9.
#[test]
fn an_authority_needs_the_key_of_its_own_certificate_and_must_be_one() {
    let root = root();
    let key = signer(P256);
    let leaf = root
        .issue(
            &Profile::tls_server(name("leaf"), &[]),
            key.public_key(),
            &serial(),
            validity(),
        )
        .unwrap();
    assert_eq!(
        Authority::new(Vec::new(), key.clone()).unwrap_err(),
        IssueError::NoCertificate
    );
    assert_eq!(
        Authority::new(vec![root.certificate().clone()], key.clone()).unwrap_err(),
        IssueError::KeyMismatch
    );
    assert_eq!(
        Authority::new(vec![leaf], key).unwrap_err(),
        IssueError::NotACertificateAuthority
    );
}

/// RFC 5280 §4.1.2.2, §4.1.2.4, §4.1.2.5 and §4.2.
#[test]
fn what_must_not_be_issued_is_not() {
    let root = root();
    let key = signer(P256);
    let profile = Profile::end_entity(name("leaf"));
    let issue = |profile: &Profile, serial: [u8; 16], validity| {
        root.issue(profile, key.public_key(), &serial, validity)
            .unwrap_err()
    };
    // RFC 5280 §4.1.2.2
    assert_eq!(
        issue(&profile, [0; 16], validity()),
        IssueError::SerialNumber
    );
    let reversed = Validity::new(time("2026-01-02T00:00:00Z"), time("2026-01-01T00:00:00Z"));
    assert_eq!(issue(&profile, serial(), reversed), IssueError::Validity);
    for url in ["", "https://müsli.example"] {
        assert_eq!(
            issue(&profile.clone().with_mud_url(url), serial(), validity()),
            IssueError::Name
        );
    }
    // RFC 5280 §4.2: one of each.
    let mut twice = profile.clone();
    twice.extensions = vec![Extension {
        oid: oid::KEY_USAGE,
        critical: true,
        value: vec![3, 2, 7, 0x80],
    }];
    assert_eq!(
        issue(&twice, serial(), validity()),
        IssueError::Encoding(ParseError::DuplicateExtension)
    );
}

#[test]
fn serial_numbers_with_the_high_bit_are_positive_and_read_back() {
    let root = root();
    let profile = Profile::end_entity(name("leaf"));
    let key = signer(P256);
    for first in [0x00, 0x01, 0x7f, 0x80, 0xff] {
        let mut serial = [0x5a; 16];
        serial[0] = first;
        let certificate = root
            .issue(&profile, key.public_key(), &serial, validity())
            .unwrap();
        assert!(certificate.serial()[0] < 0x80);
        let mut expected = hex::encode(serial);
        if first == 0 {
            expected = expected.split_off(2);
        }
        assert_eq!(certificate.serial_hex(), expected);
    }
}

#[test]
fn every_signing_algorithm_signs_and_verifies_and_no_other_verifies_it() {
    for algorithm in [P256, P384, ED25519] {
        let signer = signer(algorithm);
        assert_eq!(signer.algorithm(), algorithm);
        assert!(!signer.may_block());
        let signature = signer.sign(b"message").unwrap();
        let key = PublicKey::from_spki_der(signer.public_key().spki_der()).unwrap();
        key.verify(algorithm, b"message", &signature).unwrap();
        assert_eq!(
            key.verify(algorithm, b"massage", &signature),
            Err(SignatureError::Invalid)
        );
        let der = algorithm.algorithm_identifier();
        assert_eq!(
            SignatureAlgorithm::from_algorithm_identifier(&der, &key),
            Ok(algorithm)
        );
        assert_eq!(
            key.verify(SignatureAlgorithm::RsaPssSha256, b"message", &signature),
            Err(SignatureError::WrongKeyType)
        );
    }
}

#[test]
fn algorithm_identifiers_are_read_with_the_key_and_refused_by_name() {
    let key = signer(P384);
    let read = |der: &[u8]| SignatureAlgorithm::from_algorithm_identifier(der, key.public_key());
    // ecdsa-with-SHA256 under a P-384 key: seen in the field.
    assert_eq!(
        read(&P256.algorithm_identifier()),
        Ok(SignatureAlgorithm::EcdsaP384Sha256)
    );
    for algorithm in [
        SignatureAlgorithm::RsaPkcs1Sha256,
        SignatureAlgorithm::RsaPkcs1Sha512,
        SignatureAlgorithm::RsaPssSha256,
        SignatureAlgorithm::RsaPssSha384,
        SignatureAlgorithm::RsaPssSha512,
    ] {
        assert_eq!(read(&algorithm.algorithm_identifier()), Ok(algorithm));
    }
    let of = |parts: &[Vec<u8>]| tlv(0x30, &parts.concat());
    assert_eq!(
        read(&of(&[tlv(0x06, oid::ECDSA_SHA1.as_bytes())])),
        Err(SignatureError::Sha1)
    );
    for unsupported in [
        of(&[tlv(0x06, oid::ECDSA_SHA256.as_bytes()), vec![4, 0]]),
        of(&[tlv(0x06, oid::ED25519.as_bytes()), vec![5, 0]]),
        // RSASSA-PSS with its defaults is SHA-1.
        of(&[tlv(0x06, oid::RSA_PSS.as_bytes()), vec![0x30, 0]]),
        of(&[tlv(0x06, oid::COMMON_NAME.as_bytes())]),
        vec![],
    ] {
        assert_eq!(
            read(&unsupported),
            Err(SignatureError::UnsupportedAlgorithm)
        );
    }
    assert_eq!(
        DigestAlgorithm::from_oid(&oid::SHA1),
        Err(SignatureError::Sha1)
    );
    assert_eq!(key.public_key().key_type(), KeyType::P384);
}

#[test]
fn private_keys_that_are_broken_or_of_other_kinds_do_not_load_and_never_print() {
    assert_eq!(
        SoftwareSigner::from_pkcs8_der(b"").unwrap_err(),
        SignError::MalformedKey
    );
    let der = pkcs8(P256);
    for end in 0..der.len() {
        assert!(SoftwareSigner::from_pkcs8_der(&der[..end]).is_err());
    }
    let signer = SoftwareSigner::from_pkcs8_der(&der).unwrap();
    assert!(format!("{signer:?}").starts_with("SoftwareSigner { public_key: PublicKey(P256"));
}

#[test]
fn an_empty_subject_makes_the_alternative_name_critical() {
    let root = root();
    let profile = Profile::ldevid(
        Name::new(&[]).unwrap(),
        vec![SubjectAltName::Dns("a.example".into())],
    );
    let certificate = issue(&root, &profile);
    let extension = certificate.extension(&oid::SUBJECT_ALT_NAME).unwrap();
    // RFC 5280 §4.2.1.6
    assert!(extension.critical);
}
