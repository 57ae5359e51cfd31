use proptest::prelude::*;
use vouchsafe_trust::SoftwareSigner;

use super::*;
use crate::object::ConfigurationObject;

const CURVES: [Curve; 5] = [
    Curve::P256,
    Curve::P384,
    Curve::P521,
    Curve::Bp256,
    Curve::Bp384,
];

fn key(curve: Curve, seed: u8) -> PrivateKey {
    PrivateKey::from_seed(curve, &vec![seed; curve.seed_length()]).unwrap()
}

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn content(role: NetRole) -> ConnectorContent {
    ConnectorContent::for_any_group(role, key(Curve::P256, 9).public().clone())
}

fn anchor(key: &PrivateKey) -> CSignPublicKey {
    CSignPublicKey::new(key.public().clone())
}

/// A connector with a header and a payload of our choosing, soundly signed.
fn forged(header: &str, payload: &str, signer: &PrivateKey) -> String {
    let header = BASE64_URL_SAFE_NO_PAD.encode(header);
    let payload = BASE64_URL_SAFE_NO_PAD.encode(payload);
    let signed = format!("{header}.{payload}");
    let signature = signature::sign(signer, signed.as_bytes()).unwrap();
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

fn header(alg: &str, signer: &PrivateKey) -> String {
    let kid = anchor(signer).kid().to_owned();
    format!(r#"{{"typ":"dppCon","kid":"{kid}","alg":"{alg}"}}"#)
}

#[track_caller]
fn malformed(text: &str, reason: impl Into<Error>) {
    assert_eq!(Connector::parse(text).err(), Some(reason.into()), "{text}");
}

#[track_caller]
fn payload_refused(payload: &str, reason: impl Into<Error>) {
    let signer = key(Curve::P256, 1);
    let text = forged(&header("ES256", &signer), payload, &signer);
    let connector = Connector::parse(&text).unwrap();
    let refused = connector.verify(&[anchor(&signer)], now()).err();
    assert_eq!(refused, Some(reason.into()), "{payload}");
}

#[test]
fn what_is_issued_on_each_curve_verifies_and_says_the_same() {
    for curve in CURVES {
        let signer = key(curve, 1);
        let device = key(curve, 2);
        let issued = ConnectorContent {
            groups: vec![
                Group {
                    id: "pumps \"7\"".into(),
                    role: NetRole::Station,
                },
                Group {
                    id: ANY_GROUP.into(),
                    role: NetRole::AccessPoint,
                },
            ],
            net_access_key: device.public().clone(),
            expiry: Some(now()),
            version: Some(3),
        };
        let connector = Connector::issue_with_key(&issued, &signer).unwrap();
        let read = Connector::parse(connector.as_str()).unwrap();
        assert_eq!(read, connector);
        let verified = read.verify(&[anchor(&signer)], now()).unwrap();
        assert_eq!(verified.content(), &issued);
        verified.check_key(device.public()).unwrap();
    }
    let without = key(Curve::P256, 1);
    let empty = ConnectorContent {
        groups: Vec::new(),
        ..content(NetRole::Station)
    };
    assert_eq!(
        Connector::issue_with_key(&empty, &without).err(),
        Some(Misuse::NoGroups.into())
    );
}

#[test]
fn a_signer_wherever_it_lives_issues_what_verifies() {
    for curve in [Curve::P256, Curve::P384] {
        let private = key(curve, 3);
        let signer = SoftwareSigner::from_pkcs8_der(private.to_pkcs8_der().expose()).unwrap();
        let anchor = CSignPublicKey::of_signer(&signer).unwrap();
        assert_eq!(anchor.point(), private.public());
        let connector = Connector::issue(&content(NetRole::Station), &signer).unwrap();
        connector
            .verify(std::slice::from_ref(&anchor), now())
            .unwrap();
        let prepared = CSignKey::new(Arc::new(signer)).unwrap();
        assert_eq!(prepared.public(), &anchor);
        let again = prepared.issue(&content(NetRole::Station)).unwrap();
        again.verify(&[anchor], now()).unwrap();
        let signed = |connector: &Connector| connector.text[..connector.signed_length].to_owned();
        assert_eq!(signed(&again), signed(&connector));
    }
}

/// Names from outside stay text in the JSON that is written around them.
#[test]
fn group_names_are_quoted() {
    let signer = key(Curve::P256, 1);
    let mut content = content(NetRole::Station);
    content.groups.push(Group {
        id: r#"a","netRole":"configurator"},{"groupId":"*"#.to_owned(),
        role: NetRole::AccessPoint,
    });
    let connector = Connector::issue_with_key(&content, &signer).unwrap();
    let verified = connector.verify(&[anchor(&signer)], now()).unwrap();
    assert_eq!(verified.content(), &content);
}

/// Objects that Debian's hostap 2.10 sent to Debian's wpa_supplicant, one a curve.
#[test]
fn connectors_made_by_hostap_verify() {
    for (object, curve) in [
        (
            &include_bytes!("../../tests/hostap/dpp-p256.json")[..],
            Curve::P256,
        ),
        (
            include_bytes!("../../tests/hostap/sae-p256.json"),
            Curve::P256,
        ),
        (
            include_bytes!("../../tests/hostap/dot1x-p256.json"),
            Curve::P256,
        ),
        (
            include_bytes!("../../tests/hostap/dpp-p384.json"),
            Curve::P384,
        ),
        (
            include_bytes!("../../tests/hostap/dpp-p521.json"),
            Curve::P521,
        ),
        (
            include_bytes!("../../tests/hostap/dpp-bp256.json"),
            Curve::Bp256,
        ),
        (
            include_bytes!("../../tests/hostap/dpp-bp384.json"),
            Curve::Bp384,
        ),
    ] {
        let object = ConfigurationObject::read(object).unwrap();
        let credential = object.credential.connector().unwrap();
        let verified = credential
            .connector
            .verify(std::slice::from_ref(&credential.c_sign), now())
            .unwrap();
        assert_eq!(verified.content().net_access_key.curve(), curve);
        verified.check_role("anything", NetRole::Station).unwrap();
        assert_eq!(
            credential.verify(key(curve, 1).public(), now()),
            Err(Refusal::ConnectorForeignKey.into()),
            "§6.4.5"
        );
    }
}

#[test]
fn the_wrong_signer_is_refused_section_4_2_2() {
    let (ours, other) = (key(Curve::P256, 1), key(Curve::P256, 2));
    let connector = Connector::issue_with_key(&content(NetRole::Station), &other).unwrap();
    let refused = |connector: &Connector, anchors: &[CSignPublicKey]| {
        connector.verify(anchors, now()).unwrap_err()
    };
    assert_eq!(
        refused(&connector, &[anchor(&ours)]),
        Refusal::ConnectorSigner.into()
    );
    assert_eq!(refused(&connector, &[]), Refusal::ConnectorSigner.into());
    // Under our name, with the other's signature.
    let text = forged(
        &header("ES256", &ours),
        &content(NetRole::Station).to_json(),
        &other,
    );
    let connector = Connector::parse(&text).unwrap();
    assert_eq!(
        refused(&connector, &[anchor(&ours), anchor(&other)]),
        Refusal::ConnectorSignature.into()
    );
}

#[test]
fn rotation_finds_the_anchor_by_its_name() {
    let (old, new) = (key(Curve::P256, 1), key(Curve::P384, 2));
    let anchors = [anchor(&new), anchor(&old)];
    for signer in [&old, &new] {
        let connector = Connector::issue_with_key(&content(NetRole::Station), signer).unwrap();
        connector.verify(&anchors, now()).unwrap();
    }
}

#[test]
fn an_algorithm_that_is_not_the_keys_is_refused_section_4_2_2() {
    let signer = key(Curve::P256, 1);
    let payload = content(NetRole::Station).to_json();
    for alg in ["none", "HS256", "RS256", "ES256K", "EdDSA", "es256", ""] {
        malformed(
            &forged(&header(alg, &signer), &payload, &signer),
            Malformed::ConnectorAlgorithm,
        );
    }
    for alg in ["ES384", "ES512", "BS256"] {
        let text = forged(&header(alg, &signer), &payload, &signer);
        let connector = Connector::parse(&text).unwrap();
        assert_eq!(
            connector.verify(&[anchor(&signer)], now()),
            Err(Refusal::ConnectorAlgorithm.into()),
            "{alg}"
        );
    }
}

#[test]
fn an_expired_connector_is_refused_section_4_2_1() {
    let signer = key(Curve::P256, 1);
    let at = |text: &str| {
        let payload = content(NetRole::Station).to_json().replace(
            r#""netAccessKey""#,
            &format!(r#""expiry":"{text}","netAccessKey""#),
        );
        let text = forged(&header("ES256", &signer), &payload, &signer);
        Connector::parse(&text)
            .unwrap()
            .verify(&[anchor(&signer)], now())
            .map(|verified| verified.content().expiry)
    };
    for alive in [
        "2026-11-22T12:00:00Z",
        "2026-11-22T15:00:00+03:00",
        "2026-11-22T12:00:00",
        "2026-11-22T04:30:00-07:30",
    ] {
        assert_eq!(at(alive), Ok(Some(now())), "{alive}");
    }
    for expired in [
        "2026-11-22T11:59:59Z",
        "2026-11-22T14:59:59+03:00",
        "1999-01-01T00:00:00",
    ] {
        assert_eq!(
            at(expired),
            Err(Refusal::ConnectorExpired.into()),
            "{expired}"
        );
    }
    for nonsense in [
        "",
        "soon",
        "2026-11-22",
        "2026-13-22T12:00:00Z",
        "2026-11-22T12:00:00X",
    ] {
        assert_eq!(at(nonsense), Err(Error::value("expiry")), "{nonsense}");
    }
}

#[test]
fn a_header_that_is_none_is_refused_section_4_2_2() {
    let signer = key(Curve::P256, 1);
    let payload = content(NetRole::Station).to_json();
    let kid = anchor(&signer).kid().to_owned();
    let with = |text: &str| forged(text, &payload, &signer);
    malformed(
        &with(&header("ES256", &signer).replace("dppCon", "JWT")),
        Malformed::ConnectorType,
    );
    malformed(&with(r#"{"alg":"ES256"}"#), Error::missing("typ"));
    malformed(
        &with(&header("ES256", &signer).replace(&kid, "AAAA")),
        Malformed::ConnectorKeyId,
    );
    malformed(
        &with(&header("ES256", &signer).replace('}', r#","alg":"ES256"}"#)),
        Malformed::JsonDuplicate,
    );
    malformed(
        &with(&header("ES256", &signer).replace('}', r#","crit":["exp"]}"#)),
        Malformed::ConnectorHeader,
    );
    malformed(&with("{}{}"), Malformed::Json);
}

#[test]
fn a_form_that_is_not_three_parts_is_refused_rfc_7515_section_7_1() {
    let signer = key(Curve::P256, 1);
    let sound = Connector::issue_with_key(&content(NetRole::Station), &signer).unwrap();
    let sound = sound.as_str();
    malformed("", Malformed::ConnectorForm);
    malformed("e30", Malformed::ConnectorForm);
    malformed("e30.e30", Malformed::ConnectorForm);
    malformed(&format!("{sound}.e30"), Malformed::ConnectorEncoding);
    for trailing in ["=", " ", "\n", "\"", "%"] {
        malformed(&format!("{sound}{trailing}"), Malformed::ConnectorEncoding);
    }
    malformed(
        &"e".repeat(MAX_CONNECTOR_LENGTH + 1),
        Malformed::ConnectorTooLong,
    );
    // A longer or shorter signature is a signature of another kind.
    let (signed, signature) = sound.rsplit_once('.').unwrap();
    let mut longer = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
    longer.push(0);
    for octets in [&longer[..], &longer[..63], &[]] {
        let text = format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(octets));
        let connector = Connector::parse(&text).unwrap();
        assert_eq!(
            connector.verify(&[anchor(&signer)], now()),
            Err(Refusal::ConnectorSignature.into())
        );
    }
}

#[test]
fn signed_content_that_is_no_connector_is_refused_section_4_2_1() {
    let sound = content(NetRole::Station).to_json();
    payload_refused("", Malformed::Json);
    payload_refused(&format!("{sound} {sound}"), Malformed::Json);
    payload_refused(
        &sound.replacen('{', r#"{"groups":[],"#, 1),
        Malformed::JsonDuplicate,
    );
    payload_refused(&sound.replace("groups", "grupos"), Error::missing("groups"));
    payload_refused(r#"{"groups":[]}"#, Error::value("groups"));
    payload_refused(r#"{"groups":{}}"#, Error::wrong_type("groups"));
    payload_refused(r#"{"groups":[{}]}"#, Error::missing("groupId"));
    payload_refused(
        r#"{"groups":[{"groupId":7}]}"#,
        Error::wrong_type("groupId"),
    );
    payload_refused(r#"{"groups":[{"groupId":"*"}]}"#, Error::missing("netRole"));
    payload_refused(
        &format!(r#"{{"groups":[{}{{}}]}}"#, "{},".repeat(MAX_GROUPS)),
        Malformed::JsonTooLarge,
    );
    payload_refused(
        &sound.replace("netAccessKey", "key"),
        Error::missing("netAccessKey"),
    );
    payload_refused(&sound.replace("\"EC\"", "\"RSA\""), Error::value("kty"));
    payload_refused(
        &sound.replace("P-256", "secp256k1"),
        crate::Unsupported::CurveUnknown,
    );
    payload_refused(&sound.replace("P-256", "P-384"), Error::value("x"));
    payload_refused(
        &sound.replacen('{', r#"{"version":0,"#, 1),
        Error::value("version"),
    );
    let y = BASE64_URL_SAFE_NO_PAD.encode(key(Curve::P256, 9).public().y());
    let other = BASE64_URL_SAFE_NO_PAD.encode(key(Curve::P256, 8).public().y());
    payload_refused(&sound.replace(&y, &other), Refusal::PointOffCurve);
}

#[test]
fn groups_and_roles_decide_who_goes_with_whom_section_6_6_2() {
    let signer = key(Curve::P256, 1);
    let make = |groups: &[(&str, NetRole)], curve| {
        let content = ConnectorContent {
            groups: groups
                .iter()
                .map(|(id, role)| Group {
                    id: (*id).into(),
                    role: *role,
                })
                .collect(),
            net_access_key: key(curve, 5).public().clone(),
            expiry: None,
            version: None,
        };
        let connector = Connector::issue_with_key(&content, &signer).unwrap();
        connector.verify(&[anchor(&signer)], now()).unwrap()
    };
    use NetRole::{AccessPoint, Configurator, Station};
    let station = make(&[("home", Station)], Curve::P256);
    let check = |groups: &[(&str, NetRole)]| station.matches(&make(groups, Curve::P256));
    assert_eq!(check(&[("home", AccessPoint)]), Ok(()));
    assert_eq!(check(&[("*", AccessPoint)]), Ok(()));
    assert_eq!(check(&[("work", Station), ("home", AccessPoint)]), Ok(()));
    assert_eq!(
        check(&[("work", AccessPoint)]),
        Err(Refusal::ConnectorGroup.into())
    );
    assert_eq!(
        check(&[("home", Station)]),
        Err(Refusal::ConnectorRole.into())
    );
    assert_eq!(
        check(&[("home", Configurator)]),
        Err(Refusal::ConnectorRole.into())
    );
    assert_eq!(
        station.matches(&make(&[("home", AccessPoint)], Curve::P384)),
        Err(Refusal::ConnectorCurve.into())
    );
    assert_eq!(station.check_role("home", Station), Ok(()));
    assert_eq!(
        station.check_role("work", Station),
        Err(Refusal::ConnectorGroup.into())
    );
    assert_eq!(
        station.check_role("home", AccessPoint),
        Err(Refusal::ConnectorRole.into())
    );
}

/// A role of other equipment is passed over, not taken for one of ours.
#[test]
fn unknown_roles_and_members_are_passed_over() {
    let signer = key(Curve::P256, 1);
    let payload = content(NetRole::Station).to_json().replace(
        r#""groups":["#,
        r#""futureMember":{"a":1},"groups":[{"groupId":"x","netRole":"mapAgent"},"#,
    );
    let text = forged(&header("ES256", &signer), &payload, &signer);
    let verified = Connector::parse(&text)
        .unwrap()
        .verify(&[anchor(&signer)], now())
        .unwrap();
    assert_eq!(verified.content(), &content(NetRole::Station));
}

proptest! {
    #[test]
    fn no_bytes_panic(text in "\\PC{0,300}", bytes in any::<Vec<u8>>()) {
        let _ = Connector::parse(&text);
        let _ = Connector::parse(&format!("e30.{}.e30", BASE64_URL_SAFE_NO_PAD.encode(&bytes)));
        let _ = ConnectorContent::from_json(&bytes);
        let _ = ConnectorContent::from_json(text.as_bytes());
    }

    /// A flipped character anywhere is refused (RFC 7515 §5.2).
    #[test]
    fn every_altered_connector_is_refused(position in 0_usize..400, to in "[A-Za-z0-9_-]") {
        let signer = key(Curve::P256, 1);
        let connector = Connector::issue_with_key(&content(NetRole::Station), &signer).unwrap();
        let mut text = connector.as_str().to_owned();
        let position = position % text.len();
        if text[position..=position] != to {
            text.replace_range(position..=position, &to);
            let verified = Connector::parse(&text)
                .and_then(|altered| altered.verify(&[anchor(&signer)], now()));
            prop_assert!(verified.is_err());
        }
    }
}
