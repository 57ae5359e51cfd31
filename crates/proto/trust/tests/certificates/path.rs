//! RFC 5280 §6: what leads to an anchor, and everything that does not, by its reason.

use vouchsafe_trust::{
    Anchors, Authority, BasicConstraints, Certificate, Extension, IdevidRules, KeyUsage,
    MAX_INTERMEDIATES, MAX_PATH_LENGTH, NO_EXPIRY, Name, Oid, PathError, PathRules, Profile,
    SignatureError, Usage, Validity, oid, verify_path,
};

use super::support::*;

fn strict(usage: Usage) -> PathRules {
    PathRules::strict(now(), usage)
}

fn lenient(rules: IdevidRules) -> PathRules {
    PathRules::idevid(now(), rules)
}

fn anchors(authority: &Authority) -> Anchors {
    Anchors::one(authority.certificate().clone())
}

fn refusal(
    leaf: &Certificate,
    intermediates: &[Certificate],
    anchors: &Anchors,
    rules: &PathRules,
) -> PathError {
    verify_path(leaf, intermediates, anchors, rules).unwrap_err()
}

const UNKNOWN: Oid = Oid::new_unwrap("1.3.6.1.4.1.99999.1");

fn unknown_critical() -> Extension {
    Extension {
        oid: UNKNOWN,
        critical: true,
        value: vec![0x05, 0x00],
    }
}

#[test]
fn a_path_over_intermediates_in_any_order_with_strangers_among_them_is_found() {
    let root = root();
    let upper = below(&root, "Upper");
    let lower = below(&upper, "Lower");
    let leaf = issue(&lower, &Profile::tls_client(name("leaf")));
    let stranger = below(
        &root_with(&Profile::domain_ca(name("Lower"))).clone(),
        "Other",
    );
    let offered = [
        upper.certificate().clone(),
        stranger.certificate().clone(),
        lower.certificate().clone(),
    ];
    let path = verify_path(&leaf, &offered, &anchors(&root), &strict(Usage::TlsClient)).unwrap();
    assert_eq!(path.certificates().len(), 4);
    assert_eq!(path.leaf(), Some(&leaf));
    assert_eq!(path.anchor(), Some(root.certificate()));
}

/// RFC 5280 §4.2.1.12.
#[test]
fn an_intermediate_can_be_the_anchor_and_so_can_the_leaf_itself() {
    let root = root();
    let lower = below(&root, "Lower");
    let leaf = issue(&lower, &Profile::tls_client(name("leaf")));
    let path = verify_path(&leaf, &[], &anchors(&lower), &strict(Usage::TlsClient)).unwrap();
    assert_eq!(path.certificates().len(), 2);
    // RFC 8995 §5.5.2: a voucher may pin the registrar's own certificate.
    let pinned = Anchors::one(leaf.clone());
    let path = verify_path(&leaf, &[], &pinned, &strict(Usage::TlsClient)).unwrap();
    assert_eq!(path.certificates().len(), 1);
    assert_eq!(
        refusal(&leaf, &[], &pinned, &strict(Usage::TlsServer)),
        PathError::ExtendedKeyUsage { depth: 0 }
    );
}

/// RFC 5280 §6.1.1.
#[test]
fn no_anchors_is_not_a_trust_store() {
    assert_eq!(Anchors::new(Vec::new()).unwrap_err(), PathError::NoAnchors);
}

/// RFC 5280 §6.1.3.
#[test]
fn rfc_5280_6_1_3_a4_a_leaf_of_a_stranger_has_no_known_issuer() {
    let leaf = issue(
        &root_with(&Profile::domain_ca(name("Stranger"))),
        &Profile::tls_client(name("leaf")),
    );
    assert_eq!(
        refusal(&leaf, &[], &anchors(&root()), &strict(Usage::Any)),
        PathError::UnknownIssuer { depth: 0 }
    );
    // The same name and another key is a stranger too, because key identifiers are compared.
    let leaf = issue(&root(), &Profile::tls_client(name("leaf")));
    assert_eq!(
        refusal(&leaf, &[], &anchors(&root()), &strict(Usage::Any)),
        PathError::UnknownIssuer { depth: 0 }
    );
}

