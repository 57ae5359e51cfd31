//! JWS in JSON serialization.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use vouchsafe_trust::envelope::{
    EnvelopeError, Forbidden, MAX_ENVELOPE_LEN, Malformed, Misuse, NotTrusted, Unsupported,
};
use vouchsafe_trust::jws::{Form, MAX_SIGNATURES, SignOptions, parse, parse_each, sign};
use vouchsafe_trust::{PathError, SignatureError, Signer};

use crate::world::{ED25519, P256, P384, Party, rules, rules_at};

const CONTENT: &[u8] = br#"{"ietf-voucher:voucher":{}}"#;

fn signed_by(party: &Party, form: Form) -> Vec<u8> {
    let options = SignOptions {
        typ: Some("voucher-jws+json"),
        certificates: std::slice::from_ref(&party.certificate),
        form,
    };
    sign(CONTENT, &options, &party.signer).unwrap()
}

fn verdict(party: &Party, message: &[u8]) -> Result<(), EnvelopeError> {
    parse(message)?
        .verify(&party.anchors(), &rules())
        .map(|_| ())
}

/// One entry of `signatures` with this protected header, properly signed.
fn entry(party: &Party, header: &Value) -> Value {
    let protected = BASE64_URL_SAFE_NO_PAD.encode(header.to_string());
    let payload = BASE64_URL_SAFE_NO_PAD.encode(CONTENT);
    let der = party
        .signer
        .sign(format!("{protected}.{payload}").as_bytes())
        .unwrap();
    json!({ "protected": protected, "signature": BASE64_URL_SAFE_NO_PAD.encode(raw(&der)) })
}

fn general(entries: &[Value]) -> Vec<u8> {
    let payload = BASE64_URL_SAFE_NO_PAD.encode(CONTENT);
    json!({ "payload": payload, "signatures": entries })
        .to_string()
        .into_bytes()
}

fn header(party: &Party) -> Value {
    json!({ "alg": "ES256", "x5c": [BASE64_STANDARD.encode(party.certificate.der())] })
}

/// r and s of a P-256 signature, 32 octets each.
fn raw(der: &[u8]) -> Vec<u8> {
    let r_len = usize::from(der[3]);
    let (r, s) = (&der[4..4 + r_len], &der[6 + r_len..]);
    let fixed = |number: &[u8]| {
        let number = number.strip_prefix(&[0]).unwrap_or(number);
        [vec![0; 32 - number.len()], number.to_vec()].concat()
    };
    [fixed(r), fixed(s)].concat()
}

#[test]
fn every_kind_of_key_signs_both_forms_and_its_anchor_accepts() {
    for kind in [P256, P384, ED25519] {
        let party = Party::with("MASA", kind, 2027);
        for form in [Form::General, Form::Flattened] {
            let message = signed_by(&party, form);
            let unverified = parse(&message).unwrap();
            assert_eq!(unverified.content(), CONTENT);
            assert_eq!(unverified.typ(), Some("voucher-jws+json"));
            assert_eq!(unverified.claimed_signer(), Some(&party.certificate));
            let signed = unverified.verify(&party.anchors(), &rules()).unwrap();
            assert_eq!(signed.content, CONTENT);
            assert_eq!(signed.content_type.as_deref(), Some("voucher-jws+json"));
            assert_eq!(signed.signer, party.certificate);
            assert_eq!(signed.path, party.chain());
            assert!(parse(&message).unwrap().verify_by(&party.proved()).is_ok());
        }
    }
}

