//! EST bodies (RFC 7030, RFC 8951) and CSR attributes (RFC 9908).

use proptest::prelude::*;
use vouchsafe_brski::csrattrs::{CsrAttributes, Form, KeyKind, WantedExtension};
use vouchsafe_brski::est::{
    self, MEDIA_TYPE_SERVER_KEY, Operation, ServerKey, certs_only_body, channel_binding,
    check_channel_binding, check_reenroll, decode_body, encode_body, parse_certs_only,
    parse_request,
};
use vouchsafe_brski::{Error, Malformed, Refusal};
use vouchsafe_trust::{
    CertificateRequest, Extension, Name, Oid, Profile, RequestContent, Secret, SubjectAltName,
    Verified, oid,
};

use crate::refusals_registrar::base64;
use crate::world::{World, issue, key, years};

fn subject(name: &str) -> Name {
    Name::new(&[(oid::COMMON_NAME, name), (oid::SERIAL_NUMBER, "JADA-0001")]).unwrap()
}

fn request(content: &RequestContent) -> Verified<CertificateRequest> {
    let der = CertificateRequest::build(content, &*key()).unwrap();
    parse_request(encode_body(&der).as_bytes()).unwrap()
}

/// RFC 8951 §3.1: white space in base64 is ignored, and bodies that are not base64 are refused.
#[test]
fn rfc8951_3_1_white_space_and_armour_are_read() {
    let der = CertificateRequest::build(&RequestContent::new(subject("a")), &*key()).unwrap();
    let text = encode_body(&der);
    assert!(!text.contains(char::is_whitespace), "senders do not wrap");
    let wrapped: String = text
        .as_bytes()
        .chunks(64)
        .flat_map(|line| [std::str::from_utf8(line).unwrap(), "\r\n"])
        .collect();
    let armoured = format!(
        "-----BEGIN CERTIFICATE REQUEST-----\n{wrapped}-----END CERTIFICATE REQUEST-----\n"
    );
    for body in [
        text.clone(),
        wrapped.clone(),
        format!(" \n{text}\n"),
        armoured,
    ] {
        assert_eq!(decode_body(body.as_bytes()).unwrap(), der);
    }
    for body in ["-----BEGIN X-----\nAAAA\n", "%%%", "AAAA====="] {
        assert!(matches!(
            decode_body(body.as_bytes()).unwrap_err(),
            Error::Malformed(Malformed::Base64)
        ));
    }
    let large = vec![b'A'; est::MAX_BODY_LEN + 1];
    assert!(matches!(
        decode_body(&large).unwrap_err(),
        Error::Malformed(Malformed::TooLarge)
    ));
}

/// RFC 7030 §4.1.3, §4.2.3: CA certificates and issued ones travel in the same certs-only message.
#[test]
fn rfc7030_4_1_3_ca_certificates_travel_as_certs_only() {
    let world = World::new();
    let chain = &world.domain.registrar.chain;
    assert_eq!(
        &parse_certs_only(certs_only_body(chain).as_bytes()).unwrap(),
        chain
    );
    let empty = certs_only_body(&[]);
    for body in [empty.as_bytes(), b"", b"AAAA"] {
        assert!(matches!(
            parse_certs_only(body).unwrap_err(),
            Error::Malformed(Malformed::CertsOnly)
        ));
    }
}

/// RFC 7030 §4.2.1: the signature proves that the sender has the key.
#[test]
fn rfc7030_4_2_1_a_request_without_proof_of_possession_is_refused() {
    let mut der = CertificateRequest::build(&RequestContent::new(subject("a")), &*key()).unwrap();
    // A copied key: the request of one, the signature of another.
    let other = CertificateRequest::build(&RequestContent::new(subject("b")), &*key()).unwrap();
    let mut altered = other.clone();
    let position = altered
        .windows(1)
        .rposition(|window| window[0] == b'b')
        .unwrap();
    altered[position] = b'c';
    let error = parse_request(encode_body(&altered).as_bytes()).unwrap_err();
    assert!(error.refusal() == Some(Refusal::CsrSignature) || matches!(error, Error::Malformed(_)));
    let last = der.len() - 1;
    der[last] ^= 1;
    let error = parse_request(encode_body(&der).as_bytes()).unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::CsrSignature));
    assert!(matches!(
        parse_request(b"AAAA").unwrap_err(),
        Error::Malformed(Malformed::CertificateRequest)
    ));
}