/// RFC 5280 §6.1.3.
#[test]
fn rfc_5280_6_1_3_a4_a_chain_that_ends_before_an_anchor_names_its_last_certificate() {
    let lower = below(&root(), "Lower");
    let leaf = issue(&lower, &Profile::tls_client(name("leaf")));
    let offered = [lower.certificate().clone()];
    assert_eq!(
        refusal(&leaf, &offered, &anchors(&root()), &strict(Usage::Any)),
        PathError::UnknownIssuer { depth: 1 }
    );
}

/// RFC 5280 §6.1.3.
#[test]
fn rfc_5280_6_1_3_a1_a_wrong_signature_is_refused() {
    let root = root();
    let leaf = issue(&root, &Profile::tls_client(name("leaf")));
    let forged = forge(&leaf, signer(P256).as_ref(), |_| {});
    assert_eq!(
        refusal(&forged, &[], &anchors(&root), &strict(Usage::Any)),
        PathError::Signature {
            depth: 0,
            reason: SignatureError::Invalid
        }
    );
}

/// RFC 5280 §6.1.3.
#[test]
fn a_sha1_signature_is_refused_by_name() {
    let root = root();
    let leaf = issue(&root, &Profile::tls_client(name("leaf")));
    for (algorithm, null) in [(oid::ECDSA_SHA1, false), (oid::RSA_SHA1, true)] {
        let forged = forge(&leaf, root.signer().as_ref(), |fields| {
            let mut contents = tlv(0x06, algorithm.as_bytes());
            if null {
                contents.extend([0x05, 0x00]);
            }
            fields[ALGORITHM] = tlv(0x30, &contents);
        });
        assert_eq!(
            refusal(&forged, &[], &anchors(&root), &strict(Usage::Any)),
            PathError::Signature {
                depth: 0,
                reason: SignatureError::Sha1
            }
        );
    }
}

/// RFC 5280 §6.1.3.
#[test]
fn rfc_5280_6_1_3_a2_expired_and_not_yet_valid_are_refused_along_the_path() {
    let at_edge = |text| PathRules::strict(time(text), Usage::Any);
    let root = root();
    let leaf = issue(&root, &Profile::tls_client(name("leaf")));
    // Both ends are inclusive.
    for edge in ["2026-01-01T00:00:00Z", "2027-12-31T23:59:59.9Z"] {
        verify_path(&leaf, &[], &anchors(&root), &at_edge(edge)).unwrap();
    }
    let short = Validity::new(time("2026-02-01T00:00:00Z"), time("2026-03-01T00:00:00Z"));
    let leaf = issue_during(&root, &Profile::tls_client(name("leaf")), short);
    assert_eq!(
        refusal(
            &leaf,
            &[],
            &anchors(&root),
            &at_edge("2026-03-01T00:00:01Z")
        ),
        PathError::Expired { depth: 0 }
    );
    assert_eq!(
        refusal(
            &leaf,
            &[],
            &anchors(&root),
            &at_edge("2026-01-31T23:59:59Z")
        ),
        PathError::NotYetValid { depth: 0 }
    );
    let lower = root
        .subordinate(
            &Profile::certificate_authority(name("Lower"), None),
            &serial(),
            short,
            signer(P256),
        )
        .unwrap();
    let leaf = issue(&lower, &Profile::tls_client(name("leaf")));
    let offered = [lower.certificate().clone()];
    assert_eq!(
        refusal(&leaf, &offered, &anchors(&root), &strict(Usage::Any)),
        PathError::Expired { depth: 1 }
    );
    let later = at_edge("2028-01-01T00:00:00Z");
    let forever = issue_during(
        &root,
        &Profile::tls_client(name("leaf")),
        Validity::without_end(time("2026-01-01T00:00:00Z")),
    );
    assert_eq!(
        refusal(&forever, &[], &anchors(&root), &later),
        PathError::Expired { depth: 1 }
    );
}

