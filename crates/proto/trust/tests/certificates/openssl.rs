//! openssl as the judge: it accepts what we make, and we accept what it makes.

use std::sync::Arc;

use vouchsafe_trust::{
    Anchors, Authority, Certificate, CertificateId, CertificateRequest, CertificateStatus, Crl,
    CrlContent, KeyType, OcspContent, OcspRequest, OcspResponse, PathRules, Profile, PublicKey,
    RequestContent, Revocation, RevocationReason, RevokedCertificate, SignatureAlgorithm,
    SoftwareSigner, SubjectAltName, Usage, Validity, oid, verify_path,
};

use super::support::*;

/// openssl judges by the machine's clock, so these certificates are valid for a long time.
fn long() -> Validity {
    Validity::new(time("2020-01-01T00:00:00Z"), time("2090-01-01T00:00:00Z"))
}

fn authority(algorithm: SignatureAlgorithm) -> Authority {
    Authority::self_signed(
        &Profile::certificate_authority(name("Judge Root"), Some(1)),
        &serial(),
        long(),
        signer(algorithm),
    )
    .unwrap()
}

#[test]
fn openssl_accepts_our_certificates_of_every_kind() {
    if !has_openssl() {
        return;
    }
    for algorithm in [P256, P384, ED25519] {
        let scratch = Scratch::new(&format!("certificates-{algorithm:?}"));
        let root = authority(algorithm);
        let lower = root
            .subordinate(
                &Profile::domain_ca(name("Judge Lower")),
                &serial(),
                long(),
                signer(algorithm),
            )
            .unwrap();
        scratch.write("root.pem", root.certificate().pem());
        scratch.write("lower.pem", lower.certificate().pem());
        let forever = Validity::without_end(time("2020-01-01T00:00:00Z"));
        for (file, profile, validity, purpose) in [
            (
                "registrar",
                Profile::registrar(name("r"), &["r.example"]),
                long(),
                "sslserver",
            ),
            (
                "idevid",
                Profile::idevid(idevid_name("A1"), Some("masa.example"))
                    .unwrap()
                    .with_mud_url("https://mud.example/1"),
                forever,
                "sslclient",
            ),
            (
                "ldevid",
                Profile::ldevid(name("l"), vec![SubjectAltName::Dns("l.example".into())]),
                long(),
                "sslclient",
            ),
            (
                "responder",
                Profile::ocsp_responder(name("o")),
                long(),
                "ocsphelper",
            ),
        ] {
            let key = signer(algorithm);
            let certificate = lower
                .issue(&profile, key.public_key(), &serial(), validity)
                .unwrap();
            scratch.write(file, certificate.pem());
            scratch.openssl(&format!(
                "verify -x509_strict -purpose {purpose} -CAfile root.pem -untrusted lower.pem {file}"
            ));
            let text = scratch.openssl(&format!(
                "x509 -in {file} -noout -serial -fingerprint -sha256"
            ));
            let text = text.to_lowercase().replace(':', "");
            assert!(text.contains(&certificate.serial_hex()), "{text}");
            assert!(
                text.contains(&hex::encode(certificate.fingerprint_sha256())),
                "{text}"
            );
        }
        let text = scratch.openssl("x509 -in idevid -noout -enddate -subject -nameopt RFC2253");
        assert!(text.contains("Dec 31 23:59:59 9999 GMT"), "{text}");
        assert!(text.contains("serialNumber=A1,O=Maker"), "{text}");
    }
}

/// Options of `openssl genpkey`, and the key type that must come out.
const KEYS: [(&str, &str, KeyType); 4] = [
    (
        "p256",
        "-algorithm EC -pkeyopt ec_paramgen_curve:P-256",
        KeyType::P256,
    ),
    (
        "p384",
        "-algorithm EC -pkeyopt ec_paramgen_curve:P-384",
        KeyType::P384,
    ),
    ("ed25519", "-algorithm ED25519", KeyType::Ed25519),
    (
        "rsa2048",
        "-algorithm RSA -pkeyopt rsa_keygen_bits:2048",
        KeyType::Rsa { bits: 2048 },
    ),
];