#[test]
fn escaped_slashes_and_unknown_members_are_read() {
    let party = Party::new("MASA");
    let message = String::from_utf8(general(&[entry(&party, &header(&party))])).unwrap();
    let message = message.replacen('{', r#"{"ex\/tra":[1,{"a":null}],"#, 1);
    assert_eq!(verdict(&party, message.as_bytes()), Ok(()));
    // x5c inside the protected header with `\/` for `/`, as some writers have it.
    let escaped = header(&party).to_string().replace('/', "\\/");
    let protected = BASE64_URL_SAFE_NO_PAD.encode(escaped);
    let payload = BASE64_URL_SAFE_NO_PAD.encode(CONTENT);
    let der = party
        .signer
        .sign(format!("{protected}.{payload}").as_bytes())
        .unwrap();
    let signature = BASE64_URL_SAFE_NO_PAD.encode(raw(&der));
    let message = json!({ "payload": payload, "protected": protected, "signature": signature });
    assert_eq!(verdict(&party, message.to_string().as_bytes()), Ok(()));
}

#[test]
fn alg_none_unknown_or_of_another_key_is_refused_rfc7515_10_7() {
    let party = Party::new("MASA");
    let with = |alg: &str| {
        let mut header = header(&party);
        header["alg"] = alg.into();
        verdict(&party, &general(&[entry(&party, &header)]))
    };
    for alg in ["none", "None", "HS256", "ES256K", ""] {
        assert_eq!(
            with(alg),
            Err(Unsupported::SignatureAlgorithm.into()),
            "{alg}"
        );
    }
    for alg in ["EdDSA", "RS256", "PS256"] {
        assert_eq!(with(alg), Err(Forbidden::AlgorithmMismatch.into()), "{alg}");
    }
    // A signature of 64 octets is not one of P-384.
    let invalid = NotTrusted::Signature(SignatureError::Invalid);
    assert_eq!(with("ES384"), Err(invalid.into()));
}

/// RFC 7515 §10.7, RFC 9052 §3.1.
#[test]
fn an_algorithm_outside_the_protected_header_is_refused_rfc7515_10_7() {
    let party = Party::new("MASA");
    let mut outside = entry(&party, &json!({ "x5c": header(&party)["x5c"] }));
    outside["header"] = json!({ "alg": "ES256" });
    let refused = Err(Forbidden::AlgorithmUnprotected.into());
    assert_eq!(verdict(&party, &general(&[outside])), refused);
    let mut twice = entry(&party, &header(&party));
    twice["header"] = json!({ "alg": "none" });
    assert_eq!(verdict(&party, &general(&[twice])), refused);
    let mut bare = entry(&party, &header(&party));
    bare.as_object_mut().unwrap().remove("protected");
    assert_eq!(verdict(&party, &general(&[bare])), refused);
}

/// RFC 7515 §4.1.11, RFC 9052 §3.1.
#[test]
fn unknown_critical_headers_are_refused_rfc7515_4_1_11() {
    let party = Party::new("MASA");
    let refused = Err(Unsupported::CriticalHeader.into());
    for crit in [json!(["b64"]), json!(["exp"]), json!([]), json!("b64")] {
        let mut header = header(&party);
        header["crit"] = crit;
        header["b64"] = false.into();
        assert_eq!(
            verdict(&party, &general(&[entry(&party, &header)])),
            refused
        );
    }
    let mut unprotected = entry(&party, &header(&party));
    unprotected["header"] = json!({ "crit": ["b64"] });
    assert_eq!(verdict(&party, &general(&[unprotected])), refused);
}

/// RFC 8995 §5.2.
#[test]
fn one_signature_is_asked_for_and_several_only_by_name() {
    let (masa, registrar) = (Party::new("MASA"), Party::new("Registrar"));
    let entries = [
        entry(&masa, &header(&masa)),
        entry(&registrar, &header(&registrar)),
    ];
    let message = general(&entries);
    assert_eq!(
        parse(&message).unwrap_err(),
        Forbidden::SeveralSigners.into()
    );
    let each = parse_each(&message).unwrap();
    for (view, party) in each.into_iter().zip([&masa, &registrar]) {
        assert_eq!(
            view.verify(&party.anchors(), &rules()).unwrap().signer,
            party.certificate
        );
    }
    assert_eq!(
        parse(&general(&[])).unwrap_err(),
        Forbidden::Unsigned.into()
    );
    assert_eq!(
        parse_each(&general(&[])).unwrap_err(),
        Forbidden::Unsigned.into()
    );
    let crowd = vec![entries[0].clone(); MAX_SIGNATURES + 1];
    assert_eq!(
        parse_each(&general(&crowd)).unwrap_err(),
        Forbidden::SeveralSigners.into()
    );
}

/// RFC 7515 §7.2.
#[test]
fn mixed_forms_doubled_members_and_other_encodings_are_malformed_rfc7515_7_2() {
    let party = Party::new("MASA");
    let good = entry(&party, &header(&party));
    let mut mixed: Value = serde_json::from_slice(&general(std::slice::from_ref(&good))).unwrap();
    mixed["signature"] = good["signature"].clone();
    let text = String::from_utf8(general(std::slice::from_ref(&good))).unwrap();
    let doubled = text.replacen('{', r#"{"payload":"","#, 1);
    let compact = format!("{}.AA.{}", good["protected"], good["signature"]).replace('"', "");
    let numbers = json!({ "payload": 7, "signatures": [good] });
    for message in [
        &mixed.to_string(),
        &doubled,
        &compact,
        &numbers.to_string(),
        "",
    ] {
        assert_eq!(
            parse(message.as_bytes()).unwrap_err(),
            Malformed::Json.into(),
            "{message}"
        );
    }
    for header in [r#"{"alg":"ES256","alg":"none"}"#, "[]", "{"] {
        let protected = BASE64_URL_SAFE_NO_PAD.encode(header);
        let entry = json!({ "protected": protected, "signature": "AA" });
        assert_eq!(
            parse(&general(&[entry])).unwrap_err(),
            Malformed::Json.into(),
            "{header}"
        );
    }
    for signature in ["AA==", "+/+/", "A"] {
        let mut entry = good.clone();
        entry["signature"] = signature.into();
        assert_eq!(
            parse(&general(&[entry])).unwrap_err(),
            Malformed::Base64.into()
        );
    }
    // x5c is standard base64, not base64url (RFC 7515 §4.1.6).
    let url = BASE64_URL_SAFE_NO_PAD.encode(party.certificate.der());
    let mut header = header(&party);
    header["x5c"] = json!([url]);
    assert_eq!(
        parse(&general(&[entry(&party, &header)])).unwrap_err(),
        Malformed::Base64.into()
    );
}

/// RFC 5280 §6.1.3.
#[test]
fn wrong_anchor_expired_signer_and_other_signer_are_refused() {
    let (masa, stranger) = (Party::new("MASA"), Party::new("Stranger"));
    let message = signed_by(&masa, Form::General);
    assert_eq!(
        verdict(&stranger, &message),
        Err(PathError::UnknownIssuer { depth: 0 }.into())
    );
    let late = parse(&message)
        .unwrap()
        .verify(&masa.anchors(), &rules_at("2030-01-01T00:00:00Z"));
    assert_eq!(late.unwrap_err(), PathError::Expired { depth: 0 }.into());
    let other = parse(&message).unwrap().verify_by(&stranger.proved());
    assert_eq!(other.unwrap_err(), NotTrusted::OtherSigner.into());
    let claimed = general(&[entry(&stranger, &header(&masa))]);
    let invalid = EnvelopeError::from(NotTrusted::Signature(SignatureError::Invalid));
    assert_eq!(verdict(&masa, &claimed), Err(invalid.clone()));
    assert_eq!(
        parse(&claimed)
            .unwrap()
            .verify_by(&masa.proved())
            .unwrap_err(),
        invalid
    );
}

#[test]
fn without_x5c_the_signer_must_be_known() {
    let masa = Party::new("MASA");
    let options = SignOptions {
        typ: None,
        certificates: &[],
        form: Form::General,
    };
    let message = sign(CONTENT, &options, &masa.signer).unwrap();
    assert_eq!(
        verdict(&masa, &message),
        Err(NotTrusted::SignerUnknown.into())
    );
    assert!(parse(&message).unwrap().verify_by(&masa.proved()).is_ok());
    let pinned = vouchsafe_trust::Anchors::one(masa.certificate.clone());
    assert!(parse(&message).unwrap().verify(&pinned, &rules()).is_ok());
}

/// RFC 7515 §7.2.
#[test]
fn no_byte_can_change_and_none_can_be_missing() {
    let masa = Party::new("MASA");
    let message = signed_by(&masa, Form::General);
    for position in 0..message.len() {
        assert!(
            parse(&message[..position]).is_err(),
            "truncated at {position}"
        );
        let mut altered = message.clone();
        altered[position] ^= 0x01;
        if let Ok(signed) = parse(&altered).and_then(|v| v.verify(&masa.anchors(), &rules())) {
            panic!("position {position} is not covered: {signed:?}");
        }
    }
    let large = vec![b' '; MAX_ENVELOPE_LEN + 1];
    assert_eq!(
        parse(&large).unwrap_err(),
        EnvelopeError::TooLarge {
            limit: MAX_ENVELOPE_LEN
        }
    );
    let deep = "[".repeat(MAX_ENVELOPE_LEN);
    assert_eq!(parse(deep.as_bytes()).unwrap_err(), Malformed::Json.into());
    let deep = format!(r#"{{"x":{}"#, "[".repeat(MAX_ENVELOPE_LEN - 8));
    assert_eq!(parse(deep.as_bytes()).unwrap_err(), Malformed::Json.into());
}

#[test]
fn a_signer_does_not_borrow_a_certificate() {
    let (masa, other) = (Party::new("MASA"), Party::new("Other"));
    let chain = masa.chain();
    let options = SignOptions {
        typ: None,
        certificates: &chain,
        form: Form::General,
    };
    let error = sign(CONTENT, &options, &other.signer).unwrap_err();
    assert_eq!(error, Misuse::CertificateOfAnotherKey.into());
}