/// RFC 5280 §6.1.3.
#[test]
fn rfc_8995_2_6_2_the_end_of_the_year_9999_is_no_expiry_and_expiry_can_be_forgiven() {
    let root = root();
    let profile = Profile::idevid(idevid_name("1"), Some("masa.example")).unwrap();
    let forever = Validity::without_end(time("2026-01-01T00:00:00Z"));
    let leaf = issue_during(&root, &profile, forever);
    assert_eq!(leaf.not_after(), NO_EXPIRY);
    let text = b"99991231235959Z";
    assert!(leaf.der().windows(text.len()).any(|window| window == text));
    verify_path(&leaf, &[], &anchors(&root), &strict(Usage::TlsClient)).unwrap();

    let later = time("2031-01-01T00:00:00Z");
    assert_eq!(
        refusal(
            &leaf,
            &[],
            &anchors(&root),
            &PathRules::idevid(later, IdevidRules::default())
        ),
        PathError::Expired { depth: 1 }
    );
    let forgiving = IdevidRules {
        ignore_expiry: true,
        ..IdevidRules::default()
    };
    verify_path(
        &leaf,
        &[],
        &anchors(&root),
        &PathRules::idevid(later, forgiving.clone()),
    )
    .unwrap();
    // What is not yet valid is not forgiven.
    let early = time("2020-01-01T00:00:00Z");
    assert_eq!(
        refusal(
            &leaf,
            &[],
            &anchors(&root),
            &PathRules::idevid(early, forgiving)
        ),
        PathError::NotYetValid { depth: 1 }
    );
}

/// RFC 5280 §4.2.1.12.
#[test]
fn rfc_5280_4_2_1_12_a_wrong_extended_key_usage_is_refused() {
    let root = root();
    let client = issue(&root, &Profile::tls_client(name("leaf")));
    assert_eq!(
        refusal(&client, &[], &anchors(&root), &strict(Usage::TlsServer)),
        PathError::ExtendedKeyUsage { depth: 0 }
    );
    // Absent means any purpose in TLS ...
    let any = issue(&root, &Profile::end_entity(name("leaf")));
    verify_path(&any, &[], &anchors(&root), &strict(Usage::TlsServer)).unwrap();
    let mut profile = Profile::end_entity(name("leaf"));
    profile.extended_key_usages = vec![oid::ANY_EXTENDED_KEY_USAGE];
    let stated_any = issue(&root, &profile);
    verify_path(&stated_any, &[], &anchors(&root), &strict(Usage::TlsServer)).unwrap();
    // ... but not for those who speak for others (RFC 8995 §5.5.4, RFC 6960 §4.2.2.2).
    for usage in [Usage::Registrar, Usage::OcspSigning] {
        for leaf in [&any, &client, &stated_any] {
            assert_eq!(
                refusal(leaf, &[], &anchors(&root), &strict(usage)),
                PathError::ExtendedKeyUsage { depth: 0 }
            );
        }
    }
    let registrar = issue(&root, &Profile::registrar(name("r"), &["r.example"]));
    for usage in [Usage::Registrar, Usage::TlsServer, Usage::TlsClient] {
        verify_path(&registrar, &[], &anchors(&root), &strict(usage)).unwrap();
    }
}

/// RFC 5280 §4.2.1.12.
#[test]
fn rfc_5280_4_2_1_12_an_authority_limited_to_clients_cannot_make_servers() {
    let root = root();
    let mut profile = Profile::certificate_authority(name("Lower"), None);
    profile.extended_key_usages = vec![oid::CLIENT_AUTH];
    let lower = root
        .subordinate(&profile, &serial(), validity(), signer(P256))
        .unwrap();
    let leaf = issue(&lower, &Profile::tls_server(name("leaf"), &["a.example"]));
    assert_eq!(
        refusal(
            &leaf,
            &[lower.certificate().clone()],
            &anchors(&root),
            &strict(Usage::TlsServer)
        ),
        PathError::ExtendedKeyUsage { depth: 1 }
    );
}