/// RFC 7030 §4.2.2: a renewal asks for the subject and the names of the certificate held.
#[test]
fn rfc7030_4_2_2_a_renewal_keeps_subject_and_names() {
    let world = World::new();
    let names = vec![SubjectAltName::Dns("device.example".to_owned())];
    let profile = Profile::ldevid(subject("device"), names.clone());
    let current = issue(&world.domain.authority, &profile, years(1));
    let mut content = RequestContent::new(subject("device"));
    content.subject_alt_names = names;
    check_reenroll(&request(&content), current.leaf()).unwrap();
    let mut other = content.clone();
    other.subject = subject("other");
    let error = check_reenroll(&request(&other), current.leaf()).unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::ReenrollSubject));
    for names in [
        vec![],
        vec![SubjectAltName::Dns("other.example".to_owned())],
    ] {
        let mut other = content.clone();
        other.subject_alt_names = names;
        let error = check_reenroll(&request(&other), current.leaf()).unwrap_err();
        assert_eq!(error.refusal(), Some(Refusal::ReenrollNames));
    }
}

/// RFC 7030 §3.5: a request made for one connection is worthless on another.
#[test]
fn rfc7030_3_5_a_request_bound_to_another_connection_is_refused() {
    let mut content = RequestContent::new(subject("a"));
    let unbound = request(&content);
    check_channel_binding(&unbound, &[1; 32], false).unwrap();
    let error = check_channel_binding(&unbound, &[1; 32], true).unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::ChannelBindingMissing));
    content.challenge_password = Some(channel_binding(&[1; 32]));
    let bound = request(&content);
    check_channel_binding(&bound, &[1; 32], true).unwrap();
    let error = check_channel_binding(&bound, &[2; 32], false).unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::ChannelBinding));
}

/// RFC 7030 §4.4.2: the key and its certificate are two parts of one body.
#[test]
fn rfc7030_4_4_2_a_server_made_key_travels_in_two_parts() {
    let world = World::new();
    let server_key = ServerKey {
        private_key: Secret::new(b"a private key of no meaning".to_vec()),
        certificates: world.domain.registrar.chain.clone(),
    };
    let body = server_key.body();
    let read = ServerKey::parse(MEDIA_TYPE_SERVER_KEY, body.expose()).unwrap();
    assert!(read.private_key.ct_eq(b"a private key of no meaning"));
    assert_eq!(read.certificates, world.domain.registrar.chain);
    assert!(!format!("{server_key:?}").contains("private key of"));

    // Another server: other boundary, bare line feeds, preamble, the certificate first.
    let text = format!(
        "preamble\n--x y\nContent-Type: application/pkcs7-mime; smime-type=certs-only\n\n{}\n--x y\n\
         content-type:application/pkcs8\n\n{}\n--x y--\nepilogue",
        certs_only_body(&world.domain.registrar.chain),
        base64(b"key"),
    );
    let read = ServerKey::parse("Multipart/Mixed; boundary=\"x y\"", text.as_bytes()).unwrap();
    assert!(read.private_key.ct_eq(b"key"));
    for (content_type, body) in [
        ("multipart/mixed", text.clone()),
        ("application/pkcs8; boundary=x", text.clone()),
        ("multipart/mixed; boundary=other", text.clone()),
        (
            "multipart/mixed; boundary=\"x y\"",
            text.replace("application/pkcs8", "text/plain"),
        ),
        (
            "multipart/mixed; boundary=\"x y\"",
            text.replace("pkcs7-mime", "pkcs8"),
        ),
    ] {
        let error = ServerKey::parse(content_type, body.as_bytes()).unwrap_err();
        assert!(matches!(error, Error::Malformed(_)), "{error:?}");
    }
}

/// RFC 7030 §3.2.2: the last segment of the path names the operation.
#[test]
fn operations_have_their_names() {
    for operation in Operation::ALL {
        assert_eq!(Operation::from_name(operation.name()), Some(operation));
    }
    assert_eq!(Operation::from_name("cacert"), None);
}

fn wanted() -> CsrAttributes {
    CsrAttributes {
        subject: Some(vec![
            (oid::ORGANIZATION, Some("Owner".to_owned())),
            (oid::SERIAL_NUMBER, None),
        ]),
        key: Some(KeyKind::P256),
        extensions: vec![
            WantedExtension {
                oid: oid::EXTENDED_KEY_USAGE,
                critical: false,
                value: Some(vec![0x30, 0x0a, 6, 8, 43, 6, 1, 5, 5, 7, 3, 2]),
            },
            WantedExtension {
                oid: oid::SUBJECT_ALT_NAME,
                critical: true,
                value: None,
            },
        ],
        attributes: vec![oid::CHALLENGE_PASSWORD],
    }
}

