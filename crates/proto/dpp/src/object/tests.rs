use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::connector::{CSignPublicKey, Connector, ConnectorContent};
use crate::curve::{Curve, PrivateKey};
use crate::error::{Error, Malformed, Misuse, Refusal, Unsupported};

const VERSION_1: Recipient = Recipient {
    version: 1,
    capabilities: 0,
};
const VERSION_2: Recipient = Recipient {
    version: 2,
    capabilities: 0,
};
const VERSION_3: Recipient = Recipient {
    version: 3,
    capabilities: CAPABILITY_SAE_PASSWORD_IDENTIFIER,
};

fn key(curve: Curve, seed: u8) -> PrivateKey {
    PrivateKey::from_seed(curve, &vec![seed; curve.seed_length()]).unwrap()
}

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn connector() -> ConnectorCredential {
    let signer = key(Curve::P256, 1);
    let device = key(Curve::P256, 2);
    let content = ConnectorContent::for_any_group(NetRole::Station, device.public().clone());
    ConnectorCredential {
        connector: Connector::issue_with_key(&content, &signer).unwrap(),
        c_sign: CSignPublicKey::new(signer.public().clone()),
        privacy_key: Some(key(Curve::P256, 3).public().clone()),
    }
}

fn object(credential: Credential) -> ConfigurationObject {
    ConfigurationObject::new(Ssid::new(b"TestNet").unwrap(), credential)
}

fn with(akm: Akm, password: Option<Password>, connector: bool) -> Credential {
    let parts = CredentialParts {
        password,
        enterprise: None,
        connector: connector.then(self::connector),
    };
    Credential::new(akm, parts).unwrap()
}

fn password() -> Option<Password> {
    Some(Password::passphrase("password \"12\"").unwrap())
}

fn text(object: &ConfigurationObject, recipient: Recipient) -> String {
    String::from_utf8(object.write(recipient).unwrap().expose().to_vec()).unwrap()
}

#[track_caller]
fn request_refused(text: &str, reason: impl Into<Error>) {
    assert_eq!(
        RequestObject::read(text.as_bytes()),
        Err(reason.into()),
        "{text}"
    );
}

#[track_caller]
fn object_refused(text: &str, reason: impl Into<Error>) {
    assert_eq!(
        ConfigurationObject::read(text.as_bytes()),
        Err(reason.into()),
        "{text}"
    );
}

#[test]
fn a_request_of_hostap_is_read_and_written_the_same() {
    let bytes = include_bytes!("../../tests/hostap/dot1x-p256.request.json");
    let request = RequestObject::read(bytes).unwrap();
    assert_eq!(request.name, "Test");
    assert_eq!(request.role, NetRole::Station);
    assert_eq!(request.certificate_request.as_ref().unwrap().len(), 310);
    assert_eq!(request.write(), bytes);
    let plain = br#"{"name":"Test","wi-fi_tech":"infra","netRole":"ap"}"#;
    let request = RequestObject::read(plain).unwrap();
    assert_eq!(request, RequestObject::new("Test", NetRole::AccessPoint));
    assert_eq!(request.write(), plain);
}

#[test]
fn every_claim_of_a_request_is_kept() {
    let request = RequestObject {
        name: "Pumpe \"7\" – Süd".into(),
        role: NetRole::Configurator,
        mud_url: Some("https://maker.example/pump.json".into()),
        band_support: vec![81, 115, 125],
        certificate_request: Some(vec![0x30, 0]),
        capabilities: CAPABILITY_SAE_PASSWORD_IDENTIFIER,
    };
    assert_eq!(RequestObject::read(&request.write()).unwrap(), request);
    let escaped =
        br#"{"name":"S\u00c3\u00bcd","wi-fi_tech":"infra","netRole":"sta","vendor":[1,{}]}"#;
    assert_eq!(RequestObject::read(escaped).unwrap().name, "Süd");
}