/// RFC 5280 §6.1.4.
#[test]
fn rfc_5280_6_1_4_k_an_end_entity_cannot_issue() {
    let root = root();
    let holder = signer(P256);
    for basic_constraints in [Some(BasicConstraints::default()), None] {
        let mut profile = Profile::end_entity(name("Not an authority"));
        profile.basic_constraints = basic_constraints;
        profile.key_usage = KeyUsage::DIGITAL_SIGNATURE.with(KeyUsage::KEY_CERT_SIGN);
        let false_issuer = root
            .issue(&profile, holder.public_key(), &serial(), validity())
            .unwrap();
        let leaf = issued_by_force(&false_issuer, holder.as_ref());
        assert_eq!(
            refusal(
                &leaf,
                std::slice::from_ref(&false_issuer),
                &anchors(&root),
                &strict(Usage::Any)
            ),
            PathError::NotACertificateAuthority { depth: 1 }
        );
        // Nor can a pinned end entity (RFC 8995 §5.6.2).
        assert_eq!(
            refusal(&leaf, &[], &Anchors::one(false_issuer), &strict(Usage::Any)),
            PathError::NotACertificateAuthority { depth: 1 }
        );
    }
}

/// A certificate signed by the holder of `issuer`'s key, whether it may or not.
fn issued_by_force(issuer: &Certificate, holder: &dyn vouchsafe_trust::Signer) -> Certificate {
    let subject = issuer.subject().clone();
    let stand_in = root_with(&Profile::certificate_authority(subject, None));
    let leaf = issue(&stand_in, &Profile::tls_client(name("leaf")));
    forge(&leaf, holder, |fields| {
        // Without extensions there is no authorityKeyIdentifier in the way.
        fields.truncate(EXTENSIONS);
    })
}

/// RFC 5280 §6.1.4.
#[test]
fn rfc_5280_6_1_4_n_an_authority_without_key_cert_sign_cannot_issue() {
    let root = root();
    let holder = signer(P256);
    let mut profile = Profile::certificate_authority(name("Lists only"), None);
    profile.key_usage = KeyUsage::CRL_SIGN;
    let lists_only = root
        .issue(&profile, holder.public_key(), &serial(), validity())
        .unwrap();
    let leaf = issued_by_force(&lists_only, holder.as_ref());
    assert_eq!(
        refusal(&leaf, &[lists_only], &anchors(&root), &strict(Usage::Any)),
        PathError::KeyUsage { depth: 1 }
    );
}

/// RFC 5280 §6.1.4.
#[test]
fn rfc_5280_4_2_1_3_a_leaf_that_may_not_sign_is_refused() {
    let root = root();
    let mut profile = Profile::end_entity(name("leaf"));
    profile.key_usage = KeyUsage::KEY_AGREEMENT;
    let leaf = issue(&root, &profile);
    for rules in [strict(Usage::Any), lenient(IdevidRules::default())] {
        assert_eq!(
            refusal(&leaf, &[], &anchors(&root), &rules),
            PathError::KeyUsage { depth: 0 }
        );
    }
}