fn own() -> RequestContent {
    let mut own = RequestContent::new(subject("device"));
    own.subject_alt_names = vec![SubjectAltName::Dns("device.example".to_owned())];
    own.challenge_password = Some("bound".to_owned());
    own
}

/// RFC 9908 §3, §3.4: the template is a request with holes.
#[test]
fn rfc9908_3_4_a_template_is_written_read_filled_and_checked() {
    let wanted = wanted();
    for form in [Form::Template, Form::Both] {
        let read = CsrAttributes::from_der(&wanted.to_der(form).unwrap()).unwrap();
        assert_eq!(read, wanted);
        let signer = key();
        let content = read.request_content(&own(), signer.public_key()).unwrap();
        assert_eq!(content.subject.attribute(&oid::ORGANIZATION), Some("Owner"));
        assert_eq!(
            content.subject.attribute(&oid::SERIAL_NUMBER),
            Some("JADA-0001")
        );
        assert_eq!(content.subject.attribute(&oid::COMMON_NAME), None);
        let der = CertificateRequest::build(&content, &*signer).unwrap();
        wanted
            .check(&CertificateRequest::verify(&der).unwrap())
            .unwrap();
    }
}

/// RFC 7030 §4.5.2: the older form is a list of OIDs and attributes.
#[test]
fn rfc7030_4_5_2_the_older_form_says_all_but_the_subject() {
    let wanted = wanted();
    let read = CsrAttributes::from_der(&wanted.to_der(Form::List).unwrap()).unwrap();
    assert_eq!(read.subject, None);
    assert_eq!(read.key, wanted.key);
    assert_eq!(read.attributes, wanted.attributes);
    assert_eq!(read.extensions.len(), 2);
    for kind in [
        KeyKind::P256,
        KeyKind::P384,
        KeyKind::P521,
        KeyKind::Ed25519,
        KeyKind::Rsa(None),
        KeyKind::Rsa(Some(3072)),
    ] {
        let wanted = CsrAttributes {
            key: Some(kind),
            ..CsrAttributes::default()
        };
        for form in [Form::List, Form::Template, Form::Both] {
            let read = CsrAttributes::from_der(&wanted.to_der(form).unwrap()).unwrap();
            assert_eq!(read, wanted, "{form:?}");
        }
    }
    assert_eq!(
        CsrAttributes::from_der(&[0x30, 0]).unwrap(),
        CsrAttributes::default()
    );
}

#[test]
fn rfc7030_4_5_2_the_example_is_read() {
    let body = b"MEEGCSqGSIb3DQEJBzASBgcqhkjOPQIBMQcGBSuBBAAiMBYGCSqGSIb3DQEJDjEJ
        BgcrBgEBAQEWBggqhkjOPQQDAw==";
    let read = CsrAttributes::from_der(&decode_body(body).unwrap()).unwrap();
    assert_eq!(read.attributes, [oid::CHALLENGE_PASSWORD]);
    assert_eq!(read.key, Some(KeyKind::P384));
    assert_eq!(read.extensions.len(), 1);
    assert_eq!(read.extensions[0].oid, Oid::new_unwrap("1.3.6.1.1.1.1.22"));
}

/// RFC 8995 §5.9.2, RFC 9908 §3 and RFC 8951 §3.2: what was asked for is in the request, as asked.
#[test]
fn rfc8995_5_9_2_a_request_that_is_not_as_asked_is_refused() {
    let wanted = wanted();
    let signer = key();
    let good = wanted.request_content(&own(), signer.public_key()).unwrap();
    let refusal = |edit: &dyn Fn(&mut RequestContent)| {
        let mut content = good.clone();
        edit(&mut content);
        wanted
            .check(&request(&content))
            .unwrap_err()
            .refusal()
            .unwrap()
    };
    assert_eq!(
        refusal(&|content| content.subject = subject("device")),
        Refusal::CsrSubject
    );
    assert_eq!(
        refusal(&|content| {
            content.subject = Name::new(&[
                (oid::ORGANIZATION, "Another"),
                (oid::SERIAL_NUMBER, "JADA-0001"),
            ])
            .unwrap();
        }),
        Refusal::CsrSubject
    );
    assert_eq!(
        refusal(&|content| content.extensions.clear()),
        Refusal::CsrExtensionMissing
    );
    assert_eq!(
        refusal(&|content| content.subject_alt_names.clear()),
        Refusal::CsrExtensionMissing
    );
    assert_eq!(
        refusal(&|content| content.extensions[0].value = vec![0x30, 0]),
        Refusal::CsrExtensionValue
    );
    assert_eq!(
        refusal(&|content| content.challenge_password = None),
        Refusal::CsrAttributeMissing
    );
    let other_key = CsrAttributes {
        key: Some(KeyKind::P384),
        ..CsrAttributes::default()
    };
    let error = other_key.check(&request(&good)).unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::CsrKeyType));
}