#[test]
fn we_accept_openssls_certificates() {
    if !has_openssl() {
        return;
    }
    for (label, options, key_type) in KEYS {
        let scratch = Scratch::new(&format!("accept-{label}"));
        scratch.write(
            "extensions",
            "basicConstraints=critical,CA:false\nkeyUsage=critical,digitalSignature\n\
             extendedKeyUsage=clientAuth,1.3.6.1.5.5.7.3.28\nsubjectKeyIdentifier=hash\n\
             authorityKeyIdentifier=keyid\nsubjectAltName=DNS:a.example,IP:192.0.2.1\n\
             1.3.6.1.5.5.7.1.32=ASN1:IA5STRING:masa.example\n",
        );
        scratch.openssl(&format!("genpkey {options} -out ca.key"));
        scratch.openssl(&format!("genpkey {options} -out leaf.key"));
        scratch.openssl(
            "req -x509 -new -key ca.key -subj /C=DE/O=Judge/CN=Root -days 30 -out ca.pem \
             -addext keyUsage=critical,keyCertSign,cRLSign",
        );
        scratch.openssl("req -new -key leaf.key -subj /O=Maker/serialNumber=A1 -out leaf.csr");
        scratch.openssl(
            "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -set_serial 0xF00D -days 30 \
             -extfile extensions -out leaf.pem",
        );
        let root = Certificate::from_pem(&scratch.text("ca.pem")).unwrap();
        let leaf = Certificate::from_pem(&scratch.text("leaf.pem")).unwrap();
        assert_eq!(leaf.public_key().key_type(), key_type);
        PublicKey::from_spki_der(leaf.public_key().spki_der()).unwrap();
        assert_eq!(leaf.subject_serial_number(), Some("A1"));
        assert_eq!(leaf.serial_hex(), "f00d");
        assert_eq!(leaf.masa_url(), Some("masa.example"));
        assert_eq!(leaf.dns_names(), ["a.example"]);
        assert_eq!(root.subject_text(), "CN=Root,O=Judge,C=DE");
        assert_eq!(
            root.key_identifier(),
            Some(&root.public_key().key_identifier_sha1()[..])
        );
        let rules = PathRules::strict(leaf.not_before(), Usage::Registrar);
        verify_path(&leaf, &[], &Anchors::one(root), &rules).unwrap();
        let request = CertificateRequest::from_pem(&scratch.text("leaf.csr")).unwrap();
        let request = CertificateRequest::verify(request.der()).unwrap();
        assert_eq!(request.public_key(), leaf.public_key());
    }
}

#[test]
fn we_accept_rsa_pss_and_other_hashes_from_openssl() {
    if !has_openssl() {
        return;
    }
    let scratch = Scratch::new("pss");
    scratch.openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.key");
    scratch.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out ec.key");
    for options in [
        "rsa.key -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest",
        "rsa.key -sha384 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest",
        "rsa.key -sha512",
        "ec.key -sha256",
        "ec.key -sha512",
    ] {
        scratch.openssl(&format!("req -new -subj /CN=a -out a.csr -key {options}"));
        let request = CertificateRequest::from_pem(&scratch.text("a.csr")).unwrap();
        CertificateRequest::verify(request.der()).unwrap();
    }
}

#[test]
fn openssls_private_keys_sign_here() {
    if !has_openssl() {
        return;
    }
    for (label, options, key_type) in KEYS {
        let scratch = Scratch::new(&format!("keys-{label}"));
        scratch.openssl(&format!("genpkey {options} -out key.pem"));
        scratch.openssl("pkcs8 -topk8 -nocrypt -in key.pem -outform DER -out key.der");
        let loaded = SoftwareSigner::from_pkcs8_der(&scratch.read("key.der"));
        if matches!(key_type, KeyType::Rsa { .. }) {
            assert_eq!(
                loaded.unwrap_err(),
                vouchsafe_trust::SignError::UnsupportedKey
            );
            continue;
        }
        let root = Authority::self_signed(
            &Profile::domain_ca(name("Root")),
            &serial(),
            long(),
            Arc::new(loaded.unwrap()),
        )
        .unwrap();
        scratch.write("root.pem", root.certificate().pem());
        scratch.openssl("verify -x509_strict -CAfile root.pem root.pem");
    }
}

#[test]
fn openssl_accepts_our_requests() {
    if !has_openssl() {
        return;
    }
    for algorithm in [P256, P384, ED25519] {
        let scratch = Scratch::new(&format!("requests-{algorithm:?}"));
        let mut content = RequestContent::new(idevid_name("A1"));
        content.subject_alt_names = vec![SubjectAltName::Dns("a.example".into())];
        content.challenge_password = Some("cGFzcw==".into());
        let der = CertificateRequest::build(&content, signer(algorithm).as_ref()).unwrap();
        scratch.write("a.csr", CertificateRequest::parse(&der).unwrap().pem());
        let text = scratch.openssl("req -in a.csr -verify -noout -text");
        assert!(text.contains("verify OK"), "{text}");
        assert!(text.contains("DNS:a.example"), "{text}");
        assert!(text.contains("cGFzcw=="), "{text}");
    }
}