/// RFC 5280 §6.1.4.
#[test]
fn an_authority_is_no_end_entity_except_as_a_device_identity() {
    let root = root();
    let lower = below(&root, "Lower");
    assert_eq!(
        refusal(
            lower.certificate(),
            &[],
            &anchors(&root),
            &strict(Usage::TlsServer)
        ),
        PathError::AuthorityAsEndEntity { depth: 0 }
    );
    verify_path(
        lower.certificate(),
        &[],
        &anchors(&root),
        &strict(Usage::CertificateAuthority),
    )
    .unwrap();
    let mut profile = Profile::idevid(idevid_name("1"), None).unwrap();
    profile.basic_constraints = Some(BasicConstraints {
        ca: true,
        path_length: None,
    });
    let leaf = issue(&root, &profile);
    verify_path(
        &leaf,
        &[],
        &anchors(&root),
        &lenient(IdevidRules::default()),
    )
    .unwrap();
    let end_entity = issue(&root, &Profile::end_entity(name("leaf")));
    assert_eq!(
        refusal(
            &end_entity,
            &[],
            &anchors(&root),
            &strict(Usage::CertificateAuthority)
        ),
        PathError::NotACertificateAuthority { depth: 0 }
    );
}

/// RFC 5280 §4.2.
#[test]
fn rfc_5280_4_2_an_unknown_critical_extension_is_refused_unless_the_manufacturers_rules_name_it() {
    let root = root();
    let mut profile = Profile::idevid(idevid_name("1"), None).unwrap();
    profile.extensions = vec![unknown_critical()];
    let leaf = issue(&root, &profile);
    let expected = PathError::UnknownCriticalExtension {
        depth: 0,
        extension: UNKNOWN,
    };
    for rules in [strict(Usage::Any), lenient(IdevidRules::default())] {
        assert_eq!(refusal(&leaf, &[], &anchors(&root), &rules), expected);
    }
    let forgiving = IdevidRules {
        allow_unknown_critical: vec![UNKNOWN],
        ..IdevidRules::default()
    };
    verify_path(&leaf, &[], &anchors(&root), &lenient(forgiving)).unwrap();

    let mut profile = Profile::certificate_authority(name("Lower"), None);
    profile.extensions = vec![unknown_critical()];
    let lower = root
        .subordinate(&profile, &serial(), validity(), signer(P256))
        .unwrap();
    let leaf = issue(&lower, &Profile::end_entity(name("leaf")));
    assert_eq!(
        refusal(
            &leaf,
            &[lower.certificate().clone()],
            &anchors(&root),
            &strict(Usage::Any)
        ),
        PathError::UnknownCriticalExtension {
            depth: 1,
            extension: UNKNOWN
        }
    );
}

/// RFC 5280 §4.2.1.10.
#[test]
fn rfc_5280_4_2_1_10_name_constraints_are_refused_critical_or_not() {
    let root = root();
    for critical in [true, false] {
        let mut profile = Profile::certificate_authority(name("Lower"), None);
        profile.extensions = vec![Extension {
            oid: oid::NAME_CONSTRAINTS,
            critical,
            value: vec![0x30, 0x00],
        }];
        let lower = root
            .subordinate(&profile, &serial(), validity(), signer(P256))
            .unwrap();
        let leaf = issue(&lower, &Profile::end_entity(name("leaf")));
        assert_eq!(
            refusal(
                &leaf,
                &[lower.certificate().clone()],
                &anchors(&root),
                &strict(Usage::Any)
            ),
            PathError::NameConstraints { depth: 1 }
        );
    }
}

/// Version 1: no version field, no extensions.
fn version_1(certificate: &Certificate, holder: &dyn vouchsafe_trust::Signer) -> Certificate {
    forge(certificate, holder, |fields| {
        fields.truncate(EXTENSIONS);
        fields.remove(VERSION);
    })
}