#[test]
fn a_client_that_cannot_fill_a_hole_says_which() {
    let signer = key();
    let mut poor = own();
    poor.subject_alt_names.clear();
    let error = wanted()
        .request_content(&poor, signer.public_key())
        .unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::CsrExtensionMissing));
    let mut poor = own();
    poor.subject = Name::common("nameless").unwrap();
    let error = wanted()
        .request_content(&poor, signer.public_key())
        .unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::CsrSubject));
    let mut other = wanted();
    other.key = Some(KeyKind::Ed25519);
    let error = other
        .request_content(&own(), signer.public_key())
        .unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::CsrKeyType));
}

/// An ACP domain asks for an otherName in a critical subjectAltName (RFC 8994 §6.2.2, RFC 8995
/// §5.9.2), in the older form.
#[test]
fn an_acp_name_is_handed_through() {
    // [0] { 1.3.6.1.5.5.7.8.10, [0] IA5String "rfc8994+@acp.example" }
    let name = b"rfc8994+@acp.example";
    let mut other_name = vec![0xa0, 34, 6, 8, 43, 6, 1, 5, 5, 7, 8, 10, 0xa0, 22, 0x16, 20];
    other_name.extend_from_slice(name);
    let mut value = vec![0x30, 36];
    value.extend_from_slice(&other_name);
    let wanted = CsrAttributes {
        extensions: vec![WantedExtension {
            oid: oid::SUBJECT_ALT_NAME,
            critical: true,
            value: Some(value.clone()),
        }],
        ..CsrAttributes::default()
    };
    for form in [Form::List, Form::Template] {
        let read = CsrAttributes::from_der(&wanted.to_der(form).unwrap()).unwrap();
        let signer = key();
        let content = read.request_content(&own(), signer.public_key()).unwrap();
        assert_eq!(
            content.extensions,
            [Extension {
                oid: oid::SUBJECT_ALT_NAME,
                critical: true,
                value: value.clone()
            }]
        );
        let der = CertificateRequest::build(&content, &*signer).unwrap();
        wanted
            .check(&CertificateRequest::verify(&der).unwrap())
            .unwrap();
    }
}

#[test]
fn truncated_and_altered_attributes_do_not_panic() {
    let der = wanted().to_der(Form::Both).unwrap();
    for length in 0..der.len() {
        assert!(CsrAttributes::from_der(&der[..length]).is_err());
    }
    for position in 0..der.len() {
        for bit in 0..8 {
            let mut altered = der.clone();
            altered[position] ^= 1 << bit;
            let _ = CsrAttributes::from_der(&altered);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn attributes_survive_the_template(
        subject in proptest::option::of(proptest::collection::vec(
            (0_usize..3, proptest::option::of("[A-Za-z0-9 ]{1,20}")), 0..4)),
        extensions in proptest::collection::vec(
            (1_u32..60, any::<bool>(), proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40))),
            0..4),
    ) {
        let kinds = [oid::COMMON_NAME, oid::ORGANIZATION, oid::ORGANIZATIONAL_UNIT];
        let wanted = CsrAttributes {
            subject: subject.map(|names| {
                names.into_iter().map(|(kind, value)| (kinds[kind], value)).collect()
            }),
            key: None,
            extensions: extensions
                .into_iter()
                .map(|(arc, critical, value)| WantedExtension {
                    oid: Oid::from_arcs([2, 5, 29, arc]).unwrap(),
                    critical,
                    value,
                })
                .collect(),
            attributes: Vec::new(),
        };
        let read = CsrAttributes::from_der(&wanted.to_der(Form::Template).unwrap()).unwrap();
        prop_assert_eq!(read, wanted);
    }

    #[test]
    fn bodies_survive(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
        prop_assert_eq!(decode_body(encode_body(&bytes).as_bytes()).unwrap(), bytes);
    }
}