#[test]
fn openssl_refuses_whom_our_revocation_list_names_and_nobody_else() {
    if !has_openssl() {
        return;
    }
    let scratch = Scratch::new("crl");
    let root = authority(P256);
    let make = |common_name: &str| {
        root.issue(
            &Profile::end_entity(name(common_name)),
            signer(P256).public_key(),
            &serial(),
            long(),
        )
        .unwrap()
    };
    let (bad, good) = (make("bad"), make("good"));
    let list = root
        .crl(&CrlContent {
            number: 300,
            this_update: long().not_before,
            next_update: long().not_after,
            entries: &[RevokedCertificate {
                serial: bad.serial().to_vec(),
                at: now(),
                reason: RevocationReason::KeyCompromise,
            }],
        })
        .unwrap();
    scratch.write("root.pem", root.certificate().pem());
    scratch.write("bad.pem", bad.pem());
    scratch.write("good.pem", good.pem());
    scratch.write("list.der", list.der());
    scratch.openssl("crl -inform DER -in list.der -out list.pem");
    let verify = "verify -x509_strict -crl_check -CAfile root.pem -CRLfile list.pem";
    scratch.openssl(&format!("{verify} good.pem"));
    let (accepted, said) = scratch.try_openssl(&format!("{verify} bad.pem"));
    assert!(!accepted && said.contains("revoked"), "{said}");
    let text = scratch.openssl("crl -in list.pem -noout -text");
    assert!(text.contains("Key Compromise"), "{text}");
    assert!(text.contains("300"), "{text}");
}

/// An authority of openssl's with two certificates, the second revoked.
fn openssl_authority(scratch: &Scratch) {
    scratch.write(
        "ca.conf",
        "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\n\
         default_md=sha256\npolicy=p\ndefault_days=30\ndefault_crl_days=30\ncrl_extensions=x\n\
         x509_extensions=x\ncrlnumber=crlnumber\n[p]\ncommonName=supplied\n[x]\nauthorityKeyIdentifier=keyid\n",
    );
    scratch.write("index.txt", "");
    scratch.write("serial", "80A0\n");
    scratch.write("crlnumber", "05\n");
    let curve = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";
    scratch.openssl(&format!("genpkey {curve} -out ca.key"));
    scratch.openssl(
        "req -x509 -new -key ca.key -subj /CN=Root -days 30 -out ca.pem \
         -addext keyUsage=critical,keyCertSign,cRLSign",
    );
    for leaf in ["good", "bad"] {
        scratch.openssl(&format!("genpkey {curve} -out {leaf}.key"));
        scratch.openssl(&format!(
            "req -new -key {leaf}.key -subj /CN={leaf} -out {leaf}.csr"
        ));
        scratch.openssl(&format!(
            "ca -batch -notext -config ca.conf -cert ca.pem -keyfile ca.key -in {leaf}.csr -out {leaf}.pem"
        ));
    }
    scratch.openssl(
        "ca -config ca.conf -cert ca.pem -keyfile ca.key -revoke bad.pem -crl_reason superseded",
    );
}

/// RFC 5280 §6.3.3.
#[test]
fn we_read_openssls_revocation_lists() {
    if !has_openssl() {
        return;
    }
    let scratch = Scratch::new("their-crl");
    openssl_authority(&scratch);
    scratch.openssl("ca -gencrl -config ca.conf -cert ca.pem -keyfile ca.key -out list.pem");
    scratch.openssl("crl -in list.pem -outform DER -out list.der");
    let load = |file| Certificate::from_pem(&scratch.text(file)).unwrap();
    let (root, good, bad) = (load("ca.pem"), load("good.pem"), load("bad.pem"));
    let list = Crl::from_der(&scratch.read("list.der")).unwrap();
    assert_eq!(list.number(), Some(vec![5]));
    assert_eq!(
        list.entry(bad.serial()).unwrap().1,
        RevocationReason::Superseded
    );
    let rules =
        PathRules::strict(list.this_update(), Usage::Any).with_revocation(Revocation::Checked {
            lists: vec![list],
            unknown_is_fatal: true,
        });
    let anchors = Anchors::one(root);
    verify_path(&good, &[], &anchors, &rules).unwrap();
    assert_eq!(
        verify_path(&bad, &[], &anchors, &rules).unwrap_err(),
        vouchsafe_trust::PathError::Revoked { depth: 0 }
    );
}