/// RFC 5280 §6.1.4.
#[test]
fn rfc_5280_6_1_4_k_version_1_is_refused_unless_the_manufacturers_rules_allow_it() {
    let root = root();
    let leaf = issue(&root, &Profile::idevid(idevid_name("1"), None).unwrap());
    let leaf = version_1(&leaf, root.signer().as_ref());
    assert_eq!(leaf.version(), 1);
    for rules in [strict(Usage::Any), lenient(IdevidRules::default())] {
        assert_eq!(
            refusal(&leaf, &[], &anchors(&root), &rules),
            PathError::Version { depth: 0 }
        );
    }
    let forgiving = lenient(IdevidRules {
        allow_v1: true,
        ..IdevidRules::default()
    });
    verify_path(&leaf, &[], &anchors(&root), &forgiving).unwrap();

    // A version 1 intermediate cannot say that it is an authority; a version 1 anchor need not.
    let lower = below(&root, "Lower");
    let leaf = issue(&lower, &Profile::end_entity(name("leaf")));
    let old = version_1(lower.certificate(), root.signer().as_ref());
    for rules in [&forgiving, &strict(Usage::Any)] {
        assert_eq!(
            refusal(&leaf, std::slice::from_ref(&old), &anchors(&root), rules),
            PathError::Version { depth: 1 }
        );
    }
    verify_path(&leaf, &[], &Anchors::one(old), &strict(Usage::Any)).unwrap();
}

/// RFC 5280 §6.1.4.
#[test]
fn rfc_5280_6_1_4_l_a_path_length_constraint_counts_intermediates() {
    for limit in [0, 1, 2] {
        let root = root_with(&Profile::certificate_authority(name("Root"), Some(limit)));
        let mut authority = root.clone();
        let mut offered = Vec::new();
        for depth in 0..=limit {
            let leaf = issue(&authority, &Profile::end_entity(name("leaf")));
            verify_path(&leaf, &offered, &anchors(&root), &strict(Usage::Any)).unwrap();
            authority = below(&authority, &format!("Below {depth}"));
            offered.push(authority.certificate().clone());
        }
        let leaf = issue(&authority, &Profile::end_entity(name("leaf")));
        assert_eq!(
            refusal(&leaf, &offered, &anchors(&root), &strict(Usage::Any)),
            PathError::PathLength {
                depth: offered.len() + 1
            }
        );
    }
}

#[test]
fn a_path_longer_than_the_limit_is_refused() {
    let root = root();
    let mut authority = root.clone();
    let mut offered = Vec::new();
    for depth in 0..MAX_PATH_LENGTH - 2 {
        authority = below(&authority, &format!("Below {depth}"));
        offered.push(authority.certificate().clone());
    }
    let leaf = issue(&authority, &Profile::end_entity(name("leaf")));
    let path = verify_path(&leaf, &offered, &anchors(&root), &strict(Usage::Any)).unwrap();
    assert_eq!(path.certificates().len(), MAX_PATH_LENGTH);
    authority = below(&authority, "One too many");
    offered.push(authority.certificate().clone());
    let leaf = issue(&authority, &Profile::end_entity(name("leaf")));
    assert_eq!(
        refusal(&leaf, &offered, &anchors(&root), &strict(Usage::Any)),
        PathError::TooLong {
            limit: MAX_PATH_LENGTH
        }
    );
}

/// RFC 5280 §6.1.3.
#[test]
fn certificates_that_issue_each_other_end_the_search() {
    // Two authorities, each certified by the other: a loop, and no anchor.
    let (one, two) = (
        root_with(&Profile::certificate_authority(name("One"), None)),
        root_with(&Profile::certificate_authority(name("Two"), None)),
    );
    let cross = |issuer: &Authority, subject: &Authority| {
        issuer
            .issue(
                &Profile::certificate_authority(subject.certificate().subject().clone(), None),
                subject.certificate().public_key(),
                &serial(),
                validity(),
            )
            .unwrap()
    };
    let offered = [cross(&one, &two), cross(&two, &one)];
    let leaf = issue(&one, &Profile::end_entity(name("leaf")));
    let error = refusal(&leaf, &offered, &anchors(&root()), &strict(Usage::Any));
    assert!(matches!(error, PathError::UnknownIssuer { .. }), "{error}");
}