#[test]
fn a_request_that_is_none_is_refused_section_4_4() {
    let sound = r#"{"name":"Test","wi-fi_tech":"infra","netRole":"sta"}"#;
    request_refused("", Malformed::Json);
    request_refused("[]", Error::missing("name"));
    request_refused(&format!("{sound}x"), Malformed::Json);
    request_refused(
        &sound.replace("\"name\"", "\"nome\""),
        Error::missing("name"),
    );
    request_refused(&sound.replace("\"Test\"", "7"), Error::wrong_type("name"));
    request_refused(
        &sound.replace("Test", &"x".repeat(MAX_NAME_LENGTH + 1)),
        Error::value("name"),
    );
    for control in [r"\u001b[2J", r"a\nb", r"\u0085"] {
        request_refused(&sound.replace("Test", control), Error::value("name"));
        let url = format!(r#"{{"mudurl":"{control}","#);
        request_refused(&sound.replacen('{', &url, 1), Error::value("mudurl"));
    }
    request_refused(&sound.replace("infra", "knfra"), Unsupported::Technology);
    request_refused(&sound.replace("sta", "mapAgent"), Unsupported::NetRole);
    request_refused(
        &sound.replacen('{', r#"{"netRole":"ap","#, 1),
        Malformed::JsonDuplicate,
    );
    let member = |member: &str| sound.replacen('{', &format!("{{{member},"), 1);
    request_refused(&member(r#""pkcs10":"%""#), Error::value("pkcs10"));
    request_refused(&member(r#""pkcs10":{}"#), Error::wrong_type("pkcs10"));
    request_refused(&member(r#""mudurl":1"#), Error::wrong_type("mudurl"));
    request_refused(
        &member(r#""bandSupport":[81,"x"]"#),
        Error::value("bandSupport"),
    );
    request_refused(
        &member(r#""bandSupport":[256]"#),
        Error::value("bandSupport"),
    );
    request_refused(
        &member(r#""capabilities":-1"#),
        Error::value("capabilities"),
    );
    let deep = format!(r#""x":{}1{}"#, "[".repeat(90), "]".repeat(90));
    request_refused(&member(&deep), Malformed::JsonTooDeep);
    let wide = format!(r#""x":[{}1]"#, "1,".repeat(5000));
    request_refused(&member(&wide), Malformed::JsonTooLarge);
    let long = format!(r#""x":"{}""#, "x".repeat(MAX_REQUEST_OBJECT_LENGTH));
    request_refused(&member(&long), Malformed::JsonTooLarge);
}

#[test]
fn objects_of_hostap_are_read_and_written_the_same() {
    for bytes in [
        &include_bytes!("../../tests/hostap/dpp-p256.json")[..],
        include_bytes!("../../tests/hostap/sae-p256.json"),
        include_bytes!("../../tests/hostap/dot1x-p256.json"),
        include_bytes!("../../tests/hostap/dpp-p384.json"),
        include_bytes!("../../tests/hostap/dpp-p521.json"),
        include_bytes!("../../tests/hostap/dpp-bp256.json"),
        include_bytes!("../../tests/hostap/dpp-bp384.json"),
    ] {
        let object = ConfigurationObject::read(bytes).unwrap();
        assert_eq!(object.ssid.text(), Some("TestNet"));
        let written = object.write(VERSION_2).unwrap();
        let as_text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        assert_eq!(as_text(written.expose()), as_text(bytes));
    }
    object_refused(
        include_str!("../../tests/hostap/dpp-bp512.json"),
        Unsupported::Curve,
    );
}

#[test]
fn the_certificates_of_an_enterprise_credential_are_read() {
    let bytes = include_bytes!("../../tests/hostap/dot1x-p256.json");
    let object = ConfigurationObject::read(bytes).unwrap();
    let enterprise = object.credential.enterprise().unwrap();
    assert_eq!(
        enterprise.trusted_server_name.as_deref(),
        Some("radius.test")
    );
    assert_eq!(enterprise.eap_methods, [EAP_TLS]);
    let certificates = enterprise.certificates().unwrap();
    assert_eq!(certificates.len(), 2);
    let again = EnterpriseCredential::new(&certificates, Some(&certificates[1]));
    assert_eq!(again.certificates().unwrap(), certificates);
}

#[test]
fn every_kind_of_credential_is_written_and_read() {
    let psk = || Some(Password::psk([0xab; 32]));
    for credential in [
        with(Akm::Psk, password(), false),
        with(Akm::Psk, psk(), true),
        with(Akm::Sae, password(), false),
        with(Akm::Sae, password(), true),
        with(Akm::PskSae, password(), true),
        with(Akm::Dpp, None, true),
        with(Akm::DppSae, password(), true),
        with(Akm::DppPskSae, password(), true),
        Credential::dpp(connector()),
    ] {
        let object = object(credential);
        let read = ConfigurationObject::read(text(&object, VERSION_2).as_bytes());
        assert_eq!(read, Ok(object));
    }
}

#[test]
fn a_password_goes_with_its_identifier_to_those_who_know_them() {
    let password = password().unwrap().with_identifier("device-7");
    let object = object(with(Akm::Sae, Some(password), false));
    let written = text(&object, VERSION_3);
    assert!(written.contains(r#""idpass":"device-7""#), "{written}");
    assert_eq!(
        ConfigurationObject::read(written.as_bytes()),
        Ok(object.clone())
    );
    assert_eq!(
        object.write(VERSION_2).err(),
        Some(Unsupported::PasswordIdentifier.into())
    );
}

/// §4.5.2: what a peer of version 1 would not understand is not sent to it.
#[test]
fn version_1_gets_the_connector_alone() {
    for akm in [Akm::DppSae, Akm::DppPskSae] {
        let written = text(&object(with(akm, password(), true)), VERSION_1);
        assert!(
            written.contains(r#""akm":"dpp","signedConnector""#),
            "{written}"
        );
        assert!(
            !written.contains("pass") && !written.contains("ppKey"),
            "{written}"
        );
        let read = ConfigurationObject::read(written.as_bytes()).unwrap();
        assert_eq!(read.credential.akm(), Akm::Dpp);
    }
    let written = text(&object(with(Akm::Sae, password(), true)), VERSION_1);
    assert!(!written.contains("signedConnector"), "{written}");
}

#[test]
fn names_that_are_no_text_go_as_ssid64() {
    let mut object = object(with(Akm::Sae, password(), false));
    object.ssid = Ssid::new(&[0xff, 0x00, b'x']).unwrap();
    object.ssid_charset = Some(106);
    let written = text(&object, VERSION_2);
    assert!(
        written.contains(r#""ssid64":"_wB4","ssid_charset":106"#),
        "{written}"
    );
    assert_eq!(
        ConfigurationObject::read(written.as_bytes()),
        Ok(object.clone())
    );
    assert_eq!(
        object.write(VERSION_1).err(),
        Some(Unsupported::ForVersion1.into())
    );
    object.ssid = Ssid::new("Café".as_bytes()).unwrap();
    let written = text(&object, VERSION_1);
    assert_eq!(
        ConfigurationObject::read(written.as_bytes()).unwrap().ssid,
        object.ssid
    );
    let of_hostap = written.replace('é', r"\u00c3\u00a9");
    assert_eq!(
        ConfigurationObject::read(of_hostap.as_bytes())
            .unwrap()
            .ssid,
        object.ssid
    );
    assert_eq!(Ssid::new(&[]).err(), Some(Misuse::Ssid.into()));
    assert_eq!(Ssid::new(&[0; 33]).err(), Some(Misuse::Ssid.into()));
}

/// §4.5.2: suite selectors, in either case, unknown ones passed over.
#[test]
fn kinds_are_read_by_name_and_by_selector() {
    for akm in [
        Akm::Psk,
        Akm::Sae,
        Akm::PskSae,
        Akm::Dpp,
        Akm::DppSae,
        Akm::DppPskSae,
        Akm::Dot1x,
    ] {
        assert_eq!(Akm::from_text(akm.name()), Some(akm));
    }
    for (selectors, akm) in [
        ("506F9A02", Some(Akm::Dpp)),
        ("506f9a02+000fac08", Some(Akm::DppSae)),
        ("000FAC08+000FAC02+506F9A02", Some(Akm::DppPskSae)),
        ("000FAC02", Some(Akm::Psk)),
        ("000FAC06", Some(Akm::Psk)),
        ("000FAC08", Some(Akm::Sae)),
        ("000FAC02+000FAC08", Some(Akm::PskSae)),
        ("000FAC01", Some(Akm::Dot1x)),
        ("000FAC05+000FAC0B", Some(Akm::Dot1x)),
        ("506F9A02+11223344", Some(Akm::Dpp)),
        ("11223344", None),
        ("", None),
        ("DPP", None),
        ("dpp+", None),
        ("sae+dpp", None),
        ("506F9A0", None),
        ("506F9A02+", None),
        ("506F9A02 ", None),
    ] {
        assert_eq!(Akm::from_text(selectors), akm, "{selectors}");
    }
}

#[test]
fn an_object_that_is_none_is_refused_section_4_5() {
    let sound = text(&object(with(Akm::DppSae, password(), true)), VERSION_2);
    let without = |from: &str, to: &str| {
        assert!(sound.contains(from), "{from}");
        sound.replacen(from, to, 1)
    };
    object_refused("{}", Error::missing("wi-fi_tech"));
    object_refused(&without("infra", "adhoc"), Unsupported::Technology);
    object_refused(
        &without("\"discovery\"", "\"d\""),
        Error::missing("discovery"),
    );
    object_refused(&without("\"ssid\"", "\"s\""), Error::missing("ssid"));
    object_refused(&without("TestNet", ""), Error::value("ssid"));
    object_refused(&without("TestNet", &"x".repeat(33)), Error::value("ssid"));
    object_refused(
        &without("\"ssid\":\"TestNet\"", "\"ssid64\":\"%\""),
        Error::value("ssid64"),
    );
    object_refused(&without("\"cred\"", "\"c\""), Error::missing("cred"));
    object_refused(&without("\"akm\"", "\"a\""), Error::missing("akm"));
    object_refused(&without("dpp+sae", "wep"), Unsupported::Akm);
    object_refused(&without("dpp+sae", "dot1x"), Error::missing("entCreds"));
    object_refused(&without("\"pass\"", "\"p\""), Error::missing("pass"));
    object_refused(&without("password", "\\u0000pass"), Error::value("pass"));
    object_refused(
        &without("\"signedConnector\"", "\"s\""),
        Error::missing("signedConnector"),
    );
    object_refused(&without("\"csign\"", "\"c\""), Error::missing("csign"));
    object_refused(
        &without("\"akm\"", "\"akm\":\"dpp\",\"akm\""),
        Malformed::JsonDuplicate,
    );
    object_refused(&format!("{sound}{sound}"), Malformed::Json);
    let kid = connector().c_sign.kid().to_owned();
    object_refused(
        &without(&format!("\"kid\":\"{kid}\""), "\"kid\":\"AA\""),
        Error::value("kid"),
    );
    let named = without("\"pass\"", "\"idpass\":\"a\\nb\",\"pass\"");
    object_refused(&named, Error::value("idpass"));
    let with_psk = without("\"pass\":\"password \\\"12\\\"\"", "\"psk_hex\":\"zz\"");
    object_refused(&with_psk, Error::value("psk_hex"));
    let hex = "ab".repeat(32);
    object_refused(&with_psk.replace("zz", &hex), Error::value("cred"));
    let long = format!("{}{sound}", " ".repeat(MAX_CONFIGURATION_OBJECT_LENGTH));
    object_refused(&long, Malformed::JsonTooLarge);
    let bag = include_str!("../../tests/hostap/dot1x-p256.json");
    let start = bag.find("certBag").unwrap() + 10;
    let end = start + bag[start..].find('"').unwrap();
    let mut empty = bag.to_owned();
    empty.replace_range(start..end, "MAA=");
    object_refused(&empty, Malformed::CertificateBag);
}

/// A privacy key on another curve than the C-sign key's could not hide anything (§6.5.2).
#[test]
fn a_privacy_key_of_another_curve_is_refused() {
    let mut credential = connector();
    credential.privacy_key = Some(key(Curve::P384, 3).public().clone());
    let written = text(&object(Credential::dpp(credential)), VERSION_2);
    object_refused(&written, Error::value("ppKey"));
}

#[test]
fn a_connector_for_another_key_is_refused_section_6_4_5() {
    let credential = connector();
    let own = key(Curve::P256, 2);
    credential.verify(own.public(), now()).unwrap();
    assert_eq!(
        credential.verify(key(Curve::P256, 4).public(), now()),
        Err(Refusal::ConnectorForeignKey.into())
    );
}

#[test]
fn parts_must_be_those_of_the_kind() {
    let refused = |akm, password: Option<Password>, connector: bool| {
        let parts = CredentialParts {
            password,
            enterprise: None,
            connector: connector.then(self::connector),
        };
        Credential::new(akm, parts).unwrap_err()
    };
    assert_eq!(
        refused(Akm::Psk, None, true),
        Misuse::CredentialParts.into()
    );
    assert_eq!(
        refused(Akm::Dpp, None, false),
        Misuse::CredentialParts.into()
    );
    assert_eq!(
        refused(Akm::Dpp, password(), true),
        Misuse::CredentialParts.into()
    );
    assert_eq!(
        refused(Akm::DppSae, password(), false),
        Misuse::CredentialParts.into()
    );
    assert_eq!(
        refused(Akm::Dot1x, None, true),
        Misuse::CredentialParts.into()
    );
    let short = || Some(Password::passphrase("seven77").unwrap());
    let foreign = || Some(Password::passphrase("pässword").unwrap());
    assert_eq!(refused(Akm::Psk, short(), false), Misuse::Password.into());
    assert_eq!(
        refused(Akm::PskSae, foreign(), false),
        Misuse::Password.into()
    );
    with(Akm::Sae, short(), false);
    with(Akm::Sae, foreign(), false);
    assert_eq!(
        refused(Akm::Sae, Some(Password::psk([1; 32])), false),
        Misuse::Password.into()
    );
    for text in ["", "a\0b", "a\nb", &"x".repeat(MAX_PASSPHRASE_LENGTH + 1)] {
        assert!(Password::passphrase(text).is_err(), "{text:?}");
    }
}

#[test]
fn secrets_do_not_print() {
    let object = object(with(Akm::DppSae, password(), true));
    let printed = format!("{object:?} {:?}", Password::psk([0xab; 32]));
    assert!(
        !printed.contains("password \\\"12") && !printed.contains("ab, ab"),
        "{printed}"
    );
    assert!(!printed.contains("171"), "{printed}");
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in any::<Vec<u8>>(), text in "[\\[\\]{}:,\"a-z0-9]{0,200}") {
        for bytes in [&bytes[..], text.as_bytes()] {
            let _ = RequestObject::read(bytes);
            let _ = ConfigurationObject::read(bytes);
        }
        let _ = Akm::from_text(&text);
    }

    #[test]
    fn an_object_cut_anywhere_is_refused(length in 0_usize..860) {
        let bytes = include_bytes!("../../tests/hostap/dpp-p256.json");
        prop_assert!(ConfigurationObject::read(&bytes[..length]).is_err());
    }
}