#[test]
fn we_read_openssls_status_answers_and_openssl_asks_as_we_do() {
    if !has_openssl() {
        return;
    }
    let scratch = Scratch::new("their-ocsp");
    openssl_authority(&scratch);
    let load = |file| Certificate::from_pem(&scratch.text(file)).unwrap();
    let root = load("ca.pem");
    let nonce = [9; 32];
    for (file, revoked) in [("good.pem", false), ("bad.pem", true)] {
        let certificate = load(file);
        let id = CertificateId::new(certificate.serial(), &root);
        scratch.openssl(&format!(
            "ocsp -issuer ca.pem -cert {file} -no_nonce -reqout theirs.der"
        ));
        assert_eq!(scratch.read("theirs.der"), OcspRequest::build(&id, None));
        scratch.openssl(&format!(
            "ocsp -issuer ca.pem -cert {file} -reqout nonce.der"
        ));
        assert!(
            OcspRequest::parse(&scratch.read("nonce.der"))
                .unwrap()
                .nonce
                .is_some()
        );

        scratch.write("ours.der", OcspRequest::build(&id, Some(&nonce)));
        scratch.openssl(
            "ocsp -index index.txt -rsigner ca.pem -rkey ca.key -CA ca.pem -reqin ours.der \
             -respout answer.der -ndays 1",
        );
        let answer = OcspResponse::parse(&scratch.read("answer.der")).unwrap();
        // The certificate was made moments ago and the answer holds for a day.
        let at = certificate.not_before() + jiff::SignedDuration::from_hours(1);
        let status = answer
            .verify(&certificate, &root, Some(&nonce), at)
            .unwrap()
            .into_inner();
        match status {
            CertificateStatus::Good => assert!(!revoked),
            CertificateStatus::Revoked { reason, .. } => {
                assert!(revoked);
                assert_eq!(reason, RevocationReason::Superseded);
            }
            CertificateStatus::Unknown => panic!("unknown"),
        }
    }
}

#[test]
fn openssl_accepts_our_status_answers_from_issuer_and_delegate() {
    if !has_openssl() {
        return;
    }
    let scratch = Scratch::new("ocsp");
    let root = authority(P256);
    let key = signer(P256);
    let delegate = root
        .issue(
            &Profile::ocsp_responder(name("Responder")),
            key.public_key(),
            &serial(),
            long(),
        )
        .unwrap();
    let leaf = root
        .issue(
            &Profile::tls_client(name("leaf")),
            signer(P256).public_key(),
            &serial(),
            long(),
        )
        .unwrap();
    scratch.write("root.pem", root.certificate().pem());
    scratch.write("leaf.pem", leaf.pem());
    scratch.openssl("ocsp -issuer root.pem -cert leaf.pem -reqout request.der");
    let request = OcspRequest::parse(&scratch.read("request.der")).unwrap();
    assert!(request.certificates[0].is_issued_by(root.certificate()));
    for (responder, signer) in [(root.certificate(), root.signer()), (&delegate, &key)] {
        for (status, expected) in [
            (CertificateStatus::Good, "leaf.pem: good"),
            (CertificateStatus::Unknown, "leaf.pem: unknown"),
            (
                CertificateStatus::Revoked {
                    at: now(),
                    reason: RevocationReason::KeyCompromise,
                },
                "keyCompromise",
            ),
        ] {
            let answers = [(request.certificates[0].clone(), status)];
            let content = OcspContent {
                answers: &answers,
                this_update: long().not_before,
                next_update: long().not_after,
                nonce: request.nonce.as_deref(),
            };
            let response = OcspResponse::sign(&content, responder, signer.as_ref()).unwrap();
            scratch.write("answer.der", response);
            let said = scratch.openssl(
                "ocsp -no_nonce -issuer root.pem -cert leaf.pem -reqin request.der -respin answer.der -CAfile root.pem",
            );
            assert!(said.contains("Response verify OK"), "{said}");
            assert!(said.contains(expected), "{said}");
        }
    }
}

/// RFC 2986 §4.2.
#[test]
fn a_sha1_signature_by_openssl_is_refused_by_name() {
    if !has_openssl() {
        return;
    }
    let scratch = Scratch::new("sha1");
    scratch.openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out rsa.key");
    scratch.openssl("req -new -sha1 -subj /CN=a -out a.csr -key rsa.key");
    let request = CertificateRequest::from_pem(&scratch.text("a.csr")).unwrap();
    assert_eq!(
        CertificateRequest::verify(request.der()).unwrap_err(),
        vouchsafe_trust::RequestError::ProofOfPossession(vouchsafe_trust::SignatureError::Sha1)
    );
    assert_eq!(request.extension(&oid::SUBJECT_ALT_NAME), None);
}