#[test]
fn signature_checks_are_bounded_however_many_certificates_fit() {
    // Every authority of one name certifies every other: paths by the thousand, none to an anchor.
    let subject = || Profile::certificate_authority(name("Same"), None);
    let holder = signer(P256);
    let authority =
        Authority::self_signed(&subject(), &serial(), validity(), holder.clone()).unwrap();
    let offered: Vec<_> = (0..MAX_INTERMEDIATES)
        .map(|_| {
            authority
                .issue(&subject(), holder.public_key(), &serial(), validity())
                .unwrap()
        })
        .collect();
    let leaf = issue(&authority, &Profile::end_entity(name("leaf")));
    let error = refusal(&leaf, &offered, &anchors(&root()), &strict(Usage::Any));
    assert!(
        matches!(error, PathError::SignatureBudget { .. }),
        "{error}"
    );
    let mut too_many = offered.clone();
    too_many.push(leaf.clone());
    assert_eq!(
        refusal(&leaf, &too_many, &anchors(&root()), &strict(Usage::Any)),
        PathError::TooManyCertificates {
            limit: MAX_INTERMEDIATES
        }
    );
}

/// An RSA subjectPublicKeyInfo with a modulus of so many bits.
fn rsa_spki(bits: usize) -> Vec<u8> {
    let mut modulus = vec![0x00];
    modulus.extend(vec![0xc5; bits / 8]);
    let key = tlv(0x30, &[tlv(0x02, &modulus), tlv(0x02, &[1, 0, 1])].concat());
    let algorithm = tlv(
        0x30,
        &[tlv(0x06, oid::RSA_ENCRYPTION.as_bytes()), vec![5, 0]].concat(),
    );
    let mut bit_string = vec![0];
    bit_string.extend(key);
    tlv(0x30, &[algorithm, tlv(0x03, &bit_string)].concat())
}

/// RFC 3279 §2.3.1: the parameters are NULL. One key has one encoding, since keys are pinned,
/// compared and looked up by it.
/// RFC 5280 §4.1.2.7.
#[test]
fn rfc_3279_2_3_1_an_rsa_key_with_other_parameters_is_refused() {
    let spki = rsa_spki(1024);
    let [algorithm, key] = <[_; 2]>::try_from(elements(body(&spki))).unwrap();
    let oid = elements(body(&algorithm)).remove(0);
    assert_eq!(
        vouchsafe_trust::PublicKey::from_spki_der(&spki).unwrap_err(),
        SignatureError::WeakKey
    );
    for parameters in [&[][..], &[0x05, 0x01, 0x00], &[0x04, 0x00], &[5, 0, 5, 0]] {
        let algorithm = tlv(0x30, &[oid.as_slice(), parameters].concat());
        let other = tlv(0x30, &[algorithm, key.clone()].concat());
        assert_eq!(
            vouchsafe_trust::PublicKey::from_spki_der(&other).unwrap_err(),
            SignatureError::MalformedKey,
            "{parameters:?}"
        );
    }
}

#[test]
fn weak_and_unsupported_keys_are_refused() {
    use vouchsafe_trust::{KeyType, PublicKey};
    assert_eq!(
        PublicKey::from_spki_der(&rsa_spki(1024)).unwrap_err(),
        SignatureError::WeakKey
    );
    let root = root();
    let leaf = issue(&root, &Profile::end_entity(name("leaf")));
    let weak = forge(&leaf, root.signer().as_ref(), |fields| {
        fields[SPKI] = rsa_spki(1024);
    });
    assert_eq!(weak.public_key().key_type(), KeyType::Rsa { bits: 1024 });
    for rules in [strict(Usage::Any), lenient(IdevidRules::default())] {
        assert_eq!(
            refusal(&weak, &[], &anchors(&root), &rules),
            PathError::Key {
                depth: 0,
                reason: SignatureError::WeakKey
            }
        );
    }
    // brainpoolP256r1: a key to carry, not to use.
    let other_curve = forge(&leaf, root.signer().as_ref(), |fields| {
        let algorithm = tlv(
            0x30,
            &[
                tlv(0x06, oid::EC_PUBLIC_KEY.as_bytes()),
                tlv(0x06, Oid::new_unwrap("1.3.36.3.3.2.8.1.1.7").as_bytes()),
            ]
            .concat(),
        );
        fields[SPKI] = tlv(0x30, &[algorithm, tlv(0x03, &[0; 66])].concat());
    });
    assert_eq!(
        refusal(&other_curve, &[], &anchors(&root), &strict(Usage::Any)),
        PathError::Key {
            depth: 0,
            reason: SignatureError::UnsupportedKey
        }
    );
    // A weak key cannot issue either.
    let lower = below(&root, "Lower");
    let leaf = issue(&lower, &Profile::end_entity(name("leaf")));
    let weak = forge(lower.certificate(), root.signer().as_ref(), |fields| {
        fields[SPKI] = rsa_spki(1536);
    });
    assert_eq!(
        refusal(&leaf, &[weak], &anchors(&root), &strict(Usage::Any)),
        PathError::Key {
            depth: 1,
            reason: SignatureError::WeakKey
        }
    );
}

/// RFC 5280 §4.1.2.7.
#[test]
fn a_point_off_its_curve_is_refused_when_read_as_a_key() {
    let mut spki = signer(P256).public_key().spki_der().to_vec();
    *spki.last_mut().unwrap() ^= 1;
    assert_eq!(
        vouchsafe_trust::PublicKey::from_spki_der(&spki).unwrap_err(),
        SignatureError::MalformedKey
    );
}

#[test]
fn a_broken_constraint_refuses_the_certificate_rather_than_reading_as_absent() {
    let root = root();
    for (extension, value) in [
        (oid::BASIC_CONSTRAINTS, vec![0x30, 0x01, 0x00]),
        (oid::KEY_USAGE, vec![0x03, 0x00]),
        (oid::EXTENDED_KEY_USAGE, vec![0x30, 0x00]),
    ] {
        let mut profile = Profile::end_entity(name("leaf"));
        profile.basic_constraints = None;
        profile.key_usage = KeyUsage::default();
        profile.extensions = vec![Extension {
            oid: extension,
            critical: false,
            value,
        }];
        let leaf = issue(&root, &profile);
        assert_eq!(
            refusal(&leaf, &[], &anchors(&root), &strict(Usage::TlsClient)),
            PathError::MalformedExtension {
                depth: 0,
                extension
            }
        );
    }
}

#[test]
fn a_dead_end_does_not_hide_the_way_around_it() {
    // Two certificates for the same authority, one expired and offered first.
    let root = root();
    let lower = below(&root, "Lower");
    let short = Validity::new(time("2026-01-01T00:00:00Z"), time("2026-01-02T00:00:00Z"));
    let expired = root
        .issue(
            &Profile::certificate_authority(name("Lower"), None),
            lower.certificate().public_key(),
            &serial(),
            short,
        )
        .unwrap();
    let leaf = issue(&lower, &Profile::end_entity(name("leaf")));
    let offered = [expired, lower.certificate().clone()];
    verify_path(&leaf, &offered, &anchors(&root), &strict(Usage::Any)).unwrap();
}

/// RFC 5280 §6.1.3.
#[test]
fn names_must_match_byte_for_byte() {
    let root = root_with(&Profile::domain_ca(
        Name::new(&[(oid::COUNTRY, "DE"), (oid::COMMON_NAME, "Owner")]).unwrap(),
    ));
    let twin = Authority::self_signed(
        &Profile::domain_ca(
            Name::new(&[(oid::COUNTRY, "DE"), (oid::COMMON_NAME, "owner")]).unwrap(),
        ),
        &serial(),
        validity(),
        root.signer().clone(),
    )
    .unwrap();
    let leaf = issue(&twin, &Profile::end_entity(name("leaf")));
    assert_eq!(
        refusal(&leaf, &[], &anchors(&root), &strict(Usage::Any)),
        PathError::UnknownIssuer { depth: 0 }
    );
}
